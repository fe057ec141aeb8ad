package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/examples/internal/trail"
)

const (
	account = "111122223333" // whose keys and buckets they are
	partner = "444455556666" // another account

	managed = "alias/aws/objectstore"
)

var (
	alice  = user{account, "alice"}  // works with the store
	bob    = user{partner, "bob"}    // would like to read one bucket
	mighty = user{partner, "mighty"} // has all permissions that the other account can give
)

// A tour is one run through what the store does.
type tour struct {
	dir    *os.Root
	people *directory
	ring   *kms.Keyring
	store  *store
	trail  audit.Memory
	key    string // the ARN of the customer's key
}

// newTour makes the keyring, and the store in a directory, with the users and the customer's key.
func newTour(ctx context.Context, path string) (t *tour, err error) {
	t = &tour{people: newDirectory(account, partner)}
	if t.dir, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	t.ring, err = kms.Open(ctx, kms.Config{AccountID: account, Region: "eu-central-1", Identities: t.people, Audit: &t.trail})
	if err != nil {
		return nil, errors.Join(err, t.dir.Close())
	}
	if err := t.prepare(ctx); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *tour) close() error { return errors.Join(t.ring.Close(), t.dir.Close()) }

func (t *tour) prepare(ctx context.Context) (err error) {
	// Alice may use the store as she likes, and keys of her account through the store only.
	err = errors.Join(t.people.add(bob), t.people.add(alice, `{
		"Version": "2012-10-17",
		"Statement": [
			{"Effect": "Allow", "Action": "objectstore:*", "Resource": "*"},
			{"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "arn:aws:kms:eu-central-1:111122223333:key/*",
			 "Condition": {"StringEquals": {"kms:ViaService": "objectstore.eu-central-1.amazonaws.com"}}}
		]
	}`))
	if err != nil {
		return err
	}
	if t.store, err = newStore(ctx, t.ring, t.dir); err != nil {
		return err
	}
	key, err := t.ring.CreateKey(ctx, kms.CreateKeyInput{Description: "reports"}) // its policy lets the account's own policies decide
	t.key = key.ARN
	return err
}

// take goes through the stations.
func (t *tour) take(ctx context.Context) error {
	for _, station := range []func(context.Context) error{t.keep, t.direct, t.move, t.shareManaged, t.share} {
		if err := station(ctx); err != nil {
			return err
		}
	}
	fmt.Println("\nThe audit trail of the keyring: who did what, with which key")
	return trail.Print(os.Stdout, t.trail.Events())
}

// keep puts an object under the service managed key, and gets it.
func (t *tour) keep(ctx context.Context) error {
	store, content := t.store.as(alice), []byte("open a second shop in May")
	if err := store.createBucket("drafts", ""); err != nil {
		return err
	}
	if err := store.put(ctx, "drafts", "plan.txt", content); err != nil {
		return err
	}
	sealed, err := t.dir.ReadFile(objectFile("drafts", "plan.txt"))
	if err != nil {
		return err
	}
	back, err := store.get(ctx, "drafts", "plan.txt")
	if err != nil {
		return err
	}
	if !bytes.Equal(back, content) || bytes.Contains(sealed, content) {
		return errors.New("plan.txt: is not encrypted, or decrypts to something else")
	}
	fmt.Printf("Bucket drafts is under %s, the service managed key\n", managed)
	fmt.Printf("  alice put plan.txt and got it back: %d bytes, in a file of %d that does not show them\n", len(content), len(sealed))
	return nil
}

// direct lets alice try the service managed key without the store.
func (t *tour) direct(ctx context.Context) error {
	fmt.Println("Without the store, alice cannot use that key")
	if err := t.circumvent(ctx, alice, "drafts", "plan.txt", managed); err != nil {
		return err
	}
	_, err := t.ring.As(alice.caller()).Encrypt(ctx, managed, []byte("x"), nil)
	return t.refused(err, kms.ErrAccessDenied)
}

// circumvent lets a user try to get at an object without the store, who has its file, and knows what its data key is bound to.
func (t *tour) circumvent(ctx context.Context, who user, bucket, name, key string) error {
	sealed, err := t.dir.ReadFile(objectFile(bucket, name))
	if err != nil {
		return err
	}
	encryptedKey, _, err := unpack(sealed)
	if err != nil {
		return err
	}
	_, err = t.ring.As(who.caller()).Decrypt(ctx, encryptedKey, encryptionContext(bucket, name), kms.WithKey(key))
	return t.refused(err, kms.ErrAccessDenied)
}

// move gives an object's file another name, behind the store's back. Its data key is bound to the old one.
func (t *tour) move(ctx context.Context) error {
	store := t.store.as(alice)
	plan, final := objectFile("drafts", "plan.txt"), objectFile("drafts", "final.txt")
	if err := t.dir.Rename(plan, final); err != nil {
		return err
	}
	fmt.Println("Behind the store's back, the file of plan.txt becomes that of final.txt")
	_, err := store.get(ctx, "drafts", "final.txt")
	if err := t.refused(err, kms.ErrInvalidCiphertext); err != nil {
		return err
	}
	if err := t.dir.Rename(final, plan); err != nil {
		return err
	}
	_, err = store.get(ctx, "drafts", "plan.txt")
	return err
}

// readableBy is a bucket policy that lets a user get the objects of a bucket.
func readableBy(who user, bucket string) string {
	return fmt.Sprintf(`{
		"Version": "2012-10-17",
		"Statement": [{"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "%s"}, "Action": "objectstore:GetObject", "Resource": "arn:aws:objectstore:::%s/*"}]
	}`, who.arn(), bucket)
}

// shareManaged tries to share what is under the service managed key. The bucket can be opened to a user of the other account, and that account can let its user do
// whatever it likes; but the policy of the key lets in the principals of its own account, and nobody can change it.
func (t *tour) shareManaged(ctx context.Context) error {
	if err := t.people.add(mighty, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`); err != nil {
		return err
	}
	if err := t.store.as(alice).putPolicy("drafts", readableBy(mighty, "drafts")); err != nil {
		return err
	}
	fmt.Printf("Bucket drafts is opened to %s of account %s, who may do all that the account can give\n", mighty.name, partner)
	_, err := t.store.as(mighty).get(ctx, "drafts", "plan.txt")
	if err := t.refused(err, kms.ErrAccessDenied); err != nil {
		return err
	}
	fmt.Println("  and the key cannot be opened as well, not even by the root user")
	err = t.ring.PutKeyPolicy(ctx, t.store.key, kms.PutKeyPolicyInput{Policy: sharedKeyPolicy})
	return t.refused(err, kms.ErrAccessDenied)
}

// A side is one of the four that must agree before a user of another account gets an object.
type side struct {
	name string
	open func(ctx context.Context) error
}

// sharedKeyPolicy is a key policy that has a statement for another account beside the one for the key's own: for one service, and for the objects of one bucket. It does
// not say which of the other account's users; that is for their own policies, and the bucket's.
const sharedKeyPolicy = `{
	"Version": "2012-10-17",
	"Statement": [
		{"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
		{"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::444455556666:root"}, "Action": "kms:Decrypt", "Resource": "*",
		 "Condition": {"StringEquals": {"kms:ViaService": "objectstore.eu-central-1.amazonaws.com", "kms:EncryptionContext:bucket": "reports"}}}
	]
}`

func (t *tour) sides() []side {
	return []side{
		{"the bucket's policy", func(context.Context) error { return t.store.as(alice).putPolicy("reports", readableBy(bob, "reports")) }},
		{"bob's own policy for the bucket", func(context.Context) error {
			return t.people.add(bob, `{"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Action": "objectstore:GetObject", "Resource": "arn:aws:objectstore:::reports/*"}]}`)
		}},
		{"the key's policy", func(ctx context.Context) error {
			return t.ring.PutKeyPolicy(ctx, t.key, kms.PutKeyPolicyInput{Policy: sharedKeyPolicy})
		}},
		{"bob's own policy for the key", func(context.Context) error {
			return t.people.add(bob, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "`+t.key+`"}]}`)
		}},
	}
}

// report puts the object that bob wants into a bucket under the customer's key.
func (t *tour) report(ctx context.Context) error {
	store := t.store.as(alice)
	if err := store.createBucket("reports", t.key); err != nil {
		return err
	}
	return store.put(ctx, "reports", "2026/q1.txt", []byte("sold 1,204 lamps"))
}

// share opens a bucket under a customer's key to bob, one side after the other.
func (t *tour) share(ctx context.Context) error {
	if err := t.report(ctx); err != nil {
		return err
	}
	fmt.Println("Bucket reports is under a key of the customer's, which can be shared. Bob of the other account gets 2026/q1.txt")
	store, with := t.store.as(bob), "with nothing"
	for _, next := range t.sides() {
		_, err := store.get(ctx, "reports", "2026/q1.txt")
		fmt.Printf("  %s\n", with)
		if err := t.refused(err, kms.ErrAccessDenied); err != nil {
			return err
		}
		if err := t.explain(ctx, err); err != nil {
			return err
		}
		if err := next.open(ctx); err != nil {
			return err
		}
		with = "and with " + next.name
	}
	content, err := store.get(ctx, "reports", "2026/q1.txt")
	if err != nil {
		return err
	}
	fmt.Printf("  %s\n    %s\n", with, content)
	fmt.Println("  but without the store, the key is of no use to him either")
	return t.circumvent(ctx, bob, "reports", "2026/q1.txt", t.key)
}

// explain says for the program, which may see every policy, why the keyring refused bob. Bob is not told: to him, a key that he may not use and one that does not
// exist are the same.
func (t *tour) explain(ctx context.Context, refusal error) error {
	if _, byKeyring := errors.AsType[*kms.Error](refusal); !byKeyring {
		return nil
	}
	s, err := t.ring.Simulate(ctx, bob.caller().Via(service), func(ctx context.Context, c *kms.Client) error {
		_, err := c.Decrypt(ctx, nil, encryptionContext("reports", "2026/q1.txt"), kms.WithKey(t.key))
		return err
	})
	for _, p := range s.Permissions {
		fmt.Printf("      that is, %s\n", p.Explanation.Reason())
	}
	return err
}

// refused prints a refusal of that code, and whose it is. Anything else is an error of the tour.
func (t *tour) refused(err error, code kms.Code) error {
	if !errors.Is(err, code) {
		return fmt.Errorf("not refused as it should be: %w", err)
	}
	if denial, byKeyring := errors.AsType[*kms.Error](err); byKeyring {
		text := strings.TrimSuffix(string(denial.Code)+": "+denial.Message, ": ") // not every code has a message
		fmt.Printf("    refused by the keyring: %s\n", text)
		return nil
	}
	fmt.Printf("    refused by the store: %s\n", err)
	return nil
}
