package interop

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"
)

type gcmGroup struct {
	group
	IVSize  int `json:"ivSize"`
	KeySize int `json:"keySize"`
	TagSize int `json:"tagSize"`
	Tests   []struct {
		vector
		Key        hexBytes `json:"key"`
		IV         hexBytes `json:"iv"`
		Associated hexBytes `json:"aad"`
		Message    hexBytes `json:"msg"`
		Ciphertext hexBytes `json:"ct"`
		Tag        hexBytes `json:"tag"`
	} `json:"tests"`
}

// gcm opens nonce, ciphertext and tag in one, which is all that the ring does with a nonce that it did not draw; and seals with one that it draws.
var gcm = groups(func(g *gcmGroup, report func(vector, verdict)) {
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			switch {
			case len(c.Key) != 32:
				return inapplicable(fmt.Sprintf("an AES key of %d bits", 8*len(c.Key)))
			case len(c.IV) != 12:
				return inapplicable("a nonce of another length than 12 bytes")
			case len(c.Tag) != 16:
				return inapplicable("a tag of another length than 16 bytes")
			}
			block, err := aes.NewCipher(c.Key)
			if err != nil {
				return wrong("%w", err)
			}
			aead, err := cipher.NewGCMWithRandomNonce(block)
			if err != nil {
				return wrong("%w", err)
			}
			own, err := aead.Open(nil, nil, aead.Seal(nil, nil, c.Message, c.Associated), c.Associated)
			if err != nil || !bytes.Equal(own, c.Message) {
				return wrong("what was sealed is opened as %x (%v)", own, err)
			}
			plaintext, err := aead.Open(nil, nil, slices.Concat(c.IV, c.Ciphertext, c.Tag), c.Associated)
			if err != nil {
				return refused
			}
			return produced(plaintext, c.Message, nil, nil)
		}())
	}
})

type kwpGroup struct {
	group
	KeySize int `json:"keySize"`
	Tests   []struct {
		vector
		Key        hexBytes `json:"key"`
		Message    hexBytes `json:"msg"`
		Ciphertext hexBytes `json:"ct"`
	} `json:"tests"`
}

// kwp unwraps, and wraps what is valid.
var kwp = groups(func(g *kwpGroup, report func(vector, verdict)) {
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			if len(c.Key) != 32 {
				return inapplicable(fmt.Sprintf("an AES key of %d bits", 8*len(c.Key)))
			}
			wrapping, err := subtle.NewKWP(c.Key)
			if err != nil {
				return wrong("%w", err)
			}
			unwrapped, err := wrapping.Unwrap(c.Ciphertext)
			short := len(c.Message) < subtle.MinWrapSize
			switch {
			case err != nil && short && c.Result == "valid":
				return inapplicable("less than 16 bytes, which no import holds")
			case err != nil:
				return refused
			case !short:
				if wrapped, err := wrapping.Wrap(c.Message); err != nil || !bytes.Equal(wrapped, c.Ciphertext) {
					return wrong("the message is wrapped as %x (%v)", wrapped, err)
				}
			}
			return produced(unwrapped, c.Message, nil, nil)
		}())
	}
})

type hmacGroup struct {
	group
	KeySize int `json:"keySize"`
	TagSize int `json:"tagSize"`
	Tests   []struct {
		vector
		Key     hexBytes `json:"key"`
		Message hexBytes `json:"msg"`
		Tag     hexBytes `json:"tag"`
	} `json:"tests"`
}

const maxMACKey = 128 // bytes that can be imported

func mac(hash crypto.Hash) suite {
	return groups(func(g *hmacGroup, report func(vector, verdict)) {
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				switch {
				case len(c.Key) < hash.Size() || len(c.Key) > maxMACKey:
					return inapplicable("a key of a length that no HMAC key has")
				case g.TagSize != 8*hash.Size():
					return inapplicable("a truncated tag")
				}
				h := hmac.New(hash.New, c.Key)
				h.Write(c.Message)
				if !hmac.Equal(h.Sum(nil), c.Tag) {
					return refused
				}
				return accepted
			}())
		}
	})
}

type hkdfGroup struct {
	group
	KeySize int `json:"keySize"`
	Tests   []struct {
		vector
		Secret hexBytes `json:"ikm"`
		Salt   hexBytes `json:"salt"`
		Info   hexBytes `json:"info"`
		Size   int      `json:"size"`
		Output hexBytes `json:"okm"`
	} `json:"tests"`
}

var derivation = groups(func(g *hkdfGroup, report func(vector, verdict)) {
	for _, c := range g.Tests {
		report(c.vector, func() verdict {
			output, err := hkdf.Key(sha256.New, c.Secret, c.Salt, string(c.Info), c.Size)
			if err != nil {
				return refused
			}
			return produced(output, c.Output, nil, nil)
		}())
	}
})
