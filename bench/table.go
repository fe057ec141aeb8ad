package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// printTable writes a line for each comparison: what ours takes, what the other takes, their ratio, the most that it should be, and whether it is.
func printTable(w io.Writer, contests []*contest) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "work\tkeyring\tallocs\tbytes\tagainst\ttakes\tallocs\tbytes\tratio\ttarget\t")
	for _, c := range contests {
		ours := &c.ours.timed
		head := fmt.Sprintf("%s\t%.0f ns\t%.0f\t%.0f", c.name, ours.median(), ours.allocs, ours.bytes)
		for _, other := range c.others {
			ratio := math.Round(100*ours.median()/other.timed.median()) / 100 // as it is printed
			fmt.Fprintf(t, "%s\t%s\t%.0f ns\t%.0f\t%.0f\t%.2f\t%s\n", head, other.name, other.timed.median(), other.timed.allocs, other.timed.bytes, ratio,
				other.verdict(ours, ratio))
			head = "\t\t\t"
		}
		if c.allocs != noLimit {
			fmt.Fprintf(t, "%s\tallocations\t\t\t\t%.0f\t%s\n", head, ours.allocs, verdict(ours.allocs, c.allocs, "%.0f"))
		}
	}
	return t.Flush()
}

// verdict fills the last two columns, where ours takes that many times as long as this way.
func (w *way) verdict(ours *measurement, ratio float64) string {
	if w.slack == 0 {
		return verdict(ratio, w.limit, "%.2f")
	}
	target := fmt.Sprintf("%.2f + %.0f ns", w.limit, w.slack)
	if over := math.Round(ours.median() - w.limit*w.timed.median() - w.slack); over > 0 { // as it is printed
		return fmt.Sprintf("%s\tmissed by %.0f ns", target, over)
	}
	return target + "\tmet"
}

// verdict fills the last two columns.
func verdict(got, limit float64, format string) string {
	switch {
	case limit == noLimit:
		return "-\t"
	case got <= limit:
		return fmt.Sprintf(format+"\tmet", limit)
	default:
		return fmt.Sprintf(format+"\tmissed by "+format, limit, got-limit)
	}
}
