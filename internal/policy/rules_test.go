package policy_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	maxLines = 400
	// maxFiles is how many files may hold the methods of one type. A type in more files than that
	// is several types that share their fields.
	maxFiles = 3
)

// rule is one check over all sources. bad breaks it, with the findings want; good does not.
type rule struct {
	name      string
	check     func([]*source) []string
	bad, good map[string]string
	want      []string
}

// Words that the rules look for are put together here, so that this file does not break them.
const (
	unfinished = "TO" + "DO"
	sleep      = "time.Sl" + "eep(1)"
)

var rules = []rule{
	{
		name:  "one package comment",
		check: checkPackageComments,
		bad: map[string]string{
			"a/a.go":      "package a",
			"b/b.go":      "// Package b is.\npackage b",
			"b/doc.go":    "// Package b is.\npackage b",
			"c/c.go":      "// package c is.\npackage c",
			"d/main.go":   "// Package main is.\npackage main",
			"e/e_test.go": "package e_test",
		},
		want: []string{
			"a: 0 package comments, want 1",
			"b: 2 package comments, want 1",
			`c/c.go:2: the package comment must start with "Package c "`,
			`d/main.go:2: the package comment must start with "Command "`,
			"e: 0 package comments, want 1",
		},
		good: map[string]string{
			"a/a.go":      "package a",
			"a/doc.go":    "// Package a is.\npackage a",
			"a/a_test.go": "package a_test",
			"d/main.go":   "// Command d is.\npackage main",
			"e/e_test.go": "// Package e is.\npackage e_test",
		},
	},
	{
		name:  "exported names are documented",
		check: perFile(checkDocs),
		bad: map[string]string{"a/a.go": "package a\nfunc F() {}\ntype T int\nfunc (t *T) M() {}\n" +
			"const C = 1\nvar (\n\t// V is.\n\tV int\n\tW int\n)\ntype G[K any] int\nfunc (G[K]) N() {}"},
		want: []string{
			"a/a.go:2: F has no doc comment",
			"a/a.go:3: T has no doc comment",
			"a/a.go:4: M has no doc comment",
			"a/a.go:5: C has no doc comment",
			"a/a.go:9: W has no doc comment",
			"a/a.go:11: G has no doc comment",
			"a/a.go:12: N has no doc comment",
		},
		good: map[string]string{
			"a/a.go":      "package a\n// F is.\nfunc F() {}\ntype t int\nfunc (t) M() {}\n// Both.\nconst (\n\tA = 1\n\tB = 2\n)",
			"a/a_test.go": "package a\nfunc F() {}",
		},
	},
	{
		name:  "no init functions",
		check: perFile(checkInit),
		bad:   map[string]string{"a/a.go": "package a\n\nfunc init() {}"},
		want:  []string{"a/a.go:3: init function"},
		good:  map[string]string{"a/a.go": "package a\ntype t int\nfunc (t) init() {}"},
	},
	{
		name:  "no package-level registries",
		check: perFile(checkRegistries),
		bad: map[string]string{"a/a.go": "package a\nvar m map[string]int\nvar n = map[string]int{}\n" +
			"var o = make(map[string]int)\nvar p sync.Map"},
		want: []string{
			"a/a.go:2: m can be registered in from anywhere",
			"a/a.go:3: n can be registered in from anywhere",
			"a/a.go:4: o can be registered in from anywhere",
			"a/a.go:5: p can be registered in from anywhere",
		},
		good: map[string]string{"a/a.go": "package a\nvar table = map[string]int{\"a\": 1}\nfunc f() { m := map[string]int{}; _ = m }"},
	},
	{
		name:  "nothing unfinished",
		check: perFile(checkUnfinished),
		bad: map[string]string{
			"README.md": "# A\n\n" + unfinished + ": more",
			"a/a.go":    "package a\n\n// " + unfinished + ": all of it.",
		},
		want: []string{"README.md:3: says " + unfinished, "a/a.go:3: says " + unfinished},
		good: map[string]string{"README.md": "mktemp X" + unfinished + "X; " + strings.ToLower(unfinished)},
	},
	{
		name:  "no sleeping tests",
		check: perFile(checkSleep),
		bad:   map[string]string{"a/a_test.go": "package a\nfunc f() {\n\t" + sleep + "\n}"},
		want:  []string{"a/a_test.go:3: sleeps: control the schedule instead (testing/synctest)"},
		good:  map[string]string{"a/a.go": "package a\nfunc f() { " + sleep + " }"},
	},
	{
		name:  "short files",
		check: perFile(checkLength),
		bad:   map[string]string{"a/a.go": "package a" + strings.Repeat("\n", maxLines+1)},
		want:  []string{"a/a.go: 401 lines, want at most 400: is there a second noun in it?"},
		good: map[string]string{
			"a/a.go":      "package a" + strings.Repeat("\n", maxLines),
			"a/a_test.go": "package a" + strings.Repeat("\n", maxLines+1),
			"README.md":   strings.Repeat("\n", maxLines+1),
		},
	},
	{
		name:  "methods in few files",
		check: checkMethods,
		bad: map[string]string{
			"a/a.go":           "package a\ntype T int\nfunc (T) A() {}",
			"a/b.go":           "package a\nfunc (*T) B() {}",
			"a/c.go":           "package a\nfunc (t *T) C() {}\nfunc (T) D() {}",
			"a/export_test.go": "package a\nfunc (T) E() {}",
			"b/a.go":           "package b\ntype G[K any] int\nfunc (G[K]) A() {}",
			"b/b.go":           "package b\nfunc (*G[K]) B() {}",
			"b/c.go":           "package b\nfunc (*G[_]) C() {}",
			"b/d.go":           "package b\nfunc (G[K]) D() {}",
		},
		want: []string{
			"a: the methods of T stand in 4 files, want at most 3: a.go, b.go, c.go, export_test.go",
			"b: the methods of G stand in 4 files, want at most 3: a.go, b.go, c.go, d.go",
		},
		good: map[string]string{
			"a/a.go":      "package a\ntype T int\nfunc (T) A() {}",
			"a/b.go":      "package a\nfunc (T) B() {}\ntype U int\nfunc (U) A() {}",
			"a/c.go":      "package a\nfunc (T) C() {}\nfunc c(T) {}",
			"a/a_test.go": "package a_test\ntype T int\nfunc (T) A() {}", // another package
			"b/a.go":      "package b\ntype T int\nfunc (T) A() {}",
		},
	},
	{
		name:  "comment width",
		check: perFile(checkCommentWidth),
		bad: map[string]string{
			"a/a.go": "package a\n// " + strings.Repeat("ab ", 32) + "x\n// " + strings.Repeat("ab ", 32) + "xy\n" +
				"func f() {\n\t// " + strings.Repeat("ab ", 30) + "abx\n\t// " + strings.Repeat("ab ", 30) + "abxy\n}\n" +
				"/* short\n" + strings.Repeat("ab ", 33) + "xy */",
			"a/a_test.go": "package a_test\n// nolint is what " + strings.Repeat("ab ", 30),
		},
		want: []string{
			"a/a.go:3: the comment has 101 columns, want at most 100",
			"a/a.go:6: the comment has 101 columns, want at most 100",
			"a/a.go:9: the comment has 104 columns, want at most 100",
			"a/a_test.go:2: the comment has 108 columns, want at most 100",
		},
		good: map[string]string{
			"a/a.go": "package a\n//go:embed" + strings.Repeat(" ab", 40) + "\n//nolint:all //" + strings.Repeat(" ab", 40) + "\n" +
				"var a = 1 // beside code:" + strings.Repeat(" ab", 40) + "\nvar b = `\n// text:" + strings.Repeat(" ab", 40) + "`\n" +
				"// https://example.org/" + strings.Repeat("ab", 50) + "\n//   - https://example.org/" + strings.Repeat("ab", 50) + "\n" +
				"// [a]: https://example.org/" + strings.Repeat("ab", 50) + "\n// " + strings.Repeat("ä", 97),
			"README.md": "// " + strings.Repeat("ab ", 35),
		},
	},
	{
		name:  "prose width",
		check: perFile(checkProseWidth),
		bad: map[string]string{
			"README.md": "# A\n\n" + strings.Repeat("ab ", 40) + "x\n- " + strings.Repeat("ab ", 40) + "\n" +
				"````\n" + strings.Repeat("ab ", 60) + "\n```\n" + strings.Repeat("ab ", 60) + "\n````\n" + strings.Repeat("ab ", 41),
		},
		want: []string{
			"README.md:3: 121 columns, want at most 120",
			"README.md:4: 122 columns, want at most 120",
			"README.md:10: 123 columns, want at most 120",
		},
		good: map[string]string{
			"README.md": strings.Repeat("ab ", 39) + "abc\n| a | " + strings.Repeat("ab ", 60) + "|\n\n" +
				"```go\n" + strings.Repeat("ab ", 60) + "\n```\n\n  ~~~\n" + strings.Repeat("ab ", 60) + "\n  ~~~\n" +
				"- https://example.org/" + strings.Repeat("ab", 60) + "\n[a]: https://example.org/" + strings.Repeat("ab", 60) + "\n" +
				strings.Repeat("ü", 120),
			"a/a.go": "package a\n// " + strings.Repeat("ab ", 60),
		},
	},
	{
		name:  "entry points have examples",
		check: checkExamples,
		bad: map[string]string{
			"module.go":                    "package fxcache",
			"cache/cache.go":               "package cache",
			"cache/example_test.go":        "package cache_test\nfunc Example() {}", // never run: no output
			"strategies/noop/noop.go":      "package noop",
			"strategies/noop/noop_test.go": "package noop_test",
		},
		want: []string{
			".: no Example function with an // Output: comment",
			"cache: no Example function with an // Output: comment",
			"strategies/noop: no Example function with an // Output: comment",
		},
		good: map[string]string{
			"cache/cache.go":          "package cache",
			"cache/example_test.go":   "package cache_test\nfunc Example() {\n\t// Output: 1\n}",
			"cache/drivertest/run.go": "package drivertest",
			"strategies/all.go":       "package strategies",
			"strategies/notes.md":     "no Go here",
			"internal/bench/bench.go": "package bench",
		},
	},
}

// perFile makes a check over all sources from one over each.
func perFile(check func(*source) []string) func([]*source) []string {
	return func(sources []*source) (findings []string) {
		for _, s := range sources {
			findings = append(findings, check(s)...)
		}
		return findings
	}
}

// packages groups the Go sources by folder; the folders are sorted.
func packages(sources []*source) (dirs []string, byDir map[string][]*source) {
	byDir = map[string][]*source{}
	for _, s := range sources {
		if s.syntax != nil {
			byDir[s.dir()] = append(byDir[s.dir()], s)
		}
	}
	return slices.Sorted(maps.Keys(byDir)), byDir
}

func checkPackageComments(sources []*source) (findings []string) {
	dirs, byDir := packages(sources)
	for _, dir := range dirs {
		files := slices.DeleteFunc(slices.Clone(byDir[dir]), (*source).isTest)
		if len(files) == 0 {
			files = byDir[dir] // a package of tests only
		}
		count := 0
		for _, s := range files {
			if s.syntax.Doc == nil {
				continue
			}
			count++
			start := "Package " + strings.TrimSuffix(s.syntax.Name.Name, "_test") + " "
			if s.syntax.Name.Name == "main" {
				start = "Command "
			}
			if !strings.HasPrefix(s.syntax.Doc.Text(), start) {
				findings = append(findings, s.at(s.syntax.Package, "the package comment must start with %q", start))
			}
		}
		if count != 1 {
			findings = append(findings, fmt.Sprintf("%s: %d package comments, want 1", dir, count))
		}
	}
	return findings
}

func checkDocs(s *source) (findings []string) {
	if s.syntax == nil || s.isTest() {
		return nil
	}
	need := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		documented := slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d.Text() != "" })
		if name.IsExported() && !documented {
			findings = append(findings, s.at(name.Pos(), "%s has no doc comment", name.Name))
		}
	}
	for _, decl := range s.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if receiver := receiverName(decl); receiver == nil || receiver.IsExported() {
				need(decl.Name, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					need(spec.Name, decl.Doc, spec.Doc, spec.Comment)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						need(name, decl.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return findings
}

// receiverName is the T of a method on T, *T or T[…]; nil for a function.
func receiverName(decl *ast.FuncDecl) (name *ast.Ident) {
	if decl.Recv == nil {
		return nil
	}
	ast.Inspect(decl.Recv.List[0].Type, func(node ast.Node) bool {
		if ident, ok := node.(*ast.Ident); ok && name == nil {
			name = ident
		}
		return name == nil
	})
	return name
}

func checkInit(s *source) (findings []string) {
	if s.syntax == nil {
		return nil
	}
	for _, decl := range s.syntax.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			findings = append(findings, s.at(f.Pos(), "init function"))
		}
	}
	return findings
}

func checkRegistries(s *source) (findings []string) {
	if s.syntax == nil || s.isTest() {
		return nil
	}
	for _, decl := range s.syntax.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec) // a var declaration holds nothing else
			if slices.ContainsFunc(value.Values, isEmptyMap) || len(value.Values) == 0 && isMapType(value.Type) {
				findings = append(findings, s.at(value.Pos(), "%s can be registered in from anywhere", value.Names[0].Name))
			}
		}
	}
	return findings
}

func isEmptyMap(value ast.Expr) bool {
	switch value := value.(type) {
	case *ast.CompositeLit:
		return len(value.Elts) == 0 && isMapType(value.Type)
	case *ast.CallExpr:
		made, ok := value.Fun.(*ast.Ident)
		return ok && made.Name == "make" && isMapType(value.Args[0])
	}
	return false
}

func isMapType(expr ast.Expr) bool {
	if selector, ok := expr.(*ast.SelectorExpr); ok {
		return isSelector(selector, "sync", "Map")
	}
	_, ok := expr.(*ast.MapType)
	return ok
}

func isSelector(selector *ast.SelectorExpr, pkg, name string) bool {
	ident, ok := selector.X.(*ast.Ident)
	return ok && ident.Name == pkg && selector.Sel.Name == name
}

var unfinishedWords = regexp.MustCompile(`\b(` + unfinished + `|FIX` + `ME|XX` + `X)\b`)

func checkUnfinished(s *source) (findings []string) {
	line := 0
	for text := range strings.Lines(s.text) {
		line++
		if word := unfinishedWords.FindString(text); word != "" {
			findings = append(findings, fmt.Sprintf("%s:%d: says %s", s.path, line, word))
		}
	}
	return findings
}

func checkSleep(s *source) (findings []string) {
	if s.syntax == nil || !s.isTest() {
		return nil
	}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok && isSelector(selector, "time", "Sleep") {
			findings = append(findings, s.at(selector.Pos(), "sleeps: control the schedule instead (testing/synctest)"))
		}
		return true
	})
	return findings
}

func checkLength(s *source) []string {
	if lines := strings.Count(s.text, "\n"); s.syntax != nil && !s.isTest() && lines > maxLines {
		return []string{fmt.Sprintf("%s: %d lines, want at most %d: is there a second noun in it?", s.path, lines, maxLines)}
	}
	return nil
}

// checkMethods counts test files too: methods in export_test.go are methods of the type. Suites of
// tests, and fixtures of black-box tests, are divided by topic and not by type.
func checkMethods(sources []*source) (findings []string) {
	dirs, byDir := packages(sources)
	for _, dir := range dirs {
		if dir == "cache/drivertest" || dir == "sessioncache/sessiontest" {
			continue
		}
		files := map[[2]string][]string{} // by package and type: a folder may hold a package and its _test
		for _, s := range byDir[dir] {
			for _, decl := range s.syntax.Decls {
				method, ok := decl.(*ast.FuncDecl)
				if !ok || method.Recv == nil || strings.HasSuffix(s.syntax.Name.Name, "_test") {
					continue
				}
				of, file := [2]string{s.syntax.Name.Name, receiverName(method).Name}, path.Base(s.path)
				if !slices.Contains(files[of], file) {
					files[of] = append(files[of], file)
				}
			}
		}
		for _, of := range slices.SortedFunc(maps.Keys(files), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			if names := files[of]; len(names) > maxFiles {
				findings = append(findings, fmt.Sprintf("%s: the methods of %s stand in %d files, want at most %d: %s",
					dir, of[1], len(names), maxFiles, strings.Join(names, ", ")))
			}
		}
	}
	return findings
}

// entryPoints are the packages that users import. (The conformance suites show themselves in the
// strategies' own tests.)
var entryPoints = regexp.MustCompile(`^(\.|cache|config|sessioncache|fxtest|strategies/[^/]+)$`)

func checkExamples(sources []*source) (findings []string) {
	dirs, byDir := packages(sources)
	for _, dir := range dirs {
		if !entryPoints.MatchString(dir) {
			continue
		}
		var tests []*ast.File
		for _, s := range byDir[dir] {
			if s.isTest() {
				tests = append(tests, s.syntax)
			}
		}
		runs := func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput }
		if !slices.ContainsFunc(doc.Examples(tests...), runs) {
			findings = append(findings, dir+": no Example function with an // Output: comment")
		}
	}
	return findings
}
