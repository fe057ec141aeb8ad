package kms_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
)

// replace puts a value in place of what a store holds, or removes it, as whoever controls the store can.
func replace(t testing.TB, s keystore.Store, name string, value []byte) {
	t.Helper()
	old, err := s.Get(t.Context(), name)
	if err != nil && value == nil {
		t.Fatal(err)
	}
	ch := keystore.Change{Op: keystore.Put, Name: name, Value: value, Revision: old.Revision}
	if value == nil {
		ch.Op = keystore.Delete
	}
	must(s.Commit(t.Context(), []keystore.Change{ch}))(t)
}

func value(t testing.TB, s keystore.Store, name string) []byte {
	t.Helper()
	return must(s.Get(t.Context(), name))(t).Value
}

func itemNames(t testing.TB, s keystore.Store, prefix string) (names []string) {
	t.Helper()
	for r, err := range keystore.Walk(t.Context(), s, prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r.Name)
	}
	return names
}

// checked returns the names of the records that Check finds fault with, "" for a place.
func checked(t testing.TB, ring *kms.Keyring) []string {
	t.Helper()
	report := must(ring.Check(t.Context()))(t)
	names := make([]string, 0, len(report.Problems))
	for _, p := range report.Problems {
		if strings.HasPrefix(p.Record, "total/") {
			p.Record = "total"
		}
		names = append(names, p.Record)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestCheckFindsWhatAStoreDid: what a hostile or damaged store can do to records is told by a walk over it, by name.
func TestCheckFindsWhatAStoreDid(t *testing.T) {
	type scene struct {
		*fixture
		a, b string // ids of two keys; the first has an alias and two versions
		old  map[string][]byte
	}
	version := func(s scene, i int) string { return itemNames(s.t, s.store, "ver/"+s.a)[i] }
	for name, tc := range map[string]struct {
		do   func(s scene)
		want func(s scene) []string
	}{
		"nothing": {func(scene) {}, func(scene) []string { return nil }},
		"a key is withheld": {func(s scene) { replace(s.t, s.store, "key/"+s.a, nil) }, func(s scene) []string {
			return append(append([]string{"alias/a", "total"}, itemNames(s.t, s.store, "ver/"+s.a)...), itemNames(s.t, s.store, "vidx/"+s.a)...)
		}},
		"a key is rolled back": {func(s scene) { replace(s.t, s.store, "key/"+s.a, s.old["key/"+s.a]) }, func(s scene) []string {
			return []string{"alias/a", "key/" + s.a, "total"}
		}},
		"a bit is flipped": {func(s scene) {
			v := slices.Clone(value(s.t, s.store, "key/"+s.a))
			v[len(v)-1] ^= 1
			replace(s.t, s.store, "key/"+s.a, v)
		}, func(s scene) []string { return []string{"key/" + s.a, "total"} }},
		"a record is empty": {func(s scene) { replace(s.t, s.store, "key/"+s.b, []byte{}) }, func(s scene) []string { return []string{"key/" + s.b, "total"} }},
		"two keys are swapped": {func(s scene) {
			a, b := value(s.t, s.store, "key/"+s.a), value(s.t, s.store, "key/"+s.b)
			replace(s.t, s.store, "key/"+s.a, b)
			replace(s.t, s.store, "key/"+s.b, a)
		}, func(s scene) []string { return []string{"key/" + s.a, "key/" + s.b, "total"} }},
		"a key is there twice": {func(s scene) {
			replace(s.t, s.store, "key/00000000-0000-4000-8000-000000000000", value(s.t, s.store, "key/"+s.a))
		}, func(s scene) []string {
			return []string{"key/00000000-0000-4000-8000-000000000000"}
		}},
		"an old version is withheld": {func(s scene) { replace(s.t, s.store, version(s, 0), nil) }, func(s scene) []string { return []string{"key/" + s.a} }},
		"versions are swapped": {func(s scene) {
			x, y := version(s, 0), version(s, 1)
			a, b := value(s.t, s.store, x), value(s.t, s.store, y)
			replace(s.t, s.store, x, b)
			replace(s.t, s.store, y, a)
		}, func(s scene) []string { return []string{"key/" + s.a, version(s, 0), version(s, 1)} }},
		"an entry of the index is withheld": {func(s scene) { replace(s.t, s.store, itemNames(s.t, s.store, "vidx/"+s.a)[0], nil) }, func(s scene) []string {
			return []string{"key/" + s.a}
		}},
		"the alias is withheld":    {func(s scene) { replace(s.t, s.store, "alias/a", nil) }, func(s scene) []string { return []string{"key/" + s.a} }},
		"the alias is rolled back": {func(s scene) { replace(s.t, s.store, "alias/a", s.old["alias/a"]) }, func(s scene) []string { return []string{"alias/a", "key/" + s.a} }},
		"a due entry is withheld": {func(s scene) { replace(s.t, s.store, itemNames(s.t, s.store, "due/")[0], nil) }, func(s scene) []string {
			return []string{"key/" + s.a}
		}},
		"a tombstone is withheld": {func(s scene) { replace(s.t, s.store, itemNames(s.t, s.store, "dead/")[0], nil) }, func(scene) []string { return []string{"total"} }},
		"a total is withheld":     {func(s scene) { replace(s.t, s.store, "total/"+s.a[:2], nil) }, func(scene) []string { return []string{"total"} }},
		"a total is rolled back": {func(s scene) { replace(s.t, s.store, "total/"+s.a[:2], s.old["total/"+s.a[:2]]) }, func(scene) []string {
			return []string{"total"}
		}},
		"a record of another kind": {func(s scene) { replace(s.t, s.store, "other/x", []byte("x")) }, func(scene) []string { return []string{"other/x"} }},
		"a domain key is damaged": {func(s scene) { replace(s.t, s.store, "domain/0011223344556677", []byte("x")) }, func(scene) []string {
			return []string{"domain/0011223344556677"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				f := open(t)
				gone := f.destroyed()
				a, b := f.create(), f.create()
				check(t, f.CreateAlias(t.Context(), "alias/a", b.KeyID))
				s := scene{f, a.KeyID, b.KeyID, map[string][]byte{}}
				for _, n := range itemNames(t, f.store, "") {
					s.old[n] = value(t, f.store, n)
				}
				check(t, f.UpdateAlias(t.Context(), "alias/a", a.KeyID))
				must(f.RotateKeyOnDemand(t.Context(), a.KeyID))(t)
				check(t, f.EnableKeyRotation(t.Context(), a.KeyID, 0))
				if report := must(f.Check(t.Context()))(t); len(report.Problems) != 0 || report.Keys != 2 || report.Versions != 3 || report.Aliases != 1 || report.Tombstones != 1 {
					t.Fatalf("before anything was done: %+v, %s destroyed", report, gone)
				}
				tc.do(s)
				want := tc.want(s)
				slices.Sort(want)
				if got := checked(t, f.Keyring); !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		})
	}
}

// TestCheckGoesOnBehindADomainKey: an older domain key whose wrap is damaged is told of with each record that needs it, and keeps nothing else from being looked at.
func TestCheckGoesOnBehindADomainKey(t *testing.T) {
	root := must(keyfile.Create(filepath.Join(t.TempDir(), "root.key")))(t)
	f := open(t, func(c *kms.Config) { c.Root = root })
	f.create()
	old := itemNames(t, f.store, "domain/")[0]
	check(t, f.RotateDomainKey(t.Context()))
	sound := f.create()
	wrap := slices.Clone(value(t, f.store, old))
	wrap[len(wrap)-1] ^= 1
	replace(t, f.store, old, wrap)
	second := open(t, func(c *kms.Config) { c.Store, c.Root = f.store, root })
	report, err := second.Check(t.Context())
	if err != nil || report.Keys != 2 || len(report.Problems) == 0 || !errors.Is(report.Problems[0].Err, rootkey.ErrWrongKey) {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, p := range report.Problems {
		if strings.Contains(p.Record, sound.KeyID) {
			t.Error(p)
		}
	}
}

// TestCheckBesideChanges: a walk beside others who change the store finds it whole.
func TestCheckBesideChanges(t *testing.T) {
	f := open(t)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: everyone}))(t)
				name := fmt.Sprintf("alias/%d/%d", i, n%5)
				if n < 5 {
					check(t, f.CreateAlias(t.Context(), name, key.KeyID))
				} else {
					check(t, f.UpdateAlias(t.Context(), name, key.KeyID))
				}
				must(f.RotateKeyOnDemand(t.Context(), key.KeyID))(t)
				check(t, f.EnableKeyRotation(t.Context(), key.KeyID, 0))
				must(f.ScheduleKeyDeletion(t.Context(), key.KeyID, 7))(t)
			}
		})
	}
	for range 5 {
		if got := checked(t, f.Keyring); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
	cancel()
	wg.Wait()
	if got := checked(t, f.Keyring); len(got) != 0 {
		t.Errorf("in the end: %q", got)
	}
}

// TestADamagedTotalKeepsNothingFromBeingDone: a total decides nothing; whoever counts finds it.
func TestADamagedTotalKeepsNothingFromBeingDone(t *testing.T) {
	f := open(t)
	key := f.create()
	replace(t, f.store, "total/"+key.KeyID[:2], []byte("x"))
	second := open(t, func(c *kms.Config) { c.Store = f.store })
	check(t, second.DisableKey(t.Context(), key.KeyID))
	if got := checked(t, second.Keyring); !slices.Equal(got, []string{"total"}) {
		t.Errorf("%q", got)
	}
}

// TestTotalsOfTwoRings: two processes on one store count together.
func TestTotalsOfTwoRings(t *testing.T) {
	store := memory.New()
	share := func(c *kms.Config) { c.Store = store }
	rings := []*fixture{open(t, share), open(t, share)}
	var wg sync.WaitGroup
	for _, f := range rings {
		wg.Go(func() {
			for range 300 { // more than there are buckets
				f.create()
			}
		})
	}
	wg.Wait()
	if report := must(rings[0].Check(t.Context()))(t); len(report.Problems) != 0 || report.Keys != 600 {
		t.Errorf("%d keys, %v", report.Keys, report.Problems)
	}
}

// destroyed makes a key and destroys it, in a bubble of synctest. It returns the key's id.
func (f *fixture) destroyed() string {
	f.t.Helper()
	key := f.create()
	must(f.ScheduleKeyDeletion(f.t.Context(), key.KeyID, 7))(f.t)
	for _, d := range []time.Duration{7 * kms.Day, time.Hour} {
		time.Sleep(d)
		f.clock.advance(d)
		must(f.Maintain(f.t.Context()))(f.t)
	}
	return key.KeyID
}
