package kms_test

import (
	"bytes"
	"crypto"
	"crypto/mlkem"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"

	"filippo.io/mldsa"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/keystore"
)

const frozenKinds = "testdata/kinds1.json"

// A frozenKind is a key of a frozen ring with something that it made, in hex.
type frozenKind struct {
	KeyARN    string
	Spec      kms.KeySpec
	Usage     kms.KeyUsage
	Algorithm kms.Algorithm
	PublicKey string `json:",omitempty"`
	Product   string // a signature or MAC of frozenMessage, a ciphertext, or of an agreement with itself the secret
	Secret    string `json:",omitempty"` // that a ciphertext encapsulates
}

type frozenKindsVector struct {
	frozenVector
	Kinds []frozenKind
}

var frozenMessage = bytes.Repeat([]byte{7}, 64)

// signed is frozenMessage as an algorithm takes it.
func signed(a kms.Algorithm) kms.Message {
	if a == kms.AlgorithmED25519PHSHA512 {
		return kms.Digest(frozenMessage)
	}
	return kms.Raw(frozenMessage)
}

func makeFrozenKinds(t *testing.T) (v frozenKindsVector) {
	rootKey := bytes.Repeat([]byte{0x6e}, 32)
	f := open(t, func(c *kms.Config) { c.Root = newGCMRoot(t, rootKey) })
	v.RootKey, v.RingID = hex.EncodeToString(rootKey), f.ID()
	for _, k := range kindsOfKeys {
		if k.spec == kms.RSA3072 || k.spec == kms.RSA4096 {
			continue
		}
		kind := frozenKind{KeyARN: f.of(k.spec, k.usage), Spec: k.spec, Usage: k.usage, Algorithm: k.algorithms[len(k.algorithms)-1]}
		var product []byte
		switch k.usage {
		case kms.SignVerify:
			product = must(f.Sign(t.Context(), kind.KeyARN, signed(kind.Algorithm), kind.Algorithm))(t).Signature
		case kms.GenerateVerifyMac:
			product = must(f.GenerateMac(t.Context(), kind.KeyARN, frozenMessage, kind.Algorithm))(t).Mac
		case kms.KeyAgreement:
			product = must(f.DeriveSharedSecret(t.Context(), kind.KeyARN, must(f.GetPublicKey(t.Context(), kind.KeyARN))(t).DER))(t).Secret()
		case kms.EncapsulateDecapsulate:
			res := must(f.Encapsulate(t.Context(), kind.KeyARN))(t)
			product, kind.Secret = res.Ciphertext, hex.EncodeToString(res.Secret())
		default:
			product = must(f.Encrypt(t.Context(), kind.KeyARN, frozenMessage, nil, kms.WithAlgorithm(kind.Algorithm)))(t).Ciphertext
		}
		kind.Product = hex.EncodeToString(product)
		if public, err := f.GetPublicKey(t.Context(), kind.KeyARN); err == nil {
			kind.PublicKey = hex.EncodeToString(public.DER)
		}
		v.Kinds = append(v.Kinds, kind)
	}
	for _, item := range must(f.store.List(t.Context(), "", "", keystore.MaxListLimit))(t) {
		v.Items = append(v.Items, frozenItem{item.Name, hex.EncodeToString(item.Value)})
	}
	return v
}

// TestFrozenKinds: keys of every kind that were stored once are the same keys today, and what they made then is taken. A program that is confined to Go's FIPS module
// finds keys that it may describe and not use.
func TestFrozenKinds(t *testing.T) {
	if *update {
		writeFrozen(t, frozenKinds, makeFrozenKinds(t))
	}
	v := vectors.Read[frozenKindsVector](t, frozenKinds)
	f := open(t, func(c *kms.Config) {
		c.Store, c.Root, c.RingID = v.store(t), newGCMRoot(t, vectors.Unhex(t, v.RootKey)), v.RingID
	})
	r := newReader2(t, v.frozenVector)
	if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
		t.Fatal(p)
	}
	for _, k := range v.Kinds {
		product, public := vectors.Unhex(t, k.Product), vectors.Unhex(t, k.PublicKey)
		meta := must(f.DescribeKey(t.Context(), k.KeyARN))(t)
		if meta.KeySpec != k.Spec || meta.KeyUsage != k.Usage {
			t.Errorf("%+v", meta)
		}
		var err error
		var secret []byte
		switch k.Usage {
		case kms.SignVerify:
			_, err = f.Verify(t.Context(), k.KeyARN, signed(k.Algorithm), product, k.Algorithm)
		case kms.GenerateVerifyMac:
			_, err = f.VerifyMac(t.Context(), k.KeyARN, frozenMessage, product, k.Algorithm)
		case kms.KeyAgreement:
			var res kms.SharedSecret
			res, err = f.DeriveSharedSecret(t.Context(), k.KeyARN, public)
			k.Secret, secret = k.Product, res.Secret()
		case kms.EncapsulateDecapsulate:
			var res kms.SharedSecret
			res, err = f.Decapsulate(t.Context(), k.KeyARN, product)
			secret = res.Secret()
		default:
			var res kms.DecryptResult
			res, err = f.Decrypt(t.Context(), product, nil, kms.WithKey(k.KeyARN), kms.WithAlgorithm(k.Algorithm))
			k.Secret, secret = hex.EncodeToString(frozenMessage), res.Plaintext
		}
		got, publicErr := f.GetPublicKey(t.Context(), k.KeyARN)
		if (kindOfKey{spec: k.Spec}).isConfined() {
			wantCode(t, err, kms.ErrUnsupportedOperation)
			wantCode(t, publicErr, kms.ErrUnsupportedOperation)
			check(t, f.DisableKey(t.Context(), k.KeyARN))
		} else if err != nil || hex.EncodeToString(secret) != k.Secret || !bytes.Equal(got.DER, public) {
			t.Errorf("%s for %s: %v, %v, secret %x, public key %x", k.Spec, k.Usage, err, publicErr, secret, got.DER)
		}

		// And as the page has it.
		id := meta.KeyID
		record := r.fields("key", "key/"+id)
		material := r.fields("ver", "ver/"+id+"/"+hex.EncodeToString(record[11]))[3]
		switch {
		case strings.HasPrefix(string(k.Spec), "HMAC_"):
			if len(material) != len(product) {
				t.Errorf("%s: %d bytes of material", k.Spec, len(material))
			}
		case k.Spec == kms.MLKEM768:
			key := must(mlkem.NewDecapsulationKey768(material[len(material)-64:]))(t)
			if !bytes.HasSuffix(public, key.EncapsulationKey().Bytes()) || !bytes.HasPrefix(material, vectors.Unhex(t, "3054020100300b06096086480165030404020442"+"8040")) {
				t.Errorf("%s: %x", k.Spec, material[:22])
			}
		case k.Spec == kms.MLDSA65:
			key := must(mldsa.NewPrivateKey(mldsa.MLDSA65(), material[len(material)-32:]))(t)
			if !bytes.HasSuffix(public, key.PublicKey().Bytes()) || !bytes.HasPrefix(material, vectors.Unhex(t, "3034020100300b06096086480165030403120422"+"8020")) {
				t.Errorf("%s: %x", k.Spec, material[:22])
			}
		case strings.HasPrefix(string(k.Spec), "RSA_"), strings.HasPrefix(string(k.Spec), "ECC_NIST"):
			key := must(x509.ParsePKCS8PrivateKey(material))(t).(interface{ Public() crypto.PublicKey })
			if der := must(x509.MarshalPKIXPublicKey(key.Public()))(t); !bytes.Equal(der, public) {
				t.Errorf("%s: the public key is %x, want %x", k.Spec, der, public)
			}
		}
	}
}
