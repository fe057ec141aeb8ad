package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"

	"github.com/claviger/kms"
)

// residentTask holds, in the environment of a child, what it is to do.
const residentTask = "CLAVIGER_BENCH_RESIDENT"

// A residence is a process that uses a ring, and what memory it then holds.
type residence struct {
	Folder string
	Keys   int // of the ring
	Cache  int // Config.CacheSize
	Uses   int // how many random keys it uses
}

// measure runs a child that opens the ring and uses it, and returns the lines of its /proc/self/status that tell what is resident.
func (r residence) measure() (map[string]string, error) {
	task, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), residentTask+"="+string(task))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(line, ":")
		lines[name] = strings.TrimSpace(value)
	}
	return lines, nil
}

// reside is the child, if this process is one: it reports whether it is.
func reside(w io.Writer) (bool, error) {
	task, ok := os.LookupEnv(residentTask)
	if !ok {
		return false, nil
	}
	var r residence
	if err := json.Unmarshal([]byte(task), &r); err != nil {
		return true, err
	}
	ring, end, err := open(r.Folder, func(cfg *kms.Config) { cfg.CacheSize = r.Cache })
	if err != nil {
		return true, err
	}
	for range r.Uses {
		if _, err := ring.Encrypt(context.Background(), aliasOf(rand.IntN(r.Keys)), []byte("x"), nil); err != nil {
			return true, err
		}
	}
	debug.FreeOSMemory() // what is garbage is not held
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true, err
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "RssAnon:") {
			fmt.Fprint(w, line)
		}
	}
	return true, end()
}
