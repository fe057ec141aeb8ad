package kmshttp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// An answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	m      map[string]any
}

// post sends a request to a ring without a socket.
func post(t *testing.T, transport http.RoundTripper, operation, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	return roundTrip(t, transport, r)
}

// roundTrip sends a request as it is.
func roundTrip(t *testing.T, transport http.RoundTripper, r *http.Request) answer {
	t.Helper()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
	if len(text) > 0 {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&a.m); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
	}
	return a
}

// A direct transport calls a handler.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// send hands a request, as a server has it, to a handler. change completes it.
func send(t *testing.T, handler http.Handler, operation, body string, change func(*http.Request)) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	if change != nil {
		change(r)
	}
	return roundTrip(t, direct{handler}, r)
}

func TestRoundTrip(t *testing.T) {
	ring := kmstest.New(t)
	wire := kmshttp.Transport(ring.Keyring)
	created := post(t, wire, "CreateKey", `{"Description":"d"}`)
	arn, _ := created.m["KeyMetadata"].(map[string]any)["Arn"].(string)
	sealed := post(t, wire, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"aGVsbG8=","EncryptionContext":{"Dept":"IT"}}`, arn))
	opened := post(t, wire, "Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q,"EncryptionContext":{"Dept":"IT"}}`, sealed.m["CiphertextBlob"]))
	if opened.status != http.StatusOK || opened.m["Plaintext"] != "aGVsbG8=" || opened.m["KeyId"] != arn {
		t.Errorf("%+v", opened)
	}
}
