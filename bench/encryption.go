package main

import "context"

// room is more than any ciphertext of a contest has.
const room = 8192

// encryptContests are with fresh outputs, and with a buffer for the output that is used again and again.
func encryptContests(r *ring, p *peers) ([]*contest, error) {
	var fresh, appending []*contest
	for _, m := range messages(r) {
		ours := m.opensWith(func(ciphertext []byte) ([]byte, error) {
			out, err := r.Decrypt(context.Background(), ciphertext, m.context)
			return out.Plaintext, err
		})
		raw := m.opensWith(func(ciphertext []byte) ([]byte, error) { return p.raw.Open(nil, nil, ciphertext, m.bound) })
		tink := m.opensWith(func(ciphertext []byte) ([]byte, error) { return p.tink.Decrypt(ciphertext, m.bound) })
		limit := m.limits(2.5)
		fresh = append(fresh, &contest{
			name: "Encrypt " + m.name,
			ours: &way{name: nameOurs, check: ours, op: func() ([]byte, error) {
				out, err := r.Encrypt(context.Background(), m.ref, m.plaintext, m.context)
				return out.Ciphertext, err
			}},
			others: []*way{
				{name: nameRaw, limit: limit.raw, check: raw, op: func() ([]byte, error) { return p.raw.Seal(nil, nil, m.plaintext, m.bound), nil }},
				{name: nameTink, limit: limit.tink, check: tink, op: func() ([]byte, error) { return p.tink.Encrypt(m.plaintext, m.bound) }},
			},
			allocs: 1, // the output
		})
		ourBuffer, rawBuffer := make([]byte, 0, room), make([]byte, 0, room)
		appending = append(appending, &contest{
			name: "AppendEncrypt " + m.name,
			ours: &way{name: nameOurs, check: ours, op: func() ([]byte, error) {
				out, err := r.AppendEncrypt(context.Background(), ourBuffer, m.ref, m.plaintext, m.context)
				return out.Ciphertext, err
			}},
			others: []*way{{name: nameRaw, limit: noLimit, check: raw, op: func() ([]byte, error) { return p.raw.Seal(rawBuffer, nil, m.plaintext, m.bound), nil }}},
		})
	}
	return append(fresh, appending...), nil
}
