package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/openssl"
	"github.com/claviger/kms/examples/internal/privilege"
	"github.com/claviger/kms/examples/internal/program"
)

const greeting = "Hello from a server whose key is in a keyring\n"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) { program.Main(m, main) }

// TestTLSServer runs the program, and has Go and openssl connect to it with several keys.
func TestTLSServer(t *testing.T) {
	for _, c := range []struct {
		spec      kms.KeySpec
		signature string // as openssl calls it, in all its versions
	}{
		{kms.RSA2048, "(?i)Peer signature type: rsa.pss"},
		{kms.ECCNISTP256, "(?i)Peer signature type: ecdsa"},
		{kms.ECCNISTEdwards25519, "(?i)Peer signature type: ed25519"},
	} {
		t.Run(string(c.spec), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "server.pem")
			cmd := program.Command(t, "-addr", "localhost:0", "-key-spec", string(c.spec), file)
			var trail bytes.Buffer
			cmd.Stdout = &trail
			messages, err := cmd.StderrPipe()
			must(t, err)
			must(t, cmd.Start())
			line, err := bufio.NewReader(messages).ReadString('\n')
			_, rest, _ := strings.Cut(line, "serving https://")
			addr, _, found := strings.Cut(rest, "/")
			if err != nil || !found {
				t.Fatalf("it says %q, %v", line, err)
			}
			get(t, addr, file)
			handshakes := 1
			t.Run("openssl", func(t *testing.T) { handshakes += ask(t, addr, file, c.signature) })
			must(t, cmd.Process.Signal(os.Interrupt))
			if err := cmd.Wait(); err != nil {
				t.Errorf("interrupted, it ends with %v", err)
			}
			checkTrail(t, &trail, handshakes)
		})
	}
}

// get connects as a Go program does, and once as one that is older than TLS 1.3, for which nothing is signed.
func get(t *testing.T, addr, file string) {
	t.Helper()
	certificate, err := os.ReadFile(file)
	must(t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		t.Fatalf("%s holds no certificate", file)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	response, err := client.Get("https://" + addr + "/")
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != greeting || response.TLS.Version != tls.VersionTLS13 {
		t.Errorf("by %s: %q, %v", tls.VersionName(response.TLS.Version), body, err)
	}
	if _, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("it takes TLS 1.2")
	}
}

// ask connects as openssl does, once with the server's certificate and once with another one, and returns how often that was.
func ask(t *testing.T, addr, file, signature string) (handshakes int) {
	t.Helper()
	connect := func(trusted string) (string, error) {
		cmd := openssl.Command(t, "s_client", "-connect", addr, "-tls1_3", "-CAfile", trusted, "-verify_return_error", "-verify_hostname", "localhost", "-ign_eof")
		cmd.Stdin = strings.NewReader("GET / HTTP/1.0\r\n\r\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := connect(file)
	for _, want := range []string{signature, "New, TLSv1.3, ", `Verify return code: 0 \(ok\)\n`, "Verified peername: localhost\n", "\n" + greeting} {
		if err != nil || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%v, without %q\n%s", err, want, out)
		}
	}
	stranger := filepath.Join(t.TempDir(), "stranger.pem")
	_, certificate := newTestCertificate(t)
	must(t, writeCertificate(stranger, certificate))
	if out, err := connect(stranger); err == nil || !strings.Contains(out, "verify error:num=18:self-signed certificate\n") {
		t.Errorf("with another certificate: %v\n%s", err, out)
	}
	return 2
}

// checkTrail reads the records that the program has printed: each handshake is a signature by the role, as that of the certificate is.
func checkTrail(t *testing.T, trail io.Reader, handshakes int) {
	t.Helper()
	got := map[string]int{}
	for records := json.NewDecoder(trail); ; {
		var e struct {
			EventName, ErrorCode string
			UserIdentity         struct{ ARN string }
		}
		switch err := records.Decode(&e); {
		case errors.Is(err, io.EOF):
			want := map[string]int{"CreateKey root ": 1, "GetPublicKey server ": 1, "Sign server ": 1 + handshakes}
			if !maps.Equal(got, want) {
				t.Errorf("it records %v, want %v", got, want)
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		got[e.EventName+" "+e.UserIdentity.ARN[strings.LastIndexAny(e.UserIdentity.ARN, ":/")+1:]+" "+e.ErrorCode]++
	}
}

// newTestCertificate makes a certificate in a ring of its own.
func newTestCertificate(t *testing.T) (*kms.Keyring, tls.Certificate) {
	t.Helper()
	ring, err := kms.Open(t.Context(), kms.Config{AccountID: "111122223333"})
	must(t, err)
	t.Cleanup(func() { must(t, ring.Close()) })
	key, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify, Policy: keyPolicy})
	must(t, err)
	certificate, err := newCertificate(t.Context(), ring.As(kms.Role("server")), key.ARN)
	must(t, err)
	return ring, certificate
}

// TestTheKeyIsAskedEachTime: a handshake needs the key enabled, and a role that may sign.
func TestTheKeyIsAskedEachTime(t *testing.T) {
	ring, certificate := newTestCertificate(t)
	key := certificate.PrivateKey.(*kms.Signer).KeyARN()
	privilege.SignsOnly(t, ring.As(kms.Role("server")), key, kms.AlgorithmECDSASHA256)
	if _, err := newCertificate(t.Context(), ring.As(kms.Role("www")), key); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("another role: %v", err)
	}
	for _, enabled := range []bool{true, false} {
		if !enabled {
			must(t, ring.DisableKey(t.Context(), key))
		}
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			defer server.Close()
			done <- tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}}).HandshakeContext(t.Context())
		}()
		io.Copy(io.Discard, tls.Client(client, &tls.Config{InsecureSkipVerify: true})) // the handshake, then what there is to read
		client.Close()
		if err := <-done; (err == nil) != enabled || err != nil && !strings.Contains(err.Error(), string(kms.ErrDisabled)) { // crypto/tls keeps the text only
			t.Errorf("enabled %v: %v", enabled, err)
		}
	}
}

// TestOlderTLS: by TLS 1.2 openssl asks for a hash that the key does not sign with. The certificate has to say so.
func TestOlderTLS(t *testing.T) {
	_, certificate := newTestCertificate(t)
	for _, schemes := range [][]tls.SignatureScheme{nil, {tls.ECDSAWithP256AndSHA256}} {
		certificate.SupportedSignatureAlgorithms = schemes
		listener, err := tls.Listen("tcp", "localhost:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
		must(t, err)
		done := make(chan error, 1)
		cmd := openssl.Command(t, "s_client", "-connect", listener.Addr().String(), "-tls1_2", "-sigalgs", "ECDSA+SHA512:ECDSA+SHA256")
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				err = conn.(*tls.Conn).HandshakeContext(t.Context())
				conn.Close()
			}
			done <- err
		}()
		out, err := cmd.CombinedOutput()
		listener.Close()
		if served := <-done; (served == nil) != (schemes != nil) || (err == nil) != (schemes != nil) {
			t.Errorf("with schemes %v: %v, and openssl: %v\n%s", schemes, served, err, out)
		}
	}
}
