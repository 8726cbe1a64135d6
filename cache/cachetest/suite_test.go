package cachetest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReference(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(testing.TB) cache.Strategy { return newReference() }, cachetest.Capacity(cache.MiB))
}

// A strategy behind a Recorder is as good as without.
func TestRecorded(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(testing.TB) cache.Strategy {
		strategy, _ := cachetest.Record(newReference())
		return strategy
	}, cachetest.Capacity(cache.MiB), cachetest.Effort(10))
}

func TestRecordedWithoutLeases(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(testing.TB) cache.Strategy {
		strategy, _ := cachetest.Record(new(Minimal))
		return strategy
	}, cachetest.NoLeases(), cachetest.NoEviction(), cachetest.Effort(1))
}

// The suite can wait for real, as it must for a server.
func TestWallClock(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(testing.TB) cache.Strategy { return newReference() },
		cachetest.Capacity(cache.MiB), cachetest.WallClock(), cachetest.Effort(1))
}

func TestNoRetention(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(testing.TB) cache.Strategy { return null{} }, cachetest.NoRetention())
}

// null stores nothing.
type null struct{}

func (null) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

func (null) Set(_ context.Context, _ string, _ []byte, opts cache.SetOptions) error {
	if opts.TTL <= 0 {
		return cache.ErrInvalidTTL
	}
	return nil
}
func (null) Delete(context.Context, ...string) error         { return nil }
func (null) InvalidateTags(context.Context, ...string) error { return nil }

func BenchmarkReference(b *testing.B) {
	cachetest.RunBenchmarks(b, func(testing.TB) cache.Strategy { return newReference() })
}
