package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/policy"
)

// A generator makes documents and requests from small pools, so that they often meet.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 1))} }

func (g generator) pick(pool ...string) string { return pool[g.IntN(len(pool))] }

// some returns one to three entries of the pool: as a list, or if it is one perhaps alone.
func (g generator) some(pool ...string) any {
	if g.IntN(2) == 0 {
		return g.pick(pool...)
	}
	list := make([]any, 1+g.IntN(3))
	for i := range list {
		list[i] = g.pick(pool...)
	}
	return list
}

var (
	actionPool = []string{
		"*", "kms:*", "KMS:*", "kms:*", "kms:*", "*", "kms:Decrypt", "kms:decrypt", "kms:D*", "kms:*t", "kms:?ecrypt", "kms:De*pt*", "kms:Encrypt", "kms:Describe*", "s3:*", "kms:*a*e*",
	}
	resourcePool = []string{
		"*", "*", "*", "*", keyARN, keyARN, "arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:us-east-1:*:key/1234*", "arn:aws:kms:*", "arn:*", "arn:aws:kms:us-east-1:*", "arn:aws:kms:*:key/*",
		"arn:aws:kms:us-east-1:111122223333:key/${aws:single}*", "arn:aws:kms:us-east-1:111122223333:key/${aws:x/Tag, '1234abcd'}-*", "arn:aws:s3:::b/*",
		"arn:aws:kms:us-east-1:111122223333:alias/${aws:multi}", "arn:aws:kms:us-east-1:111122223333:${?}ey/*", "arn:aws:kms:us-east-1:111122223333:*${aws:single}*",
	}
	principalPool = []string{
		"*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws-cn:iam::111122223333:root", "444455556666", "arn:aws:iam::111122223333:user/a",
		"arn:aws:iam::111122223333:role/r", "arn:aws:sts::111122223333:assumed-role/r/s1", "arn:aws:sts::111122223333:federated-user/f1", "arn:aws:iam::111122223333:user/b",
	}
	requestPrincipals = []policy.Principal{
		{}, {Type: 77, ARN: "arn:aws:iam::111122223333:user/a", Account: account}, root(), user("a"), user("b"), withBoundary(user("a")), session("r", "s1"), session("r", "s2"),
		withBoundary(session("r", "s1")), withProvider(session("q", "s1"), "accounts.google.com"), federated("f1", "a"), federated("f2", "b"), service("logs.amazonaws.com"),
		service("ecs.amazonaws.com"),
	}
	// idPool has the unique ids of callers, of whom some have been made again under a name that somebody had before.
	idPool  = []string{"", "AIDAFIRST", "AIDASECOND", "AROAFIRST", "AROASECOND"}
	keyPool = []string{"aws:Single", "AWS:single", "aws:multi", "aws:missing", "aws:x/Tag", "aws:X/tag", "kms:EncryptionContext:aws:s3:arn"}
	// textPool is for values of requests and of text operators alike.
	textPool = []string{
		"a", "A", "ab", "abc", "", "*", "a*", "é", "É", "1234abcd", "7", "7.0", "-7", "1e1", "10", "1772359200", "2026", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00.5+01:00",
		"10.0.0.1", "2001:db8::5", "::ffff:10.0.0.1", "true", "false", "AAEC", "arn:aws:iam::111122223333:role/r", "arn:aws:s3:::b/c:d", "arn:aws:s3", "1e5000", "999999999999999",
	}
	patternPool = []string{
		"a?", "a*", "*c", "*", "?", "${aws:single}", "x${aws:missing}", "${aws:missing, 'ab'}", "${aws:multi}", "${aws:x/tag}*", "${*}", "a${?}", "arn:*:iam::*:role/*", "arn:aws:*",
		"arn:aws:s3:::${aws:single}", "arn:aws:s3:::*:?", "${aws:single}:*", "arn:aws:s3:::b/c*",
	}
	valuePools = map[string][]string{
		"Numeric":   {"7", "7.0", "-7", "10", "1e1", "0.5", "1772359200", "-0"},
		"Date":      {"2026", "2026-03", "2026-03-01", "2026-03-01T10:00:00Z", "2026-03-01T12:00+02:00", "2026-03-01T10:00:00.50Z", "1772359200", "7", "-7"},
		"IpAddress": {"10.0.0.0/8", "10.0.0.1", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:DB8::0:5"},
		"Bool":      {"true", "false"},
		"Null":      {"true", "false"},
		"Binary":    {"AAEC", "", "/+8="},
	}
)

func (g generator) document(kind policy.Kind) string {
	doc := map[string]any{}
	if v := g.pick("", policy.Version2008, policy.Version2012, policy.Version2012, policy.Version2012); v != "" {
		doc["Version"] = v
	}
	statements := make([]any, 1+g.IntN(4))
	for i := range statements {
		statements[i] = g.statement(kind)
	}
	doc["Statement"] = statements
	text, _ := json.Marshal(doc) // of maps, lists and strings: it cannot fail
	return string(text)
}

// bind returns d bound to ids, and the ids by ARN. Sessions are offered one too, and must not be bound to it.
func (g generator) bind(d *policy.Document) (*policy.Document, map[string]string) {
	bound, offered := map[string]string{}, map[string]string{}
	for _, arn := range principalPool {
		offered[arn] = g.pick(idPool...)
		if strings.Contains(arn, ":user/") || strings.Contains(arn, ":role/") {
			bound[arn] = offered[arn]
		}
	}
	return d.Bind(func(arn string) string { return offered[arn] }), bound
}

func (g generator) statement(kind policy.Kind) map[string]any {
	s := map[string]any{"Effect": g.pick("Allow", "Allow", "Deny")}
	s[g.pick("Action", "Action", "Action", "NotAction")] = g.some(actionPool...)
	s[g.pick("Resource", "Resource", "Resource", "NotResource")] = g.some(resourcePool...)
	switch kind {
	case policy.ResourceControlPolicy:
		s["Principal"] = "*"
		if g.IntN(2) == 0 {
			s["Principal"] = map[string]any{"AWS": "*"}
		}
	case policy.KeyPolicy:
		switch {
		case s["Effect"] == "Deny" && g.IntN(2) == 0:
			list := []any{principalPool[1+g.IntN(2)]}
			for range g.IntN(5) {
				list = append(list, principalPool[1+g.IntN(len(principalPool)-1)])
			}
			if g.IntN(2) == 0 { // all names of a caller, who is exempt by nothing less
				list = append(list, "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/a", "arn:aws:iam::111122223333:role/r", "arn:aws:sts::111122223333:assumed-role/r/s1")
			}
			s["NotPrincipal"] = map[string]any{"AWS": list, "Service": "logs.amazonaws.com"}
		case g.IntN(4) == 0:
			s["Principal"] = "*"
		default:
			s["Principal"] = map[string]any{"AWS": g.some(principalPool...), "Service": g.some("logs.amazonaws.com", "a.b.c"), "Federated": "accounts.google.com"}
		}
		if g.IntN(20) == 0 {
			delete(s, g.pick("Action", "NotAction", "Resource", "NotResource"))
		}
	}
	block := map[string]any{}
	for range g.IntN(6) - 3 {
		operator := g.operator()
		pool := append(textPool[:len(textPool):len(textPool)], patternPool...)
		for part, values := range valuePools {
			if strings.Contains(operator, part) {
				pool = values
			}
		}
		key := g.pick(keyPool...)
		if kind == policy.KeyPolicy && strings.HasPrefix(operator, "ForAllValues:") && strings.HasPrefix(key, "kms:EncryptionContext:") {
			key = "aws:missing" // a key policy with the other one is refused
		}
		block[operator] = map[string]any{key: g.some(pool...)}
	}
	if len(block) > 0 {
		s["Condition"] = block
	}
	return s
}

func (g generator) operator() string {
	if g.IntN(8) == 0 {
		return "Null"
	}
	return g.pick("", "", "", "ForAllValues:", "ForAnyValue:") + operators[g.IntN(len(operators))].name + g.pick("", "", "IfExists")
}

func (g generator) context() naiveContext {
	ctx := naiveContext{}
	if g.IntN(4) > 0 {
		ctx["aws:single"] = naiveValue{texts: []string{g.pick(textPool...)}}
	}
	if g.IntN(4) > 0 {
		ctx["aws:x/tag"] = naiveValue{texts: []string{g.pick(textPool...)}, vague: g.IntN(3) == 0}
	}
	if g.IntN(4) > 0 {
		ctx["kms:encryptioncontext:aws:s3:arn"] = naiveValue{texts: []string{g.pick(textPool...)}}
	}
	many := naiveValue{multi: true}
	for range g.IntN(4) {
		many.texts = append(many.texts, g.pick(textPool...))
	}
	ctx["aws:multi"] = many
	return ctx
}

func (g generator) request() (*policy.Request, naiveContext) {
	ctx := g.context()
	p := requestPrincipals[g.IntN(len(requestPrincipals))]
	if p.Type == policy.User || p.Type == policy.AssumedRole || p.Type == policy.FederatedUser {
		p.ID = g.pick(idPool...)
	}
	return &policy.Request{
		Principal: p,
		Action:    g.pick("kms:Decrypt", "kms:Encrypt", "kms:DescribeKey", "s3:GetObject", ""),
		Resource:  g.pick(keyARN, keyARN, "*", "arn:aws:s3:::b/c:d", "arn:aws:kms:us-east-1:444455556666:alias/x", "arn:aws:kms:x", "nonsense"),
		Context:   ctx,
	}, ctx
}

// agree checks that the matcher, its explanation and the naive matcher say the same of a document that is bound to ids.
func agree(t testing.TB, d *policy.Document, bound map[string]string, r *policy.Request, ctx naiveContext) policy.Verdict {
	t.Helper()
	v := d.Evaluate(r)
	asked := &counted{Context: ctx}
	counting := *r
	counting.Context = asked
	if again := d.Evaluate(&counting); again != v || v.Lasting && asked.n != 0 {
		t.Fatalf("%+v after %d questions, %+v before: %s\n%+v", again, asked.n, v, d.Text(), *r)
	}
	lasting := v.Lasting
	v.Lasting = false // the naive matcher and the explanation do not say
	if want := naiveEvaluate(t, d, bound, r, ctx); v != want {
		t.Fatalf("Evaluate differs from the naive matcher (-naive +Evaluate): %s\n%s\n%v\n%+v", cmp.Diff(want, v), d.Text(), bound, *r)
	}
	explained := policy.Verdict{Deny: policy.None, Principal: policy.None, Role: policy.None, Everyone: policy.None, Account: policy.None, Identity: policy.None}
	traces := d.Explain(r)
	if len(traces) != d.Len() {
		t.Fatalf("%d traces of %d statements", len(traces), d.Len())
	}
	for i, trace := range traces {
		if trace.Matched() != (trace.Failed == "") || (trace.Failed == policy.ConditionElement) != (len(trace.Conditions) > 0) || trace.Statement != policy.Index(i) {
			t.Fatalf("inconsistent trace %+v", trace)
		}
		one := verdictOf(trace.Effect, trace.Ways)
		for _, f := range []struct{ all, one *policy.Index }{
			{&explained.Deny, &one.Deny}, {&explained.Principal, &one.Principal}, {&explained.Role, &one.Role}, {&explained.Everyone, &one.Everyone},
			{&explained.Account, &one.Account}, {&explained.Identity, &one.Identity},
		} {
			if f.one.Found() && !f.all.Found() {
				*f.all = policy.Index(i)
			}
		}
	}
	if v != explained {
		t.Fatalf("Evaluate differs from Explain (-Explain +Evaluate): %s\n%s\n%+v", cmp.Diff(explained, v), d.Text(), *r)
	}
	v.Lasting = lasting
	return v
}

// counted is a Context that counts what it is asked. What asked nothing cannot depend on the answers.
type counted struct {
	policy.Context
	n int
}

func (c *counted) Lookup(k policy.Key) policy.Value {
	c.n++
	return c.Context.Lookup(k)
}

func TestEvaluateAgreesWithNaiveMatcher(t *testing.T) {
	g := newGenerator(20260301)
	fields := map[string]int{}
	kinds := []policy.Kind{policy.KeyPolicy, policy.KeyPolicy, policy.IdentityPolicy, policy.ResourceControlPolicy}
	for i := range soak(4800, 60000) {
		kind := kinds[i%len(kinds)]
		unbound := parse(t, kind, g.document(kind))
		d, bound := unbound, map[string]string(nil)
		if i%3 > 0 {
			d, bound = g.bind(unbound)
		}
		for range 3 {
			r, ctx := g.request()
			v := agree(t, d, bound, r, ctx)
			if u := unbound.Evaluate(r); u != v {
				fields["changed by ids"]++
			}
			if kind == policy.ResourceControlPolicy && (v.Deny.Found() || v.Identity.Found()) {
				fields["resource control"]++
			}
			switch allowed := v.Principal.Found() || v.Role.Found() || v.Everyone.Found() || v.Account.Found() || v.Identity.Found(); {
			case v.Deny.Found() || !allowed:
			case v.Lasting:
				fields["lasting"]++
			default:
				fields["passing"]++
			}
			for name, index := range map[string]policy.Index{
				"deny": v.Deny, "principal": v.Principal, "role": v.Role, "everyone": v.Everyone, "account": v.Account, "identity": v.Identity,
			} {
				if index.Found() {
					fields[name]++
				}
			}
		}
	}
	for _, name := range []string{"deny", "principal", "role", "everyone", "account", "identity", "lasting", "passing", "changed by ids", "resource control"} {
		if fields[name] < 100 {
			t.Errorf("%s was found %d times only: the generator no longer tests it", name, fields[name])
		}
	}
	t.Log(fields)
}

// Which fields are set does not depend on the order of statements, and adding a Deny never takes one away.
func TestOrderAndDenies(t *testing.T) {
	g := newGenerator(7)
	for i := range 1500 {
		kind := policy.Kind(i % 3)
		var statements []string
		for range 4 {
			text, _ := json.Marshal(g.statement(kind))
			statements = append(statements, string(text))
		}
		verdict := func(r *policy.Request) policy.Verdict {
			return parse(t, kind, fmt.Sprintf(`{"Version": %q, "Statement": [%s]}`, policy.Version2012, strings.Join(statements, ","))).Evaluate(r)
		}
		found := func(v policy.Verdict) [6]bool {
			return [6]bool{v.Deny.Found(), v.Principal.Found(), v.Role.Found(), v.Everyone.Found(), v.Account.Found(), v.Identity.Found()}
		}
		r, _ := g.request()
		before := found(verdict(r))
		g.Shuffle(len(statements), func(i, j int) { statements[i], statements[j] = statements[j], statements[i] })
		if after := found(verdict(r)); after != before {
			t.Fatalf("order matters: %v, then %v: %s", before, after, statements)
		}
		s := g.statement(kind)
		for s["Effect"] != "Deny" {
			s = g.statement(kind)
		}
		text, _ := json.Marshal(s)
		statements = append(statements, string(text))
		after := found(verdict(r))
		if before[0] && !after[0] || [5]bool(before[1:]) != [5]bool(after[1:]) {
			t.Fatalf("a further Deny: %v, then %v: %s", before, after, statements)
		}
	}
}

// A Deny that matches wins over whatever else any document says.
func TestDenyWins(t *testing.T) {
	for _, d := range allDecisions(t) {
		before := decide(d)
		d.identities = append(d.identities, parse(t, policy.IdentityPolicy, `{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}`))
		if after := decide(d); after != explicitlyDenied {
			t.Errorf("%s: %s, and %s with a Deny", d.ID, before, after)
		}
	}
}
