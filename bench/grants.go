package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/rootkey/keyfile"
)

const (
	fewGrants  = 10
	grantsPage = fewGrants - 2 // there is one more behind it
)

// A granted is a key with grants on it, each to a role of its own.
type granted struct {
	ring   *kms.Keyring
	arn    string
	grants int
	user   *kms.Client // whom the key policy names
	last   *kms.Client // who got the last grant
	cold   *kms.Keyring
	turn   int
}

func granteeName(i int) string { return fmt.Sprintf("grantee-%d", i) }

// grants compares a key of many grants with one of few, in one ring, in a file in a temporary folder.
func grants(w io.Writer, many, rounds int, span time.Duration) (err error) {
	if rounds < 1 || span <= 0 || many < fewGrants {
		return fmt.Errorf("want at least one round, of some time, and %d grants", fewGrants)
	}
	dir, err := os.MkdirTemp("", "claviger-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := keyfile.Create(filepath.Join(dir, "root")); err != nil {
		return err
	}
	var cfg kms.Config
	ring, end, err := open(dir, func(c *kms.Config) { c.MaxStaleness, cfg = time.Minute, *c })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	cfg.CacheSize = 1
	cold, err := kms.Open(context.Background(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cold.Close()) }()
	started := time.Now()
	var keys []*granted
	for _, n := range []int{fewGrants, many} {
		k, err := grantTo(ring, n-1) // and one that comes and goes
		if err != nil {
			return err
		}
		k.cold = cold
		keys = append(keys, k)
	}
	built := time.Since(started)
	contests := grantContests(keys[0], keys[1])
	if err := measure(contests, rounds, span); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s/%s, %d CPUs, median of %d rounds\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	fmt.Fprintf(w, "keyring is a key of %d grants, made in %v\n\n", many, built.Round(time.Second))
	return printTable(w, contests)
}

// grantTo makes a key, and so many grants on it.
func grantTo(ring *kms.Keyring, n int) (*granted, error) {
	ctx := context.Background()
	policy, err := ring.DefaultPolicy(nil, []kms.Caller{kms.Role("user")})
	if err != nil {
		return nil, err
	}
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Policy: policy})
	if err != nil {
		return nil, err
	}
	k := &granted{ring: ring, arn: key.ARN, grants: n, user: ring.As(kms.Role("user")), last: ring.As(kms.Role(granteeName(n - 1)))}
	for i := range n {
		if _, err := k.grant(ctx, granteeName(i)); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *granted) grant(ctx context.Context, role string) (kms.CreateGrantResult, error) {
	arn, err := k.ring.PrincipalARN(kms.Role(role))
	if err != nil {
		return kms.CreateGrantResult{}, err
	}
	return k.ring.CreateGrant(ctx, k.arn, kms.CreateGrantInput{GranteePrincipal: arn, Operations: []kms.GrantOperation{kms.GrantEncrypt, kms.GrantDescribeKey}})
}

// grantContests are what may not depend on how many grants there are on a key.
func grantContests(few, many *granted) []*contest {
	ctx := context.Background()
	text := message{plaintext: make([]byte, 32)}
	encrypt := func(client func(*granted) *kms.Client) func(*granted) way {
		return func(k *granted) way {
			return way{
				op: func() ([]byte, error) {
					out, err := client(k).Encrypt(ctx, k.arn, text.plaintext, nil)
					return out.Ciphertext, err
				},
				check: text.opensWith(func(ciphertext []byte) ([]byte, error) {
					out, err := k.user.Decrypt(ctx, ciphertext, nil)
					return out.Plaintext, err
				}),
			}
		}
	}
	all := []*contest{
		compare("Encrypt by the key's user", few, many, encrypt(func(k *granted) *kms.Client { return k.user })),
		compare("Encrypt by the last grantee", few, many, encrypt(func(k *granted) *kms.Client { return k.last })),
		compare("Encrypt by a grantee, cold", few, many, encrypt(func(k *granted) *kms.Client {
			k.turn++ // another one each time, so that no cache of one has the grant
			return k.cold.As(kms.Role(granteeName(k.turn % k.grants)))
		})),
		compare("CreateGrant and RevokeGrant", few, many, func(k *granted) way {
			return way{check: isText("revoked"), op: func() ([]byte, error) {
				made, err := k.grant(ctx, "passing")
				if err != nil {
					return nil, err
				}
				return []byte("revoked"), k.ring.RevokeGrant(ctx, k.arn, made.GrantID)
			}}
		}),
		compare(fmt.Sprintf("ListGrants, a page of %d", grantsPage), few, many, func(k *granted) way {
			return listing(grantsPage, func() (kms.Page[kms.Grant], error) {
				return k.ring.ListGrantsPage(ctx, k.arn, kms.ListGrantsInput{}, kms.PageInput{Limit: grantsPage})
			})
		}),
	}
	for _, c := range all {
		c.others[0].name = fmt.Sprintf("%d grants", fewGrants)
	}
	return all
}
