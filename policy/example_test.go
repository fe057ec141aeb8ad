package policy_test

import (
	"errors"
	"fmt"

	"github.com/claviger/kms/policy"
)

func Example() {
	doc, err := policy.Parse(`{
		"Version": "2012-10-17",
		"Statement": [
			{"Sid": "use", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/App"},
			 "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*",
			 "Condition": {"StringEquals": {"kms:EncryptionContext:Department": "IT"}}},
			{"Sid": "network", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
			 "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
		]
	}`, policy.KeyPolicy)
	if err != nil {
		panic(err)
	}
	for _, ip := range []string{"10.1.2.3", "192.0.2.1"} {
		values, err := policy.NewValues(map[string][]string{
			"aws:SourceIp":                     {ip},
			"kms:EncryptionContext:Department": {"IT"},
		})
		if err != nil {
			panic(err)
		}
		v := doc.Evaluate(&policy.Request{
			Principal: policy.Principal{
				Type:    policy.AssumedRole,
				ARN:     "arn:aws:sts::111122223333:assumed-role/App/session1",
				Role:    "arn:aws:iam::111122223333:role/App",
				Account: "111122223333",
			},
			Action:   "kms:Decrypt",
			Resource: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			Context:  values,
		})
		switch {
		case v.Deny.Found():
			fmt.Printf("%s: denied by %s\n", ip, doc.Sid(v.Deny))
		case v.Role.Found():
			fmt.Printf("%s: the role is allowed by %s\n", ip, doc.Sid(v.Role))
		}
	}
	// Output:
	// 10.1.2.3: the role is allowed by use
	// 192.0.2.1: denied by network
}

func ExampleParse() {
	_, err := policy.Parse(`{
  "Statement": {
    "Effect": "Allow",
    "Action": "kms:Decrypt",
    "Resource": "*",
    "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": "an hour"}}
  }
}`, policy.IdentityPolicy)
	if fault, ok := errors.AsType[*policy.SyntaxError](err); ok {
		fmt.Printf("line %d, column %d\n%s\n%s\n", fault.Line, fault.Column, fault.Path, fault.Message)
	}
	// Output:
	// line 6, column 65
	// Statement.Condition.NumericLessThan
	// value is not a decimal number
}

func ExampleLint() {
	findings := policy.Lint(`{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"},
    {"Effect": "Allow", "Principal": "*", "Action": "kms:ReEncrypt", "Resource": "*",
     "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}}
  ]
}`, policy.KeyPolicy)
	for _, f := range findings {
		fmt.Println(f)
	}
	// Output:
	// line 5, column 38: warning: Statement[1].Principal: allows everybody, of every account: the conditions do not tell who asks
	// line 5, column 53: warning: Statement[1].Action: unknown action: AWS KMS has none that this covers
}

func ExampleDocument_Explain() {
	doc, err := policy.Parse(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "read", "Effect": "Allow", "Action": ["kms:Describe*", "kms:List*"], "Resource": "*"},
		{"Sid": "own", "Effect": "Allow", "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}}}
	]}`, policy.IdentityPolicy)
	if err != nil {
		panic(err)
	}
	for _, trace := range doc.Explain(&policy.Request{Action: "kms:Decrypt", Resource: "*"}) {
		fmt.Printf("%s does not match: %s\n", trace.Sid, trace.Failed)
		for _, c := range trace.Conditions {
			fmt.Printf("  %s %s %q, absent: %v\n", c.Operator, c.Key, c.Want, c.Absent)
		}
	}
	// Output:
	// read does not match: Action
	// own does not match: Condition
	//   StringEquals aws:ResourceTag/owner ["${aws:username}"], absent: true
}
