package bolt

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/claviger/kms/keystore"
)

// Readers beside a writer never meet a page that the writer has taken for something else, and bbolt finds its file in order at the end.
func TestReadersBesideWriters(t *testing.T) {
	s, _ := openTemp(t)
	const fixed, commits = 200, 60
	var batch []keystore.Change
	for i := range fixed {
		batch = append(batch, keystore.Change{Op: keystore.Put, Name: fmt.Sprintf("fixed/%03d", i), Value: make([]byte, i*7)})
		if len(batch) == 50 {
			if _, err := s.Commit(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	var writing atomic.Int32
	var wg sync.WaitGroup
	for w := range 3 {
		writing.Add(1)
		wg.Go(func() {
			defer writing.Add(-1)
			revisions := make(map[string]keystore.Revision)
			for n := range commits {
				name := fmt.Sprintf("fixed/%03d/%d", n*n*37%fixed, w) // between the fixed ones, so that their pages are rewritten
				c := keystore.Change{Op: keystore.Put, Name: name, Value: make([]byte, n*97%5000), Revision: revisions[name]}
				if c.Revision != 0 && n%2 == 0 {
					c = keystore.Change{Op: keystore.Delete, Name: name, Revision: c.Revision}
				}
				rev, err := s.Commit(t.Context(), []keystore.Change{c})
				if err != nil {
					t.Error(err)
					return
				}
				if revisions[name] = rev; c.Op == keystore.Delete {
					revisions[name] = 0
				}
			}
		})
	}
	wg.Go(func() {
		for n := 0; writing.Load() > 0; n = (n + 1) % fixed {
			if r, err := s.Get(t.Context(), fmt.Sprintf("fixed/%03d", n)); err != nil || len(r.Value) != n*7 {
				t.Errorf("record %d: %d bytes, %v", n, len(r.Value), err)
				return
			}
		}
	})
	wg.Go(func() {
		for writing.Load() > 0 {
			page, err := s.List(t.Context(), "fixed/", "", keystore.MaxListLimit)
			if err != nil || len(page) < fixed {
				t.Errorf("listed %d records, %v", len(page), err)
				return
			}
		}
	})
	wg.Wait()
	err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
