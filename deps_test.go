package kms_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claviger/kms"

// layers says what each package may import, beside the standard library: what it imports itself, not what that brings along. Imports point one way: fronts to the
// root, the root to the leaves, drivers to their leaf. Do not add a line here to make a build pass.
var layers = map[string][]string{
	".": {module + "/anchor", module + "/audit", module + "/internal/arn", module + "/internal/cache", module + "/internal/keypair", module + "/internal/record", module + "/internal/secret", module + "/internal/testhook",
		module + "/keystore", module + "/keystore/memory", module + "/policy", module + "/rootkey", "golang.org/x/crypto/cryptobyte"},

	"./anchor":   {module + "/internal/regular"},
	"./audit":    {module + "/internal/arn"},
	"./keystore": {},
	"./policy":   {module + "/internal/arn", module + "/internal/strictjson"},
	"./rootkey":  {},

	"./internal/arn":    {},
	"./internal/bubble": {},
	"./internal/cache":  {},
	"./internal/keypair": {module + "/internal/secret", "filippo.io/mldsa", "filippo.io/mldsa/mldsacrypto", "filippo.io/mldsa/x509", "github.com/cloudflare/circl/kem/mlkem/mlkem512",
		"github.com/decred/dcrd/dcrec/secp256k1/v4", "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa", "golang.org/x/crypto/cryptobyte", "golang.org/x/crypto/cryptobyte/asn1"},
	"./internal/peers": {"github.com/cloudflare/circl/kem", "github.com/cloudflare/circl/kem/mlkem/mlkem1024", "github.com/cloudflare/circl/kem/mlkem/mlkem768", "github.com/cloudflare/circl/sign",
		"github.com/cloudflare/circl/sign/ed25519", "github.com/cloudflare/circl/sign/mldsa/mldsa44", "github.com/cloudflare/circl/sign/mldsa/mldsa65", "github.com/cloudflare/circl/sign/mldsa/mldsa87",
		"github.com/cloudflare/circl/xof"},
	"./internal/record":     {module + "/internal/secret"},
	"./internal/regular":    {},
	"./internal/secret":     {},
	"./internal/secretfile": {module + "/internal/regular"},
	"./internal/sigv4":      {},
	"./internal/sigv4test":  {},
	"./internal/strictjson": {},
	"./internal/testhook":   {},
	"./internal/vectors":    {module + "/policy"},
	"./internal/watch":      {},

	"./keystore/bolt":         {module + "/internal/regular", module + "/keystore", "go.etcd.io/bbolt", "go.etcd.io/bbolt/errors"},
	"./keystore/memory":       {module + "/keystore"},
	"./keystore/keystoretest": {module + "/keystore"},
	"./rootkey/aead":          {module + "/rootkey"},
	"./rootkey/keyfile":       {module + "/internal/secret", module + "/rootkey", module + "/internal/secretfile"},
	"./rootkey/passphrase":    {module + "/internal/secret", module + "/rootkey", module + "/internal/secretfile", "golang.org/x/crypto/argon2"},
	"./rootkey/rootkeytest":   {module + "/rootkey"},
	"./rootkey/tinkkeyset":    {module + "/rootkey", module + "/internal/secretfile", "github.com/tink-crypto/tink-go/v2/aead", "github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset", "github.com/tink-crypto/tink-go/v2/keyset"},
	"./identities":            {module, module + "/internal/arn", module + "/internal/regular", module + "/internal/strictjson", module + "/internal/watch", module + "/policy"},
	"./kmshttp":               {module, module + "/audit", module + "/internal/secretfile", module + "/internal/sigv4", module + "/internal/strictjson", module + "/internal/watch"},
	"./kmstest":               {module, module + "/audit", module + "/internal/testhook"},
}

// outside are the packages that the root's whole tree may hold beside the standard library and this module.
var outside = []string{"filippo.io/mldsa", "filippo.io/mldsa/", "github.com/cloudflare/circl/", "github.com/decred/dcrd/dcrec/secp256k1/v4", "github.com/decred/dcrd/dcrec/secp256k1/v4/",
	"golang.org/x/crypto/", "golang.org/x/sys/cpu", "github.com/tink-crypto/tink-go/v2/tink", "github.com/tink-crypto/tink-go/v2/kwp/subtle"}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, out)
	}
	return strings.Fields(string(out))
}

func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func TestLayers(t *testing.T) {
	found := map[string]bool{}
	for _, path := range goList(t, "./...") {
		dir := "." + strings.TrimPrefix(path, module)
		found[dir] = true
		allowed, known := layers[dir]
		if !known {
			t.Errorf("package %s is in no layer", path)
			continue
		}
		imports := goList(t, "-f", `{{join .Imports "\n"}}`, path)
		for _, i := range imports {
			if !isStandard(i) && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", path, i)
			}
		}
		for _, a := range allowed {
			if !slices.Contains(imports, a) {
				t.Errorf("%s may import %s, and does not", path, a)
			}
		}
	}
	for dir := range layers {
		if !found[dir] {
			t.Errorf("%s has a layer and is no package", dir)
		}
	}
}

func TestRootBringsLittle(t *testing.T) {
	standard := goList(t, "std")
	for _, path := range goList(t, "-deps", ".") {
		if slices.Contains(standard, path) || strings.HasPrefix(path, "vendor/") || strings.HasPrefix(path, module) ||
			slices.ContainsFunc(outside, func(p string) bool { return path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) }) {
			continue
		}
		t.Errorf("the root brings %s", path)
	}
}
