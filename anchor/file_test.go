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

func mark(n uint64, id ...byte) anchor.Mark {
	m := anchor.Mark{Number: n}
	copy(m.ID[:], id)
	return m
}

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
	want := func(m anchor.Mark) {
		t.Helper()
		g, err := anchor.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*anchor.File{f, g} {
			if got, err := f.Load(t.Context(), ring); got != m || err != nil {
				t.Errorf("%v, %v, want %v", got, err, m)
			}
		}
	}
	want(anchor.Mark{})
	last := anchor.Mark{}
	for _, m := range []anchor.Mark{mark(3, 1), mark(2, 0xff, 0, 0, 0, 0, 0, 0, 0xff), mark(3), mark(1<<63, 9)} { // what is more, or less, is the ring's affair
		for _, from := range []anchor.Mark{mark(0), mark(3, 9), mark(4, 1), m} {
			if from == last {
				continue
			}
			if err := f.Advance(t.Context(), ring, from, m); !errors.Is(err, anchor.ErrMoved) {
				t.Errorf("from %v, and it is %v: %v", from, last, err)
			}
		}
		want(last)
		if err := f.Advance(t.Context(), ring, last, m); err != nil {
			t.Fatal(err)
		}
		last = m
		want(last)
	}
	if _, err := f.Load(t.Context(), other); !errors.Is(err, anchor.ErrOtherRing) {
		t.Errorf("another ring: %v", err)
	}
	if err := f.Advance(t.Context(), other, last, mark(9)); !errors.Is(err, anchor.ErrOtherRing) {
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
	if err := f.Advance(t.Context(), ring, last, mark(9)); !errors.Is(err, fs.ErrNotExist) {
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
	if err := f.Advance(t.Context(), ring, anchor.Mark{}, mark(1234567, 0xde, 0xad)); err != nil {
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
			t.Errorf("%s: %v, %v", what, n, err)
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
				for { // who is overtaken tries again
					from, err := f.Load(t.Context(), ring)
					if err != nil {
						t.Error(err)
						return
					}
					err = f.Advance(t.Context(), ring, from, mark(from.Number+1, byte(i), byte(n)))
					if err == nil {
						break
					}
					if !errors.Is(err, anchor.ErrMoved) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	f, err := anchor.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := f.Load(t.Context(), ring); err != nil || m.Number != 8*20 {
		t.Errorf("%v, %v: a step was lost", m, err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v, want the file and its lock", left, err)
	}
}

// TestFileBehindALink: an anchor behind a link stays where it is, and the link a link.
func TestFileBehindALink(t *testing.T) {
	real, link := filepath.Join(t.TempDir(), "anchor"), filepath.Join(t.TempDir(), "anchor")
	if _, err := anchor.Create(real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	f, err := anchor.Open(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Advance(t.Context(), ring, anchor.Mark{}, mark(5)); err != nil {
		t.Fatal(err)
	}
	g, err := anchor.Open(real)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := g.Load(t.Context(), ring); err != nil || m != mark(5) {
		t.Errorf("behind the link: %v, %v", m, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", info, err)
	}
	if _, err := anchor.Open(t.TempDir()); err == nil {
		t.Error("a folder is no anchor")
	}
}
