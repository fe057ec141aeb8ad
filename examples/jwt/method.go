package main

import (
	"crypto"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"

	"github.com/golang-jwt/jwt/v5"

	"github.com/claviger/kms"
)

// A method is one of the library's, but signs by a key in the keyring: the library's own want the private key itself, all but EdDSA.
type method struct {
	jwt.SigningMethod
	spec      kms.KeySpec
	algorithm kms.Algorithm
	opts      crypto.SignerOpts
}

var methods = []method{
	{jwt.SigningMethodES256, kms.ECCNISTP256, kms.AlgorithmECDSASHA256, crypto.SHA256},
	{jwt.SigningMethodEdDSA, kms.ECCNISTEdwards25519, kms.AlgorithmED25519SHA512, crypto.Hash(0)},
	{jwt.SigningMethodRS256, kms.RSA2048, kms.AlgorithmRSASSAPKCS1V15SHA256, crypto.SHA256},
	{jwt.SigningMethodPS256, kms.RSA2048, kms.AlgorithmRSASSAPSSSHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}},
}

// Sign signs what a token says. The key is a *kms.Signer.
func (m method) Sign(text string, key any) ([]byte, error) {
	signer, ok := key.(*kms.Signer)
	if !ok {
		return nil, jwt.ErrInvalidKeyType
	}
	signature, err := signer.SignMessage(nil, []byte(text), m.opts)
	if err != nil || m.algorithm != kms.AlgorithmECDSASHA256 {
		return signature, err
	}
	return joseForm(signature)
}

// joseForm makes of an ECDSA signature on P-256 in DER, as Go and AWS KMS have it, the two numbers one after the other, as JSON Web Tokens have it
// (RFC 7518, section 3.4).
func joseForm(der []byte) ([]byte, error) {
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	numbers.R.FillBytes(signature[:32])
	numbers.S.FillBytes(signature[32:])
	return signature, nil
}
