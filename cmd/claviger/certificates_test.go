package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/kmshttp"
)

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var serials atomic.Int64

// issue returns a certificate for names, which are URIs or the address of this machine, signed by the authority; a nil one signs itself.
func (a *authority) issue(t testing.TB, from time.Time, uris ...string) *authority {
	t.Helper()
	serial := serials.Add(1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("certificate ", serial)}, NotBefore: from, NotAfter: from.Add(24 * time.Hour), DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: a == nil,
	}
	for _, uri := range uris {
		template.URIs = append(template.URIs, must(url.Parse(uri))(t))
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	raw := must(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer))(t)
	return &authority{must(x509.ParseCertificate(raw))(t), key}
}

func newAuthority(t testing.TB) *authority {
	var nobody *authority
	return nobody.issue(t, time.Now().Add(-time.Hour))
}

func (a *authority) certPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (a *authority) keyPEM(t testing.TB) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(a.key))(t)}))
}

// pair writes a certificate and its key to the files server.pem and server.key of a scene.
func (s scene) pair(a *authority) {
	s.write("server.pem", a.certPEM())
	s.write("server.key", a.keyPEM(s.t))
}

// trusting returns a client of the servers of an authority, which shows a certificate, whoever is asked for.
func (a *authority) trusting(shown ...*authority) *http.Client {
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	cfg.RootCAs.AddCert(a.cert)
	for _, c := range shown {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{c.cert.Raw}, PrivateKey: c.key}, nil
		}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}}
}

// TestServeTLS: over TLS the trail says so, without it nothing is heard, and a new certificate is shown without a restart.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	ca := newAuthority(t)
	first, second := ca.issue(t, time.Now().Add(-time.Hour)), ca.issue(t, time.Now().Add(-time.Hour))
	s.pair(first)
	server := serve(t, "--listen", "0.0.0.0:0", "--store", "memory", "--region", "eu-central-1", "--account", testAccount, "--credentials", s.path("keys.json"), "--tls-cert", s.path("server.pem"),
		"--tls-key", s.path("server.key"), "--audit", s.path("trail"))
	if !strings.HasPrefix(server.url, "https://") {
		t.Error(server.url)
	}
	root := server.as("root", secretCanary+"root")
	root.url = strings.Replace(server.url, "[::]", "127.0.0.1", 1)
	plain := root
	plain.url = strings.Replace(root.url, "https:", "http:", 1)
	if resp, err := http.DefaultClient.Do(plain.request(t, "ListKeys", "{}")); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("served in clear")
	}
	root.http = ca.trusting()
	root.wants(t, "", "ListKeys", "{}")
	resp := must(root.http.Get(root.url + "/healthz"))(t)
	if ok(t, resp.Body.Close()); resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || resp.TLS.PeerCertificates[0].SerialNumber.Cmp(first.cert.SerialNumber) != 0 {
		t.Errorf("%v, %v", resp, resp.TLS.PeerCertificates[0].SerialNumber)
	}
	s.pair(second)
	eventually(t, func() bool {
		conn := must(tls.Dial("tcp", strings.TrimPrefix(root.url, "https://"), ca.trusting().Transport.(*http.Transport).TLSClientConfig))(t)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(second.cert.SerialNumber) == 0
	})
	server.stop()
	details, _ := s.events("trail")[0]["tlsDetails"].(map[string]any)
	if details["tlsVersion"] != "TLSv1.3" {
		t.Errorf("%v", s.events("trail"))
	}
	s.write("server.key", "x")
	serveRefuses(t, "--tls-cert and --tls-key: tls: failed to find any PEM data", "--store", "memory", "--credentials", s.path("keys.json"), "--tls-cert", s.path("server.pem"), "--tls-key", s.path("server.key"))
}

// TestServeClientCertificates: a client is the one ARN of its certificate, which an authority of the server has signed.
func TestServeClientCertificates(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	ca, clients, strangers := newAuthority(t), newAuthority(t), newAuthority(t)
	s.pair(ca.issue(t, time.Now().Add(-time.Hour)))
	s.write("clients.pem", clients.certPEM())
	server := serve(t, "--store", "memory", "--region", "eu-central-1", "--account", testAccount, "--client-ca", s.path("clients.pem"), "--tls-cert", s.path("server.pem"), "--tls-key", s.path("server.key"))
	as := func(shown ...*authority) client { return client{url: server.url, http: ca.trusting(shown...)} }
	root, alice := "arn:aws:iam::"+testAccount+":root", "arn:aws:iam::"+testAccount+":user/alice"
	lately := time.Now().Add(-time.Hour)
	as(clients.issue(t, lately, root, "spiffe://example.org/x")).wants(t, "", "ListKeys", "{}")
	as(clients.issue(t, lately, alice)).wants(t, "AccessDeniedException", "ListKeys", "{}")
	as(clients.issue(t, lately)).wants(t, "UnrecognizedClientException", "ListKeys", "{}")
	as(clients.issue(t, lately, root, alice)).wants(t, "UnrecognizedClientException", "ListKeys", "{}")
	as(clients.issue(t, lately, "arn:aws:iam::1:root")).wants(t, "UnrecognizedClientException", "ListKeys", "{}")
	as().wants(t, "MissingAuthenticationTokenException", "ListKeys", "{}")
	unsigned := as()
	unsigned.id, unsigned.secret = "root", secretCanary+"root"
	unsigned.wants(t, "MissingAuthenticationTokenException", "ListKeys", "{}")
	for what, shown := range map[string]*authority{"a stranger": strangers.issue(t, lately, root), "of yesterday": clients.issue(t, lately.Add(-48*time.Hour), root)} {
		if resp, err := as(shown).http.Do(as(shown).request(t, "ListKeys", "{}")); err == nil {
			t.Errorf("%s: %v", what, resp)
		}
	}
	resp := must(as().http.Get(server.url + "/healthz"))(t)
	if ok(t, resp.Body.Close()); resp.StatusCode != http.StatusOK {
		t.Errorf("%v", resp)
	}
}

// TestCertificateOfAConnection: a connection that lasts is trusted for no longer than its certificate and the authority are.
func TestCertificateOfAConnection(t *testing.T) {
	s := scene{t: t, dir: t.TempDir()}
	clients, others := newAuthority(t), newAuthority(t)
	s.pair(newAuthority(t))
	s.write("clients.pem", clients.certPEM())
	c := must(openCertificates(s.path("server.pem"), s.path("server.key"), s.path("clients.pem")))(t)
	shown := clients.issue(t, time.Now().Add(-time.Hour), "arn:aws:iam::000000000000:root").cert
	r := must(http.NewRequest(http.MethodPost, "https://localhost/", nil))(t)
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{shown, clients.cert}}}
	who := must(c.authenticator().Authenticate(r, nil))(t)
	for after, want := range map[time.Duration]error{0: nil, 24 * time.Hour: kms.ErrExpiredToken} {
		ring := must(kms.Open(t.Context(), kms.Config{Now: func() time.Time { return time.Now().Add(after) }}))(t)
		if _, err := ring.As(who.Caller).GenerateRandom(t.Context(), 1); (err == nil) != (want == nil) || want != nil && !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", after, err, want)
		}
		ok(t, ring.Close())
	}
	s.write("clients.pem", others.certPEM()+clients.certPEM())
	ok(t, c.Reload())
	must(c.authenticator().Authenticate(r, nil))(t)
	s.write("clients.pem", others.certPEM())
	ok(t, c.Reload())
	if who, err := c.authenticator().Authenticate(r, nil); !errors.Is(err, kmshttp.ErrUnknownIdentity) {
		t.Errorf("by an authority that is not trusted any more: %v, %v", who, err)
	}
	var nobody *authority
	old := nobody.issue(t, time.Now().Add(-25*time.Hour))
	s.write("clients.pem", old.certPEM()+clients.certPEM())
	ok(t, c.Reload())
	for _, tc := range []struct {
		what   string
		chains [][]*x509.Certificate
		want   error
	}{
		{"by an authority that has expired", [][]*x509.Certificate{{shown, old.cert}}, kmshttp.ErrUnknownIdentity},
		{"by another one between that has expired", [][]*x509.Certificate{{shown, old.cert, clients.cert}}, kmshttp.ErrUnknownIdentity},
		{"by another authority too, which has not expired", [][]*x509.Certificate{{shown, old.cert}, {shown, clients.cert}}, nil},
		{"by nobody", [][]*x509.Certificate{{}}, kmshttp.ErrUnknownIdentity},
	} {
		r.TLS.VerifiedChains = tc.chains
		if who, err := c.authenticator().Authenticate(r, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, %v", tc.what, who, err)
		}
	}
}

// TestWatchedCertificates: a pair takes effect as a whole or not at all, and what is wrong is reported once.
func TestWatchedCertificates(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := scene{t: t, dir: t.TempDir()}
		var nobody *authority
		first, second := nobody.issue(t, time.Now()), nobody.issue(t, time.Now())
		s.pair(first)
		s.write("clients.pem", first.certPEM())
		c := must(openCertificates(s.path("server.pem"), s.path("server.key"), s.path("clients.pem")))(t)
		reports := make(chan error, 100)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Watch(ctx, time.Minute, func(err error) { reports <- err })
		}()
		wants := func(shown *authority, texts ...string) {
			t.Helper()
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			for _, want := range texts {
				select {
				case err := <-reports:
					if got := fmt.Sprint(err); !strings.Contains(got, want) {
						t.Errorf("report %q, want %q", got, want)
					}
				default:
					t.Errorf("no report, want %q", want)
				}
			}
			if len(reports) > 0 {
				t.Errorf("a report too many: %v", <-reports)
			}
			cfg := must(c.config().GetConfigForClient(nil))(t)
			if got := cfg.Certificates[0].Leaf; !got.Equal(shown.cert) || cfg.ClientAuth != tls.VerifyClientCertIfGiven || cfg.ClientCAs == nil {
				t.Errorf("shows %v, want %v", got.Subject, shown.cert.Subject)
			}
		}
		wants(first)
		s.write("server.pem", second.certPEM())
		wants(first, "--tls-cert and --tls-key: tls: private key does not match public key")
		s.write("server.key", second.keyPEM(t))
		wants(second, "<nil>")
		ok(t, os.Chmod(s.path("server.key"), 0o644))
		wants(second, "--tls-key: "+s.path("server.key")+" has permissions 0644")
		ok(t, os.Remove(s.path("server.key")))
		wants(second, "--tls-key: stat ")
		s.pair(first)
		wants(first, "<nil>")
		s.write("clients.pem", "")
		wants(first, "--client-ca: "+s.path("clients.pem")+": holds no certificate in PEM")
		s.write("clients.pem", second.keyPEM(t))
		wants(first, "--client-ca: "+s.path("clients.pem")+": holds something else than certificates in PEM")
		s.write("clients.pem", second.certPEM())
		wants(first, "<nil>")
		ok(t, os.Remove(s.path("server.pem")))
		wants(first, "--tls-cert: stat ")
		s.write("server.pem", strings.Repeat("x", maxCertificates+1))
		wants(first, "server.pem is longer than")
		s.pair(second)
		wants(second, "<nil>")
		stop()
		<-ended
	})
}
