// Package stress tries the keyring from outside, through what it exports, in ways that take more time or another library than the tests of the root module may
// have. It holds tests only.
//
//   - model_test.go walks through random operations and years, and compares every key, alias and answer with a small model of what the reference says.
//   - clock_test.go lets clocks jump, go back and disagree: nothing is destroyed inside its waiting period, and nothing is used beyond the bound of staleness.
//   - race_test.go runs every operation beside every other one on one key, in one ring and in two rings on one store.
//   - linear_test.go records what concurrent clients were told, and has porcupine look for an order of the operations that explains it.
//   - fault_test.go lets every single call of the store fail, lose its answer, or take effect late.
//   - kill_test.go kills a process that works on a ring, again and again, and looks for what it was told is done.
//   - scale_test.go counts what operations ask of the store in a ring of few keys and in one of many, and what memory many keys take.
//
// scripts/test runs a small size of each. KMS_SOAK=1 go test -race -v -timeout 30m ./stress runs the full sizes, and -v shows the counts.
package stress
