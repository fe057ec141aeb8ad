package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/claviger/kms/keystore"
)

func openTemp(t testing.TB) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

type outcome struct {
	rev keystore.Revision
	err error
}

// inOneGroup holds the turn until every batch waits, in order, and returns the outcomes.
func inOneGroup(t *testing.T, s *Store, batches ...[]keystore.Change) []outcome {
	t.Helper()
	s.queue.turn <- struct{}{}
	results := make([]chan outcome, len(batches))
	for i, batch := range batches {
		results[i] = make(chan outcome, 1)
		go func() {
			rev, err := s.Commit(context.Background(), batch)
			results[i] <- outcome{rev, err}
		}()
		waitFor(s, i+1)
	}
	<-s.queue.turn
	outcomes := make([]outcome, len(batches))
	for i := range results {
		outcomes[i] = <-results[i]
	}
	return outcomes
}

// waitFor returns when n members wait.
func waitFor(s *Store, n int) {
	for {
		s.queue.mu.Lock()
		have := len(s.queue.waiting)
		s.queue.mu.Unlock()
		if have == n {
			return
		}
		runtime.Gosched()
	}
}

func puts(name string, rev keystore.Revision) []keystore.Change {
	return []keystore.Change{{Op: keystore.Put, Name: name, Value: []byte(name), Revision: rev}}
}

func TestGroupIsOneTransaction(t *testing.T) {
	for _, tc := range []struct{ members, transactions int }{{1, 1}, {2, 1}, {50, 1}, {maxGroupMembers, 1}, {maxGroupMembers + 1, 2}} {
		t.Run(fmt.Sprint(tc.members), func(t *testing.T) {
			s, _ := openTemp(t)
			before := s.snap.tx
			var batches [][]keystore.Change
			for i := range tc.members {
				batches = append(batches, puts(fmt.Sprint(i), 0))
			}
			seen := make(map[keystore.Revision]bool)
			for i, o := range inOneGroup(t, s, batches...) {
				if o.err != nil || seen[o.rev] {
					t.Fatalf("member %d: revision %d, error %v", i, o.rev, o.err)
				}
				seen[o.rev] = true
				if r, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil || r.Revision != o.rev {
					t.Fatalf("member %d: read revision %d, error %v, want %d", i, r.Revision, err, o.rev)
				}
			}
			if got := int(s.snap.tx - before); got != tc.transactions {
				t.Errorf("%d members took %d transactions, want %d", tc.members, got, tc.transactions)
			}
		})
	}
}

func TestLargeMembersAreSplit(t *testing.T) {
	s, _ := openTemp(t)
	before := s.snap.tx
	var batches [][]keystore.Change
	for i := range 9 { // of half a MiB each
		batches = append(batches, []keystore.Change{{Op: keystore.Put, Name: fmt.Sprint(i), Value: make([]byte, keystore.MaxValueLen)}})
	}
	for i, o := range inOneGroup(t, s, batches...) {
		if o.err != nil {
			t.Fatalf("member %d: %v", i, o.err)
		}
	}
	if got := s.snap.tx - before; got != 2 {
		t.Errorf("took %d transactions, want 2", got)
	}
}

// Each member is decided against the effects of those before it, and fails alone.
func TestMembersOfAGroup(t *testing.T) {
	s, _ := openTemp(t)
	old, err := s.Commit(t.Context(), puts("old", 0))
	if err != nil {
		t.Fatal(err)
	}
	guess := old + 1 // the revision that the first member gets
	got := inOneGroup(t, s,
		puts("new", 0),
		puts("new", 0),     // is there already
		puts("new", guess), // cannot have been read, but can be guessed; then it counts
		append(puts("torn", 0), keystore.Change{Op: keystore.Check, Name: "old", Revision: old + 7}),
		[]keystore.Change{{Op: keystore.Check, Name: "old", Revision: old}},
		[]keystore.Change{{Op: keystore.Delete, Name: "old", Revision: old}},
		[]keystore.Change{{Op: keystore.Check, Name: "old", Revision: old}}, // is gone already
		puts("old", 0), // can be made again
		[]keystore.Change{{Op: keystore.Delete, Name: "never", Revision: 1}},
		puts("last", 0),
	)
	for i, conflict := range []bool{false, true, false, true, false, false, true, false, true, false} {
		if !conflict && got[i].err != nil || conflict && !errors.Is(got[i].err, keystore.ErrConflict) {
			t.Errorf("member %d: got %v, want conflict: %t", i, got[i].err, conflict)
		}
	}
	if got[0].rev == got[2].rev || got[7].rev == old {
		t.Errorf("revisions %v: one is used twice for a name", got)
	}
	for name, want := range map[string]keystore.Revision{"new": got[2].rev, "old": got[7].rev, "last": got[9].rev} {
		if r, err := s.Get(t.Context(), name); err != nil || r.Revision != want {
			t.Errorf("%s: got revision %d, error %v, want %d", name, r.Revision, err, want)
		}
	}
	if _, err := s.Get(t.Context(), "torn"); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("half of a conflicting batch: got %v, want ErrNotFound", err)
	}
}

func TestChecksWriteNothing(t *testing.T) {
	s, _ := openTemp(t)
	before := s.snap.tx
	for i, o := range inOneGroup(t, s, []keystore.Change{{Op: keystore.Check, Name: "a"}}, []keystore.Change{{Op: keystore.Delete, Name: "a", Revision: 3}}) {
		if (i == 0) != (o.err == nil) {
			t.Errorf("member %d: %v", i, o.err)
		}
	}
	if s.snap.tx != before {
		t.Error("a group that changes nothing wrote a transaction")
	}
}

func TestCancelledMemberLeavesTheQueue(t *testing.T) {
	s, _ := openTemp(t)
	s.queue.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := s.Commit(ctx, puts("left", 0))
		left <- err
	}()
	waitFor(s, 1)
	stayed := make(chan error, 1)
	go func() {
		_, err := s.Commit(t.Context(), puts("stayed", 0))
		stayed <- err
	}()
	waitFor(s, 2)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	waitFor(s, 1)
	<-s.queue.turn
	if err := <-stayed; err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "left"); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("withdrawn commit: got %v, want ErrNotFound", err)
	}
}

// A group that is begun leaves out those whose context has ended.
func TestTakeSkipsEndedMembers(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var q queue
	a, b := newMember(ended.Done(), puts("a", 0)), newMember(t.Context().Done(), puts("b", 0))
	q.join(a)
	q.join(b)
	if group := q.take(); len(group) != 1 || group[0] != b {
		t.Errorf("took %d members, want the one that still waits", len(group))
	}
	if <-a.done; a.err != errEnded {
		t.Errorf("got %v, want errEnded", a.err)
	}
	if q.leave(b) {
		t.Error("a member left after it was taken")
	}
}

func TestRefusalToBegin(t *testing.T) {
	s, _ := openTemp(t)
	db := s.db
	s.db = new(bbolt.DB) // is not open
	rev, err := s.Commit(t.Context(), puts("a", 0))
	if rev != 0 || !errors.Is(err, keystore.ErrFailed) || errors.Is(err, keystore.ErrUnknown) {
		t.Errorf("revision %d, %v, want ErrFailed", rev, err)
	}
	s.db = db
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("Get: got %v, want ErrNotFound", err)
	}
	if _, err := s.Commit(t.Context(), puts("a", 0)); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
}

// What bbolt refuses after it began leaves no transaction open, which Close would wait for.
func TestRefusalToWrite(t *testing.T) {
	s, path := openTemp(t)
	g := &transaction{base: s.snap, revision: 1, effects: map[string]effect{"": {revision: 1}}} // bbolt takes no empty name
	if err := s.write(g); !errors.Is(err, keystore.ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// After the checks a page may still go bad under bbolt. What it does then is turned into an error, and the file can be opened again.
// PostgreSQL's fsync errors of 2018, and etcd#13766: a failed sync that was tried again.
func TestFaultWhileWriting(t *testing.T) {
	s, path := openTemp(t)
	victim, keep := "", uint64(0) // a record of a page that is after all that is read before bbolt begins
	for i := 0; victim == ""; i++ {
		if _, err := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: fmt.Sprintf("%03d", i), Value: make([]byte, 1000)}}); err != nil {
			t.Fatal(err)
		}
		keep = max(s.snap.root, order.Uint64(s.snap.records.b)) + 1
		for j := range i {
			c, err := s.snap.seek(s.snap.records, fmt.Appendf(nil, "%03d", j))
			if err != nil {
				t.Fatal(err)
			}
			if i > 20 && order.Uint64(c.path[len(c.path)-1].b) >= keep {
				victim = fmt.Sprintf("%03d", j)
			}
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), victim)
	if err != nil {
		t.Fatal(err)
	}
	g := &transaction{base: s.snap, revision: s.snap.revision, effects: make(map[string]effect)}
	if _, err := g.admit(puts(victim, r.Revision)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(keep)*int64(s.snap.pageSize)); err != nil {
		t.Fatal(err)
	}
	err = s.write(g)
	if !errors.Is(err, keystore.ErrUnknown) {
		t.Fatalf("write to a file that was cut: got %v, want ErrUnknown", err)
	}
	if _, ok := errors.AsType[*errPanic](err); !ok {
		t.Errorf("the cause %v is no fault; the file was cut in the wrong place", err)
	}
	for what, err := range failing(t, s) {
		if !errors.Is(err, keystore.ErrFailed) {
			t.Errorf("%s after a failed write: got %v, want ErrFailed", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path, nil)
	if err != nil {
		t.Fatalf("reopening: %v", err)
	}
	if again, err := s.Get(t.Context(), victim); err != nil || again.Revision != r.Revision {
		t.Errorf("after reopening: revision %d, %v, want %d", again.Revision, err, r.Revision)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// failing calls every method.
func failing(t *testing.T, s *Store) map[string]error {
	_, get := s.Get(t.Context(), "a")
	_, list := s.List(t.Context(), "", "", 1)
	_, commit := s.Commit(t.Context(), puts("a", 0))
	_, check := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Check, Name: "a"}})
	return map[string]error{"Get": get, "List": list, "Commit": commit, "Commit of a check": check}
}

func TestGuardCatchesFaults(t *testing.T) {
	s, path := openTemp(t)
	if _, err := s.Commit(t.Context(), puts("a", 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	err := guard(func() error {
		_, err := s.db.Begin(false)
		return err
	})
	if _, ok := errors.AsType[*errPanic](err); !ok {
		t.Errorf("bbolt on a file without a page: got %v, want a fault", err)
	}
	s.db = nil // bbolt faulted with its locks held, and could not be closed
	s.stuck = true
	if err := s.Close(); !errors.Is(err, keystore.ErrFailed) {
		t.Errorf("Close: got %v, want ErrFailed", err)
	}
}

// BenchmarkCommit shows what sharing a transaction brings: one caller and sixteen, and sixteen with a bbolt transaction for each commit.
func BenchmarkCommit(b *testing.B) {
	b.Run("1goroutine", func(b *testing.B) {
		s, _ := openTemp(b)
		for i := 0; b.Loop(); i++ {
			mustCommit(b, s, fmt.Sprint("key/", i))
		}
	})
	b.Run("16goroutines", func(b *testing.B) {
		s, _ := openTemp(b)
		before := s.snap.tx
		inParallel(b, 16, func(i int) { mustCommit(b, s, fmt.Sprint("key/", i)) })
		b.ReportMetric(float64(b.N)/float64(s.snap.tx-before), "commits/transaction")
	})
	b.Run("16goroutines with bbolt alone", func(b *testing.B) {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		inParallel(b, 16, func(i int) {
			err := db.Update(func(tx *bbolt.Tx) error {
				bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
				if err != nil {
					return err
				}
				return bucket.Put(fmt.Append(nil, "key/", i), make([]byte, 600))
			})
			if err != nil {
				b.Error(err)
			}
		})
	})
}

// inParallel calls f with the numbers below b.N, from several goroutines.
func inParallel(b *testing.B, goroutines int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

func mustCommit(b *testing.B, s *Store, name string) {
	if _, err := s.Commit(b.Context(), []keystore.Change{{Op: keystore.Put, Name: name, Value: make([]byte, 600)}}); err != nil {
		b.Error(err)
	}
}

func BenchmarkGet(b *testing.B) {
	const records = 100_000
	s, _ := openTemp(b)
	for i := 0; i < records; i += keystore.MaxChanges {
		var batch []keystore.Change
		for j := i; j < min(i+keystore.MaxChanges, records); j++ {
			batch = append(batch, keystore.Change{Op: keystore.Put, Name: fmt.Sprintf("key/%08d", j), Value: make([]byte, 600)})
		}
		if _, err := s.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Get(b.Context(), fmt.Sprintf("key/%08d", i*7919%records)); err != nil {
			b.Fatal(err)
		}
	}
}
