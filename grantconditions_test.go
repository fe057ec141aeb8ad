package kms_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/policy"
)

// TestGrantConditionKeys: a policy can say which grants may be made, and who may look after them.
func TestGrantConditionKeys(t *testing.T) {
	alice := kms.User("alice")
	grant := kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), RetiringPrincipal: roleARN(owner, "retiring"), Operations: []kms.GrantOperation{kms.GrantEncrypt, kms.GrantDecrypt},
		Constraints: kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"Dept": "IT"}}}
	service := kms.CreateGrantInput{GranteeServicePrincipal: "logs.amazonaws.com", RetiringServicePrincipal: "s3.amazonaws.com", Operations: []kms.GrantOperation{kms.GrantDescribeKey},
		Constraints: kms.GrantConstraints{SourceARN: "arn:aws:s3:::b"}}
	equals := kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt},
		Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT"}}}
	create := func(in kms.CreateGrantInput) func(t *testing.T, c *kms.Client, key string) error {
		return func(t *testing.T, c *kms.Client, key string) error {
			_, err := c.CreateGrant(t.Context(), key, in)
			return err
		}
	}
	list := func(t *testing.T, c *kms.Client, key string) error {
		_, err := c.ListGrantsPage(t.Context(), key, kms.ListGrantsInput{}, kms.PageInput{})
		return err
	}
	for _, tc := range []struct {
		caller    kms.Caller
		call      func(t *testing.T, c *kms.Client, key string) error
		condition string
		want      bool
	}{
		{alice, create(grant), `"StringEquals":{"kms:GranteePrincipal":"` + userARN(owner, "bob") + `","kms:RetiringPrincipal":"` + roleARN(owner, "retiring") + `"}`, true},
		{alice, create(grant), `"StringEquals":{"kms:GranteePrincipal":"` + userARN(owner, "carol") + `"}`, false},
		{alice, create(grant), `"Null":{"kms:GranteeServicePrincipal":"true","kms:RetiringServicePrincipal":"true","kms:GrantConstraintSourceArn":"true"}`, true},
		{alice, create(grant), `"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","Decrypt","DescribeKey"]}`, true},
		{alice, create(grant), `"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt"]}`, false},
		{alice, create(grant), `"StringEquals":{"kms:GrantConstraintType":"EncryptionContextSubset","kms:EncryptionContext:dept":"IT"}`, true},
		{alice, create(equals), `"StringEquals":{"kms:GrantConstraintType":"EncryptionContextEquals"},"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"Dept"}`, true},
		{alice, create(equals), `"StringEquals":{"kms:GrantConstraintType":"EncryptionContextSubset"}`, false},
		{alice, create(service), `"StringEquals":{"kms:GranteeServicePrincipal":"logs.amazonaws.com","kms:RetiringServicePrincipal":"s3.amazonaws.com"},
			"ArnEquals":{"kms:GrantConstraintSourceArn":"arn:aws:s3:::b"},"Null":{"kms:GrantConstraintType":"true"}`, true},
		{alice, create(grant), `"Bool":{"kms:GrantIsForAWSResource":"true"}`, false},
		{alice.Via("volumes.amazonaws.com"), create(grant), `"Bool":{"kms:GrantIsForAWSResource":"true"}`, true},
		{alice, list, `"Bool":{"kms:GrantIsForAWSResource":"false"}`, true},
		{alice, list, `"Null":{"kms:GrantOperations":"true","kms:GranteePrincipal":"true","kms:RetiringPrincipal":"true","kms:GrantConstraintType":"true"}`, true},
		{alice, func(t *testing.T, c *kms.Client, key string) error { return use(t, c, key, nil) }, `"Null":{"kms:GrantIsForAWSResource":"true"}`, true},
	} {
		f := open(t)
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"kms:*","Resource":"*","Condition":{%s}}]}`, userARN(owner, "alice"), tc.condition)
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: text, BypassPolicyLockoutSafetyCheck: true}))(t)
		if err := tc.call(t, f.As(tc.caller), key.ARN); (err == nil) != tc.want || err != nil && !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v if %s: %v", tc.caller, tc.condition, err)
		}
	}
}

// TestGrantsAreRecorded: what a grant gives is in the trail, and its token is not.
func TestGrantsAreRecorded(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	f.trail.Reset()
	made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "bob"), RetiringPrincipal: userARN(owner, "carol"), Name: "n",
		Operations: []kms.GrantOperation{kms.GrantEncrypt}, Constraints: kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"Dept": "IT"}, SourceARN: "arn:aws:s3:::b"}}))(t)
	check(t, f.RevokeGrant(t.Context(), key.ARN, made.GrantID))
	events := f.trail.Events()
	text := fmt.Sprint(events[0].Request, events[0].Response, events[1].Request, events[1].Response)
	for _, want := range []string{userARN(owner, "bob"), userARN(owner, "carol"), "Encrypt", "encryptionContextSubset", "arn:aws:s3:::b", made.GrantID, key.ARN, "name=n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the trail lacks %q: %s", want, text)
		}
	}
	if strings.Contains(text, made.GrantToken) {
		t.Errorf("the trail has the token: %s", text)
	}
	web := kms.Connection{SourceIP: netip.MustParseAddr("203.0.113.7"), UserAgent: "aws-cli/2"}
	must(f.As(kms.Root().Over(web)).DescribeKey(t.Context(), key.ARN))(t)
	must(f.As(kms.Root().Over(web).Via("volumes.amazonaws.com")).DescribeKey(t.Context(), key.ARN))(t)
	events = f.trail.Events()
	if e := events[2]; e.SourceIP != "203.0.113.7" || e.UserAgent != "aws-cli/2" {
		t.Errorf("recorded as from %q with %q", e.SourceIP, e.UserAgent)
	}
	if e := events[3]; e.Identity.InvokedBy != "volumes.amazonaws.com" {
		t.Errorf("recorded as invoked by %q", e.Identity.InvokedBy)
	}
}

// TestQuestion: a service asks about its caller and a resource of its own with all that IAM says of the caller, and nothing that is about keys.
func TestQuestion(t *testing.T) {
	d := people(t, map[string][]string{userARN(owner, "alice"): {allowing("store:Get")}, userARN(foreign, "far"): {allowing("store:Get")}})
	d.accounts[foreign].ServiceControl = [][]*kms.PolicyDocument{{identityPolicy(t, allowing("kms:*"))}}
	f := open(t, withIdentities(d))
	const object = "arn:aws:store:::bucket/object"
	open := must(policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Action":"store:*","Resource":"arn:aws:store:::bucket/*",
		"Condition":{"StringEquals":{"aws:ResourceAccount":"111122223333"},"Null":{"kms:MultiRegion":"true","kms:KeySpec":"true","aws:ResourceTag/a":"true","aws:TagKeys":"true"}}}]}`, policy.KeyPolicy))(t)
	ask := func(c kms.Caller) kms.Decision {
		in := must(f.Question(c, "store:Get", object))(t)
		in.KeyPolicy = open
		return kms.Evaluate(in)
	}
	if d := ask(kms.User("alice")); d.Outcome != kms.Allowed {
		t.Errorf("alice: %v", d.Reason())
	}
	if d := ask(kms.User("alice").WithSessionPolicies(allowing("kms:*"))); d.Outcome == kms.Allowed || d.Missing() != kms.SourceSession {
		t.Errorf("within a session policy: %v", d.Reason())
	}
	if d := ask(kms.User("far").InAccount(foreign)); d.Outcome == kms.Allowed || d.Missing() != kms.SourceServiceControl {
		t.Errorf("within a service control policy: %v", d.Reason())
	}
	via := must(policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+userARN(owner, "alice")+`"},"Action":"store:*","Resource":"*",
		"Condition":{"StringEquals":{"kms:ViaService":"front.eu-central-1.amazonaws.com","kms:CallerAccount":"111122223333"}}}]}`, policy.KeyPolicy))(t)
	in := must(f.Question(kms.User("alice").Via("front.amazonaws.com"), "store:Get", object))(t)
	in.KeyPolicy = via
	if d := kms.Evaluate(in); d.Outcome != kms.Allowed || f.ViaService("front.amazonaws.com") != "front.eu-central-1.amazonaws.com" {
		t.Errorf("via a service: %v", d.Reason())
	}
	for _, bad := range []kms.Caller{{}, kms.User("nobody"), kms.User("alice").InAccount("999999999999")} {
		if _, err := f.Question(bad, "store:Get", object); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := f.Question(kms.User("alice").WithLifetime(epoch.Add(-2), epoch), "store:Get", object); !errors.Is(err, kms.ErrExpiredToken) {
		t.Errorf("expired: %v", err)
	}
}

// TestPrincipalARN: how callers are named where policies and grants name them.
func TestPrincipalARN(t *testing.T) {
	f := open(t)
	for caller, want := range map[kms.Caller]string{
		kms.Root(): "arn:aws:iam::111122223333:root", kms.User("ops/carol"): "arn:aws:iam::111122223333:user/ops/carol", kms.Role("path/app"): "arn:aws:iam::111122223333:role/path/app",
		kms.Session("path/app", "one"): "arn:aws:sts::111122223333:assumed-role/app/one", kms.FederatedUser("alice", "fay"): "arn:aws:sts::111122223333:federated-user/fay",
		kms.Root().InAccount(foreign): "arn:aws:iam::444455556666:root", kms.Service("logs.amazonaws.com"): "", kms.User(""): "", {}: "",
	} {
		if got, err := f.PrincipalARN(caller); got != want || (err == nil) != (want != "") {
			t.Errorf("%v: %q, %v, want %q", caller, got, err, want)
		}
	}
}

// TestParseCaller: a principal that is named by its ARN is the one that has it, and nothing else is taken for a principal.
func TestParseCaller(t *testing.T) {
	f := open(t)
	for _, c := range []kms.Caller{kms.Root(), kms.User("ops/carol"), kms.Role("path/app"), kms.Session("app", "one"), kms.User("alice").InAccount(foreign)} {
		arn := must(f.PrincipalARN(c))(t)
		parsed := must(kms.ParseCaller(arn))(t)
		if again := must(f.PrincipalARN(parsed))(t); again != arn && !strings.Contains(arn, ":role/") {
			t.Errorf("%s is %s", arn, again)
		}
	}
	if c := must(kms.ParseCaller("arn:aws:iam::111122223333:role/path/app"))(t); must(f.PrincipalARN(c))(t) != "arn:aws:iam::111122223333:role/path/app" || !strings.Contains(c.String(), "session app") {
		t.Errorf("%v", c)
	}
	if c := must(kms.ParseCaller("logs.amazonaws.com"))(t); c.String() != "service logs.amazonaws.com" {
		t.Errorf("%v", c)
	}
	if c := must(kms.ParseCaller("arn:aws:iam::111122223333:role/path/app"))(t).InSession("one"); must(f.PrincipalARN(c))(t) != "arn:aws:sts::111122223333:assumed-role/app/one" {
		t.Errorf("%v", c)
	}
	for _, bad := range []string{"", "alice", "arn:", "arn:aws:iam::111122223333:user", "arn:aws:iam::111122223333:user/", "arn:aws:iam::111122223333:root/x", "arn:aws:iam:eu-central-1:111122223333:root",
		"arn:aws:iam:::root", "arn:aws:iam::1:root", "arn:aws:iam::111122223333:group/g", "arn:aws:sts::111122223333:federated-user/fay", "arn:aws:sts::111122223333:assumed-role/app",
		"arn:aws:sts::111122223333:assumed-role/path/app/one", "arn:aws:kms::111122223333:user/alice", "arn:aws:iam::111122223333:user/a*", "arn:aws:sts::111122223333:role/app"} {
		if c, err := kms.ParseCaller(bad); err == nil || c.Err() == nil {
			t.Errorf("%q is %v", bad, c)
		}
	}
	key := f.create()
	for _, elsewhere := range []kms.Caller{must(kms.ParseCaller("arn:aws-cn:iam::111122223333:root"))(t), must(kms.ParseCaller("arn:aws-cn:iam::111122223333:role/app"))(t).InSession("one")} {
		_, err := f.As(elsewhere).DescribeKey(t.Context(), key.ARN)
		wantCode(t, err, kms.ErrAccessDenied)
		if !strings.Contains(err.Error(), "The caller is not valid") {
			t.Error(err)
		}
	}
	must(f.As(must(kms.ParseCaller("arn:aws:iam::111122223333:root"))(t)).DescribeKey(t.Context(), key.ARN))(t)
}

// TestExplainTellsAll: every policy and every grant that had a say is told of, with what was wanted.
func TestExplainTellsAll(t *testing.T) {
	control := func(effect string, kind policy.Kind) *kms.PolicyDocument {
		principal := ""
		if kind == policy.ResourceControlPolicy {
			principal = `"Principal":"*",`
		}
		return must(policy.Parse(`{"Statement":{"Sid":"C","Effect":"`+effect+`",`+principal+`"Action":"kms:*","Resource":"*"}}`, kind))(t)
	}
	request := &kms.PolicyRequest{Principal: policy.Principal{Type: policy.User, ARN: userARN(owner, "alice"), Account: owner}, Action: "kms:Decrypt", Resource: "*"}
	in := kms.EvaluateInput{Account: owner, KeyPolicy: must(policy.Parse(delegating, policy.KeyPolicy))(t), Request: request,
		ServiceControl:  [][]*kms.PolicyDocument{{control("Allow", policy.IdentityPolicy)}, {control("Allow", policy.IdentityPolicy)}},
		ResourceControl: [][]*kms.PolicyDocument{{control("Allow", policy.ResourceControlPolicy)}},
		Identity:        []*kms.PolicyDocument{identityPolicy(t, `{"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}}}`)},
		Boundary:        identityPolicy(t, allowing("kms:*")), Session: []*kms.PolicyDocument{identityPolicy(t, allowing("kms:*"))},
		Grants: []*kms.Grant{
			{GrantID: "one", GranteePrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantDecrypt}},
			{GrantID: "two", GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantEncrypt}},
			{GrantID: "three", GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantDecrypt}, Constraints: kms.GrantConstraints{SourceARN: "arn:aws:s3:::b"}},
			{GrantID: "four", GranteePrincipal: userARN(owner, "alice"), Operations: []kms.GrantOperation{kms.GrantDecrypt}, Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"a": "b"}}},
		}}
	e := kms.Explain(in)
	text := e.String()
	if e.Outcome != kms.ImplicitlyDenied || len(e.Policies) != 7 || len(e.Grants) != 4 || e.Policies[1].Level != 1 {
		t.Errorf("%v", e)
	}
	for _, want := range []string{"Bool aws:MultiFactorAuthPresent wants [\"true\"] and the request has none, IpAddress aws:SourceIp wants [\"10.0.0.0/8\"]",
		"matches by the caller's account, and leaves it to identity-based policies", "grant one does not allow it: it is for another grantee", "grant two does not allow it: it is for other operations",
		"grant three does not allow it: it is for another source", "grant four does not allow it: its constraint wants another encryption context",
		`service control policy Allow: Statement "C" matches`, `resource control policy Allow: Statement "C" matches`} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	in.Grants = append(in.Grants, nil) // which says nothing
	in.EncryptionContext = kms.EncryptionContext{"a": "b"}
	e = kms.Explain(in)
	if g := e.Grounds(); e.Outcome != kms.Allowed || len(g) != 1 || g[0].String() != "grant four" || !strings.Contains(e.String(), "grant four allows it") || e.Missing() != 0 {
		t.Errorf("%v", e)
	}
	in.ResourceControl = append(in.ResourceControl, []*kms.PolicyDocument{control("Allow", policy.ResourceControlPolicy), control("Deny", policy.ResourceControlPolicy)})
	e = kms.Explain(in)
	if g := e.Grounds(); e.Outcome != kms.ExplicitlyDenied || g[0].Source != kms.SourceResourceControl || g[0].Sid() != "C" || len(e.Grants) != 0 ||
		g[0].String() != `resource control policy (Statement "C" of policy 1)` || !strings.Contains(e.Reason(), "explicit deny in a resource control policy") {
		t.Errorf("%v", e)
	}
	if e := kms.Explain(kms.EvaluateInput{}); e.Outcome != kms.ImplicitlyDenied || len(e.Policies) != 0 || e.Missing() != kms.SourceKeyPolicy || e.String() == "" {
		t.Errorf("of nothing: %v", e)
	}
	for s := kms.Source(0); s < 10; s++ {
		if (s.String() == "none") != (s == 0 || s > kms.SourceGrant) {
			t.Errorf("source %d is %q", s, s)
		}
	}
	if root := kms.Evaluate(kms.EvaluateInput{Account: owner, Request: &kms.PolicyRequest{Principal: policy.Principal{Type: policy.RootUser, ARN: "arn:aws:iam::111122223333:root", Account: owner}, Action: "kms:ListKeys", Resource: "*"}}); root.Reason() != "because the account's root user may" || len(root.Grounds()) != 0 {
		t.Errorf("%v", root.Reason())
	}
}

// failingReads answer with an error when it is told to.
type failingReads struct {
	keystore.Store
	on atomic.Bool
}

var errOut = errors.New("out of reach")

func (s *failingReads) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.on.Load() {
		return keystore.Record{}, errOut
	}
	return s.Store.Get(ctx, name)
}

func (s *failingReads) List(ctx context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if s.on.Load() {
		return nil, errOut
	}
	return s.Store.List(ctx, prefix, after, limit)
}

// TestGrantsOutOfReach: grants that cannot be read allow nothing and are no denial; whoever needs none goes on.
func TestGrantsOutOfReach(t *testing.T) {
	store := &failingReads{Store: memory.New()}
	f := open(t, func(c *kms.Config) { c.Store = store })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	made := must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), RetiringPrincipal: userARN(owner, "bob"), Operations: []kms.GrantOperation{kms.GrantEncrypt}}))(t)
	check(t, use(t, f.As(kms.Root()), key.ARN, nil))
	store.on.Store(true)
	check(t, use(t, f.As(kms.Root()), key.ARN, nil))
	_, whoErr := f.WhoCan(t.Context(), key.ARN, "Encrypt")
	_, serviceErr := f.ServiceKey(t.Context(), objectstore)
	_, listErr := f.ListRetirableGrantsPage(t.Context(), kms.ListRetirableGrantsInput{RetiringPrincipal: userARN(owner, "bob")}, kms.PageInput{})
	for name, err := range map[string]error{
		"use": use(t, f.As(kms.User("alice")), key.ARN, nil), "token": use(t, f.As(kms.User("carol")).WithGrantTokens(made.GrantToken), key.ARN, nil),
		"revoke": f.RevokeGrant(t.Context(), key.ARN, made.GrantID), "retire": f.RetireGrant(t.Context(), kms.RetireGrantInput{KeyRef: key.ARN, GrantID: made.GrantID}),
		"who can": whoErr, "service key": serviceErr, "list": listErr,
	} {
		if !errors.Is(err, kms.ErrDependencyTimeout) || !errors.Is(err, errOut) {
			t.Errorf("%s: %v", name, err)
		}
	}
	store.on.Store(false)
	check(t, use(t, f.As(kms.User("alice")), key.ARN, nil))
	check(t, f.Close())
	_, whoErr = f.WhoCan(t.Context(), key.ARN, "Encrypt")
	_, serviceErr = f.ServiceKey(t.Context(), objectstore)
	for _, err := range []error{whoErr, serviceErr} {
		wantCode(t, err, kms.ErrServiceUnavailable)
	}
}
