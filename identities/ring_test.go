package identities_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/identities"
	"github.com/claviger/kms/kmstest"
)

// A world is a ring whose identities are in a file.
type world struct {
	*testing.T
	ring *kmstest.Ring
	ids  *identities.Directory
	path string
	key  string // its ARN
}

func newWorld(t *testing.T, text string) *world {
	ids, path := open(t, text)
	w := &world{T: t, ids: ids, path: path, ring: kmstest.New(t, func(cfg *kms.Config) { cfg.Identities = ids })}
	key, err := w.ring.CreateKey(t.Context(), kms.CreateKeyInput{})
	check(t, err)
	w.key = key.ARN
	return w
}

func (w *world) reload(text string) {
	w.Helper()
	write(w, w.path, text)
	check(w, w.ids.Reload())
}

// may asks twice, since what was allowed once is remembered.
func (w *world) may(c kms.Caller, want bool) {
	w.Helper()
	client := w.ring.As(c)
	for range 2 {
		_, err := client.Encrypt(w.Context(), w.key, []byte("x"), nil)
		if (err == nil) != want || err != nil && !errors.Is(err, kms.ErrAccessDenied) {
			w.Errorf("%s: %v", c, err)
		}
	}
}

func (w *world) put(statements string) error {
	return w.ring.PutKeyPolicy(w.Context(), w.key, kms.PutKeyPolicyInput{Policy: `{"Statement": [
		{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}` + statements + `]}`})
}

// TestDelegation: what a user's policies allow takes effect, is lifted by a reload, and comes back.
func TestDelegation(t *testing.T) {
	const encrypt = `{"Statement": {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}}`
	user := func(members string) string { return `{"UserDetailList": [{"Arn": "` + iam + `user/a"` + members + `}]` }
	own := user(`, "UserPolicyList": [{"PolicyDocument": `+encrypt+`}]`) + `}`
	managed := func(doc string) string {
		return `, "Policies": [{"Arn": "` + iam + `policy/p", "PolicyVersionList": [{"Document": ` + doc + `}]}]`
	}
	group := func(doc string) string {
		return user(`, "GroupList": ["g"]`) + `, "GroupDetailList": [{"Arn": "` + iam + `group/g", "GroupPolicyList": [{"PolicyDocument": ` + doc + `}]}]}`
	}
	control := func(doc string) string {
		return strings.TrimSuffix(own, "}") + `, "Accounts": [{"Id": "111122223333", "ServiceControlPolicies": [[` + allow + `], [` + doc + `]]}]}`
	}
	bounded := func(doc string) string {
		return strings.Replace(strings.TrimSuffix(own, "}"), `user/a"`, `user/a", "PermissionsBoundary": {"PermissionsBoundaryArn": "`+iam+`policy/p"}`, 1) + managed(doc) + `}`
	}
	w := newWorld(t, own)
	other := strings.Replace(encrypt, "Encrypt", "Decrypt", 1)
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"own policy", own, true},
		{"none", user("") + `}`, false},
		{"own policy again", own, true},
		{"attached policy", user(`, "AttachedManagedPolicies": [{"PolicyArn": "`+iam+`policy/p"}]`) + managed(encrypt) + `}`, true},
		{"not attached", user("") + managed(encrypt) + `}`, false},
		{"policy of the group", group(encrypt), true},
		{"another policy of the group", group(other), false},
		{"control policy that allows", control(encrypt), true},
		{"control policy that does not", control(other), false},
		{"control policy that denies", control(allow + ", " + deny), false},
		{"level without policies", control(""), false},
		{"boundary that allows", bounded(encrypt), true},
		{"boundary that does not", bounded(other), false},
		{"nobody", `{}`, false},
		{"own policy at last", own, true},
	} {
		w.T = t
		w.reload(c.text)
		t.Run(c.name, func(t *testing.T) {
			w.T = t
			w.may(kms.User("a"), c.want)
			w.may(kms.User("b"), false)
		})
	}
}

// TestRemadeUser: a key policy that names a user means that one, and not another of the same name.
func TestRemadeUser(t *testing.T) {
	w := newWorld(t, withID("AIDAFIRST"))
	check(t, w.put(`, {"Effect": "Allow", "Principal": {"AWS": "`+iam+`user/a"}, "Action": "kms:Encrypt", "Resource": "*"}`))
	w.may(kms.User("a"), true)
	w.reload(`{}`)
	w.may(kms.User("a"), false)
	w.reload(withID("AIDASECOND"))
	w.may(kms.User("a"), false)
	w.reload(userWith(anyone))
	w.may(kms.User("a"), false)
	w.reload(withID("AIDAFIRST"))
	w.may(kms.User("a"), true)
}

// TestUnknownPrincipals: nobody can call, or be named by a key policy, who is not there.
func TestUnknownPrincipals(t *testing.T) {
	w := newWorld(t, `{"UserDetailList": [{"Arn": "`+iam+`user/ops/a"}], "RoleDetailList": [{"Arn": "`+iam+`role/p/r"}, {"Arn": "arn:aws:iam::444455556666:role/r"}]}`)
	for principal, want := range map[string]bool{
		iam + "user/ops/a": true, iam + "role/p/r": true, "arn:aws:sts::111122223333:assumed-role/r/s1": true, "444455556666": true, "arn:aws:iam::444455556666:role/r": true,
		iam + "user/a": false, iam + "user/ops/A": false, iam + "role/r": false, iam + "user/b": false, "arn:aws:sts::111122223333:assumed-role/q/s1": false, "777788889999": false,
		"arn:aws:iam::444455556666:user/a": false,
	} {
		err := w.put(`, {"Effect": "Allow", "Principal": {"AWS": "` + principal + `"}, "Action": "kms:Encrypt", "Resource": "*"}`)
		if (err == nil) != want || err != nil && !errors.Is(err, kms.ErrMalformedPolicy) {
			t.Errorf("%s: %v", principal, err)
		}
	}
	check(t, w.put(`, {"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}`))
	w.may(kms.User("ops/a"), true)
	w.may(kms.Session("p/r", "s1"), true)
	w.may(kms.User("a"), false)
	w.may(kms.Role("r"), false)
}

// TestNoSecrets: what is wrong with a document is said without the document, which may hold what its author did not mean to show.
func TestNoSecrets(t *testing.T) {
	const canary = "canary-8c1e"
	for _, text := range []string{
		userWith(`"UserPolicyList": [{"PolicyDocument": {"Statement": {"Effect": "` + canary + `"}}}]`),
		userWith(`"UserPolicyList": [{"PolicyDocument": "{\"` + canary + `\": 1}"}]`),
		userWith(`"UserPolicyList": [{"PolicyDocument": "` + canary + `"}]`),
		userWith(`"UserId": "` + canary + `!"`),
		userWith(`"Tags": [{"Key": "k", "Value": "` + canary + strings.Repeat("x", 256) + `"}]`),
	} {
		if _, err := identities.Parse("x.json", []byte(text)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%v", err)
		}
	}
}
