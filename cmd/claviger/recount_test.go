package main

import (
	"os"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
)

// TestRecount: what a store has lost is told, accepted only by the word for it, recorded, and told no more.
func TestRecount(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(s scene) (total string){
		"a damaged total": func(s scene) string {
			s.put("total/"+s.a[:2], []byte("x"))
			return s.a[:2] + ": damaged, moved or forged\n"
		},
		"an older key": func(s scene) string {
			old := s.value("key/" + s.b)
			s.use("", func(ring *kms.Keyring) { ok(s.t, ring.DisableKey(s.t.Context(), s.b)) })
			s.put("key/"+s.b, old)
			return s.b[:2] + ": the store has "
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := copyScene(t)
			found := "total/" + do(s)
			before := s.read("keys.db")
			recount := append([]string{"recount"}, with("--audit", "trail")...)
			s.want(s.run(recount...), 2, found, "claviger: nothing was changed: with --accept ")
			s.want(s.run(append(recount, "--accept=no")...), 2, "", "--accept: this value is not one that it takes")
			s.want(s.run(append(recount, "--accept", "--anchor", "none")...), 2, "", "--anchor: an anchor is there to refuse what a recount accepts: ")
			if _, err := os.Stat("/dev/full"); err == nil {
				s.want(s.run(append([]string{"recount", "--accept"}, with("--audit", "/dev/full")...)...), 2, found, "kms: Recount: ")
			}
			s.want(s.check(), 1, found, "")
			if s.read("keys.db") != before || s.read("trail") != "" {
				t.Error("a recount that was refused changed something")
			}
			s.want(s.run(append(recount, "--accept")...), 0, found, "")
			s.want(s.check(), 0, whole, "")
			if trail := s.read("trail"); strings.Count(trail, "\n") != 1 || !strings.Contains(trail, `"Recount"`) {
				t.Errorf("the trail is %q", trail)
			}
			if r := s.run(append(recount, "--accept")...); r.code != done || !strings.HasSuffix(r.out, whole+"ring "+s.id+" is recounted\n") {
				t.Errorf("once more: %+v", r)
			}
		})
	}
}

// TestRecountEndsAnAnchor: the anchor of before refuses a store that was recounted, and a new one takes it.
func TestRecountEndsAnAnchor(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	must(anchor.Create(s.path("anchor")))(t)
	s.use("anchor", func(ring *kms.Keyring) { ok(t, ring.DisableKey(t.Context(), s.a)) })
	s.put("ledger", []byte("x"))
	s.want(s.check("--anchor", "anchor"), 1, "ledger: damaged, moved or forged\n", "claviger: the ring does not open with an anchor, ")
	s.want(s.check(), 1, "ledger: damaged, moved or forged\n", "")
	s.want(s.run(append([]string{"recount", "--accept"}, opening...)...), 0, "is recounted\n", "")
	s.want(s.check(), 0, whole, "")
	s.want(s.check("--anchor", "anchor"), 1, "ledger: ", "make a new anchor")
	s.want(s.run("anchor", "create", "--file", "next"), 0, "made next\n", "")
	s.want(s.run(append([]string{"maintain", "--anchor", "next"}, opening...)...), 0, "rotated 0", "")
	s.want(s.check("--anchor", "next"), 0, whole, "")
	must(anchor.Create(s.path("third")))(t)
	s.put("ledger", nil)
	s.put("total/"+s.a[:2], []byte("x"))
	s.want(s.check("--anchor", "third"), 1, "total/"+s.a[:2]+": damaged, moved or forged\n", "claviger: the ring does not open with an anchor, ")
}
