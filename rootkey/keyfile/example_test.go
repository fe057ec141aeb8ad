package keyfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claviger/kms/rootkey/keyfile"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "keyfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "root.key")

	created, err := keyfile.Create(path) // once, when the service is set up
	if err != nil {
		fmt.Println(err)
		return
	}
	wrap, err := created.EncryptWithContext(ctx, []byte("domain key"), []byte("ring 1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	root, err := keyfile.Open(path) // at every start
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := root.DecryptWithContext(ctx, wrap, []byte("ring 1"))
	fmt.Printf("%s %v\n", key, err)
	// Output: domain key <nil>
}
