package kms

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/rootkey"
)

const (
	domainPrefix = kindDomain + "/"

	wrapInfo = "claviger/root/v1"

	domainVersion = 1
	domainSuite   = 1 // AES-256 domain keys, wrapped by a root as it sees fit

	maxDomainKeys = 8 // a ring has one, or a few while records are resealed
	maxWraps      = 16

	// A domain key that does not open is tried a few times at once, since a root may be out of reach for a moment, and from then on once in a while.
	triesAtOnce = 3
	retryAfter  = 30 * time.Second
)

// A rootWrap is a domain key as one root wrapped it.
type rootWrap struct {
	root string
	text []byte
}

// A domainRecord holds the wraps of one domain key. It is the one kind of record that is not sealed: it is what opens the others. Each wrap authenticates the
// ring, the domain key's id and its root's name.
type domainRecord struct {
	ring  record.RingID
	id    record.DomainID
	wraps []rootWrap
}

func domainItem(id record.DomainID) string { return domainPrefix + id.String() }

func (d *domainRecord) encode() []byte {
	var b cryptobyte.Builder
	b.AddUint8(domainVersion)
	b.AddUint8(domainSuite)
	b.AddBytes(d.ring[:])
	b.AddBytes(d.id[:])
	b.AddUint8(uint8(len(d.wraps)))
	for _, w := range d.wraps {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(w.root)) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(w.text) })
	}
	return b.BytesOrPanic()
}

func decodeDomainRecord(in []byte) (*domainRecord, error) {
	s := cryptobyte.String(in)
	d := new(domainRecord)
	var version, suite, count uint8
	if !s.ReadUint8(&version) || !s.ReadUint8(&suite) || version != domainVersion || suite != domainSuite ||
		!s.CopyBytes(d.ring[:]) || !s.CopyBytes(d.id[:]) || !s.ReadUint8(&count) || count == 0 || count > maxWraps {
		return nil, record.ErrDamaged
	}
	for range count {
		var name, text cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&name) || len(name) == 0 || len(name) > rootkey.MaxNameLen ||
			!s.ReadUint16LengthPrefixed(&text) || len(text) == 0 || len(text) > rootkey.MaxWrapLen {
			return nil, record.ErrDamaged
		}
		d.wraps = append(d.wraps, rootWrap{root: string(name), text: text})
	}
	if !s.Empty() {
		return nil, record.ErrDamaged
	}
	return d, nil
}

// readDomain reads the record of a domain key.
func readDomain(ctx context.Context, store keystore.Store, id record.DomainID) (*domainRecord, keystore.Revision, error) {
	item, err := store.Get(ctx, domainItem(id))
	if err != nil {
		return nil, 0, problem(domainItem(id), err)
	}
	d, err := decodeDomainRecord(item.Value)
	if err != nil || item.Name != domainItem(d.id) || d.id != id {
		return nil, 0, errDamagedItem(domainItem(id))
	}
	return d, item.Revision, nil
}

// associatedData binds a wrap to the ring, the domain key and the root.
func (d *domainRecord) associatedData(root string) []byte {
	ad := []byte(wrapInfo)
	ad = append(ad, d.ring[:]...)
	ad = append(ad, d.id[:]...)
	ad = binary.BigEndian.AppendUint16(ad, uint16(len(root)))
	return append(ad, root...)
}

// open unwraps the domain key with the first root that can. Its error tells what became of every root.
func (d *domainRecord) open(ctx context.Context, roots []rootkey.Root) (secret.Bytes, error) {
	var err error
	failed := func(root string, why error) {
		if why = fmt.Errorf("root %q: %w", root, why); err != nil {
			why = fmt.Errorf("%w; %w", err, why)
		}
		err = why
	}
	for _, root := range roots {
		for _, w := range d.wraps {
			if w.root != rootkey.Name(root) {
				continue
			}
			key, openErr := root.DecryptWithContext(ctx, w.text, d.associatedData(w.root))
			if openErr != nil {
				failed(w.root, openErr)
				continue
			}
			if len(key) != sha256.Size {
				clear(key)
				failed(w.root, fmt.Errorf("%w: a domain key of the wrong length", record.ErrDamaged))
				continue
			}
			return secret.New(key), nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: no root of its name was given", rootkey.ErrWrongKey)
	}
	return secret.Bytes{}, err
}

// tell adds to an error of open which roots would do. The store has chosen their names.
func (d *domainRecord) tell(err error) error {
	var names []string
	for _, w := range d.wraps {
		if name := strconv.Quote(w.root); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return fmt.Errorf("%w; it is wrapped under %s", err, strings.Join(names, ", "))
}

// wrap adds a wrap of the domain key for each root, opening each before it is trusted.
func (d *domainRecord) wrap(ctx context.Context, key secret.Bytes, roots []rootkey.Root) error {
	for _, root := range roots {
		name := rootkey.Name(root)
		var text []byte
		err := key.Use(func(raw []byte) (err error) {
			text, err = root.EncryptWithContext(ctx, raw, d.associatedData(name))
			return err
		})
		if err != nil {
			return fmt.Errorf("root %q: %w", name, err)
		}
		if len(text) == 0 || len(text) > rootkey.MaxWrapLen {
			return fmt.Errorf("root %q: a wrap of %d bytes", name, len(text))
		}
		w := rootWrap{name, text}
		if err := d.prove(ctx, w, key, root); err != nil {
			return err
		}
		d.wraps = append(d.wraps, w)
	}
	return nil
}

// prove opens a wrap and compares what it holds.
func (d *domainRecord) prove(ctx context.Context, w rootWrap, key secret.Bytes, root rootkey.Root) error {
	back, err := (&domainRecord{ring: d.ring, id: d.id, wraps: []rootWrap{w}}).open(ctx, []rootkey.Root{root})
	if err != nil {
		return err
	}
	defer back.Zero()
	if !back.Equal(key) {
		return fmt.Errorf("root %q: what it wraps, it does not unwrap", w.root)
	}
	return nil
}

// newDomain makes a domain key and wraps it under every root.
func newDomain(ctx context.Context, ring record.RingID, roots []rootkey.Root) (*domainRecord, secret.Bytes, error) {
	d := &domainRecord{ring: ring}
	rand.Read(d.id[:])
	raw := make([]byte, sha256.Size)
	rand.Read(raw)
	key := secret.New(raw)
	if err := d.wrap(ctx, key, roots); err != nil {
		key.Zero()
		return nil, secret.Bytes{}, err
	}
	return d, key, nil
}

// A sealing is what records are sealed and opened with, until another domain key seals or the record of this one changes.
type sealing struct {
	keys     *record.Keys
	revision keystore.Revision // of the record of the domain key that seals
}

// check is the change that makes a commit fail when another domain key has come to seal since.
func (s *sealing) check() keystore.Change {
	return keystore.Change{Op: keystore.Check, Name: domainItem(s.keys.Newest()), Revision: s.revision}
}

// domains is how a vault comes by domain keys.
type domains struct {
	learning chan struct{}                // holds a token while a domain key is looked for
	roots    []rootkey.Root               // guarded by learning
	dropped  []*record.Keys               // guarded by learning: with keys that seal nothing any more
	failed   map[record.DomainID]*failure // guarded by learning
}

// A failure is that a domain key did not open.
type failure struct {
	err   error     // the last one
	tries int       // how many there were
	last  time.Time // when
}

// zero wipes every domain key that was ever at hand. Nobody uses one any more.
func (d *domains) zero() {
	for _, keys := range d.dropped {
		keys.Zero()
	}
}

func (d *domains) init(roots []rootkey.Root) {
	*d = domains{learning: make(chan struct{}, 1), roots: roots, failed: make(map[record.DomainID]*failure)}
}

// lock waits for the turn of a caller, who calls unlock after it.
func (d *domains) lock(ctx context.Context) error {
	select {
	case d.learning <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *domains) unlock() { <-d.learning }

// errUnopened is the cause of what is sealed under a domain key that no root at hand opens: another root may.
var errUnopened = errors.New("kms: a domain key does not open")

// shut returns an error if a domain key is not to be tried now. A try may be slow, and the store says what is tried and may write its record anew: so the tries of a
// domain key are counted whatever its record holds, and of no more domain keys than a ring can have. The caller has the turn.
func (d *domains) shut(id record.DomainID) error {
	if f := d.failed[id]; f != nil {
		if f.tries < triesAtOnce || time.Since(f.last) >= retryAfter {
			return nil
		}
		return f.err
	}
	maps.DeleteFunc(d.failed, func(_ record.DomainID, f *failure) bool {
		return len(d.failed) >= maxDomainKeys && time.Since(f.last) >= retryAfter
	})
	if len(d.failed) >= maxDomainKeys {
		return fmt.Errorf("domain key %v: %w: it was not tried, since more than a ring can have did not open a moment ago", id, errUnopened)
	}
	return nil
}

// open opens a domain key, or tells why not. The caller has the turn.
func (d *domains) open(ctx context.Context, r *domainRecord) (secret.Bytes, error) {
	if err := d.shut(r.id); err != nil {
		return secret.Bytes{}, err
	}
	key, err := r.open(ctx, d.roots)
	if err == nil {
		delete(d.failed, r.id)
		return key, nil
	}
	err = fmt.Errorf("domain key %v: %w: %w", r.id, errUnopened, r.tell(err))
	if ctx.Err() == nil { // else it may be the context that failed
		f := d.failed[r.id]
		if f == nil {
			f = new(failure)
			d.failed[r.id] = f
		}
		f.err, f.tries, f.last = err, f.tries+1, time.Now()
	}
	return secret.Bytes{}, err
}

// learn looks for a domain key that is not at hand. It fails with [record.ErrUnknownDomain] if there is none that opens.
func (v *vault) learn(ctx context.Context, id record.DomainID) error {
	if err := v.domains.lock(ctx); err != nil {
		return err
	}
	defer v.domains.unlock()
	_, err := v.hold(ctx, id)
	return err
}

// hold makes sure that a domain key is at hand, and returns the revision of its record. The caller has the turn.
func (v *vault) hold(ctx context.Context, id record.DomainID) (keystore.Revision, error) {
	d, revision, err := readDomain(ctx, v.store, id)
	if errors.Is(err, keystore.ErrNotFound) {
		return 0, record.ErrUnknownDomain
	}
	if err != nil {
		return 0, err
	}
	now := v.sealing.Load()
	if now.keys.Holds(id) {
		return revision, nil
	}
	if d.ring != now.keys.Ring() {
		return 0, record.ErrUnknownDomain
	}
	key, err := v.domains.open(ctx, d)
	if err != nil {
		return 0, err
	}
	v.sealing.Store(&sealing{keys: now.keys.With(id, key), revision: now.revision})
	return revision, nil
}

// refresh finds out which domain key seals, after a conflict: it may be another one, or its record may have changed.
func (v *vault) refresh(ctx context.Context) error {
	if err := v.domains.lock(ctx); err != nil {
		return err
	}
	defer v.domains.unlock()
	now := v.sealing.Load()
	if d, err := v.store.Get(ctx, domainItem(now.keys.Newest())); err == nil && d.Revision == now.revision {
		return nil
	}
	_, r, err := v.follow(ctx)
	clear(r.index[:])
	return err
}

// follow makes the domain key seal that seals the ring's own record, and returns that record, which the caller clears. The caller has the turn.
func (v *vault) follow(ctx context.Context) (source, ringRecord, error) {
	for range maxTries {
		known := v.knownRing()
		sealed, err := v.store.Get(ctx, ringItem)
		if err != nil {
			return source{}, ringRecord{}, err
		}
		id, err := record.DomainOf(sealed.Value)
		if err != nil {
			return source{}, ringRecord{}, problem(ringItem, err)
		}
		revision, err := v.hold(ctx, id)
		if still, readErr := isStill(ctx, v.store, sealed); readErr != nil {
			return source{}, ringRecord{}, readErr
		} else if !still {
			continue
		}
		if err != nil {
			return source{}, ringRecord{}, err
		}
		keys := v.sealing.Load().keys
		h, _, plain, err := keys.Open(record.Name{Kind: kindRing, Item: ringItem}, sealed.Value, schema1)
		if err != nil {
			return source{}, ringRecord{}, problem(ringItem, err)
		}
		defer clear(plain)
		from := sourceOf(sealed, h)
		var r ringRecord
		if err := cmp.Or(decodeBody(plain, &r), v.sawRing(from, known)); err != nil || r.newest != id {
			return source{}, ringRecord{}, problem(ringItem, cmp.Or(err, record.ErrDamaged))
		}
		v.sealing.Store(&sealing{keys: keys.Sealing(id), revision: revision})
		return from, r, nil
	}
	return source{}, ringRecord{}, keystore.ErrConflict
}

// isStill reports whether the ring's own record is the one that was read. A rotation changes it together with the record of the old domain key: only what was read
// of that in between is of the domain key that seals.
func isStill(ctx context.Context, store keystore.Store, sealed keystore.Record) (bool, error) {
	now, err := store.Get(ctx, ringItem)
	return err == nil && now.Revision == sealed.Revision, err
}

// A ringSight is what is known of the ring's own record before it is read: by this process, and by the anchor.
type ringSight struct{ seen, anchored ledgerEntry }

func (v *vault) knownRing() ringSight {
	return ringSight{entryOf(*v.ringAt.Load()), v.entry(ringEntry)}
}

// sawRing notes that the ring's own record was read, or written, and fails if it is older than what was known before.
func (v *vault) sawRing(from source, known ringSight) error {
	if from.before(known.seen) || from.before(known.anchored) {
		return errRolledBack(ringItem)
	}
	for {
		last := v.ringAt.Load()
		if last.generation >= from.generation || v.ringAt.CompareAndSwap(last, &from) {
			return nil
		}
	}
}

// RotateDomainKey makes a new domain key, which seals every record from now on, in every process. What was sealed before stays readable, and is resealed by
// [Keyring.Maintain], which then removes the old domain key. Rotate it when somebody may know a domain key: when a root key was lost or its holder has left, after
// [Keyring.ChangeRoots], which by itself does not help against who has kept an old root and an old copy of the store.
//
// It fails unless the root keys that this ring was opened with are those of the domain key that seals now, each of which is tried: a root that was not given could
// not open the new domain key, and one that was given up by [Keyring.ChangeRoots] since, perhaps for another of the same name, would open the ring again. It also fails
// while too many older domain keys wait for Maintain. An error that matches [keystore.ErrUnknown] says that the new domain key may seal.
func (k *Keyring) RotateDomainKey(ctx context.Context) error {
	return k.manage(ctx, "RotateDomainKey", func() error { return k.c.rotateDomainKey(ctx) })
}

func (c *core) rotateDomainKey(ctx context.Context) error {
	if err := c.domains.lock(ctx); err != nil {
		return err
	}
	unlock := sync.OnceFunc(c.domains.unlock)
	defer unlock()
	from, r, err := c.follow(ctx)
	if err != nil {
		return err
	}
	defer clear(r.index[:])
	records, err := c.domainRecords(ctx)
	if err != nil {
		return err
	}
	if len(records) >= maxDomainKeys {
		return fmt.Errorf("the ring has %d domain keys, and records of theirs wait for Maintain", len(records))
	}
	was := c.sealing.Load()
	old, revision, err := readDomain(ctx, c.store, was.keys.Newest())
	if err != nil {
		return err
	}
	if err := c.provesRoots(ctx, old, was.keys); err != nil {
		return err
	}
	d, key, err := newDomain(ctx, c.ring.id, c.domains.roots)
	if err != nil {
		return err
	}
	_, now := c.clock.read()
	r.newest = d.id
	next := &sealing{keys: was.keys.With(d.id, key).Sealing(d.id)}
	b := c.batch(now)
	b.sealing = next
	b.put(kindRing, ringItem, from, &r)
	// The old record is written as it is: its new revision makes every commit fail that was sealed under the old key.
	b.changes = append(b.changes, keystore.Change{Op: keystore.Put, Name: domainItem(d.id), Value: d.encode()},
		keystore.Change{Op: keystore.Put, Name: domainItem(old.id), Revision: revision, Value: old.encode()})
	event := c.serviceEvent("RotateDomainKey", now, slog.String("keyringId", c.ring.id.String()),
		slog.String("previousDomainKeyId", old.id.String()), slog.String("currentDomainKeyId", d.id.String()))
	return c.commitEvent(ctx, event, func() error {
		if next.revision, err = c.store.Commit(ctx, b.changes); errors.Is(err, keystore.ErrUnknown) {
			next.revision, err = c.lookUp(ctx, b, err)
		}
		if err == nil {
			c.sealing.Store(next)
			err = c.sawRing(b.made(from, next.revision), ringSight{})
		}
		if err == nil {
			unlock() // since whoever has the turn of the ledger may want this one
			err = c.anchorBatch(ctx, b)
		}
		return err
	})
}

// provesRoots makes sure that the roots at hand are those of the domain key that seals: each opens a wrap of it, and each wrap is opened by one. What is wrapped under
// them next would else be lost to a root of the ring, or opened by one that was given up. The record, which is to be written again, thereby opens as well: what a store
// misread would be lost for good, and all that is sealed under it.
func (c *core) provesRoots(ctx context.Context, old *domainRecord, keys *record.Keys) error {
	for _, w := range old.wraps {
		i := slices.IndexFunc(c.domains.roots, func(r rootkey.Root) bool { return rootkey.Name(r) == w.root })
		if i < 0 {
			return fmt.Errorf("the ring is also wrapped under root %q, which was not given: open the ring with it, or take it out with ChangeRoots", w.root)
		}
		key, err := (&domainRecord{ring: old.ring, id: old.id, wraps: []rootWrap{w}}).open(ctx, c.domains.roots[i:i+1])
		if err != nil {
			return fmt.Errorf("%w: if the root keys were changed, open the ring with the new ones", problem(domainItem(old.id), errShut(err)))
		}
		same := keys.Is(old.id, key)
		key.Zero()
		if !same {
			return errDamagedItem(domainItem(old.id))
		}
	}
	for _, r := range c.domains.roots {
		if name := rootkey.Name(r); !slices.ContainsFunc(old.wraps, func(w rootWrap) bool { return w.root == name }) {
			return fmt.Errorf("the ring is not wrapped under root %q, which was given: open the ring without it, or add it with ChangeRoots", name)
		}
	}
	return nil
}

// domainRecords lists the records of the ring's domain keys as the store has them.
func (v *vault) domainRecords(ctx context.Context) ([]keystore.Record, error) {
	records, err := v.store.List(ctx, domainPrefix, "", maxDomainKeys+1)
	if err == nil && len(records) > maxDomainKeys {
		err = fmt.Errorf("%w: the store holds more domain keys than a ring can have", record.ErrDamaged)
	}
	return records, err
}

// ChangeRoots wraps the ring's domain keys under these roots and no others: [Config.Root] and [Config.RecoveryRoots] of those who open it from now on. Programs that
// have the ring open go on until its domain key rotates: who was opened with the old roots alone cannot open a new one, and is refused. The new wraps are read back
// and opened before the old ones are dropped, and until then both open the ring, so that a change which was interrupted is made again. An error that matches
// [keystore.ErrUnknown] says that it may be in effect, in part or as a whole: keep the old roots and the new ones until it was made again.
//
// An old root opens old copies of the store for ever. If somebody may have kept both, call [Keyring.RotateDomainKey] after it.
func (k *Keyring) ChangeRoots(ctx context.Context, root rootkey.Root, recovery ...rootkey.Root) error {
	roots := append([]rootkey.Root{root}, recovery...)
	return k.manage(ctx, "ChangeRoots", func() error {
		if err := checkRoots("root", "recovery", roots); err != nil {
			return err
		}
		return k.c.changeRoots(ctx, roots)
	})
}

func (c *core) changeRoots(ctx context.Context, roots []rootkey.Root) error {
	if err := c.domains.lock(ctx); err != nil {
		return err
	}
	defer c.domains.unlock()
	records, err := c.domainRecords(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(roots))
	for i, r := range roots {
		names[i] = rootkey.Name(r)
	}
	_, now := c.clock.read()
	event := c.serviceEvent("ChangeRoots", now, slog.String("keyringId", c.ring.id.String()), slog.Any("roots", names))
	err = c.commitEvent(ctx, event, func() error {
		var added []*rewrap
		for _, item := range records { // first all of them are opened by the new roots as well, so that at every moment either the old or the new ones open the ring
			r, err := c.addWraps(ctx, item, roots)
			if err != nil {
				return err
			}
			added = append(added, r)
		}
		for _, r := range added {
			if _, err := c.replaceDomain(ctx, r.next, r.revision); err != nil {
				return fmt.Errorf("%w: the new root keys open the ring, and the old ones may do so as well: %w", keystore.ErrUnknown, err)
			}
		}
		return nil
	})
	if err == nil {
		c.domains.roots = roots
		clear(c.domains.failed)
	}
	_, r, lost := c.follow(ctx) // the revision of the record has changed; whoever commits finds that out if it is not known here
	clear(r.index[:])
	if err != nil {
		return errors.Join(err, lost)
	}
	return nil
}

// A rewrap is the record of a domain key that has its new wraps beside the old ones.
type rewrap struct {
	next     *domainRecord // with the new ones alone
	revision keystore.Revision
}

// addWraps adds wraps to the record of a domain key, and proves them by what the store then returns.
func (c *core) addWraps(ctx context.Context, item keystore.Record, roots []rootkey.Root) (*rewrap, error) {
	d, err := decodeDomainRecord(item.Value)
	if err != nil || item.Name != domainItem(d.id) || d.ring != c.ring.id {
		return nil, errDamagedItem(item.Name)
	}
	key, err := d.open(ctx, slices.Concat(c.domains.roots, roots))
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	next := &domainRecord{ring: d.ring, id: d.id}
	if err := next.wrap(ctx, key, roots); err != nil {
		return nil, err
	}
	both := &domainRecord{ring: d.ring, id: d.id, wraps: slices.Concat(next.wraps, d.wraps)}
	both.wraps = both.wraps[:min(len(both.wraps), maxWraps)] // more only after several changes were interrupted
	revision, err := c.replaceDomain(ctx, both, item.Revision)
	if err != nil {
		return nil, err
	}
	back, _, err := readDomain(ctx, c.store, d.id)
	if err != nil {
		return nil, err
	}
	for i, w := range next.wraps {
		if i >= len(back.wraps) || back.wraps[i].root != w.root {
			return nil, &Problem{item.Name, "the store does not return what was written", record.ErrDamaged}
		}
		if err := back.prove(ctx, back.wraps[i], key, roots[i]); err != nil {
			return nil, err
		}
	}
	return &rewrap{next, revision}, nil
}

// replaceDomain writes the record of a domain key in place of the one that has this revision.
func (c *core) replaceDomain(ctx context.Context, d *domainRecord, revision keystore.Revision) (keystore.Revision, error) {
	b := &batch{v: &c.vault, changes: []keystore.Change{{Op: keystore.Put, Name: domainItem(d.id), Revision: revision, Value: d.encode()}}}
	revision, err := c.store.Commit(ctx, b.changes)
	if errors.Is(err, keystore.ErrUnknown) {
		revision, err = c.lookUp(ctx, b, err)
	}
	return revision, err
}

// manage runs what only the program itself does with a ring, one at a time.
func (k *Keyring) manage(ctx context.Context, name string, work func() error) error {
	c := k.c
	if !c.gate.enter() {
		return &Error{Op: name, Code: ErrServiceUnavailable, Message: "the keyring is closed"}
	}
	defer c.gate.leave()
	select {
	case c.maintenance.running <- struct{}{}:
		defer func() { <-c.maintenance.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := work(); err != nil {
		return fmt.Errorf("kms: %s: %w", name, err)
	}
	return nil
}
