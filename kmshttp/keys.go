package kmshttp

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/claviger/kms"
)

// What the operations that manage keys read, call and answer.

// onKey is an operation that takes a key and answers nothing.
func onKey(operation func(*kms.Client, context.Context, string) error) func(*input) call {
	return func(in *input) call {
		in.require("KeyId")
		key := in.text("KeyId")
		return func(ctx context.Context, c *kms.Client) (object, error) { return nil, operation(c, ctx, key) }
	}
}

// onKeyByARN is an operation that takes a key and answers its ARN.
func onKeyByARN(operation func(*kms.Client, context.Context, string) (string, error)) func(*input) call {
	return func(in *input) call {
		in.require("KeyId")
		key := in.text("KeyId")
		return func(ctx context.Context, c *kms.Client) (object, error) {
			arn, err := operation(c, ctx, key)
			return object{"KeyId": arn}, err
		}
	}
}

// Key specs that the member had which KeySpec replaced.
var customerMasterKeySpecs = []string{
	"SYMMETRIC_DEFAULT", "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "SM2",
}

// Origins that the model has.
var origins = []string{"AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"}

func createKey(in *input) call {
	in.refuse("CustomKeyStoreId", "XksKeyId")
	if origin := in.choice("Origin", origins...); origin != "" && origin != string(kms.OriginAWSKMS) {
		in.refuse("Origin")
	}
	if in.truth("MultiRegion") {
		in.refuse("MultiRegion")
	}
	if in.has("KeySpec") && in.has("CustomerMasterKeySpec") {
		in.fail(&fault{"ValidationException", "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."})
	}
	what := kms.CreateKeyInput{
		Description: in.text("Description"), KeySpec: kms.KeySpec(in.filled("KeySpec") + in.choice("CustomerMasterKeySpec", customerMasterKeySpecs...)), KeyUsage: kms.KeyUsage(in.filled("KeyUsage")),
		Policy: in.filled("Policy"), Tags: tags(in), BypassPolicyLockoutSafetyCheck: in.truth("BypassPolicyLockoutSafetyCheck"),
	}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		m, err := c.CreateKey(ctx, what)
		return object{"KeyMetadata": keyMetadata(m)}, err
	}
}

func describeKey(in *input) call {
	in.require("KeyId")
	key := in.text("KeyId")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		m, err := c.DescribeKey(ctx, key)
		return object{"KeyMetadata": keyMetadata(m)}, err
	}
}

// page reads which page of a list is asked for.
func page(in *input) kms.PageInput {
	return kms.PageInput{Limit: in.number("Limit", 1), Marker: in.filled("Marker")}
}

func listKeys(in *input) call {
	page := page(in)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListKeysPage(ctx, page)
		return pageOf("Keys", p, func(k kms.KeyListEntry) any { return object{"KeyId": k.KeyID, "KeyArn": k.KeyARN} }), err
	}
}

func updateKeyDescription(in *input) call {
	in.require("KeyId", "Description")
	key, description := in.text("KeyId"), in.text("Description")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		return nil, c.UpdateKeyDescription(ctx, key, description)
	}
}

func scheduleKeyDeletion(in *input) call {
	in.require("KeyId")
	key, days := in.text("KeyId"), in.number("PendingWindowInDays", 7)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.ScheduleKeyDeletion(ctx, key, days)
		o := object{"KeyId": out.KeyARN, "KeyState": out.KeyState, "PendingWindowInDays": out.PendingWindowInDays}
		setTime(o, "DeletionDate", out.DeletionDate)
		return o, err
	}
}

// The one policy that a key has.
const policyName = "default"

// policy reads which policy of a key is meant. There is no other than the one.
func policy(in *input) {
	if name := in.filled("PolicyName"); name != "" && name != policyName {
		in.fail(&fault{string(kms.ErrNotFound), "No such policy exists"})
	}
}

func getKeyPolicy(in *input) call {
	in.require("KeyId")
	policy(in)
	key := in.text("KeyId")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		document, err := c.GetKeyPolicy(ctx, key)
		return object{"Policy": document, "PolicyName": policyName}, err
	}
}

func putKeyPolicy(in *input) call {
	in.require("KeyId", "Policy")
	policy(in)
	key, what := in.text("KeyId"), kms.PutKeyPolicyInput{Policy: in.text("Policy"), BypassPolicyLockoutSafetyCheck: in.truth("BypassPolicyLockoutSafetyCheck")}
	return func(ctx context.Context, c *kms.Client) (object, error) { return nil, c.PutKeyPolicy(ctx, key, what) }
}

func listKeyPolicies(in *input) call {
	in.require("KeyId")
	key, page := in.text("KeyId"), page(in)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListKeyPoliciesPage(ctx, key, page)
		return pageOf("PolicyNames", p, func(name string) any { return name }), err
	}
}

// tags reads a list of tags.
func tags(in *input) (list []kms.Tag) {
	for _, t := range in.objects("Tags") {
		t.require("TagKey", "TagValue")
		list = append(list, kms.Tag{Key: t.text("TagKey"), Value: t.text("TagValue")})
	}
	return list
}

func tagResource(in *input) call {
	in.require("KeyId", "Tags")
	key, tags := in.text("KeyId"), tags(in)
	return func(ctx context.Context, c *kms.Client) (object, error) { return nil, c.TagResource(ctx, key, tags...) }
}

func untagResource(in *input) call {
	in.require("KeyId", "TagKeys")
	key, names := in.text("KeyId"), in.texts("TagKeys")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		return nil, c.UntagResource(ctx, key, names...)
	}
}

func listResourceTags(in *input) call {
	in.require("KeyId")
	key, page := in.text("KeyId"), page(in)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListResourceTagsPage(ctx, key, page)
		return pageOf("Tags", p, func(t kms.Tag) any { return object{"TagKey": t.Key, "TagValue": t.Value} }), err
	}
}

func enableKeyRotation(in *input) call {
	in.require("KeyId")
	key, days := in.text("KeyId"), in.number("RotationPeriodInDays", 90)
	if days > int(math.MaxInt64/kms.Day) { // which cannot be asked of the keyring
		in.violate("RotationPeriodInDays", strconv.Itoa(days), "have value less than or equal to 2560")
	}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		return nil, c.EnableKeyRotation(ctx, key, time.Duration(days)*kms.Day)
	}
}

func getKeyRotationStatus(in *input) call {
	in.require("KeyId")
	key := in.text("KeyId")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		s, err := c.GetKeyRotationStatus(ctx, key)
		o := object{"KeyId": s.KeyARN, "KeyRotationEnabled": s.KeyRotationEnabled}
		set(o, "RotationPeriodInDays", int((s.RotationPeriod+kms.Day-1)/kms.Day))
		setTime(o, "NextRotationDate", s.NextRotationDate)
		return o, err
	}
}

// What a list of rotations may include.
const allKeyMaterial, rotationsOnly = "ALL_KEY_MATERIAL", "ROTATIONS_ONLY"

func listKeyRotations(in *input) call {
	in.require("KeyId")
	key, page := in.text("KeyId"), page(in)
	what := kms.ListKeyRotationsInput{AllKeyMaterial: in.choice("IncludeKeyMaterial", allKeyMaterial, rotationsOnly) == allKeyMaterial}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListKeyRotationsPage(ctx, key, what, page)
		return pageOf("Rotations", p, func(r kms.KeyRotation) any {
			o := object{"KeyId": r.KeyID, "KeyMaterialId": r.KeyMaterialID, "KeyMaterialState": r.KeyMaterialState}
			set(o, "RotationType", r.RotationType)
			setTime(o, "RotationDate", r.RotationDate)
			return o
		}), err
	}
}
