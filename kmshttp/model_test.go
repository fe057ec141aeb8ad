package kmshttp_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// The model of the API, as far as the keyring offers it: what every operation takes and answers. What the tests of the wire send is made of it.

// A request is the members of a body. Bytes become base64.
type request map[string]any

// with returns the request with a member more, or another one.
func (r request) with(name string, value any) request {
	changed := maps.Clone(r)
	changed[name] = value
	return changed
}

// without returns the request with a member less.
func (r request) without(name string) request {
	changed := maps.Clone(r)
	delete(changed, name)
	return changed
}

func (r request) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// A kind is the type that a member has.
type kind int

const (
	text kind = iota
	blob
	number
	truth
	texts
	objects
	pairs
	structure
)

// A member is one that a request may have.
type member struct {
	name     string
	kind     kind
	required bool             // by the model
	usual    bool             // not by the model, and yet it does not go without
	value    func(*world) any // which is as good as any

	least, most int                       // of its length or value; a most of 0: any
	sized       func(w *world, n int) any // a value of that length; nil: any
	within      func(n int) kms.Code      // what values within the bounds are answered; nil: success
	in          func(w *world) request    // what it stands in; nil: the least request
	enum        []string                  // the names that it may have
	refused     bool                      // the keyring does not offer what it asks for
	of          []member                  // of the object, or of those in the list
}

// An operation is one of the model.
type operation struct {
	name    string
	members []member // nil: the keyring does not offer the operation
	answer  string   // the members of the answer to the least request, in order; "" is an empty body
	changes bool
}

// takes reports whether the operation has a member.
func (op *operation) takes(name string) bool {
	return slices.ContainsFunc(op.members, func(m member) bool { return m.name == name })
}

// least is a request with no more members than it takes to succeed.
func (op *operation) least(w *world) request {
	r := request{}
	for _, m := range op.members {
		if m.required || m.usual {
			r[m.name] = m.value(w)
		}
	}
	return r
}

// A world is a ring and what operations are tried with. It is made as far as it is asked for.
type world struct {
	*kmstest.Ring
	t    testing.TB
	wire *kmshttp.RoundTripper
	made map[string]any
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ring := kmstest.New(t)
	return &world{Ring: ring, t: t, wire: kmshttp.Transport(ring.Keyring), made: map[string]any{}}
}

// once makes something the first time that it is asked for.
func once[T any](w *world, what string, make func() (T, error)) T {
	w.t.Helper()
	if v, ok := w.made[what]; ok {
		return v.(T)
	}
	v, err := make()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	w.made[what] = v
	return v
}

// key is the ARN of a key, one for each name.
func (w *world) key(name string, spec kms.KeySpec, usage kms.KeyUsage) string {
	w.t.Helper()
	return once(w, name, func() (string, error) {
		k, err := w.CreateKey(w.t.Context(), kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
		return k.ARN, err
	})
}

const secretMessage = "canary-plaintext-7f3a9c"

func (w *world) symmetric() string {
	return w.key("symmetric key", kms.SymmetricDefault, kms.EncryptDecrypt)
}
func (w *world) other() string    { return w.key("other key", kms.SymmetricDefault, kms.EncryptDecrypt) }
func (w *world) signing() string  { return w.key("signing key", kms.ECCNISTP256, kms.SignVerify) }
func (w *world) mac() string      { return w.key("MAC key", kms.HMAC256, kms.GenerateVerifyMac) }
func (w *world) agreeing() string { return w.key("agreeing key", kms.ECCNISTP256, kms.KeyAgreement) }
func (w *world) kem() string      { return w.key("KEM key", kms.MLKEM768, kms.EncapsulateDecapsulate) }

// pending is a key whose deletion is scheduled.
func (w *world) pending() string {
	return once(w, "pending key", func() (string, error) {
		out, err := w.ScheduleKeyDeletion(w.t.Context(), w.other(), 7)
		return out.KeyARN, err
	})
}

// alias is the name of one of the symmetric key.
func (w *world) alias() string {
	return once(w, "alias", func() (string, error) {
		const name = "alias/world"
		return name, w.CreateAlias(w.t.Context(), name, w.symmetric())
	})
}

func (w *world) ciphertext() []byte {
	return once(w, "ciphertext", func() ([]byte, error) {
		out, err := w.Encrypt(w.t.Context(), w.symmetric(), []byte(secretMessage), nil)
		return out.Ciphertext, err
	})
}

func (w *world) signature() []byte {
	return once(w, "signature", func() ([]byte, error) {
		out, err := w.Sign(w.t.Context(), w.signing(), kms.Raw([]byte(secretMessage)), kms.AlgorithmECDSASHA256)
		return out.Signature, err
	})
}

func (w *world) code() []byte {
	return once(w, "MAC", func() ([]byte, error) {
		out, err := w.GenerateMac(w.t.Context(), w.mac(), []byte(secretMessage), kms.AlgorithmHMACSHA256)
		return out.Mac, err
	})
}

// publicKey is somebody else's.
func (w *world) publicKey() []byte {
	return once(w, "public key", func() ([]byte, error) {
		out, err := w.GenerateDataKeyPairWithoutPlaintext(w.t.Context(), w.symmetric(), kms.ECCNISTP256, nil)
		return out.PublicKey, err
	})
}

func (w *world) encapsulated() []byte {
	return once(w, "encapsulated secret", func() ([]byte, error) {
		out, err := w.Encapsulate(w.t.Context(), w.kem())
		return out.Ciphertext, err
	})
}

const grantee = "arn:aws:iam::111122223333:role/grantee"

// grant is one on the symmetric key.
func (w *world) grant() kms.CreateGrantResult {
	return once(w, "grant", func() (kms.CreateGrantResult, error) {
		return w.CreateGrant(w.t.Context(), w.symmetric(), kms.CreateGrantInput{
			GranteePrincipal: grantee, RetiringPrincipal: grantee, Operations: []kms.GrantOperation{kms.GrantDecrypt},
		})
	})
}

// policy is one of n bytes that a key may have.
func policy(n int) string {
	const least = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`
	if n < len(least) {
		return strings.Repeat(" ", n)
	}
	return least + strings.Repeat(" ", n-len(least))
}

// is makes a value of what is the same in every world.
func is(value any) func(*world) any { return func(*world) any { return value } }

// the makes a value of what the world has.
func the[T any](of func(*world) T) func(*world) any { return func(w *world) any { return of(w) } }

// always is the one answer to a value, whatever its length.
func always(code kms.Code) func(int) kms.Code { return func(int) kms.Code { return code } }

// must is a member that the model requires.
func must(m member) member { m.required = true; return m }

// usually is a member that the model does not require, and without which the operation does not go.
func usually(m member) member { m.usual = true; return m }

// keyRef is a member that names a key.
func keyRef(name string, key func(*world) string) member {
	return member{name: name, kind: text, value: the(key), least: 1, most: 2048, within: always(kms.ErrNotFound)}
}

func keyID(key func(*world) string) member { return must(keyRef("KeyId", key)) }

// oneOf is a member that is one of some names, the first of which is good.
func oneOf(name string, names ...string) member {
	return member{name: name, kind: text, value: is(names[0]), enum: names}
}

// bytesOf is a member of 1 to so many bytes.
func bytesOf(name string, most int, value func(*world) any, within func(int) kms.Code) member {
	return must(member{name: name, kind: blob, value: value, least: 1, most: most, within: within})
}

func counted(name string, least, most, value int) member {
	return member{name: name, kind: number, value: is(value), least: least, most: most}
}

func flag(name string) member { return member{name: name, kind: truth, value: is(false)} }

func notOffered(name string, value any) member {
	return member{name: name, value: is(value), refused: true}
}

// contextOf is a member that is an encryption context, which is good for what was encrypted without one if it is empty.
func contextOf(name string, within func(int) kms.Code) member {
	return member{name: name, kind: pairs, value: is(map[string]string{}), most: 8192, within: within, sized: func(_ *world, n int) any {
		if n == 0 {
			return map[string]string{}
		}
		return map[string]string{"a": strings.Repeat("v", n-1)}
	}}
}

func page(most int) []member {
	return []member{
		counted("Limit", 1, most, 1),
		{name: "Marker", kind: text, value: nil, least: 1, most: 1024, within: always(kms.ErrInvalidMarker)},
	}
}

func tagsOf(value any) member {
	return member{name: "Tags", kind: objects, value: is(value), of: []member{
		must(member{name: "TagKey", kind: text, value: is("team"), least: 1, most: 128}),
		must(member{name: "TagValue", kind: text, value: is("a"), most: 256}),
	}}
}

func principal(name string) member {
	return member{name: name, kind: text, value: is(grantee), least: 1, most: 256, sized: func(_ *world, n int) any {
		const before, after = "arn:aws:iam::111122223333:user/", "/u"
		if n <= len(before+after) {
			return strings.Repeat("p", n)
		}
		return before + strings.Repeat("p", n-len(before+after)) + after
	}, within: func(n int) kms.Code {
		if n < 128 {
			return kms.ErrInvalidArn
		}
		return ""
	}}
}

const service, source = "logs.amazonaws.com", "arn:aws:s3:::bucket"

func aService(name string) member { return member{name: name, kind: text, value: is(service)} }

var (
	dryRun      = flag("DryRun")
	grantTokens = member{name: "GrantTokens", kind: texts, value: is([]string{})}
	recipient   = notOffered("Recipient", request{"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": []byte{1}})
	modifiers   = notOffered("DryRunModifiers", []string{"IGNORE_CIPHERTEXT"})
	bypass      = flag("BypassPolicyLockoutSafetyCheck")
	description = member{name: "Description", kind: text, value: is(""), most: 8192}
	aMessage    = bytesOf("Message", 4096, is([]byte(secretMessage)), nil)
	policyName  = member{name: "PolicyName", kind: text, value: is("default")}

	encryptionAlgorithms = []string{"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"}
	signingAlgorithms    = []string{"ECDSA_SHA_256", "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512", "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384",
		"RSASSA_PKCS1_V1_5_SHA_512", "ECDSA_SHA_384", "ECDSA_SHA_512", "ED25519_SHA_512", "ED25519_PH_SHA_512", "ML_DSA_SHAKE_256", "SM2DSA"}
	macAlgorithms = []string{"HMAC_SHA_256", "HMAC_SHA_224", "HMAC_SHA_384", "HMAC_SHA_512"}
	pairSpecs     = []string{"ECC_NIST_P256", "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "ML_KEM_512",
		"ML_KEM_768", "ML_KEM_1024", "SM2"}
	keySpecs = append([]string{"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "ML_DSA_44", "ML_DSA_65", "ML_DSA_87"}, pairSpecs...)
	oldSpecs = []string{"SYMMETRIC_DEFAULT", "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "HMAC_224", "HMAC_256",
		"HMAC_384", "HMAC_512", "SM2"}
	grantOperations = []string{"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "ReEncryptFrom",
		"ReEncryptTo", "Sign", "Verify", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey"}
)

// dataKeyMembers are those that both operations for data keys have.
func dataKeyMembers(more ...member) []member {
	return append([]member{
		keyID((*world).symmetric), usually(oneOf("KeySpec", "AES_256", "AES_128")),
		{name: "NumberOfBytes", kind: number, value: is(32), least: 1, most: 1024, in: func(w *world) request { return request{"KeyId": w.symmetric()} }},
		contextOf("EncryptionContext", nil), grantTokens, dryRun,
	}, more...)
}

func dataKeyPairMembers(more ...member) []member {
	return append([]member{
		keyID((*world).symmetric), must(oneOf("KeyPairSpec", pairSpecs...)), contextOf("EncryptionContext", nil), grantTokens, dryRun,
	}, more...)
}

// aliasName is a member that names an alias: that there is none of that name is answered so.
func aliasName(missing kms.Code, value func(*world) any) member {
	return must(member{name: "AliasName", kind: text, value: value, least: 1, most: 256, sized: func(_ *world, n int) any {
		return ("alias/" + strings.Repeat("n", 256))[:n]
	}, within: func(n int) kms.Code {
		if n <= len("alias/") {
			return kms.ErrValidation
		}
		return missing
	}})
}

// alone is what a member stands in that needs no other.
func alone(*world) request { return request{} }

// within is a member that stands in another request than the least.
func within(in func(*world) request, m member) member { m.in = in; return m }

// byID is how a grant is retired by its id.
func byID(w *world) request { return request{"KeyId": w.symmetric(), "GrantId": w.grant().GrantID} }

// grantID is a member that names a grant.
func grantID() member {
	return member{name: "GrantId", kind: text, value: func(w *world) any { return w.grant().GrantID }, least: 1, most: 128, within: always(kms.ErrInvalidGrantID)}
}

// policyMember is a policy: of the lengths that the API takes most are more than a key has room for.
func policyMember() member {
	return member{name: "Policy", kind: text, value: is(policy(200)), least: 1, most: 131072, sized: func(_ *world, n int) any { return policy(n) },
		within: func(n int) kms.Code {
			switch {
			case n < 100:
				return kms.ErrMalformedPolicy
			case n > 32768:
				return kms.ErrLimitExceeded
			}
			return ""
		}}
}

func concat(lists ...[]member) []member { return slices.Concat(lists...) }

// model is the API, version 2014-11-01, as of October 2026.
var model = []operation{
	{name: "CancelKeyDeletion", changes: true, answer: "KeyId", members: []member{keyID((*world).pending)}},
	{name: "ConnectCustomKeyStore"},
	{name: "CreateAlias", changes: true, members: []member{aliasName("", is("alias/new")), must(keyRef("TargetKeyId", (*world).symmetric))}},
	{name: "CreateCustomKeyStore"},
	{name: "CreateGrant", changes: true, answer: "GrantId GrantToken", members: []member{
		keyID((*world).symmetric), must(member{name: "Operations", kind: texts, value: is([]string{"Decrypt"}), enum: grantOperations}),
		usually(principal("GranteePrincipal")), principal("RetiringPrincipal"),
		{name: "GranteeServicePrincipal", kind: text, value: is(service), in: func(w *world) request {
			return request{"KeyId": w.symmetric(), "Operations": []string{"Decrypt"}, "RetiringPrincipal": grantee, "Constraints": request{"SourceArn": source}}
		}},
		aService("RetiringServicePrincipal"),
		{name: "Constraints", kind: structure, value: is(request{}), of: []member{
			{name: "EncryptionContextEquals", kind: pairs, value: is(map[string]string{"a": "b"})}, {name: "EncryptionContextSubset", kind: pairs, value: is(map[string]string{"a": "b"})},
			{name: "SourceArn", kind: text, value: is(source)},
		}},
		{name: "Name", kind: text, value: is("name"), least: 1, most: 256}, grantTokens, dryRun,
	}},
	{name: "CreateKey", changes: true, answer: "KeyMetadata", members: []member{
		description, oneOf("KeySpec", keySpecs...), oneOf("CustomerMasterKeySpec", oldSpecs...),
		oneOf("KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"), policyMember(),
		tagsOf([]request{}), bypass, oneOf("Origin", "AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"), flag("MultiRegion"),
		notOffered("CustomKeyStoreId", "cks-1"), notOffered("XksKeyId", "xks-1"),
	}},
	{name: "Decapsulate", answer: "EncapsulationAlgorithm KeyId SharedSecret", members: []member{
		keyID((*world).kem), must(oneOf("EncapsulationAlgorithm", "ML_KEM")), bytesOf("SharedSecretCiphertextBlob", 6144, the((*world).encapsulated), always(kms.ErrInvalidCiphertext)),
		grantTokens, dryRun,
	}},
	{name: "Decrypt", answer: "EncryptionAlgorithm KeyId KeyMaterialId Plaintext", members: []member{
		bytesOf("CiphertextBlob", 6144, the((*world).ciphertext), always(kms.ErrInvalidCiphertext)), keyRef("KeyId", (*world).symmetric),
		contextOf("EncryptionContext", func(n int) kms.Code {
			if n == 0 {
				return ""
			}
			return kms.ErrInvalidCiphertext
		}),
		oneOf("EncryptionAlgorithm", encryptionAlgorithms...), grantTokens, dryRun, recipient, modifiers,
	}},
	{name: "DeleteAlias", changes: true, members: []member{aliasName(kms.ErrNotFound, the((*world).alias))}},
	{name: "DeleteCustomKeyStore"},
	{name: "DeleteImportedKeyMaterial"},
	{name: "DeriveSharedSecret", answer: "KeyAgreementAlgorithm KeyId KeyOrigin SharedSecret", members: []member{
		keyID((*world).agreeing), must(oneOf("KeyAgreementAlgorithm", "ECDH")), bytesOf("PublicKey", 8192, the((*world).publicKey), always(kms.ErrValidation)), grantTokens, dryRun, recipient,
	}},
	{name: "DescribeCustomKeyStores"},
	{name: "DescribeKey", answer: "KeyMetadata", members: []member{keyID((*world).symmetric), grantTokens}},
	{name: "DisableKey", changes: true, members: []member{keyID((*world).symmetric)}},
	{name: "DisableKeyRotation", changes: true, members: []member{keyID((*world).symmetric)}},
	{name: "DisconnectCustomKeyStore"},
	{name: "EnableKey", changes: true, members: []member{keyID((*world).symmetric)}},
	{name: "EnableKeyRotation", changes: true, members: []member{keyID((*world).symmetric), counted("RotationPeriodInDays", 90, 2560, 365)}},
	{name: "Encapsulate", answer: "EncapsulationAlgorithm KeyId SharedSecret SharedSecretCiphertextBlob", members: []member{
		keyID((*world).kem), must(oneOf("EncapsulationAlgorithm", "ML_KEM")), grantTokens, dryRun,
	}},
	{name: "Encrypt", answer: "CiphertextBlob EncryptionAlgorithm KeyId", members: []member{
		keyID((*world).symmetric), bytesOf("Plaintext", 4096, is([]byte(secretMessage)), nil), contextOf("EncryptionContext", nil),
		oneOf("EncryptionAlgorithm", encryptionAlgorithms...), grantTokens, dryRun,
	}},
	{name: "GenerateDataKey", answer: "CiphertextBlob KeyId KeyMaterialId Plaintext", members: dataKeyMembers(recipient)},
	{name: "GenerateDataKeyPair", answer: "KeyId KeyMaterialId KeyPairSpec PrivateKeyCiphertextBlob PrivateKeyPlaintext PublicKey", members: dataKeyPairMembers(recipient)},
	{name: "GenerateDataKeyPairWithoutPlaintext", answer: "KeyId KeyMaterialId KeyPairSpec PrivateKeyCiphertextBlob PublicKey", members: dataKeyPairMembers()},
	{name: "GenerateDataKeyWithoutPlaintext", answer: "CiphertextBlob KeyId KeyMaterialId", members: dataKeyMembers()},
	{name: "GenerateMac", answer: "KeyId Mac MacAlgorithm", members: []member{keyID((*world).mac), aMessage, must(oneOf("MacAlgorithm", macAlgorithms...)), grantTokens, dryRun}},
	{name: "GenerateRandom", answer: "Plaintext", members: []member{usually(counted("NumberOfBytes", 1, 1024, 32)), recipient, notOffered("CustomKeyStoreId", "cks-1")}},
	{name: "GetKeyLastUsage"},
	{name: "GetKeyPolicy", answer: "Policy PolicyName", members: []member{keyID((*world).symmetric), policyName}},
	{name: "GetKeyRotationStatus", answer: "KeyId KeyRotationEnabled", members: []member{keyID((*world).symmetric)}},
	{name: "GetParametersForImport"},
	{name: "GetPublicKey", answer: "CustomerMasterKeySpec KeyId KeySpec KeyUsage PublicKey SigningAlgorithms", members: []member{keyID((*world).signing), grantTokens}},
	{name: "ImportKeyMaterial"},
	{name: "ListAliases", answer: "Aliases Truncated", members: concat([]member{keyRef("KeyId", (*world).symmetric)}, page(100))},
	{name: "ListGrants", answer: "Grants Truncated", members: concat([]member{
		keyID((*world).symmetric), grantID(), principal("GranteePrincipal"), aService("GranteeServicePrincipal")}, page(100))},
	{name: "ListKeyPolicies", answer: "PolicyNames Truncated", members: concat([]member{keyID((*world).symmetric)}, page(1000))},
	{name: "ListKeyRotations", answer: "Rotations Truncated", members: concat([]member{
		keyID((*world).symmetric), oneOf("IncludeKeyMaterial", "ALL_KEY_MATERIAL", "ROTATIONS_ONLY")}, page(1000))},
	{name: "ListKeys", answer: "Keys Truncated", members: page(1000)},
	{name: "ListResourceTags", answer: "Tags Truncated", members: concat([]member{keyID((*world).symmetric)}, page(50))},
	{name: "ListRetirableGrants", answer: "Grants Truncated", members: concat([]member{
		usually(principal("RetiringPrincipal")), {name: "RetiringServicePrincipal", kind: text, value: is(service), in: alone}}, page(100))},
	{name: "PutKeyPolicy", changes: true, members: []member{keyID((*world).symmetric), must(policyMember()), policyName, bypass}},
	{name: "ReEncrypt", answer: "CiphertextBlob DestinationEncryptionAlgorithm DestinationKeyMaterialId KeyId SourceEncryptionAlgorithm SourceKeyId SourceKeyMaterialId", members: []member{
		bytesOf("CiphertextBlob", 6144, the((*world).ciphertext), always(kms.ErrInvalidCiphertext)), must(keyRef("DestinationKeyId", (*world).other)),
		keyRef("SourceKeyId", (*world).symmetric), oneOf("SourceEncryptionAlgorithm", encryptionAlgorithms...), oneOf("DestinationEncryptionAlgorithm", encryptionAlgorithms...),
		contextOf("SourceEncryptionContext", func(n int) kms.Code {
			if n == 0 {
				return ""
			}
			return kms.ErrInvalidCiphertext
		}), contextOf("DestinationEncryptionContext", nil), grantTokens, dryRun, modifiers,
	}},
	{name: "ReplicateKey"},
	{name: "RetireGrant", changes: true, members: []member{
		usually(member{name: "GrantToken", kind: text, value: func(w *world) any { return w.grant().GrantToken }, least: 1, most: 8192, within: always(kms.ErrInvalidGrantToken)}),
		within(byID, keyRef("KeyId", (*world).symmetric)), within(byID, grantID()), dryRun,
	}},
	{name: "RevokeGrant", changes: true, members: []member{keyID((*world).symmetric), must(grantID()), dryRun}},
	{name: "RotateKeyOnDemand", changes: true, answer: "KeyId", members: []member{keyID((*world).symmetric)}},
	{name: "ScheduleKeyDeletion", changes: true, answer: "DeletionDate KeyId KeyState PendingWindowInDays", members: []member{
		keyID((*world).symmetric), counted("PendingWindowInDays", 7, 30, 14)}},
	{name: "Sign", answer: "KeyId Signature SigningAlgorithm", members: []member{
		keyID((*world).signing), aMessage, must(oneOf("SigningAlgorithm", signingAlgorithms...)), oneOf("MessageType", "RAW", "DIGEST", "EXTERNAL_MU"), grantTokens, dryRun,
	}},
	{name: "TagResource", changes: true, members: []member{keyID((*world).symmetric), must(tagsOf([]request{{"TagKey": "team", "TagValue": "a"}}))}},
	{name: "UntagResource", changes: true, members: []member{keyID((*world).symmetric), must(member{name: "TagKeys", kind: texts, value: is([]string{"team"})})}},
	{name: "UpdateAlias", changes: true, members: []member{aliasName(kms.ErrNotFound, the((*world).alias)), must(keyRef("TargetKeyId", (*world).other))}},
	{name: "UpdateCustomKeyStore"},
	{name: "UpdateKeyDescription", changes: true, members: []member{keyID((*world).symmetric), must(description)}},
	{name: "UpdatePrimaryRegion"},
	{name: "Verify", answer: "KeyId SignatureValid SigningAlgorithm", members: []member{
		keyID((*world).signing), bytesOf("Message", 4096, is([]byte(secretMessage)), always(kms.ErrInvalidSignature)), bytesOf("Signature", 6144, the((*world).signature), always(kms.ErrInvalidSignature)),
		must(oneOf("SigningAlgorithm", signingAlgorithms...)), oneOf("MessageType", "RAW", "DIGEST", "EXTERNAL_MU"), grantTokens, dryRun,
	}},
	{name: "VerifyMac", answer: "KeyId MacAlgorithm MacValid", members: []member{
		keyID((*world).mac), bytesOf("Message", 4096, is([]byte(secretMessage)), always(kms.ErrInvalidMac)), bytesOf("Mac", 6144, the((*world).code), always(kms.ErrInvalidMac)),
		must(oneOf("MacAlgorithm", macAlgorithms...)), grantTokens, dryRun,
	}},
}

// offered are the operations that the keyring offers.
func offered(yield func(operation) bool) {
	for _, op := range model {
		if op.members != nil && !yield(op) {
			return
		}
	}
}
