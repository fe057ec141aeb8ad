package kms

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/claviger/kms/internal/record"
)

// FuzzCiphertext: bytes that no key encrypted never decrypt, never crash, and get one of few answers.
func FuzzCiphertext(f *testing.F) {
	r, key := ring(f)
	other, err := r.CreateKey(f.Context(), CreateKeyInput{Policy: everyone})
	if err != nil {
		f.Fatal(err)
	}
	genuine := map[string]bool{}
	for _, ref := range []string{key.ARN, other.ARN} {
		out, err := r.Encrypt(f.Context(), ref, []byte("plaintext"), nil)
		if err != nil {
			f.Fatal(err)
		}
		genuine[string(out.Ciphertext)] = true
		f.Add(out.Ciphertext, true)
		f.Add(out.Ciphertext[:CiphertextOverhead], false)
	}
	f.Add([]byte{1, 1, 0}, false)
	f.Fuzz(func(t *testing.T, ciphertext []byte, named bool) {
		var options []CryptoOption
		if named {
			options = append(options, WithKey(key.ARN))
		}
		in := slices.Clone(ciphertext)
		got, err := r.Decrypt(context.Background(), in, nil, options...)
		if !bytes.Equal(in, ciphertext) {
			t.Error("the input was changed")
		}
		if err == nil {
			if !genuine[string(ciphertext)] {
				t.Errorf("%x decrypts to %q", ciphertext, got.Plaintext)
			}
			return
		}
		codes := []error{ErrValidation, ErrInvalidCiphertext, ErrAccessDenied, ErrIncorrectKey}
		if !slices.ContainsFunc(codes, func(c error) bool { return errors.Is(err, c) }) || got.Plaintext != nil {
			t.Errorf("%x: %v", ciphertext, err)
		}
	})
}

// FuzzStoredRecord: a body that is accepted is written back as it was read, whatever its kind.
func FuzzStoredRecord(f *testing.F) {
	bodies := []func() body{
		func() body { return new(keyRecord) }, func() body { return new(versionRecord) }, func() body { return new(indexRecord) },
		func() body { return new(aliasRecord) }, func() body { return new(ringRecord) }, func() body { return new(dueRecord) }, func() body { return new(deadRecord) },
	}
	for i, full := range []body{
		&keyRecord{id: keyID{multiRegion: true, raw: [16]byte{1}}, spec: SymmetricDefault, usage: EncryptDecrypt, origin: OriginAWSKMS, created: -1, state: Enabled,
			description: "d", policy: "p", tags: []Tag{{"a", "b"}, {"c", ""}}, aliases: []string{"alias/a", "alias/b"}, current: materialID{1}, versions: 2,
			rotation: rotationRecord{1, 2, 3}, deletion: deletionRecord{4, 5, 6}, due: "20260301"},
		&versionRecord{number: 1, id: materialID{1}, material: []byte("secret"), created: 2, rotation: RotationOnDemand, previous: [32]byte{3}},
		&indexRecord{id: materialID{1}, created: 2, rotation: RotationAutomatic},
		&aliasRecord{target: keyID{raw: [16]byte{1}}, created: 2, updated: 3},
		&ringRecord{account: "111122223333", region: "r", partition: "p", created: 1, seen: 2, newest: [8]byte{3}, index: [32]byte{4}},
		&dueRecord{id: keyID{raw: [16]byte{1}}},
		&deadRecord{id: keyID{raw: [16]byte{1}}, destroyed: 1},
	} {
		f.Add(uint8(i), encodeBody(full))
		read := bodies[i]()
		if err := decodeBody(encodeBody(full), read); err != nil || !reflect.DeepEqual(full, read) {
			f.Errorf("%T: %v\n%+v became\n%+v", full, err, full, read)
		}
	}
	f.Add(uint8(0), []byte{9, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, kind uint8, in []byte) {
		make := bodies[int(kind)%len(bodies)]
		r := make()
		if err := decodeBody(in, r); err != nil {
			return
		}
		if out := encodeBody(r); !bytes.Equal(in, out) {
			t.Errorf("%T: %x is written back as %x", r, in, out)
		}
	})
}

// FuzzDomainRecord: what is accepted is written back as it was read.
func FuzzDomainRecord(f *testing.F) {
	f.Add((&domainRecord{ring: record.RingID{1}, id: record.DomainID{2}, wraps: []rootWrap{{"root", []byte("wrap")}, {"recovery", []byte{0}}}}).encode())
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := decodeDomainRecord(in)
		if err != nil {
			return
		}
		if out := d.encode(); !bytes.Equal(in, out) {
			t.Errorf("%x is written back as %x", in, out)
		}
	})
}

// FuzzMarker: only markers that the list itself made are taken, and only in their one form.
func FuzzMarker(f *testing.F) {
	r, key := ring(f)
	good := r.c.writeMarker(&opListKeys, "key/", "key/"+key.KeyID)
	f.Add(good)
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 1+markerMAC)))
	f.Fuzz(func(t *testing.T, marker string) {
		after, err := r.c.readMarker(&opListKeys, "key/", marker)
		switch {
		case marker == "" && (err != nil || after != ""), marker == good && (err != nil || after != "key/"+key.KeyID):
			t.Errorf("%q: %q, %v", marker, after, err)
		case marker != "" && marker != good && err == nil:
			t.Errorf("%q is taken for %q", marker, after)
		}
	})
}

// FuzzReference: a reference that is read names its key in the one form in which keys are named.
func FuzzReference(f *testing.F) {
	r, key := ring(f)
	for _, ref := range []string{key.ARN, key.KeyID, "mrk-1234abcd12ab34cd56ef1234567890ab", "alias/a", "arn:aws:kms:eu-central-1:111122223333:alias/a", "arn:aws:kms:us-east-1:111122223333:key/x"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, forms := range []refForms{anyForm, keyForm} {
			ref, err := r.c.ring.parse(text, forms)
			if err != nil {
				if _, ok := errors.AsType[*fault](err); !ok {
					t.Errorf("%q: %v", text, err)
				}
				continue
			}
			short, arn := ref.id.String(), r.c.ring.keyARN(ref.id)
			if ref.alias != "" {
				short, arn = ref.alias, r.c.ring.aliasARN(ref.alias)
			}
			if text != short && text != arn || forms == keyForm && ref.alias != "" {
				t.Errorf("%q is read as %q", text, short)
			}
		}
	})
}
