package kmshttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/claviger/kms"
	"github.com/claviger/kms/internal/testhook"
	"github.com/claviger/kms/kmshttp"
	"github.com/claviger/kms/kmstest"
)

// FuzzRequest: whatever an authenticated caller asks is answered, by a success or by a fault of the caller's, in JSON or by nothing, and no message moves a cursor.
func FuzzRequest(f *testing.F) {
	// Keys have the same ids in every world, so that a seed can name one.
	open := func(t testing.TB) *kmshttp.RoundTripper {
		var n byte
		ring := kmstest.New(t, func(cfg *kms.Config) {
			cfg.Test = &testhook.Hooks{KeyID: func() [16]byte { n++; return [16]byte{6: 0x40, 8: 0x80, 15: n} }}
			cfg.CacheSize = 16
		})
		for _, in := range []kms.CreateKeyInput{{}, {}, {KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify}, {KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac},
			{KeySpec: kms.ECCNISTP256, KeyUsage: kms.KeyAgreement}, {KeySpec: kms.MLKEM768, KeyUsage: kms.EncapsulateDecapsulate}} {
			if _, err := ring.CreateKey(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		if err := ring.CreateAlias(t.Context(), "alias/a", "00000000-0000-4000-8000-000000000001"); err != nil {
			t.Fatal(err)
		}
		return kmshttp.Transport(ring.Keyring)
	}
	w := &world{Ring: kmstest.New(f), t: f, made: map[string]any{}}
	ids := map[string]string{}
	for i, key := range []func(*world) string{(*world).symmetric, (*world).other, (*world).signing, (*world).mac, (*world).agreeing, (*world).kem} {
		ids[key(w)] = "00000000-0000-4000-8000-00000000000" + strconv.Itoa(i+1)
	}
	for op := range offered {
		body := op.least(w).String()
		for arn, id := range ids {
			body = strings.ReplaceAll(body, arn, id)
		}
		f.Add("TrentService."+op.name, []byte(body))
		for _, m := range op.members {
			if m.value != nil && !m.required {
				f.Add("TrentService."+op.name, []byte(op.base(w, m).with(m.name, m.value(w)).String()))
			}
		}
	}
	for _, body := range []string{"", "[]", `{"KeyId":"a\u009b\u202e\u0000"}`, `{"KeyId":"arn:aws:kms:eu-central-1:444455556666:key/x"}`, "{\"KeyId\":\"\xff\"}", `{"Marker":"AQ","Limit":0}`} {
		f.Add("TrentService.DescribeKey", []byte(body))
		f.Add("TrentService.ListKeys", []byte(body))
	}
	for _, target := range []string{"", "TrentService.", "TrentService.ImportKeyMaterial", "trentservice.listkeys"} {
		f.Add(target, []byte("{}"))
	}
	known := []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge}
	f.Fuzz(func(t *testing.T, target string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://kms.eu-central-1.amazonaws.com/", strings.NewReader(string(body)))
		r.Header["X-Amz-Target"] = []string{target}
		a := roundTrip(t, open(t), r)
		a.wantHeader(t, target)
		if !slices.Contains(known, a.status) || !utf8.ValidString(a.body) || a.body != "" && !json.Valid([]byte(a.body)) {
			t.Fatalf("%s: %d %q", target, a.status, a.body)
		}
		if (a.status == http.StatusOK) != (a.code() == "") || a.status != http.StatusOK && strings.Trim(names(a.m), " ") != "__type" && names(a.m) != "__type message" {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
		if a.status != http.StatusOK && (len(a.body) > 20_000 || strings.ContainsFunc(a.message(), func(r rune) bool { return !unicode.IsPrint(r) })) {
			t.Errorf("%s: %q", target, a.message())
		}
	})
}
