//go:build !go1.27 || fips140v1.0

package keypair

import (
	"reflect"
	"unsafe"

	"filippo.io/mldsa"
)

// mldsaApproved: here ML-DSA is a library's, and no part of Go's FIPS module.
const mldsaApproved = false

// verifyLinked is the library's own verification of an external μ, which it does not export, though it does the signing of one. docs/dependencies.md has what that
// means. Its first argument is the only field of an [mldsa.PublicKey].
//
//go:linkname verifyLinked filippo.io/mldsa/internal/fips140/mldsa.VerifyExternalMu
func verifyLinked(key unsafe.Pointer, mu, signature []byte) error

// isLinkable: the library's public key is one field, the key of its inner package, so that a pointer to the one is a pointer to the other.
var isLinkable = func() bool {
	key := reflect.TypeFor[mldsa.PublicKey]()
	if key.Kind() != reflect.Struct || key.NumField() != 1 {
		return false
	}
	inner := key.Field(0).Type
	return inner.PkgPath() == "filippo.io/mldsa/internal/fips140/mldsa" && inner.Name() == "PublicKey"
}()

func verifyExternalMu(key *mldsa.PublicKey, mu, signature []byte) error {
	if !isLinkable {
		return ErrExternalMu
	}
	return verifyLinked(unsafe.Pointer(key), mu, signature)
}
