package keystoretest

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/kms/keystore"
)

var batchRules = []rule{
	{
		name: "a batch does all it says",
		why:  "a key without its first version, or an alias to nowhere",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "changed", "deleted", "checked")
			if err != nil {
				return err
			}
			rev, err := s.Commit(ctx, []keystore.Change{
				{Op: keystore.Put, Name: "created", Value: []byte("new")},
				{Op: keystore.Put, Name: "changed", Value: []byte("new"), Revision: revs["changed"]},
				{Op: keystore.Delete, Name: "deleted", Revision: revs["deleted"]},
				{Op: keystore.Check, Name: "checked", Revision: revs["checked"]},
				{Op: keystore.Check, Name: "missing"},
			})
			if err != nil {
				return err
			}
			return must(
				func() error { return wantRecord(ctx, s, "created", "new", rev) },
				func() error { return wantRecord(ctx, s, "changed", "new", rev) },
				func() error { return wantAbsent(ctx, s, "deleted") },
				func() error { return wantRecord(ctx, s, "checked", "checked", revs["checked"]) },
				func() error { return wantAbsent(ctx, s, "missing") },
			)
		},
	},
	{
		name: "one conflict undoes the batch",
		why:  "half of a change is done: a grant without its key, a moved alias with the old one still there",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "a", "b", "c")
			if err != nil {
				return err
			}
			good := []keystore.Change{
				{Op: keystore.Put, Name: "a", Value: []byte("new"), Revision: revs["a"]},
				{Op: keystore.Delete, Name: "b", Revision: revs["b"]},
				{Op: keystore.Put, Name: "d", Value: []byte("new")},
			}
			for _, bad := range []keystore.Change{
				{Op: keystore.Put, Name: "c"},
				{Op: keystore.Delete, Name: "missing", Revision: 1},
				{Op: keystore.Check, Name: "c"},
				{Op: keystore.Check, Name: "missing", Revision: 1},
			} {
				for at := range len(good) + 1 {
					batch := append(append(append([]keystore.Change{}, good[:at]...), bad), good[at:]...)
					what := fmt.Sprintf("a batch whose change %d is a bad %s", at, bad.Op)
					if err := wantCommit(ctx, s, what, keystore.ErrConflict, batch...); err != nil {
						return err
					}
					records, err := all(ctx, s, "", 10)
					if err != nil {
						return err
					}
					if err := wantNames(records, "a", "b", "c"); err != nil {
						return fmt.Errorf("after %s: %w", what, err)
					}
					for _, r := range records {
						if err := sameRecord(r, keystore.Record{Name: r.Name, Value: []byte(r.Name), Revision: revs[r.Name]}); err != nil {
							return fmt.Errorf("after %s: %w", what, err)
						}
					}
				}
			}
			return nil
		},
	},
	{
		name: "a check of its own can conflict",
		why:  "an alias is made for a key that was deleted meanwhile",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "key")
			if err != nil {
				return err
			}
			checks := []keystore.Change{{Op: keystore.Check, Name: "key", Revision: revs["key"]}, {Op: keystore.Check, Name: "missing"}}
			rev, err := s.Commit(ctx, checks)
			if err != nil {
				return fmt.Errorf("commit of checks that hold: %w", err)
			}
			if rev == revs["key"] {
				return fmt.Errorf("commit of checks returned revision %d, which one of the records has", rev)
			}
			if err := wantRecord(ctx, s, "key", "key", revs["key"]); err != nil {
				return fmt.Errorf("after a commit of checks only: %w", err)
			}
			if _, err := put(ctx, s, "missing", "now there", 0); err != nil {
				return err
			}
			if err := wantCommit(ctx, s, "checks of which the second fails", keystore.ErrConflict, checks...); err != nil {
				return err
			}
			return wantCommit(ctx, s, "a check and a put of which the check fails", keystore.ErrConflict,
				keystore.Change{Op: keystore.Check, Name: "missing"}, keystore.Change{Op: keystore.Put, Name: "alias"})
		},
	},
	{
		name: "a check of a record deleted and made again conflicts",
		why:  "a decision about one key is applied to another of the same name",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "key")
			if err != nil {
				return err
			}
			if _, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: "key", Revision: revs["key"]}}); err != nil {
				return err
			}
			if _, err := put(ctx, s, "key", "key", 0); err != nil {
				return err
			}
			return wantCommit(ctx, s, "a check of the former record", keystore.ErrConflict, keystore.Change{Op: keystore.Check, Name: "key", Revision: revs["key"]})
		},
	},
	{
		name: "conflicts of neighbours are independent",
		why:  "a caller's bad change makes another caller's good one fail, or be reported as done when it is not",
		check: func(ctx context.Context, s keystore.Store) error {
			const callers = 32
			if _, err := create(ctx, s, "taken"); err != nil {
				return err
			}
			revs := make([]keystore.Revision, callers)
			err := together(callers, func(i int) error {
				changes := []keystore.Change{{Op: keystore.Put, Name: fmt.Sprintf("own/%02d", i), Value: []byte("v")}}
				if i%2 == 1 {
					changes = append(changes, keystore.Change{Op: keystore.Put, Name: "taken"})
				}
				rev, err := s.Commit(ctx, changes)
				if i%2 == 1 {
					return wantError("Commit that creates a record twice", err, keystore.ErrConflict)
				}
				revs[i] = rev
				return err
			})
			if err != nil {
				return err
			}
			for i, rev := range revs {
				name := fmt.Sprintf("own/%02d", i)
				if i%2 == 1 {
					err = errors.Join(err, wantAbsent(ctx, s, name))
				} else {
					err = errors.Join(err, wantRecord(ctx, s, name, "v", rev))
				}
			}
			return err
		},
	},
}
