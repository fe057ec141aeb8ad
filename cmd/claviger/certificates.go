package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/regular"
	"github.com/claviger/kms/internal/secretfile"
	"github.com/claviger/kms/internal/watch"
	"github.com/claviger/kms/kmshttp"
)

// Certificates are what a server shows of itself, and by what it knows its clients. They are read from files, and again when those change.
type certificates struct {
	cert, key, clientCA string // files; clientCA is "" if clients show nothing

	current atomic.Pointer[trust]

	mu sync.Mutex // held while files are read
}

// A trust is what the files said at one time. It does not change.
type trust struct {
	config *tls.Config
	roots  map[string]bool // the authorities of clients, by what their certificates are
	digest [sha256.Size]byte
}

// maxCertificates bounds each file, in bytes.
const maxCertificates = 1 << 20

// openCertificates reads the files.
func openCertificates(cert, key, clientCA string) (*certificates, error) {
	c := &certificates{cert: cert, key: key, clientCA: clientCA}
	return c, c.Reload()
}

// config returns what a listener needs.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load().config, nil },
	}
}

// Reload reads the files again. If one of them is malformed, or they do not fit together, nothing changes.
func (c *certificates) Reload() error {
	_, err := c.load()
	return err
}

// Watch reads the files every interval, as [watch.Run] does.
func (c *certificates) Watch(ctx context.Context, interval time.Duration, report func(error)) {
	watch.Run(ctx, interval, c.load, report)
}

func (c *certificates) load() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, err := readRegular(c.cert)
	if err != nil {
		return false, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := secretfile.Read(c.key, maxCertificates, false)
	if err != nil {
		return false, fmt.Errorf("--tls-key: %w", err)
	}
	defer clear(key)
	var authorities []byte
	if c.clientCA != "" {
		if authorities, err = readRegular(c.clientCA); err != nil {
			return false, fmt.Errorf("--client-ca: %w", err)
		}
	}
	h := sha256.New()
	for _, text := range [][]byte{cert, key, authorities} {
		sum := sha256.Sum256(text)
		h.Write(sum[:])
	}
	next := &trust{digest: [sha256.Size]byte(h.Sum(nil))}
	if now := c.current.Load(); now != nil && now.digest == next.digest {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	next.config = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	if c.clientCA != "" {
		if err := next.trustClients(authorities); err != nil {
			return false, fmt.Errorf("--client-ca: %s: %w", c.clientCA, err)
		}
	}
	c.current.Store(next)
	return true, nil
}

// trustClients reads the certificates of authorities. A client may show none, and is then nobody: whoever asks for the health of the server needs none.
func (t *trust) trustClients(authorities []byte) error {
	t.roots, t.config.ClientCAs, t.config.ClientAuth = map[string]bool{}, x509.NewCertPool(), tls.VerifyClientCertIfGiven
	for {
		var block *pem.Block
		if block, authorities = pem.Decode(authorities); block == nil {
			break
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			return errors.New("holds something else than certificates in PEM")
		}
		t.roots[string(ca.Raw)] = true
		t.config.ClientCAs.AddCert(ca)
	}
	if len(t.roots) == 0 {
		return errors.New("holds no certificate in PEM")
	}
	return nil
}

// authenticator tells whose a request is by the certificate that its client has shown. A connection that lasts is not trusted for longer than its certificate, nor
// than the authority is.
func (c *certificates) authenticator() kmshttp.Authenticator {
	known := kmshttp.ClientCertificates(certificateCaller)
	return kmshttp.AuthenticatorFunc(func(r *http.Request, body []byte) (kmshttp.Identity, error) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && !c.current.Load().vouches(r.TLS.VerifiedChains, time.Now()) {
			return kmshttp.Identity{}, kmshttp.ErrUnknownIdentity
		}
		return known.Authenticate(r, body)
	})
}

// vouches reports whether one of the chains begins with an authority that is trusted now, and none of its authorities has expired since. When the client's own certificate
// expires, the caller does.
func (t *trust) vouches(chains [][]*x509.Certificate, now time.Time) bool {
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return len(chain) > 0 && t.roots[string(chain[len(chain)-1].Raw)] &&
			!slices.ContainsFunc(chain[1:], func(authority *x509.Certificate) bool { return now.After(authority.NotAfter) })
	})
}

// certificateCaller is whose a certificate is: of its names the one URI that is an ARN.
func certificateCaller(cert *x509.Certificate) (kms.Caller, error) {
	var names []string
	for _, uri := range cert.URIs {
		if name := uri.String(); strings.HasPrefix(name, "arn:") {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		return kms.Caller{}, fmt.Errorf("%w: among the URIs of the certificate are %d ARNs, and not one", kmshttp.ErrUnknownIdentity, len(names))
	}
	c, err := kms.ParseCaller(names[0])
	if err != nil {
		return kms.Caller{}, fmt.Errorf("%w: the ARN among the URIs of the certificate: %w", kmshttp.ErrUnknownIdentity, err)
	}
	return c.WithLifetime(cert.NotBefore, cert.NotAfter), nil
}

// readRegular reads a file that holds no secret.
func readRegular(path string) ([]byte, error) {
	f, err := regular.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from: nothing is lost by an error
	text, err := io.ReadAll(io.LimitReader(f, maxCertificates+1))
	if err == nil && len(text) > maxCertificates {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxCertificates)
	}
	return text, err
}
