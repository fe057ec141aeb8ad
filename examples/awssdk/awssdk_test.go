package main

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/program"
	"github.com/claviger/kms/kmstest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestAWSSDK runs the program.
func TestAWSSDK(t *testing.T) {
	out, err := program.Command(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "role orders, tenant 42: a card number\nrole orders, tenant 43: InvalidCiphertextException\nrole stranger, tenant 42: AccessDeniedException\n"
	if string(out) != want {
		t.Errorf("it prints\n%s\nwant\n%s", out, want)
	}
}

// TestVault is what the tests of a program look like that is made for AWS KMS: the client is the real one, and the ring enforces.
func TestVault(t *testing.T) {
	ring := kmstest.New(t)
	admin := clientOf(ring.Keyring, kms.Root())
	policy, err := ring.DefaultPolicy(nil, []kms.Caller{kms.Role("orders")})
	if err != nil {
		t.Fatal(err)
	}
	key, err := admin.CreateKey(t.Context(), &awskms.CreateKeyInput{Policy: &policy})
	if err != nil {
		t.Fatal(err)
	}
	v := vault{clientOf(ring.Keyring, kms.Role("orders")), *key.KeyMetadata.Arn}
	sealed, err := v.seal(t.Context(), "42", []byte("a card number"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := v.open(t.Context(), "42", sealed); err != nil || string(plain) != "a card number" {
		t.Errorf("%q, %v", plain, err)
	}
	_, err = v.open(t.Context(), "43", sealed)
	if _, ok := errors.AsType[*types.InvalidCiphertextException](err); !ok {
		t.Errorf("another tenant: %v", err)
	}
	if _, err := admin.DisableKey(t.Context(), &awskms.DisableKeyInput{KeyId: aws.String(*key.KeyMetadata.KeyId)}); err != nil {
		t.Fatal(err)
	}
	_, err = v.open(t.Context(), "42", sealed)
	if _, ok := errors.AsType[*types.DisabledException](err); !ok {
		t.Errorf("a disabled key: %v", err)
	}
	if _, err := v.open(t.Context(), "42", sealed[:1]); !errors.Is(err, errSealed) {
		t.Errorf("a torn record: %v", err)
	}
	if last := ring.Trail.Events()[len(ring.Trail.Events())-1]; last.Name != "Decrypt" || last.ErrorCode != "DisabledException" || last.UserAgent == "" {
		t.Errorf("the trail ends with %+v", last)
	}
}
