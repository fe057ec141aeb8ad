package main

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestServicegrant runs the program.
func TestServicegrant(t *testing.T) {
	out, err := program.Command(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const (
		hidden = `    refused: AccessDeniedException: User: volumes.amazonaws.com is not authorized to perform: kms:Decrypt on this resource because .*`
		via    = `  \S+  role/operators via volumes.amazonaws.com +`
		itself = `  \S+  volumes.amazonaws.com +`
	)
	rest := string(out)
	for _, line := range []string{
		`Key \S+: role operators uses it. Dana of that role has volumes vol-1 and vol-2 under it`,
		`Dana makes a grant by herself`,
		`    refused: AccessDeniedException: User: \S+:assumed-role/operators/dana is not authorized to perform: kms:CreateGrant on resource: .*`,
		`Dana attaches vol-1, .*`,
		`  grant [0-9a-f]{8}\.\.\. attach-vol-1: \[Decrypt\] for volumes.amazonaws.com`,
		`    on behalf of arn:aws:volumes:eu-central-1:111122223333:volume/vol-1, with encryption context map\[volume:vol-1\]`,
		`    made by arn:aws:iam::111122223333:root, to be retired by volumes.amazonaws.com`,
		`Two hours later Dana's session is over`,
		`    refused: ExpiredTokenException: The security token included in the request is expired`,
		`The host restarts`,
		`  vol-1 opens by the grant: all that Dana knows`,
		`  vol-2, under the same key, does not`,
		hidden,
		`      that is, grant [0-9a-f]{8}\.\.\. does not allow it: its source is another`,
		`The service detaches vol-1, and retires the grant`,
		`  no grants on the key`,
		`  vol-1 does not open any more`,
		hidden,
		`The audit trail: who did what, with which key`,
		via + `GenerateDataKeyWithoutPlaintext +\S+ +ok`,
		`  \S+  role/operators +CreateGrant +\S+ +AccessDenied`,
		via + `CreateGrant +\S+ +ok`,
		itself + `Decrypt +\S+ +ok`,
		`  \S+  role/security +ListGrants +\S+ +ok`,
		via + `CreateGrant +\S+ +ExpiredTokenException`,
		itself + `Decrypt +\S+ +ok`, itself + `Decrypt +\S+ +AccessDenied`, itself + `RetireGrant +\S+ +ok`, itself + `Decrypt +\S+ +AccessDenied`,
	} {
		at := regexp.MustCompile(`(?m)^` + line + `$`).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no line matches %q after what was found before, in\n%s", line, out)
		}
		rest = rest[at[1]:]
	}
}

// attached returns a tour of which one volume is attached, and the other one not.
func attached(t *testing.T) *tour {
	t.Helper()
	world, err := newTour(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, world.ring.Close()) })
	world.volume, err = world.service.create(t.Context(), world.customer, "vol-1", world.key)
	must(t, err)
	world.other, err = world.service.create(t.Context(), world.customer, "vol-2", world.key)
	must(t, err)
	must(t, world.service.attach(t.Context(), world.customer, world.volume))
	return world
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// grants counts the grants on the key.
func grants(t *testing.T, world *tour) (n int) {
	t.Helper()
	for _, err := range world.ring.As(admin).ListGrants(t.Context(), world.key, kms.ListGrantsInput{}) {
		must(t, err)
		n++
	}
	return n
}

// TestTheGrantIsNarrow: it is for one service, when it works for one volume, to decrypt what is of that volume.
func TestTheGrantIsNarrow(t *testing.T) {
	world := attached(t)
	one, two := world.volume, world.other
	source := func(v *volume) kms.SourceResource {
		return kms.SourceResource{ARN: v.arn, AccountID: world.ring.AccountID()}
	}
	decrypt := func(v *volume) func(context.Context, *kms.Client) error {
		return func(ctx context.Context, c *kms.Client) error {
			_, err := c.Decrypt(ctx, v.encryptedKey, v.encryptionContext(), kms.WithKey(v.key))
			return err
		}
	}
	itself := kms.Service(name).ForSource(source(one))
	for _, c := range []struct {
		name   string
		caller kms.Caller
		do     func(context.Context, *kms.Client) error
		want   error
	}{
		{"the service for the volume", itself, decrypt(one), nil},
		{"without a volume", kms.Service(name), decrypt(one), kms.ErrAccessDenied},
		{"for the other volume", kms.Service(name).ForSource(source(two)), decrypt(two), kms.ErrAccessDenied},
		{"for the other volume, the key of this one", kms.Service(name).ForSource(source(two)), decrypt(one), kms.ErrAccessDenied},
		{"for this volume, the key of the other one", itself, decrypt(two), kms.ErrAccessDenied},
		{"another service", kms.Service("backup.amazonaws.com").ForSource(source(one)), decrypt(one), kms.ErrAccessDenied},
		{"somebody through the service", kms.Role("stranger").Via(name), decrypt(one), kms.ErrAccessDenied},
		{"more of the context", itself, func(ctx context.Context, c *kms.Client) error {
			_, err := c.Decrypt(ctx, one.encryptedKey, kms.EncryptionContext{"volume": one.id, "part": "1"}, kms.WithKey(one.key))
			return err
		}, kms.ErrAccessDenied},
		{"encrypting", itself, func(ctx context.Context, c *kms.Client) error {
			_, err := c.Encrypt(ctx, one.key, []byte("x"), one.encryptionContext())
			return err
		}, kms.ErrAccessDenied},
		{"moving the key", itself, func(ctx context.Context, c *kms.Client) error {
			_, err := c.ReEncrypt(ctx, one.encryptedKey, one.key, kms.ReEncryptInput{SourceEncryptionContext: one.encryptionContext()})
			return err
		}, kms.ErrAccessDenied},
		{"passing it on", itself, func(ctx context.Context, c *kms.Client) error {
			_, err := c.CreateGrant(ctx, one.key, kms.CreateGrantInput{
				GranteePrincipal: "arn:aws:iam::111122223333:role/stranger", Operations: []kms.GrantOperation{kms.GrantDecrypt},
				Constraints: kms.GrantConstraints{SourceARN: one.arn, EncryptionContextEquals: one.encryptionContext()},
			})
			return err
		}, kms.ErrAccessDenied},
	} {
		if err := c.do(t.Context(), world.ring.As(c.caller)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestTheGrantOutlivesTheSession, and ends when the service says so.
func TestTheGrantOutlivesTheSession(t *testing.T) {
	world := attached(t)
	disk, err := world.service.open(t.Context(), world.volume)
	must(t, err)
	disk.write(7, []byte("block"))
	world.clock.advance(time.Hour)
	if _, err := world.ring.As(world.customer).DescribeKey(t.Context(), world.key); !errors.Is(err, kms.ErrExpiredToken) {
		t.Errorf("the customer: %v", err)
	}
	if _, err := world.service.create(t.Context(), world.customer, "vol-3", world.key); !errors.Is(err, kms.ErrExpiredToken) {
		t.Errorf("through the service: %v", err)
	}
	again, err := world.service.open(t.Context(), world.volume)
	must(t, err)
	if block, err := again.read(7); err != nil || string(block) != "block" {
		t.Errorf("%q, %v", block, err)
	}
	must(t, world.service.detach(t.Context(), world.volume))
	if _, err := world.service.open(t.Context(), world.volume); !errors.Is(err, kms.ErrAccessDenied) || grants(t, world) != 0 {
		t.Errorf("after it was detached: %v, and %d grants", err, grants(t, world))
	}
	if err := world.service.detach(t.Context(), world.volume); err == nil {
		t.Error("it is detached twice")
	}
}

// TestWhoMayMakeAndEndGrants: the customer through the service makes one, once; the service retires it; the administrator of the key takes it away.
func TestWhoMayMakeAndEndGrants(t *testing.T) {
	world := attached(t)
	v, id := world.volume, world.volume.grant
	must(t, world.service.attach(t.Context(), world.customer, v))
	if v.grant != id || grants(t, world) != 1 {
		t.Errorf("attached twice, it has grants %s and %s", id, v.grant)
	}
	for _, who := range []kms.Caller{kms.Role("stranger").Via(name), kms.Service(name)} {
		if err := world.service.attach(t.Context(), who, world.other); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v attaches it: %v", who, err)
		}
	}
	for _, who := range []kms.Caller{world.customer, world.customer.Via(name), admin, kms.Service("backup.amazonaws.com")} {
		if err := world.ring.As(who).RetireGrant(t.Context(), kms.RetireGrantInput{KeyRef: v.key, GrantID: id}); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v retires the grant: %v", who, err)
		}
	}
	if err := world.ring.As(world.customer).RevokeGrant(t.Context(), v.key, id); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("the customer revokes it: %v", err)
	}
	must(t, world.ring.As(admin).RevokeGrant(t.Context(), v.key, id))
	if _, err := world.service.open(t.Context(), v); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("after it was revoked: %v", err)
	}
}

// TestBlocks are bound to their place and their volume.
func TestBlocks(t *testing.T) {
	world := attached(t)
	must(t, world.service.attach(t.Context(), world.customer, world.other))
	one, err := world.service.open(t.Context(), world.volume)
	must(t, err)
	two, err := world.service.open(t.Context(), world.other)
	must(t, err)
	for _, d := range []*disk{one, two} {
		d.write(0, []byte("zero"))
		d.write(1, []byte("one"))
	}
	blocks := world.volume.blocks
	blocks[1], blocks[2], blocks[3] = world.other.blocks[1], blocks[0], blocks[0][:10] // of another volume, moved, and cut off
	for number, want := range map[uint64]string{0: "zero", 1: "", 2: "", 3: "", 4: ""} {
		block, err := one.read(number)
		if string(block) != want || (err == nil) != (want != "") {
			t.Errorf("block %d: %q, %v", number, block, err)
		}
	}
	if block, err := two.read(1); err != nil || string(block) != "one" {
		t.Errorf("%q, %v", block, err)
	}
}
