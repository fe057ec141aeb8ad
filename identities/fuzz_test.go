package identities

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/claviger/kms/policy"
)

// FuzzParse: nothing makes reading panic. What is refused is refused at a place in the text, and what is accepted is accepted again, and is then the same.
func FuzzParse(f *testing.F) {
	export, err := os.ReadFile("testdata/export.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(export))
	const (
		doc  = `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`
		user = `{"Arn": "arn:aws:iam::111122223333:user/a", "UserId": "A", "GroupList": ["g"], "Tags": [{"Key": "k", "Value": "v"}]}`
	)
	for _, text := range []string{
		``, `{}`, `{"IsTruncated": true, "Marker": "x"}`, `{"UserDetailList": [` + user + `]}`, `{"UserDetailList": [` + user + `, ` + user + `]}`,
		`{"UserDetailList": [` + user + `], "GroupDetailList": [{"Arn": "arn:aws:iam::111122223333:group/p/g", "GroupPolicyList": [{"PolicyDocument": ` + doc + `}]}]}`,
		`{"RoleDetailList": [{"Arn": "arn:aws:iam::111122223333:role/p/r", "RolePolicyList": [{"PolicyName": "x", "PolicyDocument": "%7B%22Statement%22%3A%7B%7D%7D"}],
			"PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/P"}}], "Policies": [{"Arn": "arn:aws:iam::aws:policy/P", "PolicyVersionList": [{"Document": ` + doc + `}]}]}`,
		`{"Accounts": [{"Id": "111122223333", "OrganizationId": "o-1", "OrganizationPaths": ["o-1/"], "ServiceControlPolicies": [[` + doc + `], []],
			"ResourceControlPolicies": [[{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}}]]}]}`,
	} {
		f.Add(text)
	}
	place := regexp.MustCompile(`^x\.json:(\d+):(\d+): `)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := build(new(state), []*source{{"x.json", text}})
		if err != nil {
			at := place.FindStringSubmatch(err.Error())
			if at == nil {
				t.Fatalf("no place in %v", err)
			}
			line, _ := strconv.Atoi(at[1])
			column, _ := strconv.Atoi(at[2])
			lines := strings.Split(text, "\n")
			if line < 1 || line > len(lines) || column < 1 || column > len(lines[line-1])+1 {
				t.Fatalf("no such place: %v", err)
			}
			return
		}
		for arn, i := range s.identities {
			if i.ARN != arn || !policy.IsPrincipalARN(arn) {
				t.Fatalf("%s under %s", i.ARN, arn)
			}
			if a := s.accounts[strings.Split(arn, ":")[4]]; a == nil {
				t.Fatalf("%s has no account", arn)
			}
			for _, doc := range i.Policies {
				if doc == nil || doc.Kind() != policy.IdentityPolicy {
					t.Fatalf("%s has a policy that is none", arn)
				}
			}
		}
		again, err := build(s, []*source{{"x.json", text}})
		if err != nil {
			t.Fatalf("accepted once only: %v", err)
		}
		if len(again.identities) != len(s.identities) || len(again.accounts) != len(s.accounts) || len(again.all) != len(s.identities) {
			t.Fatal("something else was read")
		}
		for arn, i := range s.identities {
			if again.identities[arn] != i {
				t.Fatalf("%s has moved", arn)
			}
		}
		for id, a := range s.accounts {
			if a.ID != id || again.accounts[id] != a {
				t.Fatalf("account %s has moved", id)
			}
		}
	})
}
