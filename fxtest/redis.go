package fxtest

import (
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

// Redis starts a real redis-server for the test and returns a configuration for Config that uses
// it. The server stops when the test ends. If redis-server is not installed, the test is skipped,
// or fails if CI=true.
func Redis(t testing.TB) (config string) {
	t.Helper()
	redistest.Require(t)
	return fmt.Sprintf("cache: {strategy: redis, namespace: test, redis: {addresses: [%q]}}", redistest.Start(t).Addr())
}
