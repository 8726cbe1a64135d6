// Package mutants is a table of the guards in fxcache, with the code that replaces each of them.
// `make mutants` builds the tests with one guard removed at a time and expects them to fail. If
// none fails, the guard is not tested. Production code does not know about this package.
package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is the code with one guard removed.
type Mutant struct {
	Guard string // its name, in lower case, with hyphens
	What  string // what the guard sees to
	// File is where it is, from the root of the repository: Go, or a script that Go embeds.
	File string
	// Text is the guard. If it does not occur exactly once in File, the mutant is out of date.
	Text string
	// Replacement is what stands there instead. It compiles.
	Replacement string
	// By are the tests that should notice, in the order in which they are tried.
	By []Search
}

// Search is a test that should notice that a guard is missing.
type Search struct {
	Folder string   // of the package, from the root of the repository
	Run    string   // which of its tests, as -run has it
	Args   []string // more arguments of the test
	// Crash: without the guard the program panics, or hangs until the test times out.
	Crash bool
}

// All returns every mutant.
func All() []Mutant {
	return slices.Concat(fences, redis, core, bigcache, sessions, secrets, configuration, flights, lease, values, overload, master, agreement, hotkey, deadlines, generations, codecs, compression, reload, reloads, stores, through, many, handovers, alike, trackers)
}

// Apply returns the text of the mutant's file, without the guard. root is the root of the
// repository.
func (m Mutant) Apply(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, m.File)) //nolint:gosec // of the table
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.Text); n != 1 {
		return "", fmt.Errorf("%s: its text occurs %d times in %s, and not once: %q", m.Guard, n, m.File, m.Text)
	}
	return strings.Replace(string(text), m.Text, m.Replacement, 1), nil
}
