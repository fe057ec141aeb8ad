package identities

import (
	"regexp"
	"strings"

	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/internal/strictjson"
	"github.com/claviger/kms/policy"
)

// A name is the ARN of a user, group, role or policy, and what it says.
type name struct {
	arn       string
	partition string
	account   string // twelve digits, or awsAccount
	path      string // "/", or "/ops/"
	base      string // without the path
}

// awsAccount stands in the ARNs of AWS managed policies, which are every account's.
const awsAccount = "aws"

// pathName is a name with its path, in the alphabets that IAM gives to them.
var pathName = regexp.MustCompile(`^(?:[!-.0-~]+/)*[\w+=,.@-]{1,128}$`)

const maxPathName = 512 + 128 // bytes

// parseName reads the ARN of a user, group, role or policy. It reports false for anything else.
func parseName(text, kind string) (name, bool) {
	account := ""
	plain := text
	if kind == "policy" {
		if before, after, managed := strings.Cut(text, ":iam::"+awsAccount+":"); managed {
			account, plain = awsAccount, before+":iam:::"+after // package arn knows no such account
		}
	}
	a, err := arn.Parse(plain)
	if err != nil || a.Service != "iam" || a.Region != "" || (a.Account == "") != (account == awsAccount) {
		return name{}, false
	}
	if account == "" {
		account = a.Account
	}
	rest, ok := strings.CutPrefix(a.Resource, kind+"/")
	if !ok || len(rest) > maxPathName || !pathName.MatchString(rest) {
		return name{}, false
	}
	if (kind == "user" || kind == "role") && !policy.IsPrincipalARN(text) { // callers and key policies could not name it
		return name{}, false
	}
	cut := strings.LastIndexByte(rest, '/') + 1
	return name{arn: text, partition: a.Partition, account: account, path: "/" + rest[:cut], base: rest[cut:]}, true
}

// named reads the ARN that an object must have in a member.
func (s spot) named(member, kind string) (name, error) {
	if s.Kind != strictjson.Object {
		return name{}, s.fault("must be an object")
	}
	at := s.member(member)
	if at.Kind == strictjson.None {
		return name{}, s.fault("has no %s", member)
	}
	text, err := at.str()
	if err != nil {
		return name{}, err
	}
	n, ok := parseName(text, kind)
	if !ok {
		return name{}, at.fault("%.100q is not the ARN of a %s", text, kind)
	}
	return n, nil
}

// done is for the member that [spot.named] has read.
func done(spot) error { return nil }
