//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
)

// TestNothingWaitsForPipes: a named pipe, or a device, in the place of any file that the command reads or writes is refused, and nobody waits for its other end.
func TestNothingWaitsForPipes(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	ok(t, syscall.Mkfifo(s.path("pipe"), 0o600))
	for _, args := range commands {
		for _, path := range []string{"pipe", os.DevNull} {
			s.want(s.run(append(args, "--store", "bolt:"+path, "--passphrase-file", "pass.txt")...), 2, "",
				"--store: bolt: open "+path+": bolt: file is not a key store of a known format: not a regular file\n")
			s.want(s.run(append(args, with("--anchor", path)...)...), 2, "", "--anchor")
			s.want(s.run(append(args, "--store", "bolt:keys.db", "--passphrase-file", path)...), 2, "", "--passphrase-file: passphrase: open "+path+": not a regular file\n")
		}
	}
	for _, args := range changing {
		s.want(s.run(append(args, with("--audit", "pipe")...)...), 2, "", "--audit: pipe is a named pipe: want a file\n")
	}
}
