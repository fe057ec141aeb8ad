package kms

import (
	"context"
	"log/slog"
	"time"

	"github.com/claviger/kms/audit"
)

// Types of resources in audit records.
const (
	keyResource   = "AWS::KMS::Key"
	aliasResource = "AWS::KMS::Alias"
)

var dryRunParam = slog.Bool("dryRun", true)

// tell appends the call's event to the sink. A cancelled call is recorded like any other.
func (cl *call) tell(ctx context.Context) error {
	if cl.client.simulator != nil {
		return nil
	}
	if err := cl.client.c.tell(ctx, &cl.event); err != nil {
		return err
	}
	cl.told = true
	return nil
}

func (c *core) tell(ctx context.Context, e *audit.Event) error {
	if c.cfg.Audit == nil {
		return nil
	}
	if ctx != context.Background() { // spare the allocation where nothing can be cancelled; anything else may answer as it likes
		ctx = context.WithoutCancel(ctx)
	}
	if err := c.cfg.Audit.Append(ctx, e); err != nil {
		return &fault{code: ErrInternal, message: "the audit record was not accepted", cause: err}
	}
	return nil
}

// failed puts an error into the event.
func (cl *call) failed(e *Error) {
	cl.event.ErrorCode, cl.event.ErrorMessage = string(e.Code), e.Message
	if e.Code == ErrAccessDenied {
		cl.event.ErrorCode = "AccessDenied" // as CloudTrail writes it
	}
	cl.event.Response = nil
}

// addResource names a key in the event, once.
func (cl *call) addResource(k *key) {
	for _, r := range cl.event.Resources {
		if r.ARN == k.arn {
			return
		}
	}
	cl.event.Resources = append(cl.event.Resources, audit.Resource{AccountID: cl.client.c.ring.account, Type: keyResource, ARN: k.arn})
}

// addAlias names an alias in the event.
func (cl *call) addAlias(name string) {
	ring := cl.client.c.ring
	cl.event.Resources = append(cl.event.Resources, audit.Resource{AccountID: ring.account, Type: aliasResource, ARN: ring.aliasARN(name)})
}

// respond adds to what the event says the operation returned. Only operations that change something say it.
func (a admitted) respond(attrs ...slog.Attr) { a.event.Response = append(a.event.Response, attrs...) }

// uses names the key material in the event, if it has a name.
func (a admitted) uses(m *material) {
	if m.text == "" {
		return
	}
	a.event.Additional = append(a.event.Additional, slog.String("keyMaterialId", m.text))
}

// serviceEvent is the event of what time brought, or what the program did with the ring itself, without anybody asking.
func (c *core) serviceEvent(name string, now int64, details ...slog.Attr) *audit.Event {
	return &audit.Event{
		Time: time.Unix(0, now).UTC(), Type: audit.ServiceEvent, Name: name, Region: c.ring.region, Account: c.ring.account,
		Identity: audit.Identity{Type: "AWSService", AccountID: c.ring.account, InvokedBy: "AWS Internal"},
		Details:  details,
	}
}

// keyEvent is a service event of a key.
func (c *core) keyEvent(name string, now int64, k *key, details ...slog.Attr) *audit.Event {
	e := c.serviceEvent(name, now, append(details, slog.String("keyId", k.id.String()))...)
	e.Resources = []audit.Resource{{AccountID: c.ring.account, Type: keyResource, ARN: k.arn}}
	return e
}

// correct says that what an event tells did not happen, or that nobody knows.
func (c *core) correct(ctx context.Context, event *audit.Event, err error) {
	e := wrap(event.Name, "", err)
	event.ErrorCode, event.ErrorMessage = string(e.Code), e.Message
	_ = c.tell(ctx, event) // the failure is what the caller hears of
}

// commitEvent runs a commit when its event was accepted, and corrects the event if it fails.
func (c *core) commitEvent(ctx context.Context, event *audit.Event, commit func() error) error {
	err := c.tell(ctx, event)
	if err != nil {
		return err
	}
	if err = commit(); err != nil {
		c.correct(ctx, event, err)
	}
	return err
}

// What callers ask, as CloudTrail names it.

func keyParam(r *request, e *audit.Event) {
	if r.refs[0] != "" {
		e.Request = append(e.Request, slog.String("keyId", r.refs[0]))
	}
}

func contextParam(r *request, e *audit.Event) {
	if len(r.context[0]) > 0 {
		e.Request = append(e.Request, slog.Any("encryptionContext", map[string]string(r.context[0])))
	}
}

func cryptoParams(r *request, e *audit.Event) {
	keyParam(r, e)
	contextParam(r, e)
	e.Request = append(e.Request, slog.String("encryptionAlgorithm", string(r.algo[0])))
}

func dataKeyParams(r *request, e *audit.Event) {
	keyParam(r, e)
	if r.dataKey.name != "" {
		e.Request = append(e.Request, slog.String("keySpec", r.dataKey.name))
	} else {
		e.Request = append(e.Request, slog.Int("numberOfBytes", r.dataKey.length))
	}
	contextParam(r, e)
}

func dataKeyPairParams(r *request, e *audit.Event) {
	keyParam(r, e)
	e.Request = append(e.Request, slog.String("keyPairSpec", string(r.pairSpec)))
	contextParam(r, e)
}

func reEncryptParams(r *request, e *audit.Event) {
	add := func(side, key string, i int) {
		if r.refs[i] != "" {
			e.Request = append(e.Request, slog.String(key, r.refs[i]))
		}
		e.Request = append(e.Request, slog.String(side+"EncryptionAlgorithm", string(r.algo[i])))
		if len(r.context[i]) > 0 {
			e.Request = append(e.Request, slog.Any(side+"EncryptionContext", map[string]string(r.context[i])))
		}
	}
	add("source", "sourceKeyId", 0)
	add("destination", "destinationKeyId", 1)
}

func aliasParams(r *request, e *audit.Event) {
	e.Request = append(e.Request, slog.String("aliasName", r.alias))
	if r.refs[0] != "" {
		e.Request = append(e.Request, slog.String("targetKeyId", r.refs[0]))
	}
}
