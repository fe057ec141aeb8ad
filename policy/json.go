package policy

import "github.com/claviger/kms/internal/strictjson"

const (
	maxText  = 512 << 10 // bytes; services set lower limits, this one bounds what parsing may cost. The longest managed policy of AWS has 149 KiB, and every account has it
	maxDepth = 16        // of nested objects and lists; a well-formed policy has seven
)

// What documents consist of.
type (
	node   = strictjson.Value
	member = strictjson.Member
)

const (
	noNode     = strictjson.None // an element that is not there
	objectNode = strictjson.Object
	listNode   = strictjson.List
	stringNode = strictjson.String
	numberNode = strictjson.Number
	boolNode   = strictjson.Bool
)

// readJSON reads the one value that text consists of.
func readJSON(text string) (node, error) {
	if len(text) > maxText {
		return node{}, faultAt(text, 0, "", "document is longer than 512 KiB")
	}
	n, err := strictjson.Read(text, strictjson.Limits{Depth: maxDepth, Values: maxText})
	if err != nil {
		return node{}, faultAt(text, err.Off, "", err.Message)
	}
	return n, nil
}
