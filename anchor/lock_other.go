//go:build !unix || solaris || aix

package anchor

import (
	"errors"
	"fmt"
)

// locked refuses: without a lock between processes two could move the mark at once.
func locked(string, func() error) error {
	return fmt.Errorf("a file as an anchor on this system: %w", errors.ErrUnsupported)
}
