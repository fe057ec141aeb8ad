package identities_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms/identities"
	"github.com/claviger/kms/internal/bubble"
)

// A watcher is a Directory that is watched, on the clock of a bubble.
type watcher struct {
	*identities.Directory
	reports chan error
}

const interval = time.Minute

func watch(t *testing.T, d *identities.Directory, interval time.Duration) *watcher {
	w := &watcher{d, make(chan error, 1000)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Watch(ctx, interval, func(err error) { w.reports <- err })
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return w
}

// after lets time pass and returns what was reported meanwhile: the text of an error, "ok" for nil.
func (w *watcher) after(d time.Duration) (reports []string) {
	time.Sleep(d)
	synctest.Wait()
	for {
		select {
		case err := <-w.reports:
			switch {
			case err == nil:
				reports = append(reports, "ok")
			case errors.Is(err, fs.ErrNotExist):
				reports = append(reports, "not there: "+err.Error())
			default:
				reports = append(reports, err.Error())
			}
		default:
			return reports
		}
	}
}

// wants compares what was reported in three intervals with the beginnings of one text each.
func (w *watcher) wants(t *testing.T, id string, texts ...string) {
	t.Helper()
	reports := w.after(3 * interval)
	if len(reports) != len(texts) {
		t.Errorf("reports %q, want %q", reports, texts)
		return
	}
	for i, want := range texts {
		if !strings.Contains(reports[i], want) {
			t.Errorf("report %q, want %q", reports[i], want)
		}
	}
	if got := w.Identity(iam + "user/a"); got == nil || got.ID != id {
		t.Errorf("the user is %v, want %s", got, id)
	}
}

func withID(id string) string { return userWith(`"UserId": "` + id + `"`) }

// TestWatch: changes take effect, what cannot be read does not, and each is reported once.
func TestWatch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d, path := open(t, withID("A"))
		w := watch(t, d, interval)
		w.wants(t, "A")
		write(t, path, withID("B"))
		w.wants(t, "B", "ok")
		write(t, path, withID("B")+"\n") // the same in other words
		w.wants(t, "B")
		check(t, os.WriteFile(path, []byte(withID("C")), 0o600)) // in place
		w.wants(t, "C", "ok")
		write(t, path, withID("D")[:20])
		w.wants(t, "C", "iam.json:1:")
		write(t, path, `{"UserDetailList": {}}`)
		w.wants(t, "C", "UserDetailList: must be a list")
		check(t, os.Remove(path))
		w.wants(t, "C", "not there")
		write(t, path, withID("C"))
		w.wants(t, "C", "ok")
		write(t, path, withID("D"))
		if w.after(interval/2) != nil || w.Identity(iam+"user/a").ID != "C" {
			t.Error("before the interval was over")
		}
		check(t, w.Reload()) // and nothing is left to report
		w.wants(t, "D")
		check(t, os.Rename(path, path+".aside"))
		w.wants(t, "D", "not there")
		check(t, os.Rename(path+".aside", path)) // the same file as before
		w.wants(t, "D", "ok")
	})
}

// TestWatchedDirectory: files come, and their changes, but none goes until somebody says so.
func TestWatchedDirectory(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		users, limits := filepath.Join(dir, "users.json"), filepath.Join(dir, "limits.json")
		control := `{"Accounts": [{"Id": "111122223333", "ServiceControlPolicies": [[` + deny + `]]}]}`
		write(t, users, withID("A"))
		d, err := identities.Open(dir)
		check(t, err)
		w := watch(t, d, interval)
		limited := func(want bool) {
			t.Helper()
			if got := len(w.Account("111122223333").ServiceControl) > 0; got != want {
				t.Errorf("limited: %v", got)
			}
		}
		limited(false)
		write(t, limits, control)
		w.wants(t, "A", "ok")
		limited(true)
		check(t, os.Remove(limits))
		w.wants(t, "A", "limits.json is gone: what it said stays in force until it is back, or until Reload")
		limited(true)
		write(t, users, withID("B")) // does not take effect either: files are taken together
		w.wants(t, "A")
		write(t, limits, control)
		w.wants(t, "B", "ok")
		write(t, limits, `{}`)
		w.wants(t, "B", "ok")
		limited(false)
		write(t, limits, control)
		w.wants(t, "B", "ok")
		check(t, os.Rename(limits, filepath.Join(dir, "other.json")))
		w.wants(t, "B", "limits.json is gone")
		check(t, w.Reload())
		w.wants(t, "B", "ok")
		limited(true)
		check(t, os.Remove(filepath.Join(dir, "other.json")))
		w.wants(t, "B", "other.json is gone")
		check(t, w.Reload())
		w.wants(t, "B", "ok")
		limited(false)
		check(t, os.RemoveAll(dir))
		w.wants(t, "B", "not there")
	})
}

// TestUnseenChange: a file that is changed just after it was read, in place, to the same size and at the same time by the clock of its file system, is read again.
func TestUnseenChange(t *testing.T) {
	for _, interval := range []time.Duration{100 * time.Millisecond, 2 * time.Second, time.Hour} {
		bubble.Test(t, func(t *testing.T) {
			d, path := open(t, withID("A"))
			unseen := func(id string) {
				info, err := os.Stat(path)
				check(t, err)
				check(t, os.WriteFile(path, []byte(withID(id)), 0o600))
				check(t, os.Chtimes(path, time.Time{}, info.ModTime()))
			}
			w := watch(t, d, interval)
			unseen("B")
			w.after(2*time.Second + 2*interval)
			if got := w.Identity(iam + "user/a").ID; got != "B" {
				t.Errorf("every %v: %s after the file was opened", interval, got)
			}
			write(t, path, withID("C")+" ")
			w.after(interval) // and it is read
			if got := w.Identity(iam + "user/a").ID; got != "C" {
				t.Errorf("every %v: %s after it was replaced", interval, got)
			}
			check(t, os.Truncate(path, int64(len(withID("D")))))
			w.after(interval)
			unseen("D")
			w.after(2*time.Second + 2*interval)
			if got := w.Identity(iam + "user/a").ID; got != "D" {
				t.Errorf("every %v: %s after it was changed", interval, got)
			}
			unseen("E") // now that it has been the same for long, no file system would hide it, and nobody looks
			w.after(2*time.Second + 2*interval)
			if got := w.Identity(iam + "user/a").ID; got != "D" {
				t.Errorf("every %v: %s, read without a reason", interval, got)
			}
		})
	}
}

// TestWatchEnds with its context, and reports of what cannot be reloaded at all.
func TestWatchEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := parse(t, withID("A"))
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		reports := 0
		began := time.Now()
		d.Watch(ctx, interval, func(err error) {
			if reports++; err == nil {
				t.Error("reloaded")
			}
		})
		if reports != 1 || time.Since(began) != time.Hour {
			t.Errorf("%d reports, %v", reports, time.Since(began))
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("watched without a report")
		}
	}()
	parse(t, `{}`).Watch(t.Context(), interval, nil)
}
