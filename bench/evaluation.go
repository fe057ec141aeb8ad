package main

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// sizes are how many statements policies have.
var sizes = []int{2, 10, 50}

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

// compiled are rules in every language.
type compiled struct {
	*rules
	document *kms.PolicyDocument // of the key
	cedar    *cedar.PolicySet
	rego     rego.PreparedEvalQuery
}

func (r *rules) compile() (*compiled, error) {
	document, err := policy.Parse(iamText(r.key, policy.KeyPolicy), policy.KeyPolicy)
	if err != nil {
		return nil, err
	}
	set, err := r.forCedar()
	if err != nil {
		return nil, err
	}
	query, err := r.forRego()
	return &compiled{r, document, set, query}, err
}

// check returns a check for the answer to a question.
func (r *rules) check(q *question) func([]byte) error {
	want := string(answer(q.allowed(r)))
	return func(got []byte) error {
		if string(got) != want {
			return errWrong
		}
		return nil
	}
}

// evaluateContests ask a key policy what is allowed and what is denied. The statement that decides stands in the middle.
func evaluateContests(*ring, *peers) ([]*contest, error) {
	var all []*contest
	for _, n := range sizes {
		for _, asked := range []struct {
			name, decides string
			question      question
		}{
			{"allowed", "use", decryption},
			{"denied", "network", refusedDecryption},
		} {
			r, err := (&rules{key: choose(keyStatements, n, asked.decides)}).compile()
			if err != nil {
				return nil, err
			}
			c, err := r.evaluation(&asked.question)
			if err != nil {
				return nil, err
			}
			if c.name = fmt.Sprintf("Evaluate, %d statements: %s", n, asked.name); n != 10 {
				c.others[0].limit = noLimit
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// evaluation returns the contest of answering a question. Ours asks the key's policy alone. Everybody is asked what they were given in their own form before.
func (r *compiled) evaluation(q *question) (*contest, error) {
	request, err := q.forIAM()
	if err != nil {
		return nil, err
	}
	in := kms.EvaluateInput{Account: account, KeyPolicy: r.document, Request: request}
	forCedar, forRego, check := q.forCedar(), q.forRego(), r.check(q)
	return &contest{
		ours: &way{name: nameOurs, check: check, op: func() ([]byte, error) { return answer(kms.Evaluate(in).Outcome == kms.Allowed), nil }},
		others: []*way{
			{name: nameCedar, limit: 0.2, check: check, op: func() ([]byte, error) { return forCedar.ask(r.cedar) }},
			{name: nameOPA, limit: noLimit, check: check, op: func() ([]byte, error) { return forRego.ask(&r.rego) }},
		},
	}, nil
}
