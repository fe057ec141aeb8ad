package passphrase

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/crypto/argon2"

	"github.com/claviger/kms/internal/secret"
)

const (
	keyLen        = 32
	commitmentLen = 32
	label         = "claviger/passphrase/v1"
)

// keys are what the passphrase gives for one set of parameters.
type keys struct {
	params
	commitment []byte       // public
	key        secret.Bytes // AES-256
}

// keys returns the keys for p, from the cache or by a derivation. A caller whose ctx ends does not wait any longer.
func (r *Root) keys(ctx context.Context, p params) (*keys, error) {
	if r.slot == nil {
		return nil, errors.New("passphrase: the root was not made by New")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	if k := r.cache.get(p); k != nil {
		return k, nil
	}
	select {
	case r.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("passphrase: waiting for a derivation: %w", ctx.Err())
	}
	if k := r.cache.get(p); k != nil { // whoever held the slot before derived it
		<-r.slot
		return k, nil
	}
	type result struct {
		keys *keys
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends with the derivation, which holds the only slot: there is never a second one
		defer func() { <-r.slot }()
		k, err := r.derive(p)
		if err == nil {
			r.cache.put(k)
		}
		done <- result{k, err}
	}()
	select {
	case res := <-done:
		return res.keys, res.err
	case <-ctx.Done():
		return nil, fmt.Errorf("passphrase: deriving the key: %w", ctx.Err())
	}
}

func (r *Root) derive(p params) (*keys, error) {
	var root []byte
	_ = r.passphrase.Use(func(passphrase []byte) error {
		root = argon2.IDKey(passphrase, p.salt[:], p.time, p.memory, p.threads, keyLen)
		return nil
	})
	runtime.KeepAlive(r) // whose cleanup wipes the passphrase
	defer clear(root)
	both, err := hkdf.Expand(sha256.New, root, label, keyLen+commitmentLen)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	k := &keys{params: p, commitment: slices.Clone(both[keyLen:]), key: secret.New(both[:keyLen:keyLen])}
	runtime.AddCleanup(k, secret.Bytes.Zero, k.key)
	return k, nil
}

// aead returns the cipher. Its nonces are drawn at random by the standard library for each wrap. The key belongs to one passphrase and one salt of 16
// random bytes, which belongs to one Root, which wraps a handful of domain keys in its life: far from the 2^32 wraps for which NIST SP 800-38D section
// 8.3 holds that a random nonce of 96 bits does not repeat.
func (k *keys) aead() (cipher.AEAD, error) {
	var block cipher.Block
	err := k.key.Use(func(key []byte) (err error) {
		block, err = aes.NewCipher(key)
		return err
	})
	runtime.KeepAlive(k) // whose cleanup wipes the key
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (k *keys) seal(plaintext, associatedData []byte) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	wrap := k.params.append(make([]byte, 0, overhead+len(plaintext)))
	wrap = append(wrap, k.commitment...)
	return aead.Seal(wrap, nil, plaintext, bind(wrap, associatedData)), nil
}

// open decrypts a wrap that has the parameters of k.
func (k *keys) open(wrap, associatedData []byte) ([]byte, error) {
	if subtle.ConstantTimeCompare(k.commitment, wrap[atCommitment:atNonce]) != 1 {
		return nil, errWrongKey
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, wrap[atNonce:], bind(wrap[:atNonce], associatedData))
	if err != nil {
		return nil, errWrongKey
	}
	return plaintext, nil
}

// bind joins the header and the caller's associated data so that no other pair gives the same bytes.
func bind(header, associatedData []byte) []byte {
	bound := make([]byte, 0, len(header)+4+len(associatedData))
	bound = append(bound, header...)
	bound = binary.BigEndian.AppendUint32(bound, uint32(len(associatedData)))
	return append(bound, associatedData...)
}
