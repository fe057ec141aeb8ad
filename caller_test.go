package kms_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claviger/kms"
)

// TestCallers: who a caller is to a policy, and which names make no caller at all.
func TestCallers(t *testing.T) {
	f := open(t)
	for _, tc := range []struct {
		caller kms.Caller
		arn    string // as a denial names him; "" if he is not valid
		text   string
	}{
		{kms.Root(), "arn:aws:iam::111122223333:root", "root user"},
		{kms.User("alice"), "arn:aws:iam::111122223333:user/alice", "user alice"},
		{kms.User("ops/eu/carol@example.com"), "arn:aws:iam::111122223333:user/ops/eu/carol@example.com", "user ops/eu/carol@example.com"},
		{kms.Role("orders"), "arn:aws:sts::111122223333:assumed-role/orders/orders", "role orders, session orders"},
		{kms.Role("service-role/data"), "arn:aws:sts::111122223333:assumed-role/data/data", "role service-role/data, session data"},
		{kms.Role("m"), "arn:aws:sts::111122223333:assumed-role/m/m_", "role m, session m_"},
		{kms.Session("a/b", "pod-7"), "arn:aws:sts::111122223333:assumed-role/b/pod-7", "role a/b, session pod-7"},
		{kms.Role("a/b").InSession("pod-7"), "arn:aws:sts::111122223333:assumed-role/b/pod-7", "role a/b, session pod-7"},
		{kms.Role("b").InSession("s"), "", "invalid caller"},
		{kms.Role("").InSession("pod-7"), "", "invalid caller"},
		{kms.Session("b", "pod-7").InSession("pod-8"), "", "invalid caller"},
		{kms.Role("b").InSession("pod-7").InSession("pod-7"), "", "invalid caller"},
		{kms.FederatedUser("alice", "fay").InSession("pod-7"), "", "invalid caller"},
		{kms.User("alice").InSession("pod-7"), "", "invalid caller"},
		{kms.Root().InSession("pod-7"), "", "invalid caller"},
		{kms.Service("logs.eu-central-1.amazonaws.com"), "logs.eu-central-1.amazonaws.com", "service logs.eu-central-1.amazonaws.com"},
		{kms.Caller{}, "", "invalid caller"},
		{kms.User(""), "", "invalid caller"},
		{kms.User("a b"), "", "invalid caller"},
		{kms.User("a*"), "", "invalid caller"},
		{kms.User("päul"), "", "invalid caller"},
		{kms.User(strings.Repeat("x", 65)), "", "invalid caller"},
		{kms.User("arn:aws:iam::111122223333:user/alice"), "", "invalid caller"},
		{kms.Role("arn:aws:iam::111122223333:role/writer"), "", "invalid caller"},
		{kms.Role("a/"), "", "invalid caller"},
		{kms.Role("/a"), "", "invalid caller"},
		{kms.Session("a", "s"), "", "invalid caller"},
		{kms.Session("a", "x/y"), "", "invalid caller"},
		{kms.Service("logs"), "", "invalid caller"},
		{kms.Service("Logs.amazonaws.com"), "", "invalid caller"},
		{kms.Service("*.amazonaws.com"), "", "invalid caller"},
	} {
		if got := tc.caller.String(); got != tc.text {
			t.Errorf("%s, want %s", got, tc.text)
		}
		deny := strings.TrimSuffix(everyone, "]}") + `,{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*"}]}`
		key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: deny}))(t)
		_, err := f.As(tc.caller).DescribeKey(t.Context(), key.ARN)
		want := "User: " + tc.arn + " is not authorized"
		if tc.arn == "" {
			want = "The caller is not valid"
		}
		if !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", tc.caller, err, want)
		}
		// Whoever may act can be named in a policy, and the other way round.
		if _, err := f.DefaultPolicy([]kms.Caller{tc.caller}, nil); (err == nil) != (tc.arn != "" && !strings.HasPrefix(tc.text, "service")) {
			t.Errorf("DefaultPolicy of %v: %v", tc.caller, err)
		}
	}
}
