package policy_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/policy"
)

func FuzzParse(f *testing.F) {
	for _, d := range readDecisions(f, "sharp.jsonl") {
		for _, doc := range d.documents() {
			f.Add(doc.Text(), uint8(doc.Kind()))
		}
	}
	for _, c := range vectors.Lines[vectors.Put](f, "testdata/put.jsonl") {
		f.Add(c.Document, uint8(policy.KeyPolicy))
	}
	f.Add(tenStatements, uint8(policy.KeyPolicy))
	g := newGenerator(2)
	for i := range 60 {
		f.Add(g.broken(g.document(policy.Kind(i%3))), uint8(i%3))
	}
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		checkFindings(t, text, policy.Kind(kind))
		d, err := policy.Parse(text, policy.Kind(kind))
		if err != nil {
			checkFault(t, text, err)
			return
		}
		if d.Text() != text || d.Len() < 1 || !utf8.ValidString(text) {
			t.Fatalf("accepted as %q, %d statements", d.Text(), d.Len())
		}
		if _, err := policy.Parse(d.Text(), d.Kind()); err != nil {
			t.Fatalf("accepted once only: %v", err)
		}
	})
}

// checkFault checks that an error lies inside the text and does not repeat it.
func checkFault(t *testing.T, text string, err error) {
	t.Helper()
	fault, ok := errors.AsType[*policy.SyntaxError](err)
	if !ok {
		t.Fatalf("%T is no SyntaxError", err)
	}
	checkPlace(t, strings.Split(text, "\n"), fault.Line, fault.Column)
	checkWords(t, text, fault.Path, fault.Message)
}

func checkPlace(t *testing.T, lines []string, line, column int) {
	t.Helper()
	if line < 1 || line > len(lines) {
		t.Fatalf("line %d of %d", line, len(lines))
	}
	if text := lines[line-1]; column < 1 || column > len(text)+1 || column > utf8.RuneCountInString(text)+1 {
		t.Fatalf("column %d of %q", column, text)
	}
}

func checkWords(t *testing.T, text, path, message string) {
	t.Helper()
	// The language's own words may be in both. Whatever else the message has in common with the text is at most a few bytes long.
	const few = 12
	for i := 0; i+few <= len(text); i++ {
		if part := text[i : i+few]; strings.Contains(message, part) && !strings.Contains(vocabulary, part) {
			t.Fatalf("message %q repeats %q", message, part)
		}
	}
	if len(path) > 80 {
		t.Fatalf("path of %d bytes", len(path))
	}
}

// vocabulary is all that messages are made of: fuzzed texts may quote them.
const vocabulary = `document is longer than 512 KiB; text is not valid UTF-8; text after the end of the document; nested too deeply; expected a JSON value;
expected a member name in double quotes; member name appears twice in one object; expected a colon after the member name;
expected a comma or the end of the object; expected a comma or the end of the list; malformed number; control character in a string; malformed escape sequence;
string without an end; unknown kind of policy; must be 2008-10-17 or 2012-10-17; must be a string; Statement is missing; must be a statement or a list of at least one;
must be an object; unknown element; names are compared with case; is missing; must be Allow or Deny; another statement has the same Sid;
an identity policy names no principals; with Allow would allow everybody else; it goes with Deny only; must be * or an object that names at least one principal;
* exempts everybody, so that the statement denies nobody; must be * or a service and a name, such as kms:Decrypt; cannot stand beside Principal;
cannot stand beside Action; cannot stand beside Resource; unknown operator; names are compared with case; must be an object with at least one condition key;
malformed condition key; condition key appears twice; keys are compared without case;
OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches requests without the key or with an empty value; must be a string or a list of strings; must not be empty;
must be a value or a list of values; value is not a decimal number; value is neither an ISO 8601 date nor seconds since 1970;
value is neither an IP address nor a CIDR block; value is neither true nor false; value is not canonical base64; malformed policy variable;
malformed service name; malformed identity provider; malformed canonical user id; unknown type of principal: AWS, Service, Federated or CanonicalUser;
principal is neither *, an account id nor the ARN of a principal; not the ARN of a user, role, role session or federated user;
resource is neither * nor an ARN; policy variable before the fifth colon of an ARN; wildcard in the service part of an ARN;
a resource control policy is for everybody: the principal must be *; ` + everybodyMay + notWho + chosenWho + inert + unknownAction + otherService + noSay + noSayResources +
	keyless + everyOther + everyOtherARN + shortARN + aliasNotKey + notKey + unknownKey + noSetOperator + missingPasses + noVariable + everyName + noVersion +
	unchangeable + hardlyChanged + deniesChanges + powerless

func FuzzEvaluate(f *testing.F) {
	g := newGenerator(1)
	for i := range 40 {
		f.Add(g.document(policy.Kind(i%3)), uint8(i), "kms:Decrypt", keyARN, g.pick(textPool...), g.pick(textPool...), g.pick(textPool...), uint8(i%3)|uint8(i%3)<<6)
	}
	for _, d := range readDecisions(f, "sharp.jsonl") {
		f.Add(d.key.Text(), uint8(0), d.request.Action, d.request.Resource, "a", "b", "c", uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, who uint8, action, resource, single, tag, multi string, kind uint8) {
		d, err := policy.Parse(text, policy.Kind(kind%64%3))
		if err != nil || strings.ContainsFunc(action, func(c rune) bool { return c >= utf8.RuneSelf }) {
			return // expression libraries know other letters that are equal without case
		}
		for _, s := range []string{resource, single, tag, multi} {
			if !utf8.ValidString(s) || len(s) > 1000 {
				return
			}
		}
		ctx := naiveContext{"aws:single": {texts: []string{single}}, "aws:x/tag": {texts: []string{tag}, vague: kind&64 != 0}, "aws:multi": {texts: []string{multi, single}, multi: true}}
		if kind > 127 {
			delete(ctx, "aws:single")
		}
		r := &policy.Request{Principal: requestPrincipals[int(who)%len(requestPrincipals)], Action: action, Resource: resource, Context: ctx}
		agree(t, d, nil, r, ctx)
		g := newGenerator(uint64(who))
		if r.Principal.ARN != "" && r.Principal.Account != "" && r.Principal.Type != policy.RootUser {
			r.Principal.ID = g.pick(idPool...)
		}
		d, bound := g.bind(d)
		agree(t, d, bound, r, ctx)
	})
}
