package policy

import (
	"slices"
	"strings"

	"github.com/claviger/kms/internal/arn"
)

// A PrincipalType says what kind of caller a [Principal] is. The zero type is nobody: no Allow of a key policy covers it, and every Deny does.
type PrincipalType uint8

const (
	RootUser      PrincipalType = iota + 1 // the root user of an account
	User                                   // an IAM user
	AssumedRole                            // a session of a role
	FederatedUser                          // a session that an IAM user opened for somebody else
	Service                                // a service acting for itself
)

func (t PrincipalType) known() bool { return t >= RootUser && t <= Service }

// A Principal is who calls. All texts compare exactly, so they must be in the one form that documents use.
type Principal struct {
	Type     PrincipalType
	ARN      string // of the user or session, as arn:aws:sts::111122223333:assumed-role/App/s1; the name of a Service, as logs.amazonaws.com
	Account  string // twelve digits; empty for a Service
	Role     string // of an AssumedRole: the role's ARN with its path
	User     string // of a FederatedUser: the ARN of the IAM user
	Provider string // of an AssumedRole obtained by SAML or web identity: the ARN or host name of the identity provider
	Boundary bool   // whether a permissions boundary is set

	// ID is the unique id of the User, or of the role or user behind the session, as AIDAEXAMPLE; empty if it is not known. It decides where a document is bound to
	// ids; see [Document.Bind].
	ID string
}

// behind returns the ARN of the role or user whose permissions a session borrows, if the caller is a session.
func (p *Principal) behind() string {
	switch p.Type {
	case AssumedRole:
		return p.Role
	case FederatedUser:
		return p.User
	default:
		return ""
	}
}

// A PrincipalRef is a principal as a document names it; see [Document.Principals].
type PrincipalRef struct {
	Statement Index
	Type      string // "AWS", "Service", "Federated" or "CanonicalUser"; a sole "*" is of type AWS
	Value     string
	Negated   bool // from NotPrincipal
}

// principals is a Principal or NotPrincipal element, sorted by how its entries are compared.
type principals struct {
	everyone  bool
	names     []name // of users, roles, sessions and federated users
	accounts  []accountPrincipal
	providers []string
	services  []string
	refs      []PrincipalRef
	places    []place // of refs, in the text
}

// A place is where a string stands in a text, quotes included.
type place struct{ off, end int }

// A name is the ARN of a principal.
type name struct {
	arn    string
	unique bool   // it is the ARN of a user or role, which have unique ids
	id     string // the unique id that it is bound to; empty if it is not bound
}

// is reports whether a caller is who is named. wide counts also who has the name and not the id, as a Deny does.
func (n *name) is(arn, id string, wide bool) bool {
	if n.id == "" || wide && n.arn == arn {
		return n.arn == arn
	}
	return n.id == id
}

type accountPrincipal struct {
	id     string
	prefix string // of the ARNs in the same partition, as "arn:aws:"; empty if the document gives the bare id
}

// ways returns in which ways the element names the caller; wide is for [name.is].
func (e *principals) ways(p *Principal, wide bool) Way {
	var w Way
	if e.everyone {
		w = ByEveryone
	}
	if p.Type == Service {
		if slices.Contains(e.services, p.ARN) {
			w |= ByPrincipal
		}
		return w
	}
	behind := p.behind()
	for i := range e.names {
		switch n := &e.names[i]; {
		case behind == "" && n.is(p.ARN, p.ID, wide), behind != "" && n.is(p.ARN, "", wide):
			w |= ByPrincipal
		case behind != "" && n.is(behind, p.ID, wide):
			w |= ByRole
		}
	}
	if p.Type == AssumedRole && slices.Contains(e.providers, p.Provider) {
		w |= ByRole
	}
	for i := range e.accounts {
		if a := &e.accounts[i]; a.id == p.Account && strings.HasPrefix(p.ARN, a.prefix) {
			w |= ByAccount
		}
	}
	return w
}

// allows returns in which ways the Principal element of an Allow covers the caller. To open something to everyone is not to open it to services, which act
// for whoever tells them to.
func (e *principals) allows(p *Principal) Way {
	switch {
	case !p.Type.known():
		return 0
	case p.Type == Service:
		return e.ways(p, false) &^ ByEveryone
	default:
		return e.ways(p, false)
	}
}

// denies returns in which ways the Principal element of a Deny covers the caller.
func (e *principals) denies(p *Principal) Way {
	switch {
	case !p.Type.known():
		return ByDefault
	case e.everyone:
		return ByEveryone
	default:
		return e.ways(p, true)
	}
}

// excludes returns ByDefault unless the NotPrincipal element of a Deny exempts the caller, which takes every name the caller has: a session is also its role
// and its account. A caller with a permissions boundary is never exempt.
func (e *principals) excludes(p *Principal) Way {
	w := e.ways(p, false)
	exempt := false
	switch p.Type {
	case RootUser:
		exempt = w&ByAccount != 0
	case User, FederatedUser:
		exempt = w&ByAccount != 0 && w&ByPrincipal != 0
	case AssumedRole:
		exempt = w&ByAccount != 0 && w&ByPrincipal != 0 && slices.ContainsFunc(e.names, func(n name) bool { return n.is(p.Role, p.ID, false) })
	case Service:
		exempt = w&ByPrincipal != 0
	}
	if exempt && !p.Boundary {
		return 0
	}
	return ByDefault
}

// add reads one entry of the element. It returns what is wrong with it, or "".
func (e *principals) add(kind, value string) string {
	switch kind {
	case "AWS":
		return e.addAWS(value)
	case "Service":
		e.services = append(e.services, value)
		return unless(isHostName(value, 3), "malformed service name")
	case "Federated":
		e.providers = append(e.providers, value)
		return unless(isProvider(value) || isHostName(value, 2), "malformed identity provider")
	case "CanonicalUser":
		// Such an id belongs to an account of the object store. No caller here is known by one, so it is kept and never matches.
		return unless(len(value) == 64 && strings.Trim(value, "0123456789abcdef") == "", "malformed canonical user id")
	default:
		return "unknown type of principal: AWS, Service, Federated or CanonicalUser"
	}
}

func (e *principals) addAWS(value string) string {
	if value == "*" {
		e.everyone = true
		return ""
	}
	if arn.IsAccountID(value) {
		e.accounts = append(e.accounts, accountPrincipal{id: value})
		return ""
	}
	a, err := arn.Parse(value)
	if err != nil || a.Region != "" || a.Account == "" {
		return "principal is neither *, an account id nor the ARN of a principal"
	}
	if a.Service == "iam" && a.Resource == "root" {
		e.accounts = append(e.accounts, accountPrincipal{id: a.Account, prefix: "arn:" + a.Partition + ":"})
		return ""
	}
	e.names = append(e.names, name{arn: value, unique: a.Service == "iam"})
	return unless(isPrincipalName(a.Service, a.Resource), "not the ARN of a user, role, role session or federated user")
}

// IsPrincipalARN reports whether s is the ARN of a principal in the one form that documents and requests use: of an account's root user, of a user, a role, a role's
// session or a federated user.
func IsPrincipalARN(s string) bool {
	var p principals
	return s != "*" && !arn.IsAccountID(s) && p.addAWS(s) == ""
}

// isPrincipalName checks the last part of an ARN against IAM's limits of names. Users and roles may have a path, sessions never show that of their role.
func isPrincipalName(service, resource string) bool {
	kind, rest, _ := strings.Cut(resource, "/")
	switch service + ":" + kind {
	case "iam:user", "iam:role":
		i := strings.LastIndexByte(rest, '/')
		return isName(rest[i+1:], 1, 64) && (i < 0 || isPath(rest[:i]))
	case "sts:assumed-role":
		role, session, _ := strings.Cut(rest, "/")
		return isName(role, 1, 64) && isName(session, 2, 64)
	case "sts:federated-user":
		return isName(rest, 2, 32)
	default:
		return false
	}
}

func isName(s string, low, high int) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("_+=,.@-", s[i]) < 0 {
			return false
		}
	}
	return len(s) >= low && len(s) <= high
}

// isPath checks a path without the slashes around it, which count against the limit of 512. The ARN's parser has refused spaces, control characters and
// wildcards.
func isPath(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" {
			return false
		}
	}
	return len(s) <= 510 && !strings.ContainsFunc(s, func(c rune) bool { return c > '~' })
}

// isProvider reports whether s is the ARN of a SAML or OpenID Connect provider.
func isProvider(s string) bool {
	a, err := arn.Parse(s)
	if err != nil || a.Service != "iam" || a.Region != "" || a.Account == "" {
		return false
	}
	if name, ok := strings.CutPrefix(a.Resource, "saml-provider/"); ok {
		return isName(name, 1, 128)
	}
	name, ok := strings.CutPrefix(a.Resource, "oidc-provider/")
	if host, path, hasPath := strings.Cut(name, "/"); ok && hasPath {
		return isHostName(host, 2) && isPath(path)
	}
	return ok && isHostName(name, 2)
}

// isHostName reports whether s consists of at least low labels of lower-case letters, digits and hyphens.
func isHostName(s string, low int) bool {
	labels := 0
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
		labels++
	}
	return labels >= low && len(s) <= 253
}
