package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Tee returns a sink that offers every event to all sinks, in their order, and accepts it when all of them do. A sink that refuses, or panics, does not
// keep the event from the others: the error is that of all sinks that refused, joined.
//
// So a refusal can leave the event with some of the sinks. The operation then fails, and its keyring appends a correction, an event of the same id,
// which the sinks that work receive: read an id's last event.
//
// A Tee of no sinks keeps nothing, and therefore refuses every event with [ErrUnavailable].
func Tee(sinks ...Sink) Sink { return tee(slices.Clone(sinks)) }

type tee []Sink

func (t tee) Append(ctx context.Context, e *Event) error {
	if len(t) == 0 {
		return fmt.Errorf("%w: there is no sink", ErrUnavailable)
	}
	var refusals []error
	for _, s := range t {
		if err := offer(ctx, s, e); err != nil {
			refusals = append(refusals, err)
		}
	}
	return errors.Join(refusals...)
}
