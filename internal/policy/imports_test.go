package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fxcache/fxcache"

const (
	fx       = "go.uber.org/fx"
	koanf    = "github.com/knadh/koanf"
	bigcache = "github.com/allegro/bigcache"
	rueidis  = "github.com/redis/rueidis"
)

// pkg is what `go list` says about one package. Deps is the transitive closure of Imports. The
// imports of its tests are in neither.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Module     *struct{ Path string } // nil for the standard library
}

// layer says what the packages of one folder may reach, themselves included.
type layer struct {
	ours  []string // folders of this module; "." is the root package alone
	never []string // packages of others, and everything below them
}

// directImports lists, for the small packages that make up the cache, all packages of this module
// that each may import itself. What it may reach through them follows from the list.
var directImports = map[string][]string{
	"cache/driver":              {"internal/absent"},
	"cache/internal/breaker":    {"cache/driver", "cache/internal/failure"},
	"cache/internal/entry":      {"cache/driver", "cache/internal/shape", "internal/panics"},
	"cache/internal/failure":    {"cache/driver"},
	"cache/internal/flight":     {"cache/internal/memo", "cache/internal/task", "internal/chain", "internal/panics"},
	"cache/internal/memo":       {"internal/chain", "internal/panics"},
	"cache/internal/shape":      {},
	"cache/internal/revocation": {"cache/driver", "internal/backoff", "internal/panics"},
	"cache/internal/task":       nil,
	"cache/refreshing":          {"cache/driver", "cache/internal/memo", "internal/absent", "internal/chain", "internal/panics"},
	"cache/requestscope":        {"cache/internal/memo"},
	"internal/absent":           nil,
	"internal/backoff":          nil,
	"internal/chain":            nil,
	"internal/fence":            nil,
	"internal/filewatch":        nil,
	"internal/nearest":          nil,
	"internal/panics":           {"cache/driver"},
	"internal/throttle":         nil,
}

// reachable returns dir and every folder that it reaches through directImports.
func reachable(dir string) []string {
	dirs := []string{dir}
	for i := 0; i < len(dirs); i++ {
		for _, next := range directImports[dirs[i]] {
			if !slices.Contains(dirs, next) {
				dirs = append(dirs, next)
			}
		}
	}
	return dirs
}

// layerOf is the table in CONTRIBUTING.md, section "Layers". A package without a layer is a
// finding, so a new folder below cache/internal needs a line in directImports.
func layerOf(dir string) (l layer, ok bool) {
	storages := []string{bigcache, rueidis}
	leaves := []string{"internal/absent", "internal/backoff", "internal/chain", "internal/fence", "internal/panics", "internal/throttle"}
	driver := []string{"cache/driver", "internal/absent", "internal/backoff", "internal/fence", "internal/panics"} // all that a strategy may know
	library := append(slices.Clone(leaves), "internal/nearest", "config", "cache", "sessioncache", "strategies")
	with := func(folders []string, more ...string) []string { return append(slices.Clone(folders), more...) }
	if _, small := directImports[dir]; small {
		return layer{reachable(dir), append(storages, fx, koanf, "testing")}, true
	}
	switch {
	case under(dir, "cache/internal"), under(dir, "cache/driver"):
		return layer{}, false
	case under(dir, "config"):
		l = layer{[]string{"config", "internal/nearest"}, append(storages, fx, "testing")}
	case under(dir, "cache/drivertest"):
		l = layer{with(leaves, "cache"), append(storages, fx, koanf)}
	case under(dir, "cache"):
		l = layer{with(leaves, "cache"), append(storages, fx, koanf, "testing")}
	case under(dir, "sessioncache/sessiontest"):
		l = layer{with(leaves, "cache", "sessioncache"), append(storages, fx, koanf)}
	case under(dir, "sessioncache"):
		l = layer{with(leaves, "cache", "sessioncache"), append(storages, fx, koanf, "testing")}
	case under(dir, "strategies/tiered"):
		l = layer{with(driver, "strategies/tiered", "strategies/bigcache", "strategies/redis"), []string{fx, koanf, "testing"}}
	case dir == "strategies":
		l = layer{with(driver, "strategies"), []string{fx, koanf, "testing"}}
	case under(dir, "strategies"):
		name, _, _ := strings.Cut(strings.TrimPrefix(dir, "strategies/"), "/")
		l = layer{with(driver, "strategies/"+name), []string{fx, koanf, "testing"}}
	case dir == ".":
		l = layer{with(library, ".", "internal/filewatch"), []string{"testing"}}
	case under(dir, "app"):
		l = layer{with(library, ".", "app", "internal/filewatch"), []string{"testing"}}
	case under(dir, "fxtest"):
		l = layer{with(library, ".", "fxtest", "internal"), nil}
	case under(dir, "internal"):
		l = layer{with(library, "internal"), []string{fx}}
	default:
		return layer{}, false
	}
	return l, true
}

// under reports whether path is folder or lies below it.
func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// dirOf is the folder of a package of this module.
func dirOf(importPath string) (dir string, ours bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func checkLayers(pkgs []pkg) (findings []string) {
	for _, p := range pkgs {
		dir, _ := dirOf(p.ImportPath)
		allowed, ok := layerOf(dir)
		if !ok {
			findings = append(findings, dir+" has no layer: give it one in layerOf")
			continue
		}
		for _, dep := range p.Deps {
			depDir, ours := dirOf(dep)
			reaches := func(folder string) bool { return under(depDir, folder) }
			if ours && !slices.ContainsFunc(allowed.ours, reaches) || !ours && slices.ContainsFunc(allowed.never, reaches) {
				findings = append(findings, fmt.Sprintf("%s must not reach %s (go mod why shows the way)", dir, depDir))
			}
		}
		direct, small := directImports[dir]
		for _, imported := range p.Imports {
			if importedDir, ours := dirOf(imported); small && ours && !slices.Contains(direct, importedDir) {
				findings = append(findings, fmt.Sprintf("%s must not import %s itself", dir, importedDir))
			}
		}
	}
	return findings
}

func TestLayers(t *testing.T) {
	t.Parallel()
	var pkgs []pkg
	for _, dir := range modules(t) {
		pkgs = append(pkgs, list(t, dir)...)
	}
	for _, known := range slices.Concat([]string{"cache", "app", "internal/checker"}, slices.Sorted(maps.Keys(directImports))) {
		shown := func(p pkg) bool { return p.ImportPath == module+"/"+known && len(p.Imports) > 0 && len(p.Deps) > 0 }
		if !slices.ContainsFunc(pkgs, shown) {
			t.Errorf("go list does not show %s and its dependencies", known)
		}
	}
	for _, finding := range checkLayers(pkgs) {
		t.Error(finding)
	}
}

// modules returns the folders of the modules in the repository.
func modules(t *testing.T) (dirs []string) {
	t.Helper()
	err := walk(func(name string) error {
		if path.Base(name) == "go.mod" {
			dirs = append(dirs, path.Dir(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// list returns the packages of the module in a folder, and those that flags of go list add to them.
func list(t *testing.T, dir string, flags ...string) (pkgs []pkg) {
	t.Helper()
	args := slices.Concat([]string{"list", "-json=ImportPath,Imports,Deps,Module"}, flags, []string{"./..."})
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = filepath.Join(root, filepath.FromSlash(dir))
	command.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v\n%s", dir, err, &stderr)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestLayersBite(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to string // "./" starts a folder of this module
		allowed  bool
	}{
		{from: "./cache", to: fx},
		{from: "./cache", to: bigcache + "/v3/queue"},
		{from: "./cache", to: rueidis},
		{from: "./cache", to: "testing"},
		{from: "./cache", to: "testing/fstest"},
		{from: "./cache", to: "./config"},
		{from: "./cache", to: "./"},
		{from: "./cache", to: "./cache/codec", allowed: true},
		{from: "./cache", to: "go.uber.org/dig", allowed: true},
		{from: "./cache", to: "./internal/fence", allowed: true},
		{from: "./cache", to: "./internal/redistest"},
		{from: "./internal/fence", to: "./cache"},
		{from: "./internal/fence", to: "./internal/chain"},
		{from: "./internal/chain", to: "./cache"},
		{from: "./internal/filewatch", to: "./config"},
		{from: "./internal/filewatch", to: "testing"},
		{from: "./config", to: "./internal/filewatch"},
		{from: "./cache", to: "./internal/filewatch"},
		{from: "./", to: "./internal/filewatch", allowed: true},
		{from: "./sessioncache", to: "./internal/chain", allowed: true},
		{from: "./internal/fence", to: "testing"},
		{from: "./internal/fence", to: "./internal/mutants"},
		{from: "./cache", to: "./internal/mutants"},
		{from: "./config", to: "./internal/fence"},
		{from: "./cache/codec", to: "testing"},
		{from: "./cache/drivertest", to: "testing", allowed: true},
		{from: "./cache/drivertest", to: "./strategies/noop"},
		{from: "./cache/driver", to: "./cache"},
		{from: "./cache/driver", to: "./internal/fence"},
		{from: "./cache/driver", to: "./internal/absent", allowed: true},
		{from: "./cache/driver", to: "testing"},
		{from: "./cache/driver/more", to: "fmt"}, // no layer
		{from: "./cache/driver", to: "go.uber.org/dig", allowed: true},
		{from: "./cache", to: "./cache/internal/flight", allowed: true},
		{from: "./cache", to: "./internal/panics", allowed: true},
		{from: "./cache", to: "./internal/backoff", allowed: true},
		{from: "./cache/internal/breaker", to: "./cache"},
		{from: "./cache/internal/breaker", to: "./cache/internal/failure", allowed: true},
		{from: "./cache/internal/breaker", to: "./internal/panics"},
		{from: "./cache/internal/breaker", to: "testing"},
		{from: "./cache/internal/entry", to: "./cache"},
		{from: "./cache/internal/entry", to: "./internal/panics", allowed: true},
		{from: "./cache/internal/entry", to: "./cache/internal/memo"},
		{from: "./cache/internal/failure", to: "./cache"},
		{from: "./cache/internal/failure", to: "./internal/absent", allowed: true}, // through cache/driver
		{from: "./cache/internal/failure", to: "./cache/internal/breaker"},
		{from: "./cache/internal/flight", to: "./cache"},
		{from: "./cache/internal/flight", to: "./cache/internal/task", allowed: true},
		{from: "./cache/internal/flight", to: "./cache/driver", allowed: true}, // through internal/panics
		{from: "./cache/internal/flight", to: "./cache/internal/revocation"},
		{from: "./cache/internal/flight", to: rueidis},
		{from: "./cache/internal/memo", to: "./cache"},
		{from: "./cache/internal/memo", to: "./internal/chain", allowed: true},
		{from: "./cache/internal/memo", to: "./cache/internal/flight"},
		{from: "./cache/internal/revocation", to: "./cache"},
		{from: "./cache/internal/revocation", to: "./internal/backoff", allowed: true},
		{from: "./cache/internal/revocation", to: "./cache/internal/failure"},
		{from: "./cache/internal/shape", to: "./cache"},
		{from: "./cache/internal/shape", to: "./cache/driver"},
		{from: "./cache/internal/task", to: "./cache"},
		{from: "./cache/internal/task", to: "./internal/absent"},
		{from: "./cache/internal/new", to: "fmt"}, // no layer
		{from: "./cache/requestscope", to: "./cache"},
		{from: "./cache/requestscope", to: "./cache/internal/memo", allowed: true},
		{from: "./cache/requestscope", to: "./cache/internal/entry"},
		{from: "./cache/refreshing", to: "./cache"},
		{from: "./cache/refreshing", to: "./internal/absent", allowed: true},
		{from: "./cache/refreshing", to: "./cache/internal/flight"},
		{from: "./internal/panics", to: "./cache"},
		{from: "./internal/panics", to: "./cache/driver", allowed: true},
		{from: "./internal/panics", to: "testing"},
		{from: "./internal/backoff", to: "./cache/driver"},
		{from: "./internal/absent", to: "./cache/driver"},
		{from: "./config", to: "./cache"},
		{from: "./config", to: koanf + "/v2", allowed: true},
		{from: "./sessioncache", to: "./cache", allowed: true},
		{from: "./sessioncache", to: "./config"},
		{from: "./sessioncache", to: "./strategies/noop"},
		{from: "./sessioncache", to: "testing"},
		{from: "./sessioncache/sessiontest", to: "testing", allowed: true},
		{from: "./strategies/redis", to: "./strategies/bigcache"},
		{from: "./strategies/redis", to: "./cache/driver", allowed: true},
		{from: "./strategies/redis", to: "./cache"},
		{from: "./strategies/redis", to: "./cache/codec"},
		{from: "./strategies/redis", to: "./sessioncache"},
		{from: "./strategies/redis", to: rueidis, allowed: true},
		{from: "./strategies/redis/script", to: "./strategies/redis", allowed: true},
		{from: "./strategies/tiered", to: "./strategies/redis", allowed: true},
		{from: "./strategies/tiered", to: "./strategies/noop"},
		{from: "./strategies", to: "./strategies/tiered", allowed: true},
		{from: "./strategies", to: "./"},
		{from: "./", to: "./strategies", allowed: true},
		{from: "./", to: "testing"},
		{from: "./", to: "./app"},
		{from: "./app", to: "./", allowed: true},
		{from: "./app", to: "testing"},
		{from: "./fxtest", to: "./", allowed: true},
		{from: "./internal/redistest", to: "./"},
		{from: "./internal/redistest", to: "testing", allowed: true},
		{from: "./util", to: "fmt"}, // no layer
	} {
		got := checkLayers([]pkg{{ImportPath: importPath(test.from), Deps: []string{importPath(test.to)}}})
		if (len(got) == 0) != test.allowed {
			t.Errorf("%s → %s: findings %q, want allowed = %v", test.from, test.to, got, test.allowed)
		}
	}
}

func TestDirectImportsBite(t *testing.T) {
	t.Parallel()
	// Each of the first two is reached, but may not be imported.
	flight := pkg{ImportPath: module + "/cache/internal/flight", Imports: []string{
		module + "/cache/driver", module + "/internal/absent", module + "/internal/panics", "context",
	}}
	flight.Deps = flight.Imports
	cache := pkg{ImportPath: module + "/cache", Imports: []string{module + "/cache/driver"}}
	want := []string{
		"cache/internal/flight must not import cache/driver itself",
		"cache/internal/flight must not import internal/absent itself",
	}
	if got := checkLayers([]pkg{flight, cache}); !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

func importPath(name string) string {
	if folder, ours := strings.CutPrefix(name, "./"); ours {
		return strings.TrimSuffix(module+"/"+folder, "/")
	}
	return name
}
