// Package keyfile is a root key of 32 random bytes in a file or an environment variable.
//
// # The text
//
// A key is one line of 64 characters, with or without a line end after it:
//
//	claviger-root-1:<base64 of the 32 bytes of the key and 4 bytes of checksum>
//
// The base64 is the standard alphabet of RFC 4648 section 4; 36 bytes make 48 characters and no padding. The checksum is the first 4 bytes of
// SHA-256("claviger-root-1:" | key): it tells a key that was cut short or mistyped from one that is whole and merely not the key of this ring.
//
// # The wrap
//
//	offset  bytes
//	0       1      version, 1
//	1       16     salt, random
//	17      12     nonce, random
//	29      n      AES-256-GCM ciphertext, as long as the plaintext
//	29+n    16     tag
//
// The key of a wrap is HKDF-SHA-256 (RFC 5869) of the root key with the salt and the info "claviger/keyfile/v1", 32 bytes; the associated data is the
// caller's as it is. A changed version or salt gives another key, so that every byte is authenticated. Everything here lies inside Go's FIPS 140-3
// module.
//
// # What it does not protect against
//
// Whoever reads the file, a backup of it, or the environment of the process has the root key. Keep it apart from the store that it opens.
package keyfile

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"

	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/rootkey"
)

const (
	keyLen    = 32
	version   = 1
	saltLen   = 16
	headerLen = 1 + saltLen
	overhead  = headerLen + 12 + 16
	wrapLabel = "claviger/keyfile/v1"
)

var errWrongKey = fmt.Errorf("keyfile: %w", rootkey.ErrWrongKey)

// A Root wraps domain keys under a random key. Its methods may be called concurrently. Make one with [Create], [Open], [FromEnv] or [Parse].
type Root struct{ key secret.Bytes }

var _ rootkey.Root = (*Root)(nil)

// newRoot takes the ownership of key, 32 bytes.
func newRoot(key []byte) *Root {
	r := &Root{key: secret.New(key)}
	runtime.AddCleanup(r, secret.Bytes.Zero, r.key)
	return r
}

// RootName returns "keyfile"; [rootkey.WithName] changes it.
func (*Root) RootName() string { return "keyfile" }

// EncryptWithContext wraps plaintext, 45 bytes of overhead, at most [rootkey.MaxWrapLen] in all. It blocks on nothing: ctx is only asked whether it is
// over.
func (r *Root) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("keyfile: %w", err)
	}
	if len(plaintext) > rootkey.MaxWrapLen-overhead {
		return nil, errors.New("keyfile: plaintext is too long to wrap")
	}
	wrap := make([]byte, headerLen, overhead+len(plaintext))
	wrap[0] = version
	rand.Read(wrap[1:headerLen])
	aead, err := r.aead(wrap[1:headerLen])
	if err != nil {
		return nil, err
	}
	// The nonce is drawn at random by the standard library, and the key of this wrap is itself new: salt and nonce together are 224 random bits, so that a
	// pair does not come twice however many wraps the processes that share this root key make.
	return aead.Seal(wrap, nil, plaintext, associatedData), nil
}

// DecryptWithContext opens a wrap that this root key made with the same associated data, else the error is [rootkey.ErrWrongKey].
func (r *Root) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("keyfile: %w", err)
	}
	if len(ciphertext) < overhead || len(ciphertext) > rootkey.MaxWrapLen || ciphertext[0] != version {
		return nil, errWrongKey
	}
	aead, err := r.aead(ciphertext[1:headerLen])
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, ciphertext[headerLen:], associatedData)
	if err != nil {
		return nil, errWrongKey
	}
	return plaintext, nil
}

// aead returns the cipher of the wrap with this salt.
func (r *Root) aead(salt []byte) (cipher.AEAD, error) {
	if r.key.Len() != keyLen { // a zero Root: HKDF would accept it and give a key that everybody can compute
		return nil, errors.New("keyfile: the root has no key")
	}
	var derived []byte
	err := r.key.Use(func(key []byte) (err error) {
		derived, err = hkdf.Key(sha256.New, key, salt, wrapLabel, keyLen)
		return err
	})
	runtime.KeepAlive(r) // whose cleanup wipes the key
	if err != nil {
		return nil, fmt.Errorf("keyfile: deriving the key of a wrap: %w", err)
	}
	defer clear(derived)
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("keyfile: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
