package kms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/policy"
)

// Limits of a key policy.
const (
	maxPolicyChars = 131072 // what the API takes at all
	maxPolicyBytes = 32768  // the quota
)

// policyName is the name of every key policy.
const policyName = "default"

// policy adds what is wrong with the text of a key policy before it is read: its length and its characters.
func (v *violations) policy(member, text string) {
	v.length(member, utf8.RuneCountInString(text), 1, maxPolicyChars)
	if strings.ContainsFunc(text, func(r rune) bool { return r > 0xff || r < ' ' && r != '\t' && r != '\n' && r != '\r' }) || !utf8.ValidString(text) {
		v.add(member, "", `satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`)
	}
}

// setPolicy makes a policy that a caller wants to store that of a record, and returns it compiled. It refuses what key policies may not hold.
func (a admitted) setPolicy(r *keyRecord, text string) (*PolicyDocument, error) {
	c := a.client.c
	doc, err := c.parseKeyPolicy(text)
	if err != nil {
		return nil, err
	}
	if r.bound, err = a.people.bind(doc); err != nil {
		return nil, err
	}
	r.policy = text
	return c.compile(text, r.bound)
}

// parseKeyPolicy reads a key policy, and refuses what key policies may not hold.
func (c *core) parseKeyPolicy(text string) (*PolicyDocument, error) {
	if len(text) > maxPolicyBytes {
		return nil, faultf(ErrLimitExceeded, "The key policy has %d bytes, and the limit is %d.", len(text), maxPolicyBytes)
	}
	doc, err := c.compile(text, nil)
	if err != nil {
		message := err.Error()
		if s, ok := errors.AsType[*policy.SyntaxError](err); ok && strings.HasPrefix(s.Message, "OverlyPermissiveCondition: ") { // AWS KMS's text begins with it
			message = s.Message + " (" + s.Path + ")"
		}
		return nil, &fault{code: ErrMalformedPolicy, message: message, cause: err}
	}
	return doc, nil
}

// checkLockout refuses a policy under which the caller could not put another one: it asks as a later PutKeyPolicy on that record would, by the same caller at the
// same time.
func (cl *call) checkLockout(doc *PolicyDocument, r *keyRecord) error {
	later := &call{frame: frame{client: cl.client, op: &opPutKeyPolicy, req: request{details: &noDetails}, at: cl.at, now: cl.now, standing: cl.standing,
		keys: [3]*key{{keyRecord: r, arn: cl.client.c.ring.keyARN(r.id), document: doc}}}}
	if d := Evaluate(later.question(0)); d.Outcome != Allowed {
		return faultf(ErrMalformedPolicy, "The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// A statement is one statement of a default policy, in the order in which AWS KMS writes its members.
type statement struct {
	Sid       string
	Effect    string
	Principal map[string]any
	Action    any
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

func allowStatement(sid string, principal, action any) statement {
	return statement{Sid: sid, Effect: "Allow", Principal: map[string]any{"AWS": principal}, Action: action, Resource: "*"}
}

// defaultPolicy is the policy of a key that is created without one: everything to the account, which is to say to its root user, and to those to whom IAM
// policies give it.
func (r *ringID) defaultPolicy(more ...statement) string {
	id := "key-default-1"
	if len(more) > 0 {
		id = "key-consolepolicy-3"
	}
	return policyOf(id, append([]statement{allowStatement("Enable IAM User Permissions", r.rootARN(r.account), "kms:*")}, more...)...)
}

// policyOf is a document of statements.
func policyOf(id string, statements ...statement) string {
	text, err := json.Marshal(struct {
		Version   string
		ID        string `json:"Id"`
		Statement []statement
	}{policy.Version2012, id, statements})
	if err != nil {
		panic("kms: " + err.Error()) // strings and maps of strings always marshal
	}
	return string(text)
}

// DefaultPolicy returns a key policy of the kind that the AWS console writes, for [CreateKeyInput] or PutKeyPolicy: the account's root user may do everything,
// administrators may manage the key and not use it, users may use it and not manage it. With neither it is the policy that a key gets without one. A caller
// made by [Role] stands for all sessions of the role, one made by [Session] for that session. It fails for a caller who cannot be named in a policy.
//
// As in AWS, administrators can let themselves use the key: by putting another policy, or by a grant. The audit trail shows it. Where they must not, take kms:PutKeyPolicy
// and kms:CreateGrant (of kms:Put* and kms:Create*) out of their statement, and leave both to the root user.
//
// A user of another account ([Caller.InAccount]) needs that account's permission as well; Root().InAccount(id) stands for all of an account. Aliases, and everything else
// that has no key, are not in a key policy's gift: they are the root user's, and theirs to whom identity policies give them.
//
// What using the key means follows from its usage, which has to be the key's: encrypting and decrypting unless another one is given. Users under [SignVerify] sign,
// verify and get the public key. Where some may sign and others only verify, the policy is one of your own; see the example of [Client.UpdateAlias].
func (k *Keyring) DefaultPolicy(administrators, users []Caller, usage ...KeyUsage) (string, error) {
	var more []statement
	if len(usage) == 0 {
		usage = []KeyUsage{EncryptDecrypt}
	}
	uses := []string{"kms:DescribeKey"}
	for _, u := range usage {
		if !slices.Contains(keyUsages, u) {
			return "", fmt.Errorf("kms: DefaultPolicy: there is no key usage %q", printable(string(u)))
		}
		for _, action := range userActions[u] {
			if !slices.Contains(uses, action) {
				uses = append(uses, action)
			}
		}
	}
	principals := func(callers []Caller) ([]string, error) {
		var arns []string
		for _, c := range callers {
			id := k.c.ring.actorOf(c)
			switch {
			case id.problem != "":
				return nil, fmt.Errorf("kms: DefaultPolicy: %s", id.problem)
			case c.kind == policy.Service:
				return nil, errors.New("kms: DefaultPolicy: a service is neither administrator nor user")
			default:
				arns = append(arns, k.c.ring.principalName(c))
			}
		}
		return arns, nil
	}
	if len(administrators) > 0 {
		arns, err := principals(administrators)
		if err != nil {
			return "", err
		}
		more = append(more, allowStatement("Allow access for Key Administrators", arns, administratorActions))
	}
	if len(users) > 0 {
		arns, err := principals(users)
		if err != nil {
			return "", err
		}
		grants := allowStatement("Allow attachment of persistent resources", arns, []string{"kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"})
		grants.Condition = map[string]map[string]string{"Bool": {"kms:GrantIsForAWSResource": "true"}}
		more = append(more, allowStatement("Allow use of the key", arns, uses), grants)
	}
	text := k.c.ring.defaultPolicy(more...)
	if _, err := k.c.parseKeyPolicy(text); err != nil {
		return "", fmt.Errorf("kms: DefaultPolicy: %w", err)
	}
	return text, nil
}

// What the console's policy gives to administrators, and beside kms:DescribeKey to users of a key of each usage.
var (
	administratorActions = []string{
		"kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*", "kms:Disable*", "kms:Get*", "kms:Delete*",
		"kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:RotateKeyOnDemand",
	}
	userActions = map[KeyUsage][]string{
		EncryptDecrypt:         {"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:GetPublicKey"},
		SignVerify:             {"kms:Sign", "kms:Verify", "kms:GetPublicKey"},
		GenerateVerifyMac:      {"kms:GenerateMac", "kms:VerifyMac"},
		KeyAgreement:           {"kms:DeriveSharedSecret", "kms:GetPublicKey"},
		EncapsulateDecapsulate: {"kms:Encapsulate", "kms:Decapsulate", "kms:GetPublicKey"},
	}
)

var opGetKeyPolicy = operation{
	name: "GetKeyPolicy", params: keyParam,
	needs: []need{{action: "kms:GetKeyPolicy", forms: keyForm, states: anyState}},
}

// GetKeyPolicy returns a key's policy as it was put. In the places of users and roles that are no more who they were then stand their unique ids, as in AWS KMS:
// whoever has the name now has nothing of it.
func (c *Client) GetKeyPolicy(ctx context.Context, ref string) (document string, err error) {
	return do(ctx, c, &opGetKeyPolicy, refRequest(ref), func(ctx context.Context, a admitted) (string, error) {
		k := a.keys[0]
		if len(k.bound) == 0 {
			return k.policy, nil
		}
		return k.document.Rename(func(p policy.PrincipalRef) string {
			if id := k.boundID(p.Value); id != "" && p.Type == "AWS" && a.people.ids != nil && a.people.unique(p.Value) != id {
				return id
			}
			return p.Value
		}), nil
	})
}

var opPutKeyPolicy = operation{
	name: "PutKeyPolicy", changes: true,
	needs: []need{{action: actionPutKeyPolicy, forms: keyForm, states: anyState}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		e.Request = append(e.Request, slog.String("policyName", policyName), slog.String("policy", r.policy), slog.Bool("bypassPolicyLockoutSafetyCheck", r.bypass))
	},
}

// A PutKeyPolicyInput is a new policy for a key.
type PutKeyPolicyInput struct {
	Policy string // up to 32768 bytes

	// BypassPolicyLockoutSafetyCheck stores a policy that would not let the caller change it again.
	BypassPolicyLockoutSafetyCheck bool
}

// PutKeyPolicy replaces a key's policy. A policy that is malformed, or under which the caller could not put another one, is [ErrMalformedPolicy]; one that is
// too long is [ErrLimitExceeded].
func (c *Client) PutKeyPolicy(ctx context.Context, ref string, in PutKeyPolicyInput) error {
	req := &request{refs: [2]string{ref}, details: &details{policy: in.Policy, bypass: in.BypassPolicyLockoutSafetyCheck}}
	var v violations
	v.ref("keyId", ref)
	v.policy("policy", in.Policy)
	req.invalid = v.err()
	return c.changeKey(ctx, &opPutKeyPolicy, req, func(a admitted, next *keyRecord) (bool, error) {
		was := a.keys[0]
		doc, err := a.setPolicy(next, a.req.policy)
		if err == nil && !a.req.bypass {
			err = a.checkLockout(doc, next)
		}
		return next.policy != was.policy || !slices.Equal(next.bound, was.bound), err
	})
}

var opListKeyPolicies = operation{
	name: "ListKeyPolicies", params: func(r *request, e *audit.Event) { keyParam(r, e); pageParams(r, e) },
	needs: []need{{action: "kms:ListKeyPolicies", forms: keyForm, states: anyState}},
}

// ListKeyPolicies lists the names of a key's policies: always "default", and nothing else.
func (c *Client) ListKeyPolicies(ctx context.Context, ref string) iter.Seq2[string, error] {
	return pages(ctx, func(ctx context.Context, in PageInput) (Page[string], error) {
		return c.ListKeyPoliciesPage(ctx, ref, in)
	})
}

// ListKeyPoliciesPage returns one page of [Client.ListKeyPolicies], of up to 1000 names.
func (c *Client) ListKeyPoliciesPage(ctx context.Context, ref string, in PageInput) (Page[string], error) {
	return listInline(ctx, c, &opListKeyPolicies, refRequest(ref), in, 1000, 100, func(admitted) []string { return []string{policyName} },
		func(_ context.Context, _ admitted, name string) (string, bool, error) { return name, true, nil })
}
