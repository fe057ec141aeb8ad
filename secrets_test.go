package kms

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/aead"
	"github.com/claviger/kms/rootkey/keyfile"
	"github.com/claviger/kms/rootkey/passphrase"
	"github.com/claviger/kms/rootkey/tinkkeyset"
)

// Canaries are bytes that must not turn up in a text, by what they are.
type canaries map[string][]byte

// forms are the ways in which bytes may turn up in a text.
func forms(b []byte) []string {
	list := strings.Trim(fmt.Sprint(b), "[]")
	var literal, padded, chars []string
	for _, c := range b {
		literal = append(literal, fmt.Sprintf("%#x", c))
		padded = append(padded, fmt.Sprintf("%#02x", c))
		chars = append(chars, fmt.Sprintf("%c", c))
	}
	digits := hex.EncodeToString(b)
	escaped, _ := json.Marshal(string(b))
	var element strings.Builder
	_ = xml.EscapeText(&element, b)
	all := []string{
		string(b), digits, strings.ToUpper(digits), list, strings.ReplaceAll(list, " ", ","), strings.ReplaceAll(list, " ", ", "), strings.Join(literal, ", "),
		strings.Join(chars, " "), strings.Trim(strconv.Quote(string(b)), `"`), strings.Trim(strconv.QuoteToASCII(string(b)), `"`), strings.Trim(string(escaped), `"`),
		strings.Join(padded, ", "), element.String(),
	}
	for before := range 3 { // bytes stand before these in what was encoded
		whole := append(make([]byte, before, before+len(b)), b...)
		from, to := []int{0, 2, 3}[before], len(whole)*8/6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			all = append(all, encoding.EncodeToString(whole)[from:to])
		}
	}
	if len(b) >= 16 { // as arguments in a stack
		all = append(all, fmt.Sprintf("%#x, %#x", binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])))
	}
	return all
}

// A search looks for canaries, in one pass over a text.
type search struct {
	pairs [1 << 16]bool // the first two bytes of what is looked for
	forms map[string][]form
}

// prefixLen is the length of the keys of a search's forms, which are all longer.
const prefixLen = 4

type form struct{ name, text string }

func (s *search) add(more canaries) {
	if s.forms == nil {
		s.forms = map[string][]form{}
	}
	for name, b := range more {
		if len(b) == 0 { // the zero result of a failure
			continue
		}
		for _, text := range forms(b) {
			prefix, known := text[:prefixLen], func(f form) bool { return f.text == text }
			if !slices.ContainsFunc(s.forms[prefix], known) {
				s.forms[prefix] = append(s.forms[prefix], form{name, text})
				s.pairs[binary.BigEndian.Uint16([]byte(text))] = true
			}
		}
	}
}

// find returns the name of a canary that a text holds.
func (s *search) find(text string) string {
	for i := range max(0, len(text)-prefixLen) {
		if !s.pairs[int(text[i])<<8|int(text[i+1])] {
			continue
		}
		for _, f := range s.forms[text[i:i+prefixLen]] {
			if strings.HasPrefix(text[i:], f.text) {
				return f.name
			}
		}
	}
	return ""
}

// leaks returns the name of a secret that a text holds.
func leaks(text string, secrets canaries) string {
	var s search
	s.add(secrets)
	return s.find(text)
}

// holder keeps a value where package fmt and encoders cannot call its methods.
type holder struct {
	hidden  any
	nested  struct{ deep []any }
	byName  map[string]any
	pointer *any
}

// A showing is a way in which a value gets into a text.
type showing struct {
	name string
	show func(v any) string
}

// showings are all ways in which this test shows a value.
var showings = func() []showing {
	held := func(v any) holder {
		h := holder{hidden: v, byName: map[string]any{"k": v}, pointer: &v}
		h.nested.deep = []any{v}
		return h
	}
	encoded := func(encode func(v any) ([]byte, error)) func(v any) string {
		return func(v any) string {
			text, err := encode(v)
			return string(text) + fmt.Sprint(err)
		}
	}
	marshal := func(v any) ([]byte, error) {
		text, err := json.Marshal(v)
		if err != nil { // what holds it may be encoded all the same
			return nil, err
		}
		inside, err := json.Marshal(map[string]any{"in": []any{v}, "at": &v})
		return append(text, inside...), err
	}
	logged := func(handler func(b *bytes.Buffer) slog.Handler) func(v any) string {
		return func(v any) string {
			var b bytes.Buffer
			logger := slog.New(handler(&b)).With("with", v)
			logger.Info("it", "value", v, "list", []any{v}, "map", map[string]any{"k": v}, slog.Group("group", "in", v))
			return b.String()
		}
	}
	all := []showing{
		{"json", encoded(marshal)},
		{"xml", encoded(func(v any) ([]byte, error) { return xml.Marshal(v) })},
		{"gob", encoded(func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		})},
		{"slog text", logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) })},
		{"slog JSON", logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) })},
		{"log", func(v any) string {
			var b bytes.Buffer
			l := log.New(&b, "", 0)
			l.Print(v)
			l.Printf("%v %+v", v, []any{v})
			return b.String()
		}},
		{"expvar", func(v any) string { return expvar.Func(func() any { return v }).String() }},
		{"cmp", func(v any) string {
			if v == nil || !isPlain(reflect.TypeOf(v)) { // it would follow pointers behind everything
				return ""
			}
			diff := cmp.Diff(reflect.Zero(reflect.TypeOf(v)).Interface(), v, cmp.Exporter(func(reflect.Type) bool { return true }))
			return strings.Join(strings.Fields(strings.ReplaceAll(diff, "+", " ")), " ") // without its line ends
		}},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%p", "%w"} {
		all = append(all, showing{verb, func(v any) string { return fmt.Errorf(verb, v).Error() }},
			showing{verb + " inside", func(v any) string { return fmt.Sprintf(verb, []any{v, &v, map[string]any{"k": v}}) }},
			showing{verb + " hidden", func(v any) string { h := held(v); return fmt.Sprintf(verb+verb, h, &h) }})
	}
	return all
}()

// isPlain reports whether a value of the type is a result: a struct, or a list of them.
func isPlain(t reflect.Type) bool {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[DataKey]().PkgPath() && t != reflect.TypeFor[Keyring]() && t != reflect.TypeFor[Client]()
}

// byDesign reports whether a way of showing a value is known to show the data in it. The result of Decrypt has its plaintext in a slice, for the caller to take
// out, and hides it wherever its methods are asked: package fmt does not ask them in an unexported field, nor for a verb that is wrong for a struct, and
// go-cmp not at all. docs/threat-model.md says so.
func byDesign(v any, how string) bool {
	switch v := v.(type) {
	case *any:
		return byDesign(*v, how)
	case DecryptResult, *DecryptResult:
		return strings.HasSuffix(how, " hidden") || strings.HasPrefix(how, "%p") || strings.HasPrefix(how, "%w") || how == "cmp"
	}
	return false
}

// look shows values in all ways, and errors if a canary turns up.
func (s *search) look(t *testing.T, what string, values ...any) {
	t.Helper()
	for _, v := range values {
		for _, w := range showings {
			if byDesign(v, w.name) {
				continue
			}
			if name := s.find(w.show(v)); name != "" {
				t.Errorf("%s: %s of %T shows %s", what, w.name, v, name)
			}
		}
	}
}

// tree returns all errors in an error's tree.
func tree(err error) (all []any) {
	if err == nil {
		return nil
	}
	all = []any{err, err.Error()}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		all = append(all, tree(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, tree(inner)...)
		}
	}
	return all
}

// TestTheSearchFinds plants a secret in every encoding, and expects it to be found.
func TestTheSearchFinds(t *testing.T) {
	key := []byte{0, 1, 0xfb, 0xff, 7, 8, 9, 'a', '"', 11, 12, 13, 14, 0xbe, 0xef, 200}
	type record struct{ Before, Key []byte }
	encodeJSON := func(v any) string { return string(sure(json.Marshal(v))) }
	for name, text := range map[string]string{
		"raw": "x" + string(key) + "y", "hex": fmt.Sprintf("%x", key), "upper hex": fmt.Sprintf("%X", key), "list": fmt.Sprint(key), "list in a struct": fmt.Sprintf("%+v", record{Key: key}),
		"JSON list": encodeJSON(slices.Collect(func(yield func(int) bool) {
			for _, b := range key {
				yield(int(b))
			}
		})),
		"Go": fmt.Sprintf("%#v", key), "quoted": fmt.Sprintf("%q", key), "quoted ASCII": fmt.Sprintf("%+q", key), "JSON": encodeJSON(record{nil, key}), "JSON text": encodeJSON(string(key)),
		"characters": fmt.Sprintf("%c", key), "base64": base64.StdEncoding.EncodeToString(key), "base64 for URLs": base64.URLEncoding.EncodeToString(key),
		"raw base64": base64.RawStdEncoding.EncodeToString(key), "base64 after one byte": base64.StdEncoding.EncodeToString(append([]byte{9}, key...)),
		"base64 after two bytes": base64.URLEncoding.EncodeToString(append(append([]byte{9, 9}, key...), 1, 2)),
		"a stack":                fmt.Sprintf("f({%#x, %#x})", binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])),
	} {
		if leaks(text, canaries{"the key": key}) == "" {
			t.Errorf("%s: not found in %s", name, text)
		}
	}
	var s search
	s.add(canaries{"the key": key})
	s.add(canaries{"the text": []byte(canary)})
	for _, w := range showings { // every way of showing shows what is not protected
		random, text := w.show(EncryptedDataKey{Ciphertext: key}), w.show(EncryptedDataKey{Ciphertext: []byte(canary)})
		switch {
		case w.name == "%p inside": // an address
		case w.name != "xml" && s.find(random) == "", s.find(text) == "": // xml replaces what is not UTF-8
			t.Errorf("%s does not show a secret that nothing protects: %s", w.name, random)
		}
	}
	joined := fmt.Errorf("x: %w", errors.Join(errors.New("y"), &Error{Op: "Z", Err: &fault{cause: errors.New(string(key))}}))
	if !slices.ContainsFunc(tree(joined), func(v any) bool { return s.find(fmt.Sprint(v)) != "" }) {
		t.Error("an error deep in a tree is not looked at")
	}
}

// sure returns a value that came without an error.
func sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A storeFault is what a store does in place of a call: "get", "list" or "commit", with what would commit. Without an error a read goes on.
type storeFault func(call string, commit func() (keystore.Revision, error)) (keystore.Revision, error)

// A brokenStore fails in one of many ways.
type brokenStore struct {
	keystore.Store
	fails storeFault // nil if it does not
	bends bool       // records come back damaged
	shuts bool       // so do the wraps of domain keys
}

var errOnFire = errors.New("the disk is on fire")

func (s *brokenStore) bend(r keystore.Record) keystore.Record {
	if s.bends && !strings.HasPrefix(r.Name, domainPrefix) || s.shuts && strings.HasPrefix(r.Name, domainPrefix) {
		r.Value = bytes.Clone(r.Value)
		r.Value[len(r.Value)-1] ^= 1
	}
	return r
}

func (s *brokenStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.fails != nil {
		if _, err := s.fails("get", nil); err != nil {
			return keystore.Record{}, err
		}
	}
	r, err := s.Store.Get(ctx, name)
	return s.bend(r), err
}

func (s *brokenStore) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if s.fails != nil {
		if _, err := s.fails("list", nil); err != nil {
			return nil, err
		}
	}
	list, err := s.Store.List(ctx, prefix, after, limit)
	for i := range list {
		list[i] = s.bend(list[i])
	}
	return list, err
}

func (s *brokenStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	commit := func() (keystore.Revision, error) { return s.Store.Commit(ctx, changes) }
	if s.fails == nil {
		return commit()
	}
	return s.fails("commit", commit)
}

// A plight is what an operation meets: who asks, for what, and what breaks.
type plight struct {
	name      string
	arrange   func(w *world, s *brokenStore) (c *Client, ref string)
	cancelled bool
}

// breaks is a plight in which the store does something, from an empty cache.
func breaks(name string, fails storeFault) plight {
	return plight{name: name, arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.forget()
		s.fails = fails
		return w.ring.root, w.key.ARN
	}}
}

// inCommit is a fault of commits alone.
func inCommit(fails func(commit func() (keystore.Revision, error)) error) storeFault {
	return func(call string, commit func() (keystore.Revision, error)) (keystore.Revision, error) {
		if call != "commit" {
			return 0, nil
		}
		return 0, fails(commit)
	}
}

// wrongAt changes a byte of the world's ciphertext.
func wrongAt(w *world, at int) (*Client, string) {
	w.ciphertext = bytes.Clone(w.ciphertext)
	w.ciphertext[at] ^= 1
	return w.ring.root, w.key.ARN
}

const foreignToken = "canary-grant-token-44"

var plights = []plight{
	{name: "success", arrange: func(w *world, s *brokenStore) (*Client, string) { return w.ring.root, w.key.ARN }},
	{name: "success from the store", arrange: func(w *world, s *brokenStore) (*Client, string) { w.forget(); return w.ring.root, w.key.ARN }},
	{name: "denied", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.must(w.ring.PutKeyPolicy(w.t.Context(), w.key.ARN, PutKeyPolicyInput{Policy: w.ring.c.ring.defaultPolicy()}))
		return w.ring.As(Role("stranger")), w.key.ARN
	}},
	{name: "nobody", arrange: func(w *world, s *brokenStore) (*Client, string) { return w.ring.As(Caller{}), w.key.ARN }},
	{name: "disabled", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.must(w.ring.DisableKey(w.t.Context(), w.key.ARN))
		return w.ring.root, w.key.ARN
	}},
	{name: "pending deletion", arrange: func(w *world, s *brokenStore) (*Client, string) {
		sure(w.ring.ScheduleKeyDeletion(w.t.Context(), w.key.ARN, 7))
		return w.ring.root, w.key.ARN
	}},
	{name: "not found", arrange: func(w *world, s *brokenStore) (*Client, string) {
		return w.ring.root, "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000000"
	}},
	{name: "invalid", arrange: func(w *world, s *brokenStore) (*Client, string) { return w.ring.root, "alias/no such\x00\xff/" }},
	{name: "too long", arrange: func(w *world, s *brokenStore) (*Client, string) { return w.ring.root, strings.Repeat("x", 5000) }},
	{name: "grant token", arrange: func(w *world, s *brokenStore) (*Client, string) {
		return w.ring.WithGrantTokens(foreignToken), w.key.ARN
	}},
	{name: "dry run", arrange: func(w *world, s *brokenStore) (*Client, string) { return w.ring.DryRun(), w.key.ARN }},
	{name: "refusing sink", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.sink.refuses.Store(true)
		return w.ring.root, w.key.ARN
	}},
	{name: "panicking sink", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.ring.c.cfg.Audit = audit.Tee(w.ring.c.cfg.Audit, audit.SinkFunc(func(_ context.Context, e *audit.Event) error { panic(e) }))
		return w.ring.root, w.key.ARN
	}},
	{name: "panicking clock", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.nowPanics.Store(true)
		return w.ring.root, w.key.ARN
	}},
	{name: "closed", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.must(w.ring.Close())
		return w.ring.root, w.key.ARN
	}},
	{name: "cancelled", cancelled: true, arrange: func(w *world, s *brokenStore) (*Client, string) { return w.ring.root, w.key.ARN }},
	{name: "wrong tag", arrange: func(w *world, s *brokenStore) (*Client, string) { return wrongAt(w, len(w.ciphertext)-1) }},
	{name: "wrong commitment", arrange: func(w *world, s *brokenStore) (*Client, string) { return wrongAt(w, commitmentAt) }},
	{name: "damaged records", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.forget()
		s.bends = true
		return w.ring.root, w.key.ARN
	}},
	{name: "damaged wraps", arrange: func(w *world, s *brokenStore) (*Client, string) {
		w.forget()
		s.shuts = true
		return w.ring.root, w.key.ARN
	}},
	breaks("store out of reach", func(string, func() (keystore.Revision, error)) (keystore.Revision, error) { return 0, errOnFire }),
	breaks("commit fails", inCommit(func(func() (keystore.Revision, error)) error { return errors.Join(errOnFire, keystore.ErrFailed) })),
	breaks("commit fails after its effect", inCommit(func(commit func() (keystore.Revision, error)) error { sure(commit()); return errOnFire })),
	breaks("answer lost", inCommit(func(commit func() (keystore.Revision, error)) error { sure(commit()); return keystore.ErrUnknown })),
	breaks("outcome unknown", inCommit(func(func() (keystore.Revision, error)) error { return keystore.ErrUnknown })),
	breaks("panic while reading", func(call string, _ func() (keystore.Revision, error)) (keystore.Revision, error) {
		panic("broken " + call)
	}),
	breaks("panic while writing", inCommit(func(func() (keystore.Revision, error)) error { panic(errOnFire) })),
}

// secretsOf finds out what must not leave a world: its plaintext, all material of its keys, its domain keys and its index key.
func secretsOf(w *world) canaries {
	w.t.Helper()
	found := canaries{"the plaintext": []byte(canary), "a grant token": []byte(foreignToken), "the index key": w.ring.c.ring.index.Clone()}
	items := sure(w.store.Store.List(context.Background(), "", "", keystore.MaxListLimit))
	for _, item := range items {
		switch kind, rest, _ := strings.Cut(item.Name, "/"); kind {
		case kindDomain:
			roots := slices.Concat(w.ring.c.cfg.roots(), nextRoots)
			found["the domain key "+rest] = sure(sure(decodeDomainRecord(item.Value)).open(context.Background(), roots)).Clone()
		case kindVersion:
			var r versionRecord
			_, _, err := w.ring.c.open(context.Background(), kindVersion, item.Name, item, &r)
			w.must(err)
			found["material "+rest] = bytes.Clone(r.material)
			switch pair, _ := x509.ParsePKCS8PrivateKey(r.material); pair := pair.(type) { // whose secret part may turn up alone
			case *ecdsa.PrivateKey:
				found["private key "+rest] = sure(pair.Bytes())
			default:
				if n := len(r.material) - 64; n > 0 { // the seed of ML-KEM
					found["private key "+rest] = bytes.Clone(r.material[n:])
				}
			}
		}
	}
	if len(found) < 6 {
		w.t.Fatalf("only %d secrets are known", len(found))
	}
	return found
}

// nextRoots are what ChangeRoots gives a world's ring. Their keys must turn up nowhere either.
var (
	nextKeys  = canaries{"the next root's key": []byte("canary of the next root: 32 byte"), "the next recovery root's key": []byte("canary of the recovery: 32 bytes")}
	nextRoots = []rootkey.Root{aead.New(leakyAEAD{nextKeys["the next root's key"]}), rootkey.WithName("recovery", aead.New(leakyAEAD{nextKeys["the next recovery root's key"]}))}
)

// managed is what the program itself does with a ring. It is no operation, and asks no policy, but what comes out of it is searched as well.
var managed = []step{
	{method: "Check", call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) { return w.ring.Check(ctx) }},
	{method: "Check/after a rotation", call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) {
		if err := w.ring.RotateDomainKey(ctx); err != nil {
			return nil, err
		}
		return w.ring.Check(ctx)
	}},
	{method: "Maintain", call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) { return w.ring.Maintain(ctx) }},
	{method: "Maintain/after a rotation", call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) {
		if err := w.ring.RotateDomainKey(ctx); err != nil {
			return nil, err
		}
		return w.ring.Maintain(ctx)
	}},
	{method: "RotateDomainKey", changes: true, call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) {
		return none(w.ring.RotateDomainKey(ctx))
	}},
	{method: "ChangeRoots", changes: true, call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) {
		return none(w.ring.ChangeRoots(ctx, nextRoots[0], nextRoots[1:]...))
	}},
	{method: "ChangeRoots/and wrong ones", changes: true, call: func(ctx context.Context, _ *Client, w *world, _ string) (any, error) {
		if err := w.ring.ChangeRoots(ctx, nextRoots[0]); err != nil {
			return nil, err
		}
		w.ring.c.domains.roots = nextRoots[1:] // as if the ring had been opened with what opens nothing
		defer func() { w.ring.c.domains.roots = nextRoots[:1] }()
		report, err := w.ring.Check(ctx)
		return report, errors.Join(err, w.ring.RotateDomainKey(ctx), w.ring.ChangeRoots(ctx, nextRoots[1]))
	}},
}

// TestNoSecretTurnsUp runs every operation in every plight, and looks for plaintexts, key material, domain keys, data keys and tokens in whatever comes out: results,
// errors and all that they wrap, panics and their stacks, audit records, and what is stored. Ciphertexts are looked for in everything but results. The race
// detector makes this slow: the small size tries a quarter under it. CVE-2025-62513 and CVE-2025-62705: audit records and errors that held secrets.
func TestNoSecretTurnsUp(t *testing.T) {
	for i, s := range slices.Concat(steps, managed) {
		for j, p := range plights {
			if underRace && os.Getenv("KMS_SOAK") == "" && (i+j)%4 != 0 {
				continue
			}
			t.Run(s.method+"/"+p.name, func(t *testing.T) { tryForSecrets(t, &s, p) })
		}
	}
}

func tryForSecrets(t *testing.T, s *step, p plight) {
	w := s.world(t)
	broken := &brokenStore{Store: w.store}
	w.ring.c.vault.store = broken
	var trail bytes.Buffer
	text, object := slog.New(slog.NewTextHandler(&trail, &slog.HandlerOptions{Level: slog.LevelDebug})), slog.New(slog.NewJSONHandler(&trail, nil))
	w.ring.c.cfg.Audit = audit.Tee(audit.JSON(&trail), audit.Slog(text), audit.Slog(object), w.sink)

	var secrets search
	secrets.add(secretsOf(w))
	secrets.add(nextKeys)
	ciphertext := bytes.Clone(w.ciphertext)
	client, ref := p.arrange(w, broken)
	ctx := t.Context()
	if p.cancelled {
		over, cancel := context.WithCancel(ctx)
		cancel()
		ctx = over
	}
	var panicked any
	var stack string
	res, err := func() (any, error) {
		defer func() {
			if panicked = recover(); panicked != nil {
				stack = string(debug.Stack())
			}
		}()
		return s.call(ctx, client, w, ref)
	}()
	w.nowPanics.Store(false)
	harmed := broken.bends || broken.shuts
	broken.fails, broken.bends, broken.shuts = nil, false, false

	if w.ring.c.gate.state.Load() < closed {
		secrets.add(secretsOf(w)) // with what the operation made
	}
	switch res := res.(type) {
	case DataKey:
		secrets.add(canaries{"the data key": bytes.Clone(res.Plaintext())})
	case DataKeyPair:
		secrets.add(canaries{"the data key pair's private key": bytes.Clone(res.PrivateKey())})
	case SharedSecret:
		secrets.add(canaries{"the shared secret": bytes.Clone(res.Secret())})
	case EncapsulateResult:
		secrets.add(canaries{"the encapsulated secret": bytes.Clone(res.Secret())})
	}
	secrets.look(t, "result", res, &res)
	if report, ok := res.(CheckReport); ok {
		for _, p := range report.Problems {
			secrets.look(t, "problem", append(tree(p), *p)...)
		}
		if err == nil && harmed && len(report.Problems) == 0 {
			t.Errorf("%d problems were found", len(report.Problems))
		}
	}
	for _, item := range sure(w.store.Store.List(context.Background(), "", "", keystore.MaxListLimit)) {
		if name := secrets.find(item.Name + "\n" + string(item.Value)); name != "" {
			t.Errorf("the store's %s shows %s", item.Name, name)
		}
	}
	secrets.add(canaries{"the ciphertext": ciphertext})
	secrets.look(t, "panic", panicked)
	secrets.look(t, "error", tree(err)...)
	if name := secrets.find(stack); name != "" {
		t.Errorf("the stack of a panic shows %s:\n%s", name, stack)
	}
	if name := secrets.find(trail.String()); name != "" {
		t.Errorf("the trail shows %s:\n%s", name, trail.String())
	}
	for _, e := range w.sink.Events() {
		secrets.look(t, "event", e, *e)
	}
	isManaged := slices.ContainsFunc(managed, func(m step) bool { return m.method == s.method }) // which records what it does, and not what it was asked
	if trail.Len() == 0 && p.name != "closed" && s.action != "kms:ReEncryptTo" && (!isManaged || s.changes && p.name == "success") {
		t.Error("nothing was recorded")
	}
}

// A leakyAEAD holds its key where anybody who prints it sees it.
type leakyAEAD struct{ Key []byte }

func (l leakyAEAD) cipher() cipher.AEAD {
	return sure(cipher.NewGCMWithRandomNonce(sure(aes.NewCipher(l.Key))))
}

func (l leakyAEAD) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return l.cipher().Seal(nil, nil, plaintext, associatedData), nil
}

func (l leakyAEAD) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	return l.cipher().Open(nil, nil, ciphertext, associatedData)
}

// TestWhatHoldsSecretsShowsNone shows everything that holds a secret, in all ways and wherever it is kept: secret bytes, root keys, configurations, rings, clients,
// data keys and results.
func TestWhatHoldsSecretsShowsNone(t *testing.T) {
	known := canaries{}
	make32 := func(name string, first byte) []byte {
		b := make([]byte, 32)
		for i := range b {
			b[i] = first + byte(i*37)
		}
		known[name] = bytes.Clone(b)
		return b
	}
	roots := []rootkey.Root{}
	keyText := make32("the key file's key", 3)
	roots = append(roots, sure(keyfile.Parse(keyFileText(keyText))))
	known["the key file's text"] = keyFileText(keyText)[len("claviger-root-1:"):]
	roots = append(roots, aead.New(leakyAEAD{make32("the AEAD's key", 99)}))
	if !fips140.Enforced() { // where these refuse
		known["the passphrase"] = []byte("canary passphrase 5e1f")
		roots = append(roots, sure(passphrase.New(known["the passphrase"], &passphrase.Options{Memory: 7168, Time: 1, Threads: 1})))
		value := append([]byte{0x1a, 0x20}, make32("the keyset's key", 201)...)
		text := fmt.Sprintf(`{"primaryKeyId":7,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":%q,"keyMaterialType":"SYMMETRIC"},
			"status":"ENABLED","keyId":7,"outputPrefixType":"TINK"}]}`, base64.StdEncoding.EncodeToString(value))
		handle := sure(insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(text))))
		roots = append(roots, sure(tinkkeyset.New(handle)))
	}
	shown := []any{secret.Copy(make32("secret bytes", 55))}
	for i, root := range roots {
		named := rootkey.WithName(fmt.Sprint("root ", i), root)
		shown = append(shown, root, reflect.ValueOf(root).Elem().Interface(), named)
		cfg := Config{Store: memory.New(), Root: named, Audit: new(audit.Memory)}
		ring := sure(Open(t.Context(), cfg))
		defer ring.Close()
		key := sure(ring.CreateKey(t.Context(), CreateKeyInput{}))
		known["a token"], known["the plaintext"] = []byte(foreignToken), []byte(canary)
		client, adapter := ring.As(Role("app")).WithGrantTokens(foreignToken), ring.AEAD(key.ARN)
		sealed := sure(adapter.EncryptWithContext(t.Context(), []byte(canary), nil))
		data, result := sure(ring.GenerateDataKey(t.Context(), key.ARN, AES256, nil)), sure(ring.Decrypt(t.Context(), sealed, nil))
		known[fmt.Sprint("data key ", i)] = bytes.Clone(data.Plaintext())
		for _, item := range sure(cfg.Store.List(t.Context(), "", "", 100)) {
			var r versionRecord
			switch {
			case strings.HasPrefix(item.Name, domainPrefix):
				known[fmt.Sprint("domain key ", i)] = sure(sure(decodeDomainRecord(item.Value)).open(t.Context(), cfg.roots())).Clone()
			case strings.HasPrefix(item.Name, kindVersion+"/"):
				if _, _, err := ring.c.open(context.Background(), kindVersion, item.Name, item, &r); err != nil {
					t.Fatal(err)
				}
				known[fmt.Sprint("material ", i)] = bytes.Clone(r.material)
			}
		}
		id, _ := parseKeyID(key.KeyID)
		slot, _ := ring.c.keys.Get(id)
		snapshot := slot.view.Load().key
		m := snapshot.materials.current.Load()
		shown = append(shown, cfg, &cfg, ring, *ring, client, adapter, data, &data, result, &result, ring.c.ring, ring.c.vault.sealing.Load(), snapshot, m, ring.c.cfg)
		_, wrong := root.DecryptWithContext(t.Context(), bytes.Repeat([]byte{1}, 100), nil)
		_, foreign := Open(t.Context(), Config{Store: cfg.Store, Root: rootkey.WithName(fmt.Sprint("root ", i), roots[(i+1)%len(roots)])})
		shown = append(shown, append(tree(wrong), tree(foreign)...)...)
		if foreign == nil {
			t.Errorf("ring %d opens with another root", i)
		}
	}
	var s search
	s.add(known)
	if len(known) < 3*len(roots)+4 {
		t.Fatalf("only %v are known", slices.Sorted(maps.Keys(known)))
	}
	s.look(t, "shown", shown...)
}

// TestOpenKeyPairsShowNothing: neither does what holds an open private key, or uses one.
func TestOpenKeyPairsShowNothing(t *testing.T) {
	r, _ := ring(t)
	for _, kind := range []struct {
		spec  KeySpec
		usage KeyUsage
	}{{RSA2048, SignVerify}, {ECCNISTP256, KeyAgreement}, {ECCSECGP256K1, SignVerify}, {ECCNISTEdwards25519, SignVerify}, {MLDSA44, SignVerify}, {MLKEM512, EncapsulateDecapsulate}} {
		key, err := r.CreateKey(t.Context(), CreateKeyInput{KeySpec: kind.spec, KeyUsage: kind.usage})
		if fips140.Enforced() && errors.Is(err, ErrUnsupportedOperation) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		id, _ := parseKeyID(key.KeyID)
		snapshot := sure(r.c.reload(t.Context(), id, 0))
		m := sure(r.c.currentMaterial(t.Context(), snapshot))
		der := sure(m.pair.MarshalPKCS8())
		known := canaries{"the private key": der}
		shown := []any{snapshot, m, m.pair, m.pair.Public()}
		secretPart := func(number *big.Int, more ...*big.Int) {
			for i, n := range append(more, number) {
				known[fmt.Sprint("number ", i)], known[fmt.Sprint("text of number ", i)] = n.Bytes(), []byte(n.String())
			}
		}
		switch kind.spec {
		case RSA2048:
			pair := sure(x509.ParsePKCS8PrivateKey(der)).(*rsa.PrivateKey)
			secretPart(pair.D, pair.Primes...)
		case ECCNISTP256, ECCSECGP256K1:
			at := bytes.Index(der, []byte{2, 1, 1, 4, 32}) + 5 // of ECPrivateKey: its version, and the scalar (RFC 5915)
			secretPart(new(big.Int).SetBytes(der[at : at+32]))
		default:
			known["the seed"] = der[len(der)-32:]
		}
		switch kind.usage {
		case SignVerify:
			shown = append(shown, sure(r.Signer(t.Context(), key.ARN)))
		case KeyAgreement:
			shown = append(shown, sure(r.KeyExchanger(t.Context(), key.ARN)))
		default:
			shown = append(shown, sure(r.Decapsulator(t.Context(), key.ARN)))
		}
		var s search
		s.add(known)
		s.look(t, string(kind.spec), shown...)
	}
}

// keyFileText is the text of a key file, as package keyfile documents it.
func keyFileText(key []byte) []byte {
	sum := sha256.Sum256(append([]byte("claviger-root-1:"), key...))
	return base64.StdEncoding.AppendEncode([]byte("claviger-root-1:"), append(bytes.Clone(key), sum[:4]...))
}

// TestDataKeysAreNotEncoded: every encoder refuses a data key, and what refuses says so.
func TestDataKeysAreNotEncoded(t *testing.T) {
	r, key := ring(t)
	dk, err := r.GenerateDataKey(t.Context(), key.ARN, AES256, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := dk.String(); !strings.Contains(got, key.ARN) || !strings.Contains(got, "32 bytes") {
		t.Errorf("%s", got)
	}
	for name, encode := range map[string]func(v any) error{
		"json": func(v any) error { _, err := json.Marshal(v); return err },
		"xml":  func(v any) error { _, err := xml.Marshal(v); return err },
		"gob":  func(v any) error { return gob.NewEncoder(new(bytes.Buffer)).Encode(v) },
	} {
		if encode(dk) == nil || encode(struct{ K DataKey }{dk}) == nil {
			t.Errorf("%s encodes a data key", name)
		}
	}
	if _, err := dk.MarshalBinary(); err == nil {
		t.Error("MarshalBinary encodes a data key")
	}
	var zero DataKey
	if zero.Zero(); len(zero.Plaintext()) != 0 || zero.Use(func([]byte) error { return nil }) == nil {
		t.Error("the zero data key does not work")
	}
}
