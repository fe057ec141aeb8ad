package kms

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// names returns the names of all items of a store that have a prefix.
func names(t testing.TB, store keystore.Store, prefix string) (out []string) {
	t.Helper()
	items, err := store.List(context.Background(), prefix, "", keystore.MaxListLimit)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		out = append(out, item.Name)
	}
	return out
}

func maintain(t *testing.T, r *Keyring) MaintainReport {
	t.Helper()
	report, err := r.Maintain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// doomedRing is a ring with a key of three versions and two aliases, scheduled for deletion in seven days, and another key.
func doomedRing(t *testing.T, options ...func(*Config)) (r *Keyring, store keystore.Store, key KeyMetadata) {
	t.Helper()
	store = memory.New()
	root, err := newEphemeralRoot()
	if err != nil {
		t.Fatal(err)
	}
	r, key = ring(t, append([]func(*Config){func(c *Config) { c.Store, c.Root = store, root }}, options...)...)
	if _, err := r.CreateKey(t.Context(), CreateKeyInput{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.RotateKeyOnDemand(t.Context(), key.ARN); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"alias/a", "alias/b"} {
		if err := r.CreateAlias(t.Context(), name, key.ARN); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.ScheduleKeyDeletion(t.Context(), key.ARN, 7); err != nil {
		t.Fatal(err)
	}
	return r, store, key
}

// TestDestructionInTwoSteps: vault#10488 and fhir-works-on-aws-deployment#540: keys that were deleted while their data stayed.
func TestDestructionInTwoSteps(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		trail := new(audit.Memory)
		r, store, key := doomedRing(t, func(c *Config) { c.Audit = trail })
		before := names(t, store, "")
		for range 7 { // as an operator would, every day: nothing is due
			if got := maintain(t, r); got != (MaintainReport{}) {
				t.Fatalf("%+v", got)
			}
			time.Sleep(Day)
		}
		trail.Reset()
		if got := maintain(t, r); got != (MaintainReport{Marked: 1}) {
			t.Errorf("first step: %+v", got)
		}
		if got := names(t, store, ""); !slices.Equal(got, before) {
			t.Errorf("the first step has removed something: %q, before %q", got, before)
		}
		time.Sleep(destructionDelay - 1)
		if got := maintain(t, r); got != (MaintainReport{Postponed: 1}) {
			t.Errorf("too early: %+v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := maintain(t, r); got != (MaintainReport{Destroyed: 1}) {
			t.Errorf("second step: %+v", got)
		}
		for _, prefix := range []string{"key/" + key.KeyID, "ver/" + key.KeyID, "vidx/" + key.KeyID, "alias/", "due/"} {
			if got := names(t, store, prefix); len(got) != 0 {
				t.Errorf("left behind: %q", got)
			}
		}
		id, _ := parseKeyID(key.KeyID)
		dead := "dead/" + hex.EncodeToString(r.c.keyedHash("dead", "\x00"+string(id.raw[:])))
		if got := names(t, store, "dead/"); !slices.Equal(got, []string{dead}) {
			t.Errorf("tombstones %q, want %q", got, dead)
		}
		if events := trail.Events(); len(events) != 1 || events[0].Name != "DeleteKey" || events[0].Type != audit.ServiceEvent || events[0].Resources[0].ARN != key.ARN {
			t.Errorf("%d events", len(events))
		}
		if _, err := r.DescribeKey(t.Context(), key.ARN); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if got := maintain(t, r); got != (MaintainReport{}) {
			t.Errorf("afterwards: %+v", got)
		}
		if keys := names(t, store, "key/"); len(keys) != 1 {
			t.Errorf("keys left: %q", keys)
		}
	})
}

// TestAnotherProcessWaitsItsOwnHour: an hour that a process did not live through does not count.
func TestAnotherProcessWaitsItsOwnHour(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, store, _ := doomedRing(t)
		time.Sleep(7 * Day)
		if got := maintain(t, r); got.Marked != 1 {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Hour)
		second, err := Open(t.Context(), Config{Store: store, Root: r.c.cfg.Root})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if got := maintain(t, second); got != (MaintainReport{Postponed: 1}) {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
		if got := maintain(t, second); got != (MaintainReport{Destroyed: 1}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestAClockThatJumpsDestroysNothing: a key inside its waiting period survives whatever the wall clock says.
// aws-sdk-js#527 and its kind: hosts whose clocks were wrong.
func TestAClockThatJumpsDestroysNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var jump time.Duration
		r, store, key := doomedRing(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(jump) } })
		before := names(t, store, "")
		jump = 60 * Day
		for range 3 { // it stays where it is: that does not make it right
			report, err := r.Maintain(t.Context())
			if report != (MaintainReport{Postponed: 1}) || !errors.Is(err, ErrClock) {
				t.Fatalf("%+v, %v", report, err)
			}
			time.Sleep(2 * time.Hour)
		}
		jump = 0
		if got := maintain(t, r); got != (MaintainReport{}) {
			t.Errorf("back again: %+v", got)
		}
		jump = -6 * time.Minute
		if _, err := r.Maintain(t.Context()); !errors.Is(err, ErrClock) {
			t.Errorf("set back: %v, want ErrClock", err)
		}
		jump = 0
		if got := names(t, store, ""); !slices.Equal(got, before) {
			t.Errorf("%q, before %q", got, before)
		}
		if _, err := r.CancelKeyDeletion(t.Context(), key.ARN); err != nil {
			t.Error(err)
		}
	})
}

// TestAClockBehindTheRingDestroysNothing: the time that the ring has seen outlives the process.
func TestAClockBehindTheRingDestroysNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, store, _ := doomedRing(t)
		time.Sleep(8 * Day)
		maintain(t, r)
		behind, err := Open(t.Context(), Config{Store: store, Root: r.c.cfg.Root, Now: func() time.Time { return time.Now().Add(-6 * time.Minute) }})
		if err != nil {
			t.Fatal(err)
		}
		defer behind.Close()
		report, err := behind.Maintain(t.Context())
		if !errors.Is(err, ErrClock) || report != (MaintainReport{Postponed: 1}) {
			t.Errorf("%+v, %v", report, err)
		}
		slightly, err := Open(t.Context(), Config{Store: store, Root: r.c.cfg.Root, Now: func() time.Time { return time.Now().Add(-4 * time.Minute) }})
		if err != nil {
			t.Fatal(err)
		}
		defer slightly.Close()
		maintain(t, slightly)
	})
}

func TestACancelledDeletionIsForgotten(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, store, key := doomedRing(t)
		time.Sleep(7*Day - time.Minute)
		if _, err := r.CancelKeyDeletion(t.Context(), key.ARN); err != nil {
			t.Fatal(err)
		}
		if got := names(t, store, "due/"); len(got) != 0 {
			t.Errorf("due: %q", got)
		}
		time.Sleep(2 * time.Hour)
		if got := maintain(t, r); got != (MaintainReport{}) {
			t.Errorf("%+v", got)
		}
		if err := r.EnableKey(t.Context(), key.ARN); err != nil {
			t.Error(err)
		}
	})
}

func TestMaintainRotates(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		trail := new(audit.Memory)
		r, key := ring(t, func(c *Config) { c.Audit = trail })
		if err := r.EnableKeyRotation(t.Context(), key.ARN, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(364 * Day)
		if got := maintain(t, r); got != (MaintainReport{}) {
			t.Errorf("%+v", got)
		}
		time.Sleep(Day)
		trail.Reset()
		if got := maintain(t, r); got != (MaintainReport{Rotated: 1}) {
			t.Errorf("%+v", got)
		}
		if events := trail.Events(); len(events) != 1 || events[0].Name != "RotateKey" {
			t.Errorf("%d events", len(events))
		}
		if got := maintain(t, r); got != (MaintainReport{}) {
			t.Errorf("again: %+v", got)
		}
	})
}

// TestAMissingKeyIsNoReasonToSweep: a store that does not return a key's record does not make anybody remove the key's material.
func TestAMissingKeyIsNoReasonToSweep(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, store, key := doomedRing(t)
		time.Sleep(7 * Day)
		record, err := store.Get(t.Context(), "key/"+key.KeyID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: record.Name, Revision: record.Revision}}); err != nil {
			t.Fatal(err)
		}
		before := names(t, store, "")
		if _, err := r.Maintain(t.Context()); err == nil || !strings.Contains(err.Error(), "no tombstone") {
			t.Errorf("%v", err)
		}
		if got := names(t, store, ""); !slices.Equal(got, before) {
			t.Errorf("%q, before %q", got, before)
		}
	})
}

// TestAnInterruptedSweepGoesOn: what a process that was stopped left behind, the next one removes.
func TestAnInterruptedSweepGoesOn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		broken := &brokenLists{Store: memory.New()}
		root, err := newEphemeralRoot()
		if err != nil {
			t.Fatal(err)
		}
		r, _, key := doomedRing(t, func(c *Config) { c.Store, c.Root = broken, root })
		time.Sleep(7 * Day)
		maintain(t, r)
		time.Sleep(time.Hour)
		broken.prefix = "ver/"
		if _, err := r.Maintain(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("%v", err)
		}
		if len(names(t, broken.Store, "ver/"+key.KeyID)) != 3 || len(names(t, broken.Store, "key/"+key.KeyID)) != 0 {
			t.Error("the sweep was not interrupted where it should be")
		}
		broken.prefix = ""
		maintain(t, r)
		if got := slices.Concat(names(t, broken.Store, "ver/"+key.KeyID), names(t, broken.Store, "vidx/"+key.KeyID), names(t, broken.Store, "due/")); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	})
}

var errBroken = errors.New("broken")

type brokenLists struct {
	keystore.Store
	prefix string
}

func (s *brokenLists) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if s.prefix != "" && strings.HasPrefix(prefix, s.prefix) {
		return nil, errBroken
	}
	return s.Store.List(ctx, prefix, after, limit)
}

func TestMaintainOneAtATime(t *testing.T) {
	r, _ := ring(t)
	r.c.maintenance.running <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Maintain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-r.c.maintenance.running
	maintain(t, r)
	r.Close()
	if _, err := r.Maintain(t.Context()); !errors.Is(err, ErrServiceUnavailable) {
		t.Errorf("%v", err)
	}
}

// TestADestroyedKeyIsUnknownAtOnce: also where the clock has not moved since its record was last written. What was seen last is put in order by counting.
func TestADestroyedKeyIsUnknownAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, a := ring(t)
		b, err := r.CreateKey(t.Context(), CreateKeyInput{})
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		do(err)
		do(r.CreateAlias(t.Context(), "alias/x", a.KeyID))
		_, err = r.ScheduleKeyDeletion(t.Context(), a.KeyID, 7)
		do(err)
		time.Sleep(7 * Day)
		maintain(t, r)
		time.Sleep(time.Hour)
		do(r.CreateAlias(t.Context(), "alias/x", b.KeyID)) // which takes the alias out of the other key's record
		if report := maintain(t, r); report.Destroyed != 1 {
			t.Fatalf("%+v", report)
		}
		if _, err := r.DescribeKey(t.Context(), a.KeyID); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}
