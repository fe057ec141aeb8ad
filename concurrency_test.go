package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// TestNoCiphertextIsLost: under load, with eviction, rotation, disabling, deletion and Close going on, what was encrypted decrypts.
func TestNoCiphertextIsLost(t *testing.T) {
	shared := func(c *kms.Config) { c.CacheSize, c.Now, c.MaxStaleness = 3, nil, 10*time.Millisecond }
	f := open(t, shared)
	closing := open(t, shared, func(c *kms.Config) { c.Store = f.store })
	var keys []kms.KeyMetadata
	for range 8 {
		keys = append(keys, f.create())
	}
	type message struct{ plaintext, ciphertext []byte }
	var mu sync.Mutex
	var made []message
	var stop atomic.Bool
	var wg sync.WaitGroup
	expected := []error{kms.ErrDisabled, kms.ErrInvalidState, kms.ErrServiceUnavailable}
	tolerate := func(err error) bool {
		for _, e := range expected {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	for g, ring := range []*kms.Keyring{f.Keyring, f.Keyring, closing.Keyring, closing.Keyring} {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for i := 0; !stop.Load(); i++ {
				key := keys[rnd.IntN(len(keys))]
				plaintext := fmt.Appendf(nil, "message %d of %d", i, g)
				out, err := ring.Encrypt(t.Context(), key.ARN, plaintext, kms.EncryptionContext{"g": fmt.Sprint(g)})
				if err != nil {
					if !tolerate(err) {
						t.Errorf("Encrypt: %v", err)
						return
					}
					continue
				}
				got, err := ring.Decrypt(t.Context(), out.Ciphertext, kms.EncryptionContext{"g": fmt.Sprint(g)})
				if err != nil && !tolerate(err) || err == nil && !bytes.Equal(got.Plaintext, plaintext) {
					t.Errorf("Decrypt: %q, %v", got.Plaintext, err)
				}
				mu.Lock()
				made = append(made, message{fmt.Appendf(nil, "%d", g), out.Ciphertext})
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(9, 9))
		for i := 0; !stop.Load(); i++ {
			key := keys[rnd.IntN(len(keys))]
			var err error
			switch rnd.IntN(4) {
			case 0:
				_, err = f.RotateKeyOnDemand(t.Context(), key.ARN)
			case 1:
				err = errors.Join(f.DisableKey(t.Context(), key.ARN), f.EnableKey(t.Context(), key.ARN))
			case 2:
				if _, err = f.ScheduleKeyDeletion(t.Context(), key.ARN, 7); err == nil {
					if _, err = f.CancelKeyDeletion(t.Context(), key.ARN); err == nil {
						err = f.EnableKey(t.Context(), key.ARN)
					}
				}
			default:
				err = f.TagResource(t.Context(), key.ARN, kms.Tag{Key: "i", Value: fmt.Sprint(i)})
			}
			if err != nil && !errors.Is(err, kms.ErrLimitExceeded) {
				t.Errorf("change: %v", err)
				return
			}
		}
	})
	time.Sleep(400 * time.Millisecond)
	check(t, closing.Close())
	time.Sleep(100 * time.Millisecond)
	stop.Store(true)
	wg.Wait()

	for _, key := range keys {
		check(t, f.EnableKey(t.Context(), key.ARN))
	}
	for i, m := range made {
		if _, err := f.Decrypt(t.Context(), m.ciphertext, kms.EncryptionContext{"g": string(m.plaintext)}); err != nil {
			t.Fatalf("message %d of %d: %v", i, len(made), err)
		}
	}
	if len(made) < 100 {
		t.Errorf("only %d messages", len(made))
	}
}

// TestNoUpdateIsLost: changes of one key by many at once, in two rings, all take effect. OpenBao GH-956: an update that overwrote another.
func TestNoUpdateIsLost(t *testing.T) {
	f := open(t)
	second := open(t, func(c *kms.Config) { c.Store = f.store })
	key := f.create()
	var wg sync.WaitGroup
	for i := range 40 {
		ring := []*fixture{f, second}[i%2]
		wg.Go(func() {
			if err := ring.TagResource(t.Context(), key.ARN, kms.Tag{Key: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 10 {
		wg.Go(func() {
			if err := f.CreateAlias(t.Context(), fmt.Sprintf("alias/%d", i), key.ARN); err != nil {
				t.Error(err)
			}
			if _, err := second.RotateKeyOnDemand(t.Context(), key.ARN); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	fresh := open(t, func(c *kms.Config) { c.Store = f.store }) // the others may still use what they saw less than MaxStaleness ago
	if got := all(t, fresh.ListResourceTags(t.Context(), key.ARN)); len(got) != 40 {
		t.Errorf("%d tags, want 40", len(got))
	}
	if got := all(t, fresh.ListAliases(t.Context(), "")); len(got) != 10 {
		t.Errorf("%d aliases, want 10", len(got))
	}
	if got := all(t, fresh.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{})); len(got) != 10 {
		t.Errorf("%d rotations, want 10", len(got))
	}
}

// TestOneAliasForMany: of many who want a name, one gets it.
func TestOneAliasForMany(t *testing.T) {
	f := open(t)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		key := f.create()
		wg.Go(func() {
			switch err := f.CreateAlias(t.Context(), "alias/one", key.ARN); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, kms.ErrAlreadyExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d have got it", won.Load())
	}
	aliases := all(t, f.ListAliases(t.Context(), ""))
	if len(aliases) != 1 || must(f.DescribeKey(t.Context(), "alias/one"))(t).KeyID != aliases[0].TargetKeyID {
		t.Errorf("%v", aliases)
	}
}

// TestCloseWaits: Close returns when the operations that run have ended, and not before.
func TestCloseWaits(t *testing.T) {
	store := &gatedStore{entered: make(chan bool), leave: make(chan bool)}
	f := open(t, func(c *kms.Config) { store.Store, c.Store = c.Store, store })
	key := f.create()
	store.on.Store(true)
	result, ended := make(chan error), make(chan bool)
	go func() { result <- f.DisableKey(context.Background(), key.ARN) }()
	<-store.entered
	go func() { f.Close(); f.Close(); ended <- true }()
	for { // until the gate is shut
		_, err := f.DescribeKey(t.Context(), "alias/none")
		if errors.Is(err, kms.ErrServiceUnavailable) {
			break
		}
	}
	select {
	case <-ended:
		t.Error("Close did not wait")
	default:
	}
	store.leave <- true
	check(t, <-result)
	<-ended
}

// TestClientsAreViews: what is changed on a copy is not changed on the original.
func TestClientsAreViews(t *testing.T) {
	f := open(t)
	key := f.create()
	base := f.As(kms.Role("app"))
	if got := fmt.Sprintf("%v", base.DryRun()); got != "kms client of arn:aws:sts::111122223333:assumed-role/app/app" {
		t.Errorf("prints %s", got)
	}
	if got := fmt.Sprintf("%+v, %x, %v", f.Keyring, f.As(kms.Caller{}), (*kms.Client)(nil)); got != "kms client of arn:aws:iam::111122223333:root, kms client of nobody, kms client of nobody" {
		t.Errorf("prints %s", got)
	}
	one, two := base.WithGrantTokens("a"), base.WithGrantTokens("a").WithGrantTokens("b")
	dry := base.DryRun()
	must(base.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	for _, c := range []*kms.Client{one, two} {
		_, err := c.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
		wantCode(t, err, kms.ErrInvalidGrantToken)
	}
	_, err := dry.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
	wantCode(t, err, kms.ErrDryRun)
	must(base.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	if err := dry.DisableKey(t.Context(), key.ARN); err == nil || !strings.Contains(err.Error(), "The request would have succeeded, but the DryRun option is set.") {
		t.Error(err)
	}
}

// TestChangesOfOneProcessDoNotMeet: keys are counted in totals that many of them share; changes that come together are neither made nor recorded twice for that.
func TestChangesOfOneProcessDoNotMeet(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const creators, each = 64, 8 // so that two are often in one of 256 totals
		store := &tardyStore{Store: memory.New()}
		f := open(t, func(c *kms.Config) { c.Store = store })
		store.commits.Store(0)
		before := len(f.trail.Events())
		var wg sync.WaitGroup
		for range creators {
			wg.Go(func() {
				for range each {
					if _, err := f.CreateKey(t.Context(), kms.CreateKeyInput{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := store.commits.Load(); n != creators*each {
			t.Errorf("%d commits for %d keys", n, creators*each)
		}
		if n := len(f.trail.Events()) - before; n != creators*each {
			t.Errorf("%d events for %d keys", n, creators*each)
		}
	})
}

// A tardyStore takes its time for a commit, and counts.
type tardyStore struct {
	keystore.Store
	commits atomic.Int64
}

func (s *tardyStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	s.commits.Add(1)
	time.Sleep(time.Millisecond)
	return s.Store.Commit(ctx, changes)
}

// TestGrantsUnderContention: two rings on one store make, use, revoke and retire grants on one key, while its policy, the identities, the domain key and the counts
// change. Each grant is used by its grantee until it is removed, removed once, and used no more in that process; Check finds the ring whole at the end.
func TestGrantsUnderContention(t *testing.T) {
	const workers = 4
	rounds := 8
	if os.Getenv("KMS_SOAK") != "" {
		rounds = 100
	}
	known := map[string][]string{userARN(owner, "retiring"): nil}
	for i := range workers {
		known[userARN(owner, fmt.Sprint("u", i))] = nil
	}
	var now atomic.Pointer[directory]
	one, other := people(t, known), people(t, known)
	now.Store(one)
	identities := withIdentities(reloaded{one, &now})
	f := open(t, identities)
	rings := []*fixture{f, open(t, identities, func(c *kms.Config) { c.Store, c.MaxStaleness = f.store, time.Millisecond })}
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: delegating}))(t)
	var stop atomic.Bool
	var around, workersDone sync.WaitGroup
	for name, do := range map[string]func() error{
		"Maintain": func() error {
			_, err := f.Maintain(t.Context())
			return err
		},
		"RotateDomainKey": func() error { return f.RotateDomainKey(t.Context()) },
		"Recount":         func() error { return rings[1].Recount(t.Context()) },
		"Check": func() error {
			report, err := rings[1].Check(t.Context())
			if len(report.Problems) > 0 {
				return report.Problems[0]
			}
			return err
		},
		"reload": func() error { now.Store(other); now.Store(one); return nil },
		"PutKeyPolicy": func() error {
			return f.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: strings.Replace(delegating, "kms:*", "kms:"+strings.Repeat("*", 1+rand.IntN(3)), 1)})
		},
	} {
		around.Go(func() {
			for !stop.Load() {
				if err := do(); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for w := range workers {
		workersDone.Go(func() {
			here, there, me := rings[w%2], rings[(w+1)%2], fmt.Sprint("u", w)
			for i := range rounds {
				made, err := here.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, me), RetiringPrincipal: userARN(owner, "retiring"),
					Operations: []kms.GrantOperation{kms.GrantEncrypt}})
				if err != nil {
					t.Errorf("CreateGrant: %v", err)
					return
				}
				if err := errors.Join(use(t, here.As(kms.User(me)), key.ARN, nil), use(t, there.As(kms.User(me)).WithGrantTokens(made.GrantToken), key.ARN, nil)); err != nil {
					t.Errorf("a grant is not used: %v", err)
				}
				if i%2 == 0 { // by whoever comes first
					var removed atomic.Int64
					var both sync.WaitGroup
					for _, ring := range rings {
						both.Go(func() {
							switch err := ring.RevokeGrant(t.Context(), key.ARN, made.GrantID); {
							case err == nil:
								removed.Add(1)
							case !errors.Is(err, kms.ErrNotFound):
								t.Errorf("RevokeGrant: %v", err)
							}
						})
					}
					both.Wait()
					if n := removed.Load(); n != 1 {
						t.Errorf("a grant was removed %d times", n)
					}
					continue
				}
				if err := here.As(kms.User("retiring")).RetireGrant(t.Context(), kms.RetireGrantInput{GrantToken: made.GrantToken}); err != nil {
					t.Errorf("RetireGrant: %v", err)
				}
				if err := use(t, here.As(kms.User(me)).WithGrantTokens(made.GrantToken), key.ARN, nil); !errors.Is(err, kms.ErrAccessDenied) {
					t.Errorf("a grant that was retired: %v", err)
				}
			}
		})
	}
	workersDone.Wait()
	stop.Store(true)
	around.Wait()
	if n := len(all(t, f.ListGrants(t.Context(), key.ARN, kms.ListGrantsInput{}))); n != 0 {
		t.Errorf("%d grants are left", n)
	}
	for _, ring := range rings {
		if p := must(ring.Check(t.Context()))(t).Problems; len(p) > 0 {
			t.Error(p)
		}
	}
}

// reloaded are Identities that somebody replaces.
type reloaded struct {
	*directory
	now *atomic.Pointer[directory]
}

func (r reloaded) Current() kms.Identities { return r.now.Load() }
