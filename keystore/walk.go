package keystore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// How many records a walk asks for: few at first, since many a walk ends with the first record that does not concern it.
const (
	walkFirst = 10
	walkPage  = 100
)

// Walk yields every record of s that can be read and whose name begins with prefix, in the order of the names. In the place of what cannot be read it yields a
// [*DamageError], with a zero Record, and goes on behind it. A DamageError without Resume, and every other error, is the last that it yields.
//
// The records are those of several Lists: what is changed during the walk may be seen as it was before or after. A walk ends with its context, also where the store
// does not look at it and lists without end.
func Walk(ctx context.Context, s Store, prefix string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for after, limit := "", walkFirst; ; limit = walkPage {
			if err := ctx.Err(); err != nil {
				yield(Record{}, err)
				return
			}
			page, err := s.List(ctx, prefix, after, limit)
			damage, isDamage := errors.AsType[*DamageError](err)
			if err != nil && !isDamage {
				yield(Record{}, err)
				return
			}
			begin := after
			for _, r := range page {
				if r.Name <= after || !strings.HasPrefix(r.Name, prefix) {
					yield(Record{}, fmt.Errorf("keystore: store lists %q, which is not after %q with prefix %q", r.Name, after, prefix))
					return
				}
				if !yield(r, nil) {
					return
				}
				after = r.Name
			}
			switch {
			case isDamage && damage.Resume == "":
				yield(Record{}, err)
				return
			case isDamage && (damage.Resume <= begin || damage.Resume < after):
				// A store that does not get on would be walked for ever, or show records twice.
				yield(Record{}, &DamageError{Name: damage.Name, Err: fmt.Errorf("%w, and the store would go on before it", err)})
				return
			case isDamage:
				if !yield(Record{}, err) {
					return
				}
				after = damage.Resume
			case len(page) < limit:
				return
			}
		}
	}
}
