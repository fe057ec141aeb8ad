package identities

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms"
)

var _ kms.Identities = (*Directory)(nil)

// A Directory is a [kms.Identities] that was read from files. Its methods may be called concurrently; what they return must not be changed.
type Directory struct {
	path  string // empty if it was not read from files
	state atomic.Pointer[state]

	mu      sync.Mutex // held while files are read; guards what follows
	listed  listing    // the files of the state
	since   time.Time  // when they first looked so
	settled bool       // they were read when they had looked so for long enough: any later change shows
}

// settling is how long files must have looked the same before how they look tells that they are the same: a file system's clock may stand still for that long, and
// what is written meanwhile need not show.
const settling = 2 * time.Second

// Open reads the file at path, or all files in the directory at path whose names end with .json and do not begin with a dot. The package's documentation says what
// they hold. Errors name the file, the place in it, and what is wrong; those of the file system match what package io/fs has for them.
func Open(path string) (*Directory, error) {
	d := &Directory{path: path}
	d.state.Store(new(state))
	if err := d.Reload(); err != nil {
		return nil, err
	}
	return d, nil
}

// Parse reads one text, of the same form as a file; name is what errors call it. Such a Directory cannot be reloaded.
func Parse(name string, text []byte) (*Directory, error) {
	d := new(Directory)
	d.state.Store(new(state))
	if _, err := d.replace([]*source{{name: name, text: string(text)}}); err != nil {
		return nil, fmt.Errorf("identities: %w", err)
	}
	return d, nil
}

// Reload reads the files again, as they are now: also files that are new, and without those that are gone. When it returns without an error, what they say is in effect;
// otherwise nothing has changed, and the error is of the kind that [Open] returns.
func (d *Directory) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.path == "" {
		return errNoFile
	}
	now, err := list(d.path)
	if err == nil {
		_, err = d.load(now)
	}
	if err != nil {
		return fmt.Errorf("identities: %w", err)
	}
	return nil
}

var errNoFile = errors.New("identities: not read from a file")

// load reads the files of a listing that was just made, and reports whether anything is different. The caller holds mu.
func (d *Directory) load(now listing) (changed bool, err error) {
	seen := time.Now()
	since := seen
	if now.same(d.listed) {
		since = d.since
	}
	sources, err := now.read(d.path)
	if err != nil {
		return false, err
	}
	if changed, err = d.replace(sources); err != nil {
		return false, err
	}
	d.listed, d.since, d.settled = now, since, seen.Sub(since) >= settling
	return changed, nil
}

// replace puts what sources say in the place of what was known, and reports whether anything is different.
func (d *Directory) replace(sources []*source) (changed bool, err error) {
	before := d.state.Load()
	next, err := build(before, sources)
	if err != nil {
		return false, err
	}
	d.state.Store(next)
	return !maps.Equal(before.identities, next.identities) || !maps.Equal(before.accounts, next.accounts), nil
}

// Current implements [kms.Identities].
func (d *Directory) Current() kms.Identities { return d.state.Load() }

// Identity implements [kms.Identities].
func (d *Directory) Identity(arn string) *kms.Identity { return d.state.Load().Identity(arn) }

// Account implements [kms.Identities].
func (d *Directory) Account(id string) *kms.Account { return d.state.Load().Account(id) }

// All implements [kms.Identities]. It ranges over the users and roles that there are when it begins, by ARN.
func (d *Directory) All() iter.Seq[*kms.Identity] {
	return func(yield func(*kms.Identity) bool) { d.state.Load().All()(yield) }
}

// Current, Identity, Account and All make a state a [kms.Identities] that does not change.

func (s *state) Current() kms.Identities { return s }

func (s *state) Identity(arn string) *kms.Identity { return s.identities[arn] }

func (s *state) Account(id string) *kms.Account { return s.accounts[id] }

func (s *state) All() iter.Seq[*kms.Identity] { return slices.Values(s.all) }
