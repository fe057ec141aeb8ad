// Bench compares what a keyring does with the bare primitives that it is made of, and with its peers, in one run on one machine:
//
//	go run ./bench [-rounds N] [-time D] [-filter REGEXP]
//	go run ./bench -scale [-keys N] [-rounds N] [-time D]
//
// Times mean little by themselves: machines differ, and so do the hours of one that is shared. So every way of doing a piece of work is timed in turn, round after
// round, and what counts is the ratio of the medians. What a keyring does is always the whole of it: a role calls, a key policy decides, the key's state is
// checked, and an audit sink counts. Everything is verified before it is timed.
//
// The second form compares a ring of many keys with one of ten, and tells how much memory processes hold that use them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 15, "how often every case is timed; the median counts")
	span := flag.Duration("time", 20*time.Millisecond, "how long one timing takes")
	filter := flag.String("filter", "", "time only the cases that the `REGEXP` matches")
	scaling := flag.Bool("scale", false, "compare a ring of many keys with one of few")
	keys := flag.Int("keys", 100_000, "with -scale: how many keys are many")
	flag.Parse()
	child, err := reside(os.Stdout)
	switch {
	case child || err != nil:
	case *scaling:
		err = scale(os.Stdout, *keys, memoryUses, *rounds, *span)
	default:
		err = run(os.Stdout, *rounds, *span, *filter)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the contests that the filter matches, and prints the table.
func run(w io.Writer, rounds int, span time.Duration, filter string) (err error) {
	if rounds < 1 || span <= 0 {
		return errors.New("want at least one round, of some time")
	}
	wanted, err := regexp.Compile(filter)
	if err != nil {
		return err
	}
	r, err := newRing()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	p, err := newPeers()
	if err != nil {
		return err
	}
	all, err := allContests(r, p)
	if err != nil {
		return err
	}
	var contests []*contest
	for _, c := range all {
		if wanted.MatchString(c.name) {
			contests = append(contests, c)
		}
	}
	if len(contests) == 0 {
		return fmt.Errorf("no case matches %q", filter)
	}
	if err := measure(contests, rounds, span); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s/%s, %d CPUs, median of %d rounds\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	return printTable(w, contests)
}
