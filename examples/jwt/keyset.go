package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
)

// A keySet is a JSON Web Key Set (RFC 7517, section 5). A service that verifies tokens looks for the key that a token names, and takes it for the key's own algorithm
// only, whatever the token says.
type keySet struct {
	Keys []jsonWebKey `json:"keys"`
}

type jsonWebKey struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	Modulus   string `json:"n,omitempty"`
	Exponent  string `json:"e,omitempty"`
}

// newKeySet publishes the public keys of some issuers, as GetPublicKey returned them to their signers. A key that is to be replaced stays in the set beside its
// successor until its last token has expired.
func newKeySet(issuers ...*issuer) (keySet, error) {
	var set keySet
	for _, i := range issuers {
		k := jsonWebKey{Use: "sig", Algorithm: i.method.Alg(), KeyID: i.keyID}
		if err := k.setPublic(i.signer.Public()); err != nil {
			return keySet{}, err
		}
		set.Keys = append(set.Keys, k)
	}
	return set, nil
}

// setPublic writes down a public key as RFC 7518, section 6, and RFC 8037, section 2, have it.
func (k *jsonWebKey) setPublic(public any) error {
	text := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, and the coordinates, both in full length
		if err != nil {
			return err
		}
		half := (len(point) - 1) / 2
		k.KeyType, k.Curve, k.X, k.Y = "EC", p.Params().Name, text(point[1:1+half]), text(point[1+half:])
	case ed25519.PublicKey:
		k.KeyType, k.Curve, k.X = "OKP", "Ed25519", text(p)
	case *rsa.PublicKey:
		k.KeyType, k.Modulus, k.Exponent = "RSA", text(p.N.Bytes()), text(big.NewInt(int64(p.E)).Bytes())
	default:
		return fmt.Errorf("no JSON Web Key for a %T", public)
	}
	return nil
}
