package main

import (
	"context"
	"fmt"

	"github.com/claviger/kms"
)

// name is that of the service: as a principal of its own, and in [kms.Caller.Via] as one that acts for others.
const name = "volumes.amazonaws.com"

// A service keeps volumes. It holds the keyring, and so could act for anybody: it is the part of the program that must know who asks.
type service struct{ ring *kms.Keyring }

// A volume is a disk at rest: blocks that are encrypted under a data key of its own, and that data key, encrypted under the customer's key.
type volume struct {
	id           string
	arn          string
	key          string // the ARN of the customer's key
	encryptedKey []byte
	blocks       map[uint64][]byte
	grant        string // the id of the service's grant while the volume is attached
}

// encryptionContext binds a data key to its volume, and is what the grant is limited to.
func (v *volume) encryptionContext() kms.EncryptionContext {
	return kms.EncryptionContext{"volume": v.id}
}

// create makes a volume for a customer, whose permission it takes. Nobody sees the data key yet.
func (s *service) create(ctx context.Context, customer kms.Caller, id, keyARN string) (*volume, error) {
	v := &volume{id: id, key: keyARN, blocks: map[uint64][]byte{}}
	v.arn = fmt.Sprintf("arn:aws:volumes:%s:%s:volume/%s", s.ring.Region(), s.ring.AccountID(), id)
	dataKey, err := s.ring.As(customer.Via(name)).GenerateDataKeyWithoutPlaintext(ctx, keyARN, kms.AES256, v.encryptionContext())
	v.encryptedKey = dataKey.Ciphertext
	return v, err
}

// attach lets the service open the volume by itself from now on, until it detaches it. The customer makes the grant, through the service: the console's key policy
// allows its users that, and no grants that they make by themselves. The grant is for the service when it works for this volume, and for this volume's data key. The
// service will retire it. Since it has a name, attaching twice makes one grant. A host in another process would be handed the grant's token, and with it would not
// have to wait until its own keyring hears of the grant.
func (s *service) attach(ctx context.Context, customer kms.Caller, v *volume) error {
	made, err := s.ring.As(customer.Via(name)).CreateGrant(ctx, v.key, kms.CreateGrantInput{
		Name:                     "attach-" + v.id,
		GranteeServicePrincipal:  name,
		RetiringServicePrincipal: name,
		Operations:               []kms.GrantOperation{kms.GrantDecrypt},
		Constraints:              kms.GrantConstraints{SourceARN: v.arn, EncryptionContextEquals: v.encryptionContext()},
	})
	if err != nil {
		return err
	}
	v.grant = made.GrantID
	return nil
}

// itself is the service as its own principal, at work for a volume.
func (s *service) itself(v *volume) *kms.Client {
	return s.ring.As(kms.Service(name).ForSource(kms.SourceResource{ARN: v.arn, AccountID: s.ring.AccountID()}))
}

// open opens an attached volume, as its host does when it starts. No customer is there any more who could be asked.
func (s *service) open(ctx context.Context, v *volume) (*disk, error) {
	dataKey, err := s.itself(v).Decrypt(ctx, v.encryptedKey, v.encryptionContext(), kms.WithKey(v.key))
	if err != nil {
		return nil, err
	}
	defer clear(dataKey.Plaintext)
	return openDisk(v, dataKey.Plaintext)
}

// detach gives the grant up. A disk that is open has the data key, and goes with its host.
func (s *service) detach(ctx context.Context, v *volume) error {
	if err := s.itself(v).RetireGrant(ctx, kms.RetireGrantInput{KeyRef: v.key, GrantID: v.grant}); err != nil {
		return err
	}
	v.grant = ""
	return nil
}
