package bolt

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// The records are one tree. Its first and last record are fences: names that no record can have, before and after every name that one can have. Whatever is
// looked up lies between two records, so a lookup that finds nothing has to find both, and a tree that lost its end is noticed.
const (
	firstFence = "\x00"
	lastFence  = "\xff"
)

// maxDepth ends the descent into a tree whose pages point in a circle. Branches have at least two children but for rare leftovers, and 2^48 pages of 4 KiB are
// more than a disk holds.
const maxDepth = 64

// A cursor stands at an element of a leaf, at the end of the path from the root.
type cursor struct {
	s    *snapshot
	path []step
}

// A step is a node on the path and the element taken. All keys of the node are from low to below high; nil is unbounded.
type step struct {
	node
	i         int
	low, high []byte
}

// childHigh returns what all keys of the child are below, or nil.
func (p step) childHigh() []byte {
	if p.i+1 < p.n {
		return p.key(p.i + 1)
	}
	return p.high
}

// seek returns a cursor at the first record whose name is not less than name, or one past the last record of its leaf. After an error it stands at the child that
// cannot be read.
func (s *snapshot) seek(root node, name []byte) (*cursor, error) {
	c := &cursor{s: s, path: []step{{node: root}}}
	for {
		top := &c.path[len(c.path)-1]
		i := top.search(name)
		if top.leaf {
			top.i = i
			return c, nil
		}
		if i == top.n || i > 0 && !bytes.Equal(top.key(i), name) {
			i--
		}
		top.i = i
		if err := c.descend(); err != nil {
			return c, err
		}
	}
}

// descend reads the child at which the last step stands, checks that its keys are where they belong, and steps to its first element.
func (c *cursor) descend() error {
	child, err := c.child(c.path[len(c.path)-1])
	if err != nil {
		return err
	}
	if len(c.path) >= maxDepth {
		return damaged("tree: no end to it", nil)
	}
	c.path = append(c.path, child)
	return nil
}

func (c *cursor) child(parent step) (step, error) {
	id := parent.child(parent.i)
	n, err := c.s.readNode(id)
	if err != nil {
		return step{}, err
	}
	child := step{node: n, low: parent.key(parent.i), high: parent.childHigh()}
	if bytes.Compare(n.key(0), child.low) < 0 || child.high != nil && bytes.Compare(n.key(n.n-1), child.high) >= 0 {
		return step{}, damaged(fmt.Sprintf("page %d: not the records that belong there", id), nil)
	}
	return child, nil
}

// move goes one record forward or back, and reports whether there was one. All leaves of a tree have the same depth: one that has not stands in the place of
// a branch above it, whose other leaves would be missed. After an error the cursor stands at the child that cannot be read, or at the record of the other depth.
func (c *cursor) move(by int) (bool, error) {
	depth := len(c.path)
	for len(c.path) > 0 {
		top := &c.path[len(c.path)-1]
		if i := top.i + by; i < 0 || i >= top.n {
			c.path = c.path[:len(c.path)-1]
			continue
		}
		top.i += by
		for !c.path[len(c.path)-1].leaf {
			if err := c.descend(); err != nil {
				return false, err
			}
			if last := &c.path[len(c.path)-1]; by < 0 {
				last.i = last.n - 1
			}
		}
		if len(c.path) != depth {
			return false, damaged("tree: leaves of different depth", nil)
		}
		return true, nil
	}
	return false, nil
}

// at returns the record at which the cursor stands, if it stands at one. The slices are parts of the page.
func (c *cursor) at() (name, frame []byte, ok bool) {
	top := c.path[len(c.path)-1]
	if top.i >= top.n {
		return nil, nil, false
	}
	return top.key(top.i), top.value(top.i), true
}

// find returns the frame of that name, or nil if there is none, or an error if neither is certain.
func (s *snapshot) find(name string) ([]byte, error) {
	c, err := s.seek(s.records, []byte(name))
	if err != nil {
		return nil, err
	}
	if found, frame, ok := c.at(); ok && string(found) == name {
		return frame, c.check()
	}
	return nil, c.checkGap(name)
}

// checkGap moves a cursor that sought name to the first record that is not less, and makes sure that this record and the one before it are what was written
// there, so that nothing between them is hidden.
func (c *cursor) checkGap(name string) error {
	if err := c.checkBefore(name); err != nil {
		return err
	}
	if err := c.settle(name); err != nil {
		return err
	}
	return c.check()
}

// checkBefore makes sure of the record before the cursor, which sought name.
func (c *cursor) checkBefore(name string) error {
	before := &cursor{s: c.s, path: slices.Clone(c.path)}
	if ok, err := before.move(-1); err != nil {
		return err
	} else if !ok {
		return damaged("record before "+strconv.Quote(name), nil)
	}
	return before.check()
}

// settle moves a cursor that stands behind the last record of its leaf, because it sought name, to the next record.
func (c *cursor) settle(name string) error {
	if _, _, ok := c.at(); ok {
		return nil
	}
	ok, err := c.move(1)
	if err == nil && !ok {
		err = damaged("record after "+strconv.Quote(name), nil)
	}
	return err
}

// check makes sure that the cursor stands at a record, under the name that was written there.
func (c *cursor) check() error {
	top := c.path[len(c.path)-1]
	return top.check(top.i)
}

// check makes sure that a leaf's element is a record, under the name that was written there.
func (p node) check(i int) error {
	name := string(p.key(i))
	if _, ok := decodeName(name, p.value(i)); !ok || p.bucket(i) {
		return damaged("record "+strconv.Quote(name), nil)
	}
	return nil
}

// checkSiblings reads the nodes beside the path to name, with which bbolt may merge nodes of the path when the record is deleted.
func (s *snapshot) checkSiblings(name string) error {
	c, err := s.seek(s.records, []byte(name))
	if err != nil {
		return err
	}
	for depth, parent := range c.path[:len(c.path)-1] {
		for _, i := range []int{parent.i - 1, parent.i + 1} {
			if i < 0 || i >= parent.n {
				continue
			}
			beside := parent
			beside.i = i
			sibling, err := c.child(beside)
			if err != nil {
				return err
			}
			if sibling.leaf != c.path[depth+1].leaf {
				return damaged("tree: leaves of different depth", nil)
			}
		}
	}
	return nil
}
