package main

import (
	"net/netip"
	"slices"
	"time"
)

// The key that questions are about, and whose it is.
const (
	account = "111122223333"
	session = "s1"
	keyID   = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

// A question is what rules are asked, in whatever language they are. What is zero is absent from the request.
type question struct {
	name       string
	who        string // a session of a role ("role/App"), a service, or the account's root user
	department string // tag of the session
	team       string // tag of the session
	action     string
	records    string // of which department, in the encryption context
	source     string // the address
	sourceARN  string
	issued     time.Time
	days       int    // the waiting period of a deletion
	forAWS     bool   // a grant is for a service
	via        string // the service that forwards the request
	insecure   bool

	allow []string // which statements together allow it; without any it is never allowed
	deny  []string // which statements deny it
}

// A fact is the value of a condition key: a string, a bool, an int, a time.Time or a netip.Addr.
type fact struct {
	key   string
	value any
}

// facts are what the condition keys of the request are.
func (q *question) facts() []fact {
	facts := []fact{{"aws:SecureTransport", !q.insecure}, {"kms:GrantIsForAWSResource", q.forAWS}}
	for _, f := range []fact{
		{"aws:PrincipalTag/department", q.department}, {"aws:PrincipalTag/team", q.team}, {"kms:EncryptionContext:Department", q.records},
		{"aws:SourceArn", q.sourceARN}, {"kms:ViaService", q.via},
	} {
		if f.value != "" {
			facts = append(facts, f)
		}
	}
	if q.source != "" {
		facts = append(facts, fact{"aws:SourceIp", netip.MustParseAddr(q.source)})
	}
	if !q.issued.IsZero() {
		facts = append(facts, fact{"aws:TokenIssueTime", q.issued})
	}
	if q.days != 0 {
		facts = append(facts, fact{"kms:ScheduleKeyDeletionPendingWindowInDays", q.days})
	}
	return facts
}

// allowed is the right answer.
func (q *question) allowed(r *rules) bool {
	return len(q.allow) > 0 && !slices.ContainsFunc(q.allow, func(sid string) bool { return !r.has(sid) }) && !slices.ContainsFunc(q.deny, r.has)
}

// An attribute is where the other languages have a condition key: of the principal, or of the request's context.
type attribute struct{ of, name string }

var attributes = map[string]attribute{
	"aws:PrincipalTag/department":                {"principal", "department"},
	"aws:PrincipalTag/team":                      {"principal", "team"},
	"aws:SecureTransport":                        {"context", "secure"},
	"aws:SourceArn":                              {"context", "sourceArn"},
	"aws:SourceIp":                               {"context", "sourceIp"},
	"aws:TokenIssueTime":                         {"context", "issued"},
	"kms:EncryptionContext:Department":           {"context", "department"},
	"kms:GrantIsForAWSResource":                  {"context", "grantIsForAWSResource"},
	"kms:ScheduleKeyDeletionPendingWindowInDays": {"context", "windowInDays"},
	"kms:ViaService":                             {"context", "via"},
}

// Values of questions.
const (
	inside  = "10.1.2.3"
	outside = "203.0.113.9"

	logGroup      = "arn:aws:logs:eu-central-1:111122223333:log-group:a"
	otherLogGroup = "arn:aws:logs:eu-central-1:444455556666:log-group:a"
	queue         = "arn:aws:sqs:eu-central-1:111122223333:fraud-cases"
	storage       = "s3.eu-central-1.amazonaws.com"
)

var (
	lastYear = time.Date(2025, time.December, 31, 23, 59, 59, 0, time.UTC)
	thisYear = time.Date(2026, time.March, 1, 10, 0, 0, 0, time.UTC)
)

// What decides for a role with identity policies, and for one with a grant.
var (
	delegation = []string{"account", "orders-use", "boundary-keys"}
	grant      = []string{"grant"}
)

// decryption and the descriptions are what is timed: allowed by the key's policy, by delegation, and by a grant.
var (
	decryption        = question{name: "decrypt", who: "role/App", department: "Payroll", action: "kms:Decrypt", source: inside, issued: thisYear, allow: []string{"use"}}
	refusedDecryption = question{name: "decrypt from outside", who: "role/App", department: "Payroll", action: "kms:Decrypt", source: outside, issued: thisYear,
		allow: []string{"use"}, deny: []string{"network"}}
	description         = question{name: "describe", who: "role/App", department: "Payroll", action: "kms:DescribeKey", source: inside, issued: thisYear, allow: []string{"use"}}
	identityDescription = question{name: "identity", who: roleOfIdentity, department: "IT", action: "kms:DescribeKey", source: inside, issued: thisYear, allow: delegation}
	grantDescription    = question{name: "grantee", who: "role/Audit", action: "kms:DescribeKey", source: inside, issued: thisYear, allow: grant}
)

// questions are asked of all rules, for which not all of them have the same answers.
var questions = []question{
	decryption, refusedDecryption, description, identityDescription, grantDescription,
	{name: "another role", who: "role/Batch", department: "IT", action: "kms:Encrypt", source: "192.0.2.7", issued: thisYear, allow: []string{"use"}},
	{name: "another department", who: "role/App", department: "Sales", action: "kms:Decrypt", source: inside, issued: thisYear},
	{name: "no department", who: "role/App", action: "kms:DescribeKey", source: inside, issued: thisYear},
	{name: "no address", who: "role/App", department: "Payroll", action: "kms:Decrypt", issued: thisYear, allow: []string{"use"}, deny: []string{"network"}},
	{name: "an old session", who: "role/App", department: "Payroll", action: "kms:DescribeKey", source: inside, issued: lastYear, allow: []string{"use"}, deny: []string{"old"}},
	{name: "an old session encrypts", who: "role/App", department: "Payroll", action: "kms:Encrypt", source: inside, issued: lastYear, allow: []string{"use"}},
	{name: "no transport security", who: "role/App", department: "Payroll", action: "kms:DescribeKey", source: inside, issued: thisYear, insecure: true,
		allow: []string{"use"}, deny: []string{"transport"}},
	{name: "administrator describes", who: "role/Admin", action: "kms:DescribeKey", source: inside, issued: thisYear, allow: []string{"manage"}},
	{name: "administrator decrypts", who: "role/Admin", action: "kms:Decrypt", department: "IT", source: inside, issued: thisYear},
	{name: "deletion in a week", who: "role/Admin", action: "kms:ScheduleKeyDeletion", days: 7, source: inside, issued: thisYear,
		allow: []string{"manage"}, deny: []string{"window"}},
	{name: "deletion in a fortnight", who: "role/Admin", action: "kms:ScheduleKeyDeletion", days: 14, source: inside, issued: thisYear, allow: []string{"manage"}},
	{name: "grant for a service", who: "role/App", action: "kms:CreateGrant", forAWS: true, source: inside, issued: thisYear, allow: []string{"attach"}},
	{name: "grant for somebody", who: "role/App", action: "kms:CreateGrant", source: inside, issued: thisYear},
	{name: "report of payments", who: "role/Reports", team: "payments", action: "kms:Decrypt", source: inside, issued: thisYear, allow: []string{"report"}},
	{name: "report of sales", who: "role/Reports", team: "sales", action: "kms:Decrypt", source: inside, issued: thisYear},
	{name: "report of nobody", who: "role/Reports", action: "kms:DescribeKey", source: inside, issued: thisYear},
	{name: "logs", who: "logs.amazonaws.com", sourceARN: logGroup, action: "kms:Encrypt", source: inside, allow: []string{"logs"}},
	{name: "logs of others", who: "logs.amazonaws.com", sourceARN: otherLogGroup, action: "kms:Encrypt", source: inside},
	{name: "another service", who: "backup.amazonaws.com", sourceARN: logGroup, action: "kms:Encrypt", source: inside},
	{name: "root", who: delegate, action: "kms:DescribeKey", source: inside, allow: []string{"account"}},
	{name: "root from outside", who: delegate, action: "kms:DescribeKey", source: outside, allow: []string{"account"}, deny: []string{"network"}},
	{name: "stranger", who: "role/Stranger", department: "IT", action: "kms:DescribeKey", source: inside, issued: thisYear},

	{name: "a team's records", who: "role/fraud", department: "IT", action: "kms:Encrypt", records: "fraud", source: inside, issued: thisYear, allow: []string{"fraud-use"}},
	{name: "another team's records", who: "role/fraud", department: "IT", action: "kms:Encrypt", records: "ledger", source: inside, issued: thisYear},
	{name: "a team of no department", who: "role/fraud", action: "kms:Decrypt", records: "fraud", source: inside, issued: thisYear,
		allow: []string{"fraud-use"}, deny: []string{"fraud-guard"}},
	{name: "a team's analyst", who: "role/fraud-analyst", team: "fraud-eu", action: "kms:DescribeKey", source: inside, issued: thisYear, allow: []string{"fraud-read"}},
	{name: "another team's analyst", who: "role/fraud-analyst", team: "mail-eu", action: "kms:DescribeKey", source: inside, issued: thisYear},
	{name: "a team's queue", who: "sqs.amazonaws.com", sourceARN: queue, action: "kms:Decrypt", source: inside, allow: []string{"fraud-queue"}},

	{name: "identity decrypts", who: roleOfIdentity, department: "Payroll", action: "kms:Decrypt", source: inside, issued: thisYear, allow: delegation},
	{name: "identity of another department", who: roleOfIdentity, department: "Sales", action: "kms:DescribeKey", source: inside, issued: thisYear},
	{name: "identity manages", who: roleOfIdentity, department: "IT", action: "kms:PutKeyPolicy", source: inside, issued: thisYear},
	{name: "identity's old session", who: roleOfIdentity, department: "IT", action: "kms:Encrypt", source: inside, issued: lastYear, allow: delegation, deny: []string{"orders-old"}},
	{name: "identity from outside", who: roleOfIdentity, department: "IT", action: "kms:DescribeKey", source: outside, issued: thisYear,
		allow: delegation, deny: []string{"network"}},
	{name: "identity without transport security", who: roleOfIdentity, department: "IT", action: "kms:DescribeKey", source: inside, issued: thisYear, insecure: true},
	{name: "identity through storage, which has no address", who: roleOfIdentity, via: storage, action: "kms:DescribeKey", issued: thisYear,
		allow: []string{"account", "orders-storage", "boundary-keys"}, deny: []string{"network"}},
	{name: "identity keeps the key", who: roleOfIdentity, department: "IT", action: "kms:ScheduleKeyDeletion", days: 30, source: inside, issued: thisYear},
	{name: "identity's records of a team", who: roleOfIdentity, records: "mail", action: "kms:Encrypt", source: inside, issued: thisYear,
		allow: []string{"account", "mail-records", "boundary-keys"}},

	{name: "grantee decrypts", who: "role/Audit", action: "kms:Decrypt", source: inside, issued: thisYear, allow: grant},
	{name: "grantee encrypts", who: "role/Audit", action: "kms:Encrypt", source: inside, issued: thisYear},
	{name: "grantee from outside", who: "role/Audit", action: "kms:DescribeKey", source: outside, issued: thisYear, allow: grant, deny: []string{"network"}},
}
