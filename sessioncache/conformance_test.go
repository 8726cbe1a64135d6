package sessioncache_test

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/sessioncache/sessiontest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
)

func newBigcache(t testing.TB) driver.Strategy {
	t.Helper()
	strategy, err := bigcache.New(bigcache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return strategy
}

func TestDefaultOnBigcache(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, sessiontest.OnStorage(newBigcache))
}

// withoutLeases hides the optional interfaces of a strategy, so that the Service uses its own
// fence.
type withoutLeases struct {
	driver.Strategy
	driver.Initializer
	driver.Destroyer
}

func TestDefaultOnStorageWithoutLeases(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, sessiontest.OnStorage(func(t testing.TB) driver.Strategy {
		s := newBigcache(t).(*bigcache.Strategy)
		return withoutLeases{s, s, s}
	}))
}

func TestDefaultOnNoop(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, sessiontest.OnStorage(func(testing.TB) driver.Strategy { return noop.Strategy{} }), sessiontest.NoRetention())
}

func TestNoop(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, func(testing.TB) sessiontest.Subject {
		clock := drivertest.NewClock(time.Now())
		return sessiontest.Subject{Strategy: sessioncache.Noop{Clock: clock}, Clock: clock}
	}, sessiontest.NoRetention())
}
