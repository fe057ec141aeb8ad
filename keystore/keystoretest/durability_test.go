package keystoretest

import (
	"slices"
	"testing"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A durable mutant forgets something between two openings.
func TestDurableMutantsAreCaught(t *testing.T) {
	for _, tc := range []struct {
		name     string
		caughtBy string
		place    func(t *testing.T) func() (keystore.Store, error)
	}{
		{"forgets everything", "reopening keeps everything", func(*testing.T) func() (keystore.Store, error) {
			return func() (keystore.Store, error) { return memory.New(), nil }
		}},
		{"numbers records anew", "a revision read before reopening still holds after it", renumbering},
		{"counts revisions from one", "a revision is not used again after reopening", renumbering},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := slices.IndexFunc(durableRules, func(r durableRule) bool { return r.name == tc.caughtBy })
			if i < 0 {
				t.Fatalf("no rule is called %q", tc.caughtBy)
			}
			if err := durableRules[i].check(t.Context(), tc.place(t)); err == nil {
				t.Errorf("rule %q does not catch it", tc.caughtBy)
			}
		})
	}
}

// renumbering is a place that keeps names and values but no revisions.
func renumbering(t *testing.T) func() (keystore.Store, error) {
	var kept []keystore.Record
	return func() (keystore.Store, error) {
		m := newMutant()
		if len(kept) > 0 {
			if _, err := put(t.Context(), m, "filler", "", 0); err != nil { // so that a single record does not happen to keep its number
				return nil, err
			}
		}
		for _, r := range slices.Backward(kept) {
			if _, err := put(t.Context(), m, r.Name, string(r.Value), 0); err != nil {
				return nil, err
			}
		}
		m.close = func() error {
			var err error
			if kept, err = m.Store.List(t.Context(), "", "", keystore.MaxListLimit); err != nil {
				return err
			}
			return m.Store.Close()
		}
		return m, nil
	}
}
