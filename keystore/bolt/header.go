package bolt

import (
	"fmt"

	"github.com/claviger/kms/keystore"
)

// The file has two buckets: the header, which says what the file is, and the records. The header is framed like the records.
const (
	headerBucket  = "claviger/keystore"
	recordsBucket = "records"

	formatName   = "format"   // its value is the format of the file
	revisionName = "revision" // its revision is the last one given to a record
	format       = "1"
)

// readHeader checks that the file is a key store, and reads what is needed to go on from there.
func (s *snapshot) readHeader() error {
	root, err := s.readNode(s.root)
	if err != nil {
		return err
	}
	header, ok, err := s.bucket(root, headerBucket)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: no mark of a key store", ErrFormat)
	}
	_, value, err := s.headerField(header, formatName)
	if err != nil {
		return err
	}
	if string(value) != format {
		return fmt.Errorf("%w: format %q", ErrFormat, value)
	}
	if s.revision, _, err = s.headerField(header, revisionName); err != nil {
		return err
	}
	s.records, ok, err = s.bucket(root, recordsBucket)
	if err == nil && !ok {
		err = damaged("bucket of records", nil)
	}
	return err
}

func (s *snapshot) headerField(header node, name string) (keystore.Revision, []byte, error) {
	c, err := s.seek(header, []byte(name))
	if err != nil {
		return 0, nil, err
	}
	if found, frame, ok := c.at(); ok && string(found) == name {
		if rev, value, ok := decodeFrame(name, frame); ok {
			return rev, value, nil
		}
	}
	return 0, nil, damaged("header field "+name, nil)
}

// bucket returns the root node of a bucket. A small bucket is not a page of its own but part of the entry that names it.
func (s *snapshot) bucket(root node, name string) (node, bool, error) {
	c, err := s.seek(root, []byte(name))
	if err != nil {
		return node{}, false, err
	}
	found, entry, ok := c.at()
	if !ok || string(found) != name {
		return node{}, false, nil
	}
	top := c.path[len(c.path)-1]
	if !top.bucket(top.i) || len(entry) < 16 {
		return node{}, false, damaged("bucket "+name, nil)
	}
	if id := order.Uint64(entry); id != 0 {
		n, err := s.readNode(id)
		return n, true, err
	}
	n, end, wrong := parseNode(entry[16:])
	if wrong != "" || end != len(entry)-16 || !n.leaf {
		return node{}, false, damaged("bucket "+name, nil)
	}
	return n, true, nil
}
