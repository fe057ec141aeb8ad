package kms_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log"
	"math/big"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/identities"
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

// Duties are separate: whoever manages the key cannot read what is under it, and whoever reads cannot manage. Simulate shows to both why.
func ExampleKeyring_DefaultPolicy() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333"})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	admin, user := kms.Role("security"), kms.Role("orders")
	policy, err := ring.DefaultPolicy([]kms.Caller{admin}, []kms.Caller{user})
	if err != nil {
		log.Fatal(err)
	}
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Policy: policy})
	if err != nil {
		log.Fatal(err)
	}

	decrypt := func(ctx context.Context, c *kms.Client) error {
		_, err := c.Decrypt(ctx, nil, nil, kms.WithKey(key.ARN)) // a simulation needs no ciphertext
		return err
	}
	disable := func(ctx context.Context, c *kms.Client) error { return c.DisableKey(ctx, key.ARN) }
	for _, caller := range []kms.Caller{admin, user} {
		for _, call := range []func(context.Context, *kms.Client) error{decrypt, disable} {
			s, err := ring.Simulate(ctx, caller, call)
			if err != nil {
				log.Fatal(err)
			}
			for _, p := range s.Permissions {
				fmt.Printf("%v, %s: %v %s\n", caller, p.Action, p.Explanation.Outcome, p.Explanation.Reason())
			}
		}
	}
	// Output:
	// role security, session security, kms:Decrypt: ImplicitlyDenied because no identity-based policy allows the kms:Decrypt action
	// role security, session security, kms:DisableKey: Allowed because of an allow in a resource-based policy (Statement "Allow access for Key Administrators")
	// role orders, session orders, kms:Decrypt: Allowed because of an allow in a resource-based policy (Statement "Allow use of the key")
	// role orders, session orders, kms:DisableKey: ImplicitlyDenied because no identity-based policy allows the kms:DisableKey action
}

// A worker may decrypt what is one tenant's, until the grant is revoked.
func ExampleClient_CreateGrant() {
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
	worker, err := ring.PrincipalARN(kms.Role("worker"))
	if err != nil {
		log.Fatal(err)
	}
	grant, err := ring.CreateGrant(ctx, key.ARN, kms.CreateGrantInput{
		Name:             "invoices-of-42", // a call that is repeated returns the same grant
		GranteePrincipal: worker,
		Operations:       []kms.GrantOperation{kms.GrantDecrypt},
		Constraints:      kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"tenant": "42"}},
	})
	if err != nil {
		log.Fatal(err)
	}

	read := func(tenant string) {
		ec := kms.EncryptionContext{"tenant": tenant, "document": "invoice"}
		out, err := ring.Encrypt(ctx, key.ARN, []byte("an invoice"), ec)
		if err != nil {
			log.Fatal(err)
		}
		// Another process may learn of the grant a few seconds later, unless the worker presents the token.
		_, err = ring.As(kms.Role("worker")).WithGrantTokens(grant.GrantToken).Decrypt(ctx, out.Ciphertext, ec)
		fmt.Println("tenant", tenant, "denied:", errors.Is(err, kms.ErrAccessDenied))
	}
	read("42")
	read("43")
	if err := ring.RevokeGrant(ctx, key.ARN, grant.GrantID); err != nil {
		log.Fatal(err)
	}
	read("42")
	// Output:
	// tenant 42 denied: false
	// tenant 43 denied: true
	// tenant 42 denied: true
}

// Who can decrypt, and by what? Access beyond the account is told by itself.
func ExampleKeyring_WhoCan() {
	ctx := context.Background()
	people, err := identities.Parse("iam.json", []byte(`{
		"UserDetailList": [
			{"Arn": "arn:aws:iam::111122223333:user/ann", "UserPolicyList": [{"PolicyName": "own", "PolicyDocument":
				{"Version": "2012-10-17", "Statement": {"Sid": "Keys", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}}}]},
			{"Arn": "arn:aws:iam::111122223333:user/ben"}],
		"RoleDetailList": [{"Arn": "arn:aws:iam::111122223333:role/reports"}],
		"Accounts": [{"Id": "444455556666"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Identities: people})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Policy: `{
		"Version": "2012-10-17",
		"Statement": [
			{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"},
			{"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": "kms:Decrypt", "Resource": "*"},
			{"Sid": "Reports", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/reports"}, "Action": "kms:Decrypt", "Resource": "*",
			 "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}
		]}`})
	if err != nil {
		log.Fatal(err)
	}

	who, err := ring.WhoCan(ctx, key.ARN, "kms:Decrypt")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range who.Principals {
		fmt.Println(p.Principal, "by", p.Grounds, "on conditions:", p.Conditional)
	}
	fmt.Println("other accounts:", who.OtherAccounts, "everyone:", who.Everyone)
	// Output:
	// arn:aws:iam::111122223333:role/reports by [resource-based policy (Statement "Reports")] on conditions: true
	// arn:aws:iam::111122223333:root by [resource-based policy (Statement "Account")] on conditions: false
	// arn:aws:iam::111122223333:user/ann by [resource-based policy (Statement "Account") identity-based policy (Statement "Keys")] on conditions: false
	// other accounts: [444455556666] everyone: false
}

func ExampleClient_Sign() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify})
	if err != nil {
		log.Fatal(err)
	}

	message := kms.Raw([]byte("pay 100 to Alice"))
	signed, err := ring.Sign(ctx, key.ARN, message, kms.AlgorithmECDSASHA256)
	if err != nil {
		log.Fatal(err)
	}
	_, err = ring.Verify(ctx, key.ARN, message, signed.Signature, kms.AlgorithmECDSASHA256)
	fmt.Println("the message:", err == nil)

	_, err = ring.Verify(ctx, key.ARN, kms.Raw([]byte("pay 900 to Alice")), signed.Signature, kms.AlgorithmECDSASHA256)
	fmt.Println("another one:", errors.Is(err, kms.ErrInvalidSignature))

	// What is longer than 4096 bytes is hashed by whoever has it.
	digest := sha256.Sum256(make([]byte, 1<<20))
	signed, err = ring.Sign(ctx, key.ARN, kms.Digest(digest[:]), kms.AlgorithmECDSASHA256)
	if err != nil {
		log.Fatal(err)
	}

	// Whoever has the public key verifies without the ring.
	public, err := ring.GetPublicKey(ctx, key.ARN)
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := public.Parse()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("elsewhere:", ecdsa.VerifyASN1(parsed.(*ecdsa.PublicKey), digest[:], signed.Signature))
	// Output:
	// the message: true
	// another one: true
	// elsewhere: true
}

// Whoever builds signs, whoever deploys verifies, and neither does the other. A signing key does not rotate: its alias moves to another one. What the old key signed goes on
// to verify by the old key's ARN, which is kept with the signature.
func ExampleClient_UpdateAlias() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333"})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	in := kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify, Policy: `{
		"Version": "2012-10-17",
		"Statement": [
			{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"},
			{"Sid": "Build", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/build"}, "Action": "kms:Sign", "Resource": "*",
			 "Condition": {"StringEquals": {"kms:MessageType": "DIGEST"}}},
			{"Sid": "Deploy", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/deploy"}, "Action": ["kms:Verify", "kms:GetPublicKey"], "Resource": "*"}
		]}`}
	key, err := ring.CreateKey(ctx, in)
	if err != nil {
		log.Fatal(err)
	}
	if err := ring.CreateAlias(ctx, "alias/releases", key.ARN); err != nil {
		log.Fatal(err)
	}

	build, deploy := ring.As(kms.Role("build")), ring.As(kms.Role("deploy"))
	digest := sha256.Sum256([]byte("version 1"))
	signed, err := build.Sign(ctx, "alias/releases", kms.Digest(digest[:]), kms.AlgorithmECDSASHA256)
	if err != nil {
		log.Fatal(err)
	}
	_, err = deploy.Sign(ctx, "alias/releases", kms.Digest(digest[:]), kms.AlgorithmECDSASHA256)
	fmt.Println("deploy may not sign:", errors.Is(err, kms.ErrAccessDenied))

	next, err := ring.CreateKey(ctx, in)
	if err != nil {
		log.Fatal(err)
	}
	if err := ring.UpdateAlias(ctx, "alias/releases", next.ARN); err != nil {
		log.Fatal(err)
	}
	_, err = deploy.Verify(ctx, "alias/releases", kms.Digest(digest[:]), signed.Signature, signed.Algorithm)
	fmt.Println("by the alias:", err == nil)
	_, err = deploy.Verify(ctx, signed.KeyARN, kms.Digest(digest[:]), signed.Signature, signed.Algorithm)
	fmt.Println("by its key:", err == nil)
	// Output:
	// deploy may not sign: true
	// by the alias: false
	// by its key: true
}

func ExampleClient_Signer() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify})
	if err != nil {
		log.Fatal(err)
	}
	signer, err := ring.Signer(ctx, key.ARN)
	if err != nil {
		log.Fatal(err)
	}

	// A certificate that its own key signs, as those of authorities do. The key stays in the ring.
	authority := &x509.Certificate{Subject: pkix.Name{CommonName: "Example Root"}, SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now(), NotAfter: time.Now().AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(nil, authority, authority, signer.Public(), signer)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(certificate.Subject, certificate.SignatureAlgorithm, certificate.CheckSignatureFrom(certificate) == nil)
	// Output: CN=Example Root ECDSA-SHA256 true
}

func ExampleClient_GenerateMac() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac})
	if err != nil {
		log.Fatal(err)
	}
	link := []byte("/reset?user=42&expires=1767225600")
	res, err := ring.GenerateMac(ctx, key.ARN, link, kms.AlgorithmHMACSHA256)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(res.Mac), "bytes")
	_, err = ring.VerifyMac(ctx, key.ARN, link, res.Mac, kms.AlgorithmHMACSHA256)
	fmt.Println("the link:", err == nil)
	_, err = ring.VerifyMac(ctx, key.ARN, []byte("/reset?user=43&expires=1767225600"), res.Mac, kms.AlgorithmHMACSHA256)
	fmt.Println("another user's:", errors.Is(err, kms.ErrInvalidMac))
	// Output:
	// 32 bytes
	// the link: true
	// another user's: true
}

func ExampleClient_DeriveSharedSecret() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.KeyAgreement})
	if err != nil {
		log.Fatal(err)
	}
	public, err := ring.GetPublicKey(ctx, key.ARN)
	if err != nil {
		log.Fatal(err)
	}

	// The other side has the ring's public key, and a key of its own.
	theirs, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := public.Parse()
	if err != nil {
		log.Fatal(err)
	}
	ours, err := parsed.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		log.Fatal(err)
	}
	theirSecret, err := theirs.ECDH(ours)
	if err != nil {
		log.Fatal(err)
	}

	// The ring is given their public key.
	der, err := x509.MarshalPKIXPublicKey(theirs.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	secret, err := ring.DeriveSharedSecret(ctx, key.ARN, der)
	if err != nil {
		log.Fatal(err)
	}
	defer secret.Zero()

	// The secret itself is no key: both derive one.
	one, err := hkdf.Key(sha256.New, secret.Secret(), nil, "example session key", 32)
	if err != nil {
		log.Fatal(err)
	}
	two, err := hkdf.Key(sha256.New, theirSecret, nil, "example session key", 32)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Equal(one, two))
	// Output: true
}

func ExampleClient_Encapsulate() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{KeySpec: kms.MLKEM768, KeyUsage: kms.EncapsulateDecapsulate})
	if err != nil {
		log.Fatal(err)
	}
	sent, err := ring.Encapsulate(ctx, key.ARN) // or with the public key, elsewhere
	if err != nil {
		log.Fatal(err)
	}
	defer sent.Zero()
	received, err := ring.Decapsulate(ctx, key.ARN, sent.Ciphertext)
	if err != nil {
		log.Fatal(err)
	}
	defer received.Zero()
	fmt.Println(len(sent.Ciphertext), bytes.Equal(sent.Secret(), received.Secret()))
	// Output: 1088 true
}

func ExampleClient_GenerateDataKeyPair() {
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
	device := kms.EncryptionContext{"device": "17"}
	pair, err := ring.GenerateDataKeyPair(ctx, key.ARN, kms.ECCNISTEdwards25519, device)
	if err != nil {
		log.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(pair.PrivateKey())
	if err != nil {
		log.Fatal(err)
	}
	signature := ed25519.Sign(private.(ed25519.PrivateKey), []byte("message"))
	pair.Zero() // keep pair.PrivateKeyCiphertext and pair.PublicKey

	public, err := x509.ParsePKIXPublicKey(pair.PublicKey)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ed25519.Verify(public.(ed25519.PublicKey), []byte("message"), signature))

	again, err := ring.Decrypt(ctx, pair.PrivateKeyCiphertext, device, kms.WithKey(key.ARN))
	if err != nil {
		log.Fatal(err)
	}
	_, err = x509.ParsePKCS8PrivateKey(again.Plaintext)
	fmt.Println("the private key is back:", err == nil)
	// Output:
	// true
	// the private key is back: true
}
