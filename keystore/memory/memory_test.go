package memory_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/keystoretest"
	"github.com/claviger/kms/keystore/memory"
)

func TestConformance(t *testing.T) {
	keystoretest.Run(t, func(*testing.T) keystore.Store { return memory.New() })
}

// Enough records to split chunks often, and enough deletions to empty some, against a map.
func TestIndexAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	s := memory.New()
	model := make(map[string]keystore.Revision)
	for step := range 40_000 {
		name := fmt.Sprintf("%05d", rnd.IntN(8000))
		c := keystore.Change{Op: keystore.Put, Name: name, Revision: model[name]}
		if c.Revision != 0 && (step/10_000%2 == 1 || rnd.IntN(4) == 0) {
			c.Op = keystore.Delete
		}
		rev, err := s.Commit(t.Context(), []keystore.Change{c})
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if c.Op == keystore.Put {
			model[name] = rev
		} else {
			delete(model, name)
		}
		if step%4000 == 0 {
			compare(t, s, model)
		}
	}
	compare(t, s, model)
	for name, rev := range model {
		if _, err := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: name, Revision: rev}}); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, s, nil)
}

func compare(t *testing.T, s *memory.Store, model map[string]keystore.Revision) {
	t.Helper()
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := s.List(t.Context(), "", after, keystore.MaxListLimit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if r.Revision != model[r.Name] {
				t.Fatalf("%s has revision %d, want %d", r.Name, r.Revision, model[r.Name])
			}
			got = append(got, r.Name)
		}
		if len(page) < keystore.MaxListLimit {
			break
		}
	}
	if want := slices.Sorted(maps.Keys(model)); !slices.Equal(got, want) {
		t.Fatalf("listed %d names, want %d", len(got), len(want))
	}
}

func TestSlowWatcherBreaks(t *testing.T) {
	s := memory.New()
	release := make(chan struct{})
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		first := true
		ended <- s.Watch(context.Background(), func(keystore.Notice) {
			if first {
				first = false
				close(started)
				<-release
			}
		})
	}()
	var rev keystore.Revision
	commit := func() {
		next, err := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: "n", Revision: rev}})
		if err != nil {
			t.Fatal(err)
		}
		rev = next
	}
	for waiting := true; waiting; { // Watch may not have begun yet
		commit()
		select {
		case <-started:
			waiting = false
		default:
		}
	}
	for range 5000 {
		commit()
	}
	close(release)
	if err := <-ended; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("watcher 5000 commits behind ended with %v, want that it fell behind", err)
	}
}

func TestCloseEndsWatchers(t *testing.T) {
	s := memory.New()
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(context.Background(), func(keystore.Notice) {}) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, keystore.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// The cost of a change and of a page must not grow with the store.
func BenchmarkMillion(b *testing.B) {
	const records = 1_000_000
	s := memory.New()
	changes := make([]keystore.Change, 0, keystore.MaxChanges)
	revisions := make([]keystore.Revision, records)
	for _, i := range rand.Perm(records) {
		changes = append(changes[:0], keystore.Change{Op: keystore.Put, Name: fmt.Sprintf("key/%08d", i)})
		rev, err := s.Commit(b.Context(), changes)
		if err != nil {
			b.Fatal(err)
		}
		revisions[i] = rev
	}
	b.Run("Get", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(b.Context(), fmt.Sprintf("key/%08d", rand.IntN(records))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("List100", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.List(b.Context(), "key/", fmt.Sprintf("key/%08d", rand.IntN(records)), 100); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Commit", func(b *testing.B) {
		for b.Loop() {
			i := rand.IntN(records)
			rev, err := s.Commit(b.Context(), []keystore.Change{{Op: keystore.Put, Name: fmt.Sprintf("key/%08d", i), Revision: revisions[i]}})
			if err != nil {
				b.Fatal(err)
			}
			revisions[i] = rev
		}
	})
}
