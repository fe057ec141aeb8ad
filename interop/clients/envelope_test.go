package clients

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	hashicorp "github.com/hashicorp/go-kms-wrapping/v2"
	hashicorpkms "github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"
	tinkkms "github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"
)

// An envelope is a library that encrypts what is too large for a key under a data key, or what is small under the key itself. All that it does, it does for one tenant,
// whom it writes into the encryption context if it has one, else into the associated data of its own encryption.
type envelope interface {
	seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error)
	open(ctx context.Context, sealed []byte, tenant string) ([]byte, error)

	// wrapped is the ciphertext of the service within what was sealed, with its context.
	wrapped(t testing.TB, sealed []byte, tenant string) ([]byte, map[string]string)
}

// TestEnvelopes takes each library through the life of a key.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, region string
		dataKey      int    // bytes of what is wrapped; 0: it is the plaintext
		mismatch     string // how another tenant is refused
		open         func(t testing.TB, region, arn string) envelope
	}{
		{"aws-encryption-sdk", "us-east-2", 32, "does not match", newESDK},
		{"tink", "eu-west-1", 0, "InvalidCiphertextException", newTink},
		{"tink envelope", "eu-west-2", 34, "authentication failed", newTinkEnvelope},
		{"gocloud", "ap-northeast-1", 0, "InvalidCiphertextException", newKeepers},
		{"go-kms-wrapping", "ap-south-1", 32, "authentication failed", newWrapper},
		{"sops", "us-west-1", 32, "InvalidCiphertextException", newSOPS},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			service, ctx := newSDK(), t.Context()
			do := func(op string, in members) members {
				t.Helper()
				return must(service.call(root(c.region), op, in))(t)
			}
			arn := do("CreateKey", members{"Description": c.name}).at("KeyMetadata").text("Arn")
			library, plaintext := c.open(t, c.region, arn), []byte(`{"card": "4242 4242 4242 4242"}`)
			seal := func() []byte {
				t.Helper()
				sealed := must(library.seal(ctx, plaintext, "42"))(t)
				if bytes.Contains(sealed, []byte("4242")) {
					t.Error("the plaintext shows")
				}
				return sealed
			}
			opens := func(sealed []byte) {
				t.Helper()
				if got := must(library.open(ctx, sealed, "42"))(t); !bytes.Equal(got, plaintext) {
					t.Errorf("%q is opened as %q", plaintext, got)
				}
			}
			fails := func(sealed []byte, tenant, why string) {
				t.Helper()
				if got, err := library.open(ctx, sealed, tenant); err == nil || !strings.Contains(err.Error(), why) {
					t.Errorf("it opens as %q, %v; want %s", got, err, why)
				}
			}

			// The service says with which material it has wrapped what.
			materialOf := func(sealed []byte) string {
				t.Helper()
				ciphertext, encryptionContext := library.wrapped(t, sealed, "42")
				out := do("Decrypt", members{"CiphertextBlob": ciphertext, "EncryptionContext": encryptionContext})
				if inner := out.blob("Plaintext"); out.text("KeyId") != arn || len(inner) != cmp.Or(c.dataKey, len(plaintext)) || bytes.Equal(inner, plaintext) != (c.dataKey == 0) {
					t.Errorf("what is wrapped has %d bytes, and is under %s", len(inner), out.text("KeyId"))
				}
				return out.text("KeyMaterialId")
			}
			old := seal()
			opens(old)
			fails(old, "43", c.mismatch)
			do("RotateKeyOnDemand", members{"KeyId": arn})
			now := seal()
			opens(now)
			opens(old)
			if before, after := materialOf(old), materialOf(now); before == after {
				t.Errorf("before and after the rotation, the material is %s", before)
			}
			do("DisableKey", members{"KeyId": arn})
			fails(old, "42", "DisabledException")
			if _, err := library.seal(ctx, plaintext, "42"); err == nil || !strings.Contains(err.Error(), "DisabledException") {
				t.Errorf("a disabled key seals: %v", err)
			}
			do("EnableKey", members{"KeyId": arn})
			opens(old)
			do("ScheduleKeyDeletion", members{"KeyId": arn, "PendingWindowInDays": 7})
			fails(now, "42", "KMSInvalidStateException")
		})
	}
}

// An encryptionSDK is the AWS Encryption SDK with a keyring of one key, as its default suite has it: framed, committed to and signed.
type encryptionSDK struct {
	client  *esdk.Client
	keyring mpltypes.IKeyring
}

func newESDK(t testing.TB, region, arn string) envelope {
	providers := must(mpl.NewClient(mpltypes.MaterialProvidersConfig{}))(t)
	keyring := must(providers.CreateAwsKmsKeyring(t.Context(), mpltypes.CreateAwsKmsKeyringInput{KmsClient: root(region).client(), KmsKeyId: arn}))(t)
	return &encryptionSDK{must(esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{}))(t), keyring}
}

func (e *encryptionSDK) seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error) {
	out, err := e.client.Encrypt(ctx, esdktypes.EncryptInput{Plaintext: plaintext, EncryptionContext: map[string]string{"tenant": tenant}, Keyring: e.keyring})
	if err != nil {
		return nil, err
	}
	return out.Ciphertext, nil
}

func (e *encryptionSDK) open(ctx context.Context, sealed []byte, tenant string) ([]byte, error) {
	out, err := e.client.Decrypt(ctx, esdktypes.DecryptInput{Ciphertext: sealed, EncryptionContext: map[string]string{"tenant": tenant}, Keyring: e.keyring})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// wrapped reads the header of a message of version 2.
func (e *encryptionSDK) wrapped(t testing.TB, sealed []byte, _ string) ([]byte, map[string]string) {
	rest := sealed[1+2+32:] // version, suite, message
	number := func() (n int) {
		n, rest = int(binary.BigEndian.Uint16(rest)), rest[2:]
		return n
	}
	text := func() (s string) {
		n := number()
		s, rest = string(rest[:n]), rest[n:]
		return s
	}
	encryptionContext := map[string]string{}
	if number() > 0 {
		for range number() {
			name := text()
			encryptionContext[name] = text()
		}
	}
	if sealed[0] != 2 || number() != 1 || text() != "aws-kms" {
		t.Fatal("the message has no header as expected")
	}
	_ = text() // the key's ARN
	return []byte(text()), encryptionContext
}

// A tinkAEAD is a key as Tink has it, alone or below data keys of its own.
type tinkAEAD struct {
	tink.AEAD
	envelope bool
}

func newTink(t testing.TB, _, arn string) envelope {
	client := must(tinkkms.NewClientWithOptions(t.Context(), "aws-kms://"+arn))(t)
	return &tinkAEAD{AEAD: must(client.GetAEAD("aws-kms://" + arn))(t)}
}

func newTinkEnvelope(t testing.TB, region, arn string) envelope {
	return &tinkAEAD{AEAD: aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), newTink(t, region, arn).(*tinkAEAD)), envelope: true}
}

func (a *tinkAEAD) seal(_ context.Context, plaintext []byte, tenant string) ([]byte, error) {
	return a.Encrypt(plaintext, []byte(tenant))
}

func (a *tinkAEAD) open(_ context.Context, sealed []byte, tenant string) ([]byte, error) {
	return a.Decrypt(sealed, []byte(tenant))
}

func (a *tinkAEAD) wrapped(_ testing.TB, sealed []byte, tenant string) ([]byte, map[string]string) {
	if !a.envelope {
		return sealed, map[string]string{"associatedData": hex.EncodeToString([]byte(tenant))}
	}
	return sealed[4 : 4+binary.BigEndian.Uint32(sealed)], nil
}

// Keepers are those of Go CDK, each for one tenant, opened by URL.
type keepers struct{ url string }

func newKeepers(_ testing.TB, region, arn string) envelope {
	return &keepers{"awskms:///" + arn + "?region=" + region}
}

func (k *keepers) keeper(ctx context.Context, tenant string) (*secrets.Keeper, error) {
	return secrets.OpenKeeper(ctx, k.url+"&context_tenant="+url.QueryEscape(tenant))
}

func (k *keepers) seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error) {
	keeper, err := k.keeper(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return keeper.Encrypt(ctx, plaintext)
}

func (k *keepers) open(ctx context.Context, sealed []byte, tenant string) ([]byte, error) {
	keeper, err := k.keeper(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return keeper.Decrypt(ctx, sealed)
}

func (*keepers) wrapped(_ testing.TB, sealed []byte, tenant string) ([]byte, map[string]string) {
	return sealed, map[string]string{"tenant": tenant}
}

// TestKeeperErrors: Go CDK knows what went wrong.
func TestKeeperErrors(t *testing.T) {
	t.Parallel()
	keeper := must(secrets.OpenKeeper(t.Context(), "awskms://alias/none?region=eu-central-1"))(t)
	if _, err := keeper.Encrypt(t.Context(), []byte("x")); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("no key: %v", err)
	}
	if _, err := keeper.Decrypt(t.Context(), []byte("x")); gcerrors.Code(err) != gcerrors.InvalidArgument {
		t.Errorf("no ciphertext: %v", err)
	}
}

// A wrapper is go-kms-wrapping's, which Vault, Boundary and OpenBao unseal with. It is made with the first AWS SDK for Go.
type wrapper struct{ *hashicorpkms.Wrapper }

func newWrapper(t testing.TB, region, arn string) envelope {
	w := hashicorpkms.NewWrapper()
	config := must(w.SetConfig(t.Context(), hashicorp.WithKeyId(arn), hashicorpkms.WithRegion(region), hashicorpkms.WithEndpoint(endpoint),
		hashicorpkms.WithAccessKey("test"), hashicorpkms.WithSecretKey("test")))(t)
	if id := must(w.KeyId(t.Context()))(t); !strings.HasSuffix(arn, "/"+id) || config.Metadata["endpoint"] != endpoint {
		t.Errorf("the wrapper has found key %q: %v", id, config.Metadata)
	}
	return wrapper{w}
}

func (w wrapper) seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error) {
	blob, err := w.Encrypt(ctx, plaintext, hashicorp.WithAad([]byte(tenant)))
	if err != nil {
		return nil, err
	}
	return json.Marshal(blob)
}

func (w wrapper) open(ctx context.Context, sealed []byte, tenant string) ([]byte, error) {
	var blob hashicorp.BlobInfo
	if err := json.Unmarshal(sealed, &blob); err != nil {
		return nil, err
	}
	return w.Decrypt(ctx, &blob, hashicorp.WithAad([]byte(tenant)))
}

func (w wrapper) wrapped(t testing.TB, sealed []byte, _ string) ([]byte, map[string]string) {
	var blob hashicorp.BlobInfo
	check(t, json.Unmarshal(sealed, &blob))
	return blob.KeyInfo.WrappedKey, nil
}

// A sops is the program, which encrypts the values of documents.
type sops struct{ program, dir, arn string }

func newSOPS(t testing.TB, _, arn string) envelope { return &sops{find(t, "sops"), t.TempDir(), arn} }

func (s *sops) run(ctx context.Context, document []byte, args ...string) ([]byte, error) {
	file := filepath.Join(s.dir, "document.json")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.program, append(args, file)...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("sops: %w: %s", err, exit.Stderr)
	}
	return out, err
}

func (s *sops) seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error) {
	return s.run(ctx, plaintext, "encrypt", "--kms", s.arn, "--encryption-context", "tenant:"+tenant)
}

// open puts the tenant into the document, which says in clear for whom it was encrypted.
func (s *sops) open(ctx context.Context, sealed []byte, tenant string) ([]byte, error) {
	out, err := s.run(ctx, bytes.Replace(sealed, []byte(`"tenant": "42"`), []byte(`"tenant": "`+tenant+`"`), 1), "decrypt")
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, out)
	return bytes.Replace(compact.Bytes(), []byte(`:`), []byte(`: `), 1), err
}

func (s *sops) wrapped(t testing.TB, sealed []byte, tenant string) ([]byte, map[string]string) {
	var document struct {
		SOPS struct {
			KMS []struct {
				ARN     string
				Context map[string]string
				Enc     string
			}
		}
	}
	check(t, json.Unmarshal(sealed, &document))
	k := document.SOPS.KMS
	if len(k) != 1 || k[0].ARN != s.arn || !maps.Equal(k[0].Context, map[string]string{"tenant": tenant}) {
		t.Fatalf("the document is under %v", k)
	}
	return must(base64.StdEncoding.DecodeString(k[0].Enc))(t), k[0].Context
}
