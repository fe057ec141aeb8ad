package policy

import "slices"

// Assume returns the document as it is for whoever does not know all about a request. known tells which condition keys are known, for a [Context] that has them. With
// favourable set, every condition on another key is taken to hold in an Allow, and not to hold in a Deny; else the other way round. So what the one document denies
// no such request is allowed, and what the other one allows no such request is denied. Statements keep their places.
func (d *Document) Assume(favourable bool, known func(Key) bool) *Document {
	assumed := *d
	assumed.statements = slices.Clone(d.statements)
	for i := range assumed.statements {
		assumed.statements[i].assume(favourable, known)
	}
	return &assumed
}

func (s *statement) assume(favourable bool, known func(Key) bool) {
	certain := slices.DeleteFunc(slices.Clone(s.conditions), func(c condition) bool {
		return !known(c.key) || slices.ContainsFunc(c.patterns, func(p pattern) bool { return p.needs(known) })
	})
	open := slices.ContainsFunc(s.resources, func(r resource) bool { return r.needs(known) })
	switch {
	case len(certain) == len(s.conditions) && !open:
	case favourable == (s.effect == Allow):
		s.conditions, s.everyResource = certain, s.everyResource || open
	default: // it never applies
		s.initials, s.actions, s.notAction = 0, nil, false
	}
}

// needs reports whether the pattern has a variable of which known knows nothing.
func (p *pattern) needs(known func(Key) bool) bool {
	return slices.ContainsFunc(p.tokens, func(t token) bool { return t.kind == variable && !known(t.key) })
}
