package kms

import (
	"bytes"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/internal/keypair"
)

// soaks: tests that have a small and a full size run in the full one.
var soaks = os.Getenv("KMS_SOAK") != ""

// rsaKeys are two RSA keys of each size, found once for all tests, since that takes seconds. The two have one modulus and different exponents, so that what one signs
// or encrypts is nothing to the other.
var rsaKeys = func() map[KeySpec]func() [2]keypair.Private {
	all := map[KeySpec]func() [2]keypair.Private{}
	for _, s := range specifications {
		if s.modulus == 0 {
			continue
		}
		kind := s.pair
		all[s.name] = sync.OnceValue(func() [2]keypair.Private {
			first := sure(kind.Generate())
			key := sure(x509.ParsePKCS8PrivateKey(sure(first.MarshalPKCS8()))).(*rsa.PrivateKey)
			return [2]keypair.Private{first, sure(kind.ParsePrivate(sure(x509.MarshalPKCS8PrivateKey(otherExponent(key)))))}
		})
	}
	return all
}()

// otherExponent is the key with the modulus of an RSA key and the next public exponent that there is for it.
func otherExponent(key *rsa.PrivateKey) *rsa.PrivateKey {
	one := big.NewInt(1)
	order := new(big.Int).Mul(new(big.Int).Sub(key.Primes[0], one), new(big.Int).Sub(key.Primes[1], one))
	for e := key.E + 2; ; e += 2 {
		if d := new(big.Int).ModInverse(big.NewInt(int64(e)), order); d != nil {
			return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: key.N, E: e}, D: d, Primes: key.Primes}
		}
	}
}

// A readyKind has its keys at hand, and gives them out in turns: of two that are made one after the other each is another.
type readyKind struct {
	keypair.Kind
	keys func() [2]keypair.Private
	made atomic.Uint64
}

func (k *readyKind) Slow() bool { return false }

func (k *readyKind) Generate() (keypair.Private, error) { return k.keys()[k.made.Add(1)%2], nil }

// useReadyKeys has the rings of a test take rsaKeys for theirs.
func useReadyKeys(t *testing.T) {
	for name, keys := range rsaKeys {
		useKind(t, name, &readyKind{Kind: name.specification().pair, keys: keys})
	}
}

// useKind has the key pairs of a spec be of another kind until a test ends. It comes ahead of opening a ring, which is then closed before.
func useKind(t *testing.T, name KeySpec, kind keypair.Kind) {
	s := name.specification()
	was := s.pair
	t.Cleanup(func() { s.pair = was })
	s.pair = kind
}

// A stock is a ring with keys of every spec.
type stock struct {
	*Keyring
	t *testing.T
}

func newStock(t *testing.T) *stock {
	t.Helper()
	useReadyKeys(t)
	r, _ := ring(t)
	return &stock{r, t}
}

// key makes a key that everybody may use, also where the program is confined, as one that is not may have made it.
func (s *stock) key(spec KeySpec, usage KeyUsage) (key KeyMetadata) {
	s.t.Helper()
	var err error
	fips140.WithoutEnforcement(func() {
		key, err = s.CreateKey(s.t.Context(), CreateKeyInput{KeySpec: spec, KeyUsage: usage, Policy: everyone})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// A specimen is a key of a spec, with one of its algorithms, and another key of the same kind.
type specimen struct {
	*stock
	key, other KeyMetadata
	algorithm  Algorithm
}

func (s specimen) name() string { return fmt.Sprintf("%s, %s", s.key.KeySpec, s.algorithm) }

// specimens are all pairs of a spec and an algorithm that a usage has, those of one spec with the same keys. Specs that cannot be had must be refused.
func (s *stock) specimens(usage KeyUsage) iter.Seq[specimen] {
	return func(yield func(specimen) bool) {
		s.t.Helper()
		for _, known := range specifications {
			if known.usages[usage] == nil {
				continue
			}
			if known.kind == noKind || isConfined(known.name, "") {
				_, err := s.CreateKey(s.t.Context(), CreateKeyInput{KeySpec: known.name, KeyUsage: usage})
				wantAnswer(s.t, "CreateKey", err, ErrUnsupportedOperation, refusalOf(known.name, ""))
			}
			if known.name == SM2 {
				continue
			}
			key, other := s.key(known.name, usage), s.key(known.name, usage)
			for _, a := range known.usages[usage] {
				if !yield(specimen{s, key, other, a}) {
					return
				}
			}
		}
	}
}

// isConfined reports whether the program is confined to Go's FIPS 140-3 module, and what keys of a spec do by an algorithm lies outside: it must be refused.
func isConfined(spec KeySpec, a Algorithm) bool {
	switch spec {
	case ECCSECGP256K1, MLKEM512:
		return fips140.Enforced()
	case MLDSA44, MLDSA65, MLDSA87:
		return fips140.Enforced() && !keypair.MLDSA44.Approved() // as it is from Go 1.27 on
	}
	return fips140.Enforced() && a == AlgorithmRSAESOAEPSHA1
}

// refusalOf is what is said of a spec that there is not, and of what is outside of Go's FIPS 140-3 module.
func refusalOf(spec KeySpec, a Algorithm) string {
	switch {
	case spec == SM2:
		return "Key spec SM2 is not supported."
	case isConfined(spec, ""):
		return fmt.Sprintf("Key spec %s is not within the FIPS 140-3 module, which this program is confined to.", spec)
	default:
		return fmt.Sprintf("Algorithm %s is not within the FIPS 140-3 module, which this program is confined to.", a)
	}
}

// want requires what an operation on a specimen answers to right input: a refusal where it is outside of what the program is confined to, and else this.
func (s specimen) want(what string, err error, code Code, message string) {
	s.t.Helper()
	if isConfined(s.key.KeySpec, s.algorithm) {
		code, message = ErrUnsupportedOperation, refusalOf(s.key.KeySpec, s.algorithm)
	}
	wantAnswer(s.t, s.name()+": "+what, err, code, message)
}

const (
	dryRunMessage       = "The request would have succeeded, but the DryRun option is set."
	incorrectKeyMessage = "The key ID in the request does not identify a CMK that can perform this operation."
)

// filler is n bytes of input that are looked for in every error.
func filler(n int) []byte { return bytes.Repeat([]byte(canary), n/len(canary)+1)[:n] }

var fillerForms = sync.OnceValue(func() *search {
	s := new(search)
	s.add(canaries{"the input": []byte(canary)})
	return s
})

// errorOf is what is left of an answer without its result.
func errorOf[R any](_ R, err error) error { return err }

// wantAnswer requires an error of that code with exactly that message, and no input in it; "" is none.
func wantAnswer(t *testing.T, what string, err error, code Code, message string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != code || e.Message != message {
		t.Errorf("%s: %v, want %s: %s", what, err, code, message)
		return
	}
	if e.Err != nil && slices.Contains([]Code{ErrInvalidCiphertext, ErrInvalidSignature, ErrInvalidMac}, code) {
		t.Errorf("%s: the error has a cause: %v", what, e.Err)
	}
	for _, part := range tree(err) {
		if name := fillerForms().find(fmt.Sprintf("%v %+v %#v", part, part, part)); name != "" {
			t.Errorf("%s: the error, or what it wraps, shows %s", what, name)
		}
	}
}
