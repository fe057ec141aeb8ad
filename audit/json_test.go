package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/audit"
)

// decode reads the record and checks that it is one line of valid JSON whose ids are the event's, which it takes out.
func decode(t *testing.T, e *audit.Event) map[string]any {
	t.Helper()
	text := e.AppendJSON(nil)
	if strings.ContainsAny(string(text), "\r\n") {
		t.Errorf("a record of several lines: %q", text)
	}
	marshalled, err := json.Marshal(e)
	if err != nil || string(marshalled) != string(text) {
		t.Errorf("json.Marshal gives %s, %v", marshalled, err)
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if record["eventID"] != e.ID() {
		t.Errorf("eventID %v, want %v", record["eventID"], e.ID())
	}
	if id, ok := record["requestID"]; ok != (e.Type != audit.ServiceEvent) || ok && id != e.RequestID() {
		t.Errorf("requestID %v", id)
	}
	delete(record, "eventID")
	delete(record, "requestID")
	return record
}

func TestRecords(t *testing.T) {
	context := map[string]string{"Dept": "IT"}
	resources := []audit.Resource{{AccountID: account, Type: "AWS::KMS::Key", ARN: key}}
	keyResource := []any{map[string]any{"accountId": account, "type": "AWS::KMS::Key", "ARN": key}}
	// common are the members that all records below share.
	common := func(members map[string]any) map[string]any {
		record := map[string]any{
			"eventVersion": "1.11", "eventTime": "2026-08-10T20:38:27Z", "eventSource": "kms.amazonaws.com", "awsRegion": "us-east-1",
			"sourceIPAddress": "in-process", "userAgent": "in-process", "requestParameters": nil, "responseElements": nil, "resources": keyResource,
			"eventType": "AwsApiCall", "managementEvent": true, "eventCategory": "Management", "recipientAccountId": account,
		}
		for k, v := range members {
			record[k] = v
		}
		return record
	}
	for _, c := range []struct {
		name  string
		event audit.Event
		want  map[string]any
	}{
		{"encrypt by a user over the wire", audit.Event{
			Type: audit.APICall, Name: "Encrypt", ReadOnly: true, SourceIP: "192.0.2.1", UserAgent: "aws-cli/2", Resources: resources,
			TLS:      audit.TLS{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "kms.example.org"},
			Identity: audit.Identity{Type: "IAMUser", PrincipalID: "AIDAEXAMPLE", ARN: "arn:aws:iam::111122223333:user/alice", AccountID: account, AccessKeyID: "AKIAEXAMPLE", UserName: "alice"},
			Request: []slog.Attr{slog.String("keyId", key), slog.Any("encryptionContext", context),
				slog.String("encryptionAlgorithm", "SYMMETRIC_DEFAULT")},
			Additional: []slog.Attr{slog.String("keyMaterialId", "ef01")},
		}, common(map[string]any{
			"eventName": "Encrypt", "readOnly": true, "sourceIPAddress": "192.0.2.1", "userAgent": "aws-cli/2",
			"userIdentity": map[string]any{"type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": "arn:aws:iam::111122223333:user/alice",
				"accountId": account, "accessKeyId": "AKIAEXAMPLE", "userName": "alice"},
			"requestParameters":   map[string]any{"keyId": key, "encryptionContext": map[string]any{"Dept": "IT"}, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"},
			"additionalEventData": map[string]any{"keyMaterialId": "ef01"},
			"tlsDetails":          map[string]any{"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": "kms.example.org"},
		})},
		{"refused session of a role", audit.Event{
			Type: audit.APICall, Name: "CreateGrant", Resources: resources, ErrorCode: "AccessDenied", ErrorMessage: "no statement allows it",
			Identity: audit.Identity{Type: "AssumedRole", PrincipalID: "AROAEXAMPLE:job", ARN: "arn:aws:sts::111122223333:assumed-role/orders/job",
				AccountID: account, SessionRole: "arn:aws:iam::444455556666:role/service/orders"},
			Response: []slog.Attr{slog.String("grantId", "must not appear")},
		}, common(map[string]any{
			"eventName": "CreateGrant", "readOnly": false, "errorCode": "AccessDenied", "errorMessage": "no statement allows it",
			"userIdentity": map[string]any{"type": "AssumedRole", "principalId": "AROAEXAMPLE:job",
				"arn": "arn:aws:sts::111122223333:assumed-role/orders/job", "accountId": account,
				"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "arn": "arn:aws:iam::444455556666:role/service/orders",
					"accountId": "444455556666", "userName": "orders"}}},
		})},
		{"key made by the account root", audit.Event{
			Type: audit.APICall, Name: "CreateKey", Resources: resources,
			Identity: audit.Identity{Type: "Root", PrincipalID: account, ARN: "arn:aws:iam::111122223333:root", AccountID: account},
			Request:  []slog.Attr{slog.String("description", ""), slog.Bool("bypassPolicyLockoutSafetyCheck", false), slog.Int("pendingWindowInDays", 30)},
			Response: []slog.Attr{slog.Group("keyMetadata", slog.Time("creationDate", when), slog.Any("encryptionAlgorithms", []string{"SYMMETRIC_DEFAULT"}))},
		}, common(map[string]any{
			"eventName": "CreateKey", "readOnly": false,
			"userIdentity":      map[string]any{"type": "Root", "principalId": account, "arn": "arn:aws:iam::111122223333:root", "accountId": account},
			"requestParameters": map[string]any{"description": "", "bypassPolicyLockoutSafetyCheck": false, "pendingWindowInDays": 30.0},
			"responseElements": map[string]any{"keyMetadata": map[string]any{"creationDate": "Aug 10, 2026, 8:38:27 PM",
				"encryptionAlgorithms": []any{"SYMMETRIC_DEFAULT"}}},
		})},
		{"two keys", audit.Event{
			Type: audit.APICall, Name: "ReEncrypt", ReadOnly: true, Resources: append(resources[:1:1], audit.Resource{Type: "AWS::KMS::Key", ARN: "arn:2"}),
			Identity: audit.Identity{Type: "Root"}, Request: []slog.Attr{slog.Uint64("numberOfBytes", 1<<63), slog.Int64("least", -1<<63)},
		}, common(map[string]any{
			"eventName": "ReEncrypt", "readOnly": true, "userIdentity": map[string]any{"type": "Root"},
			"requestParameters": map[string]any{"numberOfBytes": float64(1 << 63), "least": float64(-1 << 63)},
			"resources":         append(keyResource[:1:1], map[string]any{"type": "AWS::KMS::Key", "ARN": "arn:2"}),
		})},
		{"random bytes, no resources", audit.Event{Type: audit.APICall, Name: "GenerateRandom", ReadOnly: true, Identity: audit.Identity{Type: "FederatedUser"}},
			common(map[string]any{"eventName": "GenerateRandom", "readOnly": true, "userIdentity": map[string]any{"type": "FederatedUser"}, "resources": []any{}})},
		{"called by a service", audit.Event{
			Type: audit.APICall, Name: "Decrypt", ReadOnly: true, Resources: resources,
			Identity: audit.Identity{Type: "AWSService", InvokedBy: "rds.amazonaws.com"},
		}, common(map[string]any{
			"eventName": "Decrypt", "readOnly": true, "sourceIPAddress": "rds.amazonaws.com", "userAgent": "rds.amazonaws.com",
			"userIdentity": map[string]any{"type": "AWSService", "invokedBy": "rds.amazonaws.com"},
		})},
		{"what time brought", audit.Event{
			Type: audit.ServiceEvent, Name: "RotateKey", Resources: resources,
			Identity: audit.Identity{AccountID: account, InvokedBy: "AWS Internal"},
			Details:  []slog.Attr{slog.String("rotationType", "AUTOMATIC"), slog.String("keyId", key)},
		}, common(map[string]any{
			"eventName": "RotateKey", "readOnly": false, "eventType": "AwsServiceEvent", "sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal",
			"userIdentity":        map[string]any{"accountId": account, "invokedBy": "AWS Internal"},
			"serviceEventDetails": map[string]any{"rotationType": "AUTOMATIC", "keyId": key},
		})},
		{"role that is no ARN", audit.Event{Type: audit.APICall, Name: "Decrypt", Resources: resources,
			Identity: audit.Identity{Type: "AssumedRole", SessionRole: "orders"},
		}, common(map[string]any{"eventName": "Decrypt", "readOnly": false, "userIdentity": map[string]any{"type": "AssumedRole",
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "arn": "orders"}}}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := c.event
			e.Time, e.Region, e.Account = when, "us-east-1", account
			if diff := cmp.Diff(c.want, decode(t, &e)); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrderOfMembers(t *testing.T) {
	e := full()
	e.Type = audit.ServiceEvent
	e.ErrorCode, e.ErrorMessage = "", ""
	text := string(e.AppendJSON([]byte("before ")))
	want := []string{`before {"eventVersion"`, `"userIdentity":{"type"`, `"eventTime"`, `"eventName"`, `"requestParameters"`, `"operations":["Decrypt","Encrypt"]`,
		`{"encryptionContextSubset":{"dept":"IT","tenant":"42"}}`, `"responseElements":{`, `"additionalEventData"`, `"eventID"`, `"resources":[{"accountId"`,
		`"serviceEventDetails"`, `"eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"kms.example.org"}}`}
	for _, w := range want {
		i := strings.Index(text, w)
		if i < 0 {
			t.Fatalf("%s is missing, or not in its place, in %s", w, e.AppendJSON(nil))
		}
		text = text[i+len(w):]
	}
	if text != "" {
		t.Errorf("%q follows the record", text)
	}
}

// A telltale has every method through which a value could make itself printed.
type telltale struct{ secret []byte }

func (v telltale) String() string               { return string(v.secret) }
func (v telltale) GoString() string             { return string(v.secret) }
func (v telltale) Error() string                { return string(v.secret) }
func (v telltale) MarshalText() ([]byte, error) { return v.secret, nil }
func (v telltale) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", v.secret), nil }

type resolving struct{ secret string }

func (v resolving) LogValue() slog.Value { return slog.StringValue(v.secret) }

type namedString string

const canary = "canary-90ab"

// strangers are values that an event does not carry, each with the canary inside.
func strangers() []slog.Attr {
	secret := []byte(canary)
	return []slog.Attr{
		slog.Any("struct", struct{ Key string }{canary}),
		slog.Any("pointer", &struct{ key []byte }{secret}),
		slog.Any("bytes", secret),
		slog.Any("bytes in a list", [][]byte{secret}),
		slog.Any("named string", namedString(canary)),
		slog.Any("telltale", telltale{secret}),
		slog.Any("error", errors.New(canary)),
		slog.Any("logvaluer", resolving{canary}),
		slog.Any("map of any", map[string]any{canary: canary}),
		slog.Any("raw JSON", json.RawMessage(`"`+canary+`"`)),
		slog.Any("function", func() string { return canary }),
		slog.Float64("float", 1.5),
		slog.Duration("duration", time.Second),
		slog.Group("group", slog.Any("inside", telltale{secret})),
	}
}

func TestStrangersAreNotPrinted(t *testing.T) {
	e := &audit.Event{Type: audit.APICall, Request: strangers(), Response: strangers(), Additional: strangers(), Details: strangers()}
	if text := string(e.AppendJSON(nil)); strings.Contains(text, canary) || strings.Contains(text, "Y2FuYXJ5") || strings.Contains(text, "99,97,110") {
		t.Errorf("the record holds the canary: %s", text)
	}
	parameters := decode(t, e)["requestParameters"].(map[string]any)
	if len(parameters) != len(strangers()) {
		t.Errorf("%d members, want one for each of %d values", len(parameters), len(strangers()))
	}
	for name, kind := range map[string]string{"struct": "Any", "logvaluer": "LogValuer", "float": "Float64", "duration": "Duration"} {
		if got, want := parameters[name], "[unsupported "+kind+"]"; got != want {
			t.Errorf("%s is written as %v, want %s", name, got, want)
		}
	}
}

func TestDeepGroups(t *testing.T) {
	attr := slog.String("deepest", canary)
	for range 100 {
		attr = slog.Group("g", attr)
	}
	e := &audit.Event{Type: audit.APICall, Request: []slog.Attr{attr}}
	text := string(e.AppendJSON(nil))
	if strings.Contains(text, canary) || strings.Count(text, `"g":`) != 9 || !strings.Contains(text, "[unsupported Group]") {
		t.Errorf("groups are written without end: %s", text)
	}
	decode(t, e)
	if got := string(e.Clone().AppendJSON(nil)); got != text {
		t.Errorf("the clone is %s, want %s", got, text)
	}
}

func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/", "\x00\x1f\x7f\b\f\n\r\t", "<script>&", "\u2028\u2029", "é鍵🔑", "\xff\xc3\x28\xed\xa0\x80", "\ufffd", "a\xe2\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		e := audit.Event{Name: s, Request: []slog.Attr{slog.String(s, s), slog.Any("list", []string{s}), slog.Any("map", map[string]string{s: s})}}
		text := string(e.AppendJSON(nil))
		if name := fmt.Sprintf(`"eventName":%s,`, want); !strings.Contains(text, name) {
			t.Errorf("%q is not written as %s in %s", s, want, text)
		}
		parameters := fmt.Sprintf(`"requestParameters":{%[1]s:%[1]s,"list":[%[1]s],"map":{%[1]s:%[1]s}},`, want)
		if !strings.Contains(text, parameters) || !json.Valid([]byte(text)) {
			t.Errorf("%q: %s", s, text)
		}
	})
}
