package kms_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

func contents(t testing.TB, s keystore.Store) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range itemNames(t, s, "") {
		all[name] = value(t, s, name)
	}
	return all
}

func filled(t testing.TB, items map[string][]byte) keystore.Store {
	t.Helper()
	s := memory.New()
	for name, v := range items {
		replace(t, s, name, v)
	}
	return s
}

// TestAnchorRefusesEveryRollback: across a restart, with an anchor, no older state of a key is ever taken for the present one: whichever of the key, its total, the
// ledger and everything else is put back, to whichever state, and when the key is withheld or brought back from the dead. Without an anchor that goes unnoticed.
func TestAnchorRefusesEveryRollback(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	f := open(t, func(c *kms.Config) { c.Anchor = a })
	key, sibling := f.create(), f.create()
	var history []map[string][]byte
	step := func(err error) {
		check(t, err)
		history = append(history, contents(t, f.store))
	}
	step(nil)
	step(f.UpdateKeyDescription(t.Context(), key.KeyID, "a"))
	step(f.DisableKey(t.Context(), key.KeyID))
	step(f.UpdateKeyDescription(t.Context(), sibling.KeyID, "b"))
	step(f.EnableKey(t.Context(), key.KeyID))
	step(f.DisableKey(t.Context(), key.KeyID))
	now := history[len(history)-1]
	total := "total/" + key.KeyID[:2]
	item := "key/" + key.KeyID

	describe := func(items map[string][]byte, an anchor.Anchor) (kms.KeyMetadata, error) {
		ring, err := kms.Open(t.Context(), kms.Config{Store: filled(t, items), Root: newGCMRoot(t, make([]byte, 32)), Anchor: an, Now: f.clock.now})
		if err != nil {
			return kms.KeyMetadata{}, err
		}
		defer ring.Close()
		return ring.DescribeKey(t.Context(), key.KeyID)
	}
	if got := must(describe(now, a))(t); got.KeyState != kms.Disabled {
		t.Fatalf("nothing done: %v", got.KeyState)
	}
	tried := 0
	for _, old := range append(history[:len(history)-1:len(history)-1], map[string][]byte{}) {
		for _, names := range [][]string{{item}, {item, total}, {item, "ledger"}, {item, total, "ledger"}, {total}, {"ledger"}, {total, "ledger"}, slices.Collect(maps.Keys(now))} {
			items := maps.Clone(now)
			changed := false
			for _, n := range names {
				if string(old[n]) == string(items[n]) {
					continue
				}
				changed = true
				if items[n] = old[n]; old[n] == nil {
					delete(items, n)
				}
			}
			if !changed || len(items) == 0 { // an empty store is a new ring's, which the anchor refuses too: see below
				continue
			}
			tried++
			got, err := describe(items, a)
			if err == nil && (got.KeyState != kms.Disabled || got.Description != "a") {
				t.Errorf("put back %q: %v %q", names, got.KeyState, got.Description)
			}
			if err == nil || errors.Is(err, kms.ErrNotFound) {
				t.Errorf("put back %q: %v, want a refusal", names, err)
			}
			if err != nil && !errors.Is(err, kms.ErrRolledBack) && len(old) > 0 {
				t.Errorf("put back %q: %v, want ErrRolledBack", names, err)
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d tried", tried)
	}
	if _, err := describe(map[string][]byte{}, a); err == nil {
		t.Error("a new ring takes the place of an anchored one")
	}

	// One record rolled back across a restart, without an anchor: the key is enabled again. docs/threat-model.md says so.
	items := maps.Clone(now)
	items[item] = history[4][item]
	if got := must(describe(items, nil))(t); got.KeyState != kms.Enabled {
		t.Errorf("without an anchor: %v", got.KeyState)
	}
	ring := must(kms.Open(t.Context(), kms.Config{Store: filled(t, items), Root: newGCMRoot(t, make([]byte, 32))}))(t)
	defer ring.Close()
	if got := checked(t, ring); !slices.Equal(got, []string{"total"}) {
		t.Errorf("Check finds %q", got)
	}
}

// TestAnAnchoredRingIsNotMadeAnew: where an anchor says that there was a ring, an empty store is refused and stays empty.
func TestAnAnchoredRingIsNotMadeAnew(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	open(t, func(c *kms.Config) { c.Anchor = a }).create()
	for name, an := range map[string]anchor.Anchor{"of another ring": a, "of any ring": numberAnchor(1)} {
		store := memory.New()
		_, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(1)), Anchor: an})
		if !errors.Is(err, kms.ErrRolledBack) || !strings.Contains(err.Error(), "the store is empty") {
			t.Errorf("an anchor %s: %v", name, err)
		}
		if items := itemNames(t, store, ""); len(items) != 0 {
			t.Errorf("an anchor %s: the store holds %q", name, items)
		}
	}
}

// A numberAnchor is a number, and takes every ring for its own.
type numberAnchor uint64

func (n numberAnchor) Load(context.Context, string) (anchor.Mark, error) {
	return anchor.Mark{Number: uint64(n)}, nil
}
func (n numberAnchor) Advance(context.Context, string, anchor.Mark, anchor.Mark) error { return nil }

// A lateAnchor is asked only after something else was done.
type lateAnchor struct {
	anchor.Anchor
	before func()
}

func (a lateAnchor) Load(ctx context.Context, ring string) (anchor.Mark, error) {
	a.before()
	return a.Anchor.Load(ctx, ring)
}

// TestAnotherProcessBeginsTheAnchor: who finds the store empty, and the anchor begun by another process that was quicker, opens the ring of that process.
func TestAnotherProcessBeginsTheAnchor(t *testing.T) {
	store, a := memory.New(), must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	cfg := kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(1)), Anchor: a}
	var id string
	slow := cfg
	slow.Anchor = lateAnchor{a, sync.OnceFunc(func() {
		ring := must(kms.Open(t.Context(), cfg))(t)
		id = ring.ID()
		must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
		check(t, ring.Close())
	})}
	ring := must(kms.Open(t.Context(), slow))(t)
	defer ring.Close()
	if ring.ID() != id {
		t.Errorf("opened ring %s, want %s", ring.ID(), id)
	}
}

// TestAnchorSharedByRings: several processes with one anchor see each other's changes, and Check finds all in order.
func TestAnchorSharedByRings(t *testing.T) {
	a, store := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t), memory.New()
	share := func(c *kms.Config) { c.Store, c.Anchor = store, a }
	rings := []*fixture{open(t, share), open(t, share)}
	keys := []kms.KeyMetadata{rings[0].create(), rings[1].create()}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			f := rings[i%2]
			for n := range 10 {
				key := f.create()
				check(t, f.UpdateKeyDescription(t.Context(), key.KeyID, "x"))
				check(t, f.UpdateKeyDescription(t.Context(), keys[n%2].KeyID, key.KeyID))
				must(rings[1-i%2].Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
			}
		})
	}
	wg.Wait()
	check(t, rings[0].RotateDomainKey(t.Context()))
	must(rings[1].Maintain(t.Context()))(t)
	if got := checked(t, open(t, share).Keyring); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// A wilfulAnchor fails when it is told to.
type wilfulAnchor struct {
	anchor.Anchor
	err error
}

func (a *wilfulAnchor) Advance(ctx context.Context, ring string, from, to anchor.Mark) error {
	if a.err != nil {
		return a.err
	}
	return a.Anchor.Advance(ctx, ring, from, to)
}

// TestAnAnchorThatFails: a change that could not be anchored is not reported as done; with the anchor back the ring goes on.
func TestAnAnchorThatFails(t *testing.T) {
	w := &wilfulAnchor{Anchor: must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)}
	f := open(t, func(c *kms.Config) { c.Anchor = w })
	key := f.create()
	w.err = errors.New("gone")
	err := f.DisableKey(t.Context(), key.KeyID)
	if !errors.Is(err, kms.ErrInternal) || !errors.Is(err, keystore.ErrUnknown) || strings.Contains(err.Error(), "gone") {
		t.Errorf("%v", err)
	}
	w.err = nil
	check(t, f.EnableKey(t.Context(), key.KeyID))
	must(f.Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
	other := open(t, func(c *kms.Config) { c.Store, c.Anchor = f.store, w })
	must(other.Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
}

// TestCheckComparesWithTheAnchor: what has gone back behind the anchor while a ring was open is named, also where the totals agree with it, and the check goes on.
func TestCheckComparesWithTheAnchor(t *testing.T) {
	a, store := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t), memory.New()
	share := func(c *kms.Config) { c.Store, c.Anchor = store, a }
	writer := open(t, share)
	key := writer.create()
	reader := open(t, share) // which knows no more than what there is now
	old := contents(t, store)
	check(t, writer.DisableKey(t.Context(), key.KeyID))
	check(t, writer.RotateDomainKey(t.Context())) // which writes the ring's record
	now := contents(t, store)
	total := "total/" + key.KeyID[:2]
	if got := problems(t, writer.Keyring); len(got) != 0 { // the reader is not asked, so that it learns nothing
		t.Fatalf("nothing done: %q", got)
	}
	for _, tc := range []struct {
		back []string // what is put back to what it was
		want []string // the records that are named
	}{
		{[]string{"ledger"}, []string{"ledger"}}, // of which the reader has seen no other
		{[]string{"key/" + key.KeyID, total}, []string{total}},
		{[]string{"ring"}, []string{"ring"}},
		{[]string{"key/" + key.KeyID, total, "ledger", "ring"}, []string{"ledger"}},
	} {
		for _, name := range tc.back {
			replace(t, store, name, old[name])
		}
		for who, ring := range map[string]*kms.Keyring{"writer": writer.Keyring, "reader": reader.Keyring, "fresh reader": nil} {
			if ring == nil {
				opened, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, make([]byte, 32)), Anchor: a})
				if p, ok := errors.AsType[*kms.Problem](err); ok { // Open refuses what the check would find
					if !slices.Contains(tc.want, p.Record) || !errors.Is(err, kms.ErrRolledBack) {
						t.Errorf("%q back: %v", tc.back, err)
					}
					continue
				}
				ring = must(opened, err)(t)
				defer ring.Close()
			}
			for _, want := range tc.want {
				back := func(text string) bool {
					return text == want+": gone back behind what the keyring acknowledged" || want == "ledger" && strings.HasPrefix(text, "ledger: the anchor stands at ")
				}
				if got := problems(t, ring); !slices.ContainsFunc(got, back) {
					t.Errorf("%q back, %s: %q", tc.back, who, got)
				}
			}
		}
		for _, name := range tc.back {
			replace(t, store, name, now[name])
		}
	}
	replace(t, store, "ledger", nil)
	if got := problems(t, reader.Keyring); !slices.Equal(got, []string{"ledger: gone back behind what the keyring acknowledged"}) {
		t.Errorf("without a ledger: %q", got)
	}
}

// A readOnlyStore refuses every commit.
type readOnlyStore struct{ keystore.Store }

func (readOnlyStore) Commit(context.Context, []keystore.Change) (keystore.Revision, error) {
	return 0, keystore.ErrReadOnly
}

// TestAnchorOnAReadOnlyStore: what is read is compared with the anchor, which must have begun: the ledger cannot be written.
func TestAnchorOnAReadOnlyStore(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	f := open(t)
	key := f.create()
	cfg := kms.Config{Store: readOnlyStore{f.store}, Root: newGCMRoot(t, make([]byte, 32)), Anchor: a}
	if _, err := kms.Open(t.Context(), cfg); !errors.Is(err, keystore.ErrReadOnly) {
		t.Fatalf("%v, want ErrReadOnly", err)
	}
	writer := open(t, func(c *kms.Config) { c.Store, c.Anchor = f.store, a })
	old, earlier := contents(t, f.store), must(a.Load(t.Context(), f.ID()))(t)
	check(t, writer.DisableKey(t.Context(), key.KeyID))
	ring := must(kms.Open(t.Context(), cfg))(t)
	defer ring.Close()
	if got := must(ring.DescribeKey(t.Context(), key.KeyID))(t); got.KeyState != kms.Disabled {
		t.Errorf("%v", got.KeyState)
	}
	if got := problems(t, ring); len(got) != 0 {
		t.Errorf("%q", got)
	}
	behind := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	check(t, behind.Advance(t.Context(), f.ID(), anchor.Mark{}, earlier))
	cfg.Anchor = behind
	check(t, must(kms.Open(t.Context(), cfg))(t).Close())
	if got, want := must(behind.Load(t.Context(), f.ID()))(t), must(a.Load(t.Context(), f.ID()))(t); got != want || want.Number < 2 {
		t.Errorf("the anchor is at %v, want the store's %v", got, want)
	}
	cfg.Anchor, cfg.Store = a, readOnlyStore{filled(t, old)}
	if _, err := kms.Open(t.Context(), cfg); !errors.Is(err, kms.ErrRolledBack) {
		t.Errorf("%v, want ErrRolledBack", err)
	}
}

// TestTheLedgerIsResealed: a ledger that is sealed anew, here by a process that has no anchor, is made of the one before it.
func TestTheLedgerIsResealed(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	f := open(t, func(c *kms.Config) { c.Anchor = a })
	key := f.create()
	careless := open(t, func(c *kms.Config) { c.Store = f.store })
	for range 2 {
		was := value(t, f.store, "ledger")
		check(t, careless.RotateDomainKey(t.Context()))
		must(careless.Maintain(t.Context()))(t)
		if bytes.Equal(was, value(t, f.store, "ledger")) {
			t.Fatal("it was not resealed")
		}
		other := open(t, func(c *kms.Config) { c.Store, c.Anchor = f.store, a })
		must(other.Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
		check(t, f.UpdateKeyDescription(t.Context(), key.KeyID, "one"))
		check(t, other.UpdateKeyDescription(t.Context(), key.KeyID, "other"))
		if got := problems(t, f.Keyring); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
}
