package policy_test

import (
	"fmt"
	"slices"
	"testing"
)

// testsOnly are the modules that only tests of the root module import. They are still in the build
// list of everyone who imports fxcache. docs/decisions.md says why each of them is worth that.
var testsOnly = []string{"go.uber.org/goleak"}

// checkRequirements compares the modules behind the packages of the library with those behind them
// and their tests.
func checkRequirements(library, withTests []pkg) (findings []string) {
	needed := map[string]bool{}
	for _, p := range library {
		if p.Module != nil {
			needed[p.Module.Path] = true
		}
	}
	for _, p := range withTests {
		if p.Module == nil || needed[p.Module.Path] || slices.Contains(testsOnly, p.Module.Path) {
			continue
		}
		needed[p.Module.Path] = true // reported once
		findings = append(findings, fmt.Sprintf("only tests need %s, through %s", p.Module.Path, p.ImportPath))
	}
	return findings
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	for _, finding := range checkRequirements(list(t, ".", "-deps"), list(t, ".", "-deps", "-test")) {
		t.Error(finding)
	}
}

func TestRequirementsBite(t *testing.T) {
	t.Parallel()
	of := func(module, path string) pkg { return pkg{ImportPath: path, Module: &struct{ Path string }{module}} }
	library := []pkg{{ImportPath: "fmt"}, of(module, module), of(fx, fx)}
	withTests := append(slices.Clone(library), of(fx, fx+"/fxtest"), of(testsOnly[0], testsOnly[0]))
	if got := checkRequirements(library, withTests); len(got) > 0 {
		t.Errorf("findings %q, want none", got)
	}
	got := checkRequirements(library, append(withTests, of("modernc.org/sqlite", "modernc.org/sqlite"), of("modernc.org/sqlite", "modernc.org/sqlite/lib")))
	if want := []string{"only tests need modernc.org/sqlite, through modernc.org/sqlite"}; !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}
