// Package bolt is a key store in one file, for one process at a time, on go.etcd.io/bbolt. It is the default for a keyring that is embedded in a program.
//
// A commit is durable when it returns. Concurrent commits share a transaction and its syncs, so that many callers together are much faster than one; a single
// caller does not wait for others.
//
// The file is not trusted. Records carry checksums, and every page that is read is checked, so that damage is an error that names what was being read
// ([keystore.ErrDamaged]) and leaves the rest readable. After a write failed, nobody knows what the disk holds: the store refuses every call
// ([keystore.ErrFailed]) until it is closed and opened again.
//
// The store guards against accidents, not against somebody who can write the file: the sums are no signatures. The keyring seals what it stores for that.
// The file must be on a local file system: memory maps and locks of network file systems are not reliable.
package bolt

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/claviger/kms/internal/regular"
	"github.com/claviger/kms/keystore"
)

var _ keystore.Store = (*Store)(nil)

// Options for [Open]. The zero value is good for most programs.
type Options struct {
	// LockTimeout is how long Open waits for another process to close the file before it fails with [ErrLocked]. Zero means 500 ms.
	LockTimeout time.Duration

	// ReadOnly opens an existing file for Get and List; Commit fails with [keystore.ErrReadOnly]. Several processes may do so at a time, but none may have the
	// file open for writing. It also salvages: a file whose newest state or list of free pages is damaged, which Open otherwise refuses, is read as far as it is
	// whole, and may then be as old as the commit before the last; [Store.Salvaged] tells.
	ReadOnly bool
}

const defaultLockTimeout = 500 * time.Millisecond

// A Store is an open file. Make one with [Open]. Its methods may be called concurrently.
type Store struct {
	file     *os.File // the file of db, which closes it
	db       *bbolt.DB
	readOnly bool
	salvaged error // what opening for reading passed over
	queue    queue

	life   sync.RWMutex // held for reading by every call; Close takes it
	closed bool         // guarded by life

	mu     sync.RWMutex // held for reading while a snapshot is read; guards the rest
	snap   *snapshot    // replaced after each transaction, by the leader of the queue only
	failed error        // why the store cannot go on
	stuck  bool         // a transaction of db could not be ended, so db cannot be closed
}

// Open opens the store at path, and makes it if there is no file. A new file is readable by its owner only, and appears complete or not at all. opts may be nil.
//
// It fails with [ErrLocked] if the file is in use, with [ErrFormat] if it is something else, and with [keystore.ErrDamaged] if it is not whole enough to be
// written; none of these changes it. An empty file is damaged: it may have been a store.
func Open(path string, opts *Options) (*Store, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !o.ReadOnly {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("bolt: create %s: %w", path, err)
		}
	}
	if !o.ReadOnly {
		// Look first: bbolt trusts the list of free pages, and may write as soon as it has the file for writing.
		looked, err := open(path, o.LockTimeout, true, false)
		if err == nil {
			err = looked.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("bolt: open %s: %w", path, err)
		}
	}
	s, err := open(path, o.LockTimeout, o.ReadOnly, o.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("bolt: open %s: %w", path, err)
	}
	return s, nil
}

// open opens an existing file. salvage accepts what [readSnapshot] says.
func open(path string, timeout time.Duration, readOnly, salvage bool) (*Store, error) {
	s := &Store{readOnly: readOnly, queue: queue{turn: make(chan struct{}, 1)}}
	err := guard(func() (err error) {
		s.db, err = bbolt.Open(path, 0o600, boltOptions(timeout, readOnly, &s.file))
		return err
	})
	if err != nil {
		if s.file != nil {
			_ = s.file.Close() // bbolt closes it itself unless it panicked
		}
		return nil, openError(err)
	}
	if s.snap, err = readSnapshot(s.file, s.db.Info().PageSize, salvage); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if salvage {
		_, s.salvaged = readSnapshot(s.file, s.db.Info().PageSize, false)
	}
	return s, nil
}

// Salvaged returns what is wrong with a file that was opened with [Options.ReadOnly] and that Open would refuse otherwise; nil if nothing is. What the store then
// shows may be as old as the commit before the last, and no record of it need be damaged.
func (s *Store) Salvaged() error { return s.salvaged }

// boltOptions keeps every sync (NoSync, NoGrowSync) and the list of free pages in the file (NoFreelistSync), so that opening scans nothing; keeps that list in a
// map, which stays fast when much is deleted; and leaves the memory map as small as bbolt makes it, since no reader holds up its growing. The file is never
// made here.
func boltOptions(timeout time.Duration, readOnly bool, file **os.File) *bbolt.Options {
	return &bbolt.Options{
		Timeout:      timeout,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		ReadOnly:     readOnly,
		OpenFile: func(name string, flag int, _ os.FileMode) (*os.File, error) {
			f, err := regular.Open(name, flag)
			if errors.Is(err, regular.ErrNot) {
				err = fmt.Errorf("%w: %w", ErrFormat, regular.ErrNot)
			}
			if err != nil {
				return nil, err
			}
			info, err := f.Stat()
			if err == nil && info.Size() == 0 {
				err = damaged("file is empty", nil) // bbolt would make a new store of it
			}
			if err != nil {
				_ = f.Close()
				return nil, err
			}
			*file = f
			return f, nil
		},
	}
}

// openError says in our words what bbolt says in its own.
func openError(err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return ErrLocked
	}
	if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
		return damaged("both meta pages, or this never was a store", err)
	}
	_, isPath := errors.AsType[*os.PathError](err)
	_, isSystem := errors.AsType[syscall.Errno](err)
	if isPath || isSystem || errors.Is(err, ErrFormat) || errors.Is(err, keystore.ErrDamaged) {
		return err
	}
	return damaged("structure of the file", err) // a panic, or an error that bbolt has no name for, such as a file of one page
}

// Close implements [keystore.Store]. It frees the file for other processes.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.stuck {
		return &failure{kind: keystore.ErrFailed, what: "file stays locked until the process ends", cause: s.failed}
	}
	if err := guard(s.db.Close); err != nil {
		return fmt.Errorf("bolt: close: %w", err)
	}
	return nil
}
