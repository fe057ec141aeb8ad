package keystoretest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/kms/keystore"
)

var listRules = []rule{
	{
		name: "an empty store lists nothing",
		why:  "a keyring takes a new store for one that is in use",
		check: func(ctx context.Context, s keystore.Store) error {
			for _, after := range []string{"", "a"} {
				for _, prefix := range []string{"", "key/"} {
					page, err := s.List(ctx, prefix, after, 10)
					if err != nil {
						return err
					}
					if err := wantNames(page); err != nil {
						return err
					}
				}
			}
			return nil
		},
	},
	{
		name: "a listing is in the order of bytes",
		why:  "paging by name skips records where the backend has a locale of its own",
		check: func(ctx context.Context, s keystore.Store) error {
			if _, err := create(ctx, s, oddNames...); err != nil {
				return err
			}
			records, err := all(ctx, s, "", keystore.MaxListLimit)
			if err != nil {
				return err
			}
			return wantNames(records, slices.Sorted(slices.Values(oddNames))...)
		},
	},
	{
		name: "a listing carries values and revisions",
		why:  "what is listed cannot be changed, or is changed although another did so first",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "a", "b", "c")
			if err != nil {
				return err
			}
			if revs["b"], err = put(ctx, s, "b", "b", revs["b"]); err != nil {
				return err
			}
			records, err := all(ctx, s, "", 10)
			if err != nil {
				return err
			}
			if err := wantNames(records, "a", "b", "c"); err != nil {
				return err
			}
			for _, r := range records {
				if err := sameRecord(r, keystore.Record{Name: r.Name, Value: []byte(r.Name), Revision: revs[r.Name]}); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "every page size shows every record once",
		why:  "a key is missing from a list, and from whatever walks the list: re-sealing, backup, the due work of a day",
		check: func(ctx context.Context, s keystore.Store) error {
			var names []string
			for i := range 13 {
				names = append(names, fmt.Sprintf("p/%02d", i))
			}
			if _, err := create(ctx, s, append([]string{"o/1", "p", "p0", "q"}, names...)...); err != nil {
				return err
			}
			for limit := 1; limit <= len(names)+1; limit++ {
				records, err := all(ctx, s, "p/", limit)
				if err != nil {
					return err
				}
				if err := wantNames(records, names...); err != nil {
					return fmt.Errorf("in pages of %d: %w", limit, err)
				}
			}
			return nil
		},
	},
	{
		name: "a prefix does not include its neighbours",
		why:  "one key's grants are taken for another's",
		check: func(ctx context.Context, s keystore.Store) error {
			names := []string{"j/z", "k", "k.", "k/", "k/1", "k/1/2", "k/\x01", "k/\U0010ffff", "k0", "k0/1", "kk", "K/1", "l/1"}
			if _, err := create(ctx, s, names...); err != nil {
				return err
			}
			slices.Sort(names)
			for _, prefix := range []string{"", "k", "k/", "k/1", "k/1/", "k/1/2", "k/1/2/3", "k0", "K", "x", "\U0010ffff"} {
				for _, limit := range []int{1, 3, 100} {
					records, err := all(ctx, s, prefix, limit)
					if err != nil {
						return err
					}
					want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, prefix) })
					if err := wantNames(records, want...); err != nil {
						return fmt.Errorf("prefix %q in pages of %d: %w", prefix, limit, err)
					}
				}
			}
			return nil
		},
	},
	{
		name: "a listing goes on after any name",
		why:  "a walk ends, or begins anew, when the record it stood at is deleted",
		check: func(ctx context.Context, s keystore.Store) error {
			names := []string{"k/b", "k/d", "k/f"}
			if _, err := create(ctx, s, append([]string{"a", "z"}, names...)...); err != nil {
				return err
			}
			for _, after := range []string{"a", "k", "k/", "k/a", "k/b", "k/b\x01", "k/c", "k/d", "k/e", "k/f", "k/g", "k0", "z", "zz", "\U0010ffff"} {
				page, err := s.List(ctx, "k/", after, 10)
				if err != nil {
					return err
				}
				want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name <= after })
				if err := wantNames(page, want...); err != nil {
					return fmt.Errorf("after %q: %w", after, err)
				}
			}
			return nil
		},
	},
	{
		name: "a large store lists whole",
		why:  "a page ends early where the backend has a page of its own",
		check: func(ctx context.Context, s keystore.Store) error {
			const records = 1500
			var names []string
			for i := 0; i < records; i += keystore.MaxChanges {
				var batch []keystore.Change
				for j := i; j < min(i+keystore.MaxChanges, records); j++ {
					names = append(names, fmt.Sprintf("n/%05d", j*7919%records))
					batch = append(batch, keystore.Change{Op: keystore.Put, Name: names[j], Value: make([]byte, 300)})
				}
				if _, err := s.Commit(ctx, batch); err != nil {
					return err
				}
			}
			slices.Sort(names)
			for _, limit := range []int{7, 64, 999, keystore.MaxListLimit} {
				got, err := all(ctx, s, "n/", limit)
				if err != nil {
					return err
				}
				if err := wantNames(got, names...); err != nil {
					return fmt.Errorf("in pages of %d: %w", limit, err)
				}
			}
			return nil
		},
	},
	{
		name: "a listing goes on after the longest names",
		why:  "a walk that meets damage cannot go on right behind it, or skips the record there",
		check: func(ctx context.Context, s keystore.Store) error {
			// Right before a name are those that begin with the character before its last one, filled up with the greatest characters.
			before := func(name string) string {
				begin := name[:len(name)-1] + string(name[len(name)-1]-1)
				room := keystore.MaxNameLen - len(begin)
				return begin + strings.Repeat("\U0010ffff", room/4) + []string{"", "\x7f", "\u07ff", "\uffff"}[room%4]
			}
			names := []string{"k", "k/b", "k/bcd", "k/c", "l"}
			if _, err := create(ctx, s, names...); err != nil {
				return err
			}
			for i, name := range names {
				page, err := s.List(ctx, "", before(name), 10)
				if err != nil {
					return err
				}
				if err := wantNames(page, names[i:]...); err != nil {
					return fmt.Errorf("after what is right before %q: %w", name, err)
				}
			}
			return nil
		},
	},
	{
		name: "a walk meets every record and no damage",
		why:  "a check of the store finds fault with a good one, or finds none because it ends early",
		check: func(ctx context.Context, s keystore.Store) error {
			var names []string
			for i := range 250 {
				names = append(names, fmt.Sprintf("p/%03d", i))
			}
			if _, err := create(ctx, s, append([]string{"o", "p", "p0", "q/1"}, names...)...); err != nil {
				return err
			}
			var records []keystore.Record
			for r, err := range keystore.Walk(ctx, s, "p/") {
				if err != nil {
					return err
				}
				if err := sameRecord(r, keystore.Record{Name: r.Name, Value: []byte(r.Name), Revision: r.Revision}); err != nil {
					return err
				}
				records = append(records, r)
			}
			return wantNames(records, names...)
		},
	},
}
