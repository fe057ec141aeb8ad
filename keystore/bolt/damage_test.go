package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/keystore"
)

// A sample is a file with a history and what it holds. Its names are long, so that a few records make a tree of several levels.
type sample struct {
	file    []byte
	names   []string // of the records, in order
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
	m.names = slices.Sorted(maps.Keys(m.records))
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
	damage, err = m.get(ctx, s)
	if err != nil {
		return 0, err
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

// get compares what Get says of each record, and of the missing.
func (m sample) get(ctx context.Context, s keystore.Store) (damage int, err error) {
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
	return damage, nil
}

// A walked is what a walk met.
type walked struct {
	names  []string
	damage []*keystore.DamageError
}

// walk walks over the records with a prefix.
func (m sample) walk(ctx context.Context, s keystore.Store, prefix string) (walked, error) {
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(m.records)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	return m.follow(keystore.Walk(ctx, s, prefix), want, lastFence)
}

// follow follows a walk up to the name last. It fails if a record is wrong, or missing without a word: each gap has to be told where it is.
func (m sample) follow(seq iter.Seq2[keystore.Record, error], want []string, last string) (walked, error) {
	var w walked
	gap := false // damage was told since the last record
	for r, err := range seq {
		if err != nil {
			d, ok := errors.AsType[*keystore.DamageError](err)
			if !ok || !errors.Is(err, keystore.ErrDamaged) {
				return w, fmt.Errorf("Walk: %w", err)
			}
			w.damage, gap = append(w.damage, d), true
			continue
		}
		if r.Name > last {
			break
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

// A window lists one page after a name and no more, to look at what a place in the file concerns and not at all of it.
type window struct {
	keystore.Store
	after string
	limit int
}

func (w window) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	return w.Store.List(ctx, prefix, max(after, w.after), min(limit, w.limit))
}

// A part of a sample is what one place in its file concerns.
type part struct {
	sample
	first, last string // of the window
	all         bool   // it is too much to read by name each time
}

// concerned returns the part that a region concerns: of a leaf its records and their neighbours, of a free page some, and everything of every other page.
func (m sample) concerned(r region, rnd *rand.Rand) part {
	names := r.names
	switch r.kind {
	case "leaf", "overflow":
	case "free":
		names = m.names[rnd.IntN(len(m.names)):][:1]
	default:
		return part{sample: m, last: lastFence, all: true}
	}
	from, _ := slices.BinarySearch(m.names, slices.Min(names))
	to, _ := slices.BinarySearch(m.names, slices.Max(names))
	p := part{last: m.names[min(to+1, len(m.names)-1)]}
	if from > 1 {
		p.first = m.names[from-2]
	}
	p.records = make(map[string]keystore.Record)
	for _, name := range m.names {
		if name > p.first && name <= p.last {
			p.records[name], p.names = m.records[name], append(p.names, name)
		}
	}
	for _, name := range m.missing {
		if name > p.first && name <= p.last {
			p.missing = append(p.missing, name)
		}
	}
	return p
}

// look opens a file and compares what it holds of the part: by a walk, and by names, or some of them.
func (p part) look(ctx context.Context, file []byte, rnd *rand.Rand) (damage int, err error) {
	snap, err := readSnapshot(bytes.NewReader(file), os.Getpagesize(), false)
	if errors.Is(err, keystore.ErrDamaged) || errors.Is(err, ErrFormat) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	var w keystore.Store = readStore{snapshot: snap}
	if !p.all {
		w = window{w, p.first, len(p.names) + 1}
	}
	seen, err := p.follow(keystore.Walk(ctx, w, ""), p.names, p.last)
	if err != nil {
		return 0, err
	}
	some := p.sample
	if p.all {
		some = sample{records: make(map[string]keystore.Record)}
		for range 25 {
			name := p.names[rnd.IntN(len(p.names))]
			some.records[name] = p.records[name]
			some.missing = append(some.missing, p.missing[rnd.IntN(len(p.missing))])
		}
	}
	damage, err = some.get(ctx, w)
	return damage + len(seen.damage), err
}

// Corruptions are what one test does to a file, over and over, and what came of it. It is safe for concurrent use.
type corruptions struct {
	mu      sync.Mutex
	tried   map[string]int // by kind of page
	noticed map[string]int
}

func (c *corruptions) count(kind string, tried, noticed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried == nil {
		c.tried, c.noticed = make(map[string]int), make(map[string]int)
	}
	c.tried[kind] += tried
	c.noticed[kind] += noticed
}

// report logs the counts and fails where a kind of page was left out.
func (c *corruptions) report(t *testing.T) {
	t.Helper()
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(c.tried)) {
		t.Logf("%-8s %8d tried, %8d noticed", kind, c.tried[kind], c.noticed[kind])
		total += c.tried[kind]
	}
	t.Logf("%-8s %8d tried", "all", total)
	for _, kind := range []string{"meta", "root", "trunk", "branch", "leaf", "overflow", "freelist"} {
		if c.noticed[kind] == 0 {
			t.Errorf("nothing was noticed in a page of kind %s", kind)
		}
	}
	if c.tried["free"] == 0 || c.noticed["free"] > 0 {
		t.Errorf("in free pages %d were tried and %d noticed", c.tried["free"], c.noticed["free"])
	}
}

// A flipped bit anywhere gives what was written, or an error; never another answer, and never none for a record that is there. The full size flips every bit.
func TestFlippedBits(t *testing.T) {
	m := newRing(t)
	if damage, err := m.read(t.Context(), m.file); damage != 0 || err != nil {
		t.Fatalf("whole file: %d errors, %v", damage, err)
	}
	soak := os.Getenv("KMS_SOAK") != ""
	var c corruptions
	work := make(chan region)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			file := slices.Clone(m.file)
			for r := range work {
				m.flip(t, file, r, soak, &c)
			}
		})
	}
	for _, r := range m.regions(t) {
		work <- r
	}
	close(work)
	wg.Wait()
	c.report(t)
}

// flip flips the bits of a region, one at a time.
func (m sample) flip(t *testing.T, file []byte, r region, all bool, c *corruptions) {
	rnd := rand.New(rand.NewPCG(11, r.first))
	pageSize := os.Getpagesize()
	concerned := m.concerned(r, rnd)
	tried, noticed := 0, 0
	defer func() { c.count(r.kind, tried, noticed) }()
	begin, end := int(r.first)*pageSize*8, int(r.first+r.pages)*pageSize*8
	few := r.kind == "leaf" || r.kind == "overflow" || r.kind == "free" // of the few other pages, what they hold is met more often
	for bit := begin; bit < end; bit++ {
		switch {
		case all:
		case !few && bit < begin+8*256:
			bit += rnd.IntN(60)
		default:
			bit += rnd.IntN(8 * pageSize / 6)
		}
		if bit >= end {
			return
		}
		file[bit/8] ^= 1 << (bit % 8)
		damage, err := concerned.look(t.Context(), file, rnd)
		file[bit/8] ^= 1 << (bit % 8)
		if tried++; damage > 0 {
			noticed++
		}
		if err != nil {
			t.Errorf("bit %d of byte %d of %s page %d: %v", bit%8, bit/8%pageSize, r.kind, r.first, err)
			return
		}
	}
}

// A file cut anywhere gives what was written, or an error. The full size cuts it to every length.
func TestTruncations(t *testing.T) {
	m := newRing(t)
	rnd := rand.New(rand.NewPCG(13, 14))
	pageSize := os.Getpagesize()
	used := len(bytes.TrimRight(m.file, "\x00"))
	everything := m.concerned(region{}, rnd)
	var lengths []int
	for n := range used {
		edge := n % pageSize
		if os.Getenv("KMS_SOAK") != "" || edge <= 1 || edge == pageSize-1 || rnd.IntN(2000) == 0 {
			lengths = append(lengths, n)
		}
	}
	work := make(chan int)
	var noticed atomic.Int32
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := range work {
				damage, err := everything.look(t.Context(), m.file[:n], rand.New(rand.NewPCG(15, uint64(n))))
				if err != nil {
					t.Errorf("cut to %d bytes: %v", n, err)
				}
				if damage > 0 {
					noticed.Add(1)
				}
			}
		})
	}
	for _, n := range lengths {
		work <- n
	}
	close(work)
	wg.Wait()
	t.Logf("%d of %d truncations noticed", noticed.Load(), len(lengths))
	if noticed.Load() == 0 {
		t.Error("no truncation was noticed")
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
