// Manualrotation replaces a key by another one, by hand: where new key material for the same key is not enough, because its policy was too wide, because data
// moves to a key of its own, or because the key cannot rotate.
//
// An alias gives the key in use a name, and is moved to the new key: programs that name the alias encrypt under the new key from then on. Old ciphertexts name the
// key that made them, and go on to decrypt while it exists. What is still under the old key is found by comparing key ARNs, and moved by re-encryption; then
// the old key is disabled, and deleted when nobody misses it.
//
//	go run ./examples/manualrotation
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/claviger/kms"
)

const alias = "alias/customers"

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "manualrotation:", err)
		os.Exit(1)
	}
}

// run replaces a key while a table of customers is encrypted under it.
func run(ctx context.Context) (err error) {
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1"}) // in memory: it dies with the process
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ring.Close()) }()

	old, err := newKey(ctx, ring)
	if err != nil {
		return err
	}
	if err := ring.CreateAlias(ctx, alias, old.ARN); err != nil {
		return err
	}
	t := &table{client: ring.As(crm)}
	for _, name := range []string{"Ada", "Grace", "Mary"} {
		if err := t.insert(ctx, name); err != nil {
			return err
		}
	}
	fmt.Printf("%s names key %.8s\n", alias, old.KeyID)
	if err := t.print(ctx); err != nil {
		return err
	}

	next, err := newKey(ctx, ring)
	if err != nil {
		return err
	}
	if err := ring.UpdateAlias(ctx, alias, next.ARN); err != nil {
		return err
	}
	if err := t.insert(ctx, "Katherine"); err != nil {
		return err
	}
	fmt.Printf("%s names key %.8s: old rows still decrypt, a new row is under the new key\n", alias, next.KeyID)
	if err := t.print(ctx); err != nil {
		return err
	}

	moved, err := t.move(ctx)
	if err != nil {
		return err
	}
	if err := ring.DisableKey(ctx, old.KeyID); err != nil { // can be undone, which a deletion that is over cannot
		return err
	}
	fmt.Printf("%d rows were moved, and key %.8s is disabled: nothing needs it\n", moved, old.KeyID)
	return t.print(ctx)
}

// crm is the role of the program that keeps the customers.
var crm = kms.Role("crm")

// newKey creates a key for customers. Both keys have the same policy, so that the role can re-encrypt from one to the other.
func newKey(ctx context.Context, ring *kms.Keyring) (kms.KeyMetadata, error) {
	policy, err := ring.DefaultPolicy(nil, []kms.Caller{crm})
	if err != nil {
		return kms.KeyMetadata{}, err
	}
	return ring.CreateKey(ctx, kms.CreateKeyInput{Description: "customers", Policy: policy})
}
