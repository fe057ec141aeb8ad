package sigv4

import (
	"net/http"
	"strings"
	"testing"
)

// TestParse has headers that are not as they should be.
func TestParse(t *testing.T) {
	const (
		missing    = "MissingAuthenticationTokenException: Missing Authentication Token"
		incomplete = "IncompleteSignatureException: "
		credential = "Authorization header requires 'Credential' parameter."
		signature  = "Authorization header requires 'Signature' parameter."
		signed     = "Authorization header requires 'SignedHeaders' parameter."
		date       = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
		five       = incomplete + "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
		noPair     = " not a valid key=value pair (missing equal-sign) in Authorization header."
	)
	mac := strings.Repeat("5d", 32)
	c, h, s := "Credential=AKIDEXAMPLE/20260801/us-east-1/kms/aws4_request", "SignedHeaders=host;x-amz-date", "Signature="+mac
	const a = "AWS4-HMAC-SHA256 "
	for _, c := range []struct{ header, want string }{
		{a + c + ", " + h + ", " + s, ""},
		{a + c + "," + h + "," + s, ""},
		{a + s + ",   " + h + " ,, " + c + ",", ""},
		{a + c + " " + h + " " + s, ""},
		{a + c + ", " + h + ", " + s + ", Other=1, Other=2", ""},

		{"", missing},
		{"Bearer eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG", missing},
		{"Basic QUtJREVYQU1QTEU6c2VjcmV0", missing},
		{"AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=", missing},
		{strings.ToLower(a) + c + ", " + h + ", " + s, missing},

		{strings.TrimSpace(a), incomplete + credential + " " + signature + " " + signed},
		{a, incomplete + credential + " " + signature + " " + signed},
		{a + c, incomplete + signature + " " + signed},
		{a + c + ", " + h, incomplete + signature},
		{a + h + ", " + s, incomplete + credential},
		{a + c + ", " + s, incomplete + signed},
		{a + "credential" + strings.TrimPrefix(c, "Credential") + ", " + h + ", " + s, incomplete + credential},
		{strings.Replace(a, " ", "\t", 1) + c + ", " + h + ", " + s, incomplete + credential},
		{a + "Credential=, " + h + ", Signature=", incomplete + credential + " " + signature},
		{a + "Credential, " + h + ", " + s, incomplete + "'Credential'" + noPair},
		{a + c + ", SignedHeaders host, " + s, incomplete + "'SignedHeaders'" + noPair},
		{a + c + ", " + h + ", Signature " + mac, incomplete + "'Signature'" + noPair},
		{a + mac, incomplete + "'...'" + noPair},
		{a + c + ", " + h + ", Signature= " + mac, incomplete + "'...'" + noPair},
		{a + c + ", " + c + ", " + h + ", " + s, incomplete + "Authorization header has more than one 'Credential' parameter."},
		{a + c + ", " + h + ", SignedHeaders=host, " + s, incomplete + "Authorization header has more than one 'SignedHeaders' parameter."},
		{a + c + ", " + h + ", " + s + ", " + s, incomplete + "Authorization header has more than one 'Signature' parameter."},

		{"AWS4-HMAC-SHA512 " + c + ", " + h + ", " + s, incomplete + "Unsupported AWS 'algorithm' (only AWS4-HMAC-SHA256 for now)."},
		{"AWS4-ECDSA-P256-SHA256 " + c + ", " + h + ", " + s, incomplete + "Unsupported AWS 'algorithm' (only AWS4-HMAC-SHA256 for now)."},

		{a + "Credential=AKIDEXAMPLE, " + h + ", " + s, five},
		{a + "Credential=AKIDEXAMPLE/20260801/us-east-1/kms, " + h + ", " + s, five},
		{a + c + "/, " + h + ", " + s, five},
		{a + "Credential=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY/20260801/us-east-1/kms/aws4_request, " + h + ", " + s, five},
		{a + "Credential=/20260801/us-east-1/kms/aws4_request, " + h + ", " + s, unrecognized},
		{a + "Credential=\xc3\xa9/20260801/us-east-1/kms/aws4_request, " + h + ", " + s, unrecognized},
		{a + "Credential=a\tb/20260801/us-east-1/kms/aws4_request, " + h + ", " + s, unrecognized},
		{a + "Credential=" + strings.Repeat("A", 128) + "/20260801/us-east-1/kms/aws4_request, " + h + ", " + s, ""},
		{a + "Credential=" + strings.Repeat("A", 129) + "/20260801/us-east-1/kms/aws4_request, " + h + ", " + s, unrecognized},

		{a + c + ", " + h + ", Signature=" + mac[2:], mismatch},
		{a + c + ", " + h + ", Signature=" + mac[1:], mismatch},
		{a + c + ", " + h + ", Signature=" + mac + "5d", mismatch},
		{a + c + ", " + h + ", Signature=" + strings.Repeat("5D", 32), mismatch},
		{a + c + ", " + h + ", Signature=" + strings.Repeat("5g", 32), mismatch},
		{a + c + ", " + h + ", Signature=" + mac + "=", mismatch},

		{a + c + ", SignedHeaders=x-amz-date, " + s, "InvalidSignatureException: 'Host' must be a 'SignedHeader' in the AWS Authorization."},
		{a + c + ", SignedHeaders=host, " + s, "InvalidSignatureException: 'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."},
		{a + c + ", SignedHeaders=;, " + s, mismatch},
		{a + c + ", SignedHeaders=host;x-amz-date;, " + s, mismatch},
		{a + c + ", SignedHeaders=x-amz-date;host, " + s, mismatch},
		{a + c + ", SignedHeaders=Host;X-Amz-Date, " + s, mismatch},
	} {
		r := &http.Request{Method: "POST", Host: "a", RequestURI: "/", Header: http.Header{"X-Amz-Date": {moment}}}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		signature, err := Parse(r)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s\n%v", c.header, err)
		case c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%s\n%v\nwant\n%s", c.header, err, c.want)
		case err == nil && (!strings.Contains(c.header, "="+signature.KeyID+"/20260801/"+signature.Region+"/kms/") || signature.Token != ""):
			t.Errorf("%s\n%+v", c.header, signature)
		}
	}

	r := &http.Request{Header: http.Header{"Authorization": {strings.TrimSpace(a)}}}
	if _, err := Parse(r); err == nil || err.Error() != incomplete+credential+" "+signature+" "+signed+" "+date {
		t.Error(err)
	}
	r = &http.Request{RequestURI: "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260801%2Fus-east-1%2Fkms%2Faws4_request&X-Amz-Date=" + moment +
		"&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + mac}
	if _, err := Parse(r); err == nil || err.Error() != missing { // the form in the query is not for this service
		t.Error(err)
	}
}

// TestFaults has the faults that are for the verifier to tell.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{ErrMismatch, mismatch},
		{ErrUnrecognized, unrecognized},
		{ErrExpired, "ExpiredTokenException: The security token included in the request is expired"},
		{OtherRegion("eu-west-1"), "InvalidSignatureException: Credential should be scoped to a valid Region, not 'eu-west-1'."},
		{OtherRegion("\n" + strings.Repeat("a", 1000)), "InvalidSignatureException: Credential should be scoped to a valid Region, not '?" + strings.Repeat("a", 127) + "...'."},
	} {
		if c.err.Error() != c.want {
			t.Errorf("%v\nwant %s", c.err, c.want)
		}
	}
}
