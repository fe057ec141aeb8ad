package bolt

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/claviger/kms/keystore"
)

func FuzzFrame(f *testing.F) {
	f.Add("name", []byte{})
	f.Add("name", encodeFrame("name", 7, []byte("value")))
	f.Add("other", encodeFrame("name", 1<<63, nil))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		rev, value, ok := decodeFrame(name, b)
		if !ok {
			return
		}
		if again := encodeFrame(name, rev, value); !bytes.Equal(again, b) {
			t.Errorf("%x decodes, but encodes as %x", b, again)
		}
		if byName, ok := decodeName(name, b); !ok || byName != rev {
			t.Errorf("whole frame of revision %d is of revision %d by its name sum", rev, byName)
		}
	})
}

func TestFrameNoticesEveryBit(t *testing.T) {
	const name = "key/1"
	value := []byte("sealed")
	b := encodeFrame(name, 1234, value)
	if rev, got, ok := decodeFrame(name, b); !ok || rev != 1234 || !bytes.Equal(got, value) {
		t.Fatalf("got revision %d, value %q, ok %t", rev, got, ok)
	}
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, _, ok := decodeFrame(name, b); ok {
			t.Errorf("flipped bit %d is not noticed", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for _, other := range []string{"", "key/0", "key/1 ", "key/"} {
		if _, _, ok := decodeFrame(other, b); ok {
			t.Errorf("frame of %q is taken for one of %q", name, other)
		}
	}
	for n := range b {
		if _, _, ok := decodeFrame(name, b[:n]); ok {
			t.Errorf("frame cut to %d bytes is not noticed", n)
		}
	}
}

// The layout of frames is frozen: this one was written by the first version.
func TestFrameIsFrozen(t *testing.T) {
	want := []byte("\xfa\x97\x21\xff\x1c\x1b\x35\x38\x00\x00\x00\x00\x00\x00\x04\xd2sealed")
	if got := encodeFrame("key/1", 1234, []byte("sealed")); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever a page holds, a node that is accepted can be read without a panic, and its keys are in order.
func FuzzNode(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	leaf := make([]byte, 80)
	order.PutUint16(leaf[8:], leafFlag)
	order.PutUint16(leaf[10:], 1)
	order.PutUint32(leaf[20:], 16)
	order.PutUint32(leaf[24:], 4)
	order.PutUint32(leaf[28:], 8)
	f.Add(leaf)
	branch := bytes.Clone(leaf)
	order.PutUint16(branch[8:], branchFlag)
	order.PutUint32(branch[16:], 16)
	order.PutUint32(branch[20:], 9)
	f.Add(branch)
	f.Fuzz(func(t *testing.T, b []byte) {
		n, end, wrong := parseNode(b)
		if wrong != "" {
			return
		}
		if end > len(b) || n.n == 0 {
			t.Fatalf("node of %d elements ends at %d of %d", n.n, end, len(b))
		}
		for i := range n.n {
			if i > 0 && bytes.Compare(n.key(i-1), n.key(i)) >= 0 {
				t.Errorf("keys %d and %d are out of order", i-1, i)
			}
			if n.leaf {
				_, _ = n.value(i), n.bucket(i)
			} else {
				_ = n.child(i)
			}
		}
	})
}

// Whatever a file holds, reading it ends, with an answer or an error.
func FuzzFile(f *testing.F) {
	path := f.TempDir() + "/store"
	s, err := Open(path, nil)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 30 {
		if _, err := s.Commit(f.Context(), []keystore.Change{{Op: keystore.Put, Name: sampleName(i), Value: []byte("value")}}); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	whole = bytes.TrimRight(whole, "\x00")
	f.Add(uint32(0), []byte{})
	f.Add(uint32(4096*3), []byte("patch"))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		file := bytes.Clone(whole)
		copy(file[int(at)%len(file):], patch)
		s, err := readSnapshot(bytes.NewReader(file), os.Getpagesize(), true)
		if err != nil {
			return
		}
		for i := range 30 {
			if frame, err := s.find(sampleName(i)); err == nil && frame != nil {
				_, _ = decodeRecord(sampleName(i), frame)
			}
		}
		for range keystore.Walk(t.Context(), readStore{snapshot: s}, "") {
		}
	})
}

// Between a name and the next there is none.
func FuzzNeighbours(f *testing.F) {
	long := strings.Repeat("n", keystore.MaxNameLen)
	for _, s := range []string{"", "a", "a\x01", "\x01", "é", "\ue000", "\ud7ff", "\U00010000", "\U0010ffff", "a\xff", "\xff", "\x00", "a\x00b", "\xed\xa0\x80", "\xc3", long,
		long + "n", long[1:] + "é", long[2:] + "é", long[3:] + "\uffff", long[:1023] + "\x7f", strings.Repeat("\U0010ffff", 256)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		p := predecessor(key)
		if p != "" && (keystore.ValidateName(p) != nil || p >= key) {
			t.Fatalf("predecessor of %q is %q", key, p)
		}
		if keystore.ValidateName(key) != nil {
			if next := successor(p); next < key && next != lastFence {
				t.Fatalf("%q and %q are less than %q", p, next, key)
			}
			return
		}
		if next := successor(p); next != key {
			t.Fatalf("successor of %q, the predecessor of %q, is %q", p, key, next)
		}
		next := successor(key)
		if next == lastFence {
			return
		}
		if keystore.ValidateName(next) != nil || next <= key || predecessor(next) != key {
			t.Fatalf("successor of %q is %q, whose predecessor is %q", key, next, predecessor(next))
		}
	})
}
