package main

import (
	"bufio"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
)

// A body is a sequence of chunks of 64 KiB, each sealed by itself with AES-256-GCM, so that files of any size pass through little memory and no byte of
// plaintext leaves before it was authenticated. Only the last chunk may be shorter.
//
// The nonce of a chunk is its number and whether it is the last:
//
//	bytes 0 to 2   zero
//	bytes 3 to 10  number of the chunk, counted from 0, big-endian
//	byte 11        1 for the last chunk, else 0
//
// A nonce must never repeat under one key. Within a file no two chunks have the same number, and between files the keys differ: each file has a fresh data key
// of its own, which seals this one body and nothing else.
//
// The reader expects exactly these nonces in their order. A chunk that was moved, doubled or left out is opened with the nonce of another place and fails.
// When the end is cut off, the chunk that has become the last was not sealed as one, and when something is appended, the chunk that was sealed as the last
// is followed by another: both fail.
const chunkLen = 64 << 10

func nonce(number uint64, last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:], number)
	if last {
		n[11] = 1
	}
	return n
}

// sealChunks writes the body that holds what src has to say.
func sealChunks(dst io.Writer, src io.Reader, aead cipher.AEAD) error {
	return eachChunk(src, chunkLen, aead.Overhead(), func(number uint64, chunk []byte, last bool) error {
		_, err := dst.Write(aead.Seal(chunk[:0], nonce(number, last), chunk, nil))
		return err
	})
}

var errBody = errors.New("the file was changed, cut off or damaged, or its key is another")

// openChunks writes what a body holds. What it wrote before an error is authentic but not whole.
func openChunks(dst io.Writer, src io.Reader, aead cipher.AEAD) error {
	return eachChunk(src, chunkLen+aead.Overhead(), 0, func(number uint64, chunk []byte, last bool) error {
		plaintext, err := aead.Open(chunk[:0], nonce(number, last), chunk, nil)
		if err != nil {
			return errBody
		}
		_, err = dst.Write(plaintext)
		return err
	})
}

// eachChunk cuts src into chunks of n bytes and calls f with each of them, the last of which is shorter, or empty if src is. f may overwrite the chunk and append
// up to spare bytes to it in place.
func eachChunk(src io.Reader, n, spare int, f func(number uint64, chunk []byte, last bool) error) error {
	in := bufio.NewReaderSize(src, n)
	buffer := make([]byte, n+spare)
	defer clear(buffer)
	for number := uint64(0); ; number++ {
		length, err := io.ReadFull(in, buffer[:n])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		_, err = in.Peek(1)
		if err != nil && err != io.EOF {
			return err
		}
		last := err == io.EOF
		if err := f(number, buffer[:length], last); err != nil || last {
			return err
		}
	}
}
