package policy

import (
	"errors"
	"maps"
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
// have, as Context wants it, keys with several values and those that two names fold to. The error is for a name that is no condition key.
func NewValues(values map[string][]string, multivalued ...string) (*Values, error) {
	lists := map[Key][]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		k, ok := parseKey(name)
		if !ok {
			return nil, errors.New("policy: malformed name of a condition key")
		}
		lists[k.folded()] = append(lists[k.folded()], values[name]...)
	}
	sets := map[Key]bool{}
	for _, name := range multivalued {
		k, ok := parseKey(name)
		if !ok {
			return nil, errors.New("policy: malformed name of a multivalued condition key")
		}
		sets[k.folded()] = true
	}
	v := &Values{byName: map[string][]part{}}
	for k, list := range lists {
		value := Texts(list)
		if len(list) == 1 && !sets[k] {
			value = Text(list[0])
		}
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
