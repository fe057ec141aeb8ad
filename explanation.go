package kms

import (
	"fmt"
	"strings"

	"github.com/claviger/kms/policy"
)

// An Explanation is a decision with what came of every policy and every grant that had a say in it. It is for people.
type Explanation struct {
	Decision
	Policies []PolicyTrace
	Grants   []GrantTrace // empty if the policies have decided, so that no grant was asked
}

// A PolicyTrace tells what came of the statements of one policy.
type PolicyTrace struct {
	Source     Source
	Level      int // of control policies: of the organisation, from 0 at its root
	Policy     int // which of the policies of that source, or of that level
	Statements []policy.Trace
}

// A GrantTrace tells what came of one grant.
type GrantTrace struct {
	Grant  *Grant
	Allows bool
	Failed string // what does not match: "operation", "grantee", "source", "encryption context", or of a grant to be made "new grant"; empty if it allows the request
}

// Explain is [Evaluate] with its reasons: the same decision, what became of each statement, and of each condition that is not met the key, the operator and what the
// policy wants. It allocates.
func Explain(in EvaluateInput) Explanation {
	e := Explanation{Decision: Evaluate(in)}
	if in.Request == nil {
		return e
	}
	in.prepare()
	add := func(source Source, level int, documents ...*PolicyDocument) {
		for i, doc := range documents {
			if doc != nil {
				e.Policies = append(e.Policies, PolicyTrace{Source: source, Level: level, Policy: i, Statements: doc.Explain(in.Request)})
			}
		}
	}
	for level, documents := range in.ServiceControl {
		add(SourceServiceControl, level, documents...)
	}
	for level, documents := range in.ResourceControl {
		add(SourceResourceControl, level, documents...)
	}
	add(SourceKeyPolicy, 0, in.KeyPolicy)
	add(SourceIdentity, 0, in.Identity...)
	add(SourceBoundary, 0, in.Boundary)
	add(SourceSession, 0, in.Session...)
	retired := in.Request.Action == actionRetireGrant && e.Missing() != SourceKeyPolicy && e.Missing() != SourceServiceControl
	if e.Outcome == ExplicitlyDenied || !e.open && e.grant() == nil && !retired { // whatever grants give, it was not asked
		return e
	}
	for _, g := range in.Grants {
		if g == nil {
			continue
		}
		failed := g.failed(&in)
		if g == e.grant() { // as of its retiring principal, to whom it gives no operation
			failed = ""
		}
		e.Grants = append(e.Grants, GrantTrace{Grant: g, Allows: failed == "", Failed: failed})
	}
	return e
}

// grantFaults says for people what [GrantTrace.Failed] names.
var grantFaults = map[string]string{
	"operation":          "it is for other operations",
	"grantee":            "it is for another grantee, or the caller of another account is limited by a boundary or session policies",
	"source":             "it is for another source",
	"encryption context": "its constraint wants another encryption context",
	"new grant":          "the new grant would allow more than it does",
}

// String tells it in lines: the decision and its reason, then the statements that matter. Those are the ones that match, and those for the caller, the action and the
// resource that fail by a condition.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", e.Outcome, e.Reason())
	for _, p := range e.Policies {
		for _, t := range p.Statements {
			ground := Ground{Source: p.Source, Policy: p.Policy, Statement: t.Statement}
			switch {
			case t.Matched():
				fmt.Fprintf(&b, "\n%s %v: %s matches", ground.Source, t.Effect, ground.name(t.Sid))
				if t.Ways == policy.ByAccount && e.Outcome == ImplicitlyDenied && e.Missing() == SourceIdentity {
					b.WriteString(" by the caller's account, and leaves it to identity-based policies")
				}
			case t.Failed == policy.ConditionElement:
				fmt.Fprintf(&b, "\n%s %v: %s does not apply:", ground.Source, t.Effect, ground.name(t.Sid))
				for i, c := range t.Conditions {
					if i > 0 {
						b.WriteString(",")
					}
					fmt.Fprintf(&b, " %v %s wants %q", c.Operator, c.Key, c.Want)
					if c.Absent {
						b.WriteString(" and the request has none")
					}
				}
			}
		}
	}
	for _, g := range e.Grants {
		if g.Allows {
			fmt.Fprintf(&b, "\ngrant %s allows it", g.Grant.GrantID)
		} else {
			fmt.Fprintf(&b, "\ngrant %s does not allow it: %s", g.Grant.GrantID, grantFaults[g.Failed])
		}
	}
	return b.String()
}
