package policy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/policy"
)

func withBoundary(p policy.Principal) policy.Principal { p.Boundary = true; return p }

func withProvider(p policy.Principal, provider string) policy.Principal {
	p.Provider = provider
	return p
}

func TestPrincipals(t *testing.T) {
	const (
		everyone = policy.ByEveryone
		account  = policy.ByAccount
		person   = policy.ByPrincipal
		role     = policy.ByRole
	)
	path := policy.Principal{
		Type: policy.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/Data/s1", Role: "arn:aws:iam::111122223333:role/service-role/Data", Account: "111122223333",
	}
	china := policy.Principal{Type: policy.User, ARN: "arn:aws-cn:iam::111122223333:user/a", Account: "111122223333"}
	for _, c := range []struct {
		name, principal string
		by              policy.Principal
		allow, deny     policy.Way
	}{
		{"everyone, user", `"*"`, user("a"), everyone, everyone},
		{"everyone, session", `{"AWS": "*"}`, session("r", "s1"), everyone, everyone},
		{"everyone, root user", `{"AWS": ["*"]}`, root(), everyone, everyone},
		{"everyone, service", `"*"`, service("logs.amazonaws.com"), 0, everyone},
		{"everyone, nobody", `"*"`, policy.Principal{}, 0, policy.ByDefault},
		{"everyone, unknown type", `"*"`, policy.Principal{Type: policy.Service + 1}, 0, policy.ByDefault},
		{"somebody else, nobody", `{"AWS": "111122223333"}`, policy.Principal{}, 0, policy.ByDefault},

		{"account id, user", `{"AWS": "111122223333"}`, user("a"), account, account},
		{"account id, session", `{"AWS": "111122223333"}`, session("r", "s1"), account, account},
		{"account id, federated user", `{"AWS": "111122223333"}`, federated("f1", "a"), account, account},
		{"account id, root user", `{"AWS": "111122223333"}`, root(), account, account},
		{"account id, service", `{"AWS": "111122223333"}`, service("logs.amazonaws.com"), 0, 0},
		{"root ARN, user", `{"AWS": "arn:aws:iam::111122223333:root"}`, user("a"), account, account},
		{"root ARN, root user", `{"AWS": "arn:aws:iam::111122223333:root"}`, root(), account, account},
		{"root ARN of another partition", `{"AWS": "arn:aws:iam::111122223333:root"}`, china, 0, 0},
		{"account id in another partition", `{"AWS": "111122223333"}`, china, account, account},
		{"other account", `{"AWS": ["444455556666", "arn:aws:iam::444455556666:root"]}`, user("a"), 0, 0},

		{"user", `{"AWS": "arn:aws:iam::111122223333:user/a"}`, user("a"), person, person},
		{"user, other name", `{"AWS": "arn:aws:iam::111122223333:user/a"}`, user("b"), 0, 0},
		{"user, other case", `{"AWS": "arn:aws:iam::111122223333:user/a"}`, user("A"), 0, 0},
		{"user with path", `{"AWS": "arn:aws:iam::111122223333:user/ops/a"}`, user("ops/a"), person, person},
		{"user without its path", `{"AWS": "arn:aws:iam::111122223333:user/a"}`, user("ops/a"), 0, 0},
		{"user behind a federated user", `{"AWS": "arn:aws:iam::111122223333:user/a"}`, federated("f1", "a"), role, role},
		{"federated user", `{"AWS": "arn:aws:sts::111122223333:federated-user/f1"}`, federated("f1", "a"), person, person},
		{"role", `{"AWS": "arn:aws:iam::111122223333:role/r"}`, session("r", "s1"), role, role},
		{"role with path", `{"AWS": "arn:aws:iam::111122223333:role/service-role/Data"}`, path, role, role},
		{"role without its path", `{"AWS": "arn:aws:iam::111122223333:role/Data"}`, path, 0, 0},
		{"role with a longer name", `{"AWS": "arn:aws:iam::111122223333:role/r"}`, session("r2", "s1"), 0, 0},
		{"session", `{"AWS": "arn:aws:sts::111122223333:assumed-role/r/s1"}`, session("r", "s1"), person, person},
		{"other session", `{"AWS": "arn:aws:sts::111122223333:assumed-role/r/s1"}`, session("r", "s2"), 0, 0},
		{"role does not name a user", `{"AWS": "arn:aws:iam::111122223333:role/a"}`, user("a"), 0, 0},

		{"service", `{"Service": "logs.us-east-1.amazonaws.com"}`, service("logs.us-east-1.amazonaws.com"), person, person},
		{"other service", `{"Service": "logs.us-east-1.amazonaws.com"}`, service("logs.amazonaws.com"), 0, 0},
		{"service names no user", `{"Service": "logs.us-east-1.amazonaws.com"}`, user("a"), 0, 0},
		{"user with a service's name", `{"Service": "a.b.c"}`, policy.Principal{Type: policy.User, ARN: "a.b.c"}, 0, 0},
		{"provider", `{"Federated": "accounts.google.com"}`, withProvider(session("r", "s1"), "accounts.google.com"), role, role},
		{"other provider", `{"Federated": "accounts.google.com"}`, session("r", "s1"), 0, 0},
		{"provider of a user", `{"Federated": "accounts.google.com"}`, withProvider(user("a"), "accounts.google.com"), 0, 0},
		{"canonical user", `{"CanonicalUser": "` + hex64 + `"}`, user("a"), 0, 0},

		{"several ways", `{"AWS": ["*", "111122223333", "arn:aws:iam::111122223333:role/r", "arn:aws:sts::111122223333:assumed-role/r/s1"]}`, session("r", "s1"),
			everyone | account | role | person, everyone},
		{"several types", `{"Service": "logs.amazonaws.com", "AWS": "arn:aws:iam::111122223333:user/a"}`, user("a"), person, person},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &policy.Request{Principal: c.by, Action: "kms:Decrypt", Resource: keyARN}
			for _, effect := range effects {
				d := parse(t, policy.KeyPolicy, `{"Statement": {"Effect": "`+effect.String()+`", "Principal": `+c.principal+`, "Action": "*", "Resource": "*"}}`)
				want := c.allow
				if effect == policy.Deny {
					want = c.deny
				}
				if got := d.Explain(r)[0].Ways; got != want {
					t.Errorf("%v: ways %b, want %b", effect, got, want)
				}
				if diff := cmp.Diff(verdictOf(effect, want), d.Evaluate(r)); diff != "" {
					t.Errorf("%v: %s", effect, diff)
				}
			}
		})
	}
}

// A document that is bound to ids allows nobody who has only the name, and still denies them.
func TestBoundPrincipals(t *testing.T) {
	const (
		alice   = `"arn:aws:iam::111122223333:user/a"`
		role    = `"arn:aws:iam::111122223333:role/r"`
		s1      = `"arn:aws:sts::111122223333:assumed-role/r/s1"`
		account = `"111122223333"`
	)
	unique := func(arn string) string {
		return map[string]string{
			"arn:aws:iam::111122223333:user/a": "AIDAALICE", "arn:aws:iam::111122223333:role/r": "AROAROLE",
			"arn:aws:sts::111122223333:assumed-role/r/s1": "AROASESSION", "111122223333": "ACCOUNT", "*": "EVERYBODY",
		}[arn]
	}
	with := func(p policy.Principal, id string) policy.Principal {
		p.ID = id
		return p
	}
	person, byRole := policy.ByPrincipal, policy.ByRole
	for _, c := range []struct {
		name, listed string
		by           policy.Principal
		allow, deny  policy.Way
	}{
		{"user", alice, with(user("a"), "AIDAALICE"), person, person},
		{"user made again", alice, with(user("a"), "AIDAAGAIN"), 0, person},
		{"user of unknown id", alice, user("a"), 0, person},
		{"user who is renamed", alice, with(user("ops/a"), "AIDAALICE"), person, person},
		{"other user", alice, with(user("b"), "AIDABOB"), 0, 0},
		{"user who has no id yet", `"arn:aws:iam::111122223333:user/b"`, with(user("b"), "AIDABOB"), person, person},
		{"session of a role", role, with(session("r", "s1"), "AROAROLE"), byRole, byRole},
		{"session of a role made again", role, with(session("r", "s1"), "AROAAGAIN"), 0, byRole},
		{"session of unknown id", role, session("r", "s1"), 0, byRole},
		{"session of a role that is moved", role, with(session("p/r", "s1"), "AROAROLE"), byRole, byRole},
		{"session by its own name", s1, with(session("r", "s1"), "AROAAGAIN"), person, person},
		{"federated user of a user", alice, with(federated("f1", "a"), "AIDAALICE"), byRole, byRole},
		{"federated user of a user made again", alice, with(federated("f1", "a"), "AIDAAGAIN"), 0, byRole},
		{"member of an account", account, with(user("a"), "AIDAAGAIN"), policy.ByAccount, policy.ByAccount},
		{"root user", account, root(), policy.ByAccount, policy.ByAccount},
		{"everybody", `"*"`, with(user("a"), "AIDAAGAIN"), policy.ByEveryone, policy.ByEveryone},
		{"id of one and ARN of another", alice + "," + role, with(user("a"), "AROAROLE"), person, person},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &policy.Request{Principal: c.by, Action: "kms:Decrypt", Resource: keyARN}
			for effect, want := range map[policy.Effect]policy.Way{policy.Allow: c.allow, policy.Deny: c.deny} {
				unbound := parse(t, policy.KeyPolicy, `{"Statement": {"Effect": "`+effect.String()+`", "Principal": {"AWS": [`+c.listed+`]}, "Action": "*", "Resource": "*"}}`)
				before := unbound.Explain(r)[0].Ways
				bound := unbound.Bind(unique)
				if got := bound.Explain(r)[0].Ways; got != want {
					t.Errorf("%v: ways %b, want %b", effect, got, want)
				}
				if diff := cmp.Diff(verdictOf(effect, want), bound.Evaluate(r)); diff != "" {
					t.Errorf("%v: %s", effect, diff)
				}
				if after := unbound.Explain(r)[0].Ways; after != before {
					t.Errorf("%v: the document that was bound has changed: ways %b, before %b", effect, after, before)
				}
				if again := bound.Bind(func(string) string { return "" }); again.Explain(r)[0].Ways != before {
					t.Errorf("%v: bound to nothing it is not what it was", effect)
				}
				if bound.Text() != unbound.Text() || !slices.Equal(slices.Collect(bound.Principals()), slices.Collect(unbound.Principals())) {
					t.Errorf("%v: another text, or other principals", effect)
				}
			}
		})
	}
	for _, c := range []struct {
		name   string
		by     policy.Principal
		denied bool
	}{
		{"user", with(user("a"), "AIDAALICE"), false},
		{"user made again", with(user("a"), "AIDAAGAIN"), true},
		{"user of unknown id", user("a"), true},
		{"session", with(session("r", "s1"), "AROAROLE"), false},
		{"session of a role made again", with(session("r", "s1"), "AROAAGAIN"), true},
		{"session of unknown id", session("r", "s1"), true},
	} {
		t.Run("NotPrincipal, "+c.name, func(t *testing.T) {
			d := parse(t, policy.KeyPolicy, `{"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": [`+account+`,`+alice+`,`+role+`,`+s1+`]}, "Action": "*", "Resource": "*"}}`)
			if got := d.Bind(unique).Evaluate(&policy.Request{Principal: c.by, Action: "kms:Decrypt", Resource: keyARN}).Deny.Found(); got != c.denied {
				t.Errorf("denied: %v, want %v", got, c.denied)
			}
		})
	}
}

// A resource control policy is about whoever asks, and about nobody in particular.
func TestResourceControlPolicy(t *testing.T) {
	for _, by := range append(slices.Clone(requestPrincipals), withBoundary(service("logs.amazonaws.com"))) {
		r := &policy.Request{Principal: by, Action: "kms:Decrypt", Resource: keyARN}
		for _, effect := range effects {
			for _, who := range []string{`"*"`, `{"AWS": "*"}`} {
				d := parse(t, policy.ResourceControlPolicy, `{"Statement": {"Effect": "`+effect.String()+`", "Principal": `+who+`, "Action": "kms:*", "Resource": "*"}}`)
				if got := d.Evaluate(r); got != verdictOf(effect, policy.ByIdentity) {
					t.Errorf("%v of %s by %+v: %+v", effect, who, by, got)
				}
			}
		}
	}
}

func TestIsPrincipalARN(t *testing.T) {
	for s, want := range map[string]bool{
		"arn:aws:iam::111122223333:root": true, "arn:aws:iam::111122223333:user/a": true, "arn:aws:iam::111122223333:role/p/r": true,
		"arn:aws:sts::111122223333:assumed-role/r/s1": true, "arn:aws:sts::111122223333:federated-user/f1": true,
		"": false, "*": false, "111122223333": false, "arn:aws:iam::111122223333:user/*": false, "arn:aws:iam::111122223333:group/g": false,
		"arn:aws:iam::111122223333:saml-provider/Okta": false, "logs.amazonaws.com": false, "AIDAEXAMPLE": false, keyARN: false,
	} {
		if got := policy.IsPrincipalARN(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// verdictOf is the verdict on a document whose only statement matches in the given ways.
func verdictOf(e policy.Effect, w policy.Way) policy.Verdict {
	index := func(found bool) policy.Index {
		if found {
			return 0
		}
		return policy.None
	}
	allow := e == policy.Allow
	return policy.Verdict{
		Deny:      index(!allow && w != 0),
		Principal: index(allow && w&policy.ByPrincipal != 0),
		Role:      index(allow && w&policy.ByRole != 0),
		Everyone:  index(allow && w&policy.ByEveryone != 0),
		Account:   index(allow && w&policy.ByAccount != 0),
		Identity:  index(allow && w&policy.ByIdentity != 0),
		Lasting:   true,
	}
}

func TestNotPrincipal(t *testing.T) {
	const (
		account = `"arn:aws:iam::111122223333:root"`
		role    = `"arn:aws:iam::111122223333:role/r"`
		s1      = `"arn:aws:sts::111122223333:assumed-role/r/s1"`
		alice   = `"arn:aws:iam::111122223333:user/a"`
		fed     = `"arn:aws:sts::111122223333:federated-user/f1"`
	)
	for _, c := range []struct {
		name, listed string
		by           policy.Principal
		denied       bool
	}{
		{"user, all names", account + "," + alice, user("a"), false},
		{"user, bare account id", `"111122223333",` + alice, user("a"), false},
		{"user without account", alice, user("a"), true},
		{"user by account only", account, user("a"), true},
		{"user with a boundary", account + "," + alice, withBoundary(user("a")), true},
		{"other user", account + "," + alice, user("b"), true},
		{"session, all names", account + "," + role + "," + s1, session("r", "s1"), false},
		{"session without account", role + "," + s1, session("r", "s1"), true},
		{"session without role", account + "," + s1, session("r", "s1"), true},
		{"session by role", account + "," + role, session("r", "s1"), true},
		{"other session", account + "," + role + "," + s1, session("r", "s2"), true},
		{"session with a boundary", account + "," + role + "," + s1, withBoundary(session("r", "s1")), true},
		{"federated user, all names", account + "," + fed, federated("f1", "a"), false},
		{"federated user by its user", account + "," + alice, federated("f1", "a"), true},
		{"federated user without account", fed, federated("f1", "a"), true},
		{"root user", account, root(), false},
		{"root user of another account", `"444455556666"`, root(), true},
		{"service", account, service("logs.amazonaws.com"), true},
		{"nobody", account, policy.Principal{}, true},
		{"unknown type", account + "," + alice, policy.Principal{Type: 9, ARN: "arn:aws:iam::111122223333:user/a", Account: "111122223333"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := parse(t, policy.KeyPolicy, `{"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": [`+c.listed+`]}, "Action": "*", "Resource": "*"}}`)
			r := &policy.Request{Principal: c.by, Action: "kms:Decrypt", Resource: keyARN}
			if got := d.Evaluate(r).Deny.Found(); got != c.denied {
				t.Errorf("denied: %v, want %v", got, c.denied)
			}
		})
	}
	t.Run("service by name", func(t *testing.T) {
		d := parse(t, policy.KeyPolicy, `{"Statement": {"Effect": "Deny", "NotPrincipal": {"Service": "logs.amazonaws.com"}, "Action": "*", "Resource": "*"}}`)
		for name, denied := range map[string]bool{"logs.amazonaws.com": false, "ecs.amazonaws.com": true} {
			if got := d.Evaluate(&policy.Request{Principal: service(name), Action: "kms:Decrypt", Resource: keyARN}).Deny.Found(); got != denied {
				t.Errorf("%s denied: %v, want %v", name, got, denied)
			}
		}
	})
}
