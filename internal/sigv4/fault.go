package sigv4

import (
	"fmt"
	"strings"
	"time"
)

// A Fault is why a request is refused, as AWS says it. None quotes a secret, a signature or a token, nor, as AWS does, the Authorization header or the canonical request, which
// could hold one.
type Fault struct {
	Code    string // the exception
	Message string
}

// Error writes both.
func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// The faults that say the same of every request.
var (
	// ErrMismatch is the fault of a request that the secret did not sign.
	ErrMismatch error = &Fault{invalidSignature, "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}

	// ErrUnrecognized is the fault of a request by an access key id that nobody knows, or with a session token that is not the credential's.
	ErrUnrecognized error = &Fault{"UnrecognizedClientException", "The security token included in the request is invalid."}

	// ErrExpired is the fault of a request with a session token that was the credential's.
	ErrExpired error = &Fault{"ExpiredTokenException", "The security token included in the request is expired"}

	errNone error = &Fault{"MissingAuthenticationTokenException", "Missing Authentication Token"}
)

const invalidSignature = "InvalidSignatureException"

// invalid is the fault of a request whose signature says what does not hold.
func invalid(format string, args ...any) error {
	return &Fault{invalidSignature, fmt.Sprintf(format, args...)}
}

// incomplete is the fault of a request whose signature cannot be read.
func incomplete(format string, args ...any) error {
	return &Fault{"IncompleteSignatureException", fmt.Sprintf(format, args...)}
}

// OtherRegion is the fault of a request that is signed for a Region which is not the verifier's.
func OtherRegion(region string) error {
	return invalid("Credential should be scoped to a valid Region, not '%s'.", printable(region))
}

// outside is the fault of a request that was signed at a time too far from now, and nil if it was not.
func outside(signed, now time.Time) error {
	now = now.UTC().Truncate(time.Second) // to which requests tell the time
	const minutes = int(Window / time.Minute)
	first, last := now.Add(-Window), now.Add(Window)
	switch {
	case signed.Before(first):
		return invalid("Signature expired: %s is now earlier than %s (%s - %d min.)", signed.Format(timeFormat), first.Format(timeFormat), now.Format(timeFormat), minutes)
	case signed.After(last):
		return invalid("Signature not yet current: %s is still later than %s (%s + %d min.)", signed.Format(timeFormat), last.Format(timeFormat), now.Format(timeFormat), minutes)
	}
	return nil
}

// printable shortens what a request says, and takes out what is not plain text.
func printable(text string) string {
	const most = 128
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
