package kms

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/kms/policy"
)

// A Source is a place from which permissions, denials and limits come.
type Source uint8

// Sources. The zero Source is none.
const (
	SourceKeyPolicy       Source = iota + 1 // the policy of the key
	SourceIdentity                          // the policies of a user, its groups or a role
	SourceBoundary                          // a permissions boundary
	SourceSession                           // the policies of a session
	SourceServiceControl                    // the service control policies of the caller's account
	SourceResourceControl                   // the resource control policies of the key's account
	SourceGrant                             // a grant on the key
)

// String names a policy of the source as AWS does: "resource-based policy".
func (s Source) String() string {
	switch s {
	case SourceKeyPolicy:
		return "resource-based policy"
	case SourceIdentity:
		return "identity-based policy"
	case SourceBoundary:
		return "permissions boundary"
	case SourceSession:
		return "session policy"
	case SourceServiceControl:
		return "service control policy"
	case SourceResourceControl:
		return "resource control policy"
	case SourceGrant:
		return "grant"
	default:
		return "none"
	}
}

// A Ground is one thing that a decision rests on: a statement of a policy, or a grant.
type Ground struct {
	Source    Source
	Policy    int          // which of the policies of that source, from 0; of control policies, which of its level
	Statement policy.Index // which of its statements
	Grant     *Grant       // of SourceGrant, and nil for all others

	document *PolicyDocument
}

// Sid returns the identifier of the statement; empty if it has none.
func (g Ground) Sid() string {
	if g.document == nil {
		return ""
	}
	return g.document.Sid(g.Statement)
}

// String names the source, and the statement by its Sid or as parse errors do by its place: `resource-based policy (Statement "Use")`.
func (g Ground) String() string {
	switch {
	case g.Source == SourceGrant && g.Grant != nil:
		return "grant " + g.Grant.GrantID
	case g.document == nil:
		return g.Source.String()
	}
	return g.Source.String() + " (" + g.name(g.Sid()) + ")"
}

// name names the statement by its Sid, or as parse errors do by its place.
func (g Ground) name(sid string) string {
	which := fmt.Sprintf("Statement[%d]", g.Statement)
	if sid != "" {
		which = fmt.Sprintf("Statement %q", sid)
	}
	if g.Policy > 0 {
		which += fmt.Sprintf(" of policy %d", g.Policy)
	}
	return which
}

// maxGrounds is how many sources together can allow a request: the key policy delegates to an identity policy, within a boundary and session policies.
const maxGrounds = 4

// A Decision is the answer of [Evaluate]. It refers to the documents and the grants it was made of, and to nothing of the request but its action. The zero Decision is
// a denial.
type Decision struct {
	Outcome Outcome

	missing Source // what would have had to allow it; zero if Outcome is not ImplicitlyDenied
	count   uint8  // of grounds
	lasting bool   // every policy says the same whatever the request's Context; see [policy.Verdict]
	open    bool   // no policy decides, so that a grant may allow it; none that was given does
	action  string
	grounds [maxGrounds]Ground
}

func (d *Decision) rest(g Ground) {
	d.grounds[d.count] = g
	d.count++
}

// Grounds returns what decided: the statement that denies, or all that together allow, each in its policy. It is empty where nothing allows the request, and where the
// root user needs nobody's permission.
func (d Decision) Grounds() []Ground { return slices.Clone(d.grounds[:d.count]) }

// Missing returns the source that would have had to allow a request that is implicitly denied, and did not.
func (d Decision) Missing() Source {
	if d.Outcome != ImplicitlyDenied {
		return 0
	}
	if d.missing == 0 {
		return SourceKeyPolicy
	}
	return d.missing
}

// grant returns the grant that allows the request, or nil.
func (d *Decision) grant() *Grant {
	if d.count == 0 {
		return nil
	}
	return d.grounds[0].Grant
}

// Reason says why, in the words of AWS KMS, and names what decided. AWS KMS says that no identity-based policy allows an action also where a statement names the caller
// and its condition is not met; [Explain] tells what became of each statement.
func (d Decision) Reason() string {
	switch d.Outcome {
	case Allowed:
		if d.count == 0 {
			return "because the account's root user may"
		}
		var by []string
		for _, g := range d.grounds[:d.count] {
			by = append(by, article(g.Source)+g.String())
		}
		return "because of an allow in " + strings.Join(by, " and ")
	case ExplicitlyDenied:
		return "with an explicit deny in " + article(d.grounds[0].Source) + d.grounds[0].String()
	default:
		return "because no " + d.Missing().String() + " allows the " + d.action + " action"
	}
}

func article(s Source) string {
	if s == SourceIdentity {
		return "an "
	}
	return "a "
}
