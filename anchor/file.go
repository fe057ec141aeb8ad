package anchor

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/claviger/kms/internal/regular"
)

var _ Anchor = (*File)(nil)

// A File is an [Anchor] in a file of one line:
//
//	claviger-anchor-v1 <ring id, or - before the first Advance> <number> <id, 16 hex digits> <CRC-32C of what is before, 8 hex digits>
//
// It is replaced whole with each mark. A second file beside it, with ".lock" after its name, keeps processes from each other.
type File struct {
	path string     // of the file itself, behind links
	mu   sync.Mutex // held while the file is replaced, since locks of files are between processes
}

const (
	fileVersion = "claviger-anchor-v1"
	noRing      = "-"
	maxFileLen  = 256
)

// Create makes the file of a new anchor, readable and writable by its owner only. It fails with an error that matches [io/fs.ErrExist] if there is anything at path.
// When it returns without an error the file is on stable storage; otherwise none is left.
func Create(path string) (*File, error) {
	next, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	if err := errors.Join(write(next, noRing, Mark{}), syncDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("anchor: create %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return &File{path: path}, nil
}

// Open opens the file of an anchor that [Create] has made. A file that is missing is an error that matches [io/fs.ErrNotExist]: an anchor that begins anew guards
// nothing. Where path is a link, the file is the one that it leads to now.
func Open(path string) (*File, error) {
	behind, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("anchor: open %s: %w", path, err)
	}
	f := &File{path: behind}
	if _, _, err := f.read(); err != nil {
		return nil, fmt.Errorf("anchor: open %s: %w", path, err)
	}
	return f, nil
}

// Load implements [Anchor].
func (f *File) Load(ctx context.Context, ring string) (Mark, error) {
	if err := ctx.Err(); err != nil {
		return Mark{}, err
	}
	m, err := f.load(ring)
	if err != nil {
		return Mark{}, fmt.Errorf("anchor: %s: %w", f.path, err)
	}
	return m, nil
}

func (f *File) load(ring string) (Mark, error) {
	of, m, err := f.read()
	if err == nil && of != ring && of != noRing {
		return Mark{}, ErrOtherRing
	}
	return m, err
}

// Advance implements [Anchor].
func (f *File) Advance(ctx context.Context, ring string, from, to Mark) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := locked(f.path+".lock", func() error {
		now, err := f.load(ring)
		if err == nil && now != from {
			err = ErrMoved
		}
		if err != nil {
			return err
		}
		return f.replace(ring, to)
	})
	if err != nil {
		return fmt.Errorf("anchor: %s: %w", f.path, err)
	}
	return nil
}

func (f *File) read() (ring string, m Mark, err error) {
	line, err := f.line()
	if err != nil {
		return "", Mark{}, err
	}
	var version string
	var id []byte
	var sum uint32
	_, err = fmt.Sscanf(line, "%s %s %d %x %x\n", &version, &ring, &m.Number, &id, &sum)
	if err != nil || copy(m.ID[:], id) != len(m.ID) || line != fileLine(ring, m) {
		return "", Mark{}, ErrDamaged
	}
	return ring, m, nil
}

// line returns the text of the file; of a longer file so much that it is no line of an anchor.
func (f *File) line() (string, error) {
	file, err := regular.Open(f.path, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFileLen+1))
	return string(text), errors.Join(err, file.Close())
}

func fileLine(ring string, m Mark) string {
	line := fmt.Sprintf("%s %s %d %x", fileVersion, ring, m.Number, m.ID)
	return fmt.Sprintf("%s %08x\n", line, crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli)))
}

// replace writes the file anew: whole beside it, then in its place, so that a crash leaves the old or the new one.
func (f *File) replace(ring string, m Mark) (err error) {
	if strings.ContainsAny(ring, " \n") || ring == "" {
		return fmt.Errorf("ring id %q: want 32 hex digits", ring)
	}
	dir := filepath.Dir(f.path)
	next, err := os.CreateTemp(dir, filepath.Base(f.path)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name())
		}
	}()
	if err := write(next, ring, m); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), f.path); err != nil {
		return err
	}
	return syncDir(dir)
}

// write writes a new file, and closes it.
func write(f *os.File, ring string, m Mark) error {
	_, err := f.WriteString(fileLine(ring, m))
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
