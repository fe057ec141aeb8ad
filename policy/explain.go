package policy

import "slices"

// An Element is a part of a statement that may fail to match.
type Element string

const (
	ActionElement    Element = "Action"
	PrincipalElement Element = "Principal"
	ResourceElement  Element = "Resource"
	ConditionElement Element = "Condition"
)

// A Trace tells what came of one statement.
type Trace struct {
	Statement  Index
	Sid        string // empty if the statement has none
	Effect     Effect
	Ways       Way             // how the statement matches; 0 if it does not
	Failed     Element         // the first element that does not match, in the order of the constants; empty if the statement matches
	Conditions []ConditionFail // every condition that is not met, if Failed is ConditionElement
}

// A ConditionFail is a condition that is not met. It holds what the document says, and nothing of the request's values.
type ConditionFail struct {
	Operator Operator
	Key      string   // as the document spells it
	Want     []string // the document's values, variables not filled in
	Absent   bool     // whether the request lacks the key
}

// Matched reports whether the statement matches.
func (t Trace) Matched() bool { return t.Ways != 0 }

// Explain tells for every statement whether it matches r and if not why. It sees exactly what [Document.Evaluate] sees, statement by statement; it
// allocates, and is for people.
func (d *Document) Explain(r *Request) []Trace {
	traces := make([]Trace, len(d.statements))
	for i := range d.statements {
		s, t := &d.statements[i], &traces[i]
		*t = Trace{Statement: Index(i), Sid: s.sid, Effect: s.effect}
		t.Ways, _ = s.match(r, initialOf(r.Action), t)
	}
	return traces
}

// fail notes the element that does not match, if anybody wants to know, and returns that the statement matches in no way.
func (t *Trace) fail(e Element) Way {
	if t != nil {
		t.Failed = e
	}
	return 0
}

func (t *Trace) failCondition(c *condition, ctx Context) Way {
	if t != nil {
		t.Conditions = append(t.Conditions, ConditionFail{
			Operator: c.operator,
			Key:      c.name,
			Want:     slices.Clone(c.want),
			Absent:   lookup(ctx, c.key).missing(),
		})
	}
	return t.fail(ConditionElement)
}
