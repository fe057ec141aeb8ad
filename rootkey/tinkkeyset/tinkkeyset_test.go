package tinkkeyset_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/rootkeytest"
	"github.com/claviger/kms/rootkey/tinkkeyset"
)

func newHandle(t *testing.T) *keyset.Handle {
	t.Helper()
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newRoot(t *testing.T, h *keyset.Handle) *tinkkeyset.Root {
	t.Helper()
	r, err := tinkkeyset.New(h)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func cleartext(t *testing.T, h *keyset.Handle) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func seal(t *testing.T, r rootkey.Root) []byte {
	t.Helper()
	wrap, err := r.EncryptWithContext(t.Context(), []byte("domain key"), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	return wrap
}

func opens(t *testing.T, r rootkey.Root, wrap []byte) {
	t.Helper()
	got, err := r.DecryptWithContext(t.Context(), wrap, []byte("a"))
	if err != nil || string(got) != "domain key" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestContract(t *testing.T) {
	rootkeytest.Run(t, func(t *testing.T) rootkey.Root { return newRoot(t, newHandle(t)) })
}

func TestOpenCleartext(t *testing.T) {
	h := newHandle(t)
	path := writeFile(t, cleartext(t, h))
	r, err := tinkkeyset.OpenCleartext(path)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, r, seal(t, newRoot(t, h)))
	opens(t, newRoot(t, h), seal(t, r))
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := tinkkeyset.OpenCleartext(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that the group may read: %v", err)
	}
}

func TestTinkReadsWhatTheRootWrites(t *testing.T) {
	h := newHandle(t)
	a, err := aead.New(h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Decrypt(seal(t, newRoot(t, h)), []byte("a"))
	if err != nil || string(got) != "domain key" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRotatedKeysetOpensOldWraps(t *testing.T) {
	h := newHandle(t)
	old := seal(t, newRoot(t, h))
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	rotated, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	opens(t, newRoot(t, rotated), old)
	if _, err := newRoot(t, h).DecryptWithContext(t.Context(), seal(t, newRoot(t, rotated)), []byte("a")); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("the old keyset opens the new key's wrap: %v", err)
	}
}

func TestEncryptedKeyset(t *testing.T) {
	h := newHandle(t)
	kek, err := aead.New(newHandle(t))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := h.Write(keyset.NewBinaryWriter(&b), kek); err != nil {
		t.Fatal(err)
	}
	read, err := keyset.Read(keyset.NewBinaryReader(&b), kek)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, newRoot(t, read), seal(t, newRoot(t, h)))
}

func TestWhatIsNoKeyset(t *testing.T) {
	other, err := keyset.NewHandle(mac.HMACSHA256Tag128KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tinkkeyset.New(other); err == nil {
		t.Error("a keyset of MAC keys is accepted")
	}
	if _, err := tinkkeyset.New(nil); err == nil {
		t.Error("a nil handle is accepted")
	}
	sound := string(cleartext(t, newHandle(t)))
	for _, c := range []struct{ name, text string }{
		{"empty", ""},
		{"not JSON", "canary"},
		{"cut short", sound[:len(sound)/2]},
		{"no keys", `{"primaryKeyId":1,"key":[]}`},
		{"no primary key", strings.Replace(sound, `"primaryKeyId":`, `"primaryKeyId":1`, 1)},
		{"primary key disabled", strings.Replace(sound, `"ENABLED"`, `"DISABLED"`, 1)},
		{"keys of another kind", string(cleartext(t, other))},
		{"too long", sound + strings.Repeat(" ", 64<<10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := tinkkeyset.OpenCleartext(writeFile(t, []byte(c.text)))
			if err == nil || r != nil {
				t.Fatalf("root %v, error %v", r != nil, err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error repeats the file: %v", err)
			}
		})
	}
	if _, err := tinkkeyset.OpenCleartext(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want fs.ErrNotExist", err)
	}
}

func TestNothingOfTheKeyIsPrinted(t *testing.T) {
	h := newHandle(t)
	var text struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	if err := json.Unmarshal(cleartext(t, h), &text); err != nil {
		t.Fatal(err)
	}
	message, err := base64.StdEncoding.DecodeString(text.Key[0].KeyData.Value)
	if err != nil {
		t.Fatal(err)
	}
	key := message[len(message)-32:] // the last field of the AES-GCM key's message
	r := newRoot(t, h)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, value := range []any{r, *r, struct{ root tinkkeyset.Root }{*r}} {
			printed := fmt.Sprintf(verb, value)
			for _, spelling := range []string{string(key), fmt.Sprintf("%x", key), strings.Trim(fmt.Sprint(key), "[]")} {
				if strings.Contains(printed, spelling) {
					t.Errorf("%s of %T holds the key", verb, value)
				}
			}
		}
	}
}

func TestTooLong(t *testing.T) {
	if _, err := newRoot(t, newHandle(t)).EncryptWithContext(t.Context(), make([]byte, rootkey.MaxWrapLen), nil); err == nil {
		t.Error("a wrap longer than MaxWrapLen is returned")
	}
}

func TestName(t *testing.T) {
	if name := rootkey.Name(newRoot(t, newHandle(t))); name != "tinkkeyset" {
		t.Error(name)
	}
}

// TestMain: where FIPS 140-3 is enforced, New must refuse. Everything else is then tried without enforcement.
func TestMain(m *testing.M) {
	if !fips140.Enforced() {
		os.Exit(m.Run())
	}
	if _, err := tinkkeyset.New(nil); err == nil || !strings.HasPrefix(err.Error(), refusal) {
		fmt.Printf("under enforced FIPS 140-3: %v\n", err)
		os.Exit(1)
	}
	fmt.Println("refused under enforced FIPS 140-3")
	fips140.WithoutEnforcement(func() { os.Exit(m.Run()) })
}

const refusal = "tinkkeyset: Tink is not available under enforced FIPS 140-3"

// TestEnforcedFIPS runs TestMain in a process where FIPS 140-3 is enforced.
func TestEnforcedFIPS(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("refused under enforced FIPS 140-3")) {
		t.Errorf("%v: %s", err, out)
	}
}
