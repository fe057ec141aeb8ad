package audit_test

import (
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/audit"
)

var when = time.Date(2026, time.August, 10, 22, 38, 27, 123456789, time.FixedZone("", 2*60*60))

const (
	account = "111122223333"
	key     = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// full returns an event in which every field has a value.
func full() *audit.Event {
	return &audit.Event{
		Time: when, Type: audit.APICall, Name: "CreateGrant", Region: "us-east-1", Account: account,
		Identity: audit.Identity{
			Type: "AssumedRole", PrincipalID: "AROAEXAMPLE:job", ARN: "arn:aws:sts::111122223333:assumed-role/orders/job", AccountID: account, AccessKeyID: "ASIAEXAMPLE",
			UserName: "u", SessionRole: "arn:aws:iam::111122223333:role/service/orders", InvokedBy: "example.amazonaws.com",
		},
		ReadOnly: true, SourceIP: "192.0.2.1", UserAgent: "aws-cli/2", TLS: audit.TLS{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "kms.example.org"},
		Request: []slog.Attr{
			slog.String("keyId", key),
			slog.Any("operations", []string{"Decrypt", "Encrypt"}),
			slog.Group("constraints", slog.Any("encryptionContextSubset", map[string]string{"tenant": "42", "dept": "IT"})),
		},
		Response:     []slog.Attr{slog.String("grantId", "abcd")},
		Additional:   []slog.Attr{slog.String("keyMaterialId", "ef01")},
		Details:      []slog.Attr{slog.String("keyId", key)},
		Resources:    []audit.Resource{{AccountID: account, Type: "AWS::KMS::Key", ARN: key}},
		ErrorCode:    "AccessDenied",
		ErrorMessage: "no statement allows it",
	}
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestIDs(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		var e audit.Event
		for _, id := range []string{e.ID(), e.RequestID(), audit.NewRequestID()} {
			if !uuid4.MatchString(id) {
				t.Fatalf("%q is no UUID of version 4", id)
			}
			if seen[id] {
				t.Fatalf("%q comes twice", id)
			}
			seen[id] = true
		}
		if !seen[e.ID()] || !seen[e.RequestID()] {
			t.Fatal("an id changes")
		}
	}
}

func TestCloneKeepsIDs(t *testing.T) {
	fresh, old := full(), full()
	id, request := old.ID(), old.RequestID()
	if c := old.Clone(); c.ID() != id || c.RequestID() != request {
		t.Error("a clone has other ids")
	}
	if c := fresh.Clone(); c.ID() != fresh.ID() || c.RequestID() != fresh.RequestID() {
		t.Error("a clone made before the ids has other ids")
	}
}

func TestCloneSharesNothing(t *testing.T) {
	e := full()
	want := string(e.AppendJSON(nil))
	c := e.Clone()
	if got := string(c.AppendJSON(nil)); got != want {
		t.Fatalf("the clone is\n%s\nwant\n%s", got, want)
	}
	scribble := func(e *audit.Event) {
		e.Request[1].Value.Any().([]string)[0] = "scribble"
		e.Request[2].Value.Group()[0].Value.Any().(map[string]string)["tenant"] = "scribble"
		e.Request[2].Value.Group()[0].Key = "scribble"
		for _, attrs := range [][]slog.Attr{e.Request, e.Response, e.Additional, e.Details} {
			attrs[0] = slog.String("scribble", "")
		}
		e.Resources[0].ARN = "scribble"
	}
	again := c.Clone()
	scribble(c)
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("the event changes with its clone:\n%s", got)
	}
	e = again.Clone()
	scribble(again)
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("the clone changes with its source:\n%s", got)
	}
}

// TestCloneLetsGo shows that a clone does not hold on to values that events do not carry.
func TestCloneLetsGo(t *testing.T) {
	e := &audit.Event{Request: []slog.Attr{slog.Any("secret", &struct{ key []byte }{[]byte("canary")})}}
	want := string(e.AppendJSON(nil))
	c := e.Clone()
	if v := c.Request[0].Value; v.Kind() != slog.KindString || v.String() != "[unsupported Any]" {
		t.Errorf("the clone holds %v %v", v.Kind(), v)
	}
	if got := string(c.AppendJSON(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCloneKeepsNilApartFromEmpty(t *testing.T) {
	e := &audit.Event{Request: []slog.Attr{slog.Any("a", map[string]string(nil)), slog.Any("b", map[string]string{}), slog.Any("c", []string(nil)), slog.Any("d", nil)}}
	c := e.Clone()
	if c.Response != nil || c.Resources != nil {
		t.Error("nil slices become empty ones")
	}
	if got := string(c.AppendJSON(nil)); got != string(e.AppendJSON(nil)) || !strings.Contains(got, `{"a":null,"b":{},"c":null,"d":null}`) {
		t.Error(got)
	}
}

// TestReset looks at every field, so that one added later is not forgotten.
func TestReset(t *testing.T) {
	e := full()
	e.ID()
	e.RequestID()
	e.Request = slices.Grow(e.Request, 4)
	e.Request = append(e.Request, slog.String("beyond", "canary"))[:1] // elements beyond the length
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("the test gives no value to %s", v.Type().Field(i).Name)
		}
	}
	room := cap(e.Request)
	e.Reset()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.Kind() != reflect.Slice {
			if !f.IsZero() {
				t.Errorf("%s keeps %v", name, f)
			}
			continue
		}
		if f.Len() != 0 {
			t.Errorf("%s keeps %d elements", name, f.Len())
		}
		for j := range f.Cap() {
			if !f.Slice(0, f.Cap()).Index(j).IsZero() {
				t.Errorf("%s keeps an element beyond its length", name)
			}
		}
	}
	if cap(e.Request) != room {
		t.Errorf("room for %d attributes, had %d", cap(e.Request), room)
	}
	if !uuid4.MatchString(e.ID()) {
		t.Error("no id after Reset")
	}
	new(audit.Event).Reset()
}
