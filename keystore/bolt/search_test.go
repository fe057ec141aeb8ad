package bolt

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// branchPage makes a branch of keys, which are in order.
func branchPage(keys [][]byte) []byte {
	b := make([]byte, pageHeaderLen+len(keys)*elementLen)
	order.PutUint16(b[8:], branchFlag)
	order.PutUint16(b[10:], uint16(len(keys)))
	for i, k := range keys {
		e := b[pageHeaderLen+i*elementLen:]
		order.PutUint32(e, uint32(len(b)-(pageHeaderLen+i*elementLen)))
		order.PutUint32(e[4:], uint32(len(k)))
		b = append(b, k...)
	}
	return b
}

// TestSearch: a search by heads finds what a search by whole keys finds.
func TestSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	key := func(prefix string) []byte {
		k := []byte(prefix)
		for range 1 + rnd.IntN(12) {
			k = append(k, "\x00\x01ab\xff"[rnd.IntN(5)])
		}
		return k
	}
	for round := range 3000 {
		prefix := []string{"", "key/", "total/0", "\x00", "\xff\xff"}[rnd.IntN(5)]
		var keys [][]byte
		for range 1 + rnd.IntN(40) {
			keys = append(keys, key(prefix))
		}
		slices.SortFunc(keys, bytes.Compare)
		keys = slices.CompactFunc(keys, bytes.Equal)
		n, _, wrong := parseNode(branchPage(keys))
		if wrong != "" {
			t.Fatal(wrong)
		}
		n = n.withHeads()
		names := append(slices.Clone(keys), nil, []byte(prefix), []byte("key"), []byte("key/a"), []byte("z"))
		for range 60 {
			names = append(names, key(prefix), key(""), slices.Clone(keys[rnd.IntN(len(keys))][:1]))
		}
		for _, name := range names {
			want := sort.Search(len(keys), func(i int) bool { return bytes.Compare(keys[i], name) >= 0 })
			if got := n.search(name); got != want {
				t.Fatalf("round %d: %q among %q: %d, want %d", round, name, keys, got, want)
			}
		}
	}
}
