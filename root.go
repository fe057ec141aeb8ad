package kms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/claviger/kms/rootkey"
)

const maxRoots = 8

// An ephemeralRoot wraps the domain keys of a ring that lives in memory and dies with the process.
type ephemeralRoot struct{ aead cipher.AEAD }

func newEphemeralRoot() (rootkey.Root, error) {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // it seals one domain key, or a handful: random nonces do not meet
	return ephemeralRoot{aead}, err
}

func (r ephemeralRoot) EncryptWithContext(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return r.aead.Seal(nil, nil, plaintext, associatedData), nil
}

func (r ephemeralRoot) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := r.aead.Open(nil, nil, ciphertext, associatedData)
	if err != nil {
		return nil, rootkey.ErrWrongKey
	}
	return plaintext, nil
}

// checkRoots refuses roots that are none, or could not be told apart later. first and others are where the caller has them.
func checkRoots(first, others string, roots []rootkey.Root) error {
	both := first + " and " + others
	if len(roots) > maxRoots {
		return fmt.Errorf("%s: %d root keys, and a ring has at most %d", both, len(roots), maxRoots)
	}
	var names []string
	for i, r := range roots {
		field := first
		if i > 0 {
			field = fmt.Sprintf("%s[%d]", others, i-1)
		}
		if r == nil || isNilPointer(r) {
			return fmt.Errorf("%s: nil, as of a constructor that failed", field)
		}
		name := rootkey.Name(r)
		if len(name) == 0 || len(name) > rootkey.MaxNameLen {
			return fmt.Errorf("%s: its name has %d bytes, want 1 to %d", field, len(name), rootkey.MaxNameLen)
		}
		if slices.Contains(names, name) {
			return fmt.Errorf("%s: two root keys are named %q: name one of them with rootkey.WithName", both, name)
		}
		names = append(names, name)
	}
	return nil
}
