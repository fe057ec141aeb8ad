package interop

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claviger/kms/internal/keypair"
)

// hexBytes are written as hexadecimal digits.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

// unread is a field that says what another field says as well.
type unread = json.RawMessage

// A group is what groups of cases of every suite have.
type group struct {
	Type   string `json:"type"`
	Source unread `json:"source"`
}

// A vector is what cases of every suite have.
type vector struct {
	ID      int      `json:"tcId"`
	Comment string   `json:"comment"`
	Flags   []string `json:"flags"`
	Result  string   `json:"result"`
}

// A verdict says what came of a case.
type verdict struct {
	accepted bool
	reason   string // why the case is about nothing that a key does
	wrong    error  // what no result allows
}

var (
	accepted = verdict{accepted: true}
	refused  = verdict{}
)

func wrong(format string, args ...any) verdict { return verdict{wrong: fmt.Errorf(format, args...)} }

func inapplicable(reason string) verdict { return verdict{reason: reason} }

// foreign is the verdict of a case whose parameters no key has. Under those that keys have it must end in want, which is the refusal of its kind, or nil where it is
// right under them.
func foreign(reason string, err, want error) verdict {
	if !errors.Is(err, want) {
		return wrong("under the parameters of keys: %v, want %v; it has %s", err, want, reason)
	}
	return inapplicable(reason)
}

// verified is the verdict that a Verifier gives.
func verified(err error) verdict {
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, keypair.ErrSignature):
		return refused
	}
	return wrong("neither verified nor refused: %w", err)
}

// produced is the verdict of an operation that gives something, or fails with refusal.
func produced(got, want []byte, err, refusal error) verdict {
	switch {
	case err == nil && bytes.Equal(got, want):
		return accepted
	case err == nil:
		return wrong("the output is %x, want %x", got, want)
	case errors.Is(err, refusal):
		return refused
	}
	return wrong("neither done nor refused: %w", err)
}

// A tally counts the cases of a file.
type tally struct {
	cases           int
	passed          int // valid and accepted, or invalid and refused
	taken, declined int // acceptable
	inapplicable    map[string]int
	failed          []string
	seen            map[int]bool
}

func (t *tally) count(v vector, d verdict) {
	t.cases++
	fail := func(format string, args ...any) {
		t.failed = append(t.failed, fmt.Sprintf("case %d (%s, %s, %v): ", v.ID, v.Result, v.Comment, v.Flags)+fmt.Sprintf(format, args...))
	}
	if v.ID <= 0 || t.seen[v.ID] {
		fail("it has no number of its own")
	}
	t.seen[v.ID] = true
	switch {
	case d.wrong != nil:
		fail("%v", d.wrong)
	case v.Result != "valid" && v.Result != "invalid" && v.Result != "acceptable":
		fail("an unknown result")
	case d.reason != "":
		t.inapplicable[d.reason]++
	case v.Result == "acceptable" && d.accepted:
		t.taken++
	case v.Result == "acceptable":
		t.declined++
	case d.accepted != (v.Result == "valid"):
		fail("accepted: %v", d.accepted)
	default:
		t.passed++
	}
}

// excluded is how many cases were inapplicable.
func (t *tally) excluded() (n int) {
	for _, count := range t.inapplicable {
		n += count
	}
	return n
}

func (t *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d cases: %d passed", t.cases, t.passed)
	if t.taken+t.declined > 0 {
		fmt.Fprintf(&b, ", %d acceptable (%d accepted, %d refused)", t.taken+t.declined, t.taken, t.declined)
	}
	if n := t.excluded(); n > 0 {
		fmt.Fprintf(&b, ", %d inapplicable", n)
		separator := ": "
		for _, reason := range slices.Sorted(maps.Keys(t.inapplicable)) {
			fmt.Fprintf(&b, "%s%d %s", separator, t.inapplicable[reason], reason)
			separator = ", "
		}
	}
	if len(t.failed) > 0 {
		fmt.Fprintf(&b, ", %d FAILED", len(t.failed))
	}
	return b.String()
}

func (t *tally) add(other *tally) {
	t.cases += other.cases
	t.passed += other.passed
	t.taken += other.taken
	t.declined += other.declined
	for reason, n := range other.inapplicable {
		t.inapplicable[reason] += n
	}
}

func newTally() *tally { return &tally{inapplicable: map[string]int{}, seen: map[int]bool{}} }

// A suite runs the cases of a file.
type suite func(file []byte) (*tally, error)

// groups makes a suite of what runs the cases of a group and reports each. A field that the group does not know may change what a case says, and is an error.
func groups[G any](run func(g *G, report func(vector, verdict))) suite {
	return func(file []byte) (*tally, error) {
		var content struct {
			Algorithm, Schema string
			NumberOfTests     int
			Header, Notes     unread
			TestGroups        []G
		}
		decoder := json.NewDecoder(bytes.NewReader(file))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&content); err != nil {
			return nil, err
		}
		t := newTally()
		for i := range content.TestGroups {
			run(&content.TestGroups[i], t.count)
		}
		if t.cases != content.NumberOfTests || t.cases == 0 {
			return nil, fmt.Errorf("%d cases were judged, of %d", t.cases, content.NumberOfTests)
		}
		return t, nil
	}
}

// publicKey reads a public key that must be written as it was read.
func publicKey[K any](kind keypair.Kind, der []byte) (key K, err error) {
	parsed, err := kind.ParsePublic(der)
	if err != nil {
		return key, err
	}
	again, err := parsed.MarshalSPKI()
	if err != nil || !bytes.Equal(again, der) {
		return key, fmt.Errorf("%w: %x is written as %x (%v)", errRewritten, der, again, err)
	}
	return parsed.(K), nil
}

var errRewritten = errors.New("a public key is another one after it was read and written")
