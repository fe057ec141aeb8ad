// Awssdk runs code that is made for AWS KMS, with the client of the AWS SDK for Go, on a keyring: here one in memory, without a socket, as a unit test would.
//
// The code is in vault.go, and knows nothing of the keyring. What decides is the same as in AWS: the key's policy, the role that calls, the encryption context, the
// state of the key. The errors are the SDK's own types.
//
//	go run ./examples/awssdk
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

const alias = "alias/orders"

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "awssdk:", err)
		os.Exit(1)
	}
}

// run seals and opens a record by two roles, of which the key's policy knows one.
func run(ctx context.Context) (err error) {
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1"}) // in memory: it dies with the process
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	policy, err := ring.DefaultPolicy(nil, []kms.Caller{kms.Role("orders")})
	if err != nil {
		return err
	}
	admin := clientOf(ring, kms.Root())
	key, err := admin.CreateKey(ctx, &awskms.CreateKeyInput{Policy: &policy})
	if err != nil {
		return err
	}
	if _, err := admin.CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String(alias), TargetKeyId: key.KeyMetadata.KeyId}); err != nil {
		return err
	}

	orders := vault{clientOf(ring, kms.Role("orders")), alias}
	sealed, err := orders.seal(ctx, "42", []byte("a card number"))
	if err != nil {
		return err
	}
	if _, err := admin.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: key.KeyMetadata.KeyId}); err != nil {
		return err
	}
	plain, err := orders.open(ctx, "42", sealed)
	if err != nil {
		return err
	}
	fmt.Printf("role orders, tenant 42: %s\n", plain)
	_, err = orders.open(ctx, "43", sealed)
	fmt.Printf("role orders, tenant 43: %s\n", reason(err))
	_, err = vault{clientOf(ring, kms.Role("stranger")), alias}.open(ctx, "42", sealed)
	fmt.Printf("role stranger, tenant 42: %s\n", reason(err))
	return nil
}

// clientOf returns a client of the AWS SDK whose requests the ring answers as a caller's.
func clientOf(ring *kms.Keyring, caller kms.Caller) *awskms.Client {
	return awskms.New(awskms.Options{
		Region:           ring.Region(),
		Credentials:      aws.AnonymousCredentials{}, // nothing is signed, and nobody looks: the transport says who calls
		HTTPClient:       &http.Client{Transport: kmshttp.Transport(ring).As(caller)},
		RetryMaxAttempts: 1,
	})
}
