package kms

import (
	"strings"
	"time"

	"github.com/claviger/kms/policy"
)

// Lookup gives the value of a condition key, computed only when a policy asks for it. A key that is not in the table, or does not apply to the operation, is
// absent. It implements [policy.Context].
func (cl *call) Lookup(key policy.Key) policy.Value {
	if value, ok := conditionKeys[key.Name]; ok {
		return value(cl, key.Part)
	}
	return policy.Value{}
}

// conditionKeys are the condition keys that operations supply, with those of the caller first. A call that came over no connection is within the process: it is
// secure, and has no address.
var conditionKeys = map[string]func(cl *call, part string) policy.Value{
	"aws:principalarn": func(cl *call, _ string) policy.Value {
		switch p := &cl.client.caller.principal; p.Type {
		case policy.AssumedRole:
			return policy.Text(p.Role)
		case policy.Service:
			return policy.Value{}
		default:
			return policy.Text(p.ARN)
		}
	},
	"aws:principalaccount": func(cl *call, _ string) policy.Value { return present(cl.client.caller.principal.Account) },
	"kms:calleraccount":    func(cl *call, _ string) policy.Value { return present(cl.client.caller.principal.Account) },
	"aws:principaltype":    func(cl *call, _ string) policy.Value { return present(cl.client.caller.kind) },
	"aws:userid":           func(cl *call, _ string) policy.Value { return present(cl.userID()) },
	"aws:username":         func(cl *call, _ string) policy.Value { return present(cl.client.caller.userName) },
	"aws:principaltag":     func(cl *call, part string) policy.Value { return cl.principalTag(part) },
	"aws:principalorgid": func(cl *call, _ string) policy.Value {
		id, _ := cl.organization()
		return present(id)
	},
	"aws:principalorgpaths": func(cl *call, _ string) policy.Value {
		_, paths := cl.organization()
		return policy.Texts(paths)
	},
	"aws:federatedprovider": func(cl *call, _ string) policy.Value { return present(cl.client.caller.provider) },
	"aws:tokenissuetime": func(cl *call, _ string) policy.Value {
		if at := cl.client.caller.issued; !at.IsZero() {
			return policy.Time(at)
		}
		return policy.Value{}
	},
	"aws:multifactorauthpresent": func(cl *call, _ string) policy.Value {
		switch who := cl.client.caller; {
		case !who.mfa.IsZero():
			return policy.Bool(true)
		case who.session != "" || who.principal.Type == policy.FederatedUser || !who.issued.IsZero():
			return policy.Bool(false)
		default: // a user's own credentials do not say
			return policy.Value{}
		}
	},
	"aws:multifactorauthage": func(cl *call, _ string) policy.Value {
		at := cl.client.caller.mfa
		switch age := time.Unix(0, cl.now).Sub(at); {
		case at.IsZero():
			return policy.Value{}
		case age < -clockTolerance: // by a clock that is wrong: nobody knows how old it is
			return policy.Ambiguous()
		default:
			return policy.Int(max(0, int64(age/time.Second)))
		}
	},

	"aws:principalisawsservice": func(cl *call, _ string) policy.Value {
		return policy.Bool(cl.client.caller.principal.Type == policy.Service)
	},
	"aws:principalservicename":      func(cl *call, _ string) policy.Value { return present(cl.serviceName()) },
	"aws:principalservicenameslist": func(cl *call, _ string) policy.Value { return policy.Texts(cl.client.caller.services) },
	"aws:sourcearn":                 func(cl *call, _ string) policy.Value { return present(cl.client.caller.source.ARN) },
	"aws:sourceaccount":             func(cl *call, _ string) policy.Value { return present(cl.client.caller.source.AccountID) },
	"aws:sourceorgid":               func(cl *call, _ string) policy.Value { return present(cl.client.caller.source.OrganizationID) },

	"aws:viaawsservice": func(cl *call, _ string) policy.Value { return policy.Bool(cl.client.caller.via != "") },
	"kms:viaservice":    func(cl *call, _ string) policy.Value { return present(cl.client.caller.via) },
	"aws:calledvia":     func(cl *call, _ string) policy.Value { return policy.Texts(cl.calledVia()) },
	"aws:calledviafirst": func(cl *call, _ string) policy.Value {
		if via := cl.calledVia(); len(via) > 0 {
			return policy.Text(via[0])
		}
		return policy.Value{}
	},
	"aws:calledvialast": func(cl *call, _ string) policy.Value {
		if via := cl.calledVia(); len(via) > 0 {
			return policy.Text(via[len(via)-1])
		}
		return policy.Value{}
	},

	"aws:securetransport": func(cl *call, _ string) policy.Value {
		on := cl.client.caller.connection
		return policy.Bool(on == nil || on.Secure)
	},
	"aws:sourceip":    func(cl *call, _ string) policy.Value { return cl.address(false) },
	"aws:vpcsourceip": func(cl *call, _ string) policy.Value { return cl.address(true) },
	"aws:sourcevpc":   func(cl *call, _ string) policy.Value { return present(cl.connection().VPC) },
	"aws:sourcevpce":  func(cl *call, _ string) policy.Value { return present(cl.connection().VPCEndpoint) },
	"aws:useragent":   func(cl *call, _ string) policy.Value { return present(cl.connection().UserAgent) },
	"aws:referer":     func(cl *call, _ string) policy.Value { return present(cl.connection().Referer) },

	"aws:currenttime":     func(cl *call, _ string) policy.Value { return policy.Time(time.Unix(0, cl.now)) },
	"aws:epochtime":       func(cl *call, _ string) policy.Value { return policy.Int(time.Unix(0, cl.now).Unix()) },
	"aws:requestedregion": func(cl *call, _ string) policy.Value { return policy.Text(cl.client.c.ring.region) },
	"aws:resourceaccount": func(cl *call, _ string) policy.Value { return policy.Text(cl.client.c.ring.account) },

	"aws:requesttag":  func(cl *call, part string) policy.Value { return tagValue(cl.req.tags, part) },
	"aws:tagkeys":     func(cl *call, _ string) policy.Value { return policy.Texts(cl.req.tagNames()) },
	"aws:resourcetag": func(cl *call, part string) policy.Value { return tagValue(cl.subjectKey().tags, part) },

	"kms:keyspec":                func(cl *call, _ string) policy.Value { return present(cl.subjectKey().spec) },
	"kms:customermasterkeyspec":  func(cl *call, _ string) policy.Value { return present(cl.subjectKey().spec) },
	"kms:keyusage":               func(cl *call, _ string) policy.Value { return present(cl.subjectKey().usage) },
	"kms:customermasterkeyusage": func(cl *call, _ string) policy.Value { return present(cl.subjectKey().usage) },
	"kms:keyorigin":              func(cl *call, _ string) policy.Value { return present(cl.subjectKey().origin) },
	"kms:multiregion":            func(cl *call, _ string) policy.Value { return policy.Bool(cl.subjectKey().id.multiRegion) },
	"kms:resourcealiases":        func(cl *call, _ string) policy.Value { return policy.Texts(cl.subjectKey().aliases) },
	"kms:requestalias":           func(cl *call, _ string) policy.Value { return present(cl.aliases[cl.index]) },

	"kms:encryptionalgorithm":   func(cl *call, _ string) policy.Value { return cl.algorithm(EncryptDecrypt) },
	"kms:signingalgorithm":      func(cl *call, _ string) policy.Value { return cl.algorithm(SignVerify) },
	"kms:macalgorithm":          func(cl *call, _ string) policy.Value { return cl.algorithm(GenerateVerifyMac) },
	"kms:keyagreementalgorithm": func(cl *call, _ string) policy.Value { return cl.algorithm(KeyAgreement) },
	"kms:messagetype":           func(cl *call, _ string) policy.Value { return present(cl.req.messageType) },
	"kms:datakeypairspec":       func(cl *call, _ string) policy.Value { return present(cl.req.pairSpec) },
	"kms:encryptioncontext": func(cl *call, part string) policy.Value {
		return cl.req.context[cl.need().ref].value(part)
	},
	"kms:encryptioncontextkeys": func(cl *call, _ string) policy.Value { return policy.Texts(cl.contextNames(cl.need().ref)) },
	"kms:reencryptonsamekey": func(cl *call, _ string) policy.Value {
		if cl.op != &opReEncrypt {
			return policy.Value{}
		}
		return policy.Bool(cl.keys[0] != nil && cl.keys[1] != nil && cl.keys[0].id == cl.keys[1].id)
	},

	"kms:granteeprincipal":         func(cl *call, _ string) policy.Value { return present(cl.newGrant().GranteePrincipal) },
	"kms:granteeserviceprincipal":  func(cl *call, _ string) policy.Value { return present(cl.newGrant().GranteeServicePrincipal) },
	"kms:retiringprincipal":        func(cl *call, _ string) policy.Value { return present(cl.newGrant().RetiringPrincipal) },
	"kms:retiringserviceprincipal": func(cl *call, _ string) policy.Value { return present(cl.newGrant().RetiringServicePrincipal) },
	"kms:grantoperations":          func(cl *call, _ string) policy.Value { return policy.Texts(cl.req.grantOperations()) },
	"kms:grantconstrainttype":      func(cl *call, _ string) policy.Value { return present(cl.newGrant().Constraints.constraintType()) },
	"kms:grantconstraintsourcearn": func(cl *call, _ string) policy.Value { return present(cl.newGrant().Constraints.SourceARN) },
	"kms:grantisforawsresource": func(cl *call, _ string) policy.Value {
		switch cl.op {
		case &opCreateGrant, &opListGrants, &opRevokeGrant:
			return policy.Bool(cl.client.caller.via != "" || cl.client.caller.principal.Type == policy.Service)
		default:
			return policy.Value{}
		}
	},

	"kms:rotationperiodindays": func(cl *call, _ string) policy.Value {
		if p := cl.req.period; p%Day != 0 {
			return policy.Text(fractionOfDay(p))
		}
		return positive(int64(cl.req.period / Day))
	},
	"kms:trailingdayswithoutkeyusage":            func(cl *call, _ string) policy.Value { return cl.trailingDays() },
	"kms:schedulekeydeletionpendingwindowindays": func(cl *call, _ string) policy.Value { return positive(int64(cl.req.window)) },
	"kms:bypasspolicylockoutsafetycheck": func(cl *call, _ string) policy.Value {
		if !cl.req.bypass { // present only if it was sent
			return policy.Value{}
		}
		return policy.Bool(true)
	},
}

// userID is aws:userid, with the unique id of the user or role where it is known.
func (cl *call) userID() string {
	who := cl.client.caller
	switch i := cl.standing.identity; {
	case i == nil || i.ID == "" || who.principal.Type == policy.FederatedUser:
		return who.userID
	case who.session != "":
		return i.ID + ":" + who.session
	default:
		return i.ID
	}
}

// principalTag is a tag of the session, or if it has none of that key, of the user or role.
func (cl *call) principalTag(key string) policy.Value {
	if v := tagValue(cl.client.caller.tags, key); v != (policy.Value{}) {
		return v
	}
	if i := cl.standing.identity; i != nil {
		return tagValue(i.Tags, key)
	}
	return policy.Value{}
}

// organization is that of the caller's account, with the paths of its units.
func (cl *call) organization() (id string, paths []string) {
	who := cl.client.caller
	if a := cl.standing.account; a != nil && who.org == "" {
		return a.OrganizationID, a.OrganizationPaths
	}
	return who.org, who.orgPaths
}

// serviceName is the name of a service that calls for itself.
func (cl *call) serviceName() string {
	if p := &cl.client.caller.principal; p.Type == policy.Service {
		return p.ARN
	}
	return ""
}

// calledVia are the services that forwarded the request.
func (cl *call) calledVia() []string { return cl.client.caller.circumstances.via }

// connection is what the caller's request came over, as far as policies may see it: of a request that a service forwards, nothing.
func (cl *call) connection() *Connection {
	if who := cl.client.caller; who.connection != nil && who.via == "" {
		return who.connection
	}
	return &noConnection
}

var noConnection Connection

// address is the caller's: the one within a VPC if the request came through an endpoint, else the public one.
func (cl *call) address(private bool) policy.Value {
	if private != (cl.connection().VPCEndpoint != "") || cl.client.caller.via != "" {
		return policy.Value{}
	}
	return present(cl.client.caller.address)
}

// newGrant is the grant that is to be made, or an empty one.
func (cl *call) newGrant() *Grant {
	if g := cl.req.grant; g != nil {
		return g
	}
	return &noGrant
}

var noGrant Grant

// algorithm is the one that the key is used by, if that is the usage.
func (cl *call) algorithm(usage KeyUsage) policy.Value {
	n := cl.need()
	if n.usage != usage {
		return policy.Value{}
	}
	return present(n.uses(&cl.req))
}

// need is the need that is being authorized.
func (cl *call) need() *need { return &cl.op.needs[cl.index] }

// subjectKey is the record of the key that is being authorized, or of the key that is to be created.
func (cl *call) subjectKey() *keyRecord {
	if k := cl.keys[cl.index]; k != nil {
		return k.keyRecord
	}
	return &keyRecord{spec: cl.req.spec, usage: cl.req.usage, origin: cl.req.origin}
}

// present is a text that is absent when it is empty.
func present[T ~string](s T) policy.Value {
	if s == "" {
		return policy.Value{}
	}
	return policy.Text(string(s))
}

// positive is a number that is absent when it is zero.
func positive(n int64) policy.Value {
	if n == 0 {
		return policy.Value{}
	}
	return policy.Int(n)
}

// folded gathers the values of names that are one name but for case. Two such names make a key that cannot say which value it has.
type folded struct {
	value policy.Value
	found bool
}

func (f *folded) add(v string) {
	if f.found {
		f.value = policy.Ambiguous()
		return
	}
	f.value, f.found = policy.Text(v), true
}

func tagValue(tags []Tag, name string) policy.Value {
	var f folded
	for _, t := range tags {
		if strings.EqualFold(t.Key, name) {
			f.add(t.Value)
		}
	}
	return f.value
}

func (ec EncryptionContext) value(name string) policy.Value {
	var f folded
	for n, v := range ec {
		if strings.EqualFold(n, name) {
			f.add(v)
		}
	}
	return f.value
}
