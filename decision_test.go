package kms_test

import (
	"testing"

	"github.com/claviger/kms"
)

// TestGrantOfTwoSpellings: a grant whose constraint has two names that are one but for case is no grant of whatever context has as many pairs.
func TestGrantOfTwoSpellings(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	alice := "arn:aws:iam::111122223333:user/alice"
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: alice, Operations: []kms.GrantOperation{kms.GrantEncrypt},
		Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT", "dept": "IT"}}}))(t)
	_, err := f.As(kms.User("alice")).Encrypt(t.Context(), key.ARN, []byte("x"), kms.EncryptionContext{"Dept": "IT", "Stage": "test"})
	wantCode(t, err, kms.ErrAccessDenied)

	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: alice, Operations: []kms.GrantOperation{kms.GrantEncrypt},
		Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"dept": "IT", "Stage": "test"}}}))(t)
	must(f.As(kms.User("alice")).Encrypt(t.Context(), key.ARN, []byte("x"), kms.EncryptionContext{"Dept": "IT", "Stage": "test"}))(t)
}
