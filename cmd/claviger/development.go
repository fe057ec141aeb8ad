package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

// devCredentials are the values of --dev-credential, by the ids of the access keys.
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
	if _, twice := d[id]; twice {
		return errors.New("two have the same access key id")
	}
	d[id] = c
	_, err := kmshttp.NewStaticCredentials(map[string]kmshttp.Credential{id: c})
	return err
}

func (d devCredentials) String() string { return "" }

func (d devCredentials) Type() string { return "credential" }

// open returns the credentials, among them those that are always there.
func (d devCredentials) open() (*kmshttp.StaticCredentials, error) {
	if _, own := d["test"]; !own {
		d["test"] = kmshttp.Credential{SecretAccessKey: "test", Caller: kms.Root()}
	}
	return kmshttp.NewStaticCredentials(d)
}

// loopbackOnly refuses addresses that others can reach.
func loopbackOnly(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
		return errors.New("--listen: --dev takes a loopback address only, such as 127.0.0.1:8443")
	}
	return nil
}
