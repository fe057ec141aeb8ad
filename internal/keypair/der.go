package keypair

import (
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The two envelopes of keys that no package writes and reads for us. An algorithm is an identifier and, for curves, a second one as its parameter.

// parsePrivateInfo returns what a PrivateKeyInfo (RFC 5958, version 1) of an algorithm holds.
func parsePrivateInfo(der []byte, algorithm, parameter asn1.ObjectIdentifier) (cryptobyte.String, error) {
	in := cryptobyte.String(der)
	var info, inner cryptobyte.String
	var version int
	if !in.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) || !in.Empty() || !info.ReadASN1Integer(&version) || version != 0 || !readAlgorithm(&info, algorithm, parameter) ||
		!info.ReadASN1(&inner, cryptobyte_asn1.OCTET_STRING) {
		return nil, errPrivate
	}
	const attributes = cryptobyte_asn1.Tag(0)
	if !info.SkipOptionalASN1(attributes.Constructed().ContextSpecific()) || !info.Empty() {
		return nil, errPrivate
	}
	return inner, nil
}

// isPrivateInfo reports whether der is a PrivateKeyInfo or OneAsymmetricKey (RFC 5958, versions 1 and 2) with nothing behind it: the parsers of package x509 look at neither.
func isPrivateInfo(der []byte) bool {
	in := cryptobyte.String(der)
	var info cryptobyte.String
	var version int
	return in.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) && in.Empty() && info.ReadASN1Integer(&version) && (version == 0 || version == 1)
}

// parsePublicInfo returns the key in a SubjectPublicKeyInfo of an algorithm.
func parsePublicInfo(der []byte, algorithm, parameter asn1.ObjectIdentifier) ([]byte, error) {
	in := cryptobyte.String(der)
	var info cryptobyte.String
	var key []byte
	if !in.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) || !in.Empty() || !readAlgorithm(&info, algorithm, parameter) || !info.ReadASN1BitStringAsBytes(&key) || !info.Empty() {
		return nil, errPublic
	}
	return key, nil
}

func readAlgorithm(in *cryptobyte.String, algorithm, parameter asn1.ObjectIdentifier) bool {
	var identifier cryptobyte.String
	var found asn1.ObjectIdentifier
	if !in.ReadASN1(&identifier, cryptobyte_asn1.SEQUENCE) || !identifier.ReadASN1ObjectIdentifier(&found) || !found.Equal(algorithm) {
		return false
	}
	if parameter != nil && (!identifier.ReadASN1ObjectIdentifier(&found) || !found.Equal(parameter)) {
		return false
	}
	return identifier.Empty()
}

// marshalPrivateInfo writes a PrivateKeyInfo around size bytes of key, into a buffer that does not grow: what it would leave behind nobody could clear.
func marshalPrivateInfo(algorithm, parameter asn1.ObjectIdentifier, size int, key cryptobyte.BuilderContinuation) ([]byte, error) {
	const envelope = 64
	b := cryptobyte.NewFixedBuilder(make([]byte, 0, size+envelope))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		addAlgorithm(b, algorithm, parameter)
		b.AddASN1(cryptobyte_asn1.OCTET_STRING, key)
	})
	return b.Bytes()
}

func marshalPublicInfo(algorithm, parameter asn1.ObjectIdentifier, key []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addAlgorithm(b, algorithm, parameter)
		b.AddASN1BitString(key)
	})
	return b.Bytes()
}

func addAlgorithm(b *cryptobyte.Builder, algorithm, parameter asn1.ObjectIdentifier) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(algorithm)
		if parameter != nil {
			b.AddASN1ObjectIdentifier(parameter)
		}
	})
}
