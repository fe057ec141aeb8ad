// Servicegrant is a service that works with a customer's key after the customer has left. It keeps encrypted volumes. While a customer is signed in it acts on the
// customer's behalf; but a volume that is attached must open again when its host restarts, at whatever hour. So the service has the customer make a grant to the
// service itself: for one volume, to decrypt and nothing else, until the service gives it up.
//
//	go run ./examples/servicegrant
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "servicegrant:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	t, err := newTour(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.ring.Close()) }()
	return t.take(ctx)
}
