package kms

import (
	"strings"
	"testing"

	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/policy"
)

// TestRememberedPermissions: what a snapshot remembers changes no decision. Every key policy of the published cases is asked again and again, on one snapshot, by
// every kind of caller, with contexts that change.
func TestRememberedPermissions(t *testing.T) {
	ring, err := Open(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	core := ring.c
	account := core.ring.account
	type published struct {
		text string
		by   Caller // whom the case is about
	}
	others := []Caller{Root(), User("alice"), Role("App"), Session("App", "s2"), Role("Admin"), Service("logs.amazonaws.com")}
	var documents []published
	var contexts []EncryptionContext
	for _, file := range []string{"sharp.jsonl", "random.jsonl", "grants.jsonl"} {
		for _, c := range vectors.Lines[vectors.Decision](t, "policy/testdata/"+file) {
			ec := EncryptionContext{}
			for name, values := range c.Request.Context {
				if part, found := strings.CutPrefix(name, "kms:EncryptionContext:"); found && len(values) == 1 {
					ec[part] = values[0]
				}
			}
			if len(contexts) < 12 && len(ec) > 0 {
				contexts = append(contexts, ec)
			}
			p, by := c.Request.Principal, Root()
			if _, name, found := strings.Cut(p.ARN, ":user/"); found {
				by = User(name)
			} else if _, name, found := strings.Cut(p.ARN, ":assumed-role/"); found {
				role, session, _ := strings.Cut(name, "/")
				by = Session(role, session)
			} else if p.Type == "service" {
				by = Service(p.ARN)
			}
			documents = append(documents, published{strings.ReplaceAll(string(c.KeyPolicy), c.KeyAccount, account), by})
		}
	}
	contexts = append(contexts, nil)
	ops := []*operation{&opEncrypt, &opDecrypt, &opGenerateDataKey, &opDescribeKey}
	var remembered, allowed, denied int
	for n, published := range documents {
		doc, err := policy.Parse(published.text, policy.KeyPolicy)
		if err != nil {
			t.Fatalf("%s: %v", published.text, err)
		}
		k := core.newKey(&keyRecord{id: core.newKeyID(), spec: SymmetricDefault, usage: EncryptDecrypt, origin: OriginAWSKMS})
		k.document = doc
		for i := range 12 {
			client := ring.As(published.by) // made anew each time
			if i%4 == 3 {
				client = ring.As(others[(n+i)%len(others)])
			}
			for j := range 3 * len(ops) {
				cl := &call{frame: frame{client: client, op: ops[j%len(ops)], keys: [3]*key{k}, now: int64(i) * int64(Day),
					req: request{details: &noDetails, algo: [2]Algorithm{AlgorithmSymmetricDefault}, context: [2]EncryptionContext{contexts[(n+i+j/len(ops))%len(contexts)]}}}}
				if i%2 == 1 {
					cl.aliases[0] = "alias/a"
				}
				known := k.allowed.has(client.caller, &cl.standing, cl.need())
				got := cl.authorize(t.Context(), 0) == nil
				want := Evaluate(EvaluateInput{Account: account, KeyPolicy: doc,
					Request: &PolicyRequest{Principal: client.caller.principal, Action: cl.need().action, Resource: k.arn, Context: cl}}).Outcome == Allowed
				if got != want {
					t.Fatalf("%s by %s in %v: allowed %v, want %v (remembered: %v): %s", cl.op.name, client.caller.principal.ARN, cl.req.context[0], got, want, known, published.text)
				}
				switch {
				case known:
					remembered++
				case got:
					allowed++
				default:
					denied++
				}
			}
		}
	}
	if remembered < 1000 || allowed < 1000 || denied < 1000 {
		t.Errorf("%d decisions were remembered, %d allowed anew, %d denied: the cases no longer test it", remembered, allowed, denied)
	}
}

// TestLastingDecisions: a decision lasts unless some policy that bears on it looked at the request's context, of whatever source and whatever it said; and one that a
// grant made does not, since grants go.
func TestLastingDecisions(t *testing.T) {
	parse := func(kind policy.Kind, statements ...string) *policy.Document {
		d, err := policy.Parse(`{"Version": "2012-10-17", "Statement": [`+strings.Join(statements, ",")+`]}`, kind)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const (
		everything = `{"Effect": "Allow", "Action": "*", "Resource": "*"}`
		guard      = `{"Effect": "Deny", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": false}}}`
	)
	forAll := func(statement string) string { return strings.Replace(statement, "{", `{"Principal": "*", `, 1) }
	plain, guarded := parse(policy.IdentityPolicy, everything), parse(policy.IdentityPolicy, everything, guard)
	rcp, guardedRCP := parse(policy.ResourceControlPolicy, forAll(everything)), parse(policy.ResourceControlPolicy, forAll(everything), forAll(guard))
	account := `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`
	input := func() EvaluateInput {
		return EvaluateInput{
			Account: "111122223333", KeyPolicy: parse(policy.KeyPolicy, account), Identity: []*PolicyDocument{plain, plain}, Boundary: plain, Session: []*PolicyDocument{plain},
			ServiceControl: [][]*PolicyDocument{{plain}, {plain}}, ResourceControl: [][]*PolicyDocument{{rcp}},
			Request: &PolicyRequest{Action: "kms:Decrypt", Resource: "arn:aws:kms:us-east-1:111122223333:key/x",
				Principal: policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/r/s1", Role: "arn:aws:iam::111122223333:role/r", Account: "111122223333"}},
		}
	}
	for name, change := range map[string]func(in *EvaluateInput){
		"":                        func(*EvaluateInput) {},
		"key policy":              func(in *EvaluateInput) { in.KeyPolicy = parse(policy.KeyPolicy, account, forAll(guard)) },
		"identity policy":         func(in *EvaluateInput) { in.Identity[1] = guarded },
		"boundary":                func(in *EvaluateInput) { in.Boundary = guarded },
		"session policy":          func(in *EvaluateInput) { in.Session[0] = guarded },
		"service control policy":  func(in *EvaluateInput) { in.ServiceControl[0][0] = guarded },
		"resource control policy": func(in *EvaluateInput) { in.ResourceControl[0][0] = guardedRCP },
	} {
		in := input()
		change(&in)
		if d := Evaluate(in); d.Outcome != Allowed || d.lasting != (name == "") {
			t.Errorf("a condition in the %s: %v, lasting %v", name, d.Outcome, d.lasting)
		}
	}
	in := input()
	in.Identity, in.Boundary, in.Session = nil, nil, nil
	in.Grants = []*Grant{{GranteePrincipal: in.Request.Principal.Role, Operations: []GrantOperation{GrantDecrypt}}}
	if d := Evaluate(in); d.Outcome != Allowed || d.lasting {
		t.Errorf("by a grant: %v, lasting %v", d.Outcome, d.lasting)
	}
}

// TestGrantsAreBoundToIDs: a grant is that of the user or role who had the name when it was made, as grantee and as retiring principal.
func TestGrantsAreBoundToIDs(t *testing.T) {
	user := policy.Principal{Type: policy.User, ARN: "arn:aws:iam::111122223333:user/a", Account: "111122223333"}
	session := policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/r/s1", Role: "arn:aws:iam::111122223333:role/r", Account: "111122223333"}
	for _, c := range []struct {
		name      string
		by        policy.Principal
		arn       string
		bound, id string
		want      Outcome
	}{
		{"user", user, user.ARN, "AIDAFIRST", "AIDAFIRST", Allowed},
		{"user made again", user, user.ARN, "AIDAFIRST", "AIDASECOND", ImplicitlyDenied},
		{"user of unknown id", user, user.ARN, "AIDAFIRST", "", ImplicitlyDenied},
		{"user, grant that is not bound", user, user.ARN, "", "AIDASECOND", Allowed},
		{"role", session, session.Role, "AROAFIRST", "AROAFIRST", Allowed},
		{"role made again", session, session.Role, "AROAFIRST", "AROASECOND", ImplicitlyDenied},
		{"session, which has no id", session, session.ARN, "", "AROASECOND", Allowed},
	} {
		c.by.ID = c.id
		key, err := policy.Parse(`{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}}`, policy.KeyPolicy)
		if err != nil {
			t.Fatal(err)
		}
		r := &PolicyRequest{Principal: c.by, Action: "kms:Decrypt", Resource: "arn:aws:kms:us-east-1:111122223333:key/x"}
		in := EvaluateInput{Account: "111122223333", KeyPolicy: key, Request: r, Grants: []*Grant{{GranteePrincipal: c.arn, granteeID: c.bound, Operations: []GrantOperation{GrantDecrypt}}}}
		if d := Evaluate(in); d.Outcome != c.want {
			t.Errorf("%s: %v as grantee, want %v", c.name, d.Outcome, c.want)
		}
		r.Action = "kms:RetireGrant"
		in.Grants = []*Grant{{RetiringPrincipal: c.arn, retiringID: c.bound}}
		if d := Evaluate(in); d.Outcome != c.want {
			t.Errorf("%s: %v as retiring principal, want %v", c.name, d.Outcome, c.want)
		}
	}
}

// TestPermissionsAreBounded: whoever comes last is remembered, however many came before, and nobody is for what another was allowed.
func TestPermissionsAreBounded(t *testing.T) {
	ring, err := Open(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	var p permissions
	var none standing
	needs := []*need{&opEncrypt.needs[0], &opDecrypt.needs[0]}
	callers := map[string]*actor{}
	for i := range 1000 {
		c := Session("App", "session-"+string(rune('a'+i%26))+strings.Repeat("x", i/26))
		who := ring.c.ring.actorOf(c)
		if p.has(who, &none, needs[0]) || p.has(who, &none, needs[1]) {
			t.Fatalf("%s is remembered, who never came", who.principal.ARN)
		}
		p.remember(who, &none, needs[i%2])
		if !p.has(ring.c.ring.actorOf(c), &none, needs[i%2]) || p.has(who, &none, needs[1-i%2]) {
			t.Fatalf("%s is not remembered for what was allowed, or for something else", who.principal.ARN)
		}
		callers[who.principal.ARN] = who
	}
	n := 0
	for _, who := range callers {
		for _, need := range needs {
			if p.has(who, &none, need) {
				n++
			}
		}
	}
	if n == 0 || n > len(p) {
		t.Errorf("%d are remembered, of up to %d", n, len(p))
	}
}
