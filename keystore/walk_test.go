package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// A lister is a store of which only List is used.
type lister struct {
	keystore.Store
	list func(prefix, after string, limit int) ([]keystore.Record, error)
	n    int // calls
}

func (l *lister) List(_ context.Context, prefix, after string, limit int) ([]keystore.Record, error) {
	if l.n++; l.n > 1000 {
		return nil, errors.New("walked for ever")
	}
	return l.list(prefix, after, limit)
}

func records(names ...string) []keystore.Record {
	page := make([]keystore.Record, len(names))
	for i, name := range names {
		page[i] = keystore.Record{Name: name}
	}
	return page
}

// walk returns the names and, as "!" and where it goes on, the damage that a walk yields, and the error that ended it.
func walk(t *testing.T, s keystore.Store, prefix string) (seen []string, end error) {
	t.Helper()
	for r, err := range keystore.Walk(t.Context(), s, prefix) {
		if end != nil {
			t.Fatalf("goes on after %v", end)
		}
		d, isDamage := errors.AsType[*keystore.DamageError](err)
		switch {
		case isDamage && d.Resume != "":
			seen = append(seen, "!"+d.Resume)
		case err != nil:
			end = err
		default:
			seen = append(seen, r.Name)
		}
	}
	return seen, end
}

var errTorn = errors.New("torn")

func TestWalk(t *testing.T) {
	damage := func(resume string) error { return &keystore.DamageError{Resume: resume, Err: errTorn} }
	for _, tc := range []struct {
		name string
		list func(prefix, after string, limit int) ([]keystore.Record, error)
		want []string
		end  error
	}{
		{"nothing", func(string, string, int) ([]keystore.Record, error) { return nil, nil }, nil, nil},
		{"damage between records", func(_, after string, _ int) ([]keystore.Record, error) {
			switch {
			case after < "p/b":
				return records("p/a"), damage("p/b")
			case after < "p/d":
				return nil, damage("p/d")
			default:
				return records("p/e"), nil
			}
		}, []string{"p/a", "!p/b", "!p/d", "p/e"}, nil},
		{"damage to the end", func(string, string, int) ([]keystore.Record, error) { return records("p/a"), damage("") }, []string{"p/a"}, keystore.ErrDamaged},
		{"another error", func(string, string, int) ([]keystore.Record, error) { return nil, keystore.ErrClosed }, nil, keystore.ErrClosed},
		{"goes on where it began", func(_, after string, _ int) ([]keystore.Record, error) {
			return nil, damage(max(after, "p/a"))
		}, []string{"!p/a"}, keystore.ErrDamaged},
		{"goes on before what it listed", func(string, string, int) ([]keystore.Record, error) {
			return records("p/a", "p/c"), damage("p/b")
		}, []string{"p/a", "p/c"}, keystore.ErrDamaged},
		{"lists what was", func(string, string, int) ([]keystore.Record, error) {
			return slices.Repeat(records("p/a"), 100), nil
		}, []string{"p/a"}, nil},
		{"lists another prefix", func(string, string, int) ([]keystore.Record, error) { return records("q"), nil }, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &lister{list: tc.list}
			seen, end := walk(t, s, "p/")
			if !slices.Equal(seen, tc.want) {
				t.Errorf("got %q, want %q", seen, tc.want)
			}
			broken := strings.HasPrefix(tc.name, "lists")
			if tc.end != nil && !errors.Is(end, tc.end) || (tc.end != nil || broken) != (end != nil) || s.n > 3 {
				t.Errorf("ended after %d calls with %v, want %v", s.n, end, tc.end)
			}
			if errors.Is(end, keystore.ErrDamaged) && !errors.Is(end, errTorn) {
				t.Errorf("%v does not tell the cause", end)
			}
		})
	}
}

func TestWalkStops(t *testing.T) {
	s := memory.New()
	for i := range 250 {
		if _, err := s.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: fmt.Sprintf("p/%03d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if seen, err := walk(t, s, "p/"); len(seen) != 250 || err != nil {
		t.Errorf("%d records, %v", len(seen), err)
	}
	for _, tc := range []struct{ wanted, read int }{{1, 10}, {10, 10}, {11, 110}, {110, 110}, {111, 210}, {250, 250}} {
		read := 0
		l := &lister{list: func(prefix, after string, limit int) ([]keystore.Record, error) {
			page, err := s.List(t.Context(), prefix, after, limit)
			read += len(page)
			return page, err
		}}
		i := 0
		for range keystore.Walk(t.Context(), l, "p/") {
			if i++; i == tc.wanted {
				break
			}
		}
		if i != tc.wanted || read != tc.read {
			t.Errorf("for %d records it reads %d and shows %d, want %d read", tc.wanted, read, i, tc.read)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range keystore.Walk(ctx, s, "") {
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("after its context: got %v, want Canceled", last)
	}
}

// TestWalkEndsWithItsContext: also where the store does not look at it, and lists without end.
func TestWalkEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	names := 0
	endless := &lister{}
	endless.list = func(prefix, _ string, limit int) ([]keystore.Record, error) {
		switch endless.n {
		case 3:
			cancel()
		case 10:
			return nil, errTorn
		}
		page := make([]keystore.Record, limit)
		for i := range page {
			names++
			page[i].Name = fmt.Sprintf("%s%06d", prefix, names)
		}
		return page, nil
	}
	var last error
	for _, last = range keystore.Walk(ctx, endless, "p/") {
	}
	if !errors.Is(last, context.Canceled) || endless.n != 3 {
		t.Errorf("ended after %d calls with %v", endless.n, last)
	}
}
