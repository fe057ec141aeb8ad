package kmshttp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claviger/kms"
)

// wordOf is a member's name as messages have it.
func wordOf(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// violation is what is said of one member.
func violation(path, value, constraint string) string {
	if value != "" {
		value = " '" + value + "'"
	}
	return "Value" + value + " at '" + path + "' failed to satisfy constraint: Member must " + constraint
}

// violated is what is said of one alone.
func violated(path, value, constraint string) string {
	return "1 validation error detected: " + violation(path, value, constraint)
}

// base is the request that a member is tried in.
func (op *operation) base(w *world, m member) request {
	if m.in != nil {
		return m.in(w)
	}
	return op.least(w)
}

// everyMember calls f with all members of all operations, in one world for all of an operation: it is for requests that are refused.
func everyMember(t *testing.T, f func(t *testing.T, w *world, op operation, m member)) {
	for op := range offered {
		w := newWorld(t)
		stored := w.keys()
		for _, m := range op.members {
			f(t, w, op, m)
		}
		if len(stored) > 0 && !slices.Equal(stored, w.keys()) {
			t.Errorf("%s: a refused request changed something", op.name)
		}
	}
}

// TestOptionalMembers: a request may have every member of the model, with a value that is one, and null is as none.
func TestOptionalMembers(t *testing.T) {
	for op := range offered {
		for _, m := range op.members {
			if m.value == nil || m.refused {
				continue
			}
			w := newWorld(t)
			r := op.base(w, m)
			if a := w.post(op.name, r.with(m.name, m.value(w))); a.status != http.StatusOK {
				t.Errorf("%s with %s: %d %s", op.name, m.name, a.status, a.body)
			}
			if m.required || m.usual || m.in != nil {
				continue
			}
			w = newWorld(t)
			if a := w.post(op.name, op.least(w).with(m.name, nil)); a.status != http.StatusOK {
				t.Errorf("%s with null for %s: %d %s", op.name, m.name, a.status, a.body)
			}
		}
	}
}

// TestMissingMembers: what is required must be there, and not null; what is missing is told of together.
func TestMissingMembers(t *testing.T) {
	for op := range offered {
		w := newWorld(t)
		least := op.least(w)
		var missing []string
		none, nothing := request{}, request{}
		for _, m := range op.members {
			if !m.required {
				if m.usual { // so that nothing else is missing
					none[m.name], nothing[m.name] = least[m.name], least[m.name]
				}
				continue
			}
			words := violation(wordOf(m.name), "", "not be null")
			missing = append(missing, words)
			none[m.name] = nil
			w.post(op.name, least.without(m.name)).refused(t, op.name+" without "+m.name, kms.ErrValidation, "1 validation error detected: "+words)
			w.post(op.name, least.with(m.name, nil)).refused(t, op.name+" with null for "+m.name, kms.ErrValidation, "1 validation error detected: "+words)
			// Members are named with case.
			w.post(op.name, least.without(m.name).with(wordOf(m.name), least[m.name])).refused(t, op.name+" with "+wordOf(m.name), kms.ErrValidation, "1 validation error detected: "+words)
		}
		if len(missing) < 2 {
			continue
		}
		slices.Sort(missing)
		for _, r := range []request{none, nothing} {
			a := w.post(op.name, r)
			head, list, _ := strings.Cut(a.message(), ": ")
			got := strings.Split(list, "; ")
			slices.Sort(got)
			if a.code() != kms.ErrValidation || head != fmt.Sprintf("%d validation errors detected", len(missing)) || !slices.Equal(got, missing) {
				t.Errorf("%s with %s: %s", op.name, r, a.body)
			}
		}
	}
}

// TestConditionalMembers: what the model does not require, and the operation does.
func TestConditionalMembers(t *testing.T) {
	w := newWorld(t)
	key := w.symmetric()
	const bytesOrSpec = "Please specify either number of bytes or key spec."
	for _, tc := range []struct {
		operation string
		request   request
		message   string
	}{
		{"GenerateRandom", request{}, "NumberOfBytes is required."},
		{"GenerateRandom", request{"NumberOfBytes": nil}, "NumberOfBytes is required."},
		{"GenerateDataKey", request{"KeyId": key}, bytesOrSpec},
		{"GenerateDataKey", request{"KeyId": key, "KeySpec": nil, "NumberOfBytes": nil}, bytesOrSpec},
		{"GenerateDataKey", request{"KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32}, bytesOrSpec},
		{"GenerateDataKeyWithoutPlaintext", request{"KeyId": key}, bytesOrSpec},
		{"GenerateDataKeyWithoutPlaintext", request{"KeyId": key, "KeySpec": "AES_128", "NumberOfBytes": 16}, bytesOrSpec},
		{"GenerateDataKey", request{"KeyId": key, "KeySpec": "AES_1", "NumberOfBytes": 32}, violated("keySpec", "AES_1", "satisfy enum value set: [AES_256, AES_128]")}, // first
		{"CreateKey", request{"KeySpec": "RSA_2048", "CustomerMasterKeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
			"You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."},
		{"CreateKey", request{"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"},
			"You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."},
		{"CreateKey", request{"KeySpec": "ECC_NIST_P256"}, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
		{"CreateKey", request{"CustomerMasterKeySpec": "ECC_NIST_P256"}, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
		{"CreateKey", request{"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"}, "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048"},
		{"CreateGrant", request{"KeyId": key, "Operations": []string{"Decrypt"}}, "Exactly one of GranteePrincipal and GranteeServicePrincipal must be specified."},
		{"CreateGrant", request{"KeyId": key, "Operations": []string{"Decrypt"}, "GranteePrincipal": grantee, "GranteeServicePrincipal": service},
			"Exactly one of GranteePrincipal and GranteeServicePrincipal must be specified."},
		{"CreateGrant", request{"KeyId": key, "Operations": []string{}, "GranteePrincipal": grantee}, violated("operations", "", "not be empty")},
		{"ListRetirableGrants", request{}, "Exactly one of RetiringPrincipal and RetiringServicePrincipal must be specified."},
		{"ListRetirableGrants", request{"RetiringPrincipal": grantee, "RetiringServicePrincipal": service}, "Exactly one of RetiringPrincipal and RetiringServicePrincipal must be specified."},
		{"RetireGrant", request{}, "Grant token OR (grant ID, key ID) must be specified"},
		{"RetireGrant", byID(w).with("GrantToken", w.grant().GrantToken), "Grant token OR (grant ID, key ID) must be specified"},
		{"RetireGrant", byID(w).without("GrantId"), violated("grantId", "", "have length greater than or equal to 1")},
		{"RetireGrant", byID(w).without("KeyId"), violated("keyId", "", "have length greater than or equal to 1")},
		{"TagResource", request{"KeyId": key, "Tags": []request{{"TagKey": "a", "TagValue": "b"}, {"TagValue": "b"}, {"TagKey": nil}}}, "3 validation errors detected: " +
			violation("tags.2.member.tagKey", "", "not be null") + "; " + violation("tags.3.member.tagKey", "", "not be null") + "; " + violation("tags.3.member.tagValue", "", "not be null")},
		{"CreateKey", request{"Tags": []request{{"TagKey": "a"}}}, violated("tags.1.member.tagValue", "", "not be null")},
	} {
		w.post(tc.operation, tc.request).refused(t, fmt.Sprintf("%s %s", tc.operation, tc.request), kms.ErrValidation, tc.message)
	}
}

// TestEmptyMembers: an empty string that was sent is not as none, nor is an empty constraint, which would be met by everybody.
func TestEmptyMembers(t *testing.T) {
	everyMember(t, func(t *testing.T, w *world, op operation, m member) {
		if m.kind != text || m.refused || m.most > 0 && m.least == 0 {
			return
		}
		for _, dry := range []bool{false, true} {
			r := op.base(w, m).with(m.name, "")
			if dry {
				r["DryRun"] = true
			}
			a := w.post(op.name, r)
			if a.code() != kms.ErrValidation || !strings.HasPrefix(a.message(), "1 validation error detected: Value at '"+wordOf(m.name)+"' failed to satisfy constraint: Member must ") {
				t.Errorf("%s with an empty %s: %d %s", op.name, m.name, a.status, a.body)
			}
		}
	})
	w := newWorld(t)
	grant := request{"KeyId": w.symmetric(), "Operations": []string{"Decrypt"}, "GranteePrincipal": grantee}
	for _, name := range []string{"EncryptionContextEquals", "EncryptionContextSubset"} {
		w.post("CreateGrant", grant.with("Constraints", request{name: request{}})).refused(t, name, kms.ErrValidation, violated("constraints."+wordOf(name), "", "have length greater than or equal to 1"))
	}
	w.post("CreateGrant", grant.with("Constraints", request{"SourceArn": ""})).refused(t, "SourceArn", kms.ErrValidation, violated("constraints.sourceArn", "", "have length greater than or equal to 1"))
}

// TestManyViolations: of what is wrong no more is told than helps.
func TestManyViolations(t *testing.T) {
	w := newWorld(t)
	for _, tags := range []any{slices.Repeat([]request{{}}, 5000), slices.Repeat([]request{{"TagKey": "", "TagValue": ""}}, 50)} {
		a := w.post("TagResource", request{"KeyId": w.symmetric(), "Tags": tags})
		if a.code() != kms.ErrValidation || !strings.HasPrefix(a.message(), "10 validation errors detected: ") || strings.Count(a.message(), "; ") != 9 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// valueOf is a value of a length, or a number.
func (m *member) valueOf(w *world, n int) any {
	switch {
	case m.sized != nil:
		return m.sized(w, n)
	case m.kind == number:
		return n
	case m.kind == blob:
		return make([]byte, n)
	default:
		return strings.Repeat("k", n)
	}
}

// bounds calls f with a value at each bound of a member and on both sides of it, and with what is said of one that is beyond.
func (m *member) bounds(path string, f func(n int, message string)) {
	of, shown := "length", ""
	if m.kind == number {
		of = "value"
	}
	sizes := []int{m.least - 1, m.least, m.least + 1, m.most - 1, m.most, m.most + 1}
	if m.kind == number {
		sizes = append(sizes, 0, -1)
	}
	slices.Sort(sizes)
	for _, n := range slices.Compact(sizes) {
		if n < 0 && m.kind != number {
			continue
		}
		if m.kind == number {
			shown = strconv.Itoa(n)
		}
		message := ""
		switch {
		case n < m.least:
			message = violated(path, shown, fmt.Sprintf("have %s greater than or equal to %d", of, m.least))
		case n > m.most:
			message = violated(path, shown, fmt.Sprintf("have %s less than or equal to %d", of, m.most))
		}
		f(n, message)
	}
}

// TestBounds: what is beyond a bound is refused, and what is at it is not.
func TestBounds(t *testing.T) {
	tried := 0
	for op := range offered {
		w := newWorld(t)
		try := func(m member, what string, n int, request func(w *world) request, message string) {
			t.Helper()
			tried++
			if message != "" {
				w.post(op.name, request(w)).refused(t, what, kms.ErrValidation, message)
				return
			}
			if op.changes {
				w = newWorld(t)
			}
			var want kms.Code
			if m.within != nil {
				want = m.within(n)
			}
			a := w.post(op.name, request(w))
			if a.code() != want || strings.Contains(a.message(), " at '"+wordOf(m.name)+"' failed") || (a.status == http.StatusOK) != (want == "") {
				t.Errorf("%s: %d %.300s, want %q", what, a.status, a.body, want)
			}
		}
		for _, m := range op.members {
			if m.most > 0 {
				m.bounds(wordOf(m.name), func(n int, message string) {
					try(m, fmt.Sprintf("%s with %s of %d", op.name, m.name, n), n, func(w *world) request { return op.base(w, m).with(m.name, m.valueOf(w, n)) }, message)
				})
			}
			if m.kind != objects {
				continue
			}
			good := request{"TagKey": "good", "TagValue": "value"}
			for _, of := range m.of {
				of.bounds("tags.2.member."+wordOf(of.name), func(n int, message string) {
					try(of, fmt.Sprintf("%s with a %s of %d", op.name, of.name, n), n, func(w *world) request {
						return op.least(w).with(m.name, []request{good, request{"TagKey": "k", "TagValue": "v"}.with(of.name, of.valueOf(w, n))})
					}, message)
				})
			}
		}
	}
	if tried < 300 {
		t.Errorf("%d values were tried", tried)
	}
}

// TestCharacters: lengths are counted in characters, where the model does.
func TestCharacters(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		operation string
		request   func(text string) request
		path      string
		most      int
	}{
		{"UpdateKeyDescription", func(s string) request { return request{"KeyId": w.symmetric(), "Description": s} }, "description", 8192},
		{"CreateKey", func(s string) request { return request{"Description": s} }, "description", 8192},
		{"TagResource", func(s string) request {
			return request{"KeyId": w.symmetric(), "Tags": []request{{"TagKey": s, "TagValue": ""}}}
		}, "tags.1.member.tagKey", 128},
		{"TagResource", func(s string) request {
			return request{"KeyId": w.symmetric(), "Tags": []request{{"TagKey": "k", "TagValue": s}}}
		}, "tags.1.member.tagValue", 256},
		{"UntagResource", func(s string) request { return request{"KeyId": w.symmetric(), "TagKeys": []string{s}} }, "tagKeys.1.member", 128},
	} {
		for _, letter := range []string{"ü", "語", "😀"} {
			if a := w.post(tc.operation, tc.request(strings.Repeat(letter, tc.most))); a.status != http.StatusOK {
				t.Errorf("%s of %d %s: %d %s", tc.operation, tc.most, letter, a.status, a.body)
			}
			w.post(tc.operation, tc.request(strings.Repeat(letter, tc.most+1))).refused(t, tc.operation, kms.ErrValidation,
				violated(tc.path, "", fmt.Sprintf("have length less than or equal to %d", tc.most)))
		}
	}
}

// TestPatterns: names have an alphabet.
func TestPatterns(t *testing.T) {
	w := newWorld(t)
	const alphabet = "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
	for _, name := range []string{"alias/a b", "alias/ä", "alias/$", "alias/a.b", "a b"} {
		for _, operation := range []string{"CreateAlias", "UpdateAlias"} {
			r := request{"AliasName": name, "TargetKeyId": w.symmetric()}
			w.post(operation, r).refused(t, operation+" "+name, kms.ErrValidation, violated("aliasName", name, alphabet))
		}
		w.post("DeleteAlias", request{"AliasName": name}).refused(t, "DeleteAlias "+name, kms.ErrValidation, violated("aliasName", name, alphabet))
		grant := request{"KeyId": w.symmetric(), "Operations": []string{"Decrypt"}, "GranteePrincipal": grantee, "Name": name}
		w.post("CreateGrant", grant).refused(t, "CreateGrant "+name, kms.ErrValidation, violated("name", name, alphabet))
	}
	w.post("CreateAlias", request{"AliasName": "alias/a:b", "TargetKeyId": w.symmetric()}).refused(t, "a colon", kms.ErrValidation, "alias/a:b contains invalid characters for an alias")
	a := w.post("CreateAlias", request{"AliasName": "a/b", "TargetKeyId": w.symmetric()})
	if a.code() != kms.ErrValidation || !strings.HasPrefix(a.message(), `Alias must start with the prefix "alias/".`) {
		t.Errorf("%s", a.body)
	}
	const characters = `satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`
	for _, text := range []string{policy(200) + "\u0100", policy(200) + "\u0000", policy(200) + "\u2028"} {
		w.post("PutKeyPolicy", request{"KeyId": w.symmetric(), "Policy": text}).refused(t, fmt.Sprintf("%q", text), kms.ErrValidation, violated("policy", "", characters))
		w.post("CreateKey", request{"Policy": text}).refused(t, fmt.Sprintf("%q", text), kms.ErrValidation, violated("policy", "", characters))
	}
}

var enumSet = regexp.MustCompile(`^satisfy enum value set: \[([A-Za-z0-9_, ]+)\]$`)

// TestEnums: a name that is none of the set is refused with the set, and only with it.
func TestEnums(t *testing.T) {
	everyMember(t, func(t *testing.T, w *world, op operation, m member) {
		if m.enum == nil {
			return
		}
		for _, name := range []string{"NO_SUCH", strings.ToLower(m.enum[0]), " " + m.enum[0], m.enum[0] + " "} {
			path, value := wordOf(m.name), any(name)
			if m.kind == texts {
				path, value = path+".1.member", []string{name}
			}
			if slices.Contains(m.enum, name) {
				continue
			}
			a := w.post(op.name, op.base(w, m).with(m.name, value))
			rest, ok := strings.CutPrefix(a.message(), violated(path, name, ""))
			set := enumSet.FindStringSubmatch(rest)
			if a.code() != kms.ErrValidation || !ok || set == nil {
				t.Errorf("%s with %s %q: %s", op.name, m.name, name, a.body)
				continue
			}
			got := strings.Split(set[1], ", ")
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(m.enum)); !slices.Equal(got, want) {
				t.Errorf("%s: %s is one of %v, want %v", op.name, m.name, got, want)
			}
		}
		long := strings.Repeat("X", 5000)
		value := any(long)
		if m.kind == texts {
			value = []string{long}
		}
		if a := w.post(op.name, op.base(w, m).with(m.name, value)); a.code() != kms.ErrValidation || len(a.message()) > 1200 {
			t.Errorf("%s with a long %s: %.300s", op.name, m.name, a.body)
		}
	})
}

// TestRefusedMembers: what a member of the model asks for, and the keyring does not offer, is refused as that; null asks for nothing.
func TestRefusedMembers(t *testing.T) {
	everyMember(t, func(t *testing.T, w *world, op operation, m member) {
		if !m.refused {
			return
		}
		for _, value := range []any{m.value(w), "", request{}, []string{}, false, 0} {
			w.post(op.name, op.least(w).with(m.name, value)).refused(t, fmt.Sprintf("%s with %s", op.name, m.name), kms.ErrUnsupportedOperation, m.name+" is not supported.")
		}
		if op.takes("DryRun") { // in which it would ask for less
			w.post(op.name, op.least(w).with(m.name, m.value(w)).with("DryRun", true)).refused(t, "dry "+op.name, kms.ErrUnsupportedOperation, m.name+" is not supported.")
		}
		if op.changes {
			w = newWorld(t)
		}
		if a := w.post(op.name, op.least(w).with(m.name, nil)); a.status != http.StatusOK {
			t.Errorf("%s with null for %s: %d %s", op.name, m.name, a.status, a.body)
		}
	})
	w := newWorld(t)
	without := request{"DryRun": true, "DryRunModifiers": []string{"IGNORE_CIPHERTEXT"}, "KeyId": "alias/a", "SourceKeyId": "alias/a", "DestinationKeyId": "alias/b"}
	for _, op := range []string{"Decrypt", "ReEncrypt"} { // what it takes to authorize them without a ciphertext
		w.post(op, without).refused(t, op, kms.ErrUnsupportedOperation, "DryRunModifiers is not supported.")
	}
	for _, origin := range []string{"EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"} {
		w.post("CreateKey", request{"Origin": origin}).refused(t, origin, kms.ErrUnsupportedOperation, "Origin is not supported.")
	}
	w.post("CreateKey", request{"MultiRegion": true}).refused(t, "MultiRegion", kms.ErrUnsupportedOperation, "MultiRegion is not supported.")
	w.post("CreateKey", request{"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}).refused(t, "SM2", kms.ErrUnsupportedOperation, "Key spec SM2 is not supported.")
	if keys := w.keys(); len(keys) > 0 {
		t.Errorf("there are keys: %v", keys)
	}
}

// TestUnknownMembers: members that no model has are ignored, whatever they hold and however often.
func TestUnknownMembers(t *testing.T) {
	for op := range offered {
		w := newWorld(t)
		r := op.least(w)
		for name, value := range map[string]any{"Unknown": "x", "keyid": 1, "KEYID": []int{1}, "": nil, "__type": "x", "KeyId ": true, "X": request{"Y": []any{1.5, nil, "\u0000"}}} {
			r[name] = value
		}
		if a := w.post(op.name, r); a.status != http.StatusOK || names(a.m) != op.answer {
			t.Errorf("%s: %d %s", op.name, a.status, a.body)
		}
	}
}

// wrong are values that a member of a kind must not have.
var wrong = map[kind][]string{
	text:      {`1`, `0`, `true`, `[]`, `{}`, `["k"]`, `{"k":"k"}`},
	blob:      {`1`, `true`, `[]`, `{}`, `[1,2]`, `["AA=="]`},
	number:    {`"1"`, `""`, `true`, `false`, `[]`, `{}`, `[1]`, `1.5`, `0.1`, `-0.5`, `1e-1`, `1e400`, `-1e400`, `2147483648`, `-2147483649`, `1e10`, `9223372036854775808`, `123456789012345678901234567890`},
	truth:     {`"true"`, `"false"`, `""`, `0`, `1`, `[]`, `{}`, `[true]`},
	texts:     {`"x"`, `1`, `true`, `{}`, `[1]`, `[null]`, `["x",null]`, `[["x"]]`, `[{}]`, `[true]`},
	objects:   {`"x"`, `1`, `true`, `{}`, `{"TagKey":"a","TagValue":"b"}`, `[1]`, `[null]`, `["x"]`, `[[]]`, `[true]`},
	pairs:     {`"x"`, `1`, `true`, `[]`, `["a","b"]`, `{"a":1}`, `{"a":null}`, `{"a":true}`, `{"a":["b"]}`, `{"a":{}}`, `{"a":"b","c":1}`},
	structure: {`"x"`, `1`, `true`, `[]`, `[{}]`},
}

// TestTypes: a value of another type than its member's is a SerializationException, which says nothing more, whatever else is wrong.
func TestTypes(t *testing.T) {
	tried := 0
	everyMember(t, func(t *testing.T, w *world, op operation, m member) {
		if m.refused {
			return
		}
		try := func(what string, r request) {
			t.Helper()
			tried++
			w.post(op.name, r).refused(t, fmt.Sprintf("%s with %s", op.name, what), "SerializationException", "")
		}
		for _, value := range wrong[m.kind] {
			what := m.name + " " + value
			try(what, op.base(w, m).with(m.name, json.RawMessage(value)))
			try(what+" alone", request{m.name: json.RawMessage(value)})
			if op.takes("DryRun") {
				try(what+" dry", op.base(w, m).with("DryRun", true).with(m.name, json.RawMessage(value)))
			}
		}
		for _, of := range m.of {
			for _, value := range wrong[of.kind] {
				inner := json.RawMessage(fmt.Sprintf(`{%q:%s}`, of.name, value))
				if m.kind == objects {
					inner = json.RawMessage(fmt.Sprintf(`[{"TagKey":"a","TagValue":"b"},%s]`, inner))
				}
				try(m.name+" "+string(inner), op.base(w, m).with(m.name, inner))
			}
		}
	})
	if tried < 1000 {
		t.Errorf("%d values were tried", tried)
	}
}

// TestNumbers: a whole number is one however it is written.
func TestNumbers(t *testing.T) {
	for op := range offered {
		for _, m := range op.members {
			if m.kind != number {
				continue
			}
			n := m.value(nil).(int)
			for _, written := range []string{fmt.Sprint(n), fmt.Sprintf("%d.0", n), fmt.Sprintf("%d.000e0", n), fmt.Sprintf("%de0", n), fmt.Sprintf("%d0E-1", n), fmt.Sprintf("%.1fe+1", float64(n)/10)} {
				w := newWorld(t)
				if a := w.post(op.name, op.base(w, m).with(m.name, json.RawMessage(written))); a.status != http.StatusOK {
					t.Errorf("%s with %s %s: %d %s", op.name, m.name, written, a.status, a.body)
				}
			}
			w := newWorld(t)
			for _, written := range []string{"0", "-0", "0.0", "0e5", "-0.0e-400"} {
				words := violated(wordOf(m.name), "0", fmt.Sprintf("have value greater than or equal to %d", m.least))
				w.post(op.name, op.base(w, m).with(m.name, json.RawMessage(written))).refused(t, fmt.Sprintf("%s with %s %s", op.name, m.name, written), kms.ErrValidation, words)
			}
			for written, shown := range map[string]string{"2147483647": "2147483647", "1e9": "1000000000", "2147483647.0": "2147483647"} {
				words := violated(wordOf(m.name), shown, fmt.Sprintf("have value less than or equal to %d", m.most))
				w.post(op.name, op.base(w, m).with(m.name, json.RawMessage(written))).refused(t, fmt.Sprintf("%s with %s %s", op.name, m.name, written), kms.ErrValidation, words)
			}
			words := violated(wordOf(m.name), "-2147483648", fmt.Sprintf("have value greater than or equal to %d", m.least))
			if m.name == "RotationPeriodInDays" || m.name == "PendingWindowInDays" || m.name == "Limit" || m.name == "NumberOfBytes" {
				w.post(op.name, op.base(w, m).with(m.name, json.RawMessage("-2147483648"))).refused(t, op.name+" with "+m.name+" of the least number", kms.ErrValidation, words)
			}
		}
	}
	w := newWorld(t)
	a := w.post("GenerateRandom", request{"NumberOfBytes": json.RawMessage("1e3")})
	if n := len(decoded[[]byte](t, a, "Plaintext")); n != 1000 {
		t.Errorf("1e3 are %d bytes", n)
	}
}

// TestBlobs: blobs are base64 in its standard alphabet, padded, in one line, and nothing else.
func TestBlobs(t *testing.T) {
	everyMember(t, func(t *testing.T, w *world, op operation, m member) {
		if m.kind != blob {
			return
		}
		for what, value := range map[string]string{
			"the URL's alphabet": "-_-_", "no padding": "QQ", "too little padding": "QQ=", "too much padding": "QUI==", "padding alone": "====", "padding within": "QQ==QQ==", "a letter too much": "QUJDR",
			"a space": "QUJD QUJD", "a space before": " QUJD", "a space behind": "QUJD ", "a line break": "QUJD\nQUJD", "a line break behind": "QUJD\n", "CRLF": "QUJD\r\nQUJD", "CR": "QUJD\r",
			"a tab": "QUJD\tQUJD", "bits that are left": "QR==", "no base64": "%%%%", "hexadecimal": "0x0", "a NUL": "QUJD\u0000", "other letters": "ÄÄÄÄ", "an odd one": "A",
		} {
			w.post(op.name, op.least(w).with(m.name, value)).refused(t, fmt.Sprintf("%s with %s of %s", op.name, m.name, what), "SerializationException", "")
		}
		if op.takes("DryRun") { // in which the keyring has use for a blob that is empty
			least := op.least(w).with("DryRun", true).with(m.name, "")
			if op.name == "Decrypt" {
				least["KeyId"] = w.symmetric()
			}
			if op.name == "ReEncrypt" {
				least["SourceKeyId"] = w.symmetric()
			}
			w.post(op.name, least).refused(t, "dry "+op.name, kms.ErrValidation, violated(wordOf(m.name), "", "have length greater than or equal to 1"))
		}
	})
	w := newWorld(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for n := range len(every) + 1 {
		if n == 0 {
			continue
		}
		sealed := w.post("Encrypt", request{"KeyId": w.symmetric(), "Plaintext": every[:n]})
		opened := w.post("Decrypt", request{"CiphertextBlob": sealed.m["CiphertextBlob"]})
		if got := decoded[[]byte](t, opened, "Plaintext"); !slices.Equal(got, every[:n]) {
			t.Errorf("%x came back as %x", every[:n], got)
		}
	}
}
