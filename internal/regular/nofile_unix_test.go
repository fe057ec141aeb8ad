//go:build unix

package regular_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// noFiles returns paths of what is no file. Nobody opens the other end of the pipe.
func noFiles(t *testing.T) map[string]string {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"a directory": dir, "a pipe": pipe, "a device": os.DevNull}
}
