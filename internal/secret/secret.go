// Package secret holds bytes that must not be printed, encoded or compared by accident.
//
// It protects against a secret that slips into a log, an error, an encoder or a map. It does not protect against a reader of the process's memory: wiping
// is best effort, since the runtime may have copied the bytes.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// Redacted is what every printing verb and every log handler shows in place of the bytes.
const Redacted = "[secret]"

// errRefused is returned by every Marshal method: a secret that was silently redacted and then stored is a lost secret.
var errRefused = errors.New("secret: bytes are never encoded")

// Bytes carries a secret from where it is made to where it is used. The bytes sit behind a closure because package fmt calls no methods on unexported
// fields and would print a slice there. The zero Bytes is empty and works. Bytes cannot be compared with ==; see [Bytes.Equal].
//
// Bytes is safe for concurrent use except for [Bytes.Zero], which needs the only owner.
type Bytes struct{ get func() *[]byte }

// New returns Bytes that own b: the caller must not use b afterwards.
func New(b []byte) Bytes { return Bytes{get: func() *[]byte { return &b }} }

// Copy returns Bytes that own a copy of b.
func Copy(b []byte) Bytes { return New(slices.Clone(b)) }

func (s Bytes) bytes() []byte {
	if s.get == nil {
		return nil
	}
	return *s.get()
}

// Len returns the number of bytes.
func (s Bytes) Len() int { return len(s.bytes()) }

// Use calls f with the bytes and returns its error. f must neither change nor keep them.
func (s Bytes) Use(f func(b []byte) error) error { return f(s.bytes()) }

// Clone returns a copy of the bytes that the caller owns and should clear.
func (s Bytes) Clone() []byte { return slices.Clone(s.bytes()) }

// Equal reports whether s and t hold the same bytes, in time that depends on their lengths only.
func (s Bytes) Equal(t Bytes) bool { return subtle.ConstantTimeCompare(s.bytes(), t.bytes()) == 1 }

// Zero overwrites the bytes and empties s and all its copies, so that nobody goes on with zeros. Only the single owner of s may call it.
func (s Bytes) Zero() {
	if s.get != nil {
		b := s.get()
		clear(*b)
		*b = nil
	}
}

// Format implements [fmt.Formatter] and prints [Redacted] whatever the verb.
func (Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue implements [slog.LogValuer].
func (Bytes) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText refuses, as every Marshal method does.
func (Bytes) MarshalText() ([]byte, error) { return nil, errRefused }

// MarshalJSON refuses.
func (Bytes) MarshalJSON() ([]byte, error) { return nil, errRefused }

// MarshalBinary refuses.
func (Bytes) MarshalBinary() ([]byte, error) { return nil, errRefused }

// GobEncode refuses.
func (Bytes) GobEncode() ([]byte, error) { return nil, errRefused }
