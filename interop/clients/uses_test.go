package clients

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
)

// dataKeys come in plaintext and encrypted, or encrypted alone. Pairs have an encrypted private key.
func (x *walk) dataKeys() {
	arn, context := x.create(members{}), members{"table": "orders"}
	for _, in := range []members{{"KeySpec": "AES_256"}, {"KeySpec": "AES_128"}, {"NumberOfBytes": 24}} {
		in["KeyId"], in["EncryptionContext"] = arn, context
		dk := x.do("GenerateDataKey", in)
		x.has(dk, members{"KeyId": arn})
		if n := map[any]int{"AES_256": 32, "AES_128": 16, nil: 24}[in["KeySpec"]]; len(dk.blob("Plaintext")) != n {
			x.Errorf("a data key of %v has %d bytes", in, len(dk.blob("Plaintext")))
		}
		x.decrypts(x.other, dk.blob("CiphertextBlob"), context, dk.blob("Plaintext"))
		sealed := x.do("GenerateDataKeyWithoutPlaintext", in)
		x.has(sealed, members{"KeyId": arn, "Plaintext": nil})
		x.decrypts(x.client, sealed.blob("CiphertextBlob"), context, x.there("Decrypt", members{"CiphertextBlob": sealed.blob("CiphertextBlob"), "EncryptionContext": context}).blob("Plaintext"))
	}

	in := members{"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256", "EncryptionContext": context}
	pair := x.do("GenerateDataKeyPair", in)
	x.has(pair, members{"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256"})
	x.wantPair(pair.blob("PrivateKeyPlaintext"), pair.blob("PublicKey"))
	x.decrypts(x.other, pair.blob("PrivateKeyCiphertextBlob"), context, pair.blob("PrivateKeyPlaintext"))
	in["KeyPairSpec"] = "RSA_2048"
	pair = x.do("GenerateDataKeyPairWithoutPlaintext", in)
	x.has(pair, members{"KeyId": arn, "KeyPairSpec": "RSA_2048", "PrivateKeyPlaintext": nil})
	x.wantPair(x.there("Decrypt", members{"CiphertextBlob": pair.blob("PrivateKeyCiphertextBlob"), "EncryptionContext": context}).blob("Plaintext"), pair.blob("PublicKey"))

	one, two := x.do("GenerateRandom", members{"NumberOfBytes": 1024}).blob("Plaintext"), x.do("GenerateRandom", members{"NumberOfBytes": 1024}).blob("Plaintext")
	if len(one) != 1024 || len(two) != 1024 || bytes.Equal(one, two) {
		x.Errorf("random bytes: %d and %d", len(one), len(two))
	}
}

// wantPair requires a private key, in PKCS #8, with that public key.
func (x *walk) wantPair(private, public []byte) {
	x.Helper()
	key, err := x509.ParsePKCS8PrivateKey(private)
	check(x, err)
	if der := must(x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public()))(x); !bytes.Equal(der, public) {
		x.Errorf("the public key of a pair is not that of its private key")
	}
}

// publicKey creates a key, and returns its ARN and its public key, of which GetPublicKey must tell what it is for.
func (x *walk) publicKey(spec, usage, algorithms string, want ...string) (arn string, der []byte) {
	x.Helper()
	arn = x.create(members{"KeySpec": spec, "KeyUsage": usage})
	out := x.do("GetPublicKey", members{"KeyId": arn})
	x.has(out, members{"KeyId": arn, "KeySpec": spec, "KeyUsage": usage})
	// A library shows no members that are newer than it.
	x.has(x.there("GetPublicKey", members{"KeyId": arn}), members{"PublicKey": out["PublicKey"], algorithms: want})
	x.has(x.there("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"KeySpec": spec, "KeyUsage": usage, algorithms: want})
	x.has(x.do("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"KeySpec": spec, "KeyUsage": usage})
	return arn, out.blob("PublicKey")
}

// signatures are verified by the service, and by implementations that know nothing of it.
func (x *walk) signatures() {
	message := []byte("order 4242")
	pss, pkcs1 := []string{"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"}, []string{"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512"}
	digest256, digest512 := sha256.Sum256(message), sha512.Sum512(message)
	for _, c := range []struct {
		spec       string
		algorithms []string
		use        string // one of them
		digest     []byte // nil: the message itself
		valid      func(public, signature []byte) bool
	}{
		{"RSA_2048", append(pss, pkcs1...), "RSASSA_PSS_SHA_512", nil, func(public, signature []byte) bool {
			return rsa.VerifyPSS(parsed[*rsa.PublicKey](x, public), crypto.SHA512, digest512[:], signature, &rsa.PSSOptions{SaltLength: 64}) == nil
		}},
		{"RSA_3072", append(pss, pkcs1...), "RSASSA_PKCS1_V1_5_SHA_256", digest256[:], func(public, signature []byte) bool {
			return rsa.VerifyPKCS1v15(parsed[*rsa.PublicKey](x, public), crypto.SHA256, digest256[:], signature) == nil
		}},
		{"ECC_NIST_P256", []string{"ECDSA_SHA_256"}, "ECDSA_SHA_256", nil, func(public, signature []byte) bool {
			return ecdsa.VerifyASN1(parsed[*ecdsa.PublicKey](x, public), digest256[:], signature)
		}},
		{"ECC_NIST_P521", []string{"ECDSA_SHA_512"}, "ECDSA_SHA_512", digest512[:], func(public, signature []byte) bool {
			return ecdsa.VerifyASN1(parsed[*ecdsa.PublicKey](x, public), digest512[:], signature)
		}},
		{"ECC_NIST_EDWARDS25519", []string{"ED25519_SHA_512", "ED25519_PH_SHA_512"}, "ED25519_SHA_512", nil, func(public, signature []byte) bool {
			return ed25519.Verify(parsed[ed25519.PublicKey](x, public), message, signature)
		}},
		{"ML_DSA_65", []string{"ML_DSA_SHAKE_256"}, "ML_DSA_SHAKE_256", nil, func(public, signature []byte) bool {
			var key mldsa65.PublicKey
			check(x, key.UnmarshalBinary(pointOf(x, public)))
			return mldsa65.Verify(&key, message, nil, signature)
		}},
	} {
		arn, public := x.publicKey(c.spec, "SIGN_VERIFY", "SigningAlgorithms", c.algorithms...)
		in := members{"KeyId": arn, "Message": message, "SigningAlgorithm": c.use}
		if c.digest != nil {
			in["Message"], in["MessageType"] = c.digest, "DIGEST"
		}
		signed := x.do("Sign", in)
		x.has(signed, members{"KeyId": arn, "SigningAlgorithm": c.use})
		signature := signed.blob("Signature")
		if !c.valid(public, signature) {
			x.Errorf("%s: the signature is not right by %s", c.spec, c.use)
		}
		in["Signature"] = signature
		verified := members{"KeyId": arn, "SigningAlgorithm": c.use, "SignatureValid": true}
		x.has(x.do("Verify", in), verified)
		x.has(x.there("Verify", in), verified)
		signature = slices.Clone(signature)
		signature[len(signature)-1] ^= 1
		in["Signature"] = signature
		x.refused("KMSInvalidSignatureException", "Verify", in)
		if c.valid(public, signature) {
			x.Errorf("%s: a wrong signature is right", c.spec)
		}
	}
}

// parsed is a public key of a kind.
func parsed[K any](t testing.TB, der []byte) K {
	t.Helper()
	key, ok := must(x509.ParsePKIXPublicKey(der))(t).(K)
	if !ok {
		t.Fatalf("the public key is not a %T", key)
	}
	return key
}

// pointOf is the key within a SubjectPublicKeyInfo.
func pointOf(t testing.TB, der []byte) []byte {
	t.Helper()
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	check(t, err)
	if len(rest) != 0 {
		t.Fatal("there is more than a public key")
	}
	return info.Key.RightAlign()
}

// macs are verified by the service alone, since the key does not leave it.
func (x *walk) macs() {
	arn := x.create(members{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"})
	x.has(x.do("DescribeKey", members{"KeyId": arn}).at("KeyMetadata"), members{"KeySpec": "HMAC_256", "MacAlgorithms": []string{"HMAC_SHA_256"}})
	in := members{"KeyId": arn, "Message": []byte("order 4242"), "MacAlgorithm": "HMAC_SHA_256"}
	out := x.do("GenerateMac", in)
	x.has(out, members{"KeyId": arn, "MacAlgorithm": "HMAC_SHA_256"})
	mac := out.blob("Mac")
	if same := x.there("GenerateMac", in).blob("Mac"); len(mac) != 32 || !hmac.Equal(mac, same) {
		x.Errorf("MACs of one message are %x and %x", mac, same)
	}
	in["Mac"] = mac
	verified := members{"KeyId": arn, "MacAlgorithm": "HMAC_SHA_256", "MacValid": true}
	x.has(x.do("VerifyMac", in), verified)
	x.has(x.there("VerifyMac", in), verified)
	in["Message"] = []byte("order 4243")
	x.refused("KMSInvalidMacException", "VerifyMac", in)
}

// agreement is between two keys of the service, and with a key of somebody else.
func (x *walk) agreement() {
	if !x.client.knows("DeriveSharedSecret") {
		x.Skip("the library does not know DeriveSharedSecret")
	}
	mine, public := x.publicKey("ECC_NIST_P384", "KEY_AGREEMENT", "KeyAgreementAlgorithms", "ECDH")
	yours, yourPublic := x.publicKey("ECC_NIST_P384", "KEY_AGREEMENT", "KeyAgreementAlgorithms", "ECDH")
	derive := func(arn string, public []byte) members {
		return members{"KeyId": arn, "PublicKey": public, "KeyAgreementAlgorithm": "ECDH"}
	}
	out := x.do("DeriveSharedSecret", derive(mine, yourPublic))
	x.has(out, members{"KeyId": mine, "KeyAgreementAlgorithm": "ECDH", "KeyOrigin": "AWS_KMS"})
	if same := x.there("DeriveSharedSecret", derive(yours, public)).blob("SharedSecret"); len(same) != 48 || !bytes.Equal(same, out.blob("SharedSecret")) {
		x.Errorf("two keys agree on %d bytes, and not on the same", len(same))
	}
	stranger := must(ecdh.P384().GenerateKey(rand.Reader))(x)
	secret := must(stranger.ECDH(must(parsed[*ecdsa.PublicKey](x, public).ECDH())(x)))(x)
	if same := x.do("DeriveSharedSecret", derive(mine, must(x509.MarshalPKIXPublicKey(stranger.PublicKey()))(x))).blob("SharedSecret"); !bytes.Equal(same, secret) {
		x.Error("a key agrees with a stranger's on something else")
	}
}

// encapsulation is by the service, and to the public key by somebody else.
func (x *walk) encapsulation() {
	if !x.client.knows("Encapsulate") {
		x.Skip("the library does not know Encapsulate")
	}
	arn, public := x.publicKey("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "EncapsulationAlgorithms", "ML_KEM")
	out := x.do("Encapsulate", members{"KeyId": arn, "EncapsulationAlgorithm": "ML_KEM"})
	x.has(out, members{"KeyId": arn, "EncapsulationAlgorithm": "ML_KEM"})
	open := func(ciphertext []byte) members {
		return members{"KeyId": arn, "EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": ciphertext}
	}
	if secret := x.there("Decapsulate", open(out.blob("SharedSecretCiphertextBlob"))).blob("SharedSecret"); len(secret) != 32 || !bytes.Equal(secret, out.blob("SharedSecret")) {
		x.Errorf("a secret of %d bytes is not found again", len(secret))
	}
	key := must(mlkem.NewEncapsulationKey768(pointOf(x, public)))(x)
	secret, ciphertext := key.Encapsulate()
	x.has(x.do("Decapsulate", open(ciphertext)), members{"KeyId": arn, "EncapsulationAlgorithm": "ML_KEM", "SharedSecret": secret})
}

// publicKeys encrypt without the service.
func (x *walk) publicKeys() {
	arn, public := x.publicKey("RSA_2048", "ENCRYPT_DECRYPT", "EncryptionAlgorithms", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
	plaintext := []byte("card 4242")
	in := members{"KeyId": arn, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
	in["CiphertextBlob"] = must(rsa.EncryptOAEP(sha256.New(), rand.Reader, parsed[*rsa.PublicKey](x, public), plaintext, nil))(x)
	x.has(x.do("Decrypt", in), members{"KeyId": arn, "Plaintext": plaintext, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"})
	in["CiphertextBlob"] = x.do("Encrypt", members{"KeyId": arn, "Plaintext": plaintext, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}).blob("CiphertextBlob")
	x.has(x.there("Decrypt", in), members{"KeyId": arn, "Plaintext": plaintext})
	in["EncryptionAlgorithm"] = "RSAES_OAEP_SHA_1"
	x.refused("InvalidCiphertextException", "Decrypt", in)
}
