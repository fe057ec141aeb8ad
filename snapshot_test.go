package kms

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

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
