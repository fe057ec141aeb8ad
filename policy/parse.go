package policy

import (
	"fmt"
	"slices"
)

// Parse reads a document of the given kind. The error is always a [*SyntaxError]; a document is accepted whole or not at all. [Lint] tells all that is wrong with it.
//
// Parsing takes time and memory in proportion to the text, which may have 512 KiB.
func Parse(text string, kind Kind) (*Document, error) {
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	p := newParser(text, kind, 1)
	p.document(root)
	if p.met > 0 {
		f := p.faults[0]
		return nil, faultAt(text, f.off, f.path, f.message)
	}
	return p.doc, nil
}

// A parser compiles nodes into a document. Its methods get the path of their element for faults. They note what is wrong and go on, so that one walk finds all of it.
type parser struct {
	doc     *Document
	sids    map[string]bool
	faults  []fault // in the order in which they were met
	met     int     // how many there were, of which limit are kept
	limit   int
	sources []source // of the document's statements, which are those without faults
}

// A fault is what is wrong with the token at an offset of the text.
type fault struct {
	off           int
	path, message string
}

// A source is where a statement came from.
type source struct {
	node
	elements map[string]node
	path     string // with the full stop that ends it
}

func newParser(text string, kind Kind, limit int) *parser {
	return &parser{doc: &Document{text: text, version: Version2008, kind: kind}, sids: map[string]bool{}, limit: limit}
}

func (p *parser) faultAt(off int, path, message string) {
	p.met++
	if len(p.faults) < p.limit {
		p.faults = append(p.faults, fault{off, path, message})
	}
}

func (p *parser) fault(n node, path, message string) { p.faultAt(n.Off, path, message) }

func (p *parser) document(root node) {
	if p.doc.kind > ResourceControlPolicy {
		p.fault(root, "", "unknown kind of policy")
		return
	}
	elements := p.elements(root, "", "Version", "Id", "Statement")
	if elements == nil {
		return
	}
	if version := elements["Version"]; version.Kind != noNode {
		if version.Kind != stringNode || version.Text != Version2008 && version.Text != Version2012 {
			p.fault(version, "Version", "must be 2008-10-17 or 2012-10-17")
		}
		p.doc.version = version.Text
	}
	if id := elements["Id"]; id.Kind != noNode && id.Kind != stringNode {
		p.fault(id, "Id", "must be a string")
	}
	list := elements["Statement"]
	switch {
	case list.Kind == noNode:
		p.fault(root, "", "Statement is missing")
	case list.Kind == objectNode:
		p.statement(list, "Statement")
	case list.Kind != listNode || len(list.Items) == 0:
		p.fault(list, "Statement", "must be a statement or a list of at least one")
	}
	for i, n := range list.Items {
		p.statement(n, fmt.Sprintf("Statement[%d]", i))
	}
}

func (p *parser) statement(n node, path string) {
	before := p.met
	elements := p.elements(n, path, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if elements == nil {
		return
	}
	path += "."
	s := statement{identity: p.doc.kind != KeyPolicy}
	s.sid = p.sid(elements["Sid"], path+"Sid")
	effect := elements["Effect"]
	switch {
	case effect.Kind == noNode:
		p.fault(n, path+"Effect", "is missing")
	case effect.Kind == stringNode && effect.Text == "Allow":
		s.effect = Allow
	case effect.Kind != stringNode || effect.Text != "Deny":
		p.fault(effect, path+"Effect", "must be Allow or Deny")
	}
	p.principals(&s, n, elements, path)
	p.actions(&s, n, elements, path)
	p.resources(&s, n, elements, path)
	if condition := elements["Condition"]; condition.Kind != noNode {
		p.conditions(&s, condition, path+"Condition")
	}
	if p.met > before {
		return
	}
	s.contextual = len(s.conditions) > 0 || !s.everyResource && slices.ContainsFunc(s.resources, func(r resource) bool { return r.hasVariables() })
	p.doc.statements = append(p.doc.statements, s)
	p.sources = append(p.sources, source{n, elements, path})
}

// sid checks that no other statement has the same Sid. Several may have an empty one, which is none.
func (p *parser) sid(n node, path string) string {
	switch {
	case n.Kind == noNode:
		return ""
	case n.Kind != stringNode:
		p.fault(n, path, "must be a string")
	case p.sids[n.Text]:
		p.fault(n, path, "another statement has the same Sid")
	case n.Text != "":
		p.sids[n.Text] = true
	}
	return n.Text
}

func (p *parser) principals(s *statement, n node, elements map[string]node, path string) {
	named, name := p.either(n, elements, path, "Principal", p.doc.kind != IdentityPolicy)
	if named.Kind == noNode {
		return
	}
	path += name
	if p.doc.kind == IdentityPolicy {
		p.fault(named, path, "an identity policy names no principals")
		return
	}
	s.notPrincipal = name == "NotPrincipal"
	if s.notPrincipal && s.effect == Allow {
		p.fault(named, path, "with Allow would allow everybody else; it goes with Deny only")
	}
	if named.Kind == stringNode && named.Text == "*" {
		named = node{Kind: objectNode, Off: named.Off, Members: []member{{Name: "AWS", Off: named.Off, Value: named}}}
	}
	if named.Kind != objectNode || len(named.Members) == 0 {
		p.fault(named, path, "must be * or an object that names at least one principal")
		return
	}
	if p.doc.kind == ResourceControlPolicy && (s.notPrincipal || len(named.Members) != 1 || named.Members[0].Name != "AWS" || named.Members[0].Value.Text != "*") {
		p.fault(named, path, "a resource control policy is for everybody: the principal must be *")
		return
	}
	for _, m := range named.Members {
		p.texts(m.Value, path, func(n node) string {
			s.principals.refs = append(s.principals.refs, PrincipalRef{Type: m.Name, Value: n.Text})
			s.principals.places = append(s.principals.places, place{n.Off, n.End})
			return s.principals.add(m.Name, n.Text)
		})
	}
	if s.notPrincipal && s.effect == Deny && s.principals.everyone {
		p.fault(named, path, "* exempts everybody, so that the statement denies nobody")
	}
}

func (p *parser) actions(s *statement, n node, elements map[string]node, path string) {
	list, name := p.either(n, elements, path, "Action", s.identity)
	if list.Kind == noNode {
		return
	}
	if s.notAction = name == "NotAction"; s.notAction {
		s.initials = anyInitial
	}
	p.texts(list, path+name, func(n node) string {
		a, ok := parseAction(n.Text)
		s.actions = append(s.actions, a)
		s.initials |= a.initials
		return unless(ok, "must be * or a service and a name, such as kms:Decrypt")
	})
}

func (p *parser) resources(s *statement, n node, elements map[string]node, path string) {
	list, name := p.either(n, elements, path, "Resource", s.identity)
	if list.Kind == noNode {
		return
	}
	s.notResource = name == "NotResource"
	p.texts(list, path+name, func(n node) string {
		r, message := parseResource(n.Text, p.variables(), p.doc.kind != KeyPolicy)
		s.resources = append(s.resources, r)
		s.everyResource = s.everyResource || r.every && !s.notResource
		return message
	})
}

func (p *parser) variables() bool { return p.doc.version == Version2012 }

// either returns the element that stands under name or under Not and name, and which of the two; no node if neither does.
func (p *parser) either(n node, elements map[string]node, path, name string, required bool) (node, string) {
	plain, not := elements[name], elements["Not"+name]
	switch {
	case plain.Kind != noNode && not.Kind != noNode:
		p.fault(not, path+"Not"+name, "cannot stand beside "+name)
	case not.Kind != noNode:
		return not, "Not" + name
	case plain.Kind == noNode && required:
		p.fault(n, path+name, "is missing")
	}
	return plain, name
}

func (p *parser) conditions(s *statement, block node, path string) {
	if block.Kind != objectNode {
		p.fault(block, path, "must be an object")
		return
	}
	for _, m := range block.Members {
		op, compare, ok := parseOperator(m.Name)
		if !ok {
			p.faultAt(m.Off, path, "unknown operator; names are compared with case")
			continue
		}
		path := path + "." + m.Name
		if m.Value.Kind != objectNode || len(m.Value.Members) == 0 {
			p.fault(m.Value, path, "must be an object with at least one condition key")
			continue
		}
		seen := map[Key]bool{}
		for _, m := range m.Value.Members {
			key, ok := parseKey(m.Name)
			switch {
			case !ok:
				p.faultAt(m.Off, path, "malformed condition key")
			case seen[key.folded()]:
				p.faultAt(m.Off, path, "condition key appears twice; keys are compared without case")
			case p.doc.kind == KeyPolicy && op.Set == ForAllValues && overlyPermissive[key.Name]:
				p.faultAt(m.Off, path, "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key "+
					"matches requests without the key or with an empty value")
			}
			seen[key.folded()] = true
			c := condition{operator: op, comparison: compare, key: key, name: m.Name}
			p.values(m.Value, path, func(n node) string { return c.add(n.Text, p.variables()) })
			s.conditions = append(s.conditions, c)
		}
	}
}

// overlyPermissive are the keys with a free part that AWS KMS refuses under ForAllValues, by their fixed part: they have a single value, and whoever leaves it out
// meets the condition.
var overlyPermissive = map[string]bool{"kms:encryptioncontext": true, "aws:requesttag": true}

// texts hands add the string that n is or each of those in the list that it is, and notes what add finds wrong.
func (p *parser) texts(n node, path string, add func(node) string) {
	p.values(n, path, func(n node) string {
		if n.Kind != stringNode {
			return "must be a string or a list of strings"
		}
		return add(n)
	})
}

// values is texts for values that may also be numbers and booleans.
func (p *parser) values(n node, path string, add func(node) string) {
	if n.Kind == listNode && len(n.Items) == 0 {
		p.fault(n, path, "must not be empty")
	}
	for _, n := range listOf(n) {
		message := "must be a value or a list of values"
		switch n.Kind {
		case stringNode, numberNode, boolNode:
			message = add(n)
		}
		if message != "" {
			p.fault(n, path, message)
		}
	}
}

// listOf returns what n holds, or n alone if it is no list.
func listOf(n node) []node {
	if n.Kind == listNode {
		return n.Items
	}
	return []node{n}
}

// elements returns the members of an object whose names are known, or nil if n is none.
func (p *parser) elements(n node, path string, known ...string) map[string]node {
	if n.Kind != objectNode {
		p.fault(n, path, "must be an object")
		return nil
	}
	elements := make(map[string]node, len(n.Members))
	for _, m := range n.Members {
		if !slices.Contains(known, m.Name) {
			p.faultAt(m.Off, path, "unknown element; names are compared with case")
			continue
		}
		elements[m.Name] = m.Value
	}
	return elements
}
