package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
)

// Bounds of one commit of resealed records: below those of a store, since the totals that they change and the check of the domain key come on top.
const (
	resealChanges = 24
	resealLen     = keystore.MaxCommitLen / 2
)

// maintainDomains reseals what an older domain key has sealed, and then removes that domain key. It looks at the records only if there is an older one. When it
// is interrupted, the next call goes on with what is left.
func (c *core) maintainDomains(ctx context.Context, now int64, report *MaintainReport) error {
	if err := c.refresh(ctx); err != nil {
		return err
	}
	records, err := c.domainRecords(ctx)
	if err != nil || len(records) < 2 {
		return err
	}
	for left := 1; left > 0; { // what somebody else changed meanwhile is under the newest domain key by that, so that the passes come to an end
		r := resealer{c: c, now: now}
		err := r.pass(ctx)
		report.Resealed += r.resealed
		if err != nil {
			return fmt.Errorf("resealing: %w", err)
		}
		left = r.left
	}
	// Nothing is sealed under an older key any more, and nothing will be: every commit checks its domain key. But a record that the store did not show would be
	// lost with the key.
	ch := newChecker(c)
	if err := ch.records(ctx); err != nil || len(ch.report.Problems) > 0 {
		return errors.Join(err, fmt.Errorf("resealing: %w: older domain keys are kept, since the store is not whole (%d problems; see Check)", record.ErrDamaged, len(ch.report.Problems)))
	}
	return c.dropDomains(ctx, records)
}

// dropDomains removes the records of the domain keys that seal nothing any more.
func (c *core) dropDomains(ctx context.Context, records []keystore.Record) error {
	if err := c.domains.lock(ctx); err != nil {
		return err
	}
	defer c.domains.unlock()
	now := c.sealing.Load()
	newest := domainItem(now.keys.Newest())
	changes := []keystore.Change{now.check()}
	keys := now.keys
	for _, item := range records {
		if item.Name == newest {
			continue
		}
		changes = append(changes, keystore.Change{Op: keystore.Delete, Name: item.Name, Revision: item.Revision})
		if d, err := decodeDomainRecord(item.Value); err == nil {
			keys = keys.Without(d.id)
		}
	}
	if _, err := c.store.Commit(ctx, changes); err != nil {
		return ignoreConflict(err) // another process did it, or rotated again: the next call looks
	}
	c.sealing.Store(&sealing{keys: keys, revision: now.revision})
	c.domains.dropped = append(c.domains.dropped, now.keys) // somebody may still be opening with them: they are wiped with the others
	return nil
}

// A resealer is one walk over a store, which seals under the newest domain key what an older one has sealed.
type resealer struct {
	c        *core
	now      int64
	batch    *batch
	kind     string // of its records
	size     int
	resealed int
	left     int // records that somebody else changed meanwhile
}

func (r *resealer) pass(ctx context.Context) error {
	r.batch = r.c.batch(r.now)
	var errs []error
	for item, err := range keystore.Walk(ctx, r.c.store, "") {
		if err == nil {
			err = r.reseal(ctx, item)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			errs = append(errs, err) // one damaged record keeps no other from being resealed, but it keeps the domain key
		}
	}
	if err := r.flush(ctx); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// reseal adds a record to the batch, if an older domain key has sealed it.
func (r *resealer) reseal(ctx context.Context, item keystore.Record) error {
	kind, _, _ := strings.Cut(item.Name, "/")
	if kind == kindDomain {
		return nil
	}
	id, err := record.DomainOf(item.Value)
	if err != nil {
		return errDamagedItem(item.Name)
	}
	if id == r.batch.sealing.keys.Newest() {
		return nil
	}
	if kind != r.kind || len(r.batch.changes) >= resealChanges || r.size+len(item.Value) > resealLen { // a total must not be in one batch with what changes it
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.kind = kind
	from, plain, err := r.c.unseal(ctx, kind, item.Name, item)
	if err != nil {
		return err
	}
	defer clear(plain)
	r.size += len(item.Name) + len(item.Value)
	if kind == kindLedger { // the next one, which names the one that it takes the place of
		var ledger ledgerRecord
		if err := decodeBody(plain, &ledger); err != nil {
			return problem(item.Name, err)
		}
		ledger.succeed(from)
		r.batch.put(kind, item.Name, from, &ledger)
		return nil
	}
	r.batch.putPlain(kind, item.Name, from, plain)
	return nil
}

// flush commits the batch, and begins another.
func (r *resealer) flush(ctx context.Context) error {
	b, n := r.batch, len(r.batch.changes)
	r.batch, r.size = r.c.batch(r.now), 0
	if n == 0 {
		return nil
	}
	_, err := r.c.settle(ctx, b)
	if r.kind == kindTotal {
		r.c.totals.forget()
	}
	if errors.Is(err, keystore.ErrConflict) {
		r.left += n
		return nil
	}
	if err == nil {
		r.resealed += n
	}
	return err
}
