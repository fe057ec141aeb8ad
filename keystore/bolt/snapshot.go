package bolt

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	"github.com/claviger/kms/keystore"
)

// bbolt's meta pages: page header, then magic 4 | version 4 | page size 4 | flags 4 | root page 8 | sequence 8 | freelist page 8 | pages 8 | transaction 8 | sum 8.
// The sum is FNV-1a, 64 bits, over what is before it.
const (
	metaLen     = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	minPageSize = 512
)

// A meta says where a committed state of the file begins.
type meta struct {
	root     uint64
	freelist uint64
	pages    uint64 // pages of the file that this state may use
	tx       uint64
}

// parseMeta returns the meta of a page, or what is wrong with it.
func parseMeta(page []byte) (m meta, wrong string) {
	b := page[pageHeaderLen : pageHeaderLen+metaLen]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	switch {
	case order.Uint32(b) != metaMagic:
		return meta{}, "no mark of bbolt"
	case order.Uint32(b[4:]) != metaVersion:
		return meta{}, "another version of bbolt"
	case order.Uint64(b[56:]) != sum.Sum64():
		return meta{}, "checksum is wrong"
	default:
		return meta{root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]), pages: order.Uint64(b[40:]), tx: order.Uint64(b[48:])}, ""
	}
}

// A snapshot is one committed state of the file, and the way to read it. It uses neither bbolt nor the memory map: a page is read, checked and only then
// believed. bbolt trusts its pages, and a damaged one can send it into an endless recursion that no recover stops, or make it fault while it holds its locks.
//
// bbolt writes a new state only to pages that the state before it does not use. A snapshot is therefore good until the commit after the next one begins; the
// store sees to it that nobody reads it then.
type snapshot struct {
	file     io.ReaderAt
	pageSize int
	meta
	free     []uint64          // pages that this state does not use, ascending; nil if unknown
	records  node              // root of the tree of records
	revision keystore.Revision // the last one given
	branches *branches
}

// readSnapshot reads the newest state. Where salvage is not set, whatever is wrong with a meta page or the list of free pages is an error: bbolt itself falls back
// to the state before the newest, which would silently undo an acknowledged commit, and would write over pages that a damaged list calls free. A crash is no
// reason for a bad meta page: its 80 bytes are in one sector, which a disk writes whole or not at all.
func readSnapshot(file io.ReaderAt, pageSize int, salvage bool) (*snapshot, error) {
	if pageSize < minPageSize || pageSize&(pageSize-1) != 0 { // bbolt takes it from the file
		return nil, damaged(fmt.Sprintf("meta page: a page size of %d", pageSize), nil)
	}
	s := &snapshot{file: file, pageSize: pageSize, branches: new(branches)}
	var err error
	if s.meta, err = s.readMeta(salvage); err != nil {
		return nil, err
	}
	if s.free, err = s.readFreelist(); err != nil && !salvage {
		return nil, err
	}
	return s, s.readHeader()
}

// checkCurrent makes sure that the file is still in the state of s, before bbolt goes on from what it believes the state to be.
func (s *snapshot) checkCurrent() error {
	now, err := s.readMeta(false)
	if err != nil {
		return err
	}
	if now != s.meta {
		return damaged("newest meta page", nil)
	}
	again := *s
	return again.readHeader()
}

// readMeta returns the newest meta.
func (s *snapshot) readMeta(salvage bool) (newest meta, err error) {
	found := false
	for i := range 2 {
		b := make([]byte, pageHeaderLen+metaLen)
		if err := s.readAt(b, int64(i)*int64(s.pageSize)); err != nil {
			return meta{}, err
		}
		m, wrong := parseMeta(b)
		switch {
		case wrong != "" && !salvage:
			return meta{}, damaged(fmt.Sprintf("meta page %d: %s", i, wrong), nil)
		case wrong == "" && (!found || m.tx > newest.tx):
			newest, found = m, true
		}
	}
	if !found {
		return meta{}, damaged("both meta pages", nil)
	}
	return newest, nil
}

// readFreelist returns the pages that the state does not use.
func (s *snapshot) readFreelist() ([]uint64, error) {
	what := fmt.Sprintf("list of free pages, page %d", s.freelist)
	if s.freelist < 2 || s.freelist >= s.pages {
		return nil, damaged(what, nil)
	}
	at := int64(s.freelist) * int64(s.pageSize)
	head := make([]byte, pageHeaderLen+8)
	if err := s.readAt(head, at); err != nil {
		return nil, err
	}
	count := uint64(order.Uint16(head[10:]))
	at += pageHeaderLen
	if count == 0xFFFF { // a longer list has its length in the first entry
		count = order.Uint64(head[pageHeaderLen:])
		at += 8
	}
	room := uint64(order.Uint32(head[12:]))*uint64(s.pageSize) + uint64(s.pageSize) - pageHeaderLen - 8
	if order.Uint64(head) != s.freelist || order.Uint16(head[8:]) != freelistFlag || count > s.pages || count*8 > room+8 {
		return nil, damaged(what, nil)
	}
	b := make([]byte, count*8)
	if err := s.readAt(b, at); err != nil {
		return nil, err
	}
	free := make([]uint64, count)
	for i := range free {
		free[i] = order.Uint64(b[i*8:])
		if free[i] < 2 || free[i] >= s.pages || free[i] == s.freelist || i > 0 && free[i] <= free[i-1] {
			return nil, damaged(what, nil)
		}
	}
	return free, nil
}

// readNode returns one page of a tree, checked when it was read. A branch that points to a free page points to an older state of a node, which would pass every
// other check.
func (s *snapshot) readNode(id uint64) (node, error) {
	if n, ok := s.branches.get(id); ok {
		return n, nil
	}
	n, wrong, err := s.checkNode(id)
	if err == nil && wrong != "" {
		err = damaged(fmt.Sprintf("page %d: %s", id, wrong), nil)
	}
	if err != nil {
		return node{}, err
	}
	if !n.leaf {
		n = n.withHeads()
		s.branches.add(id, n)
	}
	return n, nil
}

// checkNode reads a page, or says what is wrong with it.
func (s *snapshot) checkNode(id uint64) (n node, wrong string, err error) {
	if id < 2 || id >= s.pages {
		return node{}, "no such page", nil
	}
	b := make([]byte, s.pageSize)
	if err := s.readAt(b, int64(id)*int64(s.pageSize)); err != nil {
		return node{}, "", err
	}
	overflow := uint64(order.Uint32(b[12:]))
	if order.Uint64(b) != id || overflow >= s.pages-id || overflow*uint64(s.pageSize) > maxPageLen {
		return node{}, "header is wrong", nil
	}
	if i, _ := slices.BinarySearch(s.free, id); i < len(s.free) && s.free[i] <= id+overflow {
		return node{}, "in use and free", nil
	}
	if overflow > 0 {
		b = slices.Grow(b, int(overflow)*s.pageSize)[:int(overflow+1)*s.pageSize]
		if err := s.readAt(b[s.pageSize:], int64(id+1)*int64(s.pageSize)); err != nil {
			return node{}, "", err
		}
	}
	n, end, wrong := parseNode(b)
	if wrong == "" && end <= int(overflow)*s.pageSize {
		wrong = "longer than what it holds" // bbolt would free pages that belong to others with it
	}
	return n, wrong, nil
}

// readAt fills b. A file that ends too early is damaged; any other error is the system's.
func (s *snapshot) readAt(b []byte, at int64) error {
	if _, err := s.file.ReadAt(b, at); err != nil {
		what := fmt.Sprintf("page %d", at/int64(s.pageSize))
		if errors.Is(err, io.EOF) {
			return damaged(what+": file ends before it", nil)
		}
		return damaged(what+": cannot be read", err)
	}
	return nil
}
