package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/rootkey/keyfile"
)

// One operation of the contest is that `together` goroutines create `each` keys one after the other.
const together, each = 16, 8

// creationContests create keys durably. The other puts as many small records into a file from as many goroutines, by one bbolt transaction each.
func creationContests(r *ring, _ *peers) ([]*contest, error) {
	dir, err := os.MkdirTemp("", "claviger-bench-")
	if err != nil {
		return nil, err
	}
	r.atEnd(func() error { return os.RemoveAll(dir) })
	store, err := bolt.Open(filepath.Join(dir, "keys"), nil)
	if err != nil {
		return nil, err
	}
	r.atEnd(store.Close)
	root, err := keyfile.Create(filepath.Join(dir, "root"))
	if err != nil {
		return nil, err
	}
	keyring, err := kms.Open(context.Background(), kms.Config{Store: store, Root: root, Audit: &r.events})
	if err != nil {
		return nil, err
	}
	r.atEnd(keyring.Close)
	db, err := bbolt.Open(filepath.Join(dir, "records"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	r.atEnd(db.Close)
	bucket := []byte("records")
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		return nil, err
	}
	return []*contest{{
		name: "128 keys created durably by 16 goroutines",
		ours: &way{
			name: nameOurs, few: 2,
			op: func() ([]byte, error) {
				return atOnce(func() ([]byte, error) {
					key, err := keyring.CreateKey(context.Background(), kms.CreateKeyInput{})
					return []byte(key.KeyID), err
				})
			},
			check: func(id []byte) error {
				if _, err := keyring.DescribeKey(context.Background(), string(id)); err != nil {
					return errors.Join(errWrong, err)
				}
				return nil
			},
		},
		others: []*way{{
			name: nameBolt, limit: 0.125, few: 2,
			op: func() ([]byte, error) {
				return atOnce(func() ([]byte, error) {
					name, value := make([]byte, 16), make([]byte, 512)
					rand.Read(name)
					return name, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(name, value) })
				})
			},
			check: func(name []byte) error {
				return db.View(func(tx *bbolt.Tx) error {
					if len(name) == 0 || tx.Bucket(bucket).Get(name) == nil {
						return errWrong
					}
					return nil
				})
			},
		}},
		allocs: noLimit,
	}}, nil
}

// atOnce does something in all goroutines, and returns what one of them did.
func atOnce(f func() ([]byte, error)) ([]byte, error) {
	var results [together][]byte
	var errs [together]error
	var wg sync.WaitGroup
	for i := range together {
		wg.Go(func() {
			for range each {
				if results[i], errs[i] = f(); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return results[0], errors.Join(errs[:]...)
}
