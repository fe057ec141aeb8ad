package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/claviger/kms/keystore"
)

// What is not a store of ours is refused and left as it is.
func TestForeignFiles(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
	}{
		{"empty file", func(t *testing.T, path string) { writeFile(t, path, nil) }, keystore.ErrDamaged},
		{"text", func(t *testing.T, path string) { writeFile(t, path, []byte("hello")) }, keystore.ErrDamaged},
		{"zeros", func(t *testing.T, path string) { writeFile(t, path, make([]byte, 1<<16)) }, keystore.ErrDamaged},
		{"another program's bbolt file", func(t *testing.T, path string) { makeBolt(t, path, nil, nil) }, ErrFormat},
		{"another program's bbolt file without list of free pages", func(t *testing.T, path string) {
			makeBolt(t, path, &bbolt.Options{NoFreelistSync: true}, nil)
		}, keystore.ErrDamaged}, // and bbolt must not get it for writing, or it scans the file and writes the list
		{"bucket of our name with other content", func(t *testing.T, path string) {
			makeBolt(t, path, nil, func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucket([]byte(headerBucket))
				return errors.Join(err, b.Put([]byte(formatName), []byte(format)))
			})
		}, keystore.ErrDamaged},
		{"newer format", func(t *testing.T, path string) {
			makeBolt(t, path, nil, func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucket([]byte(headerBucket))
				return errors.Join(err, b.Put([]byte(formatName), encodeFrame(formatName, 0, []byte("2"))))
			})
		}, ErrFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			tc.make(t, path)
			before := readFile(t, path)
			if _, err := Open(path, nil); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if _, err := Open(path, &Options{ReadOnly: true}); !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Errorf("for reading: got %v, want ErrDamaged or ErrFormat", err)
			}
			if !bytes.Equal(readFile(t, path), before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, path string
		options    *Options
		want       error
	}{
		{"missing directory", filepath.Join(dir, "none", "store"), nil, os.ErrNotExist},
		{"missing file for reading", filepath.Join(dir, "store"), &Options{ReadOnly: true}, os.ErrNotExist},
		{"directory", dir, &Options{ReadOnly: true}, ErrFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Open(tc.path, tc.options); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("got %v, want %v with the path", err, tc.want)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("failed openings left %v, %v", left, err)
	}
}

// Many who create the same store at the same time agree on one: nobody writes to a file that another has replaced.
func TestCreationRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	var mu sync.Mutex
	created := make(map[string]keystore.Revision)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := Open(path, &Options{LockTimeout: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			rev, err := s.Commit(context.Background(), puts(fmt.Sprint(i), 0))
			if err := errors.Join(err, s.Close()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			created[fmt.Sprint(i)] = rev
		})
	}
	wg.Wait()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for name, rev := range created {
		if r, err := s.Get(t.Context(), name); err != nil || r.Revision != rev {
			t.Errorf("%s: revision %d, %v, want %d", name, r.Revision, err, rev)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v, want the store alone", left, err)
	}
}

func TestReadOnly(t *testing.T) {
	m := newSample(t)
	path := filepath.Join(t.TempDir(), "store")
	writeFile(t, path, m.file)
	var stores []*Store
	for range 2 {
		s, err := Open(path, &Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
	}
	for _, s := range stores {
		if damage, err := m.compareStore(t, s); damage != 0 || err != nil || s.Salvaged() != nil {
			t.Errorf("%d errors, %v, %v", damage, err, s.Salvaged())
		}
		if _, err := s.Commit(t.Context(), puts("a", 0)); !errors.Is(err, keystore.ErrReadOnly) {
			t.Errorf("Commit: got %v, want ErrReadOnly", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(readFile(t, path), m.file) {
		t.Error("the file was changed")
	}
}

// What only a writer needs does not keep a reader from what is whole.
func TestSalvage(t *testing.T) {
	m := newSample(t)
	snap, err := readSnapshot(bytes.NewReader(m.file), os.Getpagesize(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		at     int
		newest bool // whether the newest state must be found
	}{
		{"older meta page", int(1-snap.tx%2)*snap.pageSize + pageHeaderLen + 48, true},
		{"newest meta page", int(snap.tx%2)*snap.pageSize + pageHeaderLen + 48, false},
		{"list of free pages", int(snap.freelist)*snap.pageSize + 8, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			file := slices.Clone(m.file)
			file[tc.at] ^= 4
			writeFile(t, path, file)
			if _, err := Open(path, nil); !errors.Is(err, keystore.ErrDamaged) {
				t.Errorf("for writing: got %v, want ErrDamaged", err)
			}
			s, err := Open(path, &Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.Salvaged(); !errors.Is(err, keystore.ErrDamaged) || !strings.Contains(err.Error(), strings.TrimPrefix(strings.TrimPrefix(tc.name, "older "), "newest ")) {
				t.Errorf("salvaged: %v", err)
			}
			if damage, err := m.compareStore(t, s); tc.newest && (damage != 0 || err != nil) {
				t.Errorf("%d errors, %v", damage, err)
			}
			page, err := s.List(t.Context(), "", "", keystore.MaxListLimit)
			if d := len(page) - len(m.records); err != nil || d < -1 || d > 1 {
				t.Errorf("%d records of about %d, %v", len(page), len(m.records), err)
			}
		})
	}
}

// A damaged file gives right answers or errors, for readers and for writers, and never ends the process.
func TestDamagedFiles(t *testing.T) {
	m := newSample(t)
	used := len(bytes.TrimRight(m.file, "\x00"))
	type damage struct {
		name string
		do   func(file []byte) []byte
	}
	var damages []damage
	for _, length := range []int{1, 100, 4095, 4096, 8191, 8192, 12288, 16384, used / 2, used - 4096, used - 1} {
		damages = append(damages, damage{fmt.Sprintf("cut to %d bytes", length), func(file []byte) []byte { return file[:length] }})
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	flips := 40
	if os.Getenv("KMS_SOAK") != "" {
		flips = 20_000
	}
	for range flips {
		bit := rnd.IntN(used * 8)
		damages = append(damages, damage{fmt.Sprintf("bit %d flipped", bit), func(file []byte) []byte {
			file[bit/8] ^= 1 << (bit % 8)
			return file
		}})
	}
	for page := 0; page < used/4096; page += 3 {
		damages = append(damages,
			damage{fmt.Sprintf("page %d zeroed", page), func(file []byte) []byte { clear(file[page*4096:][:4096]); return file }},
			damage{fmt.Sprintf("page %d random", page), func(file []byte) []byte {
				for i := range 4096 {
					file[page*4096+i] = byte(rnd.Uint32())
				}
				return file
			}})
	}
	dir := t.TempDir()
	for i, d := range damages {
		path := filepath.Join(dir, fmt.Sprint(i))
		writeFile(t, path, d.do(slices.Clone(m.file)))
		if err := m.use(t, path); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// use opens the file, compares what it says, changes some records, and compares again.
func (m sample) use(t *testing.T, path string) error {
	s, err := Open(path, nil)
	if errors.Is(err, keystore.ErrDamaged) || errors.Is(err, ErrFormat) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	defer func() { _ = s.Close() }()
	if _, err := m.compareStore(t, s); err != nil {
		return err
	}
	m.records, m.missing = maps.Clone(m.records), nil
	for i, name := range slices.Sorted(maps.Keys(m.records)) {
		c := keystore.Change{Op: keystore.Put, Name: name, Value: []byte("changed"), Revision: m.records[name].Revision}
		if i%2 == 1 {
			c = keystore.Change{Op: keystore.Delete, Name: name, Revision: c.Revision}
		}
		rev, err := s.Commit(t.Context(), []keystore.Change{c})
		switch {
		case errors.Is(err, keystore.ErrUnknown):
			return nil // and the store has failed
		case errors.Is(err, keystore.ErrDamaged):
			continue
		case err != nil:
			return fmt.Errorf("Commit: %w", err)
		case c.Op == keystore.Delete:
			delete(m.records, name)
			m.missing = append(m.missing, name)
		default:
			m.records[name] = keystore.Record{Name: name, Value: c.Value, Revision: rev}
		}
	}
	_, err = m.compareStore(t, s)
	return err
}

// A file cut while it is open: readers and writers at the same time get answers or errors, and Close still frees the file.
func TestCutWhileOpen(t *testing.T) {
	m := newSample(t)
	for _, length := range []int64{0, 1, 4096, 8192, 20_000, int64(len(m.file)) / 2} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			writeFile(t, path, m.file)
			s, err := Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, length); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					m.readBeside(t, s, "new/")
				})
			}
			wg.Go(func() {
				for i := range 20 {
					_, err := s.Commit(t.Context(), puts(fmt.Sprint("new/", i), 0))
					if err != nil && !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrUnknown) && !errors.Is(err, keystore.ErrFailed) {
						t.Errorf("Commit: %v", err)
					}
				}
			})
			wg.Wait()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if _, err := Open(path, nil); errors.Is(err, ErrLocked) {
				t.Error("the file is still locked")
			}
		})
	}
}

// readBeside reads everything while somebody writes under the prefix others. What is read is right, or an error.
func (m sample) readBeside(t *testing.T, s *Store, others string) {
	t.Helper()
	accept := func(r keystore.Record, err error) {
		t.Helper()
		switch w := m.records[r.Name]; {
		case errors.Is(err, keystore.ErrDamaged), errors.Is(err, keystore.ErrFailed):
		case err != nil:
			t.Error(err)
		case strings.HasPrefix(r.Name, others):
		case r.Name != w.Name || r.Revision != w.Revision || !bytes.Equal(r.Value, w.Value):
			t.Errorf("wrong record %.20q of revision %d", r.Name, r.Revision)
		}
	}
	for name := range m.records {
		r, err := s.Get(t.Context(), name)
		accept(r, err)
		page, err := s.List(t.Context(), "", name, 3)
		if accept(keystore.Record{}, err); err == nil && len(page) > 0 && page[0].Name <= name {
			t.Errorf("List after %.20q begins with %.20q", name, page[0].Name)
		}
		for _, r := range page {
			accept(r, nil)
		}
	}
}

func (m sample) compareStore(t *testing.T, s *Store) (damage int, err error) {
	return m.compare(t.Context(), s)
}

func makeBolt(t *testing.T, path string, o *bbolt.Options, fill func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if fill != nil {
			return fill(tx)
		}
		b, err := tx.CreateBucket([]byte("things"))
		return errors.Join(err, b.Put([]byte("a"), []byte("b")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
