package sigv4

import "testing"

func BenchmarkVerify(b *testing.B) {
	r, body := signedRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Verify(r, body, secret, "kms", now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKey is the part of it that a cache of signing keys would save.
func BenchmarkKey(b *testing.B) {
	r, _ := signedRequest(b)
	s, err := Parse(r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.key(secret)
	}
}
