package kms

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// A grant has a record of its own, which never changes. What is current of a key's grants its record says: how many, how often they changed, and the exclusive or of a
// keyed hash of each one's name. So a grant is as fresh as its key, and there is no index of grants that would grow with them.

// A grantID is the identity of a grant. Its first half is a keyed hash of the key and the grantee, so that the grants of one grantee on a key lie together; the other
// half is random.
type grantID [32]byte

const granteeHashLen = 16

// String writes the id as 64 hex digits.
func (id grantID) String() string { return hex.EncodeToString(id[:]) }

// parseGrantID reads what String writes.
func parseGrantID(s string) (id grantID, ok bool) {
	ok = readHex(id[:], s)
	return id, ok
}

func grantPrefix(id keyID) string { return kindGrant + "/" + id.String() + "/" }

func grantItem(key keyID, id grantID) string { return grantPrefix(key) + id.String() }

// granteePrefix is what the names of the grants on a key begin with that are one grantee's.
func (v *vault) granteePrefix(key keyID, grantee string) string {
	return grantPrefix(key) + hex.EncodeToString(v.granteeHash(key, grantee))
}

func (v *vault) granteeHash(key keyID, grantee string) []byte {
	return v.keyedHash("grantee", string(key.bytes()), grantee)[:granteeHashLen]
}

// newGrantID returns the id of a new grant.
func (v *vault) newGrantID(key keyID, grantee string) (id grantID) {
	copy(id[:], v.granteeHash(key, grantee))
	rand.Read(id[granteeHashLen:])
	return id
}

// retirePrefix is what the names of the entries begin with that find the grants which a principal may retire.
func (v *vault) retirePrefix(principal string) string {
	return kindRetire + "/" + hex.EncodeToString(v.keyedHash(kindRetire, principal)[:granteeHashLen]) + "/"
}

func (v *vault) retireItem(principal string, key keyID, id grantID) string {
	return v.retirePrefix(principal) + key.String() + "/" + id.String()
}

// retiree is who retires a grant, and empty for nobody.
func (r *grantRecord) retiree() string {
	if r.retiring != "" {
		return r.retiring
	}
	return r.retiringService
}

// granted is who has the grant.
func (r *grantRecord) granted() string {
	if r.grantee != "" {
		return r.grantee
	}
	return r.granteeService
}

// The names of constraints in records, which are also kms:GrantConstraintType.
const (
	constraintEquals = "EncryptionContextEquals"
	constraintSubset = "EncryptionContextSubset"
)

// grant is the record as callers see it.
func (r *grantRecord) grant(ring *ringID) *Grant {
	g := &Grant{
		KeyARN: ring.keyARN(r.key), GrantID: r.id.String(), Name: r.name, CreationDate: unixTime(r.created),
		GranteePrincipal: r.grantee, GranteeServicePrincipal: r.granteeService, RetiringPrincipal: r.retiring, RetiringServicePrincipal: r.retiringService,
		IssuingAccount: ring.rootARN(r.issuer), Constraints: GrantConstraints{SourceARN: r.sourceARN},
		granteeID: r.granteeID, retiringID: r.retiringID, id: r.id, used: new(usedDay),
	}
	for _, op := range r.operations {
		g.Operations = append(g.Operations, GrantOperation(op))
	}
	switch r.constraint {
	case constraintEquals:
		g.Constraints.EncryptionContextEquals = r.context
	case constraintSubset:
		g.Constraints.EncryptionContextSubset = r.context
	}
	return g
}

// rootARN is the ARN of the root user of an account.
func (r *ringID) rootARN(account string) string {
	return "arn:" + r.partition + ":iam::" + account + ":root"
}

// openGrant opens a grant's record, and checks that it is what its name says.
func (v *vault) openGrant(ctx context.Context, item keystore.Record) (*grantRecord, source, error) {
	r := new(grantRecord)
	from, _, err := v.open(ctx, kindGrant, item.Name, item, r)
	if err != nil {
		return nil, source{}, err
	}
	known := r.constraint == "" || r.constraint == constraintEquals || r.constraint == constraintSubset
	if item.Name != grantItem(r.key, r.id) || !known || (r.constraint == "") != (len(r.context) == 0) {
		return nil, source{}, errDamagedItem(item.Name)
	}
	return r, from, nil
}

// add counts a grant that is made, or that is removed.
func (r *grantsRecord) add(n int, share []byte) {
	r.count += uint64(n)
	r.changes++
	for i, x := range share {
		r.sum[i] ^= x
	}
}

// grantShare is what a grant contributes to the sum of its key.
func (v *vault) grantShare(item string) []byte { return v.keyedHash(kindGrant, item) }

// putGrant adds a grant to a batch and to the next record of its key.
func (b *batch) putGrant(r *grantRecord, next *keyRecord) {
	item := grantItem(r.key, r.id)
	b.put(kindGrant, item, source{}, r)
	if who := r.retiree(); who != "" {
		b.put(kindRetire, b.v.retireItem(who, r.key, r.id), source{}, &retireRecord{key: r.key, grant: r.id})
	}
	next.grants.add(1, b.v.grantShare(item))
}

// removeGrant removes a grant, which may be damaged, with the entry that finds it.
func (b *batch) removeGrant(ctx context.Context, sealed keystore.Record) error {
	r, from, err := b.v.openGrant(ctx, sealed)
	if err != nil && !isDamage(err) {
		return err
	}
	if err != nil {
		from = source{revision: sealed.Revision}
	} else if err := b.removeUsage(ctx, usageKey{r.key, r.id}); err != nil {
		return err
	} else if who := r.retiree(); who != "" {
		item := b.v.retireItem(who, r.key, r.id)
		entry, err := b.v.store.Get(ctx, item)
		switch {
		case err == nil:
			b.remove(kindRetire, item, source{revision: entry.Revision})
		case !errors.Is(err, keystore.ErrNotFound):
			return err
		}
	}
	b.remove(kindGrant, sealed.Name, from)
	return nil
}

// A granteeKey says whose grants on which key.
type granteeKey struct {
	key     keyID
	grantee string
}

// A grantView is what one grantee has on a key, as of a number of changes of the key's grants.
type grantView struct {
	changes uint64
	grants  []*Grant
}

// grantsOf returns the grants that a grantee has on a key.
func (c *core) grantsOf(ctx context.Context, k *key, grantee string) ([]*Grant, error) {
	if k.grants.count == 0 || grantee == "" {
		return nil, nil
	}
	who := granteeKey{k.id, grantee}
	old, known := c.grants.Get(who)
	if known && old.changes == k.grants.changes {
		return old.grants, nil
	}
	next, damaged, err := c.readGrants(ctx, k, grantee)
	if err != nil {
		return nil, err
	}
	if damaged { // and may be whole the next time
		return next.grants, nil
	}
	if known && old.changes < next.changes { // what it has lost it never gets back: a grant's id is its own
		for _, g := range old.grants {
			if !slices.ContainsFunc(next.grants, func(n *Grant) bool { return n.GrantID == g.GrantID }) {
				id, _ := parseGrantID(g.GrantID)
				c.removed.Put(id, struct{}{})
			}
		}
	}
	if !known || old.changes <= next.changes {
		c.grants.Put(who, next)
	}
	return next.grants, nil
}

// countGrants counts the grants that the store has on a key, damaged ones included.
func (v *vault) countGrants(ctx context.Context, id keyID) (found grantsRecord, err error) {
	for item, err := range keystore.Walk(ctx, v.store, grantPrefix(id)) {
		if err != nil && (ctx.Err() != nil || !isDamage(err)) {
			return grantsRecord{}, err
		}
		found.add(1, v.grantShare(item.Name))
	}
	return found, nil
}

// readGrants reads the grants that a grantee has on a key, and tells if one of them could not be read, which allows nothing. With an anchor the names of all grants on the
// key are read with them, and compared with the sum in the key's record, which the anchor vouches for.
func (c *core) readGrants(ctx context.Context, k *key, grantee string) (next *grantView, damaged bool, err error) {
	for range maxTries {
		var found grantsRecord
		if next, damaged, found, err = c.listGrants(ctx, k, grantee); err != nil {
			return nil, false, err
		}
		if c.anchor == nil || found.count == k.grants.count && found.sum == k.grants.sum {
			return next, damaged, nil
		}
		now, err := c.reload(ctx, k.id, c.clock.mono())
		switch {
		case err != nil:
			return nil, false, err
		case now.grants == k.grants:
			return nil, false, &Problem{keyItem(k.id), fmt.Sprintf("the store has %d grants on it, and there must be %d, of other contents", found.count, k.grants.count), ErrRolledBack}
		}
		k = now
	}
	return nil, false, keystore.ErrConflict
}

// listGrants is one turn of readGrants, with what it has counted.
func (c *core) listGrants(ctx context.Context, k *key, grantee string) (next *grantView, damaged bool, found grantsRecord, err error) {
	next = &grantView{changes: k.grants.changes}
	theirs := c.granteePrefix(k.id, grantee)
	listed := theirs
	if c.anchor != nil { // in one go, so that what is counted is what is used
		listed = grantPrefix(k.id)
	}
	for item, err := range keystore.Walk(ctx, c.store, listed) {
		if c.anchor != nil {
			found.add(1, c.grantShare(item.Name))
		}
		var r *grantRecord
		if err == nil {
			if !strings.HasPrefix(item.Name, theirs) {
				continue
			}
			r, _, err = c.openGrant(ctx, item)
		}
		switch {
		case ctx.Err() != nil:
			return nil, false, found, ctx.Err()
		case isDamage(err): // it allows nothing
			damaged = true
			continue
		case err != nil:
			return nil, false, found, err
		}
		if _, gone := c.removed.Get(r.id); gone {
			return nil, false, found, &Problem{item.Name, "gone back: the grant was removed", record.ErrDamaged}
		}
		if r.key == k.id && r.granted() == grantee {
			next.grants = append(next.grants, r.grant(c.ring.ringID))
		}
	}
	return next, damaged, found, nil
}

// candidates returns the grants on a key that may be the caller's.
func (c *core) candidates(ctx context.Context, k *key, p *policy.Principal) ([]*Grant, error) {
	grants, err := c.grantsOf(ctx, k, p.ARN)
	if err != nil || p.Type != policy.AssumedRole {
		return grants, err
	}
	ofRole, err := c.grantsOf(ctx, k, p.Role)
	if len(grants) == 0 || err != nil {
		return ofRole, err
	}
	return slices.Concat(grants, ofRole), nil
}

// A grantToken says of a grant that it was made, to a process that may not know it yet. It is no secret: it helps nobody but the grantee.
type grantToken struct {
	key   keyID
	grant grantID
}

// Limits of grant tokens.
const (
	maxGrantTokens    = 10
	maxGrantTokenLen  = 8192
	grantTokenVersion = 1
	grantTokenNonce   = 8
	grantTokenLen     = 1 + 17 + len(grantID{}) + grantTokenNonce
	grantTokenMAC     = 16
)

// newGrantToken returns a token of a grant. Each is another one.
func (v *vault) newGrantToken(t grantToken) string {
	text := append([]byte{grantTokenVersion}, t.key.bytes()...)
	text = append(text, t.grant[:]...)
	text = append(text, make([]byte, grantTokenNonce)...)
	rand.Read(text[grantTokenLen-grantTokenNonce:])
	return base64.RawURLEncoding.EncodeToString(append(text, v.tokenCode(text)...))
}

// readGrantToken reads a token that this ring has made.
func (v *vault) readGrantToken(s string) (t grantToken, ok bool) {
	if len(s) > maxGrantTokenLen {
		return grantToken{}, false
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(text) != grantTokenLen+grantTokenMAC || text[0] != grantTokenVersion || !hmac.Equal(text[grantTokenLen:], v.tokenCode(text[:grantTokenLen])) {
		return grantToken{}, false
	}
	t.key.multiRegion = text[1] != 0
	copy(t.key.raw[:], text[2:18])
	copy(t.grant[:], text[18:])
	return t, true
}

// grantTokens are those that a client presents.
type grantTokens struct {
	known   []grantToken
	problem error // what is wrong with one of them
}

// with returns the tokens with others. How many there are is looked at first, as all that has a limit is, and what is too many is not read.
func (t grantTokens) with(c *core, others []string) grantTokens {
	if len(t.known)+len(others) > maxGrantTokens {
		var v violations
		v.add("grantTokens", "", fmt.Sprintf("have length less than or equal to %d", maxGrantTokens))
		t.problem = v.err()
		return t
	}
	t.known = slices.Clone(t.known)
	for _, text := range others {
		token, ok := c.readGrantToken(text)
		t.known = append(t.known, token)
		if !ok && t.problem == nil {
			t.problem = errGrantToken
		}
	}
	return t
}

// tellOf reports whether a token is of a grant on the key that is not among those that are known.
func (t *grantTokens) tellOf(id keyID, known []*Grant) bool {
	return slices.ContainsFunc(t.known, func(t grantToken) bool {
		return t.key == id && !slices.ContainsFunc(known, func(g *Grant) bool { return g.GrantID == t.grant.String() })
	})
}

func (v *vault) tokenCode(text []byte) []byte {
	return v.keyedHash("token", string(text))[:grantTokenMAC]
}
