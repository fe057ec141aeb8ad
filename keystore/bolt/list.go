package bolt

import (
	"strconv"
	"strings"

	"github.com/claviger/kms/keystore"
)

// list returns up to limit records with the prefix and a name greater than after. It fails with [errEnded] once ended is closed, and else only with a
// [*keystore.DamageError], which may come with records.
func (s *snapshot) list(ended <-chan struct{}, prefix, after string, limit int) ([]keystore.Record, error) {
	first := max(prefix, successor(after))
	if first == lastFence || !strings.HasPrefix(first, prefix) {
		return nil, nil // no name is in question
	}
	c, err := s.from(first)
	if err != nil {
		return nil, err
	}
	var page []keystore.Record
	for {
		if hasEnded(ended) {
			return nil, errEnded
		}
		b, frame, _ := c.at()
		name := string(b)
		if name == lastFence || !strings.HasPrefix(name, prefix) {
			return page, c.checkListed() // the end is where a record beyond it proves it
		}
		if err := c.checkListed(); err != nil {
			return page, err
		}
		r, err := decodeRecord(name, frame)
		if err != nil {
			return page, &keystore.DamageError{Name: name, Resume: name, Err: err}
		}
		if page = append(page, r); len(page) == limit {
			return page, nil
		}
		ok, err := c.move(1)
		if err == nil && !ok {
			err = damaged("record after "+strconv.Quote(name), nil)
		}
		if err != nil {
			return page, c.lost(err)
		}
	}
}

// from returns a cursor at the first record whose name is not less than name, which is at most the last fence, and is sure that there is none between. Its errors
// are those of a listing that begins there.
func (s *snapshot) from(name string) (*cursor, error) {
	c, err := s.seek(s.records, []byte(name))
	if err != nil {
		return nil, c.lost(err)
	}
	if found, _, ok := c.at(); ok && string(found) == name {
		return c, c.checkListed()
	}
	unsure := c.checkBefore(name)
	if err := c.settle(name); err != nil {
		return nil, c.lost(err)
	}
	if err := c.checkListed(); err != nil {
		return nil, err
	}
	if unsure != nil {
		return nil, c.lost(unsure)
	}
	return c, nil
}

// checkListed is check for a listing. A record that fails it may have had any name between its neighbours, and so may those behind it that fail too.
func (c *cursor) checkListed() error {
	err := c.check()
	if err == nil {
		return nil
	}
	top := c.path[len(c.path)-1]
	for i := top.i + 1; i < top.n; i++ {
		if top.check(i) == nil {
			return &keystore.DamageError{Resume: predecessor(string(top.key(i))), Err: err}
		}
	}
	return &keystore.DamageError{Resume: resume(top.high), Err: err}
}

// lost returns what a listing says where it lost its way: the cursor stands at a child that cannot be read, or at a record before which something is missing, or
// nowhere.
func (c *cursor) lost(err error) error {
	d := &keystore.DamageError{Err: err}
	if len(c.path) == 0 {
		return d
	}
	if top := c.path[len(c.path)-1]; top.leaf {
		d.Resume = resume(top.key(top.i))
	} else {
		d.Resume = resume(top.childHigh())
	}
	return d
}

// resume returns the name after which a listing goes on that cannot read what is below key, or "" if there can be nothing else; nil is beyond all names.
func resume(key []byte) string {
	if key == nil || string(key) == lastFence {
		return ""
	}
	return predecessor(string(key))
}
