package keystoretest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A mutant is a good store with one method broken in the way a driver might break it.
type mutant struct {
	*memory.Store
	get    func(ctx context.Context, name string) (keystore.Record, error)
	list   func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error)
	commit func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error)
	watch  func(ctx context.Context, f func(keystore.Notice)) error
	close  func() error
}

func (m *mutant) Get(ctx context.Context, name string) (keystore.Record, error) {
	return m.get(ctx, name)
}
func (m *mutant) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	return m.list(ctx, prefix, after, limit)
}
func (m *mutant) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	return m.commit(ctx, changes)
}
func (m *mutant) Watch(ctx context.Context, f func(keystore.Notice)) error { return m.watch(ctx, f) }
func (m *mutant) Close() error                                             { return m.close() }

// newMutant returns a store that is not broken yet.
func newMutant() *mutant {
	s := memory.New()
	return &mutant{Store: s, get: s.Get, list: s.List, commit: s.Commit, watch: s.Watch, close: s.Close}
}

// Each broken store must be caught by the rule that is meant for it. Other rules may catch it too.
func TestMutantsAreCaught(t *testing.T) {
	for _, tc := range []struct {
		name     string
		caughtBy string
		breakIt  func(m *mutant)
	}{
		{"lists one too many", "every page size shows every record once", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				if err := keystore.ValidateList(prefix, after, limit); err != nil {
					return nil, err
				}
				return m.Store.List(ctx, prefix, after, min(limit+1, keystore.MaxListLimit))
			}
		}},
		{"lists one too few", "every page size shows every record once", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				if limit > 1 && len(page) == limit {
					page = page[:limit-1]
				}
				return page, err
			}
		}},
		{"ignores after", "a listing goes on after any name", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, _ string, limit int) ([]keystore.Record, error) {
				return m.Store.List(ctx, prefix, "", limit)
			}
		}},
		{"includes after", "a listing goes on after any name", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				if r, gerr := m.Store.Get(ctx, after); err == nil && gerr == nil && strings.HasPrefix(after, prefix) {
					page = append([]keystore.Record{r}, page...)
				}
				return page, err
			}
		}},
		{"ends where after was deleted", "a listing goes on after any name", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				if after != "" {
					if _, err := m.Store.Get(ctx, after); errors.Is(err, keystore.ErrNotFound) {
						return nil, nil
					}
				}
				return m.Store.List(ctx, prefix, after, limit)
			}
		}},
		{"cuts after short", "a listing goes on after the longest names", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				return m.Store.List(ctx, prefix, strings.ToValidUTF8(after[:min(len(after), 2)], ""), limit)
			}
		}},
		{"skips the record right behind after", "a listing goes on after the longest names", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				if len(after) > 1000 && len(page) > 0 {
					page = page[1:]
				}
				return page, err
			}
		}},
		{"reports damage of sound records", "a walk meets every record and no damage", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				if len(page) > 10 {
					name := page[10].Name
					return page[:10], &keystore.DamageError{Name: name, Resume: name, Err: errors.New("slow page")}
				}
				return page, err
			}
		}},
		{"damage that does not go on", "a walk meets every record and no damage", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				if len(page) > 10 {
					return page[:10], &keystore.DamageError{Resume: after, Err: errors.New("slow page")}
				}
				return page, err
			}
		}},
		{"treats prefixes as folders", "a prefix does not include its neighbours", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				return m.Store.List(ctx, strings.TrimSuffix(prefix, "/"), after, limit)
			}
		}},
		{"unordered list", "a listing is in the order of bytes", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				slices.Reverse(page)
				return page, err
			}
		}},
		{"list of another case order", "a listing is in the order of bytes", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				slices.SortStableFunc(page, func(a, b keystore.Record) int {
					return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
				})
				return page, err
			}
		}},
		{"list without revisions", "a listing carries values and revisions", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				for i := range page {
					page[i].Revision = 1
				}
				return page, err
			}
		}},
		{"list of no consistent state", "half a batch is never seen", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				page, err := m.Store.List(ctx, prefix, after, limit)
				for i := range page {
					time.Sleep(50 * time.Microsecond)
					if r, err := m.Store.Get(ctx, page[i].Name); err == nil {
						page[i] = r
					}
				}
				return page, err
			}
		}},
		{"torn batch", "half a batch is never seen", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (rev keystore.Revision, err error) {
				if len(changes) != 3 {
					return m.Store.Commit(ctx, changes)
				}
				for i := range changes {
					if rev, err = m.Store.Commit(ctx, changes[i:i+1]); err != nil {
						return 0, err
					}
					changes[i].Revision = rev
					time.Sleep(100 * time.Microsecond)
				}
				return rev, nil
			}
		}},
		{"batch that is not undone", "one conflict undoes the batch", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (rev keystore.Revision, err error) {
				if err := keystore.ValidateBatch(changes); err != nil {
					return 0, err
				}
				for i := range changes {
					if rev, err = m.Store.Commit(ctx, changes[i:i+1]); err != nil {
						return 0, err
					}
				}
				return rev, nil
			}
		}},
		{"shared slice out", "what is read is a copy", func(m *mutant) {
			shared := make(map[keystore.Revision][]byte)
			var mu sync.Mutex
			m.get = func(ctx context.Context, name string) (keystore.Record, error) {
				r, err := m.Store.Get(ctx, name)
				mu.Lock()
				defer mu.Unlock()
				if v, ok := shared[r.Revision]; ok && err == nil {
					r.Value = v
				}
				shared[r.Revision] = r.Value
				return r, err
			}
		}},
		{"shared slice in", "what is written is copied", func(m *mutant) {
			kept := make(map[keystore.Revision][]byte)
			var mu sync.Mutex
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				rev, err := m.Store.Commit(ctx, changes)
				if err == nil && len(changes) == 1 {
					mu.Lock()
					defer mu.Unlock()
					kept[rev] = changes[0].Value
				}
				return rev, err
			}
			m.get = func(ctx context.Context, name string) (keystore.Record, error) {
				r, err := m.Store.Get(ctx, name)
				mu.Lock()
				defer mu.Unlock()
				if v, ok := kept[r.Revision]; ok {
					r.Value = v
				}
				return r, err
			}
		}},
		{"changes the batch it is given", "what is written is copied", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				rev, err := m.Store.Commit(ctx, changes)
				for i := range changes {
					changes[i].Revision = rev
				}
				return rev, err
			}
		}},
		{"stale read", "everybody sees a commit that returned", func(m *mutant) {
			cache := make(map[string]keystore.Record)
			uses := make(map[string]int)
			var mu sync.Mutex
			m.get = func(ctx context.Context, name string) (keystore.Record, error) {
				mu.Lock()
				defer mu.Unlock()
				if uses[name]++; uses[name]%3 != 0 && cache[name].Revision != 0 {
					return cache[name], nil
				}
				r, err := m.Store.Get(ctx, name)
				cache[name] = r
				return r, err
			}
		}},
		{"reused revision after a deletion", "a revision is never used twice for a name", perRecordRevisions},
		{"lost check-only change", "a check of its own can conflict", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				if err := keystore.ValidateBatch(changes); err != nil {
					return 0, err
				}
				kept := slices.DeleteFunc(slices.Clone(changes), func(c keystore.Change) bool { return c.Op == keystore.Check })
				if len(kept) == 0 {
					return 0, ctx.Err()
				}
				return m.Store.Commit(ctx, kept)
			}
		}},
		{"check that only looks whether the record exists", "a check of a record deleted and made again conflicts", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				changes = slices.Clone(changes)
				for i, c := range changes {
					if r, err := m.Store.Get(ctx, c.Name); c.Op == keystore.Check && c.Revision != 0 && err == nil {
						changes[i].Revision = r.Revision
					}
				}
				return m.Store.Commit(ctx, changes)
			}
		}},
		{"conflict that fails neighbours", "conflicts of neighbours are independent", func(m *mutant) { grouped(m, true) }},
		{"creation that replaces", "creating twice conflicts", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				if len(changes) == 1 && changes[0].Op == keystore.Put && changes[0].Revision == 0 {
					changes = slices.Clone(changes)
					if r, err := m.Store.Get(ctx, changes[0].Name); err == nil {
						changes[0].Revision = r.Revision
					}
				}
				return m.Store.Commit(ctx, changes)
			}
		}},
		{"creation decided before the commit", "of sixteen creators one wins", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				if len(changes) != 1 || changes[0].Op != keystore.Put || changes[0].Revision != 0 {
					return m.Store.Commit(ctx, changes)
				}
				if _, err := m.Store.Get(ctx, changes[0].Name); err == nil {
					return 0, keystore.ErrConflict
				}
				time.Sleep(100 * time.Microsecond)
				for {
					r, _ := m.Store.Get(ctx, changes[0].Name)
					rev, err := m.Store.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: changes[0].Name, Value: changes[0].Value, Revision: r.Revision}})
					if !errors.Is(err, keystore.ErrConflict) {
						return rev, err
					}
				}
			}
		}},
		{"last writer wins", "counters lose nothing", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				for {
					rev, err := m.Store.Commit(ctx, changes)
					if !errors.Is(err, keystore.ErrConflict) || !strings.HasPrefix(changes[0].Name, "counter/") {
						return rev, err
					}
					r, _ := m.Store.Get(ctx, changes[0].Name)
					changes[0].Revision = r.Revision
				}
			}
		}},
		{"deletion that only hides", "a deleted record is gone", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				if len(changes) == 1 && changes[0].Op == keystore.Delete {
					changes = []keystore.Change{{Op: keystore.Put, Name: changes[0].Name, Revision: changes[0].Revision}}
				}
				return m.Store.Commit(ctx, changes)
			}
		}},
		{"accepts oversize", "what is outside the limits is refused and changes nothing", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				rev, err := m.Store.Commit(ctx, changes)
				if errors.Is(err, keystore.ErrInvalid) && len(changes) > keystore.MaxChanges {
					return m.Store.Commit(ctx, changes[:keystore.MaxChanges])
				}
				return rev, err
			}
		}},
		{"cuts values short", "a value of the largest size fits", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				changes = slices.Clone(changes)
				for i := range changes {
					changes[i].Value = changes[i].Value[:min(len(changes[i].Value), 65535)]
				}
				return m.Store.Commit(ctx, changes)
			}
		}},
		{"small batches only", "a full batch fits", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				if len(changes) > 50 {
					return 0, keystore.ErrInvalid
				}
				return m.Store.Commit(ctx, changes)
			}
		}},
		{"no limit on lists", "reads outside the limits are refused", func(m *mutant) {
			m.list = func(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
				return m.Store.List(ctx, prefix, after, min(limit, keystore.MaxListLimit))
			}
		}},
		{"drops empty values", "an empty value is a record", func(m *mutant) {
			m.get = func(ctx context.Context, name string) (keystore.Record, error) {
				r, err := m.Store.Get(ctx, name)
				if err == nil && len(r.Value) == 0 {
					return keystore.Record{}, keystore.ErrNotFound
				}
				return r, err
			}
		}},
		{"values as C strings", "a value is any bytes", func(m *mutant) {
			m.get = func(ctx context.Context, name string) (keystore.Record, error) {
				r, err := m.Store.Get(ctx, name)
				r.Value, _, _ = bytes.Cut(r.Value, []byte{0})
				return r, err
			}
		}},
		{"names trimmed", "odd names stay apart", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				changes = slices.Clone(changes)
				for i, c := range changes {
					if trimmed := strings.TrimSuffix(c.Name, "/"); trimmed != "" {
						changes[i].Name = trimmed
					}
				}
				return m.Store.Commit(ctx, changes)
			}
		}},
		{"ignores the context", "a cancelled context stops a call before it begins", func(m *mutant) {
			m.commit = func(_ context.Context, changes []keystore.Change) (keystore.Revision, error) {
				return m.Store.Commit(context.Background(), changes)
			}
		}},
		{"cancelled after the effect", "a context cancelled at any moment leaves all or nothing", func(m *mutant) {
			m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
				rev, err := m.Store.Commit(ctx, changes)
				if len(changes) == 2 && err == nil {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return rev, err
			}
		}},
		{"open after Close", "a closed store refuses", func(m *mutant) { m.close = func() error { return nil } }},
		{"second Close fails", "closing twice is no error", func(m *mutant) {
			var once sync.Once
			m.close = func() error {
				err := keystore.ErrClosed
				once.Do(func() { err = m.Store.Close() })
				return err
			}
		}},
		{"feed that skips", "a feed misses and repeats nothing", func(m *mutant) {
			m.watch = func(ctx context.Context, f func(keystore.Notice)) error {
				n := 0
				return m.Store.Watch(ctx, func(notice keystore.Notice) {
					if n++; notice.Name == "" || n%7 != 0 {
						f(notice)
					}
				})
			}
		}},
		{"feed that repeats", "a feed misses and repeats nothing", func(m *mutant) {
			m.watch = func(ctx context.Context, f func(keystore.Notice)) error {
				return m.Store.Watch(ctx, func(notice keystore.Notice) {
					f(notice)
					f(notice)
				})
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := slices.IndexFunc(rules, func(r rule) bool { return r.name == tc.caughtBy })
			if i < 0 {
				t.Fatalf("no rule is called %q", tc.caughtBy)
			}
			for range 20 { // a race may be won by chance
				m := newMutant()
				tc.breakIt(m)
				if err := rules[i].check(t.Context(), m); err != nil {
					t.Logf("%s: %.200v", tc.caughtBy, err)
					return
				}
			}
			t.Errorf("rule %q does not catch it", tc.caughtBy)
		})
	}
}

// perRecordRevisions counts the revisions of each record from one, and forgets the count with the record.
func perRecordRevisions(m *mutant) {
	var mu sync.Mutex
	counts := make(map[string]keystore.Revision)
	m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
		if len(changes) != 1 {
			return m.Store.Commit(ctx, changes)
		}
		mu.Lock()
		defer mu.Unlock()
		c := changes[0]
		if c.Revision != counts[c.Name] {
			return 0, keystore.ErrConflict
		}
		if r, err := m.Store.Get(ctx, c.Name); err == nil {
			c.Revision = r.Revision
		}
		if _, err := m.Store.Commit(ctx, []keystore.Change{c}); err != nil {
			return 0, err
		}
		if c.Op == keystore.Delete {
			delete(counts, c.Name)
			return 1, nil
		}
		counts[c.Name]++
		return counts[c.Name], nil
	}
}

// grouped commits the calls of concurrent callers together; if spoil is set, the conflict of one is the conflict of all, as it is in a database transaction.
func grouped(m *mutant, spoil bool) {
	type call struct {
		changes []keystore.Change
		rev     keystore.Revision
		err     error
	}
	var mu sync.Mutex
	var waiting []*call
	m.commit = func(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
		c := &call{changes: changes}
		mu.Lock()
		waiting = append(waiting, c)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		var conflict error
		for _, w := range waiting {
			if conflict != nil && spoil {
				w.err = conflict
				continue
			}
			if w.rev, w.err = m.Store.Commit(ctx, w.changes); w.err != nil {
				conflict = w.err
			}
		}
		waiting = nil
		return c.rev, c.err
	}
}

// The helper that groups is itself no mutant.
func TestGroupingAloneIsNotCaught(t *testing.T) {
	for _, r := range rules {
		m := newMutant()
		grouped(m, false)
		if err := r.check(t.Context(), m); err != nil && r.name != "a context cancelled at any moment leaves all or nothing" {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

func TestRulesHaveNamesAndReasons(t *testing.T) {
	seen := make(map[string]bool)
	check := func(name, why string) {
		if name == "" || why == "" || seen[name] {
			t.Errorf("rule %q is unnamed, without reason or there twice", name)
		}
		seen[name] = true
	}
	for _, r := range rules {
		check(r.name, r.why)
	}
	for _, r := range durableRules {
		check(r.name, r.why)
	}
	if len(seen) < 30 {
		t.Errorf("only %d rules", len(seen))
	}
}
