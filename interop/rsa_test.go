package interop

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"fmt"
	"slices"

	"github.com/claviger/kms/internal/keypair"
)

var rsaBits = []int{2048, 3072, 4096}

// The hashes that keys have for each use.
var (
	oaepHashes      = map[string]crypto.Hash{"SHA-1": crypto.SHA1, "SHA-256": crypto.SHA256}
	signatureHashes = map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}
)

func digest(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// noSpec is the verdict of a case whose modulus has a length of no key spec: no kind of key may take either half.
func noSpec(bits int, private, public []byte) verdict {
	for _, known := range rsaBits {
		if _, err := keypair.RSA(known).ParsePrivate(private); err == nil {
			return wrong("a private key of %d bits is taken for one of %d", bits, known)
		}
		if _, err := keypair.RSA(known).ParsePublic(public); err == nil {
			return wrong("a public key of %d bits is taken for one of %d", bits, known)
		}
	}
	return inapplicable(fmt.Sprintf("a modulus of %d bits", bits))
}

type rsaGroup struct {
	group
	KeySize int    `json:"keySize"`
	SHA     string `json:"sha"`

	PrivateKey    unread `json:"privateKey"`
	PrivateKeyJWK unread `json:"privateKeyJwk"`
	PrivateKeyPEM unread `json:"privateKeyPem"`
	PublicKey     unread `json:"publicKey"`
	PublicKeyJWK  unread `json:"publicKeyJwk"`
	PublicKeyPEM  unread `json:"publicKeyPem"`
}

type oaepGroup struct {
	rsaGroup
	MGF             string   `json:"mgf"`
	MGFSHA          string   `json:"mgfSha"`
	PrivateKeyPKCS8 hexBytes `json:"privateKeyPkcs8"`
	Tests           []struct {
		vector
		Message    hexBytes `json:"msg"`
		Ciphertext hexBytes `json:"ct"`
		Label      hexBytes `json:"label"`
	} `json:"tests"`
}

var oaep = groups(func(g *oaepGroup, report func(vector, verdict)) {
	known := slices.Contains(rsaBits, g.KeySize)
	var key keypair.Decrypter
	var err error
	if known {
		var parsed keypair.Private
		if parsed, err = keypair.RSA(g.KeySize).ParsePrivate(g.PrivateKeyPKCS8); err == nil {
			key = parsed.(keypair.Decrypter)
		}
	}
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			hash, offered := oaepHashes[g.SHA]
			switch {
			case !known:
				return noSpec(g.KeySize, g.PrivateKeyPKCS8, nil)
			case err != nil:
				return wrong("the key is refused: %w", err)
			case g.MGF != "MGF1":
				return wrong("an unknown mask %s", g.MGF)
			case !offered:
				return inapplicable("OAEP with " + g.SHA)
			}
			plaintext, err := key.Decrypt(c.Ciphertext, hash)
			switch {
			case g.MGFSHA != g.SHA:
				return foreign("a mask of another hash", err, keypair.ErrDecryption)
			case len(c.Label) > 0:
				return foreign("a label", err, keypair.ErrDecryption)
			}
			return produced(plaintext, c.Message, err, keypair.ErrDecryption)
		}())
	}
})

// threePrimes: a private key of more than two primes is none that can be imported.
var threePrimes = groups(func(g *oaepGroup, report func(vector, verdict)) {
	_, err := keypair.RSA(g.KeySize).ParsePrivate(g.PrivateKeyPKCS8)
	for _, c := range g.Tests {
		if err == nil {
			report(c.vector, wrong("a key of three primes is taken"))
		} else {
			report(c.vector, inapplicable("a key of three primes, which is refused"))
		}
	}
})

type signatureCase struct {
	vector
	Message   hexBytes `json:"msg"`
	Signature hexBytes `json:"sig"`
}

type pkcs1Group struct {
	rsaGroup
	PublicKeyDER hexBytes        `json:"publicKeyDer"`
	PublicKeyASN unread          `json:"publicKeyAsn"`
	KeyJWK       unread          `json:"keyJwk"`
	Tests        []signatureCase `json:"tests"`
}

var pkcs1Verify = groups(func(g *pkcs1Group, report func(vector, verdict)) {
	hash, offered := signatureHashes[g.SHA]
	known := slices.Contains(rsaBits, g.KeySize)
	key, err := publicKey[keypair.Verifier](keypair.RSA(g.KeySize), g.PublicKeyDER)
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			switch {
			case !known:
				return noSpec(g.KeySize, nil, g.PublicKeyDER)
			case err != nil:
				return wrong("the key is refused: %w", err)
			case !offered:
				return inapplicable("signatures with " + g.SHA)
			}
			return verified(key.Verify(digest(hash, c.Message), c.Signature, hash))
		}())
	}
})

type pkcs1SignGroup struct {
	rsaGroup
	PrivateKeyPKCS8 hexBytes        `json:"privateKeyPkcs8"`
	KeyDER          hexBytes        `json:"keyDer"`
	KeyASN          unread          `json:"keyAsn"`
	KeyPEM          unread          `json:"keyPem"`
	KeyJWK          unread          `json:"keyJwk"`
	Tests           []signatureCase `json:"tests"`
}

var pkcs1Sign = groups(func(g *pkcs1SignGroup, report func(vector, verdict)) {
	hash, offered := signatureHashes[g.SHA]
	known := slices.Contains(rsaBits, g.KeySize)
	private, err := keypair.RSA(g.KeySize).ParsePrivate(g.PrivateKeyPKCS8)
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			switch {
			case !known:
				return noSpec(g.KeySize, g.PrivateKeyPKCS8, g.KeyDER)
			case !offered:
				return inapplicable("signatures with " + g.SHA)
			case err != nil:
				return refused
			}
			if half, err := private.Public().MarshalSPKI(); err != nil || !bytes.Equal(half, g.KeyDER) {
				return wrong("the other half of the key is %x, want %x (%v)", half, g.KeyDER, err)
			}
			key, err := publicKey[keypair.Verifier](keypair.RSA(g.KeySize), g.KeyDER)
			if err != nil {
				return wrong("the public key is refused: %w", err)
			}
			if err := key.Verify(digest(hash, c.Message), c.Signature, hash); err != nil {
				return wrong("the signature is refused: %w", err)
			}
			signature, err := private.(keypair.Signer).Sign(digest(hash, c.Message), hash)
			return produced(signature, c.Signature, err, keypair.ErrOptions)
		}())
	}
})

type pssGroup struct {
	rsaGroup
	MGF          string          `json:"mgf"`
	MGFSHA       string          `json:"mgfSha"`
	SaltLen      int             `json:"sLen"`
	PublicKeyDER hexBytes        `json:"publicKeyDer"`
	PublicKeyASN hexBytes        `json:"publicKeyAsn"`
	Tests        []signatureCase `json:"tests"`
}

var pss = groups(func(g *pssGroup, report func(vector, verdict)) {
	der := rsaSPKI(g.PublicKeyASN)
	plain := bytes.Equal(der, g.PublicKeyDER)
	// A key that is bound to the parameters of PSS by its identifier is none of ours; without them it is.
	_, bound := keypair.RSA(g.KeySize).ParsePublic(g.PublicKeyDER)
	key, err := publicKey[keypair.Verifier](keypair.RSA(g.KeySize), der)
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			hash, offered := signatureHashes[g.SHA]
			switch {
			case err != nil:
				return wrong("the key is refused: %w", err)
			case plain != (g.Type == "RsassaPssVerify") || !plain && bound == nil:
				return wrong("a key that is bound to parameters is taken for one that is not")
			case !slices.Contains(rsaBits, g.KeySize):
				return noSpec(g.KeySize, nil, der)
			case !offered:
				return inapplicable("signatures with " + g.SHA)
			case g.MGF != "MGF1":
				return wrong("an unknown mask %s", g.MGF)
			}
			err := key.Verify(digest(hash, c.Message), c.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
			switch {
			case g.MGFSHA != g.SHA:
				return foreign("a mask of another hash", err, keypair.ErrSignature)
			case g.SaltLen != hash.Size() && c.Comment == fmt.Sprintf("s_len changed to %d", hash.Size()):
				return foreign("the salt's length of keys where the case wants another", err, nil)
			case g.SaltLen != hash.Size():
				return foreign("a salt of another length than the hash", err, keypair.ErrSignature)
			}
			return verified(err)
		}())
	}
})
