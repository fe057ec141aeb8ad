package kms

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/policy"
)

// An office is an IAM side of two accounts.
type office map[string]*Identity

func (o office) Current() Identities           { return o }
func (o office) Identity(arn string) *Identity { return o[arn] }
func (o office) All() iter.Seq[*Identity]      { return maps.Values(o) }
func (o office) Account(id string) *Account {
	if id == "111122223333" || id == "444455556666" {
		return &accountsOfOffice[id[0]-'1']
	}
	return nil
}

var accountsOfOffice [4]Account

func newOffice(t *testing.T) office {
	t.Helper()
	allow, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`, policy.IdentityPolicy)
	if err != nil {
		t.Fatal(err)
	}
	o := office{}
	for _, arn := range []string{"111122223333:user/allowed", "444455556666:user/allowed", "444455556666:role/allowed", "111122223333:role/allowed"} {
		o["arn:aws:iam::"+arn] = &Identity{ARN: "arn:aws:iam::" + arn, Policies: []*PolicyDocument{allow}}
	}
	for _, arn := range []string{"111122223333:user/idle", "444455556666:user/idle", "111122223333:role/grantee", "111122223333:role/retiring"} {
		o["arn:aws:iam::"+arn] = &Identity{ARN: "arn:aws:iam::" + arn}
	}
	return o
}

// openToBoth delegates to both accounts; openToOwner to the key's alone.
const (
	openToBoth  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Action":"kms:*","Resource":"*"}]}`
	openToOwner = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}]}`
)

// TestEveryOperationByEveryPrincipal: what each kind of caller is answered, by each operation.
func TestEveryOperationByEveryPrincipal(t *testing.T) {
	const abroad = "444455556666"
	everybody := newOffice(t)
	expired := Role("allowed").WithLifetime(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	for _, s := range steps {
		t.Run(s.method+" "+s.action, func(t *testing.T) {
			across := slices.ContainsFunc(operations, func(op *operation) bool { return op.name == s.name && op.across })
			onKey := s.action != ""
			byGrant := s.name == "RetireGrant"
			for _, tc := range []struct {
				name   string
				caller Caller
				policy string
				want   Code
			}{
				{"root user", Root(), openToBoth, ""},
				{"allowed user", User("allowed"), openToBoth, ""},
				{"session of an allowed role", Session("allowed", "one"), openToBoth, ""},
				{"user without permission", User("idle"), openToBoth, ErrAccessDenied},
				{"unknown user", User("nobody"), openToBoth, ErrAccessDenied},
				{"unknown account", User("allowed").InAccount("999999999999"), everyone, ErrAccessDenied},
				{"foreign user with both sides", User("allowed").InAccount(abroad), openToBoth, map[bool]Code{true: "", false: ErrAccessDenied}[across && (onKey || s.name == "ListRetirableGrants")]},
				{"foreign user with its own side only", User("allowed").InAccount(abroad), openToOwner, map[bool]Code{true: "", false: ErrAccessDenied}[s.name == "ListRetirableGrants"]},
				{"foreign user with the key's side only", User("idle").InAccount(abroad), openToBoth, ErrAccessDenied},
				{"foreign root user", Root().InAccount(abroad), openToBoth, map[bool]Code{true: "", false: ErrAccessDenied}[s.name == "ListRetirableGrants"]},
				{"limited session", Role("allowed").WithSessionPolicies(`{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`), openToBoth, ErrAccessDenied},
				{"expired session", expired, openToBoth, ErrExpiredToken},
				{"service", Service("logs.amazonaws.com"), openToBoth, ErrAccessDenied},
				{"nobody", Caller{}, everyone, ErrAccessDenied},
			} {
				if byGrant && tc.name == "foreign user with both sides" {
					tc.want = ErrAccessDenied
				}
				w := s.world(t, func(c *Config) { c.Identities = everybody })
				for _, key := range []KeyMetadata{w.key, w.other} {
					w.must(w.ring.PutKeyPolicy(t.Context(), key.ARN, PutKeyPolicyInput{Policy: tc.policy}))
				}
				_, err := s.call(t.Context(), w.ring.As(tc.caller), w, w.key.ARN)
				if s.enabled != "" && tc.want == "" {
					tc.want = s.enabled
				}
				if (err == nil) != (tc.want == "") || tc.want != "" && !errors.Is(err, tc.want) {
					t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
				}
			}
		})
	}
}

// TestForeignAccountsLearnNothing: to another account, a key that it may not use, one in any state, and one that does not exist are the same; to the text.
func TestForeignAccountsLearnNothing(t *testing.T) {
	const abroad = "444455556666"
	for _, s := range steps {
		if s.action == "" && s.missing == "" {
			continue
		}
		t.Run(s.method+" "+s.action, func(t *testing.T) {
			answers := map[string][]string{}
			for _, who := range []Caller{User("allowed").InAccount(abroad), User("idle").InAccount(abroad), Root().InAccount(abroad), Service("logs.amazonaws.com")} {
				for _, state := range []string{"enabled", "disabled", "pending", "unknown"} {
					w := s.world(t, func(c *Config) { c.Identities = newOffice(t) })
					ref := w.key.ARN
					switch state {
					case "disabled":
						w.must(w.ring.DisableKey(t.Context(), ref))
					case "pending":
						_, err := w.ring.ScheduleKeyDeletion(t.Context(), ref, 7)
						w.must(err)
					case "unknown":
						ref = w.key.ARN[:len(w.key.ARN)-4] + "0000"
						if strings.HasSuffix(w.key.ARN, "0000") {
							t.Skip("the key happens to be named so")
						}
					}
					for _, key := range []KeyMetadata{w.key, w.other} {
						w.must(w.ring.PutKeyPolicy(t.Context(), key.ARN, PutKeyPolicyInput{Policy: openToOwner}))
					}
					_, err := s.call(t.Context(), w.ring.As(who), w, ref)
					if !errors.Is(err, ErrAccessDenied) {
						t.Fatalf("%v, %s: %v", who, state, err)
					}
					answers[who.String()] = append(answers[who.String()], strings.NewReplacer(ref, "KEY", ref[strings.LastIndexByte(ref, '/')+1:], "ID").Replace(err.Error()))
				}
			}
			for who, texts := range answers {
				if slices.ContainsFunc(texts, func(text string) bool { return text != texts[0] }) {
					t.Errorf("%s is told %q", who, texts)
				}
			}
		})
	}
}

// TestRevokedGrantees: whatever a grant allowed ends with it.
func TestRevokedGrantees(t *testing.T) {
	for _, s := range steps {
		op := GrantOperation(strings.TrimPrefix(s.action, actionPrefix))
		if s.action == "" || !slices.Contains(grantOperations, op) || s.name == "CreateGrant" {
			continue
		}
		t.Run(s.method+" "+s.action, func(t *testing.T) {
			w := s.world(t)
			for _, key := range []KeyMetadata{w.key, w.other} {
				w.must(w.ring.PutKeyPolicy(t.Context(), key.ARN, PutKeyPolicyInput{Policy: openToOwner}))
			}
			client := w.ring.As(User("allowed"))
			grant := func(key KeyMetadata, op GrantOperation) CreateGrantResult {
				made, err := w.ring.CreateGrant(t.Context(), key.ARN, CreateGrantInput{GranteePrincipal: "arn:aws:iam::111122223333:user/allowed", Operations: []GrantOperation{op}})
				w.must(err)
				return made
			}
			for _, other := range []GrantOperation{GrantReEncryptFrom, GrantReEncryptTo} { // the other side of a ReEncrypt
				grant(w.other, other)
			}
			try := func() error {
				_, err := s.call(t.Context(), client, w, w.key.ARN)
				return err
			}
			if err := try(); !errors.Is(err, ErrAccessDenied) {
				t.Errorf("without a grant: %v", err)
			}
			made := grant(w.key, op)
			if err := try(); err != nil {
				t.Errorf("with a grant: %v", err)
			}
			w.must(w.ring.RevokeGrant(t.Context(), w.key.ARN, made.GrantID))
			if err := try(); !errors.Is(err, ErrAccessDenied) {
				t.Errorf("with a revoked grant: %v", err)
			}
			client = client.WithGrantTokens(made.GrantToken)
			if err := try(); !errors.Is(err, ErrAccessDenied) {
				t.Errorf("with the token of a revoked grant: %v", err)
			}
		})
	}
}
