package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// TestNoCiphertextIsLost: under load, with eviction, rotation, disabling, deletion and Close going on, what was encrypted decrypts.
func TestNoCiphertextIsLost(t *testing.T) {
	shared := func(c *kms.Config) { c.CacheSize, c.Now, c.MaxStaleness = 3, nil, 10*time.Millisecond }
	f := open(t, shared)
	closing := open(t, shared, func(c *kms.Config) { c.Store = f.store })
	var keys []kms.KeyMetadata
	for range 8 {
		keys = append(keys, f.create())
	}
	type message struct{ plaintext, ciphertext []byte }
	var mu sync.Mutex
	var made []message
	var stop atomic.Bool
	var wg sync.WaitGroup
	expected := []error{kms.ErrDisabled, kms.ErrInvalidState, kms.ErrServiceUnavailable}
	tolerate := func(err error) bool {
		for _, e := range expected {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	for g, ring := range []*kms.Keyring{f.Keyring, f.Keyring, closing.Keyring, closing.Keyring} {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for i := 0; !stop.Load(); i++ {
				key := keys[rnd.IntN(len(keys))]
				plaintext := fmt.Appendf(nil, "message %d of %d", i, g)
				out, err := ring.Encrypt(t.Context(), key.ARN, plaintext, kms.EncryptionContext{"g": fmt.Sprint(g)})
				if err != nil {
					if !tolerate(err) {
						t.Errorf("Encrypt: %v", err)
						return
					}
					continue
				}
				got, err := ring.Decrypt(t.Context(), out.Ciphertext, kms.EncryptionContext{"g": fmt.Sprint(g)})
				if err != nil && !tolerate(err) || err == nil && !bytes.Equal(got.Plaintext, plaintext) {
					t.Errorf("Decrypt: %q, %v", got.Plaintext, err)
				}
				mu.Lock()
				made = append(made, message{fmt.Appendf(nil, "%d", g), out.Ciphertext})
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(9, 9))
		for i := 0; !stop.Load(); i++ {
			key := keys[rnd.IntN(len(keys))]
			var err error
			switch rnd.IntN(4) {
			case 0:
				_, err = f.RotateKeyOnDemand(t.Context(), key.ARN)
			case 1:
				err = errors.Join(f.DisableKey(t.Context(), key.ARN), f.EnableKey(t.Context(), key.ARN))
			case 2:
				if _, err = f.ScheduleKeyDeletion(t.Context(), key.ARN, 7); err == nil {
					if _, err = f.CancelKeyDeletion(t.Context(), key.ARN); err == nil {
						err = f.EnableKey(t.Context(), key.ARN)
					}
				}
			default:
				err = f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "i", Value: fmt.Sprint(i)})
			}
			if err != nil && !errors.Is(err, kms.ErrLimitExceeded) {
				t.Errorf("change: %v", err)
				return
			}
		}
	})
	time.Sleep(400 * time.Millisecond)
	check(t, closing.Close())
	time.Sleep(100 * time.Millisecond)
	stop.Store(true)
	wg.Wait()

	for _, key := range keys {
		check(t, f.EnableKey(t.Context(), key.ARN))
	}
	for i, m := range made {
		if _, err := f.Decrypt(t.Context(), m.ciphertext, kms.EncryptionContext{"g": string(m.plaintext)}); err != nil {
			t.Fatalf("message %d of %d: %v", i, len(made), err)
		}
	}
	if len(made) < 100 {
		t.Errorf("only %d messages", len(made))
	}
}

// TestNoUpdateIsLost: changes of one key by many at once, in two rings, all take effect. OpenBao GH-956: an update that overwrote another.
func TestNoUpdateIsLost(t *testing.T) {
	f := open(t)
	second := open(t, func(c *kms.Config) { c.Store = f.store })
	key := f.create()
	var wg sync.WaitGroup
	for i := range 40 {
		ring := []*fixture{f, second}[i%2]
		wg.Go(func() {
			if err := ring.TagResource(t.Context(), key.ARN, kms.Tag{Key: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 10 {
		wg.Go(func() {
			if err := f.CreateAlias(t.Context(), fmt.Sprintf("alias/%d", i), key.ARN); err != nil {
				t.Error(err)
			}
			if _, err := second.RotateKeyOnDemand(t.Context(), key.ARN); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	fresh := open(t, func(c *kms.Config) { c.Store = f.store }) // the others may still use what they saw less than MaxStaleness ago
	if got := all(t, fresh.ListResourceTags(t.Context(), key.ARN)); len(got) != 40 {
		t.Errorf("%d tags, want 40", len(got))
	}
	if got := all(t, fresh.ListAliases(t.Context(), "")); len(got) != 10 {
		t.Errorf("%d aliases, want 10", len(got))
	}
	if got := all(t, fresh.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{})); len(got) != 10 {
		t.Errorf("%d rotations, want 10", len(got))
	}
}

// TestOneAliasForMany: of many who want a name, one gets it.
func TestOneAliasForMany(t *testing.T) {
	f := open(t)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		key := f.create()
		wg.Go(func() {
			switch err := f.CreateAlias(t.Context(), "alias/one", key.ARN); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, kms.ErrAlreadyExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d have got it", won.Load())
	}
	aliases := all(t, f.ListAliases(t.Context(), ""))
	if len(aliases) != 1 || must(f.DescribeKey(t.Context(), "alias/one"))(t).KeyID != aliases[0].TargetKeyID {
		t.Errorf("%v", aliases)
	}
}

// TestCloseWaits: Close returns when the operations that run have ended, and not before.
func TestCloseWaits(t *testing.T) {
	store := &gatedStore{entered: make(chan bool), leave: make(chan bool)}
	f := open(t, func(c *kms.Config) { store.Store, c.Store = c.Store, store })
	key := f.create()
	store.on.Store(true)
	result, ended := make(chan error), make(chan bool)
	go func() { result <- f.DisableKey(context.Background(), key.ARN) }()
	<-store.entered
	go func() { f.Close(); f.Close(); ended <- true }()
	for { // until the gate is shut
		_, err := f.DescribeKey(t.Context(), "alias/none")
		if errors.Is(err, kms.ErrServiceUnavailable) {
			break
		}
	}
	select {
	case <-ended:
		t.Error("Close did not wait")
	default:
	}
	store.leave <- true
	check(t, <-result)
	<-ended
}

// TestClientsAreViews: what is changed on a copy is not changed on the original.
func TestClientsAreViews(t *testing.T) {
	f := open(t)
	key := f.create()
	base := f.As(kms.Role("app"))
	if got := fmt.Sprintf("%v", base.DryRun()); got != "kms client of arn:aws:sts::111122223333:assumed-role/app/app" {
		t.Errorf("prints %s", got)
	}
	if got := fmt.Sprintf("%+v, %x, %v", f.Keyring, f.As(kms.Caller{}), (*kms.Client)(nil)); got != "kms client of arn:aws:iam::111122223333:root, kms client of nobody, kms client of nobody" {
		t.Errorf("prints %s", got)
	}
	one, two := base.WithGrantTokens("a"), base.WithGrantTokens("a").WithGrantTokens("b")
	dry := base.DryRun()
	must(base.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	for _, c := range []*kms.Client{one, two} {
		_, err := c.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
		wantCode(t, err, kms.ErrInvalidGrantToken)
	}
	_, err := dry.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	wantCode(t, err, kms.ErrDryRun)
	must(base.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	if err := dry.DisableKey(t.Context(), key.ARN); err == nil || !strings.Contains(err.Error(), "The request would have succeeded, but the DryRun option is set.") {
		t.Error(err)
	}
}

// TestChangesOfOneProcessDoNotMeet: keys are counted in totals that many of them share; changes that come together are neither made nor recorded twice for that.
func TestChangesOfOneProcessDoNotMeet(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const creators, each = 64, 8 // so that two are often in one of 256 totals
		store := &tardyStore{Store: memory.New()}
		f := open(t, func(c *kms.Config) { c.Store = store })
		store.commits.Store(0)
		before := len(f.trail.Events())
		var wg sync.WaitGroup
		for range creators {
			wg.Go(func() {
				for range each {
					if _, err := f.CreateKey(t.Context(), kms.CreateKeyInput{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := store.commits.Load(); n != creators*each {
			t.Errorf("%d commits for %d keys", n, creators*each)
		}
		if n := len(f.trail.Events()) - before; n != creators*each {
			t.Errorf("%d events for %d keys", n, creators*each)
		}
	})
}

// A tardyStore takes its time for a commit, and counts.
type tardyStore struct {
	keystore.Store
	commits atomic.Int64
}

func (s *tardyStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	s.commits.Add(1)
	time.Sleep(time.Millisecond)
	return s.Store.Commit(ctx, changes)
}
