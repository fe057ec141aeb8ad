package kms_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A countingStore counts reads, and fails while it is told to.
type countingStore struct {
	keystore.Store
	gets, lists atomic.Int64
	down        atomic.Bool
}

var errDown = errors.New("the store cannot be reached")

func (s *countingStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	s.gets.Add(1)
	if s.down.Load() {
		return keystore.Record{}, errDown
	}
	return s.Store.Get(ctx, name)
}

func (s *countingStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	s.lists.Add(1)
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.List(ctx, prefix, after, limit)
}

// pair opens two rings on one store, as two processes would, and returns them with a key.
func pair(t *testing.T) (a, b *fixture, store *countingStore, key kms.KeyMetadata) {
	t.Helper()
	store = &countingStore{Store: memory.New()}
	shared := func(c *kms.Config) { c.Store, c.Now = store, nil }
	a, b = open(t, shared), open(t, shared)
	return a, b, store, a.create()
}

func TestChangesOfOthersAreSeenInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, b, _, key := pair(t)
		out := must(b.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		time.Sleep(time.Second)
		check(t, a.DisableKey(t.Context(), key.ARN))
		if _, err := a.Decrypt(t.Context(), out.Ciphertext, nil); !errors.Is(err, kms.ErrDisabled) {
			t.Errorf("in the process that disabled it: %v", err)
		}
		time.Sleep(4 * time.Second) // five since b read it: it may still be used
		must(b.Decrypt(t.Context(), out.Ciphertext, nil))(t)
		time.Sleep(time.Nanosecond)
		if _, err := b.Decrypt(t.Context(), out.Ciphertext, nil); !errors.Is(err, kms.ErrDisabled) {
			t.Errorf("in the other process, beyond the bound: %v", err)
		}
	})
}

func TestRotationOfOthersIsReadableAtOnce(t *testing.T) {
	a, b, _, key := pair(t)
	must(b.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t) // b has a snapshot
	must(a.RotateKeyOnDemand(t.Context(), key.ARN))(t)
	out := must(a.Encrypt(t.Context(), key.ARN, []byte("new"), nil))(t)
	if got := must(b.Decrypt(t.Context(), out.Ciphertext, nil))(t); string(got.Plaintext) != "new" {
		t.Errorf("%q", got.Plaintext)
	}
}

func TestKeysOfOthersAreFoundAtOnce(t *testing.T) {
	a, b, _, _ := pair(t)
	key := a.create()
	check(t, a.CreateAlias(t.Context(), "alias/new", key.ARN))
	must(b.Encrypt(t.Context(), "alias/new", []byte("x"), nil))(t)
	must(b.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
}

func TestAliasesOfOthersMoveInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, b, _, old := pair(t)
		next := a.create()
		check(t, a.CreateAlias(t.Context(), "alias/a", old.ARN))
		where := func(f *fixture) string { return must(f.DescribeKey(t.Context(), "alias/a"))(t).KeyID }
		if where(b) != old.KeyID {
			t.Error("b does not see the alias")
		}
		check(t, a.UpdateAlias(t.Context(), "alias/a", next.ARN))
		if where(a) != next.KeyID {
			t.Error("a does not see its own change")
		}
		time.Sleep(5*time.Second + 1)
		if where(b) != next.KeyID {
			t.Error("b does not see the change in time")
		}
		check(t, a.DeleteAlias(t.Context(), "alias/a"))
		time.Sleep(5*time.Second + 1)
		_, err := b.DescribeKey(t.Context(), "alias/a")
		wantCode(t, err, kms.ErrNotFound)
	})
}

// TestAStoreOutOfReachFailsClosed: what is fresh goes on, what is stale is refused.
func TestAStoreOutOfReachFailsClosed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, _, store, key := pair(t)
		must(a.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		store.down.Store(true)
		time.Sleep(4 * time.Second)
		must(a.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		time.Sleep(2 * time.Second)
		_, err := a.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
		if !errors.Is(err, kms.ErrDependencyTimeout) || !errors.Is(err, errDown) {
			t.Errorf("%v, want a refusal that says why", err)
		}
		store.down.Store(false)
		must(a.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	})
}

// TestReadsOfOneKeyAreShared: a key that goes stale under load is read once, not by everybody.
func TestReadsOfOneKeyAreShared(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		slow := &slowStore{Store: memory.New()}
		f := open(t, func(c *kms.Config) { c.Store, c.Now = slow, nil })
		key := f.create()
		must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		time.Sleep(6 * time.Second)
		before := slow.gets.Load()
		done := make(chan error)
		for range 100 {
			go func() {
				_, err := f.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
				done <- err
			}()
		}
		for range 100 {
			check(t, <-done)
		}
		if n := slow.gets.Load() - before; n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
	})
}

// A slowStore takes a second to read.
type slowStore struct {
	keystore.Store
	gets atomic.Int64
}

func (s *slowStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	s.gets.Add(1)
	select {
	case <-time.After(time.Second):
		return s.Store.Get(ctx, name)
	case <-ctx.Done():
		return keystore.Record{}, ctx.Err()
	}
}

// TestACancelledReaderDoesNotFailTheOthers: who shares a read with somebody who gives up reads for himself.
func TestACancelledReaderDoesNotFailTheOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := open(t, func(c *kms.Config) { c.Store, c.Now = &slowStore{Store: memory.New()}, nil })
		key := f.create()
		time.Sleep(6 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		first, second := make(chan error), make(chan error)
		go func() { _, err := f.Encrypt(ctx, key.ARN, []byte("x"), nil); first <- err }()
		synctest.Wait()
		go func() { _, err := f.Encrypt(t.Context(), key.ARN, []byte("x"), nil); second <- err }()
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first: %v", err)
		}
		check(t, <-second)
		// And who waits for somebody else's read can give up too.
		time.Sleep(6 * time.Second)
		go func() { _, err := f.Encrypt(t.Context(), key.ARN, []byte("x"), nil); second <- err }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second/4)
		defer cancel()
		if _, err := f.Encrypt(short, key.ARN, []byte("x"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits: %v", err)
		}
		check(t, <-second)
	})
}

// TestUnknownKeysAreAskedForOnce: a ciphertext of a key that is not there does not reach the store each time.
func TestUnknownKeysAreAskedForOnce(t *testing.T) {
	a, _, store, key := pair(t)
	out := must(a.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	out.Ciphertext[3] ^= 1
	before := store.gets.Load()
	for range 10 {
		_, err := a.Decrypt(t.Context(), out.Ciphertext, nil)
		wantCode(t, err, kms.ErrAccessDenied)
	}
	if n := store.gets.Load() - before; n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// TestASlowOperationIsLookedAtAgain: an operation that took more than a second gives no result that it may not give any more.
func TestASlowOperationIsLookedAtAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &slowLists{Store: memory.New()}
		shared := func(c *kms.Config) { c.Store, c.Now = store, nil }
		a, b := open(t, shared), open(t, shared)
		key := a.create()
		out := must(a.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		store.on.Store(true) // b has yet to read the material, by a list
		result := make(chan error)
		go func() { _, err := b.Decrypt(t.Context(), out.Ciphertext, nil); result <- err }()
		synctest.Wait()
		check(t, a.DisableKey(t.Context(), key.ARN))
		if err := <-result; !errors.Is(err, kms.ErrDisabled) {
			t.Errorf("%v, want the key to be disabled", err)
		}
	})
}

type slowLists struct {
	keystore.Store
	on atomic.Bool
}

func (s *slowLists) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if s.on.Load() {
		time.Sleep(6 * time.Second)
	}
	return s.Store.List(ctx, prefix, after, limit)
}

// TestAStoreThatGoesBackIsNoticed: a running process refuses an older record than it has seen.
func TestAStoreThatGoesBackIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &rewindingStore{Store: memory.New()}
		f := open(t, func(c *kms.Config) { c.Store, c.Now, c.CacheSize = store, nil, 1 })
		key := f.create()
		out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		store.old = must(store.Store.Get(t.Context(), "key/"+key.KeyID))(t)
		check(t, f.DisableKey(t.Context(), key.ARN))
		f.create() // evicts it: the sighting stays
		store.on.Store(true)
		time.Sleep(6 * time.Second)
		_, err := f.Decrypt(t.Context(), out.Ciphertext, nil)
		wantCode(t, err, kms.ErrInternal)
		store.on.Store(false)
		_, err = f.Decrypt(t.Context(), out.Ciphertext, nil)
		wantCode(t, err, kms.ErrDisabled)
	})
}

// A rewindingStore returns an old record in place of the newest.
type rewindingStore struct {
	keystore.Store
	old keystore.Record
	on  atomic.Bool
}

func (s *rewindingStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.on.Load() && name == s.old.Name {
		return s.old, nil
	}
	return s.Store.Get(ctx, name)
}

// TestEvictedKeyIsNotRecalled: a key that has left the cache is not used through what is remembered of a reference to it: its change is in effect at once.
func TestEvictedKeyIsNotRecalled(t *testing.T) {
	f := open(t, func(cfg *kms.Config) { cfg.CacheSize = 2 })
	k := f.create()
	if err := f.CreateAlias(t.Context(), "alias/k", k.ARN); err != nil {
		t.Fatal(err)
	}
	var others [][]byte
	for range 3 {
		others = append(others, must(f.Encrypt(t.Context(), f.create().ARN, []byte("x"), nil))(t).Ciphertext)
	}
	for _, ref := range []string{k.ARN, k.KeyID, "alias/k"} {
		for range 3 { // others push the key out of the cache; what was remembered of its reference stays
			must(f.Encrypt(t.Context(), ref, []byte("x"), nil))(t)
			for _, ciphertext := range others {
				must(f.Decrypt(t.Context(), ciphertext, nil))(t)
				must(f.Decrypt(t.Context(), ciphertext, nil))(t) // what was asked for twice stays longest
			}
			if err := f.DisableKey(t.Context(), k.ARN); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Encrypt(t.Context(), ref, []byte("x"), nil); !errors.Is(err, kms.ErrDisabled) {
				t.Fatalf("%s: %v, want %v", ref, err, kms.ErrDisabled)
			}
			if err := f.EnableKey(t.Context(), k.ARN); err != nil {
				t.Fatal(err)
			}
		}
	}
}
