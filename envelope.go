package kms

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/claviger/kms/internal/secret"
)

// A DataKeySpec says what data key to generate: [AES128], [AES256] or [RandomBytes].
type DataKeySpec struct {
	name   string // "" if only the length was given
	length int    // bytes
}

// Data key specs.
var (
	AES128 = DataKeySpec{name: "AES_128", length: 16}
	AES256 = DataKeySpec{name: "AES_256", length: 32}
)

// RandomBytes is a data key of n bytes, 1 to 1024.
func RandomBytes(n int) DataKeySpec { return DataKeySpec{length: n} }

// String returns the name of the spec, such as "AES_256", or the number of bytes.
func (s DataKeySpec) String() string {
	if s.name != "" {
		return s.name
	}
	return fmt.Sprintf("%d bytes", s.length)
}

// A DataKey is a fresh key for use outside the keyring, and its ciphertext for keeping beside the data. Decrypt gives the plaintext back. It prints without the
// plaintext, whatever the verb, and no encoder takes it: store Ciphertext.
type DataKey struct {
	plaintext     secret.Bytes
	Ciphertext    []byte
	KeyARN        string // of the key it is encrypted under
	KeyMaterialID string
}

// Plaintext returns the data key itself: not a copy, so that [DataKey.Zero] wipes what it returned. After Zero it returns nil.
func (d DataKey) Plaintext() []byte {
	var b []byte
	_ = d.plaintext.Use(func(p []byte) error { b = p; return nil }) // the function returns nil
	return b
}

// Use calls f with the data key and returns its error. f must not keep it. After [DataKey.Zero] it returns an error and does not call f.
func (d DataKey) Use(f func(plaintext []byte) error) error {
	if d.plaintext.Len() == 0 {
		return errNoDataKey
	}
	return d.plaintext.Use(f)
}

var errNoDataKey = errors.New("kms: the data key is empty, or was wiped")

// Zero wipes the plaintext, for all copies of d. Call it when the key was used; Ciphertext stays. It must not run beside a use of the key.
func (d DataKey) Zero() { d.plaintext.Zero() }

func (d DataKey) withhold() {
	d.plaintext.Zero()
	clear(d.Ciphertext)
}

// String says which key the data key is of, and not what it is.
func (d DataKey) String() string {
	return fmt.Sprintf("data key of %d bytes under %s %s", d.plaintext.Len(), d.KeyARN, secret.Redacted)
}

// Format implements [fmt.Formatter]: every verb prints [DataKey.String].
func (d DataKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue implements [slog.LogValuer].
func (d DataKey) LogValue() slog.Value { return slog.StringValue(d.String()) }

var errDataKeyEncoded = errors.New("kms: a data key is not encoded: keep its Ciphertext")

// MarshalText refuses, as every Marshal method does: a data key that was stored without its plaintext is lost, and with it is no secret.
func (DataKey) MarshalText() ([]byte, error) { return nil, errDataKeyEncoded }

// MarshalJSON refuses.
func (DataKey) MarshalJSON() ([]byte, error) { return nil, errDataKeyEncoded }

// MarshalBinary refuses.
func (DataKey) MarshalBinary() ([]byte, error) { return nil, errDataKeyEncoded }

// GobEncode refuses.
func (DataKey) GobEncode() ([]byte, error) { return nil, errDataKeyEncoded }

var opGenerateDataKey = operation{
	name: "GenerateDataKey", across: true, crypto: true, tokens: true, params: dataKeyParams, contexts: oneContext,
	needs: []need{{action: "kms:GenerateDataKey", states: inEnabled, usage: EncryptDecrypt}},
}

// GenerateDataKey returns a fresh data key and its ciphertext under a key: encrypt data under the plaintext, keep the ciphertext with the data, and wipe the
// plaintext. Decrypt with the same encryption context gives it back.
func (c *Client) GenerateDataKey(ctx context.Context, ref string, spec DataKeySpec, ec EncryptionContext) (DataKey, error) {
	req := dataKeyRequest(ref, spec, ec)
	return do(ctx, c, &opGenerateDataKey, &req, func(ctx context.Context, a admitted) (DataKey, error) {
		plaintext, res, err := a.dataKey(ctx)
		if err != nil {
			return DataKey{}, err
		}
		return DataKey{plaintext: secret.New(plaintext), Ciphertext: res.Ciphertext, KeyARN: res.KeyARN, KeyMaterialID: res.KeyMaterialID}, nil
	})
}

// An EncryptedDataKey is a data key that nobody has seen.
type EncryptedDataKey struct {
	Ciphertext    []byte
	KeyARN        string
	KeyMaterialID string
}

func (d EncryptedDataKey) withhold() { clear(d.Ciphertext) }

var opGenerateDataKeyWithoutPlaintext = operation{
	name: "GenerateDataKeyWithoutPlaintext", across: true, crypto: true, tokens: true, params: dataKeyParams, contexts: oneContext,
	needs: []need{{action: "kms:GenerateDataKeyWithoutPlaintext", states: inEnabled, usage: EncryptDecrypt}},
}

// GenerateDataKeyWithoutPlaintext returns a fresh data key in encrypted form only, for a component that distributes keys and must not see them.
func (c *Client) GenerateDataKeyWithoutPlaintext(ctx context.Context, ref string, spec DataKeySpec, ec EncryptionContext) (EncryptedDataKey, error) {
	req := dataKeyRequest(ref, spec, ec)
	return do(ctx, c, &opGenerateDataKeyWithoutPlaintext, &req, func(ctx context.Context, a admitted) (EncryptedDataKey, error) {
		plaintext, res, err := a.dataKey(ctx)
		clear(plaintext)
		return res, err
	})
}

func dataKeyRequest(ref string, spec DataKeySpec, ec EncryptionContext) request {
	req := request{refs: [2]string{ref}, dataKey: spec, context: [2]EncryptionContext{ec}}
	var v violations
	v.ref("keyId", ref)
	if spec == (DataKeySpec{}) {
		v.add("keySpec", "", "be given, unless numberOfBytes is")
	} else {
		v.between("numberOfBytes", spec.length, 1, maxRandom)
	}
	req.apply(&v, nil, false)
	req.invalid = v.err()
	return req
}

// dataKey makes a data key and seals it under the current material of the call's key.
func (a admitted) dataKey(ctx context.Context) (plaintext []byte, res EncryptedDataKey, err error) {
	k := a.keys[0]
	m, err := a.client.c.currentMaterial(ctx, k)
	if err != nil {
		return nil, res, err
	}
	a.uses(m)
	plaintext = make([]byte, a.req.dataKey.length)
	rand.Read(plaintext)
	out, err := a.seal(m, nil, plaintext, 0)
	if err != nil {
		clear(plaintext)
		return nil, res, err
	}
	return plaintext, EncryptedDataKey{Ciphertext: out, KeyARN: k.arn, KeyMaterialID: m.text}, nil
}

// AEAD returns the key that ref names as a Tink AEAD that acts for this client: it satisfies tink.AEADWithContext. Each call is an Encrypt or a Decrypt with its
// admission and its audit record. Associated data becomes the encryption context "associatedData", in hex, as Tink's AWS KMS client has it; none is no context.
// Plaintexts have 1 to 4096 bytes, and associated data up to 4089. Where ref is an alias, the AEAD keeps to the key that it meant at the first Encrypt.
func (c *Client) AEAD(ref string) *AEAD { return &AEAD{client: c, ref: ref} }

// An AEAD is a key as a Tink AEAD; see [Client.AEAD]. It is safe for concurrent use.
type AEAD struct {
	client *Client
	ref    string
	arn    atomic.Pointer[string] // of the key, once it is known
}

func (a *AEAD) key() string {
	if arn := a.arn.Load(); arn != nil {
		return *arn
	}
	return a.ref
}

func tinkContext(associatedData []byte) EncryptionContext {
	if len(associatedData) == 0 {
		return nil
	}
	return EncryptionContext{"associatedData": hex.EncodeToString(associatedData)}
}

// EncryptWithContext encrypts plaintext under the key.
func (a *AEAD) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	res, err := a.client.Encrypt(ctx, a.key(), plaintext, tinkContext(associatedData))
	if err != nil {
		return nil, err
	}
	a.arn.CompareAndSwap(nil, &res.KeyARN)
	return res.Ciphertext, nil
}

// DecryptWithContext decrypts what EncryptWithContext returned, and nothing that another key encrypted.
func (a *AEAD) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	res, err := a.client.Decrypt(ctx, ciphertext, tinkContext(associatedData), WithKey(a.key()))
	return res.Plaintext, err
}
