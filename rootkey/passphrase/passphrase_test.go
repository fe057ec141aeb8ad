package passphrase_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/passphrase"
	"github.com/claviger/kms/rootkey/rootkeytest"
)

// fast is the least that is accepted, so that tests are quick.
var fast = passphrase.Options{Memory: 7168, Time: 1, Threads: 1, MaxMemory: 7168}

func newRoot(t testing.TB, phrase string, opts passphrase.Options) *passphrase.Root {
	t.Helper()
	r, err := passphrase.New([]byte(phrase), &opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seal(t testing.TB, r rootkey.Root, plaintext, associatedData string) []byte {
	t.Helper()
	wrap, err := r.EncryptWithContext(t.Context(), []byte(plaintext), []byte(associatedData))
	if err != nil {
		t.Fatal(err)
	}
	return wrap
}

func TestContract(t *testing.T) {
	var n atomic.Int32
	rootkeytest.Run(t, func(t *testing.T) rootkey.Root { return newRoot(t, fmt.Sprint("passphrase ", n.Add(1)), fast) })
}

func TestOptions(t *testing.T) {
	type options = passphrase.Options
	for _, c := range []struct {
		name string
		opts *options
		want string // in the error
	}{
		{"nil", nil, ""},
		{"zero", &options{}, ""},
		{"least", &options{Memory: 7168, Time: 1, Threads: 1}, ""},
		{"most", &options{Memory: 2 << 20, Time: 32, Threads: 64}, ""},
		{"little memory", &options{Memory: 7167}, "memory"},
		{"64 for 64 MiB", &options{Memory: 64}, "memory"},
		{"much memory", &options{Memory: 2<<20 + 1}, "memory"},
		{"most memory there is", &options{Memory: 1<<32 - 1}, "memory"},
		{"memory above MaxMemory", &options{Memory: 20 << 10, MaxMemory: 10 << 10}, "MaxMemory"},
		{"MaxMemory above the ceiling", &options{MaxMemory: 2<<20 + 1}, "memory"},
		{"default memory above MaxMemory", &options{MaxMemory: 10 << 10}, "MaxMemory"},
		{"many passes", &options{Time: 33}, "time"},
		{"many lanes", &options{Threads: 65}, "threads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := passphrase.New([]byte("x"), c.opts)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
			if (r == nil) != (err != nil) {
				t.Errorf("root %v with error %v", r != nil, err)
			}
		})
	}
	for _, empty := range [][]byte{nil, {}} {
		if _, err := passphrase.New(empty, nil); err == nil {
			t.Error("an empty passphrase is accepted")
		}
	}
}

func TestPassphraseDecides(t *testing.T) {
	wrap := seal(t, newRoot(t, "open sesame", fast), "domain key", "a")
	for _, phrase := range []string{"open sesame\n", "Open sesame", "open sesam", " open sesame", "open sesame\x00"} {
		_, err := newRoot(t, phrase, fast).DecryptWithContext(t.Context(), wrap, []byte("a"))
		if !errors.Is(err, rootkey.ErrWrongKey) {
			t.Errorf("%q: %v, want ErrWrongKey", phrase, err)
		}
	}
	got, err := newRoot(t, "open sesame", fast).DecryptWithContext(t.Context(), wrap, []byte("a"))
	if err != nil || string(got) != "domain key" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPassphraseIsCopied(t *testing.T) {
	phrase := []byte("open sesame")
	r, err := passphrase.New(phrase, &fast)
	if err != nil {
		t.Fatal(err)
	}
	clear(phrase)
	got, err := newRoot(t, "open sesame", fast).DecryptWithContext(t.Context(), seal(t, r, "domain key", ""), nil)
	if err != nil || string(got) != "domain key" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestParametersAreBoundedFirst hands over wraps that ask for too much or too little and watches that nothing was derived for them.
func TestParametersAreBoundedFirst(t *testing.T) {
	r := newRoot(t, "open sesame", fast)
	sound := seal(t, r, "domain key", "")
	for _, c := range []struct {
		name      string
		at        int
		value     []byte
		wantField string
	}{
		{"4 TiB of memory", 1, []byte{0xff, 0xff, 0xff, 0xff}, "memory"},
		{"memory of one KiB above the bound", 1, []byte{0, 0, 0x1c, 0x01}, "memory"},
		{"memory of one KiB below the bound", 1, []byte{0, 0, 0x1b, 0xff}, "memory"},
		{"no memory", 1, []byte{0, 0, 0, 0}, "memory"},
		{"no pass", 5, []byte{0, 0, 0, 0}, "time"},
		{"33 passes", 5, []byte{0, 0, 0, 33}, "time"},
		{"4294967295 passes", 5, []byte{0xff, 0xff, 0xff, 0xff}, "time"},
		{"no lane", 9, []byte{0}, "threads"},
		{"65 lanes", 9, []byte{65}, "threads"},
		{"255 lanes", 9, []byte{255}, "threads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrap := bytes.Clone(sound)
			copy(wrap[c.at:], c.value)
			var err error
			allocated := allocatedBy(func() { _, err = r.DecryptWithContext(t.Context(), wrap, nil) })
			if err == nil || !strings.Contains(err.Error(), c.wantField) || errors.Is(err, rootkey.ErrWrongKey) {
				t.Errorf("%v, want an error about %s", err, c.wantField)
			}
			if allocated > 1<<20 {
				t.Errorf("%d bytes were allocated", allocated)
			}
		})
	}
	t.Run("another version", func(t *testing.T) {
		wrap := bytes.Clone(sound)
		wrap[0] = 2
		if _, err := r.DecryptWithContext(t.Context(), wrap, nil); !errors.Is(err, rootkey.ErrWrongKey) {
			t.Error(err)
		}
	})
}

func TestMaxMemoryAdmitsDearerWraps(t *testing.T) {
	wrap := seal(t, newRoot(t, "open sesame", passphrase.Options{Memory: 16 << 10, Time: 1}), "domain key", "")
	opts := passphrase.Options{Memory: 7168, Time: 1, MaxMemory: 16<<10 - 1}
	if _, err := newRoot(t, "open sesame", opts).DecryptWithContext(t.Context(), wrap, nil); err == nil || !strings.Contains(err.Error(), "MaxMemory") {
		t.Errorf("%v, want an error that names MaxMemory", err)
	}
	opts.MaxMemory++
	if _, err := newRoot(t, "open sesame", opts).DecryptWithContext(t.Context(), wrap, nil); err != nil {
		t.Error(err)
	}
}

// allocatedBy returns the bytes that f allocates: a derivation shows, since it takes Options.Memory at once.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const derivation = 7168 << 10 // bytes of one with the options fast

func TestOneDerivationServesAll(t *testing.T) {
	r := newRoot(t, "open sesame", fast)
	allocated := allocatedBy(func() {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				wrap, err := r.EncryptWithContext(t.Context(), fmt.Append(nil, i), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := r.DecryptWithContext(t.Context(), wrap, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	if allocated < derivation || allocated >= 2*derivation {
		t.Errorf("%d bytes allocated: %d derivations, want 1", allocated, allocated/derivation)
	}
}

func TestWrapsOfOneRootShareASalt(t *testing.T) {
	r, other := newRoot(t, "open sesame", fast), newRoot(t, "open sesame", fast)
	salt := func(wrap []byte) string { return hex.EncodeToString(wrap[10:26]) }
	first := salt(seal(t, r, "one", ""))
	if salt(seal(t, r, "two", "")) != first {
		t.Error("the second wrap of a root costs a derivation of its own")
	}
	if salt(seal(t, other, "one", "")) == first {
		t.Error("two roots use one salt")
	}
}

// TestManySalts opens more wraps than the root remembers keys for.
func TestManySalts(t *testing.T) {
	var wraps [][]byte
	for i := range 12 {
		wraps = append(wraps, seal(t, newRoot(t, "open sesame", fast), fmt.Sprint("key ", i), ""))
	}
	r := newRoot(t, "open sesame", fast)
	for range 2 {
		for i, wrap := range wraps {
			got, err := r.DecryptWithContext(t.Context(), wrap, nil)
			if err != nil || string(got) != fmt.Sprint("key ", i) {
				t.Fatalf("wrap %d: %q, %v", i, got, err)
			}
		}
	}
	for _, c := range []struct {
		wrap []byte
		name string
		want uint64
	}{{wraps[11], "the last", 0}, {wraps[4], "the eighth last", 0}, {wraps[3], "the ninth last", 1}, {wraps[4], "one used just now", 0}} {
		allocated := allocatedBy(func() {
			if _, err := r.DecryptWithContext(t.Context(), c.wrap, nil); err != nil {
				t.Error(err)
			}
		})
		if allocated/derivation != c.want {
			t.Errorf("opening %s takes %d derivations, want %d", c.name, allocated/derivation, c.want)
		}
	}
}

func TestTooLong(t *testing.T) {
	r := newRoot(t, "open sesame", fast)
	most := rootkey.MaxWrapLen - 86
	if wrap := seal(t, r, strings.Repeat("x", most), ""); len(wrap) != rootkey.MaxWrapLen {
		t.Errorf("%d bytes", len(wrap))
	}
	if _, err := r.EncryptWithContext(t.Context(), make([]byte, most+1), nil); err == nil {
		t.Error("a wrap longer than MaxWrapLen is made")
	}
}

func TestZeroRootRefuses(t *testing.T) {
	var r passphrase.Root
	if _, err := r.EncryptWithContext(t.Context(), []byte("domain key"), nil); err == nil {
		t.Error("a root without a passphrase wraps")
	}
}

func TestNothingOfThePassphraseIsPrinted(t *testing.T) {
	const canary = "canary-7e21"
	r := newRoot(t, canary, fast)
	wrap := seal(t, r, "domain key", "")
	_, wrong := r.DecryptWithContext(t.Context(), wrap, []byte("other"))
	_, options := passphrase.New([]byte(canary), &passphrase.Options{Memory: 1})
	held := struct{ root *passphrase.Root }{r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{r, held, wrong, options, rootkey.WithName("recovery", r)} {
			text := fmt.Sprintf(verb, value)
			for _, spelling := range []string{canary, hex.EncodeToString([]byte(canary)), strings.Trim(fmt.Sprint([]byte(canary)), "[]")} {
				if strings.Contains(text, spelling) {
					t.Errorf("%s of %T holds the passphrase: %s", verb, value, text)
				}
			}
		}
	}
}

func TestName(t *testing.T) {
	r := newRoot(t, "open sesame", fast)
	if name := rootkey.Name(r); name != "passphrase" {
		t.Error(name)
	}
	if name := rootkey.Name(rootkey.WithName("recovery", r)); name != "recovery" {
		t.Error(name)
	}
}

// TestMain: where FIPS 140-3 is enforced, New must refuse. Everything else is then tried without enforcement.
func TestMain(m *testing.M) {
	if !fips140.Enforced() {
		os.Exit(m.Run())
	}
	if _, err := passphrase.New([]byte("open sesame"), &fast); err == nil || !strings.HasPrefix(err.Error(), refusal) {
		fmt.Printf("under enforced FIPS 140-3: %v\n", err)
		os.Exit(1)
	}
	fmt.Println("refused under enforced FIPS 140-3")
	fips140.WithoutEnforcement(func() { os.Exit(m.Run()) })
}

const refusal = "passphrase: Argon2id is not available under enforced FIPS 140-3"

// TestEnforcedFIPS runs TestMain in a process where FIPS 140-3 is enforced.
func TestEnforcedFIPS(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("refused under enforced FIPS 140-3")) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestOpen: a file's passphrase is its line, without the line end, and nothing of it is in an error.
func TestOpen(t *testing.T) {
	const phrase = "canary 7b1c"
	wrap := seal(t, newRoot(t, phrase, fast), "x", "")
	path := filepath.Join(t.TempDir(), "passphrase")
	for _, c := range []struct {
		text string
		perm os.FileMode
		want string // in the error
	}{
		{phrase, 0o600, ""},
		{phrase + "\n", 0o600, ""},
		{phrase + "\r\n", 0o400, ""},
		{phrase + " \n", 0o600, "wrong root key"},
		{phrase + "\n\n", 0o600, "one line"},
		{phrase + "\r", 0o600, "one line"},
		{phrase + "\nmore", 0o600, "one line"},
		{"\n" + phrase, 0o600, "one line"},
		{"\n", 0o600, "empty"},
		{"", 0o600, "empty"},
		{strings.Repeat(phrase, 400), 0o600, "longer"},
		{phrase, 0o640, "permissions"},
	} {
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(c.text), c.perm); err != nil {
			t.Fatal(err)
		}
		r, err := passphrase.Open(path, &fast)
		if err != nil && (!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), phrase)) {
			t.Errorf("%q: the error must name the file and not what it holds: %v", c.text, err)
		}
		if err == nil {
			_, err = r.DecryptWithContext(t.Context(), wrap, nil)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q, %#o: %v, want %q", c.text, c.perm, err, c.want)
		}
	}
	if _, err := passphrase.Open(path+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
