package kms

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/keystore"
)

const (
	ringItem = kindRing

	ringIDInfo = "claviger/ring-id/v1"
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

// An openedRing is a ring whose records can be opened.
type openedRing struct {
	*ringID
	from    source // of the ring's own record
	sealing *sealing
	index   secret.Bytes // keys the hashes of names
}

// openRing opens the ring that a store holds, or makes one, as isNew says, in a store that is empty.
func openRing(ctx context.Context, cfg, isNew *Config) (*openedRing, error) {
	const creations = 3 // that another process may have been quicker at
	made := 0
	for try := 0; made < creations && try < maxTries; try++ {
		sealed, err := cfg.Store.Get(ctx, ringItem)
		if errors.Is(err, keystore.ErrNotFound) {
			made++
			if err = createRing(ctx, isNew); err == nil || errors.Is(err, keystore.ErrConflict) || errors.Is(err, keystore.ErrUnknown) {
				continue
			}
		}
		if err != nil {
			return nil, problem(ringItem, err)
		}
		ring, err := unsealRing(ctx, cfg, sealed)
		still, readErr := isStill(ctx, cfg.Store, sealed)
		switch {
		case readErr == nil && still && err == nil:
			return ring, nil
		case readErr == nil && still && errors.Is(err, keystore.ErrNotFound): // the domain key under which the record is sealed
			return nil, problem(ringItem, record.ErrUnknownDomain)
		case readErr == nil && still:
			return nil, err
		case err == nil:
			ring.wipe()
		}
		if readErr != nil {
			return nil, problem(ringItem, readErr)
		}
	}
	return nil, &Problem{ringItem, "missing, and there are domain keys", record.ErrDamaged}
}

// wipe forgets the keys of a ring that is not used.
func (r *openedRing) wipe() {
	r.index.Zero()
	r.sealing.keys.Zero()
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
		return &Problem{ringItem, "missing, and there are other records: the store is damaged, or none of a keyring", record.ErrDamaged}
	case cfg.RingID != "":
		return fmt.Errorf("%w, and Config.RingID pins one", ErrNoRing)
	case cfg.MustExist:
		return ErrNoRing
	}
	_, now := (&clock{now: cfg.Now}).read()
	r := &ringRecord{account: cfg.AccountID, region: cfg.Region, partition: cfg.Partition, created: now, seen: now}
	rand.Read(r.index[:])
	defer clear(r.index[:])
	ring, err := deriveRingID(r.index[:])
	if err != nil {
		return err
	}
	if err := checkUnanchored(ctx, cfg, ring); err != nil {
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
		{Op: keystore.Put, Name: domainItem(domain.id), Value: domain.encode()},
	})
	return err
}

// checkUnanchored refuses to make a ring where the anchor says that there was one: its store is not here, and a new ring in its place would only hide that.
func checkUnanchored(ctx context.Context, cfg *Config, ring record.RingID) error {
	if cfg.Anchor == nil {
		return nil
	}
	m, err := cfg.Anchor.Load(ctx, ring.String())
	switch {
	case err == nil && m == anchor.Mark{}:
		return nil
	case err == nil:
		return emptyBehindAnchor(ErrRolledBack)
	case !errors.Is(err, anchor.ErrOtherRing):
		return err
	}
	if _, readErr := cfg.Store.Get(ctx, ringItem); !errors.Is(readErr, keystore.ErrNotFound) {
		return cmp.Or(readErr, keystore.ErrConflict) // another process made the ring, and has begun the anchor: look again
	}
	return emptyBehindAnchor(fmt.Errorf("%w: %w", ErrRolledBack, err))
}

func emptyBehindAnchor(err error) error {
	return &Problem{ringItem, "missing, the store is empty, and Config.Anchor is of a ring that was made before", err}
}

// readRing reads the ring's own record again. The caller clears its index key.
func (c *core) readRing(ctx context.Context, r *ringRecord) (source, error) {
	known := c.knownRing()
	from, plain, err := c.read(ctx, kindRing, ringItem, r)
	clear(plain)
	if err == nil {
		err = c.sawRing(from, known)
	}
	return from, err
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

// unsealRing unwraps the domain key that seals and opens the ring's own record with it. Older domain keys are looked for when a record needs them. It fails with
// [keystore.ErrNotFound] if the store has no such domain key.
func unsealRing(ctx context.Context, cfg *Config, sealed keystore.Record) (*openedRing, error) {
	id, err := record.DomainOf(sealed.Value)
	if err != nil {
		return nil, problem(ringItem, err)
	}
	domain, revision, err := readDomain(ctx, cfg.Store, id)
	if err != nil {
		return nil, err
	}
	key, err := domain.open(ctx, cfg.roots())
	if err != nil {
		return nil, fmt.Errorf("domain key %v: %w", id, domain.tell(err))
	}
	ring := domain.ring
	keys, err := record.NewKeys(ring, id, map[record.DomainID]secret.Bytes{id: key})
	if err != nil {
		return nil, err
	}
	h, _, plain, err := keys.Open(record.Name{Kind: kindRing, Item: ringItem}, sealed.Value, schema1)
	if err != nil {
		return nil, problem(ringItem, err)
	}
	defer clear(plain)
	r := new(ringRecord)
	if err := decodeBody(plain, r); err != nil {
		return nil, problem(ringItem, err)
	}
	if r.account == "" || r.region == "" || r.partition == "" || r.newest != id {
		return nil, problem(ringItem, errBody)
	}
	opened := &openedRing{from: sourceOf(sealed, h), sealing: &sealing{keys: keys, revision: revision}, index: secret.Copy(r.index[:])}
	clear(r.index[:])
	var derived record.RingID
	if err := opened.index.Use(func(index []byte) (err error) { derived, err = deriveRingID(index); return err }); err != nil {
		return nil, err
	}
	switch pinned := cfg.RingID; {
	case derived != ring:
		return nil, errDamagedItem(ringItem)
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
