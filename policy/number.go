package policy

import (
	"cmp"
	"strings"
)

// maxExponent bounds the power of ten that a number may carry, so that positions never overflow.
const maxExponent = 4096

// A number is an exact decimal: sign × 0.d₁d₂d₃… × 10^point, where whole followed by fraction are the digits, without zeros at either end. A float64 would
// call neighbouring values equal, and arbitrary-precision types allocate. Equal numbers have equal digits, however they were written.
type number struct {
	sign            int // -1, 0 or 1; 0 for zero
	point           int
	whole, fraction string
}

// parseNumber reads a decimal number: digits, perhaps with a minus sign, a fraction or an exponent. The result shares the memory of s.
func parseNumber(s string) (number, bool) {
	n := number{sign: 1}
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		n.sign, s = -1, rest
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, ok := parseExponent(s[i+1:])
		if !ok {
			return number{}, false
		}
		n.point, s = e, s[:i]
	}
	whole, fraction, dotted := strings.Cut(s, ".")
	if !allDigits(whole) || dotted && !allDigits(fraction) {
		return number{}, false
	}
	n.whole = strings.TrimLeft(whole, "0")
	n.point += len(n.whole)
	n.fraction = strings.TrimRight(fraction, "0")
	if n.whole == "" {
		digits := strings.TrimLeft(n.fraction, "0")
		n.point -= len(n.fraction) - len(digits)
		n.fraction = digits
	}
	if n.fraction == "" {
		n.whole = strings.TrimRight(n.whole, "0")
	}
	if n.whole == "" && n.fraction == "" {
		return number{}, true
	}
	return n, true
}

func parseExponent(s string) (int, bool) {
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if !allDigits(s) {
		return 0, false
	}
	e := 0
	for i := range len(s) {
		if e = e*10 + int(s[i]-'0'); e > maxExponent {
			return 0, false
		}
	}
	if negative {
		e = -e
	}
	return e, true
}

func (n number) compare(m number) int {
	if n.sign != m.sign || n.sign == 0 {
		return cmp.Compare(n.sign, m.sign)
	}
	if n.point != m.point {
		return n.sign * cmp.Compare(n.point, m.point)
	}
	size := min(n.len(), m.len())
	for i := range size {
		if c := cmp.Compare(n.digit(i), m.digit(i)); c != 0 {
			return n.sign * c
		}
	}
	return n.sign * cmp.Compare(n.len(), m.len()) // no digits end in zero, so the longer are the larger
}

func (n number) len() int { return len(n.whole) + len(n.fraction) }

func (n number) digit(i int) byte {
	if i < len(n.whole) {
		return n.whole[i]
	}
	return n.fraction[i-len(n.whole)]
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
