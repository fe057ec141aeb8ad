// Package sigv4test makes requests to AWS KMS, signed by AWS Signature Version 4, for tests and benchmarks of what verifies and serves them. It shares nothing with what verifies.
package sigv4test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// A Signer signs requests to the AWS KMS of a Region by an access key.
type Signer struct {
	KeyID, Secret string
	Token         string // the session token; "" for a key that has none
	Region        string
}

// Host is whom requests are for.
func (s Signer) Host() string { return "kms." + s.Region + ".amazonaws.com" }

// Request returns a request for an operation as it goes over the wire, in HTTP/1.1, signed at a time.
func (s Signer) Request(operation string, body []byte, at time.Time) []byte {
	when := at.UTC().Format("20060102T150405Z")
	signed := [][2]string{{"content-type", "application/x-amz-json-1.1"}, {"host", s.Host()}, {"x-amz-date", when}}
	if s.Token != "" {
		signed = append(signed, [2]string{"x-amz-security-token", s.Token})
	}
	signed = append(signed, [2]string{"x-amz-target", "TrentService." + operation})
	var b bytes.Buffer
	b.WriteString("POST / HTTP/1.1\r\n")
	var names []string
	var lines strings.Builder
	for _, h := range signed {
		names = append(names, h[0])
		fmt.Fprintf(&lines, "%s:%s\n", h[0], h[1])
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	scope := strings.Join([]string{when[:8], s.Region, "kms", "aws4_request"}, "/")
	canonical := strings.Join([]string{"POST", "/", "", lines.String(), strings.Join(names, ";"), sum(body)}, "\n")
	key := []byte("AWS4" + s.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", when, scope, sum([]byte(canonical))}, "\n"))
	fmt.Fprintf(&b, "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x\r\n", s.KeyID, scope, strings.Join(names, ";"), signature)
	fmt.Fprintf(&b, "User-Agent: aws-sdk-go-v2/1.41.0 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux md/GOARCH#amd64 api/kms#1.49.0\r\n")
	fmt.Fprintf(&b, "Accept-Encoding: identity\r\nContent-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
