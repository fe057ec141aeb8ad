package keypair

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha3"
	"errors"
	"io"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"filippo.io/mldsa/x509"
)

// ML-DSA (FIPS 204), with the private key as its seed (RFC 9881).
var (
	MLDSA44 Kind = mldsaKind{mldsa.MLDSA44()}
	MLDSA65 Kind = mldsaKind{mldsa.MLDSA65()}
	MLDSA87 Kind = mldsaKind{mldsa.MLDSA87()}
)

// ExternalMu says that what is signed is μ, the 64 bytes that stand for a message under a public key (FIPS 204, algorithm 7, line 6).
const ExternalMu = mldsacrypto.MLDSAMu

// ErrExternalMu says that this build verifies messages, and not what stands for them.
var ErrExternalMu = errors.New("keypair: this build cannot verify an external μ")

// Mu is μ of a message of any length under a public key of ML-DSA, with an empty context: SHAKE256(SHAKE256(key, 64) || 0 || 0 || message, 64). The error is the reader's, or
// [ErrOptions] of another kind of key.
func Mu(key crypto.PublicKey, message io.Reader) ([]byte, error) {
	public, ok := key.(*mldsa.PublicKey)
	if !ok {
		return nil, ErrOptions
	}
	tr := sha3.SumSHAKE256(public.Bytes(), 64)
	h := sha3.NewSHAKE256()
	h.Write(tr)
	h.Write([]byte{0, 0}) // of a message, not of its hash; and no context
	if _, err := io.Copy(h, message); err != nil {
		return nil, err
	}
	mu := make([]byte, 64)
	h.Read(mu)
	return mu, nil
}

// HasContext reports whether options ask for a context, which no signature of a key has.
func HasContext(opts crypto.SignerOpts) bool {
	switch opts := opts.(type) {
	case *ed25519.Options:
		return opts != nil && opts.Context != ""
	case *mldsa.Options:
		return opts != nil && opts.Context != ""
	}
	return false
}

type mldsaKind struct{ parameters mldsa.Parameters }

func (mldsaKind) Slow() bool     { return false }
func (mldsaKind) Approved() bool { return mldsaApproved }

func (k mldsaKind) Generate() (Private, error) {
	key, err := mldsa.GenerateKey(k.parameters)
	if err != nil {
		return nil, err
	}
	return newMLDSAPrivate(key), nil
}

func (k mldsaKind) ParsePrivate(der []byte) (Private, error) {
	key, err := parsePKCS8[*mldsa.PrivateKey](der, x509.ParsePKCS8PrivateKey)
	if err != nil || key.PublicKey().Parameters() != k.parameters {
		return nil, errPrivate
	}
	return newMLDSAPrivate(key), nil
}

func (k mldsaKind) ParsePublic(der []byte) (Public, error) {
	key, err := parseSPKI[*mldsa.PublicKey](der, x509.ParsePKIXPublicKey, x509.MarshalPKIXPublicKey)
	if err != nil || key.Parameters() != k.parameters {
		return nil, errPublic
	}
	return mldsaPublic{key}, nil
}

type mldsaPrivate struct {
	hidden
	key    *mldsa.PrivateKey
	public mldsaPublic // PublicKey copies
}

func newMLDSAPrivate(key *mldsa.PrivateKey) *mldsaPrivate {
	return &mldsaPrivate{key: key, public: mldsaPublic{key.PublicKey()}}
}

func (p *mldsaPrivate) Public() Public { return p.public }

func (p *mldsaPrivate) Key() crypto.PrivateKey { return p.key }

func (p *mldsaPrivate) MarshalPKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(p.key) }

func (p *mldsaPrivate) Sign(message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return p.key.Sign(rand.Reader, message, opts)
}

type mldsaPublic struct{ key *mldsa.PublicKey }

func (p mldsaPublic) MarshalSPKI() ([]byte, error) { return x509.MarshalPKIXPublicKey(p.key) }

func (p mldsaPublic) Key() crypto.PublicKey { return p.key }

func (p mldsaPublic) Verify(message, signature []byte, opts crypto.SignerOpts) error {
	var err error
	switch opts.HashFunc() {
	case 0:
		err = mldsa.Verify(p.key, message, signature, nil)
	case ExternalMu:
		if err = verifyExternalMu(p.key, message, signature); err == ErrExternalMu {
			return err
		}
	default:
		return ErrOptions
	}
	if err != nil {
		return ErrSignature
	}
	return nil
}
