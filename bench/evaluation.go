package main

import (
	"github.com/cedar-policy/cedar-go"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// tenStatements is a key policy as they are: delegation to the account, administrators, users, a service, and guards that deny.
const tenStatements = `{"Version": "2012-10-17", "Statement": [
	{"Sid": "account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
	{"Sid": "manage", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/Admin"},
		"Action": ["kms:DescribeKey", "kms:PutKeyPolicy", "kms:EnableKey", "kms:DisableKey", "kms:ScheduleKeyDeletion"], "Resource": "*"},
	{"Sid": "use", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:role/App", "arn:aws:iam::111122223333:role/Batch"]},
		"Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"], "Resource": "*",
		"Condition": {"StringEquals": {"kms:EncryptionContext:Department": ["IT", "Payroll"]}}},
	{"Sid": "attach", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/App"},
		"Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"], "Resource": "*", "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}},
	{"Sid": "logs", "Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*",
		"Condition": {"StringLike": {"aws:SourceArn": "arn:aws:logs:*:111122223333:*"}}},
	{"Sid": "report", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/Reports"}, "Action": "kms:Decrypt", "Resource": "*",
		"Condition": {"StringLike": {"aws:PrincipalTag/team": "pay*"}}},
	{"Sid": "network", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
		"Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]}}},
	{"Sid": "window", "Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*",
		"Condition": {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "14"}}},
	{"Sid": "old", "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
		"Condition": {"DateLessThan": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}}},
	{"Sid": "transport", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
]}`

// tenPolicies says the same in Cedar: roles are parents of their sessions, tags are attributes, and condition keys are attributes of the request's context that
// are absent where they do not apply. Lists of actions are spelled out as above.
const tenPolicies = `
permit (principal == User::"root", action, resource);
permit (principal in Role::"Admin", action in [Action::"DescribeKey", Action::"PutKeyPolicy", Action::"EnableKey", Action::"DisableKey",
	Action::"ScheduleKeyDeletion"], resource);
permit (principal, action in [Action::"Encrypt", Action::"Decrypt", Action::"GenerateDataKey", Action::"DescribeKey"], resource)
	when { principal in [Role::"App", Role::"Batch"] && context has department && ["IT", "Payroll"].contains(context.department) };
permit (principal in Role::"App", action in [Action::"CreateGrant", Action::"ListGrants", Action::"RevokeGrant"], resource)
	when { context has grantIsForAWSResource && context.grantIsForAWSResource };
permit (principal == Service::"logs.amazonaws.com", action in [Action::"Encrypt", Action::"Decrypt"], resource)
	when { context has sourceArn && context.sourceArn like "arn:aws:logs:*:111122223333:*" };
permit (principal in Role::"Reports", action == Action::"Decrypt", resource) when { principal has team && principal.team like "pay*" };
forbid (principal, action, resource)
	when { !(context has sourceIp && (context.sourceIp.isInRange(ip("10.0.0.0/8")) || context.sourceIp.isInRange(ip("192.0.2.0/24")))) };
forbid (principal, action == Action::"ScheduleKeyDeletion", resource) when { context has windowInDays && context.windowInDays < 14 };
forbid (principal, action == Action::"Decrypt", resource) when { context has issued && context.issued < datetime("2026-01-01T00:00:00Z") };
forbid (principal, action, resource) when { context has secure && !context.secure };
`

// Answers.
var (
	allow = []byte("allow")
	deny  = []byte("deny")
)

func answer(allowed bool) []byte {
	if allowed {
		return allow
	}
	return deny
}

// evaluateContests ask both languages all questions, which makes sure that they say the same, and return the contests of a question that is allowed and of one
// that is denied.
func evaluateContests(*ring, *peers) ([]*contest, error) {
	document, err := policy.Parse(tenStatements, policy.KeyPolicy)
	if err != nil {
		return nil, err
	}
	set, err := cedar.NewPolicySetFromBytes("policies.cedar", []byte(tenPolicies))
	if err != nil {
		return nil, err
	}
	var timed []*contest
	for _, q := range questions {
		c, err := q.contest(document, set)
		if err != nil {
			return nil, err
		}
		if err := c.verify(); err != nil {
			return nil, err
		}
		if q.timed {
			timed = append(timed, c)
		}
	}
	return timed, nil
}

// contest returns the contest of answering the question. Both languages are asked what they were given in their own form before.
func (q *question) contest(document *kms.PolicyDocument, set *cedar.PolicySet) (*contest, error) {
	ours, err := q.forKeyring()
	if err != nil {
		return nil, err
	}
	theirs, entities, err := q.forCedar()
	if err != nil {
		return nil, err
	}
	check := func(got []byte) error {
		if string(got) != string(answer(q.allowed)) {
			return errWrong
		}
		return nil
	}
	in := kms.EvaluateInput{Account: account, KeyPolicy: document, Request: ours}
	return &contest{
		name: "Evaluate, 10 statements: " + q.name,
		ours: &way{name: nameOurs, check: check, op: func() ([]byte, error) { return answer(kms.Evaluate(in).Outcome == kms.Allowed), nil }},
		others: []*way{{name: nameCedar, limit: 0.2, check: check, op: func() ([]byte, error) {
			decision, _ := cedar.Authorize(set, entities, theirs)
			return answer(decision == cedar.Allow), nil
		}}},
	}, nil
}
