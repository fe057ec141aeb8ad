package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/keystore/keystoretest"
)

func TestConformance(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) keystore.Store { return open(t, filepath.Join(t.TempDir(), "store")) })
	keystoretest.RunDurable(t, func(t *testing.T) func() (keystore.Store, error) {
		path := filepath.Join(t.TempDir(), "store")
		return func() (keystore.Store, error) { return bolt.Open(path, nil) }
	})
}

// open opens a store that the test closes at its end.
func open(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}
