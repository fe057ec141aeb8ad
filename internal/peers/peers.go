// Package peers does what keys do with implementations that the keyring does not use, so that tests can hold the one against the other: OpenSSL, circl, and Node.js with
// noble-post-quantum. Only tests import it.
//
// Names of key specs, algorithms and message types are those of AWS KMS. Keys are DER, as the keyring writes them: PKCS#8 and SubjectPublicKeyInfo.
package peers

import (
	"os"
	"strings"
	"testing"
)

// Peers are the implementations that there are. They are safe for concurrent use.
type Peers struct {
	openssl *openssl
	node    *node
}

// New finds the programs, and starts what must run, until t is over. Where KMS_REQUIRE names one that is not there, that fails t; else t is skipped.
func New(t testing.TB) *Peers {
	t.Helper()
	return &Peers{newOpenSSL(t), newNode(t)}
}

// missing ends a test that has no program.
func missing(t testing.TB, program, why string) {
	t.Helper()
	if strings.Contains(os.Getenv("KMS_REQUIRE"), program) {
		t.Fatalf("%s is not there: %s", program, why)
	}
	t.Skipf("%s is not there, which scripts/test installs: %s", program, why)
}

// A Signer signs and verifies messages of one type by one algorithm.
type Signer struct {
	Name   string
	Sign   func(private, message []byte) ([]byte, error)
	Verify func(public, message, signature []byte) (bool, error)
}

// Signers are those that can do what keys of a spec do with messages of a type.
func (p *Peers) Signers(spec, algorithm, messageType string) []Signer {
	var all []Signer
	if s, ok := p.openssl.signer(algorithm, messageType); ok {
		all = append(all, s)
	}
	if s, ok := circlSigner(spec, algorithm, messageType); ok {
		all = append(all, s)
	}
	if s, ok := p.node.signer(spec, algorithm, messageType); ok {
		all = append(all, s)
	}
	return all
}

// A Cipher encrypts to a public key.
type Cipher struct {
	Name    string
	Encrypt func(public, plaintext []byte) ([]byte, error)
	Decrypt func(private, ciphertext []byte) ([]byte, error)
}

// Ciphers are those that can do what RSA keys do by an algorithm.
func (p *Peers) Ciphers(algorithm string) []Cipher {
	if c, ok := p.openssl.cipher(algorithm); ok {
		return []Cipher{c}
	}
	return nil
}

// A Sealer reads and writes the messages of symmetric keys as docs/format.md has them, with a key's material and id.
type Sealer struct {
	Name string
	Seal func(material []byte, id string, plaintext []byte, context map[string]string) ([]byte, error)
	Open func(material []byte, id string, message []byte, context map[string]string) ([]byte, error)
}

// Sealers are those that can do what symmetric keys do by an algorithm.
func (p *Peers) Sealers(algorithm string) []Sealer {
	if algorithm != "SYMMETRIC_DEFAULT" {
		return nil
	}
	return []Sealer{p.node.sealer()}
}

// An Authenticator computes MACs.
type Authenticator struct {
	Name string
	MAC  func(key, message []byte) ([]byte, error)
}

// Authenticators are those that can do what keys do by a MAC algorithm.
func (p *Peers) Authenticators(algorithm string) []Authenticator {
	if a, ok := p.openssl.authenticator(algorithm); ok {
		return []Authenticator{a}
	}
	return nil
}

// An Agreer makes keys, and agrees on secrets.
type Agreer struct {
	Name     string
	Generate func() (private, public []byte, err error)
	Agree    func(private, public []byte) ([]byte, error)
}

// Agreers are those that can do what keys of a spec do by an algorithm.
func (p *Peers) Agreers(spec, algorithm string) []Agreer {
	if a, ok := p.openssl.agreer(spec, algorithm); ok {
		return []Agreer{a}
	}
	return nil
}

// An Encapsulator draws secrets that the owner of a key finds again.
type Encapsulator struct {
	Name        string
	Encapsulate func(public []byte) (secret, ciphertext []byte, err error)
	Decapsulate func(private, ciphertext []byte) ([]byte, error)
}

// Encapsulators are those that can do what keys of a spec do by an algorithm.
func (p *Peers) Encapsulators(spec, algorithm string) []Encapsulator {
	var all []Encapsulator
	if e, ok := circlEncapsulator(spec, algorithm); ok {
		all = append(all, e)
	}
	if e, ok := p.node.encapsulator(spec, algorithm); ok {
		all = append(all, e)
	}
	return all
}
