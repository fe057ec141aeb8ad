package kms_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestDocsNameWhatExists: the tests that the pages name as the proof of something are there, wherever in the repository.
func TestDocsNameWhatExists(t *testing.T) {
	definition, mention := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w+)\(`), regexp.MustCompile(`\b(?:Test|Fuzz|Example)[A-Z]\w+`)
	defined, pages := map[string]bool{}, []string{"README.md", "CHANGELOG.md"}
	tree := os.DirFS(".")
	check(t, fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case path.Dir(name) == "docs" && path.Ext(name) == ".md":
			pages = append(pages, name)
		case strings.HasSuffix(name, "_test.go"):
			for _, m := range definition.FindAllSubmatch(must(fs.ReadFile(tree, name))(t), -1) {
				defined[string(m[1])] = true
			}
		}
		return nil
	}))
	mentioned := 0
	for _, page := range pages {
		for _, name := range mention.FindAllString(string(must(fs.ReadFile(tree, page))(t)), -1) {
			mentioned++
			if !defined[name] {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
	}
	if mentioned == 0 {
		t.Error("no page names a test")
	}
}
