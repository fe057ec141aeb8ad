package keypair

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha3"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var kinds = map[string]Kind{
	"RSA2048": RSA(2048), "RSA3072": RSA(3072), "P256": P256, "P384": P384, "P521": P521, "Secp256k1": Secp256k1, "Ed25519": Ed25519,
	"MLDSA44": MLDSA44, "MLDSA65": MLDSA65, "MLDSA87": MLDSA87, "MLKEM512": MLKEM512, "MLKEM768": MLKEM768, "MLKEM1024": MLKEM1024,
}

// pairs are a key of each kind, made once.
var pairs = map[string]Private{}

func pair(t testing.TB, name string) Private {
	t.Helper()
	if pairs[name] == nil {
		key, err := kinds[name].Generate()
		if err != nil {
			t.Fatal(err)
		}
		pairs[name] = key
	}
	return pairs[name]
}

func marshal(t testing.TB, key Private) (private, public []byte) {
	t.Helper()
	private, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	public, err = key.Public().MarshalSPKI()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// TestEncodings: what is written is read again as the same key, by its own kind and by no other, and not with anything behind it or cut off.
func TestEncodings(t *testing.T) {
	for name := range kinds {
		private, public := marshal(t, pair(t, name))
		for other, kind := range kinds {
			key, err := kind.ParsePrivate(private)
			if (err == nil) != (name == other) {
				t.Errorf("a private key of %s read as one of %s: %v", name, other, err)
			}
			if err == nil {
				again, spki := marshal(t, key)
				if !bytes.Equal(again, private) || !bytes.Equal(spki, public) {
					t.Errorf("%s: the key is another one after it was written and read", name)
				}
			}
			half, err := kind.ParsePublic(public)
			if (err == nil) != (name == other) {
				t.Errorf("a public key of %s read as one of %s: %v", name, other, err)
			}
			if err == nil {
				if again, err := half.MarshalSPKI(); err != nil || !bytes.Equal(again, public) {
					t.Errorf("%s: the public key is another one after it was written and read: %v", name, err)
				}
			}
		}
		for n := range public {
			if _, err := kinds[name].ParsePublic(public[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes of a public key are one", name, n, len(public))
			}
		}
		if _, err := kinds[name].ParsePublic(append(public[:len(public):len(public)], 0)); err == nil {
			t.Errorf("%s: a public key with a byte behind it is one", name)
		}
		for i := 2; i < 8 && i < len(public); i++ { // lengths of the sequences, and what they say is behind
			altered := bytes.Clone(public)
			altered[i] ^= 1
			if _, err := kinds[name].ParsePublic(altered); err == nil {
				t.Errorf("%s: a public key with its byte %d altered is one", name, i)
			}
		}
		if _, err := kinds[name].ParsePublic(lengthened(public)); err == nil {
			t.Errorf("%s: a public key with another element is one", name)
		}
		for n := range private {
			if _, err := kinds[name].ParsePrivate(private[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes of a private key are one", name, n, len(private))
			}
		}
		if _, err := kinds[name].ParsePrivate(append(private[:len(private):len(private)], 0)); err == nil {
			t.Errorf("%s: a private key with a byte behind it is one", name)
		}
		later := bytes.Clone(private)
		if at := bytes.Index(later, []byte{2, 1, 0}); at < 0 { // the version
			t.Errorf("%s: %x", name, later[:8])
		} else if later[at+2] = 2; parses(kinds[name], later) {
			t.Errorf("%s: a private key of a version that there is not is one", name)
		}
	}
}

func parses(kind Kind, private []byte) bool {
	_, err := kind.ParsePrivate(private)
	return err == nil
}

// TestNothingOfTheInputIsKept: what was read does not change with the bytes that it was read from.
func TestNothingOfTheInputIsKept(t *testing.T) {
	for name, kind := range kinds {
		private, public := marshal(t, pair(t, name))
		wantPrivate, wantPublic := bytes.Clone(private), bytes.Clone(public)
		key, err := kind.ParsePrivate(private)
		if err != nil {
			t.Fatal(err)
		}
		half, err := kind.ParsePublic(public)
		if err != nil {
			t.Fatal(err)
		}
		clear(private)
		clear(public)
		got, other := marshal(t, key)
		if !bytes.Equal(got, wantPrivate) || !bytes.Equal(other, wantPublic) {
			t.Errorf("%s: the private key is another one", name)
		}
		if got, err := half.MarshalSPKI(); err != nil || !bytes.Equal(got, wantPublic) {
			t.Errorf("%s: the public key is another one: %v", name, err)
		}
	}
}

// lengthened is a sequence with NULL at its end.
func lengthened(sequence []byte) []byte {
	in := cryptobyte.String(sequence)
	var content cryptobyte.String
	in.ReadASN1(&content, cryptobyte_asn1.SEQUENCE)
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(content)
		b.AddASN1NULL()
	})
	return b.BytesOrPanic()
}

// TestPublicAllocatesNothing: every use of a key's public half asks for it.
func TestPublicAllocatesNothing(t *testing.T) {
	for name := range kinds {
		key := pair(t, name)
		var public Public
		if n := testing.AllocsPerRun(10, func() { public = key.Public() }); n != 0 || public == nil {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	for name := range kinds {
		key := pair(t, name)
		private, _ := marshal(t, key)
		tail := private[len(private)-16:]
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			for _, text := range []string{fmt.Sprintf(verb, key), fmt.Sprintf(verb, struct{ key Private }{key})} {
				if strings.Contains(text, hex.EncodeToString(tail)) || strings.Contains(text, base64.StdEncoding.EncodeToString(tail)) ||
					strings.Contains(text, strings.Trim(fmt.Sprint(tail), "[]")) || len(text) > 200 {
					t.Errorf("%s prints with %s: %s", name, verb, text)
				}
			}
		}
	}
}

// TestSignatures: each kind signs in its ways, freshly each time where the scheme is randomized, and refuses options that are not its own.
func TestSignatures(t *testing.T) {
	digest := map[crypto.Hash][]byte{crypto.SHA256: bytes.Repeat([]byte{1}, 32), crypto.SHA384: bytes.Repeat([]byte{2}, 48), crypto.SHA512: bytes.Repeat([]byte{3}, 64)}
	long := bytes.Repeat([]byte{4}, 64)
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384}
	for _, c := range []struct {
		kind    string
		opts    crypto.SignerOpts
		message []byte
		fresh   bool
	}{
		{"RSA2048", crypto.SHA256, digest[crypto.SHA256], false}, {"RSA2048", pss, digest[crypto.SHA384], true}, {"P256", crypto.SHA256, digest[crypto.SHA256], true},
		{"P384", crypto.SHA384, digest[crypto.SHA384], true}, {"P521", crypto.SHA512, digest[crypto.SHA512], true}, {"Secp256k1", crypto.SHA256, digest[crypto.SHA256], true},
		{"Ed25519", crypto.Hash(0), long, false}, {"Ed25519", &ed25519.Options{Hash: crypto.SHA512}, long, false},
		{"MLDSA44", crypto.Hash(0), long, true}, {"MLDSA65", crypto.Hash(0), long, true}, {"MLDSA87", crypto.Hash(0), long, true}, {"MLDSA65", ExternalMu, long, true},
	} {
		if fips140.Enforced() && !kinds[c.kind].Approved() {
			continue // the ring refuses them first
		}
		key := pair(t, c.kind).(Signer)
		verifier := key.Public().(Verifier)
		first, err := key.Sign(c.message, c.opts)
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		second, err := key.Sign(c.message, c.opts)
		if err != nil || c.fresh == bytes.Equal(first, second) {
			t.Errorf("%s: two signatures of one message are fresh: %v, want %v (%v)", c.kind, !bytes.Equal(first, second), c.fresh, err)
		}
		for _, signature := range [][]byte{first, second} {
			if err := verifier.Verify(c.message, signature, c.opts); err != nil {
				t.Errorf("%s: %v", c.kind, err)
			}
		}
		first[len(first)-1] ^= 1
		if err := verifier.Verify(c.message, first, c.opts); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: an altered signature: %v", c.kind, err)
		}
		for _, wrong := range []crypto.SignerOpts{crypto.Hash(0), ExternalMu, crypto.MD5SHA1} {
			if ownWay := c.kind == "Ed25519" || strings.HasPrefix(c.kind, "MLDSA"); ownWay && wrong != crypto.MD5SHA1 {
				continue
			}
			if signature, err := key.Sign(c.message, wrong); err == nil && verifier.Verify(c.message, signature, c.opts) == nil {
				t.Errorf("%s signs with %v as it does with %v", c.kind, wrong, c.opts)
			}
		}
	}
}

// TestExternalMu: a signature of a message verifies as one of its μ, computed here as FIPS 204 has it, and the other way round.
func TestExternalMu(t *testing.T) {
	message := []byte("a message")
	for _, name := range []string{"MLDSA44", "MLDSA65", "MLDSA87"} {
		key := pair(t, name).(*mldsaPrivate)
		tr := make([]byte, 64)
		h := sha3.NewSHAKE256()
		h.Write(key.public.key.Bytes())
		h.Read(tr)
		mu := make([]byte, 64)
		h = sha3.NewSHAKE256()
		h.Write(tr)
		h.Write([]byte{0, 0})
		h.Write(message)
		h.Read(mu)
		if got, err := Mu(key.public.key, bytes.NewReader(message)); err != nil || !bytes.Equal(got, mu) {
			t.Errorf("%s: μ is %x, %v, want %x", name, got, err, mu)
		}
		plain, err := key.Sign(message, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		external, err := key.Sign(mu, ExternalMu)
		if err != nil {
			t.Fatal(err)
		}
		if err := mldsa.Verify(key.public.key, message, external, nil); err != nil {
			t.Errorf("%s: the signature of μ is none of the message: %v", name, err)
		}
		err = key.public.Verify(mu, plain, ExternalMu)
		if errors.Is(err, ErrExternalMu) {
			continue // it does not say yes either; mldsa_linked_test.go has which builds can
		}
		if err != nil {
			t.Errorf("%s: the signature of the message is none of μ: %v", name, err)
		}
		for i := range mu {
			mu[i] ^= 1
			if err := key.public.Verify(mu, plain, ExternalMu); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: a signature of another μ: %v", name, err)
			}
			mu[i] ^= 1
		}
		if err := key.public.Verify(mu[:63], plain, ExternalMu); err == nil {
			t.Errorf("%s: a μ of 63 bytes verifies", name)
		}
	}
}

func TestAgreement(t *testing.T) {
	for _, name := range []string{"P256", "P384", "P521"} {
		other, err := kinds[name].Generate()
		if err != nil {
			t.Fatal(err)
		}
		mine := pair(t, name)
		one, err := mine.(Agreer).Agree(other.Public())
		if err != nil {
			t.Fatal(err)
		}
		two, err := other.(Agreer).Agree(mine.Public())
		if err != nil || !bytes.Equal(one, two) || len(one) != map[string]int{"P256": 32, "P384": 48, "P521": 66}[name] {
			t.Errorf("%s: %x and %x, %v", name, one, two, err)
		}
		for stranger := range kinds {
			if stranger != name {
				if _, err := mine.(Agreer).Agree(pair(t, stranger).Public()); err == nil {
					t.Errorf("%s agrees with a key of %s", name, stranger)
				}
			}
		}
	}
}

func TestEncapsulation(t *testing.T) {
	for name, size := range map[string]int{"MLKEM512": 768, "MLKEM768": 1088, "MLKEM1024": 1568} {
		key := pair(t, name).(Decapsulator)
		secret, ciphertext, err := key.Public().(Encapsulator).Encapsulate()
		if err != nil || len(secret) != 32 || len(ciphertext) != size {
			t.Fatalf("%s: a secret of %d and a ciphertext of %d bytes, %v", name, len(secret), len(ciphertext), err)
		}
		if got, err := key.Decapsulate(ciphertext); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %v", name, err)
		}
		ciphertext[0] ^= 1
		if got, err := key.Decapsulate(ciphertext); err != nil || bytes.Equal(got, secret) || len(got) != 32 {
			t.Errorf("%s: an altered ciphertext: %x, %v", name, got, err)
		}
		for _, n := range []int{0, size - 1, size + 1} {
			if _, err := key.Decapsulate(make([]byte, n)); !errors.Is(err, ErrDecryption) {
				t.Errorf("%s: a ciphertext of %d bytes: %v", name, n, err)
			}
		}
	}
}

func TestRSAEncryption(t *testing.T) {
	key := pair(t, "RSA2048").(Decrypter)
	encrypter := key.Public().(Encrypter)
	for hash, most := range map[crypto.Hash]int{crypto.SHA1: 214, crypto.SHA256: 190} {
		if fips140.Enforced() && hash == crypto.SHA1 {
			continue // the ring refuses it first
		}
		plaintext := bytes.Repeat([]byte{7}, most)
		ciphertext, err := encrypter.Encrypt(plaintext, hash)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Decrypt(ciphertext, hash); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%v: %v", hash, err)
		}
		if _, err := encrypter.Encrypt(append(plaintext, 1), hash); err == nil {
			t.Errorf("%v: %d bytes were encrypted", hash, most+1)
		}
		for _, wrong := range [][]byte{nil, ciphertext[:255], append([]byte{0}, ciphertext...), append([]byte{1}, ciphertext...), make([]byte, 256), bytes.Repeat([]byte{255}, 256)} {
			if _, err := key.Decrypt(wrong, hash); !errors.Is(err, ErrDecryption) {
				t.Errorf("%v: a wrong ciphertext of %d bytes: %v", hash, len(wrong), err)
			}
		}
		for ciphertext[0] != 0 { // every 256th begins with zero, and is the same number without it
			if ciphertext, err = encrypter.Encrypt(plaintext, hash); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := key.Decrypt(ciphertext[1:], hash); !errors.Is(err, ErrDecryption) {
			t.Errorf("%v: a ciphertext without its first byte, which is zero: %v", hash, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for name := range kinds {
		private, public := marshal(f, pair(f, name))
		f.Add(private)
		f.Add(public)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for name, kind := range kinds {
			if key, err := kind.ParsePrivate(der); err == nil {
				private, _ := marshal(t, key)
				again, err := kind.ParsePrivate(private)
				if err != nil {
					t.Fatalf("%s: what was written of a key is not read: %v", name, err)
				}
				if other, _ := marshal(t, again); !bytes.Equal(other, private) {
					t.Fatalf("%s: a key is another one after it was written and read", name)
				}
			}
			if key, err := kind.ParsePublic(der); err == nil {
				if public, err := key.MarshalSPKI(); err != nil {
					t.Fatalf("%s: %v", name, err)
				} else if _, err := kind.ParsePublic(public); err != nil {
					t.Fatalf("%s: what was written of a public key is not read: %v", name, err)
				}
			}
		}
	})
}
