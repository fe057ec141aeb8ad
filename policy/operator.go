package policy

import "strings"

// A Set is the set operator of a condition, which says how the values of a multivalued key combine.
type Set uint8

const (
	NoSet        Set = iota // none: the key has a single value
	ForAllValues            // every value of the request satisfies the condition; so does a missing key
	ForAnyValue             // some value of the request satisfies it; never a missing key
)

// String returns the prefix as policies spell it, without the colon; empty for [NoSet].
func (s Set) String() string {
	switch s {
	case ForAllValues:
		return "ForAllValues"
	case ForAnyValue:
		return "ForAnyValue"
	default:
		return ""
	}
}

// An Operator is a condition operator in parts: ForAllValues:StringEqualsIfExists is {ForAllValues, "StringEquals", true}.
type Operator struct {
	Set      Set
	Base     string
	IfExists bool
}

// String returns the operator as policies spell it.
func (o Operator) String() string {
	s := o.Base
	if set := o.Set.String(); set != "" {
		s = set + ":" + s
	}
	if o.IfExists {
		s += "IfExists"
	}
	return s
}

// A family is a way to compare one value of the request with one of the policy.
type family uint8

const (
	exactText family = iota
	foldedText
	globText
	arnText
	numeric
	date
	address
	presence
)

// A comparison is what a base operator does: the family, whether the result is negated, and for ordered families which results of compare count.
type comparison struct {
	family  family
	negated bool
	accepts ordering
}

// An ordering is a set of results of compare.
type ordering uint8

const (
	less ordering = 1 << iota
	equal
	greater
)

func (o ordering) holds(compared int) bool {
	switch {
	case compared < 0:
		return o&less != 0
	case compared > 0:
		return o&greater != 0
	default:
		return o&equal != 0
	}
}

// comparisons holds every base operator. Bool and BinaryEquals compare text once the parser has seen that it is true, false or canonical base64.
var comparisons = map[string]comparison{
	"StringEquals":              {family: exactText},
	"StringNotEquals":           {family: exactText, negated: true},
	"StringEqualsIgnoreCase":    {family: foldedText},
	"StringNotEqualsIgnoreCase": {family: foldedText, negated: true},
	"StringLike":                {family: globText},
	"StringNotLike":             {family: globText, negated: true},
	"ArnEquals":                 {family: arnText},
	"ArnLike":                   {family: arnText},
	"ArnNotEquals":              {family: arnText, negated: true},
	"ArnNotLike":                {family: arnText, negated: true},
	"NumericEquals":             {family: numeric, accepts: equal},
	"NumericNotEquals":          {family: numeric, accepts: equal, negated: true},
	"NumericLessThan":           {family: numeric, accepts: less},
	"NumericLessThanEquals":     {family: numeric, accepts: less | equal},
	"NumericGreaterThan":        {family: numeric, accepts: greater},
	"NumericGreaterThanEquals":  {family: numeric, accepts: greater | equal},
	"DateEquals":                {family: date, accepts: equal},
	"DateNotEquals":             {family: date, accepts: equal, negated: true},
	"DateLessThan":              {family: date, accepts: less},
	"DateLessThanEquals":        {family: date, accepts: less | equal},
	"DateGreaterThan":           {family: date, accepts: greater},
	"DateGreaterThanEquals":     {family: date, accepts: greater | equal},
	"Bool":                      {family: exactText},
	"BinaryEquals":              {family: exactText},
	"IpAddress":                 {family: address},
	"NotIpAddress":              {family: address, negated: true},
	"Null":                      {family: presence},
}

// parseOperator reads an operator. Null stands alone: it takes neither a set operator nor IfExists.
func parseOperator(s string) (Operator, comparison, bool) {
	var o Operator
	for _, set := range []Set{ForAllValues, ForAnyValue} {
		if rest, ok := strings.CutPrefix(s, set.String()+":"); ok {
			o.Set, s = set, rest
			break
		}
	}
	o.Base, o.IfExists = strings.CutSuffix(s, "IfExists")
	c, ok := comparisons[o.Base]
	return o, c, ok && (c.family != presence || o.Set == NoSet && !o.IfExists)
}
