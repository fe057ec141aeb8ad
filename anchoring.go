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

// A ledgerRecord ties the totals, and the ring's own record, to the number in the anchor, which is the ledger's own generation. Only a ring with an anchor has one.
type ledgerRecord struct{ entries [ledgerEntries]ledgerEntry }

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
	}}}
}

// anchoring is what a vault with an anchor knows.
type anchoring struct {
	anchor anchor.Anchor // nil if there is none
	ring   string

	turn chan struct{} // holds a token while the ledger is written

	mu       sync.Mutex // guards the rest
	ledger   ledgerRecord
	from     source              // of the ledger
	anchored uint64              // the number that the anchor is known to have reached
	pending  map[int]ledgerEntry // committed, and not in the ledger yet
	proofs   map[string]proof    // by the names of records
}

// A proof is that a record was found to be the one that its bucket's total counts.
type proof struct{ record, total [16]byte } // change ids

func (a *anchoring) init(an anchor.Anchor, ring string) {
	*a = anchoring{anchor: an, ring: ring, turn: make(chan struct{}, 1), pending: make(map[int]ledgerEntry), proofs: make(map[string]proof)}
}

// openAnchor compares the store with the anchor when a ring is opened. ring is where the ring's own record came from.
func (c *core) openAnchor(ctx context.Context, ring source) error {
	a := &c.anchoring
	n, err := a.anchor.Load(ctx, a.ring)
	if err != nil {
		return err
	}
	err = c.readLedger(ctx)
	switch {
	case errors.Is(err, keystore.ErrNotFound) && n == 0: // the anchor begins here, with what the store holds
		if err := c.beginLedger(ctx, ring); err != nil {
			return err
		}
	case errors.Is(err, keystore.ErrNotFound):
		return &Problem{ledgerItem, fmt.Sprintf("the anchor stands at %d, and the store knows of no anchor", n), ErrRolledBack}
	case err != nil:
		return err
	case a.from.generation < n:
		return &Problem{ledgerItem, fmt.Sprintf("the anchor stands at %d, and the store at %d", n, a.from.generation), ErrRolledBack}
	}
	if ring.before(a.entry(ringEntry)) {
		return errRolledBack(ringItem)
	}
	_, now := c.clock.read()
	return c.record(ctx, nil, now)
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

// readLedger reads the ledger as the store has it. What this process knows already is not unlearnt.
func (v *vault) readLedger(ctx context.Context) error {
	a := &v.anchoring
	a.mu.Lock()
	known := a.from
	a.mu.Unlock()
	var r ledgerRecord
	from, _, err := v.read(ctx, kindLedger, ledgerItem, &r)
	if err != nil {
		return err
	}
	if from.before(entryOf(known)) {
		return errRolledBack(ledgerItem)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if from.generation > a.from.generation { // else this process has written it since
		a.ledger, a.from = r, from
	}
	return nil
}

// record brings what was committed into the ledger and the ledger's generation into the anchor, before anybody is told of the commit. Callers who wait for each
// other share one turn.
func (v *vault) record(ctx context.Context, entries map[int]ledgerEntry, now int64) error {
	a := &v.anchoring
	if a.anchor == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // the change is made: whoever is told of nothing must not leave it out of the ledger
	a.mu.Lock()
	for i, e := range entries {
		if a.pending[i].generation < e.generation {
			a.pending[i] = e
		}
	}
	a.mu.Unlock()
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	for {
		b, next, generation := v.ledgerBatch(now)
		if b == nil {
			break
		}
		revision, err := v.store.Commit(ctx, append(b.changes, b.sealing.check()))
		if errors.Is(err, keystore.ErrUnknown) {
			revision, err = v.lookUp(ctx, b, err)
		}
		if errors.Is(err, keystore.ErrConflict) {
			if err = v.refresh(ctx); err == nil {
				err = v.readLedger(ctx)
			}
			if err == nil || errors.Is(err, keystore.ErrNotFound) {
				continue
			}
		}
		if err != nil {
			return err
		}
		a.mu.Lock()
		if a.from.generation < generation { // else it was read back already
			a.ledger, a.from = *next, source{revision: revision, generation: generation, changeID: b.header.ChangeID}
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	n, done := a.from.generation, a.anchored
	a.mu.Unlock()
	if n <= done {
		return nil
	}
	if err := a.anchor.Advance(ctx, a.ring, n); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.anchored = max(a.anchored, n)
	return nil
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

// caughtUp reads the ledger, and compares it with the anchor and with what this process knows of it.
func (v *vault) caughtUp(ctx context.Context) error {
	a := &v.anchoring
	if a.anchor == nil {
		return nil
	}
	n, err := a.anchor.Load(ctx, a.ring)
	if err != nil {
		return err
	}
	err = v.readLedger(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if errors.Is(err, keystore.ErrNotFound) || err == nil && a.from.generation < n {
		return errRolledBack(ledgerItem)
	}
	return err
}

// prove compares a record that decides something, or its absence, with its total, the total with the ledger and the ledger with the anchor. It costs what it costs
// to read all records of the bucket, unless nothing in the bucket has changed since it was last proved. It fails with errMovedOn if the record is to be read again.
func (v *vault) prove(ctx context.Context, kind, item string, got source) error {
	a := &v.anchoring
	at, isCounted := bucketOf(kind, item)
	if a.anchor == nil || !isCounted {
		return nil
	}
	n, err := a.anchor.Load(ctx, a.ring)
	if err != nil {
		return &fault{code: ErrDependencyTimeout, message: "the anchor failed", cause: err}
	}
	a.mu.Lock()
	behind := a.from.generation < n
	a.mu.Unlock()
	if behind {
		if err := v.readLedger(ctx); err != nil && !errors.Is(err, keystore.ErrNotFound) {
			return err
		}
	}
	a.mu.Lock()
	behind, want, known := a.from.generation < n, a.ledger.entries[at], a.proofs[item]
	a.mu.Unlock()
	total, from, err := v.readTotal(ctx, at)
	if err != nil {
		return err
	}
	if behind {
		return errRolledBack(ledgerItem)
	}
	if from.before(want) {
		return errRolledBack(totalItem(at))
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
