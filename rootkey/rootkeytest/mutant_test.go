package rootkeytest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/rootkey"
)

// sound is a root without faults, from which the mutants are made.
type sound struct{ gcm func() cipher.AEAD }

func newSound() sound {
	key := make([]byte, 32)
	rand.Read(key)
	return soundUnder(key)
}

func soundUnder(key []byte) sound {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return sound{func() cipher.AEAD { return gcm }}
}

func (s sound) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.gcm().Seal(nil, nil, plaintext, associatedData), nil
}

func (s sound) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	plaintext, err := s.gcm().Open(nil, nil, ciphertext, associatedData)
	if err != nil {
		return nil, rootkey.ErrWrongKey
	}
	return plaintext, nil
}

// A mutant is a root whose methods a test replaces; a nil one is the sound root's.
type mutant struct {
	sound
	encrypt, decrypt func(s sound, ctx context.Context, data, associatedData []byte) ([]byte, error)
}

func (m mutant) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if m.encrypt == nil {
		return m.sound.EncryptWithContext(ctx, plaintext, associatedData)
	}
	return m.encrypt(m.sound, ctx, plaintext, associatedData)
}

func (m mutant) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if m.decrypt == nil {
		return m.sound.DecryptWithContext(ctx, ciphertext, associatedData)
	}
	return m.decrypt(m.sound, ctx, ciphertext, associatedData)
}

func TestSoundRootPasses(t *testing.T) {
	Run(t, func(*testing.T) rootkey.Root { return newSound() })
}

func TestMutantsAreCaught(t *testing.T) {
	type method = func(s sound, ctx context.Context, data, associatedData []byte) ([]byte, error)
	both := func(encrypt, decrypt method) func() rootkey.Root {
		return func() rootkey.Root { return mutant{newSound(), encrypt, decrypt} }
	}
	for _, m := range []struct {
		name   string
		caught []string // the rules that must catch it
		open   func() rootkey.Root
	}{
		{"ignores the associated data", []string{"AssociatedDataBinds", "Concurrent"}, both(
			func(s sound, ctx context.Context, data, _ []byte) ([]byte, error) {
				return s.EncryptWithContext(ctx, data, nil)
			},
			func(s sound, ctx context.Context, data, _ []byte) ([]byte, error) {
				return s.DecryptWithContext(ctx, data, nil)
			})},
		{"binds the length of the associated data only", []string{"AssociatedDataBinds"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.EncryptWithContext(ctx, data, fmt.Append(nil, len(ad)))
			},
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.DecryptWithContext(ctx, data, fmt.Append(nil, len(ad)))
			})},
		{"tells nil from empty associated data", []string{"EmptyAssociatedData"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.EncryptWithContext(ctx, data, fmt.Appendf(nil, "%#v", ad))
			},
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.DecryptWithContext(ctx, data, fmt.Appendf(nil, "%#v", ad))
			})},
		{"takes domain keys only", []string{"RoundTrip"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				if len(data) != 32 {
					return nil, errors.New("not 32 bytes")
				}
				return s.EncryptWithContext(ctx, data, ad)
			}, nil)},
		{"returns zeros", []string{"RoundTrip", "EveryByteIsAuthenticated"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				plaintext, err := s.DecryptWithContext(ctx, data, ad)
				clear(plaintext)
				return plaintext, err
			})},
		{"makes wraps of 20 KiB", []string{"WrapLength"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				wrap, err := s.EncryptWithContext(ctx, data, ad)
				return append(wrap, make([]byte, 20<<10)...), err
			},
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.DecryptWithContext(ctx, data[:max(0, len(data)-20<<10)], ad)
			})},
		{"has a first byte that is not authenticated", []string{"EveryByteIsAuthenticated"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				wrap, err := s.EncryptWithContext(ctx, data, ad)
				return append([]byte{1}, wrap...), err
			},
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.DecryptWithContext(ctx, data[min(1, len(data)):], ad)
			})},
		{"panics on a short wrap", []string{"Truncation"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				_ = data[:12]
				return s.DecryptWithContext(ctx, data, ad)
			})},
		{"takes a missing wrap for an empty secret", []string{"Truncation"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				if len(data) == 0 {
					return nil, nil
				}
				return s.DecryptWithContext(ctx, data, ad)
			})},
		{"passes over what follows a wrap", []string{"Extension"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.DecryptWithContext(ctx, data[:min(len(data), 32+28)], ad)
			})},
		{"gives plaintext along with the error", []string{"EveryByteIsAuthenticated", "AssociatedDataBinds"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				plaintext, err := s.DecryptWithContext(ctx, data, ad)
				if err != nil {
					return make([]byte, 32), err
				}
				return plaintext, nil
			})},
		{"has one key for everybody", []string{"AnotherRoot"}, func() rootkey.Root { return soundUnder(make([]byte, 32)) }},
		{"repeats its nonce", []string{"WrapsDiffer"}, func() rootkey.Root {
			wraps := make(map[string][]byte)
			return mutant{sound: newSound(), encrypt: func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				name := fmt.Sprintf("%x %x", data, ad)
				if wraps[name] == nil {
					wrap, err := s.EncryptWithContext(ctx, data, ad)
					if err != nil {
						return nil, err
					}
					wraps[name] = wrap
				}
				return slices.Clone(wraps[name]), nil
			}}
		}},
		{"keeps the caller's plaintext", []string{"PlaintextIsTheCallers"}, func() rootkey.Root {
			kept := make(map[string][]byte)
			return mutant{newSound(),
				func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
					wrap, err := s.EncryptWithContext(ctx, data, ad)
					kept[string(wrap)] = data
					return wrap, err
				},
				func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
					if _, err := s.DecryptWithContext(ctx, data, ad); err != nil {
						return nil, err
					}
					return kept[string(data)], nil
				}}
		}},
		{"clears the caller's plaintext", []string{"PlaintextIsTheCallers"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				wrap, err := s.EncryptWithContext(ctx, data, ad)
				clear(data)
				return wrap, err
			}, nil)},
		{"decrypts in place", []string{"PlaintextIsTheCallers"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				plaintext, err := s.DecryptWithContext(ctx, data, ad)
				return data[:copy(data, plaintext)], err
			})},
		{"returns wraps in one buffer", []string{"ResultsAreTheCallers"}, func() rootkey.Root {
			var buffer [2048]byte
			return mutant{sound: newSound(), encrypt: func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				wrap, err := s.EncryptWithContext(ctx, data, ad)
				return buffer[:copy(buffer[:], wrap)], err
			}}
		}},
		{"returns plaintexts out of a cache", []string{"ResultsAreTheCallers"}, func() rootkey.Root {
			cache := make(map[string][]byte)
			return mutant{sound: newSound(), decrypt: func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				name := fmt.Sprintf("%x %x", data, ad)
				if cache[name] == nil {
					plaintext, err := s.DecryptWithContext(ctx, data, ad)
					if err != nil {
						return nil, err
					}
					cache[name] = plaintext
				}
				return cache[name], nil
			}}
		}},
		{"serves one caller at a time", []string{"Concurrent"}, func() rootkey.Root {
			var busy atomic.Int32
			meeting := make(chan struct{}) // makes two callers meet, so that the fault does not depend on the scheduler
			return mutant{sound: newSound(), encrypt: func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				if busy.Add(1) == 2 {
					close(meeting)
					return nil, errors.New("busy")
				}
				<-meeting
				return s.EncryptWithContext(ctx, data, ad)
			}}
		}},
		{"panics under load", []string{"Concurrent"}, func() rootkey.Root {
			var calls atomic.Int32
			return mutant{sound: newSound(), encrypt: func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				if calls.Add(1) == 7 {
					panic("seventh call")
				}
				return s.EncryptWithContext(ctx, data, ad)
			}}
		}},
		{"wraps whatever the context says", []string{"Cancelled"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.EncryptWithContext(context.WithoutCancel(ctx), data, ad)
			}, nil)},
		{"unwraps whatever the context says", []string{"Cancelled"}, both(nil,
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				return s.DecryptWithContext(context.WithoutCancel(ctx), data, ad)
			})},
		{"stays broken after a cancelled call", []string{"Cancelled"}, func() rootkey.Root {
			broken := false
			return mutant{sound: newSound(), encrypt: func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				broken = broken || ctx.Err() != nil
				if broken {
					return nil, context.Canceled
				}
				return s.EncryptWithContext(ctx, data, ad)
			}}
		}},
		{"has a name that is too long", []string{"Names"}, func() rootkey.Root { return rootkey.WithName(strings.Repeat("n", 65), newSound()) }},
		{"has an empty name", []string{"Names"}, func() rootkey.Root { return rootkey.WithName("", newSound()) }},
		{"has a name of two lines", []string{"Names"}, func() rootkey.Root { return rootkey.WithName("a\nb", newSound()) }},
		{"quotes the plaintext in an error", []string{"NothingLeaks"}, both(
			func(s sound, ctx context.Context, data, ad []byte) ([]byte, error) {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("wrapping %x: %w", data, err)
				}
				return s.EncryptWithContext(ctx, data, ad)
			}, nil)},
		{"shows the last plaintext when printed", []string{"NothingLeaks"}, func() rootkey.Root { return &forgetful{sound: newSound()} }},
	} {
		t.Run(m.name, func(t *testing.T) {
			for _, name := range m.caught {
				i := slices.IndexFunc(rules, func(r rule) bool { return r.name == name })
				if i < 0 {
					t.Fatalf("there is no rule %s", name)
				}
				err := rules[i].run(t.Context(), m.open)
				if err == nil {
					t.Errorf("%s does not catch it", name)
				}
				t.Log(err)
			}
		})
	}
}

// TestEveryRuleCatchesSomething keeps a rule that cannot fail from being added.
func TestEveryRuleCatchesSomething(t *testing.T) {
	nothing := func() rootkey.Root { return failing{} }
	for _, r := range rules {
		if r.name == "Names" { // its mutants are above: it calls no method that could fail
			continue
		}
		if r.run(t.Context(), nothing) == nil {
			t.Errorf("%s passes a root that fails every call", r.name)
		}
	}
}

// forgetful keeps the last plaintext where package fmt prints it.
type forgetful struct {
	sound
	last []byte
}

func (f *forgetful) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	f.last = slices.Clone(plaintext)
	return f.sound.EncryptWithContext(ctx, plaintext, associatedData)
}

type failing struct{}

func (failing) EncryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, errors.New("out of order")
}

func (failing) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, errors.New("out of order")
}
