package kmshttp

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/sigv4"
)

// A Config says what a [Handler] serves.
type Config struct {
	// Rings are what is served: one for each Region, at least one.
	Rings []*kms.Keyring

	// Authenticator tells whose a request is. It is required.
	Authenticator Authenticator

	// Proxies are the addresses of proxies that stand in front and are believed what they say of their clients: in X-Forwarded-For their address, and in
	// X-Forwarded-Proto whether they came over TLS: a client of whom a proxy does not say so did not. Without proxies the headers say nothing.
	Proxies []netip.Prefix

	// Log takes a line of each request: at Debug if it was answered, at Info if it was refused or the client has left meanwhile, at Error if the fault is the server's. No line
	// has more of a request than its operation and where it came from. Nil logs nothing.
	Log *slog.Logger
}

// How long a request may take, after its headers.
const (
	bodyTime    = 10 * time.Second // until the body is there
	requestTime = time.Minute      // altogether: a key of RSA_4096 may take long
)

// maxUserAgent is how much of a client's name for itself is recorded, in bytes.
const maxUserAgent = 1024

// firstRoom is for a body of which nothing has come yet, in bytes.
const firstRoom = 4 << 10

const contentType = "application/x-amz-json-1.1"

// A Handler serves keyrings over HTTP. It may be mounted at any path: the operation is told by a header. It is safe for concurrent use.
//
// Clients post to their endpoint as it stands, some with a slash at its end and some without. An [http.ServeMux] that knows only one with the slash redirects the
// others, and AWS SDKs follow no redirection of a POST: mount both.
//
//	mux.Handle("/kms", handler)
//	mux.Handle("/kms/", handler)
type Handler struct {
	rings         map[string]*kms.Keyring // by Region
	authenticator Authenticator
	proxies       []netip.Prefix
	log           *slog.Logger
	inProcess     bool // requests come over no connection
}

// New returns a handler. It fails if the Config has no ring, two of one Region, or no Authenticator. The rings stay the caller's to close.
func New(cfg Config) (*Handler, error) {
	h := &Handler{rings: make(map[string]*kms.Keyring, len(cfg.Rings)), authenticator: cfg.Authenticator, proxies: cfg.Proxies, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))}
	if len(cfg.Rings) == 0 || cfg.Authenticator == nil {
		return nil, errors.New("kmshttp: Config.Rings and Config.Authenticator are required")
	}
	for _, ring := range cfg.Rings {
		if ring == nil {
			return nil, errors.New("kmshttp: Config.Rings: a nil ring")
		}
		if h.rings[ring.Region()] != nil {
			return nil, fmt.Errorf("kmshttp: Config.Rings: two of Region %s", ring.Region())
		}
		h.rings[ring.Region()] = ring
	}
	return h, nil
}

// An exchange is one request and what becomes of it.
type exchange struct {
	id      string
	began   time.Time
	route   *route
	source  netip.Addr
	caller  kms.Caller
	keyID   string // the access key
	problem error
}

// ServeHTTP answers one request. It does not panic, and does not hold the request when it returns.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{id: audit.NewRequestID(), began: time.Now()}
	body, err := h.serve(x, w, r)
	defer clear(body) // it may hold a secret
	status := http.StatusOK
	if err != nil {
		x.problem = err
		f := faultOf(err)
		status = f.status()
		answer := object{"__type": f.code}
		set(answer, "message", f.message)
		body = encode(answer)
	}
	header := w.Header()
	header["X-Amzn-Requestid"] = []string{x.id}
	header["Content-Type"] = []string{contentType}
	header["Cache-Control"] = []string{"no-store"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever has left needs no answer
	h.tell(x, status, r.Context().Err() != nil)
}

// serve does what a request asks for, and returns the body of the answer. A panic is an error of its request alone.
func (h *Handler) serve(x *exchange, w http.ResponseWriter, r *http.Request) (answer []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			answer, err = nil, fmt.Errorf("panic with a value of type %T\n%s", v, debug.Stack()) // and not with the value, which may be a secret
		}
	}()
	// Not every server has deadlines to set, and these need not be the only ones. What is not read here of a body, the server reads before it answers.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(x.began.Add(bodyTime))
	target := r.Header["X-Amz-Target"]
	if len(target) != 1 || r.Method != http.MethodPost { // of two, who reads requests otherwise may take the other
		return nil, errUnknownOperation
	}
	if x.route = routes[target[0]]; x.route == nil {
		return nil, errUnknownOperation
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	body, err := readBody(r, x.route.most)
	defer clear(body)
	if err != nil {
		return nil, err
	}
	_ = connection.SetReadDeadline(time.Time{}) // the server looks out for a client that leaves
	client, err := h.authenticate(x, r.WithContext(ctx), body)
	if err != nil {
		return nil, err
	}
	call, client, err := x.route.decode(body, client)
	if err != nil {
		return nil, err
	}
	out, err := call(ctx, client)
	if err != nil || out == nil {
		return nil, err
	}
	return encode(out), nil
}

// readBody reads a body of at most that many bytes, and as many as were promised, which the caller clears. The room for it grows with what has come: what is promised may never come.
func readBody(r *http.Request, most int) ([]byte, error) {
	if r.ContentLength > int64(most) {
		return nil, errTooLarge
	}
	room := most + 1
	if r.ContentLength >= 0 {
		room = int(r.ContentLength) + 1
	}
	body := make([]byte, 0, min(room, firstRoom))
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > most:
			return body, errTooLarge
		case len(body) == room: // more than was promised
			return body, errMalformedHTTP
		case err == io.EOF && int64(len(body)) < r.ContentLength: // a server says so itself
			return body, errMalformedHTTP
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, errMalformedHTTP
		case len(body) == cap(body):
			grown := append(make([]byte, 0, min(room, 2*cap(body))), body...)
			clear(body)
			body = grown
		}
	}
}

// authenticate returns the client of whoever the request is of.
func (h *Handler) authenticate(x *exchange, r *http.Request, body []byte) (*kms.Client, error) {
	source, secure, err := h.source(r)
	if err != nil {
		return nil, err
	}
	x.source, secure = source, secure || h.inProcess
	who, err := h.authenticator.Authenticate(r, body)
	if err != nil {
		return nil, err
	}
	ring, err := h.ring(who.Region, r.Host)
	if err != nil {
		return nil, err
	}
	x.caller, x.keyID = who.Caller, who.accessKeyID
	connection := kms.Connection{SourceIP: source, Secure: secure, UserAgent: shortened(r.UserAgent()), Referer: shortened(r.Referer()), RequestID: x.id}
	if r.TLS != nil {
		connection.TLS = audit.TLS{Version: strings.ReplaceAll(tls.VersionName(r.TLS.Version), " ", "v"), CipherSuite: tls.CipherSuiteName(r.TLS.CipherSuite), Host: shortened(r.Host)}
	}
	return ring.As(who.Caller.Over(connection)), nil
}

// ring is the ring of a Region. If none was told it is the only one, or the one that the host names.
func (h *Handler) ring(region, host string) (*kms.Keyring, error) {
	if region == "" && len(h.rings) == 1 {
		for _, ring := range h.rings {
			return ring, nil
		}
	}
	if region == "" {
		host, _, _ = strings.Cut(strings.ToLower(host), ":")
		if name, rest, _ := strings.Cut(host, "."); name == "kms" || name == "kms-fips" {
			region, _, _ = strings.Cut(rest, ".")
		}
	}
	if ring := h.rings[region]; ring != nil {
		return ring, nil
	}
	if region == "" {
		return nil, errNoRegion
	}
	return nil, sigv4.OtherRegion(region)
}

func shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxUserAgent)], "?")
}

// decode reads a body, and returns the call that it asks for and the client to make it as.
func (r *route) decode(body []byte, client *kms.Client) (call, *kms.Client, error) {
	if r.read == nil {
		return nil, nil, &fault{"UnsupportedOperationException", r.name + " is not supported."}
	}
	in, err := parseInput(body)
	if err != nil {
		return nil, nil, err
	}
	call := r.read(in)
	if r.tokens {
		if tokens := in.texts("GrantTokens"); len(tokens) > 0 {
			client = client.WithGrantTokens(tokens...)
		}
	}
	if r.dryRun && in.truth("DryRun") {
		client = client.DryRun()
	}
	return call, client, in.err()
}

// encode writes an answer, whose buffer is the caller's to clear.
func encode(o object) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic("an answer that has no JSON") // there is none: all are made of strings, numbers, lists and maps
	}
	return text
}

// tell logs a request. It is answered by then: a log that panics ends nothing, and has nowhere to be told of. What fails because the client has left is no fault of the
// server's: net/http ends the context of a request whose connection the client closes, if only for what it sends.
func (h *Handler) tell(x *exchange, status int, left bool) {
	defer func() { _ = recover() }()
	level := slog.LevelDebug
	switch {
	case status >= http.StatusInternalServerError && !left:
		level = slog.LevelError
	case status >= http.StatusBadRequest:
		level = slog.LevelInfo
	}
	ctx := context.Background()
	if !h.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("requestID", x.id), slog.Int("status", status), slog.Duration("took", time.Since(x.began))}
	if x.route != nil {
		attrs = append(attrs, slog.String("operation", x.route.name))
	}
	if x.source.IsValid() {
		attrs = append(attrs, slog.String("source", x.source.String()))
	}
	if x.caller != (kms.Caller{}) {
		attrs = append(attrs, slog.String("caller", x.caller.String()))
	}
	if x.keyID != "" {
		attrs = append(attrs, slog.String("accessKeyID", x.keyID))
	}
	if left {
		attrs = append(attrs, slog.Bool("left", true))
	}
	if x.problem != nil {
		f := faultOf(x.problem)
		attrs = append(attrs, slog.String("error", f.code))
		if cause := causeOf(x.problem); cause != nil {
			attrs = append(attrs, slog.String("cause", cause.Error()))
		}
	}
	h.log.LogAttrs(ctx, level, "request", attrs...)
}
