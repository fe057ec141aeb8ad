// Package cache is a bounded map that is read without a lock.
//
// Readers walk immutable chains that hang from atomic pointers; writers replace chains under one mutex. When the map is full, the entry that was not read for
// longest, by the second-chance rule, makes room. Lookups allocate nothing, which a sync.Map with keys of more than a word cannot offer.
package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A Cache maps keys to values, at most as many as it was made for. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	seed    maphash.Seed
	buckets []atomic.Pointer[node[K, V]] // a power of two of them

	mu    sync.Mutex
	clock []*entry[K, V] // every entry, in the order of the hand
	hand  int
	limit int

	removed func(V)
}

// A node is a link of a chain; it never changes.
type node[K comparable, V any] struct {
	entry *entry[K, V]
	next  *node[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
	place int         // in the clock
	used  atomic.Bool // read since the hand last passed
}

// New returns a cache for up to limit entries, at least one.
func New[K comparable, V any](limit int) *Cache[K, V] {
	limit = max(limit, 1)
	n := 1
	for n < limit {
		n *= 2
	}
	return &Cache[K, V]{seed: maphash.MakeSeed(), buckets: make([]atomic.Pointer[node[K, V]], n), limit: limit}
}

// OnRemove makes the cache call f with each value that leaves it, before the value is gone: whoever finds another value for the key finds this one told. f must not
// use the cache. OnRemove is called before the cache is used.
func (c *Cache[K, V]) OnRemove(f func(V)) *Cache[K, V] {
	c.removed = f
	return c
}

func (c *Cache[K, V]) bucket(key K) *atomic.Pointer[node[K, V]] {
	return &c.buckets[maphash.Comparable(c.seed, key)&uint64(len(c.buckets)-1)]
}

func find[K comparable, V any](n *node[K, V], key K) *entry[K, V] {
	for ; n != nil; n = n.next {
		if n.entry.key == key {
			return n.entry
		}
	}
	return nil
}

// Get returns the value of key.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	e := find(c.bucket(key).Load(), key)
	if e == nil {
		return value, false
	}
	if !e.used.Load() { // do not write a cache line that is shared by all readers without need
		e.used.Store(true)
	}
	return e.value, true
}

// GetOrAdd returns the value of key, adding value if there was none, and reports whether there was one.
func (c *Cache[K, V]) GetOrAdd(key K, value V) (actual V, loaded bool) {
	if v, ok := c.Get(key); ok {
		return v, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bucket(key)
	if e := find(b.Load(), key); e != nil {
		return e.value, true
	}
	c.add(b, key, value)
	return value, false
}

// Put makes value the value of key.
func (c *Cache[K, V]) Put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bucket(key)
	if e := find(b.Load(), key); e != nil {
		c.remove(e)
	}
	c.add(b, key, value)
}

// Delete removes key.
func (c *Cache[K, V]) Delete(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := find(c.bucket(key).Load(), key); e != nil {
		c.remove(e)
	}
}

// Clear removes everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.clock {
		c.tell(e)
	}
	for i := range c.buckets {
		c.buckets[i].Store(nil)
	}
	clear(c.clock)
	c.clock, c.hand = c.clock[:0], 0
}

// Len returns the number of entries.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.clock)
}

// add makes an entry. In a full cache it takes the place of the one that makes room, behind the hand, so that it has a whole turn to be read in.
func (c *Cache[K, V]) add(b *atomic.Pointer[node[K, V]], key K, value V) {
	e := &entry[K, V]{key: key, value: value, place: len(c.clock)}
	if len(c.clock) < c.limit {
		c.clock = append(c.clock, e)
	} else {
		old := c.idle()
		c.tell(old)
		c.unlink(old)
		e.place = old.place
		c.clock[e.place] = e
	}
	b.Store(&node[K, V]{entry: e, next: b.Load()})
}

// idle returns the first entry from the hand on that was not read since the hand last passed, and moves the hand behind it; after one turn every entry counts as not
// read.
func (c *Cache[K, V]) idle() *entry[K, V] {
	for {
		e := c.clock[c.hand%len(c.clock)]
		c.hand = e.place + 1
		if !e.used.Swap(false) {
			return e
		}
	}
}

// remove takes an entry off its chain and off the clock, where the last one takes its place.
func (c *Cache[K, V]) remove(e *entry[K, V]) {
	c.tell(e)
	c.unlink(e)
	last := len(c.clock) - 1
	c.clock[e.place] = c.clock[last]
	c.clock[e.place].place = e.place
	c.clock[last] = nil
	c.clock = c.clock[:last]
}

func (c *Cache[K, V]) tell(e *entry[K, V]) {
	if c.removed != nil {
		c.removed(e.value)
	}
}

// unlink replaces the chain of an entry by one without it.
func (c *Cache[K, V]) unlink(e *entry[K, V]) {
	b := c.bucket(e.key)
	var without func(n *node[K, V]) *node[K, V]
	without = func(n *node[K, V]) *node[K, V] {
		if n.entry == e {
			return n.next
		}
		return &node[K, V]{entry: n.entry, next: without(n.next)}
	}
	b.Store(without(b.Load()))
}
