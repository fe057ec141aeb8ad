package kmshttp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// Needles are texts that must not be found, each with what it would give away.
type needles map[string]string

// add adds a secret in every form that it may take.
func (n needles) add(what string, secret []byte) {
	if len(secret) < 8 { // which may stand anywhere by chance
		return
	}
	for _, form := range []string{string(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), hex.EncodeToString(secret), fmt.Sprintf("%q", secret), fmt.Sprint(secret)} {
		n[strings.Trim(form, `="[]`)] = what
	}
}

// collect adds the secrets of a body: what is a blob or a token, wherever it stands.
func (n needles) collect(t *testing.T, body string) {
	t.Helper()
	if body == "" {
		return
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	for name, value := range m {
		switch name {
		case "Plaintext", "CiphertextBlob", "PrivateKeyPlaintext", "PrivateKeyCiphertextBlob", "SharedSecret", "SharedSecretCiphertextBlob", "Mac", "Signature", "Message", "PublicKey":
			secret, err := base64.StdEncoding.DecodeString(value.(string))
			if err != nil {
				t.Fatal(err)
			}
			n.add(name, secret)
		case "GrantToken":
			n.add(name, []byte(value.(string)))
		case "GrantTokens":
			for _, token := range value.([]any) {
				n.add(name, []byte(token.(string)))
			}
		}
	}
}

// look searches a text.
func (n needles) look(t *testing.T, where, text string) {
	t.Helper()
	for needle, what := range n {
		if strings.Contains(text, needle) {
			t.Errorf("%s shows %s: %s", where, what, text)
		}
	}
}

// Headers of a request that are nobody's to read.
const (
	canarySignature = "AWS4-HMAC-SHA256 Credential=AKIDCANARY/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target, " +
		"Signature=c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
	canaryToken = "canary-session-token-0b7a11"
)

// TestNothingIsTold: neither the answer to a request that fails nor any line of the log shows what was to be encrypted or signed, what was made of it, a token or a
// signature, whatever is wrong.
func TestNothingIsTold(t *testing.T) {
	failures := 0
	for op := range offered {
		var lines bytes.Buffer
		var sinkPanics atomic.Bool
		ring := kmstest.New(t, func(cfg *kms.Config) {
			trail := cfg.Audit
			cfg.Audit = audit.SinkFunc(func(ctx context.Context, e *audit.Event) error {
				if sinkPanics.Load() {
					panic(fmt.Sprintf("%v", e.Request))
				}
				return trail.Append(ctx, e)
			})
		})
		w := &world{Ring: ring, t: t, wire: kmshttp.Transport(ring.Keyring), made: map[string]any{}}
		caller := kms.Root()
		handler, err := kmshttp.New(kmshttp.Config{
			Rings:         []*kms.Keyring{ring.Keyring},
			Authenticator: kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) { return kmshttp.Identity{Caller: caller}, nil }),
			Log:           slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			t.Fatal(err)
		}
		secrets := needles{}
		secrets.add("the signature", []byte(canarySignature[len(canarySignature)-64:]))
		secrets.add("the Authorization header", []byte(canarySignature))
		secrets.add("the session token", []byte(canaryToken))
		try := func(what, body string) answer {
			t.Helper()
			a := send(t, handler, op.name, body, func(r *http.Request) {
				r.Header.Set("Authorization", canarySignature)
				r.Header.Set("X-Amz-Security-Token", canaryToken)
			})
			if a.status != http.StatusOK {
				failures++
				secrets.look(t, "the answer to "+op.name+" "+what, a.body)
			} else {
				secrets.collect(t, a.body)
			}
			if lines.Len() == 0 {
				t.Errorf("%s %s is not logged", op.name, what)
			}
			return a
		}
		good := op.least(w)
		secrets.collect(t, good.String())
		wrong := good.with("Canary", true)
		for _, m := range op.members { // with canaries that are no good
			switch {
			case m.kind == blob && !m.refused:
				wrong[m.name] = []byte("canary of " + op.name + " " + m.name)
			case m.name == "GrantTokens":
				wrong[m.name] = []string{"canary-token-of-" + op.name}
			case m.name == "GrantToken":
				wrong[m.name] = "canary-token-of-" + op.name
			}
		}
		secrets.collect(t, wrong.String())
		for base, r := range map[string]request{"with what is good": good, "with what is wrong": wrong} {
			try(base+" and a type that is none", r.with("KeyId", 1).with("Limit", "x").with("AliasName", 1).with("NumberOfBytes", true).with("GrantToken", 1).with("Tags", 1).String())
			try(base+" and text behind", r.String()+"x")
			try(base+" and a member twice", strings.TrimSuffix(r.String(), "}")+`,"X":1,"X":2}`)
			for _, m := range op.members {
				if m.required {
					try(base+" without "+m.name, r.without(m.name).String())
				}
				if m.refused {
					try(base+" and "+m.name, r.with(m.name, m.value(w)).String())
				}
				if m.enum != nil && m.kind == text {
					try(base+" and another "+m.name, r.with(m.name, "NO_SUCH").String())
				}
				if m.kind == blob {
					try(base+" and a long "+m.name, r.with(m.name, bytes.Repeat([]byte("canary of too many bytes "), 1000)).String())
					try(base+" in another alphabet", r.with(m.name, "canary_of-the-URL").String())
				}
			}
			if op.takes("KeyId") {
				try(base+" and an unknown key", r.with("KeyId", unknownARN).String())
				try(base+" and another key", r.with("KeyId", w.mac()).String())
			}
			if op.takes("DryRun") {
				try(base+" in a dry run", r.with("DryRun", true).String())
			}
			caller = kms.Role("stranger")
			try(base+" by a stranger", r.String())
			caller = kms.Root()
			sinkPanics.Store(true)
			try(base+" and a panic", r.String())
			sinkPanics.Store(false)
		}
		try("with what is wrong", wrong.String())
		if a := try("with what is good", good.String()); a.status != http.StatusOK && !op.changes { // which may have been made already
			t.Errorf("%s: %d %s", op.name, a.status, a.body)
		}
		secrets.add("the canary", []byte("canary of"))
		secrets.add("the canary token", []byte("canary-token-of"))
		secrets.look(t, "the log", lines.String())
	}
	if failures < 500 {
		t.Errorf("%d requests failed", failures)
	}
}

// TestNothingIsToldOfStrangers: nor is it of requests whose signature is not good.
func TestNothingIsToldOfStrangers(t *testing.T) {
	w := newWorld(t)
	var lines bytes.Buffer
	const secretKey = "canary-secret-access-key-94fe"
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.SigV4(keys{"AKIDCANARY": {SecretAccessKey: secretKey, SessionToken: "canary-token-that-is-right", Caller: kms.Root()}}),
		Log: slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	secrets := needles{}
	secrets.add("the signature", []byte(canarySignature[len(canarySignature)-64:]))
	secrets.add("the session token", []byte(canaryToken))
	secrets.add("the session token that is right", []byte("canary-token-that-is-right"))
	secrets.add("the secret access key", []byte(secretKey))
	secrets.add("the bearer's token", []byte("canary-bearer-token"))
	secrets.add("the plaintext", []byte(secretMessage))
	body := request{"KeyId": w.symmetric(), "Plaintext": []byte(secretMessage)}.String()
	for what, header := range map[string]http.Header{
		"none":                {},
		"no date":             {"Authorization": {canarySignature}, "X-Amz-Security-Token": {canaryToken}},
		"a wrong signature":   {"Authorization": {canarySignature}, "X-Amz-Security-Token": {canaryToken}, "X-Amz-Date": {"20260101T000000Z"}},
		"no token":            {"Authorization": {canarySignature}, "X-Amz-Date": {"20260101T000000Z"}},
		"another key":         {"Authorization": {strings.Replace(canarySignature, "AKIDCANARY", "AKIDOTHER", 1)}, "X-Amz-Security-Token": {canaryToken}, "X-Amz-Date": {"20260101T000000Z"}},
		"another Region":      {"Authorization": {strings.Replace(canarySignature, "eu-central-1", "us-east-1", 1)}, "X-Amz-Security-Token": {canaryToken}, "X-Amz-Date": {"20260101T000000Z"}},
		"a bearer's token":    {"Authorization": {"Bearer canary-bearer-token"}},
		"two of them":         {"Authorization": {canarySignature, canarySignature}},
		"two tokens":          {"Authorization": {canarySignature}, "X-Amz-Security-Token": {canaryToken, canaryToken}, "X-Amz-Date": {"20260101T000000Z"}},
		"a short scope":       {"Authorization": {strings.Replace(canarySignature, "/kms/", "/", 1)}, "X-Amz-Security-Token": {canaryToken}, "X-Amz-Date": {"20260101T000000Z"}},
		"a date that is none": {"Authorization": {canarySignature}, "X-Amz-Security-Token": {canaryToken}, "X-Amz-Date": {"now"}},
	} {
		a := send(t, handler, "Encrypt", body, func(r *http.Request) {
			for name, values := range header {
				r.Header[name] = values
			}
		})
		if a.status != http.StatusBadRequest || a.code() == "" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		secrets.look(t, what, a.body)
		a.wantHeader(t, what)
	}
	secrets.look(t, "the log", lines.String())
	if n := strings.Count(lines.String(), `"level":"INFO"`); n != 11 {
		t.Errorf("%d lines", n)
	}
}

// Keys are credentials that are all known.
type keys map[string]kmshttp.Credential

func (k keys) Credential(_ context.Context, accessKeyID, _ string) (kmshttp.Credential, error) {
	if c, ok := k[accessKeyID]; ok {
		return c, nil
	}
	return kmshttp.Credential{}, kmshttp.ErrUnknownIdentity
}
