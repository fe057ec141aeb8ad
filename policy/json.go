package policy

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxText  = 128 << 10 // bytes; services set lower limits, this one bounds what parsing may cost
	maxDepth = 16        // of nested objects and lists; a well-formed policy has seven
)

type nodeKind uint8

const (
	noNode nodeKind = iota // the zero node: an element that is not there
	objectNode
	listNode
	stringNode
	numberNode
	boolNode
	nullNode
)

// A node is a JSON value and where it stands. Numbers and booleans keep their literal text.
type node struct {
	kind    nodeKind
	off     int
	text    string   // decoded string, or the literal
	members []member // of an object, in order of the text
	items   []node   // of a list
}

type member struct {
	name  string
	off   int
	value node
}

// A reader turns text into nodes as RFC 8259 has it. encoding/json cannot do this: it takes the last of two equal names, finds struct fields without
// regard to case and turns numbers into floats, and each of those would let a policy mean something other than what its author reads.
type reader struct {
	text string
	pos  int
}

// readJSON reads the one value that text consists of.
func readJSON(text string) (node, error) {
	if len(text) > maxText {
		return node{}, faultAt(text, 0, "", "document is longer than 128 KiB")
	}
	r := &reader{text: text}
	if off := invalidAt(text); off >= 0 {
		return node{}, r.fault(off, "text is not valid UTF-8")
	}
	n, err := r.value(1)
	if err != nil {
		return node{}, err
	}
	if r.skip(); r.pos < len(text) {
		return node{}, r.fault(r.pos, "text after the end of the document")
	}
	return n, nil
}

// invalidAt returns the offset of the first byte that is no part of a UTF-8 character, or -1.
func invalidAt(text string) int {
	for off := 0; off < len(text); {
		c, n := utf8.DecodeRuneInString(text[off:])
		if c == utf8.RuneError && n == 1 {
			return off
		}
		off += n
	}
	return -1
}

func (r *reader) fault(off int, message string) error { return faultAt(r.text, off, "", message) }

// peek skips white space and returns the next byte, or 0 at the end of the text: a NUL byte starts no token either.
func (r *reader) peek() byte {
	r.skip()
	if r.pos == len(r.text) {
		return 0
	}
	return r.text[r.pos]
}

func (r *reader) skip() {
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

func (r *reader) value(depth int) (node, error) {
	c := r.peek()
	off := r.pos
	switch {
	case depth > maxDepth:
		return node{}, r.fault(off, "nested too deeply")
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.list(depth)
	case c == '"':
		s, err := r.str()
		return node{kind: stringNode, off: off, text: s}, err
	case c == '-' || isDigit(c):
		return r.number()
	}
	for _, literal := range []struct {
		text string
		kind nodeKind
	}{{"true", boolNode}, {"false", boolNode}, {"null", nullNode}} {
		if strings.HasPrefix(r.text[off:], literal.text) {
			r.pos += len(literal.text)
			return node{kind: literal.kind, off: off, text: literal.text}, nil
		}
	}
	return node{}, r.fault(off, "expected a JSON value")
}

func (r *reader) object(depth int) (node, error) {
	n := node{kind: objectNode, off: r.pos}
	r.pos++
	if r.peek() == '}' {
		r.pos++
		return n, nil
	}
	seen := map[string]bool{}
	for {
		if r.peek() != '"' {
			return node{}, r.fault(r.pos, "expected a member name in double quotes")
		}
		m := member{off: r.pos}
		var err error
		if m.name, err = r.str(); err != nil {
			return node{}, err
		}
		if seen[m.name] {
			return node{}, r.fault(m.off, "member name appears twice in one object")
		}
		seen[m.name] = true
		if r.peek() != ':' {
			return node{}, r.fault(r.pos, "expected a colon after the member name")
		}
		r.pos++
		if m.value, err = r.value(depth + 1); err != nil {
			return node{}, err
		}
		n.members = append(n.members, m)
		switch r.peek() {
		case ',':
			r.pos++
		case '}':
			r.pos++
			return n, nil
		default:
			return node{}, r.fault(r.pos, "expected a comma or the end of the object")
		}
	}
}

func (r *reader) list(depth int) (node, error) {
	n := node{kind: listNode, off: r.pos}
	r.pos++
	if r.peek() == ']' {
		r.pos++
		return n, nil
	}
	for {
		item, err := r.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
		switch r.peek() {
		case ',':
			r.pos++
		case ']':
			r.pos++
			return n, nil
		default:
			return node{}, r.fault(r.pos, "expected a comma or the end of the list")
		}
	}
}

func (r *reader) number() (node, error) {
	n := node{kind: numberNode, off: r.pos}
	if r.text[r.pos] == '-' {
		r.pos++
	}
	whole := r.digits()
	ok := whole == 1 || whole > 1 && r.text[r.pos-whole] != '0'
	if ok && r.take(".") {
		ok = r.digits() > 0
	}
	if ok && r.take("eE") {
		r.take("+-")
		ok = r.digits() > 0
	}
	if !ok {
		return node{}, r.fault(n.off, "malformed number")
	}
	n.text = r.text[n.off:r.pos]
	return n, nil
}

// take consumes the next byte if it is one of set.
func (r *reader) take(set string) bool {
	if r.pos < len(r.text) && strings.IndexByte(set, r.text[r.pos]) >= 0 {
		r.pos++
		return true
	}
	return false
}

func (r *reader) digits() int {
	start := r.pos
	for r.pos < len(r.text) && isDigit(r.text[r.pos]) {
		r.pos++
	}
	return r.pos - start
}

// str reads a string. Without escapes, which is nearly always, the result shares the text's memory.
func (r *reader) str() (string, error) {
	r.pos++
	start := r.pos
	var decoded []byte
	for r.pos < len(r.text) {
		switch c := r.text[r.pos]; {
		case c == '"':
			tail := r.text[start:r.pos]
			r.pos++
			if decoded == nil {
				return tail, nil
			}
			return string(append(decoded, tail...)), nil
		case c < ' ':
			return "", r.fault(r.pos, "control character in a string")
		case c == '\\':
			decoded = append(decoded, r.text[start:r.pos]...)
			char, ok := r.escape()
			if !ok {
				return "", r.fault(r.pos, "malformed escape sequence")
			}
			decoded = utf8.AppendRune(decoded, char)
			start = r.pos
		default:
			r.pos++
		}
	}
	return "", r.fault(r.pos, "string without an end")
}

// escape reads the escape sequence at the reader's position and moves behind it, or reports false and stays. Half a surrogate pair stands for no character.
func (r *reader) escape() (rune, bool) {
	rest := r.text[r.pos:]
	if len(rest) < 2 {
		return 0, false
	}
	if rest[1] != 'u' {
		const escapes, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
		i := strings.IndexByte(escapes, rest[1])
		if i < 0 {
			return 0, false
		}
		r.pos += 2
		return rune(meanings[i]), true
	}
	char, ok := unit(rest)
	if !ok {
		return 0, false
	}
	if !utf16.IsSurrogate(char) {
		r.pos += 6
		return char, true
	}
	low, _ := unit(rest[6:])
	if char = utf16.DecodeRune(char, low); char == utf8.RuneError {
		return 0, false
	}
	r.pos += 12
	return char, true
}

// unit reads the UTF-16 unit that s begins with, written \uXXXX.
func unit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var u rune
	for i := 2; i < 6; i++ {
		d := hexDigit(s[i])
		if d < 0 {
			return 0, false
		}
		u = u<<4 | rune(d)
	}
	return u, true
}

func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
