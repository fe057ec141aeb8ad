package main

import (
	"context"
	"fmt"

	"github.com/claviger/kms"
)

// How many callers use how many keys in turn: more than a key remembers of its callers, so that some are decided anew.
const (
	crowdCallers = 24
	crowdKeys    = 64
)

// crowdContests encrypt for many callers under many keys, each in turn.
func crowdContests(r *ring, p *peers) ([]*contest, error) {
	var keys []string
	policy, err := r.keyring.DefaultPolicy([]kms.Caller{kms.Role("security")}, []kms.Caller{kms.Role("app")})
	if err != nil {
		return nil, err
	}
	for range crowdKeys {
		key, err := r.keyring.CreateKey(context.Background(), kms.CreateKeyInput{Policy: policy})
		if err != nil {
			return nil, err
		}
		keys = append(keys, key.ARN)
	}
	var callers []*kms.Client
	for i := range crowdCallers {
		callers = append(callers, r.keyring.As(kms.Session("app", fmt.Sprintf("session-%d", i))))
	}
	m := message{plaintext: messages(r)[0].plaintext}
	turn := 0
	return []*contest{{
		name: "Encrypt 32 B, 24 callers, 64 keys",
		ours: &way{
			name: nameOurs,
			op: func() ([]byte, error) {
				turn++
				out, err := callers[turn%crowdCallers].Encrypt(context.Background(), keys[turn/crowdCallers%crowdKeys], m.plaintext, nil)
				return out.Ciphertext, err
			},
			check: m.opensWith(func(ciphertext []byte) ([]byte, error) {
				out, err := r.Decrypt(context.Background(), ciphertext, nil)
				return out.Plaintext, err
			}),
		},
		others: []*way{{
			name: nameRaw, limit: noLimit, op: func() ([]byte, error) { return p.raw.Seal(nil, nil, m.plaintext, nil), nil },
			check: m.opensWith(func(ciphertext []byte) ([]byte, error) { return p.raw.Open(nil, nil, ciphertext, nil) }),
		}},
		allocs: noLimit,
	}}, nil
}
