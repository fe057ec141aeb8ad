package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/x509"
	"fmt"

	"github.com/claviger/kms"
)

// isSecret is the check for a shared secret.
func isSecret(want []byte) func([]byte) error {
	return func(got []byte) error {
		if len(got) == 0 || !bytes.Equal(got, want) {
			return errWrong
		}
		return nil
	}
}

// agreementContests share secrets.
func agreementContests(r *ring, _ *peers) ([]*contest, error) {
	return []*contest{
		{name: "DeriveSharedSecret ECC_NIST_P256", allocs: noLimit, prepare: func() ([]*way, error) { return agreementWays(r) }},
		{name: "Encapsulate ML_KEM_768", allocs: noLimit, prepare: func() ([]*way, error) { return encapsulationWays(r) }},
		{name: "Decapsulate ML_KEM_768", allocs: noLimit, prepare: func() ([]*way, error) { return decapsulationWays(r) }},
	}, nil
}

// agreementWays agree with somebody whose public key is given in DER. What it is to read that, the last way leaves out.
func agreementWays(r *ring) ([]*way, error) {
	arn, parsed, err := r.newPair(kms.ECCNISTP256, kms.KeyAgreement)
	if err != nil {
		return nil, err
	}
	ours, err := parsed.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		return nil, err
	}
	raw, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	somebody, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(somebody.PublicKey())
	if err != nil {
		return nil, err
	}
	withRing, err := somebody.ECDH(ours)
	if err != nil {
		return nil, err
	}
	withRaw, err := somebody.ECDH(raw.PublicKey())
	if err != nil {
		return nil, err
	}
	return []*way{
		{name: nameOurs, check: isSecret(withRing), op: func() ([]byte, error) {
			out, err := r.DeriveSharedSecret(context.Background(), arn, der)
			return out.Secret(), err
		}},
		{name: nameECDH + " and x509", limit: noLimit, check: isSecret(withRaw), op: func() ([]byte, error) {
			key, err := x509.ParsePKIXPublicKey(der)
			if err != nil {
				return nil, err
			}
			public, err := key.(*ecdsa.PublicKey).ECDH()
			if err != nil {
				return nil, err
			}
			return raw.ECDH(public)
		}},
		{name: nameECDH, limit: noLimit, check: isSecret(withRaw), op: func() ([]byte, error) { return raw.ECDH(somebody.PublicKey()) }},
	}, nil
}

// encapsulationWays return the ciphertext of a secret, which is checked to hold that secret.
func encapsulationWays(r *ring) ([]*way, error) {
	arn, err := r.newKey(kms.MLKEM768, kms.EncapsulateDecapsulate)
	if err != nil {
		return nil, err
	}
	raw, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, err
	}
	public := raw.EncapsulationKey()
	var ours, theirs []byte // of the last time
	return []*way{
		{
			name: nameOurs,
			op: func() ([]byte, error) {
				out, err := r.Encapsulate(context.Background(), arn)
				ours = out.Secret()
				return out.Ciphertext, err
			},
			check: func(ciphertext []byte) error {
				secret, err := r.Decapsulate(context.Background(), arn, ciphertext)
				if err != nil {
					return err
				}
				return isSecret(ours)(secret.Secret())
			},
		},
		{
			name: nameMLKEM, limit: noLimit,
			op: func() (ciphertext []byte, err error) {
				theirs, ciphertext = public.Encapsulate()
				return ciphertext, nil
			},
			check: func(ciphertext []byte) error {
				secret, err := raw.Decapsulate(ciphertext)
				if err != nil {
					return err
				}
				return isSecret(theirs)(secret)
			},
		},
	}, nil
}

// decapsulationWays open what was made with their public keys.
func decapsulationWays(r *ring) ([]*way, error) {
	arn, public, err := r.newPair(kms.MLKEM768, kms.EncapsulateDecapsulate)
	if err != nil {
		return nil, err
	}
	encapsulator, ok := public.(crypto.Encapsulator)
	if !ok {
		return nil, fmt.Errorf("a %T does not encapsulate", public)
	}
	raw, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, err
	}
	ours, forRing := encapsulator.Encapsulate()
	theirs, forRaw := raw.EncapsulationKey().Encapsulate()
	return []*way{
		{name: nameOurs, check: isSecret(ours), op: func() ([]byte, error) {
			out, err := r.Decapsulate(context.Background(), arn, forRing)
			return out.Secret(), err
		}},
		{name: nameMLKEM, limit: noLimit, check: isSecret(theirs), op: func() ([]byte, error) { return raw.Decapsulate(forRaw) }},
	}, nil
}
