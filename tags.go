package kms

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claviger/kms/audit"
)

// Limits of tags, in characters.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// A Tag is a label of a key. Tags are no secrets.
type Tag struct {
	Key   string // 1 to 128 characters, unique for a key; "aws:" is reserved as a beginning
	Value string // up to 256 characters
}

// tags checks the shape of tags.
func (v *violations) tags(tags []Tag) {
	for i, t := range tags {
		v.tagKey(memberName("tags", i, "tagKey"), t.Key)
		v.length(memberName("tags", i, "tagValue"), utf8.RuneCountInString(t.Value), 0, maxTagValue)
		if !utf8.ValidString(t.Value) {
			v.add(memberName("tags", i, "tagValue"), "", "be valid UTF-8")
		}
	}
}

func (v *violations) tagKey(member, key string) {
	v.length(member, utf8.RuneCountInString(key), 1, maxTagKey)
	if !utf8.ValidString(key) {
		v.add(member, "", "be valid UTF-8")
	}
}

// checkTags refuses tags that are well formed and yet cannot be.
func checkTags(tags []Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if isReservedTag(t.Key) {
			return errReservedTag
		}
		if seen[t.Key] {
			return faultf(ErrTag, "Duplicate tag keys")
		}
		seen[t.Key] = true
	}
	if len(tags) > maxTags {
		return errTooManyTags
	}
	return nil
}

var (
	errReservedTag error = &fault{code: ErrTag, message: "Tags beginning with aws: are reserved"}
	errTooManyTags error = &fault{code: ErrTag, message: "Too many tags"}
)

func isReservedTag(key string) bool {
	const reserved = "aws:"
	return len(key) >= len(reserved) && strings.EqualFold(key[:len(reserved)], reserved)
}

func compareTags(a, b Tag) int { return strings.Compare(a.Key, b.Key) }

// sortedTags returns a copy in the order in which records keep them.
func sortedTags(tags []Tag) []Tag { return slices.SortedFunc(slices.Values(tags), compareTags) }

// tagPairs ranges over tags as names and values.
func tagPairs(tags []Tag) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, t := range tags {
			if !yield(t.Key, t.Value) {
				return
			}
		}
	}
}

// tagKeys are the keys of tags, in their order.
func tagKeys(tags []Tag) []string {
	keys := make([]string, 0, len(tags))
	for key := range tagPairs(tags) {
		keys = append(keys, key)
	}
	return keys
}

// tagTexts is how the audit trail shows tags.
func tagTexts(tags []Tag) map[string]string { return maps.Collect(tagPairs(tags)) }

// tagNames are the tag keys in a request.
func (r *request) tagNames() []string {
	if len(r.tags) == 0 {
		return r.tagKeys
	}
	return tagKeys(r.tags)
}

var opTagResource = operation{
	name: "TagResource", changes: true,
	needs: []need{{action: "kms:TagResource", forms: keyForm, states: inEnabled | inDisabled}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		e.Request = append(e.Request, slog.Any("tags", tagTexts(r.tags)))
	},
}

// TagResource adds tags to a key; a tag whose key is there already gets the new value. A key has up to 50 tags. Bad tags are [ErrTag].
func (c *Client) TagResource(ctx context.Context, ref string, tags ...Tag) error {
	tags = slices.Clone(tags) // what is checked is what is stored
	req := &request{refs: [2]string{ref}, details: &details{tags: tags}}
	var v violations
	v.ref("keyId", ref)
	v.tags(tags)
	if req.invalid = v.err(); req.invalid == nil {
		req.invalid = checkTags(tags)
	}
	return c.changeKey(ctx, &opTagResource, req, func(a admitted, next *keyRecord) (bool, error) {
		for _, t := range a.req.tags {
			if i, found := slices.BinarySearchFunc(next.tags, t, compareTags); found {
				next.tags[i] = t
			} else {
				next.tags = slices.Insert(next.tags, i, t)
			}
		}
		if len(next.tags) > maxTags {
			return false, errTooManyTags
		}
		return !slices.Equal(next.tags, a.keys[0].tags), nil
	})
}

var opUntagResource = operation{
	name: "UntagResource", changes: true,
	needs: []need{{action: "kms:UntagResource", forms: keyForm, states: inEnabled | inDisabled}},
	params: func(r *request, e *audit.Event) {
		keyParam(r, e)
		e.Request = append(e.Request, slog.Any("tagKeys", r.tagKeys))
	},
}

// UntagResource removes the tags with these keys; one that is not there is no error.
func (c *Client) UntagResource(ctx context.Context, ref string, tagKeys ...string) error {
	req := &request{refs: [2]string{ref}, details: &details{tagKeys: slices.Clone(tagKeys)}}
	var v violations
	v.ref("keyId", ref)
	for i, key := range tagKeys {
		v.tagKey(memberName("tagKeys", i, ""), key)
	}
	if req.invalid = v.err(); req.invalid == nil && slices.ContainsFunc(tagKeys, isReservedTag) {
		req.invalid = errReservedTag
	}
	return c.changeKey(ctx, &opUntagResource, req, func(a admitted, next *keyRecord) (bool, error) {
		next.tags = slices.DeleteFunc(next.tags, func(t Tag) bool { return slices.Contains(a.req.tagKeys, t.Key) })
		return len(next.tags) != len(a.keys[0].tags), nil
	})
}

var opListResourceTags = operation{
	name: "ListResourceTags", params: func(r *request, e *audit.Event) { keyParam(r, e); pageParams(r, e) },
	needs: []need{{action: "kms:ListResourceTags", forms: keyForm, states: anyState}},
}

// ListResourceTags lists the tags of a key in the order of their keys.
func (c *Client) ListResourceTags(ctx context.Context, ref string) iter.Seq2[Tag, error] {
	return pages(ctx, func(ctx context.Context, in PageInput) (Page[Tag], error) {
		return c.ListResourceTagsPage(ctx, ref, in)
	})
}

// ListResourceTagsPage returns one page of [Client.ListResourceTags], of up to 50 tags.
func (c *Client) ListResourceTagsPage(ctx context.Context, ref string, in PageInput) (Page[Tag], error) {
	return listInline(ctx, c, &opListResourceTags, refRequest(ref), in, maxTags, maxTags,
		func(a admitted) []string { return tagKeys(a.keys[0].tags) },
		func(_ context.Context, a admitted, name string) (Tag, bool, error) {
			i, found := slices.BinarySearchFunc(a.keys[0].tags, Tag{Key: name}, compareTags)
			return a.keys[0].tags[i], found, nil
		})
}
