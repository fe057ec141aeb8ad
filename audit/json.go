package audit

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/claviger/kms/internal/arn"
)

const (
	eventVersion = "1.11"
	eventSource  = "kms.amazonaws.com"
	eventTime    = "2006-01-02T15:04:05Z"
	valueTime    = "Jan 2, 2006, 3:04:05 PM" // how CloudTrail writes the times inside parameters
)

// MarshalJSON writes the event as a CloudTrail record, see [Event.AppendJSON].
func (e *Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// AppendJSON appends the event as a record in the shape of AWS CloudTrail (eventVersion 1.11), one JSON object without line ends, and returns the
// extended buffer. Times are UTC: eventTime in ISO 8601 to the second, those among the parameters in CloudTrail's text ("Aug 10, 2026, 10:38:27 PM").
// Responses of a failed operation are left out, as CloudTrail does. Strings are escaped as by [encoding/json.Marshal]; bytes that are not UTF-8 become
// U+FFFD. It makes the ids and, like [Event.ID], is not safe for concurrent calls.
func (e *Event) AppendJSON(dst []byte) []byte {
	o := open(dst)
	o.string("eventVersion", eventVersion)
	o.identity(&e.Identity)
	o.string("eventTime", e.Time.UTC().Format(eventTime))
	o.string("eventSource", eventSource)
	o.string("eventName", e.Name)
	o.string("awsRegion", e.Region)
	o.string("sourceIPAddress", cmp.Or(e.SourceIP, e.Identity.InvokedBy, InProcess))
	o.string("userAgent", cmp.Or(e.UserAgent, e.Identity.InvokedBy, InProcess))
	o.optional("errorCode", e.ErrorCode)
	o.optional("errorMessage", e.ErrorMessage)
	o.attrsOrNull("requestParameters", e.Request)
	if e.ErrorCode == "" {
		o.attrsOrNull("responseElements", e.Response)
	} else {
		o.attrsOrNull("responseElements", nil)
	}
	if len(e.Additional) > 0 {
		o.attrsOrNull("additionalEventData", e.Additional)
	}
	if e.Type != ServiceEvent { // which nobody requested
		o.string("requestID", e.RequestID())
	}
	o.string("eventID", e.ID())
	o.bool("readOnly", e.ReadOnly)
	o.resources(e.Resources)
	o.string("eventType", e.Type)
	o.bool("managementEvent", true)
	o.string("recipientAccountId", e.Account)
	if len(e.Details) > 0 {
		o.attrsOrNull("serviceEventDetails", e.Details)
	}
	o.string("eventCategory", "Management")
	if e.TLS.Version != "" {
		t := o.object("tlsDetails")
		t.string("tlsVersion", e.TLS.Version)
		t.string("cipherSuite", e.TLS.CipherSuite)
		t.optional("clientProvidedHostHeader", e.TLS.Host)
		o.dst = t.close()
	}
	return o.close()
}

func (o *object) identity(id *Identity) {
	i := o.object("userIdentity")
	i.optional("type", id.Type)
	i.optional("principalId", id.PrincipalID)
	i.optional("arn", id.ARN)
	i.optional("accountId", id.AccountID)
	i.optional("accessKeyId", id.AccessKeyID)
	if id.SessionRole != "" {
		context := i.object("sessionContext")
		issuer := context.object("sessionIssuer")
		issuer.string("type", "Role")
		issuer.string("arn", id.SessionRole)
		if role, err := arn.Parse(id.SessionRole); err == nil {
			issuer.optional("accountId", role.Account)
			issuer.string("userName", role.Resource[strings.LastIndexByte(role.Resource, '/')+1:])
		}
		context.dst = issuer.close()
		i.dst = context.close()
	}
	i.optional("userName", id.UserName)
	i.optional("invokedBy", id.InvokedBy)
	o.dst = i.close()
}

func (o *object) resources(resources []Resource) {
	o.key("resources")
	o.dst = append(o.dst, '[')
	for i, r := range resources {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		member := open(o.dst)
		member.optional("accountId", r.AccountID)
		member.string("type", r.Type)
		member.string("ARN", r.ARN)
		o.dst = member.close()
	}
	o.dst = append(o.dst, ']')
}

// object is a JSON object that is being appended to dst.
type object struct {
	dst   []byte
	comma bool
}

func open(dst []byte) object { return object{dst: append(dst, '{')} }

func (o *object) close() []byte { return append(o.dst, '}') }

// object begins an object inside o; the caller stores what its close returns in o.dst.
func (o *object) object(key string) object {
	o.key(key)
	return open(o.dst)
}

func (o *object) key(key string) {
	if o.comma {
		o.dst = append(o.dst, ',')
	}
	o.comma = true
	o.dst = append(appendString(o.dst, key), ':')
}

func (o *object) string(key, value string) {
	o.key(key)
	o.dst = appendString(o.dst, value)
}

func (o *object) optional(key, value string) {
	if value != "" {
		o.string(key, value)
	}
}

func (o *object) bool(key string, value bool) {
	o.key(key)
	o.dst = strconv.AppendBool(o.dst, value)
}

func (o *object) attrsOrNull(key string, attrs []slog.Attr) {
	o.key(key)
	if len(attrs) == 0 {
		o.dst = append(o.dst, "null"...)
		return
	}
	o.dst = appendAttrs(o.dst, attrs, maxDepth)
}

func appendAttrs(dst []byte, attrs []slog.Attr, depth int) []byte {
	o := open(dst)
	for _, a := range attrs {
		o.key(a.Key)
		o.dst = appendValue(o.dst, a.Value, depth)
	}
	return o.close()
}

// appendValue writes exactly the values that cloneValue keeps.
func appendValue(dst []byte, v slog.Value, depth int) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(dst, v.String())
	case slog.KindBool:
		return strconv.AppendBool(dst, v.Bool())
	case slog.KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	case slog.KindTime:
		return appendString(dst, v.Time().UTC().Format(valueTime))
	case slog.KindGroup:
		if depth > 0 {
			return appendAttrs(dst, v.Group(), depth-1)
		}
	case slog.KindAny:
		switch x := v.Any().(type) {
		case nil:
			return append(dst, "null"...)
		case map[string]string:
			return appendMap(dst, x)
		case []string:
			return appendList(dst, x)
		}
	}
	return appendString(dst, unsupported(v))
}

func appendMap(dst []byte, m map[string]string) []byte {
	if m == nil {
		return append(dst, "null"...)
	}
	o := open(dst)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		o.string(k, m[k])
	}
	return o.close()
}

func appendList(dst []byte, list []string) []byte {
	if list == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

const hexDigits = "0123456789abcdef"

// appendString writes s as [encoding/json.Marshal] does: for JavaScript and HTML too.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of what is not written yet and needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
