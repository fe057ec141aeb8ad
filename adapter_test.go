package kms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
)

// of creates a key of a spec that everyone in the account may use.
func (f *fixture) of(spec kms.KeySpec, usage kms.KeyUsage) string {
	f.t.Helper()
	return must(f.CreateKey(f.t.Context(), kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage, Policy: everyone}))(f.t).ARN
}

// TestSigner: what a key signs as a crypto.Signer, the owner of its public key verifies; and what it cannot sign is refused, not signed in another way.
func TestSigner(t *testing.T) {
	f := open(t)
	message := bytes.Repeat([]byte("message "), 1000)
	d256, d384, d512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	salt := func(n int, h crypto.Hash) *rsa.PSSOptions { return &rsa.PSSOptions{SaltLength: n, Hash: h} }
	type try struct {
		name    string
		digest  []byte
		opts    crypto.SignerOpts
		refused string
	}
	for _, c := range []struct {
		spec   kms.KeySpec
		verify func(key crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) bool
		tries  []try
	}{
		{kms.RSA2048, func(key crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) bool {
			if pss, ok := opts.(*rsa.PSSOptions); ok {
				return rsa.VerifyPSS(key.(*rsa.PublicKey), opts.HashFunc(), digest, signature, salt(rsa.PSSSaltLengthEqualsHash, pss.Hash)) == nil
			}
			return rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), opts.HashFunc(), digest, signature) == nil
		}, []try{
			{"PKCS 1", d256[:], crypto.SHA256, ""}, {"PKCS 1, longer", d384[:], crypto.SHA384, ""}, {"PKCS 1, longest", d512[:], crypto.SHA512, ""},
			{"PSS", d256[:], salt(rsa.PSSSaltLengthEqualsHash, crypto.SHA256), ""}, {"PSS, any salt", d512[:], salt(rsa.PSSSaltLengthAuto, crypto.SHA512), ""},
			{"PSS, salt by number", d384[:], salt(48, crypto.SHA384), ""}, {"PSS, other salt", d256[:], salt(20, crypto.SHA256), "salt"},
			{"other hash", d256[:20], crypto.SHA1, "and not SHA-1 digests"}, {"no hash", message[:100], crypto.Hash(0), ", and not "}, {"no options", message[:100], nil, ", and not "},
			{"other digest", d256[:31], crypto.SHA256, "Digest is invalid length"}, {"PSS, no hash", d256[:], salt(32, 0), ", and not "},
			{"PSS, unknown hash", d256[:], salt(32, 99), ", and not "}, {"PSS, nil", d256[:], (*rsa.PSSOptions)(nil), ", and not "},
		}},
		{kms.ECCNISTP384, func(key crypto.PublicKey, digest, signature []byte, _ crypto.SignerOpts) bool {
			return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), digest, signature)
		}, []try{
			{"digest", d384[:], crypto.SHA384, ""}, {"shorter hash", d256[:], crypto.SHA256, ", and not "}, {"longer hash", d512[:], crypto.SHA512, ", and not "},
			{"no hash", d384[:], crypto.Hash(0), ", and not "}, {"PSS", d384[:], salt(0, crypto.SHA384), ", and not "},
		}},
		{kms.ECCNISTEdwards25519, func(key crypto.PublicKey, message, signature []byte, _ crypto.SignerOpts) bool {
			return ed25519.Verify(key.(ed25519.PublicKey), message, signature)
		}, []try{
			{"message", message[:4096], crypto.Hash(0), ""}, {"options", message[:10], &ed25519.Options{}, ""}, {"long", message, crypto.Hash(0), "4096"},
			{"no options", message[:10], nil, ""}, {"nil options", message[:10], (*ed25519.Options)(nil), ""},
			{"prehashed", d512[:], &ed25519.Options{Hash: crypto.SHA512}, ", and not "}, {"context", message[:10], &ed25519.Options{Context: "c"}, "context"},
		}},
		{kms.MLDSA44, func(key crypto.PublicKey, message, signature []byte, opts crypto.SignerOpts) bool {
			if opts == mldsacrypto.MLDSAMu {
				return true // it is compared below
			}
			return mldsa.Verify(key.(*mldsa.PublicKey), message, signature, nil) == nil
		}, []try{
			{"message", message[:4096], crypto.Hash(0), ""}, {"long message", message, crypto.Hash(0), ""}, {"no message", nil, crypto.Hash(0), ""},
			{"options", message, &mldsa.Options{}, ""}, {"nil options", message, (*mldsa.Options)(nil), ""},
			{"representative", d512[:], mldsacrypto.MLDSAMu, ""}, {"context", message[:10], &mldsa.Options{Context: "c"}, "context"}, {"hash", d256[:], crypto.SHA256, ", and not "},
		}},
	} {
		if fips140.Enforced() && c.spec == kms.MLDSA44 {
			continue // it cannot be created
		}
		signer, err := f.Signer(t.Context(), f.of(c.spec, kms.SignVerify))
		check(t, err)
		for _, tc := range c.tries {
			signature, err := signer.Sign(rand.Reader, tc.digest, tc.opts)
			if tc.refused != "" {
				if _, ok := errors.AsType[*kms.Error](err); !ok || !strings.Contains(err.Error(), tc.refused) || signature != nil {
					t.Errorf("%s, %s: %v, want %q", c.spec, tc.name, err, tc.refused)
				}
				continue
			}
			if err != nil || !c.verify(signer.Public(), tc.digest, signature, tc.opts) {
				t.Errorf("%s, %s: the signature does not verify: %v", c.spec, tc.name, err)
			}
		}
		if text := fmt.Sprintf("%v %+v %#v", signer, signer, struct{ s any }{signer}); strings.Contains(text, "[48") || !strings.Contains(text, signer.KeyARN()+" by ") {
			t.Errorf("%s prints as %s", c.spec, text)
		}
		opts := map[kms.KeySpec]crypto.SignerOpts{kms.RSA2048: crypto.SHA256, kms.ECCNISTP384: crypto.SHA384}[c.spec]
		long, digest := message, message
		switch c.spec {
		case kms.RSA2048:
			digest = d256[:]
		case kms.ECCNISTP384:
			digest = d384[:]
		case kms.ECCNISTEdwards25519:
			long, digest = message[:4096], message[:4096]
		}
		signature, err := signer.SignMessage(rand.Reader, long, opts)
		if err != nil || !c.verify(signer.Public(), digest, signature, opts) {
			t.Errorf("%s: the signature of a message does not verify: %v", c.spec, err)
		}
		if c.spec == kms.MLDSA44 { // what has the length of a μ is a message all the same
			signature, err := crypto.SignMessage(signer, rand.Reader, d512[:], mldsacrypto.MLDSAMu)
			if err != nil || mldsa.Verify(signer.Public().(*mldsa.PublicKey), d512[:], signature, nil) != nil {
				t.Errorf("the signature of a message by its μ is none of the message: %v", err)
			}
		}
	}
}

func TestSignerKeepsToItsKey(t *testing.T) {
	f := open(t)
	first, second := f.of(kms.ECCNISTP256, kms.SignVerify), f.of(kms.ECCNISTP256, kms.SignVerify)
	check(t, f.CreateAlias(t.Context(), "alias/signing", first))
	signer, err := f.Signer(t.Context(), "alias/signing")
	check(t, err)
	check(t, f.UpdateAlias(t.Context(), "alias/signing", second))
	digest := sha256.Sum256([]byte("message"))
	signature, err := signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || signer.KeyARN() != first || !ecdsa.VerifyASN1(signer.Public().(*ecdsa.PublicKey), digest[:], signature) {
		t.Errorf("after its alias moved: %v", err)
	}
	check(t, f.DisableKey(t.Context(), first))
	if _, err := signer.Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, kms.ErrDisabled) {
		t.Errorf("after its key was disabled: %v", err)
	}
	check(t, f.EnableKey(t.Context(), first))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := signer.WithContext(ctx).Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, context.Canceled) {
		t.Errorf("under a context that ended: %v", err)
	}
	if _, err := signer.Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Errorf("the other signer: %v", err)
	}
}

// TestAdaptersRefuseOtherKeys: no adapter is made of a key for something else, or by somebody who may not have its public key.
func TestAdaptersRefuseOtherKeys(t *testing.T) {
	f := open(t)
	keys := map[string]string{"sign": f.of(kms.ECCNISTP256, kms.SignVerify), "encrypt": f.of(kms.RSA2048, kms.EncryptDecrypt), "agree": f.of(kms.ECCNISTP256, kms.KeyAgreement),
		"encapsulate": f.of(kms.MLKEM768, kms.EncapsulateDecapsulate), "symmetric": f.create().ARN, "mac": f.of(kms.HMAC256, kms.GenerateVerifyMac)}
	makers := map[string]func(c *kms.Client, ref string) error{
		"sign":        func(c *kms.Client, ref string) error { _, err := c.Signer(t.Context(), ref); return err },
		"encrypt":     func(c *kms.Client, ref string) error { _, err := c.Decrypter(t.Context(), ref); return err },
		"agree":       func(c *kms.Client, ref string) error { _, err := c.KeyExchanger(t.Context(), ref); return err },
		"encapsulate": func(c *kms.Client, ref string) error { _, err := c.Decapsulator(t.Context(), ref); return err },
	}
	for use, maker := range makers {
		for kind, ref := range keys {
			want := kms.ErrInvalidKeyUsage
			switch kind {
			case use:
				want = ""
			case "symmetric", "mac":
				want = kms.ErrUnsupportedOperation
			}
			wantCode(t, maker(f.As(kms.Root()), ref), want)
			wantCode(t, maker(f.As(kms.Caller{}), ref), kms.ErrAccessDenied)
		}
	}
}

// TestAdaptersPrint: what prints of an adapter is the key and the caller, also while it is used.
func TestAdaptersPrint(t *testing.T) {
	f := open(t)
	app := f.As(kms.Role("app"))
	signing, agreeing, encapsulating, symmetric := f.of(kms.ECCNISTP256, kms.SignVerify), f.of(kms.ECCNISTP256, kms.KeyAgreement), f.of(kms.MLKEM768, kms.EncapsulateDecapsulate), f.create().ARN
	decrypting := f.of(kms.RSA2048, kms.EncryptDecrypt)
	aead := app.AEAD(symmetric)
	for key, adapter := range map[string]any{
		signing: must(app.Signer(t.Context(), signing))(t), decrypting: *must(app.Decrypter(t.Context(), decrypting))(t), agreeing: must(app.KeyExchanger(t.Context(), agreeing))(t),
		encapsulating: must(app.Decapsulator(t.Context(), encapsulating))(t), symmetric: aead,
	} {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := aead.EncryptWithContext(t.Context(), []byte("x"), nil); err != nil {
				t.Error(err)
			}
		})
		want := key + " by a kms client of arn:aws:sts::111122223333:assumed-role/app/app"
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
			if got := fmt.Sprintf(verb, adapter); got != want {
				t.Errorf("%s of %T: %s", verb, adapter, got)
			}
		}
		if got := slog.AnyValue(adapter).Resolve().String(); got != want {
			t.Errorf("%T is logged as %s", adapter, got)
		}
		wg.Wait()
	}
}

// TestAEADKeepsToItsKey: what one AEAD encrypted it decrypts, though its alias moves while two of its goroutines encrypt for the first time.
func TestAEADKeepsToItsKey(t *testing.T) {
	var meanwhile func()
	f := open(t, func(c *kms.Config) {
		c.Audit = audit.SinkFunc(func(_ context.Context, e *audit.Event) error {
			if run := meanwhile; e.Name == "Encrypt" && run != nil {
				meanwhile = nil
				run()
			}
			return nil
		})
	})
	first, second := f.create().ARN, f.create().ARN
	check(t, f.CreateAlias(t.Context(), "alias/data", first))
	aead := f.AEAD("alias/data")
	var inner []byte
	meanwhile = func() { // while the first is recorded, and has not returned
		check(t, f.UpdateAlias(t.Context(), "alias/data", second))
		inner = must(aead.EncryptWithContext(t.Context(), []byte("inner"), nil))(t)
	}
	outer := must(aead.EncryptWithContext(t.Context(), []byte("outer"), nil))(t)
	for want, ciphertext := range map[string][]byte{"inner": inner, "outer": outer} {
		if got, err := aead.DecryptWithContext(t.Context(), ciphertext, nil); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
}

func TestDecrypter(t *testing.T) {
	f := open(t)
	d, err := f.Decrypter(t.Context(), f.of(kms.RSA2048, kms.EncryptDecrypt))
	check(t, err)
	public := d.Public().(*rsa.PublicKey)
	var _ crypto.Decrypter = d
	ciphertext := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, public, []byte("secret"), nil))(t)
	for _, opts := range []*rsa.OAEPOptions{{Hash: crypto.SHA256}, {Hash: crypto.SHA256, MGFHash: crypto.SHA256}} {
		if got, err := d.Decrypt(nil, ciphertext, opts); err != nil || string(got) != "secret" {
			t.Errorf("%v: %q, %v", opts, got, err)
		}
	}
	for name, opts := range map[string]crypto.DecrypterOpts{"none": nil, "another type": crypto.SHA256, "label": &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte("l")},
		"other mask": &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1}, "other hash": &rsa.OAEPOptions{Hash: crypto.SHA384}, "no hash": &rsa.OAEPOptions{},
		"nil": (*rsa.OAEPOptions)(nil)} {
		if got, err := d.Decrypt(nil, ciphertext, opts); err == nil || got != nil {
			t.Errorf("%s: decrypted", name)
		}
	}
	ciphertext[9] ^= 1
	_, err = d.Decrypt(nil, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256})
	wantCode(t, err, kms.ErrInvalidCiphertext)
}

func TestKeyExchanger(t *testing.T) {
	f := open(t)
	for spec, curve := range map[kms.KeySpec]ecdh.Curve{kms.ECCNISTP256: ecdh.P256(), kms.ECCNISTP384: ecdh.P384(), kms.ECCNISTP521: ecdh.P521()} {
		x, err := f.KeyExchanger(t.Context(), f.of(spec, kms.KeyAgreement))
		check(t, err)
		var _ ecdh.KeyExchanger = x
		other := must(curve.GenerateKey(rand.Reader))(t)
		ours, err := x.ECDH(other.PublicKey())
		check(t, err)
		theirs := must(other.ECDH(x.PublicKey()))(t)
		if !bytes.Equal(ours, theirs) || x.Curve() != curve {
			t.Errorf("%s: %x, want %x", spec, ours, theirs)
		}
		for _, stranger := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
			if _, err := x.ECDH(must(stranger.GenerateKey(rand.Reader))(t).PublicKey()); (err == nil) != (stranger == curve) {
				t.Errorf("%s agrees with a key on %v: %v", spec, stranger, err)
			}
		}
		if _, err := x.ECDH(nil); err == nil {
			t.Errorf("%s agrees with nobody", spec)
		}
	}
}

func TestDecapsulator(t *testing.T) {
	f := open(t)
	d, err := f.Decapsulator(t.Context(), f.of(kms.MLKEM768, kms.EncapsulateDecapsulate))
	check(t, err)
	var _ crypto.Decapsulator = d
	secret, ciphertext := must(mlkem.NewEncapsulationKey768(d.Encapsulator().Bytes()))(t).Encapsulate()
	got, err := d.Decapsulate(ciphertext)
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%x, %v, want %x", got, err, secret)
	}
	_, err = d.Decapsulate(ciphertext[1:])
	wantCode(t, err, kms.ErrInvalidCiphertext)
}

// TestCertificateAuthority: an authority whose key is in the ring issues a certificate, and the chain verifies.
func TestCertificateAuthority(t *testing.T) {
	f := open(t)
	for _, spec := range []kms.KeySpec{kms.RSA2048, kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521, kms.ECCNISTEdwards25519} {
		signer, err := f.Signer(t.Context(), f.of(spec, kms.SignVerify))
		check(t, err)
		var _ crypto.MessageSigner = signer
		now := time.Now()
		ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		root := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, ca, ca, signer.Public(), signer))(t)))(t)
		leafKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"example.com"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
		issued := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), signer))(t)))(t)
		roots := x509.NewCertPool()
		roots.AddCert(root)
		if _, err := issued.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: roots}); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// TestParts: the halves of every key pair are read again, and fit; μ is that of the key.
func TestParts(t *testing.T) {
	f := open(t)
	key := f.create()
	for _, spec := range []kms.KeySpec{kms.RSA2048, kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521, kms.ECCSECGP256K1, kms.ECCNISTEdwards25519, kms.MLKEM512, kms.MLKEM768, kms.MLKEM1024} {
		pair, err := f.GenerateDataKeyPair(t.Context(), key.ARN, spec, nil)
		if (kindOfKey{spec: spec}).isConfined() {
			wantCode(t, err, kms.ErrUnsupportedOperation)
			continue
		}
		check(t, err)
		public, err := kms.PublicKey{DER: pair.PublicKey, KeySpec: spec}.Parse()
		check(t, err)
		private, err := kms.ParsePrivateKey(spec, pair.PrivateKey())
		check(t, err)
		switch private := private.(type) {
		case interface{ Public() crypto.PublicKey }:
			if !private.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
				t.Errorf("%s: the halves do not fit", spec)
			}
		case crypto.Decapsulator:
			if !bytes.Equal(private.Encapsulator().Bytes(), public.(crypto.Encapsulator).Bytes()) {
				t.Errorf("%s: the halves do not fit", spec)
			}
		default:
			t.Errorf("%s: a private key is %T", spec, private)
		}
		for _, wrong := range []kms.KeySpec{"", "ECC", kms.HMAC256, kms.SM2, kms.MLDSA44} {
			if _, err := kms.ParsePrivateKey(wrong, pair.PrivateKey()); err == nil {
				t.Errorf("a private key of %s is one of %q", spec, wrong)
			}
			if _, err := (kms.PublicKey{DER: pair.PublicKey, KeySpec: wrong}).Parse(); err == nil {
				t.Errorf("a public key of %s is one of %q", spec, wrong)
			}
		}
		if _, err := (kms.PublicKey{DER: pair.PublicKey, KeySpec: spec}).Mu(strings.NewReader("x")); err == nil {
			t.Errorf("a mu of %s", spec)
		}
	}
	if fips140.Enforced() {
		return
	}
	signing := f.of(kms.MLDSA44, kms.SignVerify)
	public := must(f.GetPublicKey(t.Context(), signing))(t)
	mu := must(public.Mu(strings.NewReader("a message")))(t)
	res := must(f.Sign(t.Context(), signing, mu, kms.AlgorithmMLDSASHAKE256))(t)
	check(t, drop(f.Verify(t.Context(), signing, kms.Raw([]byte("a message")), res.Signature, kms.AlgorithmMLDSASHAKE256)))
	if _, err := public.Mu(iotest.ErrReader(errors.ErrUnsupported)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("of a reader that fails: %v", err)
	}
}

// TestTLS: a server whose key is in the ring serves both versions of TLS.
func TestTLS(t *testing.T) {
	f := open(t)
	for spec, schemes := range map[kms.KeySpec][]tls.SignatureScheme{
		kms.RSA2048: nil, kms.ECCNISTP256: nil, kms.ECCNISTP384: {tls.ECDSAWithP384AndSHA384}, kms.ECCNISTP521: {tls.ECDSAWithP521AndSHA512}, kms.ECCNISTEdwards25519: nil,
	} {
		signer := must(f.Signer(t.Context(), f.of(spec, kms.SignVerify)))(t)
		now := time.Now()
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
		leaf := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer))(t)))(t)
		roots := x509.NewCertPool()
		roots.AddCert(leaf)
		certificate := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: signer, SupportedSignatureAlgorithms: schemes}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			near, far := net.Pipe()
			server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: version, MaxVersion: version})
			client := tls.Client(near, &tls.Config{ServerName: "example.com", RootCAs: roots, Time: time.Now})
			served := make(chan error, 1)
			go func() { served <- server.HandshakeContext(t.Context()) }()
			if err := client.HandshakeContext(t.Context()); err != nil {
				t.Errorf("%s, %s: %v", spec, tls.VersionName(version), err)
				check(t, near.Close())
			} else {
				go io.Copy(io.Discard, client) // what the server sends after it
			}
			if err := <-served; err != nil {
				t.Errorf("%s, %s: %v", spec, tls.VersionName(version), err)
			}
			check(t, far.Close())
		}
	}
}
