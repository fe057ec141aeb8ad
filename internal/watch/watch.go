// Package watch keeps what was read from files as the files are.
package watch

import (
	"context"
	"time"
)

// Run calls look every interval, which must be positive, until ctx is done. look reads again what may have changed, and reports whether anything is different. report is
// called with its error, once for as long as that stays the same, and with nil when a change has taken effect, and when what was wrong is over.
func Run(ctx context.Context, interval time.Duration, look func() (changed bool, err error), report func(error)) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	wrong := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		changed, err := look()
		switch {
		case err != nil && err.Error() != wrong:
			wrong = err.Error()
			report(err)
		case err == nil && (changed || wrong != ""):
			wrong = ""
			report(nil)
		}
	}
}
