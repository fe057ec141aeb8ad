package kmstest_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/kmstest"
	"github.com/claviger/kms/rootkey/keyfile"
)

func createKey(t testing.TB, ring *kmstest.Ring) kms.KeyMetadata {
	t.Helper()
	key, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encrypt(t testing.TB, ring *kmstest.Ring, ref string) []byte {
	t.Helper()
	out, err := ring.Encrypt(t.Context(), ref, []byte("plaintext"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out.Ciphertext
}

// TestKeyIDs expects these very ids: those of a test are the same in every run, also when it runs several times in one process (-count).
func TestKeyIDs(t *testing.T) {
	first, second := kmstest.New(t), kmstest.New(t)
	var got []string
	for _, ring := range []*kmstest.Ring{first, second, first} {
		got = append(got, createKey(t, ring).KeyID)
	}
	t.Run("subtest", func(t *testing.T) { got = append(got, createKey(t, kmstest.New(t)).KeyID) })
	want := []string{
		"da00adec-c853-4000-8000-000000000001", "f7490d13-31da-4000-8000-000000000001", "da00adec-c853-4000-8000-000000000002",
		"1dd49d91-d2f2-4000-8000-000000000001",
	}
	if !slices.Equal(got, want) {
		t.Errorf("key ids %q, want %q", got, want)
	}
}

// TestParallel makes rings in parallel in one test, and in parallel tests; the race detector watches.
func TestParallel(t *testing.T) {
	for _, name := range []string{"a", "b", "c", "d"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen := map[string]bool{}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					ring := kmstest.New(t)
					for range 4 {
						key, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{})
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						seen[key.KeyID] = true
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if len(seen) != 32 {
				t.Errorf("%d ids for 32 keys", len(seen))
			}
		})
	}
}

func TestRingsShareNothing(t *testing.T) {
	one, other := kmstest.New(t), kmstest.New(t)
	key := createKey(t, one)
	ciphertext := encrypt(t, one, key.KeyID)
	other.Clock.Advance(time.Hour)
	if _, err := other.Decrypt(t.Context(), ciphertext, nil); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("the other ring answers %v, want ErrAccessDenied", err)
	}
	if n := len(one.Trail.Events()); n != 2 {
		t.Errorf("%d events of the first ring, want 2", n)
	}
	if n := len(other.Trail.Events()); n != 1 {
		t.Errorf("%d events of the other ring, want 1", n)
	}
	if one.Clock.Now() == other.Clock.Now() {
		t.Error("one clock moves both rings")
	}
}

func TestClockStandsStill(t *testing.T) {
	ring := kmstest.New(t)
	start := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ advance, now time.Duration }{{0, 0}, {30 * kms.Day, 30 * kms.Day}, {-kms.Day, 29 * kms.Day}} {
		ring.Clock.Advance(c.advance)
		if key := createKey(t, ring); !key.CreationDate.Equal(start.Add(c.now)) || !ring.Clock.Now().Equal(key.CreationDate) {
			t.Errorf("a key created %v after the start has the date %v, and the clock says %v", c.now, key.CreationDate, ring.Clock.Now())
		}
	}
}

// TestClockMakesNothingStale puts the store out of reach: a ring that had to read the key anew, because the clock moved, could not encrypt.
func TestClockMakesNothingStale(t *testing.T) {
	store := memory.New()
	root, err := keyfile.Create(filepath.Join(t.TempDir(), "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	ring := kmstest.New(t, func(cfg *kms.Config) { cfg.Store, cfg.Root, cfg.MaxStaleness = store, root, time.Minute })
	key := createKey(t, ring)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	ring.Clock.Advance(365 * kms.Day)
	encrypt(t, ring, key.KeyID)
}

func TestClosedByCleanup(t *testing.T) {
	var ring *kmstest.Ring
	t.Run("test", func(t *testing.T) {
		ring = kmstest.New(t)
		createKey(t, ring)
	})
	if _, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{}); !errors.Is(err, kms.ErrServiceUnavailable) {
		t.Errorf("after its test the ring answers %v, want ErrServiceUnavailable", err)
	}
}

// TestChange replaces what a ring is made of: each function sees what those before it left.
func TestChange(t *testing.T) {
	refuse := errors.New("no")
	refusing := audit.SinkFunc(func(context.Context, *audit.Event) error { return refuse })
	ring := kmstest.New(t,
		func(cfg *kms.Config) { cfg.AccountID, cfg.Region = "444455556666", "local" },
		func(cfg *kms.Config) { cfg.Audit = audit.Tee(cfg.Audit, refusing) },
	)
	if _, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{}); !errors.Is(err, refuse) {
		t.Errorf("%v, want the sink's refusal", err)
	}
	events := ring.Trail.Events()
	if len(events) == 0 || events[0].Account != "444455556666" || events[0].Region != "local" {
		t.Errorf("the trail holds %v", events)
	}
}

// TestDestruction needs the ring's clock and the runtime's to go together: with the clock that stands still nothing is destroyed, in a bubble it is.
func TestDestruction(t *testing.T) {
	schedule := func(t *testing.T, ring *kmstest.Ring) {
		t.Helper()
		if _, err := ring.ScheduleKeyDeletion(t.Context(), createKey(t, ring).KeyID, 7); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("clock that was moved", func(t *testing.T) {
		ring := kmstest.New(t)
		schedule(t, ring)
		ring.Clock.Advance(8 * kms.Day)
		report, err := ring.Maintain(t.Context())
		if want := (kms.MaintainReport{Postponed: 1}); report != want || !errors.Is(err, kms.ErrClock) {
			t.Errorf("%+v, %v, want %+v and ErrClock", report, err, want)
		}
	})
	t.Run("bubble", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			ring := kmstest.New(t, func(cfg *kms.Config) { cfg.Now = time.Now })
			schedule(t, ring)
			for _, want := range []kms.MaintainReport{{Marked: 1}, {Destroyed: 1}} {
				time.Sleep(8 * kms.Day)
				if report, err := ring.Maintain(t.Context()); report != want || err != nil {
					t.Errorf("%+v, %v, want %+v", report, err, want)
				}
			}
		})
	})
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		kmstest.New(b)
	}
}
