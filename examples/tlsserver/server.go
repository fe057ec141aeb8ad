package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/claviger/kms"
)

const (
	lifetime = 90 * 24 * time.Hour // of the certificate
	patience = 10 * time.Second    // with slow clients, and with requests that are still being answered when the server is stopped
)

// newCertificate has a key sign a certificate for itself, for this machine. A certificate from an authority would take its place: see the certificateauthority.
func newCertificate(ctx context.Context, client *kms.Client, key string) (tls.Certificate, error) {
	signer, err := client.Signer(ctx, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             now,
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true, // no authority
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, nil
}

func writeCertificate(file string, c tls.Certificate) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o644)
}

// serve answers requests until ctx ends, by TLS 1.3.
//
// Whoever must allow TLS 1.2 says in the certificate how the key signs: there a client may ask a key on a curve for any hash, while a key in the ring signs with one.
// For ECC_NIST_P256 that is SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}.
func serve(ctx context.Context, listener net.Listener, certificate tls.Certificate) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(hello),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}},
		ReadHeaderTimeout: patience,
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return server.Shutdown(ctx)
	}
}

func hello(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "Hello from a server whose key is in a keyring\n")
}
