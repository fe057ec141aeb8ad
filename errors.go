package kms

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/rootkey"
)

// A Code classifies an [Error]. It is the exception name that AWS KMS uses on the wire, and an error itself, so that errors.Is(err, kms.ErrDisabled) asks for it.
type Code string

// Error implements error with the code itself.
func (c Code) Error() string { return string(c) }

// The codes of this package, with the name of the AWS exception as their value.
const (
	ErrAccessDenied         Code = "AccessDeniedException"            // policies do not allow it, or nothing may be said
	ErrAlreadyExists        Code = "AlreadyExistsException"           // the alias exists
	ErrConflict             Code = "ConflictException"                // another rotation is too near
	ErrDependencyTimeout    Code = "DependencyTimeoutException"       // the store cannot be reached, the context ended, or too many others change the same key
	ErrDisabled             Code = "DisabledException"                // the key is disabled
	ErrDryRun               Code = "DryRunOperationException"         // it would have succeeded, but the client is a dry run
	ErrExpiredToken         Code = "ExpiredTokenException"            // the caller's credentials have expired
	ErrIncorrectKey         Code = "IncorrectKeyException"            // the named key did not make the ciphertext
	ErrInternal             Code = "KMSInternalException"             // damaged data, a refusing audit sink, an outcome that cannot be known
	ErrInvalidAliasName     Code = "InvalidAliasNameException"        // the alias name is reserved
	ErrInvalidArn           Code = "InvalidArnException"              // an ARN is malformed
	ErrInvalidCiphertext    Code = "InvalidCiphertextException"       // the ciphertext or its encryption context is not right
	ErrInvalidGrantID       Code = "InvalidGrantIdException"          // a grant id is malformed
	ErrInvalidGrantToken    Code = "InvalidGrantTokenException"       // a grant token is not one of ours
	ErrInvalidKeyUsage      Code = "InvalidKeyUsageException"         // the key is not for that, or not with that algorithm
	ErrInvalidMac           Code = "KMSInvalidMacException"           // the MAC is not one of the message
	ErrInvalidMarker        Code = "InvalidMarkerException"           // the marker of a page is not one of ours
	ErrInvalidSignature     Code = "KMSInvalidSignatureException"     // the signature is not one of the message
	ErrInvalidState         Code = "KMSInvalidStateException"         // the key's state does not permit it
	ErrLimitExceeded        Code = "LimitExceededException"           // a quota is reached
	ErrMalformedPolicy      Code = "MalformedPolicyDocumentException" // the policy cannot be accepted
	ErrNotFound             Code = "NotFoundException"                // no such key, alias or policy
	ErrServiceUnavailable   Code = "ServiceUnavailable"               // the keyring is closed
	ErrTag                  Code = "TagException"                     // the tags are not right
	ErrUnsupportedOperation Code = "UnsupportedOperationException"    // a key of this kind cannot do that
	ErrValidation           Code = "ValidationException"              // an input breaks a limit or has the wrong form
)

// An Error is what every operation returns when it does not succeed. Its text is safe to log: it never holds plaintext, ciphertext or key material. An
// adapter such as [Signer] returns the same of what it refuses before it asks for an operation.
type Error struct {
	Op      string // the operation, such as "Decrypt"
	Code    Code
	KeyID   string // the ARN of the key, or what the caller named while the key was not known; may be empty
	Message string // for people; empty where AWS KMS has none
	Err     error  // the cause, for errors.Is and errors.As; never part of the text
}

// Error writes "kms: Decrypt arn:...: AccessDeniedException: ...".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("kms: ")
	b.WriteString(e.Op)
	if e.KeyID != "" {
		b.WriteByte(' ')
		b.WriteString(e.KeyID)
	}
	b.WriteString(": ")
	b.WriteString(string(e.Code))
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	return b.String()
}

// Is reports whether target is the error's [Code].
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A fault is how everything below the path says what went wrong; the path alone turns it into an [Error].
type fault struct {
	code    Code
	message string
	cause   error
}

func (f *fault) Error() string { return string(f.code) + ": " + f.message }

func (f *fault) Unwrap() error { return f.cause }

// faultf returns a fault with a message of ours.
func faultf(code Code, format string, args ...any) error {
	return &fault{code: code, message: fmt.Sprintf(format, args...)}
}

// errInvalidCiphertext is the one answer to every ciphertext that does not open, whatever failed.
var errInvalidCiphertext error = &fault{code: ErrInvalidCiphertext}

// errIncorrectKey is the answer to a key that is named for a ciphertext and did not make it.
var errIncorrectKey error = &fault{code: ErrIncorrectKey, message: "The key ID in the request does not identify a CMK that can perform this operation."}

// wrap translates whatever stopped an operation, once, at the end of the path.
func wrap(op, keyID string, err error) *Error {
	e := &Error{Op: op, KeyID: keyID, Code: ErrInternal}
	f, isFault := errors.AsType[*fault](err)
	switch {
	case isFault:
		e.Code, e.Message, e.Err = f.code, f.message, f.cause
	case errors.Is(err, keystore.ErrUnknown): // whatever else ended: it may have taken effect
		e.Message, e.Err = "the outcome of the change is unknown: read it back before trying again", err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message, e.Err = ErrDependencyTimeout, "the call was cancelled before it took effect", err
	case errors.Is(err, keystore.ErrConflict):
		e.Code, e.Message, e.Err = ErrDependencyTimeout, "too many changes at once: try again", err
	case errors.Is(err, ErrRolledBack):
		e.Message, e.Err = "the key store has gone back behind what was acknowledged", err
	case errors.Is(err, record.ErrDamaged), errors.Is(err, record.ErrUnknownDomain), errors.Is(err, keystore.ErrDamaged):
		e.Message, e.Err = "stored data is damaged", err
	case errors.Is(err, errUnopened), errors.Is(err, rootkey.ErrWrongKey):
		e.Message, e.Err = "a domain key does not open under the root keys that the keyring was opened with", err
	case errors.Is(err, keystore.ErrClosed), errors.Is(err, keystore.ErrFailed):
		e.Message, e.Err = "the key store must be reopened", err
	case errors.Is(err, keystore.ErrReadOnly):
		e.Message, e.Err = "the key store is open for reading only", err
	case errors.Is(err, keystore.ErrInvalid):
		e.Message, e.Err = "the key store refuses a call that it must take", err
	default:
		e.Code, e.Message, e.Err = ErrDependencyTimeout, "the key store failed", err
	}
	return e
}

// violations collects what is wrong with the shape of an input, in the words of AWS KMS, and becomes one error.
type violations struct{ found []string }

// maxViolations bounds how many are told: there may be one for each of any number of tags.
const maxViolations = 10

// add records that the value of a member breaks a constraint. value is empty where it must not be shown.
func (v *violations) add(member, value, constraint string) {
	if len(v.found) == maxViolations {
		return
	}
	shown := "Value at '" + member + "'"
	if value != "" {
		shown = "Value '" + value + "' at '" + member + "'"
	}
	v.found = append(v.found, shown+" failed to satisfy constraint: Member must "+constraint)
}

// length requires lo to hi characters. The value is not shown: it may be long, and may be a secret.
func (v *violations) length(member string, n, lo, hi int) {
	if n < lo {
		v.add(member, "", fmt.Sprintf("have length greater than or equal to %d", lo))
	}
	if n > hi {
		v.add(member, "", fmt.Sprintf("have length less than or equal to %d", hi))
	}
}

// pattern requires characters of an alphabet, if there are any. The value is a name, and is shown.
func (v *violations) pattern(member, s string, alphabet *regexp.Regexp) {
	if s != "" && !alphabet.MatchString(s) {
		v.add(member, printable(s), "satisfy regular expression pattern: "+alphabet.String())
	}
}

// between requires lo to hi.
func (v *violations) between(member string, n, lo, hi int) {
	if n < lo {
		v.add(member, fmt.Sprint(n), fmt.Sprintf("have value greater than or equal to %d", lo))
	}
	if n > hi {
		v.add(member, fmt.Sprint(n), fmt.Sprintf("have value less than or equal to %d", hi))
	}
}

// err returns the violations as one error, or nil.
func (v *violations) err() error {
	switch n := len(v.found); n {
	case 0:
		return nil
	case 1:
		return faultf(ErrValidation, "1 validation error detected: %s", v.found[0])
	default:
		return faultf(ErrValidation, "%d validation errors detected: %s", n, strings.Join(v.found, "; "))
	}
}

// memberName is the path of a list member as AWS KMS writes it: counted from 1, "tags.1.member.tagKey".
func memberName(list string, i int, field string) string {
	name := fmt.Sprintf("%s.%d.member", list, i+1)
	if field != "" {
		name += "." + field
	}
	return name
}
