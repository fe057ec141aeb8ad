package policy_test

import (
	"os"
	"testing"

	"github.com/claviger/kms/policy"
)

const (
	account = "111122223333"
	keyARN  = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

func user(name string) policy.Principal {
	return policy.Principal{Type: policy.User, ARN: "arn:aws:iam::" + account + ":user/" + name, Account: account}
}

func session(role, name string) policy.Principal {
	return policy.Principal{
		Type: policy.AssumedRole, ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + name,
		Role: "arn:aws:iam::" + account + ":role/" + role, Account: account,
	}
}

func federated(name, by string) policy.Principal {
	return policy.Principal{
		Type: policy.FederatedUser, ARN: "arn:aws:sts::" + account + ":federated-user/" + name,
		User: "arn:aws:iam::" + account + ":user/" + by, Account: account,
	}
}

func root() policy.Principal {
	return policy.Principal{Type: policy.RootUser, ARN: "arn:aws:iam::" + account + ":root", Account: account}
}

func service(name string) policy.Principal { return policy.Principal{Type: policy.Service, ARN: name} }

// soak returns how often to try: full where KMS_SOAK is set.
func soak(small, full int) int {
	if os.Getenv("KMS_SOAK") != "" {
		return full
	}
	return small
}

func parse(t testing.TB, kind policy.Kind, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse(text, kind)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

// fixedValue is a Context that has one value for every key.
type fixedValue struct{ value policy.Value }

func (f fixedValue) Lookup(policy.Key) policy.Value { return f.value }

// values is a Context that compares keys as they stand in documents, in lower case.
type values map[string]policy.Value

func (v values) Lookup(k policy.Key) policy.Value {
	if k.Part == "" {
		return v[k.Name]
	}
	return v[k.Name+"/"+k.Part]
}

// matches reports whether the only statement of an identity policy matches r; the statement has the effect and the given further elements.
func matches(t testing.TB, effect policy.Effect, version, elements string, r *policy.Request) bool {
	t.Helper()
	d := parse(t, policy.IdentityPolicy, `{"Version": "`+version+`", "Statement": {"Effect": "`+effect.String()+`", `+elements+`}}`)
	v := d.Evaluate(r)
	if effect == policy.Deny {
		return v.Deny.Found()
	}
	return v.Identity.Found()
}

// holds reports whether a condition is met in a statement of the effect that matches otherwise.
func holds(t testing.TB, effect policy.Effect, condition string, ctx policy.Context) bool {
	t.Helper()
	r := &policy.Request{Principal: user("alice"), Action: "kms:Decrypt", Resource: keyARN, Context: ctx}
	return matches(t, effect, policy.Version2012, `"Action": "*", "Resource": "*", "Condition": `+condition, r)
}

var effects = []policy.Effect{policy.Allow, policy.Deny}
