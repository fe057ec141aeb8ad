// Package keystoretest proves that a driver keeps the contract of package keystore. A driver's test is one call:
//
//	func TestConformance(t *testing.T) {
//		keystoretest.Run(t, func(t *testing.T) keystore.Store { return openEmpty(t) })
//	}
//
// A driver whose records outlive the process calls [RunDurable] too. Every rule runs as a subtest on a store of its own and says, when it fails, what would go
// wrong for a keyring.
package keystoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/claviger/kms/keystore"
)

// A rule is one sentence of the contract. check returns an error, so that the rules can themselves be tested with broken stores.
type rule struct {
	name  string
	why   string // what goes wrong for a keyring if the rule is broken
	check func(ctx context.Context, s keystore.Store) error
}

var rules = slices.Concat(recordRules, batchRules, limitRules, listRules, concurrencyRules, lifecycleRules, watchRules)

// Run runs all rules. open returns an empty store that nobody else uses; Run closes it.
func Run(t *testing.T, open func(t *testing.T) keystore.Store) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			if err := r.check(t.Context(), s); err != nil {
				t.Errorf("%v\nwithout this rule: %s", err, r.why)
			}
		})
	}
}

// put commits one Put.
func put(ctx context.Context, s keystore.Store, name, value string, rev keystore.Revision) (keystore.Revision, error) {
	got, err := s.Commit(ctx, []keystore.Change{{Op: keystore.Put, Name: name, Value: []byte(value), Revision: rev}})
	if err != nil {
		return 0, fmt.Errorf("put %.40q at revision %d: %w", name, rev, err)
	}
	if got == 0 {
		return 0, fmt.Errorf("put %.40q returned revision zero", name)
	}
	return got, nil
}

// create commits one Put for each name, each with its name as value, and returns the revisions.
func create(ctx context.Context, s keystore.Store, names ...string) (map[string]keystore.Revision, error) {
	revisions := make(map[string]keystore.Revision, len(names))
	for _, name := range names {
		rev, err := put(ctx, s, name, name, 0)
		if err != nil {
			return nil, err
		}
		revisions[name] = rev
	}
	return revisions, nil
}

// wantRecord fails unless the store holds exactly this.
func wantRecord(ctx context.Context, s keystore.Store, name, value string, rev keystore.Revision) error {
	r, err := s.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("get %.40q: %w", name, err)
	}
	return sameRecord(r, keystore.Record{Name: name, Value: []byte(value), Revision: rev})
}

func sameRecord(got, want keystore.Record) error {
	switch {
	case got.Name != want.Name:
		return fmt.Errorf("got name %.40q, want %.40q", got.Name, want.Name)
	case !bytes.Equal(got.Value, want.Value):
		return fmt.Errorf("%.40q: got value %.40q (%d bytes), want %.40q (%d bytes)", got.Name, got.Value, len(got.Value), want.Value, len(want.Value))
	case got.Revision != want.Revision:
		return fmt.Errorf("%.40q: got revision %d, want %d", got.Name, got.Revision, want.Revision)
	default:
		return nil
	}
}

// wantAbsent fails unless Get says ErrNotFound.
func wantAbsent(ctx context.Context, s keystore.Store, name string) error {
	_, err := s.Get(ctx, name)
	return wantError(fmt.Sprintf("Get %.40q", name), err, keystore.ErrNotFound)
}

// wantError fails unless err is target.
func wantError(call string, err, target error) error {
	if err == nil {
		return fmt.Errorf("%s succeeded, want %w", call, target)
	}
	if !errors.Is(err, target) {
		return fmt.Errorf("%s: got %w, want %w", call, err, target)
	}
	return nil
}

// wantCommit fails unless the batch fails with target.
func wantCommit(ctx context.Context, s keystore.Store, what string, target error, changes ...keystore.Change) error {
	_, err := s.Commit(ctx, changes)
	return wantError("Commit of "+what, err, target)
}

// all lists everything with the prefix in pages of limit records, and fails if a page breaks the rules of paging.
func all(ctx context.Context, s keystore.Store, prefix string, limit int) ([]keystore.Record, error) {
	var records []keystore.Record
	for after := ""; ; {
		page, err := s.List(ctx, prefix, after, limit)
		if err != nil {
			return nil, fmt.Errorf("List(%.40q, %.40q, %d): %w", prefix, after, limit, err)
		}
		if len(page) > limit {
			return nil, fmt.Errorf("List(%.40q, %.40q, %d) returned %d records", prefix, after, limit, len(page))
		}
		for _, r := range page {
			if r.Name <= after {
				return nil, fmt.Errorf("List(%.40q, ...) returned %.40q after %.40q", prefix, r.Name, after)
			}
			after = r.Name
		}
		records = append(records, page...)
		if len(page) < limit {
			return records, nil
		}
	}
}

// wantNames fails unless the records have these names, in this order.
func wantNames(records []keystore.Record, want ...string) error {
	got := make([]string, len(records))
	for i, r := range records {
		got[i] = r.Name
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("listed %.400q, want %.400q", got, want)
	}
	return nil
}

// must runs steps until one fails.
func must(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
