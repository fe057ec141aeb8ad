package bolt

import (
	"runtime"
	"slices"
	"sync"

	"github.com/claviger/kms/keystore"
)

// Bounds of a group. What waits beyond them goes into the next one.
const (
	maxGroupMembers = 256
	maxGroupLen     = 4 << 20 // bytes of names and values
	maxYields       = 256     // while those of the last group come back
)

// A queue gathers commits while a group of earlier ones is being written. There is no goroutine of its own: whoever gets the turn leads, and commits for all that
// wait; with one caller that is one transaction per commit, at once.
type queue struct {
	turn chan struct{} // holds one token while somebody leads

	mu      sync.Mutex // guards the rest
	waiting []*member
	hoped   int // how many wait when all of the last group have come back
}

// A member is one Commit. rev and err are set before done is closed.
type member struct {
	changes []keystore.Change
	len     int             // bytes of names and values
	ended   <-chan struct{} // closed when the caller's context ends; nil if it never does
	done    chan struct{}
	rev     keystore.Revision
	err     error
}

func newMember(ended <-chan struct{}, changes []keystore.Change) *member {
	m := &member{changes: changes, ended: ended, done: make(chan struct{})}
	for _, c := range changes {
		m.len += len(c.Name) + len(c.Value)
	}
	return m
}

// finish tells the caller of Commit.
func (m *member) finish(rev keystore.Revision, err error) {
	m.rev, m.err = rev, err
	close(m.done)
}

func (q *queue) join(m *member) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, m)
}

// leave takes m out of the queue and reports whether it was still there.
func (q *queue) leave(m *member) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, m)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// release counts on the members of a group, who are about to be told, to come back.
func (q *queue) release(group []*member) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hoped = len(q.waiting) + len(group)
}

// gather lets those who were told of the last group come back before the next one is taken. Without it groups would be small: the one caller that was quick enough, or
// two halves of all callers in turn. It gives way a few times and never waits.
func (q *queue) gather() {
	for range maxYields {
		q.mu.Lock()
		complete := len(q.waiting) >= q.hoped
		q.mu.Unlock()
		if complete {
			return
		}
		runtime.Gosched()
	}
}

// take removes the next group from the queue, in the order of joining. Members whose context has ended are finished with [errEnded] instead.
func (q *queue) take() []*member {
	q.mu.Lock()
	defer q.mu.Unlock()
	var group []*member
	n, length := 0, 0
	for _, m := range q.waiting {
		if len(group) > 0 && (len(group) == maxGroupMembers || length+m.len > maxGroupLen) {
			break
		}
		n++
		if hasEnded(m.ended) {
			m.finish(0, errEnded)
			continue
		}
		group = append(group, m)
		length += m.len
	}
	q.waiting = slices.Delete(q.waiting, 0, n)
	return group
}
