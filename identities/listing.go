package identities

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/regular"
)

// Limits of what is read.
const (
	maxFile  = 64 << 20  // bytes
	maxBytes = 256 << 20 // of all files
)

// A listing is which files there are, by name, and how they look from outside.
type listing []file

type file struct {
	path string
	info fs.FileInfo // of what links lead to
}

// list looks at a file, or at the .json files of a directory.
func list(path string) (listing, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return listing{{path, info}}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var l listing
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		f := file{path: filepath.Join(path, e.Name())}
		if f.info, err = os.Stat(f.path); err != nil {
			return nil, err
		}
		l = append(l, f)
	}
	if l == nil {
		return nil, fmt.Errorf("%s has no .json file; one with {} in it says that there is nobody", path)
	}
	return l, nil
}

// same reports whether two listings look the same.
func (l listing) same(other listing) bool {
	return slices.EqualFunc(l, other, func(a, b file) bool {
		return a.path == b.path && os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() && a.info.ModTime().Equal(b.info.ModTime())
	})
}

// missing returns the path of a file that the other listing does not have, or "".
func (l listing) missing(other listing) string {
	for _, f := range l {
		if !slices.ContainsFunc(other, func(o file) bool { return o.path == f.path }) {
			return f.path
		}
	}
	return ""
}

// read reads the files, all as they were listed: nothing is taken from files that are being changed.
func (l listing) read(path string) ([]*source, error) {
	var total int64
	for _, f := range l {
		if total += f.info.Size(); total > maxBytes {
			return nil, fmt.Errorf("%s holds more than %d MiB", path, maxBytes>>20)
		}
	}
	var sources []*source
	for _, f := range l {
		text, err := f.read()
		if err != nil {
			return nil, err
		}
		sources = append(sources, &source{name: f.path, text: text})
	}
	switch after, err := list(path); {
	case err != nil:
		return nil, err
	case !after.same(l):
		return nil, errChanged
	}
	return sources, nil
}

var errChanged = errors.New("the files were changed while they were read")

func (f file) read() (string, error) {
	open, err := regular.Open(f.path, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer open.Close() // only read from: nothing is lost by an error
	if f.info.Size() > maxFile {
		return "", fmt.Errorf("%s is longer than %d MiB", f.path, maxFile>>20)
	}
	var text strings.Builder
	text.Grow(int(f.info.Size()))
	_, err = io.Copy(&text, io.LimitReader(open, f.info.Size()+1)) // a byte more is a change that the next listing shows
	return text.String(), err
}
