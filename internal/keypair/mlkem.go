package keypair

import (
	"crypto"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/asn1"
	"sync"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/claviger/kms/internal/secret"
)

// ML-KEM (FIPS 203), with the private key as its seed (RFC 9935).
var (
	MLKEM512  Kind = mlkemKind{oid(1), false, newPrivate512, newPublic512}
	MLKEM768  Kind = mlkemKind{oid(2), true, newPrivate768, newPublic768}
	MLKEM1024 Kind = mlkemKind{oid(3), true, newPrivate1024, newPublic1024}
)

// oid is the identifier of a parameter set (NIST's registry of algorithms, arc 2.16.840.1.101.3.4.4).
func oid(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, n} }

const mlkemSeedLen = 64 // d, then z

type mlkemKind struct {
	oid      asn1.ObjectIdentifier
	approved bool
	private  func(seed []byte) (crypto.Decapsulator, error)
	public   func(encoded []byte) (crypto.Encapsulator, error)
}

func (k mlkemKind) Slow() bool     { return false }
func (k mlkemKind) Approved() bool { return k.approved }

func (k mlkemKind) Generate() (Private, error) {
	seed := make([]byte, mlkemSeedLen)
	rand.Read(seed)
	return k.newPrivate(seed)
}

// newPrivate takes the seed.
func (k mlkemKind) newPrivate(seed []byte) (Private, error) {
	key, err := k.private(seed)
	if err != nil {
		return nil, errPrivate
	}
	public := sync.OnceValue(func() *mlkemPublic { return &mlkemPublic{key.Encapsulator(), k} })
	return &mlkemPrivate{key: key, kind: k, seed: secret.New(seed), public: public}, nil
}

func (k mlkemKind) ParsePrivate(der []byte) (Private, error) {
	inner, err := parsePrivateInfo(der, k.oid, nil)
	if err != nil {
		return nil, err
	}
	var seed []byte
	if !inner.ReadASN1Bytes(&seed, cryptobyte_asn1.Tag(0).ContextSpecific()) || !inner.Empty() || len(seed) != mlkemSeedLen {
		return nil, errPrivate
	}
	return k.newPrivate(append([]byte(nil), seed...))
}

func (k mlkemKind) ParsePublic(der []byte) (Public, error) {
	encoded, err := parsePublicInfo(der, k.oid, nil)
	if err != nil {
		return nil, err
	}
	key, err := k.public(encoded)
	if err != nil {
		return nil, errPublic
	}
	return &mlkemPublic{key, k}, nil
}

// An mlkemPrivate decapsulates. Its public half, which the key copies out of itself, is made when it is first needed.
type mlkemPrivate struct {
	hidden
	key    crypto.Decapsulator
	kind   mlkemKind
	seed   secret.Bytes
	public func() *mlkemPublic
}

func (p *mlkemPrivate) Public() Public { return p.public() }

func (p *mlkemPrivate) Key() crypto.PrivateKey { return p.key }

func (p *mlkemPrivate) MarshalPKCS8() ([]byte, error) {
	var der []byte
	err := p.seed.Use(func(seed []byte) (err error) {
		der, err = marshalPrivateInfo(p.kind.oid, nil, 2+mlkemSeedLen, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(seed) })
		})
		return err
	})
	return der, err
}

func (p *mlkemPrivate) Decapsulate(ciphertext []byte) ([]byte, error) {
	secret, err := p.key.Decapsulate(ciphertext)
	if err != nil {
		return nil, ErrDecryption
	}
	return secret, nil
}

type mlkemPublic struct {
	key  crypto.Encapsulator
	kind mlkemKind
}

func (p *mlkemPublic) MarshalSPKI() ([]byte, error) {
	return marshalPublicInfo(p.kind.oid, nil, p.key.Bytes())
}

func (p *mlkemPublic) Key() crypto.PublicKey { return p.key }

func (p *mlkemPublic) Encapsulate() (secret, ciphertext []byte, err error) {
	secret, ciphertext = p.key.Encapsulate()
	return secret, ciphertext, nil
}

func newPrivate768(seed []byte) (crypto.Decapsulator, error) {
	return mlkem.NewDecapsulationKey768(seed)
}
func newPublic768(encoded []byte) (crypto.Encapsulator, error) {
	return mlkem.NewEncapsulationKey768(encoded)
}

func newPrivate1024(seed []byte) (crypto.Decapsulator, error) {
	return mlkem.NewDecapsulationKey1024(seed)
}
func newPublic1024(encoded []byte) (crypto.Encapsulator, error) {
	return mlkem.NewEncapsulationKey1024(encoded)
}

// The smallest parameter set, which the standard library does not have, in the form of its larger ones.

type private512 struct {
	key    *mlkem512.PrivateKey
	public public512
}

func newPrivate512(seed []byte) (crypto.Decapsulator, error) {
	if len(seed) != mlkem512.KeySeedSize {
		return nil, errPrivate
	}
	public, private := mlkem512.NewKeyFromSeed(seed)
	return &private512{private, public512{public}}, nil
}

func (p *private512) Encapsulator() crypto.Encapsulator { return p.public }

func (p *private512) Decapsulate(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != mlkem512.CiphertextSize {
		return nil, ErrDecryption
	}
	secret := make([]byte, mlkem512.SharedKeySize)
	p.key.DecapsulateTo(secret, ciphertext)
	return secret, nil
}

type public512 struct{ key *mlkem512.PublicKey }

func newPublic512(encoded []byte) (crypto.Encapsulator, error) {
	key := new(mlkem512.PublicKey)
	if err := key.Unpack(encoded); err != nil {
		return nil, err
	}
	return public512{key}, nil
}

func (p public512) Bytes() []byte {
	encoded := make([]byte, mlkem512.PublicKeySize)
	p.key.Pack(encoded)
	return encoded
}

func (p public512) Encapsulate() (secret, ciphertext []byte) {
	secret, ciphertext = make([]byte, mlkem512.SharedKeySize), make([]byte, mlkem512.CiphertextSize)
	seed := make([]byte, mlkem512.EncapsulationSeedSize)
	rand.Read(seed)
	p.key.EncapsulateTo(ciphertext, secret, seed)
	clear(seed)
	return secret, ciphertext
}
