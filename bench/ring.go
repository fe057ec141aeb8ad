package main

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
)

// A ring is a keyring in memory, as the role that uses its keys sees it.
type ring struct {
	*kms.Client
	keyring *kms.Keyring
	events  counter
	ends    []func() error

	key string // ARN of a key whose policy is the console's, with four statements
}

// tenant is the encryption context that the conditional key's policy wants.
var tenant = kms.EncryptionContext{"tenant": "42"}

const (
	conditionalAlias = "alias/conditional"

	conditionalPolicy = `{"Version": "2012-10-17", "Statement": [
		{"Sid": "account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
		{"Sid": "manage", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/security"},
			"Action": ["kms:Create*", "kms:Describe*", "kms:Put*", "kms:ScheduleKeyDeletion"], "Resource": "*"},
		{"Sid": "use", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/app"},
			"Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*",
			"Condition": {"StringEquals": {"kms:EncryptionContext:tenant": ["41", "42", "43"]}}}
	]}`

	// usePolicy is for keys that neither encrypt nor decrypt, and as long as the console's.
	usePolicy = `{"Version": "2012-10-17", "Statement": [
		{"Sid": "account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
		{"Sid": "manage", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/security"},
			"Action": ["kms:Create*", "kms:Describe*", "kms:Put*", "kms:ScheduleKeyDeletion"], "Resource": "*"},
		{"Sid": "use", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/app"},
			"Action": ["kms:Sign", "kms:Verify", "kms:GetPublicKey", "kms:GenerateMac", "kms:VerifyMac", "kms:DeriveSharedSecret", "kms:Encapsulate", "kms:Decapsulate"],
			"Resource": "*"},
		{"Sid": "attach", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/app"}, "Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
			"Resource": "*", "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}}
	]}`
)

// newRing opens a ring and makes its keys.
func newRing() (*ring, error) {
	ctx, r := context.Background(), new(ring)
	keyring, err := kms.Open(ctx, kms.Config{AccountID: account, Region: "eu-central-1", Audit: &r.events})
	if err != nil {
		return nil, err
	}
	policy, err := keyring.DefaultPolicy([]kms.Caller{kms.Role("security")}, []kms.Caller{kms.Role("app")})
	if err != nil {
		return nil, err
	}
	key, err := keyring.CreateKey(ctx, kms.CreateKeyInput{Policy: policy})
	if err != nil {
		return nil, err
	}
	conditional, err := keyring.CreateKey(ctx, kms.CreateKeyInput{Policy: conditionalPolicy})
	if err != nil {
		return nil, err
	}
	r.keyring, r.Client, r.key = keyring, keyring.As(kms.Role("app")), key.ARN
	return r, keyring.CreateAlias(ctx, conditionalAlias, conditional.ARN)
}

// newKey makes a key that neither encrypts nor decrypts, and returns its ARN.
func (r *ring) newKey(spec kms.KeySpec, usage kms.KeyUsage) (arn string, err error) {
	key, err := r.keyring.CreateKey(context.Background(), kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage, Policy: usePolicy})
	return key.ARN, err
}

// newPair is newKey, and returns the public half of the key as well.
func (r *ring) newPair(spec kms.KeySpec, usage kms.KeyUsage) (arn string, public crypto.PublicKey, err error) {
	if arn, err = r.newKey(spec, usage); err != nil {
		return "", nil, err
	}
	described, err := r.GetPublicKey(context.Background(), arn)
	if err != nil {
		return "", nil, err
	}
	public, err = described.Parse()
	return arn, public, err
}

// atEnd keeps what must be done when the ring is closed. What came last is done first.
func (r *ring) atEnd(f func() error) { r.ends = append(r.ends, f) }

func (r *ring) close() error {
	var errs []error
	for _, f := range slices.Backward(r.ends) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// A counter is the cheapest sink that still takes every event.
type counter struct{ n atomic.Int64 }

// Append counts the event.
func (c *counter) Append(context.Context, *audit.Event) error {
	c.n.Add(1)
	return nil
}
