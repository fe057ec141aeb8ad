package kms_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/bubble"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

// What has happened to others, and must not happen here. docs/threat-model.md lists the incidents, and which test is about each of them.

// TestTheHeaderIsAuthenticated: CVE-2020-8911 and CVE-2020-8912, the S3 clients that could be switched to another algorithm by metadata that nobody authenticated.
// Each bit of a header that says how to decrypt is refused, with one and the same error for whatever comes after the key is known.
func TestTheHeaderIsAuthenticated(t *testing.T) {
	f := open(t)
	key := f.create()
	out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), kms.EncryptionContext{"a": "b"}))(t)
	texts := map[string]bool{}
	for bit := range (len(out.Ciphertext) - 1 - 16) * 8 { // up to the message
		bad := slices.Clone(out.Ciphertext)
		bad[bit/8] ^= 1 << (bit % 8)
		_, err := f.Decrypt(t.Context(), bad, kms.EncryptionContext{"a": "b"})
		switch at := bit / 8; {
		case err == nil:
			t.Errorf("bit %d of byte %d is not authenticated", bit%8, at)
		case at == 2 && bit%8 == 0 || at >= 3 && at < 19: // the key's id, and its kind: another key, which nobody knows
			wantCode(t, err, kms.ErrAccessDenied)
		default:
			wantCode(t, err, kms.ErrInvalidCiphertext)
			e, _ := errors.AsType[*kms.Error](err)
			texts[strings.ReplaceAll(err.Error(), e.KeyID, "")+fmt.Sprint(e.Err)] = true
		}
	}
	if len(texts) > 2 { // with a key, and without one
		t.Errorf("the errors tell what was wrong: %q", slices.Sorted(maps.Keys(texts)))
	}
}

// TestNobodyGivesANonce: vault#22852 and vault#13690, where a nonce of the caller's was honoured, or crashed the server. Nothing that is exported takes one.
func TestNobodyGivesANonce(t *testing.T) {
	nonce := regexp.MustCompile(`(?i)nonce|^iv$|initiali[sz]ationvector`)
	for _, folder := range []string{".", "rootkey", "rootkey/keyfile", "rootkey/passphrase", "rootkey/aead", "rootkey/tinkkeyset"} {
		seen := 0
		for _, name := range must(filepath.Glob(filepath.Join(folder, "*.go")))(t) {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file := must(parser.ParseFile(token.NewFileSet(), name, nil, 0))(t)
			look := func(owner string, fields *ast.FieldList) {
				if fields == nil {
					return
				}
				for _, field := range fields.List {
					for _, id := range field.Names {
						if seen++; nonce.MatchString(id.Name) {
							t.Errorf("%s: %s takes %s", name, owner, id.Name)
						}
					}
				}
			}
			for _, decl := range file.Decls {
				switch d := decl.(type) {
				case *ast.FuncDecl:
					if d.Name.IsExported() {
						look(d.Name.Name, d.Type.Params)
					}
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						if typ, ok := spec.(*ast.TypeSpec); ok && typ.Name.IsExported() {
							if s, ok := typ.Type.(*ast.StructType); ok {
								look(typ.Name.Name, s.Fields)
							}
						}
					}
				}
			}
		}
		if seen == 0 {
			t.Errorf("%s: nothing was looked at", folder)
		}
	}
}

// TestManyRotationsGrowNoRecord: vault#2705, rotation history in one record that met the limit of the storage, and OpenBao's working sets. However often a key was
// rotated, no record is longer, every version has an id of its own (k8s-cloudkms-plugin#27, where a key id came twice), and what the first encrypted is read.
func TestManyRotationsGrowNoRecord(t *testing.T) {
	rotations := 300
	if os.Getenv("KMS_SOAK") != "" {
		rotations = 5000
	}
	f := open(t, func(c *kms.Config) { c.MinRotationPeriod = time.Hour })
	key := f.create()
	check(t, f.EnableKeyRotation(t.Context(), key.ARN, time.Hour))
	longest := func() (n int) {
		for after := ""; ; {
			list := must(f.store.List(t.Context(), "", after, keystore.MaxListLimit))(t)
			for _, r := range list {
				n, after = max(n, len(r.Value)), r.Name
			}
			if len(list) < keystore.MaxListLimit {
				return n
			}
		}
	}
	var first []byte
	var early int
	for i := range rotations {
		out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
		switch i {
		case 0:
			first = out.Ciphertext
		case 10:
			early = longest()
		}
		f.clock.advance(time.Hour)
	}
	must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	if now := longest(); now != early {
		t.Errorf("the longest record has %d bytes after %d rotations, and had %d after 10", now, rotations, early)
	}
	fresh := open(t, func(c *kms.Config) { c.Store = f.store })
	if got := must(fresh.Decrypt(t.Context(), first, nil))(t); string(got.Plaintext) != "x" {
		t.Errorf("the first version reads %q", got.Plaintext)
	}
	ids := map[string]bool{}
	for _, r := range all(t, fresh.ListKeyRotations(t.Context(), key.ARN, kms.ListKeyRotationsInput{AllKeyMaterial: true})) {
		ids[r.KeyMaterialID] = true
	}
	if len(ids) != rotations+1 {
		t.Errorf("%d ids of %d versions", len(ids), rotations+1)
	}
}

// TestRotationIsNotMasked: kroxylicious#4772, where a cache went on with the old version for hours. Another process encrypts with the new material when what it knew
// has become stale, and the one that rotated does at once.
func TestRotationIsNotMasked(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, b, _, key := pair(t)
		material := func(f *fixture) string {
			out := must(f.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
			return must(a.Decrypt(t.Context(), out.Ciphertext, nil))(t).KeyMaterialID
		}
		old := material(b)
		must(a.RotateKeyOnDemand(t.Context(), key.ARN))(t)
		rotated := material(a)
		if rotated == old {
			t.Error("the process that rotated goes on with the old version")
		}
		time.Sleep(kms.DefaultMaxStaleness + time.Nanosecond)
		if got := material(b); got != rotated {
			t.Errorf("another process encrypts with %s beyond the bound, want %s", got, rotated)
		}
	})
}

// TestRewrapKeepsTheContext: vault#29532 and vault#31842, where a rewrap lost the associated data. Whatever the context on either side, a message that was moved opens
// with the new one, with no other, and under the new version.
func TestRewrapKeepsTheContext(t *testing.T) {
	f := open(t)
	key := f.create()
	contexts := []kms.EncryptionContext{nil, {"a": "b"}, {"a": ""}, {"a": "b", "c": "d"}, {"ü": "\U0001F511"}}
	var sealed [][]byte
	for _, ec := range contexts {
		sealed = append(sealed, must(f.Encrypt(t.Context(), key.ARN, []byte("x"), ec))(t).Ciphertext)
	}
	must(f.RotateKeyOnDemand(t.Context(), key.ARN))(t)
	for i, from := range contexts {
		for j, to := range contexts {
			if !must(f.NeedsReEncrypt(t.Context(), sealed[i]))(t) {
				t.Error("an old message is said to need no rewrap")
			}
			moved, err := f.ReEncrypt(t.Context(), sealed[i], key.ARN, kms.ReEncryptInput{SourceEncryptionContext: from, DestinationEncryptionContext: to})
			check(t, err)
			if must(f.NeedsReEncrypt(t.Context(), moved.Ciphertext))(t) {
				t.Error("a message that was moved is said to need a rewrap")
			}
			for k, ec := range contexts {
				got, err := f.Decrypt(t.Context(), moved.Ciphertext, ec)
				if k == j && (err != nil || string(got.Plaintext) != "x") {
					t.Errorf("from %v to %v: %q, %v", from, to, got.Plaintext, err)
				}
				if k != j {
					wantCode(t, err, kms.ErrInvalidCiphertext)
				}
			}
			if _, err := f.ReEncrypt(t.Context(), sealed[i], key.ARN, kms.ReEncryptInput{SourceEncryptionContext: contexts[(i+1)%len(contexts)], DestinationEncryptionContext: to}); err == nil {
				t.Errorf("%v was moved with another context", from)
			}
		}
	}
}

// TestNobodyLocksHimselfOut: convox/praxis#180 and terraform-provider-aws#18036, policies that nobody could change any more. Of whatever policy, made at random, one
// that is accepted lets who wrote it write the next.
func TestNobodyLocksHimselfOut(t *testing.T) {
	f := open(t)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	statement := func() string {
		condition := pick("", "", "", `,"Condition":{"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/admin"}}`, `,"Condition":{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}`,
			`,"Condition":{"StringLike":{"aws:userid":"*"}}`, `,"Condition":{"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}`, `,"Condition":{"StringNotEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}}`)
		return fmt.Sprintf(`{"Effect":%q,%s,%s,"Resource":%q%s}`, pick("Allow", "Allow", "Deny"),
			pick(`"Principal":"*"`, `"Principal":{"AWS":"111122223333"}`, `"Principal":{"AWS":"arn:aws:iam::111122223333:role/admin"}`, `"Principal":{"AWS":"arn:aws:iam::111122223333:user/other"}`),
			pick(`"Action":"kms:*"`, `"Action":["kms:Put*","kms:Get*"]`, `"Action":"kms:PutKeyPolicy"`, `"NotAction":"kms:PutKeyPolicy"`, `"Action":"kms:Encrypt"`, `"NotAction":"kms:Encrypt"`),
			pick("*", "*", "*", "arn:aws:kms:*:*:key/*", "arn:aws:kms:eu-central-1:111122223333:key/none"), condition)
	}
	accepted, refused := 0, 0
	for range 1000 {
		caller := f.As(kms.Root())
		if r.IntN(2) == 0 {
			caller = f.As(kms.Role("admin"))
		}
		key := f.create()
		var statements []string
		for range 1 + r.IntN(4) {
			statements = append(statements, statement())
		}
		document := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
		if err := caller.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: document}); err != nil {
			wantCode(t, err, kms.ErrMalformedPolicy)
			refused++
			continue
		}
		accepted++
		if err := caller.PutKeyPolicy(t.Context(), key.ARN, kms.PutKeyPolicyInput{Policy: everyone}); err != nil {
			t.Errorf("%v, after %s", err, document)
		}
	}
	if accepted < 100 || refused < 100 {
		t.Errorf("%d accepted, %d refused: the policies try nothing", accepted, refused)
	}
}

// TestAStuckTrailIsNoOutage: vault#18943 and vault#15932, an audit device that blocked and took the service with it, or hid why. With a bounded sink, an operation that
// cannot be recorded fails within the bound and says that it was the trail; when the sink is back, so is the ring; and a sink of best effort stops nothing.
func TestAStuckTrailIsNoOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var stuck atomic.Bool
		release := make(chan bool)
		sink := audit.SinkFunc(func(context.Context, *audit.Event) error {
			if stuck.Load() {
				<-release
			}
			return nil
		})
		var lost int
		required := open(t, func(c *kms.Config) { c.Now, c.Audit = nil, audit.Required(sink, time.Second) })
		effort := open(t, func(c *kms.Config) { c.Now, c.Audit = nil, audit.BestEffort(sink, time.Second, func(error) { lost++ }) })
		key, other := required.create(), effort.create()
		stuck.Store(true)
		for range 40 { // more than a bounded sink lets in at once
			began := time.Now()
			_, err := required.Encrypt(t.Context(), key.ARN, []byte("x"), nil)
			if wantCode(t, err, kms.ErrInternal); !errors.Is(err, audit.ErrUnavailable) || time.Since(began) > 2*time.Second {
				t.Fatalf("%v, after %v", err, time.Since(began))
			}
		}
		must(effort.Encrypt(t.Context(), other.ARN, []byte("x"), nil))(t)
		if lost == 0 {
			t.Error("a record was lost, and nobody was told")
		}
		stuck.Store(false)
		close(release)
		time.Sleep(time.Second)
		must(required.Encrypt(t.Context(), key.ARN, []byte("x"), nil))(t)
	})
}

// TestNoOperationNamesASink: CVE-2025-6000 and CVE-2025-54997, audit devices that a caller could set up, and so write files. No operation takes anything but text,
// numbers, bytes and structs of them: sinks, stores, roots and paths are in Go code, in the Config.
func TestNoOperationNamesASink(t *testing.T) {
	var visit func(where string, typ reflect.Type)
	visit = func(where string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				field := typ.Field(i)
				if regexp.MustCompile(`(?i)path|file|url|sink|audit|device`).MatchString(field.Name) {
					t.Errorf("%s.%s sounds like a place", where, field.Name)
				}
				visit(where+"."+field.Name, field.Type)
			}
		case reflect.Slice, reflect.Array, reflect.Pointer:
			visit(where, typ.Elem())
		case reflect.Map:
			visit(where, typ.Key())
			visit(where, typ.Elem())
		case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
			if typ != reflect.TypeFor[context.Context]() {
				t.Errorf("%s takes a %v", where, typ)
			}
		}
	}
	seen := 0
	for m := range reflect.TypeFor[*kms.Client]().Methods() {
		if m.Name == "Format" { // of package fmt
			continue
		}
		for i := 1; i < m.Type.NumIn(); i++ {
			if typ := m.Type.In(i); typ != reflect.TypeFor[context.Context]() {
				seen++
				visit(m.Name, typ)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d parameters were looked at", seen)
	}
}

// TestNamesAreNoPaths: CVE-2025-5999, CVE-2025-64761 and CVE-2026-3605, names that were normalised on one path and not on another, and google/go-cloud#3763, a key
// id that left its place in a URL. A name is what it is, to the byte: no spelling of it reaches the key, and so none passes by a Deny.
func TestNamesAreNoPaths(t *testing.T) {
	f := open(t)
	key := f.create()
	check(t, f.CreateAlias(t.Context(), "alias/team/prod", key.ARN))
	for _, name := range []string{"alias/team/prod", key.KeyID, key.ARN, strings.Replace(key.ARN, "key/"+key.KeyID, "alias/team/prod", 1)} {
		must(f.DescribeKey(t.Context(), name))(t)
		for _, spelling := range []string{
			strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], " " + name, name + " ", name + "\t", name + "\n", name + "\x00", name + "/", "/" + name, "./" + name, name + "/.", name + "/../" + name, name + "*", name[:len(name)-1] + "?",
			strings.Replace(name, "/", "//", 1) + "/", strings.Replace(name, "/", "/./", 1) + "/", strings.ReplaceAll(name, "/", "%2F") + "%00", strings.ReplaceAll(name, "/", `\`) + `\`, name + "?x=y", name + "#x", name + ";x",
			strings.Replace(name, "a", "\u0430", 1) + "\u200b", "alias/x/../../" + name, name + "," + name, "\ufeff" + name, "arn:aws:kms:eu-central-1:111122223333:" + name + ":",
		} {
			if spelling == name { // it begins with a digit
				continue
			}
			if got, err := f.DescribeKey(t.Context(), spelling); err == nil {
				t.Errorf("%q reaches %s", spelling, got.ARN)
			}
			if _, err := f.Encrypt(t.Context(), spelling, []byte("x"), nil); err == nil {
				t.Errorf("%q encrypts", spelling)
			}
		}
	}
}

// TestTenantsCannotSwapMessages: floci#817 and dify#41469, a context that was stored beside the data, or not checked, so that one tenant's message opened for
// another. Here the context is what the caller states, policies ask for it, and a message opens with its own alone.
func TestTenantsCannotSwapMessages(t *testing.T) {
	f := open(t)
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/one"},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*"],"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:tenant":"one"}}},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/two"},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*"],"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:tenant":"two"}}}]}`}))(t)
	context := func(tenant string) kms.EncryptionContext { return kms.EncryptionContext{"tenant": tenant} }
	sealed := map[string][]byte{}
	for _, tenant := range []string{"one", "two"} {
		sealed[tenant] = must(f.As(kms.Role(tenant)).Encrypt(t.Context(), key.ARN, []byte("of "+tenant), context(tenant)))(t).Ciphertext
	}
	for _, who := range []string{"one", "two"} {
		client := f.As(kms.Role(who))
		for of, message := range sealed {
			for _, says := range []string{"one", "two"} {
				got, err := client.Decrypt(t.Context(), message, context(says))
				if who == of && of == says {
					if err != nil || string(got.Plaintext) != "of "+of {
						t.Errorf("%s cannot read its own: %v", who, err)
					}
				} else if err == nil {
					t.Errorf("%s reads the message of %s, with the context of %s", who, of, says)
				}
				if moved, err := client.ReEncrypt(t.Context(), message, key.ARN, kms.ReEncryptInput{SourceEncryptionContext: context(says), DestinationEncryptionContext: context(who)}); err == nil && who != of {
					t.Errorf("%s moves the message of %s to itself: %d bytes", who, of, len(moved.Ciphertext))
				}
			}
			if _, err := client.Decrypt(t.Context(), message, nil); err == nil {
				t.Errorf("%s reads a message without a context", who)
			}
		}
	}
}

// TestAColdCacheIsFilledOnce: aws-encryption-sdk-javascript#1665 and aws-encryption-sdk#840, caches that asked once for each of those who waited. A thousand callers
// of a key that nobody has read make one read of it.
func TestAColdCacheIsFilledOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := memory.New()
		key := open(t, func(c *kms.Config) { c.Store, c.Now = store, nil }).create()
		slow := &slowStore{Store: store}
		f := open(t, func(c *kms.Config) { c.Store, c.Now = slow, nil })
		before := slow.gets.Load()
		done := make(chan error)
		for range 1000 {
			go func() {
				_, err := f.DescribeKey(t.Context(), key.ARN)
				done <- err
			}()
		}
		for range 1000 {
			check(t, <-done)
		}
		if n := slow.gets.Load() - before; n != 1 {
			t.Errorf("%d reads for a thousand callers, want 1", n)
		}
	})
}
