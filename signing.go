package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/keypair"
)

// A MessageType says what is given to be signed.
type MessageType string

// Message types.
const (
	MessageRaw        MessageType = "RAW"         // the message itself
	MessageDigest     MessageType = "DIGEST"      // its hash
	MessageExternalMu MessageType = "EXTERNAL_MU" // its representative μ (FIPS 204, algorithm 7, line 6)
)

// A Message is what [Client.Sign] signs. Its zero value has no bytes, and is refused.
type Message struct {
	Type  MessageType // "" is MessageRaw
	Bytes []byte
}

// Raw is a message of 1 to 4096 bytes, which the keyring hashes as the algorithm wants it.
func Raw(message []byte) Message { return Message{MessageRaw, message} }

// Digest is the hash of a message, as long as the algorithm's hash: for what is longer than 4096 bytes, or must not be shown. Ed25519ph takes the SHA-512 hash, and
// signs it as its message: an Ed25519ph elsewhere is given the digest in place of the message to verify, and [ed25519.VerifyWithOptions], which wants a hash, the SHA-512
// hash of the digest. ED25519_SHA_512 and ML-DSA take no digest.
func Digest(digest []byte) Message { return Message{MessageDigest, digest} }

// ExternalMu is the 64 bytes that stand for a message in ML-DSA: for what is longer than 4096 bytes, or must not be shown. It is SHAKE256(SHAKE256(public key, 64) ||
// 0x00 || 0x00 || message, 64), of the public key as FIPS 204 encodes it, which is what the Bytes method of the parsed key returns:
//
//	h := sha3.NewSHAKE256()
//	h.Write(sha3.SumSHAKE256(public.Bytes(), 64))
//	h.Write([]byte{0, 0})
//	io.Copy(h, message)
//	h.Read(mu) // 64 bytes
func ExternalMu(mu []byte) Message { return Message{MessageExternalMu, mu} }

// Limits of messages and of what authenticates them, in bytes.
const (
	maxMessage   = 4096
	maxSignature = 6144
)

// messageDetails are the details of a request to sign.
var messageDetails = map[MessageType]*details{
	MessageRaw: {messageType: MessageRaw}, MessageDigest: {messageType: MessageDigest}, MessageExternalMu: {messageType: MessageExternalMu},
}

var messageTypes = []MessageType{MessageRaw, MessageDigest, MessageExternalMu}

// message makes the request to sign a message, or to verify it, and says how that is done.
func (v *violations) message(ref string, m Message, a Algorithm) (req request, how signing) {
	setDefault(&m.Type, MessageRaw)
	req = request{refs: [2]string{ref}, algo: [2]Algorithm{a}, details: messageDetails[m.Type]}
	v.ref("keyId", ref)
	v.length("message", len(m.Bytes), 1, maxMessage)
	checkEnum(v, "messageType", m.Type, messageTypes)
	checkEnum(v, "signingAlgorithm", a, algorithms[SignVerify])
	if req.invalid = v.err(); req.invalid != nil {
		return req, how
	}
	how, ok := schemes[a].messages[m.Type]
	switch {
	case !ok:
		req.invalid = faultf(ErrValidation, "MessageType %s is not compatible with algorithm %s.", m.Type, a)
	case how.length != 0 && len(m.Bytes) != how.length && m.Type == MessageExternalMu:
		req.invalid = faultf(ErrValidation, "External mu is invalid length for algorithm %s.", a)
	case how.length != 0 && len(m.Bytes) != how.length:
		req.invalid = faultf(ErrValidation, "Digest is invalid length for algorithm %s.", a)
	}
	return req, how
}

// prepare returns what the key signs: the hash of the message, or a copy. Ed25519 reads its message twice, and if it changed in between, the signature would give the
// key away.
func (a admitted) prepare(how *signing, message []byte) []byte {
	if how.hash == 0 {
		return a.copied(message)
	}
	h := how.hash.New()
	h.Write(message)
	a.buffer = h.Sum(a.buffer[:0])
	return a.buffer
}

func messageParams(r *request, e *audit.Event) {
	keyParam(r, e)
	e.Request = append(e.Request, slog.String("messageType", string(r.messageType)), slog.String("signingAlgorithm", string(r.algo[0])))
}

// A SignResult is what Sign returns.
type SignResult struct {
	Signature []byte
	KeyARN    string
	Algorithm Algorithm
}

func (r SignResult) withhold() { clear(r.Signature) }

var opSign = operation{
	name: "Sign", across: true, crypto: true, tokens: true, params: messageParams,
	needs: []need{{action: "kms:Sign", states: inEnabled, usage: SignVerify}},
}

// Sign signs a message under a key: up to 4096 bytes themselves ([Raw]), and anything by its [Digest], or its μ ([ExternalMu]) with ML-DSA. RSA signatures are as long
// as the modulus, ECDSA's are in DER, Ed25519's have 64 bytes and ML-DSA's 2420, 3309 or 4627. ECDSA, PSS and ML-DSA signatures of one message differ each time.
//
// A signature does not name its key. Where an alias may move, keep the KeyARN of the result with it: Verify by the alias asks the key that the alias means then.
//
// An algorithm that is not one of the key's is [ErrInvalidKeyUsage]; a digest of the wrong length, or a type of message that the algorithm does not take, is
// [ErrValidation].
func (c *Client) Sign(ctx context.Context, ref string, message Message, algorithm Algorithm) (SignResult, error) {
	var v violations
	req, how := v.message(ref, message, algorithm)
	return do(ctx, c, &opSign, &req, func(ctx context.Context, a admitted) (SignResult, error) {
		k := a.keys[0]
		m, err := a.client.c.currentMaterial(ctx, k)
		if err != nil {
			return SignResult{}, err
		}
		signature, err := m.pair.(keypair.Signer).Sign(a.prepare(&how, message.Bytes), how.opts)
		return SignResult{Signature: signature, KeyARN: k.arn, Algorithm: a.req.algo[0]}, unusable(err)
	})
}

var errInvalidSignature error = &fault{code: ErrInvalidSignature}

var opVerify = operation{
	name: "Verify", across: true, crypto: true, tokens: true, params: messageParams,
	needs: []need{{action: "kms:Verify", states: inEnabled, usage: SignVerify}},
}

// A VerifyResult tells which key verified.
type VerifyResult struct {
	KeyARN    string
	Algorithm Algorithm
}

// Verify succeeds if signature is one of message under a key, by that algorithm. If it is not, that is [ErrInvalidSignature]; there is no other answer. A signature
// that is empty or longer than 6144 bytes, as a message that Sign does not take, is [ErrValidation], and verified by nothing. A message that was signed raw verifies by
// its digest or its μ as well, and the other way round, but for Ed25519. Go 1.27 brings an ML-DSA that does not verify a μ: built with it, that is
// [ErrUnsupportedOperation].
func (c *Client) Verify(ctx context.Context, ref string, message Message, signature []byte, algorithm Algorithm) (VerifyResult, error) {
	var v violations
	v.length("signature", len(signature), 1, maxSignature)
	req, how := v.message(ref, message, algorithm)
	return do(ctx, c, &opVerify, &req, func(ctx context.Context, a admitted) (VerifyResult, error) {
		k := a.keys[0]
		m, err := a.client.c.currentMaterial(ctx, k)
		if err != nil {
			return VerifyResult{}, err
		}
		// A copy as well: Ed25519 and ML-DSA read a signature twice, and one that changed in between could be made up by anybody.
		switch err = m.pair.Public().(keypair.Verifier).Verify(a.prepare(&how, message.Bytes), a.copied(signature), how.opts); {
		case errors.Is(err, keypair.ErrSignature):
			return VerifyResult{}, errInvalidSignature
		case errors.Is(err, keypair.ErrExternalMu):
			return VerifyResult{}, faultf(ErrUnsupportedOperation, "This build verifies ML-DSA signatures of messages, and not of an external mu.")
		default:
			return VerifyResult{KeyARN: k.arn, Algorithm: a.req.algo[0]}, unusable(err)
		}
	})
}

// A PublicKey is the public half of an asymmetric key.
type PublicKey struct {
	DER      []byte // X.509 SubjectPublicKeyInfo (RFC 5280, section 4.1)
	KeyARN   string
	KeySpec  KeySpec
	KeyUsage KeyUsage
	KeyAlgorithms
}

// Parse returns the public key as a value: *[rsa.PublicKey], *[ecdsa.PublicKey], [ed25519.PublicKey], *mldsa.PublicKey of filippo.io/mldsa, *mlkem.EncapsulationKey768,
// *mlkem.EncapsulationKey1024, and for ML_KEM_512 another [crypto.Encapsulator]. [x509.ParsePKIXPublicKey] knows neither ML-DSA nor ML-KEM nor secp256k1.
//
// It needs DER and KeySpec alone, and so reads the public keys of pairs too: PublicKey{DER: pair.PublicKey, KeySpec: pair.KeyPairSpec}.
func (p PublicKey) Parse() (crypto.PublicKey, error) {
	s, err := p.KeySpec.pairs()
	if err != nil {
		return nil, err
	}
	public, err := s.pair.ParsePublic(p.DER)
	if err != nil {
		return nil, fmt.Errorf("kms: not a public key of %s", p.KeySpec)
	}
	return public.Key(), nil
}

// Mu is μ of a message of any length, for an ML-DSA key to sign or verify: what stands for a message that is longer than 4096 bytes, or must not be shown. The error is the
// reader's, or says that the key is not one of ML-DSA.
func (p PublicKey) Mu(message io.Reader) (Message, error) {
	key, err := p.Parse()
	if err != nil {
		return Message{}, err
	}
	mu, err := keypair.Mu(key, message)
	if errors.Is(err, keypair.ErrOptions) {
		return Message{}, fmt.Errorf("kms: a key of %s signs no mu", p.KeySpec)
	}
	return ExternalMu(mu), err
}

// pairs is the specification of a spec that has key pairs.
func (s KeySpec) pairs() (*specification, error) {
	if known := s.specification(); known.pair != nil {
		return known, nil
	}
	return nil, fmt.Errorf("kms: %q is no spec of key pairs", printable(string(s)))
}

// ParsePrivateKey reads a private key of a spec, in PKCS#8 as [Client.GenerateDataKeyPair] returns it: *[rsa.PrivateKey], *[ecdsa.PrivateKey] also for secp256k1,
// [ed25519.PrivateKey], and a [crypto.Decapsulator] for ML-KEM. Package x509 reads all but the keys of secp256k1 and ML-KEM.
func ParsePrivateKey(spec KeySpec, der []byte) (crypto.PrivateKey, error) {
	s, err := spec.pairs()
	if err != nil {
		return nil, err
	}
	private, err := s.pair.ParsePrivate(der)
	if err != nil {
		return nil, fmt.Errorf("kms: not a private key of %s", spec)
	}
	return private.Key(), nil
}

var opGetPublicKey = operation{
	name: "GetPublicKey", across: true, tokens: true, params: keyParam,
	needs: []need{{action: "kms:GetPublicKey", states: inEnabled | inDisabled, asymmetric: true}},
}

// GetPublicKey returns the public half of an asymmetric key, also of one that is disabled, but of none in PendingDeletion. Of a key that has none it is
// [ErrUnsupportedOperation].
func (c *Client) GetPublicKey(ctx context.Context, ref string) (PublicKey, error) {
	return do(ctx, c, &opGetPublicKey, refRequest(ref), func(ctx context.Context, a admitted) (PublicKey, error) {
		k := a.keys[0]
		m, err := a.client.c.currentMaterial(ctx, k)
		if err != nil {
			return PublicKey{}, err
		}
		der, err := m.pair.Public().MarshalSPKI()
		return PublicKey{DER: der, KeyARN: k.arn, KeySpec: k.spec, KeyUsage: k.usage, KeyAlgorithms: k.algorithmLists()}, unusable(err)
	})
}
