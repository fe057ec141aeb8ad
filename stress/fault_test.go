package stress_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A fault is what goes wrong with one call of a store.
type fault string

const (
	refused fault = "refused"           // the call fails and has no effect
	lost    fault = "lost"              // a commit is made, and its answer is lost
	undone  fault = "undone"            // a commit is not made, and its answer is lost
	silence fault = "lost, and silence" // a commit is made, its answer is lost, and the next call fails
	late    fault = "late"              // the answer of a commit is lost, and it is made after the next call
)

var errFault = errors.New("the store cannot be reached")

// A faultyStore lets one call go wrong.
type faultyStore struct {
	keystore.Store
	fault fault
	at    int // which call, from 1; none if 0

	mu      sync.Mutex
	calls   int
	commits map[int]bool // which calls were commits
	pending func()       // a commit that is made late
}

// next counts a call, and says whether it is the one that goes wrong.
func (s *faultyStore) next(isCommit bool) (hit, fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.commits[s.calls] = isCommit
	if s.at > 0 && s.calls > s.at+1 {
		s.flush()
	}
	return s.calls == s.at, s.calls == s.at && (!isCommit || s.fault == refused) || s.fault == silence && s.calls == s.at+1
}

// flush makes the commit that was to be made late.
func (s *faultyStore) flush() {
	if s.pending != nil {
		s.pending()
		s.pending = nil
	}
}

func (s *faultyStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if _, fails := s.next(false); fails {
		return keystore.Record{}, errFault
	}
	return s.Store.Get(ctx, name)
}

func (s *faultyStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if _, fails := s.next(false); fails {
		return nil, errFault
	}
	return s.Store.List(ctx, prefix, after, limit)
}

func (s *faultyStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	hit, fails := s.next(true)
	switch {
	case fails:
		return 0, errFault
	case !hit:
		return s.Store.Commit(ctx, changes)
	case s.fault == late:
		var copied []keystore.Change
		for _, ch := range changes {
			ch.Value = slices.Clone(ch.Value)
			copied = append(copied, ch)
		}
		s.pending = func() { _, _ = s.Store.Commit(context.Background(), copied) }
	case s.fault != undone:
		if _, err := s.Store.Commit(ctx, changes); err != nil {
			return 0, err
		}
	}
	return 0, keystore.ErrUnknown
}

// A script is a ring on which every operation that changes something is done once.
type script struct {
	ring     *kms.Keyring
	keys     [2]string
	grants   map[string]kms.CreateGrantResult // by name
	messages []scriptMessage
}

// grantee has of the script's keys what grants give.
var grantee = kms.User("grantee")

func (s *script) grant(ctx context.Context, key int, name string, in kms.CreateGrantInput) error {
	in.Name, in.GranteePrincipal, in.Operations = name, "arn:aws:iam::111122223333:user/grantee", []kms.GrantOperation{kms.GrantEncrypt}
	made, err := s.ring.CreateGrant(ctx, s.keys[key], in)
	if s.grants == nil {
		s.grants = map[string]kms.CreateGrantResult{}
	}
	s.grants[name] = made
	return err
}

func (s *script) encryptByGrant(ctx context.Context, key int) error {
	out, err := s.ring.As(grantee).WithGrantTokens(s.grants["first"].GrantToken).Encrypt(ctx, s.keys[key], []byte("message"), nil)
	if err == nil {
		s.messages = append(s.messages, scriptMessage{s.keys[key], out.Ciphertext})
	}
	return err
}

type scriptMessage struct {
	key        string
	ciphertext []byte
}

func (s *script) encrypt(key int) error {
	out, err := s.ring.Encrypt(context.Background(), s.keys[key], []byte("message"), nil)
	if err == nil {
		s.messages = append(s.messages, scriptMessage{s.keys[key], out.Ciphertext})
	}
	return err
}

func (s *script) create(key int) error {
	meta, err := s.ring.CreateKey(context.Background(), kms.CreateKeyInput{Description: "new", Tags: []kms.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "1"}}})
	s.keys[key] = meta.KeyID
	return err
}

func (s *script) maintain() error {
	_, err := s.ring.Maintain(context.Background())
	return err
}

// steps are the script. Time passes before each of them.
var steps = []struct {
	name  string
	after time.Duration
	do    func(ctx context.Context, s *script) error
}{
	{"CreateKey 0", 1, func(_ context.Context, s *script) error { return s.create(0) }},
	{"CreateKey 1", time.Second, func(_ context.Context, s *script) error { return s.create(1) }},
	{"CreateAlias", 1, func(ctx context.Context, s *script) error { return s.ring.CreateAlias(ctx, "alias/a", s.keys[0]) }},
	{"Encrypt", 1, func(_ context.Context, s *script) error { return s.encrypt(0) }},
	{"UpdateAlias", 1, func(ctx context.Context, s *script) error { return s.ring.UpdateAlias(ctx, "alias/a", s.keys[1]) }},
	{"CreateAlias", 1, func(ctx context.Context, s *script) error { return s.ring.CreateAlias(ctx, "alias/b", s.keys[1]) }},
	{"DeleteAlias", 1, func(ctx context.Context, s *script) error { return s.ring.DeleteAlias(ctx, "alias/a") }},
	{"TagResource", time.Minute, func(ctx context.Context, s *script) error {
		return s.ring.TagResource(ctx, s.keys[0], kms.Tag{Key: "a", Value: "2"}, kms.Tag{Key: "c"})
	}},
	{"UntagResource", 1, func(ctx context.Context, s *script) error { return s.ring.UntagResource(ctx, s.keys[0], "a", "b") }},
	{"UpdateKeyDescription", 1, func(ctx context.Context, s *script) error {
		return s.ring.UpdateKeyDescription(ctx, s.keys[0], "other")
	}},
	{"PutKeyPolicy", 1, func(ctx context.Context, s *script) error {
		p, err := s.ring.DefaultPolicy(nil, []kms.Caller{kms.Role("app")})
		return errors.Join(err, s.ring.PutKeyPolicy(ctx, s.keys[0], kms.PutKeyPolicyInput{Policy: p}))
	}},
	{"CreateGrant", 1, func(ctx context.Context, s *script) error { return s.grant(ctx, 0, "first", kms.CreateGrantInput{}) }},
	{"CreateGrant that somebody retires", 1, func(ctx context.Context, s *script) error {
		return s.grant(ctx, 0, "second", kms.CreateGrantInput{RetiringPrincipal: "arn:aws:iam::111122223333:user/retiring"})
	}},
	{"CreateGrant of a grant that there is", 1, func(ctx context.Context, s *script) error { return s.grant(ctx, 0, "first", kms.CreateGrantInput{}) }},
	{"CreateGrant on another key", 1, func(ctx context.Context, s *script) error {
		return s.grant(ctx, 1, "third", kms.CreateGrantInput{RetiringServicePrincipal: "logs.amazonaws.com"})
	}},
	{"Encrypt by a grant", 1, func(ctx context.Context, s *script) error { return s.encryptByGrant(ctx, 0) }},
	{"Encrypt by another grant", 1, func(ctx context.Context, s *script) error { return s.encryptByGrant(ctx, 1) }},
	{"Maintain, which writes down what was used", 1, func(_ context.Context, s *script) error { return s.maintain() }},
	{"RevokeGrant", 1, func(ctx context.Context, s *script) error {
		return s.ring.RevokeGrant(ctx, s.keys[0], s.grants["first"].GrantID)
	}},
	{"Encrypt by the grant that is left", 1, func(ctx context.Context, s *script) error { return s.encryptByGrant(ctx, 0) }},
	{"RetireGrant", 1, func(ctx context.Context, s *script) error {
		return s.ring.As(kms.User("retiring")).RetireGrant(ctx, kms.RetireGrantInput{GrantToken: s.grants["second"].GrantToken})
	}},
	{"Encrypt by no grant", 1, func(ctx context.Context, s *script) error {
		if err := s.encryptByGrant(ctx, 0); !errors.Is(err, kms.ErrAccessDenied) {
			return cmp.Or(err, errors.New("a grant that was taken away is used"))
		}
		return nil
	}},
	{"EnableKeyRotation", 1, func(ctx context.Context, s *script) error {
		return s.ring.EnableKeyRotation(ctx, s.keys[0], 90*kms.Day)
	}},
	{"RotateKeyOnDemand", 1, func(ctx context.Context, s *script) error {
		_, err := s.ring.RotateKeyOnDemand(ctx, s.keys[0])
		return err
	}},
	{"Encrypt", time.Minute, func(_ context.Context, s *script) error { return s.encrypt(0) }},
	{"DisableKey", 1, func(ctx context.Context, s *script) error { return s.ring.DisableKey(ctx, s.keys[1]) }},
	{"EnableKey", 1, func(ctx context.Context, s *script) error { return s.ring.EnableKey(ctx, s.keys[1]) }},
	{"ReEncrypt", 1, func(ctx context.Context, s *script) error {
		out, err := s.ring.ReEncrypt(ctx, s.messages[0].ciphertext, s.keys[1], kms.ReEncryptInput{})
		if err == nil {
			s.messages = append(s.messages, scriptMessage{s.keys[1], out.Ciphertext})
		}
		return err
	}},
	{"Encrypt with a rotation that is due", 90 * kms.Day, func(_ context.Context, s *script) error { return s.encrypt(0) }},
	{"Encrypt, after a rotation that may have failed", time.Minute, func(_ context.Context, s *script) error { return s.encrypt(0) }},
	{"Maintain, which rotates", 90 * kms.Day, func(_ context.Context, s *script) error { return s.maintain() }},
	{"DisableKeyRotation", 1, func(ctx context.Context, s *script) error { return s.ring.DisableKeyRotation(ctx, s.keys[0]) }},
	{"GenerateDataKey", time.Minute, func(ctx context.Context, s *script) error {
		d, err := s.ring.GenerateDataKey(ctx, s.keys[0], kms.AES256, nil)
		if err == nil {
			s.messages = append(s.messages, scriptMessage{s.keys[0], d.Ciphertext})
		}
		return err
	}},
	{"ScheduleKeyDeletion", 1, func(ctx context.Context, s *script) error {
		_, err := s.ring.ScheduleKeyDeletion(ctx, s.keys[1], 7)
		return err
	}},
	{"CancelKeyDeletion", 1, func(ctx context.Context, s *script) error {
		_, err := s.ring.CancelKeyDeletion(ctx, s.keys[1])
		return err
	}},
	{"EnableKey", 1, func(ctx context.Context, s *script) error { return s.ring.EnableKey(ctx, s.keys[1]) }},
	{"ScheduleKeyDeletion", time.Minute, func(ctx context.Context, s *script) error {
		_, err := s.ring.ScheduleKeyDeletion(ctx, s.keys[1], 7)
		return err
	}},
	{"Maintain, which marks", 8 * kms.Day, func(_ context.Context, s *script) error { return s.maintain() }},
	{"Maintain, which destroys", 2 * time.Hour, func(_ context.Context, s *script) error { return s.maintain() }},
	{"CreateAlias of a name that is free again", 1, func(ctx context.Context, s *script) error { return s.ring.CreateAlias(ctx, "alias/b", s.keys[0]) }},
}

// view is all that a ring on a store shows, but for what differs from run to run: keys go by the time when they were created.
func view(t *testing.T, store keystore.Store) string {
	t.Helper()
	ring := openRing(t, store)
	defer ring.Close()
	ctx := t.Context()
	var lines []string
	created := map[string]string{}
	for _, k := range must(collect(ring.ListKeys(ctx)))(t) {
		meta := must(ring.DescribeKey(ctx, k.KeyID))(t)
		created[k.KeyID] = meta.CreationDate.Format(time.TimeOnly)
		rotation := must(ring.GetKeyRotationStatus(ctx, k.KeyID))(t)
		var versions []string
		for _, v := range must(collect(ring.ListKeyRotations(ctx, k.KeyID, kms.ListKeyRotationsInput{AllKeyMaterial: true})))(t) {
			versions = append(versions, fmt.Sprint(v.RotationType, " ", v.KeyMaterialState))
			if (v.KeyMaterialID == meta.CurrentKeyMaterialID) != (v.KeyMaterialState == kms.MaterialCurrent) {
				t.Fatalf("%s: which material is current? %+v, %+v", k.KeyID, meta, v)
			}
		}
		var grants []string
		for _, g := range must(collect(ring.ListGrants(ctx, k.KeyID, kms.ListGrantsInput{})))(t) {
			grants = append(grants, fmt.Sprint(g.Name, " ", g.RetiringPrincipal, g.RetiringServicePrincipal))
		}
		lines = append(lines, fmt.Sprintf("key %s: grants %q", created[k.KeyID], sorted(grants)))
		lines = append(lines, fmt.Sprintf("key %s: %s %q until %v, tags %v, policy %d, rotation %v %v, versions %q", created[k.KeyID], meta.KeyState, meta.Description, meta.DeletionDate,
			must(collect(ring.ListResourceTags(ctx, k.KeyID)))(t), len(must(ring.GetKeyPolicy(ctx, k.KeyID))(t)), rotation.RotationPeriod, rotation.NextRotationDate, versions))
	}
	for _, a := range must(collect(ring.ListAliases(ctx, "")))(t) {
		if meta, err := ring.DescribeKey(ctx, a.AliasName); err != nil || meta.KeyID != a.TargetKeyID {
			t.Fatalf("%+v names %s, %v", a, meta.KeyID, err)
		}
		lines = append(lines, fmt.Sprintf("%s: %s", a.AliasName, created[a.TargetKeyID]))
	}
	return strings.Join(sorted(lines), "\n")
}

// clone copies what a store holds, so that looking at it changes nothing in it.
func clone(t *testing.T, store keystore.Store) keystore.Store {
	t.Helper()
	copied := memory.New()
	for _, item := range must(store.List(t.Context(), "", "", keystore.MaxListLimit))(t) {
		must(copied.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: item.Name, Value: item.Value}}))(t)
	}
	return copied
}

// whole looks at a store after a fault: once Maintain has done what is due, everything that belongs together is there, and nothing else, and the ring works.
func whole(t *testing.T, store keystore.Store, messages []scriptMessage) {
	t.Helper()
	ring := openRing(t, store)
	defer ring.Close()
	ctx := t.Context()
	for range 3 {
		time.Sleep(2 * time.Hour)
		must(ring.Maintain(ctx))(t)
	}
	if p := must(ring.Check(ctx))(t).Problems; len(p) != 0 {
		t.Errorf("Check: %v", p)
	}
	var want []string
	for _, a := range must(collect(ring.ListAliases(ctx, "")))(t) {
		want = append(want, a.AliasName)
	}
	retirable := 0
	living := map[string]bool{}
	for _, k := range must(collect(ring.ListKeys(ctx)))(t) {
		living[k.KeyID] = true
		want = append(want, "key/"+k.KeyID)
		for i, v := range must(collect(ring.ListKeyRotations(ctx, k.KeyID, kms.ListKeyRotationsInput{AllKeyMaterial: true})))(t) {
			want = append(want, "ver/"+k.KeyID+"/"+v.KeyMaterialID, fmt.Sprint("vidx/"+k.KeyID+"/", i))
		}
		for _, g := range must(collect(ring.ListGrants(ctx, k.KeyID, kms.ListGrantsInput{})))(t) {
			want = append(want, "grant/"+k.KeyID+"/"+g.GrantID)
			if g.RetiringPrincipal+g.RetiringServicePrincipal != "" {
				retirable++
			}
		}
		due := must(ring.DescribeKey(ctx, k.KeyID))(t).DeletionDate
		if status := must(ring.GetKeyRotationStatus(ctx, k.KeyID))(t); status.KeyRotationEnabled {
			due = status.NextRotationDate
		}
		if !due.IsZero() {
			want = append(want, "due/"+due.Format("20060102")+"/"+k.KeyID)
		}
	}
	var got []string
	counts := map[string]int{}
	for _, prefix := range []string{"alias/", "key/", "ver/", "vidx/", "due/", "grant/"} {
		for _, name := range names(t, store, prefix) {
			if key, _, _ := strings.Cut(strings.TrimPrefix(name, "vidx/"), "/"); prefix == "vidx/" { // how the number is written is not our matter
				name = fmt.Sprint("vidx/"+key+"/", counts[key])
				counts[key]++
			}
			got = append(got, name)
		}
	}
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("the store holds\n%s\nwant\n%s", strings.Join(sorted(got), "\n"), strings.Join(sorted(want), "\n"))
	}
	if n := len(names(t, store, "retire/")); n != retirable {
		t.Errorf("%d entries find grants by who retires them, want %d", n, retirable)
	}
	for _, name := range names(t, store, "used/") {
		if key, _, _ := strings.Cut(strings.TrimPrefix(name, "used/"), "/"); !living[key] {
			t.Errorf("%s is left of a key that is gone", name)
		}
	}
	for key := range living {
		if must(ring.DescribeKey(ctx, key))(t).KeyState == kms.PendingDeletion {
			must(ring.CancelKeyDeletion(ctx, key))(t)
		}
		check(t, ring.EnableKey(ctx, key))
		must(ring.RotateKeyOnDemand(ctx, key))(t)
		out := must(ring.Encrypt(ctx, key, []byte("message"), nil))(t)
		messages = append(slices.Clip(messages), scriptMessage{key, out.Ciphertext})
	}
	for _, m := range messages {
		if out, err := ring.Decrypt(ctx, m.ciphertext, nil); living[m.key] && err != nil {
			t.Errorf("lost: a message under %s: %v %q", m.key, err, out.Plaintext)
		}
	}
	key := must(ring.CreateKey(ctx, kms.CreateKeyInput{}))(t)
	check(t, ring.CreateAlias(ctx, "alias/new", key.KeyID))
}

// sensible requires that an error says what is known: that nothing happened, or that nobody knows.
func sensible(t *testing.T, f fault, err error) (unknown bool) {
	t.Helper()
	unknown = errors.Is(err, keystore.ErrUnknown)
	if !unknown && !errors.Is(err, errFault) || unknown && f == refused {
		t.Errorf("an error that does not say what happened: %v", err)
	}
	if e, ok := errors.AsType[*kms.Error](err); ok {
		if want := kms.ErrDependencyTimeout; !unknown && e.Code != want {
			t.Errorf("%v, want %s", err, want)
		}
		if unknown && (e.Code != kms.ErrInternal || !strings.Contains(e.Message, "outcome of the change is unknown")) {
			t.Errorf("%v does not say that the outcome is unknown", err)
		}
	}
	return unknown
}

// TestEveryFaultOfTheStore runs the script again and again, and lets each call of the store go wrong in each way.
func TestEveryFaultOfTheStore(t *testing.T) {
	t.Parallel()
	var before, after []string
	reference := &faultyStore{Store: memory.New(), commits: map[int]bool{}}
	synctest.Test(t, func(t *testing.T) {
		s := &script{ring: openRing(t, reference)}
		for _, step := range steps {
			time.Sleep(step.after)
			before = append(before, view(t, clone(t, reference.Store)))
			if err := step.do(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			after = append(after, view(t, clone(t, reference.Store)))
		}
	})
	tried, told, unknown := 0, 0, 0
	for n := 1; n <= reference.calls; n++ {
		for _, f := range []fault{refused, lost, undone, silence, late} {
			if !reference.commits[n] && f != refused {
				continue // of a read it does not matter when it failed
			}
			tried++
			synctest.Test(t, func(t *testing.T) {
				store := &faultyStore{Store: memory.New(), fault: f, at: n, commits: map[int]bool{}}
				s := new(script)
				at := "Open"
				defer func() {
					if t.Failed() {
						t.Logf("call %d of the store: %s, in %s", n, f, at)
					}
				}()
				ring, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newRoot(t), AccountID: "111122223333"})
				if err != nil {
					told++
					if sensible(t, f, err) {
						unknown++
					}
					store.flush()
					whole(t, store.Store, nil)
					return
				}
				defer ring.Close()
				s.ring = ring
				for i, step := range steps {
					time.Sleep(step.after)
					at = step.name
					err := step.do(t.Context(), s)
					if err == nil {
						continue
					}
					told++
					isUnknown := sensible(t, f, err)
					if isUnknown {
						unknown++
					}
					check(t, ring.Close())
					store.flush()
					switch got := view(t, store.Store); {
					case got == before[i]:
					case got != after[i]:
						t.Errorf("neither done nor not done:\n%s\nbefore:\n%s\nafter:\n%s", got, before[i], after[i])
					case !isUnknown && !errors.Is(err, kms.ErrClock) && !strings.HasPrefix(step.name, "Maintain"):
						t.Errorf("it says that nothing happened, but it did: %v", err)
					}
					whole(t, store.Store, s.messages)
					return
				}
				store.flush()
				if got, want := view(t, store.Store), after[len(after)-1]; got != want {
					t.Errorf("at the end:\n%s\nwant:\n%s", got, want)
				}
				whole(t, store.Store, s.messages)
			})
			if t.Failed() {
				return
			}
		}
	}
	if told == 0 || unknown == 0 || told == tried {
		t.Errorf("of %d faults %d were told, %d as unknown", tried, told, unknown)
	}
	t.Logf("%d calls of the store, %d faults tried: %d were told, %d of them as unknown, the others made good; lost: 0", reference.calls, tried, told, unknown)
}
