package kms

import (
	"math/rand/v2"
	"sync/atomic"
)

// permissions remember who has been allowed what on one snapshot of a key, where nothing but the caller and the action decided: see [policy.Verdict]. Another policy
// is another snapshot, which remembers nothing. They are bounded, since there are as many callers as somebody likes; a newer one takes an older one's place.
type permissions [16]atomic.Pointer[permission]

type permission struct {
	caller   *actor
	standing standing
	need     *need
}

// reach is how many places a caller's permissions may have.
const reach = 4

// has reports whether the caller is remembered to be allowed what n needs, with what IAM says of it now. A client that was made anew for the same caller has an actor
// of its own.
func (p *permissions) has(caller *actor, s *standing, n *need) bool {
	for i := range uint8(reach) {
		got := p[(caller.place+i)%uint8(len(p))].Load()
		if got != nil && got.need == n && got.standing == *s && got.caller.same(caller) {
			return true
		}
	}
	return false
}

// remember is for what [Evaluate] allowed.
func (p *permissions) remember(caller *actor, s *standing, n *need) {
	next := &permission{caller: caller, standing: *s, need: n}
	for i := range uint8(reach) {
		if p[(caller.place+i)%uint8(len(p))].CompareAndSwap(nil, next) {
			return
		}
	}
	p[(caller.place+uint8(rand.N(reach)))%uint8(len(p))].Store(next)
}
