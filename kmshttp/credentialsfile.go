package kmshttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/strictjson"
)

// credentialLimits bound what reading a file of maxCredentials bytes may cost.
var credentialLimits = strictjson.Limits{Depth: 32, Values: 1 << 17}

// A source is a file and its text.
type source struct{ name, text string }

// An entry is a value in a file of credentials, with the words that tell a person which one it is.
type entry struct {
	strictjson.Value
	in    source
	owner string // "access key ORDERS-1"; empty outside of credentials
	path  string // within the owner, or within the file: "sessionPolicies[0]"
}

// fault is the error for what is wrong with a value: "keys.json:12:7: access key ORDERS-1: tags.team: must be a string". It repeats nothing that stands there.
func (e entry) fault(problem string) error {
	line, column := strictjson.Position(e.in.text, e.Off)
	text := fmt.Sprintf("%s:%d:%d: ", e.in.name, line, column)
	for _, part := range []string{e.owner, e.path} {
		if part != "" {
			text += part + ": "
		}
	}
	return errors.New(text + problem)
}

func (e entry) at(path string, v strictjson.Value) entry {
	e.Value, e.path = v, path
	return e
}

// has reports whether the value is there at all.
func (e entry) has() bool { return e.Kind != strictjson.None }

// member returns a member of an object. Of one that is not there the Kind is None, and the place is the object's.
func (e entry) member(name string) entry {
	path := strings.TrimPrefix(e.path+"."+name, ".")
	if i := slices.IndexFunc(e.Members, func(m strictjson.Member) bool { return m.Name == name }); i >= 0 {
		return e.at(path, e.Members[i].Value)
	}
	return e.at(path, strictjson.Value{Off: e.Off})
}

// object refuses what is no object, and members of other names. It does not repeat a name, which may be a secret that slipped.
func (e entry) object(names ...string) error {
	if e.Kind != strictjson.Object {
		return e.fault("must be an object")
	}
	for _, m := range e.Members {
		if !slices.Contains(names, m.Name) {
			e.Off = m.Off
			return e.fault("has a member of another name than " + strings.Join(names, ", "))
		}
	}
	return nil
}

// items returns the items of a list.
func (e entry) items() (items []entry, err error) {
	switch e.Kind {
	case strictjson.List:
	case strictjson.None:
		return nil, e.fault("is missing")
	default:
		return nil, e.fault("must be a list")
	}
	for i, v := range e.Items {
		items = append(items, e.at(fmt.Sprintf("%s[%d]", e.path, i), v))
	}
	return items, nil
}

// string returns a string, without keeping the rest of the text in memory.
func (e entry) string() (string, error) {
	switch e.Kind {
	case strictjson.String:
		return strings.Clone(e.Text), nil
	case strictjson.None:
		return "", e.fault("is missing")
	default:
		return "", e.fault("must be a string")
	}
}

// secret returns a string that is not empty, and that a client does not send otherwise than it stands here.
func (e entry) secret() (string, error) {
	text, err := e.string()
	if err == nil && (text == "" || strings.TrimSpace(text) != text) {
		err = e.fault("is empty, or begins or ends with white space")
	}
	return text, err
}

func (e entry) time() (time.Time, error) {
	text, err := e.string()
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Unix() <= 0 { // the zero time would be none
		return time.Time{}, e.fault("must be a time of the form 2026-10-01T08:00:00Z, and later than 1970")
	}
	return at, nil
}

// document returns a policy without white space, of which it may have too much.
func (e entry) document() (string, error) {
	text := e.in.text[e.Off:e.End]
	switch e.Kind {
	case strictjson.Object:
	case strictjson.String:
		text = e.Text
	default:
		return "", e.fault("must be a policy, as an object or in a string")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return text, nil // the policy's own parser says what is wrong with it
	}
	return compact.String(), nil
}

// parseCredentials reads a file of credentials.
func parseCredentials(name, text string) (map[string]Credential, error) {
	top := entry{in: source{name, text}}
	v, fault := strictjson.Read(text, credentialLimits)
	if fault != nil {
		top.Off = fault.Off
		return nil, top.fault(fault.Message)
	}
	top.Value = v
	if err := top.object("credentials"); err != nil {
		return nil, err
	}
	items, err := top.member("credentials").items()
	if err != nil {
		return nil, err
	}
	known := make(map[string]Credential, len(items))
	for _, item := range items {
		id, c, err := item.credential()
		if err != nil {
			return nil, err
		}
		if _, twice := known[id]; twice {
			return nil, item.fault("access key " + id + " comes twice")
		}
		known[id] = c
	}
	return known, nil
}

// credential reads one credential, and the id of its access key.
func (e entry) credential() (id string, c Credential, err error) {
	keyID := e.member("accessKeyId")
	if keyID.Kind == strictjson.String && isAccessKeyID(keyID.Text) {
		e.owner, e.path = "access key "+keyID.Text, ""
	}
	if err := e.object("accessKeyId", "secretAccessKey", "principal", "session", "sessionToken", "sessionPolicies", "tags", "issued", "expires", "mfaAt", "via"); err != nil {
		return "", c, err
	}
	if id, err = keyID.string(); err == nil && !isAccessKeyID(id) {
		err = keyID.fault(notAccessKeyID)
	}
	if err != nil {
		return "", c, err
	}
	if c.SecretAccessKey, err = e.member("secretAccessKey").secret(); err != nil {
		return "", c, err
	}
	if problem := secretProblem(c.SecretAccessKey); problem != "" {
		return "", c, e.member("secretAccessKey").fault(problem)
	}
	if token := e.member("sessionToken"); token.has() {
		if c.SessionToken, err = token.secret(); err != nil {
			return "", c, err
		}
	}
	c.Caller, err = e.caller()
	return id, c, err
}

// caller reads whose requests an access key signs.
func (e entry) caller() (c kms.Caller, err error) {
	principal := e.member("principal")
	text, err := principal.string()
	if err != nil {
		return c, err
	}
	if c, err = kms.ParseCaller(text); err != nil {
		return c, principal.wrong(err)
	}
	for _, m := range []struct {
		name string
		says func(entry, kms.Caller) (kms.Caller, error)
	}{
		{"session", inSession}, {"sessionPolicies", withSessionPolicies}, {"tags", withTags}, {"mfaAt", withMFA}, {"via", via},
	} {
		member := e.member(m.name)
		if !member.has() {
			continue
		}
		if c, err = m.says(member, c); err != nil {
			return c, err
		}
		if err := c.Err(); err != nil {
			return c, member.wrong(err)
		}
	}
	issued, expires := e.member("issued"), e.member("expires")
	if !issued.has() && !expires.has() {
		return c, nil
	}
	from, err := issued.time()
	if err != nil {
		return c, err
	}
	until, err := expires.time()
	if err != nil {
		return c, err
	}
	if c = c.WithLifetime(from, until); c.Err() != nil {
		err = expires.wrong(c.Err())
	}
	return c, err
}

// wrong is the fault of a value that makes a caller who cannot be.
func (e entry) wrong(err error) error {
	return e.fault(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "kms: "), "caller: "))
}

func inSession(e entry, c kms.Caller) (kms.Caller, error) {
	name, err := e.string()
	return c.InSession(name), err
}

func withSessionPolicies(e entry, c kms.Caller) (kms.Caller, error) {
	items, err := e.items()
	if err != nil {
		return c, err
	}
	var documents []string
	for _, item := range items {
		text, err := item.document()
		if err != nil {
			return c, err
		}
		documents = append(documents, text)
	}
	return c.WithSessionPolicies(documents...), nil
}

func withTags(e entry, c kms.Caller) (kms.Caller, error) {
	if e.Kind != strictjson.Object {
		return c, e.fault("must be an object")
	}
	var tags []kms.Tag
	for _, m := range e.Members {
		value, err := e.at(e.path, m.Value).string()
		if err != nil {
			return c, err
		}
		tags = append(tags, kms.Tag{Key: strings.Clone(m.Name), Value: value})
	}
	return c.WithTags(tags...), nil
}

func withMFA(e entry, c kms.Caller) (kms.Caller, error) {
	at, err := e.time()
	return c.WithMFA(at), err
}

func via(e entry, c kms.Caller) (kms.Caller, error) {
	service, err := e.string()
	return c.Via(service), err
}
