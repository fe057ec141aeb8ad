package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/claviger/kms"
)

const (
	fewKeys    = 10
	scaleLimit = 1.5         // the most times as long as with few keys that anything may take with many
	page       = fewKeys - 1 // of keys and aliases: also a ring of few keys has more
	rotations  = 100         // a page of versions
	memoryUses = 20_000      // how many random keys a process uses before its memory is looked at
	smallCache = 100
)

// scale compares a ring of many keys with one of few, in files in a temporary folder.
func scale(w io.Writer, keys, uses, rounds int, span time.Duration) (err error) {
	if rounds < 1 || span <= 0 {
		return errors.New("want at least one round, of some time")
	}
	if keys < fewKeys {
		return fmt.Errorf("want at least %d keys", fewKeys)
	}
	dir, err := os.MkdirTemp("", "claviger-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	started := time.Now()
	few, err := build(filepath.Join(dir, "few"), fewKeys)
	if err != nil {
		return err
	}
	many, err := build(filepath.Join(dir, "many"), keys)
	if err != nil {
		return err
	}
	built := time.Since(started)
	// Opening is measured alone, since a file is open once.
	contests := openContests(few, many)
	if err := measure(contests, rounds, span); err != nil {
		return err
	}
	used, checks, err := measureUse(few, many, rounds, span)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s/%s, %d CPUs, median of %d rounds\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	fmt.Fprintf(w, "keyring is one of %d keys, made with its aliases and rotations in %v\n\n", keys, built.Round(time.Second))
	if err := printTable(w, append(contests, used...)); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nCheck, which walks all of a ring: %v with %d keys, %v with %d\n\n", checks[0].Round(time.Millisecond), fewKeys, checks[1].Round(time.Millisecond), keys)
	return printMemory(w, []*scaled{few, many}, uses)
}

// printMemory tells what a process holds that used random keys of a ring, with the usual cache and a small one.
func printMemory(w io.Writer, rings []*scaled, uses int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "keys\tused at random\tCacheSize\tVmRSS\tRssAnon\t\n")
	for _, s := range rings {
		for _, size := range []int{kms.DefaultCacheSize, smallCache} {
			lines, err := residence{Folder: s.folder, Keys: len(s.ids), Cache: size, Uses: uses}.measure()
			if err != nil {
				return fmt.Errorf("memory: %w", err)
			}
			fmt.Fprintf(t, "%d\t%d\t%d\t%s\t%s\t\n", len(s.ids), uses, size, lines["VmRSS"], lines["RssAnon"])
		}
	}
	return t.Flush()
}

// compare makes a contest between the rings, of what op makes of each.
func compare[T any](name string, few, many T, op func(T) way) *contest {
	ours, other := op(many), op(few)
	ours.name, other.name, other.limit = nameOurs, fmt.Sprintf("%d keys", fewKeys), scaleLimit
	return &contest{name: name, ours: &ours, others: []*way{&other}, allocs: noLimit}
}

// openContests open a file and its ring. The second uses it, too.
func openContests(few, many *scaled) []*contest {
	opening := func(use func(ring *kms.Keyring, s *scaled) error) func(s *scaled) way {
		return func(s *scaled) way {
			return way{few: 2, check: isText("closed"), op: func() ([]byte, error) {
				ring, end, err := open(s.folder, nil)
				if err != nil {
					return nil, err
				}
				err = use(ring, s)
				return []byte("closed"), errors.Join(err, end())
			}}
		}
	}
	return []*contest{
		compare("Open and Close", few, many, opening(func(*kms.Keyring, *scaled) error { return nil })),
		compare("Open, Encrypt by alias once, Close", few, many, opening(func(ring *kms.Keyring, s *scaled) error {
			_, err := ring.Encrypt(context.Background(), aliasOf(rand.IntN(len(s.ids))), []byte("x"), nil)
			return err
		})),
	}
}

// An inUse is a scaled ring that is open twice: with a cache that is full of keys, and with one that holds one key.
type inUse struct {
	*scaled
	warm, cold *kms.Keyring
	turn       int
}

// use opens a ring on one store twice, and fills the cache of the first.
func (s *scaled) use() (u *inUse, end func() error, err error) {
	u = &inUse{scaled: s}
	var store kms.Config
	warm, endWarm, err := open(s.folder, func(cfg *kms.Config) {
		cfg.MaxStaleness = time.Minute // few keys are read again while they are measured
		store = *cfg
	})
	if err != nil {
		return nil, nil, err
	}
	store.CacheSize = 1
	cold, err := kms.Open(context.Background(), store)
	if err != nil {
		return nil, nil, errors.Join(err, endWarm())
	}
	u.warm, u.cold = warm, cold
	for range 2 * kms.DefaultCacheSize {
		if _, err := warm.DescribeKey(context.Background(), s.ids[rand.IntN(len(s.ids))]); err != nil {
			return nil, nil, errors.Join(err, cold.Close(), endWarm())
		}
	}
	return u, func() error { return errors.Join(cold.Close(), endWarm()) }, nil
}

// warmKey returns the place of one of few keys, in turn.
func (u *inUse) warmKey() int {
	u.turn++
	return u.turn % fewKeys
}

// coldKey returns the place of a random key that is not the last one, which alone is in the small cache.
func (u *inUse) coldKey() int {
	u.turn = (u.turn + 1 + rand.IntN(len(u.ids)-1)) % len(u.ids)
	return u.turn
}

// measureUse measures what is done with open rings, and then how long a Check takes of each.
func measureUse(few, many *scaled, rounds int, span time.Duration) (contests []*contest, checks []time.Duration, err error) {
	a, endFew, err := few.use()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, endFew()) }()
	b, endMany, err := many.use()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, endMany()) }()
	contests = useContests(a, b)
	if err := measure(contests, rounds, span); err != nil {
		return nil, nil, err
	}
	for _, u := range []*inUse{a, b} {
		started := time.Now()
		report, err := u.warm.Check(context.Background())
		if err == nil && (len(report.Problems) > 0 || report.Keys != len(u.ids)) {
			err = fmt.Errorf("a ring of %d keys is not whole: %d keys, %v", len(u.ids), report.Keys, report.Problems)
		}
		if err != nil {
			return nil, nil, err
		}
		checks = append(checks, time.Since(started))
	}
	return contests, checks, nil
}

// useContests are what may not depend on how many keys there are.
func useContests(few, many *inUse) []*contest {
	ctx := context.Background()
	text := message{plaintext: bytes.Repeat([]byte{'x'}, 32)}
	describe := func(ring func(*inUse) *kms.Keyring, key func(*inUse) int) func(*inUse) way {
		return func(u *inUse) way {
			last := 0
			return way{
				op: func() ([]byte, error) {
					last = key(u)
					out, err := ring(u).DescribeKey(ctx, u.ids[last])
					return []byte(out.KeyID), err
				},
				check: func(id []byte) error { return isText(u.ids[last])(id) },
			}
		}
	}
	encrypt := func(ring func(*inUse) *kms.Keyring, key func(*inUse) int) func(*inUse) way {
		return func(u *inUse) way {
			return way{
				op: func() ([]byte, error) {
					out, err := ring(u).Encrypt(ctx, aliasOf(key(u)), text.plaintext, nil)
					return out.Ciphertext, err
				},
				check: text.opensWith(func(ciphertext []byte) ([]byte, error) {
					out, err := u.warm.Decrypt(ctx, ciphertext, nil)
					return out.Plaintext, err
				}),
			}
		}
	}
	warm, cold := func(u *inUse) *kms.Keyring { return u.warm }, func(u *inUse) *kms.Keyring { return u.cold }
	return []*contest{
		compare("DescribeKey, warm", few, many, describe(warm, (*inUse).warmKey)),
		compare("DescribeKey, cold", few, many, describe(cold, (*inUse).coldKey)),
		compare("Encrypt by alias, warm", few, many, encrypt(warm, (*inUse).warmKey)),
		compare("Encrypt by alias, cold", few, many, encrypt(cold, (*inUse).coldKey)),
		compare(fmt.Sprintf("ListKeys, a page of %d", page), few, many, func(u *inUse) way {
			return listing(page, func() (kms.Page[kms.KeyListEntry], error) {
				return u.warm.ListKeysPage(ctx, kms.PageInput{Limit: page})
			})
		}),
		compare(fmt.Sprintf("ListAliases, a page of %d", page), few, many, func(u *inUse) way {
			return listing(page, func() (kms.Page[kms.AliasListEntry], error) {
				return u.warm.ListAliasesPage(ctx, "", kms.PageInput{Limit: page})
			})
		}),
		compare(fmt.Sprintf("ListKeyRotations, %d of %d", rotations, versions), few, many, func(u *inUse) way {
			return listing(rotations, func() (kms.Page[kms.KeyRotation], error) {
				return u.warm.ListKeyRotationsPage(ctx, u.ids[0], kms.ListKeyRotationsInput{AllKeyMaterial: true}, kms.PageInput{Limit: rotations})
			})
		}),
		compare("Maintain, nothing due", few, many, func(u *inUse) way {
			return way{check: isText("{Rotated:0 Marked:0 Destroyed:0 Resealed:0 Postponed:0}"), op: func() ([]byte, error) {
				report, err := u.warm.Maintain(ctx)
				return fmt.Appendf(nil, "%+v", report), err
			}}
		}),
	}
}

// listing reads a page that is full and has one behind it.
func listing[T any](entries int, list func() (kms.Page[T], error)) way {
	return way{check: isText(fmt.Sprintf("%d, and more", entries)), op: func() ([]byte, error) {
		p, err := list()
		if err != nil || !p.Truncated {
			return nil, err
		}
		return fmt.Appendf(nil, "%d, and more", len(p.Entries)), nil
	}}
}

// isText is the check for a text.
func isText(want string) func([]byte) error {
	return func(got []byte) error {
		if string(got) != want {
			return errWrong
		}
		return nil
	}
}
