package main

import (
	"fmt"
	"regexp"
	"sync/atomic"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// A bucket holds objects of one account under one key.
type bucket struct {
	name   string
	owner  string // the account
	key    string // the ARN of the key that the data keys of its objects are encrypted under
	power  *kms.PolicyDocument
	policy atomic.Pointer[kms.PolicyDocument] // power, until it is given one
}

// newBucket returns a bucket with the power that its account has over it: to the root user, and to those to whom their identity policies give it.
func newBucket(name, owner, key string) (*bucket, error) {
	if !bucketName.MatchString(name) {
		return nil, errName
	}
	power, err := policy.Parse(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": "`+owner+`"}, "Action": "objectstore:*", "Resource": "*"}]}`, policy.KeyPolicy)
	if err != nil {
		return nil, err
	}
	b := &bucket{name: name, owner: owner, key: key, power: power}
	b.policy.Store(power)
	return b, nil
}

// bucketName leaves nothing that a file system or an ARN could take for something else.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

func (b *bucket) arn() string { return "arn:aws:objectstore:::" + b.name }

// An accessDenied is the store's own refusal, in the words of the keyring's.
type accessDenied struct {
	request *policy.Request
	why     string
}

func (e *accessDenied) Error() string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", e.request.Principal.ARN, e.request.Action, e.request.Resource, e.why)
}

// Is reports that it is the same refusal as the keyring's.
func (e *accessDenied) Is(target error) bool { return target == kms.ErrAccessDenied }

// authorize decides whether a user may do something with the bucket or one of its objects, and returns an *accessDenied if not.
//
// A bucket differs from a key in one thing. A key's account has no power over the key but what the key policy gives it: where the policy does not name the account,
// nobody's identity policies count. A bucket's account has that power by itself, and the bucket policy can only add to it, or deny. So there are two questions. The
// first is [kms.Evaluate] with the bucket policy in the place of a key's: it finds every Deny, whomever the policy names, and asks callers of other accounts for both
// sides. If nothing was denied, the second asks about the account's own power instead, as if a key's policy gave it. What IAM says of the user, and the circumstances
// that policies may ask about, the keyring knows.
func (b *bucket) authorize(ring *kms.Keyring, who user, action, resource string) error {
	in, err := ring.Question(who.caller(), action, resource)
	if err != nil {
		return &accessDenied{&policy.Request{Principal: policy.Principal{ARN: who.arn()}, Action: action, Resource: resource}, "because there is no such user"}
	}
	in.Account, in.KeyPolicy = b.owner, b.policy.Load()
	d := kms.Evaluate(in)
	if d.Outcome == kms.ImplicitlyDenied && who.account == b.owner {
		in.KeyPolicy = b.power
		d = kms.Evaluate(in)
	}
	if d.Outcome != kms.Allowed {
		return &accessDenied{in.Request, d.Reason()}
	}
	return nil
}
