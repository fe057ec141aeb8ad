package kmshttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
	"github.com/claviger/kms/rootkey/keyfile"
)

const (
	unknownID  = "12345678-1234-4234-8234-123456789012"
	unknownARN = "arn:aws:kms:eu-central-1:111122223333:key/" + unknownID
	aliasARN   = "arn:aws:kms:eu-central-1:111122223333:alias/"
)

// do makes a change that must succeed.
func (w *world) do(operation string, r request) {
	w.t.Helper()
	if a := w.post(operation, r); a.status != http.StatusOK {
		w.t.Fatalf("%s: %d %s", operation, a.status, a.body)
	}
}

// tampered is bytes with one other in the end.
func tampered(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// TestFaults: what a client does wrong is told by AWS KMS's exceptions, in its words, and is a 400 whatever it is.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		what      string
		operation string
		request   func(w *world) request
		code      kms.Code
		message   func(w *world) string
	}{
		{"an unknown id", "DescribeKey", func(*world) request { return request{"KeyId": unknownID} }, kms.ErrNotFound, says("Key '" + unknownARN + "' does not exist")},
		{"an unknown ARN", "Encrypt", func(*world) request { return request{"KeyId": unknownARN, "Plaintext": []byte("p")} }, kms.ErrNotFound, says("Key '" + unknownARN + "' does not exist")},
		{"an id without dashes", "DescribeKey", func(*world) request { return request{"KeyId": strings.ReplaceAll(unknownID, "-", "")} }, kms.ErrNotFound,
			says("Invalid keyId '" + strings.ReplaceAll(unknownID, "-", "") + "'")},
		{"an id in upper case", "DescribeKey", func(*world) request { return request{"KeyId": "ABCDEF12-1234-4234-8234-123456789012"} }, kms.ErrNotFound,
			says("Invalid keyId 'ABCDEF12-1234-4234-8234-123456789012'")},
		{"an id of another form", "DescribeKey", func(*world) request { return request{"KeyId": "mrk-fake-key-id"} }, kms.ErrNotFound, says("Invalid keyId 'mrk-fake-key-id'")},
		{"a key of another Region", "DescribeKey", func(*world) request {
			return request{"KeyId": strings.Replace(unknownARN, "eu-central-1", "us-east-1", 1)}
		}, kms.ErrNotFound,
			says("Invalid arn us-east-1")},
		{"an unknown alias", "DescribeKey", func(*world) request { return request{"KeyId": "alias/none"} }, kms.ErrNotFound, says("Alias " + aliasARN + "none is not found.")},
		{"an unknown alias ARN", "GenerateMac", func(*world) request {
			return request{"KeyId": aliasARN + "none", "Message": []byte("m"), "MacAlgorithm": "HMAC_SHA_256"}
		}, kms.ErrNotFound, says("Alias " + aliasARN + "none is not found.")},
		{"an alias where none goes", "DisableKey", func(w *world) request { return request{"KeyId": w.alias()} }, kms.ErrNotFound, says("Invalid keyId 'alias/world'")},
		{"an alias to be moved that there is not", "UpdateAlias", func(w *world) request { return request{"AliasName": "alias/none", "TargetKeyId": w.symmetric()} }, kms.ErrNotFound,
			says("Alias " + aliasARN + "none is not found.")},
		{"another policy", "GetKeyPolicy", func(w *world) request { return request{"KeyId": w.symmetric(), "PolicyName": "other"} }, kms.ErrNotFound, says("No such policy exists")},
		{"another policy to put", "PutKeyPolicy", func(w *world) request {
			return request{"KeyId": w.symmetric(), "PolicyName": "other", "Policy": policy(200)}
		}, kms.ErrNotFound,
			says("No such policy exists")},
		{"an unknown grant", "RevokeGrant", func(w *world) request { return request{"KeyId": w.symmetric(), "GrantId": strings.Repeat("0", 64)} }, kms.ErrNotFound,
			says("There is no such grant on the key.")},
		{"an alias ARN where none goes", "DisableKey", func(w *world) request { return request{"KeyId": aliasARN + w.alias()[len("alias/"):]} }, kms.ErrInvalidArn, says("an alias ARN does not name a key here")},
		{"a malformed ARN", "DescribeKey", func(*world) request { return request{"KeyId": "arn:aws:kms"} }, kms.ErrInvalidArn, says("the ARN is malformed")},
		{"an ARN of another service", "Encrypt", func(*world) request { return request{"KeyId": "arn:aws:s3:::bucket", "Plaintext": []byte("p")} }, kms.ErrInvalidArn, says("the ARN is malformed")},
		{"an ARN of no key", "DescribeKey", func(*world) request { return request{"KeyId": "arn:aws:kms:eu-central-1:111122223333:grant/x"} }, kms.ErrInvalidArn, says("the ARN is not one of a key")},
		{"no ARN of a principal", "CreateGrant", func(w *world) request {
			return request{"KeyId": w.symmetric(), "Operations": []string{"Decrypt"}, "GranteePrincipal": "somebody"}
		}, kms.ErrInvalidArn, says("granteePrincipal: it is not the ARN of a user, role, role session, federated user or root user")},

		{"a disabled key", "Encrypt", func(w *world) request {
			w.do("DisableKey", request{"KeyId": w.symmetric()})
			return request{"KeyId": w.symmetric(), "Plaintext": []byte("p")}
		}, kms.ErrDisabled, of((*world).symmetric, " is disabled.")},
		{"a disabled key by its ciphertext", "Decrypt", func(w *world) request {
			r := request{"CiphertextBlob": w.ciphertext()}
			w.do("DisableKey", request{"KeyId": w.symmetric()})
			return r
		}, kms.ErrDisabled, of((*world).symmetric, " is disabled.")},
		{"a key pending deletion", "Encrypt", func(w *world) request { return request{"KeyId": w.pending(), "Plaintext": []byte("p")} }, kms.ErrInvalidState, of((*world).pending, " is pending deletion.")},
		{"a public key pending deletion", "GetPublicKey", func(w *world) request {
			w.do("ScheduleKeyDeletion", request{"KeyId": w.signing()})
			return request{"KeyId": w.signing()}
		}, kms.ErrInvalidState, of((*world).signing, " is pending deletion.")},
		{"a key that is to be deleted twice", "ScheduleKeyDeletion", func(w *world) request { return request{"KeyId": w.pending()} }, kms.ErrInvalidState, of((*world).pending, " is pending deletion.")},
		{"a deletion that was not", "CancelKeyDeletion", func(w *world) request { return request{"KeyId": w.symmetric()} }, kms.ErrInvalidState, of((*world).symmetric, " is not pending deletion.")},
		{"an alias of a key pending deletion", "CreateAlias", func(w *world) request { return request{"AliasName": "alias/a", "TargetKeyId": w.pending()} }, kms.ErrInvalidState,
			of((*world).pending, " is pending deletion.")},

		{"an alias that there is", "CreateAlias", func(w *world) request { return request{"AliasName": w.alias(), "TargetKeyId": w.other()} }, kms.ErrAlreadyExists,
			says("An alias with the name " + aliasARN + "world already exists")},
		{"a reserved alias", "CreateAlias", func(w *world) request { return request{"AliasName": "alias/aws/x", "TargetKeyId": w.symmetric()} }, kms.ErrInvalidAliasName,
			says(`Alias names that begin with "alias/aws/" are reserved.`)},
		{"the 51st alias", "CreateAlias", func(w *world) request {
			for i := range 50 {
				w.do("CreateAlias", request{"AliasName": fmt.Sprintf("alias/%d", i), "TargetKeyId": w.symmetric()})
			}
			return request{"AliasName": "alias/50", "TargetKeyId": w.symmetric()}
		}, kms.ErrLimitExceeded, says("A key has at most 50 aliases.")},
		{"a policy that is too long", "PutKeyPolicy", func(w *world) request { return request{"KeyId": w.symmetric(), "Policy": policy(32769)} }, kms.ErrLimitExceeded,
			says("The key policy has 32769 bytes, and the limit is 32768.")},
		{"the 26th rotation", "RotateKeyOnDemand", func(w *world) request {
			for range 25 {
				w.do("RotateKeyOnDemand", request{"KeyId": w.symmetric()})
			}
			return request{"KeyId": w.symmetric()}
		}, kms.ErrLimitExceeded, func(w *world) string {
			return "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: " + w.symmetric()
		}},
		{"a rotation ahead of another", "RotateKeyOnDemand", func(w *world) request {
			w.do("EnableKeyRotation", request{"KeyId": w.symmetric(), "RotationPeriodInDays": 90})
			w.Clock.Advance(90*kms.Day - time.Minute)
			return request{"KeyId": w.symmetric()}
		}, kms.ErrConflict, func(w *world) string {
			return "An automatic rotation of " + w.symmetric() + " is due within 20 minutes."
		}},
		{"a policy that is none", "PutKeyPolicy", func(w *world) request { return request{"KeyId": w.symmetric(), "Policy": "{"} }, kms.ErrMalformedPolicy,
			says("policy: line 1, column 2: expected a member name in double quotes")},
		{"a policy that locks its owner out", "CreateKey", func(w *world) request {
			return request{"Policy": strings.Replace(policy(200), `"Principal":"*"`, `"Principal":{"AWS":"`+grantee+`"}`, 1)}
		}, kms.ErrMalformedPolicy, says("The new key policy will not allow you to update the key policy in the future.")},

		{"a ciphertext that was changed", "Decrypt", func(w *world) request { return request{"CiphertextBlob": tampered(w.ciphertext())} }, kms.ErrInvalidCiphertext, says("")},
		{"another context", "Decrypt", func(w *world) request {
			return request{"CiphertextBlob": w.ciphertext(), "EncryptionContext": map[string]string{"a": "b"}}
		}, kms.ErrInvalidCiphertext, says("")},
		{"a ciphertext that is none", "ReEncrypt", func(w *world) request {
			return request{"CiphertextBlob": []byte("x"), "DestinationKeyId": w.symmetric()}
		}, kms.ErrInvalidCiphertext, says("")},
		{"a wrong signature", "Verify", func(w *world) request {
			return request{"KeyId": w.signing(), "Message": []byte("other"), "Signature": w.signature(), "SigningAlgorithm": "ECDSA_SHA_256"}
		}, kms.ErrInvalidSignature, says("")},
		{"a wrong MAC", "VerifyMac", func(w *world) request {
			return request{"KeyId": w.mac(), "Message": []byte(secretMessage), "Mac": tampered(w.code()), "MacAlgorithm": "HMAC_SHA_256"}
		}, kms.ErrInvalidMac, says("")},
		{"a public key that is none", "DeriveSharedSecret", func(w *world) request {
			return request{"KeyId": w.agreeing(), "PublicKey": tampered(w.publicKey())[1:], "KeyAgreementAlgorithm": "ECDH"}
		}, kms.ErrValidation, says("")},
		{"the wrong key", "Decrypt", func(w *world) request { return request{"CiphertextBlob": w.ciphertext(), "KeyId": w.other()} }, kms.ErrIncorrectKey,
			says("The key ID in the request does not identify a CMK that can perform this operation.")},
		{"a key of another usage that cannot have encrypted", "Decrypt", func(w *world) request { return request{"CiphertextBlob": w.ciphertext(), "KeyId": w.mac()} }, kms.ErrIncorrectKey,
			says("The key ID in the request does not identify a CMK that can perform this operation.")},
		{"a key of another usage", "Encrypt", func(w *world) request { return request{"KeyId": w.signing(), "Plaintext": []byte("p")} }, kms.ErrInvalidKeyUsage,
			of((*world).signing, " key usage is SIGN_VERIFY which is not valid for Encrypt.")},
		{"a key of another algorithm", "GenerateMac", func(w *world) request {
			return request{"KeyId": w.mac(), "Message": []byte("m"), "MacAlgorithm": "HMAC_SHA_512"}
		},
			kms.ErrInvalidKeyUsage, says("Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.")},
		{"a digest of another length", "Sign", func(w *world) request {
			return request{"KeyId": w.signing(), "Message": make([]byte, 31), "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
		}, kms.ErrValidation, says("Digest is invalid length for algorithm ECDSA_SHA_256.")},
		{"a public key where there is none", "GetPublicKey", func(w *world) request { return request{"KeyId": w.symmetric()} }, kms.ErrUnsupportedOperation,
			of((*world).symmetric, " key spec is SYMMETRIC_DEFAULT which is not valid for GetPublicKey.")},
		{"a rotation of what does not rotate", "RotateKeyOnDemand", func(w *world) request { return request{"KeyId": w.signing()} }, kms.ErrUnsupportedOperation, says("")},

		{"a marker of nobody's", "ListKeys", func(*world) request { return request{"Marker": "m"} }, kms.ErrInvalidMarker, says("The marker is not one that this list returned.")},
		{"a grant id of another form", "RevokeGrant", func(w *world) request { return request{"KeyId": w.symmetric(), "GrantId": "g"} }, kms.ErrInvalidGrantID, says("A grant id has 64 hexadecimal digits.")},
		{"a grant token of nobody's", "RetireGrant", func(*world) request { return request{"GrantToken": "token"} }, kms.ErrInvalidGrantToken, says("A grant token is not one of this keyring.")},
		{"a tag twice", "TagResource", func(w *world) request {
			return request{"KeyId": w.symmetric(), "Tags": []request{{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}}}
		}, kms.ErrTag, says("Duplicate tag keys")},
		{"a reserved tag", "CreateKey", func(*world) request { return request{"Tags": []request{{"TagKey": "AWS:a", "TagValue": ""}}} }, kms.ErrTag, says("Tags beginning with aws: are reserved")},
		{"a reserved tag to be removed", "UntagResource", func(w *world) request { return request{"KeyId": w.symmetric(), "TagKeys": []string{"aws:a"}} }, kms.ErrTag, says("Tags beginning with aws: are reserved")},
		{"51 tags", "CreateKey", func(*world) request {
			var tags []request
			for i := range 51 {
				tags = append(tags, request{"TagKey": fmt.Sprint(i), "TagValue": ""})
			}
			return request{"Tags": tags}
		}, kms.ErrTag, says("Too many tags")},
		{"a ciphertext of an unknown key", "Decrypt", func(*world) request {
			other := newWorld(t)
			return request{"CiphertextBlob": other.ciphertext()}
		}, kms.ErrAccessDenied, says("User: arn:aws:iam::111122223333:root is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this " +
			"Region, no resource-based policies allow access, or a resource-based policy explicitly denies access")},
	} {
		w := newWorld(t)
		r := tc.request(w)
		w.post(tc.operation, r).refused(t, tc.what, tc.code, tc.message(w))
	}
}

// says is a message that is the same in every world.
func says(message string) func(*world) string { return func(*world) string { return message } }

// of is a message that begins with the ARN of a key.
func of(key func(*world) string, rest string) func(*world) string {
	return func(w *world) string { return key(w) + rest }
}

// TestDenials: a denial names who, what and why, and to other accounts not whether the key exists.
func TestDenials(t *testing.T) {
	w := newWorld(t)
	statement := func(effect, principal string) string {
		return fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"}`, effect, principal)
	}
	const root = "arn:aws:iam::111122223333:root"
	key := func(statements ...string) string {
		k, err := w.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[` + strings.Join(append(statements, statement("Allow", root)), ",") + "]}"})
		if err != nil {
			t.Fatal(err)
		}
		return k.ARN
	}
	const who = "User: arn:aws:sts::111122223333:assumed-role/app/app is not authorized to perform: kms:"
	delegating, denying := key(), key(statement("Deny", "arn:aws:iam::111122223333:role/app"))
	others, err := w.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[` + strings.Replace(statement("Allow", "arn:aws:iam::111122223333:role/other"), "kms:*", "kms:*", 1) + "]}",
		BypassPolicyLockoutSafetyCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	app := w.wire.As(kms.Role("app"))
	hidden := "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	for _, tc := range []struct {
		what, operation string
		as              *kmshttp.RoundTripper
		request         request
		message         string
	}{
		{"no identity policy", "DescribeKey", app, request{"KeyId": delegating}, who + "DescribeKey on resource: " + delegating + " because no identity-based policy allows the kms:DescribeKey action"},
		{"no key policy", "DescribeKey", app, request{"KeyId": others.ARN}, who + "DescribeKey on resource: " + others.ARN + " because no resource-based policy allows the kms:DescribeKey action"},
		{"no key", "ListKeys", app, request{}, who + "ListKeys on resource: * because no identity-based policy allows the kms:ListKeys action"},
		{"a deny", "Encrypt", app, request{"KeyId": denying, "Plaintext": []byte("p")}, who + "Encrypt on resource: " + denying + " with an explicit deny in a resource-based policy"},
		{"another account", "DescribeKey", w.wire.As(kms.Role("app").InAccount("444455556666")), request{"KeyId": delegating},
			"User: arn:aws:sts::444455556666:assumed-role/app/app is not authorized to perform: kms:DescribeKey on this resource " + hidden},
		{"another account, and no key", "DescribeKey", w.wire.As(kms.Role("app").InAccount("444455556666")), request{"KeyId": unknownARN},
			"User: arn:aws:sts::444455556666:assumed-role/app/app is not authorized to perform: kms:DescribeKey on this resource " + hidden},
		{"a key of another account", "DescribeKey", w.wire, request{"KeyId": strings.Replace(unknownARN, "111122223333", "444455556666", 1)},
			"User: arn:aws:iam::111122223333:root is not authorized to perform: kms:DescribeKey on this resource " + hidden},
		{"a ciphertext", "Decrypt", app, request{"CiphertextBlob": w.ciphertext()}, who + "Decrypt on the resource associated with this ciphertext " + hidden},
		{"nobody", "ListKeys", w.wire.As(kms.Caller{}), request{}, "The caller is not valid: the zero Caller."},
	} {
		a := post(t, tc.as, tc.operation, tc.request.String())
		if tc.what == "a deny" { // which names the statement as well
			if a.code() != kms.ErrAccessDenied || !strings.HasPrefix(a.message(), tc.message) {
				t.Errorf("%s: %s", tc.what, a.body)
			}
			continue
		}
		a.refused(t, tc.what, kms.ErrAccessDenied, tc.message)
	}
	expired := kms.Role("app").WithLifetime(w.Clock.Now().Add(-time.Hour), w.Clock.Now())
	post(t, w.wire.As(expired), "ListKeys", "{}").refused(t, "expired credentials", kms.ErrExpiredToken, "The security token included in the request is expired")
}

// A brokenStore cannot be reached.
type brokenStore struct {
	keystore.Store
	broken bool
}

var errUnreachable = errors.New("dial tcp 192.0.2.1:2379: canary-connection-string")

func (s *brokenStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	if s.broken {
		return keystore.Record{}, errUnreachable
	}
	return s.Store.Get(ctx, name)
}

// TestServerFaults: what is the server's fault is a 500, or a 503, and says nothing of what is behind it.
func TestServerFaults(t *testing.T) {
	store := &brokenStore{Store: memory.New()}
	root, err := keyfile.Create(filepath.Join(t.TempDir(), "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	ring := kmstest.New(t, func(cfg *kms.Config) { cfg.Store, cfg.Root = store, root })
	store.broken = true
	post(t, kmshttp.Transport(ring.Keyring), "DescribeKey", request{"KeyId": unknownID}.String()).
		want(t, "a store that is out of reach", http.StatusInternalServerError, kms.ErrDependencyTimeout, "the key store failed")

	full := errors.New("canary-sink-address is full")
	ring = kmstest.New(t, func(cfg *kms.Config) {
		cfg.Audit = audit.SinkFunc(func(context.Context, *audit.Event) error { return full })
	})
	post(t, kmshttp.Transport(ring.Keyring), "ListKeys", "").want(t, "a sink that refuses", http.StatusInternalServerError, kms.ErrInternal, "the audit record was not accepted")

	// Whoever runs the server is told what is behind it.
	var log bytes.Buffer
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{ring.Keyring}, Authenticator: kmshttp.AuthenticatorFunc(everybody), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	answered := httptest.NewRecorder()
	handler.ServeHTTP(answered, r)
	if strings.Contains(answered.Body.String(), "canary") || !strings.Contains(log.String(), `level=ERROR msg=request`) || !strings.Contains(log.String(), `cause="canary-sink-address is full"`) {
		t.Errorf("%s, and in the log %s", answered.Body, &log)
	}

	w := newWorld(t)
	least := map[string]request{}
	for op := range offered {
		least[op.name] = op.least(newWorld(t))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for op := range offered {
		w.post(op.name, least[op.name]).want(t, op.name+" of a closed ring", http.StatusServiceUnavailable, kms.ErrServiceUnavailable, "the keyring is closed")
	}

	w = newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err = http.NewRequestWithContext(ctx, http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	if _, err := w.wire.RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Errorf("a request whose context has ended: %v", err)
	}
	if keys := w.keys(); len(keys) > 0 {
		t.Error("a request whose context had ended made a key")
	}
}
