package sigv4

import (
	"bufio"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const suiteService = "service"

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// readRequest reads a request of the suite, whose request lines have spaces and bytes that no server takes.
func readRequest(t *testing.T, text string) (*http.Request, []byte) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Scan()
	method, rest, _ := strings.Cut(lines.Text(), " ")
	uri := strings.TrimSuffix(rest, " HTTP/1.1")
	r := &http.Request{Method: method, RequestURI: uri, URL: new(url.URL), Header: http.Header{}}
	var name, body string
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "":
			for lines.Scan() {
				if body != "" {
					body += "\n"
				}
				body += lines.Text()
			}
		case line[0] == ' ' || line[0] == '\t': // a header that goes on, as a server joins it
			values := r.Header[http.CanonicalHeaderKey(name)]
			values[len(values)-1] += " " + strings.TrimSpace(line)
		default:
			var value string
			name, value, _ = strings.Cut(line, ":")
			if strings.EqualFold(name, "host") {
				r.Host = strings.TrimSpace(value)
				continue
			}
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r, []byte(body)
}

// TestSuite runs the test suite that AWS published (testdata has its notice and licence): canonical requests, strings to sign and signatures are compared, and signed requests verified.
func TestSuite(t *testing.T) {
	count := 0
	err := filepath.WalkDir("testdata", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".sreq") {
			return err
		}
		count++
		t.Run(strings.TrimSuffix(filepath.Base(path), ".sreq"), func(t *testing.T) {
			read := func(suffix string) string {
				content, err := os.ReadFile(strings.TrimSuffix(path, ".sreq") + suffix)
				if err != nil {
					t.Fatal(err)
				}
				return strings.ReplaceAll(string(content), "\r\n", "\n")
			}
			r, body := readRequest(t, read(".sreq"))
			r.Header.Set("Authorization", read(".authz")) // the signed request of one case has another's
			s, err := Parse(r)
			if strings.Contains(path, "post-sts-header-after") { // a token that is added behind the signature, which some services take: here it must be signed
				if err == nil || !strings.Contains(err.Error(), "'X-Amz-Security-Token' must be a 'SignedHeader'") {
					t.Errorf("a token that is not signed: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			canonical, _ := s.canonicalRequest(r, body)
			if want := read(".creq"); string(canonical) != want {
				t.Errorf("canonical request\n%s\nwant\n%s", canonical, want)
			}
			if got, want := string(s.stringToSign(canonical)), read(".sts"); got != want {
				t.Errorf("string to sign\n%s\nwant\n%s", got, want)
			}
			if err := s.Verify(r, body, secret, suiteService, suiteTime); err != nil {
				t.Error(err)
			}
			if err := s.Verify(r, body, secret+"x", suiteService, suiteTime); !errors.Is(err, ErrMismatch) {
				t.Errorf("another secret: %v", err)
			}
			if err := s.Verify(r, append(body, '.'), secret, suiteService, suiteTime); !errors.Is(err, ErrMismatch) {
				t.Errorf("another body: %v", err)
			}
		})
		return nil
	})
	if err != nil || count != 34 {
		t.Fatalf("%d cases: %v", count, err)
	}
}

// TestClients verifies requests that clients of AWS signed for the same secret: two with the signer of aws-sdk-go-v2 1.48.0, two that botocore 1.43.11 sent, one with aws4fetch 1.0.20.
// The first signs the length of the body, and the last does not sign the content type.
func TestClients(t *testing.T) {
	paths, err := filepath.Glob("testdata/clients/*.http")
	if err != nil || len(paths) != 5 {
		t.Fatalf("%d requests: %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, body := receive(t, string(text))
		s, err := Parse(r)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if s.KeyID != "AKIDEXAMPLE" || s.Region != "us-east-1" || s.Token != r.Header.Get("X-Amz-Security-Token") {
			t.Errorf("%s: %+v", path, s)
		}
		if err := s.Verify(r, body, secret, "kms", s.time); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := s.Verify(r, body[1:], secret, "kms", s.time); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: another body: %v", path, err)
		}
	}
}
