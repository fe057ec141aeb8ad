package kms_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/policy"
)

// delegating leaves everything to the account: to its root user, and to IAM policies.
const delegating = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}]}`

const (
	owner   = "111122223333"
	foreign = "444455556666"
)

func userARN(account, name string) string { return "arn:aws:iam::" + account + ":user/" + name }
func roleARN(account, name string) string { return "arn:aws:iam::" + account + ":role/" + name }

// directory is an IAM side that a test writes by hand.
type directory struct {
	identities map[string]*kms.Identity
	accounts   map[string]*kms.Account
}

func (d *directory) Current() kms.Identities           { return d }
func (d *directory) Identity(arn string) *kms.Identity { return d.identities[arn] }
func (d *directory) Account(id string) *kms.Account    { return d.accounts[id] }
func (d *directory) All() iter.Seq[*kms.Identity]      { return maps.Values(d.identities) }

// people is a directory of the owner's and the foreign account, with identities by their ARNs, each with policies.
func people(t testing.TB, policies map[string][]string) *directory {
	t.Helper()
	d := &directory{map[string]*kms.Identity{}, map[string]*kms.Account{owner: {ID: owner}, foreign: {ID: foreign}}}
	for arn, texts := range policies {
		i := &kms.Identity{ARN: arn}
		for _, text := range texts {
			i.Policies = append(i.Policies, identityPolicy(t, text))
		}
		d.identities[arn] = i
	}
	return d
}

func identityPolicy(t testing.TB, text string) *kms.PolicyDocument {
	t.Helper()
	return must(policy.Parse(text, policy.IdentityPolicy))(t)
}

// allowing is an identity policy that allows actions on everything.
func allowing(actions ...string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],"Resource":"*"}]}`, strings.Join(actions, `","`))
}

func withIdentities(d kms.Identities) func(*kms.Config) {
	return func(c *kms.Config) { c.Identities = d }
}

// use tries what grants allow, and returns how Encrypt ends.
func use(t testing.TB, c *kms.Client, ref string, ec kms.EncryptionContext) error {
	_, err := c.Encrypt(t.Context(), ref, []byte("x"), ec)
	return err
}

func TestGrantees(t *testing.T) {
	app, other := kms.Session("path/app", "one"), kms.Session("path/app", "two")
	source := kms.SourceResource{ARN: "arn:aws:s3:::bucket", AccountID: owner}
	logs := kms.Service("logs.amazonaws.com")
	for _, tc := range []struct {
		name    string
		grant   kms.CreateGrantInput
		allowed []kms.Caller
		denied  []kms.Caller
	}{
		{"a user", kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice")},
			[]kms.Caller{kms.User("alice"), kms.User("alice").WithMFA(epoch)},
			[]kms.Caller{kms.User("bob"), kms.User("ops/alice"), kms.User("alice").InAccount(foreign), kms.FederatedUser("alice", "alice"), kms.Root()}},
		{"a role", kms.CreateGrantInput{GranteePrincipal: roleARN(owner, "path/app")},
			[]kms.Caller{app, other, kms.Role("path/app")}, []kms.Caller{kms.Role("app"), kms.User("app"), kms.Session("path/app", "one").InAccount(foreign)}},
		{"a session", kms.CreateGrantInput{GranteePrincipal: "arn:aws:sts::111122223333:assumed-role/app/one"}, []kms.Caller{app}, []kms.Caller{other}},
		{"a federated user", kms.CreateGrantInput{GranteePrincipal: "arn:aws:sts::111122223333:federated-user/fay"},
			[]kms.Caller{kms.FederatedUser("alice", "fay")}, []kms.Caller{kms.FederatedUser("alice", "guy"), kms.User("alice"), kms.User("fay")}},
		{"an account", kms.CreateGrantInput{GranteePrincipal: "arn:aws:iam::111122223333:root"},
			[]kms.Caller{kms.Root()}, []kms.Caller{kms.User("alice"), kms.Role("app"), kms.Root().InAccount(foreign)}},
		{"a foreign role", kms.CreateGrantInput{GranteePrincipal: roleARN(foreign, "far")},
			[]kms.Caller{kms.Role("far").InAccount(foreign)},
			[]kms.Caller{kms.Role("far"), kms.Role("far").InAccount(foreign).WithSessionPolicies(allowing("kms:*"))}},
		{"a service", kms.CreateGrantInput{GranteeServicePrincipal: "logs.amazonaws.com", RetiringPrincipal: userARN(owner, "bob"),
			Constraints: kms.GrantConstraints{SourceARN: source.ARN}},
			[]kms.Caller{logs.ForSource(source)}, []kms.Caller{logs, logs.ForSource(kms.SourceResource{ARN: "arn:aws:s3:::other"}), kms.Service("s3.amazonaws.com").ForSource(source)}},
		{"on behalf of a resource", kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Constraints: kms.GrantConstraints{SourceARN: source.ARN}},
			nil, []kms.Caller{kms.User("alice")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := open(t)
			key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegatingTo(owner, "arn:aws:iam::111122223333:user/keeper"), BypassPolicyLockoutSafetyCheck: true}))(t)
			keeper := f.As(kms.User("keeper"))
			for _, who := range append(tc.allowed, tc.denied...) {
				wantCode(t, use(t, f.As(who), key.ARN, nil), kms.ErrAccessDenied)
			}
			tc.grant.Operations = []kms.GrantOperation{kms.GrantEncrypt}
			made := must(keeper.CreateGrant(t.Context(), key.ARN, tc.grant))(t)
			for _, who := range tc.allowed {
				if err := use(t, f.As(who), key.ARN, nil); err != nil {
					t.Errorf("%v: %v", who, err)
				}
				if _, err := f.As(who).GenerateDataKey(t.Context(), key.ARN, kms.AES256, nil); !errors.Is(err, kms.ErrAccessDenied) {
					t.Errorf("%v did what the grant does not name: %v", who, err)
				}
			}
			for _, who := range tc.denied {
				wantCode(t, use(t, f.As(who), key.ARN, nil), kms.ErrAccessDenied)
			}
			check(t, keeper.RevokeGrant(t.Context(), key.ARN, made.GrantID))
			for _, who := range tc.allowed {
				wantCode(t, use(t, f.As(who), key.ARN, nil), kms.ErrAccessDenied)
			}
		})
	}
}

// delegatingTo is a key policy that names users of the account in person, and nobody else.
func delegatingTo(account string, users ...string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["%s"]},"Action":"kms:*","Resource":"*"}]}`, strings.Join(users, `","`))
}

func TestGrantConstraints(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	it := kms.EncryptionContext{"Dept": "IT"}
	more := kms.EncryptionContext{"Dept": "IT", "Stage": "test"}
	for name, tc := range map[string]struct {
		constraints kms.GrantConstraints
		passes      []kms.EncryptionContext
		fails       []kms.EncryptionContext
	}{
		"none":   {kms.GrantConstraints{}, []kms.EncryptionContext{nil, it, more}, nil},
		"equals": {kms.GrantConstraints{EncryptionContextEquals: it}, []kms.EncryptionContext{it, {"dept": "IT"}}, []kms.EncryptionContext{nil, more, {"Dept": "it"}, {"Dept": "IT", "dept": "IT"}}},
		"equals, of names alike": {kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT", "dept": "IT"}}, nil,
			[]kms.EncryptionContext{it, more, {"Dept": "IT", "dept": "IT"}}},
		"subset": {kms.GrantConstraints{EncryptionContextSubset: it}, []kms.EncryptionContext{it, more, {"DEPT": "IT"}}, []kms.EncryptionContext{nil, {"Stage": "test"}, {"Dept": "it"}, {"Dept": "IT", "dept": "HR"}}},
	} {
		t.Run(name, func(t *testing.T) {
			made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Constraints: tc.constraints,
				Operations: []kms.GrantOperation{kms.GrantEncrypt, kms.GrantDecrypt, kms.GrantDescribeKey}}))(t)
			alice := f.As(kms.User("alice"))
			for _, ec := range tc.passes {
				out, err := alice.Encrypt(t.Context(), key.ARN, []byte("x"), ec)
				if err != nil {
					t.Errorf("%v: %v", ec, err)
					continue
				}
				must(alice.Decrypt(t.Context(), out.Ciphertext, ec))(t)
			}
			for _, ec := range tc.fails {
				if err := use(t, alice, key.ARN, ec); !errors.Is(err, kms.ErrAccessDenied) {
					t.Errorf("%v: %v", ec, err)
				}
			}
			must(alice.DescribeKey(t.Context(), key.ARN))(t) // which has no encryption context, and needs none
			check(t, f.RevokeGrant(t.Context(), key.ARN, made.GrantID))
			_, err := alice.DescribeKey(t.Context(), key.ARN)
			wantCode(t, err, kms.ErrAccessDenied)
		})
	}
}

// A Deny anywhere wins over a grant.
func TestGrantsYieldToDenies(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): nil, userARN(owner, "bob"): {`{"Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}`}})
	f := open(t, withIdentities(d))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	for _, name := range []string{"alice", "bob"} {
		must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, name), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	}
	alice := f.As(kms.User("alice"))
	check(t, use(t, alice, key.ARN, nil))
	wantCode(t, use(t, f.As(kms.User("bob")), key.ARN, nil), kms.ErrAccessDenied)
	check(t, f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: strings.Replace(delegating, `]}`,
		`,{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:Encrypt","Resource":"*"}]}`, 1)}))
	wantCode(t, use(t, alice, key.ARN, nil), kms.ErrAccessDenied)
}

// ReEncrypt needs one permission on each key, each of a policy or of a grant.
func TestGrantsOnBothSidesOfReEncrypt(t *testing.T) {
	f := open(t)
	from := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	to := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	out := must(f.Encrypt(t.Context(), from.ARN, []byte("x"), nil))(t)
	alice := f.As(kms.User("alice"))
	try := func() error {
		_, err := alice.ReEncrypt(t.Context(), out.Ciphertext, to.ARN, kms.ReEncryptInput{})
		return err
	}
	grant := func(key kms.KeyMetadata, op kms.GrantOperation) string {
		return must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{op}}))(t).GrantID
	}
	wantCode(t, try(), kms.ErrAccessDenied)
	source := grant(from, kms.GrantReEncryptFrom)
	wantCode(t, try(), kms.ErrAccessDenied)
	grant(to, kms.GrantReEncryptFrom) // the wrong one
	wantCode(t, try(), kms.ErrAccessDenied)
	grant(to, kms.GrantReEncryptTo)
	check(t, try())
	check(t, f.RevokeGrant(t.Context(), from.ARN, source))
	wantCode(t, try(), kms.ErrAccessDenied)
}

func TestGrantNames(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	in := kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt, kms.GrantDecrypt}, Name: "one",
		Constraints: kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"a": "b"}}}
	first := must(f.CreateGrant(t.Context(), key.ARN, in))(t)
	f.clock.advance(time.Hour)
	in.Operations = []kms.GrantOperation{kms.GrantDecrypt, kms.GrantEncrypt, kms.GrantDecrypt} // the same, otherwise written
	again := must(f.CreateGrant(t.Context(), key.ARN, in))(t)
	if again.GrantID != first.GrantID || again.GrantToken == first.GrantToken {
		t.Errorf("%+v, then %+v", first, again)
	}
	for _, change := range []func(*kms.CreateGrantInput){
		func(in *kms.CreateGrantInput) { in.Name = "" },
		func(in *kms.CreateGrantInput) { in.Name = "two" },
		func(in *kms.CreateGrantInput) { in.Operations = in.Operations[:1] },
		func(in *kms.CreateGrantInput) { in.RetiringPrincipal = userARN(owner, "bob") },
		func(in *kms.CreateGrantInput) { in.Constraints.EncryptionContextSubset = nil },
		func(in *kms.CreateGrantInput) { in.GranteePrincipal = userARN(owner, "bob") },
	} {
		other := in
		change(&other)
		if made := must(f.CreateGrant(t.Context(), key.ARN, other))(t); made.GrantID == first.GrantID {
			t.Errorf("%+v is the first grant", other)
		}
	}
	if n := len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))); n != 7 {
		t.Errorf("%d grants, want 7", n)
	}
	check(t, f.RevokeGrant(t.Context(), key.ARN, first.GrantID))
	if made := must(f.CreateGrant(t.Context(), key.ARN, in))(t); made.GrantID == first.GrantID {
		t.Error("a grant that was revoked came back")
	}
}

// Who may create grants by a grant alone cannot give more than it has.
func TestChildGrants(t *testing.T) {
	subset := kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"Dept": "IT"}}
	equals := kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT"}}
	wider := kms.EncryptionContext{"Dept": "IT", "Stage": "test"}
	both := []kms.GrantOperation{kms.GrantEncrypt, kms.GrantCreateGrant}
	for _, tc := range []struct {
		name   string
		parent kms.GrantConstraints
		child  kms.GrantConstraints
		ops    []kms.GrantOperation
		want   kms.Code
	}{
		{"the same operations", kms.GrantConstraints{}, kms.GrantConstraints{}, both, ""},
		{"fewer operations", kms.GrantConstraints{}, kms.GrantConstraints{}, both[:1], ""},
		{"another operation", kms.GrantConstraints{}, kms.GrantConstraints{}, []kms.GrantOperation{kms.GrantDecrypt}, kms.ErrAccessDenied},
		{"a constraint more", kms.GrantConstraints{}, subset, both, ""},
		{"the same subset", subset, subset, both, ""},
		{"a larger subset", subset, kms.GrantConstraints{EncryptionContextSubset: wider}, both, ""},
		{"a subset made exact", subset, kms.GrantConstraints{EncryptionContextEquals: wider}, both, ""},
		{"no subset", subset, kms.GrantConstraints{}, both, kms.ErrAccessDenied},
		{"another subset", subset, kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"Stage": "test"}}, both, kms.ErrAccessDenied},
		{"the same exactness", equals, equals, both, ""},
		{"an exact one widened", equals, subset, both, kms.ErrAccessDenied},
		{"an exactness of names alike", kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT", "dept": "IT"}},
			kms.GrantConstraints{EncryptionContextEquals: wider}, both, kms.ErrAccessDenied},
		{"another exactness", equals, kms.GrantConstraints{EncryptionContextEquals: wider}, both, kms.ErrAccessDenied},
		{"without the resource", kms.GrantConstraints{SourceARN: "arn:aws:s3:::a"}, kms.GrantConstraints{}, both, kms.ErrAccessDenied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := open(t)
			key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
			parent := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: both, Constraints: tc.parent}))(t)
			_, err := f.As(kms.User("alice")).CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: tc.ops, Constraints: tc.child})
			wantCode(t, err, tc.want)
			if err != nil {
				return
			}
			check(t, f.RevokeGrant(t.Context(), key.ARN, parent.GrantID))
			if n := len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{GranteePrincipal: userARN(owner, "bob")}))); n != 1 {
				t.Errorf("%d grants are left of the child, want 1", n)
			}
		})
	}
}

func TestWhoRetiresGrants(t *testing.T) {
	d := people(t, map[string][]string{
		userARN(owner, "grantee"): nil, userARN(owner, "retiring"): nil, userARN(owner, "stranger"): nil, userARN(owner, "may"): {allowing("kms:RetireGrant")},
		userARN(foreign, "may"): {allowing("kms:RetireGrant")}, roleARN(owner, "retiring"): nil, roleARN(foreign, "far"): {allowing("s3:*")},
		userARN(owner, "denied"): {`{"Statement":{"Effect":"Deny","Action":"kms:RetireGrant","Resource":"*"}}`},
	})
	for _, tc := range []struct {
		name string
		by   kms.Caller
		in   kms.CreateGrantInput
		want kms.Code
	}{
		{"its retiring principal", kms.User("retiring"), kms.CreateGrantInput{RetiringPrincipal: userARN(owner, "retiring")}, ""},
		{"a session of its retiring role", kms.Session("retiring", "one"), kms.CreateGrantInput{RetiringPrincipal: roleARN(owner, "retiring")}, ""},
		{"its grantee", kms.User("grantee"), kms.CreateGrantInput{}, kms.ErrAccessDenied},
		{"its grantee with the operation", kms.User("grantee"), kms.CreateGrantInput{Operations: []kms.GrantOperation{kms.GrantRetireGrant}}, ""},
		{"its grantee within a constraint", kms.User("grantee"), kms.CreateGrantInput{Operations: []kms.GrantOperation{kms.GrantRetireGrant, kms.GrantEncrypt},
			Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"a": "b"}}}, ""},
		{"the root user of its account", kms.Root(), kms.CreateGrantInput{}, ""},
		{"who has the permission", kms.User("may"), kms.CreateGrantInput{}, ""},
		{"a stranger", kms.User("stranger"), kms.CreateGrantInput{}, kms.ErrAccessDenied},
		{"a foreign principal with the permission", kms.User("may").InAccount(foreign), kms.CreateGrantInput{}, kms.ErrAccessDenied},
		{"the principals of a retiring account", kms.User("may").InAccount(foreign), kms.CreateGrantInput{RetiringPrincipal: "arn:aws:iam::444455556666:root"}, ""},
		{"the root user of a retiring account", kms.Root().InAccount(foreign), kms.CreateGrantInput{RetiringPrincipal: "arn:aws:iam::444455556666:root"}, ""},
		{"a foreign retiring principal", kms.Role("far").InAccount(foreign), kms.CreateGrantInput{RetiringPrincipal: roleARN(foreign, "far")}, ""},
		{"a foreign retiring principal within session policies", kms.Role("far").InAccount(foreign).WithSessionPolicies(allowing("s3:*")),
			kms.CreateGrantInput{RetiringPrincipal: roleARN(foreign, "far")}, kms.ErrAccessDenied},
		{"who is denied", kms.User("denied"), kms.CreateGrantInput{RetiringPrincipal: userARN(owner, "denied")}, kms.ErrAccessDenied},
		{"a service", kms.Service("logs.amazonaws.com"), kms.CreateGrantInput{RetiringServicePrincipal: "logs.amazonaws.com"}, ""},
		{"another service", kms.Service("s3.amazonaws.com"), kms.CreateGrantInput{RetiringServicePrincipal: "logs.amazonaws.com"}, kms.ErrAccessDenied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := open(t, withIdentities(d))
			// A key policy has no say: what it allows is no permission, and what it denies is no denial.
			key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(everyone, `]}`,
				`,{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/retiring"},"Action":"kms:RetireGrant","Resource":"*"}]}`, 1)}))(t)
			tc.in.GranteePrincipal = userARN(owner, "grantee")
			if tc.in.Operations == nil {
				tc.in.Operations = []kms.GrantOperation{kms.GrantEncrypt}
			}
			byID := must(f.CreateGrant(t.Context(), key.ARN, tc.in))(t)
			byToken := must(f.CreateGrant(t.Context(), key.ARN, tc.in))(t)
			wantCode(t, f.As(tc.by).RetireGrant(t.Context(), kms.RetireGrantInput{KeyRef: key.ARN, GrantID: byID.GrantID}), tc.want)
			wantCode(t, f.As(tc.by).RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: byToken.GrantToken}), tc.want)
			left := len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{})))
			if want := map[bool]int{true: 0, false: 2}[tc.want == ""]; left != want {
				t.Errorf("%d grants are left, want %d", left, want)
			}
		})
	}
}

func TestListGrants(t *testing.T) {
	f := open(t)
	key, other := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t), f.create()
	ids := map[string]bool{}
	for i := range 130 {
		in := kms.CreateGrantInput{GranteePrincipal: userARN(owner, fmt.Sprintf("u%d", i%7)), Operations: []kms.GrantOperation{kms.GrantDecrypt}}
		if i%2 == 0 {
			in.RetiringPrincipal = roleARN(owner, "retiring")
		}
		ids[must(f.CreateGrant(t.Context(), key.ARN, in))(t).GrantID] = true
	}
	must(f.CreateGrant(t.Context(), other.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "u1"), RetiringPrincipal: roleARN(owner, "retiring"),
		Operations: []kms.GrantOperation{kms.GrantDecrypt}}))(t)
	found := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))
	for _, g := range found {
		if !ids[g.GrantID] || g.KeyARN != key.ARN || g.IssuingAccount != "arn:aws:iam::111122223333:root" || !g.CreationDate.Equal(epoch) {
			t.Errorf("listed %+v", g)
		}
		delete(ids, g.GrantID)
	}
	if len(ids) != 0 || len(found) != 130 {
		t.Errorf("%d grants, %d not listed", len(found), len(ids))
	}
	of := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{GranteePrincipal: userARN(owner, "u3")}))
	if len(of) != 19 || slices.ContainsFunc(of, func(g kms.Grant) bool { return g.GranteePrincipal != userARN(owner, "u3") }) {
		t.Errorf("%d grants of one grantee, want 19", len(of))
	}
	one := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{GrantID: of[0].GrantID}))
	if len(one) != 1 || one[0].GrantID != of[0].GrantID {
		t.Errorf("one grant: %+v", one)
	}
	if none := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{GrantID: of[0].GrantID, GranteePrincipal: userARN(owner, "u4")})); len(none) != 0 {
		t.Errorf("a grant of somebody else: %+v", none)
	}
	if n := len(all(t, f.ListRetirableGrants(t.Context(), kms.ListRetirableGrantsInput{RetiringPrincipal: roleARN(owner, "retiring")}))); n != 66 {
		t.Errorf("%d grants can be retired, want 66", n)
	}
	if n := len(all(t, f.As(kms.Root().InAccount(foreign)).ListRetirableGrants(t.Context(), kms.ListRetirableGrantsInput{RetiringPrincipal: roleARN(owner, "retiring")}))); n != 0 {
		t.Errorf("%d grants are told to another account", n)
	}
	_, err := f.As(kms.User("u1")).ListRetirableGrantsPage(t.Context(), kms.ListRetirableGrantsInput{RetiringPrincipal: roleARN(owner, "retiring")}, kms.PageInput{})
	wantCode(t, err, kms.ErrAccessDenied)
}

// TestRetirableGrantsOfOthers: nobody is told of the grants that somebody of another account or a service may retire, not even that there are any.
func TestRetirableGrantsOfOthers(t *testing.T) {
	f := open(t)
	key := f.create()
	const service = "logs.amazonaws.com"
	for range 3 {
		for _, in := range []kms.CreateGrantInput{{RetiringServicePrincipal: service}, {RetiringPrincipal: roleARN(owner, "retiring")}} {
			in.GranteePrincipal, in.Operations = userARN(owner, "alice"), []kms.GrantOperation{kms.GrantDecrypt}
			must(f.CreateGrant(t.Context(), key.ARN, in))(t)
		}
	}
	ofService, ofRole := kms.ListRetirableGrantsInput{RetiringServicePrincipal: service}, kms.ListRetirableGrantsInput{RetiringPrincipal: roleARN(owner, "retiring")}
	for _, tc := range []struct {
		who  kms.Caller
		in   kms.ListRetirableGrantsInput
		want int
	}{
		{kms.Service(service), ofService, 2}, {kms.Root(), ofService, 0}, {kms.Root().InAccount(foreign), ofService, 0},
		{kms.Root(), ofRole, 2}, {kms.Root().InAccount(foreign), ofRole, 0},
	} {
		page := must(f.As(tc.who).ListRetirableGrantsPage(t.Context(), tc.in, kms.PageInput{Limit: 2}))(t)
		if len(page.Entries) != tc.want || page.Truncated != (tc.want > 0) {
			t.Errorf("%v is told of %d grants of %+v, and of more: %t", tc.who, len(page.Entries), tc.in, page.Truncated)
		}
	}
}

func TestGrantInputs(t *testing.T) {
	f := open(t, withIdentities(people(t, map[string][]string{userARN(owner, "alice"): nil})))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	good := kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}
	nine := kms.EncryptionContext{}
	for i := range 9 {
		nine[fmt.Sprint(i)] = "x"
	}
	for _, tc := range []struct {
		member string
		change func(*kms.CreateGrantInput)
		want   kms.Code
	}{
		{"operations", func(in *kms.CreateGrantInput) { in.Operations = nil }, kms.ErrValidation},
		{"operations", func(in *kms.CreateGrantInput) { in.Operations = []kms.GrantOperation{"Dance"} }, kms.ErrValidation},
		{"Sign", func(in *kms.CreateGrantInput) { in.Operations = []kms.GrantOperation{kms.GrantSign} }, kms.ErrValidation},
		{"GranteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = "" }, kms.ErrValidation},
		{"GranteeServicePrincipal", func(in *kms.CreateGrantInput) {
			in.GranteeServicePrincipal, in.RetiringPrincipal = "logs.amazonaws.com", userARN(owner, "alice")
		}, kms.ErrValidation},
		{"granteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = "alice" }, kms.ErrInvalidArn},
		{"granteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = "arn:aws:iam::111122223333:user/*" }, kms.ErrValidation},
		{"granteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = "arn:aws:iam::111122223333:group/ops" }, kms.ErrInvalidArn},
		{"granteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = userARN(owner, strings.Repeat("a/", 120)+"b") }, kms.ErrValidation},
		{"retiringPrincipal", func(in *kms.CreateGrantInput) { in.RetiringPrincipal = "alice" }, kms.ErrInvalidArn},
		{"granteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = userARN(owner, "nobody") }, kms.ErrInvalidArn},
		{"granteePrincipal", func(in *kms.CreateGrantInput) { in.GranteePrincipal = userARN("999999999999", "alice") }, kms.ErrInvalidArn},
		{"root user of another account", func(in *kms.CreateGrantInput) { in.GranteePrincipal = "arn:aws:iam::444455556666:root" }, kms.ErrValidation},
		{"retiringPrincipal", func(in *kms.CreateGrantInput) { in.RetiringPrincipal = userARN(owner, "nobody") }, kms.ErrInvalidArn},
		{"RetiringServicePrincipal", func(in *kms.CreateGrantInput) {
			in.RetiringPrincipal, in.RetiringServicePrincipal = userARN(owner, "alice"), "logs.amazonaws.com"
		}, kms.ErrValidation},
		{"SourceArn", func(in *kms.CreateGrantInput) {
			in.GranteePrincipal, in.GranteeServicePrincipal, in.RetiringPrincipal = "", "logs.amazonaws.com", userARN(owner, "alice")
		}, kms.ErrValidation},
		{"retiring", func(in *kms.CreateGrantInput) {
			in.GranteePrincipal, in.GranteeServicePrincipal, in.Constraints.SourceARN = "", "logs.amazonaws.com", "arn:aws:s3:::b"
		}, kms.ErrValidation},
		{"sourceArn", func(in *kms.CreateGrantInput) { in.Constraints.SourceARN = "bucket" }, kms.ErrValidation},
		{"sourceArn", func(in *kms.CreateGrantInput) { in.Constraints.SourceARN = "arn:aws:s3:::*" }, kms.ErrValidation},
		{"EncryptionContextSubset", func(in *kms.CreateGrantInput) {
			in.Constraints.EncryptionContextEquals, in.Constraints.EncryptionContextSubset = kms.EncryptionContext{"a": "b"}, kms.EncryptionContext{"a": "b"}
		}, kms.ErrValidation},
		{"encryptionContextEquals", func(in *kms.CreateGrantInput) { in.Constraints.EncryptionContextEquals = nine }, kms.ErrValidation},
		{"encryptionContextSubset", func(in *kms.CreateGrantInput) {
			in.Constraints.EncryptionContextSubset = kms.EncryptionContext{"a": strings.Repeat("x", 385)}
		}, kms.ErrValidation},
		{"encryptionContextSubset", func(in *kms.CreateGrantInput) {
			in.Constraints.EncryptionContextSubset = kms.EncryptionContext{"": "x"}
		}, kms.ErrValidation},
		{"name", func(in *kms.CreateGrantInput) { in.Name = "a b" }, kms.ErrValidation},
		{"name", func(in *kms.CreateGrantInput) { in.Name = strings.Repeat("x", 257) }, kms.ErrValidation},
	} {
		in := good
		tc.change(&in)
		_, err := f.CreateGrant(t.Context(), key.ARN, in)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.member) {
			t.Errorf("%+v: %v, want %s that names %s", in, err, tc.want, tc.member)
		}
	}
	if n := len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))); n != 0 {
		t.Errorf("%d grants were made", n)
	}
	in := good
	in.Constraints.EncryptionContextSubset = kms.EncryptionContext{"a": strings.Repeat("é", 384)}
	made := must(f.CreateGrant(t.Context(), key.ARN, in))(t)
	unknown := strings.Repeat("0", 64)
	wantCode(t, f.RevokeGrant(t.Context(), key.ARN, unknown), kms.ErrNotFound)
	wantCode(t, f.RevokeGrant(t.Context(), key.ARN, "xyz"), kms.ErrInvalidGrantID)
	wantCode(t, f.RevokeGrant(t.Context(), key.ARN, strings.ToUpper(made.GrantID)), kms.ErrInvalidGrantID)
	wantCode(t, f.RevokeGrant(t.Context(), key.ARN, ""), kms.ErrValidation)
	wantCode(t, f.RevokeGrant(t.Context(), f.create().ARN, made.GrantID), kms.ErrNotFound)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{}), kms.ErrValidation)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{KeyRef: key.ARN, GrantID: made.GrantID, GrantToken: made.GrantToken}), kms.ErrValidation)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{KeyRef: key.ARN, GrantID: unknown}), kms.ErrNotFound)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: "x"}), kms.ErrInvalidGrantToken)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: strings.Repeat("x", 8192)}), kms.ErrInvalidGrantToken)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: strings.Repeat("x", 8193)}), kms.ErrValidation)
	wantCode(t, f.RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: made.GrantToken[:len(made.GrantToken)-1] + strings.Trim("AE", made.GrantToken[len(made.GrantToken)-1:])[:1]}), kms.ErrInvalidGrantToken)
	_, err := f.ListGrantsPage(t.Context(), key.ARN, kms.ListGrantsInput{GrantID: "../"}, kms.PageInput{})
	wantCode(t, err, kms.ErrInvalidGrantID)
	_, err = f.ListRetirableGrantsPage(t.Context(), kms.ListRetirableGrantsInput{}, kms.PageInput{})
	wantCode(t, err, kms.ErrValidation)
}

// TestGrantsBetweenProcesses: a grant is in effect in another process within the bound, or at once for who presents its token; a revoked one ends within the bound.
func TestGrantsBetweenProcesses(t *testing.T) {
	f := open(t)
	other := open(t, func(c *kms.Config) { c.Store = f.store; c.MaxStaleness = time.Minute })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	must(other.DescribeKey(t.Context(), key.ARN))(t) // from now on it is as it was
	made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	alice := other.As(kms.User("alice"))
	wantCode(t, use(t, alice, key.ARN, nil), kms.ErrAccessDenied)
	wantCode(t, use(t, other.As(kms.User("bob")).WithGrantTokens(made.GrantToken), key.ARN, nil), kms.ErrAccessDenied)
	check(t, use(t, alice.WithGrantTokens(made.GrantToken), key.ARN, nil))
	check(t, use(t, alice, key.ARN, nil)) // it was read for the token
	check(t, f.RevokeGrant(t.Context(), key.ARN, made.GrantID))
	wantCode(t, use(t, f.As(kms.User("alice")).WithGrantTokens(made.GrantToken), key.ARN, nil), kms.ErrAccessDenied)
	third := open(t, func(c *kms.Config) { c.Store = f.store })
	wantCode(t, use(t, third.As(kms.User("alice")).WithGrantTokens(made.GrantToken), key.ARN, nil), kms.ErrAccessDenied)
	wantCode(t, use(t, alice.WithGrantTokens("x"), key.ARN, nil), kms.ErrInvalidGrantToken)
	stranger := open(t)
	foreignKey := must(stranger.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	theirs := must(stranger.CreateGrant(t.Context(), foreignKey.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	wantCode(t, use(t, alice.WithGrantTokens(theirs.GrantToken), key.ARN, nil), kms.ErrInvalidGrantToken)
	eleven := slices.Repeat([]string{made.GrantToken}, 11)
	wantCode(t, use(t, alice.WithGrantTokens(eleven...), key.ARN, nil), kms.ErrValidation)
	wantCode(t, use(t, alice.WithGrantTokens(slices.Repeat([]string{"x"}, 11)...), key.ARN, nil), kms.ErrValidation)
	wantCode(t, use(t, alice.WithGrantTokens(eleven[:10]...).WithGrantTokens("x"), key.ARN, nil), kms.ErrValidation)
	wantCode(t, use(t, alice.WithGrantTokens(eleven...).WithGrantTokens("x"), key.ARN, nil), kms.ErrValidation)
	check(t, use(t, alice.WithGrantTokens(eleven[:5]...).WithGrantTokens(eleven[:5]...), key.ARN, nil))
}

// TestGrantsGoWithTheirKey: deleting a key sweeps its grants and what finds them.
func TestGrantsGoWithTheirKey(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := open(t, func(c *kms.Config) { c.Now = nil })
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
		for i := range 50 {
			must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, fmt.Sprintf("u%d", i)), RetiringPrincipal: userARN(owner, "bob"),
				Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
		}
		must(f.ScheduleKeyDeletion(t.Context(), key.ARN, 7))(t)
		wantCode(t, use(t, f.As(kms.User("u1")), key.ARN, nil), kms.ErrInvalidState)
		one := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))[0]
		check(t, f.RevokeGrant(t.Context(), key.ARN, one.GrantID)) // while the key is pending deletion too
		left := func() (n int) {
			for item := range keystore.Walk(t.Context(), f.store, "") {
				if strings.HasPrefix(item.Name, "grant/") || strings.HasPrefix(item.Name, "retire/") {
					n++
				}
			}
			return n
		}
		for range 8 {
			must(f.Maintain(t.Context()))(t)
			time.Sleep(kms.Day)
		}
		if n := left(); n != 98 {
			t.Fatalf("%d records of grants, want 98", n)
		}
		if n := must(f.Maintain(t.Context()))(t).Destroyed; n != 1 {
			t.Fatalf("%d keys destroyed", n)
		}
		if n := left(); n != 0 {
			t.Errorf("%d records of grants are left", n)
		}
		if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
			t.Errorf("afterwards: %v", p)
		}
		if n := len(all(t, f.ListRetirableGrants(t.Context(), kms.ListRetirableGrantsInput{RetiringPrincipal: userARN(owner, "bob")}))); n != 0 {
			t.Errorf("%d grants can be retired", n)
		}
	})
}

// TestHostileStoreAndGrants: a store cannot make up a grant or move one, a revoked one that it brings back is refused by whoever saw it go, and Check finds it.
func TestHostileStoreAndGrants(t *testing.T) {
	store := memory.New()
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	other := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	grant := func() kms.CreateGrantResult {
		return must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	}
	made := grant()
	name := "grant/" + key.KeyID + "/" + made.GrantID
	sealed := must(store.Get(t.Context(), name))(t)
	put := func(name string) {
		t.Helper()
		must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: name, Value: sealed.Value}}))(t)
	}
	put("grant/" + other.KeyID + "/" + made.GrantID) // moved to another key
	must(f.CreateGrant(t.Context(), other.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	alice := f.As(kms.User("alice"))
	wantCode(t, use(t, alice, other.ARN, nil), kms.ErrAccessDenied)
	check(t, use(t, alice, key.ARN, nil))
	grant() // so that the key has one afterwards
	second := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))
	for _, g := range second {
		check(t, f.RevokeGrant(t.Context(), key.ARN, g.GrantID))
	}
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	put(name)
	if err := use(t, alice, key.ARN, nil); err == nil {
		t.Error("a revoked grant came back in the process that revoked it")
	}
	found := must(f.Check(t.Context()))(t)
	if !slices.ContainsFunc(found.Problems, func(p *kms.Problem) bool { return p.Record == "key/"+key.KeyID }) {
		t.Errorf("Check does not tell of it: %v", found.Problems)
	}
}

// TestDamagedGrant: a grant that cannot be read allows nothing, hides no other one, and can be revoked.
func TestDamagedGrant(t *testing.T) {
	store := memory.New()
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	var ids []string
	for _, name := range []string{"alice", "alice", "bob"} {
		ids = append(ids, must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, name), RetiringPrincipal: userARN(owner, "ret"),
			Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t).GrantID)
	}
	sealed := must(store.Get(t.Context(), "grant/"+key.KeyID+"/"+ids[0]))(t)
	sealed.Value[len(sealed.Value)-1] ^= 1
	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: sealed.Name, Revision: sealed.Revision, Value: sealed.Value}}))(t)
	check(t, use(t, f.As(kms.User("alice")), key.ARN, nil)) // by the other one
	check(t, f.RevokeGrant(t.Context(), key.ARN, ids[1]))
	wantCode(t, use(t, f.As(kms.User("alice")), key.ARN, nil), kms.ErrAccessDenied)
	check(t, use(t, f.As(kms.User("bob")), key.ARN, nil))
	if n := len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))); n != 2 {
		t.Errorf("%d grants listed, want 2", n)
	}
	if n := len(all(t, f.ListRetirableGrants(t.Context(), kms.ListRetirableGrantsInput{RetiringPrincipal: userARN(owner, "ret")}))); n != 2 {
		t.Errorf("%d grants can be retired, want 2", n)
	}
	if len(must(f.Check(t.Context()))(t).Problems) == 0 {
		t.Error("Check does not tell of a damaged grant")
	}
	check(t, f.RevokeGrant(t.Context(), key.ARN, ids[0]))
	if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
		t.Errorf("after its revocation: %v", p)
	}
}

func TestRecountOfGrants(t *testing.T) {
	store := memory.New()
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	for _, name := range []string{"alice", "bob"} {
		must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, name), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	}
	g := all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{GranteePrincipal: userARN(owner, "bob")}))[0]
	lost := must(store.Get(t.Context(), "grant/"+key.KeyID+"/"+g.GrantID))(t)
	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: lost.Name, Revision: lost.Revision}}))(t)
	if len(must(f.Check(t.Context()))(t).Problems) == 0 {
		t.Fatal("Check does not tell of a lost grant")
	}
	check(t, f.Recount(t.Context()))
	if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
		t.Errorf("after Recount: %v", p)
	}
	check(t, use(t, f.As(kms.User("alice")), key.ARN, nil))
}

// TestGrantsOverResealing: a rotation of the domain key reseals grants, and leaves them as they are.
func TestGrantsOverResealing(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	for i := range 30 {
		must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, fmt.Sprintf("u%d", i)), RetiringPrincipal: userARN(owner, "bob"),
			Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	}
	check(t, f.RotateDomainKey(t.Context()))
	report := must(f.Maintain(t.Context()))(t)
	if report.Resealed < 60 {
		t.Errorf("%d records resealed", report.Resealed)
	}
	if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
		t.Errorf("after resealing: %v", p)
	}
	fresh := open(t, func(c *kms.Config) { c.Store = f.store })
	for i := range 30 {
		check(t, use(t, fresh.As(kms.User(fmt.Sprintf("u%d", i))), key.ARN, nil))
	}
}

// TestAnchoredGrants: with an anchor, a store can neither bring back a grant nor withhold one, also to a process that has seen nothing.
func TestAnchoredGrants(t *testing.T) {
	store := memory.New()
	mark := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	anchored := func() *fixture { return open(t, func(c *kms.Config) { c.Store, c.Anchor = store, mark }) }
	f := anchored()
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	grant := func(name string) string {
		made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, name), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
		return "grant/" + key.KeyID + "/" + made.GrantID
	}
	alice, bob := grant("alice"), grant("bob")
	for _, name := range []string{"alice", "bob"} {
		check(t, use(t, anchored().As(kms.User(name)), key.ARN, nil))
	}
	revoked := must(store.Get(t.Context(), alice))(t)
	check(t, f.RevokeGrant(t.Context(), key.ARN, strings.TrimPrefix(alice, "grant/"+key.KeyID+"/")))
	wantCode(t, use(t, anchored().As(kms.User("alice")), key.ARN, nil), kms.ErrAccessDenied)
	check(t, use(t, anchored().As(kms.User("bob")), key.ARN, nil))

	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: alice, Value: revoked.Value}}))(t)
	for _, name := range []string{"alice", "bob"} { // which of them is the one too many nobody knows
		if err := use(t, anchored().As(kms.User(name)), key.ARN, nil); !errors.Is(err, kms.ErrRolledBack) {
			t.Errorf("%s, with a grant that came back: %v", name, err)
		}
	}
	check(t, use(t, anchored().As(kms.Root()), key.ARN, nil)) // who needs no grant is not concerned
	back := must(store.Get(t.Context(), alice))(t)
	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: alice, Revision: back.Revision}}))(t)
	check(t, use(t, anchored().As(kms.User("bob")), key.ARN, nil))

	there := must(store.Get(t.Context(), bob))(t)
	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: bob, Revision: there.Revision}}))(t)
	if err := use(t, anchored().As(kms.User("bob")), key.ARN, nil); !errors.Is(err, kms.ErrRolledBack) {
		t.Errorf("with a grant that is withheld: %v", err)
	}
}

// A twoFacedStore returns one more record to who lists a prefix that is longer than that of all grants on a key.
type twoFacedStore struct {
	keystore.Store
	all  string
	more *keystore.Record
}

func (s *twoFacedStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	found, err := s.Store.List(ctx, prefix, after, limit)
	if m := s.more; m != nil && strings.HasPrefix(m.Name, prefix) && m.Name > after && len(prefix) > len(s.all) {
		found = append(found, *m)
		slices.SortFunc(found, func(a, b keystore.Record) int { return strings.Compare(a.Name, b.Name) })
		found = found[:min(limit, len(found))]
	}
	return found, err
}

// TestAnchoredGrantsAreThoseThatAreUsed: a store that shows the right grants to be counted, and a revoked one to be used, is refused.
func TestAnchoredGrantsAreThoseThatAreUsed(t *testing.T) {
	store := &twoFacedStore{Store: memory.New()}
	mark := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
	anchored := func() *fixture { return open(t, func(c *kms.Config) { c.Store, c.Anchor = store, mark }) }
	f := anchored()
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	store.all = "grant/" + key.KeyID + "/"
	made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	revoked := must(store.Get(t.Context(), store.all+made.GrantID))(t)
	check(t, use(t, anchored().As(kms.User("alice")), key.ARN, nil))
	check(t, f.RevokeGrant(t.Context(), key.ARN, made.GrantID))
	store.more = &revoked
	if err := use(t, anchored().As(kms.User("alice")), key.ARN, nil); err == nil {
		t.Error("a revoked grant was used")
	}
	check(t, use(t, anchored().As(kms.User("bob")), key.ARN, nil))
}

// A swappingStore returns one record in the place of another.
type swappingStore struct {
	keystore.Store
	asked, given string
}

func (s *swappingStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if name == s.asked {
		name = s.given
	}
	return s.Store.Get(ctx, name)
}

// TestTheGrantThatWasNamedIsRemoved: a store that shows another grant to who removes one does not keep the one that it was told to give up, with an anchor.
func TestTheGrantThatWasNamedIsRemoved(t *testing.T) {
	for _, how := range []string{"RevokeGrant", "RetireGrant"} {
		store := &swappingStore{Store: memory.New()}
		mark := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
		anchored := func() *fixture { return open(t, func(c *kms.Config) { c.Store, c.Anchor = store, mark }) }
		f := anchored()
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
		grant := func(name string) kms.CreateGrantResult {
			return must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, name), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
		}
		alice, bob := grant("alice"), grant("bob")
		store.asked, store.given = "grant/"+key.KeyID+"/"+alice.GrantID, "grant/"+key.KeyID+"/"+bob.GrantID
		var err error
		if how == "RevokeGrant" {
			err = f.RevokeGrant(t.Context(), key.ARN, alice.GrantID)
		} else {
			err = f.RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: alice.GrantToken})
		}
		if err == nil && use(t, anchored().As(kms.User("alice")), key.ARN, nil) == nil {
			t.Errorf("%s: what was given up is used", how)
		}
		check(t, use(t, anchored().As(kms.User("bob")), key.ARN, nil))
	}
}

// TestRetirementIsExplained: the trace of a grant agrees with what is decided by it.
func TestRetirementIsExplained(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), RetiringPrincipal: userARN(owner, "bob"),
		Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	for name, allowed := range map[string]bool{"alice": false, "bob": true} {
		s := must(f.Simulate(t.Context(), kms.User(name), func(ctx context.Context, c *kms.Client) error {
			return c.RetireGrant(ctx, kms.RetireGrantInput{GrantToken: made.GrantToken})
		}))(t)
		e := s.Permissions[0].Explanation
		if s.Allowed() != allowed || len(e.Grants) != 1 || e.Grants[0].Allows != allowed || (e.Grants[0].Failed == "") != allowed {
			t.Errorf("%s: %v\n%v", name, s.Err, e)
		}
	}
}
