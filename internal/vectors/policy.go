package vectors

import (
	"encoding/json"
	"testing"

	"github.com/claviger/kms/policy"
)

// A Decision is a line of policy/testdata/{random,sharp,grants}.jsonl: a request, the documents that bear on it, and what is to be decided. The README beside
// them has what the members mean.
type Decision struct {
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
	Grants             []struct {
		GranteePrincipal string
		Operations       []string
		Constraints      struct {
			EncryptionContextSubset, EncryptionContextEquals map[string]string
		}
	}
	Expect, Why, Basis string
	NearMiss           bool
	SimSays            string
	SimClass           []string
}

// multivalued lists the condition keys that may hold several values.
var multivalued = []string{
	"kms:EncryptionContextKeys", "kms:GrantOperations", "kms:ResourceAliases", "aws:TagKeys", "aws:PrincipalOrgPaths", "aws:CalledVia",
	"aws:PrincipalServiceNamesList",
}

// HasBoundary reports whether the caller has a permissions boundary.
func (d *Decision) HasBoundary() bool {
	return len(d.PermissionBoundary) > 0 && string(d.PermissionBoundary) != "null"
}

// PolicyRequest is the request as the policy language takes it.
func (d *Decision) PolicyRequest(t testing.TB) policy.Request {
	t.Helper()
	p := d.Request.Principal
	kind, ok := map[string]policy.PrincipalType{
		"user": policy.User, "assumed-role": policy.AssumedRole, "root": policy.RootUser, "service": policy.Service,
	}[p.Type]
	if !ok {
		t.Fatalf("%s: a principal of type %q", d.ID, p.Type)
	}
	values, err := policy.NewValues(d.Request.Context, multivalued...)
	if err != nil {
		t.Fatalf("%s: %v", d.ID, err)
	}
	return policy.Request{
		Principal: policy.Principal{Type: kind, ARN: p.ARN, Account: p.Account, Role: p.RoleARN, Boundary: d.HasBoundary()},
		Action:    d.Request.Action, Resource: d.Request.Resource, Context: values,
	}
}

// A Put is a line of policy/testdata/put.jsonl: a key policy, and whether PutKeyPolicy is to take it ("Accept" or "Reject").
type Put struct{ ID, Kind, Class, KeyARN, KeyAccount, Document, Expect, Why, Basis string }
