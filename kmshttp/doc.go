// Package kmshttp serves keyrings over the wire protocol of AWS KMS (AWS JSON 1.1, API version 2014-11-01), so that the clients made for AWS work as they are.
//
//	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{ring}, Authenticator: kmshttp.SigV4(credentials)})
//	server := kmshttp.NewServer(handler)
//
// A [Handler] takes no decision of its own: an [Authenticator] tells whose a request is, and the keyring does what it does for that caller within the process: policies,
// grants, dry runs and the audit trail are the same. A request that nobody vouches for is refused.
//
// In a test, a client of the AWS SDK talks to a ring without a socket through [Transport].
//
// # What the protocol leaves out
//
// All operations of the API have a route. Those that the keyring does not offer, and members of a request that ask for what it does not offer, are answered by
// UnsupportedOperationException. Members that no model has are ignored, as AWS ignores them. A member that stands twice in one object is a SerializationException.
//
// Plaintext travels in requests and answers: whoever serves over anything but a loopback address serves over TLS. A Handler bounds the size and the time of what comes
// behind the headers of a request, also in a server that is not made by [NewServer].
package kmshttp
