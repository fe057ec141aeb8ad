package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newID() *cobra.Command {
	return ringCommand(&cobra.Command{
		Use:   "id",
		Short: "Print the id of the ring, for Config.RingID and --ring-id, and its account, Region and partition",
	}, reading, func(c *cobra.Command, _ *secretInput, ring *openRing) error {
		_, err := fmt.Fprintf(c.OutOrStdout(), "ring %s\naccount %s\nregion %s\npartition %s\n", ring.ID(), ring.AccountID(), ring.Region(), ring.Partition())
		return err
	})
}
