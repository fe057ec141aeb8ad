package kms

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"iter"
	"log/slog"
	"strings"

	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/keystore"
)

// A PageInput asks for one page of a list.
type PageInput struct {
	Limit  int    // the most entries; zero for the list's usual number
	Marker string // NextMarker of the page before; empty for the first
}

// A Page is one page of a list. It may hold fewer entries than asked for, or none, and yet not be the last.
type Page[T any] struct {
	Entries    []T
	Truncated  bool   // there is more
	NextMarker string // where it goes on; set exactly when Truncated is
}

const maxMarker = 1024

func pageParams(r *request, e *audit.Event) {
	if r.number != 0 {
		e.Request = append(e.Request, slog.Int("limit", r.number))
	}
}

// pages turns a paged list into an iterator that reads a page when it gets there.
func pages[T any](ctx context.Context, page func(context.Context, PageInput) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var in PageInput
		for {
			p, err := page(ctx, in)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, e := range p.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if !p.Truncated {
				return
			}
			in.Marker = p.NextMarker
		}
	}
}

// A listing is a list that the store keeps under a prefix.
type listing[T any] struct {
	limit, usual int
	prefix       func(admitted) string
	entry        func(context.Context, admitted, keystore.Record) (e T, keep bool, err error)
}

// listPage runs an operation that returns one page of a listing.
func listPage[T any](ctx context.Context, c *Client, op *operation, req *request, in PageInput, l listing[T]) (Page[T], error) {
	in.check(req, l.limit, l.usual)
	return do(ctx, c, op, req, func(ctx context.Context, a admitted) (Page[T], error) {
		core, prefix := a.client.c, l.prefix(a)
		after, err := core.readMarker(op, prefix, in.Marker)
		if err != nil {
			return Page[T]{}, err
		}
		items, err := core.store.List(ctx, prefix, after, a.req.number)
		if err != nil {
			return Page[T]{}, err
		}
		page := Page[T]{Entries: make([]T, 0, len(items))}
		for _, item := range items {
			if !strings.HasPrefix(item.Name, prefix) || item.Name <= after {
				return Page[T]{}, errDamagedItem(item.Name)
			}
			after = item.Name
			e, keep, err := l.entry(ctx, a, item)
			if err != nil {
				return Page[T]{}, err
			}
			if keep {
				page.Entries = append(page.Entries, e)
			}
		}
		if len(items) < a.req.number {
			return page, nil
		}
		more, err := core.store.List(ctx, prefix, after, 1)
		if err == nil && len(more) > 0 {
			page.Truncated, page.NextMarker = true, core.writeMarker(op, prefix, after)
		}
		return page, err
	})
}

// listInline runs an operation that returns one page of a short list that a key's record holds, in ascending order of names.
func listInline[T any](ctx context.Context, c *Client, op *operation, req *request, in PageInput, limit, usual int,
	names func(admitted) []string, entry func(context.Context, admitted, string) (e T, keep bool, err error)) (Page[T], error) {
	in.check(req, limit, usual)
	return do(ctx, c, op, req, func(ctx context.Context, a admitted) (Page[T], error) {
		scope := a.keys[0].arn
		after, err := a.client.c.readMarker(op, scope, in.Marker)
		if err != nil {
			return Page[T]{}, err
		}
		page := Page[T]{Entries: []T{}}
		for _, name := range names(a) {
			switch {
			case name <= after:
				continue
			case len(page.Entries) == a.req.number:
				page.Truncated, page.NextMarker = true, a.client.c.writeMarker(op, scope, after)
				return page, nil
			}
			after = name
			e, keep, err := entry(ctx, a, name)
			if err != nil {
				return Page[T]{}, err
			}
			if keep {
				page.Entries = append(page.Entries, e)
			}
		}
		return page, nil
	})
}

// check adds what is wrong with the input to the request, and completes it.
func (in PageInput) check(req *request, limit, usual int) {
	req.number = in.Limit
	setDefault(&req.number, usual)
	var v violations
	v.between("limit", req.number, 1, limit)
	v.length("marker", len(in.Marker), 0, maxMarker)
	if req.invalid == nil {
		req.invalid = v.err()
	}
}

// markerVersion is the first byte of a marker; its code follows, then the name after which the list goes on.
const (
	markerVersion = 1
	markerMAC     = 16
)

// writeMarker returns a marker that holds for one operation on one scope in this ring, and that nobody else can make.
func (c *core) writeMarker(op *operation, scope, after string) string {
	text := append([]byte{markerVersion}, c.markerCode(op, scope, after)...)
	return base64.RawURLEncoding.EncodeToString(append(text, after...))
}

// readMarker returns the name after which a list goes on.
func (c *core) readMarker(op *operation, scope, marker string) (after string, err error) {
	if marker == "" {
		return "", nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	if err != nil || len(text) < 1+markerMAC || text[0] != markerVersion {
		return "", errMarker
	}
	after = string(text[1+markerMAC:])
	if !hmac.Equal(text[1:1+markerMAC], c.markerCode(op, scope, after)) {
		return "", errMarker
	}
	return after, nil
}

var errMarker error = &fault{code: ErrInvalidMarker, message: "The marker is not one that this list returned."}

func (c *core) markerCode(op *operation, scope, after string) []byte {
	return c.keyedHash("marker", op.name, scope, after)[:markerMAC]
}
