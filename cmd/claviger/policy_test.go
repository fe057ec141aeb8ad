package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answersTo runs the simulation on lines, and returns the answers.
func answersTo(t *testing.T, lines string, args ...string) []answer {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"policy", "simulate"}, args...), strings.NewReader(lines), &out, &errs); code != done || errs.Len() != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var all []answer
	for line := range strings.Lines(out.String()) {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, a)
	}
	return all
}

// TestSimulateCases: the published cases, read and answered by the command.
func TestSimulateCases(t *testing.T) {
	for file, want := range map[string]int{"random": 1000, "grants": 73, "sharp": 51, "put": 42} {
		text, err := os.ReadFile(filepath.Join("..", "..", "policy", "testdata", file+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		answers := answersTo(t, string(text))
		if len(answers) != want {
			t.Fatalf("%s: %d answers, want %d", file, len(answers), want)
		}
		i := 0
		for line := range strings.Lines(string(text)) {
			var c struct{ ID, Expect, Why string }
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			if a := answers[i]; a.ID != c.ID || a.Decision != c.Expect || a.Explanation == "" || a.Error != "" {
				t.Errorf("%s: %+v, want %s: %s", c.ID, a, c.Expect, c.Why)
			}
			i++
		}
	}
}

// TestSimulateBadLines: what is wrong with a line is answered, and costs no other line.
func TestSimulateBadLines(t *testing.T) {
	const good = `{"id":"good","kind":"decision","keyAccount":"111122223333","keyPolicy":{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},` +
		`"request":{"principal":{"type":"user","arn":"arn:aws:iam::111122223333:user/a","account":"111122223333"},"action":"kms:Decrypt","resource":"arn:aws:kms:x:111122223333:key/1","context":{}}}`
	bad := []string{
		`{`, `[]`, `7`, `{"id":"x"}`, `{"id":"x","kind":"dance"}`, `{"id":"x","kind":"put"}`, `{"id":"x","kind":"put","document":"{}"}`, `{"id":"x","id":"y","kind":"decision"}`,
		strings.Replace(good, `"user"`, `"group"`, 1), strings.Replace(good, `"Effect":"Allow"`, `"Effect":"Perhaps"`, 1), strings.Replace(good, `"kms:Decrypt"`, `""`, 1),
		strings.Replace(good, `"keyPolicy"`, `"keyPolice"`, 1), strings.Replace(good, `"context":{}`, `"context":{"nonsense":["1"]}`, 1),
		strings.Replace(good, `"keyAccount"`, `"identityPolicies":[{"Statement":[]}],"keyAccount"`, 1), strings.Replace(good, `"keyAccount"`, `"sessionPolicies":["no"],"keyAccount"`, 1),
		strings.Replace(good, `"keyAccount"`, `"permissionBoundary":{},"keyAccount"`, 1), strings.Replace(good, `"keyAccount":"111122223333"`, `"keyAccount":"111122223333","keyaccount":"444455556666"`, 1),
		good + good, strings.Replace(good, `"type":"user"`, `"type":"user","type":"root"`, 1), strings.Replace(good, `"context":{}`, `"context":{"aws:username":["a"],"aws:username":["b"]}`, 1), strings.Replace(good, `"keyAccount"`, `"sessionPolicies":[{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}],"ſessionPolicieſ":[],"keyAccount"`, 1),
	}
	var lines strings.Builder
	for _, b := range bad {
		lines.WriteString(b + "\n\n" + good + "\n")
	}
	answers := answersTo(t, lines.String())
	if len(answers) != 2*len(bad) {
		t.Fatalf("%d answers to %d lines", len(answers), 2*len(bad))
	}
	for i, a := range answers {
		if i%2 == 1 {
			if a.ID != "good" || a.Decision != "Allowed" || a.Error != "" {
				t.Errorf("after %s: %+v", bad[i/2], a)
			}
		} else if a.Decision != "" || a.Explanation != "" || !strings.Contains(a.Error, "line ") {
			t.Errorf("%s: %+v", bad[i/2], a)
		}
	}
	in := strings.Replace(good, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`,
		`"{\"Statement\":{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}}"`, 1)
	if a := answersTo(t, in); a[0].Decision != "ExplicitlyDenied" {
		t.Errorf("a policy in a string: %+v", a)
	}
	if a := answersTo(t, `{"id":"x","kind":"put","document":{}}`); !strings.HasSuffix(a[0].Error, "document: must be no JSON object") {
		t.Errorf("a document that is no text: %+v", a)
	}
	if len(answersTo(t, strings.TrimSuffix(good, "\n"))) != 1 || len(answersTo(t, "")) != 0 {
		t.Error("the end of the input counts")
	}
}

// TestSimulateGrants: a service's grant holds on behalf of its resource, and what a grant may pass on is judged by the request's context.
func TestSimulateGrants(t *testing.T) {
	const service = `{"id":"s","kind":"decision","keyAccount":"111122223333","keyPolicy":{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}},` +
		`"grants":[{"granteePrincipal":"logs.amazonaws.com","operations":["Decrypt"],"constraints":{"sourceArn":"arn:aws:s3:::a"}}],` +
		`"request":{"principal":{"type":"service","arn":"logs.amazonaws.com","account":""},"action":"kms:Decrypt","resource":"arn:aws:kms:x:111122223333:key/1","context":{"aws:SourceArn":["arn:aws:s3:::a"]}}}`
	const child = `{"id":"c","kind":"decision","keyAccount":"111122223333","keyPolicy":{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}},` +
		`"grants":[{"granteePrincipal":"arn:aws:iam::111122223333:user/a","operations":["Decrypt","CreateGrant"],"constraints":{"EncryptionContextSubset":{"a":"1"}}}],` +
		`"request":{"principal":{"type":"user","arn":"arn:aws:iam::111122223333:user/a","account":"111122223333"},"action":"kms:CreateGrant","resource":"arn:aws:kms:x:111122223333:key/1",` +
		`"context":{"kms:GrantOperations":["Decrypt"],"kms:GrantConstraintType":["EncryptionContextEquals"],"kms:EncryptionContext:a":["1"]}}}`
	for line, want := range map[string]string{
		service: "Allowed",
		strings.Replace(service, `"aws:SourceArn":["arn:aws:s3:::a"]`, ``, 1):            "ImplicitlyDenied",
		strings.Replace(service, `,"constraints":{"sourceArn":"arn:aws:s3:::a"}`, ``, 1): "ImplicitlyDenied",
		child: "Allowed",
		strings.Replace(child, `"kms:GrantOperations":["Decrypt"]`, `"kms:GrantOperations":["Encrypt"]`, 1): "ImplicitlyDenied",
		strings.Replace(child, `"kms:GrantOperations":["Decrypt"],`, ``, 1):                                 "ImplicitlyDenied",
		strings.Replace(child, `"kms:GrantConstraintType":["EncryptionContextEquals"],`, ``, 1):             "ImplicitlyDenied",
		strings.Replace(child, `EncryptionContextEquals`, `EncryptionContextSubset`, 1):                     "Allowed",
	} {
		if a := answersTo(t, line); a[0].Decision != want {
			t.Errorf("%s: %+v, want %s", line, a[0], want)
		}
	}
}

// TestSimulateIdentities: which principals there are is said by a file, or assumed.
func TestSimulateIdentities(t *testing.T) {
	put := func(principal string) string {
		document, _ := json.Marshal(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"*","Resource":"*"}}`)
		return `{"id":"p","kind":"put","keyArn":"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab","keyAccount":"111122223333","document":` + string(document) + "}\n"
	}
	people := filepath.Join(t.TempDir(), "people.json")
	if err := os.WriteFile(people, []byte(`{"UserDetailList":[{"Arn":"arn:aws:iam::111122223333:user/carol"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for principal, want := range map[string][2]string{
		"arn:aws:iam::111122223333:user/alice": {"Accept", "Reject"}, "arn:aws:iam::111122223333:user/carol": {"Reject", "Accept"},
		"arn:aws:iam::111122223333:role/service-role/DataRole": {"Accept", "Reject"}, "arn:aws:iam::111122223333:role/DataRole": {"Reject", "Reject"},
		"444455556666": {"Accept", "Reject"}, "111122223333": {"Accept", "Accept"}, "arn:aws:iam::999999999999:root": {"Reject", "Reject"},
	} {
		got := [2]string{answersTo(t, put(principal))[0].Decision, answersTo(t, put(principal), "--identities", people)[0].Decision}
		if got != want {
			t.Errorf("%s: %q, want %q", principal, got, want)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"policy", "simulate", "--identities", filepath.Join(t.TempDir(), "none")}, strings.NewReader(""), &out, &errs); code != failed {
		t.Errorf("without the file: exit %d, %s", code, &errs)
	}
}

func TestLint(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, text string
		args       []string
		code       int
		lines      []string // that the output contains
	}{
		{"good", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}}`, nil, done, nil},
		{"two faults", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Perhaps\",\n\"Principal\":\"*\",\"Action\":7,\"Resource\":\"*\"}]}", nil, problems,
			[]string{"line 1, column 48: error: Statement[0].Effect", "line 2, column 26: error: Statement[0].Action"}},
		{"everybody", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}`, nil, done, []string{"warning: Statement"}},
		{"unknown principal", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:user/mallory"]},"Action":"kms:*","Resource":"*"}}`,
			nil, problems, []string{"error: MalformedPolicyDocumentException: Policy contains a statement with one or more invalid principals"}},
		{"too long", `{"Version":"2012-10-17","Statement":{"Sid":"` + strings.Repeat("x", 33000) + `","Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}}`,
			nil, problems, []string{"error: LimitExceededException"}},
		{"identity policy", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`, []string{"--kind", "identity"}, done, nil},
		{"identity policy taken for a key's", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`, nil, problems, []string{"Principal: is missing"}},
		{"unknown kind", `{}`, []string{"--kind", "other"}, failed, nil},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(tc.name, " ", "-"))
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{path, "-"} {
			var out, errs bytes.Buffer
			code := run(t.Context(), append([]string{"policy", "lint", from}, tc.args...), strings.NewReader(tc.text), &out, &errs)
			if code != tc.code || len(tc.lines) == 0 && out.Len() != 0 {
				t.Errorf("%s: exit %d, want %d: %s%s", tc.name, code, tc.code, &out, &errs)
			}
			if hinted := strings.Contains(errs.String(), "without --identities"); hinted != (tc.name == "unknown principal") {
				t.Errorf("%s: says %q of who there is", tc.name, &errs)
			}
			for _, line := range tc.lines {
				if !strings.Contains(out.String(), line) {
					t.Errorf("%s: %q has no %q", tc.name, &out, line)
				}
			}
		}
	}
	for _, args := range [][]string{{"policy"}, {"policy", "lint"}, {"policy", "lint", "a", "b"}, {"policy", "lint", filepath.Join(dir, "none")}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != failed || errs.Len() == 0 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}
