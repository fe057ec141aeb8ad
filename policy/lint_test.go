package policy_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/policy"
)

// place takes the marks ¶ out of s and returns findings with the positions of what follows them, in order.
func place(s string, findings ...policy.Finding) (text string, placed []policy.Finding) {
	for i, part := range strings.Split(s, "¶") {
		if i > 0 {
			f := findings[i-1]
			f.Line, f.Column = 1+strings.Count(text, "\n"), 1+len([]rune(text[strings.LastIndexByte(text, '\n')+1:]))
			placed = append(placed, f)
		}
		text += part
	}
	if len(placed) != len(findings) {
		panic("as many marks as findings")
	}
	return text, placed
}

func wantFindings(t *testing.T, kind policy.Kind, marked string, findings ...policy.Finding) {
	t.Helper()
	text, want := place(marked, findings...)
	if diff := cmp.Diff(want, policy.Lint(text, kind)); diff != "" {
		t.Errorf("(-want +got) %s\n%s", diff, text)
	}
}

func warning(path, message string) policy.Finding {
	return policy.Finding{Severity: policy.Warning, Path: path, Message: message}
}

func TestLintFindsEveryFault(t *testing.T) {
	fault := func(path, message string) policy.Finding { return policy.Finding{Path: path, Message: message} }
	wantFindings(t, policy.KeyPolicy, `{
	"Version": ¶"2012-10-18",
	¶"Author": "",
	"Id": ¶7,
	"Statement": [
		{"Sid": "é", "Effect": ¶"allow", "NotPrincipal": ¶"*", "NotAction": ["*", ¶"Decrypt", ¶":x"], "Resource": [¶"x", "*", ¶7], ¶"Comment": "",
		 "Condition": {¶"Equals": {"aws:x": "y"}, "NumericEquals": {"aws:x": [¶"y", 7, ¶null], ¶"x": ¶"y", ¶"AWS:X": 7}, "Bool": ¶{}, "Null": ¶[]}},
		¶"x",
		¶{"Sid": ¶"é", "Principal": {"AWS": [¶"alice", "111122223333"], "Group": ¶"g", "Service": ¶[]}, "NotPrincipal": ¶{}, "Action": "*", "NotAction": ¶"*", "Condition": ¶7},
		{"Sid": ¶8, "Effect": "Allow", "NotPrincipal": ¶{"AWS": ¶"bob"}, "Condition": {"ForAllValues:StringLike": {¶"aws:RequestTag/x": "y"}}}
	]}`,
		fault("Version", "must be 2008-10-17 or 2012-10-17"), fault("", "unknown element; names are compared with case"), fault("Id", "must be a string"),
		fault("Statement[0].Effect", "must be Allow or Deny"), fault("Statement[0].NotPrincipal", "* exempts everybody, so that the statement denies nobody"),
		fault("Statement[0].NotAction", "must be * or a service and a name, such as kms:Decrypt"),
		fault("Statement[0].NotAction", "must be * or a service and a name, such as kms:Decrypt"),
		fault("Statement[0].Resource", "resource is neither * nor an ARN"), fault("Statement[0].Resource", "must be a string or a list of strings"),
		fault("Statement[0]", "unknown element; names are compared with case"), fault("Statement[0].Condition", "unknown operator; names are compared with case"),
		fault("Statement[0].Condition.NumericEquals", "value is not a decimal number"), fault("Statement[0].Condition.NumericEquals", "must be a value or a list of values"),
		fault("Statement[0].Condition.NumericEquals", "malformed condition key"), fault("Statement[0].Condition.NumericEquals", "value is not a decimal number"),
		fault("Statement[0].Condition.NumericEquals", "condition key appears twice; keys are compared without case"),
		fault("Statement[0].Condition.Bool", "must be an object with at least one condition key"),
		fault("Statement[0].Condition.Null", "must be an object with at least one condition key"),
		fault("Statement[1]", "must be an object"), fault("Statement[2].Effect", "is missing"), fault("Statement[2].Sid", "another statement has the same Sid"),
		fault("Statement[2].Principal", "principal is neither *, an account id nor the ARN of a principal"),
		fault("Statement[2].Principal", "unknown type of principal: AWS, Service, Federated or CanonicalUser"), fault("Statement[2].Principal", "must not be empty"),
		fault("Statement[2].NotPrincipal", "cannot stand beside Principal"), fault("Statement[2].NotAction", "cannot stand beside Action"),
		fault("Statement[2].Condition", "must be an object"), fault("Statement[3].Sid", "must be a string"),
		fault("Statement[3].NotPrincipal", "with Allow would allow everybody else; it goes with Deny only"),
		fault("Statement[3].NotPrincipal", "principal is neither *, an account id nor the ARN of a principal"),
		fault("Statement[3].Condition.ForAllValues:StringLike",
			"OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches requests without the key or with an empty value"))
	wantFindings(t, policy.IdentityPolicy, `{"Statement": [¶¶¶{"Principal": ¶"*"}, {"Effect": "Deny", "NotPrincipal": ¶7, "Action": "*", "Resource": "*"}]}`,
		fault("Statement[0].Effect", "is missing"), fault("Statement[0].Action", "is missing"), fault("Statement[0].Resource", "is missing"),
		fault("Statement[0].Principal", "an identity policy names no principals"), fault("Statement[1].NotPrincipal", "an identity policy names no principals"))
	wantFindings(t, policy.KeyPolicy, "{\n \"a\": 1,\n ¶\"a\": 2, 'b'}", fault("", "member name appears twice in one object"))
	wantFindings(t, 3, `¶{}`, fault("", "unknown kind of policy"))
	wantFindings(t, policy.KeyPolicy, `¶[]`, fault("", "must be an object"))
	wantFindings(t, policy.KeyPolicy, `¶{"Version": "2008-10-17"}`, fault("", "Statement is missing"))
	// A statement without faults is judged beside one that has some; what the document lacks as a whole is not.
	wantFindings(t, policy.KeyPolicy, `{"Statement": [{"Effect": "Allow", "Principal": ¶"*", "Action": "kms:Decrypt", "Resource": "*"}, {"Effect": ¶7, "Principal": "*", "Action": "*", "Resource": "*"}]}`,
		warning("Statement[0].Principal", "allows everybody, of every account"), fault("Statement[1].Effect", "must be Allow or Deny"))
}

const (
	everybodyMay   = "allows everybody, of every account"
	notWho         = "allows everybody, of every account: the conditions do not tell who asks"
	chosenWho      = "allows everybody, of every account: what the conditions tell of who asks, every account chooses for itself"
	inert          = "is missing, so that the statement does nothing"
	unknownAction  = "unknown action: AWS KMS has none that this covers"
	otherService   = "another service's action, over which a key policy has no say"
	noSay          = "an action over which a key policy has no say"
	keyless        = "an action that is about no one key: its resource must be *"
	everyOther     = "with Allow allows every other action, of every service"
	everyOtherARN  = "with Allow allows everything that it does not name"
	shortARN       = "has fewer than the six parts of an ARN, and so covers nothing"
	aliasNotKey    = "an alias never stands for its key, so that this covers none"
	notKey         = "is neither * nor a key, so that it covers nothing that a key policy has a say over"
	unknownKey     = "unknown condition key, which no request has"
	noSetOperator  = "the key may have several values: without ForAllValues or ForAnyValue no Allow meets this, and every Deny"
	missingPasses  = "a request without the key meets this; a Null condition on the key, of value false, would keep it out"
	noVariable     = "is text and no policy variable: those need Version 2012-10-17"
	everyName      = "exempts only callers whose every name it lists: the account, and the user or the role and its session"
	noVersion      = "is missing: without it this is 2008-10-17, which has no policy variables"
	unchangeable   = "nobody could change this policy: no statement allows a caller kms:PutKeyPolicy"
	hardlyChanged  = "only who meets conditions could change this policy: every statement that allows kms:PutKeyPolicy has some"
	deniesChanges  = "denies everybody to change this policy, and so to take this back"
	powerless      = "no statement allows an account anything: identity policies and the root user have no power over the key"
	noSayResources = "an action over which a resource control policy has no say"
)

// Each statement stands second in a document that has nothing else to warn of.
func TestLintStatements(t *testing.T) {
	const (
		allow = `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/r"}, `
		deny  = `{"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:role/r"}, `
		own   = `{"Effect": "Allow", ` // of an identity policy
		never = `{"Effect": "Deny", `
		use   = `"Action": "kms:Decrypt", "Resource": "*"`
		all   = `{"Effect": "Allow", "Principal": "*", ` // of a resource control policy
	)
	everybody := func(condition string) string {
		return `{"Effect": "Allow", "Principal": {"AWS": ["444455556666", ¶"*"]}, ` + use + `, "Condition": {` + condition + `}}`
	}
	insiders := func(condition string) string { return strings.Replace(everybody(condition), "¶", "", 1) }
	when := func(condition string) string { return allow + use + `, "Condition": {` + condition + `}}` }
	type row struct {
		name, statement, path, message string
	}
	for kind, rows := range map[policy.Kind][]row{
		policy.KeyPolicy: {
			{"use", allow + use + `}`, "", ""},
			{"wildcards", allow + `"Action": ["kms:*", "KMS:re?NCRYPT*", "*", "kms:Describe*", "kms:Re*", "kms:*G*"], "Resource": "arn:aws:kms:*:111122223333:key/*"}`, "", ""},

			{"everybody", `{"Effect": "Allow", "Principal": ¶"*", ` + use + `}`, "Principal", everybodyMay},
			{"everybody, in an object", `{"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com", "AWS": ¶"*"}, ` + use + `}`, "Principal", everybodyMay},
			{"everybody is denied", `{"Effect": "Deny", "Principal": "*", ` + use + `}`, "", ""},
			{"by what is asked", everybody(`"StringEquals": {"kms:EncryptionContext:App": "x", "kms:KeySpec": "y"}, "Bool": {"aws:SecureTransport": true}`), "Principal", notWho},
			{"by account", insiders(`"StringEquals": {"aws:PrincipalAccount": ["111122223333", "444455556666"]}`), "", ""},
			{"by account, without case", insiders(`"StringEqualsIgnoreCase": {"AWS:principalaccount": "111122223333"}`), "", ""},
			{"by what is not the account", everybody(`"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}`), "Principal", notWho},
			{"by account, if there is one", everybody(`"StringEqualsIfExists": {"aws:PrincipalAccount": "111122223333"}`), "Principal", notWho},
			{"by there being an account", everybody(`"Null": {"aws:PrincipalAccount": false}`), "Principal", notWho},
			{"by any account", everybody(`"StringLike": {"aws:PrincipalAccount": ["111122223333", "*"]}`), "Principal", notWho},
			{"by account, as a number", everybody(`"NumericGreaterThan": {"aws:PrincipalAccount": 0}`), "Principal", notWho},
			{"by its own account", everybody(`"StringEquals": {"aws:PrincipalAccount": "${kms:CallerAccount}"}`), "Principal", notWho},
			{"by the key's account", insiders(`"StringEquals": {"aws:PrincipalAccount": "${aws:ResourceAccount}"}`), "", ""},
			{"by what the key's tag says", everybody(`"StringEquals": {"aws:PrincipalTag/team": "${aws:ResourceTag/team}"}`), "Principal", chosenWho},
			{"by organization", insiders(`"StringEquals": {"aws:PrincipalOrgID": "o-1", "kms:KeySpec": "x"}`), "", ""},
			{"by unit", insiders(`"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-1/*"}`), "", ""},
			{"by user id", insiders(`"StringLike": {"aws:userid": "AROAEXAMPLE:*"}`), "", ""},
			{"by caller's account", insiders(`"StringEquals": {"kms:CallerAccount": "111122223333"}`), "", ""},
			{"by source account", insiders(`"StringEquals": {"aws:SourceAccount": "111122223333", "aws:SourceOrgID": "o-1"}`), "", ""},
			{"by bucket", insiders(`"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"}`), "", ""},
			{"by network", insiders(`"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}`), "", ""},
			{"by any IPv4 address", everybody(`"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "0.0.0.0/0"]}`), "Principal", notWho},
			{"by any IPv6 address", everybody(`"IpAddress": {"aws:SourceIp": "::/0"}`), "Principal", notWho},
			{"by what is no address", everybody(`"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}`), "Principal", notWho},
			{"by VPC", insiders(`"StringEquals": {"aws:SourceVpc": "vpc-1"}`), "", ""},
			{"by endpoint", insiders(`"StringEquals": {"aws:SourceVpce": "vpce-1"}`), "", ""},
			{"by role", insiders(`"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/app/*"}`), "", ""},
			{"by role, as text", insiders(`"StringEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/app"}`), "", ""},
			{"by role of any account", everybody(`"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/app"}`), "Principal", chosenWho},
			{"by role of some accounts", everybody(`"StringLike": {"aws:PrincipalArn": "arn:aws:iam::1111????????:role/app"}`), "Principal", chosenWho},
			{"by role, over the colons", everybody(`"StringLike": {"aws:PrincipalArn": "arn:aws:iam:*role/app"}`), "Principal", chosenWho},
			{"by any ARN", everybody(`"ArnLike": {"aws:PrincipalArn": "arn:*:*:*:*:*"}`), "Principal", notWho},
			{"by user name", everybody(`"StringEquals": {"aws:username": "alice"}`), "Principal", chosenWho},
			{"by tag", everybody(`"StringEquals": {"aws:PrincipalTag/team": "blue"}`), "Principal", chosenWho},
			{"by tag of the request", everybody(`"StringEquals": {"aws:RequestTag/team": "blue"}`), "Principal", notWho},
			{"by service", everybody(`"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}`), "Principal", chosenWho},
			{"by service and account", insiders(`"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com", "kms:CallerAccount": "111122223333"}`), "", ""},
			{"by all of the units", insiders(`"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": "o-1/*"}, "Null": {"aws:PrincipalOrgPaths": "false"}`), "", ""},

			{"no action", `¶` + allow + `"Resource": "*"}`, "Action", inert},
			{"no resource", `¶` + deny + `"NotAction": "kms:Decrypt"}`, "Resource", inert},
			{"misspelt action", allow + `"Action": ["kms:Decrypt", ¶"kms:Descrypt"], "Resource": "*"}`, "Action", unknownAction},
			{"no such prefix", deny + `"Action": ¶"kms:evoke*", "Resource": "*"}`, "Action", unknownAction},
			{"no whole action", allow + `"Action": ¶"kms:ReEncrypt", "Resource": "*"}`, "Action", unknownAction},
			{"misspelt exception", deny + `"NotAction": ¶"kms:Descrypt", "Resource": "*"}`, "NotAction", unknownAction},
			{"other service", allow + `"Action": ["kms:Decrypt", ¶"s3:*"], "Resource": "*"}`, "Action", otherService},
			{"exception of another service", deny + `"NotAction": "s3:*", "Resource": "*"}`, "", ""},
			{"action without a key", allow + `"Action": ["kms:Decrypt", ¶"KMS:CreateKey"], "Resource": "*"}`, "Action", noSay},
			{"actions without a key", deny + `"Action": ¶"kms:*CustomKeyStore*", "Resource": "*"}`, "Action", noSay},
			{"retiring", deny + `"Action": ¶"kms:RetireGrant", "Resource": "*"}`, "Action", noSay},
			{"retiring or listing", deny + `"Action": ¶"kms:*etir*", "Resource": "*"}`, "Action", noSay},
			{"all but retiring", deny + `"NotAction": "kms:RetireGrant", "Resource": "*"}`, "", ""},
			{"every other action", allow + `"NotAction": ¶["kms:PutKeyPolicy"], "Resource": "*"}`, "NotAction", everyOther},

			{"every other resource", allow + `"Action": "kms:Decrypt", "NotResource": ¶"` + keyARN + `"}`, "NotResource", everyOtherARN},
			{"key", allow + `"Action": "kms:Decrypt", "Resource": ["` + keyARN + `", "arn:aws*:kms:*:*:*", "arn:aws:kms:eu-central-1:111122223333:k??/mrk-*"]}`, "", ""},
			{"key of a tag", allow + `"Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:${aws:PrincipalTag/kind}"}`, "", ""},
			{"alias", allow + `"Action": "kms:Decrypt", "Resource": [¶"arn:aws:kms:eu-central-1:111122223333:alias/a", "*"]}`, "Resource", aliasNotKey},
			{"alias in a Deny", deny + `"Action": "kms:CreateAlias", "Resource": ¶"arn:aws:kms:eu-central-1:111122223333:alias/*"}`, "Resource", aliasNotKey},
			{"bucket", deny + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:s3:::bucket"}`, "Resource", notKey},
			{"no key", allow + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:eu-central-1:111122223333:key/"}`, "Resource", notKey},
			{"key of a colon", allow + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:eu-central-1:111122223333:key/:"}`, "Resource", notKey},
			{"key, with case", allow + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:eu-central-1:111122223333:Key/x"}`, "Resource", notKey},
			{"few parts", allow + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:*"}`, "Resource", shortARN},
			{"few parts in a Deny", deny + `"Action": "kms:Decrypt", "Resource": ["arn:aws:kms:*", "arn:*", "arn:aws:kms:*/1234"]}`, "", ""},
			{"few parts, and no key, in a Deny", deny + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:us-east-1:111122223333"}`, "Resource", notKey},
			{"few parts exempt nothing", deny + `"Action": "kms:Decrypt", "NotResource": ¶"arn:aws:kms:*"}`, "NotResource", shortARN},

			{"unknown condition key", when(`"StringEquals": {¶"kms:Context:App": "x"}`), "Condition.StringEquals", unknownKey},
			{"unknown global condition key", when(`"Null": {¶"aws:PrincipalOrg": true}`), "Condition.Null", unknownKey},
			{"condition key without its name", when(`"StringEquals": {¶"kms:EncryptionContext": "x"}`), "Condition.StringEquals", unknownKey},
			{"condition key with a name too many", when(`"StringEquals": {¶"aws:userid/x": "x"}`), "Condition.StringEquals", unknownKey},
			{"condition key of another vendor", when(`"StringEquals": {"accounts.google.com:aud": "x", "s3:prefix": "y"}`), "", ""},
			{"free parts", when(`"StringEquals": {"kms:RecipientAttestation:PCR0": "x", "aws:PrincipalTag/a/b": "y"}`), "", ""},
			{"multivalued", when(`"StringEquals": {"kms:KeySpec": "x", ¶"kms:ResourceAliases": "alias/a"}`), "Condition.StringEquals", noSetOperator},
			{"multivalued in a Deny", deny + use + `, "Condition": {"StringNotLikeIfExists": {¶"AWS:tagkeys": "x"}}}`, "Condition.StringNotLikeIfExists", noSetOperator},
			{"multivalued, with a set operator", when(`"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}, "Null": {"aws:CalledVia": true}`), "", ""},
			{"all of none", when(`"ForAllValues:StringEquals": {¶"kms:EncryptionContextKeys": ["App", "Stage"]}`), "Condition.ForAllValues:StringEquals", missingPasses},
			{"all of none of a single value", when(`"ForAllValues:StringNotEquals": {¶"aws:PrincipalTag/x": "y"}`), "Condition.ForAllValues:StringNotEquals", missingPasses},
			{"all of some", when(`"Null": {"KMS:EncryptionContextKeys": [false]}, "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "App"}`), "", ""},
			{"all of none, and there may be none", when(`"Null": {"kms:EncryptionContextKeys": [false, true]}, "ForAllValues:StringEquals": {¶"kms:EncryptionContextKeys": "App"}`),
				"Condition.ForAllValues:StringEquals", missingPasses},
			{"all, and another is there", when(`"Null": {"aws:PrincipalTag/x": false}, "ForAllValues:StringEquals": {¶"aws:PrincipalTag/y": "App"}`),
				"Condition.ForAllValues:StringEquals", missingPasses},
			{"all, if there are any", when(`"ForAllValues:StringEqualsIfExists": {"kms:EncryptionContextKeys": "App"}`), "", ""},
			{"all of none are denied", deny + use + `, "Condition": {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "App"}}}`, "", ""},

			{"exempt", `{"Effect": "Deny", "NotPrincipal": ¶{"AWS": ["111122223333", "arn:aws:iam::111122223333:user/a"]}, ` + use + `}`, "NotPrincipal", everyName},
			{"changes are denied", `¶{"Effect": "Deny", "Principal": "*", "Action": "kms:Put*", "Resource": "*"}`, "", deniesChanges},
			{"all but use is denied", `¶{"Effect": "Deny", "Principal": "*", "NotAction": "kms:Decrypt", "Resource": "*"}`, "", deniesChanges},
			{"changes are denied to some", `{"Effect": "Deny", "Principal": {"AWS": "444455556666"}, "Action": "kms:*", "Resource": "*"}`, "", ""},
			{"changes are denied at times", `{"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": false}}}`, "", ""},
			{"changes of some keys are denied", `{"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "` + keyARN + `"}`, "", ""},
		},
		policy.IdentityPolicy: {
			{"use", own + use + `}`, "", ""},
			{"other services", own + `"Action": ["s3:*", "logs:Put*"], "Resource": ["arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::b"]}`, "", ""},
			{"alias", own + `"Action": "kms:Decrypt", "Resource": ["` + keyARN + `", ¶"arn:aws:kms:*:111122223333:alias/app"]}`, "Resource", aliasNotKey},
			{"alias in a Deny", never + `"NotAction": ["kms:*Alias*"], "Resource": ¶"arn:aws:kms:*:111122223333:alias/app"}`, "Resource", aliasNotKey},
			{"alias of its actions", own + `"Action": "kms:*Alias", "Resource": ["arn:aws:kms:*:111122223333:alias/app", "arn:aws:kms:*:111122223333:key/*"]}`, "", ""},
			{"alias or key", own + `"Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:*"}`, "", ""},
			{"few parts", own + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:eu-central-1:111122223333"}`, "Resource", shortARN},
			{"action without a key", own + `"Action": ["kms:Decrypt", ¶"kms:CreateKey"], "Resource": "arn:aws:kms:*:111122223333:key/*"}`, "Action", keyless},
			{"action without a key, denied", never + `"Action": ¶"kms:GenerateRandom", "Resource": "arn:*"}`, "Action", keyless},
			{"action without a key, on everything", own + `"Action": "kms:CreateKey", "Resource": ["arn:aws:kms:*:111122223333:key/*", "*"]}`, "", ""},
			{"action without a key, on all but a key", never + `"Action": "kms:CreateKey", "NotResource": "` + keyARN + `"}`, "", ""},
			{"exceptions without a key", never + `"NotAction": "kms:CreateKey", "Resource": "` + keyARN + `"}`, "", ""},
			{"retiring", never + `"Action": "kms:RetireGrant", "Resource": "*"}`, "", ""},
			{"misspelt action", never + `"Action": ¶"kms:Descrypt", "Resource": "*"}`, "Action", unknownAction},
			{"every other action", own + `"NotAction": ¶"iam:*", "Resource": "*"}`, "NotAction", everyOther},
			{"every other action is denied", never + `"NotAction": "kms:*", "Resource": "*"}`, "", ""},
			{"every other resource", own + `"Action": "kms:*", "NotResource": ¶["` + keyARN + `"]}`, "NotResource", everyOtherARN},
			{"unknown condition key", own + use + `, "Condition": {"Bool": {¶"aws:MFA": true}}}`, "Condition.Bool", unknownKey},
			{"multivalued", own + use + `, "Condition": {"StringEquals": {¶"kms:ResourceAliases": "alias/a"}}}`, "Condition.StringEquals", noSetOperator},
			{"all of none", own + use + `, "Condition": {"ForAllValues:StringEquals": {¶"aws:RequestTag/x": "y"}}}`, "Condition.ForAllValues:StringEquals", missingPasses},
		},
		policy.ResourceControlPolicy: {
			{"everybody", all + `"Action": "*", "Resource": "*"}`, "", ""},
			{"other services", all + `"Action": "s3:*", "Resource": "arn:aws:s3:::b"}`, "", ""},
			{"changes are denied", strings.Replace(all, "Allow", "Deny", 1) + `"Action": "kms:*", "Resource": "*"}`, "", ""},
			{"retiring", all + `"Action": [¶"kms:Retire*", "kms:Re*"], "Resource": "*"}`, "Action", noSayResources},
			{"without a key", all + `"Action": ¶"kms:ListKeys", "Resource": "` + keyARN + `"}`, "Action", keyless},
			{"alias", all + `"Action": "kms:Decrypt", "Resource": ¶"arn:aws:kms:*:111122223333:alias/app"}`, "Resource", aliasNotKey},
		},
	} {
		first := map[policy.Kind]string{
			policy.KeyPolicy:             `{"Sid": "é", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`,
			policy.IdentityPolicy:        `{"Sid": "é", "Effect": "Allow", "Action": "kms:*", "Resource": "*"}`,
			policy.ResourceControlPolicy: `{"Sid": "é", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}`,
		}[kind]
		for _, r := range rows {
			t.Run(fmt.Sprint(kind, " ", r.name), func(t *testing.T) {
				document := "{\"Version\": \"2012-10-17\",\n\"Statement\": [\n" + first + ", " + r.statement + "]}"
				if !strings.Contains(r.statement, "¶") {
					wantFindings(t, kind, document)
					return
				}
				path := "Statement[1]"
				if r.path != "" {
					path += "." + r.path
				}
				wantFindings(t, kind, document, warning(path, r.message))
			})
		}
	}
}

// What no single statement is to blame for.
func TestLintDocuments(t *testing.T) {
	const (
		account   = `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"}`
		admin     = `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/admin"}, "Action": "kms:PutKeyPolicy", "Resource": "*"}`
		condition = `, "Condition": {"Bool": {"aws:MultiFactorAuthPresent": true}}}`
		describes = `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:Describe*", "Resource": "*"}`
	)
	guarded := strings.TrimSuffix(admin, "}") + condition
	document := func(statements ...string) string {
		return `{"Version": "2012-10-17", "Statement": ¶[` + strings.Join(statements, ", ") + `]}`
	}
	clean := func(statements ...string) string { return strings.Replace(document(statements...), "¶", "", 1) }
	for _, c := range []struct {
		name, document string
		want           []policy.Finding
	}{
		{"account", clean(account), nil},
		{"account in one statement", `{"Version": "2012-10-17", "Statement": ` + account + `}`, nil},
		{"account id", clean(strings.Replace(account, "arn:aws:iam::111122223333:root", "111122223333", 1)), nil},
		{"account that may look, and an administrator", clean(describes, admin), nil},
		{"account that may look, and one who may come with a second factor", document(describes, guarded), []policy.Finding{warning("Statement", hardlyChanged)}},
		{"one of two needs no second factor", clean(guarded, account), nil},
		{"account that may look only", document(describes), []policy.Finding{warning("Statement", unchangeable)}},
		{"in one statement", `{"Version": "2012-10-17", "Statement": ¶` + describes + `}`, []policy.Finding{warning("Statement", unchangeable)}},
		{"administrator only", document(admin), []policy.Finding{warning("Statement", powerless)}},
		{"account that may do nothing", document(admin, "¶"+strings.Replace(account, `, "Resource": "*"`, "", 1)),
			[]policy.Finding{warning("Statement", powerless), warning("Statement[1].Resource", inert)}},
		{"account that may do nothing, in other words", document(admin, "¶"+strings.Replace(account, `"Action": "kms:*", `, "", 1)),
			[]policy.Finding{warning("Statement", powerless), warning("Statement[1].Action", inert)}},
		{"account that may do nothing to keys", document(admin, strings.Replace(account, `"Resource": "*"`, `"Resource": ¶"arn:aws:s3:::b"`, 1)),
			[]policy.Finding{warning("Statement", powerless), warning("Statement[1].Resource", notKey)}},
		{"account of some keys", clean(strings.Replace(account, `"Resource": "*"`, `"Resource": "arn:aws:kms:*:111122223333:key/*"`, 1)), nil},
		{"account of all other keys", `{"Version": "2012-10-17", "Statement": [` + strings.Replace(account, `"Resource": "*"`, `"NotResource": ¶"`+keyARN+`"`, 1) + `]}`,
			[]policy.Finding{warning("Statement[0].NotResource", everyOtherARN)}},
		{"account that is denied", document(admin, strings.Replace(account, "Allow", "Deny", 1)), []policy.Finding{warning("Statement", powerless)}},
		{"everybody in an organization", clean(`{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}`, admin), nil},
		{"service only", strings.Replace(document(`{"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "kms:*", "Resource": "*"}`), "¶", "¶¶", 1),
			[]policy.Finding{warning("Statement", unchangeable), warning("Statement", powerless)}},
		{"identity provider", clean(`{"Effect": "Allow", "Principal": {"Federated": "accounts.google.com"}, "Action": "kms:*", "Resource": "*"}`, describes), nil},
		{"no version", `¶{"Statement": [` + account + `]}`, []policy.Finding{warning("Version", noVersion)}},
		{"variables without a version", `¶{"Statement": [` + account + `, {"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "NotAction": "kms:Decrypt",
			"Resource": ["*", ¶¶"arn:aws:kms:*:111122223333:key/${aws:PrincipalTag/key}"],
			"Condition": {"StringLike": {"aws:username": ["x", ¶"${kms:EncryptionContext:User}"], "aws:userid": "$"}, "ArnLike": {"aws:PrincipalArn": ¶"${*}"},
				"Bool": {"aws:SecureTransport": false}}}]}`,
			[]policy.Finding{warning("Version", noVersion), warning("Statement[1].Resource", noVariable), warning("Statement[1].Resource", notKey),
				warning("Statement[1].Condition.StringLike", noVariable), warning("Statement[1].Condition.ArnLike", noVariable)}},
		{"variables in the old version", `{"Version": "2008-10-17", "Statement": [` + account + `, {"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "Action": "kms:Decrypt",
			"Resource": "*", "Condition": {"StringEquals": {"aws:username": ¶"${kms:EncryptionContext:User}"}}}]}`,
			[]policy.Finding{warning("Statement[1].Condition.StringEquals", noVariable)}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFindings(t, policy.KeyPolicy, c.document, c.want...) })
	}
	for _, kind := range []policy.Kind{policy.IdentityPolicy, policy.ResourceControlPolicy} {
		who := map[policy.Kind]string{policy.ResourceControlPolicy: `"Principal": "*", `}[kind]
		wantFindings(t, kind, `¶{"Statement": {"Effect": "Deny", `+who+`"Action": "kms:*", "Resource": "*"}}`, warning("Version", noVersion))
	}
}

// actions are all of AWS KMS, as its documentation spells them.
const actions = `CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey Decapsulate Decrypt DeleteAlias DeleteCustomKeyStore
	DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DescribeKey DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey EnableKeyRotation
	Encapsulate Encrypt GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom
	GetKeyLastUsage GetKeyPolicy GetKeyRotationStatus GetParametersForImport GetPublicKey ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations
	ListKeys ListResourceTags ListRetirableGrants PutKeyPolicy ReEncryptFrom ReEncryptTo ReplicateKey RetireGrant RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion
	Sign SynchronizeMultiRegionKey TagResource UntagResource UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion Verify VerifyMac`

func TestLintKnowsEveryAction(t *testing.T) {
	all := strings.Fields(actions)
	if len(all) != 58 {
		t.Fatalf("%d actions", len(all))
	}
	for _, name := range all {
		document := `{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": ["kms:` + name + `", ¶"kms:` + name + `?"], "Resource": "*"}}`
		wantFindings(t, policy.IdentityPolicy, document, warning("Statement.Action", unknownAction))
		document = strings.Replace(document, "?", "s*", 1)
		wantFindings(t, policy.IdentityPolicy, document, warning("Statement.Action", unknownAction))
	}
}

func TestFindingText(t *testing.T) {
	text := "{\n \"Statement\": {\"Effect\": \"Allow\", \"NotAction\": \"iam:*\", \"Resource\": 7}}"
	got := fmt.Sprint(policy.Lint(text, policy.IdentityPolicy), policy.Lint("[", policy.IdentityPolicy))
	want := "[line 2, column 69: error: Statement.Resource: must be a string or a list of strings] [line 1, column 2: error: expected a JSON value]"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := warning("Version", "is old").String(), "line 0, column 0: warning: Version: is old"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// However much is wrong, a thousand findings are all, faults before warnings; and the one that Parse returns is among them.
func TestLintIsBounded(t *testing.T) {
	count := func(findings []policy.Finding) (faults, warnings int) {
		for _, f := range findings {
			if f.Severity == policy.Error {
				faults++
			} else {
				warnings++
			}
		}
		return faults, warnings
	}
	document := func(good, bad int) string {
		statements := slices.Repeat([]string{`{"Effect":"Allow","NotAction":"*","Resource":"*"}`}, good)
		return `{"Statement":[` + strings.Join(append(statements, slices.Repeat([]string{`{"Effect":1,"Action":"*","Resource":"*"}`}, bad)...), ",") + `]}`
	}
	for _, c := range []struct{ good, bad, faults, warnings int }{
		{10, 3, 3, 10}, {1300, 0, 0, 1000}, {999, 0, 0, 1000}, {998, 0, 0, 999}, {1300, 400, 400, 600}, {500, 1500, 1000, 0}, {0, 1001, 1000, 0}, {500, 1000, 1000, 0}, {500, 999, 999, 1},
	} {
		text := document(c.good, c.bad)
		findings := policy.Lint(text, policy.IdentityPolicy)
		if faults, warnings := count(findings); faults != c.faults || warnings != c.warnings {
			t.Errorf("%d good and %d bad statements: %d faults and %d warnings, want %d and %d", c.good, c.bad, faults, warnings, c.faults, c.warnings)
		}
		checkFindings(t, text, policy.IdentityPolicy)
	}
}

// checkFindings checks that Lint agrees with Parse, stays within its bounds and does not repeat the text.
func checkFindings(t *testing.T, text string, kind policy.Kind) []policy.Finding {
	t.Helper()
	findings := policy.Lint(text, kind)
	_, err := policy.Parse(text, kind)
	refused, found := (*policy.SyntaxError)(nil), false
	if err != nil {
		refused, _ = errors.AsType[*policy.SyntaxError](err)
	}
	lines, words := strings.Split(text, "\n"), map[string]bool{}
	for i, f := range findings {
		at := policy.SyntaxError{Line: f.Line, Column: f.Column, Path: f.Path, Message: f.Message}
		checkPlace(t, lines, f.Line, f.Column)
		if !words[f.Message] {
			checkWords(t, text, f.Path, f.Message)
			words[f.Message] = true
		}
		if f.Severity > policy.Warning || f.Severity == policy.Error && refused == nil {
			t.Fatalf("%v in what Parse accepts", f)
		}
		found = found || f.Severity == policy.Error && at == *refused
		if before := findings[max(0, i-1)]; before.Line > f.Line || before.Line == f.Line && before.Column > f.Column {
			t.Fatalf("%v comes after %v", f, before)
		}
	}
	if found != (err != nil) || len(findings) > 1000 {
		t.Fatalf("%d findings, Parse: %v: %v", len(findings), err, findings)
	}
	return findings
}

// What Lint says of a generated document is true of the requests that the matcher sees.
func TestLintTellsTheTruth(t *testing.T) {
	g := newGenerator(4711)
	told := map[string]int{}
	keys := []string{keyARN, "arn:aws:kms:eu-central-1:444455556666:key/mrk-1", "arn:aws-cn:kms:cn-north-1:111122223333:key/x"}
	anybody := func(v policy.Verdict) bool {
		return v.Principal.Found() || v.Role.Found() || v.Everyone.Found() || v.Account.Found()
	}
	// Each tells whether a request, on a key where it is of a key policy, shows that the finding is wrong.
	refutes := map[string]func(d *policy.Document, statement policy.Index, r *policy.Request) bool{
		inert: func(d *policy.Document, i policy.Index, r *policy.Request) bool { return d.Explain(r)[i].Matched() },
		powerless: func(d *policy.Document, _ policy.Index, r *policy.Request) bool {
			v := d.Evaluate(r)
			return v.Account.Found() || v.Everyone.Found()
		},
		unchangeable: func(d *policy.Document, _ policy.Index, r *policy.Request) bool {
			r.Action = "kms:PutKeyPolicy"
			return r.Principal.Type != policy.Service && anybody(d.Evaluate(r))
		},
		hardlyChanged: func(d *policy.Document, _ policy.Index, r *policy.Request) bool {
			r.Action = "kms:PutKeyPolicy"
			v := d.Evaluate(r)
			return r.Principal.Type != policy.Service && v.Lasting && anybody(v)
		},
		deniesChanges: func(d *policy.Document, _ policy.Index, r *policy.Request) bool {
			r.Action = "kms:PutKeyPolicy"
			return !d.Evaluate(r).Deny.Found()
		},
		everyName:     func(d *policy.Document, i policy.Index, r *policy.Request) bool { return d.Effect(i) == policy.Allow },
		missingPasses: func(d *policy.Document, i policy.Index, r *policy.Request) bool { return d.Effect(i) == policy.Deny },
		notKey:        nil, everybodyMay: nil, notWho: nil, everyOther: nil, // they are told, at least
	}
	for i := range soak(4500, 60000) {
		kind := policy.Kind(i % 3)
		text := g.document(kind)
		if i%4 == 0 {
			text = g.broken(text)
		}
		findings := checkFindings(t, text, kind)
		d, err := policy.Parse(text, kind)
		if err != nil {
			told[fmt.Sprintf("%d faults", min(3, len(findings)))]++
			continue
		}
		for _, f := range findings {
			told[f.Message]++
			var statement policy.Index
			fmt.Sscanf(f.Path, "Statement[%d]", &statement)
			for range 6 {
				if refuted := refutes[f.Message]; refuted != nil {
					r, _ := g.request()
					if kind == policy.KeyPolicy {
						r.Resource = keys[g.IntN(len(keys))]
					}
					if refuted(d, statement, r) {
						t.Fatalf("%v: %+v\n%s", f, *r, text)
					}
				}
			}
		}
	}
	for _, message := range slices.Concat(slices.Collect(maps.Keys(refutes)), []string{"1 faults", "2 faults", "3 faults"}) {
		if told[message] < 8 {
			t.Errorf("%q was told %d times only: the generator no longer tests it", message, told[message])
		}
	}
	t.Log(told)
}

// broken puts other tokens in the place of some strings.
func (g generator) broken(text string) string {
	for range 1 + g.IntN(4) {
		quotes := strings.Count(text, `"`)
		parts := strings.Split(text, `"`)
		if quotes%2 != 0 || quotes == 0 {
			break
		}
		at := 1 + 2*g.IntN(quotes/2)
		token := g.pick(`"Effect"`, `"Allow"`, `"Deny"`, `"*"`, `[]`, `{}`, `7`, `"x"`, `"Principal"`, `"NotPrincipal"`, `"Action"`, `"Resource"`, `"Condition"`, `"AWS"`, `"é"`, `["*",7]`)
		text = strings.Join(parts[:at], `"`) + token + strings.Join(parts[at+1:], `"`)
	}
	return text
}

// A resource of which Lint says that it covers no key covers none, and one that covers a key is not said so.
func TestLintJudgesResources(t *testing.T) {
	g := newGenerator(12)
	keys := []string{"arn:aws:kms:us-east-1:111122223333:key/1", "arn:aws:kms:us-east-1:111122223333:key/11", "arn:aws-cn:kms:cn-north-1:444455556666:key/mrk-1"}
	said, covered := 0, 0
	for range soak(3000, 60000) {
		resource := g.pick(append([]string{"arn:aws:kms:us-east-1:111122223333:alias/key/1", "arn:aws:s3:::key/1"}, keys...)...)
		for range g.IntN(4) { // other text in the place of some
			from := len("arn:") + g.IntN(len(resource)-len("arn:")+1)
			to := from + g.IntN(min(12, len(resource)-from)+1)
			resource = resource[:from] + g.pick("*", "*", "*", "?", ":", "", "key/", "alias/") + resource[to:]
		}
		for _, element := range []string{`"Effect": "Allow", "Resource"`, `"Effect": "Deny", "Resource"`, `"Effect": "Deny", "NotResource"`, `"Effect": "Allow", "NotResource"`} {
			text := `{"Version": "2012-10-17", "Statement": {"Principal": "*", "Action": "*", ` + element + `: "` + resource + `"}}`
			d, err := policy.Parse(text, policy.KeyPolicy)
			if err != nil {
				continue
			}
			useless := slices.ContainsFunc(policy.Lint(text, policy.KeyPolicy), func(f policy.Finding) bool {
				return f.Message == notKey || f.Message == aliasNotKey || f.Message == shortARN
			})
			covers := slices.ContainsFunc(keys, func(key string) bool {
				matched := d.Explain(&policy.Request{Principal: root(), Action: "kms:Decrypt", Resource: key})[0].Matched()
				return matched != strings.Contains(element, "Not")
			})
			if useless && covers {
				t.Fatalf("covers a key: %s", text)
			}
			if useless {
				said++
			}
			if covers {
				covered++
			}
		}
	}
	if said < 500 || covered < 500 {
		t.Errorf("%d resources cover no key, and %d do: the generator no longer tests it", said, covered)
	}
}
