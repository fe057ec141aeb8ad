package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/policy"
)

// at finds the position of the mark ¶ in s, for errors about what follows it, and returns s without it.
func at(t *testing.T, s string) (text string, line, column int) {
	t.Helper()
	before, after, found := strings.Cut(s, "¶")
	if !found {
		t.Fatalf("no mark in %s", s)
	}
	lines := strings.Split(before, "\n")
	return before + after, len(lines), 1 + len([]rune(lines[len(lines)-1]))
}

func wantFault(t *testing.T, kind policy.Kind, marked, path, message string) {
	t.Helper()
	text, line, column := at(t, marked)
	_, err := policy.Parse(text, kind)
	got, ok := errors.AsType[*policy.SyntaxError](err)
	if !ok {
		t.Fatalf("Parse: %v, want a SyntaxError", err)
	}
	if diff := cmp.Diff(&policy.SyntaxError{Line: line, Column: column, Path: path, Message: message}, got); diff != "" {
		t.Error(diff)
	}
}

func TestJSONFaults(t *testing.T) {
	deep := strings.Repeat(`[`, 16)
	for _, c := range []struct{ name, text, message string }{
		{"empty", `¶`, "expected a JSON value"},
		{"white space", " \t\r\n ¶", "expected a JSON value"},
		{"byte order mark", "¶\ufeff{}", "expected a JSON value"},
		{"NUL", "¶\x00", "expected a JSON value"},
		{"misspelled literal", `{"a": ¶tru}`, "expected a JSON value"},
		{"comment", `{"a": ¶/**/1}`, "expected a JSON value"},
		{"no end of object", `{"a": 1¶`, "expected a comma or the end of the object"},
		{"no end after comma", `{"a": 1,¶`, "expected a member name in double quotes"},
		{"no colon", `{"a" ¶1}`, "expected a colon after the member name"},
		{"no name", `{¶1: 2}`, "expected a member name in double quotes"},
		{"single quotes", `{¶'a': 2}`, "expected a member name in double quotes"},
		{"bad name", `{"¶\x": 2}`, "malformed escape sequence"},
		{"no value", `{"a":¶}`, "expected a JSON value"},
		{"trailing comma in object", `{"a": 1,¶}`, "expected a member name in double quotes"},
		{"trailing comma in list", `[1,¶]`, "expected a JSON value"},
		{"no comma in list", `[1 ¶2]`, "expected a comma or the end of the list"},
		{"two documents", `{} ¶{}`, "text after the end of the document"},
		{"same name twice", "{\n\t\"a\": 1,\n\t¶\"a\": 2}", "member name appears twice in one object"},
		{"same name, escaped", `{"a": 1, ¶"\u0061": 2}`, "member name appears twice in one object"},
		{"same name deep inside", `[{"x": {"a": 1, ¶"a": 2}}]`, "member name appears twice in one object"},
		{"leading zero", `¶01`, "malformed number"},
		{"lone minus", `¶-`, "malformed number"},
		{"no fraction", `¶1.`, "malformed number"},
		{"no exponent", `¶1e+`, "malformed number"},
		{"plus", `¶+1`, "expected a JSON value"},
		{"infinity", `¶Infinity`, "expected a JSON value"},
		{"no end of string", `"abc¶`, "string without an end"},
		{"control character", "\"a¶\nb\"", "control character in a string"},
		{"unknown escape", `"é¶\'"`, "malformed escape sequence"},
		{"cut escape", `"¶\`, "malformed escape sequence"},
		{"short escape", `"¶\u12"`, "malformed escape sequence"},
		{"bad hexadecimal", `"¶\u12G4"`, "malformed escape sequence"},
		{"half a pair", `"¶\ud83d"`, "malformed escape sequence"},
		{"wrong half first", `"¶\ude00\ud83d"`, "malformed escape sequence"},
		{"half a pair and a letter", `"¶\ud83dabcdef"`, "malformed escape sequence"},
		{"half a pair and no half", `"¶\ud83d\u0041"`, "malformed escape sequence"},
		{"half a pair and the end", `"¶\ud83d\u00"`, "malformed escape sequence"},
		{"invalid UTF-8", "\"\uFFFD¶\xff\"", "text is not valid UTF-8"},
		{"too deep", deep + `¶[]` + strings.Repeat(`]`, 16), "nested too deeply"},
		{"too deep, objects", strings.Repeat(`{"a":`, 16) + `¶1` + strings.Repeat(`}`, 16), "nested too deeply"},
		{"too long", "¶" + strings.Repeat(" ", 512<<10+1), "document is longer than 512 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) { wantFault(t, policy.KeyPolicy, c.text, "", c.message) })
	}
}

func TestDocumentFaults(t *testing.T) {
	const good = `{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}`
	for _, c := range []struct{ name, text, path, message string }{
		{"list", `¶[]`, "", "must be an object"},
		{"null", `¶null`, "", "must be an object"},
		{"empty", `¶{}`, "", "Statement is missing"},
		{"unknown element", "{\"Statement\": " + good + ",\n \t¶\"Comment\": \"\"}", "", "unknown element; names are compared with case"},
		{"case of an element", `{¶"statement": ` + good + `}`, "", "unknown element; names are compared with case"},
		{"version", `{"Version": ¶"2012-10-18", "Statement": ` + good + `}`, "Version", "must be 2008-10-17 or 2012-10-17"},
		{"type of version", `{"Version": ¶2012, "Statement": ` + good + `}`, "Version", "must be 2008-10-17 or 2012-10-17"},
		{"version null", `{"Version": ¶null, "Statement": ` + good + `}`, "Version", "must be 2008-10-17 or 2012-10-17"},
		{"type of id", `{"Id": ¶7, "Statement": ` + good + `}`, "Id", "must be a string"},
		{"no statements", `{"Statement": ¶[]}`, "Statement", "must be a statement or a list of at least one"},
		{"type of statement", `{"Statement": ¶"x"}`, "Statement", "must be a statement or a list of at least one"},
		{"type of a statement", `{"Statement": [` + good + `, ¶[` + good + `]]}`, "Statement[1]", "must be an object"},
		{"fault in a single statement", `{"Statement": ¶{}}`, "Statement.Effect", "is missing"},
		{"same Sid", `{"Statement": [{"Sid": "a", ` + good[1:] + `, {"Sid": ¶"a", ` + good[1:] + `]}`, "Statement[1].Sid", "another statement has the same Sid"},
	} {
		t.Run(c.name, func(t *testing.T) { wantFault(t, policy.KeyPolicy, c.text, c.path, c.message) })
	}
	t.Run("unknown kind", func(t *testing.T) { wantFault(t, 7, `¶{"Statement": `+good+`}`, "", "unknown kind of policy") })
}

func TestStatementFaults(t *testing.T) {
	const (
		effect = `"Effect": "Allow", `
		who    = effect + `"Principal": "*", `
		rest   = `, "Action": "*", "Resource": "*"}`
	)
	const (
		badAction  = "must be * or a service and a name, such as kms:Decrypt"
		badList    = "must be a value or a list of values"
		badStrings = "must be a string or a list of strings"
	)
	for _, c := range []struct {
		name, text, path, message string
	}{
		{"unknown element", `{` + who + `¶"Actions": "*"` + rest, "", "unknown element; names are compared with case"},
		{"type of Sid", `{"Sid": ¶["x"], ` + who[:len(who)-2] + rest, "Sid", "must be a string"},
		{"no effect", `¶{"Principal": "*"` + rest, "Effect", "is missing"},
		{"other effect", `{"Principal": "*", "Effect": ¶"allow"` + rest, "Effect", "must be Allow or Deny"},
		{"type of effect", `{"Principal": "*", "Effect": ¶["Deny"]` + rest, "Effect", "must be Allow or Deny"},

		{"no principal", `¶{"Effect": "Allow"` + rest, "Principal", "is missing"},
		{"both principals", `{"Effect": "Deny", "Principal": "*", "NotPrincipal": ¶"*"` + rest, "NotPrincipal", "cannot stand beside Principal"},
		{"Allow and NotPrincipal", `{"Effect": "Allow", "NotPrincipal": ¶{"AWS": "111122223333"}` + rest, "NotPrincipal",
			"with Allow would allow everybody else; it goes with Deny only"},
		{"NotPrincipal of everybody", `{"Effect": "Deny", "NotPrincipal": ¶"*"` + rest, "NotPrincipal", "* exempts everybody, so that the statement denies nobody"},
		{"type of principal", `{"Effect": "Deny", "Principal": ¶["*"]` + rest, "Principal", "must be * or an object that names at least one principal"},
		{"bare account", `{"Effect": "Deny", "Principal": ¶"111122223333"` + rest, "Principal", "must be * or an object that names at least one principal"},
		{"empty principal", `{"Effect": "Deny", "Principal": ¶{}` + rest, "Principal", "must be * or an object that names at least one principal"},
		{"empty list of principals", `{"Effect": "Deny", "Principal": {"AWS": ¶[]}` + rest, "Principal", "must not be empty"},
		{"type of a principal", `{"Effect": "Deny", "Principal": {"AWS": ["*", ¶7]}` + rest, "Principal", badStrings},
		{"nested principal", `{"Effect": "Deny", "Principal": {"AWS": ["*", ¶["*"]]}` + rest, "Principal", badList},
		{"null principal", `{"Effect": "Deny", "Principal": {"AWS": ¶null}` + rest, "Principal", badList},
		{"case of type", `{"Effect": "Deny", "Principal": {"aws": ¶"*"}` + rest, "Principal",
			"unknown type of principal: AWS, Service, Federated or CanonicalUser"},

		{"both actions", `{` + who + `"Action": "*", "NotAction": ¶"*", "Resource": "*"}`, "NotAction", "cannot stand beside Action"},
		{"empty action list", `{` + who + `"Action": ¶[], "Resource": "*"}`, "Action", "must not be empty"},
		{"type of action", `{` + who + `"Action": ¶{"a": "b"}, "Resource": "*"}`, "Action", badList},
		{"boolean action", `{` + who + `"NotAction": ¶true, "Resource": "*"}`, "NotAction", badStrings},
		{"empty action", `{` + who + `"Action": ¶"", "Resource": "*"}`, "Action", badAction},
		{"no vendor", `{` + who + `"Action": ["*", ¶"Decrypt"], "Resource": "*"}`, "Action", badAction},
		{"empty vendor", `{` + who + `"Action": ¶":Decrypt", "Resource": "*"}`, "Action", badAction},
		{"vendor only", `{` + who + `"Action": ¶"kms:", "Resource": "*"}`, "Action", badAction},
		{"wildcard in vendor", `{` + who + `"Action": ¶"k*:Decrypt", "Resource": "*"}`, "Action", badAction},
		{"space in action", `{` + who + `"Action": ¶"kms:De crypt", "Resource": "*"}`, "Action", badAction},
		{"colon in action", `{` + who + `"Action": ¶"kms:a:b", "Resource": "*"}`, "Action", badAction},
		{"two asterisks", `{` + who + `"Action": ¶"**", "Resource": "*"}`, "Action", badAction},

		{"both resources", `{` + who + `"Action": "*", "Resource": "*", "NotResource": ¶"*"}`, "NotResource", "cannot stand beside Resource"},
		{"empty resource list", `{` + who + `"Action": "*", "Resource": ¶[]}`, "Resource", "must not be empty"},
		{"empty resource", `{` + who + `"Action": "*", "Resource": ¶""}`, "Resource", "resource is neither * nor an ARN"},
		{"no ARN", `{` + who + `"Action": "*", "Resource": ["*", ¶"key/*"]}`, "Resource", "resource is neither * nor an ARN"},
		{"wildcard in service", `{` + who + `"Action": "*", "Resource": ¶"arn:aws:*:us-east-1:111122223333:key/x"}`, "Resource", "wildcard in the service part of an ARN"},
		{"question mark in service", `{` + who + `"Action": "*", "NotResource": ¶"arn:aws:km?"}`, "NotResource", "wildcard in the service part of an ARN"},
		{"variable too early", `{` + who + `"Action": "*", "Resource": ¶"arn:aws:kms:${aws:RequestedRegion}:111122223333:key/x"}`, "Resource",
			"policy variable before the fifth colon of an ARN"},
		{"open variable", `{` + who + `"Action": "*", "Resource": ¶"arn:aws:kms:r:111122223333:key/${aws:x"}`, "Resource", "malformed policy variable"},

		{"type of condition", `{` + who + `"Condition": ¶"x"` + rest, "Condition", "must be an object"},
		{"type of operator", `{` + who + `"Condition": {"Bool": ¶["x"]}` + rest, "Condition.Bool", "must be an object with at least one condition key"},
		{"operator without keys", `{` + who + `"Condition": {"Bool": ¶{}}` + rest, "Condition.Bool", "must be an object with at least one condition key"},
		{"no values", `{` + who + `"Condition": {"Bool": {"aws:x": ¶[]}}` + rest, "Condition.Bool", "must not be empty"},
		{"null value", `{` + who + `"Condition": {"StringLike": {"aws:x": ["y", ¶null]}}` + rest, "Condition.StringLike", badList},
		{"nested values", `{` + who + `"Condition": {"StringLike": {"aws:x": [¶["y"]]}}` + rest, "Condition.StringLike", badList},
		{"object as value", `{` + who + `"Condition": {"StringLike": {"aws:x": ¶{"a": 1}}}` + rest, "Condition.StringLike", badList},
		{"same key in other case", `{` + who + `"Condition": {"StringLike": {"aws:x": "1", ¶"AWS:X": "1"}}` + rest, "Condition.StringLike",
			"condition key appears twice; keys are compared without case"},
		{"same free part in other case", `{` + who + `"Condition": {"StringLike": {"aws:RequestTag/s": "1", ¶"aws:RequestTag/ſ": "1"}}` + rest, "Condition.StringLike",
			"condition key appears twice; keys are compared without case"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "Statement[0]"
			if c.path != "" {
				path += "." + c.path
			}
			wantFault(t, policy.KeyPolicy, "{\"Version\": \"2012-10-17\",\n\"Statement\": [\n"+c.text+"]}", path, c.message)
		})
	}
}

func TestIdentityPolicyFaults(t *testing.T) {
	for _, c := range []struct{ name, text, path, message string }{
		{"Principal", `{"Effect": "Allow", "Principal": ¶"*", "Action": "*", "Resource": "*"}`, "Principal", "an identity policy names no principals"},
		{"NotPrincipal", `{"Effect": "Deny", "NotPrincipal": ¶{"AWS": "*"}, "Action": "*", "Resource": "*"}`, "NotPrincipal", "an identity policy names no principals"},
		{"no action", `¶{"Effect": "Deny", "Resource": "*"}`, "Action", "is missing"},
		{"no resource", `¶{"Effect": "Deny", "NotAction": "kms:*"}`, "Resource", "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantFault(t, policy.IdentityPolicy, `{"Statement": `+c.text+`}`, "Statement."+c.path, c.message)
		})
	}
}

func TestResourceControlPolicyFaults(t *testing.T) {
	const (
		rest      = `, "Action": "*", "Resource": "*"}`
		everybody = "a resource control policy is for everybody: the principal must be *"
	)
	for _, c := range []struct{ name, text, path, message string }{
		{"no principal", `¶{"Effect": "Deny"` + rest, "Principal", "is missing"},
		{"account", `{"Effect": "Deny", "Principal": ¶{"AWS": "111122223333"}` + rest, "Principal", everybody},
		{"everybody and others", `{"Effect": "Deny", "Principal": ¶{"AWS": "*", "Service": "logs.amazonaws.com"}` + rest, "Principal", everybody},
		{"everybody in a list", `{"Effect": "Deny", "Principal": ¶{"AWS": ["*"]}` + rest, "Principal", everybody},
		{"service", `{"Effect": "Deny", "Principal": ¶{"Service": "*"}` + rest, "Principal", everybody},
		{"text", `{"Effect": "Deny", "Principal": ¶"everybody"` + rest, "Principal", "must be * or an object that names at least one principal"},
		{"NotPrincipal", `{"Effect": "Deny", "NotPrincipal": ¶{"AWS": "*"}` + rest, "NotPrincipal", everybody},
		{"NotPrincipal with Allow", `{"Effect": "Allow", "NotPrincipal": ¶{"AWS": "*"}` + rest, "NotPrincipal", "with Allow would allow everybody else; it goes with Deny only"},
		{"no action", `¶{"Effect": "Deny", "Principal": "*", "Resource": "*"}`, "Action", "is missing"},
		{"no resource", `¶{"Effect": "Deny", "Principal": "*", "Action": "*"}`, "Resource", "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantFault(t, policy.ResourceControlPolicy, `{"Statement": `+c.text+`}`, "Statement."+c.path, c.message)
		})
	}
}

// Whoever leaves out a pair of the encryption context, or a tag, meets ForAllValues on it. AWS KMS refuses such key policies, and accepts the identity policies.
func TestOverlyPermissiveConditions(t *testing.T) {
	const message = "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches requests without the key or with an empty value"
	document := func(principal, operator, key string) string {
		return `{"Statement": {"Effect": "Deny", ` + principal + `"Action": "*", "Resource": "*", "Condition": {"` + operator + `": {¶"` + key + `": "x"}}}}`
	}
	const everybody = `"Principal": "*", `
	for _, c := range []struct{ operator, key string }{
		{"ForAllValues:StringEquals", "kms:EncryptionContext:App"}, {"ForAllValues:StringNotLikeIfExists", "KMS:ENCRYPTIONCONTEXT:App"},
		{"ForAllValues:StringEquals", "aws:RequestTag/App"}, {"ForAllValues:ArnEquals", "AWS:requesttag/App"},
	} {
		t.Run(c.operator+" "+c.key, func(t *testing.T) {
			wantFault(t, policy.KeyPolicy, document(everybody, c.operator, c.key), "Statement.Condition."+c.operator, message)
			text, _, _ := at(t, document(everybody, c.operator, c.key))
			parse(t, policy.ResourceControlPolicy, text)
			text, _, _ = at(t, document("", c.operator, c.key))
			parse(t, policy.IdentityPolicy, text)
		})
	}
	for _, c := range []struct{ operator, key string }{
		{"ForAllValues:StringEquals", "kms:EncryptionContextKeys"}, {"ForAllValues:StringEquals", "aws:TagKeys"}, {"ForAllValues:StringEquals", "aws:PrincipalTag/App"},
		{"ForAnyValue:StringEquals", "kms:EncryptionContext:App"}, {"StringEquals", "aws:RequestTag/App"},
	} {
		text, _, _ := at(t, document(everybody, c.operator, c.key))
		parse(t, policy.KeyPolicy, text)
	}
}

func refused(t *testing.T, text string) {
	t.Helper()
	if _, err := policy.Parse(text, policy.KeyPolicy); err == nil {
		t.Errorf("accepted: %s", text)
	}
}

func TestPrincipalShapes(t *testing.T) {
	long := strings.Repeat("n", 64)
	for kind, shapes := range map[string]struct{ good, bad []string }{
		"AWS": {
			good: []string{
				"*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws-us-gov:iam::111122223333:user/a", "arn:aws:iam::111122223333:user/" + long,
				"arn:aws:iam::111122223333:user/division_abc/sub=1/A.b-c+d,e@f", "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/Name",
				"arn:aws:iam::111122223333:role/" + strings.Repeat("p", 510) + "/r", "arn:aws:sts::111122223333:assumed-role/R/s1",
				"arn:aws:sts::111122223333:assumed-role/R/" + long, "arn:aws:sts::111122223333:federated-user/bo",
			},
			bad: []string{
				"", "**", "?", "1111222233334", "11112222333x", "１１１１２２２２３３３３", "AIDAEXAMPLE", "alice",
				"arn:aws:iam::111122223333:user/*", "arn:aws:iam::111122223333:user/al?ce", "arn:aws:iam::*:root", "arn:*:iam::111122223333:root",
				"arn:aws:iam::111122223333:group/g", "arn:aws:iam::111122223333:instance-profile/p", "arn:aws:iam::111122223333:mfa/a",
				"arn:aws:iam::111122223333:Root", "ARN:aws:iam::111122223333:root", "arn:AWS:iam::111122223333:root", "arn:aws:iam::111122223333:root/a",
				"arn:aws:iam:us-east-1:111122223333:user/a", "arn:aws:iam:::user/a", "arn:aws:iam::11112222333:user/a", "arn:aws:sts::111122223333:root",
				"arn:aws:iam::111122223333:user", "arn:aws:iam::111122223333:user/", "arn:aws:iam::111122223333:user//a", "arn:aws:iam::111122223333:user/p//a",
				"arn:aws:iam::111122223333:user/a/", "arn:aws:iam::111122223333:user/a b", "arn:aws:iam::111122223333:user/a:b", "arn:aws:iam::111122223333:user/é",
				"arn:aws:iam::111122223333:user/é/a", "arn:aws:iam::111122223333:user/" + long + "n", "arn:aws:iam::111122223333:User/a",
				"arn:aws:iam::111122223333:role/" + strings.Repeat("p", 511) + "/r", "arn:aws:iam::111122223333:assumed-role/R/s1",
				"arn:aws:sts::111122223333:assumed-role/R", "arn:aws:sts::111122223333:assumed-role/R/s", "arn:aws:sts::111122223333:assumed-role/R/",
				"arn:aws:sts::111122223333:assumed-role/p/R/s1", "arn:aws:sts::111122223333:assumed-role/R/*", "arn:aws:sts::111122223333:assumed-role//s1",
				"arn:aws:sts::111122223333:federated-user/b", "arn:aws:sts::111122223333:federated-user/" + long, "arn:aws:sts::111122223333:user/a",
				"arn:aws:s3:::bucket", "arn:aws:iam::111122223333:role/${aws:x}", " arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root ",
			},
		},
		"Service": {
			good: []string{"logs.amazonaws.com", "logs.us-east-1.amazonaws.com", "cloudtrail.aws.com", "logs.amazonaws.com.cn"},
			bad:  []string{"", "*", "logs", "amazonaws.com", "logs.*.amazonaws.com", "Logs.amazonaws.com", "logs..amazonaws.com", "logs.amazonaws.com.", strings.Repeat("a.", 127) + "b"},
		},
		"Federated": {
			good: []string{
				"accounts.google.com", "cognito-identity.amazonaws.com", "arn:aws:iam::111122223333:saml-provider/Okta", "arn:aws:iam::111122223333:oidc-provider/idp.example.com",
				"arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE",
			},
			bad: []string{
				"", "*", "google", "arn:aws:iam::111122223333:saml-provider/", "arn:aws:iam::111122223333:saml-provider/*", "arn:aws:iam:::saml-provider/Okta",
				"arn:aws:iam::111122223333:oidc-provider/", "arn:aws:iam::111122223333:oidc-provider/x", "arn:aws:iam::111122223333:oidc-provider/a.b/",
				"arn:aws:iam::111122223333:oidc-provider/b/c", "arn:aws:sts::111122223333:saml-provider/Okta", "arn:aws:iam::111122223333:user/a",
				"arn:aws:iam:us-east-1:111122223333:saml-provider/Okta",
			},
		},
		"CanonicalUser": {
			good: []string{hex64},
			bad:  []string{"", "*", hex64[1:], hex64 + "0", strings.ToUpper(hex64), "g" + hex64[1:]},
		},
		"Group": {bad: []string{"*"}},
	} {
		document := func(value string) string {
			return `{"Statement": {"Effect": "Deny", "Principal": {"` + kind + `": "` + value + `"}, "Action": "*", "Resource": "*"}}`
		}
		for _, value := range shapes.good {
			t.Run(kind+" "+value, func(t *testing.T) { parse(t, policy.KeyPolicy, document(value)) })
		}
		for _, value := range shapes.bad {
			t.Run("not "+kind+" "+value, func(t *testing.T) { refused(t, document(value)) })
		}
	}
}

func TestConditionShapes(t *testing.T) {
	document := func(condition string) string {
		return `{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", "Condition": ` + condition + `}}`
	}
	for _, operator := range []string{
		"", "stringEquals", "StringEqual", "StringEquals ", "ForAllValues:", "ForAnyValue:", "ForAllValues", "forAllValues:StringEquals", "ForSomeValues:StringEquals",
		"ForAllValues:ForAnyValue:StringEquals", "ForAllValues:ForAllValues:StringEquals", "StringEquals:ForAllValues", "StringEqualsIfExistsIfExists",
		"StringEqualsIfexists", "IfExists", "IfExistsStringEquals", "NullIfExists", "ForAllValues:Null", "ForAnyValue:Null", "BoolNot", "NotBool",
		"IpAddressEquals", "NotIPAddress", "BinaryNotEquals", "ArnEqualsIgnoreCase", "NumericLike", "DateLike",
	} {
		t.Run("no operator "+operator, func(t *testing.T) { refused(t, document(`{"`+operator+`": {"aws:x": "true"}}`)) })
	}
	for _, key := range []string{
		"", "aws", "aws:", ":x", "x/y", "/aws:x", "aws:x/", "aws:x:", "aws::x", "aws: x", " aws:x", "aws:x y", "a b:x", "aws:x*", "aws:${aws:x}", "\u212ams:x", "aws:/x",
		"aws:x/a\u0001b", "aws:x/\u0085",
	} {
		t.Run("no key "+key, func(t *testing.T) {
			refused(t, document(`{"StringEquals": {"`+strings.ReplaceAll(key, "\u0001", `\u0001`)+`": "true"}}`))
		})
	}
	for _, key := range []string{"aws:x", "AWS:X/y", "kms:EncryptionContext:aws:s3:arn", "aws:RequestTag/cost center", "accounts.google.com:aud", "oidc.example.com/id/7:sub"} {
		t.Run("key "+key, func(t *testing.T) { parse(t, policy.KeyPolicy, document(`{"StringEquals": {"`+key+`": "true"}}`)) })
	}
	for operator, shapes := range map[string]struct{ good, bad []string }{
		"NumericEquals": {
			good: []string{`7`, `-7.50`, `1e10`, `"007"`, `"-0"`, `"1E-4096"`, `[1, "2"]`},
			bad:  []string{`"seven"`, `""`, `"1,000"`, `"0x10"`, `" 7"`, `"+7"`, `".5"`, `"5."`, `"1e"`, `"1e5000"`, `1e99999`, `"1e-5000"`, `"--1"`, `"Infinity"`, `"${aws:x}"`, `true`, `[1, "x"]`},
		},
		"DateLessThan": {
			good: []string{
				`"2026"`, `"2026-01"`, `"2026-01-31"`, `"2026-01-31T10:00Z"`, `"2026-01-31T10:00:59Z"`, `"2026-01-31T10:00:00.123456789012Z"`, `"2026-01-31T10:00+14:00"`,
				`1772359200`, `"-1"`, `"999999999999999"`,
			},
			bad: []string{
				`""`, `"now"`, `"26-01"`, `"2026-1"`, `"2026-13"`, `"2026-00"`, `"2026-02-29"`, `"2026-01-00"`, `"2026-01-31T10:00"`, `"2026-01-31 10:00Z"`, `"2026-01-31T24:00Z"`,
				`"2026-01-31T10:60Z"`, `"2026-01-31T10:00:60Z"`, `"2026-01-31T10:00:00.Z"`, `"2026-01-31T10:00z"`, `"2026-01-31T10:00+1400"`, `"2026-01-31T10:00+24:00"`,
				`"2026-01-31T10:00:00Zx"`, `"2026-01-31T10Z"`, `"2026T10:00Z"`, `"2026-*"`, `1.5`, `"1000000000000000"`, `"-"`, `"${aws:x}"`, `false`,
			},
		},
		"IpAddress": {
			good: []string{`"10.0.0.0/8"`, `"10.0.0.1"`, `"10.0.0.7/8"`, `"0.0.0.0/0"`, `"::/0"`, `"2001:DB8::"`, `"2001:db8::1/128"`},
			bad: []string{
				`""`, `"10.0.0.0/33"`, `"10.0.0.0/-1"`, `"10.0.0.0/08"`, `"10.0.0/8"`, `"10.0.0.0/"`, `"/8"`, `"10.0.0.*"`, `"2001:db8::/129"`, `"fe80::1%eth0"`, `"::ffff:10.0.0.0/104"`,
				`"::ffff:10.0.0.1"`, `"localhost"`, `10`, `true`,
			},
		},
		"Bool":         {good: []string{`true`, `"false"`, `["true", false]`}, bad: []string{`"True"`, `"yes"`, `1`, `""`, `"${aws:x}"`, `["true", "x"]`}},
		"Null":         {good: []string{`true`, `"false"`, `["true", false]`}, bad: []string{`"TRUE"`, `0`, `""`, `"${aws:x}"`, `null`}},
		"BinaryEquals": {good: []string{`""`, `"AAEC"`, `"/+8="`}, bad: []string{`"AAE"`, `"AA EC"`, `"AA\nEC"`, `"_-8="`, `"/+9="`, `"${*}"`}},
		"StringEquals": {
			good: []string{`"${aws:x}"`, `"${aws:PrincipalTag/cost center}"`, `"${aws:x, 'd'}"`, `"${aws:x,''}"`, `"${*}${?}${$}"`, `"$"`, `"$ {"`, `"}"`, `"${aws:x, '}'}"`, `1`, `true`, `""`},
			bad: []string{
				`"${"`, `"${}"`, `"${aws:x"`, `"${x}"`, `"${aws:x,}"`, `"${aws:x, }"`, `"${aws:x, d}"`, `"${aws:x, 'd}"`, `"${aws:x, 'd'e}"`, `"${aws:x, 'd''}"`, `"${aws:x 'd'}"`, `"${ aws:x}"`,
				`"${aws:x }"`, `"${aws:x*}"`, `"${aws:x?}"`, `"${**}"`, `"${aws:x/${aws:y}}"`, `"${aws:x/a$b}"`, `"${aws:x, '"`, `"a${"`,
			},
		},
		"ArnLike": {good: []string{`"*"`, `"arn:*"`, `"${aws:x}"`, `""`}, bad: []string{`"${aws}"`}},
	} {
		for _, values := range shapes.good {
			t.Run(operator+" "+values, func(t *testing.T) { parse(t, policy.KeyPolicy, document(`{"`+operator+`": {"aws:x": `+values+`}}`)) })
		}
		for _, values := range shapes.bad {
			t.Run(operator+" not "+values, func(t *testing.T) { refused(t, document(`{"`+operator+`": {"aws:x": `+values+`}}`)) })
		}
	}
}

func TestAccepted(t *testing.T) {
	const rest = `"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"`
	for name, text := range map[string]string{
		"single statement":           `{"Statement": {` + rest + `}}`,
		"any order":                  `{"Statement": [{` + rest + `}], "Id": "x", "Version": "2008-10-17"}`,
		"white space":                " \t\r\n{ \"Statement\"\n:\t[ {" + rest + " } ] }\r\n",
		"escapes":                    `{"Statement": {` + rest + `, "\u0053id": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\uABcd"}}`,
		"no Action":                  `{"Statement": {"Effect": "Allow", "Principal": "*", "Resource": "*"}}`,
		"no Resource":                `{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*"}}`,
		"empty Sids":                 `{"Statement": [{"Sid": "", ` + rest + `}, {"Sid": "", ` + rest + `}]}`,
		"Sids that differ in case":   `{"Statement": [{"Sid": "a b", ` + rest + `}, {"Sid": "A b", ` + rest + `}]}`,
		"same key, other operators":  `{"Statement": {` + rest + `, "Condition": {"StringLike": {"aws:x": "1"}, "StringEquals": {"aws:X": "1"}}}}`,
		"odd actions":                `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": ["kms:?ecrypt", "kms:etKeyPolicy*", "s3:*", "execute-api:Invoke"], "Resource": "*"}}`,
		"longest document":           `{"Statement": {` + rest + `}}` + strings.Repeat(" ", 512<<10-len(`{"Statement": {`+rest+`}}`)),
		"replacement character":      `{"Statement": {` + rest + `, "Sid": "` + "\uFFFD" + `"}}`,
		"variables in braces (2008)": `{"Statement": {` + rest + `, "Condition": {"StringEquals": {"aws:x": "${"}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if d := parse(t, policy.KeyPolicy, text); d.Text() != text {
				t.Error("Text differs")
			}
		})
	}
}

func TestDocument(t *testing.T) {
	const text = `{"Version": "2012-10-17", "Id": "x", "Statement": [
		{"Sid": "a", "Effect": "Allow", "Principal": {"AWS": ["111122223333", "*"], "Service": "logs.amazonaws.com"}, "Action": "*", "Resource": "*", "Condition": {
			"ForAnyValue:StringEqualsIfExists": {"kms:EncryptionContext:aws:s3:arn": ["x"], "KMS:ViaService": "y"}, "Bool": {"aws:PrincipalTag/Team/Red": true}}},
		{"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "*", "Resource": "*", "Condition": {"ForAnyValue:NumericEquals": {"aws:x": 1}}},
		{"Sid": "c", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]}`
	d := parse(t, policy.KeyPolicy, text)
	if d.Text() != text || d.Version() != policy.Version2012 || d.Kind() != policy.KeyPolicy || d.Len() != 3 {
		t.Errorf("%s, kind %d, %d statements", d.Version(), d.Kind(), d.Len())
	}
	if d.Sid(0) != "a" || d.Sid(1) != "" || d.Sid(2) != "c" || d.Effect(0) != policy.Allow || d.Effect(1) != policy.Deny {
		t.Error("Sid or Effect")
	}
	conditions := []policy.ConditionRef{
		{Statement: 0, Operator: policy.Operator{Set: policy.ForAnyValue, Base: "StringEquals", IfExists: true}, Key: policy.Key{Name: "kms:encryptioncontext", Part: "aws:s3:arn"}},
		{Statement: 0, Operator: policy.Operator{Set: policy.ForAnyValue, Base: "StringEquals", IfExists: true}, Key: policy.Key{Name: "kms:viaservice"}},
		{Statement: 0, Operator: policy.Operator{Base: "Bool"}, Key: policy.Key{Name: "aws:principaltag", Part: "Team/Red"}},
		{Statement: 1, Operator: policy.Operator{Set: policy.ForAnyValue, Base: "NumericEquals"}, Key: policy.Key{Name: "aws:x"}},
	}
	if diff := cmp.Diff(conditions, slices.Collect(d.Conditions())); diff != "" {
		t.Errorf("Conditions: %s", diff)
	}
	principals := []policy.PrincipalRef{
		{Statement: 0, Type: "AWS", Value: "111122223333"},
		{Statement: 0, Type: "AWS", Value: "*"},
		{Statement: 0, Type: "Service", Value: "logs.amazonaws.com"},
		{Statement: 1, Type: "AWS", Value: "arn:aws:iam::111122223333:root", Negated: true},
		{Statement: 2, Type: "AWS", Value: "*"},
	}
	if diff := cmp.Diff(principals, slices.Collect(d.Principals())); diff != "" {
		t.Errorf("Principals: %s", diff)
	}
	for range d.Conditions() {
		break // a consumer may stop early
	}
	for range d.Principals() {
		break
	}
	for i, want := range []string{"ForAnyValue:StringEqualsIfExists", "ForAnyValue:StringEqualsIfExists", "Bool", "ForAnyValue:NumericEquals"} {
		if got := conditions[i].Operator.String(); got != want {
			t.Errorf("operator %s, want %s", got, want)
		}
	}
	if old := parse(t, policy.IdentityPolicy, `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`); old.Version() != policy.Version2008 || old.Kind() != policy.IdentityPolicy {
		t.Errorf("%s, kind %d", old.Version(), old.Kind())
	}
}

func TestSyntaxErrorText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{\n  \"Version\": \"x\"}", "policy: line 2, column 14: Version: must be 2008-10-17 or 2012-10-17"},
		{"[", "policy: line 1, column 2: expected a JSON value"},
	} {
		if _, err := policy.Parse(c.text, policy.KeyPolicy); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
