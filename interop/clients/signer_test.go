package clients

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/awskms"
)

// TestSigner makes a certificate authority with smallstep's signer, as step-ca has one, for every kind of key that it creates. OpenSSL verifies what it issues.
func TestSigner(t *testing.T) {
	t.Parallel()
	openssl := find(t, "openssl")
	const region = "ap-southeast-1"
	manager := must(awskms.New(t.Context(), apiv1.Options{URI: "awskms:region=" + region}))(t)
	service := newSDK()
	for _, algorithm := range []apiv1.SignatureAlgorithm{apiv1.SHA256WithRSA, apiv1.SHA384WithRSAPSS, apiv1.ECDSAWithSHA256, apiv1.ECDSAWithSHA384, apiv1.ECDSAWithSHA512, apiv1.PureEd25519} {
		t.Run(algorithm.String(), func(t *testing.T) {
			t.Parallel()
			name := unique("ca-")
			created := must(manager.CreateKey(&apiv1.CreateKeyRequest{Name: name, SignatureAlgorithm: algorithm, Bits: map[bool]int{true: 2048}[strings.Contains(algorithm.String(), "RSA")]}))(t)
			signer := must(manager.CreateSigner(&created.CreateSignerRequest))(t)
			if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(created.PublicKey) {
				t.Error("the signer's public key is not that of the key")
			}
			// It has put its name and an alias on the key.
			_, id, _ := strings.Cut(created.Name, "key-id=")
			key := must(service.call(root(region), "DescribeKey", members{"KeyId": "alias/" + name + "-" + id[:8]}))(t).at("KeyMetadata")
			if key.text("KeyId") != id || key.text("Description") != name || key.text("KeyUsage") != "SIGN_VERIFY" {
				t.Errorf("the key is %v, want %s", key, id)
			}

			template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
				IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
			if strings.Contains(algorithm.String(), "PSS") {
				template.SignatureAlgorithm = x509.SHA384WithRSAPSS
			}
			der := must(x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer))(t)
			file := filepath.Join(t.TempDir(), "ca.pem")
			check(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
			if out, err := exec.CommandContext(t.Context(), openssl, "verify", "-check_ss_sig", "-CAfile", file, file).CombinedOutput(); err != nil {
				t.Errorf("openssl: %v\n%s", err, out)
			}
			der[len(der)-1] ^= 1
			check(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
			if out, err := exec.CommandContext(t.Context(), openssl, "verify", "-check_ss_sig", "-CAfile", file, file).CombinedOutput(); err == nil {
				t.Errorf("openssl takes another signature\n%s", out)
			}

			must(service.call(root(region), "ScheduleKeyDeletion", members{"KeyId": id}))(t)
			if _, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer); err == nil || !strings.Contains(err.Error(), "KMSInvalidStateException") {
				t.Errorf("a key that is to be deleted signs: %v", err)
			}
		})
	}
}

// TestDecrypter decrypts with smallstep's decrypter what was encrypted to the public key.
func TestDecrypter(t *testing.T) {
	t.Parallel()
	const region = "us-west-2"
	service := newSDK()
	arn := must(service.call(root(region), "CreateKey", members{"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}))(t).at("KeyMetadata").text("Arn")
	decrypter := must(awskms.NewDecrypter(root(region).client(), arn))(t)
	ciphertext := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, decrypter.Public().(*rsa.PublicKey), []byte("card 4242"), nil))(t)
	options := &rsa.OAEPOptions{Hash: crypto.SHA256}
	if plaintext := must(decrypter.Decrypt(nil, ciphertext, options))(t); string(plaintext) != "card 4242" {
		t.Errorf("it decrypts %q", plaintext)
	}
	ciphertext[0] ^= 1
	if plaintext, err := decrypter.Decrypt(nil, ciphertext, options); err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
		t.Errorf("it decrypts %q, %v", plaintext, err)
	}
}
