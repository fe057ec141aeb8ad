package kms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
	"github.com/claviger/kms/rootkey"
)

// A CheckReport tells what [Keyring.Check] looked at and what it found.
type CheckReport struct {
	Records    int // all that can be read, those of the ring itself included
	Keys       int
	Versions   int // of key material
	Aliases    int
	Grants     int
	Tombstones int
	Roots      int        // under whose names domain keys are wrapped
	Tried      int        // of the roots: those that were given
	Problems   []*Problem // empty if the store is whole
}

// Check walks the whole store: it opens every record, follows every key to its material, its aliases and what time will bring it, and compares the records with the
// sealed totals, so that a record which the store has lost, withholds or brought back is noticed. Then it opens every domain key with every root key that the ring
// was opened with: one that could not open the ring alone is a problem, and better found before the day on which it must. Roots of the ring that were not given are
// not tried, and a passphrase takes its time.
//
// With a [Config.Anchor] the totals and the ring's own record are compared with the anchor as well. Without one, a store that was rolled back as a whole is whole.
//
// Check changes nothing, and may run beside other users of the store. What it finds is in the report, and no error; an error means that it could not come to its
// end, and the report tells how far it came.
func (k *Keyring) Check(ctx context.Context) (CheckReport, error) {
	if !k.c.gate.enter() {
		return CheckReport{}, &Error{Op: "Check", Code: ErrServiceUnavailable, Message: "the keyring is closed"}
	}
	defer k.c.gate.leave()
	ch := newChecker(k.c)
	err := ch.records(ctx)
	if err == nil {
		err = ch.wraps(ctx)
	}
	if err != nil {
		err = fmt.Errorf("kms: Check: %w", err)
	}
	return ch.report, err
}

// A checker is one run of Check.
type checker struct {
	*core
	report CheckReport
	ringAt ledgerEntry                         // as of which write the ring's own record must be
	roots  map[string]bool                     // by name, whether it was tried
	owner  keyID                               // the key whose versions were seen last
	alive  error                               // why it has none
	sealed map[record.DomainID]keystore.Record // by the domain keys that there are, or must be: a record that one has sealed, or its own
}

func newChecker(c *core) *checker {
	return &checker{core: c, sealed: make(map[record.DomainID]keystore.Record), roots: make(map[string]bool)}
}

// records looks at all that is sealed.
func (ch *checker) records(ctx context.Context) error {
	if err := ch.note(ctx, ledgerItem, ch.compareAnchor(ctx)); err != nil {
		return err
	}
	ch.ringAt = ch.entry(ringEntry)
	found := false
	for item, err := range keystore.Walk(ctx, ch.store, "") {
		if err == nil {
			ch.report.Records++
			found = found || item.Name == ringItem
			if err = ch.item(ctx, item); err == nil {
				ch.needs(item)
			}
		}
		if err := ch.note(ctx, item.Name, err); err != nil {
			return err
		}
	}
	for at := range len(ch.totals.known) {
		if err := ch.note(ctx, totalItem(bucket(at)), ch.bucket(ctx, bucket(at))); err != nil {
			return err
		}
	}
	if !found {
		return ch.note(ctx, ringItem, broken("missing"))
	}
	return nil
}

// needs notes which domain key has sealed a record.
func (ch *checker) needs(item keystore.Record) {
	if id, err := record.DomainOf(item.Value); err == nil && !strings.HasPrefix(item.Name, domainPrefix) {
		ch.sealed[id] = keystore.Record{Name: item.Name, Revision: item.Revision}
	}
}

// note takes an error for a problem, unless it says that the store cannot be read at all.
func (ch *checker) note(ctx context.Context, item string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p, isProblem := errors.AsType[*Problem](problem(item, err))
	if !isProblem {
		return err
	}
	if !slices.ContainsFunc(ch.report.Problems, func(o *Problem) bool { return o.Record == p.Record && o.What == p.What && p.Record != "" }) {
		ch.report.Problems = append(ch.report.Problems, p)
	}
	return nil
}

// item opens one record and looks whether it belongs where it is.
func (ch *checker) item(ctx context.Context, item keystore.Record) error {
	kind, name, _ := strings.Cut(item.Name, "/")
	switch kind {
	case kindDomain:
		d, err := decodeDomainRecord(item.Value)
		if err != nil || item.Name != domainItem(d.id) || d.ring != ch.ring.id {
			return errDamagedItem(item.Name)
		}
		ch.sealed[d.id] = keystore.Record{Name: item.Name, Revision: item.Revision} // which a record that it has sealed replaces
		return nil
	case kindRing:
		var r ringRecord
		from, plain, err := ch.open(ctx, kind, item.Name, item, &r)
		clear(plain)
		clear(r.index[:])
		if err == nil && from.before(ch.ringAt) {
			err = errRolledBack(ringItem)
		}
		return err
	case kindKey:
		ch.report.Keys++
		return ch.settled(ctx, item, ch.key)
	case kindVersion, kindIndex:
		if kind == kindVersion {
			ch.report.Versions++
		}
		return ch.belongs(ctx, item, name)
	case kindAlias:
		ch.report.Aliases++
		return ch.settled(ctx, item, ch.alias)
	case kindGrant:
		ch.report.Grants++
		if err := ch.belongs(ctx, item, name); err != nil {
			return err
		}
		return ch.settled(ctx, item, ch.grant)
	case kindUsed:
		if err := ch.belongs(ctx, item, name); err != nil {
			return err
		}
		var r usedRecord
		if _, _, err := ch.open(ctx, kind, item.Name, item, &r); err != nil {
			return err
		}
		if item.Name != usedItem(usageKey{r.key, r.grant}) {
			return errDamagedItem(item.Name)
		}
		return nil
	case kindRetire:
		var r retireRecord
		if _, _, err := ch.open(ctx, kind, item.Name, item, &r); err != nil {
			return err
		}
		if !strings.HasSuffix(item.Name, "/"+r.key.String()+"/"+r.grant.String()) {
			return errDamagedItem(item.Name)
		}
		return nil // one that was left behind is in order
	case kindDue:
		return ch.settled(ctx, item, ch.due)
	case kindDead:
		ch.report.Tombstones++
		var r deadRecord
		if _, _, err := ch.open(ctx, kind, item.Name, item, &r); err != nil {
			return err
		}
		if item.Name != ch.deadItem(r.id) {
			return errDamagedItem(item.Name)
		}
		return nil
	case kindTotal:
		var r totalRecord
		_, _, err := ch.open(ctx, kind, item.Name, item, &r)
		return err
	case kindLedger:
		var r ledgerRecord
		_, _, err := ch.open(ctx, kind, item.Name, item, &r)
		return err
	default:
		return broken("no record of a keyring has such a name")
	}
}

// settled looks at a record until it has not changed while it was looked at, since it is compared with others that are read later. A record that has gone is no
// problem.
func (ch *checker) settled(ctx context.Context, item keystore.Record, look func(context.Context, keystore.Record) error) error {
	for {
		err := look(ctx, item)
		if !errors.Is(err, errDisagree) {
			return err
		}
		now, readErr := ch.store.Get(ctx, item.Name)
		switch {
		case errors.Is(readErr, keystore.ErrNotFound):
			return nil
		case readErr != nil:
			return readErr
		case now.Revision == item.Revision:
			return err
		}
		if err := ctx.Err(); err != nil { // a store may change it without end
			return err
		}
		item = now
	}
}

// key follows a key's record to all that it speaks of.
func (ch *checker) key(ctx context.Context, item keystore.Record) error {
	var r keyRecord
	if _, _, err := ch.open(ctx, kindKey, item.Name, item, &r); err != nil {
		return err
	}
	if item.Name != keyItem(r.id) {
		return errDamagedItem(item.Name)
	}
	if _, err := policy.Parse(r.policy, policy.KeyPolicy); err != nil {
		return broken("its policy is none that this version understands")
	}
	if err := ch.versions(ctx, &r); err != nil {
		return err
	}
	for _, name := range r.aliases {
		var a aliasRecord
		switch _, _, err := ch.read(ctx, kindAlias, name, &a); {
		case errors.Is(err, keystore.ErrNotFound):
			return broken("its %s is missing", name)
		case err != nil: // told of the alias
		case a.target != r.id:
			return broken("its %s points to another key", name)
		}
	}
	if err := ch.grants(ctx, &r); err != nil {
		return err
	}
	if r.dueDay() != r.due {
		return broken("it is due on another day than it is noted for")
	}
	if r.due != "" {
		if _, err := ch.store.Get(ctx, dueItem(r.due, r.id)); errors.Is(err, keystore.ErrNotFound) {
			return broken("%s is missing", dueItem(r.due, r.id))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// versions follows the chain of a key's versions: none may be missing, each must be what its place in the chain says.
func (ch *checker) versions(ctx context.Context, r *keyRecord) error {
	var digest [32]byte
	n := uint64(0)
	for item, err := range keystore.Walk(ctx, ch.store, indexPrefix(r.id)) {
		if err != nil {
			return err
		}
		var index indexRecord
		if _, _, err := ch.open(ctx, kindIndex, item.Name, item, &index); err != nil {
			return err
		}
		if n++; item.Name != indexItem(r.id, n) {
			return broken("version %d is missing in its index", n)
		}
		var v versionRecord
		_, plain, err := ch.read(ctx, kindVersion, versionItem(r.id, index.id), &v)
		if errors.Is(err, keystore.ErrNotFound) {
			return broken("the material of version %d is missing", n)
		}
		if err != nil {
			return err
		}
		m, err := newMaterial(r.spec.specification(), r.id, v.number, slices.Clone(v.material))
		clear(plain)
		switch {
		case err != nil:
			return broken("the material of version %d is none of its kind", n)
		case m.id != v.id || v.id != index.id || v.number != n:
			return broken("the material of version %d is another", n)
		case v.previous != digest:
			return broken("version %d does not follow the one before it", n)
		}
		digest = v.digest(r.id)
		if n == r.versions && v.id != r.current {
			return broken("its current material is not version %d", n)
		}
	}
	if n != r.versions {
		return broken("it has %d versions, and %d were found", r.versions, n)
	}
	return nil
}

// grants compares the grants on a key with what its record says of them.
func (ch *checker) grants(ctx context.Context, r *keyRecord) error {
	found, err := ch.countGrants(ctx, r.id)
	if err != nil {
		return err
	}
	if found.count != r.grants.count || found.sum != r.grants.sum {
		return broken("it has %d grants, and %d were found, or others", r.grants.count, found.count)
	}
	return nil
}

// grant opens a grant, and looks whether its retiring principal finds it.
func (ch *checker) grant(ctx context.Context, item keystore.Record) error {
	r, _, err := ch.openGrant(ctx, item)
	if err != nil {
		return err
	}
	if who := r.retiree(); who != "" {
		if _, err := ch.store.Get(ctx, ch.retireItem(who, r.key, r.id)); errors.Is(err, keystore.ErrNotFound) {
			return broken("the entry that finds it by its retiring principal is missing")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// alias compares an alias with its key.
func (ch *checker) alias(ctx context.Context, item keystore.Record) error {
	var a aliasRecord
	if _, _, err := ch.open(ctx, kindAlias, item.Name, item, &a); err != nil {
		return err
	}
	var r keyRecord
	switch _, _, err := ch.read(ctx, kindKey, keyItem(a.target), &r); {
	case errors.Is(err, keystore.ErrNotFound):
		return broken("its key %v is missing", a.target)
	case err != nil:
		return nil // told of the key
	case !slices.Contains(r.aliases, item.Name):
		return broken("its key %v does not know it", a.target)
	}
	return nil
}

// due compares an entry of the due index with its key. One that was left behind is in order: maintenance removes it.
func (ch *checker) due(ctx context.Context, item keystore.Record) error {
	var d dueRecord
	if _, _, err := ch.open(ctx, kindDue, item.Name, item, &d); err != nil {
		return err
	}
	if !strings.HasSuffix(item.Name, "/"+d.id.String()) {
		return errDamagedItem(item.Name)
	}
	return nil
}

// belongs opens a version, or its entry in the index, and looks whether there is a key for it, or was one that is being swept.
func (ch *checker) belongs(ctx context.Context, item keystore.Record, name string) error {
	kind, _, _ := strings.Cut(item.Name, "/")
	from, plain, err := ch.unseal(ctx, kind, item.Name, item)
	clear(plain)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(name, "/")
	id, ok := parseKeyID(text)
	if !ok || from.generation == 0 {
		return errDamagedItem(item.Name)
	}
	if id != ch.owner {
		ch.owner, ch.alive = id, nil
		if _, err := ch.store.Get(ctx, keyItem(id)); errors.Is(err, keystore.ErrNotFound) {
			if _, err := ch.store.Get(ctx, ch.deadItem(id)); errors.Is(err, keystore.ErrNotFound) {
				ch.alive = broken("its key is missing")
			}
		}
	}
	return ch.alive
}

// bucket compares the records of a bucket with their total.
func (ch *checker) bucket(ctx context.Context, at bucket) error {
	for {
		entry := ch.entry(int(at))
		want, from, err := ch.readTotal(ctx, at)
		if err != nil {
			return err
		}
		got, _, err := ch.countBucket(ctx, at, "")
		if err != nil {
			return err
		}
		if from.before(entry) {
			return errRolledBack(totalItem(at))
		}
		if got == want {
			return nil
		}
		if _, again, err := ch.readTotal(ctx, at); err != nil || again == from {
			if err == nil {
				err = broken("the store has %d keys and %d tombstones of this bucket, and there must be %d and %d, of other contents", got.keys, got.dead, want.keys, want.dead)
			}
			return err
		}
	}
}

// wraps tries every root on every domain key.
func (ch *checker) wraps(ctx context.Context) error {
	for _, id := range slices.SortedFunc(maps.Keys(ch.sealed), func(a, b record.DomainID) int { return bytes.Compare(a[:], b[:]) }) {
		if err := ch.domain(ctx, id, ch.sealed[id]); err != nil {
			return err
		}
	}
	for _, tried := range ch.roots {
		if ch.report.Roots++; tried {
			ch.report.Tried++
		}
	}
	return nil
}

// domain tries every root on one domain key, which has sealed a record, if any. It begins again when the domain key's record changes meanwhile.
func (ch *checker) domain(ctx context.Context, id record.DomainID, sealed keystore.Record) error {
	for {
		d, revision, roots, err := ch.wrapped(ctx, id)
		if errors.Is(err, keystore.ErrNotFound) {
			if now, err := ch.store.Get(ctx, sealed.Name); err != nil || now.Revision != sealed.Revision {
				return nil // nothing needs it any more
			}
			return ch.note(ctx, domainItem(id), broken("missing, and %s is sealed under it", sealed.Name))
		}
		if err != nil {
			return ch.note(ctx, domainItem(id), err) // for the second time, if it is damaged
		}
		var found []error
		for _, root := range roots {
			if err := ch.opens(ctx, d, root); err != nil {
				found = append(found, err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if _, again, _, err := ch.wrapped(ctx, id); len(found) > 0 && (err != nil || again != revision) {
			continue
		}
		for _, w := range d.wraps {
			given := slices.ContainsFunc(roots, func(r rootkey.Root) bool { return rootkey.Name(r) == w.root })
			ch.roots[w.root] = given || ch.roots[w.root]
		}
		for _, err := range found {
			if err := ch.note(ctx, domainItem(id), err); err != nil {
				return err
			}
		}
		return nil
	}
}

// wrapped returns a domain key's record with the roots that should open it: both as they were at one time, since this process may be changing them.
func (ch *checker) wrapped(ctx context.Context, id record.DomainID) (*domainRecord, keystore.Revision, []rootkey.Root, error) {
	if err := ch.domains.lock(ctx); err != nil {
		return nil, 0, nil, err
	}
	defer ch.domains.unlock()
	d, revision, err := readDomain(ctx, ch.store, id)
	return d, revision, ch.domains.roots, err
}

// opens tries a root on a domain key.
func (ch *checker) opens(ctx context.Context, d *domainRecord, root rootkey.Root) error {
	name := rootkey.Name(root)
	if !slices.ContainsFunc(d.wraps, func(w rootWrap) bool { return w.root == name }) {
		return broken("no wrap for root %q, which was given", name)
	}
	key, err := d.open(ctx, []rootkey.Root{root})
	if err != nil {
		return errShut(err)
	}
	defer key.Zero()
	if keys := ch.sealing.Load().keys; keys.Holds(d.id) && !keys.Is(d.id, key) {
		return broken("its wrap for root %q holds another key", name)
	}
	return nil
}
