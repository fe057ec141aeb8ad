package kms_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// What a call was admitted to is what it does: nothing that changes between the one and the other may make a difference.

// TestAClientIsNoKeyring: nobody outside the package makes a Keyring of a Client, and so becomes somebody else.
func TestAClientIsNoKeyring(t *testing.T) {
	for field := range reflect.TypeFor[kms.Keyring]().Fields() {
		if field.IsExported() {
			t.Errorf("Keyring has the exported field %s", field.Name)
		}
	}
}

// TestNothingToChangeIsReadAnew: that there is nothing to change is not said of what another process may have changed since.
func TestNothingToChangeIsReadAnew(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, b, _, key := pair(t)
		tight := must(a.DefaultPolicy(nil, nil))(t)
		check(t, a.DisableKey(t.Context(), key.ARN))
		check(t, a.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: tight}))
		must(b.DescribeKey(t.Context(), key.ARN))(t) // b knows it like this
		check(t, a.EnableKey(t.Context(), key.ARN))
		check(t, a.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: everyone}))
		check(t, a.TagResource(t.Context(), key.ARN, kms.Tag{Key: "x"}))
		time.Sleep(time.Second)
		check(t, b.DisableKey(t.Context(), key.ARN))
		check(t, b.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: tight}))
		check(t, b.UntagResource(t.Context(), key.ARN, "x"))
		time.Sleep(time.Hour)
		if got := must(a.DescribeKey(t.Context(), key.ARN))(t); got.KeyState != kms.Disabled {
			t.Errorf("the key is %s", got.KeyState)
		}
		if got := must(a.GetKeyPolicy(t.Context(), key.ARN))(t); got != tight {
			t.Error("the policy is not the one that was put last")
		}
		if got := all(t, a.ListResourceTags(t.Context(), key.ARN)); len(got) != 0 {
			t.Errorf("tags %v", got)
		}
	})
}

// TestAnAliasIsTakenFromTheKeyThatWasAsked: who moves or deletes an alias needs the permission of the key that has it, not of one that had it.
func TestAnAliasIsTakenFromTheKeyThatWasAsked(t *testing.T) {
	for what, change := range map[string]func(f *fixture, to kms.KeyMetadata) error{
		"UpdateAlias": func(f *fixture, to kms.KeyMetadata) error { return f.UpdateAlias(f.t.Context(), "alias/a", to.KeyID) },
		"DeleteAlias": func(f *fixture, _ kms.KeyMetadata) error { return f.DeleteAlias(f.t.Context(), "alias/a") },
	} {
		t.Run(what, func(t *testing.T) {
			store := memory.New()
			a, b := open(t, func(c *kms.Config) { c.Store = store }), open(t, func(c *kms.Config) { c.Store = store })
			was, is, to := a.create(), a.create(), a.create()
			check(t, a.CreateAlias(t.Context(), "alias/a", was.KeyID))
			must(a.DescribeKey(t.Context(), "alias/a"))(t)
			check(t, b.UpdateAlias(t.Context(), "alias/a", is.KeyID))
			locked := strings.TrimSuffix(everyone, "]}") + `,{"Effect":"Deny","Principal":"*","Action":["kms:UpdateAlias","kms:DeleteAlias"],"Resource":"*"}]}`
			check(t, b.PutKeyPolicy(t.Context(), is.KeyID, kms.PutKeyPolicyInput{Policy: locked}))
			wantCode(t, change(a, to), kms.ErrAccessDenied)
			fresh := open(t, func(c *kms.Config) { c.Store = store })
			if got := must(fresh.DescribeKey(t.Context(), "alias/a"))(t); got.KeyID != is.KeyID {
				t.Errorf("the alias points to %s", got.KeyID)
			}
			for _, key := range []kms.KeyMetadata{was, to} {
				if got := all(t, fresh.ListAliases(t.Context(), key.KeyID)); len(got) != 0 {
					t.Errorf("a key that has no alias lists %v", got)
				}
			}
		})
	}
}

// TestAnAliasHasOneKey: a key whose waiting period is over gives its alias up for good, also if another process does not believe that it is over.
func TestAnAliasHasOneKey(t *testing.T) {
	f := open(t)
	slow := open(t, func(c *kms.Config) { c.Store = f.store }) // its clock stands
	dying := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", dying.ARN))
	must(f.ScheduleKeyDeletion(t.Context(), dying.ARN, 7))(t)
	f.clock.advance(8 * kms.Day)
	next := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", next.ARN))
	must(slow.CancelKeyDeletion(t.Context(), dying.ARN))(t)
	for _, ring := range []*fixture{f, slow, open(t, func(c *kms.Config) { c.Store = f.store })} {
		if got := must(ring.DescribeKey(t.Context(), "alias/a"))(t); got.KeyID != next.KeyID {
			t.Errorf("the alias points to %s, want %s", got.KeyID, next.KeyID)
		}
	}
	if got := all(t, slow.ListAliases(t.Context(), dying.KeyID)); len(got) != 0 {
		t.Errorf("the other key lists %v", got)
	}
}

// TestADueRotationAdmitsNobody: a change that is committed while a call makes a due rotation counts for that call.
func TestADueRotationAdmitsNobody(t *testing.T) {
	for what, tc := range map[string]struct {
		meanwhile func(f *fixture, key kms.KeyMetadata) error
		call      func(f *fixture, key kms.KeyMetadata) error
		want      kms.Code
	}{
		"policy": {
			func(f *fixture, key kms.KeyMetadata) error {
				return f.PutKeyPolicy(f.t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: must(f.DefaultPolicy(nil, nil))(f.t)})
			},
			func(f *fixture, key kms.KeyMetadata) error {
				return f.As(kms.User("mallory")).PutKeyPolicy(f.t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: everyone + " "})
			}, kms.ErrAccessDenied,
		},
		"state": {
			func(f *fixture, key kms.KeyMetadata) error {
				_, err := f.ScheduleKeyDeletion(f.t.Context(), key.ARN, 7)
				return err
			},
			func(f *fixture, key kms.KeyMetadata) error { return f.EnableKey(f.t.Context(), key.ARN) }, kms.ErrInvalidState,
		},
	} {
		t.Run(what, func(t *testing.T) {
			store := &afterStore{Store: memory.New()}
			f := open(t, func(c *kms.Config) { c.Store = store })
			key := f.create()
			check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
			f.clock.advance(91 * kms.Day)
			store.after = func() { check(t, tc.meanwhile(f, key)) }
			wantCode(t, tc.call(f, key), tc.want)
		})
	}
}

// An afterStore calls a function once, after a commit and before anybody knows of it.
type afterStore struct {
	keystore.Store
	after func()
}

func (s *afterStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	revision, err := s.Store.Commit(ctx, changes)
	if f := s.after; f != nil {
		s.after = nil
		f()
	}
	return revision, err
}

// TestOneRotationForBothSidesOfReEncrypt: a key that is due rotates once, and what is encrypted is under the new material.
func TestOneRotationForBothSidesOfReEncrypt(t *testing.T) {
	f := open(t)
	key := f.create()
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	f.clock.advance(91 * kms.Day)
	f.trail.Reset()
	moved := must(f.ReEncrypt(t.Context(), out.Ciphertext, key.ARN, kms.ReEncryptInput{}))(t)
	if moved.SourceKeyMaterialID == moved.DestinationKeyMaterialID {
		t.Error("encrypted under the old material")
	}
	if got := names(f.trail.Events()); !slices.Equal(got, []string{"RotateKey", "ReEncrypt"}) {
		t.Errorf("events: %v", got)
	}
}

// A hookContext calls a function whenever it is asked whether it is over.
type hookContext struct {
	context.Context
	hook func()
}

func (c hookContext) Err() error            { c.hook(); return nil }
func (c hookContext) Done() <-chan struct{} { c.hook(); return nil }

// TestTheContextThatIsAuthorizedIsUsed: an encryption context that its owner changes during the call is used as it was at the beginning.
func TestTheContextThatIsAuthorizedIsUsed(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":"*","Action":["kms:Decrypt","kms:Encrypt"],"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:dept":"it"}}}]}`}))(t)
	hr := must(f.Encrypt(t.Context(), key.ARN, []byte("of hr"), kms.EncryptionContext{"dept": "hr"}))(t)
	for calls := range 12 {
		ring := open(t, func(c *kms.Config) { c.Store, c.Audit = f.store, f.trail })
		f.trail.Reset()
		ec, n := kms.EncryptionContext{"dept": "it"}, 0
		ctx := hookContext{t.Context(), func() {
			if n++; n > calls {
				ec["dept"] = "hr"
			}
		}}
		got, err := ring.As(kms.User("it")).Decrypt(ctx, hr.Ciphertext, ec)
		if wantCode(t, err, kms.ErrInvalidCiphertext); got.Plaintext != nil {
			t.Errorf("after %d calls: decrypted %q", calls, got.Plaintext)
		}
		for _, e := range f.trail.Events() {
			if text := string(e.AppendJSON(nil)); strings.Contains(text, `"hr"`) {
				t.Errorf("after %d calls: the record says %s", calls, text)
			}
		}
	}
}

// TestALateResultIsOfTheKeyThatIsAdmitted: the second look ahead of a late result is at the key that was used, at the time that it is by then.
func TestALateResultIsOfTheKeyThatIsAdmitted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var slow func()
		sink := audit.SinkFunc(func(context.Context, *audit.Event) error {
			if f := slow; f != nil {
				slow = nil
				f()
			}
			return nil
		})
		f := open(t, func(c *kms.Config) { c.Audit, c.Now = sink, nil })
		used, other := f.create(), f.create()
		check(t, f.CreateAlias(t.Context(), "alias/a", used.ARN))
		out := must(f.Encrypt(t.Context(), used.ARN, []byte("x"), nil))(t)
		slow = func() {
			check(t, f.UpdateAlias(t.Context(), "alias/a", other.ARN))
			check(t, f.DisableKey(t.Context(), used.ARN))
			time.Sleep(2 * time.Second)
		}
		if got, err := f.Decrypt(t.Context(), out.Ciphertext, nil, kms.WithKey("alias/a")); err == nil {
			t.Errorf("another key was looked at, and %q released", got.Plaintext)
		}

		until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":"*","Action":["kms:Encrypt","kms:TagResource"],"Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":%q}}}]}`, until)}))(t)
		app := f.As(kms.Role("app"))
		must(app.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		for what, call := range map[string]func() error{
			"a result": func() error { _, err := app.Encrypt(t.Context(), key.ARN, []byte("x"), nil); return err },
			"a change": func() error { return app.TagResource(t.Context(), key.ARN, kms.Tag{Key: "late"}) },
		} {
			slow = func() { time.Sleep(2 * time.Hour) }
			if wantCode(t, call(), kms.ErrAccessDenied); len(all(t, f.ListResourceTags(t.Context(), key.ARN))) != 0 {
				t.Errorf("%s: was made after the policy had ended", what)
			}
		}
	})
}

// TestAForkIsNoticed: two records of one generation cannot both be; a process that knows one refuses the other.
func TestAForkIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := memory.New()
		shared := func(c *kms.Config) { c.Store, c.Now = store, nil }
		a := open(t, shared)
		key := a.create()
		old := must(store.Get(t.Context(), "key/"+key.KeyID))(t)
		check(t, a.UpdateKeyDescription(t.Context(), key.ARN, "second generation"))
		put(t, store, old.Name, old.Value) // the store goes back, and another process goes on from there
		check(t, open(t, shared).DisableKey(t.Context(), key.ARN))
		time.Sleep(time.Minute)
		_, err := a.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
		wantCode(t, err, kms.ErrInternal)
	})
}

// TestADamagedIndexKeepsNothingFromBeingDone: records that decide nothing stand in nobody's way.
func TestADamagedIndexKeepsNothingFromBeingDone(t *testing.T) {
	f := open(t)
	key := f.create()
	damage := func(prefix string) {
		t.Helper()
		for _, item := range must(f.store.List(t.Context(), prefix, "", 100))(t) {
			put(t, f.store, item.Name, []byte("damaged"))
		}
	}
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	damage("due/")
	check(t, f.DisableKey(t.Context(), key.ARN))
	must(f.ScheduleKeyDeletion(t.Context(), key.ARN, 7))(t)
	damage("due/")
	must(f.CancelKeyDeletion(t.Context(), key.ARN))(t)

	check(t, f.CreateAlias(t.Context(), "alias/whole", key.ARN))
	check(t, f.CreateAlias(t.Context(), "alias/damaged", key.ARN))
	put(t, f.store, "alias/damaged", []byte("damaged"))
	other := f.create()
	put(t, f.store, "key/"+other.KeyID, []byte("damaged"))
	if got := all(t, f.ListAliases(t.Context(), "")); len(got) != 2 || got[0].AliasName != "alias/damaged" || got[0].TargetKeyID != "" || got[1].TargetKeyID != key.KeyID {
		t.Errorf("aliases: %+v", got)
	}
	if got := all(t, open(t, func(c *kms.Config) { c.Store = f.store }).ListKeys(t.Context())); len(got) != 2 {
		t.Errorf("keys: %+v", got)
	}
}

// TestLockoutIsJudgedForLater: the policy of a new key must let it be changed by a later call, which has not the tags of the one that creates it.
func TestLockoutIsJudgedForLater(t *testing.T) {
	f := open(t)
	for name, policy := range map[string]string{
		"allowed by a tag of the request": `{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/a":"b"}}}`,
		"denied by a tag of the key": `{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
			{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/a":"b"}}}`,
	} {
		_, err := f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[` + policy + `]}`, Tags: []kms.Tag{{Key: "a", Value: "b"}}})
		if wantCode(t, err, kms.ErrMalformedPolicy); err == nil {
			t.Errorf("%s: nobody can change the policy any more", name)
		}
	}
}

// TestARefusedRecordIsCorrected: where one of several sinks refuses the record of a success, the others learn that there was none.
func TestARefusedRecordIsCorrected(t *testing.T) {
	other, moody := new(audit.Memory), new(moodySink)
	f := open(t, func(c *kms.Config) { c.Audit = audit.Tee(other, moody) })
	key := f.create()
	other.Reset()
	moody.refuse("Encrypt")
	_, err := f.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	wantCode(t, err, kms.ErrInternal)
	if events := other.Events(); len(events) != 2 || events[0].ID() != events[1].ID() || events[1].ErrorCode != string(kms.ErrInternal) {
		t.Errorf("events: %v", names(events))
	}
}

// TestAPanicLeavesNothingBehind: a sink that panics leaves no plaintext in the caller's buffer.
func TestAPanicLeavesNothingBehind(t *testing.T) {
	broken := false
	f := open(t, func(c *kms.Config) {
		c.Audit = audit.SinkFunc(func(context.Context, *audit.Event) error {
			if broken {
				panic("the sink is broken")
			}
			return nil
		})
	})
	key := f.create()
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("secret"), nil))(t)
	buf := make([]byte, 0, 4096)
	func() {
		defer func() { _ = recover() }()
		broken = true
		_, _ = f.AppendDecrypt(t.Context(), buf, out.Ciphertext, nil)
	}()
	if strings.Contains(string(buf[:cap(buf)]), "secret") {
		t.Error("the plaintext is left in the buffer")
	}
}

// TestAnAEADKeepsItsKey: an AEAD that was made for an alias opens what it sealed, also after the alias has moved.
func TestAnAEADKeepsItsKey(t *testing.T) {
	f := open(t)
	key, other := f.create(), f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", key.ARN))
	a := f.AEAD("alias/a")
	sealed := must(a.EncryptWithContext(t.Context(), []byte("x"), nil))(t)
	check(t, f.UpdateAlias(t.Context(), "alias/a", other.ARN))
	if got := must(a.DecryptWithContext(t.Context(), sealed, nil))(t); string(got) != "x" {
		t.Errorf("%q", got)
	}
	if again := must(a.EncryptWithContext(t.Context(), []byte("y"), nil))(t); must(f.Decrypt(t.Context(), again, nil))(t).KeyARN != key.ARN {
		t.Error("it has gone on with another key")
	}
	_, err := f.AEAD("").EncryptWithContext(t.Context(), []byte("x"), nil)
	wantCode(t, err, kms.ErrValidation)
}

// TestACallersContextReachesNobodyElse: a context that blocks keeps its own caller waiting, and nobody else; and it does not reach the trail.
func TestACallersContextReachesNobodyElse(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := open(t, func(c *kms.Config) { c.Now = nil })
		key := f.create()
		time.Sleep(10 * time.Second) // the key is to be read anew
		release, n := make(chan bool), 0
		stuck := hookContext{context.Background(), func() {
			if n++; n == 2 {
				<-release
			}
		}}
		go func() { _, _ = f.As(kms.User("mallory")).Encrypt(stuck, key.ARN, []byte("x"), nil) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		must(f.Encrypt(ctx, key.ARN, []byte("x"), nil))(t)
		close(release)
		synctest.Wait()
	})
	refused := errors.New("over")
	f := open(t, func(c *kms.Config) {
		c.Audit = audit.SinkFunc(func(ctx context.Context, _ *audit.Event) error {
			if ctx.Err() != nil {
				return refused
			}
			return nil
		})
	})
	key, n := f.create(), 0
	over := overContext{t.Context(), &n}
	if _, err := f.Encrypt(over, key.ARN, []byte("x"), nil); errors.Is(err, refused) {
		t.Error("the sink was given a context that is over")
	}
}

// An overContext is over from the second time that it is asked.
type overContext struct {
	context.Context
	n *int
}

func (c overContext) Err() error {
	if *c.n++; *c.n > 1 {
		return context.Canceled
	}
	return nil
}
