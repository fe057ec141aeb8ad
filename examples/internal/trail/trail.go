// Package trail prints the audit trail of an example.
package trail

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/claviger/kms/audit"
)

// Print writes each event in one line: when, who, what, with which key, and how it ended. The event itself says much more; see [audit.JSON] and [audit.Slog].
func Print(w io.Writer, events []*audit.Event) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range events {
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", e.Time.Format("15:04:05.000"), caller(e), e.Name, key(e), cmp.Or(e.ErrorCode, "ok"))
	}
	return table.Flush()
}

// caller names who asked, with the account if it is another than the key's, and the service that asked for somebody.
func caller(e *audit.Event) string {
	id := &e.Identity
	who := lastOf(cmp.Or(id.SessionRole, id.ARN), ":")
	if id.AccountID != "" && id.AccountID != e.Account {
		who = id.AccountID + ":" + who
	}
	switch {
	case who == "": // a service on its own
		return id.InvokedBy
	case id.InvokedBy != "":
		return who + " via " + id.InvokedBy
	default:
		return who
	}
}

// key names a key, or an alias, as the caller did, or else the key by its id.
func key(e *audit.Event) string {
	for _, a := range e.Request {
		if a.Key == "keyId" || a.Key == "aliasName" {
			return strings.TrimPrefix(lastOf(a.Value.String(), ":"), "key/")
		}
	}
	if len(e.Resources) == 0 {
		return "-"
	}
	return lastOf(e.Resources[0].ARN, "/")
}

// lastOf returns what follows the last separator.
func lastOf(s, separator string) string { return s[strings.LastIndex(s, separator)+1:] }
