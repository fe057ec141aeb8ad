// Certificateauthority is an X.509 certificate authority whose key stays in the keyring. It signs its own root certificate, certificates for two servers that keep
// keys of their own, and a list that revokes one of them, and leaves all in a directory in PEM.
//
//	go run ./examples/certificateauthority [-key-spec SPEC] DIR
//
// The authority is handed a client that acts as a role, which the key policy lets sign and read the public key, and nothing else: this part of the program has things
// signed, each on the record, and can neither see its key nor change, share or delete it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/examples/internal/trail"
)

func main() {
	spec := flag.String("key-spec", string(kms.ECCNISTP256), "make a key of `SPEC`: RSA_2048, RSA_3072, RSA_4096,\n"+
		"ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521 or ECC_NIST_EDWARDS25519")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: certificateauthority [-key-spec SPEC] DIR")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), kms.KeySpec(*spec), flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "certificateauthority:", err)
		os.Exit(1)
	}
}

// keyPolicy is the policy of the authority's key. The root user manages it, and the role of the authority signs.
const keyPolicy = `{"Version": "2012-10-17", "Statement": [
	{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
	{"Sid": "Authority", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/authority"},
	 "Action": ["kms:Sign", "kms:GetPublicKey"], "Resource": "*"}]}`

// run sets up an authority and has it work. Its keyring is in memory and ends with the program; the quickstart shows one that stays.
func run(ctx context.Context, spec kms.KeySpec, dir string) (err error) {
	var events audit.Memory // a program that means it keeps its trail in a file: audit.JSON
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1", Audit: &events})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Description: "certificate authority", KeySpec: spec, KeyUsage: kms.SignVerify, Policy: keyPolicy})
	if err != nil {
		return err
	}
	ca, err := newAuthority(ctx, ring.As(kms.Role("authority")), key.ARN)
	if err != nil {
		return err
	}
	if err := work(ca, dir); err != nil {
		return err
	}
	fmt.Printf("Key %s, of %s, signed what is in %s. Let openssl judge:\n", key.KeyID, key.KeySpec, dir)
	fmt.Println("  openssl verify -crl_check -CAfile root.pem -CRLfile revoked.pem www.pem     # OK")
	fmt.Println("  openssl verify -crl_check -CAfile root.pem -CRLfile revoked.pem old.pem     # certificate revoked")
	fmt.Println("The audit trail: who did what, with which key")
	return trail.Print(os.Stdout, events.Events())
}

// work issues certificates to two servers, revokes that of the second, and writes everything down.
func work(ca *authority, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writePEM(dir, "root.pem", "CERTIFICATE", ca.root.Raw); err != nil {
		return err
	}
	for _, name := range []string{"www", "old"} {
		request, err := newServer(dir, name)
		if err != nil {
			return err
		}
		certificate, err := ca.issue(request, name+"."+domain)
		if err != nil {
			return err
		}
		if err := writePEM(dir, name+".pem", "CERTIFICATE", certificate.Raw); err != nil {
			return err
		}
		if name == "old" {
			ca.revoke(certificate)
		}
	}
	list, err := ca.list()
	if err != nil {
		return err
	}
	return writePEM(dir, "revoked.pem", "X509 CRL", list)
}
