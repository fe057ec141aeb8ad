package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// service is the name of the store, as a service that acts for others. Policies of keys see it with the Region, as kms:ViaService.
const service = "objectstore.amazonaws.com"

// A store keeps objects in a directory, and its buckets in memory. It trusts the directory with nothing but to be there: what it holds is encrypted, and opens under
// the name that it was put under only. That an object is as it was put last, and not as it was before, nobody looks at.
//
// It holds the keyring, and so could act for anybody: it is the part of the program that must know who asks. What is handed to others is a client.
type store struct {
	ring *kms.Keyring
	dir  *os.Root
	key  string // the ARN of the service managed key

	mu      sync.RWMutex // guards buckets
	buckets map[string]*bucket
}

func newStore(ctx context.Context, ring *kms.Keyring, dir *os.Root) (*store, error) {
	key, err := ring.ServiceKey(ctx, service)
	if err != nil {
		return nil, err
	}
	return &store{ring: ring, dir: dir, key: key.ARN, buckets: map[string]*bucket{}}, nil
}

// A client is the store as one user sees it. The keys are that user's as well, by way of the store: it can use those that let the user use them in this way, and no
// others. The service managed key lets everybody of its account, and nobody without a service.
type client struct {
	store *store
	who   user
	keys  *kms.Client
}

func (s *store) as(who user) *client {
	return &client{s, who, s.ring.As(who.caller().Via(service))}
}

var (
	errNoBucket = errors.New("there is no such bucket")
	errNoObject = errors.New("there is no such object in the bucket")
	errExists   = errors.New("the bucket exists")
	errName     = errors.New("a bucket has 3 to 63 lower-case letters, digits and hyphens in its name, an object 1 to 80 bytes")
	errTooLong  = errors.New("the content is longer than 16 MiB")
)

// createBucket makes a bucket of the user's account, under the key of that ARN; without one, under the service managed key.
func (c *client) createBucket(name, keyARN string) error {
	s := c.store
	b, err := newBucket(name, c.who.account, cmp.Or(keyARN, s.key))
	if err != nil {
		return err
	}
	if err := b.authorize(s.ring, c.who, "objectstore:CreateBucket", b.arn()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return errExists
	}
	if err := s.dir.Mkdir(name, 0o700); err != nil {
		return err
	}
	s.buckets[name] = b
	return nil
}

// admit returns a bucket if the user may do something with it, or with an object in it: object is empty, or a slash and the object's name.
func (c *client) admit(action, bucketName, object string) (*bucket, error) {
	if object == "/" || len(object) > 1+maxName {
		return nil, errName
	}
	c.store.mu.RLock()
	b := c.store.buckets[bucketName]
	c.store.mu.RUnlock()
	if b == nil {
		return nil, errNoBucket
	}
	return b, b.authorize(c.store.ring, c.who, action, b.arn()+object)
}

// objectFile is where an object is in the directory: its name is no path, and no two names are the same to any file system.
func objectFile(bucket, name string) string { return bucket + "/" + hex.EncodeToString([]byte(name)) }

// putPolicy gives a bucket another policy.
func (c *client) putPolicy(bucketName, text string) error {
	b, err := c.admit("objectstore:PutBucketPolicy", bucketName, "")
	if err != nil {
		return err
	}
	document, err := policy.Parse(text, policy.KeyPolicy) // the grammar of policies of resources
	if err != nil {
		return err
	}
	b.policy.Store(document)
	return nil
}

// put keeps an object, in the place of one that has the name.
func (c *client) put(ctx context.Context, bucketName, name string, content []byte) error {
	b, err := c.admit("objectstore:PutObject", bucketName, "/"+name)
	if err != nil {
		return err
	}
	if len(content) > maxContent {
		return errTooLong
	}
	dataKey, err := c.keys.GenerateDataKey(ctx, b.key, kms.AES256, encryptionContext(b.name, name))
	if err != nil {
		return err
	}
	defer dataKey.Zero()
	sealed, err := seal(dataKey, content)
	if err != nil {
		return err
	}
	return c.store.replace(objectFile(b.name, name), sealed)
}

// get returns the content of an object.
func (c *client) get(ctx context.Context, bucketName, name string) ([]byte, error) {
	b, err := c.admit("objectstore:GetObject", bucketName, "/"+name)
	if err != nil {
		return nil, err
	}
	sealed, err := c.store.dir.ReadFile(objectFile(b.name, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoObject
	}
	if err != nil {
		return nil, err
	}
	encryptedKey, body, err := unpack(sealed)
	if err != nil {
		return nil, err
	}
	// Naming the key leaves no choice to whoever can write the directory.
	dataKey, err := c.keys.Decrypt(ctx, encryptedKey, encryptionContext(b.name, name), kms.WithKey(b.key))
	if err != nil {
		return nil, err
	}
	defer clear(dataKey.Plaintext)
	return open(dataKey.Plaintext, body)
}

// replace writes a file of the directory, which appears whole or not at all.
func (s *store) replace(file string, content []byte) error {
	temporary := rand.Text()
	f, err := s.dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer s.dir.Remove(temporary) // fails once the file has its name
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return s.dir.Rename(temporary, file)
}
