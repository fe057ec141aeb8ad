package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// In Rego's form of the rules, who asks, the action, the resource and the condition keys are parts of the input, absent where they do not apply. Comparisons are those
// that OPA's index of rules knows, so that rules for other actions and other principals need not be tried.

// forRego says the rules in Rego, compiled once.
func (r *rules) forRego() (rego.PreparedEvalQuery, error) {
	var text strings.Builder
	text.WriteString("package keys\n\nallow if {\n\tallowed\n\tnot denied\n}\n\nallowed if by_key\n")
	if r.identity != nil {
		text.WriteString("\nallowed if {\n\tdelegated\n\tby_identity\n\tby_boundary\n}\n")
	}
	if r.granted {
		text.WriteString("\nallowed if by_grant\n")
	}
	write := func(head string, s statement) {
		if s.deny {
			head = "denied"
		}
		tests := s.forRego()
		for i, c := range s.when {
			alternatives, negated := c.forRego()
			if !negated && len(alternatives) == 1 {
				tests = append(tests, alternatives[0])
				continue
			}
			// A rule of its own, which is undefined also where the value is absent: an expression that is negated in place would then be undefined too.
			name := fmt.Sprintf("%s_%d", strings.ReplaceAll(s.sid, "-", "_"), i)
			for _, test := range alternatives {
				fmt.Fprintf(&text, "\n%s if %s\n", name, test)
			}
			if negated {
				name = "not " + name
			}
			tests = append(tests, name)
		}
		fmt.Fprintf(&text, "\n%s if {\n\t%s\n}\n", head, strings.Join(tests, "\n\t"))
	}
	for _, s := range r.key {
		write("by_key", s)
		if len(s.who) == 1 && s.who[0] == delegate {
			fmt.Fprintf(&text, "\ndelegated if input.principal.account == %q\n", account)
		}
	}
	for _, s := range ofIdentity(r.identity) {
		write("by_identity", s)
	}
	if r.identity != nil {
		for _, s := range ofIdentity(boundaryStatements) {
			write("by_boundary", s)
		}
	}
	if r.granted {
		write("by_grant", grantStatement)
	}
	return rego.New(rego.Query("data.keys.allow"), rego.Module("keys.rego", text.String())).PrepareForEval(context.Background())
}

// forRego returns what must be true in Rego beside the conditions.
func (s *statement) forRego() (tests []string) {
	if s.actions != nil {
		tests = append(tests, regoEquals("input.action", s.actions))
	}
	if s.who != nil {
		kind, names := regoPrincipal(s.who)
		tests = append(tests, regoEquals("input.principal."+kind, names))
	}
	switch kind, name, _ := strings.Cut(s.resource, "/"); {
	case name == "*":
		tests = append(tests, "input.resource."+kind)
	case kind != "":
		tests = append(tests, regoEquals("input.resource."+kind, []string{name}))
	}
	return tests
}

// regoPrincipal is what Rego calls somebody, or several of a kind.
func regoPrincipal(who []string) (kind string, names []string) {
	switch {
	case isRole(who[0]):
		return "role", mapped(who, func(name string) string { return strings.TrimPrefix(name, "role/") })
	case who[0] == delegate:
		return "user", []string{"root"}
	default:
		return "service", who
	}
}

func regoEquals(value string, names []string) string {
	if len(names) == 1 {
		return fmt.Sprintf("%s == %q", value, names[0])
	}
	return value + " in {" + strings.Join(mapped(names, func(name string) string { return fmt.Sprintf("%q", name) }), ", ") + "}"
}

// forRego says the condition in Rego: that one of the tests is true, or with a negated operator that none is.
func (c *condition) forRego() (tests []string, negated bool) {
	at := attributes[c.key]
	value := "input." + at.of + "." + at.name
	operator, negated := c.base()
	if operator == "StringEquals" {
		return []string{regoEquals(value, c.values)}, negated
	}
	return mapped(c.values, func(v string) string { return regoTest(operator, value, v) }), negated
}

func regoTest(operator, value, wanted string) string {
	switch prefix, is := strings.CutSuffix(wanted, "*"); {
	case operator == "StringLike" && is && !strings.Contains(prefix, "*"):
		return fmt.Sprintf("startswith(%s, %q)", value, prefix)
	case operator == "StringLike":
		return fmt.Sprintf("glob.match(%q, null, %s)", wanted, value)
	case operator == "IpAddress":
		return fmt.Sprintf("net.cidr_contains(%q, %s)", wanted, value)
	case operator == "DateLessThan":
		at, err := time.Parse(time.RFC3339, wanted)
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf("%s < %d", value, at.Unix())
	case operator == "NumericLessThan":
		return value + " < " + wanted
	default:
		return value + " == " + wanted
	}
}

// A regoQuestion is a question in Rego's form: the input, or what it is made of.
type regoQuestion struct {
	fixed   [][2]*ast.Term // who asks, what is to be done, and with what
	context [][2]*ast.Term
	input   ast.Value
}

// forRego puts the question as an input to Rego, which is given times as seconds.
func (q *question) forRego() *regoQuestion {
	r := new(regoQuestion)
	term := func(name string, value *ast.Term) [2]*ast.Term { return ast.Item(ast.InternedTerm(name), value) }
	kind, names := regoPrincipal([]string{q.who})
	who := [][2]*ast.Term{term(kind, ast.StringTerm(names[0]))}
	if kind != "service" {
		who = append(who, term("account", ast.StringTerm(account)))
	}
	for _, f := range q.facts() {
		at := attributes[f.key]
		var value *ast.Term
		switch v := f.value.(type) {
		case string:
			value = ast.StringTerm(v)
		case bool:
			value = ast.InternedTerm(v)
		case int:
			value = ast.IntNumberTerm(v)
		case time.Time:
			value = ast.IntNumberTerm(int(v.Unix()))
		case netip.Addr:
			value = ast.StringTerm(v.String())
		}
		if at.of == "principal" {
			who = append(who, term(at.name, value))
		} else {
			r.context = append(r.context, term(at.name, value))
		}
	}
	r.fixed = [][2]*ast.Term{
		term("principal", ast.ObjectTerm(who...)), term("action", ast.StringTerm(q.action)), term("resource", ast.ObjectTerm(term("key", ast.StringTerm(keyID)))),
	}
	r.input = r.make()
	return r
}

// make makes the input of what belongs to this request, and of what was there before.
func (r *regoQuestion) make() ast.Value {
	input := ast.NewObject(r.fixed...)
	input.Insert(ast.InternedTerm("context"), ast.ObjectTerm(r.context...))
	return input
}

// ask returns the answer.
func (r *regoQuestion) ask(query *rego.PreparedEvalQuery) ([]byte, error) {
	results, err := query.Eval(context.Background(), rego.EvalParsedInput(r.input))
	return answer(results.Allowed()), err
}

// askAnew makes the input anew, as for every operation, and returns the answer.
func (r *regoQuestion) askAnew(query *rego.PreparedEvalQuery) ([]byte, error) {
	r.input = r.make()
	return r.ask(query)
}
