// Package openssl lets the tests of examples ask openssl, which shares no code with Go's cryptography, what it makes of their products.
package openssl

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Command returns a command that runs openssl until the test ends. Where openssl is not installed it skips the test, or fails it if KMS_REQUIRE names openssl.
func Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		if strings.Contains(os.Getenv("KMS_REQUIRE"), "openssl") {
			t.Fatal("openssl is not there")
		}
		t.Skip("openssl is not there; scripts/test installs it")
	}
	return exec.CommandContext(t.Context(), program, args...)
}
