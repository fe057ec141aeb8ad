#!/bin/sh
# Shows the AWS CLI (version 1 or 2) as the administrator's client of claviger: the life of a key, from its creation to its end. Start a server to try it on,
#
#   claviger serve --dev --listen 127.0.0.1:8080
#
# and run it with the server's address:
#
#   KMS_ENDPOINT=http://127.0.0.1:8080 ./admin.sh
#
# Files are left in the working directory.
set -eu
: "${KMS_ENDPOINT:?is where the server listens, as in http://127.0.0.1:8080}"
export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-test}" AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-test}" AWS_PAGER=
kms() { aws kms --endpoint-url "$KMS_ENDPOINT" --region "${KMS_REGION:-eu-central-1}" "$@"; }

# refused runs what must fail, by that exception.
refused() {
	exception=$1
	shift
	if kms "$@" 2>complaint.txt; then
		echo "$1 has succeeded" >&2
		exit 1
	fi
	grep -q "($exception)" complaint.txt || { cat complaint.txt >&2; exit 1; }
	echo "$1: $exception"
}

echo "== a key, and a name for it"
key=$(kms create-key --description orders --tags TagKey=team,TagValue=orders --query KeyMetadata.Arn --output text)
kms create-alias --alias-name alias/orders-$$ --target-key-id "$key"
kms describe-key --key-id alias/orders-$$ --query KeyMetadata --output json >key.json
echo "$key"

echo "== used, for one tenant"
printf 'card 4242' >plaintext.txt
kms encrypt --key-id alias/orders-$$ --plaintext fileb://plaintext.txt --encryption-context tenant=42 --query CiphertextBlob --output text | base64 -d >first.bin
kms decrypt --ciphertext-blob fileb://first.bin --encryption-context tenant=42 --query Plaintext --output text | base64 -d >opened.txt
cmp plaintext.txt opened.txt
refused InvalidCiphertextException decrypt --ciphertext-blob fileb://first.bin --encryption-context tenant=43
kms generate-data-key --key-id "$key" --key-spec AES_256 --query CiphertextBlob --output text | base64 -d >datakey.bin

echo "== rotated; what was encrypted before stays readable"
kms enable-key-rotation --key-id "$key"
kms get-key-rotation-status --key-id "$key" --query KeyRotationEnabled --output text
if kms rotate-key-on-demand --generate-cli-skeleton >skeleton.json 2>complaint.txt; then # since 1.32.87 and 2.15.39 of April 2024
	kms rotate-key-on-demand --key-id "$key" --query KeyId --output text
	kms list-key-rotations --key-id "$key" --output json >rotations.json
fi
kms encrypt --key-id "$key" --plaintext fileb://plaintext.txt --encryption-context tenant=42 --query CiphertextBlob --output text | base64 -d >second.bin
kms decrypt --ciphertext-blob fileb://first.bin --encryption-context tenant=42 --query Plaintext --output text | base64 -d >opened.txt
cmp plaintext.txt opened.txt
kms re-encrypt --ciphertext-blob fileb://first.bin --source-encryption-context tenant=42 --destination-key-id "$key" --destination-encryption-context tenant=42 \
	--query CiphertextBlob --output text | base64 -d >moved.bin

echo "== who may do what"
kms get-key-policy --key-id "$key" --policy-name default --query Policy --output text >policy.json
kms put-key-policy --key-id "$key" --policy-name default --policy file://policy.json
account=$(kms describe-key --key-id "$key" --query KeyMetadata.AWSAccountId --output text)
grant=$(kms create-grant --key-id "$key" --grantee-principal "arn:aws:iam::$account:user/worker" --operations Encrypt Decrypt \
	--constraints EncryptionContextSubset={tenant=42} --query GrantId --output text)
kms list-grants --key-id "$key" --query 'Grants[].[GranteePrincipal,Operations]' --output json
kms revoke-grant --key-id "$key" --grant-id "$grant"
kms list-aliases --key-id "$key" --query 'Aliases[].AliasName' --output text
kms list-resource-tags --key-id "$key" --output text

echo "== a key that signs"
signing=$(kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY --query KeyMetadata.Arn --output text)
kms get-public-key --key-id "$signing" --query PublicKey --output text | base64 -d >public.der
kms sign --key-id "$signing" --message fileb://plaintext.txt --signing-algorithm ECDSA_SHA_256 --query Signature --output text | base64 -d >signature.bin
kms verify --key-id "$signing" --message fileb://plaintext.txt --signing-algorithm ECDSA_SHA_256 --signature fileb://signature.bin --query SignatureValid --output text
openssl dgst -sha256 -verify public.der -keyform DER -signature signature.bin plaintext.txt

echo "== its end"
kms disable-key --key-id "$key"
refused DisabledException encrypt --key-id "$key" --plaintext fileb://plaintext.txt
kms schedule-key-deletion --key-id "$key" --pending-window-in-days 7 --query '[KeyState,DeletionDate]' --output text
refused KMSInvalidStateException encrypt --key-id "$key" --plaintext fileb://plaintext.txt
kms delete-alias --alias-name alias/orders-$$
rm -f complaint.txt skeleton.json
echo "$key" >key.txt
