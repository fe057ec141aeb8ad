package keypair

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	decred "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Secp256k1 is ECDSA over secp256k1 (SEC 2). The standard library signs, on the curve that a library brings: the library's own signatures are the same for the same
// digest each time, and these are hedged. Its arithmetic takes an amount of time that depends on the key.
var Secp256k1 Kind = k1Kind{}

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
)

type k1Kind struct{}

func (k1Kind) Slow() bool     { return false }
func (k1Kind) Approved() bool { return false }

func (k1Kind) Generate() (Private, error) {
	key, err := secp256k1.GeneratePrivateKeyFromRand(rand.Reader)
	if err != nil {
		return nil, err
	}
	return newK1Private(key), nil
}

// ParsePrivate reads an ECPrivateKey (RFC 5915), in which the curve and the public key may stand once more and must then be the same.
func (k1Kind) ParsePrivate(der []byte) (Private, error) {
	inner, err := parsePrivateInfo(der, oidECPublicKey, oidSecp256k1)
	if err != nil {
		return nil, err
	}
	const optionalCurve, optionalPublic = cryptobyte_asn1.Tag(0), cryptobyte_asn1.Tag(1)
	var sequence, curve, public cryptobyte.String
	var version int
	var scalar []byte
	var hasCurve, hasPublic bool
	if !inner.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !inner.Empty() ||
		!sequence.ReadASN1Integer(&version) || version != 1 || !sequence.ReadASN1Bytes(&scalar, cryptobyte_asn1.OCTET_STRING) || len(scalar) != secp256k1.PrivKeyBytesLen ||
		!sequence.ReadOptionalASN1(&curve, &hasCurve, optionalCurve.Constructed().ContextSpecific()) ||
		!sequence.ReadOptionalASN1(&public, &hasPublic, optionalPublic.Constructed().ContextSpecific()) || !sequence.Empty() {
		return nil, errPrivate
	}
	var d secp256k1.ModNScalar
	if overflow := d.SetByteSlice(scalar); overflow || d.IsZero() {
		return nil, errPrivate
	}
	key := secp256k1.NewPrivateKey(&d)
	if hasCurve {
		var named asn1.ObjectIdentifier
		if !curve.ReadASN1ObjectIdentifier(&named) || !curve.Empty() || !named.Equal(oidSecp256k1) {
			return nil, errPrivate
		}
	}
	if hasPublic {
		var point []byte
		if !public.ReadASN1BitStringAsBytes(&point) || !public.Empty() {
			return nil, errPrivate
		}
		if other, err := secp256k1.ParsePubKey(point); err != nil || !other.IsEqual(key.PubKey()) {
			return nil, errPrivate
		}
	}
	return newK1Private(key), nil
}

func (k1Kind) ParsePublic(der []byte) (Public, error) {
	point, err := parsePublicInfo(der, oidECPublicKey, oidSecp256k1)
	if err != nil || len(point) != secp256k1.PubKeyBytesLenUncompressed || point[0] != secp256k1.PubKeyFormatUncompressed {
		return nil, errPublic
	}
	key, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return nil, errPublic
	}
	return k1Public{key}, nil
}

type k1Private struct {
	hidden
	key    *secp256k1.PrivateKey
	signer *ecdsa.PrivateKey
	public k1Public
}

func newK1Private(key *secp256k1.PrivateKey) *k1Private {
	return &k1Private{key: key, signer: key.ToECDSA(), public: k1Public{key.PubKey()}}
}

func (p *k1Private) Public() Public { return p.public }

func (p *k1Private) Key() crypto.PrivateKey { return p.signer }

func (p *k1Private) MarshalPKCS8() ([]byte, error) {
	scalar := p.key.Serialize()
	defer clear(scalar)
	return marshalPrivateInfo(oidECPublicKey, oidSecp256k1, 8+len(scalar)+secp256k1.PubKeyBytesLenUncompressed+8, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1OctetString(scalar)
			b.AddASN1(cryptobyte_asn1.Tag(1).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddASN1BitString(p.key.PubKey().SerializeUncompressed())
			})
		})
	})
}

func (p *k1Private) Sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if !opts.HashFunc().Available() {
		return nil, ErrOptions
	}
	return ecdsa.SignASN1(rand.Reader, p.signer, digest)
}

type k1Public struct{ key *secp256k1.PublicKey }

func (p k1Public) MarshalSPKI() ([]byte, error) {
	return marshalPublicInfo(oidECPublicKey, oidSecp256k1, p.key.SerializeUncompressed())
}

func (p k1Public) Key() crypto.PublicKey { return p.key.ToECDSA() }

func (p k1Public) Verify(digest, signature []byte, opts crypto.SignerOpts) error {
	if !opts.HashFunc().Available() {
		return ErrOptions
	}
	parsed, err := decred.ParseDERSignature(signature)
	if err != nil || !parsed.Verify(digest, p.key) {
		return ErrSignature
	}
	return nil
}
