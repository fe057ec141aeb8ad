package keystore

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ValidateName returns nil if name may name a record, else [ErrInvalid] with what is wrong. Every driver calls it first, so that all refuse alike.
func ValidateName(name string) error {
	if name == "" {
		return invalid("name is empty")
	}
	return validateText("name", name)
}

// ValidateList returns nil if a List may run with these arguments, else [ErrInvalid]. An empty prefix or after is valid.
func ValidateList(prefix, after string, limit int) error {
	if limit < 1 || limit > MaxListLimit {
		return invalid("limit is not 1 to %d", MaxListLimit)
	}
	if err := validateText("prefix", prefix); err != nil {
		return err
	}
	return validateText("after", after)
}

// ValidateBatch returns nil if changes are within the limits of this package and well formed, else [ErrInvalid] with the position of the first bad change.
// It says nothing of revisions that must hold: that is the store's work.
func ValidateBatch(changes []Change) error {
	if len(changes) == 0 {
		return invalid("batch is empty")
	}
	if len(changes) > MaxChanges {
		return invalid("batch has more than %d changes", MaxChanges)
	}
	total := 0
	seen := make(map[string]struct{}, len(changes))
	for i, c := range changes {
		if err := validateChange(c); err != nil {
			return fmt.Errorf("%w (change %d)", err, i)
		}
		if _, twice := seen[c.Name]; twice {
			return invalid("name occurs twice (change %d)", i)
		}
		seen[c.Name] = struct{}{}
		total += len(c.Name) + len(c.Value)
	}
	if total > MaxCommitLen {
		return invalid("names and values are longer than %d bytes", MaxCommitLen)
	}
	return nil
}

func validateChange(c Change) error {
	if err := ValidateName(c.Name); err != nil {
		return err
	}
	switch c.Op {
	case Put:
		if len(c.Value) > MaxValueLen {
			return invalid("value is longer than %d bytes", MaxValueLen)
		}
		return nil
	case Delete:
		if c.Revision == 0 {
			return invalid("revision of a Delete is zero")
		}
	case Check:
	default:
		return invalid("operation is unknown")
	}
	if len(c.Value) != 0 {
		return invalid("value is given but not used")
	}
	return nil
}

// validateText refuses what some backend cannot hold in a text column or key.
func validateText(field, s string) error {
	switch {
	case len(s) > MaxNameLen:
		return invalid("%s is longer than %d bytes", field, MaxNameLen)
	case strings.IndexByte(s, 0) >= 0:
		return invalid("%s contains NUL", field)
	case !utf8.ValidString(s):
		return invalid("%s is not UTF-8", field)
	default:
		return nil
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
