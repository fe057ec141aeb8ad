package record_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/secret"
	"github.com/claviger/kms/internal/vectors"
)

var (
	ring    = record.RingID{0: 0xa1, 15: 0x0f}
	domainA = record.DomainID{7: 1}
	domainB = record.DomainID{7: 2}
	keyA    = bytes.Repeat([]byte{0x11}, 32)
	keyB    = bytes.Repeat([]byte{0x22}, 32)
	name    = record.Name{Kind: "key", Item: "key/1234abcd-12ab-34cd-56ef-1234567890ab"}
	header  = record.Header{Generation: 7, ChangeID: [16]byte{1, 2, 3}, Time: 1772359200123456789}
)

func keys(t testing.TB, newest record.DomainID, ids ...record.DomainID) *record.Keys {
	t.Helper()
	all := map[record.DomainID]secret.Bytes{domainA: secret.Copy(keyA), domainB: secret.Copy(keyB)}
	mine := map[record.DomainID]secret.Bytes{}
	for _, id := range append(ids, newest) {
		mine[id] = all[id]
	}
	k, err := record.NewKeys(ring, newest, mine)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	k := keys(t, domainB, domainA)
	for _, n := range []int{0, 1, 31, 4096} {
		body := bytes.Repeat([]byte{0x5a}, n)
		sealed := k.Seal(name, 3, header, body)
		if len(sealed) != n+record.Overhead {
			t.Errorf("%d bytes seal to %d, want %d more", n, len(sealed), record.Overhead)
		}
		h, schema, got, err := k.Open(name, sealed, 4, 3, 2)
		if err != nil || h != header || schema != 3 || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: %+v, schema %d, %v", n, h, schema, err)
		}
	}
	if bytes.Equal(k.Seal(name, 1, header, nil), k.Seal(name, 1, header, nil)) {
		t.Error("two seals of one body are equal")
	}
}

func TestOldDomainKeysOpen(t *testing.T) {
	sealed := keys(t, domainA).Seal(name, 1, header, []byte("body"))
	if _, _, got, err := keys(t, domainB, domainA).Open(name, sealed, 1); err != nil || string(got) != "body" {
		t.Errorf("%q, %v", got, err)
	}
	if _, _, _, err := keys(t, domainB).Open(name, sealed, 1); !errors.Is(err, record.ErrUnknownDomain) {
		t.Errorf("without its domain key: %v", err)
	}
	if id, err := record.DomainOf(sealed); err != nil || id != domainA {
		t.Errorf("DomainOf = %v, %v", id, err)
	}
}

func TestBoundToRingNameAndSchema(t *testing.T) {
	k := keys(t, domainA)
	sealed := k.Seal(name, 1, header, []byte("body"))
	other := record.RingID{1}
	foreign, err := record.NewKeys(other, domainA, map[record.DomainID]secret.Bytes{domainA: secret.Copy(keyA)})
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() error{
		"another item": func() error {
			_, _, _, err := k.Open(record.Name{Kind: name.Kind, Item: name.Item + "x"}, sealed, 1)
			return err
		},
		"another kind": func() error { _, _, _, err := k.Open(record.Name{Kind: "ver", Item: name.Item}, sealed, 1); return err },
		"shifted names": func() error {
			_, _, _, err := k.Open(record.Name{Kind: "keyk", Item: name.Item[1:]}, sealed, 1)
			return err
		},
		"another schema": func() error { _, _, _, err := k.Open(name, sealed, 2, 3); return err },
		"no schema":      func() error { _, _, _, err := k.Open(name, sealed); return err },
		"another ring":   func() error { _, _, _, err := foreign.Open(name, sealed, 1); return err },
	} {
		if err := open(); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", what, err)
		}
	}
}

func TestEveryFlippedBitAndTruncationIsRefused(t *testing.T) {
	k := keys(t, domainA, domainB)
	sealed := k.Seal(name, 1, header, []byte("body"))
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, _, err := k.Open(name, bad, 1); err == nil {
			t.Errorf("bit %d flipped: opened", i)
		}
	}
	for n := range len(sealed) {
		if _, _, _, err := k.Open(name, sealed[:n], 1); err == nil {
			t.Errorf("cut to %d bytes: opened", n)
		}
	}
	if _, _, _, err := k.Open(name, append(bytes.Clone(sealed), 0), 1); err == nil {
		t.Error("one byte longer: opened")
	}
}

func TestNewKeysRefuses(t *testing.T) {
	if _, err := record.NewKeys(ring, domainA, map[record.DomainID]secret.Bytes{domainB: secret.Copy(keyB)}); !errors.Is(err, record.ErrUnknownDomain) {
		t.Errorf("newest missing: %v", err)
	}
	_, err := record.NewKeys(ring, domainA, map[record.DomainID]secret.Bytes{domainA: secret.Copy(keyA[:31])})
	if err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("short domain key: %v", err)
	}
	if got := keys(t, domainB, domainA); got.Ring() != ring || got.Newest() != domainB {
		t.Errorf("Ring %v, Newest %v", got.Ring(), got.Newest())
	}
	if ring.String() != "a100000000000000000000000000000f" || domainA.String() != "0000000000000001" {
		t.Errorf("written as %v and %v", ring, domainA)
	}
}

// TestNothingIsSealedUnderWipedKeys: after Zero there is no key, rather than one of zeros.
func TestNothingIsSealedUnderWipedKeys(t *testing.T) {
	k := keys(t, domainA)
	sealed := k.Seal(name, 1, header, []byte("body"))
	k.Zero()
	for what, use := range map[string]func(){
		"seals": func() { k.Seal(name, 1, header, []byte("body")) },
		"opens": func() { _, _, _, _ = k.Open(name, sealed, 1) },
	} {
		func() {
			defer func() {
				if v := recover(); v == nil {
					t.Errorf("it %s under wiped keys", what)
				}
			}()
			use()
		}()
	}
}

// open2 opens a record as docs/format.md describes it, with nothing shared with the package under test.
func open2(domain []byte, ringID, sealed []byte, kind, item string, schema uint16) (plain []byte, ok bool) {
	if len(sealed) < 26 || sealed[0] != 1 || sealed[1] != 1 {
		return nil, false
	}
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	prk := mac(sealed[10:26], domain)
	key := mac(prk, []byte("claviger/record/v1"), []byte{1}, ringID, []byte{1})
	ad := append([]byte{}, sealed[:26]...)
	ad = append(ad, ringID...)
	ad = append(binary.BigEndian.AppendUint16(ad, uint16(len(kind))), kind...)
	ad = append(binary.BigEndian.AppendUint16(ad, uint16(len(item))), item...)
	ad = binary.BigEndian.AppendUint16(ad, schema)
	block, _ := aes.NewCipher(key)
	var err error
	fips140.WithoutEnforcement(func() { // which allows no GCM with a nonce of the caller's, not even to read
		gcm, _ := cipher.NewGCM(block)
		plain, err = gcm.Open(nil, sealed[26:38], sealed[38:], ad)
	})
	return plain, err == nil
}

// A vector is a sealed record and everything needed to open it, in hex where it is bytes.
type vector struct {
	DomainKey, DomainID, RingID, Kind, Item string
	Schema                                  uint16
	Generation                              uint64
	ChangeID                                string
	Time                                    int64
	Body, Sealed                            string
}

var update = flag.Bool("update", false, "write the vectors anew: only for a new format version")

const vectorFile = "testdata/record1.json"

func TestFrozenVectors(t *testing.T) {
	if *update {
		var made []vector
		for _, body := range []string{"", "body", strings.Repeat("long ", 100)} {
			made = append(made, vector{hex.EncodeToString(keyA), domainA.String(), ring.String(), name.Kind, name.Item, 1, header.Generation,
				hex.EncodeToString(header.ChangeID[:]), header.Time, hex.EncodeToString([]byte(body)),
				hex.EncodeToString(keys(t, domainA).Seal(name, 1, header, []byte(body)))})
		}
		text, _ := json.MarshalIndent(made, "", "\t")
		if err := os.WriteFile(vectorFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	frozen := vectors.Read[[]vector](t, vectorFile)
	if len(frozen) != 3 {
		t.Fatalf("%d vectors, want 3", len(frozen))
	}
	unhex := func(s string) []byte { return vectors.Unhex(t, s) }
	for i, v := range frozen {
		sealed, body := unhex(v.Sealed), unhex(v.Body)
		id := record.DomainID(unhex(v.DomainID))
		k, err := record.NewKeys(record.RingID(unhex(v.RingID)), id, map[record.DomainID]secret.Bytes{id: secret.New(unhex(v.DomainKey))})
		if err != nil {
			t.Fatal(err)
		}
		h, _, got, err := k.Open(record.Name{Kind: v.Kind, Item: v.Item}, sealed, v.Schema)
		if err != nil || !bytes.Equal(got, body) || h.Generation != v.Generation || h.Time != v.Time || hex.EncodeToString(h.ChangeID[:]) != v.ChangeID {
			t.Errorf("vector %d: %+v, %v", i, h, err)
		}
		plain, ok := open2(unhex(v.DomainKey), unhex(v.RingID), sealed, v.Kind, v.Item, v.Schema)
		if !ok || len(plain) != 32+len(body) || !bytes.Equal(plain[32:], body) || binary.BigEndian.Uint64(plain) != v.Generation ||
			!bytes.Equal(plain[8:24], unhex(v.ChangeID)) || int64(binary.BigEndian.Uint64(plain[24:])) != v.Time {
			t.Errorf("vector %d: the second implementation reads %x, %v", i, plain, ok)
		}
	}
}

func TestSecondImplementationReadsFreshRecords(t *testing.T) {
	sealed := keys(t, domainA).Seal(name, 2, header, []byte("fresh"))
	plain, ok := open2(keyA, ring[:], sealed, name.Kind, name.Item, 2)
	if !ok || string(plain[32:]) != "fresh" {
		t.Errorf("%q, %v", plain, ok)
	}
}

// FuzzOpen: bytes that nobody sealed never open and never crash.
func FuzzOpen(f *testing.F) {
	k := keys(f, domainA, domainB)
	f.Add(k.Seal(name, 1, header, []byte("body")))
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		_, _, _, err := k.Open(name, sealed, 1)
		if err == nil { // a seed, made above with the keys, which the fuzzer does not know
			plain, ok := open2(keyA, ring[:], sealed, name.Kind, name.Item, 1)
			if !ok || len(plain) < 32 {
				t.Errorf("%x opens here and not by the document", sealed)
			}
		}
	})
}
