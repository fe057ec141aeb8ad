package kmshttp_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A mischief is what a client does that is broken, or means harm.
type mischief struct {
	name   string
	bytes  func(v *visitor) []byte // what it sends
	then   ending
	want   []string // the codes of the answers, one after the other; one of several is written A|B. What is 200 is a valid request beside it
	silent bool     // there may be fewer answers, since the server or the client may be gone before
	slow   bool     // it sends byte by byte, slowly
	secure bool     // it goes to the server that speaks TLS, as it is
}

// An ending is what the client does when it has sent everything.
type ending int

const (
	listen ending = iota // takes as many answers as are expected
	shut                 // says that no more comes, and takes answers to the end of the connection
	stay                 // waits for the end of the connection, or until it has enough
	leave                // closes the connection, in one way or the other
)

// What the server of Go answers itself.
const (
	badRequest     = "HTTP 400"
	expectation    = "HTTP 417"
	tooLong        = "HTTP 431"
	notImplemented = "HTTP 501"
	badVersion     = "HTTP 505"
)

// Codes of refusals.
const (
	incomplete    = "IncompleteSignatureException"
	invalid       = "InvalidSignatureException"
	malformed     = "MalformedHttpRequestException"
	noIdentity    = "MissingAuthenticationTokenException"
	serialization = "SerializationException"
	tooLarge      = "RequestEntityTooLargeException"
	unknownClient = "UnrecognizedClientException"
	unknownTarget = "UnknownOperationException"
	validation    = "ValidationException"
)

// mischiefs are all of them. That most are signed well shows that they are refused for what they are.
var mischiefs = slices.Concat(protocolMischiefs, signatureMischiefs, bodyMischiefs)

// random returns some bytes without the end of a line.
func (v *visitor) random(most int) []byte {
	b := make([]byte, 1+v.IntN(most))
	for i := range b {
		if b[i] = byte(v.Uint32()); b[i] == '\n' {
			b[i] = 0
		}
	}
	return b
}

// good is a request that would be served, whose body nobody should see.
func (v *visitor) good() []byte {
	return v.request("Encrypt", members{"KeyId": v.symmetric, "Plaintext": v.text(1000), "EncryptionContext": members{"tenant": "42"}})
}

// bad is good with another line in place of the one of a name.
func (v *visitor) bad(name, line string) []byte {
	head, body := cut(v.good())
	return slices.Concat(withLine(head, name, line), body)
}

// signed is a request that is signed well, of any body.
func (v *visitor) signed(operation, body string) []byte {
	return v.user().Request(operation, []byte(body), time.Now())
}

// chunked is a good request whose body comes as it is said here.
func (v *visitor) chunked(body string) []byte {
	head, _ := cut(v.good())
	return append(withLine(head, "Content-Length", "Transfer-Encoding: chunked"), body...)
}

// clientHello is how a TLS connection begins.
var clientHello = func() []byte {
	ours, theirs := net.Pipe()
	go func() { _ = tls.Client(theirs, &tls.Config{ServerName: "canary-header.example"}).Handshake() }()
	defer ours.Close()
	hello := make([]byte, 4096)
	n, err := ours.Read(hello)
	if err != nil {
		panic(err)
	}
	return hello[:n]
}()

var protocolMischiefs = []mischief{
	{name: "nothing", bytes: func(*visitor) []byte { return nil }, then: leave},
	{name: "nothing for a while", bytes: func(*visitor) []byte { return nil }, then: stay},
	{name: "garbage", bytes: func(v *visitor) []byte { return v.random(4096) }, then: shut, want: []string{badRequest}, silent: true},
	{name: "garbage in lines", bytes: func(v *visitor) []byte { return append(v.random(400), "\r\n\r\n"...) }, want: []string{badRequest}},
	{name: "garbage to TLS", secure: true, bytes: func(v *visitor) []byte { return v.random(4096) }, then: shut, silent: true},
	{name: "a TLS handshake", bytes: func(*visitor) []byte { return clientHello }, then: shut, want: []string{badRequest}, silent: true},
	{name: "a TLS handshake that stops", secure: true, bytes: func(v *visitor) []byte { return clientHello[:v.IntN(len(clientHello))] }, then: stay},
	{name: "plain text to TLS", secure: true, bytes: (*visitor).good, want: []string{badRequest}, silent: true},
	{name: "another protocol", bytes: func(*visitor) []byte { return []byte("EHLO canary-body\r\nMAIL FROM:<a@example.org>\r\n\r\n") }, want: []string{badRequest}},
	{name: "HTTP/0.9", bytes: func(*visitor) []byte { return []byte("GET /canary-body\r\n\r\n") }, want: []string{badRequest}},
	{name: "HTTP/1.0", bytes: func(*visitor) []byte { return []byte("GET /canary-body HTTP/1.0\r\n\r\n") }, want: []string{unknownTarget}},
	{name: "HTTP/2 by prior knowledge", bytes: func(*visitor) []byte { return []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }, then: shut, want: []string{unknownTarget + "|" + badVersion, badRequest}, silent: true},
	{name: "HTTP/9.9", bytes: func(v *visitor) []byte { return bytes.Replace(v.good(), []byte("HTTP/1.1"), []byte("HTTP/9.9"), 1) }, want: []string{badRequest + "|" + badVersion}},
	{name: "another method", bytes: func(v *visitor) []byte {
		methods := []string{"GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CANARY-BODY", "post"}
		return append([]byte(methods[v.IntN(len(methods))]), bytes.TrimPrefix(v.good(), []byte("POST"))...)
	}, want: []string{unknownTarget}},
	{name: "CONNECT", bytes: func(v *visitor) []byte {
		return bytes.Replace(v.good(), []byte("POST / "), []byte("CONNECT canary-body.example:443 "), 1)
	}, want: []string{unknownTarget}},
	{name: "no host", bytes: func(v *visitor) []byte { return v.bad("host", "X-Nothing: 1") }, want: []string{badRequest}},
	{name: "two hosts", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "Host: canary-header") }, want: []string{badRequest}},
	{name: "a header without a name", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", ": canary-header") }, want: []string{badRequest}},
	{name: "a header with a space in its name", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "Canary Header: canary-header") }, want: []string{badRequest}},
	{name: "a header with a NUL", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "Referer: canary-header\x00") }, want: []string{badRequest}},
	{name: "a target with a line feed", bytes: func(v *visitor) []byte {
		return bytes.Replace(v.good(), []byte("POST / "), []byte("POST /\r\nX: canary-header "), 1)
	}, want: []string{badRequest}},
	{name: "a header that is too long", bytes: func(v *visitor) []byte {
		return v.bad("Accept-Encoding", "Referer: "+strings.Repeat("canary-header ", 10_000))
	}, then: shut, want: []string{tooLong}, silent: true},
	{name: "too many headers", bytes: func(v *visitor) []byte {
		return v.bad("Accept-Encoding", strings.TrimSuffix(strings.Repeat("A: canary-header\r\n", 10_000), "\r\n"))
	}, then: shut, want: []string{tooLong}, silent: true},
	{name: "headers that stop", slow: true, bytes: func(v *visitor) []byte { return v.good()[:v.IntN(300)] }, then: stay, want: []string{badRequest}, silent: true},
	{name: "headers after which it leaves", bytes: func(v *visitor) []byte { return v.good()[:v.IntN(300)] }, then: leave},
	{name: "headers after which no more comes", bytes: func(v *visitor) []byte { return v.good()[:v.IntN(300)] }, then: shut, want: []string{badRequest}, silent: true},
	{name: "a body that stops", slow: true, bytes: func(v *visitor) []byte { return v.part() }, then: stay, want: []string{malformed}, silent: true},
	{name: "a body after which it leaves", bytes: func(v *visitor) []byte { return v.part() }, then: leave},
	{name: "a body after which no more comes", bytes: func(v *visitor) []byte { return v.part() }, then: shut, want: []string{malformed}},
	{name: "a request after which no more comes", bytes: (*visitor).good, then: shut, want: []string{"200|DependencyTimeoutException"}}, // net/http takes it for gone
	{name: "a request after which it leaves", bytes: (*visitor).good, then: leave},
	{name: "requests after which it leaves", bytes: func(v *visitor) []byte { return bytes.Repeat(v.good(), 20) }, then: leave},
	{name: "a promise that is not kept", bytes: func(v *visitor) []byte { return v.bad("Content-Length", "Content-Length: 250000") }, then: stay, want: []string{malformed}, silent: true},
	{name: "a promise to nobody that is not kept", bytes: func(v *visitor) []byte {
		head, _ := cut(v.good())
		return withLine(withLine(head, "x-amz-target", "X-Nothing: canary-body"), "Content-Length", "Content-Length: 100000")
	}, then: stay, want: []string{unknownTarget}, silent: true},
	{name: "less than was promised", bytes: func(v *visitor) []byte { return v.bad("Content-Length", "Content-Length: 5000") }, then: shut, want: []string{malformed}},
	{name: "more than was promised", bytes: func(v *visitor) []byte { return v.bad("Content-Length", "Content-Length: 10") }, then: shut, want: []string{invalid, badRequest}, silent: true},
	{name: "a length below zero", bytes: func(v *visitor) []byte { return v.bad("Content-Length", "Content-Length: -1") }, want: []string{badRequest}},
	{name: "a length that is none", bytes: func(v *visitor) []byte {
		none := []string{"+5", "0x10", "1e3", "5, 6", "", "99999999999999999999", "5 5", "canary-body"}
		return v.bad("Content-Length", "Content-Length: "+none[v.IntN(len(none))])
	}, want: []string{badRequest + "|" + invalid, badRequest}, silent: true},
	{name: "two lengths", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "Content-Length: 7") }, want: []string{badRequest}},
	{name: "a length and chunks", bytes: func(v *visitor) []byte {
		return v.bad("Accept-Encoding", "Transfer-Encoding: chunked")
	}, then: shut, want: []string{malformed}},
	{name: "chunks that are none", bytes: func(v *visitor) []byte {
		none := []string{"canary-body\r\n", "-1\r\n\r\n", "fffffffffffffffff\r\n", "5\r\ncanary-body\r\n0\r\n\r\n", "5;" + strings.Repeat("canary-body", 5000) + "\r\n", " 5\r\nabcde\r\n0\r\n\r\n", "\r\n"}
		return v.chunked(none[v.IntN(len(none))])
	}, then: shut, want: []string{malformed}},
	{name: "chunks of one byte", bytes: func(v *visitor) []byte { return v.chunked(strings.Repeat("1\r\nx\r\n", 300_000)) }, then: shut, want: []string{tooLarge + "|" + malformed}, silent: true}, // or it takes too long
	{name: "chunks that are too large", bytes: func(v *visitor) []byte { return v.chunked("80000\r\n" + strings.Repeat("canary-body", 50_000)) }, then: shut, want: []string{tooLarge}, silent: true},
	{name: "chunks that promise too much", bytes: func(v *visitor) []byte { return v.chunked("7ffffffffffffff\r\ncanary-body") }, then: stay, want: []string{malformed}, silent: true},
	{name: "a trailer that is none", bytes: func(v *visitor) []byte { return v.chunked("1\r\nx\r\n0\r\ncanary-body\x00\r\n\r\n") }, then: shut, want: []string{malformed + "|" + invalid, badRequest}, silent: true},
	{name: "another coding", bytes: func(v *visitor) []byte {
		codings := []string{"gzip", "gzip, chunked", "identity", "chunked, chunked", "canary-header", "xchunked"}
		return v.bad("Content-Length", "Transfer-Encoding: "+codings[v.IntN(len(codings))])
	}, want: []string{notImplemented + "|" + badRequest}},
	{name: "a body that is too large, promised", bytes: func(v *visitor) []byte {
		return v.bad("Content-Length", fmt.Sprintf("Content-Length: %d", 256<<10+1+v.Int64N(1<<60)))
	}, want: []string{tooLarge}},
	{name: "a body that is too large", bytes: func(v *visitor) []byte { return v.signed("Encrypt", strings.Repeat("canary-body", 50_000)) }, then: shut, want: []string{tooLarge}, silent: true},
	{name: "a policy that is too large", bytes: func(v *visitor) []byte { return v.signed("PutKeyPolicy", strings.Repeat("canary-body", 100_000)) }, then: shut, want: []string{tooLarge}, silent: true},
	{name: "another expectation", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "Expect: canary-header") }, want: []string{expectation}},
	{name: "nothing when told to continue", bytes: func(v *visitor) []byte {
		head, _ := cut(v.bad("Accept-Encoding", "Expect: 100-continue"))
		return head
	}, then: shut, want: []string{malformed}},
	{name: "too much when told to continue", bytes: func(v *visitor) []byte {
		head, _ := cut(v.bad("Accept-Encoding", "Expect: 100-continue"))
		return withLine(head, "Content-Length", "Content-Length: 9000000")
	}, want: []string{tooLarge}},
	{name: "a bad request among good ones", bytes: func(v *visitor) []byte {
		head, body := cut(v.good())
		return slices.Concat(v.good(), withLine(head, "Content-Length", fmt.Sprintf("Content-Length: %d", len(body)+len("canary-body"))), body, []byte("canary-body"), v.good())
	}, want: []string{"200", invalid, "200"}},
	{name: "a good request in the body of a bad one", bytes: func(v *visitor) []byte {
		inner := v.good()
		head, _ := cut(v.good())
		return append(withLine(head, "Content-Length", fmt.Sprintf("Content-Length: %d", len(inner))), inner...)
	}, then: shut, want: []string{invalid}},
	{name: "an upgrade", bytes: func(v *visitor) []byte {
		return v.bad("Accept-Encoding", "Connection: Upgrade\r\nUpgrade: h2c\r\nX-Amz-Canary: canary-header")
	}, want: []string{invalid}},
}

// part is a good request without the end of its body.
func (v *visitor) part() []byte {
	head, body := cut(v.good())
	return append(head, body[:v.IntN(len(body))]...)
}

var signatureMischiefs = []mischief{
	{name: "no signature", bytes: func(v *visitor) []byte { return v.bad("Authorization", "X-Nothing: canary-header") }, want: []string{noIdentity}},
	{name: "a password", bytes: func(v *visitor) []byte { return v.bad("Authorization", "Authorization: Basic Y2FuYXJ5LWhlYWRlcg==") }, want: []string{incomplete + "|" + noIdentity}},
	{name: "half a signature", bytes: func(v *visitor) []byte {
		return v.bad("Authorization", "Authorization: AWS4-HMAC-SHA256 Credential=canary-header")
	}, want: []string{incomplete}},
	{name: "two signatures", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "Authorization: canary-header") }, want: []string{incomplete + "|" + noIdentity}},
	{name: "a wrong signature", bytes: func(v *visitor) []byte {
		request := v.good()
		at := bytes.Index(request, []byte("Signature=")) + len("Signature=") + v.IntN(64)
		request[at] = "0123456789abcdef"[(bytes.IndexByte([]byte("0123456789abcdef"), request[at])+1)%16]
		return request
	}, want: []string{invalid}},
	{name: "a signature of nothing", bytes: func(v *visitor) []byte {
		request := v.good()
		at := bytes.Index(request, []byte("Signature=")) + len("Signature=")
		return slices.Concat(request[:at], request[at+64:])
	}, want: []string{incomplete + "|" + invalid}},
	{name: "another body", bytes: func(v *visitor) []byte {
		request := v.good()
		request[len(request)-1-v.IntN(20)] ^= 1
		return request
	}, want: []string{invalid}},
	{name: "another operation", bytes: func(v *visitor) []byte { return v.bad("x-amz-target", "X-Amz-Target: TrentService.GenerateDataKey") }, want: []string{invalid}},
	{name: "another date", bytes: func(v *visitor) []byte {
		return v.bad("x-amz-date", "X-Amz-Date: "+time.Now().UTC().Add(-time.Minute).Format("20060102T150405Z"))
	}, want: []string{invalid}},
	{name: "another host", bytes: func(v *visitor) []byte { return v.bad("host", "Host: kms.eu-central-1.canary-header.example") }, want: []string{invalid}},
	{name: "another path", bytes: func(v *visitor) []byte {
		return bytes.Replace(v.good(), []byte("POST / "), []byte("POST /canary-body?canary=body "), 1)
	}, want: []string{invalid}},
	{name: "a header that is not signed", bytes: func(v *visitor) []byte { return v.bad("Accept-Encoding", "X-Amz-Security-Token: canary-header") }, want: []string{invalid + "|" + incomplete}},
	{name: "a replay", bytes: func(v *visitor) []byte { return v.dated(-16*time.Minute - time.Duration(v.Int64N(int64(time.Hour)))) }, want: []string{invalid}},
	{name: "a replay of years ago", bytes: func(v *visitor) []byte { return v.dated(-3 * 365 * 24 * time.Hour) }, want: []string{invalid}},
	{name: "a request of tomorrow", bytes: func(v *visitor) []byte { return v.dated(16*time.Minute + time.Duration(v.Int64N(int64(24*time.Hour)))) }, want: []string{invalid}},
	{name: "another Region", bytes: func(v *visitor) []byte {
		u := v.user()
		u.Region = "canary-header-1"
		return u.Request("GenerateRandom", []byte(`{"NumberOfBytes":1}`), time.Now())
	},
		want: []string{invalid}},
	{name: "nobody's key", bytes: func(v *visitor) []byte {
		u := v.user()
		u.KeyID, u.Token = "canary-header", ""
		return u.Request("GenerateRandom", []byte(`{"NumberOfBytes":1}`), time.Now())
	}, want: []string{unknownClient}},
	{name: "another's secret", bytes: func(v *visitor) []byte {
		u := v.users[0]
		u.Secret = v.users[1].Secret
		return u.Request("GenerateRandom", []byte(`{"NumberOfBytes":1}`), time.Now())
	}, want: []string{invalid}},
	{name: "a token that is missing", bytes: func(v *visitor) []byte {
		u := v.users[2]
		u.Token = ""
		return u.Request("GenerateRandom", []byte(`{"NumberOfBytes":1}`), time.Now())
	}, want: []string{unknownClient}},
	{name: "another token", bytes: func(v *visitor) []byte {
		u := v.users[v.IntN(3)]
		u.Token = "canary-header"
		return u.Request("GenerateRandom", []byte(`{"NumberOfBytes":1}`), time.Now())
	}, want: []string{unknownClient}},
}

// dated is a good request that was signed at another time.
func (v *visitor) dated(ago time.Duration) []byte {
	body, err := json.Marshal(members{"KeyId": v.symmetric, "Plaintext": v.text(100)})
	if err != nil {
		panic(err)
	}
	return v.user().Request("Encrypt", body, time.Now().Add(ago))
}

// asText returns a mischief whose body, signed well, is one of several.
func asText(name, operation string, want string, bodies ...string) mischief {
	return mischief{name: name, want: []string{want}, bytes: func(v *visitor) []byte { return v.signed(operation, bodies[v.IntN(len(bodies))]) }}
}

var bodyMischiefs = []mischief{
	asText("JSON that is none", "Encrypt", serialization, "canary-body", "{", `{"KeyId":}`, `{"KeyId":"canary-body"`, `{"KeyId":"a"}}`, "[]", `"canary-body"`, "1", "null", "{'KeyId':'a'}", "\x00", "{\"KeyId\":\"\xff\"}",
		`{"KeyId":"\ud800"}`, `{"KeyId":"canary-body","KeyId":"b"}`, "\xef\xbb\xbf{}"),
	asText("JSON that is deep", "Encrypt", serialization, strings.Repeat("[", 200_000), `{"KeyId":`+strings.Repeat(`{"a":`, 40_000), `{"KeyId":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"}"),
	asText("JSON of many values", "Encrypt", serialization, `{"KeyId":"canary-body","GrantTokens":[`+strings.Repeat("1,", 100_000)+"1]}"),
	asText("values of other types", "Encrypt", serialization, `{"KeyId":1,"Plaintext":"eA=="}`, `{"KeyId":"a","Plaintext":"canary body"}`, `{"KeyId":"a","Plaintext":{}}`, `{"KeyId":["a"],"Plaintext":"eA=="}`,
		`{"KeyId":"a","Plaintext":"eA==","EncryptionContext":{"canary-body":1}}`, `{"KeyId":"a","Plaintext":"eA==","DryRun":"true"}`),
	asText("numbers that are none", "GenerateRandom", serialization, `{"NumberOfBytes":1e400}`, `{"NumberOfBytes":1.5}`, `{"NumberOfBytes":"32"}`, `{"NumberOfBytes":99999999999999999999}`, `{"NumberOfBytes":true}`),
	asText("numbers out of range", "GenerateRandom", validation, `{"NumberOfBytes":-1}`, `{"NumberOfBytes":0}`, `{"NumberOfBytes":1025}`, `{}`, ``),
	asText("nothing that is required", "Encrypt", validation, "", "{}", `{"keyid":"canary-body"}`, `{"KeyId":null}`),
	asText("an operation that there is not", "EncryptEverything", unknownTarget, "{}", "canary-body"),
	asText("an operation that is not offered", "CreateCustomKeyStore", "UnsupportedOperationException", "{}", `{"KeyStorePassword":"canary-body"}`),
	asText("a key that there is not", "DescribeKey", "AccessDeniedException|NotFoundException", `{"KeyId":"00000000-0000-4000-8000-000000000000"}`, `{"KeyId":"alias/nothing"}`,
		`{"KeyId":"arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000000"}`),
	{name: "a key in too many words", want: []string{validation}, bytes: func(v *visitor) []byte {
		return v.signed("DescribeKey", `{"KeyId":"`+strings.Repeat("canary-body", 20_000)+`"}`)
	}},
	{name: "too much to encrypt", want: []string{validation}, bytes: func(v *visitor) []byte {
		return v.request("Encrypt", members{"KeyId": v.symmetric, "Plaintext": bytes.Repeat([]byte("canary-plaintext"), 257)})
	}},
	{name: "a ciphertext that is none", want: []string{"InvalidCiphertextException"}, bytes: func(v *visitor) []byte {
		return v.request("Decrypt", members{"CiphertextBlob": v.random(1000)})
	}},
	{name: "a signature that does not verify", want: []string{"KMSInvalidSignatureException"}, bytes: func(v *visitor) []byte {
		return v.request("Verify", members{"KeyId": v.pair, "Message": v.text(100), "Signature": v.random(72), "SigningAlgorithm": "ECDSA_SHA_256"})
	}},
	{name: "somebody who may not", want: []string{"AccessDeniedException"}, bytes: func(v *visitor) []byte {
		text := base64.StdEncoding.EncodeToString(v.text(100))
		return v.stranger.Request("Encrypt", fmt.Appendf(nil, `{"KeyId":%q,"Plaintext":%q}`, v.symmetric, text), time.Now())
	}},
	{name: "a user who may not", want: []string{"AccessDeniedException"}, bytes: func(v *visitor) []byte {
		return v.request("ScheduleKeyDeletion", members{"KeyId": v.symmetric, "PendingWindowInDays": 7})
	}},
}

// offend does a mischief, and requires that the answers are what they should be.
func (v *visitor) offend(m *mischief) {
	v.count(v.hostile, m.name)
	address := v.plain
	if m.secure {
		address = v.secure
	}
	conn, err := v.connect(address)
	if err != nil {
		v.problemf("%s: %v", m.name, err)
		return
	}
	defer conn.Close()
	whole := m.bytes(v)
	pieces := [][]byte{whole}
	switch {
	case m.slow:
		pieces = v.pieces(whole)
	case v.IntN(4) == 0 && len(whole) < 1<<14:
		pieces = v.pieces(whole)
	}
	for _, piece := range pieces {
		if _, err := conn.Write(piece); err != nil { // the server has seen enough
			break
		}
		if m.slow {
			time.Sleep(v.moment())
		}
	}
	tcp := conn.(*net.TCPConn)
	switch m.then {
	case leave:
		if v.IntN(2) == 0 {
			_ = tcp.SetLinger(0) // by a reset
		}
		return
	case shut:
		_ = tcp.CloseWrite()
	case stay:
		_ = tcp.SetReadDeadline(time.Now().Add(time.Duration(v.Int64N(int64(v.enough)))))
	}
	v.listen(m, tcp)
}

// listen takes the answers.
func (v *visitor) listen(m *mischief, conn net.Conn) {
	answers := bufio.NewReader(conn)
	n, reset := 0, false
	for ; n < len(m.want) || m.then != listen; n++ {
		code, err := v.refusal(answers)
		if err != nil {
			reset = errors.Is(err, syscall.ECONNRESET) // by the end of a connection that the server has not read to its end: it may overtake the answer
			break
		}
		v.count(v.answers, code)
		if n >= len(m.want) || !slices.Contains(strings.Split(m.want[n], "|"), code) {
			v.problemf("%s: answer %d is %s, want %q", m.name, n+1, code, m.want)
		}
	}
	if n < len(m.want) && !m.silent && !reset {
		v.problemf("%s: %d answers, want %q", m.name, n, m.want)
	}
}

// refusal takes one answer, and returns its code.
func (v *visitor) refusal(answers *bufio.Reader) (code string, err error) {
	answer, err := http.ReadResponse(answers, nil)
	for err == nil && answer.StatusCode == http.StatusContinue {
		answer, err = http.ReadResponse(answers, nil)
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if found := v.lines.unspeakable.find(text); found == "canary-secret" || found == "canary-token" || found == "canary-plaintext" {
		v.problemf("an answer has %s: %s", found, text)
	}
	recorded := v.trail.take(answer.Header.Get("X-Amzn-Requestid"))
	if answer.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return fmt.Sprintf("HTTP %d", answer.StatusCode), nil
	}
	var out reply
	if len(text) > 0 {
		err = json.Unmarshal(text, &out)
	}
	switch {
	case err != nil || answer.StatusCode == http.StatusOK && out.Exception != "" || answer.StatusCode != http.StatusOK && out.Exception == "":
		v.problemf("an answer that is none: %s %s", answer.Status, text)
	case answer.StatusCode == http.StatusOK:
		if recorded.name == "" || recorded.code != "" {
			v.problemf("%+v is on record of an answer that is no refusal", recorded)
		}
		return "200", nil
	case recorded.name != "" && recorded.code == "":
		v.problemf("%s is on record as done, and %s was answered", recorded.name, out.Exception)
	}
	return out.Exception, nil
}
