package kms

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claviger/kms/keystore"
)

// Totals say which records there must be, so that one that a store lost, withholds or brings back is noticed by whoever counts.
//
// Records are counted that decide whether a key can be used: those of keys, and tombstones. They fall into 256 buckets by their names, which are random, so that two
// changes seldom meet in one. The total of a bucket is a sealed record that changes in the same commit as what it counts: how many records there are, and the
// exclusive or of a keyed hash of each one's name, generation and change id. A store does not know the hashes, so another set of records has the same sum only by a
// chance of 2^-256.

// A bucket is the first byte of the id of a key, or of the hash in the name of a tombstone.
type bucket byte

func totalItem(b bucket) string { return kindTotal + "/" + hex.EncodeToString([]byte{byte(b)}) }

// totalBucket returns the bucket of a total.
func totalBucket(item string) (bucket, bool) {
	raw, err := hex.DecodeString(strings.TrimPrefix(item, kindTotal+"/"))
	if err != nil || len(raw) != 1 || totalItem(bucket(raw[0])) != item {
		return 0, false
	}
	return bucket(raw[0]), true
}

// prefixes returns the prefixes of the names that are counted in the bucket, with the kinds of the records.
func (b bucket) prefixes() [3][2]string {
	digits := hex.EncodeToString([]byte{byte(b)})
	return [...][2]string{{kindKey, kindKey + "/" + digits}, {kindKey, kindKey + "/" + multiRegionPrefix + digits}, {kindDead, kindDead + "/" + digits}}
}

// bucketOf returns the bucket in which a record is counted, if it is.
func bucketOf(kind, item string) (b bucket, counted bool) {
	if kind != kindKey && kind != kindDead {
		return 0, false
	}
	name := strings.TrimPrefix(strings.TrimPrefix(item, kind+"/"), multiRegionPrefix)
	raw, err := hex.DecodeString(name[:min(2, len(name))])
	if err != nil || len(raw) == 0 { // no name that this package makes
		return 0, false
	}
	return bucket(raw[0]), true
}

// A count is a change of a total.
type count struct {
	keys, dead int
	sum        [32]byte
}

// A totalRecord is what is known of the records of a bucket.
type totalRecord struct {
	keys, dead uint64
	sum        [32]byte
}

func (r *totalRecord) fields() []field {
	return []field{numberField(1, &r.keys), numberField(2, &r.dead), bytesField(3, r.sum[:])}
}

// count notes that a record was one thing and becomes another; the zero source stands for no record.
func (b *batch) count(kind, item string, was, is source) {
	at, counted := bucketOf(kind, item)
	if !counted {
		return
	}
	c := b.counts[at]
	if c == nil {
		c = new(count)
		if b.counts == nil {
			b.counts = make(map[bucket]*count)
		}
		b.counts[at] = c
	}
	if was.generation != 0 {
		c.add(kind, -1, b.v.share(item, was))
	}
	if is.generation != 0 {
		c.add(kind, 1, b.v.share(item, is))
	}
}

func (c *count) add(kind string, n int, share []byte) {
	if kind == kindKey {
		c.keys += n
	} else {
		c.dead += n
	}
	for i, x := range share {
		c.sum[i] ^= x
	}
}

// share is what a record contributes to the sum of its bucket.
func (v *vault) share(item string, s source) []byte {
	var generation [8]byte
	binary.BigEndian.PutUint64(generation[:], s.generation)
	return v.keyedHash(kindTotal, item, string(generation[:]), string(s.changeID[:]))
}

// plus returns the total after a change.
func (r totalRecord) plus(c *count) totalRecord {
	r.keys = uint64(max(int64(r.keys)+int64(c.keys), 0)) // below zero only if the total was lost meanwhile, which the sum tells for good
	r.dead = uint64(max(int64(r.dead)+int64(c.dead), 0))
	for i, x := range c.sum {
		r.sum[i] ^= x
	}
	return r
}

// totals remembers the totals as they were last read or written, so that a change does not have to read them.
type totals struct {
	mu    sync.Mutex // guards what follows
	known [256]struct {
		total totalRecord
		from  source
		known bool
	}
	turns [256]chan struct{} // of the change that is being committed in a bucket, closed when it is settled; nil if there is none
}

// turnTime is how long a change waits for those of its buckets that are being committed.
const turnTime = 100 * time.Millisecond

// take waits for the turns of a change in its buckets, which it gives in their order, and returns what gives them back. Of two changes at a time one would conflict,
// and be made and recorded again. It does not wait for long: what a store holds up holds up nothing else, which may conflict then.
func (t *totals) take(ctx context.Context, buckets []bucket) (give func()) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	turn := make(chan struct{})
	for i, at := range buckets {
		if !t.await(ctx, at, turn) {
			buckets = buckets[:i]
			break
		}
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, at := range buckets {
			t.turns[at] = nil
		}
		close(turn)
	}
}

// await makes turn the one of a bucket when there is no other, and reports whether it did.
func (t *totals) await(ctx context.Context, at bucket, turn chan struct{}) bool {
	for {
		t.mu.Lock()
		before := t.turns[at]
		if before == nil {
			t.turns[at] = turn
		}
		t.mu.Unlock()
		if before == nil {
			return true
		}
		select {
		case <-before:
		case <-ctx.Done():
			return false
		}
	}
}

// A settling is the total of one bucket as a batch makes it.
type settling struct {
	at   bucket
	next totalRecord
	from source // of the new record; its revision is known when it is committed
}

// total puts the totals that the changes of a batch make into it.
func (b *batch) total(ctx context.Context) ([]settling, error) {
	var made []settling
	for _, at := range slices.Sorted(maps.Keys(b.counts)) {
		was, from, err := b.v.total(ctx, at)
		if isDamage(err) && b.v.anchor == nil { // it decides nothing, so it keeps nothing from being done; whoever counts finds it as it is
			if err := b.passOver(ctx, at); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		next := was.plus(b.counts[at])
		b.put(kindTotal, totalItem(at), from, &next)
		made = append(made, settling{at, next, b.made(from, 0)})
	}
	return made, nil
}

// passOver makes a batch depend on a total that was found damaged, as it is: whoever makes it anew must count this change. One that is whole by now was only found so
// while somebody else changed it, and is read again.
func (b *batch) passOver(ctx context.Context, at bucket) error {
	item := totalItem(at)
	sealed, err := b.v.store.Get(ctx, item)
	if err == nil {
		var r totalRecord
		_, _, err = b.v.open(ctx, kindTotal, item, sealed, &r)
	}
	switch {
	case err == nil, errors.Is(err, keystore.ErrNotFound):
		return keystore.ErrConflict
	case !isDamage(err):
		return err
	case sealed.Revision != 0: // else the store cannot read it
		b.changes = append(b.changes, keystore.Change{Op: keystore.Check, Name: item, Revision: sealed.Revision})
	}
	return nil
}

// total returns the total of a bucket, as it was last known.
func (v *vault) total(ctx context.Context, at bucket) (totalRecord, source, error) {
	t := &v.totals
	t.mu.Lock()
	k := t.known[at]
	t.mu.Unlock()
	if k.known {
		return k.total, k.from, nil
	}
	r, from, err := v.readTotal(ctx, at)
	if err == nil {
		t.set(at, r, from)
	}
	return r, from, err
}

// readTotal reads the total of a bucket from the store. A bucket that never had a record has none.
func (v *vault) readTotal(ctx context.Context, at bucket) (r totalRecord, from source, err error) {
	from, _, err = v.read(ctx, kindTotal, totalItem(at), &r)
	if errors.Is(err, keystore.ErrNotFound) {
		return totalRecord{}, source{}, nil
	}
	return r, from, err
}

// countBucket counts the records of a bucket as the store has them. It also tells where one of them, if it is there, came from. What is damaged is not counted.
func (v *vault) countBucket(ctx context.Context, at bucket, item string) (total totalRecord, found source, err error) {
	for _, p := range at.prefixes() {
		kind := p[0]
		for sealed, err := range keystore.Walk(ctx, v.store, p[1]) {
			var s source
			var plain []byte
			if err == nil {
				s, plain, err = v.unseal(ctx, kind, sealed.Name, sealed)
				clear(plain)
			}
			switch {
			case err == nil:
			case ctx.Err() != nil: // nobody knows whether it is damaged
				return totalRecord{}, source{}, ctx.Err()
			case isDamage(err):
				continue
			default:
				return totalRecord{}, source{}, err
			}
			if sealed.Name == item {
				found = s
			}
			var n count
			n.add(kind, 1, v.share(sealed.Name, s))
			total = total.plus(&n)
		}
	}
	return total, found, nil
}

func (t *totals) set(at bucket, r totalRecord, from source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := &t.known[at]; !k.known || k.from.generation < from.generation {
		k.total, k.from, k.known = r, from, true
	}
}

// settled takes the totals of a batch that was committed, or forgets what was known of them: somebody else may have changed them.
func (t *totals) settled(made []settling, revision keystore.Revision, err error) {
	for _, s := range made {
		if err == nil {
			s.from.revision = revision
			t.set(s.at, s.next, s.from)
			continue
		}
		t.mu.Lock()
		t.known[s.at].known = false
		t.mu.Unlock()
	}
}

// forget makes every total be read again.
func (t *totals) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known[:])
}
