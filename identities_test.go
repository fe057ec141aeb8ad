package kms_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/policy"
)

// TestIdentitiesDecide: what IAM says takes effect at the next call, and whoever is unknown is nobody.
func TestIdentitiesDecide(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): nil, roleARN(owner, "path/app"): {allowing("kms:Encrypt")}})
	f := open(t, withIdentities(d))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	alice, app := f.As(kms.User("alice")), f.As(kms.Role("path/app"))
	wantCode(t, use(t, alice, key.ARN, nil), kms.ErrAccessDenied)
	check(t, use(t, app, key.ARN, nil))
	wantCode(t, use(t, f.As(kms.User("bob")), key.ARN, nil), kms.ErrAccessDenied)
	wantCode(t, use(t, f.As(kms.Role("app")), key.ARN, nil), kms.ErrAccessDenied) // another role

	change := func(arn string, edit func(*kms.Identity)) {
		next := kms.Identity{ARN: arn}
		if was := d.identities[arn]; was != nil {
			next = *was
		}
		edit(&next)
		d.identities[arn] = &next
	}
	change(userARN(owner, "alice"), func(i *kms.Identity) { i.Policies = []*kms.PolicyDocument{identityPolicy(t, allowing("kms:*"))} })
	for range 3 { // the second and third time it is remembered
		check(t, use(t, alice, key.ARN, nil))
	}
	change(userARN(owner, "alice"), func(i *kms.Identity) { i.Boundary = identityPolicy(t, allowing("s3:*")) })
	wantCode(t, use(t, alice, key.ARN, nil), kms.ErrAccessDenied)
	change(userARN(owner, "alice"), func(i *kms.Identity) { i.Boundary = identityPolicy(t, allowing("s3:*", "kms:Encrypt")) })
	check(t, use(t, alice, key.ARN, nil))
	delete(d.identities, userARN(owner, "alice"))
	wantCode(t, use(t, alice, key.ARN, nil), kms.ErrAccessDenied)

	d.accounts[owner] = &kms.Account{ID: owner, ServiceControl: [][]*kms.PolicyDocument{{identityPolicy(t, allowing("*"))}, {identityPolicy(t, allowing("s3:*"))}}}
	wantCode(t, use(t, app, key.ARN, nil), kms.ErrAccessDenied)
	_, err := f.DescribeKey(t.Context(), key.ARN) // the root user too
	if !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), "service control policy") {
		t.Errorf("within a service control policy: %v", err)
	}
	everything := must(policy.Parse(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`, policy.ResourceControlPolicy))(t)
	nothing := must(policy.Parse(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*"}}`, policy.ResourceControlPolicy))(t)
	d.accounts[owner] = &kms.Account{ID: owner, ResourceControl: [][]*kms.PolicyDocument{{everything, nothing}}}
	wantCode(t, use(t, app, key.ARN, nil), kms.ErrAccessDenied)
	d.accounts[owner] = &kms.Account{ID: owner, ResourceControl: [][]*kms.PolicyDocument{{everything}}}
	check(t, use(t, app, key.ARN, nil))
}

// TestWithoutAKey: what has no key is the root user's, and theirs to whom identity policies give it. An alias takes both: the alias by an identity policy, the key by
// whatever.
func TestWithoutAKey(t *testing.T) {
	alias := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateAlias","Resource":"arn:aws:kms:eu-central-1:111122223333:alias/app"}]}`
	key := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateAlias","Resource":"arn:aws:kms:*:111122223333:key/*"}]}`
	f := open(t, withIdentities(people(t, map[string][]string{
		userARN(owner, "creator"): {allowing("kms:CreateKey", "kms:PutKeyPolicy")}, userARN(owner, "alias-only"): {alias}, userARN(owner, "key-only"): {key},
		userARN(owner, "both"): {alias, key}, userARN(owner, "narrow"): {strings.Replace(allowing("kms:CreateKey", "kms:PutKeyPolicy"), `"*"`, `"arn:aws:kms:*:111122223333:key/*"`, 1)},
	})))
	create := func(who string, tags ...kms.Tag) error {
		_, err := f.As(kms.User(who)).CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating, Tags: tags})
		return err
	}
	check(t, create("creator"))
	wantCode(t, create("creator", kms.Tag{Key: "a"}), kms.ErrAccessDenied) // kms:TagResource is a permission of its own
	wantCode(t, create("narrow"), kms.ErrAccessDenied)                     // there is no resource that an ARN could name
	wantCode(t, create("both"), kms.ErrAccessDenied)
	made := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	for _, who := range []string{"alias-only", "key-only", "creator"} {
		wantCode(t, f.As(kms.User(who)).CreateAlias(t.Context(), "alias/app", made.ARN), kms.ErrAccessDenied)
	}
	wantCode(t, f.As(kms.User("both")).CreateAlias(t.Context(), "alias/other", made.ARN), kms.ErrAccessDenied)
	check(t, f.As(kms.User("both")).CreateAlias(t.Context(), "alias/app", made.ARN))
}

// TestPrincipalsMustExist: with identities, a policy cannot name a principal that there is not. Without, every well-formed one is taken.
func TestPrincipalsMustExist(t *testing.T) {
	f := open(t, withIdentities(people(t, map[string][]string{userARN(owner, "alice"): nil, roleARN(owner, "path/app"): nil, roleARN(foreign, "far"): nil})))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	free := open(t)
	freeKey := must(free.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	for principal, exists := range map[string]bool{
		userARN(owner, "alice"): true, userARN(owner, "Alice"): false, userARN(owner, "bob"): false, roleARN(owner, "path/app"): true, roleARN(owner, "app"): false,
		"arn:aws:sts::111122223333:assumed-role/app/any": true, "arn:aws:sts::111122223333:assumed-role/other/any": false,
		"arn:aws:sts::111122223333:federated-user/fay": true, "arn:aws:sts::999999999999:federated-user/fay": false,
		foreign: true, "999999999999": false, "arn:aws:iam::444455556666:root": true, "arn:aws:iam::999999999999:root": false, roleARN(foreign, "far"): true, roleARN(foreign, "near"): false,
		strings.Replace(userARN(owner, "alice"), "arn:aws:", "arn:aws-cn:", 1): false,
	} {
		in := kms.PutKeyPolicyInput{Policy: strings.Replace(delegating, `"111122223333"`, `["111122223333","`+principal+`"]`, 1)}
		want := map[bool]kms.Code{false: kms.ErrMalformedPolicy}[exists]
		if err := f.PutKeyPolicy(t.Context(), key.ARN, in); (err == nil) != exists || !exists && !errors.Is(err, want) {
			t.Errorf("%s: %v", principal, err)
		}
		if err := free.PutKeyPolicy(t.Context(), freeKey.ARN, in); err != nil {
			t.Errorf("without identities, %s: %v", principal, err)
		}
	}
}

// TestNamesAreNotPeople: a user who was deleted and made again has none of what a key policy or a grant gave to the one before, but whatever they deny.
func TestNamesAreNotPeople(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): nil, roleARN(owner, "app"): nil})
	d.identities[userARN(owner, "alice")].ID, d.identities[roleARN(owner, "app")].ID = "AIDAFIRST", "AROAFIRST"
	f := open(t, withIdentities(d))
	named := must(f.CreateKey(t.Context(), kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: true, Policy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:GetKeyPolicy","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":["%s","%s"]},"Action":"kms:Encrypt","Resource":"*"}]}`, userARN(owner, "alice"), roleARN(owner, "app"))}))(t)
	denied := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(everyone, `]}`,
		`,{"Effect":"Deny","Principal":{"AWS":"`+userARN(owner, "alice")+`"},"Action":"kms:Encrypt","Resource":"*"}]}`, 1)}))(t)
	granted := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	for _, who := range []string{userARN(owner, "alice"), roleARN(owner, "app")} {
		must(f.CreateGrant(t.Context(), granted.ARN, kms.CreateGrantInput{GranteePrincipal: who, Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	}
	alice, app := f.As(kms.User("alice")), f.As(kms.Role("app"))
	for _, c := range []*kms.Client{alice, app} {
		check(t, use(t, c, named.ARN, nil))
		check(t, use(t, c, granted.ARN, nil))
	}
	wantCode(t, use(t, alice, denied.ARN, nil), kms.ErrAccessDenied)
	if text := must(f.GetKeyPolicy(t.Context(), named.ARN))(t); strings.Contains(text, "AIDAFIRST") || !strings.Contains(text, userARN(owner, "alice")) {
		t.Errorf("who is there is shown as %s", text)
	}
	d.identities[userARN(owner, "alice")] = &kms.Identity{ARN: userARN(owner, "alice"), ID: "AIDASECOND"}
	d.identities[roleARN(owner, "app")] = &kms.Identity{ARN: roleARN(owner, "app"), ID: "AROASECOND"}
	for _, c := range []*kms.Client{alice, app} {
		wantCode(t, use(t, c, named.ARN, nil), kms.ErrAccessDenied)
		wantCode(t, use(t, c, granted.ARN, nil), kms.ErrAccessDenied)
	}
	wantCode(t, use(t, alice, denied.ARN, nil), kms.ErrAccessDenied)
	if text := must(f.GetKeyPolicy(t.Context(), named.ARN))(t); !strings.Contains(text, `["AIDAFIRST","AROAFIRST"]`) || strings.Contains(text, "alice") {
		t.Errorf("who is gone is shown as %s", text)
	}
	// Saying it again gives it to the new one.
	check(t, f.PutKeyPolicy(t.Context(), granted.ARN, kms.PutKeyPolicyInput{Policy: strings.Replace(delegating, `"111122223333"`, `["111122223333","`+userARN(owner, "alice")+`"]`, 1)}))
	check(t, use(t, alice, granted.ARN, nil))
	if got := must(f.Check(t.Context()))(t).Problems; len(got) != 0 {
		t.Error(got)
	}
}

// TestCircumstances: what a caller brings is what policies see.
func TestCircumstances(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): nil, roleARN(owner, "app"): nil})
	d.identities[userARN(owner, "alice")].ID, d.identities[roleARN(owner, "app")].ID = "AIDAALICE", "AROAAPP"
	d.identities[userARN(owner, "alice")].Tags = []kms.Tag{{Key: "Team", Value: "blue"}}
	d.identities[roleARN(owner, "app")].Tags = []kms.Tag{{Key: "Team", Value: "blue"}, {Key: "Stage", Value: "test"}}
	d.accounts[owner] = &kms.Account{ID: owner, OrganizationID: "o-1", OrganizationPaths: []string{"o-1/r-1/ou-1/"}}
	f := open(t, withIdentities(d))
	free := open(t)
	web := kms.Connection{SourceIP: netip.MustParseAddr("203.0.113.7"), Secure: true, UserAgent: "aws-cli/2", Referer: "https://example.org"}
	private := kms.Connection{SourceIP: netip.MustParseAddr("10.0.0.7"), VPC: "vpc-1", VPCEndpoint: "vpce-1"}
	alice, app := kms.User("alice"), kms.Role("app")
	logs := kms.Service("logs.amazonaws.com").ForSource(kms.SourceResource{ARN: "arn:aws:s3:::b", AccountID: owner, OrganizationID: "o-9"})
	for _, tc := range []struct {
		caller    kms.Caller
		condition string
		want      bool
	}{
		{alice, `"StringEquals":{"aws:userid":"AIDAALICE","aws:PrincipalTag/team":"blue","aws:PrincipalOrgID":"o-1"}`, true},
		{alice.WithTags(kms.Tag{Key: "TEAM", Value: "red"}), `"StringEquals":{"aws:PrincipalTag/team":"red"}`, true}, // over the user's own
		{app, `"StringEquals":{"aws:userid":"AROAAPP:app","aws:PrincipalTag/stage":"test"},"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-1/*"}`, true},
		{app.WithTags(kms.Tag{Key: "a", Value: "1"}).WithTags(kms.Tag{Key: "A", Value: "2"}), `"StringEquals":{"aws:PrincipalTag/a":"2","aws:PrincipalTag/Team":"blue"}`, true},
		{alice.InOrganization("o-2", "o-2/r-2/"), `"StringEquals":{"aws:PrincipalOrgID":"o-2"},"ForAllValues:StringEquals":{"aws:PrincipalOrgPaths":"o-2/r-2/"}`, true},
		{alice, `"Null":{"aws:MultiFactorAuthPresent":"true","aws:MultiFactorAuthAge":"true","aws:TokenIssueTime":"true"}`, true},
		{app, `"Bool":{"aws:MultiFactorAuthPresent":"true"}`, false},
		{app, `"Bool":{"aws:MultiFactorAuthPresent":"false"}`, true},
		{alice.WithMFA(epoch.Add(-time.Minute)), `"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericEquals":{"aws:MultiFactorAuthAge":60}`, true},
		{alice.WithMFA(epoch.Add(time.Hour)), `"NumericLessThan":{"aws:MultiFactorAuthAge":300}`, false}, // by whose clock?
		{alice.WithMFA(epoch.Add(time.Second)), `"NumericEquals":{"aws:MultiFactorAuthAge":0}`, true},
		{alice.WithLifetime(epoch.Add(-time.Hour), epoch.Add(time.Hour)), `"Bool":{"aws:MultiFactorAuthPresent":"false"},"DateEquals":{"aws:TokenIssueTime":"2026-03-01T09:00:00Z"}`, true},
		{alice.Over(web), `"IpAddress":{"aws:SourceIp":"203.0.113.0/24"},"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:UserAgent":"aws-cli/2","aws:Referer":"https://example.org"}`, true},
		{alice.Over(web), `"Null":{"aws:VpcSourceIp":"true","aws:SourceVpc":"true","aws:SourceVpce":"true"}`, true},
		{alice.Over(private), `"IpAddress":{"aws:VpcSourceIp":"10.0.0.7"},"StringEquals":{"aws:SourceVpc":"vpc-1","aws:SourceVpce":"vpce-1"},"Bool":{"aws:SecureTransport":"false"},"Null":{"aws:SourceIp":"true"}`, true},
		{alice.Over(web).Via("objectstore.amazonaws.com"), `"Null":{"aws:SourceIp":"true","aws:UserAgent":"true"},"StringEquals":{"kms:ViaService":"objectstore.eu-central-1.amazonaws.com"}`, true},
		{alice.Via("a.amazonaws.com").Via("b.amazonaws.com"), `"StringEquals":{"kms:ViaService":"b.eu-central-1.amazonaws.com","aws:CalledViaFirst":"a.amazonaws.com","aws:CalledViaLast":"b.amazonaws.com"},
			"ForAnyValue:StringEquals":{"aws:CalledVia":"a.amazonaws.com"},"Bool":{"aws:ViaAWSService":"true"}`, true},
		{alice, `"Null":{"kms:ViaService":"true","aws:CalledVia":"true","aws:CalledViaFirst":"true","aws:CalledViaLast":"true","aws:SourceArn":"true","aws:SourceAccount":"true","aws:SourceOrgID":"true"}`, true},
		{app.WithProvider("accounts.google.com"), `"StringEquals":{"aws:FederatedProvider":"accounts.google.com"}`, true},
		{kms.FederatedUser("alice", "fay"), `"StringEquals":{"aws:PrincipalType":"FederatedUser","aws:userid":"111122223333:fay","aws:PrincipalArn":"arn:aws:sts::111122223333:federated-user/fay"}`, true},
		{logs, `"StringEquals":{"aws:SourceArn":"arn:aws:s3:::b","aws:SourceAccount":"111122223333","aws:SourceOrgID":"o-9"},"ForAnyValue:StringEquals":{"aws:PrincipalServiceNamesList":"logs.amazonaws.com"}`, true},
		{logs, `"Null":{"aws:PrincipalOrgID":"true","aws:PrincipalTag/team":"true","aws:PrincipalOrgPaths":"true"}`, true},
	} {
		principal := `{"AWS":["` + userARN(owner, "alice") + `","` + roleARN(owner, "app") + `","arn:aws:sts::111122223333:federated-user/fay"],"Service":"logs.amazonaws.com"}`
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":"kms:Encrypt","Resource":"*","Condition":{%s}}]}`, principal, tc.condition)
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: text, BypassPolicyLockoutSafetyCheck: true}))(t)
		if err := use(t, f.As(tc.caller), key.ARN, nil); (err == nil) != tc.want || err != nil && !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v if %s: %v", tc.caller, tc.condition, err)
		}
	}
	// Without identities, the caller's own word counts.
	key := must(free.CreateKey(t.Context(), kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: true,
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red","aws:PrincipalOrgID":"o-2"}}}]}`}))(t)
	wantCode(t, use(t, free.As(alice), key.ARN, nil), kms.ErrAccessDenied)
	check(t, use(t, free.As(alice.WithTags(kms.Tag{Key: "Team", Value: "red"}).InOrganization("o-2")), key.ARN, nil))
}

// TestForeignNames: what a caller of another account names by less than an ARN is in its own account, also if somebody here has just used the name.
func TestForeignNames(t *testing.T) {
	f := open(t, withIdentities(people(t, map[string][]string{userARN(foreign, "far"): {allowing("kms:*")}})))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(delegating, `"111122223333"`, `["111122223333","444455556666"]`, 1)}))(t)
	check(t, f.CreateAlias(t.Context(), "alias/a", key.ARN))
	far := f.As(kms.User("far").InAccount(foreign))
	aliasARN := strings.Replace(key.ARN, "key/"+key.KeyID, "alias/a", 1)
	for range 2 {
		for _, ref := range []string{key.KeyID, "alias/a"} {
			check(t, use(t, f.As(kms.Root()), ref, nil))
			wantCode(t, use(t, far, ref, nil), kms.ErrAccessDenied)
		}
		for _, ref := range []string{key.ARN, aliasARN} {
			check(t, use(t, far, ref, nil))
		}
	}
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	must(far.Decrypt(t.Context(), out.Ciphertext, nil))(t)
	check(t, f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: delegating}))
	_, err := far.Decrypt(t.Context(), out.Ciphertext, nil)
	wantCode(t, err, kms.ErrAccessDenied)
}

func TestImpossibleCallers(t *testing.T) {
	f := open(t)
	key := f.create()
	for _, c := range []kms.Caller{
		{}, kms.User(""), kms.User("a b"), kms.Role("x/"), kms.Session("app", "a"), kms.FederatedUser("alice", "a b"), kms.FederatedUser("", "fay"), kms.Service("logs"),
		kms.User("a").InAccount("1"), kms.Service("logs.amazonaws.com").InAccount(owner), kms.User("a").WithTags(kms.Tag{Key: "x"}, kms.Tag{Key: "X"}), kms.User("a").WithTags(kms.Tag{}),
		kms.User("a").WithSessionPolicies(), kms.User("a").WithSessionPolicies("{}"), kms.Service("logs.amazonaws.com").WithSessionPolicies(allowing("kms:*")),
		kms.User("a").WithLifetime(epoch, epoch), kms.User("a").WithLifetime(time.Time{}.Add(-1), time.Time{}), kms.User("a").WithProvider("accounts.google.com"), kms.Role("app").WithProvider(""), kms.User("a").InOrganization(""),
		kms.User("a").Via("objectstore"), kms.Service("logs.amazonaws.com").Via("objectstore.amazonaws.com"), kms.User("a").ForSource(kms.SourceResource{ARN: "arn:aws:s3:::b"}),
	} {
		if c.Err() == nil || c.String() != "invalid caller" {
			t.Errorf("%v can be", c)
		}
		if err := use(t, f.As(c), key.ARN, nil); !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), "not valid") {
			t.Errorf("%v: %v", c.Err(), err)
		}
	}
	for _, c := range []kms.Caller{kms.Root(), kms.User("a").InAccount(foreign), kms.FederatedUser("ops/alice", "fay"), kms.Role("app").Via("objectstore.amazonaws.com"), kms.Service("logs.amazonaws.com")} {
		if c.Err() != nil || c.String() == "" || c.String() == "invalid caller" {
			t.Errorf("%v cannot be: %v", c, c.Err())
		}
	}
}

// TestSimulate: a simulation says what the operation would say, does nothing, and tells why.
func TestSimulate(t *testing.T) {
	f := open(t, withIdentities(people(t, map[string][]string{userARN(owner, "alice"): {allowing("kms:Decrypt", "kms:CreateGrant")}, userARN(owner, "bob"): nil})))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(delegating, `"kms:*","Resource":"*"`,
		`"kms:*","Resource":"*"},{"Sid":"Tenant","Effect":"Allow","Principal":{"AWS":"`+userARN(owner, "bob")+`"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:Tenant":"42"}}`, 1)}))(t)
	text := must(f.GetKeyPolicy(t.Context(), key.ARN))(t)
	f.trail.Reset()
	decrypt := func(who kms.Caller, ec kms.EncryptionContext) kms.Simulation {
		return must(f.Simulate(t.Context(), who, func(ctx context.Context, c *kms.Client) error {
			_, err := c.Decrypt(ctx, nil, ec, kms.WithKey(key.ARN))
			return err
		}))(t)
	}
	s := decrypt(kms.User("alice"), nil)
	if s.Err != nil || !s.Allowed() || len(s.Permissions) != 1 || s.Permissions[0].Action != "kms:Decrypt" || s.Permissions[0].Resource != key.ARN {
		t.Errorf("allowed: %+v", s)
	}
	if g := s.Permissions[0].Explanation.Grounds(); len(g) != 2 || g[0].Source != kms.SourceKeyPolicy || g[1].Source != kms.SourceIdentity {
		t.Errorf("it rests on %v", g)
	}
	s = decrypt(kms.User("bob"), nil)
	why := s.Permissions[0].Explanation
	if !errors.Is(s.Err, kms.ErrAccessDenied) || s.Allowed() || why.Missing() != kms.SourceIdentity ||
		!strings.Contains(why.String(), `Statement "Tenant" does not apply: StringEquals kms:EncryptionContext:Tenant wants ["42"] and the request has none`) ||
		!strings.Contains(why.String(), "matches by the caller's account, and leaves it to identity-based policies") {
		t.Errorf("denied: %v: %v", s.Err, why)
	}
	if s = decrypt(kms.User("carol"), nil); !errors.Is(s.Err, kms.ErrAccessDenied) || !strings.Contains(s.Err.Error(), "have no "+userARN(owner, "carol")) {
		t.Errorf("nobody: %v", s.Err)
	}
	if s = decrypt(kms.User("alice").InAccount("999999999999"), nil); !errors.Is(s.Err, kms.ErrAccessDenied) || !strings.Contains(s.Err.Error(), "have no account 999999999999") {
		t.Errorf("of no account: %v", s.Err)
	}
	s = must(f.Simulate(t.Context(), kms.Root(), func(ctx context.Context, c *kms.Client) error {
		return c.PutKeyPolicy(ctx, key.ARN, kms.PutKeyPolicyInput{Policy: strings.Replace(delegating, owner, userARN(owner, "carol"), 1)})
	}))(t)
	if !errors.Is(s.Err, kms.ErrMalformedPolicy) || !strings.Contains(s.Err.Error(), "Statement[0]: there is no "+userARN(owner, "carol")) {
		t.Errorf("a policy for nobody: %v", s.Err)
	}
	if s = decrypt(kms.User("bob"), kms.EncryptionContext{"tenant": "42"}); s.Err != nil {
		t.Errorf("with its context: %v", s.Err)
	}
	s = must(f.Simulate(t.Context(), kms.User("alice"), func(ctx context.Context, c *kms.Client) error {
		_, err := c.CreateGrant(ctx, key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}})
		return err
	}))(t)
	if s.Err != nil || len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))) != 0 {
		t.Errorf("a simulation made a grant, or would not: %v", s.Err)
	}
	// All that an operation needs is told, whatever is missing.
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	s = must(f.Simulate(t.Context(), kms.User("bob"), func(ctx context.Context, c *kms.Client) error {
		_, err := c.ReEncrypt(ctx, out.Ciphertext, key.ARN, kms.ReEncryptInput{})
		return err
	}))(t)
	if len(s.Permissions) != 2 || s.Permissions[0].Action != "kms:ReEncryptFrom" || s.Permissions[1].Action != "kms:ReEncryptTo" {
		t.Errorf("ReEncrypt needs %+v", s.Permissions)
	}
	// A change that finds nothing to change is admitted twice, and needs its permission once.
	s = must(f.Simulate(t.Context(), kms.Root(), func(ctx context.Context, c *kms.Client) error {
		return c.PutKeyPolicy(ctx, key.ARN, kms.PutKeyPolicyInput{Policy: text})
	}))(t)
	if s.Err != nil || len(s.Permissions) != 1 {
		t.Errorf("PutKeyPolicy needs %+v: %v", s.Permissions, s.Err)
	}
	check(t, f.DisableKey(t.Context(), key.ARN))
	if s = decrypt(kms.User("alice"), nil); !errors.Is(s.Err, kms.ErrDisabled) || !s.Allowed() {
		t.Errorf("disabled: %v", s.Err)
	}
	for _, e := range f.trail.Events() {
		if e.Name != "ListGrants" && e.Name != "Encrypt" && e.Name != "DisableKey" {
			t.Errorf("%s is recorded", e.Name)
		}
	}
	if _, err := f.Simulate(t.Context(), kms.User(""), func(context.Context, *kms.Client) error { return nil }); err == nil {
		t.Error("a caller that cannot be")
	}
	if _, err := f.Simulate(t.Context(), kms.Root(), func(context.Context, *kms.Client) error { return nil }); err == nil {
		t.Error("nothing was asked")
	}
	if _, err := f.Simulate(t.Context(), kms.Root(), nil); err == nil {
		t.Error("no call")
	}
	failed := errors.New("of the caller's own")
	if _, err := f.Simulate(t.Context(), kms.Root(), func(context.Context, *kms.Client) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}

// TestGrantsExplained: of every grant that does not help it is told why.
func TestGrantsExplained(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	tenant := kms.EncryptionContext{"tenant": "42"}
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Constraints: kms.GrantConstraints{EncryptionContextSubset: tenant},
		Operations: []kms.GrantOperation{kms.GrantDecrypt, kms.GrantCreateGrant}}))(t)
	for want, call := range map[string]func(context.Context, *kms.Client) error{
		"it is for other operations": func(ctx context.Context, c *kms.Client) error {
			_, err := c.Encrypt(ctx, key.ARN, []byte("x"), tenant)
			return err
		},
		"its constraint wants another encryption context": func(ctx context.Context, c *kms.Client) error {
			_, err := c.Decrypt(ctx, nil, nil, kms.WithKey(key.ARN))
			return err
		},
		"the new grant would allow more than it does": func(ctx context.Context, c *kms.Client) error {
			_, err := c.CreateGrant(ctx, key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "eve"), Operations: []kms.GrantOperation{kms.GrantDecrypt}})
			return err
		},
	} {
		s := must(f.Simulate(t.Context(), kms.User("bob"), call))(t)
		if why := s.Permissions[0].Explanation.String(); s.Allowed() || !strings.Contains(why, " does not allow it: "+want) {
			t.Errorf("%q is not in %s", want, why)
		}
	}
}

func TestWhoCan(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): {allowing("kms:Decrypt")}, userARN(owner, "bob"): nil, userARN(owner, "carol"): {allowing("kms:*")},
		userARN(foreign, "far"): {allowing("kms:Decrypt")}, userARN(foreign, "idle"): nil, roleARN(owner, "ops/app"): nil})
	d.identities[userARN(owner, "carol")].Boundary = identityPolicy(t, allowing("s3:*"))
	f := open(t, withIdentities(d))
	text := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"` + roleARN(owner, "ops/app") + `"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:Tenant":"42"}}},
		{"Effect":"Allow","Principal":{"AWS":"` + userARN(owner, "bob") + `"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"999999999999"}}},
		{"Effect":"Allow","Principal":{"Service":"logs.amazonaws.com"},"Action":"kms:Decrypt","Resource":"*"}]}`
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: text}))(t)
	grant := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantDecrypt}}))(t)
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	who := func(f *fixture, ref, action string) (a kms.Access, found []string) {
		t.Helper()
		a = must(f.WhoCan(t.Context(), ref, action))(t)
		for _, p := range a.Principals {
			name := p.Principal[strings.LastIndexByte(p.Principal, ':')+1:]
			if p.Conditional {
				name += "?"
			}
			found = append(found, name)
		}
		return a, found
	}
	a, found := who(f, key.ARN, "Decrypt")
	if want := []string{"root", "role/ops/app?", "user/alice", "user/far", "logs.amazonaws.com"}; !sameSet(found, want) {
		t.Errorf("Decrypt: %q, want %q", found, want)
	}
	if len(a.Grants) != 1 || a.Grants[0].GrantID != grant.GrantID || !slices.Equal(a.OtherAccounts, []string{foreign}) || a.Everyone || a.Unadministered || a.Action != "kms:Decrypt" {
		t.Errorf("Decrypt: %+v", a)
	}
	a, found = who(f, key.ARN, "kms:DisableKey") // which is for the account's own only
	if !sameSet(found, []string{"root"}) || len(a.OtherAccounts) != 0 {
		t.Errorf("DisableKey: %q, %q", found, a.OtherAccounts)
	}

	// Who reports is who may: nobody else can, and everybody unconditional can.
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	for caller, may := range map[kms.Caller]bool{kms.User("alice"): true, kms.User("carol"): false, kms.User("far").InAccount(foreign): true, kms.User("idle").InAccount(foreign): false,
		kms.Service("logs.amazonaws.com"): true, kms.Role("ops/app"): false} {
		if _, err := f.As(caller).Decrypt(t.Context(), out.Ciphertext, nil); (err == nil) != may {
			t.Errorf("%v: %v", caller, err)
		}
	}

	open1 := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: everyone}))(t)
	if a, _ := who(f, open1.ARN, "Decrypt"); !a.Everyone || a.OnlyIf {
		t.Errorf("open to everyone: %+v", a)
	}
	narrow := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(everyone, `"Resource":"*"`, `"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`, 1), BypassPolicyLockoutSafetyCheck: true}))(t)
	if a, _ := who(f, narrow.ARN, "Decrypt"); !a.Everyone || !a.OnlyIf {
		t.Errorf("open to an organisation: %+v", a)
	}
	closed := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(everyone, `"kms:*"`, `"kms:Decrypt"`, 1), BypassPolicyLockoutSafetyCheck: true}))(t)
	if a, _ := who(f, closed.ARN, "Decrypt"); !a.Unadministered {
		t.Errorf("nobody can administer it: %+v", a)
	}
	free := open(t)
	freeKey := must(free.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(text, `"`+userARN(owner, "bob")+`"`, `["`+roleARN(foreign, "far")+`","arn:aws:sts::111122223333:federated-user/fay"]`, 1)}))(t)
	if _, found = who(free, freeKey.ARN, "Decrypt"); !sameSet(found, []string{"root", "role/far?", "role/ops/app?", "logs.amazonaws.com"}) {
		t.Errorf("without identities: %q", found)
	}

	// A condition may say who everyone is, and that may be somebody whom nothing names.
	for _, condition := range []string{`"StringEquals":{"kms:CallerAccount":"111122223333"}`, `"StringEquals":{"aws:PrincipalAccount":"444455556666"}`,
		`"StringLike":{"aws:PrincipalAccount":"4444*"}`, `"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/a*"}`, `"StringEquals":{"aws:username":"alice"}`} {
		policy := strings.Replace(everyone, `"Resource":"*"`, `"Resource":"*","Condition":{`+condition+`}`, 1)
		guarded := strings.Replace(everyone, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{`+
			strings.NewReplacer(`"StringEquals"`, `"StringNotEquals"`, `"StringLike"`, `"StringNotLike"`, `"ArnLike"`, `"ArnNotLike"`).Replace(condition)+`}},`, 1)
		for _, policy := range []string{policy, guarded} {
			some := must(free.CreateKey(t.Context(), kms.CreateKeyInput{Policy: policy, BypassPolicyLockoutSafetyCheck: true}))(t)
			foreigners := policy != guarded && strings.Contains(condition, "4444") // who cannot administer it
			if a, _ := who(free, some.ARN, "Decrypt"); !a.Everyone || !a.OnlyIf || a.Unadministered != foreigners {
				t.Errorf("%s: everyone %v, only if %v, unadministered %v", policy, a.Everyone, a.OnlyIf, a.Unadministered)
			}
		}
	}
	shared := must(free.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(text, `"Resource":"*"}`, `"Resource":"*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/ops-*"}}}`, 1),
		BypassPolicyLockoutSafetyCheck: true}))(t)
	if a, _ := who(free, shared.ARN, "Decrypt"); !slices.Equal(a.OtherAccounts, []string{foreign}) || a.Everyone {
		t.Errorf("open to roles of an account: %q, everyone %v", a.OtherAccounts, a.Everyone)
	}
	for ref, action := range map[string]string{"alias/none": "Decrypt", key.ARN: "Dance", freeKey.ARN: "kms:ListKeys"} {
		if _, err := f.WhoCan(t.Context(), ref, action); err == nil {
			t.Errorf("%s of %s is told", action, ref)
		}
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// views are Identities that say something else each time that they are asked, and the last thing for good.
type views struct {
	*directory
	next []kms.Identities
}

func (v *views) Current() kms.Identities {
	now := v.next[0]
	if len(v.next) > 1 {
		v.next = v.next[1:]
	}
	return now
}

// TestIdentitiesThatSayNothing: where nobody is known, nobody's policies are, and so nobody may do anything.
func TestIdentitiesThatSayNothing(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): {`{"Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}`}})
	for name, nothing := range map[string]kms.Identities{"nil": nil, "a nil pointer": (*directory)(nil)} {
		v := &views{d, []kms.Identities{d}}
		f := open(t, withIdentities(v))
		key := f.create()
		wantCode(t, use(t, f.As(kms.User("alice")), key.ARN, nil), kms.ErrAccessDenied)
		check(t, use(t, f.As(kms.Root()), key.ARN, nil))
		v.next = []kms.Identities{nothing}
		for _, who := range []kms.Caller{kms.User("alice"), kms.User("nobody"), kms.Root(), kms.Service("s3.amazonaws.com")} {
			if err := use(t, f.As(who), key.ARN, nil); !errors.Is(err, kms.ErrInternal) {
				t.Errorf("%s: %v: %v", name, who, err)
			}
			if _, err := f.Question(who, "s3:GetObject", "arn:aws:s3:::a/b"); !errors.Is(err, kms.ErrInternal) {
				t.Errorf("%s: the question of %v: %v", name, who, err)
			}
		}
		if _, err := f.WhoCan(t.Context(), key.ARN, "kms:Encrypt"); !errors.Is(err, kms.ErrInternal) {
			t.Errorf("%s: WhoCan: %v", name, err)
		}
	}
}

// TestACallSeesOneCensus: a principal that goes while a call names it is not taken for one without a unique id, whose name anybody may have later.
func TestACallSeesOneCensus(t *testing.T) {
	bob := func(id string) *directory {
		d := people(t, nil)
		if id != "" {
			d.identities[userARN(owner, "bob")] = &kms.Identity{ARN: userARN(owner, "bob"), ID: id}
		}
		return d
	}
	for name, call := range map[string]func(*fixture, string) error{
		"PutKeyPolicy": func(f *fixture, key string) error {
			return f.PutKeyPolicy(t.Context(), key, kms.PutKeyPolicyInput{BypassPolicyLockoutSafetyCheck: true, Policy: delegatingTo(owner, userARN(owner, "bob"))})
		},
		"CreateGrant": func(f *fixture, key string) error {
			_, err := f.CreateGrant(t.Context(), key, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}})
			return err
		},
	} {
		for seen := 1; seen < 5; seen++ { // how often somebody who looks finds the first bob
			v := &views{bob("AIDA1"), []kms.Identities{bob("AIDA1")}}
			f := open(t, withIdentities(v))
			key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
			v.next = append(slices.Repeat([]kms.Identities{v.directory}, seen), bob(""))
			check(t, call(f, key.ARN))
			v.next = []kms.Identities{bob("AIDA2")}
			if err := use(t, f.As(kms.User("bob")), key.ARN, nil); !errors.Is(err, kms.ErrAccessDenied) {
				t.Errorf("%s: another bob has what was given to the first: %v", name, err)
			}
			v.next = []kms.Identities{bob("AIDA1")}
			if err := use(t, f.As(kms.User("bob")), key.ARN, nil); err != nil {
				t.Errorf("%s: bob: %v", name, err)
			}
		}
	}
}

// careless are Identities that take names without regard to case, and whose list has gaps.
type careless struct{ *directory }

func (d careless) Current() kms.Identities { return d }

func (d careless) Identity(arn string) *kms.Identity {
	for name, i := range d.identities {
		if strings.EqualFold(name, arn) {
			return i
		}
	}
	return nil
}

func (d careless) All() iter.Seq[*kms.Identity] {
	if len(d.identities) == 0 {
		return nil
	}
	return func(yield func(*kms.Identity) bool) { _ = yield(nil) && yield(d.identities[userARN(owner, "alice")]) }
}

// TestCarelessIdentities: what Identities should not return allows nothing, and no caller makes a panic of it.
func TestCarelessIdentities(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): {allowing("kms:*")}, userARN(owner, "gap"): {allowing("kms:*")}})
	gap := d.identities[userARN(owner, "gap")]
	gap.Policies = append(gap.Policies, nil)
	f := open(t, withIdentities(careless{d}))
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	check(t, use(t, f.As(kms.User("alice")), key.ARN, nil))
	wantCode(t, use(t, f.As(kms.User("Alice")), key.ARN, nil), kms.ErrAccessDenied)
	wantCode(t, use(t, f.As(kms.User("gap")), key.ARN, nil), kms.ErrAccessDenied) // which says what nobody knows
	for _, boundary := range []*kms.PolicyDocument{nil, identityPolicy(t, allowing("kms:*"))} {
		gap.Policies, gap.Boundary = gap.Policies[:1], boundary
		check(t, use(t, f.As(kms.User("gap")), key.ARN, nil))
	}
	d.accounts[owner].ServiceControl = [][]*kms.PolicyDocument{{nil}}
	wantCode(t, use(t, f.As(kms.Root()), key.ARN, nil), kms.ErrAccessDenied)
	d.accounts[owner].ServiceControl = nil

	put := func(principal string) error {
		return f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: strings.Replace(delegating, `"111122223333"`, `["111122223333","`+principal+`"]`, 1)})
	}
	for _, unknown := range []string{"arn:aws:sts::111122223333:assumed-role/app/one", userARN(owner, "ALICE")} {
		wantCode(t, put(unknown), kms.ErrMalformedPolicy)
	}
	must(f.WhoCan(t.Context(), key.ARN, "Encrypt"))(t)
	clear(d.identities)
	wantCode(t, put("arn:aws:sts::111122223333:assumed-role/app/one"), kms.ErrMalformedPolicy)
	must(f.WhoCan(t.Context(), key.ARN, "Encrypt"))(t)
}

// TestForeignersCostNoReads: what no caller of another account may ever do is refused before the store is asked, so that not even its answering tells of a key.
func TestForeignersCostNoReads(t *testing.T) {
	store := &countingStore{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/a", key.ARN))
	far := open(t, func(c *kms.Config) { c.Store = store }).As(kms.User("far").InAccount(foreign))
	store.gets.Store(0)
	for _, ref := range []string{key.ARN, strings.Replace(key.ARN, key.KeyID[:8], "00000000", 1)} {
		_, policyErr := far.GetKeyPolicy(t.Context(), ref)
		for _, err := range []error{policyErr, far.DisableKey(t.Context(), ref), far.CreateAlias(t.Context(), "alias/b", ref), far.UpdateAlias(t.Context(), "alias/a", ref), far.DeleteAlias(t.Context(), "alias/a")} {
			wantCode(t, err, kms.ErrAccessDenied)
		}
	}
	if n := store.gets.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
}
