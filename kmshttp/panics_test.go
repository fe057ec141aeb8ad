package kmshttp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// panicCanary is what everything panics with: no answer and no line may hold it.
const panicCanary = "canary-of-a-panic-5d1c"

// A toggled thing panics while it is on.
type toggled struct{ on atomic.Bool }

func (p *toggled) panic() {
	if p.on.Load() {
		panic(errors.New(panicCanary))
	}
}

// A panickingLog is a slog.Handler that may panic in each of its methods that a logger calls.
type panickingLog struct {
	slog.Handler
	enabled, handle *toggled
}

func (l panickingLog) Enabled(ctx context.Context, level slog.Level) bool {
	l.enabled.panic()
	return l.Handler.Enabled(ctx, level)
}

func (l panickingLog) Handle(ctx context.Context, r slog.Record) error {
	l.handle.panic()
	return l.Handler.Handle(ctx, r)
}

// TestPanics: a panic of what a program has plugged in ends one request, which is answered, and nothing else. Of one of the log, which is told last, the answer knows
// nothing.
func TestPanics(t *testing.T) {
	var authenticator, sink, clock, enabled, handle toggled
	var lines bytes.Buffer
	ring := kmstest.New(t, func(cfg *kms.Config) {
		now, trail := cfg.Now, cfg.Audit
		cfg.Now = func() time.Time { clock.panic(); return now() }
		cfg.Audit = audit.SinkFunc(func(ctx context.Context, e *audit.Event) error {
			sink.panic()
			return trail.Append(ctx, e)
		})
	})
	handler, err := kmshttp.New(kmshttp.Config{
		Rings: []*kms.Keyring{ring.Keyring},
		Authenticator: kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) {
			authenticator.panic()
			return kmshttp.Identity{Caller: kms.Root()}, nil
		}),
		Log: slog.New(panickingLog{slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}), &enabled, &handle}),
	})
	if err != nil {
		t.Fatal(err)
	}
	created := send(t, handler, "CreateKey", "{}", nil)
	arn, _ := inside(t, created, "KeyMetadata")["Arn"].(string)
	encrypt := request{"KeyId": arn, "Plaintext": []byte(secretMessage)}.String()
	for what, p := range map[string]*toggled{"authenticator": &authenticator, "sink": &sink, "clock": &clock} {
		p.on.Store(true)
		for _, operation := range []string{"Encrypt", "CreateKey", "ListKeys"} {
			body := "{}"
			if operation == "Encrypt" {
				body = encrypt
			}
			lines.Reset()
			a := send(t, handler, operation, body, nil)
			a.want(t, what+" in "+operation, http.StatusInternalServerError, "InternalFailure", "The request could not be served.")
			if log := lines.String(); !strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, a.header.Get("x-amzn-RequestId")) || !strings.Contains(log, `"error":"InternalFailure"`) ||
				!strings.Contains(log, "panic with a value of type *errors.errorString") || strings.Contains(log, panicCanary) || strings.Contains(log, secretMessage) {
				t.Errorf("%s in %s: %s", what, operation, log)
			}
		}
		p.on.Store(false)
		if a := send(t, handler, "Encrypt", encrypt, nil); a.status != http.StatusOK {
			t.Errorf("after a panic of the %s: %d %s", what, a.status, a.body)
		}
	}
	for what, p := range map[string]*toggled{"Enabled": &enabled, "Handle": &handle} {
		p.on.Store(true)
		if a := send(t, handler, "Encrypt", encrypt, nil); a.status != http.StatusOK || names(a.m) != "CiphertextBlob EncryptionAlgorithm KeyId" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		send(t, handler, "Encrypt", "[", nil).refused(t, what, "SerializationException", "")
		authenticator.on.Store(true)
		send(t, handler, "Encrypt", encrypt, nil).want(t, what+" and the authenticator", http.StatusInternalServerError, "InternalFailure", "The request could not be served.")
		authenticator.on.Store(false)
		p.on.Store(false)
	}
	if a := send(t, handler, "ListKeys", "", nil); len(entries(t, a, "Keys")) != 1 {
		t.Errorf("a panic let a key be made: %s", a.body)
	}
	if err := ring.Close(); err != nil { // which waits for operations that run
		t.Error(err)
	}
}
