package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// A trailFile is the file of an audit trail, which a ring needs before it is opened, though it writes nothing there until then. Without the file every write fails.
type trailFile struct {
	path string

	mu    sync.Mutex // held while an event is written; guards the rest
	file  *os.File
	fresh bool // nothing was written to file yet
}

// eventStart is how every line of a trail begins.
const eventStart = `{"eventVersion":`

// open opens the file at path to append to it, and makes it if there is none. It refuses a file that holds anything but a trail, since a slip of the keyboard names a
// root key's, which nobody could read any more with an event after it; and a named pipe, which may keep whoever opens it waiting. A line that a full disk or a kill has
// torn stays the one that is spoilt: the first event gets a line of its own.
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
	if err := endLine(file); err != nil { // now that no event is half written
		return errors.Join(err, file.Close())
	}
	old := t.file
	if t.file, t.fresh = file, true; old != nil {
		return old.Close()
	}
	return nil
}

// Write appends to the file. The end that the sink gives to a line which it has torn belongs to the file that has that line.
func (t *trailFile) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	skipped := 0
	if t.fresh && line[0] == '\n' {
		skipped = 1
	}
	n, err := t.file.Write(line[skipped:])
	if n > 0 {
		t.fresh = false
	}
	return n + skipped, err
}

// Close closes the file.
func (t *trailFile) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.file.Close()
}

// holdsTrail looks at the beginning of a file: it is that of an event, maybe behind some that were torn so soon that a line was all they got.
func holdsTrail(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read from: nothing is lost by an error
	for start := bufio.NewReader(f); ; {
		begins, err := start.Peek(len(eventStart))
		torn, _, ended := bytes.Cut(begins, []byte("\n"))
		switch {
		case err != nil && err != io.EOF:
			return err
		case !strings.HasPrefix(eventStart, string(torn)):
			return fmt.Errorf("%s holds something else than events, and is left as it is", path)
		case !ended: // it is an event, or the file ends
			return nil
		}
		_, _ = start.Discard(len(torn) + 1) // which were peeked at
	}
}

// endLine ends the last line of a file that is open to append to, if it was torn.
func endLine(file *os.File) error {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	f, err := os.Open(file.Name())
	if err != nil {
		return err
	}
	defer f.Close() // as above
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = file.WriteString("\n")
	return err
}
