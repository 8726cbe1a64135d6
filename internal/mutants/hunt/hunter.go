package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/mutants"
)

// errUnnoticed: no test failed without the guard.
var errUnnoticed = errors.New("nobody noticed that it is missing")

// hunter builds tests without a guard and runs them.
type hunter struct {
	root   string // of the repository
	folder string // for what is built
	limit  time.Duration

	together string          // the overlay of the mutants that share one
	shares   map[string]bool // the guards in it

	mu     sync.Mutex // guards builds
	builds map[string]func() (string, error)
}

func newHunter(all []mutants.Mutant, limit time.Duration) (*hunter, error) {
	if _, err := os.Stat("module.go"); err != nil {
		return nil, fmt.Errorf("run it in the root of the repository: %w", err)
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "fxcache-mutants-")
	if err != nil {
		return nil, err
	}
	h := &hunter{root: root, folder: folder, limit: limit, shares: map[string]bool{}, builds: map[string]func() (string, error){}}
	if err := h.combine(all); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// combine makes the overlay that mutants share.
func (h *hunter) combine(all []mutants.Mutant) error {
	c := newCombined(h.root)
	var failures []error
	for _, m := range all {
		added, err := c.add(m)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", m.Guard, err))
		}
		h.shares[m.Guard] = added
	}
	path, err := c.write(h.folder)
	h.together = path
	return errors.Join(append(failures, err)...)
}

func (h *hunter) close() { _ = os.RemoveAll(h.folder) } // built anew each time

// below reports whether a file is in a folder, or below it.
func below(file, folder string) bool {
	return strings.HasPrefix(file, strings.TrimSuffix(folder, "/")+"/")
}

// unmutated runs all the searches of mutants with every guard in its place.
func (h *hunter) unmutated(ctx context.Context, all []mutants.Mutant) error {
	var folders []string
	tests := map[string][]string{}
	args := map[string][]string{}
	for _, m := range all {
		for _, s := range m.By {
			at := s.Folder + " " + strings.Join(s.Args, " ")
			if tests[at] == nil {
				folders, args[at] = append(folders, at), s.Args
			}
			// A subtest's pattern cannot be one of several.
			top, _, _ := strings.Cut(s.Run, "/")
			tests[at] = append(tests[at], "("+top+")")
		}
	}
	for _, at := range folders {
		folder, _, _ := strings.Cut(at, " ")
		binary, err := h.build(ctx, folder, h.together)
		if err != nil {
			return err
		}
		s := mutants.Search{Folder: folder, Run: strings.Join(tests[at], "|"), Args: args[at]}
		if text, err := h.try(ctx, binary, "", s, 5*h.limit); err != nil {
			return fmt.Errorf("with no guard missing, %s: %w\n%s", folder, err, tail(text))
		}
	}
	return nil
}

// hunt removes one guard.
func (h *hunter) hunt(ctx context.Context, m mutants.Mutant) (finding, error) {
	overlay, err := h.together, error(nil)
	if !h.shares[m.Guard] {
		overlay, err = h.overlay(m)
	}
	if err != nil {
		return finding{}, err
	}
	failures := errUnnoticed
	limit := h.limit
	for _, s := range m.By {
		binary, err := h.build(ctx, s.Folder, overlay)
		if err != nil {
			return finding{}, err
		}
		began := time.Now()
		out, err := h.try(ctx, binary, m.Guard, s, limit)
		if found, ok := judge(s, out); err != nil && ok {
			return found, nil
		}
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s -run %s: %w\n%s", s.Folder, s.Run, err, tail(out)))
		}
		if limit -= time.Since(began); limit < time.Second {
			break
		}
	}
	return finding{}, failures
}

// overlay writes the mutant's file, and what tells the compiler to take it.
func (h *hunter) overlay(m mutants.Mutant) (string, error) {
	text, err := m.Apply(h.root)
	if err != nil {
		return "", err
	}
	file := filepath.Join(h.folder, m.Guard+filepath.Ext(m.File))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(h.root, m.File): file}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(h.folder, m.Guard+".json")
	return path, errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(path, list, 0o600))
}

// build compiles the tests of a folder with an overlay, once.
func (h *hunter) build(ctx context.Context, folder, overlay string) (string, error) {
	name := strings.NewReplacer("/", "-", ".json", "").Replace(folder + "-" + filepath.Base(overlay))
	h.mu.Lock()
	if h.builds[name] == nil {
		h.builds[name] = sync.OnceValues(func() (string, error) {
			binary := filepath.Join(h.folder, name+".test")
			cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "-overlay", overlay, ".") //nolint:gosec // of the table
			cmd.Dir = folder
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("%s does not compile: %w\n%s", folder, err, out)
			}
			return binary, nil
		})
	}
	build := h.builds[name]
	h.mu.Unlock()
	return build()
}

// try runs a search without a guard, none if it is empty, and returns what it printed.
func (h *hunter) try(ctx context.Context, binary, guard string, s mutants.Search, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The test ends by itself before it is killed, and says where it hung.
	args := append([]string{"-test.timeout", (limit * 9 / 10).String(), "-test.run", s.Run}, s.Args...)
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // built above
	cmd.Dir = s.Folder
	// A test that cannot run, for want of a redis-server, fails in CI.
	cmd.Env = append(os.Environ(), "CI=true", chosen+"="+guard)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil && strings.Contains(out.String(), "no tests to run") {
		err = errors.New("there is no such test")
	}
	return out.String(), err
}

// finding is what noticed that a guard is missing.
type finding struct{ by, after string }

var (
	ofSchedule = regexp.MustCompile(`violation: schedule (.+) #(\d+) \(seed \d+\): .*`)
	ofNemesis  = regexp.MustCompile(`found after (\d+) operations`)
	ofTest     = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	ofCrash    = regexp.MustCompile(`(?m)^(?:panic|fatal error): (.*)`)
)

// judge extracts the finding from the output of a test. If a checker has words for its findings,
// only those count, because the test may have failed for another reason.
func judge(s mutants.Search, text string) (finding, bool) {
	checkers := map[string]struct {
		words *regexp.Regexp
		unit  string
	}{"internal/schedules": {ofSchedule, "schedules"}, "internal/checker": {ofNemesis, "operations"}}
	crash := ofCrash.FindStringSubmatch(text)
	if s.Crash && crash != nil {
		return finding{s.Folder + " " + strings.Trim(s.Run, "^$"), "a crash: " + crash[1]}, true
	}
	if checker, ok := checkers[s.Folder]; ok {
		match := checker.words.FindStringSubmatch(text)
		if match == nil {
			return finding{}, false
		}
		by := s.Folder
		if len(match) == 3 {
			by = "schedule " + match[1]
		}
		return finding{by, match[len(match)-1] + " " + checker.unit}, true
	}
	failed := ofTest.FindAllStringSubmatch(text, -1)
	if failed == nil || crash != nil {
		return finding{}, false
	}
	name := failed[0][1]
	for _, match := range failed { // the innermost part
		if strings.HasPrefix(match[1], name+"/") {
			name = match[1]
		}
	}
	return finding{s.Folder + " " + name, "1 test"}, true
}

// tail is the end of what a test printed.
func tail(text string) string {
	const lines = 30
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
