package kms_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// A ruling is a case to decide, and how. Documents are lists of statements, in which the principal is that of key policies.
type ruling struct {
	name string
	by   policy.Principal

	key, identity, boundary, session []statement
	serviceControl, resourceControl  []statement // of one level
	grants                           []*kms.Grant
	newGrant                         *kms.Grant
	action                           string              // kms:Decrypt, if it is none
	resource                         string              // the key, if it is none
	context                          map[string][]string // condition keys, beside those of the caller
	pairs                            kms.EncryptionContext
	version                          string // of the documents; 2012-10-17, if it is none

	want kms.Outcome
	from kms.Source // what is missing, or what denies, or what a permission rests on first
}

// rule is the statement of an effect on actions; a principal of a key policy and conditions are added by the functions below.
func rule(effect, actions string) statement {
	return statement{"Effect": effect, "Action": strings.Fields(actions), "Resource": "*"}
}

func allow(actions string) statement { return rule("Allow", actions) }

func deny(actions string) statement { return rule("Deny", actions) }

// to names the principal of a statement: "*", a service, or whatever else AWS is the type of.
func (s statement) to(principals ...string) statement {
	out := maps.Clone(s)
	switch {
	case principals[0] == "*":
		out["Principal"] = "*"
	case strings.HasSuffix(principals[0], ".com"):
		out["Principal"] = map[string]any{"Service": principals}
	default:
		out["Principal"] = map[string]any{"AWS": principals}
	}
	return out
}

func (s statement) with(element string, value any) statement {
	out := maps.Clone(s)
	out[element] = value
	return out
}

func (s statement) on(resources ...string) statement { return s.with("Resource", resources) }

// when adds a condition, as JSON.
func (s statement) when(condition string) statement {
	return s.with("Condition", json.RawMessage(condition))
}

func (s statement) without(element string) statement {
	out := maps.Clone(s)
	delete(out, element)
	return out
}

const (
	keyOfAnother = "arn:aws:kms:us-east-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
	ann          = "arn:aws:iam::111122223333:user/Ann"
	appRole      = "arn:aws:iam::111122223333:role/App"
	appSession   = "arn:aws:sts::111122223333:assumed-role/App/s1"
	farRole      = "arn:aws:iam::444455556666:role/Far"
	logs         = "logs.amazonaws.com"
)

var (
	userAnn    = userOf(ownAccount, "Ann")
	sessionApp = sessionOf(ownAccount, "App", "s1")
	sessionFar = sessionOf(otherAccount, "Far", "s1")
	fred       = federatedOf(ownAccount, "fred", "Ann")
	byDefault  = allow("kms:*").to(ownAccount) // the default policy
)

func (r *ruling) input(t testing.TB) *kms.EvaluateInput {
	t.Helper()
	parse := func(statements []statement, kind policy.Kind) *policy.Document {
		if statements == nil {
			return nil
		}
		version := r.version
		if version == "" {
			version = policy.Version2012
		}
		text, err := json.Marshal(map[string]any{"Version": version, "Statement": statements})
		if err != nil {
			t.Fatal(err)
		}
		d, err := policy.Parse(string(text), kind)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return d
	}
	list := func(d *policy.Document) []*policy.Document {
		if d == nil {
			return nil
		}
		return []*policy.Document{d}
	}
	values := map[string][]string{"aws:PrincipalAccount": {r.by.Account}}
	switch r.by.Type {
	case policy.AssumedRole:
		values["aws:PrincipalArn"] = []string{r.by.Role}
	case policy.User:
		values["aws:username"] = []string{r.by.ARN[strings.LastIndexByte(r.by.ARN, '/')+1:]}
		fallthrough
	default:
		values["aws:PrincipalArn"] = []string{r.by.ARN}
	}
	names := []string{}
	for name, value := range r.pairs {
		values["kms:EncryptionContext:"+name] = []string{value}
		names = append(names, name)
	}
	values["kms:EncryptionContextKeys"] = names
	maps.Copy(values, r.context)
	context, err := policy.NewValues(values, "kms:EncryptionContextKeys", "kms:ResourceAliases")
	if err != nil {
		t.Fatal(err)
	}
	in := &kms.EvaluateInput{
		Account: ownAccount, KeyPolicy: parse(r.key, policy.KeyPolicy), Identity: list(parse(r.identity, policy.IdentityPolicy)),
		Boundary: parse(r.boundary, policy.IdentityPolicy), Session: list(parse(r.session, policy.IdentityPolicy)),
		Grants: r.grants, NewGrant: r.newGrant, EncryptionContext: r.pairs,
		Request: &policy.Request{Principal: r.by, Action: "kms:Decrypt", Resource: trialKey, Context: context},
	}
	if d := parse(r.serviceControl, policy.IdentityPolicy); d != nil {
		in.ServiceControl = [][]*policy.Document{{d}}
	}
	if d := parse(r.resourceControl, policy.ResourceControlPolicy); d != nil {
		in.ResourceControl = [][]*policy.Document{{d}}
	}
	if r.action != "" {
		in.Request.Action = r.action
	}
	if r.resource != "" {
		in.Request.Resource = r.resource
	}
	return in
}

func (r *ruling) check(t *testing.T) {
	t.Helper()
	in := r.input(t)
	d := kms.Evaluate(*in)
	from := d.Missing()
	if grounds := d.Grounds(); len(grounds) > 0 {
		from = grounds[0].Source
	}
	if d.Outcome != r.want || from != r.from {
		t.Errorf("%v (%v), want %v (%v): %s", d.Outcome, from, r.want, r.from, describe(in))
	}
	said, as := *in, *in.Request // with the boundary that Evaluate adds to the principal who has one
	as.Principal.Boundary = as.Principal.Boundary || in.Boundary != nil
	said.Request = &as
	checkGrounds(t, &said, d)
}

func checkRulings(t *testing.T, rulings []ruling) {
	for _, r := range rulings {
		t.Run(r.name, func(t *testing.T) { r.check(t) })
	}
}

const (
	allowed    = kms.Allowed
	implicitly = kms.ImplicitlyDenied
	explicitly = kms.ExplicitlyDenied
)

// TestWhatLimitsWhom: which implicit denies limit what a key policy allows a caller of the key's account; and that an explicit one always does.
func TestWhatLimitsWhom(t *testing.T) {
	byARN := allow("kms:*").to("*").when(`{"StringEquals": {"aws:PrincipalArn": "` + appRole + `"}}`)
	for _, c := range []struct {
		name                          string
		named                         statement
		by                            policy.Principal
		identity, boundary, session   bool // whether what is not allowed there limits the caller
		noIdentity, noBoundary, atAll bool // whether there is no such thing for the caller; atAll: no session policies either
	}{
		{name: "user, by its ARN", named: allow("kms:*").to(ann), by: userAnn, atAll: true},
		{name: "federated session, by the ARN of its user", named: allow("kms:*").to(ann), by: fred, boundary: true, session: true},
		{name: "federated session, by its ARN", named: allow("kms:*").to("arn:aws:sts::111122223333:federated-user/fred"), by: fred},
		{name: "session, by the ARN of its role", named: allow("kms:*").to(appRole), by: sessionApp, boundary: true, session: true},
		{name: "session, by its ARN", named: allow("kms:*").to(appSession), by: sessionApp},
		{name: "user, by *", named: allow("kms:*").to("*"), by: userAnn, atAll: true},
		{name: "session, by *", named: allow("kms:*").to("*"), by: sessionApp, session: true},
		{name: "federated session, by *", named: allow("kms:*").to("*"), by: fred, session: true},
		{name: "root user, by *", named: allow("kms:*").to("*"), by: rootOf(ownAccount), noIdentity: true, noBoundary: true, atAll: true},
		{name: "session, by * and the ARN of its role in a condition", named: byARN, by: sessionApp, session: true},
		{name: "user, by its account", named: byDefault, by: userAnn, identity: true, boundary: true, atAll: true},
		{name: "session, by its account", named: byDefault, by: sessionApp, identity: true, boundary: true, session: true},
		{name: "federated session, by its account", named: byDefault, by: fred, identity: true, boundary: true, session: true},
		{name: "root user, by its account", named: byDefault, by: rootOf(ownAccount), noIdentity: true, noBoundary: true, atAll: true},
		{name: "service, by its name", named: allow("kms:*").to(logs), by: serviceOf(logs), noIdentity: true, noBoundary: true, atAll: true},
	} {
		everything, other := []statement{allow("*")}, []statement{allow("s3:*")}
		full := ruling{by: c.by, key: []statement{c.named}, want: allowed, from: kms.SourceKeyPolicy}
		if !c.noIdentity {
			full.identity = everything
		}
		if !c.noBoundary {
			full.boundary = everything
		}
		if !c.atAll {
			full.session = everything
		}
		expect := func(r ruling, limited bool, missing kms.Source) ruling {
			if limited {
				r.want, r.from = implicitly, missing
			}
			return r
		}
		rulings := []ruling{full}
		add := func(name string, change func(r *ruling), limited bool, missing kms.Source) {
			r := full
			change(&r)
			r = expect(r, limited, missing)
			r.name = name
			rulings = append(rulings, r)
		}
		rulings[0].name = "everything allows"
		add("no key policy names the caller", func(r *ruling) { r.key = []statement{allow("kms:*").to("arn:aws:iam::111122223333:user/other")} }, true, kms.SourceKeyPolicy)
		add("explicit deny in the key policy", func(r *ruling) { r.key = append(slices.Clone(r.key), deny("kms:Decrypt").to("*")) }, false, 0)
		if !c.noIdentity {
			add("no identity policy", func(r *ruling) { r.identity = nil }, c.identity, kms.SourceIdentity)
			add("identity policy of something else", func(r *ruling) { r.identity = other }, c.identity, kms.SourceIdentity)
			add("explicit deny in an identity policy", func(r *ruling) { r.identity = append(slices.Clone(everything), deny("kms:Decrypt")) }, false, 0)
		}
		if !c.noBoundary {
			add("no boundary", func(r *ruling) { r.boundary = nil }, false, 0)
			add("boundary of something else", func(r *ruling) { r.boundary = other }, c.boundary, kms.SourceBoundary)
			add("explicit deny in the boundary", func(r *ruling) { r.boundary = append(slices.Clone(everything), deny("kms:Decrypt")) }, false, 0)
		}
		if !c.atAll {
			none := c.by.Type == policy.FederatedUser && c.session // such a session has nothing of its user's but by its policies
			add("no session policy", func(r *ruling) { r.session = nil }, none, kms.SourceSession)
			add("session policy of something else", func(r *ruling) { r.session = other }, c.session, kms.SourceSession)
			add("explicit deny in a session policy", func(r *ruling) { r.session = append(slices.Clone(everything), deny("kms:Decrypt")) }, false, 0)
		}
		add("service control policy of something else", func(r *ruling) { r.serviceControl = other }, true, kms.SourceServiceControl)
		add("service control policy of everything", func(r *ruling) { r.serviceControl = everything }, false, 0)
		add("explicit deny in a service control policy", func(r *ruling) { r.serviceControl = append(slices.Clone(everything), deny("kms:Decrypt")) }, false, 0)
		add("resource control policy of something else", func(r *ruling) { r.resourceControl = []statement{other[0].to("*")} }, true, kms.SourceResourceControl)
		add("resource control policy of everything", func(r *ruling) { r.resourceControl = []statement{everything[0].to("*")} }, false, 0)
		add("explicit deny in a resource control policy", func(r *ruling) { r.resourceControl = []statement{everything[0].to("*"), deny("kms:Decrypt").to("*")} }, false, 0)
		denies := map[string]kms.Source{
			"the key policy": kms.SourceKeyPolicy, "an identity policy": kms.SourceIdentity, "the boundary": kms.SourceBoundary, "a session policy": kms.SourceSession,
			"a service control policy": kms.SourceServiceControl, "a resource control policy": kms.SourceResourceControl,
		}
		for i := range rulings {
			if where, found := strings.CutPrefix(rulings[i].name, "explicit deny in "); found {
				rulings[i].want, rulings[i].from = explicitly, denies[where]
			}
			rulings[i].name = c.name + "/" + rulings[i].name
		}
		checkRulings(t, rulings)
	}
}

// TestBothSides: a caller of another account needs the key's policy and the own one's, whatever the key's policy says of the caller.
func TestBothSides(t *testing.T) {
	everything, other := []statement{allow("*")}, []statement{allow("s3:*")}
	carol, far := userOf(otherAccount, "carol"), sessionFar
	var rulings []ruling
	for _, c := range []struct {
		name  string
		named []string
		by    policy.Principal
	}{
		{"account", []string{otherAccount}, carol},
		{"root user's ARN", []string{"arn:aws:iam::444455556666:root"}, far},
		{"user", []string{carol.ARN}, carol},
		{"role", []string{farRole}, far},
		{"session", []string{far.ARN}, far},
		{"federated session", []string{"arn:aws:sts::444455556666:federated-user/fern"}, federatedOf(otherAccount, "fern", "carol")},
		{"*", []string{"*"}, carol},
		{"*, session", []string{"*"}, far},
		{"all of them", []string{otherAccount, farRole, far.ARN}, far},
	} {
		both := ruling{by: c.by, key: []statement{allow("kms:Decrypt").to(c.named...)}, identity: []statement{allow("kms:Decrypt").on(trialKey)}, want: allowed, from: kms.SourceKeyPolicy}
		if c.by.Type == policy.FederatedUser {
			both.session = everything
		}
		add := func(name string, change func(r *ruling), want kms.Outcome, from kms.Source) {
			r := both
			change(&r)
			r.name, r.want, r.from = c.name+"/"+name, want, from
			rulings = append(rulings, r)
		}
		add("both sides", func(*ruling) {}, allowed, kms.SourceKeyPolicy)
		add("the key's side only", func(r *ruling) { r.identity = nil }, implicitly, kms.SourceIdentity)
		add("the key's side, and another key on the caller's", func(r *ruling) { r.identity = []statement{allow("kms:*").on(keyOfAnother)} }, implicitly, kms.SourceIdentity)
		add("the caller's side only", func(r *ruling) { r.key = []statement{byDefault} }, implicitly, kms.SourceKeyPolicy)
		add("boundary of everything", func(r *ruling) { r.boundary = everything }, allowed, kms.SourceKeyPolicy)
		add("boundary of something else", func(r *ruling) { r.boundary = other }, implicitly, kms.SourceBoundary)
		add("session policy of everything", func(r *ruling) { r.session = everything }, allowed, kms.SourceKeyPolicy)
		add("session policy of something else", func(r *ruling) { r.session = other }, implicitly, kms.SourceSession)
		add("service control policy of something else", func(r *ruling) { r.serviceControl = other }, implicitly, kms.SourceServiceControl)
		add("resource control policy of something else", func(r *ruling) { r.resourceControl = []statement{other[0].to("*")} }, implicitly, kms.SourceResourceControl)
		add("explicit deny by the key's policy", func(r *ruling) { r.key = append(slices.Clone(r.key), deny("kms:*").to(otherAccount)) }, explicitly, kms.SourceKeyPolicy)
		add("explicit deny by the caller's policy", func(r *ruling) { r.identity = append(slices.Clone(r.identity), deny("kms:*")) }, explicitly, kms.SourceIdentity)
	}
	root := rootOf(otherAccount)
	checkRulings(t, append(rulings,
		ruling{name: "root user of another account, by the account", by: root, key: []statement{allow("kms:*").to(otherAccount)}, want: implicitly, from: kms.SourceKeyPolicy},
		ruling{name: "root user of another account, by * and an identity policy", by: root, key: []statement{allow("kms:*").to("*")}, identity: everything, want: implicitly, from: kms.SourceKeyPolicy},
		ruling{name: "root user of another account, and its own", by: root, key: []statement{byDefault}, want: implicitly, from: kms.SourceKeyPolicy},
		ruling{name: "grant to a user", by: carol, key: []statement{byDefault}, grants: []*kms.Grant{grantTo(carol.ARN, kms.GrantDecrypt)}, want: allowed, from: kms.SourceGrant},
		ruling{name: "grant to a role", by: far, key: []statement{byDefault}, grants: []*kms.Grant{grantTo(farRole, kms.GrantDecrypt)}, want: allowed, from: kms.SourceGrant},
		ruling{name: "grant, and an identity policy of something else", by: far, key: []statement{byDefault}, identity: other, grants: []*kms.Grant{grantTo(farRole, kms.GrantDecrypt)},
			want: allowed, from: kms.SourceGrant},
		ruling{name: "grant to the role of that name in the key's account", by: far, key: []statement{byDefault},
			grants: []*kms.Grant{grantTo(strings.Replace(farRole, otherAccount, ownAccount, 1), kms.GrantDecrypt)}, want: implicitly, from: kms.SourceKeyPolicy},
		ruling{name: "grant, and a deny on the caller's side", by: far, key: []statement{byDefault}, identity: []statement{deny("kms:*")}, grants: []*kms.Grant{grantTo(farRole, kms.GrantDecrypt)},
			want: explicitly, from: kms.SourceIdentity},
		ruling{name: "an action without a key", by: carol, identity: everything, action: "kms:CreateKey", resource: "*", want: implicitly, from: kms.SourceKeyPolicy},
		ruling{name: "an action without a key, root user", by: root, action: "kms:ListKeys", resource: "*", want: implicitly, from: kms.SourceKeyPolicy},
	))
}

func grantTo(grantee string, operations ...kms.GrantOperation) *kms.Grant {
	g := &kms.Grant{GrantID: "g1", GranteePrincipal: grantee, Operations: operations, IssuingAccount: "arn:aws:iam::111122223333:root"}
	if strings.HasSuffix(grantee, ".com") {
		g.GranteePrincipal, g.GranteeServicePrincipal = "", grantee
	}
	return g
}

// constrained is a copy of g under constraints.
func constrained(g *kms.Grant, c kms.GrantConstraints) *kms.Grant {
	out := *g
	out.Constraints = c
	return &out
}

// TestWorkedExamples are the examples of the documentation of AWS KMS and of IAM's, as far as Evaluate decides them. Operations that another account may not have at
// all, and that only the aliases of its key's account are resolved for it, the operations see to.
func TestWorkedExamples(t *testing.T) {
	app := allow("kms:Decrypt").to(appRole)
	dept := app.when(`{"StringEquals": {"kms:EncryptionContext:Dept": "IT"}}`)
	names := allow("kms:GenerateDataKey").to(appRole).when(`{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["App", "Stage"]}}`)
	some := allow("kms:GenerateDataKey").to(appRole).when(`{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["App", "Stage"]}, "Null": {"kms:EncryptionContextKeys": "false"}}`)
	s3Only := []statement{allow("kms:*").to(appRole), deny("kms:Decrypt").to("*").when(`{"StringNotEquals": {"kms:ViaService": "s3.us-west-2.amazonaws.com"}}`)}
	grant := constrained(grantTo(appRole, kms.GrantDecrypt, kms.GrantDescribeKey), kms.GrantConstraints{EncryptionContextSubset: kms.EncryptionContext{"Dept": "IT"}})
	forServices := allow("kms:CreateGrant").to("arn:aws:iam::111122223333:role/Ops").when(`{"Bool": {"kms:GrantIsForAWSResource": "true"}}`)
	ops := sessionOf(ownAccount, "Ops", "s1")
	byAlias := []statement{allow("kms:Decrypt").when(`{"StringLike": {"kms:RequestAlias": "alias/app-*"}}`)}
	reEncrypt := []statement{allow("kms:ReEncryptFrom").on(trialKey), allow("kms:ReEncryptTo").on(keyOfAnother)}
	zoe := userOf(ownAccount, "zoe")
	team := []statement{allow("kms:*").when(`{"StringEquals": {"aws:PrincipalTag/team": "${aws:username}"}}`)}
	toOrganization := []statement{allow("kms:Decrypt").to("*").when(`{"StringEquals": {"aws:PrincipalOrgID": "o-1"}}`)}
	inOrganization := map[string][]string{"aws:PrincipalOrgID": {"o-1"}}
	theDefault := []statement{byDefault}
	checkRulings(t, []ruling{
		{name: "1: delegation and an identity policy", by: userAnn, key: theDefault, identity: []statement{allow("kms:Decrypt").on(trialKey)}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "2: delegation alone", by: userAnn, key: theDefault, want: implicitly, from: kms.SourceIdentity},
		{name: "3: a user by name", by: userAnn, key: []statement{allow("kms:Encrypt").to(ann)}, boundary: []statement{allow("s3:*")}, action: "kms:Encrypt", want: allowed, from: kms.SourceKeyPolicy},
		{name: "4a: a role, limited by its session", by: sessionApp, key: []statement{app}, session: []statement{allow("s3:*")}, want: implicitly, from: kms.SourceSession},
		{name: "4b: a session by name", by: sessionApp, key: []statement{allow("kms:Decrypt").to(appSession)}, session: []statement{allow("s3:*")}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "5: no account, an administrator", by: sessionOf(ownAccount, "Admin", "s1"), key: []statement{allow("kms:*").to(appRole)}, identity: []statement{allow("*")}, action: "kms:DescribeKey",
			want: implicitly, from: kms.SourceKeyPolicy},
		{name: "5: no account, the root user", by: rootOf(ownAccount), key: []statement{allow("kms:*").to(appRole)}, action: "kms:DescribeKey", want: implicitly, from: kms.SourceKeyPolicy},
		{name: "6: a deny without delegation", by: userAnn, key: []statement{allow("kms:*").to(ann)}, identity: []statement{deny("kms:Decrypt")}, want: explicitly, from: kms.SourceIdentity},
		{name: "7a: both sides", by: sessionFar, key: []statement{allow("kms:Decrypt").to("arn:aws:iam::444455556666:root")}, identity: []statement{allow("kms:Decrypt").on(trialKey)},
			want: allowed, from: kms.SourceKeyPolicy},
		{name: "7b: one side", by: sessionFar, key: []statement{allow("kms:Decrypt").to(farRole)}, want: implicitly, from: kms.SourceIdentity},
		{name: "8i: the name of a pair without case", by: sessionApp, key: []statement{dept}, pairs: kms.EncryptionContext{"dept": "IT"}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "8ii: no pair", by: sessionApp, key: []statement{dept}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "8iii: the value of a pair with case", by: sessionApp, key: []statement{dept}, pairs: kms.EncryptionContext{"Dept": "it"}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "9i: all names", by: sessionApp, key: []statement{names}, action: "kms:GenerateDataKey", pairs: kms.EncryptionContext{"App": "x"}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "9ii: another name", by: sessionApp, key: []statement{names}, action: "kms:GenerateDataKey", pairs: kms.EncryptionContext{"App": "x", "Other": "y"}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "9iii: all of no names", by: sessionApp, key: []statement{names}, action: "kms:GenerateDataKey", want: allowed, from: kms.SourceKeyPolicy},
		{name: "9: all of no names, with Null", by: sessionApp, key: []statement{some}, action: "kms:GenerateDataKey", want: implicitly, from: kms.SourceKeyPolicy},
		{name: "9: all names, with Null", by: sessionApp, key: []statement{some}, action: "kms:GenerateDataKey", pairs: kms.EncryptionContext{"App": "x"}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "10: directly", by: sessionApp, key: s3Only, want: explicitly, from: kms.SourceKeyPolicy},
		{name: "10: through the service", by: sessionApp, key: s3Only, context: map[string][]string{"kms:ViaService": {"s3.us-west-2.amazonaws.com"}}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "11i: a subset", by: sessionApp, key: theDefault, grants: []*kms.Grant{grant}, pairs: kms.EncryptionContext{"Dept": "IT", "X": "1"}, want: allowed, from: kms.SourceGrant},
		{name: "11ii: no pairs", by: sessionApp, key: theDefault, grants: []*kms.Grant{grant}, want: implicitly, from: kms.SourceIdentity},
		{name: "11iii: what takes no pairs", by: sessionApp, key: theDefault, grants: []*kms.Grant{grant}, action: "kms:DescribeKey", want: allowed, from: kms.SourceGrant},
		{name: "11iv: another operation", by: sessionApp, key: theDefault, grants: []*kms.Grant{grant}, action: "kms:Encrypt", pairs: kms.EncryptionContext{"Dept": "IT"}, want: implicitly, from: kms.SourceIdentity},
		{name: "12: a deny and a grant", by: sessionApp, key: []statement{byDefault, deny("kms:Decrypt").to(appRole)}, grants: []*kms.Grant{grant}, pairs: kms.EncryptionContext{"Dept": "IT", "X": "1"},
			want: explicitly, from: kms.SourceKeyPolicy},
		{name: "13: directly", by: ops, key: []statement{forServices}, action: "kms:CreateGrant", context: map[string][]string{"kms:GrantIsForAWSResource": {"false"}}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "13: through a service", by: ops, key: []statement{forServices}, action: "kms:CreateGrant", context: map[string][]string{"kms:GrantIsForAWSResource": {"true"}}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "14: by an alias", by: userAnn, key: theDefault, identity: byAlias, context: map[string][]string{"kms:RequestAlias": {"alias/app-1"}}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "14: by the key's ARN, or by none", by: userAnn, key: theDefault, identity: byAlias, want: implicitly, from: kms.SourceIdentity},
		{name: "15: a multivalued key without a set operator", by: userAnn, key: theDefault, identity: []statement{allow("kms:Encrypt").when(`{"StringEquals": {"kms:ResourceAliases": "alias/a"}}`)},
			action: "kms:Encrypt", context: map[string][]string{"kms:ResourceAliases": {"alias/a"}}, want: implicitly, from: kms.SourceIdentity},
		{name: "15: a multivalued key with one", by: userAnn, key: theDefault, identity: []statement{allow("kms:Encrypt").when(`{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}}`)},
			action: "kms:Encrypt", context: map[string][]string{"kms:ResourceAliases": {"alias/a"}}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "16: from the first key", by: userAnn, key: theDefault, identity: reEncrypt, action: "kms:ReEncryptFrom", want: allowed, from: kms.SourceKeyPolicy},
		{name: "16: to the second key", by: userAnn, key: theDefault, identity: reEncrypt, action: "kms:ReEncryptTo", resource: keyOfAnother, want: allowed, from: kms.SourceKeyPolicy},
		{name: "16: from the second key", by: userAnn, key: theDefault, identity: reEncrypt, action: "kms:ReEncryptFrom", resource: keyOfAnother, want: implicitly, from: kms.SourceIdentity},
		{name: "16: to the first key", by: userAnn, key: theDefault, identity: reEncrypt, action: "kms:ReEncryptTo", want: implicitly, from: kms.SourceIdentity},
		{name: "17: a variable in the old version", by: zoe, key: theDefault, identity: team, version: policy.Version2008, context: map[string][]string{"aws:PrincipalTag/team": {"zoe"}},
			want: implicitly, from: kms.SourceIdentity},
		{name: "17: a variable", by: zoe, key: theDefault, identity: team, context: map[string][]string{"aws:PrincipalTag/team": {"zoe"}}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "18: the alias", by: userAnn, identity: []statement{allow("kms:CreateAlias").on("arn:aws:kms:us-east-1:111122223333:alias/app")}, action: "kms:CreateAlias",
			resource: "arn:aws:kms:us-east-1:111122223333:alias/app", want: allowed, from: kms.SourceIdentity},
		{name: "18: its key", by: userAnn, key: theDefault, identity: []statement{allow("kms:CreateAlias").on("arn:aws:kms:us-east-1:111122223333:alias/app")}, action: "kms:CreateAlias",
			want: implicitly, from: kms.SourceIdentity},
		{name: "19: everybody of an organization, here", by: userAnn, key: toOrganization, context: inOrganization, want: allowed, from: kms.SourceKeyPolicy},
		{name: "19: everybody of an organization, elsewhere", by: sessionFar, key: toOrganization, context: inOrganization, want: implicitly, from: kms.SourceIdentity},
		{name: "20: no resource", by: sessionApp, key: []statement{app.without("Resource")}, want: implicitly, from: kms.SourceKeyPolicy},
	})
}

// TestWhereTheDocumentsAreSilent: the safe side, of every case that policies and grants leave open. Some are refused before there is anything to decide.
func TestWhereTheDocumentsAreSilent(t *testing.T) {
	all, theDefault := []statement{allow("*")}, []statement{byDefault}
	exempt := func(names ...string) []statement {
		return []statement{allow("kms:*").to("*"), deny("kms:*").with("NotPrincipal", map[string]any{"AWS": names})}
	}
	multivalued := `{"StringEquals": {"kms:ResourceAliases": "alias/a"}}`
	aliases := map[string][]string{"kms:ResourceAliases": {"alias/a"}}
	contradiction := `{"ForAnyValue:StringEqualsIfExists": {"kms:ResourceAliases": "alias/a"}}`
	noARN := map[string][]string{"aws:SourceArn": {"arn:aws:s3"}}
	farGrant := []*kms.Grant{grantTo(farRole, kms.GrantDecrypt)}
	source := map[string][]string{"aws:SourceArn": {"arn:aws:s3:::b"}}
	checkRulings(t, []ruling{
		{name: "NotPrincipal that lists a session in part", by: sessionApp, key: exempt(ownAccount, appRole), want: explicitly, from: kms.SourceKeyPolicy},
		{name: "NotPrincipal that lists a user in part", by: userAnn, key: exempt(ann), want: explicitly, from: kms.SourceKeyPolicy},
		{name: "NotPrincipal that lists a session", by: sessionApp, key: exempt(ownAccount, appRole, appSession), want: allowed, from: kms.SourceKeyPolicy},
		{name: "NotPrincipal that lists a user who has a boundary", by: userAnn, boundary: all, key: exempt(ownAccount, ann), want: explicitly, from: kms.SourceKeyPolicy},
		{name: "session policy against *", by: sessionApp, key: []statement{allow("kms:*").to("*")}, session: []statement{allow("s3:*")}, want: implicitly, from: kms.SourceSession},
		{name: "ForAnyValue and IfExists without the key, in an Allow", by: userAnn, key: []statement{allow("kms:*").to(ann).when(contradiction)}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "ForAnyValue and IfExists without the key, in a Deny", by: userAnn, key: []statement{allow("kms:*").to(ann), deny("kms:*").to("*").when(contradiction)},
			want: explicitly, from: kms.SourceKeyPolicy},
		{name: "multivalued key without a set operator, in an Allow", by: userAnn, key: []statement{allow("kms:*").to(ann).when(multivalued)}, context: aliases, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "multivalued key without a set operator, in a Deny", by: userAnn, key: []statement{allow("kms:*").to(ann), deny("kms:*").to("*").when(multivalued)},
			context: map[string][]string{"kms:ResourceAliases": {"alias/b"}}, want: explicitly, from: kms.SourceKeyPolicy},
		{name: "service against * in an Allow", by: serviceOf(logs), key: []statement{allow("kms:*").to("*")}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "service against * in a Deny", by: serviceOf(logs), key: []statement{allow("kms:*").to(logs), deny("kms:*").to("*")}, want: explicitly, from: kms.SourceKeyPolicy},
		{name: "root user of another account", by: rootOf(otherAccount), key: []statement{allow("kms:*").to(otherAccount)}, identity: all, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "ARN operator and no ARN, in an Allow", by: userAnn, key: []statement{allow("kms:*").to(ann).when(`{"ArnLike": {"aws:SourceArn": "*"}}`)}, context: noARN,
			want: implicitly, from: kms.SourceKeyPolicy},
		{name: "negated ARN operator and no ARN, in an Allow", by: userAnn, key: []statement{allow("kms:*").to(ann).when(`{"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::b"}}`)}, context: noARN,
			want: implicitly, from: kms.SourceKeyPolicy},
		{name: "grant of another account, and a boundary", by: sessionFar, key: theDefault, boundary: all, grants: farGrant, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "grant of another account, and a session policy", by: sessionFar, key: theDefault, session: all, grants: farGrant, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "grant of the own account, and limits", by: sessionApp, key: theDefault, boundary: []statement{allow("s3:*")}, session: []statement{allow("s3:*")},
			grants: []*kms.Grant{grantTo(appRole, kms.GrantDecrypt)}, want: allowed, from: kms.SourceGrant},
		{name: "grant to a service without SourceArn", by: serviceOf(logs), key: theDefault, grants: []*kms.Grant{grantTo(logs, kms.GrantDecrypt)}, context: source, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "grant to a service with SourceArn", by: serviceOf(logs), key: theDefault, context: source,
			grants: []*kms.Grant{constrained(grantTo(logs, kms.GrantDecrypt), kms.GrantConstraints{SourceARN: "arn:aws:s3:::b"})}, want: allowed, from: kms.SourceGrant},
	})
	for name, s := range map[string]statement{
		"NotPrincipal with Allow":  allow("kms:*").with("NotPrincipal", map[string]any{"AWS": ann}),
		"case of a principal":      allow("kms:*").to("arn:aws:iam::111122223333:User/Ann"),
		"path of a session":        allow("kms:*").to("arn:aws:sts::111122223333:assumed-role/path/App/s1"),
		"wildcard in a principal":  allow("kms:*").to("arn:aws:iam::111122223333:user/*"),
		"ForAllValues of one pair": deny("kms:*").to("*").when(`{"ForAllValues:StringEquals": {"kms:EncryptionContext:Dept": "IT"}}`),
	} {
		text, err := json.Marshal(map[string]any{"Statement": s})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Parse(string(text), policy.KeyPolicy); err == nil {
			t.Errorf("%s: the document is not refused", name)
		}
	}
}

// TestActionsWithoutKey: what has no key is the root user's, and theirs to whom their identity policies give it.
func TestActionsWithoutKey(t *testing.T) {
	create, other := []statement{allow("kms:CreateKey")}, []statement{allow("s3:*")}
	rulings := []ruling{
		{name: "root user", by: rootOf(ownAccount), want: allowed},
		{name: "root user who is limited", by: rootOf(ownAccount), boundary: other, want: implicitly, from: kms.SourceBoundary},
		{name: "root user of a limited account", by: rootOf(ownAccount), serviceControl: other, want: implicitly, from: kms.SourceServiceControl},
		{name: "user", by: userAnn, identity: create, want: allowed, from: kms.SourceIdentity},
		{name: "user without a policy", by: userAnn, want: implicitly, from: kms.SourceIdentity},
		{name: "user within a boundary", by: userAnn, identity: create, boundary: create, want: allowed, from: kms.SourceIdentity},
		{name: "user beyond a boundary", by: userAnn, identity: create, boundary: other, want: implicitly, from: kms.SourceBoundary},
		{name: "session", by: sessionApp, identity: create, session: create, want: allowed, from: kms.SourceIdentity},
		{name: "session with other policies", by: sessionApp, identity: create, session: other, want: implicitly, from: kms.SourceSession},
		{name: "policy of a key only", by: userAnn, identity: []statement{allow("kms:CreateKey").on("arn:aws:kms:*:111122223333:key/*")}, want: implicitly, from: kms.SourceIdentity},
		{name: "explicit deny", by: userAnn, identity: append(create, deny("kms:*")), want: explicitly, from: kms.SourceIdentity},
		{name: "service", by: serviceOf(logs), want: implicitly, from: kms.SourceKeyPolicy},
		{name: "nobody", want: implicitly, from: kms.SourceKeyPolicy},
		{name: "nobody, and a deny", identity: []statement{deny("kms:*")}, want: explicitly, from: kms.SourceIdentity},
	}
	for i := range rulings {
		rulings[i].action, rulings[i].resource = "kms:CreateKey", "*"
	}
	checkRulings(t, rulings)
	t.Run("no account", func(t *testing.T) {
		in := (&ruling{by: policy.Principal{Type: policy.User, ARN: ann}, identity: create, action: "kms:CreateKey", resource: "*"}).input(t)
		in.Account = ""
		if d := kms.Evaluate(*in); d.Outcome != implicitly {
			t.Errorf("%v to a user of no account", d.Outcome)
		}
	})
	t.Run("no request", func(t *testing.T) {
		if d := kms.Evaluate(kms.EvaluateInput{Account: ownAccount}); d.Outcome != implicitly || d.Missing() != kms.SourceKeyPolicy {
			t.Errorf("%v", d.Outcome)
		}
	})
}

// TestGrantRules: what a grant allows, and whom.
func TestGrantRules(t *testing.T) {
	theDefault := []statement{byDefault}
	toApp := func(operations ...kms.GrantOperation) *kms.Grant { return grantTo(appRole, operations...) }
	equal := func(pairs kms.EncryptionContext) *kms.Grant {
		return constrained(toApp(kms.GrantEncrypt, kms.GrantDescribeKey, kms.GrantCreateGrant), kms.GrantConstraints{EncryptionContextEquals: pairs})
	}
	subset := func(pairs kms.EncryptionContext) *kms.Grant {
		return constrained(toApp(kms.GrantEncrypt, kms.GrantDescribeKey, kms.GrantCreateGrant), kms.GrantConstraints{EncryptionContextSubset: pairs})
	}
	forSource := func(arn string) *kms.Grant {
		return constrained(toApp(kms.GrantEncrypt, kms.GrantDescribeKey, kms.GrantCreateGrant), kms.GrantConstraints{SourceARN: arn})
	}
	it, itAndMore := kms.EncryptionContext{"Dept": "IT"}, kms.EncryptionContext{"Dept": "IT", "Stage": "test"}
	source := map[string][]string{"aws:SourceArn": {"arn:aws:s3:::b"}}
	ungranted := kms.SourceIdentity
	var rulings []ruling
	add := func(name string, g *kms.Grant, want kms.Outcome, change func(r *ruling)) {
		r := ruling{name: name, by: sessionApp, key: theDefault, action: "kms:Encrypt", grants: []*kms.Grant{g}, want: want, from: kms.SourceGrant}
		if want == implicitly {
			r.from = ungranted
		}
		if change != nil {
			change(&r)
		}
		rulings = append(rulings, r)
	}
	by := func(p policy.Principal) func(r *ruling) { return func(r *ruling) { r.by = p } }
	pairs := func(ec kms.EncryptionContext) func(r *ruling) { return func(r *ruling) { r.pairs = ec } }

	add("role", toApp(kms.GrantEncrypt), allowed, nil)
	add("another session of the role", toApp(kms.GrantEncrypt), allowed, by(sessionOf(ownAccount, "App", "s2")))
	add("session", grantTo(appSession, kms.GrantEncrypt), allowed, nil)
	add("another session", grantTo(appSession, kms.GrantEncrypt), implicitly, by(sessionOf(ownAccount, "App", "s2")))
	add("user", grantTo(ann, kms.GrantEncrypt), allowed, by(userAnn))
	add("another user", grantTo(ann, kms.GrantEncrypt), implicitly, by(userOf(ownAccount, "ann")))
	add("federated session", grantTo(fred.ARN, kms.GrantEncrypt), allowed, by(fred))
	add("federated session of the user who is the grantee", grantTo(ann, kms.GrantEncrypt), implicitly, by(fred))
	add("root user", grantTo("arn:aws:iam::111122223333:root", kms.GrantEncrypt), allowed, func(r *ruling) {
		r.by, r.key = rootOf(ownAccount), []statement{allow("kms:*").to(appRole)}
	})
	add("a user of the account whose root user is the grantee", grantTo("arn:aws:iam::111122223333:root", kms.GrantEncrypt), implicitly, by(userAnn))
	add("another operation", toApp(kms.GrantDecrypt), implicitly, nil)
	add("an action that no operation is", toApp(kms.GrantEncrypt), implicitly, func(r *ruling) { r.action = "kms:DisableKey" })
	add("an action of another service", toApp(kms.GrantEncrypt), implicitly, func(r *ruling) { r.action, r.from = "s3:Encrypt", kms.SourceKeyPolicy })
	add("one of several grants", grantTo(ann, kms.GrantEncrypt), allowed, func(r *ruling) { r.grants = append(r.grants, toApp(kms.GrantDecrypt), toApp(kms.GrantEncrypt)) })
	add("no delegation is needed", toApp(kms.GrantEncrypt), allowed, func(r *ruling) { r.key = []statement{allow("kms:*").to(ann)} })
	add("a policy allows it anyway", toApp(kms.GrantEncrypt), allowed, func(r *ruling) { r.key, r.from = []statement{allow("kms:*").to(appRole)}, kms.SourceKeyPolicy })
	for where, change := range map[string]func(r *ruling){
		"key policy":             func(r *ruling) { r.key, r.from = []statement{deny("kms:*").to("*")}, kms.SourceKeyPolicy },
		"identity policy":        func(r *ruling) { r.identity, r.from = []statement{deny("kms:*")}, kms.SourceIdentity },
		"boundary":               func(r *ruling) { r.boundary, r.from = []statement{deny("kms:*")}, kms.SourceBoundary },
		"session policy":         func(r *ruling) { r.session, r.from = []statement{deny("kms:*")}, kms.SourceSession },
		"service control policy": func(r *ruling) { r.serviceControl, r.from = []statement{deny("kms:*")}, kms.SourceServiceControl },
		"resource control policy": func(r *ruling) {
			r.resourceControl, r.from = []statement{deny("kms:*").to("*")}, kms.SourceResourceControl
		},
	} {
		add("a deny in a "+where, toApp(kms.GrantEncrypt), explicitly, change)
	}
	add("a service control policy of something else", toApp(kms.GrantEncrypt), implicitly, func(r *ruling) { r.serviceControl, r.from = []statement{allow("s3:*")}, kms.SourceServiceControl })

	add("these pairs", equal(it), allowed, pairs(it))
	add("these pairs, in other letters", equal(it), allowed, pairs(kms.EncryptionContext{"dept": "IT"}))
	add("these pairs, with another value", equal(it), implicitly, pairs(kms.EncryptionContext{"Dept": "it"}))
	add("these pairs and more", equal(it), implicitly, pairs(itAndMore))
	add("fewer pairs", equal(itAndMore), implicitly, pairs(it))
	add("as many pairs, two of them one", equal(kms.EncryptionContext{"Dept": "IT", "dept": "IT"}), implicitly, pairs(itAndMore))
	add("as many pairs, two of them one, in the request", equal(itAndMore), implicitly, pairs(kms.EncryptionContext{"Dept": "IT", "dept": "IT"}))
	add("no pairs", equal(kms.EncryptionContext{}), allowed, nil)
	add("no pairs, and some", equal(kms.EncryptionContext{}), implicitly, pairs(it))
	add("pairs included", subset(it), allowed, pairs(itAndMore))
	add("pairs not included", subset(itAndMore), implicitly, pairs(it))
	add("pairs that say two things", subset(it), implicitly, pairs(kms.EncryptionContext{"Dept": "IT", "dept": "HR"}))
	add("what takes no pairs, equal", equal(it), allowed, func(r *ruling) { r.action = "kms:DescribeKey" })
	add("what takes no pairs, subset", subset(it), allowed, func(r *ruling) { r.action = "kms:DescribeKey" })
	add("source", forSource("arn:aws:s3:::b"), allowed, func(r *ruling) { r.context = source })
	add("another source", forSource("arn:aws:s3:::c"), implicitly, func(r *ruling) { r.context = source })
	add("no source", forSource("arn:aws:s3:::b"), implicitly, nil)
	add("source, of what takes no pairs", forSource("arn:aws:s3:::b"), implicitly, func(r *ruling) { r.action = "kms:DescribeKey" })

	inService := func(g *kms.Grant, arn string) *kms.Grant { return constrained(g, kms.GrantConstraints{SourceARN: arn}) }
	atService := func(r *ruling) { r.by, r.context, r.from = serviceOf(logs), source, kms.SourceKeyPolicy }
	add("service", inService(grantTo(logs, kms.GrantEncrypt), "arn:aws:s3:::b"), allowed, func(r *ruling) { atService(r); r.from = kms.SourceGrant })
	add("service, of another source", inService(grantTo(logs, kms.GrantEncrypt), "arn:aws:s3:::c"), implicitly, atService)
	add("another service", inService(grantTo("ecs.amazonaws.com", kms.GrantEncrypt), "arn:aws:s3:::b"), implicitly, atService)
	add("service without a constraint", grantTo(logs, kms.GrantEncrypt), implicitly, atService)
	add("service that is named as a principal", inService(&kms.Grant{GranteePrincipal: logs, Operations: []kms.GrantOperation{kms.GrantEncrypt}}, "arn:aws:s3:::b"), implicitly, atService)
	add("service without a name", inService(&kms.Grant{Operations: []kms.GrantOperation{kms.GrantEncrypt}}, "arn:aws:s3:::b"), implicitly, func(r *ruling) { atService(r); r.by = serviceOf("") })
	add("no grantee at all", inService(&kms.Grant{Operations: []kms.GrantOperation{kms.GrantEncrypt}}, "arn:aws:s3:::b"), implicitly, func(r *ruling) {
		r.by, r.context, r.from = policy.Principal{Type: policy.User, Account: ownAccount}, source, kms.SourceIdentity
	})
	checkRulings(t, rulings)
	t.Run("source, and no context at all", func(t *testing.T) {
		in := (&ruling{by: sessionApp, key: theDefault, action: "kms:Encrypt", grants: []*kms.Grant{forSource("arn:aws:s3:::b")}}).input(t)
		in.Request.Context = nil
		if d := kms.Evaluate(*in); d.Outcome != implicitly {
			t.Errorf("%v", d.Outcome)
		}
	})
}

// TestGrantsOfGrants: who may create grants by a grant alone makes them of no more operations, and under constraints as strict.
func TestGrantsOfGrants(t *testing.T) {
	it, more, hr := kms.EncryptionContext{"Dept": "IT"}, kms.EncryptionContext{"Dept": "IT", "Stage": "test"}, kms.EncryptionContext{"Dept": "HR"}
	grant := func(c kms.GrantConstraints, operations ...kms.GrantOperation) *kms.Grant {
		return constrained(grantTo(appRole, operations...), c)
	}
	none := kms.GrantConstraints{}
	equal := func(ec kms.EncryptionContext) kms.GrantConstraints {
		return kms.GrantConstraints{EncryptionContextEquals: ec}
	}
	subset := func(ec kms.EncryptionContext) kms.GrantConstraints {
		return kms.GrantConstraints{EncryptionContextSubset: ec}
	}
	bucket := kms.GrantConstraints{SourceARN: "arn:aws:s3:::b"}
	parent := []kms.GrantOperation{kms.GrantDecrypt, kms.GrantEncrypt, kms.GrantCreateGrant}
	for _, c := range []struct {
		name          string
		parent, child *kms.Grant
		want          bool
	}{
		{"as much", grant(none, parent...), grant(none, parent...), true},
		{"less", grant(none, parent...), grant(none, kms.GrantDecrypt), true},
		{"another operation", grant(none, parent...), grant(none, kms.GrantDecrypt, kms.GrantDescribeKey), false},
		{"without CreateGrant", grant(none, kms.GrantDecrypt), grant(none, kms.GrantDecrypt), false},
		{"no grant that is said", grant(none, parent...), nil, false},
		{"a subset where there was nothing", grant(none, parent...), grant(subset(it), kms.GrantDecrypt), true},
		{"equality where there was nothing", grant(none, parent...), grant(equal(it), kms.GrantDecrypt), true},
		{"nothing where there was a subset", grant(subset(it), parent...), grant(none, kms.GrantDecrypt), false},
		{"the same subset", grant(subset(it), parent...), grant(subset(it), kms.GrantDecrypt), true},
		{"a subset with more pairs", grant(subset(it), parent...), grant(subset(more), kms.GrantDecrypt), true},
		{"a subset with fewer pairs", grant(subset(more), parent...), grant(subset(it), kms.GrantDecrypt), false},
		{"a subset of other pairs", grant(subset(it), parent...), grant(subset(hr), kms.GrantDecrypt), false},
		{"equality instead of a subset", grant(subset(it), parent...), grant(equal(more), kms.GrantDecrypt), true},
		{"equality without the pair", grant(subset(it), parent...), grant(equal(hr), kms.GrantDecrypt), false},
		{"the same equality", grant(equal(it), parent...), grant(equal(kms.EncryptionContext{"dept": "IT"}), kms.GrantDecrypt), true},
		{"equality with more pairs", grant(equal(it), parent...), grant(equal(more), kms.GrantDecrypt), false},
		{"equality with as many pairs", grant(equal(kms.EncryptionContext{"Dept": "IT", "dept": "IT"}), parent...), grant(equal(more), kms.GrantDecrypt), false},
		{"a subset instead of equality", grant(equal(it), parent...), grant(subset(it), kms.GrantDecrypt), false},
		{"nothing instead of equality", grant(equal(it), parent...), grant(none, kms.GrantDecrypt), false},
		{"nothing instead of equality with nothing", grant(equal(kms.EncryptionContext{}), parent...), grant(none, kms.GrantDecrypt), false},
		{"the same source", grant(bucket, parent...), grant(bucket, kms.GrantDecrypt), true},
		{"another source", grant(bucket, parent...), grant(kms.GrantConstraints{SourceARN: "arn:aws:s3:::c"}, kms.GrantDecrypt), false},
		{"no source any more", grant(bucket, parent...), grant(none, kms.GrantDecrypt), false},
		{"a source where there was none", grant(none, parent...), grant(bucket, kms.GrantDecrypt), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ruling{by: sessionApp, key: []statement{byDefault}, action: "kms:CreateGrant", grants: []*kms.Grant{c.parent}, newGrant: c.child,
				context: map[string][]string{"aws:SourceArn": {"arn:aws:s3:::b"}}, want: implicitly, from: kms.SourceIdentity}
			if c.want {
				r.want, r.from = allowed, kms.SourceGrant
			}
			if c.child != nil {
				r.pairs = c.child.Constraints.EncryptionContextSubset
				if c.child.Constraints.EncryptionContextEquals != nil {
					r.pairs = c.child.Constraints.EncryptionContextEquals
				}
			}
			r.check(t)
			if c.parent.Constraints.SourceARN != "" { // which the request must have, too
				r.context, r.want, r.from = nil, implicitly, kms.SourceIdentity
				r.check(t)
			}
			// Who has the permission of a policy may make what grants there may be.
			r.key, r.want, r.from = []statement{allow("kms:CreateGrant").to(appRole)}, allowed, kms.SourceKeyPolicy
			r.check(t)
		})
	}
}

// TestRetirement: who may retire a grant. The policies of resources have no say in it.
func TestRetirement(t *testing.T) {
	retire := []statement{allow("kms:RetireGrant")}
	with := func(change func(g *kms.Grant)) *kms.Grant {
		g := grantTo("arn:aws:iam::111122223333:role/Other", kms.GrantEncrypt)
		g.IssuingAccount = "arn:aws:iam::777788889999:root"
		change(g)
		return g
	}
	retiring := func(arn string) *kms.Grant { return with(func(g *kms.Grant) { g.RetiringPrincipal = arn }) }
	issued := func(account string) *kms.Grant {
		return with(func(g *kms.Grant) { g.IssuingAccount = "arn:aws:iam::" + account + ":root" })
	}
	granted := with(func(g *kms.Grant) {
		g.GranteePrincipal, g.Operations = appRole, []kms.GrantOperation{kms.GrantRetireGrant}
	})
	bySource := constrained(granted, kms.GrantConstraints{SourceARN: "arn:aws:s3:::b", EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT"}})
	service := with(func(g *kms.Grant) { g.RetiringServicePrincipal = logs })
	everything := allow("*").to("*")
	rulings := []ruling{
		{name: "retiring role", by: sessionApp, grants: []*kms.Grant{retiring(appRole)}, want: allowed, from: kms.SourceGrant},
		{name: "retiring session", by: sessionApp, grants: []*kms.Grant{retiring(appSession)}, want: allowed, from: kms.SourceGrant},
		{name: "retiring user", by: userAnn, grants: []*kms.Grant{retiring(ann)}, want: allowed, from: kms.SourceGrant},
		{name: "retiring user of another account", by: userOf(otherAccount, "carol"), grants: []*kms.Grant{retiring("arn:aws:iam::444455556666:user/carol")}, want: allowed, from: kms.SourceGrant},
		{name: "retiring service", by: serviceOf(logs), grants: []*kms.Grant{service}, want: allowed, from: kms.SourceGrant},
		{name: "another service", by: serviceOf("ecs.amazonaws.com"), grants: []*kms.Grant{service}, want: implicitly, from: kms.SourceGrant},
		{name: "somebody else", by: userAnn, identity: retire, grants: []*kms.Grant{retiring(appRole)}, want: implicitly, from: kms.SourceGrant},
		{name: "retiring account, its root user", by: rootOf(otherAccount), grants: []*kms.Grant{retiring("arn:aws:iam::444455556666:root")}, want: allowed, from: kms.SourceGrant},
		{name: "retiring account, a user with permission", by: userOf(otherAccount, "carol"), identity: retire, grants: []*kms.Grant{retiring("arn:aws:iam::444455556666:root")},
			want: allowed, from: kms.SourceIdentity},
		{name: "retiring account, a user without", by: userOf(otherAccount, "carol"), grants: []*kms.Grant{retiring("arn:aws:iam::444455556666:root")}, want: implicitly, from: kms.SourceIdentity},
		{name: "retiring account, a user beyond a boundary", by: userOf(otherAccount, "carol"), identity: retire, boundary: []statement{allow("s3:*")},
			grants: []*kms.Grant{retiring("arn:aws:iam::444455556666:root")}, want: implicitly, from: kms.SourceBoundary},
		{name: "issuing account, its root user", by: rootOf(ownAccount), grants: []*kms.Grant{issued(ownAccount)}, want: allowed},
		{name: "issuing account elsewhere, its root user", by: rootOf(otherAccount), grants: []*kms.Grant{issued(otherAccount)}, want: allowed},
		{name: "issuing account, a user with permission", by: userAnn, identity: retire, grants: []*kms.Grant{issued(ownAccount)}, want: allowed, from: kms.SourceIdentity},
		{name: "issuing account, a user without", by: userAnn, grants: []*kms.Grant{issued(ownAccount)}, want: implicitly, from: kms.SourceIdentity},
		{name: "the key's account, which did not issue it", by: rootOf(ownAccount), grants: []*kms.Grant{issued(otherAccount)}, want: implicitly, from: kms.SourceGrant},
		{name: "another account", by: rootOf(otherAccount), grants: []*kms.Grant{issued(ownAccount)}, want: implicitly, from: kms.SourceGrant},
		{name: "an account of which the issuing one has the end", by: policy.Principal{Type: policy.User, ARN: "arn:aws:iam::2222333:user/a", Account: "2222333"}, identity: retire,
			grants: []*kms.Grant{issued("1112222333")}, want: implicitly, from: kms.SourceGrant},
		{name: "no account", by: policy.Principal{Type: policy.User, ARN: "arn:aws:iam:::user/a"}, identity: retire, grants: []*kms.Grant{issued("")}, want: implicitly, from: kms.SourceGrant},
		{name: "grantee", by: sessionApp, grants: []*kms.Grant{granted}, want: allowed, from: kms.SourceGrant},
		{name: "grantee, whatever the constraints", by: sessionApp, grants: []*kms.Grant{bySource}, want: allowed, from: kms.SourceGrant},
		{name: "grantee without the operation", by: sessionApp, grants: []*kms.Grant{with(func(g *kms.Grant) { g.GranteePrincipal = appRole })}, want: implicitly, from: kms.SourceGrant},
		{name: "policies of the key allow it", by: userAnn, key: []statement{everything}, resourceControl: []statement{everything}, grants: []*kms.Grant{granted}, want: implicitly, from: kms.SourceGrant},
		{name: "policies of the key deny it", by: sessionApp, key: []statement{deny("*").to("*")}, resourceControl: []statement{deny("*").to("*")}, grants: []*kms.Grant{granted},
			want: allowed, from: kms.SourceGrant},
		{name: "a policy of the caller denies it", by: sessionApp, identity: []statement{deny("kms:RetireGrant")}, grants: []*kms.Grant{granted}, want: explicitly, from: kms.SourceIdentity},
		{name: "a service control policy does not allow it", by: sessionApp, serviceControl: []statement{allow("s3:*")}, grants: []*kms.Grant{granted},
			want: implicitly, from: kms.SourceServiceControl},
		{name: "nobody", grants: []*kms.Grant{granted}, want: implicitly, from: kms.SourceKeyPolicy},
	}
	for i := range rulings {
		rulings[i].action = "kms:RetireGrant"
	}
	checkRulings(t, rulings)
}

// TestDelegation: an account is delegated what the statement that names it is about, under its conditions.
func TestDelegation(t *testing.T) {
	describes, everything := []statement{allow("kms:Describe*").to(ownAccount)}, []statement{allow("*")}
	mfa := []statement{allow("kms:*").to(ownAccount).when(`{"Bool": {"aws:MultiFactorAuthPresent": "true"}}`)}
	checkRulings(t, []ruling{
		{name: "delegated action", by: userAnn, key: describes, identity: everything, action: "kms:DescribeKey", want: allowed, from: kms.SourceKeyPolicy},
		{name: "another action", by: userAnn, key: describes, identity: everything, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "another action, root user", by: rootOf(ownAccount), key: describes, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "condition of the delegation", by: userAnn, key: mfa, identity: everything, context: map[string][]string{"aws:MultiFactorAuthPresent": {"true"}}, want: allowed, from: kms.SourceKeyPolicy},
		{name: "condition that is not met", by: userAnn, key: mfa, identity: everything, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "statements of all policies", by: userAnn, key: append(describes, allow("kms:Decrypt").to(ownAccount)), identity: []statement{allow("s3:*"), allow("kms:Decrypt")},
			want: allowed, from: kms.SourceKeyPolicy},
		{name: "deny of the account", by: userAnn, key: []statement{allow("kms:*").to(ann), deny("kms:*").to(ownAccount)}, want: explicitly, from: kms.SourceKeyPolicy},
		{name: "deny of the role", by: sessionApp, key: []statement{allow("kms:*").to(appSession), deny("kms:*").to(appRole)}, want: explicitly, from: kms.SourceKeyPolicy},
		{name: "deny of another session", by: sessionApp, key: []statement{allow("kms:*").to(appRole), deny("kms:*").to("arn:aws:sts::111122223333:assumed-role/App/s2")},
			want: allowed, from: kms.SourceKeyPolicy},
		{name: "user with session policies", by: userAnn, key: []statement{allow("kms:*").to(ann)}, session: []statement{allow("s3:*")}, want: implicitly, from: kms.SourceSession},
		{name: "root user with session policies", by: rootOf(ownAccount), key: []statement{byDefault}, session: []statement{allow("s3:*")}, want: implicitly, from: kms.SourceSession},
		{name: "user who is limited twice", by: userAnn, key: []statement{byDefault}, identity: everything, boundary: []statement{allow("s3:*")}, session: []statement{allow("s3:*")},
			want: implicitly, from: kms.SourceBoundary},
		{name: "role that is limited, and account that is not delegated to", by: sessionApp, key: []statement{allow("kms:*").to(appRole)}, boundary: []statement{allow("s3:*")},
			want: implicitly, from: kms.SourceBoundary},
		{name: "nobody", key: []statement{allow("kms:*").to("*")}, want: implicitly, from: kms.SourceKeyPolicy},
		{name: "nobody, and a grant", key: []statement{byDefault}, grants: []*kms.Grant{{Operations: []kms.GrantOperation{kms.GrantDecrypt}}}, want: implicitly, from: kms.SourceKeyPolicy},
	})
	t.Run("a boundary that the principal does not say", func(t *testing.T) {
		r := ruling{by: userAnn, boundary: everything, want: explicitly, from: kms.SourceKeyPolicy,
			key: []statement{allow("kms:*").to(ann), deny("kms:*").with("NotPrincipal", map[string]any{"AWS": []string{ownAccount, ann}})}}
		r.check(t)
		in := r.input(t)
		if kms.Evaluate(*in); in.Request.Principal.Boundary {
			t.Error("Evaluate has changed the request")
		}
	})
	t.Run("a boundary that is not there", func(t *testing.T) {
		r := ruling{by: userAnn, key: []statement{byDefault}, identity: everything, want: implicitly, from: kms.SourceBoundary}
		r.by.Boundary = true
		r.check(t)
	})
}

// TestGroundsAndReasons: a decision tells what it rests on, or what is missing, in the words of AWS KMS.
func TestGroundsAndReasons(t *testing.T) {
	sid := func(s statement, sid string) statement { return s.with("Sid", sid) }
	everything := []statement{allow("*")}
	for _, c := range []struct {
		ruling
		grounds, reason string
	}{
		{ruling{name: "named", by: userAnn, key: []statement{sid(allow("kms:*").to(ann), "Use")}},
			`[resource-based policy (Statement "Use")]`, `because of an allow in a resource-based policy (Statement "Use")`},
		{ruling{name: "delegated, limited", by: sessionApp, key: []statement{deny("s3:*").to("*"), byDefault}, identity: []statement{sid(allow("kms:*"), "Own")}, boundary: everything, session: everything},
			`[resource-based policy (Statement[1]) identity-based policy (Statement "Own") permissions boundary (Statement[0]) session policy (Statement[0])]`,
			`because of an allow in a resource-based policy (Statement[1]) and an identity-based policy (Statement "Own") and a permissions boundary (Statement[0]) and a session policy (Statement[0])`},
		{ruling{name: "granted", by: userAnn, key: []statement{byDefault}, grants: []*kms.Grant{grantTo(ann, kms.GrantDecrypt)}}, `[grant g1]`, `because of an allow in a grant g1`},
		{ruling{name: "root user", by: rootOf(ownAccount), action: "kms:ListKeys", resource: "*"}, `[]`, `because the account's root user may`},
		{ruling{name: "denied by an identity policy", by: userAnn, key: []statement{byDefault}, identity: []statement{allow("*"), deny("kms:Decrypt")}},
			`[identity-based policy (Statement[1])]`, `with an explicit deny in an identity-based policy (Statement[1])`},
		{ruling{name: "denied by the key policy", by: userAnn, key: []statement{sid(deny("kms:*").to("*"), "Stop")}},
			`[resource-based policy (Statement "Stop")]`, `with an explicit deny in a resource-based policy (Statement "Stop")`},
		{ruling{name: "denied by a service control policy", by: userAnn, key: []statement{byDefault}, serviceControl: []statement{deny("kms:*")}},
			`[service control policy (Statement[0])]`, `with an explicit deny in a service control policy (Statement[0])`},
		{ruling{name: "no resource policy", by: userAnn, key: []statement{allow("kms:*").to(appRole)}}, `[]`, `because no resource-based policy allows the kms:Decrypt action`},
		{ruling{name: "no identity policy", by: userAnn, key: []statement{byDefault}}, `[]`, `because no identity-based policy allows the kms:Decrypt action`},
		{ruling{name: "neither", by: sessionFar, key: []statement{byDefault}}, `[]`, `because no resource-based policy allows the kms:Decrypt action`},
		{ruling{name: "no boundary", by: userAnn, key: []statement{byDefault}, identity: everything, boundary: []statement{allow("s3:*")}}, `[]`,
			`because no permissions boundary allows the kms:Decrypt action`},
		{ruling{name: "no session policy", by: sessionApp, key: []statement{byDefault}, identity: everything, session: []statement{allow("s3:*")}}, `[]`,
			`because no session policy allows the kms:Decrypt action`},
		{ruling{name: "no service control policy", by: userAnn, key: []statement{byDefault}, identity: everything, serviceControl: []statement{allow("s3:*")}}, `[]`,
			`because no service control policy allows the kms:Decrypt action`},
		{ruling{name: "no resource control policy", by: userAnn, key: []statement{byDefault}, identity: everything, resourceControl: []statement{allow("s3:*").to("*")}}, `[]`,
			`because no resource control policy allows the kms:Decrypt action`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := kms.Evaluate(*c.input(t))
			if got := fmt.Sprint(d.Grounds()); got != c.grounds {
				t.Errorf("rests on %s, want %s", got, c.grounds)
			}
			if got := d.Reason(); got != c.reason {
				t.Errorf("reason %q, want %q", got, c.reason)
			}
			if d.Outcome == allowed && d.Missing() != 0 {
				t.Errorf("%v is missing", d.Missing())
			}
		})
	}
	t.Run("one of several policies", func(t *testing.T) {
		in := (&ruling{by: userAnn, key: []statement{byDefault}, identity: []statement{allow("s3:*")}}).input(t)
		in.Identity = append(in.Identity, (&ruling{identity: everything}).input(t).Identity...)
		in.ServiceControl = [][]*policy.Document{{in.Identity[1]}, in.Identity}
		d := kms.Evaluate(*in)
		if got, want := fmt.Sprint(d.Grounds()), `[resource-based policy (Statement[0]) identity-based policy (Statement[0] of policy 1)]`; got != want {
			t.Errorf("rests on %s, want %s", got, want)
		}
		d.Grounds()[0].Source = kms.SourceGrant
		if d.Grounds()[0].Source != kms.SourceKeyPolicy {
			t.Error("grounds share memory with the decision")
		}
	})
	t.Run("the first of several", func(t *testing.T) {
		in := (&ruling{by: userAnn, key: []statement{byDefault}, identity: everything}).input(t)
		in.Identity = append(in.Identity, in.Identity[0])
		if got, want := fmt.Sprint(kms.Evaluate(*in).Grounds()), `[resource-based policy (Statement[0]) identity-based policy (Statement[0])]`; got != want {
			t.Errorf("rests on %s, want %s", got, want)
		}
		denies := (&ruling{identity: []statement{deny("kms:*")}}).input(t).Identity[0]
		in.Identity, in.Boundary = []*policy.Document{denies, denies}, denies
		if got, want := fmt.Sprint(kms.Evaluate(*in).Grounds()), `[identity-based policy (Statement[0])]`; got != want {
			t.Errorf("rests on %s, want %s", got, want)
		}
	})
	t.Run("every level", func(t *testing.T) {
		in := (&ruling{by: userAnn, key: []statement{byDefault}, identity: everything, serviceControl: everything}).input(t)
		other := (&ruling{serviceControl: []statement{allow("s3:*")}}).input(t).ServiceControl[0]
		full := in.ServiceControl[0]
		for _, levels := range [][][]*policy.Document{{full, other}, {other, full}, {full, nil}, {nil, full}} {
			in.ServiceControl = levels
			if d := kms.Evaluate(*in); d.Outcome != implicitly || d.Missing() != kms.SourceServiceControl {
				t.Errorf("%v, missing %v", d.Outcome, d.Missing())
			}
		}
		in.ServiceControl = [][]*policy.Document{full, {other[0], full[0]}}
		if d := kms.Evaluate(*in); d.Outcome != allowed {
			t.Errorf("%v, missing %v", d.Outcome, d.Missing())
		}
	})
	t.Run("zero", func(t *testing.T) {
		var d kms.Decision
		if d.Outcome != implicitly || d.Missing() != kms.SourceKeyPolicy || d.Reason() != "because no resource-based policy allows the  action" || len(d.Grounds()) != 0 {
			t.Errorf("%v, %v, %q", d.Outcome, d.Missing(), d.Reason())
		}
		if g := (kms.Ground{}); g.String() != "none" || g.Sid() != "" {
			t.Errorf("%v, %q", g, g.Sid())
		}
		if got := (kms.Ground{Source: kms.SourceGrant, Statement: policy.None}).String(); got != "grant" {
			t.Error(got)
		}
	})
	for source, name := range map[fmt.Stringer]string{
		kms.SourceKeyPolicy: "resource-based policy", kms.SourceIdentity: "identity-based policy", kms.SourceBoundary: "permissions boundary", kms.SourceSession: "session policy",
		kms.SourceServiceControl: "service control policy", kms.SourceResourceControl: "resource control policy", kms.SourceGrant: "grant", kms.Source(0): "none", kms.Source(99): "none",
		allowed: "Allowed", explicitly: "ExplicitlyDenied", implicitly: "ImplicitlyDenied", kms.Outcome(99): "ImplicitlyDenied",
	} {
		if source.String() != name {
			t.Errorf("%v, want %s", source, name)
		}
	}
}

// neighbours are the identities of the keyring's account and another one: their roles App and Far may do everything.
type neighbours struct{ everything *policy.Document }

func (n neighbours) Current() kms.Identities { return n }

func (n neighbours) Identity(arn string) *kms.Identity {
	if arn != appRole && arn != farRole {
		return nil
	}
	return &kms.Identity{ARN: arn, Policies: []*policy.Document{n.everything}}
}

func (n neighbours) Account(id string) *kms.Account {
	if id != ownAccount && id != otherAccount {
		return nil
	}
	return &kms.Account{ID: id}
}

func (n neighbours) All() iter.Seq[*kms.Identity] {
	return func(yield func(*kms.Identity) bool) {
		_ = yield(n.Identity(appRole)) && yield(n.Identity(farRole))
	}
}

// TestAcrossAccounts: what both accounts allow, another account may only do if the operation is one that crosses them; and it is not told what exists.
func TestAcrossAccounts(t *testing.T) {
	everything, err := policy.Parse(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`, policy.IdentityPolicy)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, func(c *kms.Config) { c.Identities = neighbours{everything} })
	toBoth := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": ["111122223333", "444455556666"]}, "Action": "kms:*", "Resource": "*"}}`
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: toBoth}))(t)
	forbidden := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	check(t, f.CreateAlias(t.Context(), "alias/app", key.ARN))
	here, there := f.As(kms.Role("App")), f.As(kms.Role("Far").InAccount(otherAccount))

	must(there.DescribeKey(t.Context(), key.ARN))(t)
	must(there.DescribeKey(t.Context(), strings.Replace(key.ARN, "key/"+key.KeyID, "alias/app", 1)))(t)
	out := must(there.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	must(here.Decrypt(t.Context(), out.Ciphertext, nil))(t)
	for _, name := range []string{"alias/app", key.KeyID} { // they are names within the caller's own account
		if _, err := there.DescribeKey(t.Context(), name); err == nil {
			t.Errorf("%s: another account's caller finds the key", name)
		}
	}
	wantCode(t, there.DisableKey(t.Context(), key.ARN), kms.ErrAccessDenied)
	check(t, here.DisableKey(t.Context(), key.ARN))

	missing := strings.Replace(key.ARN, key.KeyID, "1234abcd-12ab-34cd-56ef-1234567890ab", 1)
	texts := map[string]bool{}
	for _, name := range []string{forbidden.ARN, missing} {
		_, err := there.Encrypt(t.Context(), name, []byte("x"), nil)
		wantCode(t, err, kms.ErrAccessDenied)
		if err != nil {
			texts[strings.NewReplacer(forbidden.ARN, "KEY", missing, "KEY", forbidden.KeyID, "ID", "1234abcd-12ab-34cd-56ef-1234567890ab", "ID").Replace(err.Error())] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("a key that is forbidden and one that is missing read differently: %v", texts)
	}
}

// TestGrantOfTwoSpellings: a grant whose constraint has two names that are one but for case is no grant of whatever context has as many pairs.
func TestGrantOfTwoSpellings(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{}))(t)
	alice := "arn:aws:iam::111122223333:user/alice"
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: alice, Operations: []kms.GrantOperation{kms.GrantEncrypt},
		Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT", "dept": "IT"}}}))(t)
	_, err := f.As(kms.User("alice")).Encrypt(t.Context(), key.ARN, []byte("x"), kms.EncryptionContext{"Dept": "IT", "Stage": "test"})
	wantCode(t, err, kms.ErrAccessDenied)

	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: alice, Operations: []kms.GrantOperation{kms.GrantEncrypt},
		Constraints: kms.GrantConstraints{EncryptionContextEquals: kms.EncryptionContext{"dept": "IT", "Stage": "test"}}}))(t)
	must(f.As(kms.User("alice")).Encrypt(t.Context(), key.ARN, []byte("x"), kms.EncryptionContext{"Dept": "IT", "Stage": "test"}))(t)
}

// TestGrantConstraintType: a policy can tell which constraint a new grant has, if it has one.
func TestGrantConstraintType(t *testing.T) {
	f := open(t)
	statement := `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"}, "Action": "kms:CreateGrant", "Resource": "*", "Condition": %s}`
	types := map[string]kms.GrantConstraints{
		"EncryptionContextEquals": {EncryptionContextEquals: kms.EncryptionContext{"Dept": "IT"}},
		"EncryptionContextSubset": {EncryptionContextSubset: kms.EncryptionContext{"Dept": "IT"}},
		"":                        {},
	}
	for wanted := range types {
		condition := `{"StringEquals": {"kms:GrantConstraintType": "` + wanted + `"}}`
		if wanted == "" {
			condition = `{"Null": {"kms:GrantConstraintType": true}}`
		}
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: true, Policy: `{"Version": "2012-10-17", "Statement": ` + fmt.Sprintf(statement, condition) + `}`}))(t)
		for kind, constraints := range types {
			_, err := f.As(kms.User("alice")).CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: "arn:aws:iam::111122223333:user/bob",
				Operations: []kms.GrantOperation{kms.GrantEncrypt}, Constraints: constraints})
			code := kms.Code("")
			if kind != wanted {
				code = kms.ErrAccessDenied
			}
			wantCode(t, err, code)
		}
	}
}
