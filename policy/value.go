package policy

import (
	"strconv"
	"time"
	"unsafe"
)

// A Context supplies the values of condition keys. [Document.Evaluate] asks only for keys that a statement needs, perhaps several times, and the answers
// must stay the same while it runs.
//
// Where two names of a request fold to one key, as Dept and dept in an encryption context do, Lookup returns [Ambiguous], whatever their values.
type Context interface {
	Lookup(key Key) Value
}

type valueKind uint8

const (
	noValue valueKind = iota
	textValue
	listValue
	timeValue
	intValue
	ambiguousValue
)

// A Value is what a request holds for a condition key. The zero Value is that of a key absent from the request. Values are small, made without allocation
// and read by every operator: text by parsing it, times and integers as text, numbers and dates alike.
//
// Three words pass through an interface call in registers, which a struct with a string, a slice and an integer does not; hence the pointer.
type Value struct {
	kind   valueKind
	number int64          // of timeValue and intValue; of textValue and listValue: the length
	data   unsafe.Pointer // of textValue: its bytes; of listValue: its strings
}

// Text returns a single text, also if it is empty: an empty tag value is present.
func Text(s string) Value {
	return Value{kind: textValue, number: int64(len(s)), data: unsafe.Pointer(unsafe.StringData(s))}
}

// Texts returns the values of a multivalued key, also if it is only one. Without values the key is absent. The slice is not copied and must not change
// while the Value is in use.
func Texts(values []string) Value {
	if len(values) == 0 {
		return Value{}
	}
	return Value{kind: listValue, number: int64(len(values)), data: unsafe.Pointer(unsafe.SliceData(values))}
}

// Time returns a point in time, rounded down to the second so that its text (2026-03-01T10:00:00Z), its number (seconds since 1970) and its date agree.
func Time(t time.Time) Value { return Value{kind: timeValue, number: t.Unix()} }

// Int returns an integer. Under a date operator it is seconds since 1970.
func Int(n int64) Value { return Value{kind: intValue, number: n} }

// Bool returns a truth value; it is the text true or false.
func Bool(b bool) Value { return Text(strconv.FormatBool(b)) }

// Ambiguous returns the value of a key that is present but cannot say which value it has, since two names of the request fold to it. Null conditions see it as
// present; every other condition on it, also with a set operator or IfExists, is met in a Deny and not in an Allow. As a policy variable it has no value.
//
// [Texts] of the values would not do: whoever may choose names could add a second spelling, and with it meet ForAnyValue in an Allow or fail ForAllValues in a
// Deny.
func Ambiguous() Value { return Value{kind: ambiguousValue} }

// Is reports whether v is that single text.
func (v Value) Is(text string) bool { return v.kind == textValue && v.text() == text }

// text returns what Text was given, and "" for values of other kinds.
func (v Value) text() string {
	if v.kind != textValue {
		return ""
	}
	return unsafe.String((*byte)(v.data), v.number)
}

// list returns what Texts was given; v must be of that kind.
func (v Value) list() []string { return unsafe.Slice((*string)(v.data), v.number) }

// missing reports whether the key is absent from the request.
func (v Value) missing() bool { return v.kind == noValue }

// single reports whether v is present and can say which value it has.
func (v Value) single() bool { return v.kind == textValue || v.computed() }

// computed reports whether v holds no text yet. Callers then write it into a buffer of their own frame with appendText, and convert that in place: a string
// of at most 32 bytes that does not leave its function costs no allocation.
func (v Value) computed() bool { return v.kind == timeValue || v.kind == intValue }

// maxComputed is more than any text that appendText writes.
const maxComputed = 32

func (v Value) appendText(b []byte) []byte {
	if v.kind == timeValue {
		return time.Unix(v.number, 0).UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
	}
	return strconv.AppendInt(b, v.number, 10)
}
