package bubble_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms/internal/bubble"
)

// TestManyDrawAtOnce: in a bubble, goroutines that draw random bytes at once get different ones, after a collection as well.
func TestManyDrawAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		runtime.GC() // twice, so that no generator is left in a pool
		runtime.GC()
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen, start := map[string]bool{}, time.Now()
		for range 64 {
			wg.Go(func() {
				time.Sleep(time.Hour)
				for range 100 {
					id := rand.Text()
					mu.Lock()
					seen[id] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 6400 || time.Since(start) != time.Hour {
			t.Errorf("%d different texts after %v", len(seen), time.Since(start))
		}
	})
}

// TestUnderFIPS runs the other test where the FIPS 140-3 module is on, and where it is enforced.
func TestUnderFIPS(t *testing.T) {
	for _, mode := range []string{"on", "only"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManyDrawAtOnce$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestManyDrawAtOnce")) {
			t.Errorf("fips140=%s: %v: %s", mode, err, out)
		}
	}
}
