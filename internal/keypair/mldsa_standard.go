//go:build go1.27 && !fips140v1.0

package keypair

import "filippo.io/mldsa"

// mldsaApproved: here ML-DSA is the standard library's.
const mldsaApproved = true

// verifyExternalMu cannot: the standard library signs an external μ and verifies messages only.
func verifyExternalMu(*mldsa.PublicKey, []byte, []byte) error { return ErrExternalMu }
