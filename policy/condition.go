package policy

import (
	"encoding/base64"
	"net/netip"
)

// A condition is one key under one operator: {"StringEquals": {"aws:userid": ["a", "b"]}}. The values are read for the operator's family when the document
// is, so that a value the operator could never compare is refused then, and evaluation parses only the request's side.
type condition struct {
	operator Operator
	comparison
	key  Key
	name string   // the key as the document spells it
	want []string // the values as the document spells them

	patterns []pattern      // exactText, foldedText, globText, arnText
	numbers  []number       // numeric
	instants []instant      // date
	ranges   []netip.Prefix // address
	absent   []bool         // presence
}

// add reads one more value. It returns what is wrong with it, or "".
func (c *condition) add(value string, variables bool) string {
	c.want = append(c.want, value)
	switch c.family {
	case numeric:
		n, ok := parseNumber(value)
		c.numbers = append(c.numbers, n)
		return unless(ok, "value is not a decimal number")
	case date:
		t, ok := parseInstant(value)
		c.instants = append(c.instants, t)
		return unless(ok, "value is neither an ISO 8601 date nor seconds since 1970")
	case address:
		r, ok := parseRange(value)
		c.ranges = append(c.ranges, r)
		return unless(ok, "value is neither an IP address nor a CIDR block")
	case presence:
		c.absent = append(c.absent, value == "true")
		return unless(value == "true" || value == "false", "value is neither true nor false")
	}
	d := dialect{variables: variables, wildcards: c.family == globText || c.family == arnText}
	switch c.operator.Base {
	case "Bool":
		if value != "true" && value != "false" {
			return "value is neither true nor false"
		}
	case "BinaryEquals":
		// Only canonical base64, so that equal bytes are equal texts. The alphabet has no dollar sign.
		decoded, err := base64.StdEncoding.Strict().DecodeString(value)
		if err != nil || base64.StdEncoding.EncodeToString(decoded) != value {
			return "value is not canonical base64"
		}
	}
	p, ok := parsePattern(value, d)
	c.patterns = append(c.patterns, p)
	return unless(ok, "malformed policy variable")
}

func unless(ok bool, message string) string {
	if ok {
		return ""
	}
	return message
}

// lookup asks ctx for a key; without a Context every key is absent.
func lookup(ctx Context, key Key) Value {
	if ctx == nil {
		return Value{}
	}
	return ctx.Lookup(key)
}

// holds reports whether the condition is met. Where the documents leave open whether it is, the statement's effect decides: an Allow does not apply, a Deny
// does.
func (c *condition) holds(e Effect, ctx Context) bool {
	v := lookup(ctx, c.key)
	if c.family == presence {
		for _, absent := range c.absent {
			if absent == v.missing() {
				return true
			}
		}
		return false
	}
	switch {
	case v.missing():
		return c.holdsMissing(e)
	case v.kind == ambiguousValue:
		return e == Deny // no operator can compare it
	case v.kind != listValue:
		return c.holdsFor(v, e, ctx)
	}
	switch c.operator.Set {
	case ForAllValues:
		for _, s := range v.list() {
			if !c.holdsFor(Text(s), e, ctx) {
				return false
			}
		}
		return true
	case ForAnyValue:
		for _, s := range v.list() {
			if c.holdsFor(Text(s), e, ctx) {
				return true
			}
		}
		return false
	default:
		return e == Deny // which of the values is meant is not said
	}
}

// holdsMissing is holds for a key that the request does not have.
func (c *condition) holdsMissing(e Effect) bool {
	switch c.operator.Set {
	case ForAllValues:
		return true
	case ForAnyValue:
		return c.operator.IfExists && e == Deny // the two words contradict each other
	default:
		return c.operator.IfExists || c.negated
	}
}

// holdsFor is holds for a single value. A positive operator needs one of the policy's values to compare, a negated one needs all of them not to.
func (c *condition) holdsFor(v Value, e Effect, ctx Context) bool {
	var found answer
	switch c.family {
	case numeric:
		found = c.findNumber(v)
	case date:
		found = c.findInstant(v)
	default:
		s := v.text()
		if v.computed() {
			var buf [maxComputed]byte
			s = string(v.appendText(buf[:0]))
		}
		switch c.family {
		case address:
			found = c.findRange(s)
		case arnText:
			found = c.findARN(s, ctx)
		default:
			found = c.findText(s, ctx)
		}
	}
	if found == unclear {
		return c.negated && e == Deny
	}
	return (found == yes) != c.negated
}

func (c *condition) findText(s string, ctx Context) answer {
	for i := range c.patterns {
		if c.patterns[i].match(s, c.family == foldedText, noColons, ctx) == yes {
			return yes
		}
	}
	return no // a variable without a value equals nothing: a negated operator is true
}

// findARN is unclear if s, or one of the patterns while none matches, has fewer than six parts: that is no ARN, and neither like one nor unlike it.
func (c *condition) findARN(s string, ctx Context) answer {
	whole := fifthColon(s)
	if whole < 0 {
		return unclear
	}
	found := no
	for i := range c.patterns {
		p := &c.patterns[i]
		switch a := p.match(s, false, whole, ctx); {
		case a == yes:
			return yes
		case a == no && p.partial(ctx):
			found = unclear
		}
	}
	return found
}

func (c *condition) findNumber(v Value) answer {
	s := v.text()
	if v.computed() {
		var buf [maxComputed]byte
		s = string(Int(v.number).appendText(buf[:0]))
	}
	n, ok := parseNumber(s)
	if !ok {
		return unclear
	}
	for i := range c.numbers {
		if c.accepts.holds(n.compare(c.numbers[i])) {
			return yes
		}
	}
	return no
}

func (c *condition) findInstant(v Value) answer {
	t, ok := instant{second: v.number}, true
	if !v.computed() {
		t, ok = parseInstant(v.text())
	}
	if !ok {
		return unclear
	}
	for i := range c.instants {
		if c.accepts.holds(t.compare(c.instants[i])) {
			return yes
		}
	}
	return no
}

func (c *condition) findRange(s string) answer {
	a, ok := parseAddress(s)
	if !ok {
		return unclear
	}
	for i := range c.ranges {
		if c.ranges[i].Contains(a) {
			return yes
		}
	}
	return no
}
