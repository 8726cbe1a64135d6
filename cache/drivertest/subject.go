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

// A subject is the strategy that one check tests. It has a clock and a namespace of its own. Its
// methods put the namespace before each key and tag, as Service does.
type subject struct {
	testing.TB
	config
	strategy driver.Strategy
	features driver.Features // of strategy
	clock    *Clock          // nil if WallClock is set
	ctx      context.Context
}

func newSubject(t testing.TB, strategy driver.Strategy, c config) *subject {
	t.Helper()
	// The suite gives operations a deadline, as Service does for a strategy that is not Local. So a
	// strategy that hangs fails a check, and does not hang go test.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	c.options.Namespace = "drivertest-" + rand.Text()
	s := &subject{TB: t, config: c, strategy: strategy, features: driver.FeaturesOf(strategy), ctx: ctx}
	if c.wallClock {
		s.options.Clock = driver.SystemClock{}
	} else {
		// The clock does not start at a whole second, so that rounding to seconds shows.
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

// physical returns a name as Service hands it to a strategy.
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

// clear clears the strategy, and reports whether the strategy can do that.
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

// hit checks that key holds want. when describes the situation, for the message.
func (s *subject) hit(key, want, when string) {
	s.Helper()
	if got, found := s.get(key); !found {
		s.Errorf("%s: Get(%s) is a miss, want the hit %s", when, show(key), show(want))
	} else if got != want {
		s.Errorf("%s: Get(%s) = %s, want %s", when, show(key), show(got), show(want))
	}
}

// miss checks that key cannot be read. when describes the situation, for the message.
func (s *subject) miss(key, when string) {
	s.Helper()
	if got, found := s.get(key); found {
		s.Errorf("%s: Get(%s) = %s, want a miss", when, show(key), show(got))
	}
}

// count returns the percentage of n that Effort asks for.
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

// work runs f in a goroutine of group. The subject that f receives may call Fatal there, which ends
// that goroutine only.
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

// eventually waits in real time until done reports true.
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

// show quotes text for a message, and shortens it.
func show(text string) string {
	const limit = 48
	if len(text) <= limit {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q… (%d bytes)", text[:limit], len(text))
}
