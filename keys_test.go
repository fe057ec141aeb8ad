package kms_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
)

func TestCreateAndDescribe(t *testing.T) {
	f := open(t)
	meta := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Description: "orders"}))(t)
	want := kms.KeyMetadata{
		AccountID: "111122223333", KeyID: meta.KeyID, ARN: "arn:aws:kms:eu-central-1:111122223333:key/" + meta.KeyID, CreationDate: epoch, Enabled: true,
		Description: "orders", KeyUsage: kms.EncryptDecrypt, KeyState: kms.Enabled, Origin: kms.OriginAWSKMS, KeyManager: kms.ManagerCustomer,
		KeySpec: kms.SymmetricDefault, KeyAlgorithms: kms.KeyAlgorithms{EncryptionAlgorithms: []kms.Algorithm{kms.AlgorithmSymmetricDefault}}, CurrentKeyMaterialID: meta.CurrentKeyMaterialID,
	}
	if diff := cmp.Diff(want, meta); diff != "" || len(meta.CurrentKeyMaterialID) != 64 || len(meta.KeyID) != 36 {
		t.Errorf("CreateKey (-want +got):\n%s", diff)
	}
	check(t, f.CreateAlias(t.Context(), "alias/orders", meta.KeyID))
	for _, ref := range []string{meta.KeyID, meta.ARN, "alias/orders", "arn:aws:kms:eu-central-1:111122223333:alias/orders"} {
		got, err := f.DescribeKey(t.Context(), ref)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("DescribeKey(%q): %v (-want +got):\n%s", ref, err, diff)
		}
	}
}

func TestCreateKeyRefuses(t *testing.T) {
	f := open(t)
	long := strings.Repeat("x", 300)
	var many []kms.Tag
	for i := range 51 {
		many = append(many, kms.Tag{Key: fmt.Sprint(i)})
	}
	for name, tc := range map[string]struct {
		in      kms.CreateKeyInput
		code    kms.Code
		message string
	}{
		"spec":          {kms.CreateKeyInput{KeySpec: "RSA_1"}, kms.ErrValidation, "Value 'RSA_1' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [SYMMETRIC_DEFAULT, RSA_2048, "},
		"usage":         {kms.CreateKeyInput{KeyUsage: "SIGN"}, kms.ErrValidation, "'keyUsage' failed to satisfy constraint: Member must satisfy enum value set: [SIGN_VERIFY, "},
		"other usage":   {kms.CreateKeyInput{KeyUsage: "SIGN_VERIFY"}, kms.ErrValidation, "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT"},
		"no usage":      {kms.CreateKeyInput{KeySpec: "HMAC_256"}, kms.ErrValidation, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
		"SM2":           {kms.CreateKeyInput{KeySpec: "SM2", KeyUsage: "SIGN_VERIFY"}, kms.ErrUnsupportedOperation, "Key spec SM2 is not supported."},
		"description":   {kms.CreateKeyInput{Description: strings.Repeat("ü", 8193)}, kms.ErrValidation, "'description' failed to satisfy constraint: Member must have length less than or equal to 8192"},
		"bad UTF-8":     {kms.CreateKeyInput{Description: "\xff"}, kms.ErrValidation, "'description'"},
		"duplicate tag": {kms.CreateKeyInput{Tags: []kms.Tag{{"a", "1"}, {"a", "2"}}}, kms.ErrTag, "Duplicate tag keys"},
		"reserved tag":  {kms.CreateKeyInput{Tags: []kms.Tag{{"AwS:x", "1"}}}, kms.ErrTag, "Tags beginning with aws: are reserved"},
		"many tags":     {kms.CreateKeyInput{Tags: many}, kms.ErrTag, "Too many tags"},
		"long tag":      {kms.CreateKeyInput{Tags: []kms.Tag{{"a", "1"}, {long, ""}}}, kms.ErrValidation, "'tags.2.member.tagKey'"},
		"long value":    {kms.CreateKeyInput{Tags: []kms.Tag{{"a", long}}}, kms.ErrValidation, "'tags.1.member.tagValue'"},
		"empty tag":     {kms.CreateKeyInput{Tags: []kms.Tag{{"", "1"}}}, kms.ErrValidation, "'tags.1.member.tagKey'"},
		"two mistakes":  {kms.CreateKeyInput{Tags: []kms.Tag{{"", long}}}, kms.ErrValidation, "2 validation errors detected: "},
		"policy":        {kms.CreateKeyInput{Policy: "{}"}, kms.ErrMalformedPolicy, "Statement"},
		"long policy":   {kms.CreateKeyInput{Policy: everyone + strings.Repeat(" ", 32768)}, kms.ErrLimitExceeded, "32768"},
		"huge policy":   {kms.CreateKeyInput{Policy: strings.Repeat(" ", 131073)}, kms.ErrValidation, "'policy'"},
		"policy rune":   {kms.CreateKeyInput{Policy: strings.Replace(everyone, "kms:*", "kms:Ā", 1)}, kms.ErrValidation, "'policy'"},
		"lockout":       {kms.CreateKeyInput{Policy: strings.Replace(everyone, `"*"`, `{"AWS":"arn:aws:iam::111122223333:user/a"}`, 1)}, kms.ErrMalformedPolicy, "will not allow you to update the key policy"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateKey(t.Context(), tc.in)
			wantCode(t, err, tc.code)
			if err == nil || !strings.Contains(err.Error(), tc.message) {
				t.Errorf("%v, want it to say %q", err, tc.message)
			}
		})
	}
	if keys := all(t, f.ListKeys(t.Context())); len(keys) != 0 {
		t.Errorf("%d keys were made", len(keys))
	}
}

func TestUnknownReferences(t *testing.T) {
	f := open(t)
	const id = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for ref, want := range map[string]string{
		id: "NotFoundException: Key 'arn:aws:kms:eu-central-1:111122223333:key/" + id + "' does not exist",
		"arn:aws:kms:eu-central-1:111122223333:key/" + id:    "NotFoundException: Key 'arn:aws:kms:eu-central-1:111122223333:key/" + id + "' does not exist",
		"mrk-1234abcd12ab34cd56ef1234567890ab":               "NotFoundException: Key 'arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab' does not exist",
		"mrk-fake-key-id":                                    "NotFoundException: Invalid keyId 'mrk-fake-key-id'",
		strings.ToUpper(id):                                  "NotFoundException: Invalid keyId '" + strings.ToUpper(id) + "'",
		strings.ReplaceAll(id, "-", ""):                      "NotFoundException: Invalid keyId '1234abcd12ab34cd56ef1234567890ab'",
		"key\nwith a newline":                                "NotFoundException: Invalid keyId 'key?with a newline'",
		"key \u009b31m\u202e \u2028\xff":                     "NotFoundException: Invalid keyId 'key ?31m? ??'",
		"alias/nothing":                                      "NotFoundException: Alias arn:aws:kms:eu-central-1:111122223333:alias/nothing is not found.",
		"alias/b*d":                                          "NotFoundException: Alias arn:aws:kms:eu-central-1:111122223333:alias/b*d is not found.",
		"arn:aws:kms:us-east-1:111122223333:key/" + id:       "NotFoundException: Invalid arn us-east-1",
		"arn:aws:kms:eu-central-1:444455556666:key/" + id:    "AccessDeniedException: User: arn:aws:iam::111122223333:root is not authorized to perform: kms:DescribeKey on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
		"arn:aws:s3:::bucket":                                "InvalidArnException",
		"arn:aws-cn:kms:eu-central-1:111122223333:key/" + id: "InvalidArnException",
		"arn:aws:kms:eu-central-1:111122223333:grant/" + id:  "InvalidArnException",
		"arn:aws:kms:eu-central-1:111122223333":              "InvalidArnException",
		"":                                                   "ValidationException: 1 validation error detected: Value at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
		strings.Repeat("x", 2049):                            "ValidationException: 1 validation error detected: Value at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048",
	} {
		_, err := f.DescribeKey(t.Context(), ref)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("DescribeKey(%.60q): %v, want %s", ref, err, want)
		}
	}
	// Operations that take no alias say so.
	key := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", key.ARN))
	err := f.DisableKey(t.Context(), "alias/a")
	wantCode(t, err, kms.ErrNotFound)
	wantCode(t, f.DisableKey(t.Context(), "arn:aws:kms:eu-central-1:111122223333:alias/a"), kms.ErrInvalidArn)
	if !strings.Contains(err.Error(), "Invalid keyId 'alias/a'") {
		t.Error(err)
	}
}

func TestDeletion(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/doomed", key.ARN))
	for _, days := range []int{-1, 1, 6, 31} {
		_, err := f.ScheduleKeyDeletion(t.Context(), key.ARN, days)
		wantCode(t, err, kms.ErrValidation)
	}
	got := must(f.ScheduleKeyDeletion(t.Context(), key.ARN, 0))(t)
	want := kms.ScheduleKeyDeletionResult{KeyARN: key.ARN, DeletionDate: epoch.Add(30 * kms.Day), KeyState: kms.PendingDeletion, PendingWindowInDays: 30}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ScheduleKeyDeletion (-want +got):\n%s", diff)
	}
	_, err := f.ScheduleKeyDeletion(t.Context(), key.ARN, 7)
	wantCode(t, err, kms.ErrInvalidState)
	if meta := must(f.DescribeKey(t.Context(), "alias/doomed"))(t); meta.KeyState != kms.PendingDeletion || meta.Enabled || !meta.DeletionDate.Equal(want.DeletionDate) {
		t.Errorf("%+v", meta)
	}

	// Cancelling leaves it disabled, whatever it was.
	if arn := must(f.CancelKeyDeletion(t.Context(), key.ARN))(t); arn != key.ARN {
		t.Errorf("CancelKeyDeletion returns %s", arn)
	}
	if meta := must(f.DescribeKey(t.Context(), key.ARN))(t); meta.KeyState != kms.Disabled || !meta.DeletionDate.IsZero() {
		t.Errorf("%+v", meta)
	}
	check(t, f.EnableKey(t.Context(), key.ARN))

	// After the waiting period it is gone, with its alias, which is free again.
	must(f.ScheduleKeyDeletion(t.Context(), key.ARN, 7))(t)
	f.clock.advance(7*kms.Day - time.Second)
	must(f.DescribeKey(t.Context(), key.ARN))(t)
	f.clock.advance(time.Second)
	_, err = f.DescribeKey(t.Context(), key.ARN)
	wantCode(t, err, kms.ErrNotFound)
	_, err = f.CancelKeyDeletion(t.Context(), key.ARN)
	wantCode(t, err, kms.ErrNotFound)
	_, err = f.DescribeKey(t.Context(), "alias/doomed")
	wantCode(t, err, kms.ErrNotFound)
	if keys, aliases := all(t, f.ListKeys(t.Context())), all(t, f.ListAliases(t.Context(), "")); len(keys)+len(aliases) != 0 {
		t.Errorf("keys %v and aliases %v are listed", keys, aliases)
	}
	next := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/doomed", next.ARN))
	if meta := must(f.DescribeKey(t.Context(), "alias/doomed"))(t); meta.KeyID != next.KeyID {
		t.Errorf("the alias points to %s", meta.KeyID)
	}
}

func TestDisableAndEnable(t *testing.T) {
	f := open(t)
	key := f.create()
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	for range 2 { // twice is no error
		check(t, f.DisableKey(t.Context(), key.ARN))
	}
	_, err := f.Decrypt(t.Context(), out.Ciphertext, nil)
	wantCode(t, err, kms.ErrDisabled)
	if want := key.ARN + " is disabled."; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want it to say %q", err, want)
	}
	for range 2 {
		check(t, f.EnableKey(t.Context(), key.ARN))
	}
	must(f.Decrypt(t.Context(), out.Ciphertext, nil))(t)
}

func TestDescription(t *testing.T) {
	f := open(t)
	key := f.create()
	for _, d := range []string{"new", strings.Repeat("ü", 8192), ""} {
		check(t, f.UpdateKeyDescription(t.Context(), key.ARN, d))
		if got := must(f.DescribeKey(t.Context(), key.ARN))(t).Description; got != d {
			t.Errorf("%d characters became %d", len(d), len(got))
		}
	}
	wantCode(t, f.UpdateKeyDescription(t.Context(), key.ARN, strings.Repeat("x", 8193)), kms.ErrValidation)
	wantCode(t, f.UpdateKeyDescription(t.Context(), key.ARN, "\xff"), kms.ErrValidation)
}

func TestTags(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Tags: []kms.Tag{{"team", "a"}, {"Stage", "test"}}}))(t)
	check(t, f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "team", Value: "b"}, kms.Tag{Key: "new"}))
	check(t, f.UntagResource(t.Context(), key.ARN, "Stage", "stage", "unknown"))
	want := []kms.Tag{{"new", ""}, {"team", "b"}}
	if got := all(t, f.ListResourceTags(t.Context(), key.ARN)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	wantCode(t, f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "aws:x"}), kms.ErrTag)
	wantCode(t, f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "x"}, kms.Tag{Key: "x"}), kms.ErrTag)
	wantCode(t, f.UntagResource(t.Context(), key.ARN, "aws:x"), kms.ErrTag)
	wantCode(t, f.UntagResource(t.Context(), key.ARN, ""), kms.ErrValidation)
	var tags []kms.Tag
	for i := range 48 {
		tags = append(tags, kms.Tag{Key: fmt.Sprint(i)})
	}
	check(t, f.TagResource(t.Context(), key.ARN, tags...))
	wantCode(t, f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "one more"}), kms.ErrTag)
	if got := all(t, f.ListResourceTags(t.Context(), key.ARN)); len(got) != 50 || !slices.IsSortedFunc(got, func(a, b kms.Tag) int { return strings.Compare(a.Key, b.Key) }) {
		t.Errorf("%d tags: %v", len(got), got)
	}
}

func TestPagesShowEachEntryOnce(t *testing.T) {
	f := open(t)
	var want []string
	for range 7 {
		want = append(want, f.create().KeyID)
	}
	slices.Sort(want)
	for limit := 1; limit <= 8; limit++ {
		var got []string
		in := kms.PageInput{Limit: limit}
		for {
			page := must(f.ListKeysPage(t.Context(), in))(t)
			if len(page.Entries) > limit || page.Truncated != (page.NextMarker != "") {
				t.Fatalf("limit %d: %d entries, truncated %v, marker %q", limit, len(page.Entries), page.Truncated, page.NextMarker)
			}
			for _, e := range page.Entries {
				got = append(got, e.KeyID)
			}
			if !page.Truncated {
				break
			}
			in.Marker = page.NextMarker
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %v, want %v", limit, got, want)
		}
	}
	for _, limit := range []int{-1, 1001} {
		_, err := f.ListKeysPage(t.Context(), kms.PageInput{Limit: limit})
		wantCode(t, err, kms.ErrValidation)
	}
	if got := all(t, f.ListKeys(t.Context())); len(got) != 7 || got[0].KeyARN != "arn:aws:kms:eu-central-1:111122223333:key/"+want[0] {
		t.Errorf("%v", got)
	}
	for range f.ListKeys(t.Context()) { // stopping early is fine
		break
	}
}

func TestMarkersHoldForTheirListOnly(t *testing.T) {
	f := open(t)
	a, b := f.create(), f.create()
	var tags []kms.Tag
	for i := range 4 {
		tags = append(tags, kms.Tag{Key: fmt.Sprint(i)})
	}
	check(t, f.TagResource(t.Context(), a.ARN, tags...))
	check(t, f.TagResource(t.Context(), b.ARN, tags...))
	page := must(f.ListResourceTagsPage(t.Context(), a.ARN, kms.PageInput{Limit: 2}))(t)
	next := must(f.ListResourceTagsPage(t.Context(), a.ARN, kms.PageInput{Limit: 2, Marker: page.NextMarker}))(t)
	if !page.Truncated || next.Truncated || !slices.Equal(append(page.Entries, next.Entries...), tags) {
		t.Errorf("%v, then %v", page, next)
	}
	for name, marker := range map[string]string{
		"version":  "B" + page.NextMarker[1:],
		"flipped":  strings.Map(func(r rune) rune { return r ^ 1 }, page.NextMarker[:8]) + page.NextMarker[8:],
		"longer":   page.NextMarker + "AAAA",
		"cut":      page.NextMarker[:len(page.NextMarker)-4],
		"no code":  "AQ",
		"not text": "\x00",
	} {
		_, err := f.ListResourceTagsPage(t.Context(), a.ARN, kms.PageInput{Marker: marker})
		if wantCode(t, err, kms.ErrInvalidMarker); err == nil {
			t.Errorf("%s marker is taken", name)
		}
	}
	_, err := f.ListResourceTagsPage(t.Context(), b.ARN, kms.PageInput{Marker: page.NextMarker})
	wantCode(t, err, kms.ErrInvalidMarker)
	_, err = f.ListKeysPage(t.Context(), kms.PageInput{Marker: page.NextMarker})
	wantCode(t, err, kms.ErrInvalidMarker)
	_, err = f.ListKeysPage(t.Context(), kms.PageInput{Marker: strings.Repeat("A", 1025)})
	wantCode(t, err, kms.ErrValidation)
}

func TestKeyPolicies(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	const byDefault = `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`
	if got := must(f.GetKeyPolicy(t.Context(), key.ARN))(t); got != byDefault {
		t.Errorf("%s, want %s", got, byDefault)
	}
	if got := all(t, f.ListKeyPolicies(t.Context(), key.ARN)); !slices.Equal(got, []string{"default"}) {
		t.Errorf("%v", got)
	}
	// What the caller could not undo is refused, unless he insists.
	readOnly := strings.Replace(byDefault, "kms:*", "kms:DescribeKey", 1)
	wantCode(t, f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: readOnly}), kms.ErrMalformedPolicy)
	check(t, f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: readOnly, BypassPolicyLockoutSafetyCheck: true}))
	wantCode(t, f.DisableKey(t.Context(), key.ARN), kms.ErrAccessDenied)
	must(f.DescribeKey(t.Context(), key.ARN))(t)
}

func TestOverlyPermissiveConditionsAreRefused(t *testing.T) {
	f := open(t)
	key := f.create()
	for condition, code := range map[string]kms.Code{
		`"ForAllValues:StringEquals":{"kms:EncryptionContext:App":"x"}`:   kms.ErrMalformedPolicy,
		`"ForAllValues:StringLike":{"KMS:ENCRYPTIONCONTEXT:App":"x"}`:     kms.ErrMalformedPolicy,
		`"ForAllValues:StringEquals":{"aws:RequestTag/App":"x"}`:          kms.ErrMalformedPolicy,
		`"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["x"]}`: "",
		`"ForAnyValue:StringEquals":{"kms:EncryptionContext:App":"x"}`:    "",
	} {
		policy := strings.TrimSuffix(everyone, "]}") + `,{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{` + condition + `}}]}`
		err := f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: policy})
		wantCode(t, err, code)
		if fault, ok := errors.AsType[*kms.Error](err); ok && !strings.HasPrefix(fault.Message, "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches requests without ") {
			t.Errorf("%s", fault.Message)
		}
	}
}

// TestDefaultPolicyByUsage: users can do what a key of the usage is for, and administrators cannot.
func TestDefaultPolicyByUsage(t *testing.T) {
	f := open(t)
	for _, k := range kindsOfKeys {
		if k.isConfined() || strings.HasPrefix(string(k.spec), "RSA_") && k.spec != kms.RSA2048 {
			continue
		}
		policy := must(f.DefaultPolicy([]kms.Caller{kms.Role("admin")}, []kms.Caller{kms.Role("app")}, k.usage))(t)
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{KeySpec: k.spec, KeyUsage: k.usage, Policy: policy}))(t)
		again := k.use(t, f.As(kms.Role("app")), key.ARN)
		wantCode(t, again(f.As(kms.Role("admin"))), kms.ErrAccessDenied)
	}
	if _, err := f.DefaultPolicy(nil, []kms.Caller{kms.Role("app")}, "SIGN"); err == nil {
		t.Error("a usage that does not exist")
	}
}

func TestDefaultPolicySeparatesDuties(t *testing.T) {
	f := open(t)
	policy := must(f.DefaultPolicy([]kms.Caller{kms.Role("sec/admin")}, []kms.Caller{kms.User("app"), kms.Session("batch", "night")}))(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: policy}))(t)
	admin, user, session, other := f.As(kms.Session("sec/admin", "s1")), f.As(kms.User("app")), f.As(kms.Session("batch", "night")), f.As(kms.Session("batch", "day"))

	out := must(user.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	must(session.Decrypt(t.Context(), out.Ciphertext, nil))(t)
	_, err := other.Decrypt(t.Context(), out.Ciphertext, nil)
	wantCode(t, err, kms.ErrAccessDenied)
	_, err = admin.Decrypt(t.Context(), out.Ciphertext, nil)
	wantCode(t, err, kms.ErrAccessDenied)
	wantCode(t, user.DisableKey(t.Context(), key.ARN), kms.ErrAccessDenied)
	check(t, admin.DisableKey(t.Context(), key.ARN))
	check(t, admin.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: policy}))
	must(admin.RotateKeyOnDemand(t.Context(), must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: policy}))(t).ARN))(t)

	for _, bad := range []kms.Caller{{}, kms.Service("x.amazonaws.com"), kms.User("a b")} {
		if _, err := f.DefaultPolicy([]kms.Caller{bad}, nil); err == nil {
			t.Errorf("DefaultPolicy names administrator %+v", bad)
		}
		if _, err := f.DefaultPolicy(nil, []kms.Caller{bad}); err == nil {
			t.Errorf("DefaultPolicy names user %+v", bad)
		}
	}
}
