// Package strictjson reads JSON as RFC 8259 has it, and refuses what leaves open what is meant: a member name that appears twice in one object, text that is not valid
// UTF-8, half a surrogate pair.
//
// encoding/json cannot do this: it takes the last of two equal names, finds struct fields without regard to case and turns numbers into floats, and each of those would
// let a document mean something other than what its author reads.
package strictjson

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A Kind says what a [Value] is.
type Kind uint8

const (
	None Kind = iota // the zero Value: a member that is not there
	Object
	List
	String
	Number
	Bool
	Null
)

// A Value is a JSON value and where it stands. Numbers and booleans keep their literal text.
type Value struct {
	Kind    Kind
	Off     int      // of its first byte in the text
	End     int      // behind its last byte
	Text    string   // decoded string, or the literal; it may share the memory of the text
	Members []Member // of an object, in order of the text
	Items   []Value  // of a list
}

// A Member is a name and a value of an object.
type Member struct {
	Name  string
	Off   int // of the name
	Value Value
}

// An Error says where and why a text was refused. It never repeats the text.
type Error struct {
	Off     int // of the offending token
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Limits bound what reading may cost.
type Limits struct {
	Depth  int // of nested objects and lists, with what they hold
	Values int // at all
}

// Position returns the line and the column of the byte at off, both from 1. A column is a character.
func Position(text string, off int) (line, column int) {
	before := text[:min(off, len(text))]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[1+strings.LastIndexByte(before, '\n'):])
}

// A reader turns text into values.
type reader struct {
	text   string
	pos    int
	limits Limits
	values int // that were read
}

// Read reads the one value that text consists of.
func Read(text string, limits Limits) (Value, *Error) {
	r := &reader{text: text, limits: limits}
	if off := invalidAt(text); off >= 0 {
		return Value{}, r.fault(off, "text is not valid UTF-8")
	}
	v, err := r.value(1)
	if err != nil {
		return Value{}, err
	}
	if r.skip(); r.pos < len(text) {
		return Value{}, r.fault(r.pos, "text after the end of the document")
	}
	return v, nil
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

func (r *reader) fault(off int, message string) *Error { return &Error{Off: off, Message: message} }

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

func (r *reader) value(depth int) (Value, *Error) {
	c := r.peek()
	if r.values++; r.values > r.limits.Values {
		return Value{}, r.fault(r.pos, "too many values")
	}
	if depth > r.limits.Depth {
		return Value{}, r.fault(r.pos, "nested too deeply")
	}
	v, err := r.token(c, depth)
	v.End = r.pos
	return v, err
}

// token reads the value that begins with c, at the reader's position.
func (r *reader) token(c byte, depth int) (Value, *Error) {
	off := r.pos
	switch {
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.list(depth)
	case c == '"':
		s, err := r.str()
		return Value{Kind: String, Off: off, Text: s}, err
	case c == '-' || isDigit(c):
		return r.number()
	}
	for _, literal := range []struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if strings.HasPrefix(r.text[off:], literal.text) {
			r.pos += len(literal.text)
			return Value{Kind: literal.kind, Off: off, Text: literal.text}, nil
		}
	}
	return Value{}, r.fault(off, "expected a JSON value")
}

func (r *reader) object(depth int) (Value, *Error) {
	v := Value{Kind: Object, Off: r.pos}
	r.pos++
	if r.peek() == '}' {
		r.pos++
		return v, nil
	}
	v.Members = make([]Member, 0, fewMembers)
	var seen names
	for {
		if r.peek() != '"' {
			return Value{}, r.fault(r.pos, "expected a member name in double quotes")
		}
		m := Member{Off: r.pos}
		var err *Error
		if m.Name, err = r.str(); err != nil {
			return Value{}, err
		}
		if seen.has(m.Name, v.Members) {
			return Value{}, r.fault(m.Off, "member name appears twice in one object")
		}
		if r.peek() != ':' {
			return Value{}, r.fault(r.pos, "expected a colon after the member name")
		}
		r.pos++
		if m.Value, err = r.value(depth + 1); err != nil {
			return Value{}, err
		}
		v.Members = append(v.Members, m)
		switch r.peek() {
		case ',':
			r.pos++
		case '}':
			r.pos++
			return v, nil
		default:
			return Value{}, r.fault(r.pos, "expected a comma or the end of the object")
		}
	}
}

// Most objects have few members: there is room for so many at once, and a name is compared with those of all, until they are many.
const fewMembers, manyMembers = 4, 16

// names are those of an object's members, once they are many.
type names map[string]bool

// has reports whether one of the members before has the name.
func (n *names) has(name string, before []Member) bool {
	if len(before) < manyMembers {
		return slices.ContainsFunc(before, func(m Member) bool { return m.Name == name })
	}
	if *n == nil {
		*n = names{}
		for _, m := range before {
			(*n)[m.Name] = true
		}
	}
	twice := (*n)[name]
	(*n)[name] = true
	return twice
}

func (r *reader) list(depth int) (Value, *Error) {
	v := Value{Kind: List, Off: r.pos}
	r.pos++
	if r.peek() == ']' {
		r.pos++
		return v, nil
	}
	for {
		item, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		v.Items = append(v.Items, item)
		switch r.peek() {
		case ',':
			r.pos++
		case ']':
			r.pos++
			return v, nil
		default:
			return Value{}, r.fault(r.pos, "expected a comma or the end of the list")
		}
	}
}

func (r *reader) number() (Value, *Error) {
	v := Value{Kind: Number, Off: r.pos}
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
		return Value{}, r.fault(v.Off, "malformed number")
	}
	v.Text = r.text[v.Off:r.pos]
	return v, nil
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
func (r *reader) str() (string, *Error) {
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
	u, err := strconv.ParseUint(s[2:6], 16, 16) // takes neither signs nor underscores
	return rune(u), err == nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
