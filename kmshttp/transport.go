package kmshttp

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/claviger/kms"
)

// A RoundTripper answers requests of AWS KMS clients within the process. It is safe for concurrent use.
type RoundTripper struct{ handler *Handler }

// Transport returns an [http.RoundTripper] that answers from a ring, without a socket: give it to the HTTP client of an AWS SDK. The calls are those of the ring's own
// client, the account's root user; [RoundTripper.As] makes them somebody else's. Signatures, hosts and Regions are not looked at, since whoever has the ring may call as
// anybody: any credentials do.
//
//	client := awskms.New(awskms.Options{
//		Region:      ring.Region(),
//		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
//		HTTPClient:  &http.Client{Transport: kmshttp.Transport(ring)},
//	})
//
// A request that is not one to AWS KMS is answered by UnknownOperationException.
func Transport(ring *kms.Keyring) *RoundTripper {
	return &RoundTripper{&Handler{rings: map[string]*kms.Keyring{ring.Region(): ring}, authenticator: caller(kms.Root()), inProcess: true, log: slog.New(slog.DiscardHandler)}}
}

// As returns a RoundTripper on the same ring whose requests are a caller's.
func (t *RoundTripper) As(c kms.Caller) *RoundTripper {
	h := *t.handler
	h.authenticator = caller(c)
	return &RoundTripper{&h}
}

// caller is the authenticator of requests that are all the same caller's.
func caller(c kms.Caller) Authenticator {
	return AuthenticatorFunc(func(*http.Request, []byte) (Identity, error) { return Identity{Caller: c}, nil })
}

// RoundTrip answers a request. It fails only if the request's context has ended.
func (t *RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	defer body.Close() // a RoundTripper's duty, whatever happens; what was read is read
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	received := r.Clone(r.Context())
	received.Body = body
	if r.ContentLength == 0 && body != http.NoBody { // which a client says of a length that it does not know, and a server of an empty body
		received.ContentLength = -1
	}
	w := &recorder{header: http.Header{}}
	t.handler.ServeHTTP(w, received)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// A recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) { w.status = status }

func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
