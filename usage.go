package kms

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// What is used is noted once a day, in memory, and written down by Maintain and Close: using a key writes nothing. So what a process has noted is lost with it if it is
// killed, and a key that looks unused may have been used since the last Maintain by another process.

// A usageKey is what was used: a grant on a key, or with the zero grant id the key itself.
type usageKey struct {
	key   keyID
	grant grantID
}

// mostUsages bounds what is noted and not yet written down, beside what the cache of keys holds.
const mostUsages = 1 << 16

// usages are the uses that were noted since the last time they were written down.
type usages struct {
	mu    sync.Mutex
	limit int
	noted map[usageKey]int64 // when
}

func (u *usages) init(limit int) { u.limit, u.noted = limit, make(map[usageKey]int64) }

// A usedDay is the day on which something was last noted.
type usedDay struct{ atomic.Int64 }

// note notes a use, the first one of its day.
func (u *usages) note(what usageKey, last *usedDay, now int64) {
	day := now / int64(Day)
	if last.Load() == day {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.noted[what]; known || len(u.noted) < u.limit {
		u.noted[what] = now
		last.Store(day)
	}
}

// last returns when something was last used, as far as this process has noted it and not written it down.
func (u *usages) last(what usageKey) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.noted[what]
}

// take returns what was noted, and forgets it.
func (u *usages) take() map[usageKey]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	noted := u.noted
	u.noted = make(map[usageKey]int64)
	return noted
}

// noteUse notes what a successful operation has used.
func (cl *call) noteUse() {
	if !cl.op.crypto || cl.client.dryRun {
		return
	}
	u := &cl.client.c.usages
	for i := range cl.op.needs {
		if k := cl.keys[i]; k != nil {
			u.note(usageKey{key: k.id}, &k.materials.used, cl.now)
			if g := cl.grants[i]; g != nil {
				u.note(usageKey{k.id, g.id}, g.used, cl.now)
			}
		}
	}
}

// A usedRecord is when a key or a grant was last used.
type usedRecord struct {
	key   keyID
	grant grantID
	at    int64
}

func (r *usedRecord) fields() []field {
	return []field{keyIDField(1, &r.key), bytesField(2, r.grant[:]), numberField(3, &r.at)}
}

func usedPrefix(id keyID) string { return kindUsed + "/" + id.String() + "/" }

func usedItem(what usageKey) string {
	if what.grant == (grantID{}) {
		return usedPrefix(what.key) + "key"
	}
	return usedPrefix(what.key) + what.grant.String()
}

// writeUsages writes down what was noted. What cannot be written now is tried the next time.
func (c *core) writeUsages(ctx context.Context, now int64) error {
	noted := c.usages.take()
	for what, at := range noted {
		switch err := c.writeUsage(ctx, what, at, now); {
		case err == nil, isDamage(err):
			delete(noted, what)
		case !errors.Is(err, keystore.ErrConflict): // which somebody else's change is
			c.usages.again(noted)
			return err
		}
	}
	c.usages.again(noted)
	return nil
}

// again notes what could not be written down.
func (u *usages) again(noted map[usageKey]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for what, at := range noted {
		u.noted[what] = max(u.noted[what], at)
	}
}

// writeUsage writes down one use, of what there still is.
func (c *core) writeUsage(ctx context.Context, what usageKey, at, now int64) error {
	var r usedRecord
	from, _, err := c.read(ctx, kindUsed, usedItem(what), &r)
	switch {
	case isDamage(err):
		sealed, err := c.store.Get(ctx, usedItem(what))
		if err != nil {
			return err
		}
		from = source{revision: sealed.Revision}
	case err != nil && !errors.Is(err, keystore.ErrNotFound):
		return err
	case r.at >= at:
		return nil
	}
	owner := keyItem(what.key)
	if what.grant != (grantID{}) {
		owner = grantItem(what.key, what.grant)
	}
	sealed, err := c.store.Get(ctx, owner)
	if errors.Is(err, keystore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	b := c.batch(now)
	b.put(kindUsed, usedItem(what), from, &usedRecord{what.key, what.grant, at})
	b.changes = append(b.changes, keystore.Change{Op: keystore.Check, Name: owner, Revision: sealed.Revision}) // nothing is left behind of what goes meanwhile
	_, err = c.settle(ctx, b)
	return err
}

// lastUse returns when a key or a grant was last used, and zero if it was not.
func (c *core) lastUse(ctx context.Context, what usageKey) (int64, error) {
	var r usedRecord
	_, _, err := c.read(ctx, kindUsed, usedItem(what), &r)
	if err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return 0, err
	}
	return max(r.at, c.usages.last(what)), nil
}

// removeUsage adds the removal of a usage record to a batch, if there is one.
func (b *batch) removeUsage(ctx context.Context, what usageKey) error {
	sealed, err := b.v.store.Get(ctx, usedItem(what))
	if errors.Is(err, keystore.ErrNotFound) {
		return nil
	}
	if err == nil {
		b.remove(kindUsed, sealed.Name, source{revision: sealed.Revision})
	}
	return err
}

// trailingDays is kms:TrailingDaysWithoutKeyUsage: whole days since the key was last used, or made. If it cannot be told, no Allow that asks applies, and every Deny.
func (cl *call) trailingDays() policy.Value {
	k := cl.keys[cl.index]
	if k == nil || !slices.Contains([]*operation{&opDisableKey, &opScheduleKeyDeletion}, cl.op) {
		return policy.Value{}
	}
	last, err := cl.client.c.lastUse(cl.ctx, usageKey{key: k.id})
	if err != nil {
		return policy.Ambiguous()
	}
	return policy.Int(max(0, int64(time.Duration(cl.now-max(last, k.created))/Day)))
}
