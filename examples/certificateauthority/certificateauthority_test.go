package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/openssl"
	"github.com/claviger/kms/examples/internal/privilege"
	"github.com/claviger/kms/examples/internal/program"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) { program.Main(m, main) }

// TestCertificateAuthority runs the program, and lets openssl judge what authorities of several keys have signed.
func TestCertificateAuthority(t *testing.T) {
	for _, c := range []struct {
		spec      kms.KeySpec
		algorithm string // as openssl calls it
	}{
		{kms.RSA2048, "sha256WithRSAEncryption"},
		{kms.ECCNISTP256, "ecdsa-with-SHA256"},
		{kms.ECCNISTP384, "ecdsa-with-SHA384"},
		{kms.ECCNISTEdwards25519, "ED25519"},
	} {
		t.Run(string(c.spec), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			out, err := program.Command(t, "-key-spec", string(c.spec), dir).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			signed := `  \S+  role/authority +Sign +\S+ +ok\n`
			made := `  \S+  root +CreateKey +\S+ +ok\n  \S+  role/authority +GetPublicKey +\S+ +ok\n`
			if !regexp.MustCompile(`(?s)^Key \S+, of ` + string(c.spec) + `, signed .*` + made + strings.Repeat(signed, 4) + `$`).Match(out) {
				t.Errorf("it prints\n%s", out)
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			must(t, err)
			for i := range files {
				files[i] = filepath.Base(files[i])
			}
			if want := []string{"old.key", "old.pem", "revoked.pem", "root.pem", "www.key", "www.pem"}; !slices.Equal(files, want) {
				t.Errorf("it leaves %v, want %v", files, want)
			}
			judge(t, dir, c.algorithm)
		})
	}
	t.Run("a key that signs no certificates", func(t *testing.T) {
		dir := t.TempDir()
		out, err := program.Command(t, "-key-spec", string(kms.MLDSA44), dir).CombinedOutput()
		if left, _ := os.ReadDir(dir); err == nil || !bytes.HasPrefix(out, []byte("certificateauthority: x509: ")) || len(left) > 0 {
			t.Errorf("%v, with %d files\n%s", err, len(left), out)
		}
	})
}

// judge asks openssl about what the program has left in a directory.
func judge(t *testing.T, dir, algorithm string) {
	verify := func(certificate string, options ...string) (string, error) {
		args := []string{"verify", "-x509_strict", "-purpose", "sslserver", "-crl_check", "-CAfile", "root.pem", "-CRLfile", "revoked.pem"}
		cmd := openssl.Command(t, slices.Concat(args, options, []string{certificate})...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	refused := func(why, certificate string, options ...string) {
		t.Helper()
		if out, err := verify(certificate, options...); err == nil || !strings.Contains(out, why) {
			t.Errorf("openssl on %s: %v, want %q\n%s", certificate, err, why, out)
		}
	}
	if out, err := verify("www.pem", "-verify_hostname", "www.example.internal"); err != nil || out != "www.pem: OK\n" {
		t.Errorf("openssl on www.pem: %v\n%s", err, out)
	}
	refused("certificate revoked", "old.pem")
	refused("hostname mismatch", "www.pem", "-verify_hostname", "old.example.internal")

	for _, name := range []string{"www.pem", "revoked.pem"} { // in their signatures
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		block, _ := pem.Decode(text)
		block.Bytes[len(block.Bytes)-1] ^= 1
		must(t, os.WriteFile(filepath.Join(dir, "altered."+name), pem.EncodeToMemory(block), 0o600))
	}
	refused("certificate signature failure", "altered.www.pem")
	must(t, os.Rename(filepath.Join(dir, "altered.revoked.pem"), filepath.Join(dir, "revoked.pem")))
	refused("CRL signature failure", "www.pem")

	for _, name := range []string{"root.pem", "www.pem"} {
		out, err := openssl.Command(t, "x509", "-noout", "-text", "-in", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Signature Algorithm: "+algorithm+"\n") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// newTestAuthority makes an authority in a ring of its own.
func newTestAuthority(t *testing.T) (ring *kms.Keyring, key kms.KeyMetadata, ca *authority) {
	t.Helper()
	ring, err := kms.Open(t.Context(), kms.Config{AccountID: "111122223333"})
	must(t, err)
	t.Cleanup(func() { must(t, ring.Close()) })
	key, err = ring.CreateKey(t.Context(), kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify, Policy: keyPolicy})
	must(t, err)
	ca, err = newAuthority(t.Context(), ring.As(kms.Role("authority")), key.ARN)
	must(t, err)
	return ring, key, ca
}

// TestRequests: a request must be of who has the key that it is for, and for the name that the asker is known to have.
func TestRequests(t *testing.T) {
	_, _, ca := newTestAuthority(t)
	request, err := newServer(t.TempDir(), "www")
	must(t, err)
	if _, err := ca.issue(request, "old.example.internal"); !errors.Is(err, errRequest) {
		t.Errorf("for another name: %v", err)
	}
	forged := bytes.Clone(request)
	forged[len(forged)-1] ^= 1
	if _, err := ca.issue(forged, "www.example.internal"); err == nil {
		t.Error("it takes a request that was not signed with its key")
	}
	if _, err := ca.issue(request[:len(request)-1], "www.example.internal"); err == nil {
		t.Error("it takes half a request")
	}
	certificate, err := ca.issue(request, "www.example.internal")
	must(t, err)
	asked, err := x509.ParseCertificateRequest(request)
	must(t, err)
	if !asked.PublicKey.(*ecdsa.PublicKey).Equal(certificate.PublicKey) {
		t.Error("it certifies another key")
	}
}

// TestTheDomainIsTheLimit: whatever the authority signs, verifiers take it for names in its domain only.
func TestTheDomainIsTheLimit(t *testing.T) {
	_, _, ca := newTestAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.root)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for host, valid := range map[string]bool{"www.example.internal": true, "www.example.com": false} {
		request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, key)
		must(t, err)
		certificate, err := ca.issue(request, host)
		must(t, err)
		if _, err := certificate.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); (err == nil) != valid {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestLists are numbered, and go on to name what was revoked.
func TestLists(t *testing.T) {
	_, _, ca := newTestAuthority(t)
	for n := range 3 {
		list, err := ca.list()
		must(t, err)
		parsed, err := x509.ParseRevocationList(list)
		must(t, err)
		must(t, parsed.CheckSignatureFrom(ca.root))
		if parsed.Number.Int64() != int64(n+1) || len(parsed.RevokedCertificateEntries) != n {
			t.Errorf("list %v names %d certificates", parsed.Number, len(parsed.RevokedCertificateEntries))
		}
		ca.revoke(ca.root)
	}
}

// TestTheRoleMaySign, as long as its key is enabled, and may do nothing else with it. No other role may.
func TestTheRoleMaySign(t *testing.T) {
	ring, key, ca := newTestAuthority(t)
	privilege.SignsOnly(t, ring.As(kms.Role("authority")), key.ARN, kms.AlgorithmECDSASHA256)
	if _, err := newAuthority(t.Context(), ring.As(kms.Role("www")), key.ARN); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("another role: %v", err)
	}
	must(t, ring.DisableKey(t.Context(), key.ARN))
	if _, err := ca.list(); !errors.Is(err, kms.ErrDisabled) {
		t.Errorf("with its key disabled: %v", err)
	}
}
