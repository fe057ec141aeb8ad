// Package sigv4 verifies requests that are signed by AWS Signature Version 4, in the form with an Authorization header.
//
// A request is read by [Parse], which tells whose it claims to be, and then verified with that one's secret. What signs the request is its method, its path and query as
// they were sent, the headers that the signature names, among them the host and every one that begins with x-amz-, and its body. There is no nonce: what limits a replay is
// the window of time.
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
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

// A Fault is why a request is refused, as AWS says it.
type Fault struct {
	Code    string // the exception
	Message string
}

// Error writes both.
func (f *Fault) Error() string { return f.Code + ": " + f.Message }

func faultf(code, format string, args ...any) error {
	return &Fault{code, fmt.Sprintf(format, args...)}
}

// Codes of faults.
const (
	missingToken        = "MissingAuthenticationTokenException"
	incompleteSignature = "IncompleteSignatureException"
	invalidSignature    = "InvalidSignatureException"
)

// ErrMismatch is the fault of a request that the secret did not sign.
var ErrMismatch error = &Fault{invalidSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. " +
	"Consult the service documentation for details."}

// A Signature is what a request says of its signature. Nothing of it holds before it is verified.
type Signature struct {
	KeyID  string // the access key id
	Region string
	Token  string // the session token; "" if there is none

	service, date, end string
	headers            []string // names, lower-case and ascending
	mac                []byte
	time               time.Time
	timeText           string
}

// Parse reads the signature of a request. The error is a [*Fault].
func Parse(r *http.Request) (*Signature, error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return nil, faultf(missingToken, "Missing Authentication Token")
	}
	kind, rest, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || kind != algorithm {
		return nil, faultf(incompleteSignature, "The Authorization header must be one, by %s.", algorithm)
	}
	s := &Signature{Token: r.Header.Get("X-Amz-Security-Token")}
	if len(r.Header.Values("X-Amz-Security-Token")) > 1 {
		return nil, faultf(incompleteSignature, "There is more than one 'X-Amz-Security-Token' header.")
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, faultf(incompleteSignature, "'%s' not a valid key=value pair (missing equal-sign) in Authorization header.", printable(name))
		}
		if _, twice := parts[name]; twice {
			return nil, faultf(incompleteSignature, "'%s' stands twice in Authorization header.", printable(name))
		}
		parts[name] = value
	}
	when := r.Header.Get("X-Amz-Date")
	parsed, timeErr := time.Parse(timeFormat, when)
	if when == "" {
		if when = r.Header.Get("Date"); when != "" {
			if parsed, timeErr = http.ParseTime(when); timeErr == nil {
				when = parsed.UTC().Format(timeFormat)
			}
		}
	}
	var missing []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			missing = append(missing, fmt.Sprintf("Authorization header requires '%s' parameter.", name))
		}
	}
	if when == "" {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if len(missing) > 0 {
		return nil, faultf(incompleteSignature, "%s", strings.Join(missing, " "))
	}
	if timeErr != nil {
		return nil, faultf(incompleteSignature, "Date must be in ISO-8601 'basic format'. Got '%s'.", printable(when))
	}
	s.time, s.timeText = parsed.UTC(), when
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) < 5 {
		return nil, faultf(incompleteSignature, "Credential must have at least 5 slash-delimited elements, got '%s'.", printable(parts["Credential"]))
	}
	n := len(scope) - 4
	s.KeyID, s.date, s.Region, s.service, s.end = strings.Join(scope[:n], "/"), scope[n], scope[n+1], scope[n+2], scope[n+3]
	s.headers = strings.Split(parts["SignedHeaders"], ";")
	var err error
	if s.mac, err = hex.DecodeString(parts["Signature"]); err != nil || len(s.mac) != sha256.Size || s.KeyID == "" {
		return nil, ErrMismatch
	}
	return s, s.covers(r)
}

// covers requires that the signature names what it must.
func (s *Signature) covers(r *http.Request) error {
	for i, name := range s.headers {
		if name != strings.ToLower(name) || i > 0 && s.headers[i-1] >= name {
			return ErrMismatch
		}
	}
	must := []string{"host"}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			must = append(must, lower)
		}
	}
	slices.Sort(must)
	for _, name := range must {
		if _, found := slices.BinarySearch(s.headers, name); !found {
			return faultf(invalidSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", http.CanonicalHeaderKey(printable(name)))
		}
	}
	return nil
}

// Verify returns nil if the request was signed with secret, for the service, within [Window] of now. The error is a [*Fault]. The Region is the caller's to compare. Whatever
// the secret is, the same work is done.
func (s *Signature) Verify(r *http.Request, body []byte, secret, service string, now time.Time) error {
	signed := hmac.Equal(s.mac, s.sign(r, body, secret))
	switch date := s.time.Format(dateFormat); {
	case s.service != service:
		return faultf(invalidSignature, "Credential should be scoped to correct service: '%s'.", service)
	case s.end != terminator:
		return faultf(invalidSignature, "Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, printable(s.end))
	case s.date != date:
		return faultf(invalidSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", printable(s.date), date, s.timeText)
	case s.time.Before(now.Add(-Window)):
		return faultf(invalidSignature, "Signature expired: %s is now earlier than %s (%s - %d min.)", s.timeText, now.Add(-Window).UTC().Format(timeFormat), now.UTC().Format(timeFormat), int(Window.Minutes()))
	case s.time.After(now.Add(Window)):
		return faultf(invalidSignature, "Signature not yet current: %s is still later than %s (%s + %d min.)", s.timeText, now.Add(Window).UTC().Format(timeFormat), now.UTC().Format(timeFormat), int(Window.Minutes()))
	case !signed:
		return ErrMismatch
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// sign computes the signature that the request should have.
func (s *Signature) sign(r *http.Request, body []byte, secret string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.Region, s.service, terminator} {
		key = mac(key, part)
	}
	return mac(key, s.stringToSign(s.canonicalRequest(r, body)))
}

func (s *Signature) stringToSign(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return strings.Join([]string{algorithm, s.timeText, strings.Join([]string{s.date, s.Region, s.service, terminator}, "/"), hex.EncodeToString(sum[:])}, "\n")
}

// canonicalRequest is the request in the one form that is signed.
func (s *Signature) canonicalRequest(r *http.Request, body []byte) string {
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if claimed := r.Header.Values("X-Amz-Content-Sha256"); len(claimed) > 0 && (len(claimed) > 1 || claimed[0] != payload) {
		payload = "" // which nobody signs
	}
	path, query, _ := strings.Cut(requestURI(r), "?")
	var b strings.Builder
	for _, line := range []string{r.Method, canonicalPath(path), canonicalQuery(query)} {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	for _, name := range s.headers {
		b.WriteString(name)
		b.WriteByte(':')
		values := r.Header.Values(name)
		if name == "host" {
			values = []string{cmp.Or(r.Host, r.URL.Host)}
		}
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.FieldsFunc(v, isSpace), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(s.headers, ";"))
	b.WriteByte('\n')
	b.WriteString(payload)
	return b.String()
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// requestURI is the path and query as they were sent.
func requestURI(r *http.Request) string {
	uri := cmp.Or(r.RequestURI, r.URL.RequestURI())
	if !strings.HasPrefix(uri, "/") { // with a host, as to a proxy
		if u, err := url.Parse(uri); err == nil {
			uri = u.RequestURI()
		}
	}
	return uri
}

// canonicalPath encodes a path as it was sent once more, without its dots and empty segments (RFC 3986, section 6).
func canonicalPath(path string) string {
	var segments []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			segments = segments[:max(0, len(segments)-1)]
		default:
			segments = append(segments, encode(segment))
		}
	}
	canonical := "/" + strings.Join(segments, "/")
	if len(segments) > 0 && (strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..")) {
		canonical += "/"
	}
	return canonical
}

// canonicalQuery sorts the parameters of a query by their encoded names, and then by their values.
func canonicalQuery(query string) string {
	if query == "" {
		return ""
	}
	var pairs [][2]string
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		pairs = append(pairs, [2]string{encode(unescape(name)), encode(unescape(value))})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	texts := make([]string, len(pairs))
	for i, p := range pairs {
		texts[i] = p[0] + "=" + p[1]
	}
	return strings.Join(texts, "&")
}

// unescape undoes the encoding of a part of a query; what is not encoded well stays as it is.
func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// encode writes every byte but unreserved ones (RFC 3986, section 2.3) as % and two upper-case digits.
func encode(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// printable shortens what a request says, and takes out what does not print.
func printable(text string) string {
	const most = 128
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, text)
}
