package kms

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
)

// Waiting periods of a scheduled deletion, in days.
const (
	minDeletionWindow     = 7
	maxDeletionWindow     = 30
	defaultDeletionWindow = 30
)

const maxDescription = 8192

// KeyMetadata describes a key.
type KeyMetadata struct {
	AccountID    string
	KeyID        string // the bare id
	ARN          string
	CreationDate time.Time
	Enabled      bool // exactly when KeyState is Enabled
	Description  string
	KeyUsage     KeyUsage
	KeyState     KeyState
	DeletionDate time.Time // when a key in PendingDeletion goes; zero in any other state
	Origin       Origin
	KeyManager   KeyManager
	KeySpec      KeySpec
	KeyAlgorithms
	MultiRegion          bool
	CurrentKeyMaterialID string // 64 hex digits, of a symmetric encryption key; else empty
}

// KeyAlgorithms are the algorithms that a key can be used with. The list of its usage is filled.
type KeyAlgorithms struct {
	EncryptionAlgorithms    []Algorithm
	SigningAlgorithms       []Algorithm
	MacAlgorithms           []Algorithm
	KeyAgreementAlgorithms  []Algorithm
	EncapsulationAlgorithms []Algorithm
}

// list is the list of a usage, and what AWS KMS calls it.
func (l *KeyAlgorithms) list(usage KeyUsage) (name string, list *[]Algorithm) {
	switch usage {
	case SignVerify:
		return "signingAlgorithms", &l.SigningAlgorithms
	case GenerateVerifyMac:
		return "macAlgorithms", &l.MacAlgorithms
	case KeyAgreement:
		return "keyAgreementAlgorithms", &l.KeyAgreementAlgorithms
	case EncapsulateDecapsulate:
		return "encapsulationAlgorithms", &l.EncapsulationAlgorithms
	default:
		return "encryptionAlgorithms", &l.EncryptionAlgorithms
	}
}

func (k *key) algorithmLists() (l KeyAlgorithms) {
	_, list := l.list(k.usage)
	*list = slices.Clone(k.algorithms)
	return l
}

func (k *key) metadata(account string) KeyMetadata {
	m := KeyMetadata{
		AccountID: account, KeyID: k.id.String(), ARN: k.arn, CreationDate: unixTime(k.created), Enabled: k.state == Enabled, Description: k.description,
		KeyUsage: k.usage, KeyState: k.state, Origin: k.origin, KeyManager: cmp.Or(k.manager, ManagerCustomer), KeySpec: k.spec,
		KeyAlgorithms: k.algorithmLists(), MultiRegion: k.id.multiRegion,
	}
	if k.kind == symmetricKind {
		m.CurrentKeyMaterialID = k.current.String()
	}
	if k.state == PendingDeletion {
		m.DeletionDate = unixTime(k.deletion.date)
	}
	return m
}

// unixTime is a stored time; zero stays zero.
func unixTime(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// isDeleted reports whether a key's waiting period is over. Such a key is gone, whether or not its material was destroyed yet.
func (r *keyRecord) isDeleted(now int64) bool {
	return r.state == PendingDeletion && now >= r.deletion.date
}

// A CreateKeyInput says what key to create. Its zero value makes a symmetric encryption key under the default policy.
type CreateKeyInput struct {
	Description string // up to 8192 characters
	KeySpec     KeySpec
	KeyUsage    KeyUsage // which any other spec than SymmetricDefault needs
	Policy      string   // a key policy; empty for the default one, see [Keyring.DefaultPolicy]
	Tags        []Tag

	// BypassPolicyLockoutSafetyCheck stores a policy that would not let the caller change it again.
	BypassPolicyLockoutSafetyCheck bool
}

var opCreateKey = operation{
	name: "CreateKey", changes: true,
	needs: []need{{action: "kms:CreateKey", on: onAccount}},
	params: func(r *request, e *audit.Event) {
		e.Request = append(e.Request, slog.String("description", r.description), slog.String("origin", string(r.origin)),
			slog.Bool("bypassPolicyLockoutSafetyCheck", r.bypass), slog.String("customerMasterKeySpec", string(r.spec)),
			slog.String("keySpec", string(r.spec)), slog.String("keyUsage", string(r.usage)), slog.Bool("multiRegion", false))
		if r.policy != "" {
			e.Request = append(e.Request, slog.String("policy", r.policy))
		}
		if len(r.tags) > 0 {
			e.Request = append(e.Request, slog.Any("tags", tagTexts(r.tags)))
		}
	},
}

// CreateKey creates a key. It needs kms:CreateKey, and kms:TagResource if there are tags, neither of which a key policy can give. A policy that is malformed, or
// under which the caller could not change it, is [ErrMalformedPolicy]; bad tags are [ErrTag]; a spec that cannot be had, or not in a program that is confined to Go's
// FIPS module, is [ErrUnsupportedOperation].
//
// A fresh RSA key takes a while to find, from a tenth of a second to several: ctx can end that.
func (c *Client) CreateKey(ctx context.Context, in CreateKeyInput) (KeyMetadata, error) {
	in.Tags = slices.Clone(in.Tags) // what is checked is what is stored
	req := request{details: &details{description: in.Description, spec: in.KeySpec, usage: in.KeyUsage, origin: OriginAWSKMS, policy: in.Policy,
		tags: in.Tags, bypass: in.BypassPolicyLockoutSafetyCheck}}
	setDefault(&req.spec, SymmetricDefault)
	if req.spec == SymmetricDefault {
		setDefault(&req.usage, EncryptDecrypt)
	}
	req.invalid = in.check(&req)
	op := &opCreateKey
	if len(in.Tags) > 0 {
		op = &opCreateTaggedKey
	}
	var raw []byte // found once, however often others change the totals meanwhile
	defer func() { clear(raw) }()
	return do(ctx, c, op, &req, func(ctx context.Context, a admitted) (KeyMetadata, error) {
		core := a.client.c
		id := core.newKeyID()
		r := &keyRecord{id: id, spec: a.req.spec, usage: a.req.usage, origin: a.req.origin, created: a.now, state: Enabled,
			description: a.req.description, tags: sortedTags(a.req.tags)}
		doc, err := a.setPolicy(r, cmp.Or(a.req.policy, core.ring.defaultPolicy()))
		if err == nil && a.req.policy != "" && !a.req.bypass {
			err = a.checkLockout(doc, r)
		}
		if err != nil {
			return KeyMetadata{}, err
		}
		k := core.newKey(r)
		if err := k.refusal(""); err != nil || a.client.dryRun {
			return KeyMetadata{}, err
		}
		if raw == nil {
			if raw, err = core.generate(ctx, k.specification); err != nil {
				return KeyMetadata{}, err
			}
		}
		b := a.batch()
		m, err := core.addVersion(b, r, raw, a.now, "", [32]byte{})
		if err != nil {
			return KeyMetadata{}, err
		}
		meta := k.metadata(core.ring.account)
		a.addResource(k)
		a.respondKey(meta)
		return meta, a.commit(ctx, b, keyChange{next: r, material: m})
	})
}

// opCreateTaggedKey is CreateKey with tags, which is a permission of its own.
var opCreateTaggedKey = operation{
	name: opCreateKey.name, changes: true, params: opCreateKey.params,
	needs: []need{{action: "kms:CreateKey", on: onAccount}, {action: "kms:TagResource", on: onAccount}},
}

func (in *CreateKeyInput) check(req *request) error {
	var v violations
	v.length("description", utf8.RuneCountInString(in.Description), 0, maxDescription)
	if !utf8.ValidString(in.Description) {
		v.add("description", "", "be valid UTF-8")
	}
	if in.Policy != "" {
		v.policy("policy", in.Policy)
	}
	checkEnum(&v, "keySpec", req.spec, specs(func(*specification) bool { return true }))
	if req.usage != "" {
		checkEnum(&v, "keyUsage", req.usage, keyUsages)
	}
	v.tags(in.Tags)
	if err := v.err(); err != nil {
		return err
	}
	if req.usage == "" {
		return faultf(ErrValidation, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	}
	if _, ok := req.spec.specification().usages[req.usage]; !ok {
		return faultf(ErrValidation, "KeyUsage %s is not compatible with KeySpec %s", req.usage, req.spec)
	}
	return checkTags(in.Tags)
}

// respondKey says in the event what key was made.
func (a admitted) respondKey(m KeyMetadata) {
	algorithms, list := m.list(m.KeyUsage)
	attrs := []slog.Attr{
		slog.String("aWSAccountId", m.AccountID), slog.String("keyId", m.KeyID), slog.String("arn", m.ARN), slog.Time("creationDate", m.CreationDate),
		slog.Bool("enabled", m.Enabled), slog.String("description", m.Description), slog.String("keyUsage", string(m.KeyUsage)),
		slog.String("keyState", string(m.KeyState)), slog.String("origin", string(m.Origin)), slog.String("keyManager", string(m.KeyManager)),
		slog.String("customerMasterKeySpec", string(m.KeySpec)), slog.String("keySpec", string(m.KeySpec)), slog.Bool("multiRegion", m.MultiRegion),
		slog.Any(algorithms, texts(*list))}
	if m.CurrentKeyMaterialID != "" {
		attrs = append(attrs, slog.String("currentKeyMaterialId", m.CurrentKeyMaterialID))
	}
	a.respond(slog.GroupAttrs("keyMetadata", attrs...))
}

var opDescribeKey = operation{
	name: "DescribeKey", across: true, tokens: true, params: keyParam,
	needs: []need{{action: "kms:DescribeKey", states: anyState}},
}

// DescribeKey describes a key, which ref names by its id, ARN, alias name or alias ARN. It works in every state.
func (c *Client) DescribeKey(ctx context.Context, ref string) (KeyMetadata, error) {
	return do(ctx, c, &opDescribeKey, refRequest(ref), func(ctx context.Context, a admitted) (KeyMetadata, error) {
		return a.keys[0].metadata(a.client.c.ring.account), nil
	})
}

// refRequest is the request of an operation that takes a key and nothing else.
func refRequest(ref string) *request {
	req := &request{refs: [2]string{ref}}
	var v violations
	v.ref("keyId", ref)
	req.invalid = v.err()
	return req
}

// ref checks the length of a key reference.
func (v *violations) ref(member, ref string) { v.length(member, len(ref), 1, maxRefLen) }

// changeKey runs an operation that changes the record of one key and returns nothing. edit changes next, a copy of the record, and reports whether there is
// anything to write. That there is nothing is said only of a record that was read for this call: another process may have changed it since it was read before.
func (c *Client) changeKey(ctx context.Context, op *operation, req *request, edit func(a admitted, next *keyRecord) (bool, error)) error {
	_, err := do(ctx, c, op, req, func(ctx context.Context, a admitted) (struct{}, error) {
		next := a.keys[0].clone()
		changed, err := edit(a, next)
		switch {
		case err != nil:
			return struct{}{}, err
		case changed:
			return struct{}{}, a.commit(ctx, a.batch(), a.change(0, next))
		case a.again:
			return struct{}{}, nil
		default:
			return struct{}{}, keystore.ErrConflict // to look again
		}
	})
	return err
}

var opUpdateKeyDescription = operation{
	name: "UpdateKeyDescription", changes: true,
	needs: []need{{action: "kms:UpdateKeyDescription", forms: keyForm, states: inEnabled | inDisabled}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		e.Request = append(e.Request, slog.String("description", r.description))
	},
}

// UpdateKeyDescription replaces a key's description, of up to 8192 characters.
func (c *Client) UpdateKeyDescription(ctx context.Context, ref, description string) error {
	req := &request{refs: [2]string{ref}, details: &details{description: description}}
	var v violations
	v.ref("keyId", ref)
	v.length("description", utf8.RuneCountInString(description), 0, maxDescription)
	if !utf8.ValidString(description) {
		v.add("description", "", "be valid UTF-8")
	}
	req.invalid = v.err()
	return c.changeKey(ctx, &opUpdateKeyDescription, req, func(a admitted, next *keyRecord) (bool, error) {
		changed := next.description != a.req.description
		next.description = a.req.description
		return changed, nil
	})
}

var opEnableKey = operation{
	name: "EnableKey", changes: true, params: keyParam,
	needs: []need{{action: "kms:EnableKey", forms: keyForm, states: inEnabled | inDisabled}},
}

// EnableKey makes a disabled key usable. A key that is enabled stays so. A rotation that fell due meanwhile is made by the next operation on the key.
func (c *Client) EnableKey(ctx context.Context, ref string) error {
	return c.setState(ctx, &opEnableKey, ref, Enabled)
}

var opDisableKey = operation{
	name: "DisableKey", changes: true, params: keyParam,
	needs: []need{{action: "kms:DisableKey", forms: keyForm, states: inEnabled | inDisabled}},
}

// DisableKey makes a key unusable until it is enabled again. It is in effect in this process at once, and in every other within Config.MaxStaleness.
func (c *Client) DisableKey(ctx context.Context, ref string) error {
	return c.setState(ctx, &opDisableKey, ref, Disabled)
}

func (c *Client) setState(ctx context.Context, op *operation, ref string, state KeyState) error {
	return c.changeKey(ctx, op, refRequest(ref), func(_ admitted, next *keyRecord) (bool, error) {
		changed := next.state != state
		next.state = state
		return changed, nil
	})
}

var opScheduleKeyDeletion = operation{
	name: "ScheduleKeyDeletion", changes: true,
	needs: []need{{action: "kms:ScheduleKeyDeletion", forms: keyForm, states: inEnabled | inDisabled}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		e.Request = append(e.Request, slog.Int("pendingWindowInDays", r.window))
	},
}

// A ScheduleKeyDeletionResult tells when a key goes.
type ScheduleKeyDeletionResult struct {
	KeyARN              string
	DeletionDate        time.Time
	KeyState            KeyState
	PendingWindowInDays int
}

// ScheduleKeyDeletion puts a key into PendingDeletion: it cannot be used from now on, and after the waiting period of 7 to 30 days it is gone, with everything
// that was encrypted under it. Zero days mean 30. [Client.CancelKeyDeletion] takes it back until then. The material is destroyed by [Keyring.Maintain].
//
// The period is counted from the latest time that the ring knows to have come, so that a clock which is behind takes nothing from it: from the clock's, that of the
// key's last change, the one that Maintain saw last in any process, or what has passed since the ring was opened. The result's DeletionDate says when the key goes.
func (c *Client) ScheduleKeyDeletion(ctx context.Context, ref string, pendingWindowInDays int) (ScheduleKeyDeletionResult, error) {
	req := &request{refs: [2]string{ref}, details: &details{window: pendingWindowInDays}}
	setDefault(&req.window, defaultDeletionWindow)
	var v violations
	v.ref("keyId", ref)
	v.between("pendingWindowInDays", req.window, minDeletionWindow, maxDeletionWindow)
	req.invalid = v.err()
	return do(ctx, c, &opScheduleKeyDeletion, req, func(ctx context.Context, a admitted) (ScheduleKeyDeletionResult, error) {
		begin, err := a.client.c.passed(ctx, a.at, a.now, a.keys[0])
		if err != nil {
			return ScheduleKeyDeletionResult{}, err
		}
		next := a.keys[0].clone()
		next.state = PendingDeletion
		next.deletion = deletionRecord{date: after(begin, time.Duration(a.req.window)*Day), window: uint64(a.req.window)}
		res := ScheduleKeyDeletionResult{KeyARN: a.keys[0].arn, DeletionDate: unixTime(next.deletion.date), KeyState: next.state, PendingWindowInDays: a.req.window}
		a.respond(slog.String("keyId", res.KeyARN), slog.String("keyState", string(res.KeyState)), slog.Int("pendingWindowInDays", res.PendingWindowInDays),
			slog.Time("deletionDate", res.DeletionDate))
		return res, a.commit(ctx, a.batch(), a.change(0, next))
	})
}

var opCancelKeyDeletion = operation{
	name: "CancelKeyDeletion", changes: true, params: keyParam,
	needs: []need{{action: "kms:CancelKeyDeletion", forms: keyForm, states: inPendingDeletion}},
}

// CancelKeyDeletion takes a scheduled deletion back and returns the key's ARN. The key is Disabled afterwards, whatever it was before.
func (c *Client) CancelKeyDeletion(ctx context.Context, ref string) (keyARN string, err error) {
	return do(ctx, c, &opCancelKeyDeletion, refRequest(ref), func(ctx context.Context, a admitted) (string, error) {
		next := a.keys[0].clone()
		next.state, next.deletion = Disabled, deletionRecord{}
		a.respond(slog.String("keyId", a.keys[0].arn))
		return a.keys[0].arn, a.commit(ctx, a.batch(), a.change(0, next))
	})
}

// A KeyListEntry is one key in a list.
type KeyListEntry struct{ KeyID, KeyARN string }

var opListKeys = operation{
	name: "ListKeys", params: pageParams,
	needs: []need{{action: "kms:ListKeys", on: onAccount}},
}

// ListKeys lists all keys of the ring, whatever their state, in the order of their ids. Nothing happens until it is ranged over; each page is one operation.
func (c *Client) ListKeys(ctx context.Context) iter.Seq2[KeyListEntry, error] {
	return pages(ctx, c.ListKeysPage)
}

// ListKeysPage returns one page of [Client.ListKeys], of up to 1000 entries, by default 100.
func (c *Client) ListKeysPage(ctx context.Context, in PageInput) (Page[KeyListEntry], error) {
	return listPage(ctx, c, &opListKeys, &request{}, in, listing[KeyListEntry]{
		limit: 1000, usual: 100, prefix: func(admitted) string { return kindKey + "/" }, entry: keyEntry,
	})
}

func keyEntry(ctx context.Context, a admitted, item keystore.Record) (KeyListEntry, bool, error) {
	id, ok := parseKeyID(item.Name[len(kindKey)+1:])
	if !ok {
		return KeyListEntry{}, false, errDamagedItem(item.Name)
	}
	e := KeyListEntry{KeyID: id.String(), KeyARN: a.client.c.ring.keyARN(id)}
	var r keyRecord
	if _, _, err := a.client.c.open(ctx, kindKey, item.Name, item, &r); err != nil {
		return e, true, nil // one damaged record must not hide the others: whoever uses the key is told
	}
	return e, !r.isDeleted(a.now), nil
}
