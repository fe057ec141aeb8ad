package peers

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// An envelope is how keys of a spec are written that OpenSSL 3.0 does not read, with the identifier of their algorithm, which has no parameters.
type envelope struct {
	oid    asn1.ObjectIdentifier
	seed   int  // bytes of the private key, which is a seed
	public int  // bytes of the public key
	octets bool // the seed is an OCTET STRING by its own tag, and not by [0]
}

var envelopes = map[string]envelope{
	"ECC_NIST_EDWARDS25519": {asn1.ObjectIdentifier{1, 3, 101, 112}, 32, 32, true},                     // RFC 8410
	"ML_DSA_44":             {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17}, 32, 1312, false}, // RFC 9881
	"ML_DSA_65":             {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}, 32, 1952, false},
	"ML_DSA_87":             {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 19}, 32, 2592, false},
	"ML_KEM_512":            {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 1}, 64, 800, false}, // RFC 9935
	"ML_KEM_768":            {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 2}, 64, 1184, false},
	"ML_KEM_1024":           {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 3}, 64, 1568, false},
}

var errTrailing = errors.New("peers: bytes behind the key")

// check requires that an algorithm is the envelope's, and that a key has the length that it must have.
func (e *envelope) check(a pkix.AlgorithmIdentifier, key []byte, length int) error {
	if !a.Algorithm.Equal(e.oid) || len(a.Parameters.FullBytes) != 0 || len(key) != length {
		return fmt.Errorf("peers: a key of %d bytes by %v with parameters %x, want %d bytes by %v without", len(key), a.Algorithm, a.Parameters.FullBytes, length, e.oid)
	}
	return nil
}

// seedOf is the seed that a PrivateKeyInfo (RFC 5958) holds.
func seedOf(spec string, private []byte) ([]byte, error) {
	e, ok := envelopes[spec]
	if !ok {
		return nil, fmt.Errorf("peers: keys of %s are no seeds", spec)
	}
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if rest, err := asn1.Unmarshal(private, &info); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, errTrailing
	}
	if info.Version != 0 {
		return nil, fmt.Errorf("peers: a private key of version %d", info.Version)
	}
	how := "tag:0"
	if e.octets {
		how = ""
	}
	var seed []byte
	if rest, err := asn1.UnmarshalWithParams(info.Key, &seed, how); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, errTrailing
	}
	return seed, e.check(info.Algorithm, seed, e.seed)
}

// encodedOf is the public key that a SubjectPublicKeyInfo (RFC 5280) holds.
func encodedOf(spec string, public []byte) ([]byte, error) {
	e, ok := envelopes[spec]
	if !ok {
		return nil, fmt.Errorf("peers: the public keys of %s are not read", spec)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(public, &info); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, errTrailing
	}
	if info.Key.BitLength%8 != 0 {
		return nil, fmt.Errorf("peers: a public key of %d bits", info.Key.BitLength)
	}
	return info.Key.Bytes, e.check(info.Algorithm, info.Key.Bytes, e.public)
}
