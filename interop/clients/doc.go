// Package clients holds what clients made for AWS KMS make of the server, which takes modules that no other module shall have. It holds tests only.
//
// The tests build the command, start claviger serve --dev once, and point every client to it as an application would: by AWS_ENDPOINT_URL_KMS or its like, with the
// access key "test".
//
//   - server_test.go starts and stops the server; client_test.go calls any operation by its name, through the AWS SDKs for Go, for Python (python/client.py) and for
//     JavaScript (javascript/client.mjs).
//   - operations_test.go says what the clients together go through: all operations of the API, each result held against another client or another implementation.
//     What the server does not offer is in one list there. keys_test.go, uses_test.go and refusals_test.go are the ways that clients go.
//   - sdk_test.go is what the AWS SDK for Go has beside operations: errors by type, pages, retries, credentials, Regions.
//   - envelope_test.go has the AWS Encryption SDK, Tink, Go CDK, go-kms-wrapping and SOPS; signer_test.go the signer of smallstep.
//   - admin_test.go runs admin.sh, which shows the AWS CLI as the administrator's client.
//
// The tests build the server by themselves, so that go test does not see when it changes: run them with -count=1, as scripts/test does.
package clients
