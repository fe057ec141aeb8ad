package strictjson_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/internal/strictjson"
)

var plenty = strictjson.Limits{Depth: 16, Values: 1000}

func TestRead(t *testing.T) {
	const text = ` {"a": [1.50, "x\n\u00e9\ud83d\ude00", true] , "b":{},"c":null, "":[]}` + "\n"
	at := func(token string) int { return strings.Index(text, token) }
	want := strictjson.Value{Kind: strictjson.Object, Off: 1, End: len(text) - 1, Members: []strictjson.Member{
		{Name: "a", Off: at(`"a"`), Value: strictjson.Value{Kind: strictjson.List, Off: at(`[1`), End: at(` , "b"`), Items: []strictjson.Value{
			{Kind: strictjson.Number, Off: at(`1.50`), End: at(`1.50`) + 4, Text: "1.50"},
			{Kind: strictjson.String, Off: at(`"x`), End: at(`, true`), Text: "x\né😀"},
			{Kind: strictjson.Bool, Off: at(`true`), End: at(`true`) + 4, Text: "true"},
		}}},
		{Name: "b", Off: at(`"b"`), Value: strictjson.Value{Kind: strictjson.Object, Off: at(`{}`), End: at(`{}`) + 2}},
		{Name: "c", Off: at(`"c"`), Value: strictjson.Value{Kind: strictjson.Null, Off: at(`null`), End: at(`null`) + 4, Text: "null"}},
		{Name: "", Off: at(`"":`), Value: strictjson.Value{Kind: strictjson.List, Off: at(`[]`), End: at(`[]`) + 2}},
	}}
	got, err := strictjson.Read(text, plenty)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestScalars(t *testing.T) {
	for text, want := range map[string]strictjson.Value{
		`0`: {Kind: strictjson.Number, Text: "0"}, `-0.0E-0`: {Kind: strictjson.Number, Text: "-0.0E-0"}, `10e+5`: {Kind: strictjson.Number, Text: "10e+5"},
		`false`: {Kind: strictjson.Bool, Text: "false"}, `""`: {Kind: strictjson.String}, `"\"\\\/\b\f\n\r\t"`: {Kind: strictjson.String, Text: "\"\\/\b\f\n\r\t"},
		`"\uFFFD\u0000"`: {Kind: strictjson.String, Text: "\ufffd\x00"}, "\"\ufffd\"": {Kind: strictjson.String, Text: "\ufffd"},
	} {
		want.End = len(text)
		got, err := strictjson.Read(text, plenty)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v: %s", text, err, diff)
		}
	}
}

// TestManyMembers: however many members an object has, none has the name of another, and none is lost.
func TestManyMembers(t *testing.T) {
	for _, n := range []int{1, 3, 4, 5, 15, 16, 17, 18, 33, 200} {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"m%d":%d`, i, i))
		}
		v, err := strictjson.Read("{"+strings.Join(members, ",")+"}", plenty)
		if err != nil || len(v.Members) != n {
			t.Fatalf("%d members: %d, %v", n, len(v.Members), err)
		}
		for i, m := range v.Members {
			if m.Name != fmt.Sprintf("m%d", i) || m.Value.Text != fmt.Sprint(i) {
				t.Errorf("%d members: member %d is %+v", n, i, m)
			}
			if _, err := strictjson.Read("{"+strings.Join(members, ",")+","+members[i]+"}", plenty); err == nil {
				t.Errorf("%d members: member %d may stand twice", n, i)
			}
		}
	}
}

// TestFaults expects each fault at the mark ¶.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ text, message string }{
		{`¶`, "expected a JSON value"},
		{" \t\r\n¶", "expected a JSON value"},
		{"¶\ufeff{}", "expected a JSON value"},
		{"¶\x00", "expected a JSON value"},
		{`{"a": ¶tru}`, "expected a JSON value"},
		{`[1,¶]`, "expected a JSON value"},
		{`{"a":¶}`, "expected a JSON value"},
		{`{"a": 1,¶}`, "expected a member name in double quotes"},
		{`{¶'a': 2}`, "expected a member name in double quotes"},
		{`{"a" ¶1}`, "expected a colon after the member name"},
		{`{"a": 1¶`, "expected a comma or the end of the object"},
		{`[1 ¶2]`, "expected a comma or the end of the list"},
		{`{} ¶{}`, "text after the end of the document"},
		{`{"a": 1, ¶"a": 2}`, "member name appears twice in one object"},
		{`[{"x": {"a": 1, ¶"\u0061": 2}}]`, "member name appears twice in one object"},
		{`¶01`, "malformed number"},
		{`¶-`, "malformed number"},
		{`¶1.`, "malformed number"},
		{`¶1e+`, "malformed number"},
		{`"abc¶`, "string without an end"},
		{"\"a¶\nb\"", "control character in a string"},
		{`"¶\x"`, "malformed escape sequence"},
		{`{"¶\x": 1}`, "malformed escape sequence"},
		{`"¶\`, "malformed escape sequence"},
		{`"¶\u12"`, "malformed escape sequence"},
		{`"¶\u+123"`, "malformed escape sequence"},
		{`"¶\u1_23"`, "malformed escape sequence"},
		{`"¶\u12g4"`, "malformed escape sequence"},
		{`"¶\ud83d"`, "malformed escape sequence"},
		{`"¶\ud83d\u0061"`, "malformed escape sequence"},
		{`"¶\ud83dxxxxxxx"`, "malformed escape sequence"},
		{`"¶\ude00\ud83d"`, "malformed escape sequence"},
		{"\"é¶\xff\"", "text is not valid UTF-8"},
		{"\"¶\xed\xa0\x80\"", "text is not valid UTF-8"},
		{strings.Repeat("[", 16) + "¶[" + strings.Repeat("]", 17), "nested too deeply"},
		{strings.Repeat(`{"a":`, 16) + "¶1" + strings.Repeat("}", 16), "nested too deeply"},
		{"[" + strings.Repeat("1,", 999) + "¶1]", "too many values"},
	} {
		before, after, _ := strings.Cut(c.text, "¶")
		_, err := strictjson.Read(before+after, plenty)
		if err == nil || err.Off != len(before) || err.Message != c.message || err.Error() != c.message {
			t.Errorf("%q: %+v, want %s at %d", c.text, err, c.message, len(before))
		}
	}
}

// TestLimits reads what is just within them; what is just beyond is in TestFaults.
func TestLimits(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 16) + strings.Repeat("]", 16), "[" + strings.Repeat("1,", 998) + "1]"} {
		if _, err := strictjson.Read(text, plenty); err != nil {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

func TestPosition(t *testing.T) {
	const text = "ab\né😀c\n"
	for off, want := range map[int][2]int{0: {1, 1}, 2: {1, 3}, 3: {2, 1}, 5: {2, 2}, 9: {2, 3}, 11: {3, 1}, 100: {3, 1}} {
		if line, column := strictjson.Position(text, off); line != want[0] || column != want[1] {
			t.Errorf("offset %d is at line %d, column %d, want %v", off, line, column, want)
		}
	}
}

// FuzzRead: what is read is what encoding/json reads, where that is strict enough, and every fault lies in the text.
func FuzzRead(f *testing.F) {
	for _, text := range []string{``, `{"a": [1.5e3, "\ud83d\ude00", true, null], "b": {"a": ""}}`, `{"a": 1, "a": 2}`, `[[[[]]]]`, "\"\xff\"", `"\ud800"`, ` 0 `, `-1`, `{"a" 1}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := strictjson.Read(text, plenty)
		if err != nil {
			if err.Off < 0 || err.Off > len(text) {
				t.Fatalf("fault at %d of %d bytes", err.Off, len(text))
			}
			switch err.Message { // what encoding/json lets pass
			case "member name appears twice in one object", "text is not valid UTF-8", "nested too deeply", "too many values":
			case "malformed escape sequence":
				if !strings.Contains(text, `\u`) && json.Valid([]byte(text)) {
					t.Fatalf("%q is refused: %v", text, err)
				}
			default:
				if json.Valid([]byte(text)) {
					t.Fatalf("%q is refused: %v", text, err)
				}
			}
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil || !utf8.ValidString(text) {
			t.Fatalf("%q is read, and is no JSON: %v", text, err)
		}
		if diff := cmp.Diff(want, plain(t, text, v)); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

// plain is v as encoding/json would have it. Every value's own text must read as the value does.
func plain(t *testing.T, text string, v strictjson.Value) any {
	again, err := strictjson.Read(text[v.Off:v.End], plenty)
	if err != nil || again.Kind != v.Kind || again.Text != v.Text || again.End != v.End-v.Off {
		t.Fatalf("%q at %d to %d reads as %+v, %v, want %+v", text, v.Off, v.End, again, err, v)
	}
	switch v.Kind {
	case strictjson.Object:
		members := map[string]any{}
		for _, m := range v.Members {
			members[m.Name] = plain(t, text, m.Value)
		}
		return members
	case strictjson.List:
		items := []any{}
		for _, i := range v.Items {
			items = append(items, plain(t, text, i))
		}
		return items
	case strictjson.String:
		return v.Text
	case strictjson.Number:
		return json.Number(v.Text)
	case strictjson.Bool:
		return v.Text == "true"
	default:
		return nil
	}
}
