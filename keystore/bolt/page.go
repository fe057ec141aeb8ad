package bolt

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
)

// Layout of bbolt's file, version 2. Numbers are in the byte order of the machine that wrote them.
//
//	page:    id 8 | flags 2 | count 2 | overflow 4 | elements 16 each | keys and values, in the order of the elements and without gaps
//	branch:  position of the key, from the element, 4 | length of the key 4 | page id 8
//	leaf:    flags 4 | position 4 | length of the key 4 | length of the value 4
const (
	pageHeaderLen = 16
	elementLen    = 16

	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10

	// maxPageLen bounds what is read for one node of the tree. bbolt does not split a node of four records, so that four of the largest are possible.
	maxPageLen = 8 << 20
)

var order = binary.NativeEndian

// A node is one checked page of a tree: a branch, whose values are page ids, or a leaf.
type node struct {
	leaf bool
	n    int // elements, at least one
	b    []byte

	skip  int      // of a node with heads: how many bytes all keys begin with alike
	heads []uint64 // the eight bytes of each key behind those, big-endian, with zeros behind a shorter key; nil if they were not taken
}

// withHeads returns a node that is searched often with what a search looks at close together: on the page, each step of it would wait for memory twice.
func (p node) withHeads() node {
	first, last := p.key(0), p.key(p.n-1)
	for p.skip < min(len(first), len(last)) && first[p.skip] == last[p.skip] {
		p.skip++
	}
	p.heads = make([]uint64, p.n)
	for i := range p.heads {
		p.heads[i] = head(p.key(i)[p.skip:])
	}
	return p
}

func head(b []byte) uint64 {
	var first [8]byte
	copy(first[:], b)
	return binary.BigEndian.Uint64(first[:])
}

// search returns the first element whose key is not less than name.
func (p node) search(name []byte) int {
	from, to := 0, p.n
	if p.heads != nil && bytes.HasPrefix(name, p.key(0)[:p.skip]) {
		h := head(name[p.skip:])
		from, _ = slices.BinarySearch(p.heads, h)
		for to = from; to < p.n && p.heads[to] == h; to++ { // which the heads cannot tell apart
		}
	}
	return from + sort.Search(to-from, func(i int) bool { return bytes.Compare(p.key(from+i), name) >= 0 })
}

func (p node) element(i int) []byte { return p.b[pageHeaderLen+i*elementLen:][:elementLen] }

// span returns where the key and the value of an element begin and end.
func (p node) span(i int) (key, value, end int) {
	e := p.element(i)
	at := pageHeaderLen + i*elementLen
	if !p.leaf {
		key = at + int(order.Uint32(e))
		value = key + int(order.Uint32(e[4:]))
		return key, value, value
	}
	key = at + int(order.Uint32(e[4:]))
	value = key + int(order.Uint32(e[8:]))
	return key, value, value + int(order.Uint32(e[12:]))
}

func (p node) key(i int) []byte {
	key, value, _ := p.span(i)
	return p.b[key:value]
}

func (p node) value(i int) []byte {
	_, value, end := p.span(i)
	return p.b[value:end]
}

// bucket reports whether a leaf's element is a bucket and not a record.
func (p node) bucket(i int) bool { return order.Uint32(p.element(i)) != 0 }

// child returns the page id that a branch's element points to.
func (p node) child(i int) uint64 { return order.Uint64(p.element(i)[8:]) }

// parseNode checks a page as far as one page can be checked, so that nothing read from the node later can be out of its bounds, and says what is wrong.
//
// bbolt writes keys and values without gaps, right after the elements, and that is demanded here although a reader could do without: a count or a length with a
// flipped bit would otherwise hide records instead of being noticed.
func parseNode(b []byte) (p node, end int, wrong string) {
	if len(b) < pageHeaderLen {
		return node{}, 0, "page is cut short"
	}
	p = node{n: int(order.Uint16(b[10:])), b: b}
	switch order.Uint16(b[8:]) {
	case leafFlag:
		p.leaf = true
	case branchFlag:
	default:
		return node{}, 0, "page is no node of a tree"
	}
	end = pageHeaderLen + p.n*elementLen
	if p.n == 0 || end > len(b) {
		return node{}, 0, "number of elements is wrong"
	}
	var previous []byte
	for i := range p.n {
		key, value, next := p.span(i)
		if key != end || value <= key || next < value || next > len(b) {
			return node{}, 0, "layout of elements is wrong"
		}
		if bytes.Compare(previous, b[key:value]) >= 0 {
			return node{}, 0, "keys are out of order"
		}
		previous, end = b[key:value], next
	}
	return p, end, ""
}
