package kms

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/policy"
)

// A Caller is who asks, and in which circumstances. The zero Caller may do nothing. Callers are made by [Root], [User], [Role], [Session], [FederatedUser] and
// [Service], completed by the methods that return a changed copy, and become clients by [Keyring.As]. What a Caller says is taken for true: it is for the program to
// have authenticated it.
type Caller struct {
	kind      policy.PrincipalType
	partition string // of the ARN that it was named by; empty: the keyring's
	account   string // empty: the keyring's
	name      string // of the user or role, with its path; of the service
	session   string // of a role's or a federated user's session
	problem   string // why there can be no such caller; empty if there can
	more      *circumstances

	anySession bool // named by its role alone
}

// Circumstances are what policies may ask about a caller beside its name. They do not change.
type circumstances struct {
	tags            []Tag // of the session
	policies        []*PolicyDocument
	mfa             time.Time // when the caller proved to have a second factor; zero if it did not
	issued, expires time.Time // of temporary credentials
	provider        string
	via             []string // the services that forwarded the request, the last one last
	org             string
	orgPaths        []string
	source          SourceResource
	accessKeyID     string
	connection      *Connection
}

// noCircumstances are those of a caller of whom nothing else is known.
var noCircumstances circumstances

// Root returns the root user of the keyring's account. A key policy allows it what it allows the account; nothing else does.
func Root() Caller { return Caller{kind: policy.RootUser} }

// User returns an IAM user of the keyring's account, by its name with its path: "alice", "ops/carol".
func User(name string) Caller {
	return Caller{kind: policy.User, name: name}.require(isPathName(name), "the user has no name, or one that IAM would refuse; a name is no ARN")
}

// Role returns a session of an IAM role of the keyring's account, by the role's name with its path: "orders", "service-role/data". The session is named after
// the role; [Session] names it otherwise.
//
// As in IAM, the name of a role is unique in its account whatever its path: the ARN of a session has no path, so that sessions of a/app and b/app are the same
// to a policy that names the session.
func Role(name string) Caller {
	session := baseName(name)
	if len(session) == 1 { // too short for a session
		session += "_"
	}
	c := Session(name, session)
	c.anySession = true
	return c
}

// Session returns a session, of that name, of an IAM role of the keyring's account. Key policies match it by its own ARN and by the ARN of its role.
func Session(role, session string) Caller {
	return Caller{kind: policy.AssumedRole, name: role, session: session}.
		require(isPathName(role) && sessionName.MatchString(session), "the role or its session has no name, or one that IAM would refuse; a name is no ARN")
}

// FederatedUser returns a session, of that name, that an IAM user of the keyring's account opened for somebody else (GetFederationToken). Without session policies it
// has none of the user's permissions, and what a key policy gives it by its own name.
func FederatedUser(user, session string) Caller {
	return Caller{kind: policy.FederatedUser, name: user, session: session}.
		require(isPathName(user) && federatedName.MatchString(session), "the user or its session has no name, or one that IAM would refuse; a name is no ARN")
}

// Service returns a service principal, by its name: "objectstore.amazonaws.com". It belongs to no account, and only a key policy or a grant that names the service
// allows it. A service that acts for somebody is not this but that caller; see [Caller.Via].
func Service(name string) Caller {
	return Caller{kind: policy.Service, name: name}.require(serviceName.MatchString(name), "the service has no name of the form name.amazonaws.com")
}

// ParseCaller returns the caller that a policy or a credential names: the root user, a user, a role or a role's session of an account by its ARN, or a service by its
// name. A role's session is named after the role if the ARN is the role's; an ARN of a session (arn:aws:sts::...:assumed-role/...) has no place for the path of the role,
// which is taken to have none. A federated user cannot be named so, since its ARN does not tell whose session it is. A client of a caller of another partition than the
// keyring's is denied everything.
func ParseCaller(principal string) (Caller, error) {
	var c Caller
	if !strings.HasPrefix(principal, "arn:") {
		if c = Service(principal); c.Err() != nil {
			return Caller{}, errors.New("kms: caller: neither an ARN nor the name of a service, name.amazonaws.com")
		}
		return c, nil
	}
	a, err := arn.Parse(principal)
	if err != nil {
		return Caller{}, errors.New("kms: caller: the ARN is malformed")
	}
	kind, name, _ := strings.Cut(a.Resource, "/")
	switch a.Service + ":" + kind {
	case "iam:root":
		c = Root().require(a.Resource == "root", "the root user has no name")
	case "iam:user":
		c = User(name)
	case "iam:role":
		c = Role(name)
	case "sts:assumed-role":
		role, session, _ := strings.Cut(name, "/")
		c = Session(role, session)
	default:
		return Caller{}, errors.New("kms: caller: the ARN is not one of a root user, a user, a role or a role's session")
	}
	c = c.InAccount(a.Account).require(a.Region == "", "the ARN of a principal has no Region")
	c.partition = a.Partition
	return c, c.Err()
}

// require makes c a caller that cannot be, unless ok. The first problem stays.
func (c Caller) require(ok bool, problem string) Caller {
	if !ok && c.problem == "" {
		c.problem = problem
	}
	return c
}

// Err returns why there can be no such caller, or nil. A client of a caller that cannot be is denied everything.
func (c Caller) Err() error {
	switch {
	case c.kind == 0:
		return errors.New("kms: the zero Caller")
	case c.problem != "":
		return errors.New("kms: caller: " + c.problem)
	}
	return nil
}

// with returns c with circumstances that change has changed.
func (c Caller) with(change func(*circumstances)) Caller {
	more := *c.circumstances()
	change(&more)
	c.more = &more
	return c
}

func (c Caller) circumstances() *circumstances {
	if c.more == nil {
		return &noCircumstances
	}
	return c.more
}

// InAccount returns the caller as one of another account, by its twelve digits. Such a caller needs the permission of both accounts, of which its own is in
// Config.Identities alone, or a grant. It names keys and aliases by their ARNs, and is told no more of a denial than AWS tells: [Keyring.Simulate] tells the rest.
// Only these operations are for callers of other accounts, whatever policies say: those that use a key, GetPublicKey, NeedsReEncrypt, DescribeKey, GetKeyRotationStatus,
// and those on grants.
func (c Caller) InAccount(account string) Caller {
	c.account = account
	return c.require(arn.IsAccountID(account), "an account has twelve digits").
		require(c.kind != policy.Service, "a service belongs to no account")
}

// InSession returns a caller that is named by a role alone, as by [Role], in a session of that name.
func (c Caller) InSession(name string) Caller {
	c = c.require(c.anySession, "only a caller that is named by a role alone has sessions to choose from").
		require(sessionName.MatchString(name), "the session has no name, or one that IAM would refuse")
	c.session, c.anySession = name, false
	return c
}

// WithTags returns the caller with tags of its session, over those that it has and those of its user or role, for aws:PrincipalTag. The keys of tags differ
// otherwise than by case.
func (c Caller) WithTags(tags ...Tag) Caller {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		key := strings.ToLower(t.Key)
		c = c.require(t.Key != "" && utf8.ValidString(t.Key) && utf8.ValidString(t.Value), "a tag has no key, or is no valid UTF-8").
			require(!seen[key], "two tags have the same key")
		seen[key] = true
	}
	return c.with(func(more *circumstances) { more.tags = overlay(more.tags, tags) })
}

// WithSessionPolicies returns the caller with policies that limit its session, in IAM's JSON language: what no one of them allows is denied. They replace earlier
// ones. A malformed one makes a caller that is denied everything; see [Caller.Err].
func (c Caller) WithSessionPolicies(documents ...string) Caller {
	var policies []*PolicyDocument
	for i, text := range documents {
		doc, err := policy.Parse(text, policy.IdentityPolicy)
		if err != nil {
			return c.require(false, fmt.Sprintf("session policy %d: %v", i, err))
		}
		policies = append(policies, doc)
	}
	return c.require(len(documents) > 0, "no session policies").
		require(c.kind != policy.Service, "a service has no session policies").
		with(func(more *circumstances) { more.policies = policies })
}

// WithMFA returns the caller as one that proved at that time to have a second factor.
func (c Caller) WithMFA(at time.Time) Caller {
	return c.with(func(more *circumstances) { more.mfa = at })
}

// WithLifetime returns the caller with credentials that were issued and that expire at these times, by the keyring's clock. A caller whose credentials have expired is
// denied everything, with [ErrExpiredToken].
func (c Caller) WithLifetime(issued, expires time.Time) Caller {
	return c.require(issued.Before(expires) && !expires.IsZero(), "credentials that expire before they are issued, or at no time").
		with(func(more *circumstances) { more.issued, more.expires = issued, expires })
}

// WithAccessKey returns the caller as one who signed the request with an access key, by its id, for the audit trail. Policies do not see it.
func (c Caller) WithAccessKey(id string) Caller {
	return c.with(func(more *circumstances) { more.accessKeyID = id })
}

// WithProvider returns a role's session as one that an identity provider vouched for: the ARN of a SAML or OpenID Connect provider, or a host name such as
// "accounts.google.com".
func (c Caller) WithProvider(provider string) Caller {
	return c.require(c.kind == policy.AssumedRole, "only a role's session has an identity provider").
		require(provider != "", "an identity provider without a name").
		with(func(more *circumstances) { more.provider = provider })
}

// InOrganization returns the caller as one whose account belongs to an organisation, with the paths of the organisational units that it is in, for
// aws:PrincipalOrgID and aws:PrincipalOrgPaths.
func (c Caller) InOrganization(id string, paths ...string) Caller {
	return c.require(id != "", "an organisation without an id").
		with(func(more *circumstances) { more.org, more.orgPaths = id, slices.Clone(paths) })
}

// Via returns the caller as one for whom a service makes the request, by the service's name: "objectstore.amazonaws.com". Policies see it as kms:ViaService,
// "objectstore.eu-central-1.amazonaws.com", and aws:CalledVia. A service that hands on the request of another is named after it.
func (c Caller) Via(service string) Caller {
	return c.require(serviceName.MatchString(service), "a service has a name of the form name.amazonaws.com").
		require(c.kind != policy.Service, "a service does not act for a service").
		with(func(more *circumstances) { more.via = append(slices.Clone(more.via), service) })
}

// A SourceResource is on whose behalf a service calls: the resource that made it.
type SourceResource struct {
	ARN            string // aws:SourceArn
	AccountID      string // aws:SourceAccount
	OrganizationID string // aws:SourceOrgID
}

// ForSource returns a service as one that calls on behalf of a resource. A grant to a service holds for one resource only.
func (c Caller) ForSource(source SourceResource) Caller {
	return c.require(c.kind == policy.Service, "only a service calls on behalf of a resource").
		with(func(more *circumstances) { more.source = source })
}

// A Connection is how a request came over a network.
type Connection struct {
	SourceIP    netip.Addr // aws:SourceIp, or with a VPCEndpoint aws:VpcSourceIp
	VPC         string     // aws:SourceVpc
	VPCEndpoint string     // aws:SourceVpce
	Secure      bool       // it was encrypted: aws:SecureTransport
	UserAgent   string     // aws:UserAgent
	Referer     string     // aws:Referer

	// What follows is for the audit trail alone.
	RequestID string // that the answer carries too; empty for a new one
	TLS       audit.TLS
}

// Over returns the caller as one whose request came over a connection. Without one it came from within the process, which is secure and has no address.
func (c Caller) Over(connection Connection) Caller {
	return c.with(func(more *circumstances) { more.connection = &connection })
}

// overlay returns tags with others over them, which have no two keys alike. Keys compare without case.
func overlay(tags, others []Tag) []Tag {
	all := slices.DeleteFunc(slices.Clone(tags), func(t Tag) bool {
		return slices.ContainsFunc(others, func(o Tag) bool { return strings.EqualFold(o.Key, t.Key) })
	})
	return append(all, others...)
}

// The alphabets and lengths that IAM gives to names.
var (
	entityName  = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	entityPath  = regexp.MustCompile(`^([!-.0-~]+/)*$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

	federatedName = regexp.MustCompile(`^[\w+=,.@-]{2,32}$`)
	serviceName   = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,8}$`)
)

func isPathName(s string) bool {
	cut := strings.LastIndexByte(s, '/') + 1
	return entityPath.MatchString(s[:cut]) && entityName.MatchString(s[cut:]) && len(s) <= 512 && !strings.ContainsAny(s, "*?:")
}

// baseName is a name without its path.
func baseName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// String names the caller for people: "role orders, session orders".
func (c Caller) String() string {
	var who string
	switch {
	case c.Err() != nil:
		return "invalid caller"
	case c.kind == policy.RootUser:
		who = "root user"
	case c.kind == policy.User:
		who = "user " + c.name
	case c.kind == policy.AssumedRole:
		who = "role " + c.name + ", session " + c.session
	case c.kind == policy.FederatedUser:
		who = "federated user " + c.session + " of user " + c.name
	default:
		who = "service " + c.name
	}
	if c.account != "" {
		who += ", account " + c.account
	}
	if c.more != nil && len(c.more.via) > 0 {
		who += ", via " + strings.Join(c.more.via, ", ")
	}
	return who
}

// An actor is a caller as a keyring sees it: with ARNs, as policies match it and as the audit trail names it. It is immutable.
type actor struct {
	principal policy.Principal
	behind    string // the ARN of the user or role that has the permissions; empty for root users and services
	audit     audit.Identity
	kind      string   // aws:PrincipalType
	userID    string   // aws:userid where no unique id is known; empty for services
	session   string   // of a role's session
	userName  string   // aws:username; of users only
	via       string   // kms:ViaService
	problem   string   // why there can be no such caller; empty if there can
	address   string   // of the connection; empty if there is none
	services  []string // aws:PrincipalServiceNamesList; of services only
	place     uint8    // where permissions are remembered
	*circumstances
}

// actorOf resolves a caller within a ring.
func (r *ringID) actorOf(c Caller) *actor {
	account := cmp.Or(c.account, r.account)
	iam := "arn:" + r.partition + ":iam::" + account + ":"
	sts := "arn:" + r.partition + ":sts::" + account + ":"
	id := &actor{principal: policy.Principal{Type: c.kind, Account: account}, circumstances: c.circumstances()}
	if on := id.connection; on != nil && on.SourceIP.IsValid() {
		id.address = on.SourceIP.WithZone("").String()
	}
	if err := c.Err(); err != nil {
		id.problem, id.principal.Type = strings.TrimPrefix(strings.TrimPrefix(err.Error(), "kms: "), "caller: "), 0
		id.audit = audit.Identity{Type: "Unknown", AccessKeyID: id.accessKeyID}
		return id
	}
	if c.partition != "" && c.partition != r.partition {
		id.problem, id.principal.Type = "it is one of another partition", 0
		id.audit = audit.Identity{Type: "Unknown", AccessKeyID: id.accessKeyID}
		return id
	}
	switch c.kind {
	case policy.RootUser:
		id.principal.ARN = iam + "root"
		id.kind, id.userID = "Account", account
		id.audit = audit.Identity{Type: "Root", PrincipalID: account, ARN: id.principal.ARN, AccountID: account}
	case policy.User:
		id.principal.ARN = iam + "user/" + c.name
		id.behind = id.principal.ARN
		id.kind, id.userID, id.userName = "User", uniqueID("AIDA", id.principal.ARN), baseName(c.name)
		id.audit = audit.Identity{Type: "IAMUser", PrincipalID: id.userID, ARN: id.principal.ARN, AccountID: account, UserName: id.userName}
	case policy.AssumedRole:
		id.principal.Role = iam + "role/" + c.name
		id.principal.ARN = sts + "assumed-role/" + baseName(c.name) + "/" + c.session
		id.principal.Provider = id.provider
		id.behind, id.session = id.principal.Role, c.session
		id.kind, id.userID = "AssumedRole", uniqueID("AROA", id.principal.Role)+":"+c.session
		id.audit = audit.Identity{Type: "AssumedRole", PrincipalID: id.userID, ARN: id.principal.ARN, AccountID: account, SessionRole: id.principal.Role}
	case policy.FederatedUser:
		id.principal.User = iam + "user/" + c.name
		id.principal.ARN = sts + "federated-user/" + c.session
		id.behind = id.principal.User
		id.kind, id.userID = "FederatedUser", account+":"+c.session
		id.audit = audit.Identity{Type: "FederatedUser", PrincipalID: id.userID, ARN: id.principal.ARN, AccountID: account}
	case policy.Service:
		id.principal.ARN, id.principal.Account, id.services = c.name, "", []string{c.name}
		id.audit = audit.Identity{Type: "AWSService", InvokedBy: c.name}
	}
	if n := len(id.circumstances.via); n > 0 {
		last := id.circumstances.via[n-1]
		if strings.Contains(last, "."+r.region+".") {
			id.problem, id.principal.Type = "the name of a service that forwards a request has no Region, which it gets here", 0
		}
		id.via = r.viaService(last)
		id.audit.InvokedBy = last
	}
	id.audit.AccessKeyID = id.accessKeyID
	id.place = uint8(crc32.ChecksumIEEE([]byte(id.principal.ARN))) // any even distribution does
	return id
}

// same reports whether two actors are allowed the same by policies that ask for no circumstances.
func (id *actor) same(other *actor) bool {
	return id == other || id.principal == other.principal && slices.Equal(id.policies, other.policies)
}

// uniqueID returns an id of IAM's form that is always the same for an ARN.
func uniqueID(prefix, arn string) string {
	sum := sha256.Sum256([]byte(arn))
	var text [(sha256.Size + 4) / 5 * 8]byte
	base32.StdEncoding.Encode(text[:], sum[:])
	return prefix + string(text[:17])
}
