package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"time"

	"github.com/claviger/kms"
)

// domain is what the authority is trusted for. Its root certificate says so, and verifiers refuse what it signs for others.
const domain = "example.internal"

const (
	rootLifetime   = 10 * 365 * 24 * time.Hour
	serverLifetime = 90 * 24 * time.Hour
	listLifetime   = 7 * 24 * time.Hour // how long a revocation may go unnoticed
)

// An authority is a root certificate with the key that it belongs to.
type authority struct {
	signer  *kms.Signer
	root    *x509.Certificate
	revoked []x509.RevocationListEntry
	lists   int64 // that were made: each has a number, higher than those before it
}

// newAuthority has the key sign a root certificate for itself.
func newAuthority(ctx context.Context, client *kms.Client, key string) (*authority, error) {
	signer, err := client.Signer(ctx, key)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: "Example root"},
		NotBefore:                   now,
		NotAfter:                    now.Add(rootLifetime),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true, // it issues to servers, and to no other authority
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomains:         []string{domain},
		PermittedDNSDomainsCritical: true,
	}
	root, err := sign(template, template, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	return &authority{signer: signer, root: root}, nil
}

// sign has a signer sign a certificate, under a random serial number. The algorithm follows from the signer's public key.
func sign(template, parent *x509.Certificate, public any, signer *kms.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

var errRequest = errors.New("the request is for another name")

// issue certifies the key of a server that asks by a certificate request, in DER. Of what the request says only the key is taken, with the proof that whoever asks has
// its private half: that the asker is host, the authority must know otherwise, and says so by naming it here.
func (a *authority) issue(request []byte, host string) (*x509.Certificate, error) {
	asked, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, err
	}
	if err := asked.CheckSignature(); err != nil {
		return nil, err
	}
	if !slices.Equal(asked.DNSNames, []string{host}) {
		return nil, errRequest
	}
	now := time.Now()
	return sign(&x509.Certificate{
		DNSNames:              []string{host},
		NotBefore:             now,
		NotAfter:              now.Add(serverLifetime),
		BasicConstraintsValid: true, // no authority
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.root, asked.PublicKey, a.signer)
}

// revoke puts a certificate on the next list.
func (a *authority) revoke(c *x509.Certificate) {
	a.revoked = append(a.revoked, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
}

// list returns the list of revoked certificates, in DER.
func (a *authority) list() ([]byte, error) {
	a.lists++
	now := time.Now()
	return x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number:                    big.NewInt(a.lists),
		ThisUpdate:                now,
		NextUpdate:                now.Add(listLifetime),
		RevokedCertificateEntries: a.revoked,
	}, a.root, a.signer)
}
