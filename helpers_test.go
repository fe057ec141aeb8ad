package kms_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// everyone lets every principal of the account do everything.
const everyone = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`

// A fakeClock moves only when it is told to.
type fakeClock struct{ offset atomic.Int64 }

var epoch = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func (c *fakeClock) now() time.Time          { return epoch.Add(time.Duration(c.offset.Load())) }
func (c *fakeClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// A fixture is a ring with a clock, a store and a trail.
type fixture struct {
	*kms.Keyring
	t     testing.TB
	clock *fakeClock
	store keystore.Store
	trail *audit.Memory
}

// open opens a ring in memory. Options change its Config.
func open(t testing.TB, options ...func(*kms.Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: new(fakeClock), store: memory.New(), trail: new(audit.Memory)}
	cfg := kms.Config{Store: f.store, Root: newGCMRoot(t, make([]byte, 32)), AccountID: "111122223333", Region: "eu-central-1", Now: f.clock.now, Audit: f.trail}
	for _, o := range options {
		o(&cfg)
	}
	f.store = cfg.Store
	var err error
	f.Keyring, err = kms.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// create creates a key that everyone in the account may use.
func (f *fixture) create() kms.KeyMetadata {
	f.t.Helper()
	return must(f.CreateKey(f.t.Context(), kms.CreateKeyInput{Policy: everyone}))(f.t)
}

// must returns a value that came without an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode requires an error of that code; "" requires none.
func wantCode(t testing.TB, err error, code kms.Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !errors.Is(err, code) {
		t.Errorf("%v, want %q", err, code)
	}
}

func all[T any](t testing.TB, list iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for e, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// A gatedStore holds commits until it is told to let them go.
type gatedStore struct {
	keystore.Store
	on             atomic.Bool
	entered, leave chan bool
}

func (s *gatedStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if s.on.Load() {
		s.entered <- true
		<-s.leave
	}
	return s.Store.Commit(ctx, changes)
}
