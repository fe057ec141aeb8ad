package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"sync"

	"filippo.io/mldsa"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	decred "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"

	"github.com/claviger/kms"
)

// A scheme is how messages are signed: by a key of the ring, and by one that is outside of it.
type scheme struct {
	spec      kms.KeySpec
	algorithm kms.Algorithm
	generate  func() (crypto.Signer, error) // makes the key outside
	opts      crypto.SignerOpts             // with which that signs
	signs     string                        // who does it
	verifies  string                        // who verifies, if somebody else
	limit     float64                       // of signing; see [way]
	slack     float64
	tink      func() *tinkpb.KeyTemplate // nil where Tink does not take part
	lengths   []int                      // of messages
}

var pss = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

var schemes = []scheme{
	{spec: kms.RSA2048, algorithm: kms.AlgorithmRSASSAPSSSHA256, generate: rsaKey(2048), opts: pss, signs: nameRSA, limit: 1.1, lengths: []int{32}},
	{spec: kms.RSA2048, algorithm: kms.AlgorithmRSASSAPKCS1V15SHA256, generate: rsaKey(2048), opts: crypto.SHA256, signs: nameRSA, limit: 1.1, lengths: []int{32}},
	{spec: kms.RSA3072, algorithm: kms.AlgorithmRSASSAPSSSHA256, generate: rsaKey(3072), opts: pss, signs: nameRSA, limit: 1.1, lengths: []int{32}},
	{spec: kms.RSA4096, algorithm: kms.AlgorithmRSASSAPSSSHA256, generate: rsaKey(4096), opts: pss, signs: nameRSA, limit: 1.1, lengths: []int{32}},
	{spec: kms.ECCNISTP256, algorithm: kms.AlgorithmECDSASHA256, generate: curveKey(elliptic.P256()), opts: crypto.SHA256, signs: nameECDSA, limit: 1.1,
		tink: signature.ECDSAP256KeyTemplate, lengths: []int{32}},
	{spec: kms.ECCNISTP384, algorithm: kms.AlgorithmECDSASHA384, generate: curveKey(elliptic.P384()), opts: crypto.SHA384, signs: nameECDSA, limit: noLimit, lengths: []int{32}},
	{spec: kms.ECCNISTP521, algorithm: kms.AlgorithmECDSASHA512, generate: curveKey(elliptic.P521()), opts: crypto.SHA512, signs: nameECDSA, limit: noLimit, lengths: []int{32}},
	{spec: kms.ECCSECGP256K1, algorithm: kms.AlgorithmECDSASHA256, generate: koblitzKey, opts: crypto.SHA256, signs: nameECDSA, verifies: nameDecred, limit: noLimit, lengths: []int{32}},
	{spec: kms.ECCNISTEdwards25519, algorithm: kms.AlgorithmED25519SHA512, generate: edwardsKey, opts: crypto.Hash(0), signs: nameEd25519, limit: 2, slack: 500,
		tink: signature.ED25519KeyTemplate, lengths: []int{32, 4096}},
	{spec: kms.MLDSA65, algorithm: kms.AlgorithmMLDSASHAKE256, generate: latticeKey, opts: crypto.Hash(0), signs: nameMLDSA, limit: noLimit, lengths: []int{32}},
}

func rsaKey(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

func curveKey(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

func edwardsKey() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	return key, err
}

func latticeKey() (crypto.Signer, error) { return mldsa.GenerateKey(mldsa.MLDSA65()) }

func koblitzKey() (crypto.Signer, error) {
	key, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	return koblitz{key.ToECDSA(), key.PubKey()}, nil
}

// A koblitz is a key on secp256k1, with which the standard library signs and the curve's own library verifies.
type koblitz struct {
	*ecdsa.PrivateKey
	public *secp256k1.PublicKey
}

func (k koblitz) Public() crypto.PublicKey { return k.public }

// digest is what is signed of a message.
func (s *scheme) digest(message []byte) []byte {
	switch s.opts.HashFunc() {
	case crypto.SHA256:
		sum := sha256.Sum256(message)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(message)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(message)
		return sum[:]
	default:
		return message
	}
}

// verify verifies outside of the ring.
func (s *scheme) verify(public crypto.PublicKey, message, signature []byte) error {
	digest, ok := s.digest(message), false
	switch key := public.(type) {
	case *rsa.PublicKey:
		if s.opts == pss {
			return rsa.VerifyPSS(key, crypto.SHA256, digest, signature, pss)
		}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, digest, signature)
	case *secp256k1.PublicKey:
		parsed, err := decred.ParseDERSignature(signature)
		ok = err == nil && parsed.Verify(digest, key)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, digest, signature)
	case *mldsa.PublicKey:
		return mldsa.Verify(key, digest, signature, nil)
	}
	if !ok {
		return errWrong
	}
	return nil
}

// provers make their keys. The ring is the first.
func (s *scheme) provers(r *ring) ([]prover, error) {
	ctx := context.Background()
	arn, public, err := r.newPair(s.spec, kms.SignVerify)
	if err != nil {
		return nil, err
	}
	ours := prover{
		proves: way{name: nameOurs}, verifies: way{name: nameOurs},
		prove: func(message []byte) ([]byte, error) {
			out, err := r.Sign(ctx, arn, kms.Raw(message), s.algorithm)
			return out.Signature, err
		},
		verify: func(message, signature []byte) error {
			_, err := r.Verify(ctx, arn, kms.Raw(message), signature, s.algorithm)
			return err
		},
		check: func(message, signature []byte) error { return s.verify(public, message, signature) },
	}
	private, err := s.generate()
	if err != nil {
		return nil, err
	}
	outside := private.Public()
	raw := prover{
		proves: way{name: s.signs, limit: s.limit, slack: s.slack}, verifies: way{name: cmp.Or(s.verifies, s.signs), limit: noLimit},
		prove:  func(message []byte) ([]byte, error) { return private.Sign(rand.Reader, s.digest(message), s.opts) },
		verify: func(message, signature []byte) error { return s.verify(outside, message, signature) },
	}
	if s.tink == nil {
		return []prover{ours, raw}, nil
	}
	tink, err := s.tinkProver()
	return []prover{ours, raw, tink}, err
}

func (s *scheme) tinkProver() (prover, error) {
	handle, err := keyset.NewHandle(s.tink())
	if err != nil {
		return prover{}, err
	}
	public, err := handle.Public()
	if err != nil {
		return prover{}, err
	}
	signer, err := signature.NewSigner(handle)
	if err != nil {
		return prover{}, err
	}
	verifier, err := signature.NewVerifier(public)
	if err != nil {
		return prover{}, err
	}
	return prover{
		proves: way{name: nameTink, limit: noLimit}, verifies: way{name: nameTink, limit: noLimit},
		prove:  signer.Sign,
		verify: func(message, signature []byte) error { return verifier.Verify(signature, message) },
	}, nil
}

// signatureContests sign messages, and verify signatures. Everybody is given the message itself, and hashes it.
func signatureContests(r *ring, _ *peers) ([]*contest, error) {
	var sign, verify []*contest
	for i := range schemes {
		s := &schemes[i]
		provers := sync.OnceValues(func() ([]prover, error) { return s.provers(r) })
		for _, n := range s.lengths {
			pair := proofContests("Sign", "Verify", fmt.Sprintf("%s %s", s.spec, s.algorithm), n, provers)
			sign, verify = append(sign, pair[0]), append(verify, pair[1])
		}
	}
	return append(sign, verify...), nil
}
