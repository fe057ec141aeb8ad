package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"

	"github.com/claviger/kms"
)

// An object at rest is its data key, encrypted under the key of its bucket, and the content, encrypted under that data key with AES-256-GCM:
//
//	"OBJECT01" | length 2 | encrypted data key | nonce 12 | ciphertext | tag 16
//
// Content is held in memory as a whole; the example quickstart shows how to encrypt what is too large for that.
const magic = "OBJECT01"

// Limits of an object, in bytes.
const (
	maxName    = 80
	maxContent = 16 << 20
)

// encryptionContext binds a data key to the name of its object: it opens under no other. It is no secret. Key policies can ask for it, and it stands in the audit
// trail, which so tells of every use of the key for which object it was.
func encryptionContext(bucket, object string) kms.EncryptionContext {
	return kms.EncryptionContext{"bucket": bucket, "object": object}
}

// newAEAD returns the cipher of a data key. A data key encrypts one content, once, so that a random nonce cannot repeat under it.
func newAEAD(dataKey []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(dataKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal returns an object at rest.
func seal(dataKey kms.DataKey, content []byte) ([]byte, error) {
	aead, err := newAEAD(dataKey.Plaintext())
	if err != nil {
		return nil, err
	}
	sealed := binary.BigEndian.AppendUint16([]byte(magic), uint16(len(dataKey.Ciphertext))) // it is far below 64 KiB
	sealed = append(sealed, dataKey.Ciphertext...)
	return aead.Seal(sealed, nil, content, nil), nil
}

// errObject stands for whatever is wrong with an object at rest.
var errObject = errors.New("the object was changed, cut off or damaged")

// unpack returns the two parts of an object at rest.
func unpack(sealed []byte) (encryptedKey, body []byte, err error) {
	const header = len(magic) + 2
	if len(sealed) < header || string(sealed[:len(magic)]) != magic {
		return nil, nil, errObject
	}
	rest, length := sealed[header:], int(binary.BigEndian.Uint16(sealed[len(magic):]))
	if len(rest) < length {
		return nil, nil, errObject
	}
	return rest[:length], rest[length:], nil
}

// open returns the content of a body.
func open(dataKey, body []byte) ([]byte, error) {
	aead, err := newAEAD(dataKey)
	if err != nil {
		return nil, err
	}
	content, err := aead.Open(nil, nil, body, nil)
	if err != nil {
		return nil, errObject
	}
	return content, nil
}
