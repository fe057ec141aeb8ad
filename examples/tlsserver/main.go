// Tlsserver is an HTTPS server whose key stays in the keyring. It writes its certificate, which it signs itself, to a file, and serves until it is interrupted. Each
// full handshake is a signature of the key, and prints its audit record.
//
//	go run ./examples/tlsserver [-addr ADDR] [-key-spec SPEC] CERTIFICATE
//	curl --cacert CERTIFICATE https://localhost:8443/
//
// The server is handed a client that acts as a role, which the key policy lets sign and read the public key, and nothing else: this part of the program can neither see
// its key nor change, share or delete it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
)

func main() {
	addr := flag.String("addr", "localhost:8443", "listen on `ADDR`")
	spec := flag.String("key-spec", string(kms.ECCNISTP256), "make a key of `SPEC`: RSA_2048, RSA_3072, RSA_4096,\n"+
		"ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521 or ECC_NIST_EDWARDS25519")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: tlsserver [-addr ADDR] [-key-spec SPEC] CERTIFICATE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, kms.KeySpec(*spec), flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "tlsserver:", err)
		os.Exit(1)
	}
}

// keyPolicy is the policy of the server's key. The root user manages it, and the role of the server signs.
const keyPolicy = `{"Version": "2012-10-17", "Statement": [
	{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
	{"Sid": "Server", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/server"},
	 "Action": ["kms:Sign", "kms:GetPublicKey"], "Resource": "*"}]}`

// run makes a key and serves with it. Its keyring is in memory and ends with the program; the quickstart shows one that stays. A handshake that cannot be recorded
// within a second fails.
func run(ctx context.Context, addr string, spec kms.KeySpec, file string) (err error) {
	trail := audit.Required(audit.JSON(os.Stdout), time.Second)
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1", Audit: trail})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Description: "tls server", KeySpec: spec, KeyUsage: kms.SignVerify, Policy: keyPolicy})
	if err != nil {
		return err
	}
	certificate, err := newCertificate(ctx, ring.As(kms.Role("server")), key.ARN)
	if err != nil {
		return err
	}
	if err := writeCertificate(file, certificate); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "serving https://%s/ with the certificate in %s\n", listener.Addr(), file)
	return serve(ctx, listener, certificate)
}
