package stress_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/memory"
)

// TestClocksThatJumpDestroyNothing opens rings by a right clock and then lets the ring's clock jump, go back, and stand still beside the runtime's, as it does when a
// machine was suspended or its clock was set. Whatever is destroyed has been pending for its whole waiting period, as the clock that nobody bent has it.
func TestClocksThatJumpDestroyNothing(t *testing.T) {
	t.Parallel()
	jumps, destroyed, refused, postponed := 0, 0, 0, 0
	for seed := range uint64(size(8, 500)) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			store := memory.New()
			var bent time.Duration
			config := func(c *kms.Config) { c.Now = func() time.Time { return time.Now().Add(bent) } }
			ring := openRing(t, store, config)
			scheduled := map[string]time.Time{} // by the runtime's clock
			for range 200 {
				time.Sleep(time.Nanosecond)
				switch rnd.IntN(6) {
				case 0:
					bent = []time.Duration{0, 0, time.Duration(rnd.Int64N(int64(60 * kms.Day))), -time.Duration(rnd.Int64N(int64(60 * kms.Day))), 6 * time.Minute, -6 * time.Minute}[rnd.IntN(6)]
					jumps++
				case 1:
					time.Sleep(time.Duration(rnd.Int64N(int64(5 * kms.Day))))
				case 2:
					time.Sleep(time.Duration(rnd.Int64N(int64(3 * time.Hour))))
				case 3:
					if bent != 0 { // a date by a bent clock is a date that somebody chose
						continue
					}
					key := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
					must(ring.ScheduleKeyDeletion(t.Context(), key.KeyID, 7))(t)
					scheduled[key.KeyID] = time.Now()
				case 4:
					if bent == 0 {
						check(t, ring.Close())
						ring = openRing(t, store, config)
					}
				default:
					report, err := ring.Maintain(t.Context())
					if err != nil && !errors.Is(err, kms.ErrClock) {
						t.Fatal(err)
					}
					if errors.Is(err, kms.ErrClock) {
						refused++
						if report.Marked+report.Destroyed > 0 {
							t.Fatalf("%+v, %v", report, err)
						}
					}
					destroyed += report.Destroyed
					postponed += report.Postponed
				}
				for key, since := range scheduled {
					if len(names(t, store, "key/"+key)) == 1 && len(names(t, store, "ver/"+key)) == 1 {
						continue
					}
					if age := time.Since(since); age < 7*kms.Day+time.Hour {
						t.Fatalf("seed %d: %s was destroyed after %v", seed, key, age)
					}
					delete(scheduled, key)
				}
			}
		})
	}
	if destroyed == 0 || refused == 0 {
		t.Errorf("%d destroyed, %d times refused", destroyed, refused)
	}
	t.Logf("%d jumps, %d times nothing was destroyed because of the clocks, %d postponed, %d keys destroyed, too early: 0", jumps, refused, postponed, destroyed)
}

// TestNothingIsUsedBeyondTheBound: what one ring has done is in effect in the other within the bound by the runtime's clocks, wherever the rings' own clocks stand.
func TestNothingIsUsedBeyondTheBound(t *testing.T) {
	t.Parallel()
	uses, stale := 0, 0
	for seed := range uint64(size(8, 500)) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			store := memory.New()
			var bent time.Duration
			config := func(c *kms.Config) { c.Now = func() time.Time { return time.Now().Add(bent) } }
			a, b := openRing(t, store, config), openRing(t, store, config)
			key := must(a.CreateKey(t.Context(), kms.CreateKeyInput{}))(t).KeyID
			out := must(a.Encrypt(t.Context(), key, []byte("x"), nil))(t)
			enabled, since := true, time.Now()
			for i := range 200 {
				time.Sleep(time.Duration(rnd.Int64N(int64(2 * kms.DefaultMaxStaleness))))
				switch rnd.IntN(4) {
				case 0:
					bent = time.Duration(rnd.Int64N(int64(100*kms.Day))) - 50*kms.Day
				case 1:
					change := a.EnableKey
					if enabled {
						change = a.DisableKey
					}
					check(t, change(t.Context(), key))
					enabled, since = !enabled, time.Now()
				default:
					want := kms.Code("")
					if !enabled {
						want = kms.ErrDisabled
					}
					_, err := b.Decrypt(t.Context(), out.Ciphertext, nil)
					uses++
					if codeOf(err) != want {
						stale++
						if age := time.Since(since); age > kms.DefaultMaxStaleness {
							t.Fatalf("seed %d, step %d: %v, want %q, which has been so for %v", seed, i, err, want, age)
						}
					}
					if _, err := a.Decrypt(t.Context(), out.Ciphertext, nil); codeOf(err) != want {
						t.Fatalf("seed %d, step %d: where it was changed: %v, want %q", seed, i, err, want)
					}
				}
			}
		})
	}
	if stale == 0 {
		t.Error("nothing was ever stale: the bound was not tried")
	}
	t.Logf("%d uses, %d of them stale within the bound, beyond it: 0", uses, stale)
}

// TestAHundredYears lets a key rotate every year, and is used every month: a version a year, and everything stays readable.
func TestAHundredYears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ring := openRing(t, memory.New())
		key := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t).KeyID
		check(t, ring.EnableKeyRotation(t.Context(), key, 365*kms.Day))
		var made [][]byte
		var month int
		for month = 1; month <= 100*12; month++ {
			time.Sleep(365 * kms.Day / 12)
			made = append(made, must(ring.Encrypt(t.Context(), key, fmt.Append(nil, len(made)), nil))(t).Ciphertext)
		}
		if got := must(collect(ring.ListKeyRotations(t.Context(), key, kms.ListKeyRotationsInput{})))(t); len(got) != 100 {
			t.Errorf("%d rotations in a hundred years", len(got))
		}
		for i, ciphertext := range made {
			if out, err := ring.Decrypt(t.Context(), ciphertext, nil); err != nil || string(out.Plaintext) != fmt.Sprint(i) {
				t.Fatalf("lost: month %d: %v", i, err)
			}
		}
		t.Logf("%d months, 100 rotations, lost: 0", month-1)
	})
}

// TestEveryWaitingPeriod: for each number of days that there is, a key can be taken back up to its last moment, and is gone from then on.
func TestEveryWaitingPeriod(t *testing.T) {
	t.Parallel()
	for days := 7; days <= 30; days++ {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			ring := openRing(t, store)
			kept, lost := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t).KeyID, must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t).KeyID
			for _, key := range []string{kept, lost} {
				must(ring.ScheduleKeyDeletion(t.Context(), key, days))(t)
			}
			for range days - 1 {
				time.Sleep(kms.Day)
				if report := must(ring.Maintain(t.Context()))(t); report != (kms.MaintainReport{}) {
					t.Fatalf("%d days: %+v", days, report)
				}
			}
			time.Sleep(kms.Day - 1)
			must(ring.CancelKeyDeletion(t.Context(), kept))(t)
			must(ring.DescribeKey(t.Context(), lost))(t)
			time.Sleep(time.Nanosecond)
			if _, err := ring.CancelKeyDeletion(t.Context(), lost); codeOf(err) != kms.ErrNotFound {
				t.Errorf("%d days: taken back when it was over: %v", days, err)
			}
			for _, want := range []kms.MaintainReport{{Marked: 1}, {Destroyed: 1}} {
				if report := must(ring.Maintain(t.Context()))(t); report != want {
					t.Errorf("%d days: %+v, want %+v", days, report, want)
				}
				time.Sleep(time.Hour)
			}
			check(t, ring.EnableKey(t.Context(), kept))
			must(ring.Encrypt(t.Context(), kept, []byte("x"), nil))(t)
		})
	}
}
