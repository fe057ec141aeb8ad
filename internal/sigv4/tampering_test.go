package sigv4

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	token  = "AQoDYXdzEPT//////////wEXAMPLE=="
	moment = "20260801T120000Z"
	region = "us-east-1"

	mismatch = "InvalidSignatureException: The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	unrecognized = "UnrecognizedClientException: The security token included in the request is invalid."
)

var (
	valid = signer{keyID, secret, "20260801", region, "kms", "aws4_request"}
	now   = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
)

const encryptRequest = "POST / HTTP/1.1\r\n" +
	"Host: kms.us-east-1.amazonaws.com\r\n" +
	"Content-Length: 48\r\n" +
	"Content-Type: application/x-amz-json-1.1\r\n" +
	"X-Amz-Content-Sha256: d040f67424d1b944942f3e79e3264a18935de10ddf4274897225137511454a29\r\n" +
	"X-Amz-Date: " + moment + "\r\n" +
	"X-Amz-Security-Token: " + token + "\r\n" +
	"X-Amz-Target: TrentService.Encrypt\r\n" +
	"\r\n" +
	`{"KeyId":"alias/example","Plaintext":"aGVsbG8="}`

// signedRequest is a request to KMS with its signature.
func signedRequest(tb testing.TB) (*http.Request, []byte) {
	tb.Helper()
	r, body := receive(tb, encryptRequest)
	valid.sign(r, body, moment, namesOf(r))
	return r, body
}

// authenticate does what a server does that knows one access key, in one Region.
func authenticate(r *http.Request, body []byte, now time.Time) error {
	s, err := Parse(r)
	if err != nil {
		return err
	}
	if s.Region != region {
		return OtherRegion(s.Region)
	}
	with, known := secret, s.KeyID == keyID
	if !known {
		with = strings.Repeat("?", len(secret))
	}
	if err := s.Verify(r, body, with, "kms", now); err != nil && (known || !errors.Is(err, ErrMismatch)) {
		return err
	}
	if !known || s.Token != token {
		return ErrUnrecognized
	}
	return nil
}

// refused requires the fault, word for word, and that it gives nothing away.
func refused(t *testing.T, r *http.Request, body []byte, now time.Time, want string) {
	t.Helper()
	err := authenticate(r, body, now)
	if err == nil {
		t.Errorf("accepted, want %s", want)
		return
	}
	if _, ok := errors.AsType[*Fault](err); !ok || err.Error() != want {
		t.Errorf("refused with %T\n%v\nwant\n%s", err, err, want)
	}
	_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	for _, hidden := range []string{secret, token, signature, "SignedHeaders=", "TrentService.Encrypt"} {
		if hidden != "" && strings.Contains(err.Error(), hidden) {
			t.Errorf("%q holds %q", err, hidden)
		}
	}
}

// TestTampering changes every part of a signed request, one at a time.
func TestTampering(t *testing.T) {
	if r, body := signedRequest(t); authenticate(r, body, now) != nil {
		t.Fatal(authenticate(r, body, now))
	}
	unsigned := func(name string) string {
		return "InvalidSignatureException: '" + name + "' must be a 'SignedHeader' in the AWS Authorization."
	}
	edit := func(old, replacement string) func(*http.Request) {
		return func(r *http.Request) {
			header := r.Header.Get("Authorization")
			if strings.Count(header, old) != 1 {
				t.Fatalf("%s has not one %s", header, old)
			}
			r.Header.Set("Authorization", strings.Replace(header, old, replacement, 1))
		}
	}
	const names = "content-length;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target"
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"method":               {func(r *http.Request) { r.Method = "PUT" }, mismatch},
		"method of other case": {func(r *http.Request) { r.Method = "post" }, mismatch},
		"path":                 {func(r *http.Request) { r.RequestURI = "/kms" }, mismatch},
		"query":                {func(r *http.Request) { r.RequestURI = "/?Action=Encrypt" }, mismatch},
		"empty parameter":      {func(r *http.Request) { r.RequestURI = "/?&" }, mismatch},
		"host":                 {func(r *http.Request) { r.Host = "kms.us-east-2.amazonaws.com" }, mismatch},
		"port of the host":     {func(r *http.Request) { r.Host += ":443" }, mismatch},
		"no host":              {func(r *http.Request) { r.Host = "" }, mismatch},
		"another x-amz header": {func(r *http.Request) { r.Header.Set("X-Amz-Meta", "") }, unsigned("X-Amz-Meta")},
		"two x-amz headers": {func(r *http.Request) { r.Header["x-amz-b"], r.Header["X-Amz-A"] = []string{"b"}, []string{"a"} },
			unsigned("X-Amz-A")},
		"x-amz header in its own case": {func(r *http.Request) { r.Header["x-AMZ-b"] = []string{"b"} }, unsigned("X-Amz-B")},

		"access key": {edit(keyID, "AKIDEXAMPLF"), unrecognized},
		"date of the scope": {edit("/20260801/", "/20260802/"), "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: " +
			"'20260802' != '20260801', from '20260801T120000Z'."},
		"region":               {edit("/us-east-1/", "/us-east-2/"), "InvalidSignatureException: Credential should be scoped to a valid Region, not 'us-east-2'."},
		"region of other case": {edit("/us-east-1/", "/US-EAST-1/"), "InvalidSignatureException: Credential should be scoped to a valid Region, not 'US-EAST-1'."},
		"service":              {edit("/kms/", "/sts/"), "InvalidSignatureException: Credential should be scoped to correct service: 'kms'."},
		"terminator":           {edit("/aws4_request", "/aws5_request"), "InvalidSignatureException: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'."},
		"upper-case signature": {func(r *http.Request) {
			before, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", before+"Signature="+strings.ToUpper(signature))
		}, mismatch},
		"longer signature": {func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"00") }, mismatch},
		"shorter signature": {func(r *http.Request) {
			r.Header.Set("Authorization", strings.TrimSuffix(r.Header.Get("Authorization"), r.Header.Get("Authorization")[len(r.Header.Get("Authorization"))-2:]))
		}, mismatch},
		"no signature": {func(r *http.Request) {
			before, _, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", before+"Signature=")
		}, "IncompleteSignatureException: Authorization header requires 'Signature' parameter."},

		"content-length not signed": {edit("content-length;", ""), mismatch},
		"content-type not signed":   {edit("content-type;", ""), mismatch},
		"host not signed":           {edit("host;", ""), unsigned("Host")},
		"body hash not signed":      {edit("x-amz-content-sha256;", ""), unsigned("X-Amz-Content-Sha256")},
		"date not signed":           {edit("x-amz-date;", ""), unsigned("X-Amz-Date")},
		"token not signed":          {edit("x-amz-security-token;", ""), unsigned("X-Amz-Security-Token")},
		"target not signed":         {edit(";x-amz-target", ""), unsigned("X-Amz-Target")},
		"absent header signed":      {edit("host;", "host;x-absent;"), mismatch},
		"authorization signed":      {edit("content-length;", "authorization;content-length;"), mismatch},
		"order of headers":          {edit("content-length;content-type;", "content-type;content-length;"), mismatch},
		"header signed twice":       {edit("host;", "host;host;"), mismatch},
		"case of a header":          {edit("host;", "Host;"), mismatch},
		"empty name":                {edit("SignedHeaders=", "SignedHeaders=;"), mismatch},
		"no signed headers":         {edit(names, ""), "IncompleteSignatureException: Authorization header requires 'SignedHeaders' parameter."},
		"another Authorization": {func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) },
			"IncompleteSignatureException: There may be only one 'Authorization' and one 'X-Amz-Security-Token' header."},
	} {
		t.Run(name, func(t *testing.T) {
			r, body := signedRequest(t)
			c.change(r)
			refused(t, r, body, now, c.want)
		})
	}

	t.Run("headers", func(t *testing.T) {
		twoTokens := "IncompleteSignatureException: There may be only one 'Authorization' and one 'X-Amz-Security-Token' header."
		badDate := func(date string) string {
			return "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '" + date + "'. See http://en.wikipedia.org/wiki/ISO_8601"
		}
		r, _ := signedRequest(t)
		delete(r.Header, "Authorization")
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			value := r.Header.Get(name)
			change := func(values ...string) (*http.Request, []byte) {
				r, body := signedRequest(t)
				if len(values) == 0 {
					r.Header.Del(name)
				} else {
					r.Header[name] = values
				}
				return r, body
			}
			want := map[string]string{"value": mismatch, "removed": mismatch, "added": mismatch, "doubled": mismatch}
			switch name {
			case "X-Amz-Date":
				want["removed"] = "IncompleteSignatureException: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
				want["added"], want["doubled"] = badDate(moment+","), badDate(moment+","+moment)
			case "X-Amz-Security-Token":
				want["added"], want["doubled"] = twoTokens, twoTokens
			}
			other := strings.Replace(value, value[len(value)-1:], "A", 1)
			if name == "X-Amz-Date" {
				other = "20260801T120001Z"
			}
			for kind, values := range map[string][]string{"value": {other}, "removed": nil, "added": {value, ""}, "doubled": {value, value}} {
				r, body := change(values...)
				if name == "Content-Length" && kind == "removed" { // as if the body had come in chunks: its length is known all the same
					if err := authenticate(r, body, now); err != nil {
						t.Error(err)
					}
					continue
				}
				t.Run(name+" "+kind, func(t *testing.T) { refused(t, r, body, now, want[kind]) })
			}
		}
	})

	t.Run("bytes", func(t *testing.T) {
		r, body := signedRequest(t)
		for i := range body {
			changed := slices.Clone(body)
			changed[i] ^= 1
			refused(t, r, changed, now, mismatch)
		}
		refused(t, r, body[:len(body)-1], now, mismatch)
		refused(t, r, append(slices.Clone(body), '\n'), now, mismatch)
		refused(t, r, nil, now, mismatch)
		header := r.Header.Get("Authorization")
		for i := strings.Index(header, "Signature=") + len("Signature="); i < len(header); i++ {
			digit := byte('0')
			if header[i] == digit {
				digit = 'f'
			}
			r.Header.Set("Authorization", header[:i]+string(digit)+header[i+1:])
			refused(t, r, body, now, mismatch)
			r.Header.Set("Authorization", header[:i]+"g"+header[i+1:])
			refused(t, r, body, now, mismatch)
		}
	})
}

// TestBodyHash claims bodies that a request does not have, and signs the claim.
func TestBodyHash(t *testing.T) {
	for _, claim := range []string{"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", strings.Repeat("0", 64)} {
		r, body := signedRequest(t)
		r.Header.Set("X-Amz-Content-Sha256", claim)
		names := namesOf(r)
		canonical := valid.canonical(r, body, names)
		rest := canonical[:strings.LastIndex(canonical, "\n")+1]
		for _, canonical := range []string{canonical, rest + claim, rest, ""} { // with the right hash, as S3 would have it, and what an unwary verifier might make of it
			signature := valid.signature(valid.text(canonical, moment))
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260801/us-east-1/kms/aws4_request, SignedHeaders="+strings.Join(names, ";")+", Signature="+signature)
			refused(t, r, body, now, mismatch)
		}
	}
}

// TestTime is the window, to the second.
func TestTime(t *testing.T) {
	for _, c := range []struct {
		now  time.Time
		want string
	}{
		{now, ""},
		{now.Add(15 * time.Minute), ""},
		{now.Add(15*time.Minute + 999*time.Millisecond), ""}, // which is the same second
		{now.Add(-15 * time.Minute), ""},
		{now.Add(15*time.Minute + time.Second).In(time.FixedZone("", 3600)),
			"InvalidSignatureException: Signature expired: 20260801T120000Z is now earlier than 20260801T120001Z (20260801T121501Z - 15 min.)"},
		{now.Add(-15*time.Minute - time.Second),
			"InvalidSignatureException: Signature not yet current: 20260801T120000Z is still later than 20260801T115959Z (20260801T114459Z + 15 min.)"},
		{now.AddDate(1, 0, 0), "InvalidSignatureException: Signature expired: 20260801T120000Z is now earlier than 20270801T114500Z (20270801T120000Z - 15 min.)"},
		{time.Time{}, "InvalidSignatureException: Signature not yet current: 20260801T120000Z is still later than 00010101T001500Z (00010101T000000Z + 15 min.)"},
	} {
		r, body := signedRequest(t)
		if c.want != "" {
			refused(t, r, body, c.now, c.want)
		} else if err := authenticate(r, body, c.now); err != nil {
			t.Errorf("at %v: %v", c.now, err)
		}
	}
}

// TestDate signs at times in every form, in either header.
func TestDate(t *testing.T) {
	const missing = "IncompleteSignatureException: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
	bad := func(date string) string {
		return "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '" + date + "'. See http://en.wikipedia.org/wiki/ISO_8601"
	}
	for _, c := range []struct {
		amz, date []string
		want      string
	}{
		{[]string{moment}, nil, ""},
		{[]string{moment}, []string{"Sat, 01 Aug 2020 12:00:00 GMT"}, ""}, // X-Amz-Date comes first
		{[]string{moment}, []string{"yesterday"}, ""},
		{nil, []string{"Sat, 01 Aug 2026 12:00:00 GMT"}, ""},
		{nil, []string{"Saturday, 01-Aug-26 12:00:00 GMT"}, ""},
		{nil, []string{"Sat Aug  1 12:00:00 2026"}, ""},
		{nil, []string{moment}, ""},
		{nil, nil, missing},
		{[]string{"00010101T000000Z"}, nil, missing}, // a time that is none
		{nil, []string{""}, bad("")},
		{nil, []string{"Sat, 01 Aug 2026 12:00:00 +0000"}, bad("Sat, 01 Aug 2026 12:00:00 +0000")},
		{nil, []string{moment, moment}, bad(moment + "," + moment)},
		{nil, []string{"20260801T120000.5Z"}, bad("20260801T120000.5Z")},
		{[]string{""}, []string{"Sat, 01 Aug 2026 12:00:00 GMT"}, bad("")},
		{[]string{"Sat, 01 Aug 2026 12:00:00 GMT"}, nil, bad("Sat, 01 Aug 2026 12:00:00 GMT")},
		{[]string{"20260801T120000.5Z"}, nil, bad("20260801T120000.5Z")},
		{[]string{"20260801T120000,5Z"}, nil, bad("20260801T120000,5Z")},
		{[]string{"20260801T120000z"}, nil, bad("20260801T120000z")},
		{[]string{"20260801T120000+0000"}, nil, bad("20260801T120000+0000")},
		{[]string{"2026-08-01T12:00:00Z"}, nil, bad("2026-08-01T12:00:00Z")},
		{[]string{"20260801T240000Z"}, nil, bad("20260801T240000Z")},
		{[]string{"20260832T120000Z"}, nil, bad("20260832T120000Z")},
		{[]string{"20260801"}, nil, bad("20260801")},
		{[]string{"1785585600"}, nil, bad("1785585600")},
		{[]string{strings.Repeat("\x1b[31m'\u202e", 100)}, nil, bad(strings.Repeat("?[31m'?", 14) + "?[...")},
	} {
		r, body := signedRequest(t)
		delete(r.Header, "X-Amz-Date")
		if c.amz != nil {
			r.Header["X-Amz-Date"] = c.amz
		}
		if c.date != nil {
			r.Header["Date"] = c.date
		}
		valid.sign(r, body, moment, slices.DeleteFunc(namesOf(r), func(name string) bool { return name == "date" })) // it is in the string to sign
		if c.want != "" {
			refused(t, r, body, now, c.want)
		} else if err := authenticate(r, body, now); err != nil {
			t.Errorf("%v %v: %v", c.amz, c.date, err)
		}
		if c.amz == nil && c.want == "" { // a Date that is not signed cannot be changed all the same
			r.Header.Set("Date", "Sat, 01 Aug 2026 12:00:01 GMT")
			refused(t, r, body, now, mismatch)
		}
	}
}

// TestForms has requests that net/http takes apart, or that come in other forms than they are signed in.
func TestForms(t *testing.T) {
	const body = "\r\n\r\n{}"
	const rest = " HTTP/1.1\r\nHost: a\r\nX-Amz-Date: " + moment + "\r\nX-Amz-Security-Token: " + token
	for name, c := range map[string]struct {
		sent   string
		change func(*http.Request) // after it is signed
		also   string              // what is signed beyond the headers that are there
		want   string
	}{
		"chunks": {"POST /" + rest + "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", nil, "content-length", ""},
		"chunks, and a length that net/http takes out": {"POST /" + rest + "\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", nil, "content-length", ""},
		"no length":                {"POST /" + rest + "\r\n\r\n", nil, "content-length", ""},
		"length 0":                 {"POST /" + rest + "\r\nContent-Length: 0\r\n\r\n", nil, "", ""},
		"signed transfer-encoding": {"POST /" + rest + "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", nil, "transfer-encoding", mismatch},
		"signed trailer":           {"POST /" + rest + "\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n", nil, "trailer", mismatch},
		"signed connection":        {"POST /" + rest + "\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 2" + body, nil, "", ""},
		"absent connection":        {"POST /" + rest + "\r\nContent-Length: 2" + body, nil, "connection", mismatch},
		"to a proxy":               {"POST http://a/b?c=d" + rest + "\r\nContent-Length: 2" + body, nil, "", ""},
		"to a proxy, then on": {"POST http://a/b?c=d" + rest + "\r\nContent-Length: 2" + body,
			func(r *http.Request) { r.RequestURI = "/b?c=d" }, "", ""},
		"to a proxy, no path": {"POST http://a?c=d" + rest + "\r\nContent-Length: 2" + body,
			func(r *http.Request) { r.RequestURI = "/?c=d" }, "", ""},
		"to a proxy, nothing": {"POST http://a" + rest + "\r\nContent-Length: 2" + body,
			func(r *http.Request) { r.RequestURI = "/" }, "", ""},
		"to a proxy, another host": {"POST http://b/" + rest + "\r\nContent-Length: 2" + body,
			func(r *http.Request) { r.Host = "a" }, "", mismatch},
		"an address in the path": {"POST /http://a/b" + rest + "\r\nContent-Length: 2" + body,
			func(r *http.Request) { r.RequestURI = "/b" }, "", mismatch},
		"no host": {strings.Replace("POST /"+rest+"\r\n\r\n", "Host: a", "Host:", 1), nil, "", mismatch},
		"no request target": {"POST /a%2Fb/~c?d" + rest + "\r\nContent-Length: 2" + body, // a client's request, that went over no wire
			func(r *http.Request) { r.RequestURI, r.URL.Host, r.Host = "", r.Host, "" }, "", ""},
		"dots":                {"POST /./a//b/../c/." + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/a/c/" }, "", ""},
		"dots above the root": {"POST /../../a/.." + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/" }, "", ""},
		"dots at the end":     {"POST /a/b/.." + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/a/" }, "", ""},
		"encoded dots":        {"POST /a/%2e%2e/b" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/b" }, "", mismatch},
		"encoded slash":       {"POST /a%2Fb" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/a/b" }, "", mismatch},
		"slash at the end":    {"POST /a/" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/a" }, "", mismatch},
		"case of an escape":   {"POST /a%2fb" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/a%2Fb" }, "", mismatch},
		"order of a query":    {"POST /?b=1&a=2&a=1&a-=3" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/?a=1&a=2&a-=3&b=1" }, "", ""},
		"escapes in a query":  {"POST /?%61=%7e" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/?a=~" }, "", ""},
		"plus in a query":     {"POST /?a=b+c" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/?a=b%2Bc" }, "", ""},
		"plus is no space":    {"POST /?a=b+c" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/?a=b%20c" }, "", mismatch},
		"fragment":            {"POST /#a" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.RequestURI = "/" }, "", mismatch},
		"spaces":              {"POST /" + rest + "\r\nA:  b \t c  \r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("A", "b c") }, "", ""},
		"lines of a value":    {"POST /" + rest + "\r\nA: b c\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("A", "b\r\n\tc\n") }, "", ""},
		"fewer words":         {"POST /" + rest + "\r\nA: b c\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("A", "bc") }, "", mismatch},
		"other spaces":        {"POST /" + rest + "\r\nA: b\u00a0c\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("A", "b c") }, "", mismatch},
		"lines of a header":   {"POST /" + rest + "\r\nA: b\r\nA: c\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("A", "b,c") }, "", ""},
		"order of lines":      {"POST /" + rest + "\r\nA: b\r\nA: c\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header["A"] = []string{"c", "b"} }, "", mismatch},
		"odd names":           {"POST /" + rest + "\r\n!#$%&'*+-.^_`|~0: a\r\n_x: b\r\nContent-Length: 2" + body, nil, "", ""},
		"line in a header":    {"POST /" + rest + "\r\nA: b\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("A", "b\nb:c") }, "", mismatch},
		"x-amzn header":       {"POST /" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("X-Amzn-Trace-Id", "Root=1") }, "", ""},
		"content type":        {"POST /" + rest + "\r\nContent-Length: 2" + body, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, body := receive(t, c.sent)
			names := namesOf(r)
			if c.also != "" {
				names = append(names, c.also)
				slices.Sort(names)
			}
			valid.sign(r, body, moment, names)
			if c.change != nil {
				if err := authenticate(r, body, now); err != nil {
					t.Errorf("before the change: %v", err)
				}
				c.change(r)
			}
			if c.want != "" {
				refused(t, r, body, now, c.want)
			} else if err := authenticate(r, body, now); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestServer verifies what a server of net/http receives from a client of net/http, in both versions of HTTP.
func TestServer(t *testing.T) {
	for _, version := range []int{1, 2} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.ProtoMajor != version {
				t.Errorf("%s, %v", r.Proto, err)
			}
			if err := authenticate(r, body, now); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
			}
		}))
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		defer server.Close()
		for _, path := range []string{"/", "/a%2Fb//c/../~d/?x=%20&y"} {
			const body = `{"KeyId":"alias/example"}`
			r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"X-Amz-Date": {moment}, "X-Amz-Security-Token": {token}, "X-Amz-Target": {"TrentService.DescribeKey"}, "User-Agent": {"a  b"}}
			r.RequestURI = path // for the signer
			valid.sign(r, []byte(body), moment, []string{"content-length", "host", "user-agent", "x-amz-date", "x-amz-security-token", "x-amz-target"})
			r.RequestURI = ""
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Errorf("HTTP/%d %s: %s", version, path, answer.Status)
			}
		}
	}
}
