package kms

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/policy"
)

// Identities are the IAM side of decisions: which users and roles there are, and what their accounts attach to them. Package identities reads them from files.
//
// Every operation asks for its caller, so that the methods must be quick, must not block, and must be safe for concurrent use. What they return must not change
// afterwards: something that changed is another value at another address, since decisions are remembered for as long as the addresses are the same.
type Identities interface {
	// Current returns what they all say at this moment, as one view that does not change, so that no decision mixes what was before a change with what is after it.
	// Identities that never change return themselves. While there is nothing to return, as nil, everything is refused.
	Current() Identities

	// Identity returns the user or role with that ARN, or nil if there is none: nobody can call as one that there is not, and no key policy can name it.
	Identity(arn string) *Identity

	// Account returns what is known of an account, or nil if there is none. No caller and no policy can be of an account that there is not, but for the keyring's own.
	Account(id string) *Account

	// All ranges over every user and role, in any order.
	All() iter.Seq[*Identity]
}

// An Identity is an IAM user or role, with what its account attaches to it.
type Identity struct {
	ARN      string            // with its path
	ID       string            // the unique id, such as AIDAEXAMPLE, which no other user or role ever has; empty if there are no such ids
	Tags     []Tag             // for aws:PrincipalTag
	Policies []*PolicyDocument // of kind [policy.IdentityPolicy]: its own, attached ones, and those of its groups
	Boundary *PolicyDocument   // the permissions boundary; nil is none
}

// An Account is what is known of an account.
type Account struct {
	ID                string   // twelve digits
	OrganizationID    string   // for aws:PrincipalOrgID; empty if it is in none
	OrganizationPaths []string // for aws:PrincipalOrgPaths

	// ServiceControl limit what the principals of the account may do, and ResourceControl, of kind [policy.ResourceControlPolicy], what may be done with its keys: for each
	// level of the organisation, from its root to the account, the policies that are attached there. No levels limit nothing; a level without policies allows nothing.
	ServiceControl  [][]*PolicyDocument
	ResourceControl [][]*PolicyDocument
}

// A standing is what IAM says of a caller, and of the account whose keys they are, when a call begins. Two that are equal are the same.
type standing struct {
	identity *Identity
	account  *Account // the caller's
	owner    *Account // the keyring's
}

// A census is what Identities say to one call, from its beginning to its end.
type census struct {
	ids  Identities // nil if the ring has none: then there is whoever is named
	ring *ringID
}

// census asks Identities for what they say now. It fails if they say nothing: with nobody's policies, nobody would be denied anything.
func (c *core) census() (census, error) {
	now := census{ring: c.ring.ringID}
	if c.cfg.Identities == nil {
		return now, nil
	}
	if now.ids = c.cfg.Identities.Current(); now.ids == nil || isNilPointer(now.ids) {
		return census{}, errNoCensus
	}
	return now, nil
}

var errNoCensus error = &fault{code: ErrInternal, message: "Config.Identities has nothing to say: its Current returned nil."}

// identity returns the user or role with that ARN, or nil. One with another ARN, as in letter case, is somebody else.
func (c census) identity(arn string) *Identity {
	if i := c.ids.Identity(arn); i != nil && i.ARN == arn {
		return i
	}
	return nil
}

// all ranges over every user and role.
func (c census) all() iter.Seq[*Identity] {
	return func(yield func(*Identity) bool) {
		if c.ids == nil {
			return
		}
		all := c.ids.All()
		if all == nil {
			return
		}
		for i := range all {
			if i != nil && !yield(i) {
				return
			}
		}
	}
}

// standing asks about an actor. It fails for one that there is not.
func (c census) standing(who *actor) (s standing, err error) {
	if c.ids == nil {
		return standing{}, nil
	}
	s.owner = c.ids.Account(c.ring.account)
	if who.principal.Type == policy.Service {
		return s, nil
	}
	if s.account = s.owner; who.principal.Account != c.ring.account {
		s.account = c.ids.Account(who.principal.Account)
		if s.account == nil {
			return standing{}, unknownCaller("account " + who.principal.Account)
		}
	}
	if who.behind != "" {
		if s.identity = c.identity(who.behind); s.identity == nil {
			return standing{}, unknownCaller(who.behind)
		}
	}
	return s, nil
}

// errUnknownCaller is the cause of a denial to somebody whom Identities do not have.
var errUnknownCaller = errors.New("no such caller")

// unknownCaller denies everything, and says to the caller what of its own name there is not.
func unknownCaller(what string) error {
	return &fault{code: ErrAccessDenied, message: "The keyring's identities have no " + what + ", so that nobody can call as it.", cause: errUnknownCaller}
}

// principal is the caller's, as policies match it.
func (s *standing) principal(who *actor) policy.Principal {
	p := who.principal
	if s.identity != nil {
		p.ID, p.Boundary = s.identity.ID, s.identity.Boundary != nil
	}
	return p
}

// Question returns what [Evaluate] is to be asked about a caller of the ring and a resource that is not the ring's: an object, a queue, whatever has a policy of its own,
// which goes into KeyPolicy. It has what Config.Identities says of the caller now, its session policies and its circumstances; the condition keys are those of the caller.
// It fails for a caller that cannot be, is not known, or whose credentials have expired, with an error that matches [ErrAccessDenied] or [ErrExpiredToken].
func (k *Keyring) Question(caller Caller, action, resource string) (EvaluateInput, error) {
	op := &operation{name: "Question", needs: []need{{action: action, on: onAccount}}}
	cl := &call{frame: frame{client: k.As(caller), op: op, req: request{details: &noDetails}}}
	cl.at, cl.now = k.c.clock.read()
	if err := cl.identify(); err != nil {
		return EvaluateInput{}, wrap(op.name, "", err)
	}
	in := cl.question(0)
	cl.input.Resource, cl.input.Context = resource, circumstancesOf{cl}
	return in, nil
}

// circumstancesOf are the condition keys of a call that are about its caller.
type circumstancesOf struct{ cl *call }

// Lookup implements [policy.Context].
func (c circumstancesOf) Lookup(key policy.Key) policy.Value {
	switch ofKMS := !strings.HasPrefix(key.Name, "aws:"); {
	case ofKMS && key.Name != "kms:viaservice" && key.Name != "kms:calleraccount", slices.Contains([]string{"aws:resourcetag", "aws:requesttag", "aws:tagkeys"}, key.Name):
		return policy.Value{}
	default:
		return c.cl.Lookup(key)
	}
}

// input begins what [Evaluate] is asked about a caller.
func (s *standing) input(who *actor, account string) EvaluateInput {
	in := EvaluateInput{Account: account, Session: who.policies}
	if s.identity != nil {
		in.Identity, in.Boundary = s.identity.Policies, s.identity.Boundary
	}
	if s.account != nil {
		in.ServiceControl = s.account.ServiceControl
	}
	if s.owner != nil {
		in.ResourceControl = s.owner.ResourceControl
	}
	return in
}

// exists reports whether there is a principal of that ARN, or an account of that id. Without Identities there is whatever is named; the sessions of federated users
// exist with their account.
func (c census) exists(name string) bool {
	if c.ids == nil {
		return true
	}
	if arn.IsAccountID(name) {
		return name == c.ring.account || c.ids.Account(name) != nil
	}
	a, err := arn.Parse(name)
	if err != nil || a.Partition != c.ring.partition || !c.exists(a.Account) {
		return false
	}
	switch kind, rest, _ := strings.Cut(a.Resource, "/"); kind {
	case "user", "role":
		return c.identity(name) != nil
	case "assumed-role":
		role, _, _ := strings.Cut(rest, "/")
		_, found := c.roleNamed(a.Account, role)
		return found
	default:
		return true
	}
}

// roleNamed returns the name with its path of the role that has a name in an account, which the ARNs of its sessions do not tell.
func (c census) roleNamed(account, name string) (path string, found bool) {
	prefix := "arn:" + c.ring.partition + ":iam::" + account + ":role/"
	for i := range c.all() {
		if path, found = strings.CutPrefix(i.ARN, prefix); found && baseName(path) == name {
			return path, true
		}
	}
	return "", false
}

// bind checks that every principal of a policy exists, and returns those that have unique ids: ARNs and ids in turn, ascending by ARN.
func (c census) bind(doc *PolicyDocument) (bound []string, err error) {
	ids := make(map[string]string)
	for p := range doc.Principals() {
		if p.Type != "AWS" || p.Value == "*" {
			continue
		}
		if !c.exists(p.Value) {
			return nil, faultf(ErrMalformedPolicy, "Policy contains a statement with one or more invalid principals (Statement[%d]: there is no %s).", p.Statement, printable(p.Value))
		}
		if id := c.unique(p.Value); id != "" {
			ids[p.Value] = id
		}
	}
	for _, arn := range slices.Sorted(maps.Keys(ids)) {
		bound = append(bound, arn, ids[arn])
	}
	return bound, nil
}

// unique returns the unique id of a user or role, or "".
func (c census) unique(arn string) string {
	if c.ids != nil {
		if i := c.identity(arn); i != nil {
			return i.ID
		}
	}
	return ""
}
