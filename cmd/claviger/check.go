package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	return ringCommand(&cobra.Command{
		Use:   "check",
		Short: "Look whether a store is whole",
		Long: "Opens every record of the store, follows every key to its material and its aliases, and compares them with the sealed totals.\n" +
			"Prints a line for each problem, and one that counts. Changes nothing, neither the store nor the anchor. Nobody may have a bolt file open for writing meanwhile.\n" +
			"Exits with 0 if the store is whole, 1 if it is not, 2 if the ring could not be opened or the walk not be finished.",
	}, reading, check)
}

func check(c *cobra.Command, _ *secretInput, ring *openRing) error {
	report, err := ring.Check(c.Context())
	if err != nil {
		return err
	}
	out, found := c.OutOrStdout(), len(report.Problems)
	if s, ok := ring.store.(interface{ Salvaged() error }); ok && s.Salvaged() != nil {
		found++
		fmt.Fprintln(out, printable(fmt.Sprintf("%v: it opens for reading only, and what was read may be as old as the commit before the last", s.Salvaged())))
	}
	for _, p := range report.Problems {
		fmt.Fprintln(out, printable(p.String()))
	}
	_, err = fmt.Fprintf(out, "records %d, keys %d, versions %d, aliases %d, tombstones %d, problems %d\n",
		report.Records, report.Keys, report.Versions, report.Aliases, report.Tombstones, found)
	if err == nil && found > 0 {
		err = errProblems
	}
	return err
}
