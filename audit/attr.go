package audit

import (
	"log/slog"
	"maps"
	"slices"
)

// maxDepth bounds the nesting of groups: the deepest that KMS records is two.
const maxDepth = 8

// cloneAttrs returns a deep copy in which what an event does not carry is already replaced, so that the copy holds on to nothing foreign.
func cloneAttrs(attrs []slog.Attr) []slog.Attr { return cloneGroup(attrs, maxDepth) }

func cloneGroup(attrs []slog.Attr, depth int) []slog.Attr {
	if attrs == nil {
		return nil
	}
	c := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		c[i] = slog.Attr{Key: a.Key, Value: cloneValue(a.Value, depth)}
	}
	return c
}

func cloneValue(v slog.Value, depth int) slog.Value {
	switch v.Kind() {
	case slog.KindString, slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindTime:
		return v
	case slog.KindGroup:
		if depth > 0 {
			return slog.GroupValue(cloneGroup(v.Group(), depth-1)...)
		}
	case slog.KindAny:
		switch x := v.Any().(type) {
		case nil:
			return v
		case map[string]string:
			return slog.AnyValue(maps.Clone(x))
		case []string:
			return slog.AnyValue(slices.Clone(x))
		}
	}
	return slog.StringValue(unsupported(v))
}

// unsupported stands in place of a value that an event does not carry. It asks nothing of the value: a LogValuer is not resolved, a Stringer not called.
func unsupported(v slog.Value) string { return "[unsupported " + v.Kind().String() + "]" }
