package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// A key is a snapshot of one key: its record, its compiled policy, its opened material. It never changes; a change commits to the store and publishes another
// snapshot. Nothing reachable from it is wiped while somebody may hold it.
type key struct {
	*keyRecord
	*specification
	algorithms []Algorithm // of its usage
	arn        string
	from       source
	document   *policy.Document // the policy, compiled
	materials  *materials       // shared by the snapshots of the key
	allowed    permissions      // what document allows whatever the rest of a request
}

// newKey is a key with what follows from its record.
func (c *core) newKey(r *keyRecord) *key {
	s := r.spec.specification()
	return &key{keyRecord: r, specification: s, algorithms: s.usages[r.usage], arn: c.ring.keyARN(r.id)}
}

func keyItem(id keyID) string { return kindKey + "/" + id.String() }

// errNoKey says that the store has no such key.
var errNoKey = errors.New("kms: no such key")

// A view is a snapshot and since when it is known to be current.
type view struct {
	key     *key
	current stamp // the start of the read, or of the commit, that showed it to be current
}

// A slot holds the newest view of one key. A key has one slot at a time: one that left the cache is retired, so that whoever still knows it finds nothing in it.
type slot struct {
	view atomic.Pointer[view]
	met  atomic.Int64 // when the cache was last asked for it, on the monotonic clock
}

// retired is the view of slots that left the cache.
var retired = new(view)

func (s *slot) retire() { s.view.Store(retired) }

// newest returns the view that the slot holds, or nil.
func (s *slot) newest() *view {
	if v := s.view.Load(); v != retired {
		return v
	}
	return nil
}

// fresh returns the snapshot if it may still be used.
func (s *slot) fresh(bound time.Duration, now stamp) *key {
	if v := s.newest(); v != nil && v.current.within(bound, now) {
		return v.key
	}
	return nil
}

// A sighting is the highest generation of a key that this process has seen.
type sighting struct {
	generation uint64
	changeID   [16]byte
	at         uint64 // its place among all sightings and reads of this process: a clock may stand still between two
}

// sightings remember the keys that this process saw last: as many as their limit, whatever is used how often, and at most twice as many.
type sightings struct {
	mu      sync.Mutex
	limit   int
	recent  map[keyID]sighting
	earlier map[keyID]sighting // what was recent when that was last full
	order   atomic.Uint64      // counts sightings, and reads of keys; see sighting
}

func (s *sightings) init(limit int) {
	s.limit, s.recent, s.earlier = limit, make(map[keyID]sighting), make(map[keyID]sighting)
}

// last returns what was last seen of a key. Whoever asks sees the key again.
func (s *sightings) last(id keyID) (sighting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(id)
}

func (s *sightings) find(id keyID) (known sighting, seen bool) {
	if known, seen = s.recent[id]; !seen {
		if known, seen = s.earlier[id]; seen {
			s.keep(id, known)
		}
	}
	return known, seen
}

// advance remembers the generation of a key, if it is the highest.
func (s *sightings) advance(k *key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, seen := s.find(k.id); !seen || known.generation < k.from.generation {
		s.keep(k.id, sighting{k.from.generation, k.from.changeID, s.order.Add(1)})
	}
}

func (s *sightings) keep(id keyID, is sighting) {
	if len(s.recent) >= s.limit {
		s.recent, s.earlier = s.earlier, s.recent
		clear(s.recent)
	}
	s.recent[id] = is
}

// fresh returns the cached snapshot of a key if it may still be used.
func (c *core) fresh(id keyID, now stamp) *key {
	if s, ok := c.keys.Get(id); ok {
		return s.fresh(c.cfg.MaxStaleness, now)
	}
	return nil
}

// A referent is what a reference named when it was last followed.
type referent struct {
	id    keyID
	alias string // "" if the reference names the key by its id
	slot  *slot
}

// meet is how long the use of a key through references may go unnoticed by the cache, which drops what nobody asks for.
const meet = 100 * time.Millisecond

// recall returns the key that a reference names, and the alias if it names it by one, if both are known and fresh; else nil. The key's own record says whether it
// still has the alias, so that what is remembered of a reference cannot be out of date.
func (c *core) recall(text string, forms refForms, at stamp, now int64) (k *key, alias string) {
	r, ok := c.refs.Get(text)
	if !ok || r.alias != "" && forms != anyForm {
		return nil, ""
	}
	if k = r.slot.fresh(c.cfg.MaxStaleness, at); k == nil || r.alias != "" && !k.hasAlias(r.alias, now) {
		return nil, ""
	}
	if met := r.slot.met.Load(); at.mono-time.Duration(met) > meet {
		r.slot.met.Store(int64(at.mono))
		c.keys.Get(r.id)
	}
	return k, r.alias
}

// remember keeps what a reference was found to name. alias is how the text ends, or empty.
func (c *core) remember(text string, k *key, alias string) {
	s, ok := c.keys.Get(k.id)
	if !ok {
		return
	}
	if r, ok := c.refs.Get(text); !ok || r.slot != s {
		text = strings.Clone(text) // of whatever it is a part
		c.refs.Put(text, referent{id: k.id, alias: text[len(text)-len(alias):], slot: s})
	}
}

// load returns a snapshot that was current no longer than MaxStaleness before now, reading the store if there is none. It fails with errNoKey.
func (c *core) load(ctx context.Context, id keyID, now stamp) (*key, error) {
	if k := c.fresh(id, now); k != nil {
		return k, nil
	}
	if missed, ok := c.misses.Get(id); ok && missed.within(c.cfg.MaxStaleness, now) {
		if _, seen := c.seen.last(id); !seen { // else it was made since, or destroyed: the store knows
			return nil, errNoKey
		}
	}
	return c.reload(ctx, id, now.mono)
}

// reload returns a snapshot that was current at some time after since. Callers who want the same share one read.
func (c *core) reload(ctx context.Context, id keyID, since time.Duration) (*key, error) {
	for {
		f, mine := c.flights.join(id, &c.clock)
		if mine {
			c.gate.hold()
			go func() {
				defer c.gate.leave()
				f.run(&c.flights, id, func(ctx context.Context) (*key, error) { return c.fetch(ctx, id, f.started) })
			}()
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case f.panicked != nil && mine:
			panic(f.panicked)
		case f.landed && f.started.mono >= since:
			return f.key, f.err
		}
	}
}

// fetch reads a key from the store and publishes what it finds.
func (c *core) fetch(ctx context.Context, id keyID, started stamp) (*key, error) {
	item := keyItem(id)
	for {
		began := c.seen.order.Add(1)
		sealed, err := c.store.Get(ctx, item)
		known, seen := c.seen.last(id)
		begun := seen && known.at < began // what is known was known before the read began
		if errors.Is(err, keystore.ErrNotFound) && (!seen || begun) {
			if err := c.prove(ctx, kindKey, item, source{}); errors.Is(err, errMovedOn) {
				continue
			} else if err != nil {
				return nil, err
			}
			c.misses.Put(id, started)
			c.keys.Delete(id)
			return nil, errNoKey
		}
		if err != nil && !errors.Is(err, keystore.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			if s, ok := c.keys.Get(id); ok {
				if v := s.newest(); v != nil && v.key.from.revision == sealed.Revision && c.anchor == nil {
					if k := c.publish(v.key, started); k != nil {
						return k, nil
					}
				}
			}
			k, err := c.openKey(ctx, id, sealed)
			if err == nil {
				err = c.prove(ctx, kindKey, item, k.from)
			}
			switch {
			case errors.Is(err, errMovedOn):
				continue
			case err != nil:
				return nil, err
			case !seen, k.from.generation > known.generation, k.from.generation == known.generation && k.from.changeID == known.changeID:
				if k := c.publish(k, started); k != nil {
					return k, nil
				}
			case begun || k.from.generation == known.generation:
				return nil, &Problem{item, "gone back behind what the store returned before", record.ErrDamaged}
			}
		}
		started = c.clock.stamp() // this process has written the record since: read it again
	}
}

// openKey makes a snapshot of a key's sealed record.
func (c *core) openKey(ctx context.Context, id keyID, sealed keystore.Record) (*key, error) {
	r := new(keyRecord)
	from, _, err := c.open(ctx, kindKey, keyItem(id), sealed, r)
	if err != nil {
		return nil, err
	}
	if r.id != id || len(r.bound)%2 != 0 {
		return nil, problem(keyItem(id), errBody)
	}
	return c.snapshot(r, from)
}

// snapshot makes a snapshot of a record, which must not be changed any more.
func (c *core) snapshot(r *keyRecord, from source) (*key, error) {
	doc, err := c.compile(r.policy, r.bound)
	if err != nil {
		return nil, &Problem{keyItem(r.id), "its policy is none that this version understands", errBody}
	}
	k := c.newKey(r)
	k.from, k.document = from, doc
	if s, ok := c.keys.Get(r.id); ok {
		if v := s.newest(); v != nil {
			k.materials = v.key.materials
		}
	}
	if k.materials == nil {
		k.materials = new(materials)
	}
	return k, nil
}

// A policyText is what a key policy is compiled from: its text, and the unique ids that its principals are bound to.
type policyText struct{ text, bound string }

// compile returns a key policy, compiled. Many keys have the same one, which they share.
func (c *core) compile(text string, bound []string) (*policy.Document, error) {
	whole := policyText{text: text}
	if len(bound) > 0 {
		whole.bound = fmt.Sprintf("%q", bound) // whatever characters ids have
	}
	if doc, ok := c.documents.Get(whole); ok {
		return doc, nil
	}
	doc, err := policy.Parse(text, policy.KeyPolicy)
	if err != nil {
		return nil, err
	}
	if len(bound) > 0 {
		doc = doc.Bind(func(arn string) string { return (&keyRecord{bound: bound}).boundID(arn) })
	}
	c.documents.Put(whole, doc)
	return doc, nil
}

// publish makes k the snapshot of its key, unless a newer one is known, and returns the one that is; nil if that was known and is no more at hand. current is when k
// is known to have been current.
func (c *core) publish(k *key, current stamp) *key {
	c.seen.advance(k) // before anybody can use it, so that nobody publishes less afterwards
	for {
		s, _ := c.keys.GetOrAdd(k.id, new(slot))
		old := s.view.Load()
		if old == retired { // it is about to leave the cache
			continue
		}
		if known, _ := c.seen.last(k.id); known.generation > k.from.generation && old == nil { // it has left the cache since k was read
			return nil
		}
		next := &view{key: k, current: current}
		if old != nil {
			if old.key.from.generation > k.from.generation {
				return old.key
			}
			if old.key.from.generation == k.from.generation {
				next.key = old.key
				if old.current.mono > current.mono {
					next.current = old.current
				}
			}
		}
		if s.view.CompareAndSwap(old, next) {
			c.misses.Delete(k.id)
			return next.key
		}
	}
}

// hasAlias reports whether the key answers to an alias. The key's own record decides, so an alias is as fresh as its key, and goes with it.
func (k *key) hasAlias(name string, now int64) bool {
	_, found := slices.BinarySearch(k.aliases, name)
	return found && !k.isDeleted(now)
}

// loadAlias returns the key that an alias points to. It fails with errNoKey.
//
// With again, it is followed anew, and the key read after at.
func (c *core) loadAlias(ctx context.Context, name string, at stamp, now int64, again bool) (*key, error) {
	if r, ok := c.refs.Get(name); ok && !again {
		if k, err := c.load(ctx, r.id, at); err == nil && k.hasAlias(name, now) {
			return k, nil
		}
	}
	if !isAliasName(name) {
		return nil, errNoKey
	}
	// The alias and its key change in one commit, but are two reads: another turn when the alias moved between them.
	var last [16]byte
	for range maxTries {
		since := c.clock.mono()
		var a aliasRecord
		from, _, err := c.read(ctx, kindAlias, name, &a)
		if err != nil {
			if errors.Is(err, keystore.ErrNotFound) {
				return nil, errNoKey
			}
			return nil, err
		}
		if from.changeID == last { // it did not move while its key was read, and the key does not know it
			return nil, errNoKey
		}
		last = from.changeID
		k, err := c.load(ctx, a.target, at)
		if err == nil && (again || !k.hasAlias(name, now)) {
			k, err = c.reload(ctx, a.target, since)
		}
		if err == nil && k.hasAlias(name, now) {
			c.remember(name, k, name)
			return k, nil
		}
		if err != nil && !errors.Is(err, errNoKey) {
			return nil, err
		}
	}
	return nil, keystore.ErrConflict
}

// flights are the reads of keys that run, one for each key. A read is nobody's: it has a context and a goroutine of its own, so that no caller's context keeps the
// others waiting or ends what they wait for.
type flights struct {
	mu      sync.Mutex // guards running
	running map[keyID]*flight
}

// flightTime bounds a read of one key.
const flightTime = 30 * time.Second

// A flight is one read. Its fields but done and started are set before done is closed.
type flight struct {
	done     chan struct{}
	started  stamp
	key      *key
	err      error
	landed   bool // false if the store panicked
	panicked any
}

// join returns the read of a key that runs, or a new one, which the caller must run.
func (f *flights) join(id keyID, c *clock) (fl *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.running[id]; ok {
		return fl, false
	}
	fl = &flight{done: make(chan struct{}), started: c.stamp()}
	f.running[id] = fl
	return fl, true
}

func (fl *flight) run(f *flights, id keyID, read func(context.Context) (*key, error)) {
	defer func() {
		fl.panicked = recover()
		f.mu.Lock()
		delete(f.running, id)
		f.mu.Unlock()
		close(fl.done)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), flightTime)
	defer cancel()
	fl.key, fl.err = read(ctx)
	fl.landed = true
}
