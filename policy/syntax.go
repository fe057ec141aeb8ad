package policy

import (
	"fmt"

	"github.com/claviger/kms/internal/strictjson"
)

// A SyntaxError says where and why [Parse] refused a document. It never repeats the document: Path and Message are made of words of the language only.
type SyntaxError struct {
	Line, Column int    // of the offending token, from 1; a column is a character
	Path         string // the element, such as Statement[1].Condition.StringEquals; empty if the text is not JSON or the fault is in the document itself
	Message      string // what is wrong with it
}

// Error reads "line 3, column 14: Statement[1].Effect: must be Allow or Deny".
func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("policy: line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("policy: line %d, column %d: %s: %s", e.Line, e.Column, e.Path, e.Message)
}

// faultAt makes the error for the token at byte offset off of text.
func faultAt(text string, off int, path, message string) *SyntaxError {
	line, column := strictjson.Position(text, off)
	return &SyntaxError{Line: line, Column: column, Path: path, Message: message}
}

// A position is where a token is, for people.
type position struct{ line, column int }

var start = position{1, 1}

// advance moves to the end of the text that begins here.
func (p *position) advance(text string) {
	lines, column := strictjson.Position(text, len(text))
	if lines > 1 {
		p.line, p.column = p.line+lines-1, column
	} else {
		p.column += column - 1
	}
}
