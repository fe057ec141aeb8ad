// Package regular opens files, and nothing else that a path may name: whoever opens a named pipe waits for its other end, and what is read from a device may have none.
package regular

import (
	"errors"
	"io/fs"
	"os"
)

// ErrNot says that a path names a directory, a named pipe, a device or the like.
var ErrNot = errors.New("not a regular file")

// Open opens the regular file at path, which must exist, with a flag of [os.OpenFile]. Links are followed. Errors are of type [*fs.PathError], and of anything else
// than a regular file they match [ErrNot].
func Open(path string, flag int) (*os.File, error) {
	info, err := os.Stat(path) // before it is opened too, which might wait
	if err == nil {
		err = check(path, info)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag&^os.O_CREATE, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil { // of what is open, which cannot be exchanged for something else any more
		err = check(path, info)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

func check(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: path, Err: ErrNot}
	}
	return nil
}
