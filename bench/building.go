package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/rootkey/keyfile"
)

const (
	builders = 64            // how many goroutines build a ring: their commits share syncs
	versions = 1000          // of the material of a ring's first key
	hourly   = time.Hour     // the period in which the first key rotates while it is built
	yearly   = 365 * kms.Day // the period in which all keys rotate afterwards, so that each has something due one day
)

// A scaled is a ring in a folder, in a file, with a number of keys. Each has an alias, and the first key has many versions.
type scaled struct {
	folder string
	ids    []string // of the keys, in the order of their aliases
}

// aliasOf is the alias of a key, given its place.
func aliasOf(i int) string { return fmt.Sprintf("alias/scale/%08d", i) }

// open opens the ring. close closes it and its store.
func open(folder string, change func(*kms.Config)) (ring *kms.Keyring, close func() error, err error) {
	root, err := keyfile.Open(filepath.Join(folder, "root"))
	if err != nil {
		return nil, nil, err
	}
	store, err := bolt.Open(filepath.Join(folder, "ring"), nil)
	if err != nil {
		return nil, nil, err
	}
	cfg := kms.Config{Store: store, Root: root, Audit: new(counter)}
	if change != nil {
		change(&cfg)
	}
	ring, err = kms.Open(context.Background(), cfg)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return ring, func() error { return errors.Join(ring.Close(), store.Close()) }, nil
}

// build makes a ring of so many keys in a new folder.
func build(folder string, keys int) (s *scaled, err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	if _, err := keyfile.Create(filepath.Join(folder, "root")); err != nil {
		return nil, err
	}
	start := time.Now().Add(-(versions + 1) * hourly) // all of the ring's life is over when it is measured
	var passed atomic.Int64
	ring, end, err := open(folder, func(cfg *kms.Config) {
		cfg.MinRotationPeriod = hourly
		cfg.Now = func() time.Time { return start.Add(time.Duration(passed.Load())) }
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	s = &scaled{folder: folder, ids: make([]string, keys)}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, builders)
	for i := range builders {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < keys && errs[i] == nil; n = int(next.Add(1)) - 1 {
				s.ids[n], errs[i] = newKey(ring, aliasOf(n))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, rotate(ring, s.ids[0], &passed)
}

// newKey makes a key that has an alias and rotates.
func newKey(ring *kms.Keyring, alias string) (id string, err error) {
	ctx := context.Background()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{})
	if err == nil {
		err = ring.CreateAlias(ctx, alias, key.KeyID)
	}
	if err == nil {
		err = ring.EnableKeyRotation(ctx, key.KeyID, yearly)
	}
	return key.KeyID, err
}

// rotate lets hours pass until a key has many versions.
func rotate(ring *kms.Keyring, id string, passed *atomic.Int64) error {
	ctx := context.Background()
	if err := ring.EnableKeyRotation(ctx, id, hourly); err != nil {
		return err
	}
	for range versions - 1 {
		passed.Add(int64(hourly))
		if _, err := ring.Encrypt(ctx, id, []byte("x"), nil); err != nil { // which meets the rotation that is due
			return err
		}
	}
	if err := ring.EnableKeyRotation(ctx, id, yearly); err != nil {
		return err
	}
	n := 0
	for _, err := range ring.ListKeyRotations(ctx, id, kms.ListKeyRotationsInput{AllKeyMaterial: true}) {
		if err != nil {
			return err
		}
		n++
	}
	if n != versions {
		return fmt.Errorf("a key has %d versions, and not %d", n, versions)
	}
	return nil
}
