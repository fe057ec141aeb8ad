// Package anchor keeps one mark for a keyring outside of the keyring's store.
//
// Whoever controls a store can put back an older copy of it, or of some of its records, or show different copies to different processes, while no process runs that
// knows better. A keyring with an anchor counts its changes in the anchor, and refuses a store that has gone back behind the mark, or has gone another way. The
// anchor must therefore be kept where whoever can write the store cannot write: another machine, another account, a file system of its own.
package anchor

import (
	"context"
	"errors"
)

// A Mark is how far a ring has come: a number that grows with its changes, and an id that tells apart what has the same number. The zero Mark is before all.
type Mark struct {
	Number uint64
	ID     [8]byte
}

// An Anchor keeps the mark of one ring. Its methods may be called concurrently, also by several processes.
type Anchor interface {
	// Load returns the mark; the zero Mark if Advance has never been called. An anchor that was lost is an error, not zero: with zero a keyring begins anew.
	// ring is the ring's id, 32 hex digits. It fails with [ErrOtherRing] if the mark is another ring's.
	Load(ctx context.Context, ring string) (Mark, error)

	// Advance puts a mark in the place of another one, in one step, and is durable when it returns. It fails with [ErrMoved], and changes nothing, if the mark is not
	// `from`, and with [ErrOtherRing] if it is another ring's.
	Advance(ctx context.Context, ring string, from, to Mark) error
}

// Errors of an [Anchor], for errors.Is.
var (
	ErrOtherRing = errors.New("anchor: the mark is of another ring")
	ErrMoved     = errors.New("anchor: the mark is another one")
	ErrDamaged   = errors.New("anchor: the mark cannot be read")
)
