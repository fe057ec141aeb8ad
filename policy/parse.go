package policy

import (
	"fmt"
	"slices"
)

// Parse reads a document of the given kind. The error is always a [*SyntaxError]; a document is accepted whole or not at all.
//
// Parsing takes time and memory in proportion to the text, which may have 128 KiB.
func Parse(text string, kind Kind) (*Document, error) {
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, doc: &Document{text: text, version: Version2008, kind: kind}, sids: map[string]bool{}}
	if err := p.document(root); err != nil {
		return nil, err
	}
	return p.doc, nil
}

// A parser compiles nodes into a document. Its methods get the path of their element for errors.
type parser struct {
	text string
	doc  *Document
	sids map[string]bool
}

// fault is the error for what is wrong with n.
func (p *parser) fault(n node, path, message string) error {
	return faultAt(p.text, n.off, path, message)
}

func (p *parser) document(root node) error {
	if p.doc.kind > ResourceControlPolicy {
		return p.fault(root, "", "unknown kind of policy")
	}
	elements, err := p.elements(root, "", "Version", "Id", "Statement")
	if err != nil {
		return err
	}
	if version := elements["Version"]; version.kind != noNode {
		if version.kind != stringNode || version.text != Version2008 && version.text != Version2012 {
			return p.fault(version, "Version", "must be 2008-10-17 or 2012-10-17")
		}
		p.doc.version = version.text
	}
	if id := elements["Id"]; id.kind != noNode && id.kind != stringNode {
		return p.fault(id, "Id", "must be a string")
	}
	list := elements["Statement"]
	switch {
	case list.kind == noNode:
		return p.fault(root, "", "Statement is missing")
	case list.kind == objectNode:
		return p.statement(list, "Statement")
	case list.kind != listNode || len(list.items) == 0:
		return p.fault(list, "Statement", "must be a statement or a list of at least one")
	}
	for i, n := range list.items {
		if err := p.statement(n, fmt.Sprintf("Statement[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) statement(n node, path string) error {
	elements, err := p.elements(n, path, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if err != nil {
		return err
	}
	path += "."
	s := statement{identity: p.doc.kind != KeyPolicy}
	if s.sid, err = p.sid(elements["Sid"], path+"Sid"); err != nil {
		return err
	}
	effect := elements["Effect"]
	switch {
	case effect.kind == noNode:
		return p.fault(n, path+"Effect", "is missing")
	case effect.kind == stringNode && effect.text == "Allow":
		s.effect = Allow
	case effect.kind != stringNode || effect.text != "Deny":
		return p.fault(effect, path+"Effect", "must be Allow or Deny")
	}
	if err := p.principals(&s, n, elements, path); err != nil {
		return err
	}
	if err := p.actions(&s, n, elements, path); err != nil {
		return err
	}
	if err := p.resources(&s, n, elements, path); err != nil {
		return err
	}
	if condition := elements["Condition"]; condition.kind != noNode {
		if err := p.conditions(&s, condition, path+"Condition"); err != nil {
			return err
		}
	}
	s.contextual = len(s.conditions) > 0 || !s.everyResource && slices.ContainsFunc(s.resources, func(r resource) bool { return r.hasVariables() })
	p.doc.statements = append(p.doc.statements, s)
	return nil
}

// sid checks that no other statement has the same Sid. Several may have an empty one, which is none.
func (p *parser) sid(n node, path string) (string, error) {
	switch {
	case n.kind == noNode:
		return "", nil
	case n.kind != stringNode:
		return "", p.fault(n, path, "must be a string")
	case p.sids[n.text]:
		return "", p.fault(n, path, "another statement has the same Sid")
	}
	if n.text != "" {
		p.sids[n.text] = true
	}
	return n.text, nil
}

func (p *parser) principals(s *statement, n node, elements map[string]node, path string) error {
	named, name, err := p.either(n, elements, path, "Principal", p.doc.kind != IdentityPolicy)
	if err != nil || named.kind == noNode {
		return err
	}
	path += name
	if p.doc.kind == IdentityPolicy {
		return p.fault(named, path, "an identity policy names no principals")
	}
	s.notPrincipal = name == "NotPrincipal"
	if s.notPrincipal && s.effect == Allow {
		return p.fault(named, path, "with Allow would allow everybody else; it goes with Deny only")
	}
	if named.kind == stringNode && named.text == "*" {
		named = node{kind: objectNode, off: named.off, members: []member{{name: "AWS", off: named.off, value: named}}}
	}
	if named.kind != objectNode || len(named.members) == 0 {
		return p.fault(named, path, "must be * or an object that names at least one principal")
	}
	if p.doc.kind == ResourceControlPolicy && (s.notPrincipal || len(named.members) != 1 || named.members[0].name != "AWS" || named.members[0].value.text != "*") {
		return p.fault(named, path, "a resource control policy is for everybody: the principal must be *")
	}
	for _, m := range named.members {
		err := p.texts(m.value, path, func(n node) string {
			s.principals.refs = append(s.principals.refs, PrincipalRef{Type: m.name, Value: n.text})
			return s.principals.add(m.name, n.text)
		})
		if err != nil {
			return err
		}
	}
	if s.notPrincipal && s.principals.everyone {
		return p.fault(named, path, "* exempts everybody, so that the statement denies nobody")
	}
	return nil
}

func (p *parser) actions(s *statement, n node, elements map[string]node, path string) error {
	list, name, err := p.either(n, elements, path, "Action", s.identity)
	if err != nil || list.kind == noNode {
		return err
	}
	if s.notAction = name == "NotAction"; s.notAction {
		s.initials = anyInitial
	}
	return p.texts(list, path+name, func(n node) string {
		a, ok := parseAction(n.text)
		s.actions = append(s.actions, a)
		s.initials |= a.initials
		return unless(ok, "must be * or a service and a name, such as kms:Decrypt")
	})
}

func (p *parser) resources(s *statement, n node, elements map[string]node, path string) error {
	list, name, err := p.either(n, elements, path, "Resource", s.identity)
	if err != nil || list.kind == noNode {
		return err
	}
	s.notResource = name == "NotResource"
	return p.texts(list, path+name, func(n node) string {
		r, message := parseResource(n.text, p.variables())
		s.resources = append(s.resources, r)
		s.everyResource = s.everyResource || r.every && !s.notResource
		return message
	})
}

func (p *parser) variables() bool { return p.doc.version == Version2012 }

// either returns the element that stands under name or under Not and name, and which of the two; no node if neither does and neither need to.
func (p *parser) either(n node, elements map[string]node, path, name string, required bool) (node, string, error) {
	plain, not := elements[name], elements["Not"+name]
	switch {
	case plain.kind != noNode && not.kind != noNode:
		return node{}, "", p.fault(not, path+"Not"+name, "cannot stand beside "+name)
	case not.kind != noNode:
		return not, "Not" + name, nil
	case plain.kind == noNode && required:
		return node{}, "", p.fault(n, path+name, "is missing")
	}
	return plain, name, nil
}

func (p *parser) conditions(s *statement, block node, path string) error {
	if block.kind != objectNode {
		return p.fault(block, path, "must be an object")
	}
	for _, m := range block.members {
		op, compare, ok := parseOperator(m.name)
		if !ok {
			return faultAt(p.text, m.off, path, "unknown operator; names are compared with case")
		}
		path := path + "." + m.name
		if m.value.kind != objectNode || len(m.value.members) == 0 {
			return p.fault(m.value, path, "must be an object with at least one condition key")
		}
		seen := map[Key]bool{}
		for _, m := range m.value.members {
			key, ok := parseKey(m.name)
			if !ok {
				return faultAt(p.text, m.off, path, "malformed condition key")
			}
			if seen[key.folded()] {
				return faultAt(p.text, m.off, path, "condition key appears twice; keys are compared without case")
			}
			seen[key.folded()] = true
			c := condition{operator: op, comparison: compare, key: key, name: m.name}
			if err := p.values(m.value, path, func(n node) string { return c.add(n.text, p.variables()) }); err != nil {
				return err
			}
			s.conditions = append(s.conditions, c)
		}
	}
	return nil
}

// texts hands add the string that n is or each of those in the list that it is, and turns what add finds wrong into an error.
func (p *parser) texts(n node, path string, add func(node) string) error {
	return p.values(n, path, func(n node) string {
		if n.kind != stringNode {
			return "must be a string or a list of strings"
		}
		return add(n)
	})
}

// values is texts for values that may also be numbers and booleans.
func (p *parser) values(n node, path string, add func(node) string) error {
	items := []node{n}
	if n.kind == listNode {
		items = n.items
	}
	if len(items) == 0 {
		return p.fault(n, path, "must not be empty")
	}
	for _, n := range items {
		message := "must be a value or a list of values"
		switch n.kind {
		case stringNode, numberNode, boolNode:
			message = add(n)
		}
		if message != "" {
			return p.fault(n, path, message)
		}
	}
	return nil
}

// elements returns the members of an object whose names are all known.
func (p *parser) elements(n node, path string, known ...string) (map[string]node, error) {
	if n.kind != objectNode {
		return nil, p.fault(n, path, "must be an object")
	}
	elements := make(map[string]node, len(n.members))
	for _, m := range n.members {
		if !slices.Contains(known, m.name) {
			return nil, faultAt(p.text, m.off, path, "unknown element; names are compared with case")
		}
		elements[m.name] = m.value
	}
	return elements, nil
}
