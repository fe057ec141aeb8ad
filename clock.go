package kms

import (
	"math"
	"time"
)

// endOfTime is the last date that a record can hold, in the year 2262. No clock of a ring ever reads it.
const endOfTime = math.MaxInt64

// ringTime returns what a clock says, in nanoseconds since 1970. One that is out of what can be said stands at the end of it: it must not come round to the other
// one.
func ringTime(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < 0:
		return 1 // zero is no time
	case s >= endOfTime/int64(time.Second):
		return endOfTime - 1
	default:
		return max(t.UnixNano(), 1)
	}
}

// after returns the date that is a period after a time of the ring. One that cannot be said is the end of time, which never comes.
func after(now int64, period time.Duration) int64 {
	if int64(period) > endOfTime-now {
		return endOfTime
	}
	return now + int64(period)
}

// A clock reads the ring's time, which decides what is due, and the runtime's clocks, which decide what is stale.
type clock struct {
	now  func() time.Time // Config.Now; nil for the runtime's wall clock
	base time.Time        // what monotonic readings count from
}

// A stamp is one reading of the runtime's clocks. Both are kept: a suspended machine stops the monotonic one, a correction bends the wall clock.
type stamp struct {
	mono time.Duration // since the clock's base
	wall int64         // nanoseconds since 1970
}

// read reads all clocks, as seldom as can be: it is on the path of every call. now is the ring's time.
func (c *clock) read() (at stamp, now int64) {
	t := time.Now()
	at = stamp{mono: t.Sub(c.base), wall: t.UnixNano()}
	if c.now != nil {
		t = c.now()
	}
	return at, ringTime(t)
}

// stamp reads the runtime's clocks.
func (c *clock) stamp() stamp {
	t := time.Now()
	return stamp{mono: t.Sub(c.base), wall: t.UnixNano()}
}

// mono reads the monotonic clock alone.
func (c *clock) mono() time.Duration { return time.Since(c.base) }

// within reports whether now is no more than bound after s by either clock, and the clocks agree to within the bound. If the wall clock went back, it is not.
func (s stamp) within(bound time.Duration, now stamp) bool {
	mono, wall := now.mono-s.mono, time.Duration(now.wall-s.wall)
	if mono <= 0 { // s was read later than now, by somebody who works beside
		return true
	}
	return mono <= bound && wall <= bound && wall >= 0 && max(mono-wall, wall-mono) <= bound
}
