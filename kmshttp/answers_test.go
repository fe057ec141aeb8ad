package kmshttp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
)

// inside is an object in an answer.
func inside(t *testing.T, a answer, name string) map[string]any {
	t.Helper()
	m, ok := a.m[name].(map[string]any)
	if !ok {
		t.Fatalf("%s in %s", name, a.body)
	}
	return m
}

// entries are the objects in a list of an answer.
func entries(t *testing.T, a answer, name string) (all []map[string]any) {
	t.Helper()
	list, ok := a.m[name].([]any)
	if !ok {
		t.Fatalf("%s in %s", name, a.body)
	}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			t.Fatalf("%s in %s", name, a.body)
		}
		all = append(all, m)
	}
	return all
}

// same compares an object with what it must be, numbers and times as they are written.
func same(t *testing.T, what string, got map[string]any, want map[string]any) {
	t.Helper()
	text := func(m map[string]any) string {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if text(got) != text(want) {
		t.Errorf("%s: %s\nwant %s", what, text(got), text(want))
	}
}

// TestKeyMetadata: of a key are told the members that AWS KMS tells of one of its kind and state, and times are numbers.
func TestKeyMetadata(t *testing.T) {
	w := newWorld(t)
	w.Clock.Advance(1500 * time.Millisecond)
	for _, tc := range []struct {
		spec, usage, list string
		algorithms        []string
	}{
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EncryptionAlgorithms", []string{"SYMMETRIC_DEFAULT"}},
		{"HMAC_512", "GENERATE_VERIFY_MAC", "MacAlgorithms", []string{"HMAC_SHA_512"}},
		{"ECC_NIST_P384", "SIGN_VERIFY", "SigningAlgorithms", []string{"ECDSA_SHA_384"}},
		{"ECC_NIST_P521", "KEY_AGREEMENT", "KeyAgreementAlgorithms", []string{"ECDH"}},
		{"ML_KEM_1024", "ENCAPSULATE_DECAPSULATE", "EncapsulationAlgorithms", []string{"ML_KEM"}},
	} {
		created := w.post("CreateKey", request{"KeySpec": tc.spec, "KeyUsage": tc.usage, "Description": "d", "Origin": "AWS_KMS", "MultiRegion": false})
		m := inside(t, created, "KeyMetadata")
		id, _ := m["KeyId"].(string)
		want := map[string]any{
			"AWSAccountId": "111122223333", "KeyId": id, "Arn": "arn:aws:kms:eu-central-1:111122223333:key/" + id, "CreationDate": json.Number("1767225601.5"), "Enabled": true,
			"Description": "d", "KeyUsage": tc.usage, "KeyState": "Enabled", "Origin": "AWS_KMS", "KeyManager": "CUSTOMER", "KeySpec": tc.spec, "CustomerMasterKeySpec": tc.spec, "MultiRegion": false,
			tc.list: tc.algorithms,
		}
		if tc.spec == "SYMMETRIC_DEFAULT" {
			material, _ := m["CurrentKeyMaterialId"].(string)
			if len(material) != 64 || strings.Trim(material, "0123456789abcdef") != "" {
				t.Errorf("CurrentKeyMaterialId %q", material)
			}
			want["CurrentKeyMaterialId"] = material
		}
		same(t, tc.spec, m, want)
		described := func() map[string]any { return inside(t, w.post("DescribeKey", request{"KeyId": id}), "KeyMetadata") }
		same(t, tc.spec, described(), want)
		w.do("DisableKey", request{"KeyId": id})
		want["Enabled"], want["KeyState"] = false, "Disabled"
		same(t, tc.spec+" disabled", described(), want)
		scheduled := w.post("ScheduleKeyDeletion", request{"KeyId": id, "PendingWindowInDays": 7})
		same(t, tc.spec+" scheduled", scheduled.m, map[string]any{"KeyId": want["Arn"], "DeletionDate": json.Number("1767830401.5"), "KeyState": "PendingDeletion", "PendingWindowInDays": json.Number("7")})
		want["KeyState"], want["DeletionDate"] = "PendingDeletion", json.Number("1767830401.5")
		same(t, tc.spec+" pending deletion", described(), want)
		same(t, tc.spec+" cancelled", w.post("CancelKeyDeletion", request{"KeyId": id}).m, map[string]any{"KeyId": want["Arn"]})
		want["KeyState"] = "Disabled"
		delete(want, "DeletionDate")
		same(t, tc.spec+" cancelled", described(), want)
	}
	if m := inside(t, w.post("CreateKey", raw("")), "KeyMetadata"); m["Description"] != "" {
		t.Errorf("a key without a description: %v", m)
	}
	same(t, "a scheduled key", w.post("ScheduleKeyDeletion", request{"KeyId": w.symmetric()}).m, map[string]any{
		"KeyId": w.symmetric(), "DeletionDate": json.Number("1769817601.5"), "KeyState": "PendingDeletion", "PendingWindowInDays": json.Number("30")})
}

// TestDeprecatedKeySpec: CustomerMasterKeySpec is KeySpec by its old name.
func TestDeprecatedKeySpec(t *testing.T) {
	w := newWorld(t)
	m := inside(t, w.post("CreateKey", request{"CustomerMasterKeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}), "KeyMetadata")
	if m["KeySpec"] != "HMAC_256" || m["CustomerMasterKeySpec"] != "HMAC_256" {
		t.Errorf("%v", m)
	}
}

// TestRotationStatus: dates and periods are told while a key rotates.
func TestRotationStatus(t *testing.T) {
	w := newWorld(t)
	key := w.symmetric()
	off := map[string]any{"KeyId": key, "KeyRotationEnabled": false}
	status := func() map[string]any { return w.post("GetKeyRotationStatus", request{"KeyId": key}).m }
	same(t, "off", status(), off)
	for days, next := range map[int]string{90: "1775001600", 365: "1798761600", 2560: "1988409600"} {
		w.do("EnableKeyRotation", request{"KeyId": key, "RotationPeriodInDays": days})
		same(t, "on", status(), map[string]any{"KeyId": key, "KeyRotationEnabled": true, "RotationPeriodInDays": json.Number(fmt.Sprint(days)), "NextRotationDate": json.Number(next)})
	}
	w.do("DisableKeyRotation", request{"KeyId": key})
	same(t, "off again", status(), off)
	w.do("EnableKeyRotation", request{"KeyId": key})
	if days := status()["RotationPeriodInDays"]; days != json.Number("365") {
		t.Errorf("a period of %v days", days)
	}
	id := key[strings.LastIndexByte(key, '/')+1:]
	w.Clock.Advance(250 * time.Millisecond)
	same(t, "a rotation", w.post("RotateKeyOnDemand", request{"KeyId": key}).m, map[string]any{"KeyId": key})
	w.Clock.Advance(365*kms.Day - 250*time.Millisecond)
	w.do("Encrypt", request{"KeyId": key, "Plaintext": []byte("p")}) // which rotates the key
	all := entries(t, w.post("ListKeyRotations", request{"KeyId": key, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}), "Rotations")
	if len(all) != 3 {
		t.Fatalf("%v", all)
	}
	same(t, "the first", all[0], map[string]any{"KeyId": id, "KeyMaterialId": all[0]["KeyMaterialId"], "KeyMaterialState": "NON_CURRENT"})
	same(t, "the second", all[1], map[string]any{"KeyId": id, "KeyMaterialId": all[1]["KeyMaterialId"], "KeyMaterialState": "NON_CURRENT", "RotationType": "ON_DEMAND",
		"RotationDate": json.Number("1767225600.25")})
	same(t, "the third", all[2], map[string]any{"KeyId": id, "KeyMaterialId": inside(t, w.post("DescribeKey", request{"KeyId": key}), "KeyMetadata")["CurrentKeyMaterialId"], "KeyMaterialState": "CURRENT",
		"RotationType": "AUTOMATIC", "RotationDate": json.Number("1798761600")})
	for _, which := range []request{{}, {"IncludeKeyMaterial": "ROTATIONS_ONLY"}} {
		if got := entries(t, w.post("ListKeyRotations", which.with("KeyId", key)), "Rotations"); len(got) != 2 || got[0]["RotationType"] != "ON_DEMAND" {
			t.Errorf("%s: %v", which, got)
		}
	}
}

// TestEntries: what lists tell of aliases, grants, keys, policies and tags.
func TestEntries(t *testing.T) {
	w := newWorld(t)
	w.Clock.Advance(time.Millisecond)
	key := w.symmetric()
	id := key[strings.LastIndexByte(key, '/')+1:]
	w.do("TagResource", request{"KeyId": key, "Tags": []request{{"TagKey": "b", "TagValue": ""}, {"TagKey": "a", "TagValue": "1"}}})
	w.alias()
	w.Clock.Advance(time.Second)
	w.do("UpdateAlias", request{"AliasName": "alias/world", "TargetKeyId": key})
	made := w.post("CreateGrant", request{"KeyId": key, "Operations": []string{"Decrypt", "Encrypt"}, "GranteePrincipal": grantee, "RetiringPrincipal": grantee, "Name": "name",
		"Constraints": request{"EncryptionContextSubset": map[string]string{"a": "b"}, "SourceArn": source}})
	least := w.post("CreateGrant", request{"KeyId": key, "Operations": []string{"DescribeKey"}, "GranteeServicePrincipal": service, "RetiringServicePrincipal": service, "Constraints": request{"SourceArn": source}})
	same(t, "a key", entries(t, w.post("ListKeys", request{}), "Keys")[0], map[string]any{"KeyId": id, "KeyArn": key})
	same(t, "an alias", entries(t, w.post("ListAliases", request{"KeyId": key}), "Aliases")[0], map[string]any{"AliasName": "alias/world", "AliasArn": aliasARN + "world", "TargetKeyId": id,
		"CreationDate": json.Number("1767225600.001"), "LastUpdatedDate": json.Number("1767225601.001")})
	tags := entries(t, w.post("ListResourceTags", request{"KeyId": key}), "Tags")
	same(t, "a tag", tags[0], map[string]any{"TagKey": "a", "TagValue": "1"})
	same(t, "a tag without a value", tags[1], map[string]any{"TagKey": "b", "TagValue": ""})
	if a := w.post("ListKeyPolicies", request{"KeyId": key}); a.body != `{"PolicyNames":["default"],"Truncated":false}` {
		t.Errorf("%s", a.body)
	}
	grant := map[string]any{"KeyId": key, "GrantId": made.m["GrantId"], "CreationDate": json.Number("1767225601.001"), "GranteePrincipal": grantee, "RetiringPrincipal": grantee, "Name": "name",
		"IssuingAccount": entries(t, w.post("ListGrants", request{"KeyId": key}), "Grants")[0]["IssuingAccount"], "Operations": []string{"Decrypt", "Encrypt"},
		"Constraints": request{"EncryptionContextSubset": map[string]string{"a": "b"}, "SourceArn": source}}
	if account, _ := grant["IssuingAccount"].(string); !strings.Contains(account, "111122223333") {
		t.Errorf("an issuing account %q", account)
	}
	same(t, "a grant", entries(t, w.post("ListGrants", request{"KeyId": key, "GrantId": made.m["GrantId"]}), "Grants")[0], grant)
	same(t, "a grant of a principal", entries(t, w.post("ListGrants", request{"KeyId": key, "GranteePrincipal": grantee}), "Grants")[0], grant)
	same(t, "a grant that can be retired", entries(t, w.post("ListRetirableGrants", request{"RetiringPrincipal": grantee}), "Grants")[0], grant)
	same(t, "a grant to a service", entries(t, w.post("ListGrants", request{"KeyId": key, "GranteeServicePrincipal": service}), "Grants")[0], map[string]any{
		"KeyId": key, "GrantId": least.m["GrantId"], "CreationDate": json.Number("1767225601.001"), "GranteeServicePrincipal": service, "RetiringServicePrincipal": service,
		"IssuingAccount": grant["IssuingAccount"], "Operations": []string{"DescribeKey"}, "Constraints": request{"SourceArn": source}})
	w.do("RetireGrant", request{"GrantToken": least.m["GrantToken"]})
	w.do("RevokeGrant", request{"KeyId": key, "GrantId": made.m["GrantId"]})
	if got := entries(t, w.post("ListGrants", request{"KeyId": key}), "Grants"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	w.do("PutKeyPolicy", request{"KeyId": key, "Policy": policy(200)})
	same(t, "a policy", w.post("GetKeyPolicy", request{"KeyId": key}).m, map[string]any{"Policy": policy(200), "PolicyName": "default"})
	w.do("UntagResource", request{"KeyId": key, "TagKeys": []string{"a", "none"}})
	if got := entries(t, w.post("ListResourceTags", request{"KeyId": key}), "Tags"); len(got) != 1 {
		t.Errorf("%v", got)
	}
	w.do("DeleteAlias", request{"AliasName": "alias/world"})
	if got := entries(t, w.post("ListAliases", request{}), "Aliases"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestCryptography: what is sealed, signed, authenticated and shared over the wire is what the operations say that it is.
func TestCryptography(t *testing.T) {
	w := newWorld(t)
	secret := []byte(secretMessage)
	blobOf := func(a answer, name string) []byte {
		t.Helper()
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return decoded[[]byte](t, a, name)
	}
	ec := map[string]string{"a": "b"}
	decrypt := func(ciphertext []byte) []byte {
		t.Helper()
		return blobOf(w.post("Decrypt", request{"CiphertextBlob": ciphertext, "EncryptionContext": ec, "KeyId": w.alias(), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}), "Plaintext")
	}
	sealed := w.post("Encrypt", request{"KeyId": w.alias(), "Plaintext": secret, "EncryptionContext": ec})
	if !bytes.Equal(decrypt(blobOf(sealed, "CiphertextBlob")), secret) || sealed.m["KeyId"] != w.symmetric() {
		t.Errorf("%s", sealed.body)
	}
	moved := w.post("ReEncrypt", request{"CiphertextBlob": sealed.m["CiphertextBlob"], "SourceEncryptionContext": ec, "DestinationEncryptionContext": ec, "DestinationKeyId": w.symmetric(), "SourceKeyId": w.symmetric()})
	if !bytes.Equal(decrypt(blobOf(moved, "CiphertextBlob")), secret) || moved.m["KeyId"] != w.symmetric() || moved.m["SourceKeyId"] != w.symmetric() {
		t.Errorf("%s", moved.body)
	}
	for n, r := range map[int]request{32: {"KeySpec": "AES_256"}, 16: {"KeySpec": "AES_128"}, 7: {"NumberOfBytes": 7}} {
		data := w.post("GenerateDataKey", r.with("KeyId", w.symmetric()).with("EncryptionContext", ec))
		if key := blobOf(data, "Plaintext"); len(key) != n || !bytes.Equal(decrypt(blobOf(data, "CiphertextBlob")), key) {
			t.Errorf("%s: %s", r, data.body)
		}
		if hidden := w.post("GenerateDataKeyWithoutPlaintext", r.with("KeyId", w.symmetric()).with("EncryptionContext", ec)); len(decrypt(blobOf(hidden, "CiphertextBlob"))) != n {
			t.Errorf("%s: %s", r, hidden.body)
		}
	}
	for _, operation := range []string{"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"} {
		pair := w.post(operation, request{"KeyId": w.symmetric(), "KeyPairSpec": "ECC_NIST_P256", "EncryptionContext": ec})
		private, err := x509.ParsePKCS8PrivateKey(decrypt(blobOf(pair, "PrivateKeyCiphertextBlob")))
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.ParsePKIXPublicKey(blobOf(pair, "PublicKey"))
		if err != nil || !private.(*ecdsa.PrivateKey).PublicKey.Equal(public) || pair.m["KeyPairSpec"] != "ECC_NIST_P256" {
			t.Errorf("%s: %s %v", operation, pair.body, err)
		}
	}
	if n := len(blobOf(w.post("GenerateRandom", request{"NumberOfBytes": 77}), "Plaintext")); n != 77 {
		t.Errorf("%d random bytes", n)
	}
	digest := sha256.Sum256(secret)
	public, err := x509.ParsePKIXPublicKey(blobOf(w.post("GetPublicKey", request{"KeyId": w.signing()}), "PublicKey"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []request{{"Message": secret}, {"Message": secret, "MessageType": "RAW"}, {"Message": digest[:], "MessageType": "DIGEST"}} {
		signed := w.post("Sign", m.with("KeyId", w.signing()).with("SigningAlgorithm", "ECDSA_SHA_256"))
		if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], blobOf(signed, "Signature")) {
			t.Errorf("%s: %s", m, signed.body)
		}
		verified := w.post("Verify", m.with("KeyId", w.signing()).with("SigningAlgorithm", "ECDSA_SHA_256").with("Signature", signed.m["Signature"]))
		same(t, "Verify", verified.m, map[string]any{"KeyId": w.signing(), "SignatureValid": true, "SigningAlgorithm": "ECDSA_SHA_256"})
	}
	mac := w.post("GenerateMac", request{"KeyId": w.mac(), "Message": secret, "MacAlgorithm": "HMAC_SHA_256"})
	same(t, "VerifyMac", w.post("VerifyMac", request{"KeyId": w.mac(), "Message": secret, "MacAlgorithm": "HMAC_SHA_256", "Mac": blobOf(mac, "Mac")}).m,
		map[string]any{"KeyId": w.mac(), "MacValid": true, "MacAlgorithm": "HMAC_SHA_256"})
	other := w.key("other agreeing key", kms.ECCNISTP256, kms.KeyAgreement)
	var agreed [2][]byte
	for i, keys := range [][2]string{{w.agreeing(), other}, {other, w.agreeing()}} {
		theirs := blobOf(w.post("GetPublicKey", request{"KeyId": keys[1]}), "PublicKey")
		a := w.post("DeriveSharedSecret", request{"KeyId": keys[0], "PublicKey": theirs, "KeyAgreementAlgorithm": "ECDH"})
		if agreed[i] = blobOf(a, "SharedSecret"); a.m["KeyOrigin"] != "AWS_KMS" || a.m["KeyAgreementAlgorithm"] != "ECDH" {
			t.Errorf("%s", a.body)
		}
	}
	if len(agreed[0]) != 32 || !bytes.Equal(agreed[0], agreed[1]) {
		t.Errorf("%x and %x", agreed[0], agreed[1])
	}
	wrapped := w.post("Encapsulate", request{"KeyId": w.kem(), "EncapsulationAlgorithm": "ML_KEM"})
	unwrapped := w.post("Decapsulate", request{"KeyId": w.kem(), "EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": blobOf(wrapped, "SharedSecretCiphertextBlob")})
	if secret := blobOf(wrapped, "SharedSecret"); len(secret) != 32 || !bytes.Equal(blobOf(unwrapped, "SharedSecret"), secret) {
		t.Errorf("%s, %s", wrapped.body, unwrapped.body)
	}
	keys := w.post("GetPublicKey", request{"KeyId": w.agreeing()})
	same(t, "GetPublicKey", keys.m, map[string]any{"KeyId": w.agreeing(), "PublicKey": keys.m["PublicKey"], "KeySpec": "ECC_NIST_P256", "CustomerMasterKeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT",
		"KeyAgreementAlgorithms": []string{"ECDH"}})
}

// TestWhatIsAsked: members that ask for something have it.
func TestWhatIsAsked(t *testing.T) {
	w := newWorld(t)
	key := w.symmetric()
	lockout := strings.Replace(policy(200), `"Principal":"*"`, `"Principal":{"AWS":"`+grantee+`"}`, 1)
	w.do("CreateKey", request{"Policy": lockout, "BypassPolicyLockoutSafetyCheck": true})
	for _, name := range []string{"one", "two"} {
		w.do("CreateGrant", request{"KeyId": key, "Operations": []string{"Decrypt"}, "GranteePrincipal": "arn:aws:iam::111122223333:role/" + name, "RetiringPrincipal": "arn:aws:iam::111122223333:user/" + name})
	}
	w.do("CreateGrant", request{"KeyId": key, "Operations": []string{"Decrypt"}, "GranteeServicePrincipal": service, "RetiringServicePrincipal": service, "Constraints": request{"SourceArn": source}})
	grants := func(operation string, r request) (who []any) {
		t.Helper()
		for _, g := range entries(t, w.post(operation, r), "Grants") {
			who = append(who, g["GranteePrincipal"])
		}
		return who
	}
	all := entries(t, w.post("ListGrants", request{"KeyId": key}), "Grants")
	if len(all) != 3 {
		t.Fatalf("%v", all)
	}
	for _, g := range all {
		if got := entries(t, w.post("ListGrants", request{"KeyId": key, "GrantId": g["GrantId"]}), "Grants"); len(got) != 1 || got[0]["GrantId"] != g["GrantId"] {
			t.Errorf("%v, want %v", got, g)
		}
	}
	const two = "arn:aws:iam::111122223333:role/two"
	for what, got := range map[string][]any{
		"ListGrants of a grantee":          grants("ListGrants", request{"KeyId": key, "GranteePrincipal": two}),
		"ListRetirableGrants of a retirer": grants("ListRetirableGrants", request{"RetiringPrincipal": "arn:aws:iam::111122223333:user/two"}),
	} {
		if !slices.Equal(got, []any{two}) {
			t.Errorf("%s: %v", what, got)
		}
	}
	if got := grants("ListGrants", request{"KeyId": key, "GranteeServicePrincipal": service}); !slices.Equal(got, []any{nil}) {
		t.Errorf("ListGrants of a service: %v", got)
	}
	if got := entries(t, post(t, w.wire.As(kms.Service(service)), "ListRetirableGrants", request{"RetiringServicePrincipal": service}.String()), "Grants"); len(got) != 1 {
		t.Errorf("ListRetirableGrants of a service: %v", got)
	}
	w.do("RetireGrant", request{"KeyId": key, "GrantId": all[0]["GrantId"]})
	if got := entries(t, w.post("ListGrants", request{"KeyId": key}), "Grants"); len(got) != 2 || slices.ContainsFunc(got, func(g map[string]any) bool { return g["GrantId"] == all[0]["GrantId"] }) {
		t.Errorf("%v", got)
	}
	w.alias()
	w.do("CreateAlias", request{"AliasName": "alias/other", "TargetKeyId": w.other()})
	w.do("UpdateAlias", request{"AliasName": "alias/world", "TargetKeyId": w.other()})
	if got := entries(t, w.post("ListAliases", request{"KeyId": key}), "Aliases"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := entries(t, w.post("ListAliases", request{"KeyId": w.other()}), "Aliases"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	w.do("UpdateKeyDescription", request{"KeyId": key, "Description": "new"})
	w.do("DisableKey", request{"KeyId": key})
	if m := inside(t, w.post("DescribeKey", request{"KeyId": key}), "KeyMetadata"); m["Description"] != "new" || m["Enabled"] != false {
		t.Errorf("%v", m)
	}
	w.do("EnableKey", request{"KeyId": key})
	rsa := w.key("RSA key", kms.RSA2048, kms.EncryptDecrypt)
	const oaep = "RSAES_OAEP_SHA_256"
	sealed := w.post("Encrypt", request{"KeyId": rsa, "Plaintext": []byte(secretMessage), "EncryptionAlgorithm": oaep})
	same(t, "Decrypt", w.post("Decrypt", request{"KeyId": rsa, "CiphertextBlob": sealed.m["CiphertextBlob"], "EncryptionAlgorithm": oaep}).m,
		map[string]any{"KeyId": rsa, "Plaintext": []byte(secretMessage), "EncryptionAlgorithm": oaep})
	moved := w.post("ReEncrypt", request{"CiphertextBlob": sealed.m["CiphertextBlob"], "SourceKeyId": rsa, "SourceEncryptionAlgorithm": oaep, "DestinationKeyId": rsa, "DestinationEncryptionAlgorithm": oaep})
	same(t, "ReEncrypt", moved.m, map[string]any{"CiphertextBlob": moved.m["CiphertextBlob"], "KeyId": rsa, "SourceKeyId": rsa, "SourceEncryptionAlgorithm": oaep, "DestinationEncryptionAlgorithm": oaep})
	w.do("PutKeyPolicy", request{"KeyId": key, "Policy": lockout, "PolicyName": "default", "BypassPolicyLockoutSafetyCheck": true})
	if a := w.post("DescribeKey", request{"KeyId": key}); a.code() != kms.ErrAccessDenied {
		t.Errorf("%s", a.body)
	}
}
