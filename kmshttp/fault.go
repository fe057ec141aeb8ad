package kmshttp

import (
	"errors"
	"net/http"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/sigv4"
)

// A fault is what a client is told of a request that did not succeed: the exception's name, and a message where AWS KMS has one. Both are safe to log.
type fault struct{ code, message string }

func (f *fault) Error() string { return f.code + ": " + f.message }

// Exceptions of the front, beside those of the keyring and of signatures.
var (
	errInternal         = &fault{code: "InternalFailure", message: "The request could not be served."}
	errMalformedHTTP    = &fault{code: "MalformedHttpRequestException", message: "The request is not one that this service reads."}
	errNoIdentity       = &fault{code: "MissingAuthenticationTokenException", message: "Missing Authentication Token"}
	errNoRegion         = &fault{code: "InvalidSignatureException", message: "The request names no Region, and the host has none behind kms., as in kms.eu-central-1.example.org."}
	errSerialization    = &fault{code: "SerializationException"}
	errTooLarge         = &fault{code: "RequestEntityTooLargeException", message: "The request is too large."}
	errUnknownOperation = &fault{code: "UnknownOperationException"}
)

// status is the HTTP status of an exception: 400 for what clients do wrong, "not found" and "denied" among them.
func (f *fault) status() int {
	switch f.code {
	case errInternal.code, string(kms.ErrInternal), string(kms.ErrDependencyTimeout), "KeyUnavailableException":
		return http.StatusInternalServerError
	case string(kms.ErrServiceUnavailable):
		return http.StatusServiceUnavailable
	case errTooLarge.code:
		return http.StatusRequestEntityTooLarge
	case errUnknownOperation.code:
		return http.StatusNotFound
	default:
		return http.StatusBadRequest
	}
}

// causeOf is what whoever runs the server should know of an error, and its clients are not told: what is behind a fault of the server's, and what an authenticator has to say
// of a refusal that it wraps. It is nil if clients are told all.
func causeOf(err error) error {
	switch e := err.(type) {
	case *fault, *sigv4.Fault:
		return nil
	case *kms.Error:
		if faultOf(e).status() < http.StatusInternalServerError {
			return nil
		}
		return e.Err
	default:
		return err
	}
}

// faultOf is what a client is told of an error: of one that is not meant for clients, nothing.
func faultOf(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if f, ok := errors.AsType[*sigv4.Fault](err); ok {
		return &fault{f.Code, f.Message}
	}
	if e, ok := errors.AsType[*kms.Error](err); ok {
		return &fault{string(e.Code), e.Message}
	}
	return errInternal
}
