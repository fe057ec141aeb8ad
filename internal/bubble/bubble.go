// Package bubble runs tests with the clock of testing/synctest, also where Go's FIPS 140-3 module is on. Only tests import it.
package bubble

import (
	"crypto/fips140"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Test is [synctest.Test]. Go's FIPS 140-3 module seeds its generators from the jitter of the clock, of which a clock that stands has none: it panics with "failed to
// obtain initial entropy" as soon as two goroutines of a bubble draw at once, or after a collection. Where the module is on, random bytes therefore come from a
// reproducible stream for as long as t runs, and t must not be parallel.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(t, 1)
	}
	synctest.Test(t, f)
}
