package kmshttp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"sync/atomic"
)

// StaticCredentials are [Credentials] of a list.
type StaticCredentials struct {
	known atomic.Pointer[map[string]Credential] // by access key id
}

var _ Credentials = (*StaticCredentials)(nil)

// accessKeyID is what the clients made for AWS take for the id of an access key.
var accessKeyID = regexp.MustCompile(`^[\w-]{1,128}$`)

// NewStaticCredentials returns the credentials of a program, by the ids of their access keys. It fails if one has no secret, a caller that cannot be, or an id that is not
// made of 1 to 128 letters, digits, underscores and hyphens.
func NewStaticCredentials(byID map[string]Credential) (*StaticCredentials, error) {
	for id, c := range byID {
		switch err := c.Caller.Err(); {
		case !accessKeyID.MatchString(id):
			return nil, errors.New("kmshttp: credentials: the id of an access key is 1 to 128 letters, digits, underscores and hyphens")
		case c.SecretAccessKey == "":
			return nil, fmt.Errorf("kmshttp: credentials: access key %s has no secret", id)
		case err != nil:
			return nil, fmt.Errorf("kmshttp: credentials: access key %s: %w", id, err)
		}
	}
	s := new(StaticCredentials)
	known := maps.Clone(byID)
	s.known.Store(&known)
	return s, nil
}

// Credential implements [Credentials].
func (s *StaticCredentials) Credential(_ context.Context, accessKeyID, _ string) (Credential, error) {
	if c, ok := (*s.known.Load())[accessKeyID]; ok {
		return c, nil
	}
	return Credential{}, ErrUnknownIdentity
}
