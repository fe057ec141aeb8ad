//go:build unix

package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
)

// A state is what a store holds after some commits of the history below.
type state map[string]keystore.Record

// step returns the batch with which the history goes on from a state: the same for the same number, whoever asks.
func (s state) step(n int) []keystore.Change {
	rnd := rand.New(rand.NewPCG(17, uint64(n)))
	var changes []keystore.Change
	for _, i := range rnd.Perm(60)[:1+rnd.IntN(6)] {
		name := fmt.Sprintf("key/%s/%02d", strings.Repeat("x", 40), i)
		c := keystore.Change{Op: keystore.Put, Name: name, Revision: s[name].Revision}
		if c.Revision != 0 && rnd.IntN(3) == 0 {
			c.Op = keystore.Delete
		} else {
			size := rnd.IntN(1500)
			if rnd.IntN(20) == 0 {
				size = rnd.IntN(20_000)
			}
			c.Value = bytes.Repeat([]byte{byte(n), byte(i)}, size/2)
		}
		changes = append(changes, c)
	}
	return changes
}

// after returns the state with a batch applied.
func (s state) after(changes []keystore.Change, rev keystore.Revision) state {
	next := maps.Clone(s)
	for _, c := range changes {
		if delete(next, c.Name); c.Op == keystore.Put {
			next[c.Name] = keystore.Record{Name: c.Name, Value: c.Value, Revision: rev}
		}
	}
	return next
}

// differs says how what a store holds differs from s, or nothing.
func (s state) differs(ctx context.Context, store keystore.Store) error {
	seen := 0
	for r, err := range keystore.Walk(ctx, store, "") {
		if err != nil {
			return err
		}
		if w, ok := s[r.Name]; !ok || r.Revision != w.Revision || !bytes.Equal(r.Value, w.Value) {
			return fmt.Errorf("record ...%q at revision %d, want %d", r.Name[len(r.Name)-2:], r.Revision, w.Revision)
		}
		seen++
	}
	if seen != len(s) {
		return fmt.Errorf("%d records, want %d", seen, len(s))
	}
	return nil
}

// historian creates a store and writes a history into it. It tells that the store is open, and of each commit when it is acknowledged.
func historian(path string) error {
	runtime.LockOSThread() // faults are counted by thread
	steps := 10
	if os.Getenv("KMS_SOAK") != "" {
		steps = 200
	}
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	now := state{}
	for n := range steps {
		changes := now.step(n)
		rev, err := s.Commit(context.Background(), changes)
		if err != nil {
			return err
		}
		now = now.after(changes, rev)
		fmt.Println(rev)
	}
	return s.Close()
}

// An event is a system call that changes what the disk holds, or makes it last, or a line on standard output.
type event struct {
	call string // as strace calls it
	path string // of the file; of linkat the new one
	data string // that is written
	from string // of linkat, the old path
	at   int64  // where it is written, or the new size
}

// traced runs a child under strace, and returns what it did to files of the folder of path.
func traced(t *testing.T, role, path string) []event {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	cmd := strace(t, role, path, "-o", log, "-y", "-xx", "-s", "4000000", "-e", "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,linkat,unlinkat,rename,renameat,renameat2")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("strace: %v: %s", err, out)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return parseTrace(t, string(b), filepath.Dir(path))
}

// strace returns a command that runs a child under strace with some options. It is the one way to see, and to make fail, what bbolt asks of the system.
func strace(t *testing.T, role, path string, options ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("strace")
	if err != nil {
		if strings.Contains(os.Getenv("KMS_REQUIRE"), "strace") {
			t.Fatal("strace is not there")
		}
		t.Skip("strace is not there; scripts/test installs it")
	}
	cmd := child(t, role, path)
	cmd.Args = slices.Concat([]string{program, "-f", "--seccomp-bpf"}, options, []string{cmd.Path}, cmd.Args[1:])
	cmd.Path = program
	return cmd
}

var (
	traceLine   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+)`)
	traceBegun  = regexp.MustCompile(`^(\d+) +(\w+\(.*) <unfinished \.\.\.>$`)
	traceEnded  = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	traceString = regexp.MustCompile(`"(?:\\x[0-9a-f]{2})*"|<(?:\\x[0-9a-f]{2})*>`)
)

func parseTrace(t *testing.T, log, dir string) []event {
	t.Helper()
	begun := make(map[string]string) // by thread
	var events []event
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		if m := traceBegun.FindStringSubmatch(line); m != nil {
			begun[m[1]] = m[2]
			continue
		}
		if m := traceEnded.FindStringSubmatch(line); m != nil {
			line = m[1] + " " + begun[m[1]] + m[2]
		}
		m := traceLine.FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(m[4], "-") {
			continue // a signal, an exit or a call that failed
		}
		var texts []string // paths of descriptors and strings, in the order of the call
		for _, s := range traceString.FindAllString(m[3], -1) {
			text, err := strconv.Unquote(`"` + s[1:len(s)-1] + `"`)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
		e := event{call: m[2], path: texts[0]}
		args := strings.Split(m[3], ", ")
		number := func() int64 {
			n, err := strconv.ParseInt(args[len(args)-1], 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", e.call, err)
			}
			return n
		}
		switch e.call {
		case "write":
			if !strings.HasPrefix(m[3], "1<") {
				continue
			}
			events = append(events, event{call: e.call, data: texts[1]})
			continue
		case "openat":
			if e.path = texts[1]; !strings.Contains(m[3], "O_CREAT") {
				continue
			}
		case "pwrite64":
			if e.data, e.at = texts[1], number(); m[4] != strconv.Itoa(len(e.data)) {
				t.Fatalf("%s of %d bytes written", m[4], len(e.data))
			}
		case "ftruncate":
			e.at = number()
		case "fsync", "fdatasync":
		case "linkat":
			e.from, e.path = texts[1], texts[3]
		case "unlinkat":
			e.path = texts[1]
		default:
			t.Fatalf("%s is not understood", e.call)
		}
		if e.path == dir || filepath.Dir(e.path) == dir {
			events = append(events, e)
		}
	}
	return events
}

const sector = 512 // what a disk writes whole or not at all

// A disk is what lasts, and what is written and may or may not last if the power is cut.
type disk struct {
	dir     string
	files   map[string]*file
	entries []event // creations, links and removals since the folder was synced
}

type file struct {
	lasting []byte
	writes  []event // since the file was synced
}

func (f *file) apply(e event) {
	size := int(e.at)
	if e.call == "pwrite64" {
		size = max(len(f.lasting), int(e.at)+len(e.data))
	}
	if size <= len(f.lasting) {
		f.lasting = f.lasting[:size]
	} else {
		f.lasting = append(f.lasting, make([]byte, size-len(f.lasting))...)
	}
	copy(f.lasting[min(int(e.at), size):], e.data)
}

// do makes the disk follow an event. Files are known by their first path: the one that is linked is never written under its new path before the folder is synced.
func (d *disk) do(known map[string]*file, e event) {
	switch e.call {
	case "openat":
		if known[e.path] == nil {
			known[e.path] = new(file)
			d.entries = append(d.entries, e)
		}
	case "linkat":
		known[e.path] = known[e.from]
		d.entries = append(d.entries, e)
	case "unlinkat":
		d.entries = append(d.entries, e)
	case "pwrite64", "ftruncate":
		known[e.path].writes = append(known[e.path].writes, e)
	case "fsync", "fdatasync":
		if e.path == d.dir {
			d.files, d.entries = d.names(known, func() bool { return true }), nil
			return
		}
		f := known[e.path]
		for _, w := range f.writes {
			f.apply(w)
		}
		f.writes = nil
	}
}

// names returns the folder as it is if those of the entries last that keep says.
func (d *disk) names(known map[string]*file, keep func() bool) map[string]*file {
	names := maps.Clone(d.files)
	for _, e := range d.entries {
		switch {
		case !keep():
		case e.call == "unlinkat":
			delete(names, e.path)
		default:
			names[e.path] = known[e.path]
		}
	}
	return names
}

// A cut says which of the sectors that were written, and of the entries, last.
type cut struct {
	name string
	keep func(last bool) bool // last: it belongs to the last write
}

func cuts(rnd *rand.Rand, subsets int) []cut {
	n := 0
	torn := rnd.IntN(9)
	all := []cut{
		{"all of it lasts", func(bool) bool { return true }},
		{"nothing since the syncs lasts", func(bool) bool { return false }},
		{"all but the last write lasts", func(last bool) bool { return !last }},
		{"the last write is torn", func(last bool) bool {
			if last {
				n++
			}
			return !last || n <= torn
		}},
	}
	for i := range subsets {
		share := []float64{0.5, 0.9, 0.1}[i%3]
		all = append(all, cut{fmt.Sprintf("subset %d lasts", i), func(bool) bool { return rnd.Float64() < share }})
	}
	return all
}

// image returns the files after a cut.
func (d *disk) image(known map[string]*file, c cut) map[string][]byte {
	image := make(map[string][]byte)
	for path, f := range d.names(known, func() bool { return c.keep(false) }) {
		after := &file{lasting: slices.Clone(f.lasting)}
		for i, w := range f.writes {
			last := i == len(f.writes)-1
			if w.call == "ftruncate" {
				if c.keep(last) {
					after.apply(w)
				}
				continue
			}
			for at := 0; at < len(w.data); at += sector {
				if c.keep(last) {
					after.apply(event{call: w.call, at: w.at + int64(at), data: w.data[at:min(at+sector, len(w.data))]})
				}
			}
		}
		image[path] = after.lasting
	}
	return image
}

// A crash is what a disk holds after a cut, and what was acknowledged before.
type crash struct {
	what  string
	image map[string][]byte
	acks  []keystore.Revision // of commits
	goOn  bool                // whether to write on
}

// crashes yields what a disk may hold if the power is cut after each event.
func crashes(events []event, dir string, subsets int, yield func(crash) bool) {
	d, known := &disk{dir: dir, files: make(map[string]*file)}, make(map[string]*file)
	var acks []keystore.Revision
	rnd := rand.New(rand.NewPCG(19, 20))
	for i, e := range events {
		if d.do(known, e); e.call == "write" {
			if rev, err := strconv.ParseUint(strings.TrimSpace(e.data), 10, 64); err == nil {
				acks = append(acks, keystore.Revision(rev))
			}
		}
		for _, c := range cuts(rnd, subsets) {
			what := fmt.Sprintf("after event %d (%s), %d commits acknowledged, %s", i, e.call, len(acks), c.name)
			goOn := os.Getenv("KMS_SOAK") != "" || rnd.IntN(5) == 0
			if !yield(crash{what, d.image(known, c), slices.Clone(acks), goOn}) {
				return
			}
		}
	}
}

// survive opens what a cut left. All that was acknowledged must be there, the commit that was not must be whole or absent, nothing else may have changed, and the
// store must go on.
func (c crash) survive(ctx context.Context, dir, path string) error {
	for name, b := range c.image {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600); err != nil {
			return err
		}
	}
	now := state{}
	for n, rev := range c.acks {
		now = now.after(now.step(n), rev)
	}
	path = filepath.Join(dir, filepath.Base(path))
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	n := len(c.acks)
	if err := now.differs(ctx, s); err != nil {
		last := keystore.Revision(0)
		if n > 0 {
			last = c.acks[n-1]
		}
		now = now.after(now.step(n), last+1)
		if next := now.differs(ctx, s); next != nil {
			return fmt.Errorf("not what was acknowledged: %w; and not the next commit: %w", err, next)
		}
		n++
	}
	if !c.goOn {
		return nil
	}
	changes := now.step(n)
	rev, err := s.Commit(ctx, changes)
	if err != nil {
		return fmt.Errorf("going on: %w", err)
	}
	now = now.after(changes, rev)
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = bolt.Open(path, nil); err != nil {
		return fmt.Errorf("after going on: %w", err)
	}
	if err := now.differs(ctx, s); err != nil {
		return fmt.Errorf("after going on: %w", err)
	}
	return nil
}

// memoryDir returns a folder that the test removes, in memory where there is such a place: what is tried there need not last.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bolt")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// surviveAll tries crashes until enough were not survived, and returns how many it tried and what went wrong.
func surviveAll(t *testing.T, events []event, path string, subsets, enough int) (tried int, failed []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan crash)
	for range runtime.GOMAXPROCS(0) {
		dir := memoryDir(t)
		wg.Go(func() {
			for c := range work {
				sub, err := os.MkdirTemp(dir, "")
				if err == nil {
					err = c.survive(t.Context(), sub, path)
				}
				mu.Lock()
				if tried++; err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", c.what, err))
				}
				mu.Unlock()
				_ = os.RemoveAll(sub)
			}
		})
	}
	crashes(events, filepath.Dir(path), subsets, func(c crash) bool {
		work <- c
		mu.Lock()
		defer mu.Unlock()
		return len(failed) < enough
	})
	close(work)
	wg.Wait()
	return tried, failed
}

// A cut of the power at any moment, also while the store is created, leaves all that was acknowledged, and nothing by halves, whatever part of what was written
// since the last sync is on the disk. What bbolt writes and when it syncs is recorded, not assumed.
func TestPowerCuts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	events := traced(t, "historian", path)
	subsets := 1
	if os.Getenv("KMS_SOAK") != "" {
		subsets = 12
	}
	count := make(map[string]int)
	for _, e := range events {
		count[e.call]++
	}
	tried, failed := surviveAll(t, events, path, subsets, 10)
	t.Logf("%d cuts in a history of %v", tried, count)
	for _, err := range failed {
		t.Error(err)
	}
	for _, call := range []string{"openat", "linkat", "unlinkat", "pwrite64", "ftruncate", "fsync", "fdatasync", "write"} {
		if count[call] == 0 {
			t.Errorf("no %s was recorded", call)
		}
	}
}

// Without the syncs a cut of the power does harm, and is noticed: the sectors of the pages, and then the folder.
func TestPowerCutsNeedTheSyncs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	events := traced(t, "historian", path)
	for name, lost := range map[string]func(e event, n int) bool{
		"of pages before the meta page": func(e event, n int) bool { return e.call == "fdatasync" && n%2 == 1 },
		"of the meta page":              func(e event, n int) bool { return e.call == "fdatasync" && n%2 == 0 },
		"of the folder":                 func(e event, _ int) bool { return e.path == filepath.Dir(path) },
	} {
		n := 0 // of fdatasync; the first is that of an empty file
		kept := slices.DeleteFunc(slices.Clone(events), func(e event) bool {
			if e.call == "fdatasync" {
				n++
			}
			return lost(e, n-1)
		})
		if len(kept) == len(events) {
			t.Errorf("no sync %s", name)
		}
		if tried, failed := surviveAll(t, kept, path, 3, 1); len(failed) == 0 {
			t.Errorf("no sync %s: nobody noticed in %d cuts", name, tried)
		} else {
			t.Logf("no sync %s: noticed in %d of %d cuts: %v", name, len(failed), tried, errors.Unwrap(failed[0]))
		}
	}
}
