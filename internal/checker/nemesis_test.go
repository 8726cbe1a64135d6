package checker_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/checker"
)

var (
	seconds = flag.Int("seconds", 5, "how long each run takes; 0 leaves it out")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "makes the choices of clients and nemesis") //nolint:gosec // not negative
)

func TestNemesis(t *testing.T) {
	for _, name := range []string{"bigcache", "noop", "redis", "sentinel", "cluster"} {
		t.Run(name, func(t *testing.T) {
			plan := checker.PlanOf(t, name)
			plan.Duration, plan.Seed = time.Duration(*seconds)*time.Second, *seed
			report := checker.Start(t, plan)
			if err := report.Write(os.Stdout); err != nil {
				t.Error(err)
			}
			for _, v := range report.Violations[:min(10, len(report.Violations))] {
				t.Errorf("stale: %v", v)
			}
			for _, v := range report.Overdue[:min(10, len(report.Overdue))] {
				t.Errorf("overdue: %v", v)
			}
			if report.Found() {
				t.Errorf("found after %d operations, seed %d", report.Operations, *seed)
			} else if void := report.Void(); void != "" {
				t.Errorf("void: %s", void)
			}
		})
	}
}
