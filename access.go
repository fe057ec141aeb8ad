package kms

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// An Access tells who may do something with a key.
type Access struct {
	KeyARN string
	Action string // "kms:Decrypt"

	// Principals are those who may, by policies: the root user, every user and role that Identities knows, and every principal that the key policy names.
	Principals []PrincipalAccess

	// Grants are those that allow it, if the action is one that a grant can allow.
	Grants []GrantAccess

	// OtherAccounts are those to whose principals the key policy opens the action, by naming them or their account, and those of Principals; in ascending order.
	OtherAccounts []string

	// Everyone tells that the key policy opens the action to "*": to every principal of the key's account and, if the operation can be called from other accounts, to
	// those of every other account that permits it. A condition may narrow that, as OnlyIf tells: to one account (kms:CallerAccount) as well as to a circumstance.
	Everyone bool
	OnlyIf   bool // Everyone depends on conditions

	// Unadministered tells that nobody may change the key policy, whatever the circumstances.
	Unadministered bool
}

// A GrantAccess is that a grant allows something.
type GrantAccess struct {
	Grant
	LastUsed time.Time // the day of its last use, as far as it was written down; zero if it was never used
}

// A PrincipalAccess is that a principal may do something.
type PrincipalAccess struct {
	Principal   string   // the ARN of a user, role, session, federated user or root user, or the name of a service
	Conditional bool     // it depends on circumstances: on conditions, or on policies of another account that are not known here
	Grounds     []Ground // what allows it
}

// known are the condition keys whose values are known of anybody, whatever the request. The tags of a session are not, since it may bring its own.
var known = map[string]bool{
	"aws:principalarn": true, "aws:principalaccount": true, "kms:calleraccount": true, "aws:principaltype": true, "aws:username": true, "aws:principalisawsservice": true,
	"aws:principalservicename": true, "aws:principalservicenameslist": true, "aws:requestedregion": true, "aws:resourceaccount": true, "aws:resourcetag": true,
	"kms:keyspec": true, "kms:customermasterkeyspec": true, "kms:keyusage": true, "kms:customermasterkeyusage": true, "kms:keyorigin": true, "kms:multiregion": true,
	"kms:resourcealiases": true,
}

// personal are those of them whose values differ among the principals of an account, and national those that an account's principals share: neither is known of a
// stranger, of whom the policy says what it says of everyone.
var (
	personal = map[string]bool{"aws:principalarn": true, "aws:principaltype": true, "aws:username": true}
	national = map[string]bool{"aws:principalaccount": true, "kms:calleraccount": true}
)

func isKnown(k policy.Key) bool           { return known[k.Name] }
func isKnownOfAccount(k policy.Key) bool  { return known[k.Name] && !personal[k.Name] }
func isKnownOfEveryone(k policy.Key) bool { return isKnownOfAccount(k) && !national[k.Name] }

// WhoCan tells who may do something with a key, such as "kms:Decrypt": what it reports beside the unconditional is possible, and what it does not report is not, as far
// as the policies are known. The state of the key does not matter. It reads every grant on the key, and asks about everyone whom Config.Identities knows.
func (k *Keyring) WhoCan(ctx context.Context, ref, action string) (Access, error) {
	c := k.c
	if !c.gate.enter() {
		return Access{}, &Error{Op: "WhoCan", Code: ErrServiceUnavailable, Message: "the keyring is closed"}
	}
	defer c.gate.leave()
	if !strings.Contains(action, ":") {
		action = actionPrefix + action
	}
	a, err := c.access(ctx, ref, action)
	if err != nil {
		return Access{}, wrap("WhoCan", printable(ref), err)
	}
	return a, nil
}

func (c *core) access(ctx context.Context, ref, action string) (Access, error) {
	if !slices.ContainsFunc(operations, func(op *operation) bool { return op.asksOfKey(action) }) {
		return Access{}, faultf(ErrValidation, "%s is no action on a key.", printable(action))
	}
	k, err := c.find(ctx, ref)
	if err != nil {
		return Access{}, err
	}
	people, err := c.census()
	if err != nil {
		return Access{}, err
	}
	a := Access{KeyARN: k.arn, Action: action, Unadministered: true}
	accounts := make(map[string]bool)
	for who := range c.principals(people, k) {
		may, conditional, grounds, err := c.may(people, k, who, action)
		if err != nil {
			return Access{}, err
		}
		if may {
			a.Principals = append(a.Principals, PrincipalAccess{c.ring.principalName(who), conditional, grounds})
			if who.account != "" && who.account != c.ring.account {
				accounts[who.account] = true
			}
		}
		if may, _, _, err = c.may(people, k, who, actionPutKeyPolicy); err != nil {
			return Access{}, err
		}
		a.Unadministered = a.Unadministered && !may
	}
	slices.SortFunc(a.Principals, func(a, b PrincipalAccess) int { return cmp.Compare(a.Principal, b.Principal) })
	a.Everyone, a.OnlyIf = c.everyone(k, action)
	c.openings(k, action, accounts)
	if c.cfg.Identities == nil && a.Unadministered { // there are others than those who are named
		may, _ := c.everyone(k, actionPutKeyPolicy)
		a.Unadministered = !may
	}
	a.OtherAccounts = slices.Sorted(maps.Keys(accounts))
	a.Grants, err = c.grantsFor(ctx, k, action)
	return a, err
}

// find returns the key that a reference names.
func (c *core) find(ctx context.Context, text string) (*key, error) {
	at, now := c.clock.read()
	ref, err := c.ring.parse(text, anyForm)
	if err != nil {
		return nil, err
	}
	var k *key
	if ref.alias != "" {
		k, err = c.loadAlias(ctx, ref.alias, at, now, true)
	} else {
		k, err = c.reload(ctx, ref.id, at.mono)
	}
	if err == errNoKey || err == nil && k.isDeleted(now) {
		return nil, c.ring.notFound(ref)
	}
	return k, err
}

// principals ranges over everyone whom the key's policy or the ring's identities name.
func (c *core) principals(people census, k *key) iter.Seq[Caller] {
	return func(yield func(Caller) bool) {
		seen := make(map[string]bool)
		try := func(name string) bool {
			who, ok := people.callerOf(name)
			if !ok || seen[name] {
				return true
			}
			seen[name] = true
			return yield(who)
		}
		if !try(c.ring.rootARN(c.ring.account)) {
			return
		}
		if people.ids != nil {
			for i := range people.ids.All() {
				if !try(i.ARN) {
					return
				}
			}
		}
		for p := range k.document.Principals() {
			if p.Type == "Service" {
				if !seen[p.Value] && !yield(Service(p.Value)) {
					return
				}
				seen[p.Value] = true
			} else if !try(p.Value) {
				return
			}
		}
	}
}

// callerOf returns a caller that an ARN names.
func (c census) callerOf(name string) (who Caller, ok bool) {
	a, err := arn.Parse(name)
	if err != nil {
		return Caller{}, false
	}
	kind, rest, _ := strings.Cut(a.Resource, "/")
	switch kind {
	case "root":
		who = Root()
	case "user":
		who = User(rest)
	case "role":
		who = Role(rest)
	case "assumed-role":
		role, session, _ := strings.Cut(rest, "/")
		if c.ids != nil {
			if path, found := c.roleNamed(a.Account, role); found {
				role = path
			}
		}
		who = Session(role, session)
	case "federated-user":
		who = FederatedUser("unknown", rest)
	default:
		return Caller{}, false
	}
	who = who.InAccount(a.Account)
	return who, who.Err() == nil
}

// principalName is how policies name a caller: a role by its own ARN, unless the caller is one session of it.
func (r *ringID) principalName(c Caller) string {
	who := r.actorOf(c)
	if c.anySession {
		return who.principal.Role
	}
	return who.principal.ARN
}

// may reports whether a principal may do something with a key in some circumstances, and whether it depends on them.
func (c *core) may(people census, k *key, who Caller, action string) (may, conditional bool, grounds []Ground, err error) {
	cl := c.imagine(k, who, action)
	federated := who.kind == policy.FederatedUser // by whom is not known
	switch cl.standing, err = people.standing(cl.client.caller); {
	case errors.Is(err, errUnknownCaller) && federated:
	case errors.Is(err, errUnknownCaller):
		return false, false, nil, nil
	case err != nil:
		return false, false, nil, err
	case cl.isForeign() && !cl.op.across:
		return false, false, nil, nil
	}
	in := cl.question(0)
	best := Evaluate(in.assume(true, isKnown))
	if cl.isForeign() && people.ids == nil && best.Outcome != Allowed && best.Missing() == SourceIdentity && cl.client.caller.principal.Type != policy.RootUser {
		return true, true, nil, nil // if its own account permits it, of which nothing is known
	}
	if best.Outcome != Allowed {
		return false, false, nil, nil
	}
	worst := Evaluate(in.assume(false, isKnown))
	return true, worst.Outcome != Allowed || federated, best.Grounds(), nil
}

// imagine returns a call that is never made.
func (c *core) imagine(k *key, who Caller, action string) *call {
	op := &operation{name: strings.TrimPrefix(action, actionPrefix), needs: []need{{action: action}}}
	op.across = slices.ContainsFunc(operations, func(o *operation) bool { return o.across && o.asksOfKey(action) })
	cl := &call{frame: frame{client: &Client{c: c, caller: c.ring.actorOf(who)}, op: op, req: request{details: &noDetails}, keys: [3]*key{k}}}
	cl.at, cl.now = c.clock.read()
	return cl
}

// assume returns the input with the conditions on what is not known decided, for the caller or against it.
func (in EvaluateInput) assume(favourable bool, isKnown func(policy.Key) bool) EvaluateInput {
	one := func(doc *PolicyDocument) *PolicyDocument {
		if doc == nil {
			return nil
		}
		return doc.Assume(favourable, isKnown)
	}
	all := func(documents []*PolicyDocument) (assumed []*PolicyDocument) {
		for _, doc := range documents {
			assumed = append(assumed, one(doc))
		}
		return assumed
	}
	levels := func(levels [][]*PolicyDocument) (assumed [][]*PolicyDocument) {
		for _, documents := range levels {
			assumed = append(assumed, all(documents))
		}
		return assumed
	}
	in.KeyPolicy, in.Identity, in.Boundary, in.Session = one(in.KeyPolicy), all(in.Identity), one(in.Boundary), all(in.Session)
	in.ServiceControl, in.ResourceControl = levels(in.ServiceControl), levels(in.ResourceControl)
	return in
}

// everyone reports whether the key policy opens an action to everyone, and whether only under conditions.
func (c *core) everyone(k *key, action string) (may, conditional bool) {
	// whoever that is, no policy names them
	stranger, isKnown := c.imagine(k, User("-").InAccount(strangerAccount), action), isKnownOfEveryone
	if !stranger.op.across {
		stranger, isKnown = c.imagine(k, User("-"), action), isKnownOfAccount
	}
	in := stranger.question(0)
	opens := func(favourable bool) bool {
		v := in.assume(favourable, isKnown).KeyPolicy.Evaluate(in.Request)
		return v.Everyone.Found() && !v.Deny.Found()
	}
	may = opens(true)
	return may, may && !opens(false)
}

// openings finds out to which other accounts the key policy opens an action.
func (c *core) openings(k *key, action string, accounts map[string]bool) {
	for p := range k.document.Principals() {
		account := p.Value
		if named, err := arn.Parse(p.Value); err == nil {
			account = named.Account
		}
		if p.Type != "AWS" || !arn.IsAccountID(account) || account == c.ring.account {
			continue
		}
		stranger := c.imagine(k, User("-").InAccount(account), action)
		in := stranger.question(0)
		if v := in.assume(true, isKnownOfAccount).KeyPolicy.Evaluate(in.Request); stranger.op.across && v.Account.Found() && !v.Deny.Found() {
			accounts[account] = true
		}
	}
}

// strangerAccount is that of nobody: no account id begins with a zero and has no other digit but the last.
const strangerAccount = "000000000001"

// grantsFor returns the grants on a key that allow an action.
func (c *core) grantsFor(ctx context.Context, k *key, action string) ([]GrantAccess, error) {
	op := GrantOperation(strings.TrimPrefix(action, actionPrefix))
	if !slices.Contains(grantOperations, op) || k.grants.count == 0 {
		return nil, nil
	}
	var found []GrantAccess
	for item, err := range keystore.Walk(ctx, c.store, grantPrefix(k.id)) {
		var r *grantRecord
		if err == nil {
			r, _, err = c.openGrant(ctx, item)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isDamage(err): // it allows nothing
		case err != nil:
			return nil, err
		case slices.Contains(r.operations, string(op)):
			used, err := c.lastUse(ctx, usageKey{r.key, r.id})
			if err != nil && !isDamage(err) {
				return nil, err
			}
			found = append(found, GrantAccess{*r.grant(c.ring.ringID), unixTime(used)})
		}
	}
	return found, nil
}
