//go:build unix

package main

import (
	"syscall"
	"time"
)

// processorTime is what the process has had of the processors so far, for itself and in the system for it.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // it cannot fail
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
