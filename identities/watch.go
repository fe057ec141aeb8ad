package identities

import (
	"context"
	"fmt"
	"time"

	"github.com/claviger/kms/internal/watch"
)

// Watch looks at the files every interval, which must be positive, and reloads them when their names, sizes, times of modification or inodes have changed. It returns
// when ctx is done.
//
// Whatever is wrong leaves in force what was read last: report is called with the error, once for as long as it stays the same. It is called with nil when a change has
// taken effect, and when what was wrong is over.
//
// That a file is gone is an error too, since with it may go what limits somebody: only [Directory.Reload] goes on without it. To take away all that a file says,
// replace what is in it by {}.
//
// A file that is changed twice within two seconds, in place and to the same size, may look as if it were changed once: files are therefore read again until they have
// looked the same for that long.
func (d *Directory) Watch(ctx context.Context, interval time.Duration, report func(error)) {
	if report == nil {
		panic("identities: Watch without a report")
	}
	watch.Run(ctx, interval, d.look, report)
}

// look reloads the files if they may have changed, and reports whether anything is different.
func (d *Directory) look() (changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.path == "" {
		return false, errNoFile
	}
	now, err := list(d.path)
	if err != nil {
		return false, fmt.Errorf("identities: %w", err)
	}
	if gone := d.listed.missing(now); gone != "" {
		return false, fmt.Errorf("identities: %s is gone: what it said stays in force until it is back, or until Reload", gone)
	}
	if now.same(d.listed) && d.settled {
		return false, nil
	}
	if changed, err = d.load(now); err != nil {
		return false, fmt.Errorf("identities: %w", err)
	}
	return changed, nil
}
