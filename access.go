package kms

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// An Access tells who may do something with a key.
type Access struct {
	KeyARN string
	Action string // "kms:Decrypt"

	// Principals are those who may, by policies: the root user, every user and role that Identities knows, and every principal that the key policy names. What only the
	// session of a federated user may, or one that an identity provider vouches for, is told of the user or role.
	Principals []PrincipalAccess

	// Grants are those that allow it, if the action is one that a grant can allow.
	Grants []GrantAccess

	// OtherAccounts are those to whose principals the key policy opens the action, in ascending order.
	OtherAccounts []string

	// Everyone tells that the key policy opens the action to "*": to every principal of the key's account, and to those of every other account that permits it. A
	// condition may narrow that, as OnlyIf tells.
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
	Principal   string   // the ARN of a user, role, session, federated user or root user, the name of a service, or an identity provider
	Conditional bool     // it depends on circumstances: on conditions, or on policies of another account that are not known here
	Grounds     []Ground // what allows it
}

// What a condition key says of is known of anybody, whatever the request, or of somebody who has a name. The tags of a session are not, since it may bring its own.
const (
	ofKey     = 1 << iota // and of the ring
	ofAccount             // that calls
	ofCaller
	ofName // the whole ARN

	ofAll = ofKey | ofAccount | ofCaller | ofName
)

var known = map[string]uint8{
	"aws:principalaccount": ofAccount, "kms:calleraccount": ofAccount,
	"aws:principalarn": ofName, "aws:principaltype": ofCaller, "aws:username": ofCaller, "aws:principalisawsservice": ofCaller,
	"aws:principalservicename": ofCaller, "aws:principalservicenameslist": ofCaller,
	"aws:requestedregion": ofKey, "aws:resourceaccount": ofKey, "aws:resourcetag": ofKey, "kms:keyspec": ofKey, "kms:customermasterkeyspec": ofKey, "kms:keyusage": ofKey,
	"kms:customermasterkeyusage": ofKey, "kms:keyorigin": ofKey, "kms:multiregion": ofKey, "kms:resourcealiases": ofKey,
}

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
			a.Principals = append(a.Principals, PrincipalAccess{cmp.Or(who.stranger(), c.ring.principalName(who)), conditional, grounds})
			if who.account != "" && who.account != c.ring.account {
				accounts[who.account] = true
			}
		}
		if may, _, _, err = c.may(people, k, who, actionPutKeyPolicy); err != nil {
			return Access{}, err
		}
		a.Unadministered = a.Unadministered && !may
	}
	if open, _ := c.opens(k, actionPutKeyPolicy, c.ring.account); open && people.ids == nil { // to somebody whom nobody names
		a.Unadministered = false
	}
	slices.SortFunc(a.Principals, func(a, b PrincipalAccess) int { return cmp.Compare(a.Principal, b.Principal) })
	c.openings(k, action, &a, accounts)
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
		for i := range people.all() {
			if !try(i.ARN) {
				return
			}
		}
		for p := range k.document.Principals() {
			if p.Type == "Service" {
				if !seen[p.Value] && !yield(Service(p.Value)) {
					return
				}
				seen[p.Value] = true
			} else if p.Type == "Federated" && people.ids == nil {
				if !seen[p.Value] && !yield(Role(nobody).WithProvider(p.Value)) {
					return
				}
				seen[p.Value] = true
			} else if !try(p.Value) {
				return
			}
		}
	}
}

// nobody is the name of a user or role that no policy is expected to name.
const nobody = "-"

// stranger returns the identity provider of a session whose role is anybody's guess, or "".
func (c Caller) stranger() string {
	if c.kind == policy.AssumedRole && c.name == nobody {
		return c.circumstances().provider
	}
	return ""
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
		if path, found := c.roleNamed(a.Account, role); found {
			role = path
		}
		who = Session(role, session)
	case "federated-user":
		who = FederatedUser(nobody, rest)
	default:
		return Caller{}, false
	}
	who = who.InAccount(a.Account)
	return who, who.Err() == nil
}

// guises ranges over the callers that a principal may be: first who it is by its name alone, then what that does not tell. A role may be taken by way of an identity
// provider, a user may federate, and a session does not say of which path its role is or who federated it.
func (c *core) guises(people census, k *key, who Caller) iter.Seq[Caller] {
	return func(yield func(Caller) bool) {
		if !yield(who) {
			return
		}
		behind := func(kind string) iter.Seq[string] { // the users or roles of the account, with their paths
			return func(yield func(string) bool) {
				prefix := "arn:" + c.ring.partition + ":iam::" + cmp.Or(who.account, c.ring.account) + ":" + kind + "/"
				for name := range c.names(people, k) {
					if path, ok := strings.CutPrefix(name, prefix); ok && !yield(path) {
						return
					}
				}
			}
		}
		var others []Caller
		as := func(name string) Caller {
			other := who
			other.name = name
			return other
		}
		switch who.kind {
		case policy.User:
			others = append(others, FederatedUser(who.name, "any").InAccount(cmp.Or(who.account, c.ring.account)).unlimited())
			others[0].anySession = true
		case policy.FederatedUser:
			others = append(others, who.unlimited())
			for user := range behind("user") {
				others = append(others, as(user).unlimited())
			}
		case policy.AssumedRole:
			for role := range behind("role") {
				if !who.anySession && role != who.name && baseName(role) == baseName(who.name) {
					others = append(others, as(role))
				}
			}
			for _, role := range append([]Caller{who}, others...) {
				for p := range k.document.Principals() {
					if p.Type == "Federated" && role.circumstances().provider == "" {
						others = append(others, role.WithProvider(p.Value))
					}
				}
			}
		}
		for _, other := range others {
			if !yield(other) {
				return
			}
		}
	}
}

// names ranges over the ARNs that the ring's identities have and that the key's policy names.
func (c *core) names(people census, k *key) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range people.all() {
			if !yield(i.ARN) {
				return
			}
		}
		for p := range k.document.Principals() {
			if p.Type == "AWS" && !yield(p.Value) {
				return
			}
		}
	}
}

// unlimited returns the session as one whose own policies allow everything.
func (c Caller) unlimited() Caller {
	return c.with(func(more *circumstances) { more.policies = []*PolicyDocument{everything()} })
}

var everything = sync.OnceValue(func() *PolicyDocument {
	doc, err := policy.Parse(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, policy.IdentityPolicy)
	if err != nil {
		panic("kms: " + err.Error()) // of a constant
	}
	return doc
})

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
	for guise := range c.guises(people, k, who) {
		if may, conditional, grounds, err = c.mayAs(people, k, guise, action); may || err != nil {
			return may, conditional || guise != who, grounds, err
		}
	}
	return false, false, nil, nil
}

// mayAs is may for one guise.
func (c *core) mayAs(people census, k *key, who Caller, action string) (may, conditional bool, grounds []Ground, err error) {
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
	sure := uint8(ofAll)
	switch {
	case who.stranger() != "":
		sure = ofKey
	case federated && who.anySession, who.kind == policy.AssumedRole && !who.anySession && people.ids == nil: // nor does a session tell the path of its role
		sure &^= ofName
	}
	in := cl.question(0)
	best := Evaluate(in.assume(true, sure))
	if cl.isForeign() && people.ids == nil && best.Outcome != Allowed && best.Missing() == SourceIdentity && cl.client.caller.principal.Type != policy.RootUser {
		return true, true, nil, nil // if its own account permits it, of which nothing is known
	}
	if best.Outcome != Allowed {
		return false, false, nil, nil
	}
	worst := Evaluate(in.assume(false, sure))
	return true, worst.Outcome != Allowed || federated, best.Grounds(), nil
}

// imagine returns a call that is never made.
func (c *core) imagine(k *key, who Caller, action string) *call {
	op := &operation{name: strings.TrimPrefix(action, actionPrefix), needs: []need{{action: action}}}
	op.across = slices.ContainsFunc(operations, func(o *operation) bool { return o.across && o.asksOfKey(action) })
	caller := c.ring.actorOf(who)
	if who.anySession { // which no policy names in person
		caller.principal.ARN = strings.TrimSuffix(caller.principal.ARN, who.session)
	}
	cl := &call{frame: frame{client: &Client{c: c, caller: caller}, op: op, req: request{details: &noDetails}, keys: [3]*key{k}}}
	cl.at, cl.now = c.clock.read()
	return cl
}

// assume returns the input with the conditions decided, for the caller or against it, that depend on circumstances: on anything but what is sure.
func (in EvaluateInput) assume(favourable bool, sure uint8) EvaluateInput {
	one := func(doc *PolicyDocument) *PolicyDocument {
		if doc == nil {
			return nil
		}
		return doc.Assume(favourable, func(k policy.Key) bool { return known[k.Name]&sure != 0 })
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

// openings finds out whether the key policy opens an action to everyone, and to which accounts.
func (c *core) openings(k *key, action string, a *Access, accounts map[string]bool) {
	here, hereSurely := c.opens(k, action, c.ring.account)
	there, thereSurely := c.opens(k, action, strangerAccount)
	a.Everyone = here || there
	a.OnlyIf = a.Everyone && !(hereSurely && thereSurely)
	for p := range k.document.Principals() {
		account := p.Value
		if named, err := arn.Parse(p.Value); err == nil {
			account = named.Account
		}
		if p.Type != "AWS" || !arn.IsAccountID(account) || account == c.ring.account {
			continue
		}
		stranger := c.imagine(k, User(nobody).InAccount(account), action)
		in := stranger.question(0)
		if v := in.assume(true, ofKey|ofAccount).KeyPolicy.Evaluate(in.Request); stranger.op.across && v.Account.Found() && !v.Deny.Found() {
			accounts[account] = true
		}
	}
}

// opens reports whether a key policy opens an action to everyone, as far as an account has somebody whom no policy names, and whether that is so in all circumstances.
func (c *core) opens(k *key, action, account string) (open, surely bool) {
	in := c.imagine(k, User(nobody).InAccount(account), action).question(0)
	sure := uint8(ofKey)
	if account == c.ring.account { // else it stands for any other
		sure |= ofAccount
	}
	to := func(favourable bool) bool {
		v := in.assume(favourable, sure).KeyPolicy.Evaluate(in.Request)
		return v.Everyone.Found() && !v.Deny.Found()
	}
	open = to(true)
	return open, open && to(false)
}

// strangerAccount is nobody's: no account id begins with a zero and has no other digit but the last.
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
