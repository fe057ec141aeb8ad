// Package memory is a key store that lives and dies with its process: for tests, and for keyrings that are meant to be forgotten.
//
// It is ordered, so that a listing costs its page and not the store, and holds a million records without a scan.
package memory

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/claviger/kms/keystore"
)

var (
	_ keystore.Store   = (*Store)(nil)
	_ keystore.Watcher = (*Store)(nil)
)

// A Store keeps records in memory. Make one with [New]. Its methods may be called concurrently.
type Store struct {
	mu       sync.RWMutex // guards all below
	closed   bool
	records  index
	revision keystore.Revision // the last one given; counts commits of the whole store, so that none is used twice
	watchers map[*watcher]struct{}
}

// New returns an empty store.
func New() *Store {
	return &Store{watchers: make(map[*watcher]struct{})}
}

// Get implements [keystore.Store].
func (s *Store) Get(ctx context.Context, name string) (keystore.Record, error) {
	if err := keystore.ValidateName(name); err != nil {
		return keystore.Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return keystore.Record{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return keystore.Record{}, keystore.ErrClosed
	}
	r, ok := s.records.get(name)
	if !ok {
		return keystore.Record{}, fmt.Errorf("%w: %q", keystore.ErrNotFound, name)
	}
	return clone(r), nil
}

// List implements [keystore.Store].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if err := keystore.ValidateList(prefix, after, limit); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, keystore.ErrClosed
	}
	first := prefix
	if after != "" {
		first = max(prefix, after+"\x00") // names hold no NUL, so this is the first possible name after it
	}
	var page []keystore.Record
	for r := range s.records.from(first) {
		if len(page) == limit || !strings.HasPrefix(r.Name, prefix) {
			break
		}
		page = append(page, clone(r))
	}
	return page, nil
}

// Commit implements [keystore.Store]. It never fails with [keystore.ErrUnknown].
func (s *Store) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if err := keystore.ValidateBatch(changes); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, keystore.ErrClosed
	}
	for i, c := range changes {
		if r, _ := s.records.get(c.Name); r.Revision != c.Revision {
			return 0, fmt.Errorf("%w (change %d)", keystore.ErrConflict, i)
		}
	}
	s.revision++
	notices := make([]keystore.Notice, 0, len(changes)+1)
	for _, c := range changes {
		switch c.Op {
		case keystore.Put:
			// The name too, since a caller's may be a small part of a large string.
			s.records.put(clone(keystore.Record{Name: strings.Clone(c.Name), Value: c.Value, Revision: s.revision}))
		case keystore.Delete:
			s.records.delete(c.Name)
		case keystore.Check:
			continue
		}
		notices = append(notices, keystore.Notice{Name: c.Name, Revision: s.revision})
	}
	s.notify(append(notices, keystore.Notice{Revision: s.revision}))
	return s.revision, nil
}

// Close implements [keystore.Store] and forgets all records. Watchers end with [keystore.ErrClosed].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.records = index{}
	for w := range s.watchers {
		s.end(w, keystore.ErrClosed)
	}
	return nil
}

// clone returns r with a copy of its value, never nil.
func clone(r keystore.Record) keystore.Record {
	r.Value = append([]byte{}, r.Value...)
	return r
}
