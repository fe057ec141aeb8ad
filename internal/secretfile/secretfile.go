// Package secretfile reads small files that hold a secret and refuses those whose permissions let group or others read or change them. Whose the file is, and who
// may replace it in its directory, it does not check.
package secretfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/claviger/kms/internal/regular"
)

const (
	groupOrOthers      fs.FileMode = 0o077
	groupOrOthersWrite fs.FileMode = 0o022
)

// Read returns what the regular file at path holds, which the caller clears. It refuses a file longer than limit bytes and, on systems with Unix
// permissions, one that group or others may read, write or execute; with shared they may read it, but never write. Links are followed. Errors name the
// path.
func Read(path string, limit int, shared bool) ([]byte, error) {
	f, err := regular.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from: nothing is lost by an error
	if err := check(f, path, shared); err != nil {
		return nil, err
	}
	b := make([]byte, limit+1) // one buffer that never grows, so that no copy of the secret stays behind
	n, err := io.ReadFull(f, b)
	switch {
	case err == nil:
		clear(b)
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		clear(b)
		return nil, err
	}
	return b[:n], nil
}

// check looks at the open file, which cannot be exchanged for another one in between.
func check(f *os.File, path string, shared bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // its mode bits say nothing about who may read
		return nil
	}
	refused := groupOrOthers
	if shared {
		refused = groupOrOthersWrite
	}
	if perm := info.Mode().Perm(); perm&refused != 0 {
		return fmt.Errorf("%s has permissions %#o, which leave it open to other users", path, perm)
	}
	return nil
}
