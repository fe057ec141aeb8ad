package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"

	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkmac "github.com/tink-crypto/tink-go/v2/mac"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/claviger/kms"
)

// A macScheme is how messages are authenticated.
type macScheme struct {
	spec      kms.KeySpec
	algorithm kms.Algorithm
	length    int // of the key
	hash      func() hash.Hash
	tink      func() *tinkpb.KeyTemplate
}

var macSchemes = []macScheme{
	{kms.HMAC256, kms.AlgorithmHMACSHA256, 32, sha256.New, tinkmac.HMACSHA256Tag256KeyTemplate},
	{kms.HMAC512, kms.AlgorithmHMACSHA512, 64, sha512.New, tinkmac.HMACSHA512Tag512KeyTemplate},
}

// provers make their keys. The ring is the first.
func (s *macScheme) provers(r *ring) ([]prover, error) {
	ctx := context.Background()
	arn, err := r.newKey(s.spec, kms.GenerateVerifyMac)
	if err != nil {
		return nil, err
	}
	key := make([]byte, s.length)
	rand.Read(key)
	sum := func(message []byte) []byte {
		h := hmac.New(s.hash, key)
		h.Write(message)
		return h.Sum(nil)
	}
	handle, err := keyset.NewHandle(s.tink())
	if err != nil {
		return nil, err
	}
	tink, err := tinkmac.New(handle)
	if err != nil {
		return nil, err
	}
	compared := way{name: nameHMAC, limit: 2, slack: 500}
	return []prover{
		{
			proves: way{name: nameOurs}, verifies: way{name: nameOurs},
			prove: func(message []byte) ([]byte, error) {
				out, err := r.GenerateMac(ctx, arn, message, s.algorithm)
				return out.Mac, err
			},
			verify: func(message, mac []byte) error {
				_, err := r.VerifyMac(ctx, arn, message, mac, s.algorithm)
				return err
			},
		},
		{
			proves: compared, verifies: compared,
			prove: func(message []byte) ([]byte, error) { return sum(message), nil },
			verify: func(message, mac []byte) error {
				if !hmac.Equal(sum(message), mac) {
					return errWrong
				}
				return nil
			},
		},
		{
			proves: way{name: nameTink, limit: noLimit}, verifies: way{name: nameTink, limit: noLimit},
			prove:  tink.ComputeMAC,
			verify: func(message, mac []byte) error { return tink.VerifyMAC(mac, message) },
		},
	}, nil
}

// macContests compute MACs, and verify them.
func macContests(r *ring, _ *peers) ([]*contest, error) {
	var generate, verify []*contest
	for i := range macSchemes {
		s := &macSchemes[i]
		provers := sync.OnceValues(func() ([]prover, error) { return s.provers(r) })
		for _, n := range []int{32, 4096} {
			pair := proofContests("GenerateMac", "VerifyMac", string(s.spec), n, provers)
			generate, verify = append(generate, pair[0]), append(verify, pair[1])
		}
	}
	return append(generate, verify...), nil
}
