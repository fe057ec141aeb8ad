package kms_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/policy"
)

// inputOf is a published case as Evaluate takes it.
func inputOf(t testing.TB, c *vectors.Decision) kms.EvaluateInput {
	t.Helper()
	parse := func(text json.RawMessage, kind policy.Kind) *kms.PolicyDocument {
		doc, err := policy.Parse(string(text), kind)
		if err != nil {
			t.Fatalf("%s: %v in %s", c.ID, err, text)
		}
		return doc
	}
	request := c.PolicyRequest(t)
	in := kms.EvaluateInput{Account: c.KeyAccount, KeyPolicy: parse(c.KeyPolicy, policy.KeyPolicy), Request: &request, EncryptionContext: kms.EncryptionContext{}}
	for _, text := range c.IdentityPolicies {
		in.Identity = append(in.Identity, parse(text, policy.IdentityPolicy))
	}
	for _, text := range c.SessionPolicies {
		in.Session = append(in.Session, parse(text, policy.IdentityPolicy))
	}
	if c.HasBoundary() {
		in.Boundary = parse(c.PermissionBoundary, policy.IdentityPolicy)
	}
	for name, values := range c.Request.Context {
		if pair, found := strings.CutPrefix(name, "kms:EncryptionContext:"); found {
			in.EncryptionContext[pair] = values[0]
		}
	}
	for _, g := range c.Grants {
		grant := &kms.Grant{GranteePrincipal: g.GranteePrincipal, Constraints: kms.GrantConstraints{
			EncryptionContextEquals: g.Constraints.EncryptionContextEquals, EncryptionContextSubset: g.Constraints.EncryptionContextSubset,
		}}
		for _, op := range g.Operations {
			grant.Operations = append(grant.Operations, kms.GrantOperation(op))
		}
		in.Grants = append(in.Grants, grant)
	}
	return in
}

func TestEvaluateVectors(t *testing.T) {
	ran := map[string]int{}
	for _, file := range []string{"sharp.jsonl", "random.jsonl", "grants.jsonl"} {
		for _, c := range vectors.Lines[vectors.Decision](t, "policy/testdata/"+file) {
			ran[c.Expect]++
			in := inputOf(t, &c)
			d := kms.Evaluate(in)
			if d.Outcome.String() != c.Expect {
				t.Errorf("%s: %v, want %s: %s", c.ID, d.Outcome, c.Expect, c.Why)
			}
			if d.Reason() == "" || (d.Outcome == kms.Allowed) != strings.Contains(d.Reason(), "because of an allow") ||
				(d.Outcome == kms.ExplicitlyDenied) != strings.Contains(d.Reason(), "explicit deny") {
				t.Errorf("%s: %v for the reason %q", c.ID, d.Outcome, d.Reason())
			}
			if (d.Outcome == kms.ImplicitlyDenied) != (d.Missing() != 0) || (d.Outcome == kms.ImplicitlyDenied) != (len(d.Grounds()) == 0) {
				t.Errorf("%s: %v rests on %v and misses %v", c.ID, d.Outcome, d.Grounds(), d.Missing())
			}
			if n := testing.AllocsPerRun(10, func() { kms.Evaluate(in) }); n != 0 {
				t.Errorf("%s: %v allocations", c.ID, n)
			}
		}
	}
	if ran["Allowed"] < 300 || ran["ExplicitlyDenied"] < 100 || ran["ImplicitlyDenied"] < 300 || ran["Allowed"]+ran["ExplicitlyDenied"]+ran["ImplicitlyDenied"] != 1124 {
		t.Errorf("ran %v, want 1124 in all", ran)
	}
	t.Log(ran)
}

func TestPutKeyPolicyVectors(t *testing.T) {
	ring := open(t)
	key, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range vectors.Lines[vectors.Put](t, "policy/testdata/put.jsonl") {
		if c.Basis == "judgement" {
			continue
		}
		ran++
		a, err := arn.Parse(c.KeyARN)
		if err != nil {
			t.Fatal(err)
		}
		document := strings.ReplaceAll(c.Document, c.KeyARN, strings.Replace(key.ARN, "eu-central-1", a.Region, 1))
		before, _ := ring.GetKeyPolicy(t.Context(), key.ARN)
		err = ring.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: document, BypassPolicyLockoutSafetyCheck: true})
		after, getErr := ring.GetKeyPolicy(t.Context(), key.ARN)
		if getErr != nil {
			t.Fatalf("%s: %v", c.ID, getErr)
		}
		refusals := []error{kms.ErrMalformedPolicy, kms.ErrLimitExceeded, kms.ErrValidation}
		switch refused := slices.ContainsFunc(refusals, func(code error) bool { return errors.Is(err, code) }); {
		case c.Expect == "Accept" && (err != nil || after != document):
			t.Errorf("%s: %v, want it accepted: %s", c.ID, err, c.Why)
		case c.Expect == "Reject" && (!refused || after != before):
			t.Errorf("%s: %v, want it refused and nothing changed: %s", c.ID, err, c.Why)
		}
	}
	if ran != 36 {
		t.Errorf("%d documents, want 36", ran)
	}
}
