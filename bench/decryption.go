package main

import "context"

// decryptContests are like [encryptContests]. The salt of our ciphertexts was seen before, as it was for all but one in many of those that one process made.
func decryptContests(r *ring, p *peers) ([]*contest, error) {
	var fresh, appending []*contest
	for _, m := range messages(r) {
		ours, err := r.Encrypt(context.Background(), m.ref, m.plaintext, m.context)
		if err != nil {
			return nil, err
		}
		tink, err := p.tink.Encrypt(m.plaintext, m.bound)
		if err != nil {
			return nil, err
		}
		raw := p.raw.Seal(nil, nil, m.plaintext, m.bound)
		limit := m.limits(3.5)
		fresh = append(fresh, &contest{
			name: "Decrypt " + m.name,
			ours: &way{name: nameOurs, check: m.is, op: func() ([]byte, error) {
				out, err := r.Decrypt(context.Background(), ours.Ciphertext, m.context)
				return out.Plaintext, err
			}},
			others: []*way{
				{name: nameRaw, limit: limit.raw, check: m.is, op: func() ([]byte, error) { return p.raw.Open(nil, nil, raw, m.bound) }},
				{name: nameTink, limit: limit.tink, check: m.is, op: func() ([]byte, error) { return p.tink.Decrypt(tink, m.bound) }},
			},
			allocs: 2,
		})
		ourBuffer, rawBuffer := make([]byte, 0, room), make([]byte, 0, room)
		appending = append(appending, &contest{
			name: "AppendDecrypt " + m.name,
			ours: &way{name: nameOurs, check: m.is, op: func() ([]byte, error) {
				out, err := r.AppendDecrypt(context.Background(), ourBuffer, ours.Ciphertext, m.context)
				return out.Plaintext, err
			}},
			others: []*way{{name: nameRaw, limit: noLimit, check: m.is, op: func() ([]byte, error) { return p.raw.Open(rawBuffer, nil, raw, m.bound) }}},
		})
	}
	return append(fresh, appending...), nil
}
