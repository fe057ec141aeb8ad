package kms_test

import (
	"math"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore/memory"
)

// TestAClockBehindTakesNothingFromAWaitingPeriod: a deletion that is scheduled while the clock is behind waits its days from the latest time that the ring knows to
// have come.
func TestAClockBehindTakesNothingFromAWaitingPeriod(t *testing.T) {
	const year = 365 * kms.Day
	for name, tc := range map[string]struct {
		before func(t *testing.T, f *fixture, key kms.KeyMetadata)                    // what happens while the clock is right
		behind func(t *testing.T, f *fixture, again func() *fixture) (other *fixture) // how it comes to be behind, and who schedules then
		want   time.Duration                                                          // from when the days count, after the key was made
	}{
		"Maintain has told the ring": {
			func(t *testing.T, f *fixture, _ kms.KeyMetadata) { must(f.Maintain(t.Context()))(t) },
			func(_ *testing.T, f *fixture, again func() *fixture) *fixture {
				f.clock.offset.Store(int64(-20 * year))
				return again()
			}, year,
		},
		"the key was changed": {
			func(t *testing.T, f *fixture, key kms.KeyMetadata) {
				check(t, f.UpdateKeyDescription(t.Context(), key.KeyID, "x"))
			},
			func(_ *testing.T, f *fixture, again func() *fixture) *fixture {
				f.clock.offset.Store(int64(-20 * year))
				return again()
			}, year,
		},
		"the clock goes back while the ring is open": {
			func(*testing.T, *fixture, kms.KeyMetadata) {},
			func(_ *testing.T, f *fixture, again func() *fixture) *fixture {
				other := again()
				time.Sleep(3 * kms.Day)
				f.clock.offset.Store(int64(kms.Day))
				return other
			}, year + 3*kms.Day,
		},
		"the clock is right": {
			func(t *testing.T, f *fixture, _ kms.KeyMetadata) { must(f.Maintain(t.Context()))(t) },
			func(_ *testing.T, f *fixture, again func() *fixture) *fixture { f.clock.advance(year); return again() }, 2 * year,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				store, clock := memory.New(), new(fakeClock)
				again := func() *fixture {
					f := open(t, func(c *kms.Config) { c.Store, c.Now = store, clock.now })
					f.clock = clock
					return f
				}
				key := again().create()
				clock.advance(year)
				f := again()
				tc.before(t, f, key)
				other := tc.behind(t, f, again)
				res := must(other.ScheduleKeyDeletion(t.Context(), key.KeyID, 7))(t)
				if want := epoch.Add(tc.want + 7*kms.Day); !res.DeletionDate.Equal(want) {
					t.Errorf("DeletionDate %v, want %v", res.DeletionDate, want)
				}
				if got := must(other.DescribeKey(t.Context(), key.KeyID))(t); !got.DeletionDate.Equal(res.DeletionDate) || got.KeyState != kms.PendingDeletion {
					t.Errorf("%v %v, want %v", got.KeyState, got.DeletionDate, res.DeletionDate)
				}
				clock.offset.Store(int64(tc.want + 7*kms.Day - 1)) // the clock is right again
				third := again()
				if got := must(third.Maintain(t.Context()))(t); got != (kms.MaintainReport{}) {
					t.Errorf("%+v", got)
				}
				must(third.CancelKeyDeletion(t.Context(), key.KeyID))(t)
			})
		})
	}
}

// TestClocksOutOfRange: near the ends of what nanoseconds since 1970 can say, and beyond them, dates do not come round to the other end: nothing is
// deleted or rotated at once, and with the clock right again everything can be taken back.
func TestClocksOutOfRange(t *testing.T) {
	last := time.Unix(0, math.MaxInt64).UTC()
	for name, now := range map[string]time.Time{
		"a day before the end": last.Add(-kms.Day), "the end": last, "behind the end": last.Add(1), "long after": last.AddDate(5000, 0, 0),
		"1970": time.Unix(0, 0), "before 1970": time.Unix(0, -1), "long before 1970": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			right := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
			wrong := false
			f := open(t, func(c *kms.Config) {
				c.Now = func() time.Time {
					if wrong {
						return now
					}
					return right
				}
			})
			doomed, rotating := f.create(), f.create()
			wrong = true
			made := f.create()
			res := must(f.ScheduleKeyDeletion(t.Context(), doomed.KeyID, 7))(t)
			if !res.DeletionDate.After(right.Add(6*kms.Day)) || now.After(right) && now.Before(last) && res.DeletionDate.Before(now) {
				t.Errorf("at %v a deletion is scheduled for %v", now, res.DeletionDate)
			}
			must(f.DescribeKey(t.Context(), doomed.KeyID))(t)
			check(t, f.EnableKeyRotation(t.Context(), rotating.KeyID, 0))
			for _, key := range []kms.KeyMetadata{rotating, made} {
				for range 3 {
					must(f.Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
				}
			}
			if n := len(all(t, f.ListKeyRotations(t.Context(), rotating.KeyID, kms.ListKeyRotationsInput{}))); n > 0 {
				t.Errorf("%d rotations at once", n)
			}
			wrong = false
			must(f.CancelKeyDeletion(t.Context(), doomed.KeyID))(t)
			check(t, f.EnableKeyRotation(t.Context(), rotating.KeyID, 0))
			if got := must(f.GetKeyRotationStatus(t.Context(), rotating.KeyID))(t); got.NextRotationDate.After(right.Add(365 * kms.Day)) {
				t.Errorf("the next rotation is %v", got.NextRotationDate)
			}
		})
	}
}

// TestAFutureThatWasSeenDoesNotEndRotation: a rotation that was met while the clock was far ahead moves the next one as far; enabling rotation again brings it back,
// and does not put off one that is nearer.
func TestAFutureThatWasSeenDoesNotEndRotation(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.KeyID, 0))
	f.clock.advance(100 * 365 * kms.Day)
	must(f.Encrypt(t.Context(), key.KeyID, []byte("x"), nil))(t)
	f.clock.offset.Store(0)
	for _, days := range []time.Duration{0, 100} {
		f.clock.offset.Store(int64(days * kms.Day))
		check(t, f.EnableKeyRotation(t.Context(), key.KeyID, 365*kms.Day))
		if got, want := must(f.GetKeyRotationStatus(t.Context(), key.KeyID))(t).NextRotationDate, epoch.Add(365*kms.Day); !got.Equal(want) {
			t.Errorf("the next rotation is %v, want %v", got, want)
		}
	}
}
