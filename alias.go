package kms

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
)

const (
	aliasPrefix    = "alias/"
	reservedPrefix = "alias/aws/"
	maxAlias       = 256 // characters, with the prefix
	maxKeyAliases  = 50
)

// isAliasName reports whether s is a whole alias name: "alias/" and letters, digits, slashes, underscores and hyphens, 256 characters in all.
func isAliasName(s string) bool {
	name, ok := strings.CutPrefix(s, aliasPrefix)
	if !ok || name == "" || len(s) > maxAlias {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("/_-", c) < 0 {
			return false
		}
	}
	return true
}

// aliasRequest is the request of an operation on an alias.
func aliasRequest(name, target string, needsTarget bool) *request {
	req := &request{refs: [2]string{target}, details: &details{alias: name}}
	var v violations
	v.length("aliasName", len(name), 1, maxAlias)
	v.pattern("aliasName", name, namePattern)
	if needsTarget {
		v.ref("targetKeyId", target)
	}
	req.invalid = v.err()
	switch {
	case req.invalid != nil:
	case !strings.HasPrefix(name, aliasPrefix):
		req.invalid = faultf(ErrValidation, `Alias must start with the prefix "alias/".`)
	case !isAliasName(name):
		req.invalid = faultf(ErrValidation, "%s contains invalid characters for an alias", printable(name))
	case strings.HasPrefix(name, reservedPrefix):
		req.invalid = faultf(ErrInvalidAliasName, `Alias names that begin with "alias/aws/" are reserved.`)
	}
	return req
}

var opCreateAlias = operation{
	name: "CreateAlias", changes: true, params: aliasParams,
	needs: []need{
		{action: "kms:CreateAlias", on: onAlias},
		{action: "kms:CreateAlias", forms: keyForm, states: inEnabled | inDisabled},
	},
}

// CreateAlias gives a key a name, "alias/...", that can be moved to another key later. Names are unique in the ring; a key has up to 50. It needs
// kms:CreateAlias on the alias, which no key policy can give, and on the key. A name that is taken is [ErrAlreadyExists].
func (c *Client) CreateAlias(ctx context.Context, name, targetRef string) error {
	_, err := do(ctx, c, &opCreateAlias, aliasRequest(name, targetRef, true), func(ctx context.Context, a admitted) (struct{}, error) {
		a.addAlias(a.req.alias)
		from, changes, err := a.client.c.freeAlias(ctx, a.req.alias, a.now)
		if err != nil {
			return struct{}{}, err
		}
		next := a.keys[1].clone()
		if err := next.addAlias(a.req.alias); err != nil {
			return struct{}{}, err
		}
		b := a.batch()
		b.put(kindAlias, a.req.alias, from, &aliasRecord{target: next.id, created: a.now, updated: a.now})
		return struct{}{}, a.commit(ctx, b, append(changes, a.change(1, next))...)
	})
	return err
}

// freeAlias returns the source of the alias's record: none, or one left behind by a key that is gone. A key whose waiting period is over gives the alias up in
// the same commit, so that it has not if somebody cancels its deletion by another clock.
func (c *core) freeAlias(ctx context.Context, name string, now int64) (source, []keyChange, error) {
	var old aliasRecord
	from, _, err := c.read(ctx, kindAlias, name, &old)
	if errors.Is(err, keystore.ErrNotFound) {
		return source{}, nil, nil
	}
	if err != nil {
		return source{}, nil, err
	}
	k, err := c.reload(ctx, old.target, c.clock.mono())
	switch {
	case errors.Is(err, errNoKey):
		return from, nil, nil
	case err != nil:
		return source{}, nil, err
	case k.isDeleted(now):
		next := k.clone()
		next.removeAlias(name)
		return from, []keyChange{{from: k.from, next: next}}, nil
	}
	return source{}, nil, faultf(ErrAlreadyExists, "An alias with the name %s already exists", c.ring.aliasARN(name))
}

func (r *keyRecord) addAlias(name string) error {
	i, found := slices.BinarySearch(r.aliases, name)
	if found {
		return nil
	}
	if len(r.aliases) >= maxKeyAliases {
		return faultf(ErrLimitExceeded, "A key has at most %d aliases.", maxKeyAliases)
	}
	r.aliases = slices.Insert(r.aliases, i, name)
	return nil
}

func (r *keyRecord) removeAlias(name string) {
	r.aliases = slices.DeleteFunc(r.aliases, func(a string) bool { return a == name })
}

var opUpdateAlias = operation{
	name: "UpdateAlias", changes: true, params: aliasParams,
	needs: []need{
		{action: "kms:UpdateAlias", on: onAlias},
		{action: "kms:UpdateAlias", on: onAliasTarget, states: anyState},
		{action: "kms:UpdateAlias", forms: keyForm, states: inEnabled | inDisabled},
	},
}

// UpdateAlias moves an alias to another key of the same kind (symmetric, asymmetric or HMAC) and usage. Data that was encrypted under the old key stays readable: the
// ciphertext of a symmetric key names it. Signatures, MACs and RSA ciphertexts name no key, and are not good by the alias any more: keep the KeyARN of the result with
// them, and name that to verify or to decrypt. The new key may have another spec, whose algorithms are others. It needs kms:UpdateAlias on the alias, which no key
// policy can give, and on both keys.
func (c *Client) UpdateAlias(ctx context.Context, name, targetRef string) error {
	_, err := do(ctx, c, &opUpdateAlias, aliasRequest(name, targetRef, true), func(ctx context.Context, a admitted) (struct{}, error) {
		a.addAlias(a.req.alias)
		was, to := a.keys[1], a.keys[2]
		if was.kind != to.kind || was.usage != to.usage {
			return struct{}{}, faultf(ErrValidation, "The alias can only move to a key of the same kind and usage.")
		}
		var r aliasRecord
		from, _, err := a.client.c.read(ctx, kindAlias, a.req.alias, &r)
		if err != nil {
			return struct{}{}, moved(err)
		}
		if r.target != was.id { // it moved since: whoever asks was admitted to another key
			return struct{}{}, keystore.ErrConflict
		}
		r.target, r.updated = to.id, a.now
		b := a.batch()
		b.put(kindAlias, a.req.alias, from, &r)
		if was.id == to.id {
			return struct{}{}, a.commit(ctx, b, a.change(1, was.clone()))
		}
		old, next := was.clone(), to.clone()
		old.removeAlias(a.req.alias)
		if err := next.addAlias(a.req.alias); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, a.commit(ctx, b, a.change(1, old), a.change(2, next))
	})
	return err
}

// moved turns the absence of a record that was there a moment ago into a conflict, so that the operation looks again.
func moved(err error) error {
	if errors.Is(err, keystore.ErrNotFound) {
		return keystore.ErrConflict
	}
	return err
}

var opDeleteAlias = operation{
	name: "DeleteAlias", changes: true, params: aliasParams,
	needs: []need{
		{action: "kms:DeleteAlias", on: onAlias},
		{action: "kms:DeleteAlias", on: onAliasTarget, states: anyState},
	},
}

// DeleteAlias removes an alias, not its key. It needs kms:DeleteAlias on the alias, which no key policy can give, and on the key.
func (c *Client) DeleteAlias(ctx context.Context, name string) error {
	_, err := do(ctx, c, &opDeleteAlias, aliasRequest(name, "", false), func(ctx context.Context, a admitted) (struct{}, error) {
		a.addAlias(a.req.alias)
		var r aliasRecord
		from, _, err := a.client.c.read(ctx, kindAlias, a.req.alias, &r)
		if err != nil {
			return struct{}{}, moved(err)
		}
		if r.target != a.keys[1].id {
			return struct{}{}, keystore.ErrConflict
		}
		next := a.keys[1].clone()
		next.removeAlias(a.req.alias)
		b := a.batch()
		b.remove(kindAlias, a.req.alias, from)
		return struct{}{}, a.commit(ctx, b, a.change(1, next))
	})
	return err
}

// An AliasListEntry is one alias in a list.
type AliasListEntry struct {
	AliasName       string // "alias/..."
	AliasARN        string
	TargetKeyID     string // empty if the alias's record is damaged
	CreationDate    time.Time
	LastUpdatedDate time.Time
}

var opListAliases = operation{
	name: "ListAliases", params: pageParams,
	needs: []need{{action: "kms:ListAliases", on: onAccount}},
}

// opListKeyAliases is ListAliases of one key: the same permission, not one on the key.
var opListKeyAliases = operation{
	name: opListAliases.name, params: func(r *request, e *audit.Event) { keyParam(r, e); pageParams(r, e) },
	needs: []need{{action: "kms:ListAliases", on: onNamedKey, forms: keyForm, states: anyState}},
}

// ListAliases lists the aliases of a key, or with an empty ref all of the ring, in the order of their names.
func (c *Client) ListAliases(ctx context.Context, ref string) iter.Seq2[AliasListEntry, error] {
	return pages(ctx, func(ctx context.Context, in PageInput) (Page[AliasListEntry], error) {
		return c.ListAliasesPage(ctx, ref, in)
	})
}

// ListAliasesPage returns one page of [Client.ListAliases], of up to 100 aliases, by default 50.
func (c *Client) ListAliasesPage(ctx context.Context, ref string, in PageInput) (Page[AliasListEntry], error) {
	const limit, usual = 100, 50
	if ref == "" {
		return listPage(ctx, c, &opListAliases, &request{}, in, listing[AliasListEntry]{
			limit: limit, usual: usual, prefix: func(admitted) string { return aliasPrefix }, entry: aliasEntry,
		})
	}
	return listInline(ctx, c, &opListKeyAliases, refRequest(ref), in, limit, usual,
		func(a admitted) []string { return a.keys[0].aliases },
		func(ctx context.Context, a admitted, name string) (AliasListEntry, bool, error) {
			item, err := a.client.c.store.Get(ctx, name)
			if errors.Is(err, keystore.ErrNotFound) { // moved or removed since the key was read
				return AliasListEntry{}, false, nil
			}
			if err != nil {
				return AliasListEntry{}, false, err
			}
			e, listed, err := aliasEntry(ctx, a, item)
			if e.TargetKeyID != "" && e.TargetKeyID != a.keys[0].id.String() { // likewise
				listed = false
			}
			return e, listed, err
		})
}

// aliasEntry makes an entry of an alias's record. An alias that its key does not know, or whose key is gone, is not listed.
func aliasEntry(ctx context.Context, a admitted, item keystore.Record) (AliasListEntry, bool, error) {
	c := a.client.c
	var r aliasRecord
	if _, _, err := c.open(ctx, kindAlias, item.Name, item, &r); err != nil {
		// One damaged record must not hide the others. It is listed without what it points to.
		return AliasListEntry{AliasName: item.Name, AliasARN: c.ring.aliasARN(item.Name)}, true, nil
	}
	now := c.clock.stamp()
	k, err := c.load(ctx, r.target, now)
	if err == nil && !k.hasAlias(item.Name, a.now) { // it may have got it since it was read
		k, err = c.reload(ctx, r.target, now.mono)
	}
	switch {
	case errors.Is(err, errNoKey):
		return AliasListEntry{}, false, nil
	case errors.Is(err, record.ErrDamaged), errors.Is(err, keystore.ErrDamaged):
		return AliasListEntry{AliasName: item.Name, AliasARN: c.ring.aliasARN(item.Name), TargetKeyID: r.target.String()}, true, nil
	case err != nil:
		return AliasListEntry{}, false, err
	}
	e := AliasListEntry{AliasName: item.Name, AliasARN: c.ring.aliasARN(item.Name), TargetKeyID: r.target.String(),
		CreationDate: unixTime(r.created), LastUpdatedDate: unixTime(r.updated)}
	return e, k.hasAlias(item.Name, a.now), nil
}
