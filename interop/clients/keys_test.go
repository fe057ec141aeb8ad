package clients

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"
)

// lifetime is a key's: it is created, used under an alias, rotated, used, disabled, and at last scheduled for deletion.
func (x *walk) lifetime() {
	key := x.do("CreateKey", members{"Description": "orders", "Tags": []members{{"TagKey": "team", "TagValue": "orders"}}}).at("KeyMetadata")
	arn, alias := key.text("Arn"), unique("alias/app/")
	if want := "arn:aws:kms:" + x.region + ":" + account + ":key/" + key.text("KeyId"); arn != want || len(key.text("KeyId")) != 36 {
		x.Fatalf("the key is %s, want %s", arn, want)
	}
	asCreated := members{"AWSAccountId": account, "Description": "orders", "Enabled": true, "KeyManager": "CUSTOMER", "KeySpec": "SYMMETRIC_DEFAULT", "KeyState": "Enabled",
		"KeyUsage": "ENCRYPT_DECRYPT", "MultiRegion": false, "Origin": "AWS_KMS", "EncryptionAlgorithms": []string{"SYMMETRIC_DEFAULT"}}
	x.has(key, asCreated)
	if age := time.Since(key.time("CreationDate")); age < -time.Minute || age > time.Hour {
		x.Errorf("the key is %v old", age)
	}
	x.do("CreateAlias", members{"AliasName": alias, "TargetKeyId": arn})
	described := x.do("DescribeKey", members{"KeyId": alias}).at("KeyMetadata")
	x.has(described, asCreated)
	x.has(described, members{"Arn": arn})

	// Used under its alias, and read by the other client, which needs not tell the key.
	plaintext, context := []byte("\x00card 4242\xff"), members{"tenant": "42", "größe": "10 €"}
	first := x.do("Encrypt", members{"KeyId": alias, "Plaintext": plaintext, "EncryptionContext": context})
	x.has(first, members{"KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	x.decrypts(x.client, first.blob("CiphertextBlob"), context, plaintext)
	old := x.decrypts(x.other, first.blob("CiphertextBlob"), context, plaintext)
	x.has(old, members{"KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	x.decrypts(x.client, x.there("Encrypt", members{"KeyId": arn, "Plaintext": plaintext}).blob("CiphertextBlob"), nil, plaintext)

	// Not with another context, nor when a bit is another.
	x.refused("InvalidCiphertextException", "Decrypt", members{"CiphertextBlob": first.blob("CiphertextBlob"), "EncryptionContext": members{"tenant": "43", "größe": "10 €"}})
	x.refused("InvalidCiphertextException", "Decrypt", members{"CiphertextBlob": first.blob("CiphertextBlob")})
	damaged := first.blob("CiphertextBlob")
	damaged[len(damaged)-1] ^= 1
	x.refused("InvalidCiphertextException", "Decrypt", members{"CiphertextBlob": damaged, "EncryptionContext": context})

	// Rotated by itself and now. What is old stays readable, what is new is under other material.
	x.able("EnableKeyRotation", members{"KeyId": arn, "RotationPeriodInDays": 180})
	x.has(x.there("GetKeyRotationStatus", members{"KeyId": arn}), members{"KeyRotationEnabled": true, "RotationPeriodInDays": 180})
	x.do("EnableKeyRotation", members{"KeyId": arn})
	x.has(x.do("GetKeyRotationStatus", members{"KeyId": arn}), members{"KeyRotationEnabled": true})
	x.do("DisableKeyRotation", members{"KeyId": arn})
	x.has(x.do("GetKeyRotationStatus", members{"KeyId": arn}), members{"KeyRotationEnabled": false})
	x.has(x.able("RotateKeyOnDemand", members{"KeyId": arn}), members{"KeyId": arn})
	rotations := x.able("ListKeyRotations", members{"KeyId": arn}).list("Rotations")
	if len(rotations) != 1 {
		x.Fatalf("rotations are %v", rotations)
	}
	x.has(rotations[0], members{"KeyId": key["KeyId"], "RotationType": "ON_DEMAND"})
	second := x.do("Encrypt", members{"KeyId": arn, "Plaintext": plaintext, "EncryptionContext": context})
	now := x.decrypts(x.other, second.blob("CiphertextBlob"), context, plaintext)
	x.decrypts(x.client, first.blob("CiphertextBlob"), context, plaintext)
	if was, is := old.text("KeyMaterialId"), now.text("KeyMaterialId"); len(was) != 64 || len(is) != 64 || was == is {
		x.Errorf("the material was %s and is %s", was, is)
	}
	if all := x.able("ListKeyRotations", members{"KeyId": arn, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}).list("Rotations"); len(all) != 2 {
		x.Errorf("materials are %v", all)
	}
	moved := x.do("ReEncrypt", members{"CiphertextBlob": first.blob("CiphertextBlob"), "SourceKeyId": arn, "SourceEncryptionContext": context, "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
		"DestinationKeyId": alias, "DestinationEncryptionContext": members{"tenant": "44"}, "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	x.has(moved, members{"KeyId": arn, "SourceKeyId": arn, "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT", "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	x.has(x.decrypts(x.other, moved.blob("CiphertextBlob"), members{"tenant": "44"}, plaintext), members{"KeyMaterialId": now.text("KeyMaterialId")})

	// Disabled and enabled.
	x.do("DisableKey", members{"KeyId": arn})
	x.has(x.do("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"Enabled": false, "KeyState": "Disabled"})
	x.refused("DisabledException", "Encrypt", members{"KeyId": arn, "Plaintext": plaintext})
	x.refused("DisabledException", "Decrypt", members{"CiphertextBlob": first.blob("CiphertextBlob"), "EncryptionContext": context})
	x.do("EnableKey", members{"KeyId": arn})
	x.decrypts(x.client, first.blob("CiphertextBlob"), context, plaintext)

	// The alias moves to another key, and is deleted.
	successor := x.create(members{})
	x.do("UpdateAlias", members{"AliasName": alias, "TargetKeyId": successor})
	x.has(x.do("Encrypt", members{"KeyId": alias, "Plaintext": plaintext}), members{"KeyId": successor})
	x.do("DeleteAlias", members{"AliasName": alias})
	x.refused("NotFoundException", "Encrypt", members{"KeyId": alias, "Plaintext": plaintext})

	// Scheduled for deletion, kept after all, and scheduled again.
	for range 2 {
		scheduled := x.do("ScheduleKeyDeletion", members{"KeyId": arn, "PendingWindowInDays": 7})
		x.has(scheduled, members{"KeyId": arn, "KeyState": "PendingDeletion", "PendingWindowInDays": 7})
		if left := time.Until(scheduled.time("DeletionDate")); left < 6*24*time.Hour || left > 8*24*time.Hour {
			x.Errorf("the key is deleted in %v", left)
		}
		pending := x.do("DescribeKey", members{"KeyId": arn}).at("KeyMetadata")
		x.has(pending, members{"Enabled": false, "KeyState": "PendingDeletion", "DeletionDate": scheduled["DeletionDate"]})
		x.refused("KMSInvalidStateException", "Decrypt", members{"CiphertextBlob": first.blob("CiphertextBlob"), "EncryptionContext": context})
		x.refused("KMSInvalidStateException", "ScheduleKeyDeletion", members{"KeyId": arn})
		x.has(x.do("CancelKeyDeletion", members{"KeyId": arn}), members{"KeyId": arn})
		x.has(x.there("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"Enabled": false, "KeyState": "Disabled"})
		x.do("EnableKey", members{"KeyId": arn})
		x.decrypts(x.client, first.blob("CiphertextBlob"), context, plaintext)
	}
	x.do("ScheduleKeyDeletion", members{"KeyId": arn})
	x.has(x.there("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"KeyState": "PendingDeletion"})
}

// decrypts requires that a client decrypts a ciphertext, whose key it is not told.
func (x *walk) decrypts(c client, ciphertext []byte, context members, want []byte) members {
	x.Helper()
	in := members{"CiphertextBlob": ciphertext}
	if context != nil {
		in["EncryptionContext"] = context
	}
	out := x.succeeds(c, root(x.region), "Decrypt", in)
	if !bytes.Equal(out.blob("Plaintext"), want) {
		x.Errorf("%s decrypts %q, want %q", c.name(), out.blob("Plaintext"), want)
	}
	return out
}

// documents are what is written on a key: its description, tags and policy.
func (x *walk) documents() {
	arn := x.create(members{"Description": "a", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "Origin": "AWS_KMS", "MultiRegion": false, "Tags": []members{{"TagKey": "team", "TagValue": "orders"}}})
	x.do("UpdateKeyDescription", members{"KeyId": arn, "Description": "Schlüssel <&>"})
	x.has(x.there("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"Description": "Schlüssel <&>"})

	x.wantTags(arn, "team=orders")
	x.do("TagResource", members{"KeyId": arn, "Tags": []members{{"TagKey": "team", "TagValue": "billing"}, {"TagKey": "stage", "TagValue": ""}}})
	x.wantTags(arn, "stage=", "team=billing")
	x.do("UntagResource", members{"KeyId": arn, "TagKeys": []string{"stage", "none"}})
	x.wantTags(arn, "team=billing")

	x.has(x.do("ListKeyPolicies", members{"KeyId": arn}), members{"PolicyNames": []string{"default"}, "Truncated": false})
	before := x.do("GetKeyPolicy", members{"KeyId": arn, "PolicyName": "default"})
	if !strings.Contains(before.text("Policy"), "arn:aws:iam::"+account+":root") {
		x.Errorf("the default policy is %s", before.text("Policy"))
	}
	// The policy comes back to the byte, and counts.
	policy := `{"Version": "2012-10-17",
	"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::` + account + `:root"}, "Action": "kms:*", "Resource": "*"},
	{"Sid": "größe", "Effect": "Allow", "Principal": {"AWS": "` + workerARN + `"}, "Action": "kms:Encrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "42"}}}]}`
	x.do("PutKeyPolicy", members{"KeyId": arn, "PolicyName": "default", "Policy": policy})
	x.has(x.do("GetKeyPolicy", members{"KeyId": arn, "PolicyName": "default"}), members{"Policy": policy})
	x.has(x.there("GetKeyPolicy", members{"KeyId": arn}), members{"Policy": policy, "PolicyName": "default"})
	encrypt := members{"KeyId": arn, "Plaintext": []byte("x"), "EncryptionContext": members{"tenant": "42"}}
	sealed := x.succeeds(x.client, worker(x.region), "Encrypt", encrypt)
	x.decrypts(x.other, sealed.blob("CiphertextBlob"), members{"tenant": "42"}, []byte("x"))
	encrypt["EncryptionContext"] = members{"tenant": "43"}
	x.isRefused(worker(x.region), "AccessDeniedException", "Encrypt", encrypt)
	x.refused("MalformedPolicyDocumentException", "PutKeyPolicy", members{"KeyId": arn, "PolicyName": "default", "Policy": `{"Version": "2012-10-17"`})

	// One that locks its caller out is refused, unless he wants it.
	lockout := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "` + workerARN + `"}, "Action": "kms:DescribeKey", "Resource": "*"}}`
	put := members{"KeyId": arn, "PolicyName": "default", "Policy": lockout}
	x.refused("MalformedPolicyDocumentException", "PutKeyPolicy", put)
	x.refused("MalformedPolicyDocumentException", "CreateKey", members{"Policy": lockout})
	put["BypassPolicyLockoutSafetyCheck"] = true
	x.do("PutKeyPolicy", put)
	x.refused("AccessDeniedException", "GetKeyPolicy", members{"KeyId": arn, "PolicyName": "default"})
	locked := x.create(members{"Policy": lockout, "BypassPolicyLockoutSafetyCheck": true})
	x.refused("AccessDeniedException", "DescribeKey", members{"KeyId": locked})
	x.succeeds(x.client, worker(x.region), "DescribeKey", members{"KeyId": locked})
}

func (x *walk) wantTags(arn string, want ...string) {
	x.Helper()
	var tags []string
	for _, t := range x.do("ListResourceTags", members{"KeyId": arn}).list("Tags") {
		value, isText := t["TagValue"].(string)
		if !isText {
			x.Errorf("a tag has no value: %v", t)
		}
		tags = append(tags, t.text("TagKey")+"="+value)
	}
	slices.Sort(tags)
	if !slices.Equal(tags, want) {
		x.Errorf("tags are %v, want %v", tags, want)
	}
}

// grants let somebody use a key whom nothing else allows it.
func (x *walk) grants() {
	arn, who := x.create(members{}), worker(x.region)
	in := members{"KeyId": arn, "Plaintext": []byte("x"), "EncryptionContext": members{"tenant": "42"}}
	x.isRefused(who, "AccessDeniedException", "Encrypt", in)

	terms := members{"KeyId": arn, "GranteePrincipal": workerARN, "RetiringPrincipal": workerARN, "Operations": []string{"Encrypt", "Decrypt", "DescribeKey"}, "Name": "orders",
		"Constraints": members{"EncryptionContextSubset": members{"tenant": "42"}}}
	grant := x.do("CreateGrant", terms)
	again := x.there("CreateGrant", terms)
	x.has(again, members{"GrantId": grant["GrantId"]})
	if again.text("GrantToken") == grant.text("GrantToken") || len(grant.text("GrantId")) != 64 {
		x.Errorf("a grant of the same terms: %v, after %v", again, grant)
	}
	listed := x.do("ListGrants", members{"KeyId": arn})
	x.has(listed, members{"Truncated": false})
	if l := listed.list("Grants"); len(l) != 1 {
		x.Errorf("grants are %v", l)
	} else {
		x.has(l[0], members{"KeyId": arn, "GrantId": grant["GrantId"], "Name": "orders", "GranteePrincipal": workerARN, "RetiringPrincipal": workerARN, "IssuingAccount": "arn:aws:iam::" + account + ":root"})
		x.has(l[0].at("Constraints"), members{"EncryptionContextSubset": members{"tenant": "42"}})
	}
	in["GrantTokens"] = []string{grant.text("GrantToken")}
	x.has(x.succeeds(x.client, who, "Encrypt", in), members{"KeyId": arn})
	x.has(x.succeeds(x.client, who, "DescribeKey", members{"KeyId": arn, "GrantTokens": in["GrantTokens"]}).at("KeyMetadata"), members{"Arn": arn})
	delete(in, "EncryptionContext")
	x.isRefused(who, "AccessDeniedException", "Encrypt", in)
	in["GrantTokens"] = []string{"no token"}
	x.refused("InvalidGrantTokenException", "Encrypt", in)
	delete(in, "GrantTokens")
	in["EncryptionContext"] = members{"tenant": "42", "more": "1"}
	x.succeeds(x.client, who, "Encrypt", in)

	// A service may be the grantee, for one resource.
	const service = "objectstore.amazonaws.com"
	constraints := members{"SourceArn": "arn:aws:objectstore:::bucket", "EncryptionContextEquals": members{"tenant": "42"}}
	for _, retiring := range []members{{"RetiringPrincipal": workerARN}, {"RetiringServicePrincipal": service}} {
		in := members{"KeyId": arn, "GranteeServicePrincipal": service, "Operations": []string{"Decrypt"}, "Constraints": constraints}
		maps.Copy(in, retiring)
		made := x.able("CreateGrant", in)
		lists := []members{x.able("ListGrants", members{"KeyId": arn, "GranteeServicePrincipal": service})}
		if retiring["RetiringPrincipal"] != nil {
			lists = append(lists, x.do("ListRetirableGrants", members{"RetiringPrincipal": workerARN, "Limit": 100}))
		} else if l := x.able("ListRetirableGrants", members{"RetiringServicePrincipal": service}).list("Grants"); len(l) > 0 { // which only the service itself is shown
			x.Errorf("the account is shown what a service may retire: %v", l)
		}
		for _, list := range lists {
			i := slices.IndexFunc(list.list("Grants"), func(g members) bool { return g["GrantId"] == made["GrantId"] })
			if i < 0 {
				x.Fatalf("grants are %v", list)
			}
			x.has(list.list("Grants")[i], members{"GrantId": made["GrantId"], "Operations": []string{"Decrypt"}})
			if x.client.knows("CreateGrant", "GranteeServicePrincipal") {
				x.has(list.list("Grants")[i], members{"GranteeServicePrincipal": service, "GranteePrincipal": nil})
				x.has(list.list("Grants")[i], retiring)
				x.has(list.list("Grants")[i].at("Constraints"), constraints)
			}
		}
		x.do("RevokeGrant", members{"KeyId": arn, "GrantId": made.text("GrantId")})
	}

	// The grantee may retire it, and the account revoke it.
	retirable := x.do("ListRetirableGrants", members{"RetiringPrincipal": workerARN, "Limit": 100}).list("Grants")
	if !slices.ContainsFunc(retirable, func(g members) bool { return g["GrantId"] == grant["GrantId"] }) {
		x.Errorf("retirable grants are %v", retirable)
	}
	x.succeeds(x.client, who, "RetireGrant", members{"GrantToken": grant.text("GrantToken")})
	x.isRefused(who, "AccessDeniedException", "Encrypt", in)
	terms["Name"] = "more"
	grant = x.do("CreateGrant", terms)
	x.succeeds(x.client, who, "Encrypt", in)
	x.do("RevokeGrant", members{"KeyId": arn, "GrantId": grant.text("GrantId")})
	x.isRefused(who, "AccessDeniedException", "Encrypt", in)
	terms["Name"] = "most"
	grant = x.do("CreateGrant", terms)
	x.findsGrant(grant, members{"KeyId": arn, "GrantId": grant.text("GrantId")}, true)
	x.findsGrant(grant, members{"KeyId": arn, "GranteePrincipal": workerARN}, true)
	x.findsGrant(grant, members{"KeyId": arn, "GranteePrincipal": workerARN + "2"}, false)
	x.succeeds(x.client, who, "RetireGrant", members{"KeyId": arn, "GrantId": grant.text("GrantId")})
	x.isRefused(who, "AccessDeniedException", "Encrypt", in)
	if l := x.do("ListGrants", members{"KeyId": arn}).list("Grants"); len(l) != 0 {
		x.Errorf("grants that are left are %v", l)
	}
}

// findsGrant requires that a list of grants has the one alone, or none.
func (x *walk) findsGrant(grant, in members, found bool) {
	x.Helper()
	list := x.do("ListGrants", in).list("Grants")
	if is := len(list) == 1 && list[0]["GrantId"] == grant["GrantId"]; is != found || !found && len(list) > 0 {
		x.Errorf("grants of %v are %v", in, list)
	}
}

// pages are what lists come in. A paginator finds everything once.
func (x *walk) pages() {
	var keys, aliases, grants, tags []string
	for range 5 {
		keys = append(keys, x.create(members{}))
	}
	arn := keys[0]
	var tagged []members
	for range 5 {
		alias := unique("alias/pages/")
		x.do("CreateAlias", members{"AliasName": alias, "TargetKeyId": arn})
		aliases = append(aliases, alias)
		grants = append(grants, x.do("CreateGrant", members{"KeyId": arn, "GranteePrincipal": workerARN, "RetiringPrincipal": workerARN, "Operations": []string{"Encrypt"}}).text("GrantId"))
		tags = append(tags, unique("tag-"))
		tagged = append(tagged, members{"TagKey": tags[len(tags)-1], "TagValue": "x"})
	}
	x.do("TagResource", members{"KeyId": arn, "Tags": tagged})
	x.findsPaged("ListKeys", members{}, "Keys", "KeyArn", keys)
	x.findsPaged("ListAliases", members{}, "Aliases", "AliasName", aliases)
	x.findsPaged("ListAliases", members{"KeyId": arn}, "Aliases", "AliasName", aliases)
	x.findsPaged("ListGrants", members{"KeyId": arn}, "Grants", "GrantId", grants)
	x.findsPaged("ListRetirableGrants", members{"RetiringPrincipal": workerARN}, "Grants", "GrantId", grants)
	x.findsPaged("ListResourceTags", members{"KeyId": arn}, "Tags", "TagKey", tags)
	x.findsPaged("ListKeyPolicies", members{"KeyId": arn}, "PolicyNames", "", []string{"default"}) // there is but one
	if x.client.knows("ListKeyRotations") {
		for range 3 {
			x.able("RotateKeyOnDemand", members{"KeyId": arn})
		}
		x.findsPaged("ListKeyRotations", members{"KeyId": arn}, "Rotations", "RotationType", []string{"ON_DEMAND", "ON_DEMAND", "ON_DEMAND"})
	}
	x.refused("InvalidMarkerException", "ListKeys", members{"Marker": "no marker"})
}

// findsPaged requires that a list in pages of two has all that is wanted as often as it is wanted. Lists of a Region have what other walks made, too.
func (x *walk) findsPaged(op string, in members, list, name string, want []string) {
	x.Helper()
	pages, err := x.client.pages(root(x.region), op, in, 2)
	if err == errUnpaged { // old models have not all
		return
	}
	check(x, err)
	var found []string
	for i, page := range pages {
		sent := maps.Clone(in)
		sent["Limit"], sent["Marker"] = 2, i > 0
		x.calls.add(op, sent, page)
		var items []string
		if name == "" {
			values, _ := page[list].([]any)
			for _, v := range values {
				items = append(items, v.(string))
			}
		}
		for _, item := range page.list(list) {
			items = append(items, item.text(name))
		}
		if last := i == len(pages)-1; len(items) > 2 || page["Truncated"] != !last || page.text("NextMarker") == "" != last {
			x.Errorf("%s: page %d of %d has %d items, Truncated %v, NextMarker %q", op, i+1, len(pages), len(items), page["Truncated"], page.text("NextMarker"))
		}
		found = append(found, items...)
	}
	own := slices.DeleteFunc(found, func(f string) bool { return !slices.Contains(want, f) })
	slices.Sort(own)
	slices.Sort(want)
	if !slices.Equal(own, want) {
		x.Errorf("%s of %v finds %v, want %v", op, in, own, want)
	}
}
