package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newDomainKey() *cobra.Command {
	c := &cobra.Command{Use: "domain-key", Short: "Rotate the key that seals a ring's records", Args: noArguments, RunE: needsSubcommand}
	c.AddCommand(ringCommand(&cobra.Command{
		Use:   "rotate",
		Short: "Seal under a new domain key from now on",
		Long: "Makes a new domain key, under all root keys of the ring, which must all be given. What was sealed before stays readable; claviger maintain, or any program\n" +
			"that calls Keyring.Maintain, reseals it and removes the old domain key.",
	}, writing, func(c *cobra.Command, _ *secretInput, ring *openRing) error {
		if err := ring.RotateDomainKey(c.Context()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "ring %s seals under a new domain key\n", ring.ID())
		return err
	}))
	return c
}
