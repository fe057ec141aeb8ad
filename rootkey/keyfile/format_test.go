package keyfile_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"testing"

	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
)

type vector struct {
	Name, Text, AssociatedData, Plaintext, Wrap string
}

// readVectors reads testdata/wraps.json, which testdata/wraps.py wrote.
func readVectors(t testing.TB) []vector { return vectors.Read[[]vector](t, "testdata/wraps.json") }

func TestFrozenWraps(t *testing.T) {
	frozen := readVectors(t)
	if len(frozen) != 4 {
		t.Fatalf("%d vectors, want 4", len(frozen))
	}
	for _, v := range frozen {
		t.Run(v.Name, func(t *testing.T) {
			r, err := keyfile.Parse([]byte(v.Text))
			if err != nil {
				t.Fatal(err)
			}
			wrap, associated := vectors.Unhex(t, v.Wrap), vectors.Unhex(t, v.AssociatedData)
			got, err := r.DecryptWithContext(t.Context(), wrap, associated)
			if err != nil || hex.EncodeToString(got) != v.Plaintext {
				t.Errorf("%x, %v", got, err)
			}
			if got := openAsDocumented(t, v.Text, wrap, associated); hex.EncodeToString(got) != v.Plaintext {
				t.Errorf("the second implementation gives %x", got)
			}
			if _, err := r.DecryptWithContext(t.Context(), wrap, append(associated, 0)); !errors.Is(err, rootkey.ErrWrongKey) {
				t.Errorf("with other associated data: %v", err)
			}
		})
	}
}

func TestFreshWrapIsAsDocumented(t *testing.T) {
	r, path := create(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := openAsDocumented(t, string(text), seal(t, r, "domain key"), []byte("a")); string(got) != "domain key" {
		t.Errorf("%q", got)
	}
}

// openAsDocumented is a second implementation, written from the package comment with lower primitives.
func openAsDocumented(t testing.TB, text string, wrap, associatedData []byte) []byte {
	t.Helper()
	if wrap[0] != 1 {
		t.Fatalf("version %d", wrap[0])
	}
	body, err := base64.StdEncoding.DecodeString(text[len("claviger-root-1:"):64])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append([]byte("claviger-root-1:"), body[:32]...))
	if !bytes.Equal(sum[:4], body[32:]) {
		t.Fatal("the checksum is not as documented")
	}
	mac := func(key []byte, message string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(message))
		return h.Sum(nil)
	}
	key := mac(mac(wrap[1:17], string(body[:32])), "claviger/keyfile/v1\x01") // RFC 5869: extract, then one block of expand
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var plaintext []byte
	fips140.WithoutEnforcement(func() { // which allows no GCM with a nonce of the caller's, not even to read
		var gcm cipher.AEAD
		if gcm, err = cipher.NewGCM(block); err == nil {
			plaintext, err = gcm.Open(nil, wrap[17:29], wrap[29:], associatedData)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return plaintext
}

func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Text))
		f.Add([]byte(v.Text + "\n"))
		f.Add([]byte(v.Text + "\r\n"))
		f.Add([]byte(v.Text[:len(v.Text)-1]))
	}
	f.Add([]byte("claviger-root-1:"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		given := bytes.Clone(text)
		r, err := keyfile.Parse(text)
		if !bytes.Equal(text, given) {
			t.Fatal("Parse changes its argument")
		}
		if err != nil {
			return
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		body, err := base64.StdEncoding.Strict().DecodeString(string(line[len("claviger-root-1:"):]))
		if err != nil || len(body) != 36 || len(line) != 64 || "claviger-root-1:"+base64.StdEncoding.EncodeToString(body) != string(line) {
			t.Fatalf("a key that does not read back is accepted: %v", err)
		}
		wrap, err := r.EncryptWithContext(t.Context(), []byte("domain key"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := openAsDocumented(t, string(line), wrap, nil); string(got) != "domain key" {
			t.Errorf("%q", got)
		}
	})
}
