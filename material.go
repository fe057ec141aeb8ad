package kms

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/claviger/kms/internal/cache"
	"github.com/claviger/kms/internal/keypair"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/keystore"
)

const (
	materialIDInfo = "claviger/material-id/v1"
	versionInfo    = "claviger/version/v1"

	// materialPrefixLen is how much of a material id stands in a ciphertext.
	materialPrefixLen = 16

	// maxOldMaterials bounds how many versions other than the current one are held opened for a key.
	maxOldMaterials = 16
)

type materialPrefix [materialPrefixLen]byte

func (m materialID) prefix() materialPrefix { return materialPrefix(m[:materialPrefixLen]) }

// A material is one version of a key's material, opened: bytes, or a key pair. It never changes. The bytes are wiped when nothing refers to the material any more, and
// every use of them ends with runtime.KeepAlive. A key pair cannot be wiped.
type material struct {
	key    keyID
	id     materialID
	text   string // the id in hex, of symmetric encryption keys: nobody is told of another's
	number uint64
	secret secret.Bytes
	pair   keypair.Private

	sealing atomic.Pointer[sealer]                            // see encrypt.go
	opening atomic.Pointer[cache.Cache[messageSalt, *opener]] // nil until something was decrypted
}

// newMaterial takes ownership of raw, which is the bytes, or the private key in PKCS#8.
func newMaterial(s *specification, k keyID, number uint64, raw []byte) (*material, error) {
	if s.pair == nil && (len(raw) != s.length || isZero(raw)) {
		return nil, errors.New("kms: key material of the wrong length, or all zero")
	}
	id, err := deriveMaterialID(k, raw)
	if err != nil {
		return nil, err
	}
	m := &material{key: k, id: id, number: number}
	if s.pair != nil {
		defer clear(raw)
		m.pair, err = s.pair.ParsePrivate(raw)
		return m, err
	}
	if s.kind == symmetricKind {
		m.text = id.String()
	}
	m.secret = secret.New(raw)
	runtime.AddCleanup(m, func(raw []byte) { clear(raw) }, raw)
	return m, nil
}

// deriveMaterialID identifies material of a key. The same material of the same key has the same id everywhere, so replicas agree and an import is recognised.
func deriveMaterialID(k keyID, raw []byte) (materialID, error) {
	id, err := hkdf.Key(sha256.New, raw, nil, materialIDInfo+string(k.bytes()), len(materialID{}))
	if err != nil {
		return materialID{}, err
	}
	return materialID(id), nil
}

// bytes is the id as it is bound into derivations: a byte that tells the kind, then the 16 bytes of the id.
func (id keyID) bytes() []byte { return append([]byte{id.flags()}, id.raw[:]...) }

// materials are the opened versions of a key.
type materials struct {
	current atomic.Pointer[material]
	mu      sync.Mutex // guards making old
	old     atomic.Pointer[cache.Cache[materialPrefix, *material]]
	used    usedDay
	nextTry atomic.Int64 // before which no due rotation is tried, on the monotonic clock
}

func (m *materials) find(p materialPrefix) *material {
	if current := m.current.Load(); current != nil && current.id.prefix() == p {
		return current
	}
	if old := m.old.Load(); old != nil {
		found, _ := old.Get(p)
		return found
	}
	return nil
}

func (m *materials) keep(old *material) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.old.Load() == nil {
		m.old.Store(cache.New[materialPrefix, *material](maxOldMaterials))
	}
	m.old.Load().Put(old.id.prefix(), old)
}

func versionPrefix(id keyID) string { return kindVersion + "/" + id.String() + "/" }

func versionItem(id keyID, m materialID) string { return versionPrefix(id) + m.String() }

func indexPrefix(id keyID) string { return kindIndex + "/" + id.String() + "/" }

// indexItem names the index record of the n-th version; names order as numbers do.
func indexItem(id keyID, n uint64) string { return fmt.Sprintf("%s%016x", indexPrefix(id), n) }

// currentMaterial returns the material that a key encrypts with.
func (c *core) currentMaterial(ctx context.Context, k *key) (*material, error) {
	if m := k.materials.current.Load(); m != nil && m.id == k.current {
		return m, nil
	}
	sealed, err := c.store.Get(ctx, versionItem(k.id, k.current))
	if errors.Is(err, keystore.ErrNotFound) {
		return nil, &Problem{keyItem(k.id), "its current material is missing", record.ErrDamaged}
	}
	if err != nil {
		return nil, err
	}
	m, err := c.openMaterial(ctx, k, sealed, k.current[:])
	if err != nil {
		return nil, err
	}
	k.materials.setCurrent(m)
	return m, nil
}

// setCurrent makes m the current material unless a later version is. The one before it stays at hand for decryption.
func (m *materials) setCurrent(next *material) {
	for {
		old := m.current.Load()
		if old != nil && old.number >= next.number {
			return
		}
		if m.current.CompareAndSwap(old, next) {
			if old != nil {
				m.keep(old)
			}
			return
		}
	}
}

// findMaterial returns the material that a ciphertext names, or nil if the key has no such material. The store is asked before that is said, so another
// process's rotation is readable at once.
func (c *core) findMaterial(ctx context.Context, k *key, p materialPrefix) (*material, error) {
	if m := k.materials.find(p); m != nil {
		return m, nil
	}
	m, err := c.readMaterial(ctx, k, p[:])
	if err != nil || m == nil {
		return nil, err
	}
	if m.id == k.current {
		k.materials.setCurrent(m)
		return m, nil
	}
	k.materials.keep(m)
	return m, nil
}

// readMaterial reads the version whose material id begins with prefix, or returns nil.
func (c *core) readMaterial(ctx context.Context, k *key, prefix []byte) (*material, error) {
	found, err := c.store.List(ctx, versionPrefix(k.id)+hex.EncodeToString(prefix), "", 1)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return c.openMaterial(ctx, k, found[0], prefix)
}

// openMaterial opens the sealed record of a version and checks that it is what its name says.
func (c *core) openMaterial(ctx context.Context, k *key, sealed keystore.Record, prefix []byte) (*material, error) {
	var r versionRecord
	_, plain, err := c.open(ctx, kindVersion, sealed.Name, sealed, &r)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	m, err := newMaterial(k.specification, k.id, r.number, bytes.Clone(r.material))
	if err != nil || m.id != r.id || sealed.Name != versionItem(k.id, r.id) || !bytes.HasPrefix(r.id[:], prefix) {
		return nil, errDamagedItem(sealed.Name)
	}
	return m, nil
}

// generate returns fresh material for a key, as it is stored. The caller clears it.
func (c *core) generate(ctx context.Context, s *specification) ([]byte, error) {
	if s.length > 0 {
		raw := make([]byte, s.length)
		rand.Read(raw)
		return raw, nil
	}
	pair, err := c.generatePair(ctx, s)
	if err != nil {
		return nil, err
	}
	return pair.MarshalPKCS8()
}

// generatePair returns a fresh key pair. What takes long is done beside the caller, who can go away: it is then thrown away, and Close waits for it. As many as there
// are processors are made at once.
func (c *core) generatePair(ctx context.Context, s *specification) (keypair.Private, error) {
	if err := s.refusal(""); err != nil {
		return nil, err
	}
	if !s.pair.Slow() {
		return s.pair.Generate()
	}
	select {
	case c.generating <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var pair keypair.Private
	var err error
	var panicked any
	done := make(chan struct{})
	c.gate.hold()
	go func() {
		defer c.gate.leave()
		defer func() { <-c.generating }()
		defer close(done)
		defer func() { panicked = recover() }()
		pair, err = s.pair.Generate()
	}()
	select {
	case <-done:
		if panicked != nil { // in the call, which records it
			panic(panicked)
		}
		return pair, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// addVersion puts a new current version of a key into a batch and into the record. raw is its material, as generate returns it, and stays the caller's; previous is the
// digest of the version before it.
func (c *core) addVersion(b *batch, r *keyRecord, raw []byte, now int64, kind RotationType, previous [32]byte) (*material, error) {
	m, err := newMaterial(r.spec.specification(), r.id, r.versions+1, bytes.Clone(raw))
	if err != nil {
		return nil, err
	}
	r.current, r.versions = m.id, m.number
	b.put(kindVersion, versionItem(r.id, m.id), source{}, &versionRecord{
		number: m.number, id: m.id, material: raw, created: now, rotation: kind, previous: previous,
	})
	b.put(kindIndex, indexItem(r.id, m.number), source{}, &indexRecord{id: m.id, created: now, rotation: kind})
	return m, nil
}

// rotateMaterial puts fresh material of a key into a batch and into its next record, after the version that is the newest.
func (c *core) rotateMaterial(ctx context.Context, b *batch, next *keyRecord, now int64, kind RotationType) (*material, error) {
	previous, err := c.lastDigest(ctx, next)
	if err != nil {
		return nil, err
	}
	raw, err := c.generate(ctx, next.spec.specification())
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	return c.addVersion(b, next, raw, now, kind, previous)
}

// digest chains a version to all before it, so that whoever walks the chain notices one that was taken out.
func (r *versionRecord) digest(id keyID) [32]byte {
	in := append([]byte(versionInfo), id.bytes()...)
	in = binary.BigEndian.AppendUint64(in, r.number)
	in = append(in, r.id[:]...)
	in = binary.BigEndian.AppendUint64(in, uint64(r.created))
	in = append(in, r.previous[:]...)
	return sha256.Sum256(in)
}

// lastDigest returns the digest of a key's newest version, for the next one to carry.
func (c *core) lastDigest(ctx context.Context, r *keyRecord) ([32]byte, error) {
	item := versionItem(r.id, r.current)
	var last versionRecord
	_, plain, err := c.read(ctx, kindVersion, item, &last)
	if err != nil {
		return [32]byte{}, err
	}
	clear(plain)
	if last.number != r.versions {
		return [32]byte{}, errDamagedItem(item)
	}
	return last.digest(r.id), nil
}
