package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/policy"
)

// operators has for every base operator a list of policy values, a request value that meets it, and one that does not.
var operators = []struct {
	name, values string
	meets, fails string
	negated      bool
}{
	{name: "StringEquals", values: `["a*", "b"]`, meets: "a*", fails: "ax"},
	{name: "StringNotEquals", values: `["a*", "b"]`, meets: "ax", fails: "b", negated: true},
	{name: "StringEqualsIgnoreCase", values: `["aé", "b"]`, meets: "AÉ", fails: "ae"},
	{name: "StringNotEqualsIgnoreCase", values: `["a", "b"]`, meets: "c", fails: "B", negated: true},
	{name: "StringLike", values: `["a?c*", "x"]`, meets: "abcde", fails: "ac"},
	{name: "StringNotLike", values: `["a?c*", "x"]`, meets: "ac", fails: "abc", negated: true},
	{name: "ArnEquals", values: `["arn:aws:iam::1*:role/x*", "arn:a:b:c:d:e"]`, meets: "arn:aws:iam::12:role/x/y:z", fails: "arn:aws:iam::2:role/x"},
	{name: "ArnLike", values: `["arn:aws:iam::1*:role/x*", "arn:a:b:c:d:e"]`, meets: "arn:aws:iam::1:role/x", fails: "arn:aws:iam:1:3:role/x"},
	{name: "ArnNotEquals", values: `["arn:aws:iam::1:role/x", "arn:a:b:c:d:e"]`, meets: "arn:aws:iam::1:role/X", fails: "arn:a:b:c:d:e", negated: true},
	{name: "ArnNotLike", values: `["arn:aws:iam::1:role/*", "arn:a:b:c:d:e"]`, meets: "arn:aws:iam::1:user/X", fails: "arn:aws:iam::1:role/", negated: true},
	{name: "NumericEquals", values: `[7, "1e2"]`, meets: "100.0", fails: "10"},
	{name: "NumericNotEquals", values: `[7, "1e2"]`, meets: "8", fails: "7.000", negated: true},
	{name: "NumericLessThan", values: `[7, 5]`, meets: "6.9", fails: "7"},
	{name: "NumericLessThanEquals", values: `7`, meets: "7.0", fails: "7.1"},
	{name: "NumericGreaterThan", values: `"-7"`, meets: "-6", fails: "-7"},
	{name: "NumericGreaterThanEquals", values: `7`, meets: "7", fails: "-8"},
	{name: "DateEquals", values: `["2026-03-01T10:00:00Z", "2025"]`, meets: "1772359200", fails: "1772359201"},
	{name: "DateNotEquals", values: `["2026-03-01T10:00:00Z", "2025"]`, meets: "2026-03-01", fails: "2026-03-01T12:00+02:00", negated: true},
	{name: "DateLessThan", values: `"2026-03-01"`, meets: "2026-02-28T23:59:59.999Z", fails: "2026-03-01T00:00Z"},
	{name: "DateLessThanEquals", values: `"2026-03-01"`, meets: "2026-03-01T00:00Z", fails: "2026-03-01T00:00:00.1Z"},
	{name: "DateGreaterThan", values: `1772359200`, meets: "2026-03-01T10:00:00.5Z", fails: "2026-03-01T10:00:00Z"},
	{name: "DateGreaterThanEquals", values: `"1772359200"`, meets: "2026-03-01T10:00:00Z", fails: "2026-02"},
	{name: "Bool", values: `true`, meets: "true", fails: "false"},
	{name: "BinaryEquals", values: `["AAEC", "/+8="]`, meets: "/+8=", fails: "/+9="},
	{name: "IpAddress", values: `["203.0.113.0/24", "2001:db8::/32"]`, meets: "203.0.113.9", fails: "203.0.114.9"},
	{name: "NotIpAddress", values: `["203.0.113.0/24", "2001:db8::/32"]`, meets: "::1", fails: "2001:DB8::5", negated: true},
}

// Every operator in every form against every shape of request, in both effects.
func TestOperators(t *testing.T) {
	for _, op := range operators {
		t.Run(op.name, func(t *testing.T) {
			type shape struct {
				name  string
				value policy.Value
			}
			meets, fails, missing := shape{"meets", policy.Text(op.meets)}, shape{"fails", policy.Text(op.fails)}, shape{"missing", policy.Value{}}
			one := shape{"one value of a set", policy.Texts([]string{op.meets})}
			every := shape{"all of a set", policy.Texts([]string{op.meets, op.meets})}
			some := shape{"some of a set", policy.Texts([]string{op.fails, op.meets})}
			none := shape{"none of a set", policy.Texts([]string{op.fails, op.fails})}
			empty := shape{"empty set", policy.Texts(nil)}
			vague := shape{"ambiguous", policy.Ambiguous()}

			for _, effect := range effects {
				deny := effect == policy.Deny
				for _, form := range []struct {
					prefix, suffix string
					want           map[shape]bool
				}{
					{"", "", map[shape]bool{
						meets: true, fails: false, missing: op.negated, empty: op.negated, one: deny, every: deny, some: deny, none: deny, vague: deny,
					}},
					{"", "IfExists", map[shape]bool{
						meets: true, fails: false, missing: true, empty: true, one: deny, every: deny, some: deny, none: deny, vague: deny,
					}},
					{"ForAllValues:", "", map[shape]bool{
						meets: true, fails: false, missing: true, empty: true, one: true, every: true, some: false, none: false, vague: deny,
					}},
					{"ForAllValues:", "IfExists", map[shape]bool{
						meets: true, fails: false, missing: true, empty: true, one: true, every: true, some: false, none: false, vague: deny,
					}},
					{"ForAnyValue:", "", map[shape]bool{
						meets: true, fails: false, missing: false, empty: false, one: true, every: true, some: true, none: false, vague: deny,
					}},
					{"ForAnyValue:", "IfExists", map[shape]bool{
						meets: true, fails: false, missing: deny, empty: deny, one: true, every: true, some: true, none: false, vague: deny,
					}},
				} {
					for shape, want := range form.want {
						condition := fmt.Sprintf(`{%q: {"aws:Key": %s}}`, form.prefix+op.name+form.suffix, op.values)
						if got := holds(t, effect, condition, fixedValue{shape.value}); got != want {
							t.Errorf("%v %s, %s: %v, want %v", effect, condition, shape.name, got, want)
						}
					}
				}
			}
		})
	}
}

func TestNull(t *testing.T) {
	for _, c := range []struct {
		name, values string
		value        policy.Value
		want         bool
	}{
		{"absent and must be", `"true"`, policy.Value{}, true},
		{"absent and must be, unquoted", `true`, policy.Value{}, true},
		{"absent and must not be", `"false"`, policy.Value{}, false},
		{"present and must not be", `"true"`, policy.Text("x"), false},
		{"present and must be", `"false"`, policy.Text("x"), true},
		{"empty text is present", `"false"`, policy.Text(""), true},
		{"set is present", `"false"`, policy.Texts([]string{"x", "y"}), true},
		{"empty set is absent", `"true"`, policy.Texts(nil), true},
		{"time is present", `false`, policy.Time(time.Time{}), true},
		{"ambiguous is present", `"false"`, policy.Ambiguous(), true},
		{"ambiguous is not absent", `"true"`, policy.Ambiguous(), false},
		{"either", `["true", "false"]`, policy.Value{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, effect := range effects {
				if got := holds(t, effect, `{"Null": {"aws:Key": `+c.values+`}}`, fixedValue{c.value}); got != c.want {
					t.Errorf("%v: %v, want %v", effect, got, c.want)
				}
			}
		})
	}
}

// A value that is none of the operator's type is neither equal nor different.
func TestValueOfAnotherType(t *testing.T) {
	for _, c := range []struct{ operator, values, request string }{
		{"NumericEquals", `7`, "seven"},
		{"NumericNotEquals", `7`, "seven"},
		{"NumericNotEquals", `7`, ""},
		{"NumericNotEquals", `7`, "7."},
		{"NumericNotEquals", `7`, "+8"},
		{"NumericNotEquals", `7`, "8e"},
		{"NumericNotEquals", `7`, "1e4097"},
		{"DateEquals", `"2026"`, "tomorrow"},
		{"DateNotEquals", `"2026"`, "tomorrow"},
		{"DateNotEquals", `"2026"`, "2026-02-30"},
		{"DateNotEquals", `"2026"`, "1234567890123456"},
		{"DateNotEquals", `"2026"`, "2026-03-01T10:00:00"},
		{"IpAddress", `"0.0.0.0/0"`, "here"},
		{"NotIpAddress", `"10.0.0.0/8"`, "here"},
		{"NotIpAddress", `"10.0.0.0/8"`, "fe80::1%eth0"},
		{"ArnEquals", `"arn:a:b:c:d:e"`, "arn:a:b:c"},
		{"ArnNotEquals", `"arn:a:b:c:d:e"`, "arn:a:b:c"},
		{"ArnNotEquals", `"arn:a:b:c"`, "arn:a:b:c:d:e"},
		{"ArnNotLike", `"*"`, "arn:a:b:c:d:e"},
		{"ArnNotLike", `["arn:x:*:*:*:*", "*"]`, "arn:a:b:c:d:e"},
		{"ArnNotLike", `"${aws:Part}"`, "arn:a:b:c:d:e"},
		{"ArnLike", `"arn:*"`, "arn:a:b:c:d:e"},
		{"ArnLike", `"arn:a:b:c:*"`, "arn:a:b:c:d:e"},
	} {
		t.Run(c.operator+" "+c.values+" "+c.request, func(t *testing.T) {
			condition := fmt.Sprintf(`{%q: {"aws:Key": %s}}`, c.operator, c.values)
			for _, effect := range effects {
				ctx := values{"aws:key": policy.Text(c.request), "aws:part": policy.Text("arn:a")}
				want := effect == policy.Deny && strings.Contains(c.operator, "Not")
				if got := holds(t, effect, condition, ctx); got != want {
					t.Errorf("%v: %v, want %v", effect, got, want)
				}
			}
		})
	}
}

func TestNumbersCompareExactly(t *testing.T) {
	for _, c := range []struct {
		policy, request string
		want            int
	}{
		{"9007199254740993", "9007199254740992", -1},
		{"1772359200", "1772359200.0", 0},
		{"0", "-0.000", 0},
		{"0", "0e9", 0},
		{"007", "7", 0},
		{"0.1", "0.10000000000000000000000000000000000001", 1},
		{"100", "1e2", 0},
		{"100", "0.001E+5", 0},
		{"0.012", "12e-3", 0},
		{"120", "12", -1},
		{"-1", "0", 1},
		{"-100", "-20", 1},
		{"-1.5", "-1.25", 1},
		{"-1.25", "-1.255", -1},
		{"1e4096", "1e4095", -1},
		{"10.5", "10.05", -1},
	} {
		t.Run(c.request+" and "+c.policy, func(t *testing.T) {
			for operator, want := range map[string]bool{
				"NumericEquals": c.want == 0, "NumericNotEquals": c.want != 0, "NumericLessThan": c.want < 0, "NumericLessThanEquals": c.want <= 0,
				"NumericGreaterThan": c.want > 0, "NumericGreaterThanEquals": c.want >= 0,
			} {
				condition := fmt.Sprintf(`{%q: {"aws:Key": %q}}`, operator, c.policy)
				if got := holds(t, policy.Allow, condition, fixedValue{policy.Text(c.request)}); got != want {
					t.Errorf("%s: %v, want %v", operator, got, want)
				}
			}
		})
	}
}

func TestDatesCompareAsInstants(t *testing.T) {
	for _, c := range []struct {
		policy, request string
		want            int
	}{
		{"2026", "2026-01-01T00:00:00Z", 0},
		{"2026", "2027-01-01", 1},
		{"2026-02", "2026-02-01", 0},
		{"2024-02-29", "2024-03-01T01:00+01:00", 1},
		{"2026-03-01T10:00Z", "1772359200", 0},
		{"2026-03-01T10:00:00.50Z", "2026-03-01T12:00:00.5+02:00", 0},
		{"2026-03-01T10:00:00.5Z", "2026-03-01T10:00:00.45Z", -1},
		{"2026-03-01T10:00:00Z", "2026-03-01T07:30:00-02:30", 0},
		{"-86400", "1969-12-31", 0},
		{"0", "1970", 0},
		{"100000", "1970-01-02T03:46:40Z", 0},
		{"-200", "1969-12-31T23:56:40Z", 0},
	} {
		t.Run(c.request+" and "+c.policy, func(t *testing.T) {
			for operator, want := range map[string]bool{
				"DateEquals": c.want == 0, "DateNotEquals": c.want != 0, "DateLessThan": c.want < 0, "DateLessThanEquals": c.want <= 0,
				"DateGreaterThan": c.want > 0, "DateGreaterThanEquals": c.want >= 0,
			} {
				condition := fmt.Sprintf(`{%q: {"aws:Key": %q}}`, operator, c.policy)
				if got := holds(t, policy.Allow, condition, fixedValue{policy.Text(c.request)}); got != want {
					t.Errorf("%s: %v, want %v", operator, got, want)
				}
			}
		})
	}
}

// Times, integers and truth values read as whatever the operator compares.
func TestComputedValues(t *testing.T) {
	at := policy.Time(time.Date(2026, 3, 1, 11, 0, 0, 999, time.FixedZone("", 3600)))
	for _, c := range []struct {
		name, condition string
		value           policy.Value
		want            bool
	}{
		{"time as text", `{"StringEquals": {"aws:Key": "2026-03-01T10:00:00Z"}}`, at, true},
		{"time like text", `{"StringLike": {"aws:Key": "2026-*Z"}}`, at, true},
		{"time as number", `{"NumericEquals": {"aws:Key": "1772359200"}}`, at, true},
		{"time as date", `{"DateEquals": {"aws:Key": "2026-03-01T10:00:00Z"}}`, at, true},
		{"time as an address", `{"NotIpAddress": {"aws:Key": "10.0.0.0/8"}}`, at, false},
		{"time as an ARN", `{"ArnNotLike": {"aws:Key": "arn:a:b:c:d:e"}}`, at, false},
		{"integer as text", `{"StringEquals": {"aws:Key": "-7"}}`, policy.Int(-7), true},
		{"integer is not another text", `{"StringEquals": {"aws:Key": "7.0"}}`, policy.Int(7), false},
		{"smallest integer as text", `{"StringEquals": {"aws:Key": "-9223372036854775808"}}`, policy.Int(-1 << 63), true},
		{"integer as number", `{"NumericEquals": {"aws:Key": "7.0"}}`, policy.Int(7), true},
		{"integer as date", `{"DateEquals": {"aws:Key": "2026-03-01T10:00:00Z"}}`, policy.Int(1772359200), true},
		{"true as truth value", `{"Bool": {"aws:Key": true}}`, policy.Bool(true), true},
		{"false as truth value", `{"Bool": {"aws:Key": true}}`, policy.Bool(false), false},
		{"false as text", `{"StringEquals": {"aws:Key": "false"}}`, policy.Bool(false), true},
		{"truth value as number", `{"NumericNotEquals": {"aws:Key": 0}}`, policy.Bool(false), false},
		{"number as text", `{"StringEquals": {"aws:Key": 1.50}}`, policy.Text("1.50"), true},
		{"truth value of the policy as text", `{"StringEquals": {"aws:Key": true}}`, policy.Text("true"), true},
		{"other spelling of true", `{"Bool": {"aws:Key": "true"}}`, policy.Text("True"), false},
		{"time in a variable", `{"StringEquals": {"aws:Fixed": "t=${aws:Key}"}}`, at, true},
		{"time in a variable, without case", `{"StringEqualsIgnoreCase": {"aws:Fixed": "T=${aws:Key}"}}`, at, true},
		{"colons of a time in a variable", `{"ArnNotLike": {"aws:Arn": "arn:a:b:${aws:Key}:e"}}`, at, true},
		{"integer in a variable", `{"StringLike": {"aws:Fixed": "t*${aws:Key}*"}}`, policy.Int(6), true},
		{"no colons of an integer", `{"ArnNotLike": {"aws:Arn": "arn:a:b:${aws:Key}:e"}}`, policy.Int(6), false},
		{"text in a variable", `{"ArnLike": {"aws:Arn": "${aws:Key}:e"}}`, policy.Text("arn:a:b:c:d"), true},
		{"too little text in a variable", `{"ArnNotLike": {"aws:Arn": "${aws:Key}:x"}}`, policy.Text("arn:a:b"), false},
		{"default of a variable", `{"ArnNotLike": {"aws:Arn": "${aws:None, 'arn:a:b:c:d'}:x"}}`, policy.Text(""), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := values{"aws:key": c.value, "aws:fixed": policy.Text("t=2026-03-01T10:00:00Z"), "aws:arn": policy.Text("arn:a:b:c:d:e")}
			if got := holds(t, policy.Allow, c.condition, ctx); got != c.want {
				t.Errorf("%s: %v, want %v", c.condition, got, c.want)
			}
		})
	}
}

func TestValueIs(t *testing.T) {
	for _, c := range []struct {
		name, text string
		value      policy.Value
		want       bool
	}{
		{"the text", "x", policy.Text("x"), true},
		{"another text", "x", policy.Text("y"), false},
		{"other case", "x", policy.Text("X"), false},
		{"an empty text", "", policy.Text(""), true},
		{"nothing", "", policy.Value{}, false},
		{"one of several texts", "x", policy.Texts([]string{"x"}), false},
		{"ambiguous", "", policy.Ambiguous(), false},
		{"an integer", "7", policy.Int(7), false},
		{"an integer, and no text", "", policy.Int(7), false},
		{"a truth value", "true", policy.Bool(true), true},
	} {
		if got := c.value.Is(c.text); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		policy, request string
		want            bool
	}{
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "10.0.0.1", false},
		{"203.0.113.7/24", "203.0.113.250", true},
		{"203.0.113.128/25", "203.0.113.127", false},
		{"198.51.100.4", "198.51.100.4", true},
		{"2001:DB8:0:0::5", "2001:db8::5", true},
		{"2001:db8::5", "2001:db8::5:0", false},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"::/0", "::ffff:10.1.2.3", false},
		{"10.0.0.0/8", "010.0.0.1", false},
		{"10.0.0.0/8", "10.0.0.1 ", false},
		{"10.0.0.0/8", "10.0.0.256", false},
		{"10.0.0.0/8", "10.0.0", false},
	} {
		t.Run(c.request+" in "+c.policy, func(t *testing.T) {
			if got := holds(t, policy.Allow, `{"IpAddress": {"aws:SourceIp": "`+c.policy+`"}}`, fixedValue{policy.Text(c.request)}); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestConditionsAreConjoined(t *testing.T) {
	ctx := values{"aws:a": policy.Text("1"), "aws:b": policy.Text("2")}
	for _, c := range []struct {
		name, condition string
		want            bool
	}{
		{"no condition", `{}`, true},
		{"both keys", `{"StringEquals": {"aws:A": "1", "AWS:b": "2"}}`, true},
		{"one key fails", `{"StringEquals": {"aws:a": "1", "aws:b": "3"}}`, false},
		{"both operators", `{"StringEquals": {"aws:a": "1"}, "StringLike": {"aws:a": "?"}}`, true},
		{"one operator fails", `{"StringEquals": {"aws:a": "1"}, "StringLike": {"aws:a": "??"}}`, false},
		{"values are alternatives", `{"StringEquals": {"aws:a": ["0", "1"]}}`, true},
		{"negated values are not", `{"StringNotEquals": {"aws:a": ["0", "1"]}}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := holds(t, policy.Allow, c.condition, ctx); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
