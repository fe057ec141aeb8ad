package keystore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/claviger/kms/keystore"
)

func TestValidateName(t *testing.T) {
	for _, tc := range []struct {
		what, name string
		ok         bool
	}{
		{"one byte", "a", true},
		{"slashes", "key/1/2", true},
		{"control bytes", "\x01\n\x7f", true},
		{"umlauts", "schlüssel", true},
		{"highest code point", "\U0010FFFF", true},
		{"longest", strings.Repeat("n", keystore.MaxNameLen), true},
		{"empty", "", false},
		{"too long", strings.Repeat("n", keystore.MaxNameLen+1), false},
		{"NUL", "a\x00b", false},
		{"not UTF-8", "a\xff", false},
		{"half a code point", "a\xc3", false},
		{"surrogate", "\xed\xa0\x80", false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			want(t, keystore.ValidateName(tc.name), tc.ok)
		})
	}
}

func TestValidateList(t *testing.T) {
	for _, tc := range []struct {
		what, prefix, after string
		limit               int
		ok                  bool
	}{
		{"everything", "", "", 1, true},
		{"largest page", "key/", "key/1", keystore.MaxListLimit, true},
		{"limit zero", "", "", 0, false},
		{"limit negative", "", "", -1, false},
		{"limit too large", "", "", keystore.MaxListLimit + 1, false},
		{"prefix with NUL", "\x00", "", 1, false},
		{"prefix not UTF-8", "\xff", "", 1, false},
		{"after not UTF-8", "", "\xff", 1, false},
		{"after too long", "", strings.Repeat("n", keystore.MaxNameLen+1), 1, false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			want(t, keystore.ValidateList(tc.prefix, tc.after, tc.limit), tc.ok)
		})
	}
}

func TestValidateBatch(t *testing.T) {
	half := make([]byte, keystore.MaxValueLen)
	puts := func(n int) []keystore.Change {
		var cs []keystore.Change
		for i := range n {
			cs = append(cs, keystore.Change{Op: keystore.Put, Name: fmt.Sprint(i)})
		}
		return cs
	}
	for _, tc := range []struct {
		what    string
		changes []keystore.Change
		ok      bool
	}{
		{"one of each", []keystore.Change{{Op: keystore.Put, Name: "a"}, {Op: keystore.Delete, Name: "b", Revision: 1}, {Op: keystore.Check, Name: "c"}}, true},
		{"largest value", []keystore.Change{{Op: keystore.Put, Name: "a", Value: half}}, true},
		{"most changes", puts(keystore.MaxChanges), true},
		{"most bytes", []keystore.Change{{Op: keystore.Put, Name: "a", Value: half}, {Op: keystore.Put, Name: "b", Value: half[2:]}}, true},
		{"empty", nil, false},
		{"too many changes", puts(keystore.MaxChanges + 1), false},
		{"too many bytes", []keystore.Change{{Op: keystore.Put, Name: "a", Value: half}, {Op: keystore.Put, Name: "b", Value: half[1:]}}, false},
		{"value too large", []keystore.Change{{Op: keystore.Put, Name: "a", Value: make([]byte, keystore.MaxValueLen+1)}}, false},
		{"name twice", []keystore.Change{{Op: keystore.Put, Name: "a"}, {Op: keystore.Check, Name: "a"}}, false},
		{"name empty", []keystore.Change{{Op: keystore.Put}}, false},
		{"no operation", []keystore.Change{{Name: "a"}}, false},
		{"unknown operation", []keystore.Change{{Op: keystore.Check + 1, Name: "a"}}, false},
		{"delete of nothing", []keystore.Change{{Op: keystore.Delete, Name: "a"}}, false},
		{"delete with value", []keystore.Change{{Op: keystore.Delete, Name: "a", Revision: 1, Value: []byte("v")}}, false},
		{"check with value", []keystore.Change{{Op: keystore.Check, Name: "a", Value: []byte("v")}}, false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			want(t, keystore.ValidateBatch(tc.changes), tc.ok)
		})
	}
}

// Names and values may be anything, so an error must not repeat them.
func TestErrorsNameNoValues(t *testing.T) {
	const canary = "canary"
	for _, err := range []error{
		keystore.ValidateName(canary + "\x00"),
		keystore.ValidateList(canary+"\xff", "", 1),
		keystore.ValidateBatch([]keystore.Change{{Op: keystore.Delete, Name: canary, Value: []byte(canary), Revision: 1}}),
		keystore.ValidateBatch([]keystore.Change{{Op: keystore.Put, Name: canary}, {Op: keystore.Put, Name: canary}}),
	} {
		want(t, err, false)
		if strings.Contains(err.Error(), canary) {
			t.Errorf("error repeats its input: %v", err)
		}
	}
}

func want(t *testing.T, err error, ok bool) {
	t.Helper()
	if ok && err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if !ok && !errors.Is(err, keystore.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}
