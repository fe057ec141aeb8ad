package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/claviger/kms/keystore"
)

// together runs f(0) to f(n-1) at the same time and joins their errors.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

var concurrencyRules = []rule{
	{
		name: "of sixteen creators one wins",
		why:  "two callers each hold a key of the same name, and one of them will find what it encrypted unreadable",
		check: func(ctx context.Context, s keystore.Store) error {
			for round := range 10 {
				name := fmt.Sprintf("race/%d", round)
				var winner atomic.Int64
				var wins atomic.Int32
				err := together(16, func(i int) error {
					rev, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: name, Value: []byte(strconv.Itoa(i))}})
					if err != nil {
						return wantError("losing Commit", err, keystore.ErrConflict)
					}
					wins.Add(1)
					winner.Store(int64(i))
					return wantRecord(ctx, s, name, strconv.Itoa(i), rev)
				})
				if err != nil {
					return err
				}
				if wins.Load() != 1 {
					return fmt.Errorf("%d of 16 creators were told that they won", wins.Load())
				}
				r, err := s.Get(ctx, name)
				if err != nil {
					return err
				}
				if string(r.Value) != strconv.Itoa(int(winner.Load())) {
					return fmt.Errorf("creator %d was told that it won, but the record is of %s", winner.Load(), r.Value)
				}
			}
			return nil
		},
	},
	{
		name: "counters lose nothing",
		why:  "updates are lost: uses of a key are not counted, a revoked grant comes back",
		check: func(ctx context.Context, s keystore.Store) error {
			const workers, steps, counters = 8, 15, 3
			err := together(workers, func(w int) error {
				for i := range steps {
					if err := increment(ctx, s, fmt.Sprintf("counter/%d", (w+i)%counters)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			records, err := all(ctx, s, "counter/", 10)
			if err != nil {
				return err
			}
			total := 0
			for _, r := range records {
				n, err := strconv.Atoi(string(r.Value))
				if err != nil {
					return fmt.Errorf("%s holds %q", r.Name, r.Value)
				}
				total += n
			}
			if total != workers*steps {
				return fmt.Errorf("%d increments were reported as done, the counters stand at %d", workers*steps, total)
			}
			return nil
		},
	},
	{
		name: "half a batch is never seen",
		why:  "a reader finds a key whose current version does not exist yet",
		check: func(ctx context.Context, s keystore.Store) error {
			return whileWriting(ctx, s, []string{"pair/a", "pair/b", "pair/c"}, func(names []string) error {
				page, err := s.List(ctx, "pair/", "", 10)
				if err != nil {
					return err
				}
				if len(page) != 0 && len(page) != len(names) {
					return fmt.Errorf("listed %d of %d records that were made in one batch", len(page), len(names))
				}
				for _, r := range page {
					if string(r.Value) != string(page[0].Value) {
						return fmt.Errorf("listed %s of batch %q and %s of batch %q", page[0].Name, page[0].Value, r.Name, r.Value)
					}
				}
				return nil
			})
		},
	},
	{
		name: "reads follow each other",
		why:  "a reader that saw the new state of one record sees the old state of another, such as a key that was already disabled",
		check: func(ctx context.Context, s keystore.Store) error {
			return whileWriting(ctx, s, []string{"pair/a", "pair/b"}, func(names []string) error {
				last := 0
				for _, name := range names {
					r, err := s.Get(ctx, name)
					if errors.Is(err, keystore.ErrNotFound) {
						continue // every fifth batch deletes
					}
					if err != nil {
						return err
					}
					n, err := strconv.Atoi(string(r.Value))
					if err != nil {
						return err
					}
					if n < last {
						return fmt.Errorf("read batch %d of %s after batch %d of %s", n, name, last, names[0])
					}
					last = n
				}
				return nil
			})
		},
	},
	{
		name: "everybody sees a commit that returned",
		why:  "a key disabled by one goroutine is used by the next",
		check: func(ctx context.Context, s keystore.Store) error {
			var rev keystore.Revision
			for i := range 30 {
				value := strconv.Itoa(i)
				next, err := put(ctx, s, "baton", value, rev)
				if err != nil {
					return err
				}
				rev = next
				err = together(4, func(reader int) error {
					if reader%2 == 0 {
						return wantRecord(ctx, s, "baton", value, rev)
					}
					page, err := s.List(ctx, "baton", "", 1)
					if err != nil {
						return err
					}
					if err := wantNames(page, "baton"); err != nil {
						return err
					}
					return sameRecord(page[0], keystore.Record{Name: "baton", Value: []byte(value), Revision: rev})
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "a listing stands still while others write",
		why:  "a record that was there all the time is missing from a list",
		check: func(ctx context.Context, s keystore.Store) error {
			var fixed []string
			for i := range 40 {
				fixed = append(fixed, fmt.Sprintf("list/%02d", i))
			}
			if _, err := create(ctx, s, fixed...); err != nil {
				return err
			}
			return whileWriting(ctx, s, []string{"list/05+", "list/20+", "list/39+"}, func(moving []string) error {
				records, err := all(ctx, s, "list/", 6)
				if err != nil {
					return err
				}
				var still []keystore.Record
				for _, r := range records {
					if r.Name[len(r.Name)-1] != '+' {
						still = append(still, r)
					}
				}
				return wantNames(still, fixed...)
			})
		},
	},
}

// increment adds one to a decimal counter, trying again after each conflict.
func increment(ctx context.Context, s keystore.Store, name string) error {
	for {
		n := 0
		r, err := s.Get(ctx, name)
		if err != nil && !errors.Is(err, keystore.ErrNotFound) {
			return err
		}
		if err == nil {
			if n, err = strconv.Atoi(string(r.Value)); err != nil {
				return fmt.Errorf("%s holds %q", name, r.Value)
			}
		}
		runtime.Gosched() // the moment in which another may get in between, even on one processor
		_, err = put(ctx, s, name, strconv.Itoa(n+1), r.Revision)
		if !errors.Is(err, keystore.ErrConflict) {
			return err
		}
	}
}

// whileWriting calls read again and again from two goroutines while another puts and, every fifth time, deletes all names in one batch whose values are its
// number. They take turns as well as they can, and go on until enough was written and read, however fast the store is at either.
func whileWriting(ctx context.Context, s keystore.Store, names []string, read func(names []string) error) error {
	const batches, reads = 60, 60
	var done atomic.Bool
	var written, made atomic.Int32
	return together(3, func(i int) error {
		defer done.Store(true) // an error on one side ends the other
		if i > 0 {
			for !done.Load() {
				if err := read(names); err != nil {
					return err
				}
				if written.Load() > 0 {
					made.Add(1)
				}
				runtime.Gosched()
			}
			return nil
		}
		var rev keystore.Revision
		for n := 1; (n <= batches || made.Load() < reads) && !done.Load(); n++ {
			batch := make([]keystore.Change, len(names))
			for i, name := range names {
				batch[i] = keystore.Change{Op: keystore.Put, Name: name, Value: []byte(strconv.Itoa(n)), Revision: rev}
				if n%5 == 0 {
					batch[i] = keystore.Change{Op: keystore.Delete, Name: name, Revision: rev}
				}
			}
			next, err := s.Commit(ctx, batch)
			if err != nil {
				return fmt.Errorf("batch %d: %w", n, err)
			}
			if rev = next; n%5 == 0 {
				rev = 0
			}
			written.Add(1)
			runtime.Gosched()
		}
		return nil
	})
}
