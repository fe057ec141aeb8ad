package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claviger/kms/rootkey"
)

func newRoot() *cobra.Command {
	c := &cobra.Command{Use: "root", Short: "Change the root keys of a ring", Args: noArguments, RunE: needsSubcommand}
	c.AddCommand(newRootChange())
	return c
}

func newRootChange() *cobra.Command {
	var next rootFlags
	c := ringCommand(&cobra.Command{
		Use:   "change",
		Short: "Wrap the ring's domain keys under new root keys, and no others",
		Long: "Wraps the ring's domain keys under the root keys of the --new flags and no others: name those that stay there too.\n" +
			"An old root key opens old copies of the store for ever. If somebody may have kept both, rotate the domain key afterwards, and run maintain.",
	}, writing, func(c *cobra.Command, in *secretInput, ring *openRing) error {
		root, recovery, err := next.open(in)
		if err != nil {
			return err
		}
		if err := ring.ChangeRoots(c.Context(), root, recovery...); err != nil {
			return err
		}
		names := []string{rootkey.Name(root)}
		for _, r := range recovery {
			names = append(names, rootkey.Name(r))
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "ring %s opens under: %s\n", ring.ID(), printable(strings.Join(names, ", ")))
		return err
	})
	next.register(c.Flags(), "new-", "the new")
	return c
}
