package peers

import (
	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/ed25519"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
	"github.com/cloudflare/circl/xof"
)

var circlSignatures = map[string]sign.Scheme{"ML_DSA_44": mldsa44.Scheme(), "ML_DSA_65": mldsa65.Scheme(), "ML_DSA_87": mldsa87.Scheme()}

// circlEncapsulations are without ML-KEM-512, which the keyring takes from circl.
var circlEncapsulations = map[string]kem.Scheme{"ML_KEM_768": mlkem768.Scheme(), "ML_KEM_1024": mlkem1024.Scheme()}

func circlSigner(spec, algorithm, messageType string) (Signer, bool) {
	scheme := circlSignatures[spec]
	switch {
	case algorithm == "ED25519_PH_SHA_512" && messageType == "DIGEST": // the digest is what Ed25519ph hashes
		return Signer{
			Name: "circl",
			Sign: func(private, digest []byte) ([]byte, error) {
				seed, err := seedOf(spec, private)
				if err != nil {
					return nil, err
				}
				return ed25519.SignPh(ed25519.NewKeyFromSeed(seed), digest, ""), nil
			},
			Verify: func(public, digest, signature []byte) (bool, error) {
				key, err := encodedOf(spec, public)
				return err == nil && ed25519.VerifyPh(ed25519.PublicKey(key), digest, signature, ""), err
			},
		}, true
	case algorithm == "ML_DSA_SHAKE_256" && messageType == "RAW" && scheme != nil:
		return Signer{
			Name: "circl",
			Sign: func(private, message []byte) ([]byte, error) {
				seed, err := seedOf(spec, private)
				if err != nil {
					return nil, err
				}
				_, key := scheme.DeriveKey(seed)
				return scheme.Sign(key, message, nil), nil
			},
			Verify: func(public, message, signature []byte) (bool, error) {
				encoded, err := encodedOf(spec, public)
				if err != nil {
					return false, err
				}
				key, err := scheme.UnmarshalBinaryPublicKey(encoded)
				return err == nil && scheme.Verify(key, message, signature, nil), err
			},
		}, true
	}
	return Signer{}, false
}

func circlEncapsulator(spec, algorithm string) (Encapsulator, bool) {
	scheme := circlEncapsulations[spec]
	if scheme == nil || algorithm != "ML_KEM" {
		return Encapsulator{}, false
	}
	return Encapsulator{
		Name: "circl",
		Encapsulate: func(public []byte) (secret, ciphertext []byte, err error) {
			encoded, err := encodedOf(spec, public)
			if err != nil {
				return nil, nil, err
			}
			key, err := scheme.UnmarshalBinaryPublicKey(encoded)
			if err != nil {
				return nil, nil, err
			}
			ciphertext, secret, err = scheme.Encapsulate(key)
			return secret, ciphertext, err
		},
		Decapsulate: func(private, ciphertext []byte) ([]byte, error) {
			seed, err := seedOf(spec, private)
			if err != nil {
				return nil, err
			}
			_, key := scheme.DeriveKeyPair(seed)
			return scheme.Decapsulate(key, ciphertext)
		},
	}, true
}

// Mu is the 64 bytes that stand for a message in ML-DSA under a public key (FIPS 204, algorithm 7, line 6), with an empty context.
func Mu(spec string, public, message []byte) ([]byte, error) {
	encoded, err := encodedOf(spec, public)
	if err != nil {
		return nil, err
	}
	shake := func(parts ...[]byte) ([]byte, error) {
		h := xof.SHAKE256.New()
		for _, p := range parts {
			if _, err := h.Write(p); err != nil {
				return nil, err
			}
		}
		sum := make([]byte, 64)
		_, err := h.Read(sum)
		return sum, err
	}
	tr, err := shake(encoded)
	if err != nil {
		return nil, err
	}
	return shake(tr, []byte{0, 0}, message)
}
