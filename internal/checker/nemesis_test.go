package checker_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/checker"
)

var (
	seconds = flag.Int("seconds", 0, "how long the nemesis is at work on each strategy; 0 leaves it out")
	soak    = flag.Duration("soak", 0, "how long TestSoak takes, over all strategies; 0 leaves it out")
	only    = flag.String("faults", "", "a regular expression: only faults of such a kind")
	stop    = flag.Bool("stop", false, "end at the first violation")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "makes the choices of clients and nemesis")
)

// tableVariable names a file to which the tables of reports are appended.
const tableVariable = "FXCACHE_CHECKER_TABLE"

// plans lists all strategies, with the share of a soak that each gets. The strategies in which most
// can go wrong get the most time.
var plans = []struct {
	name string
	part float64
}{
	{"bigcache", 0.1},
	{"noop", 0.04},
	{"redis", 0.17},
	{"moved", 0.06},
	{"reload", 0.08},
	{"sentinel", 0.13},
	{"cluster", 0.13},
	{"tiered", 0.15},
	{"tiered sentinel", 0.07},
	{"tiered cluster", 0.07},
}

func TestNemesis(t *testing.T) {
	if *seconds == 0 {
		t.Skip("without -seconds, or make nemesis")
	}
	for _, plan := range plans {
		if strings.HasPrefix(plan.name, "tiered ") {
			continue // in the soak
		}
		t.Run(plan.name, func(t *testing.T) { run(t, plan.name, time.Duration(*seconds)*time.Second) })
	}
}

// TestTiered is the plans with copies in the processes alone, in each topology.
func TestTiered(t *testing.T) {
	if *seconds == 0 {
		t.Skip("without -seconds")
	}
	for _, plan := range plans {
		if strings.HasPrefix(plan.name, "tiered") {
			t.Run(plan.name, func(t *testing.T) { run(t, plan.name, time.Duration(*seconds)*time.Second) })
		}
	}
}

func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("without -soak, or make soak")
	}
	for _, plan := range plans {
		t.Run(plan.name, func(t *testing.T) { run(t, plan.name, time.Duration(plan.part*float64(*soak))) })
	}
}

// TestReload is the plan "reload" alone. It has a name of its own for the mutants.
func TestReload(t *testing.T) {
	if *seconds == 0 {
		t.Skip("without -seconds")
	}
	run(t, "reload", time.Duration(*seconds)*time.Second)
}

// run runs a plan and writes its report. It fails if a guarantee was violated or the run is void.
func run(t *testing.T, name string, duration time.Duration) {
	t.Helper()
	plan := checker.PlanOf(t, name)
	plan.Duration, plan.Seed = duration, *seed
	choose(t, &plan)
	plan.StopAtOnce = *stop
	report := checker.Start(t, plan)
	write(t, report)
	for _, v := range report.Violations[:min(5, len(report.Violations))] {
		t.Errorf("stale: %v", v)
	}
	for _, v := range report.Overdue[:min(5, len(report.Overdue))] {
		t.Errorf("served too long: %v", v)
	}
	if report.Found() {
		t.Errorf("found after %d operations, in a run of %v with seed %d", report.Until, report.Duration.Round(time.Millisecond), *seed)
	} else if void := report.Void(); void != "" {
		t.Errorf("void: %s", void)
	}
}

// choose keeps only the faults that the flag selects.
func choose(t *testing.T, plan *checker.Plan) {
	t.Helper()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	all := plan.Faults
	plan.Faults = func(r *checker.Run) []checker.Fault {
		return slices.DeleteFunc(all(r), func(f checker.Fault) bool { return !wanted.MatchString(f.Kind) })
	}
}

// write prints the report, and appends it to the file that the environment names.
func write(t *testing.T, report *checker.Report) {
	t.Helper()
	t.Logf("\n%v", report)
	path := os.Getenv(tableVariable)
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(report.String()); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}
