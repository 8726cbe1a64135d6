package drivertest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReference(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy { return newReference() }, drivertest.Capacity(driver.MiB))
}

// A strategy behind a Recorder still keeps the contract.
func TestRecorded(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy {
		strategy, _ := drivertest.Record(newReference())
		return strategy
	}, drivertest.Capacity(driver.MiB), drivertest.Effort(10))
}

func TestRecordedWithoutLeases(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy {
		strategy, _ := drivertest.Record(new(Minimal))
		return strategy
	}, drivertest.NoLeases(), drivertest.NoEviction(), drivertest.Effort(1))
}

// The suite can wait in real time, as it must for a server.
func TestWallClock(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy { return newReference() },
		drivertest.Capacity(driver.MiB), drivertest.WallClock(), drivertest.Effort(1))
}

func TestNoRetention(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy { return null{} }, drivertest.NoRetention())
}

// null stores nothing.
type null struct{}

func (null) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

func (null) Set(_ context.Context, _ string, _ []byte, opts driver.SetOptions) error {
	if opts.TTL <= 0 {
		return driver.ErrInvalidTTL
	}
	return nil
}
func (null) Delete(context.Context, ...string) error         { return nil }
func (null) InvalidateTags(context.Context, ...string) error { return nil }

func BenchmarkReference(b *testing.B) {
	drivertest.RunBenchmarks(b, func(testing.TB) driver.Strategy { return newReference() })
}
