package policy

import (
	"errors"
	"slices"
	"strings"
)

// Values is a [Context] of given values, for tests and simulations. It never changes, so that any number of goroutines may use it.
type Values struct{ byName map[string][]part }

// A part is the value of a key whose fixed part is known.
type part struct {
	name  string
	value Value
}

// NewValues returns a Context of the values. Names compare without case; a name without values is absent. Keys named as multivalued have [Texts], and so
// have keys with several values; keys that two names with values fold to are [Ambiguous]. The error is for a name that is no condition key.
func NewValues(values map[string][]string, multivalued ...string) (*Values, error) {
	sets := map[Key]bool{}
	for _, name := range multivalued {
		k, ok := parseKey(name)
		if !ok {
			return nil, errors.New("policy: malformed name of a multivalued condition key")
		}
		sets[k.folded()] = true
	}
	byKey := map[Key]Value{}
	for name, list := range values {
		k, ok := parseKey(name)
		if !ok {
			return nil, errors.New("policy: malformed name of a condition key")
		}
		k = k.folded()
		switch _, twice := byKey[k]; {
		case len(list) == 0:
		case twice:
			byKey[k] = Ambiguous()
		case len(list) == 1 && !sets[k]:
			byKey[k] = Text(list[0])
		default:
			byKey[k] = Texts(slices.Clone(list))
		}
	}
	v := &Values{byName: map[string][]part{}}
	for k, value := range byKey {
		v.byName[k.Name] = append(v.byName[k.Name], part{name: k.Part, value: value})
	}
	return v, nil
}

// Lookup implements [Context]. It does not allocate.
func (v *Values) Lookup(key Key) Value {
	for _, p := range v.byName[key.Name] {
		if strings.EqualFold(p.name, key.Part) {
			return p.value
		}
	}
	return Value{}
}
