// Package audit defines what a keyring records of every operation, and where the records go.
//
// An [Event] has the shape of an AWS KMS record in CloudTrail. It is an allow list: it names who asked for what with which parameters and how it ended,
// and has no place for plaintext, ciphertext, key material, grant tokens or messages. A [Sink] takes events. Sinks are chosen in code only: nothing
// that arrives over a wire can name a file or an address.
//
// The package is pure but for the sinks that write.
package audit

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"
)

// Types of events, as CloudTrail spells them.
const (
	APICall      = "AwsApiCall"      // a caller's operation
	ServiceEvent = "AwsServiceEvent" // what time brought: a due rotation, an expiry, a deletion
)

// An Event is one outcome: allowed, denied or failed.
type Event struct {
	Time     time.Time
	Type     string // [APICall] or [ServiceEvent]
	Name     string // the operation, such as "Decrypt"
	Region   string
	Account  string // the account whose key it is
	Identity Identity
	ReadOnly bool

	SourceIP  string // of a request over a wire; "" is written as who called: the service of Identity.InvokedBy, else [InProcess]
	UserAgent string // likewise
	TLS       TLS    // of a request over TLS

	// Attributes hold strings, booleans, integers, times, map[string]string, []string, nil, and groups of these. Of any other value only the kind is
	// written, so that nothing that hides a secret is printed because it can be.
	Request    []slog.Attr // requestParameters
	Response   []slog.Attr // responseElements of operations that change something
	Additional []slog.Attr // additionalEventData, such as keyMaterialId
	Details    []slog.Attr // serviceEventDetails of a ServiceEvent
	Resources  []Resource

	ErrorCode    string // "" when the operation succeeded; the name of the exception, but AccessDenied for AccessDeniedException, as CloudTrail has it
	ErrorMessage string

	id, requestID string // see ID
}

// InProcess is the source address and user agent of a call that came over no wire.
const InProcess = "in-process"

// ID returns the event's id, a random UUID (RFC 9562 version 4) that the first call makes: an event that no sink writes costs none. Concurrent calls on one
// event are not safe.
func (e *Event) ID() string {
	if e.id == "" {
		e.id = newUUID()
	}
	return e.id
}

// RequestID returns the id of the request, which a wire's answer carries too. It is made like [Event.ID], and is as little safe for concurrent calls.
func (e *Event) RequestID() string {
	if e.requestID == "" {
		e.requestID = newUUID()
	}
	return e.requestID
}

// SetRequestID says which request it was that a wire has given an id; "" leaves the id to be made.
func (e *Event) SetRequestID(id string) { e.requestID = id }

// NewRequestID returns an id for a request, a random UUID (RFC 9562 version 4).
func NewRequestID() string { return newUUID() }

func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40 // version 4
	u[8] = u[8]&0x3f | 0x80 // the variant of RFC 9562
	var text [36]byte
	hex.Encode(text[0:], u[0:4])
	hex.Encode(text[9:], u[4:6])
	hex.Encode(text[14:], u[6:8])
	hex.Encode(text[19:], u[8:10])
	hex.Encode(text[24:], u[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// Clone returns an event that shares nothing with e but strings. It makes e's ids first, so that both have the same; it is as little safe for
// concurrent calls as [Event.ID].
func (e *Event) Clone() *Event {
	e.ID()
	e.RequestID()
	c := *e
	c.Request = cloneAttrs(e.Request)
	c.Response = cloneAttrs(e.Response)
	c.Additional = cloneAttrs(e.Additional)
	c.Details = cloneAttrs(e.Details)
	c.Resources = slices.Clone(e.Resources)
	return &c
}

// Reset empties the event, ids included, for use in a pool. It keeps the room of the slices and drops what they held, beyond their lengths too, so that
// nothing of one caller is seen or kept alive by the event of the next.
func (e *Event) Reset() {
	request, response, additional, details, resources := emptied(e.Request), emptied(e.Response), emptied(e.Additional), emptied(e.Details), emptied(e.Resources)
	*e = Event{} // and not to one with the slices: that would be made elsewhere and copied
	e.Request, e.Response, e.Additional, e.Details, e.Resources = request, response, additional, details, resources
}

func emptied[T any](s []T) []T {
	clear(s[:cap(s)])
	return s[:0]
}

// An Identity says who asked.
type Identity struct {
	Type        string // Root, IAMUser, AssumedRole, FederatedUser, AWSService
	PrincipalID string
	ARN         string
	AccountID   string
	AccessKeyID string // that the request was signed with, if it was
	UserName    string // of an IAMUser
	SessionRole string // of an AssumedRole: the ARN of its role
	InvokedBy   string // the service, of an AWSService and of a ServiceEvent ("AWS Internal")
}

// TLS is how a request was protected on its way: tlsDetails. The zero TLS says that it was not, or came over no wire.
type TLS struct {
	Version     string // "TLSv1.3"
	CipherSuite string // "TLS_AES_128_GCM_SHA256"
	Host        string // that the client asked for
}

// A Resource is something the operation used.
type Resource struct {
	AccountID string
	Type      string // "AWS::KMS::Key" or "AWS::KMS::Alias"
	ARN       string
}
