package main

import (
	"bytes"
	"fmt"

	"github.com/claviger/kms"
)

// A message is what is encrypted, under which key and context.
type message struct {
	name      string
	plaintext []byte
	ref       string
	context   kms.EncryptionContext
	bound     []byte // for the others: associated data, as long as the context is where it is authenticated
}

// messages are what the contests of Encrypt and Decrypt are about: a data key or a short field, the same under a key whose policy looks at the encryption context
// and that is named by its alias, and the most that one call takes.
func messages(r *ring) []message {
	text := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	return []message{
		{name: "32 B", plaintext: text(32), ref: r.key},
		{name: "32 B, alias, context, condition", plaintext: text(32), ref: conditionalAlias, context: tenant, bound: []byte("\x00\x01\x00\x06tenant\x00\x0242")},
		{name: "4 KiB", plaintext: text(4096), ref: r.key},
	}
}

// limits are how many times as long as the others ours may take: for little text as long as is said against the bare primitive, and not much longer where
// nearly all the work is AES, for everybody.
func (m *message) limits(raw float64) struct{ raw, tink float64 } {
	if len(m.plaintext) < 4096 {
		return struct{ raw, tink float64 }{raw, 2}
	}
	return struct{ raw, tink float64 }{1.25, 1}
}

// is is the check for a plaintext.
func (m *message) is(plaintext []byte) error {
	if !bytes.Equal(plaintext, m.plaintext) {
		return errWrong
	}
	return nil
}

// opensWith returns a check for a ciphertext: open must give the plaintext back.
func (m *message) opensWith(open func(ciphertext []byte) ([]byte, error)) func([]byte) error {
	return func(ciphertext []byte) error {
		if bytes.Contains(ciphertext, m.plaintext) {
			return fmt.Errorf("%w: the plaintext is in it", errWrong)
		}
		plaintext, err := open(ciphertext)
		if err != nil {
			return err
		}
		return m.is(plaintext)
	}
}
