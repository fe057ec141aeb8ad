package kms

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claviger/kms/policy"
)

// TestLintKnowsTheWordsOfOperations: no action that an operation needs and no condition key that one supplies is unknown to policy.Lint.
func TestLintKnowsTheWordsOfOperations(t *testing.T) {
	unknown := func(statement string) bool {
		text := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Resource": "*", %s}}`, statement)
		return slices.ContainsFunc(policy.Lint(text, policy.IdentityPolicy), func(f policy.Finding) bool {
			return f.Severity == policy.Error || strings.HasPrefix(f.Message, "unknown")
		})
	}
	if !unknown(`"Action": "kms:Forget"`) || !unknown(`"Action": "*", "Condition": {"StringEquals": {"kms:Forgotten": "x"}}`) {
		t.Fatal("nothing is unknown")
	}
	for name := range conditionKeys {
		key := func(key string) string {
			return `"Action": "*", "Condition": {"ForAnyValue:StringEquals": {"` + key + `": "x"}}`
		}
		if unknown(key(name)) && unknown(key(name+"/x")) {
			t.Errorf("condition key %s", name)
		}
	}
	actions := map[string]bool{}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	action := regexp.MustCompile(`^kms:[A-Z]\w+$`)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil && action.MatchString(text) && conditionKeys[strings.ToLower(text)] == nil {
					actions[text] = true
				}
			}
			return true
		})
	}
	for name := range actions {
		if unknown(`"Action": "` + name + `"`) {
			t.Errorf("action %s", name)
		}
	}
	if len(actions) < 30 {
		t.Errorf("%d actions are found in the sources: %v", len(actions), actions)
	}
}
