package kmshttp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/sigv4test"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// visitors is how many connections there are at once.
const visitors = 200

// TestHostileTraffic lets many clients come at once, of which about half are broken or mean harm, in every way of which one can think. What is valid is served, and
// what is not is refused, by name; nothing of either is written down that must not be; and afterwards nothing is left of them.
func TestHostileTraffic(t *testing.T) {
	lasting, enough := 10*time.Second, 2*time.Second
	if os.Getenv("KMS_SOAK") != "" {
		lasting, enough = 2*time.Minute, 15*time.Second
	}
	s := newStage(t)
	s.enough = enough
	var coming sync.WaitGroup
	for i := range max(len(conversations)*len(manners), len(mischiefs)) { // each once, so that caches and pools are full
		coming.Go(func() {
			v := s.visitor(visitors + i)
			v.converse(conversations[i%len(conversations)], manners[i/len(conversations)%len(manners)])
			v.offend(&mischiefs[i%len(mischiefs)])
		})
	}
	coming.Wait()
	if t.Failed() {
		t.FailNow()
	}
	heap, goroutines := s.settle(0)

	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	for i := range visitors {
		coming.Go(func() {
			v := s.visitor(i)
			for ctx.Err() == nil {
				if v.IntN(2) == 0 {
					v.converse(conversations[v.IntN(len(conversations))], manners[v.IntN(len(manners))])
				} else {
					v.offend(&mischiefs[v.IntN(len(mischiefs))])
				}
			}
		})
	}
	peak, most := uint64(0), 0
	for tick := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		peak, most = max(peak, sample[0].Value.Uint64()), max(most, runtime.NumGoroutine())
	}
	coming.Wait()

	unclaimed := s.trail.empty()
	heapAfter, goroutinesAfter := s.settle(goroutines)
	if goroutinesAfter > goroutines {
		var stacks [1 << 20]byte
		t.Errorf("%d goroutines before, %d after\n%s", goroutines, goroutinesAfter, stacks[:runtime.Stack(stacks[:], true)])
	}
	const tolerance = 4 << 20
	if heapAfter > heap+tolerance {
		t.Errorf("%d bytes before, %d after", heap, heapAfter)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conversations {
		for _, m := range manners {
			if s.valid[c.name+", "+m.name] == 0 {
				t.Errorf("nobody came for %s, %s", c.name, m.name)
			}
		}
	}
	total, refused := 0, 0
	for _, n := range s.valid {
		total += n
	}
	for _, m := range mischiefs {
		if s.hostile[m.name] == 0 {
			t.Errorf("nobody came with %s", m.name)
		}
	}
	for _, n := range s.answers {
		refused += n
	}
	t.Logf("%v: %d valid requests, all answered; %d answers to hostile ones: %v", lasting, total, refused, s.answers)
	t.Logf("%d events, %d of requests whose answer nobody took; %d lines in the log", s.trail.count, unclaimed, s.lines.count)
	t.Logf("heap %d KiB before, %d at most, %d after; goroutines %d, %d, %d", heap>>10, peak>>10, heapAfter>>10, goroutines, most, goroutinesAfter)
}

// A stage is a ring that is served, and what is seen of it and its clients.
type stage struct {
	testing.TB
	plain, secure               string // addresses
	client                      *tls.Config
	symmetric, other, pair, mac string // ARNs of keys
	users                       []sigv4test.Signer
	stranger                    sigv4test.Signer // whom no policy allows anything
	credentials                 map[string]kmshttp.Credential
	trail                       *trail
	lines                       *lines

	mu       sync.Mutex // guards what follows
	valid    map[string]int
	hostile  map[string]int
	answers  map[string]int // to hostile requests, by code
	problems int

	enough time.Duration // the most that somebody waits who has nothing to wait for
}

// Credential implements [kmshttp.Credentials].
func (s *stage) Credential(_ context.Context, id, _ string) (kmshttp.Credential, error) {
	if c, ok := s.credentials[id]; ok {
		return c, nil
	}
	return kmshttp.Credential{}, kmshttp.ErrUnknownIdentity
}

// canaries are in what must not be written down. Every plaintext, body and header that should be nobody's business has one of the last three.
var canaries = []string{"canary-secret", "canary-token", "canary-plaintext", "canary-body", "canary-header"}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{TB: t, valid: map[string]int{}, hostile: map[string]int{}, answers: map[string]int{}, credentials: map[string]kmshttp.Credential{}}
	unspeakable := newSearch(append(slices.Clone(canaries), "Signature=", "AWS4-HMAC")...)
	s.trail = &trail{unspeakable: unspeakable, events: map[string]outcome{}, stage: s}
	s.lines = &lines{unspeakable: unspeakable, stage: s}
	ring := kmstest.New(t, func(c *kms.Config) { c.Now, c.Audit = time.Now, s.trail })
	callers := []kms.Caller{kms.Role("orders"), kms.User("alice"), kms.Session("batch", "night")}
	for i, c := range append(callers, kms.Role("stranger")) {
		user := sigv4test.Signer{KeyID: fmt.Sprintf("AKIATEST%012d", i), Secret: fmt.Sprintf("canary-secret/%d+9f86d081884c7d659a2feaa0c55ad015", i), Region: ring.Region()}
		if i == 2 {
			user.Token = "canary-token//////////wEaCXVzLWVhc3QtMSJHMEUCIQ=="
		}
		s.credentials[user.KeyID] = kmshttp.Credential{SecretAccessKey: user.Secret, SessionToken: user.Token, Caller: c}
		s.users = append(s.users, user)
	}
	s.users, s.stranger = s.users[:len(callers)], s.users[len(callers)]
	for _, key := range []struct {
		arn *string
		in  kms.CreateKeyInput
	}{
		{&s.symmetric, kms.CreateKeyInput{KeyUsage: kms.EncryptDecrypt}}, {&s.other, kms.CreateKeyInput{KeyUsage: kms.EncryptDecrypt}}, {&s.pair, kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify}},
		{&s.mac, kms.CreateKeyInput{KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac}},
	} {
		policy, err := ring.DefaultPolicy(nil, callers, key.in.KeyUsage)
		noError(t, err)
		key.in.Policy = policy
		made, err := ring.CreateKey(t.Context(), key.in)
		noError(t, err)
		*key.arn = made.ARN
	}
	handler, err := kmshttp.New(kmshttp.Config{
		Rings: []*kms.Keyring{ring.Keyring}, Authenticator: kmshttp.SigV4(s), Log: slog.New(slog.NewJSONHandler(s.lines, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	noError(t, err)
	certificate, roots := newCertificate(t)
	s.client = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	for _, address := range []*string{&s.plain, &s.secure} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		noError(t, err)
		*address = listener.Addr().String()
		server := kmshttp.NewServer(handler)
		server.ErrorLog = log.New(s.lines, "", 0)
		var serving sync.WaitGroup
		serving.Go(func() {
			if address == &s.plain {
				_ = server.Serve(listener)
				return
			}
			server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
			_ = server.ServeTLS(listener, "", "")
		})
		t.Cleanup(func() {
			_ = server.Close()
			serving.Wait()
		})
	}
	return s
}

// newCertificate makes one for localhost that signs itself.
func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	noError(t, err)
	leaf, err := x509.ParseCertificate(der)
	noError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// problemf is Errorf, for a while.
func (s *stage) problemf(format string, args ...any) {
	s.Helper()
	s.mu.Lock()
	s.problems++
	n := s.problems
	s.mu.Unlock()
	if n <= 20 {
		s.Errorf(format, args...)
	}
}

func (s *stage) count(counts map[string]int, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts[name]++
}

// settle waits until there are no more goroutines than that, or there have been as many for a while, and returns what memory is in use then, and how many there are.
func (s *stage) settle(want int) (heap uint64, goroutines int) {
	goroutines = runtime.NumGoroutine()
	for same := 0; same < 20 && (want == 0 || goroutines > want); same++ { // a connection that is closed may stay half a second
		time.Sleep(50 * time.Millisecond)
		if n := runtime.NumGoroutine(); n != goroutines {
			goroutines, same = n, 0
		}
	}
	for range 3 { // what a pool holds outlasts a collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, goroutines
}

// A search finds texts in any encoding in which a server might write them down.
type search struct{ forms []form }

type form struct {
	name string
	text []byte
}

func newSearch(texts ...string) (s search) {
	for _, text := range texts {
		s.forms = append(s.forms, form{text, []byte(text)}, form{text, hex.AppendEncode(nil, []byte(text))})
		for before := range 3 { // bytes stand before these in what was encoded
			whole := append(make([]byte, before), text...)
			encoded := base64.RawStdEncoding.EncodeToString(whole)
			s.forms = append(s.forms, form{text, []byte(encoded[[]int{0, 2, 3}[before] : len(whole)*8/6])})
		}
	}
	return s
}

func (s search) find(text []byte) string {
	for _, f := range s.forms {
		if bytes.Contains(text, f.text) {
			return f.name
		}
	}
	return ""
}

// lines are what is logged.
type lines struct {
	unspeakable search
	stage       *stage

	mu    sync.Mutex // guards count
	count int
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.count++
	l.mu.Unlock()
	if found := l.unspeakable.find(b); found != "" {
		l.stage.problemf("the log has %s: %s", found, b)
	}
	if bytes.Contains(b, []byte("panic")) || bytes.Contains(b, []byte("superfluous")) || bytes.Contains(b, []byte(`"level":"ERROR"`)) {
		l.stage.problemf("the log has a fault of the server's: %s", b)
	}
	return len(b), nil
}

// A trail has what the ring has recorded of requests whose answers were not looked at yet.
type trail struct {
	unspeakable search
	stage       *stage

	mu     sync.Mutex // guards what follows
	events map[string]outcome
	count  int
}

type outcome struct{ name, code string }

// Append implements [audit.Sink].
func (t *trail) Append(_ context.Context, e *audit.Event) error {
	text := e.AppendJSON(nil)
	if found := t.unspeakable.find(text); found != "" {
		t.stage.problemf("the trail has %s: %s", found, text)
	}
	var event struct {
		EventName, EventSource, EventType, EventID, RequestID, AWSRegion, SourceIPAddress, RecipientAccountID, ErrorCode string

		EventTime    time.Time
		UserIdentity struct{ Type, ARN, AccessKeyID string }
	}
	if err := json.Unmarshal(text, &event); err != nil {
		t.stage.problemf("an event that is no JSON: %v: %s", err, text)
		return nil
	}
	overTheWire := event.UserIdentity.Type != "Root" // who made the keys
	switch {
	case event.EventSource != "kms.amazonaws.com" || event.EventType != audit.APICall || event.EventName == "" || event.AWSRegion != kmstest.Region || event.RecipientAccountID != kmstest.AccountID,
		!uuid.MatchString(event.EventID) || !uuid.MatchString(event.RequestID) || event.EventTime.IsZero() || event.UserIdentity.ARN == "",
		overTheWire && (event.SourceIPAddress != "127.0.0.1" || t.stage.credentials[event.UserIdentity.AccessKeyID].SecretAccessKey == ""):
		t.stage.problemf("an event that is not well-formed: %s", text)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if _, twice := t.events[event.RequestID]; twice {
		t.stage.problemf("two events of one request: %s", text)
	}
	if overTheWire {
		t.events[event.RequestID] = outcome{event.EventName, event.ErrorCode}
	}
	return nil
}

// take returns what was recorded of a request.
func (t *trail) take(id string) outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.events[id]
	delete(t.events, id)
	return o
}

// empty forgets what nobody has taken, and returns how much that was.
func (t *trail) empty() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.events)
	t.events = map[string]outcome{}
	return n
}

// A visitor is one of many clients.
type visitor struct {
	*mathrand.Rand
	*stage
}

func (s *stage) visitor(i int) *visitor {
	return &visitor{mathrand.New(mathrand.NewPCG(uint64(i), 0)), s}
}
