package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// object is an object of JSON.
type object = map[string]any

// iamText says statements in IAM's language, as a document of that kind.
func iamText(statements []statement, kind policy.Kind) string {
	var list []object
	for _, s := range statements {
		entry := object{"Sid": s.sid, "Effect": policy.Allow.String(), "Action": "kms:*", "Resource": "*"}
		if s.deny {
			entry["Effect"] = policy.Deny.String()
		}
		if s.actions != nil {
			entry["Action"] = s.actions
		}
		if s.resource != "" {
			entry["Resource"] = resourceARN(s.resource)
		}
		if kind == policy.KeyPolicy {
			entry["Principal"] = iamPrincipal(s.who)
		}
		if len(s.when) > 0 {
			conditions := object{}
			for _, c := range s.when {
				conditions[c.operator] = object{c.key: c.values}
			}
			entry["Condition"] = conditions
		}
		list = append(list, entry)
	}
	text, err := json.Marshal(object{"Version": policy.Version2012, "Statement": list})
	if err != nil {
		panic(err) // of strings
	}
	return string(text)
}

func iamPrincipal(who []string) any {
	if who == nil {
		return "*"
	}
	named := map[string][]string{}
	for _, name := range who {
		kind := "AWS"
		if !isRole(name) && name != delegate {
			kind = "Service"
		}
		named[kind] = append(named[kind], principalARN(name))
	}
	return named
}

func isRole(who string) bool { return strings.HasPrefix(who, "role/") }

// principalARN is what IAM calls somebody.
func principalARN(who string) string {
	switch {
	case who == delegate:
		return "arn:aws:iam::" + account + ":root"
	case isRole(who):
		return "arn:aws:iam::" + account + ":" + who
	default:
		return who
	}
}

// resourceARN is what IAM calls a resource.
func resourceARN(resource string) string {
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case "bucket":
		return "arn:aws:s3:::" + name + "/*"
	case "queue":
		return "arn:aws:sqs:eu-central-1:" + account + ":" + name
	default:
		return "arn:aws:kms:eu-central-1:" + account + ":" + resource
	}
}

// forIAM puts the question as a request to a key policy.
func (q *question) forIAM() (*kms.PolicyRequest, error) {
	r := &kms.PolicyRequest{Action: q.action, Resource: resourceARN("key/" + keyID)}
	r.Principal = policy.Principal{Type: policy.Service, ARN: principalARN(q.who)}
	switch role, is := strings.CutPrefix(q.who, "role/"); {
	case is:
		r.Principal = policy.Principal{Type: policy.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session, Role: principalARN(q.who)}
	case q.who == delegate:
		r.Principal.Type, r.Principal.Account = policy.RootUser, account
	}
	values := map[string][]string{}
	for _, f := range q.facts() {
		text := fmt.Sprint(f.value)
		if at, is := f.value.(time.Time); is {
			text = at.Format(time.RFC3339)
		}
		values[f.key] = []string{text}
	}
	context, err := policy.NewValues(values)
	r.Context = context
	return r, err
}
