package audit_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/bubble"
)

const bound = 2 * time.Second

// slow is a sink that ignores its context and takes d.
func slow(d time.Duration) audit.Sink {
	return audit.SinkFunc(func(context.Context, *audit.Event) error {
		time.Sleep(d)
		return nil
	})
}

func TestBoundHolds(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration
		want  error
		after time.Duration
	}{
		{"at once", 0, nil, 0},
		{"just in time", bound - 1, nil, bound - 1},
		{"too late", bound + 1, audit.ErrUnavailable, bound},
		{"far too late", time.Hour, audit.ErrUnavailable, bound},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				sink, start := audit.Required(slow(c.takes), bound), time.Now()
				if err := sink.Append(t.Context(), full()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if took := time.Since(start); took != c.after {
					t.Errorf("after %v, want %v", took, c.after)
				}
				time.Sleep(2 * time.Hour) // the sink's goroutine ends: synctest would find it
			})
		})
	}
}

func TestSinkSeesTheDeadline(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		obedient := audit.SinkFunc(func(ctx context.Context, _ *audit.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		if err := audit.Required(obedient, bound).Append(t.Context(), full()); err == nil {
			t.Error("the event is accepted")
		}
		if took := time.Since(start); took != bound {
			t.Errorf("after %v, want %v", took, bound)
		}
	})
}

// TestTheCallerKeepsItsEvent lets the caller use the event again while the sink is still writing it; the race detector watches.
func TestTheCallerKeepsItsEvent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var m audit.Memory
		late := audit.SinkFunc(func(ctx context.Context, e *audit.Event) error {
			time.Sleep(time.Hour)
			return m.Append(ctx, e)
		})
		e := full()
		if err := audit.Required(late, bound).Append(t.Context(), e); !errors.Is(err, audit.ErrUnavailable) {
			t.Fatal(err)
		}
		id := e.ID()
		e.Reset()
		e.Name = "Decrypt"
		time.Sleep(2 * time.Hour)
		events := m.Events()
		if len(events) != 1 || events[0].Name != "CreateGrant" || events[0].ID() != id || events[0].Request[0].Key != "keyId" {
			t.Errorf("the late sink wrote %v", events)
		}
	})
}

// TestStuckSinkHoldsFewGoroutines: vault#18943: a blocked audit device was an outage.
func TestStuckSinkHoldsFewGoroutines(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var inside, most atomic.Int64
		release := make(chan struct{})
		stuck := audit.SinkFunc(func(context.Context, *audit.Event) error {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			<-release
			return nil
		})
		sink := audit.Required(stuck, bound)
		errs := make(chan error, 100)
		start := time.Now()
		for range cap(errs) {
			go func() { errs <- sink.Append(t.Context(), full()) }()
		}
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, audit.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
		}
		if took := time.Since(start); took != bound {
			t.Errorf("a hundred callers waited %v, want %v", took, bound)
		}
		if n := most.Load(); n != 16 {
			t.Errorf("%d goroutines inside the sink, want 16", n)
		}

		start = time.Now()
		if err := sink.Append(t.Context(), full()); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("with all stuck an event waits %v", took)
		}

		release <- struct{}{} // one call returns: there is room again
		synctest.Wait()
		start = time.Now()
		if err := sink.Append(t.Context(), full()); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
		if took := time.Since(start); took != bound {
			t.Errorf("with room for one an event waits %v, want %v", took, bound)
		}

		close(release)
		synctest.Wait()
		if err := sink.Append(t.Context(), full()); err != nil {
			t.Errorf("the sink works again: %v", err)
		}
	})
}

// TestManyCallersOfASoundSink has more callers than may be inside at once: they wait for their turn instead of failing.
func TestManyCallersOfASoundSink(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		sink := audit.Required(slow(10*time.Millisecond), bound)
		errs := make(chan error, 200)
		for range cap(errs) {
			go func() { errs <- sink.Append(t.Context(), full()) }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestPanicsAndExits(t *testing.T) {
	broken := map[string]audit.Sink{
		"panic":         audit.SinkFunc(func(context.Context, *audit.Event) error { panic(canary) }),
		"runtime error": audit.SinkFunc(func(_ context.Context, e *audit.Event) error { return []error{}[len(e.Name)] }),
		"exit":          audit.SinkFunc(func(context.Context, *audit.Event) error { runtime.Goexit(); return nil }),
	}
	for name, s := range broken {
		for _, d := range []time.Duration{0, bound} {
			if name == "exit" && d == 0 {
				continue // called directly, it ends the caller's goroutine, as it asked to
			}
			bubble.Test(t, func(t *testing.T) {
				sink := audit.Required(s, d)
				for range 40 { // more often than there is room: each gives its room back
					if err := sink.Append(t.Context(), full()); !errors.Is(err, audit.ErrUnavailable) || strings.Contains(err.Error(), canary) {
						t.Errorf("%s, bound %v: %v, want ErrUnavailable", name, d, err)
					}
				}
				var lost []error
				if err := audit.BestEffort(s, d, func(err error) { lost = append(lost, err) }).Append(t.Context(), full()); err != nil {
					t.Errorf("%s, best effort: %v", name, err)
				}
				if len(lost) != 1 || !errors.Is(lost[0], audit.ErrUnavailable) {
					t.Errorf("%s, best effort: onError got %v", name, lost)
				}
			})
		}
	}
}

func TestRefusalsArePassedOn(t *testing.T) {
	disk := errors.New("no space left")
	refusing := audit.SinkFunc(func(context.Context, *audit.Event) error { return disk })
	for _, d := range []time.Duration{0, bound} {
		if err := audit.Required(refusing, d).Append(t.Context(), full()); !errors.Is(err, disk) {
			t.Errorf("required: %v", err)
		}
		var lost error
		if err := audit.BestEffort(refusing, d, func(err error) { lost = err }).Append(t.Context(), full()); err != nil || !errors.Is(lost, disk) {
			t.Errorf("best effort: %v, onError got %v", err, lost)
		}
	}
}

func TestBestEffortIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		sink := audit.BestEffort(slow(time.Hour), bound, func(err error) {
			if errors.Is(err, audit.ErrUnavailable) {
				lost.Add(1)
			}
		})
		start := time.Now()
		for range 20 {
			if err := sink.Append(t.Context(), full()); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took != 16*bound {
			t.Errorf("twenty events took %v, want sixteen bounds and then no waiting", took)
		}
		if n := lost.Load(); n != 20 {
			t.Errorf("%d losses reported, want 20", n)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestConstructorsRefuseMistakes(t *testing.T) {
	for name, f := range map[string]func(){
		"Required of nil":            func() { audit.Required(nil, 0) },
		"Required, negative bound":   func() { audit.Required(slow(0), -1) },
		"BestEffort of nil":          func() { audit.BestEffort(nil, 0, func(error) {}) },
		"BestEffort, negative bound": func() { audit.BestEffort(slow(0), -1, func(error) {}) },
		"BestEffort without onError": func() { audit.BestEffort(slow(0), 0, nil) },
		"JSON of nil":                func() { audit.JSON(nil) },
		"Slog of nil":                func() { audit.Slog(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it is accepted")
				}
			}()
			f()
		})
	}
}
