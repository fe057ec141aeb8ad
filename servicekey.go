package kms

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/claviger/kms/keystore"
)

// ServiceKey returns the key that a service of this name, such as "objectstore.amazonaws.com", encrypts with for whoever brings no key, and makes it if there is none:
// the service managed key alias/aws/objectstore. Its policy lets every principal of the account use it through the service only ([Caller.Via]), and describe it
// who may describe keys. Nobody can change it, its policy or its alias, or delete it; it rotates every year. Its KeyManager is AWS.
//
// It is for the program that is the service, and needs nobody's permission. A name whose alias another service has is refused.
func (k *Keyring) ServiceKey(ctx context.Context, service string) (KeyMetadata, error) {
	c := k.c
	if !c.gate.enter() {
		return KeyMetadata{}, &Error{Op: "ServiceKey", Code: ErrServiceUnavailable, Message: "the keyring is closed"}
	}
	defer c.gate.leave()
	found, err := c.serviceKey(ctx, service)
	if err != nil {
		return KeyMetadata{}, wrap("ServiceKey", printable(service), err)
	}
	return found.metadata(c.ring.account), nil
}

func (c *core) serviceKey(ctx context.Context, service string) (*key, error) {
	name, _, _ := strings.Cut(service, ".")
	alias := reservedPrefix + name
	if !serviceName.MatchString(service) || !isAliasName(alias) {
		return nil, faultf(ErrValidation, "A service has a name of the form name.amazonaws.com.")
	}
	want := c.ring.servicePolicy(service)
	for try := 0; ; try++ {
		at, now := c.clock.read()
		k, err := c.loadAlias(ctx, alias, at, now, try > 0)
		if errors.Is(err, errNoKey) {
			k, err = c.createServiceKey(ctx, alias, want, now)
		}
		switch {
		case err == nil && k.policy != want:
			return nil, faultf(ErrAlreadyExists, "%s is the key of another service.", c.ring.aliasARN(alias))
		case !errors.Is(err, keystore.ErrConflict) || try == maxTries:
			return k, err
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

// createServiceKey makes the key of a service, as an event of its own.
func (c *core) createServiceKey(ctx context.Context, alias, text string, now int64) (*key, error) {
	r := &keyRecord{id: c.newKeyID(), spec: SymmetricDefault, usage: EncryptDecrypt, origin: OriginAWSKMS, manager: ManagerAWS, created: now, state: Enabled, policy: text,
		description: "Default key that protects what " + strings.TrimPrefix(alias, reservedPrefix) + " keeps when no other key is defined", aliases: []string{alias}}
	r.rotation.period, r.rotation.next = int64(defaultRotationPeriod), after(now, defaultRotationPeriod)
	from, changes, err := c.freeAlias(ctx, alias, now)
	if f, ok := errors.AsType[*fault](err); ok && f.code == ErrAlreadyExists {
		return nil, keystore.ErrConflict // another process made it
	}
	if err != nil {
		return nil, err
	}
	b := c.batch(now)
	b.put(kindAlias, alias, from, &aliasRecord{target: r.id, created: now, updated: now})
	raw, err := c.generate(ctx, r.spec.specification())
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	m, err := c.addVersion(b, r, raw, now, "", [32]byte{})
	if err != nil {
		return nil, err
	}
	k := c.newKey(r)
	event := c.keyEvent("CreateKey", now, k, slog.String("aliasName", alias), slog.String("keyManager", string(r.manager)))
	snapshots, err := c.writeEvent(ctx, b, event, append([]keyChange{{next: r, material: m}}, changes...)...)
	if err != nil {
		return nil, err
	}
	return snapshots[0], nil
}

// ViaService returns the value that kms:ViaService has when a service, such as "objectstore.amazonaws.com", forwards a request ([Caller.Via]): its name with the Region.
// It is empty for what is no name of a service.
func (k *Keyring) ViaService(service string) string {
	if !serviceName.MatchString(service) {
		return ""
	}
	return k.c.ring.viaService(service)
}

// viaService is how policies see a service that acts for somebody: with the Region in its name.
func (r *ringID) viaService(service string) string {
	name, domain, _ := strings.Cut(service, ".")
	return name + "." + r.region + "." + domain
}

// servicePolicy is the policy of a service managed key.
func (r *ringID) servicePolicy(service string) string {
	use := allowStatement("Allow access through the service for all principals in the account that are authorized to use it", "*",
		[]string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"})
	use.Condition = map[string]map[string]string{"StringEquals": {"kms:CallerAccount": r.account, "kms:ViaService": r.viaService(service)}}
	name, _, _ := strings.Cut(service, ".")
	return policyOf("auto-"+name+"-1", use,
		allowStatement("Allow direct access to key metadata to the account", r.rootARN(r.account), []string{"kms:Describe*", "kms:Get*", "kms:List*"}))
}
