package kmshttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

// What bodies may have at most.
const (
	usualBody  = 256 << 10
	policyBody = 1 << 20
)

// TestEmptyBodies: no body is an empty object.
func TestEmptyBodies(t *testing.T) {
	for op := range offered {
		w := newWorld(t)
		want := w.post(op.name, raw("{}"))
		for _, body := range []raw{"", " { } ", "{\n}\n"} {
			got := newWorld(t).post(op.name, body)
			if got.status != want.status || got.code() != want.code() || got.message() != want.message() || names(got.m) != names(want.m) {
				t.Errorf("%s with %q: %d %s\nwant %d %s", op.name, body, got.status, got.body, want.status, want.body)
			}
			got.wantHeader(t, op.name)
		}
		free := len(op.least(w)) == 0
		if (want.status == http.StatusOK) != free {
			t.Errorf("%s with {}: %d %s", op.name, want.status, want.body)
		}
	}
}

// TestMalformedBodies: what is not one JSON object, each of whose names stands there once, is a SerializationException.
func TestMalformedBodies(t *testing.T) {
	w := newWorld(t)
	key := w.symmetric()
	valid := fmt.Sprintf(`{"KeyId":%q}`, key)
	if a := w.post("DescribeKey", raw(" \t\r\n"+valid+" \t\r\n")); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	stored := w.keys()
	for what, body := range map[string]string{
		"a list": `[]`, "a list with the object": "[" + valid + "]", "null": `null`, "a string": `"x"`, "a number": `1`, "true": `true`, "the object in a string": fmt.Sprintf("%q", valid),
		"white space": " ", "a line break": "\n", "no JSON": `KeyId=x`, "XML": `<KeyId/>`, "a name without quotes": `{KeyId:"x"}`, "single quotes": `{'KeyId':'x'}`, "a comment": "{}//", "a comma behind": `{"KeyId":"x",}`,
		"no value": `{"KeyId":}`, "no colon": `{"KeyId" "x"}`, "no end": `{"KeyId":"x"`, "no end of the string": `{"KeyId":"x}`, "a brace": `{`, "two braces": `{}}`, "another object behind": valid + "{}", "a letter behind": valid + "x",
		"a NUL behind": valid + "\x00", "a NUL before": "\x00" + valid, "a byte order mark": "\ufeff" + valid, "UTF-16": "{\x00}\x00", "NaN": `{"X":NaN}`, "Infinity": `{"X":Infinity}`, "a plus": `{"X":+1}`, "a leading zero": `{"X":01}`,
		"a hexadecimal number": `{"X":0x1}`, "a bare point": `{"X":1.}`, "a bare exponent": `{"X":1e}`, "a control character": "{\"X\":\"\x01\"}", "a line break in a string": "{\"X\":\"\n\"}", "a wrong escape": `{"X":"\x41"}`,
		"a short escape": `{"X":"\u12"}`, "True": `{"X":True}`, "bytes behind": valid + "\xff",
		"a byte that is no UTF-8":          "{\"KeyId\":\"\xff\"}",
		"an overlong form":                 "{\"KeyId\":\"\xc0\xaf\"}",
		"a surrogate in UTF-8":             "{\"KeyId\":\"\xed\xa0\x80\"}",
		"a name that is no UTF-8":          "{\"\xff\":1}",
		"half a character":                 "{\"KeyId\":\"\xe8\xaa\"}",
		"a high surrogate":                 `{"X":"\ud800"}`,
		"a low surrogate":                  `{"X":"\udc00"}`,
		"a high surrogate and a letter":    `{"X":"\ud800a"}`,
		"two high surrogates":              `{"X":"\ud800\ud800"}`,
		"surrogates in the wrong order":    `{"X":"\udc00\ud800"}`,
		"half a surrogate pair in a name":  `{"\ud800":1}`,
		"a member twice":                   fmt.Sprintf(`{"KeyId":%q,"KeyId":%q}`, key, key),
		"a member twice, once null":        fmt.Sprintf(`{"KeyId":%q,"KeyId":null}`, key),
		"a member twice, once escaped":     fmt.Sprintf(`{"KeyId":%q,"\u004beyId":%q}`, key, key),
		"an unknown member twice":          fmt.Sprintf(`{"KeyId":%q,"X":1,"X":1}`, key),
		"a member twice in an unknown one": fmt.Sprintf(`{"KeyId":%q,"X":[{"Y":1,"Y":1}]}`, key),
		"a member with an empty name":      `{"":1,"":2}`,
	} {
		for _, operation := range []string{"DescribeKey", "DisableKey", "CreateKey", "ListKeys"} {
			w.post(operation, raw(body)).refused(t, operation+" with "+what, "SerializationException", "")
		}
	}
	for operation, body := range map[string]string{
		"Encrypt":     fmt.Sprintf(`{"KeyId":%q,"Plaintext":"AA==","EncryptionContext":{"a":"b","a":"b"}}`, key),
		"TagResource": fmt.Sprintf(`{"KeyId":%q,"Tags":[{"TagKey":"a","TagValue":"b","TagKey":"a"}]}`, key),
		"CreateGrant": fmt.Sprintf(`{"KeyId":%q,"Operations":["Decrypt"],"GranteePrincipal":%q,"Constraints":{"EncryptionContextEquals":{"a":"b"},"EncryptionContextEquals":{"a":"c"}}}`, key, grantee),
	} {
		w.post(operation, raw(body)).refused(t, operation+" with a member twice", "SerializationException", "")
	}
	if after := w.keys(); strings.Join(after, "") != strings.Join(stored, "") {
		t.Errorf("%v became %v", stored, after)
	}
	// Escapes are what they stand for.
	if a := w.post("DescribeKey", raw(strings.ReplaceAll(strings.ReplaceAll(valid, "KeyId", `\u004b\u0065yId`), "arn:", `\u0061\u0072n\u003a`))); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	ec := map[string]string{"😀": "語\u0000\u2028\"\\"}
	sealed := w.post("Encrypt", request{"KeyId": key, "Plaintext": []byte("p"), "EncryptionContext": ec})
	if a := w.post("Decrypt", request{"CiphertextBlob": sealed.m["CiphertextBlob"], "EncryptionContext": ec}); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	pair := raw(fmt.Sprintf(`{"CiphertextBlob":%q,"EncryptionContext":{"\ud83d\ude00":"\u8a9e\u0000\u2028\"\\"}}`, sealed.m["CiphertextBlob"]))
	if a := w.post("Decrypt", pair); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestDeepBodies: a body has as many levels and values as may be, and no more are read.
func TestDeepBodies(t *testing.T) {
	w := newWorld(t)
	deep := func(open, end string, n int) raw {
		return raw(`{"X":` + strings.Repeat(open, n) + "1" + strings.Repeat(end, n) + `}`)
	}
	for _, shape := range [][2]string{{"[", "]"}, {`{"a":`, "}"}, {`[{"a":`, "}]"}} {
		levels := strings.Count(shape[0], "[") + strings.Count(shape[0], "{")
		most := 30 / levels // beside the body and the number
		if a := w.post("ListKeys", deep(shape[0], shape[1], most)); a.status != http.StatusOK {
			t.Errorf("%d of %s: %d %s", most, shape[0], a.status, a.body)
		}
		for _, n := range []int{most + 1, 1000, 25_000} {
			w.post("ListKeys", deep(shape[0], shape[1], n)).refused(t, fmt.Sprintf("%d of %s", n, shape[0]), "SerializationException", "")
		}
		w.post("ListKeys", raw(`{"X":`+strings.Repeat(shape[0], 40_000))).refused(t, shape[0], "SerializationException", "")
	}
	many := func(n int) raw { return raw(`{"X":[` + strings.Repeat("1,", n-1) + `1]}`) }
	if a := w.post("ListKeys", many(9998)); a.status != http.StatusOK { // with the list and the body 10,000
		t.Errorf("%d %s", a.status, a.body)
	}
	w.post("ListKeys", many(9999)).refused(t, "10,001 values", "SerializationException", "")
}

// A chunked body does not tell how long it is.
type chunked struct{ io.Reader }

// TestLargeBodies: a body has as many bytes as the largest request needs, and no more are read, whatever its length was said to be.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t)
	server := serve(t, w)
	for _, tc := range []struct {
		operation, body string
		most            int
	}{
		{"ListKeys", "{}", usualBody},
		{"CreateKey", "{}", policyBody},
		{"PutKeyPolicy", request{"KeyId": w.symmetric(), "Policy": policy(200)}.String(), policyBody},
	} {
		for _, n := range []int{tc.most - 1, tc.most, tc.most + 1, 4 * tc.most} {
			for where, transport := range map[string]http.RoundTripper{"https://kms.eu-central-1.amazonaws.com/": w.wire, server.URL: server.Client().Transport} {
				if where == server.URL && n > 2*tc.most { // which a client may still be sending when the answer is there
					continue
				}
				for _, isChunked := range []bool{false, true} {
					reader := io.Reader(strings.NewReader(tc.body + strings.Repeat(" ", n-len(tc.body))))
					if isChunked {
						reader = chunked{reader}
					}
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, where, reader)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("X-Amz-Target", "TrentService."+tc.operation)
					a := roundTrip(t, transport, r)
					what := fmt.Sprintf("%s of %d bytes to %s, chunked %v", tc.operation, n, where, isChunked)
					if n > tc.most {
						a.want(t, what, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "The request is too large.")
					} else if a.status != http.StatusOK {
						t.Errorf("%s: %d %s", what, a.status, a.body)
					}
				}
			}
		}
	}
}

// TestLargestRequests: what the model allows at most has room, however its characters are written.
func TestLargestRequests(t *testing.T) {
	w := newWorld(t)
	escaped := func(n int) string { return strings.Repeat(`\u0061`, n) }
	const face = `\ud83d\ude00` // a character beyond the first plane
	var tags []string
	for i := range 50 {
		tags = append(tags, fmt.Sprintf(`{"TagKey":"\u00%02d%s","TagValue":"%s"}`, i+30, strings.Repeat(face, 127), strings.Repeat(face, 256)))
	}
	all := "[" + strings.Join(tags, ",") + "]"
	text := policy(32768)
	var escapedPolicy strings.Builder
	for _, c := range text {
		fmt.Fprintf(&escapedPolicy, `\u%04x`, c)
	}
	if a := w.post("CreateKey", raw(fmt.Sprintf(`{"Description":"%s","Policy":"%s","Tags":%s}`, escaped(8192), escapedPolicy.String(), all))); a.status != http.StatusOK {
		t.Errorf("CreateKey: %d %.300s", a.status, a.body)
	}
	if a := w.post("TagResource", raw(fmt.Sprintf(`{"KeyId":%q,"Tags":%s}`, w.symmetric(), all))); a.status != http.StatusOK {
		t.Errorf("TagResource: %d %.300s", a.status, a.body)
	}
	tooMuch := raw(fmt.Sprintf(`{"KeyId":%q,"Policy":"%s"}`, w.symmetric(), strings.Repeat(`\u0020`, 131072)))
	w.post("PutKeyPolicy", tooMuch).refused(t, "a policy that is too long", kms.ErrLimitExceeded, "The key policy has 131072 bytes, and the limit is 32768.")
	plaintext := bytes.Repeat([]byte{0xff}, 4096)
	ec := map[string]string{}
	for i := range 1024 {
		ec[fmt.Sprintf("%04d", i)] = "four"
	}
	sealed := w.post("Encrypt", request{"KeyId": w.symmetric(), "Plaintext": plaintext, "EncryptionContext": ec})
	opened := w.post("Decrypt", request{"CiphertextBlob": sealed.m["CiphertextBlob"], "EncryptionContext": ec})
	if !bytes.Equal(decoded[[]byte](t, opened, "Plaintext"), plaintext) {
		t.Errorf("%.300s", opened.body)
	}
}

// serve is a server of the world's ring, for the root user.
func serve(t *testing.T, w *world) *httptest.Server {
	t.Helper()
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) {
		return kmshttp.Identity{Caller: kms.Root()}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/some/where/", handler)
	mux.Handle("/", handler)
	server := httptest.NewUnstartedServer(mux)
	server.Config = kmshttp.NewServer(mux)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// TestServer: over a connection answers are the same, at whatever path, and have the date that clients set their clocks by.
func TestServer(t *testing.T) {
	for op := range offered {
		w := newWorld(t)
		server := serve(t, w)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/some/where/", strings.NewReader(op.least(w).String()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "TrentService."+op.name)
		a := roundTrip(t, server.Client().Transport, r)
		if _, err := http.ParseTime(a.header.Get("Date")); err != nil || a.status != http.StatusOK || names(a.m) != op.answer || op.answer == "" && a.body != "" {
			t.Errorf("%s: %d %v %s", op.name, a.status, a.header, a.body)
		}
		a.wantHeader(t, op.name)
	}
}

// TestHeadRequests: they are no operations either.
func TestHeadRequests(t *testing.T) {
	server := serve(t, newWorld(t))
	a, err := server.Client().Head(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusNotFound {
		t.Error(a.Status)
	}
}

// TestBrokenBodies: a body that does not arrive as it was announced is refused, and nothing is done.
func TestBrokenBodies(t *testing.T) {
	w := newWorld(t)
	broken := io.MultiReader(strings.NewReader(`{"Description":"d"}`), failing{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", broken)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	roundTrip(t, w.wire, r).refused(t, "a reader that fails", "MalformedHttpRequestException", "The request is not one that this service reads.")

	server := serve(t, w)
	for what, rest := range map[string]string{
		"a short body":    "Content-Length: 20\r\n\r\n{}",
		"a broken chunk":  "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nx\r\n",
		"no end of chunk": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
	} {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, "POST / HTTP/1.1\r\nHost: kms.eu-central-1.amazonaws.com\r\nX-Amz-Target: TrentService.CreateKey\r\n"+rest); err != nil {
			t.Fatal(err)
		}
		if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		text, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || a.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "MalformedHttpRequestException") {
			t.Errorf("%s: %s %s %v", what, a.Status, text, err)
		}
	}
	if keys := w.keys(); len(keys) > 0 {
		t.Errorf("there are keys: %v", keys)
	}
}

// TestShortBodies: within the process, too, a body that ends before what its request promises is not one of its own.
func TestShortBodies(t *testing.T) {
	w := newWorld(t)
	for length, status := range map[int64]int{-1: http.StatusOK, 2: http.StatusOK, 3: http.StatusBadRequest, 5000: http.StatusBadRequest} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
		if a := roundTrip(t, w.wire, r); a.status != status || status != http.StatusOK && a.code() != "MalformedHttpRequestException" {
			t.Errorf("%d promised: %d %s", length, a.status, a.body)
		}
	}
}

// A keeper is a ResponseWriter that keeps what it was given, and not a copy.
type keeper struct {
	http.ResponseWriter
	kept []byte
}

func (k *keeper) Write(b []byte) (int, error) {
	k.kept = b
	return k.ResponseWriter.Write(b)
}

// A keptBody keeps the memory that it was read into.
type keptBody struct {
	io.Reader
	kept [][]byte
}

func (k *keptBody) Read(b []byte) (int, error) {
	n, err := k.Reader.Read(b)
	k.kept = append(k.kept, b[:n])
	return n, err
}

// TestBodiesAreCleared: nothing of a body, which may hold a plaintext, stays in the memory that it was read into or written from.
func TestBodiesAreCleared(t *testing.T) {
	w := newWorld(t)
	var read []byte
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.AuthenticatorFunc(func(_ *http.Request, body []byte) (kmshttp.Identity, error) {
		read = body
		return kmshttp.Identity{Caller: kms.Root()}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{request{"CiphertextBlob": w.ciphertext()}.String() + strings.Repeat(" ", 20_000), "no JSON"} {
		in := &keptBody{Reader: strings.NewReader(body)}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", in)
		r.Header.Set("X-Amz-Target", "TrentService.Decrypt")
		answer := httptest.NewRecorder()
		out := &keeper{ResponseWriter: answer}
		handler.ServeHTTP(out, r)
		if len(read) != len(body) || len(out.kept) != answer.Body.Len() || len(out.kept) == 0 {
			t.Fatalf("%d bytes read, %d written", len(read), len(out.kept))
		}
		for _, b := range append(in.kept, read) {
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("%.20s: the request is %.100q", body, b)
			}
		}
		if answer.Code == http.StatusOK && !bytes.Equal(out.kept, make([]byte, len(out.kept))) { // a refusal holds nothing
			t.Errorf("%.20s: the answer is %q", body, out.kept)
		}
	}
}

// A closing body notes whether it was closed.
type closing struct {
	io.Reader
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return nil }

// TestBodiesAreClosed: a RoundTripper closes the body of a request whatever becomes of it.
func TestBodiesAreClosed(t *testing.T) {
	w := newWorld(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		ctx    context.Context
		target string
	}{{t.Context(), "TrentService.ListKeys"}, {t.Context(), "TrentService.None"}, {ended, "TrentService.ListKeys"}} {
		closed := false
		r, err := http.NewRequestWithContext(tc.ctx, http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", closing{strings.NewReader("{}"), &closed})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", tc.target)
		if resp, err := w.wire.RoundTrip(r); (err != nil) != (tc.ctx == ended) || err == nil && resp.Body.Close() != nil {
			t.Errorf("%s: %v", tc.target, err)
		}
		if !closed {
			t.Errorf("%s: the body is open, context %v", tc.target, tc.ctx.Err())
		}
	}
}

// A failing reader has nothing.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the client has left") }
