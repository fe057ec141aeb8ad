package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/claviger/kms/keystore"
)

// Commit implements [keystore.Store]. If ctx ends while the commit still waits for another group to be written, it is withdrawn without effect; once its own
// group is begun, Commit waits for the outcome, however ctx fares. After [keystore.ErrUnknown] the store has failed, and the outcome is seen on reopening.
func (s *Store) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if err := keystore.ValidateBatch(changes); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m := newMember(ctx.Done(), changes)
	rev, err := s.submit(m)
	if err == errEnded {
		return 0, endOf(ctx)
	}
	return rev, err
}

// submit sees m through the queue.
func (s *Store) submit(m *member) (keystore.Revision, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	switch {
	case s.closed:
		return 0, keystore.ErrClosed
	case s.readOnly:
		return 0, keystore.ErrReadOnly
	}
	s.queue.join(m)
	select {
	case <-m.done:
	case <-m.ended:
		if s.queue.leave(m) {
			return 0, errEnded
		}
		<-m.done
	case s.queue.turn <- struct{}{}:
		s.lead(m)
	}
	return m.rev, m.err
}

// lead commits groups until m has been in one. The caller holds the turn.
func (s *Store) lead(m *member) {
	defer func() { <-s.queue.turn }()
	for {
		select {
		case <-m.done:
			return
		default:
			s.queue.gather()
			s.commit(s.queue.take())
		}
	}
}

// commit decides the members of a group in order, each against the effects of those before it, writes what they change in one transaction, and tells them.
func (s *Store) commit(group []*member) {
	if s.failed != nil { // only a leader sets it
		for _, m := range group {
			m.finish(0, s.failed)
		}
		return
	}
	g := &transaction{base: s.snap, revision: s.snap.revision, effects: make(map[string]effect)}
	revisions, errs := make([]keystore.Revision, len(group)), make([]error, len(group))
	for i, m := range group {
		revisions[i], errs[i] = g.admit(m.changes)
	}
	var unwritten error
	if len(g.effects) > 0 {
		unwritten = s.write(g)
	}
	s.queue.release(group)
	for i, m := range group {
		if unwritten != nil && (errs[i] == nil || errors.Is(errs[i], keystore.ErrConflict)) {
			revisions[i], errs[i] = 0, unwritten // a conflict too, for it may have been one with a change that is not made
		}
		m.finish(revisions[i], errs[i])
	}
}

// A transaction collects what a group changes.
type transaction struct {
	base     *snapshot
	revision keystore.Revision // the last one given
	effects  map[string]effect // by name, against base
}

// An effect is the frame that a record will have; a deleted record has revision zero.
type effect struct {
	revision keystore.Revision
	frame    []byte
}

// admit checks what one member's changes require and adds their effects, or fails and adds none. The revision is zero if nothing changes. Each member has a
// revision of its own: with one for the group, a second writer of a record could require a revision that it cannot have read.
func (g *transaction) admit(changes []keystore.Change) (keystore.Revision, error) {
	for i, c := range changes {
		rev, err := g.current(c.Name)
		if err != nil {
			return 0, err
		}
		if rev != c.Revision {
			return 0, fmt.Errorf("%w (change %d)", keystore.ErrConflict, i)
		}
		if c.Op == keystore.Delete {
			if err := g.base.checkSiblings(c.Name); err != nil {
				return 0, err
			}
		}
	}
	if !slices.ContainsFunc(changes, func(c keystore.Change) bool { return c.Op != keystore.Check }) {
		return 0, nil
	}
	g.revision++
	for _, c := range changes {
		switch c.Op {
		case keystore.Put:
			g.effects[c.Name] = effect{revision: g.revision, frame: encodeFrame(c.Name, g.revision, c.Value)}
		case keystore.Delete:
			g.effects[c.Name] = effect{}
		case keystore.Check:
		}
	}
	return g.revision, nil
}

// current returns the revision of a record, or zero if there is none. It reads the path that bbolt will take to the record, and so makes sure that bbolt can.
func (g *transaction) current(name string) (keystore.Revision, error) {
	frame, err := g.base.find(name)
	if err != nil {
		return 0, err
	}
	if e, ok := g.effects[name]; ok {
		return e.revision, nil
	}
	if frame == nil {
		return 0, nil
	}
	rev, _ := decodeName(name, frame) // find has checked it
	if rev == 0 || rev > g.base.revision {
		return 0, damaged("revision of the store", nil) // it went back, and would be given twice
	}
	return rev, nil
}

// write makes the effects durable and publishes the new snapshot. If the file is not as it was left, or bbolt refuses to begin, nothing is changed and the store
// goes on. If it fails later, the store has failed and the outcome is unknown: bbolt's last step is to write and sync the meta page, and after an error nobody
// can say whether the disk has it. A panic of bbolt is always such a failure, since nobody can say what it left locked.
func (s *Store) write(g *transaction) error {
	if err := g.base.checkCurrent(); err != nil {
		return err
	}
	var next *snapshot
	var tx *bbolt.Tx
	err := guard(func() (err error) {
		if tx, err = s.db.Begin(true); err != nil {
			return err
		}
		if err = g.apply(tx); err != nil {
			return err
		}
		id := uint64(tx.ID())
		if err = tx.Commit(); err != nil {
			return err
		}
		if next, err = readSnapshot(s.file, g.base.pageSize, false); err == nil && (next.tx != id || next.revision != g.revision) {
			err = damaged("state just written", nil)
		}
		return err
	})
	_, stuck := errors.AsType[*errPanic](err)
	switch {
	case err == nil:
	case tx != nil:
		_, stuck = errors.AsType[*errPanic](guard(tx.Rollback)) // what failed may have left the transaction open, and with it the lock that Close needs
	case !stuck:
		return &failure{kind: keystore.ErrFailed, what: "write could not begin", cause: err}
	}
	s.mu.Lock() // waits for those who read the snapshot before this one, whose pages the next transaction may write to
	defer s.mu.Unlock()
	if err != nil {
		s.stuck = stuck
		s.failed = &failure{kind: keystore.ErrFailed, what: "an earlier write failed", cause: err}
		return &failure{kind: keystore.ErrUnknown, what: "write failed", cause: err}
	}
	next.branches.inherit(g.base.branches, next.free)
	s.snap = next
	return nil
}

// apply does the changes in bbolt, in the order of names, which is the cheapest for its tree.
func (g *transaction) apply(tx *bbolt.Tx) error {
	records := tx.Bucket([]byte(recordsBucket))
	header := tx.Bucket([]byte(headerBucket))
	if records == nil || header == nil {
		return damaged("buckets", nil)
	}
	for _, name := range slices.Sorted(maps.Keys(g.effects)) {
		var err error
		if e := g.effects[name]; e.revision == 0 {
			err = records.Delete([]byte(name))
		} else {
			err = records.Put([]byte(name), e.frame)
		}
		if err != nil {
			return err
		}
	}
	return header.Put([]byte(revisionName), encodeFrame(revisionName, g.revision, nil))
}
