// Quickstart keeps keys in one file under a passphrase and encrypts a file with them: it makes a key and a role that may use it, rotates the key, moves an old
// file to the new key material, shows what a stranger is told, and ends with the audit trail.
//
//	go run ./examples/quickstart [-dir DIR] [FILE]
//
// Without -dir everything happens in a temporary directory. With it the keys stay, and the next run finds them. The environment variable KMS_PASSPHRASE holds the
// passphrase that protects them.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claviger/kms/rootkey"
)

func main() {
	dir := flag.String("dir", "", "keep keys and files in `DIR`; the default is a temporary directory")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: quickstart [-dir DIR] [FILE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), *dir, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		if errors.Is(err, rootkey.ErrWrongKey) {
			fmt.Fprintln(os.Stderr, "Is KMS_PASSPHRASE what it was when these keys were made?")
		}
		os.Exit(1)
	}
}

// run prepares the directory and the file, and takes the tour.
func run(ctx context.Context, dir, file string) error {
	if dir == "" {
		temporary, err := os.MkdirTemp("", "quickstart-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if file == "" {
		file = filepath.Join(dir, "sample.txt")
		if err := makeSample(file); err != nil {
			return err
		}
	}
	t := &tour{file: file, dir: dir, passphrase: cmp.Or(os.Getenv("KMS_PASSPHRASE"), demoPassphrase)}
	return t.take(ctx)
}
