// Package sigv4 verifies requests that are signed by AWS Signature Version 4, in the form with an Authorization header.
//
// A request is read by [Parse], which tells whose it claims to be, and then verified with that one's secret by [Signature.Verify]. What signs the request is its method,
// its path and query as they were sent, the headers that the signature names, among them the host and every one that begins with x-amz-, and its body. There is no nonce:
// what limits a replay is the [Window] of time.
//
// Nothing else of a request may be relied on. Some clients do not sign the content type, as AWS lets them, so that nothing may follow from it. Paths sign alike if they
// differ only by dots and empty segments, and so do headers of the same values in one line, with commas, or in several, and with one space or more between words.
//
// # Time
//
// Signatures are compared in constant time. What is refused before that is refused for what the request itself says, without a look at the secret, and then the same work is
// done for every secret of up to 60 bytes. A verifier that does not know an access key id should verify with a random secret, of 40 bytes as usual: how long that takes does not
// tell which ids exist. That is also why no signing keys are kept, which would save about a quarter of the time: a key at hand would answer faster than one that has to
// be derived. What does show in the time is the request: its length, its headers, and where it is refused before.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
)

// Window is how far the time of a request may be from the verifier's, in either direction.
const Window = 15 * time.Minute

// A Signature is what a request says of its signature. Nothing of it holds before it is verified.
type Signature struct {
	KeyID  string // the access key id: 1 to 128 visible characters of ASCII
	Region string
	Token  string // the session token; "" if there is none

	service, date, end string
	headers            []string // names, lower-case and ascending
	mac                []byte
	time               time.Time // in UTC, to the second
}

// parameters are what an Authorization header holds, in the order in which faults name them.
var parameters = [...]string{"Credential", "Signature", "SignedHeaders"}

// Parse reads the signature of a request. The error is a [*Fault].
func Parse(r *http.Request) (*Signature, error) {
	header, token := r.Header["Authorization"], r.Header["X-Amz-Security-Token"]
	if len(header) == 0 || !strings.HasPrefix(header[0], "AWS4-") {
		return nil, errNone
	}
	if len(header) > 1 || len(token) > 1 {
		return nil, incomplete("There may be only one 'Authorization' and one 'X-Amz-Security-Token' header.")
	}
	kind, rest, _ := strings.Cut(header[0], " ")
	var values [len(parameters)]string
	for part := range strings.FieldsFuncSeq(rest, func(c rune) bool { return c == ',' || c == ' ' }) {
		name, value, ok := strings.Cut(part, "=")
		i := slices.Index(parameters[:], name)
		if i < 0 {
			name = "..." // which may be a secret in a wrong place
		}
		switch {
		case !ok:
			return nil, incomplete("'%s' not a valid key=value pair (missing equal-sign) in Authorization header.", name)
		case i < 0: // AWS passes over it, too
		case values[i] != "":
			return nil, incomplete("Authorization header has more than one '%s' parameter.", name)
		default:
			values[i] = value
		}
	}
	var missing []string
	for i, name := range parameters {
		if values[i] == "" {
			missing = append(missing, fmt.Sprintf("Authorization header requires '%s' parameter.", name))
		}
	}
	signed, timeErr := timeOf(r.Header)
	if signed.IsZero() && timeErr == nil {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if len(missing) > 0 {
		return nil, incomplete("%s", strings.Join(missing, " "))
	}
	if timeErr != nil {
		return nil, timeErr
	}
	s := &Signature{time: signed, headers: strings.Split(values[2], ";")}
	if err := s.covers(r.Header); err != nil {
		return nil, err
	}
	if kind != algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm' (only %s for now).", algorithm)
	}
	scope := strings.Split(values[0], "/")
	if len(scope) != 5 {
		return nil, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	s.KeyID, s.date, s.Region, s.service, s.end = scope[0], scope[1], scope[2], scope[3], scope[4]
	if s.KeyID == "" || len(s.KeyID) > 128 || strings.ContainsFunc(s.KeyID, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, ErrUnrecognized
	}
	var err error
	if s.mac, err = hex.DecodeString(values[1]); err != nil || len(s.mac) != sha256.Size || strings.ToLower(values[1]) != values[1] {
		return nil, ErrMismatch
	}
	if len(token) > 0 {
		s.Token = token[0]
	}
	return s, nil
}

// timeOf reads when a request was signed. The time is zero, without an error, if the request does not say.
func timeOf(h http.Header) (time.Time, error) {
	texts, fallback := h["X-Amz-Date"], false
	if len(texts) == 0 {
		texts, fallback = h["Date"], true
	}
	if len(texts) == 0 {
		return time.Time{}, nil
	}
	text := strings.Join(texts, ",")
	if len(text) == len(timeFormat) { // with a fraction of a second, which is longer, time.Parse takes it, too
		if t, err := time.Parse(timeFormat, text); err == nil {
			return t, nil
		}
	} else if fallback {
		if t, err := http.ParseTime(text); err == nil {
			return t.UTC().Truncate(time.Second), nil
		}
	}
	return time.Time{}, incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", printable(text))
}

// covers requires that the signature names what it must, each once and in order.
func (s *Signature) covers(h http.Header) error {
	for i, name := range s.headers {
		if name != strings.ToLower(name) || i > 0 && s.headers[i-1] >= name {
			return ErrMismatch
		}
	}
	uncovered := "" // the first in order, that the fault is the same every time
	cover := func(name string) {
		if _, found := slices.BinarySearch(s.headers, name); !found && (uncovered == "" || name < uncovered) {
			uncovered = name
		}
	}
	cover("host")
	const prefix = "x-amz-"
	for name := range h {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			cover(strings.ToLower(name))
		}
	}
	if uncovered != "" {
		return invalid("'%s' must be a 'SignedHeader' in the AWS Authorization.", http.CanonicalHeaderKey(printable(uncovered)))
	}
	return nil
}

// Verify returns nil if the request, of which s was read, was signed with secret, for the service, within [Window] of now. The error is a [*Fault]. The Region is the caller's
// to compare ([OtherRegion] is the fault), and so is the Token.
func (s *Signature) Verify(r *http.Request, body []byte, secret, service string, now time.Time) error {
	if err := outside(s.time, now); err != nil {
		return err
	}
	switch date := s.time.Format(dateFormat); {
	case s.service != service:
		return invalid("Credential should be scoped to correct service: '%s'.", service)
	case s.end != terminator:
		return invalid("Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, printable(s.end))
	case s.date != date:
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", printable(s.date), date, s.time.Format(timeFormat))
	}
	canonical, ok := s.canonicalRequest(r, body)
	if !ok || !hmac.Equal(s.mac, mac(s.key(secret), s.stringToSign(canonical))) {
		return ErrMismatch
	}
	return nil
}

// key derives the key that signs from the secret.
func (s *Signature) key(secret string) []byte {
	key := append([]byte("AWS4"), secret...)
	for _, part := range [...]string{s.date, s.Region, s.service, s.end} {
		key = mac(key, []byte(part))
	}
	return key
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}
