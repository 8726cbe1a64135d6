package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/mutants"
)

// A program with guards in functions of all shapes leaves out the one that is chosen, and no other.
func TestCombined(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const program = `package main

import "fmt"

type box[T any] struct{ held T }

func (box[T]) method(_ int, text string) (result string) { result = "guard 1"; result += text; return }

func free[T any](int, ...T) string { return "guard 2" + " guard 3" }

func silent(text *string) { *text = "guard 4" }

func caught(text *string) { recover(); *text = "guard 5" }

var outside = "guard 6"

func main() {
	var four, five string
	silent(&four)
	caught(&five)
	fmt.Print(box[int]{}.method(0, "!"), free(1, "a", "b"), four, five, outside)
}
`
	for name, text := range map[string]string{"main.go": program, "go.mod": "module program\n\ngo 1.24\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCombined(root)
	for guard, together := range map[string]bool{"1": true, "2": true, "3": true, "4": true, "5": false, "6": false} {
		added, err := c.add(mutants.Mutant{Guard: "no-" + guard, File: "main.go", Text: "guard " + guard, Replacement: "none"})
		if err != nil || added != together {
			t.Errorf("guard %s: %t, %v; want %t", guard, added, err, together)
		}
	}
	overlay, err := c.write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "-overlay", overlay, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const all = "guard 1!guard 2 guard 3guard 4guard 5guard 6"
	for _, guard := range []string{"", "1", "2", "3", "4"} {
		run := exec.CommandContext(t.Context(), binary)
		run.Env = append(os.Environ(), chosen+"=no-"+guard)
		want := all
		if guard != "" {
			want = strings.Replace(all, "guard "+guard, "none", 1)
		}
		if out, err := run.CombinedOutput(); string(out) != want || err != nil {
			t.Errorf("without guard %q: %q, %v; want %q", guard, out, err, want)
		}
	}
}
