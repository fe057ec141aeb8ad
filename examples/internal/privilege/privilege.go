// Package privilege lets the tests of examples ask how much a role may do.
package privilege

import (
	"context"
	"errors"
	"testing"

	"github.com/claviger/kms"
)

// SignsOnly checks that a client may read the public half of a key and sign with it by an algorithm, and may do nothing else with the key.
func SignsOnly(t *testing.T, client *kms.Client, key string, algorithm kms.Algorithm) {
	t.Helper()
	if _, err := client.GetPublicKey(t.Context(), key); err != nil {
		t.Errorf("GetPublicKey: %v", err)
	}
	if _, err := client.Sign(t.Context(), key, kms.Raw([]byte("x")), algorithm); err != nil {
		t.Errorf("Sign: %v", err)
	}
	for name, do := range map[string]func(context.Context) error{
		"Verify": func(ctx context.Context) error {
			_, err := client.Verify(ctx, key, kms.Raw([]byte("x")), []byte("x"), algorithm)
			return err
		},
		"DescribeKey":  func(ctx context.Context) error { _, err := client.DescribeKey(ctx, key); return err },
		"GetKeyPolicy": func(ctx context.Context) error { _, err := client.GetKeyPolicy(ctx, key); return err },
		"PutKeyPolicy": func(ctx context.Context) error {
			return client.PutKeyPolicy(ctx, key, kms.PutKeyPolicyInput{Policy: `{"Version": "2012-10-17", "Statement": []}`})
		},
		"CreateGrant": func(ctx context.Context) error {
			_, err := client.CreateGrant(ctx, key, kms.CreateGrantInput{GranteePrincipal: "arn:aws:iam::111122223333:role/x", Operations: []kms.GrantOperation{kms.GrantSign}})
			return err
		},
		"DisableKey":          func(ctx context.Context) error { return client.DisableKey(ctx, key) },
		"ScheduleKeyDeletion": func(ctx context.Context) error { _, err := client.ScheduleKeyDeletion(ctx, key, 7); return err },
	} {
		if err := do(t.Context()); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
