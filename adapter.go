package kms

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claviger/kms/internal/keypair"
)

// Keys as what other packages take for keys: the interfaces of Go's standard library and of Tink. Each of their calls is an operation, with its admission and its audit
// record, and the private key stays where it is.

// adapterTimeout bounds a call of an interface that takes no context.
const adapterTimeout = 30 * time.Second

// A held is the key that an adapter keeps to, whatever becomes of the alias that it was found by.
type held struct {
	client *Client
	ctx    context.Context
	key    PublicKey
	public crypto.PublicKey
}

// hold finds a key that op can use.
func (c *Client) hold(ctx context.Context, ref string, usage KeyUsage, op *operation) (held, error) {
	key, err := c.GetPublicKey(ctx, ref)
	if err != nil {
		return held{}, err
	}
	if key.KeyUsage != usage {
		return held{}, wrap(op.name, key.KeyARN, faultf(ErrInvalidKeyUsage, "%s key usage is %s which is not valid for %s.", key.KeyARN, key.KeyUsage, op.name))
	}
	public, err := key.Parse()
	if err != nil {
		return held{}, wrap(op.name, key.KeyARN, unusable(err))
	}
	return held{client: c, ctx: context.WithoutCancel(ctx), key: key, public: public}, nil
}

// begin bounds a call.
func (h *held) begin() (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.ctx, adapterTimeout)
}

// refuse says why op is not even asked for.
func (h *held) refuse(op *operation, code Code, format string, args ...any) error {
	return wrap(op.name, h.key.KeyARN, faultf(code, format, args...))
}

// KeyARN returns the ARN of the key.
func (h *held) KeyARN() string { return h.key.KeyARN }

// Public returns the public key, as [PublicKey.Parse] does.
func (h *held) Public() crypto.PublicKey { return h.public }

// Format implements [fmt.Formatter]: whatever the verb, it prints which key is used and by whom, and nothing of what is behind it.
func (h held) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s by a %v", h.key.KeyARN, h.client) }

// LogValue implements [slog.LogValuer] with the same text.
func (h held) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(h)) }

// A Signer is a key as a [crypto.Signer] and a [crypto.MessageSigner]; see [Client.Signer]. It is safe for concurrent use.
type Signer struct{ held }

// Signer returns the key that ref names as a signer that acts for this client. It needs kms:GetPublicKey once, and kms:Sign for each signature. Where ref is an alias,
// the signer keeps to the key that it means now. ctx is for finding the key; see [Signer.WithContext] for signing.
//
// With RSA, the NIST curves and Ed25519 it is a signer for [x509.CreateCertificate], for TLS certificates and for golang.org/x/crypto/ssh (NewSignerFromSigner). A key on
// a curve signs with the hash of the curve only, and TLS 1.2 may ask for another: set SupportedSignatureAlgorithms of the TLS certificate of an ECC_NIST_P384 key to
// ECDSAWithP384AndSHA384 alone, and of an ECC_NIST_P521 key to ECDSAWithP521AndSHA512 alone. Token libraries are given it where they take a [crypto.Signer]; one that
// wants the private key itself cannot have it. What JWS calls an ECDSA signature is the two numbers side by side (RFC 7518, section 3.4), and not the DER that a
// signer returns.
//
// Policies see its signatures with kms:MessageType DIGEST, those of Ed25519 and ML-DSA with RAW, and of ML-DSA beyond 4096 bytes with EXTERNAL_MU. kms:GetPublicKey has
// neither that key nor kms:SigningAlgorithm: a statement with such a condition does not allow it.
func (c *Client) Signer(ctx context.Context, ref string) (*Signer, error) {
	h, err := c.hold(ctx, ref, SignVerify, &opSign)
	if err != nil {
		return nil, err
	}
	return &Signer{h}, nil
}

// WithContext returns a copy of the signer that signs under ctx. Without it a signature takes at most 30 seconds, and so it does where ctx does not end before.
func (s *Signer) WithContext(ctx context.Context) *Signer {
	v := *s
	v.ctx = ctx
	return &v
}

// Sign signs a digest, of which opts name the hash; or with Ed25519 and ML-DSA, and opts that are nil or without a hash, a message. It uses no random source but the
// keyring's own. What the key's algorithms cannot do is an error that says so: another hash than SHA-256, SHA-384 or SHA-512 with RSA, and than the curve's with ECDSA;
// another salt than one as long as the hash with PSS, where [rsa.PSSSaltLengthAuto] leaves it to the key; Ed25519ph, since AWS KMS hashes the digest once more, and which
// [Client.Sign] has; a context. Ed25519 signs 1 to 4096 bytes, ML-DSA any number,
// none and those beyond 4096 by their μ.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	m, algorithm, err := s.scheme(digest, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.begin()
	defer cancel()
	res, err := s.client.Sign(ctx, s.key.KeyARN, m, algorithm)
	return res.Signature, err
}

// SignMessage signs a message of any length, which is hashed here if opts say by what, or becomes μ; else it is [Signer.Sign].
func (s *Signer) SignMessage(r io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	switch hash := hashOf(opts); {
	case hash == keypair.ExternalMu:
		if mu, err := s.key.Mu(bytes.NewReader(message)); err == nil { // else the key does not sign any, which Sign tells
			message = mu.Bytes
		}
	case hash.Available():
		h := hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	return s.Sign(r, message, opts)
}

// hashOf is the hash that opts name. Those that are a nil pointer name none.
func hashOf(opts crypto.SignerOpts) crypto.Hash {
	switch o := opts.(type) {
	case nil:
		return 0
	case *rsa.PSSOptions:
		if o == nil {
			return 0
		}
	case *ed25519.Options:
		if o == nil {
			return 0
		}
	}
	return opts.HashFunc()
}

// scheme is the message and the algorithm that opts mean.
func (s *Signer) scheme(digest []byte, opts crypto.SignerOpts) (Message, Algorithm, error) {
	if keypair.HasContext(opts) {
		return Message{}, "", s.refuse(&opSign, ErrValidation, "A key signs without a context.")
	}
	hash := hashOf(opts)
	salted, isPSS := opts.(*rsa.PSSOptions)
	if isPSS && hash.Available() && !slices.Contains([]int{rsa.PSSSaltLengthAuto, rsa.PSSSaltLengthEqualsHash, hash.Size()}, salted.SaltLength) {
		return Message{}, "", s.refuse(&opSign, ErrValidation, "A key signs by PSS with a salt as long as the hash.")
	}
	for _, a := range s.key.SigningAlgorithms {
		for _, kind := range messageTypes {
			how, ok := schemes[a].messages[kind]
			if _, salts := how.opts.(*rsa.PSSOptions); !ok || how.opts.HashFunc() != hash || kind == MessageRaw && hash != 0 || a == AlgorithmED25519PHSHA512 || salts != isPSS {
				continue
			}
			if n := len(digest); a == AlgorithmMLDSASHAKE256 && kind == MessageRaw && (n == 0 || n > maxMessage) {
				m, err := s.key.Mu(bytes.NewReader(digest))
				return m, a, err
			}
			return Message{kind, digest}, a, nil
		}
	}
	return Message{}, "", s.refuse(&opSign, ErrInvalidKeyUsage, "A key of %s signs %s, and not %s.", s.key.KeySpec, s.offers(), asked(hash, isPSS))
}

// offers says what the key signs.
func (s *Signer) offers() string {
	var ways []string
	for _, a := range s.key.SigningAlgorithms {
		for _, kind := range messageTypes {
			if how, ok := schemes[a].messages[kind]; ok && (kind != MessageRaw || how.hash == 0) && a != AlgorithmED25519PHSHA512 {
				_, salts := how.opts.(*rsa.PSSOptions)
				ways = append(ways, asked(how.opts.HashFunc(), salts))
			}
		}
	}
	return strings.Join(ways, ", or ")
}

// asked names what options ask for.
func asked(hash crypto.Hash, pss bool) string {
	switch {
	case hash == 0:
		return "messages that are not hashed"
	case hash == keypair.ExternalMu:
		return "an external mu"
	case pss:
		return fmt.Sprintf("%v digests by PSS", hash)
	default:
		return fmt.Sprintf("%v digests", hash)
	}
}

// A Decrypter is an RSA key as a [crypto.Decrypter]; see [Client.Decrypter]. It is safe for concurrent use.
type Decrypter struct{ held }

// Decrypter returns the RSA key that ref names as a decrypter that acts for this client. It needs kms:GetPublicKey once, and kms:Decrypt for each ciphertext. Where ref
// is an alias, the decrypter keeps to the key that it means now.
func (c *Client) Decrypter(ctx context.Context, ref string) (*Decrypter, error) {
	h, err := c.hold(ctx, ref, EncryptDecrypt, &opDecrypt)
	if err != nil {
		return nil, err
	}
	return &Decrypter{h}, nil
}

// WithContext returns a copy of the decrypter that decrypts under ctx; see [Signer.WithContext].
func (d *Decrypter) WithContext(ctx context.Context) *Decrypter {
	v := *d
	v.ctx = ctx
	return &v
}

// Decrypt decrypts by OAEP. opts must be [*rsa.OAEPOptions] with SHA-1 or SHA-256, the same hash for the mask, and no label: a key decrypts by nothing else.
func (d *Decrypter) Decrypt(_ io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	o, ok := opts.(*rsa.OAEPOptions)
	if !ok || o == nil {
		return nil, d.refuse(&opDecrypt, ErrInvalidKeyUsage, "A key decrypts by OAEP only: the options must be *rsa.OAEPOptions.")
	}
	if len(o.Label) > 0 || cmp.Or(o.MGFHash, o.Hash) != o.Hash {
		return nil, d.refuse(&opDecrypt, ErrInvalidKeyUsage, "A key decrypts by OAEP without a label, and with one hash.")
	}
	i := slices.IndexFunc(d.key.EncryptionAlgorithms, func(a Algorithm) bool { return schemes[a].hash == o.Hash })
	if i < 0 {
		return nil, d.refuse(&opDecrypt, ErrInvalidKeyUsage, "A key decrypts by OAEP with SHA-1 or SHA-256, and not with %v.", o.Hash)
	}
	ctx, cancel := d.begin()
	defer cancel()
	res, err := d.client.Decrypt(ctx, ciphertext, nil, WithKey(d.key.KeyARN), WithAlgorithm(d.key.EncryptionAlgorithms[i]))
	return res.Plaintext, err
}

// A KeyExchanger is a key on a NIST curve as an [ecdh.KeyExchanger]; see [Client.KeyExchanger]. It is safe for concurrent use.
type KeyExchanger struct {
	held
	exchange *ecdh.PublicKey
}

// KeyExchanger returns the key that ref names as one that agrees on secrets for this client. It needs kms:GetPublicKey once, and kms:DeriveSharedSecret for each secret.
// Where ref is an alias, it keeps to the key that the alias means now.
func (c *Client) KeyExchanger(ctx context.Context, ref string) (*KeyExchanger, error) {
	h, err := c.hold(ctx, ref, KeyAgreement, &opDeriveSharedSecret)
	if err != nil {
		return nil, err
	}
	exchange, err := h.public.(*ecdsa.PublicKey).ECDH() // the spec of every key for agreement is a curve of the standard library's
	if err != nil {
		return nil, wrap(opGetPublicKey.name, h.key.KeyARN, unusable(err))
	}
	return &KeyExchanger{h, exchange}, nil
}

// WithContext returns a copy that agrees under ctx; see [Signer.WithContext].
func (x *KeyExchanger) WithContext(ctx context.Context) *KeyExchanger {
	v := *x
	v.ctx = ctx
	return &v
}

// PublicKey returns the public key.
func (x *KeyExchanger) PublicKey() *ecdh.PublicKey { return x.exchange }

// Curve returns the curve of the key.
func (x *KeyExchanger) Curve() ecdh.Curve { return x.exchange.Curve() }

// ECDH returns the secret that the key shares with another one on its curve; see [Client.DeriveSharedSecret].
func (x *KeyExchanger) ECDH(other *ecdh.PublicKey) ([]byte, error) {
	if other == nil || other.Curve() != x.Curve() {
		return nil, x.refuse(&opDeriveSharedSecret, ErrValidation, "The other key must be one on the curve %v.", x.Curve())
	}
	der, err := x509.MarshalPKIXPublicKey(other)
	if err != nil {
		return nil, wrap(opDeriveSharedSecret.name, x.key.KeyARN, unusable(err))
	}
	ctx, cancel := x.begin()
	defer cancel()
	res, err := x.client.DeriveSharedSecret(ctx, x.key.KeyARN, der)
	return res.Secret(), err
}

// A Decapsulator is an ML-KEM key as a [crypto.Decapsulator]; see [Client.Decapsulator]. It is safe for concurrent use.
type Decapsulator struct{ held }

// Decapsulator returns the ML-KEM key that ref names as one that decapsulates for this client. It needs kms:GetPublicKey once, and kms:Decapsulate for each ciphertext.
// Where ref is an alias, it keeps to the key that the alias means now.
func (c *Client) Decapsulator(ctx context.Context, ref string) (*Decapsulator, error) {
	h, err := c.hold(ctx, ref, EncapsulateDecapsulate, &opDecapsulate)
	if err != nil {
		return nil, err
	}
	return &Decapsulator{h}, nil
}

// WithContext returns a copy that decapsulates under ctx; see [Signer.WithContext].
func (d *Decapsulator) WithContext(ctx context.Context) *Decapsulator {
	v := *d
	v.ctx = ctx
	return &v
}

// Encapsulator returns the public key, which encapsulates here, without the keyring.
func (d *Decapsulator) Encapsulator() crypto.Encapsulator {
	return d.public.(crypto.Encapsulator) // the public key of every ML-KEM spec is one
}

// Decapsulate returns the secret that a ciphertext holds; see [Client.Decapsulate].
func (d *Decapsulator) Decapsulate(ciphertext []byte) ([]byte, error) {
	ctx, cancel := d.begin()
	defer cancel()
	res, err := d.client.Decapsulate(ctx, d.key.KeyARN, ciphertext)
	return res.Secret(), err
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

// Format implements [fmt.Formatter]: whatever the verb, it prints which key is used and by whom, and nothing of what is behind it, which other goroutines change.
func (a *AEAD) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s by a %v", printable(a.key()), a.client)
}

// LogValue implements [slog.LogValuer] with the same text.
func (a *AEAD) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

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
	for {
		res, err := a.client.Encrypt(ctx, a.key(), plaintext, tinkContext(associatedData))
		if err != nil {
			return nil, err
		}
		arn := res.KeyARN
		if a.arn.CompareAndSwap(nil, &arn) || a.key() == arn { // else the alias moved, and another first Encrypt has met what it means now
			return res.Ciphertext, nil
		}
	}
}

// DecryptWithContext decrypts what EncryptWithContext returned, and nothing that another key encrypted.
func (a *AEAD) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	res, err := a.client.Decrypt(ctx, ciphertext, tinkContext(associatedData), WithKey(a.key()))
	return res.Plaintext, err
}
