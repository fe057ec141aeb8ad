package main

import (
	"bytes"
	"context"
	"crypto/rand"

	"github.com/tink-crypto/tink-go/v2/subtle/random"

	"github.com/claviger/kms"
)

const dataKeyLen = 32

// dataKeyContests make a data key of 256 bits and encrypt it. The others do the same by hand: random bytes for the key, and for the nonce inside.
func dataKeyContests(r *ring, p *peers) ([]*contest, error) {
	opensWith := func(open func(ciphertext []byte) ([]byte, error)) func([]byte) error {
		return func(ciphertext []byte) error {
			key, err := open(ciphertext)
			if err == nil && (len(key) != dataKeyLen || bytes.Equal(key, make([]byte, dataKeyLen))) {
				err = errWrong
			}
			return err
		}
	}
	return []*contest{{
		name: "GenerateDataKey",
		ours: &way{
			name: nameOurs,
			op: func() ([]byte, error) {
				key, err := r.GenerateDataKey(context.Background(), r.key, kms.AES256, nil)
				return key.Ciphertext, err
			},
			check: opensWith(func(ciphertext []byte) ([]byte, error) {
				out, err := r.Decrypt(context.Background(), ciphertext, nil)
				return out.Plaintext, err
			}),
		},
		others: []*way{
			{
				name: nameRaw, limit: 2,
				op: func() ([]byte, error) {
					key := make([]byte, dataKeyLen)
					rand.Read(key)
					return p.raw.Seal(nil, nil, key, nil), nil
				},
				check: opensWith(func(ciphertext []byte) ([]byte, error) { return p.raw.Open(nil, nil, ciphertext, nil) }),
			},
			{
				name: nameTink, limit: 2,
				op:    func() ([]byte, error) { return p.tink.Encrypt(random.GetRandomBytes(dataKeyLen), nil) },
				check: opensWith(func(ciphertext []byte) ([]byte, error) { return p.tink.Decrypt(ciphertext, nil) }),
			},
		},
		allocs: noLimit,
	}}, nil
}
