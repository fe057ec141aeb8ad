package kmshttp

import (
	"context"

	"github.com/claviger/kms"
)

// What the operations that use keys read, call and answer. Each function reads its request, and returns the call that the path makes if nothing was wrong with it.

// option adds an option of a cryptographic call for a member that was sent.
func option(options []kms.CryptoOption, in *input, name string, of func(string) kms.CryptoOption) []kms.CryptoOption {
	if s := in.filled(name); s != "" {
		options = append(options, of(s))
	}
	return options
}

func withAlgorithm(name string) kms.CryptoOption { return kms.WithAlgorithm(kms.Algorithm(name)) }

// algorithm reads the name of one; an empty name is none of any.
func (in *input) algorithm(name string) kms.Algorithm { return kms.Algorithm(in.filled(name)) }

func encrypt(in *input) call {
	in.require("KeyId", "Plaintext")
	key, plaintext, ec := in.text("KeyId"), in.blob("Plaintext"), in.pairs("EncryptionContext")
	options := option(nil, in, "EncryptionAlgorithm", withAlgorithm)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.Encrypt(ctx, key, plaintext, ec, options...)
		return object{"CiphertextBlob": out.Ciphertext, "KeyId": out.KeyARN, "EncryptionAlgorithm": out.Algorithm}, err
	}
}

// ciphertext reads one, which is not empty: a dry run takes an empty one for none, and needs none. To go without one is what DryRunModifiers are for, which are not
// offered: that is told then, and not that there is none.
func ciphertext(in *input) []byte {
	if in.refuse("DryRunModifiers"); !in.has("DryRunModifiers") {
		in.require("CiphertextBlob")
	}
	in.filled("CiphertextBlob")
	return in.blob("CiphertextBlob")
}

func decrypt(in *input) call {
	in.refuse("Recipient")
	ciphertext, ec := ciphertext(in), in.pairs("EncryptionContext")
	options := option(option(nil, in, "KeyId", kms.WithKey), in, "EncryptionAlgorithm", withAlgorithm)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.Decrypt(ctx, ciphertext, ec, options...)
		o := object{"Plaintext": out.Plaintext, "KeyId": out.KeyARN, "EncryptionAlgorithm": out.Algorithm}
		set(o, "KeyMaterialId", out.KeyMaterialID)
		return o, err
	}
}

func reEncrypt(in *input) call {
	in.require("DestinationKeyId")
	ciphertext, destination := ciphertext(in), in.text("DestinationKeyId")
	how := kms.ReEncryptInput{
		SourceKey:                    in.filled("SourceKeyId"),
		SourceEncryptionContext:      in.pairs("SourceEncryptionContext"),
		DestinationEncryptionContext: in.pairs("DestinationEncryptionContext"),
		SourceAlgorithm:              in.algorithm("SourceEncryptionAlgorithm"),
		DestinationAlgorithm:         in.algorithm("DestinationEncryptionAlgorithm"),
	}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.ReEncrypt(ctx, ciphertext, destination, how)
		o := object{
			"CiphertextBlob": out.Ciphertext, "SourceKeyId": out.SourceKeyARN, "KeyId": out.KeyARN,
			"SourceEncryptionAlgorithm": out.SourceAlgorithm, "DestinationEncryptionAlgorithm": out.DestinationAlgorithm,
		}
		set(o, "SourceKeyMaterialId", out.SourceKeyMaterialID)
		set(o, "DestinationKeyMaterialId", out.DestinationKeyMaterialID)
		return o, err
	}
}

// dataKeySpec reads which data key is asked for.
func dataKeySpec(in *input) (spec kms.DataKeySpec) {
	name, n := in.choice("KeySpec", kms.AES256.String(), kms.AES128.String()), in.number("NumberOfBytes", 1)
	switch {
	case in.has("KeySpec") == in.has("NumberOfBytes"):
		in.fail(&fault{"ValidationException", "Please specify either number of bytes or key spec."})
	case name == kms.AES128.String():
		spec = kms.AES128
	case in.has("KeySpec"):
		spec = kms.AES256
	default:
		spec = kms.RandomBytes(n)
	}
	return spec
}

func generateDataKey(in *input) call {
	in.refuse("Recipient")
	in.require("KeyId")
	key, spec, ec := in.text("KeyId"), dataKeySpec(in), in.pairs("EncryptionContext")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GenerateDataKey(ctx, key, spec, ec)
		if err != nil {
			return nil, err
		}
		return object{"Plaintext": out.Plaintext(), "CiphertextBlob": out.Ciphertext, "KeyId": out.KeyARN, "KeyMaterialId": out.KeyMaterialID}, nil
	}
}

func generateDataKeyWithoutPlaintext(in *input) call {
	in.require("KeyId")
	key, spec, ec := in.text("KeyId"), dataKeySpec(in), in.pairs("EncryptionContext")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GenerateDataKeyWithoutPlaintext(ctx, key, spec, ec)
		return object{"CiphertextBlob": out.Ciphertext, "KeyId": out.KeyARN, "KeyMaterialId": out.KeyMaterialID}, err
	}
}

func dataKeyPair(out kms.EncryptedDataKeyPair) object {
	return object{
		"PrivateKeyCiphertextBlob": out.PrivateKeyCiphertext, "PublicKey": out.PublicKey, "KeyPairSpec": out.KeyPairSpec, "KeyId": out.KeyARN,
		"KeyMaterialId": out.KeyMaterialID,
	}
}

func generateDataKeyPair(in *input) call {
	in.refuse("Recipient")
	in.require("KeyId", "KeyPairSpec")
	key, spec, ec := in.text("KeyId"), kms.KeySpec(in.text("KeyPairSpec")), in.pairs("EncryptionContext")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GenerateDataKeyPair(ctx, key, spec, ec)
		if err != nil {
			return nil, err
		}
		o := dataKeyPair(out.EncryptedDataKeyPair)
		o["PrivateKeyPlaintext"] = out.PrivateKey()
		return o, nil
	}
}

func generateDataKeyPairWithoutPlaintext(in *input) call {
	in.require("KeyId", "KeyPairSpec")
	key, spec, ec := in.text("KeyId"), kms.KeySpec(in.text("KeyPairSpec")), in.pairs("EncryptionContext")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GenerateDataKeyPairWithoutPlaintext(ctx, key, spec, ec)
		return dataKeyPair(out), err
	}
}

func generateRandom(in *input) call {
	in.refuse("Recipient", "CustomKeyStoreId")
	n := in.number("NumberOfBytes", 1)
	if !in.has("NumberOfBytes") {
		in.fail(&fault{"ValidationException", "NumberOfBytes is required."})
	}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GenerateRandom(ctx, n)
		return object{"Plaintext": out}, err
	}
}

func message(in *input) kms.Message {
	return kms.Message{Type: kms.MessageType(in.filled("MessageType")), Bytes: in.blob("Message")}
}

func sign(in *input) call {
	in.require("KeyId", "Message", "SigningAlgorithm")
	key, message, algorithm := in.text("KeyId"), message(in), kms.Algorithm(in.text("SigningAlgorithm"))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.Sign(ctx, key, message, algorithm)
		return object{"Signature": out.Signature, "KeyId": out.KeyARN, "SigningAlgorithm": out.Algorithm}, err
	}
}

func verify(in *input) call {
	in.require("KeyId", "Message", "Signature", "SigningAlgorithm")
	key, message, signature, algorithm := in.text("KeyId"), message(in), in.blob("Signature"), kms.Algorithm(in.text("SigningAlgorithm"))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.Verify(ctx, key, message, signature, algorithm)
		return object{"SignatureValid": true, "KeyId": out.KeyARN, "SigningAlgorithm": out.Algorithm}, err
	}
}

func generateMac(in *input) call {
	in.require("KeyId", "Message", "MacAlgorithm")
	key, message, algorithm := in.text("KeyId"), in.blob("Message"), kms.Algorithm(in.text("MacAlgorithm"))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GenerateMac(ctx, key, message, algorithm)
		return object{"Mac": out.Mac, "KeyId": out.KeyARN, "MacAlgorithm": out.Algorithm}, err
	}
}

func verifyMac(in *input) call {
	in.require("KeyId", "Message", "Mac", "MacAlgorithm")
	key, message, mac, algorithm := in.text("KeyId"), in.blob("Message"), in.blob("Mac"), kms.Algorithm(in.text("MacAlgorithm"))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.VerifyMac(ctx, key, message, mac, algorithm)
		return object{"MacValid": true, "KeyId": out.KeyARN, "MacAlgorithm": out.Algorithm}, err
	}
}

func deriveSharedSecret(in *input) call {
	in.refuse("Recipient")
	in.require("KeyId", "KeyAgreementAlgorithm", "PublicKey")
	key, publicKey := in.text("KeyId"), in.blob("PublicKey")
	in.choice("KeyAgreementAlgorithm", string(kms.AlgorithmECDH))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.DeriveSharedSecret(ctx, key, publicKey)
		if err != nil {
			return nil, err
		}
		return object{"SharedSecret": out.Secret(), "KeyId": out.KeyARN, "KeyAgreementAlgorithm": out.Algorithm, "KeyOrigin": out.KeyOrigin}, nil
	}
}

func encapsulate(in *input) call {
	in.require("KeyId", "EncapsulationAlgorithm")
	key := in.text("KeyId")
	in.choice("EncapsulationAlgorithm", string(kms.AlgorithmMLKEM))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.Encapsulate(ctx, key)
		if err != nil {
			return nil, err
		}
		return object{
			"SharedSecret": out.Secret(), "SharedSecretCiphertextBlob": out.Ciphertext, "KeyId": out.KeyARN, "EncapsulationAlgorithm": out.Algorithm,
		}, nil
	}
}

func decapsulate(in *input) call {
	in.require("KeyId", "EncapsulationAlgorithm", "SharedSecretCiphertextBlob")
	key, ciphertext := in.text("KeyId"), in.blob("SharedSecretCiphertextBlob")
	in.choice("EncapsulationAlgorithm", string(kms.AlgorithmMLKEM))
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.Decapsulate(ctx, key, ciphertext)
		if err != nil {
			return nil, err
		}
		return object{"SharedSecret": out.Secret(), "KeyId": out.KeyARN, "EncapsulationAlgorithm": out.Algorithm}, nil
	}
}

func getPublicKey(in *input) call {
	in.require("KeyId")
	key := in.text("KeyId")
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.GetPublicKey(ctx, key)
		o := object{"PublicKey": out.DER, "KeyId": out.KeyARN, "KeySpec": out.KeySpec, "CustomerMasterKeySpec": out.KeySpec, "KeyUsage": out.KeyUsage}
		setAlgorithms(o, out.KeyAlgorithms)
		return o, err
	}
}
