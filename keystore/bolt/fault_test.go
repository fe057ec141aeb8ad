//go:build unix

package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
)

// faultVar is the number of the error that a sufferer expects.
const faultVar = "KEYSTORE_BOLT_FAULT"

// sufferer lives through one system call that fails, wherever that is: nothing acknowledged is lost, the store refuses every call until it is opened again, and
// then it works. It tells where the fault met it.
func sufferer(path string) error {
	runtime.LockOSThread() // faults are counted by thread
	var number int
	if _, err := fmt.Sscan(os.Getenv(faultVar), &number); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := bolt.Open(path, nil)
	if err != nil {
		if !tells(err, syscall.Errno(number)) || !strings.Contains(err.Error(), path) {
			return fmt.Errorf("Open: got %w, want the error of the system with the path", err)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 1 {
			return fmt.Errorf("left %v, %w", left, err)
		}
		fmt.Println("Open")
		if s, err = bolt.Open(path, nil); err != nil {
			return fmt.Errorf("opening again: %w", err)
		}
	}
	now, failed := state{}, error(nil)
	for n := range 10 {
		changes := now.step(n)
		rev, err := s.Commit(ctx, changes)
		if err == nil {
			now = now.after(changes, rev)
			continue
		}
		if failed != nil {
			return fmt.Errorf("a second failure: %w", err)
		}
		if !errors.Is(err, keystore.ErrUnknown) || !tells(err, syscall.Errno(number)) || strings.Contains(err.Error(), path) {
			return fmt.Errorf("Commit: got %w, want ErrUnknown with the error of the system behind it", err)
		}
		fmt.Println("Commit")
		failed = err
		for range 2 {
			_, get := s.Get(ctx, "a")
			_, list := s.List(ctx, "", "", 1)
			_, commit := s.Commit(ctx, changes)
			for _, err := range []error{get, list, commit} {
				if !errors.Is(err, keystore.ErrFailed) {
					return fmt.Errorf("after a failure: got %w, want ErrFailed", err)
				}
			}
		}
		if err := s.Close(); err != nil {
			return fmt.Errorf("Close: %w", err)
		}
		if s, err = bolt.Open(path, nil); err != nil {
			return fmt.Errorf("opening again: %w", err)
		}
		if lost := now.differs(ctx, s); lost != nil {
			for r, err := range keystore.Walk(ctx, s, "") {
				if err != nil {
					return err
				}
				rev = max(rev, r.Revision)
			}
			next := now.after(changes, rev)
			if next.differs(ctx, s) != nil {
				return fmt.Errorf("what was acknowledged is lost: %w", lost)
			}
			now = next
		}
	}
	if err := now.differs(ctx, s); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return s.Close()
}

// tells reports whether number is in err or what it wraps, as an error or, where bbolt could not grow the file, in words.
func tells(err error, number syscall.Errno) bool {
	if errors.Is(err, number) || strings.Contains(err.Error(), number.Error()) {
		return true
	}
	joined, ok := err.(interface{ Unwrap() []error })
	return ok && slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return tells(e, number) })
}

// Each write, sync and growth of the file fails once, from the creation of the store on: a disk that is full or broken.
func TestFailingDisk(t *testing.T) {
	for _, fault := range []struct {
		call  string
		errno syscall.Errno
		name  string
	}{
		{"fdatasync", syscall.EIO, "EIO"},
		{"fsync", syscall.EIO, "EIO"},
		{"pwrite64", syscall.ENOSPC, "ENOSPC"},
		{"pwrite64", syscall.EIO, "EIO"},
		{"ftruncate", syscall.ENOSPC, "ENOSPC"},
		{"linkat", syscall.ENOSPC, "ENOSPC"},
	} {
		t.Run(fault.call+" "+fault.name, func(t *testing.T) {
			t.Parallel()
			met := make(map[string]int)
			for n := 1; ; n++ {
				path := filepath.Join(t.TempDir(), "store")
				cmd := strace(t, "sufferer", path, "-o", "/dev/null", "-e", "trace="+fault.call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", fault.call, fault.name, n))
				cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", faultVar, int(fault.errno)))
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("call %d: %v: %s%s", n, err, out, &stderr)
				}
				where := strings.TrimSpace(string(out))
				if where == "" {
					break // there are no more calls
				}
				if met[where]++; os.Getenv("KMS_SOAK") == "" && n > 2 {
					n += n / 2
				}
			}
			t.Logf("met in %v", met)
			if met["Open"] == 0 || met["Commit"] == 0 && fault.call != "linkat" {
				t.Errorf("met in %v only", met)
			}
		})
	}
}
