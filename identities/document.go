package identities

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/strictjson"
	"github.com/claviger/kms/policy"
)

// A documentKey is what a document was compiled from.
type documentKey struct {
	kind policy.Kind
	text string // without white space
}

// document reads a policy document: an object, or a string that holds one. Equal ones are one, also with those that were read before.
func (in *inventory) document(s spot, kind policy.Kind) (*kms.PolicyDocument, error) {
	text, err := s.documentText()
	if err != nil {
		return nil, err
	}
	key := documentKey{kind, text}
	doc := in.documents[key]
	if doc == nil {
		doc = in.before.documents[key]
	}
	if doc == nil {
		if doc, err = policy.Parse(text, kind); err != nil {
			fault, _ := errors.AsType[*policy.SyntaxError](err) // it is always one; its line and column are those of the text without white space
			if fault.Path != "" {
				s.path += ": " + fault.Path
			}
			return nil, s.fault("%s", fault.Message)
		}
	}
	in.documents[key] = doc
	return doc, nil
}

// documentText returns the text of a document without white space, which is a good half of what comes indented, and might be more than a policy may have.
func (s spot) documentText() (string, error) {
	text := s.source.text[s.Off:s.End]
	switch s.Kind {
	case strictjson.Object:
	case strictjson.String:
		text = s.Text
		if strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "%") { // no JSON begins so
			if strings.Contains(text, "+") {
				return "", s.fault("is URL-encoded with a bare +, which may stand for itself or for a space")
			}
			decoded, err := url.PathUnescape(text)
			if err != nil {
				return "", s.fault("is neither JSON nor URL-encoded JSON")
			}
			text = decoded
		}
	default:
		return "", s.fault("must be a policy, as an object or in a string")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return text, nil // the policy's own parser says what is wrong with it
	}
	return compact.String(), nil
}
