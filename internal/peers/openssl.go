package peers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An openssl is the program. Its versions before 3 cannot sign a digest and a message by the same command, and LibreSSL has the same name.
type openssl struct {
	program, folder string
}

func newOpenSSL(t testing.TB) *openssl {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl", err.Error())
	}
	version, err := exec.Command(program, "version").Output()
	if err != nil || !regexp.MustCompile(`^OpenSSL ([3-9]|\d\d)\.`).Match(version) {
		missing(t, "openssl", fmt.Sprintf("version %q, %v", version, err))
	}
	return &openssl{program, t.TempDir()}
}

// file keeps bytes where the program finds them.
func (o *openssl) file(b []byte) (string, error) {
	path := filepath.Join(o.folder, fmt.Sprintf("%x", sha256.Sum256(b)))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, os.WriteFile(path, b, 0o600)
}

// An input is bytes that the program reads from a file, and the flag before the file's name, if it wants one.
type input struct {
	flag  string
	bytes []byte
}

// run runs a command of the program, and returns what it prints.
func (o *openssl) run(command []string, inputs ...input) ([]byte, error) {
	args := slices.Clone(command)
	for _, in := range inputs {
		path, err := o.file(in.bytes)
		if err != nil {
			return nil, err
		}
		if in.flag != "" {
			args = append(args, in.flag)
		}
		args = append(args, path)
	}
	var complaint bytes.Buffer
	cmd := exec.Command(o.program, args...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("openssl %s: %w: %s", strings.Join(args, " "), err, complaint.Bytes())
	}
	return out, err
}

// opensslDigests are the hashes of algorithms by how their names end, and their lengths.
var opensslDigests = map[string]int{"SHA_1": 20, "SHA_224": 28, "SHA_256": 32, "SHA_384": 48, "SHA_512": 64}

// opensslAlgorithm is the family of an algorithm, its hash as the program calls it, and the hash's length.
func opensslAlgorithm(algorithm string) (family, digest string, length int) {
	at := strings.LastIndex(algorithm, "_SHA_")
	if at < 0 {
		return algorithm, "", 0
	}
	length = opensslDigests[algorithm[at+1:]]
	return algorithm[:at], strings.ToLower(strings.ReplaceAll(algorithm[at+1:], "_", "")), length
}

func option(values ...string) (args []string) {
	for _, v := range values {
		args = append(args, "-pkeyopt", v)
	}
	return args
}

func (o *openssl) signer(algorithm, messageType string) (Signer, bool) {
	family, digest, length := opensslAlgorithm(algorithm)
	var options []string
	switch family {
	case "RSASSA_PSS":
		options = option("rsa_padding_mode:pss", fmt.Sprintf("rsa_pss_saltlen:%d", length), "rsa_mgf1_md:"+digest)
	case "RSASSA_PKCS1_V1_5":
		options = option("rsa_padding_mode:pkcs1")
	case "ECDSA":
	case "ED25519":
		digest = "" // which is the scheme's own
	default:
		return Signer{}, false
	}
	switch {
	case messageType == "RAW" && digest == "":
		options = append(options, "-rawin")
	case messageType == "RAW":
		options = append(options, "-rawin", "-digest", digest)
	case messageType == "DIGEST" && digest != "":
		options = append(options, option("digest:"+digest)...)
	default:
		return Signer{}, false
	}
	command := slices.Clip(append([]string{"pkeyutl", "-keyform", "DER"}, options...))
	return Signer{
		Name: "OpenSSL",
		Sign: func(private, message []byte) ([]byte, error) {
			return o.run(append(command, "-sign"), input{"-inkey", private}, input{"-in", message})
		},
		Verify: func(public, message, signature []byte) (bool, error) {
			out, err := o.run(append(command, "-verify", "-pubin"), input{"-inkey", public}, input{"-in", message}, input{"-sigfile", signature})
			switch {
			case err == nil && strings.Contains(string(out), "Signature Verified Successfully"):
				return true, nil
			case err != nil && strings.Contains(string(out), "Signature Verification Failure"):
				return false, nil
			}
			return false, fmt.Errorf("OpenSSL says neither yes nor no: %s: %w", out, err)
		},
	}, true
}

func (o *openssl) cipher(algorithm string) (Cipher, bool) {
	family, digest, _ := opensslAlgorithm(algorithm)
	if family != "RSAES_OAEP" {
		return Cipher{}, false
	}
	command := slices.Clip(append([]string{"pkeyutl", "-keyform", "DER"}, option("rsa_padding_mode:oaep", "rsa_oaep_md:"+digest, "rsa_mgf1_md:"+digest)...))
	return Cipher{
		Name: "OpenSSL",
		Encrypt: func(public, plaintext []byte) ([]byte, error) {
			return o.run(append(command, "-encrypt", "-pubin"), input{"-inkey", public}, input{"-in", plaintext})
		},
		Decrypt: func(private, ciphertext []byte) ([]byte, error) {
			return o.run(append(command, "-decrypt"), input{"-inkey", private}, input{"-in", ciphertext})
		},
	}, true
}

func (o *openssl) authenticator(algorithm string) (Authenticator, bool) {
	family, digest, _ := opensslAlgorithm(algorithm)
	if family != "HMAC" {
		return Authenticator{}, false
	}
	return Authenticator{
		Name: "OpenSSL",
		MAC: func(key, message []byte) ([]byte, error) {
			return o.run([]string{"dgst", "-" + digest, "-mac", "HMAC", "-macopt", "hexkey:" + hex.EncodeToString(key), "-binary"}, input{"", message})
		},
	}, true
}

var opensslCurves = map[string]string{"ECC_NIST_P256": "P-256", "ECC_NIST_P384": "P-384", "ECC_NIST_P521": "P-521"}

func (o *openssl) agreer(spec, algorithm string) (Agreer, bool) {
	curve, ok := opensslCurves[spec]
	if !ok || algorithm != "ECDH" {
		return Agreer{}, false
	}
	return Agreer{
		Name: "OpenSSL",
		Generate: func() (private, public []byte, err error) {
			private, err = o.run([]string{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve, "-outform", "DER"})
			if err != nil {
				return nil, nil, err
			}
			public, err = o.run([]string{"pkey", "-inform", "DER", "-pubout", "-outform", "DER"}, input{"-in", private})
			return private, public, err
		},
		Agree: func(private, public []byte) ([]byte, error) {
			secret, err := o.run([]string{"pkeyutl", "-derive", "-keyform", "DER", "-peerform", "DER"}, input{"-inkey", private}, input{"-peerkey", public})
			if err == nil && len(secret) == 0 {
				err = errors.New("OpenSSL derives nothing")
			}
			return secret, err
		},
	}, true
}
