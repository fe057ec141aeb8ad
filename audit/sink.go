package audit

import (
	"context"
	"errors"
	"fmt"
)

// A Sink takes events. Append returns nil only when the event is where the sink promises to have put it. Methods may be called concurrently.
//
// The event, its slices and maps belong to the caller, who uses them again: a Sink that keeps an event keeps e.Clone(). The same event may be appended
// twice, under the same [Event.ID], when an operation ended otherwise than was recorded before it; the later record holds.
//
// ctx is never cancelled by the operation's caller; it may carry the deadline of [Required] or [BestEffort].
type Sink interface {
	Append(ctx context.Context, e *Event) error
}

// ErrUnavailable is what the sinks of this package return when an event was not taken, or when it is unknown whether it was: a sink that answered too
// late, is stuck, panicked or is switched off. An error that a sink itself returned is passed on as it is.
var ErrUnavailable = errors.New("audit: sink unavailable")

// A SinkFunc is a function as a [Sink].
type SinkFunc func(ctx context.Context, e *Event) error

// Append calls f.
func (f SinkFunc) Append(ctx context.Context, e *Event) error { return f(ctx, e) }

// offer calls the sink and makes an error of a panic. The panic's value is not repeated, only its type: it might hold anything.
func offer(ctx context.Context, s Sink, e *Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the sink panicked with a %T", ErrUnavailable, p)
		}
	}()
	return s.Append(ctx, e)
}
