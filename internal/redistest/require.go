package redistest

import (
	"os"
	"os/exec"
	"testing"
)

// Require skips the test, with a message, if redis-server is not in PATH. With CI=true in the
// environment it fails the test instead, because what is skipped in CI is never tested. Start,
// StartCluster and StartSentinel call it.
func Require(t testing.TB) {
	t.Helper()
	_, err := exec.LookPath("redis-server")
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("NO REDIS: this test needs redis-server, and CI=true forbids to skip it: %v", err)
	}
	t.Skipf("NO REDIS, NOT TESTED: this test needs redis-server (Debian: redis-server; brew: redis): %v", err)
}
