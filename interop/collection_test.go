package interop

import (
	"crypto"
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/claviger/kms/internal/keypair"
)

// A run is a file of the collection with what runs it, and how many of its cases must pass, may go either way, and are inapplicable: none may move from one to another
// unseen.
type run struct {
	file                             string
	suite                            suite
	passed, acceptable, inapplicable int
}

// families are the files that are run.
var families = []struct {
	name string
	runs []run
}{
	{"RSAES-OAEP", []run{
		{"rsa_oaep_2048_sha1_mgf1sha1", oaep, 29, 0, 7},
		{"rsa_oaep_2048_sha256_mgf1sha1", oaep, 0, 0, 31},
		{"rsa_oaep_2048_sha256_mgf1sha256", oaep, 29, 0, 8},
		{"rsa_oaep_3072_sha256_mgf1sha1", oaep, 0, 0, 32},
		{"rsa_oaep_3072_sha256_mgf1sha256", oaep, 29, 0, 8},
		{"rsa_oaep_4096_sha256_mgf1sha1", oaep, 0, 0, 32},
		{"rsa_oaep_4096_sha256_mgf1sha256", oaep, 29, 0, 8},
		{"rsa_oaep_misc", oaep, 18, 0, 377},
		{"rsa_three_primes_oaep_2048_sha1_mgf1sha1", threePrimes, 0, 0, 36},
		{"rsa_three_primes_oaep_3072_sha224_mgf1sha224", threePrimes, 0, 0, 38},
		{"rsa_three_primes_oaep_4096_sha256_mgf1sha256", threePrimes, 0, 0, 36},
	}},
	{"RSASSA-PSS", []run{
		{"rsa_pss_2048_sha256_mgf1_0", pss, 0, 0, 103},
		{"rsa_pss_2048_sha256_mgf1_0_params", pss, 0, 0, 103},
		{"rsa_pss_2048_sha256_mgf1_32", pss, 108, 0, 0},
		{"rsa_pss_2048_sha256_mgf1_32_params", pss, 108, 0, 0},
		{"rsa_pss_2048_sha256_mgf1sha1_20", pss, 0, 0, 108},
		{"rsa_pss_2048_sha384_mgf1_48", pss, 141, 0, 0},
		{"rsa_pss_2048_sha512_mgf1sha256_32_params", pss, 0, 0, 178},
		{"rsa_pss_3072_sha256_mgf1_32", pss, 108, 0, 0},
		{"rsa_pss_3072_sha256_mgf1_32_params", pss, 108, 0, 0},
		{"rsa_pss_4096_sha256_mgf1_32", pss, 108, 0, 0},
		{"rsa_pss_4096_sha384_mgf1_48", pss, 141, 0, 0},
		{"rsa_pss_4096_sha512_mgf1_32", pss, 0, 0, 177},
		{"rsa_pss_4096_sha512_mgf1_32_params", pss, 0, 0, 177},
		{"rsa_pss_4096_sha512_mgf1_64", pss, 179, 0, 0},
		{"rsa_pss_4096_sha512_mgf1_64_params", pss, 179, 0, 0},
		{"rsa_pss_misc", pss, 3, 0, 147},
		{"rsa_pss_misc_params", pss, 3, 0, 147},
	}},
	{"RSASSA-PKCS1-v1_5", []run{
		{"rsa_signature_2048_sha256", pkcs1Verify, 258, 1, 0},
		{"rsa_signature_2048_sha384", pkcs1Verify, 257, 1, 0},
		{"rsa_signature_2048_sha512", pkcs1Verify, 258, 1, 0},
		{"rsa_signature_3072_sha256", pkcs1Verify, 258, 1, 0},
		{"rsa_signature_3072_sha384", pkcs1Verify, 258, 1, 0},
		{"rsa_signature_3072_sha512", pkcs1Verify, 259, 1, 0},
		{"rsa_signature_4096_sha256", pkcs1Verify, 257, 1, 0},
		{"rsa_signature_4096_sha384", pkcs1Verify, 258, 1, 0},
		{"rsa_signature_4096_sha512", pkcs1Verify, 258, 1, 0},
		{"rsa_signature_8192_sha256", pkcs1Verify, 0, 0, 258},
		{"rsa_signature_8192_sha384", pkcs1Verify, 0, 0, 259},
		{"rsa_signature_8192_sha512", pkcs1Verify, 0, 0, 259},
		{"rsa_pkcs1_1024_sig_gen", pkcs1Sign, 0, 0, 33},
		{"rsa_pkcs1_1536_sig_gen", pkcs1Sign, 0, 0, 32},
		{"rsa_pkcs1_2048_sig_gen", pkcs1Sign, 24, 3, 16},
		{"rsa_pkcs1_3072_sig_gen", pkcs1Sign, 24, 2, 0},
		{"rsa_pkcs1_4096_sig_gen", pkcs1Sign, 24, 0, 0},
	}},
	{"ECDSA", []run{
		{"ecdsa_secp256r1_sha256", ecdsa(keypair.P256, crypto.SHA256), 484, 0, 0},
		{"ecdsa_secp384r1_sha384", ecdsa(keypair.P384, crypto.SHA384), 504, 0, 0},
		{"ecdsa_secp521r1_sha512", ecdsa(keypair.P521, crypto.SHA512), 542, 0, 0},
		{"ecdsa_secp256k1_sha256", ecdsa(keypair.Secp256k1, crypto.SHA256), 476, 0, 0},
		{"ecdsa_secp256k1_sha256_bitcoin", ecdsa(keypair.Secp256k1, crypto.SHA256), 461, 0, 2},
	}},
	{"ECDH", []run{
		{"ecdh_secp256r1", ecdhP256, 382, 230, 0},
		{"ecdh_secp256r1_ecpoint", ecdhP256, 354, 1, 0},
		{"ecdh_secp256r1_pem", ecdhP256, 382, 230, 0},
		{"ecdh_secp256r1_webcrypto", ecdhP256, 353, 0, 0},
		{"ecdh_secp384r1", ecdhP384, 817, 230, 0},
		{"ecdh_secp384r1_ecpoint", ecdhP384, 789, 1, 0},
		{"ecdh_secp384r1_pem", ecdhP384, 817, 230, 0},
		{"ecdh_secp384r1_webcrypto", ecdhP384, 794, 0, 0},
		{"ecdh_secp521r1", ecdhP521, 688, 228, 0},
		{"ecdh_secp521r1_ecpoint", ecdhP521, 660, 1, 0},
		{"ecdh_secp521r1_pem", ecdhP521, 688, 228, 0},
		{"ecdh_secp521r1_webcrypto", ecdhP521, 655, 0, 0},
	}},
	{"Ed25519", []run{
		{"ed25519", ed25519, 151, 0, 0},
	}},
	{"ML-DSA", []run{
		{"mldsa_44_verify", mldsaVerify(keypair.MLDSA44, 17), 175, 0, 5},
		{"mldsa_44_sign_seed", mldsaSign(keypair.MLDSA44, 17), 85, 0, 1},
		{"mldsa_65_verify", mldsaVerify(keypair.MLDSA65, 18), 205, 0, 5},
		{"mldsa_65_sign_seed", mldsaSign(keypair.MLDSA65, 18), 104, 0, 1},
		{"mldsa_87_verify", mldsaVerify(keypair.MLDSA87, 19), 236, 0, 5},
		{"mldsa_87_sign_seed", mldsaSign(keypair.MLDSA87, 19), 95, 0, 1},
	}},
	{"ML-KEM", []run{
		{"mlkem_512", mlkemDecapsulate(keypair.MLKEM512, 1), 200, 0, 0},
		{"mlkem_512_keygen_seed", mlkemDecapsulate(keypair.MLKEM512, 1), 100, 0, 0},
		{"mlkem_512_encaps", mlkemEncapsulate(keypair.MLKEM512, 1, encapsulate512), 261, 0, 0},
		{"mlkem_768", mlkemDecapsulate(keypair.MLKEM768, 2), 201, 0, 0},
		{"mlkem_768_keygen_seed", mlkemDecapsulate(keypair.MLKEM768, 2), 100, 0, 0},
		{"mlkem_768_encaps", mlkemEncapsulate(keypair.MLKEM768, 2, encapsulate768), 265, 0, 0},
		{"mlkem_1024", mlkemDecapsulate(keypair.MLKEM1024, 3), 202, 0, 0},
		{"mlkem_1024_keygen_seed", mlkemDecapsulate(keypair.MLKEM1024, 3), 100, 0, 0},
		{"mlkem_1024_encaps", mlkemEncapsulate(keypair.MLKEM1024, 3, encapsulate1024), 269, 0, 0},
	}},
	{"HMAC", []run{
		{"hmac_sha224", mac(crypto.SHA224), 84, 0, 88},
		{"hmac_sha256", mac(crypto.SHA256), 84, 0, 90},
		{"hmac_sha384", mac(crypto.SHA384), 84, 0, 90},
		{"hmac_sha512", mac(crypto.SHA512), 84, 0, 90},
	}},
	{"AES-GCM", []run{
		{"aes_gcm", gcm, 66, 0, 250},
	}},
	{"AES-KWP", []run{
		{"aes_kwp", kwp, 86, 0, 168},
	}},
	{"HKDF", []run{
		{"hkdf_sha256", derivation, 86, 0, 0},
	}},
}

// unused are the files, by pattern, that no suite runs, and why: what they are about is nothing that AWS KMS and with it a key of the ring does.
var unused = []struct{ pattern, reason string }{
	{"rsa_oaep_2048_sha224_mgf1sha*", "OAEP with another hash than SHA-1 and SHA-256"},
	{"rsa_oaep_2048_sha384_mgf1sha*", "OAEP with another hash than SHA-1 and SHA-256"},
	{"rsa_oaep_*_sha512_*", "OAEP with another hash than SHA-1 and SHA-256"},
	{"rsa_pkcs1_????", "encryption by PKCS #1 v1.5, which no key does"},
	{"rsa_pss_2048_sha1_mgf1_20*", "RSA signatures with another hash than SHA-256, SHA-384 and SHA-512"},
	{"rsa_pss_2048_sha512_2??_mgf1_*", "RSA signatures with another hash than SHA-256, SHA-384 and SHA-512"},
	{"rsa_pss_????_shake*", "RSA signatures with another hash than SHA-256, SHA-384 and SHA-512"},
	{"rsa_signature_????_sha224", "RSA signatures with another hash than SHA-256, SHA-384 and SHA-512"},
	{"rsa_signature_????_sha3_*", "RSA signatures with another hash than SHA-256, SHA-384 and SHA-512"},
	{"rsa_signature_????_sha512_*", "RSA signatures with another hash than SHA-256, SHA-384 and SHA-512"},

	{"ecdsa_*_p1363", "signatures in the form of IEEE P1363: those of keys are in DER"},
	{"ecdsa_brainpoolP???r1_sha???", "a curve that no key has"},
	{"ecdsa_brainpoolP???r1_sha3_???", "a curve that no key has"},
	{"ecdsa_secp160??_sha256", "a curve that no key has"},
	{"ecdsa_secp192??_sha256", "a curve that no key has"},
	{"ecdsa_secp224??_sha???", "a curve that no key has"},
	{"ecdsa_secp224??_sha3_???", "a curve that no key has"},
	{"ecdsa_secp224??_shake128", "a curve that no key has"},
	{"ecdsa_secp256k1_sha512", "a curve with another hash than its keys have"},
	{"ecdsa_secp256r1_sha512", "a curve with another hash than its keys have"},
	{"ecdsa_secp384r1_sha256", "a curve with another hash than its keys have"},
	{"ecdsa_secp384r1_sha512", "a curve with another hash than its keys have"},
	{"ecdsa_secp256?1_sha3_???", "a curve with another hash than its keys have"},
	{"ecdsa_secp256?1_shake???", "a curve with another hash than its keys have"},
	{"ecdsa_secp384r1_sha3_???", "a curve with another hash than its keys have"},
	{"ecdsa_secp384r1_shake256", "a curve with another hash than its keys have"},
	{"ecdsa_secp521r1_sha3_512", "a curve with another hash than its keys have"},
	{"ecdsa_secp521r1_shake256", "a curve with another hash than its keys have"},
	{"ecdh_brainpoolP???r1", "a curve that no key has"},
	{"ecdh_secp224r1*", "a curve that no key has"},
	{"ecdh_sect???[rk]1", "a curve that no key has"},
	{"ecdh_secp256k1*", "agreement over secp256k1, whose keys sign only"},
	{"ed448", "a curve that no key has"},
	{"x25519*", "a curve that no key has"},
	{"x448*", "a curve that no key has"},

	{"mldsa_??_sign_noseed", "private keys as they are expanded: those of the ring are seeds"},
	{"mlkem_*_semi_expanded_decaps", "private keys as they are expanded: those of the ring are seeds"},

	{"hmac_sha1", "HMAC with another hash than SHA-224, SHA-256, SHA-384 and SHA-512"},
	{"hmac_sha3_???", "HMAC with another hash than SHA-224, SHA-256, SHA-384 and SHA-512"},
	{"hmac_sha512_???", "HMAC with another hash than SHA-224, SHA-256, SHA-384 and SHA-512"},
	{"hmac_sm3", "HMAC with another hash than SHA-224, SHA-256, SHA-384 and SHA-512"},
	{"hkdf_sha1", "HKDF with another hash than SHA-256"},
	{"hkdf_sha384", "HKDF with another hash than SHA-256"},
	{"hkdf_sha512", "HKDF with another hash than SHA-256"},
	{"aes_gcm_siv", "another mode of AES"},
	{"aes_gmac", "another mode of AES"},
	{"aes_wrap", "key wrapping without padding"},

	{"a???cbc_hs*", "another cipher"},
	{"aead_aes_siv_cmac", "another cipher"},
	{"aegis*", "another cipher"},
	{"aes_cbc_pkcs5", "another cipher"},
	{"aes_ccm", "another cipher"},
	{"aes_cmac", "another cipher"},
	{"aes_eax", "another cipher"},
	{"aes_ff1_*", "another cipher"},
	{"aes_siv_cmac", "another cipher"},
	{"aes_xts", "another cipher"},
	{"aria_*", "another cipher"},
	{"ascon*", "another cipher"},
	{"c2sp_chunked_encryption_*", "another cipher"},
	{"camellia_*", "another cipher"},
	{"*chacha20_poly1305", "another cipher"},
	{"morus*", "another cipher"},
	{"seed_*", "another cipher"},
	{"sm4_*", "another cipher"},
	{"bls_*", "another kind of signature"},
	{"dsa_*", "another kind of signature"},
	{"kmac*", "another MAC"},
	{"siphash*", "another MAC"},
	{"vmac_*", "another MAC"},
	{"pbes2_*", "another derivation"},
	{"pbkdf2_*", "another derivation"},
	{"json_web_*", "JSON Web Tokens and their kin"},
	{"ec_prime_order_curves", "parameters of curves"},
	{"primality", "tests of numbers for being prime"},
}

const suffix = "_test.json"

func files(t *testing.T) []string {
	names, err := fs.Glob(wycheproof.TestVectors, "*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no collection: %v", err)
	}
	for i, name := range names {
		var found bool
		if names[i], found = strings.CutSuffix(name, suffix); !found {
			t.Errorf("%s is no file of vectors", name)
		}
	}
	return names
}

func read(t *testing.T, name string) []byte {
	content, err := fs.ReadFile(wycheproof.TestVectors, name+suffix)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestEveryFileIsRunOrNamed: each file of the collection is run, or it is said why not, in one place.
func TestEveryFileIsRunOrNamed(t *testing.T) {
	runs := map[string]int{}
	for _, f := range families {
		for _, r := range f.runs {
			runs[r.file]++
		}
	}
	matched := map[string]bool{}
	unusedFiles, unusedCases := map[string]int{}, map[string]int{}
	names := files(t)
	for _, name := range names {
		places := runs[name]
		delete(runs, name)
		for _, u := range unused {
			found, err := path.Match(u.pattern, name)
			if err != nil {
				t.Fatal(err)
			}
			if !found {
				continue
			}
			matched[u.pattern] = true
			places++
			var content struct{ NumberOfTests int }
			if err := json.Unmarshal(read(t, name), &content); err != nil {
				t.Fatal(err)
			}
			unusedFiles[u.reason]++
			unusedCases[u.reason] += content.NumberOfTests
		}
		if places != 1 {
			t.Errorf("%s is said in %d places to be run or not to be, and must be in one", name, places)
		}
	}
	for name := range runs {
		t.Errorf("%s is no file of the collection", name)
	}
	for _, u := range unused {
		if !matched[u.pattern] {
			t.Errorf("%s is no file of the collection", u.pattern)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(unusedFiles)) {
		t.Logf("not run: %d files, %d cases: %s", unusedFiles[reason], unusedCases[reason], reason)
	}
	t.Logf("%d files in all", len(names))
}

func TestVectors(t *testing.T) {
	tallies := make([][]*tally, len(families))
	t.Run("file", func(t *testing.T) {
		for i, f := range families {
			tallies[i] = make([]*tally, len(f.runs))
			for j, r := range f.runs {
				t.Run(r.file, func(t *testing.T) {
					t.Parallel()
					result, err := r.suite(read(t, r.file))
					if err != nil {
						t.Fatal(err)
					}
					tallies[i][j] = result
					t.Logf("%s: %v", r.file, result)
					for _, failed := range result.failed {
						t.Error(failed)
					}
					if acceptable := result.taken + result.declined; result.passed != r.passed || acceptable != r.acceptable || result.excluded() != r.inapplicable {
						t.Errorf("%d passed, %d acceptable, %d inapplicable; want %d, %d and %d", result.passed, acceptable, result.excluded(), r.passed, r.acceptable, r.inapplicable)
					}
				})
			}
		}
	})
	if t.Failed() {
		return
	}
	total := newTally()
	for i, f := range families {
		sum := newTally()
		for _, result := range tallies[i] {
			if result != nil { // else -run left the file out
				sum.add(result)
			}
		}
		t.Logf("%s: %v", f.name, sum)
		total.add(sum)
	}
	t.Logf("in all: %v", total)
}
