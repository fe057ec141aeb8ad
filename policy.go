package kms

import (
	"strings"

	"github.com/claviger/kms/policy"
)

// The names of package policy that this package's own functions speak of.
type (
	// A PolicyDocument is a compiled policy; see [policy.Parse].
	PolicyDocument = policy.Document
	// A PolicyRequest is what a policy is asked; see [policy.Request].
	PolicyRequest = policy.Request
)

// An EvaluateInput is everything that decides a request.
type EvaluateInput struct {
	Account   string          // whose key it is; for an action that has no key, the account that is asked
	KeyPolicy *PolicyDocument // nil for an action that has no key

	Identity []*PolicyDocument // the policies of the user and its groups, or of the role behind a session
	Boundary *PolicyDocument   // the permissions boundary; nil is none
	Session  []*PolicyDocument // the session policies; none limits nothing, but in a federated user's session

	// ServiceControl are the service control policies of the caller's account, and ResourceControl the resource control policies of the key's: for each level of the
	// organisation, from its root to the account, those that are attached there. Who is exempt from them gets none.
	ServiceControl  [][]*PolicyDocument
	ResourceControl [][]*PolicyDocument

	Grants            []*Grant          // those on the key that may be the caller's; any others make no difference
	EncryptionContext EncryptionContext // of the request, for the constraints of grants; for kms:CreateGrant, the one that the new grant's constraints hold
	NewGrant          *Grant            // for kms:CreateGrant: the grant that is to be made

	Request *PolicyRequest
}

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

// Evaluate decides a request: an explicit Deny in any policy wins, then something must allow it. It is a pure function, allocates nothing, and is what every
// operation of a keyring asks. [Explain] says more about the same decision.
//
// A key policy allows the principals that it names, the sessions of roles that it names, and, by "*", every principal of the key's account. By naming the
// account it allows the account's root user; for everyone else it only delegates to identity policies. A grant allows its grantee. An action without a key is the
// root user's, and those to whom their identity policies give it. A caller of another account needs both sides, or a grant. What limits whom, where the documents
// leave a choice, is the narrower reading: docs/design.md lists them.
//
// It decides as well about any other resource with a policy of its own whose owner has no power beside it; [Keyring.Question] begins the input for a caller of the ring.
func Evaluate(in EvaluateInput) (d Decision) {
	if in.Request == nil {
		return d
	}
	in.prepare()
	d.action = in.Request.Action
	boundary := [...]*PolicyDocument{in.Boundary}
	f := findings{lasting: d.action != actionRetireGrant} // which is about one grant, of the many on a key
	f.serviceControl = f.readLevels(in.ServiceControl, SourceServiceControl, in.Request)
	f.resourceControl = f.readLevels(in.ResourceControl, SourceResourceControl, in.Request)
	if in.KeyPolicy != nil {
		f.key = in.KeyPolicy.Evaluate(in.Request)
		f.lasting = f.lasting && f.key.Lasting
		f.deny(Ground{Source: SourceKeyPolicy, Statement: f.key.Deny, document: in.KeyPolicy})
	}
	f.read(in.Identity, SourceIdentity, in.Request, &f.identity)
	if in.Boundary != nil {
		f.read(boundary[:], SourceBoundary, in.Request, &f.boundary)
	}
	f.read(in.Session, SourceSession, in.Request, &f.session)
	d.lasting = f.lasting
	if f.denied.Source != 0 {
		d.Outcome = ExplicitlyDenied
		d.rest(f.denied)
		return d
	}
	d.decide(&in, &f)
	return d
}

// prepare makes the input consistent: whoever has a boundary is said to have one, and the policies of resources have no say in the retirement of grants. It allocates
// only for a request that does not say it.
func (in *EvaluateInput) prepare() {
	if in.Boundary != nil && !in.Request.Principal.Boundary {
		bounded := *in.Request
		bounded.Principal.Boundary = true
		in.Request = &bounded
	}
	if in.Request.Action == actionRetireGrant {
		in.KeyPolicy, in.ResourceControl = nil, nil
	}
}

// sameAccount reports whether the caller is of the key's account.
func (in *EvaluateInput) sameAccount() bool {
	account := in.Request.Principal.Account
	return account != "" && account == in.Account
}

// findings are what the policies say of a request, source by source.
type findings struct {
	key                             policy.Verdict // of the key policy
	identity, boundary, session     Ground         // the first statement that allows it; its Source is zero if none does
	serviceControl, resourceControl bool           // whether every level allows it
	denied                          Ground         // the first statement that denies it
	lasting                         bool           // none of them looked at the request's Context
}

func (f *findings) deny(g Ground) {
	if g.Statement.Found() && f.denied.Source == 0 {
		f.denied = g
	}
}

// read asks the policies of one source, which are about the caller or about everybody, and finds the first statement that allows the request.
func (f *findings) read(documents []*PolicyDocument, source Source, r *PolicyRequest, allow *Ground) {
	for i, doc := range documents {
		v := doc.Evaluate(r)
		f.lasting = f.lasting && v.Lasting
		f.deny(Ground{Source: source, Policy: i, Statement: v.Deny, document: doc})
		if allow.Source == 0 && v.Identity.Found() {
			*allow = Ground{Source: source, Policy: i, Statement: v.Identity, document: doc}
		}
	}
}

// readLevels asks the policies of every level of an organisation, and reports whether each has one that allows the request.
func (f *findings) readLevels(levels [][]*PolicyDocument, source Source, r *PolicyRequest) bool {
	all := true
	for _, documents := range levels {
		var allow Ground
		f.read(documents, source, r, &allow)
		all = all && allow.Source != 0
	}
	return all
}

// limits are the limits of what somebody else's permissions are worth to a caller: a permissions boundary, session policies. Each is the source that does not allow
// the request, or zero.
type limits struct{ boundary, session Source }

func (f *findings) limits(in *EvaluateInput) (l limits) {
	p := &in.Request.Principal
	if p.Boundary && f.boundary.Source == 0 {
		l.boundary = SourceBoundary
	}
	if (len(in.Session) > 0 || p.Type == policy.FederatedUser) && f.session.Source == 0 { // a federated session without policies has no permissions of its user's
		l.session = SourceSession
	}
	return l
}

// first returns the first limit, or zero.
func (l limits) first() Source {
	if l.boundary != 0 {
		return l.boundary
	}
	return l.session
}

// decide decides a request that no policy denies.
func (d *Decision) decide(in *EvaluateInput, f *findings) {
	p := &in.Request.Principal
	switch {
	case p.Type < policy.RootUser || p.Type > policy.Service: // nobody knows who asks
		d.missing = SourceKeyPolicy
		return
	case !f.resourceControl:
		d.missing = SourceResourceControl
		return
	case !f.serviceControl:
		d.missing = SourceServiceControl
		return
	}
	sameAccount := in.sameAccount()
	l := f.limits(in)
	switch {
	case in.Request.Action == actionRetireGrant:
		d.decideRetirement(in, f, l, sameAccount)
		return
	case in.KeyPolicy == nil:
		d.decideAccount(in, f, l, sameAccount)
		return
	case p.Type == policy.Service:
		d.allow(f.key.Principal, in, SourceKeyPolicy)
	case sameAccount:
		d.decideHere(in, f, l)
	default:
		d.decideAcross(in, f, l)
	}
	if d.Outcome != Allowed {
		d.open = true
		d.decideByGrants(in)
	}
}

// decideByGrants decides a request that the policies have left to the grants: the first that allows it does.
func (d *Decision) decideByGrants(in *EvaluateInput) {
	for _, g := range in.Grants {
		if g.failed(in) == "" {
			d.allowByGrant(g)
			return
		}
	}
}

func (d *Decision) allowByGrant(g *Grant) {
	*d = Decision{action: d.action, Outcome: Allowed}
	d.rest(Ground{Source: SourceGrant, Grant: g})
}

// decideRetirement decides whether the caller may retire one of the grants: its retiring principal may, its grantee if it has RetireGrant, and so may, with the
// permission of their identity policies, the principals of the account that made the grant and of an account that is its retiring principal. As a grant does not hold
// for a caller of another account who is limited, nor does what it says of its retiring principal.
func (d *Decision) decideRetirement(in *EvaluateInput, f *findings, l limits, sameAccount bool) {
	p := &in.Request.Principal
	mayRetire := sameAccount && len(in.Grants) == 0
	for _, g := range in.Grants {
		if g == nil {
			continue
		}
		isService := p.Type == policy.Service
		if isService && g.RetiringServicePrincipal == p.ARN || isNamed(g.RetiringPrincipal, g.retiringID, p) && !in.isLimitedAcross() || g.failed(in) == "" {
			d.allowByGrant(g)
			return
		}
		mayRetire = mayRetire || isAccountOf(g.IssuingAccount, p) || isAccountOf(g.RetiringPrincipal, p)
	}
	d.decideAccount(in, f, l, mayRetire)
}

// isAccountOf reports whether an ARN is that of the root user of the caller's account.
func isAccountOf(arn string, p *policy.Principal) bool {
	account, isRoot := strings.CutSuffix(arn, ":root")
	return isRoot && p.Account != "" && strings.HasSuffix(account, "::"+p.Account)
}

// allow allows the request by a statement of the key policy, if it is found, and says what is missing otherwise.
func (d *Decision) allow(i policy.Index, in *EvaluateInput, missing Source) bool {
	if !i.Found() {
		d.missing = missing
		return false
	}
	d.Outcome, d.missing = Allowed, 0
	d.rest(Ground{Source: SourceKeyPolicy, Statement: i, document: in.KeyPolicy})
	return true
}

// decideAccount decides about an action without a key: it is the root user's, and theirs who have it of their identity policies.
func (d *Decision) decideAccount(in *EvaluateInput, f *findings, l limits, sameAccount bool) {
	switch {
	case !sameAccount && in.Request.Action == actionRetireGrant:
		d.missing = SourceGrant
	case !sameAccount: // nothing there can speak for another account
		d.missing = SourceKeyPolicy
	case in.Request.Principal.Type == policy.RootUser:
		if d.missing = l.first(); d.missing == 0 {
			d.Outcome = Allowed
		}
	default:
		d.delegate(in, f, l)
	}
}

// decideHere decides about a caller of the key's account.
func (d *Decision) decideHere(in *EvaluateInput, f *findings, l limits) {
	k := &f.key
	isUser, isRoot := in.Request.Principal.Type == policy.User, in.Request.Principal.Type == policy.RootUser
	switch { // each of them may be out of the question, and the next one not
	case k.Principal.Found() && (!isUser || l.session == 0): // a session named in person is not limited by its policies
		d.allow(k.Principal, in, 0)
	case k.Everyone.Found() && l.session == 0:
		d.allow(k.Everyone, in, 0)
	case k.Role.Found() && l.first() == 0:
		d.allow(k.Role, in, 0)
	case k.Account.Found() && isRoot && l.session == 0:
		d.allow(k.Account, in, 0)
	case k.Account.Found() && !isRoot && f.identity.Source != 0 && l.first() == 0:
		d.allow(k.Account, in, 0)
		d.delegate(in, f, l)
	case k.Principal.Found(), k.Everyone.Found():
		d.missing = l.session
	case k.Role.Found():
		d.missing = l.first()
	case !k.Account.Found():
		d.missing = SourceKeyPolicy
	case isRoot:
		d.missing = l.session
	default:
		d.delegate(in, f, l)
	}
}

// decideAcross decides about a caller of another account: the key's policy must name the caller in some way, and the caller's own account must allow it too.
func (d *Decision) decideAcross(in *EvaluateInput, f *findings, l limits) {
	k := &f.key
	named := k.Principal
	for _, i := range [...]policy.Index{k.Role, k.Account, k.Everyone} {
		if !named.Found() {
			named = i
		}
	}
	switch {
	case !named.Found(), in.Request.Principal.Type == policy.RootUser:
		d.missing = SourceKeyPolicy
	case f.identity.Source != 0 && l.first() == 0:
		d.allow(named, in, 0)
		d.delegate(in, f, l)
	default:
		d.delegate(in, f, l)
	}
}

// delegate decides by the policies on the caller's side: identity policies must allow the request, and whatever limits them too.
func (d *Decision) delegate(in *EvaluateInput, f *findings, l limits) {
	if d.missing = l.first(); f.identity.Source == 0 {
		d.missing = SourceIdentity
	}
	if d.missing != 0 {
		return
	}
	d.Outcome = Allowed
	d.rest(f.identity)
	if f.boundary.Source != 0 {
		d.rest(f.boundary)
	}
	if f.session.Source != 0 {
		d.rest(f.session)
	}
}

const (
	actionPutKeyPolicy = actionPrefix + "PutKeyPolicy"
	actionCreateGrant  = actionPrefix + "CreateGrant"
	actionRetireGrant  = actionPrefix + "RetireGrant"
)

// actionPrefix is what the names of all actions of this service begin with.
const actionPrefix = "kms:"
