package audit

import (
	"context"
	"io"
	"sync"
)

// maxKeptBuffer is the longest buffer that a JSON sink keeps for the next event; one that a large policy made longer is dropped.
const maxKeptBuffer = 64 << 10

// JSON returns a sink that writes every event to w as one line, the record of [Event.AppendJSON], with one call of Write at a time. An error of w, or a
// write of less than the line, is Append's error. If a part of a line was written the next event begins on a new line, so that one failure spoils one
// line. The event is where w puts it: a sink that must outlive a crash needs a w that syncs. It panics if w is nil.
func JSON(w io.Writer) Sink {
	if w == nil {
		panic("audit: JSON of a nil writer")
	}
	return &lines{w: w}
}

type lines struct {
	w io.Writer

	mu     sync.Mutex // guards the rest and the order of writes
	buffer []byte
	torn   bool // the last line has no end
}

func (l *lines) Append(_ context.Context, e *Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.buffer[:0]
	if l.torn {
		line = append(line, '\n')
	}
	line = append(e.AppendJSON(line), '\n')
	if cap(line) <= maxKeptBuffer {
		l.buffer = line
	}
	n, err := l.w.Write(line)
	n = min(max(n, 0), len(line))
	if n > 0 {
		l.torn = line[n-1] != '\n'
	}
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}
