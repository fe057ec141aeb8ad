// Package aead makes a root key of anything that encrypts and decrypts with associated data, such as a tink.AEAD.
//
// A tink.AEADWithContext is a root as it stands and needs no adapter.
//
// An adapter cannot know what lies beneath: whether it works inside Go's FIPS 140-3 module, whether its nonces may repeat and whether it keeps what it
// is given is for the AEAD to say.
package aead

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/claviger/kms/rootkey"
)

// An AEAD has the methods of tink.AEAD. They may be called concurrently and authenticate ciphertext and associated data; Decrypt returns a slice that the
// caller owns; neither keeps or changes its arguments.
type AEAD interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// A Root wraps domain keys with an [AEAD]. Its methods may be called concurrently. Make one with [New].
type Root struct {
	// Methods of an AEAD. As functions they are opaque to package fmt, which would print what lies behind an interface, a key included, and which calls no Format
	// in an unexported field of something else.
	encrypt, decrypt func(data, associatedData []byte) ([]byte, error)
}

var _ rootkey.Root = (*Root)(nil)

// New returns a as a root. It panics if a is nil.
func New(a AEAD) *Root {
	if a == nil {
		panic("aead: New of a nil AEAD")
	}
	return &Root{encrypt: a.Encrypt, decrypt: a.Decrypt}
}

// RootName returns "aead"; [rootkey.WithName] changes it.
func (*Root) RootName() string { return "aead" }

const printed = "aead.Root"

// Format implements [fmt.Formatter] and prints the same whatever the verb, and nothing of the AEAD.
func (Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, printed) }

// LogValue implements [slog.LogValuer] and logs what Format prints.
func (Root) LogValue() slog.Value { return slog.StringValue(printed) }

// EncryptWithContext wraps plaintext. ctx is asked before the call only, since the AEAD takes none. A failure of the AEAD is wrapped, for errors.Is and
// errors.As, but its text is not repeated: it might tell too much.
func (r *Root) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("aead: %w", err)
	}
	wrap, err := r.encrypt(plaintext, associatedData)
	if err != nil {
		return nil, &failure{"aead: encryption failed", []error{err}}
	}
	if len(wrap) > rootkey.MaxWrapLen {
		return nil, errors.New("aead: the wrap is longer than a root's may be")
	}
	return wrap, nil
}

// DecryptWithContext opens a wrap. Whether a failing AEAD has another key or is out of reach cannot be told apart here: every failure is
// [rootkey.ErrWrongKey], and wraps the AEAD's own error, whose text is not repeated.
func (r *Root) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("aead: %w", err)
	}
	if len(ciphertext) > rootkey.MaxWrapLen {
		return nil, fmt.Errorf("aead: %w", rootkey.ErrWrongKey)
	}
	plaintext, err := r.decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, &failure{"aead: decryption failed", []error{rootkey.ErrWrongKey, err}}
	}
	return plaintext, nil
}

// failure has a text of ours and the AEAD's error as a cause.
type failure struct {
	text   string
	causes []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.causes }
