package kmshttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// everyName are members that routes read, so that bodies have some of them.
const everyName = `{"KeyId":"alias/a","Plaintext":"AAEC","NumberOfBytes":32,"DryRun":false,"GrantTokens":["t"],"EncryptionContext":{"a":"b"},"Tags":[{"TagKey":"a","TagValue":"b"}],` +
	`"Constraints":{"EncryptionContextSubset":{"a":"b"},"SourceArn":"arn:aws:s3:::b"},"Operations":["Decrypt"],"KeySpec":"AES_256","Limit":1e1,"MultiRegion":true,"Recipient":null}`

// FuzzInput: what is read of a body is what encoding/json reads of it, and what it writes of that is read alike, by every reader and by every route. Nothing is shown that
// does not print, and what is told is bounded.
func FuzzInput(f *testing.F) {
	for _, r := range routes {
		f.Add(r.name, []byte(everyName))
		f.Add(r.name, []byte(`{"KeyId":1,"Plaintext":"AAEC\n","NumberOfBytes":2147483648,"DryRun":"true","GrantTokens":[null],"EncryptionContext":{"a":1},"Tags":[{}],"Operations":{}}`))
	}
	for _, body := range []string{"", "{}", " {\t}\r\n", "[]", "null", `{"":0}`, `{"KeyId":"a","KeyId":"a"}`, `{"KeyId":"\ud800"}`, "{\"KeyId\":\"\xff\"}", `{"KeySpec":"\u009b\u202e"}`, `{"X":` + strings.Repeat("[", 40) + `}`,
		`{"Limit":-0.0e-400,"NumberOfBytes":1e400,"PendingWindowInDays":7.0}`, `{"Tags":[{"TagKey":null},{"TagKey":"\u0000"},[]]}`} {
		f.Add("TagResource", []byte(body))
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		before := bytes.Clone(body)
		in, err := parseInput(body)
		if err != nil {
			if err != errSerialization || in != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		written := body
		values := map[string]any{}
		if len(body) > 0 {
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			if err := d.Decode(&values); err != nil {
				t.Fatalf("encoding/json: %v", err)
			}
			if written, err = json.Marshal(values); err != nil {
				t.Fatal(err)
			}
		}
		again, err := parseInput(written)
		if err != nil {
			t.Fatalf("%q is not read: %v", written, err)
		}
		for member, value := range values {
			one, other := readAll(in, member), readAll(again, member)
			if !reflect.DeepEqual(one, other) {
				t.Errorf("%s is %+v, and when encoding/json has written it %+v", member, one, other)
			}
			one.check(t, member, value)
		}
		if r := routes[targetPrefix+name]; r != nil && r.read != nil {
			one, other := fresh(in), fresh(again)
			r.read(one)
			r.read(other)
			if !reflect.DeepEqual(one.verdict, other.verdict) {
				t.Errorf("%s: %+v, and when encoding/json has written it %+v", name, one.verdict, other.verdict)
			}
			if err := one.err(); err != nil {
				message := faultOf(err).message
				if len(message) > 20_000 || strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) || len(one.violations) > maxViolations {
					t.Errorf("%s: %q", name, message)
				}
			}
		}
		if !bytes.Equal(body, before) {
			t.Error("the body was changed")
		}
	})
}

// fresh is an input of which nothing was said yet.
func fresh(in *input) *input { return &input{members: in.members, verdict: new(verdict)} }

// A reading is a member as every reader reads it; one that finds it malformed leaves its part nil.
type reading struct {
	text   *string
	blob   *[]byte
	number *int
	truth  *bool
	texts  *[]string
	pairs  *map[string]string
	inner  *int // how many objects there are, or members of the one
	has    bool
}

// unless is what a reader has read, if that was well-formed.
func unless[T any](in *input, read func(in *input) T) *T {
	in = fresh(in)
	v := read(in)
	if in.problem != nil {
		return nil
	}
	return &v
}

func readAll(in *input, name string) (r reading) {
	r.has = in.has(name)
	r.text = unless(in, func(in *input) string { return in.text(name) })
	r.blob = unless(in, func(in *input) []byte { return in.blob(name) })
	r.number = unless(in, func(in *input) int { return in.number(name, 1) })
	r.truth = unless(in, func(in *input) bool { return in.truth(name) })
	r.texts = unless(in, func(in *input) []string { return in.texts(name) })
	r.pairs = unless(in, func(in *input) map[string]string { return in.pairs(name) })
	r.inner = unless(in, func(in *input) int { return len(in.objects(name)) })
	if r.inner == nil {
		r.inner = unless(in, func(in *input) int { return len(in.object(name).members) })
	}
	return r
}

// check compares a reading with what encoding/json has read.
func (r *reading) check(t *testing.T, name string, value any) {
	t.Helper()
	if r.has == (value == nil) {
		t.Errorf("%s is there: %v", name, r.has)
	}
	if value == nil {
		return
	}
	want := reading{has: true}
	switch v := value.(type) {
	case string:
		want.text = &v
		if b, err := base64.StdEncoding.Strict().DecodeString(v); err == nil && base64.StdEncoding.EncodeToString(b) == v {
			want.blob = &b
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && f == float64(int32(f)) {
			n := int(f)
			want.number = &n
		}
	case bool:
		want.truth = &v
	case []any:
		n, objects, strings := len(v), 0, []string{}
		for _, item := range v {
			switch item := item.(type) {
			case map[string]any:
				objects++
			case string:
				strings = append(strings, item)
			}
		}
		if len(strings) == n {
			want.texts = &strings
		}
		if objects == n {
			want.inner = &n
		}
	case map[string]any:
		n, all := len(v), map[string]string{}
		want.inner = &n
		for name, item := range v {
			if s, ok := item.(string); ok {
				all[name] = s
			}
		}
		if len(all) == n {
			want.pairs = &all
		}
	}
	if !reflect.DeepEqual(*r, want) {
		t.Errorf("%s of %v is %s, want %s", name, value, r, &want)
	}
}

func (r *reading) String() string {
	var b strings.Builder
	for v := range slices.Values([]any{r.text, r.blob, r.number, r.truth, r.texts, r.pairs, r.inner}) {
		if p := reflect.ValueOf(v); !p.IsNil() {
			fmt.Fprintf(&b, "%T %v ", v, p.Elem())
		}
	}
	return b.String()
}

// TestPrintable: what a client sent is shown in one line, and not all of it.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a b": "a b", "a\n\x00\u007f\u0085\u009b\u2028\u202e\ufeffb": "a????????b", "語😀": "語😀", strings.Repeat("x", 128): strings.Repeat("x", 128),
		strings.Repeat("x", 129): strings.Repeat("x", 128) + "...", strings.Repeat("x", 127) + "語": strings.Repeat("x", 127) + "...",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
