package kms_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
)

func TestAutomaticRotation(t *testing.T) {
	f := open(t)
	key := f.create()
	first := must(f.Encrypt(t.Context(), key.ARN, []byte("first"), nil))(t)
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 100*kms.Day))
	status := must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t)
	want := kms.KeyRotationStatus{KeyARN: key.ARN, KeyRotationEnabled: true, RotationPeriod: 100 * kms.Day, NextRotationDate: epoch.Add(100 * kms.Day)}
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}

	f.clock.advance(100*kms.Day - time.Second)
	if need := must(f.NeedsReEncrypt(t.Context(), first.Ciphertext))(t); need {
		t.Error("rotated before it was time")
	}
	f.clock.advance(time.Second)
	f.trail.Reset()
	second := must(f.Encrypt(t.Context(), key.ARN, []byte("second"), nil))(t)
	events := f.trail.Events()
	if len(events) != 2 || events[0].Name != "RotateKey" || events[0].Type != audit.ServiceEvent || events[1].Name != "Encrypt" {
		t.Errorf("events: %v", names(events))
	}
	if need := must(f.NeedsReEncrypt(t.Context(), first.Ciphertext))(t); !need {
		t.Error("not rotated when it was time")
	}
	if got := must(f.Decrypt(t.Context(), second.Ciphertext, nil))(t); got.KeyMaterialID == key.CurrentKeyMaterialID {
		t.Error("the second message has the first material")
	}
	if got := must(f.Decrypt(t.Context(), first.Ciphertext, nil))(t); got.KeyMaterialID != key.CurrentKeyMaterialID || string(got.Plaintext) != "first" {
		t.Errorf("%+v", got)
	}

	// Periods that were missed become one rotation, and the schedule keeps its step.
	f.clock.advance(350 * kms.Day)
	status = must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t)
	if want := epoch.Add(500 * kms.Day); !status.NextRotationDate.Equal(want) {
		t.Errorf("next rotation %v, want %v", status.NextRotationDate, want)
	}
	rotations := all(t, f.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{}))
	if len(rotations) != 2 || !rotations[1].RotationDate.Equal(epoch.Add(450*kms.Day)) || rotations[1].KeyMaterialState != kms.MaterialCurrent {
		t.Errorf("rotations: %+v", rotations)
	}
	check(t, f.DisableKeyRotation(t.Context(), key.ARN))
	f.clock.advance(1000 * kms.Day)
	if got := must(f.DescribeKey(t.Context(), key.ARN))(t).CurrentKeyMaterialID; got != rotations[1].KeyMaterialID {
		t.Error("rotated although rotation is off")
	}
	if got := must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t); got != (kms.KeyRotationStatus{KeyARN: key.ARN}) {
		t.Errorf("status: %+v", got)
	}
}

func names(events []*audit.Event) (out []string) {
	for _, e := range events {
		out = append(out, strings.TrimSuffix(e.Name+" "+e.ErrorCode, " "))
	}
	return out
}

func TestRotationWaitsForTheKey(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	check(t, f.DisableKey(t.Context(), key.ARN))
	f.clock.advance(91 * kms.Day)
	if got := must(f.DescribeKey(t.Context(), key.ARN))(t).CurrentKeyMaterialID; got != key.CurrentKeyMaterialID {
		t.Error("a disabled key has rotated")
	}
	must(f.ScheduleKeyDeletion(t.Context(), key.ARN, 7))(t)
	if got := must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t); got.KeyRotationEnabled {
		t.Error("rotation is on while deletion is pending")
	}
	must(f.CancelKeyDeletion(t.Context(), key.ARN))(t)
	if got := must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t); !got.KeyRotationEnabled {
		t.Error("the setting is lost")
	}
	check(t, f.EnableKey(t.Context(), key.ARN))
	if got := must(f.DescribeKey(t.Context(), key.ARN))(t).CurrentKeyMaterialID; got == key.CurrentKeyMaterialID {
		t.Error("not rotated although it was time")
	}
}

func TestRotationPeriods(t *testing.T) {
	f := open(t)
	key := f.create()
	for period, want := range map[time.Duration]kms.Code{
		0: "", 90 * kms.Day: "", 2560 * kms.Day: "", 90*kms.Day - 1: kms.ErrValidation, 2560*kms.Day + 1: kms.ErrValidation, 100*kms.Day + 12*time.Hour: kms.ErrValidation, 365: kms.ErrValidation, -kms.Day: kms.ErrValidation, time.Hour: kms.ErrValidation,
	} {
		wantCode(t, f.EnableKeyRotation(t.Context(), key.ARN, period), want)
	}
	short := open(t, func(c *kms.Config) { c.MinRotationPeriod = time.Hour })
	key = short.create()
	wantCode(t, short.EnableKeyRotation(t.Context(), key.ARN, time.Hour-1), kms.ErrValidation)
	check(t, short.EnableKeyRotation(t.Context(), key.ARN, time.Hour))
	// The same period again leaves the schedule, another one begins it anew.
	short.clock.advance(30 * time.Minute)
	check(t, short.EnableKeyRotation(t.Context(), key.ARN, time.Hour))
	if got := must(short.GetKeyRotationStatus(t.Context(), key.ARN))(t).NextRotationDate; !got.Equal(epoch.Add(time.Hour)) {
		t.Errorf("next %v", got)
	}
	check(t, short.EnableKeyRotation(t.Context(), key.ARN, 2*time.Hour))
	if got := must(short.GetKeyRotationStatus(t.Context(), key.ARN))(t).NextRotationDate; !got.Equal(epoch.Add(150 * time.Minute)) {
		t.Errorf("next %v", got)
	}
	_, err := kms.Open(t.Context(), kms.Config{MinRotationPeriod: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "MinRotationPeriod") {
		t.Errorf("%v", err)
	}
}

func TestRotationOnDemand(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	var ciphertexts [][]byte
	for i := range 26 {
		ciphertexts = append(ciphertexts, must(f.Encrypt(t.Context(), key.ARN, []byte{byte(i)}, nil))(t).Ciphertext)
		arn, err := f.RotateKeyOnDemand(t.Context(), key.ARN)
		if i < 25 && (err != nil || arn != key.ARN) {
			t.Fatalf("rotation %d: %v", i, err)
		}
		if i == 25 {
			wantCode(t, err, kms.ErrLimitExceeded)
		}
	}
	for i, c := range ciphertexts {
		if got := must(f.Decrypt(t.Context(), c, nil))(t); got.Plaintext[0] != byte(i) {
			t.Errorf("message %d: %v", i, got.Plaintext)
		}
	}
	// The schedule has not moved.
	if got := must(f.GetKeyRotationStatus(t.Context(), key.ARN))(t).NextRotationDate; !got.Equal(epoch.Add(90 * kms.Day)) {
		t.Errorf("next %v", got)
	}
	versions := all(t, f.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{AllKeyMaterial: true}))
	if len(versions) != 26 || versions[0].RotationType != "" || !versions[0].RotationDate.IsZero() || versions[0].KeyMaterialID != key.CurrentKeyMaterialID ||
		versions[25].RotationType != kms.RotationOnDemand || versions[25].KeyMaterialState != kms.MaterialCurrent || versions[24].KeyMaterialState != kms.MaterialNonCurrent {
		t.Errorf("%d versions: %+v ... %+v", len(versions), versions[0], versions[len(versions)-1])
	}
	if got := all(t, f.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{})); len(got) != 25 {
		t.Errorf("%d rotations", len(got))
	}
	ids := map[string]bool{}
	for _, v := range versions {
		ids[v.KeyMaterialID] = true
	}
	if len(ids) != 26 {
		t.Errorf("%d different materials", len(ids))
	}
}

func TestOnDemandNearAnAutomaticRotation(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	f.clock.advance(90*kms.Day - 20*time.Minute)
	_, err := f.RotateKeyOnDemand(t.Context(), key.ARN)
	wantCode(t, err, kms.ErrConflict)
	f.clock.advance(20 * time.Minute) // due: it is made first, and the next one is far away
	must(f.RotateKeyOnDemand(t.Context(), key.ARN))(t)
	if got := all(t, f.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{})); len(got) != 2 || got[0].RotationType != kms.RotationAutomatic {
		t.Errorf("%+v", got)
	}
}

// A moodySink refuses events of one name while it is told to.
type moodySink struct {
	audit.Memory
	refused atomic.Pointer[string]
}

func (s *moodySink) refuse(name string) { s.refused.Store(&name) }

func (s *moodySink) Append(ctx context.Context, e *audit.Event) error {
	if name := s.refused.Load(); name != nil && *name == e.Name {
		return errors.New("not now")
	}
	return s.Memory.Append(ctx, e)
}

// TestFailedRotationFailsNothingElse: a rotation that cannot be recorded is not made, and the operation that met it goes on with the old version.
func TestFailedRotationFailsNothingElse(t *testing.T) {
	sink := new(moodySink)
	f := open(t, func(c *kms.Config) { c.Audit = sink })
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	f.clock.advance(90 * kms.Day)
	sink.refuse("RotateKey")
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	if got := must(f.Decrypt(t.Context(), out.Ciphertext, nil))(t); got.KeyMaterialID != key.CurrentKeyMaterialID {
		t.Error("rotated without a record")
	}
	sink.refuse("")
	// The clock of the ring has run away from the monotonic one: that keeps keys from being destroyed, and from nothing else.
	if report, err := f.Maintain(t.Context()); report.Rotated != 1 || !errors.Is(err, kms.ErrClock) {
		t.Errorf("%+v, %v", report, err)
	}
	if got := must(f.DescribeKey(t.Context(), key.ARN))(t); got.CurrentKeyMaterialID == key.CurrentKeyMaterialID {
		t.Error("not rotated when the sink was well again")
	}
}

// TestOneRotationAmongMany: whoever meets a due rotation, and however many at once, it is made once.
func TestOneRotationAmongMany(t *testing.T) {
	f := open(t)
	second := must(kms.Open(t.Context(), kms.Config{Store: f.store, Root: newGCMRoot(t, make([]byte, 32)), Now: f.clock.now}))(t)
	defer second.Close()
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	var made sync.Map
	for round := range 5 {
		f.clock.advance(90 * kms.Day)
		var wg sync.WaitGroup
		for _, ring := range []*kms.Keyring{f.Keyring, second} {
			for range 8 {
				wg.Go(func() {
					out, err := ring.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
					if err != nil {
						t.Errorf("round %d: %v", round, err)
						return
					}
					made.Store(string(out.Ciphertext), true)
				})
			}
		}
		wg.Wait()
	}
	if got := all(t, f.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{})); len(got) != 5 {
		t.Errorf("%d rotations, want 5", len(got))
	}
	made.Range(func(c, _ any) bool {
		for _, ring := range []*kms.Keyring{f.Keyring, second} {
			if _, err := ring.Decrypt(t.Context(), []byte(c.(string)), nil); err != nil {
				t.Error(err)
			}
		}
		return true
	})
}

func TestReEncryptMovesToTheCurrentMaterial(t *testing.T) {
	f := open(t)
	key, other := f.create(), f.create()
	old := kms.EncryptionContext{"tenant": "42"}
	for name, tc := range map[string]struct {
		to      kms.KeyMetadata
		context kms.EncryptionContext
	}{"same key": {key, old}, "other context": {key, kms.EncryptionContext{"tenant": "43"}}, "other key": {other, nil}} {
		out := must(f.Encrypt(t.Context(), key.ARN, []byte("secret"), old))(t)
		must(f.RotateKeyOnDemand(t.Context(), key.ARN))(t)
		got := must(f.ReEncrypt(t.Context(), out.Ciphertext, tc.to.ARN, kms.ReEncryptInput{SourceEncryptionContext: old, DestinationEncryptionContext: tc.context}))(t)
		back := must(f.Decrypt(t.Context(), got.Ciphertext, tc.context))(t)
		if string(back.Plaintext) != "secret" || back.KeyARN != tc.to.ARN || got.KeyARN != tc.to.ARN || got.SourceKeyARN != key.ARN ||
			got.DestinationKeyMaterialID != back.KeyMaterialID || got.SourceKeyMaterialID == got.DestinationKeyMaterialID {
			t.Errorf("%s: %+v, %+v", name, got, back)
		}
		if need := must(f.NeedsReEncrypt(t.Context(), got.Ciphertext))(t); need {
			t.Errorf("%s: it still needs to be moved", name)
		}
		_, err := f.ReEncrypt(t.Context(), out.Ciphertext, tc.to.ARN, kms.ReEncryptInput{SourceEncryptionContext: kms.EncryptionContext{"tenant": "1"}})
		wantCode(t, err, kms.ErrInvalidCiphertext)
		_, err = f.ReEncrypt(t.Context(), out.Ciphertext, tc.to.ARN, kms.ReEncryptInput{SourceKey: other.ARN, SourceEncryptionContext: old})
		wantCode(t, err, kms.ErrIncorrectKey)
	}
}

// TestReEncryptPermissions: each permission is asked on its own key.
func TestReEncryptPermissions(t *testing.T) {
	f := open(t)
	app := f.As(kms.Role("app"))
	allow := func(action string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/app"},"Action":"` + action + `","Resource":"*"}]}`
	}
	from := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: allow("kms:ReEncryptFrom")}))(t)
	to := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: allow("kms:ReEncryptTo")}))(t)
	out := must(f.Encrypt(t.Context(), from.ARN, []byte("x"), nil))(t)
	moved := must(app.ReEncrypt(t.Context(), out.Ciphertext, to.ARN, kms.ReEncryptInput{}))(t)
	_, err := app.ReEncrypt(t.Context(), moved.Ciphertext, from.ARN, kms.ReEncryptInput{})
	wantCode(t, err, kms.ErrAccessDenied)
	_, err = app.ReEncrypt(t.Context(), out.Ciphertext, from.ARN, kms.ReEncryptInput{})
	wantCode(t, err, kms.ErrAccessDenied)

	same := strings.Replace(allow("kms:ReEncrypt*"), `"Resource":"*"}]`, `"Resource":"*","Condition":{"Bool":{"kms:ReEncryptOnSameKey":"true"}}}]`, 1)
	check(t, f.PutKeyPolicy(t.Context(), from.ARN, kms.PutKeyPolicyInput{Policy: same}))
	must(app.ReEncrypt(t.Context(), out.Ciphertext, from.ARN, kms.ReEncryptInput{}))(t)
	_, err = app.ReEncrypt(t.Context(), out.Ciphertext, to.ARN, kms.ReEncryptInput{})
	wantCode(t, err, kms.ErrAccessDenied)
	if events := f.trail.Events(); !slices.ContainsFunc(events, func(e *audit.Event) bool { return e.Name == "ReEncrypt" && len(e.Resources) == 2 }) {
		t.Error("no event names both keys")
	}
}
