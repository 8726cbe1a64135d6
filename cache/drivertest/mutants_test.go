package drivertest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A mutant is a strategy that breaks one rule. kills names the checks that must fail.
type mutant struct {
	name    string
	kills   string // "Topic/Check", several separated by spaces
	new     func() driver.Strategy
	options []drivertest.Option // in addition to Capacity
}

// broke returns the reference with change applied. Most mutants are made with it.
func broke(name, kills string, change func(b *broken, r *reference)) mutant {
	return mutant{name: name, kills: kills, new: func() driver.Strategy {
		b := &broken{reference: newReference()}
		change(b, b.reference)
		return b
	}}
}

var mutants = slices.Concat(basicMutants, ttlMutants, tagMutants, batchMutants, leaseMutants, batchLeaseMutants, raceMutants, limitMutants, lifecycleMutants, nodeMutants)

// anyContext is for calls to the reference, which ignores contexts.
var anyContext = context.Background()

// mutantVariable names the mutant that TestMutant checks in a process of its own. In this process,
// the test that must fail would fail its parents too.
const mutantVariable = "CACHETEST_MUTANT"

func TestMutant(t *testing.T) {
	name := os.Getenv(mutantVariable)
	if name == "" {
		t.Skip("runs in the processes that TestMutantsAreKilled starts")
	}
	i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == name })
	options := append([]drivertest.Option{
		drivertest.Capacity(driver.MiB), drivertest.Patience(200 * time.Millisecond),
	}, mutants[i].options...)
	drivertest.Run(t, func(testing.TB) driver.Strategy { return mutants[i].new() }, options...)
}

func TestMutantsAreKilled(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			kills := strings.Fields(m.kills)
			output, err := try(t, m.name, kills)
			if exit := new(exec.ExitError); !errors.As(err, &exit) {
				t.Fatalf("the suite lets the mutant live (%v):\n%s", err, output)
			}
			for _, check := range kills {
				if !strings.Contains(output, "=== RUN   TestMutant/"+check+"\n") {
					t.Errorf("%s did not run", check)
				}
				// A panic in a goroutine ends the process before go test reports the check. Only
				// one check ran, so it is that one.
				failed := strings.Contains(output, "--- FAIL: TestMutant/"+check+" ")
				if panicked := len(kills) == 1 && strings.Contains(output, "panic: "); !failed && !panicked {
					t.Errorf("%s lets the mutant live:\n%s", check, output)
				}
			}
		})
	}
}

// Every check must have failed for some mutant.
func TestEveryCheckKills(t *testing.T) {
	t.Parallel()
	var killers []string
	for _, m := range mutants {
		killers = append(killers, strings.Fields(m.kills)...)
	}
	for _, check := range drivertest.Checks() {
		if !slices.Contains(killers, check) {
			t.Errorf("%s kills no mutant", check)
		}
	}
}

// try runs the named checks against a mutant.
func try(t *testing.T, name string, checks []string) (output string, err error) {
	t.Helper()
	var topics, names []string
	for _, check := range checks {
		topic, name, _ := strings.Cut(check, "/")
		topics, names = append(topics, regexp.QuoteMeta(topic)), append(names, regexp.QuoteMeta(name))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.timeout=50s",
		"-test.run=^TestMutant$/^("+strings.Join(topics, "|")+")$/^("+strings.Join(names, "|")+")$")
	command.Env = append(os.Environ(), mutantVariable+"="+name)
	bytes, err := command.CombinedOutput()
	return string(bytes), err
}
