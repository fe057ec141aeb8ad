package kmshttp_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

// want compares an answer with a fault: its status, its exception and its words, and nothing else.
func (a answer) want(t *testing.T, what string, status int, code kms.Code, message string) {
	t.Helper()
	fault := map[string]any{"__type": string(code)}
	if message != "" {
		fault["message"] = message
	}
	if a.status != status || !maps.Equal(a.m, fault) {
		t.Errorf("%s: %d %s\nwant %d %v", what, a.status, a.body, status, fault)
	}
	a.wantHeader(t, what)
}

// refused is want of what the client has done wrong.
func (a answer) refused(t *testing.T, what string, code kms.Code, message string) {
	t.Helper()
	a.want(t, what, http.StatusBadRequest, code, message)
}

// code is the exception that an answer is; "" if it is none.
func (a answer) code() kms.Code {
	code, _ := a.m["__type"].(string)
	return kms.Code(code)
}

// message is what an exception says.
func (a answer) message() string {
	message, _ := a.m["message"].(string)
	return message
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// wantHeader looks at what every answer has beside its body.
func (a answer) wantHeader(t *testing.T, what string) {
	t.Helper()
	for name, want := range map[string]string{"Content-Type": "application/x-amz-json-1.1", "Content-Length": strconv.Itoa(len(a.body)), "Cache-Control": "no-store"} {
		if got := a.header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %s %q, want %q", what, name, got, want)
		}
	}
	if id := a.header.Values("x-amzn-RequestId"); len(id) != 1 || !uuid.MatchString(id[0]) {
		t.Errorf("%s: x-amzn-RequestId %q", what, id)
	}
}

// names are the members of an answer, in order.
func names(m map[string]any) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }

// post sends a request as the root user.
func (w *world) post(operation string, r fmt.Stringer) answer {
	w.t.Helper()
	return post(w.t.(*testing.T), w.wire, operation, r.String())
}

// raw is a body as it is.
type raw string

func (r raw) String() string { return string(r) }

// TestModel: the handler has a route for every operation of the API and no other, and offers those that the model has members of.
func TestModel(t *testing.T) {
	want := map[string]bool{}
	for _, op := range model {
		want[op.name] = op.members != nil
	}
	if got := kmshttp.Operations(); !maps.Equal(got, want) || len(model) != 56 || len(want) != 56 {
		t.Errorf("%v\nwant %v", got, want)
	}
	if n := len(slices.Collect(offered)); n != 44 {
		t.Errorf("%d operations are offered", n)
	}
}

// TestLeastRequests: a request that has what it must have succeeds, and its answer has the members of the model, or no body at all.
func TestLeastRequests(t *testing.T) {
	for op := range offered {
		w := newWorld(t)
		a := w.post(op.name, op.least(w))
		if a.status != http.StatusOK || names(a.m) != op.answer || op.answer == "" && a.body != "" {
			t.Errorf("%s: %d %s, want %s", op.name, a.status, a.body, cmp.Or(op.answer, "no body"))
		}
		a.wantHeader(t, op.name)
	}
}

// TestNotOffered: what the keyring does not offer is refused as that, whatever is asked.
func TestNotOffered(t *testing.T) {
	w := newWorld(t)
	for _, op := range model {
		if op.members == nil {
			for _, body := range []raw{"", "{}", `{"KeyId":"k"}`, "["} {
				w.post(op.name, body).refused(t, op.name, kms.ErrUnsupportedOperation, op.name+" is not supported.")
			}
		}
	}
}

// TestUnknownOperations: what is no operation is not found, whoever asks and however.
func TestUnknownOperations(t *testing.T) {
	w := newWorld(t)
	send := func(what, method string, header http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://kms.eu-central-1.amazonaws.com/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		roundTrip(t, w.wire, r).want(t, what, http.StatusNotFound, "UnknownOperationException", "")
	}
	send("no target", http.MethodPost, http.Header{})
	for _, target := range []string{
		"", "ListKeys", "TrentService", "TrentService.", "TrentService.listKeys", "trentservice.ListKeys", "TrentService.ListKeys ", "TrentService.ListKeys.", "TrentService_ListKeys",
		"TrentService20141101.ListKeys", "TrentService.DeleteKey", "DynamoDB_20120810.ListKeys", "TrentService.ListKeysPage", "TrentService.NeedsReEncrypt",
	} {
		send(fmt.Sprintf("%q", target), http.MethodPost, http.Header{"X-Amz-Target": {target}})
	}
	for _, targets := range [][]string{{"TrentService.ListKeys", "TrentService.CreateKey"}, {"TrentService.ListKeys", "TrentService.ListKeys"}, {"", "TrentService.ListKeys"}} {
		send(fmt.Sprintf("%q", targets), http.MethodPost, http.Header{"X-Amz-Target": targets})
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "post", "TRACE"} {
		send(method, method, http.Header{"X-Amz-Target": {"TrentService.ListKeys"}})
	}
}

// TestPaths: the path and the query are nobody's matter, nor is the type of what is sent.
func TestPaths(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{"https://kms.eu-central-1.amazonaws.com", "http://localhost/kms/", "http://[::1]:8080/a/b?c=d"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
		if a := roundTrip(t, w.wire, r); a.status != http.StatusOK || a.body != `{"Keys":[],"Truncated":false}` {
			t.Errorf("%s: %d %s", url, a.status, a.body)
		}
	}
}

// TestDryRun: a dry run never succeeds and changes nothing, what would fail fails as it would, and operations that have none act.
func TestDryRun(t *testing.T) {
	const dry = "The request would have succeeded, but the DryRun option is set."
	for op := range offered {
		w := newWorld(t)
		least := op.least(w)
		stored, told := w.keys(), len(w.Trail.Events())
		value := any(true)
		if !op.takes("DryRun") {
			value = "which is no truth"
		}
		a := w.post(op.name, least.with("DryRun", value))
		events := w.Trail.Events()[told:]
		if !op.takes("DryRun") {
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", op.name, a.status, a.body)
			}
			continue
		}
		a.refused(t, op.name, kms.ErrDryRun, dry)
		if after := w.keys(); !slices.Equal(after, stored) {
			t.Errorf("%s: a dry run made %v of %v", op.name, after, stored)
		}
		if len(events) != 1 || events[0].Name != op.name || events[0].ErrorCode != string(kms.ErrDryRun) {
			t.Errorf("%s: recorded as %v", op.name, events)
		}
		if op.takes("KeyId") && op.name != "RetireGrant" {
			w.post(op.name, least.with("DryRun", true).with("KeyId", "k")).refused(t, op.name, kms.ErrNotFound, "Invalid keyId 'k'")
		}
		if a := w.post(op.name, least.with("DryRun", false)); a.status != http.StatusOK {
			t.Errorf("%s: %d %s after a dry run", op.name, a.status, a.body)
		}
	}
}

// keys are all keys with what is said of them, and their grants.
func (w *world) keys() (all []string) {
	w.t.Helper()
	for k, err := range w.ListKeys(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, w.post("DescribeKey", request{"KeyId": k.KeyARN}).body, w.post("ListGrants", request{"KeyId": k.KeyARN}).body)
	}
	return all
}

// TestGrantTokens: where the model has grant tokens, those that are none are refused, and elsewhere they are looked at by nobody.
func TestGrantTokens(t *testing.T) {
	eleven := slices.Repeat([]string{"token"}, 11)
	for op := range offered {
		w := newWorld(t)
		least := op.least(w)
		good := slices.Repeat([]string{w.grant().GrantToken}, 11)
		if !op.takes("GrantTokens") {
			for _, value := range []any{eleven, 1} {
				w := newWorld(t)
				if a := w.post(op.name, op.least(w).with("GrantTokens", value)); a.status != http.StatusOK {
					t.Errorf("%s: %d %s", op.name, a.status, a.body)
				}
			}
			continue
		}
		const none = "A grant token is not one of this keyring."
		const many = "1 validation error detected: Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10"
		w.post(op.name, least.with("GrantTokens", []string{"token"})).refused(t, op.name, kms.ErrInvalidGrantToken, none)
		w.post(op.name, least.with("GrantTokens", []string{good[0], ""})).refused(t, op.name, kms.ErrInvalidGrantToken, none)
		w.post(op.name, least.with("GrantTokens", []string{good[0] + "A"})).refused(t, op.name, kms.ErrInvalidGrantToken, none)
		w.post(op.name, least.with("GrantTokens", []string{newWorld(t).grant().GrantToken})).refused(t, op.name, kms.ErrInvalidGrantToken, none)
		w.post(op.name, least.with("GrantTokens", eleven)).refused(t, op.name, kms.ErrValidation, many)
		w.post(op.name, least.with("GrantTokens", good)).refused(t, op.name, kms.ErrValidation, many)
		if a := w.post(op.name, least.with("GrantTokens", good[:10])); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", op.name, a.status, a.body)
		}
	}
}

// TestGrantTokenAllows: a token lets its grantee do what the grant says.
func TestGrantTokenAllows(t *testing.T) {
	w := newWorld(t)
	wire := w.wire.As(kms.Role("grantee"))
	least := request{"CiphertextBlob": w.ciphertext(), "GrantTokens": []string{w.grant().GrantToken}}
	if a := post(t, wire, "Decrypt", least.String()); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := post(t, w.wire.As(kms.Role("stranger")), "Decrypt", least.String()); a.code() != kms.ErrAccessDenied {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// decoded is the value of a member of an answer.
func decoded[T any](t *testing.T, a answer, name string) (v T) {
	t.Helper()
	text, err := json.Marshal(a.m[name])
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("%s in %s: %v", name, a.body, err)
	}
	return v
}
