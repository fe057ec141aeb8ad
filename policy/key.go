package policy

import (
	"strings"
	"unicode"
)

// A Key names a condition key as a [Context] is asked for it. Keys such as aws:PrincipalTag/team and kms:EncryptionContext:Department have a fixed part and a
// free part, split at the first slash or the second colon, whichever comes first.
type Key struct {
	Name string // the fixed part in lower case: "aws:principaltag"
	Part string // the free part as the policy spells it, to be compared with strings.EqualFold: "team"; empty if there is none
}

// parseKey splits a condition key and folds its name. It reports false for what cannot be a key: no vendor, no name, an empty free part, a fixed part
// outside letters, digits and :._-, or a control character.
func parseKey(s string) (Key, bool) {
	vendor, rest, found := strings.Cut(s, ":")
	if !found || vendor == "" || rest == "" {
		return Key{}, false
	}
	end := strings.IndexByte(vendor, '/') // an identity provider's host name may have a path
	if end < 0 {
		if end = strings.IndexAny(rest, ":/"); end >= 0 {
			end += len(vendor) + len(":")
		}
	}
	k := Key{Name: s}
	if end >= 0 {
		k = Key{Name: s[:end], Part: s[end+1:]}
		if k.Part == "" {
			return Key{}, false
		}
	}
	if k.Name == "" || strings.HasSuffix(k.Name, ":") || !onlyNameBytes(k.Name) || strings.ContainsFunc(k.Part, unicode.IsControl) {
		return Key{}, false
	}
	k.Name = strings.ToLower(k.Name)
	return k, true
}

// onlyNameBytes keeps folding within ASCII, where it is certain: the Kelvin sign, for one, is a k in lower case.
func onlyNameBytes(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte(":._-", c) < 0 {
			return false
		}
	}
	return true
}

// folded returns k in a form in which keys that name the same thing are equal, which lower case alone does not give: strings.EqualFold takes ſ for an s.
func (k Key) folded() Key {
	k.Part = strings.Map(func(c rune) rune {
		least := c
		for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, k.Part)
	return k
}

func isAlphanumeric(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
