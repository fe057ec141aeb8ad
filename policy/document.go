package policy

import (
	"iter"
	"slices"
	"strings"
)

// A Kind says which of the two grammars a document follows.
type Kind uint8

const (
	KeyPolicy      Kind = iota // attached to a resource: every statement names principals
	IdentityPolicy             // attached to a caller, or limiting one as boundaries, session and service control policies do: no statement names principals

	// ResourceControlPolicy limits what may be done with the resources of an account, whoever asks: every statement has the principal "*", and is matched
	// [ByIdentity], as it means everybody, services too.
	ResourceControlPolicy
)

// An Effect is what a statement does to the requests it matches. The zero Effect is Deny.
type Effect uint8

const (
	Deny Effect = iota
	Allow
)

// String returns the effect as policies spell it.
func (e Effect) String() string {
	if e == Allow {
		return "Allow"
	}
	return "Deny"
}

// The versions of the language. Policy variables are text in the older one, which is also that of a document without Version.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// A Document is a policy that [Parse] has accepted. It never changes, so that any number of goroutines may use it.
type Document struct {
	text       string
	version    string
	kind       Kind
	statements []statement
}

// A statement is one entry of a document. Where both forms of an element exist, the flag tells which the list is of.
type statement struct {
	initials      initials // that a covered action may have
	effect        Effect
	identity      bool // of an IdentityPolicy or a ResourceControlPolicy: it is about whoever asks
	notAction     bool
	notPrincipal  bool
	notResource   bool
	everyResource bool // Resource holds "*"
	contextual    bool // whether it matches may depend on the Context: it has conditions, or variables in what it compares the resource with

	actions    []action
	conditions []condition
	resources  []resource
	principals principals
	sid        string
}

// Text returns the text the document was parsed from.
func (d *Document) Text() string { return d.text }

// Version returns [Version2008] or [Version2012].
func (d *Document) Version() string { return d.version }

// Kind returns the kind the document was parsed as.
func (d *Document) Kind() Kind { return d.kind }

// Len returns the number of statements, which is at least one. They are numbered from 0.
func (d *Document) Len() int { return len(d.statements) }

// Sid returns the identifier of statement i; empty if it has none. It panics if there is no such statement.
func (d *Document) Sid(i Index) string { return d.statements[i].sid }

// Effect returns the effect of statement i. It panics if there is no such statement.
func (d *Document) Effect(i Index) Effect { return d.statements[i].effect }

// Bind returns the document with its users and roles bound to unique ids: unique gives the one of an ARN, or "" if it has none. An Allow covers a user or role that
// is bound by its id alone, so that another one of the same name gets nothing, and a Deny by its id or its ARN; see [Principal.ID]. The ARNs of sessions and federated
// users are not bound.
func (d *Document) Bind(unique func(arn string) (id string)) *Document {
	bound := *d
	bound.statements = slices.Clone(d.statements)
	for i := range bound.statements {
		p := &bound.statements[i].principals
		p.names = slices.Clone(p.names)
		for j := range p.names {
			if n := &p.names[j]; n.unique {
				n.id = unique(n.arn)
			}
		}
	}
	return &bound
}

// Rename returns the text of the document with other principals in the places of some: name gives the new one of each, or the same. What it gives must need no
// escapes in JSON.
func (d *Document) Rename(name func(PrincipalRef) string) string {
	var b strings.Builder
	done := 0
	for i := range d.statements {
		p := &d.statements[i].principals
		for j, ref := range p.refs {
			ref.Statement, ref.Negated = Index(i), d.statements[i].notPrincipal
			if to := name(ref); to != ref.Value {
				b.WriteString(d.text[done:p.places[j].off] + `"` + to + `"`)
				done = p.places[j].end
			}
		}
	}
	return b.String() + d.text[done:]
}

// A ConditionRef is a condition key under an operator, as [Document.Conditions] lists them.
type ConditionRef struct {
	Statement Index
	Operator  Operator
	Key       Key
}

// Conditions lists every condition key under its operator, in the order of the text. Some services refuse combinations that the language has.
func (d *Document) Conditions() iter.Seq[ConditionRef] {
	return func(yield func(ConditionRef) bool) {
		for i := range d.statements {
			for _, c := range d.statements[i].conditions {
				if !yield(ConditionRef{Statement: Index(i), Operator: c.operator, Key: c.key}) {
					return
				}
			}
		}
	}
}

// Principals lists every principal, in the order of the text. The language checks their shape; whether they exist is for the caller to find out.
func (d *Document) Principals() iter.Seq[PrincipalRef] {
	return func(yield func(PrincipalRef) bool) {
		for i := range d.statements {
			s := &d.statements[i]
			for _, ref := range s.principals.refs {
				ref.Statement, ref.Negated = Index(i), s.notPrincipal
				if !yield(ref) {
					return
				}
			}
		}
	}
}
