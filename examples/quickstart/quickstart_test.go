package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/examples/internal/program"
)

const testPassphrase = "mellow canary at the harbour"

func TestMain(m *testing.M) { program.Main(m, main) }

// start runs the program, and checks its exit code and that it keeps the passphrase to itself.
func start(t *testing.T, passphrase string, exit int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := program.Command(t, args...)
	cmd.Env = append(cmd.Env, "KMS_PASSPHRASE="+passphrase)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	if code := cmd.ProcessState.ExitCode(); code != exit {
		t.Fatalf("exit code %d, want %d\n%s%s", code, exit, &out, &errs)
	}
	if strings.Contains(out.String()+errs.String(), testPassphrase) {
		t.Error("the program prints the passphrase")
	}
	return out.String(), errs.String()
}

// expect looks for lines, in their order.
func expect(t *testing.T, output string, lines ...string) {
	t.Helper()
	rest := output
	for _, line := range lines {
		at := regexp.MustCompile(`(?m)^` + line + `$`).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no line matches %q after what was found before, in\n%s", line, output)
		}
		rest = rest[at[1]:]
	}
}

const (
	denial = `  User: arn:aws:sts::111122223333:assumed-role/stranger/stranger is not authorized to perform: kms:Decrypt on resource: ` +
		`arn:aws:kms:eu-central-1:111122223333:key/\S+ because no identity-based policy allows the kms:Decrypt action`
	rotated = `  and rotated the key between, as role security: it now has `
)

func TestQuickstart(t *testing.T) {
	dir := t.TempDir()
	out, _ := start(t, testPassphrase, 0, "-dir", dir)
	expect(t, out,
		`Keyring [0-9a-f]{32} in .*`,
		`Key \S+ created`,
		rotated+`2 versions of key material`,
		`  sample\.txt\.1\.sealed: version 1 \(.*\), 4195538 bytes, the same as sample\.txt`,
		`  sample\.txt\.2\.sealed: version 2 \(.*\), 4195538 bytes, the same as sample\.txt`,
		`Moved sample\.txt\.1\.sealed to the newest version`,
		`  sample\.txt\.1\.sealed: version 2 \(.*\), 4195538 bytes, the same as sample\.txt`,
		`Refused role stranger: AccessDeniedException`,
		denial,
		`Closed the keyring and opened it again`,
		`  sample\.txt\.2\.sealed: version 2 \(.*\), 4195538 bytes, the same as sample\.txt`,
		`  \S+  root +CreateKey +\S+ +ok`,
		`  \S+  role/app +GenerateDataKey +alias/quickstart +ok`,
		`  \S+  role/security +RotateKeyOnDemand +\S+ +ok`,
		`  \S+  role/app +ReEncrypt +\S+ +ok`,
		`  \S+  role/stranger +Decrypt +alias/quickstart +AccessDenied`,
		`  \S+  role/app +Decrypt +alias/quickstart +ok`,
	)
	if n := strings.Count(out, "\n"); n > 40 {
		t.Errorf("%d lines are too many to read", n)
	}

	out, _ = start(t, testPassphrase, 0, "-dir", dir) // the ring, the key and the alias are there
	expect(t, out,
		`Key \S+ found`,
		rotated+`3 versions of key material`,
		`  sample\.txt\.1\.sealed: version 2 .*`,
		`  sample\.txt\.2\.sealed: version 3 .*`,
		`Refused role stranger: AccessDeniedException`,
		`Closed the keyring and opened it again`,
	)

	_, errs := start(t, "another", 1, "-dir", dir)
	expect(t, errs, `quickstart: kms: open: .*wrong root key.*`, `Is KMS_PASSPHRASE what it was when these keys were made\?`)
}

func TestOwnFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(file, []byte("Dear reader"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := start(t, "", 0, file)
	expect(t, out,
		`  under the passphrase of the demonstration; KMS_PASSPHRASE sets another`,
		`  letter\.txt\.1\.sealed: version 1 \(.*\), 11 bytes, the same as letter\.txt`,
	)
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("%v, and beside the file there is %v", err, left)
	}
	_, errs := start(t, "", 1, file+"x")
	expect(t, errs, `quickstart: open .*letter\.txtx: no such file or directory`)
	_, errs = start(t, "", 2, file, file)
	expect(t, errs, `usage: quickstart .*`)
}

// TestKeyThatRotatedEnough runs in a directory whose key has had all its rotations on demand.
func TestKeyThatRotatedEnough(t *testing.T) {
	dir := t.TempDir()
	ring, err := openKeyring(t.Context(), dir, testPassphrase, new(audit.Memory))
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	key, _, err := ring.ensureKey(t.Context())
	for n := 0; err == nil; n++ {
		if n == 100 {
			t.Fatal("there is no limit to rotations")
		}
		_, err = ring.RotateKeyOnDemand(t.Context(), key.KeyID)
	}
	if !errors.Is(err, kms.ErrLimitExceeded) {
		t.Fatal(err)
	}
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	out, _ := start(t, testPassphrase, 0, "-dir", dir)
	expect(t, out,
		`Key \S+ found`,
		`  no rotation between: .*`,
		`  sample\.txt\.1\.sealed: version 26 .*`,
		`Nothing to move: sample\.txt\.1\.sealed is under the newest version`,
		`Closed the keyring and opened it again`,
	)
}

// TestSealedFileIsBound exchanges what belongs to two sealed files.
func TestSealedFileIsBound(t *testing.T) {
	dir := t.TempDir()
	ring, err := openKeyring(t.Context(), dir, testPassphrase, new(audit.Memory))
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if _, _, err := ring.ensureKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, text := ring.As(app), filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(sampleText(100)), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		if err := sealFile(t.Context(), client, alias, text, path); err != nil {
			t.Fatal(err)
		}
		if files[name], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	body := len(files["a"]) - 116 // 100 bytes and a tag
	for _, c := range []struct {
		name    string
		content []byte
		want    error
	}{
		{"as it was", files["a"], nil},
		{"another file under this name", files["b"], kms.ErrInvalidCiphertext},
		{"header of another file", append(bytes.Clone(files["b"][:body]), files["a"][body:]...), kms.ErrInvalidCiphertext},
		{"body of another file", append(bytes.Clone(files["a"][:body]), files["b"][body:]...), errBody},
		{"header alone", files["a"][:body], errBody},
		{"part of a header", files["a"][:body-1], errNotSealed},
		{"nothing", nil, errNotSealed},
		{"the plaintext", []byte(sampleText(100)), errNotSealed},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "a")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			var back bytes.Buffer
			if _, err := openFile(t.Context(), client, alias, path, &back); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if c.want != nil && back.Len() > 0 {
				t.Errorf("it gives %d bytes nevertheless", back.Len())
			}
		})
	}
}
