package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/claviger/kms/rootkey"
	"github.com/claviger/kms/rootkey/keyfile"
	"github.com/claviger/kms/rootkey/passphrase"
	"github.com/claviger/kms/rootkey/tinkkeyset"
)

// A rootKind is a kind of root key that a file holds.
type rootKind struct {
	flag  string
	what  string
	open  func(path string) (rootkey.Root, error)
	parse func(text []byte) (rootkey.Root, error) // nil: not from the standard input
}

var rootKinds = []rootKind{
	{"passphrase-file", "a passphrase, one line",
		func(path string) (rootkey.Root, error) { return passphrase.Open(path, nil) },
		func(text []byte) (rootkey.Root, error) { return passphrase.Parse(text, nil) }},
	{"key-file", "a key that package keyfile has made",
		func(path string) (rootkey.Root, error) { return keyfile.Open(path) },
		func(text []byte) (rootkey.Root, error) { return keyfile.Parse(text) }},
	{"tink-keyset-file", "a Tink keyset in cleartext JSON",
		func(path string) (rootkey.Root, error) { return tinkkeyset.OpenCleartext(path) },
		nil},
}

// standardInput is the FILE that stands for it.
const standardInput = "-"

// maxSecretLen bounds what is read from the standard input.
const maxSecretLen = 4 << 10

// A secretInput is the standard input, which can give one secret.
type secretInput struct {
	r    io.Reader
	used bool
}

// read returns all of the input, which the caller clears.
func (in *secretInput) read() ([]byte, error) {
	if in.used {
		return nil, errors.New("the standard input can give one secret only")
	}
	in.used = true
	b := make([]byte, maxSecretLen+1) // one buffer that never grows, so that no copy of the secret stays behind
	n, err := io.ReadFull(in.r, b)
	if err == nil {
		clear(b)
		return nil, fmt.Errorf("the standard input gives more than %d bytes", maxSecretLen)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(b)
		return nil, err
	}
	return b[:n], nil
}

// A rootFile is one root key that the command line names.
type rootFile struct {
	kind rootKind
	flag string
	name string // "": that of its kind
	path string
}

func (f rootFile) open(in *secretInput) (root rootkey.Root, err error) {
	switch {
	case f.path != standardInput:
		root, err = f.kind.open(f.path)
	case f.kind.parse == nil:
		err = errors.New("want a file, not the standard input")
	default:
		var text []byte
		if text, err = in.read(); err == nil {
			root, err = f.kind.parse(text)
			clear(text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", f.flag, err)
	}
	if f.name != "" {
		root = rootkey.WithName(f.name, root)
	}
	return root, nil
}

// rootFlags are the flags that name a root key and its recovery root keys.
type rootFlags struct {
	prefix            string
	primary, recovery []rootFile
}

func (r *rootFlags) register(flags *pflag.FlagSet, prefix, whose string) {
	r.prefix = prefix
	for _, kind := range rootKinds {
		name := prefix + kind.flag
		flags.Var(&rootValue{kind, name, &r.primary}, name, whose+" root key: `[NAME=]FILE` with "+kind.what)
	}
	for _, kind := range rootKinds {
		name := prefix + "recovery-" + kind.flag
		flags.Var(&rootValue{kind, name, &r.recovery}, name, "a recovery root key of it, repeatable: `[NAME=]FILE` with "+kind.what)
	}
}

// open reads the root keys.
func (r *rootFlags) open(in *secretInput) (root rootkey.Root, recovery []rootkey.Root, err error) {
	if len(r.primary) != 1 {
		return nil, nil, fmt.Errorf("want one root key: --%[1]s%[2]s, --%[1]s%[3]s or --%[1]s%[4]s", r.prefix, rootKinds[0].flag, rootKinds[1].flag, rootKinds[2].flag)
	}
	if root, err = r.primary[0].open(in); err != nil {
		return nil, nil, err
	}
	for _, f := range r.recovery {
		more, err := f.open(in)
		if err != nil {
			return nil, nil, err
		}
		recovery = append(recovery, more)
	}
	return root, recovery, nil
}

// A rootValue is the value of a flag that names a root key.
type rootValue struct {
	kind rootKind
	flag string
	list *[]rootFile
}

// Set takes "FILE" or "NAME=FILE". What is before "=" is part of the file's path if it holds a slash.
func (v *rootValue) Set(text string) error {
	f := rootFile{kind: v.kind, flag: v.flag, path: text}
	if name, path, ok := strings.Cut(text, "="); ok && !strings.ContainsAny(name, `/\`) {
		f.name, f.path = name, path
		if name == "" {
			return errors.New("the name is empty")
		}
	}
	if f.path == "" {
		return errors.New("want a file")
	}
	*v.list = append(*v.list, f)
	return nil
}

func (v *rootValue) String() string { return "" }

func (v *rootValue) Type() string { return "file" }
