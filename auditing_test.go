package kms_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// recorded runs f and returns the one event that it left, as a CloudTrail record.
func recorded(t *testing.T, f *fixture, run func()) map[string]any {
	t.Helper()
	f.trail.Reset()
	run()
	events := f.trail.Events()
	if len(events) != 1 {
		t.Fatalf("%d events: %v", len(events), names(events))
	}
	var out map[string]any
	check(t, json.Unmarshal(events[0].AppendJSON(nil), &out))
	return out
}

func TestEvents(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", key.ARN))
	app := f.As(kms.Session("orders", "pod-7"))
	resources := []any{map[string]any{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": key.ARN}}

	e := recorded(t, f, func() {
		must(app.Encrypt(t.Context(), "alias/a", []byte("x"), kms.EncryptionContext{"tenant": "42"}))(t)
	})
	identity := e["userIdentity"].(map[string]any)
	if identity["type"] != "AssumedRole" || identity["arn"] != "arn:aws:sts::111122223333:assumed-role/orders/pod-7" || identity["accountId"] != "111122223333" {
		t.Errorf("identity: %v", identity)
	}
	for member, want := range map[string]any{
		"eventName": "Encrypt", "eventSource": "kms.amazonaws.com", "awsRegion": "eu-central-1", "eventTime": "2026-03-01T10:00:00Z", "readOnly": true,
		"eventType": "AwsApiCall", "recipientAccountId": "111122223333", "responseElements": nil, "resources": resources,
		"additionalEventData": map[string]any{"keyMaterialId": key.CurrentKeyMaterialID},
		"requestParameters":   map[string]any{"keyId": "alias/a", "encryptionContext": map[string]any{"tenant": "42"}, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"},
	} {
		if diff := cmp.Diff(want, e[member]); diff != "" {
			t.Errorf("Encrypt: %s (-want +got):\n%s", member, diff)
		}
	}

	e = recorded(t, f, func() { must(app.GenerateDataKey(t.Context(), key.ARN, kms.AES256, nil))(t) })
	if diff := cmp.Diff(map[string]any{"keyId": key.ARN, "keySpec": "AES_256"}, e["requestParameters"]); diff != "" {
		t.Errorf("GenerateDataKey (-want +got):\n%s", diff)
	}
	e = recorded(t, f, func() { must(app.GenerateDataKeyWithoutPlaintext(t.Context(), key.ARN, kms.RandomBytes(5), nil))(t) })
	if diff := cmp.Diff(map[string]any{"keyId": key.ARN, "numberOfBytes": 5.0}, e["requestParameters"]); diff != "" {
		t.Errorf("GenerateDataKeyWithoutPlaintext (-want +got):\n%s", diff)
	}

	e = recorded(t, f, func() { must(f.ScheduleKeyDeletion(t.Context(), key.ARN, 7))(t) })
	want := map[string]any{"keyId": key.ARN, "keyState": "PendingDeletion", "pendingWindowInDays": 7.0, "deletionDate": "Mar 8, 2026, 10:00:00 AM"}
	if diff := cmp.Diff(want, e["responseElements"]); diff != "" || e["readOnly"] != false {
		t.Errorf("ScheduleKeyDeletion, readOnly %v (-want +got):\n%s", e["readOnly"], diff)
	}

	e = recorded(t, f, func() { _, _ = app.Encrypt(t.Context(), key.ARN, []byte("x"), nil) })
	if e["errorCode"] != "KMSInvalidStateException" || e["errorMessage"] != key.ARN+" is pending deletion." {
		t.Errorf("refused: %v, %v", e["errorCode"], e["errorMessage"])
	}
	stranger := f.As(kms.User("ops/eve"))
	locked := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	e = recorded(t, f, func() { _, _ = stranger.DescribeKey(t.Context(), locked.ARN) })
	if e["errorCode"] != "AccessDenied" || !strings.Contains(e["errorMessage"].(string), "no identity-based policy allows the kms:DescribeKey action") ||
		e["userIdentity"].(map[string]any)["userName"] != "eve" {
		t.Errorf("denied: %v", e)
	}
	e = recorded(t, f, func() { _ = f.DryRun().DisableKey(t.Context(), locked.ARN) })
	if diff := cmp.Diff(map[string]any{"keyId": locked.ARN, "dryRun": true}, e["requestParameters"]); diff != "" || e["errorCode"] != "DryRunOperationException" {
		t.Errorf("dry run: %v (-want +got):\n%s", e["errorCode"], diff)
	}
	created := recorded(t, f, func() {
		must(f.CreateKey(t.Context(), kms.CreateKeyInput{Description: "d", Tags: []kms.Tag{{"a", "b"}}}))(t)
	})
	meta := created["responseElements"].(map[string]any)["keyMetadata"].(map[string]any)
	if meta["description"] != "d" || meta["keyState"] != "Enabled" || meta["creationDate"] != "Mar 1, 2026, 10:00:00 AM" || meta["currentKeyMaterialId"] == "" {
		t.Errorf("CreateKey: %v", meta)
	}
}

// A lossyStore fails commits, or makes them and loses the answer.
type lossyStore struct {
	keystore.Store
	fails, loses atomic.Bool
	interferes   atomic.Pointer[func()] // called once, before the next commit
}

var errLossy = errors.New("the commit failed")

func (s *lossyStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if s.fails.Load() {
		return 0, errLossy
	}
	if f := s.interferes.Swap(nil); f != nil {
		(*f)()
	}
	revision, err := s.Store.Commit(ctx, changes)
	if s.loses.Load() && err == nil {
		return 0, keystore.ErrUnknown
	}
	return revision, err
}

func lossy(t *testing.T) (*fixture, *lossyStore) {
	store := &lossyStore{Store: memory.New()}
	return open(t, func(c *kms.Config) { c.Store = store }), store
}

// TestAFailedChangeIsCorrected: the record that was offered before a commit that failed is followed by one of the same id that says so.
// TestEventsOfAWire: what a front knows of a request stands in its record.
func TestEventsOfAWire(t *testing.T) {
	f := open(t)
	key := f.create()
	id := audit.NewRequestID()
	tls := audit.TLS{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "kms.example.org"}
	app := f.As(kms.Role("orders").WithAccessKey("ASIAEXAMPLE").Over(kms.Connection{SourceIP: netip.MustParseAddr("192.0.2.1"), UserAgent: "aws-cli/2", RequestID: id, TLS: tls}))
	e := recorded(t, f, func() { must(app.DescribeKey(t.Context(), key.ARN))(t) })
	got := []any{e["requestID"], e["sourceIPAddress"], e["userAgent"], e["userIdentity"].(map[string]any)["accessKeyId"], e["tlsDetails"]}
	want := []any{id, "192.0.2.1", "aws-cli/2", "ASIAEXAMPLE",
		map[string]any{"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": "kms.example.org"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e := recorded(t, f, func() { must(f.DescribeKey(t.Context(), key.ARN))(t) }); e["requestID"] == id || e["tlsDetails"] != nil {
		t.Errorf("a call within the process after one over a wire: %v", e)
	}
	// Where a caller came from who cannot be stands there too.
	web := kms.Connection{SourceIP: netip.MustParseAddr("192.0.2.1"), UserAgent: "aws-cli/2", RequestID: id, TLS: tls}
	for _, nobody := range []kms.Caller{{}, kms.User("*"), must(kms.ParseCaller("arn:aws-cn:iam::111122223333:user/alice"))(t)} {
		nobody = nobody.WithAccessKey("ASIAEXAMPLE").Over(web)
		e := recorded(t, f, func() { wantCode(t, f.As(nobody).DisableKey(t.Context(), key.ARN), kms.ErrAccessDenied) })
		got := []any{e["requestID"], e["sourceIPAddress"], e["userAgent"], e["userIdentity"].(map[string]any)["accessKeyId"], e["tlsDetails"]}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v: (-want +got):\n%s", nobody, diff)
		}
	}
}

func TestAFailedChangeIsCorrected(t *testing.T) {
	f, store := lossy(t)
	key := f.create()
	f.trail.Reset()
	store.fails.Store(true)
	err := f.DisableKey(t.Context(), key.ARN)
	if !errors.Is(err, kms.ErrDependencyTimeout) || !errors.Is(err, errLossy) {
		t.Errorf("%v", err)
	}
	store.fails.Store(false)
	events := f.trail.Events()
	if len(events) != 2 || events[0].ID() != events[1].ID() || events[0].ErrorCode != "" || events[1].ErrorCode != string(kms.ErrDependencyTimeout) {
		t.Errorf("events: %v", names(events))
	}
	if got := must(f.DescribeKey(t.Context(), key.ARN))(t); got.KeyState != kms.Enabled {
		t.Errorf("the key is %s", got.KeyState)
	}

	// A rotation that was due is corrected as well, and stands in nobody's way.
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	f.clock.advance(90 * kms.Day)
	f.trail.Reset()
	store.fails.Store(true)
	must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	if events := f.trail.Events(); len(events) != 3 || events[0].Name != "RotateKey" || events[1].ID() != events[0].ID() || events[1].ErrorCode == "" {
		t.Errorf("events: %v", names(events))
	}
}

// TestALostAnswerIsLookedUp: a commit whose answer was lost is read back before anything is said.
func TestALostAnswerIsLookedUp(t *testing.T) {
	f, store := lossy(t)
	key := f.create()
	f.trail.Reset()
	store.loses.Store(true)
	check(t, f.DisableKey(t.Context(), key.ARN))
	if got := must(f.DescribeKey(t.Context(), key.ARN))(t); got.KeyState != kms.Disabled {
		t.Errorf("the key is %s", got.KeyState)
	}
	next := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	check(t, f.CreateAlias(t.Context(), "alias/a", next.ARN))
	must(f.RotateKeyOnDemand(t.Context(), next.ARN))(t)
	if events := f.trail.Events(); len(events) != 5 {
		t.Errorf("events: %v", names(events))
	}
}

// TestAnUnknownOutcomeIsSaid: if the answer was lost and somebody else has written since, nobody can know.
func TestAnUnknownOutcomeIsSaid(t *testing.T) {
	f, store := lossy(t)
	key := f.create()
	other := must(kms.Open(t.Context(), kms.Config{Store: store.Store, Root: newGCMRoot(t, make([]byte, 32)), Now: f.clock.now}))(t)
	defer other.Close()
	unknown := &overwrittenStore{lossyStore: store, after: func() { check(t, other.TagResource(context.Background(), key.ARN, kms.Tag{Key: "x"})) }}
	ring := must(kms.Open(t.Context(), kms.Config{Store: unknown, Root: newGCMRoot(t, make([]byte, 32)), Now: f.clock.now, Audit: f.trail}))(t)
	defer ring.Close()
	f.trail.Reset()
	err := ring.DisableKey(t.Context(), key.ARN)
	if !errors.Is(err, kms.ErrInternal) || !errors.Is(err, keystore.ErrUnknown) || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("%v", err)
	}
	if events := f.trail.Events(); len(events) != 2 || events[0].ID() != events[1].ID() || !strings.Contains(events[1].ErrorMessage, "unknown") {
		t.Errorf("events: %v", names(events))
	}
}

// An overwrittenStore makes commits, loses the answer, and lets somebody else write at once.
type overwrittenStore struct {
	*lossyStore
	after func()
}

func (s *overwrittenStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if _, err := s.Store.Commit(ctx, changes); err != nil {
		return 0, err
	}
	s.after()
	return 0, keystore.ErrUnknown
}

// TestAConflictLooksAgain: a change that meets another one is decided anew, on what is there now.
func TestAConflictLooksAgain(t *testing.T) {
	f, store := lossy(t)
	key := f.create()
	other := must(kms.Open(t.Context(), kms.Config{Store: store.Store, Root: newGCMRoot(t, make([]byte, 32)), Now: f.clock.now}))(t)
	defer other.Close()
	meanwhile := func(run func()) { store.interferes.Store(&run) }

	f.trail.Reset()
	meanwhile(func() { check(t, other.TagResource(context.Background(), key.ARN, kms.Tag{Key: "theirs"})) })
	check(t, f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "mine"}))
	if got := all(t, f.ListResourceTags(t.Context(), key.ARN)); len(got) != 2 {
		t.Errorf("tags %v: an update is lost", got)
	}
	if events := f.trail.Events(); len(events) != 3 || events[0].ID() != events[1].ID() { // it is told again of what it found then
		t.Errorf("events: %v", names(events))
	}

	meanwhile(func() { _ = must(other.ScheduleKeyDeletion(context.Background(), key.ARN, 7)) })
	wantCode(t, f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "late"}), kms.ErrInvalidState)

	next := f.create()
	deny := strings.TrimSuffix(everyone, "]}") + `,{"Effect":"Deny","Principal":"*","Action":"kms:DisableKey","Resource":"*"}]}`
	meanwhile(func() {
		check(t, other.PutKeyPolicy(context.Background(), next.ARN, kms.PutKeyPolicyInput{Policy: deny}))
	})
	f.trail.Reset()
	wantCode(t, f.DisableKey(t.Context(), next.ARN), kms.ErrAccessDenied)
	events := f.trail.Events()
	if len(events) != 2 || events[1].ErrorCode != "AccessDenied" || events[0].ID() != events[1].ID() {
		t.Errorf("events: %v", names(events))
	}

	meanwhile(func() { check(t, other.CreateAlias(context.Background(), "alias/contested", next.ARN)) })
	wantCode(t, f.CreateAlias(t.Context(), "alias/contested", f.create().ARN), kms.ErrAlreadyExists)
	must(f.DescribeKey(t.Context(), next.ARN))(t)
	meanwhile(func() { check(t, other.DeleteAlias(context.Background(), "alias/contested")) })
	wantCode(t, f.UpdateAlias(t.Context(), "alias/contested", f.create().ARN), kms.ErrNotFound)
}

// TestErrorsNameTheKey: Error.KeyID is the ARN of the key that the error is about, as far as the caller may know it.
func TestErrorsNameTheKey(t *testing.T) {
	f := open(t)
	key, other := f.create(), f.create()
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	check(t, f.CreateAlias(t.Context(), "alias/a", key.ARN))
	check(t, f.DisableKey(t.Context(), key.ARN))
	_, disabled := f.Decrypt(t.Context(), out.Ciphertext, nil)
	_, nowhere := f.ReEncrypt(t.Context(), out.Ciphertext, "alias/nowhere", kms.ReEncryptInput{})
	_, unknown := f.As(kms.Service("x.amazonaws.com")).DescribeKey(t.Context(), key.ARN)
	for _, tc := range []struct {
		err   error
		code  kms.Code
		keyID string
	}{
		{disabled, kms.ErrDisabled, key.ARN},
		{nowhere, kms.ErrNotFound, "alias/nowhere"},
		{unknown, kms.ErrAccessDenied, ""},
		{f.CreateAlias(t.Context(), "alias/a", other.KeyID), kms.ErrAlreadyExists, other.ARN},
		{f.DisableKey(t.Context(), "alias/a"), kms.ErrNotFound, "alias/a"},
	} {
		e, ok := errors.AsType[*kms.Error](tc.err)
		if !ok || e.Code != tc.code || e.KeyID != tc.keyID {
			t.Errorf("%v: key %q, want %v and %q", tc.err, e.KeyID, tc.code, tc.keyID)
		}
	}
}

// TestAMissingRecordOfADenialIsTold: a denial stays one, and carries what the sink said.
func TestAMissingRecordOfADenialIsTold(t *testing.T) {
	sink := new(moodySink)
	f := open(t, func(c *kms.Config) { c.Audit = sink })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	sink.refuse("Encrypt")
	_, err := f.As(kms.Role("stranger")).Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	e, ok := errors.AsType[*kms.Error](err)
	if !ok || e.Code != kms.ErrAccessDenied || e.Err == nil || !strings.Contains(e.Err.Error(), "audit record was not accepted") {
		t.Errorf("%v, with cause %v", err, e.Err)
	}
}

// TestErrorsReadWell holds the form of an error's text.
func TestErrorsReadWell(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.TrimSuffix(everyone, "]}") +
		`,{"Sid":"No deletion","Effect":"Deny","Principal":"*","Action":"kms:ScheduleKeyDeletion","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:role/app"},"Action":"kms:Encrypt","Resource":"*"}]}`}))(t)
	_, err := f.ScheduleKeyDeletion(t.Context(), key.ARN, 7)
	want := "kms: ScheduleKeyDeletion " + key.ARN + ": AccessDeniedException: User: arn:aws:iam::111122223333:root is not authorized to perform: " +
		"kms:ScheduleKeyDeletion on resource: " + key.ARN + ` with an explicit deny in a resource-based policy (Statement "No deletion")`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	_, err = f.As(kms.Role("app")).Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	if err == nil || !strings.HasSuffix(err.Error(), "(Statement[2])") {
		t.Errorf("%v", err)
	}
	e, ok := errors.AsType[*kms.Error](err)
	if !ok || e.Op != "Encrypt" || e.KeyID != key.ARN || e.Code != kms.ErrAccessDenied || errors.Is(err, kms.ErrNotFound) || e.Code.Error() != "AccessDeniedException" {
		t.Errorf("%+v", e)
	}
}
