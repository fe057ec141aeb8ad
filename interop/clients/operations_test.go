package clients

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// notOffered are the operations that the server does not offer, with inputs that AWS KMS would take. All others of the API must work.
var notOffered = map[string]members{
	"ConnectCustomKeyStore":     {"CustomKeyStoreId": "cks-1234567890abcdef0"},
	"CreateCustomKeyStore":      {"CustomKeyStoreName": "store", "CloudHsmClusterId": "cluster-1a23b4cdefg", "KeyStorePassword": "kmsPswd", "TrustAnchorCertificate": "certificate"},
	"DeleteCustomKeyStore":      {"CustomKeyStoreId": "cks-1234567890abcdef0"},
	"DescribeCustomKeyStores":   {},
	"DisconnectCustomKeyStore":  {"CustomKeyStoreId": "cks-1234567890abcdef0"},
	"UpdateCustomKeyStore":      {"CustomKeyStoreId": "cks-1234567890abcdef0", "NewCustomKeyStoreName": "other"},
	"GetParametersForImport":    {"KeyId": someKey, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"},
	"ImportKeyMaterial":         {"KeyId": someKey, "ImportToken": []byte("token"), "EncryptedKeyMaterial": []byte("material"), "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
	"DeleteImportedKeyMaterial": {"KeyId": someKey},
	"ReplicateKey":              {"KeyId": "mrk-1234abcd12ab34cd56ef1234567890ab", "ReplicaRegion": "eu-west-2"},
	"UpdatePrimaryRegion":       {"KeyId": "mrk-1234abcd12ab34cd56ef1234567890ab", "PrimaryRegion": "eu-west-2"},
	"GetKeyLastUsage":           {"KeyId": someKey},
}

const someKey = "1234abcd-12ab-34cd-56ef-1234567890ab" // that there is not

// unknownToOldModels are operations that libraries of December 2022, as Debian 12 has them, do not know. Whatever else a library does not know is an error.
var unknownToOldModels = []string{"Decapsulate", "DeriveSharedSecret", "Encapsulate", "GetKeyLastUsage", "ListKeyRotations", "RotateKeyOnDemand"}

// walks are what every client does, each with keys of its own. Together they call every operation.
var walks = map[string]func(*walk){
	"lifetime":      (*walk).lifetime,
	"documents":     (*walk).documents,
	"flags":         (*walk).flags,
	"data keys":     (*walk).dataKeys,
	"signatures":    (*walk).signatures,
	"macs":          (*walk).macs,
	"agreement":     (*walk).agreement,
	"encapsulation": (*walk).encapsulation,
	"public keys":   (*walk).publicKeys,
	"grants":        (*walk).grants,
	"pages":         (*walk).pages,
	"refusals":      (*walk).refusals,
	"not offered":   (*walk).notOffered,
}

// A walk is one client's way through some operations, in one Region, beside another client that sees what becomes of it.
type walk struct {
	*testing.T
	client, other client
	region        string
	calls         *calls
}

// Calls are what a client has called: the operations, the paths of the members of inputs and outputs, and how many walks it has done.
type calls struct {
	mu                     sync.Mutex
	names, inputs, outputs map[string]bool
	walks                  int
}

func (c *calls) add(op string, in, out members) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[op] = true
	addValues(c.inputs, op, map[string]any(in.plain()))
	addValues(c.outputs, op, map[string]any(out))
}

func (c *calls) walked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.walks++
}

func TestGoSDK(t *testing.T) {
	t.Parallel()
	walkAll(t, newSDK(), nil)
}

func TestJavaScript(t *testing.T) {
	t.Parallel()
	walkAll(t, newNode(t, 0), nil)
}

func TestBoto3(t *testing.T) {
	t.Parallel()
	for _, python := range newPythons(t) {
		t.Run(python.name(), func(t *testing.T) {
			t.Parallel()
			walkAll(t, python, unknownToOldModels)
		})
	}
}

// regions are some of those that the server has, and where walks go.
var regions = []string{"us-east-1", "eu-central-1", "ap-southeast-2", "sa-east-1", "af-south-1", "eu-north-1", "ca-west-1", "il-central-1"}

// walkAll takes a client through all walks, which must call every operation but those that the client may not know.
func walkAll(t *testing.T, c client, mayLack []string) {
	other, calls := newSDK(), &calls{names: map[string]bool{}, inputs: map[string]bool{}, outputs: map[string]bool{}}
	for i, name := range slices.Sorted(maps.Keys(walks)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if !t.Failed() {
					calls.walked()
				}
			}()
			walks[name](&walk{T: t, client: c, other: other, region: regions[(len(c.name())+i)%len(regions)], calls: calls})
		})
	}
	t.Cleanup(func() { // when they are over
		if calls.walks < len(walks) {
			return // some have failed, or were not to be run
		}
		for _, op := range operations {
			switch known := c.knows(op); {
			case !known && !slices.Contains(mayLack, op):
				t.Errorf("%s does not know %s", c.name(), op)
			case known && !calls.names[op]:
				t.Errorf("%s has not called %s", c.name(), op)
			}
		}
		if _, all := c.(*sdk); all {
			calls.wantModel(t)
		}
	})
}

// TestOperations: the API has as many operations as the server was made for, and those that it does not offer are among them.
func TestOperations(t *testing.T) {
	t.Parallel()
	if len(operations) != 56 {
		t.Errorf("the SDK has %d operations", len(operations))
	}
	for op := range notOffered {
		if !slices.Contains(operations, op) {
			t.Errorf("%s is no operation", op)
		}
	}
}

// as calls an operation with a client for somebody.
func (x *walk) as(c client, who session, op string, in members) (members, error) {
	x.Helper()
	out, err := c.call(who, op, in)
	if r, ok := errors.AsType[*refusal](err); err != nil && !ok || r != nil && wantID(r.ID) != nil {
		x.Fatalf("%s by %s: %v", op, c.name(), err)
	}
	if c == x.client {
		x.calls.add(op, in, out)
	}
	return out, err
}

// do calls an operation, which must succeed, as the account's root; there as the other client does.
func (x *walk) do(op string, in members) members {
	x.Helper()
	return x.succeeds(x.client, root(x.region), op, in)
}

func (x *walk) there(op string, in members) members {
	x.Helper()
	return x.succeeds(x.other, root(x.region), op, in)
}

// able does what do does, by the other client if this one does not know the operation or one of the members.
func (x *walk) able(op string, in members) members {
	x.Helper()
	if !x.client.knows(op, slices.Collect(maps.Keys(in))...) {
		return x.there(op, in)
	}
	return x.do(op, in)
}

func (x *walk) succeeds(c client, who session, op string, in members) members {
	x.Helper()
	out, err := x.as(c, who, op, in)
	if err != nil {
		x.Fatalf("%s by %s: %v", op, c.name(), err)
	}
	return out
}

// refused calls an operation, which must be refused with that exception.
func (x *walk) refused(code, op string, in members) {
	x.Helper()
	x.isRefused(root(x.region), code, op, in)
}

func (x *walk) isRefused(who session, code, op string, in members) {
	x.Helper()
	out, err := x.as(x.client, who, op, in)
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		x.Errorf("%s: %v, want %s", op, out, code)
		return
	}
	// Libraries have an error of its own for every exception of the service's model.
	class := code
	if generic[code] {
		class = x.client.generic()
	}
	if r.Code != code || r.Status != 400 || r.Class != class {
		x.Errorf("%s: %s %d %s (%s), want %s as a %s", op, r.Code, r.Status, r.Class, r.Message, code, class)
	}
}

// has requires members of an output.
func (x *walk) has(out, want members) {
	x.Helper()
	for name, w := range want {
		// Numbers are compared as JSON has them.
		a, b := must(json.Marshal(out[name]))(x), must(json.Marshal(w))(x)
		if string(a) != string(b) {
			x.Errorf("%s is %s, want %s", name, a, b)
		}
	}
}

// create creates a key, and returns its ARN.
func (x *walk) create(in members) string {
	x.Helper()
	return x.do("CreateKey", in).at("KeyMetadata").text("Arn")
}

// unique returns a name that nothing else has.
func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }
