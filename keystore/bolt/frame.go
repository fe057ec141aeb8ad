package bolt

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/claviger/kms/keystore"
)

// A frame is what the file holds under a name, big-endian:
//
//	name sum 4 | frame sum 4 | revision 8 | value
//
// bbolt's pages have no checksums, and a value is sealed by the keyring but its revision and its place are not. Both sums are CRC-32C; the first is over
// revision and name, the second over revision, name and value. The first lets a lookup that finds nothing trust the neighbours it met instead, without reading
// their values.
const (
	frameLen   = 16
	frameRev   = 8 // offset of the revision
	frameTotal = 4 // offset of the frame sum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeFrame(name string, rev keystore.Revision, value []byte) []byte {
	b := make([]byte, frameLen, frameLen+len(value))
	binary.BigEndian.PutUint64(b[frameRev:], uint64(rev))
	sum := nameSum(name, b)
	binary.BigEndian.PutUint32(b, sum)
	binary.BigEndian.PutUint32(b[frameTotal:], crc32.Update(sum, castagnoli, value))
	return append(b, value...)
}

func nameSum(name string, frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[frameRev:frameLen], castagnoli), castagnoli, []byte(name))
}

// decodeName reports whether b is a frame that was written under this name, and its revision. It does not look at the value.
func decodeName(name string, b []byte) (keystore.Revision, bool) {
	if len(b) < frameLen || binary.BigEndian.Uint32(b) != nameSum(name, b) {
		return 0, false
	}
	return keystore.Revision(binary.BigEndian.Uint64(b[frameRev:])), true
}

// decodeFrame reports whether b is whole, and its revision and value. The value is a part of b.
func decodeFrame(name string, b []byte) (keystore.Revision, []byte, bool) {
	rev, ok := decodeName(name, b)
	if !ok || binary.BigEndian.Uint32(b[frameTotal:]) != crc32.Update(nameSum(name, b), castagnoli, b[frameLen:]) {
		return 0, nil, false
	}
	return rev, b[frameLen:], true
}
