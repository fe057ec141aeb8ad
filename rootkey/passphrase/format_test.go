package passphrase_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/passphrase"
)

type vector struct {
	Name, Passphrase, AssociatedData, Plaintext, Wrap string
}

// readVectors reads testdata/wraps.json, which testdata/wraps.py wrote.
func readVectors(t testing.TB) []vector { return vectors.Read[[]vector](t, "testdata/wraps.json") }

func TestFrozenWraps(t *testing.T) {
	frozen := readVectors(t)
	if len(frozen) != 6 {
		t.Fatalf("%d vectors, want 6", len(frozen))
	}
	for _, v := range frozen {
		t.Run(v.Name, func(t *testing.T) {
			r, err := passphrase.New(vectors.Unhex(t, v.Passphrase), nil)
			if err != nil {
				t.Fatal(err)
			}
			wrap, associated := vectors.Unhex(t, v.Wrap), vectors.Unhex(t, v.AssociatedData)
			got, err := r.DecryptWithContext(t.Context(), wrap, associated)
			if err != nil || hex.EncodeToString(got) != v.Plaintext {
				t.Errorf("%x, %v", got, err)
			}
			if got := openAsDocumented(t, vectors.Unhex(t, v.Passphrase), wrap, associated); hex.EncodeToString(got) != v.Plaintext {
				t.Errorf("the second implementation gives %x", got)
			}
			if _, err := r.DecryptWithContext(t.Context(), wrap, append(associated, 0)); !errors.Is(err, rootkey.ErrWrongKey) {
				t.Errorf("with other associated data: %v", err)
			}
		})
	}
}

func TestFreshWrapIsAsDocumented(t *testing.T) {
	for _, opts := range []passphrase.Options{{Memory: 7168, Time: 1, Threads: 1}, {Memory: 9000, Time: 2, Threads: 3}} {
		wrap := seal(t, newRoot(t, "open sesame", opts), "domain key", "associated data")
		if got := openAsDocumented(t, []byte("open sesame"), wrap, []byte("associated data")); string(got) != "domain key" {
			t.Errorf("%+v: %q", opts, got)
		}
	}
}

// openAsDocumented is a second implementation, written from the package comment with lower primitives.
func openAsDocumented(t testing.TB, phrase, wrap, associatedData []byte) []byte {
	t.Helper()
	if wrap[0] != 1 {
		t.Fatalf("version %d", wrap[0])
	}
	memory, time, threads := binary.BigEndian.Uint32(wrap[1:5]), binary.BigEndian.Uint32(wrap[5:9]), wrap[9]
	root := argon2.IDKey(phrase, wrap[10:26], time, memory, threads, 32)
	expand := func(previous []byte, counter byte) []byte { // RFC 5869 section 2.3
		h := hmac.New(sha256.New, root)
		h.Write(previous)
		h.Write([]byte("claviger/passphrase/v1"))
		h.Write([]byte{counter})
		return h.Sum(nil)
	}
	key := expand(nil, 1)
	if commitment := expand(key, 2); !bytes.Equal(commitment, wrap[26:58]) {
		t.Fatal("the commitment is not as documented")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	bound := append(bytes.Clone(wrap[:58]), binary.BigEndian.AppendUint32(nil, uint32(len(associatedData)))...)
	plaintext, err := gcm.Open(nil, wrap[58:70], wrap[70:], append(bound, associatedData...))
	if err != nil {
		t.Fatal(err)
	}
	return plaintext
}

// TestCommitment shows what the commitment is for: a wrap with a right tag under the right key is refused when it commits to another.
func TestCommitment(t *testing.T) {
	r := newRoot(t, "open sesame", fast)
	wrap := seal(t, r, "domain key", "")
	root := argon2.IDKey([]byte("open sesame"), wrap[10:26], 1, 7168, 1, 32)
	h := hmac.New(sha256.New, root)
	h.Write([]byte("claviger/passphrase/v1\x01"))
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(header []byte) []byte {
		bound := append(bytes.Clone(header), 0, 0, 0, 0)
		return gcm.Seal(append(bytes.Clone(header), wrap[58:70]...), wrap[58:70], []byte("domain key"), bound)
	}
	if _, err := r.DecryptWithContext(t.Context(), forge(wrap[:58]), nil); err != nil {
		t.Fatalf("the forger does not know the format: %v", err)
	}
	header := bytes.Clone(wrap[:58])
	header[57] ^= 1
	if _, err := r.DecryptWithContext(t.Context(), forge(header), nil); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("%v, want ErrWrongKey", err)
	}
}

func FuzzUnwrap(f *testing.F) {
	// The fuzzer's workers are processes of their own, so the wrap is a frozen one. The root has the least bound on memory: that a run takes more is a
	// finding.
	frozen := readVectors(f)[0]
	r := newRoot(f, string(vectors.Unhex(f, frozen.Passphrase)), fast)
	wrap, associated := vectors.Unhex(f, frozen.Wrap), vectors.Unhex(f, frozen.AssociatedData)
	for _, v := range readVectors(f) {
		f.Add(vectors.Unhex(f, v.Wrap), vectors.Unhex(f, v.AssociatedData))
	}
	f.Add(wrap[:86], associated)
	f.Add(wrap[:85], associated)
	f.Add(append(bytes.Clone(wrap), 0), associated)
	f.Add([]byte{}, []byte{})
	for _, at := range []int{0, 1, 5, 9, 10, 26, 58, 70} {
		changed := bytes.Clone(wrap)
		changed[at] ^= 0x80
		f.Add(changed, associated)
	}
	f.Fuzz(func(t *testing.T, given, associatedData []byte) {
		if len(given) > 8 && given[8] > 3 && given[8] <= 32 {
			t.Skip("many passes over the memory teach nothing new")
		}
		var plaintext []byte
		var err error
		allocated := allocatedBy(func() { plaintext, err = r.DecryptWithContext(t.Context(), given, associatedData) })
		if allocated > 2*derivation {
			t.Errorf("%d bytes allocated", allocated)
		}
		if err == nil && (!bytes.Equal(given, wrap) || !bytes.Equal(associatedData, associated) || hex.EncodeToString(plaintext) != frozen.Plaintext) {
			t.Errorf("a wrap that nobody made opens to %x", plaintext)
		}
		if err != nil && len(plaintext) != 0 {
			t.Error("plaintext along with an error")
		}
	})
}
