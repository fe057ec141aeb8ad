package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms/audit"
)

func TestMemory(t *testing.T) {
	var m audit.Memory
	e := full()
	if err := m.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	id := e.ID()
	e.Reset()
	e.Name = "Decrypt"
	if err := m.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	events := m.Events()
	if len(events) != 2 || events[0].Name != "CreateGrant" || events[0].ID() != id || events[1].Name != "Decrypt" {
		t.Fatalf("%d events", len(events))
	}
	events[0].Request[0] = slog.String("scribble", "")
	if again := m.Events(); again[0].Request[0].Key != "keyId" || again[0].ID() != id {
		t.Error("what Events returns is shared")
	}
	m.Reset()
	if n := len(m.Events()); n != 0 {
		t.Errorf("%d events after Reset", n)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := m.Append(t.Context(), full()); err != nil {
					t.Error(err)
				}
				m.Events()
			}
		})
	}
	wg.Wait()
	if n := len(m.Events()); n != 400 {
		t.Errorf("%d events, want 400", n)
	}
}

// A script is a writer that answers each Write by the next of its steps, and then writes everything.
type script struct {
	bytes.Buffer
	writes int
	steps  []func(b *bytes.Buffer, p []byte) (int, error)
}

func (s *script) Write(p []byte) (int, error) {
	s.writes++
	if len(s.steps) == 0 {
		return s.Buffer.Write(p)
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	return step(&s.Buffer, p)
}

func TestJSONWritesOneLineEach(t *testing.T) {
	var w script
	sink := audit.JSON(&w)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if err := sink.Append(t.Context(), full()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if w.writes != 200 {
		t.Errorf("%d writes for 200 events", w.writes)
	}
	lines := strings.SplitAfter(w.String(), "\n")
	if len(lines) != 201 || lines[200] != "" {
		t.Fatalf("%d lines", len(lines)-1)
	}
	ids := make(map[string]bool)
	for _, line := range lines[:200] {
		var record struct{ EventName, EventID string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.EventName != "CreateGrant" {
			t.Fatalf("%v in %s", err, line)
		}
		ids[record.EventID] = true
	}
	if len(ids) != 200 {
		t.Errorf("%d different ids", len(ids))
	}
}

// TestJSONOnABadWriter: vault#31718: the trail was gone, and nobody noticed.
func TestJSONOnABadWriter(t *testing.T) {
	partly := func(n int, err error) func(*bytes.Buffer, []byte) (int, error) {
		return func(b *bytes.Buffer, p []byte) (int, error) {
			b.Write(p[:n])
			return n, err
		}
	}
	disk := errors.New("no space left")
	for _, c := range []struct {
		name  string
		steps []func(*bytes.Buffer, []byte) (int, error)
		want  []error // of the events in turn; the last is always written
		lines int     // in the end, spoiled ones included
	}{
		{"short write", []func(*bytes.Buffer, []byte) (int, error){partly(10, nil)}, []error{io.ErrShortWrite}, 2},
		{"short write with an error", []func(*bytes.Buffer, []byte) (int, error){partly(10, disk)}, []error{disk}, 2},
		{"nothing written", []func(*bytes.Buffer, []byte) (int, error){partly(0, disk)}, []error{disk}, 1},
		{"nothing written and no error", []func(*bytes.Buffer, []byte) (int, error){partly(0, nil)}, []error{io.ErrShortWrite}, 1},
		{"short write, then nothing", []func(*bytes.Buffer, []byte) (int, error){partly(10, nil), partly(0, disk)}, []error{io.ErrShortWrite, disk}, 2},
		{"short write, then the line end only", []func(*bytes.Buffer, []byte) (int, error){partly(10, nil), partly(1, disk)},
			[]error{io.ErrShortWrite, disk}, 2},
		{"two short writes", []func(*bytes.Buffer, []byte) (int, error){partly(10, nil), partly(11, nil)},
			[]error{io.ErrShortWrite, io.ErrShortWrite}, 3},
		{"impossible count", []func(*bytes.Buffer, []byte) (int, error){func(*bytes.Buffer, []byte) (int, error) { return -1, nil }},
			[]error{io.ErrShortWrite}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &script{steps: c.steps}
			sink := audit.JSON(w)
			for i, want := range c.want {
				if err := sink.Append(t.Context(), full()); !errors.Is(err, want) {
					t.Errorf("event %d: %v, want %v", i, err, want)
				}
			}
			if err := sink.Append(t.Context(), full()); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n")
			if len(lines) != c.lines || !json.Valid([]byte(lines[len(lines)-1])) {
				t.Errorf("%d lines, want %d:\n%s", len(lines), c.lines, w.String())
			}
		})
	}
}

func TestJSONRecoversFromAPanickingWriter(t *testing.T) {
	w := &script{steps: []func(*bytes.Buffer, []byte) (int, error){func(*bytes.Buffer, []byte) (int, error) { panic(canary) }}}
	sink := audit.Required(audit.JSON(w), 0)
	if err := sink.Append(t.Context(), full()); !errors.Is(err, audit.ErrUnavailable) || strings.Contains(err.Error(), canary) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if err := sink.Append(t.Context(), full()); err != nil || !json.Valid([]byte(strings.TrimSpace(w.String()))) {
		t.Errorf("the next event: %v, %s", err, w.String())
	}
}

func TestSlog(t *testing.T) {
	var log bytes.Buffer
	sink := audit.Slog(slog.New(slog.NewJSONHandler(&log, nil)))
	e := full()
	if err := sink.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var record struct {
		Time                              time.Time
		Level, Msg                        string
		EventID, RequestID                string
		ErrorCode, SourceIPAddress        string
		Resources                         []string
		UserIdentity, AdditionalEventData map[string]string
		RequestParameters                 struct {
			KeyID       string
			Constraints struct{ EncryptionContextSubset map[string]string }
		}
	}
	if err := json.Unmarshal(log.Bytes(), &record); err != nil {
		t.Fatal(err)
	}
	if record.Level != "WARN" || record.Msg != "CreateGrant" || !record.Time.Equal(when) || record.EventID != e.ID() || record.RequestID != e.RequestID() {
		t.Errorf("%+v", record)
	}
	if record.ErrorCode != "AccessDenied" || record.SourceIPAddress != "192.0.2.1" || record.Resources[0] != key || record.AdditionalEventData["keyMaterialId"] != "ef01" ||
		record.UserIdentity["arn"] != e.Identity.ARN || record.RequestParameters.Constraints.EncryptionContextSubset["tenant"] != "42" {
		t.Errorf("%+v", record)
	}
	if strings.Contains(log.String(), "responseElements") {
		t.Error("a refused operation has a response")
	}

	log.Reset()
	e.Reset()
	e.Name, e.Type, e.Response = "RotateKey", audit.ServiceEvent, []slog.Attr{slog.String("keyId", key)}
	if err := sink.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"INFO"`) || !strings.Contains(text, `"responseElements":{"keyId"`) || strings.Contains(text, "requestID") {
		t.Error(text)
	}
}

func TestSlogNeverPretends(t *testing.T) {
	quiet := audit.Slog(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err := quiet.Append(t.Context(), &audit.Event{Name: "Encrypt"}); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("a logger that drops successes: %v", err)
	}
	if err := quiet.Append(t.Context(), &audit.Event{Name: "Encrypt", ErrorCode: "AccessDenied"}); err != nil {
		t.Errorf("a logger that takes warnings: %v", err)
	}
	if err := audit.Slog(slog.New(slog.DiscardHandler)).Append(t.Context(), full()); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("the discarding handler: %v", err)
	}
	disk := errors.New("no space left")
	w := &script{steps: []func(*bytes.Buffer, []byte) (int, error){func(*bytes.Buffer, []byte) (int, error) { return 0, disk }}}
	if err := audit.Slog(slog.New(slog.NewTextHandler(w, nil))).Append(t.Context(), full()); !errors.Is(err, disk) {
		t.Errorf("a handler that fails: %v", err)
	}
}

func TestSlogPrintsNoStrangers(t *testing.T) {
	for name, handler := range map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
		"text": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
		"json": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
	} {
		var log bytes.Buffer
		e := &audit.Event{Name: "Encrypt", Request: strangers(), Response: strangers(), Additional: strangers(), Details: strangers()}
		if err := audit.Slog(slog.New(handler(&log, nil))).Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), canary) || strings.Contains(log.String(), "Y2FuYXJ5") || !strings.Contains(log.String(), "[unsupported Any]") {
			t.Errorf("%s: %s", name, log.String())
		}
	}
}

// keeper is a handler that keeps its records, as one that works in the background does.
type keeper struct {
	slog.Handler
	records []slog.Record
}

func (k *keeper) Enabled(context.Context, slog.Level) bool { return true }
func (k *keeper) Handle(_ context.Context, r slog.Record) error {
	k.records = append(k.records, r)
	return nil
}

func TestSlogHandlersMayKeepRecords(t *testing.T) {
	k := &keeper{}
	sink := audit.Slog(slog.New(k))
	e := full()
	if err := sink.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(attrsOf(k.records[0]))
	e.Request[1].Value.Any().([]string)[0] = "scribble"
	e.Reset()
	e.Request = append(e.Request, slog.String("scribble", ""))
	if after := fmt.Sprint(attrsOf(k.records[0])); after != before {
		t.Errorf("a kept record changes with the event:\n%s\n%s", before, after)
	}
}

func attrsOf(r slog.Record) (attrs []slog.Attr) {
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	return attrs
}

func TestTee(t *testing.T) {
	first, second := errors.New("first refuses"), errors.New("second refuses")
	accept := func(n *int) audit.Sink {
		return audit.SinkFunc(func(context.Context, *audit.Event) error { *n++; return nil })
	}
	refuse := func(err error) audit.Sink {
		return audit.SinkFunc(func(context.Context, *audit.Event) error { return err })
	}
	panics := audit.SinkFunc(func(context.Context, *audit.Event) error { panic(canary) })
	var n int
	for _, c := range []struct {
		name  string
		sinks []audit.Sink
		want  []error
		n     int
	}{
		{"all accept", []audit.Sink{accept(&n), accept(&n)}, nil, 2},
		{"one refuses", []audit.Sink{accept(&n), refuse(first), accept(&n)}, []error{first}, 2},
		{"two refuse", []audit.Sink{refuse(first), refuse(second), accept(&n)}, []error{first, second}, 1},
		{"one panics", []audit.Sink{panics, accept(&n)}, []error{audit.ErrUnavailable}, 1},
		{"one is nil", []audit.Sink{nil, accept(&n)}, []error{audit.ErrUnavailable}, 1},
		{"nested", []audit.Sink{audit.Tee(accept(&n), refuse(first)), accept(&n)}, []error{first}, 2},
		{"none", nil, []error{audit.ErrUnavailable}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n = 0
			err := audit.Tee(c.sinks...).Append(t.Context(), full())
			if (err == nil) != (len(c.want) == 0) {
				t.Errorf("%v, want %v", err, c.want)
			}
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("%v does not hold %v", err, want)
				}
			}
			if n != c.n {
				t.Errorf("%d sinks have the event, want %d", n, c.n)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Error("the error repeats what a sink panicked with")
			}
		})
	}
}

func TestTeeGivesAllTheSameIDs(t *testing.T) {
	var one, two audit.Memory
	sinks := []audit.Sink{&one, audit.Required(&two, time.Minute)}
	tee := audit.Tee(sinks...)
	sinks[1] = nil // the slice stays the caller's
	e := full()
	for range 2 { // an event and its correction
		if err := tee.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for _, events := range [][]*audit.Event{one.Events(), two.Events()} {
		if len(events) != 2 || events[0].ID() != e.ID() || events[1].ID() != e.ID() || events[0].RequestID() != e.RequestID() {
			t.Errorf("%d events, or other ids", len(events))
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var n atomic.Int64
	count := audit.SinkFunc(func(context.Context, *audit.Event) error { n.Add(1); return nil })
	e, ctx := full(), t.Context()
	for name, sink := range map[string]audit.Sink{
		"plain":       count,
		"tee":         audit.Tee(count, count),
		"required":    audit.Required(count, 0),
		"best effort": audit.BestEffort(count, 0, func(error) {}),
		"all":         audit.Tee(audit.Required(count, 0), audit.BestEffort(audit.Tee(count), 0, func(error) {})),
	} {
		if got := testing.AllocsPerRun(100, func() {
			if err := sink.Append(ctx, e); err != nil {
				t.Error(err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
	if n.Load() == 0 {
		t.Error("the sinks were not called")
	}
}
