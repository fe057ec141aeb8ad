// Package testhook lets the module's own test helpers make a keyring predictable. Being internal, it is out of reach of programs.
package testhook

// Hooks replace what is random in a keyring and is no secret.
type Hooks struct {
	KeyID func() [16]byte // the next key id
}
