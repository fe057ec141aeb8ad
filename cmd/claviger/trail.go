package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A trailFile is the file of an audit trail, which a ring needs before it is opened, though it writes nothing there until then. Without the file every write fails.
type trailFile struct {
	path string

	mu   sync.Mutex // held while an event is written; guards file
	file *os.File
}

// eventStart is how every line of a trail begins.
const eventStart = `{"eventVersion":`

// open opens the file at path to append to it, and makes it if there is none. It refuses a file that holds anything but a trail, since a slip of the keyboard names a
// root key's, which nobody could read any more with an event after it; and a named pipe, which may keep whoever opens it waiting.
func (t *trailFile) open(path string) error {
	t.path = path
	return t.reopen()
}

// reopen goes on with the file that is at the path now, since the one that was there may have been moved away. If that fails, it goes on with the old one.
func (t *trailFile) reopen() error {
	info, err := os.Stat(t.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&os.ModeNamedPipe != 0:
		return fmt.Errorf("%s is a named pipe: want a file", t.path)
	case info.Mode().IsRegular() && info.Size() > 0:
		if err := holdsTrail(t.path); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(t.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.file
	if t.file = file; old != nil {
		return old.Close()
	}
	return nil
}

// Write appends to the file.
func (t *trailFile) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.file.Write(line)
}

// Close closes the file.
func (t *trailFile) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.file.Close()
}

// holdsTrail looks at the beginning of a file.
func holdsTrail(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	start := make([]byte, len(eventStart))
	_, err = io.ReadFull(f, start)
	if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if !bytes.Equal(start, []byte(eventStart)) {
		return fmt.Errorf("%s holds something else than events, and is left as it is", path)
	}
	return nil
}
