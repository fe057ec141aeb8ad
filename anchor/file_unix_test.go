//go:build unix

package anchor_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/claviger/kms/anchor"
)

// TestOpenRefusesWhatIsNoFile: nobody waits for the other end of a pipe, or reads a device until the memory is full. A long file is not read to its end either.
func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe, long := filepath.Join(dir, "pipe"), filepath.Join(dir, "long")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(long, nil, 0o600), os.Truncate(long, 1<<40)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", dir} {
		if _, err := anchor.Open(path); err == nil || errors.Is(err, anchor.ErrDamaged) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := anchor.Open(long); !errors.Is(err, anchor.ErrDamaged) {
		t.Errorf("a long file: %v", err)
	}
}
