package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Names of the ways.
const (
	nameOurs    = "keyring"
	nameRaw     = "crypto/cipher"
	nameRSA     = "crypto/rsa"
	nameECDSA   = "crypto/ecdsa"
	nameDecred  = "decred"
	nameEd25519 = "crypto/ed25519"
	nameMLDSA   = "filippo.io/mldsa"
	nameHMAC    = "crypto/hmac"
	nameECDH    = "crypto/ecdh"
	nameMLKEM   = "crypto/mlkem"
	nameTink    = "Tink"
	nameCedar   = "Cedar"
	nameOPA     = "OPA"
	nameBolt    = "bbolt"
	nameHTTP    = "net/http"
)

// The peers encrypt with AES-256-GCM and random nonces, as a keyring does. They know nothing of callers, policies, key states or audit.
type peers struct {
	raw  cipher.AEAD
	tink tink.AEAD
}

func newPeers() (*peers, error) {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	raw, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	return &peers{raw: raw, tink: primitive}, err
}
