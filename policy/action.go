package policy

import "strings"

// An action is a pattern of Action or NotAction. Actions are ASCII and compare without case, vendor included. The common shapes are told apart when the
// document is read, since the action is what rules out most statements of most requests.
type action struct {
	text  string // without the asterisk that ends a prefix
	shape actionShape
	initials
}

// initials is a set of first letters that the name of an action may have, without case, one bit each; bit 0 stands for all that are no letters. Most patterns
// and many statements fail to match by it, at the price of one operation.
type initials uint32

const anyInitial = ^initials(0)

// initialOf returns the set of the one letter that the name of an action begins with, the name being what follows the colon.
func initialOf(action string) initials {
	if i := strings.IndexByte(action, ':') + 1; i < len(action) {
		if c := lowerASCII(action[i]); c >= 'a' && c <= 'z' {
			return 1 << (c - 'a' + 1)
		}
	}
	return 1
}

type actionShape uint8

const (
	exactAction  actionShape = iota
	actionPrefix             // the only wildcard is an asterisk at the end
	actionGlob
)

// parseAction reads vendor:Name, where the name may hold wildcards, or "*".
func parseAction(s string) (action, bool) {
	if s == "*" {
		return action{shape: actionPrefix, initials: anyInitial}, true
	}
	vendor, name, found := strings.Cut(s, ":")
	if !found || vendor == "" || name == "" {
		return action{}, false
	}
	for i := range len(vendor) {
		if !isAlphanumeric(vendor[i]) && vendor[i] != '-' {
			return action{}, false
		}
	}
	for i := range len(name) {
		if !isAlphanumeric(name[i]) && strings.IndexByte("*?-_", name[i]) < 0 {
			return action{}, false
		}
	}
	a := action{text: s, shape: actionGlob, initials: initialOf(s)}
	if name[0] == '*' || name[0] == '?' {
		a.initials = anyInitial
	}
	switch i := strings.IndexAny(s, "*?"); {
	case i < 0:
		a.shape = exactAction
	case i == len(s)-1 && s[i] == '*':
		a.shape, a.text = actionPrefix, s[:i]
	}
	return a, true
}

func (a *action) matches(s string) bool {
	switch {
	case a.shape == exactAction:
		return len(s) == len(a.text) && equalASCII(a.text, s)
	case a.shape == actionPrefix:
		return len(s) >= len(a.text) && equalASCII(a.text, s[:len(a.text)])
	default:
		return globASCII(a.text, s)
	}
}

// equalASCII compares two texts of one length without the case of ASCII letters.
func equalASCII(a, b string) bool {
	if a == b {
		return true
	}
	for i := range len(a) {
		if a[i] != b[i] && lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

// globASCII matches bytes with one point of return, as pattern.match does.
func globASCII(p, s string) bool {
	i, pos := 0, 0
	next, mark := -1, 0
	for pos < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			i++
			next, mark = i, pos
		case i < len(p) && (p[i] == '?' || lowerASCII(p[i]) == lowerASCII(s[pos])):
			i++
			pos++
		case next >= 0:
			mark++
			i, pos = next, mark
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

func lowerASCII(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
