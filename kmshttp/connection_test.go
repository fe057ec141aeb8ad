package kmshttp_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

// prefixes are networks.
func prefixes(texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// TestForwarded: where a request came from, and whether over TLS, is what the connection says, or what proxies that are believed say of theirs. Policies decide by it, and
// the trail has it.
func TestForwarded(t *testing.T) {
	w := newWorld(t)
	// keyFor is a key that is only described from an address, and only over TLS.
	keyFor := func(address string) string {
		return once(w, "key for "+address, func() (string, error) {
			condition := fmt.Sprintf(`"NotIpAddress":{"aws:SourceIp":%q}`, address)
			if address == "" {
				condition = `"Null":{"aws:SourceIp":"false"}`
			}
			k, err := w.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
				{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{` + condition + `}}]}`})
			return k.ARN, err
		})
	}
	secureOnly, err := w.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`})
	if err != nil {
		t.Fatal(err)
	}
	const bad = "malformed"
	ours := []string{"10.0.0.0/8", "2001:db8:1::/48"}
	for _, tc := range []struct {
		what    string
		proxies []string
		remote  string
		tls     bool
		hops    []string // X-Forwarded-For
		proto   []string // X-Forwarded-Proto
		source  string   // "malformed" if it is refused
		secure  bool
	}{
		{"no proxy", nil, "192.0.2.1:5", false, nil, nil, "192.0.2.1", false},
		{"no proxy, TLS", nil, "192.0.2.1:5", true, nil, nil, "192.0.2.1", true},
		{"IPv6", nil, "[2001:db8::1]:5", true, nil, nil, "2001:db8::1", true},
		{"IPv4 within IPv6", nil, "[::ffff:192.0.2.1]:5", true, nil, nil, "192.0.2.1", true},
		{"a zone", nil, "[fe80::1%eth0]:5", true, nil, nil, "fe80::1", true},
		{"a Unix socket", nil, "@", false, nil, nil, "", false},
		{"no address at all", nil, "", true, nil, nil, "", true},

		{"headers that nobody is believed", nil, "10.0.0.1:5", false, []string{"203.0.113.9"}, []string{"https"}, "10.0.0.1", false},
		{"headers of a client's", ours, "192.0.2.1:5", false, []string{"203.0.113.9"}, []string{"https"}, "192.0.2.1", false},
		{"malformed headers of a client's", ours, "192.0.2.1:5", true, []string{"x"}, []string{"http"}, "192.0.2.1", true},
		{"headers over a Unix socket", ours, "@", false, []string{"203.0.113.9"}, []string{"https"}, "", false},

		{"a proxy", ours, "10.0.0.1:5", false, []string{"203.0.113.9"}, []string{"https"}, "203.0.113.9", true},
		{"a proxy that was reached without TLS", ours, "10.0.0.1:5", true, []string{"203.0.113.9"}, []string{"http"}, "203.0.113.9", false},
		{"a proxy that does not tell how it was reached", ours, "10.0.0.1:5", true, []string{"203.0.113.9"}, nil, "203.0.113.9", false},
		{"a proxy that speaks for itself", ours, "10.0.0.1:5", false, nil, nil, "10.0.0.1", false},
		{"a proxy that speaks for itself over TLS", ours, "10.0.0.1:5", true, nil, nil, "10.0.0.1", true},
		{"a proxy with an empty header", ours, "10.0.0.1:5", false, []string{""}, []string{"HTTPS"}, "10.0.0.1", true},
		{"a proxy by IPv6", ours, "[2001:db8:1::5]:5", false, []string{"2001:db8:2::9"}, []string{"https"}, "2001:db8:2::9", true},
		{"a proxy by IPv4 within IPv6", ours, "[::ffff:10.0.0.1]:5", false, []string{"::ffff:203.0.113.9"}, []string{"https"}, "203.0.113.9", true},
		{"an address with a zone", ours, "10.0.0.1:5", false, []string{"fe80::9%eth0"}, []string{"https"}, "fe80::9", true},
		{"a proxy with a zone, which no network has", []string{"fe80::/10"}, "[fe80::1%eth0]:5", false, []string{"203.0.113.9"}, []string{"https"}, "fe80::1", false},
		{"two protocols", ours, "10.0.0.1:5", true, []string{"203.0.113.9"}, []string{"https", "https"}, "203.0.113.9", false},
		{"a list of protocols", ours, "10.0.0.1:5", true, []string{"203.0.113.9"}, []string{"https, http"}, "203.0.113.9", false},
		{"no protocol", ours, "10.0.0.1:5", true, []string{"203.0.113.9"}, []string{""}, "203.0.113.9", false},
		{"another protocol", ours, "10.0.0.1:5", true, []string{"203.0.113.9"}, []string{"wss"}, "203.0.113.9", false},

		{"a client that lies to a proxy", ours, "10.0.0.1:5", false, []string{"198.51.100.1, 203.0.113.9"}, []string{"https"}, "203.0.113.9", true},
		{"a client that claims to be a proxy", ours, "10.0.0.1:5", false, []string{"10.0.0.7, 203.0.113.9"}, []string{"https"}, "203.0.113.9", true},
		{"a client that tells a proxy nonsense", ours, "10.0.0.1:5", false, []string{"<script>, 203.0.113.9"}, []string{"https"}, "203.0.113.9", true},
		{"a chain", ours, "10.0.0.1:5", false, []string{"198.51.100.1, 203.0.113.9, 10.9.9.9, 2001:db8:1::7"}, []string{"https"}, "203.0.113.9", true},
		{"a chain in several headers", ours, "10.0.0.1:5", false, []string{"198.51.100.1,203.0.113.9", "10.9.9.9"}, []string{"https"}, "203.0.113.9", true},
		{"a chain of proxies alone", ours, "10.0.0.1:5", false, []string{"10.0.0.3, 10.0.0.2"}, []string{"https"}, "10.0.0.3", true},

		{"a name", ours, "10.0.0.1:5", false, []string{"client.example.org"}, []string{"https"}, bad, false},
		{"an address and a port", ours, "10.0.0.1:5", false, []string{"203.0.113.9:80"}, []string{"https"}, bad, false},
		{"an address in brackets", ours, "10.0.0.1:5", false, []string{"[2001:db8:2::9]"}, []string{"https"}, bad, false},
		{"unknown", ours, "10.0.0.1:5", false, []string{"unknown"}, []string{"https"}, bad, false},
		{"an empty hop", ours, "10.0.0.1:5", false, []string{"203.0.113.9, "}, []string{"https"}, bad, false},
		{"an empty hop before proxies", ours, "10.0.0.1:5", false, []string{", 10.0.0.2"}, []string{"https"}, bad, false},
		{"nonsense before proxies", ours, "10.0.0.1:5", false, []string{"203.0.113.9, x, 10.0.0.2"}, []string{"https"}, bad, false},
		{"numbers that are no address", ours, "10.0.0.1:5", false, []string{"203.0.113.256"}, []string{"https"}, bad, false},
		{"an address that others read as another", ours, "10.0.0.1:5", false, []string{"010.0.0.1"}, []string{"https"}, bad, false},
	} {
		handler, err := kmshttp.New(kmshttp.Config{
			Rings: []*kms.Keyring{w.Keyring}, Proxies: prefixes(tc.proxies...),
			Authenticator: kmshttp.AuthenticatorFunc(func(*http.Request, []byte) (kmshttp.Identity, error) {
				return kmshttp.Identity{Caller: kms.Root()}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		describe := func(key string) answer {
			return send(t, handler, "DescribeKey", request{"KeyId": key}.String(), func(r *http.Request) {
				r.RemoteAddr, r.TLS = tc.remote, nil
				if tc.tls {
					r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
				}
				r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"] = tc.hops, tc.proto
				r.Header.Set("User-Agent", "agent/1")
			})
		}
		told := len(w.Trail.Events())
		if tc.source == bad {
			describe(secureOnly.ARN).refused(t, tc.what, "MalformedHttpRequestException", "The request is not one that this service reads.")
			if n := len(w.Trail.Events()); n != told {
				t.Errorf("%s: %d events", tc.what, n-told)
			}
			continue
		}
		secure := describe(secureOnly.ARN)
		events := w.Trail.Events()[told:]
		if (secure.status == http.StatusOK) != tc.secure || !tc.secure && secure.code() != kms.ErrAccessDenied {
			t.Errorf("%s: whether it is secure: %d %s, want %v", tc.what, secure.status, secure.body, tc.secure)
		}
		if len(events) != 1 || events[0].SourceIP != tc.source || events[0].UserAgent != "agent/1" || events[0].RequestID() != secure.header.Get("x-amzn-RequestId") {
			t.Errorf("%s: recorded as %+v, want %s", tc.what, events, tc.source)
		}
		if a := describe(keyFor(tc.source)); a.status != http.StatusOK {
			t.Errorf("%s: from %s: %d %s", tc.what, tc.source, a.status, a.body)
		}
		if a := describe(keyFor("192.0.2.250")); a.code() != kms.ErrAccessDenied {
			t.Errorf("%s: from an address that it is not: %d %s", tc.what, a.status, a.body)
		}
	}
}

// TestNamesOfClients: what a client says of itself is what policies see, and the trail has as much of it as fits.
func TestNamesOfClients(t *testing.T) {
	w := newWorld(t)
	key, err := w.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{"StringNotEquals":{"aws:Referer":"https://example.org/"}}},
		{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{"StringNotLike":{"aws:UserAgent":"agent/*"}}}]}`})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{w.Keyring}, Authenticator: kmshttp.AuthenticatorFunc(everybody)})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(agent, referer string) answer {
		return send(t, handler, "DescribeKey", request{"KeyId": key.ARN}.String(), func(r *http.Request) {
			r.TLS, r.Host = &tls.ConnectionState{Version: tls.VersionTLS13}, strings.Repeat("h", 5000)
			r.Header.Set("User-Agent", agent)
			r.Header.Set("Referer", referer)
		})
	}
	long := "agent/" + strings.Repeat("é", 5000)
	if a := describe(long, "https://example.org/"); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	last := w.Trail.Events()[len(w.Trail.Events())-1]
	if got, want := last.UserAgent, long[:1024]; got != want {
		t.Errorf("recorded as %q of %d bytes", got, len(got))
	}
	if got := last.TLS.Host; got != strings.Repeat("h", 1024) {
		t.Errorf("its host is recorded as %q of %d bytes", got, len(got))
	}
	describe("agent/1", "https://example.com/").refused(t, "another referer", kms.ErrAccessDenied, describe("agent/1", "").message())
	if a := describe("other/1", "https://example.org/"); a.code() != kms.ErrAccessDenied {
		t.Errorf("another agent: %d %s", a.status, a.body)
	}
}

// TestInProcess: what comes over no connection is secure, and from nowhere.
func TestInProcess(t *testing.T) {
	w := newWorld(t)
	key, err := w.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
		{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{"Null":{"aws:SourceIp":"false"}}}]}`})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost", strings.NewReader(request{"KeyId": key.ARN}.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.DescribeKey")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	r.Header.Set("X-Forwarded-Proto", "http")
	if a := roundTrip(t, w.wire, r); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}
