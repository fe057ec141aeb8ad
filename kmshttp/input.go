package kmshttp

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/claviger/kms/internal/strictjson"
)

// bodyLimits bound what a body may cost: the deepest request is three deep, and the one of the most values has ten grant tokens, fifty tags, or a large encryption context.
var bodyLimits = strictjson.Limits{Depth: 32, Values: 10_000}

// An input is the members of a request's body, or of an object in it. What reads a member notes what is wrong with it; err tells, after all were read. Members that
// nobody reads are ignored, and null is as if it was not there, as in AWS KMS.
type input struct {
	members []strictjson.Member
	path    string // before the names of the members in messages: "tags.1.member."
	*verdict
}

// A verdict is what was wrong with the members that were read.
type verdict struct {
	violations []string
	problem    *fault // beside violations; the first that was found
}

// maxViolations bounds how many are told.
const maxViolations = 10

// parseInput reads a body: an object, or nothing at all, which is an empty one.
func parseInput(body []byte) (*input, error) {
	in := &input{verdict: new(verdict)}
	if len(body) == 0 {
		return in, nil
	}
	v, err := strictjson.Read(string(body), bodyLimits)
	if err != nil || v.Kind != strictjson.Object {
		return nil, errSerialization
	}
	in.members = v.Members
	return in, nil
}

// get returns the value of a member; its kind is None if there is none.
func (in *input) get(name string) strictjson.Value {
	for i := range in.members {
		if m := &in.members[i]; m.Name == name && m.Value.Kind != strictjson.Null {
			return m.Value
		}
	}
	return strictjson.Value{}
}

// want returns the value of a member if it is of that kind. One of another kind is a SerializationException.
func (in *input) want(name string, kind strictjson.Kind) (v strictjson.Value, ok bool) {
	v = in.get(name)
	if v.Kind != kind && v.Kind != strictjson.None {
		in.malformed()
	}
	return v, v.Kind == kind
}

// malformed notes a value that is not of its type.
func (v *verdict) malformed() { v.problem = errSerialization }

func (in *input) has(name string) bool { return in.get(name).Kind != strictjson.None }

// require notes members that are missing.
func (in *input) require(names ...string) {
	for _, name := range names {
		if !in.has(name) {
			in.violate(name, "", "not be null")
		}
	}
}

// violate notes that the value of a member breaks a constraint. shown is empty where it must not be told: it may be long, or a secret.
func (in *input) violate(name, shown, constraint string) {
	if len(in.violations) == maxViolations {
		return
	}
	value := "Value"
	if shown != "" {
		value = "Value '" + shown + "'"
	}
	in.violations = append(in.violations, fmt.Sprintf("%s at '%s%s' failed to satisfy constraint: Member must %s", value, in.path, lowerFirst(name), constraint))
}

// lowerFirst is a member's name as AWS writes it in messages.
func lowerFirst(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(r)) + name[n:]
}

// refuse notes members that the model has and the keyring does not offer. They must not be ignored: what they ask for may be that something is not returned.
func (in *input) refuse(names ...string) {
	for _, name := range names {
		if in.has(name) {
			in.fail(&fault{"UnsupportedOperationException", name + " is not supported."})
		}
	}
}

// fail notes what is wrong beside violations.
func (v *verdict) fail(problem *fault) {
	if v.problem == nil {
		v.problem = problem
	}
}

// err tells what is wrong with what was read: what cannot be read first, then violations.
func (v *verdict) err() error {
	switch n := len(v.violations); {
	case v.problem == errSerialization || n == 0 && v.problem != nil:
		return v.problem
	case n == 1:
		return &fault{"ValidationException", "1 validation error detected: " + v.violations[0]}
	case n > 1:
		return &fault{"ValidationException", fmt.Sprintf("%d validation errors detected: %s", n, strings.Join(v.violations, "; "))}
	}
	return nil
}

// text reads a string.
func (in *input) text(name string) string {
	v, _ := in.want(name, strictjson.String)
	return v.Text
}

// filled reads a string that, if it is there, is not empty: where the keyring takes an empty one for none.
func (in *input) filled(name string) string {
	s := in.text(name)
	if s == "" && in.has(name) {
		in.violate(name, "", "have length greater than or equal to 1")
	}
	return s
}

// choice reads one of some names, or none.
func (in *input) choice(name string, names ...string) string {
	s := in.text(name)
	if in.has(name) && !slices.Contains(names, s) {
		in.violate(name, printable(s), "satisfy enum value set: ["+strings.Join(names, ", ")+"]")
	}
	return s
}

// truth reads a boolean.
func (in *input) truth(name string) bool {
	v, _ := in.want(name, strictjson.Bool)
	return v.Text == "true"
}

// number reads a whole number, or none, which is 0. It may be written with a fraction of zero. The bounds are the keyring's, but for what it would take for none: least is
// told to who sends a 0 or less.
func (in *input) number(name string, least int) int {
	v, ok := in.want(name, strictjson.Number)
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(v.Text, 64)
	if err != nil || f != math.Trunc(f) || f < math.MinInt32 || f > math.MaxInt32 {
		in.malformed()
		return 0
	}
	if f < 1 {
		in.violate(name, strconv.Itoa(int(f)), "have value greater than or equal to "+strconv.Itoa(least))
	}
	return int(f)
}

// blob reads base64, standard and padded.
func (in *input) blob(name string) []byte {
	v, ok := in.want(name, strictjson.String)
	if !ok {
		return nil
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(v.Text)))
	n, err := base64.StdEncoding.Strict().Decode(b, []byte(v.Text))
	if err != nil || strings.ContainsAny(v.Text, "\r\n") {
		in.malformed()
		return nil
	}
	return b[:n]
}

// texts reads a list of strings.
func (in *input) texts(name string) []string {
	v, _ := in.want(name, strictjson.List)
	list := make([]string, 0, len(v.Items))
	for _, item := range v.Items {
		if item.Kind != strictjson.String {
			in.malformed()
		}
		list = append(list, item.Text)
	}
	return list
}

// pairs reads an object of strings, as an encryption context is.
func (in *input) pairs(name string) map[string]string {
	v, ok := in.want(name, strictjson.Object)
	if !ok {
		return nil
	}
	m := make(map[string]string, len(v.Members))
	for _, pair := range v.Members {
		if pair.Value.Kind != strictjson.String {
			in.malformed()
		}
		m[pair.Name] = pair.Value.Text
	}
	return m
}

// filledPairs reads an object of strings that, if it is there, is not empty: where the keyring takes an empty one for none.
func (in *input) filledPairs(name string) map[string]string {
	m := in.pairs(name)
	if len(m) == 0 && in.has(name) {
		in.violate(name, "", "have length greater than or equal to 1")
	}
	return m
}

// objects reads a list of objects, each as an input of its own.
func (in *input) objects(name string) []*input {
	v, _ := in.want(name, strictjson.List)
	list := make([]*input, 0, len(v.Items))
	for i, item := range v.Items {
		if item.Kind != strictjson.Object {
			in.malformed()
		}
		list = append(list, &input{members: item.Members, path: fmt.Sprintf("%s%s.%d.member.", in.path, lowerFirst(name), i+1), verdict: in.verdict})
	}
	return list
}

// object reads an object, which is empty if there is none.
func (in *input) object(name string) *input {
	v, _ := in.want(name, strictjson.Object)
	return &input{members: v.Members, path: in.path + lowerFirst(name) + ".", verdict: in.verdict}
}

// printable shortens what a client sent, and takes out what does not print.
func printable(text string) string {
	const most = 128
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
