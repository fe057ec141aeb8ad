package kms_test

import (
	"slices"
	"strings"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// This file decides a second time, by the rules as AWS KMS documents them and by the safe side where it does not. It asks the documents for what Explain says of each
// statement, and does not care for speed, nor for what decided. Tests compare its outcomes with those of Evaluate.

// A hearing is what the documents of one source say.
type hearing struct {
	denied bool
	allows policy.Way // in which ways the statements that allow match, all together
}

func hear(r *policy.Request, documents ...*policy.Document) (h hearing) {
	for _, d := range documents {
		if d == nil {
			continue
		}
		for _, trace := range d.Explain(r) {
			switch {
			case !trace.Matched():
			case trace.Effect == policy.Deny:
				h.denied = true
			default:
				h.allows |= trace.Ways
			}
		}
	}
	return h
}

// passes reports whether every level allows; what is not there limits nothing.
func passes(r *policy.Request, levels [][]*policy.Document) bool {
	return !slices.ContainsFunc(levels, func(level []*policy.Document) bool { return hear(r, level...).allows == 0 })
}

func naiveDecide(in *kms.EvaluateInput) kms.Outcome {
	r, who := in.Request, in.Request.Principal
	retires := r.Action == "kms:RetireGrant"
	key, resourceControl := in.KeyPolicy, in.ResourceControl
	if retires { // neither has a say over it
		key, resourceControl = nil, nil
	}
	keySays, identity, boundary, session := hear(r, key), hear(r, in.Identity...), hear(r, in.Boundary), hear(r, in.Session...)
	if keySays.denied || identity.denied || boundary.denied || session.denied || hear(r, slices.Concat(in.ServiceControl...)...).denied ||
		hear(r, slices.Concat(resourceControl...)...).denied {
		return kms.ExplicitlyDenied
	}
	if !passes(r, resourceControl) || !passes(r, in.ServiceControl) {
		return kms.ImplicitlyDenied
	}
	bounded := in.Boundary != nil && boundary.allows == 0
	limited := (len(in.Session) > 0 || who.Type == policy.FederatedUser) && session.allows == 0 // who is federated has what the session's policies give, at most
	byIdentity := identity.allows != 0 && !bounded && !limited
	here := who.Account == in.Account && who.Account != ""
	if allowed := func() bool {
		switch {
		case who.Type < policy.RootUser || who.Type > policy.Service:
			return false
		case retires:
			return slices.ContainsFunc(in.Grants, func(g *kms.Grant) bool { return naiveRetires(g, in, byIdentity) })
		case in.KeyPolicy == nil:
			return here && (who.Type == policy.RootUser || byIdentity)
		case slices.ContainsFunc(in.Grants, func(g *kms.Grant) bool { return naiveGrants(g, in) }):
			return true
		case who.Type == policy.Service:
			return keySays.allows&policy.ByPrincipal != 0
		case !here:
			return who.Type != policy.RootUser && keySays.allows != 0 && byIdentity
		case who.Type == policy.RootUser:
			return keySays.allows != 0
		}
		// A user has no session policies but in a federated session, which is another caller. If one comes with some, they limit.
		return keySays.allows&policy.ByPrincipal != 0 && (who.Type != policy.User || !limited) ||
			keySays.allows&policy.ByEveryone != 0 && !limited ||
			keySays.allows&policy.ByRole != 0 && !bounded && !limited ||
			keySays.allows&policy.ByAccount != 0 && byIdentity
	}(); allowed {
		return kms.Allowed
	}
	return kms.ImplicitlyDenied
}

// granteeNames are those by which a grant may name the caller.
func granteeNames(p *policy.Principal) []string {
	switch p.Type {
	case policy.AssumedRole:
		return []string{p.ARN, p.Role}
	case policy.Service:
		return nil
	default:
		return []string{p.ARN}
	}
}

// naiveGrants reports whether a grant on the key allows the request.
func naiveGrants(g *kms.Grant, in *kms.EvaluateInput) bool {
	r, who := in.Request, &in.Request.Principal
	here := who.Account == in.Account
	switch {
	case who.Type == policy.Service:
		if g.GranteeServicePrincipal != who.ARN || g.Constraints.SourceARN == "" {
			return false
		}
	case !slices.Contains(granteeNames(who), g.GranteePrincipal):
		return false
	case !here && (who.Type == policy.RootUser || in.Boundary != nil || len(in.Session) > 0):
		return false
	}
	op, found := strings.CutPrefix(r.Action, "kms:")
	if !found || !slices.Contains(g.Operations, kms.GrantOperation(op)) {
		return false
	}
	c := g.Constraints
	if op != "DescribeKey" && op != "CreateGrant" { // of a new grant it is the constraints that are compared
		if !includes(in.EncryptionContext, c.EncryptionContextSubset) || c.EncryptionContextEquals != nil && !equals(in.EncryptionContext, c.EncryptionContextEquals) {
			return false
		}
	}
	if c.SourceARN != "" {
		if r.Context == nil || !r.Context.Lookup(policy.Key{Name: "aws:sourcearn"}).Is(c.SourceARN) {
			return false
		}
	}
	return op != "CreateGrant" || in.NewGrant != nil && naiveChild(g, in.NewGrant)
}

// naiveChild reports whether a grant that allows CreateGrant may make another one: of no more operations, and with constraints as strict.
func naiveChild(parent, child *kms.Grant) bool {
	for _, op := range child.Operations {
		if !slices.Contains(parent.Operations, op) {
			return false
		}
	}
	p, c := parent.Constraints, child.Constraints
	pairs := c.EncryptionContextSubset
	if c.EncryptionContextEquals != nil {
		pairs = c.EncryptionContextEquals
	}
	switch {
	case p.SourceARN != "" && p.SourceARN != c.SourceARN:
		return false
	case p.EncryptionContextEquals != nil:
		return c.EncryptionContextEquals != nil && equals(p.EncryptionContextEquals, c.EncryptionContextEquals)
	default:
		return includes(pairs, p.EncryptionContextSubset)
	}
}

// naiveRetires reports whether the caller may retire a grant: as its retiring principal, as its grantee if it has that operation, or for the account that made it.
func naiveRetires(g *kms.Grant, in *kms.EvaluateInput, byIdentity bool) bool {
	who := &in.Request.Principal
	if who.Type == policy.Service {
		return g.RetiringServicePrincipal == who.ARN ||
			g.GranteeServicePrincipal == who.ARN && g.Constraints.SourceARN != "" && slices.Contains(g.Operations, kms.GrantRetireGrant)
	}
	account := "arn:aws:iam::" + who.Account + ":root"
	if (g.IssuingAccount == account || g.RetiringPrincipal == account) && (who.Type == policy.RootUser || byIdentity) {
		return true
	}
	if who.Account != in.Account && (who.Type == policy.RootUser || in.Boundary != nil || len(in.Session) > 0) {
		return false
	}
	return slices.Contains(granteeNames(who), g.RetiringPrincipal) || slices.Contains(granteeNames(who), g.GranteePrincipal) && slices.Contains(g.Operations, kms.GrantRetireGrant)
}

// equals reports whether two encryption contexts have the same pairs.
func equals(a, b kms.EncryptionContext) bool { return includes(a, b) && includes(b, a) }

// includes reports whether one pair of all has each name of some, without its case, and its value. Two pairs of one name are none, in either.
func includes(all, some kms.EncryptionContext) bool {
	find := func(pairs kms.EncryptionContext, name string) (values []string) {
		for n, value := range pairs {
			if strings.EqualFold(n, name) {
				values = append(values, value)
			}
		}
		return values
	}
	for name, value := range some {
		if found := find(all, name); len(found) != 1 || found[0] != value || len(find(some, name)) != 1 {
			return false
		}
	}
	return true
}
