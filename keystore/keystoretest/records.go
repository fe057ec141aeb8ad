package keystoretest

import (
	"context"
	"fmt"
	"strings"

	"github.com/claviger/kms/keystore"
)

// oddNames are legal and have all been got wrong by somebody: separators, case, control bytes, bytes with the high bit, numbers, quoting, the longest.
var oddNames = []string{
	" ", "  ", "\x01", "\x7f", "\n", "\t", ".", "..", "/", "//", "a/", "a//b", "/a", "%", "%00", "_", "?", "*", "\\", "'", "\"", "`", ";--", "$1", "{}", "null",
	"0", "00", "1", "10", "2", "A", "a", "Z", "z", "é", "e\u0301", "ß", "\u0080", "\u07ff", "\uffff", "\U00010000", "\U0010ffff", "日本", "a\x01", "a\x01b",
	strings.Repeat("x", keystore.MaxNameLen), strings.Repeat("x", keystore.MaxNameLen-1) + "y", strings.Repeat("é", keystore.MaxNameLen/2),
}

var recordRules = []rule{
	{
		name: "a missing record is ErrNotFound",
		why:  "a key that was never made looks like a failure, or a failure like a key that does not exist",
		check: func(ctx context.Context, s keystore.Store) error {
			if err := wantAbsent(ctx, s, "nobody"); err != nil {
				return err
			}
			if _, err := create(ctx, s, "nob", "nobody1"); err != nil {
				return err
			}
			return wantAbsent(ctx, s, "nobody")
		},
	},
	{
		name: "a record reads as it was written",
		why:  "keys are lost",
		check: func(ctx context.Context, s keystore.Store) error {
			rev, err := put(ctx, s, "n", "one", 0)
			if err != nil {
				return err
			}
			if err := wantRecord(ctx, s, "n", "one", rev); err != nil {
				return err
			}
			next, err := put(ctx, s, "n", "two", rev)
			if err != nil {
				return err
			}
			if next == rev {
				return fmt.Errorf("revision %d did not change with the value", rev)
			}
			return wantRecord(ctx, s, "n", "two", next)
		},
	},
	{
		name: "creating twice conflicts",
		why:  "the second creation of a key replaces the first, and what the first encrypted is lost",
		check: func(ctx context.Context, s keystore.Store) error {
			rev, err := put(ctx, s, "n", "first", 0)
			if err != nil {
				return err
			}
			if err := wantCommit(ctx, s, "a second creation", keystore.ErrConflict, keystore.Change{Op: keystore.Put, Name: "n", Value: []byte("second")}); err != nil {
				return err
			}
			return wantRecord(ctx, s, "n", "first", rev)
		},
	},
	{
		name: "a stale revision conflicts",
		why:  "of two changes to a key policy one silently undoes the other",
		check: func(ctx context.Context, s keystore.Store) error {
			old, err := put(ctx, s, "n", "one", 0)
			if err != nil {
				return err
			}
			rev, err := put(ctx, s, "n", "two", old)
			if err != nil {
				return err
			}
			for _, stale := range []keystore.Revision{old, rev + 1, 1 << 63} {
				for _, c := range []keystore.Change{
					{Op: keystore.Put, Name: "n", Value: []byte("three"), Revision: stale},
					{Op: keystore.Delete, Name: "n", Revision: stale},
					{Op: keystore.Check, Name: "n", Revision: stale},
				} {
					if err := wantCommit(ctx, s, fmt.Sprintf("%s at revision %d of a record at %d", c.Op, stale, rev), keystore.ErrConflict, c); err != nil {
						return err
					}
				}
			}
			return wantRecord(ctx, s, "n", "two", rev)
		},
	},
	{
		name: "a missing record has no revision",
		why:  "a change to a deleted key brings it back",
		check: func(ctx context.Context, s keystore.Store) error {
			for _, op := range []keystore.Op{keystore.Put, keystore.Delete, keystore.Check} {
				if err := wantCommit(ctx, s, op.String()+" of a missing record at revision 1", keystore.ErrConflict, keystore.Change{Op: op, Name: "n", Revision: 1}); err != nil {
					return err
				}
			}
			return wantAbsent(ctx, s, "n")
		},
	},
	{
		name: "a deleted record is gone",
		why:  "destroyed key material stays readable",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "m", "n", "o")
			if err != nil {
				return err
			}
			if _, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: "n", Revision: revs["n"]}}); err != nil {
				return err
			}
			records, err := all(ctx, s, "", 10)
			if err != nil {
				return err
			}
			return must(
				func() error { return wantAbsent(ctx, s, "n") },
				func() error { return wantNames(records, "m", "o") },
				func() error {
					return wantCommit(ctx, s, "a second deletion", keystore.ErrConflict, keystore.Change{Op: keystore.Delete, Name: "n", Revision: revs["n"]})
				},
			)
		},
	},
	{
		name: "a revision is never used twice for a name",
		why:  "a writer that read a record before it was deleted and made again overwrites the new one",
		check: func(ctx context.Context, s keystore.Store) error {
			seen := make(map[keystore.Revision]bool)
			for i := range 20 {
				created, err := put(ctx, s, "n", "created", 0)
				if err != nil {
					return err
				}
				changed, err := put(ctx, s, "n", "changed", created)
				if err != nil {
					return err
				}
				if seen[created] || seen[changed] || created == changed {
					return fmt.Errorf("life %d of the record has revisions %d and %d, of which one was used before", i, created, changed)
				}
				seen[created], seen[changed] = true, true
				if _, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: "n", Revision: changed}}); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "odd names stay apart",
		why:  "two keys share a record",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, oddNames...)
			if err != nil {
				return err
			}
			for _, name := range oddNames {
				if err := wantRecord(ctx, s, name, name, revs[name]); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "a value is any bytes",
		why:  "sealed records, which look random, are altered",
		check: func(ctx context.Context, s keystore.Store) error {
			var every strings.Builder
			for b := range 256 {
				every.WriteByte(byte(b))
			}
			for i, value := range []string{"", "\x00", "\x00\x00a\x00", "\xff\xfe", "\xc3", " v ", "v\n", every.String()} {
				name := fmt.Sprint(i)
				rev, err := put(ctx, s, name, value, 0)
				if err != nil {
					return err
				}
				if err := wantRecord(ctx, s, name, value, rev); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "an empty value is a record",
		why:  "a marker such as a tombstone cannot be kept",
		check: func(ctx context.Context, s keystore.Store) error {
			rev, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: "nil"}, {Op: keystore.Put, Name: "none", Value: []byte{}}})
			if err != nil {
				return err
			}
			return must(
				func() error { return wantRecord(ctx, s, "nil", "", rev) },
				func() error { return wantRecord(ctx, s, "none", "", rev) },
				func() error {
					return wantCommit(ctx, s, "a second creation", keystore.ErrConflict, keystore.Change{Op: keystore.Put, Name: "nil"})
				},
			)
		},
	},
	{
		name: "what is written is copied",
		why:  "a caller that reuses its buffer changes what is stored",
		check: func(ctx context.Context, s keystore.Store) error {
			value := []byte("value")
			changes := []keystore.Change{{Op: keystore.Put, Name: "n", Value: value}}
			rev, err := s.Commit(ctx, changes)
			if err != nil {
				return err
			}
			if string(value) != "value" || changes[0].Name != "n" || changes[0].Revision != 0 {
				return fmt.Errorf("commit changed the batch it was given to %v", changes)
			}
			copy(value, "XXXXX")
			changes[0].Name = "other"
			return wantRecord(ctx, s, "n", "value", rev)
		},
	},
	{
		name: "what is read is a copy",
		why:  "a caller that wipes what it read wipes what is stored",
		check: func(ctx context.Context, s keystore.Store) error {
			rev, err := put(ctx, s, "n", "value", 0)
			if err != nil {
				return err
			}
			r, err := s.Get(ctx, "n")
			if err != nil {
				return err
			}
			clear(r.Value)
			_ = append(r.Value, "overrun"...)
			if err := wantRecord(ctx, s, "n", "value", rev); err != nil {
				return fmt.Errorf("after the slice from Get was cleared: %w", err)
			}
			page, err := s.List(ctx, "", "", 10)
			if err != nil {
				return err
			}
			if err := wantNames(page, "n"); err != nil {
				return err
			}
			clear(page[0].Value)
			if err := wantRecord(ctx, s, "n", "value", rev); err != nil {
				return fmt.Errorf("after the slice from List was cleared: %w", err)
			}
			return nil
		},
	},
}
