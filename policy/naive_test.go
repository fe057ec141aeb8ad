package policy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/policy"
)

// This file is the language a second time: read with encoding/json, matched with regular expressions, math/big, net/netip and time, without a thought for
// speed. It takes only documents that Parse has accepted. Tests compare its verdicts with those of Evaluate.

// A naiveContext holds the values of a request by the full name of the key. Colons and slashes in names are not told apart.
type naiveContext map[string]naiveValue

type naiveValue struct {
	texts []string
	multi bool
	vague bool // two names of the request fold to the key
}

func (c naiveContext) get(name string) (naiveValue, bool) {
	for n, v := range c {
		if strings.EqualFold(strings.ReplaceAll(n, "/", ":"), strings.ReplaceAll(name, "/", ":")) && len(v.texts) > 0 {
			return v, true
		}
	}
	return naiveValue{}, false
}

// Lookup makes a naiveContext a policy.Context.
func (c naiveContext) Lookup(k policy.Key) policy.Value {
	name := k.Name
	if k.Part != "" {
		name += ":" + k.Part
	}
	v, ok := c.get(name)
	switch {
	case !ok:
		return policy.Value{}
	case v.vague:
		return policy.Ambiguous()
	case v.multi:
		return policy.Texts(v.texts)
	}
	return policy.Text(v.texts[0])
}

type naive struct {
	t     testing.TB
	r     *policy.Request
	ctx   naiveContext
	bound map[string]string // unique ids by ARN, as the document was bound to them
	v12   bool
}

// The truth of a comparison that cannot be made.
var unclear = new(bool)

func truth(b bool) *bool { return &b }

func naiveEvaluate(t testing.TB, d *policy.Document, bound map[string]string, r *policy.Request, ctx naiveContext) policy.Verdict {
	t.Helper()
	var doc struct {
		Version   string
		Id        string
		Statement json.RawMessage
	}
	decode(t, d.Text(), &doc)
	var statements []map[string]any
	if doc.Statement[0] == '{' {
		doc.Statement = slices.Concat([]byte("["), doc.Statement, []byte("]"))
	}
	decode(t, string(doc.Statement), &statements)
	n := &naive{t: t, r: r, ctx: ctx, bound: bound, v12: doc.Version == policy.Version2012}
	v := policy.Verdict{Deny: policy.None, Principal: policy.None, Role: policy.None, Everyone: policy.None, Account: policy.None, Identity: policy.None}
	set := func(field *policy.Index, i int) {
		if *field == policy.None {
			*field = policy.Index(i)
		}
	}
	for i, s := range statements {
		deny := s["Effect"] == "Deny"
		who := n.principals(s, deny, d.Kind() != policy.KeyPolicy)
		if len(who) == 0 || !n.action(s) || !n.resource(s, deny) || !n.conditions(s, deny) {
			continue
		}
		if deny {
			set(&v.Deny, i)
			continue
		}
		for way, field := range map[string]*policy.Index{
			"principal": &v.Principal, "role": &v.Role, "everyone": &v.Everyone, "account": &v.Account, "identity": &v.Identity,
		} {
			if slices.Contains(who, way) {
				set(field, i)
			}
		}
	}
	return v
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatalf("encoding/json: %v in %s", err, text)
	}
}

// listOf returns the texts that v is or holds.
func listOf(v any) (all []string) {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, v := range v {
			all = append(all, listOf(v)...)
		}
	case string:
		all = []string{v}
	case json.Number:
		all = []string{v.String()}
	case bool:
		all = []string{strconv.FormatBool(v)}
	}
	return all
}

func (n *naive) principals(s map[string]any, deny, identity bool) (ways []string) {
	if identity {
		return []string{"identity"}
	}
	p := n.r.Principal
	known := slices.Contains([]policy.PrincipalType{policy.RootUser, policy.User, policy.AssumedRole, policy.FederatedUser, policy.Service}, p.Type)
	if !known {
		if deny {
			return []string{"nobody"}
		}
		return nil
	}
	element, negated := s["Principal"], false
	if element == nil {
		element, negated = s["NotPrincipal"], true
	}
	named, _ := element.(map[string]any)
	aws := listOf(named["AWS"])
	names := map[string][]string{"principal": {p.ARN}, "account": {p.Account}}
	if parts := strings.Split(p.ARN, ":"); len(parts) > 1 {
		names["account"] = append(names["account"], "arn:"+parts[1]+":iam::"+p.Account+":root")
	}
	switch p.Type {
	case policy.RootUser:
		delete(names, "principal")
	case policy.AssumedRole:
		names["role"] = []string{p.Role}
	case policy.FederatedUser:
		names["role"] = []string{p.User}
	case policy.Service:
		aws = listOf(named["Service"])
		names = map[string][]string{"principal": {p.ARN}}
	}
	// Of the names that the document is bound to, it is the id that counts. A Deny goes by the ARN all the same.
	person := map[policy.PrincipalType]string{policy.User: "principal", policy.AssumedRole: "role", policy.FederatedUser: "role"}[p.Type]
	listed := aws
	aws = nil
	for _, entry := range listed {
		if id := n.bound[entry]; id == "" || deny && !negated {
			aws = append(aws, entry)
		}
		if id := n.bound[entry]; id != "" && id == p.ID && person != "" {
			ways = append(ways, person)
		}
	}
	for way, names := range names {
		if slices.ContainsFunc(names, func(name string) bool { return name != "" && slices.Contains(aws, name) }) {
			ways = append(ways, way)
		}
	}
	if p.Type == policy.AssumedRole && p.Provider != "" && slices.Contains(listOf(named["Federated"]), p.Provider) {
		ways = append(ways, "role")
	}
	if negated {
		need := map[policy.PrincipalType][]string{
			policy.RootUser: {"account"}, policy.User: {"account", "principal"}, policy.FederatedUser: {"account", "principal"}, policy.Service: {"principal"},
			policy.AssumedRole: {"account", "principal", "role"},
		}[p.Type]
		spared := !p.Boundary
		for _, way := range need {
			spared = spared && slices.Contains(ways, way)
		}
		if p.Type == policy.AssumedRole { // a provider is not the role
			spared = spared && slices.ContainsFunc(listed, func(entry string) bool {
				if id := n.bound[entry]; id != "" {
					return id == p.ID
				}
				return entry == p.Role
			})
		}
		if spared {
			return nil
		}
		return []string{"excluded"}
	}
	if (element == "*" || slices.Contains(listOf(named["AWS"]), "*")) && (p.Type != policy.Service || deny) {
		ways = append(ways, "everyone")
	}
	return ways
}

func (n *naive) action(s map[string]any) bool {
	matches := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool {
			return p == "*" || regexp.MustCompile(`(?is)^`+globExpression(p)+`$`).MatchString(n.r.Action)
		})
	}
	if list := listOf(s["NotAction"]); list != nil {
		return !matches(list)
	}
	return matches(listOf(s["Action"]))
}

func globExpression(p string) string {
	return strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(p))
}

func (n *naive) resource(s map[string]any, deny bool) bool {
	// covers gives the answer of one reading: the whole text as one, or part by part.
	covers := func(p string, whole bool) *bool {
		if p == "*" {
			return truth(true)
		}
		e := n.expression(p, true)
		if e == nil {
			return unclear
		}
		if whole {
			return truth(regexp.MustCompile(`(?s)^` + *e + `$`).MatchString(n.r.Resource))
		}
		return truth(n.partByPart(p, n.r.Resource) == yes)
	}
	if list := listOf(s["NotResource"]); list != nil {
		for _, p := range list {
			switch b := covers(p, !deny); {
			case b == unclear:
				// Evaluate only notices when it gets as far as the variable, but then nothing but a mismatch in front of it can differ.
				if !deny && n.reaches(p) {
					return false
				}
			case *b:
				return false
			}
		}
		return true
	}
	for _, p := range listOf(s["Resource"]) {
		if b := covers(p, deny); b != unclear && *b {
			return true
		}
	}
	return false
}

// reaches reports whether the text before a pattern's first variable without a value can match the beginning of the resource.
func (n *naive) reaches(p string) bool {
	for _, m := range variableExpression.FindAllStringIndex(p, -1) {
		if n.expression(p[m[0]:m[1]], true) == nil {
			e := n.expression(p[:m[0]], true)
			return regexp.MustCompile(`(?s)^` + *e).MatchString(n.r.Resource)
		}
	}
	return false
}

var variableExpression = regexp.MustCompile(`\$\{(?:([*?$])|([^,'}]*)(?:, *'([^']*)')?)\}`)

// expression turns a pattern into a regular expression with variables filled in as text; nil if one has no value.
func (n *naive) expression(p string, wild bool) *string {
	quote := regexp.QuoteMeta
	if wild {
		quote = globExpression
	}
	if !n.v12 {
		e := quote(p)
		return &e
	}
	var e strings.Builder
	rest := 0
	for _, m := range variableExpression.FindAllStringSubmatchIndex(p, -1) {
		e.WriteString(quote(p[rest:m[0]]))
		rest = m[1]
		if m[2] >= 0 {
			e.WriteString(regexp.QuoteMeta(p[m[2]:m[3]]))
			continue
		}
		v, ok := n.ctx.get(p[m[4]:m[5]])
		switch {
		case ok && !v.multi && !v.vague:
			e.WriteString(regexp.QuoteMeta(v.texts[0]))
		case m[6] >= 0:
			e.WriteString(regexp.QuoteMeta(p[m[6]:m[7]]))
		default:
			return nil
		}
	}
	e.WriteString(quote(p[rest:]))
	all := e.String()
	return &all
}

const (
	no = iota
	yes
	malformed // either side has fewer than six parts
)

// partByPart compares as ARNs: the six parts one by one. The expression may be cut at its colons, since neither quoting nor wildcards bring any in.
func (n *naive) partByPart(p, s string) int {
	values, e := strings.SplitN(s, ":", 6), n.expression(p, true)
	if len(values) < 6 {
		return malformed
	}
	if e == nil {
		return no
	}
	patterns := strings.SplitN(*e, ":", 6)
	if len(patterns) < 6 {
		return malformed
	}
	for i := range values {
		if !regexp.MustCompile(`(?s)^` + patterns[i] + `$`).MatchString(values[i]) {
			return no
		}
	}
	return yes
}

func (n *naive) conditions(s map[string]any, deny bool) bool {
	block, _ := s["Condition"].(map[string]any)
	for operator, keys := range block {
		for key, values := range keys.(map[string]any) {
			if !n.condition(operator, key, listOf(values), deny) {
				return false
			}
		}
	}
	return true
}

func (n *naive) condition(operator, key string, values []string, deny bool) bool {
	base, all := strings.CutPrefix(operator, "ForAllValues:")
	base, some := strings.CutPrefix(base, "ForAnyValue:")
	base, ifExists := strings.CutSuffix(base, "IfExists")
	negated := strings.Contains(base, "Not")
	v, present := n.ctx.get(key)
	if base == "Null" {
		return slices.Contains(values, strconv.FormatBool(!present))
	}
	if !present {
		switch {
		case all:
			return true
		case some:
			return ifExists && deny
		}
		return ifExists || negated
	}
	if v.vague {
		return deny
	}
	holds := func(s string) bool { return n.holds(base, s, values, negated, deny) }
	switch {
	case all:
		return !slices.ContainsFunc(v.texts, func(s string) bool { return !holds(s) })
	case some:
		return slices.ContainsFunc(v.texts, holds)
	case v.multi:
		return deny
	}
	return holds(v.texts[0])
}

func (n *naive) holds(base, s string, values []string, negated, deny bool) bool {
	found := truth(false)
	for _, p := range values {
		switch b := n.compare(base, s, p); {
		case b == unclear && found != unclear && !*found:
			found = unclear
		case b != unclear && *b:
			found = truth(true)
		}
	}
	if found == unclear {
		return negated && deny
	}
	return *found != negated
}

func (n *naive) compare(base, s, p string) *bool {
	switch {
	case strings.HasPrefix(base, "Numeric"):
		return ordered(base, "Numeric", naiveNumber(s), naiveNumber(p))
	case strings.HasPrefix(base, "Date"):
		return ordered(base, "Date", naiveInstant(s), naiveInstant(p))
	case strings.HasSuffix(base, "IpAddress"):
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return unclear
		}
		if !strings.Contains(p, "/") {
			p += map[bool]string{true: "/128", false: "/32"}[strings.Contains(p, ":")]
		}
		return truth(netip.MustParsePrefix(p).Contains(a.Unmap()))
	case strings.HasPrefix(base, "Arn"):
		switch n.partByPart(p, s) {
		case yes:
			return truth(true)
		case malformed:
			return unclear
		}
		return truth(false)
	case base == "Bool":
		return truth(s == p)
	case base == "BinaryEquals":
		want, _ := base64.StdEncoding.DecodeString(p)
		got, err := base64.StdEncoding.Strict().DecodeString(s)
		return truth(err == nil && bytes.Equal(want, got) && !strings.ContainsAny(s, "\r\n"))
	}
	e := n.expression(p, strings.HasSuffix(base, "Like"))
	if e == nil {
		return truth(false)
	}
	if strings.HasSuffix(base, "IgnoreCase") {
		return truth(regexp.MustCompile(`(?is)^` + *e + `$`).MatchString(s))
	}
	return truth(regexp.MustCompile(`(?s)^` + *e + `$`).MatchString(s))
}

func ordered(base, prefix string, a, b *big.Rat) *bool {
	if a == nil {
		return unclear
	}
	c := a.Cmp(b)
	return truth(map[string]bool{
		"Equals": c == 0, "NotEquals": c == 0, "LessThan": c < 0, "LessThanEquals": c <= 0, "GreaterThan": c > 0, "GreaterThanEquals": c >= 0,
	}[strings.TrimPrefix(base, prefix)])
}

var numberExpression = regexp.MustCompile(`^-?[0-9]+(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]+))?$`)

func naiveNumber(s string) *big.Rat {
	m := numberExpression.FindStringSubmatch(s)
	if m == nil {
		return nil
	}
	if m[1] != "" {
		if e, err := strconv.Atoi(m[1]); err != nil || e > 4096 || e < -4096 {
			return nil
		}
	}
	r, _ := new(big.Rat).SetString(s)
	return r
}

var (
	epochExpression = regexp.MustCompile(`^(?:-[0-9]{1,15}|[0-9]{1,3}|[0-9]{5,15})$`)
	dateExpression  = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]+))?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$`)
)

func naiveInstant(s string) *big.Rat {
	if epochExpression.MatchString(s) {
		r, _ := new(big.Rat).SetString(s)
		return r
	}
	fraction := new(big.Rat)
	if m := dateExpression.FindStringSubmatch(s); m != nil {
		if m[2] != "" {
			if strings.Count(m[1], ":") != 2 {
				return nil
			}
			fraction.SetString("0." + m[2])
		}
		s = m[1] + m[3]
	}
	if strings.ContainsAny(s, ".,") {
		return nil
	}
	for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if len(layout) > len("2006-01-02") && !dateExpression.MatchString(s) {
			continue
		}
		if t, err := time.Parse(layout, s); err == nil {
			return fraction.Add(fraction, new(big.Rat).SetInt64(t.Unix()))
		}
	}
	return nil
}
