package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/internal/strictjson"
	"github.com/claviger/kms/policy"
)

// maxLine is how long a line of cases may be, in bytes.
const maxLine = 16 << 20

// maxCaseDepth is how deep a case may be nested, with the policies in it.
const maxCaseDepth = 32

func newSimulate() *cobra.Command {
	var people identitiesFlag
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Decide requests, and judge key policies",
		Long: "Reads a case as JSON on each line of standard input, and writes an answer as JSON for each, in their order.\n" +
			`A case of "kind" "decision" has a request, with its whole context, and the policies and grants that bear on it; the answer is Allowed, ExplicitlyDenied or` + "\n" +
			`ImplicitlyDenied. A case of "kind" "put" has a document, and the answer is Accept or Reject: whether PutKeyPolicy takes it from the root user, who bypasses the` + "\n" +
			"lockout check. An explanation says why. A line that is no such case is answered with an error, and so is a case with a policy that could not have been stored.\n" +
			"docs/operations.md has the members of a case.",
		Args: noArguments,
	}
	people.register(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ids, err := people.open()
		if err != nil {
			return err
		}
		s := simulation{identities: ids, rings: make(map[string]*kms.Keyring)}
		defer s.close()
		return s.run(c.Context(), c.InOrStdin(), c.OutOrStdout())
	}
	return c
}

// A simulation answers cases.
type simulation struct {
	identities kms.Identities
	rings      map[string]*kms.Keyring // by partition, account and Region
}

func (s *simulation) close() {
	for _, ring := range s.rings {
		_ = ring.Close() // in memory
	}
}

func (s *simulation) run(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	buffered := bufio.NewWriter(out)
	answers := json.NewEncoder(buffered)
	answers.SetEscapeHTML(false)
	for n := 1; lines.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		if err := errors.Join(answers.Encode(s.answer(ctx, n, lines.Bytes())), buffered.Flush()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// An answer is what is written for a case.
type answer struct {
	ID          string `json:"id"`
	Decision    string `json:"decision,omitempty"`
	Explanation string `json:"explanation,omitempty"`
	Error       string `json:"error,omitempty"`
}

// A policyCase is one line, of either kind.
type policyCase struct {
	ID, Kind, KeyARN, KeyAccount string

	Request struct {
		Principal struct {
			Type, ARN, Account, RoleARN, UserARN string
		}
		Action, Resource string
		Context          map[string][]string
	}
	KeyPolicy          json.RawMessage
	IdentityPolicies   []json.RawMessage
	PermissionBoundary json.RawMessage
	SessionPolicies    []json.RawMessage
	Grants             []struct {
		GranteePrincipal string
		Operations       []kms.GrantOperation
		Constraints      struct {
			EncryptionContextSubset, EncryptionContextEquals kms.EncryptionContext
			SourceARN                                        string
		}
	}

	Document *string
}

// answer answers one line. Whatever is wrong with it is its own affair.
func (s *simulation) answer(ctx context.Context, n int, line []byte) (a answer) {
	var c policyCase
	if err := decodeCase(line, &c); err != nil {
		a.ID, a.Error = c.ID, fmt.Sprintf("line %d: %v", n, err)
		return a
	}
	a.ID = c.ID
	var err error
	switch c.Kind {
	case "decision":
		var e kms.Explanation
		if e, err = c.decide(); err == nil {
			a.Decision, a.Explanation = e.Outcome.String(), e.String()
		}
	case "put":
		a.Decision, a.Explanation, err = s.put(ctx, &c)
	default:
		err = errors.New(`kind: want "decision" or "put"`)
	}
	if err != nil {
		a.Decision, a.Explanation, a.Error = "", "", fmt.Sprintf("line %d: %v", n, err)
	}
	return a
}

// decodeCase reads a line. Members that it does not know are other people's notes; those that it knows must be there once.
func decodeCase(line []byte, c *policyCase) error {
	err := json.Unmarshal(line, c)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return fmt.Errorf("%s: must be no JSON %s", strings.ToLower(wrong.Field[:1])+wrong.Field[1:], wrong.Value)
	}
	if err != nil {
		return fmt.Errorf("not the JSON of a case: %w", err)
	}
	if _, err := strictjson.Read(string(line), strictjson.Limits{Depth: maxCaseDepth, Values: maxLine}); err != nil {
		return errors.New(err.Message) // as of a member that is there twice, at any depth
	}
	d := json.NewDecoder(strings.NewReader(string(line)))
	seen := map[string]bool{}
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if folded := strings.ToLower(strings.ToUpper(fmt.Sprint(name))); seen[folded] { // as package json folds, to whom ſ is an s
			return errors.New("a member is there twice")
		} else {
			seen[folded] = true
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return err
		}
	}
	return nil
}

// multivalued are the condition keys that may hold several values, however many they do.
var multivalued = []string{
	"kms:EncryptionContextKeys", "kms:GrantOperations", "kms:ResourceAliases", "aws:TagKeys", "aws:PrincipalOrgPaths", "aws:CalledVia", "aws:PrincipalServiceNamesList",
}

// decide makes the decision that the case asks for.
func (c *policyCase) decide() (kms.Explanation, error) {
	p := c.Request.Principal
	types := map[string]policy.PrincipalType{
		"user": policy.User, "assumed-role": policy.AssumedRole, "root": policy.RootUser, "service": policy.Service, "federated-user": policy.FederatedUser,
	}
	kind, known := types[p.Type]
	switch {
	case !known:
		return kms.Explanation{}, errors.New("request.principal.type: want user, assumed-role, root, service or federated-user")
	case c.Request.Action == "" || p.ARN == "":
		return kms.Explanation{}, errors.New("request: want an action and a principal")
	case isNull(c.KeyPolicy):
		return kms.Explanation{}, errors.New("keyPolicy: is missing")
	}
	values, err := policy.NewValues(c.Request.Context, multivalued...)
	if err != nil {
		return kms.Explanation{}, fmt.Errorf("request.context: %w", err)
	}
	in := kms.EvaluateInput{Account: c.KeyAccount, EncryptionContext: c.encryptionContext(), Request: &kms.PolicyRequest{
		Principal: policy.Principal{Type: kind, ARN: p.ARN, Account: p.Account, Role: p.RoleARN, User: p.UserARN, Boundary: !isNull(c.PermissionBoundary)},
		Action:    c.Request.Action, Resource: c.Request.Resource, Context: values,
	}}
	if in.KeyPolicy, err = parseDocument("keyPolicy", c.KeyPolicy, policy.KeyPolicy); err != nil {
		return kms.Explanation{}, err
	}
	if in.Identity, err = parseDocuments("identityPolicies", c.IdentityPolicies); err != nil {
		return kms.Explanation{}, err
	}
	if in.Session, err = parseDocuments("sessionPolicies", c.SessionPolicies); err != nil {
		return kms.Explanation{}, err
	}
	if !isNull(c.PermissionBoundary) {
		if in.Boundary, err = parseDocument("permissionBoundary", c.PermissionBoundary, policy.IdentityPolicy); err != nil {
			return kms.Explanation{}, err
		}
	}
	for i, g := range c.Grants {
		grant := &kms.Grant{GrantID: fmt.Sprintf("[%d]", i), KeyARN: c.KeyARN, Operations: g.Operations, Constraints: kms.GrantConstraints{
			EncryptionContextSubset: g.Constraints.EncryptionContextSubset, EncryptionContextEquals: g.Constraints.EncryptionContextEquals, SourceARN: g.Constraints.SourceARN,
		}}
		if strings.HasPrefix(g.GranteePrincipal, "arn:") {
			grant.GranteePrincipal = g.GranteePrincipal
		} else {
			grant.GranteeServicePrincipal = g.GranteePrincipal
		}
		in.Grants = append(in.Grants, grant)
	}
	in.NewGrant = c.newGrant(in.EncryptionContext)
	return kms.Explain(in), nil
}

// encryptionContext is that of the request, which stands in its context.
func (c *policyCase) encryptionContext() kms.EncryptionContext {
	ec := kms.EncryptionContext{}
	for name, values := range c.Request.Context {
		const prefix = "kms:EncryptionContext:"
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) && len(values) == 1 {
			ec[name[len(prefix):]] = values[0]
		}
	}
	return ec
}

// newGrant is the grant that a kms:CreateGrant is to make, as far as its context tells.
func (c *policyCase) newGrant(ec kms.EncryptionContext) *kms.Grant {
	operations := c.Request.Context["kms:GrantOperations"]
	if len(operations) == 0 {
		return nil
	}
	g := new(kms.Grant)
	for _, op := range operations {
		g.Operations = append(g.Operations, kms.GrantOperation(op))
	}
	switch {
	case slices.Contains(c.Request.Context["kms:GrantConstraintType"], "EncryptionContextEquals"):
		g.Constraints.EncryptionContextEquals = ec
	case slices.Contains(c.Request.Context["kms:GrantConstraintType"], "EncryptionContextSubset"):
		g.Constraints.EncryptionContextSubset = ec
	}
	return g
}

func isNull(text json.RawMessage) bool { return len(text) == 0 || string(text) == "null" }

// parseDocument compiles a document, which may also stand in a string.
func parseDocument(member string, raw json.RawMessage, kind policy.Kind) (*kms.PolicyDocument, error) {
	text := string(raw)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, fmt.Errorf("%s: %w", member, err)
		}
	}
	doc, err := policy.Parse(text, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", member, err)
	}
	return doc, nil
}

func parseDocuments(member string, raw []json.RawMessage) (documents []*kms.PolicyDocument, err error) {
	for i, text := range raw {
		doc, err := parseDocument(fmt.Sprintf("%s[%d]", member, i), text, policy.IdentityPolicy)
		if err != nil {
			return nil, err
		}
		documents = append(documents, doc)
	}
	return documents, nil
}

// What is decided about a document.
const (
	accepted = "Accept"
	rejected = "Reject"
)

// put hands the document to PutKeyPolicy of a ring in memory.
func (s *simulation) put(ctx context.Context, c *policyCase) (decision, why string, err error) {
	if c.Document == nil {
		return "", "", errors.New("document: is missing")
	}
	a, err := arn.Parse(c.KeyARN)
	if err != nil {
		return "", "", errors.New("keyArn: want the ARN of a key")
	}
	where := a.Partition + " " + c.KeyAccount + " " + a.Region
	ring := s.rings[where]
	if ring == nil {
		ring, err = kms.Open(ctx, kms.Config{AccountID: c.KeyAccount, Region: a.Region, Partition: a.Partition, Identities: s.identities})
		if err != nil {
			return "", "", err
		}
		s.rings[where] = ring
	}
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{})
	if err != nil {
		return "", "", err
	}
	err = ring.PutKeyPolicy(ctx, key.ARN, kms.PutKeyPolicyInput{Policy: *c.Document, BypassPolicyLockoutSafetyCheck: true})
	switch e, ok := errors.AsType[*kms.Error](err); {
	case err == nil:
		return accepted, "PutKeyPolicy takes it", nil
	case ok && slices.Contains([]kms.Code{kms.ErrMalformedPolicy, kms.ErrLimitExceeded, kms.ErrValidation}, e.Code):
		return rejected, string(e.Code) + ": " + e.Message, nil
	default:
		return "", "", err
	}
}

// A village is the identities that are assumed where none are given: everyone whom a policy may name, and one account beside the key's.
type village struct{}

// villagers are its users and roles, in any account.
var villagers = []string{"user/alice", "user/bob", "role/AppRole", "role/service-role/DataRole"}

func (v village) Current() kms.Identities { return v }

func (village) Identity(name string) *kms.Identity {
	a, err := arn.Parse(name)
	if err != nil || !slices.Contains(villagers, a.Resource) {
		return nil
	}
	return &kms.Identity{ARN: name}
}

func (village) Account(id string) *kms.Account {
	if id != "444455556666" {
		return nil
	}
	return &kms.Account{ID: id}
}

func (village) All() iter.Seq[*kms.Identity] {
	return func(yield func(*kms.Identity) bool) {
		for _, account := range []string{"111122223333", "444455556666"} {
			for _, name := range villagers {
				if !yield(&kms.Identity{ARN: "arn:aws:iam::" + account + ":" + name}) {
					return
				}
			}
		}
	}
}
