package kmstest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmstest"
)

// A key rotates when its year is over, and what was encrypted before still decrypts. A role that the key policy does not name may not use it.
func Example() {
	ctx, t := context.Background(), new(testing.T) // a test has them: t.Context() and its own t
	ring := kmstest.New(t)
	policy, err := ring.DefaultPolicy(nil, []kms.Caller{kms.Role("orders")})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.EnableKeyRotation(ctx, key.ARN, 365*kms.Day); err != nil {
		t.Fatal(err)
	}

	orders := ring.As(kms.Role("orders"))
	out, err := orders.Encrypt(ctx, key.ARN, []byte("blue whale"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ring.Clock.Advance(366 * kms.Day)
	back, err := orders.Decrypt(ctx, out.Ciphertext, nil)
	fmt.Printf("%s %v\n", back.Plaintext, err)

	_, err = ring.As(kms.Role("reports")).Decrypt(ctx, out.Ciphertext, nil)
	fmt.Println(errors.Is(err, kms.ErrAccessDenied))

	for _, e := range ring.Trail.Events() {
		fmt.Println(e.Time.Format("2006-01-02"), e.Name, cmp.Or(e.ErrorCode, "ok"))
	}
	// Output:
	// blue whale <nil>
	// true
	// 2026-01-01 CreateKey ok
	// 2026-01-01 EnableKeyRotation ok
	// 2026-01-01 Encrypt ok
	// 2027-01-02 RotateKey ok
	// 2027-01-02 Decrypt ok
	// 2027-01-02 Decrypt AccessDenied
}
