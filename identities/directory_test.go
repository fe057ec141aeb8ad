package identities_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
	"github.com/claviger/kms/identities"
	"github.com/claviger/kms/internal/regular"
)

// open writes a file and opens it.
func open(t testing.TB, text string) (d *identities.Directory, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "iam.json")
	write(t, path, text)
	d, err := identities.Open(path)
	check(t, err)
	return d, path
}

func userWith(members string) string {
	return `{"UserDetailList": [{"Arn": "` + iam + `user/a", ` + members + `}]}`
}

const anyone = `"CreateDate": ""`

// TestReload: what a reload cannot read changes nothing, and it says why.
func TestReload(t *testing.T) {
	good := userWith(`"UserId": "A"`)
	d, path := open(t, good)
	was := d.Identity(iam + "user/a")
	for _, c := range []struct {
		name  string
		spoil func() error
		want  string
		is    error
	}{
		{"bad file", func() error { return os.WriteFile(path, []byte(`{"UserDetailList": {}}`), 0o600) }, "iam.json:1:20: UserDetailList: must be a list", nil},
		{"half a file", func() error { return os.WriteFile(path, []byte(good[:len(good)-7]), 0o600) }, "iam.json:1:", nil},
		{"empty file", func() error { return os.Truncate(path, 0) }, "iam.json:1:1: expected a JSON value", nil},
		{"nobody, half of it", func() error { return os.WriteFile(path, []byte(`{`), 0o600) }, "iam.json:1:2: expected a member name", nil},
		{"removed file", func() error { return os.Remove(path) }, path, fs.ErrNotExist},
		{"broken link", func() error { return os.Symlink("nowhere", path) }, path, fs.ErrNotExist},
		{"directory without files", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "has no .json file; one with {} in it says that there is nobody", nil},
		{"directory in the place of a file", func() error { return os.Mkdir(filepath.Join(path, "x.json"), 0o700) }, "x.json", regular.ErrNot},
		{"link that leads nowhere", func() error {
			return errors.Join(os.Remove(filepath.Join(path, "x.json")), os.Symlink("nowhere", filepath.Join(path, "x.json")))
		}, "x.json", fs.ErrNotExist},
	} {
		check(t, c.spoil())
		err := d.Reload()
		if err == nil || !strings.HasPrefix(err.Error(), "identities: ") || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
		if d.Identity(iam+"user/a") != was {
			t.Errorf("%s: not what was there", c.name)
		}
		if _, err := identities.Open(path); err == nil {
			t.Errorf("%s: opened", c.name)
		}
	}
	check(t, os.RemoveAll(path))
	write(t, path, userWith(`"UserId": "B"`))
	check(t, d.Reload())
	if got := d.Identity(iam + "user/a"); got.ID != "B" || was.ID != "A" {
		t.Errorf("%s, after %s", got.ID, was.ID)
	}
	write(t, path, `{}`)
	check(t, d.Reload())
	if d.Identity(iam+"user/a") != nil || d.Account("111122223333") != nil {
		t.Error("the user is still there")
	}
}

// TestEveryHalfOfAFile: no beginning of a file is taken for a file.
func TestEveryHalfOfAFile(t *testing.T) {
	text := userWith(`"UserPolicyList": [{"PolicyDocument": ` + allow + `}], "UserId": "A"`)
	for n := range text {
		if _, err := identities.Parse("x.json", []byte(text[:n])); err == nil {
			t.Errorf("%s is taken", text[:n])
		}
	}
}

func TestParsedIsNotReloaded(t *testing.T) {
	d := parse(t, userWith(anyone))
	if err := d.Reload(); err == nil {
		t.Error("reloaded")
	}
	if d.Identity(iam+"user/a") == nil {
		t.Error("nobody is there any more")
	}
}

// TestReloadTakesTheDirectory: a reload goes by the files that there are now.
func TestReloadTakesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.json"), userWith(anyone))
	d, err := identities.Open(dir)
	check(t, err)
	write(t, filepath.Join(dir, "b.json"), `{"Accounts": [{"Id": "444455556666"}]}`)
	check(t, d.Reload())
	if d.Identity(iam+"user/a") == nil || d.Account("444455556666") == nil {
		t.Error("not both files")
	}
	check(t, os.Remove(filepath.Join(dir, "a.json")))
	check(t, d.Reload())
	if d.Identity(iam+"user/a") != nil || d.Account("111122223333") != nil || d.Account("444455556666") == nil {
		t.Error("not what is in the directory")
	}
}

// TestLinkedDirectory: a directory that is a link is exchanged at one stroke.
func TestLinkedDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"A", "B"} {
		check(t, os.Mkdir(filepath.Join(dir, id), 0o700))
		write(t, filepath.Join(dir, id, "x.json"), userWith(`"UserId": "`+id+`"`))
	}
	link := filepath.Join(dir, "now")
	check(t, os.Symlink("A", link))
	d, err := identities.Open(link)
	check(t, err)
	check(t, os.Symlink("B", link+".new"))
	check(t, os.Rename(link+".new", link))
	check(t, d.Reload())
	if got := d.Identity(iam + "user/a").ID; got != "B" {
		t.Error(got)
	}
}

// TestSizes: what is too long is refused before it is read.
func TestSizes(t *testing.T) {
	dir := t.TempDir()
	spaces := func(name string, size int64) string { // a file with a hole in it, which reads as zeros and takes no room
		path := filepath.Join(dir, name)
		write(t, path, "{}")
		check(t, os.Truncate(path, size))
		return path
	}
	if _, err := identities.Open(spaces("a.json", 64<<20+1)); err == nil || !strings.HasSuffix(err.Error(), "a.json is longer than 64 MiB") {
		t.Error(err)
	}
	if _, err := identities.Open(spaces("a.json", 64<<20)); err == nil || !strings.HasSuffix(err.Error(), "a.json:1:3: text after the end of the document") {
		t.Error(err)
	}
	for _, name := range []string{"b.json", "c.json", "d.json", "e.json"} {
		spaces(name, 64<<20)
	}
	if _, err := identities.Open(dir); err == nil || !strings.HasSuffix(err.Error(), dir+" holds more than 256 MiB") {
		t.Error(err)
	}
}

// TestAddresses: what is the same after a reload is what it was, at its address; what differs in any way is not.
func TestAddresses(t *testing.T) {
	const (
		boundary = `"PermissionsBoundary": {"PermissionsBoundaryArn": "` + iam + `policy/limit"}`
		whole    = `{
			"UserDetailList": [
				{"Arn": "` + iam + `user/a", "UserId": "A", "UserPolicyList": [{"PolicyName": "own", "PolicyDocument": OWN}], "GroupList": ["g"],
					"AttachedManagedPolicies": [{"PolicyArn": "` + iam + `policy/attached"}], ` + boundary + `, "Tags": [{"Key": "team", "Value": "red"}]},
				{"Arn": "` + iam + `user/other"}],
			"GroupDetailList": [{"Arn": "` + iam + `group/g", "GroupPolicyList": [{"PolicyDocument": GROUP}]}, {"Arn": "` + iam + `group/h"}],
			"Policies": [
				{"Arn": "` + iam + `policy/attached", "PolicyVersionList": [{"Document": ATTACHED}]},
				{"Arn": "` + iam + `policy/limit", "PolicyVersionList": [{"Document": LIMIT}]}],
			"Accounts": [{"Id": "111122223333", "OrganizationId": "o-1", "OrganizationPaths": ["o-1/r-1/"], "ServiceControlPolicies": [[SCP], []],
				"ResourceControlPolicies": [[RCP]]}, {"Id": "444455556666"}]}`
	)
	doc := func(action string) string {
		return `{"Statement": {"Effect": "Allow", "Action": "` + action + `", "Resource": "*"}}`
	}
	resource := `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}`
	base := strings.NewReplacer("OWN", doc("s:Own"), "GROUP", doc("s:Group"), "ATTACHED", doc("s:Attached"), "LIMIT", doc("s:Limit"), "SCP", doc("s:Control"), "RCP", resource).Replace(whole)
	for _, c := range []struct{ name, old, new, changes string }{
		{"nothing", "", "", ""},
		{"white space", ": ", ":\n\t", ""},
		{"another user", `user/other"`, `user/other", "UserId": "O"`, ""},
		{"another group", `group/h"`, `group/h", "GroupId": "H"`, ""},
		{"another policy", `"Policies": [`, `"Policies": [{"Arn": "` + iam + `policy/none", "PolicyVersionList": [{"Document": ` + allow + `}]}, `, ""},
		{"name of a policy", `"PolicyName": "own"`, `"PolicyName": "mine"`, ""},
		{"string for an object", doc("s:Own"), `"{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"s:Own\", \"Resource\": \"*\"}}"`, ""},
		{"id", `"UserId": "A"`, `"UserId": "B"`, "user"},
		{"no id", `"UserId": "A"`, anyone, "user"},
		{"tag", `"red"`, `"blue"`, "user"},
		{"no tag", `{"Key": "team", "Value": "red"}`, "", "user"},
		{"own policy", "s:Own", "s:Others", "user"},
		{"policy of the group", "s:Group", "s:Others", "user"},
		{"attached policy", "s:Attached", "s:Others", "user"},
		{"no group", `"GroupList": ["g"]`, `"GroupList": ["h"]`, "user"},
		{"limit", "s:Limit", "s:Others", "user"},
		{"no limit", boundary, anyone, "user"},
		{"organisation", "o-1", "o-2", "account"},
		{"path", "o-1/r-1/", "o-1/r-2/", "account"},
		{"service control policy", "s:Control", "s:Others", "account"},
		{"level", "}}], []]", "}}]]", "account"},
		{"resource control policy", resource, strings.Replace(resource, "Allow", "Deny", 1), "account"},
		{"no resource control policy", "[" + resource + "]", "[]", "account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, path := open(t, base)
			user, account, other := d.Identity(iam+"user/a"), d.Account("111122223333"), d.Account("444455556666")
			before := summary(d, "111122223333", "444455556666")
			next := strings.ReplaceAll(base, c.old, c.new)
			if c.old == "" {
				next = base
			} else if next == base {
				t.Fatal("nothing was replaced")
			}
			write(t, path, next)
			check(t, d.Reload())
			if got := d.Identity(iam + "user/a"); (got != user) != (c.changes == "user") {
				t.Errorf("another user: %v", got != user)
			}
			if got := d.Account("111122223333"); (got != account) != (c.changes == "account") {
				t.Errorf("another account: %v", got != account)
			}
			if d.Account("444455556666") != other {
				t.Error("another account of which nothing was said")
			}
			fresh, err := identities.Open(path)
			check(t, err)
			after := summary(d, "111122223333", "444455556666")
			if diff := cmp.Diff(summary(fresh, "111122223333", "444455556666"), after); diff != "" {
				t.Errorf("not what is in the file: %s", diff)
			}
			if c.changes != "" && cmp.Equal(before, after) {
				t.Error("nothing has changed")
			}
			write(t, path, base)
			check(t, d.Reload())
			if diff := cmp.Diff(before, summary(d, "111122223333", "444455556666")); diff != "" {
				t.Errorf("not what was there: %s", diff)
			}
		})
	}
}

// TestOrganizationAddress: an account that says no more than its organisation is another one in another.
func TestOrganizationAddress(t *testing.T) {
	d, path := open(t, `{"Accounts": [{"Id": "111122223333", "OrganizationId": "o-1"}]}`)
	was := d.Account("111122223333")
	write(t, path, `{"Accounts": [{"Id": "111122223333", "OrganizationId": "o-2"}]}`)
	check(t, d.Reload())
	if got := d.Account("111122223333"); got == was || got.OrganizationID != "o-2" || was.OrganizationID != "o-1" {
		t.Errorf("%s, after %s", got.OrganizationID, was.OrganizationID)
	}
}

// TestConcurrentReaders: whoever looks sees one state or the other, while files are reloaded and spoilt. The race detector watches.
func TestConcurrentReaders(t *testing.T) {
	state := func(id string) string {
		var users []string
		for i := range 50 {
			users = append(users, fmt.Sprintf(`{"Arn": "%suser/u%d", "UserId": "%s%d"}`, iam, i, id, i))
		}
		return `{"UserDetailList": [` + strings.Join(users, ",") + `], "Accounts": [{"Id": "111122223333", "OrganizationId": "o-` + id + `"}]}`
	}
	texts := []string{state("A"), state("B"), state("A")[:1000], `{"UserDetailList": []`}
	d, path := open(t, texts[0])
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				ids := map[byte]int{}
				for i := range d.All() {
					ids[i.ID[0]]++
				}
				if ids['A']+ids['B'] != 50 || ids['A']*ids['B'] != 0 {
					t.Errorf("a mixture: %v", ids)
					return
				}
				if d.Identity(iam+"user/u7") == nil || d.Account("111122223333").OrganizationID == "" {
					t.Error("somebody is missing")
					return
				}
			}
		})
	}
	for n := range 200 {
		write(t, path, texts[n%len(texts)])
		if err := d.Reload(); (err == nil) != (n%len(texts) < 2) {
			t.Errorf("%d: %v", n, err)
		}
	}
	close(done)
	wg.Wait()
}

// TestOneDocument: policies that are the same are compiled once.
func TestOneDocument(t *testing.T) {
	d := parse(t, `{"UserDetailList": [{"Arn": "`+iam+`user/a", "UserPolicyList": [{"PolicyDocument": `+allow+`}]},
		{"Arn": "`+iam+`user/b", "UserPolicyList": [{"PolicyDocument": `+strings.ReplaceAll(allow, ":", " : ")+`}, {"PolicyDocument": `+deny+`}]}]}`)
	var docs []*kms.PolicyDocument
	for i := range d.All() {
		docs = append(docs, i.Policies...)
	}
	if len(docs) != 3 || docs[0] != docs[1] || docs[1] == docs[2] {
		t.Errorf("%v", docs)
	}
}
