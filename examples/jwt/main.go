// Jwt issues JSON Web Tokens, by ES256, EdDSA, RS256 and PS256, that are signed by keys in the keyring, and publishes the public keys as a JSON Web Key Set, by which
// any service verifies the tokens without asking.
//
//	go run ./examples/jwt [-subject NAME]
//
// The issuer is handed a client that acts as a role, which the key policies let read the public keys, and sign by the one algorithm that each key is for, and nothing else.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/examples/internal/trail"
)

func main() {
	subject := flag.String("subject", "ada", "issue tokens to `NAME`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: jwt [-subject NAME]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), *subject); err != nil {
		fmt.Fprintln(os.Stderr, "jwt:", err)
		os.Exit(1)
	}
}

// keyPolicy is the policy of a key, with a place for its algorithm. The root user manages the key, and the role of the issuer signs.
const keyPolicy = `{"Version": "2012-10-17", "Statement": [
	{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
	{"Sid": "Publish", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/issuer"}, "Action": "kms:GetPublicKey", "Resource": "*"},
	{"Sid": "Issue", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/issuer"}, "Action": "kms:Sign", "Resource": "*",
	 "Condition": {"StringEquals": {"kms:SigningAlgorithm": "%s"}}}]}`

// run issues a token by each algorithm. The keyring is in memory and ends with the program; the quickstart shows one that stays.
func run(ctx context.Context, subject string) (err error) {
	var events audit.Memory // a program that means it keeps its trail in a file: audit.JSON
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1", Audit: &events})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	var issuers []*issuer
	for _, m := range methods {
		key, err := newKey(ctx, ring, m)
		if err != nil {
			return err
		}
		i, err := newIssuer(ctx, ring.As(kms.Role("issuer")), key, m)
		if err != nil {
			return err
		}
		issuers = append(issuers, i)
	}
	set, err := newKeySet(issuers...)
	if err != nil {
		return err
	}
	published, err := json.Marshal(set)
	if err != nil {
		return err
	}
	fmt.Printf("The key set, to be served at %s/.well-known/jwks.json\n%s\n", issuerURL, published)
	fmt.Println("The tokens")
	for _, i := range issuers {
		token, err := i.issue(ctx, subject)
		if err != nil {
			return err
		}
		fmt.Println(token)
	}
	fmt.Println("The audit trail: who did what, with which key")
	return trail.Print(os.Stdout, events.Events())
}

// newKey makes a key for one algorithm.
func newKey(ctx context.Context, ring *kms.Keyring, m method) (kms.KeyMetadata, error) {
	return ring.CreateKey(ctx, kms.CreateKeyInput{
		Description: m.Alg() + " tokens", KeySpec: m.spec, KeyUsage: kms.SignVerify, Policy: fmt.Sprintf(keyPolicy, m.algorithm),
	})
}
