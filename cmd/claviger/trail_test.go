package main

import (
	"errors"
	"os"
	"testing"
)

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
