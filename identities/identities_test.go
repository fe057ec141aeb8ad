package identities_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
	"github.com/claviger/kms/identities"
	"github.com/claviger/kms/policy"
)

const (
	iam   = "arn:aws:iam::111122223333:"
	allow = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	deny  = `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, text string) *identities.Directory {
	t.Helper()
	d, err := identities.Parse("x.json", []byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

// write makes a file, or replaces it by another one.
func write(t testing.TB, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path+".new", []byte(text), 0o600))
	check(t, os.Rename(path+".new", path))
}

// texts are the documents that a person would compare.
func texts(docs []*kms.PolicyDocument) (all []string) {
	for _, d := range docs {
		all = append(all, d.Text())
	}
	return all
}

// summary is what is known of users, roles and accounts, in a form that can be compared.
func summary(d *identities.Directory, accounts ...string) (lines []string) {
	for i := range d.All() {
		line := fmt.Sprintf("%s %s %v %s", i.ARN, i.ID, i.Tags, texts(i.Policies))
		if i.Boundary != nil {
			line += " within " + i.Boundary.Text()
		}
		lines = append(lines, line)
	}
	for _, id := range accounts {
		if a := d.Account(id); a != nil {
			line := fmt.Sprintf("%s %s %s", a.ID, a.OrganizationID, a.OrganizationPaths)
			for _, levels := range [][][]*kms.PolicyDocument{a.ServiceControl, a.ResourceControl} {
				line += " levels"
				for _, level := range levels {
					line += fmt.Sprintf(" %s", texts(level))
				}
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// TestExport reads what the command prints, with everything that may be in it.
func TestExport(t *testing.T) {
	d, err := identities.Open("testdata/export.json")
	check(t, err)
	const (
		account  = "arn:aws:iam::123456789012:"
		admin    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
		readKeys = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}`
		own      = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":["aws-portal:*","iam:*"],"Resource":"*"}}`
		encrypt  = `{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Action":"kms:Encrypt","Resource":"*",` +
			`"Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":3600.0}}}]}`
		power = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"}]}`
	)
	want := []string{
		account + "role/EC2role AROACKCEVSQ6C2EXAMPLE [] [" + readKeys + "]",
		account + "user/Alice AIDACKCEVSQ6C2EXAMPLE [] [" + admin + "]",
		account + "user/division/Bob AIDAI6MIEXAMPLEBOB222 [{team red} {aws:cloudformation:stack-name }] [" + strings.Join([]string{own, readKeys, admin, encrypt}, " ") +
			"] within " + power,
		"123456789012  [] levels levels",
	}
	if diff := cmp.Diff(want, summary(d, "123456789012", "aws", "")); diff != "" {
		t.Error(diff)
	}
	for i := range d.All() {
		if d.Identity(i.ARN) != i {
			t.Errorf("%s is not found", i.ARN)
		}
		for _, doc := range append(slices.Clone(i.Policies), i.Boundary) {
			if doc != nil && doc.Kind() != policy.IdentityPolicy {
				t.Errorf("%s has a document of kind %d", i.ARN, doc.Kind())
			}
		}
	}
	for _, arn := range []string{"", account + "group/Admins", account + "user/alice", account + "user/Bob", account + "root"} {
		if i := d.Identity(arn); i != nil {
			t.Errorf("%q is %s", arn, i.ARN)
		}
	}
	if a := d.Account("111122223333"); a != nil {
		t.Error("an account of which nothing is said")
	}
	for range d.All() {
		break // a consumer may stop early
	}
}

// TestByHand reads what people write: little. Everything but the Arn may be left out.
func TestByHand(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nobody", `{}`, nil},
		{"empty lists", `{"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": [], "Accounts": [], "IsTruncated": false, "Marker": "x"}`, nil},
		{"a role", `{"RoleDetailList": [{"Arn": "` + iam + `role/app"}]}`, []string{iam + "role/app  [] []", "111122223333  [] levels levels"}},
		{"a group alone", `{"GroupDetailList": [{"Arn": "` + iam + `group/g"}]}`, []string{"111122223333  [] levels levels"}},
		{"a policy alone", `{"Policies": [{"Arn": "` + iam + `policy/p", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`, nil},
		{"a group with a path", `{"UserDetailList": [{"Arn": "` + iam + `user/a", "GroupList": ["g"]}],
			"GroupDetailList": [{"Arn": "` + iam + `group/p/g", "GroupPolicyList": [{"PolicyDocument": ` + allow + `}, {"PolicyDocument": ` + deny + `}]}]}`,
			[]string{iam + "user/a  [] [" + allow + " " + deny + "]", "111122223333  [] levels levels"}},
		{"the same names of another kind", `{"UserDetailList": [{"Arn": "` + iam + `user/a"}], "RoleDetailList": [{"Arn": "` + iam + `role/a"}, {"Arn": "arn:aws:iam::444455556666:role/x/a"}],
			"GroupDetailList": [{"Arn": "` + iam + `group/a"}]}`,
			[]string{iam + "role/a  [] []", iam + "user/a  [] []", "arn:aws:iam::444455556666:role/x/a  [] []", "111122223333  [] levels levels", "444455556666  [] levels levels"}},
		{"an account", `{"Accounts": [{"Id": "111122223333", "OrganizationId": "o-1", "OrganizationPaths": ["o-1/r-1/", "o-1/r-1/ou-1/"],
			"ServiceControlPolicies": [[` + allow + `], [], [` + allow + `, ` + deny + `]],
			"ResourceControlPolicies": [[{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}]]}, {"Id": "444455556666"}]}`,
			[]string{"111122223333 o-1 [o-1/r-1/ o-1/r-1/ou-1/] levels [" + allow + "] [] [" + allow + " " + deny +
				`] levels [{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}]`, "444455556666  [] levels levels"}},
		{"an account before and after its users", `{"RoleDetailList": [{"Arn": "arn:aws:iam::444455556666:role/a"}], "Accounts": [{"Id": "444455556666", "OrganizationId": "o-1"},
			{"Id": "111122223333", "OrganizationId": "o-2"}], "UserDetailList": [{"Arn": "` + iam + `user/a"}]}`,
			[]string{iam + "user/a  [] []", "arn:aws:iam::444455556666:role/a  [] []", "111122223333 o-2 [] levels levels", "444455556666 o-1 [] levels levels"}},
		{"partitions", `{"UserDetailList": [{"Arn": "` + iam + `user/a"},
			{"Arn": "arn:aws-cn:iam::444455556666:user/a", "AttachedManagedPolicies": [{"PolicyArn": "arn:aws-cn:iam::aws:policy/P"}]}],
			"Policies": [{"Arn": "arn:aws-cn:iam::aws:policy/P", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`,
			[]string{"arn:aws-cn:iam::444455556666:user/a  [] [" + allow + "]", iam + "user/a  [] []", "111122223333  [] levels levels", "444455556666  [] levels levels"}},
		{"boundary types", `{"UserDetailList": [{"Arn": "` + iam + `user/a",
			"PermissionsBoundary": {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": "` + iam + `policy/p"}}],
			"Policies": [{"Arn": "` + iam + `policy/p", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`,
			[]string{iam + "user/a  [] [] within " + allow, "111122223333  [] levels levels"}},
		{"longest names", `{"UserDetailList": [{"Arn": "` + iam + `user/` + strings.Repeat("p", 400) + `/` + strings.Repeat("n", 64) + `", "UserId": "` + strings.Repeat("A", 128) + `"}]}`,
			[]string{iam + `user/` + strings.Repeat("p", 400) + `/` + strings.Repeat("n", 64) + " " + strings.Repeat("A", 128) + " [] []", "111122223333  [] levels levels"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, summary(parse(t, c.text), "111122223333", "444455556666", "aws")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDefaultVersion: one version of a policy counts, and which one must be clear.
func TestDefaultVersion(t *testing.T) {
	for versions, want := range map[string]string{
		`[{"Document": A}]`:                                                                         "A",
		`[{"Document": A, "IsDefaultVersion": true}]`:                                               "A",
		`[{"Document": A, "VersionId": "v1"}], "DefaultVersionId": "v1"`:                            "A",
		`[{"Document": A, "IsDefaultVersion": true}, {"Document": B}]`:                              "A",
		`[{"Document": "no policy"}, {"Document": B, "VersionId": "v2"}], "DefaultVersionId": "v2"`: "B",
		`[{"Document": A, "VersionId": "v1", "IsDefaultVersion": false}, {"Document": B, "VersionId": "v2", "IsDefaultVersion": true}], "DefaultVersionId": "v2"`: "B",

		`[]`: "", `[{"Document": A, "IsDefaultVersion": false}]`: "", `[{"Document": A}, {"Document": B}]`: "",
		`[{"Document": A}], "DefaultVersionId": "v1"`:                                                                                  "",
		`[{"Document": A, "VersionId": "v1"}], "DefaultVersionId": "v2"`:                                                               "",
		`[{"Document": A, "IsDefaultVersion": true}, {"Document": B, "IsDefaultVersion": true}]`:                                       "",
		`[{"Document": A, "VersionId": "v1", "IsDefaultVersion": true}, {"Document": B, "VersionId": "v2"}], "DefaultVersionId": "v2"`: "",
		`[{"Document": A, "VersionId": "v1", "IsDefaultVersion": false}], "DefaultVersionId": "v1"`:                                    "",
		`[{"Document": A, "VersionId": "v1"}, {"Document": B, "VersionId": "v1"}], "DefaultVersionId": "v1"`:                           "",
		`[{"VersionId": "v1"}], "DefaultVersionId": "v1"`:                                                                              "",
		`[{"Document": A}], "DefaultVersionId": ""`:                                                                                    "",
	} {
		text := `{"UserDetailList": [{"Arn": "` + iam + `user/a", "AttachedManagedPolicies": [{"PolicyArn": "` + iam + `policy/p"}]}],
			"Policies": [{"Arn": "` + iam + `policy/p", "PolicyVersionList": ` + strings.NewReplacer("A,", allow+",", "A}", allow+"}", "B,", deny+",", "B}", deny+"}").Replace(versions) + `}]}`
		d, err := identities.Parse("x.json", []byte(text))
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is taken", versions)
		case want != "" && err != nil:
			t.Errorf("%s: %v", versions, err)
		case want != "":
			if got := d.Identity(iam + "user/a").Policies[0].Text(); got != map[string]string{"A": allow, "B": deny}[want] {
				t.Errorf("%s: %s counts", versions, got)
			}
		}
	}
}

// TestDocuments: a document is the same in every form in which it is exported, and keeps its literal text but for white space.
func TestDocuments(t *testing.T) {
	const text = `{"Version": "2012-10-17", "Statement": [{"Sid": "a b+c% <é>", "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NumericEquals": {"aws:x": [1.50, 1e2]}}}]}`
	const want = `{"Version":"2012-10-17","Statement":[{"Sid":"a b+c% <é>","Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"aws:x":[1.50,1e2]}}}]}`
	var indented bytes.Buffer
	check(t, json.Indent(&indented, []byte(text), "\r\n", "\t"))
	quote := func(s string) string {
		b, err := json.Marshal(s)
		check(t, err)
		return string(b)
	}
	escaped := strings.ReplaceAll(url.QueryEscape(text), "+", "%20") // every reserved character, as IAM does
	for name, document := range map[string]string{
		"object": text, "indented": indented.String(), "string": quote(text), "indented string": quote(indented.String()),
		"URL-encoded": quote(escaped), "URL-encoded, with space": quote(" \n" + escaped),
	} {
		d := parse(t, `{"UserDetailList": [{"Arn": "`+iam+`user/a", "UserPolicyList": [{"PolicyDocument": `+document+`}]}]}`)
		if got := d.Identity(iam + "user/a").Policies[0].Text(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	long := `{"Statement": {"Effect": "Allow", "Resource": "*", "Action": [` + strings.Repeat(`"kms:Decrypt",`+strings.Repeat(" ", 100), 10_000) + `"*"]}}`
	if len(long) < 1<<20 {
		t.Fatal("white space is not what makes it too long")
	}
	parse(t, `{"UserDetailList": [{"Arn": "`+iam+`user/a", "UserPolicyList": [{"PolicyDocument": `+long+`}]}]}`)
}

// TestRefusals: each text is refused at the mark ¶, with these words.
func TestRefusals(t *testing.T) {
	user := func(members string) string {
		return `{"UserDetailList": [¶{"Arn": "` + iam + `user/a"` + members + `}]}`
	}
	in := func(members string) string { return strings.Replace(user(`, `+members), "¶{", "{", 1) } // with a mark of its own
	role := func(members string) string {
		return `{"RoleDetailList": [{"Arn": "` + iam + `role/a", ` + members + `}]}`
	}
	group := func(members string) string {
		return `{"GroupDetailList": [{"Arn": "` + iam + `group/a", ` + members + `}]}`
	}
	managed := func(members string) string { return `{"Policies": [{"Arn": "` + iam + `policy/a", ` + members + `}]}` }
	account := func(members string) string { return `{"Accounts": [{"Id": "111122223333", ` + members + `}]}` }
	const (
		u       = "user " + iam + "user/a: "
		r       = "role " + iam + "role/a: "
		g       = "group " + iam + "group/a: "
		p       = "policy " + iam + "policy/a: "
		unknown = "unknown member %q; names are compared with case"
	)
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", `¶`, "expected a JSON value"},
		{"half a file", `{"UserDetailList": [{"Arn": "` + iam + `user/a"}¶`, "expected a comma or the end of the list"},
		{"two files in one", `{}` + "\n" + `¶{}`, "text after the end of the document"},
		{"UTF-16", "¶\xff\xfe{\x00}\x00", "text is not valid UTF-8"},
		{"a list", `¶[]`, "must be an object"},
		{"nested", `{"Accounts": ` + strings.Repeat("[", 31) + "¶[" + strings.Repeat("]", 32) + `}`, "nested too deeply"},
		{"unknown list", `{¶"Users": []}`, fmt.Sprintf(unknown, "Users")},
		{"list in the wrong case", `{¶"userDetailList": []}`, fmt.Sprintf(unknown, "userDetailList")},
		{"list twice", `{"UserDetailList": [], ¶"UserDetailList": []}`, "member name appears twice in one object"},
		{"no list", `{"UserDetailList": ¶{}}`, "UserDetailList: must be a list"},
		{"null", `{"UserDetailList": ¶null}`, "UserDetailList: must be a list"},
		{"truncated", `{"IsTruncated": ¶true}`, "IsTruncated: the export is incomplete: more pages follow"},
		{"truncated, perhaps", `{"IsTruncated": ¶"true"}`, "IsTruncated: is of the wrong type"},
		{"a marker", `{"Marker": ¶"x"}`, "Marker: the export is incomplete: more pages follow"},
		{"type of marker", `{"Marker": ¶7, "IsTruncated": false}`, "Marker: is of the wrong type"},
		{"a token", `{"NextToken": ¶"x"}`, "NextToken: the export is incomplete: more pages follow"},

		{"no user", `{"UserDetailList": [¶"a"]}`, "UserDetailList[0]: must be an object"},
		{"no Arn", `{"UserDetailList": [{"Arn": "` + iam + `user/a"}, ¶{"UserName": "b"}]}`, "UserDetailList[1]: has no Arn"},
		{"type of Arn", `{"UserDetailList": [{"Arn": ¶7}]}`, "UserDetailList[0].Arn: must be a string"},
		{"misspelled boundary", in(`¶"PermissionsBoundry": {"PermissionsBoundaryArn": "` + iam + `policy/p"}`), u + fmt.Sprintf(unknown, "PermissionsBoundry")},
		{"boundary in the wrong case", in(`¶"permissionsBoundary": {}`), u + fmt.Sprintf(unknown, "permissionsBoundary")},
		{"boundary twice", in(`"PermissionsBoundary": {"PermissionsBoundaryArn": "` + iam + `policy/p"}, ¶"PermissionsBoundary": {}`),
			"member name appears twice in one object"},
		{"boundary null", in(`"PermissionsBoundary": ¶null`), u + "PermissionsBoundary: must be an object"},
		{"boundary without an ARN", in(`"PermissionsBoundary": ¶{}`), u + "PermissionsBoundary: has no PermissionsBoundaryArn"},
		{"unknown member in boundary", in(`"PermissionsBoundary": {"PermissionsBoundaryArn": "` + iam + `policy/p", ¶"PolicyArn": ""}`),
			u + "PermissionsBoundary: " + fmt.Sprintf(unknown, "PolicyArn")},
		{"type of boundary", in(`"PermissionsBoundary": {"PermissionsBoundaryArn": "` + iam + `policy/p", "PermissionsBoundaryType": ¶"policy"}`),
			u + "PermissionsBoundary.PermissionsBoundaryType: must be Policy or PermissionsBoundaryPolicy"},
		{"boundary that is not listed", in(`"PermissionsBoundary": {"PermissionsBoundaryArn": ¶"` + iam + `policy/p"}`),
			u + `PermissionsBoundary.PermissionsBoundaryArn: "` + iam + `policy/p" is not among Policies`},
		{"boundary that is a user", in(`"PermissionsBoundary": {"PermissionsBoundaryArn": ¶"` + iam + `user/a"}`),
			u + `PermissionsBoundary.PermissionsBoundaryArn: "` + iam + `user/a" is not the ARN of a policy`},
		{"boundary of another account", in(`"PermissionsBoundary": {"PermissionsBoundaryArn": ¶"arn:aws:iam::444455556666:policy/p"}`),
			u + `PermissionsBoundary.PermissionsBoundaryArn: "arn:aws:iam::444455556666:policy/p" is a policy of another account`},

		{"path", in(`"Path": ¶"/ops/"`), u + `Path: is "/ops/", and by the ARN it is "/"`},
		{"name", in(`"UserName": ¶"A"`), u + `UserName: is "A", and by the ARN it is "a"`},
		{"type of name", in(`"UserName": ¶1`), u + "UserName: must be a string"},
		{"a role's name", in(`¶"RoleName": "a"`), u + fmt.Sprintf(unknown, "RoleName")},
		{"type of date", in(`"CreateDate": ¶{}`), u + "CreateDate: is of the wrong type"},
		{"empty id", in(`"UserId": ¶""`), u + "UserId: must be 1 to 128 letters and digits"},
		{"id with a session", in(`"UserId": ¶"AROAEXAMPLE:session"`), u + "UserId: must be 1 to 128 letters and digits"},
		{"type of id", in(`"UserId": ¶7`), u + "UserId: must be a string"},
		{"no list of policies", in(`"UserPolicyList": ¶{}`), u + "UserPolicyList: must be a list"},
		{"no policy", in(`"UserPolicyList": [¶"x"]`), u + "UserPolicyList[0]: must be an object"},
		{"no document", in(`"UserPolicyList": [¶{"PolicyName": "x"}]`), u + "UserPolicyList[0]: has no PolicyDocument"},
		{"unknown member of a policy", in(`"UserPolicyList": [{¶"Document": ` + allow + `}]`), u + "UserPolicyList[0]: " + fmt.Sprintf(unknown, "Document")},
		{"policy without a name", in(`"UserPolicyList": [{"PolicyName": ¶"", "PolicyDocument": ` + allow + `}]`), u + "UserPolicyList[0].PolicyName: must not be empty"},
		{"policies of one name", in(`"UserPolicyList": [{"PolicyName": "x", "PolicyDocument": ` + allow + `}, ¶{"PolicyName": "x", "PolicyDocument": ` + deny + `}]`),
			u + `UserPolicyList[1]: names the policy "x" a second time`},
		{"type of document", in(`"UserPolicyList": [{"PolicyDocument": ¶[]}]`), u + "UserPolicyList[0].PolicyDocument: must be a policy, as an object or in a string"},
		{"document null", in(`"UserPolicyList": [{"PolicyDocument": ¶null}]`), u + "UserPolicyList[0].PolicyDocument: must be a policy, as an object or in a string"},
		{"bad document", in(`"UserPolicyList": [{"PolicyDocument": ¶{"Statement": [{"Effect": "allow"}]}}]`),
			u + "UserPolicyList[0].PolicyDocument: Statement[0].Effect: must be Allow or Deny"},
		{"document with a principal", in(`"UserPolicyList": [{"PolicyDocument": ¶{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}}]`),
			u + "UserPolicyList[0].PolicyDocument: Statement.Principal: an identity policy names no principals"},
		{"document with a name twice", in(`"UserPolicyList": [{"PolicyDocument": {"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*", ¶"Effect": "Allow"}}}]`),
			"member name appears twice in one object"},
		{"string with a name twice", in(`"UserPolicyList": [{"PolicyDocument": ¶"{\"Statement\": {\"Effect\": \"Deny\", \"Action\": \"*\", \"Resource\": \"*\", \"Effect\": \"Allow\"}}"}]`),
			u + "UserPolicyList[0].PolicyDocument: member name appears twice in one object"},
		{"string that is no JSON", in(`"UserPolicyList": [{"PolicyDocument": ¶"{]"}]`), u + "UserPolicyList[0].PolicyDocument: expected a member name in double quotes"},
		{"empty string", in(`"UserPolicyList": [{"PolicyDocument": ¶""}]`), u + "UserPolicyList[0].PolicyDocument: expected a JSON value"},
		{"badly encoded", in(`"UserPolicyList": [{"PolicyDocument": ¶"%7B%2"}]`), u + "UserPolicyList[0].PolicyDocument: is neither JSON nor URL-encoded JSON"},
		{"encoded twice", in(`"UserPolicyList": [{"PolicyDocument": ¶"%257B%257D"}]`), u + "UserPolicyList[0].PolicyDocument: expected a JSON value"},
		{"encoded with a plus", in(`"UserPolicyList": [{"PolicyDocument": ¶"%7B%22Id%22:+%22x%22%7D"}]`),
			u + "UserPolicyList[0].PolicyDocument: is URL-encoded with a bare +, which may stand for itself or for a space"},
		{"attached and not listed", in(`"AttachedManagedPolicies": [{"PolicyName": "p", "PolicyArn": ¶"` + iam + `policy/p"}]`),
			u + `AttachedManagedPolicies[0].PolicyArn: "` + iam + `policy/p" is not among Policies`},
		{"attached without an ARN", in(`"AttachedManagedPolicies": [¶{"PolicyName": "p"}]`), u + "AttachedManagedPolicies[0]: has no PolicyArn"},
		{"attached by name", in(`"AttachedManagedPolicies": [¶"p"]`), u + "AttachedManagedPolicies[0]: must be an object"},
		{"attached under another name", in(`"AttachedManagedPolicies": [{"PolicyArn": "` + iam + `policy/p", "PolicyName": ¶"q"}]`),
			u + `AttachedManagedPolicies[0].PolicyName: is "q", and by the ARN it is "p"`},
		{"attached twice", in(`"AttachedManagedPolicies": [{"PolicyArn": "` + iam + `policy/p"}, {"PolicyArn": ¶"` + iam + `policy/p"}]`),
			u + `AttachedManagedPolicies[1].PolicyArn: names the policy "` + iam + `policy/p" a second time`},
		{"attached of another account", in(`"AttachedManagedPolicies": [{"PolicyArn": ¶"arn:aws:iam::444455556666:policy/p"}]`),
			u + `AttachedManagedPolicies[0].PolicyArn: "arn:aws:iam::444455556666:policy/p" is a policy of another account`},
		{"attached of another partition", in(`"AttachedManagedPolicies": [{"PolicyArn": ¶"arn:aws-cn:iam::aws:policy/p"}]`),
			u + `AttachedManagedPolicies[0].PolicyArn: "arn:aws-cn:iam::aws:policy/p" is a policy of another account`},
		{"unknown member of an attachment", in(`"AttachedManagedPolicies": [{"PolicyArn": "` + iam + `policy/p", ¶"Arn": ""}]`),
			u + "AttachedManagedPolicies[0]: " + fmt.Sprintf(unknown, "Arn")},
		{"no such group", in(`"GroupList": [¶"g"]`), u + `GroupList[0]: there is no group "g" in the account`},
		{"group in the wrong case", in(`"GroupList": [¶"G"]}], "GroupDetailList": [{"Arn": "` + iam + `group/g"`),
			u + `GroupList[0]: there is no group "G" in the account`},
		{"group of another account", in(`"GroupList": [¶"g"]}], "GroupDetailList": [{"Arn": "arn:aws:iam::444455556666:group/g"`),
			u + `GroupList[0]: there is no group "g" in the account`},
		{"type of group", in(`"GroupList": [¶{}]`), u + "GroupList[0]: must be a string"},
		{"group twice", in(`"GroupList": ["g", ¶"g"]}], "GroupDetailList": [{"Arn": "` + iam + `group/g"`), u + `GroupList[1]: names the group "g" a second time`},
		{"type of tag", in(`"Tags": [¶"x"]`), u + "Tags[0]: must be an object"},
		{"tag without a value", in(`"Tags": [¶{"Key": "x"}]`), u + "Tags[0]: must have a Key and a Value"},
		{"tag without a key", in(`"Tags": [¶{"Value": "x"}]`), u + "Tags[0]: must have a Key and a Value"},
		{"tag with an empty key", in(`"Tags": [{"Key": ¶"", "Value": "x"}]`), u + "Tags[0].Key: must not be empty"},
		{"type of a tag's value", in(`"Tags": [{"Key": "x", "Value": ¶true}]`), u + "Tags[0].Value: must be a string"},
		{"long key", in(`"Tags": [¶{"Key": "` + strings.Repeat("é", 129) + `", "Value": "x"}]`), u + "Tags[0]: a key has up to 128 characters, and a value 256"},
		{"long value", in(`"Tags": [¶{"Key": "x", "Value": "` + strings.Repeat("é", 257) + `"}]`), u + "Tags[0]: a key has up to 128 characters, and a value 256"},
		{"tags alike", in(`"Tags": [{"Key": "Team", "Value": "x"}, ¶{"Key": "team", "Value": "x"}]`),
			u + `Tags[1]: another tag has the key "team"; keys are compared without case`},
		{"tags alike beyond ASCII", in(`"Tags": [{"Key": "Kſ", "Value": "x"}, ¶{"Key": "ks", "Value": "x"}]`),
			u + `Tags[1]: another tag has the key "ks"; keys are compared without case`},
		{"user twice", in(`"UserId": "A"}, ¶{"Arn": "` + iam + `user/a"`), u + "stands at x.json:1:21 already"},
		{"users of one name", in(`"UserId": "A"}, ¶{"Arn": "` + iam + `user/p/a"`),
			"user " + iam + "user/p/a: has the same name as the user at x.json:1:21; names are compared without path and without case"},
		{"users of one name but for case", in(`"UserId": "A"}, ¶{"Arn": "` + iam + `user/A"`),
			"user " + iam + "user/A: has the same name as the user at x.json:1:21; names are compared without path and without case"},
		{"one id", in(`"UserId": "A"}], "RoleDetailList": [¶{"Arn": "` + iam + `role/b", "RoleId": "A"`),
			"role " + iam + "role/b: has the same unique id as the user at x.json:1:21"},
		{"two partitions", in(`"UserId": "A"}], "RoleDetailList": [¶{"Arn": "arn:aws-cn:iam::111122223333:role/b"`),
			"role arn:aws-cn:iam::111122223333:role/b: others of its account are in the partition aws"},

		{"tags of a group", group(`¶"Tags": []`), g + fmt.Sprintf(unknown, "Tags")},
		{"boundary of a group", group(`¶"PermissionsBoundary": {}`), g + fmt.Sprintf(unknown, "PermissionsBoundary")},
		{"group of a group", group(`¶"GroupList": []`), g + fmt.Sprintf(unknown, "GroupList")},
		{"bad document of a group", group(`"GroupPolicyList": [{"PolicyDocument": ¶{}}]`), g + "GroupPolicyList[0].PolicyDocument: Statement is missing"},
		{"attached to a group and not listed", group(`"AttachedManagedPolicies": [{"PolicyArn": ¶"` + iam + `policy/p"}]`),
			g + `AttachedManagedPolicies[0].PolicyArn: "` + iam + `policy/p" is not among Policies`},
		{"groups of one name", group(`"GroupId": "A"}, ¶{"Arn": "` + iam + `group/p/a"`),
			"group " + iam + "group/p/a: has the same name as the group at x.json:1:22; names are compared without path and without case"},

		{"groups of a role", role(`¶"GroupList": []`), r + fmt.Sprintf(unknown, "GroupList")},
		{"policies of a user", role(`¶"UserPolicyList": []`), r + fmt.Sprintf(unknown, "UserPolicyList")},
		{"type of trust", role(`"AssumeRolePolicyDocument": ¶[]`), r + "AssumeRolePolicyDocument: is of the wrong type"},
		{"type of profiles", role(`"InstanceProfileList": ¶{}`), r + "InstanceProfileList: is of the wrong type"},
		{"type of last use", role(`"RoleLastUsed": ¶""`), r + "RoleLastUsed: is of the wrong type"},
		{"roles of one name", role(`"RoleId": "A"}, ¶{"Arn": "` + iam + `role/p/a"`),
			"role " + iam + "role/p/a: has the same name as the role at x.json:1:21; names are compared without path and without case"},

		{"policy without an Arn", `{"Policies": [¶{"PolicyName": "x"}]}`, "Policies[0]: has no Arn"},
		{"policy without a version", `{"Policies": [¶{"Arn": "` + iam + `policy/a"}]}`, p + "has no default version"},
		{"policy under another name", managed(`"PolicyName": ¶"b"`), p + `PolicyName: is "b", and by the ARN it is "a"`},
		{"policy with another path", managed(`"Path": ¶"/x/"`), p + `Path: is "/x/", and by the ARN it is "/"`},
		{"unknown member of a managed policy", managed(`¶"Document": {}`), p + fmt.Sprintf(unknown, "Document")},
		{"type of count", managed(`"AttachmentCount": ¶"1"`), p + "AttachmentCount: is of the wrong type"},
		{"type of flag", managed(`"PolicyVersionList": [{"Document": {}, "IsDefaultVersion": ¶"false"}]`),
			p + "PolicyVersionList[0].IsDefaultVersion: is of the wrong type"},
		{"unknown member of a version", managed(`"PolicyVersionList": [{¶"PolicyDocument": {}}]`), p + "PolicyVersionList[0]: " + fmt.Sprintf(unknown, "PolicyDocument")},
		{"version without a document", managed(`"PolicyVersionList": [¶{"VersionId": "v1"}]`), p + "PolicyVersionList[0]: has no Document"},
		{"versions of one id", managed(`"PolicyVersionList": [{"Document": ` + allow + `, "VersionId": "v1"}, ¶{"Document": ` + deny + `, "VersionId": "v1"}]`),
			p + "PolicyVersionList[1]: another version has the same VersionId"},
		{"bad document of a version", managed(`"PolicyVersionList": [{"Document": ¶{"Version": "2012", "Statement": []}}]`),
			p + "PolicyVersionList[0].Document: Version: must be 2008-10-17 or 2012-10-17"},
		{"policy twice", managed(`"PolicyVersionList": [{"Document": ` + allow + `}]}, ¶{"Arn": "` + iam + `policy/a", "PolicyVersionList": [{"Document": ` + allow + `}]`),
			p + "stands at x.json:1:15 already"},
		{"managed policy of AWS twice", `{"Policies": [{"Arn": "arn:aws:iam::aws:policy/a", "PolicyVersionList": [{"Document": ` + allow + `}]},
			¶{"Arn": "arn:aws:iam::aws:policy/a", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`,
			"policy arn:aws:iam::aws:policy/a: stands at x.json:1:15 already"},

		{"no account", `{"Accounts": [¶"111122223333"]}`, "Accounts[0]: must be an object"},
		{"account without an id", `{"Accounts": [¶{}]}`, "Accounts[0]: must have an Id of twelve digits"},
		{"short id of an account", `{"Accounts": [¶{"Id": "1111"}]}`, "Accounts[0]: must have an Id of twelve digits"},
		{"the account of AWS", `{"Accounts": [¶{"Id": "aws"}]}`, "Accounts[0]: must have an Id of twelve digits"},
		{"type of id of an account", `{"Accounts": [{"Id": ¶111122223333}]}`, "Accounts[0].Id: must be a string"},
		{"account twice", account(`"OrganizationId": "o-1"}, ¶{"Id": "111122223333"`), "Accounts[1]: account 111122223333 stands at x.json:1:15 already"},
		{"unknown member of an account", account(`¶"ServiceControlPolicy": []`), "Accounts[0]: " + fmt.Sprintf(unknown, "ServiceControlPolicy")},
		{"empty organisation", account(`"OrganizationId": ¶""`), "Accounts[0].OrganizationId: must not be empty"},
		{"type of path", account(`"OrganizationPaths": [¶7]`), "Accounts[0].OrganizationPaths[0]: must be a string"},
		{"path without an organisation", account(`"OrganizationPaths": ¶["o-1/r-1/"]`),
			"Accounts[0].OrganizationPaths: each must begin with the OrganizationId and end with a slash, as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"},
		{"path of another organisation", account(`"OrganizationId": "o-1", "OrganizationPaths": ¶["o-12/r-1/"]`),
			"Accounts[0].OrganizationPaths: each must begin with the OrganizationId and end with a slash, as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"},
		{"path without an end", account(`"OrganizationId": "o-1", "OrganizationPaths": ¶["o-1/r-1"]`),
			"Accounts[0].OrganizationPaths: each must begin with the OrganizationId and end with a slash, as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"},
		{"no levels", account(`"ServiceControlPolicies": ¶[]`), "Accounts[0].ServiceControlPolicies: has no levels: leave it out if nothing limits the account"},
		{"type of levels", account(`"ServiceControlPolicies": ¶{}`), "Accounts[0].ServiceControlPolicies: must be a list"},
		{"policies without levels", account(`"ServiceControlPolicies": [¶` + allow + `]`), "Accounts[0].ServiceControlPolicies[0]: must be a list"},
		{"bad service control policy", account(`"ServiceControlPolicies": [[` + allow + `, ¶{}]]`), "Accounts[0].ServiceControlPolicies[0][1]: Statement is missing"},
		{"service control policy as a resource control policy", account(`"ResourceControlPolicies": [[¶` + allow + `]]`),
			"Accounts[0].ResourceControlPolicies[0][0]: Statement.Principal: is missing"},
		{"resource control policy as a user's", `{"Accounts": [{"Id": "111122223333",
			"ResourceControlPolicies": [[{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}]]}], "UserDetailList": [{"Arn": "` + iam + `user/a", "UserPolicyList": [{"PolicyDocument": ¶{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}}]}]}`,
			u + "UserPolicyList[0].PolicyDocument: Statement.Principal: an identity policy names no principals"},
		{"resource control policy for some", account(`"ResourceControlPolicies": [[¶{"Statement": {"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "Action": "*", "Resource": "*"}}]]`),
			"Accounts[0].ResourceControlPolicies[0][0]: Statement.Principal: a resource control policy is for everybody: the principal must be *"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after, marked := strings.Cut(c.text, "¶")
			if !marked || strings.Contains(after, "¶") {
				t.Fatal("one mark")
			}
			lines := strings.Split(before, "\n")
			want := fmt.Sprintf("identities: x.json:%d:%d: %s", len(lines), 1+len([]rune(lines[len(lines)-1])), c.want)
			d, err := identities.Parse("x.json", []byte(before+after))
			if err == nil || err.Error() != want || d != nil {
				t.Errorf("got  %v\nwant %s\nfor  %s", err, want, before+after)
			}
		})
	}
	tags := ""
	for i := range 129 {
		tags += fmt.Sprintf(`, {"Key": "k%d", "Value": ""}`, i)
	}
	_, err := identities.Parse("x.json", []byte(strings.Replace(in(`"Tags": [`+tags[2:]+`]`), "¶", "", 1)))
	if err == nil || !strings.HasSuffix(err.Error(), "Tags[128]: more than 128 tags") {
		t.Error(err)
	}
}

// TestNames: the ARNs of each kind have one form.
func TestNames(t *testing.T) {
	versions := `", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`
	lists := map[string][2]string{
		"user": {`{"UserDetailList": [{"Arn": "`, `"}]}`}, "role": {`{"RoleDetailList": [{"Arn": "`, `"}]}`}, "group": {`{"GroupDetailList": [{"Arn": "`, `"}]}`},
		"policy": {`{"Policies": [{"Arn": "`, versions},
	}
	read := func(kind, arn string) error {
		_, err := identities.Parse("x.json", []byte(lists[kind][0]+arn+lists[kind][1]))
		return err
	}
	for kind := range lists {
		for _, name := range []string{"a", "A_+=,.@-z9", "ops/a", "a/b/c/d", "x.y-z!/n"} {
			if err := read(kind, iam+kind+"/"+name); err != nil {
				t.Error(err)
			}
		}
		for _, arn := range []string{
			"", "a", "aws", "111122223333", iam, iam + kind, iam + kind + "/", iam + kind + "/a/", iam + kind + "//a",
			iam + kind + "/p//a", iam + kind + "/é", iam + kind + "/é/a", iam + kind + "/a b",
			iam + kind + "/a:b", iam + kind + "/*", iam + kind + "/a?", iam + kind + "s/a",
			iam + "Role/a", iam + "root", iam + kind + "/" + strings.Repeat("n", 129), " " + iam + kind + "/a", iam + kind + "/a ",
			iam + kind + "/" + strings.Repeat("p/", 300) + strings.Repeat("n", 100),
			"arn:aws:iam:eu-west-1:111122223333:" + kind + "/a", "arn:aws:sts::111122223333:" + kind + "/a", "arn:aws:iam:::" + kind + "/a", "arn:aws:iam::11112222333:" + kind + "/a",
			"arn:AWS:iam::111122223333:" + kind + "/a", "ARN:aws:iam::111122223333:" + kind + "/a", "arn::iam::111122223333:" + kind + "/a", "arn:aws:iam::aws::" + kind + "/a",
			"arn:aws:iam::AWS:" + kind + "/a", "arn:aws:s3::aws:" + kind + "/a", "arn:aws:iam::aws:iam::aws:" + kind + "/a", "arn:aws:iam::aws:iam::aws:policy/b",
			"arn:aws:sts::111122223333:assumed-role/a/b", "arn:aws:sts::111122223333:federated-user/a", iam + "instance-profile/a", iam + "mfa/a",
		} {
			if read(kind, arn) == nil {
				t.Errorf("%s is the ARN of a %s", arn, kind)
			}
		}
		for other := range lists {
			if other != kind && read(kind, iam+other+"/a") == nil {
				t.Errorf("a %s is a %s", other, kind)
			}
		}
		long := iam + kind + "/" + strings.Repeat("n", 65)
		if err := read(kind, long); (err == nil) != (kind == "group" || kind == "policy") {
			t.Errorf("%s: %v", long, err)
		}
		if err := read(kind, "arn:aws:iam::aws:"+kind+"/a"); (err == nil) != (kind == "policy") {
			t.Errorf("a %s of AWS: %v", kind, err)
		}
	}
}

// TestNamesAreThoseOfCallers: every user and role that is taken can call, and is found.
func TestNamesAreThoseOfCallers(t *testing.T) {
	d := parse(t, `{"UserDetailList": [{"Arn": "`+iam+`user/ops/Carol@example.com"}], "RoleDetailList": [{"Arn": "`+iam+`role/a/b!/app_+=,.@-"}]}`)
	for i := range d.All() {
		if !policy.IsPrincipalARN(i.ARN) {
			t.Errorf("%s is no principal", i.ARN)
		}
	}
	for _, c := range []kms.Caller{kms.User("ops/Carol@example.com"), kms.Role("a/b!/app_+=,.@-")} {
		if c.Err() != nil {
			t.Error(c.Err())
		}
	}
}

// TestDirectory: the files of a directory are read as one.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	managed := `{"Arn": "arn:aws:iam::aws:policy/P", "PolicyVersionList": [{"Document": ` + allow + `}]}`
	files := map[string]string{
		"users.json": `{"UserDetailList": [{"Arn": "` + iam + `user/a", "GroupList": ["g"], "AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/P"}]}], "Policies": [` + managed + `]}`,
		"rest.json": `{"GroupDetailList": [{"Arn": "` + iam + `group/g", "GroupPolicyList": [{"PolicyDocument": ` + deny + `}]}],
			"Policies": [` + strings.ReplaceAll(managed, "{", "{\n") + `], "Accounts": [{"Id": "111122223333", "OrganizationId": "o-1"}]}`,
		"other.json":   `{"RoleDetailList": [{"Arn": "arn:aws:iam::444455556666:role/a"}]}`,
		"own.json":     `{"Policies": [{"Arn": "` + iam + `policy/own", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`,
		".hidden.json": `{]`, "README": `no JSON`, "users.json.bak": `{]`,
	}
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	check(t, os.Mkdir(filepath.Join(dir, "archive"), 0o700))
	d, err := identities.Open(dir)
	check(t, err)
	want := []string{iam + "user/a  [] [" + allow + " " + deny + "]", "arn:aws:iam::444455556666:role/a  [] []", "111122223333 o-1 [] levels levels", "444455556666  [] levels levels"}
	if diff := cmp.Diff(want, summary(d, "111122223333", "444455556666", "aws")); diff != "" {
		t.Error(diff)
	}

	for name, c := range map[string]struct{ text, want string }{
		"a user of both files":       {`{"UserDetailList": [{"Arn": "` + iam + `user/a"}]}`, "zzz.json:1:21: user " + iam + "user/a: stands at DIR/users.json:1:21 already"},
		"an account of both files":   {`{"Accounts": [{"Id": "111122223333"}]}`, "zzz.json:1:15: Accounts[0]: account 111122223333 stands at DIR/rest.json:6:66 already"},
		"another policy of AWS":      {`{"Policies": [` + strings.ReplaceAll(managed, allow, deny) + `]}`, "is another one at DIR/users.json:1:"},
		"a policy of both files":     {`{"Policies": [{"Arn": "` + iam + `policy/own", "PolicyVersionList": [{"Document": ` + allow + `}]}]}`, "stands at DIR/own.json:1:15 already"},
		"a policy that is no policy": {`{"Policies": [{"Arn": "` + iam + `policy/P"}]}`, "has no default version"},
		"half a file":                {`{"UserDetailList": [`, "zzz.json:1:21: expected a JSON value"},
	} {
		write(t, filepath.Join(dir, "zzz.json"), c.text)
		_, err := identities.Open(dir)
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "DIR", dir)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPage: the example of the page is read, and the error that it shows is that of its misspelled boundary.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../docs/identities.md")
	check(t, err)
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	d := parse(t, example)
	carol, orders := d.Identity(iam+"user/ops/carol"), d.Identity(iam+"role/orders")
	if carol == nil || len(carol.Policies) != 1 || carol.Boundary == nil || orders == nil || len(orders.Policies) != 1 || len(d.Account("111122223333").ServiceControl) != 2 {
		t.Errorf("%+v, %+v", carol, orders)
	}
	_, err = identities.Parse("iam/111122223333.json", []byte(strings.Replace(example, "PermissionsBoundary\"", "PermissionsBoundry\"", 1)))
	if err == nil || !strings.Contains(string(page), "\n"+err.Error()+"\n") {
		t.Errorf("the page does not show %v", err)
	}
}
