package kms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/claviger/kms/keystore"
)

// errAnchored refuses what would hide from an anchor what it is there to show.
var errAnchored = errors.New("the ring is open with a Config.Anchor: open it without, recount, and begin a new anchor")

// Recount makes every sealed total anew, of the records that the store holds and that open, with what each key knows of the grants on it, and removes the ledger of an
// anchor. It mends a ring whose totals or ledger
// are damaged, and takes a store as it is for what the ring acknowledged: whatever [Keyring.Check] would have said of missing or older records is not said any more.
// Check first, and keep a copy of the store.
//
// It may run beside other users of the store, and again after it was interrupted. A ring with a [Config.Anchor] refuses it: its anchor is at an end, and a new one
// begins with what the store holds when it is first opened with it. A record that the store itself cannot read back cannot be replaced either.
func (k *Keyring) Recount(ctx context.Context) error {
	if k.c.anchor != nil {
		return fmt.Errorf("kms: Recount: %w", errAnchored)
	}
	return k.manage(ctx, "Recount", func() error { return k.c.recount(ctx) })
}

func (c *core) recount(ctx context.Context) error {
	_, now := c.clock.read()
	event := c.serviceEvent("Recount", now, slog.String("keyringId", c.ring.id.String()))
	return c.commitEvent(ctx, event, func() error { return c.recountAll(ctx, now) })
}

func (c *core) recountAll(ctx context.Context, now int64) error {
	defer c.totals.forget()
	ledger, err := c.store.Get(ctx, ledgerItem)
	if err == nil {
		_, err = c.store.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: ledgerItem, Revision: ledger.Revision}})
	}
	if err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return err
	}
	if err := c.recountGrants(ctx, now); err != nil {
		return err
	}
	for at := range len(c.totals.known) {
		for again := true; again; {
			if again, err = c.recountBucket(ctx, bucket(at), now); err != nil {
				return err
			}
		}
	}
	return nil
}

// recountGrants makes what each key knows of the grants on it anew. A key whose record does not open is left as it is.
func (c *core) recountGrants(ctx context.Context, now int64) error {
	for item, err := range keystore.Walk(ctx, c.store, kindKey+"/") {
		for err == nil {
			if err = c.recountKey(ctx, item, now); !errors.Is(err, keystore.ErrConflict) {
				break
			}
			item, err = c.store.Get(ctx, item.Name)
		}
		if err != nil && !isDamage(err) && !errors.Is(err, keystore.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (c *core) recountKey(ctx context.Context, item keystore.Record, now int64) error {
	var r keyRecord
	from, _, err := c.open(ctx, kindKey, item.Name, item, &r)
	if err != nil {
		return err
	}
	found, err := c.countGrants(ctx, r.id)
	if err != nil || found.count == r.grants.count && found.sum == r.grants.sum {
		return err
	}
	next := r.clone()
	next.grants.count, next.grants.sum = found.count, found.sum
	next.grants.changes++
	_, err = c.write(ctx, c.batch(now), func() error { return nil }, keyChange{from: from, next: next})
	return err
}

// recountBucket counts the records of a bucket, and makes that its total unless it is. It reports whether the bucket is to be looked at again: a total that is
// damaged does not stand in the way of changes, and so does not show that there was one.
func (c *core) recountBucket(ctx context.Context, at bucket, now int64) (again bool, err error) {
	item := totalItem(at)
	var from source
	sealed, err := c.store.Get(ctx, item)
	if err == nil {
		from.revision = sealed.Revision
	} else if !errors.Is(err, keystore.ErrNotFound) {
		return false, err
	}
	want, was, damage := c.readTotal(ctx, at)
	if damage != nil && !isDamage(damage) {
		return false, damage
	}
	if damage == nil {
		from = was
	}
	total, _, err := c.countBucket(ctx, at, "")
	if err != nil || damage == nil && total == want {
		return false, err
	}
	b := c.batch(now)
	b.put(kindTotal, item, from, &total)
	if _, err := c.settle(ctx, b); err != nil && !errors.Is(err, keystore.ErrConflict) {
		return false, err
	}
	return true, nil
}
