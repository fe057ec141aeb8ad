package bolt

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/keystore"
)

// A rudeContext answers Err once, and Done unless told otherwise; after that they misbehave.
type rudeContext struct {
	context.Context
	ended     chan struct{}
	rudeDone  bool
	misbehave func()
	asked     atomic.Int32 // calls that misbehaved
	errs      atomic.Int32
}

func (c *rudeContext) Done() <-chan struct{} {
	if c.rudeDone {
		c.asked.Add(1)
		c.misbehave()
	}
	return c.ended
}

func (c *rudeContext) Err() error {
	if c.errs.Add(1) > 1 {
		c.asked.Add(1)
		c.misbehave()
	}
	return nil
}

// manners calls f with a context that panics and with one that blocks until release is called.
func manners(t *testing.T, f func(t *testing.T, ctx *rudeContext, release func())) {
	t.Run("panics", func(t *testing.T) {
		f(t, &rudeContext{Context: t.Context(), ended: make(chan struct{}), misbehave: func() { panic(errRude) }}, func() {})
	})
	t.Run("blocks", func(t *testing.T) {
		released := make(chan struct{})
		f(t, &rudeContext{Context: t.Context(), ended: make(chan struct{}), misbehave: func() { <-released }}, func() { close(released) })
	})
}

var errRude = errors.New("rude")

// start runs call in a goroutine and delivers its error, or its panic with errRude.
func start(call func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				result <- v.(error)
			}
		}()
		result <- call()
	}()
	return result
}

func (c *rudeContext) waitUntilAsked() {
	for c.asked.Load() == 0 {
		runtime.Gosched()
	}
}

// unharmed checks that others can use the store, and that it can be closed.
func unharmed(t *testing.T, s *Store) {
	t.Helper()
	for _, name := range []string{"one", "two"} {
		if _, err := s.Commit(t.Context(), puts(name, 0)); err != nil {
			t.Errorf("Commit: %v", err)
		}
	}
	if len(s.queue.waiting) != 0 || len(s.queue.turn) != 0 {
		t.Errorf("%d members wait, turn held: %t", len(s.queue.waiting), len(s.queue.turn) == 1)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// wantEnded checks the outcome of a call whose context ended and said no reason, or panicked.
func wantEnded(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) && !errors.Is(err, errRude) {
		t.Errorf("got %v, want Canceled or the panic of the context", err)
	}
}

func TestMembersAreSafeFromContextsOfOthers(t *testing.T) {
	manners(t, func(t *testing.T, ctx *rudeContext, release func()) {
		s, _ := openTemp(t)
		s.queue.turn <- struct{}{}
		rude := start(func() error { _, err := s.Commit(ctx, puts("rude", 0)); return err })
		waitFor(s, 1)
		polite := start(func() error { _, err := s.Commit(t.Context(), puts("polite", 0)); return err })
		waitFor(s, 2)
		<-s.queue.turn
		if err := errors.Join(<-rude, <-polite); err != nil {
			t.Error(err)
		}
		unharmed(t, s)
		release()
	})
}

func TestRudeContextOfACommit(t *testing.T) {
	manners(t, func(t *testing.T, ctx *rudeContext, release func()) {
		s, _ := openTemp(t)
		s.queue.turn <- struct{}{}
		rude := start(func() error { _, err := s.Commit(ctx, puts("rude", 0)); return err })
		waitFor(s, 1)
		close(ctx.ended)
		ctx.waitUntilAsked()
		<-s.queue.turn
		if _, err := s.Get(t.Context(), "rude"); !errors.Is(err, keystore.ErrNotFound) {
			t.Errorf("withdrawn commit: got %v, want ErrNotFound", err)
		}
		unharmed(t, s)
		release()
		wantEnded(t, <-rude)
	})
}

func TestRudeContextOfAList(t *testing.T) {
	manners(t, func(t *testing.T, ctx *rudeContext, release func()) {
		s, _ := openTemp(t)
		if _, err := s.Commit(t.Context(), puts("a", 0)); err != nil {
			t.Fatal(err)
		}
		close(ctx.ended)
		rude := start(func() error { _, err := s.List(ctx, "", "", 1); return err })
		ctx.waitUntilAsked()
		unharmed(t, s)
		release()
		wantEnded(t, <-rude)
	})
}

func TestRudeDone(t *testing.T) {
	for name, call := range map[string]func(*Store, context.Context) error{
		"Commit": func(s *Store, ctx context.Context) error { _, err := s.Commit(ctx, puts("rude", 0)); return err },
		"List":   func(s *Store, ctx context.Context) error { _, err := s.List(ctx, "", "", 1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			manners(t, func(t *testing.T, ctx *rudeContext, release func()) {
				s, _ := openTemp(t)
				ctx.rudeDone = true
				rude := start(func() error { return call(s, ctx) })
				ctx.waitUntilAsked()
				unharmed(t, s)
				release()
				if err := <-rude; !errors.Is(err, errRude) && !errors.Is(err, keystore.ErrClosed) {
					t.Errorf("got %v, want ErrClosed or the panic of the context", err)
				}
			})
		})
	}
}
