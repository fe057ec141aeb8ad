package kms_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
)

// sealedUnder counts the records of a store by the domain key that sealed them.
func sealedUnder(t testing.TB, s keystore.Store) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, name := range itemNames(t, s, "") {
		if !strings.HasPrefix(name, "domain/") {
			n[must(record.DomainOf(value(t, s, name)))(t).String()]++
		}
	}
	return n
}

// furnished is a ring with some of everything, and a ciphertext of every version.
func furnished(t testing.TB, options ...func(*kms.Config)) (f *fixture, ciphertexts [][]byte) {
	t.Helper()
	f = open(t, options...)
	for range 40 {
		key := f.create()
		check(t, f.CreateAlias(t.Context(), "alias/"+key.KeyID, key.KeyID))
		check(t, f.EnableKeyRotation(t.Context(), key.KeyID, 0))
		for range 2 {
			ciphertexts = append(ciphertexts, must(f.Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t).Ciphertext)
			must(f.RotateKeyOnDemand(t.Context(), key.KeyID))(t)
		}
	}
	return f, ciphertexts
}

func decryptAll(t testing.TB, ring *kms.Keyring, ciphertexts [][]byte) {
	t.Helper()
	for _, c := range ciphertexts {
		if got := must(ring.Decrypt(t.Context(), c, nil))(t); string(got.Plaintext) != "x" {
			t.Fatalf("%q", got.Plaintext)
		}
	}
}

// TestRotateDomainKey: a new domain key seals at once, Maintain reseals what the old one has sealed and then drops it, and whatever is interrupted is gone on with.
func TestRotateDomainKey(t *testing.T) {
	f, ciphertexts := furnished(t)
	before := itemNames(t, f.store, "domain/")
	total := len(itemNames(t, f.store, "")) - 1
	check(t, f.RotateDomainKey(t.Context()))
	if now := itemNames(t, f.store, "domain/"); len(now) != 2 || !slices.Contains(now, before[0]) {
		t.Fatalf("%q", now)
	}
	old := strings.TrimPrefix(before[0], "domain/")
	if n := sealedUnder(t, f.store); n[old] != total-1 {
		t.Errorf("before Maintain: %v, want all of %d but the ring's own under the old one", n, total)
	}
	decryptAll(t, f.Keyring, ciphertexts)

	// A process that opens the ring now finds the older key when it needs it.
	other := open(t, func(c *kms.Config) { c.Store = f.store })
	decryptAll(t, other.Keyring, ciphertexts)

	// Each interruption leaves a whole ring, of which more is resealed than before.
	left := total - 1
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		stop := &countedStore{Store: f.store, left: 3, stop: cancel}
		third := open(t, func(c *kms.Config) { c.Store = stop })
		_, err := third.Maintain(ctx)
		cancel()
		now := sealedUnder(t, f.store)[old]
		if err == nil {
			break
		}
		if now >= left || n > total {
			t.Fatalf("interruption %d: %d left of %d: %v", n, now, left, err)
		}
		left = now
		decryptAll(t, f.Keyring, ciphertexts[:3])
		if got := checked(t, f.Keyring); len(got) != 0 {
			t.Fatalf("%q", got)
		}
		if n == 5 {
			report := must(f.Maintain(t.Context()))(t)
			if report.Resealed != left {
				t.Errorf("%d resealed, want the %d that were left", report.Resealed, left)
			}
		}
	}
	if n := sealedUnder(t, f.store); n[old] != 0 || len(n) != 1 || len(itemNames(t, f.store, "domain/")) != 1 {
		t.Errorf("after Maintain: %v", n)
	}
	for _, ring := range []*kms.Keyring{f.Keyring, other.Keyring, open(t, func(c *kms.Config) { c.Store = f.store }).Keyring} {
		decryptAll(t, ring, ciphertexts)
		must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	}
	if got := checked(t, f.Keyring); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// A countedStore stops after some commits.
type countedStore struct {
	keystore.Store
	left int
	stop func()
}

func (s *countedStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if s.left--; s.left <= 0 {
		s.stop()
	}
	return s.Store.Commit(ctx, changes)
}

// TestNothingIsSealedUnderAnOldDomainKey: a process that has not heard of a rotation cannot write under the old key, whose removal would lose what it wrote.
func TestNothingIsSealedUnderAnOldDomainKey(t *testing.T) {
	store := memory.New()
	share := func(c *kms.Config) { c.Store = store }
	a, b := open(t, share), open(t, share)
	key := a.create()
	old := strings.TrimPrefix(itemNames(t, store, "domain/")[0], "domain/")
	var wg sync.WaitGroup
	var made []kms.KeyMetadata
	wg.Go(func() {
		for range 200 {
			made = append(made, b.create())
			check(t, b.UpdateKeyDescription(t.Context(), key.KeyID, made[len(made)-1].KeyID))
		}
	})
	for range 5 {
		check(t, a.RotateDomainKey(t.Context()))
		must(a.Maintain(t.Context()))(t)
		if n := sealedUnder(t, store); n[old] != 0 {
			t.Errorf("%v under %s", n, old)
		}
		old = strings.TrimPrefix(itemNames(t, store, "domain/")[0], "domain/")
	}
	wg.Wait()
	c := open(t, share)
	for _, k := range append(made, key) {
		out := must(c.Encrypt(t.Context(), k.KeyID, []byte("x"), nil))(t)
		decryptAll(t, a.Keyring, [][]byte{out.Ciphertext})
	}
	if got := checked(t, c.Keyring); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// A staleStore lists some records as they once were.
type staleStore struct {
	keystore.Store
	old map[string]keystore.Record
}

func (s *staleStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	list, err := s.Store.List(ctx, prefix, after, limit)
	for i, r := range list {
		if old, ok := s.old[r.Name]; ok {
			old.Value = slices.Clone(old.Value)
			list[i] = old
		}
	}
	return list, err
}

// TestAPageFromBeforeAResealing: what was listed and then resealed, and whose domain key has gone before it was opened, is read again.
func TestAPageFromBeforeAResealing(t *testing.T) {
	store := &staleStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := f.create()
	old := map[string]keystore.Record{}
	for _, name := range itemNames(t, store, "") {
		if name != "ring" && !strings.HasPrefix(name, "domain/") {
			old[name] = must(store.Get(t.Context(), name))(t)
		}
	}
	check(t, f.RotateDomainKey(t.Context()))
	must(f.Maintain(t.Context()))(t)
	store.old = old
	for _, ring := range []*kms.Keyring{f.Keyring, open(t, func(c *kms.Config) { c.Store = store }).Keyring} {
		if got := all(t, ring.ListKeys(t.Context())); len(got) != 1 || got[0].KeyID != key.KeyID {
			t.Errorf("%+v", got)
		}
		if got := problems(t, ring); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
}

// TestDamageKeepsTheOldDomainKey: while a record under an old domain key cannot be read, or is not shown, the key stays: it may come back.
func TestDamageKeepsTheOldDomainKey(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, f *fixture, item string){
		"damaged":  func(t *testing.T, f *fixture, item string) { replace(t, f.store, item, []byte("x")) },
		"withheld": func(t *testing.T, f *fixture, item string) { replace(t, f.store, item, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			f, ciphertexts := furnished(t)
			item := itemNames(t, f.store, "key/")[7]
			whole := value(t, f.store, item)
			check(t, f.RotateDomainKey(t.Context()))
			harm(t, f, item)
			if _, err := f.Maintain(t.Context()); !errors.Is(err, record.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
			if n := len(itemNames(t, f.store, "domain/")); n != 2 {
				t.Errorf("%d domain keys, want the old one kept", n)
			}
			replace(t, f.store, item, whole)
			ring := open(t, func(c *kms.Config) { c.Store = f.store })
			must(ring.Maintain(t.Context()))(t)
			decryptAll(t, ring.Keyring, ciphertexts)
			if n := len(itemNames(t, f.store, "domain/")); n != 1 {
				t.Errorf("%d domain keys", n)
			}
		})
	}
}

// TestChangeRoots: afterwards the new roots open the ring and the old ones do not, at every moment one of them does, and programs that have it open go on.
func TestChangeRoots(t *testing.T) {
	first, second, third := newGCMRoot(t, gcmKey(1)), rootkey.WithName("second", newGCMRoot(t, gcmKey(2))), rootkey.WithName("third", newGCMRoot(t, gcmKey(3)))
	f, ciphertexts := furnished(t, func(c *kms.Config) { c.Root = first })
	stranger := open(t, func(c *kms.Config) { c.Root, c.Store = first, f.store })
	check(t, f.RotateDomainKey(t.Context()))
	other := open(t, func(c *kms.Config) { c.Root, c.Store = first, f.store })
	decryptAll(t, other.Keyring, ciphertexts) // of two domain keys, both of which are rewrapped
	opens := func(root rootkey.Root) error {
		ring, err := kms.Open(t.Context(), kms.Config{Store: f.store, Root: root})
		if err != nil {
			return err
		}
		defer ring.Close()
		for _, c := range ciphertexts {
			if _, err := ring.Decrypt(t.Context(), c, nil); err != nil {
				return err
			}
		}
		return nil
	}
	// Stopped at any commit, one of the roots opens it.
	for n := 1; n <= 4; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		ring := open(t, func(c *kms.Config) { c.Root, c.Store = first, &countedStore{Store: f.store, left: n, stop: cancel} })
		err := ring.ChangeRoots(ctx, second, third)
		cancel()
		if opens(first) != nil && opens(second) != nil {
			t.Fatalf("after %d commits neither root opens everything: %v", n, err)
		}
		again := open(t, func(c *kms.Config) { c.Store, c.Root, c.RecoveryRoots = f.store, first, []rootkey.Root{second, third} })
		check(t, again.ChangeRoots(t.Context(), first))
	}
	check(t, f.ChangeRoots(t.Context(), second, third))
	for name, root := range map[string]rootkey.Root{"second": second, "third": third} {
		if err := opens(root); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := opens(first); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("the old root: %v", err)
	}
	other.create()
	decryptAll(t, other.Keyring, ciphertexts)
	// Who has not seen the domain key that rotated before cannot open it any more: it is refused, and writes nothing under the old one.
	if _, err := stranger.CreateKey(t.Context(), kms.CreateKeyInput{}); !errors.Is(err, kms.ErrInternal) || !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("%v", err)
	}

	// The same name, another key: a passphrase that changes.
	check(t, f.ChangeRoots(t.Context(), rootkey.WithName("second", newGCMRoot(t, gcmKey(4)))))
	if opens(second) == nil {
		t.Error("the old root of the same name still opens the ring")
	}
	check(t, opens(rootkey.WithName("second", newGCMRoot(t, gcmKey(4)))))
}

// TestChangeRootsRefusesNil: what a constructor that failed returns is told by its place among the arguments, and changes nothing.
func TestChangeRootsRefusesNil(t *testing.T) {
	f := open(t)
	root := newGCMRoot(t, gcmKey(1))
	for want, roots := range map[string][]rootkey.Root{
		"ChangeRoots: root: nil":        {(*keyfile.Root)(nil)},
		"ChangeRoots: recovery[1]: nil": {root, rootkey.WithName("other", root), nil},
	} {
		if err := f.ChangeRoots(t.Context(), roots[0], roots[1:]...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if events := f.trail.Events(); len(events) != 0 {
		t.Errorf("%d events", len(events))
	}
}

// TestRotationKeepsEveryRoot: a new domain key that a recovery root cannot open would make the recovery root worthless without a word.
func TestRotationKeepsEveryRoot(t *testing.T) {
	first, second := newGCMRoot(t, gcmKey(1)), rootkey.WithName("second", newGCMRoot(t, gcmKey(2)))
	store := memory.New()
	_ = open(t, func(c *kms.Config) { c.Store, c.Root, c.RecoveryRoots = store, first, []rootkey.Root{second} })
	alone := open(t, func(c *kms.Config) { c.Store, c.Root = store, first })
	if err := alone.RotateDomainKey(t.Context()); err == nil || !strings.Contains(err.Error(), `"second"`) {
		t.Errorf("%v", err)
	}
	if n := len(itemNames(t, store, "domain/")); n != 1 {
		t.Errorf("%d domain keys", n)
	}
	both := open(t, func(c *kms.Config) { c.Store, c.Root, c.RecoveryRoots = store, first, []rootkey.Root{second} })
	check(t, both.RotateDomainKey(t.Context()))
	must(kms.Open(t.Context(), kms.Config{Store: store, Root: second}))(t)
}

// TestRotationKeepsRootsThatWereChanged: a process that was opened before the roots changed rotates nothing: the new domain key would be lost to the new roots, and
// the old ones, which were given up, would open everything again. It does not change the roots back either.
func TestRotationKeepsRootsThatWereChanged(t *testing.T) {
	first, second, third := newGCMRoot(t, gcmKey(1)), rootkey.WithName("second", newGCMRoot(t, gcmKey(2))), rootkey.WithName("third", newGCMRoot(t, gcmKey(3)))
	otherFirst, otherSecond := newGCMRoot(t, gcmKey(4)), rootkey.WithName("second", newGCMRoot(t, gcmKey(5)))
	for name, tc := range map[string]struct {
		old, next []rootkey.Root
		message   string
		changes   bool // the old roots may still change the roots
	}{
		"another of the same name":       {[]rootkey.Root{first}, []rootkey.Root{otherFirst}, "does not open", false},
		"a recovery root of the name":    {[]rootkey.Root{first, second}, []rootkey.Root{first, otherSecond}, "does not open", true},
		"the recovery root is given up":  {[]rootkey.Root{first, second}, []rootkey.Root{first}, `not wrapped under root "second"`, true},
		"a recovery root is added":       {[]rootkey.Root{first}, []rootkey.Root{first, third}, `also wrapped under root "third"`, true},
		"the recovery root takes turns":  {[]rootkey.Root{first, second}, []rootkey.Root{second, otherFirst}, "does not open", true},
		"all are others of other names":  {[]rootkey.Root{first}, []rootkey.Root{third, second}, "which was not given", false},
		"all are others, in other order": {[]rootkey.Root{first, second}, []rootkey.Root{otherSecond, otherFirst}, "does not open", false},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New()
			with := func(roots []rootkey.Root) func(*kms.Config) {
				return func(c *kms.Config) { c.Store, c.Root, c.RecoveryRoots = store, roots[0], roots[1:] }
			}
			operator, stale := open(t, with(tc.old)), open(t, with(tc.old))
			key := operator.create()
			check(t, operator.ChangeRoots(t.Context(), tc.next[0], tc.next[1:]...))
			if err := stale.RotateDomainKey(t.Context()); err == nil || !strings.Contains(err.Error(), tc.message) {
				t.Errorf("%v, want %q", err, tc.message)
			}
			if n := len(itemNames(t, store, "domain/")); n != 1 {
				t.Errorf("%d domain keys", n)
			}
			for _, root := range tc.next {
				ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: root}))(t)
				must(ring.DescribeKey(t.Context(), key.KeyID))(t)
				check(t, ring.Close())
			}
			if err := stale.ChangeRoots(t.Context(), tc.old[0]); (err == nil) != tc.changes {
				t.Errorf("a change by the old roots: %v", err)
			}
			if !tc.changes {
				check(t, operator.RotateDomainKey(t.Context()))
				for _, root := range tc.next {
					check(t, must(kms.Open(t.Context(), kms.Config{Store: store, Root: root}))(t).Close())
				}
			}
		})
	}
}

// TestRotationWaitsForAChangeOfRoots: while a change of roots of the same names is half done, no domain key is made that only one side opens.
func TestRotationWaitsForAChangeOfRoots(t *testing.T) {
	old, next := newGCMRoot(t, gcmKey(1)), newGCMRoot(t, gcmKey(2))
	store := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	operator := open(t, func(c *kms.Config) { c.Root, c.Store = old, &countedStore{Store: store, left: 3, stop: cancel} }) // making the ring, adding wraps, dropping wraps
	if err := operator.ChangeRoots(ctx, next); err == nil {
		t.Fatal("the change was not interrupted")
	}
	for _, root := range []rootkey.Root{old, next} {
		ring := open(t, func(c *kms.Config) { c.Store, c.Root = store, root })
		if err := ring.RotateDomainKey(t.Context()); err == nil || !strings.Contains(err.Error(), "does not open") {
			t.Errorf("%v", err)
		}
	}
	again := open(t, func(c *kms.Config) { c.Store, c.Root = store, old })
	check(t, again.ChangeRoots(t.Context(), next))
	check(t, again.RotateDomainKey(t.Context()))
	check(t, must(kms.Open(t.Context(), kms.Config{Store: store, Root: next}))(t).Close())
}

// A misreadStore returns one record with its last byte changed.
type misreadStore struct {
	keystore.Store
	item string
}

func (s *misreadStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	r, err := s.Store.Get(ctx, name)
	if err == nil && name == s.item {
		r.Value[len(r.Value)-1] ^= 1
	}
	return r, err
}

// TestRotationWritesNothingMisread: a rotation writes the record of the old domain key again, and must not make a fault of reading last.
func TestRotationWritesNothingMisread(t *testing.T) {
	store := &misreadStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := f.create()
	item := itemNames(t, store, "domain/")[0]
	store.item = item
	if err := f.RotateDomainKey(t.Context()); err == nil || !strings.Contains(err.Error(), item+": its wrap does not open") {
		t.Errorf("%v", err)
	}
	store.item = ""
	must(open(t, func(c *kms.Config) { c.Store = store }).Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
	check(t, f.RotateDomainKey(t.Context()))
}

// TestDomainKeysAreBounded: rotating again and again without maintenance comes to an end.
func TestDomainKeysAreBounded(t *testing.T) {
	f := open(t)
	var err error
	for range 10 {
		if err = f.RotateDomainKey(t.Context()); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "wait for Maintain") {
		t.Errorf("%v", err)
	}
	must(f.Maintain(t.Context()))(t)
	check(t, f.RotateDomainKey(t.Context()))
}

// TestRootChangesAreRecorded: a sink that refuses keeps the roots as they are; an event tells of what was done.
func TestRootChangesAreRecorded(t *testing.T) {
	f := open(t)
	check(t, f.RotateDomainKey(t.Context()))
	check(t, f.ChangeRoots(t.Context(), newGCMRoot(t, gcmKey(7))))
	var got []string
	for _, e := range f.trail.Events() {
		got = append(got, e.Name+" "+e.Type)
	}
	if want := []string{"RotateDomainKey " + audit.ServiceEvent, "ChangeRoots " + audit.ServiceEvent}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	refusing := open(t, func(c *kms.Config) {
		c.Store, c.Root = f.store, newGCMRoot(t, gcmKey(7))
		c.Audit = audit.SinkFunc(func(context.Context, *audit.Event) error { return errors.New("full") })
	})
	before := itemNames(t, f.store, "domain/")
	if err := refusing.RotateDomainKey(t.Context()); err == nil {
		t.Error("the domain key rotated without a record")
	}
	if err := refusing.ChangeRoots(t.Context(), newGCMRoot(t, gcmKey(8))); err == nil {
		t.Error("the roots changed without a record")
	}
	if after := itemNames(t, f.store, "domain/"); !slices.Equal(before, after) {
		t.Errorf("%q, was %q", after, before)
	}
	must(kms.Open(t.Context(), kms.Config{Store: f.store, Root: newGCMRoot(t, gcmKey(7))}))(t)
}

// lastEvent returns the last record of a trail.
func lastEvent(t testing.TB, trail *audit.Memory) *audit.Event {
	t.Helper()
	events := trail.Events()
	if len(events) == 0 {
		t.Fatal("no events")
	}
	return events[len(events)-1]
}

// TestUnknownOutcomesOfRootsAndDomainKeys: a rotation that is in effect and could not be anchored, and a change of roots that was interrupted after the first old
// wrap was dropped, are said to be of unknown outcome, to the caller and in the trail, whatever kept them from their end.
func TestUnknownOutcomesOfRootsAndDomainKeys(t *testing.T) {
	unknown := func(t *testing.T, f *fixture, err error, name string) {
		t.Helper()
		last := lastEvent(t, f.trail)
		if !errors.Is(err, keystore.ErrUnknown) || last.Name != name || last.ErrorCode != string(kms.ErrInternal) || !strings.Contains(last.ErrorMessage, "unknown") {
			t.Errorf("%v; in the trail %s: %s %q", err, last.Name, last.ErrorCode, last.ErrorMessage)
		}
	}
	for _, cause := range []error{errors.New("gone"), context.DeadlineExceeded} {
		w := &wilfulAnchor{Anchor: must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)}
		f := open(t, func(c *kms.Config) { c.Anchor = w })
		key := f.create()
		w.err = cause
		err := f.RotateDomainKey(t.Context())
		if n := len(itemNames(t, f.store, "domain/")); n != 2 {
			t.Fatalf("%d domain keys", n)
		}
		unknown(t, f, err, "RotateDomainKey")
		err = f.DisableKey(t.Context(), key.KeyID)
		unknown(t, f, err, "DisableKey")
		wantCode(t, err, kms.ErrInternal)
		w.err = nil
		f.create()
	}
	for left, isUnknown := range map[int]bool{3: false, 4: false, 5: true, 6: true} { // of a ring with two domain keys: 1 makes it, 2 rotates, 3 and 4 add wraps, 5 and 6 drop them
		ctx, cancel := context.WithCancel(t.Context())
		store := &countedStore{Store: memory.New(), left: left + 1, stop: cancel}
		f := open(t, func(c *kms.Config) { c.Store = store })
		check(t, f.RotateDomainKey(t.Context()))
		store.left = left - 2
		err := f.ChangeRoots(ctx, newGCMRoot(t, gcmKey(7)))
		if isUnknown {
			unknown(t, f, err, "ChangeRoots")
		} else if last := lastEvent(t, f.trail); err == nil || errors.Is(err, keystore.ErrUnknown) || last.ErrorCode != string(kms.ErrDependencyTimeout) {
			t.Errorf("stopped at commit %d: %v; in the trail %s", left, err, last.ErrorCode)
		}
		check(t, f.ChangeRoots(t.Context(), newGCMRoot(t, gcmKey(7))))
		check(t, must(kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(7))}))(t).Close())
	}
}

// A ringlessStore does not return the ring's own record while it is on.
type ringlessStore struct {
	keystore.Store
	on bool
}

func (s *ringlessStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.on && name == "ring" {
		return keystore.Record{}, errLossy
	}
	return s.Store.Get(ctx, name)
}

// TestAChangeOfRootsThatIsDoneIsNoFailure: what comes after it does not make one of it.
func TestAChangeOfRootsThatIsDoneIsNoFailure(t *testing.T) {
	store := &ringlessStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store = store })
	store.on = true
	check(t, f.ChangeRoots(t.Context(), newGCMRoot(t, gcmKey(7))))
	store.on = false
	f.create()
	check(t, must(kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(7))}))(t).Close())
}
