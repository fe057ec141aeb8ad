// Package keystore defines the contract between a keyring and the place where it keeps its records.
//
// A [Store] knows nothing of keys. It keeps named, opaque values with revisions, changes several of them in one atomic conditional batch, and lists them in
// the order of their names. The keyring seals every value before it reaches a store and binds it to its name, so a store can neither read, forge nor move
// records; it can withhold, delete or bring back older ones, which the keyring's threat model treats.
//
// Drivers live in their own packages (keystore/memory, keystore/bolt, ...) and pass the suite in keystore/keystoretest, which third parties run on theirs.
package keystore

import (
	"context"
	"errors"
	"fmt"
)

// Limits of a batch, which every driver accepts up to and refuses beyond. They fit the defaults of etcd.
const (
	MaxNameLen   = 1024      // bytes of a name
	MaxValueLen  = 512 << 10 // bytes of a value
	MaxChanges   = 64        // changes of one Commit
	MaxCommitLen = 1 << 20   // bytes of all names and values of one Commit
	MaxListLimit = 1000      // records of one List
)

// A Revision numbers the states of a record. It is never zero for a record that exists, and for one name it is never used twice, not even after the
// record was deleted and made again. Revisions of different names need not be related.
type Revision uint64

// A Record is one named value. The receiver owns Value.
type Record struct {
	Name     string
	Value    []byte
	Revision Revision
}

// An Op says what a [Change] does.
type Op uint8

// The operations of a change.
const (
	Put    Op = iota + 1 // write Value under Name
	Delete               // remove Name
	Check                // change nothing, but require Revision
)

// String returns the name of the operation.
func (o Op) String() string {
	switch o {
	case Put:
		return "Put"
	case Delete:
		return "Delete"
	case Check:
		return "Check"
	default:
		return fmt.Sprintf("Op(%d)", uint8(o))
	}
}

// A Change is one member of a batch. Revision is what the record must have for the batch to succeed; zero means that the record must not exist. A Delete
// with Revision zero is invalid, and so is a Delete or Check with a Value.
type Change struct {
	Op       Op
	Name     string
	Value    []byte // of a Put only
	Revision Revision
}

// A Store keeps opaque, already sealed records. All methods may be called concurrently. A Store must neither keep nor change slices it is given, and returns
// copies that the caller owns.
//
// Names are non-empty UTF-8 without NUL, compared and ordered byte by byte; prefixes too, but may be empty. A call with a name, value or batch outside the
// limits of this package, or with two changes of the same name in one batch, fails with [ErrInvalid] and changes nothing: see [ValidateName], [ValidateList]
// and [ValidateBatch].
//
// A Store is linearizable: Get and List see every Commit that returned before they began. Drivers that read from replicas must wait for them.
//
// Every method returns ctx.Err() (wrapped or not) when ctx is done before the call took effect. A Commit whose outcome cannot be known, because the answer was
// lost or ctx ended meanwhile, fails with [ErrUnknown]; the caller must read back before it reports anything.
type Store interface {
	// Get returns the record of that name, or [ErrNotFound].
	Get(ctx context.Context, name string) (Record, error)

	// List returns, in the order of their names, up to limit records whose names begin with prefix and are greater than after (which need not exist; "" is
	// before every name). The answer is one consistent state. Fewer than limit records means that there are no more. limit is 1 to [MaxListLimit].
	//
	// A List that meets damage returns the records before it, in order and maybe none, with a [*DamageError], from which one can go on behind the damage; no other
	// error comes with records. See [Walk].
	List(ctx context.Context, prefix, after string, limit int) ([]Record, error)

	// Commit makes all the changes durable, or none. It fails with [ErrConflict] if any record has not the revision that its change states. On success it
	// returns the revision that every Put of the batch now has. Where a driver groups the commits of several callers, a conflict of one neither fails nor
	// reorders the others. An empty batch is invalid; one of Checks only is valid and returns a revision that no record of the batch has, such as zero.
	Commit(ctx context.Context, changes []Change) (Revision, error)

	// Close releases what the store holds. Calls that run are finished first; later ones fail with [ErrClosed]. Closing twice is no error.
	Close() error
}

// A Watcher is a Store that can report changes by other processes sooner than reading would. It only adds speed: correctness never depends on it.
type Watcher interface {
	// Watch calls f for changes after the call began, in the order of their commits, until ctx is done or the feed breaks, and returns why it ended. A
	// Notice with an empty Name is a progress mark: every change up to its Revision has been delivered.
	Watch(ctx context.Context, f func(Notice)) error
}

// A Notice tells that a record changed or was deleted.
type Notice struct {
	Name     string
	Revision Revision
}

// Errors of a Store. Drivers may wrap them; callers use [errors.Is].
var (
	ErrNotFound = errors.New("keystore: no such record")
	ErrConflict = errors.New("keystore: a record has another revision")
	ErrUnknown  = errors.New("keystore: the outcome of the commit is unknown")
	ErrInvalid  = errors.New("keystore: invalid call")
	ErrClosed   = errors.New("keystore: store is closed")
	ErrFailed   = errors.New("keystore: store failed and must be reopened")
	ErrDamaged  = errors.New("keystore: stored data is damaged")
	ErrReadOnly = errors.New("keystore: store is open for reading only") // of a Commit
)

// A DamageError is what a List met that cannot be read: one record or several, or a place where some may have been. It matches [ErrDamaged].
//
// Every intact record that the List was asked for is either among those that came with the error or greater than Resume, unless only what is damaged led to it.
// Resume is greater than what the List was to begin after, so that going on comes to an end. It need not be the name of a record, and is fit for nothing else.
type DamageError struct {
	Name   string // of the damaged record; "" if it is not known, or if it is not one record
	Resume string // a List after this name goes on behind the damage; "" if nothing behind it can be read
	Err    error  // what is damaged, in words
}

func (e *DamageError) Error() string { return e.Err.Error() }

// Is reports whether target is [ErrDamaged], which Err need not match.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns Err.
func (e *DamageError) Unwrap() error { return e.Err }
