package secretfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/claviger/kms/internal/secretfile"
)

const content = "canary-0d3f"

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no Unix permissions")
	}
	for _, c := range []struct {
		perm               fs.FileMode
		private, sharedToo bool
	}{
		{0o600, true, true},
		{0o400, true, true},
		{0o700, true, true},
		{0o640, false, true},
		{0o440, false, true},
		{0o644, false, true},
		{0o604, false, true},
		{0o610, false, true},
		{0o660, false, false},
		{0o602, false, false},
		{0o666, false, false},
		{0o777, false, false},
	} {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, content, c.perm)
		for shared, want := range map[bool]bool{false: c.private, true: c.sharedToo} {
			b, err := secretfile.Read(path, 64, shared)
			if (err == nil) != want {
				t.Errorf("%#o, shared %v: error %v, want success %v", c.perm, shared, err, want)
			}
			if err == nil && string(b) != content {
				t.Errorf("%#o, shared %v: read %q", c.perm, shared, b)
			}
			if err != nil && (!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), content)) {
				t.Errorf("%#o: the error must name the file and not its content: %v", c.perm, err)
			}
		}
	}
}

func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := secretfile.Read(dir, 64, true); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := secretfile.Read(filepath.Join(dir, "none"), 64, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
	}
	if _, err := secretfile.Read(os.DevNull, 64, true); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a device: %v", err)
	}
}

func TestLength(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, c := range []struct {
		name string
		n    int
		ok   bool
	}{{"empty", 0, true}, {"below the limit", 15, true}, {"at the limit", 16, true}, {"above the limit", 17, false}, {"far above it", 1 << 20, false}} {
		write(t, path, strings.Repeat("x", c.n), 0o600)
		b, err := secretfile.Read(path, 16, false)
		if (err == nil) != c.ok || err == nil && len(b) != c.n {
			t.Errorf("%s: %d bytes, error %v", c.name, len(b), err)
		}
	}
}

func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), content, 0o600)
	link := filepath.Join(dir, "link") // as mounted secrets are
	if err := os.Symlink("key", link); err != nil {
		t.Fatal(err)
	}
	if b, err := secretfile.Read(link, 64, false); err != nil || string(b) != content {
		t.Errorf("%q, %v", b, err)
	}
}

func write(t *testing.T, path, text string, perm fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil {
		t.Fatal(err)
	}
}
