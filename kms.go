package kms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/kms/anchor"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/internal/arn"
	"github.com/claviger/kms/internal/cache"
	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/internal/testhook"
	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/memory"
	"github.com/claviger/kms/policy"
	"github.com/claviger/kms/rootkey"
)

// Day is the unit of rotation periods and waiting periods.
const Day = 24 * time.Hour

// Config says what a keyring is made of. The zero Config is a ring in memory that dies with the process.
type Config struct {
	// Store keeps the ring's records; nil means memory. The ring does not close it.
	Store keystore.Store

	// Root wraps the ring's domain keys. It is required whenever Store is not nil.
	Root rootkey.Root

	// RecoveryRoots are further root keys. A ring that is made with them can be opened by any one of them; a ring that exists is opened by the first of Root
	// and RecoveryRoots that can. Each root has a name of its own; see [rootkey.WithName].
	RecoveryRoots []rootkey.Root

	// RingID pins the ring, as 32 hex digits: a store that holds another ring, or none, is refused. [Keyring.ID] tells the id, which commits to a secret of the
	// ring. Pin it where somebody else can write the store and can also wrap under the root, as with a root key in a cloud.
	RingID string

	// MustExist refuses an empty store with [ErrNoRing], instead of making a ring in it: set it wherever the ring has been made before, since a path that is
	// mistyped is an empty store.
	MustExist bool

	// AccountID is the account whose keys these are: twelve digits. A ring keeps the one it was made with; the default for a new one is 000000000000.
	AccountID string

	// Region is the Region in the keys' ARNs. A ring keeps the one it was made with; the default for a new one is "local".
	Region string

	// Partition is the partition in the keys' ARNs. A ring keeps the one it was made with; the default for a new one is "aws".
	Partition string

	// Anchor keeps a mark outside of the store, by which a store that has gone back is refused: as a whole, or any key of it that was changed or removed since.
	// Every process with the ring must have the same one. It costs two more durable writes with each change, which concurrent changes share, and a read of a key
	// costs the reading of a 256th of all keys, unless none of these has changed. Nil is no anchor: what a process has seen itself it still does not unlearn.
	//
	// The anchor begins with what the store holds when the ring is first opened with it. That is written to the store, so that Open fails with
	// [keystore.ErrReadOnly] if the store is open for reading only. Later such a store is compared like any other; Open advances the anchor to what the store holds.
	Anchor anchor.Anchor

	// Audit takes the record of every operation, and every operation waits for it: one that cannot be recorded does not happen. Package audit makes sinks that
	// are bounded in time or may fail. Nil records nothing.
	Audit audit.Sink

	// Identities are the users and roles of the accounts, with their policies. With them, nobody can call as a user or role that there is not, and no key policy and no
	// grant can name one. Nil is no IAM: every well-formed name is taken, and nobody has policies but those of keys.
	Identities Identities

	// Now is the clock of the ring, by which keys rotate and are deleted; the default is time.Now. How long a snapshot of a key may be used is measured by the
	// runtime's clocks, whatever Now says.
	Now func() time.Time

	// MaxStaleness bounds for how long a key is used as it was last seen in the store: after that time a change by another process is in effect here. The
	// default is 5 seconds, the most is a minute.
	MaxStaleness time.Duration

	// CacheSize bounds how many keys are held opened in memory. The default is 10,000, the most is 16,777,216.
	CacheSize int

	// MinRotationPeriod permits rotation periods shorter than the 90 days of AWS KMS, down to an hour. The default is 90 days.
	MinRotationPeriod time.Duration

	// Test is for package kmstest.
	Test *testhook.Hooks
}

// Defaults of a Config.
const (
	DefaultAccountID    = "000000000000"
	DefaultRegion       = "local"
	DefaultPartition    = "aws"
	DefaultMaxStaleness = 5 * time.Second
	DefaultCacheSize    = 10_000

	maxMaxStaleness     = time.Minute
	maxCacheSize        = 1 << 24
	leastSightings      = 4096
	mostDocuments       = 256
	leastRotationPeriod = time.Hour
)

// complete checks a Config and fills in what was left out.
func (cfg *Config) complete() error {
	switch {
	case cfg.Store != nil && cfg.Root == nil:
		return errors.New("Config.Root: required with a Store")
	case cfg.Store == nil && (cfg.Root != nil || len(cfg.RecoveryRoots) > 0 || cfg.RingID != "" || cfg.MustExist):
		return errors.New("Config.Store: required with a Root, RecoveryRoots, a RingID or MustExist")
	case isNilPointer(cfg.Anchor):
		return errors.New("Config.Anchor: a nil pointer, as of a constructor that failed")
	case isNilPointer(cfg.Audit):
		return errors.New("Config.Audit: a nil pointer or function, as of a constructor that failed")
	case isNilPointer(cfg.Identities):
		return errors.New("Config.Identities: a nil pointer, as of a constructor that failed")
	case cfg.Store == nil && cfg.Anchor != nil:
		return errors.New("Config.Store: required with an Anchor")
	case isNilPointer(cfg.Store) || isNilPointer(cfg.Root):
		return errors.New("Config.Store and Config.Root: a nil pointer, as of a constructor that failed")
	case cfg.RingID != "" && !readHex(make([]byte, len(record.RingID{})), cfg.RingID):
		return errors.New("Config.RingID: want 32 lower-case hex digits")
	case cfg.AccountID != "" && !arn.IsAccountID(cfg.AccountID):
		return errors.New("Config.AccountID: want twelve digits")
	case cfg.Region != "" && !arn.IsRegion(cfg.Region):
		return errors.New("Config.Region: want lower-case letters, digits and hyphens")
	case cfg.Partition != "" && !arn.IsRegion(cfg.Partition):
		return errors.New("Config.Partition: want lower-case letters, digits and hyphens")
	case cfg.MaxStaleness < 0 || cfg.MaxStaleness > maxMaxStaleness:
		return fmt.Errorf("Config.MaxStaleness: want up to %v", maxMaxStaleness)
	case cfg.CacheSize < 0 || cfg.CacheSize > maxCacheSize:
		return fmt.Errorf("Config.CacheSize: want 1 to %d, or 0 for the default", maxCacheSize)
	case cfg.MinRotationPeriod != 0 && (cfg.MinRotationPeriod < leastRotationPeriod || cfg.MinRotationPeriod > minRotationPeriod):
		return fmt.Errorf("Config.MinRotationPeriod: want %v to %v", leastRotationPeriod, minRotationPeriod)
	}
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	if cfg.Root == nil {
		root, err := newEphemeralRoot()
		if err != nil {
			return err
		}
		cfg.Root = root
	}
	if err := checkRoots("Config.Root", "Config.RecoveryRoots", cfg.roots()); err != nil {
		return err
	}
	setDefault(&cfg.MaxStaleness, DefaultMaxStaleness)
	setDefault(&cfg.CacheSize, DefaultCacheSize)
	setDefault(&cfg.MinRotationPeriod, minRotationPeriod)
	return nil
}

// isNilPointer reports whether an interface holds a pointer, or a function, that is nil.
func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

func setDefault[T comparable](p *T, v T) {
	if *p == *new(T) {
		*p = v
	}
}

// roots returns the ring's root keys in the order in which they are tried.
func (cfg *Config) roots() []rootkey.Root {
	return append([]rootkey.Root{cfg.Root}, cfg.RecoveryRoots...)
}

// A core is what all clients of a ring share.
type core struct {
	cfg  Config
	ring *openedRing
	vault
	clock clock
	gate  gate

	keys      *cache.Cache[keyID, *slot]
	seen      sightings                      // generations, also of keys that were evicted
	misses    *cache.Cache[keyID, stamp]     // ids that were not found
	refs      *cache.Cache[string, referent] // what references named
	documents *cache.Cache[policyText, *policy.Document]
	grants    *cache.Cache[granteeKey, *grantView]
	removed   *cache.Cache[grantID, struct{}] // grants that this process has seen go
	usages    usages
	flights   flights

	generating chan struct{} // holds one for each key pair that is being generated and takes long

	calls sync.Pool // of *call

	maintenance maintenance
}

// ErrNoRing is what [Open] returns for an empty store, if [Config.MustExist] or [Config.RingID] says that there must be a ring.
var ErrNoRing = errors.New("the store is empty: it holds no ring")

// A Client is what one caller sees of a keyring: all operations, as that caller. It is small, immutable and safe for concurrent use. Clients come from
// [Keyring.As] and from the methods that change a copy, [Client.WithGrantTokens] and [Client.DryRun].
//
// A ref names a key by its id or its ARN. Where a key is used, in [WithKey] and in [Client.DescribeKey] it may also be an alias name or an alias ARN. Everything else
// takes no alias, as in AWS KMS: an alias name is ErrNotFound there, and an alias ARN ErrInvalidArn.
type Client struct {
	c      *core
	caller *actor
	tokens grantTokens
	dryRun bool

	simulator *simulator // of a dry run that is not recorded
}

// A Keyring holds the keys of one account and Region. It embeds the [Client] of the account's root user, which is the program itself; key policies bind it like
// everyone else. It alone can make clients for others, so a component that is handed a client cannot become somebody else. It is safe for concurrent use.
type Keyring struct{ *root }

// A root is the client of the root user. The field of a Keyring that embeds it has no name outside this package, so that nobody makes a Keyring of a Client.
type root = Client

// Open opens the keyring that a store holds, or makes one in an empty store, unless [Config.MustExist] forbids it. It reads a handful of records and scans nothing.
// The caller closes the ring, and after it the store.
//
// Its errors have no [Code], and are no [Error]. A wrong root key is one that matches [rootkey.ErrWrongKey], an empty store that was refused one that matches
// [ErrNoRing]. If what opens the ring is damaged, missing or rolled back, the error is a [*Problem] that says which record. A store that holds a ring of another id,
// account or Region than the Config states is refused, and so is one that holds records but no ring.
func Open(ctx context.Context, cfg Config) (*Keyring, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("kms: open: %w", err)
	}
	isNew := cfg
	setDefault(&isNew.AccountID, DefaultAccountID)
	setDefault(&isNew.Region, DefaultRegion)
	setDefault(&isNew.Partition, DefaultPartition)
	ring, err := openRing(ctx, &cfg, &isNew)
	if err != nil {
		return nil, fmt.Errorf("kms: open: %w", err)
	}
	c := &core{
		cfg:       cfg,
		ring:      ring,
		vault:     vault{store: cfg.Store, index: ring.index},
		clock:     clock{now: cfg.Now, base: time.Now()},
		keys:      cache.New[keyID, *slot](cfg.CacheSize).OnRemove((*slot).retire),
		misses:    cache.New[keyID, stamp](1024),
		refs:      cache.New[string, referent](cfg.CacheSize),
		documents: cache.New[policyText, *policy.Document](min(cfg.CacheSize, mostDocuments)),
		grants:    cache.New[granteeKey, *grantView](cfg.CacheSize),
		removed:   cache.New[grantID, struct{}](leastSightings),
		flights:   flights{running: make(map[keyID]*flight)},
	}
	c.generating = make(chan struct{}, runtime.GOMAXPROCS(0))
	c.usages.init(max(cfg.CacheSize, mostUsages))
	c.seen.init(max(4*cfg.CacheSize, leastSightings))
	c.sealing.Store(ring.sealing)
	c.domains.init(cfg.roots())
	c.ringAt.Store(&ring.from)
	c.anchoring.init(cfg.Anchor, ring.id.String(), &c.clock)
	if cfg.Anchor != nil {
		if err := c.openAnchor(ctx, ring.from); err != nil {
			return nil, fmt.Errorf("kms: open: %w", err)
		}
	}
	c.maintenance = maintenance{running: make(chan struct{}, 1), found: make(map[keyID]finding)}
	c.maintenance.opened, c.maintenance.now = c.clock.read()
	c.gate.init()
	c.calls.New = func() any { return new(call) }
	k := &Keyring{&root{c: c}}
	k.caller = c.ring.actorOf(Root())
	return k, nil
}

// As returns a client on the same keys that acts for caller. The keyring is unchanged.
func (k *Keyring) As(caller Caller) *Client { return &Client{c: k.c, caller: k.c.ring.actorOf(caller)} }

// ID returns the id of the ring: 32 hex digits, for [Config.RingID].
func (k *Keyring) ID() string { return k.c.ring.id.String() }

// AccountID returns the account whose keys the ring holds: twelve digits.
func (k *Keyring) AccountID() string { return k.c.ring.account }

// Region returns the Region in the ARNs of the ring's keys.
func (k *Keyring) Region() string { return k.c.ring.region }

// Partition returns the partition in the ARNs of the ring's keys.
func (k *Keyring) Partition() string { return k.c.ring.partition }

// Close refuses new operations with [ErrServiceUnavailable], waits for those that run, and forgets the keys: the ring's own are wiped at once, key material when the
// runtime finds that nothing refers to it. It does not close the store or wipe root keys. Closing twice is no error. A sink or a store that calls it waits for
// itself.
func (k *Keyring) Close() error {
	if k.c.gate.close() {
		k.c.writeLast()
		k.c.keys.Clear()
		k.c.refs.Clear()
		k.c.grants.Clear()
		k.c.sealing.Load().keys.Zero()
		k.c.domains.zero()
		k.c.index.Zero()
	}
	return nil
}

// lastWrites bounds what Close waits for the store.
const lastWrites = 5 * time.Second

// writeLast writes down what was used, as far as the store takes it.
func (c *core) writeLast() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWrites)
	defer cancel()
	_, now := c.clock.read()
	_ = c.writeUsages(ctx, now) // Close has no error to tell, and what is lost is a day's note
}

// Format implements [fmt.Formatter]: whatever the verb, it prints for whom the client acts and nothing of what is behind it, which other goroutines change.
func (c *Client) Format(f fmt.State, _ rune) {
	who := "nobody"
	if c != nil && c.caller != nil && c.caller.problem == "" {
		who = c.caller.principal.ARN
	}
	fmt.Fprintf(f, "kms client of %s", who)
}

// LogValue implements [slog.LogValuer] with the same text.
func (c *Client) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// WithGrantTokens returns a copy of the client that also presents tokens, up to ten, so that a grant can be used before every process knows it. A token that is none of
// the keyring's makes operations that take tokens fail with [ErrInvalidGrantToken]; one of another grantee, or of a grant that is gone, is of no use and does no harm.
func (c *Client) WithGrantTokens(tokens ...string) *Client {
	v := *c // the whole view, so that a field added later is not forgotten
	v.tokens = c.tokens.with(c.c, tokens)
	return &v
}

// DryRun returns a copy of the client that checks and never acts: an operation that would have succeeded returns [ErrDryRun], any other the error it would
// have returned. Cryptography is not tried: a Decrypt whose ciphertext or context is wrong passes.
func (c *Client) DryRun() *Client {
	v := *c
	v.dryRun = true
	return &v
}

// A gate counts the operations that run, and closes behind them.
type gate struct {
	state atomic.Int64 // how many run; closing adds closed
	empty chan struct{}
	once  sync.Once
}

const closed = 1 << 32

func (g *gate) init() { g.empty = make(chan struct{}) }

// enter reports whether an operation may begin; if so, leave must follow.
func (g *gate) enter() bool {
	if g.state.Add(1) >= closed {
		g.leave()
		return false
	}
	return true
}

// hold lets what an operation has begun go on after it.
func (g *gate) hold() { g.state.Add(1) }

func (g *gate) leave() {
	if g.state.Add(-1) == closed {
		g.once.Do(func() { close(g.empty) })
	}
}

// close closes the gate and waits until nothing runs. It reports whether this call closed it.
func (g *gate) close() bool {
	for {
		n := g.state.Load()
		if n >= closed {
			<-g.empty
			return false
		}
		if g.state.CompareAndSwap(n, n+closed) {
			if n == 0 {
				g.once.Do(func() { close(g.empty) })
			}
			<-g.empty
			return true
		}
	}
}

// newKeyID returns the id of a new key.
func (c *core) newKeyID() (id keyID) {
	if c.cfg.Test != nil && c.cfg.Test.KeyID != nil {
		id.raw = c.cfg.Test.KeyID()
		return id
	}
	rand.Read(id.raw[:])
	id.raw[6] = id.raw[6]&0x0f | 0x40 // RFC 9562, version 4
	id.raw[8] = id.raw[8]&0x3f | 0x80
	return id
}
