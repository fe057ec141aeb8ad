package kms

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/policy"
)

// A world is a ring for one try of one operation: a key that everything is tried on, another one, an alias, ciphertexts.
type world struct {
	t          *testing.T
	ring       *Keyring
	store      *faultyStore
	sink       *faultySink
	now        atomic.Int64 // added to the runtime's clock
	nowPanics  atomic.Bool
	key, other KeyMetadata
	ciphertext []byte // under key, or if that is no symmetric one, under other
	proof      []byte // what a key of another kind is tried with: a signature of the canary, its MAC, a public key, a ciphertext
	grant      CreateGrantResult
}

const worldAlias = "alias/world"

// worldGrant is a grant to somebody whom no test knows.
var worldGrant = CreateGrantInput{GranteePrincipal: "arn:aws:iam::111122223333:role/grantee", RetiringPrincipal: "arn:aws:iam::111122223333:role/retiring",
	Operations: []GrantOperation{GrantDecrypt, GrantEncrypt}, Name: "world"}

// canary is the plaintext of every message in a world: it must turn up nowhere.
const canary = "canary-plaintext-7f3a9c"

// everyone allows every principal of the account everything, so that only what a test adds denies.
const everyone = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`

func newWorld(t *testing.T, options ...func(*Config)) *world {
	t.Helper()
	return new(step).world(t, options...)
}

// world is one whose key is of the kind that the step is about.
func (s *step) world(t *testing.T, options ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, store: &faultyStore{Store: memory.New()}, sink: new(faultySink)}
	root, err := newEphemeralRoot()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Store: w.store, Root: root, Audit: w.sink, AccountID: "111122223333", Region: "eu-central-1", Now: func() time.Time {
		if w.nowPanics.Load() {
			panic("the clock is broken")
		}
		return time.Now().Add(time.Duration(w.now.Load()))
	}}
	for _, o := range options {
		o(&cfg)
	}
	w.ring, err = Open(t.Context(), cfg)
	w.must(err)
	t.Cleanup(func() { w.nowPanics.Store(false); w.ring.Close() })
	w.furnish(s)
	w.sink.Reset()
	return w
}

// furnish gives a world fresh keys, the first of the kind that the step is about, and what they are tried with.
func (w *world) furnish(s *step) {
	w.t.Helper()
	t := w.t
	var err error
	w.key, err = w.ring.CreateKey(t.Context(), CreateKeyInput{Policy: everyone, Tags: []Tag{{"team", "a"}, {"stage", "test"}}, KeySpec: s.spec, KeyUsage: s.usage})
	w.must(err)
	w.other, err = w.ring.CreateKey(t.Context(), CreateKeyInput{Policy: everyone})
	w.must(err)
	w.must(w.ring.CreateAlias(t.Context(), worldAlias, w.key.ARN))
	encrypting, grant := w.key, worldGrant
	switch s.usage {
	case EncryptDecrypt: // of an RSA key: the symmetric one's is the default
		res, err := w.ring.Encrypt(t.Context(), w.key.ARN, []byte(canary), nil, WithAlgorithm(AlgorithmRSAESOAEPSHA256))
		w.must(err)
		w.proof = res.Ciphertext
	case SignVerify:
		res, err := w.ring.Sign(t.Context(), w.key.ARN, Raw([]byte(canary)), AlgorithmECDSASHA256)
		w.must(err)
		w.proof = res.Signature
	case GenerateVerifyMac:
		res, err := w.ring.GenerateMac(t.Context(), w.key.ARN, []byte(canary), AlgorithmHMACSHA256)
		w.must(err)
		w.proof = res.Mac
	case KeyAgreement:
		pair, err := w.ring.GenerateDataKeyPairWithoutPlaintext(t.Context(), w.other.ARN, s.spec, nil)
		w.must(err)
		w.proof = pair.PublicKey
	case EncapsulateDecapsulate:
		res, err := w.ring.Encapsulate(t.Context(), w.key.ARN)
		w.must(err)
		w.proof = res.Ciphertext
	}
	if w.key.KeySpec != SymmetricDefault {
		encrypting, grant.Operations = w.other, []GrantOperation{GrantDescribeKey}
	}
	out, err := w.ring.Encrypt(t.Context(), encrypting.ARN, []byte(canary), nil)
	w.must(err)
	w.ciphertext = out.Ciphertext
	w.grant, err = w.ring.CreateGrant(t.Context(), w.key.ARN, grant)
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// snapshot is everything that the store holds.
func (w *world) snapshot() map[string]keystore.Revision {
	w.t.Helper()
	items, err := w.store.Store.List(context.Background(), "", "", keystore.MaxListLimit)
	w.must(err)
	all := map[string]keystore.Revision{}
	for _, item := range items {
		all[item.Name] = item.Revision
	}
	return all
}

// forget makes the next operation read the store.
func (w *world) forget() {
	w.ring.c.keys.Clear()
	w.ring.c.refs.Clear()
}

// A faultyStore panics when told to.
type faultyStore struct {
	keystore.Store
	panics atomic.Bool
}

func (s *faultyStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.panics.Load() {
		panic("the store is broken")
	}
	return s.Store.Get(ctx, name)
}

// A faultySink refuses when told to.
type faultySink struct {
	audit.Memory
	refuses atomic.Bool
}

var errSinkFull = errors.New("sink is full")

func (s *faultySink) Append(ctx context.Context, e *audit.Event) error {
	if s.refuses.Load() {
		return errSinkFull
	}
	return s.Memory.Append(ctx, e)
}

// A step is one exported operation, and what key-states.md says of it.
type step struct {
	method   string // of Client
	name     string // in the audit trail
	action   string // that a key policy can deny; "" if it has no key
	call     func(ctx context.Context, c *Client, w *world, ref string) (any, error)
	disabled Code // what a disabled key answers; "" if it works
	pending  Code // what a key pending deletion answers
	missing  Code // what an unknown key answers
	changes  bool
	enabled  Code // what an enabled key answers; for CancelKeyDeletion only

	spec  KeySpec // of the key that it is tried on; "" is symmetric
	usage KeyUsage
}

// collect ranges over a list to its end.
func collect[T any](list iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for e, err := range list {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func none(err error) (any, error) { return nil, err }

// drop is how a call failed, whatever it returned.
func drop[T any](_ T, err error) error { return err }

// ciphertextOf returns w's ciphertext as if the key named by ref had made it.
func ciphertextOf(w *world, ref string) []byte {
	ciphertext := slices.Clone(w.ciphertext)
	if id, ok := parseKeyID(ref[strings.LastIndexByte(ref, '/')+1:]); ok {
		copy(ciphertext[keyIDAt:], id.raw[:])
	}
	return ciphertext
}

var steps = []step{
	{method: "CreateKey", name: "CreateKey", changes: true, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.CreateKey(ctx, CreateKeyInput{Tags: []Tag{{"a", "b"}}})
	}},
	{method: "DescribeKey", name: "DescribeKey", action: "kms:DescribeKey", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.DescribeKey(ctx, ref)
		}},
	{method: "ListKeys", name: "ListKeys", call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return collect(c.ListKeys(ctx))
	}},
	{method: "ListKeysPage", name: "ListKeys", call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.ListKeysPage(ctx, PageInput{})
	}},
	{method: "UpdateKeyDescription", name: "UpdateKeyDescription", action: "kms:UpdateKeyDescription", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.UpdateKeyDescription(ctx, ref, "new"))
		}},
	{method: "EnableKey", name: "EnableKey", action: "kms:EnableKey", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.EnableKey(ctx, ref))
		}},
	{method: "DisableKey", name: "DisableKey", action: "kms:DisableKey", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.DisableKey(ctx, ref))
		}},
	{method: "ScheduleKeyDeletion", name: "ScheduleKeyDeletion", action: "kms:ScheduleKeyDeletion", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.ScheduleKeyDeletion(ctx, ref, 7)
		}},
	{method: "CancelKeyDeletion", name: "CancelKeyDeletion", action: "kms:CancelKeyDeletion", changes: true, missing: ErrNotFound, enabled: ErrInvalidState,
		disabled: ErrInvalidState, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.CancelKeyDeletion(ctx, ref)
		}},
	{method: "CreateAlias", name: "CreateAlias", action: "kms:CreateAlias", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.CreateAlias(ctx, "alias/new", ref))
		}},
	{method: "UpdateAlias", name: "UpdateAlias", action: "kms:UpdateAlias", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.UpdateAlias(ctx, worldAlias, ref))
		}},
	{method: "DeleteAlias", name: "DeleteAlias", action: "kms:DeleteAlias", changes: true, missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			if ref != w.key.ARN {
				return none(c.DeleteAlias(ctx, "alias/unknown"))
			}
			return none(c.DeleteAlias(ctx, worldAlias))
		}},
	{method: "ListAliases", name: "ListAliases", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return collect(c.ListAliases(ctx, ref))
		}},
	{method: "ListAliasesPage", name: "ListAliases", call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.ListAliasesPage(ctx, "", PageInput{})
	}},
	{method: "TagResource", name: "TagResource", action: "kms:TagResource", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.TagResource(ctx, ref, Tag{"new", "tag"}))
		}},
	{method: "UntagResource", name: "UntagResource", action: "kms:UntagResource", changes: true, missing: ErrNotFound, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.UntagResource(ctx, ref, "team"))
		}},
	{method: "ListResourceTags", name: "ListResourceTags", action: "kms:ListResourceTags", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return collect(c.ListResourceTags(ctx, ref))
		}},
	{method: "ListResourceTagsPage", name: "ListResourceTags", action: "kms:ListResourceTags", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.ListResourceTagsPage(ctx, ref, PageInput{})
		}},
	{method: "GetKeyPolicy", name: "GetKeyPolicy", action: "kms:GetKeyPolicy", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GetKeyPolicy(ctx, ref)
		}},
	{method: "PutKeyPolicy", name: "PutKeyPolicy", action: "kms:PutKeyPolicy", changes: true, missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.PutKeyPolicy(ctx, ref, PutKeyPolicyInput{Policy: w.ring.c.ring.defaultPolicy()}))
		}},
	{method: "ListKeyPolicies", name: "ListKeyPolicies", action: "kms:ListKeyPolicies", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return collect(c.ListKeyPolicies(ctx, ref))
		}},
	{method: "ListKeyPoliciesPage", name: "ListKeyPolicies", action: "kms:ListKeyPolicies", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.ListKeyPoliciesPage(ctx, ref, PageInput{})
		}},
	{method: "EnableKeyRotation", name: "EnableKeyRotation", action: "kms:EnableKeyRotation", changes: true, missing: ErrNotFound, disabled: ErrDisabled,
		pending: ErrInvalidState, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.EnableKeyRotation(ctx, ref, 0))
		}},
	{method: "DisableKeyRotation", name: "DisableKeyRotation", action: "kms:DisableKeyRotation", changes: true, missing: ErrNotFound, disabled: ErrDisabled,
		pending: ErrInvalidState, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.DisableKeyRotation(ctx, ref))
		}},
	{method: "GetKeyRotationStatus", name: "GetKeyRotationStatus", action: "kms:GetKeyRotationStatus", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GetKeyRotationStatus(ctx, ref)
		}},
	{method: "RotateKeyOnDemand", name: "RotateKeyOnDemand", action: "kms:RotateKeyOnDemand", changes: true, missing: ErrNotFound, disabled: ErrDisabled,
		pending: ErrInvalidState, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.RotateKeyOnDemand(ctx, ref)
		}},
	{method: "ListKeyRotations", name: "ListKeyRotations", action: "kms:ListKeyRotations", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return collect(c.ListKeyRotations(ctx, ref, ListKeyRotationsInput{AllKeyMaterial: true}))
		}},
	{method: "ListKeyRotationsPage", name: "ListKeyRotations", action: "kms:ListKeyRotations", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.ListKeyRotationsPage(ctx, ref, ListKeyRotationsInput{}, PageInput{})
		}},
	{method: "CreateGrant", name: "CreateGrant", action: "kms:CreateGrant", changes: true, missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			in := worldGrant
			in.Name, in.Operations = "another", []GrantOperation{GrantDescribeKey} // which suits keys of every kind
			return c.CreateGrant(ctx, ref, in)
		}},
	{method: "ListGrants", name: "ListGrants", action: "kms:ListGrants", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return collect(c.ListGrants(ctx, ref, ListGrantsInput{}))
		}},
	{method: "ListGrantsPage", name: "ListGrants", action: "kms:ListGrants", missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.ListGrantsPage(ctx, ref, ListGrantsInput{GranteePrincipal: worldGrant.GranteePrincipal}, PageInput{})
		}},
	{method: "ListRetirableGrants", name: "ListRetirableGrants", call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return collect(c.ListRetirableGrants(ctx, ListRetirableGrantsInput{RetiringPrincipal: worldGrant.RetiringPrincipal}))
	}},
	{method: "ListRetirableGrantsPage", name: "ListRetirableGrants", call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.ListRetirableGrantsPage(ctx, ListRetirableGrantsInput{RetiringPrincipal: worldGrant.RetiringPrincipal}, PageInput{})
	}},
	{method: "RevokeGrant", name: "RevokeGrant", action: "kms:RevokeGrant", changes: true, missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.RevokeGrant(ctx, ref, w.grant.GrantID))
		}},
	{method: "RetireGrant", name: "RetireGrant", changes: true, missing: ErrNotFound,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return none(c.RetireGrant(ctx, RetireGrantInput{KeyRef: ref, GrantID: w.grant.GrantID}))
		}},
	{method: "Encrypt", name: "Encrypt", action: "kms:Encrypt", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.Encrypt(ctx, ref, []byte(canary), nil)
		}},
	{method: "AppendEncrypt", name: "Encrypt", action: "kms:Encrypt", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.AppendEncrypt(ctx, []byte("dst"), ref, []byte(canary), nil)
		}},
	{method: "Decrypt", name: "Decrypt", action: "kms:Decrypt", missing: ErrAccessDenied, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.Decrypt(ctx, ciphertextOf(w, ref), nil)
		}},
	{method: "AppendDecrypt", name: "Decrypt", action: "kms:Decrypt", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.AppendDecrypt(ctx, []byte("dst"), w.ciphertext, nil, WithKey(ref))
		}},
	{method: "ReEncrypt", name: "ReEncrypt", action: "kms:ReEncryptFrom", missing: ErrAccessDenied, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.ReEncrypt(ctx, ciphertextOf(w, ref), w.other.ARN, ReEncryptInput{})
		}},
	{method: "ReEncrypt", name: "ReEncrypt", action: "kms:ReEncryptTo", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			out, err := w.ring.Encrypt(context.Background(), w.other.ARN, []byte(canary), nil)
			if err != nil {
				return nil, nil // the ring is closed or broken for everything: what ReEncrypt answers then is tried above
			}
			w.sink.Reset()
			return c.ReEncrypt(ctx, out.Ciphertext, ref, ReEncryptInput{SourceKey: w.other.ARN})
		}},
	{method: "NeedsReEncrypt", name: "NeedsReEncrypt", action: "kms:DescribeKey", missing: ErrAccessDenied,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.NeedsReEncrypt(ctx, ciphertextOf(w, ref))
		}},
	{method: "GenerateDataKey", name: "GenerateDataKey", action: "kms:GenerateDataKey", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GenerateDataKey(ctx, ref, AES256, nil)
		}},
	{method: "GenerateDataKeyWithoutPlaintext", name: "GenerateDataKeyWithoutPlaintext", action: "kms:GenerateDataKeyWithoutPlaintext", missing: ErrNotFound,
		disabled: ErrDisabled, pending: ErrInvalidState, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GenerateDataKeyWithoutPlaintext(ctx, ref, RandomBytes(7), nil)
		}},
	{method: "GenerateDataKeyPair", name: "GenerateDataKeyPair", action: "kms:GenerateDataKeyPair", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GenerateDataKeyPair(ctx, ref, ECCNISTP256, nil)
		}},
	{method: "GenerateDataKeyPairWithoutPlaintext", name: "GenerateDataKeyPairWithoutPlaintext", action: "kms:GenerateDataKeyPairWithoutPlaintext", missing: ErrNotFound,
		disabled: ErrDisabled, pending: ErrInvalidState, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GenerateDataKeyPairWithoutPlaintext(ctx, ref, ECCNISTEdwards25519, nil)
		}},
	{method: "Sign", name: "Sign", action: "kms:Sign", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState, spec: ECCNISTP256, usage: SignVerify,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.Sign(ctx, ref, Raw([]byte(canary)), AlgorithmECDSASHA256)
		}},
	{method: "Verify", name: "Verify", action: "kms:Verify", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState, spec: ECCNISTP256, usage: SignVerify,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.Verify(ctx, ref, Raw([]byte(canary)), w.proof, AlgorithmECDSASHA256)
		}},
	{method: "GetPublicKey", name: "GetPublicKey", action: "kms:GetPublicKey", missing: ErrNotFound, pending: ErrInvalidState, spec: ECCNISTP256, usage: SignVerify,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GetPublicKey(ctx, ref)
		}},
	{method: "GenerateMac", name: "GenerateMac", action: "kms:GenerateMac", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState, spec: HMAC256, usage: GenerateVerifyMac,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.GenerateMac(ctx, ref, []byte(canary), AlgorithmHMACSHA256)
		}},
	{method: "VerifyMac", name: "VerifyMac", action: "kms:VerifyMac", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState, spec: HMAC256, usage: GenerateVerifyMac,
		call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.VerifyMac(ctx, ref, []byte(canary), w.proof, AlgorithmHMACSHA256)
		}},
	{method: "DeriveSharedSecret", name: "DeriveSharedSecret", action: "kms:DeriveSharedSecret", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		spec: ECCNISTP384, usage: KeyAgreement, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.DeriveSharedSecret(ctx, ref, w.proof)
		}},
	{method: "Encapsulate", name: "Encapsulate", action: "kms:Encapsulate", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		spec: MLKEM768, usage: EncapsulateDecapsulate, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.Encapsulate(ctx, ref)
		}},
	{method: "Decapsulate", name: "Decapsulate", action: "kms:Decapsulate", missing: ErrNotFound, disabled: ErrDisabled, pending: ErrInvalidState,
		spec: MLKEM768, usage: EncapsulateDecapsulate, call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
			return c.Decapsulate(ctx, ref, w.proof)
		}},
	{method: "GenerateRandom", name: "GenerateRandom", call: func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		b, err := c.GenerateRandom(ctx, 8)
		if err != nil && b == nil {
			return nil, err
		}
		return b, err
	}},
}

// reviewed are the exported methods that are no operation. A line is added here only for a method that uses no key, or uses it through an operation.
var reviewed = []string{
	"Format", "LogValue", // print
	"WithGrantTokens", "DryRun", "AEAD", "Signer", "Decrypter", "KeyExchanger", "Decapsulator", // views and adapters: what they return goes through the path
	"As", "ID", "AccountID", "Region", "Partition", "Close", "Maintain", "Check", "ChangeRoots", "RotateDomainKey", "Recount", "DefaultPolicy", "PrincipalARN", "Simulate", "WhoCan", "ServiceKey", "ViaService", "Question", // of the Keyring
}

func TestNoMethodEscapesTheWalk(t *testing.T) {
	known := map[string]bool{}
	for _, s := range steps {
		known[s.method] = true
	}
	for _, m := range reviewed {
		if known[m] {
			t.Errorf("%s is both an operation and reviewed", m)
		}
		known[m] = true
	}
	found := map[string]bool{}
	for _, typ := range []reflect.Type{reflect.TypeFor[*Client](), reflect.TypeFor[*Keyring]()} {
		for m := range typ.Methods() {
			found[m.Name] = true
			if !known[m.Name] {
				t.Errorf("method %s of %v is in neither list", m.Name, typ)
			}
		}
	}
	for m := range maps.Keys(known) {
		if !found[m] {
			t.Errorf("%s is listed and is no method", m)
		}
	}
}

// TestAdmittedIsMadeInOnePlace: the proof that a call passed every check is built by admit, and by nothing else.
func TestAdmittedIsMadeInOnePlace(t *testing.T) {
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]int{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if lit, ok := n.(*ast.CompositeLit); ok && len(lit.Elts) > 0 {
					if id, ok := lit.Type.(*ast.Ident); ok && id.Name == "admitted" {
						made[fn.Name.Name]++
					}
				}
				return true
			})
		}
	}
	if want := map[string]int{"admit": 1}; !maps.Equal(made, want) {
		t.Errorf("admitted is made in %v, want %v", made, want)
	}
}

// expect runs one operation and checks its answer and its events. An error leaves no result.
func (w *world) expect(t *testing.T, s *step, c *Client, ref string, want Code) {
	t.Helper()
	w.sink.Reset()
	before := w.snapshot()
	res, err := s.call(t.Context(), c, w, ref)
	after := w.snapshot()
	if want == "" {
		if err != nil {
			t.Errorf("%v, want success", err)
		}
	} else {
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if res != nil && !reflect.ValueOf(res).IsZero() {
			t.Errorf("%v, and yet a result: %T", err, res)
		}
		if !maps.Equal(before, after) {
			t.Errorf("%v, and yet the store has changed", err)
		}
		var e *Error
		if errors.As(err, &e) && e.Op != s.name {
			t.Errorf("the error is of %s", e.Op)
		}
	}
	w.expectEvent(t, s, want)
}

// expectEvent checks that the operation left exactly one event, and that it says what happened.
func (w *world) expectEvent(t *testing.T, s *step, want Code) {
	t.Helper()
	events := w.sink.Events()
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	code := string(want)
	if want == ErrAccessDenied {
		code = "AccessDenied"
	}
	if e := events[0]; e.Name != s.name || e.ErrorCode != code || e.ReadOnly == s.changes || e.Type != audit.APICall || e.Time.IsZero() {
		t.Errorf("event %s, error %q, read only %v, of %v; want %s, %q", e.Name, e.ErrorCode, e.ReadOnly, e.Time, s.name, code)
	}
}

// TestWalk tries every operation in every situation that the path decides.
func TestWalk(t *testing.T) {
	const unknown = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000000"
	for i := range steps {
		s := &steps[i]
		name := s.method
		if s.action == "kms:ReEncryptTo" {
			name += "To"
		}
		t.Run(name, func(t *testing.T) {
			t.Run("allowed", func(t *testing.T) {
				w := s.world(t)
				before := w.snapshot()
				w.expect(t, s, w.ring.root, w.key.ARN, s.enabled)
				if s.changes && s.enabled == "" && s.method != "EnableKey" && s.method != "DisableKeyRotation" && maps.Equal(before, w.snapshot()) {
					t.Error("nothing has changed")
				}
				if !s.changes && !maps.Equal(before, w.snapshot()) {
					t.Error("the store has changed")
				}
			})
			t.Run("denied by policy", func(t *testing.T) {
				if s.action == "" {
					w := s.world(t) // no key policy has a say: only the root user may
					w.expect(t, s, w.ring.As(Role("app")), w.key.ARN, ErrAccessDenied)
					return
				}
				w := s.world(t)
				deny := strings.TrimSuffix(everyone, "]}") + fmt.Sprintf(`,{"Effect":"Deny","Principal":"*","Action":%q,"Resource":"*"}]}`, s.action)
				w.must(w.ring.PutKeyPolicy(t.Context(), w.key.ARN, PutKeyPolicyInput{Policy: deny, BypassPolicyLockoutSafetyCheck: true}))
				w.expect(t, s, w.ring.root, w.key.ARN, ErrAccessDenied)
			})
			t.Run("stranger", func(t *testing.T) {
				w := s.world(t)
				w.must(w.ring.PutKeyPolicy(t.Context(), w.key.ARN, PutKeyPolicyInput{Policy: w.ring.c.ring.defaultPolicy()}))
				for _, caller := range []Caller{Role("stranger"), User("stranger"), Service("stranger.amazonaws.com"), {}} {
					w.expect(t, s, w.ring.As(caller), w.key.ARN, ErrAccessDenied)
				}
				// Whoever may not, learns nothing of the state.
				w.must(w.ring.DisableKey(t.Context(), w.key.ARN))
				w.expect(t, s, w.ring.As(Role("stranger")), w.key.ARN, ErrAccessDenied)
			})
			t.Run("disabled", func(t *testing.T) {
				w := s.world(t)
				w.must(w.ring.DisableKey(t.Context(), w.key.ARN))
				w.expect(t, s, w.ring.root, w.key.ARN, s.disabled)
			})
			t.Run("pending deletion", func(t *testing.T) {
				w := s.world(t)
				_, err := w.ring.ScheduleKeyDeletion(t.Context(), w.key.ARN, 7)
				w.must(err)
				w.expect(t, s, w.ring.root, w.key.ARN, s.pending)
			})
			t.Run("past its deletion date", func(t *testing.T) {
				w := s.world(t)
				_, err := w.ring.ScheduleKeyDeletion(t.Context(), w.key.ARN, 7)
				w.must(err)
				w.now.Store(int64(7 * Day))
				w.expect(t, s, w.ring.root, w.key.ARN, s.missing)
			})
			t.Run("unknown key", func(t *testing.T) {
				w := s.world(t)
				w.expect(t, s, w.ring.root, unknown, s.missing)
			})
			t.Run("grant token", func(t *testing.T) {
				w := s.world(t)
				want := s.enabled
				if slices.ContainsFunc(tokenTakers, func(op *operation) bool { return op.name == s.name }) {
					want = ErrInvalidGrantToken
				}
				w.expect(t, s, w.ring.WithGrantTokens("not ours"), w.key.ARN, want)
			})
			t.Run("dry run", func(t *testing.T) {
				w := s.world(t)
				want := ErrDryRun
				if s.enabled != "" {
					want = s.enabled
				}
				w.expect(t, s, w.ring.DryRun(), w.key.ARN, want)
				w.expect(t, s, w.ring.As(Caller{}).DryRun(), w.key.ARN, ErrAccessDenied)
			})
			t.Run("refusing sink", func(t *testing.T) {
				w := s.world(t)
				w.sink.refuses.Store(true)
				before := w.snapshot()
				res, err := s.call(t.Context(), w.ring.root, w, w.key.ARN)
				if s.action == "kms:ReEncryptTo" {
					return // its first half cannot be made either
				}
				want := ErrInternal
				if s.enabled != "" {
					want = s.enabled
				}
				if !errors.Is(err, want) || want == ErrInternal && !errors.Is(err, errSinkFull) {
					t.Errorf("%v, want %v", err, want)
				}
				if res != nil && !reflect.ValueOf(res).IsZero() {
					t.Errorf("a result: %T", res)
				}
				if !maps.Equal(before, w.snapshot()) {
					t.Error("the store has changed")
				}
			})
			t.Run("panic", func(t *testing.T) {
				w := s.world(t)
				panics := func() (v any) {
					defer func() { v = recover() }()
					_, _ = s.call(t.Context(), w.ring.root, w, w.key.ARN)
					return nil
				}
				if s.action != "kms:ReEncryptTo" { // its first half needs the clock
					w.nowPanics.Store(true)
					if v := panics(); v != "the clock is broken" {
						t.Errorf("panic %v", v)
					}
					w.nowPanics.Store(false)
					w.expectEvent(t, s, ErrInternal)
				}
				if s.action != "" && s.action != "kms:ReEncryptTo" {
					w.sink.Reset()
					w.forget()
					w.store.panics.Store(true)
					if v := panics(); v != "the store is broken" {
						t.Errorf("panic %v", v)
					}
					w.store.panics.Store(false)
					w.expectEvent(t, s, ErrInternal)
				}
				w.expect(t, s, w.ring.root, w.key.ARN, s.enabled) // nothing is left in the way
			})
			t.Run("cancelled", func(t *testing.T) {
				w := s.world(t)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				before := w.snapshot()
				_, err := s.call(ctx, w.ring.root, w, w.key.ARN)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want context.Canceled", err)
				}
				if !maps.Equal(before, w.snapshot()) {
					t.Error("the store has changed")
				}
				w.expectEvent(t, s, ErrDependencyTimeout)
			})
			t.Run("closed", func(t *testing.T) {
				w := s.world(t)
				w.must(w.ring.Close())
				if _, err := s.call(t.Context(), w.ring.root, w, w.key.ARN); s.action != "kms:ReEncryptTo" && !errors.Is(err, ErrServiceUnavailable) {
					t.Errorf("%v, want ErrServiceUnavailable", err)
				}
			})
		})
	}
}

// tokenTakers are the operations that take grant tokens, as operations.md has them.
var tokenTakers = []*operation{&opEncrypt, &opDecrypt, &opReEncrypt, &opGenerateDataKey, &opGenerateDataKeyWithoutPlaintext, &opDescribeKey, &opNeedsReEncrypt, &opCreateGrant,
	&opSign, &opVerify, &opGetPublicKey, &opGenerateMac, &opVerifyMac, &opDeriveSharedSecret, &opEncapsulate, &opDecapsulate, &opGenerateDataKeyPair, &opGenerateDataKeyPairWithoutPlaintext}

func TestUsageAndKindAreChecked(t *testing.T) {
	k := newWorld(t).ring.c.newKey(&keyRecord{spec: HMAC256, usage: GenerateVerifyMac, origin: OriginAWSKMS, state: Enabled})
	if err := opEncrypt.needs[0].check(k, &opEncrypt, new(request)); !errors.Is(wrap("", "", err), ErrInvalidKeyUsage) {
		t.Errorf("Encrypt with a MAC key: %v", err)
	}
	if err := opRotateKeyOnDemand.needs[0].check(k, &opRotateKeyOnDemand, new(request)); !errors.Is(wrap("", "", err), ErrUnsupportedOperation) {
		t.Errorf("rotation of a MAC key: %v", err)
	}
	k.state = "Unheard"
	if err := opDescribeKey.needs[0].check(k, &opDescribeKey, new(request)); !errors.Is(wrap("", "", err), ErrInvalidState) {
		t.Errorf("a state that is not known: %v", err)
	}
	if stateBit(policyStateUnknown) != 0 {
		t.Error("an unknown state permits something")
	}
}

const policyStateUnknown KeyState = ""

var _ policy.Context = (*call)(nil)

// TestRecycledCallIsEmpty: a call that is given back holds nothing of what it was used for, also beyond the lengths of its slices, and keeps no room that one rare
// call made large.
func TestRecycledCallIsEmpty(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{1, 3, 200} {
		ec := EncryptionContext{}
		for i := range n {
			ec[fmt.Sprintf("name-%03d", i)] = "value"
		}
		cl := &call{frame: frame{client: w.ring.As(Role("App")), op: &opReEncrypt, again: true, authorized: true}}
		cl.req = request{refs: [2]string{"a", "b"}, context: [2]EncryptionContext{ec, {"x": "y"}}, details: &noDetails}
		cl.takeContexts()
		a := admitted{cl}
		a.associatedData(make([]byte, headerLen), 0)
		a.associatedData(make([]byte, headerLen), 1) // which is shorter
		cl.names, cl.buffer = cl.names[:0], cl.buffer[:0]
		cl.addResource(&key{arn: "arn"})
		cl.recycle()
		if !reflect.ValueOf(cl.frame).IsZero() || len(cl.event.Resources) != 0 {
			t.Errorf("%d names: the frame or the event is not empty", n)
		}
		if len(cl.contexts[0])+len(cl.contexts[1]) != 0 || n > roomNames && cl.contexts[0] != nil {
			t.Errorf("%d names: the contexts are not empty", n)
		}
		for _, name := range cl.names[:cap(cl.names)] {
			if name != "" {
				t.Errorf("%d names: %q is still there", n, name)
			}
		}
		if !isZero(cl.buffer[:cap(cl.buffer)]) || cap(cl.buffer) > roomBuffer || cap(cl.names) > roomNames {
			t.Errorf("%d names: the room has %d names and %d bytes", n, cap(cl.names), cap(cl.buffer))
		}
	}
}
