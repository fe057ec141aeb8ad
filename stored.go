package kms

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// What is kept of keys, versions, aliases and of the ring itself, and how it is written. A body is a row of fields, each
//
//	tag 1 | length 3 | value
//
// in ascending order of their tags, each at most once; a field of the zero value is left out. A reader refuses a tag it does not know, since the field may
// decide something. Integers are big-endian and two's complement where negative; times are nanoseconds since 1970. docs/format.md has the tags.

// schema1 is the version of all bodies below. It is authenticated with each record, so a reader always knows which layout it reads.
const schema1 = 1

// Kinds of records, which are also what item names begin with.
const (
	kindRing    = "ring"
	kindDomain  = "domain"
	kindKey     = "key"
	kindVersion = "ver"
	kindIndex   = "vidx"
	kindAlias   = "alias"
	kindDue     = "due"
	kindDead    = "dead"
	kindTotal   = "total"
	kindLedger  = "ledger"
	kindGrant   = "grant"
	kindRetire  = "retire"
	kindUsed    = "used"
)

// errBody is the cause of every body that cannot be read. The body was authenticated, so this is a defect or a newer writer, not damage.
var errBody = errors.New("kms: a stored record has fields that this version does not understand")

// A materialID identifies key material, in all its replicas.
type materialID [32]byte

// String writes the id as 64 hex digits.
func (m materialID) String() string { return hex.EncodeToString(m[:]) }

// A keyRecord is everything mutable that decides an operation on a key, in one record, so that it cannot be torn.
type keyRecord struct {
	id          keyID
	spec        KeySpec
	usage       KeyUsage
	origin      Origin
	manager     KeyManager // "" is the customer
	created     int64
	state       KeyState
	description string
	policy      string
	tags        []Tag    // ascending by key
	aliases     []string // ascending; whole names, "alias/..."

	current  materialID
	versions uint64 // how many there are; the current one has this number
	rotation rotationRecord

	deletion deletionRecord
	grants   grantsRecord
	bound    []string // the users and roles that the policy names and that have unique ids: ARNs and ids in turn, ascending by ARN

	due string // the day of its entry in the due index; "" if it has none
}

// A rotationRecord is the rotation setting of a key. Its period is zero while automatic rotation is off.
type rotationRecord struct {
	period   int64 // nanoseconds
	next     int64 // when the next one is due
	onDemand uint64
}

// A grantsRecord is what a key knows of the grants on it, each of which has a record of its own.
type grantsRecord struct {
	count   uint64
	changes uint64   // how often a grant was made or removed
	sum     [32]byte // the exclusive or of a keyed hash of each one's name
}

// A deletionRecord is the scheduled deletion of a key in PendingDeletion.
type deletionRecord struct {
	date   int64
	window uint64 // days
	marked int64  // when Maintain first found it due; zero before that
}

// A versionRecord is one version of a key's material. It is written once.
type versionRecord struct {
	number   uint64 // from 1
	id       materialID
	material []byte // secret
	created  int64
	rotation RotationType // "" for the first
	previous [32]byte     // digest of the version before; zero for the first
}

// An indexRecord finds the n-th version of a key.
type indexRecord struct {
	id       materialID
	created  int64
	rotation RotationType
}

// An aliasRecord is one alias.
type aliasRecord struct {
	target  keyID
	created int64
	updated int64
}

// A grantRecord is one grant. It is written once.
type grantRecord struct {
	key                  keyID
	id                   grantID
	name                 string
	created              int64
	grantee, granteeID   string
	granteeService       string
	retiring, retiringID string
	retiringService      string
	issuer               string // an account
	operations           []string
	sourceARN            string
	constraint           string // which constraint the encryption context is; "" if there is none
	context              EncryptionContext
}

// A retireRecord finds a grant by its retiring principal.
type retireRecord struct {
	key   keyID
	grant grantID
}

// A ringRecord is what is kept of the ring itself.
type ringRecord struct {
	account   string
	region    string
	partition string
	created   int64
	seen      int64    // the latest time that Maintain saw
	newest    [8]byte  // the domain key that seals
	index     [32]byte // secret: keys the hashes of names
}

// A field ties a tag to the variable that its value is written from and read into.
type field struct {
	tag   uint8
	write func() []byte // nothing if the variable has its zero value
	read  func(v cryptobyte.String) bool
}

// A body is a record described by its fields, in ascending order of their tags.
type body interface{ fields() []field }

// encodeBody writes a body. Its buffer does not grow: what it would leave behind nobody could clear.
func encodeBody(r body) []byte {
	fields, size := r.fields(), 0
	values := make([][]byte, len(fields))
	for i, f := range fields {
		values[i] = f.write()
		size += 1 + 3 + len(values[i])
	}
	b := cryptobyte.NewFixedBuilder(make([]byte, 0, size))
	for i, f := range fields {
		if v := values[i]; len(v) > 0 {
			b.AddUint8(f.tag)
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
		}
	}
	return b.BytesOrPanic()
}

// decodeBody reads into r, which has its zero value, what encodeBody wrote.
func decodeBody(in []byte, r body) error {
	s := cryptobyte.String(in)
	rest := r.fields()
	for !s.Empty() {
		var tag uint8
		var v cryptobyte.String
		if !s.ReadUint8(&tag) || !s.ReadUint24LengthPrefixed(&v) || v.Empty() {
			return errBody
		}
		i := slices.IndexFunc(rest, func(f field) bool { return f.tag == tag })
		if i < 0 || !rest[i].read(v) {
			return errBody
		}
		rest = rest[i+1:] // ascending: a tag comes neither twice nor late
	}
	return nil
}

func textField[T ~string](tag uint8, p *T) field {
	return field{tag, func() []byte { return []byte(*p) }, func(v cryptobyte.String) bool { *p = T(v); return true }}
}

// numberField holds 8 bytes, and is never written as zero.
func numberField[T ~int64 | ~uint64](tag uint8, p *T) field {
	return field{tag, func() []byte {
		if *p == 0 {
			return nil
		}
		return binary.BigEndian.AppendUint64(nil, uint64(*p))
	}, func(v cryptobyte.String) bool {
		var n uint64
		ok := v.ReadUint64(&n) && v.Empty() && n != 0
		*p = T(n)
		return ok
	}}
}

// bytesField holds exactly len(p) bytes, and is never written as all zeros.
func bytesField(tag uint8, p []byte) field {
	return field{tag, func() []byte {
		if isZero(p) {
			return nil
		}
		return p
	}, func(v cryptobyte.String) bool { return v.CopyBytes(p) && v.Empty() && !isZero(p) }}
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// listField holds strings, each with two bytes of length before it.
func listField(tag uint8, p *[]string) field {
	return field{tag, func() []byte {
		var b cryptobyte.Builder
		for _, s := range *p {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
		}
		return b.BytesOrPanic()
	}, func(v cryptobyte.String) bool {
		for !v.Empty() {
			var s cryptobyte.String
			if !v.ReadUint16LengthPrefixed(&s) {
				return false
			}
			*p = append(*p, string(s))
		}
		return true
	}}
}

// keyIDField holds a byte that tells the kind of id, and its 16 bytes, which are never all zeros.
func keyIDField(tag uint8, p *keyID) field {
	const single, multi = 1, 2
	return field{tag, func() []byte {
		if isZero(p.raw[:]) {
			return nil
		}
		kind := byte(single)
		if p.multiRegion {
			kind = multi
		}
		return append([]byte{kind}, p.raw[:]...)
	}, func(v cryptobyte.String) bool {
		var kind uint8
		ok := v.ReadUint8(&kind) && v.CopyBytes(p.raw[:]) && v.Empty() && (kind == single || kind == multi) && !isZero(p.raw[:])
		p.multiRegion = kind == multi
		return ok
	}}
}

// tagsField holds tags as a list of names and values in turn.
func tagsField(tag uint8, p *[]Tag) field {
	return field{tag, func() []byte {
		flat := make([]string, 0, 2*len(*p))
		for _, t := range *p {
			flat = append(flat, t.Key, t.Value)
		}
		return listField(tag, &flat).write()
	}, func(v cryptobyte.String) bool {
		var flat []string
		if !listField(tag, &flat).read(v) || len(flat)%2 != 0 {
			return false
		}
		for pair := range slices.Chunk(flat, 2) {
			*p = append(*p, Tag{Key: pair[0], Value: pair[1]})
		}
		return true
	}}
}

// contextField holds an encryption context as a list of names and values in turn, ascending by name.
func contextField(tag uint8, p *EncryptionContext) field {
	return field{tag, func() []byte {
		flat := make([]string, 0, 2*len(*p))
		for _, name := range slices.Sorted(maps.Keys(*p)) {
			flat = append(flat, name, (*p)[name])
		}
		return listField(tag, &flat).write()
	}, func(v cryptobyte.String) bool {
		var flat []string
		if !listField(tag, &flat).read(v) || len(flat)%2 != 0 {
			return false
		}
		*p = make(EncryptionContext, len(flat)/2)
		for pair := range slices.Chunk(flat, 2) {
			(*p)[pair[0]] = pair[1]
		}
		return len(*p) == len(flat)/2
	}}
}

// secretField holds bytes that are not copied: what was read is a slice of the body, whose owner clears it.
func secretField(tag uint8, p *[]byte) field {
	return field{tag, func() []byte { return *p }, func(v cryptobyte.String) bool { *p = v; return true }}
}

func (r *keyRecord) fields() []field {
	return []field{
		keyIDField(1, &r.id),
		textField(2, &r.spec),
		textField(3, &r.usage),
		textField(4, &r.origin),
		numberField(5, &r.created),
		textField(6, &r.state),
		textField(7, &r.description),
		textField(8, &r.policy),
		tagsField(9, &r.tags),
		listField(10, &r.aliases),
		bytesField(11, r.current[:]),
		numberField(12, &r.versions),
		numberField(13, &r.rotation.period),
		numberField(14, &r.rotation.next),
		numberField(15, &r.rotation.onDemand),
		numberField(16, &r.deletion.date),
		numberField(17, &r.deletion.window),
		numberField(18, &r.deletion.marked),
		textField(19, &r.due),
		numberField(20, &r.grants.count),
		numberField(21, &r.grants.changes),
		bytesField(22, r.grants.sum[:]),
		listField(23, &r.bound),
		textField(24, &r.manager),
	}
}

// boundID returns the unique id that a user or role of the policy is bound to, or "".
func (r *keyRecord) boundID(arn string) string {
	for pair := range slices.Chunk(r.bound, 2) {
		if pair[0] == arn {
			return pair[1]
		}
	}
	return ""
}

// clone returns a copy that can be changed without a reader of r noticing.
func (r *keyRecord) clone() *keyRecord {
	c := *r
	c.tags, c.aliases, c.bound = slices.Clone(r.tags), slices.Clone(r.aliases), slices.Clone(r.bound)
	return &c
}

func (r *versionRecord) fields() []field {
	return []field{
		numberField(1, &r.number),
		bytesField(2, r.id[:]),
		secretField(3, &r.material),
		numberField(4, &r.created),
		textField(5, &r.rotation),
		bytesField(6, r.previous[:]),
	}
}

func (r *indexRecord) fields() []field {
	return []field{
		bytesField(1, r.id[:]),
		numberField(2, &r.created),
		textField(3, &r.rotation),
	}
}

func (r *grantRecord) fields() []field {
	return []field{
		keyIDField(1, &r.key),
		bytesField(2, r.id[:]),
		textField(3, &r.name),
		numberField(4, &r.created),
		textField(5, &r.grantee),
		textField(6, &r.granteeID),
		textField(7, &r.granteeService),
		textField(8, &r.retiring),
		textField(9, &r.retiringID),
		textField(10, &r.retiringService),
		textField(11, &r.issuer),
		listField(12, &r.operations),
		textField(13, &r.sourceARN),
		textField(14, &r.constraint),
		contextField(15, &r.context),
	}
}

func (r *retireRecord) fields() []field {
	return []field{keyIDField(1, &r.key), bytesField(2, r.grant[:])}
}

func (r *aliasRecord) fields() []field {
	return []field{
		keyIDField(1, &r.target),
		numberField(2, &r.created),
		numberField(3, &r.updated),
	}
}

func (r *ringRecord) fields() []field {
	return []field{
		textField(1, &r.account),
		textField(2, &r.region),
		numberField(3, &r.created),
		numberField(4, &r.seen),
		bytesField(5, r.newest[:]),
		bytesField(6, r.index[:]),
		textField(7, &r.partition),
	}
}
