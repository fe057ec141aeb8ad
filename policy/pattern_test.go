package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claviger/kms/policy"
)

func TestWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything: at\nall", true},
		{"**", "x", true},
		{"a", "A", false},
		{"?", "", false},
		{"?", "é", true},
		{"?", "日", true},
		{"??", "é", false},
		{"?", "\xff", true},
		{"a*", "b", false},
		{"*b", "aab", true},
		{"*b", "aba", false},
		{"a*b*c", "a1b2b3c", true},
		{"a*b*c", "a1b2b3", false},
		{"a*?c", "ac", false},
		{"a*?c", "abbc", true},
		{"*aab", "aaab", true},
		{"*?b?", "aabb", true},
		{"a.b+(c)[*]", "a.b+(c)[d]", true},
		{"a.b", "axb", false},
		{`a\*`, `a\b`, true},
		{"${*}x", "*x", true},
		{"${*}x", "ax", false},
		{"${?}${$}", "?$", true},
		{"${?}${$}", "a$", false},
		{"$", "$", true},
		{"a$b{}", "a$b{}", true},
	} {
		t.Run(c.pattern+" "+c.text, func(t *testing.T) {
			if got := holds(t, policy.Allow, fmt.Sprintf(`{"StringLike": {"aws:Key": %q}}`, c.pattern), fixedValue{policy.Text(c.text)}); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// Backtracking over the last asterisk only is what keeps this from taking longer than the universe has.
func TestWildcardsDoNotExplode(t *testing.T) {
	pattern := strings.Repeat("a*?", 200) + "b"
	text := strings.Repeat("a", 4000)
	if holds(t, policy.Allow, `{"StringLike": {"aws:Key": "`+pattern+`"}}`, fixedValue{policy.Text(text)}) {
		t.Error("matches")
	}
	if !holds(t, policy.Allow, `{"StringLike": {"aws:Key": "`+pattern+`"}}`, fixedValue{policy.Text(text + "b")}) {
		t.Error("does not match")
	}
}

func TestFolding(t *testing.T) {
	for _, c := range []struct {
		policy, request string
		want            bool
	}{
		{"Straße", "STRAßE", true},
		{"É", "é", true},
		{"k", "\u212a", true}, // the Kelvin sign is three bytes long
		{"\u212ax", "kX", true},
		{"abc", "ab", false},
		{"ab", "abc", false},
		{"\uFFFD", "\xff", false},
		{"\uFFFD", "\uFFFD", true},
		{"", "", true},
	} {
		t.Run(c.policy+" "+c.request, func(t *testing.T) {
			if got := holds(t, policy.Allow, `{"StringEqualsIgnoreCase": {"aws:Key": "`+c.policy+`"}}`, fixedValue{policy.Text(c.request)}); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	ctx := values{
		"aws:key":               policy.Text("team-red"),
		"aws:username":          policy.Text("red"),
		"aws:star":              policy.Text("*"),
		"aws:many":              policy.Texts([]string{"red", "blue"}),
		"aws:one":               policy.Texts([]string{"red"}),
		"aws:vague":             policy.Ambiguous(),
		"aws:empty":             policy.Text(""),
		"aws:principaltag/Team": policy.Text("red"),
		"aws:dollar":            policy.Text("team-${aws:username}"),
		"aws:stop":              policy.Text("team-*"),
		"aws:arn":               policy.Text("arn:a:b:c:d:e"),
	}
	for _, c := range []struct {
		name, condition string
		want            bool
	}{
		{"substituted", `{"StringEquals": {"aws:key": "team-${aws:username}"}}`, true},
		{"name without case", `{"StringEquals": {"aws:key": "team-${AWS:UserName}"}}`, true},
		{"free part as spelled", `{"StringEquals": {"aws:key": "team-${aws:PrincipalTag/Team}"}}`, true},
		{"without case", `{"StringEqualsIgnoreCase": {"aws:key": "TEAM-${aws:username}"}}`, true},
		{"with wildcards around", `{"StringLike": {"aws:key": "*-${aws:username}*"}}`, true},
		{"wildcard in the value is text", `{"StringLike": {"aws:key": "${aws:star}"}}`, false},
		{"wildcard in the value equals itself", `{"StringLike": {"aws:stop": "team-${aws:star}"}}`, true},
		{"not substituted again", `{"StringEquals": {"aws:key": "${aws:dollar}"}}`, false},
		{"empty value", `{"StringEquals": {"aws:key": "team-red${aws:empty}"}}`, true},
		{"default not needed", `{"StringEquals": {"aws:key": "team-${aws:username, 'blue'}"}}`, true},
		{"default", `{"StringEquals": {"aws:key": "team-${aws:none, 'red'}"}}`, true},
		{"default without a space", `{"StringEquals": {"aws:key": "team-${aws:none,'red'}"}}`, true},
		{"empty default", `{"StringEquals": {"aws:key": "team-red${aws:none, ''}"}}`, true},
		{"default with a brace", `{"StringNotEquals": {"aws:key": "${aws:none, 'a}b'}"}}`, true},
		{"wildcard in a default is text", `{"StringLike": {"aws:key": "${aws:none, '*'}"}}`, false},
		{"default of several values", `{"StringEquals": {"aws:key": "team-${aws:many, 'red'}"}}`, true},
		{"missing", `{"StringEquals": {"aws:key": "team-red${aws:none}"}}`, false},
		{"missing with asterisk", `{"StringLike": {"aws:key": "*${aws:none}*"}}`, false},
		{"missing and negated", `{"StringNotEquals": {"aws:key": "team-red${aws:none}"}}`, true},
		{"missing beside a match", `{"StringEquals": {"aws:key": ["${aws:none}", "team-red"]}}`, true},
		{"missing beside a negated match", `{"StringNotEquals": {"aws:key": ["${aws:none}", "team-red"]}}`, false},
		{"missing in an ARN", `{"ArnLike": {"aws:key": "arn:a:b:c:d:${aws:none}"}}`, false},
		{"missing in a negated ARN", `{"ArnNotLike": {"aws:arn": "arn:${aws:none}"}}`, true},
		{"missing behind a mismatch in a negated ARN", `{"ArnNotLike": {"aws:arn": "x:${aws:none}"}}`, true},
		{"several values", `{"StringLike": {"aws:key": "team-${aws:many}"}}`, false},
		{"several values, negated", `{"StringNotLike": {"aws:key": "team-${aws:many}"}}`, true},
		{"ambiguous", `{"StringLike": {"aws:key": "*${aws:vague}*"}}`, false},
		{"ambiguous, negated", `{"StringNotLike": {"aws:key": "team-red${aws:vague}"}}`, true},
		{"default of an ambiguous key", `{"StringEquals": {"aws:key": "team-${aws:vague, 'red'}"}}`, true},
		{"ambiguous in a negated ARN", `{"ArnNotLike": {"aws:arn": "arn:${aws:vague}"}}`, true},
		{"one value of a multivalued key", `{"StringEquals": {"aws:key": "team-${aws:one}"}}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := holds(t, policy.Allow, c.condition, ctx); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestVariablesAreTextInTheOldVersion(t *testing.T) {
	r := &policy.Request{Action: "kms:Decrypt", Resource: "arn:aws:kms:r:a:key/${aws:x}", Context: fixedValue{policy.Text("${aws:x}")}}
	for _, c := range []struct{ name, elements string }{
		{"condition", `"Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:x": "${aws:x}"}}`},
		{"malformed", `"Action": "*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:x": "${"}}`},
		{"wildcards in braces", `"Action": "*", "Resource": "*", "Condition": {"StringLike": {"aws:x": "${*}"}}`},
		{"resource", `"Action": "*", "Resource": "arn:aws:kms:r:a:key/${aws:x}"`},
		{"resource with wildcard", `"Action": "*", "Resource": "arn:aws:kms:r:a:key/${*}"`},
		{"braces in the service part", `"Action": "*", "NotResource": "arn:aws:${aws:x}:r:a:key/x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !matches(t, policy.Allow, policy.Version2008, c.elements, r) {
				t.Error("does not match")
			}
		})
	}
}

func TestActions(t *testing.T) {
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "kms:Decrypt", true},
		{"kms:*", "kms:Decrypt", true},
		{"kms:*", "s3:GetObject", false},
		{"kms:*", "kmsx:Decrypt", false},
		{"KMS:dEcRyPt", "kms:Decrypt", true},
		{"kms:Decrypt", "kms:Decrypts", false},
		{"kms:Decrypt", "kms:Encrypt", false},
		{"kms:Decrypt", "xms:Decrypt", false},
		{"kms:decrypt*", "kms:Decrypt", true},
		{"kms:Decrypt?", "kms:Decrypt", false},
		{"kms:?ecrypt", "kms:Decrypt", true},
		{"kms:Generate*", "kms:GenerateDataKey", true},
		{"kms:Generate*", "kms:Gen", false},
		{"kms:*Key*", "kms:GenerateDataKeyPair", true},
		{"kms:*KEY", "kms:GenerateDataKeyPair", false},
		{"kms:G*Key**", "kms:GenerateDataKey", true},
		{"kms:*a*b", "kms:aabab", true},
		{"kms:etKeyPolicy*", "kms:GetKeyPolicy", false},
		{"kms:Decrypt", "", false},
		{"kms:Decrypt", "Decrypt", false},
		{"*", "", true},
		{"kms:1*", "kms:1x", true},
		{"kms:-_", "kms:-_", true},
	} {
		t.Run(c.pattern+" "+c.action, func(t *testing.T) {
			r := &policy.Request{Action: c.action, Resource: keyARN}
			for _, effect := range effects {
				if got := matches(t, effect, policy.Version2012, `"Resource": "*", "Action": ["x:y", "`+c.pattern+`"]`, r); got != c.want {
					t.Errorf("%v Action: %v, want %v", effect, got, c.want)
				}
				if got := matches(t, effect, policy.Version2012, `"Resource": "*", "NotAction": ["`+c.pattern+`", "x:y"]`, r); got == c.want {
					t.Errorf("%v NotAction: %v, want %v", effect, got, !c.want)
				}
			}
		})
	}
}

// Where the two readings of wildcards in ARNs differ, an Allow takes the narrow one and a Deny the wide one, which for NotResource is the other way round.
func TestResources(t *testing.T) {
	ctx := values{"aws:key": policy.Text("1234abcd"), "aws:many": policy.Texts([]string{"1234abcd", "x"}), "aws:star": policy.Text("*")}
	for _, c := range []struct {
		name, pattern, resource string
		narrow, wide            bool
	}{
		{"everything", "*", keyARN, true, true},
		{"everything, no resource", "*", "*", true, true},
		{"itself", keyARN, keyARN, true, true},
		{"case", "arn:aws:kms:us-east-1:111122223333:key/A", "arn:aws:kms:us-east-1:111122223333:key/a", false, false},
		{"region", "arn:aws:kms:*:111122223333:key/*", keyARN, true, true},
		{"every part", "arn:*:kms:*:*:*", keyARN, true, true},
		{"other partition", "arn:aws-cn:kms:*:*:*", keyARN, false, false},
		{"slash", "arn:aws:s3:::b/*", "arn:aws:s3:::b/c/d", true, true},
		{"colon in the last part", "arn:aws:logs:r:a:*:z", "arn:aws:logs:r:a:x:y:z", true, true},
		{"no resource", "arn:aws:kms:*:*:*", "*", false, false},
		{"no ARN", "arn:aws:kms:*", "arn:aws:kms:x", false, true},
		{"cut short", "arn:aws:kms:*", keyARN, false, true},
		{"cut before the last part", "arn:aws:kms:us-east-1:*", keyARN, false, true},
		{"cut very short", "arn:*", keyARN, false, true},
		{"over one colon", "arn:aws:kms:*:key/*", keyARN, false, true},
		{"question mark for a colon", "arn:aws:kms:us-east-1?111122223333:key/1234abcd*", keyARN, false, true},
		{"too many parts", "arn:aws:kms:us-east-1:111122223333:*:key/*", keyARN, false, false},
		{"variable", "arn:aws:kms:us-east-1:111122223333:key/${aws:key}-*", keyARN, true, true},
		{"variable with default", "arn:aws:kms:us-east-1:111122223333:key/${aws:none, '1234abcd'}-*", keyARN, true, true},
		{"variable with another value", "arn:aws:kms:us-east-1:111122223333:alias/${aws:key}", keyARN, false, false},
		{"asterisk in a variable is text", "arn:aws:kms:us-east-1:111122223333:key/${aws:star}", keyARN, false, false},
		{"escaped asterisk", "arn:aws:kms:us-east-1:111122223333:key/${*}", "arn:aws:kms:us-east-1:111122223333:key/*", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &policy.Request{Action: "kms:Decrypt", Resource: c.resource, Context: ctx}
			for _, e := range []struct {
				effect  policy.Effect
				element string
				want    bool
			}{
				{policy.Allow, "Resource", c.narrow},
				{policy.Deny, "Resource", c.wide},
				{policy.Allow, "NotResource", !c.wide},
				{policy.Deny, "NotResource", !c.narrow},
			} {
				if got := matches(t, e.effect, policy.Version2012, `"Action": "*", "`+e.element+`": ["arn:x:y:::z", "`+c.pattern+`"]`, r); got != e.want {
					t.Errorf("%v %s: %v, want %v", e.effect, e.element, got, e.want)
				}
			}
		})
	}
}

// A variable without a value covers no resource: it neither allows one, nor exempts one from a Deny.
func TestResourceVariableWithoutValue(t *testing.T) {
	for name, variable := range map[string]string{"missing": "aws:none", "several values": "aws:many", "ambiguous": "aws:vague"} {
		t.Run(name, func(t *testing.T) {
			ctx := values{"aws:many": policy.Texts([]string{"1234abcd", "x"}), "aws:vague": policy.Ambiguous()}
			r := &policy.Request{Action: "kms:Decrypt", Resource: keyARN, Context: ctx}
			for element, want := range map[string]map[policy.Effect]bool{
				"Resource":    {policy.Allow: false, policy.Deny: false},
				"NotResource": {policy.Allow: false, policy.Deny: true},
			} {
				for effect, want := range want {
					elements := `"Action": "*", "` + element + `": "arn:aws:kms:us-east-1:111122223333:key/${` + variable + `}*"`
					if got := matches(t, effect, policy.Version2012, elements, r); got != want {
						t.Errorf("%v %s: %v, want %v", effect, element, got, want)
					}
				}
			}
		})
	}
}

// TestEarlyVariables: a variable where documentation permits none is refused in a key policy. An identity policy may have it, as published ones do, and then it covers
// nothing in an Allow, and whatever an asterisk in its place would in a Deny.
func TestEarlyVariables(t *testing.T) {
	const early = `"arn:*:kms:*:${aws:PrincipalAccount}:key/*"`
	if _, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":`+early+`}}`, policy.KeyPolicy); err == nil {
		t.Error("a key policy has it")
	}
	r := &policy.Request{Principal: user("alice"), Action: "kms:Decrypt", Resource: keyARN, Context: values{"aws:principalaccount": policy.Text(account)}}
	for _, tc := range []struct {
		effect   policy.Effect
		element  string
		resource string
		want     bool
	}{
		{policy.Allow, "Resource", early, false},
		{policy.Allow, "Resource", `["arn:aws:s3:::b",` + early + `,"*"]`, true},
		{policy.Deny, "Resource", early, true},
		{policy.Deny, "Resource", `"arn:aws:kms:us-east-1:${aws:PrincipalAccount}:alias/*"`, false},
		{policy.Allow, "NotResource", early, false},
		{policy.Deny, "NotResource", early, true},
	} {
		if got := matches(t, tc.effect, policy.Version2012, `"Action":"*",`+`"`+tc.element+`":`+tc.resource, r); got != tc.want {
			t.Errorf("%v with %s %s matches: %v, want %v", tc.effect, tc.element, tc.resource, got, tc.want)
		}
	}
	found := policy.Lint(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":`+early+`}}`, policy.IdentityPolicy)
	if len(found) != 1 || found[0].Severity != policy.Warning || !strings.Contains(found[0].Message, "before the fifth colon") {
		t.Errorf("lint: %v", found)
	}
}
