package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// TestMain lets the child of TestScale do its work.
func TestMain(m *testing.M) {
	child, err := reside(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !child {
		os.Exit(m.Run())
	}
}

func newContests(t testing.TB) (*ring, []*contest) {
	t.Helper()
	r, err := newRing()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	p, err := newPeers()
	if err != nil {
		t.Fatal(err)
	}
	all, err := allContests(r, p)
	if err != nil {
		t.Fatal(err)
	}
	return r, all
}

// TestContests does all work once, in every way, and shows that the checks would notice a wrong result and that ours leaves an audit event each time.
func TestContests(t *testing.T) {
	r, all := newContests(t)
	names := map[string]bool{}
	for _, c := range all {
		if names[c.name] {
			t.Errorf("two contests are called %s", c.name)
		}
		names[c.name] = true
		if err := c.verify(); err != nil {
			t.Error(err)
		}
		for _, w := range c.ways() {
			result, err := w.op()
			if err != nil {
				t.Fatal(err)
			}
			wrong := bytes.Clone(result)
			wrong[len(wrong)-1] ^= 1
			if w.check(wrong) == nil || w.check(nil) == nil {
				t.Errorf("%s, %s: the check takes anything", c.name, w.name)
			}
		}
		before := r.events.n.Load()
		if _, err := c.ours.op(); err != nil {
			t.Error(err)
		}
		least, most := int64(1), int64(1)
		switch {
		case strings.HasPrefix(c.name, "Evaluate"), strings.HasPrefix(c.name, "DescribeKey"):
			least, most = 0, 0 // a pure function, and rings without a sink
		case strings.HasPrefix(c.name, "128 keys"):
			least, most = together*each, math.MaxInt64 // a change that meets another one tells of itself again
		}
		if n := r.events.n.Load() - before; n < least || n > most {
			t.Errorf("%s: %d events, want %d", c.name, n, least)
		}
	}
	if len(all) != 65 {
		t.Errorf("%d contests, want 65", len(all))
	}
}

// TestConditionIsAsked makes sure that the conditional key's policy has something to decide.
func TestConditionIsAsked(t *testing.T) {
	r, _ := newContests(t)
	if _, err := r.Encrypt(t.Context(), conditionalAlias, []byte("x"), nil); err == nil {
		t.Error("the policy allows what has no tenant")
	}
}

// TestAnswers asks every question of all rules that are timed, of whom it can be asked. All must give the right answer, of which there are both kinds.
func TestAnswers(t *testing.T) {
	for _, setting := range settings {
		for _, n := range sizes {
			t.Run(fmt.Sprintf("%s, %d statements", setting.name, n), func(t *testing.T) {
				r, err := setting.rules(n).compile()
				if err != nil {
					t.Fatal(err)
				}
				if got := r.document.Len(); got != n || r.identity != nil && len(r.identity) != n {
					t.Errorf("%d and %d statements", got, len(r.identity))
				}
				if request, err := setting.question.forIAM(); err != nil || r.document.Evaluate(request).Lasting {
					t.Errorf("%v, or what is timed would be remembered", err)
				}
				key, err := r.ring()
				if err != nil {
					t.Fatal(err)
				}
				defer key.Close()
				counts := map[string]int{}
				for _, q := range questions {
					c, err := r.evaluation(&q)
					if err != nil {
						t.Fatal(err)
					}
					ways := c.others
					if r.identity == nil && !r.granted {
						ways = c.ways()
					}
					if op := key.asking(&q); op != nil {
						ways = append(ways, &way{name: "ring", op: op, check: c.ours.check})
					}
					for _, w := range ways {
						got, err := w.op()
						if err == nil {
							err = w.check(got)
						}
						if err != nil {
							t.Errorf("%s: %s answers %q: %v", q.name, w.name, got, err)
						}
						counts[w.name+" "+string(got)]++
					}
				}
				t.Log(counts)
				for _, name := range []string{"ring", nameCedar, nameOPA} {
					if counts[name+" allow"] < 2 || counts[name+" deny"] < 15 {
						t.Errorf("too few answers: %v", counts)
					}
				}
			})
		}
	}
}

// asking returns the work of asking a question of the ring, as far as an operation without more can ask it.
func (k *ruledKey) asking(q *question) func() ([]byte, error) {
	client, ctx := k.client(q).DryRun(), context.Background()
	var ask func() error
	switch {
	case q.forAWS: // which needs a service that forwards the request, and has an address nevertheless
		return nil
	case q.action == "kms:DescribeKey":
		ask = func() error { _, err := client.DescribeKey(ctx, k.arn); return err }
	case q.action == "kms:Encrypt":
		var ec kms.EncryptionContext
		if q.records != "" {
			ec = kms.EncryptionContext{"Department": q.records}
		}
		ask = func() error { _, err := client.Encrypt(ctx, k.arn, []byte("x"), ec); return err }
	case q.action == "kms:CreateGrant":
		in := kms.CreateGrantInput{GranteePrincipal: principalARN("role/Batch"), Operations: []kms.GrantOperation{kms.GrantDecrypt}}
		ask = func() error { _, err := client.CreateGrant(ctx, k.arn, in); return err }
	case q.action == "kms:PutKeyPolicy":
		in := kms.PutKeyPolicyInput{Policy: iamText(keyStatements, policy.KeyPolicy), BypassPolicyLockoutSafetyCheck: true}
		ask = func() error { return client.PutKeyPolicy(ctx, k.arn, in) }
	case q.action == "kms:ScheduleKeyDeletion":
		ask = func() error { _, err := client.ScheduleKeyDeletion(ctx, k.arn, q.days); return err }
	default:
		return nil
	}
	return func() ([]byte, error) {
		switch err := ask(); {
		case errors.Is(err, kms.ErrDryRun):
			return allow, nil
		case errors.Is(err, kms.ErrAccessDenied):
			return deny, nil
		default:
			return nil, err
		}
	}
}

func TestMeasure(t *testing.T) {
	kept := make([][]byte, 1)
	done := 0
	op := func() ([]byte, error) {
		done++
		kept[0] = make([]byte, 64)
		return kept[0], nil
	}
	right := func([]byte) error { return nil }
	c := &contest{name: "work", ours: &way{name: "ours", op: op, check: right}, others: []*way{{name: "other", op: op, check: right}}}
	if err := measure([]*contest{c}, 3, time.Microsecond); err != nil {
		t.Fatal(err)
	}
	for _, w := range c.ways() {
		if m := w.timed; len(m.rounds) != 3 || len(m.cpu) != 3 || m.median() <= 0 || m.perSpan < 1 || m.allocs != 1 || m.bytes != 64 {
			t.Errorf("%s: %+v", w.name, m)
		}
	}
	done, c.ours.check = 0, func([]byte) error { return errWrong }
	if err := measure([]*contest{c}, 3, time.Microsecond); !errors.Is(err, errWrong) || done != 1 {
		t.Errorf("%v after %d times, want errWrong before anything is timed", err, done)
	}
	broken := errors.New("broken")
	c.ours.check, c.ours.op = right, func() ([]byte, error) { return nil, broken }
	if err := measure([]*contest{c}, 3, time.Microsecond); !errors.Is(err, broken) {
		t.Errorf("%v, want broken", err)
	}
}

// TestProofsAreVerified: a prover that takes any proof, one that makes wrong ones and one that cannot be made are found before anything is timed.
func TestProofsAreVerified(t *testing.T) {
	proof := []byte("proof")
	right := prover{
		prove: func([]byte) ([]byte, error) { return proof, nil },
		verify: func(_, got []byte) error {
			if !bytes.Equal(got, proof) {
				return errWrong
			}
			return nil
		},
	}
	gullible, wrong, broken := right, right, errors.New("broken")
	gullible.verify = func([]byte, []byte) error { return nil }
	wrong.prove = func([]byte) ([]byte, error) { return []byte("prooF"), nil }
	for _, c := range []struct {
		name              string
		other             prover
		err               error
		proving, verified error
	}{
		{"right", right, nil, nil, nil},
		{"takes any proof", gullible, nil, nil, errWrong},
		{"makes wrong proofs", wrong, nil, errWrong, errWrong},
		{"cannot be made", prover{}, broken, broken, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair := proofContests("Prove", "Verify", "it", 32, func() ([]prover, error) {
				if c.err != nil {
					return nil, c.err
				}
				return []prover{right, c.other}, nil
			})
			for i, want := range []error{c.proving, c.verified} {
				if err := measure(pair[i:i+1], 1, time.Microsecond); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", pair[i].name, err, want)
				}
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds []float64
		want   float64
	}{
		{"one", []float64{5}, 5},
		{"three", []float64{9, 1, 5}, 5},
		{"four", []float64{9, 1, 5, 7}, 7},
		{"an outlier", []float64{5, 5, 1000, 6, 5}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&measurement{rounds: c.rounds}).median(); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	taking := func(name string, ns, limit float64) *way {
		return &way{name: name, limit: limit, timed: measurement{rounds: []float64{ns}, allocs: 2, bytes: 80}}
	}
	near := taking("near", 100, 2)
	near.slack = 500
	contests := []*contest{
		{name: "fast", ours: taking("ours", 200, 0), others: []*way{taking("near", 100, 2), taking("far", 1000, noLimit)}, allocs: 2},
		{name: "just", ours: taking("ours", 2004, 0), others: []*way{taking("near", 1000, 2)}, allocs: noLimit},
		{name: "slow", ours: taking("ours", 333, 0), others: []*way{taking("near", 100, 2.5)}, allocs: 0},
		{name: "fits", ours: taking("ours", 700, 0), others: []*way{near}, allocs: noLimit},
		{name: "late", ours: taking("ours", 701, 0), others: []*way{near}, allocs: noLimit},
		{name: "free", ours: taking("ours", 50, 0), others: []*way{taking("near", 100, 1)}, allocs: noLimit},
	}
	var out strings.Builder
	if err := printTable(&out, contests); err != nil {
		t.Fatal(err)
	}
	want := `
work  keyring  allocs  bytes  against      takes    allocs  bytes  ratio  target
fast  200 ns   2       80     near         100 ns   2       80     2.00   2.00           met
                              far          1000 ns  2       80     0.20   -
                              allocations                          2      2              met
just  2004 ns  2       80     near         1000 ns  2       80     2.00   2.00           met
slow  333 ns   2       80     near         100 ns   2       80     3.33   2.50           missed by 0.83
                              allocations                          2      0              missed by 2
fits  700 ns   2       80     near         100 ns   2       80     7.00   2.00 + 500 ns  met
late  701 ns   2       80     near         100 ns   2       80     7.01   2.00 + 500 ns  missed by 1 ns
free  50 ns    2       80     near         100 ns   2       80     0.50   1.00           met
`
	var got strings.Builder
	for line := range strings.Lines("\n" + out.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if got.String() != want {
		t.Errorf("the table is%swant%s", got.String(), want)
	}
}

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out, 1, time.Microsecond, "^(Generate|Evaluate.*denied)"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"median of 1 rounds", "\nGenerateDataKey ", "\nEvaluate, 10 statements: denied "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q but\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\nEncrypt") {
		t.Errorf("it prints what the filter leaves out:\n%s", out.String())
	}
}

func TestRunRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds int
		span   time.Duration
		filter string
	}{
		{"no rounds", 0, time.Millisecond, ""},
		{"no time", 1, 0, ""},
		{"malformed filter", 1, time.Millisecond, "("},
		{"filter that matches nothing", 1, time.Millisecond, "^Decipher"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if err := run(&out, c.rounds, c.span, c.filter); err == nil || out.Len() > 0 {
				t.Errorf("%v, and it prints %q", err, out.String())
			}
		})
	}
}

func newWireContests(t testing.TB) (*served, []*contest) {
	t.Helper()
	s, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.ring.close(); err != nil {
			t.Error(err)
		}
	})
	all, err := s.contests()
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

// TestWireContests sends all requests in every way, and shows that the checks would notice a wrong answer and that every request of ours leaves an event.
func TestWireContests(t *testing.T) {
	s, all := newWireContests(t)
	for _, c := range all {
		if err := c.verify(); err != nil {
			t.Fatal(err)
		}
		for _, w := range c.ways() {
			result, err := w.op()
			if err != nil {
				t.Fatal(err)
			}
			values := bytes.Split(result, []byte(`"`)) // of members: 3, 7, 11, ...
			for i := 3; i < len(values); i += 4 {
				if name := string(values[i-2]); name == "KeyId" || name == "KeyMaterialId" || strings.HasSuffix(name, "Algorithm") { // which are not what is asked for
					continue
				}
				wrong := bytes.Clone(result)
				at := len(bytes.Join(values[:i], []byte(`"`))) + 5
				if wrong[at] = 'A'; wrong[at] == result[at] {
					wrong[at] = 'B'
				}
				if w.check(wrong) == nil || w.check(nil) == nil {
					t.Errorf("%s, %s: the check takes another %s", c.name, w.name, values[i-2])
				}
			}
		}
		before := s.ring.events.n.Load()
		if _, err := c.ours.op(); err != nil {
			t.Error(err)
		}
		if n := s.ring.events.n.Load() - before; n != int64(c.ours.each) || n%exchanges != 0 {
			t.Errorf("%s: %d events, want %d", c.name, n, c.ours.each)
		}
	}
	if len(all) != 8 {
		t.Errorf("%d contests, want 8", len(all))
	}
}

// TestWireRefusals: a refusal is no answer, and requests are signed again before they are too old.
func TestWireRefusals(t *testing.T) {
	s, _ := newWireContests(t)
	stale, err := s.crowd(s.ours, "GenerateDataKey", fmt.Appendf(nil, `{"KeyId":%q,"NumberOfBytes":1}`, s.ring.key), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stale.op(); err != nil {
		t.Fatal(err)
	}
	s.signer.Secret += "x" // the server's, too: what was signed before is wrong
	if _, err := stale.op(); !errors.Is(err, errWrong) {
		t.Errorf("%v, want errWrong", err)
	}
	stale.signed = time.Now().Add(-resigning - time.Second)
	if _, err := stale.op(); err != nil {
		t.Errorf("signed again: %v", err)
	}
}

func TestWireTable(t *testing.T) {
	taking := func(name string, ns, cpu, limit float64) *way {
		return &way{name: name, limit: limit, timed: measurement{rounds: []float64{ns}, cpu: []float64{cpu}, allocs: 30}}
	}
	contests := []*contest{
		{name: "light", ours: taking("ours", 50_000, 60_000, 0), others: []*way{taking("near", 25_000, 30_000, 2), taking("far", 5_000, 20_000, noLimit)}},
		{name: "heavy", ours: taking("ours", 100_000, 90_000, 0), others: []*way{taking("near", 20_000, 25_500, 2)}},
	}
	var out strings.Builder
	if err := printWire(&out, contests); err != nil {
		t.Fatal(err)
	}
	want := `
work   keyring  processor  allocs  against  serves    processor  allocs  more     ratio  target
light  20000/s  60.0 µs    30      near     40000/s   30.0 µs    30      30.0 µs  0.50   0.50    met
                                   far      200000/s  20.0 µs    30      40.0 µs  0.10   -
heavy  10000/s  90.0 µs    30      near     50000/s   25.5 µs    30      64.5 µs  0.20   0.50    missed by 0.30
`
	var got strings.Builder
	for line := range strings.Lines("\n" + out.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if got.String() != want {
		t.Errorf("the table is%swant%s", got.String(), want)
	}
}

func TestWireRun(t *testing.T) {
	var out strings.Builder
	if err := wire(&out, 1, time.Microsecond, "^Decrypt"); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`\nDecrypt, one connection +\d+/s .*\nDecrypt, 8 connections +\d+/s`).MatchString(out.String()) || strings.Contains(out.String(), "Encrypt") {
		t.Errorf("it prints\n%s", out.String())
	}
	for _, c := range []struct {
		rounds int
		span   time.Duration
		filter string
	}{{0, time.Millisecond, ""}, {1, 0, ""}, {1, time.Millisecond, "("}, {1, time.Millisecond, "^Decipher"}} {
		if err := wire(io.Discard, c.rounds, c.span, c.filter); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestScale(t *testing.T) {
	var out strings.Builder
	if err := scale(&out, 40, 50, 1, time.Microsecond); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`keyring is one of 40 keys`, `\nOpen and Close +\d+ ns.* 10 keys +\d+ ns`, `\nEncrypt by alias, cold +\d+ ns`, `\nMaintain, nothing due +\d+ ns`,
		`\nCheck, .* with 10 keys, .* with 40\n`, `\n10 +50 +10000 `, `\n40 +50 +100 `} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("it does not print %q but\n%s", want, out.String())
		}
	}
	if runtime.GOOS == "linux" && !regexp.MustCompile(`\n40 +50 +100 +\d+ kB +\d+ kB`).MatchString(out.String()) {
		t.Errorf("it does not tell what a child holds:\n%s", out.String())
	}
}

// TestScaleIsVerified shows that the checks would notice a wrong result.
func TestScaleIsVerified(t *testing.T) {
	s, err := build(filepath.Join(t.TempDir(), "ring"), fewKeys)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(contests []*contest) {
		t.Helper()
		for _, c := range contests {
			if err := c.verify(); err != nil {
				t.Error(err)
			}
			if c.ours.check([]byte("wrong")) == nil || c.ours.check(nil) == nil {
				t.Errorf("%s: the check takes anything", c.name)
			}
		}
	}
	verify(openContests(s, s))
	u, end, err := s.use()
	if err != nil {
		t.Fatal(err)
	}
	verify(useContests(u, u))
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestScaleRefuses(t *testing.T) {
	for _, c := range []struct {
		name         string
		keys, rounds int
		span         time.Duration
	}{
		{"too few keys", fewKeys - 1, 1, time.Millisecond},
		{"no rounds", fewKeys, 0, time.Millisecond},
		{"no time", fewKeys, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := scale(io.Discard, c.keys, 1, c.rounds, c.span); err == nil {
				t.Error("no error")
			}
		})
	}
}

// BenchmarkContests is for profiles: go test -bench '/^Encrypt_32_B$/keyring' -cpuprofile cpu.out.
func BenchmarkContests(b *testing.B) {
	_, all := newContests(b)
	benchmark(b, all)
}

// BenchmarkWire is for profiles, too: go test -bench 'Wire/^Encrypt,_8/keyring' -cpuprofile cpu.out.
func BenchmarkWire(b *testing.B) {
	_, all := newWireContests(b)
	benchmark(b, all)
}

func benchmark(b *testing.B, contests []*contest) {
	for _, c := range contests {
		b.Run(c.name, func(b *testing.B) {
			if err := c.verify(); err != nil { // which makes what is not there yet
				b.Fatal(err)
			}
			for _, w := range c.ways() {
				b.Run(w.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := w.op(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
