package passphrase

import (
	"slices"
	"sync"
)

// cacheLen bounds the keys that a Root remembers: a ring has few domain keys, and a hostile store would have salts without number.
const cacheLen = 8

// cache holds the most recently used keys. The zero cache is empty.
type cache struct {
	mu   sync.Mutex
	keys []*keys // guarded by mu; the most recently used last
}

func (c *cache) get(p params) *keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.keys, func(k *keys) bool { return k.params == p })
	if i < 0 {
		return nil
	}
	k := c.keys[i]
	c.keys = append(slices.Delete(c.keys, i, i+1), k)
	return k
}

func (c *cache) put(k *keys) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.keys) == cacheLen {
		c.keys = slices.Delete(c.keys, 0, 1) // dropped, and wiped by its cleanup once nobody uses it
	}
	c.keys = append(c.keys, k)
}
