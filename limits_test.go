package kms

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What is said of input that breaks a limit.

func tooShort(member string, least int) string {
	return fmt.Sprintf("1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length greater than or equal to %d", member, least)
}

func tooLong(member string, most int) string {
	return fmt.Sprintf("1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", member, most)
}

// limited is what input of n bytes is answered, where there must be least to most of it.
func limited(member string, n, least, most int) (Code, string) {
	switch {
	case n < least:
		return ErrValidation, tooShort(member, least)
	case n > most:
		return ErrValidation, tooLong(member, most)
	}
	return "", ""
}

// around are sizes at a limit and next to it.
func around(limits ...int) (sizes []int) {
	for _, n := range limits {
		sizes = append(sizes, n-1, n, n+1)
	}
	slices.Sort(sizes)
	return slices.Compact(slices.DeleteFunc(sizes, func(n int) bool { return n < 0 }))
}

// TestPlaintextLimits: a key encrypts what its algorithm has room for and no byte more, in a dry run too, and as the destination of ReEncrypt.
func TestPlaintextLimits(t *testing.T) {
	most := map[string]int{ // RFC 8017, section 7.1.1: the modulus without two hashes and two bytes
		"SYMMETRIC_DEFAULT, SYMMETRIC_DEFAULT": 4096,
		"RSA_2048, RSAES_OAEP_SHA_1":           214, "RSA_2048, RSAES_OAEP_SHA_256": 190,
		"RSA_3072, RSAES_OAEP_SHA_1": 342, "RSA_3072, RSAES_OAEP_SHA_256": 318,
		"RSA_4096, RSAES_OAEP_SHA_1": 470, "RSA_4096, RSAES_OAEP_SHA_256": 446,
	}
	all := newStock(t)
	source := all.key(SymmetricDefault, EncryptDecrypt)
	for s := range all.specimens(EncryptDecrypt) {
		most, ok := most[s.name()]
		if !ok {
			t.Errorf("%s: no limit is known", s.name())
		}
		for _, n := range around(1, most, 4096) {
			plaintext := filler(n)
			what := fmt.Sprintf("%d bytes", n)
			out, err := s.Encrypt(t.Context(), s.key.ARN, plaintext, nil, WithAlgorithm(s.algorithm))
			_, dry := s.DryRun().Encrypt(t.Context(), s.key.ARN, plaintext, nil, WithAlgorithm(s.algorithm))
			if code, message := limited("plaintext", n, 1, 4096); code != "" { // whatever the key
				wantAnswer(t, what, err, code, message)
				wantAnswer(t, what, dry, code, message)
				continue
			}
			code, message := Code(""), ""
			if n > most {
				code, message = ErrValidation, fmt.Sprintf("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", s.algorithm, s.key.KeySpec, most)
			}
			s.want("Encrypt of "+what, err, code, message)
			if err == nil {
				back, err := s.Decrypt(t.Context(), out.Ciphertext, nil, WithKey(s.key.ARN), WithAlgorithm(s.algorithm))
				if err != nil || !bytes.Equal(back.Plaintext, plaintext) {
					t.Errorf("%s: %s come back as %d: %v", s.name(), what, len(back.Plaintext), err)
				}
			}
			held := sure(s.Encrypt(t.Context(), source.ARN, plaintext, nil))
			in := ReEncryptInput{DestinationAlgorithm: s.algorithm}
			moved, err := s.ReEncrypt(t.Context(), held.Ciphertext, s.key.ARN, in)
			s.want("ReEncrypt of "+what, err, code, message)
			if err == nil {
				back, err := s.Decrypt(t.Context(), moved.Ciphertext, nil, WithKey(s.key.ARN), WithAlgorithm(s.algorithm))
				if err != nil || !bytes.Equal(back.Plaintext, plaintext) {
					t.Errorf("%s: %s that were moved come back as %d: %v", s.name(), what, len(back.Plaintext), err)
				}
			}
			if code == "" {
				code, message = ErrDryRun, dryRunMessage
			}
			s.want("dry Encrypt of "+what, dry, code, message)
			_, err = s.DryRun().ReEncrypt(t.Context(), held.Ciphertext, s.key.ARN, in) // which does not decrypt, and so does not know
			s.want("dry ReEncrypt of "+what, err, ErrDryRun, dryRunMessage)
		}
	}
}

// signedLengths are the lengths that messages of a type must have to be signed by an algorithm: 0 if any will do, and -1 if none.
var signedLengths = map[Algorithm]struct{ raw, digest, mu int }{
	AlgorithmRSASSAPSSSHA256: {0, 32, -1}, AlgorithmRSASSAPSSSHA384: {0, 48, -1}, AlgorithmRSASSAPSSSHA512: {0, 64, -1},
	AlgorithmRSASSAPKCS1V15SHA256: {0, 32, -1}, AlgorithmRSASSAPKCS1V15SHA384: {0, 48, -1}, AlgorithmRSASSAPKCS1V15SHA512: {0, 64, -1},
	AlgorithmECDSASHA256: {0, 32, -1}, AlgorithmECDSASHA384: {0, 48, -1}, AlgorithmECDSASHA512: {0, 64, -1},
	AlgorithmED25519SHA512: {0, -1, -1}, AlgorithmED25519PHSHA512: {-1, 64, -1}, AlgorithmMLDSASHAKE256: {0, -1, 64},
}

// signedLength is the length that a message must have.
func signedLength(t *testing.T, a Algorithm, m MessageType) int {
	t.Helper()
	lengths, ok := signedLengths[a]
	if !ok {
		t.Fatalf("%s: no lengths are known", a)
	}
	return map[MessageType]int{MessageRaw: lengths.raw, MessageDigest: lengths.digest, MessageExternalMu: lengths.mu}[m]
}

// signable is what a message is answered by Sign and by Verify, before a key is looked at.
func signable(t *testing.T, a Algorithm, m Message) (Code, string) {
	t.Helper()
	code, text := limited("message", len(m.Bytes), 1, 4096)
	switch want := signedLength(t, a, m.Type); {
	case code != "":
	case want < 0:
		return ErrValidation, fmt.Sprintf("MessageType %s is not compatible with algorithm %s.", m.Type, a)
	case want > 0 && len(m.Bytes) != want && m.Type == MessageExternalMu:
		return ErrValidation, fmt.Sprintf("External mu is invalid length for algorithm %s.", a)
	case want > 0 && len(m.Bytes) != want:
		return ErrValidation, fmt.Sprintf("Digest is invalid length for algorithm %s.", a)
	}
	return code, text
}

// TestMessageLimits: messages have 1 to 4096 bytes, and digests and representatives of messages the one length that the algorithm has, to sign and to verify.
func TestMessageLimits(t *testing.T) {
	all := newStock(t)
	for s := range all.specimens(SignVerify) {
		for _, kind := range messageTypes {
			sizes := around(1, 4096)
			if n := signedLength(t, s.algorithm, kind); n > 0 {
				sizes = append(sizes, around(n)...)
			}
			for _, n := range append(sizes, 28, 20) { // what other hashes have
				m := Message{kind, filler(n)}
				what := fmt.Sprintf("%s of %d bytes", kind, n)
				out, err := s.Sign(t.Context(), s.key.ARN, m, s.algorithm)
				_, dry := s.DryRun().Sign(t.Context(), s.key.ARN, m, s.algorithm)
				if code, message := signable(t, s.algorithm, m); code != "" {
					wantAnswer(t, fmt.Sprintf("%s: Sign %s", s.name(), what), err, code, message)
					wantAnswer(t, fmt.Sprintf("%s: dry Sign %s", s.name(), what), dry, code, message)
					wantAnswer(t, fmt.Sprintf("%s: Verify %s", s.name(), what), drop(s.Verify(t.Context(), s.key.ARN, m, filler(64), s.algorithm)), code, message)
					continue
				}
				s.want("Sign "+what, err, "", "")
				s.want("dry Sign "+what, dry, ErrDryRun, dryRunMessage)
				s.want("dry Verify "+what, drop(s.DryRun().Verify(t.Context(), s.key.ARN, m, filler(64), s.algorithm)), ErrDryRun, dryRunMessage)
				if err != nil {
					out.Signature = filler(64)
				}
				s.want("Verify "+what, drop(s.Verify(t.Context(), s.key.ARN, m, out.Signature, s.algorithm)), "", "")
			}
		}
	}
}

// TestMacMessageLimits: messages have 1 to 4096 bytes, to authenticate and to verify.
func TestMacMessageLimits(t *testing.T) {
	for s := range newStock(t).specimens(GenerateVerifyMac) {
		for _, n := range around(1, 4096) {
			message := filler(n)
			what := fmt.Sprintf("%d bytes", n)
			out, err := s.GenerateMac(t.Context(), s.key.ARN, message, s.algorithm)
			code, text := limited("message", n, 1, 4096)
			s.want("GenerateMac of "+what, err, code, text)
			if err != nil {
				out.Mac = filler(32)
			}
			s.want("VerifyMac of "+what, drop(s.VerifyMac(t.Context(), s.key.ARN, message, out.Mac, s.algorithm)), code, text)
		}
	}
}

// TestProofLimits: signatures and MACs that are asked about have 1 to 6144 bytes. Of these all but one length are none.
func TestProofLimits(t *testing.T) {
	all := newStock(t)
	for s := range all.specimens(SignVerify) {
		m := Raw(filler(64))
		if s.algorithm == AlgorithmED25519PHSHA512 {
			m.Type = MessageDigest
		}
		for _, n := range around(1, 6144) {
			_, err := s.Verify(t.Context(), s.key.ARN, m, filler(n), s.algorithm)
			if code, message := limited("signature", n, 1, 6144); code != "" {
				wantAnswer(t, fmt.Sprintf("%s: a signature of %d bytes", s.name(), n), err, code, message)
			} else {
				s.want(fmt.Sprintf("a signature of %d bytes", n), err, ErrInvalidSignature, "")
			}
		}
	}
	for s := range all.specimens(GenerateVerifyMac) {
		for _, n := range around(1, 6144) {
			_, err := s.VerifyMac(t.Context(), s.key.ARN, []byte("message"), filler(n), s.algorithm)
			code, message := limited("mac", n, 1, 6144)
			if code == "" {
				code = ErrInvalidMac
			}
			s.want(fmt.Sprintf("a MAC of %d bytes", n), err, code, message)
		}
	}
}

// TestCiphertextLimits: ciphertexts have 1 to 6144 bytes, and those of RSA and ML-KEM as many as the key's have, where a shorter one can be the same number.
func TestCiphertextLimits(t *testing.T) {
	all := newStock(t)
	symmetric := all.key(SymmetricDefault, EncryptDecrypt)
	for s := range all.specimens(EncryptDecrypt) {
		with := []CryptoOption{WithKey(s.key.ARN), WithAlgorithm(s.algorithm)}
		source := ReEncryptInput{SourceKey: s.key.ARN, SourceAlgorithm: s.algorithm}
		for _, n := range around(1, CiphertextOverhead, 256, 384, 512, 6144) {
			what := fmt.Sprintf("a ciphertext of %d bytes", n)
			_, err := s.Decrypt(t.Context(), filler(n), nil, with...)
			_, moved := s.ReEncrypt(t.Context(), filler(n), symmetric.ARN, source)
			if code, message := limited("ciphertextBlob", n, 1, 6144); code != "" {
				wantAnswer(t, s.name()+": "+what, err, code, message)
				wantAnswer(t, fmt.Sprintf("%s: ReEncrypt of %s", s.name(), what), moved, code, message)
				continue
			}
			s.want(what, err, ErrInvalidCiphertext, "")
			s.want("ReEncrypt of "+what, moved, ErrInvalidCiphertext, "")
		}
		if s.key.KeySpec == SymmetricDefault || isConfined(s.key.KeySpec, s.algorithm) {
			continue
		}
		var out EncryptResult
		for len(out.Ciphertext) == 0 || out.Ciphertext[0] != 0 { // until its number has a byte less
			out = sure(s.Encrypt(t.Context(), s.key.ARN, []byte(canary), nil, with[1]))
		}
		if want := map[KeySpec]int{RSA2048: 256, RSA3072: 384, RSA4096: 512}[s.key.KeySpec]; len(out.Ciphertext) != want {
			t.Errorf("%s: a ciphertext has %d bytes", s.name(), len(out.Ciphertext))
		}
		for what, ciphertext := range map[string][]byte{
			"the same number in a byte less": out.Ciphertext[1:], "the same number in a byte more": append([]byte{0}, out.Ciphertext...),
			"a byte less": out.Ciphertext[:len(out.Ciphertext)-1], "a byte more": append(slices.Clone(out.Ciphertext), 0),
		} {
			_, err := s.Decrypt(t.Context(), ciphertext, nil, with...)
			s.want(what, err, ErrInvalidCiphertext, "")
		}
		back, err := s.Decrypt(t.Context(), out.Ciphertext, nil, with...)
		if err != nil || string(back.Plaintext) != canary {
			t.Errorf("%s: %v", s.name(), err)
		}
	}
	for _, n := range around(1, CiphertextOverhead, 6144) { // that names its key, and does not
		code, message := limited("ciphertextBlob", n, 1, 6144)
		if code == "" {
			code = ErrInvalidCiphertext
		}
		what := fmt.Sprintf("a ciphertext of %d bytes that names nothing", n)
		_, err := all.Decrypt(t.Context(), filler(n), nil)
		wantAnswer(t, "Decrypt of "+what, err, code, message)
		_, err = all.ReEncrypt(t.Context(), filler(n), symmetric.ARN, ReEncryptInput{})
		wantAnswer(t, "ReEncrypt of "+what, err, code, message)
		_, err = all.NeedsReEncrypt(t.Context(), filler(n))
		wantAnswer(t, "NeedsReEncrypt of "+what, err, code, message)
	}
	lengths := map[KeySpec]int{MLKEM512: 768, MLKEM768: 1088, MLKEM1024: 1568} // FIPS 203, table 3
	for s := range all.specimens(EncapsulateDecapsulate) {
		length, ok := lengths[s.key.KeySpec]
		if !ok {
			t.Errorf("%s: no length is known", s.name())
		}
		for _, n := range around(1, 6144, length) {
			what := fmt.Sprintf("a ciphertext of %d bytes", n)
			res, err := s.Decapsulate(t.Context(), s.key.ARN, filler(n))
			if code, message := limited("sharedSecretCiphertextBlob", n, 1, 6144); code != "" {
				wantAnswer(t, s.name()+": "+what, err, code, message)
				continue
			}
			if n == length {
				s.want(what, err, "", "")
			} else {
				s.want(what, err, ErrInvalidCiphertext, "")
			}
			if err == nil && len(res.Secret()) != 32 {
				t.Errorf("%s: %s holds a secret of %d bytes", s.name(), what, len(res.Secret()))
			}
		}
		made, err := s.Encapsulate(t.Context(), s.key.ARN)
		s.want("Encapsulate", err, "", "")
		if err == nil && (len(made.Ciphertext) != length || len(made.Secret()) != 32) {
			t.Errorf("%s: a ciphertext of %d bytes with a secret of %d", s.name(), len(made.Ciphertext), len(made.Secret()))
		}
	}
}

// TestPublicKeyLimits: the other's public key has 1 to 8192 bytes, and of these exactly those of a key on the same curve.
func TestPublicKeyLimits(t *testing.T) {
	for s := range newStock(t).specimens(KeyAgreement) {
		der := sure(s.GetPublicKey(t.Context(), s.other.ARN)).DER
		for _, n := range around(1, len(der), 8192) {
			public := append(slices.Clone(der), filler(8192)...)[:n]
			_, err := s.DeriveSharedSecret(t.Context(), s.key.ARN, public)
			code, message := limited("publicKey", n, 1, 8192)
			if code == "" && n != len(der) {
				code = ErrValidation
			}
			s.want(fmt.Sprintf("a public key of %d bytes", n), err, code, message)
		}
	}
}

// TestNumberOfBytesLimits: 1 to 1024 random bytes can be had at once, and as many for a data key.
func TestNumberOfBytesLimits(t *testing.T) {
	r, key := ring(t)
	for _, n := range []int{-1, 0, 1, 2, 1023, 1024, 1025} {
		code, message := Code(""), ""
		const form = "1 validation error detected: Value '%d' at 'numberOfBytes' failed to satisfy constraint: Member must have value %s"
		switch {
		case n < 1:
			code, message = ErrValidation, fmt.Sprintf(form, n, "greater than or equal to 1")
		case n > 1024:
			code, message = ErrValidation, fmt.Sprintf(form, n, "less than or equal to 1024")
		}
		random, err := r.GenerateRandom(t.Context(), n)
		wantAnswer(t, fmt.Sprintf("%d random bytes", n), err, code, message)
		if err == nil && len(random) != n {
			t.Errorf("%d random bytes: there are %d", n, len(random))
		}
		if n == 0 { // which a zero DataKeySpec is as well
			message = "1 validation error detected: Value at 'keySpec' failed to satisfy constraint: Member must be given, unless numberOfBytes is"
		}
		data, err := r.GenerateDataKey(t.Context(), key.ARN, RandomBytes(n), nil)
		wantAnswer(t, fmt.Sprintf("a data key of %d bytes", n), err, code, message)
		hidden, errHidden := r.GenerateDataKeyWithoutPlaintext(t.Context(), key.ARN, RandomBytes(n), nil)
		wantAnswer(t, fmt.Sprintf("a hidden data key of %d bytes", n), errHidden, code, message)
		if err == nil && errHidden == nil && (len(data.Plaintext()) != n || len(data.Ciphertext) != n+CiphertextOverhead || len(hidden.Ciphertext) != n+CiphertextOverhead) {
			t.Errorf("data keys of %d bytes: %v, %d and %d bytes of ciphertext", n, data, len(data.Ciphertext), len(hidden.Ciphertext))
		}
	}
}

// contextual are the operations that take encryption contexts, with the name of each.
var contextual = []struct {
	name, member string
	call         func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error
}{
	{"Encrypt", "encryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.Encrypt(s.t.Context(), key, []byte(canary), ec)
		return err
	}},
	{"Decrypt", "encryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.Decrypt(s.t.Context(), ciphertext, ec)
		return err
	}},
	{"ReEncrypt", "sourceEncryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.ReEncrypt(s.t.Context(), ciphertext, key, ReEncryptInput{SourceEncryptionContext: ec})
		return err
	}},
	{"ReEncrypt", "destinationEncryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		plain := sure(s.Encrypt(s.t.Context(), key, []byte(canary), nil))
		_, err := s.ReEncrypt(s.t.Context(), plain.Ciphertext, key, ReEncryptInput{DestinationEncryptionContext: ec})
		return err
	}},
	{"GenerateDataKey", "encryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.GenerateDataKey(s.t.Context(), key, AES128, ec)
		return err
	}},
	{"GenerateDataKeyWithoutPlaintext", "encryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.GenerateDataKeyWithoutPlaintext(s.t.Context(), key, AES128, ec)
		return err
	}},
	{"GenerateDataKeyPair", "encryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.GenerateDataKeyPair(s.t.Context(), key, ECCNISTP256, ec)
		return err
	}},
	{"GenerateDataKeyPairWithoutPlaintext", "encryptionContext", func(s *stock, key string, ciphertext []byte, ec EncryptionContext) error {
		_, err := s.GenerateDataKeyPairWithoutPlaintext(s.t.Context(), key, ECCNISTP256, ec)
		return err
	}},
}

// TestEncryptionContextLimits: the names and values of an encryption context have 8192 bytes in all, however they are divided. Asymmetric keys take none.
func TestEncryptionContextLimits(t *testing.T) {
	s := newStock(t)
	key := s.key(SymmetricDefault, EncryptDecrypt).ARN
	shapes := map[string]func(n int) EncryptionContext{
		"one long value": func(n int) EncryptionContext { return EncryptionContext{"a": string(filler(n - 1))} },
		"one long name":  func(n int) EncryptionContext { return EncryptionContext{string(filler(n)): ""} },
		"two equal halves": func(n int) EncryptionContext {
			return EncryptionContext{string(filler(n / 2)): string(filler(n - n/2))}
		},
		"many of 8 bytes": func(n int) EncryptionContext {
			ec := EncryptionContext{}
			for i := range n / 8 {
				ec[fmt.Sprintf("%04d", i)] = "half"
			}
			if n%8 > 0 {
				ec[strings.Repeat("n", n%8)] = ""
			}
			return ec
		},
	}
	for name, shape := range shapes {
		for _, n := range around(8192) {
			ec := shape(n)
			var ciphertext []byte
			if out, err := s.Encrypt(t.Context(), key, []byte(canary), ec); err == nil {
				ciphertext = out.Ciphertext
			} else {
				ciphertext = sure(s.Encrypt(t.Context(), key, []byte(canary), nil)).Ciphertext
			}
			for _, c := range contextual {
				code, message := limited(c.member, n, 0, 8192)
				wantAnswer(t, fmt.Sprintf("%s: %s of %d bytes, %s", c.name, c.member, n, name), c.call(s, key, ciphertext, ec), code, message)
			}
		}
	}
	for _, op := range operations {
		for _, member := range op.contexts {
			if member == "" {
				continue
			}
			found := false
			for _, c := range contextual {
				found = found || c.name == op.name && c.member == member
			}
			if !found {
				t.Errorf("%s takes %s, which is not tried", op.name, member)
			}
		}
	}
	for s := range s.specimens(EncryptDecrypt) {
		if s.key.KeySpec == SymmetricDefault {
			continue
		}
		const form = "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must be absent: only symmetric encryption keys take one"
		ec := EncryptionContext{"a": canary}
		_, err := s.Encrypt(t.Context(), s.key.ARN, []byte(canary), ec, WithAlgorithm(s.algorithm))
		wantAnswer(t, s.name(), err, ErrValidation, fmt.Sprintf(form, "encryptionContext"))
		_, err = s.Decrypt(t.Context(), filler(256), ec, WithKey(s.key.ARN), WithAlgorithm(s.algorithm))
		wantAnswer(t, s.name(), err, ErrValidation, fmt.Sprintf(form, "encryptionContext"))
		held := sure(s.Encrypt(t.Context(), key, []byte(canary), nil)).Ciphertext
		_, err = s.ReEncrypt(t.Context(), held, s.key.ARN, ReEncryptInput{DestinationAlgorithm: s.algorithm, DestinationEncryptionContext: ec})
		wantAnswer(t, s.name(), err, ErrValidation, fmt.Sprintf(form, "destinationEncryptionContext"))
		_, err = s.ReEncrypt(t.Context(), filler(256), key, ReEncryptInput{SourceKey: s.key.ARN, SourceAlgorithm: s.algorithm, SourceEncryptionContext: ec})
		wantAnswer(t, s.name(), err, ErrValidation, fmt.Sprintf(form, "sourceEncryptionContext"))
	}
}

// TestModuleLimits: where the program is confined to Go's FIPS 140-3 module, keys that are outside of it cannot be made, looked at or generated, and else all can.
func TestModuleLimits(t *testing.T) {
	all := newStock(t)
	symmetric := all.key(SymmetricDefault, EncryptDecrypt)
	for _, known := range specifications {
		code, dry, message, dryMessage := Code(""), ErrDryRun, "", dryRunMessage
		if known.name == SM2 || isConfined(known.name, "") {
			code, dry, message, dryMessage = ErrUnsupportedOperation, ErrUnsupportedOperation, refusalOf(known.name, ""), refusalOf(known.name, "")
		}
		for usage := range known.usages {
			in := CreateKeyInput{KeySpec: known.name, KeyUsage: usage}
			wantAnswer(t, fmt.Sprintf("%s: CreateKey", known.name), errorOf(all.CreateKey(t.Context(), in)), code, message)
			wantAnswer(t, fmt.Sprintf("%s: dry CreateKey", known.name), errorOf(all.DryRun().CreateKey(t.Context(), in)), dry, dryMessage)
			if known.kind == asymmetricKind {
				key := all.key(known.name, usage)
				wantAnswer(t, fmt.Sprintf("%s: GetPublicKey", known.name), errorOf(all.GetPublicKey(t.Context(), key.ARN)), code, message)
			}
		}
		if known.dataKeys {
			made := errorOf(all.GenerateDataKeyPair(t.Context(), symmetric.ARN, known.name, nil))
			wantAnswer(t, fmt.Sprintf("%s: GenerateDataKeyPair", known.name), made, code, message)
			made = errorOf(all.GenerateDataKeyPairWithoutPlaintext(t.Context(), symmetric.ARN, known.name, nil))
			wantAnswer(t, fmt.Sprintf("%s: GenerateDataKeyPairWithoutPlaintext", known.name), made, code, message)
			made = errorOf(all.DryRun().GenerateDataKeyPair(t.Context(), symmetric.ARN, known.name, nil))
			wantAnswer(t, fmt.Sprintf("%s: dry GenerateDataKeyPair", known.name), made, dry, dryMessage)
		}
	}
}
