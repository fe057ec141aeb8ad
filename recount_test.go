package kms_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/keystore"
)

// TestRecount: whatever became of totals and of a ledger, and of keys that nobody can bring back, Recount makes a ring of what is left that is whole, and that an
// anchor takes.
func TestRecount(t *testing.T) {
	type scene struct {
		*fixture
		a, b string
		old  map[string][]byte
	}
	flip := func(s scene, name string) {
		v := bytes.Clone(value(s.t, s.store, name))
		v[len(v)/2] ^= 1
		replace(s.t, s.store, name, v)
	}
	back := func(s scene, name string) { replace(s.t, s.store, name, s.old[name]) }
	for name, tc := range map[string]struct {
		do   func(s scene)
		left int // keys
	}{
		"nothing":          {func(scene) {}, 2},
		"a damaged total":  {func(s scene) { flip(s, "total/"+s.a[:2]) }, 2},
		"a missing total":  {func(s scene) { replace(s.t, s.store, "total/"+s.a[:2], nil) }, 2},
		"an older total":   {func(s scene) { back(s, "total/"+s.a[:2]) }, 2},
		"a damaged ledger": {func(s scene) { flip(s, "ledger") }, 2},
		"a missing ledger": {func(s scene) { replace(s.t, s.store, "ledger", nil) }, 2},
		"an older key":     {func(s scene) { back(s, "key/"+s.a) }, 2},
		"a key that is gone": {func(s scene) {
			for _, name := range itemNames(s.t, s.store, "") {
				if strings.Contains(name, s.a) {
					replace(s.t, s.store, name, nil)
				}
			}
		}, 1},
		"damage to all but the keys": {func(s scene) {
			for _, name := range append(itemNames(s.t, s.store, "total/"), "ledger") {
				flip(s, name)
			}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			first := must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t)
			f := open(t, func(c *kms.Config) { c.Anchor = first })
			s := scene{fixture: f, a: f.create().KeyID, b: f.create().KeyID}
			s.old = contents(t, f.store)
			check(t, f.DisableKey(t.Context(), s.a))
			check(t, f.DisableKey(t.Context(), s.b))
			if err := f.Recount(t.Context()); err == nil || !strings.Contains(err.Error(), "Config.Anchor") {
				t.Errorf("with an anchor: %v", err)
			}
			check(t, f.Close())
			tc.do(s)

			again := func(an anchor.Anchor) *fixture {
				return open(t, func(c *kms.Config) { c.Store, c.Anchor = f.store, an })
			}
			ring := again(nil)
			check(t, ring.Recount(t.Context()))
			if n := len(ring.trail.Events()); n != 1 || ring.trail.Events()[0].Name != "Recount" {
				t.Errorf("the trail tells %d events", n)
			}
			check(t, ring.Recount(t.Context())) // changes nothing
			report := must(ring.Check(t.Context()))(t)
			if len(report.Problems) > 0 || report.Keys != tc.left {
				t.Errorf("Check after Recount: %+v", report)
			}
			ring.create() // as any change, it counts on
			check(t, ring.Close())
			ring = again(must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t))
			must(ring.DescribeKey(t.Context(), s.b))(t)
			check(t, ring.EnableKey(t.Context(), s.b))
			if report := must(ring.Check(t.Context()))(t); len(report.Problems) > 0 || report.Keys != tc.left+1 {
				t.Errorf("Check with a new anchor: %+v", report)
			}
		})
	}
}

// TestRecountBesideChanges: a total that is made anew counts the keys that were made meanwhile, in the same process and in others.
func TestRecountBesideChanges(t *testing.T) {
	f := open(t)
	other := open(t, func(c *kms.Config) { c.Store = f.store })
	for range 50 {
		f.create()
	}
	for i := range 256 { // of damaged totals a change says nothing
		name := fmt.Sprintf("total/%02x", i)
		if _, err := f.store.Get(t.Context(), name); err == nil {
			replace(t, f.store, name, []byte("damaged"))
		}
	}
	var wg sync.WaitGroup
	for _, ring := range []*fixture{f, other} {
		wg.Go(func() {
			for range 100 {
				if _, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	check(t, f.Recount(t.Context()))
	wg.Wait()
	fresh := open(t, func(c *kms.Config) { c.Store = f.store })
	if report := must(fresh.Check(t.Context()))(t); len(report.Problems) > 0 || report.Keys != 250 {
		t.Errorf("%+v", report)
	}
}

// TestRecountKeepsDamage: a key that does not open is not counted, stays where it is, and is still told.
func TestRecountKeepsDamage(t *testing.T) {
	f := open(t)
	key := f.create()
	replace(t, f.store, "key/"+key.KeyID, []byte("damaged"))
	check(t, f.Recount(t.Context()))
	report := must(f.Check(t.Context()))(t)
	if len(report.Problems) == 0 || report.Problems[0].Record != "key/"+key.KeyID {
		t.Errorf("%+v", report)
	}
	if got := value(t, f.store, "key/"+key.KeyID); string(got) != "damaged" {
		t.Errorf("%q", got)
	}
}

// TestRecountCountsWhatIsOnItsWay: a change that met a damaged total is counted, also if the total is made anew before it is committed.
func TestRecountCountsWhatIsOnItsWay(t *testing.T) {
	f := open(t)
	key := f.create()
	replace(t, f.store, "total/"+key.KeyID[:2], []byte("damaged"))
	meanwhile := sync.OnceFunc(func() { check(t, f.Recount(t.Context())) })
	other := open(t, func(c *kms.Config) { c.Store = hookedStore{f.store, meanwhile} })
	check(t, other.UpdateKeyDescription(t.Context(), key.KeyID, "changed"))
	if report := must(f.Check(t.Context()))(t); len(report.Problems) > 0 {
		t.Errorf("%+v", report)
	}
}

// A hookedStore does something before it commits.
type hookedStore struct {
	keystore.Store
	before func()
}

func (s hookedStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	s.before()
	return s.Store.Commit(ctx, changes)
}

// A lateStore does something once between reading a total and returning it, as a slow network does.
type lateStore struct {
	keystore.Store
	before func()
}

func (s *lateStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	r, err := s.Store.Get(ctx, name)
	if f := s.before; f != nil && strings.HasPrefix(name, "total/") {
		s.before = nil
		f()
	}
	return r, err
}

// TestATotalThatIsWholeIsNotPassedOver: a total that was damaged when a change read it, and is whole when it commits, counts the change; so does one that was
// resealed meanwhile.
func TestATotalThatIsWholeIsNotPassedOver(t *testing.T) {
	for name, meanwhile := range map[string]func(f *fixture, total string){
		"made anew": func(f *fixture, _ string) { check(t, f.Recount(t.Context())) },
		"removed":   func(f *fixture, total string) { replace(t, f.store, total, nil); check(t, f.Recount(t.Context())) },
		"resealed":  func(f *fixture, _ string) { must(f.Maintain(t.Context()))(t) },
	} {
		f := open(t)
		key := f.create()
		total := "total/" + key.KeyID[:2]
		if name == "resealed" {
			check(t, f.RotateDomainKey(t.Context()))
		} else {
			replace(t, f.store, total, []byte("damaged"))
		}
		late := &lateStore{Store: f.store, before: func() { meanwhile(f, total) }}
		other := open(t, func(c *kms.Config) { c.Store = late })
		check(t, other.UpdateKeyDescription(t.Context(), key.KeyID, "changed"))
		if late.before != nil {
			t.Error("the total was not read")
		}
		if got := problems(t, f.Keyring); len(got) != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestRecountIsRecordedFirst: what the trail does not take does not happen.
func TestRecountIsRecordedFirst(t *testing.T) {
	sink := new(moodySink)
	f := open(t, func(c *kms.Config) { c.Audit = sink })
	name := "total/" + f.create().KeyID[:2]
	replace(t, f.store, name, []byte("damaged"))
	sink.refuse("Recount")
	if err := f.Recount(t.Context()); err == nil {
		t.Error("it was not recorded, and done")
	}
	if got := value(t, f.store, name); string(got) != "damaged" {
		t.Errorf("%q", got)
	}
}
