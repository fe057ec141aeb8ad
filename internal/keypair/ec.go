package keypair

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"sync"
)

// The NIST curves, for ECDSA and for ECDH.
var (
	P256 Kind = ecKind{elliptic.P256()}
	P384 Kind = ecKind{elliptic.P384()}
	P521 Kind = ecKind{elliptic.P521()}
)

type ecKind struct{ curve elliptic.Curve }

func (k ecKind) Slow() bool     { return false }
func (k ecKind) Approved() bool { return true }

func (k ecKind) Generate() (Private, error) {
	key, err := ecdsa.GenerateKey(k.curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	return newECPrivate(key), nil
}

func (k ecKind) ParsePrivate(der []byte) (Private, error) {
	key, err := parsePKCS8[*ecdsa.PrivateKey](der, x509.ParsePKCS8PrivateKey)
	if err != nil || key.Curve != k.curve {
		return nil, errPrivate
	}
	return newECPrivate(key), nil
}

func (k ecKind) ParsePublic(der []byte) (Public, error) {
	key, err := parseSPKI[*ecdsa.PublicKey](der, x509.ParsePKIXPublicKey, x509.MarshalPKIXPublicKey)
	if err != nil || key.Curve != k.curve {
		return nil, errPublic
	}
	return ecPublic{key}, nil
}

// An ecPrivate signs or agrees. What agreeing needs is made when it is first needed.
type ecPrivate struct {
	hidden
	key      *ecdsa.PrivateKey
	exchange func() (*ecdh.PrivateKey, error)
}

func newECPrivate(key *ecdsa.PrivateKey) *ecPrivate {
	return &ecPrivate{key: key, exchange: sync.OnceValues(key.ECDH)}
}

func (p *ecPrivate) Public() Public { return ecPublic{&p.key.PublicKey} }

func (p *ecPrivate) Key() crypto.PrivateKey { return p.key }

func (p *ecPrivate) MarshalPKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(p.key) }

// Sign signs with a nonce drawn from the digest, the key and the system's generator (FIPS 186-5, hedged).
func (p *ecPrivate) Sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if !opts.HashFunc().Available() {
		return nil, ErrOptions
	}
	return ecdsa.SignASN1(rand.Reader, p.key, digest)
}

// Agree returns the x-coordinate of the shared point, as long as the curve's field (NIST SP 800-56A, section 5.7.1.2).
func (p *ecPrivate) Agree(peer Public) ([]byte, error) {
	other, ok := peer.(ecPublic)
	if !ok {
		return nil, errPeer
	}
	public, err := other.key.ECDH()
	if err != nil {
		return nil, errPeer
	}
	private, err := p.exchange()
	if err != nil {
		return nil, err
	}
	return private.ECDH(public)
}

type ecPublic struct{ key *ecdsa.PublicKey }

func (p ecPublic) MarshalSPKI() ([]byte, error) { return x509.MarshalPKIXPublicKey(p.key) }

func (p ecPublic) Key() crypto.PublicKey { return p.key }

func (p ecPublic) Verify(digest, signature []byte, opts crypto.SignerOpts) error {
	if !opts.HashFunc().Available() {
		return ErrOptions
	}
	if !ecdsa.VerifyASN1(p.key, digest, signature) {
		return ErrSignature
	}
	return nil
}
