package aead_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/aead"
	"github.com/claviger/kms/rootkey/rootkeytest"
)

// gcm has the methods of tink.AEAD.
type gcm struct{ aead cipher.AEAD }

func newGCM(t *testing.T) gcm {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm{a}
}

func (g gcm) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return g.aead.Seal(nil, nil, plaintext, associatedData), nil
}

func (g gcm) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	return g.aead.Open(nil, nil, ciphertext, associatedData)
}

func TestContract(t *testing.T) {
	rootkeytest.Run(t, func(t *testing.T) rootkey.Root { return aead.New(newGCM(t)) })
}

// failing answers every call with err, or with a wrap of n bytes.
type failing struct {
	err   error
	n     int
	calls *int
}

func (f failing) Encrypt(_, _ []byte) ([]byte, error) { *f.calls++; return make([]byte, f.n), f.err }
func (f failing) Decrypt(_, _ []byte) ([]byte, error) { *f.calls++; return make([]byte, f.n), f.err }

func TestFailures(t *testing.T) {
	unreachable := errors.New("dial canary.example: connection refused")
	var calls int
	r := aead.New(failing{err: unreachable, n: 3, calls: &calls})
	wrap, err := r.EncryptWithContext(t.Context(), []byte("domain key"), nil)
	if wrap != nil || !errors.Is(err, unreachable) || errors.Is(err, rootkey.ErrWrongKey) || strings.Contains(err.Error(), "canary") {
		t.Errorf("encrypting: %x, %v", wrap, err)
	}
	plaintext, err := r.DecryptWithContext(t.Context(), []byte("wrap"), nil)
	if plaintext != nil || !errors.Is(err, unreachable) || !errors.Is(err, rootkey.ErrWrongKey) || strings.Contains(err.Error(), "canary") {
		t.Errorf("decrypting: %x, %v", plaintext, err)
	}
	if calls != 2 {
		t.Errorf("%d calls, want 2", calls)
	}
}

func TestContextIsAskedBeforeTheCall(t *testing.T) {
	var calls int
	r := aead.New(failing{n: 3, calls: &calls})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.EncryptWithContext(ctx, []byte("domain key"), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := r.DecryptWithContext(ctx, []byte("wrap"), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if calls != 0 {
		t.Errorf("%d calls under a cancelled context", calls)
	}
}

func TestLengths(t *testing.T) {
	var calls int
	if _, err := aead.New(failing{n: rootkey.MaxWrapLen, calls: &calls}).EncryptWithContext(t.Context(), []byte("domain key"), nil); err != nil {
		t.Errorf("a wrap of MaxWrapLen: %v", err)
	}
	if _, err := aead.New(failing{n: rootkey.MaxWrapLen + 1, calls: &calls}).EncryptWithContext(t.Context(), []byte("domain key"), nil); err == nil {
		t.Error("a wrap longer than MaxWrapLen is returned")
	}
	calls = 0
	_, err := aead.New(failing{calls: &calls}).DecryptWithContext(t.Context(), bytes.Repeat([]byte{1}, rootkey.MaxWrapLen+1), nil)
	if !errors.Is(err, rootkey.ErrWrongKey) || calls != 0 {
		t.Errorf("a ciphertext longer than MaxWrapLen: %v after %d calls", err, calls)
	}
}

func TestNewOfNilPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New(nil) makes a root")
		}
	}()
	aead.New(nil)
}

// weak is an AEAD whose key is in its value.
type weak struct {
	gcm
	key []byte
}

func TestNothingOfTheAEADIsPrinted(t *testing.T) {
	const canary = "canary-91c4"
	r := aead.New(weak{newGCM(t), []byte(canary)})
	pointed, plain := struct{ root *aead.Root }{r}, struct{ root aead.Root }{*r}
	check := func(what, text string) {
		t.Helper()
		for _, spelling := range []string{canary, hex.EncodeToString([]byte(canary)), strings.Trim(fmt.Sprint([]byte(canary)), "[]"), "0x63, 0x61, 0x6e"} {
			if strings.Contains(strings.ToLower(text), spelling) {
				t.Errorf("%s holds the key: %s", what, text)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{r, *r, pointed, plain, []*aead.Root{r}, rootkey.WithName("recovery", r)} {
			check(fmt.Sprintf("%s of %T", verb, value), fmt.Sprintf(verb, value))
		}
		if got := fmt.Sprintf(verb, r); got != "aead.Root" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "root", r, "value", *r, "pointed", pointed, "plain", plain)
	}
	check("a log", log.String())
	if strings.Count(log.String(), "aead.Root") < 4 {
		t.Errorf("logged %s", log.String())
	}
}

func TestName(t *testing.T) {
	if name := rootkey.Name(aead.New(newGCM(t))); name != "aead" {
		t.Error(name)
	}
}
