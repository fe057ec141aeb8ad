package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A Severity tells how bad a [Finding] is.
type Severity uint8

const (
	Error   Severity = iota // [Parse] refuses the document
	Warning                 // the document does less, or more, than its author is likely to think
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// A Finding is something that is wrong with a document, or likely to be. Like a [SyntaxError] it never repeats the document.
type Finding struct {
	Severity     Severity
	Line, Column int    // of the token that is meant, from 1; a column is a character
	Path         string // of the element, as in a [SyntaxError]
	Message      string
}

// String reads "line 3, column 14: warning: Statement[1].NotAction: with Allow allows every other action, of every service".
func (f Finding) String() string {
	if f.Path == "" {
		return fmt.Sprintf("line %d, column %d: %s: %s", f.Line, f.Column, f.Severity, f.Message)
	}
	return fmt.Sprintf("line %d, column %d: %s: %s: %s", f.Line, f.Column, f.Severity, f.Path, f.Message)
}

// maxFindings is how many findings Lint returns at most.
const maxFindings = 1000

// Lint tells what is wrong with a document of the given kind, in the order of the text: all for which [Parse] would refuse it, so that there is an [Error] exactly
// if it does, and warnings. A text that is not JSON has the one fault at which reading it ends. Statements that have faults get no warnings, and what no single
// statement is to blame for, such as that nobody could change the policy, is told only of documents that have none.
//
// Unlike the rest of the package Lint knows the actions, resources and condition keys of AWS KMS; those of other services it does not judge. It returns at most 1000
// findings, faults first, and takes time in proportion to the text, which may have 128 KiB.
//
// Warned of are, in documents of any kind: a missing Version; policy variables in a document whose Version has none; actions and condition keys that do not exist;
// Allow with NotAction or NotResource, and Deny with NotPrincipal; an ARN of fewer than six parts, or with an early variable, where it covers nothing; a multivalued condition key without
// ForAllValues or ForAnyValue; ForAllValues in an Allow without a Null condition on the same key or IfExists, since a request without the key meets it. In key policies
// also: statements without Action or Resource, and actions and resources that such a policy has no say over; an Allow for everybody; that nobody could change the policy,
// or not without meeting conditions; that no account is allowed anything, so that identity policies and the root user have no power. In identity policies also: an alias
// as resource of actions on keys, since it never stands for its key, and actions without a key whose resource is not "*".
//
// An Allow for everybody is one whose principal is "*" and whose conditions do not tell who asks. Those tell it that compare, with an operator that is not negated and that
// a missing key does not meet, one of aws:PrincipalAccount, aws:PrincipalArn, aws:PrincipalOrgID, aws:PrincipalOrgPaths, aws:SourceAccount, aws:SourceArn, aws:SourceIp,
// aws:SourceOrgID, aws:SourceVpc, aws:SourceVpce, aws:userid and kms:CallerAccount with what not everybody has. A condition on aws:PrincipalTag/…, aws:username or
// kms:ViaService, or on an ARN of any account, leaves a warning of its own: every account can give its users such a name or tag.
func Lint(text string, kind Kind) []Finding {
	root, err := readJSON(text)
	if err != nil {
		f := err.(*SyntaxError)
		return []Finding{{Error, f.Line, f.Column, f.Path, f.Message}}
	}
	p := newParser(text, kind, maxFindings)
	p.document(root)
	l := &linter{read: p}
	for i := range p.doc.statements {
		l.statement(&p.doc.statements[i], &p.sources[i])
	}
	if p.met == 0 {
		l.document(root)
	}
	return l.findings()
}

// A linter judges what a parser has read.
type linter struct {
	read     *parser
	warnings []fault
}

func (l *linter) warnAt(off int, path, message string) {
	if len(l.read.faults)+len(l.warnings) < maxFindings {
		l.warnings = append(l.warnings, fault{off, path, message})
	}
}

func (l *linter) warn(n node, path, message string) { l.warnAt(n.Off, path, message) }

// findings returns faults and warnings by where they are.
func (l *linter) findings() []Finding {
	type located struct {
		fault
		severity Severity
	}
	var all []located
	for _, f := range l.read.faults {
		all = append(all, located{f, Error})
	}
	for _, f := range l.warnings {
		all = append(all, located{f, Warning})
	}
	slices.SortStableFunc(all, func(a, b located) int { return a.off - b.off })
	var found []Finding
	at, off := start, 0
	for _, f := range all {
		at.advance(l.read.doc.text[off:f.off])
		off = f.off
		found = append(found, Finding{f.severity, at.line, at.column, f.path, f.message})
	}
	return found
}

// document judges what its statements say together.
func (l *linter) document(root node) {
	list := root
	version := false
	for _, m := range root.Members {
		switch m.Name {
		case "Version":
			version = true
		case "Statement":
			list = m.Value
		}
	}
	if !version {
		l.warn(root, "Version", "is missing: without it this is 2008-10-17, which has no policy variables")
	}
	if l.read.doc.kind != KeyPolicy {
		return
	}
	var account, changeable, surely bool
	for i := range l.read.doc.statements {
		s := &l.read.doc.statements[i]
		if s.actions == nil || !s.meetsKeys() {
			continue
		}
		change := s.coversAction("kms:PutKeyPolicy", initialOf("kms:PutKeyPolicy"))
		if s.effect == Deny {
			if change && s.principals.everyone && len(s.conditions) == 0 && s.everyResource {
				l.warn(l.read.sources[i].node, strings.TrimSuffix(l.read.sources[i].path, "."), "denies everybody to change this policy, and so to take this back")
			}
			continue
		}
		account = account || s.principals.everyone || len(s.principals.accounts) > 0
		if change && (s.principals.everyone || len(s.principals.accounts)+len(s.principals.names)+len(s.principals.providers) > 0) {
			changeable = true
			surely = surely || len(s.conditions) == 0
		}
	}
	switch {
	case !changeable:
		l.warn(list, "Statement", "nobody could change this policy: no statement allows a caller kms:PutKeyPolicy")
	case !surely:
		l.warn(list, "Statement", "only who meets conditions could change this policy: every statement that allows kms:PutKeyPolicy has some")
	}
	if !account {
		l.warn(list, "Statement", "no statement allows an account anything: identity policies and the root user have no power over the key")
	}
}

func (l *linter) statement(s *statement, from *source) {
	l.principals(s, from)
	l.actions(s, from)
	l.resources(s, from)
	l.conditions(s, from)
}

func (l *linter) principals(s *statement, from *source) {
	if s.notPrincipal {
		l.warn(from.elements["NotPrincipal"], from.path+"NotPrincipal", "exempts only callers whose every name it lists: the account, and the user or the role and its session")
		return
	}
	if l.read.doc.kind != KeyPolicy || s.effect == Deny || !s.principals.everyone {
		return
	}
	who := everybody
	nulls := s.nulls()
	for i := range s.conditions {
		who = max(who, s.conditions[i].crowd(nulls))
	}
	element := from.elements["Principal"]
	for _, m := range element.Members {
		for _, n := range listOf(m.Value) {
			if n.Text == "*" {
				element = n
			}
		}
	}
	switch {
	case who == insiders:
	case who == namesakes:
		l.warn(element, from.path+"Principal", "allows everybody, of every account: what the conditions tell of who asks, every account chooses for itself")
	case len(s.conditions) > 0:
		l.warn(element, from.path+"Principal", "allows everybody, of every account: the conditions do not tell who asks")
	default:
		l.warn(element, from.path+"Principal", "allows everybody, of every account")
	}
}

// crowd returns who meets the condition, as far as its key can tell.
func (c *condition) crowd(nulls map[Key]bool) crowd {
	who := crowds[c.key.Name]
	passing := c.operator.IfExists || c.operator.Set == ForAllValues && !nulls[c.key.folded()] // of a request without the key
	if c.negated || passing || c.patterns == nil && c.ranges == nil {
		return everybody
	}
	for _, r := range c.ranges {
		if r.Bits() == 0 {
			return everybody
		}
	}
	for i := range c.patterns {
		p := &c.patterns[i]
		if slices.ContainsFunc(p.tokens, func(t token) bool { return t.kind == variable && !strings.HasPrefix(t.key.Name, "aws:resource") }) {
			return everybody // what a request brings is compared with what it brings too
		}
		if c.family != globText && c.family != arnText {
			continue
		}
		if strings.Trim(strings.TrimPrefix(c.want[i], "arn"), ":*?") == "" {
			return everybody
		}
		if strings.HasSuffix(c.key.Name, "arn") {
			if parts := strings.SplitN(c.want[i], ":", 6); len(parts) < 5 || strings.ContainsAny(parts[4], "*?") {
				who = min(who, namesakes)
			}
		}
	}
	return who
}

// nulls are the keys that a condition of the statement requires to be present.
func (s *statement) nulls() map[Key]bool {
	nulls := map[Key]bool{}
	for i := range s.conditions {
		if c := &s.conditions[i]; c.family == presence && !slices.Contains(c.absent, true) {
			nulls[c.key.folded()] = true
		}
	}
	return nulls
}

func (l *linter) actions(s *statement, from *source) {
	path := from.path + "Action"
	list := from.elements["Action"]
	if s.notAction {
		path = from.path + "NotAction"
		list = from.elements["NotAction"]
		if s.effect == Allow {
			l.warn(list, path, "with Allow allows every other action, of every service")
		}
	}
	if s.actions == nil {
		l.warn(from.node, path, "is missing, so that the statement does nothing")
		return
	}
	for i, n := range listOf(list) {
		a := &s.actions[i]
		if n.Text == "*" {
			continue
		}
		if vendor, _, _ := strings.Cut(a.text, ":"); !strings.EqualFold(vendor, "kms") {
			if l.read.doc.kind == KeyPolicy && !s.notAction {
				l.warn(n, path, "another service's action, over which a key policy has no say")
			}
			continue
		}
		found, keyless, retire := 0, 0, 0
		for _, name := range permissions {
			switch {
			case !a.matches(name):
				continue
			case name == "kms:retiregrant":
				retire++
			case keylessPermissions[name]:
				keyless++
			}
			found++
		}
		switch {
		case found == 0:
			l.warn(n, path, "unknown action: AWS KMS has none that this covers")
		case s.notAction:
		case l.read.doc.kind == KeyPolicy && found == keyless+retire:
			l.warn(n, path, "an action over which a key policy has no say")
		case l.read.doc.kind == ResourceControlPolicy && found == retire:
			l.warn(n, path, "an action over which a resource control policy has no say")
		case found == keyless && !s.everyResource && !s.notResource:
			l.warn(n, path, "an action that is about no one key: its resource must be *")
		}
	}
}

func (l *linter) resources(s *statement, from *source) {
	path := from.path + "Resource"
	list := from.elements["Resource"]
	if s.notResource {
		path = from.path + "NotResource"
		list = from.elements["NotResource"]
		if s.effect == Allow {
			l.warn(list, path, "with Allow allows everything that it does not name")
		}
	}
	if s.resources == nil {
		l.warn(from.node, path, "is missing, so that the statement does nothing")
		return
	}
	aliases := slices.ContainsFunc(aliasPermissions, func(name string) bool { return s.coversAction(name, initialOf(name)) })
	for i, n := range listOf(list) {
		r := &s.resources[i]
		if r.every {
			continue
		}
		l.variables(n, path)
		wide := s.wide()
		switch alias := r.meets(everyAlias, wide) && !r.meets(everyKey, wide); {
		case !wide && r.dubious:
			l.warn(n, path, "has a policy variable before the fifth colon of an ARN, and so covers nothing")
		case !wide && strings.Count(n.Text, ":") < 5:
			l.warn(n, path, "has fewer than the six parts of an ARN, and so covers nothing")
		case alias && l.read.doc.kind == KeyPolicy, alias && !aliases:
			l.warn(n, path, "an alias never stands for its key, so that this covers none")
		case l.read.doc.kind == KeyPolicy && !r.meets(everyKey, wide):
			l.warn(n, path, "is neither * nor a key, so that it covers nothing that a key policy has a say over")
		}
	}
}

// meetsKeys reports whether the statement may be about keys.
func (s *statement) meetsKeys() bool {
	return s.everyResource || s.resources != nil && s.notResource || slices.ContainsFunc(s.resources, func(r resource) bool { return r.meets(everyKey, s.wide()) })
}

// meets reports whether some text matches both the resource and a pattern of six parts. It takes a variable for any text. wide is as for covers.
func (r *resource) meets(with string, wide bool) bool {
	var text strings.Builder
	for _, t := range r.tokens {
		switch t.kind {
		case literal:
			text.WriteString(t.text)
		case anyChar:
			text.WriteByte('?')
		default:
			text.WriteByte('*')
		}
	}
	if wide {
		return globsMeet(text.String(), with)
	}
	own, other := strings.SplitN(text.String(), ":", 6), strings.Split(with, ":")
	if len(own) < len(other) {
		return false
	}
	for i := range other {
		if !globsMeet(own[i], other[i]) {
			return false
		}
	}
	return true
}

// globsMeet reports whether some text matches both a and b, whose wildcards take no colon. It compares bytes.
func globsMeet(a, b string) bool {
	row, next := make([]bool, len(b)+1), make([]bool, len(b)+1) // whether what has been seen of a meets the first so many bytes of b
	row[0] = true
	for j := range len(b) {
		row[j+1] = row[j] && b[j] == '*'
	}
	for i := range len(a) {
		next[0] = row[0] && a[i] == '*'
		for j := range len(b) {
			switch {
			case a[i] == '*': // it takes nothing, or what the other has
				next[j+1] = row[j+1] || next[j]
			case b[j] == '*':
				next[j+1] = row[j+1] && a[i] != ':' || next[j]
			default:
				next[j+1] = row[j] && (a[i] == b[j] || a[i] == '?' || b[j] == '?' && a[i] != ':')
			}
		}
		row, next = next, row
	}
	return row[len(b)]
}

func (l *linter) conditions(s *statement, from *source) {
	nulls := s.nulls()
	i := 0
	for _, m := range from.elements["Condition"].Members {
		path := from.path + "Condition." + m.Name
		for _, m := range m.Value.Members {
			c := &s.conditions[i]
			i++
			form := c.key.form()
			if form == unknownKey && c.key.judged() {
				l.warnAt(m.Off, path, "unknown condition key, which no request has")
			}
			if form == severalKey && c.operator.Set == NoSet && c.family != presence {
				l.warnAt(m.Off, path, "the key may have several values: without ForAllValues or ForAnyValue no Allow meets this, and every Deny")
			}
			if s.effect == Allow && c.operator.Set == ForAllValues && !c.operator.IfExists && !nulls[c.key.folded()] {
				l.warnAt(m.Off, path, "a request without the key meets this; a Null condition on the key, of value false, would keep it out")
			}
			for _, n := range listOf(m.Value) {
				l.variables(n, path)
			}
		}
	}
}

// variables warns of a policy variable that is none, in a text where it would be one in another version.
func (l *linter) variables(n node, path string) {
	if !l.read.variables() && strings.Contains(n.Text, "${") {
		l.warn(n, path, "is text and no policy variable: those need Version 2012-10-17")
	}
}
