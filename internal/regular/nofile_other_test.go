//go:build !unix

package regular_test

import "testing"

func noFiles(t *testing.T) map[string]string { return map[string]string{"a directory": t.TempDir()} }
