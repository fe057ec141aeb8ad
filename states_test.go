package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// stateColumns are the key states of the matrix. Those that keys cannot be in yet are passed over.
var stateColumns = []KeyState{Enabled, Disabled, PendingDeletion, "PendingImport", "Unavailable", "Creating", "Updating"}

// enterState puts a key that is enabled into a state.
var enterState = map[KeyState]func(w *world) error{
	Enabled:  func(w *world) error { return nil },
	Disabled: func(w *world) error { return w.ring.DisableKey(w.t.Context(), w.key.ARN) },
	PendingDeletion: func(w *world) error {
		return errorOf(w.ring.ScheduleKeyDeletion(w.t.Context(), w.key.ARN, 7))
	},
}

// A stateRow is a row of the matrix of operations and key states: what operations answer to a key in each state, by the number of the answer, and which kinds of key
// they are for. To the others they answer by the kind, if the state permits it: the state is looked at first.
type stateRow struct {
	operations string
	cells      [7]string
	kinds      string // all if ""
	unfit      string // what other kinds are answered
}

// stateMatrix is the states of AWS KMS keys, in the current table of its developer guide: "2|3" is where it leaves open which of the two it is, and (7) that not every
// kind of key can do it.
var stateMatrix = []stateRow{
	{"Encrypt", [7]string{"ok", "1", "2|3", "5", "11", "14", "ok"}, "symmetric RSA", "usage"},
	{"Decrypt", [7]string{"ok", "1", "2|3", "5", "11", "14", "ok"}, "symmetric RSA", "incorrect key"},
	{"ReEncrypt", [7]string{"ok", "1", "2|3", "5", "11", "14", "ok"}, "symmetric RSA", "incorrect key"}, // the source; the destination answers as Encrypt's
	{"GenerateDataKey GenerateDataKeyWithoutPlaintext", [7]string{"ok", "1", "2|3", "5", "11", "14", "ok"}, "symmetric", "usage"},
	{"GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext", [7]string{"ok (7)", "1", "2|3", "5", "7", "14", "ok"}, "symmetric", "usage"},
	{"Sign Verify", [7]string{"ok", "1", "2|3", "5", "N/A", "14", "ok"}, "signing", "usage"},
	{"GenerateMac VerifyMac", [7]string{"ok", "1", "2|3", "5", "N/A", "14", "ok"}, "MAC", "usage"},
	{"DeriveSharedSecret", [7]string{"ok", "1", "2|3", "5", "N/A", "14", "ok"}, "agreement", "usage"},
	{"Encapsulate Decapsulate", [7]string{"ok", "1", "2|3", "5", "N/A", "14", "ok"}, "encapsulation", "usage"},
	{"GetPublicKey", [7]string{"ok", "ok", "2|3", "ok", "N/A", "14", "ok"}, "RSA signing agreement encapsulation", "spec"},
	{"DescribeKey", [7]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok"}, "", ""},
	{"NeedsReEncrypt", [7]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok"}, "", ""}, // which AWS KMS has not: it is a DescribeKey
	{"GetKeyPolicy PutKeyPolicy ListKeyPolicies", [7]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok"}, "", ""},
	{"ListAliases ListGrants ListResourceTags", [7]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok"}, "", ""},
	{"CreateGrant", [7]string{"ok", "1", "2|3", "5", "ok", "14", "ok"}, "", ""},
	{"RetireGrant RevokeGrant", [7]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok"}, "", ""},
	{"CreateAlias", [7]string{"ok", "ok", "3", "ok", "ok", "ok", "ok"}, "", ""},
	{"UpdateAlias", [7]string{"ok", "ok", "10", "ok", "ok", "ok", "ok"}, "", ""},
	{"DeleteAlias", [7]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok"}, "", ""},
	{"EnableKey DisableKey", [7]string{"ok", "ok", "3", "5", "12", "14", "15"}, "", ""},
	{"ScheduleKeyDeletion", [7]string{"ok", "ok", "3", "ok", "ok", "ok", "15"}, "", ""},
	{"CancelKeyDeletion", [7]string{"4", "4", "ok", "4", "4, 13", "4", "4"}, "", ""},
	{"TagResource UntagResource UpdateKeyDescription", [7]string{"ok", "ok", "3", "ok", "ok", "ok", "ok"}, "", ""},
	{"EnableKeyRotation DisableKeyRotation", [7]string{"ok (7)", "1 (7)", "3 (7)", "6", "7", "14", "ok (7)"}, "symmetric", "7"},
	{"GetKeyRotationStatus", [7]string{"ok (7)", "ok (7)", "ok (7)", "6", "7", "ok (7)", "ok (7)"}, "", ""}, // all kinds have a status: others than symmetric are off
	{"ListKeyRotations", [7]string{"ok (7)", "ok (7)", "ok (7)", "ok", "7", "ok (7)", "ok (7)"}, "symmetric", "7"},
	{"RotateKeyOnDemand", [7]string{"ok (7)", "1 (7)", "3 (7)", "5", "7", "14", "ok (7)"}, "symmetric", "7"},
	{"CreateKey ListKeys GenerateRandom ListRetirableGrants", [7]string{"–", "–", "–", "–", "–", "–", "–"}, "", ""}, // which take no key
}

// An answer is what an operation says of a key: a code, and a message in which ARN is the key's.
type answer struct {
	code    Code
	message string
}

// stateAnswers are the numbers of the matrix.
var stateAnswers = map[string]answer{
	"ok":  {},
	"–":   {},
	"1":   {ErrDisabled, "ARN is disabled."},
	"2|3": {ErrInvalidState, "ARN is pending deletion."}, // what is reported of cryptography
	"3":   {ErrInvalidState, "ARN is pending deletion."},
	"4":   {ErrInvalidState, "ARN is not pending deletion."},
	"5":   {ErrInvalidState, "ARN is pending import."},
	"6":   {ErrUnsupportedOperation, "ARN origin is EXTERNAL which is not valid for this operation."},
	"7":   {ErrUnsupportedOperation, ""},
	"10":  {ErrInvalidState, "ARN is pending deletion."}, // of the new key, which the step names; see TestAliasLeavesDoomedKey
	"11":  {ErrInvalidState, "ARN is unavailable."},
	"14":  {ErrInvalidState, "ARN is creating."},
	"15":  {ErrInvalidState, "ARN is updating."},
}

// keyKinds are the kinds of key that operations tell apart, each by a step that makes one.
var keyKinds = []struct {
	name string
	step
}{
	{"symmetric", step{}},
	{"RSA", step{spec: RSA2048, usage: EncryptDecrypt}},
	{"signing", step{spec: ECCNISTP256, usage: SignVerify}},
	{"agreement", step{spec: ECCNISTP384, usage: KeyAgreement}},
	{"encapsulation", step{spec: MLKEM768, usage: EncapsulateDecapsulate}},
	{"MAC", step{spec: HMAC256, usage: GenerateVerifyMac}},
}

// rsaSteps are the steps that an RSA key needs an algorithm for.
var rsaSteps = map[string]func(ctx context.Context, c *Client, w *world, ref string) (any, error){
	"kms:Encrypt": func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.Encrypt(ctx, ref, []byte(canary), nil, WithAlgorithm(AlgorithmRSAESOAEPSHA256))
	},
	"kms:Decrypt": func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.Decrypt(ctx, w.proof, nil, WithKey(ref), WithAlgorithm(AlgorithmRSAESOAEPSHA256))
	},
	"kms:ReEncryptFrom": func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.ReEncrypt(ctx, w.proof, w.other.ARN, ReEncryptInput{SourceKey: ref, SourceAlgorithm: AlgorithmRSAESOAEPSHA256})
	},
	"kms:ReEncryptTo": func(ctx context.Context, c *Client, w *world, ref string) (any, error) {
		return c.ReEncrypt(ctx, w.ciphertext, ref, ReEncryptInput{DestinationAlgorithm: AlgorithmRSAESOAEPSHA256})
	},
}

// TestKeyStates tries every operation on keys of every kind in every state.
func TestKeyStates(t *testing.T) {
	rows := map[string]*stateRow{}
	for i, r := range stateMatrix {
		for _, name := range strings.Fields(r.operations) {
			if rows[name] != nil {
				t.Errorf("%s is in two rows", name)
			}
			rows[name] = &stateMatrix[i]
		}
	}
	for _, op := range operations {
		if rows[op.name] == nil {
			t.Errorf("%s is in no row", op.name)
		}
		if !slices.ContainsFunc(steps, func(s step) bool { return s.name == op.name }) {
			t.Errorf("%s is in no step", op.name)
		}
	}
	for name := range rows {
		if !slices.ContainsFunc(operations, func(op *operation) bool { return op.name == name }) {
			t.Errorf("%s has a row and is no operation", name)
		}
	}
	known := states(0)
	for _, state := range stateColumns {
		known |= stateBit(state)
	}
	if known != anyState {
		t.Error("keys can be in a state that has no column")
	}

	useReadyKeys(t)
	for _, kind := range keyKinds {
		w := kind.world(t)
		for column, state := range stateColumns {
			if stateBit(state) == 0 {
				continue
			}
			for _, s := range steps {
				if row := rows[s.name]; row != nil {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", kind.name, state, s.method, strings.TrimPrefix(s.action, "kms:")), func(t *testing.T) {
						w.t = t
						w.tryState(&s, &kind.step, kind.name, row, row.cells[column], state)
					})
				}
			}
		}
	}
}

// tryState runs a step on a fresh key of a kind in a state, and checks what it answers.
func (w *world) tryState(s, kind *step, name string, row *stateRow, cell string, state KeyState) {
	t := w.t
	for _, alias := range []string{worldAlias, "alias/new"} { // of the try before
		if err := w.ring.DeleteAlias(t.Context(), alias); err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	w.proof = filler(40)
	w.furnish(kind)
	enter := enterState[state]
	if enter == nil {
		t.Fatalf("it is not known how a key comes to be %s", state)
	}
	w.must(enter(w))
	if meta := sure(w.ring.DescribeKey(t.Context(), w.key.ARN)); meta.KeyState != state {
		t.Fatalf("the key is %s", meta.KeyState)
	}
	call := s.call
	if name == "RSA" && rsaSteps[s.action] != nil {
		call = rsaSteps[s.action]
	}
	_, err := call(t.Context(), w.ring.root, w, w.key.ARN)

	cell, _, _ = strings.Cut(cell, " (")
	want, ok := stateAnswers[cell]
	if !ok {
		t.Fatalf("no answer has the number %s", cell)
	}
	if fits := row.kinds == "" || slices.Contains(strings.Fields(row.kinds), name); want.code == "" && !fits {
		want = w.unfit(s, row)
	}
	wantAnswer(t, s.name, err, want.code, strings.Replace(want.message, "ARN", w.key.ARN, 1))
}

// unfit is what an operation answers that a key of another kind is for.
func (w *world) unfit(s *step, row *stateRow) answer {
	unfit := row.unfit
	if s.action == "kms:ReEncryptTo" {
		unfit = "usage"
	}
	switch unfit {
	case "incorrect key":
		return answer{ErrIncorrectKey, incorrectKeyMessage}
	case "spec": // whose message is ours
		return answer{ErrUnsupportedOperation, fmt.Sprintf("ARN key spec is %s which is not valid for %s.", w.key.KeySpec, s.name)}
	case "usage":
		if w.key.KeyUsage == EncryptDecrypt && row.kinds == "symmetric" {
			return answer{ErrInvalidKeyUsage, fmt.Sprintf("Algorithm SYMMETRIC_DEFAULT is incompatible with key spec %s.", w.key.KeySpec)}
		}
		return answer{ErrInvalidKeyUsage, fmt.Sprintf("ARN key usage is %s which is not valid for %s.", w.key.KeyUsage, s.name)}
	}
	return stateAnswers[unfit]
}

// TestAliasLeavesDoomedKey: only the key that an alias is to mean is looked at. The one that it means may be pending deletion.
func TestAliasLeavesDoomedKey(t *testing.T) {
	r, doomed := ring(t)
	next := sure(r.CreateKey(t.Context(), CreateKeyInput{Policy: everyone}))
	if err := r.CreateAlias(t.Context(), worldAlias, doomed.ARN); err != nil {
		t.Fatal(err)
	}
	sure(r.ScheduleKeyDeletion(t.Context(), doomed.ARN, 7))
	wantAnswer(t, "away from a key that is pending deletion", r.UpdateAlias(t.Context(), worldAlias, next.ARN), "", "")
	wantAnswer(t, "to it", r.UpdateAlias(t.Context(), worldAlias, doomed.ARN), ErrInvalidState, doomed.ARN+" is pending deletion.")
	if meta := sure(r.DescribeKey(t.Context(), worldAlias)); meta.ARN != next.ARN {
		t.Errorf("the alias means %s", meta.ARN)
	}
}

// TestReEncryptLooksAtBothStates: the source is looked at first, and either stops it.
func TestReEncryptLooksAtBothStates(t *testing.T) {
	r, source := ring(t)
	destination := sure(r.CreateKey(t.Context(), CreateKeyInput{Policy: everyone}))
	held := sure(r.Encrypt(t.Context(), source.ARN, []byte(canary), nil)).Ciphertext
	move := func() error { return errorOf(r.ReEncrypt(t.Context(), held, destination.ARN, ReEncryptInput{})) }
	wantAnswer(t, "both enabled", move(), "", "")
	sure(r.ScheduleKeyDeletion(t.Context(), destination.ARN, 7))
	wantAnswer(t, "destination pending deletion", move(), ErrInvalidState, destination.ARN+" is pending deletion.")
	if err := r.DisableKey(t.Context(), source.ARN); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, "source disabled too", move(), ErrDisabled, source.ARN+" is disabled.")
}
