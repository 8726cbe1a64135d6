package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// started is a strategy on a server, with the words that the tests are made of.
type started struct {
	*redis.Strategy
	testing.TB
	server *redistest.Server
	log    *lines
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t testing.TB, server *redistest.Server, options redis.Options) *started {
	t.Helper()
	options.Addresses = []string{server.Addr()}
	s := startLogged(t, options)
	s.server = server
	return s
}

// startLogged starts a strategy that nothing is known of but what it logs.
func startLogged(t testing.TB, options redis.Options) *started {
	t.Helper()
	s := &started{Strategy: on(options)(t).(*redis.Strategy), TB: t, log: &lines{}}
	in := drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	s.must(s.Init(t.Context(), in))
	t.Cleanup(func() { s.must(s.Destroy(context.Background())) })
	return s
}

func (s *started) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *started) set(key string, ttl time.Duration, tags ...string) {
	s.Helper()
	s.must(s.Set(s.Context(), key, []byte("value of "+key), driver.SetOptions{TTL: ttl, Tags: tags}))
}

func (s *started) found(key string) bool {
	s.Helper()
	value, found, err := s.Get(s.Context(), key)
	s.must(err)
	if found && string(value) != "value of "+key {
		s.Errorf("%q has the value %q", key, value)
	}
	return found
}

// commands returns how often Redis runs each command while do runs, those within scripts included.
func (s *started) commands(do func()) map[string]int {
	s.Helper()
	_, err := s.server.Do(s.Context(), "CONFIG", "RESETSTAT")
	s.must(err)
	do()
	stats, err := s.server.Info(s.Context(), "commandstats")
	s.must(err)
	counts := map[string]int{}
	for name, line := range stats {
		var calls int
		if _, err := fmt.Sscanf(line, "calls=%d", &calls); err == nil {
			counts[strings.TrimPrefix(name, "cmdstat_")] = calls
		}
	}
	return counts
}

// size is how many keys there are, but for the fingerprint, which lives on.
func (s *started) size() int64 {
	s.Helper()
	n, err := s.server.Do(s.Context(), "DBSIZE")
	s.must(err)
	return n.(int64) - s.direct("EXISTS", "n:f:{0}:").(int64)
}

// One round trip an operation: an MGET where the tags are known, else one script.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:a", "n:b"}}
	s.set("n:k", time.Minute, "n:a", "n:b")
	s.set("n:first0", time.Minute, "n:a", "n:b")
	s.set("n:first1", time.Minute, "n:a", "n:b")
	var lease *driver.Lease
	first := -1
	for _, step := range []struct {
		name, command string
		do            func() error
	}{
		{"Get, for the first time", "evalsha_ro", func() error {
			first++
			_, _, err := s.Get(ctx, fmt.Sprint("n:first", first))
			return err
		}},
		{"Get, again", "mget", func() error { _, _, err := s.Get(ctx, "n:k"); return err }},
		{"GetHinted", "mget", func() error { _, _, err := s.GetHinted(ctx, "n:k", opts.Tags); return err }},
		{"Set", "evalsha", func() error { return s.Set(ctx, "n:k", []byte("v"), opts) }},
		{"GetOrLease", "evalsha", func() (err error) { _, _, lease, err = s.GetOrLease(ctx, "n:l"); return err }},
		{"Fill", "evalsha", func() error { _, err := s.Fill(ctx, lease, []byte("v"), opts); return err }},
		{"Delete", "unlink", func() error { return s.Delete(ctx, "n:k", "n:l") }},
		{"InvalidateTags", "evalsha", func() error { return s.InvalidateTags(ctx, "n:a", "n:b") }},
	} {
		s.must(step.do()) // loads the script, and makes the lease
		if step.name == "GetOrLease" {
			s.must(s.Release(ctx, lease))
		}
		counts := s.commands(func() { s.must(step.do()) })
		trips := counts["evalsha"] + counts["evalsha_ro"] + counts["eval"] + counts["eval_ro"]
		if step.command == "mget" || step.command == "unlink" {
			trips = counts[step.command]
		}
		if counts[step.command] != 1 || trips != 1 {
			t.Errorf("%s: %v, want one %s", step.name, counts, step.command)
		}
	}
}

// A hint that is wrong changes nothing about the answer.
func TestWrongHint(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	s.set("n:k", time.Minute, "n:a", "n:b")
	for _, hint := range [][]string{nil, {"n:a"}, {"n:a", "n:b"}, {"n:b", "n:c", "n:a"}, {"n:x"}} {
		if value, found, err := s.GetHinted(t.Context(), "n:k", hint); !found || err != nil || string(value) != "value of n:k" {
			t.Errorf("hint %q: %q, %t, %v", hint, value, found, err)
		}
	}
	s.must(s.InvalidateTags(t.Context(), "n:b"))
	for _, hint := range [][]string{nil, {"n:a"}, {"n:a", "n:b"}} {
		if _, found, err := s.GetHinted(t.Context(), "n:k", hint); found || err != nil {
			t.Errorf("hint %q after the invalidation of n:b: %t, %v", hint, found, err)
		}
	}
}

// V7: nothing of ours is left when the TTLs are over.
func TestNothingLeft(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{LeaseTTL: 100 * time.Millisecond, Lanes: 4})
	for i := range 500 {
		key := fmt.Sprint("n:", i)
		s.set(key, 300*time.Millisecond, "n:all", fmt.Sprint("n:tag", i))
		_, _, lease, err := s.GetOrLease(t.Context(), key+"x")
		s.must(err)
		switch i % 3 {
		case 0:
			_, err = s.Fill(t.Context(), lease, nil, driver.SetOptions{TTL: time.Millisecond, Tags: []string{"n:all"}})
		case 1:
			err = s.Delete(t.Context(), key)
		}
		s.must(err)
	}
	s.must(s.InvalidateTags(t.Context(), "n:all"))
	if s.size() == 0 {
		t.Error("nothing was there: the test proves nothing")
	}
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.size() > 0 {
		if time.Now().After(deadline) {
			keys, _ := s.server.Do(t.Context(), "KEYS", "*")
			t.Fatalf("%d keys are left: %.300q", s.size(), fmt.Sprint(keys))
		}
		<-tick.C
	}
}

// The application starts while Redis is down, and finds it when it comes; both are logged once.
func TestStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	server.Stop()
	began := time.Now()
	s := start(t, server, redis.Options{})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Init took %v", took)
	}
	for range 10 {
		_, _, get := s.Get(t.Context(), "n:k")
		set := s.Set(t.Context(), "n:k", nil, driver.SetOptions{TTL: time.Minute})
		for _, err := range []error{get, set, s.Delete(t.Context(), "n:k"), s.InvalidateTags(t.Context(), "n:t")} {
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Fatalf("%v, want ErrUnavailable", err)
			}
		}
	}
	server.Restart()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.Set(t.Context(), "n:k", []byte("value of n:k"), driver.SetOptions{TTL: time.Minute}) != nil {
		if time.Now().After(deadline) {
			t.Fatal("it did not find Redis when that came")
		}
		<-tick.C
	}
	if !s.found("n:k") {
		t.Error("what was set is not found")
	}
	if down, up := s.log.count("redis: unavailable"), s.log.count("available again"); down != 1 || up != 1 {
		t.Errorf("logged %d times that it is down and %d times that it is up again, want once each:\n%s", down, up, s.log.text.String())
	}
}

// The server forgets its scripts, at any time.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{Lanes: 4})
	for i := range 20 {
		_, err := s.server.Do(t.Context(), "SCRIPT", "FLUSH")
		s.must(err)
		switch key := fmt.Sprint("n:", i); i % 4 {
		case 0, 1:
			s.set(key, time.Minute, "n:all")
		case 2:
			if s.found(fmt.Sprint("n:", i-1)) != true {
				t.Error("lost an entry")
			}
		case 3:
			s.must(s.InvalidateTags(t.Context(), "n:all"))
			if s.found(fmt.Sprint("n:", i-2)) {
				t.Error("an invalidation was lost")
			}
		}
	}
}

// Out of memory: writes fail and hide the old value, revocations go through.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t, redistest.Config("maxmemory-policy noeviction")), redis.Options{})
	for _, key := range []string{"n:set", "n:filled", "n:deleted", "n:invalidated"} {
		s.set(key, time.Minute, "n:tag of "+key)
	}
	lease, err := s.Lease(t.Context(), "n:filled")
	s.must(err)
	opts := driver.SetOptions{TTL: time.Minute}
	// Full from now on, to the byte; TestEviction fills a server by and by.
	s.direct("CONFIG", "SET", "maxmemory", "1")
	for _, step := range []struct {
		key    string
		refuse bool // else it is a revocation
		do     func() error
	}{
		{"n:set", true, func() error { return s.Set(t.Context(), "n:set", []byte("value of n:set"), opts) }},
		{"n:filled", true, func() error {
			stored, err := s.Fill(t.Context(), lease, []byte("value of n:filled"), opts)
			if stored {
				t.Error("Fill stored something")
			}
			return err
		}},
		{"n:deleted", false, func() error { return s.Delete(t.Context(), "n:deleted") }},
		{"n:invalidated", false, func() error { return s.InvalidateTags(t.Context(), "n:tag of n:invalidated") }},
	} {
		if !s.found(step.key) {
			t.Fatalf("%s is not there: the test proves nothing", step.key)
		}
		err := step.do()
		var answer *redis.ServerError
		if step.refuse && (!errors.As(err, &answer) || answer.Code != "OOM" || !errors.Is(err, driver.ErrUnavailable)) || !step.refuse && err != nil {
			t.Errorf("%s in a full Redis: %v, want OOM: %t", step.key, err, step.refuse)
		}
		if s.found(step.key) {
			t.Errorf("%s: the old value is still readable", step.key)
		}
	}
}
