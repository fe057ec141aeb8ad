package kms

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"

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

// A withheld is the secret in a result. It prints without the secret, whatever the verb, and no encoder takes it.
type withheld struct {
	secret secret.Bytes
	what   string // "data key"
	arn    string // of the key that it is of
}

// bytes are the secret itself, or nil when it was wiped.
func (w withheld) bytes() []byte {
	var b []byte
	_ = w.secret.Use(func(p []byte) error { b = p; return nil }) // the function returns nil
	return b
}

// Use calls f with the secret and returns its error. f must not keep it. After Zero it returns an error and does not call f.
func (w withheld) Use(f func(secret []byte) error) error {
	if w.secret.Len() == 0 {
		return fmt.Errorf("kms: the %s is empty, or was wiped", w.name())
	}
	return w.secret.Use(f)
}

// Zero wipes the secret, for all copies of the result. Call it when the secret was used. It must not run beside a use of it.
func (w withheld) Zero() { w.secret.Zero() }

func (w withheld) withhold() { w.secret.Zero() }

func (w withheld) name() string { return cmp.Or(w.what, "secret") }

// String says what the secret is and which key it is of, and not the secret.
func (w withheld) String() string {
	return fmt.Sprintf("%s of %d bytes under %s %s", w.name(), w.secret.Len(), w.arn, secret.Redacted)
}

// Format implements [fmt.Formatter]: every verb prints String.
func (w withheld) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, w.String()) }

// LogValue implements [slog.LogValuer].
func (w withheld) LogValue() slog.Value { return slog.StringValue(w.String()) }

func (w withheld) refuse() error {
	return fmt.Errorf("kms: a %s is not encoded: keep its ciphertext", w.name())
}

// MarshalText refuses, as every Marshal method does: a secret that was stored without itself is lost, and with itself is none.
func (w withheld) MarshalText() ([]byte, error) { return nil, w.refuse() }

// MarshalJSON refuses.
func (w withheld) MarshalJSON() ([]byte, error) { return nil, w.refuse() }

// MarshalBinary refuses.
func (w withheld) MarshalBinary() ([]byte, error) { return nil, w.refuse() }

// GobEncode refuses.
func (w withheld) GobEncode() ([]byte, error) { return nil, w.refuse() }

// A DataKey is a fresh key for use outside the keyring, and its ciphertext for keeping beside the data. Decrypt gives the plaintext back. It prints without the
// plaintext, whatever the verb, and no encoder takes it: store Ciphertext.
type DataKey struct {
	withheld
	Ciphertext    []byte
	KeyARN        string // of the key it is encrypted under
	KeyMaterialID string
}

// Plaintext returns the data key itself: not a copy, so that Zero wipes what it returned. After Zero it returns nil.
func (d DataKey) Plaintext() []byte { return d.bytes() }

func (d DataKey) withhold() {
	d.withheld.withhold()
	clear(d.Ciphertext)
}

var opGenerateDataKey = operation{
	name: "GenerateDataKey", across: true, crypto: true, tokens: true, params: dataKeyParams, contexts: oneContext,
	needs: []need{{action: "kms:GenerateDataKey", states: inEnabled, usage: EncryptDecrypt, algorithm: AlgorithmSymmetricDefault}},
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
		return DataKey{withheld: withheld{secret.New(plaintext), "data key", res.KeyARN}, Ciphertext: res.Ciphertext, KeyARN: res.KeyARN, KeyMaterialID: res.KeyMaterialID}, nil
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
	needs: []need{{action: "kms:GenerateDataKeyWithoutPlaintext", states: inEnabled, usage: EncryptDecrypt, algorithm: AlgorithmSymmetricDefault}},
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
	req.invalid = v.err()
	return req
}

// dataKey makes a data key and encrypts it under the call's key.
func (a admitted) dataKey(ctx context.Context) (plaintext []byte, res EncryptedDataKey, err error) {
	plaintext = make([]byte, a.req.dataKey.length)
	rand.Read(plaintext)
	out, m, err := a.encrypt(ctx, nil, plaintext, 0)
	if err != nil {
		clear(plaintext)
		return nil, res, err
	}
	return plaintext, EncryptedDataKey{Ciphertext: out, KeyARN: a.keys[0].arn, KeyMaterialID: m.text}, nil
}

// A DataKeyPair is a fresh key pair for use outside the keyring, and its private key's ciphertext for keeping. Decrypt gives the private key back. It prints without the
// private key, whatever the verb, and no encoder takes it: store PrivateKeyCiphertext and PublicKey.
type DataKeyPair struct {
	withheld
	EncryptedDataKeyPair
}

// PrivateKey returns the private key itself in PKCS#8 (RFC 5958), DER: not a copy, so that Zero wipes what it returned. After Zero it returns nil.
// [x509.ParsePKCS8PrivateKey] reads it, but for secp256k1 and ML-KEM, which it does not know. That of ML-KEM is its seed (RFC 9935): the last 64 bytes, for
// mlkem.NewDecapsulationKey768 and its like.
func (p DataKeyPair) PrivateKey() []byte { return p.bytes() }

func (p DataKeyPair) withhold() {
	p.withheld.withhold()
	p.EncryptedDataKeyPair.withhold()
}

// An EncryptedDataKeyPair is a key pair whose private key nobody has seen.
type EncryptedDataKeyPair struct {
	PrivateKeyCiphertext []byte
	PublicKey            []byte // X.509 SubjectPublicKeyInfo (RFC 5280, section 4.1); [PublicKey.Parse] reads it
	KeyPairSpec          KeySpec
	KeyARN               string // of the key that the private key is encrypted under
	KeyMaterialID        string
}

func (p EncryptedDataKeyPair) withhold() { clear(p.PrivateKeyCiphertext) }

var opGenerateDataKeyPair = operation{
	name: "GenerateDataKeyPair", across: true, crypto: true, tokens: true, params: dataKeyPairParams, contexts: oneContext,
	needs: []need{{action: "kms:GenerateDataKeyPair", states: inEnabled, usage: EncryptDecrypt, algorithm: AlgorithmSymmetricDefault}},
	fits:  func(r *request, _ *key) error { return r.pairSpec.specification().refusal("") },
}

// GenerateDataKeyPair returns a fresh key pair, of any asymmetric spec but ML-DSA's, and the private key's ciphertext under a symmetric encryption key. Decrypt with the
// same encryption context gives the private key back, as [DataKeyPair.PrivateKey] has it. A fresh RSA key takes a while to find, from a tenth of a second to several:
// ctx can end that.
func (c *Client) GenerateDataKeyPair(ctx context.Context, ref string, spec KeySpec, ec EncryptionContext) (DataKeyPair, error) {
	req := dataKeyPairRequest(ref, spec, ec)
	return do(ctx, c, &opGenerateDataKeyPair, &req, func(ctx context.Context, a admitted) (DataKeyPair, error) {
		private, res, err := a.dataKeyPair(ctx)
		if err != nil {
			return DataKeyPair{}, err
		}
		return DataKeyPair{withheld{secret.New(private), "data key pair's private key", res.KeyARN}, res}, nil
	})
}

var opGenerateDataKeyPairWithoutPlaintext = operation{
	name: "GenerateDataKeyPairWithoutPlaintext", across: true, crypto: true, tokens: true, params: dataKeyPairParams, contexts: oneContext,
	needs: []need{{action: "kms:GenerateDataKeyPairWithoutPlaintext", states: inEnabled, usage: EncryptDecrypt, algorithm: AlgorithmSymmetricDefault}},
	fits:  opGenerateDataKeyPair.fits,
}

// GenerateDataKeyPairWithoutPlaintext is [Client.GenerateDataKeyPair] with the private key in encrypted form only, for a component that hands out key pairs and must not
// see them.
func (c *Client) GenerateDataKeyPairWithoutPlaintext(ctx context.Context, ref string, spec KeySpec, ec EncryptionContext) (EncryptedDataKeyPair, error) {
	req := dataKeyPairRequest(ref, spec, ec)
	return do(ctx, c, &opGenerateDataKeyPairWithoutPlaintext, &req, func(ctx context.Context, a admitted) (EncryptedDataKeyPair, error) {
		private, res, err := a.dataKeyPair(ctx)
		clear(private)
		return res, err
	})
}

func dataKeyPairRequest(ref string, spec KeySpec, ec EncryptionContext) request {
	req := request{refs: [2]string{ref}, context: [2]EncryptionContext{ec}, details: &details{pairSpec: spec}}
	var v violations
	v.ref("keyId", ref)
	checkEnum(&v, "keyPairSpec", spec, specs(func(s *specification) bool { return s.dataKeys }))
	req.invalid = v.err()
	return req
}

// dataKeyPair makes a key pair and encrypts its private key under the call's key.
func (a admitted) dataKeyPair(ctx context.Context) (private []byte, res EncryptedDataKeyPair, err error) {
	pair, err := a.client.c.generatePair(ctx, a.req.pairSpec.specification())
	if err != nil {
		return nil, res, err
	}
	public, err := pair.Public().MarshalSPKI()
	if err == nil {
		private, err = pair.MarshalPKCS8()
	}
	if err != nil {
		return nil, res, unusable(err)
	}
	out, m, err := a.encrypt(ctx, nil, private, 0)
	if err != nil {
		clear(private)
		return nil, res, err
	}
	return private, EncryptedDataKeyPair{PrivateKeyCiphertext: out, PublicKey: public, KeyPairSpec: a.req.pairSpec, KeyARN: a.keys[0].arn, KeyMaterialID: m.text}, nil
}
