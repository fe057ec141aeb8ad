package stress_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/bolt"
)

// What a child finds in its environment: the file that it works on until it is killed, the ring's time, and where its workers left off.
const (
	killedFile  = "KMS_STRESS_KILLED_FILE"
	killedTime  = "KMS_STRESS_KILLED_TIME"
	killedState = "KMS_STRESS_KILLED_STATE"
)

const killedWorkers = 4

// A keptKey is a modelKey on its way between processes.
type keptKey struct {
	ID, Description    string
	State              kms.KeyState
	Deletion, Next     time.Time
	Tags               map[string]string
	Period             time.Duration
	OnDemand, Versions int
	Aliases            []string
}

// A report is what a worker tells its parent: what its keys will be if what it tries next succeeds, or that it has succeeded.
type report struct {
	Worker     int
	Done       bool
	Op         string
	Now        time.Time
	Keys       []keptKey
	Key        string // of the ciphertext, if there is one
	Ciphertext []byte
}

// A worker changes keys of its own, beside the others.
type worker struct {
	*model
	number int
	ring   *kms.Keyring
	rnd    *rand.Rand
	tell   func(report)
}

func (w *worker) keep() (all []keptKey) {
	for _, k := range w.keys {
		kept := keptKey{k.id, k.description, k.state, k.deletion, k.next, maps.Clone(k.tags), k.period, k.onDemand, k.versions, []string{}}
		for name, target := range w.aliases {
			if target == k {
				kept.Aliases = append(kept.Aliases, name)
			}
		}
		slices.Sort(kept.Aliases)
		all = append(all, kept)
	}
	return all
}

func restore(kept []keptKey, now time.Time) *model {
	m := &model{now: now, aliases: map[string]*modelKey{}}
	for _, k := range kept {
		key := &modelKey{id: k.ID, description: k.Description, state: k.State, deletion: k.Deletion, next: k.Next, tags: maps.Clone(k.Tags), period: k.Period, onDemand: k.OnDemand, versions: k.Versions}
		m.keys = append(m.keys, key)
		for _, name := range k.Aliases {
			m.aliases[name] = key
		}
	}
	return m
}

// step tries one operation, and says so before and after. What the model refuses, the ring must refuse.
func (w *worker) step(ctx context.Context, now func() time.Time) error {
	w.now = now()
	w.keys = slices.DeleteFunc(w.keys, w.gone)
	for name, k := range w.aliases {
		if w.gone(k) {
			delete(w.aliases, name)
		}
	}
	if len(w.keys) < 2 || len(w.keys) < 4 && w.rnd.IntN(10) == 0 {
		text := fmt.Sprint("key of ", w.number)
		meta, err := w.ring.CreateKey(ctx, kms.CreateKeyInput{Description: text, Tags: []kms.Tag{{Key: "n", Value: "1"}}})
		if err == nil {
			w.keys = append(w.keys, &modelKey{id: meta.KeyID, state: kms.Enabled, versions: 1, description: text, tags: map[string]string{"n": "1"}})
			w.tell(report{Worker: w.number, Done: true, Op: "CreateKey", Now: w.now, Keys: w.keep()})
		}
		return err
	}
	k, name := w.keys[w.rnd.IntN(len(w.keys))], fmt.Sprintf("alias/w%d/%d", w.number, w.rnd.IntN(4))
	text := strconv.Itoa(w.rnd.IntN(1000))
	var want kms.Code
	var op string
	var do func() error
	done := report{Worker: w.number, Done: true}
	switch w.rnd.IntN(22) {
	case 0, 1:
		op, want = "EnableKey", w.setState(k, kms.Enabled)
		do = func() error { return w.ring.EnableKey(ctx, k.id) }
	case 2:
		op, want = "DisableKey", w.setState(k, kms.Disabled)
		do = func() error { return w.ring.DisableKey(ctx, k.id) }
	case 3:
		op, want = "ScheduleKeyDeletion", w.schedule(k, 7)
		do = func() error { return drop(w.ring.ScheduleKeyDeletion(ctx, k.id, 7)) }
	case 4, 5:
		op, want = "CancelKeyDeletion", w.cancel(k)
		do = func() error { return drop(w.ring.CancelKeyDeletion(ctx, k.id)) }
	case 6:
		op, want = "CreateAlias", w.createAlias(name, k)
		do = func() error { return w.ring.CreateAlias(ctx, name, k.id) }
	case 7:
		op, want = "UpdateAlias", w.updateAlias(name, k)
		do = func() error { return w.ring.UpdateAlias(ctx, name, k.id) }
	case 8:
		op, want = "DeleteAlias", w.deleteAlias(name)
		do = func() error { return w.ring.DeleteAlias(ctx, name) }
	case 9:
		if want = w.manage(k); want == "" {
			k.tags["n"] = text
		}
		op = "TagResource"
		do = func() error { return w.ring.TagResource(ctx, k.id, kms.Tag{Key: "n", Value: text}) }
	case 10:
		if want = w.manage(k); want == "" {
			k.description = text
		}
		op = "UpdateKeyDescription"
		do = func() error { return w.ring.UpdateKeyDescription(ctx, k.id, text) }
	case 11:
		op, want = "EnableKeyRotation", w.setRotation(k, 90*kms.Day)
		do = func() error { return w.ring.EnableKeyRotation(ctx, k.id, 90*kms.Day) }
	case 12:
		op, want = "RotateKeyOnDemand", w.rotate(k)
		do = func() error { return drop(w.ring.RotateKeyOnDemand(ctx, k.id)) }
	case 13, 14:
		op, want = "Encrypt", w.use(k)
		do = func() error {
			out, err := w.ring.Encrypt(ctx, k.id, []byte(k.id), nil)
			done.Key, done.Ciphertext = k.id, out.Ciphertext
			return err
		}
	case 15:
		op = "Maintain"
		do = func() error { return drop(w.ring.Maintain(ctx)) }
	default:
		op = "wait"
		do = func() error {
			time.Sleep([]time.Duration{time.Second, 2 * time.Hour, kms.Day, 10 * kms.Day}[w.rnd.IntN(4)])
			return nil
		}
	}
	w.tell(report{Worker: w.number, Op: op, Now: w.now, Keys: w.keep()})
	if err := do(); codeOf(err) != want {
		return fmt.Errorf("%s answers %w, want %q", op, err, want)
	}
	done.Op, done.Now, done.Keys = op, now(), w.keep()
	w.tell(done)
	return nil
}

// work runs the workers in a bubble, so that years pass among them, until somebody kills the process.
func work(t *testing.T, path string) {
	states := map[int][]keptKey{}
	check(t, json.Unmarshal([]byte(os.Getenv(killedState)), &states))
	begin := must(time.Parse(time.RFC3339Nano, os.Getenv(killedTime)))(t)
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		now := func() time.Time { return begin.Add(time.Since(started)) }
		ring := openFile(t, path, now)
		var mu sync.Mutex
		tell := func(r report) {
			line := append(must(json.Marshal(r))(t), '\n')
			mu.Lock()
			defer mu.Unlock()
			_, _ = os.Stdout.Write(line)
		}
		var wg sync.WaitGroup
		for n := range killedWorkers {
			w := &worker{model: restore(states[n], now()), number: n, ring: ring, rnd: rand.New(rand.NewPCG(rand.Uint64(), 0)), tell: tell}
			wg.Go(func() {
				for {
					time.Sleep(time.Nanosecond)
					if err := w.step(context.Background(), now); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func openFile(t *testing.T, path string, now func() time.Time) *kms.Keyring {
	store := must(bolt.Open(path, nil))(t)
	t.Cleanup(func() { _ = store.Close() })
	return openRing(t, store, func(c *kms.Config) { c.Now = now })
}

// A survivor is a message that was acknowledged.
type survivor struct {
	key        string
	ciphertext []byte
}

// TestKilledWritersLoseNothing kills a process whose workers do everything that changes keys, again and again on the same file, and looks for all that they were told
// is done: each worker's keys are as they were acknowledged, or as the operation that ran would have made them.
func TestKilledWritersLoseNothing(t *testing.T) {
	if path := os.Getenv(killedFile); path != "" {
		work(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.db")
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	acknowledged := map[int][]keptKey{}
	operations := map[string]int{}
	var messages []survivor
	rounds, total, undecided := size(20, 200), 0, 0
	for round := range rounds {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), killedFile+"="+path, killedTime+"="+now.Format(time.RFC3339Nano), killedState+"="+string(must(json.Marshal(acknowledged))(t)))
		out := must(child.StdoutPipe())(t)
		check(t, child.Start())
		trying := map[int][]keptKey{}
		var other []string
		var kill *time.Timer
		lines := bufio.NewScanner(out)
		for lines.Buffer(nil, 1<<20); lines.Scan(); {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) != nil { // the last line may be cut
				other = append(other, lines.Text())
				continue
			}
			if kill == nil { // from when it works, however long it took to start
				kill = time.AfterFunc(time.Duration(20+rand.IntN(180))*time.Millisecond, func() { _ = child.Process.Kill() })
			}
			if r.Now.After(now) {
				now = r.Now
			}
			if !r.Done {
				trying[r.Worker] = r.Keys
				continue
			}
			total++
			operations[r.Op]++
			acknowledged[r.Worker] = r.Keys
			delete(trying, r.Worker)
			if r.Ciphertext != nil {
				messages = append(messages, survivor{r.Key, r.Ciphertext})
			}
		}
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: the child was not killed, but ended by itself: %v\n%s", round, err, strings.Join(other, "\n"))
		}
		undecided += len(trying)
		if messages = inspect(t, path, now, acknowledged, trying, messages, round == rounds-1); t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if total < 10*rounds || undecided == 0 || operations["Maintain"] == 0 {
		t.Errorf("only %d operations were acknowledged, %d were under way", total, undecided)
	}
	t.Logf("%d rounds, until %s: %d operations acknowledged, %d under way when they were killed, lost: 0; %v", rounds, now.Format(time.DateOnly), total, undecided, operations)
}

// inspect opens the file of a process that was killed and compares. Of a worker that was trying something, it makes what it finds the acknowledged state. It returns
// the messages whose keys live.
func inspect(t *testing.T, path string, now time.Time, acknowledged, trying map[int][]keptKey, messages []survivor, last bool) (living []survivor) {
	store := must(bolt.Open(path, nil))(t)
	defer store.Close()
	ring := openRing(t, store, func(c *kms.Config) { c.Now = func() time.Time { return now } })
	defer ring.Close()
	states := map[string]kms.KeyState{}
	for n := range killedWorkers {
		found, difference := matches(t, ring, acknowledged[n], now)
		if tried, ok := trying[n]; !found && ok {
			if found, difference = matches(t, ring, tried, now); found {
				acknowledged[n] = tried
			}
		}
		if !found {
			t.Errorf("lost: worker %d: %s", n, difference)
		}
	}
	for _, k := range must(collect(ring.ListKeys(t.Context())))(t) { // those whose creation was not acknowledged as well
		meta := must(ring.DescribeKey(t.Context(), k.KeyID))(t)
		versions := must(collect(ring.ListKeyRotations(t.Context(), k.KeyID, kms.ListKeyRotationsInput{AllKeyMaterial: true})))(t)
		if versions[len(versions)-1].KeyMaterialID != meta.CurrentKeyMaterialID {
			t.Errorf("%s: the last version is not the current one", k.KeyID)
		}
		states[k.KeyID] = meta.KeyState
		if last && meta.KeyState != kms.Enabled {
			if meta.KeyState == kms.PendingDeletion {
				must(ring.CancelKeyDeletion(t.Context(), k.KeyID))(t)
			}
			check(t, ring.EnableKey(t.Context(), k.KeyID))
			states[k.KeyID] = kms.Enabled
		}
	}
	for _, m := range messages {
		state, lives := states[m.key]
		if !lives {
			continue
		}
		living = append(living, m)
		if state == kms.Enabled {
			if out, err := ring.Decrypt(t.Context(), m.ciphertext, nil); err != nil || string(out.Plaintext) != m.key {
				t.Errorf("lost: a message under %s: %v", m.key, err)
			}
		}
	}
	return living
}

// matches reports whether a worker's keys are in a ring as they should be at a time.
func matches(t *testing.T, ring *kms.Keyring, kept []keptKey, now time.Time) (bool, string) {
	t.Helper()
	m := restore(kept, now)
	for i, k := range m.keys {
		meta, err := ring.DescribeKey(t.Context(), k.id)
		if m.gone(k) {
			if codeOf(err) != kms.ErrNotFound {
				return false, fmt.Sprintf("%s is %+v, %v, and its waiting period is over", k.id, meta, err)
			}
			continue
		}
		m.touch(k)
		if err != nil {
			return false, err.Error()
		}
		tags := map[string]string{}
		for _, tag := range must(collect(ring.ListResourceTags(t.Context(), k.id)))(t) {
			tags[tag.Key] = tag.Value
		}
		aliases := []string{}
		for _, a := range must(collect(ring.ListAliases(t.Context(), k.id)))(t) {
			aliases = append(aliases, a.AliasName)
		}
		status := must(ring.GetKeyRotationStatus(t.Context(), k.id))(t)
		versions := must(collect(ring.ListKeyRotations(t.Context(), k.id, kms.ListKeyRotationsInput{AllKeyMaterial: true})))(t)
		rotates := k.period != 0 && k.state != kms.PendingDeletion
		if meta.KeyState != k.state || !meta.DeletionDate.Equal(k.deletion) || meta.Description != k.description || !maps.Equal(tags, k.tags) || !slices.Equal(aliases, kept[i].Aliases) ||
			len(versions) != k.versions || status.KeyRotationEnabled != rotates || rotates && !status.NextRotationDate.Equal(k.next) {
			return false, fmt.Sprintf("%+v, %v, %v, %+v, %d versions, want %+v", meta, tags, aliases, status, len(versions), kept[i])
		}
	}
	return true, ""
}
