package kms

import (
	"bytes"
	"crypto/fips140"
	"fmt"
	"iter"
	"slices"
	"testing"
)

// flips yields b with one bit turned, for few bits that are spread over all of it; where tests soak, for one bit of every byte, or if b is short every bit. What is
// yielded changes again afterwards.
func flips(b []byte, few int) iter.Seq2[string, []byte] {
	const short = 160
	var bits []int
	switch few = min(few, len(b)); {
	case soaks && len(b) <= short:
		for bit := range 8 * len(b) {
			bits = append(bits, bit)
		}
	case soaks || few == len(b):
		for i := range b {
			bits = append(bits, 8*i+i%8)
		}
	default:
		for n := range few {
			i := n * (len(b) - 1) / (few - 1) // the first and the last are among them
			bits = append(bits, 8*i+n%8)
		}
	}
	return func(yield func(string, []byte) bool) {
		b := slices.Clone(b)
		for _, bit := range bits {
			b[bit/8] ^= 1 << (bit % 8)
			if !yield(fmt.Sprintf("bit %d of byte %d of %d turned", bit%8, bit/8, len(b)), b) {
				return
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// lengths yields b cut and extended.
func lengths(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, n := range []int{1, len(b) / 2, len(b) - 1} {
			if n > 0 && n < len(b) && !yield(fmt.Sprintf("the first %d bytes of %d", n, len(b)), b[:n]) {
				return
			}
		}
		for what, other := range map[string][]byte{
			"a zero after it": slices.Concat(b, []byte{0}), "its last byte twice": slices.Concat(b, b[len(b)-1:]), "a zero before it": slices.Concat([]byte{0}, b),
			"its first byte twice": slices.Concat(b[:1], b), "without its first byte": b[1:],
		} {
			if len(other) > 0 && !yield(what, other) {
				return
			}
		}
	}
}

// constants yields bytes of one value, in the length of b: among them numbers that are larger than any modulus.
func constants(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, value := range []byte{0, 1, 0xff} {
			if other := bytes.Repeat([]byte{value}, len(b)); !bytes.Equal(other, b) && !yield(fmt.Sprintf("only bytes %#x", value), other) {
				return
			}
		}
	}
}

// forgeries yields b in every way in which it is changed here, with few flips.
func forgeries(b []byte, few int) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, kind := range []iter.Seq2[string, []byte]{flips(b, few), lengths(b), constants(b)} {
			for what, other := range kind {
				if !yield(what, other) {
					return
				}
			}
		}
	}
}

// signables yields messages that an algorithm signs, one of each type that it takes.
func signables(t *testing.T, a Algorithm) (all []Message) {
	for _, kind := range messageTypes {
		switch n := signedLength(t, a, kind); {
		case n == 0:
			all = append(all, Message{kind, filler(64)}) // as long as the longest digest, and a representative
		case n > 0:
			all = append(all, Message{kind, filler(n)})
		}
	}
	return all
}

// TestForgedSignatures: a signature is one of what was signed, under the key and by the algorithm, and of nothing else.
func TestForgedSignatures(t *testing.T) {
	all := newStock(t)
	for s := range all.specimens(SignVerify) {
		refused := func(what string, key string, m Message, signature []byte, a Algorithm) {
			t.Helper()
			wantAnswer(t, s.name()+": "+what, drop(s.Verify(t.Context(), key, m, signature, a)), ErrInvalidSignature, "")
		}
		for i, m := range signables(t, s.algorithm) {
			out, err := s.Sign(t.Context(), s.key.ARN, m, s.algorithm)
			s.want("Sign", err, "", "")
			if err != nil {
				s.want("Verify", drop(s.Verify(t.Context(), s.key.ARN, m, filler(64), s.algorithm)), "", "")
				continue
			}
			s.want("Verify", drop(s.Verify(t.Context(), s.key.ARN, m, out.Signature, s.algorithm)), "", "")
			wantAnswer(t, fmt.Sprintf("%s: no signature", s.name()), drop(s.Verify(t.Context(), s.key.ARN, m, nil, s.algorithm)), ErrValidation, tooShort("signature", 1))
			if i == 0 { // those of the other types are of the same form
				for what, signature := range forgeries(out.Signature, 80) {
					refused("signature with "+what, s.key.ARN, m, signature, s.algorithm)
				}
			}
			few := len(m.Bytes)
			if m.Type == MessageRaw { // which is hashed as a whole
				few = 8
			}
			for what, b := range flips(m.Bytes, few) {
				refused(fmt.Sprintf("%s with %s", m.Type, what), s.key.ARN, Message{m.Type, b}, out.Signature, s.algorithm)
			}
			for what, b := range lengths(m.Bytes) {
				if m.Type == MessageRaw {
					refused("message: "+what, s.key.ARN, Raw(b), out.Signature, s.algorithm)
				}
			}
			refused("another key's", s.other.ARN, m, out.Signature, s.algorithm)
			for _, a := range s.key.SigningAlgorithms { // the same bytes, taken for something else
				for _, kind := range messageTypes {
					if n := signedLength(t, a, kind); (a != s.algorithm || kind != m.Type) && (n == 0 || n == len(m.Bytes)) {
						refused(fmt.Sprintf("%s as %s by %s", m.Type, kind, a), s.key.ARN, Message{kind, m.Bytes}, out.Signature, a)
					}
				}
			}
		}
	}
}

// TestForgedMacs: a MAC is one of what was authenticated under the key, and of nothing else.
func TestForgedMacs(t *testing.T) {
	all := newStock(t)
	for s := range all.specimens(GenerateVerifyMac) {
		message := filler(64)
		out, err := s.GenerateMac(t.Context(), s.key.ARN, message, s.algorithm)
		s.want("GenerateMac", err, "", "")
		refused := func(what string, key string, message, mac []byte) {
			t.Helper()
			s.want(what, drop(s.VerifyMac(t.Context(), key, message, mac, s.algorithm)), ErrInvalidMac, "")
		}
		s.want("VerifyMac", drop(s.VerifyMac(t.Context(), s.key.ARN, message, out.Mac, s.algorithm)), "", "")
		s.want("no MAC", drop(s.VerifyMac(t.Context(), s.key.ARN, message, nil, s.algorithm)), ErrValidation, tooShort("mac", 1))
		for what, mac := range forgeries(out.Mac, len(out.Mac)) {
			refused("MAC with "+what, s.key.ARN, message, mac)
		}
		for what, m := range forgeries(message, len(message)) {
			refused("message with "+what, s.key.ARN, m, out.Mac)
		}
		refused("another key's", s.other.ARN, message, out.Mac)
	}
}

// TestForgedCiphertexts: whatever is changed in a ciphertext, cut from it or added, or in its context, the answer says nothing of what was wrong. One that names another
// key is told as that: it is the wrong one for a key that is named, and where none is, nobody learns whether there is such a key.
// CVE-2020-8897: a ciphertext with two plaintexts, for want of a commitment to the key.
func TestForgedCiphertexts(t *testing.T) {
	s := newStock(t)
	key, other := s.key(SymmetricDefault, EncryptDecrypt), s.key(SymmetricDefault, EncryptDecrypt)
	ec := EncryptionContext{"name": "value", "a": ""}
	var made []byte
	refused := func(what string, ciphertext []byte, ec EncryptionContext) {
		t.Helper()
		isForm := len(ciphertext) >= CiphertextOverhead && ciphertext[0] == 1 && ciphertext[1] == 1 && ciphertext[2]&^1 == 0 // docs/format.md
		namesAnother := isForm && !bytes.Equal(ciphertext[2:19], made[2:19])
		for _, named := range []bool{true, false} {
			want := func(action string, err error) {
				t.Helper()
				code, message := ErrInvalidCiphertext, ""
				switch {
				case namesAnother && named:
					code, message = ErrIncorrectKey, incorrectKeyMessage
				case namesAnother:
					code, message = ErrAccessDenied, fmt.Sprintf("User: arn:aws:iam::111122223333:root is not authorized to perform: %s on the resource associated "+
						"with this ciphertext because %s", action, hiddenResource)
				}
				wantAnswer(t, fmt.Sprintf("%s, the key named %v, %s", action, named, what), err, code, message)
			}
			var options []CryptoOption
			in := ReEncryptInput{SourceEncryptionContext: ec}
			if named {
				options, in.SourceKey = append(options, WithKey(key.ARN)), key.ARN
			}
			got, err := s.Decrypt(t.Context(), ciphertext, ec, options...)
			want("kms:Decrypt", err)
			moved, err := s.ReEncrypt(t.Context(), ciphertext, other.ARN, in)
			want("kms:ReEncryptFrom", err)
			if got.Plaintext != nil || moved.Ciphertext != nil {
				t.Errorf("%s: a result", what)
			}
		}
	}
	for _, ec := range []EncryptionContext{nil, ec} {
		out := sure(s.Encrypt(t.Context(), key.ARN, filler(20), ec))
		made = out.Ciphertext
		whole, err := s.Decrypt(t.Context(), out.Ciphertext, ec, WithKey(key.ARN))
		if wantAnswer(t, "Decrypt", err, "", ""); !bytes.Equal(whole.Plaintext, filler(20)) {
			t.Errorf("the plaintext comes back as %d bytes", len(whole.Plaintext))
		}
		for what, ciphertext := range forgeries(out.Ciphertext, len(out.Ciphertext)) {
			refused(what, ciphertext, ec)
		}
		for n := 1; n < len(out.Ciphertext); n++ {
			refused(fmt.Sprintf("the first %d bytes", n), out.Ciphertext[:n], ec)
		}
		for _, wrong := range []EncryptionContext{nil, {"name": "value"}, {"name": "value", "a": "", "b": ""}, {"name": "", "a": "value"}, {"Name": "value", "a": ""},
			{"name": "value ", "a": ""}, {"name": "", "value": "a"}, {"namevalue": "", "a": ""}, {"a": ""}, {"a": "name", "value": ""}} {
			if len(ec) > 0 || len(wrong) > 0 {
				refused(fmt.Sprintf("the context %v instead of %v", wrong, ec), out.Ciphertext, wrong)
			}
		}
		wantAnswer(t, "no ciphertext", errorOf(s.Decrypt(t.Context(), nil, ec)), ErrValidation, tooShort("ciphertextBlob", 1))
		wantAnswer(t, "another key", errorOf(s.Decrypt(t.Context(), out.Ciphertext, ec, WithKey(other.ARN))), ErrIncorrectKey, incorrectKeyMessage)
		id, _ := parseKeyID(other.KeyID)
		swapped := slices.Clone(out.Ciphertext)
		copy(swapped[keyIDAt:], id.raw[:]) // a key that there is: the id is bound into the message key
		wantAnswer(t, "another key's id", errorOf(s.Decrypt(t.Context(), swapped, ec)), ErrInvalidCiphertext, "")
		wantAnswer(t, "another key's id, named", errorOf(s.Decrypt(t.Context(), swapped, ec, WithKey(other.ARN))), ErrInvalidCiphertext, "")
	}
}

// TestForgedRSACiphertexts: what was not encrypted under the key and by the algorithm is refused in one way.
func TestForgedRSACiphertexts(t *testing.T) {
	all := newStock(t)
	symmetric := all.key(SymmetricDefault, EncryptDecrypt)
	for s := range all.specimens(EncryptDecrypt) {
		if s.key.KeySpec == SymmetricDefault {
			continue
		}
		out, err := s.Encrypt(t.Context(), s.key.ARN, filler(40), nil, WithAlgorithm(s.algorithm))
		s.want("Encrypt", err, "", "")
		if err != nil {
			out.Ciphertext = filler(256)
		}
		decrypt := func(key string, ciphertext []byte, a Algorithm) error {
			got, err := s.Decrypt(t.Context(), ciphertext, nil, WithKey(key), WithAlgorithm(a))
			if err != nil && got.Plaintext != nil {
				t.Errorf("%s: a plaintext of what is refused", s.name())
			}
			return err
		}
		s.want("Decrypt", decrypt(s.key.ARN, out.Ciphertext, s.algorithm), "", "")
		if err != nil {
			continue
		}
		for what, ciphertext := range forgeries(out.Ciphertext, 40) {
			s.want(what, decrypt(s.key.ARN, ciphertext, s.algorithm), ErrInvalidCiphertext, "")
		}
		s.want("no ciphertext", decrypt(s.key.ARN, nil, s.algorithm), ErrValidation, tooShort("ciphertextBlob", 1))
		s.want("another key's", decrypt(s.other.ARN, out.Ciphertext, s.algorithm), ErrInvalidCiphertext, "")
		for _, a := range s.key.EncryptionAlgorithms {
			if a != s.algorithm && !isConfined(s.key.KeySpec, a) {
				s.want("by "+string(a), decrypt(s.key.ARN, out.Ciphertext, a), ErrInvalidCiphertext, "")
			}
		}
		in := ReEncryptInput{SourceKey: s.other.ARN, SourceAlgorithm: s.algorithm}
		s.want("ReEncrypt", errorOf(s.ReEncrypt(t.Context(), out.Ciphertext, symmetric.ARN, in)), ErrInvalidCiphertext, "")
		// A symmetric key's ciphertext is none of an RSA key's, and the other way round.
		held := sure(s.Encrypt(t.Context(), symmetric.ARN, filler(40), nil))
		s.want("a symmetric key's", decrypt(s.key.ARN, held.Ciphertext, s.algorithm), ErrInvalidCiphertext, "")
		s.want("without a key", errorOf(s.Decrypt(t.Context(), out.Ciphertext, nil)), ErrInvalidCiphertext, "")
		s.want("under a symmetric key", decrypt(symmetric.ARN, out.Ciphertext, AlgorithmSymmetricDefault), ErrInvalidCiphertext, "")
	}
}

// TestForgedEncapsulations: a ciphertext that was changed, or is another key's, holds another secret, the same each time, and is no error (FIPS 203, implicit
// rejection).
func TestForgedEncapsulations(t *testing.T) {
	for s := range newStock(t).specimens(EncapsulateDecapsulate) {
		made, err := s.Encapsulate(t.Context(), s.key.ARN)
		s.want("Encapsulate", err, "", "")
		if err != nil {
			s.want("Decapsulate", errorOf(s.Decapsulate(t.Context(), s.key.ARN, filler(768))), "", "")
			continue
		}
		secrets := map[string]string{}
		holds := func(what, key string, ciphertext []byte) {
			t.Helper()
			first, err := s.Decapsulate(t.Context(), key, ciphertext)
			s.want(what, err, "", "")
			again, err := s.Decapsulate(t.Context(), key, ciphertext)
			s.want(what, err, "", "")
			switch secret := string(first.Secret()); {
			case len(secret) != 32 || secret != string(again.Secret()):
				t.Errorf("%s: %s: secrets of %d and %d bytes", s.name(), what, len(secret), len(again.Secret()))
			case secrets[secret] != "":
				t.Errorf("%s: %s: the secret of %s", s.name(), what, secrets[secret])
			default:
				secrets[secret] = what
			}
		}
		holds("as it was made", s.key.ARN, made.Ciphertext)
		if secrets[string(made.Secret())] == "" {
			t.Errorf("%s: the ciphertext holds another secret", s.name())
		}
		for what, ciphertext := range flips(made.Ciphertext, 40) {
			holds(what, s.key.ARN, ciphertext)
		}
		for what, ciphertext := range constants(made.Ciphertext) {
			holds(what, s.key.ARN, ciphertext)
		}
		holds("another key's", s.other.ARN, made.Ciphertext)
		for what, ciphertext := range lengths(made.Ciphertext) {
			s.want(what, errorOf(s.Decapsulate(t.Context(), s.key.ARN, ciphertext)), ErrInvalidCiphertext, "")
		}
		s.want("no ciphertext", errorOf(s.Decapsulate(t.Context(), s.key.ARN, nil)), ErrValidation, tooShort("sharedSecretCiphertextBlob", 1))
	}
}

// TestForgedPublicKeys: a public key that was changed, or is of another kind, is agreed with by nobody. CVE-2015-7940: agreeing with a point that is not on the curve
// gives the private key away.
func TestForgedPublicKeys(t *testing.T) {
	all := newStock(t)
	symmetric := all.key(SymmetricDefault, EncryptDecrypt)
	others := map[KeySpec][]byte{}
	for _, spec := range specs(func(s *specification) bool { return s.dataKeys && s.pair != nil }) {
		fips140.WithoutEnforcement(func() {
			others[spec] = sure(all.GenerateDataKeyPairWithoutPlaintext(t.Context(), symmetric.ARN, spec, nil)).PublicKey
		})
	}
	for s := range all.specimens(KeyAgreement) {
		ours, theirs := sure(s.GetPublicKey(t.Context(), s.key.ARN)).DER, sure(s.GetPublicKey(t.Context(), s.other.ARN)).DER
		here, there := sure(s.DeriveSharedSecret(t.Context(), s.key.ARN, theirs)), sure(s.DeriveSharedSecret(t.Context(), s.other.ARN, ours))
		if len(here.Secret()) == 0 || !bytes.Equal(here.Secret(), there.Secret()) {
			t.Errorf("%s: the two sides do not agree", s.name())
		}
		refused := func(what string, public []byte) {
			t.Helper()
			got, err := s.DeriveSharedSecret(t.Context(), s.key.ARN, public)
			if s.want(what, err, ErrValidation, ""); got.Secret() != nil {
				t.Errorf("%s: %s: a secret", s.name(), what)
			}
		}
		for what, public := range forgeries(theirs, len(theirs)) {
			refused(what, public)
		}
		for spec, public := range others {
			if spec != s.key.KeySpec {
				refused("a key of "+string(spec), public)
			}
		}
	}
}

// TestSignedMessagesAreCopied: what is signed as it is, is read once from the caller, who may change it under the call: Ed25519 reads its message twice, and of two
// signatures with one nonce and different messages anybody computes the private key. What is hashed first is read once anyway.
func TestSignedMessagesAreCopied(t *testing.T) {
	r, _ := ring(t)
	for a, scheme := range schemes {
		for kind, how := range scheme.messages {
			cl := &call{frame: frame{client: r.root, op: &opSign}}
			message := filler(64)
			prepared := admitted{cl}.prepare(&how, message)
			if overlaps(prepared, message) {
				t.Errorf("%s of %s is not copied", kind, a)
			}
			before := slices.Clone(prepared)
			clear(message)
			want := filler(64)
			if how.hash != 0 {
				h := how.hash.New()
				h.Write(want)
				want = h.Sum(nil)
			}
			if !bytes.Equal(before, want) || !bytes.Equal(prepared, want) {
				t.Errorf("%s of %s: %d bytes are signed, and not those that were given", kind, a, len(prepared))
			}
		}
	}
}
