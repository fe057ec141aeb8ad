package memory

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/claviger/kms/keystore"
)

// chunkLen is the most records of a chunk. A change moves at most this many records, and one in chunkLen/2 moves the list of chunks: for a million records
// that list has a few thousand entries.
const chunkLen = 512

// An index keeps records in the order of their names, in sorted chunks of bounded length. No chunk is empty. The zero index is empty.
type index struct {
	chunks [][]keystore.Record
}

func byName(r keystore.Record, name string) int { return strings.Compare(r.Name, name) }

// find returns the chunk and place where name is or belongs. The chunk is out of range only if there is none.
func (x *index) find(name string) (chunk, place int, found bool) {
	// The first chunk whose first name is greater; name belongs to the one before it.
	n, _ := slices.BinarySearchFunc(x.chunks, name, func(c []keystore.Record, name string) int {
		return cmp.Or(byName(c[0], name), -1)
	})
	chunk = max(n-1, 0)
	if len(x.chunks) == 0 {
		return 0, 0, false
	}
	place, found = slices.BinarySearchFunc(x.chunks[chunk], name, byName)
	return chunk, place, found
}

// get returns the record of that name, or the zero record and false.
func (x *index) get(name string) (keystore.Record, bool) {
	c, i, found := x.find(name)
	if !found {
		return keystore.Record{}, false
	}
	return x.chunks[c][i], true
}

// from yields the records with that name and greater ones, in order.
func (x *index) from(name string) iter.Seq[keystore.Record] {
	return func(yield func(keystore.Record) bool) {
		c, i, _ := x.find(name)
		for ; c < len(x.chunks); c, i = c+1, 0 {
			for _, r := range x.chunks[c][i:] {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// put adds r or replaces the record of its name.
func (x *index) put(r keystore.Record) {
	c, i, found := x.find(r.Name)
	if found {
		x.chunks[c][i] = r
		return
	}
	if len(x.chunks) == 0 {
		x.chunks = [][]keystore.Record{{r}}
		return
	}
	x.chunks[c] = slices.Insert(x.chunks[c], i, r)
	if len(x.chunks[c]) > chunkLen {
		half := slices.Clone(x.chunks[c][chunkLen/2:])
		clear(x.chunks[c][chunkLen/2:])
		x.chunks[c] = x.chunks[c][:chunkLen/2]
		x.chunks = slices.Insert(x.chunks, c+1, half)
	}
}

// delete removes the record of that name, if there is one.
func (x *index) delete(name string) {
	c, i, found := x.find(name)
	if !found {
		return
	}
	x.chunks[c] = slices.Delete(x.chunks[c], i, i+1)
	if len(x.chunks[c]) == 0 {
		x.chunks = slices.Delete(x.chunks, c, c+1)
	}
}
