package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/internal/mutants"
)

// chosen is the environment variable that tells a program built from a [combined] overlay which
// guard to leave out.
const chosen = "MUTANT_GUARD"

// combined holds many mutants in one overlay, so that a test is compiled and linked once and not
// once for each guard. Each function that holds a guard begins with a question: if the guard is
// chosen, a copy of the function without the guard runs in its place.
//
//	func (b *breaker) allow(now time.Time) bool {
//		if mutant == "breaker-ratio" { return b.allow_breaker_ratio(now) }
//
// A guard outside of a function, or in a script, needs an overlay of its own, and so does one in a
// function that calls recover, which means something else one call deeper.
type combined struct {
	root     string
	edits    map[string][]edit           // by file
	copies   map[string]*strings.Builder // what goes to the end of a file
	packages map[string]string           // folder → name of the package
}

// edit inserts text before an offset of the original file, or replaces as many bytes of it as cut
// says.
type edit struct {
	at, cut int
	text    string
}

func newCombined(root string) *combined {
	return &combined{root, map[string][]edit{}, map[string]*strings.Builder{}, map[string]string{}}
}

// add adds a mutant and reports whether that was possible.
func (c *combined) add(m mutants.Mutant) (bool, error) {
	mutated, err := m.Apply(c.root)
	if err != nil || filepath.Ext(m.File) != ".go" {
		return false, err
	}
	original, err := os.ReadFile(filepath.Join(c.root, m.File))
	if err != nil {
		return false, err
	}
	at := strings.Index(string(original), m.Text)
	name, function, err := functionAt(string(original), at, at+len(m.Text))
	if err != nil || function == nil || callsRecover(function) {
		return false, err
	}
	_, without, err := functionAt(mutated, at, at+len(m.Replacement))
	if err != nil || without == nil {
		return false, err
	}
	suffix := "_" + strings.ReplaceAll(m.Guard, "-", "_")
	call, names := callOf(function, suffix)
	if function.Type.Results == nil {
		call += "; return"
	} else {
		call = "return " + call
	}
	c.edits[m.File] = append(c.edits[m.File], names...)
	c.edits[m.File] = append(c.edits[m.File], edit{offset(function.Body.Lbrace) + 1, 0, fmt.Sprintf(" if mutant == %q { %s }; ", m.Guard, call)})
	if c.copies[m.File] == nil {
		c.copies[m.File] = new(strings.Builder)
	}
	// The compiler speaks of the copy by the name of the guard.
	fmt.Fprintf(c.copies[m.File], "\n//line %s.go:1\n%s%s%s\n", m.Guard,
		mutated[offset(without.Pos()):offset(without.Name.End())], suffix, mutated[offset(without.Name.End()):offset(without.End())])
	c.packages[filepath.Dir(m.File)] = name
	return true, nil
}

// write puts the files into a folder, and returns the path of the overlay.
func (c *combined) write(folder string) (string, error) {
	replace := map[string]string{}
	put := func(file, text string) error {
		path := filepath.Join(folder, fmt.Sprintf("combined-%d.go", len(replace)))
		replace[filepath.Join(c.root, file)] = path
		return os.WriteFile(path, []byte(text), 0o600) //nolint:gosec // in a folder of our own
	}
	for _, file := range slices.Sorted(maps.Keys(c.edits)) {
		original, err := os.ReadFile(filepath.Join(c.root, file)) //nolint:gosec // of the table
		if err != nil {
			return "", err
		}
		if err := put(file, apply(string(original), c.edits[file])+c.copies[file].String()); err != nil {
			return "", err
		}
	}
	for _, in := range slices.Sorted(maps.Keys(c.packages)) {
		text := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar mutant = os.Getenv(%q)\n", c.packages[in], chosen)
		if err := put(filepath.Join(in, "mutant_chosen.go"), text); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	path := filepath.Join(folder, "combined.json")
	return path, errors.Join(err, os.WriteFile(path, list, 0o600))
}

// apply makes the edits. The same edit may be there twice, since two guards may be in one function:
// a name for a parameter is given once.
func apply(text string, edits []edit) string {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.at - b.at })
	edits = slices.Compact(edits)
	var out strings.Builder
	done := 0
	for _, e := range edits {
		out.WriteString(text[done:e.at] + e.text)
		done = e.at + e.cut
	}
	return out.String() + text[done:]
}

// functionAt returns the function that holds all of a range of a file, nil if none does, and the
// name of the package. Positions in it are offsets in the file plus one.
func functionAt(text string, from, to int) (string, *ast.FuncDecl, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return "", nil, err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Body != nil && offset(f.Body.Lbrace) < from && to <= offset(f.Body.Rbrace) {
			return file.Name.Name, f, nil
		}
	}
	return file.Name.Name, nil, nil
}

// offset is where a position is in the only file of its set.
func offset(p token.Pos) int { return int(p) - 1 }

// callsRecover reports whether the function itself calls recover.
func callsRecover(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if _, inner := n.(*ast.FuncLit); inner {
			return false
		}
		if call, ok := n.(*ast.CallExpr); ok {
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "recover" {
				found = true
			}
		}
		return true
	})
	return found
}

// callOf is a call of the copy of a function with the function's own arguments, and the edits that
// give a name to those that have none.
func callOf(f *ast.FuncDecl, suffix string) (string, []edit) {
	var edits []edit
	var arguments []string
	name := func(field *ast.Field) {
		named := func(edit edit) {
			edits, arguments = append(edits, edit), append(arguments, strings.TrimSpace(edit.text))
		}
		if len(field.Names) == 0 {
			named(edit{offset(field.Type.Pos()), 0, fmt.Sprintf("mutant%d ", len(arguments))})
		}
		for _, n := range field.Names {
			if n.Name != "_" {
				arguments = append(arguments, n.Name)
				continue
			}
			named(edit{offset(n.Pos()), 1, fmt.Sprintf("mutant%d", len(arguments))})
		}
		if _, variadic := field.Type.(*ast.Ellipsis); variadic {
			arguments[len(arguments)-1] += "..."
		}
	}
	call := f.Name.Name + suffix
	if f.Recv != nil {
		name(f.Recv.List[0])
		call = arguments[0] + "." + call
	} else {
		arguments = append(arguments, "") // the place of the receiver
	}
	if f.Type.TypeParams != nil {
		var types []string
		for _, field := range f.Type.TypeParams.List {
			for _, n := range field.Names {
				types = append(types, n.Name)
			}
		}
		call += "[" + strings.Join(types, ", ") + "]"
	}
	for _, field := range f.Type.Params.List {
		name(field)
	}
	return call + "(" + strings.Join(arguments[1:], ", ") + ")", edits
}
