package kms_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A slyStore hands each commit to a function that may answer in its place.
type slyStore struct {
	keystore.Store
	commit func(changes []keystore.Change) (handled bool, err error)
	get    func(name string) (r keystore.Record, handled bool, err error)
}

func (s *slyStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if s.commit != nil {
		if handled, err := s.commit(changes); handled {
			return 0, err
		}
	}
	return s.Store.Commit(ctx, changes)
}

func (s *slyStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.get != nil {
		if r, handled, err := s.get(name); handled {
			return r, err
		}
	}
	return s.Store.Get(ctx, name)
}

func putOf(changes []keystore.Change, name string) []byte {
	if i := slices.IndexFunc(changes, func(c keystore.Change) bool { return c.Op == keystore.Put && c.Name == name }); i >= 0 {
		return changes[i].Value
	}
	return nil
}

// TestARefusedLedgerDoesNotComeBack: a ledger whose commit failed has the generation that the next one gets. A store that kept it cannot bring back with it,
// across a restart, what was acknowledged since.
func TestARefusedLedgerDoesNotComeBack(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	sly := &slyStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly, a })
	victim := f.create()
	other := f.create()
	for other.KeyID[:2] == victim.KeyID[:2] {
		other = f.create()
	}
	before := contents(t, f.store)

	var kept []byte
	sly.commit = func(changes []keystore.Change) (bool, error) {
		if v := putOf(changes, "ledger"); v != nil && kept == nil {
			kept = slices.Clone(v)
			return true, errors.New("out of reach")
		}
		return false, nil
	}
	if err := f.UpdateKeyDescription(t.Context(), other.KeyID, "x"); !errors.Is(err, keystore.ErrUnknown) {
		t.Fatalf("%v", err)
	}
	check(t, f.DisableKey(t.Context(), victim.KeyID)) // acknowledged

	items := contents(t, f.store)
	for _, name := range []string{"key/" + victim.KeyID, "total/" + victim.KeyID[:2]} {
		items[name] = before[name]
	}
	items["ledger"] = kept
	ring, err := kms.Open(t.Context(), kms.Config{Store: filled(t, items), Root: newGCMRoot(t, make([]byte, 32)), Anchor: a, Now: f.clock.now})
	if err != nil {
		return // refused, as it must be
	}
	defer ring.Close()
	if _, err := ring.Encrypt(t.Context(), victim.KeyID, []byte("x"), nil); err == nil {
		t.Error("with an anchor, an acknowledged DisableKey was rolled back across a restart, and the key encrypts")
	}
}

// A forkedStore can be copied, revisions included, which is what a store that shows two worlds does.
type forkedStore struct {
	mu      sync.Mutex
	records map[string]keystore.Record
	last    keystore.Revision
	fork    *forkedStore // goes on in place of this one
}

func (s *forkedStore) now() *forkedStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fork != nil {
		return s.fork
	}
	return s
}

func (s *forkedStore) clone() *forkedStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &forkedStore{records: maps.Clone(s.records), last: s.last}
}

func (s *forkedStore) Get(_ context.Context, name string) (keystore.Record, error) {
	s = s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[name]
	if !ok {
		return r, keystore.ErrNotFound
	}
	r.Value = slices.Clone(r.Value)
	return r, nil
}

func (s *forkedStore) List(_ context.Context, prefix, after string, limit int) (page []keystore.Record, _ error) {
	s = s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.records)) {
		if strings.HasPrefix(name, prefix) && name > after && len(page) < limit {
			r := s.records[name]
			r.Value = slices.Clone(r.Value)
			page = append(page, r)
		}
	}
	return page, nil
}

func (s *forkedStore) Commit(_ context.Context, changes []keystore.Change) (keystore.Revision, error) {
	s = s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if s.records[c.Name].Revision != c.Revision {
			return 0, keystore.ErrConflict
		}
	}
	s.last++
	for _, c := range changes {
		switch c.Op {
		case keystore.Put:
			s.records[c.Name] = keystore.Record{Name: c.Name, Value: slices.Clone(c.Value), Revision: s.last}
		case keystore.Delete:
			delete(s.records, c.Name)
		}
	}
	return s.last, nil
}

func (s *forkedStore) Close() error { return nil }

// TestOneAnchorOneWay: a store shows two processes two worlds, which make as many changes. The anchor goes one way, of whoever changes something first; to the other
// process, and to whoever opens the other world, the store has gone back.
func TestOneAnchorOneWay(t *testing.T) {
	for name, firstDisables := range map[string]bool{"the change is first": true, "the fork is first": false} {
		t.Run(name, func(t *testing.T) {
			a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
			shared := &forkedStore{records: map[string]keystore.Record{}}
			moved := &forkedStore{fork: shared} // at first the same
			one := open(t, func(c *kms.Config) { c.Store, c.Anchor, c.MaxStaleness = shared, a, 30*time.Millisecond })
			victim, other := one.create(), one.create()
			two := open(t, func(c *kms.Config) { c.Store, c.Anchor, c.MaxStaleness = moved, a, 30*time.Millisecond })
			must(two.Encrypt(t.Context(), victim.KeyID, []byte("x"), nil))(t)
			must(two.DescribeKey(t.Context(), other.KeyID))(t)
			fork := shared.clone()
			moved.mu.Lock()
			moved.fork = fork
			moved.mu.Unlock()

			changes := []func() error{
				func() error { return one.DisableKey(t.Context(), victim.KeyID) },
				func() error { return two.UpdateKeyDescription(t.Context(), other.KeyID, "busy") },
			}
			won, lost, lostWorld := one, two, fork
			if !firstDisables {
				slices.Reverse(changes)
				won, lost, lostWorld = two, one, shared
			}
			check(t, changes[0]())
			if err := changes[1](); err == nil {
				t.Error("both worlds have changed")
			}
			time.Sleep(50 * time.Millisecond)
			if _, err := lost.DescribeKey(t.Context(), victim.KeyID); !errors.Is(err, kms.ErrRolledBack) {
				t.Errorf("in the world that lost, beyond the bound: %v", err)
			}
			must(won.DescribeKey(t.Context(), victim.KeyID))(t)
			check(t, won.UpdateKeyDescription(t.Context(), other.KeyID, "goes on"))
			if _, err := kms.Open(t.Context(), kms.Config{Store: lostWorld, Root: newGCMRoot(t, make([]byte, 32)), Anchor: a, Now: one.clock.now}); !errors.Is(err, kms.ErrRolledBack) {
				t.Errorf("the world that lost opens: %v", err)
			}
		})
	}
}

// TestWhatIsReadBackIsAnchored: a change whose outcome is unknown is read back, as its error says, by another process. From when that says how it is, the store
// cannot take it back.
func TestWhatIsReadBackIsAnchored(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	sly := &slyStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly, a })
	victim := f.create()
	before := contents(t, f.store)
	sly.commit = func(changes []keystore.Change) (bool, error) {
		return putOf(changes, "ledger") != nil, errors.New("out of reach")
	}
	if err := f.DisableKey(t.Context(), victim.KeyID); !errors.Is(err, keystore.ErrUnknown) {
		t.Fatal(err)
	}
	sly.commit = nil // and the first process is killed here

	again := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly.Store, a })
	if got := must(again.DescribeKey(t.Context(), victim.KeyID))(t); got.KeyState != kms.Disabled {
		t.Fatalf("%v", got.KeyState)
	}
	check(t, again.DisableKey(t.Context(), victim.KeyID)) // says that it is done, too

	items := maps.Clone(contents(t, sly.Store))
	for _, name := range []string{"key/" + victim.KeyID, "total/" + victim.KeyID[:2]} {
		items[name] = before[name]
	}
	ring, err := kms.Open(t.Context(), kms.Config{Store: filled(t, items), Root: newGCMRoot(t, make([]byte, 32)), Anchor: a, Now: f.clock.now})
	if err != nil {
		return
	}
	defer ring.Close()
	if _, err := ring.Encrypt(t.Context(), victim.KeyID, []byte("x"), nil); err == nil {
		t.Error("with an anchor, a key that was shown as disabled, and of which a second DisableKey returned nil, is enabled again")
	}
}

// TestALedgerThatIsGone: a change does not wait for ever where the store has lost the ledger.
func TestALedgerThatIsGone(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	var broken atomic.Bool
	var commits atomic.Int64
	sly := &slyStore{Store: memory.New()}
	sly.commit = func(changes []keystore.Change) (bool, error) {
		commits.Add(1)
		return broken.Load(), errors.New("ended by the test")
	}
	f := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly, a })
	key := f.create()
	r := must(sly.Store.Get(t.Context(), "ledger"))(t)
	must(sly.Store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: "ledger", Revision: r.Revision}}))(t)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	commits.Store(0)
	done := make(chan error, 1)
	go func() { done <- f.DisableKey(ctx, key.KeyID) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Errorf("the call is still busy, with %d commits", commits.Load())
		broken.Store(true)
		<-done
	}
}

// TestTheRingsRecordDoesNotGoBack: a running process that lost a race looks up which domain key seals, and believes no older record of the ring: it would seal
// under a domain key that was replaced because somebody may know it.
func TestTheRingsRecordDoesNotGoBack(t *testing.T) {
	for name, anchored := range map[string]bool{"anchor": true, "no anchor": false} {
		t.Run(name, func(t *testing.T) {
			sly := &slyStore{Store: memory.New()}
			f := open(t, func(c *kms.Config) {
				c.Store = sly
				if anchored {
					c.Anchor = must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
				}
			})
			f.create()
			old := must(sly.Store.Get(t.Context(), "ring"))(t)
			known := must(record.DomainOf(old.Value))(t)
			check(t, f.RotateDomainKey(t.Context()))
			fresh := must(record.DomainOf(value(t, sly.Store, "ring")))(t)

			sly.get = func(name string) (keystore.Record, bool, error) {
				switch name {
				case "ring":
					return old, true, nil
				case "domain/" + fresh.String():
					return keystore.Record{}, true, keystore.ErrNotFound
				}
				return keystore.Record{}, false, nil
			}
			refused := false
			sly.commit = func([]keystore.Change) (bool, error) {
				if refused {
					return false, nil
				}
				refused = true
				return true, keystore.ErrConflict
			}
			key, err := f.CreateKey(t.Context(), kms.CreateKeyInput{})
			if err != nil {
				return // refused, as it must be
			}
			for _, item := range itemNames(t, sly.Store, "ver/"+key.KeyID) {
				if got := must(record.DomainOf(value(t, sly.Store, item)))(t); got == known {
					t.Errorf("new material, %s, is sealed under the domain key that was rotated away", strings.Split(item, "/")[0])
				}
			}
		})
	}
}

// TestAWithheldAliasIsMadeTwice shows what remains: a store that withholds an alias while somebody makes it anew gets two keys that both have it, and chooses from
// then on which one it means.
func TestAWithheldAliasIsMadeTwice(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	sly := &slyStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly, a })
	one, two := f.create(), f.create()
	check(t, f.CreateAlias(t.Context(), "alias/x", one.KeyID))
	was := must(sly.Store.Get(t.Context(), "alias/x"))(t)
	must(sly.Store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: "alias/x", Revision: was.Revision}}))(t)
	check(t, f.CreateAlias(t.Context(), "alias/x", two.KeyID))
	targets := map[string]bool{}
	is := value(t, sly.Store, "alias/x")
	for _, v := range [][]byte{was.Value, is} {
		items := contents(t, sly.Store)
		items["alias/x"] = v
		ring := must(kms.Open(t.Context(), kms.Config{Store: filled(t, items), Root: newGCMRoot(t, make([]byte, 32)), Anchor: a, Now: f.clock.now}))(t)
		if got, err := ring.DescribeKey(t.Context(), "alias/x"); err == nil {
			targets[got.KeyID] = true
		}
		check(t, ring.Close())
	}
	if len(targets) != 2 { // docs/threat-model.md says so; both keys had the name of a caller who may give it
		t.Errorf("the alias means %d keys", len(targets))
	}
}

// TestALedgerOfAnotherRevision: nor where the store holds the ledger as it is known, at another revision, as after a store was filled anew from a copy of its
// records.
func TestALedgerOfAnotherRevision(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	var broken atomic.Bool
	sly := &slyStore{Store: memory.New()}
	sly.commit = func([]keystore.Change) (bool, error) { return broken.Load(), errors.New("ended by the test") }
	f := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly, a })
	key := f.create()
	replace(t, sly.Store, "ledger", value(t, sly.Store, "ledger"))

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.DisableKey(ctx, key.KeyID) }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		t.Error("the call is still busy")
		broken.Store(true)
		<-done
	}
}

// TestARefusedChangeComesLater shows what remains: a store that refuses a change, and keeps it, may make it later, as long as nothing else has changed the record since. The next
// change of the record ends that.
func TestARefusedChangeComesLater(t *testing.T) {
	for name, changed := range map[string]bool{"nothing changed since": false, "the record changed since": true} {
		t.Run(name, func(t *testing.T) {
			a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
			sly := &slyStore{Store: memory.New()}
			f := open(t, func(c *kms.Config) { c.Store, c.Anchor = sly, a })
			key := f.create()
			check(t, f.DisableKey(t.Context(), key.KeyID))
			var kept []keystore.Change
			sly.commit = func(changes []keystore.Change) (bool, error) {
				if putOf(changes, "key/"+key.KeyID) != nil && kept == nil {
					kept = slices.Clone(changes)
					return true, errors.New("out of reach")
				}
				return false, nil
			}
			if err := f.EnableKey(t.Context(), key.KeyID); err == nil {
				t.Fatal("it was not refused")
			}
			if changed {
				check(t, f.UpdateKeyDescription(t.Context(), key.KeyID, "since"))
			}
			check(t, f.Close())
			for _, c := range kept {
				if c.Op == keystore.Put {
					replace(t, sly.Store, c.Name, c.Value)
				}
			}
			ring := must(kms.Open(t.Context(), kms.Config{Store: sly.Store, Root: newGCMRoot(t, make([]byte, 32)), Anchor: a, Now: f.clock.now}))(t)
			defer ring.Close()
			got, err := ring.DescribeKey(t.Context(), key.KeyID)
			if !changed && (err != nil || got.KeyState != kms.Enabled) { // docs/threat-model.md says so
				t.Errorf("%v, %v", got.KeyState, err)
			}
			if changed && !errors.Is(err, kms.ErrRolledBack) {
				t.Errorf("a change that was refused takes the place of a later one: %v, %v", got.KeyState, err)
			}
		})
	}
}
