package clients

import "strings"

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
	// A dry run never succeeds, and tells otherwise what the call would tell.
	for _, r := range []struct {
		who  session
		code string
		key  string
	}{{root(x.region), "DryRunOperationException", arn}, {root(x.region), "NotFoundException", someKey}, {root(x.region), "InvalidKeyUsageException", signing}, {worker(x.region), "AccessDeniedException", arn}} {
		in := members{"KeyId": r.key, "Plaintext": plaintext, "DryRun": true}
		if x.client.knows("Encrypt", "DryRun") {
			x.isRefused(r.who, r.code, "Encrypt", in)
		}
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
