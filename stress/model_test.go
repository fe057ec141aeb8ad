package stress_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/memory"
)

// A modelKey is what the reference says of one key. Its tables speak of the states; of rotation its section 10 does, of deletion the states' section 5.
type modelKey struct {
	id          string
	state       kms.KeyState
	deletion    time.Time // zero unless pending
	description string
	tags        map[string]string
	policy      int // which of the policies
	period      time.Duration
	next        time.Time
	onDemand    int
	versions    int

	marked, seen time.Time // what Maintain has noticed, and when the present process has
	destroyed    bool
}

// A model is what a ring should hold.
type model struct {
	now     time.Time
	keys    []*modelKey
	aliases map[string]*modelKey
}

func (m *model) gone(k *modelKey) bool {
	return k.state == kms.PendingDeletion && !m.now.Before(k.deletion)
}

// target is the key that an alias names, if it does.
func (m *model) target(alias string) *modelKey {
	if k := m.aliases[alias]; k != nil && !m.gone(k) {
		return k
	}
	return nil
}

// touch makes the rotation that is due: several missed ones are one.
func (m *model) touch(k *modelKey) bool {
	if k.state != kms.Enabled || k.period == 0 || m.now.Before(k.next) {
		return false
	}
	for k.versions++; !m.now.Before(k.next); k.next = k.next.Add(k.period) {
	}
	return true
}

// use asks whether a key can be used: the row "Encrypt, Decrypt, ..." of the table, and those which read like it.
func (m *model) use(k *modelKey) kms.Code {
	switch {
	case m.gone(k):
		return kms.ErrNotFound
	case k.state == kms.PendingDeletion:
		return kms.ErrInvalidState
	case k.state == kms.Disabled:
		return kms.ErrDisabled
	}
	m.touch(k)
	return ""
}

// manage asks whether a key can be changed: the rows "EnableKey, DisableKey", "ScheduleKeyDeletion", "CreateAlias" and "TagResource".
func (m *model) manage(k *modelKey) kms.Code {
	if code := m.use(k); code != kms.ErrDisabled {
		return code
	}
	return ""
}

// inspect asks whether a key can be looked at: the rows that permit every state.
func (m *model) inspect(k *modelKey) kms.Code {
	if code := m.use(k); code == kms.ErrNotFound {
		return code
	}
	return ""
}

func (m *model) setState(k *modelKey, state kms.KeyState) kms.Code {
	code := m.manage(k)
	if code == "" {
		k.state = state
	}
	return code
}

func (m *model) schedule(k *modelKey, days int) kms.Code {
	code := m.manage(k)
	if code == "" {
		k.state, k.deletion = kms.PendingDeletion, m.now.Add(time.Duration(days)*kms.Day)
	}
	return code
}

func (m *model) cancel(k *modelKey) kms.Code {
	switch {
	case m.gone(k):
		return kms.ErrNotFound
	case k.state != kms.PendingDeletion:
		return kms.ErrInvalidState
	}
	k.state, k.deletion = kms.Disabled, time.Time{}
	return ""
}

func (m *model) createAlias(name string, k *modelKey) kms.Code {
	if code := m.manage(k); code != "" {
		return code
	}
	if m.target(name) != nil {
		return kms.ErrAlreadyExists
	}
	m.aliases[name] = k
	return ""
}

func (m *model) updateAlias(name string, k *modelKey) kms.Code {
	was := m.target(name)
	if was == nil {
		return kms.ErrNotFound
	}
	if code := m.manage(k); code != "" {
		return code
	}
	m.touch(was)
	m.aliases[name] = k
	return ""
}

func (m *model) deleteAlias(name string) kms.Code {
	was := m.target(name)
	if was == nil {
		return kms.ErrNotFound
	}
	m.touch(was)
	delete(m.aliases, name)
	return ""
}

func (m *model) setRotation(k *modelKey, period time.Duration) kms.Code {
	code := m.use(k)
	if code == "" && k.period != period {
		k.period, k.next = period, m.now.Add(period)
	}
	return code
}

func (m *model) rotate(k *modelKey) kms.Code {
	if code := m.use(k); code != "" {
		return code
	}
	switch {
	case k.onDemand == 25:
		return kms.ErrLimitExceeded
	case k.period != 0 && k.next.Sub(m.now) <= 20*time.Minute:
		return kms.ErrConflict
	}
	k.onDemand++
	k.versions++
	return ""
}

// maintain does what the documentation of Maintain promises, where the clocks agree.
func (m *model) maintain() (r kms.MaintainReport) {
	for _, k := range m.keys {
		switch {
		case k.destroyed:
		case m.touch(k):
			r.Rotated++
		case !m.gone(k):
		case k.marked.IsZero():
			k.marked, k.seen = m.now, m.now
			r.Marked++
		case k.seen.IsZero():
			k.seen = m.now
			r.Postponed++
		case m.now.Sub(k.seen) < time.Hour:
			r.Postponed++
		default:
			k.destroyed = true
			r.Destroyed++
		}
	}
	return r
}

// A message is what was acknowledged as encrypted.
type message struct {
	key        *modelKey
	material   string
	plaintext  string
	ciphertext []byte
}

// A walker goes through random operations on a ring and its model at once.
type walker struct {
	*model
	t         *testing.T
	rnd       *rand.Rand
	store     *memory.Store
	ring      *kms.Keyring
	config    func(*kms.Config)
	sleep     func(time.Duration)
	agree     bool // the ring's clock is the runtime's, so that Maintain destroys
	policies  []string
	messages  []message
	materials map[*modelKey][]string // of each version, as they were seen
	done      map[string]int         // how often each operation answered so
	last      []string               // the last steps, for who has to find out
}

const modelRole = "app"

// newWalker opens a ring. now is the clock that config gives it.
func newWalker(t *testing.T, seed uint64, now func() time.Time, sleep func(time.Duration), config func(*kms.Config)) *walker {
	w := &walker{model: &model{now: now(), aliases: map[string]*modelKey{}}, t: t, rnd: rand.New(rand.NewPCG(seed, 0)), store: memory.New(), config: config, sleep: sleep,
		materials: map[*modelKey][]string{}, done: map[string]int{}}
	w.ring = openRing(t, w.store, config)
	w.policies = []string{must(w.ring.DefaultPolicy(nil, nil))(t), must(w.ring.DefaultPolicy(nil, []kms.Caller{kms.Role(modelRole)}))(t)}
	return w
}

func (w *walker) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nthe last steps:\n%s", fmt.Sprintf(format, args...), strings.Join(w.last, "\n"))
}

// living are the keys whose waiting period is not over; some are still asked for when it is.
func (w *walker) living() (keys []*modelKey) {
	for _, k := range w.keys {
		if !w.gone(k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (w *walker) pick() *modelKey {
	if keys := w.living(); len(keys) > 0 && w.rnd.IntN(10) > 0 {
		return keys[w.rnd.IntN(len(keys))]
	}
	return w.keys[w.rnd.IntN(len(w.keys))]
}

func (w *walker) alias() string { return fmt.Sprintf("alias/a%d", w.rnd.IntN(8)) }

// create makes a key.
func (w *walker) create() (string, kms.Code, error) {
	k := &modelKey{state: kms.Enabled, versions: 1, description: fmt.Sprint(len(w.keys)), tags: map[string]string{"n": fmt.Sprint(len(w.keys))}}
	meta, err := w.ring.CreateKey(context.Background(), kms.CreateKeyInput{Description: k.description, Tags: []kms.Tag{{Key: "n", Value: k.tags["n"]}}})
	if err == nil {
		k.id = meta.KeyID
		w.keys = append(w.keys, k)
	}
	return "CreateKey", "", err
}

// step does one thing on both sides, and says what, what should be answered, and what was.
func (w *walker) step() (did string, want kms.Code, err error) {
	ctx := context.Background()
	if n := len(w.living()); n < 2 || n < 8 && w.rnd.IntN(20) == 0 {
		return w.create()
	}
	k, name := w.pick(), w.alias()
	switch w.rnd.IntN(29) {
	case 0, 1, 24, 25:
		return "EnableKey", w.setState(k, kms.Enabled), w.ring.EnableKey(ctx, k.id)
	case 2:
		return "DisableKey", w.setState(k, kms.Disabled), w.ring.DisableKey(ctx, k.id)
	case 3:
		days := 7 + w.rnd.IntN(24)
		want = w.schedule(k, days)
		res, err := w.ring.ScheduleKeyDeletion(ctx, k.id, days)
		if err == nil && !res.DeletionDate.Equal(k.deletion) {
			w.fatal("%s is to be deleted at %v, want %v", k.id, res.DeletionDate, k.deletion)
		}
		return "ScheduleKeyDeletion", want, err
	case 4, 5:
		want = w.cancel(k)
		_, err = w.ring.CancelKeyDeletion(ctx, k.id)
		return "CancelKeyDeletion", want, err
	case 6:
		return "CreateAlias", w.createAlias(name, k), w.ring.CreateAlias(ctx, name, k.id)
	case 7:
		return "UpdateAlias", w.updateAlias(name, k), w.ring.UpdateAlias(ctx, name, k.id)
	case 8:
		return "DeleteAlias", w.deleteAlias(name), w.ring.DeleteAlias(ctx, name)
	case 9:
		tag := kms.Tag{Key: fmt.Sprint("t", w.rnd.IntN(5)), Value: fmt.Sprint(w.rnd.IntN(3))}
		if want = w.manage(k); want == "" {
			k.tags[tag.Key] = tag.Value
		}
		return "TagResource", want, w.ring.TagResource(ctx, k.id, tag)
	case 10:
		tag := fmt.Sprint("t", w.rnd.IntN(5))
		if want = w.manage(k); want == "" {
			delete(k.tags, tag)
		}
		return "UntagResource", want, w.ring.UntagResource(ctx, k.id, tag)
	case 11:
		text := fmt.Sprint(w.rnd.IntN(3))
		if want = w.manage(k); want == "" {
			k.description = text
		}
		return "UpdateKeyDescription", want, w.ring.UpdateKeyDescription(ctx, k.id, text)
	case 12:
		p := w.rnd.IntN(len(w.policies))
		if want = w.inspect(k); want == "" {
			k.policy = p
		}
		return "PutKeyPolicy", want, w.ring.PutKeyPolicy(ctx, k.id, kms.PutKeyPolicyInput{Policy: w.policies[p]})
	case 13:
		period := time.Duration(90+w.rnd.IntN(3)*100) * kms.Day
		return "EnableKeyRotation", w.setRotation(k, period), w.ring.EnableKeyRotation(ctx, k.id, period)
	case 14:
		if want = w.use(k); want == "" {
			k.period, k.next = 0, time.Time{}
		}
		return "DisableKeyRotation", want, w.ring.DisableKeyRotation(ctx, k.id)
	case 15, 28:
		want = w.rotate(k)
		_, err = w.ring.RotateKeyOnDemand(ctx, k.id)
		return "RotateKeyOnDemand", want, err
	case 16, 26, 27:
		return w.encrypt(k, name)
	case 17:
		want = w.use(k)
		d, err := w.ring.GenerateDataKey(ctx, k.id, kms.AES256, kms.EncryptionContext{"k": k.id})
		if err == nil {
			w.messages = append(w.messages, message{k, d.KeyMaterialID, string(d.Plaintext()), d.Ciphertext})
		}
		return "GenerateDataKey", want, err
	case 18, 19:
		return w.decrypt()
	case 20:
		return w.reEncrypt()
	case 21:
		if w.rnd.IntN(4) > 0 {
			return w.wait()
		}
		// Another process takes over: what the first one had noticed is forgotten, what is stored is not.
		check(w.t, w.ring.Close())
		w.ring = openRing(w.t, w.store, w.config)
		for _, k := range w.keys {
			k.seen = time.Time{}
		}
		return "reopen", "", nil
	case 22:
		return w.wait()
	default:
		if !w.agree {
			return w.wait()
		}
		want := w.maintain()
		got, err := w.ring.Maintain(ctx)
		if got != want {
			w.fatal("Maintain has done %+v, want %+v", got, want)
		}
		return "Maintain", "", err
	}
}

// encrypt encrypts by the key's id, or by an alias, which names its key at that time, or as somebody whom only one of the policies lets.
func (w *walker) encrypt(k *modelKey, name string) (did string, want kms.Code, err error) {
	ref, client := k.id, w.ring.As(kms.Root())
	switch w.rnd.IntN(3) {
	case 0:
		ref = name
		if k = w.target(name); k == nil {
			_, err = client.Encrypt(context.Background(), ref, []byte("x"), nil)
			return "Encrypt", kms.ErrNotFound, err
		}
		want = w.use(k)
	case 1:
		client = w.ring.As(kms.Role(modelRole))
		if want = w.inspect(k); want == "" && k.policy == 0 {
			want = kms.ErrAccessDenied
		} else {
			want = w.use(k)
		}
	default:
		want = w.use(k)
	}
	plaintext := fmt.Sprint("message ", len(w.messages))
	out, err := client.Encrypt(context.Background(), ref, []byte(plaintext), kms.EncryptionContext{"k": k.id})
	if err == nil {
		w.messages = append(w.messages, message{k, "", plaintext, out.Ciphertext})
	}
	return "Encrypt", want, err
}

// open decrypts a message and compares.
func (w *walker) open(m *message) error {
	out, err := w.ring.Decrypt(context.Background(), m.ciphertext, kms.EncryptionContext{"k": m.key.id})
	if err != nil {
		return err
	}
	if string(out.Plaintext) != m.plaintext || m.material != "" && out.KeyMaterialID != m.material {
		w.fatal("%s decrypts to %q under %s, want %q under %s", m.key.id, out.Plaintext, out.KeyMaterialID, m.plaintext, m.material)
	}
	m.material = out.KeyMaterialID
	return nil
}

// hidden is what is said of a key that a ciphertext names: not that it is gone.
func hidden(code kms.Code) kms.Code {
	if code == kms.ErrNotFound {
		return kms.ErrAccessDenied
	}
	return code
}

func (w *walker) decrypt() (string, kms.Code, error) {
	if len(w.messages) == 0 {
		return w.wait()
	}
	m := &w.messages[w.rnd.IntN(len(w.messages))]
	return "Decrypt", hidden(w.use(m.key)), w.open(m)
}

func (w *walker) reEncrypt() (did string, want kms.Code, err error) {
	if len(w.messages) == 0 {
		return w.wait()
	}
	m, to := &w.messages[w.rnd.IntN(len(w.messages))], w.pick()
	switch {
	case w.gone(m.key):
		want = kms.ErrAccessDenied
	case w.gone(to):
		want = kms.ErrNotFound
	case m.key.state != kms.Enabled: // then the destination is not looked at, and does not rotate
		want = w.use(m.key)
	case to.state != kms.Enabled:
		want = w.use(to)
	default:
		w.touch(m.key)
		w.touch(to)
	}
	in := kms.ReEncryptInput{SourceEncryptionContext: kms.EncryptionContext{"k": m.key.id}, DestinationEncryptionContext: kms.EncryptionContext{"k": to.id}}
	out, err := w.ring.ReEncrypt(context.Background(), m.ciphertext, to.id, in)
	if err == nil {
		w.messages = append(w.messages, message{to, out.DestinationKeyMaterialID, m.plaintext, out.Ciphertext})
	}
	return "ReEncrypt", want, err
}

// wait lets time pass: minutes, days, years, or until shortly before or after something is due.
func (w *walker) wait() (string, kms.Code, error) {
	d := time.Duration(1+w.rnd.IntN(120)) * time.Minute
	switch n := w.rnd.IntN(100); {
	case n < 2:
		d = time.Duration(1+w.rnd.IntN(800)) * kms.Day
	case n < 10:
		d = time.Duration(1+w.rnd.IntN(60)) * kms.Day
	case n < 50:
		d = time.Duration(1+w.rnd.IntN(240)) * time.Hour
	case n < 70: // close to when something is due
		for _, date := range []time.Time{w.pick().next, w.pick().deletion} {
			if before := date.Sub(w.now) - time.Duration(w.rnd.IntN(60)-20)*time.Minute; !date.IsZero() && before > 0 {
				d = before
			}
		}
	}
	w.sleep(d)
	w.now = w.now.Add(d)
	return fmt.Sprint("wait ", d), "", nil
}

// compare looks at everything that the ring shows of its keys. A full comparison reads what is long as well.
func (w *walker) compare(full bool) {
	ctx := context.Background()
	for _, k := range w.keys {
		if w.gone(k) && !full && w.rnd.IntN(20) > 0 {
			continue
		}
		if want := w.inspect(k); want != "" {
			if _, err := w.ring.DescribeKey(ctx, k.id); codeOf(err) != want {
				w.fatal("DescribeKey %s: %v, want %s", k.id, err, want)
			}
			continue
		}
		meta, err := w.ring.DescribeKey(ctx, k.id)
		if err != nil || meta.KeyState != k.state || meta.Enabled != (k.state == kms.Enabled) || !meta.DeletionDate.Equal(k.deletion) || meta.Description != k.description {
			w.fatal("%s is %+v, %v, want %+v", k.id, meta, err, k)
		}
		known := w.materials[k]
		if len(known) == 0 || known[len(known)-1] != meta.CurrentKeyMaterialID {
			if slices.Contains(known, meta.CurrentKeyMaterialID) {
				w.fatal("%s has gone back to material %s", k.id, meta.CurrentKeyMaterialID)
			}
			known = append(known, meta.CurrentKeyMaterialID)
			w.materials[k] = known
		}
		if len(known) > k.versions {
			w.fatal("%s has had %d versions, want %d", k.id, len(known), k.versions)
		}
		status, err := w.ring.GetKeyRotationStatus(ctx, k.id)
		on := k.period != 0 && k.state != kms.PendingDeletion
		if err != nil || status.KeyRotationEnabled != on || on && (status.RotationPeriod != k.period || !status.NextRotationDate.Equal(k.next)) {
			w.fatal("%s rotates as %+v, %v, want %+v", k.id, status, err, k)
		}
		if full {
			w.compareLong(k)
		}
	}
	listed, err := collect(w.ring.ListAliases(ctx, ""))
	got := map[string]string{}
	for _, a := range listed {
		got[a.AliasName] = a.TargetKeyID
	}
	want := map[string]string{}
	for name := range w.aliases {
		if k := w.target(name); k != nil {
			want[name] = k.id
		}
	}
	if err != nil || len(listed) != len(got) || !maps.Equal(got, want) {
		w.fatal("the aliases are %v, %v, want %v", listed, err, want)
	}
}

// compareLong looks at a key's versions, tags and policy, and at everything that was encrypted under it.
func (w *walker) compareLong(k *modelKey) {
	ctx := context.Background()
	versions, err := collect(w.ring.ListKeyRotations(ctx, k.id, kms.ListKeyRotationsInput{AllKeyMaterial: true}))
	onDemand := 0
	for i, v := range versions {
		if v.RotationType == kms.RotationOnDemand {
			onDemand++
		}
		if (v.KeyMaterialState == kms.MaterialCurrent) != (i == len(versions)-1) {
			w.fatal("%s: version %d of %d is %s", k.id, i, len(versions), v.KeyMaterialState)
		}
	}
	if err != nil || len(versions) != k.versions || onDemand != k.onDemand {
		w.fatal("%s has %d versions, %d on demand, %v, want %d and %d", k.id, len(versions), onDemand, err, k.versions, k.onDemand)
	}
	tags, err := collect(w.ring.ListResourceTags(ctx, k.id))
	got := map[string]string{}
	for _, t := range tags {
		got[t.Key] = t.Value
	}
	if err != nil || !maps.Equal(got, k.tags) {
		w.fatal("%s has the tags %v, %v, want %v", k.id, tags, err, k.tags)
	}
	p, err := w.ring.GetKeyPolicy(ctx, k.id)
	if err != nil || p != w.policies[k.policy] {
		w.fatal("%s has the policy %s, %v", k.id, p, err)
	}
	if k.state != kms.Enabled {
		return
	}
	for i := range w.messages {
		if m := &w.messages[i]; m.key == k {
			if err := w.open(m); err != nil {
				w.fatal("lost: message %d under %s: %v", i, k.id, err)
			}
		}
	}
}

// compareStore looks at which keys the store holds: one that was not destroyed is there with all its versions, one that was has left nothing but its tombstone.
func (w *walker) compareStore() {
	w.t.Helper()
	destroyed := 0
	for _, k := range w.keys {
		versions := k.versions
		if k.destroyed {
			versions = 0
			destroyed++
		}
		if got := len(names(w.t, w.store, "ver/"+k.id)); got != versions || (len(names(w.t, w.store, "key/"+k.id)) == 1) == k.destroyed {
			w.fatal("the store holds %d versions of %s, want %d", got, k.id, versions)
		}
	}
	if got := len(names(w.t, w.store, "dead/")); got != destroyed {
		w.fatal("%d tombstones, want %d", got, destroyed)
	}
}

// walk goes n steps, comparing after each.
func (w *walker) walk(n int) {
	for i := range n {
		w.sleep(1) // time never stands quite still
		w.now = w.now.Add(1)
		did, want, err := w.step()
		w.last = append(w.last[max(0, len(w.last)-40):], fmt.Sprintf("%d %v %s: %s", i, w.now, did, codeOf(err)))
		if got := codeOf(err); got != want {
			w.fatal("%s answers %v, want %q", did, err, want)
		}
		w.done[strings.TrimSpace(strings.SplitN(did, " ", 2)[0]+" "+string(want))]++
		if w.rnd.IntN(3) > 0 { // else the next operation meets what is due
			w.compare(i%200 == 0)
		}
		if i%500 == 0 {
			w.compareStore()
		}
	}
	w.compare(true)
	for _, k := range w.living() {
		if k.state == kms.PendingDeletion {
			w.cancel(k)
			must(w.ring.CancelKeyDeletion(context.Background(), k.id))(w.t)
		}
		w.setState(k, kms.Enabled)
		check(w.t, w.ring.EnableKey(context.Background(), k.id))
	}
	w.compare(true) // with every message of every living key
	w.compareStore()
}

// log says what was done, and adds the answers to those of other walks.
func (w *walker) log(seed uint64, n int, all map[string]int) {
	versions, destroyed := 0, 0
	for _, k := range w.keys {
		versions += k.versions
		if k.destroyed {
			destroyed++
		}
	}
	for what, n := range w.done {
		all[what] += n
	}
	all["destroyed"] += destroyed
	w.t.Logf("seed %d: %d steps, until %s: %d keys, %d of them destroyed, %d versions, %d messages, lost: 0", seed, n, w.now.Format(time.DateOnly), len(w.keys), destroyed,
		versions, len(w.messages))
}

// everywhere requires that the walks of a test came across what they are for.
func everywhere(t *testing.T, all map[string]int, wanted ...string) {
	t.Helper()
	t.Logf("answers: %v", all)
	for _, what := range wanted {
		if all[what] == 0 {
			t.Errorf("no walk came across: %s", what)
		}
	}
}

const modelSteps = 10_000

// TestKeysFollowTheModel walks in a bubble whose clocks all move together, so that Maintain destroys what is due.
func TestKeysFollowTheModel(t *testing.T) {
	t.Parallel()
	all := map[string]int{}
	for seed := range uint64(size(1, 20)) {
		synctest.Test(t, func(t *testing.T) {
			w := newWalker(t, seed, time.Now, time.Sleep, func(*kms.Config) {})
			w.agree = true
			w.walk(modelSteps)
			w.log(seed, modelSteps, all)
		})
	}
	everywhere(t, all, "destroyed", "reopen", "Maintain", "CancelKeyDeletion", "ReEncrypt", "Encrypt AccessDeniedException", "Decrypt AccessDeniedException",
		"CreateAlias AlreadyExistsException", "RotateKeyOnDemand ConflictException")
}

// TestKeysFollowTheModelByTheRingsClock walks by a clock that only the ring has: the years that it says pass while the runtime's clocks stand still.
func TestKeysFollowTheModelByTheRingsClock(t *testing.T) {
	t.Parallel()
	all := map[string]int{}
	for seed := range uint64(size(1, 10)) {
		now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
		w := newWalker(t, seed, func() time.Time { return now }, func(d time.Duration) { now = now.Add(d) }, func(c *kms.Config) { c.Now = func() time.Time { return now } })
		steps := size(modelSteps/5, modelSteps)
		w.walk(steps)
		w.log(seed, steps, all)
	}
	everywhere(t, all, "reopen", "CancelKeyDeletion", "ReEncrypt", "Encrypt AccessDeniedException", "Decrypt AccessDeniedException", "CreateAlias AlreadyExistsException")
}
