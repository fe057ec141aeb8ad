// Package record seals the values that a keyring puts into a store, so that a store can neither read, forge nor move them.
//
// A sealed record is
//
//	version 1 | suite 1 | domain key id 8 | salt 16 | nonce 12 | ciphertext | tag 16
//
// under AES-256-GCM with a key of its own, HKDF-SHA-256(domain key, salt, "claviger/record/v1" | suite | ring id). The associated data is the header (every
// byte before the nonce), the ring id, and the kind, name and schema version of the record, so that a record opens only in its ring and under its name.
// The plaintext begins with a generation, a change id and a time; see [Header]. docs/format.md has the layout byte by byte.
//
// What a store can still do is to withhold a record or to bring back an older one. The generation is there for the reader to notice.
package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"github.com/claviger/kms/internal/secret"
)

const (
	version1  = 1
	suiteGCM1 = 1 // HKDF-SHA-256 and AES-256-GCM

	keyLen    = 32
	saltLen   = 16
	nonceLen  = 12
	tagLen    = 16
	headerLen = 1 + 1 + 8 + saltLen
	metaLen   = 8 + 16 + 8

	// Overhead is how many bytes longer than its body a sealed record is.
	Overhead = headerLen + nonceLen + metaLen + tagLen

	info = "claviger/record/v1"
)

// A RingID names a ring: 16 bytes.
type RingID [16]byte

// String writes the id as 32 hex digits.
func (r RingID) String() string { return hex.EncodeToString(r[:]) }

// A DomainID names a domain key within its ring.
type DomainID [8]byte

// String writes the id as 16 hex digits.
func (d DomainID) String() string { return hex.EncodeToString(d[:]) }

// A Header opens the plaintext of every record.
type Header struct {
	Generation uint64   // one more with each write of the name; the first is 1
	ChangeID   [16]byte // random, made by the writer: two records of one name and generation with different change ids are a fork
	Time       int64    // of the write by the ring's clock, in nanoseconds since 1970
}

// A Name says what a record is and under which name it is kept.
type Name struct {
	Kind string // such as "key"
	Item string // the whole item name in the store
}

// Errors of [Keys.Open]. They say no more, since what failed inside an AEAD cannot be told apart.
var (
	ErrUnknownDomain = errors.New("record: sealed under a domain key that is not at hand")
	ErrDamaged       = errors.New("record: damaged, moved or forged")
)

// Keys holds the domain keys of one ring: the newest seals, all of them open. It is immutable and safe for concurrent use.
type Keys struct {
	ring   RingID
	newest DomainID
	domain map[DomainID]secret.Bytes
}

// NewKeys returns the keys of a ring. Each domain key has 32 bytes; newest must be among them.
func NewKeys(ring RingID, newest DomainID, domain map[DomainID]secret.Bytes) (*Keys, error) {
	for id, key := range domain {
		if key.Len() != keyLen {
			return nil, fmt.Errorf("record: domain key %v has %d bytes, want %d", id, key.Len(), keyLen)
		}
	}
	if _, ok := domain[newest]; !ok {
		return nil, fmt.Errorf("%w: newest domain key %v", ErrUnknownDomain, newest)
	}
	return &Keys{ring: ring, newest: newest, domain: maps.Clone(domain)}, nil
}

// Ring returns the id of the ring.
func (k *Keys) Ring() RingID { return k.ring }

// Holds reports whether a domain key is at hand.
func (k *Keys) Holds(id DomainID) bool {
	_, ok := k.domain[id]
	return ok
}

// Is reports whether key is the domain key of that id, which is at hand. It takes the same time whatever they hold.
func (k *Keys) Is(id DomainID, key secret.Bytes) bool { return key.Equal(k.domain[id]) }

// With returns keys that also open what is sealed under another domain key, of 32 bytes.
func (k *Keys) With(id DomainID, key secret.Bytes) *Keys {
	domain := maps.Clone(k.domain)
	domain[id] = key
	return &Keys{ring: k.ring, newest: k.newest, domain: domain}
}

// Without returns keys that do not open what is sealed under a domain key. It is not the newest.
func (k *Keys) Without(id DomainID) *Keys {
	domain := maps.Clone(k.domain)
	delete(domain, id)
	return &Keys{ring: k.ring, newest: k.newest, domain: domain}
}

// Sealing returns keys of which another one is the newest. It is at hand.
func (k *Keys) Sealing(id DomainID) *Keys {
	return &Keys{ring: k.ring, newest: id, domain: k.domain}
}

// Newest returns the id of the domain key that seals.
func (k *Keys) Newest() DomainID { return k.newest }

// Zero wipes the domain keys. Nothing can be sealed or opened any more: whoever tries panics. Only the single owner of k may call it, and when nobody uses it.
func (k *Keys) Zero() {
	for _, key := range k.domain {
		key.Zero()
	}
}

// DomainOf returns the id of the domain key that a record is sealed under, without opening it.
func DomainOf(sealed []byte) (DomainID, error) {
	if len(sealed) < Overhead || sealed[0] != version1 || sealed[1] != suiteGCM1 {
		return DomainID{}, ErrDamaged
	}
	return DomainID(sealed[2:10]), nil
}

// Seal seals body under the newest domain key. schema is the version of the body's layout, which the reader must know.
func (k *Keys) Seal(name Name, schema uint16, h Header, body []byte) []byte {
	sealed := make([]byte, headerLen, Overhead+len(body))
	sealed[0], sealed[1] = version1, suiteGCM1
	copy(sealed[2:], k.newest[:])
	rand.Read(sealed[2+8:])

	plain := make([]byte, 0, metaLen+len(body))
	plain = binary.BigEndian.AppendUint64(plain, h.Generation)
	plain = append(plain, h.ChangeID[:]...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(h.Time))
	plain = append(plain, body...)
	defer clear(plain)

	// The key belongs to this record alone, since its salt is fresh, and the nonce is random: it seals once.
	return k.aead(k.newest, sealed).Seal(sealed, nil, plain, k.associatedData(name, schema, sealed))
}

// Open opens a record that was sealed under name with one of the schema versions, which are tried in turn. The caller owns the body, and clears it if it
// holds a secret.
func (k *Keys) Open(name Name, sealed []byte, schemas ...uint16) (h Header, schema uint16, body []byte, err error) {
	id, err := DomainOf(sealed)
	if err != nil {
		return Header{}, 0, nil, err
	}
	if _, ok := k.domain[id]; !ok {
		return Header{}, 0, nil, ErrUnknownDomain
	}
	aead := k.aead(id, sealed)
	for _, schema := range schemas {
		plain, err := aead.Open(nil, nil, sealed[headerLen:], k.associatedData(name, schema, sealed[:headerLen]))
		if err != nil {
			continue
		}
		h := Header{
			Generation: binary.BigEndian.Uint64(plain),
			ChangeID:   [16]byte(plain[8:24]),
			Time:       int64(binary.BigEndian.Uint64(plain[24:])),
		}
		return h, schema, plain[metaLen:], nil
	}
	return Header{}, 0, nil, ErrDamaged
}

// aead returns the cipher of the record with that header.
func (k *Keys) aead(id DomainID, header []byte) cipher.AEAD {
	var aead cipher.AEAD
	err := k.domain[id].Use(func(domain []byte) error {
		if len(domain) != keyLen { // HKDF would take nothing for a key
			return errors.New("the domain keys were wiped")
		}
		key, err := hkdf.Key(sha256.New, domain, header[2+8:headerLen], info+string([]byte{suiteGCM1})+string(k.ring[:]), keyLen)
		if err != nil {
			return err
		}
		defer clear(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		aead, err = cipher.NewGCMWithRandomNonce(block)
		return err
	})
	if err != nil {
		panic("record: " + err.Error()) // lengths are constants: only a broken build gets here, or a use after Zero
	}
	return aead
}

// associatedData is the header, the ring id and, each with its length, the kind and the item name, then the schema version.
func (k *Keys) associatedData(name Name, schema uint16, header []byte) []byte {
	ad := make([]byte, 0, len(header)+len(k.ring)+2+len(name.Kind)+2+len(name.Item)+2)
	ad = append(ad, header...)
	ad = append(ad, k.ring[:]...)
	for _, s := range []string{name.Kind, name.Item} {
		ad = binary.BigEndian.AppendUint16(ad, uint16(len(s)))
		ad = append(ad, s...)
	}
	return binary.BigEndian.AppendUint16(ad, schema)
}
