package kms

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/keystore"
)

// A vault reads and writes sealed records.
type vault struct {
	store   keystore.Store
	index   secret.Bytes // keys the hashes of names
	sealing atomic.Pointer[sealing]
	domains domains
	totals  totals
	ringAt  atomic.Pointer[source] // of the ring's own record, the newest that this process has seen
	anchoring
}

// A source is where a record that was read came from: what the next write of it depends on. The zero source is that of a record that does not exist.
type source struct {
	revision   keystore.Revision
	generation uint64
	changeID   [16]byte
	written    int64 // the ring's time then
}

// sourceOf is where a record came from that was opened.
func sourceOf(sealed keystore.Record, h record.Header) source {
	return source{revision: sealed.Revision, generation: h.Generation, changeID: h.ChangeID, written: h.Time}
}

// read reads and opens one record into r. The caller clears plain if it holds a secret.
func (v *vault) read(ctx context.Context, kind, item string, r body) (from source, plain []byte, err error) {
	sealed, err := v.store.Get(ctx, item)
	if err != nil {
		return source{}, nil, err
	}
	return v.open(ctx, kind, item, sealed, r)
}

// open opens a record that the store returned for item.
func (v *vault) open(ctx context.Context, kind, item string, sealed keystore.Record, r body) (from source, plain []byte, err error) {
	from, plain, err = v.unseal(ctx, kind, item, sealed)
	if err != nil {
		return source{}, nil, err
	}
	if err := decodeBody(plain, r); err != nil {
		clear(plain)
		return source{}, nil, problem(item, err)
	}
	return from, plain, nil
}

// unseals is how often a record is read before it is said to be sealed under no domain key that there is.
const unseals = 3

// unseal returns what a record holds, without reading it. A domain key that is not at hand is looked for: another process may have made it since. If there is none, the
// record is read again, since it may have been resealed, and that domain key dropped, after the store returned it.
func (v *vault) unseal(ctx context.Context, kind, item string, sealed keystore.Record) (from source, plain []byte, err error) {
	if sealed.Name != item {
		return source{}, nil, errDamagedItem(item)
	}
	for n := 1; ; n++ {
		from, plain, err = v.unsealOnce(ctx, record.Name{Kind: kind, Item: item}, sealed)
		if !errors.Is(err, record.ErrUnknownDomain) || n == unseals {
			break
		}
		now, readErr := v.store.Get(ctx, item)
		if readErr != nil || now.Revision == sealed.Revision {
			break
		}
		sealed = now
	}
	if err != nil {
		return source{}, nil, problem(item, err)
	}
	return from, plain, nil
}

func (v *vault) unsealOnce(ctx context.Context, name record.Name, sealed keystore.Record) (source, []byte, error) {
	h, _, plain, err := v.sealing.Load().keys.Open(name, sealed.Value, schema1)
	if errors.Is(err, record.ErrUnknownDomain) {
		id, _ := record.DomainOf(sealed.Value) // it has one, or it would be damaged
		if err = v.learn(ctx, id); err == nil {
			h, _, plain, err = v.sealing.Load().keys.Open(name, sealed.Value, schema1)
		}
	}
	return sourceOf(sealed, h), plain, err
}

// keyedHash is a hash of texts under the ring's index key: nobody without it can tell what was hashed, or make another.
func (v *vault) keyedHash(use string, texts ...string) []byte {
	var sum []byte
	_ = v.index.Use(func(index []byte) error { // the function returns nil
		h := hmac.New(sha256.New, index)
		fmt.Fprintf(h, "claviger/%s/v1", use)
		for _, t := range texts {
			fmt.Fprintf(h, "\x00%d:%s", len(t), t)
		}
		sum = h.Sum(nil)
		return nil
	})
	return sum
}

// A batch gathers the changes of one commit. Whatever it puts is sealed under the domain key that was the newest when it was begun.
type batch struct {
	v       *vault
	sealing *sealing
	header  record.Header
	changes []keystore.Change
	counts  map[bucket]*count   // what the changes do to the totals
	entries map[int]ledgerEntry // what the ledger must know of it
}

// batch returns an empty batch, with a change id of its own, that is written at the ring's time now.
func (v *vault) batch(now int64) *batch {
	b := &batch{v: v, sealing: v.sealing.Load(), header: record.Header{Time: now}}
	rand.Read(b.header.ChangeID[:])
	return b
}

// made is where a record comes from that the batch has written over the one from `from`.
func (b *batch) made(from source, revision keystore.Revision) source {
	return source{revision, from.generation + 1, b.header.ChangeID, b.header.Time}
}

// put writes r as item. from is where the record was read, or zero if it does not exist.
func (b *batch) put(kind, item string, from source, r body) {
	plain := encodeBody(r)
	defer clear(plain)
	b.putPlain(kind, item, from, plain)
}

// putPlain writes a record whose body is given.
func (b *batch) putPlain(kind, item string, from source, plain []byte) {
	h := b.header
	h.Generation = from.generation + 1
	b.changes = append(b.changes, keystore.Change{
		Op: keystore.Put, Name: item, Revision: from.revision,
		Value: b.sealing.keys.Seal(record.Name{Kind: kind, Item: item}, schema1, h, plain),
	})
	b.count(kind, item, from, b.made(from, 0))
	switch kind {
	case kindRing:
		b.enter(ringEntry, from)
	case kindTotal:
		if at, ok := totalBucket(item); ok {
			b.enter(int(at), from)
		}
	}
}

// enter notes for the ledger that a record is written which was read from `from`.
func (b *batch) enter(i int, from source) {
	if b.entries == nil {
		b.entries = make(map[int]ledgerEntry)
	}
	b.entries[i] = entryOf(b.made(from, 0))
}

// remove deletes item. Of a record that is counted, from says which one it was.
func (b *batch) remove(kind, item string, from source) {
	b.changes = append(b.changes, keystore.Change{Op: keystore.Delete, Name: item, Revision: from.revision})
	b.count(kind, item, from, source{})
}

// settle commits a batch, with the totals that it changes. When the answer was lost, the first record that the batch puts tells whether it was committed: it
// was sealed with a salt of its own, so that nobody else's is the same.
//
// With an anchor, a batch that is committed and cannot be anchored has an unknown outcome: it is in effect, and may yet be rolled back.
//
// The domain key that sealed the batch must still be the one that seals, or the batch conflicts: nothing is ever written under a key that is being retired.
func (v *vault) settle(ctx context.Context, b *batch) (keystore.Revision, error) {
	revision, err := v.commit(ctx, b)
	if errors.Is(err, keystore.ErrConflict) {
		if lost := v.refresh(ctx); lost != nil { // trying again would conflict again
			return 0, lost
		}
	}
	if err == nil {
		err = v.anchorBatch(ctx, b)
	}
	return revision, err
}

// anchorBatch makes the ledger and the anchor know of a batch that was committed. If they cannot, its outcome is unknown.
func (v *vault) anchorBatch(ctx context.Context, b *batch) error {
	if err := v.record(ctx, b.entries, b.header.Time); err != nil {
		return fmt.Errorf("%w: the change could not be anchored: %w", keystore.ErrUnknown, err)
	}
	return nil
}

// commit commits a batch with its totals, and learns from the answer what they are.
func (v *vault) commit(ctx context.Context, b *batch) (keystore.Revision, error) {
	defer v.totals.take(ctx, slices.Sorted(maps.Keys(b.counts)))()
	totals, err := b.total(ctx)
	if err != nil {
		return 0, err
	}
	revision, err := v.store.Commit(ctx, append(b.changes, b.sealing.check()))
	if errors.Is(err, keystore.ErrUnknown) {
		revision, err = v.lookUp(ctx, b, err)
	}
	v.totals.settled(totals, revision, err)
	return revision, err
}

// lookUp finds out whether a batch whose answer was lost was committed.
func (v *vault) lookUp(ctx context.Context, b *batch, lost error) (keystore.Revision, error) {
	i := slices.IndexFunc(b.changes, func(ch keystore.Change) bool { return ch.Op == keystore.Put })
	if i < 0 {
		return 0, lost
	}
	sealed, err := v.store.Get(context.WithoutCancel(ctx), b.changes[i].Name)
	if err != nil || !slices.Equal(sealed.Value, b.changes[i].Value) {
		return 0, lost // it may still be committed: nobody knows
	}
	return sealed.Revision, nil
}
