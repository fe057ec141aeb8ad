package sigv4

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A signer signs requests by the words of the specification. It shares nothing with what it is to test.
type signer struct {
	id, secret                   string
	date, region, service, scope string // scope is the last word of it
}

var (
	spaces  = regexp.MustCompile(`[ \t\r\n]+`)
	encoder = strings.NewReplacer("+", "%20")
)

// canonical is the canonical request, in which the headers of the names are signed.
func (k signer) canonical(r *http.Request, body []byte, names []string) string {
	target := r.RequestURI
	if scheme, rest, ok := strings.Cut(target, "://"); ok && !strings.Contains(scheme, "/") {
		if i := strings.IndexAny(rest, "/?"); i < 0 {
			target = "/"
		} else {
			target = rest[i:]
		}
	}
	raw, query, _ := strings.Cut(target, "?")
	clean := path.Clean("/" + raw)
	if last := raw[strings.LastIndex(raw, "/")+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	segments := strings.Split(clean, "/")
	for i, segment := range segments {
		segments[i] = encoder.Replace(url.QueryEscape(segment))
	}
	values := map[string][]string{}
	if query != "" {
		for _, parameter := range strings.Split(query, "&") {
			name, value, _ := strings.Cut(parameter, "=")
			for _, part := range []*string{&name, &value} {
				if plain, err := url.PathUnescape(*part); err == nil {
					*part = plain
				}
				*part = encoder.Replace(url.QueryEscape(*part))
			}
			values[name] = append(values[name], value)
		}
	}
	var parameters []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range slices.Sorted(slices.Values(values[name])) {
			parameters = append(parameters, name+"="+value)
		}
	}
	var headers strings.Builder
	for _, name := range names {
		lines := slices.Clone(r.Header[http.CanonicalHeaderKey(name)])
		switch {
		case name == "host":
			lines = []string{r.Host}
		case name == "content-length" && lines == nil:
			lines = []string{strconv.Itoa(len(body))}
		}
		for i := range lines {
			lines[i] = spaces.ReplaceAllString(strings.Trim(lines[i], " \t\r\n"), " ")
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.Join(lines, ","))
	}
	return fmt.Sprintf("%s\n%s\n%s\n%s\n%s\n%x", r.Method, strings.Join(segments, "/"), strings.Join(parameters, "&"), headers.String(), strings.Join(names, ";"), sha256.Sum256(body))
}

// text is the string to sign at a time.
func (k signer) text(canonical, when string) string {
	return fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s/%s/%s/%s\n%x", when, k.date, k.region, k.service, k.scope, sha256.Sum256([]byte(canonical)))
}

func (k signer) signature(text string) string {
	hash := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		io.WriteString(h, text)
		return h.Sum(nil)
	}
	return hex.EncodeToString(hash(hash(hash(hash(hash([]byte("AWS4"+k.secret), k.date), k.region), k.service), k.scope), text))
}

// sign gives the request its Authorization, for the headers of the names.
func (k signer) sign(r *http.Request, body []byte, when string, names []string) {
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/%s, SignedHeaders=%s, Signature=%s",
		k.id, k.date, k.region, k.service, k.scope, strings.Join(names, ";"), k.signature(k.text(k.canonical(r, body, names), when))))
}

// namesOf are all that can be signed of a request, in order.
func namesOf(r *http.Request) []string {
	names := []string{"host"}
	for name := range r.Header {
		if name != "Authorization" {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return names
}

// receive reads a request as net/http's server does.
func receive(tb testing.TB, text string) (*http.Request, []byte) {
	tb.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		tb.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return r, body
}
