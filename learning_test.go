package kms

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey"
)

// A fitfulRoot fails as often as it is told to, and counts its tries.
type fitfulRoot struct {
	rootkey.Root
	failures, tries int
}

func (r *fitfulRoot) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if r.tries++; r.failures > 0 {
		r.failures--
		return nil, errors.New("network is unreachable")
	}
	return r.Root.DecryptWithContext(ctx, ciphertext, associatedData)
}

// rotatedRings are two rings on one store, of which the second has a root of its own making and has not seen the domain key that seals the key.
func rotatedRings(t *testing.T) (first, second *Keyring, root *fitfulRoot, key KeyMetadata) {
	t.Helper()
	store, under := memory.New(), sure(newEphemeralRoot())
	root = &fitfulRoot{Root: under}
	first, _ = ring(t, func(c *Config) { c.Store, c.Root = store, under })
	second, _ = ring(t, func(c *Config) { c.Store, c.Root = store, root })
	if err := first.RotateDomainKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	root.tries = 0
	return first, second, root, sure(first.CreateKey(t.Context(), CreateKeyInput{Policy: everyone}))
}

// TestARootIsTriedAgain: a root key that was out of reach for a moment opens the domain key when it is back: at once after a few failures, and within half a minute
// after many. Until then the answer says why, and is not that data is damaged.
func TestARootIsTriedAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, second, root, key := rotatedRings(t)
		root.failures = 2
		for range 2 {
			if _, err := second.DescribeKey(t.Context(), key.KeyID); !errors.Is(err, errUnopened) {
				t.Errorf("%v", err)
			}
		}
		sure(second.DescribeKey(t.Context(), key.KeyID))

		_, second, root, key = rotatedRings(t)
		root.failures = 1000
		for range 20 {
			if _, err := second.CreateKey(t.Context(), CreateKeyInput{}); !errors.Is(err, errUnopened) || isDamage(err) {
				t.Errorf("%v", err)
			}
		}
		if root.tries != triesAtOnce {
			t.Errorf("%d tries, want %d", root.tries, triesAtOnce)
		}
		root.failures = 0
		time.Sleep(retryAfter)
		sure(second.DescribeKey(t.Context(), key.KeyID))
	})
}

// TestTriesOfRootsAreBounded: a store that makes up domain keys, and writes their records anew, does not make anybody try many wraps, which may be slow.
func TestTriesOfRootsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, r, root, _ := rotatedRings(t)
		forge := func(id record.DomainID) {
			d := &domainRecord{ring: r.c.ring.id, id: id, wraps: []rootWrap{{rootkey.Name(root), []byte("forged")}}}
			old, _ := r.c.store.Get(t.Context(), domainItem(id))
			sure(r.c.store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: domainItem(id), Revision: old.Revision, Value: d.encode()}}))
			if err := r.c.learn(t.Context(), id); !errors.Is(err, errUnopened) {
				t.Errorf("%v", err)
			}
		}
		var id record.DomainID
		for range 10 {
			forge(id)
		}
		if root.tries != triesAtOnce {
			t.Errorf("one domain key: %d tries, want %d", root.tries, triesAtOnce)
		}
		for range 3 {
			before := root.tries
			for range 100 {
				rand.Read(id[:])
				for range 2 * triesAtOnce {
					forge(id)
				}
			}
			if n := root.tries - before; n == 0 || n > maxDomainKeys*triesAtOnce {
				t.Errorf("many domain keys: %d tries, want up to %d", n, maxDomainKeys*triesAtOnce)
			}
			time.Sleep(retryAfter)
		}
	})
}
