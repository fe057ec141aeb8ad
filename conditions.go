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

// conditionKeys are the condition keys that operations supply, with those of the caller first.
//
// aws:SecureTransport is true: a call within the process crosses no network. Addresses, MFA and session age are absent, as they are for any caller that does
// not come over a network.
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
	"aws:userid":           func(cl *call, _ string) policy.Value { return present(cl.client.caller.userID) },
	"aws:username":         func(cl *call, _ string) policy.Value { return present(cl.client.caller.userName) },
	"aws:principalisawsservice": func(cl *call, _ string) policy.Value {
		return policy.Bool(cl.client.caller.principal.Type == policy.Service)
	},
	"aws:principalservicename": func(cl *call, _ string) policy.Value {
		if p := &cl.client.caller.principal; p.Type == policy.Service {
			return policy.Text(p.ARN)
		}
		return policy.Value{}
	},
	"aws:viaawsservice":   func(*call, string) policy.Value { return policy.Bool(false) },
	"aws:securetransport": func(*call, string) policy.Value { return policy.Bool(true) },

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

	"kms:encryptionalgorithm": func(cl *call, _ string) policy.Value { return present(cl.req.algo[cl.need().ref]) },
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

	"kms:rotationperiodindays": func(cl *call, _ string) policy.Value {
		if p := cl.req.period; p%Day != 0 {
			return policy.Text(fractionOfDay(p))
		}
		return positive(int64(cl.req.period / Day))
	},
	"kms:schedulekeydeletionpendingwindowindays": func(cl *call, _ string) policy.Value { return positive(int64(cl.req.window)) },
	"kms:bypasspolicylockoutsafetycheck": func(cl *call, _ string) policy.Value {
		if !cl.req.bypass { // present only if it was sent
			return policy.Value{}
		}
		return policy.Bool(true)
	},
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
