package stress_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/keystore/memory"
)

// A target is a key that two operations meet on.
type target struct {
	purpose
	key, other string // ids, of keys for the purpose
	alias      string // of key
	ciphertext []byte // under key if it is symmetric, of "message"
	proof      []byte // what key made, or takes, if it is for something else
	policy     string
	calls      atomic.Int64

	mu     sync.Mutex // guards what follows
	made   [][]byte   // what was acknowledged as encrypted under key or other
	grants []string   // ids of grants on key that were made and not given up
}

// retiring is who may retire grants on key, and on no other.
func (o *target) retiring() string { return "arn:aws:iam::111122223333:user/retiring-" + o.key }

// takeGrant returns the id of a grant that nobody gives up yet, or of none.
func (o *target) takeGrant() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.grants)
	if n == 0 {
		return strings.Repeat("0", 64)
	}
	id := o.grants[n-1]
	o.grants = o.grants[:n-1]
	return id
}

func (o *target) keep(ciphertext []byte, err error) error {
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.made = append(o.made, slices.Clone(ciphertext))
	}
	return err
}

// A purpose is what an operation needs a key for; the zero one is symmetric encryption.
type purpose struct {
	spec  kms.KeySpec
	usage kms.KeyUsage
}

var purposes = map[string]purpose{
	"Sign": {kms.ECCNISTP256, kms.SignVerify}, "Verify": {kms.ECCNISTP256, kms.SignVerify}, "GetPublicKey": {kms.ECCNISTP256, kms.SignVerify},
	"GenerateMac": {kms.HMAC256, kms.GenerateVerifyMac}, "VerifyMac": {kms.HMAC256, kms.GenerateVerifyMac},
	"DeriveSharedSecret": {kms.ECCNISTP256, kms.KeyAgreement},
	"Encapsulate":        {kms.MLKEM768, kms.EncapsulateDecapsulate}, "Decapsulate": {kms.MLKEM768, kms.EncapsulateDecapsulate},
}

// prove makes the proof.
func (o *target) prove(t *testing.T, ring *kms.Keyring) {
	t.Helper()
	switch ctx := t.Context(); o.usage {
	case kms.SignVerify:
		o.proof = must(ring.Sign(ctx, o.key, kms.Raw([]byte("message")), kms.AlgorithmECDSASHA256))(t).Signature
	case kms.GenerateVerifyMac:
		o.proof = must(ring.GenerateMac(ctx, o.key, []byte("message"), kms.AlgorithmHMACSHA256))(t).Mac
	case kms.KeyAgreement:
		o.proof = must(ring.GetPublicKey(ctx, o.other))(t).DER
	case kms.EncapsulateDecapsulate:
		o.proof = must(ring.Encapsulate(ctx, o.key))(t).Ciphertext
	}
}

func drop[T any](_ T, err error) error { return err }

// operations are all methods of a Client that are an operation, each on a target.
var operations = map[string]func(ctx context.Context, c *kms.Client, o *target) error{
	"CreateKey": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.CreateKey(ctx, kms.CreateKeyInput{}))
	},
	"DescribeKey": func(ctx context.Context, c *kms.Client, o *target) error { return drop(c.DescribeKey(ctx, o.alias)) },
	"ListKeys":    func(ctx context.Context, c *kms.Client, o *target) error { return drop(collect(c.ListKeys(ctx))) },
	"ListKeysPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListKeysPage(ctx, kms.PageInput{Limit: 2}))
	},
	"UpdateKeyDescription": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.UpdateKeyDescription(ctx, o.key, fmt.Sprint(o.calls.Add(1)))
	},
	"EnableKey":  func(ctx context.Context, c *kms.Client, o *target) error { return c.EnableKey(ctx, o.key) },
	"DisableKey": func(ctx context.Context, c *kms.Client, o *target) error { return c.DisableKey(ctx, o.key) },
	"ScheduleKeyDeletion": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ScheduleKeyDeletion(ctx, o.key, 7))
	},
	"CancelKeyDeletion": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.CancelKeyDeletion(ctx, o.key))
	},
	"CreateAlias": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.CreateAlias(ctx, fmt.Sprint(o.alias, "-", o.calls.Add(1)%2), o.key)
	},
	"UpdateAlias": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.UpdateAlias(ctx, o.alias, []string{o.key, o.other}[o.calls.Add(1)%2])
	},
	"DeleteAlias": func(ctx context.Context, c *kms.Client, o *target) error { return c.DeleteAlias(ctx, o.alias) },
	"ListAliases": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(collect(c.ListAliases(ctx, o.key)))
	},
	"ListAliasesPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListAliasesPage(ctx, "", kms.PageInput{Limit: 2}))
	},
	"TagResource": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.TagResource(ctx, o.key, kms.Tag{Key: "t", Value: fmt.Sprint(o.calls.Add(1))})
	},
	"UntagResource": func(ctx context.Context, c *kms.Client, o *target) error { return c.UntagResource(ctx, o.key, "t") },
	"ListResourceTags": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(collect(c.ListResourceTags(ctx, o.key)))
	},
	"ListResourceTagsPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListResourceTagsPage(ctx, o.key, kms.PageInput{Limit: 1}))
	},
	"GetKeyPolicy": func(ctx context.Context, c *kms.Client, o *target) error { return drop(c.GetKeyPolicy(ctx, o.key)) },
	"PutKeyPolicy": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.PutKeyPolicy(ctx, o.key, kms.PutKeyPolicyInput{Policy: o.policy})
	},
	"ListKeyPolicies": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(collect(c.ListKeyPolicies(ctx, o.key)))
	},
	"ListKeyPoliciesPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListKeyPoliciesPage(ctx, o.key, kms.PageInput{}))
	},
	"EnableKeyRotation":  func(ctx context.Context, c *kms.Client, o *target) error { return c.EnableKeyRotation(ctx, o.key, 0) },
	"DisableKeyRotation": func(ctx context.Context, c *kms.Client, o *target) error { return c.DisableKeyRotation(ctx, o.key) },
	"GetKeyRotationStatus": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.GetKeyRotationStatus(ctx, o.key))
	},
	"RotateKeyOnDemand": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.RotateKeyOnDemand(ctx, o.key))
	},
	"ListKeyRotations": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(collect(c.ListKeyRotations(ctx, o.key, kms.ListKeyRotationsInput{AllKeyMaterial: true})))
	},
	"ListKeyRotationsPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListKeyRotationsPage(ctx, o.key, kms.ListKeyRotationsInput{}, kms.PageInput{Limit: 1}))
	},
	"Encrypt": func(ctx context.Context, c *kms.Client, o *target) error {
		out, err := c.Encrypt(ctx, o.key, []byte("message"), nil)
		return o.keep(out.Ciphertext, err)
	},
	"AppendEncrypt": func(ctx context.Context, c *kms.Client, o *target) error {
		out, err := c.AppendEncrypt(ctx, make([]byte, 0, 256), o.key, []byte("message"), nil)
		return o.keep(out.Ciphertext, err)
	},
	"Decrypt": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.Decrypt(ctx, o.ciphertext, nil))
	},
	"AppendDecrypt": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.AppendDecrypt(ctx, make([]byte, 0, 64), o.ciphertext, nil, kms.WithKey(o.key)))
	},
	"ReEncrypt": func(ctx context.Context, c *kms.Client, o *target) error {
		out, err := c.ReEncrypt(ctx, o.ciphertext, o.other, kms.ReEncryptInput{})
		return o.keep(out.Ciphertext, err)
	},
	"NeedsReEncrypt": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.NeedsReEncrypt(ctx, o.ciphertext))
	},
	"GenerateDataKey": func(ctx context.Context, c *kms.Client, o *target) error {
		d, err := c.GenerateDataKey(ctx, o.key, kms.AES256, nil)
		return o.keep(d.Ciphertext, err)
	},
	"GenerateDataKeyWithoutPlaintext": func(ctx context.Context, c *kms.Client, o *target) error {
		d, err := c.GenerateDataKeyWithoutPlaintext(ctx, o.key, kms.AES256, nil)
		return o.keep(d.Ciphertext, err)
	},
	"CreateGrant": func(ctx context.Context, c *kms.Client, o *target) error {
		n := o.calls.Add(1)
		made, err := c.CreateGrant(ctx, o.key, kms.CreateGrantInput{GranteePrincipal: fmt.Sprint("arn:aws:iam::111122223333:user/grantee-", n%3), Operations: []kms.GrantOperation{kms.GrantDescribeKey},
			RetiringPrincipal: []string{"", o.retiring()}[n%2]})
		if err == nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.grants = append(o.grants, made.GrantID)
		}
		return err
	},
	"ListGrants": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(collect(c.ListGrants(ctx, o.key, kms.ListGrantsInput{})))
	},
	"ListGrantsPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListGrantsPage(ctx, o.key, kms.ListGrantsInput{GranteePrincipal: "arn:aws:iam::111122223333:user/grantee-1"}, kms.PageInput{Limit: 1}))
	},
	"ListRetirableGrants": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(collect(c.ListRetirableGrants(ctx, kms.ListRetirableGrantsInput{RetiringPrincipal: o.retiring()})))
	},
	"ListRetirableGrantsPage": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.ListRetirableGrantsPage(ctx, kms.ListRetirableGrantsInput{RetiringPrincipal: o.retiring()}, kms.PageInput{Limit: 1}))
	},
	"RevokeGrant": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.RevokeGrant(ctx, o.key, o.takeGrant())
	},
	"RetireGrant": func(ctx context.Context, c *kms.Client, o *target) error {
		return c.RetireGrant(ctx, kms.RetireGrantInput{KeyRef: o.key, GrantID: o.takeGrant()})
	},
	"GenerateDataKeyPair": func(ctx context.Context, c *kms.Client, o *target) error {
		p, err := c.GenerateDataKeyPair(ctx, o.key, kms.ECCNISTP256, nil)
		return o.keep(p.PrivateKeyCiphertext, err)
	},
	"GenerateDataKeyPairWithoutPlaintext": func(ctx context.Context, c *kms.Client, o *target) error {
		p, err := c.GenerateDataKeyPairWithoutPlaintext(ctx, o.key, kms.ECCNISTEdwards25519, nil)
		return o.keep(p.PrivateKeyCiphertext, err)
	},
	"Sign": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.Sign(ctx, o.key, kms.Raw([]byte("message")), kms.AlgorithmECDSASHA256))
	},
	"Verify": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.Verify(ctx, o.key, kms.Raw([]byte("message")), o.proof, kms.AlgorithmECDSASHA256))
	},
	"GetPublicKey": func(ctx context.Context, c *kms.Client, o *target) error { return drop(c.GetPublicKey(ctx, o.alias)) },
	"GenerateMac": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.GenerateMac(ctx, o.key, []byte("message"), kms.AlgorithmHMACSHA256))
	},
	"VerifyMac": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.VerifyMac(ctx, o.key, []byte("message"), o.proof, kms.AlgorithmHMACSHA256))
	},
	"DeriveSharedSecret": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.DeriveSharedSecret(ctx, o.key, o.proof))
	},
	"Encapsulate": func(ctx context.Context, c *kms.Client, o *target) error { return drop(c.Encapsulate(ctx, o.key)) },
	"Decapsulate": func(ctx context.Context, c *kms.Client, o *target) error {
		return drop(c.Decapsulate(ctx, o.key, o.proof))
	},
	"GenerateRandom": func(ctx context.Context, c *kms.Client, o *target) error { return drop(c.GenerateRandom(ctx, 8)) },
}

// views are the methods of a Client that are no operation.
var views = []string{"Format", "LogValue", "WithGrantTokens", "DryRun", "AEAD", "Signer", "Decrypter", "KeyExchanger", "Decapsulator"}

// TestNoOperationIsForgotten: a method is an operation that races, or is listed as none.
func TestNoOperationIsForgotten(t *testing.T) {
	var found []string
	for m := range reflect.TypeFor[*kms.Client]().Methods() {
		if !slices.Contains(views, m.Name) {
			found = append(found, m.Name)
		}
	}
	if want := slices.Sorted(maps.Keys(operations)); !slices.Equal(sorted(found), want) {
		t.Errorf("the operations of a Client are %q, and those that race %q", found, want)
	}
}

// allowed are the answers that an operation may give because of another one.
var allowed = []kms.Code{"", kms.ErrDisabled, kms.ErrInvalidState, kms.ErrNotFound, kms.ErrAlreadyExists, kms.ErrLimitExceeded}

// allowedToo are those of one that needs a key for another purpose than the other.
var allowedToo = append([]kms.Code{kms.ErrInvalidKeyUsage, kms.ErrIncorrectKey, kms.ErrUnsupportedOperation, kms.ErrValidation}, allowed...)

// race runs every operation beside every other one: the first on the first ring, the second on the last.
func race(t *testing.T, store keystore.Store, rings []*kms.Keyring, every int) {
	ctx := t.Context()
	all := slices.Sorted(maps.Keys(operations))
	pairs, calls, messages, n := 0, 0, 0, 0
	answers := map[kms.Code]int{}
	var mu sync.Mutex
	first, last := rings[0], rings[len(rings)-1]
	policy := must(first.DefaultPolicy(nil, []kms.Caller{kms.Role("app")}))(t)
	symmetric := must(first.CreateKey(ctx, kms.CreateKeyInput{}))(t).KeyID
	for i, a := range all {
		for _, b := range all[i:] {
			if n++; n%every != 0 {
				continue
			}
			pairs++
			o := &target{policy: policy, alias: fmt.Sprint("alias/", a, "-", b), purpose: cmp.Or(purposes[a], purposes[b])}
			in, permitted := kms.CreateKeyInput{KeySpec: o.spec, KeyUsage: o.usage}, allowed
			o.key, o.other = must(first.CreateKey(ctx, in))(t).KeyID, must(first.CreateKey(ctx, in))(t).KeyID
			check(t, first.CreateAlias(ctx, o.alias, o.key))
			encrypting := o.key
			if o.purpose != (purpose{}) {
				permitted, encrypting = allowedToo, symmetric
			}
			o.prove(t, first)
			o.ciphertext = must(first.Encrypt(ctx, encrypting, []byte("message"), nil))(t).Ciphertext
			o.made = append(o.made, o.ciphertext)
			for range 2 { // for who gives one up before any is made
				check(t, operations["CreateGrant"](ctx, first.As(kms.Root()), o))
			}
			var wg sync.WaitGroup
			for _, side := range []struct {
				name string
				ring *kms.Keyring
			}{{a, first}, {b, last}} {
				wg.Go(func() {
					for range 3 {
						code := codeOf(operations[side.name](ctx, side.ring.As(kms.Root()), o))
						mu.Lock()
						answers[code]++
						calls++
						mu.Unlock()
						if !slices.Contains(permitted, code) {
							t.Errorf("%s beside %s: %s answers %q", a, b, side.name, code)
						}
					}
				})
			}
			wg.Wait()
			messages += len(o.made)
			settled(t, store, o)
			if t.Failed() {
				t.Fatalf("%s beside %s", a, b)
			}
		}
	}
	whole := openRing(t, store)
	defer whole.Close()
	if report := must(whole.Check(ctx))(t); len(report.Problems) > 0 {
		t.Errorf("afterwards: %v", report.Problems)
	}
	t.Logf("%d pairs, %d calls, answers %v, %d messages, lost: 0", pairs, calls, answers, messages)
}

// settled looks at a target when nobody works on it any more: the aliases agree with the keys, versions are all there, and every message can be read.
func settled(t *testing.T, store keystore.Store, o *target) {
	t.Helper()
	ring := openRing(t, store, func(c *kms.Config) { c.CacheSize = 2 }) // the others may still use what they saw a moment ago
	defer ring.Close()
	ctx := t.Context()
	for _, key := range []string{o.key, o.other} {
		if err := drop(ring.CancelKeyDeletion(ctx, key)); err != nil && codeOf(err) != kms.ErrInvalidState {
			t.Errorf("CancelKeyDeletion: %v", err)
		}
		check(t, ring.EnableKey(ctx, key))
		check(t, ring.TagResource(ctx, key, kms.Tag{Key: "settled", Value: "yes"}))
		meta := must(ring.DescribeKey(ctx, key))(t)
		versions := []kms.KeyRotation{{}} // of keys for other purposes, which do not rotate and show no material
		if o.purpose == (purpose{}) {
			versions = must(collect(ring.ListKeyRotations(ctx, key, kms.ListKeyRotationsInput{AllKeyMaterial: true})))(t)
		}
		if meta.KeyState != kms.Enabled || versions[len(versions)-1].KeyMaterialID != meta.CurrentKeyMaterialID || len(names(t, store, "ver/"+key)) != len(versions) {
			t.Errorf("%+v, %d versions, the last is %+v", meta, len(versions), versions[len(versions)-1])
		}
		for _, alias := range must(collect(ring.ListAliases(ctx, key)))(t) {
			if got := must(ring.DescribeKey(ctx, alias.AliasName))(t); got.KeyID != key || alias.TargetKeyID != key {
				t.Errorf("%+v of %s names %s", alias, key, got.KeyID)
			}
		}
	}
	found := must(collect(ring.ListGrants(ctx, o.key, kms.ListGrantsInput{})))(t)
	for _, id := range o.grants { // all that are left and no other: what was given up is gone
		if !slices.ContainsFunc(found, func(g kms.Grant) bool { return g.GrantID == id }) {
			t.Errorf("lost: grant %s", id)
		}
	}
	if len(found) != len(o.grants) {
		t.Errorf("%d grants, want %d", len(found), len(o.grants))
	}
	for i, ciphertext := range o.made {
		if _, err := ring.Decrypt(ctx, ciphertext, nil); err != nil {
			t.Errorf("lost: message %d of %d: %v", i, len(o.made), err)
		}
	}
}

func TestEveryOperationBesideEveryOther(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		rings int
		every int // of the pairs, in the small size
		open  func(t *testing.T) keystore.Store
	}{
		{"one ring, in memory", 1, 1, newMemory},
		{"two rings, in memory", 2, 3, newMemory},
		{"one ring, in a file", 1, 23, newBolt},
		{"two rings, in a file", 2, 23, newBolt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for round := range size(1, 5) {
				t.Run(fmt.Sprint(round), func(t *testing.T) {
					store := tc.open(t)
					var rings []*kms.Keyring
					for range tc.rings {
						rings = append(rings, openRing(t, store))
					}
					race(t, store, rings, size(tc.every, 1))
				})
			}
		})
	}
}

func newMemory(*testing.T) keystore.Store { return memory.New() }

func newBolt(t *testing.T) keystore.Store {
	store := must(bolt.Open(filepath.Join(t.TempDir(), "ring.db"), nil))(t)
	t.Cleanup(func() { _ = store.Close() })
	return store
}
