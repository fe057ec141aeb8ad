package kms

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
)

// Limits of rotation.
const (
	minRotationPeriod     = 90 * Day // unless Config.MinRotationPeriod permits less
	maxRotationPeriod     = 2560 * Day
	defaultRotationPeriod = 365 * Day
	maxOnDemandRotations  = 25

	// rotationDistance is how near an automatic rotation may be to one on demand.
	rotationDistance = 20 * time.Minute

	// rotationBackOff is how long a rotation that failed is not tried again by this process.
	rotationBackOff = 30 * time.Second
)

// A RotationType says what made a key rotate.
type RotationType string

// Rotation types.
const (
	RotationAutomatic RotationType = "AUTOMATIC"
	RotationOnDemand  RotationType = "ON_DEMAND"
)

// rotationDue reports whether a key should have rotated by now.
func (r *keyRecord) rotationDue(now int64) bool {
	return r.state == Enabled && r.rotation.period != 0 && now >= r.rotation.next
}

// scheduleRotation moves the next automatic rotation beyond now, by whole periods: several that were missed become one.
func (r *keyRecord) scheduleRotation(now int64) {
	missed := (now - r.rotation.next) / r.rotation.period
	r.rotation.next = after(r.rotation.next+missed*r.rotation.period, time.Duration(r.rotation.period))
}

// rotateDue makes the rotation that is due on k, and returns the snapshot to go on with. Rotation never stands in the way of the operation that met it: whatever
// fails, the operation goes on with the version that there is, and a later one tries again.
func (c *core) rotateDue(ctx context.Context, k *key, now int64) *key {
	if !k.materials.mayRotate(c.clock.mono()) {
		return k
	}
	rotated, err := c.rotate(ctx, k, now)
	if err != nil {
		return k
	}
	return rotated
}

// mayRotate lets one caller at a time try a rotation that is due.
func (m *materials) mayRotate(now time.Duration) bool {
	next := m.nextTry.Load()
	return int64(now) >= next && m.nextTry.CompareAndSwap(next, int64(now+rotationBackOff))
}

// rotate commits a due rotation, as an event of its own.
func (c *core) rotate(ctx context.Context, k *key, now int64) (*key, error) {
	next := k.clone()
	next.scheduleRotation(now)
	b := c.batch(now)
	m, err := c.rotateMaterial(ctx, b, next, now, RotationAutomatic)
	if err != nil {
		return nil, err
	}
	event := c.keyEvent("RotateKey", now, k, slog.String("rotationType", string(RotationAutomatic)), slog.String("keyOrigin", string(k.origin)),
		slog.String("previousKeyMaterialId", k.current.String()), slog.String("currentKeyMaterialId", m.text))
	snapshots, err := c.writeEvent(ctx, b, event, keyChange{from: k.from, next: next, material: m})
	if err != nil {
		return nil, err
	}
	k.materials.nextTry.Store(0)
	return snapshots[0], nil
}

// writeEvent writes what time brought: the event is offered before the commit, and corrected if the commit fails.
func (c *core) writeEvent(ctx context.Context, b *batch, event *audit.Event, changes ...keyChange) ([]*key, error) {
	told := false
	snapshots, err := c.write(ctx, b, func() error {
		err := c.tell(ctx, event)
		told = err == nil
		return err
	}, changes...)
	if err != nil && told {
		c.correct(ctx, event, err)
	}
	return snapshots, err
}

var opEnableKeyRotation = operation{
	name: "EnableKeyRotation", changes: true,
	needs: []need{{action: "kms:EnableKeyRotation", forms: keyForm, states: inEnabled, rotatable: true}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		if r.period%Day == 0 {
			e.Request = append(e.Request, slog.Int("rotationPeriodInDays", int(r.period/Day)))
		} else {
			e.Request = append(e.Request, slog.String("rotationPeriodInDays", fractionOfDay(r.period)))
		}
	},
}

// EnableKeyRotation makes a key rotate by itself, first one period from now. The period is 90 to 2560 whole days ([Day]), or less where Config.MinRotationPeriod
// permits it, and then, below a day, of any length; zero means 365 days. Calling it again with another period counts that one from now; with the same it changes
// nothing, so that who says it again and again does not put the rotation off, unless the next rotation is more than a period away, as one is that a clock far ahead
// has made: then it counts from now as well. Old material keeps decrypting what was encrypted under it.
func (c *Client) EnableKeyRotation(ctx context.Context, ref string, period time.Duration) error {
	req := &request{refs: [2]string{ref}, details: &details{period: period}}
	setDefault(&req.period, defaultRotationPeriod)
	var v violations
	v.ref("keyId", ref)
	if least := c.c.cfg.MinRotationPeriod; req.period < least {
		v.add("rotationPeriodInDays", days(req.period), "have value greater than or equal to "+days(least))
	}
	if req.period > maxRotationPeriod {
		v.add("rotationPeriodInDays", days(req.period), "have value less than or equal to "+days(maxRotationPeriod))
	}
	if req.period > Day && req.period%Day != 0 {
		v.add("rotationPeriodInDays", days(req.period), "be a whole number of days")
	}
	req.invalid = v.err()
	return c.changeKey(ctx, &opEnableKeyRotation, req, func(a admitted, next *keyRecord) (bool, error) {
		date := after(a.now, a.req.period)
		if next.rotation.period == int64(a.req.period) && next.rotation.next <= date {
			return false, nil
		}
		next.rotation.period, next.rotation.next = int64(a.req.period), date
		return true, nil
	})
}

// days writes a period for people: in days, or if it is no whole number of them with its units, since 365 is easily meant for days.
func days(d time.Duration) string {
	if d%Day == 0 {
		return fmt.Sprint(int(d / Day))
	}
	return d.String()
}

// fractionOfDay writes a period in days, for conditions and records.
func fractionOfDay(d time.Duration) string { return strconv.FormatFloat(d.Hours()/24, 'f', -1, 64) }

var opDisableKeyRotation = operation{
	name: "DisableKeyRotation", changes: true, params: keyParam,
	needs: []need{{action: "kms:DisableKeyRotation", forms: keyForm, states: inEnabled, rotatable: true}},
}

// DisableKeyRotation ends automatic rotation. The material stays as it is.
func (c *Client) DisableKeyRotation(ctx context.Context, ref string) error {
	return c.changeKey(ctx, &opDisableKeyRotation, refRequest(ref), func(_ admitted, next *keyRecord) (bool, error) {
		changed := next.rotation.period != 0
		next.rotation.period, next.rotation.next = 0, 0
		return changed, nil
	})
}

// A KeyRotationStatus is the rotation setting of a key.
type KeyRotationStatus struct {
	KeyARN             string
	KeyRotationEnabled bool          // false too while the key's deletion is pending
	RotationPeriod     time.Duration // zero while automatic rotation is off
	NextRotationDate   time.Time     // zero while automatic rotation is off
}

var opGetKeyRotationStatus = operation{
	name: "GetKeyRotationStatus", across: true, params: keyParam,
	needs: []need{{action: "kms:GetKeyRotationStatus", forms: keyForm, states: anyState}},
}

// GetKeyRotationStatus tells whether and when a key rotates by itself.
func (c *Client) GetKeyRotationStatus(ctx context.Context, ref string) (KeyRotationStatus, error) {
	return do(ctx, c, &opGetKeyRotationStatus, refRequest(ref), func(ctx context.Context, a admitted) (KeyRotationStatus, error) {
		k := a.keys[0]
		s := KeyRotationStatus{KeyARN: k.arn}
		if k.rotation.period != 0 && k.state != PendingDeletion {
			s.KeyRotationEnabled, s.RotationPeriod, s.NextRotationDate = true, time.Duration(k.rotation.period), unixTime(k.rotation.next)
		}
		return s, nil
	})
}

var opRotateKeyOnDemand = operation{
	name: "RotateKeyOnDemand", changes: true, params: keyParam,
	needs: []need{{action: "kms:RotateKeyOnDemand", forms: keyForm, states: inEnabled, rotatable: true}},
}

// RotateKeyOnDemand gives a key new material at once and returns the key's ARN. It leaves the automatic schedule alone. A key can be rotated on demand 25
// times, and not within 20 minutes ahead of an automatic rotation, which is [ErrConflict].
func (c *Client) RotateKeyOnDemand(ctx context.Context, ref string) (keyARN string, err error) {
	return do(ctx, c, &opRotateKeyOnDemand, refRequest(ref), func(ctx context.Context, a admitted) (string, error) {
		k := a.keys[0]
		if k.rotation.onDemand >= maxOnDemandRotations {
			return "", faultf(ErrLimitExceeded, "The on-demand rotations limit has been reached for the given keyId. "+
				"No more on-demand rotations can be performed for this key: %s", k.arn)
		}
		if k.rotation.period != 0 && k.rotation.next-a.now <= int64(rotationDistance) {
			return "", faultf(ErrConflict, "An automatic rotation of %s is due within %d minutes.", k.arn, int(rotationDistance.Minutes()))
		}
		next := k.clone()
		next.rotation.onDemand++
		b := a.batch()
		m, err := a.client.c.rotateMaterial(ctx, b, next, a.now, RotationOnDemand)
		if err != nil {
			return "", err
		}
		a.respond(slog.String("keyId", k.arn))
		change := a.change(0, next)
		change.material = m
		return k.arn, a.commit(ctx, b, change)
	})
}

// A KeyMaterialState says what a version of a key is used for.
type KeyMaterialState string

// Key material states.
const (
	MaterialCurrent    KeyMaterialState = "CURRENT"     // encrypts and decrypts
	MaterialNonCurrent KeyMaterialState = "NON_CURRENT" // decrypts
)

// A KeyRotation is one version of a key in a list.
type KeyRotation struct {
	KeyID            string
	KeyMaterialID    string
	KeyMaterialState KeyMaterialState
	RotationDate     time.Time    // when this version became current; zero for the first
	RotationType     RotationType // empty for the first
}

var opListKeyRotations = operation{
	name: "ListKeyRotations",
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		if r.all {
			e.Request = append(e.Request, slog.String("includeKeyMaterial", "ALL_KEY_MATERIAL"))
		}
		pageParams(r, e)
	},
	needs: []need{{action: "kms:ListKeyRotations", forms: keyForm, states: anyState, rotatable: true}},
}

// A ListKeyRotationsInput says what to list.
type ListKeyRotationsInput struct {
	AllKeyMaterial bool // the first version too, which no rotation made
}

// ListKeyRotations lists the completed rotations of a key, oldest first.
func (c *Client) ListKeyRotations(ctx context.Context, ref string, in ListKeyRotationsInput) iter.Seq2[KeyRotation, error] {
	return pages(ctx, func(ctx context.Context, page PageInput) (Page[KeyRotation], error) {
		return c.ListKeyRotationsPage(ctx, ref, in, page)
	})
}

// ListKeyRotationsPage returns one page of [Client.ListKeyRotations], of up to 1000 entries, by default 100.
func (c *Client) ListKeyRotationsPage(ctx context.Context, ref string, in ListKeyRotationsInput, page PageInput) (Page[KeyRotation], error) {
	req := refRequest(ref)
	req.details = &details{all: in.AllKeyMaterial}
	return listPage(ctx, c, &opListKeyRotations, req, page, listing[KeyRotation]{
		limit: 1000, usual: 100, prefix: func(a admitted) string { return indexPrefix(a.keys[0].id) }, entry: rotationEntry,
	})
}

func rotationEntry(ctx context.Context, a admitted, item keystore.Record) (KeyRotation, bool, error) {
	var r indexRecord
	if _, _, err := a.client.c.open(ctx, kindIndex, item.Name, item, &r); err != nil {
		return KeyRotation{}, false, err
	}
	e := KeyRotation{KeyID: a.keys[0].id.String(), KeyMaterialID: r.id.String(), KeyMaterialState: MaterialNonCurrent, RotationType: r.rotation}
	if r.id == a.keys[0].current {
		e.KeyMaterialState = MaterialCurrent
	}
	if r.rotation != "" {
		e.RotationDate = unixTime(r.created)
	}
	return e, r.rotation != "" || a.req.all, nil
}
