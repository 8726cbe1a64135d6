package main

import (
	"testing"

	"github.com/fxcache/fxcache/internal/mutants"
)

// What is taken for a finding, and what is not.
func TestJudge(t *testing.T) {
	t.Parallel()
	const violation = "    schedule_test.go:199: violation: schedule stale-fill/without leases #12 (seed 7): reader: Get returned version 1\n"
	for name, test := range map[string]struct {
		search mutants.Search
		text   string
		want   finding // none: not found
	}{
		"a schedule":         {mutants.Search{Folder: "internal/schedules"}, violation + "FAIL\n", finding{"schedule stale-fill/without leases", "12 schedules"}},
		"a schedule's panic": {mutants.Search{Folder: "internal/schedules"}, "--- FAIL: TestStaleFill\npanic: test timed out", finding{}},
		"a suite": {mutants.Search{Folder: "strategies/redis"}, "--- FAIL: TestStandalone (1s)\n    --- FAIL: TestStandalone/cache (1s)\n        --- FAIL: TestStandalone/cache/Leases (0s)\n",
			finding{"strategies/redis TestStandalone/cache/Leases", "1 test"}},
		"no server":         {mutants.Search{Folder: "strategies/redis"}, "redis-server: not found", finding{}},
		"a panic":           {mutants.Search{Folder: "cache"}, "--- FAIL: TestX (0s)\npanic: nil map", finding{}},
		"a panic, expected": {mutants.Search{Folder: "cache", Run: "^TestX$", Crash: true}, "panic: test timed out after 54s\n", finding{"cache TestX", "a crash: test timed out after 54s"}},
		"the nemesis":       {mutants.Search{Folder: "internal/checker"}, "--- FAIL: TestNemesis/redis\n    found after 4711 operations, in a run of 3s", finding{"internal/checker", "4711 operations"}},
		"a void nemesis":    {mutants.Search{Folder: "internal/checker"}, "--- FAIL: TestNemesis/redis\n    void: too slow", finding{}},
	} {
		if got, ok := judge(test.search, test.text); got != test.want || ok != (test.want != finding{}) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
