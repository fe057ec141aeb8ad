package main

import (
	"errors"
	"strings"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

// DevCredentials are the values of --dev-credential, by the ids of the access keys.
type devCredentials map[string]kmshttp.Credential

// Set takes "ID:SECRET" or "ID:SECRET:ARN". Its errors do not repeat it.
func (d devCredentials) Set(text string) error {
	id, rest, _ := strings.Cut(text, ":")
	secret, principal, named := strings.Cut(rest, ":")
	c := kmshttp.Credential{SecretAccessKey: secret, Caller: kms.Root()}
	if named {
		var err error
		if c.Caller, err = kms.ParseCaller(principal); err != nil {
			return err
		}
	}
	if _, err := kmshttp.NewStaticCredentials(map[string]kmshttp.Credential{id: c}); err != nil {
		return errors.New("want ID:SECRET or ID:SECRET:ARN")
	}
	if _, twice := d[id]; twice {
		return errors.New("two have the same id")
	}
	d[id] = c
	return nil
}

func (d devCredentials) String() string { return "" }

func (d devCredentials) Type() string { return "credential" }

// open returns the credentials, with the one that is always there.
func (d devCredentials) open() (*kmshttp.StaticCredentials, error) {
	if _, own := d["test"]; !own {
		d["test"] = kmshttp.Credential{SecretAccessKey: "test", Caller: kms.Root()}
	}
	return kmshttp.NewStaticCredentials(d)
}
