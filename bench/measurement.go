package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// A measurement is what one way of doing a piece of work costs.
type measurement struct {
	perSpan int       // how many operations are timed together
	rounds  []float64 // nanoseconds per operation, one for each round
	cpu     []float64 // the same of processor time, of the whole process
	allocs  float64   // per operation
	bytes   float64   // per operation
}

// median is the time of an operation, in nanoseconds, in the median round.
func (m *measurement) median() float64 { return median(m.rounds) }

func median(rounds []float64) float64 {
	sorted := slices.Sorted(slices.Values(rounds))
	return sorted[len(sorted)/2]
}

// measure verifies the contests, and then times all their ways in turn, as often as there are rounds, for about span each time.
func measure(contests []*contest, rounds int, span time.Duration) error {
	var ways []*way
	for _, c := range contests {
		if err := c.verify(); err != nil {
			return err
		}
		ways = append(ways, c.ways()...)
	}
	for _, w := range ways {
		if err := w.calibrate(span); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	for range rounds {
		for _, w := range ways {
			runtime.GC() // each begins with the same heap, and pays for its own garbage
			before := processorTime()
			took, err := w.repeat(w.timed.perSpan)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			used, pieces := processorTime()-before, float64(w.pieces(w.timed.perSpan))
			w.timed.rounds, w.timed.cpu = append(w.timed.rounds, float64(took)/pieces), append(w.timed.cpu, float64(used)/pieces)
		}
	}
	return nil
}

// pieces is how many pieces of work n operations do.
func (w *way) pieces(n int) int { return n * max(1, w.each) }

// repeat does the work n times.
func (w *way) repeat(n int) (time.Duration, error) {
	start := time.Now()
	for range n {
		if _, err := w.op(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// calibrate finds how many operations take about span, and counts what they allocate.
func (w *way) calibrate(span time.Duration) error {
	few := w.few
	if few == 0 {
		few = 100
	}
	if _, err := w.repeat(few); err != nil { // fills pools and caches
		return err
	}
	n := few
	for {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		took, err := w.repeat(n)
		if err != nil {
			return err
		}
		runtime.ReadMemStats(&after)
		if took >= span/4 {
			w.timed.perSpan = max(1, int(float64(n)*float64(span)/float64(took)))
			// Whole numbers, as package testing has them: what a pool or a salt costs now and then is in the time.
			pieces := uint64(w.pieces(n))
			w.timed.allocs = float64((after.Mallocs - before.Mallocs) / pieces)
			w.timed.bytes = float64((after.TotalAlloc - before.TotalAlloc) / pieces)
			return nil
		}
		n *= 2
	}
}
