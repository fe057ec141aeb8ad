package memory

import (
	"context"
	"errors"

	"github.com/claviger/kms/keystore"
)

// maxBacklog is how many commits a watcher may be behind before its feed breaks.
const maxBacklog = 1024

var errBehind = errors.New("memory: watcher fell too far behind")

// A watcher is one running Watch. The store writes err once, before it closes commits.
type watcher struct {
	commits chan []keystore.Notice
	err     error
}

// Watch implements [keystore.Watcher]. A progress mark follows each commit. A watcher that is more than 1024 commits behind breaks with an error, so that a
// slow one cannot use up memory. f may call the store.
func (s *Store) Watch(ctx context.Context, f func(keystore.Notice)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w, err := s.watch()
	if err != nil {
		return err
	}
	defer s.unwatch(w)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case notices, ok := <-w.commits:
			if !ok {
				return w.err
			}
			for _, n := range notices {
				f(n)
			}
		}
	}
}

func (s *Store) watch() (*watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, keystore.ErrClosed
	}
	w := &watcher{commits: make(chan []keystore.Notice, maxBacklog)}
	s.watchers[w] = struct{}{}
	return w, nil
}

func (s *Store) unwatch(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
}

// notify hands one commit to every watcher without waiting. The caller holds mu. The watchers share notices and only read them.
func (s *Store) notify(notices []keystore.Notice) {
	for w := range s.watchers {
		select {
		case w.commits <- notices:
		default:
			s.end(w, errBehind)
		}
	}
}

// end breaks the feed of w after what is already in it. The caller holds mu.
func (s *Store) end(w *watcher, err error) {
	delete(s.watchers, w)
	w.err = err
	close(w.commits)
}
