package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claviger/kms"
)

func newCheck() *cobra.Command {
	c := ringCommand(&cobra.Command{
		Use:   "check",
		Short: "Look whether a store is whole",
		Long: "Opens every record of the store, follows every key to its material and its aliases, and compares them with the sealed totals, and with the anchor if there is one.\n" +
			"Tries every root key that is given, each by itself: give the recovery root keys too.\n" +
			"Prints a line for each problem, and one that counts. Changes nothing, neither the store nor the anchor. Nobody may have a bolt file open for writing meanwhile.\n" +
			"Exits with 0 if the store is whole, 1 if it is not, 2 if that cannot be told: because of a wrong root key, or a file that is no store.",
	}, reading, check)
	work := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error { return unopened(c, work(c, args)) }
	return c
}

func check(c *cobra.Command, _ *secretInput, ring *openRing) error {
	report, err := ring.Check(c.Context())
	if s, ok := ring.store.(interface{ Salvaged() error }); ok && s.Salvaged() != nil {
		what := fmt.Sprintf("%v: it opens for reading only, and what was read may be as old as the commit before the last", s.Salvaged())
		report.Problems = append([]*kms.Problem{{What: what, Err: s.Salvaged()}}, report.Problems...)
	}
	return printReport(c, report, err)
}

// printReport prints what a check found, and fails if it found something. A check that did not come to its end has nothing to count.
func printReport(c *cobra.Command, report kms.CheckReport, unfinished error) error {
	out := c.OutOrStdout()
	for _, p := range report.Problems {
		fmt.Fprintln(out, printable(p.Error()))
	}
	if unfinished != nil {
		return unfinished
	}
	_, err := fmt.Fprintf(out, "records %d, root keys %d of %d, keys %d, versions %d, aliases %d, grants %d, tombstones %d, problems %d\n",
		report.Records, report.Tried, report.Roots, report.Keys, report.Versions, report.Aliases, report.Grants, report.Tombstones, len(report.Problems))
	if err == nil && len(report.Problems) > 0 {
		err = errProblems
	}
	return err
}

const (
	gone = "the ring does not open, so that nothing is known of the rest. Change nothing in this store and keep it; take a copy of the store from before, and check that one."
	back = "the store is older than its anchor: an older copy was put back, or this is not the newest one. Look for the newest.\n" +
		"Without --anchor a check tells whether this one is whole. To go on with it on purpose, make a new anchor."
	shut = "the ring does not open with an anchor, so that nothing is known of the rest: without --anchor a check tells. Take a copy of the store from before, or see claviger recount --help."
)

// unopened takes what keeps a ring from being opened for what the check has found, if it is in the store.
func unopened(c *cobra.Command, err error) error {
	p, ok := errors.AsType[*kms.Problem](err)
	if !ok || errors.Is(err, errProblems) {
		return err
	}
	advice := gone
	switch {
	case errors.Is(err, kms.ErrRolledBack):
		advice = back
	case p.Record == "ledger" || strings.HasPrefix(p.Record, "total/"): // which a ring without an anchor opens without
		advice = shut
	}
	return errors.Join(printReport(c, kms.CheckReport{Problems: []*kms.Problem{p}}, nil), complain(c.ErrOrStderr(), advice))
}
