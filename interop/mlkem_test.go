package interop

import (
	"bytes"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"errors"
	"slices"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"

	"github.com/claviger/kms/internal/keypair"
)

// mlkemOID is the identifier of a parameter set: 1, 2 and 3 for 512, 768 and 1024.
func mlkemOID(n int) []int { return slices.Concat(oidMLKEM, []int{n}) }

func mlkemSPKI(n int, key []byte) []byte { return spki(identifier(mlkemOID(n), nil), key) }

// roundTrip says what is wrong with secrets that a key decapsulates.
func roundTrip(key keypair.Private) error {
	secret, ciphertext, err := key.Public().(keypair.Encapsulator).Encapsulate()
	if err != nil {
		return err
	}
	again, err := key.(keypair.Decapsulator).Decapsulate(ciphertext)
	if err == nil && !bytes.Equal(again, secret) {
		err = errors.New("another secret is decapsulated")
	}
	return err
}

type mlkemGroup struct {
	group
	ParameterSet string `json:"parameterSet"`
	Tests        []struct {
		vector
		Seed       hexBytes `json:"seed"`
		Public     hexBytes `json:"ek"`
		Private    unread   `json:"dk"` // as it is expanded from the seed; the library keeps it to itself
		Ciphertext hexBytes `json:"c"`
		Secret     hexBytes `json:"K"`
	} `json:"tests"`
}

// mlkemDecapsulate makes keys of seeds, compares their public halves, and decapsulates, if there is a ciphertext.
func mlkemDecapsulate(kind keypair.Kind, n int) suite {
	return groups(func(g *mlkemGroup, report func(vector, verdict)) {
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				key, err := kind.ParsePrivate(seedPKCS8(mlkemOID(n), c.Seed))
				if err != nil {
					return refused
				}
				half, err := key.Public().MarshalSPKI()
				if err != nil || !bytes.Equal(half, mlkemSPKI(n, c.Public)) {
					return wrong("the public key is %x, want %x (%v)", half, c.Public, err)
				}
				if err := roundTrip(key); err != nil {
					return wrong("%w", err)
				}
				if g.Type == "MLKEMKeyGen" {
					return accepted
				}
				secret, err := key.(keypair.Decapsulator).Decapsulate(c.Ciphertext)
				return produced(secret, c.Secret, err, keypair.ErrDecryption)
			}())
		}
	})
}

type mlkemEncapsGroup struct {
	group
	ParameterSet string `json:"parameterSet"`
	Tests        []struct {
		vector
		Public     hexBytes `json:"ek"`
		Random     hexBytes `json:"m"`
		Ciphertext hexBytes `json:"c"`
		Secret     hexBytes `json:"K"`
	} `json:"tests"`
}

// encapsulate is what a library does for a key, with given randomness.
type encapsulate func(public, random []byte) (secret, ciphertext []byte, err error)

// mlkemEncapsulate reads public keys, and encapsulates. What a key draws itself is never the same, so that the secret and the ciphertext are compared with those of the
// library, with the randomness of the case.
func mlkemEncapsulate(kind keypair.Kind, n int, library encapsulate) suite {
	return groups(func(g *mlkemEncapsGroup, report func(vector, verdict)) {
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				key, err := publicKey[keypair.Encapsulator](kind, mlkemSPKI(n, c.Public))
				if errors.Is(err, errRewritten) {
					return wrong("%w", err)
				}
				if err != nil {
					return refused
				}
				secret, ciphertext, err := key.Encapsulate()
				if err != nil || len(secret) != len(c.Secret) || len(ciphertext) != len(c.Ciphertext) {
					return wrong("a secret of %d and a ciphertext of %d bytes (%v)", len(secret), len(ciphertext), err)
				}
				secret, ciphertext, err = library(c.Public, c.Random)
				return produced(slices.Concat(secret, ciphertext), slices.Concat(c.Secret, c.Ciphertext), err, nil)
			}())
		}
	})
}

func encapsulate512(public, random []byte) (secret, ciphertext []byte, err error) {
	var key mlkem512.PublicKey
	if err := key.Unpack(public); err != nil {
		return nil, nil, err
	}
	secret, ciphertext = make([]byte, mlkem512.SharedKeySize), make([]byte, mlkem512.CiphertextSize)
	key.EncapsulateTo(ciphertext, secret, random)
	return secret, ciphertext, nil
}

func encapsulate768(public, random []byte) (secret, ciphertext []byte, err error) {
	key, err := mlkem.NewEncapsulationKey768(public)
	if err != nil {
		return nil, nil, err
	}
	return mlkemtest.Encapsulate768(key, random)
}

func encapsulate1024(public, random []byte) (secret, ciphertext []byte, err error) {
	key, err := mlkem.NewEncapsulationKey1024(public)
	if err != nil {
		return nil, nil, err
	}
	return mlkemtest.Encapsulate1024(key, random)
}
