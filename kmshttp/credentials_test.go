package kmshttp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/internal/sigv4test"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

const (
	secretCanary = "canary/secret+7b1d"
	tokenCanary  = "canary/token+90ce"
)

// A credentialsFile is a file of credentials that a test writes.
type credentialsFile struct {
	t    *testing.T
	path string
}

func newCredentialsFile(t *testing.T, entries ...string) credentialsFile {
	f := credentialsFile{t, filepath.Join(t.TempDir(), "keys.json")}
	f.write(entries...)
	return f
}

// entry is a credential with a secret, a principal and more members: `"via": …`.
func entry(id, principal string, more ...string) string {
	return fmt.Sprintf(`{"accessKeyId": %q, "secretAccessKey": %q, "principal": %q%s}`, id, secretCanary+id, principal, strings.Join(append([]string{""}, more...), ", "))
}

func (f credentialsFile) write(entries ...string) {
	f.text(`{"credentials": [` + strings.Join(entries, ",\n") + `]}`)
}

func (f credentialsFile) text(text string) {
	f.t.Helper()
	f.check(os.WriteFile(f.path+".new", []byte(text), 0o600))
	f.check(os.Rename(f.path+".new", f.path))
}

func (f credentialsFile) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f credentialsFile) open() *kmshttp.StaticCredentials {
	f.t.Helper()
	s, err := kmshttp.OpenCredentials(f.path)
	f.check(err)
	return s
}

// caller returns whose requests an access key of the file signs.
func (f credentialsFile) caller(id string) kms.Caller {
	f.t.Helper()
	c, err := f.open().Credential(f.t.Context(), id, "")
	f.check(err)
	return c.Caller
}

const account = "arn:aws:iam::" + kmstest.AccountID + ":"

// TestOpenCredentials: a key is found by its id, with what belongs to it, and no other one is.
func TestOpenCredentials(t *testing.T) {
	f := newCredentialsFile(t, entry("test", account+"root"), entry("T-2_x", account+"role/ops/app", `"session": "pod-7"`, `"sessionToken": "`+tokenCanary+`"`),
		entry(strings.Repeat("A", 128), "logs.amazonaws.com"))
	s := f.open()
	for id, want := range map[string]kmshttp.Credential{
		"test":                   {SecretAccessKey: secretCanary + "test", Caller: kms.Root().InAccount(kmstest.AccountID)},
		"T-2_x":                  {SecretAccessKey: secretCanary + "T-2_x", SessionToken: tokenCanary, Caller: kms.Session("ops/app", "pod-7").InAccount(kmstest.AccountID)},
		strings.Repeat("A", 128): {SecretAccessKey: secretCanary + strings.Repeat("A", 128), Caller: kms.Service("logs.amazonaws.com")},
	} {
		got, err := s.Credential(t.Context(), id, tokenCanary)
		if err != nil || got.SecretAccessKey != want.SecretAccessKey || got.SessionToken != want.SessionToken || got.Caller.String() != want.Caller.String() {
			t.Errorf("%s is %v of %s, %v", id, got, got.Caller, err)
		}
	}
	for _, id := range []string{"", "TEST", "test2", "T-2_x ", secretCanary + "test"} {
		if c, err := s.Credential(t.Context(), id, ""); err != kmshttp.ErrUnknownIdentity || c != (kmshttp.Credential{}) {
			t.Errorf("%q: %v, %v", id, c, err)
		}
	}
	f.write()
	if _, err := f.open().Credential(t.Context(), "test", ""); err != kmshttp.ErrUnknownIdentity {
		t.Errorf("from an empty list: %v", err)
	}
}

// TestMalformedCredentials: nothing in a file is overlooked, and the error says where it stands without repeating a secret.
func TestMalformedCredentials(t *testing.T) {
	ok := entry("ok", account+"root")
	in := func(id, principal string, more ...string) string {
		return `{"credentials": [` + ok + ",\n" + entry(id, principal, more...) + `]}`
	}
	raw := func(entry string) string { return `{"credentials": [` + ok + ",\n" + entry + `]}` }
	const anything = `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`
	f := newCredentialsFile(t)
	for text, want := range map[string]string{
		``:                          "1:1: expected a JSON value",
		`[]`:                        "1:1: must be an object",
		`{}`:                        "1:1: credentials: is missing",
		`{"credentials": {}}`:       "1:17: credentials: must be a list",
		`{"credentials": []} x`:     "1:21: text after the end",
		`{"Credentials": []}`:       "1:2: has a member of another name than credentials",
		raw(`7`):                    "2:1: credentials[1]: must be an object",
		raw(`{}`):                   "2:1: credentials[1].accessKeyId: is missing",
		raw(`{"accessKeyId": 7}`):   "2:17: credentials[1].accessKeyId: must be a string",
		raw(`{"accessKeyId": "x"}`): "2:1: access key x: secretAccessKey: is missing",
		raw(`{"accessKeyID": "x"}`): "2:2: credentials[1]: has a member of another name than accessKeyId, ",
		in("", account+"root"):      "2:17: credentials[1].accessKeyId: its id is not 1 to 128",
		in("a b", account+"root"):   "credentials[1].accessKeyId: its id is not 1 to 128",
		in("a/b", account+"root"):   "credentials[1].accessKeyId: its id is not 1 to 128",
		in("ä", account+"root"):     "credentials[1].accessKeyId: its id is not 1 to 128",
		in(strings.Repeat("A", 129), account+"root"):               "credentials[1].accessKeyId: its id is not 1 to 128",
		in("ok", account+"root"):                                   "2:1: credentials[1]: access key ok comes twice",
		in("x", account+"root", `"principal": "`+secretCanary+`"`): "2:111: member name appears twice in one object",
		in("x", account+"root", `"`+secretCanary+`": ""`):          "access key x: has a member of another name than accessKeyId, secretAccessKey, principal,",
		in("x", "alice"):           "access key x: principal: neither an ARN nor the name of a service",
		in("x", secretCanary):      "access key x: principal: neither an ARN nor the name of a service",
		in("x", account+"group/g"): "access key x: principal: the ARN is not one of",
		in("x", account+"user/a*"): "access key x: principal: the ARN is malformed",
		raw(`{"accessKeyId": "x", "secretAccessKey": "", "principal": ""}`):                                 "2:41: access key x: secretAccessKey: is empty",
		raw(`{"accessKeyId": "x", "secretAccessKey": "` + secretCanary + `\n", "principal": ""}`):           "access key x: secretAccessKey: is empty, or begins or ends with white space",
		raw(`{"accessKeyId": "x", "secretAccessKey": null, "principal": ""}`):                               "access key x: secretAccessKey: must be a string",
		raw(`{"accessKeyId": "x", "secretAccessKey": "` + secretCanary + `"}`):                              "2:1: access key x: principal: is missing",
		raw(`{"accessKeyId": "x", "secretAccessKey": "` + secretCanary + `", "principal": null}`):           "access key x: principal: must be a string",
		raw(`{"accessKeyId": "x", "secretAccessKey": "` + secretCanary + `}`):                               "string without an end",
		in("x", account+"role/r", `"sessionToken": ""`):                                                     "access key x: sessionToken: is empty",
		in("x", account+"role/r", `"sessionToken": " `+tokenCanary+`"`):                                     "access key x: sessionToken: is empty, or begins or ends",
		in("x", account+"role/r", `"sessionToken": ["`+tokenCanary+`"]`):                                    "access key x: sessionToken: must be a string",
		in("x", account+"role/r", `"session": "s"`):                                                         "access key x: session: the session has no name",
		in("x", account+"role/r", `"session": 7`):                                                           "access key x: session: must be a string",
		in("x", account+"user/u", `"session": "pod-7"`):                                                     "access key x: session: only a caller that is named by a role alone",
		in("x", "arn:aws:sts::111122223333:assumed-role/r/one", `"session": "pod-7"`):                       "access key x: session: only a caller that is named by a role alone",
		in("x", account+"role/r", `"sessionPolicies": {}`):                                                  "access key x: sessionPolicies: must be a list",
		in("x", account+"role/r", `"sessionPolicies": []`):                                                  "access key x: sessionPolicies: no session policies",
		in("x", account+"role/r", `"sessionPolicies": [7]`):                                                 "access key x: sessionPolicies[0]: must be a policy",
		in("x", account+"role/r", `"sessionPolicies": ["x"]`):                                               "access key x: sessionPolicies: session policy 0: ",
		in("x", account+"role/r", `"sessionPolicies": [`+anything+`, {"Statement": [{"Effect": "Alow"}]}]`): "access key x: sessionPolicies: session policy 1: ",
		in("x", "logs.amazonaws.com", `"sessionPolicies": [`+anything+`]`):                                  "access key x: sessionPolicies: a service has no session policies",
		in("x", account+"role/r", `"tags": []`):                                                             "access key x: tags: must be an object",
		in("x", account+"role/r", `"tags": {"team": 7}`):                                                    "access key x: tags: must be a string",
		in("x", account+"role/r", `"tags": {"team": "a", "Team": "b"}`):                                     "access key x: tags: two tags have the same key",
		in("x", account+"role/r", `"tags": {"": "b"}`):                                                      "access key x: tags: a tag has no key",
		in("x", account+"role/r", `"expires": "2026-10-01T20:00:00Z"`):                                      "access key x: issued: is missing",
		in("x", account+"role/r", `"issued": "2026-10-01T20:00:00Z"`):                                       "access key x: expires: is missing",
		in("x", account+"role/r", `"issued": "2026-10-01T20:00:00Z", "expires": "2026-10-01T20:00:00Z"`):    "access key x: expires: credentials that expire before they are issued",
		in("x", account+"role/r", `"issued": "0000-01-01T00:00:00Z", "expires": "0001-01-01T00:00:00Z"`):    "access key x: issued: must be a time",
		in("x", account+"role/r", `"issued": "2026-10-01", "expires": "2026-10-01T20:00:00Z"`):              "access key x: issued: must be a time",
		in("x", account+"role/r", `"issued": 1, "expires": "2026-10-01T20:00:00Z"`):                         "access key x: issued: must be a string",
		in("x", account+"role/r", `"mfaAt": "now"`):                                                         "access key x: mfaAt: must be a time",
		in("x", account+"role/r", `"via": "objectstore"`):                                                   "access key x: via: a service has a name of the form",
		in("x", account+"role/r", `"via": ["objectstore.amazonaws.com"]`):                                   "access key x: via: must be a string",
		in("x", "logs.amazonaws.com", `"via": "objectstore.amazonaws.com"`):                                 "access key x: via: a service does not act for a service",
	} {
		f.text(text)
		s, err := kmshttp.OpenCredentials(f.path)
		if err == nil {
			t.Errorf("%s\nwas taken: %v", text, s)
			continue
		}
		if !strings.HasPrefix(err.Error(), "kmshttp: credentials: "+f.path+":") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %s", text, err, want)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("a secret is repeated: %v", err)
		}
	}
}

// TestCredentialsOfAProgram are held to the same rules.
func TestCredentialsOfAProgram(t *testing.T) {
	good := kmshttp.Credential{SecretAccessKey: secretCanary, Caller: kms.User("alice")}
	given := map[string]kmshttp.Credential{"test": good}
	s, err := kmshttp.NewStaticCredentials(given)
	if err != nil {
		t.Fatal(err)
	}
	delete(given, "test")
	if c, err := s.Credential(t.Context(), "test", ""); err != nil || c != good {
		t.Errorf("%v, %v", c, err)
	}
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "not read from a file") {
		t.Errorf("reloaded: %v", err)
	}
	for id, tc := range map[string]struct {
		c    kmshttp.Credential
		want string
	}{
		"":                  {good, "its id is not 1 to 128"},
		secretCanary:        {good, "its id is not 1 to 128"},
		"empty":             {kmshttp.Credential{Caller: kms.Root()}, "access key empty: it has no secret"},
		"nobody":            {kmshttp.Credential{SecretAccessKey: secretCanary}, "access key nobody: kms: the zero Caller"},
		"nobody-like-alice": {kmshttp.Credential{SecretAccessKey: secretCanary, Caller: kms.User("")}, "access key nobody-like-alice: kms: caller: the user has no name"},
	} {
		s, err := kmshttp.NewStaticCredentials(map[string]kmshttp.Credential{"test": good, id: tc.c})
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, %v", id, s, err)
		}
	}
}

// TestCredentialsOpenToOthers: a file that others may read is refused, as is what is no file.
func TestCredentialsOpenToOthers(t *testing.T) {
	f := newCredentialsFile(t, entry("test", account+"root"))
	if runtime.GOOS != "windows" {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644} {
			f.check(os.Chmod(f.path, mode))
			if s, err := kmshttp.OpenCredentials(f.path); err == nil || !strings.Contains(err.Error(), "leave it open to other users") {
				t.Errorf("%v: %v, %v", mode, s, err)
			}
		}
	}
	f.check(os.Chmod(f.path, 0o400))
	f.open()
	if _, err := kmshttp.OpenCredentials(f.path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := kmshttp.OpenCredentials(filepath.Dir(f.path)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	f.text(strings.Repeat(" ", 1<<20+1))
	if _, err := kmshttp.OpenCredentials(f.path); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long file: %v", err)
	}
}

// TestCredentialsSayWhoCalls: what a file says of a caller is what policies see.
func TestCredentialsSayWhoCalls(t *testing.T) {
	ring := kmstest.New(t)
	allow := func(principal, condition string) string {
		return fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"%s}`, principal, condition)
	}
	created, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[` + strings.Join([]string{
		allow(account+"root", ""),
		allow(account+"user/via", `,"Condition":{"StringEquals":{"kms:ViaService":"objectstore.eu-central-1.amazonaws.com"}}`),
		allow(account+"user/tagged", `,"Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}`),
		allow(account+"user/strong", `,"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`),
		allow(account+"user/young", `,"Condition":{"DateGreaterThan":{"aws:TokenIssueTime":"2025-12-31T00:00:00Z"}}`),
		allow("arn:aws:sts::"+kmstest.AccountID+":assumed-role/app/pod-7", ""),
		allow(account+"role/app2", ""),
	}, ",") + `]}`})
	if err != nil {
		t.Fatal(err)
	}
	const sealing = `"sessionPolicies": [{"Version": "2012-10-17",  "Statement": [{"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}]}]`
	quoted := strings.NewReplacer(`[{"Version"`, `["{\"Version\"`, `"*"}]}]`, `\"*\"}]}"]`, `"2012-10-17"`, `\"2012-10-17\"`, `"Statement"`, `\"Statement\"`, `"Effect"`, `\"Effect\"`,
		`"Allow"`, `\"Allow\"`, `"Action"`, `\"Action\"`, `"kms:Encrypt"`, `\"kms:Encrypt\"`, `"Resource"`, `\"Resource\"`).Replace(sealing)
	const denied, expired = kms.ErrAccessDenied, kms.ErrExpiredToken
	for _, tc := range []struct {
		name    string
		entry   string
		encrypt kms.Code // "" if it is allowed
		decrypt kms.Code
	}{
		{"the account's root user", entry("x", account+"root"), "", ""},
		{"nobody in particular", entry("x", account+"user/alice"), denied, denied},
		{"via the service", entry("x", account+"user/via", `"via": "objectstore.amazonaws.com"`), "", ""},
		{"via another service", entry("x", account+"user/via", `"via": "mail.amazonaws.com"`), denied, denied},
		{"directly", entry("x", account+"user/via"), denied, denied},
		{"tagged", entry("x", account+"user/tagged", `"tags": {"team": "red"}`), "", ""},
		{"tagged otherwise", entry("x", account+"user/tagged", `"tags": {"team": "blue", "other": "red"}`), denied, denied},
		{"not tagged", entry("x", account+"user/tagged"), denied, denied},
		{"with a second factor", entry("x", account+"user/strong", `"mfaAt": "2025-12-31T23:00:00Z"`), "", ""},
		{"without a second factor", entry("x", account+"user/strong"), denied, denied},
		{"issued lately", entry("x", account+"user/young", `"issued": "2025-12-31T23:00:00+00:00"`, `"expires": "2026-01-02T00:00:00Z"`), "", ""},
		{"issued long ago", entry("x", account+"user/young", `"issued": "2025-12-30T23:00:00Z"`, `"expires": "2026-01-02T00:00:00Z"`), denied, denied},
		{"expired", entry("x", account+"user/young", `"issued": "2025-12-31T23:00:00Z"`, `"expires": "2026-01-01T00:00:00Z"`), expired, expired},
		{"in the session", entry("x", account+"role/app", `"session": "pod-7"`), "", ""},
		{"in another session", entry("x", account+"role/app", `"session": "pod-8"`), denied, denied},
		{"in the session that has the role's name", entry("x", account+"role/app"), denied, denied},
		{"within a session policy", entry("x", account+"role/app2", sealing), "", denied},
		{"within a session policy in a string", entry("x", account+"role/app2", quoted), "", denied},
		{"of another account", entry("x", "arn:aws:iam::444455556666:root"), denied, denied},
		{"of another partition", entry("x", "arn:aws-cn:iam::"+kmstest.AccountID+":root"), denied, denied},
	} {
		client := ring.As(newCredentialsFile(t, tc.entry).caller("x"))
		sealed, err := ring.Encrypt(t.Context(), created.ARN, []byte("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, encrypt := client.Encrypt(t.Context(), created.ARN, []byte("x"), nil)
		_, decrypt := client.Decrypt(t.Context(), sealed.Ciphertext, nil)
		for _, call := range []struct {
			got  error
			want kms.Code
		}{{encrypt, tc.encrypt}, {decrypt, tc.decrypt}} {
			if (call.got == nil) != (call.want == "") || call.got != nil && !errors.Is(call.got, call.want) {
				t.Errorf("%s: Encrypt %v, Decrypt %v", tc.name, encrypt, decrypt)
			}
		}
	}
}

// TestCredentialsAreNotPrinted by anything that prints or encodes them, nor their file.
func TestCredentialsAreNotPrinted(t *testing.T) {
	s := newCredentialsFile(t, entry("x", account+"role/app", `"sessionToken": "`+tokenCanary+`"`)).open()
	c, err := s.Credential(t.Context(), "x", "")
	if err != nil || c.SecretAccessKey == "" || c.SessionToken == "" {
		t.Fatal(c, err)
	}
	authenticator := kmshttp.SigV4(s)
	for _, v := range []any{c, &c, s, authenticator, []any{c, s}, map[string]any{"k": c}, struct{ C kmshttp.Credential }{c}, struct{ s *kmshttp.StaticCredentials }{s}, struct{ a any }{authenticator}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			look(t, verb, v, fmt.Sprintf(verb, v))
		}
		var log bytes.Buffer
		for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
			logger.Info("it", "value", v, slog.Group("group", "in", v))
		}
		look(t, "slog", v, log.String())
		text, err := json.Marshal(v)
		look(t, "json", v, fmt.Sprint(string(text), err))
		text, err = xml.Marshal(v)
		look(t, "xml", v, fmt.Sprint(string(text), err))
		var encoded bytes.Buffer
		err = gob.NewEncoder(&encoded).Encode(v)
		look(t, "gob", v, fmt.Sprint(encoded.String(), err))
	}
	if got, want := fmt.Sprint(c, s), "credential of role app, session app, account 111122223333 1 credentials"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func look(t *testing.T, how string, v any, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("%s of %T shows nothing", how, v)
	}
	for _, canary := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary"), strings.Trim(fmt.Sprint([]byte("canary")), "[]")} {
		if strings.Contains(text, canary) {
			t.Errorf("%s of %T shows a secret: %s", how, v, text)
		}
	}
}

// TestWatchedCredentials: what a file says takes effect as a whole or not at all, and each thing that is wrong is reported once.
func TestWatchedCredentials(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const interval = time.Minute
		f := newCredentialsFile(t, entry("old", account+"root"))
		s := f.open()
		reports := make(chan error, 100)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Watch(ctx, interval, func(err error) { reports <- err })
		}()
		wants := func(known string, texts ...string) {
			t.Helper()
			time.Sleep(3 * interval)
			synctest.Wait()
			for _, want := range texts {
				select {
				case err := <-reports:
					if got := fmt.Sprint(err); !strings.Contains(got, want) || strings.Contains(got, "canary") {
						t.Errorf("report %q, want %q", got, want)
					}
				default:
					t.Errorf("no report, want %q", want)
				}
			}
			if len(reports) > 0 {
				t.Errorf("a report too many: %v", <-reports)
			}
			for _, id := range []string{"old", "new", "newer"} {
				c, err := s.Credential(t.Context(), id, "")
				if (err == nil) != strings.Contains(" "+known+" ", " "+id+" ") || err == nil && c.SecretAccessKey != secretCanary+id {
					t.Errorf("%s: %v, want %s", id, err, known)
				}
			}
		}
		wants("old")
		f.write(entry("old", account+"root"), entry("new", account+"root"))
		wants("old new", "<nil>")
		f.write(entry("new", account+"root"))
		wants("new", "<nil>")
		f.write(entry("newer", account+"root"), entry("old", "nobody"))
		wants("new", "keys.json:2:")
		f.write(entry("newer", account+"root")[:40])
		wants("new", "string without an end")
		f.check(os.Remove(f.path))
		wants("new", "no such file")
		f.write(entry("new", account+"root"))
		wants("new", "<nil>")
		if runtime.GOOS != "windows" {
			f.write(entry("newer", account+"root"))
			f.check(os.Chmod(f.path, 0o644))
			wants("new", "leave it open to other users")
			f.check(os.Chmod(f.path, 0o600))
			wants("newer", "<nil>")
			f.check(os.Chmod(f.path, 0o640)) // the same content
			wants("newer", "leave it open to other users")
			f.check(os.Chmod(f.path, 0o600))
			wants("newer", "<nil>")
		}
		info, err := os.Stat(f.path)
		f.check(err)
		f.check(os.WriteFile(f.path, []byte(`{"credentials": [`+entry("older", account+"root")+`]}`), 0o600)) // in place, to the same size and time
		f.check(os.Chtimes(f.path, time.Time{}, info.ModTime()))
		wants("", "<nil>")
		f.write(entry("old", account+"root"))
		f.check(s.Reload())
		wants("old")
		f.text("x")
		if err := s.Reload(); err == nil {
			t.Error("reloaded what is no JSON")
		}
		wants("old", "keys.json:1:1")
		f.write()
		wants("", "<nil>")
		stop()
		<-ended
	})
	defer func() {
		if recover() == nil {
			t.Error("watched without a report")
		}
	}()
	s, _ := kmshttp.NewStaticCredentials(nil)
	s.Watch(t.Context(), time.Second, nil)
}

// TestShortSecrets: what Go's FIPS module makes no key of is refused where it is enforced, and signs nothing.
func TestShortSecrets(t *testing.T) {
	enforced := fips140.Enforced()
	short := kmshttp.Credential{SecretAccessKey: "123456789", Caller: kms.Root()}
	if _, err := kmshttp.NewStaticCredentials(map[string]kmshttp.Credential{"SHORT": short}); (err != nil) != enforced || enforced && !strings.Contains(err.Error(), "access key SHORT: its secret is shorter than 10 bytes") {
		t.Errorf("a program's: %v", err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	text := `{"credentials":[{"accessKeyId":"SHORT","secretAccessKey":"123456789","principal":"arn:aws:iam::111122223333:root"}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := kmshttp.OpenCredentials(file); (err != nil) != enforced || enforced && !strings.Contains(err.Error(), "access key SHORT: secretAccessKey: its secret is shorter than 10 bytes") {
		t.Errorf("a file's: %v", err)
	}
	w := newWorld(t)
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.SigV4(accessKeys{"SHORT": short})})
	if err != nil {
		t.Fatal(err)
	}
	signer := sigv4test.Signer{KeyID: "SHORT", Secret: "something-else", Region: w.Region()}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(signer.Request("ListKeys", []byte("{}"), time.Now()))))
	if err != nil {
		t.Fatal(err)
	}
	want := kms.Code("InvalidSignatureException")
	if enforced {
		want = "UnrecognizedClientException"
	}
	if a := roundTrip(t, direct{handler}, r); a.code() != want {
		t.Errorf("%d %s", a.status, a.body)
	}
}
