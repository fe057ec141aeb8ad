package interop

import (
	"bytes"
	"crypto"
	"crypto/sha3"
	"errors"
	"slices"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"filippo.io/mldsa/x509"

	"github.com/claviger/kms/internal/keypair"
)

// mldsaOID is the identifier of a parameter set: 17, 18 and 19 for 44, 65 and 87.
func mldsaOID(n int) []int { return slices.Concat(oidMLDSA, []int{n}) }

// representative is μ, which stands for a message with a context under a public key (FIPS 204, algorithms 2 and 7).
func representative(public, context, message []byte) []byte {
	tr := sha3.SumSHAKE256(public, 64)
	return sha3.SumSHAKE256(slices.Concat(tr, []byte{0, byte(len(context))}, context, message), 64)
}

const maxContext = 255

type mldsaVerifyGroup struct {
	group
	PublicKey    hexBytes `json:"publicKey"`
	PublicKeyDER unread   `json:"publicKeyDer"`
	Tests        []struct {
		signatureCase
		Context hexBytes `json:"ctx"`
	} `json:"tests"`
}

// mldsaVerify verifies every signature as one of μ, and those without a context as one of the message too: the contexts of keys are empty.
func mldsaVerify(kind keypair.Kind, n int) suite {
	return groups(func(g *mldsaVerifyGroup, report func(vector, verdict)) {
		key, keyErr := publicKey[keypair.Verifier](kind, spki(identifier(mldsaOID(n), nil), g.PublicKey))
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				if errors.Is(keyErr, errRewritten) {
					return wrong("%w", keyErr)
				}
				if keyErr != nil {
					return refused
				}
				byMessage := key.Verify(c.Message, c.Signature, crypto.Hash(0))
				if len(c.Context) > maxContext {
					return foreign("a context that is too long for one", byMessage, keypair.ErrSignature)
				}
				byMu := key.Verify(representative(g.PublicKey, c.Context, c.Message), c.Signature, keypair.ExternalMu)
				if len(c.Context) > 0 && byMessage == nil {
					return wrong("accepted without its context")
				}
				if len(c.Context) == 0 && (byMessage == nil) != (byMu == nil) {
					return wrong("the message: %v; its μ: %v", byMessage, byMu)
				}
				return verified(byMu)
			}())
		}
	})
}

type mldsaSignGroup struct {
	group
	PrivateSeed     hexBytes `json:"privateSeed"`
	PrivateKeyPKCS8 hexBytes `json:"privateKeyPkcs8"`
	PublicKey       hexBytes `json:"publicKey"`
	Tests           []struct {
		vector
		Message   *hexBytes `json:"msg"` // absent where only μ is known
		Context   hexBytes  `json:"ctx"`
		Mu        hexBytes  `json:"mu"`
		Random    hexBytes  `json:"rnd"`
		Signature hexBytes  `json:"sig"`
	} `json:"tests"`
}

// mldsaSign makes keys of seeds, compares their public halves, verifies the signatures and those that the key makes itself. The latter are never the same, so that the
// signatures are compared with those of the library that makes them, with its randomness left out, for the key as it is written.
func mldsaSign(kind keypair.Kind, n int) suite {
	return groups(func(g *mldsaSignGroup, report func(vector, verdict)) {
		der := seedPKCS8(mldsaOID(n), g.PrivateSeed)
		key, err := kind.ParsePrivate(der)
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				if err != nil {
					return refused
				}
				if len(g.PrivateKeyPKCS8) > 0 && !bytes.Equal(der, g.PrivateKeyPKCS8) {
					return wrong("the key is %x, want %x", der, g.PrivateKeyPKCS8)
				}
				if half, err := key.Public().MarshalSPKI(); err != nil || !bytes.Equal(half, spki(identifier(mldsaOID(n), nil), g.PublicKey)) {
					return wrong("the public key is %x, want %x (%v)", half, g.PublicKey, err)
				}
				if len(c.Context) > maxContext {
					return inapplicable("a context that is too long for one")
				}
				if c.Message != nil && !bytes.Equal(c.Mu, representative(g.PublicKey, c.Context, *c.Message)) {
					return wrong("the μ is of another message")
				}
				if err := signs(key.(keypair.Signer), keypair.ExternalMu, c.Mu, c.Signature); err != nil {
					return wrong("μ: %w", err)
				}
				if c.Message != nil && len(c.Context) == 0 {
					if err := signs(key.(keypair.Signer), crypto.Hash(0), *c.Message, c.Signature); err != nil {
						return wrong("message: %w", err)
					}
				}
				if len(c.Random) > 0 {
					return accepted
				}
				written, err := key.MarshalPKCS8()
				if err != nil {
					return wrong("the key is not written: %w", err)
				}
				parsed, err := x509.ParsePKCS8PrivateKey(written)
				if err != nil {
					return wrong("the library does not read the key: %w", err)
				}
				signature, err := parsed.(*mldsa.PrivateKey).SignDeterministic(c.Mu, mldsacrypto.MLDSAMu)
				return produced(signature, c.Signature, err, nil)
			}())
		}
	})
}

// signs says what is wrong with a known signature, and with two that the key makes.
func signs(key keypair.Signer, opts crypto.SignerOpts, message, signature []byte) error {
	public := key.Public().(keypair.Verifier)
	if err := public.Verify(message, signature, opts); err != nil {
		return err
	}
	own, err := key.Sign(message, opts)
	if err != nil {
		return err
	}
	if bytes.Equal(own, signature) {
		return errors.New("the key signs without randomness")
	}
	return public.Verify(message, own, opts)
}
