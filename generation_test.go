package kms

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/internal/keypair"
	"github.com/claviger/kms/keystore"
)

// A gatedKind generates for as long as it is told to.
type gatedKind struct {
	keypair.Kind
	key     keypair.Private // what it generates
	leave   chan struct{}   // lets one generation end
	begun   atomic.Int64
	running atomic.Int64
}

func (k *gatedKind) Generate() (keypair.Private, error) {
	k.begun.Add(1)
	k.running.Add(1)
	<-k.leave
	k.running.Add(-1)
	return k.key, nil
}

// A generating is an operation that generates an RSA key.
type generating struct {
	name string
	call func(ctx context.Context, c *Client, w *world) (any, error)
}

var generatings = []generating{
	{"CreateKey", func(ctx context.Context, c *Client, w *world) (any, error) {
		return c.CreateKey(ctx, CreateKeyInput{KeySpec: RSA4096, KeyUsage: SignVerify, Policy: everyone})
	}},
	{"CreateKey", func(ctx context.Context, c *Client, w *world) (any, error) {
		return c.CreateKey(ctx, CreateKeyInput{KeySpec: RSA4096, KeyUsage: EncryptDecrypt, Policy: everyone, Tags: []Tag{{"a", "b"}}})
	}},
	{"GenerateDataKeyPair", func(ctx context.Context, c *Client, w *world) (any, error) {
		return c.GenerateDataKeyPair(ctx, w.key.ARN, RSA4096, nil)
	}},
	{"GenerateDataKeyPairWithoutPlaintext", func(ctx context.Context, c *Client, w *world) (any, error) {
		return c.GenerateDataKeyPairWithoutPlaintext(ctx, w.key.ARN, RSA4096, nil)
	}},
}

// A generation is a generating that runs beside the test.
type generation struct {
	over chan struct{}
	res  any
	err  error
}

func (g generating) begin(ctx context.Context, c *Client, w *world) *generation {
	begun := &generation{over: make(chan struct{})}
	go func() {
		begun.res, begun.err = g.call(ctx, c, w)
		close(begun.over)
	}()
	return begun
}

// isOver reports whether it has returned, when everybody does what he can.
func (g *generation) isOver() bool {
	synctest.Wait()
	return isClosed(g.over)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// withGate runs a test for every operation that generates an RSA key, in a bubble, at whose end no goroutine may be left.
func withGate(t *testing.T, f func(t *testing.T, g generating, w *world, gate *gatedKind)) {
	for _, g := range generatings {
		key := rsaKeys[RSA4096]()[0]
		t.Run(g.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				gate := &gatedKind{Kind: RSA4096.specification().pair, key: key, leave: make(chan struct{})}
				useKind(t, RSA4096, gate)
				f(t, g, newWorld(t), gate)
			})
		})
	}
}

// shut closes the ring beside the test, and then the channel.
func (w *world) shut() chan struct{} {
	shut := make(chan struct{})
	go func() {
		if err := w.ring.Close(); err != nil {
			w.t.Error(err)
		}
		close(shut)
	}()
	return shut
}

// made are the names of the records of keys and their versions.
func (w *world) made() map[string]keystore.Revision {
	all := w.snapshot()
	maps.DeleteFunc(all, func(name string, _ keystore.Revision) bool {
		return !strings.HasPrefix(name, kindKey+"/") && !strings.HasPrefix(name, kindVersion+"/")
	})
	return all
}

// TestGenerationEndsWithItsContext: who goes away while a key is generated for him has his answer, and nothing is made. The generation itself cannot be stopped: it
// goes on beside, holds its place among those that run at once, and Close waits for it.
func TestGenerationEndsWithItsContext(t *testing.T) {
	for _, ending := range []error{context.Canceled, context.DeadlineExceeded} {
		withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
			before, keys := w.snapshot(), sure(collect(w.ring.ListKeys(t.Context())))
			w.sink.Reset()
			const patience = 30 * time.Second
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			call := g.begin(ctx, w.ring.root, w)
			if call.isOver() || gate.running.Load() != 1 {
				t.Fatalf("%d generations run; the call says %v", gate.running.Load(), call.err)
			}
			if ending == context.Canceled {
				cancel()
			} else {
				time.Sleep(patience)
			}
			if !call.isOver() {
				t.Fatal("the call waits on")
			}
			if !errors.Is(call.err, ending) || !errors.Is(call.err, ErrDependencyTimeout) || !reflect.ValueOf(call.res).IsZero() {
				t.Errorf("%T, %v", call.res, call.err)
			}
			w.expectEvent(t, &step{name: g.name, changes: g.name == "CreateKey"}, ErrDependencyTimeout)
			if gate.running.Load() != 1 || len(w.ring.c.generating) != 1 {
				t.Errorf("%d generations run, in %d places", gate.running.Load(), len(w.ring.c.generating))
			}
			if !maps.Equal(before, w.snapshot()) || len(sure(collect(w.ring.ListKeys(t.Context())))) != len(keys) {
				t.Error("something was made")
			}
			made, shut := w.made(), w.shut()
			if synctest.Wait(); isClosed(shut) {
				t.Error("Close has not waited")
			}
			gate.leave <- struct{}{}
			if synctest.Wait(); !isClosed(shut) {
				t.Fatal("Close waits on")
			}
			if gate.running.Load() != 0 || gate.begun.Load() != 1 || len(w.ring.c.generating) != 0 {
				t.Errorf("%d generations run of %d, in %d places", gate.running.Load(), gate.begun.Load(), len(w.ring.c.generating))
			}
			if !maps.Equal(made, w.made()) {
				t.Error("a key was made afterwards")
			}
		})
	}
}

// TestCloseWaitsForGeneration: an operation that generates when Close begins is carried through, while no other one begins.
func TestCloseWaitsForGeneration(t *testing.T) {
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		made := w.made()
		call := g.begin(t.Context(), w.ring.root, w)
		synctest.Wait()
		shut := w.shut()
		if call.isOver() || isClosed(shut) {
			t.Fatalf("Close has not waited; the call says %v", call.err)
		}
		if late := g.begin(t.Context(), w.ring.root, w); !late.isOver() || !errors.Is(late.err, ErrServiceUnavailable) {
			t.Errorf("while the ring closes: %v", late.err)
		}
		gate.leave <- struct{}{}
		if !call.isOver() || !isClosed(shut) {
			t.Fatal("the call or Close waits on")
		}
		if call.err != nil || reflect.ValueOf(call.res).IsZero() || gate.begun.Load() != 1 {
			t.Errorf("%T, %v, %d generations", call.res, call.err, gate.begun.Load())
		}
		if n := len(w.made()) - len(made); (n == 2) != (g.name == "CreateKey") || n != 0 && n != 2 {
			t.Errorf("%d records were made", n)
		}
	})
}

// TestGenerationsAreBounded: no more keys are generated at once than there are processors. Who waits for his turn can go away; who has gone away during his leaves the
// place when his generation ends.
func TestGenerationsAreBounded(t *testing.T) {
	const processors = 3
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		var calls []*generation
		var cancels []context.CancelFunc
		for range processors + 3 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls, cancels = append(calls, g.begin(ctx, w.ring.root, w)), append(cancels, cancel)
			synctest.Wait() // so that they come in order
		}
		runs := func(running, begun int64) {
			t.Helper()
			synctest.Wait()
			if gate.running.Load() != running || gate.begun.Load() != begun {
				t.Fatalf("%d generations run of %d that have begun; want %d of %d", gate.running.Load(), gate.begun.Load(), running, begun)
			}
		}
		runs(processors, processors)
		last := processors + 2
		if cancels[last](); !calls[last].isOver() || !errors.Is(calls[last].err, context.Canceled) {
			t.Errorf("who waited and has gone away: %v", calls[last].err)
		}
		if cancels[0](); !calls[0].isOver() || !errors.Is(calls[0].err, context.Canceled) {
			t.Errorf("who has gone away: %v", calls[0].err)
		}
		runs(processors, processors)
		gate.leave <- struct{}{}
		runs(processors, processors+1)
		gate.leave <- struct{}{}
		runs(processors, processors+2)
		for left := int64(processors - 1); left >= 0; left-- {
			gate.leave <- struct{}{}
			runs(left, processors+2)
		}
		for i, call := range calls {
			if !call.isOver() || (call.err == nil) != (i != 0 && i != last) {
				t.Errorf("call %d: %v", i, call.err)
			}
		}
	})
}

// TestGenerationHoldsNothingUp: while as many keys are generated as can be, everything else goes on, on the same key too. What stood behind a lock would never return.
func TestGenerationHoldsNothingUp(t *testing.T) {
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		var calls []*generation
		for range cap(w.ring.c.generating) + 1 {
			calls = append(calls, g.begin(t.Context(), w.ring.root, w))
		}
		synctest.Wait()
		if gate.running.Load() != int64(cap(w.ring.c.generating)) {
			t.Fatalf("%d generations run", gate.running.Load())
		}
		main := w.key
		for i := range keyKinds {
			if kind := &keyKinds[i].step; kind.spec != RSA2048 { // which takes its time
				w.must(w.ring.DeleteAlias(t.Context(), worldAlias))
				w.furnish(kind) // creates, encrypts, signs, agrees and grants
			}
		}
		for _, change := range []func(context.Context, string) error{w.ring.DisableKey, w.ring.EnableKey,
			func(ctx context.Context, ref string) error { return w.ring.UpdateKeyDescription(ctx, ref, "new") },
			func(ctx context.Context, ref string) error { return errorOf(w.ring.RotateKeyOnDemand(ctx, ref)) },
			func(ctx context.Context, ref string) error {
				return errorOf(w.ring.Encrypt(ctx, ref, []byte("x"), nil))
			},
			func(ctx context.Context, ref string) error {
				return errorOf(w.ring.GenerateDataKeyPair(ctx, ref, ECCNISTP256, nil))
			},
			func(ctx context.Context, ref string) error { return errorOf(w.ring.Check(ctx)) },
			func(ctx context.Context, ref string) error { return errorOf(w.ring.Maintain(ctx)) },
			func(ctx context.Context, ref string) error { return w.ring.RotateDomainKey(ctx) },
		} {
			w.must(change(t.Context(), main.ARN))
		}
		w.forget()
		if sure(w.ring.DescribeKey(t.Context(), main.ARN)).Description != "new" {
			t.Error("what went on has no effect")
		}
		for i, call := range calls {
			if call.isOver() {
				t.Errorf("call %d is over: %v", i, call.err)
			}
		}
		close(gate.leave)
		for i, call := range calls {
			if !call.isOver() || call.err != nil {
				t.Errorf("call %d: %v", i, call.err)
			}
		}
	})
}

// TestGenerationIsAdmittedAgain: what has changed while a key was generated counts: a caller who may not any more, or whose key may not be used, has no result.
func TestGenerationIsAdmittedAgain(t *testing.T) {
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		if g.name == "CreateKey" {
			return // it is of no key
		}
		call := g.begin(t.Context(), w.ring.root, w)
		synctest.Wait()
		w.must(w.ring.DisableKey(t.Context(), w.key.ARN))
		time.Sleep(recheckAfter + 1)
		gate.leave <- struct{}{}
		if !call.isOver() || !errors.Is(call.err, ErrDisabled) || !reflect.ValueOf(call.res).IsZero() {
			t.Errorf("%T, %v", call.res, call.err)
		}
	})
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		made := w.made()
		call := g.begin(t.Context(), w.ring.As(Root().WithLifetime(time.Now(), time.Now().Add(recheckAfter))), w)
		synctest.Wait()
		time.Sleep(recheckAfter + 1)
		gate.leave <- struct{}{}
		if !call.isOver() || !errors.Is(call.err, ErrExpiredToken) || !reflect.ValueOf(call.res).IsZero() || !maps.Equal(made, w.made()) {
			t.Errorf("%T, %v", call.res, call.err)
		}
	})
}

// TestKeyIsGeneratedOnce: a creation that is tried again, since others have changed the same total meanwhile, goes on with the key that it has.
func TestKeyIsGeneratedOnce(t *testing.T) {
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		if g.name != "CreateKey" {
			return // it commits nothing
		}
		conflicts := 3
		w.ring.c.vault.store = &brokenStore{Store: w.store, fails: func(call string, commit func() (keystore.Revision, error)) (keystore.Revision, error) {
			if call != "commit" {
				return 0, nil
			}
			if conflicts--; conflicts >= 0 {
				return 0, keystore.ErrConflict
			}
			return commit()
		}}
		close(gate.leave)
		if call := g.begin(t.Context(), w.ring.root, w); !call.isOver() && conflicts >= 0 || call.err != nil {
			t.Errorf("%v, with %d conflicts left", call.err, conflicts)
		}
		if gate.begun.Load() != 1 {
			t.Errorf("%d keys were generated", gate.begun.Load())
		}
	})
}

// TestNothingIsGeneratedForNothing: a dry run, and a caller who may not, set no generation going.
func TestNothingIsGeneratedForNothing(t *testing.T) {
	withGate(t, func(t *testing.T, g generating, w *world, gate *gatedKind) {
		w.must(w.ring.PutKeyPolicy(t.Context(), w.key.ARN, PutKeyPolicyInput{Policy: w.ring.c.ring.defaultPolicy()}))
		for code, c := range map[Code]*Client{ErrDryRun: w.ring.DryRun(), ErrAccessDenied: w.ring.As(Role("stranger"))} {
			call := g.begin(t.Context(), c, w)
			if !call.isOver() {
				t.Errorf("%s: a key is generated", code)
				gate.leave <- struct{}{}
			}
			if <-call.over; !errors.Is(call.err, code) || gate.begun.Load() != 0 {
				t.Errorf("%v, want %s; %d generations have begun", call.err, code, gate.begun.Load())
			}
		}
	})
}
