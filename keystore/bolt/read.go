package bolt

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/claviger/kms/keystore"
)

// Get implements [keystore.Store].
func (s *Store) Get(ctx context.Context, name string) (keystore.Record, error) {
	if err := keystore.ValidateName(name); err != nil {
		return keystore.Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return keystore.Record{}, err
	}
	var r keystore.Record
	err := s.read(func(snap *snapshot) error {
		frame, err := snap.find(name)
		if err != nil {
			return err
		}
		if frame == nil {
			return fmt.Errorf("%w: %s", keystore.ErrNotFound, strconv.Quote(name))
		}
		r, err = decodeRecord(name, frame)
		return err
	})
	return r, err
}

// List implements [keystore.Store].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if err := keystore.ValidateList(prefix, after, limit); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	first := max(prefix, "\x01") // the first fence is no record
	if after != "" {
		first = max(first, after+"\x00") // names hold no NUL, so this is the first possible name after it
	}
	ended := ctx.Done()
	var page []keystore.Record
	err := s.read(func(snap *snapshot) (err error) {
		page, err = snap.list(ended, prefix, first, limit)
		return err
	})
	if err == errEnded {
		return nil, endOf(ctx)
	}
	if err != nil {
		return nil, err
	}
	return page, nil
}

// read calls f with the newest snapshot, which stays good until f returns.
func (s *Store) read(f func(*snapshot) error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return keystore.ErrClosed
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.failed != nil {
		return s.failed
	}
	return f(s.snap)
}

// list returns up to limit records with the prefix and a name that is not less than first. It fails with [errEnded] once ended is closed.
func (s *snapshot) list(ended <-chan struct{}, prefix, first string, limit int) ([]keystore.Record, error) {
	c, err := s.from(first)
	if err != nil {
		return nil, err
	}
	var page []keystore.Record
	for {
		if hasEnded(ended) {
			return nil, errEnded
		}
		b, frame, _ := c.at()
		name := string(b)
		if name == lastFence || !strings.HasPrefix(name, prefix) {
			return page, c.check() // the end is where a record beyond it proves it
		}
		r, err := decodeRecord(name, frame)
		if err != nil {
			return nil, err
		}
		if page = append(page, r); len(page) == limit {
			return page, nil
		}
		if ok, err := c.move(1); err != nil {
			return nil, err
		} else if !ok {
			return nil, damaged("record after "+strconv.Quote(name), nil)
		}
	}
}

// decodeRecord returns the record in the frame found under name, with a copy of its value.
func decodeRecord(name string, frame []byte) (keystore.Record, error) {
	rev, value, ok := decodeFrame(name, frame)
	if !ok {
		return keystore.Record{}, damaged("record "+strconv.Quote(name), nil)
	}
	return keystore.Record{Name: name, Value: append([]byte{}, value...), Revision: rev}, nil
}
