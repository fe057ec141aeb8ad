module github.com/claviger/kms/interop

go 1.26.4

require (
	filippo.io/mldsa v1.0.0
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
	github.com/claviger/kms v0.0.0
	github.com/cloudflare/circl v1.6.5
	github.com/tink-crypto/tink-go/v2 v2.9.0
)

require (
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.4.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
