package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/examples/internal/trail"
)

// admin manages the key, and cannot use it.
var admin = kms.Role("security")

// A tour is one run through the life of a grant.
type tour struct {
	clock    clock
	trail    audit.Memory
	ring     *kms.Keyring
	service  service
	customer kms.Caller // a session of the role operators, for an hour
	key      string     // the ARN of the customer's key
	volume   *volume
	other    *volume // of the same customer under the same key, but never attached
}

// newTour makes the keyring, the customer and the customer's key.
func newTour(ctx context.Context) (t *tour, err error) {
	t = new(tour)
	t.ring, err = kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1", Audit: &t.trail, Now: t.clock.now})
	if err != nil {
		return nil, err
	}
	t.service = service{t.ring}
	t.customer = kms.Session("operators", "dana").WithLifetime(t.clock.now(), t.clock.now().Add(time.Hour))
	if err := t.makeKey(ctx); err != nil {
		return nil, errors.Join(err, t.ring.Close())
	}
	return t, nil
}

// makeKey makes the customer's key under the policy that the console writes: the role may use the key, and create grants only where a service does so for it.
func (t *tour) makeKey(ctx context.Context) error {
	policy, err := t.ring.DefaultPolicy([]kms.Caller{admin}, []kms.Caller{kms.Role("operators")})
	if err != nil {
		return err
	}
	key, err := t.ring.CreateKey(ctx, kms.CreateKeyInput{Description: "volumes", Policy: policy})
	t.key = key.ARN
	return err
}

// take goes through the stations.
func (t *tour) take(ctx context.Context) error {
	for _, station := range []func(context.Context) error{t.create, t.attach, t.leave, t.restart, t.detach} {
		if err := station(ctx); err != nil {
			return err
		}
	}
	fmt.Println("\nThe audit trail: who did what, with which key")
	return trail.Print(os.Stdout, t.trail.Events())
}

// create makes two volumes under the customer's key.
func (t *tour) create(ctx context.Context) (err error) {
	if t.volume, err = t.service.create(ctx, t.customer, "vol-1", t.key); err != nil {
		return err
	}
	t.other, err = t.service.create(ctx, t.customer, "vol-2", t.key)
	fmt.Printf("Key %s: role operators uses it. Dana of that role has volumes vol-1 and vol-2 under it\n", t.key[strings.LastIndexByte(t.key, '/')+1:])
	return err
}

// attach attaches one of the volumes. The customer could not make such a grant without the service.
func (t *tour) attach(ctx context.Context) error {
	fmt.Println("Dana makes a grant by herself")
	_, err := t.ring.As(t.customer).CreateGrant(ctx, t.key, kms.CreateGrantInput{
		GranteePrincipal: "arn:aws:iam::111122223333:role/somebody", Operations: []kms.GrantOperation{kms.GrantDecrypt},
	})
	if err := refused(err, kms.ErrAccessDenied); err != nil {
		return err
	}
	fmt.Println("Dana attaches vol-1, for which the service makes a grant in her name")
	if err := t.service.attach(ctx, t.customer, t.volume); err != nil {
		return err
	}
	disk, err := t.service.open(ctx, t.volume)
	if err != nil {
		return err
	}
	disk.write(0, []byte("all that Dana knows"))
	return t.list(ctx)
}

// list prints the grants on the key, as its administrator sees them.
func (t *tour) list(ctx context.Context) error {
	n := 0
	for g, err := range t.ring.As(admin).ListGrants(ctx, t.key, kms.ListGrantsInput{}) {
		if err != nil {
			return err
		}
		n++
		fmt.Printf("  grant %.8s... %s: %v for %s\n", g.GrantID, g.Name, g.Operations, g.GranteeServicePrincipal)
		fmt.Printf("    on behalf of %s, with encryption context %v\n", g.Constraints.SourceARN, g.Constraints.EncryptionContextEquals)
		fmt.Printf("    made by %s, to be retired by %s\n", g.IssuingAccount, g.RetiringServicePrincipal)
	}
	if n == 0 {
		fmt.Println("  no grants on the key")
	}
	return nil
}

// leave lets the customer's session end. Nothing goes in her name any more.
func (t *tour) leave(ctx context.Context) error {
	t.clock.advance(2 * time.Hour)
	fmt.Println("Two hours later Dana's session is over")
	return refused(t.service.attach(ctx, t.customer, t.other), kms.ErrExpiredToken)
}

// restart opens the volumes as a host does that starts at night.
func (t *tour) restart(ctx context.Context) error {
	fmt.Println("The host restarts")
	disk, err := t.service.open(ctx, t.volume)
	if err != nil {
		return err
	}
	block, err := disk.read(0)
	if err != nil {
		return err
	}
	fmt.Printf("  vol-1 opens by the grant: %s\n", block)
	fmt.Println("  vol-2, under the same key, does not")
	_, err = t.service.open(ctx, t.other)
	if err := refused(err, kms.ErrAccessDenied); err != nil {
		return err
	}
	return t.explain(ctx)
}

// explain says for the program, which may see every policy and grant, why vol-2 does not open. The service is not told.
func (t *tour) explain(ctx context.Context) error {
	caller := kms.Service(name).ForSource(kms.SourceResource{ARN: t.other.arn, AccountID: t.ring.AccountID()})
	s, err := t.ring.Simulate(ctx, caller, func(ctx context.Context, c *kms.Client) error {
		_, err := c.Decrypt(ctx, nil, t.other.encryptionContext(), kms.WithKey(t.key))
		return err
	})
	for _, p := range s.Permissions {
		for _, g := range p.Explanation.Grants {
			fmt.Printf("      that is, grant %.8s... does not allow it: its %s is another\n", g.Grant.GrantID, g.Failed)
		}
	}
	return err
}

// detach ends it.
func (t *tour) detach(ctx context.Context) error {
	if err := t.service.detach(ctx, t.volume); err != nil {
		return err
	}
	fmt.Println("The service detaches vol-1, and retires the grant")
	if err := t.list(ctx); err != nil {
		return err
	}
	fmt.Println("  vol-1 does not open any more")
	_, err := t.service.open(ctx, t.volume)
	return refused(err, kms.ErrAccessDenied)
}

// refused prints a refusal of that code. Anything else is an error of the tour.
func refused(err error, code kms.Code) error {
	denial, ok := errors.AsType[*kms.Error](err)
	if !ok || denial.Code != code {
		return fmt.Errorf("not refused as it should be: %w", err)
	}
	fmt.Printf("    refused: %s: %s\n", denial.Code, denial.Message)
	return nil
}
