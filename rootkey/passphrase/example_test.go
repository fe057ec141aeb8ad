package passphrase_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/passphrase"
)

func Example() {
	ctx := context.Background()
	root, err := passphrase.New([]byte("yellow tractor hums beneath eleven lanterns"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	wrap, err := root.EncryptWithContext(ctx, []byte("domain key"), []byte("ring 1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := root.DecryptWithContext(ctx, wrap, []byte("ring 1"))
	fmt.Printf("%s %v\n", key, err)
	_, err = root.DecryptWithContext(ctx, wrap, []byte("ring 2"))
	fmt.Println(errors.Is(err, rootkey.ErrWrongKey))
	// Output:
	// domain key <nil>
	// true
}
