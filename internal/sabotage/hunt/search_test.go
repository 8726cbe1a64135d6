package main

import (
	"testing"

	"github.com/fxcache/fxcache/internal/sabotage"
)

// What is taken for a finding, and what is not.
func TestJudge(t *testing.T) {
	t.Parallel()
	const violation = "    schedule_test.go:199: violation: schedule stale-fill/without leases #12 (seed 7): reader: Get returned version 1\n"
	for name, test := range map[string]struct {
		folder, text string
		want         finding // its text left out
	}{
		"a schedule":         {schedules, violation + "FAIL\n", finding{by: "schedule stale-fill/without leases", after: "12 schedules"}},
		"a schedule's panic": {schedules, "--- FAIL: TestStaleFill\npanic: test timed out", finding{}},
		"a suite": {onRedis, "--- FAIL: TestStandalone (1s)\n    --- FAIL: TestStandalone/cache (1s)\n        --- FAIL: TestStandalone/cache/Leases (0s)\n",
			finding{by: "strategies/redis TestStandalone/cache/Leases", after: "1 test"}},
		"no server":         {onRedis, "redis-server: not found", finding{}},
		"the soak":          {soak, "--- FAIL: TestNemesis/redis\n    found after 4711 operations, in a run of 3s", finding{by: soak, after: "4711 operations"}},
		"a soak of no use":  {soak, "--- FAIL: TestNemesis/redis\n    void: too slow", finding{}},
		"a soak that broke": {soak, "panic: nil", finding{}},
	} {
		got := judge(search{folder: test.folder}, test.text)
		if got == nil {
			got = &finding{}
		}
		got.text = ""
		if *got != test.want {
			t.Errorf("%s: %+v, want %+v", name, *got, test.want)
		}
	}
}

// Every guard has a race of its own before everything else.
func TestSearches(t *testing.T) {
	t.Parallel()
	for _, guard := range sabotage.Guards() {
		if all := searches(guard); len(all) != 6 || all[0].folder != schedules || len(all[0].args) != 2 {
			t.Errorf("%s: %v", guard, all)
		}
	}
}
