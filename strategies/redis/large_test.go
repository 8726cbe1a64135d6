package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// large is a value that does not fit in an entry.
func large(name string) []byte { return bytes.Repeat([]byte(name), 500<<10/len(name)) }

// ofBody matches a command on the body of a large value.
func ofBody(command string) func(args []string) bool {
	return func(args []string) bool {
		return len(args) > 1 && strings.EqualFold(args[0], command) && strings.HasPrefix(args[1], "n:b:")
	}
}

// startWith starts a strategy with limits.
func startWith(t *testing.T, addr string, limits cache.Options) *redis.Strategy {
	t.Helper()
	limits.Namespace = "n"
	strategy := on(redis.Options{Addresses: []string{addr}})(t).(*redis.Strategy)
	if err := strategy.Init(t.Context(), drivertest.NewInjector(t, limits)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := strategy.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return strategy
}

// readings are the ways to read an entry whose only tag is n:t.
var readings = []struct {
	name string
	read func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error)
}{
	{"Get", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) { return s.Get(ctx, key) }},
	{"Get again", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) { return s.Get(ctx, key) }},
	{"GetHinted", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) {
		return s.GetHinted(ctx, key, []string{"n:t"})
	}},
	{"GetHinted, another tag expected", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) {
		return s.GetHinted(ctx, key, []string{"n:u"})
	}},
	{"GetMany", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) {
		all := s.GetMany(ctx, []string{"n:none", key, key}, []string{"n:t"})
		if all[0].Found || all[1].Found != all[2].Found || !bytes.Equal(all[1].Value, all[2].Value) {
			return nil, false, errors.New("one key, asked for twice, is not the same")
		}
		clear(all[2].Value) // it is another one's
		return all[1].Value, all[1].Found, all[1].Err
	}},
	{"GetMany, tags not known", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) {
		all := s.GetMany(ctx, []string{key}, nil)
		return all[0].Value, all[0].Found, all[0].Err
	}},
	{"GetOrLease", func(ctx context.Context, s *redis.Strategy, key string) ([]byte, bool, error) {
		value, found, lease, err := s.GetOrLease(ctx, key)
		return value, found, errors.Join(err, s.Release(ctx, lease))
	}},
}

// Each way to store a large value and each way to read it agree; its entry is small; and each way
// to revoke it, or to lose a part of it, makes a miss for which a lease is granted. What is left
// lives no longer than it.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	reader := start(t, s.server, redis.Options{})
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}
	set := func(value []byte) error { return s.Set(ctx, "n:k", value, opts) }
	stores := map[string]func(value []byte) error{
		"Set": set,
		"SetMany": func(value []byte) error {
			return errors.Join(s.SetMany(ctx, []driver.Item{{Key: "n:small", Value: []byte("s"), Options: opts}, {Key: "n:k", Value: value, Options: opts}})...)
		},
		"Fill": func(value []byte) error {
			s.must(s.Delete(ctx, "n:k"))
			lease, err := s.Lease(ctx, "n:k")
			s.must(err)
			stored, err := s.Fill(ctx, lease, value, opts)
			if !stored {
				t.Error("Fill has not stored")
			}
			return err
		},
	}
	ends := map[string]func() error{
		"Delete":         func() error { return s.Delete(ctx, "n:k") },
		"InvalidateTags": func() error { return s.InvalidateTags(ctx, "n:t") },
		"a lost body":    func() error { _, err := s.server.Do(ctx, "DEL", "n:b:{0}:k"); return err },
		"another body": func() error {
			_, err := s.server.Do(ctx, "SETRANGE", "n:b:{0}:k", 0, strings.Repeat("x", 16))
			return err
		},
		"a body cut short": func() error { _, err := s.server.Do(ctx, "SET", "n:b:{0}:k", "short"); return err },
		"a body of another type": func() error {
			_, err := s.server.Do(ctx, "EVAL", "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], 'x')", 1, "n:b:{0}:k")
			return err
		},
	}
	for how, store := range stores {
		for what, end := range ends {
			value := large(how)
			s.must(store(value))
			if stored := s.direct("STRLEN", "n:v:{0}:k").(int64); stored > 1<<10 {
				t.Errorf("%s: the entry has %d bytes", how, stored)
			}
			if entry, body := s.direct("PEXPIRETIME", "n:v:{0}:k").(int64), s.direct("PEXPIRETIME", "n:b:{0}:k").(int64); body > entry+5 || body < entry-5 {
				t.Errorf("%s: the body ends %d ms after the entry", how, body-entry)
			}
			for _, way := range readings {
				got, found, err := way.read(ctx, reader.Strategy, "n:k")
				if !found || err != nil || !bytes.Equal(got, value) {
					t.Errorf("%s, %s: %d bytes, %t, %v", how, way.name, len(got), found, err)
				}
			}
			s.must(end())
			if left := s.direct("EXISTS", "n:b:{0}:k"); what == "Delete" && left != int64(0) {
				t.Errorf("%s: Delete has left the body", how)
			}
			for _, way := range readings {
				if got, found, err := way.read(ctx, reader.Strategy, "n:k"); found || err != nil {
					t.Errorf("%s, after %s, %s: %d bytes, %t, %v", how, what, way.name, len(got), found, err)
				}
			}
			_, _, lease, err := s.GetOrLease(ctx, "n:k")
			if lease == nil || err != nil {
				t.Errorf("%s, after %s: no lease, %v", how, what, err)
			}
			s.must(set([]byte("value of n:k")))
			if left := s.direct("EXISTS", "n:b:{0}:k"); left != int64(0) || !s.found("n:k") {
				t.Errorf("%s: after a small value the body is there: %v", how, left)
			}
		}
	}
}

// Clear leaves nothing of a large value for long, also where its entry is gone already.
func TestClearOfLargeValues(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := startWith(t, server.Addr(), cache.Options{Timeout: 2 * time.Second})
	other := start(t, server, redis.Options{})
	for _, key := range []string{"n:k", "n:l"} {
		other.must(s.Set(t.Context(), key, large("n"), driver.SetOptions{TTL: time.Minute}))
	}
	other.direct("DEL", "n:v:{0}:k")
	other.must(s.Clear(t.Context()))
	until(t, func() error {
		if left := other.size(); left != 0 {
			return fmt.Errorf("%d keys are left beside the fingerprint", left)
		}
		return nil
	})
}

// What a node's limits do not allow is not read by it, and is removed once it was met: whether
// another node with other limits stored it, or nobody of ours did.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	generous := startWith(t, server.Addr(), cache.Options{MaxValueBytes: 4 * driver.MiB, Timeout: 2 * time.Second})
	strict := start(t, server, redis.Options{}) // 1 MiB
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}
	const size = 2 << 20
	for name, store := range map[string]func() error{
		"another node's": func() error { return generous.Set(ctx, "n:k", make([]byte, size), opts) },
		"nobody's":       func() error { _, err := server.Do(ctx, "SET", "n:v:{0}:k", string(make([]byte, size))); return err },
	} {
		for _, way := range readings {
			strict.must(store())
			before := strict.output()
			got, found, err := way.read(ctx, strict.Strategy, "n:k")
			if found || err != nil {
				t.Errorf("%s, %s: %d bytes, %t, %v", name, way.name, len(got), found, err)
			}
			until(t, func() error { // it is removed beside the read
				if strict.direct("EXISTS", "n:v:{0}:k", "n:b:{0}:k") != int64(0) {
					return errors.New("it is still there")
				}
				return nil
			})
			// An MGET cannot know; the script and the entry do.
			if sent := strict.output() - before; name != "nobody's" && sent > size/2 {
				t.Errorf("%s, %s: %d bytes were sent", name, way.name, sent)
			}
		}
	}
	if err := strict.Set(ctx, "n:k", make([]byte, size), opts); !errors.Is(err, driver.ErrValueTooLarge) {
		t.Errorf("Set: %v, want ErrValueTooLarge", err)
	}
}

// What is removed is what was met, and not what was stored meanwhile.
func TestTooLargeIsReplaced(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	other := start(t, server, redis.Options{})
	generous := startWith(t, server.Addr(), cache.Options{MaxValueBytes: 4 * driver.MiB, Timeout: 2 * time.Second})
	strict := startWith(t, proxy.Addr(), cache.Options{Timeout: 2 * time.Second})
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute}
	for name, replacement := range map[string][]byte{"a small one": []byte("small"), "a large one": large("n")} {
		other.must(generous.Set(ctx, "n:k", make([]byte, 2<<20), opts))
		removal := proxy.Hold("EVALSHA")
		_, found, err := strict.Get(ctx, "n:k")
		if found || err != nil {
			t.Errorf("%s: %t, %v", name, found, err)
		}
		<-removal.Arrived()
		other.must(other.Set(ctx, "n:k", replacement, opts))
		removal.Release()
		<-removal.Answered()
		if got, found, err := other.Get(ctx, "n:k"); !found || err != nil || !bytes.Equal(got, replacement) {
			t.Errorf("%s: %d bytes, %t, %v", name, len(got), found, err)
		}
	}
}

// An MGET cannot know that an entry is too long to arrive in time. When it did not, the script
// looks: it is sent once, and not again and again.
func TestTooLargeToArrive(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	other := start(t, server, redis.Options{})
	s := startWith(t, proxy.Addr(), cache.Options{Timeout: 2 * time.Second})
	for _, many := range []bool{false, true} {
		other.direct("SET", "n:v:{0}:k", string(make([]byte, 2<<20)), "PX", 60_000)
		read := func() (bool, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if many {
				r := s.GetMany(ctx, []string{"n:k"}, []string{"n:t"})[0]
				return r.Found, r.Err
			}
			_, found, err := s.GetHinted(ctx, "n:k", []string{"n:t"})
			return found, err
		}
		held := proxy.HoldReply("MGET")
		if _, err := read(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("many: %t: %v, want its deadline", many, err)
		}
		held.Release()
		<-held.Answered()
		until(t, func() error {
			found, err := read()
			if found {
				t.Error("it is found")
			}
			return err
		})
		until(t, func() error {
			if other.direct("EXISTS", "n:v:{0}:k") != int64(0) {
				return errors.New("it is still there")
			}
			return nil
		})
	}
	stats, err := server.Info(t.Context(), "commandstats")
	other.must(err)
	if !strings.HasPrefix(stats["cmdstat_mget"], "calls=2,") {
		t.Errorf("%s, want one for each", stats["cmdstat_mget"])
	}
}

// While large values do not arrive, in either direction, small ones are served, and what is told
// about a large one is that it concerns no other.
func TestLargeValuesHoldNothingUp(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	other := start(t, server, redis.Options{})
	s := startWith(t, proxy.Addr(), cache.Options{Timeout: 2 * time.Second})
	opts := driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}
	other.set("n:small", time.Minute, "n:t")
	const values = 16
	value := bytes.Repeat([]byte("m"), 100<<10)
	for i := range values {
		other.must(other.Set(t.Context(), fmt.Sprint("n:large", i), value, opts))
	}
	small := func() {
		for _, way := range readings {
			if _, found, err := way.read(t.Context(), s, "n:small"); !found || err != nil {
				t.Errorf("%s of a small value: %t, %v", way.name, found, err)
			}
		}
	}
	small()
	for name, hold := range map[string]func() (*redistest.Held, func(ctx context.Context, i int) error){
		"read": func() (*redistest.Held, func(context.Context, int) error) {
			return proxy.HoldReplyFunc(ofBody("GET")), func(ctx context.Context, i int) error {
				_, _, err := s.Get(ctx, fmt.Sprint("n:large", i))
				return err
			}
		},
		"written": func() (*redistest.Held, func(context.Context, int) error) {
			return proxy.HoldFunc(ofBody("SET")), func(ctx context.Context, i int) error {
				return s.Set(ctx, fmt.Sprint("n:large", i), value, opts)
			}
		},
	} {
		held, do := hold()
		var all sync.WaitGroup
		for i := range values {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := do(ctx, i); !errors.Is(err, driver.ErrEntryUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v, want ErrEntryUnavailable and the deadline", name, err)
				}
			})
		}
		<-held.Arrived()
		small()
		all.Wait()
		small()
		held.Release()
		<-held.Answered()
		until(t, func() error { return do(t.Context(), 0) })
	}
}

// A large value arrives when its caller has given up, and after it was revoked: it is not there.
func TestLateLargeValue(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	slow, other := startWith(t, proxy.Addr(), cache.Options{Timeout: 2 * time.Second}), start(t, server, redis.Options{})
	opts := driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}
	for _, fill := range []bool{false, true} {
		for name, revoke := range map[string]func() error{
			"Delete":         func() error { return other.Delete(t.Context(), "n:k") },
			"InvalidateTags": func() error { return other.InvalidateTags(t.Context(), "n:t") },
		} {
			lease, err := other.Lease(t.Context(), "n:k")
			other.must(err)
			held := proxy.HoldFunc(ofBody("SET"))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if fill {
				_, err = slow.Fill(ctx, lease, large("n"), opts)
			} else {
				err = slow.Set(ctx, "n:k", large("n"), opts)
			}
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("fill: %t, %s: %v, want the deadline", fill, name, err)
			}
			<-held.Arrived()
			other.must(revoke())
			held.Release()
			<-held.Answered()
			if _, found, err := other.Get(t.Context(), "n:k"); found || err != nil {
				t.Errorf("fill: %t, %s: the late value was stored, %v", fill, name, err)
			}
			if life := other.direct("PTTL", "n:b:{0}:k").(int64); life > 10_000 {
				t.Errorf("a body that no entry names lives %d ms", life)
			}
			other.must(other.Delete(t.Context(), "n:k"))
		}
	}
}

// The body of another large value comes between one's body and its entry: that one is not stored,
// and is a miss, as if it had been stored before.
func TestOvertakenBody(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	slow, other := startWith(t, proxy.Addr(), cache.Options{Timeout: 2 * time.Second}), start(t, server, redis.Options{})
	opts := driver.SetOptions{TTL: time.Minute}
	for name, overtake := range map[string]func() error{
		"another value": func() error { return other.Set(t.Context(), "n:k", large("other"), opts) },
		"a lost body":   func() error { _, err := server.Do(t.Context(), "DEL", "n:b:{0}:k"); return err },
	} {
		other.must(other.Set(t.Context(), "n:k", []byte("old"), opts))
		held := proxy.HoldFunc(func(args []string) bool { return strings.HasPrefix(strings.ToUpper(args[0]), "EVAL") })
		done := make(chan error, 1)
		go func() { done <- slow.Set(t.Context(), "n:k", large("slow"), opts) }()
		<-held.Arrived()
		other.must(overtake())
		held.Release()
		other.must(<-done)
		if got, found, err := other.Get(t.Context(), "n:k"); found || err != nil {
			t.Errorf("%s: %d bytes, %t, %v; want a miss", name, len(got), found, err)
		}
		if other.direct("EXISTS", "n:v:{0}:k") != int64(0) {
			t.Errorf("%s: an entry is left that has no body", name)
		}
	}
}

// A client of the application carries large values as well.
func TestLargeValueOverALentClient(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	own, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: server.Addrs(), DisableCache: true, AlwaysPipelining: true})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	s := on(redis.Options{})(t).(*redis.Strategy)
	if err := s.Init(t.Context(), lending(t, own)); err != nil {
		t.Fatal(err)
	}
	value := large("n")
	until(t, func() error { return s.Set(t.Context(), "n:k", value, driver.SetOptions{TTL: time.Minute}) })
	until(t, func() error {
		got, found, err := s.Get(t.Context(), "n:k")
		if err == nil && (!found || !bytes.Equal(got, value)) {
			t.Errorf("%d bytes, %t", len(got), found)
		}
		return err
	})
	if err := s.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := own.Do(t.Context(), own.B().Ping().Build()).Error(); err != nil {
		t.Errorf("the application's client is closed: %v", err)
	}
}
