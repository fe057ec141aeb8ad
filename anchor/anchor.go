// Package anchor keeps one number for a keyring outside of the keyring's store.
//
// Whoever controls a store can put back an older copy of it, or of some of its records, while no process runs that knows better. A keyring with an anchor counts its
// changes in the anchor, and refuses a store that has gone back behind the number. The anchor must therefore be kept where whoever can write the store cannot write:
// another machine, another account, a file system of its own.
package anchor

import (
	"context"
	"errors"
)

// An Anchor keeps a number for one ring. The number never becomes smaller. Its methods may be called concurrently, also by several processes.
type Anchor interface {
	// Load returns the number; zero if Advance has never been called. An anchor that was lost is an error, not zero: with zero a keyring begins anew.
	// ring is the ring's id, 32 hex digits. It fails with [ErrOtherRing] if the number is another ring's.
	Load(ctx context.Context, ring string) (uint64, error)

	// Advance makes the number at least n, and is durable when it returns. It may be called with less than the number, which then stays. It fails with
	// [ErrOtherRing] if the number is another ring's.
	Advance(ctx context.Context, ring string, n uint64) error
}

// Errors of an [Anchor], for errors.Is.
var (
	ErrOtherRing = errors.New("anchor: the number is of another ring")
	ErrDamaged   = errors.New("anchor: the number cannot be read")
)
