package kms

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"weak"

	"github.com/claviger/kms/keystore"
)

// TestTheLastSightingsStay: a key's generation is remembered for as long as no more than so many other keys were seen since, however often these are used.
func TestTheLastSightingsStay(t *testing.T) {
	r, sighted := ring(t, func(cfg *Config) { cfg.CacheSize = 1 })
	id, _ := parseKeyID(sighted.KeyID)
	old := sure(r.c.store.Get(t.Context(), keyItem(id)))
	see := func(from, to uint64) {
		for n := from; n < to; n++ {
			other := &key{keyRecord: new(keyRecord), from: source{generation: 1}}
			binary.BigEndian.PutUint64(other.id.raw[:], n)
			r.c.seen.advance(other)
		}
	}
	const others = leastSightings - 1
	see(0, others)
	see(0, others)
	if err := r.DisableKey(t.Context(), sighted.ARN); err != nil {
		t.Fatal(err)
	}
	sure(r.CreateKey(t.Context(), CreateKeyInput{Policy: everyone})) // the cache of keys has one place
	see(others, 2*others)
	now := sure(r.c.store.Get(t.Context(), keyItem(id)))
	sure(r.c.store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: keyItem(id), Value: old.Value, Revision: now.Revision}}))
	if _, err := r.Encrypt(t.Context(), sighted.ARN, []byte("x"), nil); !errors.Is(err, ErrInternal) {
		t.Errorf("a record from before the key was disabled: %v, want %v", err, ErrInternal)
	}
}

// TestOpenedKeysAreBounded: the material of no more keys than Config.CacheSize says stays in memory, whoever used how many at once.
func TestOpenedKeysAreBounded(t *testing.T) {
	for _, size := range []int{1, 3} {
		r, first := ring(t, func(cfg *Config) { cfg.CacheSize = size })
		arns := []string{first.ARN}
		for range 15 {
			arns = append(arns, sure(r.CreateKey(t.Context(), CreateKeyInput{Policy: everyone})).ARN)
		}
		var mu sync.Mutex
		opened := map[weak.Pointer[material]]bool{}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for n := range 4 * len(arns) {
					arn := arns[(n+g)%len(arns)]
					out := sure(r.Encrypt(t.Context(), arn, []byte("x"), nil))
					sure(r.Decrypt(t.Context(), out.Ciphertext, nil))
					id, _ := parseKeyID(arn[len(arn)-len(first.KeyID):])
					if s, ok := r.c.keys.Get(id); ok {
						if v := s.newest(); v != nil {
							mu.Lock()
							opened[weak.Make(v.key.materials.current.Load())] = true
							mu.Unlock()
						}
					}
				}
			})
		}
		wg.Wait()
		for range 3 { // pools are emptied by the second collection
			runtime.GC()
		}
		held := 0
		for m := range opened {
			if m.Value() != nil {
				held++
			}
		}
		if len(opened) < len(arns) || held > size {
			t.Errorf("%d of %d opened materials are held, want at most %d", held, len(opened), size)
		}
		runtime.KeepAlive(r)
	}
}

// TestSightings compares sightings with a list of the keys in the order in which they were last seen.
func TestSightings(t *testing.T) {
	const limit = 8
	var s sightings
	s.init(limit)
	rnd := rand.New(rand.NewPCG(1, 2))
	order, highest := []keyID(nil), map[keyID]uint64{} // of the keys that must be known, the last one seen last
	for range 50_000 {
		id := keyID{raw: [16]byte{byte(rnd.IntN(3 * limit))}}
		place := slices.Index(order, id)
		known, seen := sighting{}, false
		if rnd.IntN(2) == 0 {
			known, seen = s.last(id)
		} else {
			generation := max(highest[id], 1) + rnd.Uint64N(3) - 1
			if place < 0 || generation > highest[id] {
				highest[id] = generation
			}
			s.advance(&key{keyRecord: &keyRecord{id: id}, from: source{generation: generation}})
			known, seen = s.last(id)
		}
		if place >= 0 && (!seen || known.generation != highest[id]) {
			t.Fatalf("%v, which was seen %d others ago: %v, %d, want %d", id.raw[0], len(order)-1-place, seen, known.generation, highest[id])
		}
		if seen {
			highest[id] = known.generation
			if place >= 0 {
				order = slices.Delete(order, place, place+1)
			}
			order = append(order, id)
			order = order[max(0, len(order)-limit):]
		}
		if n := len(s.recent) + len(s.earlier); n > 2*limit {
			t.Fatalf("%d are remembered, want at most %d", n, 2*limit)
		}
	}
}

// TestAnOlderSnapshotIsNotPublished: what was read of a key before it changed is not published after the newer snapshot has left the cache.
func TestAnOlderSnapshotIsNotPublished(t *testing.T) {
	r, meta := ring(t)
	id, _ := parseKeyID(meta.KeyID)
	now := r.c.clock.stamp()
	read := sure(r.c.load(t.Context(), id, now))
	if err := r.UpdateKeyDescription(t.Context(), meta.KeyID, "changed"); err != nil {
		t.Fatal(err)
	}
	if k := r.c.publish(read, now); k == nil || k.description != "changed" {
		t.Errorf("beside the newer one: %+v", k)
	}
	r.c.keys.Delete(id) // as a change does that conflicts
	if k := r.c.publish(read, now); k != nil {
		t.Errorf("an older snapshot is published: %q", k.description)
	}
	if got := sure(r.DescribeKey(t.Context(), meta.KeyID)); got.Description != "changed" {
		t.Errorf("%q", got.Description)
	}
}
