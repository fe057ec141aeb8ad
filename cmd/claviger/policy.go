package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claviger/kms"
	"github.com/claviger/kms/identities"
	"github.com/claviger/kms/policy"
)

func newPolicy() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Judge policies, and decide by them",
		Args:  noArguments,
		RunE:  needsSubcommand,
	}
	c.AddCommand(newSimulate(), newLint())
	return c
}

// identitiesFlag says which principals there are.
type identitiesFlag struct{ path string }

func (f *identitiesFlag) register(c *cobra.Command) {
	c.Flags().StringVar(&f.path, "identities", "", "the users, groups and roles: a `FILE` or folder as package identities reads it. Without, there are the users alice and bob\n"+
		"and the roles AppRole and service-role/DataRole in the key's account and in 444455556666")
}

func (f *identitiesFlag) open() (kms.Identities, error) {
	if f.path == "" {
		return village{}, nil
	}
	d, err := identities.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("--identities: %w", err)
	}
	return d, nil
}

// Kinds of policies, as --kind takes them.
var kinds = map[string]policy.Kind{
	"key": policy.KeyPolicy, "identity": policy.IdentityPolicy, "boundary": policy.IdentityPolicy, "session": policy.IdentityPolicy,
	"service-control": policy.IdentityPolicy, "resource-control": policy.ResourceControlPolicy,
}

// Where a key is whose policy is judged.
const (
	lintAccount = "111122223333"
	lintKey     = "arn:aws:kms:us-east-1:" + lintAccount + ":key/00000000-0000-4000-8000-000000000000"
)

// maxPolicyFile is more than any policy may have, in bytes.
const maxPolicyFile = 1 << 20

func newLint() *cobra.Command {
	var people identitiesFlag
	var kind string
	c := &cobra.Command{
		Use:   "lint FILE",
		Short: "Tell all that is wrong with a policy",
		Long: "Prints a line for everything for which the policy in FILE, or with - on standard input, would be refused, and warns of what is likely not meant: access for everybody,\n" +
			"statements without effect, a key that nobody could administer. Each with line and column, but for what the text itself does not tell: principals that there are not.\n" +
			"Exits with 0 if the policy would be taken, whatever it is warned of, 1 if not, 2 if that cannot be told.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one FILE; see %s --help", c.CommandPath())
			}
			return nil
		},
	}
	people.register(c)
	c.Flags().StringVar(&kind, "kind", "key", "what the policy is: `key`, identity, boundary, session, service-control or resource-control")
	c.RunE = func(c *cobra.Command, args []string) error {
		of, known := kinds[kind]
		if !known {
			return fmt.Errorf("--kind: this value is not one that it takes; see %s --help", c.CommandPath())
		}
		ids, err := people.open()
		if err != nil {
			return err
		}
		text, err := readPolicy(c, args[0])
		if err != nil {
			return err
		}
		refused := false
		for _, f := range policy.Lint(text, of) {
			refused = refused || f.Severity == policy.Error
			if _, err := fmt.Fprintln(c.OutOrStdout(), printable(f.String())); err != nil {
				return err
			}
		}
		if !refused && of == policy.KeyPolicy {
			s := simulation{identities: ids, rings: make(map[string]*kms.Keyring)}
			defer s.close()
			decision, why, err := s.put(c.Context(), &policyCase{KeyARN: lintKey, KeyAccount: lintAccount, Document: &text})
			if err != nil {
				return err
			}
			if refused = decision == rejected; refused {
				if _, err := fmt.Fprintln(c.OutOrStdout(), printable("error: "+why)); err != nil {
					return err
				}
				if people.path == "" && strings.HasPrefix(why, string(kms.ErrMalformedPolicy)) { // what Lint cannot see is who there is
					_, _ = fmt.Fprintln(c.ErrOrStderr(), "claviger: that is without --identities, where there are but a few: see", c.CommandPath(), "--help")
				}
			}
		}
		if refused {
			return errProblems
		}
		return nil
	}
	return c
}

// readPolicy reads a file, or standard input.
func readPolicy(c *cobra.Command, name string) (string, error) {
	in := c.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPolicyFile+1))
	if err == nil && len(text) > maxPolicyFile {
		err = errors.New("that is no policy: it has more than a megabyte")
	}
	return string(text), err
}
