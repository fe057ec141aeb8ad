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
		k := &key{keyRecord: &keyRecord{id: core.newKeyID(), spec: SymmetricDefault, usage: EncryptDecrypt, origin: OriginAWSKMS}, document: doc}
		k.arn = ring.c.ring.keyARN(k.id)
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
