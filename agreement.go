package kms

import (
	"context"
	"errors"
	"log/slog"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/keypair"
	"github.com/claviger/kms/internal/secret"
)

// A SharedSecret is a secret that only the owners of two keys have. It prints without itself, whatever the verb, and no encoder takes it.
type SharedSecret struct {
	withheld
	KeyARN    string
	Algorithm Algorithm
	KeyOrigin Origin
}

// Secret returns the secret itself: not a copy, so that Zero wipes what it returned. After Zero it returns nil. The secret of [Client.DeriveSharedSecret] is no key: give it
// to a key derivation function.
func (s SharedSecret) Secret() []byte { return s.bytes() }

func (k *key) sharedSecret(raw []byte, a Algorithm) SharedSecret {
	return SharedSecret{withheld: withheld{secret.New(raw), "shared secret", k.arn}, KeyARN: k.arn, Algorithm: a, KeyOrigin: k.origin}
}

const maxPublicKey = 8192

var opDeriveSharedSecret = operation{
	name: "DeriveSharedSecret", across: true, crypto: true, tokens: true,
	needs: []need{{action: "kms:DeriveSharedSecret", states: inEnabled, usage: KeyAgreement, algorithm: AlgorithmECDH}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		e.Request = append(e.Request, slog.String("keyAgreementAlgorithm", string(AlgorithmECDH)))
	},
	fits: func(r *request, k *key) (err error) {
		if r.peer, err = k.pair.ParsePublic(r.publicKey); err != nil {
			return &fault{code: ErrValidation} // as AWS KMS says it
		}
		return nil
	},
}

// DeriveSharedSecret agrees with the owner of another key by ECDH: publicKey is theirs, as a DER SubjectPublicKeyInfo on the curve of the key that ref names. The secret is
// the x-coordinate of the shared point, of 32, 48 or 66 bytes, which both reach: derive keys from it, by HKDF for instance. A public key that is none, or of another
// curve, is [ErrValidation].
func (c *Client) DeriveSharedSecret(ctx context.Context, ref string, publicKey []byte) (SharedSecret, error) {
	req := refRequest(ref)
	var v violations
	v.ref("keyId", ref)
	v.length("publicKey", len(publicKey), 1, maxPublicKey)
	req.invalid, req.details = v.err(), &details{publicKey: publicKey}
	return do(ctx, c, &opDeriveSharedSecret, req, func(ctx context.Context, a admitted) (SharedSecret, error) {
		k := a.keys[0]
		m, err := a.client.c.currentMaterial(ctx, k)
		if err != nil {
			return SharedSecret{}, err
		}
		raw, err := m.pair.(keypair.Agreer).Agree(a.req.peer)
		return k.sharedSecret(raw, AlgorithmECDH), unusable(err)
	})
}

func encapsulationParams(r *request, e *audit.Event) {
	keyParam(r, e)
	e.Request = append(e.Request, slog.String("encapsulationAlgorithm", string(AlgorithmMLKEM)))
}

// An EncapsulateResult is a fresh secret, and the ciphertext that holds it.
type EncapsulateResult struct {
	SharedSecret
	Ciphertext []byte // 768, 1088 or 1568 bytes
}

func (r EncapsulateResult) withhold() {
	r.SharedSecret.withhold()
	clear(r.Ciphertext)
}

var opEncapsulate = operation{
	name: "Encapsulate", across: true, crypto: true, tokens: true, params: encapsulationParams,
	needs: []need{{action: "kms:Encapsulate", states: inEnabled, usage: EncapsulateDecapsulate, algorithm: AlgorithmMLKEM}},
}

// Encapsulate draws a secret of 32 bytes and returns it with a ciphertext, out of which [Client.Decapsulate] gives it back (FIPS 203). Who has the public key can do the
// same elsewhere.
func (c *Client) Encapsulate(ctx context.Context, ref string) (EncapsulateResult, error) {
	return do(ctx, c, &opEncapsulate, refRequest(ref), func(ctx context.Context, a admitted) (EncapsulateResult, error) {
		k := a.keys[0]
		m, err := a.client.c.currentMaterial(ctx, k)
		if err != nil {
			return EncapsulateResult{}, err
		}
		raw, ciphertext, err := m.pair.Public().(keypair.Encapsulator).Encapsulate()
		return EncapsulateResult{SharedSecret: k.sharedSecret(raw, AlgorithmMLKEM), Ciphertext: ciphertext}, unusable(err)
	})
}

var opDecapsulate = operation{
	name: "Decapsulate", across: true, crypto: true, tokens: true, params: encapsulationParams,
	needs: []need{{action: "kms:Decapsulate", states: inEnabled, usage: EncapsulateDecapsulate, algorithm: AlgorithmMLKEM}},
}

// Decapsulate returns the secret that a ciphertext holds. One of the right length that was not made for the key holds another secret, and is no error (FIPS 203, implicit
// rejection): what the secret is used for tells. One of another length is [ErrInvalidCiphertext].
func (c *Client) Decapsulate(ctx context.Context, ref string, ciphertext []byte) (SharedSecret, error) {
	req := refRequest(ref)
	var v violations
	v.ref("keyId", ref)
	v.length("sharedSecretCiphertextBlob", len(ciphertext), 1, maxCiphertext)
	req.invalid = v.err()
	return do(ctx, c, &opDecapsulate, req, func(ctx context.Context, a admitted) (SharedSecret, error) {
		k := a.keys[0]
		m, err := a.client.c.currentMaterial(ctx, k)
		if err != nil {
			return SharedSecret{}, err
		}
		// A copy: ML-KEM reads a ciphertext three times, and one that changed in between would not be rejected as it must.
		raw, err := m.pair.(keypair.Decapsulator).Decapsulate(a.copied(ciphertext))
		if errors.Is(err, keypair.ErrDecryption) {
			return SharedSecret{}, errInvalidCiphertext
		}
		return k.sharedSecret(raw, AlgorithmMLKEM), unusable(err)
	})
}
