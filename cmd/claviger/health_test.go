package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/rootkey/keyfile"
)

// brokenStore fails, or answers late, when it is asked.
type brokenStore struct {
	keystore.Store
	get func() error
}

func (s brokenStore) Get(context.Context, string) (keystore.Record, error) {
	return keystore.Record{}, s.get()
}

// TestHealth: a server is well if all its stores answer, and tells nothing else. It takes no credentials, and records nothing.
func TestHealth(t *testing.T) {
	t.Parallel()
	probe := func(url, method string) string {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), method, url+"/healthz", nil))(t)
		resp := must(http.DefaultClient.Do(r))(t)
		text := must(io.ReadAll(resp.Body))(t)
		ok(t, resp.Body.Close())
		return fmt.Sprint(resp.StatusCode, " ", string(text))
	}
	s := newServed(t)
	server := serve(t, append(s.flags("eu-central-1", "us-east-1"), "--create", "--audit", s.path("trail"))...)
	for method, want := range map[string]string{http.MethodGet: "200 ok", http.MethodHead: "200 ", http.MethodPost: `404 {"__type":"UnknownOperationException"}`} {
		if got := probe(server.url, method); got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
	}
	server.stop()
	if s.read("trail") != "" {
		t.Error(s.read("trail"))
	}
	ring := func(get func() error) *openRing {
		r := must(kms.Open(t.Context(), kms.Config{}))(t)
		t.Cleanup(func() { _ = r.Close() })
		return &openRing{Keyring: r, store: brokenStore{get: get}}
	}
	log := new(output)
	well := ring(func() error { return nil })
	ill := ring(func() error { return errors.New("the disk is on fire") })
	for want, rings := range map[string][]*openRing{"200 ok": {well, well}, "503 unavailable": {well, ill}} {
		h := &health{rings: rings, log: slog.New(slog.NewTextHandler(log, nil)), turn: make(chan struct{}, 1)}
		if got := answered(h); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if !strings.Contains(log.String(), "on fire") {
		t.Errorf("the cause is not logged: %s", log)
	}
}

// answered is what a probe gets.
func answered(h *health) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, healthPath, nil))
	return fmt.Sprint(w.Code, " ", w.Body)
}

// TestStuckHealth: a store that is stuck is asked by one at a time, and all are told in time that it is.
func TestStuckHealth(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		asked, release := new(atomic.Int64), make(chan struct{})
		stuck := brokenStore{get: func() error {
			asked.Add(1)
			<-release
			return nil
		}}
		h := &health{rings: []*openRing{{store: stuck}}, log: slog.New(slog.DiscardHandler), turn: make(chan struct{}, 1)}
		began := time.Now()
		for range 3 {
			if got := answered(h); got != "503 unavailable" {
				t.Error(got)
			}
		}
		if took := time.Since(began); asked.Load() != 1 || took != 3*probeTime {
			t.Errorf("asked %d times, in %v", asked.Load(), took)
		}
		close(release)
		if got := answered(h); got != "200 ok" {
			t.Error(got)
		}
	})
}

// TestSlowHealth: whoever promises a body with a probe and does not send it is let go.
func TestSlowHealth(t *testing.T) {
	for _, promise := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
		bubble.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			conns := make(chan net.Conn, 1)
			conns <- theirs
			server := kmshttp.NewServer(&health{log: slog.New(slog.DiscardHandler), turn: make(chan struct{}, 1)})
			go func() {
				_ = server.Serve(listenerFunc(func() (net.Conn, error) {
					if conn, ok := <-conns; ok {
						return conn, nil
					}
					return nil, net.ErrClosed
				}))
			}()
			defer close(conns)
			began := time.Now()
			ok(t, ours.SetDeadline(began.Add(time.Hour)))
			go func() { _, _ = fmt.Fprintf(ours, "GET /healthz HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", promise) }()
			text, err := io.ReadAll(ours) // to the end of the connection
			if took := time.Since(began); err != nil || took > 20*time.Second || !strings.HasSuffix(string(text), "ok") {
				t.Errorf("%s: after %v: %v, %q", promise, took, err, text)
			}
		})
	}
}

// TestHealthOfWhoLeaves: a client that leaves does not make it look as if a store did not answer.
func TestHealthOfWhoLeaves(t *testing.T) {
	log, store := new(output), memory.New()
	ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: must(keyfile.Create(filepath.Join(t.TempDir(), "root.key")))(t)}))(t)
	defer ring.Close()
	ctx, leave := context.WithCancel(t.Context())
	leave()
	h := &health{rings: []*openRing{{Keyring: ring, store: store}}, log: slog.New(slog.NewTextHandler(log, nil)), turn: make(chan struct{}, 1)}
	for range 100 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, healthPath, nil))
	}
	if log.String() != "" {
		t.Error(log)
	}
}
