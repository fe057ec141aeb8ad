package audit

import (
	"context"
	"sync"
)

// A Memory keeps every event in memory, for tests. It never forgets by itself. The zero Memory is empty and ready. Its methods may be called concurrently.
type Memory struct {
	mu     sync.Mutex
	events []*Event // guarded by mu
}

var _ Sink = (*Memory)(nil)

// Append keeps a copy of the event. It never fails.
func (m *Memory) Append(_ context.Context, e *Event) error {
	c := e.Clone()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, c)
	return nil
}

// Events returns copies of all events since the last [Memory.Reset], in the order in which they came.
func (m *Memory) Events() []*Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := make([]*Event, len(m.events))
	for i, e := range m.events {
		events[i] = e.Clone()
	}
	return events
}

// Reset forgets all events.
func (m *Memory) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = nil
}
