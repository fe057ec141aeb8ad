package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client calls a server as an access key does, by AWS Signature Version 4. Without an id it signs nothing.
type client struct {
	url, region       string
	id, secret, token string
	http              *http.Client
	header            http.Header // more of it, which is not signed
}

// A reply is what a client got.
type reply struct {
	status    int
	requestID string
	body      map[string]any
}

// code is the name of the exception; "" if there is none.
func (a reply) code() string {
	code, _ := a.body["__type"].(string)
	return code
}

// request returns a signed request.
func (c client) request(t testing.TB, operation, body string) *http.Request {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/", strings.NewReader(body)))(t)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.id == "" {
		return r
	}
	now, region := time.Now().UTC().Format("20060102T150405Z"), cmp.Or(c.region, "eu-central-1")
	r.Header.Set("X-Amz-Date", now)
	signed, values := "host;x-amz-date", "host:"+r.URL.Host+"\nx-amz-date:"+now+"\n"
	if c.token != "" {
		r.Header.Set("X-Amz-Security-Token", c.token)
		signed, values = signed+";x-amz-security-token", values+"x-amz-security-token:"+c.token+"\n"
	}
	signed, values = signed+";x-amz-target", values+"x-amz-target:"+r.Header.Get("X-Amz-Target")+"\n"
	digest := func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) }
	scope := strings.Join([]string{now[:8], region, "kms", "aws4_request"}, "/")
	canonical := strings.Join([]string{"POST", "/", "", values, signed, digest(body)}, "\n")
	key := []byte("AWS4" + c.secret)
	for _, part := range append(strings.Split(scope, "/"), strings.Join([]string{"AWS4-HMAC-SHA256", now, scope, digest(canonical)}, "\n")) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", c.id, scope, signed, key))
	return r
}

// call makes a call, whose reply is JSON.
func (c client) call(t testing.TB, operation, format string, args ...any) reply {
	t.Helper()
	resp := must(cmp.Or(c.http, http.DefaultClient).Do(c.request(t, operation, fmt.Sprintf(format, args...))))(t)
	text := must(io.ReadAll(resp.Body))(t)
	ok(t, resp.Body.Close())
	a := reply{status: resp.StatusCode, requestID: resp.Header.Get("X-Amzn-Requestid")}
	if len(text) > 0 {
		ok(t, json.Unmarshal(text, &a.body))
	}
	return a
}

// create makes a key and returns its ARN.
func (c client) create(t testing.TB) string {
	t.Helper()
	a := c.call(t, "CreateKey", "{}")
	metadata, _ := a.body["KeyMetadata"].(map[string]any)
	arn, _ := metadata["Arn"].(string)
	if a.status != http.StatusOK || arn == "" {
		t.Fatalf("CreateKey: %+v", a)
	}
	return arn
}

// wants makes a call and compares the name of its exception, "" if it is to succeed.
func (c client) wants(t testing.TB, code, operation, format string, args ...any) reply {
	t.Helper()
	a := c.call(t, operation, format, args...)
	if a.code() != code || (a.status == http.StatusOK) != (code == "") || a.requestID == "" {
		t.Errorf("%s: %+v, want %q", operation, a, code)
	}
	return a
}
