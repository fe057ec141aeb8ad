// Package rootkey defines the key that opens a keyring.
//
// A keyring seals its records under domain keys of its own; a [Root] wraps those domain keys, and nothing else ever passes through it. A root is used when a
// keyring is created, opened or checked, when its roots change and when its domain key rotates, never per operation; what it wraps it has to unwrap before it is
// trusted. Several roots may wrap the same domain keys, and any one of them opens the ring. Which ones do is what the ring was created with, until the
// keyring's ChangeRoots gives it others.
//
// Roots live in packages of their own: rootkey/passphrase, rootkey/keyfile, rootkey/aead, rootkey/tinkkeyset. Their authors run rootkey/rootkeytest.
package rootkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// MaxWrapLen bounds what [Root.EncryptWithContext] may return for a domain key: 16 KiB.
const MaxWrapLen = 16 << 10

// A Root wraps and unwraps domain keys (32 bytes) with associated data. It has the methods of tink.AEADWithContext, so a Tink AEAD is a Root as it stands.
// Methods may be called concurrently.
//
// The plaintext belongs to the caller, who clears it: a Root must not keep it. DecryptWithContext returns a slice that the caller owns and clears, and it
// authenticates: a ciphertext that this root did not make with exactly this associated data is an error. Errors never hold key material.
type Root interface {
	EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// ErrWrongKey is what a root returns (possibly wrapped) when it cannot open a wrap: another key, altered bytes or other associated data, which cannot be
// told apart.
var ErrWrongKey = errors.New("rootkey: wrong root key or damaged wrap")

// DefaultName is the name of a root that has no [Name] method.
const DefaultName = "root"

// MaxNameLen bounds the length of a root's name in bytes.
const MaxNameLen = 64

// Name returns the name under which r's wraps are stored: what its method RootName says, else [DefaultName]. The name is no secret and never changes for a
// root key; two roots of one ring must not share a name.
func Name(r Root) string {
	if n, ok := r.(interface{ RootName() string }); ok {
		return n.RootName()
	}
	return DefaultName
}

// WithName returns r under another name, such as "recovery". What it returns prints as that name, whatever r prints as.
func WithName(name string, r Root) Root { return &named{root: func() Root { return r }, name: name} }

// A named root has its root behind a function, since package fmt prints what lies behind an interface, a key included, and calls no Format in an unexported
// field of something else.
type named struct {
	root func() Root
	name string
}

func (n *named) RootName() string { return n.name }

func (n *named) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return n.root().EncryptWithContext(ctx, plaintext, associatedData)
}

func (n *named) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return n.root().DecryptWithContext(ctx, ciphertext, associatedData)
}

func (n *named) String() string { return "root key " + strconv.Quote(n.name) }

// Format prints the same whatever the verb.
func (n *named) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, n.String()) }

func (n *named) LogValue() slog.Value { return slog.StringValue(n.String()) }
