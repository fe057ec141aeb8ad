// Package passphrase is a root key that is derived from a passphrase with Argon2id.
//
// # The wrap
//
//	offset  bytes
//	0       1      version, 1
//	1       4      memory in KiB, big-endian
//	5       4      time: passes over the memory, big-endian
//	9       1      threads: lanes
//	10      16     salt, random
//	26      32     commitment
//	58      12     nonce, random
//	70      n      AES-256-GCM ciphertext, as long as the plaintext
//	70+n    16     tag
//
// Argon2id (RFC 9106, version 0x13) of the passphrase with the salt and the parameters gives 32 bytes; HKDF-Expand with SHA-256 (RFC 5869) of these
// with the info "claviger/passphrase/v1" gives 64: the AES key, then the commitment. The associated data is bytes 0 to 57, then the length of the
// caller's associated data as 4 bytes, big-endian, then the caller's associated data.
//
// The commitment is compared before decrypting. Without it whoever can write the store could craft one wrap whose tag is right under the keys of many
// guessed passphrases, and learn from one attempt to open it whether any of them is the passphrase (a partitioning oracle: AES-GCM does not commit to
// its key).
//
// The parameters of a wrap are read from a store that is not trusted. They are bounded before they are used: memory from 7168 KiB to
// [Options.MaxMemory], time from 1 to 32, threads from 1 to 64.
//
// # What it does not protect against
//
// Whoever has a wrap can try passphrases for as long as he likes; Argon2id makes each try dear, and only the passphrase's own strength makes them too
// many. Use six or more words drawn at random, or a key file (package keyfile) where nobody has to type it.
//
// Argon2id lies outside Go's FIPS 140-3 module: [New] refuses where that module is enforced.
package passphrase

import (
	"bytes"
	"cmp"
	"context"
	"crypto/fips140"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"

	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/internal/secretfile"
	"github.com/claviger/kms/rootkey"
)

var errWrongKey = fmt.Errorf("passphrase: %w", rootkey.ErrWrongKey)

// Options say how dear a derivation is. The zero Options are the second recommendation of RFC 9106 section 4 (64 MiB, 3 passes, 4 lanes), for where its
// first, 2 GiB, is too much.
type Options struct {
	Memory  uint32 // KiB that a new wrap takes to derive; 0: 65536. At least 7168, the least that OWASP's Password Storage Cheat Sheet recommends
	Time    uint32 // passes over the memory for a new wrap, 1 to 32; 0: 3
	Threads uint8  // lanes for a new wrap, 1 to 64; 0: 4

	// MaxMemory bounds, in KiB, what a stored wrap may ask for. 0: 262144 (256 MiB), or Memory if that is more. At most 2097152 (2 GiB, the first
	// recommendation of RFC 9106).
	MaxMemory uint32
}

// A Root wraps domain keys under a key derived from a passphrase. Its methods may be called concurrently.
//
// A derivation takes what [Options] say of memory and time, so one Root runs at most one at a time, remembers the keys of a few salts, and makes all
// its own wraps with one salt.
type Root struct {
	passphrase secret.Bytes
	own        params // of the wraps that this Root makes
	maxMemory  uint32

	slot  chan struct{} // held by the running derivation
	cache cache
}

var _ rootkey.Root = (*Root)(nil)

// New returns the root of a passphrase; nil opts are the zero [Options]. It copies the passphrase, which the caller clears. The bytes are used as they
// are: a line end at the end counts, and text should be normalized (Unicode NFC) by who reads it from a keyboard. New derives nothing; that happens at
// the first wrap. It refuses an empty passphrase, options out of bounds, and to work where Go's FIPS 140-3 module is enforced.
func New(passphrase []byte, opts *Options) (*Root, error) {
	if fips140.Enforced() {
		return nil, errors.New("passphrase: Argon2id is not available under enforced FIPS 140-3: use a key file or another root")
	}
	if len(passphrase) == 0 {
		return nil, errors.New("passphrase: empty passphrase")
	}
	if opts == nil {
		opts = &Options{}
	}
	own := params{memory: cmp.Or(opts.Memory, defaultMemory), time: cmp.Or(opts.Time, defaultTime), threads: cmp.Or(opts.Threads, defaultThreads)}
	limit := cmp.Or(opts.MaxMemory, max(defaultMaxMemory, own.memory))
	if limit > ceilingMemory {
		return nil, fmt.Errorf("passphrase: options: memory and MaxMemory may be at most %d KiB", ceilingMemory)
	}
	if err := own.check(limit); err != nil {
		return nil, fmt.Errorf("passphrase: options: %w", err)
	}
	rand.Read(own.salt[:])
	r := &Root{passphrase: secret.Copy(passphrase), own: own, maxMemory: limit, slot: make(chan struct{}, 1)}
	runtime.AddCleanup(r, secret.Bytes.Zero, r.passphrase)
	return r, nil
}

// maxFileLen bounds a passphrase file.
const maxFileLen = 4 << 10

// Open reads the passphrase in the file at path, which holds what [Parse] takes, must be closed to group and others (on systems with Unix permissions) and at most 4
// KiB long. Errors name the path.
func Open(path string, opts *Options) (*Root, error) {
	text, err := secretfile.Read(path, maxFileLen, false)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	defer clear(text)
	r, err := Parse(text, opts)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return r, nil
}

// Parse returns the root of the passphrase that a text of one line holds. One line end after it is not part of the passphrase: editors and shells add it. text stays
// the caller's, who clears it.
func Parse(text []byte, opts *Options) (*Root, error) {
	line, ended := bytes.CutSuffix(text, []byte("\n"))
	if ended {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	if bytes.ContainsAny(line, "\r\n") {
		return nil, errors.New("passphrase: want one line")
	}
	return New(line, opts)
}

// RootName returns "passphrase"; [rootkey.WithName] changes it.
func (*Root) RootName() string { return "passphrase" }

// EncryptWithContext wraps plaintext, 86 bytes of overhead, at most [rootkey.MaxWrapLen] in all. The first call derives the key; it returns early when
// ctx is over, and the derivation, which cannot be interrupted, then ends unattended and serves the next call.
func (r *Root) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if len(plaintext) > rootkey.MaxWrapLen-overhead {
		return nil, errors.New("passphrase: plaintext is too long to wrap")
	}
	k, err := r.keys(ctx, r.own)
	if err != nil {
		return nil, err
	}
	return k.seal(plaintext, associatedData)
}

// DecryptWithContext opens a wrap that this passphrase made with the same associated data, else the error is [rootkey.ErrWrongKey]; a wrap whose
// parameters are out of bounds is refused with an error that says so, before anything is derived. The first wrap of a salt takes a derivation, see
// [Root.EncryptWithContext].
func (r *Root) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if len(ciphertext) < overhead || len(ciphertext) > rootkey.MaxWrapLen || ciphertext[0] != version {
		return nil, errWrongKey
	}
	p := parseParams(ciphertext)
	if err := p.check(r.maxMemory); err != nil {
		return nil, fmt.Errorf("passphrase: wrap: %w", err)
	}
	k, err := r.keys(ctx, p)
	if err != nil {
		return nil, err
	}
	return k.open(ciphertext, associatedData)
}
