// Objectstore is a small object store with two accounts. Each object is encrypted under a data key of its own, which is kept with the object, encrypted under the
// store's service managed key or under a customer's key that was chosen for the bucket.
//
// The store never acts as itself: whatever it asks of the keyring it asks on behalf of the user who asked it, so that a user without the key's permission gets
// nothing out of the store either. Its buckets have policies in IAM's JSON language. The tour opens a bucket to a user of the other account, which takes the policy of
// the bucket, that of the key, and that user's own for both.
//
//	go run ./examples/objectstore
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "objectstore:", err)
		os.Exit(1)
	}
}

// run takes the tour in a directory that goes with it: the keyring is in memory, and nobody could open the objects any more.
func run(ctx context.Context) (err error) {
	path, err := os.MkdirTemp("", "objectstore-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(path)) }()
	t, err := newTour(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return t.take(ctx)
}
