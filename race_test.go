//go:build race

package kms

// underRace: the race detector makes sync.Pool forget at random, so allocations are counted without it; scripts/test runs those tests a second time.
const underRace = true
