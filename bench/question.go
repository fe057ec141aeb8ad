package main

import (
	"strconv"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

const account = "111122223333"

// A question is what the policies of both languages are asked. What is zero is absent from the request.
type question struct {
	name       string
	role       string // who asks: a session of a role
	service    string // or a service; with neither the account's root user
	team       string // tag of the session
	action     string
	department string // in the encryption context
	sourceIP   string
	sourceARN  string
	issued     time.Time
	days       int  // the waiting period of a deletion
	forAWS     bool // a grant is for a service
	insecure   bool
	allowed    bool // the answer
	timed      bool
}

const (
	inside  = "10.1.2.3"
	outside = "203.0.113.9"
)

var (
	lastYear = time.Date(2025, time.December, 31, 23, 59, 59, 0, time.UTC)
	thisYear = time.Date(2026, time.March, 1, 10, 0, 0, 0, time.UTC)
)

var questions = []question{
	{name: "allowed", role: "App", action: "Decrypt", department: "Payroll", sourceIP: inside, issued: thisYear, allowed: true, timed: true},
	{name: "denied", role: "App", action: "Decrypt", department: "Payroll", sourceIP: outside, issued: thisYear, timed: true},
	{name: "another role", role: "Batch", action: "Encrypt", department: "IT", sourceIP: "192.0.2.7", issued: thisYear, allowed: true},
	{name: "another department", role: "App", action: "Decrypt", department: "Sales", sourceIP: inside, issued: thisYear},
	{name: "no department", role: "App", action: "Decrypt", sourceIP: inside, issued: thisYear},
	{name: "no address", role: "App", action: "Decrypt", department: "Payroll", issued: thisYear},
	{name: "an old session", role: "App", action: "Decrypt", department: "Payroll", sourceIP: inside, issued: lastYear},
	{name: "an old session encrypts", role: "App", action: "Encrypt", department: "Payroll", sourceIP: inside, issued: lastYear, allowed: true},
	{name: "no transport security", role: "App", action: "Decrypt", department: "Payroll", sourceIP: inside, issued: thisYear, insecure: true},
	{name: "administrator describes", role: "Admin", action: "DescribeKey", sourceIP: inside, issued: thisYear, allowed: true},
	{name: "administrator decrypts", role: "Admin", action: "Decrypt", department: "IT", sourceIP: inside, issued: thisYear},
	{name: "deletion in a week", role: "Admin", action: "ScheduleKeyDeletion", days: 7, sourceIP: inside, issued: thisYear},
	{name: "deletion in a fortnight", role: "Admin", action: "ScheduleKeyDeletion", days: 14, sourceIP: inside, issued: thisYear, allowed: true},
	{name: "grant for a service", role: "App", action: "CreateGrant", forAWS: true, sourceIP: inside, issued: thisYear, allowed: true},
	{name: "grant for somebody", role: "App", action: "CreateGrant", sourceIP: inside, issued: thisYear},
	{name: "report of payments", role: "Reports", team: "payments", action: "Decrypt", sourceIP: inside, issued: thisYear, allowed: true},
	{name: "report of sales", role: "Reports", team: "sales", action: "Decrypt", sourceIP: inside, issued: thisYear},
	{name: "report of nobody", role: "Reports", action: "Decrypt", sourceIP: inside, issued: thisYear},
	{name: "logs", service: "logs.amazonaws.com", sourceARN: "arn:aws:logs:eu-central-1:111122223333:log-group:a", action: "Encrypt", sourceIP: inside, allowed: true},
	{name: "logs of others", service: "logs.amazonaws.com", sourceARN: "arn:aws:logs:eu-central-1:444455556666:log-group:a", action: "Encrypt", sourceIP: inside},
	{name: "another service", service: "backup.amazonaws.com", sourceARN: "arn:aws:logs:eu-central-1:111122223333:log-group:a", action: "Encrypt", sourceIP: inside},
	{name: "root", action: "PutKeyPolicy", sourceIP: inside, allowed: true},
	{name: "root from outside", action: "PutKeyPolicy", sourceIP: outside},
	{name: "stranger", role: "Stranger", action: "Decrypt", department: "IT", sourceIP: inside, issued: thisYear},
}

// forKeyring puts the question as a request to a key policy.
func (q *question) forKeyring() (*kms.PolicyRequest, error) {
	r := &kms.PolicyRequest{Action: "kms:" + q.action, Resource: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}
	switch {
	case q.service != "":
		r.Principal = policy.Principal{Type: policy.Service, ARN: q.service}
	case q.role != "":
		r.Principal = policy.Principal{Type: policy.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/" + q.role + "/s1",
			Role: "arn:aws:iam::" + account + ":role/" + q.role}
	default:
		r.Principal = policy.Principal{Type: policy.RootUser, Account: account, ARN: "arn:aws:iam::" + account + ":root"}
	}
	values := map[string][]string{"aws:SecureTransport": {strconv.FormatBool(!q.insecure)}, "kms:GrantIsForAWSResource": {strconv.FormatBool(q.forAWS)}}
	for key, value := range map[string]string{
		"aws:PrincipalTag/team": q.team, "kms:EncryptionContext:Department": q.department, "aws:SourceIp": q.sourceIP, "aws:SourceArn": q.sourceARN,
	} {
		if value != "" {
			values[key] = []string{value}
		}
	}
	if !q.issued.IsZero() {
		values["aws:TokenIssueTime"] = []string{q.issued.Format(time.RFC3339)}
	}
	if q.days != 0 {
		values["kms:ScheduleKeyDeletionPendingWindowInDays"] = []string{strconv.Itoa(q.days)}
	}
	context, err := policy.NewValues(values)
	r.Context = context
	return r, err
}

// forCedar puts the question as a request to Cedar, with the entities that it is about. What a key policy would have to read from text, such as addresses and
// times, Cedar is given as values.
func (q *question) forCedar() (cedar.Request, cedar.EntityMap, error) {
	who := cedar.Entity{UID: cedar.NewEntityUID("User", "root")}
	attributes := cedar.RecordMap{}
	switch {
	case q.service != "":
		who.UID = cedar.NewEntityUID("Service", cedar.String(q.service))
	case q.role != "":
		who.UID = cedar.NewEntityUID("Session", cedar.String(q.role+"/s1"))
		who.Parents = cedar.NewEntityUIDSet(cedar.NewEntityUID("Role", cedar.String(q.role)))
	}
	if q.team != "" {
		attributes["team"] = cedar.String(q.team)
	}
	who.Attributes = cedar.NewRecord(attributes)

	context := cedar.RecordMap{"secure": cedar.Boolean(!q.insecure), "grantIsForAWSResource": cedar.Boolean(q.forAWS)}
	if q.department != "" {
		context["department"] = cedar.String(q.department)
	}
	if q.sourceARN != "" {
		context["sourceArn"] = cedar.String(q.sourceARN)
	}
	if q.sourceIP != "" {
		address, err := types.ParseIPAddr(q.sourceIP)
		if err != nil {
			return cedar.Request{}, nil, err
		}
		context["sourceIp"] = address
	}
	if !q.issued.IsZero() {
		context["issued"] = cedar.NewDatetime(q.issued)
	}
	if q.days != 0 {
		context["windowInDays"] = cedar.Long(q.days)
	}
	request := cedar.Request{Principal: who.UID, Action: cedar.NewEntityUID("Action", cedar.String(q.action)), Resource: cedar.NewEntityUID("Key", "1"),
		Context: cedar.NewRecord(context)}
	return request, cedar.EntityMap{who.UID: who}, nil
}
