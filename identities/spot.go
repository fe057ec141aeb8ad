package identities

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/strictjson"
)

// A source is the text of a file, or one that was given without a file.
type source struct{ name, text string }

// A spot is a value in a source, with the words that tell a person which one it is.
type spot struct {
	*source
	strictjson.Value
	owner string // whose it is: "user arn:aws:iam::111122223333:user/alice"; empty outside of entities
	path  string // within the owner, or within the source: "UserPolicyList[0].PolicyDocument"
}

// fault is the error for what is wrong with a value: "users.json:12:7: user arn:aws:iam::111122223333:user/alice: GroupList[0]: there is no group of that name".
func (s spot) fault(format string, args ...any) error {
	text := s.where()
	for _, part := range []string{s.owner, s.path} {
		if part != "" {
			text += ": " + part
		}
	}
	return errors.New(text + ": " + fmt.Sprintf(format, args...))
}

// where is the file and the place in it: "users.json:12:7".
func (s spot) where() string {
	line, column := strictjson.Position(s.text, s.Off)
	return fmt.Sprintf("%s:%d:%d", s.name, line, column)
}

// place is the spot without what stands there, for what outlives the reading of a source.
func (s spot) place() spot {
	s.Members, s.Items = nil, nil
	return s
}

// A reader takes what a value says, or refuses it.
type reader func(spot) error

// members hands each member of an object to the reader of its name. A name without a reader is refused: it may be a misspelled one that was meant to limit somebody.
func (s spot) members(readers map[string]reader) error {
	if s.Kind != strictjson.Object {
		return s.fault("must be an object")
	}
	for _, m := range s.Members {
		read, known := readers[m.Name]
		if !known {
			s.Off = m.Off
			return s.fault("unknown member %.100q; names are compared with case", m.Name)
		}
		if err := read(s.at(m)); err != nil {
			return err
		}
	}
	return nil
}

func (s spot) at(m strictjson.Member) spot {
	s.Value = m.Value
	if s.path != "" {
		s.path += "."
	}
	s.path += m.Name
	return s
}

// member returns a member of an object; its Kind is None if the object has none of that name.
func (s spot) member(name string) spot {
	i := slices.IndexFunc(s.Members, func(m strictjson.Member) bool { return m.Name == name })
	if i < 0 {
		return spot{source: s.source}
	}
	return s.at(s.Members[i])
}

// each reads the items of a list.
func each(read reader) reader {
	return func(s spot) error {
		if s.Kind != strictjson.List {
			return s.fault("must be a list")
		}
		for i, item := range s.Items {
			at := s
			at.Value, at.path = item, fmt.Sprintf("%s[%d]", s.path, i)
			if err := read(at); err != nil {
				return err
			}
		}
		return nil
	}
}

// str returns the string that a value must be. It keeps nothing else of the text in memory.
func (s spot) str() (string, error) {
	if s.Kind != strictjson.String {
		return "", s.fault("must be a string")
	}
	return strings.Clone(s.Text), nil
}

// text reads a string that is not empty.
func text(to *string) reader {
	return func(s spot) (err error) {
		if *to, err = s.str(); err == nil && *to == "" {
			err = s.fault("must not be empty")
		}
		return err
	}
}

// same reads what an ARN has said before.
func same(said string) reader {
	return func(s spot) error {
		got, err := s.str()
		if err == nil && got != said {
			err = s.fault("is %.100q, and by the ARN it is %q", got, said)
		}
		return err
	}
}

// skip is for what says nothing of permissions: it must be of one of these kinds, and is not looked into.
func skip(kinds ...strictjson.Kind) reader {
	return func(s spot) error {
		if !slices.Contains(kinds, s.Kind) {
			return s.fault("is of the wrong type")
		}
		return nil
	}
}
