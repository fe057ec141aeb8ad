package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newID() *cobra.Command {
	return ringCommand(&cobra.Command{
		Use:   "id",
		Short: "Print the id of the ring, for Config.RingID and --ring-id",
	}, reading, func(c *cobra.Command, _ *secretInput, ring *openRing) error {
		_, err := fmt.Fprintln(c.OutOrStdout(), ring.ID())
		return err
	})
}
