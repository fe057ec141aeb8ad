package main

import (
	"fmt"
	"slices"
	"strings"
)

// A statement is what one entry of a policy says. Every language has it in its own words, made of this, so that all say the same.
type statement struct {
	sid      string
	deny     bool
	who      []string    // of a key policy: roles ("role/App"), services, or the account, which delegates; nobody stands for everybody
	actions  []string    // none are all of keys
	resource string      // of an identity policy: "key/*", one key, a bucket or a queue; empty for all
	when     []condition // all must hold
}

// A condition is a condition key, an operator and the values, as key policies have them.
type condition struct {
	operator, key string
	values        []string
}

// when returns a condition as the only one of a statement.
func when(operator, key string, values ...string) []condition {
	return []condition{{operator, key, values}}
}

// delegate is the account among those who a statement is for.
const delegate = "account"

// Actions that many statements are about.
var (
	using      = []string{"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"}
	reading    = []string{"kms:Decrypt", "kms:DescribeKey"}
	granting   = []string{"kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"}
	managing   = []string{"kms:DescribeKey", "kms:PutKeyPolicy", "kms:EnableKey", "kms:DisableKey", "kms:ScheduleKeyDeletion"}
	destroying = []string{"kms:DisableKey", "kms:ScheduleKeyDeletion"}
)

// teams share the key.
var teams = []string{"billing", "catalog", "claims", "fraud", "ledger", "mail", "media", "search"}

// keyStatements are what key policies say, the most important first: guards that deny, delegation to the account, administrators, users and services, and then
// the same for each team.
var keyStatements = func() []statement {
	all := []statement{
		{sid: "network", deny: true, when: when("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", "192.0.2.0/24")},
		{sid: "use", who: []string{"role/App", "role/Batch"}, actions: using, when: when("StringEquals", "aws:PrincipalTag/department", "IT", "Payroll")},
		{sid: "account", who: []string{delegate}},
		{sid: "manage", who: []string{"role/Admin"}, actions: managing},
		{sid: "attach", who: []string{"role/App"}, actions: granting, when: when("Bool", "kms:GrantIsForAWSResource", "true")},
		{sid: "logs", who: []string{"logs.amazonaws.com"}, actions: []string{"kms:Encrypt", "kms:Decrypt"},
			when: when("StringLike", "aws:SourceArn", "arn:aws:logs:*:111122223333:*")},
		{sid: "report", who: []string{"role/Reports"}, actions: reading, when: when("StringLike", "aws:PrincipalTag/team", "pay*")},
		{sid: "window", deny: true, actions: []string{"kms:ScheduleKeyDeletion"}, when: when("NumericLessThan", "kms:ScheduleKeyDeletionPendingWindowInDays", "14")},
		{sid: "old", deny: true, actions: reading, when: when("DateLessThan", "aws:TokenIssueTime", "2026-01-01T00:00:00Z")},
		{sid: "transport", deny: true, when: when("Bool", "aws:SecureTransport", "false")},
	}
	for _, team := range teams {
		all = append(all,
			statement{sid: team + "-use", who: []string{"role/" + team}, actions: using, when: when("StringEquals", "kms:EncryptionContext:Department", team)},
			statement{sid: team + "-read", who: []string{"role/" + team + "-analyst"}, actions: reading, when: when("StringLike", "aws:PrincipalTag/team", team+"-*")},
			statement{sid: team + "-attach", who: []string{"role/" + team + "-deploy"}, actions: granting, when: when("Bool", "kms:GrantIsForAWSResource", "true")},
			statement{sid: team + "-queue", who: []string{"sqs.amazonaws.com"}, actions: []string{"kms:GenerateDataKey", "kms:Decrypt"},
				when: when("StringLike", "aws:SourceArn", "arn:aws:sqs:*:111122223333:"+team+"-*")},
			statement{sid: team + "-guard", deny: true, who: []string{"role/" + team, "role/" + team + "-deploy"}, actions: reading,
				when: when("StringNotEquals", "aws:PrincipalTag/department", "IT", "Payroll")},
		)
	}
	return all
}()

// identityStatements are what the policies say that are attached to a role, the most important first.
var identityStatements = func() []statement {
	all := []statement{
		{sid: "orders-old", deny: true, actions: using, resource: "key/*", when: when("DateLessThan", "aws:TokenIssueTime", "2026-01-01T00:00:00Z")},
		{sid: "orders-use", actions: using, resource: "key/*", when: when("StringEquals", "aws:PrincipalTag/department", "IT", "Payroll")},
		{sid: "orders-storage", actions: using, resource: "key/*", when: when("StringEquals", "kms:ViaService", "s3.eu-central-1.amazonaws.com")},
		{sid: "orders-bucket", actions: []string{"s3:GetObject", "s3:PutObject"}, resource: "bucket/orders"},
		{sid: "orders-queue", actions: []string{"sqs:SendMessage", "sqs:ReceiveMessage"}, resource: "queue/orders"},
		{sid: "orders-archive", actions: reading, resource: "key/0c4d1a52-5b1e-4f0a-9d0e-5f6f3a2b1c00"},
		{sid: "orders-attach", actions: granting, resource: "key/*", when: when("Bool", "kms:GrantIsForAWSResource", "true")},
		{sid: "orders-keep", deny: true, actions: destroying},
		{sid: "orders-list", actions: []string{"kms:ListKeys", "kms:ListAliases"}},
		{sid: "orders-mail", actions: []string{"ses:SendEmail"}, when: when("IpAddress", "aws:SourceIp", "10.0.0.0/8")},
	}
	for i, team := range teams {
		all = append(all,
			statement{sid: team + "-bucket", actions: []string{"s3:GetObject", "s3:ListBucket"}, resource: "bucket/" + team},
			statement{sid: team + "-queue", actions: []string{"sqs:SendMessage"}, resource: "queue/" + team},
			statement{sid: team + "-key", actions: reading, resource: fmt.Sprintf("key/0c4d1a52-5b1e-4f0a-9d0e-5f6f3a2b1c1%d", i)},
			statement{sid: team + "-records", actions: using, resource: "key/*", when: when("StringEquals", "kms:EncryptionContext:Department", team)},
			statement{sid: team + "-guard", deny: true, actions: []string{"s3:DeleteObject", "s3:PutBucketPolicy"}, resource: "bucket/" + team},
		)
	}
	return all
}()

// boundaryStatements are the permissions boundary of the same role. Boundaries are short.
var boundaryStatements = []statement{
	{sid: "boundary-keys", resource: "key/*", when: when("Bool", "aws:SecureTransport", "true")},
	{sid: "boundary-rest", actions: []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket", "sqs:SendMessage", "sqs:ReceiveMessage", "ses:SendEmail"}},
}

// grantStatement is what a grant says.
var grantStatement = statement{sid: "grant", who: []string{"role/Audit"}, actions: reading}

// roleOfIdentity has the policies and the boundary.
const roleOfIdentity = "role/Orders"

// choose returns n of the statements: the one that is to decide in the middle, and of the others the first.
func choose(all []statement, n int, sid string) []statement {
	i := slices.IndexFunc(all, func(s statement) bool { return s.sid == sid })
	others := slices.Delete(slices.Clone(all), i, i+1)
	return slices.Insert(others[:n-1:n-1], n/2, all[i])
}

// rules are everything that decides about a key.
type rules struct {
	key      []statement
	identity []statement // with the boundary; nil if there are no identity policies
	granted  bool        // there is the grant
}

// ofIdentity returns statements as such about the role that they are attached to.
func ofIdentity(statements []statement) []statement {
	named := slices.Clone(statements)
	for i := range named {
		named[i].who = []string{roleOfIdentity}
	}
	return named
}

// all returns all statements but those of the boundary.
func (r *rules) all() []statement {
	all := slices.Concat(r.key, ofIdentity(r.identity))
	if r.granted {
		all = append(all, grantStatement)
	}
	return all
}

// has reports whether there is a statement of that name.
func (r *rules) has(sid string) bool {
	all := r.all()
	if r.identity != nil {
		all = append(all, boundaryStatements...)
	}
	return slices.ContainsFunc(all, func(s statement) bool { return s.sid == sid })
}

// base returns the operator, and whether it is negated.
func (c *condition) base() (operator string, negated bool) {
	if operator, negated = strings.CutPrefix(c.operator, "Not"); negated {
		return operator, true
	}
	operator = strings.Replace(c.operator, "Not", "", 1)
	return operator, operator != c.operator
}

// mapped returns what f makes of each of the texts.
func mapped(texts []string, f func(string) string) []string {
	var made []string
	for _, t := range texts {
		made = append(made, f(t))
	}
	return made
}
