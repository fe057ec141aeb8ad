package main

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/openssl"
	"github.com/claviger/kms/examples/internal/privilege"
	"github.com/claviger/kms/examples/internal/program"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// verify does what a service does that is given a token: it knows the key set, and takes each key for its own algorithm.
func verify(published []byte, token string) (jwt.Claims, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(published, &set); err != nil {
		return jwt.Claims{}, err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256, jose.PS256})
	if err != nil {
		return jwt.Claims{}, err
	}
	header := parsed.Headers[0]
	keys := set.Key(header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != header.Algorithm || keys[0].Use != "sig" || !keys[0].IsPublic() {
		return jwt.Claims{}, fmt.Errorf("no key %s for %s", header.KeyID, header.Algorithm)
	}
	var claims jwt.Claims
	if err := parsed.Claims(keys[0].Key, &claims); err != nil {
		return jwt.Claims{}, err
	}
	return claims, claims.Validate(jwt.Expected{Issuer: issuerURL, AnyAudience: jwt.Audience{audience}, Time: time.Now()})
}

func TestMain(m *testing.M) { program.Main(m, main) }

// TestJWT runs the program, and verifies its tokens by another library from the key set that it prints.
func TestJWT(t *testing.T) {
	out, err := program.Command(t, "-subject", "grace").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.SplitN(string(out), "\n", 9)
	if len(lines) != 9 {
		t.Fatalf("it prints\n%s", out)
	}
	set, tokens := []byte(lines[1]), lines[3:7]
	for i, algorithm := range []string{"ES256", "EdDSA", "RS256", "PS256"} {
		claims, err := verify(set, tokens[i])
		if err != nil || claims.Subject != "grace" || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) != lifetime {
			t.Errorf("%s: %+v, %v", algorithm, claims, err)
		}
		if head, _ := base64.RawURLEncoding.DecodeString(strings.Split(tokens[i], ".")[0]); !strings.Contains(string(head), `"alg":"`+algorithm+`"`) {
			t.Errorf("token %d has the header %s, want %s", i, head, algorithm)
		}
	}
	made := `  \S+  root +CreateKey +\S+ +ok\n  \S+  role/issuer +GetPublicKey +\S+ +ok\n`
	signed := `  \S+  role/issuer +Sign +\S+ +ok\n`
	if trail := regexp.MustCompile(`^` + strings.Repeat(made, 4) + strings.Repeat(signed, 4) + `$`); !trail.MatchString(lines[8]) {
		t.Errorf("its trail is\n%s", lines[8])
	}
}

// TestTokens has each method issue tokens in one ring, and others judge them.
func TestTokens(t *testing.T) {
	ring, err := kms.Open(t.Context(), kms.Config{AccountID: "111122223333"})
	must(t, err)
	defer ring.Close()
	role := ring.As(kms.Role("issuer"))
	var issuers []*issuer
	for _, m := range methods {
		key, err := newKey(t.Context(), ring, m)
		must(t, err)
		i, err := newIssuer(t.Context(), role, key, m)
		must(t, err)
		issuers = append(issuers, i)
	}
	set, err := newKeySet(issuers...)
	must(t, err)
	published, err := json.Marshal(set)
	must(t, err)
	for n, i := range issuers {
		t.Run(i.method.Alg(), func(t *testing.T) {
			token, err := i.issue(t.Context(), "ada")
			must(t, err)
			if claims, err := verify(published, token); err != nil || claims.Subject != "ada" {
				t.Errorf("%+v, %v", claims, err)
			}
			other, err := issuers[(n+1)%len(issuers)].issue(t.Context(), "ada")
			must(t, err)
			refuseAltered(t, published, token, other)
			t.Run("role", func(t *testing.T) { checkRole(t, ring, role, i) })
			t.Run("openssl", func(t *testing.T) { ask(t, role, i, token) })
		})
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := issuers[0].issue(canceled, "ada"); !errors.Is(err, context.Canceled) {
		t.Errorf("under a context that is over: %v", err)
	}
	must(t, ring.DisableKey(t.Context(), issuers[0].signer.KeyARN()))
	if _, err := issuers[0].issue(t.Context(), "ada"); !errors.Is(err, kms.ErrDisabled) {
		t.Errorf("with its key disabled: %v", err)
	}
}

// refuseAltered changes a token in every way that whoever bears it could try.
func refuseAltered(t *testing.T, published []byte, token, other string) {
	t.Helper()
	parts, others := strings.Split(token, "."), strings.Split(other, ".")
	edit := func(part, from, to string) string {
		text, err := base64.RawURLEncoding.DecodeString(part)
		must(t, err)
		edited := bytes.Replace(text, []byte(from), []byte(to), 1)
		if bytes.Equal(edited, text) {
			t.Fatalf("no %q in %s", from, text)
		}
		return base64.RawURLEncoding.EncodeToString(edited)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	must(t, err)
	for _, at := range []int{0, len(signature) / 2, len(signature) - 1} {
		altered := bytes.Clone(signature)
		altered[at] ^= 1
		if _, err := verify(published, parts[0]+"."+parts[1]+"."+base64.RawURLEncoding.EncodeToString(altered)); !errors.Is(err, jose.ErrCryptoFailure) {
			t.Errorf("byte %d of the signature altered: %v", at, err)
		}
	}
	for name, altered := range map[string][3]string{
		"another subject":               {parts[0], edit(parts[1], "ada", "eve"), parts[2]},
		"an algorithm of no signature":  {edit(parts[0], `"alg":"`, `"alg":"none","x":"`), parts[1], ""},
		"another header":                {edit(parts[0], `"JWT"`, `"jwt"`), parts[1], parts[2]},
		"the header of another key":     {others[0], parts[1], parts[2]},
		"the signature of another key":  {parts[0], parts[1], others[2]},
		"no signature":                  {parts[0], parts[1], ""},
		"a signature that is too short": {parts[0], parts[1], parts[2][:len(parts[2])-4]},
	} {
		if _, err := verify(published, strings.Join(altered[:], ".")); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// checkRole: the role signs by the key's one algorithm, and no other role does.
func checkRole(t *testing.T, ring *kms.Keyring, role *kms.Client, i *issuer) {
	key := i.signer.KeyARN()
	public, err := role.GetPublicKey(t.Context(), key)
	must(t, err)
	for _, a := range public.SigningAlgorithms {
		if a == i.method.algorithm || a == kms.AlgorithmED25519PHSHA512 { // which takes digests only
			continue
		}
		if _, err := role.Sign(t.Context(), key, kms.Raw([]byte("x")), a); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%s: %v", a, err)
		}
	}
	privilege.SignsOnly(t, role, key, i.method.algorithm)
	if _, err := newIssuer(t.Context(), ring.As(kms.Role("orders")), kms.KeyMetadata{ARN: key}, i.method); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("another role: %v", err)
	}
}

// ask has openssl verify a token with the public key in PEM, and refuse another one.
func ask(t *testing.T, role *kms.Client, i *issuer, token string) {
	options := map[string][]string{
		"ES256": {"dgst", "-sha256", "-verify", "key.pem", "-signature", "signature"},
		"RS256": {"dgst", "-sha256", "-verify", "key.pem", "-signature", "signature"},
		"PS256": {"dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-verify", "key.pem", "-signature", "signature"},
		"EdDSA": {"pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "signature", "-in"},
	}[i.method.Alg()]
	public, err := role.GetPublicKey(t.Context(), i.signer.KeyARN())
	must(t, err)
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	must(t, err)
	if i.method.Alg() == "ES256" { // openssl wants DER
		signature, err = asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
		must(t, err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"key.pem":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public.DER}),
		"signature": signature, "signed": []byte(token[:dot]), "altered": []byte(token[:dot] + "x"),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	for file, valid := range map[string]bool{"signed": true, "altered": false} {
		cmd := openssl.Command(t, append(options, file)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); (err == nil) != valid || !regexp.MustCompile("(?i)veri").Match(out) {
			t.Errorf("openssl on what was %s: %v\n%s", file, err, out)
		}
	}
}

// TestJOSEForm: the numbers of a signature are padded to 32 bytes each.
func TestJOSEForm(t *testing.T) {
	got, err := joseForm([]byte{0x30, 0x07, 0x02, 0x01, 0x05, 0x02, 0x02, 0x00, 0x80}) // 5 and 128
	if want := append(append(make([]byte, 31), 5), append(make([]byte, 31), 128)...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	if _, err := joseForm([]byte{0x30, 0x03, 0x02, 0x01, 0x05}); err == nil {
		t.Error("it takes half a signature")
	}
}
