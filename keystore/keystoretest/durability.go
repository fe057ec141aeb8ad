package keystoretest

import (
	"context"
	"fmt"
	"testing"

	"github.com/claviger/kms/keystore"
)

// A durableRule is a rule of a store that outlives its process. Each call of open opens the same records anew; the rule closes what it opens.
type durableRule struct {
	name  string
	why   string
	check func(ctx context.Context, open func() (keystore.Store, error)) error
}

// RunDurable runs the rules of a store that outlives its process. place prepares an empty place and returns a function that opens it; the suite never has it
// open twice at a time.
func RunDurable(t *testing.T, place func(t *testing.T) (open func() (keystore.Store, error))) {
	t.Helper()
	for _, r := range durableRules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(t.Context(), place(t)); err != nil {
				t.Errorf("%v\nwithout this rule: %s", err, r.why)
			}
		})
	}
}

var durableRules = []durableRule{
	{
		name: "reopening keeps everything",
		why:  "keys are lost when the program ends",
		check: func(ctx context.Context, open func() (keystore.Store, error)) error {
			var revs map[string]keystore.Revision
			err := session(open, func(s keystore.Store) (err error) {
				revs, err = create(ctx, s, append([]string{"gone"}, oddNames...)...)
				if err != nil {
					return err
				}
				_, err = s.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: "gone", Revision: revs["gone"]}})
				return err
			})
			for range 2 {
				if err != nil {
					return err
				}
				err = session(open, func(s keystore.Store) error {
					records, err := all(ctx, s, "", 7)
					if err != nil {
						return err
					}
					if len(records) != len(oddNames) {
						return fmt.Errorf("%d records after reopening, want %d", len(records), len(oddNames))
					}
					for _, r := range records {
						if err := sameRecord(r, keystore.Record{Name: r.Name, Value: []byte(r.Name), Revision: revs[r.Name]}); err != nil {
							return fmt.Errorf("after reopening: %w", err)
						}
					}
					return wantAbsent(ctx, s, "gone")
				})
			}
			return err
		},
	},
	{
		name: "a revision is not used again after reopening",
		why:  "a writer that read a record before a restart overwrites another of the same name",
		check: func(ctx context.Context, open func() (keystore.Store, error)) error {
			seen := make(map[keystore.Revision]bool)
			for i := range 6 {
				err := session(open, func(s keystore.Store) error {
					rev, err := put(ctx, s, "n", "v", 0)
					if err != nil {
						return err
					}
					if seen[rev] {
						return fmt.Errorf("life %d of the record has revision %d, which was used before", i, rev)
					}
					seen[rev] = true
					_, err = s.Commit(ctx, []keystore.Change{{Op: keystore.Delete, Name: "n", Revision: rev}})
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "a revision read before reopening still holds after it",
		why:  "nothing can be changed after a restart",
		check: func(ctx context.Context, open func() (keystore.Store, error)) error {
			var revs map[string]keystore.Revision
			err := session(open, func(s keystore.Store) (err error) {
				revs, err = create(ctx, s, "n")
				return err
			})
			if err != nil {
				return err
			}
			return session(open, func(s keystore.Store) error {
				if err := wantCommit(ctx, s, "a creation", keystore.ErrConflict, keystore.Change{Op: keystore.Put, Name: "n"}); err != nil {
					return err
				}
				next, err := put(ctx, s, "n", "changed", revs["n"])
				if err != nil {
					return err
				}
				return wantRecord(ctx, s, "n", "changed", next)
			})
		},
	},
}

// session opens the place, runs f and closes it.
func session(open func() (keystore.Store, error), f func(keystore.Store) error) error {
	s, err := open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := f(s); err != nil {
		_ = s.Close() // the error of f matters
		return err
	}
	return s.Close()
}
