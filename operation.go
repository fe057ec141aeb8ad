package kms

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/keypair"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/policy"
)

// An operation says what one API call requires. Every exported method that is an operation hands its row to [do], the only way to a key: the steps are do's, and
// a row cannot leave one out.
type operation struct {
	name     string // as AWS KMS calls it, and as the audit trail does
	changes  bool   // it writes: its event is offered before its commit
	crypto   bool   // it uses key material: a dry run ends before its work
	tokens   bool   // it takes grant tokens
	across   bool   // callers of other accounts may be allowed it
	needs    []need
	contexts [2]string                        // what the encryption contexts of its references are called
	params   func(r *request, e *audit.Event) // adds what the caller asked, for the record
	fits     func(r *request, k *key) error   // whether the data suits the first need's key; nil if any does
}

// operations are all rows. It is filled when the package begins, since rows and what they run refer to each other.
var operations []*operation

func init() {
	operations = []*operation{
		&opCancelKeyDeletion, &opCreateAlias, &opCreateGrant, &opCreateKey, &opCreateTaggedKey, &opDecrypt, &opDeleteAlias, &opDescribeKey, &opDisableKey,
		&opDisableKeyRotation, &opEnableKey, &opEnableKeyRotation, &opEncrypt, &opGenerateDataKey, &opGenerateDataKeyWithoutPlaintext, &opGenerateRandom,
		&opGetKeyPolicy, &opGetKeyRotationStatus, &opListAliases, &opListGrants, &opListKeyAliases, &opListKeyPolicies, &opListKeyRotations, &opListKeys,
		&opListResourceTags, &opListRetirableGrants, &opSign, &opVerify, &opGetPublicKey, &opGenerateMac, &opVerifyMac, &opDeriveSharedSecret, &opEncapsulate, &opDecapsulate,
		&opGenerateDataKeyPair, &opGenerateDataKeyPairWithoutPlaintext, &opNeedsReEncrypt, &opPutKeyPolicy, &opReEncrypt, &opRetireGrant, &opRevokeGrant, &opRotateKeyOnDemand,
		&opScheduleKeyDeletion, &opTagResource, &opUntagResource, &opUpdateAlias, &opUpdateKeyDescription,
	}
}

// asksOfKey reports whether the operation needs an action on a key.
func (op *operation) asksOfKey(action string) bool {
	return slices.ContainsFunc(op.needs, func(n need) bool {
		return n.action == action && (n.on == onKey || n.on == onAliasTarget)
	})
}

// A need is one permission on one resource. All needs of an operation must be met.
type need struct {
	action string // "kms:Encrypt"
	on     subject
	ref    int      // onKey, onNamedKey: which of the request's references names the key
	forms  refForms // onKey
	states states

	usage      KeyUsage  // "" if any
	algorithm  Algorithm // that the usage goes by; "" if the request says it
	made       bool      // it is the key that made a ciphertext: one of another usage is the wrong one
	asymmetric bool      // only a kind of key that has a public key
	rotatable  bool      // only a kind of key that can rotate
}

// A subject is what a permission is asked for.
type subject uint8

const (
	onKey           subject = iota
	onAccount               // no resource: key policies have no say
	onAlias                 // the alias itself: key policies have no say
	onAliasTarget           // the key that the alias points to
	onNamedKey              // no resource either, although the caller names a key
	onCallerAccount         // no resource, and asked of the caller's own account
	onGrant                 // a grant on a key, of which the key's policy has no say
)

// states are the key states in which an operation may run.
type states uint8

const (
	inEnabled states = 1 << iota
	inDisabled
	inPendingDeletion

	anyState = inEnabled | inDisabled | inPendingDeletion
)

func stateBit(s KeyState) states {
	switch s {
	case Enabled:
		return inEnabled
	case Disabled:
		return inDisabled
	case PendingDeletion:
		return inPendingDeletion
	default:
		return 0 // a state that is not known permits nothing
	}
}

// A request is what one call asks, beside the data it works on. It is copied into the call and must not hold secrets.
type request struct {
	refs    [2]string // what the caller names keys by
	named   [2]keyID  // instead of refs: the key that a ciphertext names
	isNamed [2]bool
	context [2]EncryptionContext // of each reference
	algo    [2]Algorithm
	dataKey DataKeySpec
	number  int
	*details

	invalid error // what is wrong with the shape of the input
}

// The details of a request are what operations that use a key do not ask. They stand apart so that those do not carry them along.
type details struct {
	alias       string // whole name
	description string
	tags        []Tag
	tagKeys     []string
	policy      string
	bypass      bool // BypassPolicyLockoutSafetyCheck
	spec        KeySpec
	usage       KeyUsage
	origin      Origin
	messageType MessageType
	pairSpec    KeySpec
	publicKey   []byte         // of somebody else
	peer        keypair.Public // publicKey, when it was read
	window      int            // days
	period      time.Duration
	all         bool   // IncludeKeyMaterial
	grant       *Grant // that is to be made
	grantID     string
	grantToken  string
	principal   string // an ARN
	service     string
}

// noDetails are those of a request that has none. Nobody writes to details that are a call's.
var noDetails details

// A call is one run of an operation: its frame, its audit event, and the room that it takes for both. Calls are pooled.
type call struct {
	frame
	room
	event audit.Event
}

// A frame is what a call knows. It is emptied as a whole, whatever is in it.
type frame struct {
	client *Client
	op     *operation
	req    request
	at     stamp // when the call began, or was last admitted
	now    int64 // the ring's time of the call
	told   bool  // the event was accepted, as it is
	again  bool  // the keys were read for this call

	ctx      context.Context // for what a condition key must look up
	people   census          // what IAM says
	standing standing        // and what of the caller
	grants   [3]*Grant       // by need; the grant that allows it, if one does
	retired  retirement      // the grant that the call is about

	keys    [3]*key   // by need; nil where a need has no key
	aliases [3]string // by need; the alias that the caller named it by
	index   int       // the need that is being looked at

	authorized bool         // the caller may know the keys
	asked      []Permission // of a simulation: what the policies were asked when the call was last admitted
	input      policy.Request
}

// A room is what a call keeps for the next one, emptied.
type room struct {
	contexts [2]EncryptionContext // copies of what the caller gave: what is authorized is what is used
	names    []string
	buffer   []byte
}

// admitted is proof that a call passed every check: its keys can be used and changed through it alone. Only admit makes one.
type admitted struct{ *call }

// maxTries bounds how often a change is tried again when others change the same record meanwhile.
const maxTries = 1000

// recheckAfter is how long an operation may take before its admission is looked at again ahead of its result.
const recheckAfter = time.Second

var errDryRun error = &fault{code: ErrDryRun, message: "The request would have succeeded, but the DryRun option is set."}

// A withholder is a result that clears what must not be seen.
type withholder interface{ withhold() }

func withhold[R any](res R) {
	if w, ok := any(res).(withholder); ok {
		w.withhold()
	}
}

// do runs an operation: check the shape, resolve the keys, authorize, check the keys' state, do the work, record the outcome. If the record is refused the
// result is withheld; an operation that changes something offers its record before it commits (see [admitted.commit]).
func do[R any](ctx context.Context, c *Client, op *operation, req *request, run func(context.Context, admitted) (R, error)) (res R, err error) {
	if !c.c.gate.enter() {
		return res, &Error{Op: op.name, Code: ErrServiceUnavailable, Message: "the keyring is closed"}
	}
	defer c.c.gate.leave()
	cl := c.c.calls.Get().(*call)
	cl.client, cl.op, cl.req, cl.ctx = c, op, *req, ctx
	if cl.req.details == nil {
		cl.req.details = &noDetails
	}
	cl.takeContexts()
	done := false
	defer func() {
		if !done { // a panic, or runtime.Goexit: it is recorded, and goes on; the frame is not used again
			if cl.event.Time.IsZero() {
				cl.event.Time = time.Now().UTC() // it was the ring's clock
			}
			cl.failed(&Error{Op: op.name, Code: ErrInternal, Message: "panic"})
			withhold(res)
			_ = cl.tell(ctx)
		}
	}()
	cl.begin()
	err = cl.req.invalid
	for try := 0; err == nil; try++ {
		var a admitted
		if a, err = cl.admit(ctx, try > 0); err == nil {
			res, err = run(ctx, a)
		}
		if !errors.Is(err, keystore.ErrConflict) || try == maxTries {
			break
		}
		err = pause(ctx, try)
	}
	if err == nil && c.dryRun { // it has read, or would have changed nothing
		err = errDryRun
	}
	err = cl.finish(ctx, err)
	if c.simulator != nil {
		c.simulator.add(cl.asked)
	}
	if err != nil {
		withhold(res)
		res = *new(R)
	}
	done = true
	cl.recycle()
	return res, err
}

// pause waits a little before a change is tried again, longer the more often it was.
func pause(ctx context.Context, try int) error {
	if try < 3 {
		return ctx.Err()
	}
	t := time.NewTimer(rand.N(min(time.Duration(try), 20) * time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin reads the clocks and begins the event.
func (cl *call) begin() {
	core := cl.client.c
	caller := cl.client.caller
	e := &cl.event
	e.Type, e.Name, e.ReadOnly = audit.APICall, cl.op.name, !cl.op.changes
	e.Region, e.Account, e.Identity = core.ring.region, core.ring.account, caller.audit
	cl.at, cl.now = core.clock.read()
	e.Time = time.Unix(0, cl.now).UTC()
	if cl.op.params != nil && cl.req.invalid == nil { // what breaks a limit is not recorded: it may be of any size
		cl.op.params(&cl.req, e)
	}
	if cl.client.dryRun {
		e.Request = append(e.Request, dryRunParam)
	}
	if on := caller.connection; on != nil {
		e.SourceIP, e.UserAgent, e.TLS = caller.address, on.UserAgent, on.TLS
		e.SetRequestID(on.RequestID)
	}
}

// recycle gives the call back without anything of this one.
func (cl *call) recycle() {
	pool := &cl.client.c.calls
	cl.frame = frame{}
	cl.event.Reset()
	cl.empty()
	pool.Put(cl)
}

// The most that a call keeps for the next one, which has to empty all of it: a ciphertext, and what is authenticated with it unless that is rare.
const (
	roomNames  = 32
	roomBuffer = 8192 // bytes
)

// empty drops what the room holds, also beyond the lengths.
func (r *room) empty() {
	for i, ec := range r.contexts {
		switch {
		case len(ec) > roomNames:
			r.contexts[i] = nil
		case len(ec) > 0:
			clear(ec)
		}
	}
	r.names, r.buffer = emptied(r.names, roomNames), emptied(r.buffer, roomBuffer)
}

func emptied[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	clear(s[:cap(s)])
	return s[:0]
}

// copied copies bytes of the caller's, who may change them under the call, into the room.
func (r *room) copied(b []byte) []byte {
	from := len(r.buffer)
	r.buffer = append(r.buffer, b...)
	return r.buffer[from:]
}

// admit makes the proof: it resolves what the needs are about, authorizes all of them, and only then looks at the keys' states, so that nobody without
// permission learns of them. With again, the keys are read anew.
func (cl *call) admit(ctx context.Context, again bool) (admitted, error) {
	if err := ctx.Err(); err != nil {
		return admitted{}, err
	}
	if cl.op.tokens && cl.client.tokens.problem != nil {
		return admitted{}, cl.client.tokens.problem
	}
	if cl.again = again; again {
		cl.at, cl.now = cl.client.c.clock.read()
		cl.event.Resources, cl.event.Response, cl.event.Additional = cl.event.Resources[:0], cl.event.Response[:0], cl.event.Additional[:0]
		cl.told = false // what is told now is another state of affairs, under the same id
	}
	cl.asked = nil
	if err := cl.identify(); err != nil {
		return admitted{}, err
	}
	var unresolved [len(cl.keys)]error
	for i := range cl.op.needs {
		unresolved[i] = cl.resolve(ctx, i, again)
	}
	var denied error
	for i := range cl.op.needs { // one after the other, so that what is said of a key does not depend on another one
		cl.index = i
		err := unresolved[i]
		if err == nil {
			err = cl.authorize(ctx, i)
		}
		if err == nil {
			continue
		}
		if cl.client.simulator == nil {
			return admitted{}, err
		}
		denied = cmp.Or(denied, err) // a simulation tells of all
	}
	if denied != nil {
		return admitted{}, denied
	}
	cl.authorized = true
	for i := range cl.op.needs {
		cl.index = i
		if k := cl.keys[i]; k != nil {
			if err := cl.op.needs[i].check(k, cl.op, &cl.req); err != nil {
				return admitted{}, err
			}
		}
	}
	if cl.op.fits != nil {
		if err := cl.op.fits(&cl.req, cl.keys[0]); err != nil {
			return admitted{}, err
		}
	}
	if cl.client.dryRun && cl.op.crypto {
		return admitted{}, errDryRun
	}
	for i := range cl.op.needs {
		k := cl.keys[i] // as a rotation for another need has left it
		if k == nil || !k.rotationDue(cl.now) || cl.client.dryRun {
			continue
		}
		rotated := cl.client.c.rotateDue(ctx, k, cl.now)
		for i := range cl.keys {
			if cl.keys[i] != nil && cl.keys[i].id == k.id {
				cl.keys[i] = rotated
			}
		}
	}
	cl.index = 0
	return admitted{cl}, nil
}

// identify looks at who asks: there must be such a caller, with credentials that have not expired.
func (cl *call) identify() (err error) {
	who := cl.client.caller
	if who.problem != "" {
		return faultf(ErrAccessDenied, "The caller is not valid: %s.", who.problem)
	}
	if !who.expires.IsZero() && !time.Unix(0, cl.now).Before(who.expires) {
		return &fault{code: ErrExpiredToken, message: "The security token included in the request is expired"}
	}
	if cl.people, err = cl.client.c.census(); err != nil {
		return err
	}
	if cl.standing, err = cl.people.standing(who); err != nil {
		return err
	}
	if i := cl.standing.identity; i != nil && i.ID != "" {
		cl.event.Identity.PrincipalID = cl.userID()
	}
	return nil
}

// resolve finds the key that a need is about.
func (cl *call) resolve(ctx context.Context, i int, again bool) error {
	cl.index = i
	n, c := &cl.op.needs[i], cl.client.c
	var k *key
	var err error
	byID := true
	switch {
	case n.on == onAccount, n.on == onAlias, n.on == onCallerAccount, cl.isForeign() && !cl.op.across: // which is denied whatever there is
		return nil
	case n.on == onGrant:
		byID = false // it is read again with its key
		k, err = cl.findGrant(ctx, again)
	case n.on == onAliasTarget:
		byID = false
		k, err = c.loadAlias(ctx, cl.req.alias, cl.at, cl.now, again)
	case cl.req.isNamed[n.ref]:
		k, err = c.load(ctx, cl.req.named[n.ref], cl.at)
	default:
		text := cl.req.refs[n.ref]
		if cl.isElsewhere(text) {
			err = errForeign
			break
		}
		if !again {
			if k, cl.aliases[i] = c.recall(text, n.forms, cl.at, cl.now); k != nil {
				break
			}
		}
		var ref reference
		if ref, err = c.ring.parse(text, n.forms); err != nil {
			break
		}
		cl.aliases[i] = ref.alias
		if byID = ref.alias == ""; !byID {
			k, err = c.loadAlias(ctx, ref.alias, cl.at, cl.now, again)
		} else {
			k, err = c.load(ctx, ref.id, cl.at)
		}
		if err == nil {
			c.remember(text, k, ref.alias)
		}
	}
	if again && err == nil && byID {
		k, err = c.reload(ctx, k.id, cl.at.mono)
	}
	if err == nil && k.isDeleted(cl.now) {
		err = errNoKey
	}
	if errors.Is(err, errNoKey) {
		err = cl.notFound(n)
	}
	if err != nil {
		if err == errForeign || cl.isHidden() && isRefusal(err) {
			return cl.denied(n.action, "", hiddenResource)
		}
		return err
	}
	cl.keys[i] = k
	cl.addResource(k)
	return nil
}

// isForeign reports whether the caller is of another account than the ring.
func (cl *call) isForeign() bool {
	account := cl.client.caller.principal.Account
	return account != "" && account != cl.client.c.ring.account
}

// isElsewhere reports whether a reference is one within another account: what a caller names by less than an ARN is in the caller's own.
func (cl *call) isElsewhere(text string) bool {
	return cl.isForeign() && !strings.HasPrefix(text, "arn:")
}

// isHidden reports whether the caller may not learn if the key that is being looked at exists: it is named by a ciphertext, or the caller is not of the ring's account.
func (cl *call) isHidden() bool {
	n := cl.need()
	return n.on == onKey && cl.req.isNamed[n.ref] || cl.client.caller.principal.Account != cl.client.c.ring.account
}

// isRefusal reports whether err says something about a key, rather than about the machinery.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*fault](err)
	return ok
}

// notFound names what is missing as AWS KMS does.
func (cl *call) notFound(n *need) error {
	ring := cl.client.c.ring
	name := cl.req.refs[n.ref]
	if n.on == onAliasTarget {
		name = cl.req.alias
	}
	if ref, err := ring.parse(name, n.forms); err == nil && n.on != onAliasTarget {
		return ring.notFound(ref)
	} else if err == nil {
		name = ref.alias
	}
	return ring.notFound(reference{alias: name})
}

// notFound says that what a reference names is missing.
func (r *ringID) notFound(ref reference) error {
	if ref.alias == "" {
		return faultf(ErrNotFound, "Key '%s' does not exist", r.keyARN(ref.id))
	}
	return faultf(ErrNotFound, "Alias %s is not found.", printable(r.aliasARN(ref.alias)))
}

// authorize asks the policies about a need, and where they do not allow it, the grants.
func (cl *call) authorize(ctx context.Context, i int) error {
	n, k := &cl.op.needs[i], cl.keys[i]
	if k != nil && cl.client.simulator == nil && k.allowed.has(cl.client.caller, &cl.standing, n) {
		return nil
	}
	if cl.isForeign() && !cl.op.across {
		return cl.denied(n.action, "", hiddenResource)
	}
	d, in, err := cl.decide(ctx, i)
	if cl.client.simulator != nil && err == nil {
		e := Explain(in)
		e.Decision = d
		cl.asked = append(cl.asked, Permission{n.action, cl.input.Resource, e})
	}
	switch {
	case err != nil:
		return err
	case d.Outcome == Allowed:
		cl.grants[i] = d.grant()
		if d.lasting && in.KeyPolicy != nil && cl.keys[i] == k { // by the key's policy, and what stands beside it
			k.allowed.remember(cl.client.caller, &cl.standing, n)
		}
		return nil
	case cl.isHidden():
		return cl.denied(n.action, "", hiddenResource)
	}
	return cl.denied(n.action, cl.input.Resource, d.Reason())
}

// decide makes the decision about a need, and tells of what. A grant is looked for only if policies neither allow nor deny; a token of one that is not known yet has
// the key read anew.
func (cl *call) decide(ctx context.Context, i int) (Decision, EvaluateInput, error) {
	in := cl.question(i)
	d := Evaluate(in)
	if p := &cl.input.Principal; cl.op.needs[i].on == onCallerAccount && p.Type == policy.Service && cl.req.service == p.ARN { // it has no account, and asks for its own
		d = Decision{Outcome: Allowed}
	}
	if !d.open {
		return d, in, nil
	}
	c, k := cl.client.c, cl.keys[i]
	grants, err := c.candidates(ctx, k, &cl.input.Principal)
	if err != nil {
		return d, in, err
	}
	if cl.op.tokens && cl.client.tokens.tellOf(k.id, grants) {
		if k, err = c.reload(ctx, k.id, cl.at.mono); err != nil {
			return d, in, err
		}
		if grants, err = c.candidates(ctx, k, &cl.input.Principal); err != nil {
			return d, in, err
		}
		cl.keys[i], in.KeyPolicy, in.Grants = k, k.document, grants
		return Evaluate(in), in, nil
	}
	in.Grants = grants
	d.decideByGrants(&in) // what the policies say of it is known
	return d, in, nil
}

// question is what is asked about a need.
func (cl *call) question(i int) EvaluateInput {
	n, ring := &cl.op.needs[i], cl.client.c.ring
	in := cl.standing.input(cl.client.caller, ring.account)
	in.EncryptionContext, in.NewGrant = cl.req.context[n.ref], cl.req.grant
	cl.input = PolicyRequest{Principal: cl.standing.principal(cl.client.caller), Action: n.action, Context: cl}
	in.Request = &cl.input
	switch n.on {
	case onAlias:
		cl.input.Resource = ring.aliasARN(cl.req.alias)
	case onCallerAccount:
		cl.input.Resource, in.Account, in.ResourceControl = "*", cl.client.caller.principal.Account, nil
	case onAccount, onNamedKey:
		cl.input.Resource = "*"
	case onGrant:
		cl.input.Resource, in.Grants = cl.keys[i].arn, []*Grant{cl.retired.grant}
	default:
		cl.input.Resource, in.KeyPolicy = cl.keys[i].arn, cl.keys[i].document
	}
	return in
}

// denied says who may not do what, on which resource, and why.
func (cl *call) denied(action, resource, why string) error {
	who := cl.client.caller.principal.ARN
	if resource == "" {
		resource = "this resource"
		if cl.req.isNamed[cl.need().ref] {
			resource = "the resource associated with this ciphertext"
		}
		return faultf(ErrAccessDenied, "User: %s is not authorized to perform: %s on %s because %s", who, action, resource, why)
	}
	return faultf(ErrAccessDenied, "User: %s is not authorized to perform: %s on resource: %s %s", who, action, resource, why)
}

// uses is the algorithm that a request goes by; "" if it does not use the key.
func (n *need) uses(r *request) Algorithm { return cmp.Or(n.algorithm, r.algo[n.ref]) }

// suits reports whether a key is of the kind for a need, whatever the request.
func (n *need) suits(k *key) bool {
	switch {
	case n.usage != "" && n.usage != k.usage, n.algorithm != "" && !slices.Contains(k.algorithms, n.algorithm), n.asymmetric && k.kind != asymmetricKind,
		n.rotatable && (k.kind != symmetricKind || k.origin != OriginAWSKMS):
		return false
	}
	return true
}

// check looks at a key's state and kind.
func (n *need) check(k *key, op *operation, r *request) error {
	if n.states&stateBit(k.state) == 0 {
		switch {
		case n.states == inPendingDeletion:
			return faultf(ErrInvalidState, "%s is not pending deletion.", k.arn)
		case k.state == Disabled:
			return faultf(ErrDisabled, "%s is disabled.", k.arn)
		case k.state == PendingDeletion:
			return faultf(ErrInvalidState, "%s is pending deletion.", k.arn)
		default:
			return faultf(ErrInvalidState, "%s is in a state that does not permit it.", k.arn)
		}
	}
	switch algorithm := n.uses(r); {
	case n.usage == "" && n.suits(k):
		if n.asymmetric {
			return k.refusal("")
		}
		return nil
	case n.asymmetric:
		return faultf(ErrUnsupportedOperation, "%s key spec is %s which is not valid for %s.", k.arn, k.spec, op.name)
	case n.usage == "":
		return faultf(ErrUnsupportedOperation, "") // as AWS KMS says it
	case n.usage != k.usage && n.made:
		return errIncorrectKey
	case n.usage != k.usage:
		return faultf(ErrInvalidKeyUsage, "%s key usage is %s which is not valid for %s.", k.arn, k.usage, op.name)
	case !slices.Contains(k.algorithms, algorithm):
		return faultf(ErrInvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", algorithm, k.spec)
	default:
		return k.refusal(algorithm)
	}
}

// finish records the outcome, and returns the error for the caller.
func (cl *call) finish(ctx context.Context, err error) error {
	unrecorded := false
	if err == nil && !cl.told {
		err = cl.tell(ctx) // where several sinks are to take it, some may have: what follows corrects them
		unrecorded = err != nil
	}
	if err == nil && !cl.op.changes {
		err = cl.recheck(ctx)
	}
	if err == nil {
		cl.noteUse()
		return nil
	}
	e := wrap(cl.op.name, cl.subject(), err)
	cl.failed(e)
	if refused := cl.tell(ctx); refused != nil && !unrecorded { // a failure stays the failure it is, and tells that its record is missing
		e.Err = errors.Join(e.Err, refused)
	}
	return e
}

// recheck admits a call once more that took long, by any clock, before its result is released or its change committed: it must still be admitted, to the same keys,
// at the time that it is.
func (cl *call) recheck(ctx context.Context) error {
	clock := &cl.client.c.clock
	if cl.at.within(recheckAfter, clock.stamp()) {
		return nil
	}
	used := cl.keys
	cl.at, cl.now = clock.read()
	if _, err := cl.admit(ctx, false); err != nil {
		return err
	}
	for i, k := range used {
		switch {
		case k == nil:
		case cl.keys[i].id != k.id:
			return faultf(ErrNotFound, "The alias has moved to another key meanwhile.")
		case cl.op.changes && cl.keys[i].from != k.from:
			return keystore.ErrConflict // the change was made of another record
		}
	}
	return nil
}

// subject names the key in an error, as far as the caller may know it.
func (cl *call) subject() string {
	switch k, ref := cl.keys[cl.index], cl.req.refs[cl.need().ref]; {
	case !cl.authorized && cl.isHidden():
		return ""
	case k != nil:
		return k.arn
	case cl.authorized && cl.keys[1] != nil: // of an operation on an alias, whose first need has no key
		return cl.keys[1].arn
	case ref != "":
		return printable(ref)
	default:
		return printable(cl.req.alias)
	}
}

// batch begins the changes of an operation.
func (a admitted) batch() *batch { return a.client.c.batch(a.now) }

// A keyChange is the next record of a key that was read from `from`.
type keyChange struct {
	from     source
	next     *keyRecord
	material *material // the new current one, if there is one
}

// change returns the change of the i-th need's key to next.
func (a admitted) change(i int, next *keyRecord) keyChange {
	return keyChange{from: a.keys[i].from, next: next}
}

// commit writes a batch together with changed key records: it is the only way in which an operation writes. The event is offered first, so that a sink that
// refuses it leaves everything as it was. A dry run ends here.
func (a admitted) commit(ctx context.Context, b *batch, changes ...keyChange) error {
	if a.client.dryRun {
		return errDryRun
	}
	_, err := a.client.c.write(ctx, b, func() error {
		if err := a.tell(ctx); err != nil {
			return err
		}
		return a.recheck(ctx)
	}, changes...)
	return err
}

// write commits a batch together with changed key records and their entries in the due index, and publishes the new snapshots, which it returns. offer is
// called last before the commit.
func (c *core) write(ctx context.Context, b *batch, offer func() error, changes ...keyChange) ([]*key, error) {
	started := c.clock.stamp()
	for _, ch := range changes {
		if err := c.moveDue(ctx, b, ch); err != nil {
			return nil, err
		}
		b.put(kindKey, keyItem(ch.next.id), ch.from, ch.next)
	}
	snapshots := make([]*key, len(changes))
	for i, ch := range changes { // before the commit: what cannot be read back is not written
		var err error
		if snapshots[i], err = c.snapshot(ch.next, source{}); err != nil {
			return nil, err
		}
	}
	if err := offer(); err != nil {
		return nil, err
	}
	revision, err := c.settle(ctx, b)
	if err != nil {
		for _, ch := range changes { // what is known of them may not be so any more
			c.keys.Delete(ch.next.id)
		}
		return nil, err
	}
	for i, ch := range changes {
		snapshots[i].from = b.made(ch.from, revision)
		c.publish(snapshots[i], started) // which may know a newer one by now: whoever goes on from here was admitted to this one
		if ch.material != nil {
			snapshots[i].materials.setCurrent(ch.material)
		}
	}
	return snapshots, nil
}
