package peers

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A node is a running peer.mjs, which answers one request after the other.
type node struct {
	mu      sync.Mutex
	in      io.Writer
	answers *bufio.Reader
}

// newNode starts the program. Its packages are those of node/package-lock.json, which npm puts beside it.
func newNode(t testing.TB) *node {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node", err.Error())
	}
	const folder = "internal/peers/node" // from the root, whose tests these are
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		missing(t, "node", "its packages are not in "+folder)
	}
	cmd := exec.Command(program, filepath.Join(folder, "peer.mjs"))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v: %s", err, complaint.Bytes())
		}
	})
	return &node{in: in, answers: bufio.NewReader(out)}
}

// octets are bytes, in hex.
type octets []byte

func (b octets) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *octets) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

// A question and an answer have the members that they need.
type question struct {
	Do         string            `json:"do"`
	Spec       string            `json:"spec,omitempty"`
	ID         string            `json:"id,omitempty"`
	Context    map[string]string `json:"context,omitempty"`
	Material   octets            `json:"material,omitempty"`
	Plaintext  octets            `json:"plaintext,omitempty"`
	Ciphertext octets            `json:"ciphertext,omitempty"`
	Private    octets            `json:"private,omitempty"`
	Public     octets            `json:"public,omitempty"`
	Message    octets            `json:"message,omitempty"`
	Signature  octets            `json:"signature,omitempty"`
}

type answer struct {
	Ciphertext octets
	Plaintext  octets
	Signature  octets
	Secret     octets
	Valid      *bool
	Error      string
}

func (n *node) ask(q question) (answer, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.in.Write(append(text, '\n')); err != nil {
		return answer{}, fmt.Errorf("node: %w", err)
	}
	line, err := n.answers.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("node: %w", err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, fmt.Errorf("node: %w", err)
	}
	if a.Error != "" {
		return answer{}, fmt.Errorf("node: %s of %s: %s", q.Do, q.Spec, a.Error)
	}
	return a, nil
}

func (n *node) sealer() Sealer {
	return Sealer{
		Name: "Node.js",
		Seal: func(material []byte, id string, plaintext []byte, context map[string]string) ([]byte, error) {
			a, err := n.ask(question{Do: "seal", Material: material, ID: id, Plaintext: plaintext, Context: context})
			return a.Ciphertext, err
		},
		Open: func(material []byte, id string, message []byte, context map[string]string) ([]byte, error) {
			a, err := n.ask(question{Do: "open", Material: material, ID: id, Ciphertext: message, Context: context})
			return a.Plaintext, err
		},
	}
}

func (n *node) signer(spec, algorithm, messageType string) (Signer, bool) {
	suffix, ok := map[string]string{"RAW": "", "EXTERNAL_MU": "Mu"}[messageType]
	if _, known := circlSignatures[spec]; !ok || !known || algorithm != "ML_DSA_SHAKE_256" {
		return Signer{}, false
	}
	return Signer{
		Name: "noble",
		Sign: func(private, message []byte) ([]byte, error) {
			seed, err := seedOf(spec, private)
			if err != nil {
				return nil, err
			}
			a, err := n.ask(question{Do: "sign" + suffix, Spec: spec, Private: seed, Message: message})
			return a.Signature, err
		},
		Verify: func(public, message, signature []byte) (bool, error) {
			encoded, err := encodedOf(spec, public)
			if err != nil {
				return false, err
			}
			a, err := n.ask(question{Do: "verify" + suffix, Spec: spec, Public: encoded, Message: message, Signature: signature})
			if err == nil && a.Valid == nil {
				err = errors.New("node: neither yes nor no")
			}
			return err == nil && *a.Valid, err
		},
	}, true
}

// nobleEncapsulations are the parameter sets of ML-KEM.
var nobleEncapsulations = map[string]bool{"ML_KEM_512": true, "ML_KEM_768": true, "ML_KEM_1024": true}

func (n *node) encapsulator(spec, algorithm string) (Encapsulator, bool) {
	if !nobleEncapsulations[spec] || algorithm != "ML_KEM" {
		return Encapsulator{}, false
	}
	return Encapsulator{
		Name: "noble",
		Encapsulate: func(public []byte) (secret, ciphertext []byte, err error) {
			encoded, err := encodedOf(spec, public)
			if err != nil {
				return nil, nil, err
			}
			a, err := n.ask(question{Do: "encapsulate", Spec: spec, Public: encoded})
			return a.Secret, a.Ciphertext, err
		},
		Decapsulate: func(private, ciphertext []byte) ([]byte, error) {
			seed, err := seedOf(spec, private)
			if err != nil {
				return nil, err
			}
			a, err := n.ask(question{Do: "decapsulate", Spec: spec, Private: seed, Ciphertext: ciphertext})
			return a.Secret, err
		},
	}, true
}
