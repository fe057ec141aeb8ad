package policy_test

import (
	"testing"
	"time"

	"github.com/claviger/kms/policy"
)

// tenStatements is a key policy of ordinary make: delegation, administrators, users, services, and guards that deny.
const tenStatements = `{"Version": "2012-10-17", "Statement": [
	{"Sid": "account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
	{"Sid": "admin", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/Admin"},
		"Action": ["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*", "kms:Disable*"], "Resource": "*"},
	{"Sid": "use", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:role/App", "arn:aws:iam::111122223333:role/Batch"]},
		"Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"], "Resource": "*",
		"Condition": {"StringEquals": {"kms:EncryptionContext:Department": ["IT", "Payroll"]}}},
	{"Sid": "attach", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/App"},
		"Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"], "Resource": "*", "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}},
	{"Sid": "logs", "Effect": "Allow", "Principal": {"Service": "logs.us-east-1.amazonaws.com"}, "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*",
		"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:logs:*:111122223333:*"}}},
	{"Sid": "partner", "Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": "kms:Decrypt", "Resource": "*",
		"Condition": {"StringLike": {"aws:PrincipalTag/team": "pay*"}}},
	{"Sid": "network", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"NotIpAddressIfExists": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]}}},
	{"Sid": "window", "Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*",
		"Condition": {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "14"}}},
	{"Sid": "old", "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}}},
	{"Sid": "transport", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
]}`

// fixed is a Context as a program would write it: a switch, and no map.
type fixed struct{}

func (fixed) Lookup(key policy.Key) policy.Value {
	switch key.Name {
	case "kms:encryptioncontext":
		return policy.Text("Payroll")
	case "aws:sourceip":
		return policy.Text("10.1.2.3")
	case "aws:tokenissuetime":
		return policy.Time(time.Unix(1772359200, 0))
	case "aws:securetransport":
		return policy.Bool(true)
	}
	return policy.Value{}
}

func BenchmarkEvaluate(b *testing.B) {
	d, err := policy.Parse(tenStatements, policy.KeyPolicy)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, action string
		by           policy.Principal
	}{
		{"decrypt by a session", "kms:Decrypt", session("App", "s1")},
		{"decrypt by a user", "kms:Decrypt", user("alice")},
		{"describe by an administrator", "kms:DescribeKey", session("Admin", "s1")},
	} {
		r := policy.Request{Principal: c.by, Action: c.action, Resource: keyARN, Context: fixed{}}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Evaluate(&r)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(tenStatements)))
	for b.Loop() {
		if _, err := policy.Parse(tenStatements, policy.KeyPolicy); err != nil {
			b.Fatal(err)
		}
	}
}
