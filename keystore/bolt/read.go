package bolt

import (
	"context"
	"fmt"
	"strconv"

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
	ended := ctx.Done()
	var page []keystore.Record
	err := s.read(func(snap *snapshot) (err error) {
		page, err = snap.list(ended, prefix, after, limit)
		return err
	})
	if err == errEnded {
		return nil, endOf(ctx)
	}
	return page, err
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

// decodeRecord returns the record in the frame found under name, with a copy of its value.
func decodeRecord(name string, frame []byte) (keystore.Record, error) {
	rev, value, ok := decodeFrame(name, frame)
	if !ok {
		return keystore.Record{}, damaged("record "+strconv.Quote(name), nil)
	}
	return keystore.Record{Name: name, Value: append([]byte{}, value...), Revision: rev}, nil
}
