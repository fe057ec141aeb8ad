package main

import (
	"bytes"
	"fmt"
)

// A prover makes signatures or MACs with a key of its own, and verifies them.
type prover struct {
	proves, verifies way // without what they do, and how that is checked
	prove            func(message []byte) ([]byte, error)
	verify           func(message, proof []byte) error
	check            func(message, proof []byte) error // verifies what prove returned; verify itself, if nil
}

// proofContests are to prove a message of so many bytes, and to verify its proof. The provers are made when they are needed: RSA keys take long to find.
func proofContests(proves, verifies, name string, length int, provers func() ([]prover, error)) [2]*contest {
	message := bytes.Repeat([]byte{'x'}, length)
	name = fmt.Sprintf(" %s, %d B", name, length)
	proving := &contest{name: proves + name, allocs: noLimit, prepare: func() (ways []*way, err error) {
		all, err := provers()
		for _, p := range all {
			ways = append(ways, p.proving(message))
		}
		return ways, err
	}}
	verifying := &contest{name: verifies + name, allocs: noLimit, prepare: func() (ways []*way, err error) {
		all, err := provers()
		for _, p := range all {
			proof, err := p.prove(message)
			if err != nil {
				return nil, err
			}
			ways = append(ways, p.verifying(message, proof))
		}
		return ways, err
	}}
	return [2]*contest{proving, verifying}
}

func (p *prover) proving(message []byte) *way {
	check := p.check
	if check == nil {
		check = p.verify
	}
	w := p.proves
	w.op = func() ([]byte, error) { return p.prove(message) }
	w.check = func(proof []byte) error { return check(message, proof) }
	return &w
}

// verifying says "valid". Its check sees that it does not say so of another proof.
func (p *prover) verifying(message, proof []byte) *way {
	valid, wrong := []byte("valid"), bytes.Clone(proof)
	wrong[len(wrong)-1] ^= 1
	w := p.verifies
	w.op = func() ([]byte, error) { return valid, p.verify(message, proof) }
	w.check = func(got []byte) error {
		if p.verify(message, wrong) == nil {
			return fmt.Errorf("%w: any proof is valid", errWrong)
		}
		return isText("valid")(got)
	}
	return &w
}
