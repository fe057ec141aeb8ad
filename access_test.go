package kms_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
)

// statements makes a policy of statements.
func policyWith(all ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`
}

// aboutEncrypt is a statement about kms:Encrypt: its effect, its Principal or NotPrincipal, and its Condition if there is one.
func aboutEncrypt(effect, principal, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return fmt.Sprintf(`{"Effect":"%s",%s,"Action":["kms:Encrypt","kms:PutKeyPolicy"],"Resource":"*"%s}`, effect, principal, condition)
}

// tells reports whether an access tells of a caller that is named in these ways.
func tells(a kms.Access, names []string, account string) bool {
	return a.Everyone || slices.Contains(a.OtherAccounts, account) ||
		slices.ContainsFunc(a.Principals, func(p kms.PrincipalAccess) bool { return slices.Contains(names, p.Principal) })
}

const googleProvider = "arn:aws:iam::111122223333:oidc-provider/accounts.google.com"

// TestWhoCanOmitsNobody: who may by some circumstance that its name does not tell is reported as well.
func TestWhoCanOmitsNobody(t *testing.T) {
	const session, fay = "arn:aws:sts::111122223333:assumed-role/", "arn:aws:sts::444455556666:federated-user/fay"
	aws := func(names ...string) string { return `"Principal":{"AWS":["` + strings.Join(names, `","`) + `"]}` }
	for name, tc := range map[string]struct {
		identities bool
		policy     string
		who        kms.Caller
		told       string // empty: that it is everyone
	}{
		"by an identity provider":        {true, aboutEncrypt("Allow", `"Principal":{"Federated":"`+googleProvider+`"}`, ""), kms.Role("app").WithProvider(googleProvider), roleARN(owner, "app")},
		"by a provider and unknown":      {false, aboutEncrypt("Allow", `"Principal":{"Federated":"`+googleProvider+`"}`, ""), kms.Role("app").WithProvider(googleProvider), googleProvider},
		"a session beside one denied":    {true, aboutEncrypt("Allow", aws(roleARN(owner, "app")), "") + "," + aboutEncrypt("Deny", aws(session+"app/app"), ""), kms.Session("app", "two"), roleARN(owner, "app")},
		"one of the account":             {false, aboutEncrypt("Allow", `"Principal":"*"`, `{"StringEquals":{"kms:CallerAccount":"111122223333"}}`), kms.User("zed"), ""},
		"one by the ARN":                 {false, aboutEncrypt("Allow", `"Principal":"*"`, `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/z*"}}`), kms.User("zed"), ""},
		"whom a user federates":          {true, aboutEncrypt("Allow", aws(userARN(owner, "alice")), `{"StringEquals":{"aws:PrincipalType":"FederatedUser"}}`), kms.FederatedUser("alice", "fay").WithSessionPolicies(allowing("kms:*")), userARN(owner, "alice")},
		"whom a foreign user federates":  {true, aboutEncrypt("Allow", aws(fay), ""), kms.FederatedUser("far", "fay").InAccount(foreign).WithSessionPolicies(allowing("kms:*")), fay},
		"a session of a role of a path":  {false, aboutEncrypt("Allow", aws(session+"app/one"), "") + "," + aboutEncrypt("Deny", `"NotPrincipal":{"AWS":["111122223333","`+roleARN(owner, "p/app")+`","`+session+`app/one"]}`, ""), kms.Session("p/app", "one"), session + "app/one"},
		"of a foreign account by an ARN": {true, aboutEncrypt("Allow", aws(foreign), `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::444455556666:user/f*"}}`), kms.User("far").InAccount(foreign), userARN(foreign, "far")},
	} {
		t.Run(name, func(t *testing.T) {
			d := people(t, map[string][]string{userARN(owner, "alice"): nil, roleARN(owner, "app"): nil, userARN(foreign, "far"): {allowing("kms:*")}})
			f := open(t, func(c *kms.Config) {
				if tc.identities {
					c.Identities = d
				}
			})
			key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: policyWith(tc.policy), BypassPolicyLockoutSafetyCheck: true}))(t)
			check(t, use(t, f.As(tc.who), key.ARN, nil))
			a := must(f.WhoCan(t.Context(), key.ARN, "Encrypt"))(t)
			if tc.told == "" && !(a.Everyone && a.OnlyIf) || tc.told != "" && !slices.ContainsFunc(a.Principals, func(p kms.PrincipalAccess) bool { return p.Principal == tc.told }) {
				t.Errorf("%v may, and is not told of: %+v", tc.who, a)
			}
			if a.Unadministered && !strings.Contains(tc.who.String(), foreign) {
				t.Error("it is said that nobody can put its policy")
			}
		})
	}
}

// TestWhoCanAgainstCalls: whoever a call lets is one of whom WhoCan tells, and whoever it tells of without conditions is let. Simulate foretells each call.
func TestWhoCanAgainstCalls(t *testing.T) {
	policies, calls := 60, 40
	if os.Getenv("KMS_SOAK") != "" {
		policies, calls = 20_000, 60
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	names := []string{
		owner, foreign, "arn:aws:iam::444455556666:root", userARN(owner, "alice"), userARN(owner, "ops/bob"), userARN(foreign, "far"), roleARN(owner, "p/app"), roleARN(owner, "app2"),
		roleARN(foreign, "there"), "arn:aws:sts::111122223333:assumed-role/app/app", "arn:aws:sts::111122223333:assumed-role/app/two", "arn:aws:sts::444455556666:assumed-role/there/there",
		"arn:aws:sts::111122223333:federated-user/fay", "arn:aws:sts::444455556666:federated-user/fay",
	}
	principal := func() string {
		switch r.IntN(8) {
		case 0:
			return `"*"`
		case 1:
			return `{"Service":"logs.amazonaws.com"}`
		case 2:
			return `{"Federated":"` + googleProvider + `"}`
		default:
			return `{"AWS":["` + one(names...) + `","` + one(names...) + `"]}`
		}
	}
	condition := func() string {
		if r.IntN(2) == 0 {
			return ""
		}
		op := one("StringEquals", "StringNotEquals", "StringLike", "StringEqualsIfExists", "ForAnyValue:StringEquals", "ForAllValues:StringLike")
		return `{"` + op + `":` + one(
			`{"aws:PrincipalArn":"`+one(names...)+`"}`, `{"aws:PrincipalArn":"*/app"}`, `{"aws:PrincipalType":"`+one("User", "AssumedRole", "FederatedUser", "Account")+`"}`,
			`{"kms:CallerAccount":"`+one(owner, foreign)+`"}`, `{"aws:username":"`+one("alice", "bob")+`"}`, `{"aws:userid":"*:two"}`, `{"kms:ViaService":"s3.eu-central-1.amazonaws.com"}`,
			`{"aws:PrincipalTag/team":"a"}`, `{"kms:EncryptionContext:k":"v"}`, `{"aws:FederatedProvider":"`+googleProvider+`"}`, `{"aws:MultiFactorAuthPresent":"true"}`,
			`{"aws:PrincipalIsAWSService":"`+one("true", "false")+`"}`, `{"kms:KeySpec":"SYMMETRIC_DEFAULT"}`, `{"aws:PrincipalOrgID":"o-1"}`, `{"kms:EncryptionContext:k":"${aws:username}"}`) + `}`
	}
	statement := func() string {
		switch {
		case r.IntN(12) == 0:
			return aboutEncrypt("Deny", `"NotPrincipal":{"AWS":["`+strings.Join([]string{one(names...), owner, one(names...), one(names...), one(names...)}, `","`)+`"]}`, condition())
		case r.IntN(4) == 0:
			return aboutEncrypt("Deny", `"Principal":`+principal(), condition())
		default:
			return aboutEncrypt("Allow", `"Principal":`+principal(), condition())
		}
	}
	identity := func() string {
		text := allowing("kms:*")
		if c := condition(); c != "" {
			text = strings.Replace(text, `"Resource":"*"`, `"Resource":"*","Condition":`+c, 1)
		}
		if r.IntN(5) == 0 {
			text = strings.Replace(text, "Allow", "Deny", 1)
		}
		return text
	}
	// who is a caller with some circumstances, how the report may name it, and whether it has any circumstances.
	who := func() (kms.Caller, []string, bool) {
		account := one(owner, owner, owner, foreign)
		arns := func(role, session string) []string {
			return []string{roleARN(account, role), "arn:aws:sts::" + account + ":assumed-role/" + role[strings.LastIndexByte(role, '/')+1:] + "/" + session, googleProvider}
		}
		var c kms.Caller
		var called []string
		plain := false
		switch r.IntN(6) {
		case 0:
			return kms.Service("logs.amazonaws.com"), []string{"logs.amazonaws.com"}, true
		case 1, 2:
			name := one("alice", "ops/bob", "far", "zed")
			c, called, plain = kms.User(name), []string{userARN(account, name)}, true
		case 3:
			user := one("alice", "far", "zed")
			c, called = kms.FederatedUser(user, one("fay", "guy")), []string{userARN(account, user)}
			called = append(called, "arn:aws:sts::"+account+":federated-user/fay")
			if r.IntN(3) > 0 {
				c = c.WithSessionPolicies(allowing("kms:*"))
			}
		default:
			role, session := one("p/app", "app2", "there"), one("app", "two", "there", "three")
			c, called = kms.Session(role, session), arns(role, session)
			if r.IntN(3) == 0 {
				c = c.WithProvider(googleProvider)
			}
		}
		c = c.InAccount(account)
		for _, with := range []func(kms.Caller) kms.Caller{
			func(c kms.Caller) kms.Caller { return c.Via("s3.amazonaws.com") }, func(c kms.Caller) kms.Caller { return c.WithTags(kms.Tag{Key: "team", Value: "a"}) },
			func(c kms.Caller) kms.Caller { return c.WithMFA(epoch) }, func(c kms.Caller) kms.Caller { return c.InOrganization("o-1") },
		} {
			if r.IntN(3) == 0 {
				c, plain = with(c), false
			}
		}
		return c, called, plain
	}
	let, told := 0, 0
	for range policies {
		byARN := map[string][]string{}
		withPeople := r.IntN(2) == 0
		for _, arn := range []string{userARN(owner, "alice"), userARN(owner, "ops/bob"), userARN(foreign, "far"), roleARN(owner, "p/app"), roleARN(owner, "app2"), roleARN(foreign, "there")} {
			for byARN[arn] = nil; r.IntN(2) == 0; {
				byARN[arn] = append(byARN[arn], identity())
			}
		}
		d := people(t, byARN)
		f := open(t, func(c *kms.Config) {
			if withPeople {
				c.Identities = d
			}
		})
		var parts []string
		for range 1 + r.IntN(4) {
			parts = append(parts, statement())
		}
		text := policyWith(parts...)
		key, err := f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: text, BypassPolicyLockoutSafetyCheck: true})
		if errors.Is(err, kms.ErrMalformedPolicy) { // some operators do not go with some keys
			continue
		}
		check(t, err)
		a := must(f.WhoCan(t.Context(), key.ARN, "Encrypt"))(t)
		for range calls {
			caller, called, plain := who()
			var ec kms.EncryptionContext
			if r.IntN(2) == 0 {
				ec = kms.EncryptionContext{"k": one("v", "alice")}
			}
			account := ""
			if strings.Contains(called[0], foreign) {
				account = foreign
			}
			err := use(t, f.As(caller), key.ARN, ec)
			if err != nil && !errors.Is(err, kms.ErrAccessDenied) {
				t.Fatal(err)
			}
			s := must(f.Simulate(t.Context(), caller, func(ctx context.Context, c *kms.Client) error { // which asks anew what a call may remember
				_, err := c.Encrypt(ctx, key.ARN, []byte("x"), ec)
				return err
			}))(t)
			if (s.Err == nil) != (err == nil) {
				t.Fatalf("seed %d: %v with %v: %v, and simulated %v\n%s\nidentities %t: %v", seed, caller, ec, err, s.Err, text, withPeople, byARN)
			}
			if err == nil {
				let++
				if !tells(a, called, account) {
					t.Fatalf("seed %d: %v may with %v, and is not told of: %+v\n%s\nidentities %t: %v", seed, caller, ec, a, text, withPeople, byARN)
				}
			}
			for _, p := range a.Principals {
				if p.Principal == called[0] && plain && !p.Conditional {
					told++
					if err != nil {
						t.Fatalf("seed %d: %v may unconditionally, and may not: %v\n%s\nidentities %t: %v", seed, caller, err, text, withPeople, byARN)
					}
				}
			}
		}
	}
	t.Logf("%d calls were allowed, %d by who is told of without conditions", let, told)
	if let < policies || told == 0 {
		t.Errorf("%d calls were allowed, %d by who is told of without conditions: too few to show anything", let, told)
	}
}
