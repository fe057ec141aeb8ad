package policy

import (
	"cmp"
	"strings"
	"time"
)

// An instant is a point in time: whole seconds since 1970 in UTC, and the digits of the fraction of a second, without zeros at the end.
type instant struct {
	second   int64
	fraction string
}

func (t instant) compare(u instant) int {
	return cmp.Or(cmp.Compare(t.second, u.second), cmp.Compare(t.fraction, u.fraction))
}

// parseInstant reads a date of the W3C profile of ISO 8601 (2026, 2026-01, 2026-01-31, 2026-01-31T10:00Z, with seconds, a fraction, or an offset such as
// +02:00) or whole seconds since 1970. Four digits are a year. A time of day needs its offset: without one it is no instant. The result shares the memory
// of s.
func parseInstant(s string) (instant, bool) {
	if digits, negative := strings.CutPrefix(s, "-"); allDigits(digits) && (negative || len(digits) != 4) {
		return parseEpoch(digits, negative)
	}
	f := fields{rest: s, ok: true}
	year := f.digits("", 4, 0, 9999)
	month, day := 1, 1
	if f.rest != "" {
		month = f.digits("-", 2, 1, 12)
	}
	if f.rest != "" {
		day = f.digits("-", 2, 1, daysIn(year, month))
	}
	if f.rest == "" {
		return instant{second: time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix()}, f.ok
	}
	hour := f.digits("T", 2, 0, 23)
	minute := f.digits(":", 2, 0, 59)
	second, fraction := 0, ""
	if strings.HasPrefix(f.rest, ":") {
		second = f.digits(":", 2, 0, 59)
		fraction = f.fraction()
	}
	offset := f.offset()
	if !f.ok || f.rest != "" {
		return instant{}, false
	}
	return instant{second: time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix() - offset, fraction: fraction}, true
}

// parseEpoch reads digits as seconds. Fifteen digits are thirty million years and cannot overflow.
func parseEpoch(digits string, negative bool) (instant, bool) {
	if len(digits) > 15 {
		return instant{}, false
	}
	var second int64
	for i := range len(digits) {
		second = second*10 + int64(digits[i]-'0')
	}
	if negative {
		second = -second
	}
	return instant{second: second}, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// fields takes a date apart from the left. After the first thing that does not fit, ok is false and stays so.
type fields struct {
	rest string
	ok   bool
}

// digits takes the prefix and exactly n digits of a value from low to high.
func (f *fields) digits(prefix string, n, low, high int) int {
	rest, found := strings.CutPrefix(f.rest, prefix)
	if !found || len(rest) < n || !allDigits(rest[:n]) {
		f.ok = false
		return low
	}
	f.rest = rest[n:]
	value := 0
	for i := range n {
		value = value*10 + int(rest[i]-'0')
	}
	if value < low || value > high {
		f.ok = false
		return low
	}
	return value
}

// fraction takes a point and digits, if there are any.
func (f *fields) fraction() string {
	rest, found := strings.CutPrefix(f.rest, ".")
	if !found {
		return ""
	}
	n := 0
	for n < len(rest) && isDigit(rest[n]) {
		n++
	}
	f.ok = f.ok && n > 0
	f.rest = rest[n:]
	return strings.TrimRight(rest[:n], "0")
}

// offset takes Z, +hh:mm or -hh:mm and returns seconds east of UTC.
func (f *fields) offset() int64 {
	if rest, utc := strings.CutPrefix(f.rest, "Z"); utc {
		f.rest = rest
		return 0
	}
	sign := int64(1)
	prefix := "+"
	if strings.HasPrefix(f.rest, "-") {
		sign, prefix = -1, "-"
	}
	hours := f.digits(prefix, 2, 0, 23)
	minutes := f.digits(":", 2, 0, 59)
	return sign * int64(hours*3600+minutes*60)
}
