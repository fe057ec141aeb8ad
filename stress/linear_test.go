package stress_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A question is one operation on the ring of a history: two keys and two aliases.
type question struct {
	op    string
	key   int // 0 or 1
	alias int
	text  string // a description, or the value of a tag
}

// An answer is what came of it. unknown says that nobody knows whether the change took effect.
type answer struct {
	code    kms.Code
	unknown bool
	key     int // that an alias names
	state   kms.KeyState
	text    string // the description, or the value of the tag
	version int    // of the material that encrypted, from 1
}

// A ringState is a sequential ring of two keys. It is comparable, as porcupine likes it.
type ringState struct {
	keys [2]struct {
		state       kms.KeyState
		description string
		tag         string
		version     int
	}
	aliases [2]int // 0: none; else the key, from 1
}

// apply returns the answers that a sequential ring could give, which is one, and the state after it.
func (s ringState) apply(q question) (ringState, answer) {
	k := &s.keys[q.key]
	use := func() kms.Code {
		switch k.state {
		case kms.Disabled:
			return kms.ErrDisabled
		case kms.PendingDeletion:
			return kms.ErrInvalidState
		}
		return ""
	}
	manage := func() kms.Code {
		if k.state == kms.PendingDeletion {
			return kms.ErrInvalidState
		}
		return ""
	}
	var a answer
	switch q.op {
	case "Enable", "Disable", "Schedule":
		if a.code = manage(); a.code == "" {
			k.state = map[string]kms.KeyState{"Enable": kms.Enabled, "Disable": kms.Disabled, "Schedule": kms.PendingDeletion}[q.op]
		}
	case "Cancel":
		if k.state != kms.PendingDeletion {
			a.code = kms.ErrInvalidState
		} else {
			k.state = kms.Disabled
		}
	case "Describe":
		a.state, a.text = k.state, k.description
	case "UpdateDescription":
		if a.code = manage(); a.code == "" {
			k.description = q.text
		}
	case "Tag":
		if a.code = manage(); a.code == "" {
			k.tag = q.text
		}
	case "ListTags":
		a.text = k.tag
	case "Rotate":
		if a.code = use(); a.code == "" && k.version > 25 {
			a.code = kms.ErrLimitExceeded
		} else if a.code == "" {
			k.version++
		}
	case "Encrypt", "ListRotations":
		if q.op == "Encrypt" {
			a.code = use()
		}
		if a.code == "" {
			a.version = k.version
		}
	case "CreateAlias":
		switch a.code = manage(); {
		case a.code != "":
		case s.aliases[q.alias] != 0:
			a.code = kms.ErrAlreadyExists
		default:
			s.aliases[q.alias] = q.key + 1
		}
	case "UpdateAlias":
		switch {
		case s.aliases[q.alias] == 0:
			a.code = kms.ErrNotFound
		default:
			if a.code = manage(); a.code == "" {
				s.aliases[q.alias] = q.key + 1
			}
		}
	case "DeleteAlias":
		if s.aliases[q.alias] == 0 {
			a.code = kms.ErrNotFound
		}
		s.aliases[q.alias] = 0
	case "DescribeAlias":
		if a.key = s.aliases[q.alias]; a.key == 0 {
			a.code = kms.ErrNotFound
		} else {
			a.state = s.keys[a.key-1].state
		}
	default:
		panic(q.op)
	}
	return s, a
}

// refuses reports whether one of the two records of an operation on an alias is a reason to refuse it so. A refusal speaks of one record, the alias or the key, and
// each was read at a time of its own: only what is written requires both to be as they were read.
func (s ringState) refuses(q question, code kms.Code) bool {
	switch q.op + " " + string(code) {
	case "CreateAlias " + string(kms.ErrAlreadyExists):
		return s.aliases[q.alias] != 0
	case "UpdateAlias " + string(kms.ErrInvalidState):
		return s.keys[q.key].state == kms.PendingDeletion
	default:
		return false
	}
}

var questions = []string{"Enable", "Enable", "Disable", "Schedule", "Cancel", "Describe", "Describe", "UpdateDescription", "Tag", "ListTags", "Rotate", "Encrypt", "Encrypt",
	"ListRotations", "CreateAlias", "UpdateAlias", "DeleteAlias", "DescribeAlias", "DescribeAlias"}

// sequential is the model that porcupine searches.
var sequential = (&porcupine.NondeterministicModel{
	Init: func() []any {
		var s ringState
		for i := range s.keys {
			s.keys[i].state, s.keys[i].version = kms.Enabled, 1
		}
		return []any{s}
	},
	Step: func(state, input, output any) []any {
		got := output.(answer)
		next, want := state.(ringState).apply(input.(question))
		switch {
		case got.code == kms.ErrDependencyTimeout: // which says that nothing happened
			return []any{state}
		case got.unknown && next != state.(ringState):
			return []any{state, next}
		case got.unknown, got == want:
			return []any{next}
		case state.(ringState).refuses(input.(question), got.code):
			return []any{state}
		default:
			return nil
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}).ToModel()

// A contest is a store with rings on it, two keys, and the history of what clients were told.
type contest struct {
	t       *testing.T
	rings   []*kms.Keyring
	keys    [2]string
	started time.Time
	mu      sync.Mutex
	history []porcupine.Operation
	made    map[int][]byte // material ids of what was encrypted, by the place in the history
	unknown int
}

func newContest(t *testing.T, rings ...*kms.Keyring) *contest {
	c := &contest{t: t, rings: rings, started: time.Now(), made: map[int][]byte{}}
	for i := range c.keys {
		c.keys[i] = must(rings[0].CreateKey(context.Background(), kms.CreateKeyInput{}))(t).KeyID
	}
	return c
}

// ask runs one operation. Of a ciphertext it returns the id of the material, as docs/format.md says where it stands.
func (c *contest) ask(ring *kms.Keyring, q question) (a answer, material []byte) {
	ctx, key, alias := context.Background(), c.keys[q.key], fmt.Sprintf("alias/a%d", q.alias)
	var err error
	var meta kms.KeyMetadata
	switch q.op {
	case "Enable":
		err = ring.EnableKey(ctx, key)
	case "Disable":
		err = ring.DisableKey(ctx, key)
	case "Schedule":
		_, err = ring.ScheduleKeyDeletion(ctx, key, 7)
	case "Cancel":
		_, err = ring.CancelKeyDeletion(ctx, key)
	case "Describe":
		if meta, err = ring.DescribeKey(ctx, key); err == nil {
			a.state, a.text = meta.KeyState, meta.Description
		}
	case "UpdateDescription":
		err = ring.UpdateKeyDescription(ctx, key, q.text)
	case "Tag":
		err = ring.TagResource(ctx, key, kms.Tag{Key: "t", Value: q.text})
	case "ListTags":
		var tags []kms.Tag
		if tags, err = collect(ring.ListResourceTags(ctx, key)); len(tags) > 0 {
			a.text = tags[0].Value
		}
	case "Rotate":
		_, err = ring.RotateKeyOnDemand(ctx, key)
	case "Encrypt":
		var out kms.EncryptResult
		if out, err = ring.Encrypt(ctx, key, []byte("x"), nil); err == nil {
			material = out.Ciphertext[19:35]
		}
	case "ListRotations":
		var all []kms.KeyRotation
		all, err = collect(ring.ListKeyRotations(ctx, key, kms.ListKeyRotationsInput{AllKeyMaterial: true}))
		a.version = 1 + slices.IndexFunc(all, func(r kms.KeyRotation) bool { return r.KeyMaterialState == kms.MaterialCurrent })
	case "CreateAlias":
		err = ring.CreateAlias(ctx, alias, key)
	case "UpdateAlias":
		err = ring.UpdateAlias(ctx, alias, key)
	case "DeleteAlias":
		err = ring.DeleteAlias(ctx, alias)
	case "DescribeAlias":
		if meta, err = ring.DescribeKey(ctx, alias); err == nil {
			a.state, a.key = meta.KeyState, 1+slices.Index(c.keys[:], meta.KeyID)
		}
	}
	a.code, a.unknown = codeOf(err), errors.Is(err, keystore.ErrUnknown)
	return a, material
}

// run lets clients ask, each on one of the rings in turn, and records what they were told. early is by how much an answer may be older
// than its question; between two questions a client pauses for up to pause.
func (c *contest) run(seed uint64, clients, each int, early, pause time.Duration) {
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(client)))
			ring := c.rings[client%len(c.rings)]
			for i := range each {
				q := question{op: questions[rnd.IntN(len(questions))], key: rnd.IntN(2), alias: rnd.IntN(2), text: fmt.Sprint(client, "-", i)}
				time.Sleep(time.Duration(rnd.Int64N(int64(pause) + 1)))
				call := time.Since(c.started)
				a, material := c.ask(ring, q)
				op := porcupine.Operation{ClientId: client, Input: q, Call: int64(call - early), Output: a, Return: int64(time.Since(c.started))}
				if a.unknown {
					op.Return = int64(time.Hour)
				}
				c.mu.Lock()
				if material != nil {
					c.made[len(c.history)] = material
				}
				if a.unknown {
					c.unknown++
				}
				c.history = append(c.history, op)
				c.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// judge has porcupine look for an order, after it was found out which version each material is.
func (c *contest) judge() porcupine.CheckResult {
	versions := map[string]int{}
	for _, key := range c.keys {
		for i, r := range must(collect(c.rings[0].ListKeyRotations(context.Background(), key, kms.ListKeyRotationsInput{AllKeyMaterial: true})))(c.t) {
			versions[r.KeyMaterialID[:32]] = i + 1
		}
	}
	for i, material := range c.made {
		a := c.history[i].Output.(answer)
		a.version = versions[fmt.Sprintf("%x", material)]
		c.history[i].Output = a
	}
	result, _ := porcupine.CheckOperationsVerbose(sequential, c.history, time.Minute)
	return result
}

func (c *contest) print() {
	slices.SortFunc(c.history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	for _, op := range c.history {
		c.t.Logf("%8d %8d client %d: %+v -> %+v", op.Call/1000, op.Return/1000, op.ClientId, op.Input, op.Output)
	}
}

// A losingStore loses the answers of some commits, which were made or not, and of the reads by which a ring then asks.
type losingStore struct {
	keystore.Store
	on  atomic.Bool
	mu  sync.Mutex
	rnd *rand.Rand // guarded by mu
}

var errLost = errors.New("the answer was lost")

func (s *losingStore) roll(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on.Load() && s.rnd.IntN(n) == 0
}

func (s *losingStore) Commit(ctx context.Context, changes []keystore.Change) (keystore.Revision, error) {
	if !s.roll(10) {
		return s.Store.Commit(ctx, changes)
	}
	if s.roll(2) {
		_, _ = s.Store.Commit(ctx, changes) // whether it was made is what nobody learns
	}
	return 0, keystore.ErrUnknown
}

func (s *losingStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	r, err := s.Store.Get(ctx, name)
	if ctx.Done() == nil && s.roll(2) { // of an alias, or of a record by which the ring wants to learn what became of its commit
		return keystore.Record{}, errLost
	}
	return r, err
}

// A tiny staleness makes every operation read the store.
func withoutStaleness(c *kms.Config) { c.MaxStaleness = 1 }

func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		rings         func(t *testing.T, seed uint64) []*kms.Keyring
		early         time.Duration
		clients, each int
	}{
		{"one ring", func(t *testing.T, _ uint64) []*kms.Keyring { return []*kms.Keyring{openRing(t, memory.New())} }, 0, 4, 15},
		{"two rings", func(t *testing.T, _ uint64) []*kms.Keyring {
			store := memory.New()
			return []*kms.Keyring{openRing(t, store, withoutStaleness), openRing(t, store, withoutStaleness)}
		}, 0, 4, 15},
		{"two rings within the bound", func(t *testing.T, _ uint64) []*kms.Keyring {
			store := memory.New()
			bound := func(c *kms.Config) { c.MaxStaleness = staleness }
			return []*kms.Keyring{openRing(t, store, bound), openRing(t, store, bound)}
		}, staleness, 3, 8},
		{"lost answers", func(t *testing.T, seed uint64) []*kms.Keyring {
			store := memory.New()
			first := openRing(t, store, withoutStaleness)
			losing := &losingStore{Store: store, rnd: rand.New(rand.NewPCG(seed, 9))}
			second := openRing(t, losing, withoutStaleness)
			losing.on.Store(true)
			return []*kms.Keyring{first, second}
		}, 0, 4, 15},
	} {
		t.Run(tc.name, func(t *testing.T) {
			operations, unknown := 0, 0
			for seed := range uint64(size(20, 1000)) {
				c := newContest(t, tc.rings(t, seed)...)
				c.run(seed, tc.clients, tc.each, tc.early, 2*tc.early)
				if result := c.judge(); result != porcupine.Ok {
					c.print()
					t.Fatalf("seed %d: the history is %s", seed, result)
				}
				operations += len(c.history)
				unknown += c.unknown
				for _, r := range c.rings {
					check(t, r.Close())
				}
			}
			if tc.name == "lost answers" && unknown == 0 {
				t.Error("no outcome was unknown")
			}
			t.Logf("%d histories, %d operations, %d of unknown outcome, not linearizable: 0", size(20, 1000), operations, unknown)
		})
	}
}

const staleness = 2 * time.Millisecond

// A staleStore is a mutant: it returns each record of a key as it was when it was first read.
type staleStore struct {
	keystore.Store
	mu    sync.Mutex
	first map[string]keystore.Record // guarded by mu
}

func (s *staleStore) Get(ctx context.Context, name string) (keystore.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.first[name]; ok {
		return r, nil
	}
	r, err := s.Store.Get(ctx, name)
	if err == nil {
		s.first[name] = r
	}
	return r, err
}

// TestAStaleStoreIsNotLinearizable shows that the check can fail: a ring on the mutant only reads, one on a good store changes.
func TestAStaleStoreIsNotLinearizable(t *testing.T) {
	for _, early := range []time.Duration{0, staleness} {
		store := memory.New()
		good := openRing(t, store, withoutStaleness)
		c := newContest(t, good)
		record := func(ring *kms.Keyring, q question) {
			time.Sleep(2 * early)
			call := time.Since(c.started)
			a, _ := c.ask(ring, q)
			c.history = append(c.history, porcupine.Operation{Input: q, Call: int64(call - early), Output: a, Return: int64(time.Since(c.started))})
		}
		stale := openRing(t, &staleStore{Store: store, first: map[string]keystore.Record{}}, withoutStaleness)
		record(stale, question{op: "Describe"})
		if c.judge() != porcupine.Ok {
			t.Error("what is not stale yet is refused")
		}
		record(good, question{op: "Disable"})
		record(stale, question{op: "Describe"})
		if c.judge() != porcupine.Illegal {
			c.print()
			t.Error("a stale read is called linearizable")
		}
	}
}
