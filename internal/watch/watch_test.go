package watch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/internal/watch"
)

// TestRun: every change is reported, and what is wrong once for as long as it is the same.
func TestRun(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		type sight struct {
			changed bool
			err     error
		}
		a, b := errors.New("a"), errors.New("b")
		sights := []sight{{}, {true, nil}, {}, {true, nil}, {false, a}, {false, errors.New("a")}, {false, b}, {false, a}, {}, {}, {false, a}, {true, nil}, {}}
		want := []string{"2 <nil>", "4 <nil>", "5 a", "7 b", "8 a", "9 <nil>", "11 a", "12 <nil>"}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(sights))*time.Minute+time.Second)
		defer cancel()
		var got []string
		looks := 0
		watch.Run(ctx, time.Minute, func() (bool, error) {
			s := sights[looks]
			if looks++; time.Since(began) != time.Duration(looks)*time.Minute {
				t.Errorf("look %d after %v", looks, time.Since(began))
			}
			return s.changed, s.err
		}, func(err error) { got = append(got, fmt.Sprint(looks, " ", err)) })
		if looks != len(sights) || !slices.Equal(got, want) {
			t.Errorf("%d looks, reports %q, want %q", looks, got, want)
		}
	})
}
