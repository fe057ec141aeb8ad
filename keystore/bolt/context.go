package bolt

import (
	"cmp"
	"context"
	"errors"
)

// A context belongs to the caller: its methods may block or panic. They are called in the goroutine of the call that it was given to and while nothing is
// held; what happens under a lock, and in other goroutines, looks only at the channel that Done returned.

// errEnded says that a context's channel was found closed. The call replaces it by what its context says.
var errEnded = errors.New("bolt: context has ended")

// hasEnded reports whether a context with that channel, nil if it never ends, has ended.
func hasEnded(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// endOf returns why ctx, whose channel is closed, has ended. It is never nil: nothing was done.
func endOf(ctx context.Context) error { return cmp.Or[error](ctx.Err(), context.Canceled) }
