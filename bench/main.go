// Bench compares what a keyring does with the bare primitives that it is made of, and with its peers, in one run on one machine:
//
//	go run ./bench [-rounds N] [-time D] [-filter REGEXP]
//	go run ./bench -scale [-keys N] [-rounds N] [-time D]
//	go run ./bench -grants N [-rounds N] [-time D]
//	go run ./bench -wire [-rounds N] [-time D] [-filter REGEXP]
//
// Times mean little by themselves: machines differ, and so do the hours of one that is shared. So every way of doing a piece of work is timed in turn, round after
// round, and what counts is the ratio of the medians. What a keyring does is always the whole of it: a role calls, a key policy decides, the key's state is
// checked, and an audit sink counts; only where the decision is what is compared, there is no sink. Everything is verified before it is timed.
//
// The second form compares a ring of many keys with one of ten, and tells how much memory processes hold that use them.
// The third compares a key that has many grants with one that has ten.
// The fourth compares a ring that is served over HTTP with a handler that only reads what is sent and answers as much.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"time"
)

// How long one timing takes. Each begins after a collection, which leaves the processor's caches cold: where it matters how much is looked at, a timing must be long against
// the filling of them.
const (
	usualSpan = 20 * time.Millisecond
	scaleSpan = 400 * time.Millisecond
)

func main() {
	rounds := flag.Int("rounds", 15, "how often every case is timed; the median counts")
	span := flag.Duration("time", 0, "how long one timing takes; by default 20ms, and 400ms with -scale, -grants and -wire")
	filter := flag.String("filter", "", "time only the cases that the `REGEXP` matches")
	scaling := flag.Bool("scale", false, "compare a ring of many keys with one of few")
	keys := flag.Int("keys", 100_000, "with -scale: how many keys are many")
	granting := flag.Int("grants", 0, "compare a key of `N` grants with one of few")
	serving := flag.Bool("wire", false, "compare a ring that is served over HTTP with a handler that does nothing")
	flag.Parse()
	child, err := reside(os.Stdout)
	switch {
	case child || err != nil:
	case *granting > 0:
		err = grants(os.Stdout, *granting, *rounds, cmp.Or(*span, scaleSpan))
	case *scaling:
		err = scale(os.Stdout, *keys, memoryUses, *rounds, cmp.Or(*span, scaleSpan))
	case *serving:
		err = wire(os.Stdout, *rounds, cmp.Or(*span, scaleSpan), *filter)
	default:
		err = run(os.Stdout, *rounds, cmp.Or(*span, usualSpan), *filter)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the contests that the filter matches, and prints the table.
func run(w io.Writer, rounds int, span time.Duration, filter string) (err error) {
	wanted, err := request(rounds, span, filter)
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
	contests, err := allContests(r, p)
	if err == nil {
		contests, err = chosen(contests, wanted)
	}
	if err != nil {
		return err
	}
	if err := measure(contests, rounds, span); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s/%s, %d CPUs, median of %d rounds\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	return printTable(w, contests)
}

// request reads what is asked for.
func request(rounds int, span time.Duration, filter string) (*regexp.Regexp, error) {
	if rounds < 1 || span <= 0 {
		return nil, errors.New("want at least one round, of some time")
	}
	return regexp.Compile(filter)
}

// chosen returns the contests that are asked for, of which there must be one.
func chosen(all []*contest, wanted *regexp.Regexp) (contests []*contest, err error) {
	for _, c := range all {
		if wanted.MatchString(c.name) {
			contests = append(contests, c)
		}
	}
	if len(contests) == 0 {
		return nil, fmt.Errorf("no case matches %q", wanted)
	}
	return contests, nil
}
