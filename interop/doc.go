// Package interop holds what the keyring uses against what others have published, which takes modules that the root module shall not have. It holds tests only.
//
// It runs the vectors of Project Wycheproof (github.com/c2sp/wycheproof): signatures, ciphertexts, keys and shared secrets, right ones and such that some
// implementation once took for right. Asymmetric keys go the way that the keyring's go, through the parsers of internal/keypair in PKCS#8 and SubjectPublicKeyInfo.
//
//   - collection_test.go says of every file of the collection which suite runs it, or why none does, and how many of its cases must pass.
//   - vector_test.go reads files, judges cases and counts them.
//   - rsa_test.go, ec_test.go, ed25519_test.go, mldsa_test.go, mlkem_test.go, symmetric_test.go are the suites; der_test.go writes keys that come in another form.
//
// No case is passed over: it passes, or may be taken or refused ("acceptable"), or is about something that no key does, for a reason that is counted.
// go test -v ./interop shows the counts.
package interop
