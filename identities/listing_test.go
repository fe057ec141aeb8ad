package identities

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestChangedMeanwhile: nothing is taken from files that are not those that were listed.
func TestChangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	write := func(name, text string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	past := time.Now().Add(-time.Hour)
	for name, change := range map[string]func() error{
		"longer":       func() error { return write("a.json", `{"UserDetailList": []}`) },
		"shorter":      func() error { return os.Truncate(path, 1) },
		"another time": func() error { return os.Chtimes(path, past, past.Add(time.Second)) },
		"longer, unseen": func() error {
			return errors.Join(write("a.json", `{"UserDetailList": []}`), os.Chtimes(path, past, past))
		},
		"one more": func() error { return write("b.json", `{}`) },
		"gone":     func() error { return os.Rename(path, filepath.Join(dir, "c.json")) },
		"another file": func() error {
			return errors.Join(write("new", `{}`), os.Chtimes(filepath.Join(dir, "new"), past, past), os.Rename(filepath.Join(dir, "new"), path))
		},
		"no file at all":  func() error { return os.Remove(path) },
		"no directory":    func() error { return os.RemoveAll(dir) },
		"nothing changed": func() error { return nil },
	} {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), write("a.json", `{}`), os.Chtimes(path, past, past)); err != nil {
			t.Fatal(err)
		}
		listed, err := list(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := listed.read(dir); (err == nil) != (name == "nothing changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
