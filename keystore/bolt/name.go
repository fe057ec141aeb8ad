package bolt

import (
	"sort"
	"unicode/utf8"

	"github.com/claviger/kms/keystore"
)

// Between a name and the next one there is no other: names are text of bounded length, so that each but the first has a predecessor. A listing that goes on after
// the predecessor of a record therefore begins with that record, and needs no proof from what stands before it in the file, which may be damaged.

// surrogates are code points that no text has.
const (
	firstSurrogate = 0xD800
	surrogates     = 0x800
)

// successor returns the least name that is greater than name, which is valid or empty; or [lastFence] if there is none.
func successor(name string) string {
	if len(name) < keystore.MaxNameLen {
		return name + "\x01"
	}
	for name != "" {
		last, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
		if last++; last == firstSurrogate {
			last += surrogates
		}
		if last <= utf8.MaxRune && len(name)+utf8.RuneLen(last) <= keystore.MaxNameLen {
			return name + string(last)
		}
	}
	return lastFence
}

// predecessor returns the greatest name that is less than key, which may be any bytes; or "" if there is none.
func predecessor(key string) string {
	var common string // what the predecessor begins with, like key
	rest := key
	for {
		r, n := utf8.DecodeRuneInString(rest)
		if r == 0 || r == utf8.RuneError && n <= 1 || len(common)+n > keystore.MaxNameLen || len(rest) == n {
			break
		}
		common, rest = key[:len(common)+n], rest[n:]
	}
	for next := ""; ; rest = lastFence { // after the first character that is less than in key, the greatest that there are
		if next = lastBelow(rest, keystore.MaxNameLen-len(common)); next == "" {
			return common
		}
		common += next
	}
}

// lastBelow returns the greatest character that takes at most room bytes and is less than the bytes of limit, or "" if there is none.
func lastBelow(limit string, room int) string {
	const characters = utf8.MaxRune - surrogates // numbered from 1, without NUL and surrogates
	character := func(i int) string {
		if i >= firstSurrogate {
			i += surrogates
		}
		return string(rune(i))
	}
	i := sort.Search(characters, func(i int) bool {
		c := character(i + 1)
		return c >= limit || len(c) > room
	})
	if i == 0 {
		return ""
	}
	return character(i)
}
