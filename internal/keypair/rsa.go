package keypair

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
)

// RSA is RSA with a modulus of that many bits, two primes and, of what it generates, the exponent 65537.
func RSA(bits int) Kind { return rsaKind(bits) }

type rsaKind int

func (k rsaKind) Slow() bool     { return true }
func (k rsaKind) Approved() bool { return true }

func (k rsaKind) Generate() (Private, error) {
	key, err := rsa.GenerateKey(rand.Reader, int(k))
	if err != nil {
		return nil, err
	}
	return &rsaPrivate{key: key}, nil
}

func (k rsaKind) ParsePrivate(der []byte) (Private, error) {
	key, err := parsePKCS8[*rsa.PrivateKey](der, x509.ParsePKCS8PrivateKey)
	if err != nil || key.N.BitLen() != int(k) || len(key.Primes) != 2 {
		return nil, errPrivate
	}
	return &rsaPrivate{key: key}, nil
}

func (k rsaKind) ParsePublic(der []byte) (Public, error) {
	key, err := parseSPKI[*rsa.PublicKey](der, x509.ParsePKIXPublicKey, x509.MarshalPKIXPublicKey)
	if err != nil || key.N.BitLen() != int(k) {
		return nil, errPublic
	}
	return rsaPublic{key}, nil
}

// parsePKCS8 reads a private key that a package knows.
func parsePKCS8[K any](der []byte, parse func([]byte) (any, error)) (key K, err error) {
	if !isPrivateInfo(der) {
		return key, errPrivate
	}
	parsed, err := parse(der)
	key, ok := parsed.(K)
	if err != nil || !ok {
		return key, errPrivate // what the parser says may tell of the key
	}
	return key, nil
}

// parseSPKI reads a public key that a package knows. What it does not write like that again is none: the parsers pass over elements that they do not expect.
func parseSPKI[K any](der []byte, parse func([]byte) (any, error), marshal func(any) ([]byte, error)) (key K, err error) {
	parsed, err := parse(der)
	key, ok := parsed.(K)
	if err != nil || !ok {
		return key, errPublic
	}
	if again, err := marshal(parsed); err != nil || !bytes.Equal(again, der) {
		return key, errPublic
	}
	return key, nil
}

type rsaPrivate struct {
	hidden
	key *rsa.PrivateKey
}

func (p *rsaPrivate) Public() Public { return rsaPublic{&p.key.PublicKey} }

func (p *rsaPrivate) Key() crypto.PrivateKey { return p.key }

func (p *rsaPrivate) MarshalPKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(p.key) }

func (p *rsaPrivate) Sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if !opts.HashFunc().Available() { // among them none
		return nil, ErrOptions
	}
	return p.key.Sign(rand.Reader, digest, opts)
}

func (p *rsaPrivate) Decrypt(ciphertext []byte, hash crypto.Hash) ([]byte, error) {
	if len(ciphertext) != p.key.Size() { // shorter ones would be taken
		return nil, ErrDecryption
	}
	plaintext, err := rsa.DecryptOAEP(hash.New(), nil, p.key, ciphertext, nil)
	if errors.Is(err, rsa.ErrDecryption) {
		return nil, ErrDecryption
	}
	return plaintext, err
}

type rsaPublic struct{ key *rsa.PublicKey }

func (p rsaPublic) MarshalSPKI() ([]byte, error) { return x509.MarshalPKIXPublicKey(p.key) }

func (p rsaPublic) Key() crypto.PublicKey { return p.key }

func (p rsaPublic) Verify(digest, signature []byte, opts crypto.SignerOpts) error {
	var err error
	switch opts := opts.(type) {
	case *rsa.PSSOptions:
		err = rsa.VerifyPSS(p.key, opts.Hash, digest, signature, opts)
	case crypto.Hash:
		if !opts.Available() {
			return ErrOptions
		}
		err = rsa.VerifyPKCS1v15(p.key, opts, digest, signature)
	default:
		return ErrOptions
	}
	if errors.Is(err, rsa.ErrVerification) {
		return ErrSignature
	}
	return err
}

func (p rsaPublic) Encrypt(plaintext []byte, hash crypto.Hash) ([]byte, error) {
	return rsa.EncryptOAEP(hash.New(), rand.Reader, p.key, plaintext, nil)
}
