// Package kmstest makes keyrings for tests: in memory, ready at once, with a clock that stands still and key ids that are the same in every run.
//
// Such a ring is a real one. It encrypts, enforces key policies and records every operation; nothing is simulated but the time.
package kmstest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/testhook"
)

// The account and Region of every ring.
const (
	AccountID = "111122223333"
	Region    = "eu-central-1"
)

// cacheSize keeps a ring cheap to make. A test with more keys works, and reads the store more often.
const cacheSize = 256

// A Ring is a keyring for one test.
type Ring struct {
	*kms.Keyring
	Clock *Clock
	Trail *audit.Memory // every event of the ring, in order
}

// New returns a ring in memory, which is closed when the test ends. It fails the test if the ring cannot be opened. Tests with rings may run in parallel, and
// the rings of one test share nothing.
//
// The functions in change are called in turn with the configuration before the ring is opened, and may set whatever a test wants otherwise: a store with its
// root key, a sink around the one that is there. A ring whose Now they replace does not heed [Ring.Clock].
//
// The keys of a ring are numbered: the id of the first ends with 1, that of the second with 2. What comes before that depends on the name of the test and on how
// many rings the test made before. Keys that are created concurrently are numbered in the order in which they come.
//
// [Ring.Clock] decides when a key rotates and when its waiting period is over. How long the ring may use a key as it was last seen in the store is not its
// matter, but that of the runtime's clocks, so moving it makes nothing stale. For the same reason Maintain destroys no key here: it reports [kms.ErrClock] when
// the ring's clock and the runtime's go different ways. A test of destruction runs in a bubble of testing/synctest with Now set to [time.Now].
func New(t testing.TB, change ...func(*kms.Config)) *Ring {
	t.Helper()
	r := &Ring{Clock: newClock(), Trail: new(audit.Memory)}
	cfg := kms.Config{AccountID: AccountID, Region: Region, Audit: r.Trail, Now: r.Clock.Now, CacheSize: cacheSize, Test: &testhook.Hooks{KeyID: keyIDs(t)}}
	for _, f := range change {
		f(&cfg)
	}
	ring, err := kms.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() }) // closing a ring cannot fail
	r.Keyring = ring
	return r
}

// rings counts the rings of each running test.
var rings = struct {
	mu     sync.Mutex     // guards number
	number map[string]int // by the name of the test
}{number: map[string]int{}}

// ringNumber returns how many rings the test has, this one included.
func ringNumber(t testing.TB) int {
	name := t.Name()
	t.Cleanup(func() { // the test may run again, and gets the same ids
		rings.mu.Lock()
		defer rings.mu.Unlock()
		delete(rings.number, name)
	})
	rings.mu.Lock()
	defer rings.mu.Unlock()
	rings.number[name]++
	return rings.number[name]
}

// keyIDs returns a source of key ids for a ring of t: six bytes that tell the ring, the bits that make it a UUID of version 4, and the number of the key.
func keyIDs(t testing.TB) func() [16]byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(t.Name()), uint64(ringNumber(t))))
	var keys atomic.Uint64
	return func() (id [16]byte) {
		copy(id[:6], sum[:])
		binary.BigEndian.PutUint64(id[8:], keys.Add(1))
		id[6] |= 0x40 // RFC 9562, version 4
		id[8] |= 0x80
		return id
	}
}

// A Clock stands still until it is moved. A new ring's says 2026-01-01 00:00:00 UTC. Its methods may be called concurrently.
type Clock struct{ unixNano atomic.Int64 }

func newClock() *Clock {
	c := new(Clock)
	c.unixNano.Store(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time { return time.Unix(0, c.unixNano.Load()).UTC() }

// Advance moves the clock by d; a negative d turns it back.
func (c *Clock) Advance(d time.Duration) { c.unixNano.Add(int64(d)) }
