package kms

import (
	"crypto"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rsa"
	_ "crypto/sha1" // of RSAES_OAEP_SHA_1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/keypair"
)

// A KeySpec says what kind of key a key is. It never changes.
type KeySpec string

// Key specs.
const (
	SymmetricDefault    KeySpec = "SYMMETRIC_DEFAULT"     // 256 bits, for authenticated encryption
	RSA2048             KeySpec = "RSA_2048"              // to encrypt or to sign
	RSA3072             KeySpec = "RSA_3072"              // to encrypt or to sign
	RSA4096             KeySpec = "RSA_4096"              // to encrypt or to sign
	ECCNISTP256         KeySpec = "ECC_NIST_P256"         // to sign or to agree
	ECCNISTP384         KeySpec = "ECC_NIST_P384"         // to sign or to agree
	ECCNISTP521         KeySpec = "ECC_NIST_P521"         // to sign or to agree
	ECCSECGP256K1       KeySpec = "ECC_SECG_P256K1"       // secp256k1, to sign
	ECCNISTEdwards25519 KeySpec = "ECC_NIST_EDWARDS25519" // Ed25519, to sign
	MLDSA44             KeySpec = "ML_DSA_44"             // to sign
	MLDSA65             KeySpec = "ML_DSA_65"             // to sign
	MLDSA87             KeySpec = "ML_DSA_87"             // to sign
	MLKEM512            KeySpec = "ML_KEM_512"            // to encapsulate
	MLKEM768            KeySpec = "ML_KEM_768"            // to encapsulate
	MLKEM1024           KeySpec = "ML_KEM_1024"           // to encapsulate
	HMAC224             KeySpec = "HMAC_224"              // to authenticate
	HMAC256             KeySpec = "HMAC_256"              // to authenticate
	HMAC384             KeySpec = "HMAC_384"              // to authenticate
	HMAC512             KeySpec = "HMAC_512"              // to authenticate
	SM2                 KeySpec = "SM2"                   // of AWS KMS in China; always [ErrUnsupportedOperation] here
)

// A KeyUsage says what a key is for. It never changes.
type KeyUsage string

// Key usages.
const (
	SignVerify             KeyUsage = "SIGN_VERIFY"             // Sign, Verify
	EncryptDecrypt         KeyUsage = "ENCRYPT_DECRYPT"         // Encrypt, Decrypt, ReEncrypt; under symmetric keys, data keys and key pairs as well
	GenerateVerifyMac      KeyUsage = "GENERATE_VERIFY_MAC"     // GenerateMac, VerifyMac
	KeyAgreement           KeyUsage = "KEY_AGREEMENT"           // DeriveSharedSecret
	EncapsulateDecapsulate KeyUsage = "ENCAPSULATE_DECAPSULATE" // Encapsulate, Decapsulate
)

// An Algorithm names what a key does with its material. Which ones a key has follows from its spec and its usage; [KeyMetadata] and [PublicKey] list them.
type Algorithm string

// Encryption algorithms.
const (
	AlgorithmSymmetricDefault Algorithm = "SYMMETRIC_DEFAULT"  // AES-256-GCM under a derived key; docs/format.md
	AlgorithmRSAESOAEPSHA1    Algorithm = "RSAES_OAEP_SHA_1"   // RFC 8017, section 7.1, with MGF1 of the same hash and an empty label
	AlgorithmRSAESOAEPSHA256  Algorithm = "RSAES_OAEP_SHA_256" // the same
	AlgorithmSM2PKE           Algorithm = "SM2PKE"             // no key can
)

// Signing algorithms. RSA keys have all of RSA's, and all other keys those that name their spec here.
const (
	AlgorithmRSASSAPSSSHA256      Algorithm = "RSASSA_PSS_SHA_256" // RFC 8017, section 8.1, with MGF1 of the same hash and a salt as long as it
	AlgorithmRSASSAPSSSHA384      Algorithm = "RSASSA_PSS_SHA_384"
	AlgorithmRSASSAPSSSHA512      Algorithm = "RSASSA_PSS_SHA_512"
	AlgorithmRSASSAPKCS1V15SHA256 Algorithm = "RSASSA_PKCS1_V1_5_SHA_256" // RFC 8017, section 8.2
	AlgorithmRSASSAPKCS1V15SHA384 Algorithm = "RSASSA_PKCS1_V1_5_SHA_384"
	AlgorithmRSASSAPKCS1V15SHA512 Algorithm = "RSASSA_PKCS1_V1_5_SHA_512"
	AlgorithmECDSASHA256          Algorithm = "ECDSA_SHA_256"      // of ECC_NIST_P256 and ECC_SECG_P256K1: FIPS 186-5, hedged; in DER (RFC 3279, section 2.2.3)
	AlgorithmECDSASHA384          Algorithm = "ECDSA_SHA_384"      // of ECC_NIST_P384
	AlgorithmECDSASHA512          Algorithm = "ECDSA_SHA_512"      // of ECC_NIST_P521
	AlgorithmED25519SHA512        Algorithm = "ED25519_SHA_512"    // of ECC_NIST_EDWARDS25519: Ed25519 (RFC 8032, section 5.1), of messages only
	AlgorithmED25519PHSHA512      Algorithm = "ED25519_PH_SHA_512" // the same key's Ed25519ph of a digest: what it signs is the SHA-512 hash, hashed once more
	AlgorithmMLDSASHAKE256        Algorithm = "ML_DSA_SHAKE_256"   // of every ML_DSA spec: FIPS 204, hedged, with an empty context
	AlgorithmSM2DSA               Algorithm = "SM2DSA"             // no key can
)

// MAC algorithms: HMAC (RFC 2104), in full length. An HMAC key has the one with the number of its spec.
const (
	AlgorithmHMACSHA224 Algorithm = "HMAC_SHA_224"
	AlgorithmHMACSHA256 Algorithm = "HMAC_SHA_256"
	AlgorithmHMACSHA384 Algorithm = "HMAC_SHA_384"
	AlgorithmHMACSHA512 Algorithm = "HMAC_SHA_512"
)

// Algorithms to share a secret.
const (
	AlgorithmECDH  Algorithm = "ECDH"   // NIST SP 800-56A, section 5.7.1.2
	AlgorithmMLKEM Algorithm = "ML_KEM" // FIPS 203
)

// An Origin says where key material comes from. It never changes.
type Origin string

// Origins.
const (
	OriginAWSKMS Origin = "AWS_KMS" // generated by the keyring; the name is the one AWS KMS clients know
)

// A KeyManager says who manages a key.
type KeyManager string

// Key managers.
const (
	ManagerCustomer KeyManager = "CUSTOMER" // a customer managed key
	ManagerAWS      KeyManager = "AWS"      // a service managed key; see [Keyring.ServiceKey]
)

// A KeyState says what a key can be used for.
type KeyState string

// Key states.
const (
	Enabled         KeyState = "Enabled"
	Disabled        KeyState = "Disabled"
	PendingDeletion KeyState = "PendingDeletion"
)

// A specification is what is known of a key spec. Its material is a key pair, or so many bytes.
type specification struct {
	name     KeySpec
	usages   map[KeyUsage][]Algorithm
	pair     keypair.Kind
	length   int // of material that is bytes
	modulus  int // of RSA, in bytes
	kind     kind
	dataKeys bool // it is one of data key pairs
}

// A kind is what an alias keeps to when it moves.
type kind uint8

const (
	noKind kind = iota
	symmetricKind
	asymmetricKind
	macKind
)

var (
	rsaUsages = map[KeyUsage][]Algorithm{
		EncryptDecrypt: {AlgorithmRSAESOAEPSHA1, AlgorithmRSAESOAEPSHA256},
		SignVerify: {AlgorithmRSASSAPSSSHA256, AlgorithmRSASSAPSSSHA384, AlgorithmRSASSAPSSSHA512,
			AlgorithmRSASSAPKCS1V15SHA256, AlgorithmRSASSAPKCS1V15SHA384, AlgorithmRSASSAPKCS1V15SHA512},
	}
	mldsaUsages = map[KeyUsage][]Algorithm{SignVerify: {AlgorithmMLDSASHAKE256}}
	mlkemUsages = map[KeyUsage][]Algorithm{EncapsulateDecapsulate: {AlgorithmMLKEM}}
)

func curveUsages(signing Algorithm) map[KeyUsage][]Algorithm {
	return map[KeyUsage][]Algorithm{SignVerify: {signing}, KeyAgreement: {AlgorithmECDH}}
}

// specifications are all key specs that have a name. They drive what is accepted, what is documented, and the tests.
var specifications = []*specification{
	{name: SymmetricDefault, kind: symmetricKind, length: 32, usages: map[KeyUsage][]Algorithm{EncryptDecrypt: {AlgorithmSymmetricDefault}}},
	{name: RSA2048, kind: asymmetricKind, pair: keypair.RSA(2048), modulus: 256, usages: rsaUsages, dataKeys: true},
	{name: RSA3072, kind: asymmetricKind, pair: keypair.RSA(3072), modulus: 384, usages: rsaUsages, dataKeys: true},
	{name: RSA4096, kind: asymmetricKind, pair: keypair.RSA(4096), modulus: 512, usages: rsaUsages, dataKeys: true},
	{name: ECCNISTP256, kind: asymmetricKind, pair: keypair.P256, usages: curveUsages(AlgorithmECDSASHA256), dataKeys: true},
	{name: ECCNISTP384, kind: asymmetricKind, pair: keypair.P384, usages: curveUsages(AlgorithmECDSASHA384), dataKeys: true},
	{name: ECCNISTP521, kind: asymmetricKind, pair: keypair.P521, usages: curveUsages(AlgorithmECDSASHA512), dataKeys: true},
	{name: ECCSECGP256K1, kind: asymmetricKind, pair: keypair.Secp256k1, usages: map[KeyUsage][]Algorithm{SignVerify: {AlgorithmECDSASHA256}}, dataKeys: true},
	{name: ECCNISTEdwards25519, kind: asymmetricKind, pair: keypair.Ed25519, dataKeys: true,
		usages: map[KeyUsage][]Algorithm{SignVerify: {AlgorithmED25519SHA512, AlgorithmED25519PHSHA512}}},
	{name: MLDSA44, kind: asymmetricKind, pair: keypair.MLDSA44, usages: mldsaUsages},
	{name: MLDSA65, kind: asymmetricKind, pair: keypair.MLDSA65, usages: mldsaUsages},
	{name: MLDSA87, kind: asymmetricKind, pair: keypair.MLDSA87, usages: mldsaUsages},
	{name: MLKEM512, kind: asymmetricKind, pair: keypair.MLKEM512, usages: mlkemUsages, dataKeys: true},
	{name: MLKEM768, kind: asymmetricKind, pair: keypair.MLKEM768, usages: mlkemUsages, dataKeys: true},
	{name: MLKEM1024, kind: asymmetricKind, pair: keypair.MLKEM1024, usages: mlkemUsages, dataKeys: true},
	{name: HMAC224, kind: macKind, length: 28, usages: map[KeyUsage][]Algorithm{GenerateVerifyMac: {AlgorithmHMACSHA224}}},
	{name: HMAC256, kind: macKind, length: 32, usages: map[KeyUsage][]Algorithm{GenerateVerifyMac: {AlgorithmHMACSHA256}}},
	{name: HMAC384, kind: macKind, length: 48, usages: map[KeyUsage][]Algorithm{GenerateVerifyMac: {AlgorithmHMACSHA384}}},
	{name: HMAC512, kind: macKind, length: 64, usages: map[KeyUsage][]Algorithm{GenerateVerifyMac: {AlgorithmHMACSHA512}}},
	{name: SM2, dataKeys: true, usages: map[KeyUsage][]Algorithm{
		EncryptDecrypt: {AlgorithmSM2PKE}, SignVerify: {AlgorithmSM2DSA}, KeyAgreement: {AlgorithmECDH}}},
}

// specification is what is known of a spec: nothing, if it has no name here.
func (s KeySpec) specification() *specification {
	for _, known := range specifications {
		if known.name == s {
			return known
		}
	}
	return &noSpecification
}

var noSpecification specification

var keyUsages = []KeyUsage{SignVerify, EncryptDecrypt, GenerateVerifyMac, KeyAgreement, EncapsulateDecapsulate}

// algorithms are the algorithms of each usage, each once.
var algorithms = func() map[KeyUsage][]Algorithm {
	all := make(map[KeyUsage][]Algorithm)
	for _, s := range specifications {
		for usage, of := range s.usages {
			for _, a := range of {
				if !slices.Contains(all[usage], a) {
					all[usage] = append(all[usage], a)
				}
			}
		}
	}
	return all
}()

// specs are the names of specifications.
func specs(of func(*specification) bool) []KeySpec {
	var names []KeySpec
	for _, s := range specifications {
		if of(s) {
			names = append(names, s.name)
		}
	}
	return names
}

// refusal says why a key of a spec cannot be made, or used with an algorithm: nothing here can, or nothing that the program is confined to.
func (s *specification) refusal(a Algorithm) error {
	switch {
	case s.kind == noKind:
		return faultf(ErrUnsupportedOperation, "Key spec %s is not supported.", s.name)
	case s.pair == nil:
		return nil
	case !s.pair.Approved() && fips140.Enforced():
		return faultf(ErrUnsupportedOperation, "Key spec %s is not within the FIPS 140-3 module, which this program is confined to.", s.name)
	case a == AlgorithmRSAESOAEPSHA1 && fips140.Enforced():
		return faultf(ErrUnsupportedOperation, "Algorithm %s is not within the FIPS 140-3 module, which this program is confined to.", a)
	}
	return nil
}

// A scheme is what is known of an algorithm that hashes.
type scheme struct {
	hash     crypto.Hash // of OAEP and HMAC
	messages map[MessageType]signing
}

// A signing is how a message of one type is signed.
type signing struct {
	hash   crypto.Hash // of the message, first; none if what is signed is the message itself
	length int         // that the message must have; zero for any
	opts   crypto.SignerOpts
}

var schemes = map[Algorithm]scheme{
	AlgorithmRSAESOAEPSHA1:   {hash: crypto.SHA1},
	AlgorithmRSAESOAEPSHA256: {hash: crypto.SHA256},

	AlgorithmRSASSAPSSSHA256:      hashed(crypto.SHA256, pss(crypto.SHA256)),
	AlgorithmRSASSAPSSSHA384:      hashed(crypto.SHA384, pss(crypto.SHA384)),
	AlgorithmRSASSAPSSSHA512:      hashed(crypto.SHA512, pss(crypto.SHA512)),
	AlgorithmRSASSAPKCS1V15SHA256: hashed(crypto.SHA256, crypto.SHA256),
	AlgorithmRSASSAPKCS1V15SHA384: hashed(crypto.SHA384, crypto.SHA384),
	AlgorithmRSASSAPKCS1V15SHA512: hashed(crypto.SHA512, crypto.SHA512),
	AlgorithmECDSASHA256:          hashed(crypto.SHA256, crypto.SHA256),
	AlgorithmECDSASHA384:          hashed(crypto.SHA384, crypto.SHA384),
	AlgorithmECDSASHA512:          hashed(crypto.SHA512, crypto.SHA512),
	AlgorithmED25519SHA512:        {messages: map[MessageType]signing{MessageRaw: {opts: crypto.Hash(0)}}},
	AlgorithmED25519PHSHA512: {messages: map[MessageType]signing{ // the digest is the message that Ed25519ph hashes
		MessageDigest: {length: crypto.SHA512.Size(), hash: crypto.SHA512, opts: &ed25519.Options{Hash: crypto.SHA512}}}},
	AlgorithmMLDSASHAKE256: {messages: map[MessageType]signing{
		MessageRaw: {opts: crypto.Hash(0)}, MessageExternalMu: {length: 64, opts: keypair.ExternalMu}}},
	AlgorithmSM2DSA: {messages: map[MessageType]signing{MessageRaw: {}, MessageDigest: {length: 32}}},

	AlgorithmHMACSHA224: {hash: crypto.SHA224},
	AlgorithmHMACSHA256: {hash: crypto.SHA256},
	AlgorithmHMACSHA384: {hash: crypto.SHA384},
	AlgorithmHMACSHA512: {hash: crypto.SHA512},
}

// hashed signs the digest of a message, or a digest.
func hashed(hash crypto.Hash, opts crypto.SignerOpts) scheme {
	return scheme{messages: map[MessageType]signing{MessageRaw: {hash: hash, opts: opts}, MessageDigest: {length: hash.Size(), opts: opts}}}
}

func pss(hash crypto.Hash) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
}

// checkEnum requires one of some names.
func checkEnum[T ~string](v *violations, member string, got T, allowed []T) bool {
	if slices.Contains(allowed, got) {
		return true
	}
	v.add(member, printable(string(got)), "satisfy enum value set: ["+strings.Join(texts(allowed), ", ")+"]")
	return false
}

func texts[T ~string](names []T) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}
