package kmshttp

import (
	"context"

	"github.com/claviger/kms"
)

// A route is one operation of the AWS KMS API.
type route struct {
	name string
	read func(*input) call // nil: the keyring does not offer the operation
	most int               // bytes of a body; 0 for the usual number

	tokens, dryRun bool // the model has GrantTokens, DryRun
}

// A call is what a request asks for: it makes the call as the client of the caller, and returns the answer, which counts only if there is no error.
type call func(context.Context, *kms.Client) (object, error)

// Limits of bodies in bytes. The largest ordinary request has ten grant tokens and an encryption context; the largest policy has 131,072 characters.
const (
	usualBody  = 256 << 10
	policyBody = 1 << 20
)

// targetPrefix stands before an operation's name in X-Amz-Target.
const targetPrefix = "TrentService."

// routes are all operations of the model (API version 2014-11-01 as of October 2026), by the target that names them.
var routes = func() map[string]*route {
	m := map[string]*route{}
	for _, r := range []route{
		{name: "CancelKeyDeletion", read: onKeyByARN((*kms.Client).CancelKeyDeletion)},
		{name: "ConnectCustomKeyStore"},
		{name: "CreateAlias", read: onAlias((*kms.Client).CreateAlias)},
		{name: "CreateCustomKeyStore"},
		{name: "CreateGrant", read: createGrant, tokens: true, dryRun: true},
		{name: "CreateKey", read: createKey, most: policyBody},
		{name: "Decapsulate", read: decapsulate, tokens: true, dryRun: true},
		{name: "Decrypt", read: decrypt, tokens: true, dryRun: true},
		{name: "DeleteAlias", read: deleteAlias},
		{name: "DeleteCustomKeyStore"},
		{name: "DeleteImportedKeyMaterial"},
		{name: "DeriveSharedSecret", read: deriveSharedSecret, tokens: true, dryRun: true},
		{name: "DescribeCustomKeyStores"},
		{name: "DescribeKey", read: describeKey, tokens: true},
		{name: "DisableKey", read: onKey((*kms.Client).DisableKey)},
		{name: "DisableKeyRotation", read: onKey((*kms.Client).DisableKeyRotation)},
		{name: "DisconnectCustomKeyStore"},
		{name: "EnableKey", read: onKey((*kms.Client).EnableKey)},
		{name: "EnableKeyRotation", read: enableKeyRotation},
		{name: "Encapsulate", read: encapsulate, tokens: true, dryRun: true},
		{name: "Encrypt", read: encrypt, tokens: true, dryRun: true},
		{name: "GenerateDataKey", read: generateDataKey, tokens: true, dryRun: true},
		{name: "GenerateDataKeyPair", read: generateDataKeyPair, tokens: true, dryRun: true},
		{name: "GenerateDataKeyPairWithoutPlaintext", read: generateDataKeyPairWithoutPlaintext, tokens: true, dryRun: true},
		{name: "GenerateDataKeyWithoutPlaintext", read: generateDataKeyWithoutPlaintext, tokens: true, dryRun: true},
		{name: "GenerateMac", read: generateMac, tokens: true, dryRun: true},
		{name: "GenerateRandom", read: generateRandom},
		{name: "GetKeyLastUsage"},
		{name: "GetKeyPolicy", read: getKeyPolicy},
		{name: "GetKeyRotationStatus", read: getKeyRotationStatus},
		{name: "GetParametersForImport"},
		{name: "GetPublicKey", read: getPublicKey, tokens: true},
		{name: "ImportKeyMaterial"},
		{name: "ListAliases", read: listAliases},
		{name: "ListGrants", read: listGrants},
		{name: "ListKeyPolicies", read: listKeyPolicies},
		{name: "ListKeyRotations", read: listKeyRotations},
		{name: "ListKeys", read: listKeys},
		{name: "ListResourceTags", read: listResourceTags},
		{name: "ListRetirableGrants", read: listRetirableGrants},
		{name: "PutKeyPolicy", read: putKeyPolicy, most: policyBody},
		{name: "ReEncrypt", read: reEncrypt, tokens: true, dryRun: true},
		{name: "ReplicateKey"},
		{name: "RetireGrant", read: retireGrant, dryRun: true},
		{name: "RevokeGrant", read: revokeGrant, dryRun: true},
		{name: "RotateKeyOnDemand", read: onKeyByARN((*kms.Client).RotateKeyOnDemand)},
		{name: "ScheduleKeyDeletion", read: scheduleKeyDeletion},
		{name: "Sign", read: sign, tokens: true, dryRun: true},
		{name: "TagResource", read: tagResource},
		{name: "UntagResource", read: untagResource},
		{name: "UpdateAlias", read: onAlias((*kms.Client).UpdateAlias)},
		{name: "UpdateCustomKeyStore"},
		{name: "UpdateKeyDescription", read: updateKeyDescription},
		{name: "UpdatePrimaryRegion"},
		{name: "Verify", read: verify, tokens: true, dryRun: true},
		{name: "VerifyMac", read: verifyMac, tokens: true, dryRun: true},
	} {
		if r.most == 0 {
			r.most = usualBody
		}
		m[targetPrefix+r.name] = &r
	}
	return m
}()
