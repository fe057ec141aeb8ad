// Package program lets the tests of an example run it, by having their own binary become the program. So the race detector watches it where it watches the tests; and go
// test, which remembers results by what is in that binary, does not take one for that of a program which has changed since.
package program

import (
	"os"
	"os/exec"
	"testing"
)

const variable = "KMS_EXAMPLE"

// Main is for TestMain: it runs the tests, or main where Command started the binary.
func Main(m *testing.M, main func()) {
	if os.Getenv(variable) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// Command returns a command that runs the program until the test ends.
func Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), variable+"=run", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0") // else the race detector makes each run last a second
	return cmd
}
