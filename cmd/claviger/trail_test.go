package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/audit"
)

// A cutWriter writes so many bytes of a line, and then fails as a full disk does; a negative number is all of it.
type cutWriter struct {
	*trailFile
	most int
}

func (w *cutWriter) Write(line []byte) (int, error) {
	if w.most < 0 || w.most >= len(line) {
		return w.trailFile.Write(line)
	}
	if w.most == 0 {
		return 0, errors.New("no space left on device")
	}
	n, err := w.trailFile.Write(line[:w.most])
	return n, errors.Join(err, errors.New("no space left on device"))
}

// TestTornTrail: a line that was torn, wherever, spoils itself alone: neither the event behind it, nor the file that takes the old one's place, nor the next start.
func TestTornTrail(t *testing.T) {
	event := &audit.Event{Name: "ListKeys", Type: audit.APICall, Time: time.Now()}
	length := len(event.AppendJSON(nil))
	for _, events := range []int{0, 2} { // that are whole, before
		for _, most := range []int{0, 1, len(eventStart) - 1, len(eventStart), 100, length} {
			s := scene{t: t, dir: t.TempDir()}
			trail := &cutWriter{new(trailFile), -1}
			sink := audit.JSON(trail)
			append := func(fails bool) {
				t.Helper()
				if err := sink.Append(t.Context(), event); (err != nil) != fails {
					t.Errorf("%d whole, %d bytes: %v", events, most, err)
				}
			}
			wants := func(name string, whole int) {
				t.Helper()
				for line := range strings.Lines(s.read(name)) {
					if json.Valid([]byte(line)) && strings.HasSuffix(line, "\n") {
						whole--
					} else if !strings.HasPrefix(string(event.AppendJSON(nil)), strings.TrimSuffix(line, "\n")) {
						t.Errorf("%d whole, %d bytes: %s has %q", events, most, name, line)
					}
				}
				if whole != 0 {
					t.Errorf("%d whole, %d bytes: %s lacks %d: %q", events, most, name, whole, s.read(name))
				}
			}
			ok(t, trail.open(s.path("trail")))
			for range events {
				append(false)
			}
			trail.most = most
			append(true)
			trail.most = -1
			ok(t, trail.reopen()) // of the same file
			append(false)
			trail.most = most
			append(true)
			trail.most = -1
			ok(t, os.Rename(s.path("trail"), s.path("trail.1")))
			ok(t, trail.reopen()) // of a new one
			append(false)
			append(false)
			ok(t, trail.reopen())
			ok(t, trail.Close())
			lines := strings.Count(s.read("trail"), "\n")
			if wants("trail", 2); lines != 2 {
				t.Errorf("%d whole, %d bytes: %q", events, most, s.read("trail"))
			}

			trail = &cutWriter{new(trailFile), -1} // as the next start has
			ok(t, trail.open(s.path("trail.1")))
			sink = audit.JSON(trail)
			append(false)
			ok(t, trail.Close())
			whole := events + 2
			if most == length { // only the end of the line was missing
				whole += 2
			}
			wants("trail.1", whole)
		}
	}
}

// TestOtherFilesAreNoTrail: a file that somebody may miss takes no events.
func TestOtherFilesAreNoTrail(t *testing.T) {
	s := scene{t: t, dir: t.TempDir()}
	for _, text := range []string{"x", "x\n", "{}\n", "{\n  \"credentials\": []\n}\n", "\n\n{\"eventV\nx", `{"eventName":`, `{"eventVersion" :`, `{"eventVersion"` + "\n:", strings.Repeat("\n", 9999) + "x"} {
		s.write("file", text)
		if err := new(trailFile).open(s.path("file")); err == nil || !strings.Contains(err.Error(), "holds something else than events") {
			t.Errorf("%.20q: %v", text, err)
		}
		if s.read("file") != text {
			t.Errorf("%.20q was changed", text)
		}
	}
}

// TestTrailReopens: a trail goes on where its path leads to, leaves nothing open, and stays where it is if that cannot be.
func TestTrailReopens(t *testing.T) {
	t.Parallel()
	s := scene{t: t, dir: t.TempDir()}
	event := eventStart + "}\n"
	trail := new(trailFile)
	ok(t, trail.open(s.path("trail")))
	first := trail.file
	must(trail.Write([]byte(event)))(t)
	ok(t, os.Rename(s.path("trail"), s.path("trail.1")))
	must(trail.Write([]byte(event)))(t)
	ok(t, trail.reopen())
	must(trail.Write([]byte(event)))(t)
	if s.read("trail.1") != event+event || s.read("trail") != event {
		t.Errorf("%q, then %q", s.read("trail.1"), s.read("trail"))
	}
	if _, err := first.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the old file is open: %v", err)
	}
	ok(t, os.Rename(s.path("trail"), s.path("trail.2")))
	s.write("trail", "something else")
	if err := trail.reopen(); err == nil {
		t.Error("went on in a file that is no trail")
	}
	must(trail.Write([]byte(event)))(t)
	if s.read("trail.2") != event+event || s.read("trail") != "something else" {
		t.Errorf("%q, and %q", s.read("trail.2"), s.read("trail"))
	}
	ok(t, trail.Close())
}
