package kmshttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// A pipe is a listener whose connections are within the process, so that a clock that is not real moves them.
type pipe struct {
	dialed chan net.Conn
	closed chan struct{}
}

func newPipe() *pipe { return &pipe{make(chan net.Conn), make(chan struct{})} }

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error { close(p.closed); return nil }

func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipe) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.dialed <- theirs
	return ours
}

// serveInBubble serves a ring, in a bubble.
func serveInBubble(t *testing.T, log *slog.Logger, whose kmshttp.AuthenticatorFunc) *pipe {
	t.Helper()
	ring := kmstest.New(t, func(c *kms.Config) { c.Now = time.Now })
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{ring.Keyring}, Authenticator: whose, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	server, listener := kmshttp.NewServer(handler), newPipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		synctest.Wait()
	})
	return listener
}

func everybody(*http.Request, []byte) (kmshttp.Identity, error) {
	return kmshttp.Identity{Caller: kms.Root()}, nil
}

// TestSlowBodies: whoever promises a body and does not send it is let go, wherever a request was refused before.
func TestSlowBodies(t *testing.T) {
	for _, c := range []struct{ name, sent, want string }{
		{"a body that stops", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nContent-Length: 100\r\n\r\n{", "MalformedHttpRequestException"},
		{"chunks that stop", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "MalformedHttpRequestException"},
		{"an unknown operation with a body that stops", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{", "UnknownOperationException"},
		{"an unknown operation with chunks that stop", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "UnknownOperationException"},
		{"another method with a body that stops", "PUT / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nContent-Length: 100\r\n\r\n{", "UnknownOperationException"},
		{"more than is read, promised", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nContent-Length: 262145\r\n\r\n{", "RequestEntityTooLargeException"},
		{"headers that stop", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target", ""},
		{"a body that is waited for", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", "MalformedHttpRequestException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				conn := serveInBubble(t, nil, everybody).dial()
				defer conn.Close()
				began := time.Now()
				noError(t, conn.SetDeadline(began.Add(time.Hour)))
				go func() { _, _ = io.WriteString(conn, c.sent) }()
				text, err := io.ReadAll(conn) // to the end of the connection
				if took := time.Since(began); err != nil || took > 20*time.Second || !strings.Contains(string(text), c.want) {
					t.Errorf("after %v: %v, %q", took, err, text)
				}
			})
		})
	}
}

// TestSlowRequests: the time for a body is over when the body is there. It neither ends an operation that takes longer nor the next request.
func TestSlowRequests(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		conn := serveInBubble(t, nil, func(r *http.Request, _ []byte) (kmshttp.Identity, error) {
			time.Sleep(30 * time.Second)
			return kmshttp.Identity{Caller: kms.Root()}, r.Context().Err()
		}).dial()
		defer conn.Close()
		answers := bufio.NewReader(conn)
		for i := range 3 {
			body := `{"NumberOfBytes":32}`
			_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nContent-Length: %d\r\n\r\n", len(body))
			noError(t, err)
			for _, b := range []byte(body) {
				time.Sleep(450 * time.Millisecond) // 9 seconds altogether
				_, err := conn.Write([]byte{b})
				noError(t, err)
			}
			answer, err := http.ReadResponse(answers, nil)
			noError(t, err)
			text, err := io.ReadAll(answer.Body)
			if noError(t, err); answer.StatusCode != http.StatusOK {
				t.Fatalf("request %d: %s %s", i, answer.Status, text)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestEndlessRequests: whoever waits for a request as long as it may take does not wait for more than a minute.
func TestEndlessRequests(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		conn := serveInBubble(t, nil, func(r *http.Request, _ []byte) (kmshttp.Identity, error) {
			<-r.Context().Done()
			return kmshttp.Identity{}, r.Context().Err()
		}).dial()
		defer conn.Close()
		began := time.Now()
		noError(t, conn.SetDeadline(began.Add(time.Hour)))
		_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nContent-Length: 0\r\n\r\n")
		noError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		noError(t, err)
		if took := time.Since(began); answer.StatusCode != http.StatusInternalServerError || took != time.Minute {
			t.Errorf("%s after %v", answer.Status, took)
		}
	})
}

// TestClientLeaves: a client that closes its connection ends its request, and what that makes fail is not logged as a fault of the server's.
func TestClientLeaves(t *testing.T) {
	for _, c := range []struct {
		name    string
		leaves  bool
		answers error // what the authenticator says once the client has left, or ten seconds are over
		want    string
	}{
		{"while it is authenticated", true, context.Canceled, "level=INFO status=500 operation=GenerateRandom left=true error=InternalFailure"},
		{"while it is served", true, nil, "level=INFO status=500 operation=GenerateRandom caller=\"root user\" left=true error=DependencyTimeoutException"},
		{"afterwards", false, errors.New("broken"), "level=ERROR status=500 operation=GenerateRandom error=InternalFailure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				told := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if slices.Contains([]string{slog.TimeKey, slog.MessageKey, "requestID", "took", "cause"}, a.Key) {
						return slog.Attr{}
					}
					return a
				}}))
				conn := serveInBubble(t, told, func(r *http.Request, _ []byte) (kmshttp.Identity, error) {
					select {
					case <-r.Context().Done():
					case <-time.After(10 * time.Second):
					}
					return kmshttp.Identity{Caller: kms.Root()}, c.answers
				}).dial()
				defer conn.Close()
				_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: TrentService.GenerateRandom\r\nContent-Length: 20\r\n\r\n{\"NumberOfBytes\":32}")
				noError(t, err)
				synctest.Wait()
				if c.leaves {
					noError(t, conn.Close())
				} else if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := strings.TrimSpace(log.String()); got != c.want {
					t.Errorf("it logs\n%s\nwant\n%s", got, c.want)
				}
			})
		})
	}
}

// A trickle is a body that comes in pieces. It notes the most room that was kept for what had not come, where that is more than what had.
type trickle struct {
	text    string
	arrived int
	idle    int
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.arrived == len(b.text) {
		return 0, io.EOF
	}
	if len(p) > b.arrived {
		b.idle = max(b.idle, len(p))
	}
	n := copy(p[:min(len(p), 100)], b.text[b.arrived:])
	b.arrived += n
	return n, nil
}

func (b *trickle) Close() error { return nil }

// TestRoomForBodies: what is promised takes no memory before it comes, and more than is promised does not come.
func TestRoomForBodies(t *testing.T) {
	ring := kmstest.New(t)
	for _, c := range []struct {
		length int64
		status int
	}{{200_021, http.StatusOK}, {-1, http.StatusOK}, {200_000, http.StatusBadRequest}, {4 << 10, http.StatusBadRequest}, {19, http.StatusBadRequest}} {
		body := &trickle{text: `{"NumberOfBytes":32` + strings.Repeat(" ", 200_001) + "}"}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", body)
		noError(t, err)
		r.ContentLength = c.length
		r.Header.Set("X-Amz-Target", "TrentService.GenerateRandom")
		answer, err := kmshttp.Transport(ring.Keyring).RoundTrip(r)
		noError(t, err)
		if answer.StatusCode != c.status || body.idle > 8<<10 {
			t.Errorf("length %d: %s, and room for %d bytes before they came", c.length, answer.Status, body.idle)
		}
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
