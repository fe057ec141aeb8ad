// Package arn reads and writes Amazon Resource Names, the identifiers that policies, callers and keys share.
//
// An ARN is read once, at the edge, into typed parts; nothing compares raw text that it did not build.
package arn

import (
	"errors"
	"strings"
)

// MaxLen bounds the length of an ARN in bytes.
const MaxLen = 2048

// An ARN is arn:partition:service:region:account:resource. Region and Account may be empty; Resource keeps its own colons and slashes.
type ARN struct {
	Partition string
	Service   string
	Region    string
	Account   string
	Resource  string
}

// ErrMalformed is the error of [Parse]. It does not repeat the input.
var ErrMalformed = errors.New("arn: malformed ARN")

// Parse reads an ARN. It requires six parts, a partition and a service of lower-case letters, digits and hyphens, a region of the same alphabet or none, an
// account of twelve digits or none, and a resource of printable characters without spaces. Wildcards are not ARNs: patterns are the policy language's.
func Parse(s string) (ARN, error) {
	if len(s) > MaxLen {
		return ARN{}, ErrMalformed
	}
	rest, ok := strings.CutPrefix(s, "arn:")
	if !ok {
		return ARN{}, ErrMalformed
	}
	var a ARN
	for _, part := range []*string{&a.Partition, &a.Service, &a.Region, &a.Account} {
		if *part, rest, ok = strings.Cut(rest, ":"); !ok {
			return ARN{}, ErrMalformed
		}
	}
	a.Resource = rest
	switch {
	case a.Partition == "" || !isLabel(a.Partition), a.Service == "" || !isLabel(a.Service), !isLabel(a.Region):
		return ARN{}, ErrMalformed
	case a.Account != "" && !IsAccountID(a.Account):
		return ARN{}, ErrMalformed
	case a.Resource == "" || strings.ContainsFunc(a.Resource, notPrintable):
		return ARN{}, ErrMalformed
	}
	return a, nil
}

// String writes the ARN; it is the inverse of [Parse].
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// IsAccountID reports whether s is an account id: twelve digits.
func IsAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// IsRegion reports whether s may name a Region: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter.
func IsRegion(s string) bool {
	return s != "" && len(s) <= 32 && s[0] >= 'a' && s[0] <= 'z' && isLabel(s)
}

func isLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func notPrintable(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' || r == '?' || r == 0xfffd }
