package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
	"github.com/claviger/kms/rootkey"
)

// A Problem is something that [Keyring.Check] found.
type Problem struct {
	Record string // the name of the record in the store; empty if it is not known
	Err    error
}

// String writes "key/1234abcd-...: record: damaged, moved or forged".
func (p Problem) String() string {
	if p.Record == "" {
		return p.Err.Error()
	}
	return fmt.Sprintf("%s: %v", p.Record, p.Err)
}

// A CheckReport tells what [Keyring.Check] looked at and what it found.
type CheckReport struct {
	Records    int // all that can be read, those of the ring itself included
	Keys       int
	Versions   int // of key material
	Aliases    int
	Tombstones int
	Problems   []Problem // empty if the store is whole
}

// Check walks the whole store: it opens every record, follows every key to its material, its aliases and what time will bring it, and compares the records with the sealed
// totals, so that a record which the store has lost, withholds or brought back is noticed. It changes nothing, and may run beside other users of the store. A problem
// is no error; an error means that the walk could not be finished.
//
// A store that was rolled back as a whole is consistent. Without a [Config.Anchor] it is found whole.
func (k *Keyring) Check(ctx context.Context) (CheckReport, error) {
	if !k.c.gate.enter() {
		return CheckReport{}, &Error{Op: "Check", Code: ErrServiceUnavailable, Message: "the keyring is closed"}
	}
	defer k.c.gate.leave()
	report, err := k.c.check(ctx)
	if err != nil {
		err = fmt.Errorf("kms: Check: %w", err)
	}
	return report, err
}

// A checker is one run of Check.
type checker struct {
	*core
	report CheckReport
	owner  keyID // the key whose versions were seen last
	alive  error // why it has none
}

func (c *core) check(ctx context.Context) (CheckReport, error) {
	ch := &checker{core: c}
	for item, err := range keystore.Walk(ctx, c.store, "") {
		if err == nil {
			ch.report.Records++
			err = ch.item(ctx, item)
		}
		if err := ch.note(ctx, item.Name, err); err != nil {
			return ch.report, err
		}
	}
	for at := range len(c.totals.known) {
		if err := ch.note(ctx, totalItem(bucket(at)), ch.bucket(ctx, bucket(at))); err != nil {
			return ch.report, err
		}
	}
	return ch.report, nil
}

// note takes an error for a problem, unless the store cannot be read at all.
func (ch *checker) note(ctx context.Context, item string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !isDamage(err) && !errors.Is(err, errDisagree) && !errors.Is(err, rootkey.ErrWrongKey) { // the wrap of an older domain key may be what is damaged
		return err
	}
	if damage, ok := errors.AsType[*keystore.DamageError](err); ok && item == "" {
		item = damage.Name
	}
	if !slices.ContainsFunc(ch.report.Problems, func(p Problem) bool { return p.Record == item && item != "" }) {
		ch.report.Problems = append(ch.report.Problems, Problem{item, err})
	}
	return nil
}

// errDisagree is the cause of what each record alone does not show.
var errDisagree = errors.New("kms: records do not agree")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDisagree, fmt.Sprintf(format, args...))
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
		return nil
	case kindRing:
		var r ringRecord
		_, plain, err := ch.open(ctx, kind, item.Name, item, &r)
		clear(plain)
		clear(r.index[:])
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

// settled looks at a record until it has not changed while it was looked at, since it is compared with others that are read later. A record that has gone is no problem.
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
		return fmt.Errorf("its policy: %w", errBody)
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
			return fmt.Errorf("the material of version %d: %w", n, err)
		}
		m, err := newMaterial(r.id, v.number, slices.Clone(v.material))
		clear(plain)
		switch {
		case err != nil:
			return fmt.Errorf("the material of version %d: %w", n, err)
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
	h, plain, err := ch.unseal(ctx, kind, item.Name, item)
	clear(plain)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(name, "/")
	id, ok := parseKeyID(text)
	if !ok || h.Generation == 0 {
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

// isDamage reports whether an error says that something stored cannot be read, rather than that the store is out of reach.
func isDamage(err error) bool {
	return errors.Is(err, record.ErrDamaged) || errors.Is(err, record.ErrUnknownDomain) || errors.Is(err, keystore.ErrDamaged) || errors.Is(err, errBody) ||
		errors.Is(err, ErrRolledBack)
}
