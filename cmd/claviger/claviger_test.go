package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
	"github.com/claviger/kms/rootkey/passphrase"
)

// as says what a copy of the test binary is to be: the command, or a program that has a store open.
const as = "CLAVIGER_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(as) {
	case "command":
		main()
	case "holder":
		if err := hold(os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	default:
		code := m.Run()
		if common.dir != "" {
			_ = os.RemoveAll(common.dir)
		}
		os.Exit(code)
	}
}

// hold keeps a store open until its standard input ends.
func hold(path string) error {
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

func self(t testing.TB, what string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	ok(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), as+"="+what)
	return cmd
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

const (
	canary = "canary passphrase 5f2e"
	fresh  = "fresh canary 91d0"
)

// cheap keeps the derivations of the tests short.
var cheap = passphrase.Options{Memory: 7168, Time: 1, Threads: 1}

// A scene is a directory with a ring in keys.db. It opens with pass.txt, and as "recovery" with spare.key. The first of its two keys has two versions, an alias and
// automatic rotation.
type scene struct {
	t    testing.TB
	dir  string
	a, b string // ids of the keys
	id   string // of the ring
}

func (s scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s scene) write(name, text string) { ok(s.t, os.WriteFile(s.path(name), []byte(text), 0o600)) }

func (s scene) read(name string) string { return string(must(os.ReadFile(s.path(name)))(s.t)) }

// newScene returns a ring of its own.
func newScene(t testing.TB) scene {
	t.Helper()
	return makeScene(t, t.TempDir())
}

// common is a scene that is made once, since that takes many commits.
var common struct {
	once sync.Once
	scene
}

// copyScene returns a copy of the one ring that most tests begin with.
func copyScene(t testing.TB) scene {
	t.Helper()
	common.once.Do(func() {
		dir := must(os.MkdirTemp("", "claviger"))(t)
		common.scene = makeScene(t, dir)
	})
	s := common.scene
	s.t, s.dir = t, t.TempDir()
	ok(t, os.CopyFS(s.dir, os.DirFS(common.dir)))
	for _, file := range must(os.ReadDir(s.dir))(t) { // CopyFS opens them to others
		ok(t, os.Chmod(s.path(file.Name()), 0o600))
	}
	return s
}

func makeScene(t testing.TB, dir string) scene {
	t.Helper()
	s := scene{t: t, dir: dir}
	s.write("pass.txt", canary+"\n")
	s.write("fresh.txt", fresh+"\n")
	must(keyfile.Create(s.path("spare.key")))(t)
	must(keyfile.Create(s.path("next.key")))(t)
	s.use("", func(ring *kms.Keyring) {
		ctx := t.Context()
		policy := must(ring.DefaultPolicy([]kms.Caller{kms.Root()}, nil))(t)
		s.a = must(ring.CreateKey(ctx, kms.CreateKeyInput{Policy: policy}))(t).KeyID
		s.b = must(ring.CreateKey(ctx, kms.CreateKeyInput{Policy: policy}))(t).KeyID
		s.id = ring.ID()
		ok(t, ring.CreateAlias(ctx, "alias/a", s.a))
		must(ring.RotateKeyOnDemand(ctx, s.a))(t)
		ok(t, ring.EnableKeyRotation(ctx, s.a, 0))
	})
	return s
}

// use opens the ring as a program would, with an anchor or "".
func (s scene) use(anchorFile string, f func(*kms.Keyring)) {
	s.t.Helper()
	spare := must(keyfile.Open(s.path("spare.key")))(s.t)
	cfg := kms.Config{Root: must(passphrase.New([]byte(canary), &cheap))(s.t), RecoveryRoots: []rootkey.Root{rootkey.WithName("recovery", spare)}}
	if anchorFile != "" {
		cfg.Anchor = must(anchor.Open(s.path(anchorFile)))(s.t)
	}
	s.edit(func(store keystore.Store) {
		cfg.Store = store
		ring := must(kms.Open(s.t.Context(), cfg))(s.t)
		f(ring)
		ok(s.t, ring.Close())
	})
}

// edit opens the store without a ring.
func (s scene) edit(f func(keystore.Store)) {
	s.t.Helper()
	store := must(bolt.Open(s.path("keys.db"), nil))(s.t)
	f(store)
	ok(s.t, store.Close())
}

func (s scene) value(name string) (value []byte) {
	s.t.Helper()
	s.edit(func(store keystore.Store) { value = must(store.Get(s.t.Context(), name))(s.t).Value })
	return value
}

// put puts a value in place of a record's, or removes it.
func (s scene) put(name string, value []byte) {
	s.t.Helper()
	s.edit(func(store keystore.Store) {
		old, err := store.Get(s.t.Context(), name)
		if err != nil && !errors.Is(err, keystore.ErrNotFound) {
			s.t.Fatal(err)
		}
		c := keystore.Change{Op: keystore.Put, Name: name, Value: value, Revision: old.Revision}
		if value == nil {
			c.Op = keystore.Delete
		}
		must(store.Commit(s.t.Context(), []keystore.Change{c}))(s.t)
	})
}

// names lists the records with a prefix.
func (s scene) names(prefix string) (names []string) {
	s.t.Helper()
	s.edit(func(store keystore.Store) {
		for r, err := range keystore.Walk(s.t.Context(), store, prefix) {
			ok(s.t, err)
			names = append(names, r.Name)
		}
	})
	return names
}

// A result is what a run of the command left.
type result struct {
	code      int
	out, errs string
}

// run runs the command in the scene's directory, and searches all that it prints for secrets.
func (s scene) run(args ...string) result { return s.runWith("", args...) }

func (s scene) runWith(input string, args ...string) result {
	s.t.Helper()
	cmd := self(s.t, "command", args...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, isExit := errors.AsType[*exec.ExitError](err); !isExit {
			s.t.Fatal(err)
		}
	}
	r := result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	secrets := []string{canary, fresh}
	for _, name := range []string{"spare.key", "next.key"} {
		_, key, _ := strings.Cut(strings.TrimSpace(s.read(name)), ":")
		secrets = append(secrets, key)
	}
	for _, secret := range secrets {
		if len(secret) < 10 || strings.Contains(r.out+r.errs, secret) {
			s.t.Errorf("%q: a secret was printed: %s%s", args, r.out, r.errs)
		}
	}
	return r
}

// want compares an exit code, and looks for texts on the two outputs. An output of which nothing is wanted must be empty.
func (s scene) want(r result, code int, out, errs string) {
	s.t.Helper()
	if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.errs, errs) || (out == "" && r.out != "") || (errs == "" && r.errs != "") {
		s.t.Errorf("exit code %d, want %d\nstdout: %swant: %s\nstderr: %swant: %s", r.code, code, r.out, out, r.errs, errs)
	}
}

// opening are the flags that open the ring of a scene.
var opening = []string{"--store", "bolt:keys.db", "--passphrase-file", "pass.txt"}

func with(more ...string) []string { return append(opening[:len(opening):len(opening)], more...) }

func (s scene) check(more ...string) result {
	s.t.Helper()
	return s.run(append([]string{"check"}, with(more...)...)...)
}

const whole = "keys 2, versions 3, aliases 1, grants 0, tombstones 0, problems 0\n"

// TestCheck: what happened to a store is told by the exit code, and by a line with the name of the record or the cause. Nothing is changed by looking.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do   func(s scene)
		code int
		out  func(s scene) string
		errs string
	}{
		"whole": {func(scene) {}, 0, func(scene) string { return whole }, ""},
		"a flipped byte": {func(s scene) {
			v := s.value("key/" + s.a)
			v[len(v)-1] ^= 1
			s.put("key/"+s.a, v)
		}, 1, func(s scene) string { return "key/" + s.a + ": damaged, moved or forged\n" }, ""},
		"a flipped byte of the file": {func(s scene) {
			v, file := s.value("key/"+s.a), []byte(s.read("keys.db"))
			if !bytes.Contains(file, v) {
				s.t.Fatal("the record is not in the file")
			}
			flipped := bytes.Clone(v)
			flipped[len(v)/2] ^= 1
			s.write("keys.db", string(bytes.ReplaceAll(file, v, flipped)))
		}, 1, func(s scene) string { return "key/" + s.a + ": " }, ""},
		"a removed record": {func(s scene) { s.put(s.names("ver/" + s.a)[0], nil) }, 1, func(s scene) string { return "key/" + s.a + ": the material of version" }, ""},
		"a removed key":    {func(s scene) { s.put("key/"+s.b, nil) }, 1, func(s scene) string { return "total/" + s.b[:2] + ": " }, ""},
		"a rolled-back record": {func(s scene) {
			old := s.value("key/" + s.a)
			s.use("", func(ring *kms.Keyring) { ok(s.t, ring.DisableKey(s.t.Context(), s.a)) })
			s.put("key/"+s.a, old)
		}, 1, func(s scene) string { return "total/" + s.a[:2] + ": the store has " }, ""},
		"a name with line ends": {func(s scene) { s.put("other/\x1b[2J\nrecords 1, problems 0", []byte("x")) }, 1, func(scene) string {
			return `"other/\x1b[2J\nrecords 1, problems 0": no record of a keyring has such a name` + "\n"
		}, ""},
		"a damaged ring record": {func(s scene) { s.put("ring", []byte("x")) }, 1, func(scene) string {
			return "ring: damaged, moved or forged\nrecords 0, root keys 0 of 0, keys 0, versions 0, aliases 0, grants 0, tombstones 0, problems 1\n"
		}, "take a copy of the store from before"},
		"a removed ring record": {func(s scene) { s.put("ring", nil) }, 1, func(scene) string { return "ring: missing, and there are " }, "take a copy of the store from before"},
		"a damaged domain key":  {func(s scene) { s.put(s.names("domain/")[0], []byte("x")) }, 1, func(s scene) string { return s.names("domain/")[0] + ": damaged, moved or forged\n" }, "take a copy of the store from before"},
		"a removed domain key":  {func(s scene) { s.put(s.names("domain/")[0], nil) }, 1, func(scene) string { return "ring: sealed under a domain key that is missing or does not open\n" }, "take a copy of the store from before"},
		"a damaged newest meta page": {func(s scene) {
			file, page, newest := []byte(s.read("keys.db")), os.Getpagesize(), 0
			tx := func(i int) uint64 { return binary.NativeEndian.Uint64(file[i*page+64:]) }
			if tx(1) > tx(0) {
				newest = 1
			}
			file[newest*page+64] ^= 1
			s.write("keys.db", string(file))
		}, 1, func(scene) string { return "may be as old as the commit before the last\n" }, ""},
		"a truncated file":         {func(s scene) { file := s.read("keys.db"); s.write("keys.db", file[:3*os.Getpagesize()]) }, 2, nil, "keystore: stored data is damaged"},
		"an empty file":            {func(s scene) { s.write("keys.db", "") }, 2, nil, "file is empty"},
		"a file of something else": {func(s scene) { s.write("keys.db", strings.Repeat("no store ", 9999)) }, 2, nil, "never was a store"},
		"an empty store": {func(s scene) {
			ok(s.t, os.Remove(s.path("keys.db")))
			s.edit(func(keystore.Store) {})
		}, 2, nil, "the store is empty: it holds no ring"},
		"a ring under another root": {func(s scene) { s.write("pass.txt", "another\n") }, 2, nil, "its wrap is damaged: open the ring with another root key of it"},
		"a missing file":            {func(s scene) { ok(s.t, os.Remove(s.path("keys.db"))) }, 2, nil, "keys.db: no such file"},
		"a missing passphrase":      {func(s scene) { ok(s.t, os.Remove(s.path("pass.txt"))) }, 2, nil, "--passphrase-file: passphrase: stat pass.txt: no such file"},
		"an open passphrase file":   {func(s scene) { ok(s.t, os.Chmod(s.path("pass.txt"), 0o644)) }, 2, nil, "pass.txt has permissions 0644"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := copyScene(t)
			tc.do(s)
			before, _ := os.ReadFile(s.path("keys.db"))
			out := ""
			if tc.out != nil {
				out = tc.out(s)
			}
			r := s.check()
			s.want(r, tc.code, out, tc.errs)
			lines := strings.Split(r.out, "\n")
			if tc.code == problems && !strings.HasSuffix(lines[len(lines)-2], fmt.Sprintf("problems %d", len(lines)-2)) {
				t.Errorf("the problems are not one a line:\n%s", r.out)
			}
			after, err := os.ReadFile(s.path("keys.db"))
			if !bytes.Equal(before, after) || errors.Is(err, os.ErrNotExist) != (before == nil) {
				t.Error("the check changed the file")
			}
		})
	}
}

// TestCheckTriesRecoveryRoots: a recovery root key that could not open the ring is found while the other one still does.
func TestCheckTriesRecoveryRoots(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	both := []string{"--recovery-key-file", "recovery=spare.key"}
	s.want(s.check(both...), 0, "root keys 2 of 2, "+whole, "")
	s.want(s.check(), 0, "root keys 1 of 2, "+whole, "")
	s.want(s.check("--recovery-key-file", "recovery=next.key"), 1, `: its wrap does not open: root "recovery": keyfile: `, "")
	s.want(s.check("--recovery-key-file", "spare.key"), 1, `: no wrap for root "keyfile", which was given`, "")
	item := s.names("domain/")[0]
	v := s.value(item)
	v[len(v)-1] ^= 1
	s.put(item, v)
	s.want(s.check(both...), 1, item+`: its wrap does not open: root "recovery": keyfile: rootkey: wrong root key or damaged wrap`+"\n", "")
	s.want(s.check(), 0, "root keys 1 of 2, "+whole, "")
}

// TestFilesAreMade: a ring, with an anchor, lives on files that the command has made. None takes the place of another file.
func TestFilesAreMade(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	for _, args := range [][]string{{"key-file", "create"}, {"anchor", "create"}} {
		name := args[0]
		s.want(s.run(args...), 2, "", "--file: want a file")
		s.want(s.run(append(args, canary)...), 2, "", "takes flags only")
		s.want(s.run(append(args, "--file", "none/x")...), 2, "", "no such file")
		if r := s.run(append(args, "--file", name)...); r != (result{done, "made " + name + "\n", ""}) { // and not the key, for instance
			t.Errorf("%+v", r)
		}
		if info := must(os.Stat(s.path(name)))(t); info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		for _, there := range []string{name, "pass.txt", "."} {
			before, _ := os.ReadFile(s.path(there))
			s.want(s.run(append(args, "--file", there)...), 2, "", "exists")
			if after, _ := os.ReadFile(s.path(there)); !bytes.Equal(before, after) {
				t.Errorf("%s was overwritten", there)
			}
		}
	}
	s.want(s.run(append([]string{"root", "change", "--new-key-file", "key-file", "--anchor", "anchor"}, opening...)...), 0, "opens under: keyfile", "")
	s.want(s.run("check", "--store", "bolt:keys.db", "--key-file", "key-file", "--anchor", "anchor"), 0, "root keys 1 of 1, "+whole, "")
}

func TestAnotherRing(t *testing.T) {
	t.Parallel()
	s, other := copyScene(t), newScene(t)
	s.want(s.check("--ring-id", s.id), 0, whole, "")
	s.write("keys.db", other.read("keys.db"))
	s.want(s.check("--ring-id", s.id), 2, "", "the store holds ring "+other.id+", and Config.RingID pins another")
	s.want(s.run(append([]string{"id"}, opening...)...), 0, "ring "+other.id+"\naccount 000000000000\nregion local\npartition aws\n", "")
	foreign := copyScene(t)
	foreign.put("key/"+other.a, other.value("key/"+other.a))
	foreign.want(foreign.check(), 1, "key/"+other.a+": ", "")
}

func TestFileInUse(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	cmd := self(t, "holder", s.path("keys.db"))
	in, out := must(cmd.StdinPipe())(t), must(cmd.StdoutPipe())(t)
	ok(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	for _, args := range [][]string{{"check"}, {"id"}, {"maintain"}} {
		s.want(s.run(append(args, opening...)...), 2, "", "--store: bolt: open keys.db: bolt: file is in use: stop the program")
	}
	ok(t, in.Close())
	ok(t, cmd.Wait())
	s.want(s.check(), 0, whole, "")
}

// TestFlags: what is asked for by mistake is refused with words, and arguments are not repeated.
func TestFlags(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{}, "claviger: say what to do; see claviger --help"},
		{[]string{"root"}, "claviger: say what to do; see claviger root --help"},
		{[]string{canary}, "no such command; see claviger --help"},
		{[]string{"root", canary}, "no such command; see claviger root --help"},
		{[]string{"check", canary}, "takes flags only"},
		{[]string{"help", canary}, "no such command; see claviger --help"},
		{[]string{"help", "check", canary}, "no such command; see claviger --help"},
		{[]string{"--passphrase=" + canary, "check"}, "unknown flag: --passphrase; see claviger check --help"},
		{[]string{"check", "--passphrase", canary}, "unknown flag: --passphrase; see claviger check --help"},
		{[]string{"check", "-p" + canary}, "there is no such flag; see claviger check --help"},
		{[]string{"check", "--=" + canary}, "there is no such flag; see claviger check --help"},
		{[]string{"check", "--help=" + canary}, "--help: this value is not one that it takes; see claviger check --help"},
		{[]string{"check", "-h=" + canary}, "--help: this value is not one that it takes; see claviger check --help"},
		{[]string{"check", "--store"}, "--store: want a value"},
		{[]string{"check"}, "want one root key: --passphrase-file, --key-file or --tink-keyset-file"},
		{[]string{"check", "--passphrase-file", "pass.txt"}, "--store: want a store"},
		{[]string{"check", "--store", "memory", "--passphrase-file", "pass.txt"}, "a ring in memory is gone"},
		{[]string{"check", "--store", "redis:x", "--passphrase-file", "pass.txt"}, "no such kind of store"},
		{[]string{"check", "--store", "bolt:", "--passphrase-file", "pass.txt"}, "--store: stat : no such file"},
		{with("check", "--key-file", "spare.key"), "want one root key"},
		{with("check", "--recovery-passphrase-file", "pass.txt"), `two root keys are named "passphrase"`},
		{with("check", "--recovery-key-file", "pass.txt"), "--recovery-key-file: keyfile: pass.txt"},
		{with("check", "--recovery-key-file", "="+canary), "claviger: --recovery-key-file: the name is empty"},
		{with("check", "--ring-id", "x"), "Config.RingID"},
		{with("check", "--anchor", "none"), "--anchor: anchor: open none"},
		{with("check", "--recovery-tink-keyset-file", "-"), "want a file, not the standard input"},
		{with("root", "change"), "want one root key: --new-passphrase-file"},
	} {
		s.want(s.run(tc.args...), 2, "", tc.want)
	}
	for _, tc := range []struct {
		input string
		args  []string
		code  int
		out   string
		errs  string
	}{
		{canary + "\n", []string{"--passphrase-file", "-"}, 0, whole, ""},
		{s.read("spare.key"), []string{"--key-file", "recovery=-"}, 0, whole, ""},
		{"", []string{"--key-file", "recovery=spare.key"}, 0, whole, ""},
		{"", []string{"--key-file", "spare.key"}, 2, "", "no root of its name was given; it is wrapped under \"passphrase\", \"recovery\""},
		{canary + "\n", []string{"--passphrase-file", "-", "--recovery-key-file", "-"}, 2, "", "the standard input can give one secret only"},
		{strings.Repeat(canary, 999), []string{"--passphrase-file", "-"}, 2, "", "gives more than 4096 bytes"},
		{canary + "\n" + canary, []string{"--passphrase-file", "-"}, 2, "", "want one line"},
	} {
		s.want(s.runWith(tc.input, append([]string{"check", "--store", "bolt:keys.db"}, tc.args...)...), tc.code, tc.out, tc.errs)
	}
}

// commands are those that open a ring, changing those of them that change it.
var (
	changing = [][]string{{"maintain"}, {"recount", "--accept"}, {"domain-key", "rotate"}, {"root", "change", "--new-key-file", "next.key"}}
	commands = append([][]string{{"check"}, {"id"}}, changing...)
)

// TestCommandsMakeNoRing: a store that is missing or empty, or is none, stays as it is, and no file is made.
func TestCommandsMakeNoRing(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	ok(t, os.Remove(s.path("keys.db")))
	ok(t, os.Mkdir(s.path("directory"), 0o700))
	s.write("empty", "")
	s.write("other", strings.Repeat("no store ", 9999))
	before := must(os.ReadDir(s.dir))(t)
	for _, args := range commands {
		for file, want := range map[string]string{
			"keys.db":         "--store: stat keys.db: no such file or directory\n",
			"none/keys.db":    "--store: stat none/keys.db: no such file or directory\n",
			"directory":       "--store: bolt: open directory: bolt: file is not a key store of a known format: not a regular file\n",
			"empty":           "--store: bolt: open empty: keystore: stored data is damaged: file is empty\n",
			"other":           "--store: bolt: open other: keystore: stored data is damaged: both meta pages, or this never was a store",
			"other/keys.db":   "--store: stat other/keys.db: not a directory\n",
			"./directory/":    "--store: bolt: open ./directory/: bolt: file is not a key store",
			"../none/keys.db": "--store: stat ../none/keys.db: no such file or directory\n",
		} {
			s.want(s.run(append(args, "--store", "bolt:"+file, "--passphrase-file", "pass.txt")...), 2, "", want)
		}
	}
	for i, file := range must(os.ReadDir(s.dir))(t) {
		if i >= len(before) || file.Name() != before[i].Name() {
			t.Errorf("%s was made", file.Name())
		}
	}
	if s.read("empty") != "" || s.read("other") != strings.Repeat("no store ", 9999) {
		t.Error("a file that is no store was changed")
	}
	s.edit(func(keystore.Store) {})
	for _, args := range commands {
		s.want(s.run(append(args, opening...)...), 2, "", "the store is empty")
	}
	if names := s.names(""); len(names) != 0 {
		t.Errorf("%q", names)
	}
}

// TestRootChange: the old root is refused, the new ones open, and keys that were there are whole.
func TestRootChange(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	change := func(flags ...string) result {
		return s.run(append([]string{"root", "change", "--store", "bolt:keys.db"}, flags...)...)
	}
	opens := func(code int, flags ...string) {
		t.Helper()
		out, errs := whole, ""
		if code != done {
			out, errs = "", "wrong root key"
		}
		s.want(s.run(append([]string{"check", "--store", "bolt:keys.db"}, flags...)...), code, out, errs)
	}
	before := s.read("keys.db")
	s.want(change("--passphrase-file", "pass.txt", "--new-key-file", "next.key", "--new-recovery-key-file", "spare.key"), 2, "", `two root keys are named "keyfile"`)
	if s.read("keys.db") != before {
		t.Error("a change that was refused changed the file")
	}
	s.want(change("--passphrase-file", "pass.txt", "--new-passphrase-file", "fresh.txt", "--new-recovery-key-file", "recovery=spare.key"), 0,
		"ring "+s.id+" opens under: passphrase, recovery\n", "")
	opens(failed, "--passphrase-file", "pass.txt")
	opens(done, "--passphrase-file", "fresh.txt")
	opens(done, "--key-file", "recovery=spare.key")
	s.want(change("--key-file", "recovery=spare.key", "--new-key-file", "next.key"), 0, "ring "+s.id+" opens under: keyfile\n", "")
	opens(failed, "--passphrase-file", "fresh.txt")
	opens(failed, "--key-file", "recovery=spare.key")
	opens(done, "--key-file", "next.key")
}

// TestDomainKeyRotation: maintenance reseals everything, removes the old domain key, and the store is whole at every step.
func TestDomainKeyRotation(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	old := s.names("domain/")
	s.want(s.run(append([]string{"domain-key", "rotate"}, opening...)...), 2, "", `also wrapped under root "recovery"`)
	all := with("--recovery-key-file", "recovery=spare.key")
	s.want(s.run(append([]string{"domain-key", "rotate"}, all...)...), 0, "ring "+s.id+" seals under a new domain key\n", "")
	s.want(s.check(), 0, whole, "")
	records := len(s.names("")) - len(s.names("domain/")) - len(s.names("total/")) - 1 // totals change with what they count, and the ring's own record is under the new key
	s.want(s.run(append([]string{"maintain"}, all...)...), 0, fmt.Sprintf("rotated 0, marked 0, destroyed 0, resealed %d, postponed 0\n", records), "")
	if now := s.names("domain/"); len(now) != 1 || now[0] == old[0] {
		t.Errorf("domain keys %q, was %q", now, old)
	}
	s.want(s.check(), 0, whole, "")
	s.want(s.run(append([]string{"maintain"}, opening...)...), 0, "resealed 0,", "")
	s.put("key/"+s.a, []byte("x"))
	s.want(s.run(append([]string{"domain-key", "rotate"}, all...)...), 0, "new domain key\n", "")
	s.want(s.run(append([]string{"maintain"}, all...)...), 2, "rotated 0", "key/"+s.a)
}

// TestAudit: what changes a ring is recorded, and what cannot be recorded does not happen.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	before := s.read("keys.db")
	change := append([]string{"root", "change", "--new-passphrase-file", "fresh.txt", "--new-recovery-key-file", "recovery=spare.key"}, opening...)
	s.want(s.run(append(change, "--audit", ".")...), 2, "", "--audit: open .: is a directory")
	s.want(s.run("maintain", "--audit", "none", "--store", "bolt:missing.db", "--passphrase-file", "pass.txt"), 2, "", "missing.db: no such file")
	s.want(s.run("maintain", "--audit", "none", "--store", "bolt:keys.db", "--passphrase-file", "fresh.txt"), 2, "", "wrong root key")
	if _, err := os.Stat(s.path("none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a trail of nothing was left: %v", err)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		s.want(s.run(append(change, "--audit", "/dev/full")...), 2, "", "kms: ChangeRoots: ")
	}
	s.want(s.run("check", "--audit", "trail", "--store", "bolt:keys.db"), 2, "", "unknown flag: --audit")
	must(anchor.Create(s.path("anchor")))(t)
	for _, file := range []string{"pass.txt", "fresh.txt", "spare.key", "keys.db", "anchor"} { // an event after it, and nobody could read it any more
		before := s.read(file)
		s.want(s.run(append(change, "--audit", file)...), 2, "", "--audit: "+file+" holds something else than events, and is left as it is")
		if s.read(file) != before {
			t.Errorf("the trail was appended to %s", file)
		}
	}
	if s.read("keys.db") != before {
		t.Error("a change that was refused changed the file")
	}
	s.write("trail", "")
	s.want(s.run(append(change, "--audit", "trail")...), 0, "opens under", "")
	s.want(s.run("domain-key", "rotate", "--store", "bolt:keys.db", "--passphrase-file", "fresh.txt", "--recovery-key-file", "recovery=spare.key", "--audit", "trail"), 0, "new domain key", "")
	lines := strings.SplitAfter(s.read("trail"), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"ChangeRoots"`) || !strings.Contains(lines[1], `"RotateDomainKey"`) || strings.Contains(s.read("trail"), fresh) {
		t.Errorf("%q", lines)
	}
}

// TestAnchor: an older copy of the whole store is refused with the anchor, and found whole without it. A check moves neither.
func TestAnchor(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	must(anchor.Create(s.path("anchor")))(t)
	disable := func(id string) func(*kms.Keyring) {
		return func(ring *kms.Keyring) { ok(t, ring.DisableKey(t.Context(), id)) }
	}
	s.want(s.check("--anchor", "anchor"), 2, "", "never been opened with an anchor")
	s.use("anchor", disable(s.b))
	older, olderAnchor := s.read("keys.db"), s.read("anchor")
	s.want(s.check("--anchor", "anchor"), 0, whole, "")
	s.use("anchor", disable(s.a))
	newer, newerAnchor := s.read("keys.db"), s.read("anchor")

	s.write("keys.db", older)
	s.want(s.check("--anchor", "anchor"), 1, "ledger: the anchor stands at 3, and the store at 2\n", "make a new anchor")
	s.want(s.run(append([]string{"maintain", "--anchor", "anchor"}, opening...)...), 2, "", "ledger: the anchor stands at 3, and the store at 2")
	s.want(s.check(), 0, whole, "")

	s.write("keys.db", newer)
	s.write("anchor", olderAnchor)
	s.want(s.check("--anchor", "anchor"), 0, whole, "")
	if s.read("keys.db") != newer || s.read("anchor") != olderAnchor {
		t.Error("the check changed something")
	}
	s.want(s.run(append([]string{"maintain", "--anchor", "anchor"}, opening...)...), 0, "rotated 0", "")
	if s.read("anchor") < newerAnchor {
		t.Errorf("the anchor is %s, want at least %s", s.read("anchor"), newerAnchor)
	}
	s.use("", func(ring *kms.Keyring) { ok(t, ring.EnableKey(t.Context(), s.a)) }) // not counted
	s.want(s.check("--anchor", "anchor"), 0, whole, "")
	other := newScene(t)
	other.write("anchor", newerAnchor)
	other.want(other.check("--anchor", "anchor"), 2, "", "anchor: the mark is of another ring")
}

// TestInterrupted: a command whose context is over fails.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	args := []string{"check", "--store", "bolt:" + s.path("keys.db"), "--passphrase-file", s.path("pass.txt")}
	if code := run(ctx, args, strings.NewReader(""), &out, &errs); code != failed || out.Len() > 0 || !strings.Contains(errs.String(), "context canceled") {
		t.Errorf("%d %s%s", code, &out, &errs)
	}
}
