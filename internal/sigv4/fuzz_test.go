package sigv4

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzParse reads what a header may hold. What is read covers all that it must.
func FuzzParse(f *testing.F) {
	suite, err := filepath.Glob("testdata/*/*.authz")
	if err != nil || len(suite) == 0 {
		f.Fatal(err)
	}
	for _, path := range suite {
		header, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(header), "20150830T123600Z", "My-Header1", "value", "")
	}
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host;x-amz-date,Signature=", "Sun, 30 Aug 2015 12:36:00 GMT", "X-Amz-Target", "b", "token")
	f.Fuzz(func(t *testing.T, authorization, date, name, value, token string) {
		r := &http.Request{Method: "POST", Host: "a", RequestURI: "/", Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}, name: {value}}}
		if token != "" {
			r.Header.Set("X-Amz-Security-Token", token)
		}
		s, err := Parse(r)
		if err != nil {
			fault, ok := errors.AsType[*Fault](err)
			if !ok || s != nil || len(fault.Message) > 512 || strings.ContainsFunc(fault.Message, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("%v, %T %q", s, err, err)
			}
			return
		}
		if s.KeyID == "" || len(s.KeyID) > 128 || s.Token != r.Header.Get("X-Amz-Security-Token") {
			t.Errorf("%+v", s)
		}
		if !slices.IsSorted(s.headers) || len(slices.Compact(slices.Clone(s.headers))) != len(s.headers) || !slices.Contains(s.headers, "host") {
			t.Errorf("headers are %q", s.headers)
		}
		for name := range r.Header {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(s.headers, lower) {
				t.Errorf("headers are %q, without %s", s.headers, lower)
			}
		}
	})
}

// FuzzVerify changes requests that were signed. One that still verifies has the string to sign of one that was signed, as the signer of the tests finds it, which signs
// what it wants of the changed request: that verifies.
func FuzzVerify(f *testing.F) {
	signed := map[string]bool{}
	for _, target := range []string{"/", "/a//b/../c%2Fd/./?x=y&a&b=%7e+c", "http://kms.us-east-1.amazonaws.com/?b=2&a=1"} {
		text := strings.Replace(encryptRequest, " / ", " "+target+" ", 1)
		r, body := receive(f, text)
		names := namesOf(r)
		valid.sign(r, body, moment, names)
		signed[valid.text(valid.canonical(r, body, names), moment)] = true
		f.Add([]byte(strings.Replace(text, "\r\n\r\n", "\r\nAuthorization: "+r.Header.Get("Authorization")+"\r\n\r\n", 1)))
	}
	vectors, err := filepath.Glob("testdata/clients/*.http")
	if err != nil || len(vectors) == 0 {
		f.Fatal(err)
	}
	for _, path := range vectors {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for name := range r.Header { // a server refuses other names
			if strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }) {
				return
			}
		}
		if s, err := Parse(r); err == nil && s.Verify(r, body, secret, "kms", now) == nil && !signed[valid.text(valid.canonical(r, body, s.headers), moment)] {
			t.Errorf("%q verifies", text)
		}

		r.Header["X-Amz-Date"] = []string{moment}
		delete(r.Header, "X-Amz-Content-Sha256")
		if len(r.Header["X-Amz-Security-Token"]) > 1 || r.Host == "" {
			return
		}
		names := namesOf(r)
		valid.sign(r, body, moment, names)
		s, err := Parse(r)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := s.Verify(r, body, secret, "kms", now); err != nil {
			canonical, _ := s.canonicalRequest(r, body)
			t.Fatalf("%v:\n%s\nwant\n%s", err, canonical, valid.canonical(r, body, names))
		}
		if err := s.Verify(r, append(body, 0), secret, "kms", now); !errors.Is(err, ErrMismatch) {
			t.Errorf("another body: %v", err)
		}
		r.Header.Set("X-Amz-Target", r.Header.Get("X-Amz-Target")+"x")
		if err := s.Verify(r, body, secret, "kms", now); r.Header.Get("X-Amz-Target") != "x" && !errors.Is(err, ErrMismatch) {
			t.Errorf("another target: %v", err)
		}
	})
}
