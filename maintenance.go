package kms

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
)

const (
	duePrefix = kindDue + "/"
	dayLayout = "20060102" // layout of the day in the name of a due record, in UTC

	// clockTolerance is by how much clocks may disagree before nothing is destroyed any more.
	clockTolerance = 5 * time.Minute

	// destructionDelay is the least time, by the monotonic clock, between finding a key due for destruction and destroying it. It gives a clock that jumped
	// forward time to be noticed.
	destructionDelay = time.Hour

	// seenInterval is how often the ring's record is told the time.
	seenInterval = time.Hour
)

// ErrClock is what [Keyring.Maintain] reports when the clocks do not agree: nothing was destroyed.
var ErrClock = errors.New("the clocks disagree, or went back: no key is destroyed until they agree")

// A MaintainReport tells what one call of [Keyring.Maintain] did.
type MaintainReport struct {
	Rotated   int // keys that rotated because it was time
	Marked    int // keys found due for destruction, which a later call destroys
	Destroyed int // keys whose material was destroyed
	Resealed  int // records that were sealed under an older domain key, after RotateDomainKey
	Postponed int // keys due for destruction that were left alone, because they were marked less than an hour ago or because of the clocks
}

// maintenance is what a process remembers between two calls of Maintain.
type maintenance struct {
	running chan struct{}     // holds a token while a call runs
	opened  stamp             // when the ring was opened
	now     int64             // the ring's time then
	found   map[keyID]finding // keys that this process has seen marked
}

// A finding is that a key is due for destruction.
type finding struct {
	marked int64         // the mark in its record
	since  time.Duration // when this process first saw the mark, on the monotonic clock
}

// Maintain does what time has brought: it rotates keys that are due, and destroys the material of keys whose waiting period is over. It also writes down which keys and
// grants were used since it was last called. Calling it is all that
// destruction ever depends on; everything else also happens when it is met. A program calls it every few minutes to hours; any number of processes may.
//
// Destruction has two steps, at least an hour apart by the monotonic clock of one process, and both need the wall clock, the monotonic clock and the time
// that the ring has seen before to agree within five minutes; else the error matches [ErrClock] and nothing is destroyed. A process whose machine was suspended, or
// whose wall clock was set, destroys nothing until it opens the ring again. A key that cannot be maintained does
// not keep the others from it: the error joins what went wrong.
func (k *Keyring) Maintain(ctx context.Context) (MaintainReport, error) {
	c := k.c
	var report MaintainReport
	err := k.manage(ctx, "Maintain", func() error {
		at, now := c.clock.read()
		clockErr := c.checkClocks(ctx, at, now)
		return errors.Join(clockErr, c.writeUsages(ctx, now), c.maintainDue(ctx, now, clockErr == nil, &report), c.maintainDomains(ctx, now, &report))
	})
	return report, err
}

// checkClocks compares the clocks with what they said when the ring was opened, and with the time that the ring has seen. The comparison reaches back to the
// opening, and not to the last call, so that a clock which has jumped and stays where it is does not become right by staying.
func (c *core) checkClocks(ctx context.Context, at stamp, now int64) error {
	m := &c.maintenance
	mono, wall := at.mono-m.opened.mono, time.Duration(now-m.now)
	if max(mono-wall, wall-mono) > clockTolerance {
		clear(m.found) // what was found due may have been found by a wrong clock
		return fmt.Errorf("%w: since the ring was opened %v have passed by the monotonic clock and %v by the ring's", ErrClock, mono, wall)
	}
	var r ringRecord
	defer clear(r.index[:])
	from, err := c.readRing(ctx, &r)
	if err != nil {
		return err
	}
	if back := time.Duration(r.seen - now); back > clockTolerance {
		return fmt.Errorf("%w: the ring has seen a time %v later than now", ErrClock, back)
	}
	if now-r.seen < int64(seenInterval) {
		return nil
	}
	r.seen = now
	b := c.batch(now)
	b.put(kindRing, ringItem, from, &r)
	revision, err := c.settle(ctx, b)
	if err == nil {
		err = c.sawRing(b.made(from, revision), ringSight{})
	}
	return ignoreConflict(err) // another process told it
}

// passed returns the latest time that is known to have come when a key is to be written, and its clock says now: a clock that is behind takes nothing from a waiting
// period. It is that of the key's last write, the one that Maintain told the ring, or what has passed by the monotonic clock since the ring was opened, if the clock
// has gone back since by more than clocks may disagree.
func (c *core) passed(ctx context.Context, at stamp, now int64, k *key) (int64, error) {
	var r ringRecord
	defer clear(r.index[:])
	if _, err := c.readRing(ctx, &r); err != nil {
		return 0, err
	}
	m := &c.maintenance
	if lived := after(m.now, at.mono-m.opened.mono); lived-now > int64(clockTolerance) {
		now = lived
	}
	return max(now, r.seen, k.from.written), nil
}

// dueDate is when a key next needs something done without anybody asking; zero if never.
func (r *keyRecord) dueDate() int64 {
	switch {
	case r.state == PendingDeletion:
		return r.deletion.date
	case r.state == Enabled && r.rotation.period != 0:
		return r.rotation.next
	default:
		return 0
	}
}

// dueDay is the day of a key's entry in the due index; "" if it has none.
func (r *keyRecord) dueDay() string {
	if date := r.dueDate(); date != 0 {
		return time.Unix(0, date).UTC().Format(dayLayout)
	}
	return ""
}

func dueItem(day string, id keyID) string { return duePrefix + day + "/" + id.String() }

// A dueRecord says that a key needs something done on a day.
type dueRecord struct{ id keyID }

func (r *dueRecord) fields() []field { return []field{keyIDField(1, &r.id)} }

// A deadRecord is a tombstone. It is never removed.
type deadRecord struct {
	id        keyID
	destroyed int64
}

func (r *deadRecord) fields() []field {
	return []field{keyIDField(1, &r.id), numberField(2, &r.destroyed)}
}

func (c *core) deadItem(id keyID) string {
	return kindDead + "/" + hex.EncodeToString(c.keyedHash(kindDead, string(id.bytes())))
}

// moveDue keeps the due index in step with a key's record, in the same batch.
func (c *core) moveDue(ctx context.Context, b *batch, ch keyChange) error {
	day := ch.next.dueDay()
	if day == ch.next.due {
		return nil
	}
	// An entry may have been left behind or taken away by maintenance: what there is decides, and what it says does not matter.
	find := func(day string) (source, error) {
		entry, err := c.store.Get(ctx, dueItem(day, ch.next.id))
		if errors.Is(err, keystore.ErrNotFound) {
			return source{}, nil
		}
		return source{revision: entry.Revision}, err
	}
	if ch.next.due != "" {
		from, err := find(ch.next.due)
		if err != nil {
			return err
		}
		if from != (source{}) {
			b.remove(kindDue, dueItem(ch.next.due, ch.next.id), from)
		}
	}
	if day != "" {
		from, err := find(day)
		if err != nil {
			return err
		}
		b.put(kindDue, dueItem(day, ch.next.id), from, &dueRecord{id: ch.next.id})
	}
	ch.next.due = day
	return nil
}

// maintainDue goes through the due index up to today.
func (c *core) maintainDue(ctx context.Context, now int64, mayDestroy bool, report *MaintainReport) error {
	today := time.Unix(0, now).UTC().Format(dayLayout)
	var errs []error
	for item, err := range keystore.Walk(ctx, c.store, duePrefix) { // which goes on behind what is damaged
		if err == nil {
			if day, _, _ := strings.Cut(item.Name[len(duePrefix):], "/"); day > today {
				break
			}
			err = c.maintainItem(ctx, item, now, mayDestroy, report)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// maintainItem does what one entry of the due index asks for.
func (c *core) maintainItem(ctx context.Context, item keystore.Record, now int64, mayDestroy bool, report *MaintainReport) error {
	var due dueRecord
	if _, _, err := c.open(ctx, kindDue, item.Name, item, &due); err != nil {
		return err
	}
	k, err := c.reload(ctx, due.id, c.clock.mono())
	switch {
	case errors.Is(err, errNoKey):
		delete(c.maintenance.found, due.id)
		return c.sweep(ctx, due.id, item)
	case err != nil:
		return err
	case item.Name != dueItem(k.due, k.id): // left behind
		_, err := c.store.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: item.Name, Revision: item.Revision}})
		return ignoreConflict(err)
	case k.rotationDue(now):
		if _, err := c.rotate(ctx, k, now); err != nil {
			return ignoreConflict(err)
		}
		report.Rotated++
		return nil
	case k.isDeleted(now):
		return c.bury(ctx, k, item, now, mayDestroy, report)
	default:
		return nil
	}
}

// ignoreConflict takes a conflict for what it is in maintenance: somebody else did it, or it is not to be done any more.
func ignoreConflict(err error) error {
	if errors.Is(err, keystore.ErrConflict) {
		return nil
	}
	return err
}

// bury takes a key whose waiting period is over one step further: the first marks it, the second, an hour later at least, destroys it.
func (c *core) bury(ctx context.Context, k *key, item keystore.Record, now int64, mayDestroy bool, report *MaintainReport) error {
	if !mayDestroy {
		report.Postponed++
		return nil
	}
	m := &c.maintenance
	mono := c.clock.mono()
	f, known := m.found[k.id]
	switch {
	case k.deletion.marked == 0:
		next := k.clone()
		next.deletion.marked = now
		if _, err := c.write(ctx, c.batch(now), func() error { return nil }, keyChange{from: k.from, next: next}); err != nil {
			return ignoreConflict(err)
		}
		m.found[k.id] = finding{now, mono}
		report.Marked++
		return nil
	case !known || f.marked != k.deletion.marked: // marked by another process, or for another deletion: its hour does not count
		m.found[k.id] = finding{k.deletion.marked, mono}
		report.Postponed++
		return nil
	case mono-f.since < destructionDelay || now-k.deletion.marked < int64(destructionDelay):
		report.Postponed++
		return nil
	}
	if err := c.destroy(ctx, k, now); err != nil {
		return ignoreConflict(err)
	}
	delete(m.found, k.id)
	report.Destroyed++
	return c.sweep(ctx, k.id, item)
}

// destroy removes a key and its aliases, and leaves a tombstone, in one commit. The versions of its material, of which there may be any number, are swept
// afterwards: the entry in the due index stays until that is done.
func (c *core) destroy(ctx context.Context, k *key, now int64) error {
	b := c.batch(now)
	b.put(kindDead, c.deadItem(k.id), source{}, &deadRecord{id: k.id, destroyed: now})
	for _, name := range k.aliases {
		sealed, err := c.store.Get(ctx, name)
		if errors.Is(err, keystore.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var a aliasRecord
		if _, _, err := c.open(ctx, kindAlias, name, sealed, &a); err != nil || a.target == k.id { // a damaged one is of no use to anybody
			b.remove(kindAlias, name, source{revision: sealed.Revision})
		}
	}
	b.remove(kindKey, keyItem(k.id), k.from)
	err := c.commitEvent(ctx, c.keyEvent("DeleteKey", now, k), func() error {
		_, err := c.settle(ctx, b)
		return err
	})
	if err == nil {
		c.keys.Delete(k.id)
	}
	return err
}

// sweep removes what a destroyed key has left behind, and last its entry in the due index. Only a tombstone says that a key was destroyed: a key that a store
// does not return is no reason to remove anything.
func (c *core) sweep(ctx context.Context, id keyID, item keystore.Record) error {
	var dead deadRecord
	if _, _, err := c.read(ctx, kindDead, c.deadItem(id), &dead); err != nil {
		if errors.Is(err, keystore.ErrNotFound) {
			err = record.ErrDamaged
		}
		return fmt.Errorf("record %s: %w: the key is gone, and there is no tombstone", keyItem(id), err)
	}
	if dead.id != id {
		return problem(c.deadItem(id), errBody)
	}
	for _, prefix := range []string{versionPrefix(id), indexPrefix(id), usedPrefix(id)} {
		for {
			if err := ctx.Err(); err != nil { // a store may list without end
				return err
			}
			items, err := c.store.List(ctx, prefix, "", keystore.MaxChanges)
			if err != nil {
				return err
			}
			if len(items) == 0 {
				break
			}
			var changes []keystore.Change
			for _, i := range items {
				changes = append(changes, keystore.Change{Op: keystore.Delete, Name: i.Name, Revision: i.Revision})
			}
			if _, err := c.store.Commit(ctx, changes); err != nil {
				return ignoreConflict(err)
			}
		}
	}
	if err := c.sweepGrants(ctx, id); err != nil {
		return ignoreConflict(err)
	}
	_, err := c.store.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: item.Name, Revision: item.Revision}})
	return ignoreConflict(err)
}

// sweepGrants removes the grants on a destroyed key, with the entries that find them.
func (c *core) sweepGrants(ctx context.Context, id keyID) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		items, err := c.store.List(ctx, grantPrefix(id), "", sweptGrantsOfCommit)
		if err != nil || len(items) == 0 {
			return err
		}
		b := c.batch(0)
		for _, item := range items {
			if err := b.removeGrant(ctx, item); err != nil {
				return err
			}
		}
		if _, err := c.store.Commit(ctx, b.changes); err != nil {
			return err
		}
	}
}
