package audit

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// maxInside bounds how many calls may be inside a sink with a time bound, and so the goroutines that a stuck one can hold.
const maxInside = 16

// Required returns s as a sink whose refusal makes the operation fail: what a plain Sink is, with a time bound. It gives up after bound, waiting for
// room included, and returns [ErrUnavailable] even if s ignores its context; the event may yet turn up in s. s works on a copy of the event, and at
// most 16 calls are inside it at once. When all of them have outlived their bound, new events fail at once until one returns. A panic in s becomes
// ErrUnavailable.
//
// A bound of zero is none: s is called directly, and only its panics are caught. It panics on a nil s or a negative bound.
func Required(s Sink, bound time.Duration) Sink {
	if s == nil {
		panic("audit: Required of a nil sink")
	}
	if bound < 0 {
		panic("audit: a negative time bound")
	}
	if bound == 0 {
		return guarded{s}
	}
	return &bounded{sink: s, bound: bound, room: make(chan struct{}, maxInside)}
}

// BestEffort returns s as a sink that never makes an operation fail: what s does not take within bound is lost, and onError is told why. Bound, panics and
// a stuck s are treated as by [Required]. onError is called on the operation's goroutine, concurrently, and should be quick; it must not be nil, since a
// loss that nobody notices is what an audit trail is there to prevent.
func BestEffort(s Sink, bound time.Duration, onError func(error)) Sink {
	if onError == nil {
		panic("audit: BestEffort without onError")
	}
	required := Required(s, bound)
	return SinkFunc(func(ctx context.Context, e *Event) error {
		if err := required.Append(ctx, e); err != nil {
			onError(err)
		}
		return nil
	})
}

type guarded struct{ sink Sink }

func (g guarded) Append(ctx context.Context, e *Event) error { return offer(ctx, g.sink, e) }

type bounded struct {
	sink  Sink
	bound time.Duration
	room  chan struct{} // holds one token for each call inside the sink

	mu    sync.Mutex
	stuck int // guarded by mu: calls inside the sink for which nobody waits any longer
}

func (b *bounded) Append(ctx context.Context, e *Event) error {
	if b.allStuck() {
		return fmt.Errorf("%w: %d earlier events are stuck in it", ErrUnavailable, maxInside)
	}
	ctx, cancel := context.WithTimeout(ctx, b.bound)
	defer cancel()
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: it was busy for %v", ErrUnavailable, b.bound)
	}
	c := &call{done: make(chan error, 1)}
	own := e.Clone() // the sink may still work on it when the caller uses e again
	go b.run(ctx, c, own)
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
	}
	if b.abandon(c) {
		return fmt.Errorf("%w: no answer within %v", ErrUnavailable, b.bound)
	}
	return <-c.done // it came at the last moment
}

// call is one event inside the sink.
type call struct {
	done      chan error // gets the sink's answer
	ended     bool       // guarded by bounded.mu, as is abandoned
	abandoned bool
}

func (b *bounded) run(ctx context.Context, c *call, e *Event) {
	err := fmt.Errorf("%w: the sink ended its goroutine", ErrUnavailable) // as a test's FailNow does
	defer func() {
		b.end(c)
		c.done <- err
		<-b.room
	}()
	err = offer(ctx, b.sink, e)
}

// abandon notes that nobody waits for c any longer, and reports whether c is still inside the sink.
func (b *bounded) abandon(c *call) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.ended {
		return false
	}
	c.abandoned = true
	b.stuck++
	return true
}

func (b *bounded) end(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.ended = true
	if c.abandoned {
		b.stuck--
	}
}

func (b *bounded) allStuck() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stuck == maxInside
}
