package identities

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/internal/strictjson"
	"github.com/claviger/kms/policy"
)

// An inventory is what the sources say, as far as it was read. What refers to something else is looked up when all of them were.
type inventory struct {
	before    *state // what is the same as before stays what it was
	entities  []*entity
	accounts  map[string]*account
	policies  map[string]*managedPolicy // by ARN
	documents map[documentKey]*kms.PolicyDocument

	// What must not come twice.
	arns  map[string]*entity
	ids   map[string]*entity
	bases map[base]*entity
}

// A base is a name as IAM takes it: without path, and without regard to case.
type base struct{ account, kind, folded string }

// An entity is a user, a group or a role.
type entity struct {
	spot
	name
	kind     string
	id       string
	inline   []*kms.PolicyDocument
	attached []reference // to policies
	groups   []reference
	boundary []reference // to a policy: one, or none
	tags     []kms.Tag
	seen     map[string]bool // what the entity has, and must not have twice
}

// A reference is the name of something that must be among the sources too.
type reference struct {
	spot
	to string
}

// A managedPolicy is a policy with an ARN, and its default version.
type managedPolicy struct {
	spot
	document *kms.PolicyDocument
}

// An account is an account, wherever it is named first.
type account struct {
	spot
	partition string // of the users, groups and roles; empty if there are none yet
	isListed  bool   // among Accounts
	is        *kms.Account
}

func newInventory(before *state) *inventory {
	return &inventory{
		before: before, accounts: map[string]*account{}, policies: map[string]*managedPolicy{}, documents: map[documentKey]*kms.PolicyDocument{},
		arns: map[string]*entity{}, ids: map[string]*entity{}, bases: map[base]*entity{},
	}
}

// limits bound what reading a source may cost: some 700 MB at worst. A file of maxFile bytes that is indented has fewer values.
var limits = strictjson.Limits{Depth: 32, Values: 1 << 21}

// read adds what a source says.
func (in *inventory) read(src *source) error {
	v, fault := strictjson.Read(src.text, limits)
	if fault != nil {
		return spot{source: src, Value: strictjson.Value{Off: fault.Off}}.fault("%s", fault.Message)
	}
	top := spot{source: src, Value: v}
	incomplete := func(s spot) error { return s.fault("the export is incomplete: more pages follow") }
	return top.members(map[string]reader{
		"UserDetailList":  each(func(s spot) error { return in.entity(s, "User") }),
		"GroupDetailList": each(func(s spot) error { return in.entity(s, "Group") }),
		"RoleDetailList":  each(func(s spot) error { return in.entity(s, "Role") }),
		"Policies":        each(in.policy),
		"Accounts":        each(in.account),
		"NextToken":       incomplete,
		"IsTruncated": func(s spot) error {
			if s.Kind == strictjson.Bool && s.Text == "true" {
				return incomplete(s)
			}
			return skip(strictjson.Bool)(s)
		},
		"Marker": func(s spot) error {
			if top.member("IsTruncated").Kind == strictjson.None { // else that says it
				return incomplete(s)
			}
			return skip(strictjson.String)(s)
		},
	})
}

var date = skip(strictjson.String, strictjson.Number)

// entity reads a user, a group or a role; kind is what the names of its members begin with.
func (in *inventory) entity(s spot, kind string) error {
	e := &entity{kind: strings.ToLower(kind), seen: map[string]bool{}}
	var err error
	if e.name, err = s.named("Arn", e.kind); err != nil {
		return err
	}
	s.owner, s.path = e.kind+" "+e.arn, ""
	e.spot = s.place()
	readers := map[string]reader{
		"Arn": done, "Path": same(e.name.path), kind + "Name": same(e.base), kind + "Id": e.readID, "CreateDate": date,
		"AttachedManagedPolicies": each(func(s spot) error { return e.refer(s, &e.attached, "PolicyArn") }),
		kind + "PolicyList":       each(func(s spot) error { return e.readInline(in, s) }),
	}
	if kind != "Group" {
		readers["PermissionsBoundary"] = func(s spot) error { return e.refer(s, &e.boundary, "PermissionsBoundaryArn") }
		readers["Tags"] = each(e.readTag)
	}
	switch kind {
	case "User":
		readers["GroupList"] = each(e.readGroup)
	case "Role":
		readers["AssumeRolePolicyDocument"] = skip(strictjson.Object, strictjson.String)
		readers["InstanceProfileList"] = skip(strictjson.List)
		readers["RoleLastUsed"] = skip(strictjson.Object)
	}
	if err := s.members(readers); err != nil {
		return err
	}
	return in.add(e)
}

// uniqueID is the alphabet of unique ids. A colon, above all, must not be in one: aws:userid puts it between a role's id and a session's name.
var uniqueID = regexp.MustCompile(`^\w{1,128}$`)

func (e *entity) readID(s spot) (err error) {
	if e.id, err = s.str(); err == nil && !uniqueID.MatchString(e.id) {
		err = s.fault("must be 1 to 128 letters and digits")
	}
	return err
}

// once refuses what an entity has already.
func (e *entity) once(s spot, what, name string) error {
	if e.seen[what+name] {
		return s.fault("names %s %.100q a second time", what, name)
	}
	e.seen[what+name] = true
	return nil
}

func (e *entity) readInline(in *inventory, s spot) error {
	var document *kms.PolicyDocument
	var called string
	err := s.members(map[string]reader{
		"PolicyName":     text(&called),
		"PolicyDocument": func(s spot) (err error) { document, err = in.document(s, policy.IdentityPolicy); return err },
	})
	switch {
	case err != nil:
		return err
	case document == nil:
		return s.fault("has no PolicyDocument")
	case called != "":
		err = e.once(s, "the policy", called)
	}
	e.inline = append(e.inline, document)
	return err
}

// refer reads the reference to a policy that stands under a name.
func (e *entity) refer(s spot, to *[]reference, member string) error {
	n, err := s.named(member, "policy")
	if err != nil {
		return err
	}
	readers := map[string]reader{member: done, "PolicyName": same(n.base)}
	if to == &e.boundary {
		readers = map[string]reader{member: done, "PermissionsBoundaryType": boundaryType}
	}
	if err := s.members(readers); err != nil {
		return err
	}
	at := s.member(member)
	if n.partition != e.partition || n.account != e.account && n.account != awsAccount {
		return at.fault("%q is a policy of another account", n.arn)
	}
	*to = append(*to, reference{at, n.arn})
	if to == &e.boundary {
		return nil
	}
	return e.once(at, "the policy", n.arn)
}

// boundaryType takes both of the words that there are for the one type.
func boundaryType(s spot) error {
	got, err := s.str()
	if err == nil && got != "Policy" && got != "PermissionsBoundaryPolicy" {
		err = s.fault("must be Policy or PermissionsBoundaryPolicy")
	}
	return err
}

func (e *entity) readGroup(s spot) error {
	var group string
	if err := text(&group)(s); err != nil {
		return err
	}
	e.groups = append(e.groups, reference{s, group})
	return e.once(s, "the group", group)
}

// Limits of tags, in characters, and how many there may be: 50 of the account's own, and those that services add.
const (
	maxTags     = 128
	maxTagKey   = 128
	maxTagValue = 256
)

func (e *entity) readTag(s spot) error {
	var t kms.Tag
	value := s.member("Value")
	err := s.members(map[string]reader{"Key": text(&t.Key), "Value": func(s spot) (err error) { t.Value, err = s.str(); return err }})
	switch {
	case err != nil:
		return err
	case t.Key == "" || value.Kind == strictjson.None:
		return s.fault("must have a Key and a Value")
	case utf8.RuneCountInString(t.Key) > maxTagKey || utf8.RuneCountInString(t.Value) > maxTagValue:
		return s.fault("a key has up to %d characters, and a value %d", maxTagKey, maxTagValue)
	case len(e.tags) == maxTags:
		return s.fault("more than %d tags", maxTags)
	case slices.ContainsFunc(e.tags, func(o kms.Tag) bool { return strings.EqualFold(o.Key, t.Key) }):
		return s.fault("another tag has the key %.100q; keys are compared without case", t.Key)
	}
	e.tags = append(e.tags, t)
	return nil
}

// policy reads a managed policy.
func (in *inventory) policy(s spot) error {
	n, err := s.named("Arn", "policy")
	if err != nil {
		return err
	}
	s.owner, s.path = "policy "+n.arn, ""
	var byID string
	var versions []*version
	number := skip(strictjson.Number)
	err = s.members(map[string]reader{
		"Arn": done, "Path": same(n.path), "PolicyName": same(n.base), "PolicyId": skip(strictjson.String), "CreateDate": date, "UpdateDate": date,
		"Description": skip(strictjson.String), "AttachmentCount": number, "PermissionsBoundaryUsageCount": number, "IsAttachable": skip(strictjson.Bool),
		"DefaultVersionId": text(&byID),
		"PolicyVersionList": each(func(s spot) error {
			v, err := readVersion(s)
			if err == nil && v.id != "" && slices.ContainsFunc(versions, func(o *version) bool { return o.id == v.id }) {
				err = s.fault("another version has the same VersionId")
			}
			versions = append(versions, v)
			return err
		}),
	})
	if err != nil {
		return err
	}
	counts, message := defaultVersion(versions, byID)
	if counts == nil {
		return s.fault("%s", message)
	}
	p := &managedPolicy{spot: s.place()}
	if p.document, err = in.document(counts.document, policy.IdentityPolicy); err != nil {
		return err
	}
	if other := in.policies[n.arn]; other != nil {
		switch {
		case other.source == s.source || n.account != awsAccount:
			return s.fault("stands at %s already", other.where())
		case other.document != p.document: // every account's export has those that it uses
			return s.fault("is another one at %s: export the accounts at the same time", other.where())
		}
	}
	in.policies[n.arn] = p
	return nil
}

// A version is one of a managed policy.
type version struct {
	id        string
	isDefault strictjson.Value
	document  spot
}

// readVersion reads a version, but not its document: those that do not count are often old ones that nobody would write so today.
func readVersion(s spot) (*version, error) {
	v := &version{}
	err := s.members(map[string]reader{
		"VersionId": text(&v.id), "CreateDate": date,
		"IsDefaultVersion": func(s spot) error { v.isDefault = s.Value; return skip(strictjson.Bool)(s) },
		"Document":         func(s spot) error { v.document = s; return skip(strictjson.Object, strictjson.String)(s) },
	})
	if err == nil && v.document.Kind == strictjson.None {
		err = s.fault("has no Document")
	}
	return v, err
}

// defaultVersion returns the version that counts: the one that is said to, or the only one. All that is said must agree; otherwise it returns what is wrong.
func defaultVersion(versions []*version, byID string) (counts *version, message string) {
	for _, v := range versions {
		said := v.isDefault.Text == "true" || byID != "" && v.id == byID || len(versions) == 1 && byID == "" && v.isDefault.Kind == strictjson.None
		switch {
		case said && (counts != nil || v.isDefault.Text == "false" || byID != "" && v.id != byID):
			return nil, "DefaultVersionId and IsDefaultVersion do not name one version"
		case said:
			counts = v
		}
	}
	return counts, "has no default version"
}

// account reads what else there is to say of an account.
func (in *inventory) account(s spot) error {
	a := new(kms.Account)
	levels := func(to *[][]*kms.PolicyDocument, kind policy.Kind) reader {
		read := each(func(s spot) error {
			var level []*kms.PolicyDocument
			err := each(func(s spot) error {
				doc, err := in.document(s, kind)
				level = append(level, doc)
				return err
			})(s)
			*to = append(*to, level)
			return err
		})
		return func(s spot) error {
			if s.Kind == strictjson.List && len(s.Items) == 0 { // it could as well mean that nothing is allowed
				return s.fault("has no levels: leave it out if nothing limits the account")
			}
			return read(s)
		}
	}
	paths := s.member("OrganizationPaths")
	err := s.members(map[string]reader{
		"Id": text(&a.ID), "OrganizationId": text(&a.OrganizationID),
		"OrganizationPaths": each(func(s spot) error {
			p, err := s.str()
			a.OrganizationPaths = append(a.OrganizationPaths, p)
			return err
		}),
		"ServiceControlPolicies":  levels(&a.ServiceControl, policy.IdentityPolicy),
		"ResourceControlPolicies": levels(&a.ResourceControl, policy.ResourceControlPolicy),
	})
	switch {
	case err != nil:
		return err
	case !arn.IsAccountID(a.ID):
		return s.fault("must have an Id of twelve digits")
	}
	for _, p := range a.OrganizationPaths {
		if a.OrganizationID == "" || !strings.HasPrefix(p, a.OrganizationID+"/") || !strings.HasSuffix(p, "/") {
			return paths.fault("each must begin with the OrganizationId and end with a slash, as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/")
		}
	}
	known := in.accounts[a.ID]
	if known == nil {
		known = &account{}
		in.accounts[a.ID] = known
	}
	if known.isListed {
		return s.fault("account %s stands at %s already", a.ID, known.where())
	}
	known.spot, known.is, known.isListed = s.place(), a, true
	return nil
}

// add adds an entity that is none of those that are there.
func (in *inventory) add(e *entity) error {
	if other := in.arns[e.arn]; other != nil {
		return e.fault("stands at %s already", other.where())
	}
	in.arns[e.arn] = e
	if e.id != "" {
		if other := in.ids[e.id]; other != nil {
			return e.fault("has the same unique id as the %s at %s", other.kind, other.where())
		}
		in.ids[e.id] = e
	}
	b := base{e.account, e.kind, strings.ToLower(e.base)}
	if other := in.bases[b]; other != nil {
		return e.fault("has the same name as the %s at %s; names are compared without path and without case", other.kind, other.where())
	}
	in.bases[b] = e
	a := in.accounts[e.account]
	if a == nil {
		a = &account{is: &kms.Account{ID: e.account}}
		in.accounts[e.account] = a
	}
	if a.partition != "" && a.partition != e.partition {
		return e.fault("others of its account are in the partition %s", a.partition)
	}
	a.partition = e.partition
	in.entities = append(in.entities, e)
	return nil
}

// state looks up what everybody refers to, and returns what the sources say together.
func (in *inventory) state() (*state, error) {
	next := &state{identities: map[string]*kms.Identity{}, accounts: map[string]*kms.Account{}, documents: in.documents}
	for _, e := range in.entities {
		i, err := in.identity(e)
		if err != nil {
			return nil, err
		}
		if e.kind == "group" {
			continue
		}
		if was := in.before.identities[e.arn]; was != nil && sameIdentity(was, i) {
			i = was
		}
		next.identities[e.arn] = i
	}
	for id, a := range in.accounts {
		now := a.is
		if was := in.before.accounts[id]; was != nil && sameAccount(was, now) {
			now = was
		}
		next.accounts[id] = now
	}
	for _, arn := range slices.Sorted(maps.Keys(next.identities)) {
		next.all = append(next.all, next.identities[arn])
	}
	return next, nil
}

// identity returns an entity with all that it refers to. Of a group, which is no identity, that is still to be checked.
func (in *inventory) identity(e *entity) (*kms.Identity, error) {
	i := &kms.Identity{ARN: e.arn, ID: e.id, Tags: e.tags}
	policies, err := in.policiesOf(e)
	if err != nil {
		return nil, err
	}
	i.Policies = policies
	for _, r := range e.groups {
		group := in.bases[base{e.account, "group", strings.ToLower(r.to)}]
		if group == nil || group.base != r.to {
			return nil, r.fault("there is no group %.100q in the account", r.to)
		}
		if policies, err = in.policiesOf(group); err != nil {
			return nil, err
		}
		i.Policies = append(i.Policies, policies...)
	}
	for _, r := range e.boundary {
		if i.Boundary, err = in.lookup(r); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// policiesOf returns the policies that are an entity's own.
func (in *inventory) policiesOf(e *entity) ([]*kms.PolicyDocument, error) {
	all := slices.Clone(e.inline)
	for _, r := range e.attached {
		doc, err := in.lookup(r)
		if err != nil {
			return nil, err
		}
		all = append(all, doc)
	}
	return all, nil
}

func (in *inventory) lookup(r reference) (*kms.PolicyDocument, error) {
	p := in.policies[r.to]
	if p == nil {
		return nil, r.fault("%q is not among Policies", r.to)
	}
	return p.document, nil
}
