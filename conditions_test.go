package kms_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/claviger/kms"
)

// A scene is a ring for one condition: a key whose policy holds it, and another key that everyone may use.
type scene struct {
	*fixture
	t          *testing.T
	key, other kms.KeyMetadata
}

// TestConditionKeys: each condition key has the value that AWS KMS gives it, and only where it has one. A condition stands once in a policy that allows nothing
// else, and once in a Deny beside one that allows everything.
func TestConditionKeys(t *testing.T) {
	session, user, service := kms.Session("path/app", "pod-7"), kms.User("ops/carol"), kms.Service("logs.amazonaws.com")
	encryptWith := func(ec kms.EncryptionContext) func(*scene, *kms.Client) error {
		return func(s *scene, c *kms.Client) error {
			_, err := c.Encrypt(s.t.Context(), s.key.ARN, []byte("x"), ec)
			return err
		}
	}
	encrypt := encryptWith(kms.EncryptionContext{"Tenant": "42", "stage": "prod"})
	const met, unmet, unclear = "met", "unmet", "unclear" // what is unclear neither lets an Allow apply nor keeps a Deny from it
	for _, tc := range []struct {
		caller    kms.Caller
		call      func(*scene, *kms.Client) error
		condition string
		want      string
	}{
		{session, encrypt, `"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/path/app"}`, met},
		{session, encrypt, `"ArnLike":{"aws:PrincipalArn":"arn:aws:sts::111122223333:assumed-role/*"}`, unmet},
		{user, encrypt, `"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/ops/*"}`, met},
		{service, encrypt, `"Null":{"aws:PrincipalArn":"true","aws:PrincipalAccount":"true","kms:CallerAccount":"true","aws:PrincipalType":"true","aws:userid":"true"}`, met},
		{session, encrypt, `"StringEquals":{"aws:PrincipalAccount":"111122223333","kms:CallerAccount":"111122223333","aws:ResourceAccount":"111122223333"}`, met},
		{session, encrypt, `"StringEquals":{"aws:PrincipalType":"AssumedRole"}`, met},
		{user, encrypt, `"StringEquals":{"aws:PrincipalType":"User","aws:username":"carol"}`, met},
		{session, encrypt, `"Null":{"aws:username":"true","aws:PrincipalServiceName":"true","aws:SourceIp":"true","aws:MultiFactorAuthAge":"true","kms:ViaService":"true"}`, met},
		{session, encrypt, `"Bool":{"aws:MultiFactorAuthPresent":"false"}`, met},
		{user, encrypt, `"Null":{"aws:MultiFactorAuthPresent":"true"}`, met},
		{session, encrypt, `"StringLike":{"aws:userid":"AROA?????????????????:pod-7"}`, met},
		{user, encrypt, `"StringLike":{"aws:userid":"AIDA?????????????????"}`, met},
		{session, encrypt, `"Bool":{"aws:PrincipalIsAWSService":"false","aws:ViaAWSService":"false","aws:SecureTransport":"true"}`, met},
		{service, encrypt, `"Bool":{"aws:PrincipalIsAWSService":"true"},"StringEquals":{"aws:PrincipalServiceName":"logs.amazonaws.com"}`, met},
		{session, encrypt, `"DateEquals":{"aws:CurrentTime":"2026-03-01T10:00:00Z","aws:EpochTime":"2026-03-01T11:00:00+01:00"}`, met},
		{session, encrypt, `"NumericLessThan":{"aws:EpochTime":1772359201}`, met},
		{session, encrypt, `"DateGreaterThan":{"aws:CurrentTime":"2026-03-01T10:00:00Z"}`, unmet},
		{session, encrypt, `"StringEquals":{"aws:RequestedRegion":"eu-central-1"}`, met},
		{session, encrypt, `"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:KeyUsage":"ENCRYPT_DECRYPT","kms:KeyOrigin":"AWS_KMS"},"Bool":{"kms:MultiRegion":false}`, met},
		{session, encrypt, `"StringEquals":{"kms:CustomerMasterKeySpec":"SYMMETRIC_DEFAULT","kms:CustomerMasterKeyUsage":"ENCRYPT_DECRYPT"}`, met},
		{session, encrypt, `"StringEquals":{"aws:ResourceTag/team":"a"}`, met},
		{session, encrypt, `"StringEquals":{"aws:ResourceTag/team":"A"}`, unmet},
		{session, encrypt, `"StringEquals":{"aws:ResourceTag/twice":"1"}`, unclear}, // two tags fold to one key
		{session, encrypt, `"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/two"}`, met},
		{session, encrypt, `"ForAllValues:StringEquals":{"kms:ResourceAliases":"alias/two"}`, unmet},
		{session, encrypt, `"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, met},
		{session, encrypt, `"StringEquals":{"kms:EncryptionContext:tenant":"42"}`, met}, // the name without case, the value with it
		{session, encrypt, `"StringEquals":{"kms:EncryptionContext:stage":"PROD"}`, unmet},
		{session, encrypt, `"StringEquals":{"kms:EncryptionContext:other":"42"}`, unmet},
		{session, encryptWith(kms.EncryptionContext{"Tenant": "42", "tenant": "42"}), `"StringEquals":{"kms:EncryptionContext:tenant":"42"}`, unclear},
		{session, encryptWith(kms.EncryptionContext{"dept": "hr", "Dept": "it"}), `"ForAnyValue:StringEquals":{"kms:EncryptionContext:dept":"it"}`, unclear},
		{session, encryptWith(nil), `"Null":{"kms:EncryptionContextKeys":"true","kms:EncryptionContext:tenant":"true"}`, met},
		{session, encrypt, `"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["Tenant","stage"]}`, met},
		{session, encrypt, `"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["tenant","stage"]}`, unmet},
		{session, encrypt, `"StringEquals":{"kms:EncryptionContextKeys":"Tenant"}`, unclear}, // a set wants a set operator
		{session, encrypt, `"Null":{"kms:RequestAlias":"true","kms:ReEncryptOnSameKey":"true","kms:RotationPeriodInDays":"true","aws:TagKeys":"true"}`, met},
		{session, func(s *scene, c *kms.Client) error {
			_, err := c.GenerateDataKey(s.t.Context(), "alias/one", kms.AES256, nil)
			return err
		}, `"StringEquals":{"kms:RequestAlias":"alias/one","kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, met},
		{session, func(s *scene, c *kms.Client) error {
			return c.TagResource(s.t.Context(), s.key.ARN, kms.Tag{Key: "Team", Value: "a"}, kms.Tag{Key: "New", Value: "b"})
		}, `"StringEquals":{"aws:RequestTag/new":"b"},"ForAnyValue:StringEquals":{"aws:TagKeys":"New"}`, met},
		{session, func(s *scene, c *kms.Client) error { return c.UntagResource(s.t.Context(), s.key.ARN, "New") },
			`"ForAllValues:StringEquals":{"aws:TagKeys":["New"]},"Null":{"aws:RequestTag/New":"true"}`, met},
		{session, func(s *scene, c *kms.Client) error {
			return c.EnableKeyRotation(s.t.Context(), s.key.ARN, 100*kms.Day)
		}, `"NumericEquals":{"kms:RotationPeriodInDays":100}`, met},
		{session, func(s *scene, c *kms.Client) error { return c.EnableKeyRotation(s.t.Context(), s.key.ARN, 0) },
			`"NumericEquals":{"kms:RotationPeriodInDays":365}`, met},
		{session, func(s *scene, c *kms.Client) error {
			_, err := c.ScheduleKeyDeletion(s.t.Context(), s.key.ARN, 0)
			return err
		}, `"NumericEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}`, met},
		{session, func(s *scene, c *kms.Client) error {
			return c.PutKeyPolicy(s.t.Context(), s.key.ARN, kms.PutKeyPolicyInput{Policy: everyone, BypassPolicyLockoutSafetyCheck: true})
		}, `"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}`, met},
		{session, func(s *scene, c *kms.Client) error {
			return c.PutKeyPolicy(s.t.Context(), s.key.ARN, kms.PutKeyPolicyInput{Policy: everyone})
		}, `"Null":{"kms:BypassPolicyLockoutSafetyCheck":"true"}`, met}, // present only if it was sent
		{session, func(s *scene, c *kms.Client) error {
			out := must(s.Encrypt(s.t.Context(), s.other.ARN, []byte("x"), nil))(s.t)
			_, err := c.ReEncrypt(s.t.Context(), out.Ciphertext, s.key.ARN, kms.ReEncryptInput{DestinationEncryptionContext: kms.EncryptionContext{"to": "here"}})
			return err
		}, `"StringEquals":{"kms:EncryptionContext:to":"here"},"Bool":{"kms:ReEncryptOnSameKey":"false"}`, met},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			principal := `"*"`
			if tc.caller == service {
				principal = `{"Service":"logs.amazonaws.com"}`
			}
			policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Principal":%s,"Action":"*","Resource":"*","Condition":{%s}}`, effect, principal, tc.condition)
			want := tc.want == met
			if effect == "Deny" {
				policy += `,{"Effect":"Allow","Principal":` + principal + `,"Action":"*","Resource":"*"}`
				want = tc.want == unmet
			}
			s := &scene{fixture: open(t), t: t}
			s.other = s.create()
			s.key = must(s.CreateKey(t.Context(), kms.CreateKeyInput{Policy: everyone, Tags: []kms.Tag{{Key: "Team", Value: "a"}, {Key: "twice", Value: "1"}, {Key: "Twice", Value: "1"}}}))(t)
			check(t, s.CreateAlias(t.Context(), "alias/one", s.key.ARN))
			check(t, s.CreateAlias(t.Context(), "alias/two", s.key.ARN))
			check(t, s.PutKeyPolicy(t.Context(), s.key.ARN, kms.PutKeyPolicyInput{Policy: policy + "]}", BypassPolicyLockoutSafetyCheck: true}))
			err := tc.call(s, s.As(tc.caller))
			if allowed := err == nil; allowed != want || !allowed && !errors.Is(err, kms.ErrAccessDenied) {
				t.Errorf("%s if %s: %v, want allowed %v", effect, tc.condition, err, want)
			}
		}
	}
}
