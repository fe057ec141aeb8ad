//go:build unix

package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
)

// childVar makes the test binary act as another process: its value is the role, and the first argument the path.
const childVar = "KEYSTORE_BOLT_CHILD"

func TestMain(m *testing.M) {
	role, ok := map[string]func(path string) error{"": nil, "writer": writer, "holder": holder, "limited": limited, "stranger": stranger, "historian": historian, "sufferer": sufferer}[os.Getenv(childVar)]
	switch {
	case !ok:
		fmt.Fprintln(os.Stderr, "unknown role")
		os.Exit(2)
	case role == nil:
		os.Exit(m.Run())
	}
	if err := role(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], path)
	cmd.Env = append(os.Environ(), childVar+"="+role, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0") // else the race detector makes each child last a second
	return cmd
}

const writers = 4

// writer commits from several goroutines until it is killed. Each batch advances a counter and adds a record of that number, and is told on standard output once
// it is acknowledged.
func writer(path string) error {
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() { errs[w] = writeOn(s, w) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func writeOn(s *bolt.Store, w int) error {
	ctx := context.Background()
	counter := fmt.Sprintf("counter/%d", w)
	r, err := s.Get(ctx, counter)
	if err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(string(r.Value))
	for rev := r.Revision; ; {
		n++
		changes := []keystore.Change{
			{Op: keystore.Put, Name: counter, Value: []byte(strconv.Itoa(n)), Revision: rev},
			{Op: keystore.Put, Name: itemName(w, n), Value: itemValue(w, n)},
		}
		if rev, err = s.Commit(ctx, changes); err != nil {
			return err
		}
		fmt.Printf("%d %d %d\n", w, n, rev)
	}
}

func itemName(w, n int) string { return fmt.Sprintf("item/%d/%06d", w, n) }

// itemValue has every size from a few bytes to several pages.
func itemValue(w, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d/%d;", w, n), 1+n*n%700)
}

// A process killed at any moment leaves all that it acknowledged, and nothing by halves. etcd-io/bbolt#701 and #325: files that were damaged by a kill.
func TestKill(t *testing.T) {
	rounds := 20
	if os.Getenv("KMS_SOAK") != "" {
		rounds = 500
	}
	path := filepath.Join(t.TempDir(), "store")
	acknowledged := make(map[string]keystore.Revision)
	for round := range rounds {
		for name, rev := range killed(t, path, rand.IntN(120)) {
			acknowledged[name] = rev
		}
		func() {
			s := open(t, path)
			defer func() { _ = s.Close() }()
			inspectKilled(t, s, acknowledged)
		}()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d batches acknowledged before %d kills", len(acknowledged), rounds)
	if len(acknowledged) < rounds {
		t.Error("too few batches for a test")
	}
}

// A process killed while it creates a store leaves a store or nothing.
func TestKillWhileCreating(t *testing.T) {
	for range 15 {
		path := filepath.Join(t.TempDir(), "store")
		cmd := child(t, "holder", path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(60 * time.Millisecond)) // about what starting and creating take; there is nothing to wait for
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if _, err := open(t, path).Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: "n"}}); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs a writer, kills it after some acknowledgements and returns all that it gave.
func killed(t *testing.T, path string, after int) map[string]keystore.Revision {
	t.Helper()
	cmd := child(t, "writer", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(map[string]keystore.Revision)
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == after {
			_ = cmd.Process.Kill()
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line without its end was never written whole, and is no acknowledgement
		}
		var w, number int
		var rev keystore.Revision
		if _, err := fmt.Sscan(line, &w, &number, &rev); err != nil {
			t.Fatalf("child wrote %q", line)
		}
		acknowledged[itemName(w, number)] = rev
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("writer ended by itself: %v %s", err, &stderr)
	}
	return acknowledged
}

func inspectKilled(t *testing.T, s *bolt.Store, acknowledged map[string]keystore.Revision) {
	t.Helper()
	found := make(map[string]keystore.Record)
	for after := ""; ; {
		page, err := s.List(t.Context(), "", after, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			found[r.Name], after = r, r.Name
		}
		if len(page) < 100 {
			break
		}
	}
	for name, rev := range acknowledged {
		if found[name].Revision != rev {
			t.Errorf("%s was acknowledged at revision %d and is at %d", name, rev, found[name].Revision)
		}
	}
	items := 0
	for w := range writers {
		counter := found[fmt.Sprintf("counter/%d", w)]
		last, _ := strconv.Atoi(string(counter.Value))
		for n := 1; n <= last; n++ {
			items++
			if r := found[itemName(w, n)]; !bytes.Equal(r.Value, itemValue(w, n)) {
				t.Errorf("counter %d is at %d, but item %d is not what was written", w, last, n)
			}
		}
		if last > 0 && found[itemName(w, last)].Revision != counter.Revision {
			t.Errorf("counter %d and item %d have revisions %d and %d", w, last, counter.Revision, found[itemName(w, last)].Revision)
		}
	}
	for name := range found {
		if strings.HasPrefix(name, "item/") {
			items--
		}
	}
	if items != 0 {
		t.Errorf("counters and items differ by %d", items)
	}
}

// holder keeps the store open until its standard input ends.
func holder(path string) error {
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	cmd := child(t, "holder", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	for _, o := range []*bolt.Options{{LockTimeout: time.Millisecond}, {LockTimeout: time.Millisecond, ReadOnly: true}, nil} {
		if _, err := bolt.Open(path, o); !errors.Is(err, bolt.ErrLocked) {
			t.Errorf("with options %v: got %v, want ErrLocked", o, err)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// limited fills the store until the file may not grow, as on a full disk, and then opens it again without the limit.
func limited(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	small := syscall.Rlimit{Cur: 10_000, Max: old.Max} // not even an empty store
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		return err
	}
	if _, err := bolt.Open(path, nil); !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "create "+path) {
		return fmt.Errorf("creating: got %w, want that the file is too large, with the path", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		return fmt.Errorf("creating left %v, %w", left, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 300_000, Max: old.Max}); err != nil {
		return err
	}
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	acknowledged := make(map[string]keystore.Revision)
	var failure error
	for n := 0; failure == nil && n < 1000; n++ {
		var rev keystore.Revision
		if rev, failure = s.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: itemName(0, n), Value: itemValue(0, n)}}); failure == nil {
			acknowledged[itemName(0, n)] = rev
		}
	}
	if len(acknowledged) == 0 || !errors.Is(failure, keystore.ErrUnknown) {
		return fmt.Errorf("after %d commits: got %v, want ErrUnknown", len(acknowledged), failure)
	}
	if strings.Contains(failure.Error(), path) {
		return fmt.Errorf("error text holds the path: %w", failure)
	}
	_, get := s.Get(ctx, itemName(0, 0))
	_, list := s.List(ctx, "", "", 1)
	_, commit := s.Commit(ctx, []keystore.Change{{Op: keystore.Check, Name: "a"}})
	for _, err := range []error{get, list, commit} {
		if !errors.Is(err, keystore.ErrFailed) {
			return fmt.Errorf("after a failed write: got %w, want ErrFailed", err)
		}
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if s, err = bolt.Open(path, nil); err != nil {
		return fmt.Errorf("reopening: %w", err)
	}
	for name, rev := range acknowledged {
		if r, err := s.Get(ctx, name); err != nil || r.Revision != rev {
			return fmt.Errorf("%s was acknowledged at revision %d, but is at %d: %w", name, rev, r.Revision, err)
		}
	}
	if _, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: "after"}}); err != nil {
		return fmt.Errorf("after reopening: %w", err)
	}
	return s.Close()
}

func TestFullDisk(t *testing.T) {
	if out, err := child(t, "limited", filepath.Join(t.TempDir(), "store")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// stranger gives up its privileges and prints what Open says.
func stranger(path string) error {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	before, _ := os.ReadFile(path)
	_, err := bolt.Open(path, nil)
	fmt.Println(err)
	if !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("got %w, want that permission is denied", err)
	}
	if before == nil {
		return nil
	}
	s, err := bolt.Open(path, &bolt.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("for reading: %w", err)
	}
	if r, err := s.Get(context.Background(), "n"); err != nil || string(r.Value) != "v" {
		return fmt.Errorf("Get: %q, %w", r.Value, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		return fmt.Errorf("the file was changed, %w", err)
	}
	return s.Close()
}

func TestPermissions(t *testing.T) {
	dir, err := os.MkdirTemp("", "bolt") // not t.TempDir, which is below a directory that no other user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "store")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range []string{"directory that cannot be written", "file that cannot be read", "file that cannot be written"} {
		if out, err := child(t, "stranger", path).CombinedOutput(); err != nil || !strings.Contains(string(out), path) {
			t.Errorf("%s: %v: %s", what, err, out)
		}
		if os.Getuid() != 0 {
			return // the file below would be our own
		}
		if what != "directory that cannot be written" {
			if err := os.Chmod(path, 0o444); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s := open(t, path)
		if _, err := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: "n", Value: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("new file has mode %v, %v, want 0600", info.Mode(), err)
		}
	}
}

// TestPipeIsNoStore: a named pipe is refused, and nobody waits for its other end.
func TestPipeIsNoStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		if _, err := bolt.Open(path, &bolt.Options{ReadOnly: readOnly}); !errors.Is(err, bolt.ErrFormat) {
			t.Errorf("read only %v: %v", readOnly, err)
		}
	}
}
