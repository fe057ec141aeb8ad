package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"

	"github.com/claviger/kms"
)

// keyPairContests make a key pair and encrypt its private key. The other does the same by hand: it writes down both halves, and encrypts the private one.
func keyPairContests(r *ring, p *peers) ([]*contest, error) {
	var all []*contest
	for _, kind := range []struct {
		spec     kms.KeySpec
		name     string
		generate func() (private, public any, err error)
	}{
		{kms.ECCNISTP256, nameECDSA, func() (private, public any, err error) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			return key, key.Public(), err
		}},
		{kms.ECCNISTEdwards25519, nameEd25519, func() (private, public any, err error) {
			public, private, err = ed25519.GenerateKey(nil)
			return private, public, err
		}},
	} {
		var ours, theirs []byte // the public key of the last time
		all = append(all, &contest{
			name: "GenerateDataKeyPair " + string(kind.spec),
			ours: &way{
				name: nameOurs,
				op: func() ([]byte, error) {
					pair, err := r.GenerateDataKeyPair(context.Background(), r.key, kind.spec, nil)
					ours = pair.PublicKey
					return pair.PrivateKeyCiphertext, err
				},
				check: func(ciphertext []byte) error {
					out, err := r.Decrypt(context.Background(), ciphertext, nil)
					if err != nil {
						return err
					}
					return isPair(out.Plaintext, ours)
				},
			},
			others: []*way{{
				name: kind.name + " and " + nameRaw, limit: noLimit,
				op: func() ([]byte, error) {
					private, public, err := kind.generate()
					if err != nil {
						return nil, err
					}
					if theirs, err = x509.MarshalPKIXPublicKey(public); err != nil {
						return nil, err
					}
					der, err := x509.MarshalPKCS8PrivateKey(private)
					return p.raw.Seal(nil, nil, der, nil), err
				},
				check: func(ciphertext []byte) error {
					der, err := p.raw.Open(nil, nil, ciphertext, nil)
					if err != nil {
						return err
					}
					return isPair(der, theirs)
				},
			}},
			allocs: noLimit,
		})
	}
	return all, nil
}

// isPair checks that a private key is that of a public key.
func isPair(private, public []byte) error {
	key, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	if err == nil && !bytes.Equal(der, public) {
		err = errWrong
	}
	return err
}
