package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms/policy"
)

// Evaluation allocates nothing, whatever the documents and requests.
func TestEvaluateDoesNotAllocate(t *testing.T) {
	check := func(name string, d *policy.Document, r *policy.Request) {
		t.Helper()
		if n := testing.AllocsPerRun(2, func() { d.Evaluate(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for _, d := range allDecisions(t) {
		for _, doc := range d.documents() {
			check(d.ID, doc, &d.request)
		}
	}
	odd := []policy.Value{
		{}, policy.Text(""), policy.Text("nonsense"), policy.Text("1e5000"), policy.Text("fe80::1%eth0"), policy.Text("arn:a:b"), policy.Text("\xff"),
		policy.Text("2026-13-01"), policy.Texts([]string{"x", "7"}), policy.Time(time.Unix(1<<40, 0)), policy.Int(-1 << 63), policy.Bool(true), policy.Ambiguous(),
	}
	for _, op := range operators {
		for _, prefix := range []string{"", "ForAllValues:", "ForAnyValue:"} {
			d := parse(t, policy.IdentityPolicy, fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": ["arn:*", "*"], "Condition": {
				%q: {"aws:Key": %s}, "StringLikeIfExists": {"aws:Other": ["*${aws:Key}*", "${aws:Key, 'x'}"]}, "ArnNotLikeIfExists": {"aws:Other": "${aws:Key}:x"}}}}`, prefix+op.name, op.values))
			for _, v := range odd {
				check(prefix+op.name, d, &policy.Request{Principal: user("a"), Action: "kms:Decrypt", Resource: keyARN, Context: fixedValue{v}})
			}
		}
	}
}

// The caller's request stays on its stack.
func TestEvaluateKeepsNothingOfTheRequest(t *testing.T) {
	d := parse(t, policy.KeyPolicy, tenStatements)
	var ctx policy.Context = fixed{}
	if n := testing.AllocsPerRun(10, func() {
		r := policy.Request{Principal: policy.Principal{Type: policy.User, ARN: "arn:aws:iam::111122223333:user/a", Account: account}, Action: "kms:Decrypt", Resource: keyARN, Context: ctx}
		d.Evaluate(&r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestVerdictHasTheFirstStatement(t *testing.T) {
	d := parse(t, policy.KeyPolicy, `{"Statement": [
		{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"},
		{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*", "Resource": "*"},
		{"Effect": "Allow", "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:user/a"]}, "Action": "*", "Resource": "*"},
		{"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:user/b"}, "Action": "*", "Resource": "*"},
		{"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:user/a"}, "Action": "*", "Resource": "*"},
		{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"},
		{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}`)
	got := d.Evaluate(&policy.Request{Principal: user("a"), Action: "kms:Decrypt", Resource: keyARN})
	want := policy.Verdict{Deny: 4, Principal: 2, Role: policy.None, Everyone: 6, Account: 1, Identity: policy.None, Lasting: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.Deny.Found() || got.Role.Found() || !(policy.Verdict{}).Deny.Found() {
		t.Error("Found")
	}
	if v := (*policy.Document)(nil).Evaluate(&policy.Request{Principal: user("a"), Action: "kms:Decrypt", Resource: keyARN}); v != (policy.Verdict{}) {
		t.Errorf("no document: %+v", v)
	}
}

func TestRequestWithoutContext(t *testing.T) {
	for condition, want := range map[string]bool{`{"Null": {"aws:x": true}}`: true, `{"StringEquals": {"aws:x": "${aws:y}"}}`: false} {
		if got := holds(t, policy.Allow, condition, nil); got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}

// A statement without Action or Resource is kept in a key policy, and does nothing, not even deny.
func TestInertStatements(t *testing.T) {
	for _, elements := range []string{`"Resource": "*"`, `"Action": "*"`, `"NotResource": "arn:x"`, `"NotAction": "s3:*"`, `"Condition": {}`} {
		for _, effect := range effects {
			d := parse(t, policy.KeyPolicy, `{"Statement": {"Effect": "`+effect.String()+`", "Principal": "*", `+elements+`}}`)
			if got := d.Evaluate(&policy.Request{Principal: user("a"), Action: "kms:Decrypt", Resource: keyARN}); got != verdictOf(effect, 0) {
				t.Errorf("%v %s: %+v", effect, elements, got)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	d := parse(t, policy.KeyPolicy, `{"Version": "2012-10-17", "Statement": [
		{"Sid": "action", "Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"},
		{"Sid": "principal", "Effect": "Deny", "Principal": {"AWS": "444455556666"}, "Action": "kms:*", "Resource": "*"},
		{"Sid": "resource", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "arn:aws:kms:*:*:alias/*"},
		{"Sid": "conditions", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {
			"ForAnyValue:StringLikeIfExists": {"AWS:TagKeys": ["a*", "${aws:username}"]}, "StringEquals": {"aws:Met": "x", "aws:Other": "x"}, "Null": {"aws:Gone": false}}},
		{"Effect": "Allow", "Principal": {"AWS": ["*", "111122223333"]}, "Action": "kms:*", "Resource": "*"}]}`)
	r := &policy.Request{Principal: user("a"), Action: "kms:Decrypt", Resource: keyARN, Context: values{
		"aws:tagkeys": policy.Texts([]string{"b"}), "aws:met": policy.Text("x"), "aws:other": policy.Text("secret"),
	}}
	want := []policy.Trace{
		{Statement: 0, Sid: "action", Effect: policy.Allow, Failed: policy.ActionElement},
		{Statement: 1, Sid: "principal", Effect: policy.Deny, Failed: policy.PrincipalElement},
		{Statement: 2, Sid: "resource", Effect: policy.Allow, Failed: policy.ResourceElement},
		{Statement: 3, Sid: "conditions", Effect: policy.Allow, Failed: policy.ConditionElement, Conditions: []policy.ConditionFail{
			{Operator: policy.Operator{Set: policy.ForAnyValue, Base: "StringLike", IfExists: true}, Key: "AWS:TagKeys", Want: []string{"a*", "${aws:username}"}},
			{Operator: policy.Operator{Base: "StringEquals"}, Key: "aws:Other", Want: []string{"x"}},
			{Operator: policy.Operator{Base: "Null"}, Key: "aws:Gone", Want: []string{"false"}, Absent: true},
		}},
		{Statement: 4, Effect: policy.Allow, Ways: policy.ByEveryone | policy.ByAccount},
	}
	got := d.Explain(r)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got[0].Matched() || !got[4].Matched() {
		t.Error("Matched")
	}
	got[3].Conditions[0].Want[0] = "changed"
	if again := d.Explain(r); again[3].Conditions[0].Want[0] != "a*" {
		t.Error("a trace shares memory with the document")
	}
}

func TestDocumentsAreSafeForConcurrentUse(t *testing.T) {
	d := parse(t, policy.KeyPolicy, tenStatements)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				r := &policy.Request{Principal: session("App", "s1"), Action: "kms:Decrypt", Resource: keyARN, Context: fixed{}}
				if v := d.Evaluate(r); v.Role != 2 || v.Deny.Found() || len(d.Explain(r)) != 10 {
					t.Errorf("%+v", v)
				}
			}
		})
	}
	all.Wait()
}

func TestValues(t *testing.T) {
	v, err := policy.NewValues(map[string][]string{
		"aws:One":                      {"x"},
		"aws:Two":                      {"x", "y"},
		"aws:Set":                      {"x"},
		"aws:None":                     nil,
		"aws:Spare":                    {"x"},
		"aws:spare":                    nil,
		"aws:Same":                     {"x"},
		"aws:same":                     {"x"},
		"AWS:SAME":                     {"x"},
		"kms:EncryptionContext:Dept":   {"IT"},
		"kms:EncryptionContext:dept":   {"Payroll"},
		"kms:EncryptionContext:Stage":  {"test"},
		"aws:PrincipalTag/cost center": {"7"},
		"kms:EncryptionContext:s":      {"x"},
		"kms:EncryptionContext:ſ":      {"x"},
		"kms:ResourceAliases":          {"x"},
		"kms:resourcealiases":          {"x"},
	}, "AWS:set", "aws:Unused", "kms:ResourceAliases")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		condition string
		want      bool
	}{
		{"single", `{"StringEquals": {"AWS:ONE": "x"}}`, true},
		{"several", `{"StringLike": {"aws:two": "*"}}`, false},
		{"several, set operator", `{"ForAllValues:StringEquals": {"aws:two": ["x", "y"]}}`, true},
		{"multivalued", `{"StringLike": {"aws:set": "*"}}`, false},
		{"multivalued, set operator", `{"ForAnyValue:StringEquals": {"aws:set": "x"}}`, true},
		{"no values", `{"Null": {"aws:none": true}}`, true},
		{"unknown", `{"Null": {"aws:Unused": true}}`, true},
		{"free part", `{"StringEquals": {"kms:EncryptionContext:STAGE": "test"}}`, true},
		{"free part with a space", `{"StringEquals": {"aws:principaltag/Cost Center": "7"}}`, true},
		{"other free part", `{"Null": {"kms:EncryptionContext:Other": true}}`, true},
		{"names that fold to one", `{"StringLike": {"kms:EncryptionContext:Dept": "*"}}`, false},
		{"names that fold to one, ForAllValues", `{"ForAllValues:StringEquals": {"kms:EncryptionContext:Dept": ["IT", "Payroll"]}}`, false},
		{"names that fold to one, ForAnyValue", `{"ForAnyValue:StringEquals": {"kms:EncryptionContext:Dept": ["IT", "Payroll"]}}`, false},
		{"names that fold to one are present", `{"Null": {"kms:EncryptionContext:Dept": false}}`, true},
		{"names that fold to one outside ASCII", `{"StringEquals": {"kms:EncryptionContext:S": "x"}}`, false},
		{"three names of the same value", `{"StringEquals": {"aws:same": "x"}}`, false},
		{"two names, one without a value", `{"StringEquals": {"aws:spare": "x"}}`, true},
		{"names of a multivalued key that fold to one", `{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "x"}}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := holds(t, policy.Allow, c.condition, v); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if _, err := policy.NewValues(map[string][]string{"secretkey": {"x"}}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("malformed key: %v", err)
	}
	if _, err := policy.NewValues(nil, "secretkey"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("malformed multivalued key: %v", err)
	}
}

// Requests' addresses are read as net/netip reads them, zones aside.
func TestAddressesAgreeWithNetip(t *testing.T) {
	g := newGenerator(4)
	pieces := []string{"::", ":", "1", "0", "db8", "FFFF", "ffff", "12345", "g", "1.2.3.4", "1.2.3", ".", "255", "256", "00", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "%"}
	valid := 0
	for range 60000 {
		var s strings.Builder
		for range 1 + g.IntN(8) {
			s.WriteString(g.pick(pieces...))
		}
		a, err := netip.ParseAddr(s.String())
		ok := err == nil && a.Zone() == ""
		if ok {
			valid++
		}
		want := [2]bool{ok && a.Unmap().Is4(), ok && a.Unmap().Is6()}
		got := [2]bool{inRange(v4, s.String()), inRange(v6, s.String())}
		if got != want {
			t.Fatalf("%q: IPv4, IPv6 %v, want %v", s.String(), got, want)
		}
		if !ok || a.Is4In6() {
			continue
		}
		if own := rangeDocument(a.String()); !inRange(own, s.String()) {
			t.Fatalf("%q is not %v", s.String(), a)
		}
	}
	if valid < 1000 {
		t.Errorf("%d valid addresses only", valid)
	}
}

var v4, v6 = rangeDocument("0.0.0.0/0"), rangeDocument("::/0")

func rangeDocument(r string) *policy.Document {
	d, err := policy.Parse(`{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "`+r+`"}}}}`, policy.IdentityPolicy)
	if err != nil {
		panic(err)
	}
	return d
}

func inRange(d *policy.Document, address string) bool {
	return d.Evaluate(&policy.Request{Action: "kms:Decrypt", Resource: keyARN, Context: fixedValue{policy.Text(address)}}).Identity.Found()
}

// A verdict lasts unless the Context could have had a say, whatever it said.
func TestLasting(t *testing.T) {
	const (
		use   = `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/App"}, "Action": "kms:Decrypt", "Resource": "*"}`
		guard = `{"Effect": "Deny", "Principal": {"AWS": %q}, "Action": %q, "Resource": %q, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}`
	)
	statement := func(effect, action, resource string) string {
		return fmt.Sprintf(`{"Effect": %q, "Principal": "*", "Action": %q, "Resource": %s}`, effect, action, resource)
	}
	for _, c := range []struct {
		name, second string
		lasting      bool
	}{
		{"nothing else", statement("Allow", "kms:Decrypt", `"*"`), true},
		{"a Deny that says no", statement("Deny", "kms:Decrypt", `"*"`), true},
		{"a Deny that might", fmt.Sprintf(guard, "*", "kms:*", "*"), false},
		{"a Deny of another action", fmt.Sprintf(guard, "*", "kms:Encrypt", "*"), true},
		{"a Deny of somebody else", fmt.Sprintf(guard, "arn:aws:iam::111122223333:role/Other", "kms:*", "*"), true},
		{"a Deny of another resource, which is not looked at", fmt.Sprintf(guard, "*", "kms:*", "arn:aws:s3:::b"), false},
		{"an Allow with a condition", strings.Replace(fmt.Sprintf(guard, "*", "kms:*", "*"), "Deny", "Allow", 1), false},
		{"a variable", statement("Deny", "kms:*", `"arn:aws:s3:::${aws:username}"`), false},
		{"a variable that makes no difference", statement("Deny", "kms:*", `["*", "arn:aws:s3:::${aws:username}"]`), true},
		{"an escaped dollar", statement("Deny", "kms:*", `"arn:aws:s3:::${$}"`), true},
	} {
		d := parse(t, policy.KeyPolicy, `{"Version": "2012-10-17", "Statement": [`+use+`,`+c.second+`]}`)
		for _, ctx := range []policy.Context{nil, fixed{}} {
			r := policy.Request{Principal: session("App", "s1"), Action: "kms:Decrypt", Resource: keyARN, Context: ctx}
			if got := d.Evaluate(&r).Lasting; got != c.lasting {
				t.Errorf("%s: lasting %v, want %v", c.name, got, c.lasting)
			}
		}
	}
}
