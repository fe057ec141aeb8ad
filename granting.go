package kms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// Limits of grants.
const (
	maxGrants           = 50_000 // on a key
	maxGrantName        = 256
	maxPrincipal        = 256
	maxConstraintPairs  = 8
	maxConstraintValue  = 384
	maxGrantIDLen       = 128
	mostGrantsOfPage    = 100
	usualGrantsOfPage   = 50
	sweptGrantsOfCommit = 20 // each is three changes at most
)

// The alphabets of names in requests.
var (
	namePattern      = regexp.MustCompile(`^[a-zA-Z0-9:/_-]+$`) // of aliases and grants
	principalPattern = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
)

// A CreateGrantInput says who is to be allowed what.
type CreateGrantInput struct {
	GranteePrincipal        string // the ARN of a user, role, session, federated user or root user, see [Keyring.PrincipalARN]; or
	GranteeServicePrincipal string // a service, which needs a SourceARN constraint and somebody who retires the grant

	RetiringPrincipal        string // who may retire the grant; empty for nobody but who has made it; or
	RetiringServicePrincipal string // a service

	Operations  []GrantOperation
	Constraints GrantConstraints

	// Name makes calls that are repeated harmless: while there is a grant of that name with the same parameters, it is returned instead of another one being made. With
	// other parameters another one is made, of the same name. It has up to 256 letters, digits, and any of ":/_-"; empty is no name.
	Name string
}

// A CreateGrantResult tells of a grant.
type CreateGrantResult struct {
	GrantID    string
	GrantToken string // for [Client.WithGrantTokens]; each call returns another one
}

var opCreateGrant = operation{
	name: "CreateGrant", across: true, changes: true, tokens: true,
	needs: []need{{action: actionCreateGrant, forms: keyForm, states: inEnabled}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		g := r.grant
		for _, p := range [][2]string{
			{"granteePrincipal", g.GranteePrincipal}, {"granteeServicePrincipal", g.GranteeServicePrincipal},
			{"retiringPrincipal", g.RetiringPrincipal}, {"retiringServicePrincipal", g.RetiringServicePrincipal}, {"name", g.Name},
		} {
			if p[1] != "" {
				e.Request = append(e.Request, slog.String(p[0], p[1]))
			}
		}
		e.Request = append(e.Request, slog.Any("operations", r.grantOperations()))
		var constraints []slog.Attr
		if kind := g.Constraints.constraintType(); kind != "" {
			name := strings.ToLower(kind[:1]) + kind[1:]
			constraints = append(constraints, slog.Any(name, map[string]string(g.Constraints.context())))
		}
		if g.Constraints.SourceARN != "" {
			constraints = append(constraints, slog.String("sourceArn", g.Constraints.SourceARN))
		}
		if len(constraints) > 0 {
			e.Request = append(e.Request, slog.GroupAttrs("constraints", constraints...))
		}
	},
}

// CreateGrant allows a principal or a service some operations on a key. The grant is in effect at once in this process, and in every other within
// Config.MaxStaleness, or at once for who presents its token. Whoever may create grants need not have the operations; who may do so by a grant alone cannot give more
// than that grant does.
func (c *Client) CreateGrant(ctx context.Context, ref string, in CreateGrantInput) (CreateGrantResult, error) {
	in.copy()
	req := &request{refs: [2]string{ref}, details: &details{grant: in.grant()}}
	req.context[0] = req.grant.Constraints.context()
	req.invalid = in.check(ref)
	return do(ctx, c, &opCreateGrant, req, func(ctx context.Context, a admitted) (CreateGrantResult, error) {
		core, k := a.client.c, a.keys[0]
		r := &grantRecord{key: k.id, created: a.now}
		if err := a.bindGrant(r); err != nil {
			return CreateGrantResult{}, err
		}
		for _, op := range r.operations {
			if !grantable(k, GrantOperation(op)) {
				return CreateGrantResult{}, faultf(ErrValidation, "%s does not support the grant operation %s.", k.arn, op)
			}
		}
		if r.constraint != "" && k.kind != symmetricKind {
			return CreateGrantResult{}, faultf(ErrValidation, "Constraints of encryption contexts are for symmetric encryption keys, and %s is none.", k.arn)
		}
		result := func(id grantID) CreateGrantResult {
			a.respond(slog.String("grantId", id.String()), slog.String("keyId", k.arn))
			return CreateGrantResult{GrantID: id.String(), GrantToken: core.newGrantToken(grantToken{k.id, id})}
		}
		if r.name != "" {
			earlier, err := core.grantsOf(ctx, k, r.granted())
			if err != nil {
				return CreateGrantResult{}, err
			}
			for _, g := range earlier {
				if id, _ := parseGrantID(g.GrantID); r.isLike(g, core.ring.ringID) {
					if !a.again { // another process may have removed it
						return CreateGrantResult{}, keystore.ErrConflict
					}
					return result(id), nil
				}
			}
		}
		if k.grants.count >= maxGrants {
			return CreateGrantResult{}, faultf(ErrLimitExceeded, "A key has at most %d grants.", maxGrants)
		}
		r.id = core.newGrantID(k.id, r.granted())
		next, b := k.clone(), a.batch()
		b.putGrant(r, next)
		return result(r.id), a.commit(ctx, b, a.change(0, next))
	})
}

// grant is the input as a grant, with its operations in order.
func (in *CreateGrantInput) grant() *Grant {
	g := &Grant{
		Name: in.Name, GranteePrincipal: in.GranteePrincipal, GranteeServicePrincipal: in.GranteeServicePrincipal,
		RetiringPrincipal: in.RetiringPrincipal, RetiringServicePrincipal: in.RetiringServicePrincipal, Constraints: in.Constraints,
	}
	for _, op := range grantOperations {
		if slices.Contains(in.Operations, op) {
			g.Operations = append(g.Operations, op)
		}
	}
	return g
}

// copy takes what is the caller's, who may change it under the call: what is checked is what is granted.
func (in *CreateGrantInput) copy() {
	c := &in.Constraints
	in.Operations = slices.Clone(in.Operations)
	c.EncryptionContextEquals, c.EncryptionContextSubset = c.EncryptionContextEquals.clone(), c.EncryptionContextSubset.clone()
}

// clone is a copy; nil of an empty one.
func (ec EncryptionContext) clone() EncryptionContext {
	if len(ec) == 0 {
		return nil
	}
	return maps.Clone(ec)
}

func (in *CreateGrantInput) check(ref string) error {
	var v violations
	v.ref("keyId", ref)
	if len(in.Operations) == 0 {
		v.add("operations", "", "not be empty")
	}
	for i, op := range in.Operations {
		if !slices.Contains(grantOperations, op) {
			v.add(memberName("operations", i, ""), printable(string(op)), "satisfy enum value set: ["+strings.Join(texts(grantOperations), ", ")+"]")
		}
	}
	v.length("name", len(in.Name), 0, maxGrantName)
	v.pattern("name", in.Name, namePattern)
	v.principal("granteePrincipal", in.GranteePrincipal)
	v.principal("retiringPrincipal", in.RetiringPrincipal)
	v.service("granteeServicePrincipal", in.GranteeServicePrincipal)
	v.service("retiringServicePrincipal", in.RetiringServicePrincipal)
	v.constraint("constraints.encryptionContextEquals", in.Constraints.EncryptionContextEquals)
	v.constraint("constraints.encryptionContextSubset", in.Constraints.EncryptionContextSubset)
	if s := in.Constraints.SourceARN; s != "" {
		if a, err := arn.Parse(s); err != nil || len(s) > maxRefLen || a.Resource == "" || strings.ContainsAny(s, "*?") {
			v.add("constraints.sourceArn", "", "be the ARN of a resource")
		}
	}
	if err := cmp.Or(v.err(), checkPrincipal("granteePrincipal", in.GranteePrincipal), checkPrincipal("retiringPrincipal", in.RetiringPrincipal)); err != nil {
		return err
	}
	toService := in.GranteeServicePrincipal != ""
	switch {
	case toService == (in.GranteePrincipal != ""):
		return faultf(ErrValidation, "Exactly one of GranteePrincipal and GranteeServicePrincipal must be specified.")
	case in.RetiringPrincipal != "" && in.RetiringServicePrincipal != "":
		return faultf(ErrValidation, "Only one of RetiringPrincipal and RetiringServicePrincipal may be specified.")
	case len(in.Constraints.EncryptionContextEquals) > 0 && len(in.Constraints.EncryptionContextSubset) > 0:
		return faultf(ErrValidation, "Only one of EncryptionContextEquals and EncryptionContextSubset may be specified.")
	case toService && in.Constraints.SourceARN == "":
		return faultf(ErrValidation, "A grant to a service needs the constraint SourceArn.")
	case toService && in.RetiringPrincipal == "" && in.RetiringServicePrincipal == "":
		return faultf(ErrValidation, "A grant to a service needs a retiring principal.")
	}
	return nil
}

// principal requires what may be the ARN of a principal, or none.
func (v *violations) principal(member, s string) {
	v.length(member, len(s), 0, maxPrincipal)
	v.pattern(member, s, principalPattern)
}

// checkPrincipal requires the ARN of a principal, or none.
func checkPrincipal(member, s string) error {
	if s != "" && !policy.IsPrincipalARN(s) {
		return faultf(ErrInvalidArn, "%s: it is not the ARN of a user, role, role session, federated user or root user", member)
	}
	return nil
}

// service requires the name of a service, or none.
func (v *violations) service(member, s string) {
	if s != "" && !serviceName.MatchString(s) {
		v.add(member, "", "be the name of a service, such as objectstore.amazonaws.com")
	}
}

func (v *violations) constraint(member string, ec EncryptionContext) {
	if len(ec) > maxConstraintPairs {
		v.add(member, "", fmt.Sprintf("have at most %d pairs", maxConstraintPairs))
	}
	for name, value := range ec {
		switch {
		case name == "" || !utf8.ValidString(name) || !utf8.ValidString(value):
			v.add(member, "", "have names, and be valid UTF-8")
		case utf8.RuneCountInString(value) > maxConstraintValue || utf8.RuneCountInString(name) > maxConstraintValue:
			v.add(member, "", fmt.Sprintf("have names and values of at most %d characters", maxConstraintValue))
		}
	}
}

// bindGrant fills in a record for a grant that the caller makes. With Identities, its principals must exist.
func (a admitted) bindGrant(r *grantRecord) error {
	g := a.req.grant
	if p, err := arn.Parse(g.GranteePrincipal); err == nil && p.Resource == "root" && p.Account != a.client.c.ring.account {
		return faultf(ErrValidation, "A grant to the root user of another account would allow nobody: name a user or a role.")
	}
	for member, arn := range map[string]string{"granteePrincipal": g.GranteePrincipal, "retiringPrincipal": g.RetiringPrincipal} {
		if arn != "" && !a.people.exists(arn) {
			return faultf(ErrInvalidArn, "%s: there is no such principal", member)
		}
	}
	r.name = g.Name
	r.grantee, r.granteeID, r.granteeService = g.GranteePrincipal, a.people.unique(g.GranteePrincipal), g.GranteeServicePrincipal
	r.retiring, r.retiringID, r.retiringService = g.RetiringPrincipal, a.people.unique(g.RetiringPrincipal), g.RetiringServicePrincipal
	r.issuer = cmp.Or(a.client.caller.principal.Account, a.client.c.ring.account)
	for _, op := range g.Operations {
		r.operations = append(r.operations, string(op))
	}
	r.sourceARN, r.constraint, r.context = g.Constraints.SourceARN, g.Constraints.constraintType(), g.Constraints.context()
	return nil
}

// isLike reports whether a grant has the parameters of the record.
func (r *grantRecord) isLike(g *Grant, ring *ringID) bool {
	like := *r
	like.id, _ = parseGrantID(g.GrantID)
	like.created = g.CreationDate.UnixNano()
	other := like.grant(ring)
	other.used = g.used
	return reflect.DeepEqual(other, g)
}

// grantable reports whether a grant on a key may allow an operation.
func grantable(k *key, op GrantOperation) bool {
	for _, row := range operations {
		for i := range row.needs {
			if n := &row.needs[i]; n.action == "kms:"+string(op) && n.suits(k) {
				return true
			}
		}
	}
	return false
}

// grantOperations are the operations of the grant that is to be made.
func (r *request) grantOperations() []string {
	if r.grant == nil {
		return nil
	}
	return texts(r.grant.Operations)
}

// A ListGrantsInput says which grants to list: those that match all that is given.
type ListGrantsInput struct {
	GrantID                 string
	GranteePrincipal        string // an ARN
	GranteeServicePrincipal string
}

var opListGrants = operation{
	name: "ListGrants", across: true,
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		for _, p := range [][2]string{{"grantId", r.grantID}, {"granteePrincipal", r.principal}, {"granteeServicePrincipal", r.service}} {
			if p[1] != "" {
				e.Request = append(e.Request, slog.String(p[0], p[1]))
			}
		}
		pageParams(r, e)
	},
	needs: []need{{action: "kms:ListGrants", forms: keyForm, states: anyState}},
}

// ListGrants lists the grants on a key, those of one grantee together.
func (c *Client) ListGrants(ctx context.Context, ref string, in ListGrantsInput) iter.Seq2[Grant, error] {
	return pages(ctx, func(ctx context.Context, page PageInput) (Page[Grant], error) {
		return c.ListGrantsPage(ctx, ref, in, page)
	})
}

// ListGrantsPage returns one page of [Client.ListGrants], of up to 100 grants, by default 50. Of a grant whose record is damaged only the id and the key are told.
func (c *Client) ListGrantsPage(ctx context.Context, ref string, in ListGrantsInput, page PageInput) (Page[Grant], error) {
	req := refRequest(ref)
	req.details = &details{grantID: in.GrantID, principal: in.GranteePrincipal, service: in.GranteeServicePrincipal}
	var v violations
	v.grantID("grantId", in.GrantID, 0)
	v.principal("granteePrincipal", in.GranteePrincipal)
	v.service("granteeServicePrincipal", in.GranteeServicePrincipal)
	req.invalid = cmp.Or(req.invalid, v.err(), checkPrincipal("granteePrincipal", in.GranteePrincipal))
	if _, ok := parseGrantID(in.GrantID); req.invalid == nil && in.GrantID != "" && !ok {
		req.invalid = errGrantID
	}
	return listPage(ctx, c, &opListGrants, req, page, listing[Grant]{
		limit: mostGrantsOfPage, usual: usualGrantsOfPage, entry: grantEntry,
		prefix: func(a admitted) string {
			core, k := a.client.c, a.keys[0].id
			switch who := cmp.Or(a.req.principal, a.req.service); {
			case a.req.grantID != "":
				return grantPrefix(k) + a.req.grantID
			case who != "":
				return core.granteePrefix(k, who)
			default:
				return grantPrefix(k)
			}
		},
	})
}

func (v *violations) grantID(member, id string, least int) {
	v.length(member, len(id), least, maxGrantIDLen)
}

var errGrantID error = &fault{code: ErrInvalidGrantID, message: "A grant id has 64 hexadecimal digits."}

func grantEntry(ctx context.Context, a admitted, item keystore.Record) (Grant, bool, error) {
	r, _, err := a.client.c.openGrant(ctx, item)
	if err != nil {
		id, ok := parseGrantID(item.Name[len(grantPrefix(a.keys[0].id)):])
		if !ok {
			return Grant{}, false, errDamagedItem(item.Name)
		}
		return Grant{KeyARN: a.keys[0].arn, GrantID: id.String()}, true, nil
	}
	g := r.grant(a.client.c.ring.ringID)
	listed := (a.req.principal == "" || a.req.principal == r.grantee) && (a.req.service == "" || a.req.service == r.granteeService)
	return *g, listed && r.key == a.keys[0].id, nil
}

// A ListRetirableGrantsInput says whose grants to list: exactly one is given.
type ListRetirableGrantsInput struct {
	RetiringPrincipal        string // an ARN of the caller's own account
	RetiringServicePrincipal string
}

var opListRetirableGrants = operation{
	name: "ListRetirableGrants", across: true,
	params: func(r *request, e *audit.Event) {
		for _, p := range [][2]string{{"retiringPrincipal", r.principal}, {"retiringServicePrincipal", r.service}} {
			if p[1] != "" {
				e.Request = append(e.Request, slog.String(p[0], p[1]))
			}
		}
		pageParams(r, e)
	},
	needs: []need{{action: "kms:ListRetirableGrants", on: onCallerAccount}},
}

// ListRetirableGrants lists the grants, on all keys of the ring, that have a retiring principal. The principal is one of the caller's account, whose identity policies
// must allow it; a service may list its own.
func (c *Client) ListRetirableGrants(ctx context.Context, in ListRetirableGrantsInput) iter.Seq2[Grant, error] {
	return pages(ctx, func(ctx context.Context, page PageInput) (Page[Grant], error) {
		return c.ListRetirableGrantsPage(ctx, in, page)
	})
}

// ListRetirableGrantsPage returns one page of [Client.ListRetirableGrants], of up to 100 grants, by default 50.
func (c *Client) ListRetirableGrantsPage(ctx context.Context, in ListRetirableGrantsInput, page PageInput) (Page[Grant], error) {
	req := &request{details: &details{principal: in.RetiringPrincipal, service: in.RetiringServicePrincipal}}
	var v violations
	v.principal("retiringPrincipal", in.RetiringPrincipal)
	v.service("retiringServicePrincipal", in.RetiringServicePrincipal)
	if req.invalid = cmp.Or(v.err(), checkPrincipal("retiringPrincipal", in.RetiringPrincipal)); req.invalid == nil && (in.RetiringPrincipal == "") == (in.RetiringServicePrincipal == "") {
		req.invalid = faultf(ErrValidation, "Exactly one of RetiringPrincipal and RetiringServicePrincipal must be specified.")
	}
	return listPage(ctx, c, &opListRetirableGrants, req, page, listing[Grant]{
		limit: mostGrantsOfPage, usual: usualGrantsOfPage, entry: retirableEntry,
		prefix: func(a admitted) string { return a.client.c.retirePrefix(a.retiree()) },
	})
}

// retiree is whose grants the caller may list: a principal of its own account, or the service that it is; of anybody else nothing is told, and it is empty.
func (a admitted) retiree() string {
	who := &a.client.caller.principal
	if p, err := arn.Parse(a.req.principal); err == nil && p.Account == who.Account {
		return a.req.principal
	}
	if who.Type == policy.Service && a.req.service == who.ARN {
		return a.req.service
	}
	return ""
}

func retirableEntry(ctx context.Context, a admitted, item keystore.Record) (Grant, bool, error) {
	core := a.client.c
	var r retireRecord
	if _, _, err := core.open(ctx, kindRetire, item.Name, item, &r); err != nil {
		return Grant{}, false, nil // which grant it was cannot be told; Check names it
	}
	sealed, err := core.store.Get(ctx, grantItem(r.key, r.grant))
	if errors.Is(err, keystore.ErrNotFound) { // it was removed since
		return Grant{}, false, nil
	}
	if err != nil {
		return Grant{}, false, err
	}
	g, _, err := core.openGrant(ctx, sealed)
	if err != nil {
		return Grant{KeyARN: core.ring.keyARN(r.key), GrantID: r.grant.String()}, true, nil
	}
	k, err := core.load(ctx, r.key, core.clock.stamp())
	switch {
	case errors.Is(err, errNoKey):
		return Grant{}, false, nil
	case err != nil && !isDamage(err):
		return Grant{}, false, err
	case err == nil && k.isDeleted(a.now):
		return Grant{}, false, nil
	}
	return *g.grant(core.ring.ringID), g.retiring == a.req.principal && g.retiringService == a.req.service, nil
}

var opRevokeGrant = operation{
	name: "RevokeGrant", across: true, changes: true, params: grantParams,
	needs: []need{{action: "kms:RevokeGrant", forms: keyForm, states: anyState}},
}

func grantParams(r *request, e *audit.Event) {
	keyParam(r, e)
	if r.grantID != "" {
		e.Request = append(e.Request, slog.String("grantId", r.grantID))
	}
}

// RevokeGrant takes a grant away, at once in this process and in every other within Config.MaxStaleness. Grants that were made by it stay.
func (c *Client) RevokeGrant(ctx context.Context, ref, grantID string) error {
	req := refRequest(ref)
	req.details = &details{grantID: grantID}
	req.checkGrantID()
	_, err := do(ctx, c, &opRevokeGrant, req, func(ctx context.Context, a admitted) (struct{}, error) {
		id, _ := parseGrantID(a.req.grantID)
		sealed, err := a.client.c.sealedGrant(ctx, grantToken{a.keys[0].id, id})
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, a.removeGrant(ctx, sealed, id)
	})
	return err
}

// checkGrantID refuses what is no grant id.
func (r *request) checkGrantID() {
	var v violations
	v.grantID("grantId", r.grantID, 1)
	if r.invalid == nil {
		r.invalid = v.err()
	}
	if _, ok := parseGrantID(r.grantID); !ok && r.invalid == nil {
		r.invalid = errGrantID
	}
}

var errNoGrant error = &fault{code: ErrNotFound, message: "There is no such grant on the key."}

// sealedGrant returns the record of a grant, which may be damaged, and no other one in its place.
func (v *vault) sealedGrant(ctx context.Context, t grantToken) (keystore.Record, error) {
	item := grantItem(t.key, t.grant)
	sealed, err := v.store.Get(ctx, item)
	switch {
	case errors.Is(err, keystore.ErrNotFound):
		err = errNoGrant
	case err == nil && sealed.Name != item:
		err = errDamagedItem(item)
	}
	return sealed, err
}

// removeGrant removes a grant on the first key.
func (a admitted) removeGrant(ctx context.Context, sealed keystore.Record, id grantID) error {
	next, b := a.keys[0].clone(), a.batch()
	if err := b.removeGrant(ctx, sealed); err != nil {
		return err
	}
	if next.grants.count == 0 {
		return &Problem{keyItem(next.id), "it knows of no grants, and has one", errBody}
	}
	next.grants.add(-1, a.client.c.grantShare(sealed.Name))
	a.respond(slog.String("keyId", a.keys[0].arn), slog.String("grantId", id.String()))
	err := a.commit(ctx, b, a.change(0, next))
	if err == nil {
		a.client.c.removed.Put(id, struct{}{})
	}
	return err
}

// A RetireGrantInput names a grant: by its token, or by its key and its id.
type RetireGrantInput struct {
	GrantToken string
	KeyRef     string // the key's ARN, or its id
	GrantID    string
}

var opRetireGrant = operation{
	name: "RetireGrant", across: true, changes: true, params: grantParams,
	needs: []need{{action: actionRetireGrant, on: onGrant, forms: keyForm, states: anyState}},
}

// RetireGrant gives a grant up. Its retiring principal may, its grantee if it has the operation RetireGrant, and by their identity policies the principals of the
// account that made it; key policies have no say.
func (c *Client) RetireGrant(ctx context.Context, in RetireGrantInput) error {
	req := &request{refs: [2]string{in.KeyRef}, details: &details{grantID: in.GrantID, grantToken: in.GrantToken}}
	byToken, byID := in.GrantToken != "", in.KeyRef != "" || in.GrantID != ""
	var v violations
	switch {
	case byToken == byID:
		req.invalid = faultf(ErrValidation, "Grant token OR (grant ID, key ID) must be specified")
	case byToken:
		v.length("grantToken", len(in.GrantToken), 1, maxGrantTokenLen)
		req.invalid = v.err()
	case byID:
		v.ref("keyId", in.KeyRef)
		req.invalid = v.err()
		req.checkGrantID()
	}
	_, err := do(ctx, c, &opRetireGrant, req, func(ctx context.Context, a admitted) (struct{}, error) {
		return struct{}{}, a.removeGrant(ctx, a.retired.sealed, a.retired.id)
	})
	return err
}

// A retirement is the grant that a call is about.
type retirement struct {
	id     grantID
	sealed keystore.Record
	grant  *Grant
}

// findGrant finds the key and the grant that the caller wants to retire.
func (cl *call) findGrant(ctx context.Context, again bool) (*key, error) {
	c := cl.client.c
	var t grantToken
	if cl.req.grantToken != "" {
		var ok bool
		if t, ok = c.readGrantToken(cl.req.grantToken); !ok {
			return nil, errGrantToken
		}
	} else {
		if cl.isElsewhere(cl.req.refs[0]) {
			return nil, errForeign
		}
		ref, err := c.ring.parse(cl.req.refs[0], keyForm)
		if err != nil {
			return nil, err
		}
		t.key = ref.id
		t.grant, _ = parseGrantID(cl.req.grantID)
	}
	var k *key
	var err error
	if again {
		k, err = c.reload(ctx, t.key, cl.at.mono)
	} else {
		k, err = c.load(ctx, t.key, cl.at)
	}
	if err != nil {
		return nil, err
	}
	sealed, err := c.sealedGrant(ctx, t)
	if err != nil {
		return nil, err
	}
	r, _, err := c.openGrant(ctx, sealed)
	if err != nil {
		return nil, err
	}
	cl.retired = retirement{t.grant, sealed, r.grant(c.ring.ringID)}
	return k, nil
}

var errGrantToken error = &fault{code: ErrInvalidGrantToken, message: "A grant token is not one of this keyring."}

// PrincipalARN returns the ARN by which key policies and grants name a caller: of a role, if the caller was made by [Role], and of the session, if by [Session]. It
// fails for a caller that cannot be, and for a service, which has none.
func (k *Keyring) PrincipalARN(c Caller) (string, error) {
	who := k.c.ring.actorOf(c)
	switch {
	case who.problem != "":
		return "", errors.New("kms: PrincipalARN: " + who.problem)
	case c.kind == policy.Service:
		return "", errors.New("kms: PrincipalARN: a service has no ARN")
	default:
		return k.c.ring.principalName(c), nil
	}
}
