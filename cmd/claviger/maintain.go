package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newMaintain() *cobra.Command {
	return ringCommand(&cobra.Command{
		Use:   "maintain",
		Short: "Rotate the keys that are due, and reseal what an older domain key has sealed",
		Long: "Calls Keyring.Maintain once and prints its report. Destroying a key takes two calls by one process, an hour apart: this command only marks what is due,\n" +
			"and a program that stays up destroys it.",
	}, writing, maintain)
}

func maintain(c *cobra.Command, _ *secretInput, ring *openRing) error {
	report, err := ring.Maintain(c.Context())
	_, printErr := fmt.Fprintf(c.OutOrStdout(), "rotated %d, marked %d, destroyed %d, resealed %d, postponed %d\n",
		report.Rotated, report.Marked, report.Destroyed, report.Resealed, report.Postponed)
	return errors.Join(err, printErr)
}
