//go:build !go1.27 || fips140v1.0

package keypair

import (
	"errors"
	"reflect"
	"testing"
	"unsafe"

	"filippo.io/mldsa"
)

// TestLinkedIsTried: the function that the library does not export is believed because it verifies, and no other would be.
func TestLinkedIsTried(t *testing.T) {
	if !isLinkable() {
		t.Error("this build cannot verify an external μ")
	}
	type verification = func(key unsafe.Pointer, mu, signature []byte) error
	for name, verify := range map[string]verification{
		"takes all":    func(unsafe.Pointer, []byte, []byte) error { return nil },
		"takes none":   func(unsafe.Pointer, []byte, []byte) error { return errors.New("no") },
		"in its order": func(key unsafe.Pointer, mu, signature []byte) error { return verifyLinked(key, signature, mu) },
		"as a message": func(key unsafe.Pointer, mu, signature []byte) error {
			return mldsa.Verify((*mldsa.PublicKey)(key), mu, signature, nil)
		},
		"the other way": func(key unsafe.Pointer, mu, signature []byte) error {
			if verifyLinked(key, mu, signature) == nil {
				return errors.New("no")
			}
			return nil
		},
	} {
		if verifies(verify) {
			t.Errorf("a function is believed that is wrong: %s", name)
		}
	}
	for _, other := range []reflect.Type{reflect.TypeFor[*mldsa.PublicKey](), reflect.TypeFor[struct{ p *mldsa.PublicKey }](), reflect.TypeFor[struct{ p mldsa.PublicKey }](),
		reflect.TypeFor[mldsa.Parameters]()} {
		if isOneField(other) {
			t.Errorf("%v is taken for the library's public key", other)
		}
	}
}
