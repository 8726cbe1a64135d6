package drivertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// A subject is the strategy under one check: with a namespace of its own, which its methods put
// before each key and tag as Service would, and a clock.
type subject struct {
	testing.TB
	config
	strategy driver.Strategy
	features driver.Features // of strategy
	clock    *Clock          // nil with WallClock
	ctx      context.Context
}

func newSubject(t testing.TB, strategy driver.Strategy, c config) *subject {
	t.Helper()
	// Service gives every operation on a strategy that is not Local a deadline; so does the suite,
	// in which a hanging strategy is to fail instead of hanging go test.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	c.options.Namespace = "drivertest-" + rand.Text()
	s := &subject{TB: t, config: c, strategy: strategy, features: driver.FeaturesOf(strategy), ctx: ctx}
	if c.wallClock {
		s.options.Clock = driver.SystemClock{}
	} else {
		// Not on a whole second, so that rounding to seconds shows.
		s.clock = NewClock(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC))
		s.options.Clock = s.clock
	}
	return s
}

// init initialises the strategy, and destroys it at the end of the test.
func (s *subject) init() {
	s.Helper()
	s.Cleanup(func() { s.destroy() })
	if i := s.features.Initializer; i != nil {
		if err := i.Init(s.ctx, NewInjector(s, s.options, s.values...)); err != nil {
			s.Fatalf("Init: %v", err)
		}
	}
}

func (s *subject) destroy() {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	if d := s.features.Destroyer; d != nil {
		if err := d.Destroy(ctx); err != nil {
			s.Errorf("Destroy: %v", err)
		}
	}
}

// physical is the name as Service hands it to a strategy.
func (s *subject) physical(name string) string { return s.options.Namespace + ":" + name }

func (s *subject) physicals(names []string) []string {
	physical := make([]string, len(names))
	for i, name := range names {
		physical[i] = s.physical(name)
	}
	return physical
}

func (s *subject) opts(ttl time.Duration, tags ...string) driver.SetOptions {
	return driver.SetOptions{TTL: ttl, Tags: s.physicals(tags)}
}

func (s *subject) set(key, value string, ttl time.Duration, tags ...string) {
	s.Helper()
	if err := s.strategy.Set(s.ctx, s.physical(key), []byte(value), s.opts(ttl, tags...)); err != nil {
		s.Fatalf("Set(%s): %v", show(key), err)
	}
}

func (s *subject) get(key string) (value string, found bool) {
	s.Helper()
	bytes, found, err := s.strategy.Get(s.ctx, s.physical(key))
	if err != nil {
		s.Fatalf("Get(%s): found %t, error %v", show(key), found, err)
	}
	return string(bytes), found
}

func (s *subject) delete(keys ...string) {
	s.Helper()
	if err := s.strategy.Delete(s.ctx, s.physicals(keys)...); err != nil {
		s.Fatalf("Delete of %d keys: %v", len(keys), err)
	}
}

func (s *subject) invalidate(tags ...string) {
	s.Helper()
	if err := s.strategy.InvalidateTags(s.ctx, s.physicals(tags)...); err != nil {
		s.Fatalf("InvalidateTags of %d tags: %v", len(tags), err)
	}
}

// clear empties the strategy, and reports whether that is something it can do.
func (s *subject) clear() bool {
	s.Helper()
	c := s.features.Clearer
	if c == nil {
		return false
	}
	if err := c.Clear(s.ctx); err != nil {
		s.Fatalf("Clear: %v", err)
	}
	return true
}

// hit checks that key holds want; when says what happened before.
func (s *subject) hit(key, want, when string) {
	s.Helper()
	if got, found := s.get(key); !found {
		s.Errorf("%s: Get(%s) is a miss, want the hit %s", when, show(key), show(want))
	} else if got != want {
		s.Errorf("%s: Get(%s) = %s, want %s", when, show(key), show(got), show(want))
	}
}

// miss checks that key cannot be read; when says what happened before.
func (s *subject) miss(key, when string) {
	s.Helper()
	if got, found := s.get(key); found {
		s.Errorf("%s: Get(%s) = %s, want a miss", when, show(key), show(got))
	}
}

// count is n, or the share of it that Effort asks for.
func (s *subject) count(n int) int { return max(1, n*s.effort/100) }

// elapse lets d pass, on the clock that expiry follows.
func (s *subject) elapse(d time.Duration) {
	s.Helper()
	if s.clock != nil {
		s.clock.Advance(d)
		return
	}
	end := time.Now().Add(d)
	s.eventually("the time to pass", func() bool { return time.Now().After(end) })
}

// work runs f in a goroutine of group. The subject that f receives may fail: its Fatal ends that
// goroutine, where that of a test would have to end the test's own.
func (s *subject) work(group *sync.WaitGroup, f func(s *subject)) {
	worker := *s
	worker.TB = workerTB{s.TB}
	group.Go(func() { f(&worker) })
}

type workerTB struct{ testing.TB }

func (t workerTB) Fatalf(format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	runtime.Goexit()
}

// eventually waits until done reports true. It is the one place where the suite waits for real.
func (s *subject) eventually(what string, done func() bool) {
	s.Helper()
	deadline := time.NewTimer(s.patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			s.Fatalf("waited %v in vain for %s", s.patience, what)
		}
	}
}

// show is text for a message: quoted, and never long.
func show(text string) string {
	const limit = 48
	if len(text) <= limit {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q… (%d bytes)", text[:limit], len(text))
}
