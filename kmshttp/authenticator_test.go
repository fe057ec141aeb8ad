package kmshttp_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/sigv4test"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// An authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	issued := a.issue("authority")
	a.key = issued.PrivateKey.(*ecdsa.PrivateKey)
	a.cert = issued.Leaf
	return a
}

// issue makes a certificate for a name; the first is the authority's own.
func (a *authority) issue(name string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// TestClientCertificates: who has shown a certificate that the server has verified is whom the function says, and everybody else is nobody.
func TestClientCertificates(t *testing.T) {
	w := newWorld(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	asked := 0
	authenticator := kmshttp.ClientCertificates(func(c *x509.Certificate) (kms.Caller, error) {
		asked++
		switch name := c.Subject.CommonName; name {
		case "root":
			return kms.Root(), nil
		case "unknown":
			return kms.Caller{}, kmshttp.ErrUnknownIdentity
		case "broken":
			return kms.Caller{}, errors.New("canary: the directory is out of reach")
		case "nobody":
			return kms.Caller{}, nil
		default:
			return kms.Role(name), nil
		}
	})
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: authenticator})
	if err != nil {
		t.Fatal(err)
	}
	const missing = "Missing Authentication Token"
	for _, tc := range []struct {
		what   string
		demand tls.ClientAuthType
		shown  *authority // nil shows none
		name   string
		code   kms.Code // "" if it is a caller who may
		status int
		says   string
	}{
		{"a certificate that is demanded", tls.RequireAndVerifyClientCert, ours, "root", "", http.StatusOK, ""},
		{"a certificate that is given", tls.VerifyClientCertIfGiven, ours, "root", "", http.StatusOK, ""},
		{"a certificate of somebody who may not", tls.VerifyClientCertIfGiven, ours, "app", kms.ErrAccessDenied, http.StatusBadRequest,
			"User: arn:aws:sts::111122223333:assumed-role/app/app is not authorized to perform: kms:ListKeys on resource: * because no identity-based policy allows the kms:ListKeys action"},
		{"a certificate of somebody unknown", tls.VerifyClientCertIfGiven, ours, "unknown", "UnrecognizedClientException", http.StatusBadRequest, "The security token included in the request is invalid."},
		{"a certificate of the zero caller", tls.VerifyClientCertIfGiven, ours, "nobody", kms.ErrAccessDenied, http.StatusBadRequest, "The caller is not valid: the zero Caller."},
		{"a failure to look it up", tls.VerifyClientCertIfGiven, ours, "broken", "InternalFailure", http.StatusInternalServerError, "The request could not be served."},
		{"no certificate", tls.VerifyClientCertIfGiven, nil, "", "MissingAuthenticationTokenException", http.StatusBadRequest, missing},
		{"a certificate that nobody verifies", tls.RequestClientCert, ours, "root", "MissingAuthenticationTokenException", http.StatusBadRequest, missing},
		{"a stranger's certificate that nobody verifies", tls.RequireAnyClientCert, theirs, "root", "MissingAuthenticationTokenException", http.StatusBadRequest, missing},
		{"no certificate is asked for", tls.NoClientCert, ours, "root", "MissingAuthenticationTokenException", http.StatusBadRequest, missing},
	} {
		server := httptest.NewUnstartedServer(handler)
		server.TLS = &tls.Config{ClientAuth: tc.demand, ClientCAs: ours.pool()}
		server.StartTLS()
		transport := server.Client().Transport.(*http.Transport)
		transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if tc.shown != nil {
			certificate := tc.shown.issue(tc.name)
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
		}
		for range 2 { // the second connection resumes the first one's session
			told, before := len(w.Trail.Events()), asked
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
			r.Host = "kms.example.org"
			a := roundTrip(t, transport, r)
			transport.CloseIdleConnections()
			if tc.code != "" {
				a.want(t, tc.what, tc.status, tc.code, tc.says)
			} else if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", tc.what, a.status, a.body)
			}
			events := w.Trail.Events()[told:]
			if tc.code == "" || tc.code == kms.ErrAccessDenied {
				if len(events) != 1 || events[0].TLS.Version != "TLSv1.3" || !strings.HasPrefix(events[0].TLS.CipherSuite, "TLS_") || events[0].TLS.Host != "kms.example.org" || events[0].SourceIP != "127.0.0.1" {
					t.Errorf("%s: recorded as %+v", tc.what, events)
				}
			} else if len(events) != 0 {
				t.Errorf("%s: recorded as %+v", tc.what, events)
			}
			if verified := tc.shown == ours && (tc.demand == tls.RequireAndVerifyClientCert || tc.demand == tls.VerifyClientCertIfGiven); (asked > before) != verified {
				t.Errorf("%s: the function was asked %d times", tc.what, asked-before)
			}
		}
		server.Close()
	}
	// A stranger's certificate does not come as far as the handler where certificates are verified, and none does without TLS.
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ours.pool()}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	defer server.Close()
	stranger := theirs.issue("root")
	transport := server.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
	if resp, err := server.Client().Post(server.URL, "", nil); err == nil {
		resp.Body.Close()
		t.Errorf("a stranger's certificate: %s", resp.Status)
	}
	send(t, handler, "ListKeys", "", func(r *http.Request) { r.TLS = nil }).refused(t, "no TLS", "MissingAuthenticationTokenException", missing)
}

// TestAuthenticatorErrors: of the errors of an authenticator those that are meant for clients are told to them, and what else there is to the log alone.
func TestAuthenticatorErrors(t *testing.T) {
	w := newWorld(t)
	var lines bytes.Buffer
	var fails error
	handler, err := kmshttp.New(kmshttp.Config{
		Rings: []*kms.Keyring{w.Keyring}, Log: slog.New(slog.NewTextHandler(&lines, nil)),
		Authenticator: kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) {
			return kmshttp.Identity{Caller: kms.Root()}, fails
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		err    error
		status int
		code   kms.Code
		says   string
	}{
		{kmshttp.ErrUnauthenticated, http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{fmt.Errorf("canary: %w", kmshttp.ErrUnauthenticated), http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{kmshttp.ErrUnknownIdentity, http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{errors.Join(errors.New("canary"), kmshttp.ErrUnknownIdentity), http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{&kms.Error{Op: "canary", Code: kms.ErrExpiredToken, KeyID: "canary", Message: "It has expired.", Err: errors.New("canary")}, http.StatusBadRequest, kms.ErrExpiredToken, "It has expired."},
		{fmt.Errorf("canary: %w", &kms.Error{Code: kms.ErrAccessDenied}), http.StatusBadRequest, kms.ErrAccessDenied, ""},
		{&kms.Error{Code: kms.ErrInternal, Message: "It is out of order."}, http.StatusInternalServerError, kms.ErrInternal, "It is out of order."},
		{&kms.Error{Code: kms.ErrServiceUnavailable, Message: "Later."}, http.StatusServiceUnavailable, kms.ErrServiceUnavailable, "Later."},
		{&kms.Error{Code: "ThrottlingException", Message: "Rate exceeded"}, http.StatusBadRequest, "ThrottlingException", "Rate exceeded"},
		{errors.New("canary: the directory is out of reach"), http.StatusInternalServerError, "InternalFailure", "The request could not be served."},
		{kms.ErrAccessDenied, http.StatusInternalServerError, "InternalFailure", "The request could not be served."}, // a code alone is not meant for clients
	} {
		lines.Reset()
		fails = tc.err
		a := send(t, handler, "CreateKey", "{}", nil)
		a.want(t, fmt.Sprint(tc.err), tc.status, tc.code, tc.says)
		_, plain := tc.err.(*kms.Error) // of which the code says it all
		if log := lines.String(); !strings.Contains(log, "error="+string(tc.code)) || strings.Contains(log, "canary") != (!plain && strings.Contains(tc.err.Error(), "canary")) {
			t.Errorf("%v: %s", tc.err, log)
		}
	}
	fails = nil
	if keys := w.keys(); len(keys) > 0 {
		t.Errorf("there are keys: %v", keys)
	}
}

// TestAuthenticatorIsAsked: once for each request that may be one, with the whole of its body.
func TestAuthenticatorIsAsked(t *testing.T) {
	w := newWorld(t)
	var asked atomic.Int64
	var bodies []string
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.AuthenticatorFunc(func(_ *http.Request, body []byte) (kmshttp.Identity, error) {
		asked.Add(1)
		bodies = append(bodies, string(body))
		return kmshttp.Identity{}, kmshttp.ErrUnauthenticated
	})})
	if err != nil {
		t.Fatal(err)
	}
	long := "{}" + strings.Repeat(" ", usualBody-2)
	for _, body := range []string{"", "{}", "no JSON", long} {
		send(t, handler, "ListKeys", body, nil).refused(t, body[:min(len(body), 10)], "MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	for _, op := range model { // whether it is offered or not
		send(t, handler, op.name, "{}", nil).refused(t, op.name, "MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	if n := asked.Load(); n != int64(4+len(model)) || !slices.Equal(bodies[:4], []string{"", "{}", "no JSON", long}) {
		t.Errorf("it was asked %d times", n)
	}
	send(t, handler, "ListKeys", long+" ", nil).want(t, "too much", http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "The request is too large.")
	send(t, handler, "listkeys", "{}", nil).want(t, "no operation", http.StatusNotFound, "UnknownOperationException", "")
	if n := asked.Load(); n != int64(4+len(model)) {
		t.Errorf("it was asked %d times", n)
	}
	if n := len(w.Trail.Events()); n != 0 {
		t.Errorf("%d events of nobody's", n)
	}
}

// TestRegions: the ring is that of the Region that the identity has, else the one that the host names, else the only one.
func TestRegions(t *testing.T) {
	of := func(region string) *kmstest.Ring {
		return kmstest.New(t, func(cfg *kms.Config) { cfg.Region = region })
	}
	central, east, local := of("eu-central-1"), of("us-east-1"), of("local")
	for _, tc := range []struct {
		rings        []*kmstest.Ring
		region, host string
		want         *kmstest.Ring
		named        string // in the refusal
	}{
		{[]*kmstest.Ring{local}, "", "localhost:8080", local, ""},
		{[]*kmstest.Ring{local}, "", "kms.us-east-1.amazonaws.com", local, ""},
		{[]*kmstest.Ring{local}, "local", "kms.us-east-1.amazonaws.com", local, ""},
		{[]*kmstest.Ring{local}, "us-east-1", "kms.local.example.org", nil, "us-east-1"},
		{[]*kmstest.Ring{central, east}, "us-east-1", "kms.eu-central-1.amazonaws.com", east, ""},
		{[]*kmstest.Ring{central, east}, "eu-central-1", "", central, ""},
		{[]*kmstest.Ring{central, east}, "", "kms.eu-central-1.amazonaws.com", central, ""},
		{[]*kmstest.Ring{central, east}, "", "kms.us-east-1.example.org:8443", east, ""},
		{[]*kmstest.Ring{central, east}, "", "kms-fips.us-east-1.api.aws", east, ""},
		{[]*kmstest.Ring{central, east}, "", "kms.us-east-1", east, ""},
		{[]*kmstest.Ring{central, east}, "", "kms.us-east-1:8443", east, ""},
		{[]*kmstest.Ring{central, east}, "", "KMS.US-EAST-1.Example.org", east, ""},
		{[]*kmstest.Ring{central, east}, "", "localhost", nil, ""},
		{[]*kmstest.Ring{central, east}, "", "", nil, ""},
		{[]*kmstest.Ring{central, east}, "", "s3.us-east-1.amazonaws.com", nil, ""},
		{[]*kmstest.Ring{central, east}, "", "127.0.0.1:80", nil, ""},
		{[]*kmstest.Ring{central, east}, "", "[::1]:80", nil, ""},
		{[]*kmstest.Ring{central, east}, "", "kms.us-west-2.amazonaws.com", nil, "us-west-2"},
		{[]*kmstest.Ring{central, east}, "EU-CENTRAL-1", "kms.us-east-1.amazonaws.com", nil, "EU-CENTRAL-1"},
		{[]*kmstest.Ring{central, east}, "a\n\u009b" + strings.Repeat("b", 200), "", nil, "a??" + strings.Repeat("b", 124) + "..."},
	} {
		var rings []*kms.Keyring
		for _, r := range tc.rings {
			rings = append(rings, r.Keyring)
		}
		handler, err := kmshttp.New(kmshttp.Config{Rings: rings, Authenticator: kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) {
			return kmshttp.Identity{Caller: kms.Root(), Region: tc.region}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("%q at %q", tc.region, tc.host)
		a := send(t, handler, "CreateKey", "", func(r *http.Request) { r.Host = tc.host })
		if tc.want == nil {
			says := "Credential should be scoped to a valid Region, not '" + tc.named + "'."
			if tc.named == "" {
				says = "The request names no Region, and the host has none behind kms., as in kms.eu-central-1.example.org."
			}
			a.refused(t, what, "InvalidSignatureException", says)
			continue
		}
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", what, a.status, a.body)
			continue
		}
		if arn := inside(t, a, "KeyMetadata")["Arn"].(string); !strings.HasPrefix(arn, "arn:aws:kms:"+tc.want.Region()+":") {
			t.Errorf("%s: %s", what, arn)
		}
	}
}

// TestSignatures: a request is that of the access key whose secret signed it and whose session token, or none, it carries. Whether there is no such key, it has no secret, or
// the token is another, reads alike.
func TestSignatures(t *testing.T) {
	w := newWorld(t)
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.SigV4(keys{
		"LONG":  {SecretAccessKey: "secret-of-long", Caller: kms.Root()},
		"SHORT": {SecretAccessKey: "secret-of-short", SessionToken: "token-of-short", Caller: kms.Root()},
		"NONE":  {Caller: kms.Root()},
	})})
	if err != nil {
		t.Fatal(err)
	}
	const unknown, wrong = "UnrecognizedClientException", "InvalidSignatureException"
	for _, tc := range []struct {
		id, secret, token string
		code              kms.Code // "" if it is the key's
	}{
		{"LONG", "secret-of-long", "", ""},
		{"LONG", "secret-of-long", "token-of-short", unknown},
		{"LONG", "secret-of-short", "", wrong},
		{"LONG", "", "", wrong},
		{"SHORT", "secret-of-short", "token-of-short", ""},
		{"SHORT", "secret-of-short", "", unknown},
		{"SHORT", "secret-of-short", "token-of-shor", unknown},
		{"SHORT", "secret-of-short", "token-of-short2", unknown},
		{"SHORT", "secret-of-short", "Token-of-short", unknown},
		{"SHORT", "secret-of-long", "token-of-short", wrong},
		{"SHORT", "secret-of-long", "", unknown},
		{"long", "secret-of-long", "", unknown},
		{"OTHER", "", "", unknown},
		{"OTHER", "secret-of-long", "token-of-short", unknown},
		{"NONE", "", "", unknown},
	} {
		if len(tc.secret) < 10 && fips140.Enforced() { // the signer of the test cannot
			continue
		}
		told := len(w.Trail.Events())
		signer := sigv4test.Signer{KeyID: tc.id, Secret: tc.secret, Token: tc.token, Region: w.Region()}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(signer.Request("ListKeys", []byte("{}"), time.Now()))))
		if err != nil {
			t.Fatal(err)
		}
		a, events := roundTrip(t, direct{handler}, r), w.Trail.Events()
		if a.code() != tc.code || (a.status == http.StatusOK) != (tc.code == "") {
			t.Errorf("%+v: %d %s", tc, a.status, a.body)
		}
		if tc.code != "" && len(events) != told || tc.code == "" && (len(events) != told+1 || events[told].Identity.AccessKeyID != tc.id) {
			t.Errorf("%+v: recorded as %+v", tc, events[told:])
		}
	}
}

// TestSignedRegion: a signature is good for the ring of its Region alone, also where there is no other ring, and one without a Region is good for none.
func TestSignedRegion(t *testing.T) {
	w := newWorld(t)
	key := sigv4test.Signer{KeyID: "AKIDEXAMPLE", Secret: "canary-secret"}
	credentials, err := kmshttp.NewStaticCredentials(map[string]kmshttp.Credential{key.KeyID: {SecretAccessKey: key.Secret, Caller: kms.Root()}})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.SigV4(credentials)})
	if err != nil {
		t.Fatal(err)
	}
	for region, code := range map[string]kms.Code{w.Region(): "", "": "InvalidSignatureException", "us-east-1": "InvalidSignatureException", "EU-CENTRAL-1": "InvalidSignatureException"} {
		key.Region = region
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(key.Request("ListKeys", []byte("{}"), time.Now()))))
		if err != nil {
			t.Fatal(err)
		}
		a := roundTrip(t, direct{handler}, r)
		if code != "" {
			a.refused(t, region, code, "Credential should be scoped to a valid Region, not '"+region+"'.")
		} else if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", region, a.status, a.body)
		}
	}
	if n := len(w.Trail.Events()); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestConfig: a handler has a ring and somebody to ask whose requests are.
func TestConfig(t *testing.T) {
	ring, other := kmstest.New(t).Keyring, kmstest.New(t).Keyring
	who := kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) { return kmshttp.Identity{}, nil })
	for _, tc := range []struct {
		cfg  kmshttp.Config
		says string
	}{
		{kmshttp.Config{Authenticator: who}, "kmshttp: Config.Rings and Config.Authenticator are required"},
		{kmshttp.Config{Rings: []*kms.Keyring{ring}}, "kmshttp: Config.Rings and Config.Authenticator are required"},
		{kmshttp.Config{Rings: []*kms.Keyring{nil}, Authenticator: who}, "kmshttp: Config.Rings: a nil ring"},
		{kmshttp.Config{Rings: []*kms.Keyring{ring, other}, Authenticator: who}, "kmshttp: Config.Rings: two of Region eu-central-1"},
		{kmshttp.Config{Rings: []*kms.Keyring{ring}, Authenticator: who, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, ""},
	} {
		handler, err := kmshttp.New(tc.cfg)
		if says := fmt.Sprint(err); err == nil != (tc.says == "") || err != nil && says != tc.says || (handler == nil) != (err != nil) {
			t.Errorf("%+v: %v, want %q", tc.cfg, err, tc.says)
		}
	}
}
