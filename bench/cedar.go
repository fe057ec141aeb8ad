package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// In Cedar's form of the rules, roles are parents of their sessions, and the account is the parent of a key whose policy delegates to it. Tags are attributes of the
// session, and condition keys are attributes of the request's context, absent where they do not apply. What identity policies and grants allow is permitted to their role,
// and what a boundary does not allow is forbidden to it. So all that decides is in one set, as Cedar means it to be, and one question is enough.

// forCedar says the rules in Cedar.
func (r *rules) forCedar() (*cedar.PolicySet, error) {
	var text strings.Builder
	for _, s := range r.all() {
		effect := "permit"
		if s.deny {
			effect = "forbid"
		}
		scope, tests := s.forCedar()
		fmt.Fprintf(&text, "%s (%s)", effect, strings.Join(scope, ", "))
		if len(tests) > 0 {
			fmt.Fprintf(&text, " when { %s }", strings.Join(tests, " && "))
		}
		text.WriteString(";\n")
	}
	if r.identity != nil {
		var bounds []string
		for _, s := range boundaryStatements {
			scope, tests := s.forCedar()
			for _, part := range scope {
				if strings.Contains(part, " ") { // it says more than that there is one
					tests = append([]string{part}, tests...)
				}
			}
			bounds = append(bounds, "("+strings.Join(tests, " && ")+")")
		}
		fmt.Fprintf(&text, "forbid (principal in %s, action, resource) unless { %s };\n", cedarName(roleOfIdentity), strings.Join(bounds, " || "))
	}
	return cedar.NewPolicySetFromBytes("policies.cedar", []byte(text.String()))
}

// forCedar returns the three parts of the statement's scope in Cedar, and what else must be true.
func (s *statement) forCedar() (scope, tests []string) {
	scope = []string{"principal", "action", "resource"}
	switch names := mapped(s.who, cedarName); {
	case len(names) > 1:
		tests = append(tests, "principal in ["+strings.Join(names, ", ")+"]")
	case len(names) == 1 && isRole(s.who[0]):
		scope[0] += " in " + names[0]
	case len(names) == 1:
		scope[0] += " == " + names[0]
	}
	switch names := mapped(s.actions, func(name string) string { return fmt.Sprintf("Action::%q", name) }); {
	case len(names) > 1:
		scope[1] += " in [" + strings.Join(names, ", ") + "]"
	case len(names) == 1:
		scope[1] += " == " + names[0]
	}
	switch kind, name, _ := strings.Cut(s.resource, "/"); {
	case kind == "bucket":
		scope[2] += fmt.Sprintf(" in Bucket::%q", name)
	case kind == "queue":
		scope[2] += fmt.Sprintf(" == Queue::%q", name)
	case name == "*":
		scope[2] += fmt.Sprintf(" is Key in Account::%q", account)
	case kind == "key":
		scope[2] += fmt.Sprintf(" == Key::%q", name)
	}
	for _, c := range s.when {
		tests = append(tests, c.forCedar())
	}
	return scope, tests
}

// cedarName is what Cedar calls somebody.
func cedarName(who string) string {
	uid := cedarUID(who)
	return fmt.Sprintf("%s::%q", uid.Type, uid.ID)
}

func cedarUID(who string) cedar.EntityUID {
	role, is := strings.CutPrefix(who, "role/")
	switch {
	case is:
		return cedar.NewEntityUID("Role", cedar.String(role))
	case who == delegate:
		return cedar.NewEntityUID("User", "root")
	default:
		return cedar.NewEntityUID("Service", cedar.String(who))
	}
}

// forCedar says the condition in Cedar.
func (c *condition) forCedar() string {
	at := attributes[c.key]
	value := at.of + "." + at.name
	anyOf := func(format string) string {
		return strings.Join(mapped(c.values, func(v string) string { return fmt.Sprintf(format, value, v) }), " || ")
	}
	var test string
	operator, negated := c.base()
	switch {
	case operator == "StringEquals" && len(c.values) > 1:
		test = "[" + strings.Join(mapped(c.values, func(v string) string { return fmt.Sprintf("%q", v) }), ", ") + "].contains(" + value + ")"
	case operator == "StringEquals":
		test = anyOf("%s == %q")
	case operator == "StringLike":
		test = anyOf("%s like %q")
	case operator == "Bool":
		test = anyOf("%s == %s")
	case operator == "IpAddress":
		test = anyOf("%s.isInRange(ip(%q))")
	case operator == "NumericLessThan":
		test = anyOf("%s < %s")
	case operator == "DateLessThan":
		test = anyOf("%s < datetime(%q)")
	}
	test = fmt.Sprintf("%s has %s && (%s)", at.of, at.name, test)
	if negated {
		return "!(" + test + ")"
	}
	return test
}

// A cedarQuestion is a question in Cedar's form. It has the entities that the question is about.
type cedarQuestion struct {
	who, key cedar.Entity
	context  cedar.RecordMap
	request  cedar.Request
}

// forCedar puts the question as a request to Cedar. What a key policy would have to read from text, such as addresses and times, Cedar is given as values.
func (q *question) forCedar() *cedarQuestion {
	c := &cedarQuestion{context: cedar.RecordMap{}}
	tags := cedar.RecordMap{}
	for _, f := range q.facts() {
		at, values := attributes[f.key], c.context
		if at.of == "principal" {
			values = tags
		}
		switch v := f.value.(type) {
		case string:
			values[cedar.String(at.name)] = cedar.String(v)
		case bool:
			values[cedar.String(at.name)] = cedar.Boolean(v)
		case int:
			values[cedar.String(at.name)] = cedar.Long(v)
		case time.Time:
			values[cedar.String(at.name)] = cedar.NewDatetime(v)
		case netip.Addr:
			values[cedar.String(at.name)] = cedar.IPAddr(netip.PrefixFrom(v, v.BitLen()))
		}
	}
	c.who = cedar.Entity{UID: cedarUID(q.who), Attributes: cedar.NewRecord(tags)}
	if isRole(q.who) {
		c.who.Parents = cedar.NewEntityUIDSet(c.who.UID)
		c.who.UID = cedar.NewEntityUID("Session", c.who.UID.ID+"/"+session)
	}
	c.key = cedar.Entity{UID: cedar.NewEntityUID("Key", keyID), Parents: cedar.NewEntityUIDSet(cedar.NewEntityUID("Account", account))}
	c.request = cedar.Request{Principal: c.who.UID, Action: cedar.NewEntityUID("Action", cedar.String(q.action)), Resource: c.key.UID, Context: cedar.NewRecord(c.context)}
	return c
}

// Get returns one of the entities that have attributes or parents. It implements [cedar.EntityGetter].
func (c *cedarQuestion) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid {
	case c.who.UID:
		return c.who, true
	case c.key.UID:
		return c.key, true
	default:
		return cedar.Entity{}, false
	}
}

// ask returns the answer.
func (c *cedarQuestion) ask(set *cedar.PolicySet) ([]byte, error) {
	decision, _ := cedar.Authorize(set, c, c.request)
	return answer(decision == cedar.Allow), nil
}

// askAnew makes the request's context anew, as for every operation, and returns the answer. Who asks, and the key, are entities that are there before.
func (c *cedarQuestion) askAnew(set *cedar.PolicySet) ([]byte, error) {
	c.request.Context = cedar.NewRecord(c.context)
	return c.ask(set)
}
