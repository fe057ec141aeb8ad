package kms

import (
	"crypto/sha256"
	"encoding/base32"
	"hash/crc32"
	"regexp"
	"strings"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/policy"
)

// A Caller is who asks. The zero Caller may do nothing. Callers are made by [Root], [User], [Role], [Session] and [Service], and become clients by [Keyring.As].
type Caller struct {
	kind    policy.PrincipalType
	name    string // of the user or role, with its path; of the service
	session string // of a role's session
	valid   bool

	anySession bool // named by its role alone
}

// Root returns the root user of the keyring's account. A key policy allows it what it allows the account; nothing else does.
func Root() Caller { return Caller{kind: policy.RootUser, valid: true} }

// User returns an IAM user of the keyring's account, by its name with its path: "alice", "ops/carol".
func User(name string) Caller {
	return Caller{kind: policy.User, name: name, valid: isPathName(name)}
}

// Role returns a session of an IAM role of the keyring's account, by the role's name with its path: "orders", "service-role/data". The session is named after
// the role; [Session] names it otherwise.
//
// As in IAM, the name of a role is unique in its account whatever its path: the ARN of a session has no path, so that sessions of a/app and b/app are the same
// to a policy that names the session.
func Role(name string) Caller {
	session := name[strings.LastIndexByte(name, '/')+1:]
	if len(session) == 1 { // too short for a session
		session += "_"
	}
	c := Session(name, session)
	c.anySession = true
	return c
}

// Session returns a session, of that name, of an IAM role of the keyring's account. Key policies match it by its own ARN and by the ARN of its role.
func Session(role, session string) Caller {
	return Caller{kind: policy.AssumedRole, name: role, session: session, valid: isPathName(role) && sessionName.MatchString(session)}
}

// Service returns a service principal, by its name: "objectstore.amazonaws.com". It belongs to no account, and only a key policy that names the service allows it.
func Service(name string) Caller {
	return Caller{kind: policy.Service, name: name, valid: serviceName.MatchString(name)}
}

// The alphabets and lengths that IAM gives to names.
var (
	entityName  = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	entityPath  = regexp.MustCompile(`^([!-.0-~]+/)*$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	serviceName = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,8}$`)
)

func isPathName(s string) bool {
	cut := strings.LastIndexByte(s, '/') + 1
	return entityPath.MatchString(s[:cut]) && entityName.MatchString(s[cut:]) && len(s) <= 512 && !strings.ContainsAny(s, "*?:")
}

// String names the caller for people: "role orders, session orders".
func (c Caller) String() string {
	switch {
	case !c.valid:
		return "invalid caller"
	case c.kind == policy.RootUser:
		return "root user"
	case c.kind == policy.User:
		return "user " + c.name
	case c.kind == policy.AssumedRole:
		return "role " + c.name + ", session " + c.session
	default:
		return "service " + c.name
	}
}

// An identity is a caller as a keyring sees it: with ARNs, as policies match it and as the audit trail names it. It is immutable.
type identity struct {
	principal policy.Principal
	audit     audit.Identity
	kind      string // aws:PrincipalType
	userID    string // aws:userid; empty for services
	userName  string // aws:username; of users only
	valid     bool
	place     uint8 // where permissions are remembered
}

// identify resolves a caller within an account. Ids of users and roles follow from their ARNs, since nothing here hands out others.
func identify(c Caller, partition, account string) *identity {
	iam := "arn:" + partition + ":iam::" + account + ":"
	id := &identity{valid: c.valid, principal: policy.Principal{Type: c.kind, Account: account}}
	if !c.valid {
		id.audit = audit.Identity{Type: "Unknown"}
		return id
	}
	switch c.kind {
	case policy.RootUser:
		id.principal.ARN = iam + "root"
		id.kind, id.userID = "Account", account
		id.audit = audit.Identity{Type: "Root", PrincipalID: account, ARN: id.principal.ARN, AccountID: account}
	case policy.User:
		id.principal.ARN = iam + "user/" + c.name
		id.kind, id.userID, id.userName = "User", uniqueID("AIDA", id.principal.ARN), c.name[strings.LastIndexByte(c.name, '/')+1:]
		id.audit = audit.Identity{Type: "IAMUser", PrincipalID: id.userID, ARN: id.principal.ARN, AccountID: account, UserName: id.userName}
	case policy.AssumedRole:
		id.principal.Role = iam + "role/" + c.name
		id.principal.ARN = "arn:" + partition + ":sts::" + account + ":assumed-role/" + c.name[strings.LastIndexByte(c.name, '/')+1:] + "/" + c.session
		id.kind, id.userID = "AssumedRole", uniqueID("AROA", id.principal.Role)+":"+c.session
		id.audit = audit.Identity{Type: "AssumedRole", PrincipalID: id.userID, ARN: id.principal.ARN, AccountID: account, SessionRole: id.principal.Role}
	case policy.Service:
		id.principal.ARN, id.principal.Account = c.name, ""
		id.audit = audit.Identity{Type: "AWSService", InvokedBy: c.name}
	default:
		id.valid = false
	}
	id.place = uint8(crc32.ChecksumIEEE([]byte(id.principal.ARN))) // any even distribution does
	return id
}

// uniqueID returns an id of IAM's form that is always the same for an ARN.
func uniqueID(prefix, arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
