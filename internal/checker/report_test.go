package checker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/checker"
)

func TestReport(t *testing.T) {
	t.Parallel()
	good := checker.Report{Strategy: "redis", Duration: time.Second, Operations: 500, Gets: 300, Hits: 1, Stale: 1, Negative: 1, Refreshes: 1, InFaults: 100}
	with := func(change func(*checker.Report)) checker.Report {
		changed := good
		change(&changed)
		return changed
	}
	for _, test := range []struct {
		name    string
		report  checker.Report
		void    string
		found   bool
		verdict string
	}{
		{"all is well", good, "", false, "holds"},
		{"too slow", with(func(r *checker.Report) { r.Operations = 499 }), "499 operations/s", false, "void: 499 operations/s"},
		{"too few revocations", with(func(r *checker.Report) { r.InFaults = 99 }), "99 revocations", false, "void: 99 revocations"},
		{"no hit", with(func(r *checker.Report) { r.Hits = 0 }), "no hit", false, "void: no hit"},
		{"no stale hit", with(func(r *checker.Report) { r.Stale = 0 }), "no stale hit", false, "void: no stale hit"},
		{"no negative hit", with(func(r *checker.Report) { r.Negative = 0 }), "no negative hit", false, "void: no negative hit"},
		{"no refresh", with(func(r *checker.Report) { r.Refreshes = 0 }), "no refresh", false, "void: no refresh"},
		{"noop never hits", with(func(r *checker.Report) { r.Strategy, r.Hits, r.Stale = "noop", 0, 0 }), "", false, "holds"},
		{"an unknown window", with(func(r *checker.Report) { r.Unknown = 1 }), "", true, "VIOLATED"},
		{"a disagreement", with(func(r *checker.Report) { r.Disagreed = 1 }), "", true, "VIOLATED"},
		{"a stale read in a slow run", with(func(r *checker.Report) {
			r.Operations, r.Violations = 1, make([]checker.Violation, 1)
		}), "1 operations/s", true, "VIOLATED"},
		{"an overdue read", with(func(r *checker.Report) { r.Overdue = make([]checker.Violation, 1) }), "", true, "VIOLATED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if void := test.report.Void(); !strings.HasPrefix(void, test.void) || (void == "") != (test.void == "") {
				t.Errorf("void %q, want %q", void, test.void)
			}
			if found := test.report.Found(); found != test.found {
				t.Errorf("found %v, want %v", found, test.found)
			}
			if want := "| verdict | " + test.verdict; !strings.Contains(test.report.String(), want) {
				t.Errorf("no %q in\n%v", want, &test.report)
			}
		})
	}
}
