package kms_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

const (
	ownAccount   = "111122223333"
	otherAccount = "444455556666"
	trialKey     = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// A trial is a request and everything that bears on it, as text that tests can change.
type trial struct {
	key             statements // nil where the action has no key
	identity        []statements
	boundary        statements // nil is none
	session         []statements
	serviceControl  [][]statements
	resourceControl [][]statements
	grants          []*kms.Grant
	newGrant        *kms.Grant
	context         kms.EncryptionContext
	request         policy.Request
}

// statements are those of one document. Each is never changed, but replaced.
type statements []statement

type statement map[string]any

// A document is where one of a trial's is, and what it is.
type document struct {
	*statements
	source kms.Source
	kind   policy.Kind
}

// documents lists all that are there.
func (tr *trial) documents() (all []document) {
	add := func(s *statements, source kms.Source, kind policy.Kind) {
		if *s != nil {
			all = append(all, document{s, source, kind})
		}
	}
	add(&tr.key, kms.SourceKeyPolicy, policy.KeyPolicy)
	add(&tr.boundary, kms.SourceBoundary, policy.IdentityPolicy)
	for i := range tr.identity {
		add(&tr.identity[i], kms.SourceIdentity, policy.IdentityPolicy)
	}
	for i := range tr.session {
		add(&tr.session[i], kms.SourceSession, policy.IdentityPolicy)
	}
	for _, level := range tr.serviceControl {
		for i := range level {
			add(&level[i], kms.SourceServiceControl, policy.IdentityPolicy)
		}
	}
	for _, level := range tr.resourceControl {
		for i := range level {
			add(&level[i], kms.SourceResourceControl, policy.ResourceControlPolicy)
		}
	}
	return all
}

// unlimited are root users and services, who have no identity policies, boundaries and session policies.
func (tr *trial) unlimited() bool {
	return tr.request.Principal.Type == policy.RootUser || tr.request.Principal.Type == policy.Service
}

// clone returns a trial whose parts can be replaced without a change of tr.
func (tr *trial) clone() *trial {
	c := *tr
	each := func(list []statements) []statements {
		out := slices.Clone(list)
		for i := range out {
			out[i] = slices.Clone(out[i])
		}
		return out
	}
	levels := func(list [][]statements) (out [][]statements) {
		for _, level := range list {
			out = append(out, each(level))
		}
		return out
	}
	c.key, c.boundary = slices.Clone(tr.key), slices.Clone(tr.boundary)
	c.identity, c.session = each(tr.identity), each(tr.session)
	c.serviceControl, c.resourceControl = levels(tr.serviceControl), levels(tr.resourceControl)
	c.grants = slices.Clone(tr.grants)
	return &c
}

// A court turns trials into what Evaluate takes. It remembers what it has parsed.
type court struct {
	t        testing.TB
	parsed   map[string]*policy.Document
	disputed map[string]int // by disputes
}

func newCourt(t testing.TB) *court {
	return &court{t: t, parsed: map[string]*policy.Document{}, disputed: map[string]int{}}
}

func (c *court) parse(s statements, kind policy.Kind) *policy.Document {
	if s == nil {
		return nil
	}
	text, err := json.Marshal(map[string]any{"Version": policy.Version2012, "Statement": s})
	if err != nil {
		c.t.Fatal(err)
	}
	known := fmt.Sprint(kind, string(text))
	if c.parsed[known] == nil {
		if len(c.parsed) > 1000 {
			clear(c.parsed)
		}
		d, err := policy.Parse(string(text), kind)
		if err != nil {
			c.t.Fatalf("%v in %s", err, text)
		}
		c.parsed[known] = d
	}
	return c.parsed[known]
}

func (c *court) input(tr *trial) *kms.EvaluateInput {
	in := &kms.EvaluateInput{Account: ownAccount, KeyPolicy: c.parse(tr.key, policy.KeyPolicy), Boundary: c.parse(tr.boundary, policy.IdentityPolicy),
		Grants: tr.grants, NewGrant: tr.newGrant, EncryptionContext: tr.context, Request: &tr.request}
	each := func(list []statements, kind policy.Kind) (out []*policy.Document) {
		for _, s := range list {
			out = append(out, c.parse(s, kind))
		}
		return out
	}
	in.Identity, in.Session = each(tr.identity, policy.IdentityPolicy), each(tr.session, policy.IdentityPolicy)
	for _, level := range tr.serviceControl {
		in.ServiceControl = append(in.ServiceControl, each(level, policy.IdentityPolicy))
	}
	for _, level := range tr.resourceControl {
		in.ResourceControl = append(in.ResourceControl, each(level, policy.ResourceControlPolicy))
	}
	tr.request.Principal.Boundary = tr.boundary != nil
	return in
}

// decide returns what Evaluate decides, once the naive combiner has agreed.
func (c *court) decide(tr *trial) kms.Decision {
	c.t.Helper()
	return c.judge(c.input(tr))
}

func (c *court) judge(in *kms.EvaluateInput) kms.Decision {
	c.t.Helper()
	d := kms.Evaluate(*in)
	if want := naiveDecide(in); d.Outcome != want {
		dispute := disputeOf(in)
		if dispute == "" || d.Outcome != kms.Allowed || want != kms.ImplicitlyDenied {
			c.t.Fatalf("%v, and %v by the naive combiner: %s", d.Outcome, want, describe(in))
		}
		c.disputed[dispute]++
	}
	return d
}

// The disputes are all in which the documents are silent, the naive combiner takes the safe side, and Evaluate allows.
const (
	retiresUnseen = "without a grant that is to be retired, whoever the identity policies let retire grants of the own account may"
)

var disputes = []string{retiresUnseen}

func disputeOf(in *kms.EvaluateInput) string {
	if in.Request.Action == "kms:RetireGrant" && len(in.Grants) == 0 {
		return retiresUnseen
	}
	return ""
}

// documentsOf lists all that are there, by their sources.
func documentsOf(in *kms.EvaluateInput) map[kms.Source][]*policy.Document {
	return map[kms.Source][]*policy.Document{
		kms.SourceKeyPolicy: {in.KeyPolicy}, kms.SourceIdentity: in.Identity, kms.SourceBoundary: {in.Boundary}, kms.SourceSession: in.Session,
		kms.SourceServiceControl: slices.Concat(in.ServiceControl...), kms.SourceResourceControl: slices.Concat(in.ResourceControl...),
	}
}

// describe is for failures.
func describe(in *kms.EvaluateInput) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s by %+v, encryption context %v\n", in.Request.Action, in.Request.Resource, in.Request.Principal, in.EncryptionContext)
	for source, documents := range documentsOf(in) {
		for _, d := range documents {
			if d != nil {
				fmt.Fprintf(&b, "%v: %s\n", source, d.Text())
			}
		}
	}
	for _, g := range in.Grants {
		fmt.Fprintf(&b, "grant: %+v\n", *g)
	}
	if in.NewGrant != nil {
		fmt.Fprintf(&b, "new grant: %+v\n", *in.NewGrant)
	}
	return b.String()
}

// A drawer makes trials out of small pools, so that their parts often meet.
type drawer struct{ *rand.Rand }

func (g drawer) pick(pool ...string) string { return pool[g.IntN(len(pool))] }

// one reports true once in n times.
func (g drawer) one(n int) bool { return g.IntN(n) == 0 }

func userOf(account, name string) policy.Principal {
	return policy.Principal{Type: policy.User, ARN: "arn:aws:iam::" + account + ":user/" + name, Account: account}
}

func sessionOf(account, role, name string) policy.Principal {
	return policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + name, Account: account,
		Role: "arn:aws:iam::" + account + ":role/" + role}
}

func rootOf(account string) policy.Principal {
	return policy.Principal{Type: policy.RootUser, ARN: "arn:aws:iam::" + account + ":root", Account: account}
}

func federatedOf(account, name, user string) policy.Principal {
	return policy.Principal{Type: policy.FederatedUser, ARN: "arn:aws:sts::" + account + ":federated-user/" + name, Account: account,
		User: "arn:aws:iam::" + account + ":user/" + user}
}

func serviceOf(name string) policy.Principal {
	return policy.Principal{Type: policy.Service, ARN: name}
}

var (
	callers = []policy.Principal{
		userOf(ownAccount, "alice"), userOf(ownAccount, "alice"), userOf(ownAccount, "bob"), sessionOf(ownAccount, "App", "s1"), sessionOf(ownAccount, "App", "s1"),
		sessionOf(ownAccount, "App", "s2"), rootOf(ownAccount), federatedOf(ownAccount, "fred", "alice"), userOf(otherAccount, "carol"), userOf(otherAccount, "carol"),
		sessionOf(otherAccount, "Far", "s1"), sessionOf(otherAccount, "Far", "s1"), rootOf(otherAccount), federatedOf(otherAccount, "fern", "carol"),
		serviceOf("logs.amazonaws.com"), serviceOf("logs.amazonaws.com"), {}, {Type: 99, ARN: "arn:aws:iam::111122223333:user/alice", Account: ownAccount},
	}
	keyActions  = []string{"kms:Decrypt", "kms:Decrypt", "kms:Encrypt", "kms:DescribeKey", "kms:CreateGrant", "kms:CreateGrant", "kms:RetireGrant", "kms:RetireGrant", "kms:PutKeyPolicy"}
	restActions = []string{"kms:CreateKey", "kms:GenerateRandom", "kms:CreateAlias"}
	grantedOps  = []kms.GrantOperation{kms.GrantDecrypt, kms.GrantEncrypt, kms.GrantDescribeKey, kms.GrantCreateGrant, kms.GrantRetireGrant}
	contexts    = []kms.EncryptionContext{nil, nil, {"Dept": "IT"}, {"dept": "IT"}, {"Dept": "HR"}, {"Dept": "IT", "Stage": "test"}, {"Dept": "IT", "dept": "IT"}, {"Stage": "test"}}
	conditions  = []string{
		`{"StringEquals": {"aws:PrincipalTag/team": "blue"}}`, `{"StringNotEquals": {"aws:PrincipalTag/team": "blue"}}`, `{"Bool": {"aws:SecureTransport": true}}`,
		`{"Null": {"aws:SourceArn": false}}`, `{"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}`, `{"StringEquals": {"kms:EncryptionContext:Dept": "IT"}}`,
		`{"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/a*"}}`, `{"StringEquals": {"kms:ResourceAliases": "alias/app"}}`,
	}
	resources = []string{"*", "*", "*", "*", trialKey, "arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:*:*:alias/*", "arn:aws:kms:us-east-1:444455556666:key/*", "arn:aws:kms:*"}
	named     = []string{
		"*", ownAccount, "arn:aws:iam::111122223333:root", otherAccount, "arn:aws:iam::444455556666:root", "arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:user/bob",
		"arn:aws:iam::111122223333:role/App", "arn:aws:sts::111122223333:assumed-role/App/s1", "arn:aws:sts::111122223333:federated-user/fred",
		"arn:aws:iam::444455556666:user/carol", "arn:aws:iam::444455556666:role/Far", "arn:aws:sts::444455556666:assumed-role/Far/s1",
		"arn:aws:sts::444455556666:federated-user/fern",
	}
)

// trial draws a request first, and then what often speaks of it.
func (g drawer) trial() *trial {
	tr := &trial{request: policy.Request{Principal: callers[g.IntN(len(callers))], Action: g.pick(keyActions...), Resource: trialKey}}
	values := map[string][]string{"aws:SecureTransport": {g.pick("true", "true", "false")}}
	set := func(name string, pool ...string) {
		if v := g.pick(pool...); v != "" {
			values[name] = []string{v}
		}
	}
	set("aws:PrincipalTag/team", "blue", "red", "")
	set("aws:SourceArn", "arn:aws:s3:::b", "arn:aws:s3:::b", "arn:aws:sns:us-east-1:111122223333:t", "")
	set("kms:ResourceAliases", "alias/app", "alias/b", "")
	tr.context = contexts[g.IntN(len(contexts))]
	for name, value := range tr.context {
		values["kms:EncryptionContext:"+name] = []string{value}
	}
	if tr.request.Action == "kms:CreateGrant" {
		tr.newGrant = g.grant(tr)
		tr.context = kms.EncryptionContext{}
		maps.Copy(tr.context, tr.newGrant.Constraints.EncryptionContextSubset)
		maps.Copy(tr.context, tr.newGrant.Constraints.EncryptionContextEquals)
	}
	if g.one(20) {
		tr.newGrant = nil // whoever asks does not say
	}
	context, err := policy.NewValues(values, "kms:ResourceAliases")
	if err != nil {
		panic(err)
	}
	tr.request.Context = context

	denials := 0 // of a hundred statements
	if g.one(3) {
		denials = 20
	}
	documents := func(source kms.Source, most int) (all []statements) {
		for range g.IntN(most + 1) {
			all = append(all, g.document(tr, source, denials))
		}
		return all
	}
	levels := func(source kms.Source) (all [][]statements) {
		if !g.one(3) {
			return nil
		}
		for range 1 + g.IntN(2) {
			level := documents(source, 2)
			if g.one(2) { // what an organisation attaches as long as nobody takes it away
				level = append(level, statements{g.everything(source)})
			}
			all = append(all, level)
		}
		return all
	}
	switch {
	case g.one(6):
		tr.request.Action, tr.request.Resource = g.pick(restActions...), g.pick("*", "*", "arn:aws:kms:us-east-1:111122223333:alias/a")
		tr.newGrant, tr.context = nil, nil
	case tr.request.Action == "kms:RetireGrant" && g.one(2):
	default:
		tr.key = g.document(tr, kms.SourceKeyPolicy, denials)
	}
	if !tr.unlimited() || g.one(8) { // whoever asks about a root user is free to add some
		tr.identity = documents(kms.SourceIdentity, 2)
	}
	if !tr.unlimited() {
		if g.one(3) {
			tr.boundary = g.document(tr, kms.SourceBoundary, denials)
		}
		if tr.request.Principal.Type != policy.User && g.one(2) || g.one(20) {
			tr.session = documents(kms.SourceSession, 2)
		}
	}
	tr.serviceControl, tr.resourceControl = levels(kms.SourceServiceControl), levels(kms.SourceResourceControl)
	if tr.key != nil || tr.request.Action == "kms:RetireGrant" {
		for range g.IntN(3) {
			tr.grants = append(tr.grants, g.grant(tr))
		}
	}
	return tr
}

func (g drawer) document(tr *trial, source kms.Source, denials int) statements {
	s := make(statements, 1+g.IntN(3))
	for i := range s {
		s[i] = g.statement(tr, source, "Allow")
		if g.IntN(100) < denials {
			s[i] = g.statement(tr, source, "Deny")
		}
	}
	return s
}

// everything allows everything.
func (g drawer) everything(source kms.Source) statement {
	s := statement{"Effect": "Allow", "Action": "*", "Resource": "*"}
	if source == kms.SourceKeyPolicy || source == kms.SourceResourceControl {
		s["Principal"] = "*"
	}
	return s
}

func (g drawer) statement(tr *trial, source kms.Source, effect string) statement {
	some := func(pool ...string) any {
		if g.one(2) {
			return g.pick(pool...)
		}
		list := []string{}
		for range 1 + g.IntN(3) {
			list = append(list, g.pick(pool...))
		}
		return list
	}
	s := statement{"Effect": effect, "Resource": some(resources...)}
	switch g.IntN(12) {
	case 0:
		s["NotAction"] = some("kms:Decrypt", "kms:*Grant", "s3:*")
	default:
		s["Action"] = some("*", "kms:*", tr.request.Action, tr.request.Action, strings.ToUpper(tr.request.Action), "kms:*Grant", "kms:Decrypt", "kms:De*", "s3:*")
	}
	if g.one(12) {
		delete(s, "Resource")
		s["NotResource"] = some("arn:aws:s3:::*", "arn:aws:kms:*:*:alias/*", trialKey)
	}
	if g.one(4) {
		s["Condition"] = json.RawMessage(g.pick(conditions...))
	}
	switch source {
	case kms.SourceResourceControl:
		s["Principal"] = "*"
	case kms.SourceKeyPolicy:
		who := tr.request.Principal
		close := append(granteeNames(&who), who.User, who.Account)
		close = slices.DeleteFunc(close, func(name string) bool { return name == "" })
		switch {
		case effect == "Deny" && g.one(4):
			s["NotPrincipal"] = map[string]any{"AWS": append(close, named[1+g.IntN(len(named)-1)]), "Service": "logs.amazonaws.com"}
		case g.one(6):
			s["Principal"] = "*"
		default:
			pool := named
			if len(close) > 0 && !g.one(3) {
				pool = close
			}
			s["Principal"] = map[string]any{"AWS": some(pool...), "Service": some("logs.amazonaws.com", "ecs.amazonaws.com")}
		}
	}
	return s
}

// grant draws one that often is the caller's, and of the operation.
func (g drawer) grant(tr *trial) *kms.Grant {
	who := tr.request.Principal
	principal := func() string {
		if close := granteeNames(&who); len(close) > 0 && !g.one(3) {
			return g.pick(close...)
		}
		return g.pick(named[4:]...)
	}
	out := &kms.Grant{GrantID: fmt.Sprint(g.IntN(1000)), IssuingAccount: "arn:aws:iam::" + g.pick(ownAccount, ownAccount, otherAccount) + ":root"}
	if g.one(4) || who.Type == policy.Service && !g.one(4) {
		out.GranteeServicePrincipal = g.pick("logs.amazonaws.com", "logs.amazonaws.com", "ecs.amazonaws.com")
	} else {
		out.GranteePrincipal = principal()
	}
	switch g.IntN(4) {
	case 0:
		out.RetiringPrincipal = principal()
	case 1:
		out.RetiringServicePrincipal = g.pick("logs.amazonaws.com", "ecs.amazonaws.com")
	case 2:
		out.RetiringPrincipal = "arn:aws:iam::" + g.pick(ownAccount, otherAccount) + ":root"
	}
	for _, op := range grantedOps {
		if g.one(2) || "kms:"+string(op) == tr.request.Action && !g.one(3) {
			out.Operations = append(out.Operations, op)
		}
	}
	switch g.IntN(5) {
	case 0:
		out.Constraints.EncryptionContextSubset = contexts[2+g.IntN(len(contexts)-2)]
	case 1:
		out.Constraints.EncryptionContextEquals = append(contexts, kms.EncryptionContext{})[2+g.IntN(len(contexts)-1)]
	}
	if g.one(4) || out.GranteeServicePrincipal != "" && !g.one(4) {
		out.Constraints.SourceARN = g.pick("arn:aws:s3:::b", "arn:aws:s3:::b", "arn:aws:sns:us-east-1:111122223333:t")
	}
	return out
}

// trials is how many a test draws.
func trials(small int) int {
	if os.Getenv("KMS_SOAK") != "" {
		return 20 * small
	}
	return small
}

func TestEvaluateAgreesWithNaiveCombiner(t *testing.T) {
	g, c := drawer{rand.New(rand.NewPCG(1, 1))}, newCourt(t)
	seen := map[string]int{}
	for range trials(4000) {
		tr := g.trial()
		d := c.decide(tr)
		seen[d.Outcome.String()]++
		for _, ground := range d.Grounds() {
			seen[fmt.Sprint(d.Outcome, " by a ", ground.Source)]++
		}
		if len(d.Grounds()) == 0 && d.Outcome == kms.Allowed {
			seen["Allowed without grounds"]++
		}
		if d.Outcome == kms.ImplicitlyDenied {
			seen[fmt.Sprint("missing ", d.Missing())]++
		}
		side := "here"
		if tr.request.Principal.Account != ownAccount {
			side = "elsewhere"
		}
		seen[fmt.Sprint(d.Outcome, " to a ", kinds[tr.request.Principal.Type], " ", side)]++
		seen[fmt.Sprint(d.Outcome, " ", tr.request.Action)]++
		checkGrounds(t, c.input(tr), d)
	}
	want := map[string]int{"Allowed without grounds": 15, "Allowed by a grant": 150}
	for _, outcome := range []string{"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"} {
		want[outcome] = 500
		for _, kind := range []string{"root user here", "user here", "session here", "federated user here", "user elsewhere", "session elsewhere", "federated user elsewhere", "service elsewhere"} {
			want[outcome+" to a "+kind] = 10
		}
		for _, action := range slices.Concat(keyActions, restActions) {
			want[outcome+" "+action] = 10
		}
	}
	for _, source := range []string{"resource-based policy", "identity-based policy", "permissions boundary", "session policy", "service control policy", "resource control policy"} {
		want["missing "+source] = 25
		want["ExplicitlyDenied by a "+source] = 25
		if !strings.HasSuffix(source, "control policy") {
			want["Allowed by a "+source] = 25
		}
	}
	for _, dispute := range disputes {
		if c.disputed[dispute] == 0 {
			t.Errorf("no longer disputed: %s", dispute)
		}
	}
	for what, least := range want {
		if seen[what] < least {
			t.Errorf("%s: %d times only: the generator no longer tests it", what, seen[what])
		}
	}
	if seen["Allowed to a stranger here"]+seen["Allowed to a stranger elsewhere"] > 0 {
		t.Error("a caller of no known type is allowed something")
	}
	t.Log(seen, c.disputed)
}

var kinds = map[policy.PrincipalType]string{
	0: "stranger", policy.RootUser: "root user", policy.User: "user", policy.AssumedRole: "session", policy.FederatedUser: "federated user", policy.Service: "service", 99: "stranger",
}

// checkGrounds checks that a decision rests on what Explain says too: on a Deny that matches, exactly if there is one, or on all that it takes to allow the request.
func checkGrounds(t testing.TB, in *kms.EvaluateInput, d kms.Decision) {
	t.Helper()
	denied := false
	for source, documents := range documentsOf(in) {
		if in.Request.Action == "kms:RetireGrant" && (source == kms.SourceKeyPolicy || source == kms.SourceResourceControl) {
			continue
		}
		denied = denied || hear(in.Request, documents...).denied
	}
	if denied != (d.Outcome == kms.ExplicitlyDenied) {
		t.Fatalf("%v, a Deny matches: %v: %s", d.Outcome, denied, describe(in))
	}
	grounds := d.Grounds()
	if d.Outcome == kms.ExplicitlyDenied && len(grounds) != 1 || d.Outcome == kms.ImplicitlyDenied && len(grounds) != 0 || (d.Missing() != 0) != (d.Outcome == kms.ImplicitlyDenied) {
		t.Fatalf("%v rests on %v and misses %v: %s", d.Outcome, grounds, d.Missing(), describe(in))
	}
	effect := policy.Deny
	if d.Outcome == kms.Allowed {
		effect = policy.Allow
	}
	for _, ground := range grounds {
		if ground.Source == kms.SourceGrant {
			if !slices.Contains(in.Grants, ground.Grant) || d.Outcome != kms.Allowed || len(grounds) != 1 {
				t.Fatalf("%v rests on %v: %s", d.Outcome, grounds, describe(in))
			}
			continue
		}
		levels := [][]*policy.Document{documentsOf(in)[ground.Source]}
		switch ground.Source {
		case kms.SourceServiceControl:
			levels = in.ServiceControl
		case kms.SourceResourceControl:
			levels = in.ResourceControl
		}
		if ground.Grant != nil || !slices.ContainsFunc(levels, func(level []*policy.Document) bool {
			if ground.Policy >= len(level) || int(ground.Statement) >= level[ground.Policy].Len() {
				return false
			}
			from := level[ground.Policy]
			return from.Explain(in.Request)[ground.Statement].Matched() && from.Effect(ground.Statement) == effect && from.Sid(ground.Statement) == ground.Sid()
		}) {
			t.Fatalf("%v rests on %v, which is no such statement: %s", d.Outcome, ground, describe(in))
		}
	}
	if !strings.HasPrefix(d.Reason(), map[kms.Outcome]string{kms.Allowed: "because ", kms.ExplicitlyDenied: "with an explicit deny in a", kms.ImplicitlyDenied: "because no "}[d.Outcome]) {
		t.Fatalf("%v for the reason %q", d.Outcome, d.Reason())
	}
	e := kms.Explain(*in)
	denies, granted := false, false
	for _, p := range e.Policies {
		denies = denies || slices.ContainsFunc(p.Statements, func(s policy.Trace) bool { return s.Matched() && s.Effect == policy.Deny })
	}
	for _, g := range e.Grants {
		granted = granted || g.Allows
	}
	byGrant := len(grounds) == 1 && grounds[0].Source == kms.SourceGrant
	if e.Outcome != d.Outcome || e.Reason() != d.Reason() || denies != (d.Outcome == kms.ExplicitlyDenied) || granted && d.Outcome != kms.Allowed || byGrant && !granted {
		t.Fatalf("%v, and explained as %v: %s", d.Reason(), e, describe(in))
	}
}

// rank orders outcomes by how much they deny.
func rank(o kms.Outcome) int {
	return map[kms.Outcome]int{kms.ExplicitlyDenied: 0, kms.ImplicitlyDenied: 1, kms.Allowed: 2}[o]
}

// inert matches no request.
var inert = statement{"Effect": "Allow", "Action": "none:Such", "Resource": "*"}

func inertIn(kind policy.Kind) statement {
	s := maps.Clone(inert)
	if kind != policy.IdentityPolicy {
		s["Principal"] = "*"
	}
	return s
}

// A change makes another trial of one. Its relation is between the decisions about the two.
type change struct {
	name     string
	make     func(g drawer, tr *trial) bool // false if there is nothing to change
	relation func(tr *trial, before, after kms.Decision) bool
}

func same(_ *trial, before, after kms.Decision) bool {
	return after.Outcome == before.Outcome && after.Missing() == before.Missing()
}

// neverDeniesMore also holds that a Deny stays one: nothing that is added overrides it.
func neverDeniesMore(_ *trial, before, after kms.Decision) bool {
	return rank(after.Outcome) >= rank(before.Outcome) && (before.Outcome == kms.ExplicitlyDenied) == (after.Outcome == kms.ExplicitlyDenied)
}

func neverAllowsMore(_ *trial, before, after kms.Decision) bool {
	return rank(after.Outcome) <= rank(before.Outcome)
}

// list returns what v holds, alone or in a list.
func list(v any) []string {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	many, _ := v.([]string)
	return many
}

var changes = []change{
	{"a Deny is taken away", func(g drawer, tr *trial) bool {
		documents := tr.documents()
		for _, at := range g.Perm(len(documents)) {
			for i, s := range *documents[at].statements {
				if s["Effect"] == "Deny" {
					(*documents[at].statements)[i] = inertIn(documents[at].kind)
					return true
				}
			}
		}
		return false
	}, func(_ *trial, before, after kms.Decision) bool {
		return before.Outcome == kms.ExplicitlyDenied || same(nil, before, after)
	}},
	{"an Allow is added", func(g drawer, tr *trial) bool {
		documents := tr.documents()
		if len(documents) == 0 {
			return false
		}
		d := documents[g.IntN(len(documents))]
		*d.statements = append(*d.statements, g.statement(tr, d.source, "Allow"))
		return true
	}, neverDeniesMore},
	{"a Deny is added", func(g drawer, tr *trial) bool {
		documents := tr.documents()
		if len(documents) == 0 {
			return false
		}
		d := documents[g.IntN(len(documents))]
		*d.statements = append(*d.statements, g.statement(tr, d.source, "Deny"))
		return true
	}, func(_ *trial, before, after kms.Decision) bool {
		return after.Outcome == kms.ExplicitlyDenied || same(nil, before, after)
	}},
	{"an identity policy is added", func(g drawer, tr *trial) bool {
		if tr.unlimited() {
			return false
		}
		tr.identity = append(tr.identity, g.document(tr, kms.SourceIdentity, 0))
		return true
	}, neverDeniesMore},
	{"a session policy is added to others", func(g drawer, tr *trial) bool {
		if len(tr.session) == 0 {
			return false
		}
		tr.session = append(tr.session, g.document(tr, kms.SourceSession, 0))
		return true
	}, neverDeniesMore},
	{"a control policy is added to a level", func(g drawer, tr *trial) bool {
		if len(tr.serviceControl) == 0 {
			return false
		}
		level := &tr.serviceControl[g.IntN(len(tr.serviceControl))]
		*level = append(*level, g.document(tr, kms.SourceServiceControl, 0))
		return true
	}, neverDeniesMore},
	{"a boundary is set", func(g drawer, tr *trial) bool {
		if tr.boundary != nil || tr.unlimited() {
			return false
		}
		tr.boundary = g.document(tr, kms.SourceBoundary, 20)
		return true
	}, neverAllowsMore},
	{"a session gets policies", func(g drawer, tr *trial) bool {
		if len(tr.session) > 0 || tr.unlimited() || tr.request.Principal.Type == policy.FederatedUser { // to whom they give something
			return false
		}
		tr.session = []statements{g.document(tr, kms.SourceSession, 20)}
		return true
	}, neverAllowsMore},
	{"a level is added", func(g drawer, tr *trial) bool {
		level := []statements{g.document(tr, kms.SourceResourceControl, 0)}
		tr.resourceControl = append(tr.resourceControl, level)
		return true
	}, neverAllowsMore},
	{"a level without policies is added", func(g drawer, tr *trial) bool {
		tr.serviceControl = append(tr.serviceControl, nil)
		return true
	}, func(_ *trial, _, after kms.Decision) bool { return after.Outcome != kms.Allowed }},
	{"a grant is added", func(g drawer, tr *trial) bool {
		if tr.key == nil && tr.request.Action != "kms:RetireGrant" || tr.request.Action == "kms:RetireGrant" && len(tr.grants) == 0 {
			return false
		}
		tr.grants = append(tr.grants, g.grant(tr))
		return true
	}, func(tr *trial, before, after kms.Decision) bool {
		if after.Outcome == before.Outcome {
			return true
		}
		// What it allows it allows its grantee, and its operations. Only who retires it need not be the grantee.
		added, who := tr.grants[len(tr.grants)-1], tr.request.Principal
		if before.Outcome != kms.ImplicitlyDenied || after.Outcome != kms.Allowed {
			return false
		}
		if tr.request.Action == "kms:RetireGrant" {
			return true
		}
		grantee := slices.Contains(granteeNames(&who), added.GranteePrincipal) || who.Type == policy.Service && added.GranteeServicePrincipal == who.ARN
		return grantee && slices.Contains(added.Operations, kms.GrantOperation(strings.TrimPrefix(tr.request.Action, "kms:"))) && after.Grounds()[0].Grant == added
	}},
	{"all is in another order", func(g drawer, tr *trial) bool {
		for _, d := range tr.documents() {
			g.Shuffle(len(*d.statements), func(i, j int) { (*d.statements)[i], (*d.statements)[j] = (*d.statements)[j], (*d.statements)[i] })
		}
		shuffle(g, tr.identity)
		shuffle(g, tr.session)
		shuffle(g, tr.serviceControl)
		shuffle(g, tr.resourceControl)
		for _, level := range slices.Concat(tr.serviceControl, tr.resourceControl) {
			shuffle(g, level)
		}
		shuffle(g, tr.grants)
		return true
	}, same},
	// NotAction, NotResource and NotPrincipal speak of what none of their entries cover: in two statements they would cover what either leaves.
	{"a statement is split in two", func(g drawer, tr *trial) bool {
		documents := tr.documents()
		for _, at := range g.Perm(len(documents)) {
			d := documents[at]
			for i, s := range *d.statements {
				for _, element := range []string{"Action", "Resource", "Principal"} {
					one, two := maps.Clone(s), maps.Clone(s)
					principal, _ := s["Principal"].(map[string]any)
					switch entries := list(s[element]); {
					case len(entries) > 1:
						at := 1 + g.IntN(len(entries)-1)
						one[element], two[element] = entries[:at], entries[at:]
					case element == "Principal" && len(list(principal["AWS"])) > 1:
						entries := list(principal["AWS"])
						one[element], two[element] = map[string]any{"AWS": entries[:1]}, map[string]any{"AWS": entries[1:], "Service": principal["Service"]}
					default:
						continue
					}
					if g.one(3) {
						continue
					}
					(*d.statements)[i] = one
					*d.statements = append(*d.statements, two)
					return true
				}
			}
		}
		return false
	}, same},
	{"every document is there twice", func(g drawer, tr *trial) bool {
		for _, d := range tr.documents() {
			*d.statements = append(*d.statements, *d.statements...)
		}
		tr.identity, tr.session, tr.grants = append(tr.identity, tr.identity...), append(tr.session, tr.session...), append(tr.grants, tr.grants...)
		tr.serviceControl, tr.resourceControl = append(tr.serviceControl, tr.serviceControl...), append(tr.resourceControl, tr.resourceControl...)
		return true
	}, same},
	{"what is not there allows everything, or nothing", func(g drawer, tr *trial) bool {
		if g.one(2) {
			tr.serviceControl = append(tr.serviceControl, []statements{{g.everything(kms.SourceServiceControl)}})
		}
		if g.one(2) {
			tr.resourceControl = append(tr.resourceControl, []statements{{g.everything(kms.SourceResourceControl)}})
		}
		// Whoever has a boundary is exempt by no NotPrincipal, and a grant of another account does not hold beside limits.
		exempts := slices.ContainsFunc(tr.key, func(s statement) bool { return s["NotPrincipal"] != nil })
		foreign := tr.request.Principal.Account != ownAccount && len(tr.grants) > 0
		if tr.boundary == nil && !tr.unlimited() && !exempts && !foreign && g.one(2) {
			tr.boundary = statements{g.everything(kms.SourceBoundary)}
		}
		if len(tr.session) == 0 && !tr.unlimited() && tr.request.Principal.Type != policy.FederatedUser && !foreign && g.one(2) {
			tr.session = []statements{{g.everything(kms.SourceSession)}}
		}
		if g.one(2) {
			tr.identity = append(tr.identity, statements{inertIn(policy.IdentityPolicy)})
		}
		if (tr.request.Action != "kms:RetireGrant" || len(tr.grants) > 0) && g.one(2) {
			tr.grants = append(tr.grants, &kms.Grant{GranteePrincipal: "arn:aws:iam::111122223333:role/Nobody", Operations: grantedOps, IssuingAccount: "arn:aws:iam::777788889999:root"})
		}
		return true
	}, same},
	{"the key has no say in a retirement", func(g drawer, tr *trial) bool {
		if tr.request.Action != "kms:RetireGrant" {
			return false
		}
		tr.resourceControl = append(tr.resourceControl, []statements{g.document(tr, kms.SourceResourceControl, 50)})
		tr.key = g.document(tr, kms.SourceKeyPolicy, 50)
		return true
	}, same},
}

func shuffle[T any](g drawer, list []T) {
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func TestEvaluateChanges(t *testing.T) {
	g, c := drawer{rand.New(rand.NewPCG(2, 2))}, newCourt(t)
	seen := map[string]int{}
	for range trials(500) {
		tr := g.trial()
		before := c.decide(tr)
		for _, change := range changes {
			next := tr.clone()
			if !change.make(g, next) {
				continue
			}
			after := c.decide(next)
			if !change.relation(next, before, after) {
				t.Fatalf("%s: %v (missing %v), then %v (missing %v): %s\nthen %s", change.name, before.Outcome, before.Missing(), after.Outcome, after.Missing(), describe(c.input(tr)), describe(c.input(next)))
			}
			seen[change.name]++
			if after.Outcome != before.Outcome {
				seen[change.name+", and it matters"]++
			}
		}
	}
	for _, change := range changes {
		if seen[change.name] < 50 {
			t.Errorf("%s: %d times only: the generator no longer tests it", change.name, seen[change.name])
		}
	}
	for _, name := range []string{"a Deny is taken away", "an Allow is added", "a Deny is added", "a boundary is set", "a session gets policies", "a level is added",
		"a level without policies is added", "a grant is added", "an identity policy is added"} {
		if seen[name+", and it matters"] < 5 {
			t.Errorf("%s: it matters %d times only: the generator no longer tests it", name, seen[name+", and it matters"])
		}
	}
	t.Log(seen)
}

// TestGroundsSuffice: with all Allow statements of key and identity policies taken away but its grounds, and all grants but theirs, a request is allowed still. What
// only limits is left alone: a decision that the key's policy makes by itself does not name the statements that let it pass.
func TestGroundsSuffice(t *testing.T) {
	g, c := drawer{rand.New(rand.NewPCG(3, 3))}, newCourt(t)
	allowed := 0
	for range trials(2000) {
		tr := g.trial()
		d := c.decide(tr)
		if d.Outcome != kms.Allowed {
			continue
		}
		allowed++
		bare, at := tr.clone(), map[kms.Source]int{}
		for _, document := range bare.documents() {
			index := at[document.source]
			at[document.source]++
			if document.source != kms.SourceKeyPolicy && document.source != kms.SourceIdentity {
				continue
			}
			for i, s := range *document.statements {
				if s["Effect"] == "Allow" && !slices.ContainsFunc(d.Grounds(), func(ground kms.Ground) bool {
					return ground.Source == document.source && ground.Policy == index && int(ground.Statement) == i
				}) {
					(*document.statements)[i] = inertIn(document.kind)
				}
			}
		}
		if tr.request.Action != "kms:RetireGrant" { // where a grant may be what it is about, and no ground
			bare.grants = slices.DeleteFunc(bare.grants, func(grant *kms.Grant) bool {
				return !slices.ContainsFunc(d.Grounds(), func(ground kms.Ground) bool { return ground.Grant == grant })
			})
		}
		if after := c.decide(bare); after.Outcome != kms.Allowed {
			t.Fatalf("%v without what are no grounds of %v: %s\nthen %s", after.Outcome, d.Grounds(), describe(c.input(tr)), describe(c.input(bare)))
		}
	}
	if allowed < 300 {
		t.Errorf("%d requests were allowed: the generator no longer tests it", allowed)
	}
}

// TestMissing: what is missing is what keeps the request from being allowed. Each source, once it allows everything, is missing no more, until nothing is.
func TestMissing(t *testing.T) {
	g, c := drawer{rand.New(rand.NewPCG(4, 4))}, newCourt(t)
	most := 0
	for range trials(2000) {
		tr := g.trial()
		p := tr.request.Principal
		switch foreign := p.Account != ownAccount; {
		case p.Type < policy.RootUser || p.Type > policy.Service: // whom nothing allows anything
			continue
		case foreign && p.Type == policy.RootUser, foreign && tr.key == nil, tr.request.Action == "kms:RetireGrant": // to whom it takes a grant, or nothing helps
			continue
		}
		missed := map[kms.Source]bool{}
		d := c.decide(tr)
		for d.Outcome == kms.ImplicitlyDenied {
			source := d.Missing()
			if missed[source] {
				t.Fatalf("%v is missing, though it allows everything: %s", source, describe(c.input(tr)))
			}
			missed[source] = true
			tr = tr.clone()
			switch all := (statements{g.everything(source)}); source {
			case kms.SourceKeyPolicy:
				s := statement{"Effect": "Allow", "Principal": map[string]any{"AWS": []string{ownAccount, otherAccount}}, "Action": "*", "Resource": "*"}
				if p.Type == policy.Service {
					s["Principal"] = map[string]any{"Service": p.ARN}
				}
				tr.key = append(tr.key, s)
			case kms.SourceIdentity:
				tr.identity = append(tr.identity, all)
			case kms.SourceBoundary:
				tr.boundary = all
			case kms.SourceSession:
				tr.session = []statements{all}
			case kms.SourceServiceControl:
				for i := range tr.serviceControl {
					tr.serviceControl[i] = append(tr.serviceControl[i], all)
				}
			case kms.SourceResourceControl:
				for i := range tr.resourceControl {
					tr.resourceControl[i] = append(tr.resourceControl[i], all)
				}
			default:
				t.Fatalf("%v is missing: %s", source, describe(c.input(tr)))
			}
			d = c.decide(tr)
		}
		most = max(most, len(missed))
	}
	if most < 4 {
		t.Errorf("%d sources were missing at most: the generator no longer tests it", most)
	}
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	g, c := drawer{rand.New(rand.NewPCG(5, 5))}, newCourt(t)
	for range trials(800) {
		tr := g.trial()
		in := c.input(tr)
		if n := testing.AllocsPerRun(5, func() { kms.Evaluate(*in) }); n != 0 {
			t.Fatalf("%v allocations: %s", n, describe(in))
		}
	}
}

// fuzzSeparator stands between the documents of FuzzDecide. Each begins with a letter for its source; an upper-case one begins a level of control policies.
const fuzzSeparator = "\x1e"

func FuzzDecide(f *testing.F) {
	g := drawer{rand.New(rand.NewPCG(6, 6))}
	letters := map[kms.Source]string{
		kms.SourceKeyPolicy: "k", kms.SourceIdentity: "i", kms.SourceBoundary: "b", kms.SourceSession: "s", kms.SourceServiceControl: "C", kms.SourceResourceControl: "R",
	}
	for range 60 {
		tr := g.trial()
		var documents []string
		for source, list := range documentsOf(newCourt(f).input(tr)) {
			for _, d := range list {
				if d != nil {
					documents = append(documents, letters[source]+d.Text())
				}
			}
		}
		f.Add(strings.Join(documents, fuzzSeparator), uint8(g.IntN(len(callers))), tr.request.Action, tr.request.Resource, g.pick("blue", "red", ""), g.Uint64())
	}
	f.Fuzz(func(t *testing.T, documents string, who uint8, action, resource, team string, seed uint64) {
		g := drawer{rand.New(rand.NewPCG(seed, 7))}
		if len(documents) > 1<<16 || len(action)+len(resource)+len(team) > 1000 || strings.Count(documents, fuzzSeparator) > 20 {
			return
		}
		tr := &trial{request: policy.Request{Principal: callers[int(who)%len(callers)], Action: action, Resource: resource}, context: contexts[g.IntN(len(contexts))]}
		values := map[string][]string{"aws:PrincipalTag/team": {team}, "aws:SourceArn": {"arn:aws:s3:::b"}, "kms:ResourceAliases": {team, "alias/app"}}
		for name, value := range tr.context {
			values["kms:EncryptionContext:"+name] = []string{value}
		}
		context, err := policy.NewValues(values)
		if err != nil {
			t.Fatal(err)
		}
		tr.request.Context = context
		in := &kms.EvaluateInput{Account: ownAccount, Request: &tr.request, EncryptionContext: tr.context}
		for range g.IntN(4) {
			in.Grants = append(in.Grants, g.grant(tr))
		}
		if g.one(2) {
			in.NewGrant = g.grant(tr)
		}
		for text := range strings.SplitSeq(documents, fuzzSeparator) {
			if text == "" {
				continue
			}
			kind := policy.IdentityPolicy
			switch text[0] {
			case 'k':
				kind = policy.KeyPolicy
			case 'r', 'R':
				kind = policy.ResourceControlPolicy
			}
			d, err := policy.Parse(text[1:], kind)
			if err != nil {
				continue
			}
			level := func(levels *[][]*policy.Document, begin bool) {
				if begin || len(*levels) == 0 {
					*levels = append(*levels, nil)
				}
				last := &(*levels)[len(*levels)-1]
				*last = append(*last, d)
			}
			switch letter := text[0]; letter {
			case 'k':
				in.KeyPolicy = d
			case 'c', 'C':
				level(&in.ServiceControl, letter == 'C')
			case 'r', 'R':
				level(&in.ResourceControl, letter == 'R')
			default:
				switch {
				case tr.unlimited():
				case letter == 'b':
					in.Boundary = d
				case letter == 's':
					in.Session = append(in.Session, d)
				default:
					in.Identity = append(in.Identity, d)
				}
			}
		}
		in.Request.Principal.Boundary = in.Boundary != nil
		d := newCourt(t).judge(in)
		checkGrounds(t, in, d)
		if n := testing.AllocsPerRun(1, func() { kms.Evaluate(*in) }); n != 0 {
			t.Fatalf("%v allocations: %s", n, describe(in))
		}
	})
}
