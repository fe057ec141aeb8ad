package policy

import "strings"

// A resource is a pattern of Resource or NotResource: "*", or an ARN with wildcards and variables.
type resource struct {
	pattern
	every   bool // "*"
	dubious bool // it has a variable where documentation permits none, which stands as an asterisk: it covers nothing in an Allow, and in a Deny whatever that does
}

// parseResource returns what is wrong with s, or "". A variable before the fifth colon is documented to be impossible, yet there are published identity policies that
// have one; lenient is for these.
func parseResource(s string, variables, lenient bool) (resource, string) {
	if s == "*" {
		return resource{every: true}, ""
	}
	if !strings.HasPrefix(s, "arn:") {
		return resource{}, "resource is neither * nor an ARN"
	}
	p, ok := parsePattern(s, dialect{wildcards: true, variables: variables})
	if !ok {
		return resource{}, "malformed policy variable"
	}
	r := resource{pattern: p}
	colons := 0
	for i, t := range p.tokens {
		if colons >= 5 {
			break
		}
		switch {
		case t.kind == variable && !lenient:
			return resource{}, "policy variable before the fifth colon of an ARN"
		case t.kind == variable:
			p.tokens[i], r.dubious = token{kind: anyRun}, true
			continue
		case t.kind != literal && colons == 2:
			return resource{}, "wildcard in the service part of an ARN"
		}
		colons += strings.Count(t.text, ":")
	}
	return r, ""
}

// covers reports whether the pattern names the resource. The two readings of a wildcard next to a colon differ: parts of an ARN match one by one, or an
// asterisk may run over colons, which gives meaning to an ARN cut short such as arn:aws:kms:*. With wide set it is the second.
func (p *resource) covers(r *Request, wide bool) answer {
	if p.every {
		return yes
	}
	if p.dubious && !wide {
		return no
	}
	if wide {
		return p.match(r.Resource, false, noColons, r.Context)
	}
	whole := fifthColon(r.Resource)
	if whole < 0 {
		return no
	}
	return p.match(r.Resource, false, whole, r.Context)
}

// wide reports in which of the two readings the statement takes wildcards. Documentation describes both; an Allow takes the one under which it says less, a Deny the
// one under which it says more.
func (s *statement) wide() bool { return (s.effect == Deny) != s.notResource }

// coversResource reports whether the statement's Resource or NotResource lets it speak of the requested resource.
func (s *statement) coversResource(r *Request) bool {
	for i := range s.resources {
		switch s.resources[i].covers(r, s.wide()) {
		case yes:
			return !s.notResource
		case unclear:
			// Nothing is exempt from a Deny, and nothing allowed, by a variable without a value.
			if s.notResource && s.effect == Allow {
				return false
			}
		}
	}
	return s.notResource
}
