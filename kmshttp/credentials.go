package kmshttp

import (
	"context"
	"crypto/fips140"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms/internal/secretfile"
	"github.com/claviger/kms/internal/watch"
)

var _ Credentials = (*StaticCredentials)(nil)

// StaticCredentials are [Credentials] of a file or of a program. Their methods may be called concurrently.
type StaticCredentials struct {
	path  string // empty if they were not read from a file
	known atomic.Pointer[map[string]Credential]

	mu   sync.Mutex        // held while the file is read; guards what follows
	read [sha256.Size]byte // the digest of what was read last
}

// maxCredentials bounds a file of credentials, in bytes.
const maxCredentials = 1 << 20

// OpenCredentials reads the file at path. It is JSON:
//
//	{"credentials": [{
//	  "accessKeyId": "ORDERS-1",
//	  "secretAccessKey": "…",
//	  "principal": "arn:aws:iam::111122223333:role/orders",
//	  "session": "pod-7",
//	  "sessionToken": "…",
//	  "sessionPolicies": [{"Version": "2012-10-17", "Statement": […]}],
//	  "tags": {"team": "red"},
//	  "issued": "2026-10-01T08:00:00Z",
//	  "expires": "2026-10-01T20:00:00Z",
//	  "mfaAt": "2026-10-01T08:00:00Z",
//	  "via": "objectstore.amazonaws.com"
//	}]}
//
// The first three members must be there. The id of an access key is 1 to 128 letters, digits, underscores and hyphens, and comes once. The principal is whatever
// [kms.ParseCaller] takes: the ARN of a root user, a user, a role or a role's session, or the name of a service. The rest is for [kms.Caller.InSession], only of a role;
// Credential.SessionToken; [kms.Caller.WithSessionPolicies], whose documents are objects, or strings that hold one; [kms.Caller.WithTags]; [kms.Caller.WithLifetime], which
// wants both times; [kms.Caller.WithMFA]; and [kms.Caller.Via], which is for a front that makes requests for the principal. Times are as in RFC 3339.
//
// Nothing in the file is overlooked: members of other names, or that come twice, are refused, as is all that can make no caller. Errors name the file, the line and the
// column, the access key and what is wrong with it, and repeat no secret; those of the file system match what package io/fs has for them. The file is refused if it is
// longer than 1 MiB, and on systems with Unix permissions if its group or others may read or change it.
func OpenCredentials(path string) (*StaticCredentials, error) {
	s := &StaticCredentials{path: path}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// NewStaticCredentials returns the credentials that a program has, by the ids of their access keys. They are held to the rules of [OpenCredentials]. They cannot be
// reloaded.
func NewStaticCredentials(byID map[string]Credential) (*StaticCredentials, error) {
	for id, c := range byID {
		if !isAccessKeyID(id) {
			return nil, errors.New("kmshttp: credentials: an access key: " + notAccessKeyID)
		}
		if problem := c.problem(); problem != "" {
			return nil, fmt.Errorf("kmshttp: credentials: access key %s: %s", id, problem)
		}
	}
	s := new(StaticCredentials)
	known := maps.Clone(byID)
	s.known.Store(&known)
	return s, nil
}

// problem is why there can be no such credential, or "".
func (c Credential) problem() string {
	if problem := secretProblem(c.SecretAccessKey); problem != "" {
		return problem
	}
	if err := c.Caller.Err(); err != nil {
		return err.Error()
	}
	return ""
}

// leastSecret is how many bytes Go's FIPS module wants of a secret: it makes keys of 14 and more (112 bits, NIST SP 800-131A), and "AWS4" stands before the secret.
const leastSecret = 10

// secretProblem is why nothing can be signed with a secret, or "".
func secretProblem(secret string) string {
	switch {
	case secret == "": // anybody could
		return "it has no secret"
	case len(secret) < leastSecret && fips140.Enforced():
		return "its secret is shorter than 10 bytes, which is not permitted under enforced FIPS 140-3"
	}
	return ""
}

// isAccessKeyID reports whether text is what the clients made for AWS take for the id of an access key. Temporary ones of AWS have up to 128 characters.
var isAccessKeyID = regexp.MustCompile(`^[\w-]{1,128}$`).MatchString

const notAccessKeyID = "its id is not 1 to 128 letters, digits, underscores and hyphens"

// Credential implements [Credentials].
func (s *StaticCredentials) Credential(_ context.Context, accessKeyID, _ string) (Credential, error) {
	if c, ok := (*s.known.Load())[accessKeyID]; ok {
		return c, nil
	}
	return Credential{}, ErrUnknownIdentity
}

// Reload reads the file again. When it returns without an error, what the file says is in effect, and nothing else; otherwise nothing has changed, and the error is of
// the kind that [OpenCredentials] returns.
func (s *StaticCredentials) Reload() error {
	_, err := s.load()
	return err
}

// load reads the file, and reports whether it says anything else than before.
func (s *StaticCredentials) load() (changed bool, err error) {
	if s.path == "" {
		return false, errors.New("kmshttp: credentials: not read from a file")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := secretfile.Read(s.path, maxCredentials, false)
	if err != nil {
		return false, fmt.Errorf("kmshttp: credentials: %w", err)
	}
	defer clear(text)
	digest := sha256.Sum256(text)
	if s.known.Load() != nil && digest == s.read {
		return false, nil
	}
	known, err := parseCredentials(s.path, string(text))
	if err != nil {
		return false, fmt.Errorf("kmshttp: credentials: %w", err)
	}
	s.known.Store(&known)
	s.read = digest
	return true, nil
}

// Watch reads the file every interval, which must be positive, and takes what it says if that has changed. It returns when ctx is done.
//
// Whatever is wrong, also that the file is gone or may be read by others, leaves in force what was read last: report is called with the error, once for as long as it
// stays the same. It is called with nil when a change has taken effect, and when what was wrong is over.
func (s *StaticCredentials) Watch(ctx context.Context, interval time.Duration, report func(error)) {
	if report == nil {
		panic("kmshttp: Watch without a report")
	}
	watch.Run(ctx, interval, s.load, report)
}

// Format implements [fmt.Formatter]: whatever the verb, it prints how many there are.
func (s *StaticCredentials) Format(f fmt.State, _ rune) {
	n := 0
	if known := s.known.Load(); known != nil {
		n = len(*known)
	}
	fmt.Fprintf(f, "%d credentials", n)
}

// LogValue implements [slog.LogValuer] with the same text.
func (s *StaticCredentials) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Format implements [fmt.Formatter]: whatever the verb, it prints whose the credential is. Package fmt does not ask it where the credential is in an unexported field.
func (c Credential) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "credential of "+c.Caller.String())
}

// LogValue implements [slog.LogValuer] with the same text.
func (c Credential) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalText refuses, and with it the encoders of JSON and XML.
func (Credential) MarshalText() ([]byte, error) {
	return nil, errors.New("kmshttp: a credential is never encoded")
}
