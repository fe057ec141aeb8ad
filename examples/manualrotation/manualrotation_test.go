package main

import (
	"regexp"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestManualRotation runs the program.
func TestManualRotation(t *testing.T) {
	out, err := program.Command(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ids := regexp.MustCompile(`names key ([0-9a-f]{8})`).FindAllSubmatch(out, -1)
	if len(ids) != 2 {
		t.Fatalf("the alias names %d keys, want 2\n%s", len(ids), out)
	}
	a, b := string(ids[0][1]), string(ids[1][1])
	want := "alias/customers names key " + a + "\n" +
		"  row 1  key " + a + "  Ada\n  row 2  key " + a + "  Grace\n  row 3  key " + a + "  Mary\n" +
		"alias/customers names key " + b + ": old rows still decrypt, a new row is under the new key\n" +
		"  row 1  key " + a + "  Ada\n  row 2  key " + a + "  Grace\n  row 3  key " + a + "  Mary\n  row 4  key " + b + "  Katherine\n" +
		"3 rows were moved, and key " + a + " is disabled: nothing needs it\n" +
		"  row 1  key " + b + "  Ada\n  row 2  key " + b + "  Grace\n  row 3  key " + b + "  Mary\n  row 4  key " + b + "  Katherine\n"
	if a == b || string(out) != want {
		t.Errorf("it prints\n%s\nwant\n%s", out, want)
	}
}

// TestMove moves what is under the old key, once, and what NeedsReEncrypt would not have found.
func TestMove(t *testing.T) {
	ring, err := kms.Open(t.Context(), kms.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old, err := newKey(t.Context(), ring)
	must(err)
	must(ring.CreateAlias(t.Context(), alias, old.ARN))
	rows := &table{client: ring.As(crm)}
	must(rows.insert(t.Context(), "Ada"))
	next, err := newKey(t.Context(), ring)
	must(err)
	must(ring.UpdateAlias(t.Context(), alias, next.ARN))
	if needed, err := rows.client.NeedsReEncrypt(t.Context(), rows.rows[0].name); needed || err != nil {
		t.Errorf("NeedsReEncrypt says %v, %v", needed, err)
	}
	for _, want := range []int{1, 0} {
		if n, err := rows.move(t.Context()); n != want || err != nil || rows.rows[0].keyARN != next.ARN {
			t.Errorf("%d rows moved, %v, want %d; now under %s", n, err, want, rows.rows[0].keyARN)
		}
	}
}
