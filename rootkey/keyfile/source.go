package keyfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/claviger/kms/internal/secretfile"
)

// maxFileLen leaves room for a line end and for the error that tells a longer text from no key at all.
const maxFileLen = 256

// An Option changes how [Open] treats a file.
type Option func(*options)

type options struct{ shared bool }

// AllowShared accepts a file that group or others may read, as secrets mounted into a container often are. A file that they may write is refused all the
// same.
func AllowShared() Option { return func(o *options) { o.shared = true } }

// Create makes a new random key, writes it to a new file at path that only its owner may read, and returns its root. It fails if path exists. When it
// returns without an error the file is on stable storage, its directory entry included; otherwise no file is left. Nothing can replace the file: back
// it up.
func Create(path string) (*Root, error) {
	key := make([]byte, keyLen)
	rand.Read(key)
	text := append(encode(key), '\n')
	defer clear(text)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keyfile: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		clear(key)
		return nil, fmt.Errorf("keyfile: %w", errors.Join(err, os.Remove(path)))
	}
	return newRoot(key), nil
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // which cannot sync a directory
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open reads the key in the file at path. The file must be a regular one, or a link to one, closed to group and others (on systems with Unix
// permissions; see [AllowShared]), and hold exactly one key. Errors name the path.
func Open(path string, opts ...Option) (*Root, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	text, err := secretfile.Read(path, maxFileLen, o.shared)
	if err != nil {
		return nil, fmt.Errorf("keyfile: %w", err)
	}
	defer clear(text)
	key, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("keyfile: %s: %v", path, err)
	}
	return newRoot(key), nil
}

// FromEnv reads the key in the environment variable name, which holds the text of a key file. The variable stays set: child processes inherit it unless the
// program unsets it.
func FromEnv(name string) (*Root, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		return nil, fmt.Errorf("keyfile: environment variable %s is not set", name)
	}
	key, err := decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("keyfile: environment variable %s: %v", name, err)
	}
	return newRoot(key), nil
}

// Parse reads the text of a key file that came some other way, from a secret manager for instance. text stays the caller's, who clears it.
func Parse(text []byte) (*Root, error) {
	key, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("keyfile: %v", err)
	}
	return newRoot(key), nil
}
