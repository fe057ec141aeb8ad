package kms

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/claviger/kms/audit"
)

// TestAllocationsOfProofs holds what signing and authenticating may allocate: what the primitive does, and the state of the hash where a digest is made first.
func TestAllocationsOfProofs(t *testing.T) {
	count := 0
	r, _ := ring(t, func(c *Config) {
		c.Audit = audit.SinkFunc(func(context.Context, *audit.Event) error { count++; return nil })
	})
	of := func(spec KeySpec, usage KeyUsage) string {
		key, err := r.CreateKey(t.Context(), CreateKeyInput{KeySpec: spec, KeyUsage: usage, Policy: everyone})
		if err != nil {
			t.Fatal(err)
		}
		return key.KeyID
	}
	signing, authenticating := of(ECCNISTEdwards25519, SignVerify), of(HMAC256, GenerateVerifyMac)
	app, ctx := r.As(Role("app")), context.Background()
	message, digest := make([]byte, 32), make([]byte, 64)
	signed, err := app.Sign(ctx, signing, Raw(message), AlgorithmED25519SHA512)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := app.GenerateMac(ctx, authenticating, message, AlgorithmHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs := ed25519.Sign(private, message)
	sign := func(digest []byte, opts crypto.SignerOpts) func() {
		return func() { _, _ = private.Sign(nil, digest, opts) }
	}
	authenticate := func() {
		h := hmac.New(sha256.New, message)
		h.Write(message)
		_ = h.Sum(nil)
	}
	for _, tc := range []struct {
		name      string
		primitive func()
		more      float64
		call      func() error
	}{
		{"Sign", sign(message, crypto.Hash(0)), 0, func() error { _, err := app.Sign(ctx, signing, Raw(message), AlgorithmED25519SHA512); return err }},
		{"Sign what is hashed first", sign(digest, &ed25519.Options{Hash: crypto.SHA512}), 1, func() error {
			_, err := app.Sign(ctx, signing, Digest(digest), AlgorithmED25519PHSHA512)
			return err
		}},
		{"Verify", func() { ed25519.Verify(public, message, theirs) }, 0, func() error {
			return drop(app.Verify(ctx, signing, Raw(message), signed.Signature, AlgorithmED25519SHA512))
		}},
		{"GenerateMac", authenticate, 0, func() error {
			_, err := app.GenerateMac(ctx, authenticating, message, AlgorithmHMACSHA256)
			return err
		}},
		{"VerifyMac", authenticate, 0, func() error { return drop(app.VerifyMac(ctx, authenticating, message, mac.Mac, AlgorithmHMACSHA256)) }},
	} {
		var failed error
		most := testing.AllocsPerRun(200, tc.primitive) + tc.more
		if n := testing.AllocsPerRun(200, func() { failed = errors.Join(failed, tc.call()) }); n > most && !underRace || failed != nil {
			t.Errorf("%s: %v allocations, want at most %v; %v", tc.name, n, most, failed)
		}
	}
	if count < 1000 {
		t.Errorf("%d events", count)
	}
}
