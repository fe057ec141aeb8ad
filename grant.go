package kms

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claviger/kms/policy"
)

// A GrantOperation is an operation that a grant can allow: the name of its permission without "kms:".
type GrantOperation string

// Grant operations.
const (
	GrantDecrypt                             GrantOperation = "Decrypt"
	GrantEncrypt                             GrantOperation = "Encrypt"
	GrantGenerateDataKey                     GrantOperation = "GenerateDataKey"
	GrantGenerateDataKeyWithoutPlaintext     GrantOperation = "GenerateDataKeyWithoutPlaintext"
	GrantReEncryptFrom                       GrantOperation = "ReEncryptFrom"
	GrantReEncryptTo                         GrantOperation = "ReEncryptTo"
	GrantSign                                GrantOperation = "Sign"
	GrantVerify                              GrantOperation = "Verify"
	GrantGetPublicKey                        GrantOperation = "GetPublicKey"
	GrantCreateGrant                         GrantOperation = "CreateGrant"
	GrantRetireGrant                         GrantOperation = "RetireGrant"
	GrantDescribeKey                         GrantOperation = "DescribeKey"
	GrantGenerateDataKeyPair                 GrantOperation = "GenerateDataKeyPair"
	GrantGenerateDataKeyPairWithoutPlaintext GrantOperation = "GenerateDataKeyPairWithoutPlaintext"
	GrantGenerateMac                         GrantOperation = "GenerateMac"
	GrantVerifyMac                           GrantOperation = "VerifyMac"
	GrantDeriveSharedSecret                  GrantOperation = "DeriveSharedSecret"
	GrantEncapsulate                         GrantOperation = "Encapsulate"
	GrantDecapsulate                         GrantOperation = "Decapsulate"
)

// grantOperations are all grant operations, in the order in which a grant lists its own.
var grantOperations = []GrantOperation{
	GrantDecrypt, GrantEncrypt, GrantGenerateDataKey, GrantGenerateDataKeyWithoutPlaintext, GrantReEncryptFrom, GrantReEncryptTo, GrantSign, GrantVerify, GrantGetPublicKey,
	GrantCreateGrant, GrantRetireGrant, GrantDescribeKey, GrantGenerateDataKeyPair, GrantGenerateDataKeyPairWithoutPlaintext, GrantGenerateMac, GrantVerifyMac,
	GrantDeriveSharedSecret, GrantEncapsulate, GrantDecapsulate,
}

// GrantConstraints narrow what a grant allows. Names of encryption contexts compare without case here, as in policies; what decrypts compares them exactly. The two
// constraints of encryption contexts do not apply to DescribeKey and RetireGrant, and a grant has at most one of them.
type GrantConstraints struct {
	EncryptionContextEquals EncryptionContext // the request's encryption context is this; up to 8 pairs
	EncryptionContextSubset EncryptionContext // the request's encryption context includes this; up to 8 pairs
	SourceARN               string            // the request is on behalf of this resource; see [Caller.ForSource]
}

// A Grant allows one grantee some operations on one key.
type Grant struct {
	KeyARN       string
	GrantID      string // 64 hex digits
	Name         string // empty if it was given none
	CreationDate time.Time

	GranteePrincipal        string // the ARN of a user, a role, a session, a federated user or an account's root user; or
	GranteeServicePrincipal string // a service

	RetiringPrincipal        string // who may retire the grant beside its issuer: an ARN of the same kinds, empty for nobody; or
	RetiringServicePrincipal string // a service

	IssuingAccount string // the ARN of the root user of the account that made the grant
	Operations     []GrantOperation
	Constraints    GrantConstraints

	granteeID, retiringID string // the unique ids of users and roles that the grant is bound to; empty if it is not

	id   grantID
	used *usedDay // nil of a grant that no keyring has made
}

// String tells to whom the grant gives what, and on which key.
func (g Grant) String() string {
	return fmt.Sprintf("grant %s to %s on %s: %v", g.GrantID, cmp.Or(g.GranteePrincipal, g.GranteeServicePrincipal), g.KeyARN, g.Operations)
}

// failed returns what keeps the grant from allowing a request that no policy denies, as [GrantTrace] tells it, and "" if it allows it. A grant to a service
// holds on behalf of a resource only, and one to a caller of another account who is limited by a boundary or by session policies does not hold: whether those would have
// to allow the request is documented nowhere.
func (g *Grant) failed(in *EvaluateInput) string {
	p := &in.Request.Principal
	name, found := strings.CutPrefix(in.Request.Action, actionPrefix)
	op := GrantOperation(name)
	if g == nil || !found || !slices.Contains(g.Operations, op) {
		return "operation"
	}
	if p.Type == policy.Service {
		if g.GranteeServicePrincipal == "" || g.GranteeServicePrincipal != p.ARN {
			return "grantee"
		}
	} else if !isNamed(g.GranteePrincipal, g.granteeID, p) || in.isLimitedAcross() || !in.sameAccount() && p.Type == policy.RootUser {
		return "grantee"
	}
	switch {
	case p.Type == policy.Service && g.Constraints.SourceARN == "", !g.Constraints.holdSource(op, in):
		return "source"
	case !g.Constraints.holdContext(op, in):
		return "encryption context"
	case op == GrantCreateGrant && (in.NewGrant == nil || !g.mayPassOn(in.NewGrant)):
		return "new grant"
	}
	return ""
}

// isLimitedAcross reports whether the caller is of another account and limited there.
func (in *EvaluateInput) isLimitedAcross() bool {
	return !in.sameAccount() && (in.Request.Principal.Boundary || len(in.Session) > 0)
}

// isNamed reports whether an ARN in a grant names a caller: the user, the session or the root user itself, or the role behind the session. unique is the unique id that
// the ARN is bound to, if it is.
func isNamed(arn, unique string, p *policy.Principal) bool {
	if arn == "" || p.Type == policy.Service {
		return false
	}
	switch p.Type {
	case policy.User:
		if arn != p.ARN {
			return false
		}
	case policy.AssumedRole:
		if arn == p.ARN {
			return true // sessions have no unique ids
		}
		if arn != p.Role {
			return false
		}
	default:
		return arn == p.ARN
	}
	return unique == "" || unique == p.ID
}

// holdSource reports whether a request is on behalf of the resource that the constraints name, if they do.
func (c *GrantConstraints) holdSource(op GrantOperation, in *EvaluateInput) bool {
	if op == GrantRetireGrant || c.SourceARN == "" {
		return true
	}
	return in.Request.Context != nil && in.Request.Context.Lookup(sourceARNKey).Is(c.SourceARN)
}

// holdContext reports whether a request has the encryption context that the constraints ask for.
func (c *GrantConstraints) holdContext(op GrantOperation, in *EvaluateInput) bool {
	switch {
	case op == GrantRetireGrant, op == GrantDescribeKey, op == GrantCreateGrant: // what a new grant may hold is another question
		return true
	case c.EncryptionContextEquals != nil:
		return in.EncryptionContext.equals(c.EncryptionContextEquals)
	default:
		return in.EncryptionContext.includes(c.EncryptionContextSubset)
	}
}

// sourceARNKey is aws:SourceArn.
var sourceARNKey = policy.Key{Name: "aws:sourcearn"}

// includes reports whether ec has every pair of some. A name that either has twice but for case says nothing: else two pairs of some could be met by one of ec.
func (ec EncryptionContext) includes(some EncryptionContext) bool {
	for name, value := range some {
		if !ec.value(name).Is(value) || !some.value(name).Is(value) {
			return false
		}
	}
	return true
}

// equals reports whether each has every pair of the other.
func (ec EncryptionContext) equals(other EncryptionContext) bool {
	return ec.includes(other) && other.includes(ec)
}

// mayPassOn reports whether a grant that allows CreateGrant allows it for a new one: the new one allows no more.
func (g *Grant) mayPassOn(next *Grant) bool {
	for _, op := range next.Operations {
		if !slices.Contains(g.Operations, op) {
			return false
		}
	}
	was, is := &g.Constraints, &next.Constraints
	switch {
	case was.SourceARN != "" && was.SourceARN != is.SourceARN:
		return false
	case was.EncryptionContextEquals != nil:
		return is.EncryptionContextEquals != nil && is.EncryptionContextEquals.equals(was.EncryptionContextEquals)
	case was.EncryptionContextSubset != nil:
		return is.context().includes(was.EncryptionContextSubset)
	default:
		return true
	}
}

// context is the encryption context that the constraints hold.
func (c *GrantConstraints) context() EncryptionContext {
	if c.EncryptionContextEquals != nil {
		return c.EncryptionContextEquals
	}
	return c.EncryptionContextSubset
}

// constraintType is kms:GrantConstraintType; empty if no encryption context is constrained.
func (c *GrantConstraints) constraintType() string {
	switch {
	case c.EncryptionContextEquals != nil:
		return "EncryptionContextEquals"
	case c.EncryptionContextSubset != nil:
		return "EncryptionContextSubset"
	default:
		return ""
	}
}
