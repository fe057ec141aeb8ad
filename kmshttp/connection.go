package kmshttp

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// source is where a request came from, and whether it was encrypted on its way: by the connection, or by what trusted proxies say of theirs. A connection that has no IP
// address, as one of a Unix socket, has no source.
func (h *Handler) source(r *http.Request) (from netip.Addr, secure bool, err error) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from = at.Addr().Unmap()
	}
	secure = r.TLS != nil
	if !h.isProxy(from) {
		return from, secure, nil
	}
	// A proxy appends whom it heard to what it was told: the last address that is not a proxy's is the client's, and what stands before is its own word.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		if hop == "" && len(hops) == 1 { // the proxy speaks for itself
			break
		}
		addr, err := netip.ParseAddr(hop)
		if err != nil { // an address that a policy would refuse must not go unseen
			return netip.Addr{}, false, errMalformedHTTP
		}
		if from = addr.Unmap(); !h.isProxy(from) {
			break
		}
	}
	forwarded := len(hops) > 1 || strings.TrimSpace(hops[0]) != ""
	if protocols := r.Header.Values("X-Forwarded-Proto"); forwarded || len(protocols) > 0 { // of the client's own connection nothing else tells
		secure = len(protocols) == 1 && strings.EqualFold(protocols[0], "https")
	}
	return from, secure, nil
}

func (h *Handler) isProxy(from netip.Addr) bool {
	return slices.ContainsFunc(h.proxies, func(p netip.Prefix) bool { return p.Contains(from) })
}
