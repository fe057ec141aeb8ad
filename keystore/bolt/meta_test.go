package bolt_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
)

// TestMetaPagesThatLie: meta pages that state an odd size of pages, root, list of free pages or number of pages, with a checksum that is right, neither crash nor
// use much memory.
func TestMetaPagesThatLie(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: "a", Value: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pageSize := int(binary.NativeEndian.Uint32(whole[16+8:]))
	for _, field := range []struct {
		name     string
		at, size int
	}{{"page size", 8, 4}, {"root", 16, 8}, {"freelist", 32, 8}, {"pages", 40, 8}, {"transaction", 48, 8}} {
		for _, v := range []uint64{0, 1, 2, 3, 16, 64, 80, 100, 512, 1024, 4097, 8192, 1 << 16, 1 << 20, 1 << 30, 1 << 31, 0xffffffff, 1 << 40, 1 << 51, 1 << 52, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			if field.size == 4 && v > 0xffffffff {
				continue
			}
			for _, readOnly := range []bool{true, false} {
				file := append([]byte(nil), whole...)
				for i := range 2 {
					m := file[i*pageSize+16:][:64]
					if field.size == 4 {
						binary.NativeEndian.PutUint32(m[field.at:], uint32(v))
					} else {
						binary.NativeEndian.PutUint64(m[field.at:], v)
					}
					sum := fnv.New64a()
					sum.Write(m[:56])
					binary.NativeEndian.PutUint64(m[56:], sum.Sum64())
				}
				bad := filepath.Join(t.TempDir(), "bad.db")
				if err := os.WriteFile(bad, file, 0o600); err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("%s %d, read only %v", field.name, v, readOnly)
				done := make(chan string, 1)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				go func() {
					defer func() {
						if p := recover(); p != nil {
							done <- fmt.Sprint("panic: ", p)
						}
					}()
					s, err := bolt.Open(bad, &bolt.Options{ReadOnly: readOnly})
					if err == nil {
						_, _ = s.Get(t.Context(), "a")
						_, _ = s.List(t.Context(), "", "", 10)
						if !readOnly {
							_, _ = s.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: "b", Value: []byte("x")}})
						}
						_ = s.Close()
					}
					done <- ""
				}()
				select {
				case msg := <-done:
					if msg != "" {
						t.Errorf("%s: %s", what, msg)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s: hangs", what)
				}
				runtime.ReadMemStats(&after)
				if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 256 {
					t.Errorf("%s: allocates %d MiB", what, n)
				}
				if info, err := os.Stat(bad); err == nil && info.Size() > 1<<30 {
					t.Errorf("%s: the file has become %d bytes", what, info.Size())
				}
				_ = os.Remove(bad)
			}
		}
	}
}
