package main

import (
	"errors"
	"fmt"
)

// A contest is a piece of work, our way of doing it, and others'.
type contest struct {
	name    string
	ours    *way
	others  []*way
	allocs  float64                // the most that ours may allocate per operation, or noLimit
	prepare func() ([]*way, error) // makes the ways, ours first, before they are verified; nil if they are there
}

// A way does the work of a contest.
type way struct {
	name  string
	limit float64                   // of others: the most times as long as this one that ours may take, or noLimit
	slack float64                   // of others: nanoseconds that ours may take beyond that
	op    func() ([]byte, error)    // does the work once
	check func(result []byte) error // says whether a result of op is right
	few   int                       // how often it is done before it is timed; 0 for as often as fills pools and caches
	each  int                       // how many pieces of work op does, if more than one: what is measured is one
	timed measurement
}

// noLimit stands where nothing is asked.
const noLimit = -1

// ways returns all ways, ours first.
func (c *contest) ways() []*way { return append([]*way{c.ours}, c.others...) }

// errWrong is what a check says.
var errWrong = errors.New("the result is wrong")

// verify prepares the contest, and does the work once in every way.
func (c *contest) verify() error {
	if c.prepare != nil {
		ways, err := c.prepare()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		c.ours, c.others, c.prepare = ways[0], ways[1:], nil
	}
	for _, w := range c.ways() {
		result, err := w.op()
		if err == nil {
			err = w.check(result)
		}
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.name, w.name, err)
		}
	}
	return nil
}

// allContests returns every contest, in the order of the table.
func allContests(r *ring, p *peers) ([]*contest, error) {
	var all []*contest
	for _, group := range []func(*ring, *peers) ([]*contest, error){
		encryptContests, decryptContests, crowdContests, dataKeyContests, keyPairContests, signatureContests, macContests, agreementContests, creationContests, evaluateContests,
		authorizeContests,
	} {
		contests, err := group(r, p)
		if err != nil {
			return nil, err
		}
		all = append(all, contests...)
	}
	return all, nil
}
