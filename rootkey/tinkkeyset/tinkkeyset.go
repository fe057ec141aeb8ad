// Package tinkkeyset makes a root key of a Tink keyset.
//
// The keyset's primary key wraps; every enabled key of it opens, so that a keyset is rotated with Tink's own tools while old wraps stay readable. A
// keyset that is encrypted under another key, in a cloud KMS for instance, is read with Tink's keyset.Read and handed to [New].
//
// Tink's AES-GCM lies outside Go's FIPS 140-3 module: [New] refuses where that module is enforced.
//
// # What it does not protect against
//
// Whoever has the cleartext keyset has the root key. A key that was disabled or deleted in the keyset no longer opens what it wrapped.
package tinkkeyset

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/claviger/kms/internal/secretfile"
	"github.com/claviger/kms/rootkey"
)

// maxKeysetLen bounds a keyset file; an AES-256-GCM key takes about 300 bytes of JSON.
const maxKeysetLen = 64 << 10

// A Root wraps domain keys under a Tink keyset. Its methods may be called concurrently. Make one with [New] or [OpenCleartext].
type Root struct {
	// Methods of a tink.AEAD. As functions they are opaque to package fmt, which would print what lies behind an interface.
	encrypt, decrypt func(data, associatedData []byte) ([]byte, error)
}

var _ rootkey.Root = (*Root)(nil)

// New returns the root of a keyset of AEAD keys. It refuses a nil handle, a keyset without a primary key or of another kind, and to work where Go's
// FIPS 140-3 module is enforced.
func New(handle *keyset.Handle) (*Root, error) {
	if fips140.Enforced() {
		return nil, errors.New("tinkkeyset: Tink is not available under enforced FIPS 140-3: use a key file or another root")
	}
	if handle == nil {
		return nil, errors.New("tinkkeyset: nil keyset handle")
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("tinkkeyset: the keyset is not one of AEAD keys with an enabled primary key")
	}
	return &Root{encrypt: a.Encrypt, decrypt: a.Decrypt}, nil
}

// OpenCleartext reads a keyset in Tink's JSON form that is not encrypted from the file at path, which must be closed to group and others (on systems
// with Unix permissions) and at most 64 KiB long. Errors name the path.
func OpenCleartext(path string) (*Root, error) {
	text, err := secretfile.Read(path, maxKeysetLen, false)
	if err != nil {
		return nil, fmt.Errorf("tinkkeyset: %w", err)
	}
	defer clear(text)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil { // whose text might quote the keyset
		return nil, fmt.Errorf("tinkkeyset: %s is not a cleartext keyset in JSON", path)
	}
	return New(handle)
}

// RootName returns "tinkkeyset"; [rootkey.WithName] changes it.
func (*Root) RootName() string { return "tinkkeyset" }

// EncryptWithContext wraps plaintext under the primary key, with Tink's prefix and a nonce that Tink draws at random. ctx is asked before the call only.
func (r *Root) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tinkkeyset: %w", err)
	}
	wrap, err := r.encrypt(plaintext, associatedData)
	if err != nil {
		return nil, errors.New("tinkkeyset: encryption failed")
	}
	if len(wrap) > rootkey.MaxWrapLen {
		return nil, errors.New("tinkkeyset: plaintext is too long to wrap")
	}
	return wrap, nil
}

// DecryptWithContext opens a wrap that a key of this keyset made with the same associated data, else the error is [rootkey.ErrWrongKey].
func (r *Root) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tinkkeyset: %w", err)
	}
	if len(ciphertext) > rootkey.MaxWrapLen {
		return nil, fmt.Errorf("tinkkeyset: %w", rootkey.ErrWrongKey)
	}
	plaintext, err := r.decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, fmt.Errorf("tinkkeyset: %w", rootkey.ErrWrongKey)
	}
	return plaintext, nil
}
