// This file is empty. It lets the compiler take a function without a body, which the linker finds in another package: see mldsa_linked.go.
