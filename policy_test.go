package kms_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/policy"
)

// A policyCase is one line of the policy vectors; FORMAT.md beside them has what the fields mean.
type policyCase struct {
	ID, Kind, Class, KeyARN, KeyAccount string
	Request                             struct {
		Principal struct {
			Type, ARN, Account, RoleARN string
			Tags                        map[string]string
		}
		Action, Resource string
		Context          map[string][]string
	}
	KeyPolicy          json.RawMessage
	IdentityPolicies   []json.RawMessage
	PermissionBoundary json.RawMessage
	SessionPolicies    []json.RawMessage
	Grants             []json.RawMessage
	Document           string
	Expect, Why, Basis string
	NearMiss           bool
	SimSays            string
	SimClass           []string
}

// policyCases calls f for each case of a file.
func policyCases(t *testing.T, file string, f func(c policyCase)) {
	t.Helper()
	in, err := os.Open("policy/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		dec := json.NewDecoder(strings.NewReader(lines.Text()))
		dec.DisallowUnknownFields()
		var c policyCase
		if err := dec.Decode(&c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		f(c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// needsKeyPolicyOnly reports whether a case is decided by the key policy alone, for a caller of the key's account or a service.
func (c *policyCase) needsKeyPolicyOnly() bool {
	absent := func(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
	p := c.Request.Principal
	return len(c.IdentityPolicies) == 0 && absent(c.PermissionBoundary) && len(c.SessionPolicies) == 0 && len(c.Grants) == 0 &&
		(p.Account == c.KeyAccount || p.Type == "service")
}

// multivalued are the condition keys that hold sets.
var multivalued = []string{"kms:EncryptionContextKeys", "kms:GrantOperations", "kms:ResourceAliases", "aws:TagKeys", "aws:PrincipalOrgPaths", "aws:CalledVia",
	"aws:PrincipalServiceNamesList"}

func TestEvaluateVectors(t *testing.T) {
	types := map[string]policy.PrincipalType{"user": policy.User, "assumed-role": policy.AssumedRole, "root": policy.RootUser, "service": policy.Service}
	ran := map[string]int{}
	for _, file := range []string{"sharp.jsonl", "random.jsonl", "grants.jsonl"} {
		policyCases(t, file, func(c policyCase) {
			if !c.needsKeyPolicyOnly() {
				return
			}
			p := c.Request.Principal
			if p.Type == "service" {
				ran["services"]++
			} else {
				ran["callers of the account"]++
			}
			doc, err := policy.Parse(string(c.KeyPolicy), policy.KeyPolicy)
			if err != nil {
				t.Errorf("%s: %v", c.ID, err)
				return
			}
			values, err := policy.NewValues(c.Request.Context, multivalued...)
			if err != nil {
				t.Errorf("%s: %v", c.ID, err)
				return
			}
			in := kms.EvaluateInput{Account: c.KeyAccount, KeyPolicy: doc, Request: &kms.PolicyRequest{
				Principal: policy.Principal{Type: types[p.Type], ARN: p.ARN, Account: p.Account, Role: p.RoleARN},
				Action:    c.Request.Action, Resource: c.Request.Resource, Context: values,
			}}
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
		})
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
	policyCases(t, "put.jsonl", func(c policyCase) {
		if c.Basis == "judgement" {
			return
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
	})
	if ran != 36 {
		t.Errorf("%d documents, want 36", ran)
	}
}
