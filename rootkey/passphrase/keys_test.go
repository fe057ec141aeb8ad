package passphrase

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/claviger/kms/internal/bubble"
)

// The moments of these tests, between the steps of a derivation, cannot be told from outside.

func TestCancelledWhileWaitingForAnother(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, err := New([]byte("open sesame"), &Options{Memory: floorMemory, Time: 1, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		r.slot <- struct{}{} // as a running derivation holds it
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := r.EncryptWithContext(ctx, []byte("domain key"), nil)
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		<-r.slot
		if _, err := r.EncryptWithContext(t.Context(), []byte("domain key"), nil); err != nil {
			t.Errorf("after a cancelled call: %v", err)
		}
	})
}

func TestCancelledWhileDeriving(t *testing.T) {
	r, err := New([]byte("open sesame"), &Options{Memory: 64 << 10, Time: 16, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := r.EncryptWithContext(ctx, []byte("domain key"), nil)
		failed <- err
	}()
	for len(r.slot) == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want context.Canceled", err)
	}
	wrap, err := r.EncryptWithContext(t.Context(), []byte("domain key"), nil)
	if err != nil {
		t.Fatalf("after a cancelled call: %v", err)
	}
	if got, err := r.DecryptWithContext(t.Context(), wrap, nil); err != nil || string(got) != "domain key" {
		t.Errorf("after a cancelled call: %q, %v", got, err)
	}
	if n := len(r.cache.keys); n != 1 {
		t.Errorf("%d derivations, want the cancelled one alone", n)
	}
}
