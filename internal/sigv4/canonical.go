package sigv4

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// stringToSign is what the signature is computed of.
func (s *Signature) stringToSign(canonical []byte) []byte {
	sum := sha256.Sum256(canonical)
	b := make([]byte, 0, 256)
	b = append(b, algorithm+"\n"...)
	b = s.time.AppendFormat(b, timeFormat)
	for i, part := range [...]string{s.date, s.Region, s.service, s.end} {
		b = append(append(b, "\n///"[i]), part...)
	}
	return hex.AppendEncode(append(b, '\n'), sum[:])
}

// canonicalRequest is the request in the one form that is signed. There is none if the signature names a header that the request does not have, or if the request
// claims another body than it has.
func (s *Signature) canonicalRequest(r *http.Request, body []byte) (canonical []byte, ok bool) {
	path, query, _ := strings.Cut(requestURI(r), "?")
	host := cmp.Or(r.Host, r.URL.Host) // net/http takes it out of the header
	b := make([]byte, 0, 1024)
	b = append(append(b, r.Method...), '\n')
	b = append(appendPath(b, path), '\n')
	b = append(appendQuery(b, query), '\n')
	for _, name := range s.headers {
		values := r.Header.Values(name)
		switch {
		case name == "host" && host != "":
			values = []string{host}
		case name == "content-length" && len(values) == 0: // as of a body that came in chunks, or did not come over a wire
			values = []string{strconv.Itoa(len(body))}
		case len(values) == 0:
			return nil, false
		}
		b = append(append(b, name...), ':')
		for i, value := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendFolded(b, value)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range s.headers {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	sum := sha256.Sum256(body)
	b = hex.AppendEncode(b, sum[:])
	for _, claimed := range r.Header["X-Amz-Content-Sha256"] {
		if claimed != string(b[len(b)-hex.EncodedLen(len(sum)):]) {
			return nil, false
		}
	}
	return b, true
}

// requestURI is the path and query as they were sent.
func requestURI(r *http.Request) string {
	uri := cmp.Or(r.RequestURI, r.URL.RequestURI())
	if _, rest, ok := strings.Cut(uri, "://"); ok && !strings.HasPrefix(uri, "/") { // with a host, as to a proxy
		uri = rest[strings.IndexAny(rest+"/", "/?"):]
	}
	return uri
}

// appendFolded writes the value of a header without the spaces around it, and with one for those between its words.
func appendFolded(b []byte, value string) []byte {
	first := true
	for word := range strings.FieldsFuncSeq(value, func(c rune) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }) {
		if !first {
			b = append(b, ' ')
		}
		b, first = append(b, word...), false
	}
	return b
}

// appendPath encodes a path as it was sent once more, without its dots and empty segments (RFC 3986, section 6).
func appendPath(b []byte, path string) []byte {
	start := len(b)
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			b = b[:start+max(0, bytes.LastIndexByte(b[start:], '/'))]
		default:
			b = appendEncoded(append(b, '/'), segment)
		}
	}
	if len(b) == start || strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..") {
		b = append(b, '/')
	}
	return b
}

// appendQuery sorts the parameters of a query by their encoded names, and then by their values.
func appendQuery(b []byte, query string) []byte {
	if query == "" {
		return b
	}
	var pairs [][2]string
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		pairs = append(pairs, [2]string{encode(unescape(name)), encode(unescape(value))})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for i, pair := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, pair[0]...), '='), pair[1]...)
	}
	return b
}

// unescape undoes the encoding of a part of a query; what is not encoded well stays as it is.
func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

func encode(text string) string { return string(appendEncoded(nil, text)) }

// appendEncoded writes every byte but unreserved ones (RFC 3986, section 2.3) as % and two upper-case digits.
func appendEncoded(b []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
