package bolt

import (
	"slices"
	"sync"
)

// maxBranches bounds the branches that are kept: they are enough for a few million records, in 16 MiB.
const maxBranches = 4096

// Branches are the checked branch nodes of a snapshot, by page, so that a lookup reads little more than its leaf.
type branches struct {
	mu    sync.RWMutex // guards nodes
	nodes map[uint64]node
}

func (b *branches) get(id uint64) (node, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n, ok := b.nodes[id]
	return n, ok
}

func (b *branches) add(id uint64, n node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.nodes) >= maxBranches {
		clear(b.nodes)
	}
	if b.nodes == nil {
		b.nodes = make(map[uint64]node)
	}
	b.nodes[id] = n
}

// inherit takes over the branches of the snapshot before this one. A transaction does not write to pages that were in use: those whose content is no longer
// theirs, or soon will not be, are free now.
func (b *branches) inherit(from *branches, free []uint64) {
	from.mu.RLock()
	defer from.mu.RUnlock()
	for id, n := range from.nodes {
		if _, gone := slices.BinarySearch(free, id); !gone {
			b.add(id, n)
		}
	}
}
