package kms_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
)

// replace puts a value in place of what a store holds, or removes it, as whoever controls the store can.
func replace(t testing.TB, s keystore.Store, name string, value []byte) {
	t.Helper()
	old, err := s.Get(t.Context(), name)
	if err != nil && value == nil {
		t.Fatal(err)
	}
	ch := keystore.Change{Op: keystore.Put, Name: name, Value: value, Revision: old.Revision}
	if value == nil {
		ch.Op = keystore.Delete
	}
	must(s.Commit(t.Context(), []keystore.Change{ch}))(t)
}

func value(t testing.TB, s keystore.Store, name string) []byte {
	t.Helper()
	return must(s.Get(t.Context(), name))(t).Value
}

func itemNames(t testing.TB, s keystore.Store, prefix string) (names []string) {
	t.Helper()
	for r, err := range keystore.Walk(t.Context(), s, prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r.Name)
	}
	return names
}

// checked returns the names of the records that Check finds fault with, "" for a place.
func checked(t testing.TB, ring *kms.Keyring) []string {
	t.Helper()
	report := must(ring.Check(t.Context()))(t)
	names := make([]string, 0, len(report.Problems))
	for _, p := range report.Problems {
		if strings.HasPrefix(p.Record, "total/") {
			p.Record = "total"
		}
		names = append(names, p.Record)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestCheckFindsWhatAStoreDid: what a hostile or damaged store can do to records is told by a walk over it, by name.
func TestCheckFindsWhatAStoreDid(t *testing.T) {
	type scene struct {
		*fixture
		a, b string // ids of two keys; the first has an alias and two versions
		old  map[string][]byte
	}
	version := func(s scene, i int) string { return itemNames(s.t, s.store, "ver/"+s.a)[i] }
	for name, tc := range map[string]struct {
		do   func(s scene)
		want func(s scene) []string
	}{
		"nothing": {func(scene) {}, func(scene) []string { return nil }},
		"a key is withheld": {func(s scene) { replace(s.t, s.store, "key/"+s.a, nil) }, func(s scene) []string {
			return append(append([]string{"alias/a", "total"}, itemNames(s.t, s.store, "ver/"+s.a)...), itemNames(s.t, s.store, "vidx/"+s.a)...)
		}},
		"a key is rolled back": {func(s scene) { replace(s.t, s.store, "key/"+s.a, s.old["key/"+s.a]) }, func(s scene) []string {
			return []string{"alias/a", "key/" + s.a, "total"}
		}},
		"a bit is flipped": {func(s scene) {
			v := slices.Clone(value(s.t, s.store, "key/"+s.a))
			v[len(v)-1] ^= 1
			replace(s.t, s.store, "key/"+s.a, v)
		}, func(s scene) []string { return []string{"key/" + s.a, "total"} }},
		"a record is empty": {func(s scene) { replace(s.t, s.store, "key/"+s.b, []byte{}) }, func(s scene) []string { return []string{"key/" + s.b, "total"} }},
		"two keys are swapped": {func(s scene) {
			a, b := value(s.t, s.store, "key/"+s.a), value(s.t, s.store, "key/"+s.b)
			replace(s.t, s.store, "key/"+s.a, b)
			replace(s.t, s.store, "key/"+s.b, a)
		}, func(s scene) []string { return []string{"key/" + s.a, "key/" + s.b, "total"} }},
		"a key is there twice": {func(s scene) {
			replace(s.t, s.store, "key/00000000-0000-4000-8000-000000000000", value(s.t, s.store, "key/"+s.a))
		}, func(s scene) []string {
			return []string{"key/00000000-0000-4000-8000-000000000000"}
		}},
		"an old version is withheld": {func(s scene) { replace(s.t, s.store, version(s, 0), nil) }, func(s scene) []string { return []string{"key/" + s.a} }},
		"versions are swapped": {func(s scene) {
			x, y := version(s, 0), version(s, 1)
			a, b := value(s.t, s.store, x), value(s.t, s.store, y)
			replace(s.t, s.store, x, b)
			replace(s.t, s.store, y, a)
		}, func(s scene) []string { return []string{"key/" + s.a, version(s, 0), version(s, 1)} }},
		"an entry of the index is withheld": {func(s scene) { replace(s.t, s.store, itemNames(s.t, s.store, "vidx/"+s.a)[0], nil) }, func(s scene) []string {
			return []string{"key/" + s.a}
		}},
		"the alias is withheld":    {func(s scene) { replace(s.t, s.store, "alias/a", nil) }, func(s scene) []string { return []string{"key/" + s.a} }},
		"the alias is rolled back": {func(s scene) { replace(s.t, s.store, "alias/a", s.old["alias/a"]) }, func(s scene) []string { return []string{"alias/a", "key/" + s.a} }},
		"a due entry is withheld": {func(s scene) { replace(s.t, s.store, itemNames(s.t, s.store, "due/")[0], nil) }, func(s scene) []string {
			return []string{"key/" + s.a}
		}},
		"a tombstone is withheld": {func(s scene) { replace(s.t, s.store, itemNames(s.t, s.store, "dead/")[0], nil) }, func(scene) []string { return []string{"total"} }},
		"a total is withheld":     {func(s scene) { replace(s.t, s.store, "total/"+s.a[:2], nil) }, func(scene) []string { return []string{"total"} }},
		"a total is rolled back": {func(s scene) { replace(s.t, s.store, "total/"+s.a[:2], s.old["total/"+s.a[:2]]) }, func(scene) []string {
			return []string{"total"}
		}},
		"a record of another kind": {func(s scene) { replace(s.t, s.store, "other/x", []byte("x")) }, func(scene) []string { return []string{"other/x"} }},
		"a domain key is damaged": {func(s scene) { replace(s.t, s.store, "domain/0011223344556677", []byte("x")) }, func(scene) []string {
			return []string{"domain/0011223344556677"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				f := open(t)
				gone := f.destroyed()
				a, b := f.create(), f.create()
				check(t, f.CreateAlias(t.Context(), "alias/a", b.KeyID))
				s := scene{f, a.KeyID, b.KeyID, map[string][]byte{}}
				for _, n := range itemNames(t, f.store, "") {
					s.old[n] = value(t, f.store, n)
				}
				check(t, f.UpdateAlias(t.Context(), "alias/a", a.KeyID))
				must(f.RotateKeyOnDemand(t.Context(), a.KeyID))(t)
				check(t, f.EnableKeyRotation(t.Context(), a.KeyID, 0))
				if report := must(f.Check(t.Context()))(t); len(report.Problems) != 0 || report.Keys != 2 || report.Versions != 3 || report.Aliases != 1 || report.Tombstones != 1 {
					t.Fatalf("before anything was done: %+v, %s destroyed", report, gone)
				}
				tc.do(s)
				want := tc.want(s)
				slices.Sort(want)
				if got := checked(t, f.Keyring); !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		})
	}
}

// TestCheckGoesOnBehindADomainKey: an older domain key whose wrap is damaged is told of with each record that needs it, and keeps nothing else from being looked at.
func TestCheckGoesOnBehindADomainKey(t *testing.T) {
	root := must(keyfile.Create(filepath.Join(t.TempDir(), "root.key")))(t)
	f := open(t, func(c *kms.Config) { c.Root = root })
	f.create()
	old := itemNames(t, f.store, "domain/")[0]
	check(t, f.RotateDomainKey(t.Context()))
	sound := f.create()
	wrap := slices.Clone(value(t, f.store, old))
	wrap[len(wrap)-1] ^= 1
	replace(t, f.store, old, wrap)
	second := open(t, func(c *kms.Config) { c.Store, c.Root = f.store, root })
	report, err := second.Check(t.Context())
	if err != nil || report.Keys != 2 || len(report.Problems) == 0 || !errors.Is(report.Problems[0].Err, rootkey.ErrWrongKey) {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, p := range report.Problems {
		if strings.Contains(p.Record, sound.KeyID) {
			t.Error(p)
		}
	}
}

// problems returns what Check finds, a text for each problem.
func problems(t testing.TB, ring *kms.Keyring) (texts []string) {
	t.Helper()
	for _, p := range must(ring.Check(t.Context()))(t).Problems {
		texts = append(texts, p.Error())
	}
	return texts
}

// TestCheckTriesEveryRoot: a root key that could not open the ring alone is found while another one still opens it, in the records of the newest domain key and of
// older ones.
func TestCheckTriesEveryRoot(t *testing.T) {
	spare := must(keyfile.Create(filepath.Join(t.TempDir(), "spare.key")))(t)
	recovery, third := rootkey.WithName("recovery", spare), rootkey.WithName("third", newGCMRoot(t, gcmKey(3)))
	flip := func(t *testing.T, s keystore.Store, item string, fromEnd int) {
		v := slices.Clone(value(t, s, item))
		v[len(v)-1-fromEnd] ^= 1
		replace(t, s, item, v)
	}
	const shut = `its wrap does not open: root "recovery": keyfile: rootkey: wrong root key or damaged wrap`
	for name, tc := range map[string]struct {
		do   func(t *testing.T, s keystore.Store, item string)
		give []rootkey.Root // besides Root
		want string         // "" if all is well
	}{
		"nothing":                      {func(*testing.T, keystore.Store, string) {}, []rootkey.Root{recovery}, ""},
		"a wrap is damaged":            {func(t *testing.T, s keystore.Store, item string) { flip(t, s, item, 0) }, []rootkey.Root{recovery}, shut},
		"a wrap that nobody can try":   {func(t *testing.T, s keystore.Store, item string) { flip(t, s, item, 0) }, nil, ""},
		"the text of a wrap is cut":    {func(t *testing.T, s keystore.Store, item string) { cutWrap(t, s, item) }, []rootkey.Root{recovery}, shut},
		"a root that has no wrap":      {func(*testing.T, keystore.Store, string) {}, []rootkey.Root{recovery, third}, `no wrap for root "third", which was given`},
		"a wrap holds another key":     {func(t *testing.T, s keystore.Store, item string) { rewrap(t, s, item, spare) }, []rootkey.Root{recovery}, `its wrap for root "recovery" holds another key`},
		"another key of the same name": {func(*testing.T, keystore.Store, string) {}, []rootkey.Root{rootkey.WithName("recovery", newGCMRoot(t, gcmKey(9)))}, `its wrap does not open: root "recovery": `},
	} {
		for _, rotated := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/older %v", name, rotated), func(t *testing.T) {
				f := open(t, func(c *kms.Config) { c.RecoveryRoots = []rootkey.Root{recovery} })
				f.create()
				item := itemNames(t, f.store, "domain/")[0]
				if rotated {
					check(t, f.RotateDomainKey(t.Context()))
				}
				tc.do(t, f.store, item)
				ring := open(t, func(c *kms.Config) { c.Store, c.RecoveryRoots = f.store, tc.give })
				got := problems(t, ring.Keyring)
				given := min(len(tc.give), 1) // the ring knows no third one
				if report := must(ring.Check(t.Context()))(t); report.Roots != 2 || report.Tried != 1+given {
					t.Errorf("%d of %d roots were tried", report.Tried, report.Roots)
				}
				other := func(p string) bool { return !strings.HasPrefix(p, "domain/") || !strings.Contains(p, ": "+tc.want) }
				named := func(p string) bool { return strings.HasPrefix(p, item+": ") }
				if slices.ContainsFunc(got, other) || (tc.want == "") == slices.ContainsFunc(got, named) {
					t.Errorf("%q, want %q", got, tc.want)
				}
				// It keeps no older domain key from being removed: nothing needs that any more.
				if _, err := ring.Maintain(t.Context()); err != nil || len(itemNames(t, f.store, "domain/")) != 1 {
					t.Errorf("%q, %v", itemNames(t, f.store, "domain/"), err)
				}
			})
		}
	}
}

// lastWrap splits the record of a domain key before the last wrap of two, of a root whose name is given, and its length.
func lastWrap(t testing.TB, record []byte, name string) (before, wrap []byte) {
	t.Helper()
	at := bytes.LastIndex(record, []byte(name))
	if at < 0 {
		t.Fatalf("no wrap for %q", name)
	}
	return slices.Clone(record[:at+len(name)]), record[at+len(name)+2:]
}

// cutWrap takes a byte from the last wrap of a domain key.
func cutWrap(t testing.TB, s keystore.Store, item string) {
	before, wrap := lastWrap(t, value(t, s, item), "recovery")
	replace(t, s, item, append(binary.BigEndian.AppendUint16(before, uint16(len(wrap)-1)), wrap[1:]...))
}

// rewrap makes the last wrap of a domain key hold another key, as who can wrap under the root can.
func rewrap(t testing.TB, s keystore.Store, item string, root rootkey.Root) {
	before, _ := lastWrap(t, value(t, s, item), "recovery")
	ad := append([]byte("claviger/root/v1"), before[2:26]...)
	wrap := must(root.EncryptWithContext(t.Context(), gcmKey(77), append(ad, "\x00\x08recovery"...)))(t)
	replace(t, s, item, append(binary.BigEndian.AppendUint16(before, uint16(len(wrap))), wrap...))
}

// TestCheckAfterChangeRoots: the roots that Check tries are those that the ring has now.
func TestCheckAfterChangeRoots(t *testing.T) {
	f := open(t, func(c *kms.Config) {
		c.RecoveryRoots = []rootkey.Root{rootkey.WithName("second", newGCMRoot(t, gcmKey(2)))}
	})
	check(t, f.ChangeRoots(t.Context(), rootkey.WithName("third", newGCMRoot(t, gcmKey(3)))))
	if got := problems(t, f.Keyring); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestCheckStopsBetweenRoots: a root takes its time, and a context that ends meanwhile ends the check before the next one.
func TestCheckStopsBetweenRoots(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tried := 0
	try := func(then func()) func([]byte) ([]byte, error) {
		return func(b []byte) ([]byte, error) { tried++; then(); return b, nil }
	}
	same := func(b []byte) ([]byte, error) { return b, nil }
	begun := false
	stop := func() {
		if begun {
			cancel()
		}
	}
	f := open(t, func(c *kms.Config) {
		c.Root = brokenRoot{newGCMRoot(t, gcmKey(1)), same, try(stop)}
		c.RecoveryRoots = []rootkey.Root{rootkey.WithName("second", brokenRoot{newGCMRoot(t, gcmKey(2)), same, try(stop)})}
	})
	begun, tried = true, 0
	if report, err := f.Check(ctx); !errors.Is(err, context.Canceled) || tried != 1 || report.Records == 0 {
		t.Errorf("%d roots were tried: %+v, %v", tried, report, err)
	}
}

// TestCheckMissesTheRingsOwn: what opens the ring is missed also by a process that has it open and does not need it any more.
func TestCheckMissesTheRingsOwn(t *testing.T) {
	f := open(t)
	f.create()
	domain := itemNames(t, f.store, "domain/")[0]
	whole := value(t, f.store, domain)
	replace(t, f.store, domain, nil)
	if got := problems(t, f.Keyring); len(got) != 1 || !strings.HasPrefix(got[0], domain+": missing, and vidx/") {
		t.Errorf("%q", got)
	}
	replace(t, f.store, domain, whole)
	replace(t, f.store, "ring", nil)
	if got := problems(t, f.Keyring); !slices.Equal(got, []string{"ring: missing"}) {
		t.Errorf("%q", got)
	}
}

// TestProblemsReadAlike: each problem is one line, which begins with the record's name, once, and holds nothing that a terminal obeys.
func TestProblemsReadAlike(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", key.KeyID))
	replace(t, f.store, "alias/a", []byte("x"))
	replace(t, f.store, "alias/b\x1b[2J\n\u0085", []byte("x"))
	replace(t, f.store, "other/\u202e", []byte("x"))
	want := []string{
		"alias/a: damaged, moved or forged",
		`"alias/b\x1b[2J\n\u0085": damaged, moved or forged`,
		`"other/\u202e": no record of a keyring has such a name`,
	}
	if got := problems(t, f.Keyring); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	replace(t, f.store, "key/"+key.KeyID, []byte("x"))
	_, err := open(t, func(c *kms.Config) { c.Store = f.store }).DescribeKey(t.Context(), key.KeyID)
	if p, ok := errors.AsType[*kms.Problem](err); !ok || p.Error() != "key/"+key.KeyID+": damaged, moved or forged" || !errors.Is(err, kms.ErrInternal) {
		t.Errorf("%v: %v", err, p)
	}
}

// TestCheckBesideChanges: a walk beside others who change the store finds it whole.
func TestCheckBesideChanges(t *testing.T) {
	f := open(t)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: everyone}))(t)
				name := fmt.Sprintf("alias/%d/%d", i, n%5)
				if n < 5 {
					check(t, f.CreateAlias(t.Context(), name, key.KeyID))
				} else {
					check(t, f.UpdateAlias(t.Context(), name, key.KeyID))
				}
				must(f.RotateKeyOnDemand(t.Context(), key.KeyID))(t)
				check(t, f.EnableKeyRotation(t.Context(), key.KeyID, 0))
				must(f.ScheduleKeyDeletion(t.Context(), key.KeyID, 7))(t)
			}
		})
	}
	for range 5 {
		if got := checked(t, f.Keyring); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
	cancel()
	wg.Wait()
	if got := checked(t, f.Keyring); len(got) != 0 {
		t.Errorf("in the end: %q", got)
	}
}

// TestCheckBesideRotations: a walk beside changes of domain keys and roots, in this process and in another, finds the store whole.
func TestCheckBesideRotations(t *testing.T) {
	roots := []rootkey.Root{newGCMRoot(t, gcmKey(1)), rootkey.WithName("second", newGCMRoot(t, gcmKey(2)))}
	f := open(t, func(c *kms.Config) { c.Root, c.RecoveryRoots = roots[0], roots[1:] })
	for range 20 {
		f.create()
	}
	other := open(t, func(c *kms.Config) { c.Store, c.Root, c.RecoveryRoots = f.store, roots[0], roots[1:] })
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			check(t, f.RotateDomainKey(t.Context()))
			must(f.Maintain(t.Context()))(t)
			if n%2 == 0 {
				check(t, f.ChangeRoots(t.Context(), roots[1], roots[0]))
			}
		}
	})
	for n := range 12 {
		for who, ring := range []*kms.Keyring{f.Keyring, other.Keyring} {
			if got := problems(t, ring); len(got) != 0 {
				t.Errorf("turn %d of ring %d: %q", n, who, got)
			}
		}
	}
	cancel()
	wg.Wait()
}

// TestADamagedTotalKeepsNothingFromBeingDone: a total decides nothing; whoever counts finds it.
func TestADamagedTotalKeepsNothingFromBeingDone(t *testing.T) {
	f := open(t)
	key := f.create()
	replace(t, f.store, "total/"+key.KeyID[:2], []byte("x"))
	second := open(t, func(c *kms.Config) { c.Store = f.store })
	check(t, second.DisableKey(t.Context(), key.KeyID))
	if got := checked(t, second.Keyring); !slices.Equal(got, []string{"total"}) {
		t.Errorf("%q", got)
	}
}

// TestTotalsOfTwoRings: two processes on one store count together.
func TestTotalsOfTwoRings(t *testing.T) {
	store := memory.New()
	share := func(c *kms.Config) { c.Store = store }
	rings := []*fixture{open(t, share), open(t, share)}
	var wg sync.WaitGroup
	for _, f := range rings {
		wg.Go(func() {
			for range 300 { // more than there are buckets
				f.create()
			}
		})
	}
	wg.Wait()
	if report := must(rings[0].Check(t.Context()))(t); len(report.Problems) != 0 || report.Keys != 600 {
		t.Errorf("%d keys, %v", report.Keys, report.Problems)
	}
}

// destroyed makes a key and destroys it, in a bubble of synctest. It returns the key's id.
func (f *fixture) destroyed() string {
	f.t.Helper()
	key := f.create()
	must(f.ScheduleKeyDeletion(f.t.Context(), key.KeyID, 7))(f.t)
	for _, d := range []time.Duration{7 * kms.Day, time.Hour} {
		time.Sleep(d)
		f.clock.advance(d)
		must(f.Maintain(f.t.Context()))(f.t)
	}
	return key.KeyID
}

// An endlessStore lists names without end once it is on, and does not look at contexts. It ends the context with the third page, and itself much later.
type endlessStore struct {
	keystore.Store
	end   context.CancelFunc // nil while it is off
	pages int
	names int
}

func (s *endlessStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if s.end == nil {
		return s.Store.List(ctx, prefix, after, limit)
	}
	if s.pages++; s.pages == 3 {
		s.end()
	} else if s.pages == 1000 {
		return nil, errors.New("listed long after the context has ended")
	}
	page := make([]keystore.Record, limit)
	for i := range page {
		s.names++
		page[i] = keystore.Record{Name: fmt.Sprintf("%s%020d", prefix, s.names), Value: []byte("x"), Revision: 1}
	}
	return page, nil
}

// TestWalksEndWithTheirContext: a store that lists without end holds nobody beyond the context.
func TestWalksEndWithTheirContext(t *testing.T) {
	s := &endlessStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store = s })
	f.create()
	for name, call := range map[string]func(context.Context) error{
		"Check":    func(ctx context.Context) error { _, err := f.Check(ctx); return err },
		"Maintain": func(ctx context.Context) error { _, err := f.Maintain(ctx); return err },
		"Recount":  f.Recount,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s.end, s.pages = cancel, 0
		if err := call(ctx); !errors.Is(err, context.Canceled) || s.pages > 3 {
			t.Errorf("%s ended after %d pages: %v", name, s.pages, err)
		}
		s.end = nil
		cancel()
	}
}
