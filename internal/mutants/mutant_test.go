package mutants_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/mutants"
)

const root = "../.."

// Every mutant is up to date: its text occurs once, and at least one test is named that should
// notice.
func TestTable(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, m := range mutants.All() {
		if seen[m.Guard] || !name.MatchString(m.Guard) {
			t.Errorf("%q: a guard has a name of its own, in lower case", m.Guard)
		}
		seen[m.Guard] = true
		if m.What == "" || m.Text == m.Replacement {
			t.Errorf("%s: it says what the guard does, and takes it out", m.Guard)
		}
		if _, err := m.Apply(root); err != nil {
			t.Error(err)
		}
		if len(m.By) == 0 {
			t.Errorf("%s: nobody is to notice", m.Guard)
		}
		for _, s := range m.By {
			if !declares(t, s) {
				t.Errorf("%s: no test in %s matches %s", m.Guard, s.Folder, s.Run)
			}
		}
	}
}

// declares reports whether the folder has a test that a search names.
func declares(t *testing.T, s mutants.Search) bool {
	t.Helper()
	first, _, _ := strings.Cut(s.Run, "/")
	run, err := regexp.Compile(first)
	if err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(root, s.Folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			if run.MatchString(match[1]) {
				return true
			}
		}
	}
	return false
}

// A mutant that is out of date is refused.
func TestOutOfDate(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mutants.Mutant{
		"gone":    {Guard: "gone", File: "doc.go", Text: "no such text", Replacement: ""},
		"twice":   {Guard: "twice", File: "doc.go", Text: "e", Replacement: ""},
		"no file": {Guard: "no-file", File: "nowhere.go", Text: "e", Replacement: ""},
	} {
		if text, err := m.Apply(root); err == nil {
			t.Errorf("%s: applied: %d bytes", name, len(text))
		}
	}
}
