package kms_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore/memory"
)

const objectstore = "objectstore.amazonaws.com"

// TestServiceKey: a service managed key is used by the principals of the account through its service only, is seen by them, and changed by nobody.
func TestServiceKey(t *testing.T) {
	f := open(t, withIdentities(people(t, map[string][]string{userARN(owner, "alice"): nil, userARN(owner, "admin"): {allowing("kms:*")}, userARN(foreign, "far"): {allowing("kms:*")}})))
	key := must(f.ServiceKey(t.Context(), objectstore))(t)
	again := must(f.ServiceKey(t.Context(), objectstore))(t)
	if key.KeyManager != kms.ManagerAWS || again.ARN != key.ARN || key.KeyState != kms.Enabled {
		t.Errorf("%+v, then %+v", key, again)
	}
	const alias = "alias/aws/objectstore"
	alice, far := kms.User("alice"), kms.User("far").InAccount(foreign)
	out := must(f.As(alice.Via(objectstore)).Encrypt(t.Context(), alias, []byte("x"), nil))(t)
	must(f.As(alice.Via(objectstore)).Decrypt(t.Context(), out.Ciphertext, nil))(t)
	for _, who := range []kms.Caller{alice, kms.Root(), kms.User("admin"), alice.Via("other.amazonaws.com"), alice.Via(objectstore).Via("other.amazonaws.com"), kms.Service(objectstore),
		far.Via(objectstore), far} {
		wantCode(t, use(t, f.As(who), key.ARN, nil), kms.ErrAccessDenied)
	}
	for name, try := range map[string]func(c *kms.Client) error{
		"PutKeyPolicy": func(c *kms.Client) error {
			return c.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: everyone, BypassPolicyLockoutSafetyCheck: true})
		},
		"DisableKey":           func(c *kms.Client) error { return c.DisableKey(t.Context(), key.ARN) },
		"EnableKey":            func(c *kms.Client) error { return c.EnableKey(t.Context(), key.ARN) },
		"TagResource":          func(c *kms.Client) error { return c.TagResource(t.Context(), key.ARN, kms.Tag{Key: "a"}) },
		"UpdateKeyDescription": func(c *kms.Client) error { return c.UpdateKeyDescription(t.Context(), key.ARN, "") },
		"DisableKeyRotation":   func(c *kms.Client) error { return c.DisableKeyRotation(t.Context(), key.ARN) },
		"EnableKeyRotation":    func(c *kms.Client) error { return c.EnableKeyRotation(t.Context(), key.ARN, 0) },
		"CreateAlias":          func(c *kms.Client) error { return c.CreateAlias(t.Context(), "alias/mine", key.ARN) },
		"CreateGrant": func(c *kms.Client) error {
			_, err := c.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantDecrypt}})
			return err
		},
		"ScheduleKeyDeletion": func(c *kms.Client) error { _, err := c.ScheduleKeyDeletion(t.Context(), key.ARN, 7); return err },
		"RotateKeyOnDemand":   func(c *kms.Client) error { _, err := c.RotateKeyOnDemand(t.Context(), key.ARN); return err },
	} {
		for _, who := range []kms.Caller{kms.Root(), kms.User("admin"), kms.User("admin").Via(objectstore)} {
			if err := try(f.As(who)); !errors.Is(err, kms.ErrAccessDenied) {
				t.Errorf("%s by %v: %v", name, who, err)
			}
		}
	}
	wantCode(t, f.DeleteAlias(t.Context(), alias), kms.ErrInvalidAliasName)
	wantCode(t, f.UpdateAlias(t.Context(), alias, f.create().ARN), kms.ErrInvalidAliasName)

	// It is seen, and says who manages it.
	if meta := must(f.DescribeKey(t.Context(), alias))(t); meta.ARN != key.ARN || meta.KeyManager != kms.ManagerAWS {
		t.Errorf("%+v", meta)
	}
	if text := must(f.GetKeyPolicy(t.Context(), key.ARN))(t); !strings.Contains(text, "objectstore.eu-central-1.amazonaws.com") {
		t.Error(text)
	}
	if s := must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t); !s.KeyRotationEnabled || s.RotationPeriod != 365*kms.Day {
		t.Errorf("%+v", s)
	}
	if keys := all(t, f.ListKeys(t.Context())); len(keys) != 2 {
		t.Errorf("%d keys listed", len(keys))
	}
	f.clock.advance(366 * kms.Day)
	now := must(f.As(alice.Via(objectstore)).Encrypt(t.Context(), alias, []byte("x"), nil))(t)
	if old := must(f.As(alice.Via(objectstore)).Decrypt(t.Context(), out.Ciphertext, nil))(t); old.KeyMaterialID == must(f.As(alice.Via(objectstore)).Decrypt(t.Context(), now.Ciphertext, nil))(t).KeyMaterialID {
		t.Error("it did not rotate in a year")
	}

	var made []*audit.Event
	for _, e := range f.trail.Events() {
		if e.Type == audit.ServiceEvent && e.Name == "CreateKey" {
			made = append(made, e)
		}
	}
	if len(made) != 1 || made[0].Resources[0].ARN != key.ARN {
		t.Errorf("%d events of its creation", len(made))
	}
	for _, name := range []string{"", "objectstore", "Object.amazonaws.com", "*.amazonaws.com"} {
		if _, err := f.ServiceKey(t.Context(), name); !errors.Is(err, kms.ErrValidation) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := f.ServiceKey(t.Context(), "objectstore.example.org"); !errors.Is(err, kms.ErrAlreadyExists) {
		t.Errorf("another service of the same alias: %v", err)
	}
}

// TestServiceKeyIsMadeOnce: however many ask for it first, in whichever process.
func TestServiceKeyIsMadeOnce(t *testing.T) {
	store := memory.New()
	one := open(t, func(c *kms.Config) { c.Store = store })
	two := open(t, func(c *kms.Config) { c.Store = store })
	arns := make([]string, 16)
	var wg sync.WaitGroup
	for i := range arns {
		wg.Go(func() {
			ring := []*fixture{one, two}[i%2]
			key, err := ring.ServiceKey(t.Context(), objectstore)
			if err != nil {
				t.Error(err)
			}
			arns[i] = key.ARN
		})
	}
	wg.Wait()
	for _, arn := range arns {
		if arn != arns[0] {
			t.Errorf("%s and %s", arn, arns[0])
		}
	}
	if p := must(one.Check(t.Context()))(t); len(p.Problems) != 0 || p.Keys != 1 {
		t.Errorf("%+v", p)
	}
}

// TestOwnedKeys: what the ring itself seals with is in no list, and nobody can use it.
func TestOwnedKeys(t *testing.T) {
	f := open(t)
	key := f.create()
	found := 0
	for _, item := range must(f.store.List(t.Context(), "domain/", "", 10))(t) {
		found++
		id := strings.TrimPrefix(item.Name, "domain/")
		uuid := id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[:4] + "-" + id[4:16]
		for _, ref := range []string{id, uuid, "domain/" + id, strings.Replace(key.ARN, "key/", "domain/", 1), "alias/aws/claviger"} {
			if _, err := f.Encrypt(t.Context(), ref, []byte("x"), nil); !errors.Is(err, kms.ErrNotFound) && !errors.Is(err, kms.ErrInvalidArn) {
				t.Errorf("%s: %v", ref, err)
			}
		}
	}
	if found != 1 || len(all(t, f.ListKeys(t.Context()))) != 1 {
		t.Errorf("%d domain keys, %d keys listed", found, len(all(t, f.ListKeys(t.Context()))))
	}
}
