package kms

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/claviger/kms/internal/record"
	"github.com/claviger/kms/keystore"
)

// A Problem is something that is wrong with what the store holds. [Keyring.Check] lists them. [Open] returns one as an error if the ring's own record, that of its
// domain key or the ledger is damaged, missing or rolled back, and it may be the cause of the errors of everything else.
type Problem struct {
	Record string // the record's name, as the store has it: it may hold anything; empty if it is not known
	What   string // what is wrong, in words that are safe to print and to log
	Err    error  // the cause, for errors.Is and errors.As; never part of the text
}

// Error writes "key/1234abcd-...: damaged, moved or forged", in one line of printable characters, whatever the store calls its record.
func (p *Problem) Error() string {
	if p.Record == "" {
		return p.What
	}
	return oneLine(p.Record) + ": " + p.What
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// oneLine quotes a text that would move a cursor, or end a line early.
func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// errDisagree is the cause of what one record alone does not show.
var errDisagree = errors.New("kms: records do not agree")

// broken returns the problem of a record that does not agree with another one. Whoever reports it says which record.
func broken(format string, args ...any) error {
	return &Problem{What: fmt.Sprintf(format, args...), Err: errDisagree}
}

// errShut returns the problem of a domain key's record that a root does not open, which it says in its own words.
func errShut(err error) error {
	return &Problem{What: "its wrap does not open: " + oneLine(err.Error()), Err: err}
}

func errDamagedItem(item string) error { return problem(item, record.ErrDamaged) }

func errRolledBack(item string) error { return problem(item, ErrRolledBack) }

const (
	unreadable = "the store cannot read it"
	unopened   = "sealed under a domain key that is missing or does not open"
)

// A cause is what makes a record unreadable, and how a Problem says it.
type cause struct {
	err  error
	what string
}

var causes = []cause{
	{record.ErrDamaged, "damaged, moved or forged"},
	{record.ErrUnknownDomain, unopened},
	{errUnopened, unopened},
	{keystore.ErrDamaged, unreadable},
	{errBody, "holds what this version does not understand"},
	{ErrRolledBack, "gone back behind what the keyring acknowledged"},
}

// problem returns an error that was met with a record as a Problem of it, if the error says that something stored is not what it should be, and as it is if it says
// something else: that the store is out of reach, for instance.
func problem(item string, err error) error {
	if p, ok := errors.AsType[*Problem](err); ok {
		switch p.Record {
		case item:
			return p
		case "":
			return &Problem{item, p.What, p.Err}
		default:
			return &Problem{item, p.Error(), err}
		}
	}
	if damage, ok := errors.AsType[*keystore.DamageError](err); ok && damage.Name != item {
		lost := &Problem{damage.Name, unreadable, err}
		if damage.Name == "" {
			lost.What = "the store cannot read a part of itself: " + oneLine(err.Error())
		}
		if item == "" {
			return lost
		}
		return problem(item, lost)
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return &Problem{item, c.what, err}
		}
	}
	return err
}

// isDamage reports whether an error says that something stored cannot be read, or is older than it must be, rather than that the store or a root is out of reach.
func isDamage(err error) bool {
	return !errors.Is(err, errUnopened) && slices.ContainsFunc(causes, func(c cause) bool { return errors.Is(err, c.err) })
}
