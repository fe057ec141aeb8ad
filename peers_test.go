package kms

import (
	"bytes"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/claviger/kms/internal/peers"
	"github.com/claviger/kms/keystore/memory"
)

// What keys do is held against other implementations, both ways, for every key spec, usage, algorithm and message type that there is: the table of specifications leads,
// and what has no other implementation fails. forbidden_test.go tries what remains.

// A combination is one way to use a key.
type combination struct {
	spec      KeySpec
	usage     KeyUsage
	algorithm Algorithm
	message   MessageType // "" where there is none
}

func (c combination) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s %s %s", c.spec, c.usage, c.algorithm, c.message), " ")
}

// kinds are the types of message that an algorithm takes, or one that is none.
func kinds(a Algorithm) (all []MessageType) {
	for _, kind := range messageTypes {
		if _, ok := schemes[a].messages[kind]; ok {
			all = append(all, kind)
		}
	}
	if all == nil {
		return []MessageType{""}
	}
	return all
}

// combinations are all ways to use keys of a spec and usage.
func (s *specification) combinations(usage KeyUsage) (all []combination) {
	for _, a := range s.usages[usage] {
		for _, kind := range kinds(a) {
			all = append(all, combination{s.name, usage, a, kind})
		}
	}
	return all
}

// refusesHere is what this program answers to a use of a key, if it is confined, and that is outside; else "".
func refusesHere(spec KeySpec, a Algorithm) string {
	if !isConfined(spec, a) {
		return ""
	}
	return refusalOf(spec, a)
}

// must returns a value that came without an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// An exhibit is a key of one spec and usage.
type exhibit struct {
	*specification
	usage KeyUsage
	arn   string
	id    keyID
}

// A collection is a ring with a key of every spec and usage, and a symmetric one beside them.
type collection struct {
	ring     *Keyring
	store    *countingStore
	sink     *faultySink
	exhibits []*exhibit
	other    string // the ARN of the symmetric key
}

// newCollection makes a key of every spec and usage. What cannot be made must be what this program is kept from, if it is confined; it is then made as another program
// could have made it.
func newCollection(t *testing.T) *collection {
	t.Helper()
	useReadyKeys(t)
	x := &collection{store: &countingStore{Store: memory.New()}, sink: new(faultySink)}
	x.ring = must(Open(t.Context(), Config{Store: x.store, Root: must(newEphemeralRoot())(t), Audit: x.sink, AccountID: "111122223333", Region: "eu-central-1"}))(t)
	t.Cleanup(func() { _ = x.ring.Close() })
	x.other = must(x.ring.CreateKey(t.Context(), CreateKeyInput{}))(t).ARN
	for _, s := range specifications {
		for _, usage := range keyUsages {
			if _, ok := s.usages[usage]; !ok || s.name == SM2 {
				continue
			}
			in := CreateKeyInput{KeySpec: s.name, KeyUsage: usage}
			meta, err := x.ring.CreateKey(t.Context(), in)
			if refusal := refusesHere(s.name, ""); refusal != "" {
				refused(t, fmt.Sprintf("CreateKey of %s %s", s.name, usage), err, ErrUnsupportedOperation, refusal)
				fips140.WithoutEnforcement(func() { meta, err = x.ring.CreateKey(t.Context(), in) })
			}
			if err != nil {
				t.Fatalf("%s %s: %v", s.name, usage, err)
			}
			id, _ := parseKeyID(meta.KeyID)
			x.exhibits = append(x.exhibits, &exhibit{specification: s, usage: usage, arn: meta.ARN, id: id})
		}
	}
	return x
}

// refused requires an error with a code, and with all that it says.
func refused(t *testing.T, what string, err error, code Code, message string) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != code || e.Message != message {
		t.Errorf("%s: %v, want %s: %s", what, err, code, message)
	}
}

// secret is what never leaves the ring: the bytes of a key, or its private key in PKCS#8.
func (x *collection) secret(t *testing.T, k *exhibit) (raw []byte) {
	t.Helper()
	at, _ := x.ring.c.clock.read()
	m := must(x.ring.c.currentMaterial(t.Context(), must(x.ring.c.load(t.Context(), k.id, at))(t)))(t)
	if m.pair != nil {
		return must(m.pair.MarshalPKCS8())(t)
	}
	if err := m.secret.Use(func(b []byte) error { raw = bytes.Clone(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return raw
}

// An exchange is an exhibit in the hands of the ring and of its peers.
type exchange struct {
	*collection
	*exhibit
	*peers.Peers
	t       *testing.T
	private []byte // PKCS#8, or the bytes
	public  []byte // SubjectPublicKeyInfo; nil if there is none

	toPeers, fromPeers map[combination]int // what the others took of the ring's, and the ring of theirs
}

// randomly is so many random bytes.
func randomly(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// otherThan is b with another bit.
func otherThan(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 4
	return b
}

// tookPeer requires that a peer has made of the ring's what it should.
func (x *exchange) tookPeer(c combination, peer, what string, got, want []byte, err error) {
	x.t.Helper()
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes, which are not the %d of the ring", len(got), len(want))
	}
	if err != nil {
		x.t.Errorf("%v: %s, %s: %v", c, peer, what, err)
		return
	}
	x.toPeers[c]++
}

// tookRing requires that the ring has made of a peer's what it should.
func (x *exchange) tookRing(c combination, peer, what string, got, want []byte, err error) {
	x.t.Helper()
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes, which are not the %d of the other", len(got), len(want))
	}
	if err != nil {
		x.t.Errorf("%v: the ring, %s of %s: %v", c, what, peer, err)
		return
	}
	x.fromPeers[c]++
}

// wants requires an error with a code, for what must not be taken.
func (x *exchange) wants(c combination, what string, err error, code Code) {
	x.t.Helper()
	if !errors.Is(err, code) {
		x.t.Errorf("%v: %s: %v, want %s", c, what, err, code)
	}
}

// usageChecks hold what keys of a usage do against the peers. A check returns how many peers there were.
var usageChecks = map[KeyUsage]func(*exchange, combination) int{
	EncryptDecrypt: (*exchange).encryption, SignVerify: (*exchange).signing, GenerateVerifyMac: (*exchange).authentication, KeyAgreement: (*exchange).agreement,
	EncapsulateDecapsulate: (*exchange).encapsulation,
}

// form is a message as it is given to be signed.
func (x *exchange) form(a Algorithm, kind MessageType, message []byte) Message {
	x.t.Helper()
	switch kind {
	case MessageRaw:
		return Raw(message)
	case MessageDigest:
		switch a {
		case AlgorithmRSASSAPSSSHA256, AlgorithmRSASSAPKCS1V15SHA256, AlgorithmECDSASHA256:
			sum := sha256.Sum256(message)
			return Digest(sum[:])
		case AlgorithmRSASSAPSSSHA384, AlgorithmRSASSAPKCS1V15SHA384, AlgorithmECDSASHA384:
			sum := sha512.Sum384(message)
			return Digest(sum[:])
		case AlgorithmRSASSAPSSSHA512, AlgorithmRSASSAPKCS1V15SHA512, AlgorithmECDSASHA512, AlgorithmED25519PHSHA512:
			sum := sha512.Sum512(message)
			return Digest(sum[:])
		}
	case MessageExternalMu:
		return ExternalMu(must(peers.Mu(string(x.name), x.public, message))(x.t))
	}
	x.t.Fatalf("nobody knows what a %s of %s is", kind, a)
	return Message{}
}

func (x *exchange) signing(c combination) int {
	ctx := x.t.Context()
	message := randomly(maxMessage)
	signers := x.Signers(string(c.spec), string(c.algorithm), string(c.message))
	if len(signers) == 0 {
		return 0
	}
	made := must(x.ring.Sign(ctx, x.arn, x.form(c.algorithm, c.message, message), c.algorithm))(x.t)
	for _, kind := range kinds(c.algorithm) { // a message that was signed in one form verifies in the others
		for _, peer := range x.Signers(string(c.spec), string(c.algorithm), string(kind)) {
			ok, err := peer.Verify(x.public, x.form(c.algorithm, kind, message).Bytes, made.Signature)
			if !ok && err == nil {
				err = errors.New("the signature is none")
			}
			x.tookPeer(c, peer.Name, "verifying it as "+string(kind), nil, nil, err)
			if ok, err := peer.Verify(x.public, otherThan(x.form(c.algorithm, kind, message).Bytes), made.Signature); ok || err != nil {
				x.t.Errorf("%v: %s, verifying it of another %s: %v, %v", c, peer.Name, kind, ok, err)
			}
		}
	}
	for _, peer := range signers {
		signature := must(peer.Sign(x.private, x.form(c.algorithm, c.message, message).Bytes))(x.t)
		x.verifies(c, peer.Name, message, signature)
		if order, ok := orders[c.spec]; ok { // the other s of the same r is as good (FIPS 186-5, section 6.4.2), so that signers choose between them
			var parts struct{ R, S *big.Int }
			must(asn1.Unmarshal(signature, &parts))(x.t)
			parts.S.Sub(order, parts.S)
			x.verifies(c, peer.Name+"'s other half", message, must(asn1.Marshal(parts))(x.t))
		}
	}
	return len(signers)
}

var orders = map[KeySpec]*big.Int{ECCNISTP256: elliptic.P256().Params().N, ECCNISTP384: elliptic.P384().Params().N, ECCNISTP521: elliptic.P521().Params().N,
	ECCSECGP256K1: secp256k1.Params().N}

// verifies requires that the ring verifies a signature in every form of its message, but no other message, no other signature, and by no other algorithm.
func (x *exchange) verifies(c combination, signer string, message, signature []byte) {
	x.t.Helper()
	ctx := x.t.Context()
	for _, a := range x.usages[c.usage] {
		for _, kind := range kinds(a) {
			form := x.form(a, kind, message)
			_, err := x.ring.Verify(ctx, x.arn, form, signature, a)
			if a != c.algorithm {
				x.wants(c, fmt.Sprintf("Verify of %s's signature by %s as %s", signer, a, kind), err, ErrInvalidSignature)
				continue
			}
			x.tookRing(c, signer, "verifying as "+string(kind), nil, nil, err)
			x.wants(c, "Verify of another message", drop(x.ring.Verify(ctx, x.arn, Message{kind, otherThan(form.Bytes)}, signature, a)), ErrInvalidSignature)
			x.wants(c, "Verify of another signature", drop(x.ring.Verify(ctx, x.arn, form, otherThan(signature), a)), ErrInvalidSignature)
		}
	}
}

func (x *exchange) authentication(c combination) int {
	ctx := x.t.Context()
	all := x.Authenticators(string(c.algorithm))
	for _, peer := range all {
		for _, n := range []int{1, maxMessage} {
			message := randomly(n)
			made := must(x.ring.GenerateMac(ctx, x.arn, message, c.algorithm))(x.t)
			sum, err := peer.MAC(x.private, message)
			x.tookPeer(c, peer.Name, "computing the MAC", sum, made.Mac, err)
			message = randomly(n)
			sum = must(peer.MAC(x.private, message))(x.t)
			x.tookRing(c, peer.Name, "verifying the MAC", nil, nil, drop(x.ring.VerifyMac(ctx, x.arn, message, sum, c.algorithm)))
			x.wants(c, "VerifyMac of another message", drop(x.ring.VerifyMac(ctx, x.arn, otherThan(message), sum, c.algorithm)), ErrInvalidMac)
			x.wants(c, "VerifyMac of a shorter MAC", drop(x.ring.VerifyMac(ctx, x.arn, message, sum[:len(sum)-1], c.algorithm)), ErrInvalidMac)
		}
	}
	return len(all)
}

func (x *exchange) agreement(c combination) int {
	ctx := x.t.Context()
	all := x.Agreers(string(c.spec), string(c.algorithm))
	for _, peer := range all {
		private, public, err := peer.Generate()
		if err != nil {
			x.t.Fatal(err)
		}
		made := must(x.ring.DeriveSharedSecret(ctx, x.arn, public))(x.t).Secret()
		secret, err := peer.Agree(private, x.public)
		x.tookPeer(c, peer.Name, "agreeing with the ring's public key", secret, made, err)
		secret, err = peer.Agree(x.private, public)
		x.tookRing(c, peer.Name, "agreeing with the public key", made, secret, err)
	}
	return len(all)
}

func (x *exchange) encapsulation(c combination) int {
	ctx := x.t.Context()
	all := x.Encapsulators(string(c.spec), string(c.algorithm))
	for _, peer := range all {
		made := must(x.ring.Encapsulate(ctx, x.arn))(x.t)
		secret, err := peer.Decapsulate(x.private, made.Ciphertext)
		x.tookPeer(c, peer.Name, "decapsulating", secret, made.Secret(), err)
		secret, ciphertext, err := peer.Encapsulate(x.public)
		got, notTaken := x.ring.Decapsulate(ctx, x.arn, ciphertext)
		x.tookRing(c, peer.Name, "decapsulating", got.Secret(), secret, errors.Join(err, notTaken))

		// A ciphertext of nobody's holds a secret that only the private key gives, and both must give the same.
		altered := otherThan(ciphertext)
		rejected, err := peer.Decapsulate(x.private, altered)
		got, notTaken = x.ring.Decapsulate(ctx, x.arn, altered)
		x.tookRing(c, peer.Name, "rejecting", got.Secret(), rejected, errors.Join(err, notTaken))
		if bytes.Equal(rejected, secret) {
			x.t.Errorf("%v: an altered ciphertext holds the same secret", c)
		}
	}
	return len(all)
}

func (x *exchange) encryption(c combination) int {
	if x.pair == nil {
		return x.sealing(c)
	}
	ctx := x.t.Context()
	all := x.Ciphers(string(c.algorithm))
	by := WithAlgorithm(c.algorithm)
	for _, peer := range all {
		for _, n := range []int{1, x.modulus - 2*schemes[c.algorithm].hash.Size() - 2} {
			plaintext := randomly(n)
			made := must(x.ring.Encrypt(ctx, x.arn, plaintext, nil, by))(x.t).Ciphertext
			got, err := peer.Decrypt(x.private, made)
			x.tookPeer(c, peer.Name, "decrypting", got, plaintext, err)
			theirs := must(peer.Encrypt(x.public, plaintext))(x.t)
			res, err := x.ring.Decrypt(ctx, theirs, nil, WithKey(x.arn), by)
			x.tookRing(c, peer.Name, "decrypting", res.Plaintext, plaintext, err)
			_, err = x.ring.Decrypt(ctx, otherThan(theirs), nil, WithKey(x.arn), by)
			x.wants(c, "Decrypt of another ciphertext", err, ErrInvalidCiphertext)
			for _, a := range x.usages[c.usage] {
				if a != c.algorithm && refusesHere(x.name, a) == "" {
					_, err := x.ring.Decrypt(ctx, theirs, nil, WithKey(x.arn), WithAlgorithm(a))
					x.wants(c, "Decrypt by "+string(a), err, ErrInvalidCiphertext)
				}
			}

			// Through another key, and back.
			moved, err := x.ring.ReEncrypt(ctx, theirs, x.other, ReEncryptInput{SourceKey: x.arn, SourceAlgorithm: c.algorithm})
			if err == nil {
				moved, err = x.ring.ReEncrypt(ctx, moved.Ciphertext, x.arn, ReEncryptInput{DestinationAlgorithm: c.algorithm})
			}
			if err != nil {
				x.t.Errorf("%v: ReEncrypt: %v", c, err)
				continue
			}
			got, err = peer.Decrypt(x.private, moved.Ciphertext)
			x.tookPeer(c, peer.Name, "decrypting what was encrypted twice more", got, plaintext, err)
		}
	}
	return len(all)
}

func (x *exchange) sealing(c combination) int {
	ctx := x.t.Context()
	all := x.Sealers(string(c.algorithm))
	for _, peer := range all {
		open := func(message []byte, ec EncryptionContext) ([]byte, error) {
			return peer.Open(x.private, x.id.String(), message, ec)
		}
		several := EncryptionContext{"ü": "", "A": "1", "a": "ü", "ab": strings.Repeat("x", 300), "\uffff": "\U00010000", "\U00010000": "\uffff"}
		for _, ec := range []EncryptionContext{nil, {"name": "value"}, several} {
			other := maps.Clone(ec)
			if other == nil {
				other = EncryptionContext{}
			}
			other["one"] = "more"
			for _, n := range []int{1, maxPlaintext} {
				plaintext := randomly(n)
				made := must(x.ring.Encrypt(ctx, x.arn, plaintext, ec))(x.t).Ciphertext
				got, err := open(made, ec)
				x.tookPeer(c, peer.Name, "decrypting", got, plaintext, err)
				if _, err := open(made, other); err == nil {
					x.t.Errorf("%v: %s decrypts with another context", c, peer.Name)
				}
				theirs := must(peer.Seal(x.private, x.id.String(), plaintext, ec))(x.t)
				res, err := x.ring.Decrypt(ctx, theirs, ec)
				x.tookRing(c, peer.Name, "decrypting", res.Plaintext, plaintext, err)
				_, err = x.ring.Decrypt(ctx, theirs, other)
				x.wants(c, "Decrypt with another context", err, ErrInvalidCiphertext)
				_, err = x.ring.Decrypt(ctx, otherThan(theirs), ec)
				x.wants(c, "Decrypt of another ciphertext", err, ErrInvalidCiphertext)
				moved := must(x.ring.ReEncrypt(ctx, theirs, x.arn, ReEncryptInput{SourceEncryptionContext: ec, DestinationEncryptionContext: other}))(x.t)
				got, err = open(moved.Ciphertext, other)
				x.tookPeer(c, peer.Name, "decrypting what was encrypted again", got, plaintext, err)
			}
			for _, spec := range []DataKeySpec{AES128, AES256, RandomBytes(1), RandomBytes(maxRandom)} {
				key := must(x.ring.GenerateDataKey(ctx, x.arn, spec, ec))(x.t)
				got, err := open(key.Ciphertext, ec)
				x.tookPeer(c, peer.Name, "decrypting a data key", got, key.Plaintext(), err)
				hidden := must(x.ring.GenerateDataKeyWithoutPlaintext(ctx, x.arn, spec, ec))(x.t)
				got, err = open(hidden.Ciphertext, ec)
				res := must(x.ring.Decrypt(ctx, hidden.Ciphertext, ec))(x.t)
				x.tookPeer(c, peer.Name, "decrypting a data key that nobody saw", got, res.Plaintext, err)
				if len(got) != spec.length {
					x.t.Errorf("%v: a data key of %v has %d bytes", c, spec, len(got))
				}
			}
		}
	}
	return len(all)
}

// TestPeers: for every key spec, usage, algorithm and message type, what the ring makes other implementations take, and what they make the ring takes.
func TestPeers(t *testing.T) {
	others := peers.New(t)
	x := newCollection(t)
	toPeers, fromPeers := map[combination]int{}, map[combination]int{}
	ways, refusals := 0, 0
	for _, k := range x.exhibits {
		t.Run(string(k.name)+" "+string(k.usage), func(t *testing.T) {
			x.describe(t, k)
			e := &exchange{x, k, others, t, nil, nil, toPeers, fromPeers}
			e.private = x.secret(t, k)
			if k.pair != nil && refusesHere(k.name, "") == "" {
				e.public = must(x.ring.GetPublicKey(t.Context(), k.arn))(t).DER
			}
			for _, c := range k.combinations(k.usage) {
				ways++
				if message := refusesHere(c.spec, c.algorithm); message != "" {
					refusals++
					x.refusesAll(t, k, c, message)
					continue
				}
				check, ok := usageChecks[c.usage]
				if !ok || check(e, c) == 0 {
					t.Errorf("%v is not held against another implementation", c)
				}
				if toPeers[c] == 0 || fromPeers[c] == 0 {
					t.Errorf("%v: others took %d of the ring's, and the ring %d of theirs", c, toPeers[c], fromPeers[c])
				}
			}
		})
	}
	if ways != allCombinations || len(toPeers) != ways-refusals || len(fromPeers) != ways-refusals {
		t.Errorf("%d combinations, of which %d were refused, %d went to others and %d came from them; want %d", ways, refusals, len(toPeers), len(fromPeers), allCombinations)
	}
	t.Logf("%d combinations: %d times others took what the ring made, %d times the ring took what they made; %d combinations refused in a confined program",
		ways, total(toPeers), total(fromPeers), refusals)
}

// allCombinations is how many there are: 1 symmetric, 6 of RSA to encrypt and 36 to sign, 8 of ECDSA, 2 of Ed25519, 6 of ML-DSA, 3 of ECDH, 3 of ML-KEM and 4 of HMAC.
const allCombinations = 69

func total(counts map[combination]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// describe requires that a key is described as what it is.
func (x *collection) describe(t *testing.T, k *exhibit) {
	t.Helper()
	meta := must(x.ring.DescribeKey(t.Context(), k.arn))(t)
	lists := map[KeyUsage][]Algorithm{EncryptDecrypt: meta.EncryptionAlgorithms, SignVerify: meta.SigningAlgorithms, GenerateVerifyMac: meta.MacAlgorithms,
		KeyAgreement: meta.KeyAgreementAlgorithms, EncapsulateDecapsulate: meta.EncapsulationAlgorithms}
	for usage, list := range lists {
		want := k.usages[usage]
		if usage != k.usage {
			want = nil
		}
		if !slices.Equal(list, want) {
			t.Errorf("a key of %s for %s: for %s it has the algorithms %v, want %v", k.name, k.usage, usage, list, want)
		}
	}
	if meta.KeySpec != k.name || meta.KeyUsage != k.usage {
		t.Errorf("a key of %s for %s is one of %s for %s", k.name, k.usage, meta.KeySpec, meta.KeyUsage)
	}
	if k.pair == nil || refusesHere(k.name, "") != "" {
		return
	}
	public := must(x.ring.GetPublicKey(t.Context(), k.arn))(t)
	if _, list := public.list(k.usage); public.KeySpec != k.name || public.KeyUsage != k.usage || !slices.Equal(*list, k.usages[k.usage]) {
		t.Errorf("the public key of a key of %s for %s is one of %s for %s with %v", k.name, k.usage, public.KeySpec, public.KeyUsage, *list)
	}
}

// TestPeersOfDataKeyPairs: other implementations read and use both halves of data key pairs of every spec, in every way that the spec has.
func TestPeersOfDataKeyPairs(t *testing.T) {
	others := peers.New(t)
	x := newCollection(t)
	ec := EncryptionContext{"for": "peers"}
	made, used := 0, map[combination]int{}
	for _, s := range specifications {
		if !s.dataKeys || s.name == SM2 {
			continue
		}
		t.Run(string(s.name), func(t *testing.T) {
			pair, err := x.ring.GenerateDataKeyPair(t.Context(), x.other, s.name, ec)
			hidden, hiddenErr := x.ring.GenerateDataKeyPairWithoutPlaintext(t.Context(), x.other, s.name, ec)
			if message := refusesHere(s.name, ""); message != "" {
				refused(t, "GenerateDataKeyPair", err, ErrUnsupportedOperation, message)
				refused(t, "GenerateDataKeyPairWithoutPlaintext", hiddenErr, ErrUnsupportedOperation, message)
				return
			}
			opened := must(x.ring.Decrypt(t.Context(), must(pair.PrivateKeyCiphertext, err)(t), ec))(t)
			if !bytes.Equal(opened.Plaintext, pair.PrivateKey()) {
				t.Error("Decrypt gives another private key")
			}
			revealed := must(x.ring.Decrypt(t.Context(), must(hidden.PrivateKeyCiphertext, hiddenErr)(t), ec))(t)
			for _, keys := range [][2][]byte{{pair.PrivateKey(), pair.PublicKey}, {revealed.Plaintext, hidden.PublicKey}} {
				made++
				for usage := range s.usages {
					for _, c := range s.combinations(usage) {
						n := x.usesPair(t, others, c, keys[0], keys[1])
						if n == 0 {
							t.Errorf("%v is not held against another implementation", c)
						}
						used[c] += n
					}
				}
			}
		})
	}
	want := 22 // of 11 specs, with the private key and without
	if fips140.Enforced() {
		want = 18
	}
	if made != want {
		t.Errorf("%d data key pairs, want %d", made, want)
	}
	t.Logf("%d data key pairs were used %d times in %d ways", made, total(used), len(used))
}

// usesPair has the peers use both halves of a key pair, and returns how often they did.
func (x *collection) usesPair(t *testing.T, others *peers.Peers, c combination, private, public []byte) (n int) {
	t.Helper()
	spec, algorithm := string(c.spec), string(c.algorithm)
	switch c.usage {
	case SignVerify:
		length := schemes[c.algorithm].messages[c.message].length
		if length == 0 {
			length = 100
		}
		message := randomly(length)
		for _, peer := range others.Signers(spec, algorithm, string(c.message)) {
			signature := must(peer.Sign(private, message))(t)
			if ok, err := peer.Verify(public, message, signature); !ok || err != nil {
				t.Errorf("%v: %s signs with the private key and does not verify with the public one: %v", c, peer.Name, err)
			}
			n++
		}
	case EncryptDecrypt:
		plaintext := randomly(100)
		for _, peer := range others.Ciphers(algorithm) {
			if got, err := peer.Decrypt(private, must(peer.Encrypt(public, plaintext))(t)); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%v: %s encrypts with the public key and does not decrypt with the private one: %v", c, peer.Name, err)
			}
			n++
		}
	case KeyAgreement:
		i := slices.IndexFunc(x.exhibits, func(k *exhibit) bool { return k.name == c.spec && k.usage == c.usage })
		key := must(x.ring.GetPublicKey(t.Context(), x.exhibits[i].arn))(t)
		secret := must(x.ring.DeriveSharedSecret(t.Context(), key.KeyARN, public))(t)
		for _, peer := range others.Agreers(spec, algorithm) {
			if got, err := peer.Agree(private, key.DER); err != nil || !bytes.Equal(got, secret.Secret()) {
				t.Errorf("%v: %s agrees with a key of the ring on another secret: %v", c, peer.Name, err)
			}
			n++
		}
	case EncapsulateDecapsulate:
		all := others.Encapsulators(spec, algorithm)
		for _, one := range all {
			secret, ciphertext, err := one.Encapsulate(public)
			if err != nil {
				t.Fatal(err)
			}
			for _, peer := range all {
				if got, err := peer.Decapsulate(private, ciphertext); err != nil || !bytes.Equal(got, secret) {
					t.Errorf("%v: %s does not find the secret of %s: %v", c, peer.Name, one.Name, err)
				}
				n++
			}
		}
	}
	return n
}
