// Package policy holds the rules of this repository that no compiler and no linter checks, as
// tests: which layer may reach which (imports_test.go), what users have to require
// (requirements_test.go), how sources look (rules_test.go) and how wide they are (width_test.go).
// It holds no other code. Each rule comes with a fixture that breaks it. A rule that no longer
// finds anything in its fixture fails.
package policy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// source is one Go or Markdown file.
type source struct {
	path   string // from the repository's root, with slashes
	text   string
	fset   *token.FileSet
	syntax *ast.File // nil for Markdown
}

func (s *source) dir() string  { return path.Dir(s.path) }
func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at formats a finding about the node at pos.
func (s *source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// parse makes sources from texts by path, in the order of the paths.
func parse(t *testing.T, texts map[string]string) []*source {
	t.Helper()
	fset := token.NewFileSet()
	var sources []*source
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		s := &source{path: name, text: texts[name], fset: fset}
		if strings.HasSuffix(name, ".go") {
			syntax, err := parser.ParseFile(fset, name, s.text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			s.syntax = syntax
		}
		sources = append(sources, s)
	}
	return sources
}

// walk calls visit for every file of the repository, nested modules included.
func walk(visit func(name string) error) error {
	return fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case !entry.IsDir():
			return visit(name)
		case name != "." && (strings.HasPrefix(base, ".") || base == "testdata"):
			return fs.SkipDir
		}
		return nil
	})
}

// repository reads every Go and Markdown file.
func repository(t *testing.T) []*source {
	t.Helper()
	texts := map[string]string{}
	err := walk(func(name string) error {
		if !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		texts[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 5 {
		t.Fatalf("found only %d files: is %s the repository's root?", len(texts), root)
	}
	return parse(t, texts)
}

func TestSources(t *testing.T) {
	t.Parallel()
	sources := repository(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			for _, finding := range rule.check(sources) {
				t.Error(finding)
			}
		})
	}
}

func TestRulesBite(t *testing.T) {
	t.Parallel()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			if len(rule.want) == 0 {
				t.Fatal("the rule has no fixture that breaks it")
			}
			if got := rule.check(parse(t, rule.bad)); !slices.Equal(got, rule.want) {
				t.Errorf("bad fixture: got %q, want %q", got, rule.want)
			}
			if got := rule.check(parse(t, rule.good)); len(got) > 0 {
				t.Errorf("good fixture: got %q, want nothing", got)
			}
		})
	}
}
