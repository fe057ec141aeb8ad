package main

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
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey/keyfile"
)

// A fromConn is a connection that comes from anywhere.
type fromConn struct {
	net.Conn
	from   string
	closed *[]string
}

func (c fromConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (c fromConn) Close() error { *c.closed = append(*c.closed, c.from); return nil }

// TestProxyListener: in clear nobody is heard but proxies, and this machine.
func TestProxyListener(t *testing.T) {
	var closed []string
	var conns []net.Conn
	for _, from := range []string{"192.0.2.7:1", "10.1.2.3:1", "[2001:db8::1]:1", "127.0.0.1:1", "[::ffff:10.1.2.3]:1", "[::1]:1", "11.1.2.3:1"} {
		conns = append(conns, fromConn{from: from, closed: &closed})
	}
	l := &proxyListener{listenerFunc(func() (net.Conn, error) {
		if len(conns) == 0 {
			return nil, net.ErrClosed
		}
		conn := conns[0]
		conns = conns[1:]
		return conn, nil
	}), prefixes{netip.MustParsePrefix("10.0.0.0/8")}, slog.New(slog.DiscardHandler)}
	var heard []string
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		heard = append(heard, conn.(fromConn).from)
	}
	if fmt.Sprint(heard) != "[10.1.2.3:1 127.0.0.1:1 [::ffff:10.1.2.3]:1 [::1]:1]" || len(closed) != 3 {
		t.Errorf("heard %v, closed %v", heard, closed)
	}
}

type listenerFunc func() (net.Conn, error)

func (f listenerFunc) Accept() (net.Conn, error) { return f() }
func (f listenerFunc) Close() error              { return nil }
func (f listenerFunc) Addr() net.Addr            { return nil }

// TestServeDrains: a request that runs when the server ends is answered, and no other is.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	s := serve(t, "--dev", "--region", "eu-central-1")
	const body = `{"Description":"long in coming"}`
	r := s.test().request(t, "CreateKey", body)
	r.Header.Set("Expect", "100-continue")
	conn := must(net.Dial("tcp", r.URL.Host))(t)
	defer conn.Close()
	var head bytes.Buffer
	ok(t, r.Header.Write(&head))
	must(fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n", r.URL.Host, len(body), &head))(t)
	in := bufio.NewReader(conn)
	if line := must(in.ReadString('\n'))(t); !strings.Contains(line, "100 Continue") { // the handler waits for the body
		t.Fatal(line)
	}
	must(in.ReadString('\n'))(t)
	must(io.WriteString(conn, body[:9]))(t)
	ended := make(chan int)
	go func() { ended <- s.stop() }()
	eventually(t, func() bool { // nobody listens any more
		other, err := net.Dial("tcp", r.URL.Host)
		return err != nil || other.Close() != nil
	})
	select {
	case code := <-ended:
		t.Fatalf("it ended with %d while a request ran", code)
	default:
	}
	must(io.WriteString(conn, body[9:]))(t)
	resp := must(http.ReadResponse(in, r))(t)
	if text := must(io.ReadAll(resp.Body))(t); resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "long in coming") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if code := <-ended; code != done {
		t.Errorf("%d: %s", code, s.errs)
	}
}

// TestServiceMaintains: rings are looked after while a service runs, and what goes wrong is logged with its cause.
func TestServiceMaintains(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &failingStore{Store: memory.New()}
		root := must(keyfile.Create(filepath.Join(t.TempDir(), "root.key")))(t)
		ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: root}))(t)
		defer ring.Close()
		key := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
		ok(t, ring.EnableKeyRotation(t.Context(), key.KeyID, 90*kms.Day))
		log := new(output)
		s := &service{log: slog.New(slog.NewTextHandler(log, nil)), rings: []*openRing{{Keyring: ring}}}
		ctx, cancel := context.WithTimeout(t.Context(), 92*kms.Day)
		defer cancel()
		s.maintain(ctx, kms.Day)
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "maintained region=local rotated=1 marked=0") {
			t.Error(log)
		}
		store.err = errors.New("the disk is on fire")
		again, stop := context.WithTimeout(t.Context(), kms.Day+time.Hour)
		defer stop()
		s.maintain(again, kms.Day)
		if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "on fire") {
			t.Error(log)
		}
	})
}

// failingStore fails once it has an error.
type failingStore struct {
	keystore.Store
	err error
}

func (s *failingStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.err != nil {
		return keystore.Record{}, s.err
	}
	return s.Store.Get(ctx, name)
}

func (s *failingStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.List(ctx, prefix, after, limit)
}

// TestServeSignals: SIGHUP reads all files again and goes on with a new trail, and SIGTERM ends the server with success.
func TestServeSignals(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	cmd := self(t, "command", append([]string{"serve", "--listen", "127.0.0.1:0", "--create", "--audit", s.path("trail")}, s.flags("eu-central-1")...)...)
	out := must(cmd.StdoutPipe())(t)
	errs := new(output)
	cmd.Stderr = errs
	ok(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // if it has not ended
	lines := bufio.NewReader(out)
	url, _ := strings.CutPrefix(strings.TrimSuffix(must(lines.ReadString('\n'))(t), "\n"), "listening on ")
	root := client{url: url, id: "root", secret: secretCanary + "root"}
	root.create(t)

	reload := func(want string) {
		t.Helper()
		before := strings.Count(errs.String(), want)
		ok(t, cmd.Process.Signal(syscall.SIGHUP))
		eventually(t, func() bool { return strings.Count(errs.String(), want) > before })
	}
	s.credentials(credential("next", "arn:aws:iam::"+testAccount+":root"))
	ok(t, os.Rename(s.path("trail"), s.path("trail.1")))
	reload("msg=reloaded what=audit")
	root.wants(t, "UnrecognizedClientException", "ListKeys", "{}")
	next := client{url: url, id: "next", secret: secretCanary + "next"}
	next.wants(t, "", "ListKeys", "{}")
	if old, now := s.events("trail.1"), s.events("trail"); len(old) != 1 || len(now) != 1 || now[0]["eventName"] != "ListKeys" {
		t.Errorf("%v, %v", old, now)
	}
	s.write("keys.json", `{"credentials": [`)
	ok(t, os.Rename(s.path("trail"), s.path("trail.2")))
	ok(t, os.Mkdir(s.path("trail"), 0o700)) // which is no file
	reload("what=audit error=")
	if !strings.Contains(errs.String(), "what=credentials error=") {
		t.Error(errs)
	}
	next.wants(t, "", "ListKeys", "{}")
	if now := s.events("trail.2"); len(now) != 2 {
		t.Errorf("%v", now)
	}
	ok(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil || strings.Contains(errs.String(), "canary") {
		t.Errorf("%v: %s", err, errs)
	}
}

// TestServeWatches: files are read again though nobody says so.
func TestServeWatches(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	server := serve(t, "--store", "memory", "--region", "eu-central-1", "--account", testAccount, "--credentials", s.path("keys.json"))
	server.as("root", secretCanary+"root").wants(t, "", "ListKeys", "{}")
	s.credentials(credential("next", "arn:aws:iam::"+testAccount+":root"))
	eventually(t, func() bool { return server.as("next", secretCanary+"next").call(t, "ListKeys", "{}").code() == "" })
	server.as("root", secretCanary+"root").wants(t, "UnrecognizedClientException", "ListKeys", "{}")
}
