package kms_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/internal/vectors"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
)

var update = flag.Bool("update", false, "write the frozen vectors anew: only for a new format version")

const frozenRing = "testdata/ring1.json"

// A frozenVector is a whole ring as its store holds it, with ciphertexts of it. Bytes are in hex. It was made by this test with -update, once.
type frozenVector struct {
	RootKey     string // AES-256-GCM: a wrap is nonce, ciphertext and tag
	RingID      string
	Items       []frozenItem
	Ciphertexts []frozenCiphertext
}

type frozenItem struct{ Name, Value string }

type frozenCiphertext struct {
	KeyARN, KeyMaterialID string
	Context               map[string]string `json:",omitempty"`
	Plaintext, Ciphertext string
}

// gcmRoot is a root key in the simplest form: a wrap is nonce, ciphertext and tag of AES-256-GCM.
type gcmRoot struct{ cipher.AEAD }

func newGCMRoot(t testing.TB, key []byte) gcmRoot {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcmRoot{aead}
}

func (r gcmRoot) EncryptWithContext(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	return r.Seal(nil, nil, plaintext, ad), nil
}

func (r gcmRoot) DecryptWithContext(_ context.Context, ciphertext, ad []byte) ([]byte, error) {
	return r.Open(nil, nil, ciphertext, ad)
}

// makeFrozen makes a ring with something of everything.
func makeFrozen(t *testing.T) frozenVector {
	rootKey := bytes.Repeat([]byte{0x5c}, 32)
	store := memory.New()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	ring, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, rootKey), AccountID: "111122223333", Region: "eu-central-1",
		Anchor: must(anchor.Create(filepath.Join(t.TempDir(), "anchor")))(t), Now: func() time.Time { now = now.Add(time.Second); return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	v := frozenVector{RootKey: hex.EncodeToString(rootKey), RingID: ring.ID()}
	key, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{Description: "frozen, ünïcode", Tags: []kms.Tag{{"team", "a"}, {"empty", ""}}})
	if err != nil {
		t.Fatal(err)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(ring.CreateAlias(t.Context(), "alias/frozen", key.ARN))
	do(ring.EnableKeyRotation(t.Context(), key.ARN, 90*kms.Day))
	dying, err := ring.CreateKey(t.Context(), kms.CreateKeyInput{})
	do(err)
	_, err = ring.ScheduleKeyDeletion(t.Context(), dying.ARN, 7)
	do(err)
	for version := range 3 {
		if version > 0 {
			_, err := ring.RotateKeyOnDemand(t.Context(), key.ARN)
			do(err)
		}
		for _, ec := range []map[string]string{nil, {"tenant": "42"}, {"b": "", "a": "1", "ä": "ö", "aa": "𝄞"}} {
			plaintext := []byte(fmt.Sprintf("version %d, %d pairs", version, len(ec)))
			out, err := ring.Encrypt(t.Context(), key.ARN, plaintext, ec)
			do(err)
			back, err := ring.Decrypt(t.Context(), out.Ciphertext, ec)
			do(err)
			v.Ciphertexts = append(v.Ciphertexts, frozenCiphertext{KeyARN: key.ARN, KeyMaterialID: back.KeyMaterialID, Context: ec,
				Plaintext: hex.EncodeToString(plaintext), Ciphertext: hex.EncodeToString(out.Ciphertext)})
		}
	}
	items, err := store.List(t.Context(), "", "", keystore.MaxListLimit)
	do(err)
	for _, item := range items {
		v.Items = append(v.Items, frozenItem{item.Name, hex.EncodeToString(item.Value)})
	}
	return v
}

func readFrozen(t testing.TB) frozenVector {
	t.Helper()
	v := vectors.Read[frozenVector](t, frozenRing)
	if len(v.Ciphertexts) != 9 || len(v.Items) != 18 {
		t.Fatalf("%d ciphertexts and %d items, want 9 and 18", len(v.Ciphertexts), len(v.Items))
	}
	return v
}

const frozenGrants = "testdata/grants1.json"

// makeFrozenGrants makes a ring with two grants, and a key policy whose user is bound to a unique id.
func makeFrozenGrants(t *testing.T) frozenVector {
	rootKey := bytes.Repeat([]byte{0x5d}, 32)
	d := people(t, map[string][]string{userARN(owner, "alice"): nil, roleARN(owner, "path/app"): nil})
	d.identities[userARN(owner, "alice")].ID = "AIDAALICE"
	f := open(t, withIdentities(d), func(c *kms.Config) { c.Root = newGCMRoot(t, rootKey) })
	key := must(f.CreateKey(t.Context(), kms.CreateKeyInput{Policy: strings.Replace(delegating, `"111122223333"`, `["111122223333","`+userARN(owner, "alice")+`"]`, 1)}))(t)
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteePrincipal: userARN(owner, "alice"), RetiringPrincipal: roleARN(owner, "path/app"), Name: "one",
		Operations: []kms.GrantOperation{kms.GrantEncrypt, kms.GrantDecrypt}, Constraints: kms.GrantConstraints{EncryptionContextSubset: map[string]string{"b": "2", "a": "1"}}}))(t)
	must(f.CreateGrant(t.Context(), key.ARN, kms.CreateGrantInput{GranteeServicePrincipal: "logs.amazonaws.com", RetiringServicePrincipal: "logs.amazonaws.com",
		Operations: []kms.GrantOperation{kms.GrantDescribeKey}, Constraints: kms.GrantConstraints{SourceARN: "arn:aws:s3:::bucket"}}))(t)
	v := frozenVector{RootKey: hex.EncodeToString(rootKey), RingID: f.ID()}
	for _, item := range must(f.store.List(t.Context(), "", "", keystore.MaxListLimit))(t) {
		v.Items = append(v.Items, frozenItem{item.Name, hex.EncodeToString(item.Value)})
	}
	return v
}

func writeFrozen(t *testing.T, path string, v any) {
	t.Helper()
	check(t, os.WriteFile(path, append(must(json.MarshalIndent(v, "", "\t"))(t), '\n'), 0o644))
}

func TestFrozenGrants(t *testing.T) {
	if *update {
		writeFrozen(t, frozenGrants, makeFrozenGrants(t))
	}
	v := vectors.Read[frozenVector](t, frozenGrants)
	f := open(t, func(c *kms.Config) {
		c.Store, c.Root, c.RingID = v.store(t), newGCMRoot(t, vectors.Unhex(t, v.RootKey)), v.RingID
	})
	if p := must(f.Check(t.Context()))(t).Problems; len(p) != 0 {
		t.Fatal(p)
	}
	key := all(t, f.ListKeys(t.Context()))[0]
	// alice is bound to an id that is not known here: her name alone gets her nothing of the policy, or of the grant.
	wantCode(t, use(t, f.As(kms.User("alice")), key.KeyARN, kms.EncryptionContext{"a": "1", "b": "2"}), kms.ErrAccessDenied)
	must(f.As(kms.Service("logs.amazonaws.com").ForSource(kms.SourceResource{ARN: "arn:aws:s3:::bucket"})).DescribeKey(t.Context(), key.KeyARN))(t)

	r := newReader2(t, v)
	index := r.fields("ring", "ring")[6]
	hash := func(use string, texts ...string) []byte {
		h := hmac.New(sha256.New, index)
		fmt.Fprintf(h, "claviger/%s/v1", use)
		for _, text := range texts {
			fmt.Fprintf(h, "\x00%d:%s", len(text), text)
		}
		return h.Sum(nil)
	}
	record := r.fields("key", "key/"+key.KeyID)
	if got := list2(record[23]); !slices.Equal(got, []string{userARN(owner, "alice"), "AIDAALICE"}) || binary.BigEndian.Uint64(record[20]) != 2 || binary.BigEndian.Uint64(record[21]) != 2 {
		t.Errorf("key: bound %q, grants %x, changes %x", got, record[20], record[21])
	}
	sum := make([]byte, 32)
	found := 0
	for name := range r.items {
		if !strings.HasPrefix(name, "grant/") {
			continue
		}
		found++
		g := r.fields("grant", name)
		who, retiring := string(g[5])+string(g[7]), string(g[8])+string(g[10])
		id := hex.EncodeToString(g[2])
		if name != "grant/"+key.KeyID+"/"+id || !bytes.Equal(g[1], record[1]) || !bytes.Equal(g[2][:16], hash("grantee", string(append([]byte{0}, g[1][1:]...)), who)[:16]) {
			t.Errorf("%s: %q", name, g)
		}
		entry := "retire/" + hex.EncodeToString(hash("retire", retiring)[:16]) + "/" + key.KeyID + "/" + id
		if f := r.fields("retire", entry); !bytes.Equal(f[1], g[1]) || !bytes.Equal(f[2], g[2]) {
			t.Errorf("%s: %q", entry, f)
		}
		for i, b := range hash("grant", name) {
			sum[i] ^= b
		}
		if who == "logs.amazonaws.com" {
			if string(g[11]) != owner || !slices.Equal(list2(g[12]), []string{"DescribeKey"}) || string(g[13]) != "arn:aws:s3:::bucket" || g[14] != nil || g[15] != nil {
				t.Errorf("%s: %q", name, g)
			}
		} else if string(g[3]) != "one" || string(g[6]) != "AIDAALICE" || !slices.Equal(list2(g[12]), []string{"Decrypt", "Encrypt"}) || string(g[14]) != "EncryptionContextSubset" ||
			!slices.Equal(list2(g[15]), []string{"a", "1", "b", "2"}) {
			t.Errorf("%s: %q", name, g)
		}
	}
	if found != 2 || !bytes.Equal(sum, record[22]) {
		t.Errorf("%d grants of sum %x, want %x", found, sum, record[22])
	}
}

// frozenStore puts the items of a vector into a store.
func (v frozenVector) store(t testing.TB) keystore.Store {
	t.Helper()
	store := memory.New()
	for _, item := range v.Items {
		if _, err := store.Commit(t.Context(), []keystore.Change{{Op: keystore.Put, Name: item.Name, Value: vectors.Unhex(t, item.Value)}}); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func TestFrozenRingOpens(t *testing.T) {
	if *update {
		writeFrozen(t, frozenRing, makeFrozen(t))
	}
	v := readFrozen(t)
	ring, err := kms.Open(t.Context(), kms.Config{Store: v.store(t), Root: newGCMRoot(t, vectors.Unhex(t, v.RootKey)), RingID: v.RingID,
		Now: func() time.Time { return time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	for i, c := range v.Ciphertexts {
		got, err := ring.Decrypt(t.Context(), vectors.Unhex(t, c.Ciphertext), c.Context, kms.WithKey("alias/frozen"))
		if err != nil || hex.EncodeToString(got.Plaintext) != c.Plaintext || got.KeyARN != c.KeyARN || got.KeyMaterialID != c.KeyMaterialID {
			t.Errorf("ciphertext %d: %+v, %v", i, got, err)
		}
	}
	meta, err := ring.DescribeKey(t.Context(), "alias/frozen")
	if err != nil || meta.Description != "frozen, ünïcode" || meta.KeyState != kms.Enabled {
		t.Errorf("%+v, %v", meta, err)
	}
}

// What follows reads a ring as docs/format.md describes it, and shares nothing with the package.

func derive(secret, salt []byte, info string, n int) []byte {
	key, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic(err)
	}
	return key
}

func gcmOpen(key, nonce, text, ad []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var plain []byte
	fips140.WithoutEnforcement(func() { // which allows no GCM with a nonce of the caller's, not even to read
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			plain, err = aead.Open(nil, nonce, text, ad)
		}
	})
	return plain, err
}

func prefixed2(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// A reader2 reads the items of a ring.
type reader2 struct {
	t       testing.TB
	items   map[string][]byte
	ring    []byte
	domains map[string][]byte
}

func newReader2(t testing.TB, v frozenVector) *reader2 {
	r := &reader2{t: t, items: map[string][]byte{}, domains: map[string][]byte{}}
	for _, item := range v.Items {
		value := vectors.Unhex(t, item.Value)
		r.items[item.Name] = value
		if !strings.HasPrefix(item.Name, "domain/") {
			continue
		}
		if value[0] != 1 || value[1] != 1 || value[26] != 1 {
			t.Fatalf("%s: version, suite or count of wraps", item.Name)
		}
		r.ring = value[2:18]
		id, rest := value[18:26], value[27:]
		name := string(rest[1 : 1+rest[0]])
		rest = rest[1+len(name):]
		wrap := rest[2:]
		if len(wrap) != int(binary.BigEndian.Uint16(rest)) || name != "root" || item.Name != "domain/"+hex.EncodeToString(id) {
			t.Fatalf("%s: its wrap", item.Name)
		}
		ad := slices.Concat([]byte("claviger/root/v1"), r.ring, id, prefixed2(name))
		key, err := gcmOpen(vectors.Unhex(t, v.RootKey), wrap[:12], wrap[12:], ad)
		if err != nil || len(key) != 32 {
			t.Fatalf("%s: %v", item.Name, err)
		}
		r.domains[string(id)] = key
	}
	if hex.EncodeToString(r.ring) != v.RingID {
		t.Fatalf("ring id %x, want %s", r.ring, v.RingID)
	}
	return r
}

// header opens an item and returns its generation and change id.
func (r *reader2) header(kind, item string) (generation, changeID []byte) {
	r.t.Helper()
	plain := r.open(kind, item)
	return plain[:8], plain[8:24]
}

// written is how the ledger speaks of an item.
func (r *reader2) written(kind, item string) []byte {
	r.t.Helper()
	generation, changeID := r.header(kind, item)
	return slices.Concat(generation, changeID[:8])
}

// open opens an item.
func (r *reader2) open(kind, item string) []byte {
	r.t.Helper()
	b := r.items[item]
	if len(b) < 54 || b[0] != 1 || b[1] != 1 {
		r.t.Fatalf("%s: no sealed record", item)
	}
	key := derive(r.domains[string(b[2:10])], b[10:26], "claviger/record/v1\x01"+string(r.ring), 32)
	plain, err := gcmOpen(key, b[26:38], b[38:], slices.Concat(b[:26], r.ring, prefixed2(kind), prefixed2(item), []byte{0, 1}))
	if err != nil {
		r.t.Fatalf("%s: %v", item, err)
	}
	if binary.BigEndian.Uint64(plain) == 0 || binary.BigEndian.Uint64(plain[24:]) == 0 || bytes.Equal(plain[8:24], make([]byte, 16)) {
		r.t.Errorf("%s: generation, change id or time is zero", item)
	}
	return plain
}

// fields opens an item and returns its fields by tag.
func (r *reader2) fields(kind, item string) map[byte][]byte {
	r.t.Helper()
	plain := r.open(kind, item)
	out := map[byte][]byte{}
	last := byte(0)
	for body := plain[32:]; len(body) > 0; {
		tag, n := body[0], int(body[1])<<16|int(body[2])<<8|int(body[3])
		if tag <= last || n == 0 {
			r.t.Fatalf("%s: tag %d after %d, %d bytes", item, tag, last, n)
		}
		last = tag
		out[tag], body = body[4:4+n], body[4+n:]
	}
	return out
}

func list2(b []byte) (out []string) {
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint16(b))
		out, b = append(out, string(b[2:2+n])), b[2+n:]
	}
	return out
}

// decrypt2 decrypts a ciphertext with the materials of a key.
func decrypt2(ciphertext []byte, ec map[string]string, materials map[string][]byte) ([]byte, error) {
	if len(ciphertext) < 111 || ciphertext[0] != 1 || ciphertext[1] != 1 || ciphertext[2] != 0 {
		return nil, fmt.Errorf("no ciphertext of format 1")
	}
	material, ok := materials[string(ciphertext[19:35])]
	if !ok {
		return nil, fmt.Errorf("unknown material")
	}
	okm := derive(material, ciphertext[35:51], "claviger/message/v1"+string(ciphertext[:35]), 64)
	if !hmac.Equal(okm[32:], ciphertext[51:83]) {
		return nil, fmt.Errorf("commitment")
	}
	ad := slices.Clone(ciphertext[:83])
	if len(ec) > 0 {
		ad = binary.BigEndian.AppendUint16(ad, uint16(len(ec)))
		for _, name := range slices.Sorted(maps.Keys(ec)) {
			ad = slices.Concat(ad, prefixed2(name), prefixed2(ec[name]))
		}
	}
	return gcmOpen(okm[:32], ciphertext[83:95], ciphertext[95:], ad)
}

func TestSecondImplementationReadsTheRing(t *testing.T) {
	v := readFrozen(t)
	r := newReader2(t, v)

	ring := r.fields("ring", "ring")
	index := ring[6]
	if string(ring[1]) != "111122223333" || string(ring[2]) != "eu-central-1" || string(ring[7]) != "aws" || len(r.domains[string(ring[5])]) != 32 ||
		hex.EncodeToString(derive(index, nil, "claviger/ring-id/v1", 16)) != v.RingID {
		t.Errorf("ring: %q", ring)
	}

	var names []string
	for name := range r.items {
		names = append(names, name)
	}
	slices.Sort(names)
	kinds := map[string]int{}
	keys := map[string]map[byte][]byte{}
	for _, name := range names {
		kind, _, _ := strings.Cut(name, "/")
		kinds[kind]++
		switch kind {
		case "key":
			f := r.fields(kind, name)
			keys[name] = f
			id := name[len("key/"):]
			if f[1][0] != 1 || hex.EncodeToString(f[1][1:]) != strings.ReplaceAll(id, "-", "") || string(f[2]) != "SYMMETRIC_DEFAULT" ||
				string(f[3]) != "ENCRYPT_DECRYPT" || string(f[4]) != "AWS_KMS" || !strings.Contains(string(f[8]), "key-default-1") {
				t.Errorf("%s: %q", name, f)
			}
			day := time.Unix(0, int64(binary.BigEndian.Uint64(cmp.Or(string2(f[16]), string2(f[14])).bytes()))).UTC().Format("20060102")
			if string(f[19]) != day || r.items["due/"+day+"/"+id] == nil {
				t.Errorf("%s is due on %s, want %s with an item", name, f[19], day)
			}
			if due := r.fields("due", "due/"+day+"/"+id); !bytes.Equal(due[1], f[1]) {
				t.Errorf("due: %q", due)
			}
		case "alias":
			f := r.fields(kind, name)
			key := keys["key/"+uuid(f[1][1:])]
			if key == nil {
				key = r.fields("key", "key/"+uuid(f[1][1:]))
			}
			if !slices.Equal(list2(key[10]), []string{name}) {
				t.Errorf("%s: its key has aliases %q", name, list2(key[10]))
			}
		}
	}
	if want := (map[string]int{"ring": 1, "domain": 1, "key": 2, "ver": 4, "vidx": 4, "alias": 1, "due": 2, "total": 2, "ledger": 1}); !maps.Equal(kinds, want) {
		t.Errorf("items: %v, want %v", kinds, want)
	}

	// Each total is of one key. It counts and sums what a store must have, and the ledger knows as of which write of the total.
	ledger := r.fields("ledger", "ledger")[1]
	past, generation := r.fields("ledger", "ledger")[2], r.written("ledger", "ledger")[:8]
	if n := binary.BigEndian.Uint64(generation); len(past) != 64*8 || n < 2 || bytes.Count(past, make([]byte, 8)) == 0 || bytes.Equal(past[(n-2)*8:][:8], make([]byte, 8)) ||
		!bytes.Equal(past[(n-1)*8:], make([]byte, len(past)-int(n-1)*8)) {
		t.Errorf("ledger %d names %x", n, past)
	}
	if len(ledger) != 257*16 || !bytes.Equal(ledger[256*16:], r.written("ring", "ring")) {
		t.Errorf("ledger of %d bytes", len(ledger))
	}
	for name := range keys {
		total := "total/" + name[len("key/"):][:2]
		f := r.fields("total", total)
		h := hmac.New(sha256.New, index)
		generation, changeID := r.header("key", name)
		fmt.Fprintf(h, "claviger/total/v1\x00%d:%s\x008:%s\x0016:%s", len(name), name, generation, changeID)
		if binary.BigEndian.Uint64(f[1]) != 1 || f[2] != nil || !bytes.Equal(f[3], h.Sum(nil)) {
			t.Errorf("%s: %x, want %x", total, f, h.Sum(nil))
		}
		bucket := int(vectors.Unhex(t, total[len("total/"):])[0])
		if !bytes.Equal(ledger[bucket*16:][:16], r.written("total", total)) {
			t.Errorf("ledger: %s is another", total)
		}
	}

	arn := v.Ciphertexts[0].KeyARN
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	key := keys["key/"+id]
	raw := append([]byte{0}, key[1][1:]...)
	if got := list2(key[9]); !slices.Equal(got, []string{"empty", "", "team", "a"}) || string(key[7]) != "frozen, ünïcode" || string(key[6]) != "Enabled" {
		t.Errorf("key: tags %q, description %s, state %s", got, key[7], key[6])
	}
	materials := map[string][]byte{}
	previous := make([]byte, 32)
	for n := uint64(1); n <= 3; n++ {
		index := r.fields("vidx", fmt.Sprintf("vidx/%s/%016x", id, n))
		f := r.fields("ver", "ver/"+id+"/"+hex.EncodeToString(index[1]))
		materialID := derive(f[3], nil, "claviger/material-id/v1"+string(raw), 32)
		if binary.BigEndian.Uint64(f[1]) != n || !bytes.Equal(f[2], materialID) || !bytes.Equal(index[1], materialID) ||
			!bytes.Equal(f[4], index[2]) || !bytes.Equal(f[5], index[3]) || !bytes.Equal(append(make([]byte, 32-len(f[6])), f[6]...), previous) {
			t.Errorf("version %d: %q", n, f)
		}
		digest := sha256.Sum256(slices.Concat([]byte("claviger/version/v1"), raw, f[1], f[2], f[4], previous))
		previous = digest[:]
		materials[string(materialID[:16])] = f[3]
		if n == 3 && (!bytes.Equal(key[11], materialID) || binary.BigEndian.Uint64(key[12]) != 3) {
			t.Error("the key's current version is not the third")
		}
	}
	for i, c := range v.Ciphertexts {
		got, err := decrypt2(vectors.Unhex(t, c.Ciphertext), c.Context, materials)
		if err != nil || hex.EncodeToString(got) != c.Plaintext {
			t.Errorf("ciphertext %d: %q, %v", i, got, err)
		}
		if !strings.HasPrefix(c.KeyMaterialID, hex.EncodeToString(vectors.Unhex(t, c.Ciphertext)[19:35])) {
			t.Errorf("ciphertext %d names another material than %s", i, c.KeyMaterialID)
		}
	}
}

// A string2 is bytes that can be compared.
type string2 string

func (s string2) bytes() []byte { return []byte(s) }

func uuid(raw []byte) string {
	h := hex.EncodeToString(raw)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
