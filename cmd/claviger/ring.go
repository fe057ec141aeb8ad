package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/rootkey"
)

// An access says what a command does with a store.
type access uint8

const (
	reading access = iota
	writing
	making // writing, and a store and a ring are made if there are none
)

// ringFlags say which ring, and what opens it.
type ringFlags struct {
	store, ringID, anchor, audit string
	roots                        rootFlags
}

func (f *ringFlags) register(c *cobra.Command, access access) {
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.store, "store", "", "the ring's key store: `bolt:FILE`")
	f.roots.register(flags, "", "the ring's")
	flags.StringVar(&f.ringID, "ring-id", "", "refuse any ring but the one of this `ID`")
	flags.StringVar(&f.anchor, "anchor", "", "the ring's anchor: a `FILE` that package anchor has made")
	if access == writing {
		flags.StringVar(&f.audit, "audit", "", "append the events of what is done, as lines of JSON, to this `FILE`")
	}
}

// An openRing is a ring with its store.
type openRing struct {
	*kms.Keyring
	store  keystore.Store // nil if the ring has one of its own, in memory
	opened []io.Closer
}

// open opens the ring that the flags name, and never makes one.
func (f *ringFlags) open(ctx context.Context, in *secretInput, access access) (*openRing, error) {
	cfg := kms.Config{RingID: f.ringID}
	var err error
	if cfg.Root, cfg.RecoveryRoots, err = f.roots.open(in); err != nil {
		return nil, err
	}
	var trail trailFile
	if f.audit != "" {
		cfg.Audit = audit.JSON(&trail)
	}
	r, err := ringPlace{f.store, f.anchor}.open(ctx, cfg, access)
	if err != nil || f.audit == "" {
		return r, err
	}
	if err := trail.open(f.audit); err != nil { // only now: whoever cannot open the ring leaves no file behind
		return nil, errors.Join(fmt.Errorf("--audit: %w", err), r.Close())
	}
	r.opened = slices.Insert(r.opened, 0, io.Closer(&trail)) // closed last
	return r, nil
}

// A ringPlace is where a ring is, as flags say it.
type ringPlace struct{ store, anchor string }

// open opens the ring that is there.
func (p ringPlace) open(ctx context.Context, cfg kms.Config, access access) (_ *openRing, err error) {
	r := new(openRing)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if p.anchor != "" {
		file, err := anchor.Open(p.anchor)
		if err != nil {
			return nil, fmt.Errorf("--anchor: %w", err)
		}
		cfg.Anchor = file
		if access == reading {
			cfg.Anchor = heldAnchor{file}
		}
	}
	if r.store, err = openStore(p.store, access); err != nil {
		return nil, err
	}
	r.opened = append(r.opened, r.store)
	cfg.Store, cfg.MustExist = r.store, access != making
	r.Keyring, err = kms.Open(ctx, cfg)
	switch {
	case errors.Is(err, keystore.ErrReadOnly) && cfg.Anchor != nil:
		err = fmt.Errorf("%w: the ring has never been opened with an anchor, and a check writes nothing: let a program, or claviger maintain, open it with the anchor first", err)
	case errors.Is(err, rootkey.ErrWrongKey):
		err = fmt.Errorf("%w\nif that is the ring's root key, under the name that the ring has for it, its wrap is damaged: open the ring with another root key of it", err)
	}
	if err != nil {
		return nil, err
	}
	r.opened = append(r.opened, r.Keyring)
	return r, nil
}

// Close closes what was opened, the last first: the ring before its store.
func (r *openRing) Close() error {
	var errs []error
	for _, c := range slices.Backward(r.opened) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// A missingStore is the error for a store that is not there.
type missingStore struct{ error }

// openStore opens a store, which must exist unless it is to be made.
func openStore(spec string, access access) (keystore.Store, error) {
	driver, rest, _ := strings.Cut(spec, ":")
	switch driver {
	case "":
		return nil, errors.New("--store: want a store, such as bolt:FILE")
	case "bolt":
		switch _, err := os.Stat(rest); {
		case err == nil || access == making: // bolt.Open makes it
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("--store: %w", missingStore{err})
		default:
			return nil, fmt.Errorf("--store: %w", err)
		}
		store, err := bolt.Open(rest, &bolt.Options{ReadOnly: access == reading})
		if errors.Is(err, bolt.ErrLocked) {
			err = fmt.Errorf("%w: stop the program that has it open", err)
		}
		if err != nil {
			return nil, fmt.Errorf("--store: %w", err)
		}
		return store, nil
	case "memory":
		return nil, errors.New("--store: a ring in memory is gone with the program that made it, and no other can open it: want bolt:FILE")
	default:
		return nil, errors.New("--store: no such kind of store: want bolt:FILE")
	}
}

// A heldAnchor lets nobody advance the anchor, since a check changes nothing: of a copy of a store that somebody went on with, it would otherwise make the store
// refuse to open.
type heldAnchor struct{ anchor.Anchor }

func (heldAnchor) Advance(context.Context, string, anchor.Mark, anchor.Mark) error { return nil }

// ringCommand makes a command that opens the ring, does something with it and closes it.
func ringCommand(c *cobra.Command, access access, work func(c *cobra.Command, in *secretInput, ring *openRing) error) *cobra.Command {
	f := new(ringFlags)
	f.register(c, access)
	c.Args = noArguments
	c.RunE = func(c *cobra.Command, _ []string) error {
		in := &secretInput{r: c.InOrStdin()}
		ring, err := f.open(c.Context(), in, access)
		if err != nil {
			return err
		}
		return errors.Join(work(c, in, ring), ring.Close())
	}
	return c
}
