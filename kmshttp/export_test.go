package kmshttp

import "strings"

// Operations are the operations that have a route, and whether the keyring offers them.
func Operations() map[string]bool {
	offered := map[string]bool{}
	for target, r := range routes {
		offered[strings.TrimPrefix(target, targetPrefix)] = r.read != nil
	}
	return offered
}
