package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/rootkey/keyfile"
)

func newKeyFile() *cobra.Command {
	c := &cobra.Command{Use: "key-file", Short: "Make a root key in a file", Args: noArguments, RunE: needsSubcommand}
	c.AddCommand(fileCommand(&cobra.Command{
		Use:   "create",
		Short: "Make a file with a new random root key",
		Long: "Makes a file with a new random root key, for --key-file, --new-key-file and programs with package keyfile. Only its owner can read it, and it overwrites nothing.\n" +
			"A ring that opens with it alone is lost with it: keep a copy where the store is not.",
	}, func(path string) error { _, err := keyfile.Create(path); return err }))
	return c
}

func newAnchor() *cobra.Command {
	c := &cobra.Command{Use: "anchor", Short: "Make an anchor, by which a store that has gone back is noticed", Args: noArguments, RunE: needsSubcommand}
	c.AddCommand(fileCommand(&cobra.Command{
		Use:   "create",
		Short: "Make the file of a new anchor",
		Long: "Makes the file of a new anchor, for --anchor and programs with package anchor. Make it where whoever can write the store cannot write. It overwrites nothing.\n" +
			"It begins with what the store holds when the ring is first opened with it, by claviger maintain or a program: look with claviger check whether that is whole.",
	}, func(path string) error { _, err := anchor.Create(path); return err }))
	return c
}

// fileCommand makes a command that makes a file.
func fileCommand(c *cobra.Command, create func(path string) error) *cobra.Command {
	var path string
	c.Flags().StringVar(&path, "file", "", "the `FILE` to make, which must not exist")
	c.Args = noArguments
	c.RunE = func(c *cobra.Command, _ []string) error {
		if path == "" {
			return errors.New("--file: want a file")
		}
		if err := create(path); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "made %s\n", printable(path))
		return err
	}
	return c
}
