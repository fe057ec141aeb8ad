package kms_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/policy"
)

// needsKeyPolicyOnly reports whether a case is decided by the key policy alone, for a caller of the key's account or a service.
func needsKeyPolicyOnly(c *vectors.Decision) bool {
	p := c.Request.Principal
	return len(c.IdentityPolicies) == 0 && !c.HasBoundary() && len(c.SessionPolicies) == 0 && len(c.Grants) == 0 &&
		(p.Account == c.KeyAccount || p.Type == "service")
}

func TestEvaluateVectors(t *testing.T) {
	ran := map[string]int{}
	for _, file := range []string{"sharp.jsonl", "random.jsonl", "grants.jsonl"} {
		for _, c := range vectors.Lines[vectors.Decision](t, "policy/testdata/"+file) {
			if !needsKeyPolicyOnly(&c) {
				continue
			}
			if c.Request.Principal.Type == "service" {
				ran["services"]++
			} else {
				ran["callers of the account"]++
			}
			doc, err := policy.Parse(string(c.KeyPolicy), policy.KeyPolicy)
			if err != nil {
				t.Errorf("%s: %v", c.ID, err)
				continue
			}
			request := c.PolicyRequest(t)
			in := kms.EvaluateInput{Account: c.KeyAccount, KeyPolicy: doc, Request: &request}
			d := kms.Evaluate(in)
			if d.Outcome.String() != c.Expect {
				t.Errorf("%s: %v, want %s: %s", c.ID, d.Outcome, c.Expect, c.Why)
			}
			if d.Reason() == "" || (d.Outcome == kms.Allowed) != strings.Contains(d.Reason(), "because of an allow") ||
				(d.Outcome == kms.ExplicitlyDenied) != strings.Contains(d.Reason(), "explicit deny") {
				t.Errorf("%s: %v for the reason %q", c.ID, d.Outcome, d.Reason())
			}
			if n := testing.AllocsPerRun(10, func() { kms.Evaluate(in) }); n != 0 {
				t.Errorf("%s: %v allocations", c.ID, n)
			}
		}
	}
	if ran["callers of the account"] != 187 || ran["services"] != 86 {
		t.Errorf("ran %v, want 187 and 86", ran)
	}
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
