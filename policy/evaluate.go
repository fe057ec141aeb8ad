package policy

// A Request is what documents are asked about.
type Request struct {
	Principal Principal
	Action    string  // "kms:Decrypt"
	Resource  string  // ARN, or "*" if the action has no resource
	Context   Context // nil has no keys
}

// A Way is a set of ways in which a statement covers a caller. What each is worth is not for the language to say: for a key, to be named in person and to
// belong to a named account are very different things.
type Way uint8

const (
	ByPrincipal Way = 1 << iota // its principal is the user, session, federated user or service itself
	ByRole                      // its principal is the session's role or identity provider, or the IAM user behind a federated user
	ByEveryone                  // its principal is *
	ByAccount                   // its principal is the caller's account
	ByIdentity                  // it has no principal, as in every statement of an IdentityPolicy
	ByDefault                   // it is a Deny that nothing exempts the caller from: by NotPrincipal, or because the caller is of no known type
)

// An Index is the index of a statement, or [None].
type Index int

// None is the Index where no statement matches.
const None Index = -1

// Found reports whether there is a statement.
func (i Index) Found() bool { return i >= 0 }

// A Verdict holds, for each way in which statements can match, the first that does. Deny comes first: if it is Found, nothing else in any document counts.
// The other fields are of Allow statements. The zero Verdict is a denial by the first statement.
type Verdict struct {
	Deny      Index // in whatever way
	Principal Index // [ByPrincipal]
	Role      Index // [ByRole]
	Everyone  Index // [ByEveryone]
	Account   Index // [ByAccount]; the root user is matched in this way too
	Identity  Index // [ByIdentity]

	// Lasting tells that every request of the same Principal for the same Action on the same Resource has this Verdict, whatever its Context, so that it can be
	// remembered: no statement for that principal and action, of whatever effect, has a condition, or a variable in what the resource is compared with.
	Lasting bool
}

// note records that statement i matches.
func (v *Verdict) note(i Index, e Effect, w Way) {
	if e == Deny {
		v.Deny.set(i, true)
		return
	}
	v.Principal.set(i, w&ByPrincipal != 0)
	v.Role.set(i, w&ByRole != 0)
	v.Everyone.set(i, w&ByEveryone != 0)
	v.Account.set(i, w&ByAccount != 0)
	v.Identity.set(i, w&ByIdentity != 0)
}

// set keeps the first statement that matches.
func (i *Index) set(to Index, matches bool) {
	if matches && *i == None {
		*i = to
	}
}

// Evaluate finds the statements that match r. It allocates nothing and keeps nothing of r. A nil document denies: nobody knows what it was to say.
func (d *Document) Evaluate(r *Request) Verdict {
	if d == nil {
		return Verdict{}
	}
	v := Verdict{Deny: None, Principal: None, Role: None, Everyone: None, Account: None, Identity: None, Lasting: true}
	initial := initialOf(r.Action)
	for i := range d.statements {
		s := &d.statements[i]
		w, lasting := s.match(r, initial, nil)
		if w != 0 {
			v.note(Index(i), s.effect, w)
		}
		v.Lasting = v.Lasting && lasting
	}
	return v
}

// match returns in which ways the statement matches; 0 if it does not. lasting is false if the Context may have had a say. initial is that of the action. It is the
// only matcher: t, if there is one, is told which element failed, and makes no difference otherwise than that all conditions are tried. The action comes first
// because it is cheap and rules out the most.
func (s *statement) match(r *Request, initial initials, t *Trace) (w Way, lasting bool) {
	if s.initials&initial == 0 || !s.coversAction(r.Action, initial) {
		return t.fail(ActionElement), true
	}
	if w = s.ways(&r.Principal); w == 0 {
		return t.fail(PrincipalElement), true
	}
	if !s.everyResource && !s.coversResource(r) {
		return t.fail(ResourceElement), !s.contextual
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.holds(s.effect, r.Context) {
			continue
		}
		w = t.failCondition(c, r.Context)
		if t == nil {
			break
		}
	}
	return w, !s.contextual
}

// coversAction is false for a statement that has neither Action nor NotAction, as coversResource is in its place: such a statement is accepted, and inert.
func (s *statement) coversAction(a string, initial initials) bool {
	for i := range s.actions {
		if p := &s.actions[i]; p.initials&initial != 0 && p.matches(a) {
			return !s.notAction
		}
	}
	return s.notAction
}

func (s *statement) ways(p *Principal) Way {
	switch {
	case s.identity:
		return ByIdentity
	case s.notPrincipal:
		return s.principals.excludes(p)
	case s.effect == Allow:
		return s.principals.allows(p)
	default:
		return s.principals.denies(p)
	}
}
