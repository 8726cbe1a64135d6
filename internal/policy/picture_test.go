package policy_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const picturePath = "docs/architecture.md"

// unpictured are the small packages and the tools, which the text below the picture names.
var unpictured = []string{
	"internal/absent", "internal/backoff", "internal/chain", "internal/fence", "internal/filewatch", "internal/panics", "internal/throttle",
	"internal/bench", "internal/checker", "internal/mutants", "internal/policy", "internal/schedules",
}

var (
	pictureNode  = regexp.MustCompile(`^\s*(\w+)\["([^ ":]+)`)
	pictureGroup = regexp.MustCompile(`^\s*subgraph \w+\["([^"]+)"\]`)
	pictureEdge  = regexp.MustCompile(`^\s*(\w+) --> ([\w &]+)$`)
)

// readPicture returns the imports that the first picture of a text shows, by folder.
func readPicture(text string) map[string][]string {
	_, text, _ = strings.Cut(text, "```mermaid\n")
	text, _, _ = strings.Cut(text, "```")
	folders, edges, group := map[string]string{}, map[string][]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := pictureGroup.FindStringSubmatch(line); m != nil {
			group = m[1] + "/"
		} else if strings.TrimSpace(line) == "end" {
			group = ""
		} else if m := pictureNode.FindStringSubmatch(line); m != nil {
			folders[m[1]] = strings.Replace(group+m[2], "fxcache", ".", 1)
			edges[m[1]] = nil
		} else if m := pictureEdge.FindStringSubmatch(line); m != nil {
			edges[m[1]] = append(edges[m[1]], strings.Split(m[2], " & ")...)
		}
	}
	imports := map[string][]string{}
	for from, to := range edges {
		imports[folders[from]] = []string{}
		for _, node := range to {
			imports[folders[from]] = append(imports[folders[from]], folders[node])
		}
	}
	return imports
}

// checkPicture compares a picture with the imports of the code, both by folder.
func checkPicture(picture, code map[string][]string) (findings []string) {
	for _, from := range slices.Sorted(maps.Keys(code)) {
		shown, ok := picture[from]
		if !ok {
			findings = append(findings, from+" is not in the picture")
			continue
		}
		for _, to := range code[from] {
			if !slices.Contains(shown, to) {
				findings = append(findings, fmt.Sprintf("%s imports %s, without an arrow", from, to))
			}
		}
	}
	for _, from := range slices.Sorted(maps.Keys(picture)) {
		if _, ok := code[from]; !ok {
			findings = append(findings, from+" is in the picture, and is no package")
		}
		for _, to := range picture[from] {
			if !slices.Contains(code[from], to) {
				findings = append(findings, fmt.Sprintf("an arrow says that %s imports %s", from, to))
			}
		}
	}
	return findings
}

// The picture of the packages shows what the code imports.
func TestPicture(t *testing.T) {
	t.Parallel()
	code := map[string][]string{}
	for _, module := range []string{".", "app"} {
		for importer, imports := range importsOf(t, module) {
			from, _ := dirOf(importer)
			if slices.ContainsFunc(unpictured, func(folder string) bool { return under(from, folder) }) ||
				under(from, "app") && from != "app" {
				continue
			}
			code[from] = []string{}
			for _, imported := range imports {
				to, ours := dirOf(imported)
				if ours && !slices.Contains(unpictured, to) && !under(to, "app") {
					code[from] = append(code[from], to)
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(picturePath)))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range checkPicture(readPicture(string(text)), code) {
		t.Errorf("%s: %s", picturePath, finding)
	}
}

// importsOf returns what each package of the module in a folder imports, its tests not counted.
func importsOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	command.Dir = filepath.Join(root, filepath.FromSlash(dir))
	command.Env = append(os.Environ(), "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v", dir, err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		imports[words[0]] = words[1:]
	}
	return imports
}

func TestPictureBites(t *testing.T) {
	t.Parallel()
	picture := readPicture("```mermaid\nflowchart TD\n    root[\"fxcache: fx\"]\n    cache[\"cache\"]\n    gone[\"gone\"]\n" +
		"    subgraph internal[\"cache/internal\"]\n        task[\"task\"]\n    end\n    root --> cache & task\n```\n")
	code := map[string][]string{".": {"cache"}, "cache": {"cache/internal/task"}, "cache/internal/task": {}, "config": {}}
	want := []string{
		"cache imports cache/internal/task, without an arrow",
		"config is not in the picture",
		"an arrow says that . imports cache/internal/task",
		"gone is in the picture, and is no package",
	}
	if got := checkPicture(picture, code); !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}
