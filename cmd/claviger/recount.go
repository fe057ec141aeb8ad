package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newRecount() *cobra.Command {
	var accept bool
	c := ringCommand(&cobra.Command{
		Use:   "recount",
		Short: "Count the keys of a store anew, where its totals are damaged or keys are lost for good",
		Long: "Prints what claviger check finds. With --accept it then makes every sealed total anew, of the records that open, and removes the ledger of an anchor.\n" +
			"It brings nothing back: no check tells any more which keys are missing, or older than they were. Keep a copy of the store.\n" +
			"With an anchor it refuses: that is there to refuse what this accepts. Make a new one afterwards.",
	}, writing, func(c *cobra.Command, _ *secretInput, ring *openRing) error { return recount(c, ring, accept) })
	c.Flags().BoolVar(&accept, "accept", false, "take the store as it is; without it nothing is changed")
	const flag = "anchor"
	c.Flags().Lookup(flag).Hidden = true
	work := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed(flag) {
			return errors.New("--anchor: an anchor is there to refuse what a recount accepts: recount without it, and make a new anchor")
		}
		return work(c, args)
	}
	return c
}

func recount(c *cobra.Command, ring *openRing, accept bool) error {
	report, err := ring.Check(c.Context())
	if err := printReport(c, report, err); err != nil && !errors.Is(err, errProblems) {
		return err
	}
	if !accept {
		return errors.New("nothing was changed: with --accept the totals are made of what is there, and no check tells any more which keys are missing, or older than they were")
	}
	if err := ring.Recount(c.Context()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "ring %s is recounted\n", ring.ID())
	return err
}
