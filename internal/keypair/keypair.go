// Package keypair holds the asymmetric keys: for each kind, how a key pair is generated, how its halves are written and read, and what they can do.
//
// It adds no cryptography. The standard library's primitives are used where there are any, and one well-kept library for each kind that it lacks; what the package
// brings is one form for all of them. A private key is written as PKCS#8 (RFC 5958) and a public key as X.509 SubjectPublicKeyInfo (RFC 5280), in DER.
package keypair

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/claviger/kms/internal/secret"
)

// A Kind generates and reads key pairs of one kind. Kinds are safe for concurrent use.
type Kind interface {
	// Generate returns a fresh private key from the system's generator.
	Generate() (Private, error)

	// ParsePrivate reads a PKCS#8 private key of this kind and no other. It keeps nothing of der.
	ParsePrivate(der []byte) (Private, error)

	// ParsePublic reads a SubjectPublicKeyInfo of this kind and no other. It keeps nothing of der.
	ParsePublic(der []byte) (Public, error)

	// Slow reports whether Generate may take long, and cannot be interrupted.
	Slow() bool

	// Approved reports whether all that keys of this kind do lies within Go's FIPS module.
	Approved() bool
}

// A Private is a private key. Beside these methods it has those of what it can do: it is a [Signer], a [Decrypter], an [Agreer] or a [Decapsulator], or two of them. Keys
// are safe for concurrent use, and print as [secret.Redacted].
type Private interface {
	Public() Public

	// Key is the private key itself as the package that knows its kind has it.
	Key() crypto.PrivateKey

	// MarshalPKCS8 writes the private key. The caller clears what it returns.
	MarshalPKCS8() ([]byte, error)
}

// A Public is a public key: a [Verifier], an [Encrypter] or an [Encapsulator], or two of them.
type Public interface {
	MarshalSPKI() ([]byte, error)

	// Key is the key as the package that knows its kind has it.
	Key() crypto.PublicKey
}

// A Signer signs a message with fresh randomness, or if the scheme has none, without. opts says how, as for the standard library's signers: a digest of that hash for
// *[rsa.PSSOptions], and for a hash PKCS #1 v1.5 and ECDSA; the message itself for crypto.Hash(0), Ed25519 and ML-DSA; *[ed25519.Options] for Ed25519ph; [ExternalMu] for
// ML-DSA's representative of a message.
type Signer interface {
	Private
	Sign(message []byte, opts crypto.SignerOpts) ([]byte, error)
}

// A Verifier verifies what a [Signer] signed with the same message and opts. The error is [ErrSignature] if it is not a signature, and another if this build cannot say.
type Verifier interface {
	Public
	Verify(message, signature []byte, opts crypto.SignerOpts) error
}

// A Decrypter decrypts what an [Encrypter] encrypted with the same hash; if it did not, that is [ErrDecryption], whatever is wrong.
type Decrypter interface {
	Private
	Decrypt(ciphertext []byte, hash crypto.Hash) ([]byte, error)
}

// An Encrypter encrypts by RSAES-OAEP (RFC 8017, section 7.1), with hash for the label, which is empty, and for the mask.
type Encrypter interface {
	Public
	Encrypt(plaintext []byte, hash crypto.Hash) ([]byte, error)
}

// An Agreer agrees on a shared secret with the owner of another public key of the same kind.
type Agreer interface {
	Private
	Agree(peer Public) ([]byte, error)
}

// A Decapsulator returns the secret that a ciphertext of an [Encapsulator] holds. A ciphertext of the right length that the other did not make holds another secret
// (FIPS 203, implicit rejection); one of another length is [ErrDecryption].
type Decapsulator interface {
	Private
	Decapsulate(ciphertext []byte) (secret []byte, err error)
}

// An Encapsulator draws a secret, and returns it with a ciphertext that holds it.
type Encapsulator interface {
	Public
	Encapsulate() (secret, ciphertext []byte, err error)
}

// hidden keeps what it is embedded in from being printed.
type hidden struct{}

func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

func (hidden) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// Errors of keys.
var (
	ErrSignature  = errors.New("keypair: the signature is not one of the message")
	ErrDecryption = errors.New("keypair: the ciphertext does not decrypt")

	// ErrOptions is the answer to options that are not of the kind of key.
	ErrOptions = errors.New("keypair: a key of this kind does not sign in this way")

	errPrivate = errors.New("keypair: not a private key of this kind")
	errPublic  = errors.New("keypair: not a public key of this kind")
	errPeer    = errors.New("keypair: the other key is of another kind")
)
