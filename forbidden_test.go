package kms

import (
	"cmp"
	"context"
	"crypto/fips140"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/keystore"
)

// Everything that keys must refuse is tried, as the tables of specifications and operations have it: each operation with keys of every other usage and by every other
// algorithm, and so on. A refusal is one error with AWS KMS's code and words, one record of it, and nothing else.

// A countingStore counts commits.
type countingStore struct {
	keystore.Store
	commits atomic.Int64
}

func (s *countingStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	s.commits.Add(1)
	return s.Store.Commit(ctx, changes)
}

// A sample is what a use is tried with: something that would do for some key.
type sample struct {
	other      string // the ARN of a symmetric key
	ciphertext []byte // of that key
	algorithm  Algorithm
	message    Message
	publicKey  []byte
}

// A use is an operation that takes keys of some kind only, by one of its needs.
type use struct {
	op   *operation
	need int
	call func(c *Client, ctx context.Context, ref string, s sample) (any, error)
}

var uses = []use{
	{&opEncrypt, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.Encrypt(ctx, ref, []byte("plaintext"), nil, WithAlgorithm(s.algorithm))
	}},
	{&opDecrypt, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.Decrypt(ctx, s.ciphertext, nil, WithKey(ref), WithAlgorithm(s.algorithm))
	}},
	{&opReEncrypt, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.ReEncrypt(ctx, s.ciphertext, s.other, ReEncryptInput{SourceKey: ref, SourceAlgorithm: s.algorithm})
	}},
	{&opReEncrypt, 1, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.ReEncrypt(ctx, s.ciphertext, ref, ReEncryptInput{DestinationAlgorithm: s.algorithm})
	}},
	{&opGenerateDataKey, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.GenerateDataKey(ctx, ref, AES256, nil)
	}},
	{&opGenerateDataKeyWithoutPlaintext, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.GenerateDataKeyWithoutPlaintext(ctx, ref, AES256, nil)
	}},
	{&opGenerateDataKeyPair, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.GenerateDataKeyPair(ctx, ref, ECCNISTP256, nil)
	}},
	{&opGenerateDataKeyPairWithoutPlaintext, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.GenerateDataKeyPairWithoutPlaintext(ctx, ref, ECCNISTP256, nil)
	}},
	{&opSign, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.Sign(ctx, ref, s.message, s.algorithm)
	}},
	{&opVerify, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.Verify(ctx, ref, s.message, []byte("signature"), s.algorithm)
	}},
	{&opGenerateMac, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.GenerateMac(ctx, ref, s.message.Bytes, s.algorithm)
	}},
	{&opVerifyMac, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.VerifyMac(ctx, ref, s.message.Bytes, []byte("mac"), s.algorithm)
	}},
	{&opDeriveSharedSecret, 0, func(c *Client, ctx context.Context, ref string, s sample) (any, error) {
		return c.DeriveSharedSecret(ctx, ref, s.publicKey)
	}},
	{&opEncapsulate, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.Encapsulate(ctx, ref)
	}},
	{&opDecapsulate, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.Decapsulate(ctx, ref, make([]byte, 768))
	}},
	{&opGetPublicKey, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.GetPublicKey(ctx, ref)
	}},
	{&opEnableKeyRotation, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return none(c.EnableKeyRotation(ctx, ref, 0))
	}},
	{&opDisableKeyRotation, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return none(c.DisableKeyRotation(ctx, ref))
	}},
	{&opRotateKeyOnDemand, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.RotateKeyOnDemand(ctx, ref)
	}},
	{&opListKeyRotations, 0, func(c *Client, ctx context.Context, ref string, _ sample) (any, error) {
		return c.ListKeyRotationsPage(ctx, ref, ListKeyRotationsInput{}, PageInput{})
	}},
}

func (u *use) asks() *need { return &u.op.needs[u.need] }

// algorithms are those that a use can name; the operation's own, if it names none, and "" if it goes by none.
func (u *use) algorithms() []Algorithm {
	if n := u.asks(); n.usage == "" || n.algorithm != "" {
		return []Algorithm{n.algorithm}
	}
	return algorithms[u.asks().usage]
}

// TestUses: every operation with a need that some kinds of keys do not meet has a use for it.
func TestUses(t *testing.T) {
	known := map[*need]int{}
	for i := range uses {
		known[uses[i].asks()]++
	}
	for _, op := range operations {
		for i := range op.needs {
			n := &op.needs[i]
			if wanted := n.usage != "" || n.asymmetric || n.rotatable; wanted != (known[n] == 1) {
				t.Errorf("%s, need %d: %d uses", op.name, i, known[n])
			}
		}
	}
}

// messageOf is a message of a type, as an algorithm takes it, if it does.
func messageOf(a Algorithm, kind MessageType) Message {
	return Message{kind, make([]byte, cmp.Or(schemes[a].messages[kind].length, 32))}
}

// An attempt is the collection in the hands of somebody who may do everything, and tries what nobody can.
type attempt struct {
	*collection
	t      *testing.T
	sample sample
	tried  map[string]int // by what was wrong
}

// A refusal is the answer that is wanted.
type refusal struct {
	code    Code
	message string
	part    bool // message is a part of what is said
	late    bool // by the work itself, which a dry run does not come to
}

// refuses makes a call, with a dry run and without, which must do nothing but to answer a refusal, and to leave a record of that.
func (x *attempt) refuses(sort, op string, want refusal, call func(*Client) (any, error)) {
	x.t.Helper()
	for _, client := range []*Client{x.ring.root, x.ring.DryRun()} {
		x.tried[sort]++
		x.sink.Reset()
		commits := x.store.commits.Load()
		res, err := call(client)
		want := want
		if want.late && client.dryRun {
			want = refusal{code: ErrDryRun, message: "The request would have succeeded, but the DryRun option is set."}
		}
		e, ok := err.(*Error)
		if !ok || e.Code != want.code || e.Op != op || !want.part && e.Message != want.message || want.part && !strings.Contains(e.Message, want.message) {
			x.t.Errorf("%s: %s answers %v, want %s: %s", sort, op, err, want.code, want.message)
		}
		if res != nil && !reflect.ValueOf(res).IsZero() {
			x.t.Errorf("%s: %s, and yet a result: %T", sort, want.message, res)
		}
		if n := x.store.commits.Load(); n != commits {
			x.t.Errorf("%s: %s, and yet %d commits", sort, want.message, n-commits)
		}
		if used := x.ring.c.usages.take(); len(used) != 0 {
			x.t.Errorf("%s: %s, and yet %d uses are noted", sort, want.message, len(used))
		}
		if events := x.sink.Events(); len(events) != 1 || events[0].Name != op || events[0].ErrorCode != string(want.code) || len(events[0].Response) != 0 {
			x.t.Errorf("%s: %s leaves %d records: %+v", sort, want.message, len(events), events)
		}
	}
}

// used is refuses of one use of a key.
func (x *attempt) used(sort string, u *use, ref string, a Algorithm, m Message, want refusal) {
	x.t.Helper()
	s := x.sample
	s.algorithm, s.message = a, m
	x.refuses(sort, u.op.name, want, func(c *Client) (any, error) { return u.call(c, x.t.Context(), ref, s) })
}

// refusesAll requires that nothing can be done with a key in a way that this program is kept from, and says so.
func (x *collection) refusesAll(t *testing.T, k *exhibit, c combination, message string) {
	t.Helper()
	tries := newAttempt(t, x)
	for i := range uses {
		u := &uses[i]
		if n := u.asks(); n.usage == c.usage && slices.Contains(u.algorithms(), c.algorithm) ||
			n.asymmetric && refusesHere(c.spec, "") != "" {
			tries.sample.publicKey = x.publicKey(t, k)
			tries.used(c.String(), u, k.arn, c.algorithm, messageOf(c.algorithm, c.message), refusal{code: ErrUnsupportedOperation, message: message})
		}
	}
	if tries.tried[c.String()] == 0 {
		t.Errorf("%v: nothing was tried", c)
	}
}

func newAttempt(t *testing.T, x *collection) *attempt {
	t.Helper()
	a := &attempt{collection: x, t: t, tried: map[string]int{}, sample: sample{other: x.other}}
	a.sample.ciphertext = must(x.ring.Encrypt(t.Context(), x.other, []byte("plaintext"), nil))(t).Ciphertext
	a.sample.publicKey = []byte("a public key")
	x.ring.c.usages.take()
	return a
}

// publicKey is the public half of a key, whatever this program may do with it.
func (x *collection) publicKey(t *testing.T, k *exhibit) []byte {
	t.Helper()
	pair := must(k.pair.ParsePrivate(x.secret(t, k)))(t)
	return must(pair.Public().MarshalSPKI())(t)
}

// snapshot is everything that the store holds.
func (x *collection) snapshot(t *testing.T) map[string]keystore.Revision {
	t.Helper()
	all := map[string]keystore.Revision{}
	for item, err := range keystore.Walk(t.Context(), x.store, "") {
		all[must(item, err)(t).Name] = item.Revision
	}
	return all
}

func TestForbidden(t *testing.T) {
	c := newCollection(t)
	x := newAttempt(t, c)
	before := c.snapshot(t)
	ctx := t.Context()

	for _, s := range specifications {
		for _, usage := range keyUsages {
			sort, want := "spec and usage", refusal{code: ErrValidation, message: fmt.Sprintf("KeyUsage %s is not compatible with KeySpec %s", usage, s.name)}
			if _, ok := s.usages[usage]; ok {
				if s.name != SM2 {
					continue // newCollection has made it
				}
				sort, want = "SM2", refusal{code: ErrUnsupportedOperation, message: "Key spec SM2 is not supported."}
			}
			x.refuses(sort, "CreateKey", want, func(c *Client) (any, error) {
				return c.CreateKey(ctx, CreateKeyInput{KeySpec: s.name, KeyUsage: usage})
			})
		}
		if s.name != SymmetricDefault {
			want := refusal{code: ErrValidation, message: "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."}
			x.refuses("no usage", "CreateKey", want, func(c *Client) (any, error) { return c.CreateKey(ctx, CreateKeyInput{KeySpec: s.name}) })
		}
	}
	x.pairs()
	for i := range uses {
		u := &uses[i]
		for _, k := range c.exhibits {
			x.keys(u, k)
		}
	}
	for _, k := range c.exhibits {
		switch {
		case k.usage == KeyAgreement:
			x.strangers(k)
		case k.usage == EncryptDecrypt && k.pair != nil:
			x.rsa(k)
		case k.usage == EncapsulateDecapsulate:
			x.ciphertexts(k)
		}
		if k.kind != symmetricKind {
			if status := must(c.ring.GetKeyRotationStatus(ctx, k.arn))(t); status.KeyRotationEnabled {
				t.Errorf("a key of %s rotates", k.name)
			}
		}
	}
	if after := c.snapshot(t); !maps.Equal(before, after) {
		t.Error("the store has changed")
	}
	for _, sort := range slices.Sorted(maps.Keys(x.tried)) {
		t.Logf("%-28s %5d tries", sort, x.tried[sort])
	}
	if fips140.Enforced() {
		x.tried["data key pair spec"] -= 8 // of secp256k1 and ML-KEM-512, which only a confined program refuses
	}
	if want := map[string]int{"spec and usage": 144, "no usage": 38, "SM2": 6, "data key pair spec": 36, "usage": 2652, "algorithm and spec": 992,
		"algorithm of another usage": 1352, "message type": 116, "length of a digest": 1248, "kind of key": 202, "public key of another spec": 108, "context with RSA": 48, "RSA ciphertext without a key": 30,
		"plaintext too long": 24, "ciphertext of another length": 36}; !maps.Equal(x.tried, want) {
		t.Errorf("the tables have changed, or not everything was tried: %v, want %v", x.tried, want)
	}
}

// pairs asks for data key pairs of specs that have none.
func (x *attempt) pairs() {
	x.t.Helper()
	for _, s := range specifications {
		const sort = "data key pair spec"
		want := refusal{code: ErrValidation, message: "at 'keyPairSpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048, ", part: true}
		switch message := refusesHere(s.name, ""); {
		case s.name == SM2:
			want = refusal{code: ErrUnsupportedOperation, message: "Key spec SM2 is not supported."}
		case !s.dataKeys:
		case message != "":
			want = refusal{code: ErrUnsupportedOperation, message: message}
		default:
			continue
		}
		x.refuses(sort, "GenerateDataKeyPair", want, func(c *Client) (any, error) { return c.GenerateDataKeyPair(x.t.Context(), x.other, s.name, nil) })
		x.refuses(sort, "GenerateDataKeyPairWithoutPlaintext", want, func(c *Client) (any, error) {
			return c.GenerateDataKeyPairWithoutPlaintext(x.t.Context(), x.other, s.name, nil)
		})
	}
}

// keys tries everything of one use with one key that is not for it.
func (x *attempt) keys(u *use, k *exhibit) {
	x.t.Helper()
	n := u.asks()
	if n.usage == "" {
		if n.asymmetric && k.pair == nil || n.rotatable && k.kind != symmetricKind {
			x.used("kind of key", u, k.arn, "", Message{}, refusal{code: ErrUnsupportedOperation, part: n.asymmetric}) // AWS KMS's words are known of rotation only
		}
		return
	}
	if k.usage != n.usage {
		want := refusal{code: ErrInvalidKeyUsage, message: fmt.Sprintf("%s key usage is %s which is not valid for %s.", k.arn, k.usage, u.op.name)}
		if u.op == &opDecrypt || u.op == &opReEncrypt && u.need == 0 {
			want = refusal{code: ErrIncorrectKey, message: "The key ID in the request does not identify a CMK that can perform this operation."}
		}
		for _, a := range u.algorithms() {
			for _, kind := range kinds(a) {
				x.used("usage", u, k.arn, a, messageOf(a, kind), want)
			}
		}
		return
	}
	for _, a := range u.algorithms() {
		if slices.Contains(k.usages[k.usage], a) {
			continue
		}
		for _, kind := range kinds(a) {
			x.used("algorithm and spec", u, k.arn, a, messageOf(a, kind),
				refusal{code: ErrInvalidKeyUsage, message: fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", a, k.name)})
		}
	}
	if n.algorithm != "" {
		return
	}
	for usage, others := range algorithms {
		for _, a := range others {
			if usage != n.usage {
				x.used("algorithm of another usage", u, k.arn, a, messageOf(a, MessageRaw),
					refusal{code: ErrValidation, message: "lgorithm' failed to satisfy constraint: Member must satisfy enum value set: [" + string(algorithms[n.usage][0]), part: true})
			}
		}
	}
	if n.usage == SignVerify {
		x.messages(u, k)
	}
}

// messages tries the types of message that the key's algorithms do not take, and digests that are none.
func (x *attempt) messages(u *use, k *exhibit) {
	x.t.Helper()
	for _, a := range k.usages[k.usage] {
		for _, kind := range messageTypes {
			how, ok := schemes[a].messages[kind]
			if !ok {
				x.used("message type", u, k.arn, a, messageOf(a, kind),
					refusal{code: ErrValidation, message: fmt.Sprintf("MessageType %s is not compatible with algorithm %s.", kind, a)})
				continue
			}
			for _, length := range []int{1, 20, 28, 31, 32, 33, 47, 48, 49, 63, 64, 65, maxMessage} {
				what := "Digest"
				if kind == MessageExternalMu {
					what = "External mu"
				}
				if kind != MessageRaw && length != how.length {
					x.used("length of a digest", u, k.arn, a, Message{kind, make([]byte, length)},
						refusal{code: ErrValidation, message: fmt.Sprintf("%s is invalid length for algorithm %s.", what, a)})
				}
			}
		}
	}
}

// strangers tries to agree with the owners of keys on other curves, and on none.
func (x *attempt) strangers(k *exhibit) {
	x.t.Helper()
	for _, other := range x.exhibits {
		if other.pair == nil || other.name == k.name {
			continue
		}
		public := x.publicKey(x.t, other)
		x.refuses("public key of another spec", "DeriveSharedSecret", refusal{code: ErrValidation}, func(c *Client) (any, error) {
			return c.DeriveSharedSecret(x.t.Context(), k.arn, public)
		})
	}
}

// rsa tries what only symmetric keys do, and what is too long for the modulus.
func (x *attempt) rsa(k *exhibit) {
	x.t.Helper()
	ctx, context := x.t.Context(), EncryptionContext{"a": "b"}
	hashes := map[Algorithm]int{AlgorithmRSAESOAEPSHA1: 20, AlgorithmRSAESOAEPSHA256: 32}
	for _, a := range k.usages[k.usage] {
		by, junk := WithAlgorithm(a), make([]byte, k.modulus)
		part := func(member, what string) refusal {
			return refusal{code: ErrValidation, message: "Value at '" + member + "' failed to satisfy constraint: Member must " + what, part: true}
		}
		absent := "be absent: only symmetric encryption keys take one"
		x.refuses("context with RSA", "Encrypt", part("encryptionContext", absent), func(c *Client) (any, error) { return c.Encrypt(ctx, k.arn, []byte("p"), context, by) })
		x.refuses("context with RSA", "Decrypt", part("encryptionContext", absent), func(c *Client) (any, error) { return c.Decrypt(ctx, junk, context, WithKey(k.arn), by) })
		x.refuses("context with RSA", "ReEncrypt", part("sourceEncryptionContext", absent), func(c *Client) (any, error) {
			return c.ReEncrypt(ctx, junk, x.other, ReEncryptInput{SourceKey: k.arn, SourceAlgorithm: a, SourceEncryptionContext: context})
		})
		x.refuses("context with RSA", "ReEncrypt", part("destinationEncryptionContext", absent), func(c *Client) (any, error) {
			return c.ReEncrypt(ctx, x.sample.ciphertext, k.arn, ReEncryptInput{DestinationAlgorithm: a, DestinationEncryptionContext: context})
		})
		given := "be given, since a ciphertext of an asymmetric key does not name it"
		x.refuses("RSA ciphertext without a key", "Decrypt", part("keyId", given), func(c *Client) (any, error) { return c.Decrypt(ctx, junk, nil, by) })
		x.refuses("RSA ciphertext without a key", "ReEncrypt", part("sourceKeyId", given), func(c *Client) (any, error) {
			return c.ReEncrypt(ctx, junk, x.other, ReEncryptInput{SourceAlgorithm: a})
		})
		most := k.modulus - 2*hashes[a] - 2
		long := refusal{code: ErrValidation, message: fmt.Sprintf("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", a, k.name, most)}
		if message := refusesHere(k.name, a); message != "" {
			long = refusal{code: ErrUnsupportedOperation, message: message}
		}
		for _, n := range []int{most + 1, maxPlaintext} {
			x.refuses("plaintext too long", "Encrypt", long, func(c *Client) (any, error) { return c.Encrypt(ctx, k.arn, make([]byte, n), nil, by) })
		}
	}
	x.refuses("RSA ciphertext without a key", "Decrypt", refusal{code: ErrInvalidCiphertext}, func(c *Client) (any, error) {
		return c.Decrypt(ctx, make([]byte, k.modulus), nil)
	})
}

// ciphertexts tries to decapsulate what is as long as other specs have it, or nearly right.
func (x *attempt) ciphertexts(k *exhibit) {
	x.t.Helper()
	lengths := map[KeySpec]int{MLKEM512: 768, MLKEM768: 1088, MLKEM1024: 1568}
	for _, n := range []int{1, 32, 768, 1088, 1568, lengths[k.name] - 1, lengths[k.name] + 1} {
		if n == lengths[k.name] {
			continue
		}
		want := refusal{code: ErrInvalidCiphertext, late: true}
		if message := refusesHere(k.name, AlgorithmMLKEM); message != "" {
			want = refusal{code: ErrUnsupportedOperation, message: message}
		}
		x.refuses("ciphertext of another length", "Decapsulate", want, func(c *Client) (any, error) { return c.Decapsulate(x.t.Context(), k.arn, make([]byte, n)) })
	}
}
