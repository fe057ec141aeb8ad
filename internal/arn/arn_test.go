package arn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claviger/kms/internal/arn"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want arn.ARN
	}{
		{"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			arn.ARN{"aws", "kms", "eu-central-1", "111122223333", "key/1234abcd-12ab-34cd-56ef-1234567890ab"}},
		{"arn:aws:iam::111122223333:role/service-role/Data", arn.ARN{"aws", "iam", "", "111122223333", "role/service-role/Data"}},
		{"arn:aws-cn:sts::111122223333:assumed-role/App/s@1", arn.ARN{"aws-cn", "sts", "", "111122223333", "assumed-role/App/s@1"}},
		{"arn:aws:s3:::bucket", arn.ARN{"aws", "s3", "", "", "bucket"}},
		{"arn:aws:logs:us-east-1:111122223333:log-group:a:b", arn.ARN{"aws", "logs", "us-east-1", "111122223333", "log-group:a:b"}},
	} {
		got, err := arn.Parse(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tc.in, got, err, tc.want)
		}
		if got.String() != tc.in {
			t.Errorf("%q is written back as %q", tc.in, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "arn", "arn:", "arn:aws", "arn:aws:kms:eu-central-1:111122223333", "arn:aws:kms:eu-central-1:111122223333:", "ARN:aws:kms:r:111122223333:key/a",
		"arn::kms:r:111122223333:key/a", "arn:aws::r:111122223333:key/a", "arn:AWS:kms:r:111122223333:key/a", "arn:aws:kms:R:111122223333:key/a",
		"arn:aws:kms:r:11112222333:key/a", "arn:aws:kms:r:1111222233334:key/a", "arn:aws:kms:r:11112222333x:key/a", "arn:aws:kms:r:111122223333:key/ a",
		"arn:aws:kms:r:111122223333:key/\x00", "arn:aws:kms:r:111122223333:key/*", "arn:aws:kms:*:111122223333:key/a", "arn:aws:kms:r:111122223333:key/\xff",
		" arn:aws:kms:r:111122223333:key/a", "arn:aws:s3:::" + strings.Repeat("x", arn.MaxLen),
	} {
		if got, err := arn.Parse(in); !errors.Is(err, arn.ErrMalformed) {
			t.Errorf("Parse(%.60q) = %+v, %v; want ErrMalformed", in, got, err)
		}
	}
}

func TestIsAccountID(t *testing.T) {
	for in, want := range map[string]bool{"111122223333": true, "000000000000": true, "": false, "11112222333": false, "1111222233334": false, "11112222333a": false, "１11122223333": false} {
		if got := arn.IsAccountID(in); got != want {
			t.Errorf("IsAccountID(%q) = %v", in, got)
		}
	}
}

func TestIsRegion(t *testing.T) {
	for in, want := range map[string]bool{"eu-central-1": true, "local": true, "": false, "1eu": false, "EU": false, "eu central": false, strings.Repeat("a", 33): false} {
		if got := arn.IsRegion(in); got != want {
			t.Errorf("IsRegion(%q) = %v", in, got)
		}
	}
}

// FuzzParse: whatever is accepted is written back as it was read.
func FuzzParse(f *testing.F) {
	f.Add("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
	f.Add("arn:aws:iam::111122223333:root")
	f.Add("arn:aws:s3:::b:c:d")
	f.Add("arn:aws:kms:*:1:")
	f.Fuzz(func(t *testing.T, in string) {
		a, err := arn.Parse(in)
		if err != nil {
			if strings.Contains(err.Error(), in) && len(in) > 20 {
				t.Errorf("the error repeats the input: %v", err)
			}
			return
		}
		if a.String() != in {
			t.Errorf("%q is written back as %q", in, a)
		}
	})
}
