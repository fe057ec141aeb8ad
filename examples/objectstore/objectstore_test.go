package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/program"
	"github.com/claviger/kms/policy"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestObjectstore runs the program.
func TestObjectstore(t *testing.T) {
	cmd := program.Command(t)
	temporary := t.TempDir()
	cmd.Env = append(cmd.Environ(), "TMPDIR="+temporary)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) != 0 {
		t.Errorf("%v, and it leaves %v", err, left)
	}
	const (
		hidden  = ` on this resource because the resource does not exist in this Region, .*`
		keyring = `    refused by the keyring: AccessDeniedException: User: arn:aws:iam::`
		store   = `    refused by the store: User: \S+:user/bob is not authorized to perform: objectstore:GetObject on resource: arn:aws:objectstore:::reports/2026/q1.txt `
		bob     = `  \S+  444455556666:user/bob via objectstore.amazonaws.com +Decrypt +\S+ +`
	)
	rest := string(out)
	for _, line := range []string{
		`Bucket drafts is under alias/aws/objectstore, the service managed key`,
		`  alice put plan.txt and got it back: 25 bytes, in a file of 206 that does not show them`,
		`Without the store, alice cannot use that key`,
		keyring + `111122223333:user/alice is not authorized to perform: kms:Decrypt on resource: \S+ because no resource-based policy allows the kms:Decrypt action`,
		keyring + `111122223333:user/alice is not authorized to perform: kms:Encrypt on resource: \S+ because no resource-based policy allows the kms:Encrypt action`,
		`Behind the store's back, the file of plan.txt becomes that of final.txt`,
		`    refused by the keyring: InvalidCiphertextException`,
		`Bucket drafts is opened to mighty of account 444455556666, .*`,
		keyring + `444455556666:user/mighty is not authorized to perform: kms:Decrypt` + hidden,
		`  and the key cannot be opened as well, not even by the root user`,
		keyring + `111122223333:root is not authorized to perform: kms:PutKeyPolicy on resource: \S+ because no resource-based policy allows the kms:PutKeyPolicy action`,
		`Bucket reports is under a key of the customer's, .*`,
		`  with nothing`,
		store + `because no resource-based policy allows the objectstore:GetObject action`,
		`  and with the bucket's policy`,
		store + `because no identity-based policy allows the objectstore:GetObject action`,
		`  and with bob's own policy for the bucket`,
		keyring + `444455556666:user/bob is not authorized to perform: kms:Decrypt` + hidden,
		`      that is, because no resource-based policy allows the kms:Decrypt action`,
		`  and with the key's policy`,
		keyring + `444455556666:user/bob is not authorized to perform: kms:Decrypt` + hidden,
		`      that is, because no identity-based policy allows the kms:Decrypt action`,
		`  and with bob's own policy for the key`,
		`    sold 1,204 lamps`,
		`  but without the store, the key is of no use to him either`,
		keyring + `444455556666:user/bob is not authorized to perform: kms:Decrypt` + hidden,
		`The audit trail of the keyring: who did what, with which key`,
		`  \S+  user/alice via objectstore.amazonaws.com +GenerateDataKey +\S+ +ok`,
		`  \S+  user/alice +Decrypt +alias/aws/objectstore +AccessDenied`,
		`  \S+  root +PutKeyPolicy +\S+ +AccessDenied`,
		bob + `AccessDenied`, `  \S+  root +PutKeyPolicy +\S+ +ok`, bob + `AccessDenied`, bob + `ok`,
		`  \S+  444455556666:user/bob +Decrypt +\S+ +AccessDenied`,
	} {
		at := regexp.MustCompile(`(?m)^` + line + `$`).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no line matches %q after what was found before, in\n%s", line, out)
		}
		rest = rest[at[1]:]
	}
}

// prepared returns a tour that has not begun.
func prepared(t *testing.T) *tour {
	t.Helper()
	world, err := newTour(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, world.close()) })
	return world
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isDenied reports whether an error is a refusal for want of permission, and whether it is the keyring's.
func isDenied(err error) (denied, byKeyring bool) {
	_, byKeyring = errors.AsType[*kms.Error](err)
	return errors.Is(err, kms.ErrAccessDenied), byKeyring
}

// TestEverySideIsNeeded leaves each of the four sides out, and then adds it.
func TestEverySideIsNeeded(t *testing.T) {
	for missing, byKeyring := range []bool{false, false, true, true} {
		world := prepared(t)
		sides := world.sides()
		t.Run(sides[missing].name, func(t *testing.T) {
			must(t, world.report(t.Context()))
			for i, side := range sides {
				if i != missing {
					must(t, side.open(t.Context()))
				}
			}
			content, err := world.store.as(bob).get(t.Context(), "reports", "2026/q1.txt")
			if denied, by := isDenied(err); !denied || by != byKeyring || content != nil {
				t.Errorf("%q, %v", content, err)
			}
			must(t, sides[missing].open(t.Context()))
			content, err = world.store.as(bob).get(t.Context(), "reports", "2026/q1.txt")
			if err != nil || string(content) != "sold 1,204 lamps" {
				t.Errorf("with all sides: %q, %v", content, err)
			}
		})
	}
}

// TestWhatIsSharedIsNarrow opens one bucket with all sides, and tries what else could have been opened with it.
func TestWhatIsSharedIsNarrow(t *testing.T) {
	world := prepared(t)
	must(t, world.report(t.Context()))
	for _, side := range world.sides() {
		must(t, side.open(t.Context()))
	}
	own, shared := world.store.as(alice), world.store.as(bob)
	for range 2 { // the second time, what was allowed may be remembered
		_, err := shared.get(t.Context(), "reports", "2026/q1.txt")
		must(t, err)
	}
	// Another bucket under the same key, whose policy and whose reader's policy would allow it: the key policy is for the first bucket.
	must(t, own.createBucket("salaries", world.key))
	must(t, own.put(t.Context(), "salaries", "2026", []byte("secret")))
	must(t, own.putPolicy("salaries", readableBy(bob, "salaries")))
	must(t, world.people.add(bob, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["objectstore:*", "kms:*"], "Resource": "*"}]}`))
	_, err := shared.get(t.Context(), "salaries", "2026")
	if denied, byKeyring := isDenied(err); !denied || !byKeyring {
		t.Errorf("another bucket: %v", err)
	}
	for name, err := range map[string]error{
		"put":        shared.put(t.Context(), "reports", "2026/q2.txt", []byte("x")),
		"put policy": shared.putPolicy("reports", readableBy(bob, "reports")),
	} {
		if denied, byKeyring := isDenied(err); !denied || byKeyring {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another user of the account, with every permission that the account can give: the bucket policy names one.
	must(t, world.people.add(mighty, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`))
	_, err = world.store.as(mighty).get(t.Context(), "reports", "2026/q1.txt")
	if denied, byKeyring := isDenied(err); !denied || byKeyring {
		t.Errorf("another user: %v", err)
	}
	// Through another service, and with the ciphertext of the data key.
	sealed, err := world.dir.ReadFile(objectFile("reports", "2026/q1.txt"))
	must(t, err)
	encryptedKey, _, err := unpack(sealed)
	must(t, err)
	_, err = world.ring.As(bob.caller().Via("mail.amazonaws.com")).Decrypt(t.Context(), encryptedKey, encryptionContext("reports", "2026/q1.txt"), kms.WithKey(world.key))
	if !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("another service: %v", err)
	}
	must(t, world.ring.DisableKey(t.Context(), world.key))
	if _, err := own.get(t.Context(), "reports", "2026/q1.txt"); !errors.Is(err, kms.ErrDisabled) {
		t.Errorf("under a disabled key: %v", err)
	}
}

// TestManagedKeyIsNotShared: what is under the service managed key is for the users of its account, whatever everybody else says.
func TestManagedKeyIsNotShared(t *testing.T) {
	world := prepared(t)
	everything := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`
	carol := user{account, "carol"}
	must(t, errors.Join(world.people.add(mighty, everything), world.people.add(carol)))
	own := world.store.as(alice)
	must(t, own.createBucket("drafts", ""))
	must(t, own.put(t.Context(), "drafts", "plan", []byte("x")))
	must(t, own.putPolicy("drafts", `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "objectstore:*", "Resource": "*"}]}`))
	for who, want := range map[user]bool{alice: true, carol: true, mighty: false} {
		content, err := world.store.as(who).get(t.Context(), "drafts", "plan")
		if denied, byKeyring := isDenied(err); want != (string(content) == "x") || denied == want || byKeyring == want {
			t.Errorf("%v gets %q, %v", who, content, err)
		}
		err = world.store.as(who).put(t.Context(), "drafts", "plan of "+who.name, []byte("x"))
		if denied, byKeyring := isDenied(err); want != (err == nil) || denied == want || byKeyring == want {
			t.Errorf("%v puts: %v", who, err)
		}
	}
	for _, who := range []kms.Caller{kms.Root(), alice.caller(), alice.caller().Via(service), kms.Service(service)} {
		if err := world.ring.As(who).PutKeyPolicy(t.Context(), world.store.key, kms.PutKeyPolicyInput{Policy: sharedKeyPolicy}); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v changes the policy of the key: %v", who, err)
		}
	}
	if _, err := world.ring.As(alice.caller()).GenerateDataKey(t.Context(), managed, kms.AES256, encryptionContext("drafts", "plan")); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("without the store: %v", err)
	}
}

// TestBucketPolicies: what the owner's account, a bucket policy and a user's own policies are worth together.
func TestBucketPolicies(t *testing.T) {
	const (
		none   = ``
		get    = `{"Statement": {"Effect": "Allow", "Action": "objectstore:GetObject", "Resource": "arn:aws:objectstore:::shared/*"}}`
		denied = `{"Statement": {"Effect": "Deny", "Action": "objectstore:*", "Resource": "*"}}`
	)
	of := func(effect, principal, rest string) string {
		return fmt.Sprintf(`{"Statement": {"Effect": "%s", "Principal": %s, "Action": "objectstore:GetObject", "Resource": "*"%s}}`, effect, principal, rest)
	}
	carol, dave := user{account, "carol"}, user{partner, "dave"}
	named := func(u user) string { return `{"AWS": "` + u.arn() + `"}` }
	for _, c := range []struct {
		name   string
		who    user
		bucket string
		own    string
		want   bool
	}{
		{"owner's account, nothing", carol, none, none, false},
		{"owner's account, own policy", carol, none, get, true}, // a key policy would have to name the account
		{"owner's account, own policy, a bucket policy for somebody else", carol, of("Allow", named(dave), ""), get, true},
		{"owner's account, bucket policy", carol, of("Allow", named(carol), ""), none, true},
		{"owner's account, bucket policy for the account", carol, of("Allow", `{"AWS": "111122223333"}`, ""), none, false},
		{"owner's account, bucket policy for everybody", carol, of("Allow", `"*"`, ""), none, true},
		{"owner's account, denied by the bucket", carol, of("Deny", named(carol), ""), get, false},
		{"owner's account, denied by the bucket to everybody else", carol,
			of("Deny", `"*"`, `, "Condition": {"StringNotEquals": {"aws:PrincipalArn": "`+alice.arn()+`"}}`), get, false},
		{"owner's account, denied to another", carol, of("Deny", named(dave), ""), get, true},
		{"owner's account, denied by the own policy", carol, of("Allow", named(carol), ""), denied, false},
		{"other account, nothing", dave, none, none, false},
		{"other account, own policy", dave, none, get, false},
		{"other account, bucket policy", dave, of("Allow", named(dave), ""), none, false},
		{"other account, both", dave, of("Allow", named(dave), ""), get, true},
		{"other account, both by the account", dave, of("Allow", `{"AWS": "444455556666"}`, ""), get, true},
		{"other account, both by everybody", dave, of("Allow", `"*"`, ""), get, true},
		{"other account, denied by the own policy", dave, of("Allow", named(dave), ""), denied, false},
		{"condition that holds", dave, of("Allow", `"*"`, `, "Condition": {"StringEquals": {"aws:PrincipalAccount": "444455556666"}}`), get, true},
		{"condition that does not", dave, of("Allow", `"*"`, `, "Condition": {"StringEquals": {"aws:PrincipalAccount": "111122223333"}}`), get, false},
		{"of no organisation", dave, of("Allow", `"*"`, `, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}`), get, false},
		{"over no network", carol, of("Deny", `"*"`, `, "Condition": {"Bool": {"aws:SecureTransport": "false"}}`), get, true},
		{"without a second factor", carol, of("Deny", `"*"`, `, "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}`), get, false},
		{"own policy for another network", carol, none,
			`{"Statement": {"Effect": "Allow", "Action": "objectstore:GetObject", "Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := newBucket("shared", account, "")
			must(t, err)
			people := newDirectory(account, partner)
			must(t, people.add(c.who))
			if c.own != none {
				must(t, people.add(c.who, c.own))
			}
			if c.bucket != none {
				document, err := policy.Parse(c.bucket, policy.KeyPolicy)
				must(t, err)
				b.policy.Store(document)
			}
			ring, err := kms.Open(t.Context(), kms.Config{AccountID: account, Identities: people})
			must(t, err)
			defer ring.Close()
			err = b.authorize(ring, c.who, "objectstore:GetObject", b.arn()+"/a")
			if denied, byKeyring := isDenied(err); byKeyring || denied == c.want || (err == nil) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestStoreRefuses what has no name, no bucket or no user.
func TestStoreRefuses(t *testing.T) {
	world := prepared(t)
	own := world.store.as(alice)
	must(t, own.createBucket("drafts", ""))
	get := func(who user, bucket, name string) error {
		_, err := world.store.as(who).get(t.Context(), bucket, name)
		return err
	}
	for name, c := range map[string]struct{ err, want error }{
		"bucket twice":      {own.createBucket("drafts", ""), errExists},
		"bucket as a path":  {own.createBucket("../drafts", ""), errName},
		"bucket in capital": {own.createBucket("DRAFTS", ""), errName},
		"no bucket":         {get(alice, "letters", "a"), errNoBucket},
		"no object":         {get(alice, "drafts", "a"), errNoObject},
		"object as a path":  {get(alice, "drafts", "../drafts/a"), errNoObject},
		"no name":           {get(alice, "drafts", ""), errName},
		"long name":         {own.put(t.Context(), "drafts", strings.Repeat("a", maxName+1), nil), errName},
		"long content":      {own.put(t.Context(), "drafts", "a", make([]byte, maxContent+1)), errTooLong},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	for _, nobody := range []user{{account, "nobody"}, {"999999999999", "alice"}} {
		for name, err := range map[string]error{"get": get(nobody, "drafts", "a"), "create": world.store.as(nobody).createBucket("mine", "")} {
			if denied, byKeyring := isDenied(err); !denied || byKeyring {
				t.Errorf("%v, %s: %v", nobody, name, err)
			}
		}
	}
	if err := own.putPolicy("drafts", `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`); err == nil {
		t.Error("a bucket policy without a principal is taken")
	}
	for _, name := range []string{".", "a/b", strings.Repeat("é", maxName/2), "A", "a"} {
		must(t, own.put(t.Context(), "drafts", name, []byte(name)))
	}
	for _, name := range []string{".", "a/b", strings.Repeat("é", maxName/2), "A", "a"} {
		if content, err := own.get(t.Context(), "drafts", name); err != nil || string(content) != name {
			t.Errorf("%q: %q, %v", name, content, err)
		}
	}
}

// TestObjectsAreBound exchanges what belongs to two objects, behind the store's back.
func TestObjectsAreBound(t *testing.T) {
	world := prepared(t)
	own := world.store.as(alice)
	files := map[string][]byte{}
	for _, bucket := range []string{"one", "two"} {
		must(t, own.createBucket(bucket, world.key))
		for _, name := range []string{"a", "b"} {
			must(t, own.put(t.Context(), bucket, name, []byte("content")))
			var err error
			files[bucket+"/"+name], err = world.dir.ReadFile(objectFile(bucket, name))
			must(t, err)
		}
	}
	must(t, own.createBucket("managed", ""))
	must(t, own.put(t.Context(), "managed", "a", []byte("content")))
	other, err := world.dir.ReadFile(objectFile("managed", "a"))
	must(t, err)
	a, b := files["one/a"], files["one/b"]
	body := len(a) - len("content") - 28 // nonce and tag
	flipped := bytes.Clone(a)
	flipped[len(a)-20] ^= 1
	for _, c := range []struct {
		name    string
		content []byte
		want    error
	}{
		{"as it was", a, nil},
		{"another object of the bucket", b, kms.ErrInvalidCiphertext},
		{"the same name in another bucket", files["two/a"], kms.ErrInvalidCiphertext},
		{"under another key", other, kms.ErrIncorrectKey},
		{"the key of another object", append(bytes.Clone(b[:body]), a[body:]...), kms.ErrInvalidCiphertext},
		{"the body of another object", append(bytes.Clone(a[:body]), b[body:]...), errObject},
		{"a bit of the body", flipped, errObject},
		{"without a body", a[:body], errObject},
		{"a part of the key", a[:body-1], errObject},
		{"the plaintext", []byte("content"), errObject},
		{"nothing", nil, errObject},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, world.dir.WriteFile(objectFile("one", "a"), c.content, 0o600))
			content, err := own.get(t.Context(), "one", "a")
			if !errors.Is(err, c.want) || c.want != nil && content != nil || c.want == nil && string(content) != "content" {
				t.Errorf("%q, %v, want %v", content, err, c.want)
			}
		})
	}
}
