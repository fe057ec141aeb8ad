package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claviger/kms/internal/secret"
)

const canary = "canary-5b1f"

// holder keeps a secret where package fmt cannot call its methods.
type holder struct {
	Exported secret.Bytes
	private  secret.Bytes
	nested   struct{ deep *secret.Bytes }
}

func newHolder() holder {
	h := holder{Exported: secret.Copy([]byte(canary)), private: secret.Copy([]byte(canary))}
	h.nested.deep = &h.private
	return h
}

func TestNoVerbPrintsTheBytes(t *testing.T) {
	h := newHolder()
	encoded := []string{canary, hex.EncodeToString([]byte(canary)), fmt.Sprint([]byte(canary)), strings.Trim(fmt.Sprintf("%#v", []byte(canary)), "[]byte{}")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%c"} {
		for _, value := range []any{h, &h, h.Exported, &h.Exported, []secret.Bytes{h.private}, map[string]secret.Bytes{"k": h.private}} {
			got := fmt.Sprintf(verb, value)
			for _, e := range encoded {
				if strings.Contains(got, e) {
					t.Errorf("%s of %T prints the secret: %s", verb, value, got)
				}
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", h.Exported, "holder", h)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", h.Exported)
	for _, e := range encoded {
		if strings.Contains(log.String(), e) {
			t.Errorf("a log holds the secret: %s", log.String())
		}
	}
	if !strings.Contains(log.String(), secret.Redacted) {
		t.Errorf("a log does not say %s: %s", secret.Redacted, log.String())
	}
}

func TestEveryEncoderRefuses(t *testing.T) {
	s := secret.Copy([]byte(canary))
	if _, err := json.Marshal(s); err == nil {
		t.Error("json encodes a secret")
	}
	if _, err := json.Marshal(map[string]any{"key": s}); err == nil {
		t.Error("json encodes a secret inside a map")
	}
	if _, err := xml.Marshal(struct{ S secret.Bytes }{s}); err == nil {
		t.Error("xml encodes a secret")
	}
	if err := gob.NewEncoder(new(bytes.Buffer)).Encode(s); err == nil {
		t.Error("gob encodes a secret")
	}
	if _, err := s.MarshalBinary(); err == nil {
		t.Error("MarshalBinary encodes a secret")
	}
}

func TestUse(t *testing.T) {
	in := []byte(canary)
	s := secret.Copy(in)
	clear(in)
	stop := errors.New("stop")
	err := s.Use(func(b []byte) error {
		if string(b) != canary {
			t.Errorf("Use gives %q", b)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("Use returns %v, want the function's error", err)
	}
	clone := s.Clone()
	if s.Len() != len(canary) || string(clone) != canary {
		t.Errorf("Len %d, Clone %q", s.Len(), clone)
	}
	if !s.Equal(secret.Copy([]byte(canary))) || s.Equal(secret.Copy([]byte("other"))) || s.Equal(secret.Bytes{}) {
		t.Error("Equal is wrong")
	}
	held, copied := []byte(canary), secret.Bytes{}
	owned := secret.New(held)
	copied = owned
	owned.Zero()
	if owned.Len() != 0 || copied.Len() != 0 || string(held) != string(make([]byte, len(canary))) {
		t.Error("Zero leaves bytes")
	}
	if string(clone) != canary {
		t.Error("Clone shares memory with its source")
	}
}

func TestZeroValue(t *testing.T) {
	var s secret.Bytes
	if s.Len() != 0 || len(s.Clone()) != 0 || !s.Equal(secret.New(nil)) {
		t.Error("the zero Bytes is not empty")
	}
	s.Zero()
	if err := s.Use(func(b []byte) error { return nil }); err != nil {
		t.Error(err)
	}
}
