package kms_test

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A kindOfKey is a row of the table of key specs in AWS's reference: a spec with one of its usages.
type kindOfKey struct {
	spec       kms.KeySpec
	usage      kms.KeyUsage
	algorithms []kms.Algorithm
}

var kindsOfKeys = func() []kindOfKey {
	oaep := []kms.Algorithm{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
	rsa := []kms.Algorithm{"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512", "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512"}
	kinds := []kindOfKey{{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", []kms.Algorithm{"SYMMETRIC_DEFAULT"}}}
	for _, bits := range []string{"2048", "3072", "4096"} {
		kinds = append(kinds, kindOfKey{kms.KeySpec("RSA_" + bits), "ENCRYPT_DECRYPT", oaep}, kindOfKey{kms.KeySpec("RSA_" + bits), "SIGN_VERIFY", rsa})
	}
	for curve, hash := range map[string]string{"P256": "256", "P384": "384", "P521": "512"} {
		kinds = append(kinds, kindOfKey{kms.KeySpec("ECC_NIST_" + curve), "SIGN_VERIFY", []kms.Algorithm{kms.Algorithm("ECDSA_SHA_" + hash)}},
			kindOfKey{kms.KeySpec("ECC_NIST_" + curve), "KEY_AGREEMENT", []kms.Algorithm{"ECDH"}})
	}
	kinds = append(kinds, kindOfKey{"ECC_SECG_P256K1", "SIGN_VERIFY", []kms.Algorithm{"ECDSA_SHA_256"}},
		kindOfKey{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", []kms.Algorithm{"ED25519_SHA_512", "ED25519_PH_SHA_512"}})
	for _, n := range []string{"44", "65", "87"} {
		kinds = append(kinds, kindOfKey{kms.KeySpec("ML_DSA_" + n), "SIGN_VERIFY", []kms.Algorithm{"ML_DSA_SHAKE_256"}})
	}
	for _, n := range []string{"512", "768", "1024"} {
		kinds = append(kinds, kindOfKey{kms.KeySpec("ML_KEM_" + n), "ENCAPSULATE_DECAPSULATE", []kms.Algorithm{"ML_KEM"}})
	}
	for _, n := range []string{"224", "256", "384", "512"} {
		kinds = append(kinds, kindOfKey{kms.KeySpec("HMAC_" + n), "GENERATE_VERIFY_MAC", []kms.Algorithm{kms.Algorithm("HMAC_SHA_" + n)}})
	}
	return kinds
}()

// isConfined reports whether a program that is confined to Go's FIPS module cannot have such keys.
func (k kindOfKey) isConfined() bool {
	return fips140.Enforced() && (k.spec == kms.ECCSECGP256K1 || k.spec == kms.MLKEM512 || strings.HasPrefix(string(k.spec), "ML_DSA"))
}

// use uses a key in both directions, and fails unless what the one makes is what the other takes. It returns a function that takes what was made again.
func (k kindOfKey) use(t *testing.T, c *kms.Client, ref string) (again func(*kms.Client) error) {
	t.Helper()
	message := []byte("a message")
	algorithm := k.algorithms[len(k.algorithms)-1]
	switch k.usage {
	case kms.SignVerify:
		m := kms.Raw(message)
		if algorithm == kms.AlgorithmED25519PHSHA512 {
			m = kms.Digest(make([]byte, 64))
		}
		res := must(c.Sign(t.Context(), ref, m, algorithm))(t)
		again = func(c *kms.Client) error { return drop(c.Verify(t.Context(), ref, m, res.Signature, algorithm)) }
	case kms.GenerateVerifyMac:
		res := must(c.GenerateMac(t.Context(), ref, message, algorithm))(t)
		again = func(c *kms.Client) error { return drop(c.VerifyMac(t.Context(), ref, message, res.Mac, algorithm)) }
	case kms.KeyAgreement:
		peer := must(c.GetPublicKey(t.Context(), ref))(t)
		secret := must(c.DeriveSharedSecret(t.Context(), ref, peer.DER))(t)
		again = func(c *kms.Client) error {
			other, err := c.DeriveSharedSecret(t.Context(), ref, peer.DER)
			if err == nil && !bytes.Equal(other.Secret(), secret.Secret()) {
				err = fmt.Errorf("%s: another secret", k.spec)
			}
			return err
		}
	case kms.EncapsulateDecapsulate:
		res := must(c.Encapsulate(t.Context(), ref))(t)
		again = func(c *kms.Client) error {
			secret, err := c.Decapsulate(t.Context(), ref, res.Ciphertext)
			if err == nil && !bytes.Equal(secret.Secret(), res.Secret()) {
				err = fmt.Errorf("%s: another secret", k.spec)
			}
			return err
		}
	default:
		res := must(c.Encrypt(t.Context(), ref, message, nil, kms.WithAlgorithm(algorithm)))(t)
		again = func(c *kms.Client) error {
			out, err := c.Decrypt(t.Context(), res.Ciphertext, nil, kms.WithKey(ref), kms.WithAlgorithm(algorithm))
			if err == nil && !bytes.Equal(out.Plaintext, message) {
				err = fmt.Errorf("%s: another message", k.spec)
			}
			return err
		}
	}
	if err := again(c); err != nil {
		t.Errorf("%s for %s: %v", k.spec, k.usage, err)
	}
	return again
}

// TestKindsOfKeys: every kind of key is created, described and used, found again by a ring that is opened later, in good order, and goes with everything that it had.
func TestKindsOfKeys(t *testing.T) {
	store := memory.New()
	f := open(t, func(c *kms.Config) { c.Store = store })
	var again []func(*kms.Client) error
	var refs []string
	for _, k := range kindsOfKeys {
		meta, err := f.CreateKey(t.Context(), kms.CreateKeyInput{KeySpec: k.spec, KeyUsage: k.usage, Policy: everyone})
		if k.isConfined() {
			wantCode(t, err, kms.ErrUnsupportedOperation)
			continue
		}
		check(t, err)
		var lists kms.KeyAlgorithms
		switch k.usage {
		case kms.SignVerify:
			lists.SigningAlgorithms = k.algorithms
		case kms.EncryptDecrypt:
			lists.EncryptionAlgorithms = k.algorithms
		case kms.GenerateVerifyMac:
			lists.MacAlgorithms = k.algorithms
		case kms.KeyAgreement:
			lists.KeyAgreementAlgorithms = k.algorithms
		default:
			lists.EncapsulationAlgorithms = k.algorithms
		}
		if diff := cmp.Diff(lists, meta.KeyAlgorithms); diff != "" || meta.KeySpec != k.spec || meta.KeyUsage != k.usage || (meta.CurrentKeyMaterialID != "") != (k.spec == kms.SymmetricDefault) {
			t.Errorf("%+v: algorithms (-want +got):\n%s", meta, diff)
		}
		if got := must(f.DescribeKey(t.Context(), meta.ARN))(t); !cmp.Equal(got, meta) {
			t.Errorf("%s is described differently: %s", k.spec, cmp.Diff(meta, got))
		}
		public, err := f.GetPublicKey(t.Context(), meta.ARN)
		if k.spec == kms.SymmetricDefault || k.usage == kms.GenerateVerifyMac {
			wantCode(t, err, kms.ErrUnsupportedOperation)
		} else {
			check(t, err)
			if _, err := public.Parse(); err != nil || !cmp.Equal(public.KeyAlgorithms, lists) || public.KeySpec != k.spec || public.KeyUsage != k.usage || public.KeyARN != meta.ARN {
				t.Errorf("the public key of %s: %+v, %v", k.spec, public, err)
			}
		}
		status := must(f.GetKeyRotationStatus(t.Context(), meta.ARN))(t)
		if status.KeyRotationEnabled {
			t.Errorf("%s rotates", k.spec)
		}
		refs = append(refs, meta.ARN)
		again = append(again, k.use(t, f.As(kms.Root()), meta.ARN))
	}
	problems := must(f.Check(t.Context()))(t).Problems
	check(t, f.Close())
	later := open(t, func(c *kms.Config) { c.Store = store; c.CacheSize = 4 }) // which forgets, and reads again
	for range 2 {
		for _, again := range again {
			check(t, again(later.As(kms.Root())))
		}
	}
	check(t, later.Close())
	bubble.Test(t, func(t *testing.T) {
		last := open(t, func(c *kms.Config) { c.Store = store })
		for _, ref := range refs {
			must(last.ScheduleKeyDeletion(t.Context(), ref, 7))(t)
		}
		for _, d := range []time.Duration{7 * kms.Day, time.Hour} { // Maintain marks what is due, and destroys it the next time
			time.Sleep(d)
			last.clock.advance(d)
			must(last.Maintain(t.Context()))(t)
		}
		problems = append(problems, must(last.Check(t.Context()))(t).Problems...)
		for _, again := range again {
			if again(last.As(kms.Root())) == nil {
				t.Error("a key that is gone is used")
			}
		}
	})
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	for _, prefix := range []string{"key/", "ver/"} {
		for item, err := range keystore.Walk(t.Context(), store, prefix) {
			check(t, err)
			t.Errorf("%s is left", item.Name)
		}
	}
}

// TestAliasesKeepToTheirKind: an alias moves between symmetric, between asymmetric and between HMAC keys of one usage.
func TestAliasesKeepToTheirKind(t *testing.T) {
	f := open(t)
	kinds := []kindOfKey{{spec: kms.SymmetricDefault, usage: kms.EncryptDecrypt}, {spec: kms.RSA2048, usage: kms.EncryptDecrypt}, {spec: kms.ECCNISTP256, usage: kms.SignVerify},
		{spec: kms.ECCNISTEdwards25519, usage: kms.SignVerify}, {spec: kms.ECCNISTP256, usage: kms.KeyAgreement}, {spec: kms.ECCNISTP384, usage: kms.KeyAgreement},
		{spec: kms.HMAC256, usage: kms.GenerateVerifyMac}, {spec: kms.HMAC512, usage: kms.GenerateVerifyMac}, {spec: kms.MLKEM768, usage: kms.EncapsulateDecapsulate}}
	var keys []string
	for _, k := range kinds {
		keys = append(keys, f.of(k.spec, k.usage))
	}
	for i, from := range kinds {
		for j, to := range kinds {
			alias := fmt.Sprintf("alias/%d/%d", i, j)
			check(t, f.CreateAlias(t.Context(), alias, keys[i]))
			want := kms.ErrValidation
			if symmetric := kms.SymmetricDefault; from.usage == to.usage && (from.spec == symmetric) == (to.spec == symmetric) {
				want = ""
			}
			wantCode(t, f.UpdateAlias(t.Context(), alias, keys[j]), want)
		}
	}
}

// TestGrantsSuitTheKey: a grant may hold the operations that a key of its kind can do, and no other.
func TestGrantsSuitTheKey(t *testing.T) {
	f := open(t)
	always := []string{"CreateGrant", "RetireGrant", "DescribeKey"}
	for _, tc := range []struct {
		kindOfKey
		operations string
	}{
		{kindOfKey{spec: kms.SymmetricDefault, usage: kms.EncryptDecrypt}, "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair " +
			"GenerateDataKeyPairWithoutPlaintext"},
		{kindOfKey{spec: kms.RSA2048, usage: kms.EncryptDecrypt}, "Encrypt Decrypt ReEncryptFrom ReEncryptTo GetPublicKey"},
		{kindOfKey{spec: kms.RSA2048, usage: kms.SignVerify}, "Sign Verify GetPublicKey"},
		{kindOfKey{spec: kms.ECCNISTP256, usage: kms.SignVerify}, "Sign Verify GetPublicKey"},
		{kindOfKey{spec: kms.ECCNISTP256, usage: kms.KeyAgreement}, "DeriveSharedSecret GetPublicKey"},
		{kindOfKey{spec: kms.HMAC256, usage: kms.GenerateVerifyMac}, "GenerateMac VerifyMac"},
		{kindOfKey{spec: kms.MLKEM768, usage: kms.EncapsulateDecapsulate}, "Encapsulate Decapsulate GetPublicKey"},
	} {
		key := f.of(tc.spec, tc.usage)
		suited := append(strings.Fields(tc.operations), always...)
		for _, op := range strings.Fields("Decrypt Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo Sign Verify GetPublicKey CreateGrant RetireGrant " +
			"DescribeKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateMac VerifyMac DeriveSharedSecret Encapsulate Decapsulate") {
			want := kms.ErrValidation
			if slices.Contains(suited, op) {
				want = ""
			}
			in := kms.CreateGrantInput{GranteePrincipal: "arn:aws:iam::111122223333:role/grantee", Operations: []kms.GrantOperation{kms.GrantOperation(op)}}
			if _, err := f.CreateGrant(t.Context(), key, in); want == "" && err != nil || want != "" && !strings.Contains(fmt.Sprint(err), "does not support the grant operation "+op) {
				t.Errorf("%s for %s, a grant of %s: %v", tc.spec, tc.usage, op, err)
			}
			in.Constraints.EncryptionContextSubset = kms.EncryptionContext{"a": "b"}
			_, err := f.CreateGrant(t.Context(), key, in)
			if tc.spec != kms.SymmetricDefault && err == nil {
				t.Errorf("%s for %s, a grant of %s with a constraint", tc.spec, tc.usage, op)
			}
		}
	}
}

// TestReEncryptAcrossKinds moves a plaintext between symmetric and RSA keys in every direction.
func TestReEncryptAcrossKinds(t *testing.T) {
	f := open(t)
	keys := map[kms.Algorithm]string{kms.AlgorithmSymmetricDefault: f.create().ARN, kms.AlgorithmRSAESOAEPSHA256: f.of(kms.RSA2048, kms.EncryptDecrypt)}
	ec := map[kms.Algorithm]kms.EncryptionContext{kms.AlgorithmSymmetricDefault: {"a": "b"}}
	for from, source := range keys {
		for to, destination := range keys {
			in := must(f.Encrypt(t.Context(), source, []byte("moved"), ec[from], kms.WithAlgorithm(from)))(t)
			res, err := f.ReEncrypt(t.Context(), in.Ciphertext, destination, kms.ReEncryptInput{SourceKey: source, SourceAlgorithm: from, DestinationAlgorithm: to,
				SourceEncryptionContext: ec[from], DestinationEncryptionContext: ec[to]})
			if err != nil || res.SourceKeyARN != source || res.KeyARN != destination || res.SourceAlgorithm != from || res.DestinationAlgorithm != to ||
				(res.SourceKeyMaterialID != "") != (from == kms.AlgorithmSymmetricDefault) || (res.DestinationKeyMaterialID != "") != (to == kms.AlgorithmSymmetricDefault) {
				t.Errorf("%s to %s: %+v, %v", from, to, res, err)
				continue
			}
			out, err := f.Decrypt(t.Context(), res.Ciphertext, ec[to], kms.WithKey(destination), kms.WithAlgorithm(to))
			if err != nil || string(out.Plaintext) != "moved" || out.Algorithm != to {
				t.Errorf("%s to %s: %v, %v", from, to, out, err)
			}
		}
	}
	large := must(f.Encrypt(t.Context(), keys[kms.AlgorithmSymmetricDefault], make([]byte, 191), nil))(t)
	_, err := f.ReEncrypt(t.Context(), large.Ciphertext, keys[kms.AlgorithmRSAESOAEPSHA256], kms.ReEncryptInput{DestinationAlgorithm: kms.AlgorithmRSAESOAEPSHA256})
	if wantCode(t, err, kms.ErrValidation); !strings.HasSuffix(err.Error(), "cannot encrypt data larger than 190 bytes.") {
		t.Error(err)
	}
}

// TestContextsAreForSymmetricKeys: nothing binds an RSA ciphertext to an encryption context, so that one which a policy asks for is refused instead of believed.
func TestContextsAreForSymmetricKeys(t *testing.T) {
	f := open(t)
	rsa, symmetric := f.of(kms.RSA2048, kms.EncryptDecrypt), f.create().ARN
	ec, with := kms.EncryptionContext{"a": "b"}, kms.WithAlgorithm(kms.AlgorithmRSAESOAEPSHA256)
	for member, call := range map[string]func() error{
		"'encryptionContext'": func() error { _, err := f.Encrypt(t.Context(), rsa, []byte("x"), ec, with); return err },
		"'sourceEncryptionContext'": func() error {
			_, err := f.ReEncrypt(t.Context(), make([]byte, 256), symmetric, kms.ReEncryptInput{SourceKey: rsa, SourceAlgorithm: kms.AlgorithmRSAESOAEPSHA256, SourceEncryptionContext: ec})
			return err
		},
		"'destinationEncryptionContext'": func() error {
			sealed := must(f.Encrypt(t.Context(), symmetric, []byte("x"), ec))(t).Ciphertext
			_, err := f.ReEncrypt(t.Context(), sealed, rsa, kms.ReEncryptInput{SourceEncryptionContext: ec, DestinationAlgorithm: kms.AlgorithmRSAESOAEPSHA256, DestinationEncryptionContext: ec})
			return err
		},
	} {
		if err := call(); !errors.Is(err, kms.ErrValidation) || !strings.Contains(err.Error(), member) {
			t.Errorf("%s: %v", member, err)
		}
	}
	sealed := must(f.Encrypt(t.Context(), rsa, []byte("x"), kms.EncryptionContext{}, with))(t).Ciphertext // an empty one and none are the same
	_, err := f.Decrypt(t.Context(), sealed, ec, with, kms.WithKey(rsa))
	wantCode(t, err, kms.ErrValidation)
}

// TestAppendingUnderRSA: the appending forms keep what stands before, and leave nothing behind an error.
func TestAppendingUnderRSA(t *testing.T) {
	f := open(t)
	key := f.of(kms.RSA2048, kms.EncryptDecrypt)
	with := kms.WithAlgorithm(kms.AlgorithmRSAESOAEPSHA256)
	dst := append(make([]byte, 0, 1024), "before"...)
	sealed := must(f.AppendEncrypt(t.Context(), dst, key, []byte("plaintext"), nil, with))(t).Ciphertext
	if string(sealed[:6]) != "before" || len(sealed) != 6+256 {
		t.Fatalf("%d bytes: %q", len(sealed), sealed[:6])
	}
	out := must(f.AppendDecrypt(t.Context(), append(make([]byte, 0, 64), "x"...), sealed[6:], nil, with, kms.WithKey(key)))(t)
	if string(out.Plaintext) != "xplaintext" || out.KeyMaterialID != "" || out.KeyARN != key {
		t.Errorf("%q, %v", out.Plaintext, out)
	}
}

// TestConditionKeysOfAlgorithms: what a key is used by can be asked about, and only where it is.
func TestConditionKeysOfAlgorithms(t *testing.T) {
	f := open(t)
	signing, rsa, mac, agreeing, symmetric := f.of(kms.ECCNISTP256, kms.SignVerify), f.of(kms.RSA2048, kms.EncryptDecrypt), f.of(kms.HMAC256, kms.GenerateVerifyMac),
		f.of(kms.ECCNISTP256, kms.KeyAgreement), f.create().ARN
	peer := must(f.GetPublicKey(t.Context(), agreeing))(t).DER
	raw, digest := kms.Raw([]byte("x")), kms.Digest(make([]byte, 32))
	const noAlgorithm = `"kms:EncryptionAlgorithm":"true","kms:SigningAlgorithm":"true","kms:MacAlgorithm":"true","kms:KeyAgreementAlgorithm":"true","kms:MessageType":"true","kms:DataKeyPairSpec":"true"`
	sign := func(m kms.Message) func(*kms.Client) error {
		return func(c *kms.Client) error {
			_, err := c.Sign(t.Context(), signing, m, kms.AlgorithmECDSASHA256)
			return err
		}
	}
	for _, tc := range []struct {
		key       string
		call      func(*kms.Client) error
		condition string
		met       bool
	}{
		{signing, sign(raw), `"StringEquals":{"kms:SigningAlgorithm":"ECDSA_SHA_256","kms:MessageType":"RAW"}`, true},
		{signing, sign(kms.Message{Bytes: []byte("x")}), `"StringEquals":{"kms:MessageType":"RAW"}`, true},
		{signing, sign(digest), `"StringEquals":{"kms:MessageType":"DIGEST"}`, true},
		{signing, sign(digest), `"StringEquals":{"kms:MessageType":"RAW"}`, false},
		{signing, sign(raw), `"Null":{"kms:EncryptionAlgorithm":"true","kms:MacAlgorithm":"true","kms:KeyAgreementAlgorithm":"true"}`, true},
		{signing, func(c *kms.Client) error {
			_, err := c.Verify(t.Context(), signing, raw, []byte("none"), kms.AlgorithmECDSASHA256)
			if strings.Contains(err.Error(), "KMSInvalidSignatureException") {
				return nil
			}
			return err
		}, `"StringEquals":{"kms:SigningAlgorithm":"ECDSA_SHA_256","kms:MessageType":"RAW","kms:KeySpec":"ECC_NIST_P256","kms:KeyUsage":"SIGN_VERIFY"}`, true},
		{mac, func(c *kms.Client) error {
			_, err := c.GenerateMac(t.Context(), mac, []byte("x"), kms.AlgorithmHMACSHA256)
			return err
		}, `"StringEquals":{"kms:MacAlgorithm":"HMAC_SHA_256"},"Null":{` + strings.Replace(noAlgorithm, `"kms:MacAlgorithm":"true",`, "", 1) + `}`, true},
		{agreeing, func(c *kms.Client) error {
			_, err := c.DeriveSharedSecret(t.Context(), agreeing, peer)
			return err
		}, `"StringEquals":{"kms:KeyAgreementAlgorithm":"ECDH"},"Null":{"kms:SigningAlgorithm":"true","kms:EncryptionAlgorithm":"true"}`, true},
		{agreeing, func(c *kms.Client) error { _, err := c.GetPublicKey(t.Context(), agreeing); return err }, `"Null":{` + noAlgorithm + `}`, true},
		{rsa, func(c *kms.Client) error {
			_, err := c.Encrypt(t.Context(), rsa, []byte("x"), nil, kms.WithAlgorithm(kms.AlgorithmRSAESOAEPSHA256))
			return err
		}, `"StringEquals":{"kms:EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}`, true},
		{symmetric, func(c *kms.Client) error {
			_, err := c.GenerateDataKeyPair(t.Context(), symmetric, kms.ECCNISTP384, kms.EncryptionContext{"a": "b"})
			return err
		}, `"StringEquals":{"kms:DataKeyPairSpec":"ECC_NIST_P384","kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT","kms:EncryptionContext:a":"b"}`, true},
		{symmetric, func(c *kms.Client) error {
			_, err := c.GenerateDataKeyPairWithoutPlaintext(t.Context(), symmetric, kms.ECCNISTP256, nil)
			return err
		}, `"StringEquals":{"kms:DataKeyPairSpec":"ECC_NIST_P384"}`, false},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:PutKeyPolicy","Resource":"*"},
				{"Effect":%q,"Principal":"*","NotAction":"kms:PutKeyPolicy","Resource":"*","Condition":{%s}}`, effect, tc.condition)
			want := kms.ErrAccessDenied
			if (effect == "Allow") == tc.met {
				want = ""
			}
			if effect == "Deny" {
				policy += `,{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`
			}
			check(t, f.PutKeyPolicy(t.Context(), tc.key, kms.PutKeyPolicyInput{Policy: policy + "]}", BypassPolicyLockoutSafetyCheck: true}))
			wantCode(t, tc.call(f.As(kms.Role("app"))), want)
			if t.Failed() {
				t.Fatalf("%s if %s", effect, tc.condition)
			}
		}
	}
}

// TestRecordsOfEveryKind: what the trail says of each operation, as CloudTrail does.
func TestRecordsOfEveryKind(t *testing.T) {
	f := open(t)
	signing, mac, agreeing, kem, symmetric := f.of(kms.ECCNISTP256, kms.SignVerify), f.of(kms.HMAC256, kms.GenerateVerifyMac), f.of(kms.ECCNISTP256, kms.KeyAgreement),
		f.of(kms.MLKEM768, kms.EncapsulateDecapsulate), f.create()
	peer := must(f.GetPublicKey(t.Context(), agreeing))(t).DER
	var ciphertext []byte
	for _, tc := range []struct {
		name   string
		call   func()
		params map[string]any
		more   any
	}{
		{"Sign", func() { must(f.Sign(t.Context(), signing, kms.Raw([]byte("x")), kms.AlgorithmECDSASHA256))(t) },
			map[string]any{"keyId": signing, "messageType": "RAW", "signingAlgorithm": "ECDSA_SHA_256"}, nil},
		{"Sign", func() {
			must(f.Sign(t.Context(), signing, kms.Digest(make([]byte, 32)), kms.AlgorithmECDSASHA256))(t)
		},
			map[string]any{"keyId": signing, "messageType": "DIGEST", "signingAlgorithm": "ECDSA_SHA_256"}, nil},
		{"Verify", func() {
			wantCode(t, drop(f.Verify(t.Context(), signing, kms.Raw([]byte("x")), []byte("none"), kms.AlgorithmECDSASHA256)), kms.ErrInvalidSignature)
		},
			map[string]any{"keyId": signing, "messageType": "RAW", "signingAlgorithm": "ECDSA_SHA_256"}, nil},
		{"GetPublicKey", func() { must(f.GetPublicKey(t.Context(), signing))(t) }, map[string]any{"keyId": signing}, nil},
		{"GenerateMac", func() { must(f.GenerateMac(t.Context(), mac, []byte("x"), kms.AlgorithmHMACSHA256))(t) }, map[string]any{"keyId": mac, "macAlgorithm": "HMAC_SHA_256"}, nil},
		{"VerifyMac", func() {
			wantCode(t, drop(f.VerifyMac(t.Context(), mac, []byte("x"), []byte("none"), kms.AlgorithmHMACSHA256)), kms.ErrInvalidMac)
		},
			map[string]any{"keyId": mac, "macAlgorithm": "HMAC_SHA_256"}, nil},
		{"DeriveSharedSecret", func() { must(f.DeriveSharedSecret(t.Context(), agreeing, peer))(t) }, map[string]any{"keyId": agreeing, "keyAgreementAlgorithm": "ECDH"}, nil},
		{"Encapsulate", func() { ciphertext = must(f.Encapsulate(t.Context(), kem))(t).Ciphertext }, map[string]any{"keyId": kem, "encapsulationAlgorithm": "ML_KEM"}, nil},
		{"Decapsulate", func() { must(f.Decapsulate(t.Context(), kem, ciphertext))(t) }, map[string]any{"keyId": kem, "encapsulationAlgorithm": "ML_KEM"}, nil},
		{"GenerateDataKeyPair", func() {
			must(f.GenerateDataKeyPair(t.Context(), symmetric.ARN, kms.ECCNISTP256, kms.EncryptionContext{"a": "b"}))(t)
		},
			map[string]any{"keyId": symmetric.ARN, "keyPairSpec": "ECC_NIST_P256", "encryptionContext": map[string]any{"a": "b"}},
			map[string]any{"keyMaterialId": symmetric.CurrentKeyMaterialID}},
		{"GenerateDataKeyPairWithoutPlaintext", func() {
			must(f.GenerateDataKeyPairWithoutPlaintext(t.Context(), symmetric.ARN, kms.ECCNISTP256, nil))(t)
		},
			map[string]any{"keyId": symmetric.ARN, "keyPairSpec": "ECC_NIST_P256"}, map[string]any{"keyMaterialId": symmetric.CurrentKeyMaterialID}},
	} {
		e := recorded(t, f, tc.call)
		if e["eventName"] != tc.name || e["readOnly"] != true || e["responseElements"] != nil {
			t.Errorf("%s: %v", tc.name, e)
		}
		if diff := cmp.Diff(tc.params, e["requestParameters"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if diff := cmp.Diff(tc.more, e["additionalEventData"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	e := recorded(t, f, func() { f.of(kms.ECCNISTP256, kms.SignVerify) })
	meta := e["responseElements"].(map[string]any)["keyMetadata"].(map[string]any)
	if _, ok := meta["currentKeyMaterialId"]; ok || meta["keySpec"] != "ECC_NIST_P256" || !cmp.Equal(meta["signingAlgorithms"], []any{"ECDSA_SHA_256"}) {
		t.Errorf("CreateKey: %v", meta)
	}
}

// drop is how a call failed, whatever it returned.
func drop[T any](_ T, err error) error { return err }
