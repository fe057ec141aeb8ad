package kms

import (
	"context"
	"errors"
	"sync"
)

// A Simulation is what would come of a call.
type Simulation struct {
	// Err is what the call would return before it does its work; nil if it would be allowed, and the key's state permits it.
	Err error

	// Permissions are what the call needs, in the order in which it asks. There are none of an operation that does not come to ask: since it is malformed, its key does
	// not exist, the caller is unknown or expired, or it is not for callers of other accounts.
	Permissions []Permission
}

// A Permission is one thing that an operation asks the policies, with the answer.
type Permission struct {
	Action      string // "kms:Decrypt"
	Resource    string // the ARN of a key or an alias, or "*"
	Explanation Explanation
}

// Allowed reports whether the policies allow all that the call needs.
func (s Simulation) Allowed() bool {
	for _, p := range s.Permissions {
		if p.Explanation.Outcome != Allowed {
			return false
		}
	}
	return len(s.Permissions) > 0
}

// A simulator gathers what a client asks.
type simulator struct {
	mu          sync.Mutex // guards permissions
	permissions []Permission
}

func (s *simulator) add(asked []Permission) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.permissions = append(s.permissions, asked...)
}

// Simulate tells what would come of an operation by caller, without doing it: call is given a client that checks everything and never acts, records nothing, and returns
// [ErrDryRun] for what would go ahead. A Decrypt or ReEncrypt whose key is named needs no ciphertext.
//
//	s, err := ring.Simulate(ctx, kms.Role("orders"), func(ctx context.Context, c *kms.Client) error {
//		_, err := c.Decrypt(ctx, nil, tenant, kms.WithKey("alias/orders"))
//		return err
//	})
//
// The explanations are for whoever may see all policies, and not for the caller. Simulate fails if there can be no such caller, and with what is no [Error].
func (k *Keyring) Simulate(ctx context.Context, caller Caller, call func(context.Context, *Client) error) (Simulation, error) {
	if err := caller.Err(); err != nil {
		return Simulation{}, err
	}
	if call == nil {
		return Simulation{}, errors.New("kms: Simulate: no call")
	}
	c := k.As(caller).DryRun()
	c.simulator = new(simulator)
	err := call(ctx, c)
	s := Simulation{Permissions: c.simulator.permissions}
	switch _, known := errors.AsType[*Error](err); {
	case errors.Is(err, ErrDryRun):
	case err == nil:
		return s, errors.New("kms: Simulate: nothing was asked of the client")
	case known:
		s.Err = err
	default:
		return s, err
	}
	return s, nil
}
