package kms

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
)

// A vault reads and writes sealed records.
type vault struct {
	store   keystore.Store
	sealing atomic.Pointer[record.Keys]
}

// A source is where a record that was read came from: what the next write of it depends on. The zero source is that of a record that does not exist.
type source struct {
	revision   keystore.Revision
	generation uint64
	changeID   [16]byte
}

// read reads and opens one record into r. The caller clears plain if it holds a secret.
func (v *vault) read(ctx context.Context, kind, item string, r body) (from source, plain []byte, err error) {
	sealed, err := v.store.Get(ctx, item)
	if err != nil {
		return source{}, nil, err
	}
	return v.open(kind, item, sealed, r)
}

// open opens a record that the store returned for item.
func (v *vault) open(kind, item string, sealed keystore.Record, r body) (from source, plain []byte, err error) {
	if sealed.Name != item {
		return source{}, nil, fmt.Errorf("record %s: %w", item, record.ErrDamaged)
	}
	h, _, plain, err := v.sealing.Load().Open(record.Name{Kind: kind, Item: item}, sealed.Value, schema1)
	if err != nil {
		return source{}, nil, fmt.Errorf("record %s: %w", item, err)
	}
	if err := decodeBody(plain, r); err != nil {
		clear(plain)
		return source{}, nil, fmt.Errorf("record %s: %w", item, err)
	}
	return source{revision: sealed.Revision, generation: h.Generation, changeID: h.ChangeID}, plain, nil
}

// A batch gathers the changes of one commit.
type batch struct {
	v       *vault
	header  record.Header
	changes []keystore.Change
}

// batch returns an empty batch, with a change id of its own, that is written at the ring's time now.
func (v *vault) batch(now int64) *batch {
	b := &batch{v: v, header: record.Header{Time: now}}
	rand.Read(b.header.ChangeID[:])
	return b
}

// put writes r as item. from is where the record was read, or zero if it does not exist.
func (b *batch) put(kind, item string, from source, r body) {
	plain := encodeBody(r)
	defer clear(plain)
	h := b.header
	h.Generation = from.generation + 1
	b.changes = append(b.changes, keystore.Change{
		Op: keystore.Put, Name: item, Revision: from.revision,
		Value: b.v.sealing.Load().Seal(record.Name{Kind: kind, Item: item}, schema1, h, plain),
	})
}

// remove deletes item.
func (b *batch) remove(item string, from source) {
	b.changes = append(b.changes, keystore.Change{Op: keystore.Delete, Name: item, Revision: from.revision})
}
