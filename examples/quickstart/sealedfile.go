package main

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/claviger/kms"
)

// A sealed file begins with its data key, encrypted under a key of the keyring, and goes on with what that data key encrypted:
//
//	"QUICKST1" | length 2 | encrypted data key | body (see chunkLen)
//
// The encrypted data key authenticates itself, and the body opens with that data key only, so neither can be replaced by that of another file.
const magic = "QUICKST1"

// encryptionContext binds a data key to its file: it opens under the same name only. It is no secret, stands in the audit trail, and key policies can ask for it.
func encryptionContext(sealed string) kms.EncryptionContext {
	return kms.EncryptionContext{"file": filepath.Base(sealed)}
}

// sealFile encrypts the file at source into a file at sealed, under the key that ref names.
func sealFile(ctx context.Context, client *kms.Client, ref, source, sealed string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	dataKey, err := client.GenerateDataKey(ctx, ref, kms.AES256, encryptionContext(sealed))
	if err != nil {
		return err
	}
	defer dataKey.Zero()
	aead, err := newGCM(dataKey.Plaintext())
	if err != nil {
		return err
	}
	return replaceFile(sealed, func(out io.Writer) error {
		if err := writeHeader(out, dataKey.Ciphertext); err != nil {
			return err
		}
		return sealChunks(out, in, aead)
	})
}

// openFile decrypts a sealed file into dst and returns the id of the key material that its data key is under. After an error whatever dst took must be thrown
// away: it may be only a part. Naming the key that must have been used leaves no choice to whoever can write the file.
func openFile(ctx context.Context, client *kms.Client, ref, sealed string, dst io.Writer) (materialID string, err error) {
	in, err := os.Open(sealed)
	if err != nil {
		return "", err
	}
	defer in.Close()
	encryptedKey, body, err := readHeader(in)
	if err != nil {
		return "", err
	}
	dataKey, err := client.Decrypt(ctx, encryptedKey, encryptionContext(sealed), kms.WithKey(ref))
	if err != nil {
		return "", err
	}
	defer clear(dataKey.Plaintext)
	aead, err := newGCM(dataKey.Plaintext)
	if err != nil {
		return "", err
	}
	return dataKey.KeyMaterialID, openChunks(dst, body, aead)
}

// rewrapFile encrypts the data key of a sealed file again, under the current material of the key that ref names. Nobody sees the data key, and the body, however
// long, stays as it is.
func rewrapFile(ctx context.Context, client *kms.Client, ref, sealed string) error {
	in, err := os.Open(sealed)
	if err != nil {
		return err
	}
	defer in.Close()
	encryptedKey, body, err := readHeader(in)
	if err != nil {
		return err
	}
	moved, err := client.ReEncrypt(ctx, encryptedKey, ref, kms.ReEncryptInput{
		SourceKey: ref, SourceEncryptionContext: encryptionContext(sealed), DestinationEncryptionContext: encryptionContext(sealed),
	})
	if err != nil {
		return err
	}
	return replaceFile(sealed, func(out io.Writer) error {
		if err := writeHeader(out, moved.Ciphertext); err != nil {
			return err
		}
		_, err := io.Copy(out, body)
		return err
	})
}

// inspectFile returns the encrypted data key of a sealed file, and a digest of its body.
func inspectFile(sealed string) (encryptedKey []byte, bodyDigest string, err error) {
	in, err := os.Open(sealed)
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	encryptedKey, body, err := readHeader(in)
	if err != nil {
		return nil, "", err
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, body); err != nil {
		return nil, "", err
	}
	return encryptedKey, hex.EncodeToString(digest.Sum(nil)), nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func writeHeader(w io.Writer, encryptedKey []byte) error {
	header := binary.BigEndian.AppendUint16([]byte(magic), uint16(len(encryptedKey))) // a data key's ciphertext is far below 64 KiB
	_, err := w.Write(append(header, encryptedKey...))
	return err
}

var errNotSealed = errors.New("not a file that quickstart has sealed")

// readHeader returns the encrypted data key and a reader of the body.
func readHeader(r io.Reader) (encryptedKey []byte, body io.Reader, err error) {
	in := bufio.NewReader(r)
	header := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(in, header); err != nil || string(header[:len(magic)]) != magic {
		return nil, nil, errNotSealed
	}
	encryptedKey = make([]byte, binary.BigEndian.Uint16(header[len(magic):]))
	if _, err := io.ReadFull(in, encryptedKey); err != nil {
		return nil, nil, errNotSealed
	}
	return encryptedKey, in, nil
}

// replaceFile writes the file at path, which appears whole or not at all.
func replaceFile(path string, write func(w io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".quickstart-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once the file has its name
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
