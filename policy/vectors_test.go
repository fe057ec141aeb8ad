package policy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/policy"
)

// The published cases of testdata judge whole decisions, not documents. To put the language to their test without the rules for keys built on it, this file
// has a combiner of its own: which documents apply, and what each way of matching is worth.

// A decision is a published case with its documents parsed.
type decision struct {
	vectors.Decision
	request                          policy.Request
	key                              *policy.Document
	identities, boundaries, sessions []*policy.Document
}

func (d *decision) documents() []*policy.Document {
	return slices.Concat([]*policy.Document{d.key}, d.identities, d.boundaries, d.sessions)
}

func readDecisions(t testing.TB, name string) []*decision {
	t.Helper()
	var all []*decision
	for _, c := range vectors.Lines[vectors.Decision](t, "testdata/"+name) {
		d := &decision{Decision: c, request: c.PolicyRequest(t)}
		parse := func(kind policy.Kind, texts ...json.RawMessage) (docs []*policy.Document) {
			for _, text := range texts {
				if len(text) == 0 || string(text) == "null" {
					continue
				}
				doc, err := policy.Parse(string(text), kind)
				if err != nil {
					t.Fatalf("%s: %v in %s", c.ID, err, text)
				}
				docs = append(docs, doc)
			}
			return docs
		}
		d.key = parse(policy.KeyPolicy, c.KeyPolicy)[0]
		d.identities = parse(policy.IdentityPolicy, c.IdentityPolicies...)
		d.boundaries = parse(policy.IdentityPolicy, c.PermissionBoundary)
		d.sessions = parse(policy.IdentityPolicy, c.SessionPolicies...)
		all = append(all, d)
	}
	return all
}

const (
	allowed          = "Allowed"
	explicitlyDenied = "ExplicitlyDenied"
	implicitlyDenied = "ImplicitlyDenied"
)

// decide combines the verdicts of all documents that apply.
func decide(d *decision) string {
	for _, doc := range d.documents() {
		if doc.Evaluate(&d.request).Deny.Found() {
			return explicitlyDenied
		}
	}
	allows := func(docs []*policy.Document) bool {
		return slices.ContainsFunc(docs, func(doc *policy.Document) bool { return doc.Evaluate(&d.request).Identity.Found() })
	}
	v := d.key.Evaluate(&d.request)
	who := d.request.Principal
	bounded := len(d.boundaries) > 0 && !allows(d.boundaries)
	limited := len(d.sessions) > 0 && !allows(d.sessions)
	granted := false
	switch {
	case who.Type == policy.Service:
		granted = v.Principal.Found()
	case who.Account != d.KeyAccount:
		// Both sides must agree; the key's side may name the caller however it likes.
		named := v.Principal.Found() || v.Role.Found() || v.Everyone.Found() || v.Account.Found()
		granted = named && who.Type != policy.RootUser && allows(d.identities) && !bounded && !limited
	case who.Type == policy.RootUser:
		granted = v.Account.Found() || v.Everyone.Found()
	default:
		granted = v.Principal.Found() ||
			v.Everyone.Found() && !limited ||
			v.Role.Found() && !bounded && !limited ||
			v.Account.Found() && allows(d.identities) && !bounded && !limited ||
			hasGrant(d)
	}
	if granted {
		return allowed
	}
	return implicitlyDenied
}

// hasGrant reports whether a grant in the caller's own account names the caller and the operation, and its constraints are met.
func hasGrant(d *decision) bool {
	pairs := map[string]string{}
	for name, values := range d.Request.Context {
		if pair, ok := strings.CutPrefix(name, "kms:EncryptionContext:"); ok {
			pairs[pair] = values[0]
		}
	}
	for _, g := range d.Grants {
		grantee := g.GranteePrincipal == d.request.Principal.ARN || g.GranteePrincipal == d.request.Principal.Role
		if !grantee || !slices.Contains(g.Operations, d.request.Action[len("kms:"):]) {
			continue
		}
		c := g.Constraints
		if d.request.Action == "kms:DescribeKey" || includes(pairs, c.EncryptionContextSubset) &&
			(c.EncryptionContextEquals == nil || len(pairs) == len(c.EncryptionContextEquals) && includes(pairs, c.EncryptionContextEquals)) {
			return true
		}
	}
	return false
}

// includes reports whether all has every pair of some. Names compare without case, values with it.
func includes(all, some map[string]string) bool {
	for name, value := range some {
		found := false
		for n, v := range all {
			found = found || strings.EqualFold(n, name) && v == value
		}
		if !found {
			return false
		}
	}
	return true
}

var decisionFiles = []struct {
	name  string
	cases int
}{{"random.jsonl", 1000}, {"grants.jsonl", 73}, {"sharp.jsonl", 51}}

func allDecisions(t testing.TB) (all []*decision) {
	for _, f := range decisionFiles {
		all = append(all, readDecisions(t, f.name)...)
	}
	return all
}

func TestPublishedDecisions(t *testing.T) {
	for _, f := range decisionFiles {
		t.Run(f.name, func(t *testing.T) {
			cases := readDecisions(t, f.name)
			if len(cases) != f.cases {
				t.Errorf("%d cases, want %d", len(cases), f.cases)
			}
			for _, d := range cases {
				if got := decide(d); got != d.Expect {
					t.Errorf("%s: %s, want %s: %s", d.ID, got, d.Expect, d.Why)
				}
			}
		})
	}
}

func TestPublishedDocuments(t *testing.T) {
	cases := vectors.Lines[vectors.Put](t, "testdata/put.jsonl")
	if len(cases) != 42 {
		t.Errorf("%d cases, want 42", len(cases))
	}
	for _, c := range cases {
		_, err := policy.Parse(c.Document, policy.KeyPolicy)
		if got := map[bool]string{true: "Accept", false: "Reject"}[err == nil]; got != c.Expect {
			t.Errorf("%s: %s, want %s: %s (%v)", c.ID, got, c.Expect, c.Why, err)
		}
	}
}
