// Command claviger serves keyrings over the wire protocol of AWS KMS, and looks after their stores: it checks that one is whole, counts it anew, changes the root keys that
// open it, and rotates its domain key. It makes key files and anchors; rings are made by claviger serve --create, and by the programs that use them. It judges policies,
// and decides by them.
//
// It exits with 0 if what was asked is done, 1 if a check found problems, and 2 if it could not be done, or not be looked at.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	done     = 0
	problems = 1
	failed   = 2
)

// errProblems ends a check that found problems and has printed them.
var errProblems = errors.New("the store is not whole")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait for what the first one ends
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the command of args and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	c := newCommand()
	c.SetArgs(args)
	c.SetIn(in)
	c.SetOut(out)
	c.SetErr(errs)
	switch err := c.ExecuteContext(ctx); {
	case err == nil:
		return done
	case errors.Is(err, errProblems):
		return problems
	default:
		_ = complain(errs, err.Error()) // the exit code tells as well
		return failed
	}
}

// complain prints a text line by line.
func complain(errs io.Writer, text string) error {
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(errs, "claviger:", printable(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "claviger",
		Short:             "Serve keyrings, and look after their stores",
		Args:              noArguments,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE:              needsSubcommand,
	}
	c.SetFlagErrorFunc(flagError)
	c.SetHelpCommand(newHelp())
	c.AddCommand(newCheck(), newID(), newMaintain(), newRecount(), newRoot(), newDomainKey(), newKeyFile(), newAnchor(), newPolicy(), newServe())
	return c
}

// noArguments refuses arguments, and does not repeat them: one may be a secret that was meant for a file.
func noArguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) > 0 && c.HasSubCommands():
		return fmt.Errorf("there is no such command; see %s --help", c.CommandPath())
	case len(args) > 0:
		return fmt.Errorf("%s takes flags only; see %s --help", c.CommandPath(), c.CommandPath())
	}
	return nil
}

// newHelp makes a command in place of cobra's, which repeats its arguments.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Tell more of a command",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noArguments(c.Root(), args)
			}
			return about.Help()
		},
	}
}

// flagError says what is wrong with a flag, and, as noArguments, does not repeat what is not its name.
func flagError(c *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s: want a value", e.GetFlag().Name)
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		switch e.GetFlag().Value.(type) {
		case *rootValue, devCredentials, *prefixes: // whose words repeat nothing
			return fmt.Errorf("--%s: %w", e.GetFlag().Name, e.Unwrap())
		}
		return fmt.Errorf("--%s: this value is not one that it takes; see %s --help", e.GetFlag().Name, c.CommandPath())
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok && e.GetSpecifiedShortnames() == "" {
		return fmt.Errorf("unknown flag: --%s; see %s --help", e.GetSpecifiedName(), c.CommandPath())
	}
	return fmt.Errorf("there is no such flag; see %s --help", c.CommandPath())
}

func needsSubcommand(c *cobra.Command, _ []string) error {
	return fmt.Errorf("say what to do; see %s --help", c.CommandPath())
}

// printable returns a line that neither moves the cursor nor ends early: a store may name its records as it likes.
func printable(line string) string {
	if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(line)
	}
	return line
}
