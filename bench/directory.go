package main

import (
	"iter"
	"maps"
	"slices"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// A directory has the users and roles of one account, by their ARNs. It never changes. It implements [kms.Identities].
type directory map[string]*kms.Identity

// Identity implements [kms.Identities].
func (d directory) Identity(arn string) *kms.Identity { return d[arn] }

// Current returns the same: nothing changes.
func (d directory) Current() kms.Identities { return d }

// Account implements [kms.Identities]. Nothing is known of accounts but that there is one.
func (d directory) Account(string) *kms.Account { return nil }

// All implements [kms.Identities].
func (d directory) All() iter.Seq[*kms.Identity] { return maps.Values(d) }

// documentLen is how many statements one attached policy has: what fits into the 6144 characters of IAM.
const documentLen = 10

// directory returns the roles that statements and questions name. One of them has policies, as many as it takes, and a boundary.
func (r *rules) directory() (directory, error) {
	d := directory{}
	add := func(who string) *kms.Identity {
		i := &kms.Identity{ARN: principalARN(who)}
		if isRole(who) {
			d[i.ARN] = i
		}
		return i
	}
	for _, s := range r.all() {
		for _, who := range s.who {
			add(who)
		}
	}
	for _, q := range questions {
		add(q.who)
	}
	if r.identity == nil {
		return d, nil
	}
	i := add(roleOfIdentity)
	for statements := range slices.Chunk(r.identity, documentLen) {
		doc, err := policy.Parse(iamText(statements, policy.IdentityPolicy), policy.IdentityPolicy)
		if err != nil {
			return nil, err
		}
		i.Policies = append(i.Policies, doc)
	}
	boundary, err := policy.Parse(iamText(boundaryStatements, policy.IdentityPolicy), policy.IdentityPolicy)
	i.Boundary = boundary
	return d, err
}
