// Package rootkeytest checks that an implementation keeps the contract of [rootkey.Root].
package rootkeytest

import (
	"context"
	"fmt"
	"testing"

	"github.com/claviger/kms/rootkey"
)

// Run checks every rule of the contract, each in a subtest of its own. Each call of open returns a root that works and whose key is new: two roots of
// two calls do not open each other's wraps. What open needs to clean up it gives to t.Cleanup. A root is asked to wrap and unwrap a few hundred times
// in all.
func Run(t *testing.T, open func(t *testing.T) rootkey.Root) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.run(t.Context(), func() rootkey.Root { return open(t) }); err != nil {
				t.Errorf("%v\nrule: %s", err, r.why)
			}
		})
	}
}

// A rule is one promise of the contract. check returns an error where it is broken, so that the rules can themselves be tested with broken roots.
type rule struct {
	name, why string
	check     func(ctx context.Context, open func() rootkey.Root) error
}

func (r rule) run(ctx context.Context, open func() rootkey.Root) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.check(ctx, open)
}
