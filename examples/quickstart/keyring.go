package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/rootkey/passphrase"
)

const (
	demoPassphrase = "correct horse battery staple" // known to everybody: good for a demonstration and for nothing else

	alias = "alias/quickstart"
)

// The callers of this program. Who asks is a property of the client that asks; here they are roles of the keyring's account.
var (
	security = kms.Role("security") // manages keys, and cannot use them
	app      = kms.Role("app")      // uses them, and cannot manage them
	stranger = kms.Role("stranger") // is named in no policy
)

// A keyring is an open keyring with the store that it is in.
type keyring struct {
	*kms.Keyring
	store *bolt.Store
}

// openKeyring opens the keyring in a directory, and makes it if there is none. The passphrase protects it: Argon2id makes of it the root key, which wraps the
// keys that everything in the store is sealed with.
func openKeyring(ctx context.Context, dir, words string, trail audit.Sink) (*keyring, error) {
	root, err := passphrase.New([]byte(words), nil)
	if err != nil {
		return nil, err
	}
	store, err := bolt.Open(filepath.Join(dir, "keys.db"), nil)
	if err != nil {
		return nil, err
	}
	ring, err := kms.Open(ctx, kms.Config{Store: store, Root: root, AccountID: "111122223333", Region: "eu-central-1", Audit: trail})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &keyring{Keyring: ring, store: store}, nil
}

// Close closes the keyring, and then the store, which the keyring leaves open.
func (k *keyring) Close() error { return errors.Join(k.Keyring.Close(), k.store.Close()) }

// ensureKey returns the key that the alias names, and makes both if they do not exist.
func (k *keyring) ensureKey(ctx context.Context) (key kms.KeyMetadata, created bool, err error) {
	key, err = k.DescribeKey(ctx, alias)
	if !errors.Is(err, kms.ErrNotFound) {
		return key, false, err
	}
	policy, err := k.DefaultPolicy([]kms.Caller{security}, []kms.Caller{app})
	if err != nil {
		return key, false, err
	}
	key, err = k.CreateKey(ctx, kms.CreateKeyInput{Description: "quickstart", Policy: policy})
	if err != nil {
		return key, false, err
	}
	return key, true, k.CreateAlias(ctx, alias, key.ARN)
}

// versions numbers the versions of a key's material, the first being 1, by their ids.
func (k *keyring) versions(ctx context.Context, keyID string) (map[string]int, error) {
	numbers := map[string]int{}
	for version, err := range k.As(security).ListKeyRotations(ctx, keyID, kms.ListKeyRotationsInput{AllKeyMaterial: true}) {
		if err != nil {
			return nil, err
		}
		numbers[version.KeyMaterialID] = len(numbers) + 1
	}
	return numbers, nil
}
