package stress_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A countingStore counts what is asked of a store, and what it returns.
type countingStore struct {
	keystore.Store
	gets, lists, commits, records atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	s.gets.Add(1)
	r, err := s.Store.Get(ctx, name)
	if err == nil {
		s.records.Add(1)
	}
	return r, err
}

func (s *countingStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	s.lists.Add(1)
	page, err := s.Store.List(ctx, prefix, after, limit)
	s.records.Add(int64(len(page)))
	return page, err
}

func (s *countingStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	s.commits.Add(1)
	return s.Store.Commit(ctx, changes)
}

// A cost is what an operation asks of the store.
type cost struct{ gets, lists, commits, records int64 }

// of returns what f costs.
func (s *countingStore) of(t *testing.T, f func() error) cost {
	t.Helper()
	at := func() cost { return cost{s.gets.Load(), s.lists.Load(), s.commits.Load(), s.records.Load()} }
	before := at()
	check(t, f())
	after := at()
	return cost{after.gets - before.gets, after.lists - before.lists, after.commits - before.commits, after.records - before.records}
}

const (
	scaleFew      = 10
	scaleVersions = 1000 // of the first key of a ring
	scalePage     = scaleFew - 1
)

func scaleAlias(i int) string { return fmt.Sprintf("alias/scale/%08d", i) }

// A scaledRing is a store with a ring of some keys, each of which has an alias and rotates one day.
type scaledRing struct {
	store *countingStore
	ids   []string // of the keys, in the order of their aliases
	first []byte   // a ciphertext under the first version of the key that has many
	other []byte   // a ciphertext under the only version of another key
	now   time.Time
}

// newScaledRing makes a ring, whose first key rotates hourly for a while. When it is returned, every key rotates next in a year.
func newScaledRing(t *testing.T, keys int) *scaledRing {
	t.Helper()
	r := &scaledRing{store: &countingStore{Store: memory.New()}, now: time.Now().Add(-scaleVersions * time.Hour)}
	ring := openRing(t, r.store, func(cfg *kms.Config) {
		cfg.Now, cfg.MinRotationPeriod, cfg.CacheSize = func() time.Time { return r.now }, time.Hour, 100
	})
	ctx := t.Context()
	for i := range keys {
		key := must(ring.CreateKey(ctx, kms.CreateKeyInput{}))(t)
		check(t, ring.CreateAlias(ctx, scaleAlias(i), key.KeyID))
		check(t, ring.EnableKeyRotation(ctx, key.KeyID, 365*kms.Day))
		r.ids = append(r.ids, key.KeyID)
	}
	r.first = must(ring.Encrypt(ctx, r.ids[0], []byte("message"), nil))(t).Ciphertext
	r.other = must(ring.Encrypt(ctx, r.ids[1], []byte("message"), nil))(t).Ciphertext
	check(t, ring.EnableKeyRotation(ctx, r.ids[0], time.Hour))
	for range scaleVersions - 1 {
		r.now = r.now.Add(time.Hour)
		must(ring.Encrypt(ctx, r.ids[0], []byte("x"), nil))(t)
	}
	check(t, ring.EnableKeyRotation(ctx, r.ids[0], 365*kms.Day))
	if n := len(must(collect(ring.ListKeyRotations(ctx, r.ids[0], kms.ListKeyRotationsInput{AllKeyMaterial: true})))(t)); n != scaleVersions {
		t.Fatalf("a key has %d versions, want %d", n, scaleVersions)
	}
	check(t, ring.Close())
	ring = r.open(t, 100)       // since whose opening no hours have passed
	must(ring.Maintain(ctx))(t) // tells the ring's record the time, once an hour
	check(t, ring.Close())
	return r
}

// open opens the ring at the time at which it was made, and with the most staleness, so that nothing that was read is read again.
func (r *scaledRing) open(t *testing.T, cacheSize int) *kms.Keyring {
	t.Helper()
	return openRing(t, r.store, func(cfg *kms.Config) {
		cfg.Now, cfg.MaxStaleness, cfg.CacheSize = func() time.Time { return r.now }, time.Minute, cacheSize
	})
}

// costs returns what each operation costs in a ring that was just opened, for a key somewhere in it, and then again.
func (r *scaledRing) costs(t *testing.T) map[string]cost {
	t.Helper()
	ctx, last := t.Context(), len(r.ids)-1
	all := make(map[string]cost)
	var ring *kms.Keyring
	all["Open"] = r.store.of(t, func() error { ring = r.open(t, 100); return nil })
	for name, op := range map[string]func() error{
		"DescribeKey":            func() error { return drop(ring.DescribeKey(ctx, r.ids[last/2])) },
		"DescribeKey by alias":   func() error { return drop(ring.DescribeKey(ctx, scaleAlias(last))) },
		"Encrypt by alias":       func() error { return drop(ring.Encrypt(ctx, scaleAlias(last/3), []byte("x"), nil)) },
		"Encrypt, many versions": func() error { return drop(ring.Encrypt(ctx, scaleAlias(0), []byte("x"), nil)) },
		"Decrypt":                func() error { return drop(ring.Decrypt(ctx, r.other, nil)) },
		"Decrypt, many versions": func() error { return drop(ring.Decrypt(ctx, r.first, nil)) },
		"ListKeys":               func() error { return full(ring.ListKeysPage(ctx, kms.PageInput{Limit: scalePage})) },
		"ListAliases":            func() error { return full(ring.ListAliasesPage(ctx, "", kms.PageInput{Limit: scalePage})) },
		"ListKeyRotations": func() error {
			return full(ring.ListKeyRotationsPage(ctx, r.ids[0], kms.ListKeyRotationsInput{AllKeyMaterial: true}, kms.PageInput{Limit: scalePage}))
		},
		"UpdateKeyDescription": func() error { return ring.UpdateKeyDescription(ctx, r.ids[last], fmt.Sprint(r.store.commits.Load())) },
		"Maintain": func() error {
			report, err := ring.Maintain(ctx)
			if report != (kms.MaintainReport{}) {
				return fmt.Errorf("something was due: %+v", report)
			}
			return err
		},
	} {
		ring = r.open(t, 100)
		all[name+", cold"] = r.store.of(t, op)
		all[name+", warm"] = r.store.of(t, op)
	}
	return all
}

// full makes an error of a page that is not full, or that has none behind it.
func full[T any](p kms.Page[T], err error) error {
	if err == nil && (len(p.Entries) != scalePage || !p.Truncated) {
		err = fmt.Errorf("a page of %d, truncated: %v", len(p.Entries), p.Truncated)
	}
	return err
}

// TestCostsDoNotDependOnTheNumberOfKeys counts what operations ask of the store, in a ring of few keys and in one of many.
func TestCostsDoNotDependOnTheNumberOfKeys(t *testing.T) {
	few, many := newScaledRing(t, scaleFew).costs(t), newScaledRing(t, size(1000, 100_000)).costs(t)
	for name, want := range few {
		if got := many[name]; got != want {
			t.Errorf("%s: %+v with many keys, and %+v with %d", name, got, want, scaleFew)
		}
	}
	for name, most := range map[string]int64{
		"Open": 4, "DescribeKey, cold": 1, "DescribeKey, warm": 0, "DescribeKey by alias, cold": 2, "DescribeKey by alias, warm": 0,
		"Encrypt by alias, cold": 3, "Encrypt by alias, warm": 0, "Decrypt, cold": 2, "Decrypt, warm": 0,
		"ListKeys, cold": scalePage + 1, "ListKeys, warm": scalePage + 1, "ListAliases, cold": 2*scalePage + 1, "ListAliases, warm": scalePage + 1,
		"ListKeyRotations, cold": 1 + scalePage + 1, "ListKeyRotations, warm": scalePage + 1, "Maintain, cold": 13, "Maintain, warm": 13,
	} {
		if got, ok := many[name]; !ok || got.records > most || got.commits != 0 {
			t.Errorf("%s: %+v, want at most %d records", name, got, most)
		}
	}
	for _, when := range []string{"cold", "warm"} {
		for versions, other := range map[string]string{"Encrypt, many versions, ": "Encrypt by alias, ", "Decrypt, many versions, ": "Decrypt, "} {
			if got, want := many[versions+when], many[other+when]; got != want {
				t.Errorf("%s%s: %+v, and %+v with one version", versions, when, got, want)
			}
		}
	}
	t.Logf("%+v", many)
}

// heap returns how much is in use after garbage was collected, and once more for what cleanups held.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryIsBoundedByTheCache uses all keys of a ring with a small cache, and as a measure of what the cache saves with one that holds them all.
//
// What remains of a key that left the cache is the generation in which it was seen, of which a ring keeps four times as many as keys but at least 4096.
func TestMemoryIsBoundedByTheCache(t *testing.T) {
	const cached, trace, opened = 100, 600, 2000 // keys, and bytes for each
	r := newScaledRing(t, size(1000, 100_000))
	grown := func(cacheSize int) int64 {
		ring := r.open(t, cacheSize)
		use := func(from, to int) {
			for i := from; i < to; i++ {
				must(ring.Encrypt(t.Context(), scaleAlias(i), []byte("x"), nil))(t)
			}
		}
		use(0, cached) // pools, and the cache
		before := heap()
		use(cached, len(r.ids))
		after := heap()
		runtime.KeepAlive(ring)
		check(t, ring.Close())
		return after - before
	}
	beyond := int64(len(r.ids) - cached)
	traces := min(beyond, 4096)
	small, large := grown(cached), grown(len(r.ids))
	t.Logf("%d keys beyond the cache: %d bytes, and %d when they are cached", beyond, small, large)
	if most := traces*trace + 1<<17; small > most {
		t.Errorf("%d keys beyond the cache take %d bytes, want at most %d", beyond, small, most)
	}
	if least := beyond * opened; large < least { // else the bound above says nothing
		t.Errorf("%d opened keys take %d bytes, want more than %d", beyond, large, least)
	}
}
