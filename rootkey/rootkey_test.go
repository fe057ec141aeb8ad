package rootkey_test

import (
	"context"
	"errors"
	"testing"

	"github.com/claviger/kms/rootkey"
)

type bare struct{}

func (bare) EncryptWithContext(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	return append([]byte("wrap of "), plaintext...), nil
}

func (bare) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, rootkey.ErrWrongKey
}

func TestName(t *testing.T) {
	for _, c := range []struct {
		name string
		root rootkey.Root
		want string
	}{
		{"without a name", bare{}, rootkey.DefaultName},
		{"named", rootkey.WithName("recovery", bare{}), "recovery"},
		{"renamed", rootkey.WithName("second", rootkey.WithName("first", bare{})), "second"},
	} {
		if got := rootkey.Name(c.root); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestANamedRootIsTheRoot(t *testing.T) {
	r := rootkey.WithName("recovery", bare{})
	if wrap, err := r.EncryptWithContext(t.Context(), []byte("key"), nil); err != nil || string(wrap) != "wrap of key" {
		t.Errorf("%q, %v", wrap, err)
	}
	if _, err := r.DecryptWithContext(t.Context(), nil, nil); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Error(err)
	}
}
