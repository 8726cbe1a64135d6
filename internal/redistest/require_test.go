package redistest_test

import (
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

func TestRequire(t *testing.T) { // not parallel: it changes the environment
	for _, test := range []struct {
		ci              string
		failed, skipped bool
	}{
		{ci: "true", failed: true},
		{ci: "", skipped: true},
	} {
		t.Setenv("PATH", t.TempDir())
		t.Setenv("CI", test.ci)
		for name, start := range map[string]func(testing.TB){
			"Require":       redistest.Require,
			"Start":         func(t testing.TB) { redistest.Start(t) },
			"StartCluster":  func(t testing.TB) { redistest.StartCluster(t, 3, 0) },
			"StartSentinel": func(t testing.TB) { redistest.StartSentinel(t, 0, 0) },
		} {
			r := record(t, start)
			if r.failed != test.failed || r.skipped != test.skipped || !strings.Contains(r.text.String(), "NO REDIS") {
				t.Errorf("%s with CI=%q: failed %v, skipped %v, said %q", name, test.ci, r.failed, r.skipped, r.text.String())
			}
		}
	}
}
