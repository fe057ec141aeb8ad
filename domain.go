package kms

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/rootkey"
)

// A ringID is what a ring is: which account and Region it serves, and the id that its records are bound to. It never changes.
type ringID struct {
	id        record.RingID
	partition string
	account   string
	region    string
	arnPrefix string // of the ring's keys and aliases
}

func newRingID(id record.RingID, partition, account, region string) *ringID {
	return &ringID{id: id, partition: partition, account: account, region: region, arnPrefix: "arn:" + partition + ":kms:" + region + ":" + account + ":"}
}

// keyARN returns the ARN of a key of the ring.
func (r *ringID) keyARN(id keyID) string { return r.arnPrefix + "key/" + id.String() }

// aliasARN returns the ARN of an alias, given its whole name.
func (r *ringID) aliasARN(name string) string { return r.arnPrefix + name }

const (
	ringItem     = kindRing
	domainPrefix = kindDomain + "/"

	ringIDInfo = "claviger/ring-id/v1"
	wrapInfo   = "claviger/root/v1"

	domainVersion = 1
	domainSuite   = 1 // AES-256 domain keys, wrapped by a root as it sees fit

	maxDomainKeys = 64 // a bound on what is read of a store; a ring has one
	maxRoots      = 8
)

// A rootWrap is a domain key as one root wrapped it.
type rootWrap struct {
	root string
	text []byte
}

// A domainRecord holds the wraps of one domain key. It is the one kind of record that is not sealed: it is what opens the others. Each wrap authenticates the
// ring, the domain key's id and its root's name.
type domainRecord struct {
	ring  record.RingID
	id    record.DomainID
	wraps []rootWrap
}

func (d *domainRecord) encode() []byte {
	var b cryptobyte.Builder
	b.AddUint8(domainVersion)
	b.AddUint8(domainSuite)
	b.AddBytes(d.ring[:])
	b.AddBytes(d.id[:])
	b.AddUint8(uint8(len(d.wraps)))
	for _, w := range d.wraps {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(w.root)) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(w.text) })
	}
	return b.BytesOrPanic()
}

func decodeDomainRecord(in []byte) (*domainRecord, error) {
	s := cryptobyte.String(in)
	d := new(domainRecord)
	var version, suite, count uint8
	if !s.ReadUint8(&version) || !s.ReadUint8(&suite) || version != domainVersion || suite != domainSuite ||
		!s.CopyBytes(d.ring[:]) || !s.CopyBytes(d.id[:]) || !s.ReadUint8(&count) || count == 0 || count > maxRoots {
		return nil, record.ErrDamaged
	}
	for range count {
		var name, text cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&name) || len(name) == 0 || len(name) > rootkey.MaxNameLen ||
			!s.ReadUint16LengthPrefixed(&text) || len(text) == 0 || len(text) > rootkey.MaxWrapLen {
			return nil, record.ErrDamaged
		}
		d.wraps = append(d.wraps, rootWrap{root: string(name), text: text})
	}
	if !s.Empty() {
		return nil, record.ErrDamaged
	}
	return d, nil
}

// associatedData binds a wrap to the ring, the domain key and the root.
func (d *domainRecord) associatedData(root string) []byte {
	ad := []byte(wrapInfo)
	ad = append(ad, d.ring[:]...)
	ad = append(ad, d.id[:]...)
	ad = binary.BigEndian.AppendUint16(ad, uint16(len(root)))
	return append(ad, root...)
}

// open unwraps the domain key with the first root that can.
func (d *domainRecord) open(ctx context.Context, roots []rootkey.Root) (secret.Bytes, error) {
	err := fmt.Errorf("%w: no wrap of domain key %v is for a root that was given", rootkey.ErrWrongKey, d.id)
	for _, root := range roots {
		for _, w := range d.wraps {
			if w.root != rootkey.Name(root) {
				continue
			}
			key, openErr := root.DecryptWithContext(ctx, w.text, d.associatedData(w.root))
			if openErr != nil {
				err = fmt.Errorf("root %q: %w", w.root, openErr)
				continue
			}
			if len(key) != sha256.Size {
				clear(key)
				err = fmt.Errorf("root %q: %w: a domain key of the wrong length", w.root, record.ErrDamaged)
				continue
			}
			return secret.New(key), nil
		}
	}
	return secret.Bytes{}, err
}

// newDomain makes a domain key and wraps it under every root, opening each wrap before it is trusted.
func newDomain(ctx context.Context, ring record.RingID, roots []rootkey.Root) (*domainRecord, secret.Bytes, error) {
	d := &domainRecord{ring: ring}
	rand.Read(d.id[:])
	raw := make([]byte, sha256.Size)
	rand.Read(raw)
	key := secret.New(raw)
	for _, root := range roots {
		name := rootkey.Name(root)
		text, err := root.EncryptWithContext(ctx, raw, d.associatedData(name))
		if err != nil {
			return nil, secret.Bytes{}, fmt.Errorf("root %q: %w", name, err)
		}
		if len(text) == 0 || len(text) > rootkey.MaxWrapLen {
			return nil, secret.Bytes{}, fmt.Errorf("root %q: a wrap of %d bytes", name, len(text))
		}
		back, err := (&domainRecord{ring: d.ring, id: d.id, wraps: []rootWrap{{name, text}}}).open(ctx, []rootkey.Root{root})
		if err != nil {
			return nil, secret.Bytes{}, err
		}
		same := back.Equal(key)
		back.Zero()
		if !same {
			return nil, secret.Bytes{}, fmt.Errorf("root %q: what it wraps, it does not unwrap", name)
		}
		d.wraps = append(d.wraps, rootWrap{name, text})
	}
	return d, key, nil
}

// An openedRing is a ring whose domain keys are at hand.
type openedRing struct {
	*ringID
	keys  *record.Keys
	index secret.Bytes // keys the hashes of names
}

// openRing opens the ring that a store holds, or makes one, as isNew says, in a store that is empty.
func openRing(ctx context.Context, cfg, isNew *Config) (*openedRing, error) {
	for range 3 { // a second turn when another process made the ring meanwhile
		sealed, err := cfg.Store.Get(ctx, ringItem)
		if errors.Is(err, keystore.ErrNotFound) {
			if err = createRing(ctx, isNew); err == nil || errors.Is(err, keystore.ErrConflict) || errors.Is(err, keystore.ErrUnknown) {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		return unsealRing(ctx, cfg, sealed)
	}
	return nil, fmt.Errorf("the store holds domain keys, and no ring: %w", record.ErrDamaged)
}

// createRing makes a ring. A store that has records, but no ring, is damaged or someone else's: it is left as it is.
func createRing(ctx context.Context, cfg *Config) error {
	others, err := cfg.Store.List(ctx, "", "", 1)
	if err != nil {
		return err
	}
	switch {
	case slices.ContainsFunc(others, func(r keystore.Record) bool { return strings.HasPrefix(r.Name, domainPrefix) }):
		return keystore.ErrConflict // another process may just be making the ring: look again
	case len(others) > 0:
		return errors.New("the store holds records, but none of a ring: it is damaged, or not a key store")
	case cfg.RingID != "":
		return errors.New("the store is empty, and Config.RingID pins a ring")
	}
	_, now := (&clock{now: cfg.Now}).read()
	r := &ringRecord{account: cfg.AccountID, region: cfg.Region, partition: cfg.Partition, created: now, seen: now}
	rand.Read(r.index[:])
	defer clear(r.index[:])
	ring, err := deriveRingID(r.index[:])
	if err != nil {
		return err
	}
	domain, key, err := newDomain(ctx, ring, cfg.roots())
	if err != nil {
		return err
	}
	defer key.Zero()
	keys, err := record.NewKeys(ring, domain.id, map[record.DomainID]secret.Bytes{domain.id: key})
	if err != nil {
		return err
	}
	r.newest = domain.id
	plain := encodeBody(r)
	defer clear(plain)
	h := record.Header{Generation: 1, Time: now}
	rand.Read(h.ChangeID[:])
	_, err = cfg.Store.Commit(ctx, []keystore.Change{
		{Op: keystore.Put, Name: ringItem, Value: keys.Seal(record.Name{Kind: kindRing, Item: ringItem}, schema1, h, plain)},
		{Op: keystore.Put, Name: domainPrefix + domain.id.String(), Value: domain.encode()},
	})
	return err
}

// deriveRingID returns the id of the ring with that index key. Since the id commits to a secret of the ring, nobody else can make a ring of the same id, and
// pinning the id pins the ring.
func deriveRingID(index []byte) (record.RingID, error) {
	id, err := hkdf.Key(sha256.New, index, nil, ringIDInfo, len(record.RingID{}))
	if err != nil {
		return record.RingID{}, err
	}
	return record.RingID(id), nil
}

// unsealRing unwraps the domain keys and opens the ring's own record.
func unsealRing(ctx context.Context, cfg *Config, sealed keystore.Record) (*openedRing, error) {
	items, err := cfg.Store.List(ctx, domainPrefix, "", maxDomainKeys)
	if err != nil {
		return nil, err
	}
	sealedUnder, err := record.DomainOf(sealed.Value)
	if err != nil {
		return nil, fmt.Errorf("the ring's record: %w", err)
	}
	// A domain key that does not open costs the records under it, not the ring, unless it is the one that is needed now.
	var ring record.RingID
	domain := make(map[record.DomainID]secret.Bytes)
	missing := fmt.Errorf("domain key %v: %w", sealedUnder, record.ErrUnknownDomain)
	for _, item := range items {
		d, err := decodeDomainRecord(item.Value)
		if err == nil && item.Name != domainPrefix+d.id.String() {
			err = record.ErrDamaged
		}
		if err == nil && len(domain) > 0 && d.ring != ring {
			err = record.ErrDamaged
		}
		var key secret.Bytes
		if err == nil {
			key, err = d.open(ctx, cfg.roots())
		}
		if err != nil {
			if item.Name == domainPrefix+sealedUnder.String() {
				missing = fmt.Errorf("domain key %v: %w", sealedUnder, err)
			}
			continue
		}
		ring = d.ring
		domain[d.id] = key
	}
	if _, ok := domain[sealedUnder]; !ok {
		return nil, missing
	}
	keys, err := record.NewKeys(ring, sealedUnder, domain)
	if err != nil {
		return nil, err
	}
	_, _, plain, err := keys.Open(record.Name{Kind: kindRing, Item: ringItem}, sealed.Value, schema1)
	if err != nil {
		return nil, fmt.Errorf("the ring's record: %w", err)
	}
	defer clear(plain)
	r := new(ringRecord)
	if err := decodeBody(plain, r); err != nil {
		return nil, fmt.Errorf("the ring's record: %w", err)
	}
	if r.account == "" || r.region == "" || r.partition == "" {
		return nil, fmt.Errorf("the ring's record: %w", errBody)
	}
	opened := &openedRing{index: secret.Copy(r.index[:])}
	clear(r.index[:])
	var derived record.RingID
	if err := opened.index.Use(func(index []byte) (err error) { derived, err = deriveRingID(index); return err }); err != nil {
		return nil, err
	}
	if opened.keys, err = record.NewKeys(ring, r.newest, domain); err != nil {
		return nil, err
	}
	switch pinned := cfg.RingID; {
	case derived != ring:
		return nil, fmt.Errorf("the ring's record: %w", record.ErrDamaged)
	case pinned != "" && pinned != hex.EncodeToString(ring[:]):
		return nil, fmt.Errorf("the store holds ring %v, and Config.RingID pins another", ring)
	case cmp.Or(cfg.AccountID, r.account) != r.account:
		return nil, fmt.Errorf("the ring is of account %s, and Config.AccountID says %s", r.account, cfg.AccountID)
	case cmp.Or(cfg.Region, r.region) != r.region:
		return nil, fmt.Errorf("the ring is of Region %s, and Config.Region says %s", r.region, cfg.Region)
	case cmp.Or(cfg.Partition, r.partition) != r.partition:
		return nil, fmt.Errorf("the ring is of partition %s, and Config.Partition says %s", r.partition, cfg.Partition)
	}
	opened.ringID = newRingID(ring, r.partition, r.account, r.region)
	return opened, nil
}

// An ephemeralRoot wraps the domain keys of a ring that lives in memory and dies with the process.
type ephemeralRoot struct{ aead cipher.AEAD }

func newEphemeralRoot() (rootkey.Root, error) {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // it seals one domain key, or a handful: random nonces do not meet
	return ephemeralRoot{aead}, err
}

func (r ephemeralRoot) EncryptWithContext(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return r.aead.Seal(nil, nil, plaintext, associatedData), nil
}

func (r ephemeralRoot) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := r.aead.Open(nil, nil, ciphertext, associatedData)
	if err != nil {
		return nil, rootkey.ErrWrongKey
	}
	return plaintext, nil
}

// checkRoots refuses roots that could not be told apart later.
func checkRoots(roots []rootkey.Root) error {
	if len(roots) > maxRoots {
		return fmt.Errorf("%d root keys, and a ring has at most %d", len(roots), maxRoots)
	}
	var names []string
	for _, r := range roots {
		if r == nil {
			return errors.New("a root key is nil")
		}
		name := rootkey.Name(r)
		if len(name) == 0 || len(name) > rootkey.MaxNameLen {
			return fmt.Errorf("a root key's name has %d bytes, want 1 to %d", len(name), rootkey.MaxNameLen)
		}
		if slices.Contains(names, name) {
			return fmt.Errorf("two root keys are named %q: name one of them with rootkey.WithName", name)
		}
		names = append(names, name)
	}
	return nil
}
