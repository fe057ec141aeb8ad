package policy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	literal  tokenKind = iota
	anyRun             // *
	anyChar            // ?
	variable           // ${key} or ${key, 'default'}
)

type token struct {
	kind       tokenKind
	text       string // of a literal, or the default of a variable
	key        Key    // of a variable
	hasDefault bool
}

// A pattern is text with wildcards and variables, taken apart when the policy is read. Text put in for a variable is literal: a caller who may choose a tag
// value must not be able to widen a policy with an asterisk in it.
type pattern struct {
	tokens []token
	plain  bool // no wildcard or variable: text is all there is
	text   string
}

// A dialect says what is special in a pattern besides its text. Variables are, if the document has Version 2012-10-17.
type dialect struct {
	wildcards, variables bool
}

// parsePattern reads s in a dialect. It reports false if s holds a malformed ${…}.
func parsePattern(s string, d dialect) (pattern, bool) {
	var p pattern
	var run strings.Builder
	flush := func() {
		if run.Len() > 0 {
			p.tokens = append(p.tokens, token{kind: literal, text: run.String()})
			run.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case d.variables && strings.HasPrefix(s[i:], "${"):
			t, size, ok := parseVariable(s[i:])
			if !ok {
				return pattern{}, false
			}
			i += size - 1
			if t.kind == literal {
				run.WriteString(t.text)
				continue
			}
			flush()
			p.tokens = append(p.tokens, t)
		case d.wildcards && s[i] == '*':
			flush()
			if n := len(p.tokens); n == 0 || p.tokens[n-1].kind != anyRun {
				p.tokens = append(p.tokens, token{kind: anyRun})
			}
		case d.wildcards && s[i] == '?':
			flush()
			p.tokens = append(p.tokens, token{kind: anyChar})
		default:
			run.WriteByte(s[i])
		}
	}
	flush()
	switch {
	case len(p.tokens) == 0:
		p.plain = true
	case len(p.tokens) == 1 && p.tokens[0].kind == literal:
		p.plain, p.text = true, p.tokens[0].text
	}
	return p, true
}

// parseVariable reads the ${…} that s begins with and returns its length. ${*}, ${?} and ${$} are these characters as literals.
func parseVariable(s string) (t token, size int, ok bool) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return token{}, 0, false
	}
	if quote := strings.IndexByte(s[:end], '\''); quote >= 0 { // the default may hold a brace
		after := strings.Index(s[quote+1:], "'}")
		if after < 0 {
			return token{}, 0, false
		}
		end = quote + 1 + after + 1
	}
	body, size := s[len("${"):end], end+1
	if body == "*" || body == "?" || body == "$" {
		return token{kind: literal, text: body}, size, true
	}
	t.kind = variable
	name, fallback, hasDefault := strings.Cut(body, ",")
	if hasDefault {
		fallback = strings.TrimLeft(fallback, " ")
		if len(fallback) < 2 || fallback[0] != '\'' || strings.IndexByte(fallback[1:], '\'') != len(fallback)-2 {
			return token{}, 0, false
		}
		t.text, t.hasDefault = fallback[1:len(fallback)-1], true
	}
	t.key, ok = parseKey(name)
	return t, size, ok && !strings.ContainsAny(name, "${'*?") && strings.TrimSpace(name) == name
}

// An answer is the result of a comparison. A comparison that cannot be made is neither equal nor different.
type answer uint8

const (
	no answer = iota
	yes
	unclear
)

// noColons is the offset for match that leaves all colons to wildcards.
const noColons = -1

func (p *pattern) hasVariables() bool {
	return slices.ContainsFunc(p.tokens, func(t token) bool { return t.kind == variable })
}

// match reports whether s matches p; unclear says that p needs a variable that has no value, so that nothing can match. Wildcards do not take a colon of s
// up to the offset whole: this is how the parts of an ARN are matched one by one, since each of the colons between them then meets a colon of the pattern.
//
// On a mismatch only the last asterisk is tried further on. Earlier ones took the shortest run that let the pattern reach the last, so that moving them gains
// nothing; the cost is at most the product of the lengths.
func (p *pattern) match(s string, fold bool, whole int, ctx Context) answer {
	if p.plain && !fold {
		if s == p.text {
			return yes
		}
		return no
	}
	pos, i := 0, 0
	mark, next := 0, -1 // where the last asterisk's run ends, and the token behind it
	for {
		if i == len(p.tokens) && (pos == len(s) || next == i && pos > whole) {
			return yes // at the end, or an asterisk takes the rest
		}
		if i < len(p.tokens) {
			n, a := p.tokens[i].take(s, pos, fold, whole, ctx)
			if a == unclear {
				return unclear
			}
			if a == yes {
				if i++; p.tokens[i-1].kind == anyRun {
					mark, next = pos, i
				}
				pos += n
				continue
			}
		}
		n := charAt(s, mark, whole)
		if next < 0 || n == 0 {
			return no
		}
		mark += n
		pos, i = mark, next
	}
}

// take reports how many bytes of s at pos the token takes. An asterisk takes none here; match lets it grow.
func (t *token) take(s string, pos int, fold bool, whole int, ctx Context) (n int, a answer) {
	switch t.kind {
	case literal:
		return prefix(s[pos:], t.text, fold)
	case anyRun:
		return 0, yes
	case anyChar:
		if n = charAt(s, pos, whole); n == 0 {
			return 0, no
		}
		return n, yes
	default:
		v := lookup(ctx, t.key)
		if !v.single() {
			if !t.hasDefault {
				return 0, unclear
			}
			return prefix(s[pos:], t.text, fold)
		}
		text := v.text()
		if v.computed() {
			var buf [maxComputed]byte
			text = string(v.appendText(buf[:0]))
		}
		return prefix(s[pos:], text, fold)
	}
}

// charAt returns the length of the character of s at pos that a wildcard may take; 0 at the end of s and at a colon up to whole.
func charAt(s string, pos, whole int) int {
	if pos >= len(s) || s[pos] == ':' && pos <= whole {
		return 0
	}
	_, n := utf8.DecodeRuneInString(s[pos:])
	return n
}

// prefix reports whether s begins with want, and how many bytes of s that takes: with fold it may be more or fewer than want has.
func prefix(s, want string, fold bool) (int, answer) {
	if !fold {
		if strings.HasPrefix(s, want) {
			return len(want), yes
		}
		return 0, no
	}
	n := 0
	for len(want) > 0 {
		w, wn := utf8.DecodeRuneInString(want)
		c, cn := utf8.DecodeRuneInString(s[n:])
		// Bytes that are no character all decode alike, and must not equal each other for that.
		if cn == 0 || !equalFold(w, c) || c == utf8.RuneError && want[:wn] != s[n:n+cn] {
			return 0, no
		}
		want, n = want[wn:], n+cn
	}
	return n, yes
}

// equalFold reports whether two characters are equal without case, as strings.EqualFold has it.
func equalFold(a, b rune) bool {
	if a == b {
		return true
	}
	for f := unicode.SimpleFold(a); f != a; f = unicode.SimpleFold(f) {
		if f == b {
			return true
		}
	}
	return false
}

// partial reports whether p with its variables filled in has fewer than the six parts of an ARN. It is false if a variable has no value, since then p is no
// text at all.
func (p *pattern) partial(ctx Context) bool {
	colons := 0
	for i := range p.tokens {
		t := &p.tokens[i]
		text := t.text
		if t.kind == variable {
			v := lookup(ctx, t.key)
			switch {
			case v.kind == timeValue:
				colons += 2 // of the time of day
				continue
			case v.single():
				text = v.text()
			case !t.hasDefault:
				return false
			}
		}
		colons += strings.Count(text, ":")
	}
	return colons < 5
}

// fifthColon returns the offset of the colon in front of an ARN's resource part, or -1 if s has fewer than six parts.
func fifthColon(s string) int {
	off := -1
	for range 5 {
		i := strings.IndexByte(s[off+1:], ':')
		if i < 0 {
			return -1
		}
		off += 1 + i
	}
	return off
}
