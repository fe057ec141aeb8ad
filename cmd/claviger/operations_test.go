package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOperationsPage runs all commands that docs/operations.md shows, in their order, and compares what they print with what it says, but for the ids, of which each
// must stand for one and the same throughout.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "perl", "curl", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatal(err) // scripts/test installs what is missing
		}
	}
	commands, shown := transcript(string(must(os.ReadFile("../../docs/operations.md"))(t)))
	bin := t.TempDir()
	for program, pkg := range map[string]string{"claviger": ".", "quickstart": "../../examples/quickstart"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, program), pkg).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var script strings.Builder
	for _, command := range commands {
		fmt.Fprintf(&script, "%s\nprintf '%s'\n", strings.Replace(command, "go run ./examples/quickstart", "quickstart", 1), mark)
	}
	sh := exec.Command("sh")
	sh.Dir, sh.Stdin = t.TempDir(), strings.NewReader(script.String())
	sh.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := sh.CombinedOutput()
	ok(t, err)
	printed := strings.Split(string(out), mark)
	if len(printed) != len(commands)+1 || len(commands) < 20 {
		t.Fatalf("%d commands printed %d times", len(commands), len(printed)-1)
	}
	is, says := make(map[string]string), make(map[string]string)
	for i, command := range commands {
		got := strings.TrimSuffix(printed[i], "\n")
		if unnamed(got, is) != unnamed(shown[i], says) {
			t.Errorf("%s\nprints, on the page:\n%s\nand now, with other ids:\n%s", command, shown[i], got)
		}
	}
}

// mark is printed between the outputs of two commands.
const mark = "<the next one>"

// transcript returns the commands of a page, and what it shows below each.
func transcript(page string) (commands, shown []string) {
	for i, block := range strings.Split(page, "```") {
		if i%2 == 0 { // text
			continue
		}
		for _, part := range strings.Split(strings.TrimSuffix(block, "\n"), "\n$ ")[1:] {
			command, output, _ := strings.Cut(part, "\n")
			commands, shown = append(commands, command), append(shown, output)
		}
	}
	return commands, shown
}

// ids of keys with the totals that count them, of domain keys, and of rings; and addresses, whose ports differ as they do.
var ids = regexp.MustCompile(`\b127\.0\.0\.1:[1-9][0-9]*\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\btotal/[0-9a-f]{2}\b|\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b`)

// unnamed returns a text with ids numbered in the order in which they were first seen.
func unnamed(text string, seen map[string]string) string {
	return ids.ReplaceAllStringFunc(text, func(id string) string {
		if _, known := seen[id]; !known {
			seen[id] = fmt.Sprintf("id %d", len(seen)+1)
		}
		return seen[id]
	})
}
