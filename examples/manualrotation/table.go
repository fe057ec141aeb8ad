package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/claviger/kms"
)

// A row is a customer whose name is encrypted.
type row struct {
	id     int
	name   []byte // ciphertext
	keyARN string // of the key that name is encrypted under, in a column of its own: rows of an old key are found without decrypting any
}

// encryptionContext binds a ciphertext to its row, so that one cannot be copied into another.
func (r *row) encryptionContext() kms.EncryptionContext {
	return kms.EncryptionContext{"table": "customers", "id": strconv.Itoa(r.id)}
}

// A table stands for one of a database.
type table struct {
	client *kms.Client
	rows   []*row
}

// insert adds a customer, encrypted under the key that the alias names now.
func (t *table) insert(ctx context.Context, name string) error {
	r := &row{id: len(t.rows) + 1}
	out, err := t.client.Encrypt(ctx, alias, []byte(name), r.encryptionContext())
	if err != nil {
		return err
	}
	r.name, r.keyARN = out.Ciphertext, out.KeyARN
	t.rows = append(t.rows, r)
	return nil
}

// print decrypts all rows. Decrypt is told which key to expect, by its ARN and not by the alias: that may have moved since.
func (t *table) print(ctx context.Context) error {
	for _, r := range t.rows {
		out, err := t.client.Decrypt(ctx, r.name, r.encryptionContext(), kms.WithKey(r.keyARN))
		if err != nil {
			return fmt.Errorf("row %d: %w", r.id, err)
		}
		fmt.Printf("  row %d  key %.8s  %s\n", r.id, keyID(out.KeyARN), out.Plaintext)
	}
	return nil
}

// move re-encrypts what is under another key than the one that the alias names, and returns how many rows that were. NeedsReEncrypt does not find them: it tells
// whether a ciphertext is under an older version of its own key, and theirs has one version only.
func (t *table) move(ctx context.Context) (moved int, err error) {
	current, err := t.client.DescribeKey(ctx, alias)
	if err != nil {
		return 0, err
	}
	for _, r := range t.rows {
		if r.keyARN == current.ARN {
			continue
		}
		ec := r.encryptionContext()
		out, err := t.client.ReEncrypt(ctx, r.name, current.ARN, kms.ReEncryptInput{
			SourceKey: r.keyARN, SourceEncryptionContext: ec, DestinationEncryptionContext: ec,
		})
		if err != nil {
			return moved, fmt.Errorf("row %d: %w", r.id, err)
		}
		r.name, r.keyARN = out.Ciphertext, out.KeyARN // in a database, only where keyARN is still the old one: somebody may have written the row
		moved++
	}
	return moved, nil
}

// keyID returns the id in a key's ARN.
func keyID(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
