package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/claviger/kms/keystore"
)

// Errors of [Open], possibly wrapped, beside those of package keystore.
var (
	// ErrLocked means that another process, or another Store of this one, has the file open.
	ErrLocked = errors.New("bolt: file is in use")
	// ErrFormat means that the file is not a key store, or one of a format that this version does not know. It was not changed.
	ErrFormat = errors.New("bolt: file is not a key store of a known format")
)

// A failure is an error of package keystore with what was being done and why it failed. The cause can be had with [errors.As] but is not in the text, since the
// text of a system's error holds paths.
type failure struct {
	kind  error
	what  string
	cause error // may be nil
}

func (f *failure) Error() string { return f.kind.Error() + ": " + f.what }

func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// damaged says what could not be read.
func damaged(what string, cause error) error {
	return &failure{kind: keystore.ErrDamaged, what: what, cause: cause}
}

// errPanic is a panic of bbolt: an assertion that failed, or a fault in the memory map.
type errPanic struct{ value any }

func (e *errPanic) Error() string { return fmt.Sprint("bbolt: ", e.value) }

// guard calls f, in which bbolt reads its memory map, and turns a panic into an error: bbolt asserts where it finds damage, and a page of the map that the file
// no longer has, or that the disk cannot read, is a fault, which would end the process.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &errPanic{value: v}
		}
	}()
	return f()
}
