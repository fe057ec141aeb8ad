package main

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/claviger/kms"
	"github.com/claviger/kms/policy"
)

// A user is an IAM user of one of the accounts. The keyring takes it as a caller, the policies of buckets match it as a principal. A program that means it has
// authenticated whoever says to be one.
type user struct{ account, name string }

func (u user) arn() string { return "arn:aws:iam::" + u.account + ":user/" + u.name }

func (u user) caller() kms.Caller { return kms.User(u.name).InAccount(u.account) }

// A directory is the IAM side of both accounts, in memory: the users that there are, with their policies. The keyring and the store ask the same one.
type directory struct {
	accounts map[string]*kms.Account

	mu    sync.RWMutex // guards users
	users map[string]*kms.Identity
}

// newDirectory returns a directory of accounts without users.
func newDirectory(accounts ...string) *directory {
	d := &directory{accounts: map[string]*kms.Account{}, users: map[string]*kms.Identity{}}
	for _, id := range accounts {
		d.accounts[id] = &kms.Account{ID: id}
	}
	return d
}

// add adds a user with policies, or further policies to one that there is.
func (d *directory) add(u user, texts ...string) error {
	var documents []*kms.PolicyDocument
	for _, text := range texts {
		document, err := policy.Parse(text, policy.IdentityPolicy)
		if err != nil {
			return err
		}
		documents = append(documents, document)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if was := d.users[u.arn()]; was != nil {
		documents = slices.Concat(was.Policies, documents)
	}
	d.users[u.arn()] = &kms.Identity{ARN: u.arn(), Policies: documents} // another value, as kms.Identities wants it
	return nil
}

// Current, Identity, Account and All make it the keyring's [kms.Identities].

// Current returns the directory as it is now.
func (d *directory) Current() kms.Identities {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return &directory{accounts: d.accounts, users: maps.Clone(d.users)}
}

func (d *directory) Identity(arn string) *kms.Identity {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.users[arn]
}

func (d *directory) Account(id string) *kms.Account { return d.accounts[id] }

func (d *directory) All() iter.Seq[*kms.Identity] {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return maps.Values(maps.Clone(d.users))
}
