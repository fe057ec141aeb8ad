package kms

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/claviger/kms/internal/keypair"
)

// A heldKind generates each key pair when it is let, or else panics.
type heldKind struct {
	keypair.Kind
	begun chan chan<- bool // which lets it
}

func (k heldKind) Slow() bool { return true }

func (k heldKind) Generate() (keypair.Private, error) {
	leave := make(chan bool)
	k.begun <- leave
	if !<-leave {
		panic("held")
	}
	return k.Kind.Generate()
}

// TestGenerationThatNobodyWaitsFor: of key pairs that take long no more are searched for at once than there are places; who waits for one, or for a place, can go away;
// a search goes on without him, keeps its place and keeps Close waiting; and one that panics does so in the call, and gives its place back.
func TestGenerationThatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Open(t.Context(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := r.c
		held := heldKind{keypair.P256, make(chan chan<- bool)}
		generate := func(ctx context.Context) error {
			if !c.gate.enter() {
				t.Error("the ring is closed")
			}
			defer c.gate.leave()
			pair, err := c.generatePair(ctx, &specification{kind: asymmetricKind, pair: held})
			if (pair != nil) != (err == nil) {
				t.Errorf("%v, %v", pair, err)
			}
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		places, answers := cap(c.generating), make(chan error)
		for range places + 2 {
			go func() { answers <- generate(ctx) }()
		}
		var abandoned []chan<- bool
		for range places {
			abandoned = append(abandoned, <-held.begun)
		}
		synctest.Wait()
		select {
		case <-held.begun:
			t.Error("more are searched for than there are places")
		default:
		}
		cancel()
		for range places + 2 {
			if err := <-answers; !errors.Is(err, context.Canceled) {
				t.Errorf("who goes away is told %v", err)
			}
		}
		go func() { answers <- generate(t.Context()) }()
		synctest.Wait()
		select {
		case <-held.begun:
			t.Error("a search that nobody waits for has no place")
		default:
		}
		abandoned[0] <- true
		<-held.begun <- true // in the place that has become free
		if err := <-answers; err != nil {
			t.Error(err)
		}

		go func() {
			defer func() { answers <- errors.New(recover().(string)) }()
			_ = generate(t.Context())
		}()
		<-held.begun <- false
		if err := <-answers; err.Error() != "held" {
			t.Error(err)
		}

		closed := make(chan error, 1)
		go func() { closed <- r.Close() }()
		for n := places - 1; n > 0; n-- {
			synctest.Wait()
			if len(closed) > 0 || len(c.generating) != n {
				t.Errorf("closed: %v, with %d searches of %d", len(closed) > 0, len(c.generating), n)
			}
			abandoned[n] <- true
		}
		if err := <-closed; err != nil || len(c.generating) != 0 {
			t.Errorf("%v, and %d searches go on", err, len(c.generating))
		}
	})
}
