package rootkeytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/claviger/kms/rootkey"
)

const domainKeyLen = 32

// binding is associated data as a keyring would use it.
var binding = []byte("claviger/root/v1 ring 7f3a domain 1 root")

var rules = []rule{
	{"RoundTrip", "a root returns the bytes that it wrapped, and wraps secrets of 1 to 1024 bytes, not domain keys alone", roundTrip},
	{"EmptyAssociatedData", "nil and empty associated data are the same", emptyAssociatedData},
	{"WrapLength", "the wrap of a domain key fits into rootkey.MaxWrapLen, for which the keyring's records have room", wrapLength},
	{"AssociatedDataBinds", "a wrap opens with exactly its associated data: otherwise the wrap of one ring, domain key or root could stand in for another's",
		associatedDataBinds},
	{"EveryByteIsAuthenticated", "a wrap changed in any byte is refused", everyByte},
	{"Truncation", "a wrap of which the end is missing is refused, however little is left", truncation},
	{"Extension", "a wrap with bytes before or after it is refused", extension},
	{"AnotherRoot", "a root refuses the wraps of another key", anotherRoot},
	{"WrapsDiffer", "two wraps of one plaintext differ: equal ones would show that two keys are the same, and are the mark of a repeated nonce", wrapsDiffer},
	{"PlaintextIsTheCallers", "the caller clears the plaintext and reuses the associated data after the call, and neither was changed by it", plaintextIsTheCallers},
	{"ResultsAreTheCallers", "the caller may overwrite what a root returned: nothing later changes by it", resultsAreTheCallers},
	{"Concurrent", "methods may be called concurrently", concurrent},
	{"Cancelled", "a call whose context is over fails with the context's error, and later calls succeed", cancelled},
	{"Names", "the name of a root is one that a keyring can store, and stays the same", names},
	{"NothingLeaks", "neither errors nor a printed root hold the plaintext, in any spelling", nothingLeaks},
}

// sealed is a wrap with what it was made of.
type sealed struct {
	root            rootkey.Root
	plaintext, wrap []byte
}

// seal wraps a random secret of n bytes under root.
func seal(ctx context.Context, root rootkey.Root, n int, associatedData []byte) (sealed, error) {
	plaintext := make([]byte, n)
	rand.Read(plaintext)
	wrap, err := root.EncryptWithContext(ctx, slices.Clone(plaintext), slices.Clone(associatedData))
	if err != nil {
		return sealed{}, fmt.Errorf("wrapping %d bytes: %w", n, err)
	}
	return sealed{root, plaintext, wrap}, nil
}

// opens reports an error unless the wrap opens to the plaintext.
func (s sealed) opens(ctx context.Context, associatedData []byte) error {
	got, err := s.root.DecryptWithContext(ctx, slices.Clone(s.wrap), slices.Clone(associatedData))
	if err != nil {
		return fmt.Errorf("unwrapping %d bytes: %w", len(s.plaintext), err)
	}
	if !bytes.Equal(got, s.plaintext) {
		return fmt.Errorf("unwrapping gives %d bytes that are not the %d wrapped ones", len(got), len(s.plaintext))
	}
	return nil
}

// refuses reports an error if root opens wrap, or returns bytes along with its error.
func refuses(ctx context.Context, root rootkey.Root, wrap, associatedData []byte, what string) error {
	got, err := root.DecryptWithContext(ctx, slices.Clone(wrap), slices.Clone(associatedData))
	if err == nil {
		return fmt.Errorf("%s is accepted", what)
	}
	if len(got) != 0 {
		return fmt.Errorf("%s is refused, but %d bytes come with the error", what, len(got))
	}
	return nil
}

func roundTrip(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	for _, n := range []int{domainKeyLen, 1, 15, 16, 17, 31, 33, 64, 255, 256, 1024} {
		s, err := seal(ctx, root, n, binding)
		if err != nil {
			return err
		}
		if err := s.opens(ctx, binding); err != nil {
			return err
		}
	}
	return nil
}

func emptyAssociatedData(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	for _, pair := range [][2][]byte{{nil, nil}, {nil, {}}, {{}, nil}} {
		s, err := seal(ctx, root, domainKeyLen, pair[0])
		if err != nil {
			return err
		}
		if err := s.opens(ctx, pair[1]); err != nil {
			return err
		}
	}
	return nil
}

func wrapLength(ctx context.Context, open func() rootkey.Root) error {
	s, err := seal(ctx, open(), domainKeyLen, binding)
	if err != nil {
		return err
	}
	if len(s.wrap) > rootkey.MaxWrapLen {
		return fmt.Errorf("a wrap of %d bytes", len(s.wrap))
	}
	return nil
}

func associatedDataBinds(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	s, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	last := len(binding) - 1
	reversed := slices.Clone(binding)
	slices.Reverse(reversed)
	changed := slices.Clone(binding)
	changed[last] ^= 1
	for _, c := range []struct {
		name  string
		other []byte
	}{
		{"nil", nil},
		{"empty", []byte{}},
		{"changed", changed},
		{"of another wrap", []byte("claviger/root/v1 ring 7f3a domain 2 root")},
		{"without its last byte", binding[:last]},
		{"without its first byte", binding[1:]},
		{"with a byte more", append(slices.Clone(binding), 0)},
		{"twice", slices.Concat(binding, binding)},
		{"reversed", reversed},
	} {
		if err := refuses(ctx, root, s.wrap, c.other, "associated data "+c.name); err != nil {
			return err
		}
	}
	bare, err := seal(ctx, root, domainKeyLen, nil)
	if err != nil {
		return err
	}
	if err := refuses(ctx, root, bare.wrap, binding, "associated data where there was none"); err != nil {
		return err
	}
	return s.opens(ctx, binding)
}

func everyByte(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	s, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	for i := range s.wrap {
		changed := slices.Clone(s.wrap)
		changed[i] ^= 1 << (i % 8)
		if err := refuses(ctx, root, changed, binding, fmt.Sprintf("a wrap with byte %d of %d changed", i, len(changed))); err != nil {
			return err
		}
	}
	return s.opens(ctx, binding)
}

func truncation(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	s, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	if err := refuses(ctx, root, nil, binding, "a nil wrap"); err != nil {
		return err
	}
	for n := range s.wrap {
		if err := refuses(ctx, root, s.wrap[:n], binding, fmt.Sprintf("%d of the %d bytes of a wrap", n, len(s.wrap))); err != nil {
			return err
		}
	}
	return nil
}

func extension(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	s, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		wrap []byte
	}{
		{"a wrap with a byte after it", append(slices.Clone(s.wrap), 0)},
		{"a wrap with a byte before it", append([]byte{s.wrap[0]}, s.wrap...)},
		{"a wrap twice", slices.Concat(s.wrap, s.wrap)},
		{"a wrap with MaxWrapLen bytes after it", append(slices.Clone(s.wrap), make([]byte, rootkey.MaxWrapLen)...)},
	} {
		if err := refuses(ctx, root, c.wrap, binding, c.name); err != nil {
			return err
		}
	}
	return nil
}

func anotherRoot(ctx context.Context, open func() rootkey.Root) error {
	one, other := open(), open()
	for _, pair := range [][2]rootkey.Root{{one, other}, {other, one}} {
		s, err := seal(ctx, pair[0], domainKeyLen, binding)
		if err != nil {
			return err
		}
		if err := refuses(ctx, pair[1], s.wrap, binding, "another root's wrap"); err != nil {
			return err
		}
		if err := s.opens(ctx, binding); err != nil {
			return err
		}
	}
	return nil
}

func wrapsDiffer(ctx context.Context, open func() rootkey.Root) error {
	root, plaintext := open(), make([]byte, domainKeyLen)
	seen := make(map[string]bool)
	for range 16 {
		wrap, err := root.EncryptWithContext(ctx, slices.Clone(plaintext), binding)
		if err != nil {
			return err
		}
		if seen[string(wrap)] {
			return errors.New("two wraps of one plaintext are equal")
		}
		seen[string(wrap)] = true
	}
	return nil
}

func plaintextIsTheCallers(ctx context.Context, open func() rootkey.Root) error {
	root, want := open(), make([]byte, domainKeyLen)
	rand.Read(want)
	plaintext, associatedData := slices.Clone(want), slices.Clone(binding)
	wrap, err := root.EncryptWithContext(ctx, plaintext, associatedData)
	if err != nil {
		return err
	}
	if !bytes.Equal(plaintext, want) || !bytes.Equal(associatedData, binding) {
		return errors.New("wrapping changes its arguments")
	}
	clear(plaintext)
	clear(associatedData)
	s := sealed{root, want, wrap}
	if err := s.opens(ctx, binding); err != nil {
		return fmt.Errorf("after the caller cleared the plaintext: %w", err)
	}
	given, associatedData := slices.Clone(wrap), slices.Clone(binding)
	got, err := root.DecryptWithContext(ctx, given, associatedData)
	if err != nil {
		return err
	}
	if !bytes.Equal(given, wrap) || !bytes.Equal(associatedData, binding) {
		return errors.New("unwrapping changes its arguments")
	}
	clear(given)
	clear(associatedData)
	if !bytes.Equal(got, want) {
		return errors.New("the plaintext changes with the wrap that it came from")
	}
	return nil
}

func resultsAreTheCallers(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	first, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	kept := slices.Clone(first.wrap)
	second, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	if !bytes.Equal(first.wrap, kept) {
		return errors.New("a wrap changes when another is made")
	}
	for i := range first.wrap {
		first.wrap[i] ^= 0xff
	}
	if err := second.opens(ctx, binding); err != nil {
		return fmt.Errorf("after the caller overwrote another wrap: %w", err)
	}
	plaintext, err := root.DecryptWithContext(ctx, second.wrap, binding)
	if err != nil {
		return err
	}
	clear(plaintext)
	if err := second.opens(ctx, binding); err != nil {
		return fmt.Errorf("after the caller cleared an unwrapped plaintext: %w", err)
	}
	return sealed{root, first.plaintext, kept}.opens(ctx, binding)
}

func concurrent(ctx context.Context, open func() rootkey.Root) error {
	const callers, rounds = 8, 4
	root := open()
	failures := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			failures[i] = rule{check: func(ctx context.Context, _ func() rootkey.Root) error {
				own := fmt.Appendf(nil, "%s %d", binding, i)
				for range rounds {
					s, err := seal(ctx, root, domainKeyLen, own)
					if err != nil {
						return err
					}
					if err := s.opens(ctx, own); err != nil {
						return err
					}
					if err := refuses(ctx, root, s.wrap, binding, "other associated data"); err != nil {
						return err
					}
				}
				return nil
			}}.run(ctx, nil) // in its own goroutine a panic would end the process
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

func cancelled(ctx context.Context, open func() rootkey.Root) error {
	root := open()
	over, cancel := context.WithCancel(ctx)
	cancel()
	wrap, err := root.EncryptWithContext(over, make([]byte, domainKeyLen), binding)
	if !errors.Is(err, context.Canceled) || len(wrap) != 0 {
		return fmt.Errorf("wrapping under a cancelled context gives %d bytes and the error %v", len(wrap), err)
	}
	s, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return fmt.Errorf("after a cancelled call: %w", err)
	}
	plaintext, err := root.DecryptWithContext(over, s.wrap, binding)
	if !errors.Is(err, context.Canceled) || len(plaintext) != 0 {
		return fmt.Errorf("unwrapping under a cancelled context gives %d bytes and the error %v", len(plaintext), err)
	}
	return s.opens(ctx, binding)
}

func names(_ context.Context, open func() rootkey.Root) error {
	root := open()
	name := rootkey.Name(root)
	if name == "" || len(name) > rootkey.MaxNameLen {
		return fmt.Errorf("a name of %d bytes", len(name))
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("the name %q holds other than printable ASCII", name)
	}
	if rootkey.Name(root) != name {
		return fmt.Errorf("the name %q changes", name)
	}
	return nil
}

func nothingLeaks(ctx context.Context, open func() rootkey.Root) error {
	root, other := open(), open()
	s, err := seal(ctx, root, domainKeyLen, binding)
	if err != nil {
		return err
	}
	if err := s.opens(ctx, binding); err != nil {
		return err
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	var texts []string
	see := func(_ []byte, err error) {
		if err != nil {
			texts = append(texts, fmt.Sprintf("%v %+v %#v %q", err, err, err, err))
		}
	}
	see(root.DecryptWithContext(ctx, s.wrap, nil))
	see(root.DecryptWithContext(ctx, s.wrap[:len(s.wrap)/2], binding))
	see(root.DecryptWithContext(ctx, s.plaintext, binding))
	see(root.DecryptWithContext(over, s.wrap, binding))
	see(root.EncryptWithContext(over, s.plaintext, binding))
	see(other.DecryptWithContext(ctx, s.wrap, binding))
	see(root.EncryptWithContext(ctx, slices.Concat(s.plaintext, make([]byte, rootkey.MaxWrapLen)), binding)) // too long for most
	held := struct{ root rootkey.Root }{root}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, root), fmt.Sprintf(verb, held))
	}
	for _, text := range texts {
		for _, spelling := range spellings(s.plaintext) {
			if strings.Contains(text, spelling) {
				return errors.New("an error or a printed root holds the plaintext")
			}
		}
	}
	return nil
}

// spellings are the ways in which secret bytes show up in a text.
func spellings(b []byte) []string {
	list := []string{
		string(b),
		hex.EncodeToString(b),
		strings.ToUpper(hex.EncodeToString(b)),
		base64.RawStdEncoding.EncodeToString(b),
		base64.RawURLEncoding.EncodeToString(b),
		strings.Trim(fmt.Sprint(b), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
	quoted := fmt.Sprintf("%q", b)
	return append(list, quoted[1:len(quoted)-1])
}
