package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/claviger/kms/keystore"
)

// watchRules hold for a store that is a [keystore.Watcher], and trivially for any other.
var watchRules = []rule{
	{
		name: "a feed misses and repeats nothing",
		why:  "a change made by another process stays unseen until its staleness bound",
		check: func(ctx context.Context, s keystore.Store) error {
			w, ok := s.(keystore.Watcher)
			if !ok {
				return nil
			}
			feed := watch(ctx, w)
			defer feed.stop()
			if err := feed.begin(ctx, s); err != nil {
				return err
			}
			var mu sync.Mutex
			var want []keystore.Notice
			err := together(4, func(i int) error {
				name := fmt.Sprintf("feed/%d", i)
				var rev keystore.Revision
				for n := range 15 {
					c := keystore.Change{Op: keystore.Put, Name: name, Revision: rev}
					if n%3 == 2 {
						c.Op = keystore.Delete
					}
					next, err := s.Commit(ctx, []keystore.Change{c})
					if err != nil {
						return err
					}
					mu.Lock()
					want = append(want, keystore.Notice{Name: name, Revision: next})
					mu.Unlock()
					if rev = next; n%3 == 2 {
						rev = 0
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			last, err := put(ctx, s, "feed/end", "", 0)
			if err != nil {
				return err
			}
			got, err := feed.until(ctx, last)
			if err != nil {
				return err
			}
			slices.SortFunc(want, func(a, b keystore.Notice) int { return int(a.Revision) - int(b.Revision) })
			if !slices.Equal(got, want) {
				return fmt.Errorf("got notices %v, want %v", got, want)
			}
			return nil
		},
	},
	{
		name: "a feed ends with its context",
		why:  "a closed keyring leaks its watcher",
		check: func(ctx context.Context, s keystore.Store) error {
			w, ok := s.(keystore.Watcher)
			if !ok {
				return nil
			}
			short, cancel := context.WithCancel(ctx)
			cancel()
			return wantError("Watch", w.Watch(short, func(keystore.Notice) {}), context.Canceled)
		},
	},
}

// A feed is a running Watch.
type feed struct {
	stop    context.CancelFunc
	notices chan keystore.Notice
	ended   chan error
}

func watch(ctx context.Context, w keystore.Watcher) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{stop: cancel, notices: make(chan keystore.Notice, 1024), ended: make(chan error, 1)}
	go func() {
		f.ended <- w.Watch(ctx, func(n keystore.Notice) {
			select {
			case f.notices <- n:
			case <-ctx.Done():
			}
		})
	}()
	return f
}

// begin commits until the first notice arrives, since nothing else tells when Watch has begun, and reads up to the progress mark of the last of these commits.
func (f *feed) begin(ctx context.Context, s keystore.Store) error {
	var rev keystore.Revision
	for len(f.notices) == 0 {
		next, err := put(ctx, s, "feed/begin", "", rev)
		if err != nil {
			return err
		}
		rev = next
		runtime.Gosched() // a feed may break if it is left far behind
		select {
		case err := <-f.ended:
			return fmt.Errorf("watch ended at once: %w", err)
		default:
		}
	}
	last, err := put(ctx, s, "feed/begun", "", 0)
	if err != nil {
		return err
	}
	_, err = f.until(ctx, last)
	return err
}

// until returns the notices before those of revision last, and reads on to its progress mark.
func (f *feed) until(ctx context.Context, last keystore.Revision) ([]keystore.Notice, error) {
	var notices []keystore.Notice
	var reached keystore.Revision
	for {
		select {
		case err := <-f.ended:
			return nil, fmt.Errorf("watch ended: %w", errors.Join(err, ctx.Err()))
		case n := <-f.notices:
			if n.Revision < reached {
				return nil, fmt.Errorf("notice of revision %d after revision %d", n.Revision, reached)
			}
			reached = n.Revision
			switch {
			case n.Name == "" && n.Revision >= last:
				return notices, nil
			case n.Name != "" && n.Revision < last:
				notices = append(notices, n)
			}
		}
	}
}
