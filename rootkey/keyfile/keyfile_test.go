package keyfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
	"github.com/claviger/kms/rootkey/rootkeytest"
)

func create(t *testing.T) (*keyfile.Root, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.key")
	r, err := keyfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return r, path
}

func seal(t *testing.T, r rootkey.Root, plaintext string) []byte {
	t.Helper()
	wrap, err := r.EncryptWithContext(t.Context(), []byte(plaintext), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	return wrap
}

func opens(t *testing.T, r rootkey.Root, wrap []byte, want string) {
	t.Helper()
	got, err := r.DecryptWithContext(t.Context(), wrap, []byte("a"))
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestContract(t *testing.T) {
	rootkeytest.Run(t, func(t *testing.T) rootkey.Root {
		r, _ := create(t)
		return r
	})
}

func TestCreateThenOpen(t *testing.T) {
	r, path := create(t)
	wrap := seal(t, r, "domain key")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v, want -rw-------", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != 65 || !bytes.HasPrefix(text, []byte("claviger-root-1:")) || text[64] != '\n' {
		t.Errorf("the file is not one line of 64 characters: %d bytes", len(text))
	}
	again, err := keyfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, again, wrap, "domain key")
	parsed, err := keyfile.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, parsed, wrap, "domain key")
	for name, value := range map[string]string{"as it is": string(text), "without the line end": strings.TrimSuffix(string(text), "\n")} {
		t.Setenv("CLAVIGER_TEST_ROOT", value)
		env, err := keyfile.FromEnv("CLAVIGER_TEST_ROOT")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		opens(t, env, wrap, "domain key")
	}
}

func TestEveryWrapHasItsOwnSalt(t *testing.T) {
	r, _ := create(t)
	salts := make(map[string]bool)
	for range 16 {
		salts[string(seal(t, r, "domain key")[1:17])] = true
	}
	if len(salts) != 16 {
		t.Errorf("%d salts in 16 wraps", len(salts))
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	_, path := create(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want fs.ErrExist", err)
	}
	link := filepath.Join(filepath.Dir(path), "link")
	if err := os.Symlink(filepath.Join(filepath.Dir(path), "elsewhere"), link); err == nil {
		if _, err := keyfile.Create(link); !errors.Is(err, fs.ErrExist) {
			t.Errorf("through a link: %v, want fs.ErrExist", err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
	if _, err := keyfile.Create(filepath.Join(filepath.Dir(path), "none", "root.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v, want fs.ErrNotExist", err)
	}
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no Unix permissions")
	}
	_, path := create(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that others may read: %v", err)
	}
	if _, err := keyfile.Open(path, keyfile.AllowShared()); err != nil {
		t.Errorf("with AllowShared: %v", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Open(path, keyfile.AllowShared()); err == nil {
		t.Error("a file that others may write is read")
	}
}

func TestWhatIsNoKey(t *testing.T) {
	_, path := create(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(string(content), "\n")
	other := byte('A')
	if text[30] == other {
		other = 'B'
	}
	zero := "claviger-root-1:" + base64.StdEncoding.EncodeToString(append(make([]byte, 32), checksumOfZeros...))
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "not a claviger-root-1 key"},
		{"of another kind", "AGE-SECRET-KEY-1QQPQY", "not a claviger-root-1 key"},
		{"of another version", strings.Replace(text, "-1:", "-2:", 1), "not a claviger-root-1 key"},
		{"prefix alone", text[:16], "cut short"},
		{"cut short", text[:63], "cut short"},
		{"a character more", text + "A", "cut short or continues"},
		{"two line ends", text + "\n\n", "cut short or continues"},
		{"carriage return alone", text + "\r", "cut short or continues"},
		{"two keys", text + "\n" + text + "\n", "cut short or continues"},
		{"space before", " " + text, "not a claviger-root-1 key"},
		{"byte order mark before", "\ufeff" + text, "not a claviger-root-1 key"},
		{"not base64", text[:30] + "*" + text[31:], "base64"},
		{"URL alphabet", text[:30] + "-" + text[31:], "base64"},
		{"line end inside", text[:30] + "\n" + text[31:], "base64"},
		{"four line ends inside", text[:56] + "\n\n\n\n" + text[60:], "base64"},
		{"padding inside", text[:60] + "====", "base64"},
		{"mistyped", text[:30] + string(other) + text[31:], "checksum"},
		{"zeros", zero, "zeros"},
		{"too long by far", strings.Repeat(text+"\n", 10), "cut short or continues"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(r *keyfile.Root, err error, where string) {
				t.Helper()
				if r != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), where) {
					t.Errorf("root %v, error %v, want one about %q", r != nil, err, c.want)
				}
				if err != nil && len(c.text) > 20 && strings.Contains(err.Error(), c.text[16:]) {
					t.Error("the error repeats what was read")
				}
			}
			r, err := keyfile.Parse([]byte(c.text))
			check(r, err, "keyfile")
			t.Setenv("CLAVIGER_TEST_ROOT", c.text)
			r, err = keyfile.FromEnv("CLAVIGER_TEST_ROOT")
			check(r, err, "CLAVIGER_TEST_ROOT")
			if len(c.text) > 256 { // longer than a file is read
				c.want = "longer than"
			}
			file := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err = keyfile.Open(file)
			check(r, err, file)
		})
	}
	if _, err := keyfile.FromEnv("CLAVIGER_TEST_UNSET"); err == nil || !strings.Contains(err.Error(), "CLAVIGER_TEST_UNSET is not set") {
		t.Errorf("an unset variable: %v", err)
	}
	for name, sound := range map[string]string{"LF": text + "\n", "CRLF": text + "\r\n", "no line end": text} {
		if _, err := keyfile.Parse([]byte(sound)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checksumOfZeros is right, so that nothing but the zeros is wrong with the key: SHA-256 of the prefix and 32 zero bytes begins so.
var checksumOfZeros = []byte{0x5e, 0xdb, 0x2b, 0x24}

func TestZeroRootRefuses(t *testing.T) {
	var r keyfile.Root
	if _, err := r.EncryptWithContext(t.Context(), []byte("domain key"), nil); err == nil {
		t.Error("a root without a key wraps")
	}
	if _, err := r.DecryptWithContext(t.Context(), append([]byte{1}, make([]byte, 60)...), nil); err == nil {
		t.Error("a root without a key unwraps")
	}
}

func TestTooLong(t *testing.T) {
	r, _ := create(t)
	most := rootkey.MaxWrapLen - 45
	if wrap := seal(t, r, strings.Repeat("x", most)); len(wrap) != rootkey.MaxWrapLen {
		t.Errorf("%d bytes", len(wrap))
	}
	if _, err := r.EncryptWithContext(t.Context(), make([]byte, most+1), nil); err == nil {
		t.Error("a wrap longer than MaxWrapLen is made")
	}
}

func TestNothingOfTheKeyIsPrinted(t *testing.T) {
	r, path := create(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(string(text[16:64]))
	if err != nil {
		t.Fatal(err)
	}
	key = key[:32]
	_, wrong := r.DecryptWithContext(t.Context(), seal(t, r, "domain key"), []byte("b"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{r, struct{ root *keyfile.Root }{r}, struct{ root keyfile.Root }{*r}, wrong, rootkey.WithName("recovery", r)} {
			printed := fmt.Sprintf(verb, value)
			for _, spelling := range []string{string(text[16:64]), string(key), hex.EncodeToString(key), strings.Trim(fmt.Sprint(key), "[]")} {
				if strings.Contains(printed, spelling) {
					t.Errorf("%s of %T holds the key", verb, value)
				}
			}
		}
	}
}

func TestName(t *testing.T) {
	r, _ := create(t)
	if name := rootkey.Name(r); name != "keyfile" {
		t.Error(name)
	}
}

// TestEnforcedFIPS shows that a key file works where FIPS 140-3 is enforced, in a process of its own.
func TestEnforcedFIPS(t *testing.T) {
	if os.Getenv("KEYFILE_TEST_FIPS") != "" {
		r, _ := create(t)
		opens(t, r, seal(t, r, "domain key"), "domain key")
		fmt.Println("opened under enforcement")
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEnforcedFIPS$")
	cmd.Env = append(os.Environ(), "KEYFILE_TEST_FIPS=1", "GODEBUG=fips140=only")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("opened under enforcement")) {
		t.Errorf("%v: %s", err, out)
	}
}
