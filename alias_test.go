package kms_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
)

func TestAliases(t *testing.T) {
	f := open(t)
	a, b := f.create(), f.create()
	check(t, f.CreateAlias(t.Context(), "alias/app/orders", a.KeyID))
	f.clock.advance(time.Minute)
	out := must(f.Encrypt(t.Context(), "alias/app/orders", []byte("old"), nil))(t)
	wantCode(t, f.CreateAlias(t.Context(), "alias/app/orders", b.KeyID), kms.ErrAlreadyExists)
	check(t, f.UpdateAlias(t.Context(), "alias/app/orders", b.ARN))
	if meta := must(f.DescribeKey(t.Context(), "alias/app/orders"))(t); meta.KeyID != b.KeyID {
		t.Errorf("the alias points to %s, want %s", meta.KeyID, b.KeyID)
	}
	want := []kms.AliasListEntry{{AliasName: "alias/app/orders", AliasARN: "arn:aws:kms:eu-central-1:111122223333:alias/app/orders", TargetKeyID: b.KeyID,
		CreationDate: epoch, LastUpdatedDate: epoch.Add(time.Minute)}}
	if diff := cmp.Diff(want, all(t, f.ListAliases(t.Context(), ""))); diff != "" {
		t.Errorf("ListAliases (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, all(t, f.ListAliases(t.Context(), b.ARN))); diff != "" {
		t.Errorf("ListAliases of the key (-want +got):\n%s", diff)
	}
	if got := all(t, f.ListAliases(t.Context(), a.KeyID)); len(got) != 0 {
		t.Errorf("the old key has aliases %v", got)
	}
	// What was encrypted before stays readable, by the key that the ciphertext names.
	if got := must(f.Decrypt(t.Context(), out.Ciphertext, nil))(t); string(got.Plaintext) != "old" || got.KeyARN != a.ARN {
		t.Errorf("%+v", got)
	}
	_, err := f.Decrypt(t.Context(), out.Ciphertext, nil, kms.WithKey("alias/app/orders"))
	wantCode(t, err, kms.ErrIncorrectKey)

	check(t, f.UpdateAlias(t.Context(), "alias/app/orders", b.ARN)) // to where it is
	check(t, f.DeleteAlias(t.Context(), "alias/app/orders"))
	_, err = f.DescribeKey(t.Context(), "alias/app/orders")
	wantCode(t, err, kms.ErrNotFound)
	wantCode(t, f.DeleteAlias(t.Context(), "alias/app/orders"), kms.ErrNotFound)
	wantCode(t, f.UpdateAlias(t.Context(), "alias/app/orders", a.ARN), kms.ErrNotFound)
	check(t, f.CreateAlias(t.Context(), "alias/app/orders", a.ARN))
	must(f.DescribeKey(t.Context(), a.ARN))(t)
}

func TestAliasNames(t *testing.T) {
	f := open(t)
	key := f.create()
	for name, want := range map[string]kms.Code{
		"alias/a":                           "",
		"alias/A/b_c-0//":                   "",
		"alias/" + strings.Repeat("x", 250): "",
		"alias/" + strings.Repeat("x", 251): kms.ErrValidation,
		"":                                  kms.ErrValidation,
		"alias/":                            kms.ErrValidation,
		"orders":                            kms.ErrValidation,
		"Alias/orders":                      kms.ErrValidation,
		"alias/a:b":                         kms.ErrValidation,
		"alias/a b":                         kms.ErrValidation,
		"alias/ä":                           kms.ErrValidation,
		"alias/a\x00":                       kms.ErrValidation,
		"alias/aws/s3":                      kms.ErrInvalidAliasName,
		"alias/awsome":                      "",
	} {
		wantCode(t, f.CreateAlias(t.Context(), name, key.ARN), want)
	}
	for name, want := range map[string]string{
		"alias/a:b": "alias/a:b contains invalid characters for an alias",
		"alias/a b": "1 validation error detected: Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
	} {
		if err := f.CreateAlias(t.Context(), name, key.ARN); err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantCode(t, f.CreateAlias(t.Context(), "alias/x", ""), kms.ErrValidation)
	wantCode(t, f.CreateAlias(t.Context(), "alias/x", "alias/a"), kms.ErrNotFound)
	if got := all(t, f.ListAliases(t.Context(), "")); len(got) != 4 {
		t.Errorf("%d aliases: %v", len(got), got)
	}
}

func TestAKeyHasFiftyAliases(t *testing.T) {
	f := open(t)
	key, other := f.create(), f.create()
	for i := range 50 {
		check(t, f.CreateAlias(t.Context(), fmt.Sprintf("alias/%d", i), key.ARN))
	}
	wantCode(t, f.CreateAlias(t.Context(), "alias/more", key.ARN), kms.ErrLimitExceeded)
	check(t, f.CreateAlias(t.Context(), "alias/more", other.ARN))
	wantCode(t, f.UpdateAlias(t.Context(), "alias/more", key.ARN), kms.ErrLimitExceeded)
	check(t, f.UpdateAlias(t.Context(), "alias/7", key.ARN))
	if got := all(t, f.ListAliases(t.Context(), key.ARN)); len(got) != 50 {
		t.Errorf("%d aliases", len(got))
	}
	page := must(f.ListAliasesPage(t.Context(), key.ARN, kms.PageInput{Limit: 20}))(t)
	next := must(f.ListAliasesPage(t.Context(), key.ARN, kms.PageInput{Limit: 100, Marker: page.NextMarker}))(t)
	if len(page.Entries) != 20 || len(next.Entries) != 30 || next.Truncated {
		t.Errorf("%d and %d aliases", len(page.Entries), len(next.Entries))
	}
}

func TestAliasOfAKeyPendingDeletion(t *testing.T) {
	f := open(t)
	dying, alive := f.create(), f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", dying.ARN))
	check(t, f.CreateAlias(t.Context(), "alias/b", alive.ARN))
	must(f.ScheduleKeyDeletion(t.Context(), dying.ARN, 7))(t)
	wantCode(t, f.CreateAlias(t.Context(), "alias/c", dying.ARN), kms.ErrInvalidState)
	wantCode(t, f.UpdateAlias(t.Context(), "alias/b", dying.ARN), kms.ErrInvalidState) // not towards it
	check(t, f.UpdateAlias(t.Context(), "alias/a", alive.ARN))                         // but away from it
	must(f.Encrypt(t.Context(), "alias/a", []byte("x"), nil))(t)
}

// TestAliasPermissions: an alias operation needs the permission on the alias, which a key policy cannot give, and on every key concerned.
func TestAliasPermissions(t *testing.T) {
	f := open(t)
	a, b := f.create(), f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", a.ARN))
	app := f.As(kms.Role("app")) // the keys' policies allow it everything
	wantCode(t, app.CreateAlias(t.Context(), "alias/x", a.ARN), kms.ErrAccessDenied)
	wantCode(t, app.UpdateAlias(t.Context(), "alias/a", b.ARN), kms.ErrAccessDenied)
	wantCode(t, app.DeleteAlias(t.Context(), "alias/a"), kms.ErrAccessDenied)
	for _, locked := range []string{a.ARN, b.ARN} {
		policy := strings.TrimSuffix(everyone, "]}") + `,{"Effect":"Deny","Principal":"*","Action":"kms:UpdateAlias","Resource":"*"}]}`
		check(t, f.PutKeyPolicy(t.Context(), locked, kms.PutKeyPolicyInput{Policy: policy}))
		wantCode(t, f.UpdateAlias(t.Context(), "alias/a", b.ARN), kms.ErrAccessDenied)
		check(t, f.PutKeyPolicy(t.Context(), locked, kms.PutKeyPolicyInput{Policy: everyone}))
	}
	check(t, f.UpdateAlias(t.Context(), "alias/a", b.ARN))
}

// TestRequestAlias: kms:RequestAlias is there only if the caller named an alias.
func TestRequestAlias(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: true, Policy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/app"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*",
		 "Condition":{"StringLike":{"kms:RequestAlias":"alias/app-*"}}}]}`}))(t)
	check(t, f.CreateAlias(t.Context(), "alias/app-1", key.ARN))
	check(t, f.CreateAlias(t.Context(), "alias/other", key.ARN))
	app := f.As(kms.Role("app"))
	var ciphertext []byte
	for ref, want := range map[string]kms.Code{
		"alias/app-1": "",
		"arn:aws:kms:eu-central-1:111122223333:alias/app-1": "",
		"alias/other": kms.ErrAccessDenied,
		key.ARN:       kms.ErrAccessDenied,
		key.KeyID:     kms.ErrAccessDenied,
	} {
		out, err := app.Encrypt(t.Context(), ref, []byte("x"), nil)
		if wantCode(t, err, want); err == nil {
			ciphertext = out.Ciphertext
		}
	}
	_, err := app.Decrypt(t.Context(), ciphertext, nil)
	wantCode(t, err, kms.ErrAccessDenied)
	must(app.Decrypt(t.Context(), ciphertext, nil, kms.WithKey("alias/app-1")))(t)
}

// TestMovedAliasIsListedOnce: an alias that another process has moved a moment ago is listed with its new key, and with no other.
func TestMovedAliasIsListedOnce(t *testing.T) {
	mover := open(t)
	f := open(t, func(c *kms.Config) { c.Store = mover.store })
	a, b := mover.create(), mover.create()
	check(t, mover.CreateAlias(t.Context(), "alias/x", a.ARN))
	for _, k := range []kms.KeyMetadata{a, b} { // now this ring knows them as they are
		must(f.DescribeKey(t.Context(), k.ARN))(t)
	}
	check(t, mover.UpdateAlias(t.Context(), "alias/x", b.ARN))
	if got := all(t, f.ListAliases(t.Context(), a.ARN)); len(got) != 0 {
		t.Errorf("of the key that had it: %+v", got)
	}
	if got := all(t, f.ListAliases(t.Context(), "")); len(got) != 1 || got[0].TargetKeyID != b.KeyID {
		t.Errorf("of the ring: %+v", got)
	}
}
