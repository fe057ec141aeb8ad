package kms

import (
	"errors"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms/policy"
)

// TestGrantsAreAskedOfTheRest decides in two steps, as an operation does that finds the grants only where policies leave the decision to them, and at once. Both must
// say the same, whoever asks and whatever limits the caller.
func TestGrantsAreAskedOfTheRest(t *testing.T) {
	const own, other = "111122223333", "444455556666"
	document := func(kind policy.Kind, effect, principal string) *PolicyDocument {
		if principal != "" {
			principal = `"Principal": ` + principal + `, `
		}
		doc, err := policy.Parse(`{"Version": "2012-10-17", "Statement": {"Effect": "`+effect+`", `+principal+`"Action": "kms:*", "Resource": "*"}}`, kind)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	allows, denies := document(policy.IdentityPolicy, "Allow", ""), document(policy.IdentityPolicy, "Deny", "")
	keyPolicies := []*PolicyDocument{
		nil,
		document(policy.KeyPolicy, "Allow", `"*"`),
		document(policy.KeyPolicy, "Deny", `"*"`),
		document(policy.KeyPolicy, "Allow", `{"AWS": "`+own+`"}`),
		document(policy.KeyPolicy, "Allow", `{"AWS": "arn:aws:iam::`+own+`:role/Somebody"}`),
	}
	some := [][]*PolicyDocument{nil, {allows}, {denies}, {document(policy.IdentityPolicy, "Allow", "")}}
	levels := [][][]*PolicyDocument{nil, nil, {{allows}}, {{allows}, {allows}}, {{allows}, {}}, {{denies}}}
	session := func(account string) policy.Principal {
		return policy.Principal{Type: policy.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/App/s1", Role: "arn:aws:iam::" + account + ":role/App"}
	}
	callers := []policy.Principal{
		{}, session(own), session(other),
		{Type: policy.RootUser, Account: own, ARN: "arn:aws:iam::" + own + ":root"},
		{Type: policy.User, Account: own, ARN: "arn:aws:iam::" + own + ":user/alice", ID: "AIDAALICE"},
		{Type: policy.Service, ARN: "logs.amazonaws.com"},
	}
	operations := []GrantOperation{GrantDecrypt, GrantRetireGrant}
	grants := [][]*Grant{nil, {{GranteePrincipal: "arn:aws:iam::" + own + ":role/Somebody", Operations: operations}}}
	for _, p := range callers {
		who := p.ARN
		if p.Role != "" {
			who = p.Role
		}
		g := &Grant{GranteePrincipal: who, Operations: operations}
		if p.Type == policy.Service {
			g = &Grant{GranteeServicePrincipal: who, Operations: operations, Constraints: GrantConstraints{SourceARN: "arn:aws:logs:::a"}}
		}
		grants = append(grants, []*Grant{g})
	}
	context, err := policy.NewValues(map[string][]string{"aws:SourceArn": {"arn:aws:logs:::a"}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 30_000
	r := rand.New(rand.NewPCG(1, 2))
	left, granted := 0, 0
	for range n {
		p, boundary := oneOf(r, callers), oneOf(r, []*PolicyDocument{nil, allows, denies})
		p.Boundary = boundary != nil
		in := EvaluateInput{
			Account: own, KeyPolicy: oneOf(r, keyPolicies), Identity: oneOf(r, some), Boundary: boundary, Session: oneOf(r, some),
			ServiceControl: oneOf(r, levels), ResourceControl: oneOf(r, levels),
			Request: &PolicyRequest{Principal: p, Action: oneOf(r, []string{"kms:Decrypt", "kms:Encrypt", actionRetireGrant}), Resource: "*", Context: context},
		}
		steps := Evaluate(in)
		in.Grants = oneOf(r, grants)
		switch {
		case in.KeyPolicy == nil, in.Request.Action == actionRetireGrant: // the grants are known before, or there are none
			if steps.open {
				t.Fatalf("%+v is left to grants", in)
			}
			continue
		case steps.open:
			left++
			steps.decideByGrants(&in)
		}
		atOnce := Evaluate(in)
		if !reflect.DeepEqual(steps, atOnce) {
			t.Fatalf("%+v: in two steps %+v, at once %+v", in, steps, atOnce)
		}
		if atOnce.grant() != nil {
			granted++
		}
	}
	if left < n/200 || granted < n/2000 {
		t.Errorf("of %d decisions %d were left to grants, and %d made by one", n, left, granted)
	}
}

// oneOf returns one of a list.
func oneOf[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// TestRetirementIsNotRemembered: who may retire one grant on a key may not therefore retire another one, for which a dry run gives the occasion: nothing changes by it.
func TestRetirementIsNotRemembered(t *testing.T) {
	const own, other = "111122223333", "444455556666"
	everything, err := policy.Parse(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}`, policy.IdentityPolicy)
	if err != nil {
		t.Fatal(err)
	}
	partner := &Identity{ARN: "arn:aws:iam::" + other + ":role/Partner", Policies: []*PolicyDocument{everything}}
	ring, err := Open(t.Context(), Config{AccountID: own, Identities: accounts{partner, {ARN: "arn:aws:iam::" + own + ":role/App"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(t.Context(), CreateKeyInput{Policy: `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": {"AWS": "` + own + `"}, "Action": "kms:*", "Resource": "*"},
		{"Effect": "Allow", "Principal": {"AWS": "` + other + `"}, "Action": "kms:CreateGrant", "Resource": "*"}]}`})
	if err != nil {
		t.Fatal(err)
	}
	stranger := ring.As(Role("Partner").InAccount(other))
	create := func(c *Client, grantee string) RetireGrantInput {
		t.Helper()
		g, err := c.CreateGrant(t.Context(), key.ARN, CreateGrantInput{GranteePrincipal: grantee, Operations: []GrantOperation{GrantDecrypt}})
		if err != nil {
			t.Fatal(err)
		}
		return RetireGrantInput{KeyRef: key.ARN, GrantID: g.GrantID}
	}
	theirs, ours := create(stranger, partner.ARN), create(ring.root, "arn:aws:iam::"+own+":role/App")
	if err := stranger.DryRun().RetireGrant(t.Context(), theirs); !errors.Is(err, ErrDryRun) {
		t.Fatal(err)
	}
	if err := stranger.RetireGrant(t.Context(), ours); !errors.Is(err, ErrAccessDenied) {
		t.Errorf("%v, want a denial", err)
	}
	if err := stranger.RetireGrant(t.Context(), theirs); err != nil {
		t.Error(err)
	}
}

// accounts are the users and roles of some accounts, of which nothing else is known.
type accounts []*Identity

var someAccount Account

func (a accounts) Current() Identities { return a }

func (a accounts) Identity(arn string) *Identity {
	for _, i := range a {
		if i.ARN == arn {
			return i
		}
	}
	return nil
}

func (a accounts) Account(id string) *Account {
	if slices.ContainsFunc(a, func(i *Identity) bool { return strings.Contains(i.ARN, "::"+id+":") }) {
		return &someAccount
	}
	return nil
}

func (a accounts) All() iter.Seq[*Identity] { return slices.Values(a) }
