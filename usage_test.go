package kms_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
)

// TestUnusedKeys: a key that was used lately cannot be taken out of use where its policy says so, and the days count on across processes.
func TestUnusedKeys(t *testing.T) {
	text := strings.Replace(everyone, `]}`, `,{"Effect":"Deny","Principal":"*","Action":["kms:DisableKey","kms:ScheduleKeyDeletion"],"Resource":"*",
		"Condition":{"NumericLessThan":{"kms:TrailingDaysWithoutKeyUsage":"30"}}}]}`, 1)
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: text}))(t)
	other := open(t, func(c *kms.Config) { c.Store, c.Now = f.store, f.clock.now })
	disable := func(f *fixture, allowed bool) {
		t.Helper()
		if err := f.DryRun().DisableKey(t.Context(), key.ARN); errors.Is(err, kms.ErrDryRun) != allowed {
			t.Errorf("on %v: %v", f.clock.now(), err)
		}
	}
	other.clock = f.clock
	disable(f, false) // made today
	f.clock.advance(30 * kms.Day)
	disable(f, true)
	check(t, use(t, f.As(kms.Root()), key.ARN, nil))
	disable(f, false)
	disable(other, true) // which does not know yet
	writeDown(t, f)
	disable(other, false)
	f.clock.advance(29*kms.Day + 23*time.Hour)
	disable(f, false)
	disable(other, false)
	f.clock.advance(time.Hour)
	disable(f, true)
	disable(other, true)
	check(t, use(t, other.As(kms.Root()), key.ARN, nil))
	disable(f, true)
	check(t, other.Close()) // which writes down what it has noted
	disable(f, false)
	third := open(t, func(c *kms.Config) { c.Store, c.Now = f.store, f.clock.now })
	third.clock = f.clock
	disable(third, false)
	_, err := f.DryRun().ScheduleKeyDeletion(t.Context(), key.ARN, 7)
	wantCode(t, err, kms.ErrAccessDenied)
	if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
		t.Error(p)
	}
}

// TestUnusedGrants: who looks who can use a key sees which grants nobody has used.
func TestUnusedGrants(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	var ids []string
	for _, name := range []string{"alice", "bob"} {
		ids = append(ids, must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, name), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t).GrantID)
	}
	f.clock.advance(3 * kms.Day)
	used := func(f *fixture) map[string]time.Time {
		at := map[string]time.Time{}
		for _, g := range must(f.WhoCan(t.Context(), key.ARN, "Encrypt"))(t).Grants {
			at[g.GrantID] = g.LastUsed
		}
		return at
	}
	wantCode(t, use(t, f.As(kms.User("carol")), key.ARN, nil), kms.ErrAccessDenied)
	if at := used(f); len(at) != 2 || !at[ids[0]].IsZero() || !at[ids[1]].IsZero() {
		t.Errorf("before: %v", at)
	}
	check(t, use(t, f.As(kms.User("alice")), key.ARN, nil))
	writeDown(t, f)
	fresh := open(t, func(c *kms.Config) { c.Store = f.store })
	for _, ring := range []*fixture{f, fresh} {
		if at := used(ring); !at[ids[0]].Equal(f.clock.now()) || !at[ids[1]].IsZero() {
			t.Errorf("after: %v", at)
		}
	}
	check(t, f.RevokeGrant(t.Context(), key.ARN, ids[0]))
	for _, item := range must(f.store.List(t.Context(), "used/", "", 10))(t) {
		if strings.HasSuffix(item.Name, ids[0]) {
			t.Errorf("%s is left of a grant that is gone", item.Name)
		}
	}
}

// writeDown lets a ring write down what was used. Its clock was moved, so that it destroys nothing and says so.
func writeDown(t *testing.T, f *fixture) {
	t.Helper()
	if _, err := f.Maintain(t.Context()); !errors.Is(err, kms.ErrClock) {
		t.Error(err)
	}
}
