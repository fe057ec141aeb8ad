package kms

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/cache"
	"github.com/claviger/kms/internal/keypair"
	"github.com/claviger/kms/internal/secret"
)

// Ciphertext format 1:
//
//	version 1 | suite 1 | flags 1 | key id 16 | material id 16 | salt 16 | commitment 32 | nonce 12 | AES-256-GCM ciphertext | tag 16
//
// docs/format.md has it byte by byte, with what is derived and what is authenticated.
const (
	formatVersion = 1
	formatSuite   = 1

	flagMultiRegion = 1 << 0

	saltLen       = 16
	commitmentLen = 32
	messageKeyLen = 32
	nonceLen      = 12
	tagLen        = 16

	keyIDAt      = 3
	materialIDAt = keyIDAt + 16
	saltAt       = materialIDAt + materialPrefixLen
	commitmentAt = saltAt + saltLen
	headerLen    = commitmentAt + commitmentLen

	// CiphertextOverhead is how many bytes longer than its plaintext a ciphertext is.
	CiphertextOverhead = headerLen + nonceLen + tagLen

	messageInfo = "claviger/message/v1"
)

// Limits of Encrypt and Decrypt, in bytes.
const (
	maxPlaintext  = 4096
	maxCiphertext = 6144
	maxContext    = 8192 // all names and values
)

// A salt, and the cipher derived with it, serve one process for at most so many messages and so long. The nonces are random, so nothing depends on counting:
// at 2^16 messages for a salt the chance that two of 2^49 messages of a key share salt and nonce is below 2^-32.
const (
	sealerMessages = 1 << 16
	sealerAge      = 10 * time.Minute
	sealerSkew     = 5 * time.Second // clocks that part by more tell of a suspended or copied machine
)

// An EncryptionContext is a set of names and values that a ciphertext is bound to: it decrypts only with the same set. It is no secret, appears in audit records,
// and can be asked about in policies. An empty one and none are the same. Names and values are UTF-8, 8192 bytes in all; names are not empty.
type EncryptionContext map[string]string

// takeContexts copies the encryption contexts of a request into the call's own maps, once, and checks the copies: the caller's may change under the call.
func (cl *call) takeContexts() {
	for i, ec := range cl.req.context {
		if len(ec) == 0 {
			cl.req.context[i] = nil
			continue
		}
		if cl.contexts[i] == nil {
			cl.contexts[i] = make(EncryptionContext)
		}
		var v violations
		v.context(cl.op.contexts[i], cl.contexts[i], ec)
		if a := cl.req.algo[i]; a != "" && a != AlgorithmSymmetricDefault {
			v.add(cl.op.contexts[i], "", "be absent: only symmetric encryption keys take one")
		}
		cl.req.context[i] = cl.contexts[i]
		if cl.req.invalid == nil {
			cl.req.invalid = v.err()
		}
	}
}

// context copies ec, as far as it is what a context may be.
func (v *violations) context(member string, dst, ec EncryptionContext) {
	total := 0
	for name, value := range ec {
		total += len(name) + len(value)
		switch {
		case total > maxContext:
			v.add(member, "", fmt.Sprintf("have length less than or equal to %d", maxContext))
			return
		case name == "" || !utf8.ValidString(name) || !utf8.ValidString(value):
			v.add(member, "", "have names that are not empty, and be valid UTF-8")
			return
		}
		dst[name] = value
	}
}

// appendContext appends the context as it is authenticated: a count, then each name and value with its length, in two bytes big-endian each, in the order of
// the bytes of the names. An empty context is no bytes. names are the names, sorted.
func appendContext(dst []byte, ec EncryptionContext, names []string) []byte {
	if len(ec) == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(ec)))
	for _, name := range names {
		for _, s := range [...]string{name, ec[name]} {
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
			dst = append(dst, s...)
		}
	}
	return dst
}

// contextNames are the names of a reference's encryption context, sorted. The slice is the call's.
func (cl *call) contextNames(ref int) []string {
	cl.names = cl.names[:0]
	for name := range cl.req.context[ref] {
		cl.names = append(cl.names, name)
	}
	slices.Sort(cl.names)
	return cl.names
}

// associatedData is a message's header and encryption context. The slice is the call's.
func (a admitted) associatedData(header []byte, ref int) []byte {
	if len(a.req.context[ref]) == 0 {
		return header
	}
	from := len(a.buffer)
	a.buffer = appendContext(append(a.buffer, header...), a.req.context[ref], a.contextNames(ref))
	return a.buffer[from:]
}

// oneContext is how AWS KMS names the encryption context of an operation that has one.
var oneContext = [2]string{"encryptionContext"}

// A CryptoOption says something rare about a cryptographic call.
type CryptoOption struct {
	key       string
	named     bool // key is meant, even if it is empty
	algorithm Algorithm
}

// WithKey makes Decrypt accept only what the key that ref names has encrypted. Use it whenever the key is known: a ciphertext then cannot choose.
func WithKey(ref string) CryptoOption { return CryptoOption{key: ref, named: true} }

// WithAlgorithm states the encryption algorithm. It can be left out for symmetric keys, whose only one is [AlgorithmSymmetricDefault]; RSA keys need it.
func WithAlgorithm(a Algorithm) CryptoOption { return CryptoOption{algorithm: a} }

// apply takes options into a request whose key a ciphertext names (open) or whose key is given otherwise.
func (r *request) apply(v *violations, options []CryptoOption, open bool) {
	const i = 0
	r.algo[i] = AlgorithmSymmetricDefault
	for _, o := range options {
		switch {
		case o.named && !open:
			v.add("keyId", "", "not be named twice")
		case o.named: // an empty name is not the same as none: it must not lift the restriction
			v.ref("keyId", o.key)
			r.refs[i] = o.key
		}
		if !o.named {
			r.algo[i] = o.algorithm
		}
	}
	r.checkEncryption(v, "encryptionAlgorithm", i)
}

// checkEncryption looks at an encryption algorithm.
func (r *request) checkEncryption(v *violations, member string, i int) {
	if r.algo[i] != AlgorithmSymmetricDefault {
		checkEnum(v, member, r.algo[i], algorithms[EncryptDecrypt])
	}
}

// A sealer encrypts under one salt of one material.
type sealer struct {
	header   [headerLen]byte
	aead     cipher.AEAD
	born     stamp
	messages atomic.Int64
}

// serves counts one message and reports whether the sealer may encrypt it.
func (s *sealer) serves(now stamp) bool {
	return s.messages.Add(1) <= sealerMessages && now.wall >= s.born.wall && now.mono-s.born.mono <= sealerAge &&
		max((now.mono-s.born.mono)-time.Duration(now.wall-s.born.wall), time.Duration(now.wall-s.born.wall)-(now.mono-s.born.mono)) <= sealerSkew
}

type messageSalt [saltLen]byte

// flags is the flags byte of a key's messages.
func (id keyID) flags() byte {
	if id.multiRegion {
		return flagMultiRegion
	}
	return 0
}

// sealer returns a sealer that may encrypt one message.
func (m *material) sealer(now stamp) (*sealer, error) {
	if s := m.sealing.Load(); s != nil && s.serves(now) {
		return s, nil
	}
	s := &sealer{born: now}
	s.messages.Store(1)
	s.header[0], s.header[1], s.header[2] = formatVersion, formatSuite, m.key.flags()
	copy(s.header[keyIDAt:], m.key.raw[:])
	copy(s.header[materialIDAt:], m.id[:materialPrefixLen])
	salt := newSalt(now)
	copy(s.header[saltAt:], salt[:])
	aead, commitment, err := m.derive(s.header[:commitmentAt])
	if err != nil {
		return nil, err
	}
	copy(s.header[commitmentAt:], commitment[:])
	s.aead = aead
	m.sealing.Store(s)
	return s, nil
}

// newSalt draws a salt from the kernel's generator, mixed with both clocks: a copy of a machine that woke with the same generator has another time.
func newSalt(now stamp) messageSalt {
	var in [32 + 8 + 8]byte
	rand.Read(in[:32])
	binary.BigEndian.PutUint64(in[32:], uint64(now.wall))
	binary.BigEndian.PutUint64(in[40:], uint64(now.mono))
	sum := sha256.Sum256(in[:])
	return messageSalt(sum[:saltLen])
}

// derive returns the cipher and the commitment of a header, of which everything before the commitment is given.
func (m *material) derive(header []byte) (cipher.AEAD, [commitmentLen]byte, error) {
	var aead cipher.AEAD
	var commitment [commitmentLen]byte
	err := m.secret.Use(func(raw []byte) error {
		if isZero(raw) { // wiped, which cannot be while m is in use: never encrypt under a key that everybody knows
			return errBody
		}
		okm, err := hkdf.Key(sha256.New, raw, header[saltAt:commitmentAt], messageInfo+string(header[:saltAt]), messageKeyLen+commitmentLen)
		if err != nil {
			return err
		}
		defer clear(okm)
		copy(commitment[:], okm[messageKeyLen:])
		block, err := aes.NewCipher(okm[:messageKeyLen])
		if err != nil {
			return err
		}
		aead, err = cipher.NewGCMWithRandomNonce(block)
		return err
	})
	runtime.KeepAlive(m)
	return aead, commitment, err
}

// seal appends to dst the message that holds plaintext, under the context of a reference.
func (a admitted) seal(m *material, dst, plaintext []byte, ref int) ([]byte, error) {
	s, err := m.sealer(a.at)
	if err != nil {
		return nil, err
	}
	n := len(plaintext) + CiphertextOverhead
	if spare := dst[len(dst):cap(dst)]; len(spare) < n {
		dst = slices.Grow(dst, n)
	} else if overlaps(spare[:n], plaintext) {
		copied := slices.Clone(plaintext)
		defer clear(copied)
		plaintext = copied
	}
	dst = append(dst, s.header[:]...)
	return s.aead.Seal(dst, nil, plaintext, a.associatedData(s.header[:], ref)), nil
}

// overlaps reports whether two slices share memory.
func overlaps(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 &&
		uintptr(unsafe.Pointer(&a[0])) <= uintptr(unsafe.Pointer(&b[len(b)-1])) &&
		uintptr(unsafe.Pointer(&b[0])) <= uintptr(unsafe.Pointer(&a[len(a)-1]))
}

// An opener decrypts what one sealer encrypted.
type opener struct {
	aead       cipher.AEAD
	commitment [commitmentLen]byte
}

// maxOpeners bounds how many derived ciphers a material keeps for decryption.
const maxOpeners = 32

// open appends to dst what a message holds, under the context of a reference. Whatever is wrong, the error is the same. It looks at copies alone: GCM reads a ciphertext
// twice, and one that changed in between would come out as what nobody has encrypted.
func (a admitted) open(m *material, dst, message []byte, ref int) ([]byte, error) {
	header, body := a.copied(message[:headerLen]), message[headerLen:]
	salt := messageSalt(header[saltAt:commitmentAt])
	var o *opener
	openers := m.opening.Load()
	if openers != nil {
		o, _ = openers.Get(salt)
	}
	known := o != nil
	if !known {
		aead, commitment, err := m.derive(header[:commitmentAt])
		if err != nil {
			return nil, err
		}
		o = &opener{aead: aead, commitment: commitment}
	}
	if subtle.ConstantTimeCompare(o.commitment[:], header[commitmentAt:]) != 1 {
		return nil, errInvalidCiphertext
	}
	if cap(dst)-len(dst) < len(message)-CiphertextOverhead {
		dst = slices.Grow(dst, len(body))
		body = append(dst, body...)[len(dst):] // in what is made anyway, where the plaintext comes to stand
	} else {
		body = a.copied(body)
	}
	out, err := o.aead.Open(dst, nil, body, a.associatedData(header, ref))
	if err != nil {
		return nil, errInvalidCiphertext
	}
	if !known { // only what verified is kept, so that junk cannot push anything out
		if openers == nil {
			m.opening.CompareAndSwap(nil, cache.New[messageSalt, *opener](maxOpeners))
			openers = m.opening.Load()
		}
		openers.Put(salt, o)
	}
	return out, nil
}

// messageKey reads which key and material a ciphertext names. It reports false for what is not a ciphertext of this format.
func messageKey(ciphertext []byte) (id keyID, p materialPrefix, ok bool) {
	if len(ciphertext) < CiphertextOverhead || ciphertext[0] != formatVersion || ciphertext[1] != formatSuite || ciphertext[2]&^flagMultiRegion != 0 {
		return keyID{}, materialPrefix{}, false
	}
	id = keyID{multiRegion: ciphertext[2]&flagMultiRegion != 0, raw: [16]byte(ciphertext[keyIDAt:])}
	return id, materialPrefix(ciphertext[materialIDAt:]), true
}

// An EncryptResult is what Encrypt returns.
type EncryptResult struct {
	Ciphertext []byte
	KeyARN     string
	Algorithm  Algorithm
}

// sealed is an EncryptResult, and where in its slice this call began to write.
type sealed struct {
	EncryptResult
	from int
}

func (s sealed) withhold() { clear(s.Ciphertext[min(s.from, len(s.Ciphertext)):]) }

var opEncrypt = operation{
	name: "Encrypt", across: true, crypto: true, tokens: true, params: cryptoParams, contexts: oneContext,
	needs: []need{{action: "kms:Encrypt", states: inEnabled, usage: EncryptDecrypt}},
	fits:  func(r *request, k *key) error { return k.checkPlaintext(r.algo[0], r.number) },
}

// Encrypt encrypts 1 to 4096 bytes under the current material of a key. What is larger is encrypted under a data key; see [Client.GenerateDataKey]. The ciphertext
// is [CiphertextOverhead] bytes longer than the plaintext, and names its key and material.
//
// Under an RSA key, [WithAlgorithm] says how. The ciphertext is then as long as the modulus, and names nothing; there is no encryption context; and the plaintext has at
// most 214, 342 and 470 bytes with RSAES_OAEP_SHA_1 under RSA_2048, RSA_3072 and RSA_4096, and 190, 318 and 446 with RSAES_OAEP_SHA_256.
func (c *Client) Encrypt(ctx context.Context, ref string, plaintext []byte, ec EncryptionContext, options ...CryptoOption) (EncryptResult, error) {
	return c.AppendEncrypt(ctx, nil, ref, plaintext, ec, options...)
}

// AppendEncrypt is [Client.Encrypt] into a buffer that the caller has: the ciphertext is appended to dst, and the result's Ciphertext is the extended slice. plaintext
// may share memory with dst. After an error nothing of the ciphertext is left in dst's spare capacity.
func (c *Client) AppendEncrypt(ctx context.Context, dst []byte, ref string, plaintext []byte, ec EncryptionContext, options ...CryptoOption) (EncryptResult, error) {
	req := request{refs: [2]string{ref}, context: [2]EncryptionContext{ec}, number: len(plaintext)}
	var v violations
	v.ref("keyId", ref)
	v.length("plaintext", len(plaintext), 1, maxPlaintext)
	req.apply(&v, options, false)
	req.invalid = v.err()
	res, err := do(ctx, c, &opEncrypt, &req, func(ctx context.Context, a admitted) (sealed, error) {
		out, _, err := a.encrypt(ctx, dst, plaintext, 0)
		return sealed{EncryptResult{Ciphertext: out, KeyARN: a.keys[0].arn, Algorithm: a.req.algo[0]}, len(dst)}, err
	})
	return res.EncryptResult, err
}

// encrypt appends to dst the ciphertext of plaintext under the key of a need, which its reference is the number of.
func (a admitted) encrypt(ctx context.Context, dst, plaintext []byte, i int) ([]byte, *material, error) {
	k := a.keys[i]
	m, err := a.client.c.currentMaterial(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	if i == 0 {
		a.uses(m)
	}
	if m.pair == nil {
		out, err := a.seal(m, dst, plaintext, i)
		return out, m, err
	}
	algorithm := a.req.algo[i]
	if err := k.checkPlaintext(algorithm, len(plaintext)); err != nil {
		return nil, nil, err
	}
	out, err := m.pair.Public().(keypair.Encrypter).Encrypt(plaintext, schemes[algorithm].hash)
	return append(dst, out...), m, unusable(err)
}

// checkPlaintext requires that a key can encrypt n bytes: with RSA, what the modulus leaves beside the padding (RFC 8017, section 7.1.1).
func (k *key) checkPlaintext(a Algorithm, n int) error {
	if k.modulus == 0 {
		return nil
	}
	if most := k.modulus - 2*schemes[a].hash.Size() - 2; n > most {
		return faultf(ErrValidation, "Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", a, k.spec, most)
	}
	return nil
}

// unusable says that what a key does has failed, which its admission should have excluded.
func unusable(err error) error {
	if err == nil {
		return nil
	}
	return &fault{code: ErrInternal, message: "the key cannot do that", cause: err}
}

// A DecryptResult is what Decrypt returns.
type DecryptResult struct {
	Plaintext     []byte
	KeyARN        string // of the key that made the ciphertext
	KeyMaterialID string // of the material that made it; empty for an RSA key
	Algorithm     Algorithm
}

// Format implements [fmt.Formatter]: whatever the verb, the plaintext is not printed.
func (d DecryptResult) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%d bytes under %s %s", len(d.Plaintext), d.KeyARN, secret.Redacted)
}

// LogValue implements [slog.LogValuer]: the plaintext is not logged.
func (d DecryptResult) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }

// MarshalJSON refuses: take the Plaintext out if it is meant to be encoded.
func (DecryptResult) MarshalJSON() ([]byte, error) { return nil, errResultEncoded }

// MarshalText refuses.
func (DecryptResult) MarshalText() ([]byte, error) { return nil, errResultEncoded }

// MarshalBinary refuses, and with it package encoding/gob.
func (DecryptResult) MarshalBinary() ([]byte, error) { return nil, errResultEncoded }

var errResultEncoded = errors.New("kms: the result of Decrypt is not encoded: take its Plaintext")

// opened is a DecryptResult, and where in its slice this call began to write.
type opened struct {
	DecryptResult
	from int
}

func (o opened) withhold() { clear(o.Plaintext[min(o.from, len(o.Plaintext)):]) }

var opDecrypt = operation{
	name: "Decrypt", across: true, crypto: true, tokens: true, params: cryptoParams, contexts: oneContext,
	needs: []need{{action: "kms:Decrypt", states: inEnabled, usage: EncryptDecrypt, made: true}},
}

// Decrypt decrypts what Encrypt, ReEncrypt or GenerateDataKey returned, with the same encryption context. The ciphertext names its key; [WithKey] states which it
// must be, and is [ErrIncorrectKey] if it is another. A dry run that names the key needs no ciphertext.
//
// Without WithKey a key that does not exist and one that the caller may not use are the same [ErrAccessDenied]. A ciphertext or context that is not right
// is [ErrInvalidCiphertext], whatever is wrong with it.
//
// What was encrypted under an RSA key names nothing: it needs WithKey, and [WithAlgorithm] as it was encrypted. Lacking the one it is [ErrValidation],
// lacking the other [ErrInvalidKeyUsage], and lacking both [ErrInvalidCiphertext].
func (c *Client) Decrypt(ctx context.Context, ciphertext []byte, ec EncryptionContext, options ...CryptoOption) (DecryptResult, error) {
	return c.AppendDecrypt(ctx, nil, ciphertext, ec, options...)
}

// AppendDecrypt is [Client.Decrypt] into a buffer that the caller has: the plaintext is appended to dst, and the result's Plaintext is the extended slice. ciphertext
// may share memory with dst. After an error nothing of the plaintext is left in dst's spare capacity.
func (c *Client) AppendDecrypt(ctx context.Context, dst, ciphertext []byte, ec EncryptionContext, options ...CryptoOption) (DecryptResult, error) {
	req := request{context: [2]EncryptionContext{ec}}
	var v violations
	req.apply(&v, options, true)
	v.ciphertext(ciphertext, c.dryRun && req.refs[0] != "")
	id, _, ok := req.source(&v, "keyId", ciphertext)
	res, err := do(ctx, c, &opDecrypt, &req, func(ctx context.Context, a admitted) (opened, error) {
		out, m, err := a.decrypt(ctx, dst, ciphertext, id, ok)
		if err != nil {
			return opened{}, err
		}
		return opened{DecryptResult{Plaintext: out, KeyARN: a.keys[0].arn, KeyMaterialID: m.text, Algorithm: a.req.algo[0]}, len(dst)}, nil
	})
	return res.DecryptResult, err
}

// ciphertext requires a ciphertext, which a dry run may do without if it names the key.
func (v *violations) ciphertext(ciphertext []byte, optional bool) {
	if len(ciphertext) > 0 || !optional {
		v.length("ciphertextBlob", len(ciphertext), 1, maxCiphertext)
	}
}

// source makes the first reference of a request the one that a ciphertext names, unless the caller named one. A ciphertext of an RSA key names none.
func (r *request) source(v *violations, member string, ciphertext []byte) (id keyID, p materialPrefix, ok bool) {
	if a := r.algo[0]; a != "" && a != AlgorithmSymmetricDefault {
		if r.refs[0] == "" && slices.Contains(algorithms[EncryptDecrypt], a) {
			v.add(member, "", "be given, since a ciphertext of an asymmetric key does not name it")
		}
		r.invalid = v.err()
		return keyID{}, materialPrefix{}, false
	}
	r.invalid = v.err()
	id, p, ok = messageKey(ciphertext)
	switch {
	case r.refs[0] != "" || r.invalid != nil:
	case ok:
		r.named[0], r.isNamed[0] = id, true
	default:
		r.invalid = errInvalidCiphertext // it names no key that could be asked
	}
	return id, p, ok
}

// decrypt opens the ciphertext of the first reference, which names the key id unless it is malformed.
func (a admitted) decrypt(ctx context.Context, dst, ciphertext []byte, id keyID, wellFormed bool) ([]byte, *material, error) {
	k := a.keys[0]
	switch {
	case k.pair != nil:
		return a.decryptRSA(ctx, dst, ciphertext)
	case !wellFormed:
		return nil, nil, errInvalidCiphertext
	case id != k.id:
		return nil, nil, errIncorrectKey
	}
	m, err := a.client.c.findMaterial(ctx, k, materialPrefix(ciphertext[materialIDAt:]))
	if err != nil {
		return nil, nil, err
	}
	if m == nil {
		return nil, nil, errInvalidCiphertext
	}
	a.uses(m)
	out, err := a.open(m, dst, ciphertext, 0)
	return out, m, err
}

func (a admitted) decryptRSA(ctx context.Context, dst, ciphertext []byte) ([]byte, *material, error) {
	m, err := a.client.c.currentMaterial(ctx, a.keys[0])
	if err != nil {
		return nil, nil, err
	}
	out, err := m.pair.(keypair.Decrypter).Decrypt(ciphertext, schemes[a.req.algo[0]].hash)
	if errors.Is(err, keypair.ErrDecryption) {
		return nil, nil, errInvalidCiphertext
	}
	defer clear(out)
	return append(dst, out...), m, unusable(err)
}

var opReEncrypt = operation{
	name: "ReEncrypt", across: true, crypto: true, tokens: true, params: reEncryptParams, contexts: [2]string{"sourceEncryptionContext", "destinationEncryptionContext"},
	needs: []need{
		{action: "kms:ReEncryptFrom", states: inEnabled, usage: EncryptDecrypt, made: true},
		{action: "kms:ReEncryptTo", ref: 1, states: inEnabled, usage: EncryptDecrypt},
	},
}

// A ReEncryptInput holds what is rare about a ReEncrypt.
type ReEncryptInput struct {
	SourceKey                    string // what the ciphertext must have been encrypted under; see [WithKey]
	SourceEncryptionContext      EncryptionContext
	DestinationEncryptionContext EncryptionContext
	SourceAlgorithm              Algorithm // of the source; empty for a symmetric key's
	DestinationAlgorithm         Algorithm // of the destination; empty for a symmetric key's
}

// A ReEncryptResult is what ReEncrypt returns.
type ReEncryptResult struct {
	Ciphertext               []byte
	SourceKeyARN             string
	SourceKeyMaterialID      string // empty for an RSA key
	SourceAlgorithm          Algorithm
	KeyARN                   string // of the destination
	DestinationKeyMaterialID string // empty for an RSA key
	DestinationAlgorithm     Algorithm
}

func (r ReEncryptResult) withhold() { clear(r.Ciphertext) }

// ReEncrypt decrypts a ciphertext and encrypts what it holds under the current material of another key, or of the same key, without showing it to the caller. It
// needs kms:ReEncryptFrom on the one key and kms:ReEncryptTo on the other.
func (c *Client) ReEncrypt(ctx context.Context, ciphertext []byte, destinationRef string, in ReEncryptInput) (ReEncryptResult, error) {
	req := request{refs: [2]string{in.SourceKey, destinationRef}, context: [2]EncryptionContext{in.SourceEncryptionContext, in.DestinationEncryptionContext},
		algo: [2]Algorithm{cmp.Or(in.SourceAlgorithm, AlgorithmSymmetricDefault), cmp.Or(in.DestinationAlgorithm, AlgorithmSymmetricDefault)}}
	var v violations
	v.ciphertext(ciphertext, c.dryRun && in.SourceKey != "")
	v.ref("destinationKeyId", destinationRef)
	if in.SourceKey != "" {
		v.ref("sourceKeyId", in.SourceKey)
	}
	req.checkEncryption(&v, "sourceEncryptionAlgorithm", 0)
	req.checkEncryption(&v, "destinationEncryptionAlgorithm", 1)
	id, _, ok := req.source(&v, "sourceKeyId", ciphertext)
	return do(ctx, c, &opReEncrypt, &req, func(ctx context.Context, a admitted) (ReEncryptResult, error) {
		plaintext, from, err := a.decrypt(ctx, nil, ciphertext, id, ok)
		if err != nil {
			return ReEncryptResult{}, err
		}
		defer clear(plaintext)
		out, to, err := a.encrypt(ctx, nil, plaintext, 1)
		if err != nil {
			return ReEncryptResult{}, err
		}
		return ReEncryptResult{Ciphertext: out, SourceKeyARN: a.keys[0].arn, SourceKeyMaterialID: from.text, SourceAlgorithm: a.req.algo[0],
			KeyARN: a.keys[1].arn, DestinationKeyMaterialID: to.text, DestinationAlgorithm: a.req.algo[1]}, nil
	})
}

var opNeedsReEncrypt = operation{
	name: "NeedsReEncrypt", across: true, tokens: true, params: keyParam,
	needs: []need{{action: "kms:DescribeKey", states: anyState}},
}

// NeedsReEncrypt reports whether a ciphertext was made by another material of its key than the current one, so that [Client.ReEncrypt] would move it. It decrypts
// nothing, and needs kms:DescribeKey.
func (c *Client) NeedsReEncrypt(ctx context.Context, ciphertext []byte) (bool, error) {
	var req request
	var v violations
	v.ciphertext(ciphertext, false)
	_, p, _ := req.source(&v, "keyId", ciphertext)
	return do(ctx, c, &opNeedsReEncrypt, &req, func(ctx context.Context, a admitted) (bool, error) {
		return a.keys[0].current.prefix() != p, nil
	})
}

const maxRandom = 1024

var opGenerateRandom = operation{
	name: "GenerateRandom", crypto: true,
	needs: []need{{action: "kms:GenerateRandom", on: onAccount}},
	params: func(r *request, e *audit.Event) {
		e.Request = append(e.Request, slog.Int("numberOfBytes", r.number))
	},
}

// GenerateRandom returns 1 to 1024 random bytes.
func (c *Client) GenerateRandom(ctx context.Context, numberOfBytes int) ([]byte, error) {
	req := &request{number: numberOfBytes}
	var v violations
	v.between("numberOfBytes", numberOfBytes, 1, maxRandom)
	req.invalid = v.err()
	out, err := do(ctx, c, &opGenerateRandom, req, func(_ context.Context, a admitted) (randomBytes, error) {
		b := make(randomBytes, a.req.number)
		rand.Read(b)
		return b, nil
	})
	return out, err
}

type randomBytes []byte

func (b randomBytes) withhold() { clear(b) }
