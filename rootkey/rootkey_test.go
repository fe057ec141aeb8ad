package rootkey_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claviger/kms/rootkey"
)

type bare struct{}

func (bare) EncryptWithContext(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	return append([]byte("wrap of "), plaintext...), nil
}

func (bare) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, rootkey.ErrWrongKey
}

func TestName(t *testing.T) {
	for _, c := range []struct {
		name string
		root rootkey.Root
		want string
	}{
		{"without a name", bare{}, rootkey.DefaultName},
		{"named", rootkey.WithName("recovery", bare{}), "recovery"},
		{"renamed", rootkey.WithName("second", rootkey.WithName("first", bare{})), "second"},
	} {
		if got := rootkey.Name(c.root); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// keyed is a root whose key is in its value.
type keyed struct {
	bare
	Key string
}

func TestANamedRootPrintsItsName(t *testing.T) {
	const canary = "canary-24e6"
	r := rootkey.WithName("recovery", keyed{Key: canary})
	held := struct{ root rootkey.Root }{r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, r); got != `root key "recovery"` {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, held); strings.Contains(got, canary) || strings.Contains(got, hex.EncodeToString([]byte(canary))) {
			t.Errorf("%s of something that holds it prints the key: %s", verb, got)
		}
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "root", r, "held", held)
	}
	if strings.Contains(log.String(), canary) || strings.Count(log.String(), "recovery") != 2 {
		t.Errorf("logged %s", log.String())
	}
}

func TestANamedRootIsTheRoot(t *testing.T) {
	r := rootkey.WithName("recovery", bare{})
	if wrap, err := r.EncryptWithContext(t.Context(), []byte("key"), nil); err != nil || string(wrap) != "wrap of key" {
		t.Errorf("%q, %v", wrap, err)
	}
	if _, err := r.DecryptWithContext(t.Context(), nil, nil); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Error(err)
	}
}
