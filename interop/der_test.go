package interop

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// The identifiers of algorithms and curves.
var (
	oidRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidMLDSA  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3}
	oidMLKEM  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4}
	oidCurves = map[string]asn1.ObjectIdentifier{
		"P-256": {1, 2, 840, 10045, 3, 1, 7}, "P-384": {1, 3, 132, 0, 34}, "P-521": {1, 3, 132, 0, 35}, "P-256K": {1, 3, 132, 0, 10},
	}
)

func marshal(value any) []byte {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err) // a value of ours
	}
	return der
}

// identifier is an AlgorithmIdentifier; parameters are DER, or nothing.
func identifier(algorithm asn1.ObjectIdentifier, parameters []byte) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: algorithm, Parameters: asn1.RawValue{FullBytes: parameters}}
}

// spki is a SubjectPublicKeyInfo (RFC 5280).
func spki(algorithm pkix.AlgorithmIdentifier, key []byte) []byte {
	return marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{algorithm, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
}

// pkcs8 is a PrivateKeyInfo (RFC 5958).
func pkcs8(algorithm pkix.AlgorithmIdentifier, key []byte) []byte {
	return marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, algorithm, key})
}

// rsaSPKI is the SubjectPublicKeyInfo of an RSAPublicKey (RFC 8017).
func rsaSPKI(key []byte) []byte { return spki(identifier(oidRSA, asn1.NullBytes), key) }

// ecSPKI is the SubjectPublicKeyInfo of a point on a curve (RFC 5480).
func ecSPKI(curve string, point []byte) []byte {
	return spki(identifier(oidEC, marshal(oidCurves[curve])), point)
}

// ecPKCS8 is the PrivateKeyInfo of a scalar of size bytes (RFC 5915), without the public key.
func ecPKCS8(curve string, scalar *big.Int, size int) []byte {
	return pkcs8(identifier(oidEC, marshal(oidCurves[curve])), marshal(struct {
		Version int
		Key     []byte
	}{1, scalar.FillBytes(make([]byte, size))}))
}

// seedPKCS8 is the PrivateKeyInfo of a seed of ML-DSA or ML-KEM (RFC 9881, RFC 9935).
func seedPKCS8(algorithm asn1.ObjectIdentifier, seed []byte) []byte {
	return pkcs8(identifier(algorithm, nil), marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: seed}))
}
