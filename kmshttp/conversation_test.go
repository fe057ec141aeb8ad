package kmshttp_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/claviger/kms/internal/sigv4test"
)

// patience is how long a client that does as it should waits for an answer.
const patience = time.Minute

// A reply has the members of answers that clients here look at.
type reply struct {
	CiphertextBlob, Plaintext, Signature, Mac []byte

	KeyID                    string
	SignatureValid, MacValid bool
	KeyMetadata              struct{ Arn string }
	Exception                string `json:"__type"`
}

type members map[string]any

// A conversation is what a client that does as it should wants, over one connection. Every answer must be right.
type conversation struct {
	name string
	hold func(l *line) error
}

var conversations = []conversation{
	{"encrypt and decrypt", func(l *line) error {
		plaintext, context := l.text(4096), members{"tenant": "42"}
		sealed, err := l.call("Encrypt", members{"KeyId": l.symmetric, "Plaintext": plaintext, "EncryptionContext": context})
		if err != nil {
			return err
		}
		return l.opens(sealed.CiphertextBlob, plaintext, context)
	}},
	{"a data key", func(l *line) error {
		key, err := l.call("GenerateDataKey", members{"KeyId": l.symmetric, "KeySpec": "AES_256"})
		if err != nil || len(key.Plaintext) != 32 {
			return errors.Join(err, fmt.Errorf("a data key of %d bytes", len(key.Plaintext)))
		}
		return l.opens(key.CiphertextBlob, key.Plaintext, nil)
	}},
	{"another key", func(l *line) error {
		plaintext := l.text(100)
		first, err := l.call("Encrypt", members{"KeyId": l.symmetric, "Plaintext": plaintext})
		if err != nil {
			return err
		}
		second, err := l.call("ReEncrypt", members{"CiphertextBlob": first.CiphertextBlob, "DestinationKeyId": l.other, "DestinationEncryptionContext": members{"a": "b"}})
		if err != nil || second.KeyID != l.other {
			return errors.Join(err, fmt.Errorf("encrypted under %q", second.KeyID))
		}
		return l.opens(second.CiphertextBlob, plaintext, members{"a": "b"})
	}},
	{"a signature", func(l *line) error {
		message := members{"KeyId": l.pair, "Message": l.text(500), "SigningAlgorithm": "ECDSA_SHA_256"}
		signed, err := l.call("Sign", message)
		if err != nil {
			return err
		}
		message["Signature"] = signed.Signature
		if verified, err := l.call("Verify", message); err != nil || !verified.SignatureValid {
			return errors.Join(err, errors.New("the signature does not verify"))
		}
		return nil
	}},
	{"a MAC", func(l *line) error {
		message := members{"KeyId": l.mac, "Message": l.text(500), "MacAlgorithm": "HMAC_SHA_256"}
		made, err := l.call("GenerateMac", message)
		if err != nil {
			return err
		}
		message["Mac"] = made.Mac
		if verified, err := l.call("VerifyMac", message); err != nil || !verified.MacValid {
			return errors.Join(err, errors.New("the MAC does not verify"))
		}
		return nil
	}},
	{"a description", func(l *line) error {
		described, err := l.call("DescribeKey", members{"KeyId": l.pair})
		if err != nil || described.KeyMetadata.Arn != l.pair {
			return errors.Join(err, fmt.Errorf("the description of %q", described.KeyMetadata.Arn))
		}
		return nil
	}},
	{"a pipeline", func(l *line) error {
		var plaintexts, ciphertexts, requests [][]byte
		for range 1 + l.IntN(8) {
			plaintexts = append(plaintexts, l.text(64))
			requests = append(requests, l.request("Encrypt", members{"KeyId": l.symmetric, "Plaintext": plaintexts[len(plaintexts)-1]}))
		}
		if err := l.dial(); err != nil {
			return err
		}
		if _, err := l.Write(bytes.Join(requests, nil)); err != nil {
			return err
		}
		for range requests {
			sealed, err := l.answer("Encrypt")
			if err != nil {
				return err
			}
			ciphertexts = append(ciphertexts, sealed.CiphertextBlob)
		}
		for i := range plaintexts {
			if err := l.opens(ciphertexts[i], plaintexts[i], nil); err != nil {
				return err
			}
		}
		return nil
	}},
}

// A manner is how such a client sends a request.
type manner struct {
	name string
	send func(l *line, head, body []byte) error
}

var manners = []manner{
	{"at once", func(l *line, head, body []byte) error { return l.send(head, body) }},
	{"byte by byte", func(l *line, head, body []byte) error {
		for _, b := range slices.Concat(head, body) {
			if err := l.send([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"in pieces", func(l *line, head, body []byte) error {
		for _, piece := range l.pieces(slices.Concat(head, body)) {
			if err := l.send(piece); err != nil {
				return err
			}
			time.Sleep(l.moment())
		}
		return nil
	}},
	{"in chunks", func(l *line, head, body []byte) error {
		head = withLine(head, "Content-Length", "Transfer-Encoding: chunked")
		for _, piece := range l.pieces(body) {
			head = fmt.Appendf(head, "%x\r\n%s\r\n", len(piece), piece)
		}
		return l.send(head, []byte("0\r\n\r\n"))
	}},
	{"when told to continue", func(l *line, head, body []byte) error {
		if err := l.send(withLine(head, "Accept-Encoding", "Expect: 100-continue")); err != nil {
			return err
		}
		told, err := http.ReadResponse(l.answers, nil)
		if err != nil || told.StatusCode != http.StatusContinue {
			return errors.Join(err, fmt.Errorf("not told to continue: %+v", told))
		}
		return l.send(body)
	}},
	{"in HTTP/1.0", func(l *line, head, body []byte) error {
		return l.send(bytes.Replace(head, []byte(" HTTP/1.1\r\n"), []byte(" HTTP/1.0\r\n"), 1), body)
	}},
	{"for the last time", func(l *line, head, body []byte) error {
		return l.send(withLine(head, "Accept-Encoding", "Connection: close"), body)
	}},
}

// withLine returns the head of a request with another line in place of the one of a name.
func withLine(head []byte, name, line string) []byte {
	from := bytes.Index(head, []byte("\n"+name+": ")) + 1
	to := from + bytes.Index(head[from:], []byte("\r\n"))
	if from == 0 {
		panic("a request without " + name)
	}
	if line == "" {
		to += len("\r\n")
	}
	return slices.Concat(head[:from], []byte(line), head[to:])
}

// cut separates the head of a request from its body.
func cut(request []byte) (head, body []byte) {
	at := bytes.Index(request, []byte("\r\n\r\n")) + len("\r\n\r\n")
	return request[:at:at], request[at:]
}

// pieces cuts something into a few.
func (v *visitor) pieces(whole []byte) (pieces [][]byte) {
	for len(whole) > 0 {
		n := 1 + v.IntN(min(len(whole), 200))
		pieces, whole = append(pieces, whole[:n]), whole[n:]
	}
	return pieces
}

// moment is how long somebody hesitates.
func (v *visitor) moment() time.Duration { return time.Duration(v.IntN(3_000)) * time.Microsecond }

// text returns up to that many bytes that nobody may see.
func (v *visitor) text(most int) []byte {
	const canary = "canary-plaintext "
	return append([]byte(canary), bytes.Repeat([]byte{byte(v.IntN(256))}, v.IntN(most-len(canary)))...)
}

// user is one of those who may use the keys.
func (v *visitor) user() sigv4test.Signer { return v.users[v.IntN(len(v.users))] }

// request is one of a user's.
func (v *visitor) request(operation string, in members) []byte {
	body, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	return v.user().Request(operation, body, time.Now())
}

// connect opens a connection to the one server or the other.
func (v *visitor) connect(address string) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// A line is the connection of a client that does as it should. It is opened when it is needed, and kept for as long as the server keeps it.
type line struct {
	*visitor
	net.Conn
	answers *bufio.Reader
	manner  func(l *line, head, body []byte) error
}

// converse talks to a server.
func (v *visitor) converse(c conversation, m manner) {
	l := &line{visitor: v, manner: m.send}
	defer l.hangUp()
	for range 1 + v.IntN(3) {
		if err := c.hold(l); err != nil {
			v.problemf("%s, %s: %v", c.name, m.name, err)
			return
		}
		v.count(v.valid, c.name+", "+m.name)
	}
}

func (l *line) dial() (err error) {
	if l.Conn != nil {
		return l.SetDeadline(time.Now().Add(patience))
	}
	if l.IntN(4) > 0 {
		l.Conn, err = l.connect(l.plain)
	} else if l.Conn, err = l.connect(l.secure); err == nil {
		l.Conn = tls.Client(l.Conn, l.client)
	}
	if err != nil {
		l.Conn = nil
		return err
	}
	l.answers = bufio.NewReader(l.Conn)
	return nil
}

func (l *line) hangUp() {
	if l.Conn != nil {
		_ = l.Close()
		l.Conn = nil
	}
}

func (l *line) send(parts ...[]byte) error {
	_, err := l.Write(slices.Concat(parts...))
	return err
}

// call makes a request, and requires that it is answered well.
func (l *line) call(operation string, in members) (reply, error) {
	if err := l.dial(); err != nil {
		return reply{}, err
	}
	head, body := cut(l.request(operation, in))
	if err := l.manner(l, head, body); err != nil {
		return reply{}, fmt.Errorf("%s: %w", operation, err)
	}
	return l.answer(operation)
}

// answer takes the next answer, and requires that it is one of success, and on record.
func (l *line) answer(operation string) (reply, error) {
	answer, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", operation, err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", operation, err)
	}
	if answer.Close {
		l.hangUp()
	}
	if answer.StatusCode != http.StatusOK {
		return reply{}, fmt.Errorf("%s: %s %s", operation, answer.Status, text)
	}
	if got := l.trail.take(answer.Header.Get("X-Amzn-Requestid")); got != (outcome{name: operation}) {
		return reply{}, fmt.Errorf("%s: %+v is on record", operation, got)
	}
	var out reply
	if err := json.Unmarshal(text, &out); err != nil {
		return reply{}, fmt.Errorf("%s: %w", operation, err)
	}
	return out, nil
}

// opens requires that somebody, mostly another, decrypts a ciphertext.
func (l *line) opens(ciphertext, plaintext []byte, context members) error {
	opened, err := l.call("Decrypt", members{"CiphertextBlob": ciphertext, "EncryptionContext": context})
	if err == nil && !bytes.Equal(opened.Plaintext, plaintext) {
		err = errors.New("another plaintext")
	}
	return err
}
