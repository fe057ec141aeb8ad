package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/examples/internal/trail"
)

// A tour is one run through what a keyring does.
type tour struct {
	file, dir, passphrase string

	ring     *keyring
	key      kms.KeyMetadata
	versions map[string]int
	trail    audit.Memory // a program that means it keeps its trail in a file: audit.JSON
}

// take goes through the stations.
func (t *tour) take(ctx context.Context) (err error) {
	if err := t.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.ring.Close()) }()
	for _, station := range []func(context.Context) error{t.prepare, t.seal, t.unseal, t.rewrap, t.refuse, t.reopen} {
		if err := station(ctx); err != nil {
			return err
		}
	}
	fmt.Println("\nThe audit trail: who did what, with which key")
	return trail.Print(os.Stdout, t.trail.Events())
}

// first and second are the two sealed copies of the file: one from before the rotation, one from after it.
func (t *tour) first() string  { return filepath.Join(t.dir, filepath.Base(t.file)+".1.sealed") }
func (t *tour) second() string { return filepath.Join(t.dir, filepath.Base(t.file)+".2.sealed") }

func (t *tour) open(ctx context.Context) error {
	ring, err := openKeyring(ctx, t.dir, t.passphrase, &t.trail)
	if err != nil {
		return err
	}
	t.ring = ring
	return nil
}

// prepare makes sure of the key.
func (t *tour) prepare(ctx context.Context) error {
	key, created, err := t.ring.ensureKey(ctx)
	if err != nil {
		return err
	}
	t.key = key
	fmt.Printf("Keyring %s in %s\n", t.ring.ID(), t.dir)
	if t.passphrase == demoPassphrase {
		fmt.Println("  under the passphrase of the demonstration; KMS_PASSPHRASE sets another")
	}
	found := "found"
	if created {
		found = "created"
	}
	fmt.Printf("Key %s %s\n  %s names it; role security manages it, role app uses it\n", key.KeyID, found, alias)
	return nil
}

// seal encrypts the file under a data key, rotates the key, and encrypts the file again.
func (t *tour) seal(ctx context.Context) error {
	client := t.ring.As(app)
	if err := sealFile(ctx, client, alias, t.file, t.first()); err != nil {
		return err
	}
	_, rotateErr := t.ring.As(security).RotateKeyOnDemand(ctx, t.key.KeyID)
	if rotateErr != nil && !errors.Is(rotateErr, kms.ErrLimitExceeded) {
		return rotateErr
	}
	if err := sealFile(ctx, client, alias, t.file, t.second()); err != nil {
		return err
	}
	var err error
	if t.versions, err = t.ring.versions(ctx, t.key.KeyID); err != nil {
		return err
	}
	fmt.Printf("Encrypted %s twice, as role app\n", filepath.Base(t.file))
	if rotateErr != nil {
		fmt.Println("  no rotation between: this key has been rotated on demand as often as a key can be")
		return nil
	}
	fmt.Printf("  and rotated the key between, as role security: it now has %d versions of key material\n", len(t.versions))
	return nil
}

// unseal decrypts both copies and compares them with the file.
func (t *tour) unseal(ctx context.Context) error {
	fmt.Println("Decrypted both, as role app")
	for _, sealed := range []string{t.first(), t.second()} {
		if err := t.check(ctx, sealed); err != nil {
			return err
		}
	}
	return nil
}

// check decrypts one copy, compares it with the file, and says which version of the key material it needed.
func (t *tour) check(ctx context.Context, sealed string) error {
	in, err := os.Open(t.file)
	if err != nil {
		return err
	}
	defer in.Close()
	want, got := sha256.New(), sha256.New()
	length, err := io.Copy(want, in)
	if err != nil {
		return err
	}
	material, err := openFile(ctx, t.ring.As(app), alias, sealed, got)
	if err != nil {
		return fmt.Errorf("%s: %w", sealed, err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return fmt.Errorf("%s: decrypts to something else than %s", sealed, t.file)
	}
	fmt.Printf("  %s: version %d (material %.8s...), %d bytes, the same as %s\n", filepath.Base(sealed), t.versions[material], material, length, filepath.Base(t.file))
	return nil
}

// rewrap moves the first copy to the key material of today, without touching what the data key has encrypted.
func (t *tour) rewrap(ctx context.Context) error {
	client := t.ring.As(app)
	encryptedKey, body, err := inspectFile(t.first())
	if err != nil {
		return err
	}
	old, err := client.NeedsReEncrypt(ctx, encryptedKey)
	if err != nil {
		return err
	}
	if !old {
		fmt.Printf("Nothing to move: %s is under the newest version\n", filepath.Base(t.first()))
		return nil
	}
	if err := rewrapFile(ctx, client, alias, t.first()); err != nil {
		return err
	}
	encryptedKey, bodyNow, err := inspectFile(t.first())
	if err != nil {
		return err
	}
	if old, err = client.NeedsReEncrypt(ctx, encryptedKey); err != nil {
		return err
	}
	if old || bodyNow != body {
		return fmt.Errorf("%s: was not moved as it should", t.first())
	}
	fmt.Printf("Moved %s to the newest version\n  only its data key was encrypted again: its body still has SHA-256 %.8s...\n", filepath.Base(t.first()), body)
	return t.check(ctx, t.first())
}

// refuse lets somebody try whom the key policy does not name. He names the key that he wants to use, and is told why he may not; had he not, he would not even
// learn whether it exists.
func (t *tour) refuse(ctx context.Context) error {
	_, err := openFile(ctx, t.ring.As(stranger), alias, t.second(), io.Discard)
	if err == nil {
		return errors.New("role stranger was not refused")
	}
	denial, ok := errors.AsType[*kms.Error](err)
	if !ok || denial.Code != kms.ErrAccessDenied {
		return err
	}
	fmt.Printf("Refused role stranger: %s\n  %s\n", denial.Code, denial.Message)
	return nil
}

// reopen closes the keyring, opens it again, as another process would, and decrypts.
func (t *tour) reopen(ctx context.Context) error {
	if err := t.ring.Close(); err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	fmt.Println("Closed the keyring and opened it again")
	return t.check(ctx, t.second())
}
