package redis_test

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// The keys of "n:k", which has the tag "n:t".
var physical = map[string]string{"value": "n:v:{0}:k", "lease": "n:l:{0}:k", "nonce": "n:t:{0}:t", "ledger": "n:g:{0}:"}

// junk is what somebody else may have written in the place of a key of ours.
var junk = map[string][]any{
	"string": {"SET", "junk"}, "list": {"RPUSH", "junk"}, "set": {"SADD", "junk"}, "sorted set": {"ZADD", 1, "junk"},
	"hash": {"HSET", "junk", "junk"}, "stream": {"XADD", "*", "junk", "junk"},
	// Of the right type, and yet not ours.
	"ledger without an epoch": {"HSET", "s", "0"}, "ledger without a sequence": {"HSET", "e", "junk"},
	"ledger without a number": {"HSET", "e", "junk", "s", "junk"}, "ledger at the end of numbers": {"HSET", "e", "junk", "s", "9223372036854775807"},
}

// A key of ours that holds something else heals itself: no operation fails because of it, a value
// is a miss, a nonce is an invalidated tag, a ledger is a lost one, and a lease is free. What is
// stored then can be read, and revoked.
func TestWrongTypes(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{LeaseTTL: time.Hour})
	fingerprint := s.direct("GET", "n:f:{0}:") // or else a node that starts beside junk serves nothing at first
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}
	for kind, key := range physical {
		for name, command := range junk {
			what := name + " in the place of the " + kind
			plant := func() {
				s.Helper()
				s.direct("DEL", key)
				s.direct(append([]any{command[0], key}, command[1:]...)...)
			}
			fresh := func() *driver.Lease {
				s.Helper()
				s.direct("FLUSHALL")
				s.direct("SET", "n:f:{0}:", fingerprint)
				s.set("n:k", time.Hour, "n:t")
				lease, err := s.Lease(t.Context(), "n:k")
				if lease == nil || err != nil {
					t.Fatal(lease, err)
				}
				return lease
			}
			hits := kind == "lease" || kind == "ledger"
			read := func(how string, found bool, err error) {
				s.Helper()
				if found != hits || err != nil {
					t.Errorf("%s: %s = %t, %v, want %t", what, how, found, err, hits)
				}
			}
			fresh()
			plant()
			_, found, err := s.Get(t.Context(), "n:k")
			read("Get", found, err)
			_, found, err = s.GetHinted(t.Context(), "n:k", opts.Tags)
			read("GetHinted", found, err)
			for _, hint := range [][]string{nil, opts.Tags} {
				r := s.GetMany(t.Context(), []string{"n:k", "n:other"}, hint)[0]
				read("GetMany", r.Found, r.Err)
			}
			// The script that reads: as a node does that has not read the entry before.
			another := start(t, s.server, redis.Options{})
			_, found, err = another.Get(t.Context(), "n:k")
			read("Get of another node", found, err)
			s.must(another.Destroy(context.Background()))
			_, found, granted, err := s.GetOrLease(t.Context(), "n:k")
			if found != hits || err != nil || found && granted != nil {
				t.Errorf("%s: GetOrLease = %t, %v, %v", what, found, granted, err)
			}

			// A lease from before.
			lease := fresh()
			plant()
			stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), opts)
			if want := kind == "value" || kind == "nonce"; stored != want || err != nil {
				t.Errorf("%s: Fill = %t, %v, want %t", what, stored, err, want)
			}
			lease = fresh()
			plant()
			if err := s.Release(t.Context(), lease); err != nil {
				t.Errorf("%s: Release: %v", what, err)
			}

			// Revocations.
			for how, revoke := range map[string]func() error{
				"Delete":         func() error { return s.Delete(t.Context(), "n:k") },
				"InvalidateTags": func() error { return s.InvalidateTags(t.Context(), "n:t") },
			} {
				lease = fresh()
				plant()
				if err := revoke(); err != nil {
					t.Errorf("%s: %s: %v", what, how, err)
				}
				if s.found("n:k") {
					t.Errorf("%s: found after %s", what, how)
				}
				if stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), opts); stored || err != nil {
					t.Errorf("%s: Fill after %s = %t, %v", what, how, stored, err)
				}
			}

			// Plain writes, and the way of every loader.
			fresh()
			plant()
			s.must(s.Set(t.Context(), "n:k", []byte("value of n:k"), opts))
			if !s.found("n:k") {
				t.Errorf("%s: Set did not heal it", what)
			}
			fresh()
			s.direct("DEL", physical["lease"])
			plant()
			lease, err = s.Lease(t.Context(), "n:k")
			if lease == nil || err != nil {
				t.Errorf("%s: Lease = %v, %v", what, lease, err)
				continue
			}
			for n, of := range map[string]string{"lease": physical["lease"], "ledger": physical["ledger"]} {
				if ttl := s.direct("PTTL", of).(int64); ttl <= 0 {
					t.Errorf("%s: the %s that was granted lives for %d ms", what, n, ttl)
				}
			}
			if stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), opts); !stored || err != nil || !s.found("n:k") {
				t.Errorf("%s: Fill = %t, %v", what, stored, err)
			}
			s.must(s.InvalidateTags(t.Context(), "n:t"))
			if s.found("n:k") {
				t.Errorf("%s: what healed cannot be revoked", what)
			}
		}
	}
}

// A ledger keeps nothing of what was in its place: tags of a higher number would refuse every fill.
func TestLedgerStartsAnew(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	mark := func(number any) {
		for _, tag := range newOptions.Tags {
			hash := fnv.New64a()
			_, _ = hash.Write([]byte(tag)) // never fails
			s.direct("HSET", physical["ledger"], string(hash.Sum(nil)), number)
		}
	}
	mark(1_000_000)
	lease, err := s.Lease(t.Context(), "n:k")
	s.must(err)
	if stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), newOptions); !stored || err != nil {
		t.Errorf("Fill = %t, %v", stored, err)
	}
	// Where an invalidation cannot be noted, no lease that is out is good.
	lease, err = s.Lease(t.Context(), "n:k")
	s.must(err)
	s.direct("HSET", physical["ledger"], "s", "junk")
	s.must(s.InvalidateTags(t.Context(), newOptions.Tags...))
	if stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), newOptions); stored || err != nil {
		t.Errorf("Fill after an invalidation = %t, %v", stored, err)
	}
	// Of a tag without a number nobody knows when it was invalidated.
	lease, err = s.Lease(t.Context(), "n:k")
	s.must(err)
	mark("junk")
	if stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), newOptions); stored || err != nil {
		t.Errorf("Fill = %t, %v", stored, err)
	}
}

// A lease that somebody holds is not healed away.
func TestLeaseIsNotHealed(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	first, err := s.Lease(t.Context(), "n:k")
	s.must(err)
	second, err := s.Lease(t.Context(), "n:k")
	if first == nil || second != nil || err != nil {
		t.Errorf("%v and %v, %v", first, second, err)
	}
}

// What Redis answers to a key of another type concerns that key, and not the server, also where a
// script says it.
func TestWrongTypeIsNoOutage(t *testing.T) {
	t.Parallel()
	for code, bad := range map[string]bool{
		"WRONGTYPE": true, "LOADING": false, "READONLY": false, "CLUSTERDOWN": false, "MASTERDOWN": false, "NOAUTH": false,
		"OOM": false, "MISCONF": false, "NOPERM": false, "BUSY": false, "ERR": false,
	} {
		if err := error(&redis.ServerError{Code: code}); errors.Is(err, driver.ErrBadEntry) != bad || bad && errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s: %v", code, !bad)
		}
	}
}

// What an entry that cannot be decoded and keys of another type cost a node, while Redis refuses
// writes.
func TestBadKeysCostNoMoreThanThemselves(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	service, err := cache.NewService(on(redis.Options{Addresses: s.server.Addrs()})(t), cache.Options{
		Namespace: "n", Timeout: 10 * time.Second, BreakerFailures: 1, Logger: slog.New(slog.DiscardHandler),
	})
	s.must(err)
	s.must(service.Start(t.Context(), nil))
	t.Cleanup(func() { s.must(service.Stop(context.Background())) })
	c, err := cache.New(service, "c", cache.Policy[string]{TagsOf: func(string) []string { return []string{"t"} }})
	s.must(err)
	value := func(context.Context) (string, error) { return "good", nil }
	s.must(c.SetMany(t.Context(), map[string]string{"good": "good", "cut": "cut"}))
	whole := s.direct("GET", "n:v:{0}:c:cut").(string)
	s.direct("SET", "n:v:{0}:c:cut", strings.TrimSuffix(whole, `t"`))
	s.direct("LPUSH", "n:v:{0}:c:list", "junk")
	s.direct("LPUSH", "n:l:{0}:c:leased", "junk")
	s.direct("CONFIG", "SET", "min-replicas-to-write", 1) // reads work, writes do not
	for range 3 {
		for _, key := range []string{"cut", "list", "leased"} {
			if _, found, err := c.Get(t.Context(), key); found || err != nil {
				t.Errorf("%s: Get = %t, %v", key, found, err)
			}
		}
		if found, err := c.GetMany(t.Context(), "cut", "good", "list", "leased"); len(found) != 1 || err != nil {
			t.Errorf("GetMany = %v, %v", found, err)
		}
		if _, found, err := c.Get(t.Context(), "good"); !found || err != nil {
			t.Errorf("another key: %t, %v", found, err)
		}
	}
	if stats := service.Stats(); stats.PendingRevocations != 0 || stats.ShortCircuited != 0 || stats.Errors != 0 {
		t.Errorf("%+v", stats)
	}
	s.direct("CONFIG", "SET", "min-replicas-to-write", 0)
	for _, key := range []string{"cut", "list", "leased"} {
		if got, err := c.GetOrLoad(t.Context(), key, value); got != "good" || err != nil {
			t.Errorf("%s: GetOrLoad = %q, %v", key, got, err)
		}
		if _, found, err := c.Get(t.Context(), key); !found || err != nil {
			t.Errorf("%s did not heal: %t, %v", key, found, err)
		}
	}
	if stats := service.Stats(); stats.LeaseTimeouts != 0 || stats.PendingRevocations != 0 || stats.ShortCircuited != 0 {
		t.Errorf("%+v", stats)
	}
}
