package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/claviger/kms/audit"
)

// trailLine writes an event in one line: when, who, what, with which key, and how it ended. The event itself says much more; see audit.JSON and audit.Slog.
func trailLine(e *audit.Event) string {
	who := lastOf(cmp.Or(e.Identity.SessionRole, e.Identity.ARN), ":")
	return fmt.Sprintf("%s  %-14s %-18s %-37s %s", e.Time.Format("15:04:05.000"), who, e.Name, keyOf(e), cmp.Or(e.ErrorCode, "ok"))
}

// keyOf names a key, or an alias, as the caller did, or else the key by its id.
func keyOf(e *audit.Event) string {
	for _, a := range e.Request {
		if a.Key == "keyId" || a.Key == "aliasName" {
			return a.Value.String()
		}
	}
	if len(e.Resources) == 0 {
		return "-"
	}
	return lastOf(e.Resources[0].ARN, "/")
}

// lastOf returns what follows the last separator.
func lastOf(s, separator string) string { return s[strings.LastIndex(s, separator)+1:] }
