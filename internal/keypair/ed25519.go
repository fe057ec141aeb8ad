package keypair

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"slices"
)

// Ed25519 is Ed25519 (RFC 8032), pure and prehashed.
var Ed25519 Kind = edKind{}

type edKind struct{}

func (edKind) Slow() bool     { return false }
func (edKind) Approved() bool { return true }

func (edKind) Generate() (Private, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return newEdPrivate(key), nil
}

func (edKind) ParsePrivate(der []byte) (Private, error) {
	key, err := parsePKCS8[ed25519.PrivateKey](der, x509.ParsePKCS8PrivateKey)
	if err != nil {
		return nil, err
	}
	return newEdPrivate(key), nil
}

func (edKind) ParsePublic(der []byte) (Public, error) {
	key, err := parseSPKI[ed25519.PublicKey](der, x509.ParsePKIXPublicKey, x509.MarshalPKIXPublicKey)
	if err != nil {
		return nil, err
	}
	return &edPublic{slices.Clone(key)}, nil // what is parsed is a part of der
}

type edPrivate struct {
	hidden
	key    *ed25519.PrivateKey // not the bytes, which would print within something else
	public edPublic
}

func newEdPrivate(key ed25519.PrivateKey) *edPrivate {
	return &edPrivate{key: &key, public: edPublic{key.Public().(ed25519.PublicKey)}}
}

func (p *edPrivate) Public() Public { return &p.public }

func (p *edPrivate) Key() crypto.PrivateKey { return *p.key }

func (p *edPrivate) MarshalPKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(*p.key) }

func (p *edPrivate) Sign(message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return p.key.Sign(rand.Reader, message, opts)
}

type edPublic struct{ key ed25519.PublicKey }

func (p *edPublic) MarshalSPKI() ([]byte, error) { return x509.MarshalPKIXPublicKey(p.key) }

func (p *edPublic) Key() crypto.PublicKey { return p.key }

func (p *edPublic) Verify(message, signature []byte, opts crypto.SignerOpts) error {
	how, ok := opts.(*ed25519.Options)
	switch {
	case ok:
	case opts == crypto.Hash(0):
		how = &ed25519.Options{}
	default:
		return ErrOptions
	}
	if ed25519.VerifyWithOptions(p.key, message, signature, how) != nil {
		return ErrSignature
	}
	return nil
}
