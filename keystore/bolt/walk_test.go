package bolt

import (
	"bytes"
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

// newRing returns a file as a keyring with 100 keys leaves it: names and sizes of its items, some of them changed and deleted again, in a tree of three levels.
func newRing(t *testing.T) sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	m := sample{records: make(map[string]keystore.Record)}
	commit := func(changes ...keystore.Change) {
		t.Helper()
		rev, err := s.Commit(t.Context(), changes)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if delete(m.records, c.Name); c.Op == keystore.Put {
				m.records[c.Name] = keystore.Record{Name: c.Name, Value: c.Value, Revision: rev}
			} else {
				m.missing = append(m.missing, c.Name)
			}
		}
	}
	put := func(name string, size int) keystore.Change {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(rnd.Uint32())
		}
		return keystore.Change{Op: keystore.Put, Name: name, Value: value, Revision: m.records[name].Revision}
	}
	commit(put("ring", 240), put("domain/0123456789abcdef", 180))
	for i := range 100 {
		hex := func(n int) string { return fmt.Sprintf("%0*x", n, rnd.Uint64()) }
		id := hex(8) + "-" + hex(16)[:4] + "-4" + hex(16)[:3] + "-a" + hex(16)[:3] + "-" + hex(16)[:12]
		material := hex(16) + hex(16) + hex(16) + hex(16)
		size := 500 + rnd.IntN(300)
		if i%20 == 7 {
			size = 6000 // a long policy: more than one page
		}
		commit(put("key/"+id, size), put("ver/"+id+"/"+material, 270), put("vidx/"+id+"/0000000000000001", 160), put("alias/app/"+hex(8), 130),
			put("due/20270"+fmt.Sprint(1+i%9)+"01/"+id, 90))
		m.missing = append(m.missing, "key/"+id+"0", "ver/"+id)
		if i%10 == 3 {
			again := put("key/"+id, size+20)
			due := "due/20270" + fmt.Sprint(1+i%9) + "01/" + id
			commit(again, keystore.Change{Op: keystore.Delete, Name: due, Revision: m.records[due].Revision})
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.names = slices.Sorted(maps.Keys(m.records))
	if m.file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return m
}

// A region is a page of a file, or those that one node takes, and what depends on it.
type region struct {
	kind  string
	first uint64
	pages uint64
	names []string // the records that cannot be reached without it
}

// regions returns what every page of a file is, in the order of the file. The first page of a node is apart from those behind it, its overflow.
func (m sample) regions(t *testing.T) []region {
	t.Helper()
	s, err := readSnapshot(bytes.NewReader(m.file), os.Getpagesize(), false)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[uint64]region{0: {kind: "meta", names: m.names}, 1: {kind: "meta", names: m.names}, s.root: {kind: "root", names: m.names}, s.freelist: {kind: "freelist"}}
	var visit func(id uint64, kind string) []string
	visit = func(id uint64, kind string) []string {
		n, err := s.readNode(id)
		if err != nil {
			t.Fatal(err)
		}
		r := region{kind: kind, pages: uint64(len(n.b)/s.pageSize) - 1}
		if r.pages > 0 { // the last record's value reaches into it; if its name does too, the node cannot be read without it
			r.kind = "overflow"
			if last, _, _ := n.span(n.n - 1); last < s.pageSize {
				r.names = []string{string(n.key(n.n - 1))}
			} else {
				for i := range n.n {
					r.names = append(r.names, string(n.key(i)))
				}
			}
			kinds[id+1] = r
		}
		r = region{kind: kind}
		for i := range n.n {
			switch name := string(n.key(i)); {
			case !n.leaf:
				kind := "branch"
				if child, err := s.readNode(n.child(i)); err == nil && child.leaf {
					kind = "leaf"
				}
				r.names = append(r.names, visit(n.child(i), kind)...)
			case name != firstFence && name != lastFence:
				r.names = append(r.names, name)
			}
		}
		kinds[id] = r
		return r.names
	}
	visit(order.Uint64(s.records.b), "trunk")
	var regions []region
	for id := uint64(0); id < s.pages; {
		r, ok := kinds[id]
		if !ok {
			r.kind = "free"
		}
		r.first, r.pages = id, max(1, r.pages)
		regions = append(regions, r)
		id += r.pages
	}
	return regions
}

// Whatever page is damaged, a walk shows exactly the records that do not depend on it, and says where there are gaps.
func TestWalkAroundDamagedPages(t *testing.T) {
	m := newRing(t)
	rnd := rand.New(rand.NewPCG(9, 10))
	damages := map[string]func(page, file []byte){
		"zeros":        func(page, _ []byte) { clear(page) },
		"noise":        func(page, _ []byte) { fillNoise(rnd, page) },
		"another page": func(page, file []byte) { copy(page, file[7*len(page):]) },
		"no elements":  func(page, _ []byte) { order.PutUint16(page[10:], 0) },
	}
	hit := make(map[string]int)
	for _, r := range m.regions(t) {
		for name, damage := range damages {
			from := int(r.first) * os.Getpagesize()
			if name == "no elements" && (r.kind == "overflow" || r.kind == "meta") || name == "another page" && r.first == 7 {
				continue
			}
			if r.kind == "leaf" && rnd.IntN(4) > 0 && os.Getenv("KMS_SOAK") == "" {
				continue
			}
			file := slices.Clone(m.file)
			damage(file[from:][:os.Getpagesize()], m.file)
			s, err := readSnapshot(bytes.NewReader(file), os.Getpagesize(), r.kind == "freelist")
			if r.kind == "meta" || r.kind == "root" || r.kind == "trunk" {
				if err == nil {
					t.Errorf("%s in %s page %d: not noticed", name, r.kind, r.first)
				}
				hit[r.kind]++
				continue
			}
			if err != nil {
				t.Errorf("%s in %s page %d: %v", name, r.kind, r.first, err)
				continue
			}
			seen, err := m.walk(t.Context(), readStore{snapshot: s}, "")
			if err != nil {
				t.Errorf("%s in %s page %d: %v", name, r.kind, r.first, err)
			}
			want := slices.DeleteFunc(slices.Clone(m.names), func(name string) bool { return slices.Contains(r.names, name) })
			if !slices.Equal(seen.names, want) {
				t.Errorf("%s in %s page %d: %d records, want %d", name, r.kind, r.first, len(seen.names), len(want))
			}
			if (len(seen.damage) > 0) != (len(r.names) > 0) {
				t.Errorf("%s in %s page %d: %d damages, of %d records", name, r.kind, r.first, len(seen.damage), len(r.names))
			}
			if r.kind == "overflow" && len(r.names) == 1 && (len(seen.damage) != 1 || seen.damage[0].Name != r.names[0]) {
				t.Errorf("%s in page %d: damage %v does not name the record", name, r.first, seen.damage)
			}
			hit[r.kind]++
			if r.kind == "leaf" && rnd.IntN(8) > 0 {
				continue
			}
			for _, prefix := range []string{"alias/", "domain/", "due/", "key/", "key/8", "ring", "ver/", "vidx/", "x"} {
				seen, err := m.walk(t.Context(), readStore{snapshot: s}, prefix)
				within := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return !strings.HasPrefix(name, prefix) })
				if err != nil || !slices.Equal(seen.names, within) {
					t.Errorf("%s in %s page %d, prefix %s: %d records, want %d, %v", name, r.kind, r.first, prefix, len(seen.names), len(within), err)
				}
			}
		}
	}
	t.Logf("damages by kind of page: %v", hit)
	for _, kind := range []string{"meta", "root", "trunk", "branch", "leaf", "overflow", "freelist", "free"} {
		if hit[kind] == 0 {
			t.Errorf("no %s page was damaged", kind)
		}
	}
}

func fillNoise(rnd *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
}

// A frame that is damaged costs its own record: a value by its name, a name with a word that something is gone.
func TestWalkAroundDamagedFrames(t *testing.T) {
	m := newRing(t)
	for i, name := range m.names {
		if i%12 > 0 && i < len(m.names)-3 && os.Getenv("KMS_SOAK") == "" {
			continue
		}
		for _, part := range []string{"name", "revision", "value"} {
			file := slices.Clone(m.file)
			s, err := readSnapshot(bytes.NewReader(file), os.Getpagesize(), false)
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.seek(s.records, []byte(name))
			if err != nil {
				t.Fatal(err)
			}
			top := c.path[len(c.path)-1]
			_, value, _ := top.span(top.i)
			lost := []string{name}
			at := int(order.Uint64(top.b)) * s.pageSize
			switch part {
			case "name":
				file[at+value-1] ^= 1
				changed := []byte(name)
				changed[len(changed)-1] ^= 1
				below, above := top.low, top.high // what the changed name must not be less than, and must be less than
				if top.i > 0 {
					below = append(slices.Clone(top.key(top.i-1)), 0)
				}
				if top.i+1 < top.n {
					above = top.key(top.i + 1)
				}
				if bytes.Compare(changed, below) < 0 || bytes.Compare(changed, above) >= 0 {
					lost = nil // out of order, or not where its page belongs, and then no name of the page is believed
					for j := range top.n {
						lost = append(lost, string(top.key(j)))
					}
				}
			case "revision":
				file[at+value+frameRev+7] ^= 1
			case "value":
				file[at+value+frameLen] ^= 1
			}
			seen, err := m.walk(t.Context(), readStore{snapshot: s}, "")
			if err != nil {
				t.Fatalf("%s of record %d: %v", part, i, err)
			}
			want := slices.DeleteFunc(slices.Clone(m.names), func(name string) bool { return slices.Contains(lost, name) })
			if !slices.Equal(seen.names, want) || len(seen.damage) != 1 {
				t.Errorf("%s of record %d: %d records and %d damages, want %d and 1", part, i, len(seen.names), len(seen.damage), len(want))
			} else if d := seen.damage[0]; part == "value" && (d.Name != name || d.Resume != name) || part != "value" && d.Name != "" {
				t.Errorf("%s of record %d: damage of ...%q, going on after ...%q", part, i, tail(d.Name), tail(d.Resume))
			}
		}
	}
}
