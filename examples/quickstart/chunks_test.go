package main

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"slices"
	"testing"
	"testing/iotest"
)

const sealedLen = chunkLen + 16

func testAEAD(t *testing.T) cipher.AEAD {
	t.Helper()
	aead, err := newGCM(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func sealed(t *testing.T, plaintext []byte) []byte {
	t.Helper()
	var body bytes.Buffer
	if err := sealChunks(&body, bytes.NewReader(plaintext), testAEAD(t)); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

func TestChunksRoundTrip(t *testing.T) {
	text := []byte(sampleText(3*chunkLen + 1))
	for _, c := range []struct {
		name           string
		length, chunks int
	}{
		{"empty", 0, 1},
		{"one byte", 1, 1},
		{"one short of a chunk", chunkLen - 1, 1},
		{"a chunk", chunkLen, 1},
		{"one more than a chunk", chunkLen + 1, 2},
		{"three chunks", 3 * chunkLen, 3},
		{"three and a byte", 3*chunkLen + 1, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := sealed(t, text[:c.length])
			if want := c.length + c.chunks*16; len(body) != want {
				t.Errorf("a body of %d bytes, want %d", len(body), want)
			}
			var back bytes.Buffer
			if err := openChunks(&back, iotest.OneByteReader(bytes.NewReader(body)), testAEAD(t)); err != nil || !bytes.Equal(back.Bytes(), text[:c.length]) {
				t.Errorf("%v, and %d bytes come back", err, back.Len())
			}
		})
	}
}

func TestChunksDetect(t *testing.T) {
	body := sealed(t, []byte(sampleText(3*chunkLen))) // three full chunks
	chunk := func(i int) []byte { return body[i*sealedLen : (i+1)*sealedLen] }
	flipped := func(i int) []byte {
		b := bytes.Clone(body)
		b[i] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		body []byte
	}{
		{"nothing", nil},
		{"last byte cut off", body[:len(body)-1]},
		{"last chunk cut off", body[:2*sealedLen]},
		{"all but the first chunk cut off", chunk(0)},
		{"first chunk left out", body[sealedLen:]},
		{"only the last chunk", chunk(2)},
		{"two chunks exchanged", slices.Concat(chunk(1), chunk(0), chunk(2))},
		{"a chunk doubled", slices.Concat(chunk(0), chunk(0), chunk(1), chunk(2))},
		{"last chunk doubled", slices.Concat(body, chunk(2))},
		{"a byte appended", append(bytes.Clone(body), 0)},
		{"another file appended", slices.Concat(body, body)},
		{"bit of the first chunk", flipped(0)},
		{"bit of a tag", flipped(sealedLen - 1)},
		{"bit of the last tag", flipped(len(body) - 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var back bytes.Buffer
			if err := openChunks(&back, bytes.NewReader(c.body), testAEAD(t)); !errors.Is(err, errBody) {
				t.Errorf("%v, want errBody", err)
			}
			if !bytes.HasPrefix([]byte(sampleText(3*chunkLen)), back.Bytes()) {
				t.Error("it lets something out that was not in the file")
			}
		})
	}
}

func TestChunksPassErrorsOn(t *testing.T) {
	disk := errors.New("disk")
	if err := sealChunks(new(bytes.Buffer), iotest.ErrReader(disk), testAEAD(t)); !errors.Is(err, disk) {
		t.Errorf("sealing: %v", err)
	}
	body := sealed(t, []byte(sampleText(chunkLen+1)))
	cut := iotest.TimeoutReader(bytes.NewReader(body)) // its second read fails
	if err := openChunks(new(bytes.Buffer), cut, testAEAD(t)); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("opening: %v", err)
	}
}
