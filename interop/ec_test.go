package interop

import (
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/claviger/kms/internal/keypair"
)

type ecdsaGroup struct {
	group
	SHA          string          `json:"sha"`
	PublicKeyDER hexBytes        `json:"publicKeyDer"`
	PublicKey    unread          `json:"publicKey"`
	PublicKeyPEM unread          `json:"publicKeyPem"`
	Tests        []signatureCase `json:"tests"`
}

func ecdsa(kind keypair.Kind, hash crypto.Hash) suite {
	return groups(func(g *ecdsaGroup, report func(vector, verdict)) {
		key, err := publicKey[keypair.Verifier](kind, g.PublicKeyDER)
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				switch {
				case err != nil:
					return wrong("the key is refused: %w", err)
				case signatureHashes[g.SHA] != hash:
					return wrong("the digest is of %s", g.SHA)
				}
				err := key.Verify(digest(hash, c.Message), c.Signature, hash)
				if err == nil && g.Type == "EcdsaBitcoinVerify" && c.Result == "invalid" && hasLargeS(c.Signature) {
					return inapplicable("a large s, which is as good as the small one but in Bitcoin")
				}
				return verified(err)
			}())
		}
	})
}

// halfOrder is half of the order of secp256k1 (SEC 2, section 2.4.1), rounded down.
var halfOrder, _ = new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)

func hasLargeS(signature []byte) bool {
	var numbers struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &numbers)
	return err == nil && len(rest) == 0 && numbers.S.Cmp(halfOrder) > 0
}

// An ecdhCase holds its keys in the form that its group names.
type ecdhCase struct {
	vector
	Public  json.RawMessage `json:"public"`
	Private json.RawMessage `json:"private"`
	Shared  hexBytes        `json:"shared"`
}

type ecdhGroup struct {
	group
	Curve    string     `json:"curve"`
	Encoding string     `json:"encoding"`
	Tests    []ecdhCase `json:"tests"`
}

// A jwk is a JSON Web Key of a curve (RFC 7518, section 6.2).
type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	ID    string `json:"kid"`
	X     string `json:"x"`
	Y     string `json:"y"`
	D     string `json:"d"`
}

// spki is the public key. Coordinates of a wrong length make a point of a wrong length.
func (k *jwk) spki() ([]byte, error) {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if _, known := oidCurves[k.Curve]; !known || k.Type != "EC" || errX != nil || errY != nil {
		return nil, fmt.Errorf("no key of a curve: %+v", *k)
	}
	return ecSPKI(k.Curve, slices.Concat([]byte{4}, x, y)), nil
}

// keys are the private key and that of the peer, in DER.
func (c *ecdhCase) keys(encoding, curve string, size int) (private, public []byte, err error) {
	var text, scalar string
	switch encoding {
	case "asn", "ecpoint":
		var point hexBytes
		if err := errors.Join(json.Unmarshal(c.Private, &scalar), json.Unmarshal(c.Public, &point)); err != nil {
			return nil, nil, err
		}
		d, ok := new(big.Int).SetString(scalar, 16)
		if !ok || d.BitLen() > 8*size {
			return nil, nil, errors.New("no scalar")
		}
		if encoding == "ecpoint" {
			point = ecSPKI(curve, point)
		}
		return ecPKCS8(curve, d, size), point, nil
	case "pem":
		if err := errors.Join(json.Unmarshal(c.Private, &scalar), json.Unmarshal(c.Public, &text)); err != nil {
			return nil, nil, err
		}
		mine, _ := pem.Decode([]byte(scalar))
		peer, _ := pem.Decode([]byte(text))
		if mine == nil || peer == nil {
			return nil, nil, errors.New("no PEM")
		}
		return mine.Bytes, peer.Bytes, nil
	case "webcrypto":
		var mine, peer jwk
		if err := errors.Join(json.Unmarshal(c.Private, &mine), json.Unmarshal(c.Public, &peer)); err != nil {
			return nil, nil, err
		}
		d, err := base64.RawURLEncoding.DecodeString(mine.D)
		if err != nil || mine.Curve != curve {
			return nil, nil, fmt.Errorf("no scalar of the curve (%v)", err)
		}
		public, err := peer.spki()
		return ecPKCS8(curve, new(big.Int).SetBytes(d), size), public, err
	}
	return nil, nil, fmt.Errorf("unknown encoding %s", encoding)
}

// The suites of the curves.
var (
	ecdhP256 = ecdh(keypair.P256, "P-256", 32)
	ecdhP384 = ecdh(keypair.P384, "P-384", 48)
	ecdhP521 = ecdh(keypair.P521, "P-521", 66)
)

// ecdh reads the keys of every case, and lets those agree that it accepts. The files of a curve have the same agreements with the keys in different encodings. They take
// most of the time of all suites, so that two keys, whatever they were read from, agree once.
func ecdh(kind keypair.Kind, curve string, size int) suite {
	var agreements sync.Map // of functions, by what both keys are written as
	agree := func(mine keypair.Private, peer keypair.Public) ([]byte, error) {
		half, err := mine.Public().MarshalSPKI()
		if err != nil {
			return nil, err
		}
		other, err := peer.MarshalSPKI()
		if err != nil {
			return nil, err
		}
		once, _ := agreements.LoadOrStore(string(half)+string(other), sync.OnceValues(func() ([]byte, error) {
			return mine.(keypair.Agreer).Agree(peer)
		}))
		return once.(func() ([]byte, error))()
	}
	return groups(func(g *ecdhGroup, report func(vector, verdict)) {
		keys := map[string]keypair.Private{} // by DER: some twenty serve all cases
		for _, c := range g.Tests {
			report(c.vector, func() verdict {
				private, public, err := c.keys(g.Encoding, curve, size)
				if err != nil {
					return wrong("the case cannot be read: %w", err)
				}
				mine, known := keys[string(private)]
				if !known {
					if mine, err = kind.ParsePrivate(private); err != nil {
						return wrong("the private key is refused: %w", err)
					}
					keys[string(private)] = mine
				}
				peer, err := kind.ParsePublic(public)
				if err != nil {
					return refused
				}
				secret, err := agree(mine, peer)
				return produced(secret, c.Shared, err, nil)
			}())
		}
	})
}
