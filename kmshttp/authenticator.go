package kmshttp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/sigv4"
)

// An Authenticator tells whose a request is. It is asked once for each, with the whole body, which it neither keeps nor changes, and must be safe for concurrent use. A
// request that it returns an error for is refused. [ErrUnauthenticated], [ErrUnknownIdentity] and a [*kms.Error] are told to the client, also where an error wraps them; of any other
// error it is told nothing. Config.Log is told the whole.
type Authenticator interface {
	Authenticate(r *http.Request, body []byte) (Identity, error)
}

// An AuthenticatorFunc is a function as an [Authenticator].
type AuthenticatorFunc func(r *http.Request, body []byte) (Identity, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(r *http.Request, body []byte) (Identity, error) {
	return f(r, body)
}

// An Identity is whose a request is, and what it is for.
type Identity struct {
	// Caller is who asks. The handler adds the connection. A service that hands on the requests of others is trusted to say for whom: see [kms.Caller.Via].
	Caller kms.Caller

	// Region is whose ring is asked; "" is the only one, or the one that the host names behind "kms.", as in kms.eu-central-1.example.org.
	Region string

	accessKeyID string
}

// ErrUnauthenticated refuses a request that does not tell whose it is: MissingAuthenticationTokenException.
var ErrUnauthenticated error = errNoIdentity

// ErrUnknownIdentity refuses a request of somebody that nobody knows: UnrecognizedClientException.
var ErrUnknownIdentity = sigv4.ErrUnrecognized

// Credentials know access keys.
type Credentials interface {
	// Credential returns what belongs to an access key, given its id and the session token that the request carries, "" if none, which is not verified yet. Of a key that
	// there is not, or that is out of use, the error is [ErrUnknownIdentity]. Neither the id nor the token may appear in errors.
	Credential(ctx context.Context, accessKeyID, sessionToken string) (Credential, error)
}

// A Credential is a secret that signs requests, and whose they are.
type Credential struct {
	SecretAccessKey string
	SessionToken    string     // that requests must carry; "" for a long-term key, whose requests carry none
	Caller          kms.Caller // [kms.Caller.WithLifetime] lets it expire
}

// SigV4 returns the authenticator of requests that are signed by AWS Signature Version 4 in their Authorization header, for the service "kms" and the Region of a ring.
// What is signed is the method, the path, the query, the body, the host and every header that begins with x-amz-; a signature is good for 15 minutes before and after its
// time.
func SigV4(credentials Credentials) Authenticator {
	return &signatures{credentials: credentials, nobody: (rand.Text() + rand.Text())[:40], now: time.Now}
}

// service is the name in the scope of signatures.
const service = "kms"

type signatures struct {
	credentials Credentials
	nobody      string // the secret of keys that there are not, as long as others: to find that out takes as long as to find a wrong signature
	now         func() time.Time
}

func (a *signatures) Authenticate(r *http.Request, body []byte) (Identity, error) {
	s, err := sigv4.Parse(r)
	if err != nil {
		return Identity{}, err
	}
	c, err := a.credentials.Credential(r.Context(), s.KeyID, s.Token)
	unknown, refusal := errors.Is(err, ErrUnknownIdentity), ErrUnknownIdentity
	if problem := secretProblem(c.SecretAccessKey); err == nil && problem != "" {
		unknown, refusal = true, fmt.Errorf("%w: access key %s: %s", ErrUnknownIdentity, s.KeyID, problem)
	}
	switch {
	case unknown:
		c = Credential{SecretAccessKey: a.nobody}
	case err != nil:
		return Identity{}, err
	}
	known := subtle.ConstantTimeCompare([]byte(c.SessionToken), []byte(s.Token)) == 1
	switch err := s.Verify(r, body, c.SecretAccessKey, service, a.now()); {
	case unknown || !known:
		return Identity{}, refusal
	case err != nil:
		return Identity{}, err
	case s.Region == "": // which would stand for whatever ring there is
		return Identity{}, sigv4.OtherRegion("")
	}
	return Identity{Caller: c.Caller.WithAccessKey(s.KeyID), Region: s.Region, accessKeyID: s.KeyID}, nil
}

// ClientCertificates returns the authenticator of requests over TLS connections whose client has shown a certificate. The server's tls.Config must demand and verify it
// (tls.RequireAndVerifyClientCert, or tls.VerifyClientCertIfGiven): one that was not verified is nobody's. caller tells whose it is, or fails, best with
// [ErrUnknownIdentity]. A signature of the request is not looked at, and the host says which Region is meant.
func ClientCertificates(caller func(*x509.Certificate) (kms.Caller, error)) Authenticator {
	return AuthenticatorFunc(func(r *http.Request, _ []byte) (Identity, error) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
			return Identity{}, ErrUnauthenticated
		}
		c, err := caller(r.TLS.VerifiedChains[0][0])
		return Identity{Caller: c}, err
	})
}
