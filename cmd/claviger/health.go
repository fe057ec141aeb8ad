package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

const (
	healthPath = "/healthz"
	probeTime  = 3 * time.Second
)

// A health answers GET /healthz in front of a handler: 200 if every ring's store answers, 503 if not, and nothing else to anybody.
type health struct {
	rings []*openRing
	log   *slog.Logger
	turn  chan struct{} // held by who asks the stores: a store that is stuck holds up one goroutine
	next  http.Handler
}

func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != healthPath || r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.next.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), probeTime) // that a client leaves tells nothing of a store
	defer cancel()
	status, text := http.StatusOK, "ok"
	if !h.ask(ctx) {
		status, text = http.StatusServiceUnavailable, "unavailable"
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(probeTime)) // the server reads what was promised of a body before it answers
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // whoever has left needs no answer
}

// ask reports whether all stores answer in time.
func (h *health) ask(ctx context.Context) bool {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	answer := make(chan bool, 1)
	go func() {
		answer <- h.answers(ctx)
		<-h.turn
	}()
	select {
	case ok := <-answer:
		return ok
	case <-ctx.Done():
		return false
	}
}

// answers reads the one record that every ring has, past the ring, which would record it.
func (h *health) answers(ctx context.Context) bool {
	for _, ring := range h.rings {
		if ring.store == nil { // memory always answers
			continue
		}
		if _, err := ring.store.Get(ctx, "ring"); err != nil {
			h.log.Error("a store does not answer", "region", ring.Region(), "error", err.Error())
			return false
		}
	}
	return true
}
