package kms

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/bubble"
)

// ring opens a ring in memory with one key that everyone may use.
func ring(t testing.TB, options ...func(*Config)) (*Keyring, KeyMetadata) {
	t.Helper()
	cfg := Config{AccountID: "111122223333", Region: "eu-central-1"}
	for _, o := range options {
		o(&cfg)
	}
	r, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	key, err := r.CreateKey(t.Context(), CreateKeyInput{Policy: everyone})
	if err != nil {
		t.Fatal(err)
	}
	return r, key
}

func TestEncryptAndDecrypt(t *testing.T) {
	r, key := ring(t)
	contexts := []EncryptionContext{nil, {}, {"a": "b"}, {"a": "", "b": "x", "ä": "𝄞"}}
	for _, n := range []int{1, 32, 4095, 4096} {
		for _, ec := range contexts {
			plaintext := bytes.Repeat([]byte{7}, n)
			out, err := r.Encrypt(t.Context(), key.ARN, plaintext, ec)
			if err != nil || len(out.Ciphertext) != n+CiphertextOverhead || out.KeyARN != key.ARN || out.Algorithm != AlgorithmSymmetricDefault {
				t.Fatalf("%d bytes: %d, %v", n, len(out.Ciphertext), err)
			}
			got, err := r.Decrypt(t.Context(), out.Ciphertext, ec, WithAlgorithm(AlgorithmSymmetricDefault))
			if err != nil || !bytes.Equal(got.Plaintext, plaintext) || got.KeyARN != key.ARN || got.KeyMaterialID != key.CurrentKeyMaterialID {
				t.Errorf("%d bytes: %v", n, err)
			}
			for _, other := range []EncryptionContext{{"a": "c"}, {"A": "b"}, {"a": "b", "c": ""}, {"ab": ""}} {
				if _, err := r.Decrypt(t.Context(), out.Ciphertext, other); !errors.Is(err, ErrInvalidCiphertext) {
					t.Errorf("context %v instead of %v: %v", other, ec, err)
				}
			}
			// None and an empty context are the same; anything else differs from none.
			if _, err := r.Decrypt(t.Context(), out.Ciphertext, nil); (len(ec) == 0) != (err == nil) {
				t.Errorf("without context %v: %v", ec, err)
			}
		}
	}
}

func TestEncryptRefuses(t *testing.T) {
	r, key := ring(t)
	for name, tc := range map[string]struct {
		plaintext []byte
		ec        EncryptionContext
		options   []CryptoOption
		message   string
	}{
		"empty":          {nil, nil, nil, "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"long":           {make([]byte, 4097), nil, nil, "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		"algorithm":      {[]byte("x"), nil, []CryptoOption{WithAlgorithm("RSAES_OAEP_SHA_2")}, "Value 'RSAES_OAEP_SHA_2' at 'encryptionAlgorithm'"},
		"no algorithm":   {[]byte("x"), nil, []CryptoOption{WithAlgorithm("")}, "'encryptionAlgorithm'"},
		"long context":   {[]byte("x"), EncryptionContext{"a": strings.Repeat("x", 8192)}, nil, "'encryptionContext'"},
		"empty name":     {[]byte("x"), EncryptionContext{"": "x"}, nil, "'encryptionContext'"},
		"name not UTF-8": {[]byte("x"), EncryptionContext{"\xff": "x"}, nil, "'encryptionContext'"},
		"text not UTF-8": {[]byte("x"), EncryptionContext{"x": "\xff"}, nil, "'encryptionContext'"},
	} {
		_, err := r.Encrypt(t.Context(), key.ARN, tc.plaintext, tc.ec, tc.options...)
		if !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), tc.message) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Encrypt(t.Context(), key.ARN, []byte("x"), EncryptionContext{"a": strings.Repeat("x", 8191)}); err != nil {
		t.Errorf("a context of 8192 bytes: %v", err)
	}
	for _, n := range []int{0, 6145} {
		if _, err := r.Decrypt(t.Context(), make([]byte, n), nil); !errors.Is(err, ErrValidation) {
			t.Errorf("a ciphertext of %d bytes: %v", n, err)
		}
	}
	// What an algorithm wants is not said of one that there is not.
	_, err := r.Decrypt(t.Context(), []byte("x"), nil, WithAlgorithm("RSA"))
	wantAnswer(t, "Decrypt by an unknown algorithm", err, ErrValidation, "1 validation error detected: Value 'RSA' at 'encryptionAlgorithm' failed to satisfy constraint: "+
		"Member must satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE]")
}

// TestAnEmptyKeyIsNoKey: a setting that is empty does not lift the restriction that it was meant to be.
func TestAnEmptyKeyIsNoKey(t *testing.T) {
	r, key := ring(t)
	out, err := r.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Decrypt(t.Context(), out.Ciphertext, nil, WithKey("")); !errors.Is(err, ErrValidation) {
		t.Errorf("Decrypt: %v", err)
	}
	if _, err := r.Encrypt(t.Context(), key.ARN, []byte("x"), nil, WithKey(key.ARN)); !errors.Is(err, ErrValidation) {
		t.Errorf("Encrypt with two keys: %v", err)
	}
}

// TestUnknownAndForbiddenReadAlike: who may not decrypt learns nothing about which keys exist. CVE-2025-54999: answers from which strangers learned what exists.
func TestUnknownAndForbiddenReadAlike(t *testing.T) {
	r, _ := ring(t)
	key, err := r.CreateKey(t.Context(), CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := slices.Clone(out.Ciphertext)
	gone[keyIDAt] ^= 1
	multi := slices.Clone(out.Ciphertext)
	multi[2] = flagMultiRegion
	stranger := r.As(Role("stranger"))
	for name, call := range map[string]func(ciphertext []byte) error{
		"Decrypt": func(c []byte) error { _, err := stranger.Decrypt(t.Context(), c, nil); return err },
		"ReEncrypt": func(c []byte) error {
			_, err := stranger.ReEncrypt(t.Context(), c, key.ARN, ReEncryptInput{})
			return err
		},
		"ReEncrypt to nowhere": func(c []byte) error {
			_, err := stranger.ReEncrypt(t.Context(), c, "1234abcd-12ab-34cd-56ef-1234567890ab", ReEncryptInput{})
			return err
		},
		"NeedsReEncrypt": func(c []byte) error { _, err := stranger.NeedsReEncrypt(t.Context(), c); return err },
	} {
		forbidden := call(out.Ciphertext)
		for _, c := range [][]byte{gone, multi} {
			if unknown := call(c); !errors.Is(unknown, ErrAccessDenied) || unknown.Error() != forbidden.Error() {
				t.Errorf("%s: unknown: %v; forbidden: %v", name, unknown, forbidden)
			}
		}
	}
	// A disabled key is no different, for who may not use it.
	if err := r.DisableKey(t.Context(), key.ARN); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Decrypt(t.Context(), out.Ciphertext, nil); !errors.Is(err, ErrAccessDenied) {
		t.Errorf("a disabled key: %v", err)
	}
	// To a service, which belongs to no account, every key reads alike, however it names it.
	service := r.As(Service("logs.amazonaws.com"))
	_, forbidden := service.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	_, unknown := service.Encrypt(t.Context(), key.ARN[:len(key.ARN)-1]+"f", []byte("x"), nil)
	if forbidden == nil || unknown == nil || forbidden.Error() != unknown.Error() {
		t.Errorf("to a service: %v and %v", forbidden, unknown)
	}
}

func TestAppendingForms(t *testing.T) {
	r, key := ring(t)
	plaintext := []byte("a plaintext that moves")
	prefix := []byte("prefix")
	for name, spare := range map[string]int{"no room": 0, "some room": 5, "room": 4096} {
		dst := append(make([]byte, 0, len(prefix)+spare), prefix...)
		out, err := r.AppendEncrypt(t.Context(), dst, key.ARN, plaintext, EncryptionContext{"a": "b"})
		if err != nil || !bytes.HasPrefix(out.Ciphertext, prefix) || (&out.Ciphertext[0] == &dst[0]) != (spare == 4096) {
			t.Fatalf("%s: %v", name, err)
		}
		back, err := r.AppendDecrypt(t.Context(), append(make([]byte, 0, len(prefix)+spare), prefix...), out.Ciphertext[len(prefix):], EncryptionContext{"a": "b"})
		if err != nil || string(back.Plaintext) != string(prefix)+string(plaintext) {
			t.Errorf("%s: %q, %v", name, back.Plaintext, err)
		}
	}
}

// TestOverlappingBuffers: input and output may share memory in every way.
func TestOverlappingBuffers(t *testing.T) {
	r, key := ring(t)
	plaintext := bytes.Repeat([]byte("0123456789"), 20)
	for _, at := range []int{0, 1, 50, 82, 83, 95, 111, 120, 199, 311} {
		buf := make([]byte, 600)
		in := buf[at : at+len(plaintext)]
		copy(in, plaintext)
		out, err := r.AppendEncrypt(t.Context(), buf[:0], key.ARN, in, nil)
		if err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		got, err := r.Decrypt(t.Context(), out.Ciphertext, nil)
		if err != nil || !bytes.Equal(got.Plaintext, plaintext) {
			t.Errorf("plaintext at %d: %v", at, err)
		}
		buf = make([]byte, 900)
		message := buf[at : at+len(out.Ciphertext)]
		copy(message, out.Ciphertext)
		got, err = r.AppendDecrypt(t.Context(), buf[:0], message, nil)
		if err != nil || !bytes.Equal(got.Plaintext, plaintext) {
			t.Errorf("message at %d: %v", at, err)
		}
	}
}

// A refusingSink refuses everything while it is told to.
type refusingSink struct{ on bool }

func (s *refusingSink) Append(context.Context, *audit.Event) error {
	if s.on {
		return errors.New("refused")
	}
	return nil
}

// TestWithheldResultsAreCleared: what was written into the caller's buffer before the audit record was refused is not left there.
func TestWithheldResultsAreCleared(t *testing.T) {
	sink := new(refusingSink)
	r, key := ring(t, func(c *Config) { c.Audit = sink })
	out, err := r.Encrypt(t.Context(), key.ARN, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	sink.on = true
	buf := append(make([]byte, 0, 4096), "prefix"...)
	if _, err := r.AppendDecrypt(t.Context(), buf, out.Ciphertext, nil); !errors.Is(err, ErrInternal) {
		t.Fatal(err)
	}
	if bytes.Contains(buf[:cap(buf)], []byte("secret")) || string(buf) != "prefix" {
		t.Error("the plaintext is left in the buffer, or the prefix is not")
	}
	if _, err := r.AppendEncrypt(t.Context(), buf, key.ARN, []byte("secret"), nil); !errors.Is(err, ErrInternal) {
		t.Fatal(err)
	}
	if !isZero(buf[len(buf):cap(buf)]) {
		t.Error("the ciphertext is left in the buffer")
	}
}

// TestSaltsAreDropped: a salt serves so many messages, so long, and not across a suspended machine.
// golang/go#69981 and kes#490: nobody counts the messages of a key, so that nothing may depend on it.
func TestSaltsAreDropped(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, key := ring(t)
		id, _ := parseKeyID(key.KeyID)
		salt := func() string {
			t.Helper()
			out, err := r.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
			if err != nil {
				t.Fatal(err)
			}
			return string(out.Ciphertext[saltAt:commitmentAt])
		}
		first := salt()
		if salt() != first {
			t.Error("a new salt for every message")
		}
		time.Sleep(sealerAge)
		if salt() != first {
			t.Error("a new salt before it was time")
		}
		time.Sleep(time.Nanosecond)
		second := salt()
		if second == first {
			t.Error("the salt serves longer than it may")
		}
		s, _ := r.c.keys.Get(id)
		m := s.view.Load().key.materials.current.Load()
		m.sealing.Load().messages.Store(sealerMessages)
		third := salt()
		if third == second {
			t.Error("the salt serves more messages than it may")
		}
		now := r.c.clock.stamp()
		for name, at := range map[string]stamp{
			"suspended":     {mono: now.mono, wall: now.wall + int64(sealerSkew) + 1},
			"set back":      {mono: now.mono + 1, wall: now.wall - 1},
			"set far ahead": {mono: now.mono, wall: now.wall + int64(time.Hour)},
		} {
			if m.sealing.Load().serves(at) {
				t.Errorf("%s: the salt still serves", name)
			}
		}
		if !m.sealing.Load().serves(stamp{mono: now.mono + time.Second, wall: now.wall + int64(time.Second)}) {
			t.Error("the salt does not serve although the clocks agree")
		}
	})
}

// TestJunkDoesNotFillTheCache: only ciphers that decrypted something are kept.
func TestJunkDoesNotFillTheCache(t *testing.T) {
	r, key := ring(t)
	id, _ := parseKeyID(key.KeyID)
	out, err := r.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		bad := slices.Clone(out.Ciphertext)
		bad[saltAt] = byte(i)
		bad[saltAt+1]++
		if _, err := r.Decrypt(t.Context(), bad, nil); !errors.Is(err, ErrInvalidCiphertext) {
			t.Fatal(err)
		}
	}
	s, _ := r.c.keys.Get(id)
	m := s.view.Load().key.materials.current.Load()
	if m.opening.Load() != nil {
		t.Error("junk was kept")
	}
	if _, err := r.Decrypt(t.Context(), out.Ciphertext, nil); err != nil {
		t.Fatal(err)
	}
	if m.opening.Load().Len() != 1 {
		t.Error("what decrypted was not kept")
	}
}

func TestNoMaterialOfZeros(t *testing.T) {
	if _, err := newMaterial(SymmetricDefault.specification(), keyID{}, 1, make([]byte, 32)); err == nil {
		t.Error("material of zeros is taken")
	}
	if _, err := newMaterial(SymmetricDefault.specification(), keyID{}, 1, []byte("short")); err == nil {
		t.Error("short material is taken")
	}
	m, err := newMaterial(SymmetricDefault.specification(), keyID{}, 1, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	m.secret.Zero()
	if _, _, err := m.derive(make([]byte, commitmentAt)); err == nil {
		t.Error("a cipher is built from wiped material")
	}
}

func TestDataKeys(t *testing.T) {
	r, key := ring(t)
	ec := EncryptionContext{"a": "b"}
	for _, tc := range []struct {
		spec DataKeySpec
		n    int
	}{{AES128, 16}, {AES256, 32}, {RandomBytes(1), 1}, {RandomBytes(1024), 1024}} {
		dk, err := r.GenerateDataKey(t.Context(), key.ARN, tc.spec, ec)
		if err != nil || len(dk.Plaintext()) != tc.n || dk.KeyARN != key.ARN || dk.KeyMaterialID != key.CurrentKeyMaterialID {
			t.Fatalf("%d bytes: %v, %v", tc.n, dk, err)
		}
		got, err := r.Decrypt(t.Context(), dk.Ciphertext, ec)
		if err != nil || !bytes.Equal(got.Plaintext, dk.Plaintext()) {
			t.Errorf("%d bytes: %v", tc.n, err)
		}
		check, held := dk, dk.Plaintext()
		if err := dk.Use(func(p []byte) error { return errors.Join(nil, equal(p, got.Plaintext)) }); err != nil {
			t.Error(err)
		}
		dk.Zero()
		if check.Plaintext() != nil || !isZero(held) || check.Use(func([]byte) error { return nil }) == nil {
			t.Error("a wiped data key can be used")
		}
		hidden, err := r.GenerateDataKeyWithoutPlaintext(t.Context(), key.ARN, tc.spec, ec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Decrypt(t.Context(), hidden.Ciphertext, ec); err != nil || len(got.Plaintext) != tc.n || isZero(got.Plaintext) && tc.n > 8 {
			t.Errorf("%d bytes without plaintext: %v", tc.n, err)
		}
	}
	for _, n := range []int{-1, 0, 1025} {
		if _, err := r.GenerateDataKey(t.Context(), key.ARN, RandomBytes(n), nil); !errors.Is(err, ErrValidation) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := r.GenerateRandom(t.Context(), n); !errors.Is(err, ErrValidation) {
			t.Errorf("%d random bytes: %v", n, err)
		}
	}
	if b, err := r.GenerateRandom(t.Context(), 1024); err != nil || len(b) != 1024 || isZero(b) {
		t.Errorf("GenerateRandom: %v", err)
	}
}

func equal(a, b []byte) error {
	if !bytes.Equal(a, b) {
		return errors.New("not equal")
	}
	return nil
}

func TestAEAD(t *testing.T) {
	r, key := ring(t)
	other, err := r.CreateKey(t.Context(), CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	a := r.AEAD(key.ARN)
	for _, ad := range [][]byte{nil, []byte("ad"), {0xff, 0}} {
		c, err := a.EncryptWithContext(t.Context(), []byte("x"), ad)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := a.DecryptWithContext(t.Context(), c, ad); err != nil || string(p) != "x" {
			t.Errorf("%q, %v", p, err)
		}
		if _, err := a.DecryptWithContext(t.Context(), c, []byte("other")); !errors.Is(err, ErrInvalidCiphertext) {
			t.Errorf("other associated data: %v", err)
		}
		if _, err := r.AEAD(other.ARN).DecryptWithContext(t.Context(), c, ad); !errors.Is(err, ErrIncorrectKey) {
			t.Errorf("another key: %v", err)
		}
	}
}

// TestAllocations holds what a hot call may allocate: the output, and nothing in the appending form.
func TestAllocations(t *testing.T) {
	count := 0
	r, key := ring(t, func(c *Config) {
		c.Audit = audit.SinkFunc(func(context.Context, *audit.Event) error { count++; return nil })
	})
	app := r.As(Role("app"))
	ctx := context.Background()
	plaintext := make([]byte, 32)
	ec := EncryptionContext{"tenant": "42", "purpose": "test"}
	out, err := app.Encrypt(ctx, key.KeyID, plaintext, ec)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	for _, tc := range []struct {
		name string
		most float64
		call func() error
	}{
		{"Encrypt", 1, func() error { _, err := app.Encrypt(ctx, key.KeyID, plaintext, ec); return err }},
		{"AppendEncrypt", 0, func() error { _, err := app.AppendEncrypt(ctx, buf, key.KeyID, plaintext, ec); return err }},
		{"Decrypt", 2, func() error { _, err := app.Decrypt(ctx, out.Ciphertext, ec); return err }},
		{"AppendDecrypt", 1, func() error { _, err := app.AppendDecrypt(ctx, buf, out.Ciphertext, ec); return err }},
	} {
		var failed error
		if n := testing.AllocsPerRun(200, func() { failed = errors.Join(failed, tc.call()) }); n > tc.most && !underRace || failed != nil {
			t.Errorf("%s: %v allocations, want at most %v; %v", tc.name, n, tc.most, failed)
		}
	}
	if count < 800 {
		t.Errorf("%d events", count)
	}
}
