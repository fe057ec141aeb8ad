package kms

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/cryptobyte"

	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/keystore"
)

// ErrRolledBack is the cause of errors about a store that holds less than what the ring had acknowledged before: an older copy of it, or of some of its records.
// Only a ring with a [Config.Anchor] can tell in every case.
var ErrRolledBack = errors.New("the store has gone back behind what the keyring acknowledged")

const (
	ledgerItem = kindLedger

	ringEntry     = 256 // of the ring's own record, after those of the buckets
	ledgerEntries = ringEntry + 1

	maxProofs = 4096

	// pastLedgers is how many ledgers a ledger names that were before it: more than there are processes that may be between their commit and the anchor.
	pastLedgers = 64
)

// A ledgerEntry says as of which write a record is known to the anchor.
type ledgerEntry struct {
	generation uint64
	changeID   [8]byte // the first bytes of it: who makes another record of one generation cannot choose them
}

func entryOf(s source) ledgerEntry {
	return ledgerEntry{s.generation, [8]byte(s.changeID[:8])}
}

// before reports whether a record is older than the entry, or another one of the same generation.
func (s source) before(e ledgerEntry) bool {
	return s.generation < e.generation || s.generation == e.generation && entryOf(s) != e
}

// A ledgerRecord ties the totals, and the ring's own record, to the mark in the anchor, which is of the ledger's own generation and change id. Only a ring with an
// anchor has one. It names those before it, so that whoever finds the anchor at an older one sees that it was made of that.
type ledgerRecord struct {
	entries [ledgerEntries]ledgerEntry
	past    [pastLedgers][8]byte // of change ids, the newest first
}

func (r *ledgerRecord) fields() []field {
	return []field{{1, func() []byte {
		var b []byte
		for _, e := range r.entries {
			b = append(binary.BigEndian.AppendUint64(b, e.generation), e.changeID[:]...)
		}
		return b
	}, func(v cryptobyte.String) bool {
		for i := range r.entries {
			if !v.ReadUint64(&r.entries[i].generation) || !v.CopyBytes(r.entries[i].changeID[:]) {
				return false
			}
		}
		return v.Empty()
	}}, {2, func() []byte {
		var b []byte
		for _, id := range r.past {
			b = append(b, id[:]...)
		}
		return b
	}, func(v cryptobyte.String) bool {
		for i := range r.past {
			if !v.CopyBytes(r.past[i][:]) {
				return false
			}
		}
		return v.Empty()
	}}}
}

// mark is how the anchor knows a ledger.
func (s source) mark() anchor.Mark {
	return anchor.Mark{Number: s.generation, ID: entryOf(s).changeID}
}

// follows reports whether the ledger that came from `from` is the one of a mark, or was made of that. The zero mark is before all.
func (r *ledgerRecord) follows(from source, m anchor.Mark) bool {
	switch {
	case m == anchor.Mark{}, m == from.mark():
		return true
	case m.Number >= from.generation, from.generation-m.Number > pastLedgers:
		return false
	default:
		return r.past[from.generation-m.Number-1] == m.ID
	}
}

// succeed makes the ledger that came from `from` the next one.
func (r *ledgerRecord) succeed(from source) {
	copy(r.past[1:], r.past[:])
	r.past[0] = from.mark().ID
}

// anchoring is what a vault with an anchor knows.
type anchoring struct {
	anchor anchor.Anchor // nil if there is none
	ring   string
	clock  *clock

	turn chan struct{} // holds a token while the ledger is written

	mu       sync.Mutex // guards the rest
	ledger   ledgerRecord
	from     source              // of the ledger
	anchored anchor.Mark         // where the anchor is known to have been
	pending  map[int]ledgerEntry // committed, and not in the ledger yet
	proofs   map[string]proof    // by the names of records
}

// A proof is that a record was found to be the one that its bucket's total counts.
type proof struct{ record, total [16]byte } // change ids

func (a *anchoring) init(an anchor.Anchor, ring string, clock *clock) {
	*a = anchoring{anchor: an, ring: ring, clock: clock, turn: make(chan struct{}, 1), pending: make(map[int]ledgerEntry), proofs: make(map[string]proof)}
}

// openAnchor compares the store with the anchor when a ring is opened. ring is where the ring's own record came from.
func (c *core) openAnchor(ctx context.Context, ring source) error {
	a := &c.anchoring
	m, err := a.anchor.Load(ctx, a.ring)
	if err != nil {
		return err
	}
	a.anchored = m
	err = c.readLedger(ctx)
	switch {
	case errors.Is(err, keystore.ErrNotFound) && m == anchor.Mark{}: // the anchor begins here, with what the store holds
		if err := c.beginLedger(ctx, ring); err != nil {
			return err
		}
	case errors.Is(err, keystore.ErrNotFound):
		return &Problem{ledgerItem, fmt.Sprintf("the anchor stands at %d, and the store knows of no anchor", m.Number), ErrRolledBack}
	case err != nil:
		return err
	default:
		if err := a.follow(m); err != nil {
			return err
		}
	}
	if ring.before(a.entry(ringEntry)) {
		return errRolledBack(ringItem)
	}
	_, now := c.clock.read()
	return c.record(ctx, nil, now)
}

// follow fails unless the ledger, as it is known, is the one that the anchor knows or was made of that.
func (a *anchoring) follow(m anchor.Mark) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ledger.follows(a.from, m):
		return nil
	case a.from.generation < m.Number:
		return &Problem{ledgerItem, fmt.Sprintf("the anchor stands at %d, and the store at %d", m.Number, a.from.generation), ErrRolledBack}
	default:
		return &Problem{ledgerItem, fmt.Sprintf("the store has gone another way than the anchor, at %d", m.Number), ErrRolledBack}
	}
}

// catchUp reads the ledger if the one that is known is not the one that the anchor knows, nor was made of that.
func (v *vault) catchUp(ctx context.Context, m anchor.Mark) error {
	a := &v.anchoring
	if a.follow(m) == nil {
		return nil
	}
	if err := v.readLedger(ctx); errors.Is(err, keystore.ErrNotFound) {
		return errRolledBack(ledgerItem)
	} else if err != nil {
		return err
	}
	return a.follow(m)
}

// beginLedger notes all totals as they are.
func (v *vault) beginLedger(ctx context.Context, ring source) error {
	entries := map[int]ledgerEntry{ringEntry: entryOf(ring)}
	for at := range ringEntry {
		_, from, err := v.readTotal(ctx, bucket(at))
		if err != nil {
			return err
		}
		if from.generation != 0 {
			entries[at] = entryOf(from)
		}
	}
	v.anchoring.pending = entries
	return nil
}

// readLedger reads the ledger as the store has it. What this process knows already is not unlearnt, and a later one must have been made of it.
func (v *vault) readLedger(ctx context.Context) error {
	a := &v.anchoring
	a.mu.Lock()
	before := a.from
	a.mu.Unlock()
	var r ledgerRecord
	from, _, err := v.read(ctx, kindLedger, ledgerItem, &r)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.from
	switch {
	case from.generation < known.generation && from.generation >= before.generation: // this process has written it since
	case from.generation < known.generation:
		return errRolledBack(ledgerItem)
	case r.follows(from, known.mark()), a.anchored == known.mark() && from.generation-known.generation > pastLedgers: // the anchor goes from one to what was made of it
		a.ledger, a.from = r, from // also at another revision
	default:
		return errRolledBack(ledgerItem)
	}
	return nil
}

// record brings what was committed into the ledger and the ledger's mark into the anchor, before anybody is told of the commit. Callers who wait for each other
// share one turn. Nobody who has the turn of the domain keys may call it.
func (v *vault) record(ctx context.Context, entries map[int]ledgerEntry, now int64) error {
	a := &v.anchoring
	if a.anchor == nil {
		return nil
	}
	a.mu.Lock()
	for i, e := range entries {
		if a.pending[i].generation < e.generation {
			a.pending[i] = e
		}
	}
	a.mu.Unlock()
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done(): // what is pending is left to the next one
		return ctx.Err()
	}
	ctx = context.WithoutCancel(ctx) // the change is made: whoever is told of nothing must not leave it out of the ledger
	if err := v.writeLedger(ctx, now); err != nil {
		return err
	}
	return v.advance(ctx)
}

// writeLedger commits ledgers until one has everything that is pending. The caller has the turn.
func (v *vault) writeLedger(ctx context.Context, now int64) error {
	a := &v.anchoring
	for try := 0; ; try++ {
		b, next, generation := v.ledgerBatch(now)
		if b == nil {
			return nil
		}
		revision, err := v.store.Commit(ctx, append(b.changes, b.sealing.check()))
		if errors.Is(err, keystore.ErrUnknown) {
			revision, err = v.lookUp(ctx, b, err)
		}
		switch {
		case err == nil:
			a.mu.Lock()
			if a.from.generation < generation { // else it was read back already
				a.ledger, a.from = *next, source{revision, generation, b.header.ChangeID, b.header.Time}
			}
			a.mu.Unlock()
		case errors.Is(err, keystore.ErrConflict) && try < maxTries:
			if err := v.refresh(ctx); err != nil {
				return err
			}
			if err := v.readLedger(ctx); errors.Is(err, keystore.ErrNotFound) && generation > 1 {
				return errRolledBack(ledgerItem)
			} else if err != nil && !errors.Is(err, keystore.ErrNotFound) {
				return err
			}
			if err := pause(ctx, try); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// advance moves the anchor to the ledger, from where it is known to have been. If it has moved meanwhile, the ledger must have been made of the one that it moved
// to, or that one of this. The caller has the turn.
func (v *vault) advance(ctx context.Context) error {
	a := &v.anchoring
	for try := range maxTries {
		a.mu.Lock()
		at, to := a.anchored, a.from.mark()
		a.mu.Unlock()
		err := v.catchUp(ctx, at) // what the ledger is now must be made of what was anchored
		if err == nil {
			if at == to {
				return nil
			}
			err = a.anchor.Advance(ctx, a.ring, at, to)
		}
		if err == nil {
			a.reached(to)
			return nil
		}
		if !errors.Is(err, anchor.ErrMoved) && !errors.Is(err, ErrRolledBack) {
			return err
		}
		m, loadErr := a.anchor.Load(ctx, a.ring)
		if loadErr != nil {
			return loadErr
		}
		if err := v.catchUp(ctx, m); err != nil {
			return err
		}
		a.reached(m)
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	return keystore.ErrConflict
}

// reached notes where the anchor is.
func (a *anchoring) reached(m anchor.Mark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.anchored = m
}

// ledgerBatch returns the next ledger and its generation, or nil if the ledger has everything that is pending.
func (v *vault) ledgerBatch(now int64) (b *batch, next *ledgerRecord, generation uint64) {
	a := &v.anchoring
	a.mu.Lock()
	defer a.mu.Unlock()
	ledger, changed := a.ledger, a.from.generation == 0
	for i, e := range a.pending {
		if ledger.entries[i].generation < e.generation {
			ledger.entries[i], changed = e, true
		} else {
			delete(a.pending, i)
		}
	}
	if !changed {
		return nil, nil, 0
	}
	ledger.succeed(a.from)
	b = v.batch(now)
	b.put(kindLedger, ledgerItem, a.from, &ledger)
	return b, &ledger, a.from.generation + 1
}

// entry returns what the ledger says of a total, or of the ring's own record. It is asked before the record is read: what the ledger learns meanwhile may be newer
// than what was read.
func (a *anchoring) entry(i int) ledgerEntry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.entries[i]
}

// errMovedOn says that a record changed while it was looked at.
var errMovedOn = errors.New("kms: the record changed meanwhile")

// compareAnchor reads the ledger, and compares it with the anchor and with what this process knows of it.
func (v *vault) compareAnchor(ctx context.Context) error {
	a := &v.anchoring
	if a.anchor == nil {
		return nil
	}
	m, err := a.anchor.Load(ctx, a.ring)
	if err != nil {
		return err
	}
	if err := v.readLedger(ctx); errors.Is(err, keystore.ErrNotFound) {
		return errRolledBack(ledgerItem)
	} else if err != nil {
		return err
	}
	return a.follow(m)
}

// prove compares a record that decides something, or its absence, with its total, the total with the ledger and the ledger with the anchor. It costs what it costs
// to read all records of the bucket, unless nothing in the bucket has changed since it was last proved. What is not anchored yet is anchored first. It fails with
// errMovedOn if the record is to be read again.
func (v *vault) prove(ctx context.Context, kind, item string, got source) error {
	a := &v.anchoring
	at, isCounted := bucketOf(kind, item)
	if a.anchor == nil || !isCounted {
		return nil
	}
	m, err := a.anchor.Load(ctx, a.ring)
	if err != nil {
		return &fault{code: ErrDependencyTimeout, message: "the anchor failed", cause: err}
	}
	if err := v.catchUp(ctx, m); err != nil {
		return err
	}
	a.mu.Lock()
	want, known, ahead := a.ledger.entries[at], a.proofs[item], a.from.mark() != m
	a.mu.Unlock()
	total, from, err := v.readTotal(ctx, at)
	if err != nil {
		return err
	}
	if from.before(want) {
		return errRolledBack(totalItem(at))
	}
	if ahead || entryOf(from) != want { // nothing is said of a change that could still be taken back
		_, now := a.clock.read()
		if err := v.record(ctx, map[int]ledgerEntry{int(at): entryOf(from)}, now); err != nil {
			return err
		}
	}
	p := proof{record: got.changeID, total: from.changeID}
	if p == known {
		return nil
	}
	counted, found, err := v.countBucket(ctx, at, item)
	if err != nil {
		return err
	}
	if _, again, err := v.readTotal(ctx, at); err != nil || again != from {
		return errors.Join(err, errMovedOn)
	}
	if counted != total {
		return errRolledBack(item)
	}
	if !bytes.Equal(found.changeID[:], got.changeID[:]) {
		return errMovedOn
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.proofs) >= maxProofs {
		clear(a.proofs)
	}
	a.proofs[item] = p
	return nil
}
