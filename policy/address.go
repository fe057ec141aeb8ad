package policy

import (
	"net/netip"
	"strings"
)

// parseRange reads a policy's address range: a CIDR block, or a single address. Bits of the address beyond the prefix length are ignored. An IPv4 address in
// IPv6 clothes is refused, since requests are compared undressed and it would never match.
func parseRange(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err == nil && !p.Addr().Is4In6()
	}
	a, ok := parseAddress(s)
	if !ok || strings.Contains(s, ":") && a.Is4() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// parseAddress reads a request's address. It accepts what [netip.ParseAddr] accepts but for zones, and returns an IPv4 address mapped into IPv6 as IPv4. It
// exists because netip allocates an error for every text that is no address, and evaluation must not allocate whatever a request holds.
func parseAddress(s string) (netip.Addr, bool) {
	if !strings.Contains(s, ":") {
		a, ok := parseIPv4(s)
		return netip.AddrFrom4(a), ok
	}
	a, ok := parseIPv6(s)
	return netip.AddrFrom16(a).Unmap(), ok
}

func parseIPv4(s string) (a [4]byte, ok bool) {
	pos := 0
	for i := range a {
		if i > 0 {
			if pos == len(s) || s[pos] != '.' {
				return a, false
			}
			pos++
		}
		start, octet := pos, 0
		for pos < len(s) && pos < start+3 && isDigit(s[pos]) {
			octet = octet*10 + int(s[pos]-'0')
			pos++
		}
		if pos == start || octet > 255 || s[start] == '0' && pos > start+1 {
			return a, false
		}
		a[i] = byte(octet)
	}
	return a, pos == len(s)
}

// parseIPv6 reads groups from the left; gap is where "::" stood, and what follows it moves to the end (RFC 4291 section 2.2).
func parseIPv6(s string) (a [16]byte, ok bool) {
	n, gap := 0, -1
	if rest, leading := strings.CutPrefix(s, "::"); leading {
		gap, s = 0, rest
	}
	for s != "" {
		part, rest, more := strings.Cut(s, ":")
		if !more && strings.Contains(part, ".") && n <= 12 {
			v4, valid := parseIPv4(part)
			if !valid {
				return a, false
			}
			n += copy(a[n:], v4[:])
			break
		}
		group, valid := parseGroup(part)
		if !valid || n == len(a) || more && rest == "" {
			return a, false
		}
		a[n], a[n+1] = byte(group>>8), byte(group)
		n += 2
		if tail, double := strings.CutPrefix(rest, ":"); double {
			if gap >= 0 {
				return a, false
			}
			gap, rest = n, tail
		}
		s = rest
	}
	if gap < 0 || n == len(a) {
		return a, gap < 0 && n == len(a)
	}
	moved := n - gap
	copy(a[len(a)-moved:], a[gap:n])
	clear(a[gap : len(a)-moved])
	return a, true
}

func parseGroup(s string) (group int, ok bool) {
	if s == "" || len(s) > 4 {
		return 0, false
	}
	for i := range len(s) {
		d := hexDigit(s[i])
		if d < 0 {
			return 0, false
		}
		group = group<<4 | d
	}
	return group, true
}

func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
