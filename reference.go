package kms

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/claviger/kms/internal/arn"
)

// A keyID is the identity of a key: the 16 bytes of its UUID, or of the hex digits after "mrk-" for a multi-Region key. A UUID and an mrk id of the same bytes
// are different keys.
type keyID struct {
	multiRegion bool
	raw         [16]byte
}

const multiRegionPrefix = "mrk-"

// dashes are where a UUID has them.
var dashes = [...]int{8, 13, 18, 23}

// String writes the id as AWS KMS does: 8-4-4-4-12 hex digits, or "mrk-" and 32 of them.
func (id keyID) String() string {
	digits := hex.EncodeToString(id.raw[:])
	if id.multiRegion {
		return multiRegionPrefix + digits
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}

// parseKeyID reads what String writes and nothing else, upper case included: an id has one spelling. It does not allocate.
func parseKeyID(s string) (id keyID, ok bool) {
	if len(s) != 36 {
		return keyID{}, false
	}
	if strings.HasPrefix(s, multiRegionPrefix) {
		id.multiRegion = true
		return id, readHex(id.raw[:], s[len(multiRegionPrefix):])
	}
	for _, i := range dashes {
		if s[i] != '-' {
			return keyID{}, false
		}
	}
	ok = readHex(id.raw[0:4], s[0:8]) && readHex(id.raw[4:6], s[9:13]) && readHex(id.raw[6:8], s[14:18]) &&
		readHex(id.raw[8:10], s[19:23]) && readHex(id.raw[10:], s[24:])
	return id, ok
}

// readHex fills dst from exactly as many lower-case hex digits.
func readHex(dst []byte, digits string) bool {
	if len(digits) != 2*len(dst) {
		return false
	}
	bad := byte(0)
	for i := range dst {
		high, low := hexDigits[digits[2*i]], hexDigits[digits[2*i+1]]
		bad |= high | low
		dst[i] = high<<4 | low
	}
	return bad <= 0xf
}

// hexDigits are the values of lower-case hex digits; anything else is noHex. A table, because every call reads 32 digits.
var hexDigits = func() (t [256]byte) {
	for c := range t {
		t[c] = noHex
	}
	for v, c := range "0123456789abcdef" {
		t[c] = byte(v)
	}
	return t
}()

const noHex = 0xff

// A reference is what a caller names a key by, read once. Exactly one of id and alias is set.
type reference struct {
	id    keyID
	alias string // "alias/..."; "" if the key is named by its id
}

// A refForms says which forms an operation takes.
type refForms uint8

const (
	anyForm refForms = iota // key id, key ARN, alias name, alias ARN
	keyForm                 // key id, key ARN
)

// maxRefLen bounds a reference, in bytes.
const maxRefLen = 2048

// parse reads a reference. Bare ids and alias names are those of the ring's own account and Region.
func (r *ringID) parse(text string, forms refForms) (reference, error) {
	name := text
	isARN := strings.HasPrefix(text, "arn:")
	if isARN {
		var err error
		if name, err = r.resourceOf(text); err != nil {
			return reference{}, err
		}
	}
	if strings.HasPrefix(name, aliasPrefix) {
		switch {
		case forms == anyForm:
			return reference{alias: name}, nil
		case isARN:
			return reference{}, faultf(ErrInvalidArn, "an alias ARN does not name a key here")
		}
	}
	if isARN {
		var found bool
		if name, found = strings.CutPrefix(name, "key/"); !found {
			return reference{}, faultf(ErrInvalidArn, "the ARN is not one of a key")
		}
	}
	id, ok := parseKeyID(name)
	if !ok {
		return reference{}, faultf(ErrNotFound, "Invalid keyId '%s'", printable(text))
	}
	return reference{id: id}, nil
}

// resourceOf returns the resource part of an ARN of this account and Region.
func (r *ringID) resourceOf(text string) (string, error) {
	if resource, found := strings.CutPrefix(text, r.arnPrefix); found { // the common case, without parsing
		return resource, nil
	}
	a, err := arn.Parse(text)
	switch {
	case err != nil, a.Service != "kms", a.Partition != r.partition:
		return "", faultf(ErrInvalidArn, "the ARN is malformed")
	case a.Region != r.region:
		return "", faultf(ErrNotFound, "Invalid arn %s", a.Region)
	default:
		return "", errForeign
	}
}

// errForeign is the answer about keys of other accounts: whether they exist is not said.
var errForeign error = &fault{code: ErrAccessDenied, message: hiddenResource}

const hiddenResource = "the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"

// printable returns s fit for a message: bounded, and without what moves a cursor or turns text around.
func printable(s string) string {
	const most = 256
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}
