package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/rootkey/keyfile"
)

const (
	secretCanary = "canary-secret-4f02"
	tokenCanary  = "canary-token-99ab"
	testAccount  = "111122223333"
)

// An output is written by one goroutine and read by another.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// A server is a run of claviger serve.
type server struct {
	t         testing.TB
	url       string
	out, errs *output
	stop      func() int // ends it, and returns its exit code
}

// serve runs the command in this process until it listens.
func serve(t testing.TB, args ...string) server {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := server{t: t, out: new(output), errs: new(output)}
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(canary+"\n"), w, s.errs)
		_ = w.Close()
	}()
	s.stop = sync.OnceValue(func() int {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		s.stop()
		for _, secret := range []string{canary, secretCanary, tokenCanary} {
			if strings.Contains(s.errs.String(), secret) || strings.Contains(s.out.String(), secret) {
				t.Errorf("a secret was printed: %s%s", s.out, s.errs)
			}
		}
	})
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	var is bool
	if s.url, is = strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening on "); !is {
		t.Fatalf("%q, %v, exit code %d: %s", line, err, s.stop(), s.errs)
	}
	go func() { _, _ = io.Copy(s.out, lines) }()
	return s
}

// eventually waits for something that another goroutine or process does.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	for range 6000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not come about")
}

// serveRefuses runs the command, which must fail with a text. It repeats no canary, and speaks of --create where it would help only.
func serveRefuses(t testing.TB, want string, args ...string) (says string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // should it serve
	defer cancel()
	var out, errs bytes.Buffer
	code := run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), &out, &errs)
	if code != failed || out.Len() > 0 || !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), canary) ||
		strings.Contains(errs.String(), "--create only") != strings.Contains(want, "--create only") {
		t.Errorf("%q: %d %s%s, want %s", args, code, &out, &errs, want)
	}
	return errs.String()
}

func (s server) as(id, secret string) client { return client{url: s.url, id: id, secret: secret} }

func (s server) test() client { return s.as("test", "test") }

func (c client) in(region string) client {
	c.region = region
	return c
}

// credential is an entry of a file of credentials, with more members: `"via": …`.
func credential(id, principal string, more ...string) string {
	return fmt.Sprintf(`{"accessKeyId": %q, "secretAccessKey": %q, "principal": %q%s}`, id, secretCanary+id, principal, strings.Join(append([]string{""}, more...), ", "))
}

// credentials writes the file keys.json of a scene.
func (s scene) credentials(entries ...string) {
	s.write("keys.json.new", `{"credentials": [`+strings.Join(entries, ",")+`]}`)
	ok(s.t, os.Rename(s.path("keys.json.new"), s.path("keys.json")))
}

// newServed returns a scene without a ring, with the access key root of the account's root user.
func newServed(t testing.TB) scene {
	t.Helper()
	s := scene{t: t, dir: t.TempDir()}
	s.write("pass.txt", canary+"\n")
	must(keyfile.Create(s.path("root.key")))(t)
	s.credentials(credential("root", "arn:aws:iam::"+testAccount+":root"))
	return s
}

// flags are those that open the ring of a served scene in Regions.
func (s scene) flags(regions ...string) []string {
	flags := []string{"--store", "bolt:" + s.path("{region}.db"), "--key-file", s.path("root.key"), "--credentials", s.path("keys.json"), "--account", testAccount}
	for _, region := range regions {
		flags = append(flags, "--region", region)
	}
	return flags
}

// events reads a trail.
func (s scene) events(name string) (events []map[string]any) {
	for line := range strings.Lines(s.read(name)) {
		var event map[string]any
		ok(s.t, json.Unmarshal([]byte(line), &event))
		events = append(events, event)
	}
	return events
}

// TestServeDev: one command is an endpoint for tests, in every Region.
func TestServeDev(t *testing.T) {
	t.Parallel()
	s := serve(t, "--dev", "--dev-credential", "alice:"+secretCanary+":arn:aws:iam::000000000000:user/alice", "--dev-credential", "second:"+secretCanary)
	if !strings.HasPrefix(s.url, "http://127.0.0.1:") || strings.HasSuffix(s.url, ":0") {
		t.Error(s.url)
	}
	for _, region := range standardRegions {
		if arn := s.test().in(region).create(t); !strings.HasPrefix(arn, "arn:aws:kms:"+region+":000000000000:key/") {
			t.Errorf("%s: %s", region, arn)
		}
	}
	if len(standardRegions) != 36 {
		t.Errorf("%d Regions", len(standardRegions))
	}
	arn := s.test().create(t)
	s.as("second", secretCanary).wants(t, "", "DescribeKey", `{"KeyId":%q}`, arn)
	s.as("alice", secretCanary).wants(t, "AccessDeniedException", "DescribeKey", `{"KeyId":%q}`, arn)
	s.as("test", "test2").wants(t, "InvalidSignatureException", "DescribeKey", `{"KeyId":%q}`, arn)
	s.as("test2", "test").wants(t, "UnrecognizedClientException", "DescribeKey", `{"KeyId":%q}`, arn)
	s.as("", "").wants(t, "MissingAuthenticationTokenException", "DescribeKey", `{"KeyId":%q}`, arn)
	s.test().in("xx-central-1").wants(t, "InvalidSignatureException", "ListKeys", "{}")
	s.test().in("us-east-1").wants(t, "NotFoundException", "DescribeKey", `{"KeyId":%q}`, arn)
	if code := s.stop(); code != done || s.out.String() != "" || !strings.Contains(s.errs.String(), "for tests only") || !strings.Contains(s.errs.String(), "accessKeyID=alice") {
		t.Errorf("%d: %s%s", code, s.out, s.errs)
	}
	if resp, err := http.Get(s.url); err == nil {
		t.Errorf("after the end: %v", resp)
	}
}

// TestServeDevPartitions: a ring in a Region of another partition has the ARNs of that one.
func TestServeDevPartitions(t *testing.T) {
	t.Parallel()
	regions := map[string]string{"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso", "eu-isoe-west-1": "aws-iso-e", "eusc-de-east-1": "aws-eusc", "local": "aws"}
	args := []string{"--dev"}
	for region := range regions {
		args = append(args, "--region", region)
	}
	s := serve(t, args...)
	for region, partition := range regions {
		if arn := s.test().in(region).create(t); !strings.HasPrefix(arn, "arn:"+partition+":kms:"+region+":") {
			t.Errorf("%s: %s", region, arn)
		}
	}
}

// TestServeDevIdentities: with identities a server for tests enforces policies of users and roles too.
func TestServeDevIdentities(t *testing.T) {
	t.Parallel()
	dir := scene{t: t, dir: t.TempDir()}
	dir.write("iam.json", `{"UserDetailList":[{"Arn":"arn:aws:iam::000000000000:user/alice","UserPolicyList":[{"PolicyName":"p","PolicyDocument":
		{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateKey","kms:DescribeKey"],"Resource":"*"}]}}]}]}`)
	s := serve(t, "--dev", "--region", "eu-central-1", "--identities", dir.dir, "--dev-credential", "alice:"+secretCanary+":arn:aws:iam::000000000000:user/alice",
		"--dev-credential", "bob:"+secretCanary+":arn:aws:iam::000000000000:user/bob")
	alice := s.as("alice", secretCanary)
	arn := alice.create(t)
	alice.wants(t, "", "DescribeKey", `{"KeyId":%q}`, arn)
	alice.wants(t, "AccessDeniedException", "DisableKey", `{"KeyId":%q}`, arn)
	s.as("bob", secretCanary).wants(t, "AccessDeniedException", "DescribeKey", `{"KeyId":%q}`, arn)
}

// TestServeDevToOthers: a page of a browser, whose name has come to stand for this machine, is refused though it knows the secret.
func TestServeDevToOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, "--dev", "--region", "eu-central-1")
	address := strings.TrimPrefix(s.url, "http://")
	_, port, _ := net.SplitHostPort(address)
	c := s.test()
	c.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	for host, code := range map[string]string{
		"localhost": "", "LocalHost": "", "127.0.0.1": "", "127.9.9.9": "", "[::1]": "", "kms.eu-central-1.localhost": "",
		"page.example.com": "AccessDeniedException", "localhost.example.com": "AccessDeniedException", "notlocalhost": "AccessDeniedException", "0.0.0.0": "AccessDeniedException",
		"127.0.0.1.example.com": "AccessDeniedException", "192.0.2.1": "AccessDeniedException", "[2001:db8::1]": "AccessDeniedException", ".": "AccessDeniedException",
	} {
		for _, suffix := range []string{"", ":" + port} {
			c.url = "http://" + host + suffix
			c.wants(t, code, "ListKeys", "{}")
		}
	}
}

// TestServeDevFlags: a test may choose the account, the Regions, its own secret and a trail.
func TestServeDevFlags(t *testing.T) {
	t.Parallel()
	scene := scene{t: t, dir: t.TempDir()}
	s := serve(t, "--dev", "--listen", "localhost:0", "--account", testAccount, "--region", "eu-central-1,local", "--region", "us-east-1", "--dev-credential", "test:"+secretCanary,
		"--audit", scene.path("trail"), "--log-level", "warn", "--log-format", "json")
	for _, region := range []string{"eu-central-1", "local", "us-east-1"} {
		if arn := s.as("test", secretCanary).in(region).create(t); !strings.HasPrefix(arn, "arn:aws:kms:"+region+":"+testAccount+":key/") {
			t.Errorf("%s: %s", region, arn)
		}
	}
	s.as("test", secretCanary).in("us-east-2").wants(t, "InvalidSignatureException", "ListKeys", "{}")
	s.test().wants(t, "InvalidSignatureException", "ListKeys", "{}")
	s.stop()
	if events := scene.events("trail"); len(events) != 3 || events[1]["awsRegion"] != "local" {
		t.Errorf("%v", events)
	}
	if !strings.HasPrefix(s.errs.String(), `{"time":`) || strings.Count(s.errs.String(), "\n") != 1 {
		t.Error(s.errs)
	}
}

// TestServeFlags: what is asked for by mistake is refused before anything is made or opened, and no value that may be a secret is repeated.
func TestServeFlags(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	good := func(more ...string) []string {
		return append([]string{"--store", "memory", "--credentials", s.path("keys.json")}, more...)
	}
	ring := func(more ...string) []string { return append(s.flags("eu-central-1"), more...) }
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{canary}, "takes flags only"},
		{[]string{"--dev", canary}, "takes flags only"},
		{[]string{"--dev", "--listen", "0.0.0.0:0"}, "--listen: --dev listens on a loopback address only"},
		{[]string{"--dev", "--listen", ":0"}, "--listen: --dev listens on a loopback address only"},
		{[]string{"--dev", "--listen", "[::]:0"}, "--listen: --dev listens on a loopback address only"},
		{[]string{"--dev", "--listen", "example.com:0"}, "--listen: --dev listens on a loopback address only"},
		{[]string{"--dev", "--listen", "192.0.2.1:0"}, "--listen: --dev listens on a loopback address only"},
		{[]string{"--dev", "--listen", canary}, "--listen: want ADDRESS:PORT"},
		{[]string{"--dev", "--listen", "127.0.0.1:99999"}, "--listen: listen tcp"},
		{[]string{"--dev", "--store", "memory"}, "--dev is for tests, and takes no --store\n"},
		{[]string{"--dev", "--key-file", "x", "--recovery-passphrase-file", "x", "--anchor", "x", "--ring-id", "x", "--create", "--credentials", "x", "--client-ca", "x",
			"--tls-cert", "x", "--tls-key", "x", "--behind-proxy", "10.0.0.0/8"}, "--dev is for tests, and takes no --key-file, --recovery-passphrase-file, --anchor, --ring-id, " +
			"--create, --credentials, --client-ca, --tls-cert, --tls-key, --behind-proxy\n"},
		{[]string{"--dev", "--region", ""}, "--region: want a Region"},
		{[]string{"--dev", "--region", "local,"}, "--region: want a Region"},
		{[]string{"--dev", "--region", "Not/One"}, "Config.Region"},
		{[]string{"--dev", "--region", "local,local"}, "--region: a Region has one ring"},
		{ring("--region", "eu-central-1"), "--region: a Region has one ring"},
		{[]string{"--dev", "--account", canary}, "Config.AccountID: want twelve digits"},
		{[]string{"--dev", "--dev-credential", canary}, "--dev-credential: want ID:SECRET or ID:SECRET:ARN"},
		{[]string{"--dev", "--dev-credential", "x:"}, "--dev-credential: want ID:SECRET or ID:SECRET:ARN"},
		{[]string{"--dev", "--dev-credential", canary + ":x"}, "--dev-credential: want ID:SECRET or ID:SECRET:ARN"},
		{[]string{"--dev", "--dev-credential", "x:" + canary + ":"}, "--dev-credential: kms: caller: neither an ARN nor the name of a service"},
		{[]string{"--dev", "--dev-credential", "x:" + canary + ":arn:aws:iam::1:root"}, "--dev-credential: kms: caller: the ARN is malformed"},
		{[]string{"--dev", "--dev-credential", "x:" + canary, "--dev-credential", "x:y"}, "--dev-credential: two have the same id"},
		{[]string{"--dev", "--audit", s.path("root.key")}, "holds something else than events"},
		{[]string{"--dev", "--log-level", canary}, "--log-level: this value is not one that it takes"},
		{[]string{"--dev", "--log-format", canary}, "--log-format: want text or json"},
		{[]string{}, "want one of --credentials and --client-ca"},
		{good("--client-ca", "x"), "want one of --credentials and --client-ca"},
		{[]string{"--store", "memory", "--client-ca", "x"}, "--client-ca: want --tls-cert and --tls-key"},
		{good("--dev-credential", "x:y"), "--dev-credential: only with --dev"},
		{good("--tls-cert", "x"), "--tls-cert and --tls-key: want both"},
		{good("--tls-key", "x"), "--tls-cert and --tls-key: want both"},
		{good("--tls-key", "x", "--tls-cert", "none"), "--tls-cert: stat none: no such file"},
		{good("--listen", ":0"), "--listen: others can reach this address, and what they send is not encrypted"},
		{good("--listen", "localhost.example.com:0"), "--listen: others can reach this address, and what they send is not encrypted"},
		{good("--behind-proxy", canary), "--behind-proxy: want an address or a CIDR"},
		{good("--behind-proxy", "::1%lo"), "--behind-proxy: want an address or a CIDR"},
		{good("--key-file", s.path("root.key")), "--store: a ring in memory is new each time"},
		{good("--anchor", "x"), "--store: a ring in memory is new each time"},
		{good("--ring-id", "x"), "--store: a ring in memory is new each time"},
		{good("--create"), "--store: a ring in memory is new each time"},
		{good("--credentials", s.path("none")), "--credentials: kmshttp: credentials: stat " + s.path("none") + ": no such file"},
		{good("--credentials", s.path("pass.txt")), "--credentials: kmshttp: credentials: " + s.path("pass.txt") + ":1:1: expected a JSON value"},
		{good("--identities", s.path("none")), "--identities: identities: "},
		{good("--audit", s.path("none/trail")), "--audit: open " + s.path("none/trail") + ": no such file"},
		{[]string{"--credentials", s.path("keys.json")}, "want one root key"},
		{[]string{"--credentials", s.path("keys.json"), "--key-file", s.path("root.key")}, "--store: want a store"},
		{[]string{"--credentials", s.path("keys.json"), "--key-file", s.path("root.key"), "--store", "redis:x"}, "--store: no such kind of store"},
		{[]string{"--credentials", s.path("keys.json"), "--key-file", s.path("root.key"), "--store", "bolt:{region}.db"}, "--store: {region} stands for a --region, and there is none"},
		{ring("--store", "bolt:keys.db", "--region", "local"), "--store: with several Regions each ring has its own"},
		{ring("--anchor", "anchor", "--region", "local"), "--anchor: with several Regions each ring has its own"},
		{ring(), ".db: no such file or directory\nclaviger: a ring is made with --create only\n"},
		{ring("--create", "--store", "bolt:"+s.path("none/{region}.db")), "none/eu-central-1.db"},
		{ring("--create", "--store", "bolt:"+s.path("pass.txt")), "never was a store"},
		{ring("--create", "--anchor", s.path("none")), "--anchor: anchor: open " + s.path("none") + ": "},
		{ring("--anchor", s.path("none")), "--anchor: anchor: open " + s.path("none") + ": "},
		{ring("--create", "--passphrase-file", s.path("pass.txt")), "want one root key"},
		{ring("--create", "--ring-id", "00112233445566778899aabbccddeeff"), "the store is empty"},
		{[]string{"--credentials", s.path("keys.json"), "--key-file", s.path("root.key"), "--store", "bolt:" + s.path("x.db"), "--create"}, "--create: want --account and --region too"},
		{ring("--ring-id", "us-east-1=x"), "--ring-id: of a Region that is none of --region"},
		{ring("--ring-id", "x", "--region", "local"), "--ring-id: with several Regions want REGION=ID"},
		{ring("--ring-id", "x,y"), "--ring-id: a ring has one id"},
		{ring("--ring-id", "x"), "made with --create only"},
	} {
		ok(t, os.RemoveAll(s.path("eu-central-1.db")))
		serveRefuses(t, tc.want, tc.args...)
	}
	if names := must(filepath.Glob(s.path("trail*")))(t); len(names) > 0 {
		t.Errorf("%q was made", names)
	}
}

// TestServeStores: a ring is made on purpose only, lasts, and is the one of its Region, account and id.
func TestServeStores(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	refused := func(want string, args ...string) (says string) { t.Helper(); return serveRefuses(t, want, args...) }
	refused("made with --create only", s.flags("eu-central-1")...)
	if _, err := os.Stat(s.path("eu-central-1.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store was made: %v", err)
	}
	first := serve(t, append(s.flags("eu-central-1"), "--create")...)
	arn := first.as("root", secretCanary+"root").create(t)
	sealed := first.as("root", secretCanary+"root").wants(t, "", "Encrypt", `{"KeyId":%q,"Plaintext":"aGVsbG8="}`, arn).body["CiphertextBlob"]
	if code := first.stop(); code != done {
		t.Errorf("%d: %s", code, first.errs)
	}
	refused("--create: all rings are there", append(s.flags("eu-central-1"), "--create")...)
	if says := refused("made with --create only", s.flags("eu-central-1", "us-east-1")...); !strings.Contains(says, "--region us-east-1: --store: ") {
		t.Error(says)
	}
	refused("--anchor: anchor: open ", append(s.flags("eu-central-1"), "--anchor", s.path("none"))...) // and the ring is there
	refused("Config.AccountID", append(s.flags("eu-central-1"), "--account", "444455556666")...)
	refused("Config.Region", append(s.flags("us-east-1"), "--store", "bolt:"+s.path("eu-central-1.db"))...)
	refused("the store holds ring", append(s.flags("eu-central-1"), "--ring-id", "eu-central-1=00112233445566778899aabbccddeeff")...)
	s.edit(func(keystore.Store) {}) // makes keys.db
	refused("it holds no ring\nclaviger: a ring is made with --create only", append(s.flags("eu-central-1"), "--store", "bolt:"+s.path("keys.db"))...)

	both := append(s.flags("us-east-1", "eu-central-1"), "--create")
	must(keyfile.Create(s.path("other.key")))(t)
	mistaken := slices.Clone(both)
	mistaken[slices.Index(mistaken, s.path("root.key"))] = s.path("other.key")
	refused("--region eu-central-1: kms: open: domain key", mistaken...)
	if _, err := os.Stat(s.path("us-east-1.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a ring was made under a root key that is not the other's: %v", err)
	}
	second := serve(t, both...) // makes the one that is missing, and says which
	if made := second.errs.String(); strings.Count(made, "made a ring") != 1 || !strings.Contains(made, `level=WARN msg="made a ring" region=us-east-1`) {
		t.Error(made)
	}
	root := second.as("root", secretCanary+"root")
	other := root.in("us-east-1").create(t)
	if !strings.HasPrefix(other, "arn:aws:kms:us-east-1:"+testAccount+":") {
		t.Error(other)
	}
	if opened := root.wants(t, "", "Decrypt", `{"CiphertextBlob":%q}`, sealed); opened.body["Plaintext"] != "aGVsbG8=" {
		t.Errorf("%v", opened)
	}
	root.in("us-east-1").wants(t, "NotFoundException", "DescribeKey", `{"KeyId":%q}`, arn)
	root.in("us-east-1").wants(t, "", "DescribeKey", `{"KeyId":%q}`, other)
	root.in("us-west-1").wants(t, "InvalidSignatureException", "ListKeys", "{}")
	if code := second.stop(); code != done {
		t.Errorf("%d: %s", code, second.errs)
	}
	var ids []string
	for _, region := range []string{"eu-central-1", "us-east-1"} {
		var out, errs bytes.Buffer
		for _, command := range []string{"check", "id"} {
			if code := run(t.Context(), []string{command, "--store", "bolt:" + s.path(region+".db"), "--key-file", s.path("root.key")}, strings.NewReader(""), &out, &errs); code != done {
				t.Fatalf("%s: %d %s%s", command, code, &out, &errs)
			}
		}
		_, id, _ := strings.Cut(out.String(), "\nring ")
		id, _, _ = strings.Cut(id, "\n")
		ids = append(ids, region+"="+id)
	}
	must(anchor.Create(s.path("us-east-1.anchor")))(t)
	must(anchor.Create(s.path("eu-central-1.anchor")))(t)
	third := serve(t, append(s.flags("us-east-1", "eu-central-1"), "--ring-id", strings.Join(ids, ","), "--anchor", s.path("{region}.anchor"))...)
	third.as("root", secretCanary+"root").wants(t, "", "DisableKey", `{"KeyId":%q}`, arn)
	third.stop()
	fourth := serve(t, "--store", "bolt:"+s.path("eu-central-1.db"), "--key-file", s.path("root.key"), "--credentials", s.path("keys.json"), "--anchor", s.path("eu-central-1.anchor")) // the ring knows its Region and account
	fourth.as("root", secretCanary+"root").wants(t, "DisabledException", "Decrypt", `{"CiphertextBlob":%q}`, sealed)
	refused("file is in use: stop the program", s.flags("eu-central-1")...)
	fourth.stop()
}

// TestServeSecretFromInput: a root key may come from the standard input, as everywhere.
func TestServeSecretFromInput(t *testing.T) {
	t.Parallel()
	s := copyScene(t)
	s.credentials(credential("root", "arn:aws:iam::000000000000:root"))
	server := serve(t, "--store", "bolt:"+s.path("keys.db"), "--passphrase-file", "-", "--credentials", s.path("keys.json"))
	server.as("root", secretCanary+"root").in("local").wants(t, "", "DescribeKey", `{"KeyId":"alias/a"}`)
}

// TestServeCallers: what a file of credentials says of a caller is what policies see, and the trail has who called, under the id that the answer carries.
func TestServeCallers(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	principal := "arn:aws:iam::" + testAccount + ":"
	s.credentials(
		credential("root", principal+"root"), credential("plain", principal+"role/app"),
		credential("via", principal+"role/app", `"session": "one"`, `"via": "objectstore.amazonaws.com"`),
		credential("tagged", principal+"user/carol", `"tags": {"team": "red"}`), credential("blue", principal+"user/carol", `"tags": {"team": "blue"}`),
		credential("limited", principal+"role/free", `"sessionToken": "`+tokenCanary+`"`, `"sessionPolicies": [{"Statement": {"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "*"}}]`),
		credential("old", principal+"root", `"issued": "2020-01-01T00:00:00Z"`, `"expires": "2020-01-02T00:00:00Z"`),
	)
	server := serve(t, "--store", "memory", "--credentials", s.path("keys.json"), "--account", testAccount, "--region", "eu-central-1", "--audit", s.path("trail"))
	as := func(id string) client { return server.as(id, secretCanary+id) }
	allow := func(name, condition string) string {
		return fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"%s}`, principal+name, condition)
	}
	policy := must(json.Marshal(`{"Statement":[` + strings.Join([]string{allow("root", ""), allow("role/free", ""),
		allow("role/app", `,"Condition":{"StringEquals":{"kms:ViaService":"objectstore.eu-central-1.amazonaws.com"}}`),
		allow("user/carol", `,"Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}`)}, ",") + `]}`))(t)
	arn := as("root").create(t)
	as("root").wants(t, "", "PutKeyPolicy", `{"KeyId":%q,"Policy":%s}`, arn, policy)
	describe := fmt.Sprintf(`{"KeyId":%q}`, arn)
	const denied = "AccessDeniedException"
	as("plain").wants(t, denied, "DescribeKey", "%s", describe)
	allowed := as("via").wants(t, "", "DescribeKey", "%s", describe)
	as("tagged").wants(t, "", "DescribeKey", "%s", describe)
	refused := as("blue").wants(t, denied, "DescribeKey", "%s", describe)
	limited := as("limited")
	limited.wants(t, "UnrecognizedClientException", "DescribeKey", "%s", describe)
	limited.token = tokenCanary + "x"
	limited.wants(t, "UnrecognizedClientException", "DescribeKey", "%s", describe)
	limited.token = tokenCanary
	limited.wants(t, "", "DescribeKey", "%s", describe)
	limited.wants(t, denied, "DisableKey", "%s", describe)
	as("old").wants(t, "ExpiredTokenException", "DescribeKey", "%s", describe)
	probe := must(http.Get(server.url + "/healthz"))(t)
	ok(t, probe.Body.Close())
	server.stop()

	byID := map[any]map[string]any{}
	events := s.events("trail")
	for _, event := range events {
		byID[event["requestID"]] = event
	}
	if len(events) != 9 {
		t.Errorf("%d events", len(events))
	}
	if strings.Contains(s.read("trail"), "canary") {
		t.Error("the trail has a secret")
	}
	if info := must(os.Stat(s.path("trail")))(t); info.Mode() != 0o600 {
		t.Errorf("the trail has mode %v", info.Mode())
	}
	for id, want := range map[string]map[string]any{
		allowed.requestID: {"eventName": "DescribeKey", "errorCode": nil, "arn": "arn:aws:sts::" + testAccount + ":assumed-role/app/one", "accessKeyId": "via"},
		refused.requestID: {"eventName": "DescribeKey", "errorCode": "AccessDenied", "arn": principal + "user/carol", "accessKeyId": "blue"},
	} {
		event := byID[id]
		identity, _ := event["userIdentity"].(map[string]any)
		got := map[string]any{"eventName": event["eventName"], "errorCode": event["errorCode"], "arn": identity["arn"], "accessKeyId": identity["accessKeyId"]}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v, in %v", got, want, event)
		}
	}
}

// TestServeAuditOnOutput: events follow the line that tells the URL. Where they cannot be recorded nothing happens.
func TestServeAuditOnOutput(t *testing.T) {
	t.Parallel()
	s := serve(t, "--dev", "--region", "local", "--audit", "-")
	s.test().in("local").create(t)
	s.stop()
	eventually(t, func() bool { return strings.HasSuffix(s.out.String(), "\n") }) // it is copied by another goroutine
	if out := s.out.String(); !strings.HasPrefix(out, eventStart) || strings.Count(out, "\n") != 1 {
		t.Error(out)
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no device that is full")
	}
	full := serve(t, "--dev", "--region", "local", "--audit", "/dev/full")
	full.test().in("local").wants(t, "KMSInternalException", "CreateKey", "{}")
	if list := full.test().in("local").call(t, "ListKeys", "{}"); list.code() != "KMSInternalException" {
		t.Errorf("%v", list)
	}
}

// TestServeBehindProxy: a proxy is believed where its clients are, and nobody else is.
func TestServeBehindProxy(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	for proxy, want := range map[string]string{"127.0.0.1": "192.0.2.7", "10.0.0.0/8": "127.0.0.1"} {
		trail := strings.ReplaceAll(proxy, "/", "-")
		server := serve(t, "--listen", "0.0.0.0:0", "--store", "memory", "--region", "eu-central-1", "--credentials", s.path("keys.json"), "--account", testAccount, "--audit", s.path(trail), "--behind-proxy", proxy)
		root := server.as("root", secretCanary+"root")
		root.url = strings.Replace(server.url, "[::]", "127.0.0.1", 1)
		root.header = http.Header{"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"}}
		root.create(t)
		server.stop()
		if got := s.events(trail)[0]["sourceIPAddress"]; got != want {
			t.Errorf("%s: %v, want %s", proxy, got, want)
		}
	}
}

// TestServeIdentities: users and roles come from a directory.
func TestServeIdentities(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	user := "arn:aws:iam::" + testAccount + ":user/alice"
	s.credentials(credential("root", "arn:aws:iam::"+testAccount+":root"), credential("alice", user), credential("bob", "arn:aws:iam::"+testAccount+":user/bob"))
	ok(t, os.Mkdir(s.path("people"), 0o700))
	s.write("people/all.json", fmt.Sprintf(`{"UserDetailList": [{"Arn": %q, "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": {"Statement": {"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"}}}]}]}`, user))
	server := serve(t, "--store", "memory", "--region", "eu-central-1", "--account", testAccount, "--credentials", s.path("keys.json"), "--identities", s.path("people"))
	server.as("alice", secretCanary+"alice").wants(t, "", "ListKeys", "{}")
	server.as("alice", secretCanary+"alice").wants(t, "AccessDeniedException", "CreateKey", "{}")
	server.as("bob", secretCanary+"bob").wants(t, "AccessDeniedException", "ListKeys", "{}")
	if !strings.Contains(server.errs.String(), "nothing is recorded") {
		t.Error(server.errs)
	}
}
