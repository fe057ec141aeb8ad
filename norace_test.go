//go:build !race

package kms

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const underRace = false

// TestMaterialIsWiped: when nothing refers to a key's material any more, its bytes go.
func TestMaterialIsWiped(t *testing.T) {
	// The cleanup runs on a goroutine of the runtime, with which a test cannot synchronize: the race detector would not have it.
	raw := bytes.Repeat([]byte{0x5a}, 32)
	wiped := func() bool { return isZero(raw) }
	m, err := newMaterial(SymmetricDefault.specification(), keyID{}, 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if wiped() {
		t.Error("wiped while in use")
	}
	runtime.KeepAlive(m)
	m = nil
	for range 100 {
		runtime.GC()
		if wiped() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("not wiped")
}

// flicker changes a byte to and fro until the test ends or stop is called.
func flicker(t *testing.T, b *byte) (stop func()) {
	var over atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for !over.Load() {
			*b ^= 1
		}
	})
	stop = func() {
		over.Store(true)
		running.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// TestWhatIsVerifiedIsReadOnce: a signature that changes while it is verified is what it was at one moment. Here one byte of it changes, and with neither value it is a
// signature of the message; but R is hashed with the one and compared with the other, nobody would need the private key to find such bytes.
func TestWhatIsVerifiedIsReadOnce(t *testing.T) {
	r, _ := ring(t)
	key := sure(r.CreateKey(t.Context(), CreateKeyInput{KeySpec: ECCNISTEdwards25519, KeyUsage: SignVerify}))
	id, _ := parseKeyID(key.KeyID)
	m := sure(r.c.currentMaterial(t.Context(), sure(r.c.reload(t.Context(), id, 0))))
	private := sure(x509.ParsePKCS8PrivateKey(sure(m.pair.MarshalPKCS8()))).(ed25519.PrivateKey)

	little := func(b []byte) *big.Int {
		b = slices.Clone(b)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	order, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16) // RFC 8032, section 5.1
	expanded := sha512.Sum512(private.Seed())
	expanded[0], expanded[31] = expanded[0]&^7, expanded[31]&63|64
	another, message := []byte("another message"), []byte("the message")
	nonce := sha512.Sum512(slices.Concat(expanded[32:], another))
	forged := slices.Clone(ed25519.Sign(private, another)[:32]) // R, which is compared
	forged[0] ^= 1                                              // and which is hashed
	challenge := sha512.Sum512(slices.Concat(forged, private.Public().(ed25519.PublicKey), message))
	s := new(big.Int).Mul(little(challenge[:]), little(expanded[:32]))
	s.Mod(s.Add(s, little(nonce[:])), order)
	tail := s.FillBytes(make([]byte, 32))
	slices.Reverse(tail)
	forged = append(forged, tail...)

	verify := func() error {
		return drop(r.Verify(t.Context(), key.ARN, Raw(message), forged, AlgorithmED25519SHA512))
	}
	for range 2 {
		if err := verify(); !errors.Is(err, ErrInvalidSignature) {
			t.Fatalf("before it changes: %v", err)
		}
		forged[0] ^= 1
	}
	stop := flicker(t, &forged[0])
	for range 2000 {
		if err := verify(); !errors.Is(err, ErrInvalidSignature) {
			t.Fatalf("while it changes: %v", err)
		}
	}
	stop()
}

// TestWhatIsDecapsulatedIsReadOnce: a ciphertext that changes while it is decapsulated is what it was at one moment.
func TestWhatIsDecapsulatedIsReadOnce(t *testing.T) {
	r, _ := ring(t)
	key := sure(r.CreateKey(t.Context(), CreateKeyInput{KeySpec: MLKEM768, KeyUsage: EncapsulateDecapsulate})).ARN
	made := sure(r.Encapsulate(t.Context(), key))
	decapsulate := func() []byte { return sure(r.Decapsulate(t.Context(), key, made.Ciphertext)).Secret() }
	made.Ciphertext[0] ^= 1
	rejected := decapsulate()
	stop := flicker(t, &made.Ciphertext[0])
	for range 5000 {
		if got := decapsulate(); !bytes.Equal(got, made.Secret()) && !bytes.Equal(got, rejected) {
			t.Fatal("neither the secret of the one ciphertext nor of the other")
		}
	}
	stop()
}

// TestWhatIsDecryptedIsReadOnce: a ciphertext that changes while it is decrypted holds what was encrypted, or nothing.
func TestWhatIsDecryptedIsReadOnce(t *testing.T) {
	r, key := ring(t)
	plaintext := make([]byte, 4096)
	ciphertext := sure(r.Encrypt(t.Context(), key.ARN, plaintext, nil)).Ciphertext
	stop := flicker(t, &ciphertext[len(ciphertext)-200])
	for _, dst := range [][]byte{nil, make([]byte, 0, len(plaintext)), make([]byte, 0, 2*len(plaintext))} {
		for range 15000 {
			if out, err := r.AppendDecrypt(t.Context(), dst, ciphertext, nil); err == nil && !isZero(out.Plaintext) {
				t.Fatal("another plaintext")
			}
		}
	}
	stop()
}
