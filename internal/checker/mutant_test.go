package checker_test

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/checker"
)

// TestMutants runs mutants of strategies and wants each of them to be found.
func TestMutants(t *testing.T) {
	for _, name := range []string{"bigcache", "redis"} {
		for _, mutant := range []string{checker.SwallowDelete, checker.SwallowTags, checker.BlindFill} {
			t.Run(name+"/"+mutant, func(t *testing.T) {
				plan := checker.PlanOf(t, name)
				plan.Duration, plan.Seed, plan.StopAtOnce = time.Minute, *seed, true
				plan.Faults = nil // it must be found without any
				for i := range plan.Nodes {
					plan.Nodes[i].Mutant = mutant
				}
				report := checker.Start(t, plan)
				if len(report.Violations) == 0 {
					t.Fatalf("not found in %d operations", report.Operations)
				}
				if report.Disagreed > 0 || report.Unknown > 0 {
					t.Errorf("the judges disagree about %d windows, and %d are unknown", report.Disagreed, report.Unknown)
				}
				t.Logf("found after %d operations, in a run of %v: %v", report.Until, report.Duration.Round(time.Millisecond), report.Violations[0])
			})
		}
	}
}
