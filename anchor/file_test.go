package anchor_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms/anchor"
)

var ring, other = strings.Repeat("a", 32), strings.Repeat("b", 32)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "anchor")
	if _, err := anchor.Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	f, err := anchor.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anchor.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("twice: %v", err)
	}
	if err := os.Symlink("nowhere", path+".link"); err != nil {
		t.Fatal(err)
	}
	if _, err := anchor.Create(path + ".link"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a link: %v", err)
	}
	want := func(n uint64) {
		t.Helper()
		g, err := anchor.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*anchor.File{f, g} {
			if got, err := f.Load(t.Context(), ring); got != n || err != nil {
				t.Errorf("%d, %v, want %d", got, err, n)
			}
		}
	}
	want(0)
	for _, n := range []uint64{3, 2, 3, 1 << 63, 7} {
		if err := f.Advance(t.Context(), ring, n); err != nil {
			t.Fatal(err)
		}
	}
	want(1 << 63)
	if _, err := f.Load(t.Context(), other); !errors.Is(err, anchor.ErrOtherRing) {
		t.Errorf("another ring: %v", err)
	}
	if err := f.Advance(t.Context(), other, 9); !errors.Is(err, anchor.ErrOtherRing) {
		t.Errorf("another ring: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(t.Context(), ring); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a lost anchor: %v, want an error and not zero", err)
	}
	if err := f.Advance(t.Context(), ring, 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a lost anchor: %v", err)
	}
}

// TestDamagedFile: every cut and every flipped bit is an error.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "anchor")
	f, err := anchor.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Advance(t.Context(), ring, 1234567); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Load(t.Context(), ring); !errors.Is(err, anchor.ErrDamaged) && !errors.Is(err, anchor.ErrOtherRing) {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
	for i := range whole {
		try(fmt.Sprintf("cut to %d", i), whole[:i])
		for bit := range 8 {
			text := append([]byte(nil), whole...)
			text[i] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d", bit, i), text)
		}
	}
	try("longer", append(whole, ' '))
}

func TestConcurrentAdvance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "anchor")
	if _, err := anchor.Create(path); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			f, err := anchor.Open(path) // as another process would
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 20 {
				mine := uint64(n*8 + i + 1)
				if err := f.Advance(t.Context(), ring, mine); err != nil {
					t.Error(err)
				}
				if now, err := f.Load(t.Context(), ring); err != nil || now < mine {
					t.Errorf("%d, %v, after Advance to %d", now, err, mine)
				}
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v, want the file and its lock", left, err)
	}
}
