package policy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms/policy"
)

// The published cases of testdata judge whole decisions, not documents. To put the language to their test without the rules for keys built on it, this file
// has a combiner of its own: which documents apply, and what each way of matching is worth.

// A decisionCase is a line of testdata/{random,sharp,grants}.jsonl; see testdata/README.md.
type decisionCase struct {
	ID, Kind, Class, KeyArn, KeyAccount string
	Request                             struct {
		Principal struct {
			Type, Arn, Account, RoleArn string
			Tags                        map[string]string
		}
		Action, Resource string
		Context          map[string][]string
	}
	KeyPolicy          json.RawMessage
	IdentityPolicies   []json.RawMessage
	PermissionBoundary json.RawMessage
	SessionPolicies    []json.RawMessage
	Grants             []struct {
		GranteePrincipal string
		Operations       []string
		Constraints      struct {
			EncryptionContextSubset, EncryptionContextEquals map[string]string
		}
	}
	Expect, Why string
	Basis       string
	NearMiss    bool
	SimSays     string
	SimClass    []string
}

// multivalued lists the condition keys that may hold several values.
var multivalued = []string{
	"kms:EncryptionContextKeys", "kms:GrantOperations", "kms:ResourceAliases", "aws:TagKeys", "aws:PrincipalOrgPaths", "aws:CalledVia",
	"aws:PrincipalServiceNamesList",
}

// A decision is a decisionCase with its documents parsed.
type decision struct {
	decisionCase
	request                          policy.Request
	key                              *policy.Document
	identities, boundaries, sessions []*policy.Document
}

func (d *decision) documents() []*policy.Document {
	return slices.Concat([]*policy.Document{d.key}, d.identities, d.boundaries, d.sessions)
}

// readLines decodes each line of a file of testdata into a T and refuses members that T does not have.
func readLines[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v T
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func readDecisions(t testing.TB, name string) []*decision {
	t.Helper()
	var all []*decision
	for _, c := range readLines[decisionCase](t, name) {
		d := &decision{decisionCase: c}
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

		values, err := policy.NewValues(c.Request.Context, multivalued...)
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		p := c.Request.Principal
		d.request = policy.Request{
			Principal: policy.Principal{
				Type: map[string]policy.PrincipalType{
					"user": policy.User, "assumed-role": policy.AssumedRole, "root": policy.RootUser, "service": policy.Service,
				}[p.Type],
				ARN: p.Arn, Account: p.Account, Role: p.RoleArn, Boundary: len(d.boundaries) > 0,
			},
			Action: c.Request.Action, Resource: c.Request.Resource, Context: values,
		}
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

// A putCase is a line of testdata/put.jsonl.
type putCase struct{ ID, Kind, Class, KeyArn, KeyAccount, Document, Expect, Why, Basis string }

func TestPublishedDocuments(t *testing.T) {
	cases := readLines[putCase](t, "put.jsonl")
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
