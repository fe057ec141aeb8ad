//go:build !go1.27 || fips140v1.0

package keypair

import (
	"reflect"
	"sync"
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

// isLinkable reports whether the function can be called and believed.
var isLinkable = sync.OnceValue(func() bool { return isOneField(reflect.TypeFor[mldsa.PublicKey]()) && verifies(verifyLinked) })

// isOneField reports whether the library's public key is one field, the key of its inner package, so that a pointer to the one is a pointer to the other.
func isOneField(key reflect.Type) bool {
	if key.Kind() != reflect.Struct || key.NumField() != 1 {
		return false
	}
	inner := key.Field(0).Type
	return inner.PkgPath() == "filippo.io/mldsa/internal/fips140/mldsa" && inner.Name() == "PublicKey"
}

// verifies reports whether a function takes a signature of a μ and refuses it for another. The linker compares names alone: a function that came to take or to return
// something else would otherwise be believed.
func verifies(verify func(key unsafe.Pointer, mu, signature []byte) error) bool {
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), make([]byte, mldsa.PrivateKeySize))
	if err != nil {
		return false
	}
	mu := make([]byte, 64)
	signature, err := key.SignDeterministic(mu, ExternalMu)
	if err != nil {
		return false
	}
	public, other := unsafe.Pointer(key.PublicKey()), append([]byte{1}, mu[1:]...)
	return verify(public, mu, signature) == nil && verify(public, other, signature) != nil
}

func verifyExternalMu(key *mldsa.PublicKey, mu, signature []byte) error {
	if !isLinkable() {
		return ErrExternalMu
	}
	return verifyLinked(unsafe.Pointer(key), mu, signature)
}
