package regular_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/claviger/kms/internal/regular"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, []byte("text"), 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		f, err := regular.Open(name, os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("more"); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	missing := filepath.Join(dir, "none")
	if _, err := regular.Open(missing, os.O_RDWR|os.O_CREATE); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a missing file was made")
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	for what, path := range noFiles(t) {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR} {
			if _, err := regular.Open(path, flag); !errors.Is(err, regular.ErrNot) {
				t.Errorf("%s, flag %d: %v", what, flag, err)
			}
		}
	}
}
