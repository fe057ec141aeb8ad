package kms

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/claviger/kms/policy"
)

// The names of package policy that this package's own functions speak of.
type (
	// A PolicyDocument is a compiled policy; see [policy.Parse].
	PolicyDocument = policy.Document
	// A PolicyRequest is what a policy is asked; see [policy.Request].
	PolicyRequest = policy.Request
)

// An Outcome is how a request is decided.
type Outcome uint8

// Outcomes. The zero Outcome is a denial.
const (
	ImplicitlyDenied Outcome = iota // nothing allows it
	ExplicitlyDenied                // a Deny statement applies
	Allowed
)

// String returns "Allowed", "ExplicitlyDenied" or "ImplicitlyDenied".
func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "Allowed"
	case ExplicitlyDenied:
		return "ExplicitlyDenied"
	default:
		return "ImplicitlyDenied"
	}
}

// An EvaluateInput is everything that decides a request.
type EvaluateInput struct {
	Account   string          // whose key it is
	KeyPolicy *PolicyDocument // nil for an action that has no key
	Request   *PolicyRequest
}

// A Decision is the answer of [Evaluate]. It refers to the documents it was made of, and to nothing of the request.
type Decision struct {
	Outcome   Outcome
	Statement policy.Index // the statement of the key policy that decided, or [policy.None]

	lasting  bool // the key policy says the same whatever the request's Context; see [policy.Verdict]
	document *PolicyDocument
	missing  string // what would have had to allow it
	action   string
}

const (
	resourceBased = "resource-based"
	identityBased = "identity-based"
)

// Evaluate decides a request: an explicit Deny wins, then something must allow it. It is a pure function, allocates nothing, and is what every operation of a
// keyring asks.
//
// A key policy allows the principals that it names, the sessions of roles that it names, and, by "*", every principal of the key's account. By naming the
// account it allows the account's root user; for everyone else it only delegates to IAM policies. An action without a key is the root user's. What IAM
// policies, permissions boundaries, session policies, grants and the policies of other accounts would allow is not allowed, since none is known here.
func Evaluate(in EvaluateInput) Decision {
	if in.Request == nil {
		return Decision{Statement: policy.None}
	}
	p := &in.Request.Principal
	d := Decision{Statement: policy.None, document: in.KeyPolicy, missing: identityBased, action: in.Request.Action}
	sameAccount := p.Account != "" && p.Account == in.Account
	if in.KeyPolicy == nil {
		if p.Type == policy.RootUser && sameAccount {
			d.Outcome = Allowed
		}
		return d
	}
	v := in.KeyPolicy.Evaluate(in.Request)
	d.lasting = v.Lasting
	if v.Deny.Found() {
		d.Outcome, d.Statement = ExplicitlyDenied, v.Deny
		return d
	}
	if !sameAccount && p.Type != policy.Service {
		d.missing = resourceBased
		return d
	}
	allow := func(i policy.Index) Decision {
		d.Outcome, d.Statement = Allowed, i
		return d
	}
	switch {
	case v.Principal.Found():
		return allow(v.Principal)
	case v.Role.Found() && !p.Boundary: // the boundary, which is not known here, would have to allow it too
		return allow(v.Role)
	case v.Everyone.Found() && sameAccount:
		return allow(v.Everyone)
	case v.Account.Found() && p.Type == policy.RootUser:
		return allow(v.Account)
	case !v.Account.Found():
		d.missing = resourceBased
	}
	return d
}

// permissions remember who has been allowed what on one snapshot of a key, where nothing but the caller and the action decided: see [policy.Verdict]. Another policy
// is another snapshot, which remembers nothing. They are bounded, since there are as many callers as somebody likes; a newer one takes an older one's place.
type permissions [16]atomic.Pointer[permission]

type permission struct {
	caller *identity
	need   *need
}

// reach is how many places a caller's permissions may have.
const reach = 4

// has reports whether the caller is remembered to be allowed what n needs. A client that was made anew for the same caller has an identity of its own.
func (p *permissions) has(caller *identity, n *need) bool {
	for i := range uint8(reach) {
		got := p[(caller.place+i)%uint8(len(p))].Load()
		if got != nil && got.need == n && (got.caller == caller || got.caller.principal == caller.principal) {
			return true
		}
	}
	return false
}

// remember is for what [Evaluate] allowed.
func (p *permissions) remember(caller *identity, n *need) {
	next := &permission{caller: caller, need: n}
	for i := range uint8(reach) {
		if p[(caller.place+i)%uint8(len(p))].CompareAndSwap(nil, next) {
			return
		}
	}
	p[(caller.place+uint8(rand.N(reach)))%uint8(len(p))].Store(next)
}

// Reason says why, in the words of AWS KMS, and names the statement that decided by its Sid or its place. AWS KMS says that no identity-based policy allows an
// action also where a statement names the caller and its condition is not met; [policy.Document.Explain] tells what became of each statement.
func (d Decision) Reason() string {
	switch d.Outcome {
	case Allowed:
		if !d.Statement.Found() {
			return "because the account's root user may"
		}
		return "because of an allow in a resource-based policy (" + d.statement() + ")"
	case ExplicitlyDenied:
		return "with an explicit deny in a resource-based policy (" + d.statement() + ")"
	default:
		return "because no " + d.missing + " policy allows the " + d.action + " action"
	}
}

// statement names the deciding statement: by its Sid, or as parse errors do, by its place in the document.
func (d Decision) statement() string {
	if sid := d.document.Sid(d.Statement); sid != "" {
		return fmt.Sprintf("Statement %q", sid)
	}
	return fmt.Sprintf("Statement[%d]", d.Statement)
}
