package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// A vault seals records under data keys of a KMS key, bound to the tenant that they are of.
type vault struct {
	client *awskms.Client
	key    string
}

var errSealed = errors.New("not a sealed record")

// seal encrypts a record under a data key of its own, whose ciphertext goes before it.
func (v vault) seal(ctx context.Context, tenant string, plaintext []byte) ([]byte, error) {
	dataKey, err := v.client.GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{KeyId: &v.key, KeySpec: types.DataKeySpecAes256, EncryptionContext: contextOf(tenant)})
	if err != nil {
		return nil, err
	}
	defer clear(dataKey.Plaintext)
	aead, err := newAEAD(dataKey.Plaintext)
	if err != nil {
		return nil, err
	}
	sealed := binary.BigEndian.AppendUint16(nil, uint16(len(dataKey.CiphertextBlob)))
	sealed = append(sealed, dataKey.CiphertextBlob...)
	return aead.Seal(sealed, nil, plaintext, nil), nil
}

// open decrypts a record of a tenant.
func (v vault) open(ctx context.Context, tenant string, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 {
		return nil, errSealed
	}
	n := 2 + int(binary.BigEndian.Uint16(sealed))
	if len(sealed) < n {
		return nil, errSealed
	}
	dataKey, err := v.client.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: sealed[2:n], EncryptionContext: contextOf(tenant)})
	if err != nil {
		return nil, err
	}
	defer clear(dataKey.Plaintext)
	aead, err := newAEAD(dataKey.Plaintext)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, sealed[n:], nil)
}

func contextOf(tenant string) map[string]string { return map[string]string{"tenant": tenant} }

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// reason is the exception that an error of the SDK stands for.
func reason(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return "no error of the service"
}
