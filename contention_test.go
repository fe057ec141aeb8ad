package kms_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// TestRotationBesideTheLedger: with an anchor, RotateDomainKey waits for nobody who waits for it when another process writes the ledger meanwhile.
func TestRotationBesideTheLedger(t *testing.T) {
	a := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	store := memory.New()
	other := open(t, func(c *kms.Config) { c.Store, c.Anchor = store, a })
	key := other.create()
	var once sync.Once
	sly := &slyStore{Store: store}
	ring := must(kms.Open(t.Context(), kms.Config{Store: sly, Root: newGCMRoot(t, make([]byte, 32)), Anchor: a}))(t)
	sly.commit = func(changes []keystore.Change) (bool, error) {
		if putOf(changes, "ledger") != nil {
			once.Do(func() { check(t, other.UpdateKeyDescription(t.Context(), key.KeyID, "x")) })
		}
		return false, nil
	}
	done := make(chan error, 1)
	go func() { done <- ring.RotateDomainKey(t.Context()) }()
	select {
	case err := <-done:
		check(t, err)
		check(t, ring.Close())
	case <-time.After(5 * time.Second):
		t.Error("RotateDomainKey does not return")
	}
}

// TestCloseAmongOperations: closing a ring among operations of every kind neither panics nor hangs.
func TestCloseAmongOperations(t *testing.T) {
	for range 10 {
		f := open(t, func(c *kms.Config) { c.MaxStaleness = time.Millisecond })
		key := f.create()
		check(t, f.CreateAlias(t.Context(), "alias/x", key.KeyID))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 60 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*10*time.Microsecond)
					switch i {
					case 0:
						_, _ = f.Encrypt(ctx, "alias/x", []byte("x"), nil)
					case 1:
						_ = f.UpdateKeyDescription(ctx, key.KeyID, fmt.Sprint(n))
					case 2:
						_, _ = f.Maintain(ctx)
					case 3:
						_ = f.RotateDomainKey(ctx)
					case 4:
						_, _ = f.Check(ctx)
					case 5:
						for range f.ListAliases(ctx, "") {
						}
					case 6:
						_, _ = f.RotateKeyOnDemand(ctx, key.KeyID)
					case 7:
						if n == 40 {
							_ = f.Close()
						}
						_, _ = f.DescribeKey(ctx, "alias/x")
					}
					cancel()
				}
			})
		}
		wg.Wait()
	}
}

// TestASinkMayUseTheRing: a sink that uses the ring, as one that encrypts what it writes does, gets its answer.
func TestASinkMayUseTheRing(t *testing.T) {
	var ring *kms.Keyring
	var inside atomic.Int32
	var key kms.KeyMetadata
	f := open(t, func(c *kms.Config) {
		c.Audit = audit.SinkFunc(func(ctx context.Context, e *audit.Event) error {
			if ring == nil || inside.Add(1) > 1 {
				inside.Add(-1)
				return nil
			}
			defer inside.Add(-1)
			_, err := ring.Encrypt(ctx, key.KeyID, []byte(e.Name), nil)
			return err
		})
	})
	key = f.create()
	ring = f.Keyring
	done := make(chan error, 1)
	go func() {
		err := f.UpdateKeyDescription(t.Context(), key.KeyID, "x")
		_, err2 := f.Maintain(t.Context())
		done <- errors.Join(err, err2, f.EnableKeyRotation(t.Context(), key.KeyID, 0), f.RotateDomainKey(t.Context()))
	}()
	select {
	case err := <-done:
		check(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
}

// TestRotationsBesideEachOther: two rings rotate domain keys, maintain, change and use keys; nothing acknowledged is lost.
func TestRotationsBesideEachOther(t *testing.T) {
	t.Run("memory", func(t *testing.T) { rotateWhileResealing(t, memory.New(), nil) })
	t.Run("anchored", func(t *testing.T) {
		rotateWhileResealing(t, memory.New(), must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t))
	})
}

func rotateWhileResealing(t *testing.T, store keystore.Store, an anchor.Anchor) {
	share := func(c *kms.Config) {
		c.Store, c.MaxStaleness = store, time.Millisecond
		if an != nil {
			c.Anchor = an
		}
	}
	rings := []*fixture{open(t, share), open(t, share), open(t, share)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	want := map[string]string{}
	var ciphertexts [][]byte
	stop := make(chan bool)
	for i, f := range rings {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if i > 0 {
					_ = f.RotateDomainKey(t.Context())
				}
				_, _ = f.Maintain(t.Context())
			}
		})
		for range 2 {
			wg.Go(func() {
				for n := range 40 {
					key, err := f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: everyone})
					if err != nil {
						t.Error(err)
						return
					}
					d := fmt.Sprint(i, n)
					if err := f.UpdateKeyDescription(t.Context(), key.KeyID, d); err != nil {
						t.Error(err)
						continue
					}
					if _, err := f.RotateKeyOnDemand(t.Context(), key.KeyID); err != nil {
						t.Error(err)
					}
					out, err := f.Encrypt(t.Context(), key.KeyID, []byte("x"), nil)
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					want[key.KeyID] = d
					ciphertexts = append(ciphertexts, out.Ciphertext)
					mu.Unlock()
				}
			})
		}
	}
	go func() { time.Sleep(time.Second); close(stop) }()
	wg.Wait()
	last := open(t, share)
	must(last.Maintain(t.Context()))(t)
	for id, d := range want {
		if got := must(last.DescribeKey(t.Context(), id))(t); got.Description != d {
			t.Errorf("%q, want %q", got.Description, d)
		}
	}
	decryptAll(t, last.Keyring, ciphertexts)
	if got := checked(t, last.Keyring); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestARotationWhileARingIsOpened: a domain key that is rotated between two reads of whoever opens the ring, or looks up which one seals, seals nothing there.
func TestARotationWhileARingIsOpened(t *testing.T) {
	store := memory.New()
	other := open(t, func(c *kms.Config) { c.Store = store })
	rotate := false
	sly := &slyStore{Store: store}
	sly.get = func(name string) (keystore.Record, bool, error) {
		if rotate && strings.HasPrefix(name, "domain/") {
			rotate = false
			check(t, other.RotateDomainKey(t.Context()))
		}
		return keystore.Record{}, false, nil
	}
	sealedUnder := func(key kms.KeyMetadata) record.DomainID {
		return must(record.DomainOf(value(t, store, itemNames(t, store, "ver/"+key.KeyID)[0])))(t)
	}
	present := func() record.DomainID { return must(record.DomainOf(value(t, store, "ring")))(t) }

	rotate = true
	f := open(t, func(c *kms.Config) { c.Store = sly })
	if key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t); rotate || sealedUnder(key) != present() {
		t.Error("while the ring was opened: the old domain key goes on sealing")
	}
	check(t, other.RotateDomainKey(t.Context())) // so that the next change looks for what seals
	rotate = true
	if key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t); rotate || sealedUnder(key) != present() {
		t.Error("while it was looked up: the old domain key goes on sealing")
	}
	must(f.Maintain(t.Context()))(t)
	must(kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, make([]byte, 32))}))(t)
}
