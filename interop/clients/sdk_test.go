package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// newKey creates a key with an SDK client.
func newKey(t testing.TB, c *kms.Client) string {
	t.Helper()
	return aws.ToString(must(c.CreateKey(t.Context(), &kms.CreateKeyInput{}))(t).KeyMetadata.Arn)
}

// TestErrorTypes: what applications look for with errors.As is there, with what it says.
func TestErrorTypes(t *testing.T) {
	t.Parallel()
	c, ctx := root("ca-central-1").client(), t.Context()
	arn := newKey(t, c)
	encrypt := func(key string) error {
		_, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x")})
		return err
	}
	must(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &arn}))(t)
	disabled := encrypt(arn)
	wantError[*types.DisabledException](t, disabled, arn+" is disabled.")
	must(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &arn}))(t)
	wantError[*types.KMSInvalidStateException](t, encrypt(arn), arn+" is pending deletion.")
	none := strings.Replace(arn, arn[strings.LastIndex(arn, "/")+1:], someKey, 1)
	wantError[*types.NotFoundException](t, encrypt(someKey), "Key '"+none+"' does not exist")
	wantError[*types.NotFoundException](t, encrypt("alias/none"), "Alias "+strings.Replace(none, "key/"+someKey, "alias/none", 1)+" is not found.")
	_, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: []byte("x")})
	wantError[*types.InvalidCiphertextException](t, err, "")
	_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String(newKey(t, c)), Plaintext: []byte("x"), DryRun: aws.Bool(true)})
	wantError[*types.DryRunOperationException](t, err, "The request would have succeeded, but the DryRun option is set.")

	if fault, ok := errors.AsType[smithy.APIError](disabled); !ok || fault.ErrorFault() != smithy.FaultClient {
		t.Errorf("whose fault is it: %v", fault)
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](disabled); !ok || response.HTTPStatusCode() != http.StatusBadRequest || wantID(response.ServiceRequestID()) != nil {
		t.Errorf("the response was %v", response)
	}
}

// wantError requires an error of a type, with that message.
func wantError[E interface {
	error
	ErrorMessage() string
}](t testing.TB, err error, message string) {
	t.Helper()
	if e, ok := errors.AsType[E](err); !ok || e.ErrorMessage() != message {
		t.Errorf("%v, want a %T: %s", err, e, message)
	}
}

// A tripper is an HTTP client that a test makes from a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestRetries: what is lost on the way is sent again, signed anew. What was done by a request whose answer was lost is not done twice where AWS KMS promises that.
func TestRetries(t *testing.T) {
	t.Parallel()
	who := root("eu-central-1")
	arn := newKey(t, who.client())
	for _, c := range []struct {
		name string
		lose func(*http.Request) (*http.Response, error) // the first request
	}{
		{"a server that is busy", func(r *http.Request) (*http.Response, error) {
			body := `{"__type":"ThrottlingException","message":"Rate exceeded"}`
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		}},
		{"a request that is lost", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }},
		{"an answer that is lost", func(r *http.Request) (*http.Response, error) {
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(io.Discard, response.Body)
			return nil, errors.Join(response.Body.Close(), err, io.ErrUnexpectedEOF)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			client := who.client(func(o *kms.Options) {
				o.HTTPClient = tripper(func(r *http.Request) (*http.Response, error) {
					if requests.Add(1) == 1 {
						return c.lose(r)
					}
					return http.DefaultClient.Do(r)
				})
			})
			name := unique("grant-")
			grant := must(client.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: &arn, GranteePrincipal: aws.String(workerARN), Name: &name, Operations: []types.GrantOperation{types.GrantOperationDecrypt}}))(t)
			if n := requests.Load(); n != 2 {
				t.Errorf("%d requests", n)
			}
			var named []string
			for _, g := range must(client.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: &arn, Limit: aws.Int32(100)}))(t).Grants {
				if aws.ToString(g.Name) == name {
					named = append(named, aws.ToString(g.GrantId))
				}
			}
			if len(named) != 1 || named[0] != aws.ToString(grant.GrantId) {
				t.Errorf("the grant is %s, and there are %v", aws.ToString(grant.GrantId), named)
			}
		})
	}
}

// A tardySigner signs as if it were some other time.
type tardySigner struct {
	*v4.Signer
	late time.Duration
}

func (s tardySigner) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, hash, service, region, at.Add(-s.late), options...)
}

// TestCredentials: whoever is not who he says, or whose request was changed on its way, is refused, and what he asked for is not done.
func TestCredentials(t *testing.T) {
	t.Parallel()
	const region = "sa-east-1"
	arn := newKey(t, root(region).client())
	static := func(id, secret, token string) func(*kms.Options) {
		return func(o *kms.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token) }
	}
	changed := func(change func(*http.Request)) func(*kms.Options) {
		return func(o *kms.Options) {
			o.HTTPClient = tripper(func(r *http.Request) (*http.Response, error) {
				change(r)
				return http.DefaultClient.Do(r)
			})
		}
	}
	for _, c := range []struct {
		name, code, message string // the message, or a part of it
		option              func(*kms.Options)
	}{
		{"another secret", "InvalidSignatureException", "does not match the signature you provided", static("test", "Test", "")},
		{"another's secret", "InvalidSignatureException", "does not match the signature you provided", static("AKIDWORKER", "test", "")},
		{"an unknown key", "UnrecognizedClientException", "security token", static("AKIDNONE", "test", "")},
		{"a token that there is not", "UnrecognizedClientException", "security token", static("test", "test", "token")},
		{"no credentials", "MissingAuthenticationTokenException", "Missing Authentication Token", func(o *kms.Options) { o.Credentials = aws.AnonymousCredentials{} }},
		{"no Region", "InvalidSignatureException", "valid Region, not 'mars-north-1'", func(o *kms.Options) { o.Region = "mars-north-1" }},
		{"too late", "InvalidSignatureException", "Signature expired", func(o *kms.Options) { o.HTTPSignerV4 = tardySigner{v4.NewSigner(), time.Hour} }},
		{"too early", "InvalidSignatureException", "Signature not yet current", func(o *kms.Options) { o.HTTPSignerV4 = tardySigner{v4.NewSigner(), -time.Hour} }},
		{"another operation", "InvalidSignatureException", "does not match the signature you provided", changed(func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.EnableKey") })},
		{"another body", "InvalidSignatureException", "does not match the signature you provided", changed(func(r *http.Request) {
			body := must(io.ReadAll(r.Body))(t)
			r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("key/"), []byte("Key/"), 1)))
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := root(region).client(c.option).DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn})
			fault, ok := errors.AsType[smithy.APIError](err)
			if !ok || fault.ErrorCode() != c.code || !strings.Contains(fault.ErrorMessage(), c.message) {
				t.Errorf("%v, want %s: %s", err, c.code, c.message)
			}
		})
	}
	t.Cleanup(func() { // when all have tried
		if state := must(root(region).client().DescribeKey(context.Background(), &kms.DescribeKeyInput{KeyId: &arn}))(t).KeyMetadata.KeyState; state != types.KeyStateEnabled {
			t.Errorf("the key is %s", state)
		}
	})
}

// TestClockSkew: a client whose clock is wrong learns from the server's answers what time it is, and asks again. The SDK for JavaScript does.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		must(newNode(t, ahead).call(root("us-east-1"), "ListKeys", members{}))(t)
	}
}

// TestRegions: each has keys of its own.
func TestRegions(t *testing.T) {
	t.Parallel()
	// A client of which nothing is in the environment.
	in := func(region string) *kms.Client {
		return kms.New(kms.Options{Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	}
	here, there, ctx, name := in("eu-west-3"), in("ap-northeast-2"), t.Context(), unique("alias/")
	arn := newKey(t, here)
	must(here.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &arn}))(t)
	sealed := must(here.Encrypt(ctx, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("x")}))(t)
	_, err := there.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &arn})
	wantError[*types.NotFoundException](t, err, "Invalid arn eu-west-3")
	_, err = there.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
	wantError[*types.NotFoundException](t, err, "Alias arn:aws:kms:ap-northeast-2:"+account+":"+name+" is not found.")
	_, err = there.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if fault, ok := errors.AsType[smithy.APIError](err); !ok || fault.ErrorCode() != "AccessDeniedException" {
		t.Errorf("a ciphertext of another Region: %v", err)
	}
	// An alias of the same name is another key's.
	other := newKey(t, there)
	must(there.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &other}))(t)
	if key := must(there.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name}))(t).KeyMetadata; aws.ToString(key.Arn) != other || other == arn {
		t.Errorf("the alias is of %s", aws.ToString(key.Arn))
	}
}

// TestConcurrentClients: keys are used by many at once, over connections of their own, while they rotate.
func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	who := root("eu-north-1")
	arn, ctx := newKey(t, who.client()), t.Context()
	var all sync.WaitGroup
	for user := range 8 {
		all.Go(func() {
			client := who.client()
			for i := range 20 {
				if user == 0 && i < 5 {
					if _, err := client.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &arn}); err != nil {
						t.Errorf("rotation: %v", err)
					}
				}
				plaintext := fmt.Appendf(nil, "message %d of %d", i, user)
				sealed, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &arn, Plaintext: plaintext})
				if err != nil {
					t.Error(err)
					return
				}
				opened, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, KeyId: &arn})
				if err != nil || !bytes.Equal(opened.Plaintext, plaintext) {
					t.Errorf("%q is decrypted as %v, %v", plaintext, opened, err)
				}
			}
		})
	}
	all.Wait()
	if rotations := must(who.client().ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: &arn}))(t).Rotations; len(rotations) != 5 {
		t.Errorf("there were %d rotations", len(rotations))
	}
}
