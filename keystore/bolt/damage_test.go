package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms/keystore"
)

// A sample is a file with a history and what it holds. Its names are long, so that a few records make a tree of several levels.
type sample struct {
	file    []byte
	records map[string]keystore.Record
	missing []string
}

func sampleName(i int) string { return fmt.Sprintf("%s/%03d", strings.Repeat("n", 600), i) }

func newSample(t *testing.T) sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	m := sample{records: make(map[string]keystore.Record)}
	for step := range 150 {
		name := sampleName(2 * rnd.IntN(40))
		if step%25 == 0 {
			name = fmt.Sprint("short/", step)
		}
		value := make([]byte, rnd.IntN(200))
		if step == 80 {
			value = make([]byte, 9000) // more than one page
		}
		for i := range value {
			value[i] = byte(rnd.Uint32())
		}
		c := keystore.Change{Op: keystore.Put, Name: name, Value: value, Revision: m.records[name].Revision}
		if c.Revision != 0 && rnd.IntN(3) == 0 {
			c = keystore.Change{Op: keystore.Delete, Name: name, Revision: c.Revision}
		}
		rev, err := s.Commit(t.Context(), []keystore.Change{c})
		if err != nil {
			t.Fatal(err)
		}
		if c.Op == keystore.Delete {
			delete(m.records, name)
		} else {
			m.records[name] = keystore.Record{Name: name, Value: value, Revision: rev}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 81 {
		if _, ok := m.records[sampleName(i)]; !ok {
			m.missing = append(m.missing, sampleName(i))
		}
	}
	if m.file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return m
}

// A readStore reads a snapshot as the store does, without a file.
type readStore struct {
	*snapshot
	keystore.Store // has no Commit and no Close
}

func (s readStore) Get(_ context.Context, name string) (keystore.Record, error) {
	frame, err := s.find(name)
	if err != nil {
		return keystore.Record{}, err
	}
	if frame == nil {
		return keystore.Record{}, keystore.ErrNotFound
	}
	return decodeRecord(name, frame)
}

func (s readStore) List(_ context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	return s.list(nil, prefix, after, limit)
}

// same fails unless got is the record of that name.
func (m sample) same(got keystore.Record, name string) error {
	want, ok := m.records[name]
	if !ok || got.Name != name || got.Revision != want.Revision || !bytes.Equal(got.Value, want.Value) {
		return fmt.Errorf("...%q: wrong record ...%q of revision %d, want %d", tail(name), tail(got.Name), got.Revision, want.Revision)
	}
	return nil
}

func tail(name string) string { return name[max(0, len(name)-12):] }

// compare fails if any answer is wrong, and counts the errors. An error that is not ErrDamaged or ErrNotFound is wrong too.
func (m sample) compare(ctx context.Context, s keystore.Store) (damage int, err error) {
	for name := range m.records {
		got, err := s.Get(ctx, name)
		if errors.Is(err, keystore.ErrDamaged) {
			damage++
			continue
		}
		if err == nil {
			err = m.same(got, name)
		}
		if err != nil {
			return 0, fmt.Errorf("Get: %w", err)
		}
	}
	for _, name := range m.missing {
		_, err := s.Get(ctx, name)
		if errors.Is(err, keystore.ErrDamaged) {
			damage++
			continue
		}
		if !errors.Is(err, keystore.ErrNotFound) {
			return 0, fmt.Errorf("Get of the missing ...%q: %w", tail(name), cmp.Or(err, errors.New("found")))
		}
	}
	want := slices.Sorted(maps.Keys(m.records))
	for i, after := range append([]string{""}, want...) {
		page, err := s.List(ctx, "", after, 3)
		d, isDamage := errors.AsType[*keystore.DamageError](err)
		switch {
		case isDamage && errors.Is(err, keystore.ErrDamaged):
			damage++
			if d.Resume != "" && (d.Resume <= after || len(page) > 0 && d.Resume < page[len(page)-1].Name || keystore.ValidateName(d.Resume) != nil) {
				return 0, fmt.Errorf("List after record %d would go on after %q", i, d.Resume)
			}
		case err != nil:
			return 0, fmt.Errorf("List after record %d: %w", i, err)
		case len(page) != min(3, len(want)-i):
			return 0, fmt.Errorf("List after record %d: %d records", i, len(page))
		}
		for j, r := range page {
			if err := m.same(r, want[i+j]); err != nil {
				return 0, fmt.Errorf("List after record %d: %w", i, err)
			}
		}
	}
	seen, err := m.walk(ctx, s, "")
	if err != nil {
		return 0, err
	}
	return damage + len(seen.damage), nil
}

// A walked is what a walk met.
type walked struct {
	names  []string
	damage []*keystore.DamageError
}

// walk walks over the records with a prefix. It fails if a record is wrong, or missing without a word: each gap has to be told where it is.
func (m sample) walk(ctx context.Context, s keystore.Store, prefix string) (walked, error) {
	var w walked
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(m.records)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	gap := false // damage was told since the last record
	for r, err := range keystore.Walk(ctx, s, prefix) {
		if err != nil {
			d, ok := errors.AsType[*keystore.DamageError](err)
			if !ok || !errors.Is(err, keystore.ErrDamaged) {
				return w, fmt.Errorf("Walk: %w", err)
			}
			w.damage, gap = append(w.damage, d), true
			continue
		}
		i, found := slices.BinarySearch(want, r.Name)
		if !found || i > 0 && !gap {
			return w, fmt.Errorf("Walk: ...%q after ...%q, %d records are missing and no damage told", tail(r.Name), tail(lastOf(w.names)), i)
		}
		if err := m.same(r, r.Name); err != nil {
			return w, fmt.Errorf("Walk: %w", err)
		}
		w.names, want, gap = append(w.names, r.Name), want[i+1:], false
	}
	if len(want) > 0 && !gap {
		return w, fmt.Errorf("Walk: the last %d records are missing and no damage told", len(want))
	}
	return w, nil
}

func lastOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

// read compares what the bytes of a file hold; a file that cannot be opened is one error.
func (m sample) read(ctx context.Context, file []byte) (damage int, err error) {
	s, err := readSnapshot(bytes.NewReader(file), os.Getpagesize(), false)
	if errors.Is(err, keystore.ErrDamaged) || errors.Is(err, ErrFormat) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	return m.compare(ctx, readStore{snapshot: s})
}

// A flipped bit anywhere gives what was written, or an error; never another answer, and never none for a record that is there.
// etcd-io/bbolt#335 and #446: a damaged file that crashed who opened it.
func TestFlippedBits(t *testing.T) {
	m := newSample(t)
	if damage, err := m.read(t.Context(), m.file); damage != 0 || err != nil {
		t.Fatalf("whole file: %d errors, %v", damage, err)
	}
	used := len(bytes.TrimRight(m.file, "\x00"))
	t.Logf("%d bytes, %d records", used, len(m.records))
	noticed := 0
	step := 2003 // a prime, so that every place in a structure is met
	if os.Getenv("KMS_SOAK") != "" {
		step = 1
	}
	for bit := 0; bit < used*8; bit += step {
		m.file[bit/8] ^= 1 << (bit % 8)
		damage, err := m.read(t.Context(), m.file)
		m.file[bit/8] ^= 1 << (bit % 8)
		if err != nil {
			t.Fatalf("bit %d of byte %d of page %d: %v", bit%8, bit/8%os.Getpagesize(), bit/8/os.Getpagesize(), err)
		}
		if damage > 0 {
			noticed++
		}
	}
	t.Logf("%d of %d flips noticed", noticed, used*8/step)
	if noticed == 0 {
		t.Error("no flip was noticed")
	}
}

// A pointer that leads to any other page of the file, an older copy of the right one, the page above or the page itself, is noticed.
func TestMisledPointers(t *testing.T) {
	m := newSample(t)
	s, err := readSnapshot(bytes.NewReader(m.file), os.Getpagesize(), false)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.readNode(s.root)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.seek(root, []byte(recordsBucket))
	if err != nil {
		t.Fatal(err)
	}
	_, at, _ := root.span(c.path[0].i)
	pointers := append(branchPointers(t, s, order.Uint64(s.records.b)), int(s.root)*s.pageSize+at)
	if len(pointers) < 8 || s.pages < 20 {
		t.Fatalf("%d pointers and %d pages are too few for a test", len(pointers), s.pages)
	}
	noticed := 0
	for _, at := range pointers {
		right := order.Uint64(m.file[at:])
		for page := range s.pages {
			order.PutUint64(m.file[at:], page)
			damage, err := m.read(t.Context(), m.file)
			if err != nil {
				t.Errorf("pointer to page %d led to %d: %v", right, page, err)
			}
			if damage > 0 {
				noticed++
			} else if page != right {
				t.Errorf("pointer to page %d led to %d, and nobody noticed", right, page)
			}
		}
		order.PutUint64(m.file[at:], right)
	}
	t.Logf("%d of %d misled pointers noticed", noticed, len(pointers)*int(s.pages-1))
}

// branchPointers returns where in the file the page ids below a branch stand.
func branchPointers(t *testing.T, s *snapshot, id uint64) []int {
	t.Helper()
	n, err := s.readNode(id)
	if err != nil {
		t.Fatal(err)
	}
	var pointers []int
	for i := 0; !n.leaf && i < n.n; i++ {
		pointers = append(pointers, int(id)*s.pageSize+pageHeaderLen+i*elementLen+8)
		pointers = append(pointers, branchPointers(t, s, n.child(i))...)
	}
	return pointers
}
