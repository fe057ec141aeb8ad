package kms

import "time"

// A clock reads the ring's time, which decides what is due, and the runtime's clocks, which decide what is stale.
type clock struct {
	now  func() time.Time // Config.Now
	base time.Time        // what monotonic readings count from
}

func newClock(now func() time.Time) clock { return clock{now: now, base: time.Now()} }

// A stamp is one reading of the runtime's clocks. Both are kept: a suspended machine stops the monotonic one, a correction bends the wall clock.
type stamp struct {
	mono time.Duration // since the clock's base
	wall int64         // nanoseconds since 1970
}

func (c *clock) stamp() stamp {
	t := time.Now()
	return stamp{mono: t.Sub(c.base), wall: t.UnixNano()}
}

// within reports whether now is no more than bound after s by either clock, and the clocks agree to within the bound. If the wall clock went back, it is not.
func (s stamp) within(bound time.Duration, now stamp) bool {
	mono, wall := now.mono-s.mono, time.Duration(now.wall-s.wall)
	return mono <= bound && wall <= bound && wall >= 0 && max(mono-wall, wall-mono) <= bound
}
