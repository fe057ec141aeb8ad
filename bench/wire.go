package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/sigv4test"
	"github.com/claviger/kms/kmshttp"
)

const (
	exchanges = 64               // how many requests are sent over a connection, one after the other, before the connections wait for each other
	resigning = 10 * time.Minute // after which a request is signed again: a signature is good for 15 minutes
	many      = 8                // connections
	leastRate = 0.5              // of the bare handler's requests per second, over many connections
)

// A served is a ring that a server answers for, beside a server that answers anything.
type served struct {
	ring   *ring
	signer sigv4test.Signer
	ours   string // address
	pair   string // ARN of a key on P-256
	public *ecdsa.PublicKey
}

// wire compares the two.
func wire(w io.Writer, rounds int, span time.Duration, filter string) (err error) {
	wanted, err := request(rounds, span, filter)
	if err != nil {
		return err
	}
	s, err := serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.ring.close()) }()
	contests, err := s.contests()
	if err == nil {
		contests, err = chosen(contests, wanted)
	}
	if err != nil {
		return err
	}
	if err := measure(contests, rounds, span); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s/%s, %d CPUs, median of %d rounds\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	fmt.Fprintf(w, "client and server share one process; what the keyring takes more than the bare handler is the server's alone\n\n")
	return printWire(w, contests)
}

// serve opens a ring and serves it with everything that a server in use has: signatures, key policies, and a sink that counts.
func serve() (s *served, err error) {
	r, err := newRing()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	s = &served{ring: r, signer: sigv4test.Signer{KeyID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "eu-central-1"}}
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{r.keyring}, Authenticator: kmshttp.SigV4(s)})
	if err != nil {
		return nil, err
	}
	if s.ours, err = r.listen(handler); err != nil {
		return nil, err
	}
	arn, public, err := r.newPair(kms.ECCNISTP256, kms.SignVerify)
	if err != nil {
		return nil, err
	}
	s.pair, s.public = arn, public.(*ecdsa.PublicKey)
	return s, nil
}

var app = kms.Role("app")

// Credential implements [kmshttp.Credentials].
func (s *served) Credential(_ context.Context, accessKeyID, _ string) (kmshttp.Credential, error) {
	if accessKeyID != s.signer.KeyID {
		return kmshttp.Credential{}, kmshttp.ErrUnknownIdentity
	}
	return kmshttp.Credential{SecretAccessKey: s.signer.Secret, Caller: app}, nil
}

// listen serves on a port of this machine until the ring is closed.
func (r *ring) listen(handler http.Handler) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := kmshttp.NewServer(handler)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	r.atEnd(func() error {
		defer serving.Wait()
		return server.Close()
	})
	return listener.Addr().String(), nil
}

// A bare handler reads what it is sent, and answers always the same. It may work before it does.
type bare struct {
	answer []byte
	work   func() error
}

func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil || b.work != nil && b.work() != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = w.Write(b.answer)
}

// A reply has the members of answers that are looked at.
type reply struct{ CiphertextBlob, Plaintext, Signature []byte }

// contests are over one connection and over several.
func (s *served) contests() ([]*contest, error) {
	plaintext := bytes.Repeat([]byte{'x'}, dataKeyLen)
	sealed, err := s.ring.Encrypt(context.Background(), s.ring.key, plaintext, nil)
	if err != nil {
		return nil, err
	}
	opens := func(ciphertext, want []byte) error {
		out, err := s.ring.Decrypt(context.Background(), ciphertext, nil)
		if err == nil && (len(want) != dataKeyLen || !bytes.Equal(out.Plaintext, want)) {
			err = errWrong
		}
		return err
	}
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(plaintext)
	var all []*contest
	for _, work := range []struct {
		operation string
		members   map[string]any
		check     func(reply) error
		primitive func() error // if it outweighs all the rest
	}{
		{"Encrypt", map[string]any{"KeyId": s.ring.key, "Plaintext": plaintext}, func(r reply) error { return opens(r.CiphertextBlob, plaintext) }, nil},
		{"Decrypt", map[string]any{"CiphertextBlob": sealed.Ciphertext}, func(r reply) error { return opens(sealed.Ciphertext, r.Plaintext) }, nil},
		{"GenerateDataKey", map[string]any{"KeyId": s.ring.key, "KeySpec": "AES_256"}, func(r reply) error { return opens(r.CiphertextBlob, r.Plaintext) }, nil},
		{"Sign", map[string]any{"KeyId": s.pair, "Message": plaintext, "SigningAlgorithm": kms.AlgorithmECDSASHA256}, func(r reply) error {
			if !ecdsa.VerifyASN1(s.public, digest[:], r.Signature) {
				return errWrong
			}
			return nil
		}, func() error {
			_, err := ecdsa.SignASN1(rand.Reader, another, digest[:])
			return err
		}},
	} {
		body, err := json.Marshal(work.members)
		if err != nil {
			return nil, err
		}
		check := func(body []byte) error {
			var a reply
			if err := json.Unmarshal(body, &a); err != nil {
				return errors.Join(errWrong, err)
			}
			return work.check(a)
		}
		for _, connections := range []int{1, many} {
			name := work.operation + ", one connection"
			if connections == many {
				name = fmt.Sprintf("%s, %d connections", work.operation, many)
			}
			all = append(all, &contest{name: name, allocs: noLimit, prepare: func() ([]*way, error) {
				return s.ways(work.operation, body, connections, check, work.primitive)
			}})
		}
	}
	return all, nil
}

// ways sends the same requests to both servers, of which the bare one answers as long as ours does, and to a bare one that does the primitive's work, if that outweighs the rest.
func (s *served) ways(operation string, body []byte, connections int, check func([]byte) error, primitive func() error) ([]*way, error) {
	ours, err := s.crowd(s.ours, operation, body, connections)
	if err != nil {
		return nil, err
	}
	example, err := ours.op()
	if err != nil {
		return nil, err
	}
	all := []*way{{name: nameOurs, check: check, op: ours.op}}
	others := []*bare{{answer: example}}
	if primitive != nil {
		others = append(others, &bare{answer: example, work: primitive})
	}
	for _, b := range others {
		address, err := s.ring.listen(b)
		if err != nil {
			return nil, err
		}
		crowd, err := s.crowd(address, operation, body, connections)
		if err != nil {
			return nil, err
		}
		w := &way{name: nameHTTP, limit: noLimit, check: isText(string(example)), op: crowd.op}
		if b.work != nil {
			w.name = nameECDSA
		}
		if connections == many {
			w.limit = 1 / leastRate
		}
		all = append(all, w)
	}
	for _, w := range all {
		w.each, w.few = connections*exchanges, 2
	}
	return all, nil
}

// A crowd sends the same request again and again, over all its connections at once.
type crowd struct {
	sign        func(at time.Time) []byte
	signed      time.Time
	request     []byte
	connections []*connection
}

// A connection is one that is kept. The reader is as simple as may be: what is measured is the server.
type connection struct {
	net.Conn
	reader *bufio.Reader
	body   []byte
}

// crowd connects to a server.
func (s *served) crowd(address, operation string, body []byte, connections int) (*crowd, error) {
	c := &crowd{sign: func(at time.Time) []byte { return s.signer.Request(operation, body, at) }}
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		s.ring.atEnd(conn.Close)
		c.connections = append(c.connections, &connection{Conn: conn, reader: bufio.NewReader(conn)})
	}
	return c, nil
}

// op sends a number of requests over each connection, and returns the last answer of one.
func (c *crowd) op() ([]byte, error) {
	if now := time.Now(); now.Sub(c.signed) > resigning {
		c.signed, c.request = now, c.sign(now)
	}
	errs := make([]error, len(c.connections))
	var wg sync.WaitGroup
	for i, conn := range c.connections {
		wg.Go(func() {
			for n := 0; n < exchanges && errs[i] == nil; n++ {
				errs[i] = conn.exchange(c.request)
			}
		})
	}
	wg.Wait()
	return bytes.Clone(c.connections[0].body), errors.Join(errs...)
}

// exchange sends a request, and keeps the body of the answer.
func (c *connection) exchange(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(line, []byte("HTTP/1.1 200 "))
	length := -1
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, more := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		if !more {
			break
		}
		if string(name) == "Content-Length" {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("%w: an answer without a length", errWrong)
	}
	c.body = append(c.body[:0], make([]byte, length)...)
	if _, err := io.ReadFull(c.reader, c.body); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s", errWrong, c.body)
	}
	return nil
}

// printWire writes a line for each comparison: the requests per second, the processor time and the allocations of one, of ours and of the other; how much more processor time ours
// takes; the ratio of the requests per second, the least that it should be, and whether it is.
func printWire(w io.Writer, contests []*contest) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "work\tkeyring\tprocessor\tallocs\tagainst\tserves\tprocessor\tallocs\tmore\tratio\ttarget\t")
	for _, c := range contests {
		ours := &c.ours.timed
		rate, cpu := 1e9/ours.median(), median(ours.cpu)/1e3
		head := fmt.Sprintf("%s\t%.0f/s\t%.1f µs\t%.0f", c.name, rate, cpu, ours.allocs)
		for _, w := range c.others {
			other := &w.timed
			otherRate, otherCPU := 1e9/other.median(), median(other.cpu)/1e3
			ratio := math.Round(100*rate/otherRate) / 100 // as it is printed
			fmt.Fprintf(t, "%s\t%s\t%.0f/s\t%.1f µs\t%.0f\t%.1f µs\t%.2f\t%s\n", head, w.name, otherRate, otherCPU, other.allocs, cpu-otherCPU, ratio, verdictOfRate(ratio, w.limit))
			head = "\t\t\t"
		}
	}
	return t.Flush()
}

// verdictOfRate fills the last two columns, where ours has so many times the rate of a way that it may take limit times as long as.
func verdictOfRate(ratio, limit float64) string {
	switch least := 1 / limit; {
	case limit == noLimit:
		return "-\t"
	case ratio >= least:
		return fmt.Sprintf("%.2f\tmet", least)
	default:
		return fmt.Sprintf("%.2f\tmissed by %.2f", least, least-ratio)
	}
}
