package clients

import (
	"maps"
	"slices"
	"strings"
)

// generic are the exceptions that the service's model does not have: libraries have no class of their own for them.
var generic = map[string]bool{"AccessDeniedException": true, "ValidationException": true, "InvalidSignatureException": true, "UnrecognizedClientException": true}

// refusals are exceptions that a client meets, each as an error of its class.
func (x *walk) refusals() {
	arn, mac, signing := x.create(members{}), x.create(members{"KeySpec": "HMAC_384", "KeyUsage": "GENERATE_VERIFY_MAC"}), x.create(members{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})
	alias, plaintext := unique("alias/"), []byte("x")
	x.do("CreateAlias", members{"AliasName": alias, "TargetKeyId": arn})
	other := x.do("Encrypt", members{"KeyId": x.create(members{}), "Plaintext": plaintext}).blob("CiphertextBlob")
	elsewhere := strings.Replace(arn, x.region, "eu-west-3", 1)
	for _, r := range []struct {
		code, op string
		in       members
	}{
		{"NotFoundException", "DescribeKey", members{"KeyId": someKey}},
		{"NotFoundException", "Encrypt", members{"KeyId": "alias/none", "Plaintext": plaintext}},
		{"NotFoundException", "DescribeKey", members{"KeyId": elsewhere}},
		{"NotFoundException", "DisableKey", members{"KeyId": alias}},
		{"InvalidArnException", "DescribeKey", members{"KeyId": "arn:aws:kms:" + x.region}},
		{"AlreadyExistsException", "CreateAlias", members{"AliasName": alias, "TargetKeyId": mac}},
		{"IncorrectKeyException", "Decrypt", members{"KeyId": arn, "CiphertextBlob": other}},
		{"InvalidCiphertextException", "Decrypt", members{"CiphertextBlob": []byte("no ciphertext")}},
		{"InvalidKeyUsageException", "Encrypt", members{"KeyId": signing, "Plaintext": plaintext}},
		{"InvalidKeyUsageException", "GenerateMac", members{"KeyId": mac, "Message": plaintext, "MacAlgorithm": "HMAC_SHA_256"}},
		{"UnsupportedOperationException", "GetPublicKey", members{"KeyId": arn}},
		{"UnsupportedOperationException", "EnableKeyRotation", members{"KeyId": signing}},
		{"UnsupportedOperationException", "CreateKey", members{"Origin": "EXTERNAL"}},
		{"UnsupportedOperationException", "CreateKey", members{"MultiRegion": true}},
		{"KMSInvalidStateException", "CancelKeyDeletion", members{"KeyId": arn}},
		{"TagException", "TagResource", members{"KeyId": arn, "Tags": []members{{"TagKey": "aws:x", "TagValue": "x"}}}},
		{"MalformedPolicyDocumentException", "CreateKey", members{"Policy": "{}"}},
		{"LimitExceededException", "CreateKey", members{"Policy": `{"Statement": []}` + strings.Repeat(" ", 40_000)}},
		{"InvalidGrantTokenException", "Encrypt", members{"KeyId": arn, "Plaintext": plaintext, "GrantTokens": []string{"no token"}}},
		{"InvalidMarkerException", "ListAliases", members{"Marker": "no marker"}},
		{"ValidationException", "CreateKey", members{"KeySpec": "RSA_2048"}},
		{"ValidationException", "GenerateDataKey", members{"KeyId": arn}},
		{"ValidationException", "Encrypt", members{"KeyId": arn, "Plaintext": make([]byte, 4097)}},
		{"ValidationException", "ScheduleKeyDeletion", members{"KeyId": arn, "PendingWindowInDays": 6}},
	} {
		x.refused(r.code, r.op, r.in)
	}
	// What a member asks for that is not offered is not left out without a word.
	enclave := members{"AttestationDocument": []byte("document"), "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
	for _, r := range []struct {
		op, name string
		asked    any
		in       members
	}{
		{"CreateKey", "CustomKeyStoreId", "cks-1234567890abcdef0", members{}},
		{"CreateKey", "XksKeyId", "1", members{}},
		{"GenerateRandom", "CustomKeyStoreId", "cks-1234567890abcdef0", members{"NumberOfBytes": 1}},
		{"GenerateRandom", "Recipient", enclave, members{"NumberOfBytes": 1}},
		{"GenerateDataKey", "Recipient", enclave, members{"KeyId": arn, "KeySpec": "AES_256"}},
		{"GenerateDataKeyPair", "Recipient", enclave, members{"KeyId": arn, "KeyPairSpec": "RSA_2048"}},
		{"Decrypt", "Recipient", enclave, members{"CiphertextBlob": other}},
		{"Decrypt", "DryRunModifiers", []string{"IGNORE_CIPHERTEXT"}, members{"KeyId": arn, "DryRun": true}},
		{"ReEncrypt", "DryRunModifiers", []string{"IGNORE_CIPHERTEXT"}, members{"SourceKeyId": arn, "DestinationKeyId": arn, "DryRun": true}},
		{"DeriveSharedSecret", "Recipient", enclave, members{"KeyId": arn, "KeyAgreementAlgorithm": "ECDH", "PublicKey": []byte("key")}},
	} {
		if r.in[r.name] = r.asked; x.client.knows(r.op, slices.Collect(maps.Keys(r.in))...) {
			x.refused("UnsupportedOperationException", r.op, r.in)
		}
	}
	// A dry run tells what the call would tell.
	if x.client.knows("Encrypt", "DryRun") {
		x.refused("NotFoundException", "Encrypt", members{"KeyId": someKey, "Plaintext": plaintext, "DryRun": true})
		x.refused("InvalidKeyUsageException", "Encrypt", members{"KeyId": signing, "Plaintext": plaintext, "DryRun": true})
		x.isRefused(worker(x.region), "AccessDeniedException", "Encrypt", members{"KeyId": arn, "Plaintext": plaintext, "DryRun": true})
	}
	x.isRefused(worker(x.region), "AccessDeniedException", "DescribeKey", members{"KeyId": arn})
	x.isRefused(worker(x.region), "AccessDeniedException", "CreateKey", members{})
	x.isRefused(session{x.region, "test", "wrong"}, "InvalidSignatureException", "ListKeys", members{})
	x.isRefused(session{x.region, "AKIDNONE", "test"}, "UnrecognizedClientException", "ListKeys", members{})
}

// notOffered are operations that the server knows by name alone.
func (x *walk) notOffered() {
	for op, in := range notOffered {
		if x.client.knows(op) {
			x.refused("UnsupportedOperationException", op, in)
		}
	}
}

// flags are what every operation has that takes grant tokens, or can be tried: a token that there is not is refused, and what would succeed is not done.
func (x *walk) flags() {
	arn, message := x.create(members{}), []byte("x")
	mac := x.there("CreateKey", members{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}).at("KeyMetadata").text("Arn")
	signing := x.there("CreateKey", members{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}).at("KeyMetadata").text("Arn")
	agreeing := x.there("CreateKey", members{"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}).at("KeyMetadata").text("Arn")
	hiding := x.there("CreateKey", members{"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"}).at("KeyMetadata").text("Arn")
	terms := members{"KeyId": arn, "GranteePrincipal": workerARN, "Operations": []string{"Encrypt"}}
	grant := x.there("CreateGrant", terms)
	macs := members{"KeyId": mac, "Message": message, "MacAlgorithm": "HMAC_SHA_256"}
	verifyMac := maps.Clone(macs)
	verifyMac["Mac"] = x.there("GenerateMac", macs).blob("Mac")
	sign := members{"KeyId": signing, "Message": message, "SigningAlgorithm": "ECDSA_SHA_256"}
	verify := maps.Clone(sign)
	verify["Signature"] = x.there("Sign", sign).blob("Signature")
	encapsulate := members{"KeyId": hiding, "EncapsulationAlgorithm": "ML_KEM"}
	decapsulate := maps.Clone(encapsulate)
	decapsulate["SharedSecretCiphertextBlob"] = x.there("Encapsulate", encapsulate).blob("SharedSecretCiphertextBlob")
	ciphertext := x.there("Encrypt", members{"KeyId": arn, "Plaintext": message}).blob("CiphertextBlob")
	for op, in := range map[string]members{
		"Encrypt":                             {"KeyId": arn, "Plaintext": message},
		"Decrypt":                             {"CiphertextBlob": ciphertext},
		"ReEncrypt":                           {"CiphertextBlob": ciphertext, "DestinationKeyId": arn},
		"GenerateDataKey":                     {"KeyId": arn, "KeySpec": "AES_256"},
		"GenerateDataKeyWithoutPlaintext":     {"KeyId": arn, "KeySpec": "AES_256"},
		"GenerateDataKeyPair":                 {"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256"},
		"GenerateDataKeyPairWithoutPlaintext": {"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256"},
		"GenerateMac":                         macs,
		"VerifyMac":                           verifyMac,
		"Sign":                                sign,
		"Verify":                              verify,
		"DeriveSharedSecret":                  {"KeyId": agreeing, "KeyAgreementAlgorithm": "ECDH", "PublicKey": x.there("GetPublicKey", members{"KeyId": agreeing}).blob("PublicKey")},
		"Encapsulate":                         encapsulate,
		"Decapsulate":                         decapsulate,
		"GetPublicKey":                        {"KeyId": signing},
		"DescribeKey":                         {"KeyId": arn},
		"CreateGrant":                         terms,
		"RetireGrant":                         {"KeyId": arn, "GrantId": grant.text("GrantId")},
		"RevokeGrant":                         {"KeyId": arn, "GrantId": grant.text("GrantId")},
	} {
		for flag, refusal := range map[string]struct {
			value any
			code  string
		}{
			"DryRun":      {true, "DryRunOperationException"},
			"GrantTokens": {[]string{"no token"}, "InvalidGrantTokenException"},
		} {
			if flagged := maps.Clone(in); x.client.knows(op, flag) && x.other.knows(op, flag) {
				flagged[flag] = refusal.value
				x.refused(refusal.code, op, flagged)
			}
		}
	}
	x.findsGrant(grant, members{"KeyId": arn}, true) // none more, none less
}
