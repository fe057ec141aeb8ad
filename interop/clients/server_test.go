package clients

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// endpoint is where the server listens.
var endpoint string

// account is that of claviger serve --dev.
const account = "000000000000"

// The access keys that the server is started with: the root user's, and that of an IAM user whom nothing allows anything.
const workerARN = "arn:aws:iam::" + account + ":user/worker"

func root(region string) session   { return session{region, "test", "test"} }
func worker(region string) session { return session{region, "AKIDWORKER", "worker-secret"} }

// client is an SDK's, which is told where the server is, and is otherwise as applications have it.
func (s session) client(options ...func(*kms.Options)) *kms.Client {
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(s.region), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(s.keyID, s.secret, "")))
	if err != nil {
		panic(err) // the environment is that of TestMain
	}
	return kms.NewFromConfig(cfg, options...)
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run runs the tests beside a server.
func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "claviger")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	command := filepath.Join(dir, "claviger")
	build := []string{"build", "-o", command}
	if raced() {
		build = append(build, "-race")
	}
	if out, err := exec.Command("go", append(build, "github.com/claviger/kms/cmd/claviger")...).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, out)
	}
	stop, err := serve(command)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	// What applications have in their environment, and nothing of whoever runs the tests.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			if err := os.Unsetenv(name); err != nil {
				return 1, err
			}
		}
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-central-1",
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// raced tells whether the race detector is on: then it watches the server as well.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// serve starts the server, and waits until it says where it listens and that it is well. stop tells it to end, and fails if it does not end well.
func serve(command string) (stop func() error, err error) {
	cmd := exec.Command(command, "serve", "--dev", "--listen", "127.0.0.1:0", "--dev-credential", "AKIDWORKER:worker-secret:"+workerARN)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	started := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	err = func() error {
		first, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			return err
		}
		var is bool
		if endpoint, is = strings.CutPrefix(strings.TrimSpace(first), "listening on "); !is {
			return fmt.Errorf("its first line is %q", first)
		}
		return healthy(ctx)
	}()
	end := func(sig os.Signal) error {
		_ = cmd.Process.Signal(sig)
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("claviger serve: %w\n%s", err, log.Bytes())
		}
		return nil
	}
	if !started() || err != nil {
		return nil, errors.Join(err, end(os.Kill))
	}
	return func() error { return end(syscall.SIGTERM) }, nil
}

// healthy asks the server whether it is well.
func healthy(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("its health is %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// must returns a value that came without an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// find returns the path of a program, without which there is no test.
func find(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program, err.Error())
	}
	return path
}

// installed returns where a program is that does something: a new one may stand before that of the system, which is of another version.
func installed(program string, args ...string) (paths []string) {
	for _, name := range []string{program, "/usr/bin/" + program} {
		if path, err := exec.LookPath(name); err == nil && !slices.Contains(paths, path) && exec.Command(path, args...).Run() == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// missing ends a test that lacks something: where KMS_REQUIRE names it, that fails.
func missing(t testing.TB, what, why string) {
	t.Helper()
	if strings.Contains(os.Getenv("KMS_REQUIRE"), what) {
		t.Fatalf("%s is not there: %s", what, why)
	}
	t.Skipf("%s is not there, which scripts/test installs: %s", what, why)
}
