package kms_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
)

func gcmKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestReopen(t *testing.T) {
	store, root := memory.New(), newGCMRoot(t, gcmKey(1))
	first := must(kms.Open(t.Context(), kms.Config{Store: store, Root: root, AccountID: "111122223333", Region: "eu-central-1"}))(t)
	key := must(first.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	out := must(first.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	check(t, first.Close())
	check(t, first.Close())

	// Account and Region are the ring's; the id pins it.
	second := must(kms.Open(t.Context(), kms.Config{Store: store, Root: root, RingID: first.ID()}))(t)
	defer second.Close()
	if got := must(second.Decrypt(t.Context(), out.Ciphertext, nil))(t); string(got.Plaintext) != "x" || got.KeyARN != key.ARN || second.ID() != first.ID() {
		t.Errorf("%+v", got)
	}
	for name, tc := range map[string]struct {
		change  func(*kms.Config)
		message string
	}{
		"account":     {func(c *kms.Config) { c.AccountID = "444455556666" }, "account"},
		"region":      {func(c *kms.Config) { c.Region = "us-east-1" }, "Region"},
		"partition":   {func(c *kms.Config) { c.Partition = "aws-cn" }, "partition"},
		"ring":        {func(c *kms.Config) { c.RingID = strings.Repeat("0", 32) }, "pins another"},
		"root":        {func(c *kms.Config) { c.Root = newGCMRoot(t, gcmKey(2)) }, "root"},
		"root's name": {func(c *kms.Config) { c.Root = rootkey.WithName("other", root) }, "no root of its name was given"},
	} {
		cfg := kms.Config{Store: store, Root: root}
		tc.change(&cfg)
		_, err := kms.Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), tc.message) {
			t.Errorf("another %s: %v", name, err)
		}
		if strings.HasPrefix(name, "root's") && !errors.Is(err, rootkey.ErrWrongKey) {
			t.Errorf("another %s: %v, want ErrWrongKey", name, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	root := newGCMRoot(t, gcmKey(1))
	many := make([]rootkey.Root, 8)
	for i := range many {
		many[i] = rootkey.WithName(string(rune('a'+i)), root)
	}
	for name, tc := range map[string]struct {
		cfg     kms.Config
		message string
	}{
		"no root":       {kms.Config{Store: memory.New()}, "Config.Root"},
		"no store":      {kms.Config{Root: root}, "Config.Store"},
		"pinned memory": {kms.Config{RingID: strings.Repeat("0", 32)}, "Config.Store"},
		"memory exists": {kms.Config{MustExist: true}, "Config.Store"},
		"nil pointer":   {kms.Config{Store: (*memory.Store)(nil), Root: root}, "nil pointer"},
		"nil root too":  {kms.Config{Store: memory.New(), Root: (*keyfile.Root)(nil)}, "nil pointer"},
		"ring id":       {kms.Config{Store: memory.New(), Root: root, RingID: "zz"}, "want 32 lower-case hex digits"},
		"account":       {kms.Config{AccountID: "123"}, "Config.AccountID"},
		"region":        {kms.Config{Region: "EU west"}, "Config.Region"},
		"partition":     {kms.Config{Partition: "a:b"}, "Config.Partition"},
		"staleness":     {kms.Config{MaxStaleness: time.Hour}, "Config.MaxStaleness"},
		"negative":      {kms.Config{MaxStaleness: -1}, "Config.MaxStaleness"},
		"cache":         {kms.Config{CacheSize: -1}, "Config.CacheSize"},
		"a large cache": {kms.Config{CacheSize: 1<<24 + 1}, "Config.CacheSize"},
		"endless cache": {kms.Config{CacheSize: math.MaxInt}, "Config.CacheSize"},
		"nil sink":      {kms.Config{Audit: (*audit.Memory)(nil)}, "Config.Audit"},
		"nil function":  {kms.Config{Audit: audit.SinkFunc(nil)}, "Config.Audit"},
		"nil recovery":  {kms.Config{Store: memory.New(), Root: root, RecoveryRoots: []rootkey.Root{rootkey.WithName("a", root), (*keyfile.Root)(nil)}}, "Config.RecoveryRoots[1]: nil"},
		"same name":     {kms.Config{Store: memory.New(), Root: root, RecoveryRoots: []rootkey.Root{root}}, "two root keys are named"},
		"nil root":      {kms.Config{Store: memory.New(), Root: root, RecoveryRoots: []rootkey.Root{nil}}, "Config.RecoveryRoots[0]: nil"},
		"many roots":    {kms.Config{Store: memory.New(), Root: root, RecoveryRoots: many}, "at most 8"},
		"no name":       {kms.Config{Store: memory.New(), Root: rootkey.WithName("", root)}, "name"},
		"a longer name": {kms.Config{Store: memory.New(), Root: rootkey.WithName(strings.Repeat("x", 65), root)}, "name"},
	} {
		if _, err := kms.Open(t.Context(), tc.cfg); err == nil || !strings.Contains(err.Error(), tc.message) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ring := must(kms.Open(t.Context(), kms.Config{}))(t)
	defer ring.Close()
	if key := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t); !strings.HasPrefix(key.ARN, "arn:aws:kms:local:000000000000:key/") {
		t.Errorf("%s", key.ARN)
	}
}

// TestAnyRootOpens: a ring that was made with several root keys opens with each of them alone.
// vault#9421 and vault#11244: the root was lost, and "recovery keys" recovered nothing.
func TestAnyRootOpens(t *testing.T) {
	store := memory.New()
	roots := []rootkey.Root{newGCMRoot(t, gcmKey(1)), rootkey.WithName("recovery", newGCMRoot(t, gcmKey(2))), rootkey.WithName("vault", newGCMRoot(t, gcmKey(3)))}
	ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: roots[0], RecoveryRoots: roots[1:]}))(t)
	key := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	out := must(ring.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	check(t, ring.Close())
	for i, root := range roots {
		ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: root}))(t)
		must(ring.Decrypt(t.Context(), out.Ciphertext, nil))(t)
		check(t, ring.Close())
		// And with a wrong one before it.
		wrong := rootkey.WithName(rootkey.Name(roots[(i+1)%3]), newGCMRoot(t, gcmKey(9)))
		ring = must(kms.Open(t.Context(), kms.Config{Store: store, Root: wrong, RecoveryRoots: []rootkey.Root{root}}))(t)
		check(t, ring.Close())
	}
	// A wrap does not serve under another root's name, though the key is the same.
	_, err := kms.Open(t.Context(), kms.Config{Store: store, Root: rootkey.WithName("vault", newGCMRoot(t, gcmKey(2)))})
	if err == nil {
		t.Error("a root opens a wrap that is not its own")
	}
}

// TestRootsThatDoNotOpenAreTold: whoever gives the wrong roots learns what became of each, and which would do.
func TestRootsThatDoNotOpenAreTold(t *testing.T) {
	store := memory.New()
	named := func(name string, key byte) rootkey.Root { return rootkey.WithName(name, newGCMRoot(t, gcmKey(key))) }
	ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: named("main", 1), RecoveryRoots: []rootkey.Root{named("safe", 2), named("vault", 3)}}))(t)
	check(t, ring.Close())
	for _, tc := range []struct {
		roots []rootkey.Root
		want  []string
	}{
		{[]rootkey.Root{named("other", 1)}, []string{"no root of its name was given", `wrapped under "main", "safe", "vault"`}},
		{[]rootkey.Root{named("main", 9)}, []string{`root "main": `, `wrapped under "main", "safe", "vault"`}},
		{[]rootkey.Root{named("safe", 9), named("vault", 9)}, []string{`root "safe": `, `root "vault": `}},
	} {
		_, err := kms.Open(t.Context(), kms.Config{Store: store, Root: tc.roots[0], RecoveryRoots: tc.roots[1:]})
		if isWrong := errors.Is(err, rootkey.ErrWrongKey); isWrong != (rootkey.Name(tc.roots[0]) == "other") { // the others say what their AEAD says
			t.Errorf("%v matches rootkey.ErrWrongKey: %t", err, isWrong)
		}
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

// A brokenRoot does one thing wrong.
type brokenRoot struct {
	gcmRoot
	wrap, unwrap func([]byte) ([]byte, error)
}

func (r brokenRoot) EncryptWithContext(ctx context.Context, p, ad []byte) ([]byte, error) {
	out, _ := r.gcmRoot.EncryptWithContext(ctx, p, ad)
	return r.wrap(out)
}

func (r brokenRoot) DecryptWithContext(ctx context.Context, c, ad []byte) ([]byte, error) {
	out, err := r.gcmRoot.DecryptWithContext(ctx, c, ad)
	if err != nil {
		return nil, err
	}
	return r.unwrap(out)
}

// TestARootIsTriedBeforeItIsTrusted: a ring is not made under a root that could not open it. OpenBao GH-2619: what was wrapped anew could not be opened.
func TestARootIsTriedBeforeItIsTrusted(t *testing.T) {
	same := func(b []byte) ([]byte, error) { return b, nil }
	for name, root := range map[string]rootkey.Root{
		"refuses":       brokenRoot{newGCMRoot(t, gcmKey(1)), func([]byte) ([]byte, error) { return nil, errors.New("no") }, same},
		"too long":      brokenRoot{newGCMRoot(t, gcmKey(1)), func(b []byte) ([]byte, error) { return make([]byte, rootkey.MaxWrapLen+1), nil }, same},
		"empty":         brokenRoot{newGCMRoot(t, gcmKey(1)), func(b []byte) ([]byte, error) { return nil, nil }, same},
		"damages":       brokenRoot{newGCMRoot(t, gcmKey(1)), func(b []byte) ([]byte, error) { b[0]++; return b, nil }, same},
		"another key":   brokenRoot{newGCMRoot(t, gcmKey(1)), same, func(b []byte) ([]byte, error) { return gcmKey(7), nil }},
		"a shorter key": brokenRoot{newGCMRoot(t, gcmKey(1)), same, func(b []byte) ([]byte, error) { return b[:31], nil }},
	} {
		store := memory.New()
		if _, err := kms.Open(t.Context(), kms.Config{Store: store, Root: root}); err == nil {
			t.Errorf("%s: a ring was made", name)
		}
		if items := must(store.List(t.Context(), "", "", 10))(t); len(items) != 0 {
			t.Errorf("%s: the store holds %d items", name, len(items))
		}
	}
}

func put(t *testing.T, store keystore.Store, name string, value []byte) {
	t.Helper()
	var revision keystore.Revision
	if old, err := store.Get(t.Context(), name); err == nil {
		revision = old.Revision
	}
	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: name, Value: value, Revision: revision}}))(t)
}

func remove(t *testing.T, store keystore.Store, name string) {
	t.Helper()
	old := must(store.Get(t.Context(), name))(t)
	must(store.Commit(t.Context(), []keystore.Change{{Op: keystore.Delete, Name: name, Revision: old.Revision}}))(t)
}

// TestDamagedRings: a store that is not what it should be is an error that says what is wrong, and is left as it is.
func TestDamagedRings(t *testing.T) {
	v := readFrozen(t)
	domain := ""
	for _, item := range v.Items {
		if strings.HasPrefix(item.Name, "domain/") {
			domain = item.Name
		}
	}
	flip := func(name string, at int) func(keystore.Store) {
		return func(s keystore.Store) {
			value := must(s.Get(t.Context(), name))(t).Value
			value[(at+len(value))%len(value)] ^= 1
			put(t, s, name, value)
		}
	}
	for name, tc := range map[string]struct {
		damage func(keystore.Store)
		is     error
	}{
		"no ring record":        {func(s keystore.Store) { remove(t, s, "ring") }, record.ErrDamaged},
		"no domain key":         {func(s keystore.Store) { remove(t, s, domain) }, record.ErrUnknownDomain},
		"ring record damaged":   {flip("ring", -1), record.ErrDamaged},
		"ring record cut":       {func(s keystore.Store) { put(t, s, "ring", []byte{1, 1}) }, record.ErrDamaged},
		"domain version":        {flip(domain, 0), record.ErrDamaged},
		"domain ring id":        {flip(domain, 5), nil},
		"domain id":             {flip(domain, 20), record.ErrDamaged},
		"wrap":                  {flip(domain, -1), nil},
		"domain record cut":     {func(s keystore.Store) { put(t, s, domain, must(s.Get(t.Context(), domain))(t).Value[:40]) }, record.ErrDamaged},
		"domain record longer":  {func(s keystore.Store) { put(t, s, domain, append(must(s.Get(t.Context(), domain))(t).Value, 0)) }, record.ErrDamaged},
		"another item's record": {func(s keystore.Store) { put(t, s, "ring", must(s.Get(t.Context(), "alias/frozen"))(t).Value) }, record.ErrDamaged},
	} {
		store := v.store(t)
		tc.damage(store)
		before := must(store.List(t.Context(), "", "", 1000))(t)
		_, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, vectors.Unhex(t, v.RootKey))})
		if err == nil || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%s: %v, want %v", name, err, tc.is)
		}
		if p, ok := errors.AsType[*kms.Problem](err); ok != (tc.is != nil) || ok && p.Record != "ring" && p.Record != domain {
			t.Errorf("%s: %v is the problem %v", name, err, p)
		}
		if after := must(store.List(t.Context(), "", "", 1000))(t); len(after) != len(before) {
			t.Errorf("%s: %d items became %d", name, len(before), len(after))
		}
	}
}

// TestDamagedRecords: each damaged record is an error for who needs it, and for nobody else.
func TestDamagedRecords(t *testing.T) {
	v := readFrozen(t)
	arn := v.Ciphertexts[0].KeyARN
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	for _, item := range v.Items {
		kind, _, _ := strings.Cut(item.Name, "/")
		if kind == "ring" || kind == "domain" {
			continue
		}
		store := v.store(t)
		value := vectors.Unhex(t, item.Value)
		value[len(value)/2] ^= 0x10
		put(t, store, item.Name, value)
		ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, vectors.Unhex(t, v.RootKey)), Now: func() time.Time { return epoch.Add(time.Hour) }}))(t)
		var failed []string
		for i, c := range v.Ciphertexts {
			if _, err := ring.Decrypt(t.Context(), vectors.Unhex(t, c.Ciphertext), c.Context); err != nil {
				if !errors.Is(err, kms.ErrInternal) {
					t.Errorf("%s: %v", item.Name, err)
				}
				failed = append(failed, v.Ciphertexts[i].KeyMaterialID)
			}
		}
		want := 0
		switch {
		case item.Name == "key/"+id:
			want = 9
		case strings.HasPrefix(item.Name, "ver/"+id):
			want = 3
		}
		if len(failed) != want {
			t.Errorf("%s damaged: %d ciphertexts do not decrypt, want %d", item.Name, len(failed), want)
		}
		check(t, ring.Close())
	}
}

// TestARingThatMustExistIsNotMade: a store that is empty where a ring is expected is not filled with another one.
func TestARingThatMustExistIsNotMade(t *testing.T) {
	for name, change := range map[string]func(*kms.Config){
		"pinned":     func(c *kms.Config) { c.RingID = strings.Repeat("0", 32) },
		"must exist": func(c *kms.Config) { c.MustExist = true },
	} {
		cfg := kms.Config{Store: memory.New(), Root: newGCMRoot(t, gcmKey(1))}
		change(&cfg)
		if _, err := kms.Open(t.Context(), cfg); !errors.Is(err, kms.ErrNoRing) {
			t.Errorf("%s: %v, want ErrNoRing", name, err)
		}
		if items := must(cfg.Store.List(t.Context(), "", "", 10))(t); len(items) != 0 {
			t.Errorf("%s: the store holds %d items", name, len(items))
		}
	}
	cfg := kms.Config{Store: memory.New(), Root: newGCMRoot(t, gcmKey(1))}
	put(t, cfg.Store, "other", []byte("x"))
	cfg.MustExist = true
	if _, err := kms.Open(t.Context(), cfg); err == nil || errors.Is(err, kms.ErrNoRing) {
		t.Errorf("a store of something else: %v, want another error than ErrNoRing", err)
	}
	remove(t, cfg.Store, "other")
	cfg.MustExist = false
	check(t, must(kms.Open(t.Context(), cfg))(t).Close())
	cfg.MustExist = true
	check(t, must(kms.Open(t.Context(), cfg))(t).Close())
}

// TestAPartitionIsKept: the ARNs of a ring do not change with the Config.
func TestAPartitionIsKept(t *testing.T) {
	cfg := kms.Config{Store: memory.New(), Root: newGCMRoot(t, gcmKey(1)), Partition: "aws-cn", Region: "cn-north-1", AccountID: "111122223333"}
	ring := must(kms.Open(t.Context(), cfg))(t)
	key := must(ring.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	check(t, ring.Close())
	cfg.Partition, cfg.Region, cfg.AccountID = "", "", ""
	ring = must(kms.Open(t.Context(), cfg))(t)
	defer ring.Close()
	if got := ring.Partition() + " " + ring.Region() + " " + ring.AccountID(); got != "aws-cn cn-north-1 111122223333" {
		t.Errorf("%s", got)
	}
	if got := must(ring.DescribeKey(t.Context(), key.ARN))(t); got.ARN != key.ARN || !strings.HasPrefix(got.ARN, "arn:aws-cn:kms:cn-north-1:") {
		t.Errorf("%s became %s", key.ARN, got.ARN)
	}
}

// TestManyOpenAnEmptyStore: one makes the ring, the others find it.
func TestManyOpenAnEmptyStore(t *testing.T) {
	store := memory.New()
	var mu sync.Mutex
	ids := map[string]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			ring, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(1))})
			if err != nil {
				t.Error(err)
				return
			}
			defer ring.Close()
			mu.Lock()
			defer mu.Unlock()
			ids[ring.ID()] = true
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("%d rings", len(ids))
	}
}

// TestARingOfTheSameRootIsAnotherRing: records of one ring do not open in another, though the root key is the same, and the pin tells them apart.
func TestARingOfTheSameRootIsAnotherRing(t *testing.T) {
	root := newGCMRoot(t, gcmKey(1))
	a, b := memory.New(), memory.New()
	ringA := must(kms.Open(t.Context(), kms.Config{Store: a, Root: root}))(t)
	ringB := must(kms.Open(t.Context(), kms.Config{Store: b, Root: root}))(t)
	defer ringA.Close()
	defer ringB.Close()
	key := must(ringA.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	for _, item := range must(a.List(t.Context(), "", "", 100))(t) {
		if item.Name != "ring" {
			put(t, b, item.Name, item.Value)
		}
	}
	_, err := ringB.DescribeKey(t.Context(), key.KeyID)
	wantCode(t, err, kms.ErrInternal)
	if _, err := hex.DecodeString(ringA.ID()); err != nil || len(ringA.ID()) != 32 || ringA.ID() == ringB.ID() {
		t.Errorf("ids %s and %s", ringA.ID(), ringB.ID())
	}
}
