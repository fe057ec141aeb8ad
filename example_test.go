package kms_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/claviger/kms"
)

func Example() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1"}) // in memory; see Config for stores and root keys
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	policy, err := ring.DefaultPolicy([]kms.Caller{kms.Role("security")}, []kms.Caller{kms.Role("orders")})
	if err != nil {
		log.Fatal(err)
	}
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Description: "orders", Policy: policy})
	if err != nil {
		log.Fatal(err)
	}
	if err := ring.CreateAlias(ctx, "alias/orders", key.ARN); err != nil {
		log.Fatal(err)
	}

	orders := ring.As(kms.Role("orders"))
	tenant := kms.EncryptionContext{"tenant": "42"}
	out, err := orders.Encrypt(ctx, "alias/orders", []byte("4111 1111 1111 1111"), tenant)
	if err != nil {
		log.Fatal(err)
	}
	back, err := orders.Decrypt(ctx, out.Ciphertext, tenant)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(back.Plaintext))

	_, err = orders.Decrypt(ctx, out.Ciphertext, kms.EncryptionContext{"tenant": "43"})
	fmt.Println("another tenant's context:", errors.Is(err, kms.ErrInvalidCiphertext))
	_, err = ring.As(kms.Role("security")).Decrypt(ctx, out.Ciphertext, tenant)
	fmt.Println("an administrator:", errors.Is(err, kms.ErrAccessDenied))
	// Output:
	// 4111 1111 1111 1111
	// another tenant's context: true
	// an administrator: true
}

func ExampleClient_GenerateDataKey() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{})
	if err != nil {
		log.Fatal(err)
	}

	dk, err := ring.GenerateDataKey(ctx, key.ARN, kms.AES256, kms.EncryptionContext{"object": "invoice.pdf"})
	if err != nil {
		log.Fatal(err)
	}
	defer dk.Zero()
	fmt.Println(len(dk.Plaintext()), "bytes to encrypt with,", len(dk.Ciphertext), "bytes to keep beside the data")

	again, err := ring.Decrypt(ctx, dk.Ciphertext, kms.EncryptionContext{"object": "invoice.pdf"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same key again:", string(again.Plaintext) == string(dk.Plaintext()))
	// Output:
	// 32 bytes to encrypt with, 143 bytes to keep beside the data
	// the same key again: true
}

func ExampleClient_RotateKeyOnDemand() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{})
	if err != nil {
		log.Fatal(err)
	}
	old, err := ring.Encrypt(ctx, key.ARN, []byte("before"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ring.RotateKeyOnDemand(ctx, key.ARN); err != nil {
		log.Fatal(err)
	}
	back, err := ring.Decrypt(ctx, old.Ciphertext, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("old data:", string(back.Plaintext))

	// Moving it to the new material does not show it to anybody.
	moved, err := ring.ReEncrypt(ctx, old.Ciphertext, key.ARN, kms.ReEncryptInput{})
	if err != nil {
		log.Fatal(err)
	}
	for _, ciphertext := range [][]byte{old.Ciphertext, moved.Ciphertext} {
		needed, err := ring.NeedsReEncrypt(ctx, ciphertext)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("needs to be moved:", needed)
	}
	// Output:
	// old data: before
	// needs to be moved: true
	// needs to be moved: false
}

func ExampleKeyring_As() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333"})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Policy: `{
		"Version": "2012-10-17",
		"Statement": [
			{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"},
			{"Sid": "Writers", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/writer"}, "Action": "kms:Encrypt", "Resource": "*",
			 "Condition": {"StringEquals": {"kms:EncryptionContext:app": "journal"}}}
		]}`})
	if err != nil {
		log.Fatal(err)
	}
	writer := ring.As(kms.Role("writer"))
	for _, app := range []string{"journal", "billing"} {
		_, err := writer.Encrypt(ctx, key.ARN, []byte("x"), kms.EncryptionContext{"app": app})
		fmt.Println(app, errors.Is(err, kms.ErrAccessDenied))
	}
	// Output:
	// journal false
	// billing true
}
