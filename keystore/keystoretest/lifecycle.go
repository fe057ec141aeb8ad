package keystoretest

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/kms/keystore"
)

// calls are one call of each method, on a store that holds "n" at revision rev.
var calls = []struct {
	name string
	call func(ctx context.Context, s keystore.Store, rev keystore.Revision) error
}{
	{"Get", func(ctx context.Context, s keystore.Store, _ keystore.Revision) error {
		_, err := s.Get(ctx, "n")
		return err
	}},
	{"Get of a missing record", func(ctx context.Context, s keystore.Store, _ keystore.Revision) error {
		_, err := s.Get(ctx, "missing")
		return err
	}},
	{"List", func(ctx context.Context, s keystore.Store, _ keystore.Revision) error {
		_, err := s.List(ctx, "", "", 10)
		return err
	}},
	{"Commit", func(ctx context.Context, s keystore.Store, rev keystore.Revision) error {
		_, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: "n", Value: []byte("changed"), Revision: rev}})
		return err
	}},
	{"Commit of a check", func(ctx context.Context, s keystore.Store, rev keystore.Revision) error {
		_, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Check, Name: "n", Revision: rev}})
		return err
	}},
}

var lifecycleRules = []rule{
	{
		name: "a cancelled context stops a call before it begins",
		why:  "a caller that gave up finds its change made",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "n")
			if err != nil {
				return err
			}
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			late, cancel := context.WithTimeout(ctx, 0)
			defer cancel()
			for _, c := range calls {
				if err := wantError(c.name+" with a cancelled context", c.call(cancelled, s, revs["n"]), context.Canceled); err != nil {
					return err
				}
				if err := wantError(c.name+" after its deadline", c.call(late, s, revs["n"]), context.DeadlineExceeded); err != nil {
					return err
				}
			}
			return wantRecord(ctx, s, "n", "n", revs["n"])
		},
	},
	{
		name: "a context cancelled at any moment leaves all or nothing",
		why:  "a caller that gave up leaves half of its change, or is told that nothing happened when it did",
		check: func(ctx context.Context, s keystore.Store) error {
			return together(8, func(w int) error {
				for i := range 10 {
					name := fmt.Sprintf("w%d/%d", w, i)
					short, cancel := context.WithCancel(ctx)
					go cancel()
					_, err := s.Commit(short, []keystore.Change{{Op: keystore.Put, Name: name + "/a"}, {Op: keystore.Put, Name: name + "/b"}})
					cancel()
					page, lerr := s.List(ctx, name+"/", "", 10)
					if lerr != nil {
						return lerr
					}
					switch {
					case err == nil:
						err = wantNames(page, name+"/a", name+"/b")
					case errors.Is(err, keystore.ErrUnknown):
						if err = nil; len(page) != 0 {
							err = wantNames(page, name+"/a", name+"/b")
						}
					case errors.Is(err, context.Canceled):
						err = wantNames(page)
					}
					if err != nil {
						return fmt.Errorf("commit with a context that ended: %w", err)
					}
				}
				return nil
			})
		},
	},
	{
		name: "a closed store refuses",
		why:  "a program goes on with a keyring that it believes closed",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "n")
			if err != nil {
				return err
			}
			if err := s.Close(); err != nil {
				return fmt.Errorf("close: %w", err)
			}
			for _, c := range calls {
				if err := wantError(c.name+" after Close", c.call(ctx, s, revs["n"]), keystore.ErrClosed); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "closing twice is no error",
		why:  "a deferred Close reports a failure that is none",
		check: func(_ context.Context, s keystore.Store) error {
			return together(3, func(int) error { return errors.Join(s.Close(), s.Close()) })
		},
	},
	{
		name: "calls that run are finished before Close returns",
		why:  "a change reported as done is lost at shutdown, or a running call crashes",
		check: func(ctx context.Context, s keystore.Store) error {
			return together(9, func(i int) error {
				if i == 0 {
					return s.Close()
				}
				for n := range 20 {
					_, err := put(ctx, s, fmt.Sprintf("w%d/%d", i, n), "v", 0)
					if err == nil {
						_, err = s.Get(ctx, fmt.Sprintf("w%d/%d", i, n))
					}
					if errors.Is(err, keystore.ErrClosed) {
						return nil
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	},
}
