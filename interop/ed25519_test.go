package interop

import (
	"crypto"

	"github.com/claviger/kms/internal/keypair"
)

type ed25519Group struct {
	group
	PublicKeyDER hexBytes        `json:"publicKeyDer"`
	PublicKey    unread          `json:"publicKey"`
	PublicKeyPEM unread          `json:"publicKeyPem"`
	PublicKeyJWK unread          `json:"publicKeyJwk"`
	Tests        []signatureCase `json:"tests"`
}

var ed25519 = groups(func(g *ed25519Group, report func(vector, verdict)) {
	key, err := publicKey[keypair.Verifier](keypair.Ed25519, g.PublicKeyDER)
	for _, c := range g.Tests {
		if err != nil {
			report(c.vector, wrong("the key is refused: %w", err))
			continue
		}
		report(c.vector, verified(key.Verify(c.Message, c.Signature, crypto.Hash(0))))
	}
})
