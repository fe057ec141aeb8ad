package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// settings are by what somebody may describe a key: by a statement in the middle of the key's policy; by one in the middle of identity policies, within a boundary, to which
// the key's policy delegates in its middle; and by a grant, where no statement does.
var settings = []struct {
	name     string
	rules    func(n int) *rules
	question question
}{
	{"key policy", func(n int) *rules { return &rules{key: choose(keyStatements, n, "use")} }, description},
	{"identity policies", func(n int) *rules {
		return &rules{key: choose(keyStatements, n, "account"), identity: choose(identityStatements, n, "orders-use")}
	}, identityDescription},
	{"a grant", func(n int) *rules { return &rules{key: choose(keyStatements, n, "use"), granted: true} }, grantDescription},
}

// authorizeContests describe a key, which is little more than to be authorized, and of which no sink is told. Since some of the statements have conditions, no decision is
// remembered.
func authorizeContests(r *ring, _ *peers) ([]*contest, error) {
	var all []*contest
	for _, by := range settings {
		for _, n := range sizes {
			compiled, err := by.rules(n).compile()
			if err != nil {
				return nil, err
			}
			key, err := compiled.ring()
			if err != nil {
				return nil, err
			}
			r.atEnd(key.Close)
			c := compiled.authorization(key, &by.question)
			c.name = fmt.Sprintf("DescribeKey by %s, %d statements", by.name, n)
			all = append(all, c)
		}
	}
	return all, nil
}

// authorization returns the contest of authorizing the description of a key. The others make the context of the request, and decide; who asks and the key they are given
// before, as a client is.
func (r *compiled) authorization(key *ruledKey, q *question) *contest {
	client, forCedar, forRego, check := key.client(q), q.forCedar(), q.forRego(), r.check(q)
	return &contest{
		ours: &way{name: nameOurs, check: check, op: func() ([]byte, error) {
			_, err := client.DescribeKey(context.Background(), key.arn)
			if errors.Is(err, kms.ErrAccessDenied) {
				return deny, nil
			}
			return allow, err
		}},
		others: []*way{
			{name: nameCedar, limit: noLimit, check: check, op: func() ([]byte, error) { return forCedar.askAnew(r.cedar) }},
			{name: nameOPA, limit: noLimit, check: check, op: func() ([]byte, error) { return forRego.askAnew(&r.rego) }},
		},
		allocs: noLimit,
	}
}

// A ruledKey is the key of a ring that has no other, for which rules decide.
type ruledKey struct {
	*kms.Keyring
	arn string
}

// ring opens a ring with such a key.
func (r *rules) ring() (*ruledKey, error) {
	ids, err := r.directory()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	keyring, err := kms.Open(ctx, kms.Config{AccountID: account, Region: "eu-central-1", Identities: ids})
	if err != nil {
		return nil, err
	}
	key, err := keyring.CreateKey(ctx, kms.CreateKeyInput{})
	if err == nil && r.granted {
		_, err = keyring.CreateGrant(ctx, key.ARN, kms.CreateGrantInput{
			GranteePrincipal: principalARN(grantStatement.who[0]), Operations: []kms.GrantOperation{kms.GrantDecrypt, kms.GrantDescribeKey},
		})
	}
	if err == nil { // last, since these policies let nobody do anything from within the process
		err = keyring.PutKeyPolicy(ctx, key.ARN, kms.PutKeyPolicyInput{Policy: iamText(r.key, policy.KeyPolicy), BypassPolicyLockoutSafetyCheck: true})
	}
	return &ruledKey{keyring, key.ARN}, err
}

// client returns the client of who asks a question.
func (k *ruledKey) client(q *question) *kms.Client {
	caller := kms.Root()
	switch role, is := strings.CutPrefix(q.who, "role/"); {
	case is:
		caller = kms.Session(role, session)
	case q.who != delegate:
		caller = kms.Service(q.who)
	}
	var tags []kms.Tag
	connection := kms.Connection{Secure: !q.insecure}
	for _, f := range q.facts() {
		switch v := f.value.(type) {
		case netip.Addr:
			connection.SourceIP = v
		case time.Time:
			caller = caller.WithLifetime(v, time.Now().Add(kms.Day))
		}
		if name, is := strings.CutPrefix(f.key, "aws:PrincipalTag/"); is {
			tags = append(tags, kms.Tag{Key: name, Value: f.value.(string)})
		}
	}
	if tags != nil {
		caller = caller.WithTags(tags...)
	}
	if q.sourceARN != "" {
		caller = caller.ForSource(kms.SourceResource{ARN: q.sourceARN})
	}
	if q.via != "" {
		caller = caller.Via("s3.amazonaws.com")
	}
	return k.As(caller.Over(connection))
}
