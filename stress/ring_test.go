package stress_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"iter"
	"os"
	"slices"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/aead"
)

// soak asks for the full sizes.
var soak = os.Getenv("KMS_SOAK") != ""

// size is how much a test does: small in scripts/test, and full under KMS_SOAK.
func size(small, full int) int {
	if soak {
		return full
	}
	return small
}

// A gcm is AES-256-GCM under a key that everybody knows: parents and children of a test open the same ring.
type gcm struct{ cipher.AEAD }

func (g gcm) Encrypt(plaintext, ad []byte) ([]byte, error) {
	return g.Seal(nil, nil, plaintext, ad), nil
}
func (g gcm) Decrypt(ciphertext, ad []byte) ([]byte, error) {
	return g.Open(nil, nil, ciphertext, ad)
}

// newRoot returns a root key that is the same each time.
func newRoot(t testing.TB) rootkey.Root {
	block := must(aes.NewCipher(make([]byte, 32)))(t)
	return aead.New(gcm{must(cipher.NewGCMWithRandomNonce(block))(t)})
}

// openRing opens a ring on a store, and closes it when the test ends.
func openRing(t testing.TB, store keystore.Store, change ...func(*kms.Config)) *kms.Keyring {
	t.Helper()
	cfg := kms.Config{Store: store, Root: newRoot(t), AccountID: "111122223333"}
	for _, f := range change {
		f(&cfg)
	}
	ring := must(kms.Open(context.Background(), cfg))(t)
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}

// must returns a value that came without an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// codeOf is the code of an operation's error; "" if there is none, and the text of an error that has none.
func codeOf(err error) kms.Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*kms.Error](err); ok {
		return e.Code
	}
	return kms.Code(err.Error())
}

// collect reads a list to its end.
func collect[T any](list iter.Seq2[T, error]) (all []T, err error) {
	for e, err := range list {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// names returns the names of the items of a store that have a prefix.
func names(t testing.TB, store keystore.Store, prefix string) (all []string) {
	t.Helper()
	for after := ""; ; {
		items := must(store.List(context.Background(), prefix, after, keystore.MaxListLimit))(t)
		for _, item := range items {
			all = append(all, item.Name)
		}
		if len(items) < keystore.MaxListLimit {
			return all
		}
		after = items[len(items)-1].Name
	}
}

// sorted returns the elements in order.
func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
